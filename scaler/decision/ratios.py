"""Members of a group whose replicas keep ratios: what each came to by itself, and what the plan makes of it.

    prefill 2, decode 1 by themselves, 2 to 4 of decode for each of prefill:      prefill 2, decode 4

A member whose data is not certain holds its part, or rises; no ratio lowers it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from scaler.config.outputs import Member
from scaler.decision.evaluate import MAX_REPLICAS
from scaler.decision.members import Part, all_of, by_output, certain, doubt_of, has_work, kept_from_zero
from scaler.policy.group import GroupPlan, Role, plan


@dataclass(frozen=True, slots=True)
class InRatio:
    """A group, and what it comes to.

    Attributes:
        outputs: the workloads of every output that has one, in the order of the file.
        doubt: why it is not whole, in half a sentence; empty where it is.
        plan: by output; None where there is a doubt.
        disordered: why its order is not followed; empty where it is, or there is none.
    """

    outputs: Mapping[str, Sequence[Part]]
    doubt: str
    plan: GroupPlan | None
    disordered: str

    @classmethod
    def of(cls, parts: Sequence[Part]) -> "InRatio":
        """Put the members together, and plan."""
        first, outputs = parts[0].member, by_output(parts)
        doubt = doubt_of(parts, outputs, first)
        if doubt:
            return cls(outputs, doubt, None, "")
        unseen = [name for name, same in outputs.items() if same[0].decision.target_status.ready is None]
        disordered = f"how many replicas of {unseen[0]} are ready is not known" if unseen and first.order else ""
        roles = [_role(name, same) for name, same in outputs.items()]
        works = any(part.works for part in parts)
        if works:
            roles = [replace(role, wanted=max(role.wanted or 0, 1)) for role in roles]
        planned = plan(roles, first.bands, () if disordered else first.order, first.budget)
        if planned is None:
            bounds = "minReplicaCount, maxReplicaCount, schedules" + (", its budget" if first.budget else "")
            doubt = f"no numbers within {bounds} and what can be had keep its ratios"
        return cls(outputs, doubt, planned, disordered)

    @property
    def first(self) -> Member:
        """The member that all of them go by, where there is no doubt."""
        return next(iter(self.outputs.values()))[0].member

    @property
    def active(self) -> bool | None:
        """Tell whether there is work; None where that is not known."""
        return has_work(self.outputs, self.doubt)

    @property
    def mix(self) -> str:
        """Nothing: its members are no variants."""
        return ""

    def planned(self, _name: str) -> int | None:
        """Return None: its members are no variants."""
        return None

    def replicas(self, name: str) -> int:
        """Return an output's replicas: no fewer than what may not be lowered; with a doubt nothing is lowered."""
        same = self.outputs[name]
        if self.plan is None:
            return max(max(part.wanted, part.there or 0) for part in same)
        return max(self.plan.replicas[name], *(part.least for part in same))

    def rests(self, name: str) -> bool:
        """Tell whether an output stays at zero until those before it in the order are ready."""
        known = self.outputs[name][0].decision.target_status
        ordered = name in self.first.order and not self.disordered
        return ordered and self.plan is not None and known.current == 0 and self.replicas(name) == 0

    def reasons(self) -> tuple[str, ...]:
        """Say in half a sentence each why an output gets another answer than its own."""
        if self.doubt:
            return (f"nobody is lowered: {self.doubt}",)
        uncertain = [name for name, same in self.outputs.items() if not certain(same)]
        found = [f"{name}: its data is not certain, so it is not lowered" for name in uncertain]
        found += self.plan.reasons if self.plan else ()
        if self.disordered:
            found.append(f"its order is not followed: {self.disordered}")
        told = {name: self.replicas(name) for name in self.outputs}
        beyond = [band for band in self.first.bands if uncertain and not band.holds(told)]
        found += [f"{band.role} and {band.of} are out of their ratio for that" for band in beyond]
        kept = kept_from_zero(self.outputs)
        if kept and not any(part.said and part.said.active for part in all_of(self.outputs)):
            found.append(f"it is kept active: minReplicaCount of {' and '.join(kept)} is above 0")
        return tuple(found)


def _role(name: str, same: Sequence[Part]) -> Role:
    """Make one output for the plan; an edited trigger may stand beside its old one: the larger need counts."""
    decision = same[0].decision
    known = decision.target_status
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
        told=max(part.there or 0 for part in same),
    )
