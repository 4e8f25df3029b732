"""Requests from counters: as many as were finished, and by as many as more are inside."""

import pytest
from support.backtests import START

from scaler.model.measurement import Failure, PromqlQuery, Reading
from scaler.sim.backtest.arrivals import arrivals
from scaler.sim.backtest.record import Record

NAMES = (
    "requests_per_second",
    "prompt_tokens_per_second",
    "generation_tokens_per_second",
    "queued",
    "waiting",
    "running",
)
QUERIES = {name: PromqlQuery("default", name) for name in NAMES}


def past(step=5.0, **series):
    ticks = len(next(iter(series.values())))
    told = {
        QUERIES[name]: [
            value if isinstance(value, Failure) else Reading(value, START + tick * step)
            for tick, value in enumerate(values)
        ]
        for name, values in {**{name: [0.0] * ticks for name in NAMES[:3]}, **series}.items()
    }
    return Record("demo", "llama", START, step, ticks, {}, [], [], told)


def by_tick(trace, ticks, step=5.0):
    return [sum(tick * step <= one.at < (tick + 1) * step for one in trace) for tick in range(ticks - 1)]


def test_what_was_finished_and_what_came_to_be_inside():
    trace = arrivals(past(requests_per_second=[0, 1.6, 1.6], running=[0, 3, 5], waiting=[0, 2, 2]), QUERIES)
    assert by_tick(trace, 3) == [13, 10], "8 and 5 more inside, 8 and 2 more"


def test_what_cannot_be_a_whole_request_yet_is_owed_and_falls_are_taken_off():
    assert by_tick(arrivals(past(requests_per_second=[0, 0.1, 0.1, 0.1, 0.1]), QUERIES), 5) == [0, 1, 0, 1]
    assert by_tick(arrivals(past(requests_per_second=[0, 0, 2, 2], running=[4, 4, 0, 0]), QUERIES), 4) == [0, 6, 10]


def test_lengths_have_the_mean_that_was_counted():
    rates = {
        "requests_per_second": [2.0] * 400,
        "prompt_tokens_per_second": [600.0] * 400,
        "generation_tokens_per_second": [100.0] * 400,
    }
    trace = arrivals(past(**rates), QUERIES)
    assert len(trace) == 399 * 10
    assert sum(one.prompt for one in trace) / len(trace) == pytest.approx(300, rel=0.05)
    assert sum(one.output for one in trace) / len(trace) == pytest.approx(50, rel=0.05)


def test_the_same_seed_gives_the_same_requests_in_the_order_of_time():
    one, other = (arrivals(past(requests_per_second=[2.0] * 50), QUERIES, seed) for seed in (1, 2))
    assert one == arrivals(past(requests_per_second=[2.0] * 50), QUERIES, 1)
    assert one != other
    assert list(one) == sorted(one, key=lambda arrival: arrival.at)


def test_what_a_scrape_shows_at_once_is_spread_over_its_ticks():
    lumps = past(step=1.0, running=[0.0, 0.0, 20.0, 20.0, 40.0, 40.0, 60.0, 60.0, 80.0])
    assert by_tick(arrivals(lumps, QUERIES), 9, step=1.0) == [0, 20, 0, 20, 0, 20, 0, 20]
    spread = by_tick(arrivals(lumps, QUERIES, spread=4.0), 9, step=1.0)
    assert sum(spread) == 80
    assert max(spread) < 20


def test_a_gap_is_taken_for_more_of_the_same():
    gap = Failure("cannot be reached", START)
    assert len(arrivals(past(requests_per_second=[2.0, 2.0, gap, gap, 2.0]), QUERIES)) == 40
