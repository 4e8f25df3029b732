"""scaler.cluster.karpenter beside Karpenter's own provisioner (1.15.0), on random small worlds by seed.

Run by `make test-oracles`. Needs Go; the oracle is built below `.cache/` (some minutes the first time; the laboratory's
Karpenter is built of the same modules). A world has machine types, NodePools with requirements, limits, taints and
weights, machines that are there, joining or only ordered, pods on them, DaemonSets, and one workload. We say how many
more of its pods fit on machines to come; Karpenter is asked about a few more than that, what it decides is done, and it
is asked again until it buys no more. It knows the whole price list of its cloud, and we only what was seen: so what we
call exact must be what it comes to, and what we call "at most" must hold whichever type the cloud gives.
"""

import collections
import json
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from support.cluster import GPU, picture
from support.kubernetes_objects import NOON, stamp

from scaler.cluster.availability import availability

ROOT = Path(__file__).parents[2]
GO = shutil.which("go") or "/usr/local/go/bin/go"
SEEDS = range(8)
WORLDS = 250  # of one seed
MORE = 4  # pods that are asked for beyond what we say fits
TYPE = "node.kubernetes.io/instance-type"
ZONE = "topology.kubernetes.io/zone"
BY = "karpenter.sh/capacity-type"
POOL = "karpenter.sh/nodepool"
AWS = "karpenter.k8s.aws/instance-"

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def karpenter():
    """Ask the real provisioner: worlds in, counts out."""
    program = ROOT / ".cache" / "oracles" / "karpenter"
    program.parent.mkdir(parents=True, exist_ok=True)
    # As the laboratory's, so that what it has built serves; GOTOOLCHAIN: Karpenter asks for a newer Go than may be here.
    settings = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false", "GOTOOLCHAIN": "auto"}
    folder = Path(__file__).parent / "karpenter"
    subprocess.run([GO, "build", "-o", program, "."], cwd=folder, env=os.environ | settings, check=True)

    def ask(worlds):
        lines = "".join(json.dumps(world) + "\n" for world in worlds)
        run = subprocess.run([program], input=lines, check=False, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr[:2000]
        return [json.loads(line) for line in run.stdout.splitlines()]

    return ask


# ---- a world -------------------------------------------------------------------------------------------------------------

MACHINES = {  # type -> family, GPUs, their name, cores, memory
    "m5.large": ("m5", 0, "", 2, "8Gi"),
    "m5.4xlarge": ("m5", 0, "", 16, "64Gi"),
    "c7i.8xlarge": ("c7i", 0, "", 32, "64Gi"),
    "g5.xlarge": ("g5", 1, "a10g", 4, "16Gi"),
    "g5.12xlarge": ("g5", 4, "a10g", 48, "192Gi"),
    "g6.48xlarge": ("g6", 8, "l4", 192, "768Gi"),
    "p5.48xlarge": ("p5", 8, "h100", 192, "2048Gi"),
}
ZONES = ("a", "b")
KINDS = ("on-demand", "spot")
TAINTS = (
    {"key": GPU, "value": "present", "effect": "NoSchedule"},
    {"key": "team", "value": "red", "effect": "NoSchedule"},
    {"key": "soft", "value": "x", "effect": "PreferNoSchedule"},
)
TOLERATIONS = (
    {"key": GPU, "operator": "Exists"},
    {"key": "team", "operator": "Equal", "value": "red"},
    {"key": "team", "operator": "Equal", "value": "blue"},
    {"operator": "Exists"},
)


def some(chance, choices, least=0, most=2):
    return chance.sample(choices, chance.randint(least, min(most, len(choices))))


def machine_type(chance, name, sharing):
    family, gpus, product, cores, memory = MACHINES[name]
    room = {"cpu": str(cores), "memory": memory, "pods": "110", "ephemeral-storage": "100Gi"}
    labels = {f"{AWS}family": [family], f"{AWS}category": [family[0]], f"{AWS}cpu": [str(cores)]}
    labels |= {f"{AWS}gpu-count": [str(gpus)] if gpus else [], f"{AWS}gpu-name": [product] if gpus else []}
    offerings = [
        {"labels": {ZONE: zone, BY: kind}, "price": cores * (0.3 if kind == "spot" else 1.0) + gpus, "available": True}
        for zone in ZONES
        for kind in KINDS
        if chance.random() < 0.85
    ]
    return {
        "name": name,
        "labels": labels,
        "capacity": room | ({GPU: str(gpus)} if gpus else {}),
        "overhead": {"cpu": chance.choice(["0", "100m"]), "memory": "500Mi"},
        "real": {GPU: str(gpus * sharing)} if gpus and sharing > 1 else {},
        "offerings": offerings,
    }


def wish(chance):
    """One requirement, as people write them of a NodePool or a pod."""
    return chance.choice(
        [
            {"key": TYPE, "operator": "In", "values": some(chance, list(MACHINES), 1, 3)},
            {"key": TYPE, "operator": "In", "values": some(chance, [n for n in MACHINES if MACHINES[n][1]], 1, 1)},
            {"key": f"{AWS}family", "operator": "In", "values": some(chance, ["m5", "g5", "g6", "p5"], 1, 3)},
            {"key": f"{AWS}category", "operator": "In", "values": some(chance, ["m", "c", "g", "p"], 1, 3)},
            {"key": f"{AWS}category", "operator": "NotIn", "values": some(chance, ["m", "c", "g", "p"], 1, 2)},
            {"key": f"{AWS}gpu-count", "operator": "Gt", "values": [chance.choice(["0", "1", "3"])]},
            {"key": f"{AWS}gpu-count", "operator": chance.choice(["Exists", "DoesNotExist"])},
            {"key": f"{AWS}cpu", "operator": "Lt", "values": ["64"]},
            {"key": ZONE, "operator": "In", "values": some(chance, ZONES, 1, 2)},
            {"key": BY, "operator": "In", "values": some(chance, KINDS, 1, 2)},
        ]
    )


def limits(chance):
    return chance.choice(
        [
            {},
            {GPU: str(chance.choice([0, 1, 4, 8, 9, 16, 24]))},
            {GPU: str(chance.choice([4, 8, 16])), "cpu": str(chance.choice([4, 48, 200, 1000]))},
            {"cpu": str(chance.choice([0, 3, 16, 100, 400]))},
            {"memory": chance.choice(["10Gi", "200Gi", "2Ti"])},
            {"nodes": str(chance.choice([0, 1, 2, 3]))},
            {"nodes": str(chance.choice([1, 2, 3])), GPU: "12"},
        ]
    )


def conditions(*true, **known):
    every = dict.fromkeys(true, True) | known
    return [
        {"type": name, "status": str(holds), "reason": "x", "message": "", "lastTransitionTime": stamp(0)}
        for name, holds in every.items()
    ]


def pool(chance, name):
    labels = {"team": chance.choice(["red", "blue"])} if chance.random() < 0.3 else {}
    ready = chance.random() < 0.92
    made = {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {"name": name, "uid": name},
        "spec": {
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "x"},
                    "requirements": [wish(chance) for _ in range(chance.choice([0, 1, 1, 2, 3]))],
                    "taints": some(chance, TAINTS, 0, 1) if chance.random() < 0.5 else [],
                },
            },
            "limits": limits(chance),
        },
        "status": {"conditions": conditions("ValidationSucceeded", NodeClassReady=ready, Ready=ready)},
    }
    if chance.random() < 0.3:
        made["spec"]["weight"] = chance.randint(1, 100)
    if chance.random() < 0.05:
        made["spec"] |= {"replicas": 1}
        made["spec"].pop("weight", None)
        made["spec"]["limits"].pop("cpu", None)
    return made


