"""The demo's world: a wave that begins and ends low, with room for the way down."""

import pytest

from scaler.cli.demo.scenario import DAY, LEAD_IN, SHORTEST, scenario, wave
from scaler.sim.play import Incidents


def rate(trace, start, end):
    return sum(start <= one.at < end for one in trace) / (end - start)


@pytest.mark.parametrize("steepness", [0.5, 1.0])
def test_the_wave_rises_to_a_peak_and_falls(steepness):
    trace = wave(900.0, steepness)
    peak = rate(trace, 450, 540)
    assert peak > 2 * rate(trace, 180, 315) > 0
    assert rate(trace, 810, 900) < rate(trace, 600, 690) < peak
    assert rate(trace, 0, 90) < peak / 4


def test_equal_seeds_give_equal_waves():
    assert wave(300.0, 1.0) == wave(300.0, 1.0) != wave(300.0, 1.0, seed=2)


def test_a_steeper_wave_has_the_higher_peak():
    assert rate(wave(900.0, 1.0), 450, 540) > 2 * rate(wave(900.0, 0.5), 450, 540)


@pytest.mark.parametrize("span", [SHORTEST, 600.0, DAY, 3 * DAY])
def test_there_is_time_for_the_way_down(span):
    plan = scenario(span)
    last, down = plan.trace[-1].at, plan.scaled
    assert plan.trace[0].at >= LEAD_IN
    assert last + 60.0 + down.cooldown_period + 2 * down.polling_interval < plan.end == span


def test_the_usual_incidents_are_within_the_load_and_others_take_their_place():
    plan = scenario(DAY)
    ((start, end),) = plan.incidents.outages
    assert plan.incidents.kills[0] < start < end < plan.trace[-1].at
    assert end - start < 60.0  # holdFor of the demo
    assert scenario(DAY, Incidents(kills=(1.0,))).incidents == Incidents(kills=(1.0,))
