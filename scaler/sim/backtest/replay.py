"""The same load again, whatever the replicas: what was measured stays as it was measured.

In the order of time: a tick is seen, KEDA polls, the HPA syncs. Until the end of the warm-up the replicas are held to
those that there were, since what KEDA, the HPA and a formula remembered at the start of a record is not in it.

    record of 3, 3, 5, 5 replicas; warm-up of one tick     3 (held), then what the replay itself makes: 3, 5, 5
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from scaler.cluster import keda
from scaler.cluster.hpa import SYNC_PERIOD
from scaler.cluster.keda import Event, KedaState, Refusal, ScalerAnswer
from scaler.model.measurement import Failure, Measurement, Query, Reading
from scaler.model.objects import Pod, ScaledResource
from scaler.sim.backtest.looks import Scrapes
from scaler.sim.backtest.record import Record
from scaler.sim.backtest.scalers import Scaler, Sight, answers_of, of_target, pushing, scalers_of
from scaler.sim.backtest.subject import FormulaTrigger, Subject

SHORTEST_WARMUP = 300.0  # seconds: the window of an HPA that looks back as far as it does by default


@dataclass(frozen=True, slots=True)
class Timing:
    """The times at which KEDA and the HPA ask, in seconds."""

    sync: float = SYNC_PERIOD  # from one look of the HPA to the next
    sync_phase: float = 0.0  # of its first look, after the start
    poll_phase: float = 0.0  # likewise of KEDA's poll
    startup: float = 180.0  # from a replica's order to its being ready
    warmup: float | None = None  # None: as long as anything remembers
    looks: tuple[float, ...] = ()  # of the HPA, where a record shows them; else `sync` and `sync_phase` say it
    polls: tuple[float, ...] = ()  # likewise of KEDA
    scrapes: Scrapes | None = None  # that saw the replicas of a record; None: they were seen at once

    def syncs(self) -> Iterator[float]:
        """Yield when the HPA syncs, in seconds after the start, without an end."""
        return _times(self.looks, self.sync, self.sync_phase)

    def polling(self, interval: float) -> Iterator[float]:
        """Yield when KEDA polls, likewise."""
        return _times(self.polls, interval, self.poll_phase)


def _times(known: Sequence[float], period: float, phase: float) -> Iterator[float]:
    """Yield the times that are known, and from there on whole periods."""
    yield from known
    yield from itertools.count(known[-1] + period if known else phase, period)


@dataclass(frozen=True, slots=True)
class Run:
    """The course of one object over a time."""

    start: float  # seconds since the epoch
    step: float
    replicas: tuple[int, ...]  # at every tick, before anything happens at it
    events: tuple[Event, ...]
    warmup: float  # seconds at the start that are not judged
    startup: float
    looks: tuple[float, ...] = ()  # when the HPA looked, in seconds after the start

    @property
    def judged(self) -> int:
        """The first tick that is judged."""
        return min(-int(-self.warmup // self.step), max(len(self.replicas) - 1, 0))


@dataclass(slots=True)
class ReplayTarget:
    """The replicas of a replay, and when each was ordered and is ready."""

    startup: float
    pods: list[tuple[float, float]] = field(default_factory=list)

    def scale(self, replicas: int, now: float, *, at_once: bool = False) -> None:
        """Order more, which are ready after the start-up, or let the newest go."""
        ready = now if at_once else now + self.startup
        self.pods += [(now, ready)] * (replicas - len(self.pods))
        del self.pods[replicas:]

    def ready(self, now: float) -> int:
        """Count the ready replicas."""
        return sum(ready <= now for _, ready in self.pods)


def warmup_of(subject: Subject) -> float:
    """Return the seconds after which nothing that was before a record is remembered any more."""
    rules = subject.scaled.behavior
    windows = [SHORTEST_WARMUP] if rules is None else [rules.up.window, rules.down.window]
    formulas = [one.spec for one in subject.triggers if isinstance(one, FormulaTrigger)]
    windows += [spec.memory for spec in formulas] + [spec.idle_for for spec in formulas]
    if subject.scaled.min_replica_count == 0 or subject.scaled.idle_replica_count is not None:
        windows.append(subject.scaled.cooldown_period)
    return max(windows)


def replay(subject: Subject, record: Record, timing: Timing) -> Run:
    """Play an object over a record.

    Args:
        subject: the object.
        record: what was measured; it holds all that the object's triggers ask.
        timing: when they are asked.
    """
    subject = at_step(subject, record.step)
    warmup = warmup_of(subject) if timing.warmup is None else timing.warmup
    player = _Player(subject, record, timing, warmup)
    for tick in range(record.ticks):
        player.tick(tick)
    replicas, events = tuple(player.seen), tuple(player.events)
    return Run(record.start, record.step, replicas, events, warmup, timing.startup, tuple(player.looks))


def at_step(subject: Subject, step: float) -> Subject:
    """Let an object decide at the ticks of a record, which may lie further apart than its own."""
    triggers = tuple(
        replace(one, spec=replace(one.spec, interval=step)) if isinstance(one, FormulaTrigger) else one
        for one in subject.triggers
    )
    return replace(subject, triggers=triggers)


class _Player:
    """A replay while it goes on."""

    def __init__(self, subject: Subject, record: Record, timing: Timing, warmup: float) -> None:
        self._subject = subject
        self._record = record
        self._forced_until = record.start + warmup
        self._scalers: Sequence[Scaler] = scalers_of(subject)
        self._target = ReplayTarget(timing.startup)
        first = next((count for count in record.replicas if count is not None), subject.scaled.min_replica_count)
        self._target.scale(first, record.start, at_once=True)
        self._state = KedaState(created=record.start - 30 * 86400.0, last_active=record.start)
        self._polls = timing.polling(subject.scaled.polling_interval)
        self._syncs = timing.syncs()
        self._next_poll = record.start + next(self._polls)
        self._next_sync = record.start + next(self._syncs)
        self._tick = 0
        self._pushing: frozenset[int] = frozenset()
        self.seen: list[int] = []
        self.events: list[Event] = []
        self.looks: list[float] = []

    def tick(self, tick: int) -> None:
        """See one tick, and let KEDA and the HPA do what falls before the next."""
        self._tick = tick
        now = self._record.at(tick)
        self._force(now)
        self.seen.append(len(self._target.pods))
        sight = Sight(now, self._measured, self._scaled(now))
        for scaler in self._scalers:
            scaler.observe(sight)
        self._push(now)
        end = now + self._record.step
        while (at := min(self._next_poll, self._next_sync)) < end:
            if self._next_poll <= at:
                self._next_poll = self._record.start + next(self._polls)
                self._poll(at)
            else:
                self._next_sync = self._record.start + next(self._syncs)
                self._sync(at)

    def _force(self, now: float) -> None:
        """Keep the replicas that there were, during the warm-up."""
        was = self._was(self._record.replicas)
        if now <= self._forced_until and was is not None:
            self._target.scale(was, now)

    def _was(self, counts: Sequence[int | None]) -> int | None:
        return counts[self._tick] if counts else None

    def _push(self, now: float) -> None:
        """Let a trigger that pushes say at once that it has become active."""
        awake = pushing(self._subject, self._scalers, now)
        if awake - self._pushing or (awake and not self._replicas):
            self._carry_out(keda.push(self._subject.scaled, self._state, self._replicas, now))
        self._pushing = awake

    def _poll(self, at: float) -> None:
        if self._subject.has_keda:
            said = self._said(at) if keda.polls_ask(self._subject.scaled, self._state) else None
            self._carry_out(
                keda.poll(self._subject.scaled, self._state, said, self._replicas, at, ready=self._ready(at))
            )

    def _sync(self, at: float) -> None:
        self.looks.append(at - self._record.start)
        said = self._said(at) if keda.reads(self._subject.scaled, self._replicas) else None
        self._carry_out(keda.sync(self._subject.scaled, self._state, said, self._replicas, at, ready=self._ready(at)))

    def _carry_out(self, step: tuple[KedaState, int, Event | None]) -> None:
        self._state, replicas, event = step
        if event is not None:
            self._target.scale(replicas, event.at)
            self.events.append(event)

    @property
    def _replicas(self) -> int:
        return len(self._target.pods)

    def _said(self, at: float) -> list[ScalerAnswer | Refusal]:
        nearest = min(round((at - self._record.start) / self._record.step), self._record.ticks - 1)
        return answers_of(self._scalers, at, lambda query: self._measured(query, nearest))

    def _alike(self) -> bool:
        """Tell whether there are as many replicas as there were."""
        return self._was(self._record.replicas) == self._replicas

    def _ready(self, now: float) -> int:
        """Count ready replicas: those that there were, as far as the replay has them, else by their start-up."""
        was = self._was(self._record.ready)
        return min(was, self._replicas) if was is not None and self._alike() else self._target.ready(now)

    def _measured(self, query: Query, tick: int | None = None) -> Measurement:
        """Return the answer to a query at a tick; at the present one unless another is said."""
        series = self._record.series.get(query)
        place = self._tick if tick is None else tick
        now = self._record.at(place)
        if of_target(query):
            return Reading(None, now)
        if series is None:
            return Failure("the record does not hold it", now, config_error=True)
        measured = series[place]
        if isinstance(measured, Reading) and measured.answered is not None and not self._alike():
            return replace(measured, answered=None, expected=None)  # how many answered is of the pods that there were
        return measured

    def _scaled(self, now: float) -> ScaledResource:
        return scaled_of(self._subject, self._target.pods, self._ready(now), now)


def scaled_of(subject: Subject, pods: Sequence[tuple[float, float]], ready: int, now: float) -> ScaledResource:
    """Return the scale target as Kubernetes would tell of it.

    Args:
        subject: the object.
        pods: when each replica was ordered and is ready, the oldest first.
        ready: how many of them are ready now.
        now: seconds since the epoch.
    """
    told = tuple(
        Pod(str(place), "ready", ordered, ready_since=min(up, now))
        if place < ready
        else Pod(str(place), "starting", ordered)
        for place, (ordered, up) in enumerate(pods)
    )
    scaled = subject.scaled
    return ScaledResource(
        kind="ScaledObject",
        namespace=subject.namespace,
        name=subject.name,
        uid="",
        generation=1,
        triggers=(),
        other_trigger_types=(),
        target=f"Deployment {subject.target}",
        minimum=scaled.min_replica_count,
        maximum=scaled.max_replica_count,
        idle_replicas=scaled.idle_replica_count,
        replicas=len(pods),
        pods=told,
    )
