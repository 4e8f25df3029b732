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

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from scaler.config.metrics import REDUCTIONS, TARGET_NAMES, Input
from scaler.config.workload import WorkloadSpec
from scaler.decision.capacity import Capacity, capacity
from scaler.decision.decision import Answer, Certainty, Decision, Fact, Idle, Partial
from scaler.decision.nothing_seen import doubt_unmeasured
from scaler.decision.pace import LONGEST, NOTHING_YET, Pace, Past, following, pace
from scaler.decision.reason import sentence
from scaler.decision.schedule import Scheduled, scheduled
from scaler.decision.stalled import Standing, doubt, follow
from scaler.decision.starting import Coming, Owed, coming, learnt
from scaler.decision.wake import cannot_wake, doubted
from scaler.formula import Program
from scaler.model.errors import EvaluationError
from scaler.model.fields import seconds
from scaler.model.measurement import (
    MAX_VALUE,
    Failure,
    Inputs,
    Measured,
    Reading,
    Replicas,
    SignalAsk,
    replicas_for,
)
from scaler.policy.outcome import Outcome, Seen

MAX_REPLICAS = 1_000_000  # more is a fault of the formula, not a wish
GAP = 2.5  # ticks without a tick that make a gap in what was seen

Sample = tuple[float, float]  # (time, value)


@dataclass(frozen=True, slots=True)
class State:
    """Everything that a tick leaves for the next one."""

    started: float | None = None  # the first tick
    at: float | None = None  # the newest tick
    since: float | None = None  # certain readings, without a gap longer than holdFor, since then
    whole_at: float | None = None  # the newest tick with certain readings
    certain: Answer | None = None  # the newest answer on certain data, until it is given up
    floor: int | None = None  # replicas of the newest answer on any data: without certain data, nothing less is said
    active: bool | None = None  # the word of that answer; None: none, or given up
    idle_since: float | None = None
    windows: Mapping[str, tuple[Sample, ...]] = field(default_factory=dict)  # whole samples for `over`, oldest first
    last: Mapping[str, Sample] = field(default_factory=dict)  # newest whole sample
    policy: object = None
    owed: Owed | None = None  # load that waits for replicas on their way
    standing: Standing | None = None  # a load that stands still
    pace: Past = NOTHING_YET  # what was needed and answered lately
    apart_since: float | None = None  # its group has not been whole since then; None: it was, or it has none


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
    state = _forget(spec, state, now)
    load = _load(spec, state, inputs, now)
    room = capacity(spec.capacity, inputs, now)
    owed, way = coming(spec.patience, state.owed, inputs, room, now)
    stalled = doubt(spec, load.standing, load.guards, now)
    ground = _ground(spec, state, load, inputs.replicas, now, stalled=bool(stalled))
    past = _past(spec, state, inputs)
    slow = _slow(spec, past, ground, inputs.replicas, now)
    due = _within(load.asked, way)
    bounds = scheduled(spec.schedule, now) if spec.schedule else None
    least = _within(bounds.least, room) if bounds else None
    wanted = _within(due, slow, bounds, room)
    activated = ground.trusted and load.condition is True and (load.outcome is None or load.outcome.active)
    idle = _idle(spec, state, load.guards, inputs.replicas, ground.certain and not activated, now)
    replicas = _replicas(spec, ground, wanted if ground.trusted else None, least)
    needed = activated or least is not None
    active = activated if spec.for_jobs else _active(state, needed, idle, inputs.replicas)
    # Both words or neither: KEDA throws GetMetrics away when IsActive fails.
    answer = None if replicas is None or active is None else Answer(replicas, active, now)
    decision = Decision(
        spec=spec,
        at=now,
        certainty=_certainty(answer, ground),
        said=answer,
        condition=load.condition,
        wake=activated,
        reason="",
        value=None if load.left_out else load.value,
        asked=None if load.left_out else load.asked,
        partial=Partial(load.value, load.asked, load.left_out) if load.left_out else None,
        wanted=wanted,
        facts=load.facts,
        guards=load.guards,
        scope=load.scope,
        problems=load.problems,
        policy=load.outcome.reason if load.outcome else "",
        idle=idle,
        memory_seen=ground.seen,
        held=ground.held,
        before=state.certain,
        floor=ground.floor,
        known=inputs.replicas,
        final=ground.final,
        scaled=inputs.target.scaled,
        capacity=room,
        coming=way,
        pace=slow,
        schedule=bounds,
        stalled=stalled,
        cannot_wake="" if needed else cannot_wake(spec, inputs),
        apart_since=state.apart_since,
    )
    mixed = spec.member is not None and spec.member.mix is not None  # what it is told comes from the mix: together.py
    if spec.scale_down and not mixed:
        counted = at_most(due, inputs.replicas), at_most(decision.replicas, inputs.replicas)
        past = following(spec.scale_down, past, *counted, inputs.replicas.current, now)
    left = _following(spec, state, load, ground, decision, owed, past)
    if mixed:  # what it would need if it carried all alone was never answered
        left = replace(left, floor=state.floor)
    return left, replace(decision, reason=sentence(decision))


