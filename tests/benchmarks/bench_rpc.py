"""CPU that the server spends on one GetMetrics, against a bare grpc.aio handler that returns constant bytes.

    .venv/bin/python tests/benchmarks/bench_rpc.py [rounds]

Both servers run in processes of their own, and say themselves what CPU they have used (getrusage). The real one is the
whole service path: guard, metrics, protobuf, the engine with 1,000 workloads of six metadata keys. Its clock stands
still while it is asked: ticks cost the same whether anybody asks or not, and are no part of a call. The two are asked
in turn, eight calls in flight over one connection, so that a noisy machine is noisy for both; the ratio of each pair is
one measurement.
"""

import asyncio
import json
import resource
import statistics
import subprocess
import sys
import threading
import time
from itertools import cycle, islice
from pathlib import Path

import grpc
import uvloop

sys.path[:0] = [str(Path(__file__).parents[1])]

from server.world import LOOPBACK, Clock, Timeline, catalog, formula  # noqa: E402

from scaler.config.defaults import Defaults  # noqa: E402
from scaler.engine.engine import Engine  # noqa: E402
from scaler.engine.limits import Limits  # noqa: E402
from scaler.server import metrics  # noqa: E402
from scaler.server.listen import GrpcServer  # noqa: E402
from scaler.server.pb import externalscaler_pb2 as pb  # noqa: E402
from scaler.server.pb import externalscaler_pb2_grpc as pb_grpc  # noqa: E402

WORKLOADS, IN_FLIGHT, CALLS, TARGET = 1000, 8, 1000, 1.2
VALUES = {"waiting": 5.0, "running": 3.0, "current_replicas": 2.0, "ready_replicas": 2.0}
ANSWER = pb.GetMetricsResponse(
    metricValues=[pb.MetricValue(metricName="queue", metricValue=4, metricValueFloat=4.0)]
).SerializeToString()


def trigger(number):
    metadata = {
        "scalerAddress": "llm-scaler.keda.svc.cluster.local:6000",
        "formula": "queue",
        "model": "meta-llama/Llama-3-8b-Instruct",
        "target": "2",
        "holdFor": "3m",
        "id": f"chat-{number}",
    }
    return pb.ScaledObjectRef(name=f"chat-{number}", namespace="models", scalerMetadata=metadata)


async def bare():
    async def answer(_request, _context):
        return ANSWER

    handler = grpc.unary_unary_rpc_method_handler(answer)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("externalscaler.ExternalScaler", {"GetMetrics": handler})]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return port, server


async def real():
    unknown = dict.fromkeys(("min_replicas", "max_replicas"))
    engine = Engine({"default": Timeline({**VALUES, **unknown})}, catalog(formula()), Defaults(), Clock(), Limits())
    server = GrpcServer(engine, LOOPBACK, time.perf_counter, metrics.Calls(metrics.registry()).observe)
    await server.start()
    return server.port, server, asyncio.create_task(engine.run())


def report_when_asked():
    for _ in sys.stdin:
        used = resource.getrusage(resource.RUSAGE_SELF)
        print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, flush=True)


async def serve(kind):
    port, *_kept = await {"bare": bare, "real": real}[kind]()
    print(port, flush=True)
    threading.Thread(target=report_when_asked, daemon=True).start()
    await asyncio.Event().wait()


class Subject:
    """A server in a process of its own."""

    def __init__(self, kind):
        command = [sys.executable, __file__, "serve", kind]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{int(self.process.stdout.readline())}")
        self.stub = pb_grpc.ExternalScalerStub(self.channel)

    def used(self):
        """CPU seconds so far, and MiB resident at most."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        cpu, resident = self.process.stdout.readline().split()
        return float(cpu), float(resident)

    async def ask(self, requests):
        """Make the calls, eight in flight; every answer is looked at."""
        waiting = iter(requests)

        async def caller():
            for request in waiting:
                assert (await self.stub.GetMetrics(request)).metricValues[0].metricValue == 4

        await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))

    async def cpu_per_call(self, requests):
        """Microseconds of the server's CPU for each call."""
        before, _ = self.used()
        await self.ask(requests)
        return (self.used()[0] - before) / len(requests) * 1e6


async def compare(rounds):
    subjects = {kind: Subject(kind) for kind in ("bare", "real")}
    requests = [pb.GetMetricsRequest(scaledObjectRef=trigger(n), metricName="queue") for n in range(WORKLOADS)]
    for subject in subjects.values():
        await subject.ask(requests)
    mixed = list(islice(cycle(requests), CALLS))
    pairs = []
    for number in range(rounds):
        order = ("bare", "real") if number % 2 else ("real", "bare")
        spent = {kind: await subjects[kind].cpu_per_call(mixed) for kind in order}
        pairs.append((spent["bare"], spent["real"]))
        print(f"round {number + 1}: bare {spent['bare']:.0f} us, real {spent['real']:.0f} us", file=sys.stderr)
    resident = {kind: subject.used()[1] for kind, subject in subjects.items()}
    for subject in subjects.values():
        await subject.channel.close()
        subject.process.kill()
        subject.process.wait()
    return {
        "bare_us": round(statistics.median(bare for bare, _ in pairs)),
        "real_us": round(statistics.median(real for _, real in pairs)),
        "ratio": round(statistics.median(real / bare for bare, real in pairs), 3),
        "target": TARGET,
        "resident_mib": {kind: round(size) for kind, size in resident.items()},
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        uvloop.run(serve(sys.argv[2]))
    else:
        result = asyncio.run(compare(int(sys.argv[1]) if sys.argv[1:] else 40))
        print(json.dumps(result))
        sys.exit(result["ratio"] > TARGET)
