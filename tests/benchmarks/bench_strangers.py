"""What a flood of made-up workloads costs an honest one: latency before and during, errors, certainty.

usage: bench_strangers.py [COUNT] [SECONDS]      10,000 workloads in one namespace, for 30 s, from 100 callers at a time

A real Prometheus and the real service on loopback. The honest one asks five times a second from a process of its own.
Run it on a machine that does nothing else: what is measured is who waits for whom.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import grpc
from support.process import serving
from support.prometheus_server import Pages, Prometheus, until

from scaler.server.pb import externalscaler_pb2 as pb
from scaler.server.pb import externalscaler_pb2_grpc as pb_grpc

CALLERS = 100
PAGE = 'vllm:num_requests_waiting{model_name="llama"} 3\nvllm:num_requests_running{model_name="llama"} 2\n'
HONEST = {"formula": "queue-depth", "model": "llama", "target": "1"}


def question(namespace: str, name: str, metadata: dict[str, str]) -> object:
    ref = pb.ScaledObjectRef(namespace=namespace, name=name, scalerMetadata=metadata)
    return pb.GetMetricsRequest(scaledObjectRef=ref, metricName="queue-depth")


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
            time.sleep(0.2)
    print(json.dumps(rows))


async def flood(address: str, count: int, seconds: float) -> int:
    """Ask for made-up workloads, as many at a time as there are callers; returns how often."""
    until_then, asked = time.time() + seconds, 0
    async with grpc.aio.insecure_channel(address) as channel:
        stub = pb_grpc.ExternalScalerStub(channel)

        async def call() -> None:
            nonlocal asked
            while time.time() < until_then:
                asked += 1
                made_up = {"formula": "queue-depth", "model": f"m{asked % count}", "target": "8"}
                try:
                    await stub.GetMetrics(question("made-up", f"w{asked % count}", made_up), timeout=20)
                except grpc.aio.AioRpcError:
                    continue

        await asyncio.gather(*(call() for _ in range(CALLERS)))
    return asked


def summary(rows: list[tuple[float, float, str]], since: float, to: float) -> str:
    """Calls within a time: how many, how many failed, and how long they took."""
    some = [row for row in rows if since <= row[0] < to]
    took = sorted(row[1] * 1000 for row in some)
    failed = [row[2] for row in some if row[2]]
    p50, p99 = (took[min(len(took) - 1, int(len(took) * part))] for part in (0.5, 0.99))
    return f"{len(some)} calls, {len(failed)} errors, p50 {p50:.1f} ms, p99 {p99:.1f} ms {failed[:1]}"


def main(count: int, seconds: float) -> None:
    folder, pages = Path(tempfile.mkdtemp()), Pages()
    pages.pages["llm-0"] = PAGE
    prometheus = Prometheus(folder / "prometheus")
    target = {"targets": [f"127.0.0.1:{pages.port}"], "labels": {"namespace": "demo", "pod": "llm-0"}}
    prometheus.scrape([{"job_name": "llm-0", "metrics_path": "/llm-0/metrics", "static_configs": [target]}])
    prometheus.start()
    try:
        with serving(folder, prometheus.url) as server:
            # It believes nothing before Prometheus has two minutes of past.
            until(lambda: "so 5 replicas" in server.ask(**HONEST)[1], tries=4800)
            lasts = seconds + 30
            command = [sys.executable, __file__, "honest", server.grpc, str(lasts)]
            asking = subprocess.Popen(command, stdout=subprocess.PIPE)
            start = time.time()
            time.sleep(15)
            began = time.time()
            asked = asyncio.run(flood(server.grpc, count, seconds))
            ended = time.time()
            rows = json.loads(asking.communicate()[0])
            [decision] = json.loads(server.get("/api/v1/explain/demo/llama"))["decisions"]
            print(f"{asked} calls for {count} made-up workloads in {ended - began:.0f} s")
            print(f"honest before: {summary(rows, start, began)}")
            print(f"honest during: {summary(rows, began, ended)}")
            print(f"honest after: certainty {decision['certainty']}")
    finally:
        prometheus.kill()
        pages.close()


if __name__ == "__main__":
    if sys.argv[1:2] == ["honest"]:
        honest(sys.argv[2], float(sys.argv[3]))
    else:
        given = [float(word) for word in sys.argv[1:]]
        main(int(given[0]) if given else 10_000, given[1] if len(given) > 1 else 30.0)