@dataclass(frozen=True, slots=True)
class _Load:
    """What was measured, and what the formula and the policy make of it."""

    facts: tuple[Fact, ...]
    guards: tuple[Fact, ...]
    standing: Standing | None  # a load that stands still
    scope: Mapping[str, float | None]
    left_out: tuple[str, ...]  # inputs that were not measured, and that the value does without
    value: float | None
    condition: bool | None  # None: not known
    policy: object  # its next state
    outcome: Outcome | None
    asked: int | None
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Ground:
    """What an answer can stand on."""

    certain: bool
    ripe: bool  # certain, and the whole memory was seen
    trusted: bool  # what the formula says may be acted on
    final: bool
    since: float | None  # certain without a gap
    seen: float  # seconds of that, at most what the formula remembers
    held: float
    floor: int | None


def _load(spec: WorkloadSpec, state: State, inputs: Inputs, now: float) -> _Load:
    """From what the sources said to the replicas that are asked for."""
    facts = tuple(_settle(spec, item, inputs.readings.get(item.name), inputs, state, now) for item in spec.inputs)
    guards = tuple(_settle(spec, item, inputs.guards.get(item.name), inputs, state, now) for item in spec.guards)
    standing = follow(state.standing, guards, inputs.guards, inputs.counted, now)
    facts = doubt_unmeasured(spec, doubted(spec, facts, inputs), guards, inputs)
    stand_ins = _stand_ins(spec, facts)
    scope = {**_scope(spec, facts, inputs.replicas), **stand_ins}
    problems = _problems(spec, facts)
    value = _evaluate(spec.program, scope, problems)
    counted = spec.counted
    left_out = tuple(fact.name for fact in facts if fact.name in counted and value is not None and _is_left_out(fact))
    condition = _activated(spec, value, facts, scope, problems)
    seen = _seen(spec, value, condition, scope, inputs, problems, _past(spec, state, inputs).took)
    policy, outcome = _policy(spec, state, seen, problems, now)
    folded = not any(fact.problem and fact.name in counted for fact in facts)
    asked = _asked(spec, value, outcome, problems)
    policy = policy if folded else state.policy
    return _Load(facts, guards, standing, scope, left_out, value, condition, policy, outcome, asked, tuple(problems))


def _is_left_out(fact: Fact) -> bool:
    """Whether an input was not measured now, so that its past, what stands in for it or `??` is no measurement."""
    return bool(fact.problem) and fact.newest is None


