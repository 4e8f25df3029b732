"""Roles that belong together: whole numbers of replicas that keep the ratios between them.

    wanted by each role ─▶ the least numbers that meet all of it and every band ─▶ in order, or all at once ─▶ replicas

A band says how many replicas of one role there may be for each of another: prefill / decode from 0.35 to 0.4. Bands are
monotone: more of one role never allows fewer of the other. So there is one least answer that meets every want and every
band, found by raising what is too few until nothing is (a fixed point), and one greatest that keeps every maximum,
found by lowering what is too many. Where the wants do not fit under the maxima, they are cut to the greatest answer.

    prefill 1..8, decode 1..16, band 0.35 to 0.4, wanted 1 and 1:   2 and 5, since no smaller pair lies in the band
    band 0.25 to 1, wanted 1 and 8:                                 2 and 8

A budget is a number of GPUs for all roles together. What is wanted above it is cut in proportion, and while one role
still has replicas that it is to let go, another does not get theirs: first down, then up, so no instant is above it.

    8 and 8 replicas of one GPU each, for at most 8:                4 and 4

To zero and from zero they go together: as long as one of them wants a replica, each has at least one. A role whose data
fails holds its part: it is not lowered, and the reason says which it is.

Source of the need: Kthena's disaggregatedTarget (two roles, one pass, which may end outside of the band) and
llm-d/llm-d-autoscaling#1531 (zero together), ai-dynamo/dynamo's proportional_clamp_pair and its #12428 (the budget).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_EPSILON = 1e-9
ENOUGH = 1_000  # replicas of a role: bands that nothing up to this keeps are kept by nothing that anybody has


@dataclass(frozen=True, slots=True)
class Role:
    """One member of a group, at one tick.

    Attributes:
        name: of the role.
        wanted: replicas by its own load; None: its data failed, and it holds what it has.
        minimum: the fewest replicas, while the group is not at zero.
        maximum: the most.
        current: replicas that there are, those on their way with them.
        ready: of these, that are ready.
        told: what it was told last, which may not have been carried out yet.
    """

    name: str
    wanted: int | None
    minimum: int
    maximum: int
    current: int
    ready: int
    told: int = 0


@dataclass(frozen=True, slots=True)
class Band:
    """Replicas of `role` for each replica of `of`: from `least` to `most`."""

    role: str
    of: str
    least: float
    most: float

    def holds(self, replicas: Mapping[str, int]) -> bool:
        """Tell whether the numbers lie in the band; zero of both does."""
        role, of = replicas[self.role], replicas[self.of]
        return self.least * of <= role + _EPSILON and role <= self.most * of + _EPSILON


@dataclass(frozen=True, slots=True)
class Budget:
    """GPUs for all roles together.

    Attributes:
        least: that they have while there is work, as far as whole replicas go.
        most: that they have at any time.
        each: GPUs of one replica, by role.
    """

    least: float
    most: float
    each: tuple[tuple[str, float], ...]

    def of(self, replicas: Mapping[str, int]) -> float:
        """Return the GPUs of these replicas."""
        return sum(gpus * replicas[name] for name, gpus in self.each)


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """Replicas of every role, and why they are not what the roles wanted by themselves.

    Attributes:
        replicas: by role.
        reasons: half a sentence each.
        held: roles whose data failed.
    """

    replicas: Mapping[str, int]
    reasons: tuple[str, ...] = ()
    held: tuple[str, ...] = ()


def plan(
    roles: Sequence[Role], bands: Sequence[Band], order: Sequence[str] = (), budget: Budget | None = None
) -> GroupPlan | None:
    """Decide the replicas of every role of a group together.

    Args:
        roles: the members.
        bands: the ratios to keep, each between two of them.
        order: roles that wait for those before them to be ready; empty: all at once.
        budget: GPUs for all of them together; None: any number.

    Returns:
        The plan; None where no numbers within minimum, maximum and budget keep the bands.
    """
    held = tuple(role.name for role in roles if role.wanted is None)
    wants = {role.name: role.current if role.wanted is None else role.wanted for role in roles}
    if not any(wants.values()) and not any(role.minimum for role in roles):
        return GroupPlan(dict.fromkeys(wants, 0), (), held)
    most = _lowered({role.name: role.maximum for role in roles}, bands)
    least = {role.name: max(role.minimum, 1) for role in roles}
    if most is None or any(most[name] < fewest for name, fewest in least.items()):
        return None
    cut = {name: min(max(want, least[name]), most[name]) for name, want in wants.items()}
    chosen = _raised(cut, bands, most)
    afforded = _afforded(chosen, least, most, bands, budget) if budget else chosen
    if afforded is None:
        return None
    reasons = [f"{name}: its data failed, so it holds {wants[name]}" for name in held]
    if budget and afforded != chosen:
        reasons.append(f"{budget.of(chosen):g} GPUs would be needed, and the budget is {_span(budget)}")
    chosen = afforded
    reasons += [_why(name, wants[name], count) for name, count in chosen.items() if count != wants[name]]
    if budget:
        chosen, waits = _first_down(chosen, {role.name: max(role.current, role.told) for role in roles}, budget)
        reasons += waits
    if order:
        chosen, waits = _in_order(chosen, {role.name: role for role in roles}, bands, order)
        reasons += waits
    return GroupPlan(chosen, tuple(reasons), held)


def keepable(names: Sequence[str], bands: Sequence[Band]) -> bool:
    """Tell whether any numbers of replicas up to `ENOUGH` keep the bands."""
    return _lowered(dict.fromkeys(names, ENOUGH), bands) is not None


def _span(budget: Budget) -> str:
    return f"{budget.least:g} to {budget.most:g}" if budget.least else f"{budget.most:g}"


def _afforded(
    chosen: Mapping[str, int],
    least: Mapping[str, int],
    most: Mapping[str, int],
    bands: Sequence[Band],
    budget: Budget,
) -> dict[str, int] | None:
    """Bring the numbers into the budget, in proportion; None where the fewest are too many for it.

    8 and 8 of one GPU for 8: 4 and 4.  10 and 1: 7 and 1.  3 and 9 of one and two GPUs for 10: 1 and 4.
    """
    found, gpus = dict(chosen), dict(budget.each)
    needed = budget.of(found)
    if needed < budget.least - _EPSILON:
        raised = {name: math.ceil(count * budget.least / needed - _EPSILON) for name, count in found.items()}
        found = _raised({name: min(count, most[name]) for name, count in raised.items()}, bands, most)
        needed = budget.of(found)
    if needed <= budget.most + _EPSILON:
        return found
    left, others, share = budget.most, budget.of(least), budget.most / needed
    for place, (name, count) in enumerate(found.items()):
        others -= least[name] * gpus[name]
        room = math.floor((left - others) / gpus[name] + _EPSILON)
        last = place == len(found) - 1
        found[name] = max(min(count if last else math.floor(count * share + _EPSILON), room), least[name])
        left -= found[name] * gpus[name]
    if left < -_EPSILON:
        return None
    kept = _lowered(found, bands)
    if kept is None or any(kept[name] < fewest for name, fewest in least.items()):
        return None
    return kept


def _first_down(
    chosen: Mapping[str, int], current: Mapping[str, int], budget: Budget
) -> tuple[dict[str, int], list[str]]:
    """Raise a role only into what is free of the budget now, so that no instant is above it."""
    answer, waits, gpus = dict(chosen), [], dict(budget.each)
    free = budget.most - budget.of(current)
    for name, count in chosen.items():
        if count <= current[name]:
            continue
        more = min(count - current[name], max(math.floor(free / gpus[name] + _EPSILON), 0))
        answer[name] = current[name] + more
        free -= more * gpus[name]
        if answer[name] < count:
            waits.append(f"{name}: {answer[name]}, not yet {count}, until GPUs of the budget are free")
    return answer, waits


def _why(name: str, wanted: int, chosen: int) -> str:
    reason = "for the ratio" if chosen > wanted else "since more cannot be kept in ratio"
    return f"{name}: {chosen} and not {wanted}, {reason}"


def _raised(replicas: Mapping[str, int], bands: Sequence[Band], most: Mapping[str, int]) -> dict[str, int]:
    """Raise the numbers to the least ones that keep the bands; there are some, since `most` are such."""
    found = dict(replicas)
    changed = True
    while changed:
        changed = False
        for band in bands:
            needs = {
                band.role: math.ceil(band.least * found[band.of] - _EPSILON),
                band.of: math.ceil(found[band.role] / band.most - _EPSILON) if band.most else found[band.of],
            }
            for name, need in needs.items():
                if min(need, most[name]) > found[name]:
                    found[name] = min(need, most[name])
                    changed = True
    return found


def _lowered(replicas: Mapping[str, int], bands: Sequence[Band]) -> dict[str, int] | None:
    """Lower the numbers to the greatest ones that keep the bands; None where only zeros do."""
    found = dict(replicas)
    changed = True
    while changed:
        changed = False
        for band in bands:
            limits = {
                band.role: math.floor(band.most * found[band.of] + _EPSILON),
                band.of: math.floor(found[band.role] / band.least + _EPSILON) if band.least else found[band.of],
            }
            for name, limit in limits.items():
                if limit < found[name]:
                    found[name] = limit
                    changed = True
        if min(found.values()) <= 0:
            return None
    return found


def _in_order(
    chosen: Mapping[str, int], roles: Mapping[str, Role], bands: Sequence[Band], order: Sequence[str]
) -> tuple[dict[str, int], list[str]]:
    """Raise a role only as far as those before it are ready; lower one only as far as those behind it have gone."""
    answer, waits = dict(chosen), []
    for index, name in enumerate(order):
        role, before, behind = roles[name], order[:index], order[index + 1 :]
        if chosen[name] > role.current:
            limit = max(_allowed(name, {other: roles[other].ready for other in before}, bands), role.current)
            if limit < chosen[name]:
                answer[name] = limit
                waits.append(f"{name}: {limit} of {chosen[name]} until {_named(before, 'is', 'are')} ready")
        elif chosen[name] < role.current:
            needed = _needed(name, {other: roles[other].current for other in behind}, bands)
            if min(needed, role.current) > chosen[name]:
                answer[name] = min(needed, role.current)
                waits.append(
                    f"{name}: {answer[name]}, not yet {chosen[name]}, until {_named(behind, 'has', 'have')} gone"
                )
    return answer, waits


def _named(roles: Sequence[str], of_one: str, of_several: str) -> str:
    """Name the roles with the verb that they need: "prefill is", "prefill and encode are"."""
    verb = of_one if len(roles) == 1 else of_several
    return f"{' and '.join(roles)} {verb}"


def _allowed(name: str, ready: Mapping[str, int], bands: Sequence[Band]) -> int:
    """Return the most replicas of a role that the bands allow beside the ready ones of the other roles."""
    limits = [10**9]
    for band in bands:
        if band.role == name and band.of in ready:
            limits.append(math.floor(band.most * ready[band.of] + _EPSILON))
        if band.of == name and band.role in ready and band.least:
            limits.append(math.floor(ready[band.role] / band.least + _EPSILON))
    return min(limits)


def _needed(name: str, current: Mapping[str, int], bands: Sequence[Band]) -> int:
    """Return the fewest replicas of a role that the bands need beside the ones that still run of the other roles."""
    needs = [0]
    for band in bands:
        if band.role == name and band.of in current:
            needs.append(math.ceil(band.least * current[band.of] - _EPSILON))
        if band.of == name and band.role in current and band.most:
            needs.append(math.ceil(current[band.role] / band.most - _EPSILON))
    return max(needs)
