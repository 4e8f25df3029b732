"""The fold: decide(spec, state, inputs, now) -> (state, Decision). The only way to a number.

Its law: nothing measured is not zero. An answer is certain when every input is whole and the formula came out.

    What was answered, on whatever data, is a floor until there is certain data again or holdFor has passed.

So an uncertain answer may rise and never falls: certain 2, then 16 with one pod silent, then an outage: 2, 16, 16. The
same holds for the word active. Across a restart, an edit or a take-over by a standby the replicas that there are stand
for what was answered by somebody else. After `holdFor` without certain data nothing is said.

Inactive, the word that takes N replicas to zero in one step, is said only after `idleFor` of certain, gap-free quiet.
What a process has not seen for as long as the formula's memory, it may use to raise and not to lower. Growth ends where
replicas are on their way already (starting.py) or cannot be had (capacity.py); an answer falls at a pace (pace.py),
within the bounds of the hour (schedule.py).

For a ScaledJob the dangerous side is the other one, since a Job that was started cannot be taken back and one that runs
is never ended: on uncertain data, and before the windows of its inputs were seen, nothing is started.

Pure and total: no clock, no I/O, no exception for anything that can be measured. Serving, a restart, `explain`,
`check`, a backtest and the tests all fold this one function.
"""

from scaler.config.workload import WorkloadSpec
from scaler.decision.capacity import Capacity, capacity
from scaler.decision.certainty import Confidence, active_or_not, certainty_of, confidence_in, idle_time, replicas_to_say
from scaler.decision.decision import Answer, Decision, Partial
from scaler.decision.evaluate import Evaluation, evaluate, past_of
from scaler.decision.pace import Pace, PacePast, following, pace
from scaler.decision.schedule import Scheduled, scheduled
from scaler.decision.stalled import at_gateway, doubt
from scaler.decision.starting import StartingReplicas, StartingState, starting_credit
from scaler.decision.state import State, Tick, expire, last_after, windows_after
from scaler.decision.wake import cannot_wake
from scaler.model.measurement import Inputs, TargetStatus


def decide(spec: WorkloadSpec, state: State, inputs: Inputs, now: float) -> tuple[State, Decision]:
    """Fold one tick.

    Args:
        spec: the workload.
        state: what the last tick left; `State()` for the first.
        inputs: what was measured for `now`.
        now: the tick's time on the grid. A time before the last tick counts as a gap.

    Returns:
        The next state, and the decision with its whole explanation.
    """
    tick = Tick(spec, expire(spec, state, now), inputs, now)
    past = past_of(tick)
    evaluation = evaluate(tick, past.took)
    room = capacity(spec.capacity, inputs, now)
    owed, on_the_way = starting_credit(spec.startup_limit, tick.state.owed, inputs, room, now)
    at_the_gateway = at_gateway(spec, evaluation.input_values)
    stalled = doubt(spec, evaluation.standing, evaluation.activity_signals, at_the_gateway, now)
    confidence = confidence_in(tick, evaluation, stalled=bool(stalled))
    slow = _slow(tick, past, confidence)
    due = _clamp(evaluation.desired, on_the_way)
    bounds = scheduled(spec.schedule, now) if spec.schedule else None
    least = _clamp(bounds.least, room) if bounds else None
    limited = _clamp(due, slow, bounds, room)
    outcome = evaluation.outcome
    activated = confidence.may_act and evaluation.activation is True and (outcome is None or outcome.active)
    idle = idle_time(tick, evaluation, resting=confidence.certain and not activated)
    replicas = replicas_to_say(spec, confidence, limited if confidence.may_act else None, least)
    needed = activated or least is not None
    active = activated if spec.is_job else active_or_not(tick, needed, idle)
    # Both words or neither: KEDA throws GetMetrics away when IsActive fails.
    answer = None if replicas is None or active is None else Answer(replicas, active, now)
    partial = Partial(evaluation.value, evaluation.desired, evaluation.left_out) if evaluation.left_out else None
    decision = Decision(
        spec=spec,
        at=now,
        certainty=certainty_of(answer, confidence),
        answer=answer,
        activation=evaluation.activation,
        activate_now=activated,
        value=None if partial else evaluation.value,
        desired=None if partial else evaluation.desired,
        partial=partial,
        limited=limited,
        input_values=evaluation.input_values,
        activity_signals=evaluation.activity_signals,
        scope=evaluation.scope,
        problems=evaluation.problems,
        policy=outcome.reason if outcome else "",
        idle=idle,
        memory_seen=confidence.seen,
        uncertain_for=confidence.uncertain_for,
        before=tick.state.certain,
        minimum_answer=confidence.minimum_answer,
        target_status=inputs.target_status,
        config_error=confidence.config_error,
        scaled=inputs.target.scaled,
        capacity=room,
        starting=on_the_way,
        pace=slow,
        schedule=bounds,
        stalled=stalled,
        cannot_wake="" if needed else cannot_wake(spec, inputs),
        apart_since=tick.state.apart_since,
    )
    return _state_after(tick, evaluation, confidence, decision, owed, _past_after(tick, past, due, decision)), decision


