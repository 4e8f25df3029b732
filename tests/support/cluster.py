"""A Cluster of raw Kubernetes objects, put together as sources/kube.py does it, without a server."""

from support.kubernetes_objects import scaled_object

from scaler.cluster.karpenter import kinds
from scaler.cluster.pending import line_up
from scaler.model.nodes import Devices, Hardware
from scaler.sources.kubernetes.read_karpenter import read_buffer, read_claim, read_overlay, read_pool, read_shortage
from scaler.sources.kubernetes.read_objects import Reader, Tables, assemble
from scaler.sources.kubernetes.read_pods import (
    read_limit_range,
    read_node,
    read_priority_class,
    read_quota,
    read_runtime_class,
)
from scaler.sources.kubernetes.store import PodTable, by_namespace, by_target, filling, key_of

GPU = "nvidia.com/gpu"


def picture(
    nodes,
    pods=(),
    specs=None,
    *,
    quotas=(),
    pools=(),
    claims=(),
    events=(),
    overlays=(),
    buffers=(),
    priorities=(),
    ranges=(),
    runtimes=(),
    labels=None,
    devices=None,
    **hardware,
):
    """A Cluster in which every item of `specs` is a Deployment of pods with this spec, and a ScaledObject for it.

    Its pods have the label app, with its name.
    """
    reader, table = Reader(), PodTable()
    for raw in pods:
        table.put(key_of(raw), reader.pod(raw))
    known = [read_node(raw) for raw in nodes]
    specs = specs or {}
    templates = {
        ("team", name): reader.replicated(
            {
                "metadata": {"labels": labels},
                "spec": {"template": {"metadata": {"labels": {"app": name}}, "spec": spec}},
            }
        )
        for name, spec in specs.items()
    }
    everything = {
        "nodes": {node.name: node for node in known},
        "loads": table.loads,
        "shy": by_target(table.shy),
        "fillings": None if ranges is None else filling({key_of(raw): read_limit_range(raw) for raw in ranges}),
        "priorities": None
        if priorities is None
        else {raw["metadata"]["name"]: read_priority_class(raw) for raw in priorities},
        "runtimes": None
        if runtimes is None
        else {raw["metadata"]["name"]: read_runtime_class(raw) for raw in runtimes},
        "kinds": kinds(known),
        "listed": frozenset().union(*(one.allocatable for one in known)),
        "queue": line_up(table.waiting.values()),
        "quotas": None if quotas is None else by_namespace({key_of(raw): read_quota(raw) for raw in quotas}),
        "devices": devices or Devices(),
        "pools": {raw["metadata"]["name"]: read_pool(raw) for raw in pools},
        "claims": tuple(map(read_claim, claims)),
        "shortages": tuple(filter(None, map(read_shortage, events))),
        "overlays": None if overlays is None else tuple(map(read_overlay, overlays)),
        "buffers": tuple(filter(None, map(read_buffer, buffers))),
    }
    tables = Tables(
        scaled=[reader.scaled(scaled_object(name)) for name in specs],
        listed=frozenset(),
        hpas=None,
        replicated={"Deployment": templates},
        jobs=None,
        pods={owner: group.values() for owner, group in table.groups.items()},
        scales={},
        hardware=Hardware(**everything | hardware),
    )
    return assemble(tables)


def node(name="n", gpus=8, *, labels=None, taints=(), ready="True", cordoned=False, **room):
    """A machine; `room` by resource, where `_` and `__` in a name stand for `-` and `/`."""
    room = (
        {"cpu": "64", "memory": "512Gi", "pods": "110"} | ({GPU: str(gpus)} if gpus is not None else {}) | named(room)
    )
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
        "spec": {"taints": list(taints), "unschedulable": cordoned},
        "status": {"capacity": room, "allocatable": room, "conditions": [{"type": "Ready", "status": ready}]},
    }


def spec(gpus=1, **more):
    """A pod with one container that has so many GPUs as its limit."""
    limits = {GPU: str(gpus)} if gpus else {}
    return {"containers": [{"name": "engine", "resources": {"limits": limits}}], **more}


def on(name, where, of=None, *, labels=None, phase="Running", owner=("ReplicaSet", "other-5d8f"), **status):
    """A pod on a node (empty: on none), of other people unless said otherwise."""
    return {
        "metadata": {
            "namespace": "team",
            "name": name,
            "labels": {
                "app": owner[1].rpartition("-")[0],
                "pod-template-hash": owner[1].rpartition("-")[2],
                **(labels or {}),
            },
            "ownerReferences": [{"kind": owner[0], "name": owner[1], "controller": True}],
        },
        "spec": {**(of or spec()), **({"nodeName": where} if where else {})},
        "status": {"phase": phase, **status},
    }


def named(room):
    return {name.replace("__", "/").replace("_", "-"): value for name, value in room.items()}
