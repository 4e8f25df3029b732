"""A world that is played while somebody watches: the fleet, KEDA and the HPA, one step at a time.

It is loop.py's world with the answers from outside: whoever drives it advances the time, asks the scaler, and hands in
what it said. What happened is kept as the same timeline, so a live run is scored like any other. Time is an argument.
"""

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass

from scaler.cli.demo.scenario import Scenario, burst
from scaler.cluster import hpa, keda
from scaler.cluster.keda import Answer, Event, KedaState, Refusal
from scaler.sim import trace as traces
from scaler.sim.fleet import Fleet, Snapshot
from scaler.sim.loop import Change, Point, Timeline
from scaler.sim.replica import Done
from scaler.sim.trace import Trace

RECENT = 30.0  # seconds over which load and latency are shown


@dataclass(frozen=True, slots=True)
class View:
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
    dark: bool  # whether the metrics are away


class Live:
    """The world. Time moves by `advance` alone."""

    def __init__(self, scenario: Scenario, seed: int = 0) -> None:
        self.scenario = scenario
        self.fleet = Fleet(scenario.fleet, seed)
        self.trace: Trace = scenario.trace
        self.views: list[View] = []
        self.changes: list[Change] = []
        self.notes: list[tuple[float, str]] = []  # what went wrong
        self.dark_until = 0.0
        self._state = KedaState(created=0.0)
        self._played = 0
        self._answers: list[tuple[float, int]] = []
        self._wanted: int | None = None
        self._points: list[Point] = []
        self._done: list[Done] = []
        self._recent: deque[Done] = deque()
        self._met = 0
        self._kills = deque(sorted(scenario.incidents.kills))
        self._bursts = deque(sorted(scenario.incidents.bursts))
        self._outages = deque(sorted(scenario.incidents.outages))

    @property
    def now(self) -> float:
        """World seconds since the start."""
        return self.fleet.now

    @property
    def dark(self) -> bool:
        """Whether the metrics are away."""
        return self.now < self.dark_until

    @property
    def over(self) -> bool:
        """Whether the load is over, and the fleet is back at 0."""
        seen = self.fleet.snapshot()
        return self._played == len(self.trace) and not seen.replicas and not seen.queued

    @property
    def scaled_up_and_down(self) -> bool:
        """Whether the fleet was really scaled from 0 to several replicas, and back to 0."""
        sizes = [change.event.after for change in self.changes]
        return bool(sizes) and max(sizes) > 1 and max(view.ready for view in self.views) > 1 and sizes[-1] == 0

    def advance(self, to: float) -> None:
        """Let everything happen up to a time: requests, replicas, incidents."""
        while self._bursts and self._bursts[0] <= to:
            self.add_load(self._bursts.popleft())
        while self._kills and self._kills[0] <= to:
            self._play(self._kills.popleft())
            self.kill()
        while self._outages and self._outages[0][0] <= to:
            self._play(self._outages[0][0])
            self.take_metrics(self._outages.popleft()[1])
        self._play(to)

    def poll(self, answer: Answer | Refusal) -> None:
        """KEDA has polled."""
        self._note(answer)
        replicas, ready = self.fleet.desired, self.fleet.ready
        self._carry_out(keda.poll(self.scenario.scaled, self._state, answer, replicas, self.now, ready=ready))

    def push(self) -> None:
        """The scaler has pushed that it is active."""
        self._carry_out(keda.push(self.scenario.scaled, self._state, self.fleet.desired, self.now))

    def sync_reads(self) -> bool:
        """Whether the HPA asks at all: it does not at 0 replicas."""
        return keda.reads(self.scenario.scaled, self.fleet.desired)

    def sync(self, answer: Answer | Refusal | None) -> None:
        """The HPA has synced."""
        if answer is not None:
            self._note(answer)
        replicas, ready = self.fleet.desired, self.fleet.ready
        self._carry_out(keda.sync(self.scenario.scaled, self._state, answer, replicas, self.now, ready=ready))

    def add_load(self, now: float) -> None:
        """More requests come, from now on for a while."""
        self.notes.append((now, "more load"))
        ahead = self.trace[self._played :]
        self.trace = (*self.trace[: self._played], *traces.merge(ahead, burst(now, seed=len(self.notes))))

    def kill(self) -> None:
        """The oldest ready replica dies."""
        victim = next((one for one in self.fleet.snapshot().replicas if one.phase == "ready"), None)
        if victim is not None:
            self.fleet.kill(victim.serial)
            self.notes.append((self.now, f"replica {victim.serial} dies"))

    def take_metrics(self, until: float) -> None:
        """No page answers until then."""
        self.dark_until = until
        self.notes.append((self.now, "the metrics are away"))

    def give_metrics(self) -> None:
        """The pages answer again."""
        self.dark_until = self.now

    def look(self) -> View:
        """What can be seen now; kept for the report."""
        seen = self.fleet.snapshot()
        slo = self.scenario.slo
        for done in self.fleet.collect():
            self._done.append(done)
            self._met += slo.met(done)
            self._recent.append(done)
        while self._recent and self._recent[0].end < seen.at - RECENT:
            self._recent.popleft()
        ttfts = sorted(done.ttft for done in self._recent if not done.lost)
        first = bisect_right(self.trace, seen.at - RECENT, key=lambda arrival: arrival.at)
        view = View(
            at=seen.at,
            load=(self._played - first) / RECENT,
            queued=seen.queued,
            waiting=seen.waiting,
            running=seen.running,
            ready=seen.ready,
            starting=seen.starting,
            draining=seen.draining,
            desired=seen.desired,
            wanted=self._wanted,
            ttft=ttfts[int(0.95 * (len(ttfts) - 1))] if ttfts else None,
            finished=seen.finished,
            met=self._met / len(self._done) if self._done else None,
            lost=seen.lost,
            cost=seen.replica_seconds * self.scenario.fleet.hardware.price_per_second,
            dark=self.dark,
        )
        self.views.append(view)
        self._points.append(_point(seen, self._wanted))
        return view

    def timeline(self) -> Timeline:
        """What happened, for the score."""
        self.look()
        return Timeline(
            trace=self.trace[: self._played],
            points=tuple(self._points),
            changes=tuple(self.changes),
            answers=tuple(self._answers),
            done=tuple(self._done),
            end=self.now,
            replica_seconds=self.fleet.snapshot().replica_seconds,
        )

    def _play(self, to: float) -> None:
        until = bisect_right(self.trace, to, lo=self._played, key=lambda arrival: arrival.at)
        self.fleet.play(self.trace[self._played : until])
        self._played = until
        self.fleet.advance(max(to, self.now))

    def _note(self, answer: Answer | Refusal) -> None:
        self._wanted = None
        if isinstance(answer, Answer):
            self._wanted, _ = hpa.replicas_for_average_value(keda.wire(answer.value), self.scenario.scaled.target, 0)
            self._answers.append((self.now, self._wanted))

    def _carry_out(self, step: tuple[KedaState, int, Event | None]) -> None:
        self._state, replicas, event = step
        if event is not None:
            seen = self.fleet.snapshot()
            self.changes.append(Change(event, seen.queued + seen.waiting))
            self.fleet.scale(replicas)


def _point(seen: Snapshot, wanted: int | None) -> Point:
    return Point(
        at=seen.at,
        wanted=wanted,
        desired=seen.desired,
        ready=seen.ready,
        starting=seen.starting,
        draining=seen.draining,
        queued=seen.queued,
        waiting=seen.waiting,
        running=seen.running,
        replica_seconds=seen.replica_seconds,
    )
