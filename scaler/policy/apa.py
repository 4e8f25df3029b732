"""AIBrix's own pod autoscaler: the mean of a window over the target, with a tolerance and a rate in each direction.

    load ─▶ mean over observeWindowSeconds ─▶ tolerances ─▶ rates ─▶ cooldown windows ─▶ replicas

The names, defaults and ranges are those of its annotations (less `autoscaling.aibrix.ai/`) and of its spec;
`targetValue` is the formula file's `target`. The formula says by `metricKind` what its value is.

    target 30, 2 replicas: a mean of 45 wants 3; 90 wants 6 and gets 4 (max-scale-up-rate 2); 33 is within the tolerance

Source: vllm-project/aibrix e3e10f9e (2026-08-22), pkg/controller/podautoscaler. Different on purpose, since theirs is
broken there: a total is not multiplied by the replicas (they run to the maximum); replicas on their way count as
replicas (they double while a model loads); a cooldown takes the largest recommendation on the way down and the
smallest on the way up (theirs is the other way round, and swings); from 0 it goes to 1.
"""

import math
from dataclasses import dataclass

from scaler.model.fields import Fields, duration, number, seconds, whole
from scaler.policy.outcome import PolicyInput, PolicyResult, PolicySpec
from scaler.policy.window import Samples, added, mean, within

_EPSILON = 1e-9  # of a ratio: 33 / 30 is within a tolerance of 0.1
Recommendations = tuple[tuple[float, int], ...]  # (seconds, replicas), the oldest first


@dataclass(frozen=True, slots=True)
class Apa(PolicySpec):
    """The settings of one PodAutoscaler."""

    window: float  # seconds
    max_up: float  # times the replicas, at most, in one step
    max_down: float  # the replicas over it, at least, in one step
    tolerance_up: float
    tolerance_down: float
    cooldown_up: float  # seconds
    cooldown_down: float

    @property
    def memory(self) -> float:
        """A whole window and the cooldown, before which it may not lower."""
        return self.window + self.cooldown_down


@dataclass(frozen=True, slots=True)
class ApaState:
    """The state of apa between two ticks."""

    samples: Samples = ()
    recommendations: Recommendations = ()
    answered: int | None = None


INITIAL = ApaState()


def parse(fields: Fields) -> Apa:
    """Read `policy: {kind: apa, ...}`.

    Raises:
        ConfigError: a key that AIBrix does not read, or a value out of its range.
    """
    return Apa(
        window=float(fields.take("observeWindowSeconds", whole(1, 3600), 180)),
        max_up=fields.take("max-scale-up-rate", number(1, 1e6, above=True), 2.0),
        max_down=fields.take("max-scale-down-rate", number(1, 1e6, above=True), 2.0),
        tolerance_up=fields.take("scale-up-tolerance", number(0, 100), 0.1),
        tolerance_down=fields.take("scale-down-tolerance", number(0, 1), 0.1),
        cooldown_up=fields.take("scale-up-cooldown-window", duration(0, 3600), 0.0),
        cooldown_down=fields.take("scale-down-cooldown-window", duration(0, 3600), 300.0),
    )


def step(spec: Apa, state: ApaState, seen: PolicyInput, now: float) -> tuple[ApaState, PolicyResult]:
    """Decide one tick.

    Args:
        spec: the settings.
        state: after the last tick.
        seen: the load in replicas, and the replicas that there are.
        now: seconds.
    """
    samples = added(state.samples, now, seen.load, spec.window)
    load = mean(within(samples, now, spec.window))
    current = seen.replicas(state.answered)
    among = seen.ready if seen.each and seen.ready else current
    ratio = load / among if among else load
    proposal, told = _proposal(spec, load, ratio, current)
    told = f"mean over {seconds(spec.window)}: {load:.4g} replicas wanted, {ratio:.3g} of the target{told}"
    longest = max(spec.cooldown_up, spec.cooldown_down)
    past = tuple(one for one in state.recommendations if one[0] > now - longest)
    answer, held = cooled(spec.cooldown_up, spec.cooldown_down, past, proposal, current, now)
    state = ApaState(samples, (*past, (now, proposal)) if longest else (), answer)
    return state, PolicyResult(answer, answer > 0, told + held)


def _proposal(spec: Apa, load: float, ratio: float, current: int) -> tuple[int, str]:
    """Return the replicas for a load, as far as the tolerances and the rates let them change in one step."""
    wanted = math.ceil(load - _EPSILON)
    if current == 0:
        return min(wanted, 1), "; from 0 to 1" if wanted else ""
    if 1 - spec.tolerance_down - _EPSILON <= ratio <= 1 + spec.tolerance_up + _EPSILON:
        return current, ", which is within the tolerance"
    if ratio > 1:
        most = math.ceil(spec.max_up * current - _EPSILON)
        chosen = min(max(wanted, current), most)  # replicas on their way are capacity: up never goes down
        return chosen, f"; max-scale-up-rate lets {most}" if wanted > most else ""
    least = math.floor(current / spec.max_down)
    return max(min(wanted, current), least), f"; max-scale-down-rate lets {least}" if wanted < least else ""


def cooled(up: float, down: float, past: Recommendations, proposal: int, current: int, now: float) -> tuple[int, str]:
    """Hold a recommendation against those of the window of its direction.

    Recommendations 9, 4, 8 from 10 replicas, with 300 s downwards: 9, 9, 9.

    Args:
        up: seconds of the window upwards, in which the smallest holds.
        down: seconds of the window downwards, in which the largest holds.
        past: earlier recommendations.
        proposal: this one.
        current: replicas that there are.
        now: seconds.

    Returns:
        The replicas, never beyond `current` the other way; and what held it, in words.
    """
    window = up if proposal > current else down
    lately = [replicas for at, replicas in past if at > now - window]
    if proposal > current:
        least = max(min((*lately, proposal)), current)
        return least, f"; scale-up-cooldown-window holds {least}" if least < proposal else ""
    if proposal < current:
        most = min(max((*lately, proposal)), current)
        return most, f"; scale-down-cooldown-window holds {most}" if most > proposal else ""
    return proposal, ""
