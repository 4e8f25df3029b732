"""Load that stands still while its engine counts nothing either: doubted out loud, never lowered by itself. Pure.

Gauges may keep what they said last when all requests are cancelled at once, or when an engine hangs. Then what is read
is whole, fresh and wrong. Work shows itself in tokens: what runs makes some at every step. So a load that has not
changed, of an engine that has counted none for longer than any request goes without, is in doubt. Such an answer is not
certain: it may rise, and does not fall. Whether the load is there only somebody who looks can say.

    minute 0 to 5   running 106, waiting 15, no token: certain
    minute 5        the same: 16 replicas, in doubt
    minute 9        one token: certain again
"""

from collections.abc import Mapping
from dataclasses import dataclass

from scaler.config.signals import offered
from scaler.config.workload import WorkloadSpec
from scaler.decision.decision import Fact
from scaler.model.fields import seconds
from scaler.model.measurement import Measured, Reading, SignalAsk

SUSPICIOUS = 60.0  # seconds without a change after which the engine's counters are asked for too
TOO_LONG = 300.0  # seconds without a token, of an engine that counts them at every step
MUCH_TOO_LONG = 1800.0  # the same, of one that counts them when a request ends


@dataclass(frozen=True, slots=True)
class Standing:
    """A load that stands still."""

    load: tuple[float, ...]  # what waits and runs
    since: float  # it has not changed
    silent_since: float | None = None  # since when the counters were seen to stand still; None: they were not

    def suspicious(self, now: float) -> bool:
        """Whether its engine's counters have to be looked at."""
        return now - self.since >= SUSPICIOUS


def follow(
    before: Standing | None, guards: tuple[Fact, ...], counted: Mapping[str, Measured], now: float
) -> Standing | None:
    """Go on from the last tick.

    Args:
        before: what the last tick left.
        guards: what waits and runs.
        counted: what was read of the engine's counters, by name; empty while nobody has asked.
        now: the tick's time.

    Returns:
        None where nothing runs, or something is not known.
    """
    load = tuple(fact.newest for fact in guards if fact.newest is not None)
    if len(load) < len(guards) or not any(load) or any(fact.problem for fact in guards):
        return None
    if before is None or before.load != load:
        return Standing(load, now)
    if any(isinstance(one, Reading) and one.value for one in counted.values()):
        return Standing(load, now)
    known = [one for one in counted.values() if isinstance(one, Reading) and not one.partial]
    silent = len(known) == len(counted) and any(one.value == 0 for one in known)
    if not silent:
        return Standing(load, before.since)
    return Standing(load, before.since, now if before.silent_since is None else before.silent_since)


def doubt(spec: WorkloadSpec, standing: Standing | None, guards: tuple[Fact, ...], now: float) -> str:
    """Say why the load is in doubt; empty where it is not."""
    if standing is None or standing.silent_since is None:
        return ""
    seen = now - standing.silent_since
    if now - standing.since < patience(spec) or seen < patience(spec) - SUSPICIOUS - 2 * spec.interval:
        return ""
    what = ", ".join(f"{fact.name} {fact.newest:g}" for fact in guards)
    still = f"{what} have not changed for {seconds(now - standing.since)}, and no token was counted in that time"
    return f"in doubt, and so not lowered: {still}; an abort may have left these numbers behind, or the engine hangs"


def patience(spec: WorkloadSpec) -> float:
    """Seconds for which any request of the workload's engine may go without a counted token."""
    asks = [item.ask for item in spec.progress if isinstance(item.ask, SignalAsk)]
    signals = [offered(ask.engine, ask.signal) for ask in asks]
    at_every_step = any(signal is not None and signal.per_step for signal in signals)
    return TOO_LONG if at_every_step else MUCH_TOO_LONG
