"""The forecast from the days before: it raises what is known to rise, and keeps still where nothing repeats."""

import math
import random

import numpy as np
import pytest

from scaler.policy import season
from scaler.policy.recall import DAY, PIECE

HOUR, A_DAY = 3600.0, 86_400.0
LEAD = 210.0  # seconds


def days(level, count, *, noise=0.1, seed=1):
    """The ends of pieces, and the load of each, up to midnight."""
    chance = random.Random(seed)
    return [
        ((piece + 1) * PIECE, level((piece + 0.5) * PIECE) * math.exp(chance.gauss(0, noise)))
        for piece in range(count * DAY)
    ]


def known(level, count, **more):
    return season.recalled(None, days(level, count, **more), LEAD, count * A_DAY)


def rises(state, start, span, lead=LEAD):
    """What is expected of each minute of a time, as seen from before it; where it is more."""
    times = [start + minute * 60.0 for minute in range(round(span / 60))]
    told = {at: season.rise(state, lead, at) for at in times}
    return {at: one.factor for at, one in told.items() if one}


def office(at):
    """Three times as much from nine to five."""
    return 30.0 if 9 * HOUR <= at % A_DAY < 17 * HOUR else 10.0


def working_days(at):
    return office(at) if int(at // A_DAY) % 7 < 5 else 10.0


def test_what_came_at_the_same_time_on_three_days_is_expected_one_start_up_before():
    state = known(office, 5)
    at = 5 * A_DAY + 9 * HOUR
    told = season.rise(state, LEAD, at - LEAD + 1)
    assert told.factor == pytest.approx(3.0, rel=0.2)
    assert told.use.way == "day"
    assert season.rise(state, LEAD, at - PIECE - LEAD - 1) is None
    assert "as it came at this hour on the last 3 days" in told.says(LEAD)


def test_it_says_how_good_it_was_and_how_good_it_would_have_been_to_say_that_all_stays():
    """The levels differ by a tenth from piece to piece, the jump is threefold."""
    state = known(office, 6, noise=0.0)
    told = season.rise(state, LEAD, 6 * A_DAY + 9 * HOUR - LEAD + 1)
    assert told.says(LEAD) == (
        "3.00 times as much is expected in 3m30s, as it came at this hour on the last 3 days: such forecasts were off "
        "by 0% in the mean of the last week, where 'it stays as it is' was off by 200%"
    )


def test_the_week_is_believed_where_it_is_better_than_the_day():
    state = known(working_days, 14)
    assert state.use.way == "week"
    monday, saturday = 14 * A_DAY, 12 * A_DAY
    assert season.rise(state, LEAD, monday + 9 * HOUR - LEAD + 1).factor > 2
    assert max(rises(state, saturday + 8 * HOUR, 2 * HOUR).values(), default=1.0) < 1.6


def test_where_nothing_repeats_nothing_is_expected():
    chance = random.Random(3)
    levels = [chance.choice([5.0, 10.0, 20.0, 40.0]) for _ in range(14 * 96)]
    state = known(lambda at: levels[int(at // 900)], 13)
    assert state.use is None
    assert rises(state, 13 * A_DAY, A_DAY) == {}


@pytest.mark.parametrize("seed", range(5))
def test_a_noise_alone_raises_nothing_by_much(seed):
    state = known(lambda _at: 20.0, 10, noise=0.2, seed=seed)
    assert max(rises(state, 10 * A_DAY, A_DAY).values(), default=1.0) < 1.5


def test_what_does_not_repeat_any_more_is_forgotten():
    stopped = known(lambda at: office(at) if at < 5 * A_DAY else 10.0, 10)
    assert rises(stopped, 10 * A_DAY, A_DAY) == {}


def test_a_day_that_was_another_moves_nothing():
    """The middle of three days counts: one day without the morning, and one with a feast at night."""
    state = known(lambda at: 10.0 if 5 * A_DAY <= at < 6 * A_DAY else office(at), 8)
    assert season.rise(state, LEAD, 8 * A_DAY + 9 * HOUR - LEAD + 1).factor > 2
    feast = known(lambda at: 200.0 if 0 <= at - 7 * A_DAY - 3 * HOUR < HOUR else office(at), 8)
    assert max(rises(feast, 8 * A_DAY + 2 * HOUR, 2 * HOUR).values(), default=1.0) < 1.5


def test_a_slow_start_up_looks_further_ahead():
    state = season.recalled(None, days(office, 6), 600.0, 6 * A_DAY)
    assert season.rise(state, 600.0, 6 * A_DAY + 9 * HOUR - 590).factor > 2
    assert season.rise(state, 60.0, 6 * A_DAY + 9 * HOUR - 590) is None


def test_less_is_never_expected_and_no_more_than_four_times():
    state = known(lambda at: 300.0 if 9 * HOUR <= at % A_DAY < 17 * HOUR else 10.0, 6)
    factors = rises(state, 6 * A_DAY, A_DAY).values()
    assert max(factors) == season.MOST
    assert min(factors) > 1


def test_ticks_fill_the_pieces_and_a_gap_stays_unknown():
    state = None
    for tick in range(40):
        state = season.ticked(state, 10.0 + tick, LEAD, 1_000_200.0 + tick * 60.0)
    told = state.loads[~np.isnan(state.loads)]
    assert told.tolist() == [pytest.approx(12.0 + 5 * piece) for piece in range(7)]
    later = season.ticked(state, 99.0, LEAD, 1_000_200.0 + 39 * 60.0 + 3 * PIECE)
    assert math.isnan(later.loads[-2])
    assert later.loads[-3] == pytest.approx(sum(range(45, 50)) / 5)
    away = season.ticked(state, 99.0, LEAD, 1_000_200.0 + 30 * A_DAY)
    assert (~np.isnan(away.loads)).sum() == 0


def test_days_that_come_later_fill_only_what_is_not_known():
    first = season.ticked(None, 7.0, LEAD, 6 * A_DAY)
    state = season.ticked(first, 7.0, LEAD, 6 * A_DAY + PIECE)  # the first piece of the day is known
    state = season.recalled(state, [*days(office, 6), (6 * A_DAY + PIECE, 1000.0)], LEAD, 6 * A_DAY + PIECE)
    assert state.loads[-1] == 7.0
    assert state.use is not None
    assert season.recalled(state, [(A_DAY * -20, 5.0), (A_DAY * 20, 5.0)], LEAD, 6 * A_DAY + PIECE).use == state.use


def test_less_than_a_day_says_nothing():
    assert season.recalled(None, days(office, 1)[:-1], LEAD, A_DAY).use is None
