"""What Karpenter has ordered and may still buy, from its own objects as it writes them."""

import dataclasses

import pytest
from support.cluster import GPU, node, on, picture, spec
from support.kubernetes_objects import NOON, stamp

from scaler.cluster.availability import availability
from scaler.cluster.karpenter import instance_types, provisionable
from scaler.model.availability import BoundedCount
from scaler.model.nodes import Node, PodRequirements, ReplicaTemplate

G5 = {"node.kubernetes.io/instance-type": "g5.48xlarge"}
PINNED = [{"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["g5.48xlarge"]}]
TAINT = {"key": GPU, "value": "present", "effect": "NoSchedule"}


def pool(
    name="gpu",
    limits=None,
    used=None,
    *,
    requirements=(),
    labels=None,
    taints=(),
    replicas=None,
    ready="True",
    provider="karpenter.k8s.aws",
):
    spec = {
        "nodeClassRef": {"group": provider, "kind": "NodeClass", "name": "x"},
        "requirements": list(requirements),
        "taints": list(taints),
        "startupTaints": [{"key": "x", "effect": "NoSchedule"}],
    }
    made = {
        "metadata": {"name": name},
        "spec": {"template": {"metadata": {"labels": labels or {}}, "spec": spec}, "limits": limits or {}},
        "status": {
            "resources": used or {},
            "conditions": [{"type": "Ready", "status": ready, "reason": "NodeClassNotReady", "message": "no subnets"}],
        },
    }
    if replicas is not None:
        made["spec"]["replicas"] = replicas
    return made


def claim(name="gpu-x1a2b", gpus=8, *, launched=("True", 0, ""), initialized="False", on_node="", machine="", **more):
    room = {"cpu": "192", GPU: str(gpus)}
    status, at, reason = launched
    known = {"capacity": room, "allocatable": room} if status == "True" else {}
    return {
        "metadata": {"name": name, "labels": {"karpenter.sh/nodepool": "gpu", **G5, **more.pop("labels", {})}, **more},
        "spec": {"requirements": [], "resources": {"requests": {GPU: "2", "cpu": "1"}}},
        "status": {
            **known,
            "nodeName": on_node,
            "providerID": machine,
            "conditions": [
                {
                    "type": "Launched",
                    "status": status,
                    "reason": reason,
                    "message": "m",
                    "lastTransitionTime": stamp(at),
                },
                {"type": "Initialized", "status": initialized},
            ],
        },
    }


def shortage(name="gpu-x1a2b", at=0, kind="NodeClaim"):
    return {
        "metadata": {"name": f"{name}.1", "namespace": "default"},
        "involvedObject": {"kind": kind, "name": name},
        "reason": "InsufficientCapacityError",
        "message": "NodeClaim gpu-x1a2b event: no g5",
        "lastTimestamp": stamp(at),
    }


def bought(pools, pod=None, nodes=(), pods=(), now=100, **more):
    cluster = picture(nodes, pods, {"llama": pod or spec(2)}, pools=pools, last_synced=NOON + now, **more)
    [scaled] = cluster
    return availability(cluster, scaled).provisionable


# ---- limits ------------------------------------------------------------------------------------------------------------------


def test_a_limit_less_what_is_used_is_what_may_be_bought():
    found = bought([pool(limits={GPU: "16", "cpu": "1k"}, used={GPU: "8", "cpu": "192"})])
    assert found == BoundedCount(4, "upper", f"NodePool gpu: limit {GPU} 16")


def test_a_limit_that_is_used_up_is_certain():
    assert bought([pool(limits={GPU: "8"}, used={GPU: "8"})]) == BoundedCount(0, reason=f"NodePool gpu: limit {GPU} 8")
    assert bought([pool(limits={GPU: "8"}, used={GPU: "10"})]).value == 0, "parallel launches may go beyond it"


def test_what_was_ordered_is_used_before_the_pool_says_so():
    """Seen in the laboratory: for some seconds a machine was both ordered and still to be bought."""
    limited = pool(limits={GPU: "16"}, used={GPU: "0"})
    found = bought([limited], claims=[claim("gpu-a"), claim("gpu-b", launched=("Unknown", 0, ""))])
    assert (found.value, found.reason) == (4 + 1 + 3, f"5 on machines that are ordered; NodePool gpu: limit {GPU} 16")
    of_another = {"labels": {"karpenter.sh/nodepool": "other"}}
    assert bought([limited], claims=[claim("gpu-a"), claim("o", **of_another)]).reason.startswith("8 on machines")
    both = pool(limits={GPU: "16"}, used={GPU: "8"})
    assert bought([both], claims=[claim("gpu-a", initialized="True")]).value == 4, "and counted once"


def test_without_a_limit_it_is_not_known():
    found = bought([pool(used={GPU: "8"})])
    assert found == BoundedCount(None, reason="NodePool gpu: it has no limit that binds its pods")


def test_only_whole_machines_are_bought_where_their_size_is_known():
    large = node("a", 8, labels={**G5, "karpenter.sh/nodepool": "gpu"}, cpu="192")
    limits, used = {GPU: "20"}, {GPU: "8", "nodes": "1"}
    assert bought([pool(limits=limits, used=used)], nodes=[large]).value == 6, "any type may come"
    assert bought([pool(limits=limits, used=used, requirements=PINNED)], nodes=[large]).value == 4
    assert bought([pool(limits={"nodes": "3"}, used=used, requirements=PINNED)], nodes=[large]).value == 8


def test_a_node_knows_the_size_of_its_type_better_than_an_order():
    large = node("a", 8, labels={**G5, "karpenter.sh/nodepool": "gpu"}, cpu="192")
    made = pool(limits={GPU: "20"}, used={GPU: "8", "nodes": "1"}, requirements=PINNED)
    assert bought([made], nodes=[large], claims=[claim(gpus=2, initialized="True")]).value == 4


def test_limits_on_machines_and_cores_bind_too():
    assert bought([pool(limits={"nodes": "2", GPU: "9"}, used={"nodes": "2"})]).reason == "NodePool gpu: limit nodes 2"
    pod = {"containers": [{"name": "c", "resources": {"limits": {GPU: "1", "cpu": "8"}}}]}
    found = bought([pool(limits={"cpu": "20", GPU: "9"})], pod)
    assert found == BoundedCount(2, "upper", "NodePool gpu: limit cpu 20")


def test_a_limit_on_machines_that_is_not_reached_binds_nothing_while_their_size_is_not_known():
    alone = bought([pool(limits={GPU: "4"})])
    assert bought([pool(limits={"nodes": "5", GPU: "4"}, used={"nodes": "1"})]).value == alone.value
    assert bought([pool(limits={"nodes": "5", GPU: "4"}, used={"nodes": "5"})]).value == 0


def test_pools_add_up_and_one_that_is_not_known_makes_all_unknown():
    pools = [pool("a", {GPU: "4"}), pool("b", {GPU: "2"})]
    assert bought(pools) == BoundedCount(3, "upper", f"NodePool a: limit {GPU} 4; NodePool b: limit {GPU} 2")
    assert bought([*pools, pool("c", used={GPU: "1"})]).value is None


# ---- which pools ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "pod"),
    [
        ({"taints": [{"key": "team", "value": "red", "effect": "NoSchedule"}]}, {}),
        ({"labels": {"product": "l4"}}, {"nodeSelector": {"product": "h100"}}),
        ({}, {"nodeSelector": {"nvidia.com/gpu.product": "H100"}}),
        ({}, {"nodeSelector": {"karpenter.sh/nodepool": "other"}}),
        ({"requirements": [{"key": "zone", "operator": "DoesNotExist"}]}, {"nodeSelector": {"zone": "a"}}),
        ({"requirements": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]}, {"nodeSelector": {"zone": "a"}}),
    ],
)
def test_a_pool_whose_machines_would_not_take_its_pods_does_not_count(made, pod):
    assert bought([pool(limits={GPU: "16"}, **made)], spec(2, **pod)) == BoundedCount(
        0, reason="no NodePool takes its pods"
    )


