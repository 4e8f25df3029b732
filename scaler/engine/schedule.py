"""When a workload is due, and in which company: pure, but for the workloads that it looks at.

Workloads whose ticks fall on the same time ask an endpoint one batch of questions. One without replicas is looked at
every second, where something says early what waits for it; it has batches of its own, so that others' pods that hang
do not delay it.

    interval 5 s, at 12.3 s       due at 10 s      batches (default, 10 s) and (pods, 10 s)
    the same without replicas     due at 12 s      batch (gateway, 12 s), and of the rest the answers of 10 s
    new, with a memory of 1 m     due at 10 s      batch (default, -50 s, -45 s, ... 10 s): its past, once
    1,000 new ones, at a restart  due at 10 s      batch (default, 10 s) for all of them, then the pasts, 100 at a time
"""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter

from scaler.config import signals
from scaler.config.workload import WorkloadSpec
from scaler.engine.hpa_sync import HpaSync
from scaler.engine.workload import Answers, Workload
from scaler.model.measurement import Measurement, Query, Reading, SignalQuery
from scaler.model.objects import Cluster

KUBERNETES_WAIT = 1.5  # seconds that a new workload waits for Kubernetes to know its object; less than a call's budget
COARSE = 60.0  # seconds between the ticks of a long past
ZERO_INTERVAL = 1.0  # seconds between ticks of a workload without replicas: what waits at a gateway must not wait twice
CROWD = 30  # new workloads in the time of CALM that are answered before their past is known
CALM = 1.0  # seconds
LONG_PAST = 600  # ticks: a past of more takes tens of megabytes, such as an hour of ticks of a second
MAX_LONG_PASTS = 2  # of these at a time
MAX_BACKFILLS = 100  # pasts fetched at a time: a burst of new ones must not make one question too large


@dataclass(frozen=True, slots=True)
class Batch:
    """The queries that an endpoint is asked at once, for all workloads that have it."""

    endpoint: str
    times: tuple[float, ...]  # on the grid, ascending; several are the past of a new workload
    early: bool = False  # for those without replicas, between their own ticks too
    first_look: bool = False  # for new ones whose past has to wait

    @property
    def for_new(self) -> bool:
        """Tell whether it is for new workloads."""
        return self.first_look or len(self.times) > 1


@dataclass(frozen=True, slots=True)
class Schedule:
    """The rules of when.

    Args:
        direct: endpoints that are read directly, which may be done every second.
    """

    direct: frozenset[str]

    def interval(self, item: Workload) -> float:
        """Return the seconds between its ticks: fewer without replicas, if anything says early what waits for one."""
        early = at_zero(item) and any(map(self.reports_at_zero, item.plan.queries.values()))
        return ZERO_INTERVAL if early else item.spec.interval

    def reports_at_zero(self, query: Query) -> bool:
        """Tell whether it is asked every second of who has no replica: pages, and a gateway's one query for all."""
        at_gateway = isinstance(query, SignalQuery) and signals.find(query.engine, query.signal).scope == "gateway"
        return at_gateway or query.endpoint in self.direct

    def due_now(
        self, items: Collection[Workload], cluster: Cluster, now: float, waiting: int, busy: Collection[str]
    ) -> Iterator[tuple[Workload, Batch]]:
        """Yield the workloads that are due, those first that have no answer yet.

        A past is long to ask for and to fold, so only so many are at a time. When a crowd comes, as after a restart,
        each is looked at first as it is now, which answers most. The pasts of the others come next, since an idle one
        is known to be idle by its past alone; the pasts of those that have an answer follow when no more come.

        Args:
            items: all workloads.
            cluster: the newest picture.
            now: seconds since the epoch.
            waiting: new ones that are not even registered.
            busy: endpoints that are asked enough for new ones already.
        """
        looking_back = [item for item in items if item.began is not None and not item.backfilled]
        backfills, long_pasts = len(looking_back), sum(has_long_past(item.spec) for item in looking_back)
        crowd = self.is_crowd(items, now, waiting)
        new_ones_first = sorted(
            _of_each_namespace(items), key=lambda item: (item.decision is not None, not item.unseen)
        )
        for item in new_ones_first:
            first_look = crowd and item.unseen
            if not item.backfilled:
                can_wait = crowd and item.decision is not None
                too_long = long_pasts >= MAX_LONG_PASTS and has_long_past(item.spec)
                too_many = not first_look and (can_wait or backfills >= MAX_BACKFILLS or too_long)
                if too_many or not item.spec.endpoints.isdisjoint(busy):
                    continue
            due = self.due(item, cluster, now, first_look=first_look)
            if due is not None:
                backfills += not item.backfilled and not first_look
                long_pasts += not item.backfilled and not first_look and has_long_past(item.spec)
                yield item, due

    def is_crowd(self, items: Collection[Workload], now: float, waiting: int) -> bool:
        """Tell whether many new ones come at once; `waiting` are not even registered."""
        newest = sum(now - item.first_asked < CALM or (item.unseen and not item.backfilled) for item in items)
        return waiting + newest > CROWD

    def due(self, item: Workload, cluster: Cluster, now: float, *, first_look: bool = False) -> Batch | None:
        """Return the times that it is due for, of no endpoint yet; None: nothing is due.

        Args:
            item: the workload.
            cluster: the newest picture.
            now: seconds since the epoch.
            first_look: do without the past of a new one for now.
        """
        interval = self.interval(item)
        at = grid_time(item, now, interval)
        done = at == item.folded and not item.jobs_changed
        if item.began is not None or done or awaits_kubernetes(item, cluster, now):
            return None
        times = (at,) if item.backfilled or first_look else history(item.spec, at)
        return Batch("", times, early=interval < item.spec.interval, first_look=first_look)

    def queries(self, item: Workload, due: Batch) -> list[Query]:
        """Return what is asked: between the ticks of one without replicas only what reports early, and what is new."""
        queries = list(item.plan.queries.values())
        if not due.early or item.own(due.times[0]):
            return queries
        return [query for query in queries if self.reports_at_zero(query) or query not in item.answers]

    def until_next(self, items: Collection[Workload], cluster: Cluster, now: float) -> float:
        """Return the seconds until something is due."""
        grids = {(item.cadence.phase, self.interval(item)) for item in items} or {(0.0, 1.0)}
        waits = [item.first_asked + KUBERNETES_WAIT for item in items if awaits_kubernetes(item, cluster, now)]
        ticks = [HpaSync(phase).grid(now, interval) + interval for phase, interval in grids]
        return max(min(waits + ticks) - now, 0.01)


