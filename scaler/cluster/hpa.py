"""The arithmetic of the Kubernetes HPA for external metrics: from metric values to a replica count, with every reason.

    metrics ─▶ proposal ─▶ stabilization ─▶ rate policies ─▶ bounds ─▶ replicas

Source: Kubernetes 1.35.4, pkg/controller/podautoscaler/{horizontal,replica_calculator}.go and
pkg/apis/autoscaling/v2/defaults.go; compared with that code case by case in tests/oracles.

An HPA without any `behavior`, as KEDA makes it by default, does not get the default policies of a behavior: it is
stabilized downwards only, and one step up ends at max(2 x current, 4). From 1 replica to 12 wanted:

    without behavior          1 -> 4 -> 8 -> 12
    with the default policies 1 -> 5 -> 10 -> 12     the larger of +4 and +100 % in 15 s

Times are seconds and are handed in; a real HPA steps every 15 s.
"""

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from scaler.model.behavior import (
    Behavior,
    HpaState,
    Limit,
    RatePolicy,
    TimedReplicas,
    changed,
    rate_limits,
    recommended,
    stabilized,
)

MAX_REPLICAS = 2**31 - 1  # int32, which the HPA counts in
MAX_MILLI = 2**63 - 1  # int64, which the HPA measures in

TargetType = Literal["AverageValue", "Value"]


SYNC_PERIOD = 15.0  # seconds between two looks of the HPA: --horizontal-pod-autoscaler-sync-period


@dataclass(frozen=True, slots=True)
class HpaSpec:
    """The settings of an HPA. `behavior` None is an HPA whose manifest has none."""

    minimum: int = 1
    maximum: int = 100
    behavior: Behavior | None = None
    tolerance: float = 0.1  # --horizontal-pod-autoscaler-tolerance

    @property
    def tolerances(self) -> tuple[float, float]:
        """Tolerance downwards and upwards, as shares of the target."""
        if self.behavior is None:
            return self.tolerance, self.tolerance
        down, up = self.behavior.down.tolerance, self.behavior.up.tolerance
        return self.tolerance if down is None else down, self.tolerance if up is None else up


@dataclass(frozen=True, slots=True)
class ExternalMetric:
    """One external metric as it was read for this step."""

    name: str
    target: float
    value: float | None  # None: it could not be read; values that KEDA returns for one name are already summed
    kind: TargetType = "AverageValue"


class HpaRule(enum.Enum):
    """Everything that can move an HPA's answer, in the order in which it is applied."""

    DISABLED = "0 replicas: the HPA is switched off"
    ABOVE_MAXIMUM = "more replicas than maxReplicas, whatever the metrics say"
    BELOW_MINIMUM = "fewer replicas than minReplicas, whatever the metrics say"
    FAILED = "the metric could not be read"
    HELD = "no metric could be read, or one could not and the others ask for less"
    PROPOSED = "what the metric asks for"
    WITHIN_TOLERANCE = "the metric is within the tolerance of its target"
    STABILIZED = "an earlier recommendation within the stabilization window"
    LIMITED = "a policy limits the rate of change"
    FORBIDDEN = "selectPolicy Disabled forbids this direction"
    TOO_MANY = "maxReplicas"
    TOO_FEW = "minReplicas"


