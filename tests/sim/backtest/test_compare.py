"""What is relied on, and what is chosen."""

from dataclasses import replace

from support.backtests import ours, prometheus, record, subject

from scaler.sim.backtest.compare import Candidate, Plan, Result, best, compare, in_phase
from scaler.sim.backtest.judge import Figures, Prices
from scaler.sim.backtest.replay import Timing, replay

AT_ONCE = {"horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}}}
READ = subject(prometheus(), advanced=AT_ONCE)
VALUES = [5 + 10 * (tick // 8 % 3) for tick in range(120)]
PAST = replace(record(VALUES), replicas=replay(READ, record(VALUES, replicas=[1] * 120), Timing(warmup=0.0)).replicas)


def plan(past=PAST):
    return Plan(past, None, Timing(warmup=60.0), Prices(gpu_hour=2.0))


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
    assert in_phase(READ, past, Timing(warmup=0.0)).sync_phase // 5 == 1, "between the second and the third tick"


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
