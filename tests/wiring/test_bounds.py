"""Where rules begin to find something: what is just within each bound, and what is just beyond."""

import pytest
from wiring.setups import Setup, ago, condition, decisions, pod

from scaler.model.measurement import TargetStatus
from scaler.wiring.rules import hpa, keda, pods, scaled_object


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
    known = TargetStatus(current, current, 0, 0, 100, "Kubernetes")
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
    for one in setup.pods:
        one["status"]["containerStatuses"][0]["restartCount"] = 1
    assert hpa.startup_seconds(setup.picture()) is None


# ---- the ScaledObject ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("least", "most", "idle", "said", "count"),
    [
        (0, 1, None, "", ""),
        (0, 0, None, "maxReplicaCount is below minReplicaCount", "2"),
        (3, 2, None, "maxReplicaCount is below minReplicaCount", "4"),
        (3, 3, None, "minReplicaCount and maxReplicaCount are both 3", "4"),
        (1, 1, None, "minReplicaCount and maxReplicaCount are both 1", "2"),
        (3, 4, None, "", ""),
        (None, None, None, "", ""),
        (None, 1, None, "", ""),
        (None, 0, None, "maxReplicaCount is below minReplicaCount", "2"),
        (99, None, None, "", ""),
        (100, None, None, "minReplicaCount and maxReplicaCount are both 100", "101"),
        (2, 9, 0, "", ""),
        (2, 9, 1, "idleReplicaCount is 1", ""),
        (2, 9, 2, "idleReplicaCount 2 is not below minReplicaCount 2", ""),
        (0, 9, 0, "idleReplicaCount 0 is not below minReplicaCount 0", ""),
    ],
)
def test_bounds_that_contradict_each_other(least, most, idle, said, count):
    setup = Setup()
    setup.spec.update({"minReplicaCount": least, "maxReplicaCount": most, "idleReplicaCount": idle})
    told = scaled_object.bounds(setup.picture())
    assert (told.what if told else "").startswith(said)
    assert bool(told) is bool(said)
    if count:
        assert f'"maxReplicaCount":{count}' in told.repair


@pytest.mark.parametrize(
    ("every", "least", "idle", "told"),
    [(60, 0, None, False), (61, 0, None, True), (None, 0, None, False), (61, 1, None, False), (61, 2, 0, True)],
)
def test_a_poll_a_minute_wakes_soon_enough(every, least, idle, told):
    setup = Setup()
    setup.spec.update({"pollingInterval": every, "minReplicaCount": least, "idleReplicaCount": idle})
    assert (scaled_object.slow_wake(setup.picture()) is not None) is told
    setup.trigger["type"] = "external-push"
    assert scaled_object.slow_wake(setup.picture()) is None


def test_what_a_poll_saw_may_be_as_old_as_the_usual_thirty_seconds():
    setup = Setup()
    setup.trigger["useCachedMetrics"] = True
    setup.spec["pollingInterval"] = None
    assert "up to 30 s ago" in scaled_object.cached(setup.picture()).what


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "it has no fallback"),
        ({"replicas": 1}, "an outage of the metrics takes it to 1 replicas"),
        ({"replicas": 0, "behavior": "currentReplicasIfHigher"}, "fallback.replicas is 0"),
        ({"behavior": "currentReplicas"}, "fallback.replicas is 0"),
        ({"replicas": 1, "behavior": "currentReplicas"}, ""),
        ({"replicas": 1, "behavior": "currentReplicasIfHigher"}, ""),
    ],
)
def test_a_fallback_takes_nothing_away(given, said):
    setup = Setup()
    setup.spec["fallback"] = given
    told = scaled_object.fallback(setup.picture())
    assert (told.what if told else "")[: len(said) or None] == said


# ---- pods and KEDA -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("age", "told"), [(60, False), (61, True)])
def test_a_pod_may_wait_a_minute_for_a_node(age, told):
    setup = Setup()
    waits = condition(
        "PodScheduled", "False", "Unschedulable", "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    )
    setup.pods.append(pod("llama-5d8f-z", ready=False, created=age, scheduled=waits))
    said = pods.unschedulable(setup.picture())
    assert (said is not None) is told
    if said:
        assert said.what == "1 pod waits for a node with a free GPU"


@pytest.mark.parametrize(
    ("grace", "longest", "repair"), [(None, 30, ""), (None, 31, "61"), (90, 90, ""), (90, 91, "121"), (0, None, "")]
)
def test_the_longest_request_ends_within_the_grace_of_its_pod(grace, longest, repair):
    setup = Setup()
    setup.target["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = grace
    setup.longest = longest
    said = pods.short_grace(setup.picture())
    assert (said is not None) is bool(repair)
    if said:
        assert f'"terminationGracePeriodSeconds":{repair}' in said.repair


@pytest.mark.parametrize(
    ("budget", "told"),
    [
        ({"maxUnavailable": 0}, True),
        ({"maxUnavailable": "0%"}, True),
        ({"minAvailable": "100%"}, True),
        ({"maxUnavailable": 1}, False),
        ({"minAvailable": 1}, False),
    ],
)
def test_a_budget_that_lets_no_pod_go(budget, told):
    setup = Setup()
    spec = {"selector": {"matchLabels": {"app": "llama"}}, **budget}
    setup.objects["poddisruptionbudgets"] = [{"metadata": {"name": "llama", "namespace": "demo"}, "spec": spec}]
    said = pods.disruption_budget(setup.picture())
    assert (said.evidence if said else None) == (": ".join(map(str, *budget.items())) if told else None)
    spec["selector"] = {"matchLabels": {"app": "other"}}
    assert pods.disruption_budget(setup.picture()) is None


@pytest.mark.parametrize(("age", "told"), [(59, False), (60, True)])
def test_keda_has_a_minute_to_look_at_an_object(age, told):
    setup = Setup()
    setup.scaled["status"] = {}
    setup.scaled["metadata"]["creationTimestamp"] = ago(age)
    assert (keda.not_seen(setup.picture()) is not None) is told
