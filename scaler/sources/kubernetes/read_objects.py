"""Kubernetes objects as JSON -> the few fields that are kept of each, and the Cluster that they make together. Pure.

Which pods are a target's own: for a Deployment and a StatefulSet the pods that it controls, whatever their labels say,
so that two of them with overlapping selectors do not count each other's; for a ScaledJob the pods of its jobs; for any
other kind the pods that the selector of its scale sub-resource takes, which is what the HPA goes by (of a
LeaderWorkerSet these are the leaders, one for each replica).
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from scaler.cluster import admission, pod_requests
from scaler.cluster.anti_affinity import handles
from scaler.cluster.node_fit import takes
from scaler.cluster.pod_requests import total
from scaler.model.behavior import SCALE_DOWN, SCALE_UP, Behavior, RatePolicy, Rules
from scaler.model.nodes import Amounts, Handle, Hardware, Needs, Owner, Shape, Taint, Template, Term, Waiting
from scaler.model.objects import Cluster, Condition, Hpa, Job, JobState, Metadata, Pod, PodState, Scaled
from scaler.sources.kubernetes.read_pods import amount, moment, read_needs, read_shape
from scaler.sources.kubernetes.selector import selects

Raw = Mapping[str, Any]
Key = tuple[str, str]  # namespace and name
Jobs = Mapping[Owner, Collection[Job]]  # by their ScaledJob

MOST_JOBS = 250  # of one ScaledJob that are looked at; KEDA keeps 200 that have ended, unless told otherwise
DEFAULT_KEPT = 100  # Jobs of either end: KEDA 2.20.2, pkg/scaling/executor/scale_jobs.go:39
DEFAULT_MAXIMUM = 100  # KEDA 2.20.2, apis/keda/v1alpha1/scaledobject_types.go and scaledjob_types.go
SCALED_JOB = "scaledjob.keda.sh/name"  # KEDA's label on jobs and their pods (pkg/scaling/executor/scale_jobs.go:148)
GROUP = "leaderworkerset.sh/name"  # LeaderWorkerSet's label on all pods of its groups
EXCLUSIVE = "leaderworkerset.sh/exclusive-topology"
REVISION = "controller-revision-hash"  # the StatefulSet controller's
QUEUE = "kueue.x-k8s.io/queue-name"  # Kueue's label on what its quota admits
GROUPS = "LeaderWorkerSet.leaderworkerset.x-k8s.io"
TEMPLATE = "pod-template-hash"  # the Deployment controller's: its ReplicaSets are called NAME-HASH
_PAUSES = "autoscaling.keda.sh/"
_SCRAPE = ("path", "port", "scheme", "scrape")  # annotations prometheus.io/KEY, which say where a metrics page is
_LONGEST = 256  # characters of such an annotation; of a longer one enough is kept to refuse it
_SHOWN = 300  # characters of a message that are kept
_VOLATILE = frozenset(  # labels that differ from pod to pod and that no scale selector uses
    {TEMPLATE, "controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"}
    | {"statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index", "controller-revision-hash"}
)


NO_NEEDS = Needs(())


@dataclass(frozen=True, slots=True)
class PodRecord:
    """What is kept of every pod."""

    pod: Pod
    owner: Owner
    labels: Metadata
    shape: Shape
    needs: Needs = NO_NEEDS  # as its spec says, before what was changed while it runs
    node: str = ""
    waiting: Waiting | None = None
    revision: str = ""  # of the template that it was made of
    ended: bool = False  # it holds nothing any more, and only shows what the next pod will be


@dataclass(frozen=True, slots=True)
class Revisions:
    """Of which template the next pods of a Deployment or a StatefulSet are made."""

    paused: bool = False  # a Deployment's: it stays with the templates that its pods are of
    newest: str = ""  # a StatefulSet's: of its template now, as its pods are labelled; empty: not known
    older: str = ""  # a StatefulSet's: of the pods whose number is below `below`
    below: int = 0
    first: int = 0  # the number of its first pod


@dataclass(frozen=True, slots=True)
class Replicated:
    """What is kept of a Deployment, a StatefulSet or a LeaderWorkerSet."""

    replicas: int
    template: Template
    revisions: Revisions = Revisions()


@dataclass(frozen=True, slots=True)
class JobRecord:
    """What is kept of every Job of a ScaledJob."""

    job: Job
    owner: Owner  # the ScaledJob


@dataclass(frozen=True, slots=True)
class ScaledRecord:
    """What is kept of a ScaledObject or ScaledJob: all that it says itself."""

    scaled: Scaled
    target: Owner
    scale_path: str  # of the target's scale sub-resource; empty where its kind is watched, or is not known yet


@dataclass(frozen=True, slots=True)
class Scale:
    """A scale sub-resource."""

    replicas: int  # that are asked for
    selector: str
    there: int | None = None  # that there are, as its controller counts them


@dataclass(frozen=True, slots=True)
class Tables:
    """All records; a table that could not be read is None."""

    scaled: Iterable[ScaledRecord]
    listed: frozenset[str]  # kinds of which all are there
    hpas: Mapping[Key, Hpa] | None  # by the namespace and name of their ScaledObject
    replicated: Mapping[str, Mapping[Key, Replicated] | None]  # by kind: "Deployment", "StatefulSet"
    jobs: Iterable[JobRecord] | None
    pods: Mapping[Owner, Collection[PodRecord]] | None
    scales: Mapping[Owner, Scale]
    ended: Mapping[Owner, PodRecord] = field(default_factory=dict)  # the last pod of each ScaledJob
    hardware: Hardware | None = None
    unread: Mapping[str, str] = field(default_factory=dict)  # namespace -> why pods or Jobs in it may be missing


# ---- one object ------------------------------------------------------------------------------------------------------


class Reader:
    """Reads objects, and keeps what many of them share only once."""

    def __init__(self, services: Collection[str] = ()) -> None:
        """Take the names under which triggers reach us, such as "llm-scaler.keda"; none: any trigger may be ours."""
        self._services = tuple(services)
        self._shared: dict[Any, Any] = {}

    def scaled(self, raw: Raw) -> ScaledRecord | None:
        """A ScaledObject or ScaledJob; None if it does not ask us."""
        meta, spec, status = raw["metadata"], raw.get("spec", {}), raw.get("status", {})
        triggers = [trigger for trigger in spec.get("triggers") or () if isinstance(trigger, Mapping)]
        ours = [trigger for trigger in triggers if self._ours(trigger)]
        if not ours:
            return None
        kind, namespace, name = raw["kind"], meta["namespace"], meta["name"]
        target, path = _target(kind, namespace, name, spec, status)
        scaled = Scaled(
            kind=kind,
            namespace=namespace,
            name=name,
            uid=meta["uid"],
            generation=meta.get("generation", 0),
            triggers=tuple(tuple(sorted(trigger["metadata"].items())) for trigger in ours),
            by_value=tuple(
                tuple(sorted(trigger["metadata"].items()))
                for trigger in ours
                if trigger.get("metricType", "AverageValue") != "AverageValue"
            ),
            modifiers=_modifiers((spec.get("advanced") or {}).get("scalingModifiers") or {}),
            others=tuple(sorted(str(trigger.get("type")) for trigger in triggers if trigger not in ours)),
            target=f"{target[1]} {target[2]}",
            minimum=spec.get("minReplicaCount") or 0,
            maximum=_or(spec.get("maxReplicaCount"), DEFAULT_MAXIMUM),
            idle=spec.get("idleReplicaCount"),
            paused=_paused(meta.get("annotations") or {}),
            fallback=_fallback(spec.get("fallback")),
            conditions=_conditions(status),
            past=names_of_pods(target),
            template=self._job_template(raw, spec.get("jobTargetRef")) if kind == "ScaledJob" else None,
        )
        if kind == "ScaledJob":
            scaled = replace(
                scaled,
                failed_kept=_or(spec.get("failedJobsHistoryLimit"), DEFAULT_KEPT),
                succeeded_kept=_or(spec.get("successfulJobsHistoryLimit"), DEFAULT_KEPT),
                strategy=(spec.get("scalingStrategy") or {}).get("strategy") or "default",
                gradual=(spec.get("rolloutStrategy") or (spec.get("rollout") or {}).get("strategy")) == "gradual",
                last_active=moment(status.get("lastActiveTime")),
            )
        return ScaledRecord(scaled, target, path)

    def pod(self, raw: Raw) -> PodRecord | None:
        """A pod; None if it has ended, unless it is one of a ScaledJob: these show what the next Job's will be."""
        meta, spec, status = raw["metadata"], raw["spec"], raw.get("status", {})
        labels = meta.get("labels") or {}
        ended = status.get("phase") in {"Succeeded", "Failed"}
        if ended and SCALED_JOB not in labels:
            return None
        state, since, reason = _pod_state(meta, spec, status)
        kept = tuple(sorted(pair for pair in labels.items() if pair[0] not in _VOLATILE))
        ip, scrape = str(status.get("podIP") or ""), self._once(_scrape(meta.get("annotations") or {}))
        ready = _ready_since(status) if state == "ready" else None
        ports = self._once(_container_ports(spec))
        pod = Pod(meta["name"], state, since, self._once(reason), ip, ready, scrape, ports)
        owner, node = self._once(_owner(meta, labels)), spec.get("nodeName") or ""
        if owner[1] == "DaemonSet":
            spec = {**spec, "affinity": None}  # it names the pod's node, so that no two pods would share a shape
        ranked = {**spec, "priority": spec.get("priority") or 0}
        shape = self._once(read_shape(ranked, labels, status if node else None))
        waiting = _waiting(pod, owner, shape, spec, status) if state == "pending" and not ended else None
        needs = self._once(read_needs(spec, {}))
        revision = self._once(labels.get(REVISION if owner[1] in {"StatefulSet", GROUPS} else TEMPLATE) or "")
        return PodRecord(pod, owner, self._once(kept), shape, needs, self._once(node), waiting, revision, ended)

    def replicated(self, raw: Raw) -> Replicated:
        """A Deployment or StatefulSet."""
        spec = raw["spec"]
        revisions = _revisions(raw)
        template = self._template((spec.get("template"), 1))
        told = [*_queued(raw, spec.get("template"))]
        if spec.get("volumeClaimTemplates"):
            told.append("where its volumes can be attached is not counted")
        return Replicated(int(spec.get("replicas", 1)), replace(template, bounds=tuple(told)), revisions)

    def group(self, raw: Raw) -> Replicated:
        """A LeaderWorkerSet: a replica is a leader and size - 1 workers."""
        spec = raw["spec"]
        group = spec["leaderWorkerTemplate"]
        leader, size = group.get("leaderTemplate") or group["workerTemplate"], int(group.get("size", 1))
        template = self._template((leader, 1), (group["workerTemplate"], size - 1))
        told = [*_queued(raw, group["workerTemplate"])]
        if EXCLUSIVE in (raw["metadata"].get("annotations") or {}):
            told.append("that a group has its rack for itself is not counted")
        rolling = (spec.get("rolloutStrategy") or {}).get("rollingUpdateConfiguration") or {}
        replicas, partition = int(spec.get("replicas", 1)), int(rolling.get("partition") or 0)
        older = f"groups below number {partition} may be made of an older template (its partition)"
        doubts = (older,) if partition > replicas else ()
        return Replicated(replicas, replace(template, bounds=tuple(told), doubts=doubts))

    def _job_template(self, scaled: Raw, job: Raw | None) -> Template | None:
        """What one job of a ScaledJob runs at a time; KEDA gives it the labels of the ScaledJob."""
        if not job:
            return None
        most = job.get("completions")
        wide = job.get("parallelism", 1) if most is None else min(job.get("parallelism", 1), most)
        template = self._template((job.get("template"), max(int(wide), 1)))
        return replace(template, bounds=tuple(_queued(scaled, job.get("template"))))

    def _template(self, *pods: tuple[Raw | None, int]) -> Template:
        """So many pods of each of these templates."""
        counts: Counter[tuple[Shape, Needs]] = Counter()
        for raw, count in pods:
            labels, spec = (raw or {}).get("metadata", {}).get("labels") or {}, (raw or {}).get("spec") or {}
            counts[self._once(read_shape(spec, labels)), self._once(read_needs(spec, {}))] += count
        first = (pods[0][0] or {}).get("metadata", {}).get("labels") or {}
        return Template(
            pods=tuple((shape, count) for (shape, _), count in counts.items() if count),
            needs=tuple(needs for (_, needs), count in counts.items() if count),
            labels=tuple(sorted(first.items())),
        )

    def _once(self, value: Any) -> Any:
        if len(self._shared) > 100_000:  # of pods long gone
            self._shared.clear()
        return self._shared.setdefault(value, value)

    def _ours(self, trigger: Raw) -> bool:
        metadata = trigger.get("metadata")
        if trigger.get("type") not in {"external", "external-push"} or not isinstance(metadata, Mapping):
            return False
        address = str(metadata.get("scalerAddress", "")).rpartition("//")[2].rpartition("/")[2]
        host = address.rpartition(":")[0] or address
        return not self._services or any(host == name or host.startswith(name + ".") for name in self._services)


