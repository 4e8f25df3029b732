"""Ray Serve's autoscaling: ongoing requests over a target, held back by delays in each direction.

    total ongoing / target ─▶ aggregate over look_back_period_s ─▶ smoothing factors ─▶ delays ─▶ replicas

`target_ongoing_requests` is the formula file's `target`; `min_replicas` and `max_replicas` are the ScaledObject's. The
other names, defaults and ranges are Ray's.

    target 2, 40 ongoing, 4 replicas: wants 20, and gets it once it has wanted more for upscale_delay_s

Source: Ray 2.60.0, python/ray/serve/autoscaling_policy.py (default_autoscaling_policy, _apply_delay_logic,
_apply_scaling_factors) and config.py (AutoscalingConfig). Different on purpose: the delay of a direction starts when
that direction was first certain, and nothing is decided on data that is not (Ray drops handles that are silent, and so
takes silence for no load).
"""

import math
from dataclasses import dataclass, replace

from scaler.model.fields import Fields, choice, number, seconds
from scaler.policy.outcome import TOTALS, PolicyInput, PolicyResult, PolicySpec
from scaler.policy.window import AGGREGATIONS, Samples, added, within

_EPSILON = 1e-6  # seconds by which a delay may fall short


@dataclass(frozen=True, slots=True)
class Ray(PolicySpec):
    """An AutoscalingConfig."""

    look_back_period_s: float
    upscale_delay_s: float
    downscale_delay_s: float
    downscale_to_zero_delay_s: float | None  # None: downscale_delay_s
    upscaling_factor: float
    downscaling_factor: float
    aggregation_function: str  # mean | max | min

    @property
    def memory(self) -> float:
        """A whole look-back, before which it may not lower."""
        return self.look_back_period_s

    @property
    def kinds(self) -> frozenset[str]:
        """Ongoing requests, which are a total."""
        return TOTALS


@dataclass(frozen=True, slots=True)
class RayState:
    """The state of ray between two ticks."""

    target: int | None = None  # replicas that it last decided; None: nothing yet
    samples: Samples = ()
    direction: int = 0  # 1: more are wanted since `since`; -1: fewer
    since: float = 0.0


INITIAL = RayState()


def parse(fields: Fields) -> Ray:
    """Read `policy: {kind: ray, ...}`.

    Raises:
        ConfigError: a key that Ray does not have, or a value out of its range.
    """
    return Ray(
        look_back_period_s=fields.take("look_back_period_s", number(0, 3600, above=True), 30.0),
        upscale_delay_s=fields.take("upscale_delay_s", number(0, 3600), 30.0),
        downscale_delay_s=fields.take("downscale_delay_s", number(0, 7200), 600.0),
        downscale_to_zero_delay_s=fields.take("downscale_to_zero_delay_s", number(0, 7200), None),
        upscaling_factor=fields.take("upscaling_factor", number(0, 1000, above=True), 1.0),
        downscaling_factor=fields.take("downscaling_factor", number(0, 1000, above=True), 1.0),
        aggregation_function=fields.take("aggregation_function", choice(*AGGREGATIONS), "mean"),
    )


def step(spec: Ray, state: RayState, seen: PolicyInput, now: float) -> tuple[RayState, PolicyResult]:
    """Decide one tick.

    Args:
        spec: the settings.
        state: after the last tick.
        seen: the load in replicas (ongoing requests / target), and the replicas that there are.
        now: seconds.
    """
    samples = added(state.samples, now, seen.load, spec.look_back_period_s)
    load = AGGREGATIONS[spec.aggregation_function](within(samples, now, spec.look_back_period_s))
    current = state.target if state.target is not None else seen.current or 0
    state = replace(state, target=current, samples=samples)
    over = f"{spec.aggregation_function} over {seconds(spec.look_back_period_s)}: {load:.4g} replicas wanted"
    wanted = desired(spec, current, load)
    if current == 0 and load > 0:
        first = max(math.ceil(spec.upscaling_factor), current)
        return replace(state, target=first, direction=0), PolicyResult(
            first, True, f"{over}; from 0 at once to {first}"
        )
    if wanted == current:
        return replace(state, direction=0), PolicyResult(current, current > 0, over)
    direction = 1 if wanted > current else -1
    since = state.since if state.direction == direction else now
    delay, name = _delay(spec, current, direction)
    state = replace(state, direction=direction, since=since)
    waited = now - since
    if waited + _EPSILON < delay:
        told = f"{over}; {name} {seconds(delay)}, of which {seconds(waited) or '0s'} have passed"
        return state, PolicyResult(current, current > 0, told)
    chosen = 1 if wanted == 0 and current > 1 else wanted  # to 0 it goes by 1
    return replace(state, target=chosen, direction=0), PolicyResult(
        chosen, chosen > 0, f"{over}; {current} -> {chosen}"
    )


def desired(spec: Ray, current: int, load: float) -> int:
    """Return the replicas that a load needs, from `current` on, by the smoothing factors.

    10 replicas, a load of 5 and a downscaling factor of 0.5: 10 + 0.5 x (5 - 10) = 7.5, rounded up 8.
    """
    if current == 0:
        return math.ceil(load)
    factor = spec.upscaling_factor if load > current else spec.downscaling_factor
    smoothed = math.ceil(current + factor * (load - current) - 1e-9)
    stuck = math.ceil(load) < current and smoothed == current
    return max(smoothed - 1 if stuck else smoothed, 0)


def _delay(spec: Ray, current: int, direction: int) -> tuple[float, str]:
    if direction > 0:
        return spec.upscale_delay_s, "upscale_delay_s"
    if current == 1 and spec.downscale_to_zero_delay_s is not None:
        return spec.downscale_to_zero_delay_s, "downscale_to_zero_delay_s"
    return spec.downscale_delay_s, "downscale_delay_s"
