"""scaler.gpu beside the real kube-scheduler of Kubernetes 1.35.4, on random small clusters by seed.

Run by hand: `python -m pytest tests/oracles/test_scheduler.py`. Needs Go; etcd, API server and scheduler are those of the
laboratory (tests/cluster; built once, some minutes). No kubelet runs: nodes and pods are plain objects.

A case is a world of its own: a few nodes with a label that nothing outside of it has, pods on them, and a workload. All
worlds of a seed share one cluster. We say how many more of the workload's pods fit; then a few more than that are made,
and the scheduler must bind just as many as we said.
"""

import concurrent.futures
import dataclasses
import json
import random

import pytest
from cluster import parts
from cluster.lab import Lab

from scaler.gpu import availability
from scaler.hardware import Hardware
from scaler.sources.kube import PodTable, key_of
from scaler.sources.machines import read_node
from scaler.sources.objects import Reader, Tables, assemble

SEEDS = range(6)
WORLDS = 60  # cases of one seed
MORE = 3  # pods that are asked for beyond what we say fits
GPU = "nvidia.com/gpu"
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
        scheduler = parts.scheduler(self.site)
        self.run(parts.etcd(self.site))
        self.run(dataclasses.replace(server, command=tuple(command)))
        quick = (*scheduler.command, "--kube-api-qps=1000", "--kube-api-burst=1000")
        self.run(dataclasses.replace(scheduler, command=quick))


@pytest.fixture(scope="module")
def lab():
    with Scheduler(say=lambda line: None) as running:
        yield running


@pytest.fixture
def cluster(lab):
    """An empty cluster."""
    yield Bench(lab)
    pods = "/api/v1/namespaces/default/pods"
    for pod in lab.api.items("Pod", "default"):
        if pod["metadata"].get("finalizers"):
            lab.api.patch("Pod", pod["metadata"]["name"], {"metadata": {"finalizers": None}})
    lab.api.request("DELETE", pods, {"gracePeriodSeconds": 0, "propagationPolicy": "Background"})
    lab.api.request("DELETE", "/api/v1/nodes", {})
    lab.wait(lambda: not lab.api.items("Pod", "default"), 60, "it is empty")


class Bench:
    """Objects in, objects out; many at a time."""

    def __init__(self, lab):
        self.lab, self.pool = lab, concurrent.futures.ThreadPoolExecutor(8)

    def create(self, plural, objects):
        path = f"/api/v1/{plural}" if plural == "nodes" else f"/api/v1/namespaces/default/{plural}"
        list(self.pool.map(lambda item: self.lab.api.request("POST", path, item), objects))

    def settle(self, pods):
        """Bring pods into the state that they are meant to have; the API server takes no status from a creator."""

        def one(pod):
            name, status = pod["metadata"]["name"], pod.get("status")
            if status:
                self.lab.api.patch("Pod", name, {"status": status}, subresource="status")
            if pod["metadata"].get("finalizers"):
                self.lab.api.delete("Pod", name)

        list(self.pool.map(one, pods))

    def nodes(self):
        return self.lab.api.items("Node")

    def pods(self):
        return self.lab.api.items("Pod", "default")

    def tried(self, names):
        """The pods of these names, once the scheduler has done with each of them."""

        def done():
            pods = [pod for pod in self.pods() if pod["metadata"]["name"] in names]
            return pods if all(pod["spec"].get("nodeName") or unschedulable(pod) for pod in pods) else None

        return self.lab.wait(done, 120, "every pod has been tried")


def unschedulable(pod):
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(one["type"] == "PodScheduled" and one["status"] == "False" for one in conditions)


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


def some(chance, choices, most=2):
    return chance.sample(choices, chance.randint(0, min(most, len(choices))))


def node(chance, world, number):
    room = {
        "cpu": chance.choice(["2", "3500m", "8", "31.5", "64"]),
        "memory": chance.choice(["4Gi", "16Gi", "64G", "263840052Ki", "1e11"]),
        "ephemeral-storage": chance.choice(["10Gi", "100Gi"]),
        "pods": chance.choice(["2", "5", "110", "110"]),
    }
    if chance.random() < 0.8:
        room[GPU] = chance.choice(["0", "1", "2", "4", "8", "8"])
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
    limits = {gpu: str(chance.choice([1, 1, 2, 4]))} if chance.random() < 0.75 else {}
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
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
        spec["affinity"] = {"nodeAffinity": required}
    if chance.random() < 0.6:
        spec["tolerations"] = some(chance, TOLERATIONS, 3)
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


