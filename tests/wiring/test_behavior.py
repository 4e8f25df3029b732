"""What an HPA's behavior says, and what it has to be for our answers."""

import pytest

from scaler.wiring.behavior import behavior_for, slow_steps, tolerance


def test_beside_a_policy_nothing_is_waited_for_and_any_step_is_taken():
    aside = {"stabilizationWindowSeconds": 0, "tolerance": "0"}
    for most, pods in ((5, 1000), (1000, 1000), (4000, 4000)):
        assert behavior_for(with_policy=True, most=most) == {
            "scaleUp": {**aside, "policies": [{"type": "Pods", "value": pods, "periodSeconds": 15}]},
            "scaleDown": {**aside, "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]},
        }


def test_without_a_policy_only_the_tolerance_is_taken_away():
    assert behavior_for(with_policy=False, most=5) == {"scaleUp": {"tolerance": "0"}, "scaleDown": {"tolerance": "0"}}


def policy(kind, value, period):
    return {"type": kind, "value": value, "periodSeconds": period}


@pytest.mark.parametrize(
    ("policies", "told"),
    [
        ([], ""),
        ([policy("Pods", 2, 60)], ""),
        ([policy("Pods", 2, 61)], "at most 2 pods in 61 s"),
        ([policy("Pods", 1, 300)], "at most 1 pods in 300 s"),
        ([{"type": "Percent", "value": 13}], ""),  # 13 % in 15 s, which is the usual period, are 52 % in a minute
        ([{"type": "Percent", "value": 12}], "at most 12 % in None s"),
        ([policy("Percent", 50, 60)], ""),
        ([policy("Percent", 50, 61)], "at most 50 % in 61 s"),
        ([policy("Pods", 1, 300), policy("Percent", 10, 60)], "at most 1 pods in 300 s or 10 % in 60 s"),
        ([policy("Pods", 1, 300), policy("Percent", 100, 15)], ""),
        ([{"type": "Pods", "periodSeconds": 15}], "at most None pods in 15 s"),
    ],
)
def test_steps_are_slow_below_two_pods_or_half_of_all_in_a_minute(policies, told):
    assert slow_steps({"policies": policies}) == told


@pytest.mark.parametrize(
    ("given", "share"), [(None, 0.1), ("0", 0.0), (0, 0.0), ("50m", 0.05), ("0.2", 0.2), ("much", 0.1), ("xm", 0.1)]
)
def test_a_tolerance_is_a_share_and_the_clusters_where_none_is_said(given, share):
    assert tolerance({"tolerance": given}) == share
