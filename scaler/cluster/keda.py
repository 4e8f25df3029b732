"""KEDA and its HPA, one poll and one sync at a time, as pure steps over an injected answer.

    every pollingInterval   GetMetricSpec, GetMetrics, IsActive  ─▶ 0 -> 1, N -> 0          KEDA
    every 15 s, N >= 1      GetMetricSpec, GetMetrics, IsActive  ─▶ 1 -> N, N -> 1          the HPA, through KEDA
    on a push               StreamIsActive says true             ─▶ 0 -> 1                  KEDA

Source: KEDA 2.20.2, pkg/scaling/executor/scale_scaledobjects.go (RequestScale), pkg/fallback/fallback.go,
pkg/scaling/scale_handler.go, pkg/scalers/scaler.go; for one external trigger without scalingModifiers. The HPA's part
is scaler/cluster/hpa.py. Left out: the annotations for one direction, useCachedMetrics, more than one trigger.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Literal

from scaler.cluster import hpa
from scaler.cluster.hpa import HpaSpec, HpaState, Metric, Reason, Target
from scaler.model.behavior import Behavior

FallbackBehavior = Literal["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"]
Rpc = Literal["GetMetricSpec", "GetMetrics", "IsActive"]


@dataclass(frozen=True, slots=True)
class Fallback:
    """How many replicas, when more than `failure_threshold` calls in a row failed."""

    replicas: int
    failure_threshold: int = 3
    behavior: FallbackBehavior = "static"


@dataclass(frozen=True, slots=True)
class ScaledObject:
    """What a ScaledObject says, as far as it moves replicas; KEDA's names and defaults."""

    min_replica_count: int = 0
    max_replica_count: int = 100
    idle_replica_count: int | None = None
    polling_interval: float = 30.0
    cooldown_period: float = 300.0
    initial_cooldown_period: float = 0.0
    fallback: Fallback | None = None
    target: float = 1.0  # what GetMetricSpec answers
    metric_type: Target = "AverageValue"
    behavior: Behavior | None = None  # advanced.horizontalPodAutoscalerConfig.behavior
    tolerance: float = 0.1  # the cluster's
    paused: bool = False  # the annotation autoscaling.keda.sh/paused

    @property
    def hpa(self) -> HpaSpec:
        """The HPA that KEDA makes of it."""
        return HpaSpec(max(self.min_replica_count, 1), self.max_replica_count, self.behavior, self.tolerance)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a scaler said: the value of GetMetrics and the word of IsActive."""

    value: float
    active: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """The first of the three calls that failed; those after it are not made."""

    rpc: Rpc
    reason: str


@dataclass(frozen=True, slots=True)
class KedaState:
    """What KEDA and the HPA remember about one ScaledObject."""

    created: float  # creationTimestamp
    last_active: float | None = None  # status.lastActiveTime
    failures: int = 0  # status.health: failed calls in a row, of polls and HPA reads alike
    hpa: HpaState = field(default_factory=HpaState)


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
    """An answer after KEDA's handling of failures."""

    value: float | None  # None: the HPA is told of an error
    active: bool
    fallback: bool = False


def poll(
    spec: ScaledObject,
    state: KedaState,
    answer: Answer | Refusal,
    replicas: int,
    now: float,
    *,
    ready: int | None = None,
) -> tuple[KedaState, int, Event | None]:
    """One poll of KEDA.

    Args:
        spec: the ScaledObject.
        state: what the last poll, push or sync returned.
        answer: what the scaler says now; not used while paused.
        replicas: of the scale target, before.
        now: seconds.
        ready: ready pods, for the fallback of a metric of type Value; by default all are.

    Returns:
        The next state, the replicas, and the event when they changed.
    """
    if spec.paused:
        return state, replicas, None
    state, read = _handle(spec, state, answer, replicas, replicas if ready is None else ready)
    if read.active:
        why = "the trigger falls back" if read.fallback else "the trigger is active"
        return _activate(spec, state, replicas, now, why)
    if read.value is None and (spec.fallback is None or spec.fallback.replicas != 0):
        return state, replicas, None
    return _deactivate(spec, state, replicas, now)