def _problems(spec: WorkloadSpec, facts: tuple[Fact, ...]) -> list[str]:
    """What is wrong with the inputs; one outage is told once, however many inputs it concerns.

    waiting, running: endpoint `default` (http://prometheus:9090) cannot be reached: Connection refused
    """
    concerned: dict[str, dict[object, str]] = {}  # problem -> what is asked for -> the input's name
    for item, fact in zip(spec.inputs, facts, strict=True):
        if fact.problem:
            concerned.setdefault(fact.problem, {}).setdefault(item.ask, fact.name)
    return [f"{', '.join(names.values())}: {problem}" for problem, names in concerned.items()]


def _ground(spec: WorkloadSpec, state: State, load: _Load, known: Replicas, now: float, *, stalled: bool) -> _Ground:
    """Whether all was measured now, and for how long it has been."""
    certain = not load.problems
    since = (now if state.since is None else state.since) if certain else state.since
    seen = 0.0 if since is None else min(now - since + spec.interval, spec.memory)
    ripe = certain and not stalled and seen >= (spec.window if spec.for_jobs else spec.memory)
    begun = state.certain.at if state.certain else now if state.started is None else state.started
    return _Ground(
        certain=certain,
        ripe=ripe,
        trusted=ripe or not spec.for_jobs,
        final=any(fact.final for fact in load.facts),
        since=since,
        seen=seen,
        held=0.0 if certain else now - begun,
        floor=_floor(spec, state, known, certain=certain),
    )


def _following(
    spec: WorkloadSpec,
    state: State,
    load: _Load,
    ground: _Ground,
    decision: Decision,
    owed: Owed | None,
    past: Past,
) -> State:
    """What the next tick needs of this one."""
    now, said, idle = decision.at, decision.said, decision.idle
    return State(
        started=now if state.started is None else state.started,
        at=now,
        since=ground.since,
        whole_at=now if ground.certain else state.whole_at,
        certain=said if ground.certain and said else state.certain,
        floor=said.replicas if said else state.floor,
        active=said.active if said else state.active,
        idle_since=now - idle.seen if idle.quiet else None,
        windows=_windows(spec, state, load.facts, now),
        last=_last(state, load.facts, now),
        policy=load.policy,
        owed=owed,
        standing=load.standing,
        pace=past,
        apart_since=state.apart_since,
    )


# ---- what was seen before ----------------------------------------------------------------------------------------


def _forget(spec: WorkloadSpec, state: State, now: float) -> State:
    """Drop what a gap has made worthless."""
    if state.at is None:
        return state
    if now < state.at:  # the clock went backwards: keep the answer, believe no span
        certain = replace(state.certain, at=min(state.certain.at, now)) if state.certain else None
        kept = inherited([replace(state, certain=certain)])
        return replace(kept, started=now, at=now, last=state.last, policy=state.policy)
    believed = max(spec.hold_for, GAP * spec.interval)
    if now - state.at > GAP * spec.interval:
        state = replace(state, idle_since=None, standing=None)
    if state.whole_at is not None and now - state.whole_at > believed:
        state = replace(state, since=None, whole_at=None)
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
        floor=_most(*(state.floor for state in states)),
        active=any(words) if words else None,
        pace=Past(took=max((state.pace.took for state in states if state.pace.took is not None), default=None)),
    )


def _windows(spec: WorkloadSpec, state: State, facts: tuple[Fact, ...], now: float) -> Mapping[str, tuple[Sample, ...]]:
    """Add what was measured whole at this tick, and drop what has left its window."""
    windows = {}
    for item, fact in zip(spec.inputs, facts, strict=True):
        if item.over:
            kept = tuple(sample for sample in state.windows.get(item.name, ()) if now - item.over < sample[0] < now)
            windows[item.name] = kept if fact.newest is None or fact.problem else (*kept, (now, fact.newest))
    return windows


def _last(state: State, facts: tuple[Fact, ...], now: float) -> Mapping[str, Sample]:
    """Remember the newest whole sample of every input that was really measured."""
    measured = {
        fact.name: (now, fact.newest)
        for fact in facts
        if fact.newest is not None and not fact.problem and not fact.stood_in
    }
    return {**state.last, **measured} if measured else state.last


