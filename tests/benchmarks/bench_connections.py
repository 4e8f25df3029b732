"""Thousands of connections and streams of strangers: what they cost the server and an honest caller, and what they leave.

usage: bench_connections.py [COUNT] [KIND ...]      5,000 each of `silent`, `streams`, `unread`, `resets` and `deadlines`

    silent      connections that open HTTP/2 and say nothing more
    streams     open push streams of one workload, on fifty connections
    unread      push streams of connections that let nothing be sent to them
    resets      calls that are reset as soon as they are sent
    deadlines   calls with a deadline of one millisecond, half of them of new workloads

The real service on loopback, without a Prometheus: its answer is that nothing can be measured, which costs it the same.
"""

import asyncio
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import grpc
from server.http2 import call, hello, reset
from support.process import serving

from scaler.server.pb import externalscaler_pb2 as pb
from scaler.server.pb import externalscaler_pb2_grpc as pb_grpc

TRIGGER = {"formula": "queue-depth", "model": "llama"}
CHANNELS = 50
KEPT = 10.0  # seconds for which they stay


def ref(name: str = "llama") -> object:
    return pb.ScaledObjectRef(namespace="demo", name=name, scalerMetadata=TRIGGER)


def held(pid: int) -> str:
    """What a process holds: memory, files, threads."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return f"{int(status['VmRSS'].split()[0]) // 1024} MB, {files} files, {int(status['Threads'])} threads"


async def honest(stub, spans: list[float], over: asyncio.Event) -> None:
    """Ask for the spec, as KEDA does, until it is over; no call may fail."""
    while not over.is_set():
        began = time.monotonic()
        await stub.GetMetricSpec(ref("honest"), timeout=20)
        spans.append((time.monotonic() - began) * 1000)
        await asyncio.sleep(0.1)


async def connections(address: str, count: int, said) -> list:
    host, port = address.rsplit(":", 1)
    opened = []
    for number in range(count):
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(said(number))
        opened.append(writer)
    return opened


async def kept(opened: list) -> None:
    """Let connections stay for a while, and end them."""
    await asyncio.sleep(KEPT)
    for writer in opened:
        writer.close()


async def silent(address: str, count: int) -> str:
    opened = await connections(address, count, lambda _number: hello())
    await kept(opened)
    return f"{len(opened)} connections"


async def unread(address: str, count: int) -> str:
    def said(_number):
        return hello(window=0) + b"".join(call("StreamIsActive", ref(), stream) for stream in range(1, 200, 2))

    opened = await connections(address, count // 100, said)
    await kept(opened)
    return f"{count} streams on {len(opened)} connections"


async def resets(address: str, count: int) -> str:
    def said(_number):
        streams = range(1, 200, 2)
        return hello() + b"".join(call("IsActive", ref(), stream) + reset(stream) for stream in streams)

    opened = await connections(address, count // 100, said)
    await kept(opened)
    return f"{count} calls on {len(opened)} connections"


def channels(address: str) -> list:
    own = [("grpc.use_local_subchannel_pool", 1)]
    return [grpc.aio.insecure_channel(address, options=own) for _ in range(CHANNELS)]


async def streams(address: str, count: int) -> str:
    open_channels = channels(address)
    stubs = [pb_grpc.ExternalScalerStub(channel) for channel in open_channels]
    calls = [stubs[number % CHANNELS].StreamMetricSpec(ref()) for number in range(count)]
    seen: Counter[str] = Counter()

    async def first(one) -> None:
        try:
            await one.read()
            seen["OK"] += 1
        except grpc.aio.AioRpcError as error:
            seen[error.code().name] += 1

    await asyncio.gather(*map(first, calls))
    await asyncio.sleep(KEPT)
    for one in calls:
        one.cancel()
    for channel in open_channels:
        await channel.close()
    return f"{dict(seen)}"


async def deadlines(address: str, count: int) -> str:
    open_channels = channels(address)
    stubs = [pb_grpc.ExternalScalerStub(channel) for channel in open_channels]
    seen: Counter[str] = Counter()

    async def ask(number: int) -> None:
        try:
            await stubs[number % CHANNELS].IsActive(ref("llama" if number % 2 else f"w{number}"), timeout=0.001)
            seen["OK"] += 1
        except grpc.aio.AioRpcError as error:
            seen[error.code().name] += 1

    for begin in range(0, count, 500):
        await asyncio.gather(*(ask(number) for number in range(begin, begin + 500)))
    for channel in open_channels:
        await channel.close()
    return f"{dict(seen)}"


KINDS = {"silent": silent, "streams": streams, "unread": unread, "resets": resets, "deadlines": deadlines}


async def measure(server, name: str, count: int) -> None:
    pid, spans, over = server.process.pid, [], asyncio.Event()
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        asking = asyncio.create_task(honest(pb_grpc.ExternalScalerStub(channel), spans, over))
        await asyncio.sleep(3)
        before, calm, began = held(pid), sorted(spans), time.monotonic()
        spans.clear()
        flooding = asyncio.create_task(KINDS[name](server.grpc, count))
        await asyncio.wait([flooding], timeout=KEPT)
        during = held(pid)
        seen, busy = await flooding, sorted(spans)
        await asyncio.sleep(3)
        over.set()
        await asking
    print(f"{name:9} {seen}, in {time.monotonic() - began:.0f} s; load {os.getloadavg()[0]:.1f}")
    print(f"          server: {before} -> {during} -> {held(pid)}")
    print(
        f"          honest: p50 {calm[len(calm) // 2]:.1f} -> {busy[len(busy) // 2]:.1f} ms, most {busy[-1]:.0f} ms",
        flush=True,
    )


def main(count: int, kinds: list[str]) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with serving(Path(tempfile.mkdtemp()), "http://127.0.0.1:1") as server:
        server.ask(**TRIGGER)
        for kind in kinds:
            asyncio.run(measure(server, kind, count))
        print(f"ends with {server.stop()}, tracebacks in its log: {server.log.read_text().count('Traceback')}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000, sys.argv[2:] or list(KINDS))
