"""How fast the simulation is: `python tests/benchmarks/bench_sim.py [TRACE.csv.gz]`, by hand, on an idle machine.

Without a file it multiplies the slice that is part of the package. CPU seconds of this process.
"""

import sys
import time
from pathlib import Path

from scaler.cluster.keda import ScaledObject
from scaler.sim import trace
from scaler.sim.fleet import Fleet, FleetSpec
from scaler.sim.hardware import hardware
from scaler.sim.loop import Latest, World, fixed, queue_length, run
from scaler.sim.score import SloTarget, score

FLEET = FleetSpec(hardware("a100-8b-bf16"))


def timed(label, count, unit, work):
    start = time.process_time()
    result = work()
    spent = time.process_time() - start
    print(f"{label:42} {spent:7.2f} s   {count / spent:12,.0f} {unit}/s")
    return result


def main():
    base = trace.read(Path(sys.argv[1])) if len(sys.argv) > 1 else trace.azure_slice()
    load = trace.multiply(base, 10)
    print(f"{len(load):,} requests in {load[-1].at:,.0f} s")

    def play(replicas):
        fleet = Fleet(FLEET, ready=replicas)
        fleet.play(load)
        fleet.advance(fleet.now + 3600)
        return fleet

    for replicas in (4, 12, 48):
        timed(f"fleet alone, {replicas} replicas", len(load), "requests", lambda n=replicas: play(n))
    fleet = play(48)
    timed("snapshots of 48 replicas", 200, "snapshots", lambda: [fleet.snapshot() for _ in range(200)])
    for name, scaled, rule, ready in (
        ("loop, fixed 12", ScaledObject(min_replica_count=12, max_replica_count=12), fixed(12), 12),
        ("loop, waiting / 5", ScaledObject(min_replica_count=1, target=5), queue_length, 1),
    ):
        world = World(FLEET, scaled, ready=ready)
        seen = timed(name, len(load), "requests", lambda w=world, r=rule: run(w, load, Latest(r)))
        result = score(seen, FLEET, SloTarget(), warmup=300 if load[-1].at > 600 else 0)
        print(
            f"    SLO {result.attainment:.1%}, {result.gpu_hours:.1f} GPU-hours, {result.wrong_scale_downs} wrong downs"
        )


if __name__ == "__main__":
    main()