# ---- inputs ------------------------------------------------------------------------------------------------------


def _settle(
    spec: WorkloadSpec, item: Input, measured: Measured | None, inputs: Inputs, state: State, now: float
) -> Fact:
    """Turn what a source said about one input into the number the formula gets."""
    if measured is None:
        measured = Failure("was not measured", now)
    fact = _newest(spec, item, measured, inputs, state, now)
    if item.optional:
        fact = _as_far_as_measured(spec, item, fact, inputs, state, now, measured)
    if not item.over:
        return fact
    samples = [sample for sample in state.windows.get(item.name, ()) if now - item.over < sample[0] < now]
    values = [value for _, value in samples] + ([] if fact.newest is None else [fact.newest])
    reduced = REDUCTIONS[item.reduce](values) if values else None
    rule = f"{item.reduce} of {len(values)} samples in {seconds(item.over)}" + (f"; {fact.rule}" if fact.rule else "")
    return replace(fact, value=reduced, rule=rule if values else fact.rule)


def _as_far_as_measured(
    spec: WorkloadSpec, item: Input, fact: Fact, inputs: Inputs, state: State, now: float, measured: Measured
) -> Fact:
    """Let the formula do without an optional input, but not so soon after it was there that it would lower an answer.

    For `holdFor` after its last whole value that value stands in, or the part of it that is measured. Where its source
    fails meanwhile, the answer is held as for any other input. So it is in the first `holdFor` of a process, which does
    not know what was before, where there are replicas. An input that was never there is left out, and says so.
    """
    if fact.newest is not None and not fact.problem:
        return fact
    # In each a tick less than holdFor, after which what was seen would be forgotten.
    at, last = state.last.get(item.name, (now, None))
    lately = last is not None and now - at + spec.interval <= spec.hold_for
    begun = now if state.started is None else state.started
    fresh = now - begun + spec.interval <= spec.hold_for
    failed = isinstance(measured, Failure)
    if lately and fact.newest is None:
        unknown = isinstance(measured, Failure) or bool(measured.partial)  # and not: there is none, by who answers
        stands_in = f"the last value, {seconds(now - at)} old"
        problem = f"{fact.problem}; {stands_in}, stands in" if unknown else ""
        newest = None if unknown else last
        return replace(fact, value=last, newest=newest, problem=problem, rule=stands_in, stood_in=True, final=False)
    if lately or (fresh and failed and not fact.final and inputs.replicas.current):
        return fact
    if fact.newest is not None:
        return replace(fact, problem="", rule=fact.problem)
    rule = "not measured, and the formula can do without"
    return replace(fact, value=None, newest=None, problem="", rule=rule, stood_in=True, final=False)


def _newest(spec: WorkloadSpec, item: Input, measured: Measured, inputs: Inputs, state: State, now: float) -> Fact:
    if isinstance(measured, Failure):
        return Fact(
            item.name, None, None, measured.reason, source=measured.source, unit=item.unit, final=measured.final
        )
    fact = Fact(
        item.name,
        measured.value,
        measured.value,
        rule=measured.note,
        age=measured.age,
        answered=measured.answered,
        expected=measured.expected,
        source=measured.source,
        unit=item.unit,
    )
    if measured.value is None:
        fact = _missing(spec, item, fact, inputs, state, measured, now)
        told = f"{fact.problem}: {measured.instead}" if fact.problem and measured.instead else fact.problem
        return replace(fact, problem=told)
    if not abs(measured.value) <= MAX_VALUE:
        return replace(fact, value=None, newest=None, problem=f"came to {measured.value:g}, which is no load")
    problem = _incomplete(spec, item, measured, inputs)
    return replace(fact, problem=problem) if problem else fact


