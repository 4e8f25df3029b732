"""How fast an HPA may change replicas: `behavior` of its manifest, all defaults filled in, and what it lets through.

    recommendation ─▶ stabilized() ─▶ rate_limits() ─▶ replicas

Source: Kubernetes 1.35.4, pkg/controller/podautoscaler/horizontal.go and pkg/apis/autoscaling/v2/defaults.go. An HPA
without any `behavior` (None) is stabilized downwards only, and one step up ends at max(2 x current, 4).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

NO_BEHAVIOR_FACTOR, NO_BEHAVIOR_FLOOR = 2, 4  # without behavior one step up ends at most at max(2 x current, 4)
NO_BEHAVIOR_WINDOW = 300.0  # --horizontal-pod-autoscaler-downscale-stabilization

Select = Literal["Max", "Min", "Disabled"]


@dataclass(frozen=True, slots=True)
class RatePolicy:
    """At most `value` pods, or percent of the replicas at the start of the period, within `period` seconds."""

    kind: Literal["Pods", "Percent"]
    value: int
    period: float


@dataclass(frozen=True, slots=True)
class Rules:
    """One direction of a behavior, all defaults filled in."""

    policies: tuple[RatePolicy, ...]
    window: float  # stabilizationWindowSeconds
    select: Select = "Max"
    tolerance: float | None = None  # None: the cluster's


SCALE_UP = Rules(policies=(RatePolicy("Pods", 4, 15.0), RatePolicy("Percent", 100, 15.0)), window=0.0)
SCALE_DOWN = Rules(policies=(RatePolicy("Percent", 100, 15.0),), window=300.0)


@dataclass(frozen=True, slots=True)
class Behavior:
    """Both directions; what a manifest leaves out has these defaults."""

    up: Rules = SCALE_UP
    down: Rules = SCALE_DOWN


@dataclass(frozen=True, slots=True)
class TimedReplicas:
    """A number of replicas at a time: a past recommendation, or the size of a past change."""

    replicas: int
    at: float


@dataclass(frozen=True, slots=True)
class HpaState:
    """The state of an HPA between two steps. A new one, or one whose controller restarted, is empty."""

    recommendations: tuple[TimedReplicas, ...] = ()
    ups: tuple[TimedReplicas, ...] = ()
    downs: tuple[TimedReplicas, ...] = ()


@dataclass(frozen=True, slots=True)
class Limit:
    """The furthest that one direction may go now."""

    replicas: int
    policy: RatePolicy | None = None  # that sets it; None: the built-in one, or `forbidden`
    forbidden: bool = False  # selectPolicy is Disabled


def stabilized(
    behavior: Behavior | None, past: Sequence[TimedReplicas], proposal: int, current: int, now: float
) -> tuple[int, TimedReplicas] | None:
    """Move no further than every recommendation of the window agrees with: the least of them up, the greatest down.

    The edge of a window counts without a behavior and does not with one, as in horizontal.go.

    Args:
        behavior: both directions; None for an HPA without one.
        past: earlier recommendations.
        proposal: what is recommended now.
        current: replicas now.
        now: seconds.

    Returns:
        The replicas, and the earlier recommendation that holds; None where the proposal stands.
    """
    asked = TimedReplicas(proposal, now)
    if behavior is None:
        greatest = _extreme(max, asked, [sample for sample in past if sample.at >= now - NO_BEHAVIOR_WINDOW])
        return None if greatest is asked else (greatest.replicas, greatest)
    least = _extreme(min, asked, [sample for sample in past if sample.at > now - behavior.up.window])
    greatest = _extreme(max, asked, [sample for sample in past if sample.at > now - behavior.down.window])
    stable = min(max(current, least.replicas), greatest.replicas)
    if stable == proposal:
        return None
    return stable, least if stable < proposal else greatest


def rate_limits(behavior: Behavior | None, state: HpaState, current: int, now: float) -> tuple[Limit, Limit]:
    """Give the most and the fewest replicas that the policies allow now; never beyond `current` the other way."""
    if behavior is None:
        return Limit(max(NO_BEHAVIOR_FACTOR * current, NO_BEHAVIOR_FLOOR)), Limit(0)

    def start(policy: RatePolicy) -> int:
        """Return the replicas when the policy's period began."""
        began = now - policy.period
        added = sum(change.replicas for change in state.ups if change.at > began)
        removed = sum(change.replicas for change in state.downs if change.at > began)
        return current - added + removed

    def after_up(policy: RatePolicy) -> int:
        begun = start(policy)
        return begun + policy.value if policy.kind == "Pods" else math.ceil(begun * (1 + policy.value / 100))

    def after_down(policy: RatePolicy) -> int:
        begun = start(policy)
        return begun - policy.value if policy.kind == "Pods" else int(begun * (1 - policy.value / 100))

    up, down = behavior.up, behavior.down
    most = _select(up, {"Max": max, "Min": min}, after_up, current)
    fewest = _select(down, {"Max": min, "Min": max}, after_down, current)
    return replace(most, replicas=max(most.replicas, current)), replace(fewest, replicas=min(fewest.replicas, current))


def recommended(behavior: Behavior | None, state: HpaState, proposal: int, now: float) -> HpaState:
    """Remember what was recommended."""
    longest = NO_BEHAVIOR_WINDOW if behavior is None else max(behavior.up.window, behavior.down.window)
    noted = _remember(state.recommendations, TimedReplicas(proposal, now), now - longest)
    return replace(state, recommendations=noted)


def changed(behavior: Behavior | None, state: HpaState, change: int, now: float) -> HpaState:
    """Remember a change of size; without a behavior nobody asks for it later."""
    if behavior is None or change == 0:
        return state
    rules, past = (behavior.up, state.ups) if change > 0 else (behavior.down, state.downs)
    horizon = now - max((policy.period for policy in rules.policies), default=0.0)
    noted = _remember(past, TimedReplicas(abs(change), now), horizon)
    return replace(state, ups=noted) if change > 0 else replace(state, downs=noted)


def _extreme(
    choose: Callable[..., TimedReplicas], asked: TimedReplicas, window: Sequence[TimedReplicas]
) -> TimedReplicas:
    """Find the sample with the most extreme replicas; on a tie the one that is asked for now, then the earliest."""
    return choose((asked, *window), key=lambda sample: sample.replicas)


def _select(
    rules: Rules, choose: Mapping[str, Callable[..., RatePolicy]], after: Callable[[RatePolicy], int], current: int
) -> Limit:
    """Return what one direction's policies allow together."""
    if rules.select == "Disabled":
        return Limit(current, forbidden=True)
    policy = choose[rules.select](rules.policies, key=after)
    return Limit(after(policy), policy)


def _remember(past: tuple[TimedReplicas, ...], new: TimedReplicas, horizon: float) -> tuple[TimedReplicas, ...]:
    """Put `new` in the place of the last sample older than `horizon`, or at the end when none is.

    One out, one in, as the controller does it. It matters where a scale-down policy looks further back than the
    longest scale-up policy: the older changes it counts are gone one at a time.
    """
    for place in reversed(range(len(past))):
        if past[place].at < horizon:
            return (*past[:place], new, *past[place + 1 :])
    return (*past, new)
