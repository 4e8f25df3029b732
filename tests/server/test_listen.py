"""How the server comes and goes."""

import asyncio
import contextlib
import socket
from dataclasses import replace

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from server.service import service
from server.world import LOOPBACK, asking, client, ref, refused, world

from scaler.model.errors import ConfigError
from scaler.server import listen
from scaler.server.listen import GrpcServer, ServerOptions
from scaler.server.status import SERVICE

BUSY = {"waiting": 3.0, "running": 1.0}

SCALER = SERVICE.full_name
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


async def health(address, name=SCALER):
    async with grpc.aio.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        return (await stub.Check(health_pb2.HealthCheckRequest(service=name))).status


# ---- coming ----


async def test_a_port_in_use_is_said_in_one_sentence():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(
            ConfigError, match=f"grpc.address: port {port} on 127.0.0.1 is in use; allowed: a free port"
        ):
            async with world(listen=replace(LOOPBACK, address=f"127.0.0.1:{port}")):
                pass


async def test_a_connection_that_says_nothing_is_closed(monkeypatch):
    """After HANDSHAKE_MS; gRPC's own two minutes would let a few connections more a second take every file."""
    monkeypatch.setattr(listen, "HANDSHAKE_MS", 100)
    async with world() as w:
        host, _, port = w.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        async with asyncio.timeout(30):  # without it a minute
            while await reader.read(1024):  # its settings come first, and then the end
                pass
        writer.close()


async def test_two_servers_do_not_share_a_port():
    async with world() as w:
        taken = replace(LOOPBACK, address=w.address)
        with pytest.raises(ConfigError, match="is in use"):
            await GrpcServer(w.engine, taken, w.clock).start()


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("6000", "'6000' is not an address; allowed: HOST:PORT"),
        ("0.0.0.0:99999", "is not an address"),
        ("192.0.2.1:0", "192.0.2.1 is not an address of this machine"),
        ("nowhere.invalid:0", "'nowhere.invalid' is not a host"),
    ],
)
async def test_an_address_that_cannot_be_had(address, sentence):
    with pytest.raises(ConfigError, match=sentence):
        async with world(listen=replace(LOOPBACK, address=address)):
            pass


async def test_a_server_is_ready_while_it_listens():
    async with world() as w:
        (server,) = w.servers
        assert server.problem() == ""
        assert await health(w.address) == SERVING
        assert await health(w.address, "") == SERVING
        assert GrpcServer(w.engine, LOOPBACK, w.clock).problem() == "not listening yet"
    assert server.problem() == "draining"


