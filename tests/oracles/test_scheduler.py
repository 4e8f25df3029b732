"""scaler.cluster.availability beside the real kube-scheduler of Kubernetes 1.37.2, on random small clusters by seed.

Run by `make test-oracles`. Needs Go; etcd, API server and scheduler are those of the
laboratory (tests/laboratory; built once, some minutes). No kubelet runs: nodes and pods are plain objects.

A case is a world of its own: a few nodes with a label that nothing outside of it has, pods on them, and a workload. All
worlds of a seed share one cluster. We say how many more of the workload's pods fit; then a few more than that are made,
and the scheduler must bind just as many as we said.

With RECORD=1 some of the worlds are written to worlds.json, for the ordinary tests.
"""

import collections
import concurrent.futures
import dataclasses
import json
import os
import random
from pathlib import Path

import pytest
from laboratory import parts
from laboratory.lab import Lab
from support.cluster import GPU, picture

from scaler.cluster.availability import availability
from scaler.cluster.dra import SAME
from scaler.model.nodes import DeviceClass, Devices
from scaler.sources.kubernetes.read_dra import read_allocation, read_claim_template, read_slice

SPACE = "team"
SEEDS = range(8)
WORLDS = 60  # cases of one seed
MORE = 3  # pods that are asked for beyond what we say fits
SLICE = "nvidia.com/mig-1g.10gb"

pytestmark = pytest.mark.timeout(900)


class Scheduler(Lab):
    """As much of the laboratory as it takes to schedule, with nothing that changes what was written."""

    def _start(self):
        server = parts.apiserver(self.site)
        without = (
            "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition,RuntimeClass,DefaultTolerationSeconds"
        )
        command = [without if word.startswith("--disable-admission") else word for word in server.command]
        command.append("--enable-admission-plugins=ExtendedResourceToleration")  # as EKS and GKE have it
        scheduler = parts.scheduler(self.site)
        self.run(parts.etcd(self.site))
        self.run(dataclasses.replace(server, command=tuple(command)))
        quick = (*scheduler.command, "--kube-api-qps=1000", "--kube-api-burst=1000")
        self.run(dataclasses.replace(scheduler, command=quick))
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}})


@pytest.fixture(scope="module")
def lab():
    with Scheduler(say=lambda line: None) as running:
        yield running


@pytest.fixture
def cluster(lab):
    """An empty cluster."""
    yield Bench(lab)
    pods = f"/api/v1/namespaces/{SPACE}/pods"
    for pod in lab.api.items("Pod", SPACE):
        if pod["metadata"].get("finalizers"):
            lab.api.patch("Pod", pod["metadata"]["name"], {"metadata": {"finalizers": None}}, SPACE)
    lab.api.request("DELETE", pods, {"gracePeriodSeconds": 0, "propagationPolicy": "Background"})
    lab.api.request("DELETE", "/api/v1/nodes", {})
    lab.wait(lambda: not lab.api.items("Pod", SPACE), 60, "it is empty")


class Bench:
    """Objects in, objects out; many at a time."""

    def __init__(self, lab):
        self.lab, self.pool = lab, concurrent.futures.ThreadPoolExecutor(8)

    def create(self, plural, objects):
        path = f"/api/v1/{plural}" if plural == "nodes" else f"/api/v1/namespaces/{SPACE}/{plural}"
        list(self.pool.map(lambda item: self.lab.api.request("POST", path, item), objects))

    def settle(self, pods):
        """Bring pods into the state that they are meant to have; the API server takes no status from a creator."""

        def one(pod):
            name, status = pod["metadata"]["name"], pod.get("status")
            if status:
                self.lab.api.patch("Pod", name, {"status": status}, SPACE, "status")
            if pod["metadata"].get("finalizers"):
                self.lab.api.delete("Pod", name, SPACE)

        list(self.pool.map(one, pods))

    def nodes(self):
        return self.lab.api.items("Node")

    def pods(self):
        return self.lab.api.items("Pod", SPACE)

    def tried(self, names):
        """The pods of these names, once the scheduler has done with each of them."""

        def done():
            pods = [pod for pod in self.pods() if pod["metadata"]["name"] in names]
            return pods if all(pod["spec"].get("nodeName") or unschedulable(pod) for pod in pods) else None

        return self.lab.wait(done, 120, "every pod has been tried")


def unschedulable(pod):
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(one["type"] == "PodScheduled" and one["status"] == "False" for one in conditions)


