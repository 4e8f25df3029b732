"""Why a decision is what it is: why is it 6, down to the HPA's arithmetic.

    Decision ──▶ explain ──▶ Explanation (explanation.py) ──▶ JSON, and text (render.py)

The steps of the formula are folded again here, from the values in the decision.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from scaler.cluster.hpa import MAX_REPLICAS, ExternalMetric, HpaRule, HpaSpec, Reason
from scaler.cluster.hpa import step as hpa_step
from scaler.config.metrics import IN_FLIGHT_SIGNALS, NAME
from scaler.config.signals import find
from scaler.decision.capacity import Capacity
from scaler.decision.decision import Decision, InputValue, Partial
from scaler.decision.explanation import (
    VERSION,
    ActivationRow,
    CapacityRow,
    ConditionRow,
    CountRow,
    Explanation,
    GroupPartRow,
    GroupRow,
    HoldRow,
    HpaRow,
    HpaStatusRow,
    HpaStepRow,
    IdleRow,
    InputRow,
    JobRow,
    KubernetesRow,
    MemoryRow,
    PartialRow,
    PendingPodRow,
    PendingRow,
    PolicyRow,
    ScaleDownRow,
    ScaleTargetRow,
    ScheduleRow,
    StartingRow,
    StepRow,
    ToleranceRow,
    WorkloadName,
)
from scaler.decision.own_query import own_query
from scaler.decision.reason import activity
from scaler.decision.starting import StartingReplicas
from scaler.formula import Program, TraceStep
from scaler.model.availability import BoundedCount
from scaler.model.behavior import NO_BEHAVIOR_WINDOW, Behavior, HpaState, RatePolicy, Rules, TimedReplicas
from scaler.model.fields import seconds
from scaler.model.measurement import CapacityQuery, PromqlQuery, Query, SignalQuery, TargetStatus
from scaler.model.objects import Condition, HpaStatus, Job, Pod, ScaledResource

NAMED = 3  # Jobs that are named
# Of an HPA that we cannot see nothing is known but the cluster's tolerance: it may move as far as it likes.
UNSEEN = Behavior(*[Rules((RatePolicy("Pods", 1_000_000, 15.0),), window=0.0)] * 2)


def explain(decision: Decision, notice: str = "", unknown: Mapping[str, str] | None = None) -> Explanation:
    """Explain a decision.

    Args:
        decision: what was decided.
        notice: why an edit of the formula is not in force, if so.
        unknown: what Kubernetes does not tell, and why.
    """
    spec = decision.spec
    return Explanation(
        version=VERSION,
        workload=WorkloadName(decision.key.namespace, decision.key.name, decision.key.kind, decision.key.trigger),
        at=decision.at,
        formula=spec.formula,
        notice=notice,
        unit="jobs" if spec.is_job else "replicas",
        certainty=decision.certainty,
        answered_replicas=decision.replicas,
        active=decision.active,
        reason=decision.reason,
        inputs=tuple(_fact(fact, item.query) for fact, item in zip(decision.input_values, spec.inputs, strict=True)),
        activity_signals=tuple(
            _fact(fact, item.query) for fact, item in zip(decision.activity_signals, spec.activity_signals, strict=True)
        ),
        parameters=dict(spec.parameters),
        value=None if decision.rests_on_nothing else decision.value,
        steps=_steps(spec.program, decision),
        partial=_partial(decision.partial),
        metric_type=spec.metric_type,
        target=decision.target,
        desired_replicas=None if decision.rests_on_nothing else decision.desired,
        limited_replicas=decision.limited,
        starting=_coming(decision.starting),
        scale_down=_scale_down(decision),
        schedule=tuple(_schedule(decision)),
        capacity=_capacity(decision.capacity),
        policy=_policy(decision),
        group=_group(decision),
        activation=_activation(decision),
        idle=_idle(decision),
        stalled=decision.stalled,
        cannot_wake=decision.cannot_wake,
        hold=HoldRow(decision.uncertain_for, spec.hold_for, decision.minimum_answer),
        memory=MemoryRow(decision.memory_seen, spec.memory),
        problems=decision.problems,
        scale_target=_scale_target(decision.target_status),
        kubernetes=_kubernetes(decision.scaled, decision.at),
        unknown=dict(unknown or {}),
        hpa=_hpa(decision),
    )


def _activation(decision: Decision) -> ActivationRow:
    spec, activation = decision.spec, decision.spec.activation
    return ActivationRow(
        text=f"value > {activation:g}" if isinstance(activation, float) else activation.text,
        value=decision.activation,
        steps=() if isinstance(activation, float) else _steps(activation, decision),
        message="" if spec.is_job else activity(decision),
    )


def _idle(decision: Decision) -> IdleRow:
    return IdleRow(
        quiet=decision.idle.quiet,
        blocked_by=(*decision.idle.busy, *decision.idle.unread),
        seconds=decision.idle.seen,
        needed=decision.idle.needed,
        no_in_flight_signal=_blind(decision),
    )


def _scale_target(known: TargetStatus) -> ScaleTargetRow:
    return ScaleTargetRow(
        current=known.current,
        ready=known.ready,
        starting=known.starting,
        minimum=known.minimum,
        maximum=known.maximum,
        pending=known.pending,
        source=known.source,
        doubt=known.stale_reason,
    )


def _policy(decision: Decision) -> PolicyRow | None:
    algorithm, scaled = decision.spec.algorithm, decision.scaled
    if algorithm is None:
        return None
    cautions = algorithm.cautions(decision.spec.policy, scaled) if scaled else ()
    return PolicyRow(kind=decision.spec.policy_kind, message=decision.policy, cautions=tuple(cautions))


def _group(decision: Decision) -> GroupRow | None:
    group, member = decision.group, decision.spec.member
    if group is None or member is None:
        return None
    rows = [
        GroupPartRow(
            output=part.output,
            name=part.name,
            certainty=part.certainty,
            replicas=part.replicas,
            active=part.active,
            alone_replicas=part.alone_replicas,
            alone_active=part.alone_active,
        )
        for part in group.parts
    ]
    ratios = [f"{band.least:g} to {band.most:g} of {band.role} for each of {band.of}" for band in member.bands]
    return GroupRow(group.name, member.output, tuple(ratios), member.order, tuple(rows), group.reasons, group.mix)


def _fact(fact: InputValue, query: Query | CapacityQuery) -> InputRow:
    return InputRow(
        name=fact.name,
        value=fact.measured,
        newest=None if fact.substituted else fact.newest,
        counts_as=fact.value if fact.measured is None else None,
        unit=fact.unit,
        rule=fact.rule,
        problem=fact.problem,
        age=fact.age,
        answered=fact.answered,
        expected=fact.expected,
        measures=_in_short(query),
        looked_for=_names(query) if fact.substituted and fact.problem else (),
        source=own_query(fact.source, query),
    )


def _in_short(query: Query | CapacityQuery) -> str:
    """Name a query in a few words."""
    if isinstance(query, SignalQuery):
        pods = (("pods", query.pods),) if query.pods is not None else ()
        where = ", ".join(f"{name}={value}" for name, value in (*query.labels, *pods))
        past = f", {query.reduce} over {seconds(query.window)}" if query.reduce and query.window else ""
        return f"{query.engine} {query.signal} of {where}{past}"
    if isinstance(query, CapacityQuery):
        return f"gpus: {query.count.replace('_', ' ')}"
    return query.text if isinstance(query, PromqlQuery) else type(query).__name__


def _names(query: Query | CapacityQuery) -> tuple[str, ...]:
    """List the names under which a signal is looked for, and the versions that have them."""
    metrics = find(query.engine, query.signal).metrics if isinstance(query, SignalQuery) else ()
    return tuple(f"{metric.name} ({metric.versions})" for metric in metrics if not metric.respelled)


def _blind(decision: Decision) -> bool:
    """Tell whether all inputs are signals, and none of them sees a request for as long as it runs."""
    read = zip(
        decision.input_values + decision.activity_signals,
        decision.spec.inputs + decision.spec.activity_signals,
        strict=True,
    )
    somebody = decision.target_status.current != 0  # could hold a request, so that no series is no sight
    return all(
        isinstance(item.query, SignalQuery)
        and (item.query.signal not in IN_FLIGHT_SIGNALS or (fact.substituted and somebody))
        for fact, item in read
    )


def _partial(partial: Partial | None) -> PartialRow | None:
    if partial is None:
        return None
    return PartialRow(value=partial.value, desired_replicas=partial.replicas, without=partial.without)


def _steps(program: Program, decision: Decision) -> tuple[StepRow, ...]:
    """List the steps over what was measured: a missing input is not shown as 0, nor a step without it as a sum."""
    missing = {fact.name for fact in decision.input_values if fact.problem and fact.value is None}
    stand_ins = {
        fact.name: fact.value for fact in decision.input_values if fact.measured is None and fact.value is not None
    }
    measured = {fact.name for fact in decision.input_values} - missing
    steps = steps_of(program, decision.scope)
    return tuple(_without(step, missing, measured, stand_ins) for step in steps)


def _without(
    step: StepRow, missing: Collection[str], measured: Collection[str], stand_ins: Mapping[str, float | None]
) -> StepRow:
    """Mark in one step the inputs it does without, and those for which another number stands."""
    names = set(re.findall(NAME, step.text))
    without = tuple(sorted(names & set(missing)))
    counted = {name: stand_ins[name] for name in sorted(names & stand_ins.keys())}
    if without and not names & set(measured):
        step = replace(step, value=None, error="not measured")
    return replace(step, without=without, counts_as=counted)


def steps_of(program: Program, scope: Mapping[str, float | None]) -> list[StepRow]:
    """Return every step of a formula on these values."""
    return [_step(step) for step in program.trace(scope)[1]]


def _step(step: TraceStep) -> StepRow:
    value = list(step.value) if isinstance(step.value, tuple) else step.value
    return StepRow(step.depth, step.text, value, step.error)


# ---- what is on its way, and what can be had -------------------------------------------------------------------------


def _coming(coming: StartingReplicas | None) -> StartingRow | None:
    if coming is None:
        return None
    return StartingRow(
        replicas=coming.replicas,
        oldest=coming.oldest,
        overdue=coming.late,
        startup_seconds=coming.took,
        limit=coming.limit,
        credited_load=coming.owed,
        message=coming.says() if coming.owed else "",
    )


def _scale_down(decision: Decision) -> ScaleDownRow | None:
    pace = decision.pace
    if pace is None:
        return None
    return ScaleDownRow(
        percent=pace.percent,
        window_seconds=pace.window,
        startup_seconds=pace.took,
        least_replicas=pace.least,
        message=decision.falls_slowly,
    )


def _schedule(decision: Decision) -> Iterator[ScheduleRow]:
    bounds = decision.schedule
    if bounds is None:
        return
    for held, message in ((bounds.floor, bounds.says_floor()), (bounds.ceiling, bounds.says_ceiling())):
        if held:
            window = held.window
            yield ScheduleRow(window.name, window.minimum, window.maximum, held.until, message)


def _capacity(capacity: Capacity | None) -> CapacityRow | None:
    if capacity is None:
        return None
    seen = capacity.available
    return CapacityRow(
        mode=capacity.mode,
        resource=seen.resource,
        scheduled_replicas=capacity.bound,
        replicas={"schedulable": _count(seen.schedulable), "provisionable": _count(seen.provisionable)},
        gpus={"free": _count(seen.free), "pending": _count(seen.pending), "own": _count(seen.own)},
        available_replicas=capacity.replicas,
        reason=capacity.reason,
        limit=capacity.limit,
        pending=PendingRow(capacity.pending, capacity.pending_for),
        message=capacity.waiting() if capacity.pending else "",
    )


def _count(count: BoundedCount) -> CountRow:
    return CountRow(value=count.value, bound=count.bound, most=count.most, reason=count.reason)


# ---- what Kubernetes reports ----------------------------------------------------------------------------------------


def _kubernetes(scaled: ScaledResource | None, at: float) -> KubernetesRow | None:
    if scaled is None:
        return None
    pending = [pod for pod in scaled.pods or () if pod.state == "pending"]
    return KubernetesRow(
        uid=scaled.uid,
        generation=scaled.generation,
        target=scaled.target,
        minimum=scaled.minimum,
        maximum=scaled.maximum,
        idle=scaled.idle_replicas,
        paused=scaled.paused,
        fallback=scaled.fallback,
        other_triggers=scaled.other_trigger_types,
        scaling_modifiers=scaled.modifiers,
        conditions=tuple(map(_condition, scaled.conditions)),
        jobs=_jobs(scaled, at),
        pods=_pods(scaled),
        pending=tuple(_pending(pod, at) for pod in pending),
        hpa=_hpa_status(scaled.hpa) if scaled.hpa else None,
    )


def _pending(pod: Pod, at: float) -> PendingPodRow:
    since = None if pod.since is None else max(at - pod.since, 0.0)
    return PendingPodRow(pod.name, since, pod.reason)


def _hpa_status(hpa: HpaStatus) -> HpaStatusRow:
    conditions = tuple(map(_condition, hpa.conditions))
    return HpaStatusRow(hpa.name, hpa.current, hpa.desired, hpa.minimum, hpa.maximum, conditions)


def _jobs(scaled: ScaledResource, at: float) -> tuple[JobRow, ...] | None:
    if scaled.jobs is None:
        return None
    return tuple(_job(job, at) for job in scaled.jobs[:NAMED])


def _pods(scaled: ScaledResource) -> dict[str, str] | None:
    if scaled.pods is None:
        return None
    return {pod.name: pod.state for pod in scaled.pods}


def _job(job: Job, at: float) -> JobRow:
    ended = None if job.ended is None else max(at - job.ended, 0.0)
    return JobRow(name=job.name, state=job.state, started=max(at - job.created, 0.0), ended=ended)


def _condition(condition: Condition) -> ConditionRow:
    return ConditionRow(
        type=condition.type,
        status=condition.status,
        reason=condition.reason,
        message=condition.message,
    )


# ---- the HPA's arithmetic ------------------------------------------------------------------------------------------


def _hpa(decision: Decision) -> HpaRow | None:
    """Return what the HPA makes of the answer: for the current replicas where known, else a table around the answer."""
    if decision.replicas is None or decision.key.kind != "ScaledObject":
        return None
    known, surge = decision.target_status, _surge(decision)
    asked = decision.replicas
    there = None if known.current is None else known.current + surge
    around = {1, asked - 1, asked, asked + 1, 2 * asked} if there is None else {there}
    spec = _hpa_spec(decision)
    rows = tuple(
        _row(asked, current, spec, decision)
        for current in sorted(around | {0} if there is None else around)
        if current >= 0
    )
    down, up = spec.tolerances
    return HpaRow(
        value=asked,
        target=1,
        type="AverageValue",
        tolerance=ToleranceRow(down, up),
        stabilization=spec.behavior.down.window if spec.behavior else NO_BEHAVIOR_WINDOW,
        surge=surge,
        rows=rows,
    )


def _surge(decision: Decision) -> int:
    """Count the pods above the target's replicas: those of a rollout under way, which the HPA counts too.

    Source: Kubernetes 1.37.2, podautoscaler/replica_calculator.go (GetExternalPerPodMetricReplicas): within its
    tolerance the HPA answers status.replicas, and so writes a surge of up to 10 % into spec.replicas.
    """
    scaled, current = decision.scaled, decision.target_status.current
    pods = None if scaled is None else scaled.count("ready", "unready", "starting", "pending")
    if not pods or not current or (scaled and scaled.template and scaled.template.counted > 1):
        return 0
    return max(pods - current, 0)


def _hpa_spec(decision: Decision) -> HpaSpec:
    """Return the HPA's settings, as far as they are known."""
    known, hpa = decision.target_status, decision.scaled.hpa if decision.scaled else None
    maximum = MAX_REPLICAS if known.maximum is None else known.maximum
    return HpaSpec(max(known.minimum or 1, 1), maximum, hpa.behavior if hpa else UNSEEN)


