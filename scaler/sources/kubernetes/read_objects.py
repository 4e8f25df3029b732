"""Kubernetes objects as JSON -> the few fields that are kept of each. Pure; `join.py` puts them together."""

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from scaler.model.behavior import SCALE_DOWN, SCALE_UP, Behavior, RatePolicy, Rules
from scaler.model.nodes import QUEUE, Owner, PendingPod, PodRequirements, PodResources, ReplicaTemplate
from scaler.model.objects import Condition, HpaStatus, Job, JobState, Manifest, Metadata, Pod, PodState, ScaledResource
from scaler.sources.kubernetes.read_arguments import seats_of
from scaler.sources.kubernetes.read_pods import parse_quantity, parse_time, read_needs, read_shape

ObjectKey = tuple[str, str]  # namespace and name

DEFAULT_KEPT = 100  # Jobs of either end: KEDA 2.20.2, pkg/scaling/executor/scale_jobs.go:39
DEFAULT_MAXIMUM = 100  # KEDA 2.20.2, apis/keda/v1alpha1/scaledobject_types.go and scaledjob_types.go
SCALED_JOB = "scaledjob.keda.sh/name"  # KEDA's label on jobs and their pods (pkg/scaling/executor/scale_jobs.go:148)
GROUP = "leaderworkerset.sigs.k8s.io/name"  # LeaderWorkerSet's label on all pods of its groups (lws 0.7.0, api/)
EXCLUSIVE = "leaderworkerset.sigs.k8s.io/exclusive-topology"
REPLICAS = (  # labels that together name the replica of several pods that a pod is of
    (GROUP, "leaderworkerset.sigs.k8s.io/group-index"),
    ("grove.io/podcliquescalinggroup", "grove.io/podcliquescalinggroup-replica-index"),  # Dynamo's multi-node workers
    ("ray.io/worker-group-replica-name",),  # KubeRay 1.5, of workers with several hosts
)
REVISION = "controller-revision-hash"  # the StatefulSet controller's
GROUPS = "LeaderWorkerSet.leaderworkerset.x-k8s.io"
TEMPLATE = "pod-template-hash"  # the Deployment controller's: its ReplicaSets are called NAME-HASH
_PAUSES = "autoscaling.keda.sh/"
_SCRAPE = ("path", "port", "scheme", "scrape")  # annotations prometheus.io/KEY, which say where a metrics page is
_LONGEST = 256  # characters of such an annotation; of a longer one enough is kept to refuse it
_SHOWN = 300  # characters of a message that are kept
VOLATILE = frozenset(  # labels that differ from pod to pod and that no scale selector uses
    {TEMPLATE, "controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"}
    | {"statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index", "controller-revision-hash"}
)


NO_NEEDS = PodResources(())


@dataclass(frozen=True, slots=True)
class PodRecord:
    """The part of a pod that is kept."""

    pod: Pod
    owner: Owner
    labels: Metadata
    shape: PodRequirements
    needs: PodResources = NO_NEEDS  # as its spec says, before what was changed while it runs
    node: str = ""
    waiting: PendingPod | None = None
    revision: str = ""  # of the template that it was made of
    ended: bool = False  # it holds nothing any more, and only shows what the next pod will be


@dataclass(frozen=True, slots=True)
class Revisions:
    """Return the template revisions that the next pods of a Deployment or a StatefulSet are made of."""

    paused: bool = False  # a Deployment's: it stays with the templates that its pods are of
    newest: str = ""  # a StatefulSet's: of its template now, as its pods are labelled; empty: not known
    older: str = ""  # a StatefulSet's: of the pods whose number is below `below`
    below: int = 0
    first: int = 0  # the number of its first pod


@dataclass(frozen=True, slots=True)
class Replicated:
    """The part of a Deployment, a StatefulSet or a LeaderWorkerSet that is kept."""

    replicas: int
    template: ReplicaTemplate
    revisions: Revisions = Revisions()


@dataclass(frozen=True, slots=True)
class JobRecord:
    """The part of a ScaledJob's Job that is kept."""

    job: Job
    owner: Owner  # the ScaledJob


@dataclass(frozen=True, slots=True)
class ScaledRecord:
    """The part of a ScaledObject or ScaledJob that is kept: all that it says itself."""

    scaled: ScaledResource
    target: Owner
    scale_path: str  # of the target's scale sub-resource; empty where its kind is watched, or is not known yet