def certainty(count):
    """How far a count may be believed, by us who know that admission adds tolerations here, which cannot be read."""
    return "exact" if count.bound == "upper" and "pass its taint is assumed" in count.reason else count.bound


# ---- a world -------------------------------------------------------------------------------------------------------------

PRODUCTS = ("h100", "l4", "a100")
TAINTS = (
    {"key": GPU, "value": "present", "effect": "NoSchedule"},
    {"key": "team", "value": "red", "effect": "NoSchedule"},
    {"key": "spot", "effect": "NoExecute"},
    {"key": "soft", "value": "x", "effect": "PreferNoSchedule"},
    {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"},
)
TOLERATIONS = (
    {"key": GPU, "operator": "Exists", "effect": "NoSchedule"},
    {"key": GPU, "operator": "Equal", "value": "present"},
    {"key": "team", "operator": "Equal", "value": "red", "effect": "NoSchedule"},
    {"key": "team", "operator": "Equal", "value": "blue"},
    {"key": "spot", "operator": "Exists", "effect": "NoSchedule"},
    {"key": "spot", "operator": "Exists"},
    {"operator": "Exists"},
    {"operator": "Exists", "effect": "NoExecute"},
)


REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def selectors(world):
    """Of pods: those of the workload, others on its nodes, both, or neither."""
    both = [world, f"{world}-resident"]
    return [
        {"matchLabels": {"app": world}},
        {"matchLabels": {"app": both[1]}},
        {"matchExpressions": [{"key": "app", "operator": "In", "values": both}]},
        {"matchExpressions": [{"key": "app", "operator": "In", "values": both}, {"key": "x", "operator": "Exists"}]},
    ]


def some(chance, choices, most=2):
    return chance.sample(choices, chance.randint(0, min(most, len(choices))))


def node(chance, world, number):
    room = {
        "cpu": chance.choice(["2", "3500m", "8", "31.5", "64"]),
        "memory": chance.choice(["4Gi", "16Gi", "64G", "263840052Ki", "1e11"]),
        "ephemeral-storage": chance.choice(["10Gi", "100Gi"]),
        "pods": chance.choice(["2", "5", "110", "110"]),
    }
    if chance.random() < 0.9:
        room[GPU] = chance.choice(["0", "1", "4", "8", "8", "16"])
    if chance.random() < 0.2:
        room[SLICE] = str(chance.randint(1, 7))
    name = f"{world}-{number}"
    labels = {"world": world, "kubernetes.io/hostname": name, "gpu-memory": chance.choice(["24", "80", "141", "big"])}
    if chance.random() < 0.8:
        labels["product"] = chance.choice(PRODUCTS)
    spec = {"taints": some(chance, TAINTS, 1)} if chance.random() < 0.5 else {}
    if chance.random() < 0.1:
        spec["unschedulable"] = True
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
        "status": {"capacity": room, "allocatable": room, "conditions": [{"type": "Ready", "status": "True"}]},
    }


def resources(chance, gpu):
    requests = {}
    if chance.random() < 0.8:
        requests["cpu"] = chance.choice(["100m", "0.5", "1", "1500m", "3"])
    if chance.random() < 0.7:
        requests["memory"] = chance.choice(["200Mi", "1Gi", "1500M", "5Gi", "1000000001"])
    if chance.random() < 0.2:
        requests["ephemeral-storage"] = chance.choice(["1Gi", "7Gi"])
    limits = {gpu: str(chance.choice([1, 1, 1, 2, 4]))} if chance.random() < 0.75 else {}
    if chance.random() < 0.3:
        limits |= {name: value for name, value in requests.items() if chance.random() < 0.5}
        requests = {name: value for name, value in requests.items() if name not in limits}
    return {"requests": requests, "limits": limits}


def container(chance, name, gpu, port=0):
    made = {"name": name, "image": "engine", "resources": resources(chance, gpu)}
    if port and chance.random() < 0.15:
        made["ports"] = [{"containerPort": 8000, "hostPort": port}]
        if chance.random() < 0.3:
            made["ports"][0]["hostIP"] = chance.choice(["127.0.0.1", "0.0.0.0", "10.0.0.1"])
    return made


