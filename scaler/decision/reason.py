"""A decision in one sentence: what KEDA's users read in the events of their ScaledObject, and the log says."""

from scaler.decision.decision import Decision
from scaler.model.fields import seconds


def sentence(decision: Decision) -> str:
    """The decision in one sentence."""
    why = "; ".join(decision.problems[:3])
    if decision.certainty == "unknown":
        return _no_answer(decision, why)
    noun = "job" if decision.spec.for_jobs else "replica"
    count = f"{decision.replicas} {noun}{'' if decision.replicas == 1 else 's'}"
    if decision.problems:
        return f"{count}{_held(decision)}: {why}"
    sum_of = f"{_shown(decision)}{', ' + decision.policy if decision.policy else ''}"
    if decision.certainty != "certain" and decision.wanted != decision.replicas:
        return f"{count}, {_unripe(decision)}: {sum_of}"
    return f"{count}{_short(decision)}: {sum_of}{_activity(decision)}"


def _held(decision: Decision) -> str:
    span = f"for {seconds(decision.held)} of at most {seconds(decision.spec.hold_for)}"
    if decision.spec.for_jobs:
        return f", since nothing is started on uncertain data, {span}"
    rise = " (raised by what was measured)" if decision.wanted == decision.replicas else ""
    return f"{rise}, held {span}"


def _unripe(decision: Decision) -> str:
    spec = decision.spec
    move, needed = ("raised", spec.window) if spec.for_jobs else ("lowered", spec.memory)
    seen = seconds(min(decision.memory_seen, needed))
    return f"not {move} to {decision.wanted} before {seen} of the formula's {seconds(needed)} seen"


def _shown(decision: Decision) -> str:
    spec = decision.spec
    if spec.metric_type == "Value":
        return f"{decision.known.ready} ready x {decision.value:g} / {spec.target:g}"
    text = " ".join(spec.program.text.split())
    value = f"{text if len(text) <= 120 else text[:117] + '...'} = {decision.value:g}"
    if spec.algorithm and spec.algorithm.jobs:
        return value
    return f"{value}, at {spec.target:g} a {'job' if spec.for_jobs else 'replica'}"


def _short(decision: Decision) -> str:
    """Why it is not what was asked for, and what of it cannot be had."""
    asked, due = decision.asked, decision.due
    short = decision.capacity.says(due) if decision.capacity and due is not None else ""
    waits = decision.coming.says() if decision.coming and due != asked else ""
    if decision.wanted == asked:
        return f", though {short}" if short else ""
    return f", not {asked}, since {'; '.join(why for why in (waits, short) if why)}"


def _activity(decision: Decision) -> str:
    if decision.spec.for_jobs:
        told = decision.condition or decision.policy  # which says itself what it waits for
        return "" if told else f", inactive: {decision.spec.why_inactive(decision.scope)}"
    if not decision.active:
        return ", inactive"
    if decision.wake or decision.replicas:
        return ""
    against = decision.idle.busy or decision.idle.unread
    if against:
        return f", kept active: {', '.join(against)}"
    return f", kept active: quiet for {seconds(decision.idle.seen)} of {seconds(decision.idle.needed)}"


def _no_answer(decision: Decision, why: str) -> str:
    spec = decision.spec
    if decision.final:
        return f"no answer: {why}"
    if why and decision.floor is not None and decision.held > spec.hold_for:
        return f"no certain answer for {seconds(decision.held)} (holdFor is {seconds(spec.hold_for)}): {why}"
    if why:
        return f"no certain answer yet: {why}"
    if decision.memory_seen < spec.memory:
        need = f"{seconds(decision.memory_seen)} of the {seconds(spec.memory)} that the formula remembers"
        return f"no certain answer yet: seen {need}, and the current replicas are not known"
    against = ", ".join(decision.idle.busy or decision.idle.unread)
    quiet = f"quiet for {seconds(decision.idle.seen)} of {seconds(decision.idle.needed)}"
    return f"no certain answer yet: {against or quiet}, and the current replicas are not known"
