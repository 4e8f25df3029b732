"""What the queue leaves that a template's pods wait in: objects of Kueue as it writes them, and what may be admitted."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.cluster import GPU, node, on, picture, spec

from scaler.cluster.availability import availability
from scaler.model.nodes import QUEUE
from scaler.sources.kubernetes.read_kueue import read_cluster_queue, read_cohort, read_flavor, read_local_queue

NODES = [node("a", 8), node("b", 8)]


def flavor(name, **resources):
    """A flavor: nominal quota by resource, or (nominal, borrowingLimit, lendingLimit)."""
    made = []
    for resource, quota in resources.items():
        nominal, borrows, lends = quota if isinstance(quota, tuple) else (quota, None, None)
        one = {"name": {"gpu": GPU}.get(resource, resource), "nominalQuota": str(nominal)}
        one |= {} if borrows is None else {"borrowingLimit": str(borrows)}
        made.append(one | ({} if lends is None else {"lendingLimit": str(lends)}))
    return {"name": name, "resources": made}


def cluster_queue(name, *flavors, used=(), cohort="", more=None, groups=None):
    usage = [{"name": of, "resources": [{"name": GPU, "total": str(amount)}]} for of, amount in used]
    return read_cluster_queue(
        {
            "metadata": {"name": name},
            "spec": {
                "resourceGroups": groups or [{"coveredResources": [GPU], "flavors": list(flavors)}],
                "cohortName": cohort,
                **(more or {}),
            },
            "status": {"flavorsReservation": usage},
        }
    )


def counted(*queues, pod=None, labels=None, local=None, cohorts=None, flavors=None, nodes=NODES, pods=(), **unread):
    known = {
        "local_queues": {("team", "llm"): read_local_queue({"spec": {"clusterQueue": "gpus", **(local or {})}})},
        "cluster_queues": {one.name: one for one in queues},
        "cohorts": {name: read_cohort({"spec": raw}) for name, raw in (cohorts or {}).items()},
        "flavors": {name: read_flavor({"spec": raw}) for name, raw in (flavors or {}).items()},
    }
    cluster = picture(nodes, pods, {"llama": pod or spec(2)}, labels=labels or {QUEUE: "llm"}, **known | unread)
    [scaled] = cluster
    return availability(cluster, scaled).schedulable


def test_what_is_left_of_a_quota_binds_and_others_may_come_first():
    found = counted(cluster_queue("gpus", flavor("a100", gpu=10), used=[("a100", 4)]))
    assert (found.value, found.bound) == (3, "upper")
    assert f"LocalQueue llm, ClusterQueue gpus: what its quota of {GPU} leaves" in found.reason
    assert "who else waits in LocalQueue llm" in found.reason


def test_machines_bind_where_there_is_more_quota_than_these():
    found = counted(cluster_queue("gpus", flavor("a100", gpu=100)))
    assert (found.value, found.bound) == (8, "upper")


def test_a_pod_has_all_of_a_group_from_one_flavor():
    """5 GPUs are left, but 3 of one flavor and 2 of the other: one pod of 2 fits each."""
    assert counted(cluster_queue("gpus", flavor("a", gpu=3), flavor("b", gpu=2))).value == 2
    asks_both = {"containers": [{"name": "c", "resources": {"limits": {GPU: "1", "cpu": "4"}}}]}
    both = [{"flavors": [flavor("a", gpu=8, cpu=8), flavor("b", gpu=8, cpu=20)]}]
    assert counted(cluster_queue("gpus", groups=both), pod=asks_both).value == 2 + 5
    apart = [{"flavors": [flavor("a", gpu=8)]}, {"flavors": [flavor("c", cpu=12)]}]
    assert counted(cluster_queue("gpus", groups=apart), pod=asks_both).value == 3


@pytest.mark.parametrize(
    ("own", "other", "used", "value"),
    [
        ((4, None, None), (8, None, None), 0, 6),  # all that the cohort has
        ((4, None, None), (8, None, None), 6, 3),
        ((4, 2, None), (8, None, None), 0, 3),  # it may borrow 2
        ((4, 0, None), (8, None, None), 0, 2),
        ((4, None, None), (8, None, 2), 0, 3),  # the other lends 2
        ((4, None, None), (8, None, 2), 8, 2),
        ((0, None, None), (8, None, None), 8, 0),
        ((4, 1, 1), (8, None, None), 0, 2),  # of its own 4 it lends 1 at most, and it may borrow 1
    ],
)
def test_what_a_cohort_does_not_use_may_be_borrowed(own, other, used, value):
    ours = cluster_queue("gpus", flavor("a", gpu=own), cohort="all")
    theirs = cluster_queue("other", flavor("a", gpu=other), cohort="all", used=[("a", used)])
    assert counted(ours, theirs).value == value


def test_cohorts_have_parents_and_a_quota_of_their_own():
    ours = cluster_queue("gpus", flavor("a", gpu=2), cohort="team")
    theirs = cluster_queue("other", flavor("a", gpu=4), cohort="rest")
    tree = {"team": {"parentName": "all"}, "rest": {"parentName": "all"}, "all": {}}
    assert counted(ours, theirs, cohorts=tree).value == 3
    rich = {**tree, "all": {"resourceGroups": [{"flavors": [flavor("a", gpu=6)]}]}}
    assert counted(ours, theirs, cohorts=rich).value == 6
    circle = {"team": {"parentName": "all"}, "all": {"parentName": "team"}}
    assert counted(ours, cohorts=circle).bound == "upper", "Kueue refuses it; it is followed only so far"


def test_what_others_use_may_come_free_where_the_queue_preempts():
    used = cluster_queue(
        "gpus", flavor("a", gpu=8), used=[("a", 8)], more={"preemption": {"withinClusterQueue": "LowerPriority"}}
    )
    assert counted(used).value == 4
    placed = [on("p", "a", spec(2), owner=("ReplicaSet", "llama-5d8f"))]
    assert counted(used, pods=placed).value == 3, "its own are not preempted for its own"


@pytest.mark.parametrize(
    ("queue", "local", "told"),
    [
        ({"stopPolicy": "Hold"}, {}, "ClusterQueue gpus: it is stopped (stopPolicy: Hold)"),
        ({}, {"stopPolicy": "HoldAndDrain"}, "it is stopped (stopPolicy: HoldAndDrain)"),
        ({}, {"clusterQueue": "gone"}, "ClusterQueue gone: it does not exist"),
    ],
)
def test_a_queue_that_is_stopped_admits_none(queue, local, told):
    found = counted(cluster_queue("gpus", flavor("a", gpu=8), more=queue), local=local)
    assert (found.value, found.bound) == (0, "upper")
    assert told in found.reason


def test_what_cannot_be_read_binds_nothing_and_is_told():
    found = counted(local_queues=None)
    assert (found.value, found.bound) == (8, "upper")
    assert "what the queue llm of Kueue still admits is not counted" in found.reason
    nothing = counted(local_queues={}, cluster_queues={})
    assert (nothing.value, nothing.bound) == (8, "upper"), "there is no Kueue here"
    elsewhere = counted(cluster_queue("gpus", flavor("a", gpu=8)), labels={QUEUE: "other"})
    assert (elsewhere.value, elsewhere.bound) == (0, "upper")


def test_a_default_queue_may_hold_back_who_names_none():
    local = {("team", "default"): read_local_queue({"spec": {"clusterQueue": "gpus"}})}
    found = counted(cluster_queue("gpus", flavor("a", gpu=2)), labels={"x": "y"}, local_queues=local)
    assert (found.value, found.bound) == (8, "upper")
    assert "the LocalQueue default of Kueue may hold its pods back" in found.reason


def test_what_a_flavor_adds_to_pods_is_known_before_there_are_any():
    taint = {"key": "team", "value": "x", "effect": "NoSchedule"}
    tainted = [node("a", 8, taints=[taint], labels={"gpu": "a100"}), node("b", 8, taints=[taint])]
    added = {"a": {"tolerations": [{"key": "team", "operator": "Exists"}], "nodeLabels": {"gpu": "a100"}}}
    assert counted(cluster_queue("gpus", flavor("a", gpu=100)), nodes=tainted).value == 0
    assert counted(cluster_queue("gpus", flavor("a", gpu=100)), nodes=tainted, flavors=added).value == 4
    two = cluster_queue("gpus", flavor("a", gpu=100), flavor("b", gpu=100))
    assert counted(two, nodes=tainted, flavors={**added, "b": {}}).value == 8, "which of them it gets is not known"


# ---- any tree of cohorts, one GPU after another ---------------------------------------------------------------------------

QUOTAS = st.tuples(st.integers(0, 6), st.none() | st.integers(0, 3), st.none() | st.integers(0, 4))
COHORTS = ("", "a", "b", "c")  # of each the parents that it may have are those before it


@st.composite
def trees(draw):
    """Queues in cohorts, by name: (cohort, quota, used), of which none uses more than its own; and cohorts: (parent, quota)."""
    cohorts = {
        name: (draw(st.sampled_from(COHORTS[:place])), draw(QUOTAS)) for place, name in enumerate(COHORTS) if place
    }
    queues = {}
    for name in ("gpus", "one", "two"):
        quota = draw(QUOTAS)
        queues[name] = draw(st.sampled_from(COHORTS)), quota, draw(st.integers(0, quota[0]))
    return queues, cohorts


def admits(queues, cohorts, more):
    """Whether so many more fit: no queue and no cohort has more of its parent's than it may borrow, and the root has them."""

    def children(name):
        below = [(quota, whole(queue), used(queue)) for queue, (cohort, quota, _) in queues.items() if cohort == name]
        return below + [(quota, whole(one), used(one)) for one, (parent, quota) in cohorts.items() if parent == name]

    def kept(quota, has):
        return 0 if quota[2] is None else max(has - quota[2], 0)

    def whole(name):
        if name in queues:
            return queues[name][1][0]
        return cohorts[name][1][0] + sum(has - kept(quota, has) for quota, has, _ in children(name))

    def used(name):
        if name in queues:
            return queues[name][2] + (more if name == "gpus" else 0)
        return sum(max(uses - kept(quota, has), 0) for quota, has, uses in children(name))

    name = "gpus"
    while name:
        parent, quota = queues[name][:2] if name in queues else cohorts[name]
        limit = 0 if not parent else None if quota[1] is None else quota[1]
        if limit is not None and used(name) > whole(name) + limit:
            return False
        name = parent
    return True


