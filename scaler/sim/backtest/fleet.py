"""Requests on a simulated fleet, which an object scales: with fewer replicas its queues are longer.

within one second: scrape, tick, poll, sync     a tick sees the newest scrape, as the service does
"""

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from scaler.cluster.keda import Refusal, ScalerAnswer
from scaler.config.metrics import REDUCTIONS
from scaler.model.errors import ConfigError
from scaler.model.measurement import Failure, Measurement, PromqlQuery, Query, Reading, SignalQuery
from scaler.model.objects import ScaledResource
from scaler.sim.backtest import promql
from scaler.sim.backtest.record import CountsByTick, Record
from scaler.sim.backtest.replay import Run, Timing, scaled_of, warmup_of
from scaler.sim.backtest.scalers import Sight, answers_of, of_target, pushing, scalers_of
from scaler.sim.backtest.subject import FormulaTrigger, QueryTrigger, Subject
from scaler.sim.fleet import FleetSpec, Snapshot
from scaler.sim.histogram import Buckets
from scaler.sim.play import NO_INCIDENTS, Incidents, Play, Timeline
from scaler.sim.replica import ReplicaFacts
from scaler.sim.score import Score, SloTarget, score
from scaler.sim.trace import Trace

_WINDOW = 120.0  # seconds over which a rate is taken where nobody says it


@dataclass(frozen=True, slots=True)
class FleetWorld:
    """The world that an object is played on."""

    trace: Trace
    fleet: FleetSpec
    slo: SloTarget
    start: float = 0.0  # seconds since the epoch at which the trace begins
    span: float = 0.0  # seconds; 0: until a while after the last request
    step: float = 5.0  # seconds between two points of the run
    scrape: float = 15.0  # seconds between two scrapes
    replicas: int = 0  # that are ready at the start
    held: CountsByTick = ()  # replicas that there were at each point; held to during the warm-up
    seed: int = 0  # of the cold starts
    incidents: Incidents = NO_INCIDENTS

    @property
    def end(self) -> float:
        """Seconds after the start."""
        return self.span or ((self.trace[-1].at if self.trace else 0.0) + 600.0)


def _kv_cache_usage(seen: Snapshot) -> float | None:
    """Return the mean over the replicas that are ready."""
    ready = [replica.kv_usage for replica in seen.replicas if replica.phase == "ready"]
    return sum(ready) / len(ready) if ready else None


_GAUGES: Mapping[str, Callable[[Snapshot], float]] = {
    "queued": lambda seen: seen.queued,
    "waiting": lambda seen: seen.waiting,
    "running": lambda seen: seen.running,
    "in_flight": lambda seen: seen.queued + seen.waiting + seen.running,
}
_COUNTERS: Mapping[str, Callable[[Snapshot], float]] = {
    "requests_per_second": lambda seen: seen.finished,
    "prompt_tokens_per_second": lambda seen: seen.prompt_tokens,
    "generation_tokens_per_second": lambda seen: seen.generation_tokens,
    "arrivals_per_second": lambda seen: seen.arrived,
}
_LATENCIES: Mapping[str, Callable[[ReplicaFacts], Buckets]] = {
    "time_to_first_token": lambda replica: replica.ttft,
    "inter_token_latency": lambda replica: replica.itl,
    "time_per_output_token": lambda replica: replica.tpot,
}
_ALL = frozenset({*_GAUGES, *_COUNTERS, *_LATENCIES, "kv_cache_usage"})
_AT_GATEWAY = frozenset({"queued", "in_flight", "arrivals_per_second"})  # also while there is no replica


def check(subject: Subject) -> None:
    """Refuse an object that asks for what a simulated fleet does not have.

    Raises:
        ConfigError: naming the signal or the query.
    """
    for trigger in subject.triggers:
        if isinstance(trigger, QueryTrigger):
            promql.check(trigger.query.text)
        elif isinstance(trigger, FormulaTrigger):
            for item in trigger.spec.inputs:
                if isinstance(item.query, PromqlQuery):
                    promql.check(item.query.text)
                elif isinstance(item.query, SignalQuery) and not _known(item.query) and not item.optional:
                    known = ", ".join(sorted(_ALL))
                    problem = f"reads {item.query.signal}, which a simulated fleet does not have"
                    raise ConfigError(trigger.spec.where, f"metrics.{item.name}", problem, known)


def _known(query: SignalQuery) -> bool:
    return query.signal in _ALL or of_target(query)


def played(subject: Subject, world: FleetWorld, timing: Timing) -> Timeline:
    """Play an object on a fleet, and tell what happened."""
    return _play(subject, world, timing).play.timeline()


