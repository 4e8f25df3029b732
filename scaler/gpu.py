"""How many more replicas of a workload can really be had: on the machines that are there, and on those to be bought.

Five questions, one picture of the cluster. Every answer is exact, or says which kind of bound it is and why, or says
why it is not known. Own pods never count against their workload: its pods without a node take places first, and these
places are still its own.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from scaler import karpenter
from scaler.cluster import OLD, Cluster, Scaled
from scaler.hardware import Hardware, Load, Shape, Template, Waiting
from scaler.placement import EMPTY, Ledger, Loads, Nodes, Place, Places, place, with_pod

GPUS = tuple(  # names of GPUs and their like; of two names for the same silicon the first is counted
    re.compile(name)
    for name in (
        r"nvidia\.com/(gpu|gpu\.shared|mig-.+|gpu-.+)",
        r"amd\.com/(gpu)",
        r"gpu\.intel\.com/(i915|xe)",
        r"habana\.ai/gaudi",
        r"google\.com/tpu",
        r"aws\.amazon\.com/neuron",
        r"aws\.amazon\.com/neurondevice",
        r"aws\.amazon\.com/neuroncore",
        r"huawei\.com/ascend.+",
        r"(qualcomm\.com/qaic|cambricon\.com/.+|metax-tech\.com/.+|mthreads\.com/.+|iluvatar\.(ai|com)/.+)",
    )
)


TEMPLATES = {  # where the pod templates of a kind are read
    "Deployment": "deployments.apps",
    "StatefulSet": "statefulsets.apps",
    "LeaderWorkerSet.leaderworkerset.x-k8s.io": "leaderworkersets.leaderworkerset.x-k8s.io",
}
NONE: Mapping[str, Load] = MappingProxyType({})
UNBOUNDED = 10**9  # replicas
_CROWD = 20  # pods of others that are about to be placed, and are counted
_LEDGER = Ledger()  # what was counted last; it makes answers quicker, not different
NO_KARPENTER = "there is no NodePool of Karpenter here, and what another provisioner may add cannot be read"


@dataclass(frozen=True, slots=True)
class Count:
    """A number, and how far it may be believed."""

    value: int | None  # None: not known
    bound: Literal["exact", "upper", "lower"] = "exact"
    reason: str = ""  # why it is not known, or only bounded, or what binds it


@dataclass(frozen=True, slots=True)
class Availability:
    """What can be had for one scale target."""

    resource: str  # what a replica asks for, in words: "2 nvidia.com/gpu"; empty: no GPUs, or not known
    schedulable: Count  # replicas that the scheduler would place now, those without a node among them
    free: Count  # GPUs that nobody holds on nodes that its pods may use
    pending: Count  # GPUs that others' pods without a node ask for; not those that somebody holds back (gates)
    provisionable: Count  # replicas that fit on machines which Karpenter has ordered or may still order
    own: Count  # GPUs that its own pods hold


def availability(cluster: Cluster, scaled: Scaled) -> Availability:
    """Answer the five questions for one scale target.

    `schedulable` counts places: own pods that wait for a node take some of them, and nothing is taken off for these. So
    pods with a node + schedulable + provisionable is what the workload can grow to.
    """
    unknown = _unknown(cluster, scaled)
    hardware, template = cluster.hardware, scaled.template
    if unknown or not hardware or not template:
        missing = Count(None, reason=unknown)
        return Availability("", missing, missing, missing, missing, missing)
    gpu = accelerator(template)
    own, others = _queues(hardware, scaled)
    none = Count(None, reason="its pods ask for no GPU")
    return Availability(
        f"{template.asks(gpu)} {gpu}" if gpu else "",
        schedulable=_schedulable(cluster, hardware, scaled, gpu, own, others),
        free=_free(hardware, template, gpu) if gpu else none,
        pending=_pending(hardware, gpu, others) if gpu else none,
        provisionable=_provisionable(cluster, hardware, template, gpu),
        own=_own(cluster, scaled, gpu) if gpu else none,
    )


def accelerator(template: Template) -> str:
    """The GPU resource that a replica asks for; empty for none."""
    asked = sorted({resource for shape, _ in template.pods for resource, _ in shape.requests})
    return next((name for known in GPUS for name in asked if known.fullmatch(name.lower())), "")


def _unknown(cluster: Cluster, scaled: Scaled) -> str:
    """Why nothing can be said, or an empty text."""
    hardware = cluster.hardware
    if hardware is None:
        return cluster.problems.get("kubernetes", "Kubernetes is not watched")
    if hardware.nodes is None:
        return cluster.problems.get("nodes", "which nodes there are is not known yet")
    if hardware.loads is None:
        return cluster.problems.get("pods", "which pods there are is not known yet")
    if scaled.template is None:
        kind = scaled.target.partition(" ")[0]
        return cluster.problems.get(TEMPLATES.get(kind, ""), f"the pod template of {scaled.target} is not known")
    age = (cluster.heard or 0.0) - (hardware.heard or 0.0)
    return f"machines were last heard of {age:.0f}s before all else" if age > OLD else ""


# ---- pods without a node ---------------------------------------------------------------------------------------------


def _queues(hardware: Hardware, scaled: Scaled) -> tuple[list[Waiting], list[Waiting]]:
    """Own pods that wait for a node, and others'; not those that somebody holds back from the scheduler."""
    names = {pod.name for pod in scaled.pods or () if pod.state == "pending"}
    own: list[Waiting] = []
    others: list[Waiting] = []
    for pod in hardware.waiting:
        namespace, kind, name = pod.owner
        mine = namespace == scaled.namespace and (pod.name in names or f"{kind} {name}" == scaled.target)
        if not pod.gated:
            (own if mine else others).append(pod)
    return own, others


