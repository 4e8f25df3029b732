"""Objects of Karpenter as JSON (sigs.k8s.io/karpenter 1.15.0, pkg/apis) -> what it may buy and has ordered. Pure."""

from scaler.model.nodes import POOL, CapacityBuffer, InsufficientCapacity, NodeClaim, NodeOverlay, NodePool, Requirement
from scaler.model.objects import Manifest
from scaler.sources.kubernetes.read_pods import amounts, parse_time, read_requirement, read_taint

_SHOWN = 300  # characters of a message that are kept


def read_pool(raw: Manifest) -> NodePool:
    """Read a NodePool."""
    name, spec, status = raw["metadata"]["name"], raw["spec"], raw.get("status", {})
    template = spec["template"]
    labels = {**(template.get("metadata", {}).get("labels") or {}), POOL: name}
    ready = _condition(status, "Ready")
    return NodePool(
        name=name,
        requirements=(
            *(read_requirement(one) for one in template["spec"].get("requirements") or ()),
            *(Requirement(key, "In", (value,)) for key, value in sorted(labels.items())),
        ),
        taints=tuple(read_taint(one) for one in template["spec"].get("taints") or ()),
        limits=amounts(spec.get("limits")),
        used=amounts(status.get("resources")),
        replicas=spec.get("replicas"),
        provider=(template["spec"].get("nodeClassRef") or {}).get("group") or "",
        problem="it is being deleted" if "deletionTimestamp" in raw["metadata"] else _unready(ready),
    )


def _unready(condition: Manifest) -> str:
    return _said(condition) if condition.get("status") == "False" else ""


def read_claim(raw: Manifest) -> NodeClaim:
    """Read a NodeClaim."""
    meta, spec, status = raw["metadata"], raw["spec"], raw.get("status", {})
    requirements = (read_requirement(one) for one in spec.get("requirements") or ())
    settled = {one.key: one.values[0] for one in requirements if one.operator == "In" and len(one.values) == 1}
    launched = _condition(status, "Launched")
    needed = (spec.get("resources") or {}).get("requests")
    labels = {**settled, **(meta.get("labels") or {})}
    return NodeClaim(
        name=meta["name"],
        pool=labels.get(POOL, ""),
        labels=labels,
        taints=tuple(read_taint(one) for one in spec.get("taints") or ()),
        capacity=amounts(status.get("capacity")),
        allocatable=amounts(status.get("allocatable") or needed),
        node=status.get("nodeName") or "",
        provider=status.get("providerID") or "",
        launched=parse_time(launched.get("lastTransitionTime")) if launched.get("status") == "True" else None,
        initialized=_condition(status, "Initialized").get("status") == "True",
        problem=_said(launched) if launched.get("reason", "").endswith("Failed") else "",
        deleting="deletionTimestamp" in meta,
    )


def read_overlay(raw: Manifest) -> NodeOverlay:
    """Read a NodeOverlay. Whether it is valid stands in its status once Karpenter has looked at it."""
    spec = raw["spec"]
    said = _condition(raw.get("status") or {}, "ValidationSucceeded").get("status")
    return NodeOverlay(
        requirements=tuple(read_requirement(one) for one in spec.get("requirements") or ()),
        capacity=amounts(spec.get("capacity")),
        valid={"True": True, "False": False}.get(said or ""),
    )


def read_buffer(raw: Manifest) -> CapacityBuffer | None:
    """Read a CapacityBuffer; None for one that keeps no room, or whose controller has not looked at it."""
    meta, kept = raw["metadata"], (raw.get("status") or {}).get("replicas") or 0
    return CapacityBuffer(meta["namespace"], meta["name"], kept) if kept else None


def read_shortage(raw: Manifest) -> InsufficientCapacity | None:
    """Read an event about a node that could not be had; None for any other."""
    about = raw.get("involvedObject") or {}
    last = (raw.get("series") or {}).get("lastObservedTime") or raw.get("lastTimestamp") or raw.get("eventTime")
    at = parse_time(last or raw["metadata"].get("creationTimestamp"))
    if about.get("kind") != "NodeClaim" or at is None:
        return None
    pool = about["name"].rpartition("-")[0]  # a claim is called NODEPOOL-xxxxx
    return InsufficientCapacity(pool, at, str(raw.get("message") or raw.get("reason"))[:_SHOWN])


def _condition(status: Manifest, kind: str) -> Manifest:
    return next((one for one in status.get("conditions") or () if one["type"] == kind), {})


def _said(condition: Manifest) -> str:
    return f"{condition.get('reason', '')}: {condition.get('message', '')}"[:_SHOWN]
