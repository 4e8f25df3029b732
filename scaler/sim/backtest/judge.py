"""How well a replay agrees with what was, and what a run cost.

was      2 2 2 3 3 3          5 of 6 ticks are equal, all 6 are where a change may come one tick earlier or later;
replay   2 2 3 3 3 3          15 replica-ticks were, 16 are played: +6.7 %

Two shares say how equal they are. That of the ticks counts time: a change that comes a second late is a second's worth
of difference. That of the looks counts decisions: after each look of the HPA, are there as many replicas as there were?
Both compare what Prometheus could see: a change is in the record from the first scrape after it on, so the replay's
changes count from that scrape on too.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from scaler.cluster.keda import Event
from scaler.sim.backtest.looks import Scrapes
from scaler.sim.backtest.record import CountsByTick, Record
from scaler.sim.backtest.replay import Run
from scaler.sim.score import Score

ENOUGH = 0.9  # share of ticks at which a replay must be near what was, for anything to be advised
CLOSE = 0.1  # share of GPU-hours by which it may differ
LOOKS = 2  # of the HPA: by so long a change may come earlier or later, to be near; a scrape takes its time too


@dataclass(frozen=True, slots=True)
class Agreement:
    """A replay of what was, beside what was."""

    ticks: int  # compared
    equal: float  # share of them with the very replicas
    near: float  # share of them with replicas that there were within `slack` seconds
    was_hours: float  # replica-hours
    replayed_hours: float
    slack: float = 0.0  # seconds
    looks: int = 0  # of the HPA, after which both are known
    equal_looks: float = 0.0  # share of them after which there were the very replicas

    @property
    def error(self) -> float:
        """By which share the replica-hours of the replay differ."""
        if self.was_hours == 0:
            return 0.0 if self.replayed_hours == 0 else float("inf")
        return self.replayed_hours / self.was_hours - 1.0

    @property
    def close(self) -> bool:
        """Tell whether the replica-hours are nearly those that were."""
        return self.ticks > 0 and abs(self.error) <= CLOSE

    @property
    def good(self) -> bool:
        """Tell whether advice may rest on it."""
        return self.close and self.near >= ENOUGH


@dataclass(frozen=True, slots=True)
class Figures:
    """The costs and events of a run, from the end of the warm-up on."""

    replica_hours: float
    gpu_hours: float
    cost: float | None  # in the currency of the price; None: no price is known
    scale_ups: int
    scale_downs: int
    wrong_scale_downs: int  # ordered again within one start-up
    most: int  # replicas
    slo_misses: float | None = None  # share of requests; None: not known without a fleet
    requests: int | None = None  # that were judged


@dataclass(frozen=True, slots=True)
class Prices:
    """The size and the price of a replica."""

    gpus: float = 1.0  # of one replica
    gpu_hour: float | None = None


def agreement(record: Record, run: Run, slack: float, scrapes: Scrapes | None = None) -> Agreement:
    """Compare a replay with the replicas that there were; ticks without a known number are left out.

    Args:
        record: what was.
        run: the replay.
        slack: seconds by which a change may come earlier or later, to be near.
        scrapes: that saw the replicas of the record; None: they were seen at once.
    """
    reach = round(slack / record.step)
    seen = run.replicas if scrapes is None else _scraped(run, scrapes)
    equal = near = ticks = was_ticks = played_ticks = 0
    for tick in range(run.judged, len(run.replicas)):
        was, played = record.replicas[tick], seen[tick]
        if was is None:
            continue
        around = record.replicas[max(tick - reach, 0) : tick + reach + 1]
        ticks += 1
        equal += was == played
        near += played in around
        was_ticks += was
        played_ticks += played
    hours = record.step / 3600
    share = max(ticks, 1)
    known = [tick for tick in _after_looks(run, scrapes) if record.replicas[tick] is not None]
    alike = sum(record.replicas[tick] == seen[tick] for tick in known)
    return Agreement(
        ticks=ticks,
        equal=equal / share,
        near=near / share,
        was_hours=was_ticks * hours,
        replayed_hours=played_ticks * hours,
        slack=slack,
        looks=len(known),
        equal_looks=alike / max(len(known), 1),
    )


def _scraped(run: Run, scrapes: Scrapes) -> list[int]:
    """List the replicas of a run as scrapes would have shown them at every tick."""
    changes: dict[int, list[Event]] = {}
    for event in run.events:
        changes.setdefault(math.floor((event.at - run.start) / run.step), []).append(event)
    found = []
    for place in range(len(run.replicas)):
        shown = max(scrapes.shown(place * run.step), 0.0)
        tick = math.floor(shown / run.step)
        since = [event.after for event in changes.get(tick, ()) if event.at - run.start <= shown]
        found.append(since[-1] if since else run.replicas[tick])
    return found


def _after_looks(run: Run, scrapes: Scrapes | None) -> list[int]:
    """List for every look that is judged a tick that shows its outcome, and not that of the next one.

    A look whose outcome was seen by nobody before the next one is left out.
    """
    found = []
    for look, following in pairwise(run.looks):
        tick = math.floor(following / run.step + 1e-9)  # what a tick shows was so before anything happened at it
        shown = tick * run.step
        if scrapes is not None:
            turn = math.ceil((following - scrapes.phase + scrapes.late) / scrapes.interval) - 1
            tick = math.ceil((turn * scrapes.interval + scrapes.phase) / run.step - 1e-9)
            shown = scrapes.shown(tick * run.step)
        if look < shown and run.judged <= tick < len(run.replicas):
            found.append(tick)
    return found


def figures_of(run: Run, prices: Prices, served: Score | None = None) -> Figures:
    """Judge a run; `served` is how its fleet served, where there was one."""
    changes = [(event.at, event.before, event.after) for event in run.events]
    return _figures(run.replicas, changes, run, prices, served)


def figures_of_past(record: Record, run: Run, prices: Prices) -> Figures:
    """Judge what was, over the ticks that the replay `run` is judged over."""
    counts = _filled(record.replicas)
    changes = [
        (record.at(tick + 1), before, after) for tick, (before, after) in enumerate(pairwise(counts)) if before != after
    ]
    return _figures(counts, changes, run, prices, None)


def _figures(
    replicas: Sequence[int],
    changes: Sequence[tuple[float, int, int]],
    run: Run,
    prices: Prices,
    served: Score | None,
) -> Figures:
    judged = replicas[run.judged :]
    began = run.start + run.judged * run.step
    counted = [change for change in changes if change[0] >= began]
    downs = [change for change in counted if change[2] < change[1]]
    hours = sum(judged) * run.step / 3600
    gpu_hours = hours * prices.gpus
    return Figures(
        replica_hours=hours,
        gpu_hours=gpu_hours,
        cost=None if prices.gpu_hour is None else gpu_hours * prices.gpu_hour,
        scale_ups=len(counted) - len(downs),
        scale_downs=len(downs),
        wrong_scale_downs=sum(_again(down, counted, run.startup) for down in downs),
        most=max(judged, default=0),
        slo_misses=None if served is None or not served.requests else 1.0 - served.attainment,
        requests=None if served is None else served.requests,
    )


def _again(down: tuple[float, int, int], changes: Sequence[tuple[float, int, int]], startup: float) -> bool:
    """Tell whether as many replicas were ordered again within one start-up after some were removed."""
    at, before, _ = down
    return any(at < later <= at + startup and after >= before for later, _, after in changes)


def _filled(counts: CountsByTick) -> list[int]:
    """List every tick with a number: where none is known, the last one that was."""
    filled: list[int] = []
    last = next((count for count in counts if count is not None), 0)
    for count in counts:
        last = last if count is None else count
        filled.append(last)
    return filled


def learnt_startup(record: Record) -> float | None:
    """Return the median seconds from an order to as many ready replicas in the record; None: it shows none."""
    spans = []
    replicas, ready = _filled(record.replicas), record.ready
    if not ready:
        return None
    for tick in range(1, record.ticks):
        wanted = replicas[tick]
        if wanted <= replicas[tick - 1]:
            continue
        until = next((later for later in range(tick, record.ticks) if replicas[later] < wanted), record.ticks)
        up = next((later for later in range(tick, until) if (ready[later] or 0) >= wanted), None)
        if up is not None:
            spans.append((up - tick) * record.step)
    return sorted(spans)[len(spans) // 2] if spans else None
