"""What an engine's configuration tells of a replica: a start for what is not known, and no harm where it is wrong."""

import pytest
from benchmarks.decisions.policies import OURS, Ours, shipped
from benchmarks.decisions.traces import step

from scaler.model.nodes import ReplicaTemplate
from scaler.model.objects import ScaledResource
from scaler.policy import curve, prior
from scaler.sim.fleet import FleetSpec
from scaler.sim.hardware import hardware
from scaler.sim.loop import World, run


def scaled(seats):
    template = ReplicaTemplate((), seats=seats)
    return ScaledResource("ScaledObject", "team", "llama", "1", 1, (), (), "Deployment llama", 1, 64, template=template)


def test_the_fewer_of_what_the_arguments_say_and_what_the_cache_holds():
    """12 that run on 2 replicas hold 3 % of each: 200 find room."""
    assert prior.seats(scaled(64), 0.03, 12.0, 2) == prior.Seats(64, "its arguments say")
    assert prior.seats(scaled(256), 0.03, 12.0, 2) == prior.Seats(pytest.approx(200), "its KV cache has room for")
    assert prior.seats(scaled(256), -1.0, 12.0, 2).count == 256


@pytest.mark.parametrize(
    ("usage", "running", "ready"), [(-1.0, 12.0, 2), (0.001, 12.0, 2), (0.2, 0.0, 2), (0.2, 3.0, 0)]
)
def test_what_is_not_told_is_not_guessed(usage, running, ready):
    assert prior.seats(None, usage, running, ready) is None
    assert prior.seats(scaled(None), usage, running, ready) is None


def test_one_request_that_holds_half_a_percent_is_enough_to_tell():
    assert prior.seats(None, 0.005, 1.0, 1) == prior.Seats(pytest.approx(200), "its KV cache has room for")
    assert prior.seats(None, 0.0049, 1.0, 1) is None
    assert prior.seats(None, 0.005, 0.9, 1) is None


def test_an_answer_of_less_than_a_token_counts_as_one():
    for output in (0.2, 1.0):
        assert prior.Seats(64, "").least(1 / 7, output, 0.05) == pytest.approx(64 / 0.05 / 7 / 8)


def test_an_eighth_of_the_load_with_which_each_token_comes_just_in_time():
    """64 seats, 50 ms a token, 200 tokens of answer: 6.4 requests/s, each the load of a seventh of a replica."""
    assert prior.Seats(64, "").least(1 / 7, 200.0, 0.05) == pytest.approx(6.4 / 7 / 8)
    assert prior.Seats(64, "").first == pytest.approx(8)


def test_a_guess_is_believed_until_some_requests_are_late():
    early = curve.counted(None, 0.9, 4.0, 1.0, 60.0)  # some are late at 0.9, which says little of 0.6
    assert curve.curve(early).low < 0.6
    assert curve.curve(early, 0.6).low >= 0.6
    wrong = curve.counted(None, 0.4, 10.0, 1.0, 60.0)
    assert curve.curve(wrong, 0.6).high < 0.5


def first_minutes(row, rate, seats):
    """GPU-hours of the first five minutes of a workload that begins cold, and of five more, with those that are late."""
    world = World(FleetSpec(hardware(row), startup=120.0), OURS, ready=1, seed=1)
    policy, hours = Ours(shipped("slo"), 120.0, seats=seats, tells_cache=False), {}
    told = policy.observe

    def observe(seen):
        told(seen)
        hours[seen.at] = seen.replica_seconds / 3600

    policy.observe = observe
    timeline = run(world, step(0.0, 600.0, rate, 1000, 220, 1), policy)
    late = [one.ttft > 1 for one in timeline.done if one.arrival.at >= 300]
    at = max(time for time in hours if time <= 300)
    return hours[at], hours[max(hours)] - hours[at], sum(late) / len(late)


@pytest.mark.parametrize(("row", "rate"), [("l40s-8b-bf16", 6.0), ("h100-70b-fp8-tp2", 5.0)])
def test_no_guess_makes_requests_late_after_the_first_minutes_nor_costs_much(row, rate):
    """Too many seats make too few replicas at first, so that requests queue, and that costs more replicas than it saves."""
    unknown, right, high, low = (first_minutes(row, rate, seats) for seats in (None, 256, 2560, 26))
    for guess, costs in ((right, 1.15), (high, 1.6), (low, 1.05)):
        assert sum(guess[:2]) < costs * sum(unknown[:2])
        assert guess[2] < unknown[2] + 0.01
