"""What all records say of every scaled object, joined: replicas, pods, HPA, Jobs, and what its next replica is. Pure.

Which pods are a target's own: for a Deployment and a StatefulSet the pods that it controls, whatever their labels say,
so that two of them with overlapping selectors do not count each other's; for a ScaledJob the pods of its jobs; for any
other kind the pods that the selector of its scale sub-resource takes, which is what the HPA goes by (of a
LeaderWorkerSet these are the leaders, one for each replica).
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from scaler.cluster import admission, pod_requests
from scaler.cluster.anti_affinity import handles
from scaler.cluster.node_fit import selector_matches
from scaler.cluster.pod_requests import total
from scaler.model.nodes import Amounts, Handle, NodeSnapshot, Owner, PodRequirements, ReplicaTemplate, Taint, Term
from scaler.model.objects import Cluster, HpaStatus, Job, Metadata, Pod, ScaledResource
from scaler.sources.kubernetes.read_objects import (
    GROUPS,
    VOLATILE,
    JobRecord,
    ObjectKey,
    PodRecord,
    Replicated,
    Revisions,
    Scale,
    ScaledRecord,
)
from scaler.sources.kubernetes.selector import selects

Jobs = Mapping[Owner, Collection[Job]]  # by their ScaledJob

ACCELERATORS = (  # labels of nodes that tell what a replica runs on, the surest first
    "nvidia.com/gpu.product",
    "amd.com/gpu.product-name",
    "cloud.google.com/gke-accelerator",
    "karpenter.k8s.aws/instance-gpu-name",
    "node.kubernetes.io/instance-type",
)
MOST_JOBS = 250  # of one ScaledJob that are looked at; KEDA keeps 200 that have ended, unless told otherwise


@dataclass(frozen=True, slots=True)
class Tables:
    """All records; a table that could not be read is None."""

    scaled: Iterable[ScaledRecord]
    listed: frozenset[str]  # kinds of which all are there
    hpas: Mapping[ObjectKey, HpaStatus] | None  # by the namespace and name of their ScaledObject
    replicated: Mapping[str, Mapping[ObjectKey, Replicated] | None]  # by kind: "Deployment", "StatefulSet"
    jobs: Iterable[JobRecord] | None
    pods: Mapping[Owner, Collection[PodRecord]] | None
    scales: Mapping[Owner, Scale]
    ended: Mapping[Owner, PodRecord] = field(default_factory=dict)  # the last pod of each ScaledJob
    node_snapshot: NodeSnapshot | None = None
    unread: Mapping[str, str] = field(default_factory=dict)  # namespace -> why pods or Jobs in it may be missing


class PodsByLabel:
    """The nodes of pods, by namespace and labels of these; sorted for a namespace when somebody first asks."""

    def __init__(self, pods: Mapping[Owner, Collection[PodRecord]]) -> None:
        self._pods = pods
        self._owners: dict[str, list[Owner]] = {}
        for owner in pods:
            self._owners.setdefault(owner[0], []).append(owner)
        self._known: dict[str, dict[Handle, list[tuple[Mapping[str, str], Mapping[str, int]]]]] = {}

    def of(self, namespace: str, term: Term) -> Iterator[tuple[str, int]]:
        """Yield the nodes of pods that a selector matches, and the highest priority among them on each."""
        if namespace not in self._known:
            self._known[namespace] = self._sorted_out(namespace)
        known = self._known[namespace]
        for labels, nodes in (one for handle in handles(term) for one in known.get(handle, ())):
            if selector_matches(term, labels):
                yield from nodes.items()

    def _sorted_out(self, namespace: str) -> dict[Handle, list[tuple[Mapping[str, str], Mapping[str, int]]]]:
        alike: dict[int, tuple[Metadata, dict[str, int]]] = {}  # labels are kept once, and costly to compare
        for one in (pod for owner in self._owners.get(namespace, ()) for pod in self._pods[owner]):
            if one.node:
                _, nodes = alike.setdefault(id(one.labels), (one.labels, {}))
                rank = one.shape.priority or 0
                nodes[one.node] = max(rank, nodes.get(one.node, rank))
        found: dict[Handle, list[tuple[Mapping[str, str], Mapping[str, int]]]] = {}
        for labels, nodes in alike.values():
            known = dict(labels)
            for handle in (None, *labels):
                found.setdefault(handle, []).append((known, nodes))
        return found


def join(tables: Tables, odd: Callable[[ScaledResource, Exception], None] | None = None) -> Cluster:
    """Put together what is known of every scaled object.

    Args:
        tables: all records.
        odd: called with an object that cannot be put together, and why; it is left out. Without it the error is raised.
    """
    jobs = None if tables.jobs is None else _by_owner(tables.jobs)
    taints, placed = admission.taints_of(tables.node_snapshot), PodsByLabel(tables.pods or {})
    objects: dict[ObjectKey, tuple[ScaledResource, ...]] = {}
    for record in tables.scaled:
        try:
            scaled = _together(record, tables, jobs, taints, placed)
        except Exception as error:
            if odd is None:
                raise
            odd(record.scaled, error)
            continue
        key = scaled.namespace, scaled.name
        objects[key] = (*objects.get(key, ()), scaled)
    return Cluster(objects, synced_kinds=tables.listed, node_snapshot=tables.node_snapshot)


def _with_make(record: PodRecord, snapshot: NodeSnapshot | None) -> Pod:
    """Add to a pod what may make it faster or slower than another: its template's revision, and its accelerator."""
    node = ((snapshot.nodes if snapshot else None) or {}).get(record.node)
    labels = node.labels if node else {}
    accelerator = next((labels[label] for label in ACCELERATORS if labels.get(label)), "")
    made = record.revision, accelerator
    return replace(record.pod, revision=record.revision, accelerator=accelerator) if any(made) else record.pod


