"""Start to first answer, and resident memory with 1,000 workloads, of the real `llm-scaler serve` on a real Prometheus.

    .venv/bin/python tests/benchmarks/bench_serve.py

Targets: a first answer within 2 s of the start of the process; of 1,000 workloads that a fresh process is asked about
at once, as after a restart, 99 % are answered within the 2 s of a call; at most 150 MB resident with 1,000 workloads.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import grpc
from support.prometheus_server import Prometheus, free_port, openmetrics, series

from scaler.server.pb import externalscaler_pb2 as pb
from scaler.server.pb import externalscaler_pb2_grpc as pb_grpc

WORKLOADS = 1000
STARTS = 5


def history(now):
    """Half an hour of two gauges for every workload, and a sign of life; a third of it is past."""
    lines = series("up", {"job": "x", "instance": "x"}, f"1x{1800 // 15}", now - 600)
    for name in ("vllm:num_requests_waiting", "vllm:num_requests_running"):
        for number in range(WORKLOADS):
            labels = {"namespace": "team", "model_name": f"m{number}", "pod": f"p{number}", "job": "x", "instance": "x"}
            lines += series(name, labels, f"{number % 50 + 1}x{1800 // 15}", now - 600)
    return lines


def request(number):
    ref = pb.ScaledObjectRef(
        namespace="team",
        name=f"w{number}",
        scalerMetadata={"expression": "waiting + running", "target": "8", "model": f"m{number}"},
    )
    return pb.GetMetricsRequest(scaledObjectRef=ref, metricName="llm-scaler")


def call(stub, number):
    return stub.GetMetrics(request(number), timeout=10)


async def ask_all_at_once(port):
    """Seconds from each call to its answer, or None where it got none."""

    async def ask(stub, number):
        began = time.monotonic()
        try:
            await stub.GetMetrics(request(number), timeout=10)
        except grpc.RpcError:
            return None
        return time.monotonic() - began

    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = pb_grpc.ExternalScalerStub(channel)
        return await asyncio.gather(*(ask(stub, number) for number in range(WORKLOADS)))


def start(url):
    port = free_port()
    command = [sys.executable, "-m", "scaler", "serve", "--prometheus", url, "--grpc-address", f"127.0.0.1:{port}"]
    command += ["--admin-address", "127.0.0.1:0", "--grpc-drain", "0s", "--log-level", "error"]
    return subprocess.Popen(command), port


def first_answer(url):
    began = time.monotonic()
    process, port = start(url)
    try:
        while True:
            try:
                with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                    call(pb_grpc.ExternalScalerStub(channel), 7)
                    return time.monotonic() - began
            except grpc.RpcError:
                if time.monotonic() - began > 30:
                    raise
                time.sleep(0.02)
    finally:
        process.kill()
        process.wait()


def resident(process):
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def cpu(process):
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main():
    now = time.time()
    with tempfile.TemporaryDirectory() as folder:
        prometheus = Prometheus(Path(folder))
        prometheus.load(openmetrics(history(now)))
        prometheus.start()
        try:
            starts = sorted(first_answer(prometheus.url) for _ in range(STARTS))
            print(
                f"start to first answer   median {starts[STARTS // 2]:.2f} s   ({', '.join(f'{s:.2f}' for s in starts)})   target 2 s"
            )
            process, port = start(prometheus.url)
            try:
                time.sleep(3)
                empty = resident(process)
                spans = asyncio.run(ask_all_at_once(port))
                in_time = sum(span is not None and span <= 2.0 for span in spans)
                print(
                    f"1,000 asked for at once {in_time / WORKLOADS:.1%} answered within 2 s of their call   target 99%"
                )
                with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                    stub = pb_grpc.ExternalScalerStub(channel)
                    time.sleep(12)
                    before = cpu(process)
                    time.sleep(20)
                    print(
                        f"resident memory         {empty:.0f} MB empty, {resident(process):.0f} MB with 1,000 workloads   target 150 MB"
                    )
                    print(f"CPU of 4 ticks          {(cpu(process) - before) / 20:.1%} of a core")
                    answered = sum(call(stub, number).metricValues[0].metricValue >= 0 for number in range(WORKLOADS))
                    print(f"answered afterwards     {answered}")
            finally:
                process.kill()
                process.wait()
        finally:
            prometheus.kill()


if __name__ == "__main__":
    main()
