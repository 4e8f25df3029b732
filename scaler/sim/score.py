"""Judging a run: were the users served in time, what did it cost, how calm was it, and was it wrong to scale down.

Requests are judged by the time of their arrival, so that a late answer counts against the moment that caused it. One
that was lost, or had not finished at the end of the run, missed.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from scaler.sim.fleet import FleetSpec
from scaler.sim.play import ScaleEvent, Timeline
from scaler.sim.replica import FinishedRequest
from scaler.sim.trace import Arrival


@dataclass(frozen=True, slots=True)
class SloTarget:
    """The promise to a request."""

    ttft: float = 1.0  # s to the first token, from the arrival at the gateway
    tpot: float = 0.05  # s per further token, in the mean
    least_tokens: int = 32  # the mean is taken over at least so many: one slow step does not damn a short answer
    longest_prompt: int = 8192  # longer prompts are promised nothing, and not judged

    def met(self, done: FinishedRequest) -> bool:
        """Tell whether a request was served as promised."""
        if done.lost or done.first is None:
            return False
        per_token = (done.end - done.first) / max(done.tokens - 1, self.least_tokens)
        return done.ttft <= self.ttft and per_token <= self.tpot


@dataclass(frozen=True, slots=True)
class Score:
    """The figures of one run, from the end of the warm-up on."""

    requests: int  # judged
    attainment: float  # share of them that met the SLO; 1 without any
    worst_window: float  # the least attainment of any window
    lost: int
    unfinished: int
    replica_hours: float  # from order to death
    gpu_hours: float
    cost: float  # USD
    scale_ups: int
    scale_downs: int
    wrong_scale_downs: int


def score(timeline: Timeline, fleet: FleetSpec, slo: SloTarget, warmup: float = 0.0, window: float = 300.0) -> Score:
    """Judge a run.

    Args:
        timeline: the run.
        fleet: what it ran on: prices, cold start.
        slo: what was promised.
        warmup: seconds at the start that do not count.
        window: seconds; windows lie side by side from the end of the warm-up.
    """

    def window_of(arrival: Arrival) -> int | None:
        """Return the window that judges a request; None: nobody does."""
        judged = arrival.at >= warmup and arrival.prompt <= slo.longest_prompt
        return int((arrival.at - warmup) // window) if judged else None

    judged = _count(window_of(arrival) for arrival in timeline.trace)
    left = _count(window_of(done.arrival) for done in timeline.done)
    lost = _count(window_of(done.arrival) for done in timeline.done if done.lost)
    met = _count(window_of(done.arrival) for done in timeline.done if slo.met(done))
    hours = (timeline.replica_seconds - _spent_by(timeline, warmup)) / 3600
    changes = [change for change in timeline.changes if change.event.at >= warmup]
    downs = [change for change in changes if change.event.after < change.event.before]
    return Score(
        requests=judged.total(),
        attainment=met.total() / judged.total() if judged else 1.0,
        worst_window=min((met[place] / judged[place] for place in judged), default=1.0),
        lost=lost.total(),
        unfinished=judged.total() - left.total(),
        replica_hours=hours,
        gpu_hours=hours * fleet.hardware.gpus,
        cost=hours * fleet.hardware.price_per_second * 3600,
        scale_ups=len(changes) - len(downs),
        scale_downs=len(downs),
        wrong_scale_downs=sum(is_wrong(change, timeline.answers, fleet.startup) for change in downs),
    )


def is_wrong(change: ScaleEvent, answers: tuple[tuple[float, int], ...], startup: float) -> bool:
    """Tell whether a scale-down from a to b replicas should not have been.

    It was wrong when a request waited anywhere as it was made, or when within one cold start afterwards an answer meant
    a replicas or more again: the replica was taken away just before a new one had to be ordered and waited for.
    """
    if change.waiting:
        return True
    at = change.event.at
    after = bisect_right(answers, at, key=lambda answer: answer[0])
    until = bisect_right(answers, at + startup, key=lambda answer: answer[0])
    return any(wanted >= change.event.before for _, wanted in answers[after:until])


def _spent_by(timeline: Timeline, at: float) -> float:
    """Return the replica-seconds by the first scrape at or after `at`; none at the start."""
    if at <= 0:
        return 0.0
    return next((point.replica_seconds for point in timeline.points if point.at >= at), timeline.replica_seconds)


def _count(windows: Iterable[int | None]) -> Counter[int]:
    return Counter(place for place in windows if place is not None)