def _first(others: list[Waiting]) -> tuple[list[Waiting], str]:
    """Pods of others that get their places before ours, and what is uncertain about that.

    A pod that the scheduler found no node for waits without harm to others, unless a node is being made free for it.
    One that it has not tried yet will be placed in a moment; nobody knows where.
    """
    nominated = [pod for pod in others if pod.nominated]
    untried = [pod for pod in others if not pod.nominated and not pod.tried]
    untried.sort(key=lambda pod: -sum(amount for _, amount in pod.shape.requests))
    return nominated + untried[:_CROWD], f"{len(untried)} pods of others are about to be placed" if untried else ""


def _reserve(hardware: Hardware, shape: Shape, pods: list[Waiting]) -> dict[str, Load]:
    """The loads of nodes once these pods are placed: where they must be, or else where they cost us least."""
    nodes, loads = hardware.nodes or {}, hardware.loads or {}
    taken: dict[str, Load] = {}
    for pod in pods:
        there = {**loads, **taken}
        name = pod.nominated if pod.nominated in nodes else _cheapest(shape, pod.shape, nodes, there)
        if name:
            taken[name] = with_pod(there.get(name, EMPTY), pod.shape)
    return taken


def _cheapest(shape: Shape, other: Shape, nodes: Nodes, loads: Loads) -> str:
    """The node on which a pod of others costs us the fewest places; empty if it fits on none."""
    best, least = "", -1
    for name, node in nodes.items():
        load = loads.get(name, EMPTY)
        if not place(other, "", node, load).fits:
            continue
        cost = place(shape, "", node, load).fits - place(shape, "", node, with_pod(load, other)).fits
        if least < 0 or cost < least:
            best, least = name, cost
        if not cost:
            break
    return best


# ---- places on the machines that are there ---------------------------------------------------------------------------