@given(trees())
@settings(max_examples=150, deadline=None)
def test_of_any_tree_of_cohorts_as_much_is_left_as_can_be_taken_one_after_another(tree):
    queues, cohorts = tree
    made = [
        cluster_queue(name, flavor("f", gpu=quota), cohort=cohort, used=[("f", used)])
        for name, (cohort, quota, used) in queues.items()
    ]
    above = {
        name: {"parentName": parent, "resourceGroups": [{"flavors": [flavor("f", gpu=quota)]}]}
        for name, (parent, quota) in cohorts.items()
    }
    room = max((more for more in range(60) if admits(queues, cohorts, more)), default=0)
    assert counted(*made, pod=spec(1), cohorts=above, nodes=[node("a", 64)]).value == room


def test_of_what_is_nobodys_in_a_group_the_first_resource_that_binds_is_named():
    groups = [{"coveredResources": ["cpu", GPU], "flavors": [flavor("f", cpu=2, gpu=4)]}]
    pod = {"containers": [{"name": "e", "resources": {"requests": {"cpu": "1"}, "limits": {GPU: "1"}}}]}
    found = counted(cluster_queue("gpus", groups=groups), pod=pod)
    assert (found.value, "what its quota of cpu leaves" in found.reason) == (2, True)


def test_where_a_quota_and_a_queue_leave_the_same_the_quota_is_named():
    four = {"metadata": {"name": "q", "namespace": "team"}, "spec": {}, "status": {"hard": {"pods": "4"}, "used": {}}}
    found = counted(cluster_queue("gpus", flavor("a", gpu=8)), quotas=[four])
    assert (found.value, "ResourceQuota q: pods 4" in found.reason) == (4, True)
