"""What a pace down and a queue counted by what clears it are worth: `python tests/benchmarks/bench_pace.py [TRACE.csv.gz ...]`.

The shipped queue-depth over a fleet of 1 to 64 replicas under the simulated KEDA and HPA with its default behavior, cold
starts of 60, 180 and 600 s; as it is, without the pace (`scaleDown: off`), and as it was before, when what waited also
counted as so many requests. In virtual time, so that the machine does not matter. Without a trace: bursts that are made
up here, and the slice of the Azure trace that is part of the package. SLO: the first token within 1 s, 50 ms a token.
"""

import sys
from pathlib import Path

from scaler.cluster.keda import Refusal, ScaledObject, ScalerAnswer
from scaler.config.bind import bind, parse_file
from scaler.config.catalog import shipped_formulas
from scaler.config.defaults import Defaults
from scaler.config.trigger import parse_trigger
from scaler.decision.decide import decide
from scaler.decision.state import State
from scaler.model.measurement import Inputs, Reading, TargetStatus, TriggerRef
from scaler.model.objects import Pod, ScaledResource, TargetView
from scaler.model.strict_yaml import parse_yaml
from scaler.sim.fleet import FleetSpec
from scaler.sim.hardware import hardware
from scaler.sim.loop import World, run
from scaler.sim.score import SloTarget, score
from scaler.sim.trace import azure_slice, merge, multiply, ramp, read

SCALED = ScaledObject(min_replica_count=1, max_replica_count=64, polling_interval=15.0, cooldown_period=300.0)
BEFORE = """
name: queue-depth
parameters: {engine: {default: vllm}, model: {default: llama}, target: {type: number, default: 8}}
metrics:
  waiting: {signal: waiting}
  running: {signal: running, over: 30s, reduce: mean}
  queued: {signal: queued, onMissing: zero}
  waiting_lately: {signal: waiting, over: 30s, reduce: mean}
  queued_lately: {signal: queued, onMissing: zero, over: 30s, reduce: mean}
formula: running + max(queued + waiting, queued_lately + waiting_lately)
target: $target
"""  # the shipped one until the pace came
RATE = 120.0  # seconds that a rate is taken over


def formula_file(text):
    return parse_file(parse_yaml(text, "queue-depth.yaml"), "queue-depth.yaml")


class Ours:
    """The fold over what is seen of a fleet."""

    def __init__(self, text, **metadata):
        given = {"formula": "queue-depth", "model": "llama", **metadata}
        request = TriggerRef("team", "llama", tuple(sorted(given.items())))
        self.spec = bind(formula_file(text), parse_trigger(request), Defaults())
        self.state, self.decision = State(), None
        self.born, self.ready, self.finished = {}, {}, []

    def observe(self, seen):
        for replica in seen.replicas:
            self.born.setdefault(replica.serial, seen.at)
            if replica.phase == "ready":
                self.ready.setdefault(replica.serial, seen.at)
        pods = tuple(
            Pod(str(one.serial), one.phase, self.born[one.serial], ready_since=self.ready.get(one.serial))
            for one in seen.replicas
            if one.phase != "draining"
        )
        scaled = ScaledResource("ScaledObject", "team", "llama", "1", 1, (), (), "Deployment llama", 1, 64, pods=pods)
        known = TargetStatus(seen.desired, seen.ready, seen.starting, 1, 64, pending=0, ever_ready=seen.ready)
        inputs = Inputs(self.readings(seen), self.readings(seen), target_status=known, target=TargetView(scaled))
        self.state, self.decision = decide(self.spec, self.state, inputs, seen.at)

    def readings(self, seen):
        """What Prometheus would say, by the name of the metric."""
        self.finished = [one for one in self.finished if one[0] > seen.at - RATE] + [(seen.at, seen.finished)]
        (first, before), (last, after) = self.finished[0], self.finished[-1]
        rate = (after - before) / (last - first) if last > first else None
        signals = {
            "waiting": seen.waiting,
            "running": seen.running,
            "queued": seen.queued,
            "requests_per_second": rate,
        }
        names = {item.name: item.query.signal for item in self.spec.inputs}
        values = {
            name: signals[signal] for name, signal in {**names, "waiting": "waiting", "running": "running"}.items()
        }
        return {name: Reading(None if value is None else float(value), seen.at) for name, value in values.items()}

    def answer(self, now):
        told = self.decision
        if told is None or told.replicas is None:
            return Refusal("GetMetrics", "nothing was measured yet")
        return ScalerAnswer(told.replicas, active=told.active)


def bursts(seed=1):
    """Like the code completions of a few heavy clients: long prompts, short answers, bursts of a minute."""
    calm = ramp(0, 3600, first=3, last=3, prompt=2000, output=30, seed=seed)
    peaks = [
        ramp(at, at + 60, first=60, last=60, prompt=2000, output=30, seed=seed + at) for at in range(300, 3600, 660)
    ]
    return merge(calm, *peaks)


def traces(paths):
    """The traces to play, by name."""
    if paths:
        return {Path(path).name.partition(".")[0]: read(Path(path)) for path in paths}
    return {"bursts": bursts(), "azure slice x4": multiply(azure_slice(), 4)}


def main():
    shipped = (shipped_formulas() / "queue-depth.yaml").read_text()
    variants = {
        "before": (BEFORE, "off"),
        "scaleDown: off": (shipped, "off"),
        "the old count": (BEFORE, "10%"),
        "as it is": (shipped, "10%"),
    }
    print(f"{'trace':16} {'cold start':>10}  " + "  ".join(f"{name:>22}" for name in variants))
    for name, trace in traces(sys.argv[1:]).items():
        for startup in (60.0, 180.0, 600.0):
            fleet = FleetSpec(hardware("a100-8b-bf16"), startup=startup)
            world = World(fleet, SCALED, ready=4, scrape_interval=5.0, scrape_lead=2.0)
            print(f"{name:16} {startup:8.0f} s  ", end="", flush=True)
            for text, pace in variants.values():
                result = score(run(world, trace, Ours(text, scaleDown=pace)), fleet, SloTarget())
                cell = f"{result.attainment:.1%} {result.gpu_hours:6.1f} h"
                print(f"{cell:>22}  ", end="", flush=True)
            print()


if __name__ == "__main__":
    main()
