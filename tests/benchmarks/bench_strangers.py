"""What a flood of calls costs an honest workload: its latency before and during, its errors, its certainty.

usage: bench_strangers.py [SECONDS] [FLOOD ...]      20 s each of `bare`, `own`, `wrong`, `new`, `many` and `polled`

    bare    the floor: a grpc.aio server that answers the same calls with constant bytes
    own     one namespace asks for its one workload, as fast as it is answered
    wrong   one namespace sends triggers that are refused, each another one
    new     one namespace makes up workloads: 10,000 of them
    many    the same, each in a namespace of its own
    polled  10,000 made-up workloads over 500 namespaces, each asked about every 30 s as KEDA does: 333 calls a second

Each flood but the last comes from 100 callers at a time, on a connection of their own. The honest one asks ten times a second from a
process of its own. A real Prometheus and the real service on loopback. In a cluster callers and Prometheus have machines
of their own: so they give way here to the service and to the honest one, and what is measured is who waits for whom, not
who has a core. Run it on a machine that does nothing else.
"""

import asyncio
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import grpc
from support.process import serving
from support.prometheus_server import Pages, Prometheus, openmetrics, series, until

from scaler.server.pb import externalscaler_pb2 as pb
from scaler.server.pb import externalscaler_pb2_grpc as pb_grpc

CALLERS = 100
MADE_UP = 10_000
GIVES_WAY = 15  # niceness of the flood and of Prometheus
CALM = 10.0  # seconds in which the honest one asks alone
PAGE = 'vllm:num_requests_waiting{model_name="llama"} 3\nvllm:num_requests_running{model_name="llama"} 2\n'
HONEST = {"formula": "queue-depth", "model": "llama", "target": "1"}
ANSWER = pb.GetMetricsResponse(metricValues=[pb.MetricValue(metricName="queue-depth", metricValue=5)])


def question(namespace: str, name: str, metadata: dict[str, str]) -> object:
    ref = pb.ScaledObjectRef(namespace=namespace, name=name, scalerMetadata=metadata)
    return pb.GetMetricsRequest(scaledObjectRef=ref, metricName="queue-depth")


def made_up(namespace: str, number: int) -> object:
    trigger = {"formula": "queue-depth", "model": f"m{number % MADE_UP}", "target": "8"}
    return question(namespace, f"w{number % MADE_UP}", trigger)


FLOODS = {
    "bare": lambda number: made_up("red", number),
    "own": lambda _number: made_up("red", 0),
    "wrong": lambda number: question("red", "wrong", {"formula": f"queue-dept{number}"}),
    "new": lambda number: made_up("red", number),
    "many": lambda number: made_up(f"red-{number}", number),
    "polled": lambda number: made_up(f"red-{number % 500}", number),
}
PAUSE = {
    "polled": 30.0 / MADE_UP
}  # seconds between two calls, whatever became of the first; others: when it is answered


def honest(address: str, seconds: float) -> None:
    """Ask as KEDA does, and print when, for how long, and what came of it."""
    with grpc.insecure_channel(address) as channel:
        stub, until_then, rows = pb_grpc.ExternalScalerStub(channel), time.time() + seconds, []
        while time.time() < until_then:
            began, said = time.time(), ""
            try:
                stub.GetMetrics(question("demo", "llama", HONEST), timeout=20)
            except grpc.RpcError as error:
                said = f"{error.code().name}: {error.details()}"
            rows.append((began, time.time() - began, said))
            time.sleep(0.1)
    print(json.dumps(rows))


async def flood(address: str, seconds: float, make, pause: float) -> Counter[str]:
    """Ask, as many at a time as there are callers, or steadily; returns how often which status came."""
    until_then, seen, numbers = time.time() + seconds, Counter(), itertools.count()
    async with grpc.aio.insecure_channel(address) as channel:
        stub = pb_grpc.ExternalScalerStub(channel)

        async def ask() -> None:
            try:
                await stub.GetMetrics(make(next(numbers)), timeout=20)
                seen["OK"] += 1
            except grpc.aio.AioRpcError as error:
                seen[error.code().name] += 1

        async def call() -> None:
            while time.time() < until_then:
                await ask()

        async def poll() -> None:
            under_way, began = set(), time.time()
            while time.time() < until_then:
                await asyncio.sleep(max(0.0, began + len(under_way) * pause - time.time()))
                under_way.add(asyncio.ensure_future(ask()))
            await asyncio.gather(*under_way)

        await (poll() if pause else asyncio.gather(*(call() for _ in range(CALLERS))))
    return seen