def fitting(made, types):
    """The types of which a pool may have bought a machine."""
    ours = made["spec"]["template"]["spec"]["requirements"]

    def takes(one):
        own = {**one["labels"], TYPE: [one["name"]], ZONE: list(ZONES), BY: list(KINDS)}
        return all(_accepts(each, own.get(each["key"], [])) for each in ours)

    return [one for one in types if takes(one)]


def _accepts(one, values):
    there = {
        "In": lambda: set(values) & set(one["values"]),
        "NotIn": lambda: not set(values) & set(one["values"]),
        "Exists": lambda: values,
        "DoesNotExist": lambda: not values,
        "Gt": lambda: values and int(values[0]) > int(one["values"][0]),
        "Lt": lambda: values and int(values[0]) < int(one["values"][0]),
    }
    return bool(there[one["operator"]]())


def labels_of(made, one):
    """Of a machine: where its pool leaves a choice, the first that is offered."""
    wishes = made["spec"]["template"]["spec"]["requirements"]
    offered = [part["labels"] for part in one["offerings"]]
    found = [
        part for part in offered if all(_accepts(each, [part[each["key"]]]) for each in wishes if each["key"] in part)
    ]
    if not found:
        return None
    own = {key: values[0] for key, values in one["labels"].items() if values}
    return {**own, **found[0], TYPE: one["name"], POOL: made["metadata"]["name"], "kubernetes.io/arch": "amd64",
            "kubernetes.io/os": "linux", **made["spec"]["template"]["metadata"]["labels"]}  # fmt: skip


