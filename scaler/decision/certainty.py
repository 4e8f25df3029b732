"""How certain a tick is, and what may be said on that: a number of replicas, active, inactive, or nothing.

    certain, and the whole memory was seen      the formula's number
    certain, memory not seen yet                that number or the minimum answer, whichever is more
    not certain, for no longer than holdFor     the same
    not certain for longer                      nothing

Pure.
"""

from dataclasses import dataclass

from scaler.config.workload import WorkloadSpec
from scaler.decision.decision import Answer, Certainty, Idle, InputValue
from scaler.decision.evaluate import Evaluation
from scaler.decision.state import Tick, largest


@dataclass(frozen=True, slots=True)
class Confidence:
    """The confidence that an answer can rest on."""

    certain: bool
    memory_complete: bool  # certain, and the whole memory was seen
    may_act: bool  # on what the formula says
    config_error: bool  # the configuration is at fault
    complete_since: float | None  # certain without a gap
    seen: float  # seconds of that, at most what the formula remembers
    uncertain_for: float  # seconds
    minimum_answer: int | None  # the least that may be said where not all is seen


def confidence_in(tick: Tick, evaluation: Evaluation, *, stalled: bool) -> Confidence:
    """Say whether all was measured now, and for how long it has been."""
    spec, state, now = tick.spec, tick.state, tick.now
    certain = not evaluation.problems
    since = (now if state.complete_since is None else state.complete_since) if certain else state.complete_since
    memory = spec.memory
    seen = 0.0 if since is None else min(now - since + spec.interval, memory)
    memory_complete = certain and not stalled and seen >= (spec.window if spec.is_job else memory)
    begun = state.certain.at if state.certain else now if state.started is None else state.started
    return Confidence(
        certain=certain,
        memory_complete=memory_complete,
        may_act=memory_complete or not spec.is_job,
        config_error=any(fact.config_error for fact in evaluation.input_values),
        complete_since=since,
        seen=seen,
        uncertain_for=0.0 if certain else now - begun,
        minimum_answer=_minimum_answer(tick, certain=certain),
    )


def _minimum_answer(tick: Tick, *, certain: bool) -> int | None:
    """Return the least answer where not all is seen; of Jobs, none is started then, and none that runs is ended."""
    if tick.spec.is_job:
        return 0 if certain or tick.state.minimum_answer is not None else None
    return largest(tick.state.minimum_answer, tick.inputs.target_status.current)


def idle_time(tick: Tick, evaluation: Evaluation, *, resting: bool) -> Idle:
    """Say whether this tick was quiet, and for how long that has been so without a gap."""
    state, activity_signals, known, now = tick.state, evaluation.activity_signals, tick.inputs.target_status, tick.now
    busy = [f"{fact.name} is {fact.value:g}" for fact in activity_signals if fact.value]
    if known.starting:
        busy.append(f"{known.starting} starting")
    unread = _unread([fact for fact in activity_signals if fact.problem and not fact.value])
    quiet = resting and not busy and not unread
    seen = now - (now if state.idle_since is None else state.idle_since) if quiet else 0.0
    return Idle(quiet, tuple(busy), tuple(unread), seen, tick.spec.idle_for)


def _unread(facts: list[InputValue]) -> list[str]:
    """Say what could not be read; one outage is told once, however many signals it concerns."""
    concerned: dict[str, dict[str, None]] = {}  # problem -> names, each once
    for fact in facts:
        concerned.setdefault(fact.problem, {})[fact.name] = None
    return [f"{', '.join(names)}: {problem}" for problem, names in concerned.items()]


def replicas_to_say(spec: WorkloadSpec, confidence: Confidence, limited: int | None, least: int | None) -> int | None:
    """Return the limited number if all is certain and was seen; else the minimum answer or more, if there is one.

    `least` is what the schedule asks for, which needs no measurement.
    """
    if confidence.memory_complete:
        return limited
    if confidence.minimum_answer is None or confidence.config_error or confidence.uncertain_for > spec.hold_for:
        return None
    return largest(limited, confidence.minimum_answer, least)


def active_or_not(tick: Tick, needed: bool, idle: Idle) -> bool | None:
    """Say active, inactive, or None for neither: the first rule that holds."""
    state, known = tick.state, tick.inputs.target_status
    rules: tuple[tuple[bool, bool | None], ...] = (
        (needed, True),
        (idle.quiet and idle.seen >= idle.needed, False),
        (bool(idle.busy) or bool(known.current), True),
        (state.active is not None, state.active),
        (idle.quiet and known.current == 0, False),  # nothing runs, so nothing can be lost
    )
    return next((answer for holds, answer in rules if holds), None)


def certainty_of(answer: Answer | None, confidence: Confidence) -> Certainty:
    """Name the certainty of an answer."""
    if answer is None:
        return "unknown"
    if confidence.memory_complete:
        return "certain"
    return "raising" if confidence.certain and confidence.may_act else "held"