@dataclass(frozen=True, slots=True)
class Scale:
    """Read a scale sub-resource."""

    replicas: int  # that are asked for
    selector: str
    there: int | None = None  # that there are, as its controller counts them


class ObjectReader:
    """Reads objects, and keeps what many of them share only once."""

    def __init__(self, services: Collection[str] = ()) -> None:
        """Take the names under which triggers reach us, such as "llm-scaler.keda"; none: any trigger may be ours."""
        self._services = tuple(services)
        self._shared: dict[Any, Any] = {}

    def scaled(self, raw: Manifest) -> ScaledRecord | None:
        """Read a ScaledObject or ScaledJob; None if it does not ask us."""
        meta, spec, status = raw["metadata"], raw.get("spec", {}), raw.get("status", {})
        triggers = [trigger for trigger in spec.get("triggers") or () if isinstance(trigger, Mapping)]
        ours = [trigger for trigger in triggers if self._ours(trigger)]
        if not ours:
            return None
        kind, namespace, name = raw["kind"], meta["namespace"], meta["name"]
        target, path = _target(kind, namespace, name, spec, status)
        scaled = ScaledResource(
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
            other_trigger_types=tuple(sorted(str(trigger.get("type")) for trigger in triggers if trigger not in ours)),
            target=f"{target[1]} {target[2]}",
            minimum=spec.get("minReplicaCount") or 0,
            maximum=_or(spec.get("maxReplicaCount"), DEFAULT_MAXIMUM),
            idle_replicas=spec.get("idleReplicaCount"),
            paused=_paused(meta.get("annotations") or {}),
            fallback=_fallback(spec.get("fallback")),
            conditions=_conditions(status),
            pod_name_pattern=names_of_pods(target),
            template=self._job_template(raw, spec.get("jobTargetRef")) if kind == "ScaledJob" else None,
        )
        if kind == "ScaledJob":
            scaled = replace(
                scaled,
                failed_history_limit=_or(spec.get("failedJobsHistoryLimit"), DEFAULT_KEPT),
                successful_history_limit=_or(spec.get("successfulJobsHistoryLimit"), DEFAULT_KEPT),
                scaling_strategy=(spec.get("scalingStrategy") or {}).get("strategy") or "default",
                gradual_rollout=(spec.get("rolloutStrategy") or (spec.get("rollout") or {}).get("strategy"))
                == "gradual",
                last_active=parse_time(status.get("lastActiveTime")),
            )
        return ScaledRecord(scaled, target, path)

    def pod(self, raw: Manifest) -> PodRecord | None:
        """Read a pod; None if it has ended, unless it is one of a ScaledJob: these show what the next Job's will be."""
        meta, spec, status = raw["metadata"], raw["spec"], raw.get("status", {})
        labels = meta.get("labels") or {}
        ended = status.get("phase") in {"Succeeded", "Failed"}
        if ended and SCALED_JOB not in labels:
            return None
        state, since, reason = _pod_state(meta, spec, status)
        kept = tuple(sorted(pair for pair in labels.items() if pair[0] not in VOLATILE))
        ip, scrape = str(status.get("podIP") or ""), self._once(_scrape(meta.get("annotations") or {}))
        ready = _ready_since(status) if state == "ready" else None
        ports = self._once(_container_ports(spec))
        replica = self._once(_replica(labels))
        pod = Pod(meta["name"], state, since, self._once(reason), ip, ready, scrape, ports, replica=replica)
        owner, node = self._once(_owner(meta, labels)), spec.get("nodeName") or ""
        if owner[1] == "DaemonSet":
            spec = {**spec, "affinity": None}  # it names the pod's node, so that no two pods would share a shape
        ranked = {**spec, "priority": spec.get("priority") or 0}
        shape = self._once(read_shape(ranked, labels, status if node else None))
        waiting = _waiting(pod, owner, shape, spec, status) if state == "pending" and not ended else None
        needs = self._once(read_needs(spec))
        revision = self._once(labels.get(REVISION if owner[1] in {"StatefulSet", GROUPS} else TEMPLATE) or "")
        return PodRecord(pod, owner, self._once(kept), shape, needs, self._once(node), waiting, revision, ended)

    def replicated(self, raw: Manifest) -> Replicated:
        """Read a Deployment or StatefulSet."""
        spec = raw["spec"]
        revisions = _revisions(raw)
        template = self._template((spec.get("template"), 1))
        told = []
        if spec.get("volumeClaimTemplates"):
            told.append("where its volumes can be attached is not counted")
        named = ((spec.get("template") or {}).get("spec") or {}).get("nodeName")
        if named:
            told.append(f"its template names the node {named} itself, past the scheduler")
        template = replace(template, caveats=tuple(told), local_queue=_queue(raw, spec.get("template")))
        return Replicated(int(spec.get("replicas", 1)), template, revisions)

    def group(self, raw: Manifest) -> Replicated:
        """Read a LeaderWorkerSet: a replica is a leader and size - 1 workers."""
        spec = raw["spec"]
        group = spec["leaderWorkerTemplate"]
        leader, size = group.get("leaderTemplate") or group["workerTemplate"], int(group.get("size", 1))
        template = self._template((leader, 1), (group["workerTemplate"], size - 1))
        told = []
        if EXCLUSIVE in (raw["metadata"].get("annotations") or {}):
            told.append("that a group has its rack for itself is not counted")
        rolling = (spec.get("rolloutStrategy") or {}).get("rollingUpdateConfiguration") or {}
        replicas, partition = int(spec.get("replicas", 1)), int(rolling.get("partition") or 0)
        older = f"groups below number {partition} may be made of an older template (its partition)"
        doubts = (older,) if partition > replicas else ()
        template = replace(
            template, caveats=tuple(told), doubts=doubts, local_queue=_queue(raw, group["workerTemplate"])
        )
        return Replicated(replicas, template)

    def _job_template(self, scaled: Manifest, job: Manifest | None) -> ReplicaTemplate | None:
        """Read what one job of a ScaledJob runs at a time; KEDA gives it the labels of the ScaledJob."""
        if not job:
            return None
        most = job.get("completions")
        wide = job.get("parallelism", 1) if most is None else min(job.get("parallelism", 1), most)
        template = self._template((job.get("template"), max(int(wide), 1)))
        return replace(template, local_queue=_queue(scaled, job.get("template")))

    def _template(self, *pods: tuple[Manifest | None, int]) -> ReplicaTemplate:
        """Read so many pods of each of these templates."""
        counts: Counter[tuple[PodRequirements, PodResources]] = Counter()
        for raw, count in pods:
            labels, spec = (raw or {}).get("metadata", {}).get("labels") or {}, (raw or {}).get("spec") or {}
            counts[self._once(read_shape(spec, labels)), self._once(read_needs(spec))] += count
        first, spec = ((pods[0][0] or {}).get(part) or {} for part in ("metadata", "spec"))
        return ReplicaTemplate(
            pods=tuple((shape, count) for (shape, _), count in counts.items() if count),
            resources=tuple(needs for (_, needs), count in counts.items() if count),
            labels=tuple(sorted((first.get("labels") or {}).items())),
            seats=seats_of(spec),
        )

    def _once(self, value: Any) -> Any:
        if len(self._shared) > 100_000:  # of pods long gone
            self._shared.clear()
        return self._shared.setdefault(value, value)

    def _ours(self, trigger: Manifest) -> bool:
        metadata = trigger.get("metadata")
        if trigger.get("type") not in {"external", "external-push"} or not isinstance(metadata, Mapping):
            return False
        address = str(metadata.get("scalerAddress", "")).rpartition("//")[2].rpartition("/")[2]
        host = address.rpartition(":")[0] or address
        return not self._services or any(host == name or host.startswith(name + ".") for name in self._services)


