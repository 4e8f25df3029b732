"""Pods without a node: whose they are, and which of them get their places before others do.

A pod that the scheduler found no node for waits without harm to others, unless a node is being made free for it: that
node is as good as taken. One that the scheduler has not tried yet will be placed in a moment, and nobody knows where.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping

from scaler.cluster.node_fit import EMPTY, Nodes, NodeUsages, fit_on_node, with_pod
from scaler.model.nodes import NodeSnapshot, NodeUsage, Owner, PendingPod, PendingPods, PodRequirements

MAX_UNTRIED = 20  # untried pods of others that are counted


def index_pending(pods: Iterable[PendingPod]) -> PendingPods:
    """Sort pods without a node, leaving out those that somebody holds back from the scheduler."""
    owners: dict[Owner, list[PendingPod]] = {}
    ready = [pod for pod in pods if not pod.gated]
    for pod in ready:
        owners.setdefault(pod.owner, []).append(pod)
    return PendingPods(
        by_owner=owners,
        shapes=Counter((pod.owner[0], pod.shape) for pod in ready),
        ahead_in_queue=tuple(sorted((pod for pod in ready if pod.nominated or not pod.unschedulable), key=_precedence)),
    )


def pods_ahead(queue: PendingPods, own: Iterable[PendingPod], priority: int | None) -> tuple[list[PendingPod], int]:
    """List pods of others that come before ours, and count those of them whose node nobody knows.

    A node that is being made free for a pod of a lower priority is not kept from ours (Kubernetes 1.35.4,
    pkg/scheduler/framework/runtime/framework.go, addGENominatedPods).
    """
    ours, least = {(pod.owner, pod.name) for pod in own}, -math.inf if priority is None else priority
    others = [pod for pod in queue.ahead_in_queue if (pod.owner, pod.name) not in ours and not _keeps_none(pod, least)]
    untried = sum(not pod.nominated for pod in others)
    return others[: len(others) - untried + MAX_UNTRIED], untried


def with_nominated(
    snapshot: NodeSnapshot, shape: PodRequirements, pods: Iterable[PendingPod]
) -> Mapping[str, NodeUsage]:
    """Return the usage of nodes once these pods are placed: where they must be, or else where they cost us least.

    Taking one pod after the other, the largest first, comes close to the cheapest way for all, and is not always it.

    Args:
        snapshot: all there is.
        shape: of our pods.
        pods: that come before them.
    """
    nodes, loads = snapshot.nodes or {}, snapshot.usage or {}
    taken: dict[str, NodeUsage] = {}
    for pod in pods:
        there = {**loads, **taken}
        name = pod.nominated if pod.nominated in nodes else _cheapest(shape, pod.shape, nodes, there)
        if name:
            taken[name] = with_pod(there.get(name, EMPTY), pod.shape)
    return taken


def _precedence(pod: PendingPod) -> tuple[bool, int]:
    """Put first what has its node, then what is hardest to place."""
    return not pod.nominated, -sum(amount for _, amount in pod.shape.requests)


def _keeps_none(pod: PendingPod, least: float) -> bool:
    return bool(pod.nominated) and (pod.shape.priority or 0) < least


def _cheapest(shape: PodRequirements, other: PodRequirements, nodes: Nodes, loads: NodeUsages) -> str:
    """Find the node on which a pod of others costs us the fewest places; empty if it fits on none."""
    best, least = "", -1
    for name, node in nodes.items():
        load = loads.get(name, EMPTY)
        if not fit_on_node(other, "", node, load).pods:
            continue
        cost = fit_on_node(shape, "", node, load).pods - fit_on_node(shape, "", node, with_pod(load, other)).pods
        if least < 0 or cost < least:
            best, least = name, cost
        if not cost:
            break
    return best
