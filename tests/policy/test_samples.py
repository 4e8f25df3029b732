"""The load's samples: what piles up is load too, a shorter mean is believed where it is surely another."""

import math

import pytest

from scaler.policy.samples import (
    MEMORY,
    busiest_since,
    last_minute,
    level_of,
    mean_work,
    means,
    sampled,
    since,
    with_busiest,
)
from scaler.policy.speed import Flow, Speed

WORK = Flow(200.0, 1000.0)  # tokens of a request
SPEED = Speed()


def measured(rate, running=20.0, waiting=0.0, queued=0.0):
    """The signals of a minute in which `rate` requests a second ended."""
    return {
        "requests_per_second": rate,
        "generation_tokens_per_second": rate * WORK.output,
        "prompt_tokens_per_second": rate * WORK.prompt,
        "running": running,
        "waiting": waiting,
        "queued": queued,
    }


def fold(ticks, interval=15.0):
    """The samples after these ticks, and the load of the last minute."""
    samples, minute = (), None
    for number, signals in enumerate(ticks):
        samples, minute = sampled(samples, WORK, signals, 4, number * interval)
    return samples, minute


def test_what_piles_up_in_fifteen_seconds_is_load_as_the_worked_example_has_it():
    samples, _ = fold([measured(10.0, 20.0), measured(10.0, 50.0)])
    assert samples[-1].arrivals == 12.0
    assert samples[-1].flow == Flow(2400.0, 10_000.0)  # those that run have been prefilled already


def test_a_prompt_that_waits_is_load_as_well_wherever_it_waits():
    for place in ("waiting", "queued"):
        samples, _ = fold([measured(10.0), measured(10.0, **{place: 30.0})])
        assert samples[-1].flow == Flow(2400.0, 12_000.0)
        assert samples[-1].waits == 30.0


def test_a_queue_that_is_worked_off_is_less_load_and_never_less_than_none():
    samples, _ = fold([measured(10.0, waiting=30.0), measured(10.0)])
    assert samples[-1].flow == Flow(1600.0, 8000.0)
    samples, _ = fold([measured(10.0, waiting=3000.0), measured(10.0)])
    assert (samples[-1].flow, samples[-1].arrivals) == (Flow(0.0, 0.0), 0.0)


def test_the_minute_as_a_whole_is_read_over_a_minute():
    _, minute = fold([measured(10.0, running) for running in (20.0, 20.0, 20.0, 20.0, 80.0)])
    assert minute == Flow(2200.0, 10_000.0)  # 60 more in 60 s


def test_samples_of_more_than_five_minutes_ago_are_forgotten():
    samples, _ = fold([measured(10.0)] * 60)
    assert len(samples) == MEMORY / 15
    assert samples[-1].at - samples[0].at == MEMORY - 15


def test_a_mean_is_of_the_samples_of_its_window_and_at_least_of_the_newest():
    samples, _ = fold([measured(rate) for rate in (10.0, 10.0, 30.0, 20.0)])
    mean, arrivals = means(samples, 45.0, 30.0)
    assert mean.output == pytest.approx(25 * WORK.output)
    assert arrivals == pytest.approx(25.0)
    assert means(samples, 45.0, 1.0)[1] == pytest.approx(20.0)
    assert means(samples, 45.0, MEMORY)[1] == pytest.approx(17.5)


def test_since_finds_the_sample_that_was_the_newest_then():
    samples, _ = fold([measured(10.0)] * 4)
    assert [since(samples, start).at for start in (-5.0, 0.0, 29.9, 30.0, 99.0)] == [0.0, 0.0, 15.0, 30.0, 45.0]


def level(rates):
    """The generated tokens a second that are believed after ticks with these rates, and of which window."""
    samples, _ = fold([measured(rate) for rate in rates])
    now = samples[-1].at
    load, window = level_of(samples, means(samples, now, MEMORY)[0], SPEED, now)
    return load.output / WORK.output, window


def test_a_steady_load_is_the_mean_of_five_minutes():
    assert level([20.0] * 20) == (pytest.approx(20.0), MEMORY)


