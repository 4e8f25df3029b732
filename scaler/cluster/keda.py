"""KEDA and its HPA, one poll and one sync at a time, as pure steps over injected answers, one for each trigger.

    every pollingInterval   GetMetricSpec, GetMetrics, IsActive  ─▶ 0 -> 1, N -> 0          KEDA
    every 15 s, N >= 1      GetMetricSpec, GetMetrics, IsActive  ─▶ 1 -> N, N -> 1          the HPA, through KEDA
    on a push               StreamIsActive says true             ─▶ 0 -> 1                  KEDA

With minReplicaCount 1 or more the HPA alone asks (without idleReplicaCount, useCachedMetrics and scalingModifiers): a
poll takes what the HPA was told last, and asks only where the HPA does not measure.

Source: KEDA 2.21.0, pkg/scaling/executor/scale_scaledobjects.go (RequestScale), pkg/fallback/fallback.go,
pkg/scaling/scale_handler.go, pkg/scaling/modifiers/modifiers.go, pkg/scalers/scaler.go. The HPA's part is
scaler/cluster/hpa.py. Left out: the annotations for one direction; a poll that meets a scaler being closed, and reads
as inactive (tests/laboratory/README.md); that metrics of useCachedMetrics are as old as the last poll.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from scaler.cluster import hpa
from scaler.cluster.hpa import ExternalMetric, HpaSpec, Reason, TargetType
from scaler.model.behavior import Behavior, HpaState
from scaler.model.errors import EvaluationError

FallbackBehavior = Literal[
    "static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower", "scalingModifiers"
]
Rpc = Literal["GetMetricSpec", "GetMetrics", "IsActive"]
COMPOSITE = "composite-metric"  # the one metric of an HPA whose ScaledObject has scalingModifiers


@dataclass(frozen=True, slots=True)
class Fallback:
    """The number of replicas when more than `failure_threshold` calls in a row failed."""

    replicas: int
    failure_threshold: int = 3
    behavior: FallbackBehavior = "static"


@dataclass(frozen=True, slots=True)
class KedaTrigger:
    """A trigger, as far as it moves replicas."""

    name: str = "s0"  # in the formula of scalingModifiers
    target: float = 1.0  # what GetMetricSpec answers
    metric_type: TargetType = "AverageValue"
    cached: bool = False  # useCachedMetrics


@dataclass(frozen=True, slots=True)
class Modifiers:
    """advanced.scalingModifiers: one metric made of those of all triggers, which the HPA gets instead of them."""

    formula: Callable[[Mapping[str, float | None]], float | None]  # of the triggers' values, by name; None: nil
    target: float
    activation_target: float = 0.0
    metric_type: TargetType = "AverageValue"


@dataclass(frozen=True, slots=True)
class ScaledObject:
    """A ScaledObject, as far as it moves replicas; KEDA's names and defaults."""

    min_replica_count: int = 0
    max_replica_count: int = 100
    idle_replica_count: int | None = None
    polling_interval: float = 30.0
    cooldown_period: float = 300.0
    initial_cooldown_period: float = 0.0
    fallback: Fallback | None = None
    target: float = 1.0  # of its only trigger; `triggers` says it of several
    metric_type: TargetType = "AverageValue"  # likewise
    behavior: Behavior | None = None  # advanced.horizontalPodAutoscalerConfig.behavior
    tolerance: float = 0.1  # the cluster's
    paused: bool = False  # the annotation autoscaling.keda.sh/paused
    triggers: tuple[KedaTrigger, ...] = ()  # empty: one with `target` and `metric_type`
    modifiers: Modifiers | None = None
    push: bool = False  # its trigger is an external-push, which streams its GetMetricSpec

    @property
    def hpa(self) -> HpaSpec:
        """The HPA that KEDA makes of it."""
        return HpaSpec(max(self.min_replica_count, 1), self.max_replica_count, self.behavior, self.tolerance)

    @property
    def each(self) -> tuple[KedaTrigger, ...]:
        """Its triggers, one at least."""
        return self.triggers or (KedaTrigger(target=self.target, metric_type=self.metric_type),)

    @property
    def by_hpa_alone(self) -> bool:
        """Tell whether KEDA takes what the HPA was told, instead of asking again (KEDA: UsesHPAObservations)."""
        loop_matters = self.min_replica_count == 0 or self.idle_replica_count is not None
        cached = any(trigger.cached for trigger in self.each)
        return not (loop_matters or cached or self.modifiers)


@dataclass(frozen=True, slots=True)
class ScalerAnswer:
    """The answers of a scaler: the value of GetMetrics, and IsActive."""

    value: float
    active: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """The first of the three calls that failed; those after it are not made."""

    rpc: Rpc
    reason: str


ScalerReplies = ScalerAnswer | Refusal | Sequence[ScalerAnswer | Refusal]  # of the only trigger, or of each in turn


