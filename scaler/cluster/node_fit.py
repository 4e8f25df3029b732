"""How many pods of one shape the scheduler would place now: its filters, node by node.

Pods of one shape take the same from every node, so it does not matter in which order the scheduler fills the nodes, nor
by which scores: it stops when no node has room for one more, and that is the sum over nodes of what fits on each. Where
pods of a lower priority may have to give way (preemption), what fits without any of them is the most there can be.

Source: Kubernetes 1.35.4, pkg/scheduler/framework/plugins: noderesources/fit.go, tainttoleration, nodeaffinity,
nodeunschedulable, nodeports, defaultpreemption (SelectVictimsOnNode: all pods of a lower priority are taken off first);
component-helpers/scheduling/corev1.
"""

import operator
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from scaler.model.nodes import Node, NodeUsage, PodRequirements, Requirement, Taint, Term, Toleration

Nodes = Mapping[str, Node]  # by name
NodeUsages = Mapping[str, NodeUsage]  # by the node's name
NodeState = tuple[Node | None, NodeUsage | None]
NodeChange = tuple[NodeState, NodeState]  # of one node: before and now

CORDONED = Taint("node.kubernetes.io/unschedulable", "", "NoSchedule")
NOT_READY = Taint("node.kubernetes.io/not-ready", "", "NoSchedule")  # put on by a controller, a moment later
EMPTY = NodeUsage({})
_REASONS = 5  # that are told
_COMPARES = {"Gt": operator.gt, "Lt": operator.lt, "Gte": operator.ge, "Lte": operator.le}  # the last two: Karpenter's


class NodeFit(NamedTuple):
    """One node, for pods of one shape."""

    pods: int  # pods
    free: int  # of one resource, where they may use the node
    reason: str  # why none fits
    pods_with_preemption: int = 0  # pods, where those of a lower priority give way


NOWHERE = NodeFit(0, 0, "")


@dataclass(frozen=True, slots=True)
class ClusterFit:
    """All nodes, for pods of one shape."""

    pods: int = 0  # pods
    free: int = 0  # of one resource, on the nodes that they may use
    reasons: Mapping[str, int] = field(default_factory=dict)  # on how many nodes none fits, by the reason
    pods_with_preemption: int = 0  # pods, where those of a lower priority give way

    def why(self) -> str:
        """Say why there are no more, the most frequent reason first."""
        ranked = sorted(self.reasons.items(), key=lambda item: (-item[1], item[0]))
        return ", ".join(f"{reason} on {count} node{'s' * (count != 1)}" for reason, count in ranked[:_REASONS])

    def changed(self, pairs: Iterable[tuple[NodeFit, NodeFit]]) -> "ClusterFit":
        """Return the same where some nodes are no longer what they were."""
        fits, free, most, obstacles = self.pods, self.free, self.pods_with_preemption, Counter(self.reasons)
        for before, now in pairs:
            fits, free = fits + now.pods - before.pods, free + now.free - before.free
            most += now.pods_with_preemption - before.pods_with_preemption
            obstacles[before.reason] -= 1
            obstacles[now.reason] += 1
        del obstacles[""]
        return ClusterFit(fits, free, +obstacles, most)


def fit_on_node(shape: PodRequirements, resource: str, node: Node | None, load: NodeUsage | None) -> NodeFit:
    """Fit pods on one node.

    Args:
        shape: of the pods.
        resource: whose free pieces are counted.
        node: None for one that is not there.
        load: None for an empty node.
    """
    if node is None:
        return NOWHERE
    barrier = filter_reason(shape, node)
    if barrier:
        return NodeFit(0, 0, barrier)
    load = load or EMPTY
    fits, binding = pods_that_fit(shape, node, load)
    free = max(node.allocatable.get(resource, 0) - load.requests.get(resource, 0), 0)
    most = (
        pods_that_fit(shape, node, without_preemptible(load, shape))[0]
        if load.by_priority and preemptible(min(load.by_priority), shape)
        else fits
    )
    return NodeFit(fits, free, "" if fits else f"insufficient {binding}", most)