def simulate(subject: Subject, world: FleetWorld, timing: Timing) -> tuple[Run, Score]:
    """Play an object on a fleet, and say how it served."""
    player = _play(subject, world, timing)
    timeline = player.play.timeline()
    events = tuple(replace(change.event, at=world.start + change.event.at) for change in timeline.changes)
    points, looks = tuple(player.points), tuple(player.looks)
    run = Run(world.start, world.step, points, events, player.warmup, world.fleet.startup, looks)
    return run, score(timeline, world.fleet, world.slo, player.warmup)


def recorded(subject: Subject, world: FleetWorld, timing: Timing, queries: Collection[Query]) -> Record:
    """Play an object on a fleet, and keep what was measured at each of its ticks, as a real past would be kept."""
    world = replace(world, step=subject.interval)
    player = _play(subject, world, timing, queries)
    return Record(
        namespace=subject.namespace,
        name=subject.name,
        start=world.start,
        step=world.step,
        ticks=len(player.points),
        manifest={},
        replicas=player.points,
        ready=player.ready,
        series=player.kept,
    )


def _play(subject: Subject, world: FleetWorld, timing: Timing, queries: Collection[Query] = ()) -> "_Player":
    """Let everything happen, in the order of time."""
    warmup = timing.warmup
    if warmup is None:  # without a past to hold it to, nothing was there before
        warmup = min(warmup_of(subject), world.end / 4) if world.held else 0.0
    player = _Player(subject, world, warmup, queries)
    acts: Mapping[str, tuple[Iterator[float], Callable[[], None]]] = {  # in the order within one moment
        "point": (itertools.count(0.0, world.step), player.point),
        "scrape": (itertools.count(0.0, world.scrape), player.scrape),
        "tick": (itertools.count(0.0, subject.interval), player.tick),
        "poll": (timing.polling(subject.scaled.polling_interval), player.poll),
        "sync": (timing.syncs(), player.sync),
    }
    due = {name: next(times) for name, (times, _) in acts.items()}
    while (at := min(due.values())) < world.end:
        player.play.advance(at)
        for name, (times, act) in acts.items():
            if due[name] <= at:
                due[name] = next(times)
                act()
    player.play.advance(world.end)
    return player


class _Player:
    """An object on a fleet while it is played."""

    def __init__(self, subject: Subject, world: FleetWorld, warmup: float, queries: Collection[Query]) -> None:
        self.play = Play(
            world.fleet, subject.scaled, world.trace, world.incidents, seed=world.seed, ready=world.replicas
        )
        self.points: list[int] = []
        self.ready: list[int] = []
        self.kept: dict[Query, list[Measurement]] = {query: [] for query in queries}
        self.looks: list[float] = []
        self.warmup = warmup
        self._subject = subject
        self._world = world
        self._scalers = scalers_of(subject)
        self._pushing: frozenset[int] = frozenset()
        self._history: list[Snapshot] = []
        self._pods: dict[int, tuple[float, float | None]] = {}  # by serial: when it was ordered, and seen ready
        self._window = max([_WINDOW, *(_window_of(query) for query in (*subject.queries, *queries))])

    @property
    def _now(self) -> float:
        return self._world.start + self.play.now

    def point(self) -> None:
        """Keep the replicas; during the warm-up there are those that there were."""
        place = len(self.points)
        was = self._world.held[place] if place < len(self._world.held) else None
        if was is not None and self.play.now <= self.warmup:
            self.play.fleet.scale(was)
        self.points.append(self.play.fleet.desired)
        self.ready.append(self.play.fleet.ready)

    def scrape(self) -> None:
        """Keep what a scrape sees, as long as any query looks back; while the metrics are away it sees nothing."""
        seen = self.play.record()
        if self.play.dark:
            return
        self._history.append(seen)
        while len(self._history) > 2 and self._history[1].at <= seen.at - self._window:
            del self._history[0]

    def tick(self) -> None:
        """Let the triggers see the newest scrape; one that pushes says at once that it has become active."""
        for query, kept in self.kept.items():
            kept.append(self._measured(query))
        sight = Sight(self._now, self._measured, self._scaled())
        for scaler in self._scalers:
            scaler.observe(sight)
        awake = pushing(self._subject, self._scalers, self._now)
        if awake - self._pushing or (awake and not self.play.fleet.desired):
            self.play.push()
        self._pushing = awake

    def poll(self) -> None:
        """Let KEDA poll, where there is a KEDA."""
        if self._subject.has_keda:
            self.play.poll(self._said() if self.play.poll_asks() else None)

    def sync(self) -> None:
        """Let the HPA sync."""
        self.looks.append(self.play.now)
        self.play.sync(self._said() if self.play.sync_reads() else None)

    def _said(self) -> list[ScalerAnswer | Refusal]:
        return answers_of(self._scalers, self._now, self._measured)

    def _scaled(self) -> ScaledResource:
        """Return the replicas as Kubernetes tells of them, which it does at once."""
        seen = self.play.fleet.snapshot()
        there = [replica for replica in seen.replicas if replica.phase != "draining"]
        for replica in there:
            ordered, up = self._pods.get(replica.serial, (self._world.start + replica.ordered, None))
            ready = self._now if up is None and replica.phase == "ready" else up
            self._pods[replica.serial] = ordered, ready
        pods = [self._pods[replica.serial] for replica in there]
        ready_first = sorted((ordered, math.inf if up is None else up) for ordered, up in pods)
        return scaled_of(self._subject, ready_first, sum(up is not None for _, up in pods), self._now)

    def _measured(self, query: Query) -> Measurement:
        """Return what Prometheus would answer now, by the scrapes so far."""
        if self.play.dark and not of_target(query):
            return Failure("the metrics are away", self._now)
        if isinstance(query, PromqlQuery):
            return Reading(promql.value(query.text, self._history), self._now)
        if not isinstance(query, SignalQuery) or of_target(query):
            return Reading(None, self._now)
        if not _known(query):
            return Failure("a simulated fleet does not have it", self._now)
        return Reading(_signal(query, self._history), self._now)


