"""Devices that pods claim: which are free, which a claim takes, and what that leaves on each node."""

import dataclasses

import pytest
from support.cluster import node, on, picture

from scaler.cluster.availability import availability
from scaler.cluster.dra import matches
from scaler.model.availability import BoundedCount
from scaler.model.nodes import Device, DeviceClass, Devices, PodRequirements
from scaler.sources.kubernetes.read_dra import (
    read_allocation,
    read_claim_template,
    read_class,
    read_slice,
    read_taint_rule,
)

DRIVER = "gpu.example.com"
IS_GPU = f"device.driver == '{DRIVER}' && device.attributes['{DRIVER}'].type == 'gpu'"
H100 = f'device.attributes["{DRIVER}"].model == "h100"'


def device(name, model="h100", **more):
    attributes = {"type": {"string": "gpu"}, "model": {"string": model}, "memory": {"int": 80}, "ecc": {"bool": True}}
    attributes["version"] = {"version": "1.2.3"}
    return {"name": name, "attributes": {**attributes, f"{DRIVER}/qualified": {"string": "yes"}}, **more}


def resource_slice(where, *devices, pool=None, generation=1, count=1):
    of = {"name": pool or where, "generation": generation, "resourceSliceCount": count}
    place = {"nodeName": where} if where else {"allNodes": True}
    return {"metadata": {"name": "s"}, "spec": {"driver": DRIVER, "pool": of, "devices": list(devices), **place}}


def exactly(name="gpu", count=1, *selectors, **more):
    written = [{"cel": {"expression": one}} for one in selectors]
    asked = {"deviceClassName": name, "selectors": written, "allocationMode": "ExactCount", "count": count}
    return {"name": "r", "exactly": {**asked, **more}}


def template(*requests, **more):
    return {"metadata": {"namespace": "team"}, "spec": {"spec": {"devices": {"requests": list(requests), **more}}}}


def allocated(*names, pod="x", where="a", admin=False):
    results = [{"driver": DRIVER, "pool": where, "device": name, "adminAccess": admin} for name in names]
    users = [{"resource": "pods", "name": pod}]
    status = {"allocation": {"devices": {"results": results}}, "reservedFor": users}
    return {"metadata": {"namespace": "team", "name": "c"}, "status": status}


def had(slices, claim, *claims, pods=(), nodes=("a", "b"), selector=IS_GPU, rules=()):
    """The availability of Deployment llama, each of whose pods has one claim of this template."""
    known = Devices(
        slices=tuple(map(read_slice, slices)),
        classes={"gpu": read_class({"spec": {"selectors": [{"cel": {"expression": selector}}]}}), "any": DeviceClass()},
        templates={("team", "claim"): read_claim_template(claim)},
        allocations=tuple(filter(None, map(read_allocation, claims))),
        rules=rules,
    )
    cluster = picture([node(name, None) for name in nodes], pods, {"llama": CLAIMING}, devices=known)
    [scaled] = cluster
    return availability(cluster, scaled)


CLAIMING = {
    "containers": [{"name": "c", "resources": {"claims": [{"name": "gpu"}], "requests": {"cpu": "10"}}}],
    "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "claim"}],
}
FOUR = [device(f"d{number}") for number in range(4)]


# ---- selectors -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "taken"),
    [
        (f"device.driver == '{DRIVER}'", True),
        ('device.driver == "other"', False),
        ('device.driver != "other"', True),
        (IS_GPU, True),
        (f"  {IS_GPU}  &&  {H100} ", True),
        (f'{IS_GPU} && device.attributes["{DRIVER}"].model == "l4"', False),
        (f'device.attributes["{DRIVER}"].memory >= 80', True),
        (f'device.attributes["{DRIVER}"].memory > 80', False),
        (f'device.attributes["{DRIVER}"].ecc', True),
        (f'device.attributes["{DRIVER}"].ecc == false', False),
        (f'device.attributes["{DRIVER}"].qualified == "yes"', True),
        (f'device.attributes["{DRIVER}"].missing == "x"', None),
        (f'device.driver == "other" && device.attributes["{DRIVER}"].missing == "x"', False),
        (f'device.attributes["{DRIVER}"].version == "1.2.3"', None),
        (f'device.attributes["{DRIVER}"].memory == "80"', False),
        (f'device.attributes["{DRIVER}"].memory != "80"', True),
        (f'device.attributes["{DRIVER}"].memory < "80"', None),
        (f'device.attributes["{DRIVER}"].model == "a && b"', False),
        ("device.attributes[\"x\"].a.startsWith('h')", None),
        (f"{IS_GPU} || true", None),
        (f"{IS_GPU} '", None),
        ('device.driver == "other" && device.capacity.x > 1', False),
        ("", None),
    ],
)
def test_selectors_are_read_as_far_as_they_are_simple(expression, taken):
    [one] = read_slice(resource_slice("a", device("d"))).devices
    assert matches(expression, DRIVER, one) is taken