@pytest.mark.parametrize(
    ("made", "pod"),
    [
        ({"taints": [TAINT]}, {"tolerations": [{"key": GPU, "operator": "Exists"}]}),
        ({"taints": [{"key": "soft", "effect": "PreferNoSchedule"}]}, {}),
        ({"labels": {"product": "h100"}}, {"nodeSelector": {"product": "h100"}}),
        ({}, {"nodeSelector": {"topology.kubernetes.io/zone": "a"}}),
        ({}, {"nodeSelector": {"karpenter.sh/nodepool": "gpu"}}),
        ({"requirements": [{"key": "zone", "operator": "Exists"}]}, {"nodeSelector": {"zone": "a"}}),
        ({"requirements": [{"key": "gen", "operator": "Gt", "values": ["4"]}]}, {"nodeSelector": {"gen": "5"}}),
    ],
)
def test_a_pool_whose_machines_may_take_its_pods_counts(made, pod):
    assert bought([pool(limits={GPU: "16"}, **made)], spec(2, **pod)).value == 8


def test_terms_of_an_affinity_are_alternatives():
    terms = [{"matchExpressions": [{"key": "product", "operator": "In", "values": [one]}]} for one in ("a100", "h100")]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    pod = spec(2, affinity={"nodeAffinity": required})
    assert bought([pool(limits={GPU: "16"}, labels={"product": "h100"})], pod).value == 8
    assert bought([pool(limits={GPU: "16"}, labels={"product": "l4"})], pod).value == 0


