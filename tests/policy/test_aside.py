"""What of an HPA is in the way of a policy that owns the timing."""

from scaler.model.behavior import Behavior, RatePolicy, Rules
from scaler.model.objects import HpaStatus, ScaledResource
from scaler.policy.aside import in_the_way

ALL = RatePolicy("Pods", 100, 15.0)
CLEAR = Rules((ALL,), window=0.0, tolerance=0.0)


def scaled(behavior, hpa=True):
    seen = HpaStatus("hpa", 1, 1, 1, 100, behavior=behavior) if hpa else None
    return ScaledResource("ScaledObject", "n", "s", "u", 1, (), (), "Deployment s", 0, 100, hpa=seen)


def test_an_hpa_that_stands_aside():
    assert in_the_way(None, scaled(Behavior(CLEAR, CLEAR))) == ()
    every = Rules((RatePolicy("Percent", 100, 15.0),), window=0.0, tolerance=0.0)
    assert in_the_way(None, scaled(Behavior(CLEAR, every))) == ()


def test_one_that_is_not_known_is_not_blamed():
    assert in_the_way(None, scaled(None, hpa=False)) == ()


def test_defaults_are_in_the_way():
    assert "adds 5m before it goes down" in in_the_way(None, scaled(None))[0]
    found = in_the_way(None, scaled(Behavior()))
    assert [one.split()[2] for one in found] == [
        "scaleUp.tolerance",
        "scaleUp.policies",
        "scaleDown.stabilizationWindowSeconds",
        "scaleDown.tolerance",
    ]


def test_the_narrowest_policy_counts_where_the_least_is_chosen():
    slow = RatePolicy("Pods", 1, 15.0)
    least = Rules((ALL, slow), window=0.0, select="Min", tolerance=0.0)
    most = Rules((ALL, slow), window=0.0, tolerance=0.0)
    assert [one.split()[2] for one in in_the_way(None, scaled(Behavior(least, most)))] == ["scaleUp.policies"]
    assert [one.split()[2] for one in in_the_way(None, scaled(Behavior(most, least)))] == ["scaleDown.policies"]


def test_a_direction_that_is_forbidden():
    found = in_the_way(None, scaled(Behavior(CLEAR, Rules((ALL,), window=0.0, select="Disabled", tolerance=0.0))))
    assert found == ("the HPA's scaleDown.selectPolicy Disabled forbids that direction",)


def test_any_tolerance_is_in_the_way_and_none_is_not():
    for share, told in ((0.0, ()), (0.05, ("scaleUp.tolerance", "(0.05)")), (1.5, ("scaleUp.tolerance", "(1.5)"))):
        found = in_the_way(None, scaled(Behavior(Rules((ALL,), window=0.0, tolerance=share), CLEAR)))
        assert tuple(found[0].split()[2:4] if found else ()) == told