def less(room, overhead):
    return room | {"cpu": f"{int(room['cpu']) * 1000 - (100 if overhead['cpu'] == '100m' else 0)}m",
                   "memory": f"{int(room['memory'][:-2]) * 1024 - 500}Mi"}  # fmt: skip


def within(made, one, claims):
    """Whether all limits of a pool leave room for one more machine, as they did when Karpenter ordered it.

    Of a machine whose size is known somebody may have lowered the limit since.
    """
    known = used(made, [{**claim, "unsized": False} for claim in claims], [])
    known = {name: int(str(amount).removesuffix("Gi")) for name, amount in known.items()}
    size = {"nodes": 1, **{name: int(amount.removesuffix("Gi")) for name, amount in one["capacity"].items()}}
    limited = {name: amount.replace("2Ti", "2048Gi") for name, amount in made["spec"]["limits"].items()}
    return all(
        known.get(name, 0) + size.get(name, 0) <= int(amount.removesuffix("Gi")) for name, amount in limited.items()
    )


def machines(chance, made, types):
    """NodeClaims and nodes of a pool: whole ones, and such as are ordered; of these we may not know the size yet."""
    claims, nodes = [], []
    for number in range(chance.choice([0, 0, 1, 1, 2])):
        able = fitting(made, types)
        one = chance.choice(able) if able else None
        labels = labels_of(made, one) if one else None
        if labels is None:
            continue
        if any(claim["unsized"] for claim in claims) and not within(made, one, claims):
            continue  # nor is any machine ordered beside one that is on its way and leaves no room for it
        name = f"{made['metadata']['name']}-{number}"
        room = {"capacity": one["capacity"], "allocatable": less(one["capacity"], one["overhead"])}
        taints = made["spec"]["template"]["spec"]["taints"]
        state = chance.choice(["whole", "whole", "ordered", "unsized" if within(made, one, claims) else "ordered"])
        claims.append(
            {
                "apiVersion": "karpenter.sh/v1",
                "kind": "NodeClaim",
                "metadata": {"name": name, "labels": labels},
                "spec": {
                    "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "x"},
                    "requirements": [],
                    "taints": taints,
                    "resources": {"requests": {"cpu": "1", "pods": "1"}},
                },
                "status": {
                    **room,
                    "providerID": f"world://{name}",
                    "conditions": conditions("Launched", Initialized=state == "whole"),
                },
                "unsized": state == "unsized",
            }
        )
        if state == "whole":
            done = {"karpenter.sh/registered": "true", "karpenter.sh/initialized": "true"}
            room = {key: amounts | one["real"] for key, amounts in room.items()}
            nodes.append(
                {
                    "apiVersion": "v1",
                    "kind": "Node",
                    "metadata": {"name": name, "labels": {**labels, **done, "kubernetes.io/hostname": name}},
                    "spec": {"taints": taints, "providerID": f"world://{name}"},
                    "status": {**room, "conditions": [{"type": "Ready", "status": "True"}]},
                }
            )
    return claims, nodes