def push(spec: ScaledObject, state: KedaState, replicas: int, now: float) -> tuple[KedaState, int, Event | None]:
    """StreamIsActive said true. (A false is ignored by KEDA.)"""
    if spec.paused:
        return state, replicas, None
    return _activate(spec, state, replicas, now, "the trigger pushed")


def reads(spec: ScaledObject, replicas: int) -> bool:
    """Whether a sync at so many replicas asks for metrics at all."""
    return not spec.paused and spec.hpa.minimum <= replicas <= spec.hpa.maximum


def sync(
    spec: ScaledObject,
    state: KedaState,
    answer: Answer | Refusal | None,
    replicas: int,
    now: float,
    *,
    ready: int | None = None,
) -> tuple[KedaState, int, Event | None]:
    """One sync of the HPA; arguments and results as of `poll`. `answer` is needed where `reads` says so.

    While paused there is no HPA; the one that comes afterwards remembers nothing.
    """
    if spec.paused:
        return replace(state, hpa=HpaState()), replicas, None
    value = None
    if answer is not None:
        state, read = _handle(spec, state, answer, replicas, replicas if ready is None else ready)
        value = read.value
    metric = Metric("s0", spec.target, value, spec.metric_type)
    remembered, outcome = hpa.step(spec.hpa, state.hpa, [metric], replicas, now, ready=ready)
    state = replace(state, hpa=remembered)
    if outcome.replicas == replicas:
        return state, replicas, None
    why = outcome.reasons[-1].rule.value
    return state, outcome.replicas, Event(now, "HPA", replicas, outcome.replicas, why, outcome.reasons)


def wire(value: float) -> float:
    """The value that reaches the HPA: KEDA makes zero of what is negative or not a number, and keeps three decimals."""
    return hpa.milli(value) / 1000 if math.isfinite(value) and value > 0 else 0.0


def _handle(
    spec: ScaledObject, state: KedaState, answer: Answer | Refusal, replicas: int, ready: int
) -> tuple[KedaState, _Read]:
    """Count failures and fall back. A failing GetMetricSpec is not counted: KEDA gives up before it gets there."""
    if isinstance(answer, Answer):
        return replace(state, failures=0), _Read(wire(answer.value), answer.active)
    if spec.fallback is None or answer.rpc == "GetMetricSpec":
        return state, _Read(None, active=False)
    state = replace(state, failures=state.failures + 1)
    if state.failures <= spec.fallback.failure_threshold or (spec.metric_type == "Value" and ready == 0):
        return state, _Read(None, active=False)
    wanted: float = _fallback_replicas(spec.fallback, replicas)
    if spec.metric_type == "Value":
        wanted /= ready
    return state, _Read(int(spec.target * 1000 * wanted) / 1000, active=True, fallback=True)


def _fallback_replicas(fallback: Fallback, replicas: int) -> int:
    return {
        "static": fallback.replicas,
        "currentReplicas": replicas,
        "currentReplicasIfHigher": max(replicas, fallback.replicas),
        "currentReplicasIfLower": min(replicas, fallback.replicas),
    }[fallback.behavior]


def _activate(
    spec: ScaledObject, state: KedaState, replicas: int, now: float, why: str
) -> tuple[KedaState, int, Event | None]:
    state = replace(state, last_active=now)
    if replicas == 0 or (spec.idle_replica_count is not None and replicas < spec.min_replica_count):
        after = max(spec.min_replica_count, 1)
        return state, after, Event(now, "KEDA", replicas, after, why)
    return state, replicas, None


def _deactivate(spec: ScaledObject, state: KedaState, replicas: int, now: float) -> tuple[KedaState, int, Event | None]:
    """Inactive: to idle or zero in one step when the cooldown is over, past the HPA and its behavior."""
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