def test_what_a_pool_has_bought_says_nothing_of_gpus_and_what_it_may_buy_does():
    plain = node("m", None, labels={"karpenter.sh/nodepool": "cpu", "node.kubernetes.io/instance-type": "m5.large"})
    cpu = pool("cpu", {"cpu": "1000"}, {"cpu": "64", "nodes": "1"})
    unknown = BoundedCount(None, reason=f"NodePool cpu: whether it offers {GPU} is not known")
    assert bought([cpu, pool(limits={GPU: "4"})], nodes=[plain]) == unknown
    asks_cores = {"containers": [{"name": "c", "resources": {"limits": {GPU: "1", "cpu": "8"}}}]}
    untried = bought([pool("cpu", {"cpu": "1000"})], asks_cores)
    assert untried == BoundedCount(None, reason=f"NodePool cpu: whether it offers {GPU} is not known")


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ({"replicas": 0}, "NodePool gpu: it has all 0 machines that it is to have (spec.replicas)"),
        ({"ready": "False", "limits": {GPU: "8"}}, "NodePool gpu: NodeClassNotReady: no subnets"),
    ],
)
def test_a_pool_that_cannot_buy_says_why(made, reason):
    assert bought([pool(**made)]) == BoundedCount(0, reason=reason)


# ---- what could not be had -----------------------------------------------------------------------------------------------------


def test_an_order_that_failed_of_late_closes_its_pool():
    found = bought([pool(limits={GPU: "16"})], events=[shortage(at=40)])
    told = "NodePool gpu: 60s ago NodeClaim gpu-x1a2b event: no g5"
    assert found == BoundedCount(0, "estimate", told, upper_bound=0), (
        "that it lasts is assumed, until somebody waits for it"
    )


@pytest.mark.parametrize(
    ("event", "now", "claims"),
    [
        (shortage(at=0), 1000, []),
        (shortage("other-x1a2b"), 100, []),
        (shortage(kind="Pod"), 100, []),
        (shortage(at=0), 100, [claim(gpus=0, launched=("True", 50, ""), initialized="True")]),
    ],
)
def test_old_failures_of_others_and_those_before_a_success_are_forgotten(event, now, claims):
    assert bought([pool(limits={GPU: "16"})], events=[event], now=now, claims=claims).value == 8


def test_an_order_that_failed_is_remembered_for_fifteen_minutes():
    limited = [pool(limits={GPU: "16"})]
    assert [bought(limited, events=[shortage(at=0)], now=now).value for now in (900, 901)] == [0, 8]


def test_the_last_of_several_failures_is_told_and_one_that_lies_ahead_of_our_clock_is_of_now():
    limited = [pool(limits={GPU: "16"})]
    assert "NodePool gpu: 0s ago" in bought(limited, events=[shortage(at=20), shortage("gpu-y2b3c", at=103)]).reason
    assert "NodePool gpu: 80s ago" in bought(limited, events=[shortage(at=20), shortage("gpu-y2b3c", at=10)]).reason


def test_a_claim_that_cannot_be_launched_closes_its_pool_and_is_not_on_its_way():
    stuck = claim(launched=("Unknown", 0, "LaunchFailed"))
    found = bought([pool(limits={GPU: "16"})], claims=[stuck])
    assert found == BoundedCount(0, "estimate", "NodePool gpu: gpu-x1a2b: LaunchFailed: m", upper_bound=0)


# ---- what Karpenter's own simulation contradicted (tests/oracles/test_karpenter.py) ----------------------------------


def test_a_limit_on_nodes_is_not_kept_within_one_round():
    known = node("a", 8, labels={**G5, "karpenter.sh/nodepool": "gpu"})
    found = bought([pool(limits={"nodes": "3"}, used={"nodes": "1"}, requirements=PINNED)], nodes=[known])
    assert (found.value, found.bound) == (8, "estimate")
    assert "between its rounds" in found.reason
    also = pool(limits={"nodes": "3", GPU: "40"}, used={"nodes": "1", GPU: "8"}, requirements=PINNED)
    assert bought([also], nodes=[known]) == BoundedCount(16, "upper", f"NodePool gpu: limit {GPU} 40"), (
        "a limit that is kept"
    )