def pod_spec(chance):
    """Containers of all kinds, as somebody writes them."""
    gpu = SLICE if chance.random() < 0.15 else GPU
    spec = {"containers": [container(chance, f"c{n}", gpu, port=8000 + n) for n in range(chance.choice([1, 1, 1, 2]))]}
    if chance.random() < 0.35:
        spec["initContainers"] = []
        for number in range(chance.randint(1, 3)):
            init = container(chance, f"i{number}", gpu)
            if chance.random() < 0.5:
                init["restartPolicy"] = "Always"
            spec["initContainers"].append(init)
    if chance.random() < 0.15:
        spec["overhead"] = {"cpu": "250m", "memory": "120Mi"}
    if chance.random() < 0.1:
        spec["resources"] = {"requests": {"cpu": "20", "memory": "40Gi"}}
    return spec


def placed(chance, spec, world):
    """The same, with wishes about its node."""
    spec["nodeSelector"] = {"world": world}
    if chance.random() < 0.25:
        spec["nodeSelector"]["product"] = chance.choice(PRODUCTS)
    if chance.random() < 0.35:
        terms = [
            {"matchExpressions": [expression(chance) for _ in range(chance.randint(1, 2))]}
            for _ in range(chance.randint(1, 2))
        ]
        if chance.random() < 0.3:
            terms.append({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [f"{world}-0"]}]})
        spec["affinity"] = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": terms}}}
    if chance.random() < 0.8:
        spec["tolerations"] = some(chance, TOLERATIONS, 4)
    if chance.random() < 0.2:
        term = {"labelSelector": chance.choice(selectors(world)), "topologyKey": "kubernetes.io/hostname"}
        spec.setdefault("affinity", {})["podAntiAffinity"] = {REQUIRED: [term]}
    return spec


def expression(chance):
    return chance.choice(
        [
            {"key": "product", "operator": "In", "values": chance.sample(PRODUCTS, 2)},
            {"key": "product", "operator": "NotIn", "values": chance.sample(PRODUCTS, 1)},
            {"key": "product", "operator": "Exists"},
            {"key": "product", "operator": "DoesNotExist"},
            {"key": "gpu-memory", "operator": "Gt", "values": [chance.choice(["24", "79"])]},
            {"key": "gpu-memory", "operator": "Lt", "values": ["100"]},
        ]
    )


def pod(name, spec, app):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": app}}, "spec": spec}


def own(world, number):
    """A pod as the Deployment controller makes it."""
    made = pod(f"{world.name}-own-{number}", world.spec, world.name)
    made["metadata"]["labels"]["pod-template-hash"] = "5d8f"
    owner = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": f"{world.name}-5d8f",
        "uid": "u",
        "controller": True,
    }
    made["metadata"]["ownerReferences"] = [owner]
    return made


def resident(chance, name, on):
    """A pod that is on a node already, in any state; the scheduler had no say in it, so a node may hold too much."""
    app = name.rpartition("-")[0] + chance.choice(["", "-resident", "-other", "-other"])
    made = pod(name, {**pod_spec(chance), "nodeName": on}, app)
    state = chance.random()
    if state < 0.15:
        made["status"] = {"phase": chance.choice(["Succeeded", "Failed"])}
    elif state < 0.25:
        made["metadata"]["finalizers"] = ["test/stays"]
    elif state < 0.5:
        made["status"] = {"phase": "Running"}
    return made


def keep_apart(world, seed):
    """Let some of its residents share no host or zone with pods of its workload, or with others."""
    chance = random.Random(f"apart/{seed}/{world.name}")
    for index, machine in enumerate(world.nodes):
        if chance.random() < 0.8:
            machine["metadata"]["labels"]["zone"] = f"{world.name}-{index % 3}"
    for one in world.residents:
        if chance.random() < 0.15:
            term = {
                "labelSelector": chance.choice(selectors(world.name)),
                "topologyKey": chance.choice(["kubernetes.io/hostname", "zone", "zone"]),
                **chance.choice([{}, {}, {"namespaces": [SPACE]}, {"namespaces": ["red"]}, {"namespaceSelector": {}}]),
            }
            one["spec"]["affinity"] = {"podAntiAffinity": {REQUIRED: [term]}}
    return world


@dataclasses.dataclass
class World:
    name: str
    nodes: list
    residents: list
    outside: list  # others' pods that no node takes, and that nobody lets in
    spec: dict  # the workload's pod


