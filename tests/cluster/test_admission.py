"""What admission adds before there is a pod, and what pods of a template tell of the next one."""

import dataclasses

import pytest
from support.cluster import GPU, node, on, picture, spec

from scaler.cluster.availability import availability
from scaler.model.availability import BoundedCount

MINE = ("ReplicaSet", "llama-77aa")
TAINT = {"key": GPU, "value": "present", "effect": "NoSchedule"}
PASS = {"key": GPU, "operator": "Exists"}
ASSUMED = f"that admission lets pods which ask for {GPU} pass its taint is assumed"


def found(nodes, pods=(), pod=None, **more):
    """The availability of Deployment llama, whose template is `pod`."""
    cluster = picture(nodes, pods, {"llama": pod or spec()}, **more)
    [scaled] = cluster
    return availability(cluster, scaled)


def engine(**limits):
    return {"containers": [{"name": "engine", "resources": {"limits": limits}}]}


def since(time, raw):
    return {**raw, "metadata": {**raw["metadata"], "creationTimestamp": f"2026-11-29T{time}:00Z"}}


# ---- ExtendedResourceToleration --------------------------------------------------------------------------------------


def test_the_toleration_of_a_gpus_taint_is_assumed_and_no_count_that_rests_on_it_is_exact():
    counts = found([node(taints=[TAINT])])
    assert counts.schedulable == BoundedCount(8, "upper", ASSUMED)
    assert counts.free == BoundedCount(8, "upper", ASSUMED)


def test_nothing_is_assumed_where_it_does_not_matter():
    assert found([node()]).schedulable == BoundedCount(8)
    assert found([node(taints=[TAINT])], pod=spec(tolerations=[PASS])).schedulable == BoundedCount(8)
    other = {"key": "team", "value": "a", "effect": "NoSchedule"}
    assert found([node(taints=[other])]).schedulable == BoundedCount(0, reason="taint team on 1 node")


def test_pods_of_the_template_tell_whether_admission_adds_the_toleration():
    added = on("llama-1", "n", spec(tolerations=[PASS]), owner=MINE)
    assert found([node(taints=[TAINT])], [added]).schedulable == BoundedCount(7)
    without = on("llama-1", "other", spec(), owner=MINE)
    nodes = [node(taints=[TAINT]), node("other", 1)]
    assert found(nodes, [without]).schedulable.value == 0


# ---- RuntimeClass ----------------------------------------------------------------------------------------------------


def runtime(**scheduling):
    return {"metadata": {"name": "gpu"}, "scheduling": scheduling, "overhead": {"podFixed": {"cpu": "16"}}}


def test_what_a_runtime_class_adds_is_counted():
    pod = spec(runtimeClassName="gpu")
    nodes = [node("a", taints=[TAINT], labels={"pool": "gpu"}), node("b")]
    made = runtime(tolerations=[PASS], nodeSelector={"pool": "gpu"})
    assert found(nodes, pod=pod, runtimes=[made]).schedulable == BoundedCount(4, reason="node selector on 1 node"), (
        "64 cores, of which every pod takes 16"
    )


def test_a_runtime_class_that_is_not_there_or_not_known_is_said():
    pod = spec(runtimeClassName="gpu")
    assert found([node()], pod=pod).schedulable == BoundedCount(
        0, reason="there is no RuntimeClass gpu, so its pods are refused"
    )
    unknown = found([node()], pod=pod, runtimes=None).schedulable
    assert (unknown.value, unknown.bound, unknown.most) == (8, "estimate", None)
    assert unknown.reason == "what RuntimeClass gpu adds is not known"


# ---- the next replica is the template --------------------------------------------------------------------------------


def test_a_pod_that_was_resized_in_place_says_nothing_of_the_next():
    written = {"containers": [{"name": "engine", "resources": {"limits": {GPU: "1"}, "requests": {"cpu": "4"}}}]}
    grown = {"containers": [{"name": "engine", "resources": {"limits": {GPU: "1"}, "requests": {"cpu": "40"}}}]}
    nodes = [node("a"), node("b")]
    assert found(nodes, [on("llama-1", "a", grown, owner=MINE)], written).schedulable == BoundedCount(14)


def test_containers_that_admission_injected_are_in_the_next_pod_too():
    mesh = {"name": "mesh", "resources": {"requests": {"cpu": "15"}}}
    injected = spec()
    injected = {**injected, "containers": [*injected["containers"], mesh]}
    assert found([node()], [on("llama-1", "n", injected, owner=MINE)]).schedulable.value == 3, (
        "64 cores by 15, less one"
    )


def test_a_pod_of_another_revision_says_nothing_of_the_next():
    """Also where it is the youngest of all, since a node was lost in the middle of a rollout."""
    older, newer = spec(nodeSelector={"zone": "b"}), spec(tolerations=[PASS])
    pods = [
        since("11:00", on("llama-1", "b", older, owner=("ReplicaSet", "llama-old"))),
        since("12:00", on("llama-2", "n", newer, owner=("ReplicaSet", "llama-new"))),
        since("13:00", on("llama-3", "b", older, owner=("ReplicaSet", "llama-old"))),
    ]
    nodes = [node(taints=[TAINT]), node("b", labels={"zone": "b"})]
    assert found(nodes, pods).schedulable == BoundedCount(13)


