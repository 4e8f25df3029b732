"""What strangers send to the gRPC port: odd messages, broken calls, connections that hang. The honest caller is answered."""

import asyncio
import contextlib
import socket
import struct

import grpc
import pytest
from server.http2 import CONTINUATION, HEADERS, PING, call, frame, header, hello, reset
from server.world import asking, client, ref, refused, world

from scaler.server.pb import externalscaler_pb2 as pb

BUSY = {"waiting": 3.0, "running": 1.0}  # two replicas at a target of 2


async def is_answered(stub):
    """The honest caller gets its number."""
    answer = await stub.GetMetrics(asking(), timeout=20)
    return answer.metricValues[0].metricValue == 2


async def until(condition):
    """Wait until something is so in this process."""
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("did not come true")


async def tasks_at_rest(stub):
    """How many tasks there are in this process once an honest call is answered."""
    assert await is_answered(stub)
    await asyncio.sleep(0.05)
    return len(asyncio.all_tasks())


async def until_at_rest(tasks):
    await until(lambda: len(asyncio.all_tasks()) <= tasks)


@contextlib.asynccontextmanager
async def connection(w, *, small=False):
    """A connection of a stranger's own."""
    opened = socket.socket()
    if small:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    opened.setblocking(False)
    await asyncio.get_running_loop().sock_connect(opened, ("127.0.0.1", w.servers[0].port))
    reader, writer = await asyncio.open_connection(sock=opened)
    try:
        yield reader, writer
    finally:
        writer.close()


def text(tag, value):
    """A field of protobuf with text in it, of less than 128 bytes."""
    return bytes([tag << 3 | 2, len(value)]) + value


NOT_UTF_8 = text(1, b"chat") + text(2, b"\xff\xfe\x80")
ODD_KEY = text(1, b"chat") + text(3, text(1, b"\xed\xa0\x80") + text(2, b"x"))


@pytest.mark.parametrize("method", ["IsActive", "GetMetricSpec", "GetMetrics", "StreamIsActive", "StreamMetricSpec"])
@pytest.mark.parametrize("sent", [NOT_UTF_8, ODD_KEY, b"\xff" * 50, b"\x0a", text(1, b"chat")[:-1]])
async def test_a_message_that_cannot_be_read_gets_a_sentence_and_no_traceback(method, sent, caplog):
    if method == "GetMetrics":
        sent = text(1, sent)
    async with world(BUSY) as w, client(w.address) as stub, grpc.aio.insecure_channel(w.address) as channel:
        path = f"/externalscaler.ExternalScaler/{method}"
        if method.startswith("Stream"):
            odd = channel.unary_stream(path)(sent)
            status, said = await refused(anext(aiter(odd)))
        else:
            status, said = await refused(channel.unary_unary(path)(sent))
        assert (status, said) == (
            "INVALID_ARGUMENT",
            "call: is not a message of this service; allowed: protobuf, with texts in UTF-8",
        )
        assert await is_answered(stub)
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"namespace": ""}, "trigger: namespace: '' is not a namespace; allowed: a DNS label"),
        ({"name": ""}, "trigger: name: '' is not the name of an object; allowed: a DNS subdomain"),
        ({"name": "a" * 300}, "trigger: name: 'aaaaaaaa"),
        ({"namespace": "\u202e"}, r"trigger: namespace: '\u202e' is not a namespace"),
        ({"name": "../etc"}, "trigger: name: '../etc' is not the name of an object"),
        ({"\u202e": "x"}, r"trigger: '\u202e': has characters that cannot be printed"),
        ({"a\nb": "x"}, r"trigger: 'a\nb': has characters that cannot be printed"),
        ({"k" * 129: "x"}, "a key of 129 characters; allowed: at most 128"),
        ({"model": "m" * 8193}, "trigger: model: a value of 8193 characters; allowed: at most 8192"),
        ({"model": "\0"}, None),
        ({"model": "\U0001f600" * 2000}, None),
        ({"formula": "\U0010ffff" * 60}, "trigger: metadata: has 2 keys"),
        ({f"k{number}": "x" for number in range(65)}, "trigger: metadata: has 68 keys; allowed: at most 64"),
        ({f"k{number}": "x" for number in range(50_000)}, "trigger: metadata: has 50003 keys and "),
        ({"model": "m" * 3_000_000}, "trigger: metadata: has 3 keys and 3000088 bytes, most of them in 'model'"),
    ],
)
async def test_an_odd_question_gets_a_sentence(given, sentence):
    async with world(BUSY) as w, client(w.address) as stub:
        if sentence and "has 2 keys" in sentence:
            given, sentence = {"formula": "\U0010ffff" * 60, "model": None}, "no formula '"
        for asked in (stub.IsActive(ref(**given)), stub.StreamIsActive(ref(**given), timeout=0.3)):
            if sentence is None:
                assert (await stub.IsActive(ref(**given))).result is True
            elif isinstance(asked, grpc.aio.UnaryUnaryCall):
                status, said = await refused(asked)
                assert status in {"INVALID_ARGUMENT", "NOT_FOUND"}
                assert sentence in said
            asked.cancel()
        assert await is_answered(stub)
        spec = await stub.GetMetricSpec(ref(**given))
        assert len(spec.metricSpecs) == 1, "it cannot fail"


