"""A policy, KEDA, the HPA and a fleet over a trace, in virtual time: what would have happened.

Within one second the order is: scrape, poll, sync. A sample is `scrape_lead` seconds old when KEDA asks, as it is with
a Prometheus that scrapes every 15 s at its own phase.
"""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from scaler.cluster import hpa, keda
from scaler.cluster.hpa import SYNC_PERIOD
from scaler.cluster.keda import Answer, Event, KedaState, Refusal, ScaledObject
from scaler.sim.fleet import Fleet, FleetSpec, Snapshot
from scaler.sim.replica import Done
from scaler.sim.trace import Trace


class Policy(Protocol):
    """A scaler that is asked: it sees every scrape, and answers as of the last one."""

    def observe(self, snapshot: Snapshot) -> None:
        """See the fleet as it is scraped."""
        ...

    def answer(self, now: float) -> Answer | Refusal:
        """Answer GetMetricSpec, GetMetrics and IsActive at once."""
        ...


class Latest:
    """A policy without memory: a rule over the latest snapshot."""

    def __init__(self, rule: Callable[[Snapshot], Answer]) -> None:
        self._rule = rule
        self._seen: Snapshot | None = None

    def observe(self, snapshot: Snapshot) -> None:
        """Keep it."""
        self._seen = snapshot

    def answer(self, now: float) -> Answer | Refusal:
        """The rule's answer; a refusal before the first scrape."""
        if self._seen is None:
            return Refusal("GetMetrics", f"nothing was measured by {now:g} s")
        return self._rule(self._seen)


def queue_length(snapshot: Snapshot) -> Answer:
    """KEDA's plain prometheus trigger on sum(vllm:num_requests_waiting); its threshold is the ScaledObject's target.

    At 0 replicas the series is absent, which that trigger takes for 0, so it never wakes: give it a minimum of 1.
    """
    return Answer(snapshot.waiting, active=snapshot.waiting > 0)


def fixed(replicas: int) -> Callable[[Snapshot], Answer]:
    """Always the same number, for a fleet that is not scaled. The target is 1."""
    return lambda _: Answer(replicas, active=True)


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


@dataclass(frozen=True, slots=True)
class Point:
    """The fleet at one scrape, and what the policy last asked for."""

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
class Change:
    """A scale event, with the requests that waited anywhere just then."""

    event: Event
    waiting: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """What happened."""

    trace: Trace
    points: tuple[Point, ...]
    changes: tuple[Change, ...]
    answers: tuple[tuple[float, int], ...]  # (time, replicas it means) of every answer that was no refusal
    done: tuple[Done, ...]  # requests that left; the others had not finished at the end
    end: float
    replica_seconds: float


def run(world: World, trace: Trace, policy: Policy) -> Timeline:
    """Play the trace to the fleet while KEDA and the HPA ask the policy."""
    loop = _Loop(world, policy)
    end = (trace[-1].at if trace else 0.0) + world.drain
    played = 0
    while (at := min(loop.due.values())) <= end:
        until = bisect_right(trace, at, lo=played, key=lambda arrival: arrival.at)
        loop.fleet.play(trace[played:until])
        played = until
        loop.fleet.advance(at)
        loop.turn(at)
    loop.fleet.play(trace[played:])
    loop.fleet.advance(end)
    return Timeline(
        trace=trace,
        points=tuple(loop.points),
        changes=tuple(loop.changes),
        answers=tuple(loop.answers),
        done=loop.fleet.collect(),
        end=end,
        replica_seconds=loop.fleet.snapshot().replica_seconds,
    )


class _Loop:
    """The state of a run."""

    def __init__(self, world: World, policy: Policy) -> None:
        self.fleet = Fleet(world.fleet, world.seed, ready=world.ready)
        self.points: list[Point] = []
        self.changes: list[Change] = []
        self.answers: list[tuple[float, int]] = []
        self._world = world
        self._policy = policy
        self._state = KedaState(created=0.0)
        self._wanted: int | None = None
        self._actions: dict[str, tuple[float, Callable[[float], None]]] = {  # in the order within one second
            "scrape": (world.scrape_interval, self._scrape),
            "poll": (world.scaled.polling_interval, self._poll),
            "sync": (SYNC_PERIOD, self._sync),
        }
        first_scrape = -world.scrape_lead % world.scrape_interval
        self.due = {"scrape": first_scrape, "poll": 0.0, "sync": 0.0}

    def turn(self, at: float) -> None:
        """Do everything that is due now."""
        for name, (interval, action) in self._actions.items():
            if self.due[name] <= at:
                self.due[name] += interval
                action(at)

    def _scrape(self, now: float) -> None:
        seen = self.fleet.snapshot()
        self._policy.observe(seen)
        self.points.append(
            Point(
                at=now,
                wanted=self._wanted,
                desired=seen.desired,
                ready=seen.ready,
                starting=seen.starting,
                draining=seen.draining,
                queued=seen.queued,
                waiting=seen.waiting,
                running=seen.running,
                replica_seconds=seen.replica_seconds,
            )
        )

    def _poll(self, now: float) -> None:
        replicas, ready = self.fleet.desired, self.fleet.ready
        self._carry_out(keda.poll(self._world.scaled, self._state, self._ask(now), replicas, now, ready=ready))

    def _sync(self, now: float) -> None:
        scaled, replicas, ready = self._world.scaled, self.fleet.desired, self.fleet.ready
        answer = self._ask(now) if keda.reads(scaled, replicas) else None
        self._carry_out(keda.sync(scaled, self._state, answer, replicas, now, ready=ready))

    def _ask(self, now: float) -> Answer | Refusal:
        answer = self._policy.answer(now)
        self._wanted = None
        if isinstance(answer, Answer):
            self._wanted = self._replicas(keda.wire(answer.value))
            self.answers.append((now, self._wanted))
        return answer

    def _replicas(self, value: float) -> int:
        """What a value means, before tolerance and behavior."""
        scaled = self._world.scaled
        if scaled.metric_type == "AverageValue":
            return hpa.replicas_for_average_value(value, scaled.target, 0)[0]
        return hpa.replicas_for_value(value, scaled.target, self.fleet.desired, self.fleet.ready, tolerance=0.0)[0]

    def _carry_out(self, step: tuple[KedaState, int, Event | None]) -> None:
        self._state, replicas, event = step
        if event is None:
            return
        seen = self.fleet.snapshot()
        self.changes.append(Change(event, seen.queued + seen.waiting))
        self.fleet.scale(replicas)
