"""How many pods fit on machines that Karpenter has ordered, or may still order.

What can be known: the limits of its NodePools and what they have used, the machines on their way, the sizes of machine
types that were ever seen here, and which orders failed of late. What cannot: its price list, the cloud's quota, what
is reserved there, and what is in stock. So every answer above zero is an upper bound, and a pool without a limit makes
it unknown.

A NodeOverlay lets Karpenter take machines to have a resource that the cloud does not speak of, so a pool that it may
mean may offer that resource. A pool with spec.replicas keeps that number of machines, and buys none for pods. A
CapacityBuffer makes Karpenter buy for pods that do not exist: the scheduler knows nothing of them, so the room that is
kept counts as free, but they take a part of what limits leave.

Source: sigs.k8s.io/karpenter 1.15.0, pkg/apis, pkg/scheduling/requirements.go (Compatible),
pkg/controllers/provisioning/scheduling/scheduler.go (filterByRemainingResources: a machine is not bought if its whole
capacity is more than its pool's limit leaves), nodeclaim/lifecycle/launch.go (a claim that cannot be had is deleted,
and an event stays), nodeoverlay/controller.go, static/provisioning/controller.go, provisioning/buffers.go.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from scaler.cluster.node_fit import EMPTY, filter_reason, fit_on_node, pods_that_fit, requirement_matches, tolerates
from scaler.model.amounts import as_written
from scaler.model.nodes import (
    POOL,
    Node,
    NodeOverlay,
    NodePool,
    NodeSnapshot,
    PodRequirements,
    ReplicaTemplate,
    Requirement,
    Taint,
)

RECENT = 900.0  # seconds for which an order that failed is held against its pool, unless one succeeded since
TYPE = "node.kubernetes.io/instance-type"
INITIALIZED = "karpenter.sh/initialized"
_KNOWN = (  # domains of labels that a provider knows, though a pool does not name them
    "kubernetes.io/",
    "karpenter.sh/",
    "karpenter.k8s.",  # aws, gcp, oracle, alibabacloud ...
    "eks.amazonaws.com/",
    "karpenter.azure.com/",
    "kubernetes.azure.com/",
    "cloud.google.com/",
    "oci.oraclecloud.com/",
    "oke.oraclecloud.com/",
    "topology.",  # of drivers of volumes, whose zones providers translate
)
_CAPACITY_TYPE = "karpenter.sh/capacity-type"
_CAPACITY_TYPES = ("on-demand", "spot", "reserved")
# Families of machines where their names tell which have GPUs; elsewhere they tell nothing.
_FAMILIES = {
    "karpenter.k8s.aws/instance-category": re.compile(r"(g|p|inf|trn|dl|vt|f).*"),
    "karpenter.k8s.aws/instance-family": re.compile(r"(g|p|inf|trn|dl|vt|f).*"),
    "eks.amazonaws.com/instance-category": re.compile(r"(g|p|inf|trn|dl|vt|f).*"),
    "eks.amazonaws.com/instance-family": re.compile(r"(g|p|inf|trn|dl|vt|f).*"),
    "karpenter.azure.com/sku-family": re.compile(r"N.*", re.IGNORECASE),
}
_ACCELERATORS = "aws.amazon.com/"  # whose machines count accelerators, and no GPUs (pkg/providers/instancetype of AWS)
_EVERYWHERE = ("nodes", "cpu", "memory", "ephemeral-storage", "pods")  # every machine has some
_REPLICAS = "nvidia.com/gpu.replicas"  # NVIDIA's label of nodes: among how many pods each GPU is shared
_GROUPS = (  # labels of groups of machines that are not Karpenter's
    "eks.amazonaws.com/nodegroup",
    "alpha.eksctl.io/nodegroup-name",
    "cloud.google.com/gke-nodepool",
    "kubernetes.azure.com/agentpool",
    "alibabacloud.com/nodepool-id",
    "doks.digitalocean.com/node-pool",
    "k8s.scaleway.com/pool-name",
)
_TYPED = ("/instance-", "/sku-", "/shape")  # in labels that all machines of a type have alike
# pkg/controllers/provisioning/scheduling/scheduler.go: subtractMax takes no node off what is left of a limit.
_LATE = "Karpenter looks at a limit on nodes only between its rounds, and may buy more in one"
_MOST = 1_000_000  # pods on one machine: more than there ever are


@dataclass(frozen=True, slots=True)
class PoolCapacity:
    """The capacity that one pool, or all together, may still give."""

    replicas: int | None  # None: not known
    reason: str  # what binds, or why it is not known
    more: tuple[str, ...] = ()  # why there may be more of them
    limit: str = ""  # what binds that pods ask for themselves, such as nvidia.com/gpu
    lasting: bool = True  # False: what keeps a pool from buying is taken to last, and may pass


def on_node_claims(snapshot: NodeSnapshot, shape: PodRequirements, gpu: str) -> int:
    """Count pods that fit on ordered nodes that are not complete yet, less those that fit there already."""
    sharing = shared(snapshot, gpu)
    total, nodes, loads = 0, snapshot.nodes or {}, snapshot.usage or {}
    claims = [one for one in snapshot.node_claims or () if not (one.initialized or one.deleting or one.problem)]
    nameless = any(not one.node for one in claims)
    joined = _joined(nodes) if nameless else {}
    for claim in claims:
        name = claim.node or joined.get(claim.provider, "")
        room = {"pods": _MOST, **claim.allocatable, gpu: claim.allocatable.get(gpu, 0) * sharing}
        machine = Node(name or claim.name, claim.labels, claim.taints, room)
        whole, now = (fit_on_node(shape, "", node, loads.get(name)) for node in (machine, nodes.get(name)))
        total += max(whole.pods - now.pods, 0)
    return total


def _joined(nodes: Mapping[str, Node]) -> dict[str, str]:
    """Map provider IDs to nodes: a pod may be on a node before Karpenter has written its name in the claim."""
    return {node.provider: node.name for node in nodes.values() if node.provider}


def shared(snapshot: NodeSnapshot, gpu: str) -> int:
    """Return the most pods among which a device plugin shares a GPU: nodes have so many times what the cloud says.

    Karpenter goes by what the cloud says, and its limits count what a node lists once it is whole. So within a limit of
    8 GPUs that are each shared by 4, it may buy 8 GPUs for 32 pods.
    """
    if not gpu:
        return 1
    told = {claim.node: claim.capacity.get(gpu, 0) for claim in snapshot.node_claims or () if claim.node}
    told |= {claim.provider: claim.capacity.get(gpu, 0) for claim in snapshot.node_claims or () if claim.provider}
    found = [1]
    for node in snapshot.instance_types:
        real = told.get(node.name) or told.get(node.provider) or 0
        label = node.labels.get(_REPLICAS, "")
        found.append(-(-node.allocatable.get(gpu, 0) // real) if real else int(label) if label.isdecimal() else 1)
    return max(found)


def taints_of(snapshot: NodeSnapshot) -> frozenset[Taint]:
    """Return the taints of nodes to come."""
    pools = (taint for pool in (snapshot.node_pools or {}).values() for taint in pool.taints)
    return frozenset([*pools, *(taint for claim in snapshot.node_claims or () for taint in claim.taints)])


def provisionable(snapshot: NodeSnapshot, template: ReplicaTemplate, gpu: str, now: float) -> PoolCapacity:
    """Count the replicas for which Karpenter may still buy nodes.

    Args:
        snapshot: all there is; its pools are known.
        template: of a replica.
        gpu: the GPU resource that it asks for; empty for none.
        now: seconds.
    """
    pools = _as_ordered(snapshot)
    each = (_offer(snapshot, pool, template, gpu, now) for pool in pools)
    offers = [offer for offer in each if offer]
    unknown = [offer.reason for offer in offers if offer.replicas is None]
    if unknown:
        return PoolCapacity(None, "; ".join(unknown))
    reasons = [offer.reason for offer in offers] or ["no NodePool takes its pods"]
    total = sum(offer.replicas or 0 for offer in offers)
    told = "; ".join(dict.fromkeys([*reasons, *(_kept_for_others(snapshot) if total else ())]))
    more = tuple(dict.fromkeys(one for offer in offers for one in offer.more))
    return PoolCapacity(total, told, more, lasting=all(offer.lasting for offer in offers))


def _kept_for_others(snapshot: NodeSnapshot) -> Iterable[str]:
    """Say what CapacityBuffers may have of what is still to be bought; not whose they are: a tenant reads it."""
    buffers = snapshot.capacity_buffers or ()
    if buffers:
        yield f"CapacityBuffers keep room for {sum(one.pods for one in buffers)} pods, which may be among these"


def _as_ordered(snapshot: NodeSnapshot) -> list[NodePool]:
    """List the pools with what their orders use: Karpenter writes that down only every 5 s.

    Source: sigs.k8s.io/karpenter 1.14.0, pkg/controllers/nodepool/counter/controller.go.
    """
    orders: dict[str, Counter[str]] = {}
    for claim in snapshot.node_claims or ():
        if not claim.problem:
            orders.setdefault(claim.pool, Counter()).update({"nodes": 1, **(claim.capacity or claim.allocatable)})
    # The union of two counters is the greater of each count.
    return [
        replace(pool, used=Counter(pool.used) | orders.get(pool.name, Counter()))
        for pool in (snapshot.node_pools or {}).values()
    ]


def _offer(
    snapshot: NodeSnapshot, pool: NodePool, template: ReplicaTemplate, gpu: str, now: float
) -> PoolCapacity | None:
    """Count the replicas for which one pool may buy; None for a pool that has nothing to do with these pods."""
    if not all(compatible(shape, pool) for shape, _ in template.pods):
        return None
    types = _types(snapshot, pool)
    offers = _offers(snapshot, pool, types, gpu)
    if offers is False:
        return None
    offer = _left(snapshot, pool, template, types, gpu, now)
    if offers is None and offer.replicas != 0 and not any(shape.claim_templates for shape, _ in template.pods):
        return PoolCapacity(None, f"NodePool {pool.name}: whether it offers {gpu} is not known")
    return replace(offer, more=(*offer.more, *_unsized(snapshot, pool, template, offer.limit)))


def _left(
    snapshot: NodeSnapshot, pool: NodePool, template: ReplicaTemplate, types: Mapping[str, Node], gpu: str, now: float
) -> PoolCapacity:
    """Count the replicas for which a pool may buy that has nodes for them."""
    name = f"NodePool {pool.name}"
    missing = _missing(snapshot, pool)
    if missing == 0:
        return PoolCapacity(0, f"{name}: it has all {pool.replicas} machines that it is to have (spec.replicas)")
    if any(shape.claim_templates for shape, _ in template.pods):
        return PoolCapacity(None, f"{name}: Karpenter buys for pods that claim devices only where it is set to")
    if pool.problem:
        return PoolCapacity(0, f"{name}: {pool.problem}")
    short = _shortage(snapshot, pool, now)
    if short:
        return PoolCapacity(0, f"{name}: {short}", lasting=False)
    if missing is None:
        bound = _bound(pool, template, types, (gpu, shared(snapshot, gpu)))
    else:
        bound = _still(pool, template, types, missing)
    if bound.replicas and _only_reserved(pool, template):
        return replace(bound, reason=f"{bound.reason}; how much is left of what is reserved cannot be read")
    return bound


def _unsized(snapshot: NodeSnapshot, pool: NodePool, template: ReplicaTemplate, limit: str) -> Iterable[str]:
    """Say which ordered machines may take more pods than they were ordered for: how large they will be is not known.

    Where a limit binds on what the pods themselves ask for, all that such a machine may have is within that limit.
    """
    if template.requested(limit):
        return
    for claim in snapshot.node_claims or ():
        on_its_way = not (claim.initialized or claim.deleting or claim.problem)
        if claim.pool == pool.name and on_its_way and not claim.capacity:
            yield f"how large {claim.name} will be, which is ordered, is not known"


def _missing(snapshot: NodeSnapshot, pool: NodePool) -> int | None:
    """Count the nodes that a pool with a fixed number of them still orders; None for one that buys for pods."""
    if pool.replicas is None:
        return None
    there = sum(
        claim.pool == pool.name and not claim.deleting and not claim.problem for claim in snapshot.node_claims or ()
    )
    return max(min(pool.replicas, pool.limits.get("nodes", pool.replicas)) - there, 0)


def _still(pool: NodePool, template: ReplicaTemplate, types: Mapping[str, Node], missing: int) -> PoolCapacity:
    """Count the replicas on the nodes that a pool still orders to have its number."""
    name = f"NodePool {pool.name}"
    sizes = types.values() if _all_seen(pool, types) else ()
    if not sizes or len(template.pods) > 1:
        told = f"it may still order {missing} of the {pool.replicas} machines that it is to have (spec.replicas)"
        return PoolCapacity(None, f"{name}: {told}, and how large these are is not known")
    [(shape, count)] = template.pods
    largest = max(pods_that_fit(shape, one, EMPTY)[0] if _of_type(shape, one) else 0 for one in sizes)
    return PoolCapacity(
        missing * largest // count, f"{name}: {missing} of its {pool.replicas} machines are not there yet"
    )


def _only_reserved(pool: NodePool, template: ReplicaTemplate) -> bool:
    """Tell whether nodes for these pods can only come out of what is reserved with the cloud."""
    own = [one for one in pool.requirements if one.key == _CAPACITY_TYPE]
    asked = [value for shape, _ in template.pods for key, value in shape.selector if key == _CAPACITY_TYPE]
    wanted = [*own, *(Requirement(_CAPACITY_TYPE, "In", (value,)) for value in asked)]
    return [one for one in _CAPACITY_TYPES if _all_accept(wanted, one)] == ["reserved"]


def _all_accept(wishes: Iterable[Requirement], value: str) -> bool:
    return all(requirement_matches(wish, value) for wish in wishes)


def compatible(shape: PodRequirements, pool: NodePool) -> bool:
    """Tell whether a pool may make a node for such a pod."""
    if not all(tolerates(shape, taint) for taint in pool.taints if taint.effect != "PreferNoSchedule"):
        return False
    wishes = tuple(Requirement(key, "In", (value,)) for key, value in shape.selector)
    terms = ((),) if shape.affinity is None else shape.affinity
    return any(_all_possible((*wishes, *term), pool) for term in terms)


def _all_possible(wishes: Iterable[Requirement], pool: NodePool) -> bool:
    return all(_possible(wish, pool) for wish in wishes if not wish.field)


def _possible(wish: Requirement, pool: NodePool) -> bool:
    own = [requirement for requirement in pool.requirements if requirement.key == wish.key]
    if not own:
        return wish.operator in {"NotIn", "DoesNotExist"} or _of_provider(wish.key, pool)
    if any(requirement.operator == "DoesNotExist" for requirement in own):
        return requirement_matches(wish, None)
    listed = [requirement.values for requirement in (wish, *own) if requirement.operator == "In"]
    if not listed:
        return wish.operator != "DoesNotExist"
    return any(_all_accept((wish, *own), value) for value in listed[0])


def _of_provider(key: str, pool: NodePool) -> bool:
    """Tell whether a label may be one that a provider puts on its nodes, though the pool does not name it."""
    domain = key.rpartition("/")[0]
    own = bool(pool.provider) and (domain == pool.provider or domain.endswith(f".{pool.provider}"))
    return own or "karpenter" in domain or any(known in key for known in _KNOWN)


def _types(snapshot: NodeSnapshot, pool: NodePool) -> dict[str, Node]:
    """Map the instance types that were seen and that a pool may buy to an empty, whole node of each.

    A node knows it best; the capacity in an order is an estimate (the kwok provider writes what it was ordered for).
    Nodes of other pools tell nothing: device plugins may share or divide the same GPUs there, or not.
    """
    seen: dict[str, Node] = {}
    own_nodes = [node for node in snapshot.instance_types if node.labels.get(POOL) == pool.name]
    nodes = ((node.labels, node.allocatable) for node in own_nodes)
    claims = ((claim.labels, claim.capacity) for claim in snapshot.node_claims or ())
    for labels, capacity in (*nodes, *claims):
        name = labels.get(TYPE, "")
        fits = all(
            requirement_matches(one, labels.get(one.key))
            for one in pool.requirements
            if one.key.startswith((TYPE, "karpenter.k8s."))
        )
        if name and name not in seen and capacity and (fits or labels.get(POOL) == pool.name):
            own = {one.key: one.values[0] for one in pool.requirements if one.operator == "In" and len(one.values) == 1}
            whole = {**labels, **own}
            seen[name] = Node(
                name, whole, pool.taints, {"nodes": 1, "pods": 110, **_overlaid(snapshot, whole), **capacity}
            )
    return seen


def _overlaid(snapshot: NodeSnapshot, labels: Mapping[str, str]) -> dict[str, int]:
    """Return what NodeOverlays say that a node has; of several the most."""
    found: Counter[str] = Counter()
    for overlay in snapshot.node_overlays or ():
        if overlay.valid and all(requirement_matches(one, labels.get(one.key)) for one in overlay.requirements):
            found |= Counter(overlay.capacity)
    return dict(found)


def instance_types(nodes: Iterable[Node]) -> tuple[Node, ...]:
    """List one whole node of every pool and type, and of every group of nodes that others than Karpenter manage."""
    whole = (node for node in nodes if node.labels.get(INITIALIZED, "true") == "true" and _group(node))
    return tuple({(_group(node), node.labels.get(TYPE)): node for node in whole}.values())


def _group(node: Node) -> tuple[str, str] | None:
    """Return the pool or group that a node is of; None: of none that is known."""
    return next(((key, node.labels[key]) for key in (POOL, *_GROUPS) if key in node.labels), None)


def grown_by_others(snapshot: NodeSnapshot, template: ReplicaTemplate) -> Iterator[str]:
    """Say which groups of machines for these pods another autoscaler may let grow, which cannot be read."""
    for node in snapshot.instance_types:
        key, name = _group(node) or ("", "")
        if key in _GROUPS and all(
            not filter_reason(shape, node) and pods_that_fit(shape, node, EMPTY)[0] for shape, _ in template.pods
        ):
            yield f"another autoscaler may let {name} grow ({key})"


def _offers(snapshot: NodeSnapshot, pool: NodePool, types: Mapping[str, Node], gpu: str) -> bool | None:
    """Tell whether a pool has nodes with such GPUs; None where nothing tells."""
    if not gpu or gpu in pool.limits or pool.used.get(gpu):
        return True
    if any(node.allocatable.get(gpu) for node in types.values()):
        return True
    about = [one for one in pool.requirements if "gpu" in one.key or "accelerator" in one.key]
    if any(one.operator not in {"NotIn", "DoesNotExist", "Lt", "Lte"} for one in about):
        return True
    if snapshot.node_overlays is None or any(
        _may_mean(one, pool) for one in snapshot.node_overlays if gpu in one.capacity
    ):
        return None
    return False if _never(pool, types, gpu) else None


def _may_mean(overlay: NodeOverlay, pool: NodePool) -> bool:
    """Tell whether nodes of a pool may be among those that a NodeOverlay means."""
    return overlay.valid is not False and all(_possible(one, pool) for one in overlay.requirements)


def _never(pool: NodePool, types: Mapping[str, Node], gpu: str) -> bool:
    """Tell whether what a pool may buy leaves out nodes with GPUs; what it has bought so far says nothing of that."""
    if _all_seen(pool, types):
        return True
    listed = [one for one in pool.requirements if one.operator == "In" and one.key in _FAMILIES]
    if any(not any(map(_FAMILIES[one.key].fullmatch, one.values)) for one in listed):
        return True
    counted = "/instance-accelerator-count" if gpu.startswith(_ACCELERATORS) else "/instance-gpu-count"
    return any(one.operator == "DoesNotExist" and one.key.endswith(counted) for one in pool.requirements)


def _shortage(snapshot: NodeSnapshot, pool: NodePool, now: float) -> str:
    """Say which order of a pool failed last, if none succeeded since; an empty text otherwise."""
    claims = [claim for claim in snapshot.node_claims or () if claim.pool == pool.name]
    stuck = next((f"{claim.name}: {claim.problem}" for claim in claims if claim.problem), "")
    got = max((claim.launched for claim in claims if claim.launched is not None), default=0.0)
    failed = [one for one in snapshot.shortages or () if one.pool == pool.name and one.time >= max(got, now - RECENT)]
    last = max(failed, key=lambda one: one.time, default=None)
    return f"{max(now - last.time, 0.0):.0f}s ago {last.message}" if last else stuck


def _bound(
    pool: NodePool, template: ReplicaTemplate, types: Mapping[str, Node], sharing: tuple[str, int]
) -> PoolCapacity:
    """Count the replicas that a pool's limits leave; `sharing`: a resource, and how many pods share a GPU."""
    each = (_within(pool, one, template, types, sharing) for one in sorted(pool.limits))
    found = [offer for offer in each if offer]
    kept = [offer for offer in found if not offer.more]
    none = PoolCapacity(None, f"NodePool {pool.name}: it has no limit that binds its pods")
    return min(kept or found, key=lambda offer: offer.replicas or 0, default=none)