def _together(
    record: ScaledRecord, tables: Tables, jobs: Jobs | None, taints: Collection[Taint], placed: PodsByLabel
) -> ScaledResource:
    """Join one scaled object with all that the others say of it."""
    selected = _selected(record, tables)
    template = _template(record, tables, selected or (), taints)
    pods = tuple(sorted((_with_make(one, tables.node_snapshot) for one in selected or ()), key=lambda pod: pod.name))
    return replace(
        record.scaled,
        replicas=_replicas(record, tables, jobs),
        jobs=_newest(record, jobs),
        pods=None if selected is None else pods,
        workers=_workers(record, tables, selected),
        hpa=_hpa(record.scaled, tables),
        template=template,
        requested_by_own_pods=_requested_by_own_pods(record, tables, selected),
        excluded_nodes=_excluded_nodes(record, placed, template),
        stale_reason=tables.unread.get(record.scaled.namespace, ""),
    )


def _by_owner(records: Iterable[JobRecord]) -> Jobs:
    jobs: dict[Owner, list[Job]] = {}
    for record in records:
        jobs.setdefault(record.owner, []).append(record.job)
    return jobs


def _newest(record: ScaledRecord, jobs: Jobs | None) -> tuple[Job, ...] | None:
    if record.scaled.kind != "ScaledJob" or jobs is None:
        return None
    found = jobs.get(record.target, ())
    return tuple(sorted(found, key=lambda job: (job.created, job.name), reverse=True)[:MOST_JOBS])


def _hpa(scaled: ScaledResource, tables: Tables) -> HpaStatus | None:
    if scaled.kind != "ScaledObject" or tables.hpas is None:
        return None
    return tables.hpas.get((scaled.namespace, scaled.name))


def _replicas(record: ScaledRecord, tables: Tables, jobs: Jobs | None) -> int | None:
    if record.target[1] == "ScaledJob":
        if jobs is None:
            return None
        return sum(job.state == "unfinished" for job in jobs.get(record.target, ()))
    if record.target in tables.scales:
        return tables.scales[record.target].replicas
    known = _known(record.target, tables)
    return None if known is None else known.replicas


def _known(target: Owner, tables: Tables) -> Replicated | None:
    namespace, kind, name = target
    return (tables.replicated.get(kind) or {}).get((namespace, name))


def _selected(record: ScaledRecord, tables: Tables) -> Sequence[PodRecord] | None:
    """Return the pods of a scale target, of a LeaderWorkerSet its leaders; None: not known."""
    if tables.pods is None:
        return None
    if record.target in tables.scales:
        wanted = selects(tables.scales[record.target].selector)
        if wanted is None:
            return None
        there = (pods for owner, pods in tables.pods.items() if owner[0] == record.target[0])
        return [one for pods in there for one in pods if wanted(one.labels)]
    return tuple(tables.pods.get(record.target, ())) if record.scaled.pod_name_pattern else None


def _workers(record: ScaledRecord, tables: Tables, selected: Sequence[PodRecord] | None) -> tuple[Pod, ...]:
    """Return the pods of a LeaderWorkerSet's groups that are no leaders."""
    if record.target[1] != GROUPS or selected is None or tables.pods is None:
        return ()
    leaders = {one.pod.name for one in selected}
    others = (one.pod for one in tables.pods.get(record.target, ()) if one.pod.name not in leaders)
    return tuple(sorted(others, key=lambda pod: pod.name))