def make(seed, number):
    chance = random.Random(f"{seed}/{number}")
    name = f"w{seed}-{number}"
    nodes = [node(chance, name, n) for n in range(chance.randint(1, 8))]
    on = [chance.choice(nodes)["metadata"]["name"] for _ in range(chance.randint(0, 6))]
    residents = [resident(chance, f"{name}-r{n}", where) for n, where in enumerate(on)]
    outside = []
    if chance.random() < 0.3:
        huge = placed(chance, {"containers": [{"name": "c", "image": "c", "resources": {"limits": {GPU: "64"}}}]}, name)
        outside.append(pod(f"{name}-huge", huge, "huge"))
    if chance.random() < 0.3:
        outside.append(pod(f"{name}-gated", {**pod_spec(chance), "schedulingGates": [{"name": "test/queue"}]}, "gated"))
    return keep_apart(World(name, nodes, residents, outside, placed(chance, pod_spec(chance), name)), seed)


# ---- both sides -----------------------------------------------------------------------------------------------------------


def say(seen):
    """What we say of every world."""
    return {scaled.name: availability(seen, scaled) for scaled in seen}


def furnish(cluster, worlds):
    """Put everything into the cluster but the workloads, and say what there is then."""
    cluster.create("nodes", [item for world in worlds for item in world.nodes])
    residents = [item for world in worlds for item in world.residents]
    cluster.create("pods", residents)
    cluster.settle(residents)
    outside = [item for world in worlds for item in world.outside]
    cluster.create("pods", outside)
    cluster.tried({item["metadata"]["name"] for item in outside})
    return see(cluster, worlds)


def see(cluster, worlds):
    return say(picture(cluster.nodes(), cluster.pods(), {world.name: world.spec for world in worlds}))


def bind(cluster, worlds, pods):
    """Make so many pods of each workload, by its name; gives how many of them the scheduler binds."""
    asked = [own(world, number) for world in worlds for number in range(pods[world.name])]
    cluster.create("pods", asked)
    bound = {world.name: 0 for world in worlds}
    for one in cluster.tried({item["metadata"]["name"] for item in asked}):
        bound[one["metadata"]["labels"]["app"]] += bool(one["spec"].get("nodeName"))
    return bound


def told(world, ours, theirs):
    return f"{ours}, and the scheduler bound {theirs}: {json.dumps(dataclasses.asdict(world))[:4000]}"


@pytest.mark.parametrize("seed", SEEDS)
def test_the_scheduler_binds_as_many_as_we_say(cluster, seed):
    worlds = [make(seed, number) for number in range(WORLDS)]
    ours = furnish(cluster, worlds)
    bound = bind(cluster, worlds, {name: one.schedulable.value + MORE for name, one in ours.items()})
    for world in worlds:
        count = ours[world.name].schedulable
        assert (count.value, certainty(count)) == (bound[world.name], "exact"), told(world, count, bound[world.name])
    if os.environ.get("RECORD") and not seed:
        record(worlds, bound)
    for name, after in see(cluster, worlds).items():
        assert after.schedulable.value == 0, f"{name} still waits for {MORE} places: {after.schedulable}"
        per_pod = int(after.resource.split()[0]) if after.resource else None
        assert after.own.value == (None if per_pod is None else bound[name] * per_pod)
    assert sum(1 for count in bound.values() if count) > WORLDS / 3, "else it says little"


def record(worlds, bound):
    """Keep worlds that are what was written of them: with no pod that the API server or the scheduler had a part in."""
    plain = [
        one for one in worlds if not one.outside and not any("finalizers" in pod["metadata"] for pod in one.residents)
    ]
    telling = [one for one in plain if one.residents and bound[one.name]][:12]
    kept = [{**dataclasses.asdict(one), "bound": bound[one.name]} for one in telling]
    Path(__file__).with_name("worlds.json").write_text("[\n" + ",\n".join(map(json.dumps, kept)) + "\n]\n")


BOUNDED = (
    lambda world: {"affinity": {"podAffinity": {REQUIRED: [among(world, "zone")]}}},
    lambda world: {"affinity": {"podAntiAffinity": {REQUIRED: [among(world, "zone")]}}},
    lambda world: {"topologySpreadConstraints": [spread(world, "zone"), spread(world, "kubernetes.io/hostname")]},
)


def among(world, key):
    return {"labelSelector": {"matchLabels": {"app": world}}, "topologyKey": key}