def unlaunched(claim):
    """A claim before the cloud has answered: what Karpenter knows in its memory already stands nowhere."""
    plain = {key: value for key, value in claim.items() if key != "unsized"}
    if not claim["unsized"]:
        return plain
    conditions = [{"type": "Launched", "status": "Unknown", "reason": "AwaitingReconciliation"}]
    labels = {key: value for key, value in claim["metadata"]["labels"].items() if key in (POOL, "team")}
    return {**plain, "metadata": {**claim["metadata"], "labels": labels}, "status": {"conditions": conditions}}


def workload(chance, name, pools):
    requests = {"cpu": chance.choice(["100m", "1", "3500m", "8", "20"])}
    if chance.random() < 0.5:
        requests["memory"] = chance.choice(["1Gi", "12Gi", "100Gi"])
    gpus = chance.choice([0, 1, 1, 2, 4, 8])
    container = {
        "name": "engine",
        "image": "x",
        "resources": {"requests": requests, "limits": {GPU: str(gpus)} if gpus else {}},
    }
    if chance.random() < 0.1:
        container["ports"] = [{"containerPort": 8000, "hostPort": 8000}]
    spec = {"containers": [container], "tolerations": some(chance, TOLERATIONS, 0, 3)}
    if chance.random() < 0.35:
        chosen = chance.choice([{ZONE: "a"}, {BY: "spot"}, {f"{AWS}gpu-name": "a10g"}, {f"{AWS}family": "p5"}, {"team": "red"},
                                {POOL: chance.choice(pools)["metadata"]["name"]}, {"nobody": "knows"}])  # fmt: skip
        spec["nodeSelector"] = chosen
    if chance.random() < 0.25:
        terms = [{"matchExpressions": [wish(chance)]} for _ in range(chance.randint(1, 2))]
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
        spec["affinity"] = {"nodeAffinity": required}
    if chance.random() < 0.15:
        term = {"labelSelector": {"matchLabels": {"app": name}}, "topologyKey": "kubernetes.io/hostname"}
        apart = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
        spec.setdefault("affinity", {})["podAntiAffinity"] = apart
    return spec


def daemon_set(chance):
    container = {"name": "agent", "image": "x", "resources": {"requests": {"cpu": chance.choice(["200m", "1"])}}}
    template = {
        "metadata": {"labels": {"app": "agent"}},
        "spec": {"containers": [container], "tolerations": [{"operator": "Exists"}]},
    }
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent", "namespace": "kube-system"},
            "spec": {"selector": {"matchLabels": {"app": "agent"}}, "template": template}}  # fmt: skip


def resident(chance, number, node):
    gpus = chance.choice([0, 0, 1])
    container = {
        "name": "c",
        "image": "x",
        "resources": {"requests": {"cpu": "1"}, "limits": {GPU: str(gpus)} if gpus else {}},
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"r{number}", "namespace": "team", "uid": f"r{number}"},
            "spec": {"nodeName": node, "containers": [container]}, "status": {"phase": "Running"}}  # fmt: skip


def used(made, claims, nodes):
    """What Karpenter writes of a pool: the capacity of its machines, once they are whole that of their nodes."""
    total = collections.Counter()
    whole = {node["metadata"]["name"]: node["status"]["capacity"] for node in nodes}
    for claim in claims:
        if claim["metadata"]["labels"][POOL] == made["metadata"]["name"] and not claim["unsized"]:
            room = whole.get(claim["metadata"]["name"], claim["status"]["capacity"])
            total += {
                "nodes": 1,
                "cpu": int(room["cpu"]),
                "memory": int(room["memory"][:-2]),
                GPU: int(room.get(GPU, 0)),
            }
    return {name: f"{amount}Gi" if name == "memory" else str(amount) for name, amount in total.items()}