def summary(rows: list[tuple[float, float, str]], since: float, to: float) -> str:
    """Calls within a time: how many, how many failed, and how long they took."""
    some = [row for row in rows if since <= row[0] < to]
    took = sorted(row[1] * 1000 for row in some)
    failed = [row[2] for row in some if row[2]]
    p50, p99 = (took[min(len(took) - 1, int(len(took) * part))] for part in (0.5, 0.99))
    return f"{len(some):4} calls, {len(failed)} errors, p50 {p50:6.1f} ms, p99 {p99:6.1f} ms {failed[:1] or ''}"


def measure(name: str, address: str, seconds: float) -> None:
    """Flood a server, and print what its honest client saw before and meanwhile."""
    command = [sys.executable, __file__, "honest", address, str(CALM + seconds + 3)]
    asking = subprocess.Popen(command, stdout=subprocess.PIPE)
    time.sleep(2)  # until it has begun
    start = time.time()
    time.sleep(CALM - 2)
    began = time.time()
    flooding = ["nice", "-n", str(GIVES_WAY), sys.executable, __file__, "flood", address, str(seconds), name]
    seen = Counter(json.loads(subprocess.run(flooding, stdout=subprocess.PIPE, check=True).stdout))
    ended = began + seconds
    rows = json.loads(asking.communicate()[0])
    answers = ", ".join(f"{count} {status}" for status, count in seen.most_common())
    print(f"{name:6} flood of {seen.total()} calls in {seconds:.0f} s: {answers}; load {os.getloadavg()[0]:.1f}")
    print(f"       honest before: {summary(rows, start, began)}")
    print(f"       honest during: {summary(rows, began, ended)}", flush=True)


async def bare() -> None:
    """Serve constant bytes, as little as a server can do."""

    async def answer(_request: bytes, _context: object) -> bytes:
        return ANSWER.SerializeToString()

    server = grpc.aio.server()
    methods = {"GetMetrics": grpc.unary_unary_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("externalscaler.ExternalScaler", methods)])
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await server.wait_for_termination()


def measure_bare(seconds: float) -> None:
    process = subprocess.Popen([sys.executable, __file__, "serve-bare"], stdout=subprocess.PIPE)
    try:
        measure("bare", f"127.0.0.1:{int(process.stdout.readline())}", seconds)
    finally:
        process.kill()
        process.wait()


def past(instance: str) -> str:
    """Ten minutes of the honest workload, so that it is believed at once."""
    own = {"job": "llm-0", "instance": instance, "namespace": "demo", "pod": "llm-0"}
    since, lines = time.time() - 600, []
    for name, value in (("up", 1), ("vllm:num_requests_waiting", 3), ("vllm:num_requests_running", 2)):
        labels = own if name == "up" else {**own, "model_name": "llama"}
        lines += series(name, labels, f"{value}x39", since)
    return openmetrics(lines)


def main(seconds: float, floods: list[str]) -> None:
    folder, pages = Path(tempfile.mkdtemp()), Pages()
    pages.pages["llm-0"] = PAGE
    prometheus = Prometheus(folder / "prometheus", niceness=GIVES_WAY)
    instance = f"127.0.0.1:{pages.port}"
    prometheus.load(past(instance))
    target = {"targets": [instance], "labels": {"namespace": "demo", "pod": "llm-0"}}
    prometheus.scrape([{"job_name": "llm-0", "metrics_path": "/llm-0/metrics", "static_configs": [target]}])
    prometheus.start()
    try:
        if "bare" in floods:
            measure_bare(seconds)
        with serving(folder, prometheus.url) as server:
            until(lambda: "so 5 replicas" in server.ask(**HONEST)[1], tries=4800)
            command = [sys.executable, __file__, "honest", server.grpc, "62"]  # what was served for a minute is known
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
            for name in floods:
                if name != "bare":
                    measure(name, server.grpc, seconds)
            [decision] = json.loads(server.get("/api/v1/explain/demo/llama"))["decisions"]
            print(f"honest after: certainty {decision['certainty']}")
    finally:
        prometheus.kill()
        pages.close()


if __name__ == "__main__":
    if sys.argv[1:2] == ["honest"]:
        honest(sys.argv[2], float(sys.argv[3]))
    elif sys.argv[1:2] == ["flood"]:
        print(
            json.dumps(
                asyncio.run(flood(sys.argv[2], float(sys.argv[3]), FLOODS[sys.argv[4]], PAUSE.get(sys.argv[4], 0.0)))
            )
        )
    elif sys.argv[1:2] == ["serve-bare"]:
        asyncio.run(bare())
    else:
        main(float(sys.argv[1]) if len(sys.argv) > 1 else 20.0, sys.argv[2:] or list(FLOODS))