def read_hpa(raw: Raw) -> Hpa | None:
    """An HPA; None if KEDA did not make it for a ScaledObject."""
    if _controller(raw["metadata"]).get("kind") != "ScaledObject":
        return None
    spec, status = raw.get("spec", {}), raw.get("status", {})
    return Hpa(
        name=raw["metadata"]["name"],
        current=status.get("currentReplicas", 0) if "desiredReplicas" in status else None,  # a 0 is left out
        desired=status.get("desiredReplicas"),
        minimum=spec.get("minReplicas", 1),
        maximum=spec.get("maxReplicas"),
        conditions=_conditions(status),
        behavior=read_behavior(spec.get("behavior")),
    )


def hpa_of(raw: Raw) -> Key:
    """Namespace and name of the ScaledObject that an HPA was made for."""
    return raw["metadata"]["namespace"], _controller(raw["metadata"]).get("name", "")


_ENDS: Mapping[str, JobState] = {"Complete": "succeeded", "Failed": "failed"}  # conditions that end a Job


def read_job(raw: Raw) -> JobRecord | None:
    """A Job; None if it is no ScaledJob's."""
    meta, status = raw["metadata"], raw.get("status", {})
    owner, created = _controller(meta), moment(meta.get("creationTimestamp"))
    if owner.get("kind") != "ScaledJob" or created is None:
        return None
    ends = [one for one in status.get("conditions") or () if one["type"] in _ENDS and one["status"] == "True"]
    job = Job(
        name=meta["name"],
        created=created,
        state=_ENDS[ends[0]["type"]] if ends else "unfinished",
        ended=moment(ends[0].get("lastTransitionTime")) if ends else None,
        kept=raw.get("spec", {}).get("ttlSecondsAfterFinished") is None,
    )
    return JobRecord(job, (meta["namespace"], "ScaledJob", owner["name"]))