def make(seed, number):
    chance = random.Random(f"{seed}/{number}")
    sharing = 4 if chance.random() < 0.08 else 1
    types = [machine_type(chance, name, sharing) for name in MACHINES if chance.random() < 0.7]
    pools = [pool(chance, f"pool{at}") for at in range(chance.choice([1, 1, 2, 3]))]
    claims, nodes = [], []
    for one in pools:
        ours = machines(chance, one, types)
        claims += ours[0]
        nodes += ours[1]
        one["status"]["resources"] = used(one, *ours)
    if not any(GPU in node["status"]["capacity"] for node in nodes):
        types = [{**one, "real": {}} for one in types]  # that GPUs are shared can only be seen where a machine is whole
    on = [chance.choice(nodes)["metadata"]["name"] for _ in range(chance.randint(0, 2))] if nodes else []
    return {
        "name": f"w{seed}-{number}",
        "types": types,
        "pools": pools,
        "claims": claims,
        "nodes": nodes,
        "pods": [resident(chance, at, node) for at, node in enumerate(on)],
        "daemonsets": [daemon_set(chance)] if chance.random() < 0.2 else [],
        "spec": workload(chance, "llama", pools),
        "pick": chance.choice(["cheapest", "largest"]),
    }


# ---- both sides -----------------------------------------------------------------------------------------------------------


def say(world):
    claims = [unlaunched(one) for one in world["claims"]]
    cluster = picture(
        world["nodes"], world["pods"], {"llama": world["spec"]}, pools=world["pools"], claims=claims, last_synced=NOON
    )
    [scaled] = cluster
    return availability(cluster, scaled)


def question(world, pods):
    """A world as the oracle reads it, in which so many pods of the workload wait."""
    claims = [{key: value for key, value in one.items() if key != "unsized"} for one in world["claims"]]
    spec = json.loads(json.dumps(world["spec"]))
    for container in spec["containers"]:  # as the API server fills in
        resources = container["resources"]
        resources["requests"] = {**resources["limits"], **resources["requests"]}
    if any(GPU in one["resources"]["requests"] for one in spec["containers"]):
        spec["tolerations"].append({"key": GPU, "operator": "Exists"})  # as EKS and GKE have it
    pod = {"metadata": {"name": "llama", "namespace": "team", "labels": {"app": "llama"}}, "spec": spec}
    return {**world, "claims": claims, "pod": pod, "count": pods}


def told(world, ours, theirs):
    return f"{world['name']}: {ours}, and Karpenter {theirs}: {json.dumps(world)[:6000]}"


@pytest.mark.parametrize("seed", SEEDS)
def test_karpenter_buys_what_we_say(karpenter, seed):
    worlds = [make(seed, number) for number in range(WORLDS)]
    ours = [say(world) for world in worlds]
    counts = [(one.schedulable.value or 0) + (one.provisionable.value or 0) + MORE for one in ours]
    theirs = karpenter(question(world, pods) for world, pods in zip(worlds, counts, strict=True))
    kinds = collections.Counter()
    for world, available, real in zip(worlds, ours, theirs, strict=True):
        count, had = available.provisionable, real["Ordered"] + real["Bought"]
        assert not real["Error"], told(world, count, real)
        if count.value is None:
            kinds["unknown"] += 1
            continue
        kinds[count.bound] += 1
        kinds["reached"] += bool(had) and had == count.value
        if count.bound == "exact":
            assert had == count.value, told(world, count, real)
        if count.bound == "lower":
            assert had >= count.value, told(world, count, real)
        if count.most is not None:
            assert had <= count.most, told(world, count, real)
    assert kinds["exact"] > WORLDS / 10, f"else it says little: {kinds}"
    assert kinds["upper"] > WORLDS / 10, f"else it says little: {kinds}"
    assert kinds["reached"] > WORLDS / 25, f"else it says little: {kinds}"