def read_hpa(raw: Manifest) -> HpaStatus | None:
    """Read an HPA; None if KEDA did not make it for a ScaledObject."""
    if _controller(raw["metadata"]).get("kind") != "ScaledObject":
        return None
    spec, status = raw.get("spec", {}), raw.get("status", {})
    return HpaStatus(
        name=raw["metadata"]["name"],
        current=status.get("currentReplicas", 0) if "desiredReplicas" in status else None,  # a 0 is left out
        desired=status.get("desiredReplicas"),
        minimum=spec.get("minReplicas", 1),
        maximum=spec.get("maxReplicas"),
        conditions=_conditions(status),
        behavior=read_behavior(spec.get("behavior")),
    )


def hpa_of(raw: Manifest) -> ObjectKey:
    """Return namespace and name of the ScaledObject that an HPA was made for."""
    return raw["metadata"]["namespace"], _controller(raw["metadata"]).get("name", "")


_ENDS: Mapping[str, JobState] = {"Complete": "succeeded", "Failed": "failed"}  # conditions that end a Job


def read_job(raw: Manifest) -> JobRecord | None:
    """Read a Job; None if it is no ScaledJob's."""
    meta, status = raw["metadata"], raw.get("status", {})
    owner, created = _controller(meta), parse_time(meta.get("creationTimestamp"))
    if owner.get("kind") != "ScaledJob" or created is None:
        return None
    ends = [one for one in status.get("conditions") or () if one["type"] in _ENDS and one["status"] == "True"]
    job = Job(
        name=meta["name"],
        created=created,
        state=_ENDS[ends[0]["type"]] if ends else "unfinished",
        ended=parse_time(ends[0].get("lastTransitionTime")) if ends else None,
        has_no_ttl=raw.get("spec", {}).get("ttlSecondsAfterFinished") is None,
    )
    return JobRecord(job, (meta["namespace"], "ScaledJob", owner["name"]))