def _template(
    record: ScaledRecord, tables: Tables, pods: Sequence[PodRecord], taints: Collection[Taint]
) -> ReplicaTemplate | None:
    """Return the next replica: its template, completed as admission did with its pods, or is known to do."""
    known = _known(record.target, tables)
    written = known.template if known else record.scaled.template
    if written is None:
        return _seen(record, tables, pods)
    revisions = known.revisions if known else Revisions()
    made = _pod_of(written, revisions.newest, [*pods, *_ended(record, tables)])
    completed = admission.completed(written, record.target[0], tables.node_snapshot, taints)
    if made:
        completed = replace(written, pods=_as_made(written, made, record.target[0], tables))
    if known and known.replicas + revisions.first < revisions.below:
        return _of_older(written, completed, revisions, pods)
    return _while_paused(completed, made, pods) if made and revisions.paused else completed


def _ended(record: ScaledRecord, tables: Tables) -> Collection[PodRecord]:
    """Return the last pod of a ScaledJob, which may be gone by now."""
    last = tables.ended.get(record.target)
    return (last,) if last and record.target[1] == "ScaledJob" else ()


def _as_made(
    written: ReplicaTemplate, made: PodRecord, namespace: str, tables: Tables
) -> tuple[tuple[PodRequirements, int], ...]:
    """Complete the pods of a template as admission completed one that was made of it."""
    [(_, count)], [needs] = written.pods, written.resources
    fillings = tables.node_snapshot.limit_ranges if tables.node_snapshot else None
    filling = (fillings or {}).get(namespace)
    own = pod_requests.completed(needs, made.needs)
    return ((replace(made.shape, requests=total(own, filling.requests) if filling else total(own)), count),)


def _pod_of(written: ReplicaTemplate, revision: str, pods: Iterable[PodRecord]) -> PodRecord | None:
    """Find the pod that shows what is made of a template: the youngest of its revision, or of the nearest one.

    Of equally near revisions it is the one whose first pod is the youngest. A pod of an older revision may be younger
    than all of these, where a node was lost in the middle of a rollout; after a return to an older template its pods
    are older than those that go.
    """
    if len(written.pods) != 1:
        return None
    revisions: dict[str, list[PodRecord]] = {}
    for one in pods:
        if _made_of(written, one) and revision in {"", one.revision}:
            revisions.setdefault(one.revision, []).append(one)
    if not revisions:
        return None

    def distance(alike: Iterable[PodRecord]) -> tuple[int, int, float]:
        ordered = sorted(alike, key=_since)
        return *_changes(written, ordered[-1]), -_since(ordered[0])

    return max(min(revisions.values(), key=distance), key=_since)


def _since(record: PodRecord) -> float:
    return record.pod.since or 0.0


def _changes(written: ReplicaTemplate, pod: PodRecord) -> tuple[int, int]:
    """Count the images, and the other things, in which a pod differs from a template it can have been made of."""
    [(shape, _)], [needs] = written.pods, written.resources
    own = {one.name: one for one in pod.needs.containers}
    images = sum(own[one.name].image != one.image for one in needs.containers)
    asked = _asks_otherwise(written, pod)
    added = len(set(pod.shape.tolerations) - set(shape.tolerations)) + len(
        set(pod.shape.selector) - set(shape.selector)
    )
    return images, asked + added + len(own) - len(needs.containers) + (pod.shape.affinity != shape.affinity)


def _asks_otherwise(written: ReplicaTemplate, pod: PodRecord) -> int:
    """Count the requests that a template states and in which a pod differs from it."""
    [needs] = written.resources
    own = {one.name: one for one in pod.needs.containers}
    return sum(len(set(one.requests) - set(own[one.name].requests)) for one in needs.containers)


def _of_older(
    written: ReplicaTemplate, completed: ReplicaTemplate, revisions: Revisions, pods: Iterable[PodRecord]
) -> ReplicaTemplate:
    """Return the next pod of a StatefulSet whose partition keeps it at an older template, as its pods show it."""
    older = [one for one in pods if one.revision == revisions.older]
    last = max(older, key=_since, default=None)
    partition = f"(its partition is {revisions.below})"
    if last is None:
        told = f"the next pods are made of an older template, which no pod shows {partition}"
        return replace(completed, doubts=(*completed.doubts, told))
    told = f"the next pods are made of the template of {revisions.older}, and later ones of another {partition}"
    doubts = () if _made_of(written, last) and not _asks_otherwise(written, last) else (told,)
    return replace(completed, pods=((last.shape, 1),), assumed=(), doubts=(*completed.doubts, *doubts))


