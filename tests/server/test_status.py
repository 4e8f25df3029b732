"""Errors become statuses, ours and others'."""

import grpc
import pytest
from server.world import asking, client, ref, refused, world

import scaler.model.errors
import scaler.sources.kubernetes.api  # some errors are its own
from scaler.model.errors import ConfigError, ScalerError
from scaler.server.status import FAULT, MAX_DETAIL_BYTES


def below(kind):
    return {kind} | {deeper for child in kind.__subclasses__() for deeper in below(child)}


@pytest.mark.parametrize("kind", sorted(below(ScalerError), key=lambda kind: kind.__name__))
def test_every_error_has_a_status_of_grpc(kind):
    assert grpc.StatusCode[kind.code] not in {grpc.StatusCode.OK, grpc.StatusCode.CANCELLED}
    assert f"{kind.__name__} " in scaler.model.errors.__doc__


@pytest.fixture
def failing(monkeypatch):
    """Makes the engine raise the given error."""

    def fail(error):
        async def read(_self, _request):
            raise error

        monkeypatch.setattr("scaler.engine.engine.Engine.read", read)

    return fail


async def test_an_error_of_ours_brings_its_status_and_its_sentence(failing):
    failing(ConfigError("trigger", "target", "0 is not allowed", "above 0"))
    async with world() as w, client(w.address) as stub:
        assert await refused(stub.IsActive(ref())) == (
            "INVALID_ARGUMENT",
            "trigger: target: 0 is not allowed; allowed: above 0",
        )


async def test_a_fault_of_ours_is_internal_and_only_the_log_knows_more(failing, caplog):
    failing(KeyError("secret"))
    async with world() as w, client(w.address) as stub:
        assert await refused(stub.GetMetrics(asking())) == ("INTERNAL", FAULT)
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert (record.message, record.method, record.exc_info[0]) == ("a call failed", "GetMetrics", KeyError)


@pytest.mark.parametrize("letter", ["x", "ü", "€", "𝄞", "\n"])
async def test_a_long_sentence_is_cut_and_arrives(failing, letter):
    failing(ConfigError("trigger", "", letter * 100_000))
    async with world() as w, client(w.address) as stub:
        code, text = await refused(stub.IsActive(ref()))
        assert (code, text.startswith("trigger: ")) == ("INVALID_ARGUMENT", True)
        assert MAX_DETAIL_BYTES - 4 < len(text.encode()) <= MAX_DETAIL_BYTES


async def test_every_call_is_observed_once_with_its_status():
    seen = []
    async with world(observe=lambda *call: seen.append(call)) as w, client(w.address) as stub:
        await stub.GetMetricSpec(ref())
        await stub.IsActive(ref())
        await refused(stub.GetMetrics(asking("other")))
        stream = stub.StreamIsActive(ref())
        await stream.read()
        await w.servers[0].stop()
    assert [(method, code) for method, code, _ in seen] == [
        ("GetMetricSpec", "OK"),
        ("IsActive", "OK"),
        ("GetMetrics", "NOT_FOUND"),
        ("StreamIsActive", "OK"),
    ]
    assert [seconds for *_, seconds in seen[:3]] == [1.0, 1.0, 1.0]  # the clock of the test ticks once a reading


async def test_a_call_that_its_client_left_is_observed_as_cancelled():
    seen = []
    async with world(observe=lambda *call: seen.append(call)) as w, client(w.address) as stub:
        stream = stub.StreamMetricSpec(ref())
        await stream.read()
        stream.cancel()
        while not seen:
            await w.at(0)
            await stub.GetMetricSpec(ref())
            seen = [call for call in seen if call[0] == "StreamMetricSpec"]
    assert seen[0][:2] == ("StreamMetricSpec", "CANCELLED")


async def test_an_unknown_method_is_not_ours_to_answer():
    async with world() as w, grpc.aio.insecure_channel(w.address) as channel:
        call = channel.unary_unary("/externalscaler.ExternalScaler/Scale")
        assert (await refused(call(b"")))[0] == "UNIMPLEMENTED"
