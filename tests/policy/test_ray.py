"""Ray Serve's policy, by the vectors of Ray 2.60.0."""

import pytest

from scaler.model.errors import ConfigError
from scaler.model.fields import Fields
from scaler.policy import ray
from scaler.policy.outcome import PolicyInput
from scaler.policy.window import AGGREGATIONS, added, within

AT_ONCE = {"upscale_delay_s": 0, "downscale_delay_s": 0, "look_back_period_s": 1}


def spec(**changed):
    fields = Fields("f.yaml", changed, "policy")
    read = ray.parse(fields)
    fields.close()
    return read


def play(settings, current, *loads):
    """Fold (seconds, load) from so many replicas on; returns the replicas of every step."""
    state, answers = ray.RayState(target=current), []
    for at, load in loads:
        state, outcome = ray.step(settings, state, PolicyInput(load, load, current=current), at)
        answers.append(outcome.replicas)
    return answers


@pytest.mark.parametrize(
    ("current", "total", "replicas"), [(1, 0, 0), (1, 2, 1), (1, 3, 2), (4, 40, 20), (4, 7, 4), (0, 1, 1), (0, 100, 1)]
)
def test_ongoing_requests_over_the_target(current, total, replicas):
    assert play(spec(**AT_ONCE), current, (0.0, total / 2)) == [replicas]


@pytest.mark.parametrize(("factor", "current", "load", "replicas"), [("up", 1, 10, 6), ("down", 10, 5, 8)])
def test_a_factor_goes_part_of_the_way(factor, current, load, replicas):
    assert play(spec(**AT_ONCE, **{f"{factor}scaling_factor": 0.5}), current, (0.0, load)) == [replicas]


def test_a_small_factor_never_gets_stuck_above():
    assert play(spec(**AT_ONCE, downscaling_factor=0.01), 5, (0.0, 2.0)) == [4]


def test_up_after_its_delay():
    settings = spec(look_back_period_s=1)
    assert play(settings, 1, (0, 5), (29.9, 5), (30, 5)) == [1, 1, 5]


def test_down_after_its_delay_and_to_zero_by_one():
    settings = spec(look_back_period_s=1)
    assert play(settings, 5, (0, 1), (599.9, 1), (600, 1)) == [5, 5, 1]
    assert play(settings, 5, (0, 0), (600, 0), (601, 0), (1201, 0)) == [5, 1, 1, 0]
    assert play(spec(look_back_period_s=1, downscale_to_zero_delay_s=10), 1, (0, 0), (10, 0)) == [1, 0]


def test_the_latest_value_wins_and_a_turn_starts_the_delay_again():
    settings = spec(look_back_period_s=1)
    assert play(settings, 1, (0, 5), (10, 7), (29, 3), (30, 9)) == [1, 1, 1, 9]
    assert play(settings, 3, (0, 5), (10, 1), (20, 5), (40, 5), (50, 5)) == [3, 3, 3, 3, 5]


def test_from_zero_at_once_and_to_one():
    assert play(spec(), 0, (0, 50)) == [1]


def test_from_zero_the_least_load_brings_one_and_it_is_active():
    assert play(spec(), 0, (0, 0.1)) == [1]
    for load, active in ((1.0, True), (0.0, False)):
        _, outcome = ray.step(spec(**AT_ONCE), ray.RayState(target=1), PolicyInput(load, load, current=1), 0.0)
        assert outcome.active is active
    _, outcome = ray.step(spec(**AT_ONCE), ray.RayState(target=5), PolicyInput(1.0, 1.0, current=5), 0.0)
    assert (outcome.replicas, outcome.active) == (1, True)


@pytest.mark.parametrize(("how", "replicas"), [("mean", 3), ("max", 6), ("min", 1)])
def test_loads_of_the_look_back_are_aggregated(how, replicas):
    settings = spec(aggregation_function=how, upscale_delay_s=0, downscale_delay_s=0)
    assert play(settings, 1, (0, 1), (10, 1), (20, 6))[-1] == replicas


def test_windows_expire_when_they_are_read():
    settings = spec(aggregation_function="max", upscale_delay_s=0, downscale_delay_s=0)
    assert play(settings, 1, (0, 9), (29, 1), (30, 1)) == [9, 9, 1]


def test_a_fresh_process_begins_with_the_replicas_that_there_are():
    state, outcome = ray.step(spec(), ray.INITIAL, PolicyInput(1.0, 1.0, current=7), 0.0)
    assert (state.target, outcome.replicas) == (7, 7)
    assert "downscale_delay_s 10m, of which 0s have passed" in outcome.reason


def test_its_defaults_are_those_of_rays_autoscaling_config():
    assert spec() == ray.Ray(
        look_back_period_s=30.0,
        upscale_delay_s=30.0,
        downscale_delay_s=600.0,
        downscale_to_zero_delay_s=None,
        upscaling_factor=1.0,
        downscaling_factor=1.0,
        aggregation_function="mean",
    )


def test_the_delay_to_zero_counts_from_one_replica_alone():
    settings = spec(look_back_period_s=1, downscale_delay_s=50, downscale_to_zero_delay_s=10)
    assert play(settings, 2, (0, 0), (10, 0), (49, 0), (50, 0), (59, 0), (60, 0), (61, 0)) == [2, 2, 2, 1, 1, 1, 1]
    assert play(settings, 1, (0, 0), (9, 0), (10, 0)) == [1, 1, 0]


@pytest.mark.parametrize(
    "wrong", [{"upscaling_factor": 0}, {"aggregation_function": "p95"}, {"look_back_period_s": 0}, {"max": 1}]
)
def test_what_ray_refuses_is_refused(wrong):
    with pytest.raises(ConfigError, match=f"policy.{next(iter(wrong))}"):
        spec(**wrong)


def test_ongoing_requests_are_weighted_by_how_long_they_were():
    """Ray's own example: two replicas and a queue, each of which stands until it reports again, up to 2.0 s."""
    series = [[(0.2, 5), (0.8, 7), (1.5, 6)], [(0.1, 3), (0.9, 4), (1.4, 8)], [(0.3, 2), (1.0, 3)]]
    samples = ()
    for tick in range(30, 200):
        at = tick / 100
        total = sum([value for since, value in one if since <= at][-1] for one in series)
        samples = added(samples, at, total, 60.0)
    assert AGGREGATIONS["mean"](within(samples, 1.99, 60.0)) == pytest.approx(23.4 / 1.7)


def test_after_it_was_woken_a_further_rise_waits_as_any_rise():
    """From 0 to 1 at once; that 3 are wanted is first seen 10 s later, and waits its 30 s from then on."""
    settings = spec(look_back_period_s=10, upscale_delay_s=30)
    state, answers = ray.INITIAL, []
    for tick in range(5):
        state, outcome = ray.step(settings, state, PolicyInput(3.0, 3.0), tick * 10.0)
        answers.append(outcome.replicas)
    assert answers == [1, 1, 1, 1, 3]
