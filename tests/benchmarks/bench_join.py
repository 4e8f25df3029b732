"""What it costs to put together targets that each stay apart from their own pods, all in one namespace.

    .venv/bin/python tests/benchmarks/bench_join.py [TARGETS ...]

Each has two pods. Ten times the targets should cost about ten times as much, not a hundred times.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support import cluster as support
from support.cluster import node, on, picture, spec

from scaler.cluster.availability import availability

NODES = 100
ROUNDS = 3
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def main() -> None:
    for many in [int(word) for word in sys.argv[1:]] or [100, 1000]:
        shapes = {f"m{number}": spec(1, **apart(f"m{number}")) for number in range(many)}
        machines = [node(f"n{number}", 80, cpu="1000", pods="1000") for number in range(NODES)]
        pods = [
            on(f"{name}-{copy}", f"n{(number + copy) % NODES}", of, owner=("ReplicaSet", f"{name}-5d8f"))
            for number, (name, of) in enumerate(shapes.items())
            for copy in range(2)
        ]
        joining = Timed(support.assemble)
        support.assemble = joining
        cluster = picture(machines, pods, shapes)
        support.assemble = joining.work
        began = time.perf_counter()
        found = [availability(cluster, one) for one in cluster]
        counted = time.perf_counter() - began
        places = found[0].schedulable.value
        print(f"{many} targets: joined in {joining.took * 1000:.0f} ms, counted in {counted * 1000:.0f} ms ({places})")


class Timed:
    """A function that is called some times, and how long the quickest call took."""

    def __init__(self, work):
        self.work, self.took = work, float("inf")

    def __call__(self, *arguments):
        for _ in range(ROUNDS):
            began = time.perf_counter()
            made = self.work(*arguments)
            self.took = min(self.took, time.perf_counter() - began)
        return made


def apart(name):
    """A pod that shares no node with pods of its own name."""
    term = {"labelSelector": {"matchLabels": {"app": name}}, "topologyKey": "kubernetes.io/hostname"}
    return {"affinity": {"podAntiAffinity": {REQUIRED: [term]}}}


if __name__ == "__main__":
    main()