def test_the_next_machine_of_a_type_may_be_in_another_zone_or_on_spot():
    seen = {**G5, "karpenter.sh/nodepool": "gpu", "topology.kubernetes.io/zone": "a"}
    limited = pool(limits={"cpu": "1000"}, used={"cpu": "64"}, requirements=PINNED)
    in_b = spec(2, nodeSelector={"topology.kubernetes.io/zone": "b"})
    assert bought([limited], in_b, nodes=[node("a", 8, labels=seen)]).value == 14 * 4
    large = spec(2, nodeSelector={"node.kubernetes.io/instance-type": "p5.48xlarge"})
    assert bought([limited], large, nodes=[node("a", 8, labels=seen)]).value == 0


def test_gpus_that_a_device_plugin_shares_are_more_than_the_limit_says():
    """A limit of 16 GPUs, and each is shared by 4: Karpenter buys by the cloud's 8, and 32 places come with these."""
    shared = node("a", 32, labels={**G5, "karpenter.sh/nodepool": "gpu"}) | {"spec": {"providerID": "aws:///i-1"}}
    whole = claim("gpu-a", initialized="True", machine="aws:///i-1")
    limited = pool(limits={GPU: "40"}, used={GPU: "32"})
    assert bought([limited], nodes=[shared], claims=[whole]).value == 16
    coming = [whole, claim("gpu-b")]
    assert bought([pool(limits={GPU: "40"}, used={GPU: "40"})], nodes=[shared], claims=coming).value == 16
    labelled = node("a", 32, labels={**G5, "karpenter.sh/nodepool": "gpu", "nvidia.com/gpu.replicas": "4"})
    assert bought([limited], nodes=[labelled]).value == 16


# ---- what rests on an assumption is not exact -------------------------------------------------------------------------


def test_nothing_is_exact_of_pods_that_are_not_known():
    """Its RuntimeClass cannot be read: it may add the toleration that the pool's taint asks for, or more requests."""
    of_class = spec(2, runtimeClassName="gpu")
    more = "perhaps more, since what RuntimeClass gpu adds is not known"
    tainted = pool(limits={GPU: "8"}, taints=[{"key": "team", "value": "x", "effect": "NoSchedule"}])
    assert bought([tainted], of_class, runtimes=None) == BoundedCount(0, "lower", f"{more}; no NodePool takes its pods")
    found = bought([pool(limits={GPU: "8"})], of_class, runtimes=None)
    assert found == BoundedCount(4, "estimate", f"{more}; NodePool gpu: limit {GPU} 8")


def test_pods_that_are_refused_get_no_machines():
    told = "there is no PriorityClass high, so its pods are refused"
    assert bought([pool(limits={GPU: "8"})], spec(2, priorityClassName="high")) == BoundedCount(0, reason=told)


def test_a_machine_whose_size_is_not_known_may_take_more_than_it_is_ordered_for():
    unlaunched = claim(launched=("Unknown", 0, ""))
    found = bought([pool(limits={"nodes": "1"})], claims=[unlaunched])
    told = "how large gpu-x1a2b will be, which is ordered, is not known"
    assert (found.value, found.bound) == (1, "estimate")
    assert told in found.reason
    within = bought([pool(limits={GPU: "8"})], claims=[unlaunched])
    assert (within.value, within.bound) == (1 + 3, "upper"), "it has no more GPUs than the limit"


def test_a_quota_that_is_used_up_is_exact_only_where_a_replica_is_known():
    full = {"metadata": {"name": "q", "namespace": "team"}, "spec": {}, "status": {"hard": {"pods": "0"}, "used": {}}}
    told = "ResourceQuota q: pods 0"
    assert bought([pool(limits={GPU: "8"})], quotas=[full]) == BoundedCount(0, reason=told)
    unknown = bought([pool(limits={GPU: "8"})], spec(2, runtimeClassName="gpu"), quotas=[full], runtimes=None)
    assert unknown == BoundedCount(0, "lower", f"perhaps more, since what RuntimeClass gpu adds is not known; {told}")


# ---- what is on its way --------------------------------------------------------------------------------------------------------


def test_machines_on_their_way_count_before_they_are_nodes():
    full = pool(limits={GPU: "8"}, used={GPU: "8"})
    found = bought([full], claims=[claim()])
    assert found == BoundedCount(4, "upper", f"4 on machines that are ordered; NodePool gpu: limit {GPU} 8")
    unlaunched = claim(launched=("Unknown", 0, "AwaitingReconciliation"))
    assert bought([full], claims=[unlaunched]).value == 1, "no more is known than what it is ordered for"
    assert bought([full], claims=[claim(initialized="True")]).value == 0
    assert bought([full], claims=[claim(deletionTimestamp=stamp(0))]).value == 0


