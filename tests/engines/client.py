"""Clients that send real requests and read streamed answers, and know at every moment how many are in flight.

The truth that what llm-scaler reads is held against: each request's times are written down by whoever sent it.
"""

import asyncio
import json
import random
import threading
import time
from collections.abc import Collection, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import aiohttp
from engines.tiny_model import VOCABULARY

WORDS = VOCABULARY - 10  # that a prompt may have; w1 is one of them


@dataclass(slots=True)
class Request:
    """One request. Times are of the machine's monotonic clock, in seconds."""

    sent: float
    asked: int  # tokens that it asks for
    forwarded: float | None = None  # when it left the gateway's queue, as the gateway says
    replica: str = ""  # where it went, likewise
    first: float | None = None  # its first token
    ended: float | None = None  # its last byte, or its failure
    tokens: int = 0  # that came
    prompt: int = 0  # tokens that were sent
    chunks: list[float] = field(default_factory=list)  # when each piece of the answer came; a token, as a rule
    problem: str = ""  # why it was not answered as asked


class Clients:
    """Sends requests from a thread of its own, from entering the block until leaving it.

    Args:
        url: of an OpenAI-compatible server or of a gateway, such as http://127.66.0.1:8000.
        model: the served model's name.
    """

    def __init__(self, url: str, model: str) -> None:
        self.requests: list[Request] = []  # all that were ever sent
        self._url = f"{url}/v1/completions"
        self._model = model
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="clients", daemon=True)
        self._sending: dict[Future[None], Request] = {}
        self._chance = random.Random(0)

    def __enter__(self) -> Self:
        self._thread.start()
        self._session = asyncio.run_coroutine_threadsafe(_session(), self._loop).result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()
        asyncio.run_coroutine_threadsafe(self._session.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def send(self, count: int, tokens: int, prompt: int = 8, common: int = 0) -> list[Request]:
        """Send `count` requests now, for `tokens` tokens each.

        Args:
            count: of requests.
            tokens: that each asks for.
            prompt: words of a prompt, which are its tokens.
            common: of them, at the beginning, the same for all; the rest is made up for each.
        """
        sent = [Request(time.monotonic(), tokens, prompt=prompt) for _ in range(count)]
        self.requests += sent
        for request in sent:
            words = [*range(1, common + 1), *(self._chance.randrange(1, WORDS) for _ in range(prompt - common))]
            text = " ".join(f"w{number}" for number in words)
            future = asyncio.run_coroutine_threadsafe(self._one(request, text), self._loop)
            self._sending[future] = request
            future.add_done_callback(self._over)
        return sent

    def abort(self, among: Collection[Request] | None = None) -> None:
        """Hang up on what is in flight: on all of it, or on some requests."""
        given_up = self.requests if among is None else among
        names = {id(request) for request in given_up}
        for future, request in list(self._sending.items()):
            if id(request) in names:
                future.cancel()
        while any(request.ended is None for request in given_up):
            time.sleep(0.01)

    def in_flight(self) -> int:
        """Return how many requests are not answered yet."""
        return sum(request.ended is None for request in self.requests)

    def _over(self, future: Future[None]) -> None:
        request = self._sending.pop(future)
        if request.ended is None:  # it was given up before it was sent
            request.ended, request.problem = time.monotonic(), "hung up"

    async def _one(self, request: Request, prompt: str) -> None:
        # Random weights may end a text at any token: only as many as were asked for make a request's length known.
        length = {"max_tokens": request.asked, "min_tokens": request.asked, "ignore_eos": True}
        # With each piece the number of tokens so far: a piece holds several where the reader is slow.
        counted = {"include_usage": True, "continuous_usage_stats": True}
        body = {"model": self._model, "prompt": prompt, "stream": True, "stream_options": counted}
        try:
            async with self._session.post(self._url, json={**body, **length, "temperature": 0}) as answer:
                request.replica = answer.headers.get("x-replica", "")
                request.forwarded = float(answer.headers.get("x-forwarded-at", request.sent))
                if answer.status != 200:
                    request.problem = f"{answer.status}: {(await answer.text())[:200]}"
                    return
                ended = False
                async for line in answer.content:
                    ended = ended or line.strip() == b"data: [DONE]"
                    note(request, line)
                if not ended:
                    request.problem = "cut: the stream has no end"
        except aiohttp.ClientError as error:
            request.problem = f"cut: {error}"
        except asyncio.CancelledError:
            request.problem = "hung up"
            raise
        finally:
            request.ended = time.monotonic()


def note(request: Request, line: bytes) -> None:
    """Take down one line of a streamed answer."""
    if not line.startswith(b"data: {"):
        return
    event = json.loads(line.removeprefix(b"data: "))
    if "error" in event:
        request.problem = str(event["error"])[:200]
    if event.get("choices"):
        request.chunks.append(time.monotonic())
        request.first = request.chunks[0]
    if event.get("usage"):
        request.tokens = event["usage"]["completion_tokens"]


async def _session() -> aiohttp.ClientSession:
    endless = aiohttp.ClientTimeout(total=None)
    return aiohttp.ClientSession(timeout=endless, connector=aiohttp.TCPConnector(limit=0))


@dataclass(frozen=True, slots=True)
class Bounds:
    """The least and the most that something may have been."""

    least: int
    most: int


def between(requests: Iterable[Request], start: float, end: float) -> Bounds:
    """Return how many requests were in flight between two moments, counted where they were.

    What is read of several places is not read at one moment: a request that goes from the queue to a replica between
    two readings is in both, or in none. So each place has bounds of its own, and they add up: what was there all the
    time, and all that was there at some time.

        queue 5, replica 0, and all 5 are forwarded within the span: between 0 and 10
    """
    least = most = 0
    for request in requests:
        ended = request.ended if request.ended is not None else float("inf")
        forwarded = min(request.forwarded if request.forwarded is not None else float("inf"), ended)
        for come, gone in ((request.sent, forwarded), (forwarded, ended)):
            least += come <= start and gone > end
            most += come <= end and gone > start
    return Bounds(least, most)


def tokens_per_second(requests: Iterable[Request], start: float, end: float) -> float:
    """Return how many tokens came per second between two moments; those of an answer are spread over its pieces."""
    came = 0.0
    for request in requests:
        pieces = sum(start < at <= end for at in request.chunks)
        came += request.tokens * pieces / max(len(request.chunks), 1)
    return came / (end - start)