@dataclass(frozen=True, slots=True)
class KedaState:
    """The state that KEDA and the HPA keep of one ScaledObject."""

    created: float  # creationTimestamp
    last_active: float | None = None  # status.lastActiveTime
    failures: tuple[int, ...] = ()  # status.health: failed calls in a row by trigger, of polls and HPA reads alike
    hpa: HpaState = field(default_factory=HpaState)
    observed: "tuple[_Read, ...] | None" = None  # what the HPA was told last; None: it does not measure
    streamed: bool = False  # an external-push has streamed its GetMetricSpec since the last error


@dataclass(frozen=True, slots=True)
class Event:
    """A change of the number of replicas."""

    at: float
    by: Literal["KEDA", "HPA"]
    before: int
    after: int
    why: str
    reasons: tuple[Reason, ...] = ()  # the HPA's arithmetic


@dataclass(frozen=True, slots=True)
class _Read:
    """One trigger's answer after KEDA's handling of failures."""

    value: float | None  # None: an error, or nil
    active: bool
    fallback: bool = False
    nil: bool = False  # for the formula of scalingModifiers, which says what stands in for it

    @property
    def failed(self) -> bool:
        """Tell whether it is an error."""
        return self.value is None and not self.nil


def polls_ask(spec: ScaledObject, state: KedaState) -> bool:
    """Tell whether a poll asks the scalers itself."""
    return not (spec.paused or (spec.by_hpa_alone and state.observed is not None))


def poll(
    spec: ScaledObject,
    state: KedaState,
    said: ScalerReplies | None,
    replicas: int,
    now: float,
    *,
    ready: int | None = None,
) -> tuple[KedaState, int, Event | None]:
    """Play one poll of KEDA.

    Args:
        spec: the ScaledObject.
        state: what the last poll, push or sync returned.
        said: what each trigger's scaler says now; not used, and may be None, where `polls_ask` says no.
        replicas: of the scale target, before.
        now: seconds.
        ready: ready pods, for the fallback of a metric of type Value; by default all are.

    Returns:
        The next state, the replicas, and the event when they changed.
    """
    if spec.paused:
        return state, replicas, None
    if polls_ask(spec, state) or state.observed is None:
        state, reads = _handle(spec, state, _each(said), replicas, replicas if ready is None else ready)
    else:
        reads = state.observed
    failed = any(read.failed for read in reads)
    if _is_active(spec, reads):
        falls_back = any(read.fallback for read in reads)
        why = "the trigger falls back" if falls_back else "the trigger is active"
        return _activate(spec, state, replicas, now, why, partly=failed)
    if failed and (spec.fallback is None or spec.fallback.replicas != 0):
        return state, replicas, None
    return _deactivate(spec, state, replicas, now)


def push(spec: ScaledObject, state: KedaState, replicas: int, now: float) -> tuple[KedaState, int, Event | None]:
    """Play StreamIsActive sending true. (KEDA ignores a false.)"""
    if spec.paused:
        return state, replicas, None
    return _activate(spec, state, replicas, now, "the trigger pushed")


def reads(spec: ScaledObject, replicas: int) -> bool:
    """Tell whether a sync at so many replicas asks for metrics at all."""
    return not spec.paused and spec.hpa.minimum <= replicas <= spec.hpa.maximum


def sync(
    spec: ScaledObject,
    state: KedaState,
    said: ScalerReplies | None,
    replicas: int,
    now: float,
    *,
    ready: int | None = None,
) -> tuple[KedaState, int, Event | None]:
    """Play one sync of the HPA; arguments and results as of `poll`. `said` is needed where `reads` says so.

    While paused there is no HPA; the one that comes afterwards remembers nothing.
    """
    if spec.paused:
        return replace(state, hpa=HpaState(), observed=None), replicas, None
    read: tuple[_Read, ...] = ()
    if said is not None:
        state, read = _handle(spec, state, _each(said), replicas, replicas if ready is None else ready)
    metrics = _metrics(spec, read)
    remembered, outcome = hpa.step(spec.hpa, state.hpa, metrics, replicas, now, ready=ready)
    measures = bool(read) and all(reason.rule is not hpa.HpaRule.HELD for reason in outcome.reasons)
    state = replace(state, hpa=remembered, observed=read if measures else None)
    if outcome.replicas == replicas:
        return state, replicas, None
    why = outcome.reasons[-1].rule.value
    return state, outcome.replicas, Event(now, "HPA", replicas, outcome.replicas, why, outcome.reasons)


def wire(value: float) -> float:
    """Return the value that reaches the HPA: KEDA makes 0 of a negative one or NaN, and keeps three decimals."""
    return hpa.milli(value) / 1000 if math.isfinite(value) and value > 0 else 0.0


def _each(said: ScalerReplies | None) -> Sequence[ScalerAnswer | Refusal]:
    return (said,) if isinstance(said, ScalerAnswer | Refusal) else said or ()


