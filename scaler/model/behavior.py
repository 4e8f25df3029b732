"""How fast an HPA may change replicas: `behavior` of its manifest, all defaults filled in."""

from dataclasses import dataclass
from typing import Literal

Select = Literal["Max", "Min", "Disabled"]


@dataclass(frozen=True, slots=True)
class RatePolicy:
    """At most `value` pods, or percent of the replicas at the start of the period, within `period` seconds."""

    kind: Literal["Pods", "Percent"]
    value: int
    period: float


@dataclass(frozen=True, slots=True)
class Rules:
    """One direction of a behavior, all defaults filled in."""

    policies: tuple[RatePolicy, ...]
    window: float  # stabilizationWindowSeconds
    select: Select = "Max"
    tolerance: float | None = None  # None: the cluster's


SCALE_UP = Rules(policies=(RatePolicy("Pods", 4, 15.0), RatePolicy("Percent", 100, 15.0)), window=0.0)
SCALE_DOWN = Rules(policies=(RatePolicy("Percent", 100, 15.0),), window=300.0)


@dataclass(frozen=True, slots=True)
class Behavior:
    """Both directions; what a manifest leaves out has these defaults."""

    up: Rules = SCALE_UP
    down: Rules = SCALE_DOWN