def _while_paused(completed: ReplicaTemplate, made: PodRecord, pods: Iterable[PodRecord]) -> ReplicaTemplate:
    """Return the template of a Deployment whose rollout is paused: new pods are shared out among all its templates.

    Source: Kubernetes 1.37.2, pkg/controller/deployment/sync.go (scale).
    """
    [(shape, _)] = completed.pods
    there = [one for one in pods if one.pod.state != "terminating"]
    others = sum(one.revision != made.revision and one.shape != shape for one in there)
    if not others:
        return completed
    told = f"its rollout is paused, and {others} of its {len(there)} pods are of another template, as new ones may be"
    return replace(completed, doubts=(*completed.doubts, told))


def _made_of(template: ReplicaTemplate, pod: PodRecord) -> bool:
    """Tell whether a pod can be made of a template, admission's additions aside; one of another revision cannot."""
    [(shape, _)], [needs] = template.pods, template.resources
    own = pod.shape
    return (
        set(shape.selector) <= set(own.selector)
        and set(shape.tolerations) <= set(own.tolerations)
        and (shape.affinity is None or shape.affinity == own.affinity)
        and shape.claim_templates == own.claim_templates
        and {pair for pair in template.labels if pair[0] not in VOLATILE} <= set(pod.labels)
        and {one.name for one in needs.containers} <= {one.name for one in pod.needs.containers}
        and all(own.requested(resource) for resource, _ in shape.requests)
    )


def _seen(record: ScaledRecord, tables: Tables, pods: Sequence[PodRecord]) -> ReplicaTemplate | None:
    """Return the next replica of a target whose template cannot be read, as its pods show it; None: nothing does.

    Its controller says how many replicas there are, so its pods tell how many of them are one. While it makes or ends
    some that may be wrong, which is said.
    """
    there = [one for one in pods if one.pod.state != "terminating"]
    if record.target[1] in tables.replicated or not there:
        return None
    scale, target = tables.scales.get(record.target), record.scaled.target
    asked = scale.replicas if scale else len(there)
    now = asked if scale is None or scale.there is None else scale.there
    told = [] if now == asked else [f"{target} has {now} of {asked} replicas, so what is one of them may be otherwise"]
    if now <= 0:
        now = asked = len(there)
        told = [f"{target} says that it has no replica, so how many pods one has is not known"]
    newest = max(there, key=_since)
    shapes = Counter(one.shape for one in there)
    if any(count % now for count in shapes.values()) and len(there) != now:
        return None
    if len(there) == now:
        mixed = [f"{target} has pods of several kinds, so what its next replica is may be otherwise"]
        return ReplicaTemplate(((newest.shape, 1),), newest.labels, doubts=(*told, *(mixed if len(shapes) > 1 else ())))
    size = len(there) // now
    told.append(f"{target} has {len(there)} pods for {now} replicas, so a replica is taken to be {size} pods")
    each = tuple((shape, count // now) for shape, count in shapes.items())
    return ReplicaTemplate(each, newest.labels, doubts=tuple(told), counted=size)


def _requested_by_own_pods(
    record: ScaledRecord, tables: Tables, selected: Sequence[PodRecord] | None
) -> Amounts | None:
    """Return what its pods with a node hold, of a group all of them."""
    if tables.pods is None or selected is None:
        return None
    own = tuple(tables.pods.get(record.target, ())) or selected
    shapes = {id(one.shape): one.shape for one in own if one.node}  # few, and costly to compare
    counts = Counter(id(one.shape) for one in own if one.node)
    held: Counter[str] = Counter()
    for key, shape in shapes.items():
        held.update({resource: amount * counts[key] for resource, amount in shape.requests})
    return tuple(sorted(held.items()))


def _excluded_nodes(
    record: ScaledRecord, placed: PodsByLabel, template: ReplicaTemplate | None
) -> tuple[tuple[str, int], ...]:
    """Return the nodes with pods that a target's pods exclude, and the highest priority of these."""
    terms = {
        one.term
        for shape, _ in (template.pods if template else ())
        for one in shape.anti_affinity
        if one.same_namespace_by_host
    }
    barred: dict[str, int] = {}
    for node, rank in (found for term in terms for found in placed.of(record.target[0], term)):
        barred[node] = max(rank, barred.get(node, rank))
    return tuple(sorted(barred.items()))
