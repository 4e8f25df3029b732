"""What KEDA and the HPA send llm-scaler, and the CPU it takes: many ScaledObjects in the laboratory, at the periods of the world.

    .venv/bin/python tests/benchmarks/bench_keda.py [--objects 40 400] [--seconds 90]

KEDA polls every 30 s and the HPA looks every 15 s, as they do by default; Prometheus scrapes every 15 s. Every object has one
replica whose load is steady, by the formula queue-depth, which is decided every 5 s. Four ways to be asked: minReplicaCount 0 and 1, by `external` and
by `external-push`. For comparison, llm-scaler alone, while KEDA is frozen: what its own decisions take.
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import requests
from laboratory.fleet import Load
from laboratory.lab import Lab
from laboratory.llm_scaler import LlmScaler
from laboratory.objects import model, node, scaled_object, trigger

METHODS = ("GetMetricSpec", "GetMetrics", "IsActive")
USUAL = (
    "--defaults-interval",
    "5s",
    "--defaults-hold-for",
    "120s",
    "--defaults-idle-for",
    "60s",
)  # as they are by default
PODS = 100  # a node
AT_ONCE = 20  # objects a second: KEDA's client puts off what is more than 20 requests a second


@dataclass(frozen=True, slots=True)
class Way:
    """How objects are asked about."""

    minimum: int
    push: bool

    @property
    def name(self) -> str:
        return f"minReplicaCount {self.minimum}, {'external-push' if self.push else 'external'}"


WAYS = [Way(minimum, push) for minimum in (0, 1) for push in (False, True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--objects", type=int, nargs="+", default=[40, 400])
    parser.add_argument("--seconds", type=int, default=90, help="that each way is measured")
    asked = parser.parse_args()
    with Lab() as lab:
        lab.apply([node(f"cpu-{number}") for number in range(1, 2 + max(asked.objects) // PODS)])
        print(
            f"KEDA {'.'.join(map(str, lab.judges.version('keda')))}; calls and opened streams a second, CPU of a core, resident MB"
        )
        for count in asked.objects:
            for way in WAYS:
                measure(lab, way, count, asked.seconds)
    print(f"load average of 15 minutes {os.getloadavg()[2]:.1f}")


def measure(lab: Lab, way: Way, count: int, seconds: int) -> None:
    """Print what one way takes."""
    kind = f"{way.minimum}{'p' if way.push else 'e'}"
    names = [f"w{count}-{kind}-{number}" for number in range(count)]
    scaler = LlmScaler(lab, *USUAL)
    scaler.start()
    lab.fleet.load = Load(running=8)  # one replica's worth
    for some in _slices(names, AT_ONCE):
        lab.apply([model(name, lab.fleet.port, gpus=0, replicas=1) for name in some])
    lab.wait(lambda: sum(lab.ready(name) for name in names[-1:]) == 1, 300, "the last replica is ready")
    for some in _slices(names, AT_ONCE):
        for name in some:
            asks = trigger(scaler.address, push=way.push, formula="queue-depth", model="llama")
            periods = {"pollingInterval": 30, "cooldownPeriod": 3600, "initialCooldownPeriod": 3600}
            lab.apply(scaled_object(name, "", triggers=[asks], minReplicaCount=way.minimum, **periods))
        time.sleep(1)
    active = lambda: _measured_by_hpa(lab) >= count  # noqa: E731
    lab.wait(active, 600, "the HPAs of all measure")
    time.sleep(30)  # a poll of each
    calls, cpu, keda = _calls(scaler), scaler.cpu(), lab.cpu("keda-operator")
    time.sleep(seconds)
    made = {method: (total - calls[method]) / seconds for method, total in _calls(scaler).items()}
    ours, theirs = (scaler.cpu() - cpu) / seconds, (lab.cpu("keda-operator") - keda) / seconds
    lab.pause("keda-operator")
    cpu = scaler.cpu()
    time.sleep(seconds / 3)
    alone = (scaler.cpu() - cpu) / (seconds / 3)
    lab.resume("keda-operator")
    told = ", ".join(f"{method} {made.get(method, 0.0):.1f}" for method in METHODS)
    memory = lab.memory()
    print(
        f"{count:4} {way.name:32} {told}; {sum(made.values()):.1f} in all, {scaler.metric('llm_scaler_streams'):.0f} streams; "
        f"CPU {ours:.1%} (alone {alone:.1%}), {memory[scaler.name]} MB; KEDA's operator {theirs:.1%}, {memory['keda-operator']} MB",
        flush=True,
    )
    lab.reset()


def _calls(scaler: LlmScaler) -> Counter[str]:
    """How many calls of each method have ended."""
    page = requests.get(f"{scaler.admin}/metrics", headers={"Accept": "text/plain"}, timeout=5).text
    found: Counter[str] = Counter()
    for line in page.splitlines():
        name, _, value = line.rpartition(" ")
        if name.startswith("llm_scaler_calls_total{"):
            found[name.partition('method="')[2].partition('"')[0]] += int(float(value))
    return found


def _measured_by_hpa(lab: Lab) -> int:
    hpas = lab.api.items("HorizontalPodAutoscaler", "default")
    return sum(bool(hpa["status"].get("currentMetrics")) for hpa in hpas)


def _slices(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), size):
        yield names[start : start + size]


if __name__ == "__main__":
    main()
