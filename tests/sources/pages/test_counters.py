"""Rates of counters that begin, reset, vanish and come back."""

import pytest

from scaler.sources.pages.counters import STEPS, Counters
from scaler.sources.pages.exposition import scan


def rates(readings, window=60.0):
    """The rates after readings of (time, {series: value}); the last time counts."""
    counters = Counters()
    for at, series in readings:
        page = "\n".join(f"{name} {value}" for name, value in series.items())
        counters.note(scan(page.encode(), series), [window], at)
    return counters.rates(window, readings[-1][0])


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ([(0, {"a": 5})], {}),
        ([(0, {"a": 5}), (10, {"a": 25})], {"a": 2.0}),
        ([(0, {"a": 5}), (10, {"a": 5})], {"a": 0.0}),
        ([(0, {"a": 90}), (10, {"a": 100}), (20, {"a": 10})], {"a": 1.0}),  # a reset counts on from 0
        ([(0, {"a": 0}), (10, {"a": 0, "b": 7}), (20, {"a": 0, "b": 17})], {"a": 0.0, "b": 0.5}),
        ([(0, {"a": 0}), (10, {"a": 10}), (20, {}), (30, {"a": 40}), (40, {"a": 50})], {"a": 0.5}),
        ([(0, {"a": 0}), (100, {"a": 100}), (130, {"a": 400})], {"a": 10.0}),  # the first has left the window
        ([(0, {"a": 0}), (10, {"a": 20}), (20, {})], {}),
    ],
)
def test_a_rate_is_the_increase_between_two_readings_over_their_time(readings, expected):
    assert rates(readings) == pytest.approx(expected)


@pytest.mark.parametrize("interval", [1.0, 5.0, 15.0, 59.0])
def test_a_steady_rate_is_found_whatever_the_interval(interval):
    times = [interval * step for step in range(int(300 / interval))]
    assert rates([(at, {"a": 3 * at}) for at in times]) == pytest.approx({"a": 3.0})


def test_a_window_keeps_no_more_readings_than_it_needs():
    counters = Counters()
    for at in range(1000):
        counters.note(scan(f"a {at}".encode(), {"a"}), [60.0, 120.0], float(at))
    assert all(len(readings) <= STEPS + 1 for readings in counters._windows.values())
    assert counters.rates(60.0, 999.0) == counters.rates(120.0, 999.0) == {"a": 1.0}


def test_a_window_that_nobody_asks_about_is_forgotten():
    counters = Counters()
    counters.note(scan(b"a 1", {"a"}), [60.0], 0.0)
    counters.note(scan(b"a 2", {"a"}), [120.0], 10.0)
    assert counters.rates(60.0, 10.0) == {}
