"""Nodes on which a pod is not wanted: pods are there, or in the same zone, that share no place with it.

Nearly every selector wants a label to have a value (app In [llama]). By such a label it is found, so that a namespace
of 1,000 targets that each stay apart from their own pods is not looked through 1,000 times.

Source: Kubernetes 1.35.4, pkg/scheduler/framework/plugins/interpodaffinity/filtering.go
(satisfyExistingPodsAntiAffinity).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from scaler.cluster.node_fit import selector_matches
from scaler.model.nodes import ANY, HOST, Handle, Labels, Node, NodeSnapshot, Term


@dataclass(frozen=True, slots=True)
class ExcludedNodes:
    """The nodes that are closed for pods with some labels."""

    nodes: Mapping[str, int]  # and the highest priority of a pod that closes each
    incomplete: bool  # whether there may be more of them


def handles(term: Term) -> tuple[Handle, ...]:
    """List labels of which every pod that a selector matches has just one; (None,) where it names no label's value."""
    for requirement in term:
        if requirement.operator == "In" and not requirement.field:
            return tuple((requirement.key, value) for value in dict.fromkeys(requirement.values))
    return (None,)


def excluded_nodes(snapshot: NodeSnapshot, namespace: str, labels: Labels) -> ExcludedNodes:
    """Find the nodes that others' pods keep pods with these labels away from."""
    known, unsure = dict(labels), False
    closed: dict[str, int] = {}
    for place in ((space, handle) for space in (namespace, ANY) for handle in (None, *labels)):
        for apart, pods in snapshot.anti_affinity.get(place, {}).items():
            if not selector_matches(apart.term, known):
                continue
            if apart.namespace_scope == "some":
                unsure = True
                continue
            for node, rank in _around(apart.topology_key, pods, snapshot.nodes or {}):
                closed[node] = max(rank, closed.get(node, rank))
    return ExcludedNodes(closed, unsure)


def _around(key: str, pods: Iterable[tuple[str, int]], nodes: Mapping[str, Node]) -> Iterator[tuple[str, int]]:
    """Yield the nodes in the same topology domain as some pods, and the highest priority of these."""
    if key == HOST:
        yield from pods
        return
    places: dict[str, int] = {}  # by the value of the label
    for name, rank in pods:
        value = nodes[name].labels.get(key) if name in nodes else None
        if value is not None:
            places[value] = max(rank, places.get(value, rank))
    yield from ((name, places[node.labels[key]]) for name, node in nodes.items() if node.labels.get(key) in places)
