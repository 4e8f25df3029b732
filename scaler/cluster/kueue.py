"""How many more replicas a queue of Kueue may admit: what quota leaves, for pods that wait behind its gate.

    LocalQueue ─▶ ClusterQueue ─▶ cohort ─▶ its parent      what is not used may be borrowed, within limits

A pod with the label kueue.x-k8s.io/queue-name is held back until its ClusterQueue has quota for all that it asks for.
A queue has groups of resources, each with flavors (kinds of machines); all resources of a group come from one flavor.
So a group leaves the sum over its flavors of what fits there, and the scarcest group binds. Who else waits in the
queue, and may come first, is not looked at: it is never more than this. Where a queue may preempt, what others use may
come free. A LocalQueue called default may hold back pods that name none, where Kueue is set to; that it does not say.

Source: Kueue 0.17.0, apis/kueue/v1beta2; pkg/cache/scheduler/resource_node.go (available, potentialAvailable).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from scaler.model.nodes import QUEUE, ClusterQueue, Lent, NodeSnapshot, PodRequirements, ReplicaTemplate

DEFAULT = "default"  # the LocalQueue of workloads that name none
_DEEPEST = 50  # cohorts above one another that are followed; more are a circle, which Kueue refuses

Good = tuple[str, str]  # flavor and resource


@dataclass(frozen=True, slots=True)
class Left:
    """The part of its quota that a queue leaves."""

    replicas: int | None = None  # None: nothing of the queue binds, or that is not known
    reason: str = ""  # what binds
    doubt: str = ""  # why there may be fewer


def left(hardware: NodeSnapshot, namespace: str, template: ReplicaTemplate, admitted: int) -> Left:
    """Count the replicas of a template that its queue may still admit.

    Args:
        hardware: all there is.
        namespace: of its pods.
        template: of one replica.
        admitted: replicas that it has admitted, which give up nothing to one another.
    """
    name = _name(template)
    if not name:
        usual = (namespace, DEFAULT) in (hardware.local_queues or {})
        return Left(doubt=f"the LocalQueue {DEFAULT} of Kueue may hold its pods back") if usual else Left()
    unread = Left(doubt=f"what the queue {name} of Kueue still admits is not counted")
    if hardware.local_queues is None or hardware.cluster_queues is None or hardware.cohorts is None:
        return unread
    local = hardware.local_queues.get((namespace, name))
    if local is None:
        known = bool(hardware.local_queues) or bool(hardware.cluster_queues)
        return Left(0, f"Kueue has no LocalQueue {name} here", unread.doubt) if known else unread
    queue = hardware.cluster_queues.get(local.queue)
    whose = f"LocalQueue {name}, ClusterQueue {local.queue}"
    problem = local.problem or (queue.problem if queue else "it does not exist")
    if queue is None or problem:
        return Left(0, f"{whose}: {problem}", unread.doubt)
    found = [_of_group(hardware, queue, group, template, admitted) for group in queue.groups]
    bound = min((one for one in found if one), default=None)
    doubt = f"who else waits in {whose} may be admitted first"
    return Left(doubt=doubt) if bound is None else Left(bound[0], f"{whose}: {bound[1]}", doubt)


def _name(template: ReplicaTemplate) -> str:
    """Return the queue that a template names."""
    return template.queue or dict(template.labels).get(QUEUE, "")


def flavored(hardware: NodeSnapshot, namespace: str, template: ReplicaTemplate) -> ReplicaTemplate:
    """Add what its queue's flavors add to the pods: tolerations of all, labels where there is but one."""
    local = (hardware.local_queues or {}).get((namespace, _name(template)))
    queue = (hardware.cluster_queues or {}).get(local.queue) if local else None
    if queue is None or hardware.flavors is None:
        return template
    asked = {resource for shape, _ in template.pods for resource, _ in shape.requests}
    groups = [group for group in queue.groups if asked & _covered([group])]
    flavors = [hardware.flavors[name] for group in groups for name, _ in group if name in hardware.flavors]
    single = [group[0][0] for group in groups if len(group) == 1]
    alone = [hardware.flavors[name] for name in single if name in hardware.flavors]
    added = tuple(one for flavor in flavors for one in flavor.tolerations)
    labels = tuple(pair for flavor in alone for pair in flavor.labels)

    def placed(shape: PodRequirements) -> PodRequirements:
        selector = tuple(sorted((dict(labels) | dict(shape.selector)).items()))
        return replace(shape, tolerations=tuple(dict.fromkeys([*shape.tolerations, *added])), selector=selector)

    return replace(template, pods=tuple((placed(shape), count) for shape, count in template.pods))