def _handle(
    spec: ScaledObject, state: KedaState, answers: Sequence[ScalerAnswer | Refusal], replicas: int, ready: int
) -> tuple[KedaState, tuple[_Read, ...]]:
    """Count failures and fall back. A failing GetMetricSpec is not counted: KEDA gives up before it gets there."""
    failures = (*state.failures, *([0] * len(answers)))[: len(answers)]
    counted: list[int] = []
    reads: list[_Read] = []
    for trigger, answer, before in zip(spec.each, answers, failures, strict=True):
        if isinstance(answer, ScalerAnswer):
            counted.append(0)
            reads.append(_Read(wire(answer.value), answer.active))
        elif spec.fallback is None or (answer.rpc == "GetMetricSpec" and not (spec.push and state.streamed)):
            counted.append(before)
            reads.append(_Read(None, active=False))
        else:
            counted.append(before + 1)
            reads.append(_fall_back(spec, spec.fallback, trigger, before + 1, replicas, ready))
    failed = any(read.failed for read in reads)
    whole = all(isinstance(answer, ScalerAnswer) for answer in answers)
    streamed = spec.push and not failed and (state.streamed or whole)
    return replace(state, failures=tuple(counted), streamed=streamed), tuple(reads)


def _fall_back(
    spec: ScaledObject, fallback: Fallback, trigger: KedaTrigger, failures: int, replicas: int, ready: int
) -> _Read:
    """Return what stands for a trigger that has failed so many times in a row."""
    metric = spec.modifiers or trigger
    if failures <= fallback.failure_threshold:
        return _Read(None, active=False)
    if fallback.behavior == "scalingModifiers":
        return _Read(None, active=False, nil=True)
    if metric.metric_type == "Value" and ready == 0:
        return _Read(None, active=False)
    wanted: float = _fallback_replicas(fallback, replicas)
    if metric.metric_type == "Value":
        wanted /= ready
    return _Read(int(metric.target * 1000 * wanted) / 1000, active=True, fallback=True)


def _metrics(spec: ScaledObject, read: Sequence[_Read]) -> list[ExternalMetric]:
    """List what the HPA gets: one metric for each trigger, or the one that the formula makes of them."""
    if spec.modifiers:
        composite = _composite(spec, spec.modifiers, read) if read else None
        return [ExternalMetric(COMPOSITE, spec.modifiers.target, composite, spec.modifiers.metric_type)]
    values = [one.value for one in read] or [None] * len(spec.each)
    return [
        ExternalMetric(trigger.name, trigger.target, value, trigger.metric_type)
        for trigger, value in zip(spec.each, values, strict=True)
    ]


def _composite(spec: ScaledObject, modifiers: Modifiers, read: Sequence[_Read]) -> float | None:
    """Return the value of the formula in thousandths, cut off as KEDA does it; None: an error."""
    for one in read:
        if one.fallback:
            return one.value
    if any(one.failed for one in read):
        return None
    try:
        value = modifiers.formula({trigger.name: one.value for trigger, one in zip(spec.each, read, strict=True)})
    except EvaluationError:
        return None
    if value is None:
        return spec.fallback.replicas * modifiers.target if spec.fallback else None
    return int(value * 1000) / 1000 if math.isfinite(value) else None


def _is_active(spec: ScaledObject, read: Sequence[_Read]) -> bool:
    """Tell whether any trigger is active; with a formula, whether its value is above the activationTarget."""
    if spec.modifiers is None:
        return any(one.active for one in read)
    if not read or any(one.failed for one in read):
        return False
    value = _composite(spec, spec.modifiers, read)
    return value is not None and value > spec.modifiers.activation_target


def _fallback_replicas(fallback: Fallback, replicas: int) -> int:
    return {
        "static": fallback.replicas,
        "currentReplicas": replicas,
        "currentReplicasIfHigher": max(replicas, fallback.replicas),
        "currentReplicasIfLower": min(replicas, fallback.replicas),
        "scalingModifiers": fallback.replicas,
    }[fallback.behavior]


def _activate(
    spec: ScaledObject, state: KedaState, replicas: int, now: float, why: str, *, partly: bool = False
) -> tuple[KedaState, int, Event | None]:
    """Activate; `partly`: another trigger failed, and then only waking counts as activity."""
    if replicas == 0 or (spec.idle_replica_count is not None and replicas < spec.min_replica_count):
        after = max(spec.min_replica_count, 1)
        return replace(state, last_active=now), after, Event(now, "KEDA", replicas, after, why)
    return state if partly else replace(state, last_active=now), replicas, None


def _deactivate(spec: ScaledObject, state: KedaState, replicas: int, now: float) -> tuple[KedaState, int, Event | None]:
    """Deactivate: to idle or zero in one step when the cooldown is over, past the HPA and its behavior."""
    idle, least = spec.idle_replica_count, spec.min_replica_count
    above_idle = idle is not None and replicas > idle
    if above_idle or (replicas > 0 and least == 0):
        if not _cooled_down(spec, state, now):
            return state, replicas, None
        after, why = (least if idle is None else idle), "the trigger has been inactive for the cooldown period"
    elif idle is None and replicas < least:
        after, why = least, "fewer replicas than minReplicaCount"
    else:
        return state, replicas, None
    return state, after, Event(now, "KEDA", replicas, after, why)


def _cooled_down(spec: ScaledObject, state: KedaState, now: float) -> bool:
    if state.last_active is None:
        return state.created + spec.initial_cooldown_period < now
    return state.last_active + spec.cooldown_period < now