def _of_each_namespace(items: Iterable[Workload]) -> list[Workload]:
    """Sort workloads so that one of each namespace comes, then the second of each: a1 a2 a3 b1 -> a1 b1 a2 a3."""
    turns: Counter[str] = Counter()
    ranked = []
    for item in items:
        turns[item.request.namespace] += 1
        ranked.append((turns[item.request.namespace], item))
    return [item for _, item in sorted(ranked, key=itemgetter(0))]


def at_zero(item: Workload) -> bool:
    """Tell whether it is known to have no replica."""
    replicas = item.scaled.replicas if item.scaled else None
    if replicas is None and item.decision:
        replicas = item.decision.target_status.current
    return replicas == 0


def awaits_kubernetes(item: Workload, cluster: Cluster, now: float) -> bool:
    """Tell whether Kubernetes is about to say whose pods are its own: KEDA may ask before our watch has heard of it."""
    foreign = bool(cluster.synced_kinds) and item.scaled is None
    return foreign and item.decision is None and now - item.first_asked < KUBERNETES_WAIT


def grid_time(item: Workload, now: float, interval: float) -> float:
    """Return the newest grid time; none before the newest fold, on a finer grid, unless the clock went back."""
    at = item.cadence.grid(now, interval)
    return item.folded if item.folded is not None and 0 <= item.folded - at < item.spec.interval else at


def history(spec: WorkloadSpec, at: float) -> tuple[float, ...]:
    """Return the grid times that a new workload folds: as far back as anything it remembers.

    What a policy learns over hours it learns again in steps of about a minute; 5 s ticks would be thousands.
    """
    steps, interval = _past(spec)
    return tuple(at - step * interval for step in range(steps, -1, -1))


def has_long_past(spec: WorkloadSpec) -> bool:
    """Tell whether the past that a new workload folds takes so much memory that few are at a time."""
    steps, _ = _past(spec)
    return steps >= LONG_PAST


def _past(spec: WorkloadSpec) -> tuple[int, float]:
    """Return how many steps back a new workload looks, and the seconds of each."""
    span, long = max(spec.memory, spec.idle_for), spec.algorithm.history if spec.algorithm else 0.0
    ticks = max(round(COARSE / spec.interval), 1) if long > span else 1
    interval = ticks * spec.interval
    return math.ceil(max(span, long) / interval), interval


def nothing_new(item: Workload, answers: Answers, at: float) -> bool:
    """Tell whether a look between the ticks of one without replicas shows just what its newest fold saw."""
    due = item.own(at) or item.folded is None or item.jobs_changed
    return not due and all(
        asked in item.answers and _said(answers[asked][-1]) == _said(item.answers[asked][-1])
        for asked in item.plan.queries.values()
    )


def _said(measured: Measurement) -> float | str | None:
    return measured.value if isinstance(measured, Reading) else measured.reason
