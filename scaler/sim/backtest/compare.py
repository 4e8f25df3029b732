"""Play what was and every candidate, here or on an executor, and say what may be relied on.

plan and objects ─▶ play each, one job an object ─▶ results in the order of the objects
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import Any

from scaler.model.errors import ScalerError
from scaler.model.measurement import Query
from scaler.sim.backtest import fleet
from scaler.sim.backtest import looks as lookout
from scaler.sim.backtest.fleet import FleetWorld, simulate
from scaler.sim.backtest.judge import LOOKS, Agreement, Figures, Prices, agreement, figures_of, figures_of_past
from scaler.sim.backtest.record import Record
from scaler.sim.backtest.replay import Run, Timing, replay
from scaler.sim.backtest.served import misses
from scaler.sim.backtest.subject import Subject, unmeasured

FITTED = 1440  # ticks of the start that it is found on how long after a look its change was seen


@dataclass(frozen=True, slots=True)
class BacktestPlan:
    """The record or trace, and the rest of what every object is played on."""

    record: Record | None  # None: a trace alone
    world: FleetWorld | None  # None: the load stays as it was measured, whatever the replicas
    timing: Timing
    prices: Prices
    served: Mapping[str, Query] = field(default_factory=dict)  # how the record's latencies were asked for, by signal


@dataclass(frozen=True, slots=True)
class Candidate:
    """One object to be played."""

    name: str
    subject: Subject
    manifest: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Result:
    """The results of one object."""

    name: str
    figures: Figures | None
    run: Run | None
    problem: str = ""  # why it could not be played


@dataclass(frozen=True, slots=True)
class Comparison:
    """The replicas that were, how well they could be played again, and the candidates."""

    past: Figures | None  # as it was; None: a trace, which has no replicas
    agreement: Agreement | None  # of the replay of what was measured
    on_fleet: Agreement | None  # of the object as it is on the simulated fleet, where there is one
    results: tuple[Result, ...]  # the object as it is first

    @property
    def error(self) -> float | None:
        """By which share the replica-hours of the object as it is differ from those that were."""
        calibrated = self.on_fleet or self.agreement
        return None if calibrated is None else calibrated.error

    @property
    def misses_error(self) -> float | None:
        """By how much the share of SLO misses of the object as it is differs from what was; None: not known."""
        own = self.results[0].figures
        if self.past is None or own is None or self.past.slo_misses is None or own.slo_misses is None:
            return None
        return own.slo_misses - self.past.slo_misses

    @property
    def events_error(self) -> tuple[int, int, int] | None:
        """The scale-ups, scale-downs and wrong ones that the replay has more than there were."""
        own, past = self.results[0].figures, self.past
        if past is None or own is None:
            return None
        ups, downs = own.scale_ups - past.scale_ups, own.scale_downs - past.scale_downs
        return ups, downs, own.wrong_scale_downs - past.wrong_scale_downs

    @property
    def advises(self) -> bool:
        """Tell whether the candidates may be relied on; of a trace there is nothing to compare with."""
        replayed = self.agreement is None or self.agreement.good
        return replayed and (self.on_fleet is None or self.on_fleet.close)


def play(subject: Subject, plan: BacktestPlan) -> tuple[Figures, Run]:
    """Play one object.

    Raises:
        ScalerError: it asks for what there is not.
    """
    if plan.world is not None:
        fleet.check(subject)
        run, score = simulate(subject, plan.world, plan.timing)
        return figures_of(run, plan.prices, score), run
    if plan.record is None:
        raise ValueError("a plan has a record or a world")
    return figures_of(run := replay(subject, plan.record, plan.timing), plan.prices), run


def result_of(candidate: Candidate, plan: BacktestPlan) -> Result:
    """Play one candidate; what is wrong with it is part of the result."""
    try:
        counts = unmeasured(candidate.subject)
        if counts:
            return Result(candidate.name, None, None, counts)
        figures, run = play(candidate.subject, plan)
    except ScalerError as error:
        return Result(candidate.name, None, None, str(error))
    return Result(candidate.name, figures, run)


def compare(plan: BacktestPlan, candidates: Sequence[Candidate], executor: Executor | None = None) -> Comparison:
    """Play all candidates; the first is the object as it is.

    Args:
        plan: what they are played on.
        candidates: one at least.
        executor: where they are played; None: here, one after another.
    """
    if executor is None:
        results = [result_of(candidate, plan) for candidate in candidates]
    else:
        jobs = [executor.submit(result_of, candidate, plan) for candidate in candidates]
        results = [job.result() for job in jobs]
    own = results[0].run
    if plan.record is None or not plan.record.replicas or own is None:
        return Comparison(None, None, None, tuple(results))
    past = figures_of_past(plan.record, own, plan.prices)
    past = replace(past, slo_misses=misses(plan.record, plan.served, own.judged))
    slack = LOOKS * plan.timing.sync
    if plan.world is None:
        return Comparison(past, agreement(plan.record, own, slack, plan.timing.scrapes), None, tuple(results))
    replayed = replay(candidates[0].subject, plan.record, plan.timing)
    agreed, on_fleet = (agreement(plan.record, run, slack, plan.timing.scrapes) for run in (replayed, own))
    return Comparison(past, agreed, on_fleet, tuple(results))


def in_phase(subject: Subject, record: Record, timing: Timing, scrape: float) -> Timing:
    """Find when KEDA and the HPA looked, by the changes that the record shows.

    How long after a look its change is seen is not in the record: of a few lags, that one is taken whose replay agrees
    best with what was.

    Args:
        subject: the object as it is.
        record: what was.
        timing: the periods.
        scrape: seconds between two scrapes of Prometheus.
    """
    by_hpa, by_keda = (lookout.changes(record, of_keda=of_keda) for of_keda in (False, True))
    if record.step > timing.sync or not (by_hpa or by_keda):
        return timing
    timing = replace(timing, scrapes=lookout.scrapes(sorted([*by_hpa, *by_keda]), scrape, record.step))
    short = replace(
        record,
        ticks=min(record.ticks, FITTED),
        replicas=record.replicas[:FITTED],
        ready=record.ready[:FITTED],
    )

    def seen_after(lag: float) -> Timing:
        polls = lookout.looks(by_keda, subject.scaled.polling_interval, lag, record.span)
        return replace(timing, looks=lookout.looks(by_hpa, timing.sync, lag, record.span), polls=polls)

    def agreeing(tried: Timing) -> tuple[float, float]:
        found = agreement(short, replay(subject, short, tried), 0.0, tried.scrapes)
        return found.equal_looks, found.equal

    def best_of(lags: Iterable[float]) -> float:
        return max(lags, key=lambda lag: agreeing(seen_after(lag)))

    coarse = lookout.lags(max(scrape, record.step) + record.step)
    near, apart = best_of(coarse), coarse[0]
    return seen_after(best_of([near + apart * turn / 4 for turn in (-2, -1, 0, 1, 2)]))


def best(results: Sequence[Result], misses: float | None, top: int = 5) -> list[Result]:
    """List the cheapest of those that miss the SLO no more often than was; where that is unknown, of the calmest.

    Args:
        results: of many candidates.
        misses: the share that may miss the SLO; None: nothing is known of it.
        top: how many.
    """
    played = [(one, one.figures) for one in results if one.figures is not None]
    if misses is not None:
        kept = [pair for pair in played if (pair[1].slo_misses or 0.0) <= misses + 1e-9]
        if not kept:
            nearest = sorted(played, key=lambda pair: (pair[1].slo_misses or 0.0, pair[1].gpu_hours))
            return [one for one, _ in nearest[:top]]
    else:
        least = min((figures.wrong_scale_downs for _, figures in played), default=0)
        kept = [pair for pair in played if pair[1].wrong_scale_downs <= least]
    ranked = sorted(kept, key=lambda pair: (pair[1].gpu_hours, pair[1].scale_ups + pair[1].scale_downs))
    return [one for one, _ in ranked[:top]]
