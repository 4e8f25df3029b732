"""The objects that scenarios put into the cluster, as plain dicts."""

from collections.abc import Mapping
from typing import Any

Object = dict[str, Any]


def node(name: str, gpus: int = 0) -> Object:
    """A machine that is there from the start: 64 cores, and `gpus` GPUs."""
    room = {"cpu": "64", "memory": "512Gi", "pods": "110"} | ({"nvidia.com/gpu": str(gpus)} if gpus else {})
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
            },
        },
        "status": {"capacity": room, "allocatable": room},
    }


def node_pool(name: str = "gpu", gpus: int = 16, launch: str = "0s", idle: str = "30s") -> list[Object]:
    """A Karpenter pool that may launch nodes until they hold `gpus` GPUs.

    Args:
        launch: how long a machine takes to join, as a Go duration.
        idle: how long an empty node is kept.
    """
    requirements = [
        {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"]},
        {"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]},
    ]
    pool = {
        "template": {
            "spec": {
                "requirements": requirements,
                "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": name},
                "expireAfter": "Never",
            }
        },
        "limits": {"nvidia.com/gpu": str(gpus)},
        "disruption": {"consolidationPolicy": "WhenEmpty", "consolidateAfter": idle},
    }
    machines = {"nodeRegistrationDelay": launch}
    return [
        {
            "apiVersion": "karpenter.kwok.sh/v1alpha1",
            "kind": "KWOKNodeClass",
            "metadata": {"name": name},
            "spec": machines,
        },
        {"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": name}, "spec": pool},
    ]


def model(name: str, port: int, *, gpus: int = 1, load: str = "", replicas: int | None = None) -> Object:
    """A Deployment of model servers.

    Args:
        port: where every pod serves its metrics: the fleet's port.
        load: how long a pod takes from running to ready, as a Go duration; at once unless given.
        replicas: None leaves the number to whoever owns it (KEDA and the HPA).
    """
    container = {
        "name": "engine",
        "image": "engine",
        "ports": [{"name": "http", "containerPort": port}],
        "resources": {"limits": {"nvidia.com/gpu": str(gpus)} if gpus else {}},
    }
    pod = {
        "metadata": {"labels": {"app": name}, "annotations": {"lab/load": load} if load else {}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }
    spec = {"selector": {"matchLabels": {"app": name}}, "template": pod}
    if replicas is not None:
        spec["replicas"] = replicas
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }


def trigger(scaler: str, *, push: bool = False, **metadata: str) -> Object:
    """An external trigger; with `push`, one whose scaler may wake the workload without being polled."""
    kind = "external-push" if push else "external"
    return {"type": kind, "metadata": {"scalerAddress": scaler, **metadata}}


def scaled_object(name: str, scaler: str, metadata: Mapping[str, str] | None = None, **spec: Any) -> Object:
    """A ScaledObject for the Deployment of the same name with one external trigger.

    Its HPA lowers at once, so that nothing but the scaler's answer keeps replicas up.

    Args:
        scaler: the address of the external scaler.
        metadata: the trigger's further metadata.
        spec: more of the ScaledObject's spec, or other values in place of those below.
    """
    defaults = {
        "scaleTargetRef": {"name": name},
        "minReplicaCount": 0,
        "maxReplicaCount": 10,
        "pollingInterval": 5,
        "cooldownPeriod": 10,
        "triggers": [trigger(scaler, **(metadata or {}))],
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}}},
    }
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": name, "namespace": "default"},
        "spec": defaults | spec,
    }
