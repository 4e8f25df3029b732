"""How many more replicas of a workload can really be had: on the machines that are there, and on those to be bought.

Five questions, one picture of the cluster. Every answer is exact, or says which kind of bound it is and why, or says
why it is not known. Own pods never count against their workload: its pods without a node take places first, and these
places are still its own.
"""

import re
from dataclasses import dataclass
from typing import Literal

from scaler import karpenter
from scaler.cluster import OLD, Cluster, Scaled
from scaler.hardware import Hardware, Template, Waiting
from scaler.placement import EMPTY, places, with_pod

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
    resource = f"{template.asks(gpu)} {gpu}" if gpu else ""
    none = Count(None, reason="its pods ask for no GPU")
    return Availability(
        resource,
        schedulable=_schedulable(cluster, hardware, scaled, template),
        free=_free(hardware, template, gpu) if gpu else none,
        pending=_pending(hardware, scaled, gpu) if gpu else none,
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
    if age > OLD:
        return f"machines were last heard of {age:.0f}s before all else"
    return ""


def _schedulable(cluster: Cluster, hardware: Hardware, scaled: Scaled, template: Template) -> Count:
    nodes, loads = (hardware.nodes or {}).values(), dict(hardware.loads or {})
    ahead = [pod for pod in hardware.waiting if not _is_own(pod, scaled) and not pod.gated]
    for pod in ahead:
        if pod.nominated:
            loads[pod.nominated] = with_pod(loads.get(pod.nominated, EMPTY), pod.shape)
    found = [(places(shape, nodes, loads), count) for shape, count in template.pods]
    fits = min(place.total // count for place, count in found)
    reasons = [place.why() for place, _ in found if place.why()]
    doubts = [*dict.fromkeys(bound for shape, _ in template.pods for bound in shape.bounds)]
    if len(found) > 1:
        doubts.append("pods of several shapes share the nodes")
    if hardware.partial:
        doubts.append(hardware.partial)
    if hardware.quotas is None:
        doubts.append(cluster.problems.get("resourcequotas", "what quotas leave is not known yet"))
    left, quota = _quota(hardware, scaled, template)
    if left is not None and left < fits:
        fits, reasons = left, [quota]
    if doubts:
        return Count(fits, "upper", "; ".join(doubts + reasons))
    return Count(fits, reason="; ".join(reasons))


def _quota(hardware: Hardware, scaled: Scaled, template: Template) -> tuple[int | None, str]:
    """Replicas that a ResourceQuota lets the namespace have, pods that wait for a node among them; None: any number."""
    waiting = sum(_is_own(pod, scaled) for pod in hardware.waiting)
    best: tuple[int | None, str] = (None, "")
    for quota in (hardware.quotas or {}).get(scaled.namespace, ()):
        for name, hard in quota.hard.items():
            asked = template.asks(_counted(name))
            if not asked or quota.scoped:
                continue
            fits = (waiting + max(hard - quota.used.get(name, 0), 0) * template.size // asked) // template.size
            if best[0] is None or fits < best[0]:
                best = fits, f"ResourceQuota {quota.name}: {name} {hard}"
    return best


def _counted(name: str) -> str:
    """The resource of which a quota's entry speaks."""
    return {"count/pods": "pods"}.get(name, name.removeprefix("requests."))


def _free(hardware: Hardware, template: Template, gpu: str) -> Count:
    nodes, loads = hardware.nodes or {}, hardware.loads or {}
    shape = next(shape for shape, _ in template.pods if shape.asks(gpu))
    usable = places(shape, nodes.values(), loads).usable
    left = (nodes[name].allocatable.get(gpu, 0) - loads.get(name, EMPTY).requests.get(gpu, 0) for name in usable)
    return Count(sum(max(one, 0) for one in left), "upper" if hardware.partial else "exact", hardware.partial)


def _pending(hardware: Hardware, scaled: Scaled, gpu: str) -> Count:
    asked = (pod.shape.asks(gpu) for pod in hardware.waiting if not pod.gated and not _is_own(pod, scaled))
    return Count(sum(asked), "lower" if hardware.partial else "exact", hardware.partial)


def _provisionable(cluster: Cluster, hardware: Hardware, template: Template, gpu: str) -> Count:
    if not hardware.pools:
        return Count(None, reason=cluster.problems.get("nodepools.karpenter.sh", NO_KARPENTER))
    for resource, part in {"nodeclaims.karpenter.sh": hardware.claims, "events": hardware.shortages}.items():
        if part is None:
            return Count(None, reason=cluster.problems.get(resource, f"{resource} are not known yet"))
    nodes, loads = (hardware.nodes or {}).values(), hardware.loads or {}
    coming = min(
        karpenter.ordered(hardware, shape, places(shape, nodes, loads).by_node) // count
        for shape, count in template.pods
    )
    offer = karpenter.purchasable(hardware, template, gpu, hardware.heard or 0.0)
    if offer.pods is None:
        return Count(None, reason=offer.reason)
    reason = f"{coming} on machines that are ordered; {offer.reason}" if coming else offer.reason
    return Count(coming + offer.pods, "upper" if coming + offer.pods else "exact", reason)


def _own(cluster: Cluster, scaled: Scaled, gpu: str) -> Count:
    if scaled.held is None:
        return Count(None, reason=cluster.problems.get("pods", f"which pods {scaled.target} has is not known"))
    return Count(dict(scaled.held).get(gpu, 0))


def _is_own(pod: Waiting, scaled: Scaled) -> bool:
    namespace, kind, name = pod.owner
    if namespace != scaled.namespace:
        return False
    return f"{kind} {name}" == scaled.target or any(own.name == pod.name for own in scaled.pods or ())