def read_scale(raw: Raw) -> Scale:
    """A scale sub-resource."""
    status = raw.get("status", {})
    there = status.get("replicas")
    replicas = int(raw.get("spec", {}).get("replicas", 0))
    return Scale(replicas, str(status.get("selector", "")), None if there is None else int(there))


def read_slice(raw: Raw) -> tuple[str, ...]:
    """The addresses of an EndpointSlice that are ready; one of which nothing is said is ready, as its API has it."""
    if raw.get("addressType") not in {"IPv4", "IPv6"}:
        return ()
    ready = [one for one in raw.get("endpoints") or () if (one.get("conditions") or {}).get("ready") is not False]
    return tuple(str(one["addresses"][0]) for one in ready)  # the others are of no meaning (discovery/v1, types.go)


def _target(kind: str, namespace: str, name: str, spec: Raw, status: Raw) -> tuple[Owner, str]:
    """What is scaled, and the path of its scale sub-resource where that has to be asked."""
    if kind == "ScaledJob":
        return (namespace, "ScaledJob", name), ""
    ref = spec.get("scaleTargetRef") or {}
    group, _, _ = str(ref.get("apiVersion") or "apps/v1").rpartition("/")
    kind, name = str(ref.get("kind") or "Deployment"), str(ref.get("name", ""))
    if group == "apps" and kind in {"Deployment", "StatefulSet"}:
        return (namespace, kind, name), ""
    known = status.get("scaleTargetGVKR") or {}  # KEDA's: the plural is in no other place
    words = [known.get(part) for part in ("group", "version", "resource")]
    safe = all(isinstance(word, str) and re.fullmatch(r"[a-z0-9.-]+", word) for word in words)
    path = f"/apis/{words[0]}/{words[1]}/namespaces/{namespace}/{words[2]}/{name}/scale" if safe else ""
    return (namespace, f"{kind}.{group}", name), path