def test_a_machine_that_has_joined_counts_once():
    full = pool(limits={GPU: "8"}, used={GPU: "8"})
    joined = [claim(on_node="n")]
    starting = node("n", 0, taints=[{"key": "karpenter.sh/unregistered", "effect": "NoExecute"}])
    assert bought([full], nodes=[starting], claims=joined).value == 4
    assert bought([full], nodes=[node("n", 8)], claims=joined).value == 0, "it is schedulable by now"
    assert bought([full], nodes=[starting], claims=joined, pods=[on("x", "n", spec(2))]).value == 3


def test_a_machine_counts_once_also_before_karpenter_has_written_the_name_of_its_node():
    """Seen in the laboratory: for a second a pod was on a machine that still counted as ordered."""
    full = pool(limits={GPU: "8"}, used={GPU: "8"})
    arrived = node("n", 2) | {"spec": {"providerID": "aws:///i-1"}}
    taken = [on("x", "n", spec(2))]
    assert bought([full], nodes=[arrived], pods=taken, claims=[claim(gpus=2, machine="aws:///i-1")]).value == 0
    assert bought([full], nodes=[arrived], pods=taken, claims=[claim(gpus=2, machine="aws:///i-2")]).value == 1
    assert bought([full], nodes=[node("n", 2)], pods=taken, claims=[claim(gpus=2)]).value == 1, "nobody knows"


def test_a_machine_whose_node_is_named_does_not_hide_one_whose_node_is_not():
    full = pool(limits={GPU: "16"}, used={GPU: "16"})
    arrived = node("n", 2) | {"spec": {"providerID": "aws:///i-1"}}
    coming = [claim("gpu-a", on_node="m"), claim("gpu-b", gpus=2, machine="aws:///i-1")]
    taken = [on("x", "n", spec(2))]
    assert bought([full], nodes=[arrived, node("m", 8)], pods=taken, claims=coming).value == 0


def test_of_whole_machines_alone_their_size_is_learnt():
    def machine(name, **labels):
        return Node(name, labels, (), {})

    own = {"karpenter.sh/nodepool": "gpu"}
    whole, half = machine("a", **own, **G5), machine("b", **own, **G5, **{"karpenter.sh/initialized": "false"})
    done = machine("c", **own, **{"karpenter.sh/initialized": "true"})
    assert instance_types([whole, half, done, machine("d")]) == (whole, done)


def test_an_order_tells_the_size_of_a_type_that_no_node_has():
    made = pool(limits={GPU: "20"}, used={GPU: "8", "nodes": "1"}, requirements=PINNED)
    assert bought([made]).value == 6
    assert bought([made], claims=[claim(gpus=8, initialized="True")]).value == 4, "one machine of 8"


def test_one_of_several_terms_that_a_type_meets_is_enough():
    key = "node.kubernetes.io/instance-type"
    terms = [{"matchExpressions": [{"key": key, "operator": "In", "values": [one]}]} for one in ("p5.x", "g5.48xlarge")]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    limited = pool(limits={"cpu": "1000"}, used={"cpu": "64"}, requirements=PINNED)
    seen = node("a", 8, labels={**G5, "karpenter.sh/nodepool": "gpu"})
    assert bought([limited], spec(2, affinity={"nodeAffinity": required}), nodes=[seen]).value == 14 * 4


# ---- what is not known -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "resource"),
    [("node_pools", "nodepools.karpenter.sh"), ("node_claims", "nodeclaims.karpenter.sh"), ("shortages", "events")],
)
def test_what_may_not_be_read_is_told(part, resource):
    told = {resource: f"list and watch {resource}: 403"}
    cluster = picture([], specs={"llama": spec()}, pools=[pool(limits={GPU: "8"})])
    cluster = dataclasses.replace(
        cluster, node_snapshot=dataclasses.replace(cluster.node_snapshot, **{part: None}), problems=told
    )
    [scaled] = cluster
    assert availability(cluster, scaled).provisionable == BoundedCount(None, reason=told[resource])


@pytest.mark.parametrize(
    "label",
    ["eks.amazonaws.com/instance-gpu-name", "karpenter.k8s.gcp/instance-gpu-name", "karpenter.azure.com/sku-gpu-name", "oci.oraclecloud.com/shape"],
)  # fmt: skip
def test_labels_of_every_provider_may_be_what_a_pool_buys(label):
    pod = {**spec(), "nodeSelector": {label: "l40s"}}
    assert bought([pool(limits={GPU: "4"})], pod) == BoundedCount(4, "upper", f"NodePool gpu: limit {GPU} 4")
    assert (
        bought([pool(limits={GPU: "4"})], {**spec(), "nodeSelector": {"team": "a"}}).reason
        == "no NodePool takes its pods"
    )


