"""How many pods of one shape the scheduler would place now: its filters, node by node.

Pods of one shape take the same from every node, so it does not matter in which order the scheduler fills the nodes, nor
by which scores: it stops when no node has room for one more, and that is the sum over nodes of what fits on each.

Source: Kubernetes 1.35.4, pkg/scheduler/framework/plugins: noderesources/fit.go, tainttoleration, nodeaffinity,
nodeunschedulable, nodeports; component-helpers/scheduling/corev1.
"""

import operator
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from scaler.hardware import Load, Node, Requirement, Shape, Taint, Term, Toleration

CORDONED = Taint("node.kubernetes.io/unschedulable", "", "NoSchedule")
NOT_READY = Taint("node.kubernetes.io/not-ready", "", "NoSchedule")  # put on by a controller, a moment later
EMPTY = Load({})
_COMPARES = {"Gt": operator.gt, "Lt": operator.lt, "Gte": operator.ge, "Lte": operator.le}  # the last two: Karpenter's


@dataclass(frozen=True, slots=True)
class Places:
    """Where pods of one shape fit."""

    by_node: Mapping[str, int] = field(default_factory=dict)  # nodes on which at least one fits
    usable: tuple[str, ...] = ()  # nodes that it may use, with room or without
    obstacles: Mapping[str, int] = field(default_factory=dict)  # on how many nodes none fits, by the reason

    @property
    def total(self) -> int:
        """Pods that fit."""
        return sum(self.by_node.values())

    def why(self) -> str:
        """Why there are no more, most frequent reason first."""
        ranked = sorted(self.obstacles.items(), key=lambda item: (-item[1], item[0]))
        return ", ".join(f"{reason} on {count} node{'s' * (count != 1)}" for reason, count in ranked[:5])


def places(shape: Shape, nodes: Iterable[Node], loads: Mapping[str, Load]) -> Places:
    """Count the pods of a shape that fit on each node.

    Args:
        shape: of the pods.
        nodes: all there are.
        loads: what is taken, by the node's name; nothing for a name that is missing.
    """
    by_node: dict[str, int] = {}
    usable: list[str] = []
    obstacles: Counter[str] = Counter()
    for node in nodes:
        load = loads.get(node.name, EMPTY)
        fits, short = room(shape, node, load)
        barrier = closed(shape, node)
        if not barrier:
            usable.append(node.name)
        if fits and not barrier:
            by_node[node.name] = fits
        else:
            obstacles[barrier or f"insufficient {short}"] += 1
    return Places(by_node, tuple(usable), obstacles)


def room(shape: Shape, node: Node, load: Load) -> tuple[int, str]:
    """How many pods fit into what is left of a node, and the resource that binds."""
    fits, binding = -1, ""
    for resource, amount in shape.requests:
        left = (node.allocatable.get(resource, 0) - load.requests.get(resource, 0)) // amount
        if fits < 0 or left < fits:
            fits, binding = max(left, 0), resource
            if not fits:
                return 0, binding
    if shape.ports:
        taken = any(_clash(own, other) for own in shape.ports for other in load.ports)
        return (0, "host ports") if taken else (min(fits, 1), "host ports")
    return fits, binding


def with_pod(load: Load, shape: Shape) -> Load:
    """The load of a node that has one pod more."""
    requests = dict(load.requests)
    for resource, amount in shape.requests:
        requests[resource] = requests.get(resource, 0) + amount
    return Load(requests, load.ports + shape.ports)


def without_pod(load: Load, shape: Shape) -> Load:
    """The load of a node that has one pod less; nothing is left of the last one."""
    requests = dict(load.requests)
    for resource, amount in shape.requests:
        requests[resource] -= amount
        if not requests[resource]:
            del requests[resource]
    ports = list(load.ports)
    for port in shape.ports:
        ports.remove(port)
    return Load(requests, tuple(ports))


def joined(parts: Sequence[Mapping[str, Load]]) -> dict[str, Load]:
    """The loads of nodes whose pods are known in several parts."""
    whole = dict(parts[0]) if parts else {}
    for part in parts[1:]:
        for name, load in part.items():
            before = whole.get(name, EMPTY)
            requests = Counter(before.requests)
            requests.update(load.requests)
            whole[name] = Load(requests, before.ports + load.ports)
    return whole


def closed(shape: Shape, node: Node) -> str:
    """Why a pod may not use a node however empty it is, or an empty text."""
    labels = node.labels
    if any(labels.get(key) != value for key, value in shape.selector):
        return "node selector"
    if shape.affinity is not None and not any(holds(term, node) for term in shape.affinity):
        return "node affinity"
    for taint in _taints(node):
        if taint.hard and not any(tolerates(one, taint) for one in shape.tolerations):
            return "cordoned" if taint is CORDONED else "not ready" if taint is NOT_READY else f"taint {taint.key}"
    return ""


def holds(term: Term, node: Node) -> bool:
    """Whether a term of a required node affinity takes a node; an empty one takes none."""
    return bool(term) and all(_holds(requirement, node) for requirement in term)


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Whether a taint is passed."""
    if toleration.effect not in {"", taint.effect} or toleration.key not in {"", taint.key}:
        return False
    if toleration.operator == "Exists":
        return True
    return bool(toleration.key) and toleration.operator in {"", "Equal"} and toleration.value == taint.value


def _taints(node: Node) -> Iterable[Taint]:
    yield from node.taints
    if node.unschedulable:
        yield CORDONED
    if not node.ready:
        yield NOT_READY


def accepts(requirement: Requirement, value: str | None) -> bool:
    """Whether a label's value is accepted; None for a label that is not there."""
    match requirement.operator:
        case "In":
            return value in requirement.values
        case "NotIn":
            return value not in requirement.values  # a label that is not there is in no list
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    compare = _COMPARES.get(requirement.operator)
    try:
        return bool(compare and compare(int(value or ""), int(requirement.values[0])))
    except (ValueError, IndexError):
        return False


def _holds(requirement: Requirement, node: Node) -> bool:
    return accepts(requirement, node.name if requirement.field else node.labels.get(requirement.key))


def _clash(own: tuple[str, str, int], other: tuple[str, str, int]) -> bool:
    """Whether two host ports are the same; an address that is not given is all of them."""
    return own[0] == other[0] and own[2] == other[2] and (own[1] == other[1] or "" in {own[1], other[1]})
