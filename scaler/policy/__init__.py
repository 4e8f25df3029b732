"""Policies: a load and its past in, desired replicas out. One file is one algorithm: Spec, State, step().

Without a policy the answer is ceil(value / target). A policy is chosen by its `kind` in a formula file; `POLICIES` is
the whole list. A policy's state changes only on certain data; `memory` says how many seconds of past it needs before
it may be believed to lower anything.

hysteresis.py   a gate with two thresholds: which of two sides serves
kpa.py          Knative's: a stable window and a panic window
latch.py        one Job for every rise
ray.py          Ray Serve's: delays in each direction
window.py       the loads of a while, which some of them share
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from scaler.model.fields import Fields
from scaler.model.objects import Scaled
from scaler.policy import hysteresis, kpa, latch, ray
from scaler.policy.outcome import Outcome, Seen


class PolicySpec(Protocol):
    """What a policy was set to."""

    @property
    def memory(self) -> float:
        """Seconds of past that the policy needs."""
        ...

    @property
    def metrics(self) -> frozenset[str]:
        """Formulas whose values it reads besides the formula's own."""
        ...


def _none(_spec: PolicySpec, _scaled: Scaled) -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True)
class Policy:
    """One row of the list of policies."""

    parse: Callable[[Fields], PolicySpec]
    initial: object
    step: Callable[[Any, Any, Seen, float], tuple[Any, Outcome]]
    jobs: bool = False  # it starts the Jobs of a ScaledJob, by its own count: the formula's target has no meaning
    cautions: Callable[[Any, Scaled], Sequence[str]] = _none  # what in the scaled object's settings is in its way


POLICIES: Mapping[str, Policy] = {
    "hysteresis": Policy(hysteresis.parse, hysteresis.INITIAL, hysteresis.step),
    "kpa": Policy(kpa.parse, kpa.INITIAL, kpa.step),
    "ray": Policy(ray.parse, ray.INITIAL, ray.step),
    "latch": Policy(latch.parse, latch.INITIAL, latch.step, jobs=True, cautions=latch.cautions),
}