@dataclass(frozen=True, slots=True)
class Reason:
    """One step of the arithmetic: the rule, and the number of replicas after it."""

    rule: HpaRule
    replicas: int
    metric: str = ""  # of FAILED, PROPOSED and WITHIN_TOLERANCE
    earlier: TimedReplicas | None = None  # of STABILIZED: the recommendation that holds
    policy: RatePolicy | None = None  # of LIMITED; None there: the built-in limit of an HPA without behavior


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer of one step, and how it came about."""

    replicas: int
    reasons: tuple[Reason, ...]


def milli(value: float) -> int:
    """Return a value in thousandths, the precision of a metric on its way to the HPA.

    Rounded as KEDA 2.20 writes it (pkg/scalers/scaler.go: three decimals); capped at int64.
    """
    return min(int(f"{value:.3f}".replace(".", "")), MAX_MILLI)


def replicas_for_average_value(
    metric_total: float, target: float, current: int, tolerance: float | tuple[float, float] = 0.1
) -> tuple[int, bool]:
    """Return the replicas that a total of `metric_total` needs at `target` each, and whether tolerance keeps `current`.

    Args:
        metric_total: the sum over all replicas, in the metric's unit; negative counts as an overflow, as there.
        target: per replica, above 0.0005.
        current: replicas now; with 0 there is nothing to compare with, so no tolerance.
        tolerance: share of the target; a pair is (down, up).
    """
    usage, wanted = milli(metric_total), milli(target)
    usage = MAX_MILLI if usage < 0 else usage
    if current > 0 and _within(float(usage) / (float(wanted) * float(current)), tolerance):
        return current, True
    return _whole(float(usage) / float(wanted)), False


def replicas_for_value(
    metric: float, target: float, current: int, ready: int, tolerance: float | tuple[float, float] = 0.1
) -> tuple[int, bool]:
    """Return ready pods x metric / target, as for a metric of type Value, and whether tolerance keeps `current`.

    While pods start, `ready` is below `current`, so that a ratio above 1 can ask for fewer replicas than there are.
    """
    ratio = float(milli(metric)) / float(milli(target))
    if current == 0:
        return _whole(ratio), False
    if _within(ratio, tolerance):
        return current, True
    return _whole(ratio * float(ready)), False


def step(
    spec: HpaSpec,
    state: HpaState,
    metrics: Sequence[ExternalMetric],
    current: int,
    now: float,
    *,
    ready: int | None = None,
) -> tuple[HpaState, Outcome]:
    """Play one sync of the HPA.

    Args:
        spec: bounds, behavior, tolerance.
        state: what the last step returned, or an empty one.
        metrics: at least one; not looked at while `current` is 0 or out of bounds.
        current: replicas of the scale target.
        now: seconds; not before the last step.
        ready: ready pods, where a metric of type Value needs it; by default all are.

    Returns:
        The next state and the outcome. The state assumes that the answer is carried out.
    """
    if not state.recommendations:
        state = replace(state, recommendations=(TimedReplicas(current, now),))
    if current == 0:
        return state, Outcome(0, (Reason(HpaRule.DISABLED, 0),))
    if current > spec.maximum:
        outcome = Outcome(spec.maximum, (Reason(HpaRule.ABOVE_MAXIMUM, spec.maximum),))
    elif current < spec.minimum:
        outcome = Outcome(spec.minimum, (Reason(HpaRule.BELOW_MINIMUM, spec.minimum),))
    else:
        proposal, reasons = _propose(spec, metrics, current, current if ready is None else ready)
        if proposal is None:
            return state, Outcome(current, (*reasons, Reason(HpaRule.HELD, current)))
        state, outcome = _normalize(spec, state, proposal, current, now)
        outcome = replace(outcome, reasons=reasons + outcome.reasons)
    return changed(spec.behavior, state, outcome.replicas - current, now), outcome


def _propose(
    spec: HpaSpec, metrics: Sequence[ExternalMetric], current: int, ready: int
) -> tuple[int | None, tuple[Reason, ...]]:
    """Take the largest proposal of the metrics. None when all failed, or some did and the rest would scale down."""
    reasons = tuple(_ask(spec, metric, current, ready) for metric in metrics)
    asked = [reason.replicas for reason in reasons if reason.rule is not HpaRule.FAILED]
    if not asked or (len(asked) < len(reasons) and max(asked) < current):
        return None, reasons
    return max(0, *asked), reasons


def _ask(spec: HpaSpec, metric: ExternalMetric, current: int, ready: int) -> Reason:
    if metric.value is None:
        return Reason(HpaRule.FAILED, current, metric.name)
    if metric.kind == "AverageValue":
        asked, within = replicas_for_average_value(metric.value, metric.target, current, spec.tolerances)
    else:
        asked, within = replicas_for_value(metric.value, metric.target, current, ready, spec.tolerances)
    return Reason(HpaRule.WITHIN_TOLERANCE if within else HpaRule.PROPOSED, asked, metric.name)


def _normalize(spec: HpaSpec, state: HpaState, proposal: int, current: int, now: float) -> tuple[HpaState, Outcome]:
    """Stabilize, limit the rate, keep the bounds; one reason for each that moved the number."""
    reasons: list[Reason] = []
    stable = proposal
    if held := stabilized(spec.behavior, state.recommendations, proposal, current, now):
        stable, earlier = held
        reasons.append(Reason(HpaRule.STABILIZED, stable, earlier=earlier))
    state = recommended(spec.behavior, state, proposal, now)
    if bound := _bound(spec, state, stable, current, now):
        reasons.append(bound)
    return state, Outcome(reasons[-1].replicas if reasons else proposal, tuple(reasons))


def _bound(spec: HpaSpec, state: HpaState, stable: int, current: int, now: float) -> Reason | None:
    """Say why `stable` replicas are not allowed, with what is allowed instead; None when they are."""
    up, down = rate_limits(spec.behavior, state, current, now)
    top = _limited(up) if up.replicas < spec.maximum else Reason(HpaRule.TOO_MANY, spec.maximum)
    bottom = _limited(down) if down.replicas > spec.minimum else Reason(HpaRule.TOO_FEW, spec.minimum)
    if stable < bottom.replicas:
        return bottom
    return top if stable > top.replicas else None


def _limited(limit: Limit) -> Reason:
    return Reason(HpaRule.FORBIDDEN if limit.forbidden else HpaRule.LIMITED, limit.replicas, policy=limit.policy)


def _within(ratio: float, tolerance: float | tuple[float, float]) -> bool:
    down, up = tolerance if isinstance(tolerance, tuple) else (tolerance, tolerance)
    return 1.0 - down <= ratio <= 1.0 + up


def _whole(replicas: float) -> int:
    return min(math.ceil(replicas), MAX_REPLICAS)
