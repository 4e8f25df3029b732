"""The shifted grid: where ticks fall beside the looks of the HPA, and what moves them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaler.engine.hpa_sync import DRIFT, JITTER, SPARE, STEP, HpaSync

START = 90_000.0


def after(calls, interval=5.0, took=0.1):
    cadence = HpaSync()
    for at in calls:
        cadence = cadence.synced(at, interval, took)
    return cadence


def every(period, first, count=8):
    return [first + period * n for n in range(count)]


@pytest.mark.parametrize(
    ("calls", "interval", "phase"),
    [
        ([], 5, 0),
        (every(15, START + 3.6, 1), 5, 0),  # one call is no period
        (every(15, START + 3.6), 5, 3),  # the tick ends 0.5 s before
        (every(15, START + 3.2), 5, 2.5),  # 0.1 s would not do
        (every(15, START + 0.2), 5, 4.5),
        (every(15, START + 13.6), 15, 13),
        (every(15, START + 3.6), 3, 0),
        (every(15, START + 2.6), 3, 2),
        (every(15, START + 3.6), 2, 0),  # the looks do not come back at the same second of an interval
        (every(15, START + 3.6), 30, 0),
        (every(30, START + 3.6), 5, 0),  # KEDA's polls alone
        (every(20, START + 3.6), 5, 0),  # the HPA of somebody else's making
        (sorted(every(15, START + 3.6) + every(30, START + 7.9)), 5, 3),
        (sorted(every(30, START + 1.1) + every(15, START + 3.6)), 5, 3),
        (sorted(every(15, START + 3.6) + every(15, START + 3.61)), 5, 3),  # GetMetrics and IsActive
    ],
)
def test_ticks_fall_just_before_the_looks_that_come_back(calls, interval, phase):
    assert after(calls, interval).phase == phase


def test_a_tick_that_takes_long_begins_earlier():
    looks = every(15, START + 3.6)
    assert [after(looks, took=took).phase for took in (0.1, 0.5, 1.5)] == [3, 2.5, 1.5]


def test_the_grid_follows_an_hpa_that_drifts_and_stays_where_that_suffices():
    phases = [after(every(15.02, START + 3.4, count)).phase for count in range(2, 160)]
    moves = [(before, phase) for before, phase in pairwise(phases) if phase != before]
    assert moves == [(3, 3.5), (3.5, 4), (4, 4.5), (4.5, 0), (0, 0.5)]


def test_a_clock_that_goes_back_begins_anew():
    assert after([*every(15, START + 3.6), *every(15, START - 1000)]).phase == 4.5


@given(
    first=st.floats(START, START + 30),
    jitters=st.lists(st.floats(-0.4 * JITTER, 0.4 * JITTER), min_size=4, max_size=12),
    interval=st.sampled_from([1.0, 3.0, 5.0, 15.0]),
    took=st.floats(0, 0.5),
)
def test_no_look_finds_a_decision_older_than_it_must_be(first, jitters, interval, took):
    """Were looks punctual, a decision would be as old as its tick took, `SPARE`, and at most a drift."""
    looks = [first + 15 * n + jitter for n, jitter in enumerate(jitters)]
    cadence = after(looks, interval, took)
    at = cadence.grid(looks[-1], interval)
    assert at % STEP == 0
    assert looks[-1] - at < interval
    lead = SPARE + took
    if lead + DRIFT < interval:
        assert lead <= looks[-1] - at < lead + DRIFT


@given(now=st.floats(0, 2e9), steps=st.integers(0, 29), interval=st.integers(1, 15))
def test_a_grid_time_is_never_in_the_future_nor_an_interval_old(now, steps, interval):
    phase = steps * STEP
    at = HpaSync(phase).grid(now, interval)
    assert at <= now < at + interval
    assert (at - phase) % interval == 0
