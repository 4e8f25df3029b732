"""The arithmetic of a Kubernetes HPA, ahead of the HPA: the ratio, both tolerances, both windows, rate policies.

    load ─▶ tolerance ─▶ stabilizationWindowSeconds ─▶ policies ─▶ replicas

For those who keep what they have tuned, on a signal that their HPA cannot read. The names, defaults and ranges are
those of `behavior` in autoscaling/v2; without `behavior` it does what an HPA without one does. In the ScaledObject the
HPA has to stand aside then, or both wait one after the other.

    target 10, 4 replicas: a total of 43 is 1.075 of the target, within the tolerance of 0.1, and stays 4; 45 wants 5

Source: Kubernetes 1.37.2, pkg/controller/podautoscaler; the same code (scaler/model/behavior.py) is held against the
real controller in tests/oracles. Different on purpose: from 0 it goes up by the load, where an HPA is switched off.
"""

import math
from dataclasses import dataclass, field

from scaler.model.behavior import (
    SCALE_DOWN,
    SCALE_UP,
    Behavior,
    HpaState,
    RatePolicy,
    Rules,
    changed,
    rate_limits,
    recommended,
    stabilized,
)
from scaler.model.fields import Fields, choice, listed, number, seconds, whole
from scaler.policy.outcome import PolicyInput, PolicyResult, PolicySpec

_EPSILON = 1e-9
_NO_BEHAVIOR_MEMORY = 300.0


@dataclass(frozen=True, slots=True)
class Hpa(PolicySpec):
    """A behavior, and the tolerance where it says none."""

    behavior: Behavior | None  # None: an HPA without one
    tolerance: float

    @property
    def memory(self) -> float:
        """The window downwards, before which it may not lower."""
        return _NO_BEHAVIOR_MEMORY if self.behavior is None else self.behavior.down.window

    @property
    def tolerances(self) -> tuple[float, float]:
        """Tolerance downwards and upwards, as shares of the target."""
        down, up = (self.behavior.down.tolerance, self.behavior.up.tolerance) if self.behavior else (None, None)
        return self.tolerance if down is None else down, self.tolerance if up is None else up


@dataclass(frozen=True, slots=True)
class HpaPolicyState:
    """The state of an HPA. A change counts once it is seen, since ours are carried out later, or not at all."""

    hpa: HpaState = field(default_factory=HpaState)
    at: float = 0.0  # the last tick
    current: int | None = None  # replicas then
    answered: int | None = None


INITIAL = HpaPolicyState()


def parse(fields: Fields) -> Hpa:
    """Read `policy: {kind: hpa, ...}`.

    Raises:
        ConfigError: a key that a behavior does not have, or a value out of its range.
    """
    tolerance = fields.take("tolerance", number(0, 1), 0.1)
    if not fields.has("behavior"):
        return Hpa(None, tolerance)
    inner = fields.inside("behavior")
    up, down = _rules(inner.inside("scaleUp"), SCALE_UP), _rules(inner.inside("scaleDown"), SCALE_DOWN)
    inner.close()
    return Hpa(Behavior(up, down), tolerance)


def _rules(fields: Fields, usual: Rules) -> Rules:
    nothing: tuple[object, ...] = ()
    raws = fields.take("policies", listed(lambda raw: raw), nothing)
    path = f"{fields.path}.policies"
    policies = tuple(_policy(Fields(fields.where, raw, f"{path}[{index}]")) for index, raw in enumerate(raws))
    select = fields.take("selectPolicy", choice("Max", "Min", "Disabled"), "Max")
    rules = Rules(
        policies=policies or usual.policies,
        window=float(fields.take("stabilizationWindowSeconds", whole(0, 3600), int(usual.window))),
        select="Max" if select == "Max" else "Min" if select == "Min" else "Disabled",
        tolerance=fields.take("tolerance", number(0, 1), None),
    )
    fields.close()
    return rules


def _policy(fields: Fields) -> RatePolicy:
    kind = fields.take("type", choice("Pods", "Percent"))
    value = fields.take("value", whole(1, 2**31 - 1))
    period = fields.take("periodSeconds", whole(1, 1800))
    fields.close()
    return RatePolicy("Pods" if kind == "Pods" else "Percent", value, float(period))


def step(spec: Hpa, state: HpaPolicyState, seen: PolicyInput, now: float) -> tuple[HpaPolicyState, PolicyResult]:
    """Decide one tick.

    Args:
        spec: the settings.
        state: after the last tick.
        seen: the load in replicas, and the replicas that there are.
        now: seconds.
    """
    current, past = seen.replicas(state.answered), state.hpa
    wanted = math.ceil(seen.load - _EPSILON)
    if state.current:
        past = changed(spec.behavior, past, current - state.current, state.at)
    if current == 0:
        reason = f"{seen.load:.4g} replicas wanted, from 0"
        return HpaPolicyState(past, now, 0, wanted), PolicyResult(wanted, wanted > 0, reason)
    if not past.recommendations:
        past = recommended(spec.behavior, past, current, now)  # a new HPA holds what it finds
    down, up = spec.tolerances
    ratio = seen.ratio(current)
    told = f"{ratio:.4g} of the target, {wanted} replicas"
    if 1 - down - _EPSILON <= ratio <= 1 + up + _EPSILON:
        wanted, told = current, f"{told}: within the tolerance"
    elif ratio > 1 and wanted < current:  # some are not ready yet: more load is no reason for fewer
        wanted = current
    chosen = wanted
    if held := stabilized(spec.behavior, past.recommendations, wanted, current, now):
        chosen, earlier = held
        told += f"; stabilized at {chosen}, by {earlier.replicas} {seconds(now - earlier.at) or '0s'} ago"
    past = recommended(spec.behavior, past, wanted, now)
    most, least = rate_limits(spec.behavior, past, current, now)
    limit = most if chosen > most.replicas else least if chosen < least.replicas else None
    if limit is not None:
        chosen = limit.replicas
        told += "; selectPolicy Disabled" if limit.forbidden else f"; {_named(limit.policy)} lets {chosen}"
    chosen = max(chosen, 0)
    return HpaPolicyState(past, now, current, chosen), PolicyResult(chosen, chosen > 0, told)


def _named(policy: RatePolicy | None) -> str:
    """Write a rate as people do: "4 pods in 15s"."""
    if policy is None:
        return "max(2 x current, 4)"
    return f"{policy.value} {policy.kind.lower()} in {seconds(policy.period)}"
