"""The HPA's arithmetic as timelines. Expected numbers follow from the rules of Kubernetes 1.35, not from our code."""

import dataclasses
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaler.cluster.hpa import (
    MAX_REPLICAS,
    ExternalMetric,
    HpaRule,
    HpaSpec,
    Reason,
    milli,
    replicas_for_average_value,
    replicas_for_value,
    step,
)
from scaler.model.behavior import Behavior, HpaState, RatePolicy, Rules, TimedReplicas

NOW_UP = Rules(policies=(RatePolicy("Pods", 1000, 15),), window=0)
NOW_DOWN = Rules(policies=(RatePolicy("Percent", 100, 15),), window=0)
STANDS_ASIDE = Behavior(dataclasses.replace(NOW_UP, tolerance=0.0), dataclasses.replace(NOW_DOWN, tolerance=0.0))


def wanted(replicas):
    """A metric that asks for so many replicas."""
    return [ExternalMetric("load", 1, replicas)]


def run(spec, *asked, current, every=15.0):
    """Replicas after each of the steps, and the rules of the last one."""
    state, sizes, rules = HpaState(), [], []
    for turn, total in enumerate(asked):
        state, outcome = step(spec, state, wanted(total), current, turn * every)
        current = outcome.replicas
        sizes.append(current)
        rules = [reason.rule for reason in outcome.reasons]
    return sizes, rules


@pytest.mark.parametrize(
    ("total", "target", "current", "answer"),
    [
        (0, 1, 3, (0, False)),
        (7, 2, 1, (4, False)),  # rounded up
        (11, 1, 10, (10, True)),  # +10 % is within the tolerance
        (12, 1, 10, (12, False)),
        (8, 1, 9, (8, False)),  # -11 %
        (9, 1, 10, (10, True)),  # -10 %
        (0.0004, 1, 1, (0, False)),  # below a thousandth there is nothing
        (1.0006, 1, 0, (2, False)),  # a thousandth too much is one more replica; at 0 there is no tolerance
        (1e15, 0.001, 1, (MAX_REPLICAS, False)),
        (-1, 1, 5, (MAX_REPLICAS, False)),  # a negative sum is taken for an overflow
    ],
)
def test_average_value(total, target, current, answer):
    assert replicas_for_average_value(total, target, current) == answer


def test_from_ten_replicas_on_a_change_by_one_is_swallowed():
    swallowed_up = [n for n in range(1, 20) if replicas_for_average_value(n + 1, 1, n)[1]]
    swallowed_down = [n for n in range(1, 20) if replicas_for_average_value(n - 1, 1, n)[1]]
    assert (min(swallowed_up), min(swallowed_down)) == (10, 10)
    assert not any(replicas_for_average_value(n + 1, 1, n, tolerance=0)[1] for n in range(1, 200))


@pytest.mark.parametrize(
    ("metric", "current", "ready", "answer"),
    [
        (2, 3, 3, (6, False)),
        (1.05, 3, 3, (3, True)),
        (2, 4, 1, (2, False)),  # twice the target, and yet fewer: three of the four are still starting
        (2, 4, 0, (0, False)),
        (1e15, 4, 4, (MAX_REPLICAS, False)),
        (2.5, 0, 0, (3, False)),
    ],
)
def test_value(metric, current, ready, answer):
    assert replicas_for_value(metric, 1, current, ready) == answer


@pytest.mark.parametrize(
    ("value", "thousandths"), [(1.0, 1000), (0.0004, 0), (0.0015, 2), (-0.5, -500), (1e15, 10**18), (1e17, 2**63 - 1)]
)
def test_milli(value, thousandths):
    assert milli(value) == thousandths


def test_without_behavior_one_step_ends_at_double_or_four():
    assert run(HpaSpec(), 12, 12, 12, 12, current=1) == ([4, 8, 12, 12], [HpaRule.WITHIN_TOLERANCE])


def test_default_policies_add_four_or_double():
    assert run(HpaSpec(behavior=Behavior()), 12, 12, 12, current=1) == ([5, 10, 12], [HpaRule.PROPOSED])