# Between 8 and 16 KiB of headers gRPC refuses some calls by lot, the more the larger they are.
@pytest.mark.parametrize(
    ("size", "status"), [(1000, "OK"), (7000, "OK"), (17_000, "RESOURCE_EXHAUSTED"), (10**6, "RESOURCE_EXHAUSTED")]
)
async def test_headers_of_every_size_hurt_their_own_call_alone(size, status):
    async with world(BUSY) as w, client(w.address) as stub:
        try:
            await stub.IsActive(ref(), metadata=[("x-a", "y" * size)])
            seen = "OK"
        except grpc.aio.AioRpcError as error:
            seen = error.code().name
        assert seen == status
        assert await is_answered(stub)


async def test_what_is_packed_is_read_and_what_unpacks_to_too_much_is_not():
    async with world(BUSY) as w, client(w.address) as stub:
        for packing in (grpc.Compression.Gzip, grpc.Compression.Deflate):
            options = [("grpc.max_send_message_length", -1)]
            async with grpc.aio.insecure_channel(w.address, options=options, compression=packing) as channel:
                ask = channel.unary_unary(
                    "/externalscaler.ExternalScaler/IsActive", pb.ScaledObjectRef.SerializeToString
                )
                assert pb.IsActiveResponse.FromString(await ask(ref())).result is True
                status, _ = await refused(ask(ref(model="x" * 20_000_000)))
                assert status == "RESOURCE_EXHAUSTED"
        assert await is_answered(stub)


@pytest.mark.parametrize(
    "path", ["/externalscaler.ExternalScaler/Nope", "/x.Y/Z", "/", "/externalscaler.ExternalScaler"]
)
async def test_an_unknown_method_is_told_so(path):
    async with world(BUSY) as w, client(w.address) as stub, grpc.aio.insecure_channel(w.address) as channel:
        assert (await refused(channel.unary_unary(path)(b"")))[0] == "UNIMPLEMENTED"
        assert await is_answered(stub)


async def test_deadlines_that_are_too_short_leave_nothing_behind():
    """One that is new would wait for its first decision, and one that is known would get an answer that nobody takes."""
    async with world(BUSY) as w, client(w.address) as stub:
        rest = await tasks_at_rest(stub)
        for _ in range(5):
            names = ["chat", *(f"new-{number}" for number in range(20))]
            asked = [stub.GetMetrics(asking(name=name), timeout=0.001) for name in names]
            for seen in await asyncio.gather(*asked, return_exceptions=True):
                assert not isinstance(seen, Exception) or seen.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        await until_at_rest(rest)
        assert await is_answered(stub)