def _is_mixed(spec: WorkloadSpec) -> bool:
    """Tell whether the answer comes from the mix of its variants (together.py), and not from the workload alone."""
    return spec.member is not None and spec.member.mix is not None


def _past_after(tick: Tick, past: PacePast, due: int | None, decision: Decision) -> PacePast:
    """Add what was due and what was answered to the past, by which the pace of the next tick goes."""
    spec, known = tick.spec, tick.inputs.target_status
    if spec.scale_down is None or _is_mixed(spec):
        return past
    answered = at_most(decision.replicas, known)
    return following(spec.scale_down, past, at_most(due, known), answered, known.current, tick.now)


def _state_after(
    tick: Tick,
    evaluation: Evaluation,
    confidence: Confidence,
    decision: Decision,
    owed: StartingState | None,
    past: PacePast,
) -> State:
    """Keep what the next tick needs of this one."""
    state, now, said, idle = tick.state, tick.now, decision.answer, decision.idle
    alone = not _is_mixed(tick.spec)  # what it would need if it carried all alone is never answered
    return State(
        started=now if state.started is None else state.started,
        at=now,
        complete_since=confidence.complete_since,
        last_complete_at=now if confidence.certain else state.last_complete_at,
        certain=said if confidence.certain and said else state.certain,
        minimum_answer=said.replicas if said and alone else state.minimum_answer,
        active=said.active if said else state.active,
        idle_since=now - idle.seen if idle.quiet else None,
        windows=windows_after(tick, evaluation.input_values),
        last=last_after(tick, evaluation.input_values),
        policy=evaluation.policy,
        owed=owed,
        standing=evaluation.standing,
        pace=past,
        apart_since=state.apart_since,
    )


def _slow(tick: Tick, past: PacePast, confidence: Confidence) -> Pace | None:
    """Say how far a certain answer may fall; an uncertain one does not fall, and of Jobs none is kept."""
    spec, known, now = tick.spec, tick.inputs.target_status, tick.now
    if spec.scale_down is None or spec.is_job or not confidence.memory_complete:
        return None
    since = now if confidence.complete_since is None else confidence.complete_since
    current = None if known.stale_reason else known.current
    return pace(
        spec.scale_down, past, at_most(confidence.minimum_answer, known), current, now - since + spec.interval, now
    )


def at_most(count: int | None, known: TargetStatus) -> int | None:
    """Count no more than maxReplicaCount, where it is known: what there never was cannot be let go."""
    return count if count is None or known.maximum is None else min(count, max(known.maximum, known.current or 0))


def _clamp(desired: int | None, *limits: StartingReplicas | Capacity | Pace | Scheduled | None) -> int | None:
    """Clamp desired replicas by each of the limits in turn: on their way, the pace, the schedule, what can be had."""
    for limit in limits:
        desired = limit.within(desired) if limit else desired
    return desired