def _queued(*labelled: Raw | None) -> Iterable[str]:
    """Say that new pods wait for a quota of Kueue, where an object or its pods name a queue of it."""
    metas = [(one or {}).get("metadata") or {} for one in labelled]
    names = [(meta.get("labels") or {}).get(QUEUE) for meta in metas]
    for name in dict.fromkeys(filter(None, names)):
        yield f"what the queue {name} of Kueue still admits is not counted"


def _revisions(raw: Raw) -> Revisions:
    """Of which template the next pods of a Deployment or a StatefulSet are made.

    Source: Kubernetes 1.37.2, pkg/controller/statefulset/stateful_set_utils.go (newVersionedStatefulSetPod).
    """
    spec, status = raw["spec"], raw.get("status") or {}
    if spec.get("paused"):
        return Revisions(paused=True)
    if status.get("observedGeneration") != raw["metadata"].get("generation"):
        return Revisions()  # its controller has not seen the newest template yet
    strategy = spec.get("updateStrategy") or {}
    rolling = strategy.get("rollingUpdate") or {} if strategy.get("type", "RollingUpdate") == "RollingUpdate" else {}
    newest, older = str(status.get("updateRevision") or ""), str(status.get("currentRevision") or "")
    below = int(rolling.get("partition") or 0) if older != newest else 0
    first = int((spec.get("ordinals") or {}).get("start") or 0)
    return Revisions(newest=newest, older=older, below=below, first=first)


