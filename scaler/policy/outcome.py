"""What every policy is told, and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from scaler.model.objects import Scaled


@dataclass(frozen=True, slots=True)
class Seen:
    """One tick, as a policy is told of it.

    Attributes:
        load: the formula's value over its target, in replicas.
        value: the formula's own.
        inactive: why the activation is not true, or an empty text.
        metrics: values of the formulas that the policy reads, by their text; holds all of `PolicySpec.metrics`.
        scaled: what Kubernetes says of the object; None where it says nothing, as of all times gone by.
        doubt: why that is too old to act on, or an empty text.
        current: replicas that are asked of the scale target, where known.
        ready: replicas that are ready, where known.
    """

    load: float
    value: float
    inactive: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    scaled: Scaled | None = None
    doubt: str = ""
    current: int | None = None
    ready: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
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