def _window_of(query: Query) -> float:
    """Return the seconds for which a query looks back."""
    if isinstance(query, SignalQuery):
        return query.window or 0.0
    return promql.longest_window(query.text) if isinstance(query, PromqlQuery) else 0.0


def _signal(query: SignalQuery, history: Sequence[Snapshot]) -> float | None:
    """Return a signal of the catalogue, of the fleet; None where no pod says it."""
    if not history:
        return None
    newest = history[-1]
    if query.signal not in _AT_GATEWAY and not newest.ready:
        return None
    if query.signal == "kv_cache_usage":
        return _kv_cache_usage(newest)
    since = newest.at - (query.window or _WINDOW)
    window = [seen for seen in history if seen.at > since]
    if query.signal in _COUNTERS:
        count = _COUNTERS[query.signal]
        span = window[-1].at - window[0].at
        return (count(window[-1]) - count(window[0])) / span if span else None
    if query.signal in _LATENCIES:
        observed = _observed(_LATENCIES[query.signal], window)
        return (
            _share(observed, query.at_most)
            if query.at_most is not None
            else _quantile(observed, query.quantile or 0.95)
        )
    gauge = _GAUGES[query.signal]
    if query.reduce:
        return REDUCTIONS[query.reduce]([gauge(seen) for seen in window])
    return gauge(newest)


def _observed(read: Callable[[ReplicaFacts], Buckets], window: Sequence[Snapshot]) -> list[tuple[float, float]]:
    """Count observations of a window by bucket: pairs of a bound and a count, the last of any length."""
    earlier = window[0].replicas if len(window) > 1 else ()
    first = {replica.serial: read(replica) for replica in earlier}
    counts: dict[float, float] = {}
    for replica in window[-1].replicas:
        now, before = read(replica), first.get(replica.serial)
        grown = [*now.cumulative, now.count]
        if before is not None:
            grown = [later - earlier for later, earlier in zip(grown, [*before.cumulative, before.count], strict=True)]
        for bound, count in zip((*now.bounds, math.inf), grown, strict=True):
            counts[bound] = counts.get(bound, 0.0) + count
    return sorted(counts.items())


def _share(observed: Sequence[tuple[float, float]], at_most: float) -> float | None:
    """Return the share of observations in the buckets that end at `at_most` or below; None of none."""
    total = observed[-1][1] if observed else 0.0
    below = max((count for bound, count in observed if bound <= at_most), default=0.0)
    return below / total if total else None


def _quantile(observed: Sequence[tuple[float, float]], quantile: float) -> float | None:
    """Return a quantile, in a line within its bucket, as Prometheus' histogram_quantile has it; None of nothing."""
    total = observed[-1][1] if observed else 0.0
    rank, low, below = quantile * total, 0.0, 0.0
    for bound, count in observed:
        if total and count >= rank:
            return low if math.isinf(bound) else low + (bound - low) * (rank - below) / max(count - below, 1e-12)
        low, below = bound, count
    return None
