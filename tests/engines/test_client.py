"""The clients that know how many requests are in flight, against a server on loopback that does as a test wants."""

import asyncio
import threading

import pytest
from aiohttp import web
from engines.client import Bounds, Clients, Request, between, tokens_per_second


async def answer(request, *, end=b"data: [DONE]\n\n"):
    asked = await request.json()
    stream = web.StreamResponse(headers={"x-replica": "a:1"})
    await stream.prepare(request)
    for _ in range(asked["max_tokens"]):
        await stream.write(b'data: {"choices": [{"text": "w1"}]}\n\n')
    await stream.write(b'data: {"choices": [], "usage": {"completion_tokens": %d}}\n\n' % asked["max_tokens"] + end)
    return stream


def wait(clients):
    for _ in range(1000):
        if not clients.in_flight():
            return
        threading.Event().wait(0.01)
    raise AssertionError("requests are still in flight after 10 s")


def test_an_answer_is_counted_token_by_token(served):
    with Clients(served(answer), "m") as clients:
        clients.send(2, tokens=3, prompt=5)
        wait(clients)
    assert [(one.tokens, len(one.chunks), one.prompt, one.replica, one.problem) for one in clients.requests] == [
        (3, 3, 5, "a:1", "")
    ] * 2
    assert all(one.sent <= one.chunks[0] <= one.ended for one in clients.requests)


def test_an_answer_without_an_end_is_cut_and_a_refusal_is_told(served):
    async def cut(request):
        return await answer(request, end=b"")

    async def refuse(request):
        return web.Response(status=503, text="full")

    for handler, problem in ((cut, "cut: the stream has no end"), (refuse, "503: full")):
        with Clients(served(handler), "m") as clients:
            clients.send(1, tokens=1)
            wait(clients)
        assert [one.problem for one in clients.requests] == [problem]


def test_hanging_up_ends_what_is_in_flight(served):
    async def hang(request):
        await asyncio.sleep(60)

    with Clients(served(hang), "m") as clients:
        clients.send(3, tokens=1)
        assert clients.in_flight() == 3
        clients.abort()
        assert clients.in_flight() == 0
    assert {one.problem for one in clients.requests} == {"hung up"}


def test_some_of_what_is_in_flight_can_be_given_up(served):
    async def hang(request):
        await asyncio.sleep(60)

    with Clients(served(hang), "m") as clients:
        first, second = clients.send(2, tokens=1), clients.send(3, tokens=1)
        clients.abort(first)
        assert clients.in_flight() == 3
    assert [one.problem for one in [*first, *second]] == ["hung up"] * 5


def test_prompts_begin_alike_and_go_on_differently(served):
    seen = []

    async def note(request):
        seen.append((await request.json())["prompt"].split())
        return web.Response(status=400)

    with Clients(served(note), "m") as clients:
        clients.send(2, tokens=1, prompt=40, common=16)
        wait(clients)
    one, other = seen
    assert len(one) == len(other) == 40
    assert one[:16] == other[:16]
    assert one[16:] != other[16:]


@pytest.mark.parametrize(
    ("span", "bounds"),
    [
        ((0.0, 0.5), Bounds(0, 0)),  # before it was sent
        ((2.0, 3.0), Bounds(1, 1)),  # in the queue all the time
        ((3.0, 5.0), Bounds(0, 2)),  # it went to a replica: a reader may see it in both places, or in none
        ((5.0, 6.0), Bounds(1, 1)),  # at the replica all the time
        ((6.0, 8.0), Bounds(0, 1)),  # answered within
        ((8.0, 9.0), Bounds(0, 0)),
    ],
)
def test_a_request_is_counted_where_it_was(span, bounds):
    assert between([Request(sent=1.0, asked=1, forwarded=4.0, ended=7.0)], *span) == bounds


def test_tokens_are_counted_when_they_came():
    requests = [Request(sent=0.0, asked=8, tokens=8, chunks=[1.0, 2.0, 3.0, 4.0]), Request(sent=0.0, asked=1)]
    assert tokens_per_second(requests, 2.0, 4.0) == 2 * 2 / 2
