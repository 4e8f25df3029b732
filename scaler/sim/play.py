"""A world that is being played: a fleet under load, with KEDA and the HPA around it, one step at a time.

Whoever drives it advances the time, asks a scaler, and hands in what it said: loop.py in virtual time, the demo in real
time with the real service. Time is an argument. What happened is kept as a timeline, so both are scored alike.

    play.advance(30.0)                           requests come and go, replicas start and die
    play.poll(Answer(3, active=True))            KEDA polls: 0 -> 1
    play.sync(Answer(3, active=True))            the HPA syncs: 1 -> 3
"""

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass

from scaler.cluster import hpa, keda
from scaler.cluster.keda import Event, KedaState, KedaTrigger, Refusal, ScaledObject, ScalerAnswer, ScalerReplies
from scaler.sim import trace as traces
from scaler.sim.fleet import Fleet, FleetSpec, Snapshot
from scaler.sim.replica import FinishedRequest
from scaler.sim.trace import Trace


@dataclass(frozen=True, slots=True)
class Incidents:
    """The incidents and their times, in seconds of the world."""

    kills: tuple[float, ...] = ()  # a replica dies
    outages: tuple[tuple[float, float], ...] = ()  # no metrics from one time to the other
    bursts: tuple[float, ...] = ()  # more load comes


NO_INCIDENTS = Incidents()


@dataclass(frozen=True, slots=True)
class FleetMoment:
    """The fleet at one moment, and what the scaler last asked for."""

    at: float
    wanted: int | None  # replicas that the last answer means; None: it was a refusal, or nothing was asked yet
    desired: int
    ready: int
    starting: int
    draining: int
    queued: int  # at the gateway
    waiting: int  # inside replicas
    running: int
    replica_seconds: float  # since the start


@dataclass(frozen=True, slots=True)
class ScaleEvent:
    """A scale event, with the requests that waited anywhere just then."""

    event: Event
    waiting: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """The course of a world over time."""

    trace: Trace
    points: tuple[FleetMoment, ...]
    changes: tuple[ScaleEvent, ...]
    answers: tuple[tuple[float, int], ...]  # (time, replicas it means) of every answer that was no refusal
    done: tuple[FinishedRequest, ...]  # requests that left; the others had not finished at the end
    end: float
    replica_seconds: float