def names_of_pods(target: Owner) -> str:
    """Names of all pods that a target ever had, as its controller makes them."""
    name = re.escape(target[2]).replace(r"\-", "-")
    return {
        "Deployment": f"{name}-[a-z0-9]+-[a-z0-9]{{5}}",
        "StatefulSet": f"{name}-[0-9]+",
        "ScaledJob": f"{name}-[a-z0-9]{{5}}-[a-z0-9]{{5}}",
    }.get(target[1], "")


def _modifiers(raw: Raw) -> str:
    """The formula around our trigger; by Value the HPA multiplies what it gives by the replicas."""
    formula = str(raw.get("formula") or "")[:_SHOWN]
    by_value = formula and raw.get("metricType") == "Value"
    return f"{formula} (metricType: Value, so the HPA multiplies it by the ready replicas)" if by_value else formula


def _paused(annotations: Raw) -> str:
    """The annotation that pauses an object; KEDA takes anything but a false for a true."""
    replicas = annotations.get(f"{_PAUSES}paused-replicas")
    if replicas is not None:
        return f"paused-replicas: {replicas}"
    for name in ("paused", "paused-scale-in", "paused-scale-out"):
        value = annotations.get(_PAUSES + name)
        if value is not None and value not in {"0", "f", "F", "false", "FALSE", "False"}:
            return f"{name}: {value}"
    return ""


def _fallback(raw: Raw | None) -> str:
    if not raw:
        return ""
    behavior = raw.get("behavior") or "static"
    return f"{behavior}: {raw.get('replicas')} replicas after {raw.get('failureThreshold')} failures"


def read_behavior(raw: Raw | None) -> Behavior | None:
    """The behavior of an HPA, in which the API server has filled in all defaults but the tolerance."""
    if raw is None:
        return None
    return Behavior(_rules(raw.get("scaleUp") or {}, SCALE_UP), _rules(raw.get("scaleDown") or {}, SCALE_DOWN))


def _rules(raw: Raw, default: Rules) -> Rules:
    policies = tuple(RatePolicy(one["type"], one["value"], one["periodSeconds"]) for one in raw.get("policies") or ())
    window, tolerance = raw.get("stabilizationWindowSeconds"), raw.get("tolerance")
    return Rules(
        policies=policies or default.policies,
        window=default.window if window is None else window,
        select=raw.get("selectPolicy") or default.select,
        tolerance=None if tolerance is None else amount("cpu", tolerance) / 1000,  # counted in thousandths, like cpu
    )


def _conditions(status: Raw) -> tuple[Condition, ...]:
    return tuple(
        Condition(raw["type"], raw.get("status", "Unknown"), raw.get("reason", ""), raw.get("message", "")[:_SHOWN])
        for raw in status.get("conditions") or ()
    )


def _controller(meta: Raw) -> Raw:
    return next((owner for owner in meta.get("ownerReferences") or () if owner.get("controller")), {})


def _owner(meta: Raw, labels: Raw) -> Owner:
    """What a pod belongs to: what it is scaled as, not the ReplicaSet or Job in between."""
    namespace, controller = meta["namespace"], _controller(meta)
    kind, name, template = controller.get("kind", ""), controller.get("name", ""), labels.get(TEMPLATE)
    if kind == "ReplicaSet" and template and name.endswith(f"-{template}"):
        return namespace, "Deployment", name.removesuffix(f"-{template}")
    if kind == "Job" and SCALED_JOB in labels:
        return namespace, "ScaledJob", labels[SCALED_JOB]
    if kind == "StatefulSet" and GROUP in labels:
        return namespace, GROUPS, labels[GROUP]
    return namespace, kind, name


