"""Looks of the HPA from the changes that a record shows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.backtests import record

from scaler.sim.backtest.looks import HEARD, Scrapes, changes, looks, scrapes


def test_the_worked_example():
    found = looks([13.0, 44.0, 105.0], 15.0, 3.0, 110.0)
    assert [round(at, 1) for at in found] == [10.2, 25.5, 40.8, 56.2, 71.5, 86.8, 102.2]


def test_without_a_change_nothing_is_known():
    assert looks([], 15.0, 3.0, 110.0) == ()


@given(st.floats(0, 15), st.floats(0, 0.1), st.sets(st.integers(1, 60), min_size=2), st.randoms())
def test_looks_that_changed_something_are_found_again(phase, drift, changing, chance):
    """Seen between 0 and 4 s later: no look is further off than that."""
    true = [phase + turn * (15 + drift) for turn in range(61)]
    seen = sorted(true[turn] + chance.uniform(0, 4) for turn in changing)
    found = looks(seen, 15.0, 2.0, seen[-1] + 1)
    for turn in changing:
        assert min(abs(at - true[turn]) for at in found if abs(at - true[turn]) < 8) <= 4.0


def test_a_change_between_two_looks_is_not_the_hpa_s():
    assert looks([30.0, 33.0, 60.0], 15.0, 1.0, 70.0) == looks([30.0, 60.0], 15.0, 1.0, 70.0)


def test_changes_from_and_to_zero_are_keda_s():
    past = record([0] * 8, replicas=[0, 1, 1, 3, None, 2, 0, 0], step=10.0)
    assert changes(past, of_keda=True) == [10.0, 60.0]
    assert changes(past, of_keda=False) == [30.0]


def test_changes_that_are_all_seen_at_one_second_of_the_interval_tell_of_scrapes():
    found = scrapes([12.0, 27.0, 57.0, 102.0], 15.0, 1.0)
    assert found == Scrapes(15.0, 12.0, HEARD + 0.5)
    assert found.shown(41.0) == 27.0 - HEARD - 0.5
    assert found.shown(42.0) == 42.0 - HEARD - 0.5


@pytest.mark.parametrize("seen", [[12.0, 27.0], [12.0, 25.0, 33.0, 47.0]])
def test_else_nothing_is_known_of_scrapes(seen):
    assert scrapes(seen, 15.0, 1.0) is None
