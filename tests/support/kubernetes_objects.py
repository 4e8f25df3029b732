"""Kubernetes objects as the API server sends them, with what tests care about."""

from datetime import UTC, datetime

NOON = 1_800_000_000.0


def stamp(seconds):
    """A time as Kubernetes writes it, so many seconds past noon."""
    return datetime.fromtimestamp(NOON + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def meta(name, namespace="team", **more):
    return {"name": name, "namespace": namespace, "uid": f"uid-of-{name}", "creationTimestamp": stamp(0), **more}


def controlled(kind, name):
    return [{"apiVersion": "v1", "kind": kind, "name": name, "uid": f"uid-of-{name}", "controller": True}]


def scaled_object(name="llama", *, target=None, status=None, annotations=None, triggers=None, **spec):
    ours = [{"type": "external", "metadata": {"scalerAddress": "llm-scaler.keda:6000", "formula": "load"}}]
    return {
        "kind": "ScaledObject",
        "metadata": meta(name, generation=3, annotations=annotations or {}),
        "spec": {"scaleTargetRef": target or {"name": name}, "triggers": triggers or ours, **spec},
        "status": status or {},
    }


def scaled_job(name="train", **spec):
    return {**scaled_object(name, **spec), "kind": "ScaledJob"}


def pod(name, owner=("ReplicaSet", "llama-5d8f"), labels=None, **status):
    """A ready pod of Deployment llama, unless said otherwise."""
    kind, of = owner
    labels = {"app": "llama", "pod-template-hash": of.rpartition("-")[2], **(labels or {})}
    conditions = status.pop("conditions", {"Initialized": ("True", 0), "Ready": ("True", 60)})
    deleted = status.pop("deleted", False)
    node = status.pop("node", "gpu-1")
    annotations = status.pop("annotations", {})
    return {
        "metadata": meta(name, labels=labels, annotations=annotations, ownerReferences=controlled(kind, of))
        | ({"deletionTimestamp": stamp(90)} if deleted else {}),
        "spec": {"nodeName": node} if node else {},
        "status": {
            "phase": "Running",
            "conditions": [
                {"type": kind, "status": now, "lastTransitionTime": stamp(at), "message": f"{kind} is {now}"}
                for kind, (now, at) in conditions.items()
            ],
            **status,
        },
    }


def hpa(of="llama", kind="ScaledObject", name=None, **status):
    return {
        "metadata": meta(name or f"keda-hpa-{of}", ownerReferences=controlled(kind, of)),
        "spec": {"minReplicas": 1, "maxReplicas": 10},
        "status": {"currentReplicas": 2, "desiredReplicas": 3, **status},
    }


def deployment(name="llama", replicas=2):
    return {"metadata": meta(name), "spec": {"replicas": replicas}, "status": {}}


def job(name, of="train", kind="ScaledJob", done=None, ended=30, created=0, **spec):
    conditions = [{"type": done, "status": "True", "lastTransitionTime": stamp(ended)}] if done else []
    known = meta(name, ownerReferences=controlled(kind, of), creationTimestamp=stamp(created))
    return {"metadata": known, "spec": spec, "status": {"conditions": conditions}}


def endpoint_slice(service, *addresses, unready=(), name=None, namespace="team", kind="IPv4"):
    endpoints = [{"addresses": [address]} for address in addresses]
    endpoints += [{"addresses": [address], "conditions": {"ready": False}} for address in unready]
    labels = {"kubernetes.io/service-name": service}
    return {
        "metadata": meta(name or f"{service}-x", namespace, labels=labels),
        "addressType": kind,
        "endpoints": endpoints,
    }
