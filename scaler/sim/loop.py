"""A policy, KEDA, the HPA and a fleet over a trace, in virtual time: what would have happened.

Within one second the order is: scrape, poll, sync. A sample is `scrape_lead` seconds old when KEDA asks, as it is with
a Prometheus that scrapes every 15 s at its own phase.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from scaler.cluster.hpa import SYNC_PERIOD
from scaler.cluster.keda import Refusal, ScaledObject, ScalerAnswer
from scaler.sim.fleet import FleetSpec, Snapshot
from scaler.sim.play import NO_INCIDENTS, Incidents, Play, Timeline
from scaler.sim.trace import Trace


class Autoscaler(Protocol):
    """A scaler that is asked: it sees every scrape, and answers as of the last one."""

    def observe(self, snapshot: Snapshot) -> None:
        """See the fleet as it is scraped; a scrape that fails is not seen."""
        ...

    def answer(self, now: float) -> ScalerAnswer | Refusal:
        """Answer GetMetricSpec, GetMetrics and IsActive at once."""
        ...


class Latest:
    """A policy without memory: a rule over the latest snapshot.

    Args:
        rule: what a snapshot means.
        stale: seconds after which a snapshot is gone. A scrape that fails ends Prometheus' series at once.
        gone: what is answered then; None: the call fails.
    """

    def __init__(
        self, rule: Callable[[Snapshot], ScalerAnswer], *, stale: float | None = None, gone: ScalerAnswer | None = None
    ) -> None:
        self._rule = rule
        self._stale = stale
        self._gone = gone
        self._seen: Snapshot | None = None

    def observe(self, snapshot: Snapshot) -> None:
        """Keep it."""
        self._seen = snapshot

    def answer(self, now: float) -> ScalerAnswer | Refusal:
        """Return the rule's answer; a refusal before the first scrape."""
        if self._seen is None:
            return Refusal("GetMetrics", f"nothing was measured by {now:g} s")
        if self._stale is not None and now - self._seen.at > self._stale:
            return self._gone or Refusal("GetMetrics", f"nothing was measured since {self._seen.at:g} s")
        return self._rule(self._seen)


def queue_length(snapshot: Snapshot) -> ScalerAnswer:
    """Answer as KEDA's prometheus trigger on sum(vllm:num_requests_waiting) does; its threshold is the target.

    At 0 replicas the series is absent, which that trigger takes for 0, so it never wakes: give it a minimum of 1.
    """
    return ScalerAnswer(snapshot.waiting, active=snapshot.waiting > 0)


def fixed(replicas: int) -> Callable[[Snapshot], ScalerAnswer]:
    """Answer the same number always, for a fleet that is not scaled. The target is 1."""
    return lambda _: ScalerAnswer(replicas, active=True)


@dataclass(frozen=True, slots=True)
class World:
    """Everything but the trace and the policy."""

    fleet: FleetSpec
    scaled: ScaledObject
    ready: int = 0  # replicas at the start
    seed: int = 0
    scrape_interval: float = 15.0
    scrape_lead: float = 5.0  # age of a sample when KEDA and the HPA ask
    drain: float = 600.0  # the run ends so long after the last arrival
    incidents: Incidents = NO_INCIDENTS


def run(world: World, trace: Trace, policy: Autoscaler) -> Timeline:
    """Play the trace to the fleet while KEDA and the HPA ask the policy."""
    play = Play(world.fleet, world.scaled, trace, world.incidents, seed=world.seed, ready=world.ready)

    def scrape() -> None:
        seen = play.record()
        if not play.dark:
            policy.observe(seen)

    def poll() -> None:
        play.poll(policy.answer(play.now))

    def sync() -> None:
        play.sync(policy.answer(play.now) if play.sync_reads() else None)

    actions = {  # in the order within one second
        "scrape": (world.scrape_interval, scrape),
        "poll": (world.scaled.polling_interval, poll),
        "sync": (SYNC_PERIOD, sync),
    }
    due = {"scrape": -world.scrape_lead % world.scrape_interval, "poll": 0.0, "sync": 0.0}
    end = (trace[-1].at if trace else 0.0) + world.drain
    while (at := min(due.values())) <= end:
        play.advance(at)
        for name, (interval, action) in actions.items():
            if due[name] <= at:
                due[name] += interval
                action()
    play.advance(end)
    return play.timeline()