def _schedulable(
    cluster: Cluster, hardware: Hardware, scaled: Scaled, gpu: str, own: list[Waiting], others: list[Waiting]
) -> Count:
    template = scaled.template or Template(())
    first, crowd = _first(others)
    taken = _reserve(hardware, template.pods[0][0], first)
    found = [(_places(hardware, shape, gpu, taken, scaled.barred), count) for shape, count in template.pods]
    fits = min(places.fits // count for places, count in found)
    left, quota = _quota(hardware, scaled.namespace, template, len(own))
    reasons = [quota] if left < fits else [places.why() for places, _ in found if places.obstacles]
    doubts = [
        *dict.fromkeys(bound for shape, _ in template.pods for bound in shape.bounds),
        *_doubts(cluster, template),
    ]
    doubts += [crowd] if crowd else []
    return Count(min(fits, left), "upper" if doubts else "exact", "; ".join(doubts + reasons))


def _places(
    hardware: Hardware, shape: Shape, gpu: str, taken: Mapping[str, Load] = NONE, barred: frozenset[str] = frozenset()
) -> Places:
    """What all nodes have for pods of a shape, once some loads are others and some nodes are barred."""
    nodes, loads = hardware.nodes or {}, hardware.loads or {}
    found = _LEDGER.places(shape, gpu, nodes, loads)
    return found.changed(
        (
            before := place(shape, gpu, nodes.get(name), loads.get(name)),
            Place(0, before.free, before.obstacle or "pod anti-affinity")
            if name in barred
            else place(shape, gpu, nodes.get(name), taken[name]),
        )
        for name in nodes.keys() & (taken.keys() | barred)
    )


def _doubts(cluster: Cluster, template: Template) -> list[str]:
    """Why there may be fewer places than are counted."""
    hardware = cluster.hardware or Hardware()
    quotas = cluster.problems.get("resourcequotas", "what quotas leave is not known yet")
    doubts = {
        "pods of several shapes share the nodes": len(template.pods) > 1,
        hardware.partial: bool(hardware.partial),
        quotas: hardware.quotas is None,
    }
    return [reason for reason, holds in doubts.items() if holds]


def _quota(hardware: Hardware, namespace: str, template: Template, waiting: int) -> tuple[int, str]:
    """Replicas that ResourceQuotas let a namespace have, pods that wait for a node among them, and which binds."""
    best, reason = UNBOUNDED, ""
    for quota in (hardware.quotas or {}).get(namespace, ()):
        for name, hard in quota.hard.items():
            asked = template.asks({"count/pods": "pods"}.get(name, name.removeprefix("requests.")))
            if not asked or quota.scoped:
                continue
            more = max(hard - quota.used.get(name, 0), 0) * template.size // asked
            if (waiting + more) // template.size < best:
                best, reason = (waiting + more) // template.size, f"ResourceQuota {quota.name}: {name} {hard}"
    return best, reason


def _free(hardware: Hardware, template: Template, gpu: str) -> Count:
    shape = next(shape for shape, _ in template.pods if shape.asks(gpu))
    free = _places(hardware, shape, gpu).free
    return Count(free, "upper" if hardware.partial else "exact", hardware.partial)


def _pending(hardware: Hardware, gpu: str, others: list[Waiting]) -> Count:
    asked = sum(pod.shape.asks(gpu) for pod in others)
    return Count(asked, "lower" if hardware.partial else "exact", hardware.partial)


def _own(cluster: Cluster, scaled: Scaled, gpu: str) -> Count:
    if scaled.held is None:
        return Count(None, reason=cluster.problems.get("pods", f"which pods {scaled.target} has is not known"))
    return Count(dict(scaled.held).get(gpu, 0))


# ---- places on machines to come --------------------------------------------------------------------------------------


def _provisionable(cluster: Cluster, hardware: Hardware, template: Template, gpu: str) -> Count:
    if not hardware.pools:
        return Count(None, reason=cluster.problems.get("nodepools.karpenter.sh", NO_KARPENTER))
    for resource, part in {"nodeclaims.karpenter.sh": hardware.claims, "events": hardware.shortages}.items():
        if part is None:
            return Count(None, reason=cluster.problems.get(resource, f"{resource} are not known yet"))
    coming = min(karpenter.ordered(hardware, shape) // count for shape, count in template.pods)
    offer = karpenter.purchasable(hardware, template, gpu, hardware.heard or 0.0)
    if offer.replicas is None:
        return Count(None, reason=offer.reason)
    total = coming + offer.replicas
    reason = f"{coming} on machines that are ordered; {offer.reason}" if coming else offer.reason
    return Count(total, "upper" if total else "exact", reason)
