"""One grouped query against one query per workload, on a real Prometheus: server CPU, wall time, equal values.

    .venv/bin/python tests/benchmarks/bench_grouping.py [WORKLOADS] [PODS]

Both sides go through PrometheusSource and ask the same instant; the server's CPU is its utime + stime, with what it
spends when nobody asks subtracted. The sides alternate round by round, medians are shown.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.prometheus_server import Prometheus, openmetrics, series

from scaler.config.endpoint import Endpoint
from scaler.model.measurement import PromqlQuery, Reading, SignalQuery
from scaler.sources.prometheus.source import PrometheusSource

START = 1_790_000_000.0
AT = START + 600
ROUNDS = 5
GROUPED_ROUNDS = 40  # of one measurement, since one grouped query is shorter than a tick of the CPU clock
TICK = os.sysconf("SC_CLK_TCK")


def main() -> None:
    workloads, pods = (int(word) for word in (*sys.argv[1:], *("1000", "2")[len(sys.argv) - 1 :]))
    with tempfile.TemporaryDirectory() as folder:
        server = Prometheus(Path(folder))
        server.load(openmetrics(world(workloads, pods)))
        server.start()
        try:
            measure(server, workloads)
        finally:
            server.kill()


def world(workloads: int, pods: int) -> list[str]:
    lines = []
    for at in range(workloads):
        for pod in range(pods):
            name = f"model-{at}-{pod}"
            target = {"job": "vllm", "instance": name, "namespace": f"team-{at % 50}", "pod": name}
            lines += series("up", target, "1x40", START)
            labels = {**target, "engine": "0", "model_name": f"model-{at}"}
            lines += series("vllm:num_requests_waiting", labels, f"{at % 7}x40", START)
    return lines


def measure(server: Prometheus, workloads: int) -> None:
    source = PrometheusSource(Endpoint("bench", server.url, timeout=60))
    queries = [
        SignalQuery("bench", "vllm", "waiting", (("namespace", f"team-{at % 50}"), ("model", f"model-{at}")))
        for at in range(workloads)
    ]
    plain = [
        PromqlQuery(
            "bench",
            "sum(max by (pod, engine) (vllm:num_requests_waiting"
            f'{{namespace="team-{at % 50}",model_name="model-{at}",server=""}}))',
        )
        for at in range(workloads)
    ]

    def together() -> object:
        return source.fetch(queries, [AT])

    def one_by_one() -> object:
        return [source.fetch([query], [AT]) for query in queries]

    def one_by_one_plain() -> object:
        return [source.fetch([query], [AT]) for query in plain]

    found = source.fetch(queries, [AT])
    separate = {query: one for single in queries for query, one in source.fetch([single], [AT]).items()}
    bare = [source.fetch([query], [AT])[query][0] for query in plain]
    values = [one.value for query in queries for one in found[query] if isinstance(one, Reading)]
    assert len(values) == workloads
    assert all(replace(found[query][0], source="") == replace(separate[query][0], source="") for query in queries)
    assert values == [one.value for one in bare if isinstance(one, Reading)]

    idle = rate_of_idling(server)
    sides: dict[str, tuple[Callable[[], object], int]] = {
        "grouped, four stats": (together, GROUPED_ROUNDS),
        "one query per workload, four stats": (one_by_one, 1),
        "one query per workload, value only": (one_by_one_plain, 1),
    }
    costs: dict[str, list[tuple[float, float, float]]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, (side, repeats) in sides.items():
            costs[name].append(cost(server, side, repeats, idle))
    print(f"{workloads} workloads, values equal; ms per tick, medians of {ROUNDS} rounds")
    print(f"{'':36} {'server CPU':>10} {'client CPU':>10} {'wall':>8} {'server CPU ratio':>17}")
    medians = {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in costs.items()}
    base = medians["grouped, four stats"][0]
    for name, (cpu, client, wall) in medians.items():
        print(f"{name:36} {cpu * 1000:10.1f} {client * 1000:10.1f} {wall * 1000:8.1f} {cpu / base:17.1f}")


def server_cpu(server: Prometheus) -> float:
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def rate_of_idling(server: Prometheus) -> float:
    before = server_cpu(server)
    time.sleep(3)
    return (server_cpu(server) - before) / 3


def cost(server: Prometheus, side: Callable[[], object], repeats: int, idle: float) -> tuple[float, float, float]:
    cpu, client, wall = server_cpu(server), time.process_time(), time.perf_counter()
    for _ in range(repeats):
        side()
    took = time.perf_counter() - wall
    used = server_cpu(server) - cpu - idle * took
    return used / repeats, (time.process_time() - client) / repeats, took / repeats


if __name__ == "__main__":
    main()