@pytest.mark.parametrize("behavior", [None, Behavior()])
def test_down_waits_for_the_window_and_then_falls_at_once(behavior):
    sizes, rules = run(HpaSpec(behavior=behavior), 10, *[2] * 22, current=10)
    assert sizes.index(2) == (21 if behavior is None else 20)  # the edge of the window counts without a behavior only
    assert set(sizes) == {10, 2}
    assert rules == [HpaRule.WITHIN_TOLERANCE]


def test_the_recommendation_that_holds_is_named():
    state, _ = step(HpaSpec(), HpaState(), wanted(10), 10, 0)
    _, outcome = step(HpaSpec(), state, wanted(2), 10, 60)
    assert [(reason.rule, reason.replicas) for reason in outcome.reasons] == [
        (HpaRule.PROPOSED, 2),
        (HpaRule.STABILIZED, 10),
    ]
    assert outcome.reasons[1].earlier == TimedReplicas(10, 0)


def test_up_waits_for_the_least_of_its_window():
    patient = HpaSpec(behavior=Behavior(up=dataclasses.replace(NOW_UP, window=60)))
    assert run(patient, 2, 9, 7, 8, 9, 9, current=2)[0] == [2, 2, 2, 2, 7, 7]


def test_a_wavering_metric_keeps_the_size_between_both_windows():
    both = HpaSpec(behavior=Behavior(up=dataclasses.replace(NOW_UP, window=60), down=Rules(NOW_DOWN.policies, 60)))
    sizes, rules = run(both, 4, 9, 2, 9, current=4)
    assert (sizes, rules) == ([4, 4, 4, 4], [HpaRule.PROPOSED, HpaRule.STABILIZED])


@pytest.mark.parametrize(
    ("select", "size"),
    [("Max", 14), ("Min", 12), ("Disabled", 10)],  # +4 pods or +20 %
)
def test_select_policy_up(select, size):
    rules = Rules((RatePolicy("Pods", 4, 15), RatePolicy("Percent", 20, 15)), 0, select)
    assert run(HpaSpec(behavior=Behavior(up=rules)), 99, current=10)[0] == [size]


@pytest.mark.parametrize(
    ("select", "size"),
    [("Max", 6), ("Min", 8), ("Disabled", 10)],  # -4 pods or -20 %
)
def test_select_policy_down(select, size):
    rules = Rules((RatePolicy("Pods", 4, 15), RatePolicy("Percent", 20, 15)), 0, select)
    state, outcome = step(HpaSpec(behavior=Behavior(down=rules)), HpaState(), wanted(1), 10, 0)
    assert outcome.replicas == size
    limit = outcome.reasons[-1]
    assert limit.rule is (HpaRule.FORBIDDEN if select == "Disabled" else HpaRule.LIMITED)
    assert limit.policy == {"Max": rules.policies[0], "Min": rules.policies[1], "Disabled": None}[select]
    assert state.downs == (() if size == 10 else (TimedReplicas(10 - size, 0),))


def test_a_policy_counts_the_changes_of_its_whole_period():
    slow = HpaSpec(behavior=Behavior(up=Rules((RatePolicy("Pods", 3, 60),), 0)))
    assert run(slow, *[99] * 6, current=1)[0] == [4, 4, 4, 4, 7, 7]


def test_what_was_added_may_be_taken_away_again_beside_the_rate():
    rules = Rules((RatePolicy("Pods", 1, 60),), 0)
    both = HpaSpec(behavior=Behavior(up=NOW_UP, down=rules))
    # 2 -> 8 at 0 s; the period of the down policy began with 2, so its limit of 1 lies below and 8 may fall to the metric.
    assert run(both, 8, 3, 3, current=2)[0] == [8, 3, 3]


def test_what_was_taken_away_may_be_added_again_beside_the_rate():
    rules = Rules((RatePolicy("Pods", 1, 60),), 0)
    both = HpaSpec(behavior=Behavior(up=rules, down=NOW_DOWN))
    assert run(both, 2, 9, 9, current=8)[0] == [2, 9, 9]


