"""Wallaroo's autoscale triggers for LLMs: one replica more or less after every window of a deep or an empty queue.

    (queued + in flight) / replicas ─▶ mean over autoscaling_window ─▶ +1 above scale_up_queue_depth
                                                                       -1 below scale_down_queue_depth

The formula's value is queued + in flight, a total. From 0 replicas the first request brings one at once. The window
begins anew after every change, since it held the depths of another number of replicas. With `autoscale_cpu_utilization`
instead, the value is the mean CPU utilization of the replicas in percent, and the answer keeps it there, as Wallaroo
leaves to an HPA. `proportional: true`, which Wallaroo does not have, goes up in one step to as many replicas as the
mean load of the window fills: 40 requests that are stuck at a depth of 5 have 8 replicas after 300 s, not 2100.

    up 5, 2 replicas: 10 queued and 1 in flight are 5.5 each, so 3 after the window; 9 and 1 are 5.0, which is not above

Source: Wallaroo's "Autoscaling for LLMs". What that page leaves open is decided here: the window restarts after every
change, and down goes one in a window. Different on purpose: replicas on their way count as replicas, since what they
will take is not short of them.
"""

import math
from dataclasses import dataclass, replace

from scaler.model.fields import Fields, boolean, number, seconds, whole
from scaler.policy.outcome import EACH, TOTALS, PolicyInput, PolicyResult, PolicySpec
from scaler.policy.window import Samples, added, mean, within

TOLERANCE = 0.1  # of the CPU mode: the HPA's


@dataclass(frozen=True, slots=True)
class Wallaroo(PolicySpec):
    """The triggers of one deployment configuration."""

    scale_up_queue_depth: int | None  # requests for each replica; None: by CPU
    scale_down_queue_depth: int
    autoscaling_window: float  # seconds
    autoscale_cpu_utilization: float | None  # percent
    proportional: bool

    @property
    def memory(self) -> float:
        """A whole window, before which it may not lower."""
        return self.autoscaling_window

    @property
    def kinds(self) -> frozenset[str]:
        """A queue is a total, CPU utilization is each replica's own."""
        return TOTALS if self.scale_up_queue_depth is not None else EACH


@dataclass(frozen=True, slots=True)
class WallarooState:
    """The state of wallaroo between two ticks."""

    target: int | None = None  # replicas that it last decided; None: nothing yet
    current: int | None = None  # replicas that there were then
    since: float = 0.0  # the window began
    samples: Samples = ()  # load / replicas of each


INITIAL = WallarooState()


def parse(fields: Fields) -> Wallaroo:
    """Read `policy: {kind: wallaroo, ...}`.

    Raises:
        ConfigError: a key that Wallaroo does not have, a value out of its range, or a depth to go down without one to
            go up.
    """
    depths = ("scale_down_queue_depth", "autoscaling_window", "proportional")
    by_depth = fields.has("scale_up_queue_depth")
    alone = [key for key in depths if fields.has(key)]
    if alone and not by_depth:
        raise fields.error(alone[0], "has no meaning without scale_up_queue_depth", "beside scale_up_queue_depth")
    spec = Wallaroo(
        scale_up_queue_depth=fields.take("scale_up_queue_depth", whole(1, 1_000_000), None),
        scale_down_queue_depth=fields.take("scale_down_queue_depth", whole(0, 1_000_000), 1),
        autoscaling_window=fields.take("autoscaling_window", number(60, 86400), 300.0),
        autoscale_cpu_utilization=fields.take("autoscale_cpu_utilization", number(1, 100), None),
        proportional=fields.take("proportional", boolean, False),
    )
    if spec.scale_up_queue_depth is None:
        if spec.autoscale_cpu_utilization is None:
            problem = "is missing, and so is autoscale_cpu_utilization"
            raise fields.error("scale_up_queue_depth", problem, "one of the two")
        return replace(spec, autoscaling_window=0.0)
    if spec.scale_down_queue_depth > spec.scale_up_queue_depth:
        problem = f"{spec.scale_down_queue_depth} is above scale_up_queue_depth ({spec.scale_up_queue_depth})"
        raise fields.error("scale_down_queue_depth", problem, f"at most {spec.scale_up_queue_depth}")
    return spec


def step(spec: Wallaroo, state: WallarooState, seen: PolicyInput, now: float) -> tuple[WallarooState, PolicyResult]:
    """Decide one tick.

    Args:
        spec: the settings.
        state: after the last tick.
        seen: requests queued and in flight, or the mean CPU utilization; and the replicas that there are.
        now: seconds.
    """
    if spec.scale_up_queue_depth is None:
        return _by_cpu(spec, state, seen)
    state = _followed(state, seen, now)
    count = state.target or 0
    if count == 0:
        first = 1 if seen.load > 0 else 0
        told = "the first request brings a replica at once" if first else "nothing waits"
        return replace(state, target=first, since=now, samples=()), PolicyResult(first, first > 0, told)
    there = max(seen.replicas(count), 1)
    samples = added(state.samples, now, seen.load / there, spec.autoscaling_window)
    depth = mean(within(samples, now, spec.autoscaling_window))
    state = replace(state, samples=samples)
    up, down = spec.scale_up_queue_depth, spec.scale_down_queue_depth
    told = f"mean queue depth {depth:.4g} in {seconds(spec.autoscaling_window)}, up above {up}, down below {down}"
    wanted = count
    if depth > up:
        wanted = max(there + 1, math.ceil(depth * there / up) if spec.proportional else 0)
    elif depth < down:
        wanted = there - 1
    waited = now - state.since
    if wanted == count or waited < spec.autoscaling_window:
        left = "" if wanted == count else f"; {seconds(spec.autoscaling_window - waited)} of the window are left"
        return state, PolicyResult(count, True, told + left)
    changed = WallarooState(wanted, seen.current, now)
    return changed, PolicyResult(wanted, wanted > 0, f"{told}; {count} -> {wanted}")


def _followed(state: WallarooState, seen: PolicyInput, now: float) -> WallarooState:
    """Start from the replicas that there are, where somebody else has changed them."""
    if state.target is None:
        return WallarooState(seen.replicas(0), seen.current, now)
    if seen.current is None or seen.current == state.current:
        return state
    before = state.current if state.current is not None else seen.current
    low, high = sorted((before, state.target))
    if low <= seen.current <= high:  # on its way to what was decided
        return replace(state, current=seen.current)
    return WallarooState(seen.current, seen.current, now)


def _by_cpu(spec: Wallaroo, state: WallarooState, seen: PolicyInput) -> tuple[WallarooState, PolicyResult]:
    """Keep the CPU utilization at the target, as an HPA does."""
    percent = spec.autoscale_cpu_utilization or 100.0
    count = seen.replicas(state.target)
    wanted = seen.load / percent
    ratio = seen.ratio(count) / percent
    answer = count if count and abs(ratio - 1) <= TOLERANCE + 1e-9 else math.ceil(wanted - 1e-9)
    told = f"mean CPU utilization {seen.value:.4g} %, autoscale_cpu_utilization {percent:g} %"
    return replace(state, target=answer), PolicyResult(answer, answer > 0, told)