class Play:
    """The world. Time moves by `advance` alone.

    Args:
        fleet: the replicas and what they run on.
        scaled: what KEDA was told.
        trace: the requests.
        incidents: what goes wrong.
        seed: of the fleet.
        ready: replicas at the start.
    """

    def __init__(
        self,
        fleet: FleetSpec,
        scaled: ScaledObject,
        trace: Trace,
        incidents: Incidents = NO_INCIDENTS,
        *,
        seed: int = 0,
        ready: int = 0,
    ) -> None:
        self.fleet = Fleet(fleet, seed, ready=ready)
        self.scaled = scaled
        self.trace: Trace = trace
        self.played = 0  # requests that have come
        self.wanted: int | None = None
        self.changes: list[ScaleEvent] = []
        self.notes: list[tuple[float, str]] = []  # what went wrong
        self.done: list[FinishedRequest] = []
        self.dark_until = 0.0
        self._killed: list[float] = []
        self._darkened: list[tuple[float, float]] = []
        self._state = KedaState(created=0.0)
        self._answers: list[tuple[float, int]] = []
        self._points: list[FleetMoment] = []
        self._kills = deque(sorted(incidents.kills))
        self._bursts = deque(sorted(incidents.bursts))
        self._outages = deque(sorted(incidents.outages))

    @property
    def now(self) -> float:
        """Seconds of the world since the start."""
        return self.fleet.now

    @property
    def dark(self) -> bool:
        """Tell whether the metrics are away."""
        return self.now < self.dark_until

    # ---- time ----

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

    def _play(self, to: float) -> None:
        until = bisect_right(self.trace, to, lo=self.played, key=lambda arrival: arrival.at)
        self.fleet.play(self.trace[self.played : until])
        self.played = until
        self.fleet.advance(max(to, self.now))

    # ---- KEDA and the HPA ----

    def poll_asks(self) -> bool:
        """Tell whether KEDA asks at all: with a minimum it takes what the HPA was told."""
        return keda.polls_ask(self.scaled, self._state)

    def poll(self, said: ScalerReplies | None) -> None:
        """Note that KEDA has polled; None where it did not ask."""
        if said is not None:
            self._note(said)
        replicas, ready = self.fleet.desired, self.fleet.ready
        self._carry_out(keda.poll(self.scaled, self._state, said, replicas, self.now, ready=ready))

    def push(self) -> None:
        """Note that the scaler has pushed that it is active."""
        self._carry_out(keda.push(self.scaled, self._state, self.fleet.desired, self.now))

    def sync_reads(self) -> bool:
        """Tell whether the HPA asks at all: it does not at 0 replicas."""
        return keda.reads(self.scaled, self.fleet.desired)

    def sync(self, said: ScalerReplies | None) -> None:
        """Note that the HPA has synced; None where it did not ask."""
        if said is not None:
            self._note(said)
        replicas, ready = self.fleet.desired, self.fleet.ready
        self._carry_out(keda.sync(self.scaled, self._state, said, replicas, self.now, ready=ready))

    def _note(self, said: ScalerReplies) -> None:
        """Keep what was answered; of several triggers the largest counts, if none refuses."""
        answers = (said,) if isinstance(said, ScalerAnswer | Refusal) else said
        asked = zip(self.scaled.each, answers, strict=True)
        wanted = [self._replicas(one, keda.wire(told.value)) for one, told in asked if isinstance(told, ScalerAnswer)]
        self.wanted = max(wanted) if len(wanted) == len(answers) else None
        if self.wanted is not None:
            self._answers.append((self.now, self.wanted))

    def _replicas(self, trigger: KedaTrigger, value: float) -> int:
        """Return the replicas that a value means, before tolerance and behavior."""
        if trigger.metric_type == "AverageValue":
            return hpa.replicas_for_average_value(value, trigger.target, 0)[0]
        return hpa.replicas_for_value(value, trigger.target, self.fleet.desired, self.fleet.ready, tolerance=0.0)[0]

    def _carry_out(self, step: tuple[KedaState, int, Event | None]) -> None:
        self._state, replicas, event = step
        if event is None:
            return
        seen = self.fleet.snapshot()
        self.changes.append(ScaleEvent(event, seen.queued + seen.waiting))
        self.fleet.scale(replicas)

    # ---- what goes wrong ----

    def add_load(self, now: float) -> None:
        """Add requests, from now on for a while."""
        self.notes.append((now, "more load"))
        ahead = self.trace[self.played :]
        more = burst(now, seed=len(self.notes))
        self.trace = (*self.trace[: self.played], *traces.merge(ahead, more))

    def kill(self) -> None:
        """Kill the oldest ready replica."""
        victim = next((one for one in self.fleet.snapshot().replicas if one.phase == "ready"), None)
        if victim is not None:
            self.fleet.kill(victim.serial)
            self._killed.append(self.now)
            self.notes.append((self.now, f"replica {victim.serial} dies"))

    def take_metrics(self, until: float) -> None:
        """Let no page answer until then."""
        self.dark_until = until
        self._darkened.append((self.now, until))
        self.notes.append((self.now, "the metrics are away"))

    def give_metrics(self) -> None:
        """Let the pages answer again."""
        if self.dark:
            self._darkened[-1] = (self._darkened[-1][0], self.now)
        self.dark_until = self.now

    @property
    def happened(self) -> Incidents:
        """The incidents so far, but for the load that came, which is in the trace."""
        return Incidents(kills=tuple(self._killed), outages=tuple(self._darkened))

    # ---- what is kept ----

    def record(self) -> Snapshot:
        """Keep a point of the timeline, and return the fleet as it is."""
        seen = self.fleet.snapshot()
        point = FleetMoment(
            at=seen.at,
            wanted=self.wanted,
            desired=seen.desired,
            ready=seen.ready,
            starting=seen.starting,
            draining=seen.draining,
            queued=seen.queued,
            waiting=seen.waiting,
            running=seen.running,
            replica_seconds=seen.replica_seconds,
        )
        self._points.append(point)
        return seen

    def timeline(self) -> Timeline:
        """Return what happened so far, for the score."""
        self.done += self.fleet.collect()
        return Timeline(
            trace=self.trace[: self.played],
            points=tuple(self._points),
            changes=tuple(self.changes),
            answers=tuple(self._answers),
            done=tuple(self.done),
            end=self.now,
            replica_seconds=self.fleet.snapshot().replica_seconds,
        )


def burst(now: float, seed: int) -> Trace:
    """Make more load, from now on for a while: twenty requests a second."""
    return traces.ramp(now, now + 60.0, first=20.0, last=20.0, prompt=964, output=259, seed=seed)
