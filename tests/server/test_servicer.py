"""The five calls, over a real socket, against a real engine."""

import asyncio
import re

import grpc
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from server.world import asking, catalog, client, formula, ref, refused, world

from scaler.config.trigger import metric_name
from scaler.engine.limits import Limits
from scaler.server.pb import externalscaler_pb2 as pb
from scaler.server.pb import externalscaler_pb2_grpc as pb_grpc
from scaler.server.servicer import ExternalScaler

# ---- GetMetricSpec ----


@pytest.mark.parametrize(
    ("metadata", "name"),
    [
        ({}, "queue"),
        ({"formula": "no-such-formula"}, "no-such-formula"),
        ({"formula": None, "expression": "waiting +"}, "llm-scaler"),
        ({"formula": None}, "llm-scaler"),
        ({"formula": "Große/../%00"}, "gro-e-00"),
        ({"formula": None, "formulaFromEnv": "queue"}, "queue"),
        ({"target": "many", "modle": "llama", "output": "a", "": ""}, "queue"),
    ],
)
async def test_the_spec_comes_from_the_triggers_text_alone_however_wrong_it_is(metadata, name):
    async with world() as w, client(w.address) as stub:
        w.source.fetch = None  # whoever measures, fails
        (spec,) = (await stub.GetMetricSpec(ref(**metadata))).metricSpecs
        assert (spec.metricName, spec.targetSize, spec.targetSizeFloat) == (name, 1, 1.0)
        assert not w.engine.decisions()


async def test_the_spec_of_nothing_at_all_is_still_a_spec():
    async with world() as w, client(w.address) as stub:
        assert (await stub.GetMetricSpec(pb.ScaledObjectRef())).metricSpecs[0].targetSize == 1


@given(st.text(max_size=200))
@example("İ" * 60)  # lower-case it is longer
@example("a" * 59 + "--b")
def test_the_name_is_one_that_kubernetes_takes_whatever_the_formula_is_called(name):
    assert re.fullmatch("[a-z0-9-]{1,60}", metric_name({"formula": name}))


# ---- GetMetrics and IsActive ----


@pytest.mark.parametrize(("waiting", "replicas"), [(0.0, 0), (0.5, 1), (2.0, 1), (2.1, 2), (900.0, 450)])
async def test_the_value_is_whole_replicas_in_both_fields(waiting, replicas):
    async with world({"waiting": waiting, "current_replicas": 0.0}) as w, client(w.address) as stub:
        (value,) = (await stub.GetMetrics(asking())).metricValues
        assert (value.metricName, value.metricValue, value.metricValueFloat) == ("queue", replicas, float(replicas))
        assert (await stub.IsActive(ref())).result is (waiting > 0)


@pytest.mark.parametrize("name", ["", "queues", "s0-queue", "QUEUE"])
async def test_a_metric_that_was_never_offered_is_not_found_and_not_answered(name):
    async with world() as w, client(w.address) as stub:
        assert await refused(stub.GetMetrics(asking(name))) == (
            "NOT_FOUND",
            f"no metric {name!r}: this trigger offers queue",
        )
        assert not w.engine.decisions()


@pytest.mark.parametrize(
    ("trigger", "metric", "status", "sentence"),
    [
        ({"formula": "queu"}, "queu", "NOT_FOUND", "no formula 'queu', did you mean queue?; there are: queue"),
        ({"targte": "1"}, "queue", "INVALID_ARGUMENT", "trigger: targte: unknown key, did you mean target?"),
        ({"target": "many"}, "queue", "INVALID_ARGUMENT", "trigger: target: 'many' is not allowed"),
        ({"output": "decode"}, "queue", "INVALID_ARGUMENT", "trigger: output: unknown key; allowed: "),
        ({"mode": "cpu"}, "queue", "UNIMPLEMENTED", "trigger: mode: mode is not supported yet"),
        ({"namespace": "Team Ä"}, "queue", "INVALID_ARGUMENT", "trigger: namespace: 'Team Ä' is not a namespace"),
        ({"formula": None, "expression": "waiting +"}, "llm-scaler", "INVALID_ARGUMENT", "trigger: expression: "),
    ],
)
async def test_what_is_wrong_is_said_by_both_calls_in_one_sentence(trigger, metric, status, sentence):
    async with world() as w, client(w.address) as stub:
        for call in (stub.GetMetrics(asking(metric, **trigger)), stub.IsActive(ref(**trigger))):
            code, text = await refused(call)
            assert (code, text[: len(sentence)]) == (status, sentence)


async def test_a_source_that_hangs_costs_the_budget_and_not_more():
    hanging = asyncio.Event()
    async with world(limits=Limits(budget=0.05)) as w, client(w.address) as stub:
        loop = asyncio.get_running_loop()
        w.source.fetch = lambda *_: asyncio.run_coroutine_threadsafe(hanging.wait(), loop).result()
        try:
            assert await refused(stub.GetMetrics(asking())) == (
                "UNAVAILABLE",
                "no decision yet: the first measurement took longer than 50ms",
            )
            assert (await stub.GetMetricSpec(ref())).metricSpecs
        finally:
            hanging.set()


