"""GPUs that can really be had: each of the ways in which the sum of what is free is not the answer."""

import dataclasses
import itertools
import json
from operator import itemgetter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cluster import GPU, node, on, picture, spec

from scaler.cluster.availability import NO_KARPENTER, NO_PROVISIONER, PRIORITIES, availability
from scaler.cluster.pending import index_pending
from scaler.model.availability import BoundedCount
from scaler.model.nodes import (
    Allocation,
    ClaimTemplate,
    Device,
    DeviceClass,
    DeviceRequest,
    Devices,
    Node,
    NodeSnapshot,
    NodeUsage,
    PendingPod,
    PodRequirements,
    ReplicaTemplate,
    ResourceSlice,
)
from scaler.model.objects import OLD, Cluster, Pod, ScaledResource

MINE = ("ReplicaSet", "llama-77aa")
UNSCHEDULABLE = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]


def asked(nodes, pods=(), pod=None, **more):
    """The availability of Deployment llama, whose pods are `pod`."""
    cluster = picture(nodes, pods, {"llama": pod or spec()}, **more)
    [scaled] = cluster
    return availability(cluster, scaled)


def fits(*args, **more):
    found = asked(*args, **more).schedulable
    assert found.bound == "exact"
    return found.value


def limits(**resources):
    return [{"name": "c", "resources": {"limits": resources}}]


# ---- what is on the nodes --------------------------------------------------------------------------------------------------


def test_places_are_counted_node_by_node_since_a_pod_is_on_one():
    nodes = [node("a", 5), node("b", 0), node("c", 2)]
    assert [fits(nodes, pod=spec(gpus)) for gpus in (1, 2, 4)] == [7, 3, 1]
    assert asked(nodes).free == BoundedCount(7)


def test_what_pods_hold_is_taken_off_and_what_ended_pods_held_is_not():
    pods = [on("a", "n", spec(2)), on("b", "n", spec(4), phase="Succeeded"), on("c", "n", spec(4), phase="Failed")]
    assert fits([node()], pods) == 6


def test_a_pod_that_is_ending_holds_its_gpus_until_it_is_gone():
    ending = on("a", "n", spec(2))
    ending["metadata"]["deletionTimestamp"] = "2026-11-21T12:00:00Z"
    assert fits([node()], [ending]) == 6


def test_init_containers_hold_the_most_that_one_of_them_does_and_sidecars_hold_on():
    def container(gpus, **more):
        return {"name": f"c{gpus}", "resources": {"limits": {GPU: str(gpus)}}, **more}

    sidecar = container(1, restartPolicy="Always")
    cases = {
        4: {"containers": [container(1)], "initContainers": [container(4), container(2)]},
        3: {"containers": [container(1), container(2)], "initContainers": [container(2)]},
        2: {"containers": [container(1)], "initContainers": [sidecar]},
        5: {"containers": [container(1)], "initContainers": [sidecar, container(4)]},
        6: {"containers": [container(5)], "initContainers": [container(4), sidecar]},
    }
    for gpus, pod in cases.items():
        assert asked([node()], pod=pod).resource == f"{gpus} {GPU}"
        assert fits([node()], [on("a", "n", pod)]) == 8 - gpus


def test_what_counts_is_allocatable_not_capacity():
    sick = node()
    sick["status"]["allocatable"] = {**sick["status"]["capacity"], GPU: "7"}  # the device plugin took one back
    assert fits([sick]) == 7


def test_a_new_node_is_ready_before_its_gpus_are_there():
    assert fits([node(gpus=0)]) == 0
    assert fits([node(gpus=None)]) == 0
    assert asked([node(gpus=None)]).schedulable.reason == "insufficient nvidia.com/gpu on 1 node"


