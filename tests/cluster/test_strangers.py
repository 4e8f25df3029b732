"""Clusters as public reports tell of them, that no other test is about: what is said of each, and how surely."""

import pytest
from support.cluster import GPU, node, on, picture, spec

from scaler.cluster.availability import availability
from scaler.model.availability import BoundedCount
from scaler.sources.kubernetes.read_objects import ObjectReader
from scaler.sources.kubernetes.read_pods import read_namespace

DEFAULTS = "scheduler.alpha.kubernetes.io/defaultTolerations"
OTHERS = {"eks.amazonaws.com/nodegroup": "gpu-fixed"}


def asking(**amounts):
    limits = {name.replace("__", "/").replace("_", "-"): value for name, value in amounts.items()}
    return {"containers": [{"name": "engine", "resources": {"limits": limits}}]}


def said(nodes, pod, pools=(), pods=(), **more):
    cluster = picture(nodes, pods, {"llama": pod}, pools=pools, **more)
    [scaled] = cluster
    return availability(cluster, scaled)


def pool(name="gpu", **meta):
    template = {"spec": {"nodeClassRef": {"group": "karpenter.k8s.aws"}, "requirements": []}}
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    return {"metadata": {"name": name, **meta}, "spec": {"template": template, "limits": {GPU: "8"}}, "status": ready}


@pytest.mark.parametrize(
    ("resource", "room", "asked"),
    [
        ("aliyun.com/gpu-mem", "32", "10"),  # two GPUs of 16 each: two pods of 10, though 32 / 10 is 3
        ("volcano.sh/vgpu-memory", "32000", "10000"),
        ("tencent.com/vcuda-core", "200", "60"),
        ("gpu.intel.com/millicores", "2000", "600"),
        ("koordinator.sh/gpu-memory-ratio", "200", "60"),
        ("nvidia.com/gpumem-percentage", "200", "60"),
    ],
)
def test_parts_of_devices_are_a_bound_since_a_pod_has_them_from_one_device(resource, room, asked):
    name = resource.replace("/", "__").replace("-", "_")
    found = said([node("a", None, **{name: room})], asking(**{name: asked})).schedulable
    assert (found.value, found.bound) == (3, "upper")
    assert f"how {resource} is divided among the devices of a node is not counted" in found.reason


@pytest.mark.parametrize("resource", ["aws.amazon.com/neuroncore", "nvidia.com/mig-1g.10gb", "amd.com/cpx_nps4", GPU])
def test_whole_devices_are_counted(resource):
    name = resource.replace("/", "__").replace("-", "_")
    plain = node("a", None)
    plain["status"]["allocatable"][resource] = "8"
    pod = {"containers": [{"name": "engine", "resources": {"limits": {resource: "2"}}}]}
    assert said([plain], pod).schedulable.bound == "exact", name


def test_a_group_of_machines_that_is_not_karpenters_may_grow_by_another_autoscaler():
    """EKS: GPUs in a managed node group with the Cluster Autoscaler, and Karpenter for the rest."""
    closed = pool()
    closed["spec"]["template"]["spec"]["taints"] = [{"key": "team", "value": "x", "effect": "NoSchedule"}]
    found = said([node("a", 8, labels=OTHERS)], spec(2), [closed]).provisionable
    more = "perhaps more, since another autoscaler may let gpu-fixed grow (eks.amazonaws.com/nodegroup)"
    assert found == BoundedCount(0, "lower", f"{more}; no NodePool takes its pods")
    also = said([node("a", 8, labels=OTHERS)], spec(2), [pool()]).provisionable
    assert (also.value, also.bound) == (4, "estimate")
    plain = node("a", None, labels=OTHERS)
    assert said([plain], spec(2), [closed]).provisionable == BoundedCount(0, reason="no NodePool takes its pods"), (
        "no GPUs there"
    )
    unlabelled = said([node("a", 8)], spec(2), [closed]).provisionable
    assert unlabelled == BoundedCount(0, reason="no NodePool takes its pods")


def test_a_pool_that_is_being_deleted_buys_nothing():
    found = said([], spec(2), [pool(deletionTimestamp="2026-01-01T00:00:00Z")]).provisionable
    assert found == BoundedCount(0, reason="NodePool gpu: it is being deleted")


@pytest.mark.parametrize(
    "more", [{"workloadRef": {"name": "w", "podGroup": "g"}}, {"schedulingGroup": {"podGroupName": "g"}}]
)
def test_pods_of_a_gang_are_a_bound(more):
    found = said([node("a", 8)], spec(2, **more)).schedulable
    assert (found.value, found.bound) == (4, "upper")


def test_a_template_that_names_its_node_is_a_bound():
    told = "its template names the node a itself, past the scheduler"
    found = said([node("a", 8), node("b", 8)], spec(2, nodeName="a")).schedulable
    assert (found.bound, found.reason.startswith(told)) == ("upper", True)


def test_a_pod_that_is_placed_says_nothing_of_the_next_ones_node():
    there = on("p", "a", spec(2), owner=("ReplicaSet", "llama-5d8f"))
    found = said([node("a", 8), node("b", 8)], spec(2), pods=[there]).schedulable
    assert (found.value, found.bound) == (7, "exact")
    assert ObjectReader().pod(there).shape.caveats == ()


def test_what_a_namespace_has_admission_add_is_told_before_there_are_pods():
    """OpenShift: openshift.io/node-selector. Elsewhere the annotation counts only where PodNodeSelector is on."""
    habit = read_namespace({"metadata": {"annotations": {"openshift.io/node-selector": "gpu=h100"}}})
    found = said([node("a", 8)], spec(2), namespace_defaults={"team": habit}).schedulable
    told = "its namespace has the node selector gpu=h100, which admission may add"
    assert found == BoundedCount(4, "upper", told)
    assert said([node("a", 8)], spec(2), namespace_defaults={"other": habit}).schedulable == BoundedCount(4)
    there = on("p", "a", spec(2), owner=("ReplicaSet", "llama-5d8f"))
    shown = said([node("a", 8)], spec(2), pods=[there], namespace_defaults={"team": habit}).schedulable
    assert (shown.value, shown.bound) == (3, "exact"), "its pods show what is added"


def test_tolerations_of_a_namespace_may_open_nodes():
    habit = read_namespace({"metadata": {"annotations": {DEFAULTS: '[{"key":"team","operator":"Exists"}]'}}})
    tainted = node("a", 8, taints=[{"key": "team", "value": "x", "effect": "NoSchedule"}])
    found = said([tainted], spec(2), namespace_defaults={"team": habit}).schedulable
    assert (found.value, found.bound, found.most) == (0, "estimate", None)
    assert said([node("a", 8)], spec(2), namespace_defaults={"team": habit}).schedulable == BoundedCount(4), (
        "there is no taint"
    )
    assert read_namespace({"metadata": {"annotations": {DEFAULTS: "[]"}}}) is None
