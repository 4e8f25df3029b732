"""Knative's pod autoscaler: a stable window, and a short one in which it panics.

    load over 60 s ─▶ stable ─┐
    load over 6 s ──▶ panic ──┴▶ rates ─▶ activation scale ─▶ panic ratchet ─▶ scale-down delay ─▶ replicas

The target is the formula file's `target` (for Knative's own 70 % of 100 requests write 70); minimum and maximum are the
ScaledObject's. The other names, defaults and ranges are those of config-autoscaler and its annotations.

    target 10, 2 ready pods: 100 requests in the panic window want 10 >= 2 x 2, so it panics, and goes up at once

Source: knative.dev/serving 98e5ef9 (2026-08-21), pkg/autoscaler/scaling/autoscaler.go, pkg/autoscaler/config/config.go
and pkg/apis/autoscaling/annotation_validation.go. Different on purpose: there is no activator here, so nothing is
reckoned of burst capacity; and data that is not certain changes nothing, where Knative scales on what it has.

`kind: aibrix-kpa` is AIBrix's form of it under AIBrix's names and defaults: the panic window is set in seconds, each
direction has a tolerance, and a cooldown in place of the scale-down delay. Source: vllm-project/aibrix e3e10f9e
(2026-08-22) for names and defaults, v0.4.1 for what they mean. Different on purpose, since the newer release is broken
there: the mean of one replica is not taken for the total, a panic lasts until a window after it, no load is no panic.
"""

import math
from dataclasses import dataclass, replace

from scaler.model.fields import Fields, duration, number, whole
from scaler.policy.clock import clock
from scaler.policy.outcome import ANY, TOTALS, PolicyInput, PolicyResult, PolicySpec
from scaler.policy.window import Samples, added, mean, within

_DIGITS = 6  # of a mean that count, as there: 44.00000000000001 replicas are 44


@dataclass(frozen=True, slots=True)
class Kpa(PolicySpec):
    """The settings of one revision."""

    stable_window: float  # seconds
    panic_window: float  # seconds: a share of the stable one
    panic_threshold: float  # how many times the ready pods have to be wanted
    max_up: float  # times the ready pods, at most, in one step
    max_down: float  # the ready pods over it, at least, in one step
    delay: float  # seconds: nothing is lowered below what was wanted within them
    activation_scale: int  # replicas that a first one comes with
    tolerance_up: float = 0.0  # share of the target above which it goes up, and by which it has to be below to go down
    tolerance_down: float = 0.0
    delay_name: str = "scale-down-delay"
    delay_up: float = 0.0  # seconds: nothing is raised above what was wanted at any time within them
    kinds: frozenset[str] = TOTALS  # what the formula's value may be

    @property
    def memory(self) -> float:
        """A whole stable window and the delay, before which it may not lower."""
        return self.stable_window + self.delay


@dataclass(frozen=True, slots=True)
class KpaState:
    """The state of kpa between two ticks."""

    samples: Samples = ()
    panic_since: float | None = None  # when it began; None: it does not panic
    panic_seen: float = 0.0  # when the threshold was last exceeded
    most: int = 0  # replicas: in a panic nothing is lowered
    wanted: tuple[tuple[float, int], ...] = ()  # (seconds, replicas) within the delays
    begun: bool = False
    answered: int | None = None


INITIAL = KpaState()


def parse(fields: Fields) -> Kpa:
    """Read `policy: {kind: kpa, ...}`.

    Raises:
        ConfigError: a key that Knative does not have, or a value out of its range.
    """
    stable = fields.take("stable-window", duration(6, 3600), 60.0)
    share = fields.take("panic-window-percentage", number(1, 100), 10.0)
    return Kpa(
        stable_window=stable,
        panic_window=max(math.floor(stable * share / 100 + 0.5), 1.0),  # whole seconds, and one at least, as there
        panic_threshold=fields.take("panic-threshold-percentage", number(110, 1000), 200.0) / 100,
        max_up=fields.take("max-scale-up-rate", number(1, 1e6, above=True), 1000.0),
        max_down=fields.take("max-scale-down-rate", number(1, 1e6, above=True), 2.0),
        delay=fields.take("scale-down-delay", duration(0, 3600), 0.0),
        activation_scale=int(fields.take("activation-scale", number(2, 1e6), 1.0)),
    )


