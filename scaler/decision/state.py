"""What a tick leaves for the next one, and what is still believed of it after a gap. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from scaler.config.workload import WorkloadSpec
from scaler.decision.decision import Answer, InputValue
from scaler.decision.pace import NOTHING_YET, PacePast
from scaler.decision.stalled import Standing
from scaler.decision.starting import StartingState
from scaler.model.measurement import Inputs

MAX_MISSED_TICKS = 2.5  # ticks without a tick that make a gap in what was seen

TimedValue = tuple[float, float]  # (time, value)


@dataclass(frozen=True, slots=True)
class State:
    """Everything that a tick leaves for the next one."""

    started: float | None = None  # the first tick
    at: float | None = None  # the newest tick
    complete_since: float | None = None  # certain readings, without a gap longer than holdFor, since then
    last_complete_at: float | None = None  # the newest tick with certain readings
    certain: Answer | None = None  # the newest answer on certain data, until it is given up
    minimum_answer: int | None = (
        None  # replicas of the newest answer on any data: without certain data, nothing less is said
    )
    active: bool | None = None  # the word of that answer; None: none, or given up
    idle_since: float | None = None
    # whole samples for `over`, oldest first
    windows: Mapping[str, tuple[TimedValue, ...]] = field(default_factory=dict)
    last: Mapping[str, TimedValue] = field(default_factory=dict)  # newest whole sample
    policy: object = None
    owed: StartingState | None = None  # load that waits for replicas on their way
    standing: Standing | None = None  # a load that stands still
    pace: PacePast = NOTHING_YET  # what was needed and answered lately
    apart_since: float | None = None  # its group has not been whole since then; None: it was, or it has none


@dataclass(frozen=True, slots=True)
class Tick:
    """One tick of one workload: all that its decision hangs on."""

    spec: WorkloadSpec
    state: State
    inputs: Inputs
    now: float


def expire(spec: WorkloadSpec, state: State, now: float) -> State:
    """Drop what a gap has made worthless.

    Args:
        spec: the workload.
        state: what the last tick left.
        now: when the next one is.
    """
    if state.at is None:
        return state
    if now < state.at:  # the clock went backwards: keep the answer and how long it is held, believe no other span
        back = state.at - now
        certain = replace(state.certain, at=state.certain.at - back) if state.certain else None
        started = None if state.started is None else state.started - back
        kept = inherited([replace(state, certain=certain, started=started)])
        last = {name: (at - back, value) for name, (at, value) in state.last.items()}
        return replace(kept, at=now, last=last, policy=state.policy)
    believed = max(spec.hold_for, MAX_MISSED_TICKS * spec.interval)
    if now - state.at > MAX_MISSED_TICKS * spec.interval:
        state = replace(state, idle_since=None, standing=None)
    if state.last_complete_at is not None and now - state.last_complete_at > believed:
        state = replace(state, complete_since=None, last_complete_at=None)
    if state.certain and now - state.certain.at > believed:
        state = replace(state, certain=None, active=None, started=state.certain.at)
    return state


def inherited(states: Collection[State]) -> State:
    """Begin anew with what was answered before: after an edit, or in the place of other workloads.

    It may raise the largest of these answers, and lowers it only once it has seen its own memory. `holdFor` runs on.
    """
    certain = [state.certain for state in states if state.certain]
    begun = [state.started for state in states if state.started is not None]
    words = [state.active for state in states if state.active is not None]
    return State(
        started=max(begun, default=None),
        certain=max(certain, key=lambda answer: answer.at, default=None),
        minimum_answer=largest(*(state.minimum_answer for state in states)),
        active=any(words) if words else None,
        pace=PacePast(took=max((state.pace.took for state in states if state.pace.took is not None), default=None)),
    )


def windows_after(tick: Tick, facts: tuple[InputValue, ...]) -> Mapping[str, tuple[TimedValue, ...]]:
    """Add what was measured whole at this tick, and drop what has left its window."""
    windows = {}
    for item, fact in zip(tick.spec.inputs, facts, strict=True):
        if item.over:
            kept = tuple(
                sample
                for sample in tick.state.windows.get(item.name, ())
                if tick.now - item.over < sample[0] < tick.now
            )
            windows[item.name] = kept if fact.newest is None or fact.problem else (*kept, (tick.now, fact.newest))
    return windows


def last_after(tick: Tick, facts: tuple[InputValue, ...]) -> Mapping[str, TimedValue]:
    """Remember the newest whole sample of every input that was really measured."""
    measured = {
        fact.name: (tick.now, fact.newest)
        for fact in facts
        if fact.newest is not None and not fact.problem and not fact.substituted
    }
    return {**tick.state.last, **measured} if measured else tick.state.last


def largest(*counts: int | None) -> int | None:
    """Return the largest of the counts that are known; None where none is."""
    return max((count for count in counts if count is not None), default=None)