async def test_a_client_that_gives_up_does_not_take_the_measurement_with_it():
    hanging = asyncio.Event()
    async with world({"waiting": 5.0}) as w, client(w.address) as stub:
        loop, measure = asyncio.get_running_loop(), w.source.fetch
        started = asyncio.Event()

        def slow(*asked):
            loop.call_soon_threadsafe(started.set)
            asyncio.run_coroutine_threadsafe(hanging.wait(), loop).result()
            return measure(*asked)

        w.source.fetch = slow
        impatient, patient = stub.GetMetrics(asking()), stub.GetMetrics(asking())
        await started.wait()
        impatient.cancel()
        hanging.set()
        assert (await patient).metricValues[0].metricValue == 3


# ---- StreamIsActive ----


async def test_a_stream_says_the_state_on_open_and_then_wakes():
    async with world({"current_replicas": 0.0}) as w, client(w.address) as stub:
        stream = stub.StreamIsActive(ref())
        assert (await stream.read()).result is False
        for at in (5, 10):
            await w.at(at)
        await w.at(15, waiting=1.0)
        assert (await stream.read()).result is True
        await w.at(20)
        assert (await stream.read()).result is True  # nobody has woken it yet
        await w.at(25, current_replicas=1.0)
        await w.at(30)
        await w.servers[0].stop()
        assert await stream.read() is grpc.aio.EOF
        assert await stream.code() == grpc.StatusCode.OK


async def test_an_activation_seen_on_half_of_the_data_wakes():
    async with world({"running": 0.0}) as w, client(w.address) as stub:
        del w.source.values["running"]
        w.source.values |= {"waiting": 3.0}
        assert (await stub.StreamIsActive(ref()).read()).result is True


async def test_a_wrong_trigger_keeps_its_stream_open_and_goes_on_when_it_is_right(monkeypatch):
    monkeypatch.setattr("scaler.server.servicer.ASK_AGAIN", 0.01)
    async with world({"waiting": 1.0}) as w, client(w.address) as stub:
        stream = stub.StreamIsActive(ref(formula="later"))
        word = asyncio.ensure_future(stream.read())
        while (await refused(stub.IsActive(ref(formula="later"))))[0] != "NOT_FOUND":
            pass
        assert not word.done()
        w.engine.update_catalog(catalog(formula(), formula(name="later")))
        assert (await word).result is True


async def test_a_stream_ends_well_when_the_engine_closes():
    async with world() as w, client(w.address) as stub:
        stream = stub.StreamIsActive(ref())
        await stream.read()
        await w.engine.close()
        assert await stream.read() is grpc.aio.EOF
        assert await stream.code() == grpc.StatusCode.OK


async def test_a_client_that_leaves_takes_its_stream_with_it():
    async with world() as w, client(w.address) as stub:
        streams = [stub.StreamIsActive(ref()), stub.StreamMetricSpec(ref())]
        for stream in streams:
            await stream.read()
        assert len(w.servers[0].streams) == 2
        for stream in streams:
            stream.cancel()
        while len(w.servers[0].streams):
            await stub.GetMetricSpec(ref())


async def test_ten_times_the_threads_of_a_pool_of_streams_do_not_hold_up_a_call():
    async with world() as w, client(w.address) as stub:
        streams = [stub.StreamIsActive(ref(name=f"chat-{n}")) for n in range(100)]
        for stream in streams:
            await stream.read()
        assert (await stub.IsActive(ref())).result is False


# ---- StreamMetricSpec ----


@pytest.mark.parametrize("metadata", [{}, {"formula": "no-such-formula"}, {"formula": None}])
async def test_the_spec_is_streamed_at_once_and_is_the_one_that_is_asked_for(metadata):
    async with world() as w, client(w.address) as stub:
        stream = stub.StreamMetricSpec(ref(**metadata))
        assert await stream.read() == await stub.GetMetricSpec(ref(**metadata))
        await w.servers[0].stop()
        assert await stream.read() is grpc.aio.EOF
        assert await stream.code() == grpc.StatusCode.OK


# ---- all ----


def test_every_call_of_the_service_is_there():
    calls = {name for name in vars(pb_grpc.ExternalScalerServicer) if not name.startswith("_")}
    assert calls == {name for name in vars(ExternalScaler) if not name.startswith("_")}


async def test_the_calls_cannot_disagree():
    async with world({"waiting": 3.0}) as w, client(w.address) as stub:
        value = (await stub.GetMetrics(asking())).metricValues[0].metricValue
        active, stream = (await stub.IsActive(ref())).result, stub.StreamIsActive(ref())
        (decision,) = w.engine.find("models", "chat")
        assert (value, active, (await stream.read()).result) == (decision.replicas, decision.active, decision.active)
        w.source.values = {}
        await w.at(400)
        assert (await refused(stub.GetMetrics(asking()))) == (await refused(stub.IsActive(ref())))
