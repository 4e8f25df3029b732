"""A world that is played while somebody watches: what they see of it, and whether it went all the way."""

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass

from scaler.cli.demo.scenario import Scenario
from scaler.sim.play import Play, Timeline
from scaler.sim.replica import FinishedRequest

RECENT = 30.0  # seconds over which load and latency are shown


@dataclass(frozen=True, slots=True)
class Observation:
    """All that a person may want to see of one moment."""

    at: float
    load: float  # requests per second that arrive
    queued: int  # at the gateway
    waiting: int  # in the engines
    running: int
    ready: int
    starting: int
    draining: int
    desired: int  # replicas that Kubernetes was told to have
    wanted: int | None  # replicas that the scaler last asked for
    ttft: float | None  # seconds to the first token, 95th percentile of the requests that ended lately
    finished: int
    met: float | None  # share of the finished ones that met the SLO
    lost: int
    cost: float  # USD so far
    metrics_down: bool  # whether the metrics are away


class LiveWorld(Play):
    """The world of a scenario, and everything that was seen of it."""

    def __init__(self, scenario: Scenario, seed: int = 0) -> None:
        super().__init__(scenario.fleet, scenario.scaled, scenario.trace, scenario.incidents, seed=seed)
        self.scenario = scenario
        self.views: list[Observation] = []
        self._recent: deque[FinishedRequest] = deque()
        self._met = 0

    @property
    def over(self) -> bool:
        """Tell whether the load is over, and the fleet is back at 0."""
        seen = self.fleet.snapshot()
        return self.played == len(self.trace) and not seen.replicas and not seen.queued

    @property
    def scaled_up_and_down(self) -> bool:
        """Tell whether the fleet was really scaled from 0 to several replicas, and back to 0."""
        sizes = [change.event.after for change in self.changes]
        return bool(sizes) and max(sizes) > 1 and max(view.ready for view in self.views) > 1 and sizes[-1] == 0

    def observe(self) -> Observation:
        """Look at what can be seen now, and keep it for the report."""
        seen = self.record()
        slo = self.scenario.slo
        for done in self.fleet.collect():
            self.done.append(done)
            self._met += slo.met(done)
            self._recent.append(done)
        while self._recent and self._recent[0].end < seen.at - RECENT:
            self._recent.popleft()
        ttfts = sorted(done.ttft for done in self._recent if not done.lost)
        first = bisect_right(self.trace, seen.at - RECENT, key=lambda arrival: arrival.at)
        view = Observation(
            at=seen.at,
            load=(self.played - first) / RECENT,
            queued=seen.queued,
            waiting=seen.waiting,
            running=seen.running,
            ready=seen.ready,
            starting=seen.starting,
            draining=seen.draining,
            desired=seen.desired,
            wanted=self.wanted,
            ttft=ttfts[int(0.95 * (len(ttfts) - 1))] if ttfts else None,
            finished=seen.finished,
            met=self._met / len(self.done) if self.done else None,
            lost=seen.lost,
            cost=seen.replica_seconds * self.scenario.fleet.hardware.price_per_second,
            metrics_down=self.dark,
        )
        self.views.append(view)
        return view

    def timeline(self) -> Timeline:
        """Return what happened, for the score."""
        self.observe()
        return super().timeline()