class FitCache:
    """Places of many shapes in one cluster after another; only nodes that changed are counted anew.

    The answer depends on the arguments alone. Memory: a few numbers for each of the shapes that were asked for last.
    """

    def __init__(self, shapes: int = 5000) -> None:
        """Keep up to so many shapes."""
        self._most = shapes
        self._at: tuple[Nodes, NodeUsages] = ({}, {})
        self._version = 0
        self._changed: tuple[NodeChange, ...] = ()  # from the version before to this one
        self._known: dict[tuple[PodRequirements, str], tuple[int, ClusterFit]] = {}

    def fit_on_nodes(self, shape: PodRequirements, resource: str, nodes: Nodes, loads: NodeUsages) -> ClusterFit:
        """Count what all nodes have for pods of a shape.

        Args:
            shape: of the pods.
            resource: whose free pieces are counted.
            nodes: all there are, by name.
            loads: what pods hold, by the node's name; a node without pods may be left out.
        """
        self._see(nodes, loads)
        version, found = self._known.pop((shape, resource), (-1, ClusterFit()))
        if version == self._version - 1:
            found = found.changed(
                (fit_on_node(shape, resource, *before), fit_on_node(shape, resource, *now))
                for before, now in self._changed
            )
        elif version != self._version:
            whole = (fit_on_node(shape, resource, node, loads.get(name)) for name, node in nodes.items())
            found = ClusterFit().changed((NOWHERE, one) for one in whole)
        self._known[shape, resource] = self._version, found
        if len(self._known) > self._most:
            del self._known[next(iter(self._known))]
        return found

    def _see(self, nodes: Nodes, loads: NodeUsages) -> None:
        before, held = self._at
        if nodes is before and loads is held:
            return
        names = [
            name
            for name, node in nodes.items()
            if before.get(name) is not node or held.get(name) is not loads.get(name)
        ]
        names += before.keys() - nodes.keys()
        self._changed = tuple(
            ((before.get(name), held.get(name)), (nodes.get(name), loads.get(name))) for name in names
        )
        self._version += 1
        self._at = nodes, loads


def pods_that_fit(shape: PodRequirements, node: Node, load: NodeUsage) -> tuple[int, str]:
    """Count the pods that fit into what is left of a node, and name the resource that binds."""
    fits, binding = -1, ""
    for resource, amount in shape.requests:
        left = (node.allocatable.get(resource, 0) - load.requests.get(resource, 0)) // amount
        if fits < 0 or left < fits:
            fits, binding = max(left, 0), resource
            if not fits:
                return 0, binding
    if shape.host_ports:
        taken = any(_clash(own, other) for own in shape.host_ports for other in load.ports)
        return (0, "host ports") if taken else (min(fits, 1), "host ports")
    return (min(fits, 1), "pod anti-affinity") if shape.excludes_itself else (fits, binding)


def preemptible(rank: int, shape: PodRequirements) -> bool:
    """Tell whether pods of this priority can be preempted by the given pod; all can if its own priority is unknown."""
    return shape.preempts and (shape.priority is None or rank < shape.priority)


def without_preemptible(load: NodeUsage, shape: PodRequirements) -> NodeUsage:
    """Return the usage of a node after all pods are preempted that can be."""
    for rank, held in load.by_priority.items():
        if preemptible(rank, shape):
            load = _less(load, held)
    return load


def with_pod(load: NodeUsage, shape: PodRequirements) -> NodeUsage:
    """Return the usage of a node that has one pod more."""
    rank, pod = shape.priority or 0, NodeUsage(dict(shape.requests), shape.host_ports)
    return replace(
        _more(load, pod), by_priority={**load.by_priority, rank: _more(load.by_priority.get(rank, EMPTY), pod)}
    )