def read_scale(raw: Manifest) -> Scale:
    """Read a scale sub-resource."""
    status = raw.get("status", {})
    there = status.get("replicas")
    replicas = int(raw.get("spec", {}).get("replicas", 0))
    return Scale(replicas, str(status.get("selector", "")), None if there is None else int(there))


def read_slice(raw: Manifest) -> tuple[str, ...]:
    """Read the addresses of an EndpointSlice that are ready; one of which nothing is said is, as its API has it."""
    if raw.get("addressType") not in {"IPv4", "IPv6"}:
        return ()
    ready = [one for one in raw.get("endpoints") or () if (one.get("conditions") or {}).get("ready") is not False]
    return tuple(str(one["addresses"][0]) for one in ready)  # the others are of no meaning (discovery/v1, types.go)


def _target(kind: str, namespace: str, name: str, spec: Manifest, status: Manifest) -> tuple[Owner, str]:
    """Return what is scaled, and the path of its scale sub-resource where that has to be asked."""
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


def _queue(*labelled: Manifest | None) -> str:
    """Return the queue of Kueue that an object or its pods name."""
    metas = [(one or {}).get("metadata") or {} for one in labelled]
    return next((str(name) for meta in metas if (name := (meta.get("labels") or {}).get(QUEUE))), "")


