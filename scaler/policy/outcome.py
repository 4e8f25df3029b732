"""What every policy is told, and what it answers.

What a formula's value is, is said by `metricKind`, and not guessed: AIBrix takes every value for a mean with one of its
algorithms and for a total with the other, and so runs to the maximum, or down under overload.

    total     over all replicas (requests waiting and running)       load = value / target
    rate      the same, in a second (requests/s, tokens/s)           load = value / target
    mean      of one replica (requests waiting in each)              load = value / target x ready replicas
    ratio     of one replica, 0 to 1 or percent (KV cache used)      load = value / target x ready replicas
    quantile  of a time (P90 of the time to the first token)         load = value / target x ready replicas

So policies read one number, `Seen.load`, in replicas, whatever the formula measures.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from scaler.model.objects import ScaledResource

TOTALS = frozenset({"total", "rate"})  # these are divided by the target (metricType AverageValue)
EACH = frozenset({"mean", "ratio", "quantile"})  # these also multiply by the ready replicas (metricType Value)
ANY = TOTALS | EACH


class PolicySpec(Protocol):
    """The options of a policy; what most of them have in common is said here."""

    @property
    def memory(self) -> float:
        """Seconds of past that the policy needs."""
        ...

    @property
    def metrics(self) -> frozenset[str]:
        """Formulas whose values it reads besides the formula's own."""
        return frozenset()

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of value that the formula may have, so long as the file says which; see above."""
        return ANY


@dataclass(frozen=True, slots=True)
class PolicyInput:
    """One tick, as a policy is told of it.

    Attributes:
        load: the formula's value in replicas; see above.
        value: the formula's own.
        inactive: why the activation is not true, or an empty text.
        metrics: values of the formulas that the policy reads, by their text; holds all of `PolicySpec.metrics`.
        scaled: what Kubernetes says of the object; None where it says nothing, as of all times gone by.
        doubt: why that is too old to act on, or an empty text.
        current: replicas that are asked of the scale target, those on their way with them, where known.
        ready: replicas that are ready, where known.
        maximum: the most there may be, where known.
        each: the value is of one replica, so that `load` is it times the ready ones.
        took: seconds from order to ready, as learnt from its pods; None: not known.
    """

    load: float
    value: float
    inactive: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    scaled: ScaledResource | None = None
    doubt: str = ""
    current: int | None = None
    ready: int | None = None
    maximum: int | None = None
    each: bool = False
    took: float | None = None

    def replicas(self, last: int | None) -> int:
        """Return the replicas that there are, those on their way with them; where it is not known, the last answer."""
        return next((count for count in (self.current, last) if count is not None), 0)

    def ratio(self, replicas: int) -> float:
        """Return how far the load of one replica is from its target: 1 is at it.

        A value that is each replica's own is compared as it is; a total is shared among `replicas` first.
        """
        among = self.ready if self.each and self.ready else replicas
        return self.load / among if among else self.load


@dataclass(frozen=True, slots=True)
class PolicyResult:
    """The answer of one step of a policy.

    Attributes:
        replicas: desired replicas before rounding up, >= 0.
        active: False when the policy itself says that nothing is wanted, whatever the activation says.
        reason: half a sentence for the explanation.
        problem: what it would have to know and does not, so that its answer is not certain; or an empty text.
    """

    replicas: float
    active: bool
    reason: str
    problem: str = ""