def test_no_expression_makes_it_fail():
    for odd in ("&&", "&", "'", "((", "device.attributes[", "device.driver ==", "a" * 5000):
        assert matches(odd, DRIVER, Device("d", {})) is None


# ---- counts --------------------------------------------------------------------------------------------------------------------


def test_free_devices_of_a_node_are_places_on_it():
    found = had([resource_slice("a", *FOUR), resource_slice("b", FOUR[0])], template(exactly(count=2)), allocated("d0"))
    assert (found.resource, found.schedulable.value, found.free) == ("2 gpu", 1, BoundedCount(4))
    assert found.schedulable.reason == "insufficient gpu on 1 node"


def test_other_resources_bind_beside_devices():
    found = had([resource_slice("a", *(device(f"d{number}") for number in range(9)))], template(exactly()))
    assert found.schedulable == BoundedCount(6, reason="insufficient gpu on 1 node"), "64 cores, 10 for each pod"


def test_only_devices_that_the_class_and_the_claim_take_count():
    slices = [resource_slice("a", device("d0", "l4"), device("d1"), device("d2"))]
    assert had(slices, template(exactly("gpu", 1, H100))).schedulable.value == 2
    assert had(slices, template(exactly("gpu", 1, 'device.driver == "other"'))).schedulable.value == 0
    assert had(slices, template(exactly("any"))).schedulable.value == 3
    assert had(slices, template(exactly("absent"))).schedulable.value == 0


def test_a_claim_for_all_devices_of_a_node_is_had_where_all_are_free():
    everything = template(exactly(allocationMode="All"))
    slices = [resource_slice("a", *FOUR), resource_slice("b", *FOUR, pool="b")]
    assert had(slices, everything, allocated("d0", where="b")).schedulable.value == 1


def test_devices_for_administrators_are_not_taken():
    assert had([resource_slice("a", FOUR[0])], template(exactly()), allocated("d0", admin=True)).schedulable.value == 1


def test_only_whole_pools_of_the_newest_generation_count():
    old, new = resource_slice("a", *FOUR, generation=1), resource_slice("a", FOUR[0], generation=2)
    assert had([old, new], template(exactly())).schedulable.value == 1
    assert had([resource_slice("a", *FOUR, count=2)], template(exactly())).schedulable.value == 0


def test_own_claims_are_own_and_those_of_others_that_wait_are_pending():
    waits = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]
    pods = [on("llama-1", "a", CLAIMING, owner=("ReplicaSet", "llama-77aa")), on("o", "", CLAIMING, conditions=waits)]
    found = had([resource_slice("a", *FOUR)], template(exactly()), allocated("d0", pod="llama-1"), pods=pods)
    assert (found.own, found.pending, found.free) == (BoundedCount(1), BoundedCount(1), BoundedCount(3))


def test_a_claim_without_a_template_cannot_be_had():
    cluster = picture([node("a")], (), {"llama": CLAIMING})
    [scaled] = cluster
    found = availability(cluster, scaled)
    assert (found.resource, found.schedulable.value) == ("1 of claim", 0)


@pytest.mark.parametrize(
    ("slices", "claim", "reason"),
    [
        (
            [resource_slice("a", *FOUR)],
            template(exactly("gpu", 1, "device.x")),
            "the selector 'device.x' cannot be read",
        ),
        (
            [resource_slice("a", *FOUR)],
            template(exactly("gpu"), exactly("any")),
            "several requests may want the same devices",
        ),
        (
            [resource_slice("a", device("d", bindingConditions=["ready"]))],
            template(exactly()),
            "devices have conditions, or choose their nodes themselves",
        ),
        (
            [resource_slice("a", *FOUR)],
            template(exactly(), constraints=[{"matchAttribute": "x"}]),
            "constraints between devices are not counted",
        ),
    ],
)
def test_what_is_only_bounded_says_why(slices, claim, reason):
    found = had(slices, claim).schedulable
    assert (found.bound, found.reason.startswith(reason)) == ("upper", True)


