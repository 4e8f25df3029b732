"""What it costs to say how many replicas can be had in a large cluster, for one workload and for many.

    .venv/bin/python tests/benchmarks/bench_gpu.py [NODES] [PODS]

Every second node has 8 GPUs; pods lie anywhere and hold 0 to 2 of them. Between two rounds a hundredth of the nodes changes, as
in a busy cluster.
"""

import random
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from dataclasses import replace

from support.cluster import node, on, picture, spec

from scaler.cluster.availability import availability
from scaler.model.nodes import NodeUsage

ROUNDS = 20


def main() -> None:
    nodes, pods = (int(word) for word in (*sys.argv[1:], *("5000", "50000")[len(sys.argv) - 1 :]))
    chance = random.Random(1)
    taint = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
    machines = [
        node(f"n{n}", 8 if n % 2 else None, labels={"product": "h100", "zone": f"z{n % 3}"}, taints=[taint] * (n % 2))
        for n in range(nodes)
    ]
    tolerations = [{"key": "nvidia.com/gpu", "operator": "Exists"}]
    wishes = {"nodeSelector": {"product": "h100"}, "tolerations": tolerations}
    shapes = {f"m{n}": {**spec(1 + n % 4, **wishes), "overhead": {"cpu": f"{n}m"}} for n in range(1, 101)}
    there = [on(f"p{n}", f"n{chance.randrange(nodes)}", spec(chance.choice([0, 0, 1, 2]))) for n in range(pods)]
    began = time.perf_counter()
    cluster = picture(machines, there, shapes)
    print(f"{nodes} nodes and {pods} pods are read in {time.perf_counter() - began:.1f} s")
    scaled = list(cluster)
    for many in (1, 10, 100):
        took = []
        for _ in range(ROUNDS if many < 100 else 5):
            cluster = changed(cluster, chance, nodes)
            began = time.perf_counter()
            found = [availability(cluster, one) for one in scaled[:many]]
            took.append(time.perf_counter() - began)
        print(
            f"{many} workloads: {statistics.median(took) * 1000:.1f} ms, at most {max(took) * 1000:.1f} ms "
            f"({found[0].schedulable.value} places for the first)"
        )


def changed(cluster, chance, nodes):
    """The same with a hundredth of its nodes fuller or emptier by a GPU."""
    loads = dict(cluster.node_snapshot.usage)
    for name in (f"n{chance.randrange(nodes)}" for _ in range(nodes // 100)):
        loads[name] = NodeUsage({"nvidia.com/gpu": chance.randint(0, 8), "pods": 5, "cpu": 4000})
    return replace(cluster, node_snapshot=replace(cluster.node_snapshot, usage=loads))


if __name__ == "__main__":
    main()
