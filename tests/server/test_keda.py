"""KEDA's own calls, in KEDA's order, over a real socket."""

import asyncio
import math

from server.keda_client import Trigger, keda
from server.world import ref, world


async def test_a_poll_is_answered_from_one_decision():
    async with world({"waiting": 5.0}) as w, keda(w.servers[0].port) as operator:
        assert await operator.poll(ref()) == Trigger("queue", 1.0, 3.0, True)
        assert operator.calls == ["GetMetricSpec", "GetMetrics", "IsActive"]


async def test_keda_up_to_2_16_which_reads_integers_comes_to_the_same():
    async with world({"waiting": 5.0}) as w, keda(w.servers[0].port, floats=False) as operator:
        assert await operator.poll(ref()) == Trigger("queue", 1.0, 3.0, True)


async def test_zero_is_zero_in_both_fields():
    async with world({"waiting": 0.0, "current_replicas": 0.0}) as w, keda(w.servers[0].port) as operator:
        assert await operator.poll(ref()) == Trigger("queue", 1.0, 0.0, False)


async def test_a_wrong_trigger_gets_its_spec_and_then_one_sentence():
    async with world() as w, keda(w.servers[0].port) as operator:
        seen = await operator.poll(ref(targte="8"))
        assert (seen.name, seen.target, seen.value) == ("queue", 1.0, None)
        assert seen.error.startswith(
            "rpc error: code = INVALID_ARGUMENT desc = trigger: targte: unknown key, did you mean target?"
        )
        assert operator.calls == ["GetMetricSpec", "GetMetrics", "GetMetrics"]


async def test_what_could_not_be_measured_is_an_error_and_not_zero():
    async with world({"current_replicas": 4.0}) as w, keda(w.servers[0].port) as operator:
        del w.source.values["waiting"]
        seen = await operator.poll(ref())
        assert seen.value is None or seen.value >= 4


async def test_nothing_measured_at_all_is_unavailable_with_the_reason():
    async with world() as w, keda(w.servers[0].port) as operator:
        w.source.values = {}
        seen = await operator.poll(ref())
        assert seen.value is None
        assert seen.error.startswith("rpc error: code = UNAVAILABLE desc = ")
        assert "waiting could not be had" in seen.error


async def test_sixteen_workloads_at_once_get_their_own_answers_and_asking_again_measures_nothing():
    async with world({"waiting": 5.0}) as w, keda(w.servers[0].port) as operator:
        triggers = [ref(name=f"chat-{n}", target=str(n + 1)) for n in range(16)]
        seen = await asyncio.gather(*map(operator.poll, triggers))
        assert [trigger.value for trigger in seen] == [float(math.ceil(5 / (n + 1))) for n in range(16)]
        measured = w.source.fetches
        assert await asyncio.gather(*map(operator.poll, triggers)) == seen
        assert w.source.fetches == measured


async def test_two_servers_behind_one_name_agree():
    async with world({"waiting": 7.0}, servers=2) as w:
        async with keda(*(server.port for server in w.servers)) as operator:
            seen = [await operator.poll(ref()) for _ in range(6)]
        assert seen == [Trigger("queue", 1.0, 4.0, True)] * 6


async def test_one_mebibyte_of_metadata_is_answered_with_a_sentence():
    async with world() as w, keda(w.servers[0].port) as operator:
        seen = await operator.poll(ref(model="x" * 2**20))
        assert (seen.name, seen.target) == ("queue", 1.0)
        assert seen.error == (
            "rpc error: code = INVALID_ARGUMENT desc = "
            "trigger: metadata: has 3 keys and 1048662 bytes, most of them in 'model'; "
            "allowed: at most 64 keys and 16384 characters"
        )
        assert (await operator.poll(ref())).active is False
