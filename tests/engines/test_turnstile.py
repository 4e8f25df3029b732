"""The door that writes down what others send, before a server on loopback that does as a test wants."""

import asyncio
import time

import requests
from aiohttp import web
from engines.client import Clients
from engines.lab.turnstile import Turnstile


def test_what_others_send_is_written_down_with_its_tokens_and_its_end(served):
    async def answer(request):
        stream = web.StreamResponse(headers={"x-replica": "a:1", "x-forwarded-at": f"{time.monotonic():.6f}"})
        await stream.prepare(request)
        for count in (1, 2, 3):
            usage = b'{"choices": [{"text": "w1"}], "usage": {"completion_tokens": %d}}' % count
            await stream.write(b"data: " + usage + b"\n\n")
        await stream.write(b"data: [DONE]\n\n")
        return stream

    with Turnstile(served(answer)) as turnstile, Clients(turnstile.url, "m") as clients:
        (sent,) = clients.send(1, tokens=3)
        while clients.in_flight():
            time.sleep(0.01)
    (noted,) = turnstile.requests
    assert not sent.problem
    assert (noted.asked, noted.tokens, len(noted.chunks), noted.replica, noted.problem) == (3, 3, 3, "a:1", "")
    # It may note the end a moment after the client has seen it.
    assert sent.sent <= noted.sent <= noted.forwarded <= noted.chunks[0] <= noted.ended


def test_what_is_refused_cut_or_given_up_is_told(served):
    async def refuse(request):
        return web.Response(status=503, text="full")

    async def hang(request):
        await asyncio.sleep(60)

    with Turnstile(served(refuse)) as turnstile:
        answer = requests.post(f"{turnstile.url}/v1/completions", json={"max_tokens": 1}, timeout=10)
        assert (answer.status_code, answer.text) == (503, "full")
        assert turnstile.requests[0].problem == "503: the stream has no end"
    with Turnstile(served(hang)) as turnstile:
        with Clients(turnstile.url, "m") as clients:
            clients.send(1, tokens=1)
            while not turnstile.requests:
                time.sleep(0.01)
            clients.abort()
        while turnstile.requests[0].ended is None:
            time.sleep(0.01)
        assert turnstile.requests[0].problem == "hung up"
