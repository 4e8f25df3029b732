"""A door before a gateway that passes on whatever comes, and writes each request down: who sent it need not count.

So the load of a field tool, which tells only at its end what it did, is known at every moment like that of our own clients.
"""

import asyncio
import json
import threading
import time
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web
from engines.client import Request, note
from engines.lab.gateway import FORWARDED, REPLICA

_PATHS = ("/v1/completions", "/v1/chat/completions")


class Turnstile:
    """Serves on a port of loopback, from entering the block until leaving it.

    Args:
        behind: the URL of the gateway.
    """

    def __init__(self, behind: str) -> None:
        self.requests: list[Request] = []  # all that ever came
        self.url = ""
        self._behind = behind
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="turnstile", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open(self) -> None:
        endless = aiohttp.ClientTimeout(total=None)
        self._client = aiohttp.ClientSession(timeout=endless, connector=aiohttp.TCPConnector(limit=0))
        site = web.Application()
        for path in _PATHS:
            site.router.add_post(path, self._pass)
        self._runner = web.AppRunner(site, handler_cancellation=True, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def _close(self) -> None:
        await self._runner.cleanup()
        await self._client.close()

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        asked = json.loads(body)
        noted = Request(time.monotonic(), asked.get("max_tokens") or asked.get("max_completion_tokens") or 0)
        self.requests.append(noted)
        try:
            return await self._forward(request, body, noted)
        except asyncio.CancelledError:
            noted.problem = "hung up"
            raise
        finally:
            noted.ended = time.monotonic()

    async def _forward(self, request: web.Request, body: bytes, noted: Request) -> web.StreamResponse:
        url, kind = f"{self._behind}{request.path}", {"content-type": "application/json"}
        async with self._client.post(url, data=body, headers=kind) as answer:
            noted.replica = answer.headers.get(REPLICA, "")
            noted.forwarded = float(answer.headers.get(FORWARDED, noted.sent))
            response = web.StreamResponse(status=answer.status, headers={"content-type": answer.content_type})
            await response.prepare(request)
            last = b""
            async for line in answer.content:
                last = line.strip() or last
                note(noted, line)
                await response.write(line)
            if last != b"data: [DONE]":
                noted.problem = noted.problem or f"{answer.status}: the stream has no end"
            await response.write_eof()
            return response