def test_a_percentage_is_rounded_in_favour_of_the_change():
    third = Rules((RatePolicy("Percent", 33, 15),), 0)
    both = HpaSpec(behavior=Behavior(up=third, down=third))
    assert run(both, 99, current=10)[0] == [14]  # 13.3
    assert run(both, 1, current=10)[0] == [6]  # 6.7


@pytest.mark.parametrize(
    ("now", "ups"),
    [
        (
            14,
            (TimedReplicas(2, 0), TimedReplicas(3, 10), TimedReplicas(3, 14)),
        ),  # the up policies look back 15 s: both still count
        (25, (TimedReplicas(3, 25), TimedReplicas(3, 10))),  # that at 0 s is too old, that at 10 s just is not
        (26, (TimedReplicas(2, 0), TimedReplicas(3, 26))),  # both are; only the last makes room
    ],
)
def test_old_changes_leave_one_at_a_time(now, ups):
    state = HpaState((TimedReplicas(1, 0),), ups=(TimedReplicas(2, 0), TimedReplicas(3, 10)))
    state, _ = step(HpaSpec(behavior=Behavior(up=NOW_UP)), state, wanted(9), 6, now)
    assert state.ups == ups


@pytest.mark.parametrize(
    ("spec", "current", "asked", "size", "rule"),
    [
        (HpaSpec(maximum=4), 6, 9, 4, HpaRule.ABOVE_MAXIMUM),
        (HpaSpec(minimum=3), 1, 9, 3, HpaRule.BELOW_MINIMUM),
        (HpaSpec(maximum=5), 4, 9, 5, HpaRule.TOO_MANY),
        (HpaSpec(maximum=5, behavior=STANDS_ASIDE), 4, 9, 5, HpaRule.TOO_MANY),
        (HpaSpec(minimum=2, behavior=STANDS_ASIDE), 4, 0, 2, HpaRule.TOO_FEW),
        (HpaSpec(), 0, 9, 0, HpaRule.DISABLED),
    ],
)
def test_bounds(spec, current, asked, size, rule):
    _, outcome = step(spec, HpaState(), wanted(asked), current, 0)
    assert (outcome.replicas, outcome.reasons[-1].rule) == (size, rule)


@pytest.mark.parametrize("asked", [2, 8])
def test_a_bound_that_is_met_exactly_is_no_reason(asked):
    _, outcome = step(HpaSpec(minimum=2, maximum=8, behavior=STANDS_ASIDE), HpaState(), wanted(asked), 5, 0)
    assert [(reason.rule, reason.replicas) for reason in outcome.reasons] == [(HpaRule.PROPOSED, asked)]


def test_where_the_rate_ends_at_the_bound_the_bound_is_named_as_there():
    _, outcome = step(HpaSpec(maximum=8), HpaState(), wanted(20), 4, 0)
    assert (outcome.replicas, outcome.reasons[-1].rule) == (8, HpaRule.TOO_MANY)
    by_four = Rules((RatePolicy("Pods", 4, 15),), 0)
    _, outcome = step(HpaSpec(minimum=2, behavior=Behavior(down=by_four)), HpaState(), wanted(0), 6, 0)
    assert (outcome.replicas, outcome.reasons[-1].rule) == (2, HpaRule.TOO_FEW)


def test_minimum_without_behavior():
    state = HpaState((TimedReplicas(1, 0),))
    _, outcome = step(HpaSpec(minimum=2), state, wanted(0), 4, 400)
    assert (outcome.replicas, outcome.reasons[-1].rule) == (2, HpaRule.TOO_FEW)


def test_a_bound_is_a_change_that_policies_count():
    state, _ = step(HpaSpec(maximum=4, behavior=Behavior()), HpaState(), wanted(1), 6, 0)
    assert state.downs == (TimedReplicas(2, 0),)


