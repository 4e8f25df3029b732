"""Members of a group, as what decides them together sees them: by ratios (groups.py), or as variants (mix.py)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from scaler.config.outputs import Member
from scaler.decision.decision import Answer, Decision

STALE = 3  # intervals beyond holdFor after which what a member came to is none: its ticks fail


@dataclass(frozen=True, slots=True)
class Part:
    """One workload of a group, at one time."""

    decision: Decision
    member: Member
    said: Answer | None  # by itself; None: nothing can be said, or what was said is too old

    @classmethod
    def of(cls, decision: Decision, newest: float) -> "Part":
        """Take what a member came to, unless that is too old."""
        member = decision.spec.member
        assert member is not None  # noqa: S101 - whoever has none is in no group
        fresh = newest - decision.at <= decision.spec.hold_for + STALE * decision.spec.interval
        return cls(decision, member, decision.answer if fresh else None)

    @property
    def certain(self) -> bool:
        """Tell whether it may be lowered."""
        return self.said is not None and self.decision.certainty == "certain"

    @property
    def there(self) -> int | None:
        """The replicas it has, or was told last if that is more: the least answer where not all is known."""
        counts = [self.decision.minimum_answer, self.decision.target_status.current]
        return max((count for count in counts if count is not None), default=None)

    @property
    def wanted(self) -> int:
        """Replicas for its own load; where it has no answer, what it has."""
        return self.said.replicas if self.said else self.there or 0

    @property
    def works(self) -> bool:
        """Tell whether there is work, or may be where nothing is said of replicas that there are."""
        return self.said.active if self.said else bool(self.there)

    @property
    def least(self) -> int:
        """The least that it may be told: what is not certain is not lowered."""
        return 0 if self.certain else max(self.wanted, self.there or 0)


class Whole(Protocol):
    """A group, and what it comes to."""

    @property
    def outputs(self) -> Mapping[str, Sequence["Part"]]:
        """The workloads of every output that has one, in the order of the file."""
        ...

    @property
    def doubt(self) -> str:
        """Say why it is not whole, in half a sentence; empty where it is."""
        ...

    @property
    def active(self) -> bool | None:
        """Tell whether there is work; None where that is not known."""
        ...

    @property
    def mix(self) -> str:
        """Of variants, what the mix is; empty for others."""
        ...

    def replicas(self, name: str) -> int:
        """Return the replicas of an output."""
        ...

    def planned(self, name: str) -> int | None:
        """Return the replicas of a variant in the mix; None for others."""
        ...

    def rests(self, name: str) -> bool:
        """Tell whether an output is at zero though the group has work."""
        ...

    def reasons(self) -> tuple[str, ...]:
        """Say in half a sentence each why a member gets another answer than its own."""
        ...


def all_of(outputs: Mapping[str, Sequence["Part"]]) -> list["Part"]:
    """List the workloads of all outputs."""
    return [part for same in outputs.values() for part in same]


def has_work(outputs: Mapping[str, Sequence["Part"]], doubt: str) -> bool | None:
    """Tell whether one of the outputs has work; None where that is not known."""
    words = [part.said.active if part.said else None for part in all_of(outputs)]
    if any(words) or kept_from_zero(outputs):
        return True
    return None if doubt or None in words else False


def kept_from_zero(outputs: Mapping[str, Sequence["Part"]]) -> list[str]:
    """List the outputs that never go to zero, so that none does."""
    return [name for name, same in outputs.items() if has_minimum(same)]


def by_output(parts: Sequence["Part"]) -> dict[str, list["Part"]]:
    """Sort workloads by output, in the order of the file; outputs without any are left out."""
    found: dict[str, list[Part]] = {name: [] for name in parts[0].member.outputs}
    for part in parts:
        found.setdefault(part.member.output, []).append(part)
    return {name: same for name, same in found.items() if same}


def has_minimum(parts: Sequence[Part]) -> bool:
    """Tell whether one of these never goes to zero."""
    return any(part.decision.target_status.minimum for part in parts)


def certain(parts: Sequence[Part]) -> bool:
    """Tell whether the data of all of these is certain."""
    return all(part.certain for part in parts)


def names_of(parts: Sequence[Part]) -> list[str]:
    """List the objects that these are of, each once."""
    return sorted({part.decision.key.name for part in parts})


def doubt_of(parts: Sequence[Part], outputs: Mapping[str, Sequence[Part]], first: Member) -> str:
    """Say why a group is not whole; empty where it is."""
    rules = {part.member.rules for part in parts}
    if len(rules) > 1:
        return "its members do not go by the same rules, since their triggers or files differ"
    objects = {name: names_of(same) for name, same in outputs.items()}
    doubled = next((name for name, same in objects.items() if len(same) > 1), None)
    if doubled:
        both = " and ".join(objects[doubled])
        return f"{both} are each its {doubled}; `group` in their triggers tells groups apart"
    names = [same[0] for same in objects.values()]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        return f"{twice} is more than one of its outputs: its trigger was edited, or it has two triggers"
    missing = [name for name in first.outputs if name not in objects]
    if missing:
        return f"nothing is known of {' and '.join(missing)} yet: no ScaledObject with that `output` was asked about"
    unknown = next((part.member.output for part in parts if part.said is None and part.there is None), None)
    return f"it is not known how many replicas {unknown} has" if unknown else ""