def test_a_pool_whose_categories_have_no_gpus_offers_none():
    plain = pool(
        "cpu",
        {"cpu": "1000"},
        requirements=[{"key": "karpenter.k8s.aws/instance-category", "operator": "In", "values": ["c", "m", "r"]}],
    )
    assert bought([plain]) == BoundedCount(0, reason="no NodePool takes its pods")


def test_a_limit_is_told_in_the_units_of_people():
    memory = {"containers": [{"name": "c", "resources": {"limits": {GPU: "1", "memory": "10Gi"}}}]}
    assert bought([pool(limits={"memory": "100Gi", GPU: "64"})], memory) == BoundedCount(
        10, "upper", "NodePool gpu: limit memory 100Gi"
    )


@pytest.mark.parametrize(
    "label",
    ["karpenter.kwok.sh/instance-family", "hetzner.example.com/server-type", "cpu.hetzner.example.com/vendor"],
)
def test_labels_of_the_provider_of_its_node_class_may_be_what_a_pool_buys(label):
    pod = {**spec(), "nodeSelector": {label: "l40s"}}
    assert bought([pool(limits={GPU: "4"}, provider="hetzner.example.com")], pod).value == 4


def families(*values, key="karpenter.k8s.aws/instance-family"):
    return [{"key": key, "operator": "In", "values": list(values)}]


@pytest.mark.parametrize(
    ("requirements", "known"),
    [
        (families("c7i", "m7i"), True),
        (families("c7i", "p5en"), False),
        (families("c", "r", key="eks.amazonaws.com/instance-category"), True),
        (families("D", "E", key="karpenter.azure.com/sku-family"), True),
        (families("D", "NC", key="karpenter.azure.com/sku-family"), False),
        (families("ecs.gn7i", key="karpenter.k8s.alibabacloud/instance-family"), False),
        (families("n1", "e2", key="karpenter.k8s.gcp/instance-family"), False),
        ([{"key": "karpenter.k8s.aws/instance-gpu-count", "operator": "DoesNotExist"}], True),
        ([{"key": "karpenter.k8s.aws/instance-gpu-count", "operator": "Gt", "values": ["0"]}], False),
    ],
)
def test_names_of_families_close_a_pool_only_where_they_tell_which_have_gpus(requirements, known):
    found = bought([pool(requirements=requirements)])
    assert (found.value, found.bound) == ((0, "exact") if known else (None, "exact"))


@pytest.mark.parametrize(("label", "value"), [("instance-gpu-count", None), ("instance-accelerator-count", 0)])
def test_a_pool_without_gpus_may_have_other_accelerators(label, value):
    neuron = {"containers": [{"name": "c", "resources": {"limits": {"aws.amazon.com/neuron": "1"}}}]}
    none_of_it = [{"key": f"karpenter.k8s.aws/{label}", "operator": "DoesNotExist"}]
    assert bought([pool(requirements=none_of_it)], neuron).value == value


def test_the_same_machine_may_be_divided_otherwise_in_another_pool():
    """A device plugin shares each GPU of the pool `shared` among ten pods, and none of the pool `gpu`."""
    shared = node("a", 80, labels={**G5, "karpenter.sh/nodepool": "shared"}, cpu="192")
    whole = node("b", 8, labels={**G5, "karpenter.sh/nodepool": "gpu"}, cpu="192")
    closed = [{"key": "karpenter.sh/nodepool", "operator": "In", "values": ["gpu"]}]
    limited = pool(limits={"nodes": "3"}, used={"nodes": "1"}, requirements=[*PINNED, *closed])
    assert bought([limited], nodes=[shared, whole]).value == 8, "two machines of 8 GPUs"
    assert bought([limited], nodes=[shared]).value is None


@pytest.mark.parametrize("resource", ["cpu", "memory", "ephemeral-storage", "nodes"])
def test_a_limit_on_what_every_machine_has_is_certain_once_it_is_used_up(resource):
    amount = "4Gi" if resource in {"memory", "ephemeral-storage"} else "4"
    found = bought([pool(limits={resource: amount, GPU: "64"}, used={resource: amount})])
    assert found == BoundedCount(0, reason=f"NodePool gpu: limit {resource} {amount}")


# ---- what Karpenter 1.15 has beside ----------------------------------------------------------------------------------