def spread(world, key):
    return {**among(world, key), "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}


@pytest.mark.parametrize("seed", SEEDS[:2])
def test_what_is_only_bounded_is_never_more_than_we_say(cluster, seed):
    worlds = []
    for number in range(WORLDS):
        world = make(seed, number)
        world.spec.pop("affinity", None)
        kind = number % (len(BOUNDED) + 1)
        if kind < len(BOUNDED):
            world.spec |= BOUNDED[kind](world.name)
        else:  # somebody shares no node with it, in a namespace that cannot be told
            shy = {"containers": [{"name": "c", "image": "c"}], "nodeName": f"{world.name}-0"}
            where = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": SPACE}}}
            term = {**among(world.name, "kubernetes.io/hostname"), **where}
            shy["affinity"] = {"podAntiAffinity": {REQUIRED: [term]}}
            world.residents.append(pod(f"{world.name}-shy", shy, "shy"))
        for index, machine in enumerate(world.nodes):
            machine["metadata"]["labels"]["zone"] = f"{world.name}-{index % 2}"
        worlds.append(world)
    ours = furnish(cluster, worlds)
    bound = bind(cluster, worlds, {name: one.schedulable.value + MORE for name, one in ours.items()})
    for world in worlds:
        count = ours[world.name].schedulable
        assert count.bound == "upper"
        assert bound[world.name] <= count.value, told(world, count, bound[world.name])
    assert any(bound[name] < one.schedulable.value for name, one in ours.items())


@pytest.mark.parametrize("seed", SEEDS[:2])
def test_what_a_limit_range_lets_pods_ask_for_is_counted_before_there_are_any(cluster, seed):
    limits = [{"type": "Container", "defaultRequest": {"cpu": "700m", "memory": "3Gi"}}]
    ranges = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "defaults", "namespace": SPACE}}
    cluster.lab.apply({**ranges, "spec": {"limits": limits}})
    try:
        worlds = [make(seed, number) for number in range(WORLDS)]
        furnish(cluster, worlds)
        specs = {world.name: world.spec for world in worlds}
        plain = say(picture(cluster.nodes(), cluster.pods(), specs))
        known = cluster.lab.api.items("LimitRange", SPACE)
        ours = say(picture(cluster.nodes(), cluster.pods(), specs, ranges=known))
        bound = bind(cluster, worlds, {name: one.schedulable.value + MORE for name, one in ours.items()})
    finally:
        cluster.lab.api.delete("LimitRange", "defaults", SPACE)
    for world in worlds:
        count = ours[world.name].schedulable
        assert (count.value, certainty(count)) == (bound[world.name], "exact"), told(world, count, bound[world.name])
    assert any(plain[name].schedulable.value > count for name, count in bound.items()), "else it says little"


def resized(chance, one):
    """A running pod whose resources somebody changed: done, on the way, put off by its kubelet, or more than it can give."""

    def other(asked):
        known = {name: chance.choice(["100m", "1", "4"]) for name in asked if name == "cpu"}
        return known | {name: chance.choice(["100Mi", "2Gi", "6Gi"]) for name in asked if name == "memory"}

    def asked(resources):
        return [*resources.get("requests", {}), *resources.get("limits", {})]

    def state(container):
        told = {"name": container["name"], "image": "x", "imageID": "", "ready": True, "restartCount": 0}
        known = asked(container["resources"])
        for key in ("resources", "allocatedResources"):
            if chance.random() < 0.7 and other(known):
                told[key] = {"requests": other(known)} if key == "resources" else other(known)
        return told

    spec = one["spec"]
    status = {"phase": "Running", "containerStatuses": [state(each) for each in spec["containers"]]}
    if spec.get("initContainers"):
        status["initContainerStatuses"] = [state(each) for each in spec["initContainers"]]
    if "resources" in spec and chance.random() < 0.7:
        status["resources"] = {"requests": other(asked(spec["resources"]))}
        status["allocatedResources"] = other(asked(spec["resources"]))
    if chance.random() < 0.4:
        reason = chance.choice(["Deferred", "Infeasible"])
        status["conditions"] = [{"type": "PodResizePending", "status": "True", "reason": reason}]
    return status


@pytest.mark.parametrize("seed", SEEDS[:2])
def test_pods_that_are_resized_in_place_hold_what_the_scheduler_says(cluster, seed):
    chance = random.Random(f"resized/{seed}")
    worlds = [make(seed, number) for number in range(WORLDS)]
    for one in (item for world in worlds for item in world.residents):
        plain = one.get("status", {}).get("phase") != "Succeeded" and one.get("status", {}).get("phase") != "Failed"
        if plain and "finalizers" not in one["metadata"]:
            one["status"] = resized(chance, one)
    ours = furnish(cluster, worlds)
    bound = bind(cluster, worlds, {name: one.schedulable.value + MORE for name, one in ours.items()})
    for world in worlds:
        count = ours[world.name].schedulable
        assert (count.value, certainty(count)) == (bound[world.name], "exact"), told(world, count, bound[world.name])


