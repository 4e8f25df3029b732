"""What a replica carries: all that curve.py says, held against every curve there is, weighed one by one."""

import math
import random
from itertools import accumulate, product

import numpy as np
import pytest

from scaler.policy import curve
from scaler.policy.curve import BELIEVED, BREAK, CLIENT, FLOORS, NEAR, NEAR_SLOPE, SPAN, STEEPNESS, STEPS, UNSEEN, WIDTH
from scaler.policy.prior import DOUBT

KNEES = [0.02 * math.exp(0.05 * step) for step in range(48, 94)]  # 0.22 to 2.1
LIKELY = dict(zip(STEEPNESS, (0.3, 0.4, 0.3), strict=True))


def load_of(step):
    return 0.02 * math.exp(0.05 * step)


def missing(load, knee, steepness):
    """The share that misses besides the floor."""
    return 1 / (1 + (knee / load) ** steepness)


def weighed(counts, least=0.0):
    """Every curve and how likely it is: (knee, steepness, floor) -> weight, by Bayes' rule."""
    seen = [(load_of(step), *counts[:, step]) for step in range(STEPS) if counts[0, step]]
    near = {knee: math.exp(-0.5 * (math.log(knee) / 0.15) ** 2) for knee in KNEES}
    weights = {}
    for knee, steepness, floor in product(KNEES, STEEPNESS, FLOORS):
        before = (0.9 * near[knee] / sum(near.values()) + 0.1 / len(KNEES)) * LIKELY[steepness]
        log = math.log(before) - floor / 0.05 - (DOUBT if knee < least else 0.0)
        for load, requests, missed in seen:
            chance = min(max(floor + (1 - floor) * missing(load, knee, steepness), 1e-4), 1 - 1e-4)
            log += missed * math.log(chance) + (requests - missed) * math.log(1 - chance)
        weights[knee, steepness, floor] = log
    most = max(weights.values())
    weights = {one: math.exp(log - most) for one, log in weights.items()}
    return {one: weight / sum(weights.values()) for one, weight in weights.items()}


def quantile(weights, share):
    """The first knee at which so much of the weight is at it or below."""
    below = 0.0
    for knee in KNEES:
        below += sum(weight for (other, _, _), weight in weights.items() if other == knee)
        if below >= share:
            return knee
    return KNEES[-1]


def seen(*rows):
    """Counts of requests and misses by load."""
    counts = np.zeros((2, STEPS))
    for load, requests, missed in rows:
        counts[:, curve.step_of(load)] += requests, missed
    return counts


def drawn(seed):
    chance = random.Random(seed)
    rows = []
    for _ in range(chance.randrange(1, 6)):
        requests = chance.choice([0.5, 4.0, 30.0])
        rows.append((chance.uniform(0.1, 2.5), requests, requests * chance.choice([0.0, 0.01, 0.2, 0.9])))
    return seen(*rows), chance.choice([0.0, 0.0, 0.7])


@pytest.mark.parametrize("seed", range(6))
def test_what_is_known_of_a_replica_is_the_mean_of_all_curves_as_likely_as_they_are(seed):
    counts, least = drawn(seed)
    known, weights = curve.curve(counts, least), weighed(counts, least)
    for step in range(0, STEPS, 9):
        expected = sum(weight * missing(load_of(step), knee, steep) for (knee, steep, _), weight in weights.items())
        assert known.misses[step] == pytest.approx(expected, rel=1e-6)
    assert known.floor == pytest.approx(sum(weight * floor for (_, _, floor), weight in weights.items()))
    assert known.low == pytest.approx(quantile(weights, 0.05))
    assert known.high == pytest.approx(quantile(weights, 0.95))
    assert known.seen == pytest.approx(counts[0].sum())


def test_before_much_is_seen_the_knee_is_thought_near_the_load_that_the_speed_foretells():
    known = curve.curve(seen((0.02, 0.001, 0.0)))
    assert (round(known.low, 2), round(known.high, 2)) == (0.66, 1.33)
    assert known.misses[curve.step_of(1.0)] == pytest.approx(0.5, abs=0.03)
    assert known.floor == pytest.approx(0.013, abs=0.001), "most likely there is none, and hardly one of 20 %"


def test_a_replica_is_thought_to_carry_no_less_than_a_fifth_and_no_more_than_twice_of_what_is_foretold():
    assert curve.curve(seen((0.05, 1.0, 0.0), (0.14, 3000.0, 3000.0))).low == pytest.approx(0.2205, abs=1e-3)
    assert curve.curve(seen((2.8, 3000.0, 0.0))).high == pytest.approx(2.0920, abs=1e-3)


