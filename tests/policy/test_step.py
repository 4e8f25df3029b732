"""Tiers in percent of the maximum."""

import pytest

from scaler.model.errors import ConfigError
from scaler.model.fields import Fields
from scaler.policy import step
from scaler.policy.outcome import PolicyInput

TIERS = [{"at": 10, "percent": 50}, {"at": 100, "percent": 100}]


def spec(**changed):
    fields = Fields("f.yaml", {"tiers": TIERS, **changed}, "policy")
    read = step.parse(fields)
    fields.close()
    return read


def play(settings, *percents, maximum=10):
    state, answers = step.INITIAL, []
    for tick, percent in enumerate(percents):
        state, outcome = step.step(settings, state, PolicyInput(percent / 100, percent, maximum=maximum), float(tick))
        answers.append(outcome.replicas)
    return answers


def test_the_highest_tier_that_is_reached():
    assert play(spec(), 0, 9.9, 10, 99, 100, 1000) == [0, 0, 5, 5, 10, 10]


def test_a_tier_is_left_only_below_its_hysteresis():
    assert play(spec(hysteresis=5), 12, 100, 96, 95, 94, 6, 5, 4, 9) == [5, 10, 10, 10, 5, 5, 5, 0, 0]


def test_its_defaults():
    assert (spec().hysteresis, spec().memory) == (0.0, 300.0)


def test_a_hysteresis_may_be_as_wide_as_the_narrowest_tier():
    assert spec(hysteresis=10).hysteresis == 10
    narrow = [{"at": 50, "percent": 50}, {"at": 58, "percent": 100}]
    assert spec(tiers=narrow, hysteresis=8).hysteresis == 8
    with pytest.raises(ConfigError, match=r"9 is wider than a tier \(8\)"):
        spec(tiers=narrow, hysteresis=9)


def test_there_may_be_fifty_tiers():
    rising = [{"at": at, "percent": at} for at in range(1, 52)]
    assert len(spec(tiers=rising[:50]).tiers) == 50
    with pytest.raises(ConfigError, match="has 51 items"):
        spec(tiers=rising)


@pytest.mark.parametrize("second", [{"at": 10, "percent": 60}, {"at": 20, "percent": 50}])
def test_a_tier_rises_in_both(second):
    with pytest.raises(ConfigError, match="tiers that rise in both"):
        spec(tiers=[TIERS[0], second])


def test_a_share_of_a_replica_is_a_replica():
    assert play(spec(), 10, maximum=3) == [2]
    assert play(spec(tiers=[{"at": 10, "percent": 10}]), 10, maximum=70) == [7]


def test_all_of_the_maximum_is_no_more_and_no_less():
    assert play(spec(), 100, maximum=200) == [200]


def test_a_tier_may_begin_below_one_percent():
    assert play(spec(tiers=[{"at": 0.5, "percent": 0.5}]), 0.4, 0.5, maximum=200) == [0, 1]


def test_a_value_of_each_replica_is_compared_as_it_is():
    seen = PolicyInput(0.5 * 6, 0.4, ready=6, maximum=10, each=True)
    assert step.step(spec(), step.INITIAL, seen, 0.0)[1].replicas == 5


def test_without_the_maximum_nothing_is_certain():
    _, outcome = step.step(spec(), step.INITIAL, PolicyInput(1.0, 1.0), 0.0)
    assert "needs maxReplicaCount" in outcome.problem


def test_it_says_where_it_is():
    _, outcome = step.step(spec(hysteresis=5), step.StepState(2), PolicyInput(0.96, 96, maximum=10), 0.0)
    assert outcome.reason == "96% of the target, tier from 100%, held by the hysteresis of 5: 100% of 10 replicas"


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("tiers", {"tiers": []}),
        (r"tiers\[1\]", {"tiers": [TIERS[1], TIERS[0]]}),
        (r"tiers\[0\].percent", {"tiers": [{"at": 10, "percent": 101}]}),
        ("hysteresis", {"hysteresis": 11}),
        ("steps", {"steps": []}),
    ],
)
def test_what_is_wrong_is_refused(key, wrong):
    with pytest.raises(ConfigError, match=rf"policy\.{key}"):
        spec(**wrong)


@pytest.mark.parametrize(
    ("tiers", "hysteresis", "taken"),
    [
        ([{"at": 1e6, "percent": 100}], 1e6, True),
        ([{"at": 1e6, "percent": 100}], 1e6 + 1, False),
        ([{"at": 1e6 + 1, "percent": 1}], 0, False),
        ([{"at": 0, "percent": 1}], 0, False),
        ([{"at": 1, "percent": 0}], 0, False),
        ([{"at": 1, "percent": 101}], 0, False),
    ],
)
def test_tiers_are_above_nothing_and_of_all_at_most(tiers, hysteresis, taken):
    tree = {"tiers": tiers, "hysteresis": hysteresis}
    if taken:
        step.parse(Fields("f.yaml", tree, "policy"))
    else:
        with pytest.raises(ConfigError):
            step.parse(Fields("f.yaml", tree, "policy"))
