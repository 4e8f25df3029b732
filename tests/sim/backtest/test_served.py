"""How what was served is read from shares that histograms gave."""

import pytest
from support.backtests import START

from scaler.model.measurement import Failure, PromqlQuery, Reading
from scaler.sim.backtest.record import Record
from scaler.sim.backtest.served import misses

NAMES = ("time_to_first_token", "time_per_output_token", "requests_per_second")
QUERIES = {name: PromqlQuery("default", name) for name in NAMES}


def past(**series):
    told = {
        QUERIES[name]: [one if isinstance(one, Failure) else Reading(one, START + at) for at, one in enumerate(values)]
        for name, values in series.items()
    }
    return Record("demo", "llama", START, 1.0, len(next(iter(series.values()))), {}, [], [], told)


def test_each_tick_counts_by_its_requests_and_the_worse_latency_decides():
    shares = {"time_to_first_token": [1.0, 0.5], "time_per_output_token": [0.9, 0.9]}
    assert misses(past(**shares, requests_per_second=[9.0, 1.0]), QUERIES, 0) == pytest.approx(0.1)
    assert misses(past(**shares, requests_per_second=[1.0, 9.0]), QUERIES, 0) == pytest.approx(0.45)


def test_what_was_not_measured_and_the_warm_up_count_for_nothing():
    gap = Failure("cannot be reached", START)
    record = past(time_to_first_token=[0.0, 0.8, None, gap], requests_per_second=[5.0, 5.0, 5.0, 5.0])
    assert misses(record, QUERIES, 1) == pytest.approx(0.2)
    assert misses(record, QUERIES, 2) is None


def test_without_latencies_nothing_is_known():
    assert misses(past(requests_per_second=[1.0]), QUERIES, 0) is None
    assert misses(past(time_to_first_token=[0.75]), {"time_to_first_token": QUERIES["time_to_first_token"]}, 0) == 0.25