def pod(name, spec, **more):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": spec,
        **more,
    }


def resident(chance, name, on):
    """A pod that is on a node already, in any state; the scheduler had no say in it, so a node may hold too much."""
    made = pod(name, {**pod_spec(chance), "nodeName": on})
    state = chance.random()
    if state < 0.15:
        made["status"] = {"phase": chance.choice(["Succeeded", "Failed"])}
    elif state < 0.25:
        made["metadata"]["finalizers"] = ["test/stays"]
    elif state < 0.5:
        made["status"] = {"phase": "Running"}
    return made


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
    nodes = [node(chance, name, n) for n in range(chance.randint(1, 6))]
    on = [chance.choice(nodes)["metadata"]["name"] for _ in range(chance.randint(0, 6))]
    residents = [resident(chance, f"{name}-r{n}", where) for n, where in enumerate(on)]
    outside = []
    if chance.random() < 0.3:
        huge = placed(chance, {"containers": [{"name": "c", "image": "c", "resources": {"limits": {GPU: "64"}}}]}, name)
        outside.append(pod(f"{name}-huge", huge))
    if chance.random() < 0.3:
        outside.append(pod(f"{name}-gated", {**pod_spec(chance), "schedulingGates": [{"name": "test/queue"}]}))
    return World(name, nodes, residents, outside, placed(chance, pod_spec(chance), name))


# ---- both sides -----------------------------------------------------------------------------------------------------------


def picture(nodes, pods, specs):
    """The Cluster as sources/kube.py makes it of these objects, with a scaled object for each spec of a pod."""
    reader, table = Reader(), PodTable()
    for raw in pods:
        table.put(key_of(raw), reader.pod(raw))
    known = [read_node(raw) for raw in nodes]
    hardware = Hardware({node.name: node for node in known}, table.loads, tuple(table.waiting.values()))
    templates = {
        ("default", name): reader.replicated({"spec": {"template": {"spec": spec}}}) for name, spec in specs.items()
    }
    records = [reader.scaled(scaled_object(name)) for name in specs]
    groups = {owner: group.values() for owner, group in table.groups.items()}
    return assemble(Tables(records, frozenset(), None, {"Deployment": templates}, None, groups, {}, hardware))


def scaled_object(name):
    trigger = {"type": "external", "metadata": {"scalerAddress": "llm-scaler:6000"}}
    meta = {"namespace": "default", "name": name, "uid": name}
    return {"kind": "ScaledObject", "metadata": meta, "spec": {"scaleTargetRef": {"name": name}, "triggers": [trigger]}}


@pytest.mark.parametrize("seed", SEEDS)
def test_the_scheduler_binds_as_many_as_we_say(cluster, seed):
    worlds = {world.name: world for world in (make(seed, number) for number in range(WORLDS))}
    cluster.create("nodes", [item for world in worlds.values() for item in world.nodes])
    residents = [item for world in worlds.values() for item in world.residents]
    cluster.create("pods", residents)
    cluster.settle(residents)
    outside = [item for world in worlds.values() for item in world.outside]
    cluster.create("pods", outside)
    cluster.tried({item["metadata"]["name"] for item in outside})
    seen = picture(cluster.nodes(), cluster.pods(), {name: world.spec for name, world in worlds.items()})
    ours = {scaled.name: availability(seen, scaled).schedulable for scaled in seen}
    asked = [
        pod(f"{name}-own-{number}", world.spec)
        for name, world in worlds.items()
        for number in range(ours[name].value + MORE)
    ]
    cluster.create("pods", asked)
    bound = dict.fromkeys(worlds, 0)
    for one in cluster.tried({item["metadata"]["name"] for item in asked}):
        bound[one["metadata"]["name"].partition("-own-")[0]] += bool(one["spec"].get("nodeName"))
    different = {
        name: f"we say {ours[name]}, the scheduler bound {bound[name]}: {json.dumps(dataclasses.asdict(world))}"
        for name, world in worlds.items()
        if ours[name].value != bound[name] or ours[name].bound != "exact"
    }
    print("STATS", sum(bound.values()), sorted(bound.values()))
    assert not different, "\n".join(different.values())
    assert sum(1 for count in bound.values() if count) > WORLDS / 4
