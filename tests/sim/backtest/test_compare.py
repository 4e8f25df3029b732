"""What is relied on, and what is chosen."""

import math
from dataclasses import replace

import pytest
from support.backtests import ours, prometheus, record, subject

from scaler.sim.backtest.compare import BacktestPlan, Candidate, Result, best, compare, in_phase
from scaler.sim.backtest.judge import Figures, Prices, agreement
from scaler.sim.backtest.replay import Timing, replay

AT_ONCE = {"horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}}}
READ = subject(prometheus(), advanced=AT_ONCE)
VALUES = [5 + 10 * (tick // 8 % 3) for tick in range(120)]
PAST = replace(record(VALUES), replicas=replay(READ, record(VALUES, replicas=[1] * 120), Timing(warmup=0.0)).replicas)


def plan(past=PAST):
    return BacktestPlan(past, None, Timing(warmup=60.0), Prices(gpu_hour=2.0))


def test_what_was_its_replay_and_a_candidate():
    half = subject(prometheus(threshold="10"), advanced=AT_ONCE)
    found = compare(plan(), [Candidate("as it is", READ, {}), Candidate("half", half, {})])
    assert found.agreement.equal == 1.0
    assert found.error == 0.0
    assert found.advises
    own, other = found.results
    assert own.figures == found.past
    assert other.figures.gpu_hours < own.figures.gpu_hours
    assert own.figures.cost == own.figures.gpu_hours * 2.0


def test_replicas_that_somebody_else_moved_are_no_ground_for_advice():
    moved = replace(PAST, replicas=[7] * 120)
    assert not compare(plan(moved), [Candidate("as it is", READ, {})]).advises


def test_what_cannot_be_played_says_why_and_the_others_go_on():
    gpus = subject(ours(formula="spare-gpus", target=""))
    found = compare(plan(), [Candidate("as it is", READ, {}), Candidate("gpus", gpus, {})])
    assert found.results[0].figures
    assert "counts GPUs" in found.results[1].problem


def test_when_the_hpa_looks_is_found_out():
    shifted = replay(READ, record(VALUES, replicas=[1] * 120, step=5.0), Timing(warmup=0.0, sync_phase=9.0))
    past = replace(record(VALUES, step=5.0), replicas=shifted.replicas)
    found = in_phase(READ, past, Timing(warmup=0.0), scrape=5.0)
    assert {look % 15 // 5 for look in found.looks} == {1.0}, "between the second and the third tick"


@pytest.mark.parametrize(("scrape", "drift", "phase"), [(2.0, 0.08, 1.5), (5.0, 0.03, 4.9), (15.0, 0.0, 8.3)])
def test_a_past_whose_looks_drift_and_which_scrapes_see_late_is_replayed(scrape, drift, phase):
    """Looks come every 15 s and a bit, the load is scraped, and what a look changed is seen by the next scrape."""
    waves = [20 + 15 * math.sin(tick / 60) + 5 * math.sin(tick / 17) for tick in range(1200)]
    loads = [waves[int(tick // scrape * scrape)] for tick in range(1200)]
    looks = tuple(phase + (15 + drift) * turn for turn in range(80))
    truth = replay(READ, record(loads, replicas=[3] * 1200, step=1.0), Timing(warmup=0.0, looks=looks))
    seen = [truth.replicas[max(int((tick - 1) // scrape * scrape - 0.3), 0)] for tick in range(1200)]
    past = replace(record(loads, step=1.0), replicas=seen)
    timing = in_phase(READ, past, Timing(warmup=60.0), scrape)
    found = agreement(past, replay(READ, past, timing), 30.0, timing.scrapes)
    unaware = agreement(past, replay(READ, past, Timing(warmup=60.0)), 30.0)
    assert found.equal_looks >= 0.97
    assert found.near >= 0.97
    assert found.equal > unaware.equal + 0.1


def figures(hours, misses=None, wrong=0):
    return Figures(hours, hours, None, 1, 1, wrong, 3, misses, None if misses is None else 100)


def test_the_cheapest_that_misses_no_more_is_chosen():
    results = [
        Result("dear", figures(10, 0.01), None),
        Result("cheap and late", figures(2, 0.2), None),
        Result("good", figures(6, 0.01), None),
        Result("broken", None, None, "no"),
    ]
    assert [one.name for one in best(results, 0.01)] == ["good", "dear"]
    assert next(one.name for one in best(results, 0.0)) == "good", "where none is as good, the nearest"


def test_without_requests_the_calm_ones_are_chosen():
    results = [Result("flaps", figures(2, wrong=5), None), Result("calm", figures(4, wrong=0), None)]
    assert [one.name for one in best(results, None)] == ["calm"]