L4 = f'device.attributes["{DRIVER}"].model == "l4"'
MIXED = [device("h0"), device("h1"), device("h2"), *(device(f"l{number}", "l4") for number in range(5))]


def first_available(*choices):
    return {"name": "r", "firstAvailable": [{"name": f"c{at}", **one["exactly"]} for at, one in enumerate(choices)]}


def test_devices_that_stand_in_for_others_are_as_many_places_more():
    """One H100 or else two L4: three H100 and five L4 are enough for 3 + 2 pods."""
    either = template(first_available(exactly("gpu", 1, H100), exactly("gpu", 2, L4)))
    found = had([resource_slice("a", *MIXED)], either)
    assert (found.schedulable, found.resource) == (BoundedCount(5, reason="insufficient gpu on 1 node"), "1 gpu")
    assert had([resource_slice("a", *MIXED)], either, allocated("h0", "l0")).schedulable.value == 2 + 2
    two_nodes = [resource_slice("a", *MIXED), resource_slice("b", device("h9"))]
    assert had(two_nodes, either).schedulable.value == 6
    twice = template(*[first_available(exactly("gpu", 1, H100), exactly("gpu", 2, L4))] * 2)
    assert had([resource_slice("a", *MIXED)], twice).schedulable.value == 2, "five, two for each pod"


def test_devices_that_several_alternatives_want_are_a_bound():
    both = template(first_available(exactly("gpu", 1, H100), exactly("gpu", 2)))
    found = had([resource_slice("a", *MIXED)], both).schedulable
    assert (found.value, found.bound) == (6, "upper"), "3 + 8 // 2 by devices, and 6 by cores"
    assert found.reason.startswith("several requests may want the same devices")


def test_requests_for_devices_that_differ_do_not_disturb_one_another():
    found = had([resource_slice("a", *MIXED)], template(exactly("gpu", 1, H100), exactly("gpu", 2, L4))).schedulable
    assert (found.value, found.bound) == (2, "exact")


def test_a_claim_that_only_looks_binds_nothing():
    found = had([resource_slice("a", *FOUR)], template(exactly(adminAccess=True)), allocated("d0"))
    assert (found.schedulable.value, found.resource) == (6, ""), "but it wants a node that has a device to look at"
    assert had([resource_slice("a", *FOUR)], template(exactly(count=4, adminAccess=True))).schedulable.value == 6
    assert had([resource_slice("a", *FOUR)], template(exactly(count=5, adminAccess=True))).schedulable.value == 0


def test_devices_that_several_nodes_share_are_not_known():
    found = had([resource_slice("", *FOUR, pool="net")], template(exactly()))
    assert found.schedulable == found.free == BoundedCount(None, reason="devices of class gpu are not each of one node")


def test_devices_that_may_not_be_read_are_not_known():
    cluster = picture([node("a")], (), {"llama": CLAIMING})
    told = {
        "resourceslices.resource.k8s.io": "which devices there are: list and watch resourceslices.resource.k8s.io: 403"
    }
    snapshot = dataclasses.replace(cluster.node_snapshot, devices=None)
    cluster = dataclasses.replace(cluster, node_snapshot=snapshot, problems=told)
    [scaled] = cluster
    assert availability(cluster, scaled).schedulable == BoundedCount(None, reason=next(iter(told.values())))


# ---- what newer Kubernetes has ---------------------------------------------------------------------------------------


def sharing(*parts, value="80Gi", **policy):
    """A device that several claims may share, and what is taken of it."""
    memory = {"value": value, **({"requestPolicy": policy} if policy else {})}
    made = resource_slice("a", device("d", allowMultipleAllocations=True, capacity={"memory": memory}))
    results = [{"driver": DRIVER, "pool": "a", "device": "d", "consumedCapacity": {"memory": part}} for part in parts]
    claims = [
        {"metadata": {"namespace": "team", "name": "c"}, "status": {"allocation": {"devices": {"results": results}}}}
    ]
    return [made], claims if parts else []


