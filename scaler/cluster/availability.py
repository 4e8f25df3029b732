"""How many more replicas of a workload can really be had: on the machines that are there, and on those to be bought.

Five questions, one picture of the cluster. Every answer is exact, or says which kind of bound it is and why, or says
why it is not known. Own pods never count against their workload: its pods without a node take places first, and these
places are still its own.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from scaler.cluster import admission, dra, karpenter, kueue
from scaler.cluster.anti_affinity import ExcludedNodes, excluded_nodes
from scaler.cluster.dra import DeviceFit
from scaler.cluster.node_fit import ClusterFit, FitCache, NodeFit, filter_reason, fit_on_node, preemptible
from scaler.cluster.pending import pods_ahead, with_nominated
from scaler.model.amounts import as_written
from scaler.model.availability import Availability, Bound, BoundedCount
from scaler.model.nodes import (
    ClaimTemplate,
    DeviceRequest,
    Devices,
    NodeSnapshot,
    NodeUsage,
    PendingPod,
    PendingPods,
    PodRequirements,
    ReplicaTemplate,
    ResourceQuota,
)
from scaler.model.objects import OLD, Cluster, ScaledResource

PLUGINS = tuple(  # what device plugins call accelerators, the surest name first: a node has those that it lists
    re.compile(name)
    for name in (
        r"nvidia\.com/(gpu|gpu\.shared|mig-.+)",
        r"amd\.com/gpu",
        r"gpu\.intel\.com/(i915|xe)",
        r"habana\.ai/gaudi",
        r"google\.com/tpu",
        r"aws\.amazon\.com/neuron",
        r"aws\.amazon\.com/neurondevice",
        r"aws\.amazon\.com/neuroncore",
        r"huawei\.com/ascend[^-]+",
        r"qualcomm\.com/qaic",
    )
)
GPUS = PLUGINS + tuple(  # what a pod's accelerator is called; of two names for the same silicon the first counts
    re.compile(name)
    for name in (
        r".*(gpu|npu|tpu|dcu|mlu|gcu|xpu|accelerator).*",
        r"(nvidia|amd|gpu\.intel|habana|huawei|cambricon|hygon|iluvatar|metax-tech|enflame|mthreads|kunlunxin)\..+",
        r".+/.+",
    )
)
# Parts of devices, such as aliyun.com/gpu-mem: a pod has all of them from one device, and a node tells only their sum.
_PARTS = re.compile(r"[^/]+/.*(mem|memory|millicores|cores?|ratio|percent|percentage)([-_.].*)?")
_NONE = re.compile(  # of a network or a virtual machine
    r"(rdma/|vpc\.amazonaws|.*network|smarter-devices/|devices\.kubevirt).*"
    r"|[^/]+/.*(rdma|sriov|nics?$|hca|eni$|(?<![a-z])(ib|net)|efa|roce|fuse|kvm|tun$|vhost|vfio|netdev).*"
)
TEMPLATES = {  # where the pod templates of a kind are read
    "Deployment": "deployments.apps",
    "StatefulSet": "statefulsets.apps",
    "LeaderWorkerSet.leaderworkerset.x-k8s.io": "leaderworkersets.leaderworkerset.x-k8s.io",
}
PRIORITIES = "priorityclasses.scheduling.k8s.io"
NO_KARPENTER = "there is no NodePool of Karpenter here, and what another provisioner may add cannot be read"
_UNREAD = re.compile(r"^limits\.|\.deviceclass\.resource\.k8s\.io/devices$")  # what a ResourceQuota may limit as well
UNBOUNDED = 10**9  # replicas
NONE: Mapping[str, NodeUsage] = MappingProxyType({})
_FIT_CACHE = FitCache()  # what was counted last; it makes answers quicker, not different
NO_PROVISIONER = "no machines are bought here (kubernetes.provisioner: none)"


def availability(cluster: Cluster, scaled: ScaledResource) -> Availability:
    """Answer the five questions for one scale target.

    `schedulable` counts places: own pods that wait for a node take some of them, and nothing is taken off for these. So
    pods with a node + schedulable + provisionable is what the workload can grow to.
    """
    unknown = _unknown(cluster, scaled)
    snapshot, template = cluster.node_snapshot, scaled.template
    if unknown or not snapshot or not template:
        missing = BoundedCount(None, reason=unknown)
        return Availability("", missing, missing, missing, missing, missing)
    case = _case(cluster, snapshot, scaled, template)
    none = BoundedCount(None, reason="its pods ask for no GPU")
    schedulable = _schedulable(case)
    return Availability(
        f"{case.gpus_of(template)} {case.gpu}" if case.gpu else "",
        schedulable=schedulable,
        free=_free(case) if case.gpu else none,
        pending=_pending(case) if case.gpu else none,
        provisionable=_provisionable(case, schedulable),
        own=_own(case) if case.gpu else none,
    )


def _unknown(cluster: Cluster, scaled: ScaledResource) -> str:
    """Say why nothing is known, or return an empty text."""
    snapshot = cluster.node_snapshot
    if snapshot is None:
        return cluster.problems.get("kubernetes", "Kubernetes is not watched")
    if snapshot.nodes is None:
        return cluster.problems.get("nodes", "which nodes there are is not known yet")
    if snapshot.usage is None:
        return cluster.problems.get("pods", "which pods there are is not known yet")
    if scaled.template is None:
        kind = scaled.target.partition(" ")[0]
        return cluster.problems.get(TEMPLATES.get(kind, ""), f"the pod template of {scaled.target} is not known")
    if snapshot.devices is None and any(shape.claim_templates for shape, _ in scaled.template.pods):
        problems = (text for name, text in cluster.problems.items() if name.endswith(".resource.k8s.io"))
        return next(problems, "which devices there are is not known yet")
    if (
        snapshot.devices
        and not snapshot.devices.served
        and any(shape.claim_templates for shape, _ in scaled.template.pods)
    ):
        return "the cluster serves no version of resource.k8s.io that is read here (v1, v1beta2, v1beta1)"
    age = (cluster.last_synced or 0.0) - (snapshot.last_synced or 0.0)
    return f"machines were last heard of {age:.0f}s before all else" if age > OLD else ""


@dataclass(frozen=True, slots=True)
class _GivenDevices:
    """Devices for pods of one shape."""

    claimed: DeviceFit | None  # for those that claim some; None: they claim none
    backed: DeviceFit | None  # that are given for the resource which they ask for by number; None: none are

    @property
    def supplies(self) -> list[DeviceFit]:
        """Both, where there are any."""
        return [supply for supply in (self.claimed, self.backed) if supply]


@dataclass(frozen=True, slots=True)
class _CapacityQuestion:
    """All that the five questions are about."""

    cluster: Cluster
    snapshot: NodeSnapshot
    scaled: ScaledResource
    template: ReplicaTemplate
    gpu: str  # what counts as a GPU: an extended resource, or a class of devices; empty for neither
    own_pending: tuple[PendingPod, ...]  # its pods without a node
    excluded_nodes: ExcludedNodes  # nodes that are closed since pods stay apart, from either side
    devices: tuple[_GivenDevices, ...] = ()  # for each shape of the template

    @property
    def quotas(self) -> tuple[ResourceQuota, ...]:
        """Those of its namespace, where they are known."""
        return (self.snapshot.quotas or {}).get(self.scaled.namespace, ())

    def claims(self, shape: PodRequirements, namespace: str | None = None) -> list[ClaimTemplate]:
        """List the devices that a pod asks for, by each of its claims."""
        return dra.claimed(self.snapshot.devices or Devices(), namespace or self.scaled.namespace, shape)

    def gpus_of(self, template: ReplicaTemplate, namespace: str | None = None) -> int:
        """Count the GPUs that a replica asks for."""
        claimed = (
            count * max(request.count, 1)
            for shape, count in template.pods
            for claim in self.claims(shape, namespace)
            for request in claim.requests
            if request.device_class == self.gpu and not request.admin
        )
        return template.requested(self.gpu) + sum(claimed)


def _case(
    cluster: Cluster, snapshot: NodeSnapshot, scaled: ScaledResource, template: ReplicaTemplate
) -> _CapacityQuestion:
    asked = sorted(name for name in _extended(template) if not _NONE.fullmatch(name.lower()))
    gpu = next((name for known in GPUS for name in asked if known.fullmatch(name.lower())), "")
    template = kueue.flavored(snapshot, scaled.namespace, _listed(snapshot, template, gpu))
    scaled = replace(scaled, template=template)
    case = _CapacityQuestion(
        cluster,
        snapshot,
        scaled,
        template,
        gpu,
        _own_pending(snapshot.pending_pods, scaled),
        _excluded_nodes(snapshot, scaled),
    )
    claims = [claim for shape, _ in template.pods for claim in case.claims(shape)]
    if not gpu:
        case = replace(case, gpu=dra.accelerator(one for claim in claims for one in claim.requests))
    return replace(
        case, devices=tuple(_GivenDevices(_supply(case, shape), _backed(case, shape)) for shape, _ in template.pods)
    )


def _extended(template: ReplicaTemplate) -> set[str]:
    """Return the extended resources that a replica asks for."""
    requests = {resource for shape, _ in template.pods for resource, _ in shape.requests}
    return {resource for resource in requests if admission.is_extended(resource)}


def _resources(snapshot: NodeSnapshot) -> frozenset[str]:
    """Return the resources that some node lists."""
    if snapshot.listed_resources is not None:
        return snapshot.listed_resources
    return frozenset(name for node in (snapshot.nodes or {}).values() for name in node.allocatable)


def _listed(snapshot: NodeSnapshot, template: ReplicaTemplate, gpu: str) -> ReplicaTemplate:
    """Leave out what no node lists beside what some node does: a webhook or a scheduler supplies that.

    Such is nvidia.com/gpumem of HAMi, which stands beside nvidia.com/gpu and which its scheduler alone counts.
    """
    asked = _extended(template)
    listed = _resources(snapshot)
    absent = asked - listed - {gpu}
    if not absent or not asked & listed:
        return template
    told = f"no node lists {', '.join(sorted(absent))}, which a webhook or another scheduler may supply"
    pods = tuple((_without(shape, absent), count) for shape, count in template.pods)
    return replace(template, pods=pods, caveats=(*template.caveats, told))


def _unlisted(case: "_CapacityQuestion") -> str:
    """Say why nothing is known of a resource that no node lists; empty where a device plugin alone can supply it."""
    named = {shape.scheduler for shape, _ in case.template.pods if shape.scheduler}
    if "/" not in case.gpu or case.gpu in _resources(case.snapshot) or any(given.supplies for given in case.devices):
        return ""
    if any(name.endswith(".resource.k8s.io") for name in case.cluster.problems):
        return f"no node lists {case.gpu}, and whether devices are given for it is not known"
    if case.gpu.startswith(admission.DEVICES):
        return ""
    if named:
        return f"no node lists {case.gpu}, and what {' and '.join(sorted(named))} makes of that cannot be read"
    if any(known.fullmatch(case.gpu.lower()) for known in PLUGINS):
        return ""
    return f"no node lists {case.gpu}, which a webhook or another scheduler may supply"


def _excluded_nodes(snapshot: NodeSnapshot, scaled: ScaledResource) -> ExcludedNodes:
    others = excluded_nodes(snapshot, scaled.namespace, scaled.template.labels if scaled.template else ())
    nodes = dict(others.nodes)
    for name, rank in scaled.excluded_nodes:
        nodes[name] = max(rank, nodes.get(name, rank))
    return replace(others, nodes=nodes)


def _own_pending(queue: PendingPods, scaled: ScaledResource) -> tuple[PendingPod, ...]:
    """Return the pods of a scale target that wait for a node."""
    kind, _, name = scaled.target.partition(" ")
    found = queue.by_owner.get((scaled.namespace, kind, name))
    if found is not None:
        return tuple(found)
    names = {pod.name for pod in scaled.pods or () if pod.state == "pending"}
    there = (pods for owner, pods in queue.by_owner.items() if names and owner[0] == scaled.namespace)
    return tuple(pod for pods in there for pod in pods if pod.name in names)


# ---- places on the machines that are there ---------------------------------------------------------------------------


def _schedulable(case: _CapacityQuestion) -> BoundedCount:
    template = case.template
    if template.refused_reason:
        return BoundedCount(0, reason=template.refused_reason)
    supplies = [supply for given in case.devices for supply in given.supplies]
    unknown = next((supply.unknown for supply in supplies if supply.unknown), _unlisted(case))
    if unknown:
        return BoundedCount(None, reason=unknown)
    first, untried = pods_ahead(case.snapshot.pending_pods, case.own_pending, template.pods[0][0].priority)
    taken = with_nominated(case.snapshot, template.pods[0][0], first)
    found = [_places(case, shape, given, taken) for (shape, _), given in zip(template.pods, case.devices, strict=True)]
    left, quota = _quota(case)
    fits = min(_whole(case, shape, places.pods) for places, (shape, _) in zip(found, template.pods, strict=True))
    most = min(
        _whole(case, shape, places.pods_with_preemption)
        for places, (shape, _) in zip(found, template.pods, strict=True)
    )
    full = [places.why() for places in found if places.reasons]
    binding = [quota] if left < fits else full
    fits, most = min(fits, left), min(most, left)
    more = [*([_preemption_caveat(case, most)] if most > fits else []), *template.doubts]
    return _count(fits, more, _lower_caveats(case, supplies, untried), binding, None if template.doubts else most)


def _whole(case: _CapacityQuestion, shape: PodRequirements, places: int) -> int:
    """Count whole replicas on the pods that fit, after those of which some pods have a node already."""
    count, scaled = dict(case.template.pods)[shape], case.scaled
    there = {pod.name for pod in scaled.pods or () if pod.state not in {"pending", "terminating"}}
    if case.template.counted > 1:  # pods of all shapes are among these
        have = len(there) * count // case.template.size
        return (have + places) // count - have // count
    if scaled.kind == "ScaledJob":
        return (len(there) + places) // count - len(there) // count
    # The workers of a LeaderWorkerSet are called LEADER-NUMBER, and its pods that are known by name are the leaders.
    lacking = sum(pod.shape == shape and pod.name.rpartition("-")[0] in there for pod in case.own_pending)
    return max(places - lacking, 0) // count


def _count(
    value: int, more: Sequence[str], fewer: Sequence[str], also: Sequence[str], most: int | None = None
) -> BoundedCount:
    """Make a count with the reasons for which there may be more, or fewer, and with what else is to be told of it."""
    if more and fewer:
        both = [reason for reason in more if reason in fewer]
        rising = [reason for reason in more if reason not in both]
        falling = [reason for reason in fewer if reason not in both]
        doubts = [
            *both,
            *([f"perhaps more, since {'; '.join(rising)}"] if rising else []),
            *([f"perhaps fewer, since {'; '.join(falling)}"] if falling else []),
        ]
        return BoundedCount(value, "estimate", "; ".join(dict.fromkeys([*doubts, *also])), most)
    bound: Bound = "lower" if more else "upper" if fewer else "exact"
    return BoundedCount(value, bound, "; ".join(dict.fromkeys([*more, *fewer, *also])), most if more else None)


def _places(
    case: _CapacityQuestion, shape: PodRequirements, given: _GivenDevices, taken: Mapping[str, NodeUsage] = NONE
) -> ClusterFit:
    """Fit pods on all nodes, once some nodes are used otherwise."""
    nodes, loads = case.snapshot.nodes or {}, case.snapshot.usage or {}
    found = _FIT_CACHE.fit_on_nodes(shape, case.gpu, nodes, loads)
    closed_by, backed = case.excluded_nodes.nodes, given.backed
    special = nodes.keys() if given.supplies else nodes.keys() & (taken.keys() | closed_by.keys())

    def now(name: str) -> NodeFit:
        load = taken.get(name) or loads.get(name)
        stands_in = backed is not None and not nodes[name].allocatable.get(case.gpu)
        own = _without(shape, {case.gpu}) if stands_in else shape
        one = fit_on_node(own, case.gpu, nodes[name], load)
        if name in closed_by:
            most = one.pods_with_preemption if preemptible(closed_by[name], shape) else 0
            one = NodeFit(0, one.free, one.reason or "pod anti-affinity", most)
        devices = backed if stands_in else given.claimed
        if devices is None:
            return one
        there = devices.pods.get(name, 0)  # devices are not taken from a pod so that another has them
        enough, most = min(one.pods, there), min(one.pods_with_preemption, there)
        free = 0 if filter_reason(shape, nodes[name]) else devices.free.get(name, 0)
        return NodeFit(enough, free, one.reason or ("" if enough else f"insufficient {case.gpu}"), most)

    return found.changed((fit_on_node(shape, case.gpu, nodes[name], loads.get(name)), now(name)) for name in special)


def _backed(case: _CapacityQuestion, shape: PodRequirements) -> DeviceFit | None:
    """Return the devices that are given for the resource which a pod asks for by number; None: none are."""
    devices, amount = case.snapshot.devices or Devices(), shape.requested(case.gpu) if case.gpu else 0
    device_class = dra.stands_for(devices, case.gpu) if amount else ""
    if not device_class:
        return None
    return dra.supply(devices, [ClaimTemplate((DeviceRequest(device_class, amount),))], device_class)


def _without(shape: PodRequirements, resources: Collection[str]) -> PodRequirements:
    """Return the requirements of a pod without these resources."""
    return replace(shape, requests=tuple(pair for pair in shape.requests if pair[0] not in resources))


def _supply(case: _CapacityQuestion, shape: PodRequirements) -> DeviceFit | None:
    """Return the devices for pods that claim some; None for those that claim none."""
    claims = case.claims(shape)
    if not any(claim.requests for claim in claims):
        return None
    return dra.supply(case.snapshot.devices or Devices(), claims, case.gpu)


def _lower_caveats(case: _CapacityQuestion, supplies: Iterable[DeviceFit], untried: int) -> list[str]:
    """List the reasons for which fewer may fit than are counted."""
    template, snapshot = case.template, case.snapshot
    asked = [*(bound for shape, _ in template.pods for bound in shape.caveats), *template.caveats]
    claimed = [bound for supply in supplies for bound in supply.caveats]
    unread = [f"{quota.name}: {name}" for quota in case.quotas for name in quota.hard if _UNREAD.search(name)]
    unsaid = [
        f"{quota.name}: {name}"
        for quota in case.quotas
        for name in quota.hard
        if _quota_requires_request(template, name)
    ]
    quotas = case.cluster.problems.get("resourcequotas", "what quotas leave is not known yet")
    queue = _queue(case).doubt
    parts = sorted(name for name in _extended(template) if _is_part(name))
    doubts = {
        queue: bool(queue),
        f"how {' and '.join(parts)} is divided among the devices of a node is not counted": bool(parts),
        "some pods stay apart from others, by a selector that may take these": case.excluded_nodes.incomplete,
        "pods of several shapes share the nodes": len(template.pods) > 1,
        snapshot.incomplete_reason: bool(snapshot.incomplete_reason),
        quotas: snapshot.quotas is None,
        "quotas that speak of some pods only are not counted": any(quota.scoped for quota in case.quotas),
        f"quotas want pods to say what these do not request ({', '.join(unsaid)})": bool(unsaid),
        f"quotas on limits and on devices are not counted ({', '.join(unread)})": bool(unread),
        f"{untried} pod{'s' * (untried != 1)} of others about to be placed": untried > 0,
    }
    held = (reason for reason, holds in doubts.items() if holds)
    return [*asked, *template.assumed, *template.doubts, *claimed, *held]


def _is_part(resource: str) -> bool:
    whole = any(known.fullmatch(resource.lower()) for known in PLUGINS)
    return not whole and bool(_PARTS.fullmatch(resource.lower()))


def _quota_requires_request(template: ReplicaTemplate, name: str) -> bool:
    """Tell whether a quota refuses pods that do not request its resource, as these do not.

    Source: Kubernetes 1.35, pkg/quota/v1/evaluator/core/pods.go (podComputeQuotaResources).
    """
    resource = name.removeprefix("requests.")
    return resource in {"cpu", "memory"} and not all(shape.requested(resource) for shape, _ in template.pods)


def _preemption_caveat(case: _CapacityQuestion, most: int) -> str:
    """Say that more would fit if pods of others were preempted."""
    unknown = case.cluster.problems.get(PRIORITIES, "which PriorityClasses there are is not known yet")
    unranked = [shape.priority_class for shape, _ in case.template.pods if shape.priority is None]
    if case.snapshot.priorities is not None:
        unknown = " and ".join(f"there is no PriorityClass {name}" for name in dict.fromkeys(unranked))
    own = f", and its own is not known ({unknown})" if unranked else ""
    return f"pods of lower priority may give way{own}: {most} at most"


def _quota(case: _CapacityQuestion) -> tuple[int, str]:
    """Count the replicas that ResourceQuotas leave, pods that wait for a node among them; and say which one binds."""
    best, reason, template = UNBOUNDED, "", case.template
    for quota in case.quotas:
        for name, hard in quota.hard.items():
            asked = template.requested({"count/pods": "pods"}.get(name, name.removeprefix("requests.")))
            if not asked or quota.scoped:
                continue
            more = max(hard - quota.used.get(name, 0), 0) * template.size // asked
            if (len(case.own_pending) + more) // template.size < best:
                best = (len(case.own_pending) + more) // template.size
                reason = f"ResourceQuota {quota.name}: {name} {as_written(name, hard)}"
    queue = _queue(case)
    if queue.replicas is not None and len(case.own_pending) // template.size + queue.replicas < best:
        return len(case.own_pending) // template.size + queue.replicas, queue.reason
    return best, reason


def _queue(case: _CapacityQuestion) -> kueue.QuotaLeft:
    """Return what the Kueue queue leaves in which the pods wait."""
    placed = case.scaled.count("ready", "unready", "starting") or 0
    return kueue.left(case.snapshot, case.scaled.namespace, case.template, placed // case.template.size)


def _free(case: _CapacityQuestion) -> BoundedCount:
    template = case.template
    asking = (index for index, (shape, _) in enumerate(template.pods) if case.gpus_of(ReplicaTemplate(((shape, 1),))))
    index = next(asking, 0)
    given = case.devices[index]
    unknown = next((supply.unknown for supply in given.supplies if supply.unknown), _unlisted(case))
    if unknown:
        return BoundedCount(None, reason=unknown)
    devices = [bound for supply in given.supplies for bound in supply.caveats]
    fewer = [*template.assumed, *template.doubts, *devices, *filter(None, [case.snapshot.incomplete_reason])]
    return _count(_places(case, template.pods[index][0], given).free, template.doubts, fewer, ())


def _pending(case: _CapacityQuestion) -> BoundedCount:
    own = Counter(pod.shape for pod in case.own_pending)
    asked = 0
    for (namespace, shape), count in case.snapshot.pending_pods.shapes.items():
        others = count - (own[shape] if namespace == case.scaled.namespace else 0)
        asked += others * case.gpus_of(ReplicaTemplate(((shape, 1),)), namespace) if others else 0
    return BoundedCount(asked, "lower" if case.snapshot.incomplete_reason else "exact", case.snapshot.incomplete_reason)


def _own(case: _CapacityQuestion) -> BoundedCount:
    scaled = case.scaled
    if scaled.requested_by_own_pods is None:
        return BoundedCount(
            None, reason=case.cluster.problems.get("pods", f"which pods {scaled.target} has is not known")
        )
    names = {pod.name for pod in scaled.pods or ()}
    claiming = any(shape.claim_templates for shape, _ in case.template.pods)
    given = case.snapshot.devices.allocations if case.snapshot.devices and claiming else ()
    claimed = (one for one in given if one.namespace == scaled.namespace and names.intersection(one.pods))
    return BoundedCount(dict(scaled.requested_by_own_pods).get(case.gpu, 0) + sum(len(one.devices) for one in claimed))


# ---- places on machines to come --------------------------------------------------------------------------------------


def _provisionable(case: _CapacityQuestion, schedulable: BoundedCount) -> BoundedCount:
    """Count what fits on nodes to come, beside the replicas on those that are there."""
    snapshot, problems, placed = case.snapshot, case.cluster.problems, schedulable.value or 0
    if snapshot.no_provisioner:
        return BoundedCount(0, reason=NO_PROVISIONER)
    if case.template.refused_reason:
        return BoundedCount(0, reason=case.template.refused_reason)
    left, quota = _quota(case)
    if left <= placed:
        return _used_up(case, schedulable, quota)
    if not snapshot.node_pools:
        return BoundedCount(None, reason=problems.get("nodepools.karpenter.sh", NO_KARPENTER))
    for resource, part in {"nodeclaims.karpenter.sh": snapshot.node_claims, "events": snapshot.shortages}.items():
        if part is None:
            return BoundedCount(None, reason=problems.get(resource, f"{resource} are not known yet"))
    template = admission.tolerating(case.template, karpenter.taints_of(snapshot))
    coming = min(karpenter.on_node_claims(snapshot, shape, case.gpu) // count for shape, count in template.pods)
    offer = karpenter.provisionable(snapshot, template, case.gpu, snapshot.last_synced or 0.0)
    if offer.replicas is None:
        return BoundedCount(None, reason=offer.reason)
    total = coming + offer.replicas
    if left - placed < total:
        return _bounded(left - placed, template.doubts, [quota])
    ordered = [f"{coming} on machines that are ordered"] if coming else []
    reasons = [*ordered, offer.reason, *(template.assumed if total else ())]
    more = [*template.doubts, *karpenter.grown_by_others(snapshot, template), *offer.more]
    if not more and not offer.lasting:  # it is tried again, as the probe of a clamp does: until then nothing comes
        return BoundedCount(total, "estimate", "; ".join(reasons), upper_bound=total)
    return _bounded(total, more, reasons)


def _used_up(case: _CapacityQuestion, schedulable: BoundedCount, quota: str) -> BoundedCount:
    """Tell that nothing is left of a quota once what is schedulable has its part of it."""
    if case.template.doubts:
        return _bounded(0, case.template.doubts, [quota])
    if schedulable.bound == "exact":
        return BoundedCount(0, reason=quota)
    return BoundedCount(
        0, "upper", f"{quota}, which the {schedulable.value} use up that are schedulable, if so many are"
    )


def _bounded(value: int, more: Sequence[str], reasons: Sequence[str]) -> BoundedCount:
    """Make a count of replicas on nodes to come: at most so many, but for what may make them more; 0 is no bound."""
    bound: Bound = "upper" if value else "exact"
    if more:
        bound = "estimate" if value else "lower"
    told = [f"perhaps more, since {'; '.join(dict.fromkeys(more))}"] if more else []
    return BoundedCount(value, bound, "; ".join([*told, *reasons]))