def _incomplete(spec: WorkloadSpec, item: Input, reading: Reading, inputs: Inputs) -> str:
    """Why a value may be too low or too old, or an empty text."""
    if reading.partial:
        return reading.partial
    if item.of_target and inputs.replicas.doubt:
        return inputs.replicas.doubt
    if reading.answered is not None:
        expected = _most(reading.expected, inputs.replicas.ready if item.of_target else None)
        if expected is not None and reading.answered < expected:
            return f"{reading.answered} of {expected} pods answered"
    return _young(spec, item) if item.ask.endpoint in inputs.young else ""


def _young(spec: WorkloadSpec, item: Input) -> str:
    return f"{item.ask.endpoint} holds no data older than {seconds(spec.hold_for)} yet"


def _missing(
    spec: WorkloadSpec, item: Input, fact: Fact, inputs: Inputs, state: State, reading: Reading, now: float
) -> Fact:
    """A source answered, and there was no such series."""
    partial = reading.partial
    young = item.ask.endpoint in inputs.young
    fact = replace(fact, stood_in=True)
    nobody = _nobody(inputs.replicas) if item.of_target else ""
    if nobody and item.at_zero is not None:
        return replace(fact, value=item.at_zero, newest=item.at_zero, rule=f"{nobody}, so nothing is there to measure")
    if partial:
        return replace(fact, problem=f"no series, and absence means nothing while {partial}")
    match item.on_missing:
        case "zero" if young:
            return replace(fact, problem=f"no series, and absence is not zero while {_young(spec, item)}")
        case "zero":
            return replace(fact, value=0.0, newest=0.0, rule=f"{_absent(item, reading)} (onMissing: zero)")
        case "last" if item.name in state.last:
            at, value = state.last[item.name]
            return replace(fact, value=value, newest=value, rule=f"no series; the last value, {seconds(now - at)} old")
        case float() as value:
            return replace(fact, value=value, newest=value, rule=f"{_absent(item, reading)} (onMissing: {value:g})")
    if item.name in spec.program.nilable:
        return replace(fact, rule="no series, which ?? stands in for")
    return replace(fact, problem="no series")


def _absent(item: Input, reading: Reading) -> str:
    """Say that there is no series; of a gateway's also what else of it there is."""
    if reading.shown is None or not isinstance(item.ask, SignalAsk):
        return "no series"
    engine, endpoint = item.ask.engine, item.ask.endpoint
    return f"no series, but others of {engine}" if reading.shown else f"nothing of {engine} is to be seen in {endpoint}"


def _nobody(known: Replicas) -> str:
    """Why no pod of the target can hold load, or an empty text.

    A pod that was ready once and is not now may still hold some: what it does not say is not zero.
    """
    if known.doubt or known.serving:
        return ""
    if known.current == 0:
        return "0 replicas"
    return "no pod is ready yet" if known.serving == 0 else ""


# ---- the formula, the policy, the activation -----------------------------------------------------------------------


def _scope(spec: WorkloadSpec, facts: tuple[Fact, ...], known: Replicas) -> Mapping[str, float | None]:
    """Every name a formula may use, with its value."""
    counts = (known.current, known.ready, known.starting, known.minimum, known.maximum)
    target = {name: None if count is None else float(count) for name, count in zip(TARGET_NAMES, counts, strict=True)}
    return {**target, **spec.parameters, **{fact.name: fact.value for fact in facts}}


def _stand_ins(spec: WorkloadSpec, facts: tuple[Fact, ...]) -> Mapping[str, float]:
    """What counts could not be measured, and are left out as 0 where something else was measured.

    What the rest alone asks for may raise an uncertain answer, and cannot lower it. Where nothing was measured there is
    no rest: then nothing is reckoned, shown or exported.
    """
    if not any(fact.newest is not None and not fact.stood_in for fact in facts):
        return {}
    missing = [
        (item, fact) for item, fact in zip(spec.inputs, facts, strict=True) if fact.problem and fact.value is None
    ]
    zeros = {item.name: 0.0 if item.on_missing == "zero" else item.at_zero for item, _ in missing}
    return {name: zero for name, zero in zeros.items() if zero is not None}


