"""Figures by hand, on few ticks."""

import math

import pytest
from support.backtests import START, record

from scaler.cluster.keda import Event
from scaler.sim.backtest.judge import Prices, figures_of, figures_of_past, learnt_startup
from scaler.sim.backtest.judge import agreement as compared
from scaler.sim.backtest.replay import Run


def agreement(past, played):
    return compared(past, played, slack=30.0)


def run(replicas, *changes, step=15.0, warmup=0.0, startup=60.0):
    events = tuple(Event(START + at, "HPA", before, after, "") for at, before, after in changes)
    return Run(START, step, tuple(replicas), events, warmup, startup)


def test_agreement_counts_equal_ticks_near_ones_and_hours():
    found = agreement(record([0] * 6, replicas=[2, 2, 2, 3, 3, 3]), run([2, 2, 3, 3, 3, 3]))
    assert (found.ticks, found.equal, found.near) == (6, 5 / 6, 1.0)
    assert (found.was_hours, found.replayed_hours) == (15 * 15 / 3600, 16 * 15 / 3600)
    assert found.error == pytest.approx(1 / 15)
    assert found.good


def test_ticks_without_a_known_number_and_the_warm_up_are_left_out():
    found = agreement(record([0] * 4, replicas=[9, None, 2, 2]), run([1, 1, 2, 2], warmup=15.0))
    assert (found.ticks, found.equal) == (2, 1.0)


@pytest.mark.parametrize(
    ("was", "played", "good"),
    [
        ([2] * 100, [2] * 100, True),
        ([2] * 100, [3] * 100, False),  # never the same
        ([10] * 100, [10] * 88 + [14] * 12, False),  # too many far off
        ([0] * 100, [0] * 100, True),
        ([0] * 100, [1] * 100, False),
    ],
)
def test_advice_needs_both(was, played, good):
    assert agreement(record([0] * 100, replicas=was), run(played)).good is good


def test_nothing_to_compare_is_no_agreement():
    assert not agreement(record([0] * 2, replicas=[None, None]), run([1, 1])).good
    assert math.isinf(agreement(record([0] * 2, replicas=[0, 0]), run([1, 1])).error)


def test_figures_of_a_run():
    played = run([1, 1, 3, 3, 2, 3], (20, 1, 3), (50, 3, 2), (70, 2, 3))
    found = figures_of(played, Prices(gpus=2, gpu_hour=3.0))
    assert found.replica_hours == pytest.approx(13 * 15 / 3600)
    assert (found.gpu_hours, found.cost) == (pytest.approx(26 * 15 / 3600), pytest.approx(78 * 15 / 3600))
    assert (found.scale_ups, found.scale_downs, found.wrong_scale_downs, found.most) == (2, 1, 1, 3)


def test_a_scale_down_is_wrong_only_within_one_start_up_and_up_to_as_many():
    late = run([3] * 9, (10, 3, 2), (71, 2, 3), startup=60.0)
    fewer = run([3] * 9, (10, 3, 1), (30, 1, 2), startup=60.0)
    assert figures_of(late, Prices()).wrong_scale_downs == 0
    assert figures_of(fewer, Prices()).wrong_scale_downs == 0


def test_without_a_price_there_is_no_cost_and_the_warm_up_does_not_count():
    found = figures_of(run([5, 5, 1, 1], (5, 4, 5), (29, 5, 1), warmup=30.0), Prices())
    assert (found.cost, found.scale_downs, found.most) == (None, 0, 1)


def test_figures_of_the_past_are_taken_over_the_same_ticks():
    past = record([0] * 6, replicas=[1, 1, 3, None, 2, 3])
    found = figures_of_past(past, run([1] * 6, warmup=15.0), Prices())
    assert found.replica_hours == pytest.approx((1 + 3 + 3 + 2 + 3) * 15 / 3600)
    assert (found.scale_ups, found.scale_downs, found.wrong_scale_downs) == (2, 1, 1)


def test_the_start_up_is_learnt_from_orders_and_ready_replicas():
    past = record([0] * 12, replicas=[1, 1, 3, 3, 3, 3, 3, 2, 2, 4, 4, 4], ready=[1, 1, 1, 1, 2, 3, 3, 2, 2, 2, 4, 4])
    assert learnt_startup(past) == 45.0, "of 45 s and 15 s the median of an even number is the later one"
    assert learnt_startup(record([0] * 3, replicas=[1, 1, 1], ready=[1, 1, 1])) is None
    assert learnt_startup(record([0] * 3, replicas=[1, 2, 2])) is None
