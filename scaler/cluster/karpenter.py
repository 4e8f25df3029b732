"""How many pods fit on machines that Karpenter has ordered, or may still order.

What can be known: the limits of its NodePools and what they have used, the machines on their way, the sizes of machine
types that were ever seen here, and which orders failed of late. What cannot: its price list, the cloud's quota, and
what is in stock. So every answer above zero is an upper bound, and a pool without a limit makes it unknown.

Source: sigs.k8s.io/karpenter 1.14.0, pkg/apis/v1, pkg/scheduling/requirements.go (Compatible),
pkg/controllers/provisioning/scheduling/scheduler.go (filterByRemainingResources: a machine is not bought if its whole
capacity is more than its pool's limit leaves), nodeclaim/lifecycle/launch.go (a claim that cannot be had is deleted,
and an event stays).
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from scaler.cluster.node_fit import EMPTY, accepts, closed, passes, place, room
from scaler.model.nodes import POOL, Hardware, Node, NodePool, Requirement, Shape, Template

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
)
_CATEGORY = re.compile(r".*/(instance-category|sku-family|instance-family)")
_WITH_GPUS = re.compile(r"(g|p|inf|trn|dl|vt|n|a[0-9]|tpu|ct|bm\.gpu|vm\.gpu|gn|vgn|ebmgn).*", re.IGNORECASE)
_UNITS = (("Ti", 2**40), ("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10))
_IN_BYTES = ("memory", "ephemeral-storage", "hugepages-")
_MOST = 1_000_000  # pods on one machine: more than there ever are


@dataclass(frozen=True, slots=True)
class Offer:
    """What one pool, or all together, may still give."""

    replicas: int | None  # None: not known
    reason: str  # what binds, or why it is not known


def ordered(hardware: Hardware, shape: Shape) -> int:
    """Pods that fit on machines which are ordered and not whole yet, less those that fit there already."""
    total, nodes, loads = 0, hardware.nodes or {}, hardware.loads or {}
    claims = [one for one in hardware.claims or () if not (one.initialized or one.leaving or one.problem)]
    joined = _joined(nodes) if any(not one.node for one in claims) else {}
    for claim in claims:
        name = claim.node or joined.get(claim.provider, "")
        machine = Node(name or claim.name, claim.labels, claim.taints, {"pods": _MOST, **claim.allocatable})
        whole, now = (place(shape, "", node, loads.get(name)) for node in (machine, nodes.get(name)))
        total += max(whole.fits - now.fits, 0)
    return total


def _joined(nodes: Mapping[str, Node]) -> dict[str, str]:
    """Nodes by what the cloud calls them: a pod may be on one before Karpenter has written its name in the claim."""
    return {node.provider: node.name for node in nodes.values() if node.provider}


def purchasable(hardware: Hardware, template: Template, gpu: str, now: float) -> Offer:
    """Replicas that Karpenter may still buy machines for.

    Args:
        hardware: all there is; its pools are known.
        template: of a replica.
        gpu: the GPU resource that it asks for; empty for none.
        now: seconds.
    """
    pools = _as_ordered(hardware)
    offers = [offer for offer in (_offer(hardware, pool, template, gpu, now) for pool in pools) if offer]
    unknown = [offer.reason for offer in offers if offer.replicas is None]
    if unknown:
        return Offer(None, "; ".join(unknown))
    reasons = [offer.reason for offer in offers] or ["no NodePool takes its pods"]
    return Offer(sum(offer.replicas or 0 for offer in offers), "; ".join(dict.fromkeys(reasons)))


def _as_ordered(hardware: Hardware) -> list[NodePool]:
    """The pools, with what they have used by their orders too: Karpenter writes that down only every 5 s.

    Source: sigs.k8s.io/karpenter 1.14.0, pkg/controllers/nodepool/counter/controller.go.
    """
    orders: dict[str, Counter[str]] = {}
    for claim in hardware.claims or ():
        if not claim.problem:
            orders.setdefault(claim.pool, Counter()).update({"nodes": 1, **(claim.capacity or claim.allocatable)})
    # The union of two counters is the greater of each count.
    return [
        replace(pool, used=Counter(pool.used) | orders.get(pool.name, Counter()))
        for pool in (hardware.pools or {}).values()
    ]


def _offer(hardware: Hardware, pool: NodePool, template: Template, gpu: str, now: float) -> Offer | None:
    """Replicas for which one pool may buy; None for a pool that has nothing to do with these pods."""
    if not all(compatible(shape, pool) for shape, _ in template.pods):
        return None
    name = f"NodePool {pool.name}"
    types = _types(hardware, pool)
    offers = _offers(pool, types, gpu)
    if offers is False:
        return None
    if pool.static:
        return Offer(0, f"{name}: its number of machines is fixed")
    if any(shape.claims for shape, _ in template.pods):
        return Offer(None, f"{name}: Karpenter buys for pods that claim devices only where it is set to")
    if pool.problem:
        return Offer(0, f"{name}: {pool.problem}")
    short = _shortage(hardware, pool, now)
    if short:
        return Offer(0, f"{name}: {short}")
    bound = _bound(pool, template, types)
    if bound.replicas == 0:
        return bound
    if offers is None:
        return Offer(None, f"{name}: whether it offers {gpu} is not known")
    return bound


def compatible(shape: Shape, pool: NodePool) -> bool:
    """Whether a pool may make a node that takes such a pod."""
    if not all(passes(shape, taint) for taint in pool.taints if taint.effect != "PreferNoSchedule"):
        return False
    wishes = tuple(Requirement(key, "In", (value,)) for key, value in shape.selector)
    terms = ((),) if shape.affinity is None else shape.affinity
    return any(all(_possible(wish, pool) for wish in (*wishes, *term) if not wish.field) for term in terms)


def _possible(wish: Requirement, pool: NodePool) -> bool:
    own = [requirement for requirement in pool.requirements if requirement.key == wish.key]
    if not own:
        return wish.operator in {"NotIn", "DoesNotExist"} or any(domain in wish.key for domain in _KNOWN)
    if any(requirement.operator == "DoesNotExist" for requirement in own):
        return accepts(wish, None)
    listed = [requirement.values for requirement in (wish, *own) if requirement.operator == "In"]
    if not listed:
        return wish.operator != "DoesNotExist"
    return any(all(accepts(requirement, value) for requirement in (wish, *own)) for value in listed[0])


def _types(hardware: Hardware, pool: NodePool) -> dict[str, Node]:
    """Machine types that were seen and that a pool may buy: an empty machine of each, with its whole capacity.

    A node knows it best; the capacity in an order is an estimate (the kwok provider writes what it was ordered for).
    """
    seen: dict[str, Node] = {}
    nodes = ((node.labels, node.allocatable) for node in hardware.kinds)
    claims = ((claim.labels, claim.capacity) for claim in hardware.claims or ())
    for labels, capacity in (*nodes, *claims):
        name = labels.get(TYPE, "")
        fits = all(
            accepts(one, labels.get(one.key))
            for one in pool.requirements
            if one.key.startswith((TYPE, "karpenter.k8s."))
        )
        if name and name not in seen and capacity and (fits or labels.get(POOL) == pool.name):
            own = {one.key: one.values[0] for one in pool.requirements if one.operator == "In" and len(one.values) == 1}
            seen[name] = Node(name, {**labels, **own}, pool.taints, {"nodes": 1, "pods": 110, **capacity})
    return seen


def kinds(nodes: Iterable[Node]) -> tuple[Node, ...]:
    """One whole machine of every pool and type."""
    whole = (node for node in nodes if POOL in node.labels and node.labels.get(INITIALIZED, "true") == "true")
    return tuple({(node.labels[POOL], node.labels.get(TYPE)): node for node in whole}.values())


def _offers(pool: NodePool, types: Mapping[str, Node], gpu: str) -> bool | None:
    """Whether a pool has machines with such GPUs; None where nothing tells."""
    if not gpu or gpu in pool.limits or pool.used.get(gpu):
        return True
    if any(node.allocatable.get(gpu) for node in types.values()):
        return True
    if any("gpu" in one.key or "accelerator" in one.key for one in pool.requirements):
        return True
    return False if _never(pool, types) else None


def _never(pool: NodePool, types: Mapping[str, Node]) -> bool:
    """Whether what a pool may buy leaves out machines with GPUs; what it has bought so far says nothing of that."""
    if _all_seen(pool, types):
        return True
    listed = [one for one in pool.requirements if one.operator == "In" and _CATEGORY.fullmatch(one.key)]
    return any(not any(map(_WITH_GPUS.fullmatch, one.values)) for one in listed)


def _shortage(hardware: Hardware, pool: NodePool, now: float) -> str:
    """Which order of a pool failed last, if none succeeded since; an empty text otherwise."""
    claims = [claim for claim in hardware.claims or () if claim.pool == pool.name]
    stuck = next((f"{claim.name}: {claim.problem}" for claim in claims if claim.problem), "")
    got = max((claim.launched for claim in claims if claim.launched is not None), default=0.0)
    failed = [one for one in hardware.shortages or () if one.pool == pool.name and one.time >= max(got, now - RECENT)]
    last = max(failed, key=lambda one: one.time, default=None)
    return f"{max(now - last.time, 0.0):.0f}s ago {last.message}" if last else stuck


def _bound(pool: NodePool, template: Template, types: Mapping[str, Node]) -> Offer:
    """Replicas that the limits of a pool leave room for."""
    best: Offer | None = None
    sizes = list(types.values()) if _all_seen(pool, types) else []
    for resource, limit in sorted(pool.limits.items()):
        left = max(limit - pool.used.get(resource, 0), 0)
        if len(sizes) == 1 and len(template.pods) == 1:
            fits: int | None = _whole(left, resource, sizes[0], template)
        elif template.asks(resource):
            fits = left // template.asks(resource)
        else:
            fits = 0 if resource == "nodes" and not left else None
        if fits is not None and (best is None or (best.replicas or 0) > fits):
            best = Offer(fits, f"NodePool {pool.name}: limit {resource} {_written(resource, limit)}")
    return best or Offer(None, f"NodePool {pool.name}: it has no limit that binds its pods")


def _whole(left: int, resource: str, machine: Node, template: Template) -> int | None:
    """Replicas on machines of one type that a limit leaves, since only whole machines are bought."""
    [(shape, count)] = template.pods
    taken = machine.allocatable.get(resource, 0)
    fits = 0 if closed(shape, machine) else room(shape, machine, EMPTY)[0]
    return left // taken * fits // count if taken else None


def _all_seen(pool: NodePool, types: Mapping[str, Node]) -> bool:
    """Whether a pool names its machine types, and every one was seen."""
    named = [set(one.values) for one in pool.requirements if one.key == TYPE and one.operator == "In"]
    return bool(named) and set.intersection(*named) <= types.keys()


def _written(resource: str, value: int) -> str:
    """An amount as people write it: 8000 of cpu is 8, 107374182400 of memory is 100Gi."""
    if resource == "cpu":
        return f"{value / 1000:g}"
    if resource.startswith(_IN_BYTES):
        return next((f"{value // size}{unit}" for unit, size in _UNITS if value and value % size == 0), str(value))
    return str(value)