def _unknown_target(program: Program, scope: Mapping[str, float | None]) -> str:
    """Which numbers of the scale target a formula needs that are not known, and who could tell them."""
    names = [name for name in TARGET_NAMES if name in program.names and scope.get(name) is None]
    needed = f"`{'` and `'.join(names)}` not known"
    return f"{needed}: that needs access to Kubernetes, or kube-state-metrics in the endpoint" if names else ""


def _evaluate(program: Program, scope: Mapping[str, float | None], problems: list[str]) -> float | None:
    """The formula's value; a failure is a problem, unless an input's own problem says it already."""
    try:
        value = program.evaluate(scope)
    except EvaluationError as error:
        if not problems:
            problems.append(_unknown_target(program, scope) or str(error))
        return None
    if value is None:
        problems.append("the formula came to nil")
        return None
    return float(value)


def _seen(
    spec: WorkloadSpec,
    value: float | None,
    condition: bool | None,
    scope: Mapping[str, float | None],
    inputs: Inputs,
    problems: list[str],
    took: float | None,
) -> Seen | None:
    """What the policy is told of this tick; None where something of it is not known, which is a problem then."""
    known, algorithm = inputs.replicas, spec.algorithm
    if value is None:
        return None
    if value < 0 and not (algorithm and algorithm.jobs):
        problems.append(f"the formula came to {value:g}, and a load cannot be negative")
        return None
    load = value / spec.target
    if spec.metric_type == "Value":
        if known.ready is None:
            problems.append("metricType Value needs the number of ready replicas, which is not known")
            return None
        load = load * known.ready if known.ready else 0.0  # the load may be too large for a float, and 0 x inf is NaN
        if value <= spec.target and known.current:  # the surge pods of a rollout are no reason for more replicas
            load = min(load, float(known.current))
    metrics = {}
    for text, program in spec.policy_programs.items():
        metric = _evaluate(program, scope, problems)
        if metric is None:
            return None
        metrics[text] = metric
    inactive = "" if condition else spec.why_inactive(scope)
    return Seen(
        load=load,
        value=value,
        inactive=inactive,
        metrics=metrics,
        scaled=inputs.target.scaled,
        doubt=known.doubt,
        current=known.current,
        ready=known.ready,
        maximum=known.maximum,
        each=spec.metric_type == "Value",
        took=took,
    )


def _policy(
    spec: WorkloadSpec, state: State, seen: Seen | None, problems: list[str], now: float
) -> tuple[object, Outcome | None]:
    """Replicas before rounding, by the policy or by plain division."""
    algorithm = spec.algorithm
    if seen is None or algorithm is None:
        return state.policy, None if seen is None else Outcome(seen.load, True, "")
    policy, outcome = algorithm.step(spec.policy, state.policy or algorithm.initial, seen, now)
    if outcome.problem:
        problems.append(outcome.problem)
    return policy, outcome


def _asked(spec: WorkloadSpec, value: float | None, outcome: Outcome | None, problems: list[str]) -> int | None:
    if outcome is None:
        return None
    if outcome.replicas > MAX_REPLICAS:
        problems.append(f"{value:g} / {spec.target:g} asks for more than {MAX_REPLICAS:,} replicas")
        return None
    return replicas_for(outcome.replicas, 1.0)


def _past(spec: WorkloadSpec, state: State, inputs: Inputs) -> Past:
    """What was needed and answered lately, with the start-up that the pods show now."""
    took = learnt(inputs.target.pods or (), spec.startup or LONGEST)
    return state.pace if took is None else replace(state.pace, took=took)


