"""Judge decisions: `python tests/benchmarks/decisions/run.py [--trace NAME ...] [--policy NAME ...] [--out FOLDER]`.

Every cell is one trace, one cold start, one seed and one policy, in virtual time over scaler/sim's fleet; the README
tells what the columns mean. Results are kept as JSON lines, so that a run can go on where it was stopped.
"""

import argparse
import functools
import itertools
import json
import math
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import compiled  # noqa: F401  first: it lets the compiled simulator be found
import policies
import traces

from scaler.policy.recall import RecalledPast
from scaler.sim.fleet import FleetSpec
from scaler.sim.hardware import Hardware, hardware
from scaler.sim.loop import Latest, World, fixed, run
from scaler.sim.score import SloTarget, score
from scaler.sim.trace import Trace

WARMUP = 1800.0
SHORT = 2 * 3600.0  # a trace up to so long warms up for five minutes
STARTUPS = (60.0, 180.0, 600.0)


@dataclass(frozen=True)
class Run:
    """What all policies of a cell have in common."""

    trace: Trace
    fleet: FleetSpec
    hardware: Hardware
    startup: float
    past: RecalledPast = ()  # the days before


@functools.lru_cache(maxsize=2)
def made_of(name, seed):
    """The trace of a seed: by its name, or FILE.csv.gz:FACTOR. The cells of one trace follow each other."""
    if name in traces.MADE:
        return traces.MADE[name](seed)
    path, _, factor = name.partition(":")
    return traces.from_file(Path(path), float(factor or 1))(seed)


def judge(trace, world, policy, warmup):
    """The figures of one run."""
    timeline = run(world, trace, policy)
    result = score(timeline, world.fleet, SloTarget(), warmup)
    late = sorted(one.ttft for one in timeline.done if one.arrival.at >= warmup)
    p99 = late[min(int(0.99 * len(late)), len(late) - 1)] if late else 0.0
    span = max(timeline.end - warmup, 1.0)
    return {
        "requests": result.requests,
        "share": result.attainment,
        "hours": result.gpu_hours,
        "mean": result.replica_hours * 3600 / span,
        "changes": result.scale_ups + result.scale_downs,
        "wrong": result.wrong_scale_downs,
        "worst": result.worst_window,
        "p99": p99 if math.isfinite(p99) else None,
    }


def cell(task):
    """Judge one policy on one trace, cold start and seed."""
    name, row, startup, seed, policy = task
    machine = hardware(row)
    made = made_of(name, seed)
    warmup = WARMUP if made[-1].at > SHORT else 300.0
    fleet = FleetSpec(machine, startup=startup)
    prompt, output = policies.prices(machine)
    first = sum(one.prompt * prompt + one.output * output for one in made if one.at < 300.0) / 300.0
    world = World(fleet, policies.BASE, ready=max(math.ceil(first / 0.5), 2), seed=seed)
    setting = Run(made, fleet, machine, startup, traces.PAST[name](seed) if name in traces.PAST else ())
    if policy in ("oracle", "fixed fleet"):
        found = hindsight(setting, world, policy, warmup)
    else:
        scaled, build = policies.POLICIES[policy]
        found = judge(made, replace(world, scaled=scaled), build(setting), warmup)
    return {"trace": name, "hardware": row, "startup": startup, "seed": seed, "policy": policy, **found}


def hindsight(setting, world, policy, warmup):
    """The cheapest with 99 % in time; where none has it, the one with the largest share."""
    found = []
    for level in policies.HINDSIGHT_LEVELS:
        scaled = policies.DIRECT
        oracle = policies.Oracle(setting.hardware, setting.trace, setting.startup, level)
        chosen = oracle
        if policy == "fixed fleet":
            needs = sorted(oracle.need)
            size = needs[min(int(0.98 * len(needs)), len(needs) - 1)]
            scaled = replace(scaled, min_replica_count=size, max_replica_count=size)
            chosen = Latest(fixed(size))
            world = replace(world, ready=size)
        found.append(judge(setting.trace, replace(world, scaled=scaled), chosen, warmup))
        if found[-1]["share"] < 0.99:
            break
    good = [one for one in found if one["share"] >= 0.99]
    return min(good, key=lambda one: one["hours"]) if good else max(found, key=lambda one: one["share"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trace", nargs="*", default=list(traces.MADE))
    parser.add_argument("--policy", nargs="*", default=[*policies.POLICIES, "fixed fleet", "oracle"])
    parser.add_argument("--startup", nargs="*", type=float, default=STARTUPS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--hardware", nargs="*", default=["a100-8b-bf16"])
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("decisions.jsonl"))
    given = parser.parse_args()
    known = {}
    if given.out.exists():
        for line in given.out.read_text().splitlines():
            one = json.loads(line)
            known[one["trace"], one["hardware"], one["startup"], one["seed"], one["policy"]] = one
    tasks = list(itertools.product(given.trace, given.hardware, given.startup, range(1, given.seeds + 1), given.policy))
    missing = sorted((task for task in tasks if task not in known), key=lambda task: (task[0], task[3]))
    with ProcessPoolExecutor(given.processes) as pool, given.out.open("a") as out:
        for one in pool.map(cell, missing):
            known[one["trace"], one["hardware"], one["startup"], one["seed"], one["policy"]] = one
            out.write(json.dumps(one) + "\n")
            out.flush()
    table([known[task] for task in tasks])


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else math.nan


def table(found):
    """Print the figures: by trace, and over all."""
    names = list(dict.fromkeys(one["policy"] for one in found))
    for startup in dict.fromkeys(one["startup"] for one in found):
        print(f"\ncold start {startup:g} s: misses / GPU-hours")
        print(f"{'':24}" + "".join(f"{name:>17}" for name in names))
        here = [one for one in found if one["startup"] == startup]
        for trace in dict.fromkeys(one["trace"] for one in here):
            print(f"{trace[-24:]:24}", end="")
            for name in names:
                own = [one for one in here if one["trace"] == trace and one["policy"] == name]
                text = f"{100 * (1 - mean(one['share'] for one in own)):.2f}% {mean(one['hours'] for one in own):.1f}"
                print(f"{text:>17}", end="")
            print()
        print(f"{'all':24}", end="")
        for name in names:
            own = [one for one in here if one["policy"] == name]
            seeds = len({one["seed"] for one in own})
            text = (
                f"{100 * (1 - mean(one['share'] for one in own)):.2f}% {sum(one['hours'] for one in own) / seeds:.1f}"
            )
            print(f"{text:>17}", end="")
        print()
        print(f"{'changes, wrong':24}", end="")
        for name in names:
            own = [one for one in here if one["policy"] == name]
            print(f"{mean(one['changes'] for one in own):>10.0f}{mean(one['wrong'] for one in own):>7.1f}", end="")
        print()


if __name__ == "__main__":
    main()
