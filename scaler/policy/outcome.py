"""What every policy answers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer of one step of a policy.

    Attributes:
        replicas: desired replicas before rounding up, >= 0.
        active: False when the policy itself says that nothing is wanted, whatever the activation says.
        reason: half a sentence for the explanation.
    """

    replicas: float
    active: bool
    reason: str