@pytest.mark.parametrize("load", [0.0, 0.001, 0.02, 0.3, 1.0, 2.4, 2.82, 90.0])
def test_a_step_is_five_percent_wide_from_a_fiftieth_up_to_three(load):
    step = curve.step_of(load)
    assert 0 <= step <= 99
    if 0.02 <= load <= 2.82:
        assert abs(math.log(load_of(step) / load)) <= WIDTH / 2 + 1e-9
    else:
        assert step == (0 if load < 1 else 99)


def test_of_a_minute_so_many_requests_count_as_are_not_alike_and_never_more_than_sixty():
    """60 of a minute: a quarter of them for being alike, and a sixtieth of each other for being one minute: 12."""
    for rate, counts in ((0.01, 0.6 / 4.01), (1.0, 12.0), (1000.0, 60_000 / 1004)):
        assert curve.counted(None, 0.5, rate, 0.25, 60.0)[:, curve.step_of(0.5)] == pytest.approx([counts, counts / 4])
    half = curve.counted(None, 0.5, 1.0, 0.25, 30.0)
    assert half[0].sum() == pytest.approx(6.0)
    both = curve.counted(half, 1.5, 1.0, 1.0, 60.0)
    assert (half[0].sum(), both[0].sum(), both[1].sum()) == pytest.approx((6.0, 18.0, 13.5)), (
        "what was is left as it is"
    )


def test_what_was_seen_halves_in_an_hour_and_at_loads_that_surprise_in_two_minutes():
    counts = seen((0.5, 8.0, 4.0), (1.0, 8.0, 4.0), (2.0, 8.0, 4.0))
    places = [curve.step_of(load) for load in (0.5, 1.0, 2.0)]
    assert curve.faded(counts, 3600.0)[0, places] == pytest.approx([4.0, 4.0, 4.0])
    assert curve.faded(counts, 120.0, 1.0)[1, places] == pytest.approx([4 * 0.5 ** (1 / 30), 2.0, 2.0])


def test_it_is_surprised_where_so_many_more_miss_than_are_believed_to():
    known = curve.curve(seen((0.5, 50.0, 0.0), (2.0, 50.0, 50.0)))
    usual = known.floor + float(known.misses[curve.step_of(0.5)])
    assert not known.surprised(0.5, usual + 0.29)
    assert known.surprised(0.5, usual + 0.31)
    assert not known.surprised(2.0, 1.0)


# ---- what may come -----------------------------------------------------------------------------------------------------


def usual(step):
    """How likely it is that a forecast is so many steps off, before anything is known."""
    return math.exp(-0.5 * (WIDTH * step / 0.15) ** 2) / sum(
        math.exp(-0.5 * (WIDTH * one / 0.15) ** 2) for one in range(-SPAN, SPAN + 1)
    )


def near_step(off):
    return min(max(round(off / WIDTH), -SPAN), SPAN)


def weights_of_errors(rows, level, slope):
    """The same, step by step and forecast by forecast."""
    here, steps = math.log(level), range(-SPAN, SPAN + 1)
    broke = [row for row in rows if abs(row[1]) > BREAK]
    alike = dict.fromkeys(steps, 0.0)
    for then, off, slope_then in rows:
        if abs(off) <= BREAK:
            alike[near_step(off)] += math.exp(
                -0.5 * (((then - here) / NEAR) ** 2 + ((slope_then - slope) / NEAR_SLOPE) ** 2)
            )
    usually = {step: usual(step) for step in steps}
    goes_on = {step: 10 * usually[step] + alike[step] for step in steps}
    begins = dict.fromkeys(steps, 0.0)
    for then, off, _ in rows:
        came = near_step(then + off - here)
        for step in steps:
            begins[step] += usually.get(step - came, 0.0) / len(rows)
    client = near_step(math.log1p(2 * min(1.0, 1 / level)))
    all_seen, whole = len(rows) + UNSEEN, sum(goes_on.values())
    new = len(broke) / all_seen
    return [
        (1 - new) * goes_on[step] / whole + new * begins[step] + (CLIENT / all_seen if step == client else 0.0)
        for step in steps
    ]


