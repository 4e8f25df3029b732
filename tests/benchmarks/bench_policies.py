"""One tick of many workloads with policies: CPU time for each policy, and whether it grows in proportion to the workloads.

Run by hand: .venv/bin/python tests/benchmarks/bench_policies.py

Every workload has seen an hour before, so that the windows are full. A tick is the whole fold (decide): inputs resolved,
formula, policy, rules. CPU time of the process, the least of three; only ratios within one run are worth comparing.
"""

import gc
import time

from scaler.config.bind import bind_example, parse_file
from scaler.config.defaults import Defaults
from scaler.decision.decide import decide
from scaler.decision.state import State
from scaler.model.measurement import Inputs, Reading, TargetStatus
from scaler.model.strict_yaml import parse_yaml

POLICIES = {
    "none": "",
    "kpa": "policy: {kind: kpa}",
    "aibrix-kpa": "policy: {kind: aibrix-kpa}",
    "apa": "policy: {kind: apa}",
    "kthena": "policy: {kind: kthena}",
    "hpa": "policy: {kind: hpa, behavior: {scaleDown: {stabilizationWindowSeconds: 300}}}",
    "ray": "policy: {kind: ray}",
    "wallaroo": "policy: {kind: wallaroo, scale_up_queue_depth: 10}",
    "step": "policy: {kind: step, tiers: [{at: 10, percent: 10}, {at: 1000, percent: 100}]}",
}
SIZES = (100, 1_000, 10_000)


def workload(kind):
    """A spec, its state after an hour of a load that wanders, and the inputs of the next tick."""
    target = "" if kind == "wallaroo" else "target: 10"
    text = f"name: p\nmetrics: {{load: {{prometheus: load}}}}\nformula: load\nmetricKind: total\n{target}\n{POLICIES[kind]}\n"
    spec = bind_example(parse_file(parse_yaml(text, "p.yaml"), "p.yaml"), {}, Defaults(endpoints=()))
    state, now = State(), 0.0
    while now < 3600:
        state, _ = decide(spec, state, inputs(40 + now % 60), now)
        now += spec.interval
    return spec, state, inputs(55.0), now


def inputs(load):
    return Inputs({"load": Reading(float(load), 0.0)}, target_status=TargetStatus(5, 5, 0, 1, 50, source="Kubernetes"))


def tick(workloads):
    """Seconds of CPU for one tick of all."""
    gc.collect()
    begun = time.process_time()
    for spec, state, seen, now in workloads:
        decide(spec, state, seen, now)
    return time.process_time() - begun


def main():
    ready = {kind: workload(kind) for kind in POLICIES}
    print(f"{'policy':12}" + "".join(f"{size:>12,}" for size in SIZES) + "   us a workload")
    for kind, one in ready.items():
        spent = [min(tick([one] * size) for _ in range(3)) for size in SIZES]
        print(
            f"{kind:12}"
            + "".join(f"{1000 * took:>9.1f} ms" for took in spent)
            + f"{1e6 * spent[-1] / SIZES[-1]:>13.0f}"
        )
    mixed = list(ready.values())
    spent = [min(tick([mixed[place % len(mixed)] for place in range(size)]) for _ in range(3)) for size in SIZES]
    print(
        f"{'mixed':12}" + "".join(f"{1000 * took:>9.1f} ms" for took in spent) + f"{1e6 * spent[-1] / SIZES[-1]:>13.0f}"
    )
    print(f"10,000 workloads take {spent[2] / spent[0]:.0f} times what 100 take (100 is in proportion)")


if __name__ == "__main__":
    main()