@pytest.mark.parametrize(
    ("parts", "wanted", "policy", "more"),
    [
        (["20Gi"], "20Gi", {"default": "80Gi"}, 3),
        ([], "20Gi", {"default": "80Gi"}, 4),
        (["20Gi", "40Gi"], "20Gi", {}, 1),
        ([], "90Gi", {}, 0),
        ([], None, {"default": "20Gi"}, 4),
        ([], None, {}, 1),
        ([], "5Gi", {"default": "80Gi", "validRange": {"min": "20Gi", "step": "4Gi"}}, 4),
        ([], "11Gi", {"default": "80Gi", "validRange": {"min": "10Gi", "step": "10Gi"}}, 4),
        ([], "11Gi", {"default": "80Gi", "validValues": ["10Gi", "20Gi", "40Gi"]}, 4),
        ([], "41Gi", {"default": "80Gi", "validValues": ["10Gi", "20Gi", "40Gi"]}, 0),
        ([], "41Gi", {"default": "80Gi", "validRange": {"min": "10Gi", "max": "40Gi"}}, 0),
        ([], "40Gi", {"default": "80Gi", "validRange": {"min": "10Gi", "max": "40Gi"}}, 2),
    ],
)
def test_a_device_that_claims_share_is_given_as_often_as_its_capacity_allows(parts, wanted, policy, more):
    slices, claims = sharing(*parts, **policy)
    asked = {"capacity": {"requests": {"memory": wanted}}} if wanted else {}
    found = had(slices, template(exactly(**asked)), *claims)
    assert (found.schedulable.value, found.schedulable.bound) == (more, "exact")


def test_how_many_parts_of_one_device_a_claim_may_have_is_not_known():
    """Seen with the real scheduler: a claim of two parts of 15Gi got none of a device of 40Gi."""
    slices, _ = sharing(value="40Gi")
    found = had(slices, template(exactly(count=2, capacity={"requests": {"memory": "15Gi"}}))).schedulable
    assert (found.value, found.bound) == (1, "upper")
    assert "how many parts of one device a claim may have" in found.reason


def partition(name, amount, which="gpu-0"):
    return device(name, consumesCounters=[{"counterSet": which, "counters": {"slices": {"value": str(amount)}}}])


def partitioned(*devices, total="7"):
    """The parts of a GPU, and what they share."""
    made = resource_slice("a", *devices)
    made["spec"]["sharedCounters"] = [{"name": "gpu-0", "counters": {"slices": {"value": total}}}]
    return [made]


def test_parts_of_a_device_are_given_as_often_as_their_counters_allow():
    small = [partition(f"small-{number}", 2) for number in range(7)]
    assert had(partitioned(*small), template(exactly())).schedulable.value == 3
    assert had(partitioned(*small), template(exactly()), allocated("small-0")).schedulable.value == 2
    assert had(partitioned(*small[:2]), template(exactly())).schedulable.value == 2


def test_parts_of_several_sizes_are_a_bound():
    found = had(partitioned(partition("whole", 7), partition("small", 1)), template(exactly())).schedulable
    assert found.bound == "upper"
    assert "devices of several sizes share counters" in found.reason


def test_parts_share_their_counters_whatever_slices_they_stand_in():
    """As Kubernetes 1.37 wants it: the counters of a pool stand in a slice of their own."""
    counters = resource_slice("a", count=3)
    counters["spec"]["sharedCounters"] = [{"name": "gpu-0", "counters": {"slices": {"value": "7"}}}]
    parts = [resource_slice("a", *(partition(f"{half}{n}", 2) for n in range(3)), count=3) for half in "xy"]
    assert had([counters, *parts], template(exactly())).schedulable == BoundedCount(
        3, reason="insufficient gpu on 1 node"
    )
    assert had([counters, *parts], template(exactly()), allocated("x0")).schedulable.value == 2


def test_a_claim_for_all_devices_waits_until_all_pools_of_a_node_are_whole():
    slices = [resource_slice("a", *FOUR), resource_slice("a", FOUR[0], pool="other", count=2)]
    assert had(slices, template(exactly(allocationMode="All"))).schedulable.value == 0
    assert had(slices, template(exactly())).schedulable.value == 4


def test_a_taint_without_an_effect_keeps_nobody_off():
    for effect, given in (("None", 2), ("NoExecute", 1), ("NoSchedule", 1)):
        tainted = [resource_slice("a", device("d", taints=[{"key": "x", "effect": effect}]), device("e"))]
        assert had(tainted, template(exactly())).schedulable.value == given


