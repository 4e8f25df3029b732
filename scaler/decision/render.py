"""An explanation as text for a person: the same tree that the JSON API serves, so that the two tell one story."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from scaler.decision.explanation import (
    CapacityRow,
    ConditionRow,
    CountRow,
    Explanation,
    GroupPartRow,
    GroupRow,
    HpaRow,
    InputRow,
    KubernetesRow,
    StartingRow,
    StepRow,
)
from scaler.model.availability import BoundedCount
from scaler.model.fields import seconds

WIDTH = 100
GPUS = {"free": "GPUs free", "pending": "GPUs others wait for", "own": "GPUs of its own"}
NAMED = 3  # pending pods that are named
NORMAL = {"ScalingDisabled", "TooFewReplicas"}  # of an HPA at 0 replicas, and at its minimum
AS_IT_SHOULD_BE = {"Ready": "True", "AbleToScale": "True", "ScalingActive": "True", "ScalingLimited": "False"} | {
    "Fallback": "False",
    "Paused": "False",
    "HPAActive": "True",  # of KEDA 2.21: what the HPA says of itself
    "ScaledToZero": "False",  # of the HPA of Kubernetes 1.37
}


def as_text(explained: Explanation, *, queries: bool = False) -> str:
    """Show an explanation to a person, in lines of about 100 characters.

    Args:
        explained: what is explained.
        queries: whether the very query behind every input is shown too; they are long.
    """
    who = explained.workload
    when = datetime.fromtimestamp(explained.at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    head = f"{who.namespace}/{who.name}  {_answer(explained)}  ({explained.certainty}, {when})"
    blocks = [
        [head, *([f"  ! {explained.notice}"] if explained.notice else []), f"  {explained.reason}"],
        _titled("inputs", [line for fact in explained.inputs for line in _fact_lines(fact, queries)]),
        _titled("also read", [line for fact in _only_guards(explained) for line in _fact_lines(fact, queries)]),
        _titled(_formula_title(explained), step_lines(explained.steps)),
        _titled("replicas", _replica_lines(explained)),
        _titled("what can be had", _capacity_lines(explained)),
        _titled(_group_title(explained.group), _group_lines(explained.group)),
        _titled("active", _active_lines(explained)),
        _titled("the HPA, given this (reckoned here)", _hpa_lines(explained.hpa)),
        _titled("Kubernetes reports", _report_lines(explained.kubernetes)),
        _titled("not known", [f"{name}: {problem}" for name, problem in explained.unknown.items()]),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _answer(explained: Explanation) -> str:
    if explained.answered_replicas is None:
        return "no answer"
    unit = explained.unit if explained.answered_replicas != 1 else explained.unit.removesuffix("s")
    word = "active" if explained.active else "inactive"
    return f"{explained.answered_replicas} {unit}, {word}"


def _formula_title(explained: Explanation) -> str:
    older = ", as it was before the edit that is not in force" if explained.notice else ""
    return f"formula {explained.formula}{older}"


def _group_title(group: GroupRow | None) -> str:
    name = group.name if group else ""
    return f"decided together with its group {name}".rstrip()


def _group_lines(group: GroupRow | None) -> list[str]:
    """List the members of a group: the answer of each, its own one, and why they differ."""
    if group is None:
        return []
    lines = [*filter(None, [group.mix]), *group.ratios]
    if group.order:
        lines.append(f"in this order: {', '.join(group.order)}")
    lines += [_part_line(part, own=part.output == group.output) for part in group.parts]
    return lines + [f"! {reason}" for reason in group.reasons]


def _part_line(part: GroupPartRow, *, own: bool) -> str:
    this = ", this one" if own else ""
    who = f"{part.output} ({part.name}{this})"
    alone = _said(part.alone_replicas, part.alone_active)
    return f"{who:<38} {_said(part.replicas, part.active)}; by itself {alone}, {part.certainty}"


def _said(replicas: int | None, active: bool | None) -> str:
    if replicas is None:
        return "no answer"
    activity = "active" if active else "inactive"
    return f"{replicas}, {activity}"


def _titled(title: str, lines: Sequence[str]) -> list[str]:
    indented = [f"    {line}" for line in lines]
    return [f"  {title}", *indented] if lines else []


def _only_guards(explained: Explanation) -> list[InputRow]:
    shown = {fact.measures for fact in explained.inputs}
    return [fact for fact in explained.activity_signals if fact.measures not in shown]


def _fact_lines(fact: InputRow, queries: bool) -> list[str]:
    counts = "" if fact.counts_as is None else f"counts as {number_text(fact.counts_as)}: "
    notes = [counts + fact.rule] if fact.rule or counts else []
    if fact.age is not None:
        notes.append(f"{seconds(max(fact.age, 0))} old")
    if fact.answered:
        of = f" of {fact.expected}" if fact.expected is not None else ""
        notes.append(f"from {fact.answered}{of} pods")
    value = "-" if fact.value is None else number_text(fact.value)
    first = f"{fact.name:<22} {value:>10} {fact.unit}".rstrip()
    lines = [f"{first}   {', '.join(notes)}".rstrip(), f"  {fact.measures}"[:WIDTH]]
    lines += [f"  looked for {name}" for name in fact.looked_for]
    if queries and fact.source:
        lines.append(f"  {' '.join(fact.source.split())}")
    return lines + ([f"  ! {fact.problem}"] if fact.problem else [])


def step_lines(steps: Sequence[StepRow]) -> list[str]:
    """List the steps of a formula, one a line, indented as they are nested."""
    lines = []
    for step in steps:
        text = " ".join(step.text.split())
        indented = "  " * min(step.depth, 20) + (text if len(text) <= 60 else text[:57] + "...")
        lines.append(f"{indented:<62} {_step_value(step)}")
    return lines


def _step_value(step: StepRow) -> str:
    if step.error:
        return f"! {step.error}"
    without, counted = ", ".join(step.without), step.counts_as or {}
    if step.text in counted:
        return f"counts as {number_text(step.value)}"
    stand_ins = ", ".join(f"{number_text(value)} for {name}" for name, value in counted.items())
    notes = [f"without {without}"] if without else []
    notes += [f"with {stand_ins}"] if stand_ins else []
    return f"{number_text(step.value)} {', '.join(notes)}".rstrip()


def _replica_lines(explained: Explanation) -> list[str]:
    lines = []
    if explained.value is not None and explained.desired_replicas is not None and explained.policy is None:
        ready = f"{explained.scale_target.ready} ready x " if explained.metric_type == "Value" else ""
        value, target = number_text(explained.value), number_text(explained.target)
        lines.append(f"{ready}{value} / {target} rounded up: {explained.desired_replicas}")
    lines += _partial_lines(explained)
    if explained.policy:
        lines.append(
            f"policy {explained.policy.kind}: {explained.policy.message or 'not reached'}: {explained.desired_replicas}"
        )
        lines += [f"! {caution}" for caution in explained.policy.cautions]
    lines += _coming_lines(explained.starting)
    if explained.scale_down and explained.scale_down.message:
        lines.append(f"not yet below {explained.scale_down.least_replicas}: {explained.scale_down.message}")
    lines += [row.message for row in explained.schedule]
    memory, hold = explained.memory, explained.hold
    lowers = "start nothing" if explained.unit == "jobs" else "may raise, not lower"
    if memory.seconds < memory.needed and explained.unit == "replicas":
        seen = f"{seconds(memory.seconds)} of the {seconds(memory.needed)} that the formula remembers"
        least = "" if hold.floor is None else f" below {hold.floor}"
        lines.append(f"seen {seen}: the answer may rise, and not fall{least}")
    if explained.problems:
        held = f"uncertain for {seconds(hold.seconds)} of at most {seconds(hold.limit)}: {lowers}"
        over = f"uncertain for {seconds(hold.seconds)}, longer than holdFor ({seconds(hold.limit)}): no answer"
        lines.append(over if hold.seconds > hold.limit else held)
        lines += [f"! {problem}" for problem in explained.problems]
    lines += [f"! {explained.stalled}"] if explained.stalled else []
    known = explained.scale_target
    facts = [
        f"{getattr(known, fact)} {fact}"
        for fact in ("current", "ready", "starting", "pending", "minimum", "maximum")
        if getattr(known, fact) is not None
    ]
    told = f" (told by {known.source})" if known.source else ""
    lines.append(f"scale target: {', '.join(facts) or 'replicas not known'}{told}")
    return lines


def _partial_lines(explained: Explanation) -> list[str]:
    """List the replicas for the measured part alone, where an input was not measured."""
    partial = explained.partial
    if partial is None or partial.desired_replicas is None:
        return []
    missing, target = ", ".join(partial.without), number_text(explained.target)
    asked = f"{number_text(partial.value)} / {target} rounded up: at least {partial.desired_replicas}"
    return [f"without {missing}, not measured: {asked}"]


def _coming_lines(told: StartingRow | None) -> list[str]:
    """List the replicas on their way, where there are any."""
    if told is None:
        return []
    lines = [f"not ordered again: {told.message}"] if told.message else []
    if told.overdue:
        took = f"; ready ones took {seconds(round(told.startup_seconds))}" if told.startup_seconds is not None else ""
        lines.append(f"! {told.overdue} not ready after {seconds(round(told.limit))}, and not counted on{took}")
    return lines


def _capacity_lines(explained: Explanation) -> list[str]:
    told = explained.capacity
    if told is None:
        return []
    if told.available_replicas is None and told.replicas["schedulable"].value is None:
        wanted = told.mode == "clamp" or explained.kubernetes is not None
        return [f"not known: {told.reason}"[: 2 * WIDTH]] if wanted else []
    lines = [f"replicas, each with {told.resource}"] if told.resource else []
    lines.append(_count_line("on nodes", CountRow(told.scheduled_replicas, "exact", told.scheduled_replicas, "")))
    lines += [_count_line(name, count) for name, count in told.replicas.items()]
    if told.resource:
        lines += [_count_line(GPUS[name], count) for name, count in told.gpus.items()]
    lines.append(_limit_line(told))
    return lines + ([f"! {told.message}"] if told.message else [])


def _count_line(name: str, count: CountRow) -> str:
    notes = BoundedCount(count.value, count.bound, count.reason).caveat
    shown = "not known" if count.value is None else count.value
    return f"{name:<22} {shown:>10}   {notes}".rstrip()[: 2 * WIDTH]


def _limit_line(told: CapacityRow) -> str:
    if told.available_replicas is None:
        return f"together not known, so nothing is limited: {told.reason}"[: 2 * WIDTH]
    limit = f"the answer is at most {told.limit}" if told.limit is not None else "nothing is limited"
    return f"together {told.available_replicas}: {limit} (capacity: {told.mode})"


def _active_lines(explained: Explanation) -> list[str]:
    activation, idle = explained.activation, explained.idle
    text = " ".join(activation.text.split())
    value = "not known" if activation.value is None else str(activation.value).lower()
    lines = [f"{text} is {value}"]
    if not activation.value and explained.unit == "jobs":
        lines += step_lines(activation.steps[1:])
    if activation.message:
        lines.append(activation.message)
    elif not activation.value and explained.unit == "replicas":
        against = ", ".join(idle.blocked_by)
        lines.append(against or f"quiet for {seconds(idle.seconds)} of {seconds(idle.needed)}")
    if explained.cannot_wake:
        lines.append(f"! nothing can wake it: {explained.cannot_wake}")
    if idle.no_in_flight_signal and explained.unit == "replicas" and not explained.scale_target.minimum:
        longer = f"one that takes longer than {seconds(idle.needed)} may be ended by a scale to 0"
        lines.append(f"! nothing that is read sees a request while it runs: {longer}")
    return lines


def _hpa_lines(hpa: HpaRow | None) -> list[str]:
    if hpa is None:
        return []
    down, up = hpa.tolerance.down, hpa.tolerance.up
    tolerance = f"{100 * up:g}%" + ("" if up == down else f" up and {100 * down:g}% down")
    lines = [f"gets {hpa.value} against a target of {hpa.target} ({hpa.type}, tolerance {tolerance})"]
    lines += [f"current {row.current:>4}  desired {row.desired:>4}   {row.why}" for row in hpa.rows]
    if hpa.surge and any(row.desired > hpa.value for row in hpa.rows):
        lines.append(
            f"! a rollout has {hpa.surge} pods more, which the HPA counts: within its tolerance it asks for as"
        )
        lines.append("  many as there are, and keeps them; `behavior.scaleUp.tolerance: 0` prevents that")
    if hpa.stabilization:
        lines.append(f"and goes down only to the highest that it was asked for in {seconds(hpa.stabilization)}")
    return lines


def _report_lines(told: KubernetesRow | None) -> list[str]:
    """List what is worth saying of the object: what is wrong, and what else decides."""
    if told is None:
        return []
    lines = [f"{told.target}: {told.minimum} to {told.maximum} replicas"]
    for job in told.jobs or ():
        ended = "" if job.ended is None else f", {seconds(round(job.ended))} ago"
        lines.append(f"job {job.name} started {seconds(round(job.started))} ago: {job.state}{ended}")
    if told.paused:
        lines.append(f"! paused by the annotation {told.paused}")
    if told.other_triggers:
        lines.append(f"also triggered by {', '.join(told.other_triggers)}: the largest answer of all counts")
    if told.scaling_modifiers:
        lines.append(f"! scalingModifiers make of our answer: {told.scaling_modifiers}; that is not reckoned here")
    if told.fallback:
        lines.append(f"fallback: {told.fallback}")
    for one in told.pending[:NAMED]:
        since = "" if one.seconds is None else f" for {seconds(round(one.seconds))}"
        pending = ": ".join(filter(None, (f"! {one.pod} is pending{since}", one.reason)))
        lines.append(pending[: 2 * WIDTH])
    if len(told.pending) > NAMED:
        lines.append(f"! and {len(told.pending) - NAMED} more are pending")
    lines += _condition_lines(told.conditions)
    hpa = told.hpa
    if hpa:
        lines.append(f"HPA {hpa.name}: current {hpa.current}, desired {hpa.desired}")
        lines += _condition_lines(hpa.conditions)
    return lines


def _condition_lines(conditions: Sequence[ConditionRow]) -> list[str]:
    """List the conditions that are not as they should be."""
    return [
        f"! {one.type} is {one.status}: {one.reason}: {one.message}"[: 2 * WIDTH]
        for one in conditions
        if one.status != AS_IT_SHOULD_BE.get(one.type, one.status) and one.reason not in NORMAL
    ]


def number_text(value: float | Sequence[Any] | None) -> str:
    """Write a value of the formula language as people do."""
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return f"{value:.6g}"
    shown = [number_text(item) for item in value[:8]]
    more = ["..."] if len(value) > 8 else []
    return f"[{', '.join([*shown, *more])}]"