def _covered(groups: Iterable[tuple[tuple[str, tuple[str, ...]], ...]]) -> set[str]:
    return {resource for group in groups for _, resources in group for resource in resources}


def _of_group(
    hardware: NodeSnapshot,
    queue: ClusterQueue,
    group: tuple[tuple[str, tuple[str, ...]], ...],
    template: ReplicaTemplate,
    admitted: int,
) -> tuple[int, str] | None:
    """Count the replicas that one group of resources leaves, and name the one that binds; None: none of it is asked."""
    total, binding = 0, ""
    for flavor, resources in group:
        asked = {name: template.asks(name) for name in resources if template.asks(name)}
        if not asked:
            continue
        fits, name = min(
            (_available(hardware, queue, (flavor, name), admitted * of) // of, name) for name, of in asked.items()
        )
        total, binding = total + max(fits, 0), binding or name
    return (total, f"what its quota of {binding} leaves") if binding else None


def _available(hardware: NodeSnapshot, queue: ClusterQueue, good: Good, own: int) -> int:
    """Return how much of a flavor's resource a queue may still have; where it may preempt, all that is not its own."""
    tree = _Tree(hardware, used=not queue.preempts)
    return tree.available(queue, good) - (own if queue.preempts else 0)


class _Tree:
    """ClusterQueues below cohorts below cohorts."""

    def __init__(self, hardware: NodeSnapshot, *, used: bool) -> None:
        self._queues, self._cohorts, self._counted = hardware.cluster_queues or {}, hardware.cohorts or {}, used

    def available(self, queue: ClusterQueue, good: Good) -> int:
        """Return what is left for a queue, with what it may borrow."""
        own = queue.lent.get(good, Lent())
        usage = queue.used.get(good, 0) if self._counted else 0
        return self._with_parent(own, own.nominal, usage, queue.cohort, good, 0)

    def _with_parent(self, own: Lent, whole: int, usage: int, parent: str, good: Good, deep: int) -> int:
        if not parent or deep > _DEEPEST:
            return whole - usage
        kept = max(whole - own.lends, 0) if own.lends is not None else 0
        above = self._of_cohort(parent, good, deep + 1)
        if own.borrows is not None:
            above = min(above, whole - kept - max(usage - kept, 0) + own.borrows)
        return max(kept - usage, 0) + above

    def _of_cohort(self, name: str, good: Good, deep: int) -> int:
        found = self._cohorts.get(name)
        own, parent = (found.lent.get(good, Lent()), found.parent) if found else (Lent(), "")
        whole, usage = self._below(name, own, good, deep)
        return self._with_parent(own, whole, usage, parent, good, deep)

    def _below(self, name: str, own: Lent, good: Good, deep: int) -> tuple[int, int]:
        """Return what a cohort and all below it have together, and what of that is used."""
        whole, usage = own.nominal, 0
        for lent, has, uses in self._children(name, good, deep):
            kept = max(has - lent.lends, 0) if lent.lends is not None else 0
            whole, usage = whole + has - kept, usage + max(uses - kept, 0)
        return whole, usage

    def _children(self, name: str, good: Good, deep: int) -> Iterator[tuple[Lent, int, int]]:
        for queue in self._queues.values():
            if queue.cohort == name:
                own = queue.lent.get(good, Lent())
                yield own, own.nominal, queue.used.get(good, 0) if self._counted else 0
        for below, cohort in self._cohorts.items():
            if cohort.parent == name and deep <= _DEEPEST:
                own = cohort.lent.get(good, Lent())
                yield (own, *self._below(below, own, good, deep + 1))