@pytest.mark.parametrize("shown", [True, False])
async def test_reflection_is_there_when_it_is_asked_for(shown):
    async with world(listen=replace(LOOPBACK, reflection=shown)) as w, grpc.aio.insecure_channel(w.address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
        if not shown:
            assert (await refused(call.read()))[0] == "UNIMPLEMENTED"
            return
        listed = {service.name for service in (await call.read()).list_services_response.service}
        assert listed == {SCALER, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}


# ---- staying ----


async def test_an_old_connection_is_renewed_without_losing_a_call():
    async with (
        world({"waiting": 5.0}, listen=replace(LOOPBACK, max_connection_age=0.1)) as w,
        service(lambda: [w.servers[0].port]) as name,
        client(f"127.0.0.1:{name.port}") as stub,
    ):
        while len(name.taken) < 4:
            assert (await stub.GetMetrics(asking())).metricValues[0].metricValue == 3


async def test_streams_end_with_ok_before_their_connection_is_too_old():
    async with world(listen=replace(LOOPBACK, max_connection_age=1.0)) as w, client(w.address) as stub:
        for stream in (stub.StreamIsActive(ref()), stub.StreamMetricSpec(ref())):
            assert len([word async for word in stream]) == 1
            assert await stream.code() == grpc.StatusCode.OK


def test_streams_do_not_all_end_together():
    listen = ServerOptions(max_connection_age=100.0)
    ages = {listen.stream_age() for _ in range(50)}
    assert len(ages) > 40
    assert 60.0 <= min(ages) <= max(ages) <= 90.0


async def test_above_the_limit_a_stream_is_refused_and_calls_go_on():
    async with world(listen=replace(LOOPBACK, max_streams=1)) as w, client(w.address) as stub:
        first = stub.StreamMetricSpec(ref())
        await first.read()
        assert await refused(stub.StreamIsActive(ref()).read()) == (
            "RESOURCE_EXHAUSTED",
            "1 streams are open, and this server carries no more",
        )
        assert (await stub.IsActive(ref())).result is False


# ---- leaving ----


async def test_a_server_that_drains_says_so_ends_its_streams_and_answers_on():
    async with world({"waiting": 5.0}, listen=replace(LOOPBACK, drain=1.0)) as w, client(w.address) as stub:
        streams = [stub.StreamIsActive(ref()), stub.StreamMetricSpec(ref())]
        for stream in streams:
            await stream.read()
        leaving = asyncio.create_task(w.servers[0].stop())
        for stream in streams:
            assert await stream.read() is grpc.aio.EOF
            assert await stream.code() == grpc.StatusCode.OK
        assert w.servers[0].problem() == "draining"
        assert await health(w.address) == NOT_SERVING
        assert (await stub.GetMetrics(asking())).metricValues[0].metricValue == 3
        late = stub.StreamMetricSpec(ref())
        assert [len(word.metricSpecs) async for word in late] == [1]
        assert await late.code() == grpc.StatusCode.OK
        await leaving
        assert (await refused(stub.IsActive(ref())))[0] == "UNAVAILABLE"


async def test_no_call_is_lost_when_a_server_leaves_while_all_are_asking():
    """Sixteen callers over one Service of two servers; the one that all are connected to goes."""
    listen = replace(LOOPBACK, max_connection_age=0.5, drain=0.1, quiet_period=0.3, grace=10.0)
    async with world({"waiting": 5.0}, listen=listen, servers=2) as w:
        going = w.servers[0]
        ports = [server.port for server in w.servers]

        def ready():
            return [port for server, port in zip(w.servers, ports, strict=True) if not server.problem()]

        async with service(ready) as name, client(f"127.0.0.1:{name.port}") as stub:
            gone = asyncio.Event()

            async def ask_on():
                answers = 0
                while not gone.is_set():
                    assert (await stub.GetMetrics(asking())).metricValues[0].metricValue == 3
                    answers += 1
                return answers

            asking_on = [asyncio.create_task(ask_on()) for _ in range(16)]
            while not name.taken:
                await stub.IsActive(ref())
            await going.stop()
            assert (await stub.IsActive(ref())).result is True
            gone.set()
            assert all([await answers > 0 for answers in asking_on])
        assert {name.taken[0], name.taken[-1]} == set(ports)


@pytest.mark.parametrize("callers", [1, 16])
async def test_clients_that_never_leave_are_told_unavailable_and_named_in_the_log(callers, caplog):
    listen = replace(LOOPBACK, quiet_period=0.05, grace=0.1)
    async with world(BUSY, listen=listen) as w, contextlib.AsyncExitStack() as stack:
        seen = []

        async def ask_on(stub):
            while not seen or seen[-1] == "OK":
                for call, asked in ((stub.GetMetrics, asking()), (stub.GetMetricSpec, ref()), (stub.IsActive, ref())):
                    try:
                        await call(asked)
                        seen.append("OK")
                    except grpc.aio.AioRpcError as error:
                        seen.append(error.code().name)

        stubs = [await stack.enter_async_context(client(w.address)) for _ in range(callers)]
        await asyncio.gather(*(stub.IsActive(ref()) for stub in stubs))
        callings = [asyncio.create_task(ask_on(stub)) for stub in stubs]
        await w.servers[0].stop()
        await asyncio.gather(*callings)
        assert set(seen) == {"OK", "UNAVAILABLE"}, "an answer, or what KEDA asks again after"
    assert "clients are still asking" in caplog.text
    assert not [record for record in caplog.records if record.exc_info]


async def test_stopping_twice_or_before_the_start_is_harmless():
    async with world() as w:
        await w.servers[0].stop()
        await w.servers[0].stop()
        await GrpcServer(w.engine, LOOPBACK, w.clock).stop()


async def test_a_slow_protobuf_is_said_at_the_start(caplog, monkeypatch):
    monkeypatch.setattr("google.protobuf.internal.api_implementation.Type", lambda: "python")
    async with world():
        assert "protobuf does not use upb and is slow" in caplog.text