def parse_aibrix(fields: Fields) -> Kpa:
    """Read `policy: {kind: aibrix-kpa, ...}`.

    Raises:
        ConfigError: a key that AIBrix does not read, or a value out of its range.
    """
    stable = fields.take("observeWindowSeconds", whole(1, 3600), 180)
    panic = fields.take("panicWindowSeconds", whole(1, 3600), min(60, stable))
    if panic > stable:
        raise fields.error("panicWindowSeconds", f"{panic} is above observeWindowSeconds", f"at most {stable}")
    return Kpa(
        stable_window=float(stable),
        panic_window=float(panic),
        panic_threshold=fields.take("panic-threshold", number(1, 1000, above=True), 2.0),
        max_up=fields.take("max-scale-up-rate", number(1, 1e6, above=True), 2.0),
        max_down=fields.take("max-scale-down-rate", number(1, 1e6, above=True), 2.0),
        delay=fields.take("scale-down-cooldown-window", duration(0, 3600), 300.0),
        activation_scale=1,
        tolerance_up=fields.take("scale-up-tolerance", number(0, 100), 0.1),
        tolerance_down=fields.take("scale-down-tolerance", number(0, 1), 0.1),
        delay_name="scale-down-cooldown-window",
        delay_up=fields.take("scale-up-cooldown-window", duration(0, 3600), 0.0),
        kinds=ANY,
    )


def step(spec: Kpa, state: KpaState, seen: PolicyInput, now: float) -> tuple[KpaState, PolicyResult]:
    """Decide one tick.

    Args:
        spec: the settings.
        state: after the last tick.
        seen: the load in replicas (the metric over the target), and the pods that are ready.
        now: seconds.
    """
    ready = seen.ready if seen.ready is not None else seen.replicas(state.answered)
    samples = added(state.samples, now, seen.load, spec.stable_window)
    if not state.begun:  # one that just started may have missed a burst: it begins in a panic, and lowers nothing
        panic = now if ready > 1 else None
        state = replace(state, begun=True, panic_since=panic, panic_seen=now, most=ready if ready > 1 else 0)
    windows = (spec.stable_window, spec.panic_window)
    stable, panic_load = (round(mean(within(samples, now, window)), _DIGITS) for window in windows)
    stable_pods, panic_pods = (_bounded(spec, load, max(ready, 1)) for load in (stable, panic_load))
    over = math.ceil(panic_load) / max(ready, 1) >= spec.panic_threshold
    state = _panicked(spec, replace(state, samples=samples), now, over=over)
    told = f"stable {stable:.4g}, panic {panic_load:.4g} replicas"
    chosen, panicking = stable_pods, state.panic_since
    if panicking is not None:
        chosen = max(state.most, stable_pods, panic_pods)
        state = replace(state, most=chosen)
        times = f": {math.ceil(panic_load)} >= {spec.panic_threshold:g} x {max(ready, 1)}"
        why_still = times if over else ", which ends after a stable window"
        told += f"; panic since {clock(panicking)}{why_still}"
    held, wanted, why = _delayed(spec, state.wanted, chosen, ready, now)
    return replace(state, wanted=wanted, answered=held), PolicyResult(held, held > 0, told + why)


def _delayed(
    spec: Kpa, past: tuple[tuple[float, int], ...], chosen: int, ready: int, now: float
) -> tuple[int, tuple[tuple[float, int], ...], str]:
    """Hold what was wanted: the greatest of the delay on the way down, the least of it on the way up."""
    longest = max(spec.delay, spec.delay_up)
    if not longest:
        return chosen, (), ""
    wanted = (*(one for one in past if one[0] > now - longest), (now, chosen))
    if chosen > ready and spec.delay_up:
        least = max(min(replicas for at, replicas in wanted if at > now - spec.delay_up), ready)
        if least < chosen:
            return least, wanted, f"; scale-up-cooldown-window keeps {least}"
    most = max(replicas for at, replicas in wanted if at > now - spec.delay or at == now)
    return most, wanted, f"; {spec.delay_name} keeps {most}" if most > chosen else ""


def _bounded(spec: Kpa, load: float, ready: int) -> int:
    """Return the replicas for a load, as far as the rates let them change in one step."""
    wanted = math.ceil(load)
    if ready * (1 - spec.tolerance_down) < load < ready * (1 + spec.tolerance_up):
        wanted = ready
    pods = min(max(wanted, math.floor(ready / spec.max_down)), math.ceil(spec.max_up * ready))
    return spec.activation_scale if math.ceil(load) > 0 and pods < spec.activation_scale else pods


def _panicked(spec: Kpa, state: KpaState, now: float, *, over: bool) -> KpaState:
    """Begin a panic, go on with it, or end it once a stable window has passed since the threshold was exceeded."""
    if over:
        return replace(state, panic_since=now if state.panic_since is None else state.panic_since, panic_seen=now)
    if state.panic_since is not None and state.panic_seen + spec.stable_window < now:
        return replace(state, panic_since=None, most=0)
    return state