@pytest.mark.parametrize("seed", range(5))
def test_what_may_come_is_that_it_goes_on_or_that_something_new_begins_or_that_a_client_comes(seed):
    chance = random.Random(seed)
    rows, level = [], chance.choice([0.4, 1.0, 6.0])
    for _ in range(chance.choice([1, 12, 40])):
        off = chance.gauss(0, 0.1) if chance.random() < 0.8 else chance.uniform(-3, 3)
        rows.append((chance.gauss(math.log(level), 0.4), off, chance.gauss(0, 0.3)))
    assert curve.errors(np.array(rows), level, 0.1) == pytest.approx(weights_of_errors(rows, level, 0.1))


def test_before_a_forecast_was_checked_it_is_about_right_or_a_client_comes():
    """One replica's load of now, and a client with two: three times as much, in one of fifty."""
    likely = curve.errors(None, 1.0, 0.0)
    three_times = SPAN + round(math.log(3) / WIDTH)
    expected = [usual(step) + (0.02 if SPAN + step == three_times else 0.0) for step in range(-SPAN, SPAN + 1)]
    assert likely == pytest.approx(expected)
    few = curve.errors(None, 10.0, 0.0)
    assert few[SPAN + round(math.log(1.2) / WIDTH)] > 0.02, "of ten replicas a client with two makes twelve"


def test_forecasts_that_were_checked_are_kept_up_to_so_many_the_newest_last():
    pairs = None
    for came in (2.0, 3.0, 5.0, 7.0):
        pairs = curve.remembered(pairs, 2.0, came, 0.5, 3)
    assert pairs.tolist() == [pytest.approx([math.log(2), math.log(came / 2), 0.5]) for came in (3.0, 5.0, 7.0)]


# ---- what it carries ---------------------------------------------------------------------------------------------------


def first_above(misses, budget):
    """The load at which a share that is known at every step reaches a budget, between two steps in a line."""
    for step, share in enumerate(misses):
        if share > budget:
            if step == 0:
                return load_of(0)
            before = misses[step - 1]
            return load_of(step - 1 + (budget - before) / (share - before))
    return load_of(STEPS - 1)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("budget", [0.01, 0.2])
def test_what_a_replica_carries_is_where_so_many_miss_with_all_that_may_come(seed, budget):
    counts, _ = drawn(seed)
    known, chance = curve.curve(counts), random.Random(seed)
    likelier = chance.randrange(1, 40)
    wrong = np.array([usual(step) + (0.05 if step == likelier else 0.0) for step in range(-SPAN, SPAN + 1)])
    load, typical = curve.carries(known, wrong, budget)

    misses = known.misses.tolist()
    by_requests = {step: wrong[SPAN + step] * math.exp(WIDTH * step) for step in range(-SPAN, SPAN + 1)}
    expected = [
        sum(weight * misses[min(max(at + step, 0), STEPS - 1)] for step, weight in by_requests.items())
        / sum(by_requests.values())
        for at in range(STEPS)
    ]
    shapes = [
        (knee * (budget / (1 - budget)) ** (1 / steep), float(known.shapes[place]))
        for place, (knee, steep) in enumerate(product(KNEES, STEEPNESS))
    ]
    shapes.sort()
    so_far = list(accumulate(weight for _, weight in shapes))
    reached, _ = shapes[next(place for place, share in enumerate(so_far) if share >= BELIEVED)]
    assert typical == pytest.approx(reached, rel=1e-6)
    assert load == pytest.approx(first_above(expected, budget) * typical / first_above(misses, budget), rel=1e-6)


def test_where_what_may_come_is_too_much_at_any_load_the_margin_is_all_of_it():
    """At 0.022 all miss, and loads are wrong by a factor of twelve: with any load more miss than may."""
    known = curve.Curve(np.array([0.0] * 3 + [1.0] * 97), 0.0, 1.0, 1.0, 1.0, curve.curve(seen((1.0, 1.0, 0.0))).shapes)
    load, typical = curve.carries(known, np.ones(2 * SPAN + 1), 0.01)
    assert load / typical == pytest.approx(load_of(0) / load_of(2.01))


def test_a_replica_at_which_too_many_miss_at_any_load_carries_next_to_nothing():
    always = curve.curve(seen((0.05, 1.0, 0.0)))
    lost = curve.Curve(np.full(STEPS, 0.3), 0.0, 1.0, 1.0, 1.0, always.shapes)
    load, typical = curve.carries(lost, curve.errors(None, 1.0, 0.0), 0.01)
    assert load == pytest.approx(typical), "the margin is none where it is of no use"
