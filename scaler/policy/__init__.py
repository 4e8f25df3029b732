"""Policies: a load and its past in, desired replicas out. One file is one algorithm: Spec, State, step().

Without a policy the answer is ceil(value / target). A policy is chosen by its `kind` in a formula file; `POLICIES` is
the whole list. A policy's state changes only on certain data; `memory` says how many seconds of past it needs before
it may be believed to lower anything.

apa.py          AIBrix's own: a window, two tolerances, two rates, two cooldowns
hpa.py          the HPA's arithmetic with `behavior`, on any signal
hysteresis.py   a gate with two thresholds: which of two sides serves
kpa.py          Knative's: a stable window and a panic window; and AIBrix's form of it
kthena.py       Kthena's: a stable and a panic policy over a recommendation
latch.py        one Job for every rise
ray.py          Ray Serve's: delays in each direction
slo.py          what a replica carries at an SLO is learnt, and a margin from its own errors
step.py         tiers in percent of the maximum
wallaroo.py     Wallaroo's: one more or less after every window of a deep or an empty queue

aside.py        what of a ScaledObject's HPA is in the way of a policy that owns the timing
group.py        roles that belong together: whole numbers that keep the ratios between them
variants.py     GPU variants of one model: the cheapest mix that meets the demand
window.py       the loads of a while, which some of them share
clock.py        a time of day, in words
curve.py        what a replica carries, as a curve that is learnt
prior.py        what a replica is guessed to carry, by its configuration
allowance.py    what may miss now, by what missed in the last hours
speed.py        how fast a replica answers by its load, and the load that is too much
season.py       a forecast from the days before, which may only raise
recall.py       what a policy wants to know of the days before
outcome.py      what every policy is told, says of itself, and answers
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scaler.model.fields import Fields
from scaler.model.objects import ScaledResource
from scaler.policy import apa, aside, hpa, hysteresis, kpa, kthena, latch, ray, slo, step, wallaroo
from scaler.policy.outcome import PolicyInput, PolicyResult, PolicySpec
from scaler.policy.recall import Recall


def _none(_spec: PolicySpec, _scaled: ScaledResource) -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True)
class Policy:
    """One row of the list of policies."""

    parse: Callable[[Fields], PolicySpec]
    initial: object
    step: Callable[[Any, Any, PolicyInput, float], tuple[Any, PolicyResult]]
    declared: bool = False  # `metricKind` has to be said, since its original leaves it to be guessed
    targets: bool = True  # it reads the formula's target; False: it has thresholds of its own
    history: float = (
        0.0  # seconds of past that a new process folds in steps of a minute, if it needs more than `memory`
    )
    recall: Recall | None = None  # what it wants to know of the days before
    jobs: bool = False  # it starts the Jobs of a ScaledJob, by its own count: the formula's target has no meaning
    cautions: Callable[[Any, ScaledResource], Sequence[str]] = (
        _none  # what in the scaled object's settings is in its way
    )


_timed = aside.in_the_way
POLICIES: Mapping[str, Policy] = {
    "hysteresis": Policy(hysteresis.parse, hysteresis.INITIAL, hysteresis.step),
    "kpa": Policy(kpa.parse, kpa.INITIAL, kpa.step, cautions=_timed),
    "aibrix-kpa": Policy(kpa.parse_aibrix, kpa.INITIAL, kpa.step, declared=True, cautions=_timed),
    "apa": Policy(apa.parse, apa.INITIAL, apa.step, declared=True, cautions=_timed),
    "kthena": Policy(kthena.parse, kthena.INITIAL, kthena.step, declared=True, cautions=_timed),
    "hpa": Policy(hpa.parse, hpa.INITIAL, hpa.step, cautions=_timed),
    "ray": Policy(ray.parse, ray.INITIAL, ray.step, cautions=_timed),
    "wallaroo": Policy(wallaroo.parse, wallaroo.INITIAL, wallaroo.step, targets=False, cautions=_timed),
    "slo": Policy(slo.parse, slo.INITIAL, slo.step, history=slo.HISTORY, recall=slo.RECALL, cautions=_timed),
    "step": Policy(step.parse, step.INITIAL, step.step, cautions=_timed),
    "latch": Policy(latch.parse, latch.INITIAL, latch.step, targets=False, jobs=True, cautions=latch.warnings),
}
