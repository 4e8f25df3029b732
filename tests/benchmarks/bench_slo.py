"""One tick of 1,000 workloads of the shipped formula slo: CPU time, beside queue-depth's.

Run by hand: .venv/bin/python tests/benchmarks/bench_slo.py

Each has seen two hours of a load that wanders, in ticks of 5 s. Then all are folded over twelve more ticks, a minute in
which each weighs its curves once; what is printed is the mean and the worst tick. A tick is the whole fold (decide).
"""

import gc
import math
import statistics
import time

from scaler.cli.serve import stop_for_no_garbage
from scaler.config.bind import bind_example, parse_file
from scaler.config.catalog import shipped_formulas
from scaler.config.defaults import Defaults
from scaler.decision.decide import decide
from scaler.decision.state import State
from scaler.model.measurement import Inputs, Reading, TargetStatus
from scaler.model.strict_yaml import parse_yaml

WORKLOADS = 1_000
APART = 4  # phases of the minute over which they are spread


def inputs(spec, now):
    rate = 20.0 + 8.0 * math.sin(now / 700.0) + math.sin(now / 31.0)
    load = rate * 300 / 8
    met = 1 - 1 / (1 + (1500 / load) ** 8)
    values = {
        "waiting": 0.0,
        "running": rate * 5,
        "queued": 0.0,
        "finished": rate,
        "prompts": rate * 1000,
        "generated": rate * 200,
        "ttftMet": met,
        "itlMet": met,
    }
    readings = {one.name: Reading(values.get(one.name, 0.0), now) for one in spec.inputs}
    guards = {one.name: Reading(values.get(one.name, 0.0), now) for one in spec.activity_signals}
    return Inputs(readings, guards, target_status=TargetStatus(8, 8, 0, 1, 50, source="Kubernetes"))


def bound(name):
    text = (shipped_formulas() / f"{name}.yaml").read_text()
    return bind_example(parse_file(parse_yaml(text, f"{name}.yaml"), f"{name}.yaml"), {}, Defaults(endpoints=()))


def main():
    stop_for_no_garbage()  # as in the service
    for name in ("queue-depth", "slo"):
        spec = bound(name)
        phases = []
        for phase in range(APART):
            state, now = State(), 0.0
            while now < 7200 + phase * spec.interval:
                state, _ = decide(spec, state, inputs(spec, now), now)
                now += spec.interval
            phases.append((state, now))
        workloads = [phases[place % APART] for place in range(WORKLOADS)]
        spent = []
        for _ in range(12):
            seen = {now: inputs(spec, now) for _, now in workloads}
            gc.collect()
            begun = time.process_time()
            states = [decide(spec, state, seen[now], now)[0] for state, now in workloads]
            spent.append(1000 * (time.process_time() - begun))
            workloads = [(state, now + spec.interval) for state, (_, now) in zip(states, workloads, strict=True)]
        print(f"{name:12} {WORKLOADS:,} workloads: {statistics.mean(spent):.0f} ms a tick, {max(spent):.0f} at most")


if __name__ == "__main__":
    main()