def test_a_rule_that_chooses_by_what_is_not_read_makes_it_a_bound():
    rule = read_taint_rule(
        {"spec": {"deviceSelector": {"deviceClassName": "gpu"}, "taint": {"key": "x", "effect": "NoSchedule"}}}
    )
    found = had([resource_slice("a", *FOUR)], template(exactly()), rules=(rule,)).schedulable
    assert found == BoundedCount(
        4, "upper", "a DeviceTaintRule chooses devices by what is not read here; insufficient gpu on 1 node"
    )


def test_of_classes_for_one_resource_the_youngest_counts():
    slices = (read_slice(resource_slice("a", *FOUR[:3])), read_slice(resource_slice("a", device("l", "l4"), pool="l4")))

    def written(model, day):
        selector = {"cel": {"expression": f"device.attributes['{DRIVER}'].model == '{model}'"}}
        spec = {"extendedResourceName": "nvidia.com/gpu", "selectors": [selector]}
        return read_class({"metadata": {"creationTimestamp": f"2026-11-{day:02}T00:00:00Z"}, "spec": spec})

    pod = {"containers": [{"name": "c", "resources": {"limits": {"nvidia.com/gpu": "1"}}}]}
    for days, free in (((1, 2), 1), ((2, 1), 3), ((1, 1), 3)):
        known = Devices(slices=slices, classes={"a": written("h100", days[0]), "b": written("l4", days[1])})
        cluster = picture([node("a", 0)], (), {"llama": pod}, devices=known)
        [scaled] = cluster
        found = availability(cluster, scaled)
        assert (found.schedulable.value, found.schedulable.bound, found.free.value) == (free, "exact", free)


def test_a_tainted_device_is_given_to_those_who_tolerate_it():
    tainted = [resource_slice("a", device("d", taints=[{"key": "x", "effect": "NoSchedule"}]), device("e"))]
    assert had(tainted, template(exactly())).schedulable.value == 1
    tolerant = exactly(tolerations=[{"key": "x", "operator": "Exists"}])
    assert had(tainted, template(tolerant)).schedulable.value == 2


def test_a_rule_taints_the_devices_that_it_means():
    rule = read_taint_rule({"spec": {"deviceSelector": {"pool": "a"}, "taint": {"key": "x", "effect": "NoExecute"}}})
    found = had([resource_slice("a", *FOUR), resource_slice("b", *FOUR)], template(exactly()), rules=(rule,))
    assert found.schedulable.value == 4
    assert read_taint_rule({"spec": {"taint": {"key": "x", "effect": "None"}}}) is None


