"""How many more replicas can be had, and how far each number may be believed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Bound = Literal["exact", "upper", "lower", "estimate"]  # estimate: there may be more, and there may be fewer
WORDS: Mapping[Bound, str] = MappingProxyType(
    {"exact": "", "upper": "at most", "lower": "at least", "estimate": "about"}
)


@dataclass(frozen=True, slots=True)
class BoundedCount:
    """A number, and how far it may be believed."""

    value: int | None  # None: not known
    bound: Bound = "exact"
    reason: str = ""  # why it is not known, or only bounded, or what binds it
    upper_bound: int | None = None  # where there may be more: how many at most; None: nobody knows

    @property
    def most(self) -> int | None:
        """There are no more than these; None: nobody knows."""
        return self.value if self.bound in {"exact", "upper"} else self.upper_bound

    @property
    def caveat(self) -> str:
        """The words on how far it may be believed, and why."""
        return ": ".join(part for part in (WORDS[self.bound], self.reason) if part)


@dataclass(frozen=True, slots=True)
class Availability:
    """The replicas that can be had for one scale target."""

    resource: str  # what a replica asks for, in words: "2 nvidia.com/gpu"; empty: no GPUs, or not known
    schedulable: BoundedCount  # replicas that the scheduler would place now, those without a node among them
    free: BoundedCount  # GPUs that nobody holds on nodes that its pods may use
    pending: BoundedCount  # GPUs that others' pods without a node ask for; not those that somebody holds back (gates)
    provisionable: BoundedCount  # replicas that fit on machines which Karpenter has ordered or may still order
    own: BoundedCount  # GPUs that its own pods hold


GPU_COUNTS: Mapping[str, tuple[Callable[[Availability], BoundedCount], str]] = MappingProxyType(
    {  # what `gpus` counts in a formula file, and its unit
        "schedulable_replicas": (lambda seen: seen.schedulable, "replicas"),
        "free": (lambda seen: seen.free, "GPUs"),
        "pending": (lambda seen: seen.pending, "GPUs"),
        "provisionable": (lambda seen: seen.provisionable, "replicas"),
        "own": (lambda seen: seen.own, "GPUs"),
    }
)


def unknown(reason: str) -> Availability:
    """Return what can be had where that cannot be told."""
    missing = BoundedCount(None, reason=reason)
    return Availability("", missing, missing, missing, missing, missing)