@pytest.mark.parametrize(
    ("barred", "reason"),
    [
        ({"cordoned": True}, "cordoned on 1 node"),
        (
            {"cordoned": True, "taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]},
            "cordoned on 1 node",
        ),
        ({"ready": "False"}, "not ready on 1 node"),
        ({"ready": "Unknown"}, "not ready on 1 node"),
        ({"taints": [{"key": "team", "value": "red", "effect": "NoSchedule"}]}, "taint team on 1 node"),
        (
            {"taints": [{"key": "node.cilium.io/agent-not-ready", "effect": "NoExecute"}]},
            "taint node.cilium.io/agent-not-ready on 1 node",
        ),
        ({"labels": {"product": "l4"}}, "node selector on 1 node"),
    ],
)
def test_nodes_that_its_pods_may_not_use_are_left_out_and_the_reason_is_told(barred, reason):
    pod = spec(nodeSelector={"product": "h100"})
    good = node("good", 2, labels={"product": "h100"})
    found = asked([node(**{"labels": {"product": "h100"}, **barred}), good], pod=pod)
    assert found.schedulable == BoundedCount(2, reason=f"{reason}")
    assert found.free == BoundedCount(2)


def test_a_taint_that_is_tolerated_or_soft_bars_nobody():
    tainted = node(
        taints=[{"key": GPU, "value": "present", "effect": "NoSchedule"}, {"key": "x", "effect": "PreferNoSchedule"}]
    )
    assert asked([tainted]).schedulable == BoundedCount(
        8, "upper", f"that admission lets pods which ask for {GPU} pass its taint is assumed"
    )
    assert fits([tainted], pod=spec(tolerations=[{"key": GPU, "operator": "Exists"}])) == 8


def test_another_resource_may_be_the_bottleneck():
    pod = {"containers": limits(**{GPU: "1", "cpu": "10", "rdma/hca": "1"})}
    found = asked([node("a", rdma__hca="3"), node("b", cpu="25", rdma__hca="8"), node("c")], pod=pod)
    assert found.schedulable == BoundedCount(5, reason="insufficient rdma/hca on 1 node")
    assert fits([node(pods="3")]) == 3


def test_a_gpu_that_is_shared_is_a_resource_of_its_own():
    nodes = [node("whole", 2), node("shared", None, **{"nvidia.com/gpu.shared": "40"})]
    shared = {"containers": limits(**{"nvidia.com/gpu.shared": "1"})}
    assert (fits(nodes), fits(nodes, pod=shared)) == (2, 40)
    assert asked(nodes, pod=shared).free == BoundedCount(40)


def test_a_slice_of_a_gpu_is_a_resource_of_its_own():
    sliced = node(gpus=1, **{"nvidia.com/mig-1g.10gb": "7"})
    pod = {"containers": limits(**{"nvidia.com/mig-1g.10gb": "2"})}
    found = asked([sliced], pod=pod)
    assert (found.resource, found.schedulable.value, found.free) == ("2 nvidia.com/mig-1g.10gb", 3, BoundedCount(7))


@pytest.mark.parametrize(
    ("asks", "counted"),
    [
        ({"aws.amazon.com/neuroncore": "2", "aws.amazon.com/neuron": "1"}, "1 aws.amazon.com/neuron"),
        ({"amd.com/gpu": "1"}, "1 amd.com/gpu"),
        ({"google.com/tpu": "4"}, "4 google.com/tpu"),
        ({"gpu.intel.com/xe": "1"}, "1 gpu.intel.com/xe"),
        ({"habana.ai/gaudi": "8"}, "8 habana.ai/gaudi"),
        ({"huawei.com/Ascend910": "1"}, "1 huawei.com/Ascend910"),
        ({"rdma/hca": "1"}, ""),
    ],
)
def test_silicon_of_every_vendor_is_counted_once(asks, counted):
    assert asked([node()], pod={"containers": limits(**asks)}).resource == counted


def test_a_pod_without_gpus_has_places_and_no_gpus():
    found = asked([node(cpu="3")], pod={"containers": limits(cpu="1")})
    assert (found.resource, found.schedulable.value) == ("", 3)
    assert found.free == found.own == found.pending == BoundedCount(None, reason="its pods ask for no GPU")


def test_a_node_that_holds_too_much_has_nothing_left_and_takes_nothing_from_others():
    assert fits([node("a", 1), node("b", 2)], [on("x", "a", spec(4))]) == 2
    assert asked([node("a", 1), node("b", 2)], [on("x", "a", spec(4))]).free == BoundedCount(2)


# ---- whose pods --------------------------------------------------------------------------------------------------------------


def test_own_pods_are_known_by_their_names_where_their_owner_is_another():
    """As those of a LeaderWorkerSet, whose pods belong to StatefulSets."""
    pods = [on("llama-1", "n", spec(2), owner=MINE), on("llama-2", "", spec(2), owner=MINE, conditions=UNSCHEDULABLE)]
    cluster = picture([node()], pods, {"llama": spec(2)})
    [waiting] = cluster.node_snapshot.pending_pods.by_owner.values()
    queue = index_pending([dataclasses.replace(one, owner=("team", "StatefulSet", "x")) for one in waiting])
    cluster = dataclasses.replace(cluster, node_snapshot=dataclasses.replace(cluster.node_snapshot, pending_pods=queue))
    [scaled] = cluster
    assert availability(cluster, scaled).pending == BoundedCount(0)


def test_pods_of_its_names_in_another_namespace_are_those_of_others():
    pods = [on("llama-2", "", spec(2), owner=MINE, conditions=UNSCHEDULABLE)]
    cluster = picture([node()], pods, {"llama": spec(2)})
    [waiting] = cluster.node_snapshot.pending_pods.by_owner.values()
    elsewhere = [dataclasses.replace(one, owner=("prod", "StatefulSet", "x")) for one in waiting]
    queue = index_pending(elsewhere)
    cluster = dataclasses.replace(cluster, node_snapshot=dataclasses.replace(cluster.node_snapshot, pending_pods=queue))
    [scaled] = cluster
    assert availability(cluster, scaled).pending == BoundedCount(2)


def test_own_pods_are_own_and_never_count_against_their_workload():
    pods = [on("llama-1", "n", spec(2), owner=MINE), on("llama-2", "", spec(2), owner=MINE, conditions=UNSCHEDULABLE)]
    found = asked([node()], pods, spec(2))
    assert (found.own, found.pending, found.schedulable.value) == (BoundedCount(2), BoundedCount(0), 3)


def test_others_that_wait_are_pending_but_take_no_place_that_they_could_not_have():
    others = [on("big", "", spec(16), conditions=UNSCHEDULABLE), on("held", "", spec(4))]
    others[1]["spec"]["schedulingGates"] = [{"name": "kueue"}]
    found = asked([node()], others)
    assert (found.pending, found.schedulable) == (BoundedCount(16), BoundedCount(8))


def test_a_node_that_is_being_made_free_for_others_is_theirs():
    nominated = on("big", "", spec(6), conditions=UNSCHEDULABLE, nominatedNodeName="n")
    assert fits([node()], [nominated]) == 2


# ---- pods of others that come first, or give way -------------------------------------------------------------------------------


def test_pods_that_are_about_to_be_placed_take_places_where_that_costs_least():
    nodes = [node("a", 4), node("b", 3)]
    fresh = on("new", "", spec(1))
    found = asked(nodes, [fresh], spec(2)).schedulable
    assert found == BoundedCount(3, "upper", "1 pod of others about to be placed")
    assert asked([node("a", 4)], [fresh], spec(2)).schedulable.value == 1
    assert asked(nodes, [on("huge", "", spec(64))], spec(2)).schedulable.value == 3


@pytest.mark.parametrize(
    ("mine", "theirs", "policy", "bound"),
    [
        (100, 0, None, "lower"),
        (100, 0, "Never", "exact"),
        (0, 0, None, "exact"),
        (0, 100, None, "exact"),
        (0, -1, None, "lower"),
    ],
)
def test_where_pods_of_lower_priority_hold_gpus_there_may_be_more_places(mine, theirs, policy, bound):
    pod = spec(1, priority=mine, preemptionPolicy=policy)
    found = asked([node()], [on("x", "n", spec(2, priority=theirs, preemptionPolicy="Never"))], pod).schedulable
    assert (found.value, found.bound) == (6, bound)


def with_cpu(cpu, **more):
    return {"containers": limits(**{GPU: "1", "cpu": cpu}), **more}


def only_cpu(cpu, **more):
    return {"containers": limits(cpu=cpu), **more}


def test_pods_of_lower_priority_may_give_way_whatever_they_hold():
    hungry = on("web", "n", only_cpu("60", priority=0))
    assert asked([node()], [hungry], with_cpu("8", priority=5)).schedulable == BoundedCount(
        0,
        "lower",
        "pods of lower priority may give way: 8 at most; insufficient cpu on 1 node",
        upper_bound=8,
    )
    port = {"containers": [{"name": "c", "ports": [{"containerPort": 1, "hostPort": 80}]}]}
    found = asked([node()], [on("web", "n", {**port, "priority": 0})], {**port, "priority": 5}).schedulable
    assert (found.value, found.bound, found.most) == (0, "lower", 1)


def test_where_pods_of_lower_priority_have_nothing_that_binds_the_count_is_exact():
    busy = [on("peer", "n", spec(8, priority=5)), on("web", "n", only_cpu("1", priority=0))]
    assert asked([node()], busy, spec(1, priority=5)).schedulable == BoundedCount(
        0, reason=f"insufficient {GPU} on 1 node"
    )
    elsewhere = on("web", "other", only_cpu("60", priority=0))
    barred = node("other", cordoned=True)
    assert asked([node(), barred], [elsewhere], with_cpu("8", priority=5)).schedulable.bound == "exact"


def test_a_quota_is_the_most_there_is_whoever_gives_way():
    low = on("web", "n", spec(8, priority=0))
    pods = quota(of={"pods": ("3", "0")})
    found = asked([node()], [low], spec(1, priority=5), quotas=[pods]).schedulable
    assert (found.value, found.bound, found.most) == (0, "lower", 3)
    none_left = quota(of={"pods": ("3", "3")})
    assert asked([node()], [low], spec(1, priority=5), quotas=[none_left]).schedulable == BoundedCount(
        0, reason=f"insufficient {GPU} on 1 node"
    )


def test_devices_are_not_taken_from_pods_of_lower_priority():
    claim = ClaimTemplate((DeviceRequest("gpu", 1),))
    owned = Devices(
        slices=(ResourceSlice("d", "n", 1, 1, "n", (Device("a", {}), Device("b", {}))),),
        classes={"gpu": DeviceClass()},
        templates={("team", "gpu"): claim},
        allocations=(Allocation("team", ("x",), (("d", "n", "a"),)),),
    )
    pod = {**spec(0, priority=5), "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "gpu"}]}
    assert asked([node()], [on("x", "n", spec(0, priority=0))], pod, devices=owned).schedulable.value == 1
    assert asked([node()], [on("x", "n", spec(0, priority=0))], pod, devices=owned).schedulable.bound == "exact"


def test_a_node_that_is_being_made_free_for_a_pod_of_lower_priority_is_not_theirs():
    nominated = on("big", "", spec(6, priority=0), conditions=UNSCHEDULABLE, nominatedNodeName="n")
    assert fits([node()], [nominated], spec(1, priority=5)) == 8


def priority_class(name, value, *, default=False, policy="PreemptLowerPriority"):
    return {"metadata": {"name": name}, "value": value, "globalDefault": default, "preemptionPolicy": policy}


def test_pods_of_a_class_that_is_not_there_are_refused():
    found = asked([node()], pod=spec(priorityClassName="gone"), priorities=[]).schedulable
    assert found == BoundedCount(0, reason="there is no PriorityClass gone, so its pods are refused")


SERVING, PATIENT = priority_class("serving", 1000), priority_class("patient", 1000, policy="Never")


@pytest.mark.parametrize(
    ("named", "classes", "bound"),
    [
        ("serving", [SERVING], "lower"),
        ("patient", [PATIENT], "exact"),
        (None, [SERVING], "exact"),
        (None, [SERVING, priority_class("usual", 10, default=True)], "lower"),
        (None, [priority_class("first", 10, default=True), priority_class("second", -10, default=True)], "exact"),
    ],
)
def test_before_there_are_pods_their_priority_is_that_of_their_class(named, classes, bound):
    pod = spec(1, **({"priorityClassName": named} if named else {}))
    found = asked([node()], [on("x", "n", spec(2, priority=0))], pod, priorities=classes).schedulable
    assert (found.value, found.bound, found.most) == (6, bound, 8 if bound == "lower" else 6)


def test_classes_that_may_not_be_read_leave_open_who_gives_way():
    pods = [on("x", "n", spec(2, priority=0))]
    cluster = picture([node()], pods, {"llama": spec(priorityClassName="serving")}, priorities=None)
    [scaled] = cluster
    cluster = dataclasses.replace(cluster, problems={PRIORITIES: "list and watch priorityclasses: 403"})
    assert availability(cluster, scaled).schedulable == BoundedCount(
        6,
        "estimate",
        "perhaps more, since pods of lower priority may give way, and its own is not known "
        "(list and watch priorityclasses: 403): 8 at most; "
        "perhaps fewer, since whether there is a PriorityClass serving is not known",
        upper_bound=8,
    )
    mine = on("llama-1", "n", spec(2, priority=0), owner=MINE)
    assert fits([node()], [mine], spec(2, priorityClassName="serving"), priorities=None) == 3, "its pods say it"


def test_what_may_be_more_and_may_be_fewer_is_an_estimate_with_both_reasons():
    spread = {"whenUnsatisfiable": "DoNotSchedule", "topologyKey": "zone", "maxSkew": 1}
    low = on("x", "n", spec(2, priority=0))
    found = asked([node()], [low], spec(1, priority=5, topologySpreadConstraints=[spread])).schedulable
    assert (found.value, found.bound, found.most) == (6, "estimate", 8)
    assert found.caveat == (
        "about: perhaps more, since pods of lower priority may give way: 8 at most; "
        "perhaps fewer, since topology spread is not counted"
    )


# ---- apart ----------------------------------------------------------------------------------------------------------------------


def apart(selector, **more):
    term = {"labelSelector": selector, "topologyKey": "kubernetes.io/hostname", **more}
    return spec(affinity={"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}})


def test_pods_that_share_no_node_with_their_like_have_one_place_on_each():
    alone = apart({"matchLabels": {"app": "llama"}})
    nodes = [node(name) for name in "abc"]
    assert fits(nodes, pod=alone) == 3
    mine = on("llama-1", "a", alone, labels={"app": "llama"}, owner=MINE)
    found = asked(nodes, [mine], alone)
    assert found.schedulable == BoundedCount(2, reason="pod anti-affinity on 1 node")
    assert found.free == BoundedCount(23), "that they are not for its pods is another matter"


def test_pods_that_share_no_node_with_others_may_share_one_among_themselves():
    shy = apart({"matchExpressions": [{"key": "app", "operator": "In", "values": ["trainer"]}]})
    nodes = [node("a"), node("b")]
    assert fits(nodes, [on("t", "a", labels={"app": "trainer"})], shy) == 8
    assert fits(nodes, [on("t", "a", labels={"app": "other"})], shy) == 15


LLAMA, OTHER = {"matchLabels": {"app": "llama"}}, {"matchLabels": {"app": "other"}}
ZONE = {"topologyKey": "zone"}


@pytest.mark.parametrize(
    ("shy", "free"),
    [
        (apart(LLAMA), {"b": 8, "c": 8, "d": 8}),
        (apart(OTHER), {"a": 7, "b": 8, "c": 8, "d": 8}),
        (apart(LLAMA, **ZONE), {"c": 8, "d": 8}),
        (apart(OTHER, **ZONE), {"a": 7, "b": 8, "c": 8, "d": 8}),
        (apart(LLAMA, topologyKey="rack"), {"a": 7, "b": 8, "c": 8, "d": 8}),
        (apart(LLAMA, **ZONE, namespaces=["team"]), {"c": 8, "d": 8}),
        (apart(LLAMA, **ZONE, namespaces=["red"]), {"a": 7, "b": 8, "c": 8, "d": 8}),
        (apart(LLAMA, **ZONE, namespaceSelector={}), {"c": 8, "d": 8}),
    ],
)
def test_places_that_others_share_with_no_such_pod_are_closed(shy, free):
    """Nodes a and b are in one zone, c is in another, and d is in none."""
    zones = {"a": {"zone": "1"}, "b": {"zone": "1"}, "c": {"zone": "2"}, "d": {}}
    nodes = [node(name, labels=labels) for name, labels in zones.items()]
    assert fits(nodes, [on("x", "a", shy)]) == sum(free.values())


@pytest.mark.parametrize(
    "more",
    [{"namespaceSelector": {"matchLabels": {"team": "red"}}}, {"namespaceSelector": {}, "matchLabelKeys": ["rev"]}],
)
def test_who_stays_apart_from_namespaces_that_cannot_be_told_makes_it_a_bound(more):
    found = asked([node()], [on("x", "n", apart(LLAMA, **more))]).schedulable
    assert found == BoundedCount(7, "upper", "some pods stay apart from others, by a selector that may take these")
    assert fits([node()], [on("x", "n", apart(OTHER, **more))]) == 7


@pytest.mark.parametrize(("ranks", "most"), [({"a": 0}, 24), ({"b": 0}, 24), ({"a": 9}, 8), ({"a": 0, "b": 9}, 8)])
def test_who_keeps_a_zone_closed_may_give_way_with_all_of_it(ranks, most):
    nodes = [node(name, labels={"zone": "2" if name == "c" else "1"}) for name in "abc"]
    pods = [on(f"x{name}", name, {**apart(LLAMA, **ZONE), "priority": rank}) for name, rank in ranks.items()]
    found = asked(nodes, pods, spec(1, priority=5)).schedulable
    assert (found.value, found.most, found.bound) == (8, most, "exact" if most == 8 else "lower")


def test_of_several_who_close_a_node_the_highest_priority_counts():
    nodes = [node(name, labels={"zone": "2" if name == "c" else "1"}) for name in "abc"]
    by_zone, by_host = {**apart(LLAMA, **ZONE), "priority": 0}, {**apart(LLAMA), "priority": 9}
    for pods in ([on("x", "a", by_zone), on("y", "a", by_host)], [on("x", "a", by_host), on("y", "a", by_zone)]):
        found = asked(nodes, pods, spec(1, priority=5)).schedulable
        assert (found.value, found.most) == (8, 16), "b would be free again, and a would not"


def test_who_is_not_wanted_on_a_node_may_make_its_pods_give_way():
    alone = apart(OTHER)
    there = on("x", "n", spec(2, priority=0), labels={"app": "other"})
    found = asked([node()], [there], {**alone, "priority": 5}).schedulable
    assert (found.value, found.bound, found.most) == (0, "lower", 8)
    assert fits([node()], [on("x", "n", spec(2, priority=7), labels={"app": "other"})], {**alone, "priority": 5}) == 0


@pytest.mark.parametrize("more", [{"topologyKey": "zone"}, {"namespaceSelector": {}}, {"matchLabelKeys": ["x"]}])
def test_other_ways_to_be_apart_are_only_bounded(more):
    found = asked([node()], pod=apart({"matchLabels": {"app": "llama"}}, **more)).schedulable
    assert found == BoundedCount(8, "upper", "pod anti-affinity is counted only within a namespace, by host")


# ---- quotas -------------------------------------------------------------------------------------------------------------------


def quota(name="gpus", namespace="team", scopes=None, **sizes):
    hard, used = ({key: pair[index] for key, pair in sizes["of"].items()} for index in (0, 1))
    spec = {"hard": hard, **({"scopes": scopes} if scopes else {})}
    return {"metadata": {"namespace": namespace, "name": name}, "spec": spec, "status": {"hard": hard, "used": used}}


@pytest.mark.parametrize(
    ("of", "value"),
    [
        ({f"requests.{GPU}": ("6", "2")}, 2),
        ({f"requests.{GPU}": ("2", "6")}, 0),
        ({"pods": ("10", "9")}, 1),
        ({"count/pods": ("10", "8")}, 2),
        ({"requests.cpu": ("1", "1")}, 4),
        ({"services": ("1", "1")}, 4),
    ],
)
def test_a_quota_binds_what_it_speaks_of(of, value):
    found = asked([node()], pod=spec(2), quotas=[quota(of=of)]).schedulable
    assert found.value == value
    assert ("ResourceQuota gpus: " in found.reason) is (value < 4)


def test_a_quota_for_some_pods_only_makes_it_a_bound():
    found = asked([node()], quotas=[quota(scopes=["BestEffort"], of={"pods": ("1", "1")})]).schedulable
    assert found == BoundedCount(8, "upper", "quotas that speak of some pods only are not counted")


@pytest.mark.parametrize("name", ["limits.cpu", "gpu.deviceclass.resource.k8s.io/devices"])
def test_a_quota_that_is_not_counted_makes_it_a_bound(name):
    found = asked([node()], quotas=[quota(of={name: ("1", "1")})]).schedulable
    assert (found.value, found.bound) == (8, "upper")
    assert f"are not counted (gpus: {name})" in found.reason


def test_devices_of_a_class_may_be_asked_for_by_number():
    pod = {"containers": limits(**{"deviceclass.resource.kubernetes.io/gpu": "1"})}
    slices = (ResourceSlice("d", "n", 1, 1, "n", (Device("a"), Device("b"))),)
    known = Devices(slices=slices, classes={"gpu": DeviceClass()})
    assert asked([node()], pod=pod, devices=known).schedulable == BoundedCount(2)
    assert asked([node()], pod=pod).schedulable.value == 0


def test_a_quota_binds_machines_to_come_as_well():
    pools = [{"metadata": {"name": "p"}, "spec": {"template": {"spec": {}}, "limits": {GPU: "64"}}}]
    of = {f"requests.{GPU}": ("12", "0")}
    found = asked([node()], quotas=[quota(of=of)], pools=pools)
    assert (found.schedulable.value, found.provisionable.value) == (8, 4)
    assert found.provisionable.reason == f"ResourceQuota gpus: requests.{GPU} 12"
    used_up = asked([node()], quotas=[quota(of={f"requests.{GPU}": ("12", "12")})])
    assert used_up.provisionable == BoundedCount(0, reason=f"ResourceQuota gpus: requests.{GPU} 12")


def test_pods_that_wait_are_within_their_quota_already():
    waiting = [on("llama-1", "", spec(2), owner=MINE, conditions=UNSCHEDULABLE)]
    assert fits([node()], waiting, spec(2), quotas=[quota(of={f"requests.{GPU}": ("4", "2")})]) == 2


@pytest.mark.parametrize(("name", "bound"), [("requests.cpu", "upper"), ("memory", "upper"), ("pods", "exact")])
def test_a_quota_on_what_its_pods_do_not_say_may_refuse_them(name, bound):
    found = asked([node()], quotas=[quota(of={name: ("100", "0")})]).schedulable
    assert (found.value, found.bound) == (8, bound)
    assert ("quotas want pods to say" in found.reason) is (bound == "upper")


def test_quotas_of_other_namespaces_bind_nothing_here():
    assert fits([node()], quotas=[quota(namespace="other", of={"pods": ("1", "1")})]) == 8


# ---- what a LimitRange adds --------------------------------------------------------------------------------------------------


def limit_range(name="defaults", namespace="team", **requests):
    limits = [{"type": "Container", "defaultRequest": requests}]
    return {"metadata": {"namespace": namespace, "name": name}, "spec": {"limits": limits}}


def test_before_there_are_pods_a_limit_range_says_what_their_containers_ask_for():
    large = [limit_range(cpu="32")]
    assert asked([node()], ranges=large).schedulable == BoundedCount(2, reason="")
    assert fits([node()], pod=with_cpu("8"), ranges=large) == 8, "these say it themselves"
    assert fits([node()], ranges=[limit_range(namespace="other", cpu="32")]) == 8
    two = {"containers": [*limits(**{GPU: "1"}), {"name": "d"}]}
    assert fits([node()], pod=two, ranges=large) == 1
    assert fits([node()], pod=two, ranges=[limit_range(cpu="40")]) == 0


def test_pods_that_were_made_before_a_limit_range_say_nothing_of_the_next():
    mine = on("llama-1", "n", spec(1), owner=MINE)
    assert fits([node()], [mine], ranges=[limit_range(cpu="32")]) == 2
    admitted = on("llama-1", "n", with_cpu("32"), owner=MINE)
    assert fits([node()], [admitted], ranges=[limit_range(cpu="32")]) == 1


def test_limit_ranges_that_differ_or_are_not_known_make_it_a_bound():
    differing = [limit_range("a", cpu="32"), limit_range("b", cpu="16", memory="1Gi")]
    assert asked([node()], ranges=differing).schedulable == BoundedCount(
        4, "upper", "LimitRanges differ in cpu, and the least is counted"
    )
    unknown = asked([node()], ranges=None).schedulable
    assert unknown == BoundedCount(8, "upper", "what LimitRanges let its containers ask for is not known")
    full = {"containers": limits(**{GPU: "1", "cpu": "1", "memory": "1Gi"})}
    assert fits([node()], pod=full, ranges=None) == 8
    assert fits([node()], [on("llama-1", "n", owner=MINE)], ranges=None) == 7, "its pods tell"


# ---- what is not known -----------------------------------------------------------------------------------------------------------


def test_without_permission_nothing_is_zero():
    told = {"nodes": "which machines there are: list and watch nodes: 403"}
    [scaled] = picture([], specs={"llama": spec()})
    cluster = Cluster(node_snapshot=NodeSnapshot(), problems=told)
    found = availability(cluster, scaled)
    assert {found.schedulable, found.free, found.pending, found.provisionable, found.own} == {
        BoundedCount(None, reason=told["nodes"])
    }


@pytest.mark.parametrize(
    ("snapshot", "template", "problems", "reason"),
    [
        (None, True, {}, "Kubernetes is not watched"),
        (None, True, {"kubernetes": "no access"}, "no access"),
        (NodeSnapshot(), True, {}, "which nodes there are is not known yet"),
        (NodeSnapshot(nodes={}), True, {"pods": "list and watch pods: 403"}, "list and watch pods: 403"),
        (NodeSnapshot({}, {}), False, {}, "the pod template of Deployment llama is not known"),
        (NodeSnapshot({}, {}), False, {"deployments.apps": "403"}, "403"),
        (
            NodeSnapshot({}, {}, last_synced=1000.0 - OLD - 5),
            True,
            {},
            f"machines were last heard of {OLD + 5:.0f}s before all else",
        ),
    ],
)
def test_why_it_is_not_known(snapshot, template, problems, reason):
    made = ReplicaTemplate(((PodRequirements((("pods", 1),)), 1),)) if template else None
    scaled = ScaledResource("ScaledObject", "team", "llama", "u", 1, (), (), "Deployment llama", 0, 9, template=made)
    cluster = Cluster(node_snapshot=snapshot, problems=problems, last_synced=1000.0)
    assert availability(cluster, scaled).schedulable == BoundedCount(None, reason=reason)


def test_what_is_seen_in_part_is_a_bound():
    found = asked([node()], incomplete_reason="pods outside of team are not seen")
    assert found.schedulable == found.free == BoundedCount(8, "upper", "pods outside of team are not seen")
    assert found.pending.bound == "lower"


def test_quotas_that_may_not_be_read_make_it_a_bound():
    cluster = picture([node()], (), {"llama": spec()})
    [scaled] = cluster
    unknown = Cluster(node_snapshot=NodeSnapshot(cluster.node_snapshot.nodes, {}), problems={"resourcequotas": "403"})
    assert availability(unknown, scaled).schedulable == BoundedCount(8, "upper", "403")


def test_without_karpenter_what_may_be_bought_is_not_known():
    assert asked([node()]).provisionable == BoundedCount(None, reason=NO_KARPENTER)


def test_where_nobody_buys_machines_those_that_are_there_are_all():
    assert asked([node()], no_provisioner=True).provisionable == BoundedCount(0, reason=NO_PROVISIONER)


# ---- groups ------------------------------------------------------------------------------------------------------------------------


def test_a_replica_of_several_pods_is_had_whole_or_not():
    cluster = picture([node("a", 5), node("b", 4)], specs={"llama": spec(2)})
    [scaled] = cluster
    [(shape, _)] = scaled.template.pods
    values = {}
    for size in (1, 2, 3, 5):
        group = ReplicaTemplate(((shape, size),))
        values[size] = availability(cluster, with_template(scaled, group)).schedulable.value
    assert values == {1: 4, 2: 2, 3: 1, 5: 0}


def test_pods_of_several_shapes_are_an_upper_bound():
    leader, worker = PodRequirements((("cpu", 1000), ("pods", 1))), PodRequirements(((GPU, 4), ("pods", 1)))
    cluster = picture([node("a", 9)], specs={"llama": spec()})
    [scaled] = cluster
    found = availability(cluster, with_template(scaled, ReplicaTemplate(((leader, 1), (worker, 2)))))
    assert (found.resource, found.schedulable.value, found.schedulable.bound) == (f"8 {GPU}", 1, "upper")


@pytest.mark.parametrize(
    ("kind", "pods", "waiting", "gpus", "value"),
    [
        ("LeaderWorkerSet", {"g-0": "starting"}, ["g-0-3"], 5, 1),  # one place goes to the worker
        ("LeaderWorkerSet", {"g-0": "starting"}, ["g-0-3"], 4, 0),
        ("LeaderWorkerSet", {"g-0": "pending"}, ["g-0", "g-0-1", "g-0-2", "g-0-3"], 4, 1),
        ("ScaledJob", {"j-a": "starting", "j-b": "starting", "j-c": "starting", "j-d": "pending"}, ["j-d"], 1, 1),
        ("ScaledJob", {"j-a": "starting", "j-b": "starting", "j-c": "starting", "j-d": "pending"}, ["j-d"], 4, 1),
        ("ScaledJob", {"j-a": "terminating"}, [], 4, 1),
    ],
)
def test_a_replica_that_has_nodes_for_some_of_its_pods_comes_before_another(kind, pods, waiting, gpus, value):
    cluster = picture([node("a", gpus)], specs={"llama": spec(1)})
    [scaled] = cluster
    [(shape, _)] = scaled.template.pods
    scaled = dataclasses.replace(
        with_template(scaled, ReplicaTemplate(((shape, 4),))),
        kind="ScaledJob" if kind == "ScaledJob" else "ScaledObject",
        target=f"{kind} g",
        pods=tuple(Pod(name, state) for name, state in pods.items()),
    )
    queue = index_pending(PendingPod(name, ("team", kind, "g"), shape, unschedulable=True) for name in waiting)
    cluster = dataclasses.replace(cluster, node_snapshot=dataclasses.replace(cluster.node_snapshot, pending_pods=queue))
    assert availability(cluster, scaled).schedulable.value == value


def with_template(scaled, template):
    return dataclasses.replace(scaled, template=template)


# ---- the real scheduler ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "world", json.loads((Path(__file__).parents[1] / "oracles" / "worlds.json").read_text()), ids=itemgetter("name")
)
def test_what_the_real_scheduler_was_seen_to_bind(world):
    """Recorded by tests/oracles/test_scheduler.py; the pods of a world are as their makers wrote them."""
    pods = [{**pod, "metadata": {**pod["metadata"], "namespace": "team"}} for pod in world["residents"]]
    cluster = picture(world["nodes"], pods, {world["name"]: world["spec"]})
    [scaled] = cluster
    assert availability(cluster, scaled).schedulable.value == world["bound"]


# ---- laws ----------------------------------------------------------------------------------------------------------------------------

RESOURCES = ("cpu", GPU, "pods")
amounts = st.dictionaries(st.sampled_from(RESOURCES), st.integers(0, 4))
shapes = amounts.map(
    lambda asks: PodRequirements(tuple(sorted({**{k: v for k, v in asks.items() if v}, "pods": 1}.items())))
)
machines = st.lists(st.dictionaries(st.sampled_from(RESOURCES), st.integers(0, 5)), max_size=3)


def of_shape(shape):
    """A Deployment whose replicas are one pod of that shape, and of which no pod is there."""
    return ScaledResource(
        "ScaledObject",
        "team",
        "llama",
        "u",
        1,
        (),
        (),
        "Deployment llama",
        0,
        9,
        template=ReplicaTemplate(((shape, 1),)),
    )


def counted(rooms, shape, others=()):
    nodes = {f"n{number}": Node(f"n{number}", {}, (), room) for number, room in enumerate(rooms)}
    loads = {}
    for name, other in others:
        before = loads.get(name, NodeUsage({})).requests
        loads[name] = NodeUsage({r: before.get(r, 0) + dict(other.requests).get(r, 0) for r in RESOURCES})
    scaled = dataclasses.replace(of_shape(shape), requested_by_own_pods=())
    return availability(Cluster(node_snapshot=NodeSnapshot(nodes, loads, quotas={})), scaled).schedulable.value


def brute(rooms, shape):
    """The most pods that any placement of them one by one comes to."""
    asks = dict(shape.requests)
    best = 0
    for number, room in enumerate(rooms):
        if all(room.get(resource, 0) >= amount for resource, amount in asks.items()):
            left = {resource: room.get(resource, 0) - asks.get(resource, 0) for resource in RESOURCES}
            best = max(best, 1 + brute([*rooms[:number], left, *rooms[number + 1 :]], shape))
            break  # pods are alike, so which node is filled first changes nothing: the test below shows it
    return best


@given(machines, shapes)
def test_the_count_is_what_placing_pods_one_by_one_comes_to(rooms, shape):
    answers = {brute(list(order), shape) for order in itertools.permutations(rooms)}
    assert answers == {counted(rooms, shape)}


@given(machines, shapes, st.dictionaries(st.sampled_from(RESOURCES), st.integers(0, 5)))
def test_one_more_node_never_takes_a_place_away(rooms, shape, more):
    assert counted([*rooms, more], shape) >= counted(rooms, shape)


@given(machines, shapes, shapes, st.integers(0, 2))
def test_one_more_pod_of_others_never_makes_a_place(rooms, shape, other, where):
    assert counted(rooms, shape, [(f"n{where}", other)]) <= counted(rooms, shape)


@given(machines, shapes, shapes)
def test_one_more_waiting_pod_of_others_never_makes_a_place(rooms, shape, other):
    nodes = {f"n{number}": Node(f"n{number}", {}, (), room) for number, room in enumerate(rooms)}
    for waiting in (
        PendingPod("x", ("team", "Deployment", "other"), other, unschedulable=False),
        PendingPod("x", ("team", "Deployment", "other"), other, unschedulable=True),
        PendingPod("x", ("team", "Deployment", "other"), other, unschedulable=True, nominated="n0"),
    ):
        snapshot = NodeSnapshot(nodes, {}, index_pending([waiting]), quotas={})
        assert availability(Cluster(node_snapshot=snapshot), of_shape(shape)).schedulable.value <= counted(rooms, shape)


def test_one_pod_of_lower_priority_is_enough_whatever_the_others_have():
    pods = [on("low", "n", spec(2, priority=0)), on("high", "n", spec(2, priority=100))]
    found = asked([node()], pods, spec(1, priority=5)).schedulable
    assert (found.value, found.bound, found.most) == (4, "lower", 6)


def test_of_a_group_those_without_a_priority_get_the_one_that_all_get():
    """A leader with a priority of its own, and workers whose priority is the cluster's default: both are known."""
    default = {"metadata": {"name": "usual"}, "value": 1000, "globalDefault": True}
    low = on("web", "n", spec(6, priority=0))
    cluster = picture([node()], [low], {"llama": spec(2)}, priorities=[default])
    [scaled] = cluster
    leader = PodRequirements((("cpu", 1000), ("pods", 1)), priority=5)
    worker = PodRequirements(((GPU, 2), ("pods", 1)))
    found = availability(cluster, with_template(scaled, ReplicaTemplate(((leader, 1), (worker, 1))))).schedulable
    assert (found.value, found.most) == (1, 4)