def _scrape(annotations: Raw) -> Metadata:
    given = ((key, annotations.get(f"prometheus.io/{key}")) for key in _SCRAPE)
    return tuple((key, str(value)[: _LONGEST + 1]) for key, value in given if value is not None)


def _container_ports(spec: Raw) -> tuple[tuple[str, int], ...]:
    """The TCP ports that containers declare, by name where they have one; sidecars are init containers that stay."""
    containers = (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
    ports = (port for container in containers for port in container.get("ports") or ())
    tcp = (port for port in ports if port.get("protocol", "TCP") == "TCP")
    return tuple((str(port.get("name") or ""), int(port["containerPort"])) for port in tcp)


def _pod_state(meta: Raw, spec: Raw, status: Raw) -> tuple[PodState, float | None, str]:
    conditions = {raw["type"]: raw for raw in status.get("conditions") or ()}
    ready = conditions.get("Ready", {})
    created = moment(meta.get("creationTimestamp"))
    if meta.get("deletionTimestamp"):
        return "terminating", created, ""
    if ready.get("status") == "True":
        return "ready", created, ""
    if not spec.get("nodeName"):
        scheduled = conditions.get("PodScheduled", {})
        since = moment(scheduled.get("lastTransitionTime"))
        return "pending", created if since is None else since, str(scheduled.get("message") or "")[:_SHOWN]
    # Kubelet moves Ready's time only when Ready changes, so one that came long after the start was True in between.
    began, changed = (moment(conditions.get(name, {}).get("lastTransitionTime")) for name in ("Initialized", "Ready"))
    was_ready = began is not None and changed is not None and changed > began + 1
    return ("unready" if was_ready else "starting"), created, ""


def _ready_since(status: Raw) -> float | None:
    return next((moment(raw.get("lastTransitionTime")) for raw in status["conditions"] if raw["type"] == "Ready"), None)


def _waiting(pod: Pod, owner: Owner, shape: Shape, spec: Raw, status: Raw) -> Waiting:
    reasons = {raw.get("reason") for raw in status.get("conditions") or () if raw["type"] == "PodScheduled"}
    return Waiting(
        name=pod.name,
        owner=owner,
        shape=shape,
        tried="Unschedulable" in reasons,
        gated="SchedulingGated" in reasons or bool(spec.get("schedulingGates")),
        nominated=status.get("nominatedNodeName") or "",
    )


def _or(given: int | None, default: int) -> int:
    return default if given is None else given


class Placed:
    """Where pods are, by their namespace and labels; of a namespace it is sorted out once, when somebody asks."""

    def __init__(self, pods: Mapping[Owner, Collection[PodRecord]]) -> None:
        self._pods = pods
        self._owners: dict[str, list[Owner]] = {}
        for owner in pods:
            self._owners.setdefault(owner[0], []).append(owner)
        self._known: dict[str, dict[Handle, list[tuple[Mapping[str, str], Mapping[str, int]]]]] = {}

    def of(self, namespace: str, term: Term) -> Iterator[tuple[str, int]]:
        """The nodes of pods that a selector takes, and the highest priority of the alike among them on each."""
        if namespace not in self._known:
            self._known[namespace] = self._sorted_out(namespace)
        known = self._known[namespace]
        for labels, nodes in (one for handle in handles(term) for one in known.get(handle, ())):
            if takes(term, labels):
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


# ---- together --------------------------------------------------------------------------------------------------------


def assemble(tables: Tables, odd: Callable[[Scaled, Exception], None] | None = None) -> Cluster:
    """Put together what is known of every scaled object.

    Args:
        tables: all records.
        odd: called with an object that cannot be put together, and why; it is left out. Without it the error is raised.
    """
    jobs = None if tables.jobs is None else _by_owner(tables.jobs)
    taints, placed = admission.taints_of(tables.hardware), Placed(tables.pods or {})
    objects: dict[Key, tuple[Scaled, ...]] = {}
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
    return Cluster(objects, listed=tables.listed, hardware=tables.hardware)


def _together(
    record: ScaledRecord, tables: Tables, jobs: Jobs | None, taints: Collection[Taint], placed: Placed
) -> Scaled:
    """One scaled object, with all that the others say of it."""
    selected = _selected(record, tables)
    template = _template(record, tables, selected or (), taints)
    return replace(
        record.scaled,
        replicas=_replicas(record, tables, jobs),
        jobs=_newest(record, jobs),
        pods=None if selected is None else tuple(sorted((one.pod for one in selected), key=lambda pod: pod.name)),
        workers=_workers(record, tables, selected),
        hpa=_hpa(record.scaled, tables),
        template=template,
        held=_held(record, tables, selected),
        barred=_barred(record, placed, template),
        doubt=tables.unread.get(record.scaled.namespace, ""),
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


def _hpa(scaled: Scaled, tables: Tables) -> Hpa | None:
    if scaled.kind != "ScaledObject" or tables.hpas is None:
        return None
    return tables.hpas.get((scaled.namespace, scaled.name))


def _replicas(record: ScaledRecord, tables: Tables, jobs: Jobs | None) -> int | None:
    if record.target[1] == "ScaledJob":
        return None if jobs is None else sum(job.state == "unfinished" for job in jobs.get(record.target, ()))
    if record.target in tables.scales:
        return tables.scales[record.target].replicas
    known = _known(record.target, tables)
    return None if known is None else known.replicas


def _known(target: Owner, tables: Tables) -> Replicated | None:
    namespace, kind, name = target
    return (tables.replicated.get(kind) or {}).get((namespace, name))


def _selected(record: ScaledRecord, tables: Tables) -> Sequence[PodRecord] | None:
    """The pods of a scale target, of a LeaderWorkerSet its leaders; None: not known."""
    if tables.pods is None:
        return None
    if record.target in tables.scales:
        wanted = selects(tables.scales[record.target].selector)
        if wanted is None:
            return None
        there = (pods for owner, pods in tables.pods.items() if owner[0] == record.target[0])
        return [one for pods in there for one in pods if wanted(one.labels)]
    return tuple(tables.pods.get(record.target, ())) if record.scaled.past else None


def _workers(record: ScaledRecord, tables: Tables, selected: Sequence[PodRecord] | None) -> tuple[Pod, ...]:
    """The pods of a LeaderWorkerSet's groups that are no leaders."""
    if record.target[1] != GROUPS or selected is None or tables.pods is None:
        return ()
    leaders = {one.pod.name for one in selected}
    others = (one.pod for one in tables.pods.get(record.target, ()) if one.pod.name not in leaders)
    return tuple(sorted(others, key=lambda pod: pod.name))


def _template(
    record: ScaledRecord, tables: Tables, pods: Sequence[PodRecord], taints: Collection[Taint]
) -> Template | None:
    """The next replica: its template, completed by what admission did to pods of that template, or is known to do."""
    known = _known(record.target, tables)
    written = known.template if known else record.scaled.template
    if written is None:
        return _seen(record, tables, pods)
    revisions = known.revisions if known else Revisions()
    made = _pod_of(written, revisions.newest, [*pods, *_ended(record, tables)])
    completed = admission.completed(written, record.target[0], tables.hardware, taints)
    if made:
        completed = replace(written, pods=_as_made(written, made, record.target[0], tables))
    if known and known.replicas + revisions.first < revisions.below:
        return _of_older(written, completed, revisions, pods)
    return _while_paused(completed, made, pods) if made and revisions.paused else completed


def _ended(record: ScaledRecord, tables: Tables) -> Collection[PodRecord]:
    """The last pod of a ScaledJob, which may be gone by now."""
    last = tables.ended.get(record.target)
    return (last,) if last and record.target[1] == "ScaledJob" else ()


def _as_made(written: Template, made: PodRecord, namespace: str, tables: Tables) -> tuple[tuple[Shape, int], ...]:
    """The pods of a template, completed as admission completed one that was made of it."""
    [(_, count)], [needs] = written.pods, written.needs
    fillings = tables.hardware.fillings if tables.hardware else None
    filling = (fillings or {}).get(namespace)
    own = pod_requests.completed(needs, made.needs)
    return ((replace(made.shape, requests=total(own, filling.requests) if filling else total(own)), count),)


def _pod_of(written: Template, revision: str, pods: Iterable[PodRecord]) -> PodRecord | None:
    """The pod that shows what is made of a template: the youngest of its revision, or of the one that is nearest to it.

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


def _changes(written: Template, pod: PodRecord) -> tuple[int, int]:
    """In how many images, and how many other things, a pod differs from a template that it can have been made of."""
    [(shape, _)], [needs] = written.pods, written.needs
    own = {one.name: one for one in pod.needs.containers}
    images = sum(own[one.name].image != one.image for one in needs.containers)
    asked = _asks_otherwise(written, pod)
    added = len(set(pod.shape.tolerations) - set(shape.tolerations)) + len(
        set(pod.shape.selector) - set(shape.selector)
    )
    return images, asked + added + len(own) - len(needs.containers) + (pod.shape.affinity != shape.affinity)


def _asks_otherwise(written: Template, pod: PodRecord) -> int:
    """In how many requests that a template states a pod differs from it."""
    [needs] = written.needs
    own = {one.name: one for one in pod.needs.containers}
    return sum(len(set(one.requests) - set(own[one.name].requests)) for one in needs.containers)


def _of_older(written: Template, completed: Template, revisions: Revisions, pods: Iterable[PodRecord]) -> Template:
    """The next pod of a StatefulSet whose partition keeps it with an older template, as pods of that one show it."""
    older = [one for one in pods if one.revision == revisions.older]
    last = max(older, key=_since, default=None)
    partition = f"(its partition is {revisions.below})"
    if last is None:
        told = f"the next pods are made of an older template, which no pod shows {partition}"
        return replace(completed, doubts=(*completed.doubts, told))
    told = f"the next pods are made of the template of {revisions.older}, and later ones of another {partition}"
    doubts = () if _made_of(written, last) and not _asks_otherwise(written, last) else (told,)
    return replace(completed, pods=((last.shape, 1),), assumed=(), doubts=(*completed.doubts, *doubts))


def _while_paused(completed: Template, made: PodRecord, pods: Iterable[PodRecord]) -> Template:
    """The template of a Deployment whose rollout is paused: what is added is shared out among all its templates.

    Source: Kubernetes 1.37.2, pkg/controller/deployment/sync.go (scale).
    """
    [(shape, _)] = completed.pods
    there = [one for one in pods if one.pod.state != "terminating"]
    others = sum(one.revision != made.revision and one.shape != shape for one in there)
    if not others:
        return completed
    told = f"its rollout is paused, and {others} of its {len(there)} pods are of another template, as new ones may be"
    return replace(completed, doubts=(*completed.doubts, told))


def _made_of(template: Template, pod: PodRecord) -> bool:
    """Whether a pod can have been made of a template, admission's additions aside; one of another revision cannot."""
    [(shape, _)], [needs] = template.pods, template.needs
    own = pod.shape
    return (
        set(shape.selector) <= set(own.selector)
        and set(shape.tolerations) <= set(own.tolerations)
        and (shape.affinity is None or shape.affinity == own.affinity)
        and shape.claims == own.claims
        and {pair for pair in template.labels if pair[0] not in _VOLATILE} <= set(pod.labels)
        and {one.name for one in needs.containers} <= {one.name for one in pod.needs.containers}
        and all(own.asks(resource) for resource, _ in shape.requests)
    )


def _seen(record: ScaledRecord, tables: Tables, pods: Sequence[PodRecord]) -> Template | None:
    """The next replica of a target whose template cannot be read, as its pods show it; None: nothing shows it.

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
        return Template(((newest.shape, 1),), newest.labels, doubts=(*told, *(mixed if len(shapes) > 1 else ())))
    size = len(there) // now
    told.append(f"{target} has {len(there)} pods for {now} replicas, so a replica is taken to be {size} pods")
    each = tuple((shape, count // now) for shape, count in shapes.items())
    return Template(each, newest.labels, doubts=tuple(told), counted=size)


def _held(record: ScaledRecord, tables: Tables, selected: Sequence[PodRecord] | None) -> Amounts | None:
    """What its pods with a node hold, of a group all of them."""
    if tables.pods is None or selected is None:
        return None
    own = tuple(tables.pods.get(record.target, ())) or selected
    shapes = {id(one.shape): one.shape for one in own if one.node}  # few, and costly to compare
    counts = Counter(id(one.shape) for one in own if one.node)
    held: Counter[str] = Counter()
    for key, shape in shapes.items():
        held.update({resource: amount * counts[key] for resource, amount in shape.requests})
    return tuple(sorted(held.items()))


def _barred(record: ScaledRecord, placed: Placed, template: Template | None) -> tuple[tuple[str, int], ...]:
    """The nodes on which there are pods that a target's pods share none with, and the highest priority of these."""
    terms = {one.term for shape, _ in (template.pods if template else ()) for one in shape.apart if one.near}
    barred: dict[str, int] = {}
    for node, rank in (found for term in terms for found in placed.of(record.target[0], term)):
        barred[node] = max(rank, barred.get(node, rank))
    return tuple(sorted(barred.items()))