@pytest.mark.parametrize(
    ("values", "size", "rules"),
    [
        ((6, 3), 6, [HpaRule.PROPOSED, HpaRule.PROPOSED]),
        ((None, 7), 7, [HpaRule.FAILED, HpaRule.PROPOSED]),  # one failed: the other may raise
        ((None, 2), 5, [HpaRule.FAILED, HpaRule.PROPOSED, HpaRule.HELD]),  # and may not lower
        ((None, 5), 5, [HpaRule.FAILED, HpaRule.WITHIN_TOLERANCE]),
        ((None, None), 5, [HpaRule.FAILED, HpaRule.FAILED, HpaRule.HELD]),
    ],
)
def test_several_metrics(values, size, rules):
    metrics = [ExternalMetric("a", 1, values[0]), ExternalMetric("b", 1, values[1])]
    _, outcome = step(HpaSpec(), HpaState(), metrics, 5, 0)
    assert (outcome.replicas, [reason.rule for reason in outcome.reasons]) == (size, rules)


def test_a_metric_of_type_value_uses_the_ready_pods():
    metric = [ExternalMetric("latency", 0.5, 1.0, "Value")]
    assert step(HpaSpec(), HpaState(), metric, 3, 0)[1].replicas == 6
    assert step(HpaSpec(), HpaState((TimedReplicas(0, -999),)), metric, 3, 0, ready=2)[1].replicas == 4


def test_tolerance_can_differ_by_direction():
    behavior = Behavior(up=dataclasses.replace(NOW_UP, tolerance=0.0), down=NOW_DOWN)
    assert HpaSpec(behavior=behavior).tolerances == (0.1, 0.0)
    assert run(HpaSpec(behavior=behavior), 21, 20, current=20)[0] == [21, 21]


def test_an_hpa_that_stands_aside_gives_the_answer_exactly():
    answers = [1, 40, 41, 40, 3, 17, 0]
    assert run(HpaSpec(minimum=1, behavior=STANDS_ASIDE), *answers, current=5)[0] == [1, 40, 41, 40, 3, 17, 1]


BEHAVIORS = st.sampled_from([None, Behavior(), STANDS_ASIDE])


@settings(deadline=None)
@given(st.lists(st.integers(0, 300), min_size=1, max_size=40), st.integers(1, 100), BEHAVIORS)
def test_bounds_direction_and_memory(asked, current, behavior):
    spec, state = HpaSpec(minimum=1, maximum=100, behavior=behavior), HpaState()
    for turn, total in enumerate(asked):
        before = current
        state, outcome = step(spec, state, wanted(total), before, turn * 15.0)
        current = outcome.replicas
        assert 1 <= current <= 100
        assert outcome.reasons[-1].replicas == current
        assert len(state.recommendations) <= 300 / 15 + 2
        if current < before:
            assert total < before
        if current > before:
            assert max(asked[: turn + 1]) > before  # stabilization may go on rising after the metric fell


@settings(deadline=None)
@given(st.floats(0, 1e12), st.floats(0.001, 1e6), st.integers(1, 10_000))
def test_average_value_is_the_ceiling_to_a_thousandth(total, target, current):
    answer, within = replicas_for_average_value(total, target, current)
    assert answer == current if within else answer == min(math.ceil(milli(total) / milli(target)), MAX_REPLICAS)


def test_where_one_metric_fails_the_largest_of_the_others_may_raise_whatever_the_rest_ask_for():
    metrics = [ExternalMetric("a", 1, None), ExternalMetric("b", 1, 2), ExternalMetric("c", 1, 7)]
    assert step(HpaSpec(), HpaState(), metrics, 5, 0)[1].replicas == 7


def test_at_a_bound_it_may_leave_it_on_the_other_side():
    spec = HpaSpec(minimum=2, maximum=8, behavior=STANDS_ASIDE)
    assert [step(spec, HpaState(), wanted(5), current, 0)[1].replicas for current in (2, 8)] == [5, 5]


def test_an_hpa_that_is_switched_off_says_so_of_no_replica():
    assert step(HpaSpec(), HpaState(), wanted(9), 0, 0)[1].reasons == (Reason(HpaRule.DISABLED, 0),)
