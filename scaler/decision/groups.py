"""Members of one group, decided together: the outputs of one formula file, each with a ScaledObject of its own.

    what each came to by itself ─▶ ratios.py, or mix.py for variants of one model ─▶ what each is told, and why

Members are the workloads of one namespace with the same formula file and the same `group` in their triggers.

Its laws:

- Work of one is work of all: as long as one is active all are, but for a variant that the mix has no use for; and only
  when all are quiet is inactive said to all of them at once. Where the word of one is not known, inactive is said only
  to those that have no replica.
- A group that is not whole is not understood: where a member has not been asked about yet, where two objects are the
  same output, where members go by different files, or where no numbers keep the ratios, nobody is lowered, and it is
  said why. After holdFor of that nobody has an answer any more, as with a workload that is not understood by itself.
"""

from collections.abc import Mapping
from dataclasses import replace

from scaler.config.workload import WorkloadSpec
from scaler.decision.decision import Answer, Decision, Group, GroupPart
from scaler.decision.members import Part, Whole, all_of
from scaler.decision.mix import InMix
from scaler.decision.ratios import InRatio
from scaler.model.fields import seconds
from scaler.model.measurement import TriggerRef

Decided = Mapping[TriggerRef, Decision]
SHOWN = 4  # reasons in the sentence of a decision; `explain` has all


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
    groups: dict[tuple[str, str, str], dict[TriggerRef, Decision]] = {}
    for request, decision in decided.items():
        groups.setdefault(group_of(decision.spec), {})[request] = decision
    told: dict[TriggerRef, Decision] = {}
    for members in groups.values():
        told |= _decide_group(members)
    return told


def _decide_group(members: Decided) -> dict[TriggerRef, Decision]:
    newest = max(decision.at for decision in members.values())
    parts = {request: Part.of(decision, newest) for request, decision in members.items()}
    first = next(iter(parts.values())).member
    whole: Whole = (InMix if first.mix else InRatio).of(list(parts.values()))
    apart = _apart_since(members, newest) if whole.doubt else None
    answers = {request: _answer(part, whole, apart) for request, part in parts.items()}
    rows = tuple(_row(part, _answer(part, whole, apart)) for part in all_of(whole.outputs))
    told = Group(first.group, rows, whole.reasons(), whole.mix, apart)
    return {request: _told(parts[request], answer, told, whole) for request, answer in answers.items()}


def _apart_since(members: Decided, newest: float) -> float:
    """Return since when a group has not been whole; a clock that went backwards begins again."""
    known = [decision.apart_since for decision in members.values() if decision.apart_since is not None]
    return min([*known, newest])


def _answer(part: Part, whole: Whole, apart: float | None) -> Answer | None:
    """Return one workload's answer; None where it has none of its own, or its group was not whole for too long."""
    if part.said is None or _given_up(part.decision, apart):
        return None
    name = part.member.output
    active = part.decision.target_status.current != 0 if whole.active is None else whole.active
    return Answer(whole.replicas(name), active and not whole.rests(name), part.said.at)


def _given_up(decision: Decision, apart: float | None) -> bool:
    """Tell whether the group has not been whole for longer than an answer is held."""
    return apart is not None and decision.at - apart > decision.spec.hold_for


def _row(part: Part, answer: Answer | None) -> GroupPart:
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


def _told(part: Part, answer: Answer | None, group: Group, whole: Whole) -> Decision:
    """Return the decision with the group's answer."""
    decision, own = part.decision, part.said
    if own is not None and answer is None and group.apart_since is not None:
        apart = seconds(round(decision.at - group.apart_since))
        reason = f"no answer: for {apart}, which is more than holdFor, its group has not been whole: {whole.doubt}"
        return replace(decision, answer=None, certainty="unknown", activate_now=False, group=group, told=reason)
    if answer is None or own is None:
        return replace(decision, group=group)
    woken, rests = answer.active and not own.active, own.active and not answer.active
    return replace(
        decision,
        answer=answer,
        activate_now=woken or (decision.activate_now and not rests),
        group=group,
        planned=whole.planned(part.member.output),
        told=_reason(decision, own, answer, group),
    )


def _reason(decision: Decision, own: Answer, answer: Answer, group: Group) -> str:
    """Say in one sentence what is answered, why, and what the workload came to by itself."""
    others = [row.output for row in group.parts if row.alone_active and row.name != decision.key.name]
    word = "active" if answer.active else "inactive"
    whys = [*filter(None, [group.mix]), *group.reasons[:SHOWN]]
    if answer.active and not own.active and others:
        verb = "has" if len(others) == 1 else "have"
        whys.append(f"{' and '.join(others)} {verb} work")
    why = "; ".join(whys)
    if (answer.replicas, answer.active) == (own.replicas, own.active):
        return f"{decision.reason}; its group: {why}" if why else decision.reason
    noun = "replica" if answer.replicas == 1 else "replicas"
    because = f" ({why})" if why else ""
    return f"{answer.replicas} {noun}, {word}, for its group{because}; by itself {decision.reason}"