IS_G5 = [{"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["g5.48xlarge"]}]


def test_a_pool_of_a_fixed_number_of_machines_gives_those_that_are_missing():
    large = node("a", 8, labels={**G5, "karpenter.sh/nodepool": "gpu"}, cpu="192")
    fixed = pool(replicas=3, requirements=PINNED)
    there = claim("gpu-a", initialized="True")
    assert bought([fixed], nodes=[large], claims=[there]) == BoundedCount(
        8, "upper", "NodePool gpu: 2 of its 3 machines are not there yet"
    )
    all_there = [claim(f"gpu-{one}", initialized="True") for one in "abc"]
    assert bought([fixed], nodes=[large], claims=all_there) == BoundedCount(
        0, reason="NodePool gpu: it has all 3 machines that it is to have (spec.replicas)"
    )
    limited = pool(replicas=3, requirements=PINNED, limits={"nodes": "2"})
    assert bought([limited], nodes=[large], claims=[there]).value == 4
    leaving = [*all_there[:2], claim("gpu-c", deletionTimestamp=stamp(0))]
    assert bought([fixed], nodes=[large], claims=leaving).value == 4, "it is replaced"


def test_how_large_missing_machines_are_may_not_be_known():
    with_gpus = [{"key": "karpenter.k8s.aws/instance-gpu-count", "operator": "Gt", "values": ["0"]}]
    found = bought([pool(replicas=3, requirements=with_gpus)])
    assert found.value is None
    assert "may still order 3 of the 3 machines" in found.reason
    assert bought([pool(replicas=3)], events=[shortage(at=40)]).value == 0


def overlay(resource=GPU, amount="4", requirements=(), valid="True"):
    conditions = [{"type": "ValidationSucceeded", "status": valid}] if valid else []
    return {
        "metadata": {"name": "o"},
        "spec": {"requirements": list(requirements), "capacity": {resource: amount}},
        "status": {"conditions": conditions},
    }


PLAIN = pool("cpu", requirements=families("c7i"))
SLICE = "example.com/gpu-slice"
ASKS_SLICE = {"containers": [{"name": "c", "resources": {"limits": {SLICE: "2"}}}]}


@pytest.mark.parametrize(
    ("made", "known"),
    [
        ([], True),
        ([overlay(SLICE)], False),
        ([overlay(SLICE, valid="")], False),
        ([overlay(SLICE, valid="False")], True),
        ([overlay("example.com/other")], True),
        ([overlay(SLICE, requirements=families("c7i"))], False),
        ([overlay(SLICE, requirements=families("m7i"))], True),
        ([overlay(SLICE, requirements=[{"key": "team", "operator": "In", "values": ["a"]}])], True),
    ],
)
def test_an_overlay_may_let_a_pool_offer_what_its_cloud_does_not_speak_of(made, known):
    found = bought([PLAIN], ASKS_SLICE, overlays=made)
    assert (found.value, found.reason) == (
        (0, "no NodePool takes its pods") if known else (None, f"NodePool cpu: whether it offers {SLICE} is not known")
    )


def test_overlays_that_may_not_be_read_leave_it_open_what_a_pool_offers():
    cluster = picture([], specs={"llama": ASKS_SLICE}, pools=[PLAIN], overlays=None)
    [scaled] = cluster
    assert availability(cluster, scaled).provisionable.value is None


def test_what_an_overlay_adds_counts_as_the_size_of_a_machine():
    machine = node("a", None, labels={**G5, "karpenter.sh/nodepool": "gpu"}, cpu="192")
    limited = pool(limits={"nodes": "3"}, used={"nodes": "1"}, requirements=PINNED)
    assert bought([limited], ASKS_SLICE, nodes=[machine]).value == 0, "what was seen has none of it"
    found = bought([limited], ASKS_SLICE, nodes=[machine], overlays=[overlay(SLICE, "4", IS_G5)])
    assert (found.value, found.bound) == (4, "estimate"), "two machines for two pods each"


@pytest.mark.parametrize(("teams", "value"), [(["a"], 4), (["a", "b"], 0)])
def test_a_label_that_a_pool_gives_all_its_machines_chooses_overlays(teams, value):
    machine = node("a", None, labels={**G5, "karpenter.sh/nodepool": "gpu"}, cpu="192")
    of_team = [*PINNED, *families(*teams, key="team")]
    limited = pool(limits={"nodes": "3"}, used={"nodes": "1"}, requirements=of_team)
    made = overlay(SLICE, "4", families("a", key="team"))
    assert bought([limited], ASKS_SLICE, nodes=[machine], overlays=[made]).value == value


@pytest.mark.parametrize(
    ("made", "pod", "told"),
    [
        ({"requirements": families("reserved", key="karpenter.sh/capacity-type")}, {}, True),
        ({}, {"nodeSelector": {"karpenter.sh/capacity-type": "reserved"}}, True),
        ({"requirements": families("reserved", "on-demand", key="karpenter.sh/capacity-type")}, {}, False),
        ({}, {}, False),
    ],
)
def test_of_what_is_reserved_nobody_here_knows_how_much_is_left(made, pod, told):
    found = bought([pool(limits={GPU: "8"}, **made)], spec(2, **pod))
    assert (found.value, found.bound) == (4, "upper")
    assert ("how much is left of what is reserved cannot be read" in found.reason) is told


def test_what_a_buffer_keeps_free_is_free_and_may_take_of_what_is_bought():
    buffer = {"metadata": {"namespace": "team", "name": "warm"}, "spec": {}, "status": {"replicas": 3}}
    cluster = picture([node("a", 2)], specs={"llama": spec(2)}, pools=[pool(limits={GPU: "8"})], buffers=[buffer])
    [scaled] = cluster
    found = availability(cluster, scaled)
    assert found.schedulable == BoundedCount(1), "the scheduler knows nothing of a buffer"
    told = "CapacityBuffers keep room for 3 pods, which may be among these"
    assert found.provisionable == BoundedCount(4, "upper", f"NodePool gpu: limit {GPU} 8; {told}")
    assert told not in bought([pool(limits={GPU: "0"})], buffers=[buffer]).reason


def test_of_a_group_one_pod_of_which_claims_devices_the_claim_is_told():
    machine = PodRequirements(((GPU, 1), ("pods", 1)))
    claiming = PodRequirements((("pods", 1),), claim_templates=("gpu",))
    cluster = picture([], specs={"llama": spec()}, pools=[pool(used={})])
    offer = provisionable(cluster.node_snapshot, ReplicaTemplate(((machine, 1), (claiming, 1))), GPU, 0.0)
    assert offer.replicas is None
    assert offer.reason == "NodePool gpu: Karpenter buys for pods that claim devices only where it is set to"


def test_a_group_comes_on_ordered_machines_as_often_as_the_rarest_of_its_pods():
    """A leader without GPUs and two workers with four each: eight GPUs that are ordered are one group."""
    leader, worker = PodRequirements((("cpu", 1000), ("pods", 1))), PodRequirements(((GPU, 4), ("pods", 1)))
    full = pool(limits={GPU: "8"}, used={GPU: "8"})
    cluster = picture([], specs={"llama": spec(4)}, pools=[full], claims=[claim()], last_synced=NOON + 100)
    [scaled] = cluster
    group = dataclasses.replace(scaled.template, pods=((leader, 1), (worker, 2)))
    assert availability(cluster, dataclasses.replace(scaled, template=group)).provisionable.value == 1


def test_an_order_of_another_pool_tells_the_size_of_a_type_that_this_one_buys():
    ordered = claim(initialized="True", labels={"karpenter.sh/nodepool": "other"})
    limited = pool(limits={"nodes": "2"}, used={}, requirements=PINNED)
    assert bought([limited], claims=[ordered]).value == 8


def test_an_order_that_tells_no_gpus_tells_not_how_they_are_shared():
    whole = node("a", 8, labels={**G5, "karpenter.sh/nodepool": "gpu"}) | {"spec": {"providerID": "aws:///i-1"}}
    for known in ({"machine": "aws:///i-1"}, {"on_node": "a"}):
        silent = claim("gpu-a", initialized="True", **known)
        del silent["status"]["capacity"][GPU]
        assert bought([pool(limits={GPU: "16"}, used={GPU: "8"})], nodes=[whole], claims=[silent]).value == 4


def quota(**hard):
    status = {"hard": hard, "used": {}}
    return {"metadata": {"name": "q", "namespace": "team"}, "spec": {}, "status": status}


def test_of_a_quota_what_is_schedulable_is_taken_first_and_the_rest_is_bought():
    """A quota of six pods, four of which fit on the machine that is there: two may be bought, and not the four of the pool."""
    limited = pool(limits={GPU: "8"})
    found = bought([limited], nodes=[node("a", 8)], quotas=[quota(pods="6")])
    assert (found.value, found.reason) == (2, "ResourceQuota q: pods 6")
    all_of_it = bought([limited], nodes=[node("a", 8)], quotas=[quota(pods="8")])
    assert (all_of_it.value, all_of_it.reason) == (4, f"NodePool gpu: limit {GPU} 8"), "the quota has room for all"
    assert bought([limited], nodes=[node("a", 8)], quotas=[quota(pods="4")]).value == 0


def test_where_so_many_may_not_be_schedulable_a_quota_is_used_up_at_most():
    fresh = on("new", "", spec(2))
    found = bought([pool(limits={GPU: "8"})], nodes=[node("a", 8)], pods=[fresh], quotas=[quota(pods="3")])
    told = "ResourceQuota q: pods 3, which the 3 use up that are schedulable, if so many are"
    assert found == BoundedCount(0, "upper", told)
