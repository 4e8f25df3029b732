"""The margin: forecasts are held against what came, and a replica is given less where they were off."""

import math

import pytest

from scaler.policy import curve
from scaler.policy.margin import CHECKS, Checks, Forecast, Margin, checked, margin_of
from scaler.policy.speed import Flow, Speed

SPEED = Speed(idle=75.0)
ITL = 0.05
LEAD = 180.0
ONE = Flow(1000.0, 1000.0).times(1 / SPEED.replicas(Flow(1000.0, 1000.0), ITL))  # the load of a replica at its edge


def fold(loads, before=None, start=0.0, interval=30.0):
    """Check forecasts of loads, in replicas at their edge, that come as they are given."""
    for number, load in enumerate(loads):
        forecast = Forecast(start + number * interval, ONE.times(load), 0.0)
        before = checked(before, forecast, load, LEAD, SPEED, ITL)
    return before


def test_a_forecast_is_held_against_what_came_one_start_up_later():
    checks = fold([4.0] * 6)
    assert checks.pairs is None
    checks = fold([6.0], checks, start=LEAD)
    (level, off, slope) = checks.pairs[0]
    assert math.exp(level) == pytest.approx(4.0)
    assert math.exp(off) == pytest.approx(1.5)  # as the worked example has it
    assert slope == 0.0


def test_forecasts_are_checked_every_half_minute_and_those_that_were_are_forgotten():
    checks = fold([4.0] * 40, interval=15.0)
    assert len(checks.waiting) == 7  # of three minutes, and the one that was checked last
    assert len(checks.pairs) == 14
    assert checked(checks, Forecast(615.0, ONE, 0.0), 4.0, LEAD, SPEED, ITL).waiting[-1].at == 615.0
    assert checked(checks, Forecast(594.0, ONE, 0.0), 4.0, LEAD, SPEED, ITL) is checks


def test_no_more_than_six_hours_are_kept():
    assert len(fold([4.0] * (CHECKS + 20)).pairs) == CHECKS


@pytest.mark.parametrize(("level", "came", "speed"), [(0.0, 4.0, SPEED), (4.0, 0.0, SPEED), (4.0, 4.0, Speed())])
def test_a_load_that_is_none_or_not_known_in_replicas_is_not_checked(level, came, speed):
    before = checked(None, Forecast(0.0, ONE.times(level), 0.0), came, LEAD, speed, ITL)
    after = checked(before, Forecast(LEAD, ONE.times(level), 0.0), came, LEAD, speed, ITL)
    assert after.pairs is None
    assert len(after.waiting) == 2


CURVE = curve.curve(curve.counted(curve.counted(None, 0.5, 10.0, 0.0, 3600.0), 0.9, 10.0, 0.5, 3600.0))
NOW = Forecast(0.0, ONE, 0.0)


def test_a_replica_is_given_less_where_the_load_jumps():
    steady, jumping = fold([4.0] * 300), fold([4.0, 4.0, 4.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0] * 33)
    calm, wild = (margin_of(CURVE, one, NOW, 4.0, 0.01, 0.0) for one in (steady, jumping))
    assert wild.carried < 0.9 * calm.carried < calm.alone
    assert wild.alone == calm.alone
    assert not calm.tried


def test_no_more_than_the_bound_is_tried_and_it_is_said():
    free = margin_of(CURVE, Checks(), NOW, 4.0, 0.01, 0.0)
    bound = margin_of(CURVE, Checks(), NOW, 4.0, 0.01, free.carried / 2)
    assert (bound.carried, bound.tried) == (free.carried / 2, True)
    assert margin_of(CURVE, Checks(), NOW, 4.0, 0.01, free.carried * 2) == free


def test_a_margin_holds_for_a_minute_while_the_load_is_about_the_same():
    margin = Margin(100.0, 4.0, 0.65, 0.8, tried=False)
    assert margin.holds(4.1, 159.9)
    assert not margin.holds(4.1, 160.0)
    assert not margin.holds(4.2, 100.0)
    assert not margin.holds(3.8, 100.0)