# ---- queues, other schedulers, other resources -----------------------------------------------------------------------


def test_a_queue_of_kueue_makes_it_a_bound():
    counts = found([node()], labels={"kueue.x-k8s.io/queue-name": "serving"})
    assert counts.schedulable == BoundedCount(8, "upper", "what the queue serving of Kueue still admits is not counted")


def test_what_no_node_lists_beside_what_one_does_is_left_out_and_said():
    counts = found([node(gpus=70, pods="110")], pod=engine(**{GPU: "1", "nvidia.com/gpumem": "3000"}))
    told = "no node lists nvidia.com/gpumem, which a webhook or another scheduler may supply"
    assert (counts.schedulable.value, counts.schedulable.bound) == (70, "upper")
    assert told in counts.schedulable.reason


def test_what_no_node_lists_is_not_known_where_another_scheduler_places_pods():
    pod = {**engine(**{"volcano.sh/vgpu-number": "1"}), "schedulerName": "volcano"}
    counts = found([node()], pod=pod)
    assert counts.schedulable.value is None
    assert (
        counts.schedulable.reason
        == "no node lists volcano.sh/vgpu-number, and what volcano makes of that cannot be read"
    )


@pytest.mark.parametrize("resource", ["volcano.sh/vgpu-number", "nvidia.com/gpumem", "example.com/wafer"])
def test_what_no_node_lists_may_be_supplied_by_a_webhook_or_another_scheduler(resource):
    counts = found([node()], pod=engine(**{resource: "1"}))
    told = f"no node lists {resource}, which a webhook or another scheduler may supply"
    assert counts.schedulable == counts.free == BoundedCount(None, reason=told)


@pytest.mark.parametrize("resource", ["amd.com/gpu", "google.com/tpu", "nvidia.com/mig-3g.40gb"])
def test_what_only_device_plugins_supply_is_not_there_where_no_node_lists_it(resource):
    counts = found([node()], pod=engine(**{resource: "1"}))
    assert counts.schedulable == BoundedCount(0, reason=f"insufficient {resource} on 1 node")


def test_a_gpu_that_no_node_lists_is_not_left_out_since_nodes_list_something_else():
    counts = found([node("n", None, rdma__hca="8")], pod=engine(**{GPU: "1", "rdma/hca": "1"}))
    assert counts.schedulable == BoundedCount(0, reason=f"insufficient {GPU} on 1 node")


def test_devices_that_may_not_be_read_may_be_given_for_what_no_node_lists():
    cluster = picture([node("n", None)], (), {"llama": spec()})
    snapshot = dataclasses.replace(cluster.node_snapshot, devices=None)
    cluster = dataclasses.replace(cluster, node_snapshot=snapshot, problems={"deviceclasses.resource.k8s.io": "403"})
    [scaled] = cluster
    told = f"no node lists {GPU}, and whether devices are given for it is not known"
    assert availability(cluster, scaled).schedulable == BoundedCount(None, reason=told)


@pytest.mark.parametrize(
    "resource",
    ["amd.com/cpx_nps4", "amd.com/spx_nps1", "nvidia.com/mig-1g.10gb", "cambricon.com/vmlu", "example.com/wafer", "aliyun.com/gpu-mem",
     "cerebras.net/wse", "ibm.com/aiu_pf", "furiosa.ai/rngd", "rebellions.ai/ATOM", "tenstorrent.com/n150"],
)  # fmt: skip
def test_any_scarce_resource_of_a_pod_is_its_accelerator(resource):
    machine = node("a", None)
    machine["status"]["allocatable"][resource] = "64"
    counts = found([machine], pod=engine(**{resource: "2"}))
    assert (counts.resource, counts.free.value, counts.schedulable.value) == (f"2 {resource}", 64, 32)


@pytest.mark.parametrize(
    "resource",
    ["rdma/hca", "mellanox.com/shared_hca", "intel.com/sriov_netdevice", "vpc.amazonaws.com/efa", "vpc.amazonaws.com/pod-eni",
     "openshift.io/mlxnics", "nvidia.com/rdma_ib", "devices.kubevirt.io/kvm", "smarter-devices/fuse", "example.com/netdev"],
)  # fmt: skip
def test_a_network_card_is_no_accelerator(resource):
    machine = node("a", None)
    machine["status"]["allocatable"][resource] = "8"
    assert found([machine], pod=engine(**{resource: "1"})).resource == ""


def test_what_nodes_list_is_looked_up_where_nobody_gathered_it():
    machine = node("a", None)
    machine["status"]["allocatable"]["example.com/wafer"] = "8"
    asks = engine(**{"example.com/wafer": "2"})
    assert (
        found([machine], pod=asks, listed_resources=None).schedulable
        == found([machine], pod=asks).schedulable
        == BoundedCount(4)
    )


# ---- what makes the API server refuse pods ---------------------------------------------------------------------------


