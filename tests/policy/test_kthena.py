"""Kthena's policy, by the vectors of its tests, and by those where it is wrong."""

import pytest

from scaler.model.errors import ConfigError
from scaler.model.fields import Fields
from scaler.policy import kthena
from scaler.policy.outcome import PolicyInput


def spec(tolerance=0, **behavior):
    fields = Fields("f.yaml", {"tolerancePercent": tolerance, "behavior": behavior}, "policy")
    read = kthena.parse(fields)
    fields.close()
    return read


def each(values, current, target=1.0, ready=None):
    """A tick in which the ready replicas have these values."""
    ready = len(values) if ready is None else ready
    mean = sum(values) / len(values)
    return PolicyInput(mean / target * ready, mean, current=current, ready=ready, each=True)


def total(value, target, current):
    return PolicyInput(value / target, value, current=current, ready=current)


@pytest.mark.parametrize(
    ("seen", "tolerance", "answer"),
    [
        (each([19.1, 3.1, 7.1], 3), 0, 30),
        (each([0.51] * 10, 9), 50, 9),
        (each([0.49] * 10, 9), 50, 5),
        (each([1.49] * 10, 9), 50, 9),
        (each([1.51] * 10, 9), 50, 16),
        (each([3.9] * 8, 18), 0, 32),  # 10 more are not ready
        (total(14.9, 3, 10), 51, 10),
        (total(14.9, 3, 10), 49, 5),
        (total(40, 10, 0), 10, 4),
    ],
)
def test_recommendations(seen, tolerance, answer):
    assert kthena.recommendation(spec(tolerance), seen, seen.current) == answer


@pytest.mark.parametrize(
    ("what", "seen", "answer"),
    [
        ("theirs stays at 8: the tolerance is compared with one replica", total(10, 10, 8), 1),
        ("theirs goes to 6: 4 % over are not within 10 %", total(52, 10, 5), 5),
        ("theirs stays at 5: one is not ready", total(30, 10, 5), 3),
        ("theirs goes to 1: a mean is taken for a total", each([78] * 6, 6, target=80), 6),
    ],
)
def test_where_theirs_is_wrong(what, seen, answer):
    assert kthena.recommendation(spec(10), seen, seen.current) == answer, what


def first(settings, current, wanted):
    """The answer of one tick without a past."""
    return kthena.step(settings, kthena.INITIAL, total(wanted, 1, current), 0.0)[1].replicas


@pytest.mark.parametrize(("select", "answer"), [("Or", 6), ("And", 9)])
def test_down_by_instances_and_percent(select, answer):
    down = {"instances": 1, "percent": 40, "selectPolicy": select, "stabilizationWindow": 0}
    assert first(spec(scaleDown=down), 10, 5) == answer


@pytest.mark.parametrize(("select", "answer"), [("Or", 10), ("And", 8)])
def test_up_by_instances_and_percent(select, answer):
    stable = {"instances": 3, "percent": 100, "selectPolicy": select}
    assert first(spec(scaleUp={"stablePolicy": stable}), 5, 20) == answer


@pytest.mark.parametrize(("percent", "answer"), [(1000, 15), (100, 10)])
def test_in_a_panic(percent, answer):
    panic = {"percent": percent, "period": "1m"}
    assert first(spec(scaleUp={"panicPolicy": panic}), 5, 15) == answer


def play(settings, *ticks):
    """Fold (seconds, replicas wanted), each answer carried out."""
    state, current, answers = kthena.INITIAL, ticks[0][1], []
    for at, wanted in ticks:
        state, outcome = kthena.step(settings, state, total(wanted, 1, current), float(at))
        current = outcome.replicas
        answers.append(current)
    return answers


def test_in_a_panic_nothing_is_lowered_until_its_hold_has_passed():
    down = {"stabilizationWindow": 0, "instances": 10}
    settings = spec(scaleUp={"panicPolicy": {"period": "15s", "panicModeHold": "60s"}}, scaleDown=down)
    assert play(settings, (0, 2), (15, 6), (30, 2), (74, 2), (75, 2)) == [2, 6, 6, 6, 2]


def test_a_period_counts_from_what_stood_when_it_began():
    stable = {"instances": 2, "percent": 0, "period": "30s"}
    settings = spec(scaleUp={"stablePolicy": stable})
    assert play(settings, (0, 1), (5, 9), (10, 9), (34, 9), (36, 9)) == [1, 3, 3, 3, 5]


def test_down_too_a_period_counts_from_what_stood_when_it_began():
    settings = spec(scaleDown={"instances": 1, "percent": 0, "period": "30s", "stabilizationWindow": 0})
    assert play(settings, (0, 9), (5, 1), (10, 1), (34, 1), (36, 1)) == [9, 8, 8, 8, 7]