def _within(
    pool: NodePool, resource: str, template: ReplicaTemplate, types: Mapping[str, Node], sharing: tuple[str, int]
) -> PoolCapacity | None:
    """Count the replicas that one limit of a pool leaves; None: it binds none of them."""
    limit, sizes = pool.limits[resource], list(types.values()) if _all_seen(pool, types) else []
    left = max(limit - pool.used.get(resource, 0), 0) * dict([sharing]).get(resource, 1)
    whole = len(sizes) == 1 and len(template.pods) == 1
    if whole:
        fits = _whole(left, resource, sizes[0], template)
    elif template.requested(resource):
        fits = left // template.requested(resource)
    else:
        fits = 0 if resource in _EVERYWHERE and not left else None
    if fits is None:
        return None
    told = f"NodePool {pool.name}: limit {resource} {as_written(resource, limit)}"
    more = (_LATE,) if resource == "nodes" and left else ()
    return PoolCapacity(fits, told, more, limit="" if whole else resource)


def _whole(left: int, resource: str, machine: Node, template: ReplicaTemplate) -> int | None:
    """Count the replicas on nodes of one type that a limit leaves, since only whole nodes are bought."""
    [(shape, count)] = template.pods
    taken = machine.allocatable.get(resource, 0)
    fits = pods_that_fit(shape, machine, EMPTY)[0] if _of_type(shape, machine) else 0
    return left // taken * fits // count if taken else None


def _of_type(shape: PodRequirements, seen: Node) -> bool:
    """Tell whether a pod may use some node of a type that was seen, which may be in another zone, or on spot."""
    terms = ((),) if shape.affinity is None else shape.affinity
    wishes = tuple(Requirement(key, "In", (value,)) for key, value in shape.selector)

    def possible(wish: Requirement) -> bool:
        of_type = wish.key == TYPE or any(part in wish.key for part in _TYPED)
        return (
            wish.field or not of_type or wish.key not in seen.labels or requirement_matches(wish, seen.labels[wish.key])
        )

    return any(all(map(possible, (*wishes, *term))) for term in terms)


def _all_seen(pool: NodePool, types: Mapping[str, Node]) -> bool:
    """Tell whether a pool names its instance types, and every one was seen."""
    named = [set(one.values) for one in pool.requirements if one.key == TYPE and one.operator == "In"]
    return bool(named) and set.intersection(*named) <= types.keys()