CLASSES = {"low": -5, "serving": 1000, "vip": 2000}


@pytest.mark.parametrize("seed", SEEDS[:2])
def test_where_pods_of_lower_priority_give_way_the_scheduler_binds_the_most_we_say(cluster, seed):
    chance = random.Random(f"priorities/{seed}")
    for name, value in CLASSES.items():
        cluster.lab.apply(
            {
                "apiVersion": "scheduling.k8s.io/v1",
                "kind": "PriorityClass",
                "metadata": {"name": name},
                "value": value,
            }
        )
    worlds = [make(seed, number) for number in range(WORLDS)]
    for world in worlds:
        world.spec["priorityClassName"] = "serving"
        for item in world.residents:
            item["metadata"].pop("finalizers", None)
            item["spec"]["terminationGracePeriodSeconds"] = 0  # no kubelet ends them
            item["spec"] |= chance.choice([{}, *({"priorityClassName": name} for name in CLASSES)])
    furnish(cluster, worlds)
    classes = cluster.lab.api.items("PriorityClass")
    specs = {world.name: world.spec for world in worlds}
    ours = say(picture(cluster.nodes(), cluster.pods(), specs, priorities=classes))
    pods = [own(world, number) for world in worlds for number in range(ours[world.name].schedulable.most + MORE)]
    cluster.create("pods", pods)
    names = {one["metadata"]["name"] for one in pods}

    looks = []

    def settled():
        had = (one for one in cluster.tried(names) if one["spec"].get("nodeName") or nominated(one))
        looks.append(collections.Counter(one["metadata"]["labels"]["app"] for one in had))
        return looks[-5:] == [looks[-1]] * 5

    cluster.lab.wait(settled, 120, "nobody gives way any more")
    for world in worlds:
        count, theirs = ours[world.name].schedulable, looks[-1][world.name]
        assert count.value <= theirs <= count.most, told(world, count, theirs)
        assert (count.bound in {"lower", "estimate"}) == (count.most > count.value)
    fewer = [name for name, one in ours.items() if looks[-1][name] < one.schedulable.most]
    assert len(fewer) <= WORLDS / 20, "only where pods of several nodes would have to give way at once"
    lower = sum(one.schedulable.bound in {"lower", "estimate"} for one in ours.values())
    assert lower > WORLDS / 6, "else it says little"


def nominated(one):
    """Whether others have given way to a pod; the scheduler may overlook for five minutes that they are gone."""
    return one["status"].get("nominatedNodeName")


# ---- devices that pods claim ----------------------------------------------------------------------------------------------

DRIVER = "gpu.example.com"
DRA = "/apis/resource.k8s.io/v1"
SELECTORS = (
    f'device.driver == "{DRIVER}"',
    f"device.driver == '{DRIVER}' && device.attributes['{DRIVER}'].model == 'h100'",
    f'device.attributes["{DRIVER}"].model != "h100"',
    f'device.attributes["{DRIVER}"].memory >= 80',
    f'device.attributes["{DRIVER}"].ecc',
)


def slice_of(chance, name):
    devices = []
    for number in range(chance.randint(0, 8)):
        model, memory = chance.choice(["h100", "l4"]), chance.choice([24, 80])
        attributes = {"model": {"string": model}, "memory": {"int": memory}, "ecc": {"bool": chance.random() < 0.5}}
        devices.append({"name": f"d{number}", "attributes": attributes})
    of = {"name": name, "generation": 1, "resourceSliceCount": 1}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceSlice",
        "metadata": {"name": name},
        "spec": {"driver": DRIVER, "nodeName": name, "pool": of, "devices": devices},
    }


def claim(chance, kind):
    selectors = [{"cel": {"expression": one}} for one in some(chance, SELECTORS, 2)]
    exactly = {"deviceClassName": f"class-{chance.randrange(len(SELECTORS))}", "selectors": selectors}
    exactly |= chance.choice(
        [{"allocationMode": "All"}] + [{"allocationMode": "ExactCount", "count": n} for n in (1, 1, 2, 3)]
    )
    return {"devices": {"requests": [{"name": "gpu", "exactly": exactly}]}}