def test_what_stood_at_the_very_beginning_of_the_period_counts():
    up = {"stablePolicy": {"instances": 2, "percent": 0, "period": "30s"}}
    settings = spec(scaleUp=up, scaleDown={"period": "30s"})
    assert play(settings, (0, 10), (5, 90), (35, 13), (40, 90)) == [10, 12, 13, 14]


def test_down_only_as_far_as_all_of_the_window_agree():
    settings = spec(scaleDown={"instances": 10, "stabilizationWindow": "60s"})
    assert play(settings, (0, 8), (20, 5), (59, 3), (60, 3), (80, 3)) == [8, 8, 8, 5, 3]


def test_up_only_as_far_as_all_of_the_window_agree():
    settings = spec(scaleUp={"stablePolicy": {"instances": 100, "stabilizationWindow": "60s"}})
    assert play(settings, (0, 2), (20, 9), (61, 9), (81, 9)) == [2, 2, 9, 9]


def test_a_percentage_moves_at_least_one():
    """Theirs never moves: 10 % of 3 is 0."""
    settings = spec(scaleDown={"instances": 0, "percent": 10, "stabilizationWindow": 0})
    assert first(settings, 3, 1) == 2


def test_a_block_that_is_left_out_and_one_that_leaves_things_out_have_different_defaults():
    assert spec().up == kthena.Direction(4, 100, 60.0, True, 0.0)
    assert spec().down == kthena.Direction(0, 100, 60.0, True, 300.0)
    assert spec().panic.hold == 0
    given = spec(scaleUp={"stablePolicy": {}, "panicPolicy": {"period": "1m"}}, scaleDown={"instances": 1})
    assert given.up == kthena.Direction(1, 100, 15.0, True, 0.0)
    assert given.down == kthena.Direction(1, 100, 15.0, True, 300.0)
    assert given.panic == kthena.Panic(1000, 60.0, 200, 60.0)


def test_it_explains_a_panic():
    settings = spec(scaleUp={"panicPolicy": {"period": "15s"}})
    state, outcome = kthena.step(settings, kthena.INITIAL, total(10, 1, 4), 43390.0)
    assert outcome.reason == "2.5 of the target, 10 replicas recommended; panic since 12:03:10: 10 >= 2 x 4"
    _, outcome = kthena.step(settings, state, total(5, 1, 10), 43400.0)
    assert outcome.reason.endswith("; panic since 12:03:10, until 12:04:10")


@pytest.mark.parametrize(
    ("key", "behavior"),
    [
        ("scaleUp.panicPolicy.period", {"scaleUp": {"panicPolicy": {}}}),
        (
            "scaleUp.panicPolicy.panicThresholdPercent",
            {"scaleUp": {"panicPolicy": {"period": 60, "panicThresholdPercent": 109}}},
        ),
        ("scaleUp.stablePolicy.period", {"scaleUp": {"stablePolicy": {"period": "31m"}}}),
        ("scaleUp.stablePolicy.instances", {"scaleUp": {"stablePolicy": {"instances": -1}}}),
        ("scaleUp.percent", {"scaleUp": {"percent": 1}}),
        ("scaleDown.percent", {"scaleDown": {"percent": 1001}}),
        ("scaleDown.selectPolicy", {"scaleDown": {"selectPolicy": "Max"}}),
        ("scaleSideways", {"scaleSideways": {}}),
    ],
)
def test_what_kthena_refuses_is_refused(key, behavior):
    with pytest.raises(ConfigError, match=rf"policy\.behavior\.{key}"):
        spec(**behavior)


def test_the_tolerance_has_a_range():
    with pytest.raises(ConfigError, match="from 0 to 100"):
        spec(101)


def test_a_panic_begins_at_its_threshold_and_not_a_hundredth_before_it():
    """Of 67 replicas one and a half times as many are 100.5: 100 are none, and 101 are a panic."""
    settings = spec(scaleUp={"panicPolicy": {"period": "15s", "panicThresholdPercent": 150}})
    for load, panics in ((100.0, False), (101.0, True)):
        state, _ = kthena.step(settings, kthena.INITIAL, PolicyInput(load, load, current=67, ready=67), 0.0)
        assert (state.panic_since is not None) is panics


def test_what_was_recommended_just_a_window_ago_does_not_hold_any_more():
    settings = spec(scaleDown={"stabilizationWindow": "30s", "instances": 10, "period": "1s"})
    assert play(settings, (0, 6), (10, 2), (29, 2), (30, 2)) == [6, 6, 6, 2]
    up = spec(scaleUp={"stablePolicy": {"stabilizationWindow": "30s", "instances": 10, "period": "1s"}})
    assert play(up, (0, 2), (10, 6), (29, 6), (30, 6)) == [2, 2, 2, 6]


def test_it_remembers_its_window_or_its_period_downwards_whichever_is_longer():
    for window, period in (("2m", "1m"), ("1m", "2m")):
        assert spec(scaleDown={"stabilizationWindow": window, "period": period}).memory == 120.0
