"""Members of one group, decided together: the outputs of one formula file, each with a ScaledObject of its own.

    what each came to by itself ─▶ policy/group.py: the least numbers in the ratios ─▶ what each is told, and why

Members are the workloads of one namespace with the same formula file and the same `group` in their triggers.

    prefill 2, decode 1 by themselves, 2 to 4 of decode for each of prefill:      prefill 2, decode 4

Its laws:

- Work of one is work of all: as long as one is active all are, and only when all are quiet is inactive said, to all of
  them at once. Where the word of one is not known, inactive is said only to those that have no replica.
- A member whose data is not certain holds its part, or rises; no ratio lowers it.
- A group that is not whole is not understood: where a member has not been asked about yet, where two objects are the
  same output, where members go by different files, or where no numbers keep the ratios, nobody is lowered, and it is
  said why.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from scaler.config.outputs import Member
from scaler.config.workload import WorkloadSpec
from scaler.decision.decide import MAX_REPLICAS
from scaler.decision.decision import Answer, Decision, Group, GroupPart
from scaler.model.measurement import Request
from scaler.policy.group import GroupPlan, Role, plan

Decided = Mapping[Request, Decision]
SHOWN = 4  # reasons in the sentence of a decision; `explain` has all
STALE = 3  # intervals beyond holdFor after which what a member came to is none: its ticks fail


def group_of(spec: WorkloadSpec) -> tuple[str, str, str]:
    """Return what tells a group from others: namespace, formula file, and the trigger's `group`."""
    return spec.key.namespace, spec.formula, spec.member.group if spec.member else ""


def decide_groups(decided: Decided) -> Decided:
    """Decide every group of these workloads.

    Args:
        decided: what each member came to by itself.

    Returns:
        What each is told, with its group.
    """
    groups: dict[tuple[str, str, str], dict[Request, Decision]] = {}
    for request, decision in decided.items():
        groups.setdefault(group_of(decision.spec), {})[request] = decision
    told: dict[Request, Decision] = {}
    for members in groups.values():
        told |= _decide_group(members)
    return told


def _decide_group(members: Decided) -> dict[Request, Decision]:
    newest = max(decision.at for decision in members.values())
    parts = {request: _Part.of(decision, newest) for request, decision in members.items()}
    whole = _Whole.of(list(parts.values()))
    answers = {request: _answer(part, whole) for request, part in parts.items()}
    rows = tuple(_row(part, _answer(part, whole)) for part in whole.parts)
    told = Group(whole.first.group, rows, whole.reasons())
    return {request: _told(parts[request], answer, told) for request, answer in answers.items()}


@dataclass(frozen=True, slots=True)
class _Part:
    """One workload of a group, at one time."""

    decision: Decision
    member: Member
    said: Answer | None  # by itself; None: nothing can be said, or what was said is too old

    @classmethod
    def of(cls, decision: Decision, newest: float) -> "_Part":
        """Take what a member came to, unless that is too old."""
        member = decision.spec.member
        assert member is not None  # noqa: S101 - whoever has none is in no group
        fresh = newest - decision.at <= decision.spec.hold_for + STALE * decision.spec.interval
        return cls(decision, member, decision.said if fresh else None)

    @property
    def certain(self) -> bool:
        """Whether it may be lowered."""
        return self.said is not None and self.decision.certainty == "certain"

    @property
    def there(self) -> int | None:
        """What it has, or was told last if that is more: the least that may be said where not all is known."""
        counts = [self.decision.floor, self.decision.known.current]
        return max((count for count in counts if count is not None), default=None)

    @property
    def wanted(self) -> int:
        """Replicas for its own load; where it has no answer, what it has."""
        return self.said.replicas if self.said else self.there or 0

    @property
    def works(self) -> bool:
        """Whether there is work, or may be where nothing is said of replicas that there are."""
        return self.said.active if self.said else bool(self.there)

    @property
    def least(self) -> int:
        """The least that it may be told: what is not certain is not lowered."""
        return 0 if self.certain else max(self.wanted, self.there or 0)