def _revisions(raw: Manifest) -> Revisions:
    """Return the template revisions that the next pods of a Deployment or a StatefulSet are made of.

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
    """Write a pattern for the names of all pods that a target ever had, as its controller makes them."""
    name = re.escape(target[2]).replace(r"\-", "-")
    return {
        "Deployment": f"{name}-[a-z0-9]+-[a-z0-9]{{5}}",
        "StatefulSet": f"{name}-[0-9]+",
        "ScaledJob": f"{name}-[a-z0-9]{{5}}-[a-z0-9]{{5}}",
    }.get(target[1], "")


def _modifiers(raw: Manifest) -> str:
    """Return the formula around our trigger; by Value the HPA multiplies what it gives by the replicas."""
    formula = str(raw.get("formula") or "")[:_SHOWN]
    by_value = formula and raw.get("metricType") == "Value"
    return f"{formula} (metricType: Value, so the HPA multiplies it by the ready replicas)" if by_value else formula


def _paused(annotations: Manifest) -> str:
    """Return the annotation that pauses an object; KEDA takes anything but a false for a true."""
    replicas = annotations.get(f"{_PAUSES}paused-replicas")
    if replicas is not None:
        return f"paused-replicas: {replicas}"
    for name in ("paused", "paused-scale-in", "paused-scale-out"):
        value = annotations.get(_PAUSES + name)
        if value is not None and value not in {"0", "f", "F", "false", "FALSE", "False"}:
            return f"{name}: {value}"
    return ""


def _fallback(raw: Manifest | None) -> str:
    if not raw:
        return ""
    behavior = raw.get("behavior") or "static"
    return f"{behavior}: {raw.get('replicas')} replicas after {raw.get('failureThreshold')} failures"


def read_behavior(raw: Manifest | None) -> Behavior | None:
    """Read the behavior of an HPA, in which the API server has filled in all defaults but the tolerance."""
    if raw is None:
        return None
    return Behavior(_rules(raw.get("scaleUp") or {}, SCALE_UP), _rules(raw.get("scaleDown") or {}, SCALE_DOWN))


def _rules(raw: Manifest, default: Rules) -> Rules:
    policies = tuple(RatePolicy(one["type"], one["value"], one["periodSeconds"]) for one in raw.get("policies") or ())
    window, tolerance = raw.get("stabilizationWindowSeconds"), raw.get("tolerance")
    return Rules(
        policies=policies or default.policies,
        window=default.window if window is None else window,
        select=raw.get("selectPolicy") or default.select,
        tolerance=None
        if tolerance is None
        else parse_quantity("cpu", tolerance) / 1000,  # counted in thousandths, like cpu
    )


def _conditions(status: Manifest) -> tuple[Condition, ...]:
    return tuple(
        Condition(raw["type"], raw.get("status", "Unknown"), raw.get("reason", ""), raw.get("message", "")[:_SHOWN])
        for raw in status.get("conditions") or ()
    )


def _controller(meta: Manifest) -> Manifest:
    return next((owner for owner in meta.get("ownerReferences") or () if owner.get("controller")), {})


def _owner(meta: Manifest, labels: Manifest) -> Owner:
    """Return what a pod belongs to: what it is scaled as, not the ReplicaSet or Job in between."""
    namespace, controller = meta["namespace"], _controller(meta)
    kind, name, template = controller.get("kind", ""), controller.get("name", ""), labels.get(TEMPLATE)
    if kind == "ReplicaSet" and template and name.endswith(f"-{template}"):
        return namespace, "Deployment", name.removesuffix(f"-{template}")
    if kind == "Job" and SCALED_JOB in labels:
        return namespace, "ScaledJob", labels[SCALED_JOB]
    if kind == "StatefulSet" and GROUP in labels:
        return namespace, GROUPS, labels[GROUP]
    return namespace, kind, name


def _replica(labels: Manifest) -> str:
    """Return which replica of several pods a pod is of; empty where its labels do not say."""
    named = next((some for some in REPLICAS if labels.keys() >= set(some)), ())
    return "/".join(str(labels[label]) for label in named)


def _scrape(annotations: Manifest) -> Metadata:
    given = ((key, annotations.get(f"prometheus.io/{key}")) for key in _SCRAPE)
    return tuple((key, str(value)[: _LONGEST + 1]) for key, value in given if value is not None)


def _container_ports(spec: Manifest) -> tuple[tuple[str, int], ...]:
    """List the TCP ports that containers declare, by name where they have one; sidecars are init containers."""
    containers = (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
    ports = (port for container in containers for port in container.get("ports") or ())
    tcp = (port for port in ports if port.get("protocol", "TCP") == "TCP")
    return tuple((str(port.get("name") or ""), int(port["containerPort"])) for port in tcp)


def _pod_state(meta: Manifest, spec: Manifest, status: Manifest) -> tuple[PodState, float | None, str]:
    conditions = {raw["type"]: raw for raw in status.get("conditions") or ()}
    ready = conditions.get("Ready", {})
    created = parse_time(meta.get("creationTimestamp"))
    if meta.get("deletionTimestamp"):
        return "terminating", created, ""
    if ready.get("status") == "True":
        return "ready", created, ""
    if not spec.get("nodeName"):
        scheduled = conditions.get("PodScheduled", {})
        since = parse_time(scheduled.get("lastTransitionTime"))
        return "pending", created if since is None else since, str(scheduled.get("message") or "")[:_SHOWN]
    # Kubelet moves Ready's time only when Ready changes, so one that came long after the start was True in between.
    began, changed = (
        parse_time(conditions.get(name, {}).get("lastTransitionTime")) for name in ("Initialized", "Ready")
    )
    was_ready = began is not None and changed is not None and changed > began + 1
    return ("unready" if was_ready else "starting"), created, ""


def _ready_since(status: Manifest) -> float | None:
    return next(
        (parse_time(raw.get("lastTransitionTime")) for raw in status["conditions"] if raw["type"] == "Ready"), None
    )


def _waiting(pod: Pod, owner: Owner, shape: PodRequirements, spec: Manifest, status: Manifest) -> PendingPod:
    reasons = {raw.get("reason") for raw in status.get("conditions") or () if raw["type"] == "PodScheduled"}
    return PendingPod(
        name=pod.name,
        owner=owner,
        shape=shape,
        unschedulable="Unschedulable" in reasons,
        gated="SchedulingGated" in reasons or bool(spec.get("schedulingGates")),
        nominated=status.get("nominatedNodeName") or "",
    )


def _or(given: int | None, default: int) -> int:
    return default if given is None else given
