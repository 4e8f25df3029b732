"""Kthena's autoscaling policy: a recommendation, corrected by a stable or a panic policy.

    load ─▶ tolerance ─▶ recommendation ─▶ stable: a window, then at most `instances` Or/And `percent` a period
                                        ─▶ panic:  up by at most `percent` a period, and never down

Panic begins when the recommendation reaches panicThresholdPercent of the replicas there are, and ends panicModeHold
after it last did. `targetValue` is the formula file's `target`; the formula says by `metricKind` what its value is. The
names, defaults and ranges are Kthena's. Two sets of defaults are theirs too: what a block leaves out has those of the
CRD, and a block that is left out those of the webhook, which switch panic off.

    scaleDown {instances: 1, percent: 40}, from 10 to a recommendation of 5: Or gives 6, And gives 9

Source: volcano-sh/kthena 3cc05728 (2026-08-21), pkg/autoscaler/algorithm/{recommendation,revision}.go,
pkg/autoscaler/webhook/autoscalingpolicy_mutator.go. Different on purpose, since theirs is broken there: the tolerance
is compared with the target and not with one replica; a mean is not taken for a total; `percent` above 0 always allows
at least one replica (10 % of 3 is none there, for ever); a replica that is not ready does not stop all scaling.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from scaler.model.fields import Fields, choice, duration, number, seconds, whole
from scaler.policy.clock import clock
from scaler.policy.outcome import PolicyInput, PolicyResult, PolicySpec

_EPSILON = 1e-9
MINUTES_30 = 1800.0
History = tuple[tuple[float, int], ...]  # (seconds, replicas), the oldest first


@dataclass(frozen=True, slots=True)
class Direction:
    """Options of one direction: how fast it may go."""

    instances: int
    percent: int
    period: float  # seconds
    either: bool  # selectPolicy Or: the larger of the two counts; And: the smaller
    window: float  # stabilizationWindow in seconds

    def reach(self, begun: int) -> int:
        """Return the replicas that may be added or removed within a period that began with `begun`."""
        choose: Callable[[int, int], int] = max if self.either else min
        return choose(self.instances, share(begun, self.percent))


@dataclass(frozen=True, slots=True)
class Panic:
    """Options of the panic: how far up it may go."""

    percent: int
    period: float  # seconds
    threshold: int  # percent of the replicas there are
    hold: float  # seconds; 0: there is no panic


@dataclass(frozen=True, slots=True)
class Kthena(PolicySpec):
    """One AutoscalingPolicy."""

    tolerance: float  # share of the target
    up: Direction
    down: Direction
    panic: Panic

    @property
    def memory(self) -> float:
        """The window and the period downwards, before which it may not lower."""
        return max(self.down.window, self.down.period)


@dataclass(frozen=True, slots=True)
class KthenaState:
    """The state of kthena between two ticks."""

    recommendations: History = ()
    corrected: History = ()  # each stands until the next
    panic_since: float | None = None
    panic_until: float = -math.inf
    answered: int | None = None


INITIAL = KthenaState()
NO_PANIC = Panic(0, 0.0, 200, 0.0)


def parse(fields: Fields) -> Kthena:
    """Read `policy: {kind: kthena, ...}`.

    Raises:
        ConfigError: a key that Kthena does not have, or a value out of its range.
    """
    tolerance = fields.take("tolerancePercent", number(0, 100), 10.0) / 100
    behavior = fields.inside("behavior")
    given = behavior.has("scaleUp")
    up = behavior.inside("scaleUp")
    stable = _direction(up, "stablePolicy", Direction(4, 100, 60.0, True, 0.0), 0.0)
    panic = _panic(up.inside("panicPolicy")) if given and up.has("panicPolicy") else NO_PANIC
    up.close()
    down = _direction(behavior, "scaleDown", Direction(0, 100, 60.0, True, 300.0), 300.0)
    behavior.close()
    return Kthena(tolerance, stable, down, panic)


def _direction(fields: Fields, key: str, omitted: Direction, window: float) -> Direction:
    """Read one direction: the webhook's defaults where the block is left out, the CRD's for what a block leaves out."""
    if not fields.has(key):
        fields.inside(key)
        return omitted
    inner = fields.inside(key)
    direction = Direction(
        instances=inner.take("instances", whole(0, 1_000_000), 1),
        percent=inner.take("percent", whole(0, 1000), 100),
        period=inner.take("period", duration(0, MINUTES_30), 15.0),
        either=inner.take("selectPolicy", choice("Or", "And"), "Or") == "Or",
        window=inner.take("stabilizationWindow", duration(0, MINUTES_30), window),
    )
    inner.close()
    return direction


def _panic(fields: Fields) -> Panic:
    panic = Panic(
        percent=fields.take("percent", whole(0, 1000), 1000),
        period=fields.take("period", duration(0, MINUTES_30)),
        threshold=fields.take("panicThresholdPercent", whole(110, 1000), 200),
        hold=fields.take("panicModeHold", duration(0, MINUTES_30), 60.0),
    )
    fields.close()
    return panic


def step(spec: Kthena, state: KthenaState, seen: PolicyInput, now: float) -> tuple[KthenaState, PolicyResult]:
    """Decide one tick.

    Args:
        spec: the settings.
        state: after the last tick.
        seen: the load in replicas, and the replicas that there are.
        now: seconds.
    """
    current = seen.replicas(state.answered)
    wanted = recommendation(spec, seen, current)
    since, until = _panicked(spec.panic, state, wanted, current, now)
    told = f"{seen.ratio(current):.4g} of the target, {wanted} replicas recommended"
    past = tuple(one for one in state.recommendations if one[0] > now - max(spec.up.window, spec.down.window))
    if now < until:
        answer = _in_panic(spec.panic, state.corrected, wanted, current, now)
        shown = since if since is not None else now
        told += f"; panic since {clock(shown)}"
        if wanted * 100 >= current * spec.panic.threshold:
            told += f": {wanted} >= {spec.panic.threshold / 100:g} x {current}"
        else:
            told += f", until {clock(until)}"
    else:
        answer, why = _stable(spec, state.corrected, past, wanted, current, now)
        told += why
    state = KthenaState(
        recommendations=(*past, (now, wanted)),
        corrected=_extended(state.corrected, now, answer, max(spec.up.period, spec.down.period, spec.panic.period)),
        panic_since=since,
        panic_until=until,
        answered=answer,
    )
    return state, PolicyResult(answer, answer > 0, told)


def recommendation(spec: Kthena, seen: PolicyInput, current: int) -> int:
    """Return the replicas that the load needs; within the tolerance, those that there are."""
    wanted = math.ceil(seen.load - _EPSILON)
    if current == 0:
        return wanted
    ratio = seen.ratio(current)
    if abs(ratio - 1) <= spec.tolerance + _EPSILON:
        return current
    return max(wanted, current) if ratio > 1 else min(wanted, current)


def share(begun: int, percent: int) -> int:
    """Return a percentage of some replicas, rounded down but at least one, since none would never move."""
    return max(int(begun * percent / 100), 1) if percent and begun else 0


def _panicked(panic: Panic, state: KthenaState, wanted: int, current: int, now: float) -> tuple[float | None, float]:
    """Begin a panic, go on with it, or end it: when it began, and when it ends."""
    running = now < state.panic_until
    if panic.hold and current and wanted * 100 >= current * panic.threshold:
        return state.panic_since if running else now, now + panic.hold
    return (state.panic_since, state.panic_until) if running else (None, -math.inf)


def _in_panic(panic: Panic, corrected: History, wanted: int, current: int, now: float) -> int:
    """Go up by at most `percent` within the period, and never down."""
    begun = min(current, _least(corrected, now - panic.period, current))
    limit = begun + share(begun, panic.percent) if begun else wanted
    return max(min(wanted, limit), current)


def _stable(spec: Kthena, corrected: History, past: History, wanted: int, current: int, now: float) -> tuple[int, str]:
    """Stabilize, then limit the rate, in the direction of the recommendation."""
    if wanted < current:
        most = max((replicas for at, replicas in past if at > now - spec.down.window), default=wanted)
        stable = max(wanted, most)
        begun = max(current, _greatest(corrected, now - spec.down.period, current))
        limit = begun - spec.down.reach(begun)
        answer = min(max(stable, limit), current)
        return answer, _why("scaleDown", spec.down, wanted, stable, answer)
    if wanted > current:
        least = min((replicas for at, replicas in past if at > now - spec.up.window), default=wanted)
        stable = min(wanted, least)
        begun = min(current, _least(corrected, now - spec.up.period, current))
        limit = begun + spec.up.reach(begun) if begun else stable
        answer = max(min(stable, limit), current)
        return answer, _why("scaleUp.stablePolicy", spec.up, wanted, stable, answer)
    return wanted, ""


def _why(name: str, direction: Direction, wanted: int, stable: int, answer: int) -> str:
    """Say what kept the answer from the recommendation."""
    if answer == wanted:
        return ""
    if answer == stable:
        return f"; the {name} stabilizationWindow of {seconds(direction.window)} holds {answer}"
    joined = "Or" if direction.either else "And"
    rate = f"{direction.instances} instances {joined} {direction.percent}% in {seconds(direction.period)}"
    return f"; {name} ({rate}) lets {answer}"


def _in_force(corrected: History, start: float) -> list[int]:
    """List the answers in force at some time since `start`: those given after it, and the last one before."""
    later = [replicas for at, replicas in corrected if at > start]
    before = [replicas for at, replicas in corrected if at <= start]
    return [*before[-1:], *later]


def _least(corrected: History, start: float, current: int) -> int:
    return min(_in_force(corrected, start), default=current)


def _greatest(corrected: History, start: float, current: int) -> int:
    return max(_in_force(corrected, start), default=current)


def _extended(corrected: History, now: float, answer: int, period: float) -> History:
    """Add an answer; keep those of the last period and the one in force when it began; equal ones are joined."""
    if corrected and corrected[-1][1] == answer:
        return corrected
    later = tuple(one for one in corrected if one[0] > now - period)
    before = tuple(one for one in corrected if one[0] <= now - period)[-1:]
    return (*before, *later, (now, answer))