def test_objects_of_the_first_beta_are_read():
    old = resource_slice("a")
    old["spec"]["devices"] = [{"name": one["name"], "basic": {"attributes": one["attributes"]}} for one in FOUR]
    request = {"name": "r", "deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 2}
    assert had([old], template(request)).schedulable.value == 2


def test_devices_that_are_given_for_a_resource_are_counted_where_the_node_does_not_list_it():
    known = Devices(
        slices=(read_slice(resource_slice("a", *FOUR)),),
        classes={"gpu": read_class({"spec": {"extendedResourceName": "nvidia.com/gpu"}})},
        allocations=(read_allocation(allocated(FOUR[0]["name"])),),
    )
    pod = {"containers": [{"name": "c", "resources": {"limits": {"nvidia.com/gpu": "1"}}}]}
    cluster = picture([node("a", None), node("b", 8)], (), {"llama": pod}, devices=known)
    [scaled] = cluster
    found = availability(cluster, scaled)
    assert (found.schedulable, found.free) == (BoundedCount(11), BoundedCount(11)), "3 devices of a, and 8 GPUs of b"


def test_where_the_api_is_not_served_nothing_is_known_of_claims():
    cluster = picture([node("a")], (), {"llama": CLAIMING}, devices=Devices(served=False))
    [scaled] = cluster
    found = availability(cluster, scaled).schedulable
    assert found.value is None
    assert "no version of resource.k8s.io" in found.reason


@pytest.mark.parametrize(
    ("devices", "told"),
    [(Devices(served=False), "no version of resource.k8s.io"), (None, "which devices there are is not known yet")],
)
def test_one_pod_of_several_that_claims_is_enough(devices, told):
    cluster = picture([node("a")], (), {"llama": CLAIMING}, devices=devices)
    [scaled] = cluster
    leader = PodRequirements((("cpu", 1000), ("pods", 1)))
    group = dataclasses.replace(scaled.template, pods=((leader, 1), *scaled.template.pods))
    found = availability(cluster, dataclasses.replace(scaled, template=group)).schedulable
    assert found.value is None
    assert told in found.reason


def test_a_rule_that_is_tolerated_or_clear_bounds_nothing():
    unclear = {"deviceClassName": "gpu"}
    for selector, bound in ((unclear, "exact"), ({"pool": "other"}, "exact")):
        rule = read_taint_rule({"spec": {"deviceSelector": selector, "taint": {"key": "x", "effect": "NoSchedule"}}})
        tolerant = exactly(tolerations=[{"key": "x", "operator": "Exists"}])
        found = had([resource_slice("a", *FOUR)], template(tolerant), rules=(rule,)).schedulable
        assert (found.value, found.bound) == (4, bound)
    clear = read_taint_rule({"spec": {"deviceSelector": {"pool": "b"}, "taint": {"key": "x", "effect": "NoSchedule"}}})
    slices = [resource_slice("a", *FOUR), resource_slice("b", *FOUR)]
    assert had(slices, template(exactly()), rules=(clear,)).schedulable.bound == "exact"


def test_a_long_selector_is_cut_in_the_sentence():
    selector = "device.attributes." + "x" * 100
    found = had([resource_slice("a", *FOUR)], template(exactly("gpu", 1, selector))).schedulable
    assert f"the selector {selector[:80]!r} cannot be read" in found.reason


def test_devices_that_stand_for_a_resource_of_one_pod_of_a_group_are_counted_too():
    """Two workers ask for a GPU each, which devices stand for; their leader asks for none: four devices are two groups."""
    known = Devices(
        slices=(read_slice(resource_slice("a", *FOUR)),),
        classes={"gpu": read_class({"spec": {"extendedResourceName": "example.com/gpu"}})},
    )
    pod = {"containers": [{"name": "c", "resources": {"limits": {"example.com/gpu": "1"}}}]}
    cluster = picture([node("a", None)], (), {"llama": pod}, devices=known)
    [scaled] = cluster
    [(worker, _)] = scaled.template.pods
    leader = PodRequirements((("cpu", 1000), ("pods", 1)))
    group = dataclasses.replace(scaled.template, pods=((leader, 1), (worker, 2)))
    found = availability(cluster, dataclasses.replace(scaled, template=group))
    assert (found.schedulable.value, found.free.value) == (2, 4)


def test_of_a_group_one_pod_of_which_claims_devices_these_are_own():
    claim = template(exactly())
    known = Devices(
        slices=(read_slice(resource_slice("a", *FOUR)),),
        classes={"gpu": read_class({"spec": {"selectors": [{"cel": {"expression": IS_GPU}}]}})},
        templates={("team", "claim"): read_claim_template(claim)},
        allocations=(read_allocation(allocated("d0", pod="mine")),),
    )
    mine = on("mine", "a", CLAIMING, owner=("ReplicaSet", "llama-5d8f"))
    cluster = picture([node("a", None)], [mine], {"llama": CLAIMING}, devices=known)
    [scaled] = cluster
    [(worker, _)] = scaled.template.pods
    leader = PodRequirements((("cpu", 1000), ("pods", 1)))
    group = dataclasses.replace(scaled.template, pods=((leader, 1), (worker, 1)))
    assert availability(cluster, dataclasses.replace(scaled, template=group)).own.value == 1


def test_of_a_claim_only_devices_of_its_class_that_it_takes_are_its_gpus():
    """One GPU, two devices of another class beside it, and a look at all of them."""
    other = {**exactly("any", 2, 'device.driver == "other"'), "name": "o"}
    look = {**exactly("gpu", 1, adminAccess=True), "name": "l"}
    assert had([resource_slice("a", *FOUR)], template(exactly(), other, look)).resource == "1 gpu"


def test_one_device_of_several_that_claims_may_share_makes_more_than_one_of_them_a_bound():
    shared = device("d9", allowMultipleAllocations=True, capacity={"memory": {"value": "80Gi"}})
    two = template(exactly(count=2))
    assert had([resource_slice("a", *FOUR)], two).schedulable == BoundedCount(2, reason="insufficient gpu on 1 node")
    found = had([resource_slice("a", *FOUR, shared)], two).schedulable
    assert (found.value, found.bound) == (2, "upper")
