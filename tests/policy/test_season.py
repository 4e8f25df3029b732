"""The forecast from the days before: it raises what is known to rise, and keeps still where nothing repeats."""

import math
import random
from statistics import fmean, median

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
    kept = season.ticked(state, 99.0, LEAD, 1_000_200.0 + 7 * PIECE + season.KEPT * PIECE)
    assert kept.loads[0] == pytest.approx(sum(range(45, 50)) / 5), "the piece under way is the oldest that is kept"
    assert np.isnan(kept.loads[1:]).all()
    away = season.ticked(state, 99.0, LEAD, 1_000_200.0 + 30 * A_DAY)
    assert (~np.isnan(away.loads)).sum() == 0


def test_days_that_come_later_fill_only_what_is_not_known():
    first = season.ticked(None, 7.0, LEAD, 6 * A_DAY)
    state = season.ticked(first, 7.0, LEAD, 6 * A_DAY + PIECE)  # the first piece of the day is known
    state = season.recalled(state, [*days(office, 6), (6 * A_DAY + PIECE, 1000.0)], LEAD, 6 * A_DAY + PIECE)
    assert state.loads[-1] == 7.0
    assert state.use is not None
    assert season.recalled(state, [(A_DAY * -20, 5.0), (A_DAY * 20, 5.0)], LEAD, 6 * A_DAY + PIECE).use == state.use


def test_the_oldest_piece_that_is_kept_is_filled_in_and_the_one_before_it_is_not():
    newest = 20 * A_DAY
    state = season.recalled(None, [(newest, 3.0), (newest - (season.KEPT - 1) * PIECE, 1.0)], LEAD, newest)
    assert (state.loads[-1], state.loads[0]) == (3.0, 1.0)
    before = season.recalled(None, [(newest - season.KEPT * PIECE, 2.0), (newest + PIECE, 2.0)], LEAD, newest)
    assert np.isnan(before.loads).all()


def test_next_to_nothing_counts_as_a_fiftieth_of_the_mean():
    """From 0 at night to 10 by day, of 20 hours each: a fiftieth of the mean, and no ratio to nothing."""
    state = known(lambda at: 0.0 if at % A_DAY < 4 * HOUR else 12.0, 5, noise=0.0)
    assert state.least == pytest.approx(0.02 * 10.0)
    empty = known(lambda _at: 0.0, 5, noise=0.0)
    assert empty.least == 1e-9


def test_less_than_a_day_says_nothing():
    assert season.recalled(None, days(office, 1)[:-1], LEAD, A_DAY).use is None


def test_ticks_tell_what_the_source_would_have_remembered():
    """Pieces that were seen tick by tick, and the same pieces read back: the same loads at the same times."""
    start = 6 * A_DAY + 7 * HOUR
    ticked = season.ticked(None, 1.0, LEAD, start)
    for tick in range(1, 5 * 5 + 1):
        ticked = season.ticked(ticked, 1.0 + tick, LEAD, start + tick * 60.0)
    past = [(start + (piece + 1) * PIECE, 3.0 + 5 * piece) for piece in range(5)]
    read = season.recalled(None, past, LEAD, start + 5 * PIECE)
    assert ticked.newest == read.newest
    assert ticked.loads.tolist() == pytest.approx(read.loads.tolist(), nan_ok=True)


def test_the_piece_in_which_the_days_before_are_read_is_of_its_ticks_alone():
    state = season.recalled(None, days(office, 5), LEAD, 5 * A_DAY)
    for tick in range(6):
        state = season.ticked(state, 12.0, LEAD, 5 * A_DAY + tick * 60.0)
    assert state.loads[-1] == pytest.approx(12.0)


# ---- what is worth using, forecast by forecast --------------------------------------------------------------------------


def worth(loads, lead):
    """The forecast that is worth using: (way, rise, off, naive), of loads by the number of their piece, the newest last."""
    newest = max(loads)
    kept = {piece: load for piece, load in loads.items() if newest - 14 * 288 < piece}
    if len(kept) < 288:
        return None
    least, ahead = 0.02 * fmean(kept.values()), max(round(lead / 300), 1)

    def step(piece):
        """How the load rose towards a piece, as a logarithm; None: not known."""
        if piece not in kept or piece - ahead not in kept:
            return None
        return math.log(max(kept[piece], least) / max(kept[piece - ahead], least))

    checked = []  # (what came, what each way said of it)
    for piece in range(newest - 7 * 288 + 1, newest + 1):
        told = {
            "day": [step(piece - back * 288) for back in (1, 2, 3)],
            "week": [step(piece - 7 * 288)],
        }
        seen = {way: [one for one in steps if one is not None] for way, steps in told.items()}
        checked.append((step(piece), {way: median(steps) for way, steps in seen.items() if steps}))
    for rise in (1.1, 1.25, 1.5, 2.0):
        good = []
        for way in ("day", "week"):
            pairs = [(came, said[way]) for came, said in checked if came is not None and way in said]
            pairs = [(came, said) for came, said in pairs if said >= math.log(rise)]
            if len(pairs) >= 3:
                off, naive = fmean(abs(said - came) for came, said in pairs), fmean(abs(came) for came, _ in pairs)
                good += [(off, way, naive)] if off < 0.8 * naive else []
        if good:
            off, way, naive = min(good)
            return way, rise, off, naive
    return None


@pytest.mark.parametrize("seed", range(8))
def test_the_forecast_that_is_worth_using_is_the_one_that_was_best_over_all_pieces_of_a_week(seed):
    chance = random.Random(seed)
    count, lead = chance.choice([3, 5, 9, 14]), chance.choice([60.0, 210.0, 400.0, 900.0])
    level = chance.choice([office, working_days])
    past = [row for row in days(level, count, noise=0.1, seed=seed) if chance.random() > 0.1]  # with holes
    use = season.recalled(None, past, lead, count * A_DAY).use
    expected = worth({round(end / PIECE) - 1: load for end, load in past}, lead)
    if expected is None:
        assert use is None
    else:
        assert (use.way, use.rise) == expected[:2]
        assert (use.off, use.naive) == pytest.approx(expected[2:])


def test_three_mornings_that_were_foretold_are_enough_and_two_are_not():
    assert known(office, 3, noise=0.0).use is None
    assert known(office, 4, noise=0.0).use.rise == 1.1


def test_a_day_of_pieces_is_enough_whatever_days_they_are_of():
    """Six hours of each of four days, with a morning in each; and the same with one piece less."""
    mornings = [row for row in days(office, 4, noise=0.0) if 7 * HOUR < row[0] % A_DAY <= 13 * HOUR]
    assert len(mornings) == DAY
    assert season.recalled(None, mornings, LEAD, 4 * A_DAY).use is not None
    assert season.recalled(None, mornings[1:], LEAD, 4 * A_DAY).use is None


def test_a_forecast_is_the_middle_of_the_days_that_are_known():
    """Of three days one is not known: the mean of a doubled and a quadrupled load, as logarithms, is 2.8 times."""
    jumps = {4: 4.0, 5: 2.0, 6: 3.0}

    def level(at):
        times = jumps.get(int(at // A_DAY), 3.0)
        return 10.0 * (times if 9 * HOUR <= at % A_DAY < 17 * HOUR else 1.0)

    past = [row for row in days(level, 7, noise=0.0) if not 6 * A_DAY < row[0] <= 7 * A_DAY]
    told = season.rise(season.recalled(None, past, LEAD, 7 * A_DAY), LEAD, 7 * A_DAY + 9 * HOUR - LEAD + 1)
    assert told.factor == pytest.approx(math.sqrt(8.0))
