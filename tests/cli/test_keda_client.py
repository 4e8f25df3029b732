"""KEDA's side of one trigger, against a real server."""

import asyncio

import pytest
from server.world import TRIGGER, world

from scaler.cli.keda_client import CallFailed, Poller


def poller(w, **metadata):
    return Poller(f"127.0.0.1:{w.servers[0].port}", "demo", "llama", {**TRIGGER, **metadata})


async def test_a_poll_gives_the_replicas_and_the_activity():
    async with world({"waiting": 5.0}) as w, poller(w) as keda:
        assert await keda.poll() == (3.0, True)


async def test_the_first_call_that_fails_says_so():
    async with world() as w, poller(w, targte="8") as keda:
        with pytest.raises(CallFailed, match=r"INVALID_ARGUMENT: trigger: targte: unknown key") as raised:
            await keda.poll()
    assert raised.value.rpc == "GetMetrics"  # GetMetricSpec always answers


async def test_what_is_pushed_is_heard():
    async with world({"waiting": 5.0}) as w, poller(w) as keda:
        pushes = keda.pushes()
        assert await asyncio.wait_for(anext(pushes), 10) is True
        await pushes.aclose()


async def test_a_server_that_is_gone_ends_the_pushes_and_refuses_a_poll():
    async with world() as w:
        keda = poller(w)
        await w.servers[0].stop()
    assert [push async for push in keda.pushes()] == []
    with pytest.raises(CallFailed, match="GetMetricSpec: UNAVAILABLE"):
        await keda.poll()
    await keda.__aexit__(None, None, None)
