"""A decision in one sentence: what KEDA's users read in the events of their ScaledObject, and the log says."""

from typing import TYPE_CHECKING

from scaler.model.fields import seconds

if TYPE_CHECKING:
    from scaler.decision.decision import Decision


def sentence(decision: "Decision") -> str:
    """Say the decision in one sentence."""
    why = "; ".join(decision.problems[:3])
    if decision.certainty == "unknown":
        return _no_answer(decision, why)
    one = "job" if decision.spec.is_job else "replica"
    noun = one if decision.replicas == 1 else f"{one}s"
    count = f"{decision.replicas} {noun}"
    if decision.problems:
        return f"{count}{_held(decision)}: {why}{_activity(decision)}"
    sum_of = ", ".join(filter(None, (_shown(decision), decision.policy)))
    if decision.stalled:
        return f"{count}, {decision.stalled}: {sum_of}{_activity(decision)}"
    if decision.certainty != "certain" and decision.limited != decision.replicas:
        return f"{count}, {_unripe(decision)}: {sum_of}{_activity(decision)}"
    return f"{count}{_short(decision)}: {sum_of}{_activity(decision)}"


def _held(decision: "Decision") -> str:
    span = f"for {seconds(decision.uncertain_for)} of at most {seconds(decision.spec.hold_for)}"
    if decision.spec.is_job:
        return f", since nothing is started on uncertain data, {span}"
    return f"{_rise(decision)}, held {span}"


def _rise(decision: "Decision") -> str:
    """Say that uncertain data has raised the answer, now or earlier; an empty text where it has not."""
    before = decision.before.replicas if decision.before else 0
    replicas, without = decision.replicas or 0, max(before, decision.known_replicas or 0)
    if replicas <= without:
        return ""
    if decision.bounded_by:
        return f" ({decision.bounded_by})"
    when = "" if decision.limited == replicas else " before"
    return f" (raised by what was measured{when})"


def _unripe(decision: "Decision") -> str:
    spec = decision.spec
    move, needed = ("raised", spec.window) if spec.is_job else ("lowered", spec.memory)
    seen = seconds(min(decision.memory_seen, needed))
    return f"not {move} to {decision.limited} yet, since only {seen} of the {seconds(needed)} it remembers were seen"


def _shown(decision: "Decision") -> str:
    spec = decision.spec
    if spec.metric_type == "Value":
        return f"{decision.target_status.ready} ready x {decision.value:g} / {spec.target:g}"
    text = " ".join(spec.program.text.split())
    short = text if len(text) <= 120 else text[:117] + "..."
    value = f"{short} = {decision.value:g}"
    if spec.algorithm and spec.algorithm.jobs:
        return value
    one = "job" if spec.is_job else "replica"
    return f"{value}, at {spec.target:g} a {one}"


def _short(decision: "Decision") -> str:
    """Say why the answer is below the desired replicas."""
    asked, due = decision.desired, decision.after_starting_credit
    short = decision.capacity.says(due) if decision.capacity and due is not None else ""
    waits = decision.starting.says() if decision.starting and due != asked else ""
    if decision.limited == asked:
        return f", though {short}" if short else ""
    whys = (decision.falls_slowly, decision.bounded_by, waits, short)
    return f", not {asked}, since {'; '.join(why for why in whys if why)}"


def _activity(decision: "Decision") -> str:
    if decision.spec.is_job:
        told = decision.activation or decision.policy  # which says itself what it waits for
        return "" if told else f", inactive: {decision.spec.why_inactive(decision.scope)}"
    if not decision.active and decision.certainty == "certain":
        return f", inactive, and nothing can wake it: {decision.cannot_wake}" if decision.cannot_wake else ", inactive"
    return f", {why}" if (why := activity(decision)) and not _plain(decision) else ""


def _plain(decision: "Decision") -> bool:
    """Tell whether nobody wonders that it is active: it has replicas to keep, and the rest of the sentence says why."""
    return decision.active is True and bool(decision.replicas) and bool(decision.problems)


def activity(decision: "Decision") -> str:
    """Say why a workload is active or not, where that is not simply what its activation says; else an empty text."""
    idle = decision.idle
    if decision.active is None or (decision.active is decision.activate_now and decision.activation is not None):
        return ""
    if decision.active and decision.kept_active:
        return "kept active by the schedule"
    if not decision.active:
        return f"inactive: {decision.policy}" if decision.activation and decision.policy else "still inactive"
    if idle.busy or idle.unread:
        return f"kept active: {', '.join(idle.busy or idle.unread)}"
    if idle.quiet:
        return f"kept active: quiet for {seconds(idle.seen)} of {seconds(idle.needed)}"
    return "kept active: not all was measured, so that nothing runs is not certain"


def _no_answer(decision: "Decision", why: str) -> str:
    spec = decision.spec
    if decision.config_error:
        return f"no answer: {why}"
    if why and decision.minimum_answer is not None and decision.uncertain_for > spec.hold_for:
        return f"no certain answer for {seconds(decision.uncertain_for)} (holdFor is {seconds(spec.hold_for)}): {why}"
    if why:
        return f"no certain answer yet: {why}"
    if decision.memory_seen < spec.memory:
        need = f"{seconds(decision.memory_seen)} of the {seconds(spec.memory)} that the formula remembers"
        return f"no certain answer yet: seen {need}, and the current replicas are not known"
    against = ", ".join(decision.idle.busy or decision.idle.unread)
    quiet = f"quiet for {seconds(decision.idle.seen)} of {seconds(decision.idle.needed)}"
    return f"no certain answer yet: {against or quiet}, and the current replicas are not known"