def test_a_rise_is_believed_at_once_by_as_much_as_is_sure():
    rate, window = level([20.0] * 19 + [60.0])  # 900 requests in 15 s
    assert rate == pytest.approx(60 * (1 - 2 * math.sqrt(2.5 / 900)))
    assert window == 15.0


def test_few_requests_say_little_of_another_load():
    assert level([0.02] * 19 + [0.06]) == (pytest.approx(0.022), MEMORY)


def test_a_fall_is_believed_by_means_of_a_minute_or_more():
    rate, window = level([60.0] * 19 + [20.0])  # the mean of 15 s is 20, that of a minute 50
    assert rate == pytest.approx(50 * (1 + 2 * math.sqrt(2.5 / 3000)))
    assert window == 60.0
    assert level([60.0] * 16 + [20.0] * 4)[1] == 120.0  # of two minutes it is surely more than 20 still
    rate, window = level([60.0] * 12 + [20.0] * 8)
    assert rate == pytest.approx(20 * (1 + 2 * math.sqrt(2.5 / 1200)))
    assert window == 60.0


def test_the_mean_work_of_a_request_changes_slowly_and_is_not_known_before_one_has_ended():
    assert mean_work(None, measured(0.01), 15.0) is None
    assert mean_work(None, measured(10.0), 0.0) == WORK
    longer = measured(10.0) | {"generation_tokens_per_second": 4000.0}
    assert mean_work(WORK, longer, 300.0) == Flow(300.0, 1000.0)  # half of the way in five minutes
    assert mean_work(WORK, measured(0.01), 300.0) == WORK


def test_the_last_minute_tells_how_fast_a_request_was_by_littles_law():
    samples, _ = fold([measured(10.0, 40.0)] * 8)
    lately = last_minute(samples, measured(10.0, 40.0), samples[-1].at)
    assert (lately.running, lately.ready, lately.speed) == (40.0, 4.0, 50.0)  # 2,000 tokens/s over 40 requests
    assert (lately.queued, lately.steady) == (False, True)
    waiting, _ = fold([measured(10.0, 40.0, waiting=7.0)] * 8)
    assert last_minute(waiting, measured(10.0, 40.0), waiting[-1].at).running == 40.0, "who waits does not run"
    few, _ = fold([measured(0.125, 0.5)] * 8)
    assert last_minute(few, measured(0.125, 0.5), few[-1].at).speed == 50.0, (
        "25 tokens/s, while half of the time one runs"
    )


@pytest.mark.parametrize(
    ("ticks", "queued", "steady"),
    [
        ([measured(10.0, waiting=4.0)] * 4, False, True),
        ([measured(10.0, waiting=4.1)] + [measured(10.0)] * 3, True, True),
        ([measured(10.0, waiting=9.0)] + [measured(10.0)] * 4, False, True),  # a minute ago
        ([measured(10.0, 20.0)] * 3 + [measured(10.0, 44.0)], False, True),
        ([measured(10.0, 20.0)] * 3 + [measured(10.0, 44.1)], False, False),
    ],
)
def test_a_minute_in_which_requests_queued_or_soon_were_many_more_is_told_apart(ticks, queued, steady):
    samples, _ = fold(ticks)
    lately = last_minute(samples, ticks[-1], samples[-1].at)
    assert (lately.queued, lately.steady) == (queued, steady)


def test_the_busiest_time_is_remembered_for_fifteen_minutes():
    busiest = ()
    for now, in_flight in ((0.0, 50.0), (60.0, 80.0), (120.0, 30.0), (180.0, 40.0)):
        busiest = with_busiest(busiest, in_flight, now)
    assert busiest == ((60.0, 80.0), (180.0, 40.0))
    assert [busiest_since(busiest, start) for start in (0.0, 59.0, 60.0, 179.0)] == [80.0, 80.0, 40.0, 40.0]
    assert busiest_since(busiest, 180.0) == math.inf
    assert with_busiest(busiest, 1.0, 960.0) == ((180.0, 40.0), (960.0, 1.0))
