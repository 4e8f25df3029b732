"""A Cluster of raw Kubernetes objects, put together as the service does it, without a server."""

from dataclasses import replace

from support.kubernetes_objects import scaled_object

from scaler.sources.kubernetes.assemble import Store, node_snapshot_of, tables_of
from scaler.sources.kubernetes.join import join
from scaler.sources.kubernetes.read_objects import ObjectReader
from scaler.sources.kubernetes.resources import DEPLOYMENTS, PODS, SCALED_OBJECTS, WATCHED, named

GPU = "nvidia.com/gpu"


def store(raws, reader=None, **more):
    """The records of raw objects, by their resource; None for a resource that is not known."""
    reader, tables = reader or ObjectReader(), {}
    for resource, objects in raws.items():
        table = None if objects is None else resource.table()
        for raw in objects or ():
            table.put(resource.key(raw), resource.read(reader, raw))
        tables[resource] = [table]
    return Store(tables, **more)


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
    **snapshot,
):
    """A Cluster in which every item of `specs` is a Deployment of pods with this spec, and a ScaledObject for it.

    Its pods have the label app, with its name. What is None is not known, and `snapshot` stands for parts of it.
    """
    specs = specs or {}
    raws = dict.fromkeys(WATCHED, ()) | {
        SCALED_OBJECTS: [scaled_object(name) for name in specs],
        DEPLOYMENTS: [_deployment(name, spec, labels) for name, spec in specs.items()],
        PODS: pods,
        named("nodes"): nodes,
        named("resourcequotas"): quotas,
        named("nodepools"): pools,
        named("nodeclaims"): claims,
        named("events"): events,
        named("nodeoverlays"): overlays,
        named("capacitybuffers"): buffers,
        named("priorityclasses"): priorities,
        named("limitranges"): ranges,
        named("runtimeclasses"): runtimes,
    }
    made = store(raws)
    return join(tables_of(made, replace(node_snapshot_of(made), **snapshot)))


def _deployment(name, spec, labels):
    return {
        "metadata": {"namespace": "team", "name": name, "labels": labels},
        "spec": {"template": {"metadata": {"labels": {"app": name}}, "spec": spec}},
    }


def node(name="n", gpus=8, *, labels=None, taints=(), ready="True", cordoned=False, **room):
    """A machine; `room` by resource, where `_` and `__` in a name stand for `-` and `/`."""
    room = (
        {"cpu": "64", "memory": "512Gi", "pods": "110"}
        | ({GPU: str(gpus)} if gpus is not None else {})
        | resources(room)
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


def resources(room):
    return {name.replace("__", "/").replace("_", "-"): value for name, value in room.items()}