def claimed(name, spec):
    meta = {"name": name, "namespace": SPACE}
    return {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": meta, "spec": spec}


def given(one, devices):
    """The same claim once it has been given these devices of its node."""
    results = [{"request": "gpu", "driver": DRIVER, "pool": of, "device": device} for of, device in devices]
    return {**one, "status": {"allocation": {"devices": {"results": results}}}}


@pytest.fixture
def with_devices(cluster):
    yield cluster
    for plural in ("resourceslices", "deviceclasses"):
        cluster.lab.api.request("DELETE", f"{DRA}/{plural}", {})
    for one in cluster.lab.api.items("ResourceClaim", SPACE):
        name = one["metadata"]["name"]
        cluster.lab.api.patch("ResourceClaim", name, {"metadata": {"finalizers": None}}, SPACE)
        cluster.lab.api.delete("ResourceClaim", name, SPACE)


@pytest.mark.parametrize("seed", SEEDS[:2])
def test_the_scheduler_gives_as_many_devices_as_we_say(with_devices, seed):
    cluster, api = with_devices, with_devices.lab.api
    chance = random.Random(f"devices/{seed}")
    for number, selector in enumerate(SELECTORS):
        meta = {"name": f"class-{number}"}
        written = {"selectors": [{"cel": {"expression": selector}}]}
        api.apply({"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": meta, "spec": written})
    worlds = [make(seed, number) for number in range(WORLDS)]
    slices = [slice_of(chance, machine["metadata"]["name"]) for world in worlds for machine in world.nodes]
    list(cluster.pool.map(lambda one: api.request("POST", f"{DRA}/resourceslices", one), slices))
    claims = {world.name: claim(chance, world) for world in worlds}
    for one in slices:
        name, there = one["metadata"]["name"], [device["name"] for device in one["spec"]["devices"]]
        taken = [(name, device) for device in there if chance.random() < 0.3]
        if taken:
            made = claimed(f"{name}-taken", claims[worlds[0].name])
            api.request("POST", f"{DRA}/namespaces/{SPACE}/resourceclaims", made)
            api.patch("ResourceClaim", f"{name}-taken", {"status": given(made, taken)["status"]}, SPACE, "status")
    for world in worlds:
        world.spec["resourceClaims"] = [{"name": "gpu", "resourceClaimTemplateName": world.name}]
        world.spec["nodeSelector"] = {"world": world.name}
        world.spec.pop("affinity", None)
    furnish(cluster, worlds)
    known = Devices(
        slices=tuple(map(read_slice, api.items("ResourceSlice"))),
        classes={f"class-{number}": DeviceClass((selector,)) for number, selector in enumerate(SELECTORS)},
        templates={(SPACE, name): read_claim_template({"spec": {"spec": spec}}) for name, spec in claims.items()},
        allocations=tuple(filter(None, map(read_allocation, api.items("ResourceClaim", SPACE)))),
    )
    specs = {world.name: world.spec for world in worlds}
    ours = say(picture(cluster.nodes(), cluster.pods(), specs, devices=known))
    bound = claimed_by_pods(cluster, worlds, claims, ours)
    for world in worlds:
        count = ours[world.name].schedulable
        assert (count.value, certainty(count)) == (bound[world.name], "exact"), told(world, count, bound[world.name])
    assert sum(1 for count in bound.values() if count) > WORLDS / 6, "else it says little"


# ---- devices as newer Kubernetes has them ----------------------------------------------------------------------------

DEVICE_TAINTS = ({"key": "sick", "effect": "NoSchedule"}, {"key": "old", "value": "x", "effect": "NoExecute"},
                 {"key": "noted", "effect": "None"})  # fmt: skip


def newer_slices(chance, name):
    """A pool of one node: plain devices, some tainted; devices that claims share; or parts of a GPU with its counters."""
    kind = chance.choice(["plain", "shared", "parts"])
    devices = []
    for number in range(chance.randint(1, 6)):
        one = {"name": f"d{number}", "attributes": {"kind": {"string": kind}}}
        if kind == "plain" and chance.random() < 0.4:
            one["taints"] = [dict(chance.choice(DEVICE_TAINTS))]
        if kind == "shared":
            policy = chance.choice([None, {"default": "10Gi", "validRange": {"min": "10Gi", "max": "40Gi", "step": "10Gi"}},
                                    {"default": "10Gi", "validValues": ["10Gi", "20Gi", "40Gi"]}])  # fmt: skip
            memory = {"value": chance.choice(["40Gi", "80Gi"]), **({"requestPolicy": policy} if policy else {})}
            one |= {"allowMultipleAllocations": True, "capacity": {"memory": memory}}
        if kind == "parts":
            one["consumesCounters"] = [{"counterSet": "gpu", "counters": {"slices": {"value": "2"}}}]
        devices.append(one)
    parts = [devices[::2], devices[1::2]] if kind == "parts" else [devices]
    specs = [{"devices": some} for some in parts if some]
    if kind == "parts":
        specs.append({"sharedCounters": [{"name": "gpu", "counters": {"slices": {"value": "7"}}}]})
    of = {"name": name, "generation": 1, "resourceSliceCount": len(specs)}
    return [
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceSlice",
            "metadata": {"name": f"{name}-{number}"},
            "spec": {"driver": DRIVER, "nodeName": name, "pool": of, **spec},
        }
        for number, spec in enumerate(specs)
    ]