def _slow(spec: WorkloadSpec, past: Past, ground: _Ground, known: Replicas, now: float) -> Pace | None:
    """How far a certain answer may fall; an uncertain one does not fall, and of Jobs none is kept."""
    if spec.scale_down is None or spec.for_jobs or not ground.ripe:
        return None
    since = now if ground.since is None else ground.since
    current = None if known.doubt else known.current
    return pace(spec.scale_down, past, at_most(ground.floor, known), current, now - since + spec.interval, now)


def at_most(count: int | None, known: Replicas) -> int | None:
    """Count no more than maxReplicaCount, where it is known: what there never was cannot be let go."""
    return count if count is None or known.maximum is None else min(count, max(known.maximum, known.current or 0))


def _within(asked: int | None, *limits: Coming | Capacity | Pace | Scheduled | None) -> int | None:
    """What is left of what is asked for."""
    for limit in limits:
        asked = limit.within(asked) if limit else asked
    return asked


def _activated(
    spec: WorkloadSpec,
    value: float | None,
    facts: tuple[Fact, ...],
    scope: Mapping[str, float | None],
    problems: list[str],
) -> bool | None:
    """Whether the activation is true; None where it is not known, since what was not measured may make it true."""
    read = spec.program.names if isinstance(spec.activation, float) else spec.activation.names
    doubtful = any(fact.problem and fact.name in read for fact in facts)
    if isinstance(spec.activation, float):
        holds = value is not None and value > spec.activation
        return holds or (None if doubtful or value is None else False)
    try:
        return bool(spec.activation.evaluate(scope)) or (None if doubtful else False)
    except EvaluationError as error:
        if value is not None:
            problems.append(f"activation: {error}")
        return None


# ---- what may be said ----------------------------------------------------------------------------------------------


def _idle(
    spec: WorkloadSpec, state: State, guards: tuple[Fact, ...], known: Replicas, resting: bool, now: float
) -> Idle:
    """Whether this tick was quiet, and for how long that has been so without a gap."""
    busy = [f"{fact.name} is {fact.value:g}" for fact in guards if fact.value]
    if known.starting:
        busy.append(f"{known.starting} starting")
    unread = [f"{fact.name}: {fact.problem}" for fact in guards if fact.problem and not fact.value]
    quiet = resting and not busy and not unread
    seen = now - (now if state.idle_since is None else state.idle_since) if quiet else 0.0
    return Idle(quiet, tuple(busy), tuple(unread), seen, spec.idle_for)


def _floor(spec: WorkloadSpec, state: State, known: Replicas, *, certain: bool) -> int | None:
    """The least that may be said where not all is seen; of Jobs none is started then, and none that runs is ended."""
    if spec.for_jobs:
        return 0 if certain or state.floor is not None else None
    return _most(state.floor, known.current)


def _replicas(spec: WorkloadSpec, ground: _Ground, wanted: int | None, least: int | None) -> int | None:
    """Certain and ripe: what is wanted. Otherwise the floor or more, and nothing without a floor.

    `least` is what the schedule asks for, which needs no measurement.
    """
    if ground.ripe:
        return wanted
    if ground.floor is None or ground.final or ground.held > spec.hold_for:
        return None
    return _most(wanted, ground.floor, least)


def _active(state: State, needed: bool, idle: Idle, known: Replicas) -> bool | None:
    """Active, inactive, or not to be said: the first rule that holds."""
    rules: tuple[tuple[bool, bool | None], ...] = (
        (needed, True),
        (idle.quiet and idle.seen >= idle.needed, False),
        (bool(idle.busy) or bool(known.current), True),
        (state.active is not None, state.active),
        (idle.quiet and known.current == 0, False),  # nothing runs, so nothing can be lost
    )
    return next((answer for holds, answer in rules if holds), None)


def _certainty(answer: Answer | None, ground: _Ground) -> Certainty:
    if answer is None:
        return "unknown"
    if ground.ripe:
        return "certain"
    return "raising" if ground.certain and ground.trusted else "held"


def _most(*counts: int | None) -> int | None:
    return max((count for count in counts if count is not None), default=None)