async def test_calls_that_are_reset_and_connections_that_are_cut_leave_nothing_behind(caplog):
    async with world(BUSY) as w, client(w.address) as stub:
        rest = await tasks_at_rest(stub)
        for number in range(10):
            async with connection(w) as (_, writer):
                writer.write(hello())
                for stream in range(1, 100, 2):
                    writer.write(call("GetMetrics", asking(name=f"w{number}"), stream) + reset(stream))
                    writer.write(call("StreamIsActive", ref(), stream + 100) + reset(stream + 100))
                await writer.drain()
                if number % 2:  # with a RST of TCP, and without
                    raw = writer.get_extra_info("socket")
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert await is_answered(stub)
        await until_at_rest(rest)
        assert len(w.servers[0].streams) == 0
    assert not [record for record in caplog.records if record.exc_info]


HALVES = {
    "headers": lambda: frame(HEADERS, 0, 1, header(b":path", b"/x")),
    "half a frame": lambda: call("IsActive", ref())[:40],
    "no message": lambda: call("IsActive", ref())[: -len(ref().SerializeToString()) - 5],
    "a message that does not end": lambda: call("IsActive", ref(), ends=False)[:-10],
    "endless headers": lambda: frame(HEADERS, 0, 1) + frame(CONTINUATION, 0, 1, header(b"x", b"y")) * 2000,
    "pings": lambda: frame(PING, 0, 0, b"x" * 8) * 2000,
    "what is no frame": lambda: b"\xff" * 5000,
}


@pytest.mark.parametrize("half", HALVES.values(), ids=HALVES)
async def test_half_a_call_holds_up_nobody_and_is_gone_with_its_connection(half):
    async with world(BUSY) as w, client(w.address) as stub, contextlib.AsyncExitStack() as stack:
        rest = await tasks_at_rest(stub)
        for _ in range(20):
            _, writer = await stack.enter_async_context(connection(w))
            with contextlib.suppress(ConnectionError):
                writer.write(hello() + half())
                await writer.drain()
        assert await is_answered(stub)
        await stack.aclose()
        await until_at_rest(rest)
        assert await is_answered(stub)


async def test_who_does_not_read_its_stream_makes_nothing_pile_up(caplog):
    async with world({"waiting": 0.0, "running": 0.0}) as w, client(w.address) as stub:
        async with connection(w, small=True) as (_, writer):
            rest = len(asyncio.all_tasks())
            writer.write(hello(window=0))
            for stream in range(1, 20, 2):
                writer.write(call("StreamIsActive", ref(), stream))
            await writer.drain()
            await until(lambda: len(w.servers[0].streams) == 10)
            await until(w.engine.decisions)
            await until(lambda: len(asyncio.all_tasks()) >= rest + 10)
            most = len(asyncio.all_tasks()) + 20
            for number in range(60):
                await w.at(5 * number + 5, waiting=float(number % 2) * 4)
            assert len(asyncio.all_tasks()) <= most
            assert (await stub.GetMetrics(asking(), timeout=20)).metricValues[0].metricValue == 2
        await until(lambda: len(w.servers[0].streams) == 0)
        await until_at_rest(rest)
    assert not [record for record in caplog.records if record.exc_info]


async def test_three_hundred_streams_of_one_workload_wake_and_go_without_a_trace():
    async with world({"waiting": 0.0, "running": 0.0}) as w, client(w.address) as stub:
        streams = [stub.StreamIsActive(ref()) for _ in range(300)]
        assert {(await stream.read()).result for stream in streams} == {False}
        await w.at(5, waiting=4.0)
        assert {(await stream.read()).result for stream in streams} == {True}
        assert await is_answered(stub)
        for stream in streams:
            stream.cancel()
        await until(lambda: len(w.servers[0].streams) == 0)
        assert await is_answered(stub)


async def test_more_calls_at_once_than_grpc_keeps_by_itself_are_all_answered():
    """As after a restart. gRPC cancels some of those that it has not taken in, where these are more than 1,000."""
    async with world(BUSY) as w, contextlib.AsyncExitStack() as stack:
        own = [("grpc.use_local_subchannel_pool", 1)]
        stubs = [await stack.enter_async_context(client(w.address, options=own)) for _ in range(10)]
        asked = [stubs[number % 10].GetMetricSpec(ref(name=f"w{number}")) for number in range(1500)]
        assert {answer.metricSpecs[0].targetSize for answer in await asyncio.gather(*asked)} == {1}