def limit_range(*limits):
    return {"metadata": {"namespace": "team", "name": "caps"}, "spec": {"limits": list(limits)}}


def sized(requests, limits):
    return {"containers": [{"name": "engine", "resources": {"requests": requests, "limits": {GPU: "1", **limits}}}]}


@pytest.mark.parametrize(
    ("rule", "requests", "limits", "refused"),
    [
        ({"type": "Container", "max": {"cpu": "4"}}, {"cpu": "2"}, {}, ""),
        ({"type": "Container", "max": {"cpu": "4"}}, {"cpu": "8"}, {"cpu": "8"}, "a limit of at most 4 cpu"),
        ({"type": "Container", "max": {GPU: "0"}}, {}, {}, f"a limit of at most 0 {GPU}"),
        ({"type": "Container", "min": {"memory": "1Gi"}}, {"memory": "1Mi"}, {}, "asks for at least 1Gi memory"),
        ({"type": "Container", "min": {"memory": "1Gi"}}, {}, {}, ""),
        ({"type": "Container", "maxLimitRequestRatio": {"cpu": "1.5"}}, {"cpu": "2"}, {"cpu": "3"}, ""),
        (
            {"type": "Container", "maxLimitRequestRatio": {"cpu": "1.5"}},
            {"cpu": "2"},
            {"cpu": "4"},
            "at most 1.5 times",
        ),
        ({"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}}, {"cpu": "2"}, {}, "at most 2 times"),
        ({"type": "Pod", "max": {"cpu": "4"}}, {"cpu": "2"}, {"cpu": "4"}, ""),
        ({"type": "Pod", "max": {"cpu": "4"}}, {"cpu": "2"}, {}, "a Pod has a limit of at most 4 cpu"),
        ({"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}, {}, {}, ""),
    ],
)
def test_what_a_limit_range_does_not_allow_is_refused(rule, requests, limits, refused):
    found_now = found([node()], pod=sized(requests, limits), ranges=[limit_range(rule)]).schedulable
    if not refused:
        assert (found_now.value, found_now.bound) == (8, "exact")
        return
    assert (found_now.value, found_now.bound) == (0, "exact")
    assert found_now.reason.startswith("LimitRange caps refuses its pods: a ")
    assert refused in found_now.reason


@pytest.mark.parametrize(
    ("more", "refused"),
    [
        ({"containers": [{"name": "mesh"}]}, False),
        ({"containers": [{"name": "mesh", "resources": {"limits": {"cpu": "1"}}}]}, True),
        ({"initContainers": [{"name": "load", "resources": {"limits": {"cpu": "4"}}}]}, False),
        ({"initContainers": [{"name": "load", "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "5"}}}]}, True),
    ],
)
def test_the_limit_of_a_pod_is_its_containers_together_or_an_initial_one_that_is_larger(more, refused):
    pod = sized({"cpu": "2"}, {"cpu": "4"})
    pod = {key: pod.get(key, []) + more.get(key, []) for key in ("containers", "initContainers")}
    rule = limit_range({"type": "Pod", "max": {"cpu": "4"}})
    reason = found([node()], pod=pod, ranges=[rule]).schedulable.reason
    assert ("a Pod has a limit of at most 4 cpu" in reason) is refused


def test_a_limit_range_fills_in_what_the_api_server_derives_from_its_bounds():
    pod = {"containers": [{"name": "engine", "resources": {"limits": {GPU: "1"}}}]}
    assert found([node()], pod=pod, ranges=[limit_range({"type": "Container", "max": {"cpu": "16"}})]).schedulable == (
        BoundedCount(4, reason="")
    )
    least = limit_range({"type": "Container", "min": {"cpu": "32"}})
    assert found([node()], pod=pod, ranges=[least]).schedulable.value == 2


def test_a_node_selector_that_contradicts_a_runtime_class_is_refused():
    made = runtime(nodeSelector={"pool": "gpu"})
    counts = found(
        [node(labels={"pool": "gpu"})], pod=spec(runtimeClassName="gpu", nodeSelector={"pool": "cpu"}), runtimes=[made]
    )
    assert counts.schedulable == BoundedCount(0, reason="RuntimeClass gpu wants pool=gpu, so its pods are refused")


@pytest.mark.parametrize(
    ("taint", "value"),
    [
        ({"key": GPU, "value": "present", "effect": "NoSchedule"}, 4),
        ({"key": GPU, "effect": "NoExecute"}, 4),
        ({"key": "sku", "value": "gpu", "effect": "NoSchedule"}, 0),
    ],
)
def test_a_pool_with_the_taint_of_its_gpus_may_be_bought_from_before_there_is_a_node(taint, value):
    pool = {
        "metadata": {"name": "gpu"},
        "spec": {"template": {"spec": {"taints": [taint]}}, "limits": {GPU: "4"}},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
    counts = found([node("plain", None)], pools=[pool])
    assert counts.schedulable == BoundedCount(0, reason=f"insufficient {GPU} on 1 node"), "nothing is assumed of it"
    assert counts.provisionable.value == value
    assert (ASSUMED in counts.provisionable.reason) is (value > 0)