def without_pod(load: NodeUsage, shape: PodRequirements) -> NodeUsage:
    """Return the usage of a node that has one pod less; nothing is left of the last one."""
    rank, pod = shape.priority or 0, NodeUsage(dict(shape.requests), shape.host_ports)
    ranks = {**load.by_priority, rank: _less(load.by_priority[rank], pod)}
    return replace(_less(load, pod), by_priority={rank: held for rank, held in ranks.items() if held != EMPTY})


def joined(parts: Sequence[NodeUsages]) -> dict[str, NodeUsage]:
    """Join the usage of nodes whose pods are known in several parts."""
    whole = dict(parts[0]) if parts else {}
    for part in parts[1:]:
        for name, load in part.items():
            before = whole.get(name, EMPTY)
            ranks = {rank: _more(before.by_priority.get(rank, EMPTY), held) for rank, held in load.by_priority.items()}
            whole[name] = replace(_more(before, load), by_priority={**before.by_priority, **ranks})
    return whole


def _more(load: NodeUsage, other: NodeUsage) -> NodeUsage:
    """Add both, but for their priorities."""
    requests = dict(load.requests)
    for resource, amount in other.requests.items():
        requests[resource] = requests.get(resource, 0) + amount
    return NodeUsage(requests, tuple(sorted(load.ports + other.ports)))


def _less(load: NodeUsage, other: NodeUsage) -> NodeUsage:
    """Subtract a part of a node's usage, but for its priorities."""
    requests = dict(load.requests)
    for resource, amount in other.requests.items():
        requests[resource] -= amount
        if not requests[resource]:
            del requests[resource]
    ports = list(load.ports)
    for port in other.ports:
        ports.remove(port)
    return NodeUsage(requests, tuple(ports))


def filter_reason(shape: PodRequirements, node: Node) -> str:
    """Say why a pod may not use a node however empty it is, or return an empty text."""
    labels = node.labels
    for key, value in shape.selector:
        if labels.get(key) != value:
            return "node selector"
    if shape.affinity is not None and not any(node_term_matches(term, node) for term in shape.affinity):
        return "node affinity"
    if node.unschedulable and not tolerates(shape, CORDONED):
        return "cordoned"  # which says more than the taint that its controller adds
    for taint in node.taints:
        if taint.effect != "PreferNoSchedule" and not tolerates(shape, taint):
            return f"taint {taint.key}"
    return "" if node.ready or tolerates(shape, NOT_READY) else "not ready"


def tolerates(shape: PodRequirements, taint: Taint) -> bool:
    """Tell whether a pod tolerates a taint."""
    return any(toleration_matches(one, taint) for one in shape.tolerations)


def node_term_matches(term: Term, node: Node) -> bool:
    """Tell whether a term of a required node affinity matches a node; an empty one matches none."""
    return bool(term) and all(_holds(requirement, node) for requirement in term)


def selector_matches(term: Term, labels: Mapping[str, str]) -> bool:
    """Tell whether a term matches a pod with these labels; an empty term matches all pods."""
    return all(requirement_matches(requirement, labels.get(requirement.key)) for requirement in term)


def toleration_matches(toleration: Toleration, taint: Taint) -> bool:
    """Tell whether a toleration matches a taint."""
    if toleration.effect not in {"", taint.effect} or toleration.key not in {"", taint.key}:
        return False
    if toleration.operator == "Exists":
        return True
    return bool(toleration.key) and toleration.operator in {"", "Equal"} and toleration.value == taint.value


def requirement_matches(requirement: Requirement, value: str | None) -> bool:
    """Tell whether a label's value meets a requirement; None for a label that is not there."""
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
    return requirement_matches(requirement, node.name if requirement.field else node.labels.get(requirement.key))


def _clash(own: tuple[str, str, int], other: tuple[str, str, int]) -> bool:
    """Tell whether two host ports are the same; an address that is not given is all of them."""
    return own[0] == other[0] and own[2] == other[2] and (own[1] == other[1] or "" in {own[1], other[1]})
