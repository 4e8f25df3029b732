"""Where the rules of the HPA begin to find something: what is just within each bound, and what is just beyond."""

import pytest
from wiring.setups import Setup, ago, decisions

from scaler.model.measurement import Replicas
from scaler.wiring.rules import hpa


def found(rule, **changed):
    """What one rule says of a setup with some of its parts changed."""
    setup = Setup()
    for path, value in changed.items():
        *way, key = path.split("__")
        place = getattr(setup, way[0]) if way else None
        for step in way[1:]:
            place = place[step]
        if place is None:
            setattr(setup, key, value)
        else:
            place[key] = value
    return rule(setup.picture())


@pytest.mark.parametrize(("age", "told"), [(59, False), (60, True)])
def test_keda_has_a_minute_to_make_an_hpa(age, told):
    setup = Setup()
    setup.objects["horizontalpodautoscalers"] = []
    setup.scaled["metadata"]["creationTimestamp"] = ago(age)
    assert (hpa.missing(setup.picture()) is not None) is told


def of_load(load, most):
    setup = Setup()
    setup.decisions = decisions(running=load, guards={"waiting": 0, "running": load})
    setup.spec["maxReplicaCount"] = most
    return hpa.at_maximum(setup.picture())


@pytest.mark.parametrize(
    ("load", "most", "told"), [(80, 10, False), (81, 10, True), (800, None, False), (801, None, True)]
)
def test_more_than_the_maximum_is_told_and_a_hundred_is_the_usual_one(load, most, told):
    said = of_load(load, most)
    assert (said is not None) is told
    if said:
        assert said.repair == f"maxReplicaCount: {(load + 7) // 8}"


@pytest.mark.parametrize(
    ("current", "load", "swallowed"),
    [(10, 88, True), (10, 72, True), (9, 80, False), (9, 64, False), (10, 80, False), (3, 24, False)],
)
def test_a_step_within_ten_percent_is_swallowed_and_no_step_is_none(current, load, swallowed):
    setup = Setup()
    setup.hpa["spec"].pop("behavior", None)
    setup.hpa["status"]["currentReplicas"] = current
    known = Replicas(current, current, 0, 0, 100, "Kubernetes")
    setup.decisions = decisions(waiting=0, running=load, guards={"waiting": 0, "running": load}, replicas=known)
    said = hpa.swallowed(setup.picture())
    assert (said is not None) is swallowed
    if said:
        assert "tolerance 10 %" in said.evidence


@pytest.mark.parametrize(("window", "told"), [(60, False), (61, True)])
def test_to_wait_a_minute_before_growth_is_no_fault(window, told):
    rules = {"stabilizationWindowSeconds": window}
    said = found(hpa.slow_growth, behavior__scaleUp=rules)
    assert (said is not None) is told


@pytest.mark.parametrize(
    ("cooldown", "took", "repair"),
    [
        (300, 300, None),
        (299, 300, "cooldownPeriod: 300"),
        (None, 300, None),
        (None, 301, "cooldownPeriod: 360"),
        (60, 90, "cooldownPeriod: 120"),
    ],
)
def test_a_cooldown_has_to_last_as_long_as_a_start(cooldown, took, repair):
    setup = Setup()
    setup.decisions = [{**one, "starting": {"startupSeconds": took}} for one in setup.decisions]
    setup.spec["cooldownPeriod"] = cooldown
    said = hpa.short_cooldown(setup.picture())
    assert (said.repair if said else None) == repair
    setup.spec["minReplicaCount"] = 1
    assert hpa.short_cooldown(setup.picture()) is None, "it never goes to zero"


def test_a_start_up_is_that_of_the_slowest_pod_that_did_not_restart():
    setup = Setup()
    setup.decisions = None
    assert hpa.startup_seconds(setup.picture()) == 100.0
    for pod in setup.pods:
        pod["status"]["containerStatuses"][0]["restartCount"] = 1
    assert hpa.startup_seconds(setup.picture()) is None