@dataclass(frozen=True, slots=True)
class _Whole:
    """A group, and what it comes to.

    Attributes:
        outputs: the workloads of every output that has one, in the order of the file.
        doubt: why it is not whole, in half a sentence; empty where it is.
        planned: by output; None where there is a doubt.
        disordered: why its order is not followed; empty where it is, or there is none.
    """

    outputs: Mapping[str, Sequence[_Part]]
    doubt: str
    planned: GroupPlan | None
    disordered: str

    @classmethod
    def of(cls, parts: Sequence[_Part]) -> "_Whole":
        """Put the members together, and plan."""
        first = parts[0].member
        found: dict[str, list[_Part]] = {name: [] for name in first.outputs}
        for part in parts:
            found.setdefault(part.member.output, []).append(part)
        outputs = {name: same for name, same in found.items() if same}
        doubt = _doubt(parts, outputs, first)
        if doubt:
            return cls(outputs, doubt, None, "")
        unseen = [name for name, same in outputs.items() if same[0].decision.known.ready is None]
        disordered = f"how many replicas of {unseen[0]} are ready is not known" if unseen and first.order else ""
        roles = [_role(name, same) for name, same in outputs.items()]
        works = any(part.works for part in parts)
        if works:
            roles = [replace(role, wanted=max(role.wanted or 0, 1)) for role in roles]
        planned = plan(roles, first.bands, () if disordered else first.order)
        if planned is None:
            doubt = "no numbers within minReplicaCount, maxReplicaCount, schedules and what can be had keep its ratios"
        return cls(outputs, doubt, planned, disordered)

    @property
    def first(self) -> Member:
        """What all of them go by, where there is no doubt."""
        return next(iter(self.outputs.values()))[0].member

    @property
    def parts(self) -> list[_Part]:
        """All workloads."""
        return [part for same in self.outputs.values() for part in same]

    @property
    def kept(self) -> list[str]:
        """Outputs that never go to zero, so that none does."""
        return [name for name, same in self.outputs.items() if _has_minimum(same)]

    @property
    def active(self) -> bool | None:
        """Whether there is work; None where that is not known."""
        words = [part.said.active if part.said else None for part in self.parts]
        if any(words) or self.kept:
            return True
        return None if self.doubt or None in words else False

    def replicas(self, name: str) -> int:
        """What an output is told: no less than what may not be lowered; with a doubt nobody is."""
        same = self.outputs[name]
        if self.planned is None:
            return max(max(part.wanted, part.there or 0) for part in same)
        return max(self.planned.replicas[name], *(part.least for part in same))

    def waits(self, name: str) -> bool:
        """Whether an output stays at zero until those before it in the order are ready."""
        known = self.outputs[name][0].decision.known
        ordered = name in self.first.order and not self.disordered
        return ordered and self.planned is not None and known.current == 0 and self.replicas(name) == 0

    def reasons(self) -> tuple[str, ...]:
        """Why somebody is told something else than what it came to, in half a sentence each."""
        if self.doubt:
            return (f"nobody is lowered: {self.doubt}",)
        uncertain = [name for name, same in self.outputs.items() if not _certain(same)]
        found = [f"{name}: its data is not certain, so it is not lowered" for name in uncertain]
        found += self.planned.reasons if self.planned else ()
        if self.disordered:
            found.append(f"its order is not followed: {self.disordered}")
        told = {name: self.replicas(name) for name in self.outputs}
        beyond = [band for band in self.first.bands if uncertain and not band.holds(told)]
        found += [f"{band.role} and {band.of} are out of their ratio for that" for band in beyond]
        if self.kept and not any(part.said and part.said.active for part in self.parts):
            found.append(f"it is kept active: minReplicaCount of {' and '.join(self.kept)} is above 0")
        return tuple(found)


def _has_minimum(parts: Sequence[_Part]) -> bool:
    """Tell whether one of these never goes to zero."""
    return any(part.decision.known.minimum for part in parts)


def _certain(parts: Sequence[_Part]) -> bool:
    """Tell whether the data of all of these is certain."""
    return all(part.certain for part in parts)


def _names(parts: Sequence[_Part]) -> list[str]:
    """List the objects that these are of, each once."""
    return sorted({part.decision.key.name for part in parts})


def _doubt(parts: Sequence[_Part], outputs: Mapping[str, Sequence[_Part]], first: Member) -> str:
    """Say why a group is not whole; empty where it is."""
    rules = {(part.member.outputs, part.member.bands, part.member.order) for part in parts}
    if len(rules) > 1:
        return "its members do not go by the same ratios and order, since their triggers or files differ"
    objects = {name: _names(same) for name, same in outputs.items()}
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


def _role(name: str, same: Sequence[_Part]) -> Role:
    """One output for the plan; an edited trigger may stand beside its old one: the larger need counts."""
    decision = same[0].decision
    known = decision.known
    held = max(part.least for part in same)
    bounds = decision.schedule
    most = MAX_REPLICAS if known.maximum is None else known.maximum
    most = most if bounds is None or bounds.most is None else min(most, bounds.most)
    limit = (decision.capacity.within(most) if decision.capacity else most) or 0
    least = min(bounds.least or 0, limit) if bounds else 0
    return Role(
        name=name,
        wanted=max(part.wanted for part in same),
        minimum=max(known.minimum or 0, least),
        maximum=max(limit, held),
        current=(same[0].there or 0) if known.current is None else known.current,
        ready=known.ready or 0,
    )


def _answer(part: _Part, whole: _Whole) -> Answer | None:
    """What one workload is told; None where it has no answer of its own."""
    if part.said is None:
        return None
    name = part.member.output
    active = part.decision.known.current != 0 if whole.active is None else whole.active
    return Answer(whole.replicas(name), active and not whole.waits(name), part.said.at)


def _row(part: _Part, answer: Answer | None) -> GroupPart:
    decision, said = part.decision, part.said
    return GroupPart(
        output=part.member.output,
        name=decision.key.name,
        certainty=decision.certainty,
        replicas=answer.replicas if answer else None,
        active=answer.active if answer else None,
        alone_replicas=said.replicas if said else None,
        alone_active=said.active if said else None,
    )


def _told(part: _Part, answer: Answer | None, group: Group) -> Decision:
    """The decision as its group has it."""
    decision, own = part.decision, part.said
    if answer is None or own is None:
        return replace(decision, group=group)
    woken, waits = answer.active and not own.active, own.active and not answer.active
    wake = woken or (decision.wake and not waits)
    return replace(decision, said=answer, wake=wake, group=group, reason=_reason(decision, own, answer, group))


def _reason(decision: Decision, own: Answer, answer: Answer, group: Group) -> str:
    """One sentence: what it is told, why, and what it came to by itself."""
    others = [row.output for row in group.parts if row.alone_active and row.name != decision.key.name]
    word = "active" if answer.active else "inactive"
    whys = [*group.reasons[:SHOWN]]
    if answer.active and not own.active and others:
        whys.append(f"{' and '.join(others)} has work")
    why = "; ".join(whys)
    if (answer.replicas, answer.active) == (own.replicas, own.active):
        return f"{decision.reason}; its group: {why}" if why else decision.reason
    noun = "replica" if answer.replicas == 1 else "replicas"
    because = f" ({why})" if why else ""
    return f"{answer.replicas} {noun}, {word}, for its group{because}; by itself {decision.reason}"
