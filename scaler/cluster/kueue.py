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

from scaler.model.nodes import QUEUE, ClusterQueue, FlavorQuota, NodeSnapshot, PodRequirements, ReplicaTemplate

DEFAULT = "default"  # the LocalQueue of workloads that name none
_DEEPEST = 50  # cohorts above one another that are followed; more are a circle, which Kueue refuses

Good = tuple[str, str]  # flavor and resource


@dataclass(frozen=True, slots=True)
class QuotaLeft:
    """The part of its quota that a queue leaves."""

    replicas: int | None = None  # None: nothing of the queue binds, or that is not known
    reason: str = ""  # what binds
    doubt: str = ""  # why there may be fewer


def left(snapshot: NodeSnapshot, namespace: str, template: ReplicaTemplate, admitted: int) -> QuotaLeft:
    """Count the replicas of a template that its queue may still admit.

    Args:
        snapshot: all there is.
        namespace: of its pods.
        template: of one replica.
        admitted: replicas that it has admitted, which give up nothing to one another.
    """
    name = _name(template)
    if not name:
        usual = (namespace, DEFAULT) in (snapshot.local_queues or {})
        return QuotaLeft(doubt=f"the LocalQueue {DEFAULT} of Kueue may hold its pods back") if usual else QuotaLeft()
    unread = QuotaLeft(doubt=f"what the queue {name} of Kueue still admits is not counted")
    if snapshot.local_queues is None or snapshot.cluster_queues is None or snapshot.cohorts is None:
        return unread
    local = snapshot.local_queues.get((namespace, name))
    if local is None:
        known = bool(snapshot.local_queues) or bool(snapshot.cluster_queues)
        return QuotaLeft(0, f"Kueue has no LocalQueue {name} here", unread.doubt) if known else unread
    queue = snapshot.cluster_queues.get(local.queue)
    whose = f"LocalQueue {name}, ClusterQueue {local.queue}"
    problem = local.problem or (queue.problem if queue else "it does not exist")
    if queue is None or problem:
        return QuotaLeft(0, f"{whose}: {problem}", unread.doubt)
    found = [_of_group(snapshot, queue, group, template, admitted) for group in queue.resource_groups]
    bound = min((one for one in found if one), default=None)
    doubt = f"who else waits in {whose} may be admitted first"
    return QuotaLeft(doubt=doubt) if bound is None else QuotaLeft(bound[0], f"{whose}: {bound[1]}", doubt)


def _name(template: ReplicaTemplate) -> str:
    """Return the queue that a template names."""
    return template.local_queue or dict(template.labels).get(QUEUE, "")


def flavored(snapshot: NodeSnapshot, namespace: str, template: ReplicaTemplate) -> ReplicaTemplate:
    """Add what its queue's flavors add to the pods: tolerations of all, labels where there is but one."""
    local = (snapshot.local_queues or {}).get((namespace, _name(template)))
    queue = (snapshot.cluster_queues or {}).get(local.queue) if local else None
    if queue is None or snapshot.flavors is None:
        return template
    asked = {resource for shape, _ in template.pods for resource, _ in shape.requests}
    groups = [group for group in queue.resource_groups if asked & _covered([group])]
    flavors = [snapshot.flavors[name] for group in groups for name, _ in group if name in snapshot.flavors]
    single = [group[0][0] for group in groups if len(group) == 1]
    alone = [snapshot.flavors[name] for name in single if name in snapshot.flavors]
    added = tuple(one for flavor in flavors for one in flavor.tolerations)
    labels = tuple(pair for flavor in alone for pair in flavor.labels)

    def placed(shape: PodRequirements) -> PodRequirements:
        selector = tuple(sorted((dict(labels) | dict(shape.selector)).items()))
        return replace(shape, tolerations=tuple(dict.fromkeys([*shape.tolerations, *added])), selector=selector)

    return replace(template, pods=tuple((placed(shape), count) for shape, count in template.pods))


def _covered(groups: Iterable[tuple[tuple[str, tuple[str, ...]], ...]]) -> set[str]:
    return {resource for group in groups for _, resources in group for resource in resources}


def _of_group(
    snapshot: NodeSnapshot,
    queue: ClusterQueue,
    group: tuple[tuple[str, tuple[str, ...]], ...],
    template: ReplicaTemplate,
    admitted: int,
) -> tuple[int, str] | None:
    """Count the replicas that one group of resources leaves, and name the one that binds; None: none of it is asked."""
    total, binding = 0, ""
    for flavor, resources in group:
        asked = {name: template.requested(name) for name in resources if template.requested(name)}
        if not asked:
            continue
        fits, name = min(
            (_available(snapshot, queue, (flavor, name), admitted * of) // of, name) for name, of in asked.items()
        )
        total, binding = total + max(fits, 0), binding or name
    return (total, f"what its quota of {binding} leaves") if binding else None


def _available(snapshot: NodeSnapshot, queue: ClusterQueue, good: Good, own: int) -> int:
    """Return how much of a flavor's resource a queue may still have; where it may preempt, all that is not its own."""
    tree = _Tree(snapshot, used=not queue.preempts)
    return tree.available(queue, good) - (own if queue.preempts else 0)


class _Tree:
    """ClusterQueues below cohorts below cohorts."""

    def __init__(self, snapshot: NodeSnapshot, *, used: bool) -> None:
        self._queues, self._cohorts, self._counted = snapshot.cluster_queues or {}, snapshot.cohorts or {}, used

    def available(self, queue: ClusterQueue, good: Good) -> int:
        """Return what is left for a queue, with what it may borrow."""
        own = queue.quotas.get(good, FlavorQuota())
        usage = queue.used.get(good, 0) if self._counted else 0
        return self._with_parent(own, own.nominal, usage, queue.cohort, good, 0)

    def _with_parent(self, own: FlavorQuota, whole: int, usage: int, parent: str, good: Good, deep: int) -> int:
        if not parent or deep > _DEEPEST:
            return whole - usage
        kept = max(whole - own.lending_limit, 0) if own.lending_limit is not None else 0
        above = self._of_cohort(parent, good, deep + 1)
        if own.borrowing_limit is not None:
            above = min(above, whole - kept - max(usage - kept, 0) + own.borrowing_limit)
        return max(kept - usage, 0) + above

    def _of_cohort(self, name: str, good: Good, deep: int) -> int:
        found = self._cohorts.get(name)
        own, parent = (found.quotas.get(good, FlavorQuota()), found.parent) if found else (FlavorQuota(), "")
        whole, usage = self._below(name, own, good, deep)
        return self._with_parent(own, whole, usage, parent, good, deep)

    def _below(self, name: str, own: FlavorQuota, good: Good, deep: int) -> tuple[int, int]:
        """Return what a cohort and all below it have together, and what of that is used."""
        whole, usage = own.nominal, 0
        for lent, has, uses in self._children(name, good, deep):
            kept = max(has - lent.lending_limit, 0) if lent.lending_limit is not None else 0
            whole, usage = whole + has - kept, usage + max(uses - kept, 0)
        return whole, usage

    def _children(self, name: str, good: Good, deep: int) -> Iterator[tuple[FlavorQuota, int, int]]:
        for queue in self._queues.values():
            if queue.cohort == name:
                own = queue.quotas.get(good, FlavorQuota())
                yield own, own.nominal, queue.used.get(good, 0) if self._counted else 0
        for below, cohort in self._cohorts.items():
            if cohort.parent == name and deep <= _DEEPEST:
                own = cohort.quotas.get(good, FlavorQuota())
                yield (own, *self._below(below, own, good, deep + 1))