def _row(asked: int, current: int, spec: HpaSpec, decision: Decision) -> HpaStepRow:
    """Compute the HPA's next step from `current` replicas."""
    if current == 0:
        word = f"KEDA: active, so {spec.minimum} first" if decision.active else "KEDA: inactive, so it stays 0"
        return HpaStepRow(current, spec.minimum if decision.active else 0, word)
    # As if we had always said the same: what it has read from us before it remembers, and we do not.
    before = HpaState((TimedReplicas(asked, decision.at),))
    _, outcome = hpa_step(spec, before, [ExternalMetric("replicas", 1.0, float(asked))], current, decision.at)
    why = f"{asked} / {current} = {asked / current:.3g}{''.join(map(_hpa_rule, outcome.reasons))}"
    if decision.active is False:
        why += "; inactive: KEDA takes it to 0 after cooldownPeriod, unless minReplicaCount is above 0"
    return HpaStepRow(current, outcome.replicas, why)


def _hpa_rule(reason: Reason) -> str:
    """Write one rule of the HPA as it goes on in a sentence."""
    match reason.rule:
        case HpaRule.PROPOSED:
            return ""
        case HpaRule.WITHIN_TOLERANCE:
            return ", within the tolerance: no change"
        case HpaRule.LIMITED:
            policy = reason.policy
            allowed = f"{policy.value} {policy.kind.lower()} in {seconds(policy.period)}" if policy else "no behavior"
            return f"; no further than {reason.replicas} in one step ({allowed})"
        case HpaRule.TOO_MANY:
            return f"; maxReplicaCount is {reason.replicas}"
        case HpaRule.TOO_FEW:
            return f"; at least {reason.replicas}"
    return f"; {reason.rule.value}"
