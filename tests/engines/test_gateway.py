"""The gateway's queue: first come, first served, to the replica that has the least to do."""

import asyncio

import pytest
from engines.lab.gateway import Gateway


def queued(gateway):
    (line,) = [line for line in gateway.page().splitlines() if not line.startswith("#")]
    assert 'target_model_name="tiny"' in line
    return float(line.rpartition(" ")[2])


def test_requests_wait_for_a_replica_and_then_for_room_on_one():
    async def play():
        gateway = Gateway("tiny", limit=2)
        turns = [asyncio.create_task(gateway.take()) for _ in range(6)]
        await asyncio.sleep(0)
        assert queued(gateway) == 6
        gateway.use(["a:1", "b:1"])
        assert queued(gateway) == 2
        assert [await turn for turn in turns[:4]] == ["a:1", "b:1", "a:1", "b:1"]
        gateway.give_back("b:1")
        assert await turns[4] == "b:1"
        gateway.use(["a:1"])  # the other is about to end: it gets no more
        gateway.give_back("b:1")
        assert queued(gateway) == 1
        gateway.give_back("a:1")
        assert await turns[5] == "a:1"
        assert queued(gateway) == 0

    asyncio.run(play())


def test_a_client_that_hangs_up_leaves_the_queue_and_gives_back_its_turn():
    async def play():
        gateway = Gateway("tiny", limit=1)
        first, second, third = (asyncio.create_task(gateway.take()) for _ in range(3))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        assert queued(gateway) == 2
        gateway.use(["a:1"])
        first.cancel()  # its turn has come, and it does not know yet
        with pytest.raises(asyncio.CancelledError):
            await first
        assert await third == "a:1"

    asyncio.run(play())


def test_what_a_replica_refused_waits_in_the_queue_for_another():
    async def play():
        gateway = Gateway("tiny", limit=2)
        gateway.use(["a:1"])
        assert await gateway.take() == "a:1"
        gateway.drop("a:1")
        gateway.give_back("a:1")
        again = asyncio.create_task(gateway.take())
        await asyncio.sleep(0)
        gateway.use(["a:1"])  # Kubernetes does not know yet
        assert queued(gateway) == 1
        gateway.use(["a:1", "b:1"])
        assert await again == "b:1"
        assert queued(gateway) == 0

    asyncio.run(play())