def newer_claim(chance):
    kind = chance.choice(["plain", "shared", "parts"])
    selector = {"cel": {"expression": f"device.attributes['{DRIVER}'].kind == '{kind}'"}}
    exactly = {"deviceClassName": "any", "selectors": [selector]}
    exactly |= {"allocationMode": "ExactCount", "count": chance.choice([1, 1, 2])}
    if kind == "shared" and chance.random() < 0.7:
        exactly["capacity"] = {"requests": {"memory": chance.choice(["5Gi", "15Gi", "20Gi", "35Gi", "60Gi"])}}
    if kind == "plain" and chance.random() < 0.5:
        exactly["tolerations"] = chance.choice(
            [
                [{"operator": "Exists"}],
                [{"key": "sick", "operator": "Exists"}],
                [{"key": "old", "operator": "Equal", "value": "x"}],
            ]
        )
    return {"devices": {"requests": [{"name": "gpu", "exactly": exactly}]}}


@pytest.mark.parametrize("seed", SEEDS[:2])
def test_the_scheduler_gives_tainted_shared_and_partitioned_devices_as_we_say(with_devices, seed):
    cluster, api = with_devices, with_devices.lab.api
    chance = random.Random(f"newer devices/{seed}")
    written = {"selectors": [{"cel": {"expression": f"device.driver == '{DRIVER}'"}}]}
    api.apply({"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": "any"}, "spec": written})
    worlds = [make(seed, number) for number in range(WORLDS)]
    slices = [
        one for world in worlds for machine in world.nodes for one in newer_slices(chance, machine["metadata"]["name"])
    ]
    list(cluster.pool.map(lambda one: api.request("POST", f"{DRA}/resourceslices", one), slices))
    claims = {world.name: newer_claim(chance) for world in worlds}
    for world in worlds:
        world.spec["resourceClaims"] = [{"name": "gpu", "resourceClaimTemplateName": world.name}]
        world.spec["nodeSelector"] = {"world": world.name}
        world.spec.pop("affinity", None)
    furnish(cluster, worlds)
    known = Devices(
        slices=tuple(map(read_slice, api.items("ResourceSlice"))),
        classes={"any": DeviceClass((written["selectors"][0]["cel"]["expression"],))},
        templates={(SPACE, name): read_claim_template({"spec": {"spec": spec}}) for name, spec in claims.items()},
    )
    specs = {world.name: world.spec for world in worlds}
    ours = say(picture(cluster.nodes(), cluster.pods(), specs, devices=known))
    bound = claimed_by_pods(cluster, worlds, claims, ours)
    for world in worlds:
        count = ours[world.name].schedulable
        if SAME in count.reason:
            assert bound[world.name] <= count.value, told(world, count, bound[world.name])
            continue
        assert (count.value, certainty(count)) == (bound[world.name], "exact"), told(world, count, bound[world.name])
    assert sum(1 for count in bound.values() if count) > WORLDS / 10, "else it says little"


def claimed_by_pods(cluster, worlds, claims, ours):
    """Make a few more pods of each world than we say fit, each with a claim of its own; how many of them are bound."""
    api = cluster.lab.api
    asked = []
    for world in worlds:
        for number in range(ours[world.name].schedulable.value + MORE):
            made = json.loads(json.dumps(own(world, number)))
            made["spec"]["resourceClaims"] = [{"name": "gpu", "resourceClaimName": made["metadata"]["name"]}]
            asked.append(made)
    mine = [claimed(one["metadata"]["name"], claims[one["metadata"]["labels"]["app"]]) for one in asked]
    list(cluster.pool.map(lambda one: api.request("POST", f"{DRA}/namespaces/{SPACE}/resourceclaims", one), mine))
    cluster.create("pods", asked)
    bound = {world.name: 0 for world in worlds}
    for one in cluster.tried({item["metadata"]["name"] for item in asked}):
        bound[one["metadata"]["labels"]["app"]] += bool(one["spec"].get("nodeName"))
    return bound
