"""What follows from what the cluster says of one scale target: its pods, its replicas, its GPUs. Pure.

picture of the cluster ──▶ TargetView ──▶ own_pods      which pods a signal is measured on
──▶ status        how many replicas there are, and in which state
──▶ gpu_reading   what can be had, as a measurement
"""

from collections.abc import Collection
from dataclasses import replace

from scaler.model.availability import GPU_COUNTS
from scaler.model.measurement import CapacityQuery, Failure, Measurement, PodAddress, Reading, TargetPods, TargetStatus
from scaler.model.objects import FALSE_WORDS, TRUE_WORDS, Pod, PodState, ScaledResource, TargetView

ONE_POD_EACH = frozenset(
    {"Deployment", "StatefulSet", "ReplicaSet", "ReplicationController", "LeaderWorkerSet", "Rollout", "CloneSet"}
)  # kinds of scale targets with a pod for each replica, of a group its leader; a rollout may have more for a while


def own_pods(scaled: ScaledResource | None) -> TargetPods | None:
    """List the pods that a signal of the target is measured on, where they are known, and who of them must answer.

    A ready replica must answer, unless its annotation prometheus.io/scrape says no; if all say no, all must, so that
    nobody is left out by mistake. A LeaderWorkerSet's worker is read too, and must answer where its own annotations
    say that it has a page: prometheus.io/scrape is true, or there is a prometheus.io/port. Of a target whose replicas
    have several pods each, such as a RayCluster's, one pod of each replica has to answer: which of them have a page at
    all, nothing says. Where the pods' labels do not say which replica they are of, as many pods have to answer as there
    are replicas.
    """
    if scaled is None or scaled.pods is None:
        return None
    served = [pod for pod in scaled.pods if not _says_no(pod)]
    silent = not any(pod.state == "ready" for pod in served)
    replicas = scaled.pods if silent else served
    workers = [pod for pod in scaled.workers if not _says_no(pod)]
    must = [pod for pod in (*replicas, *filter(_says_yes, workers)) if pod.state == "ready"]
    there = [pod for pod in (*replicas, *workers) if pod.state != "pending"]
    places = frozenset(
        PodAddress(scaled.namespace, pod.name, pod.ip, pod.prometheus_annotations, pod.ports)
        for pod in there
        if pod.ip and pod.state != "starting"
    )
    names = frozenset(pod.name for pod in (*scaled.pods, *workers) if pod.state != "pending")
    ready, least = frozenset(pod.name for pod in must), _least(scaled, must)
    grouped = () if least is None else _replicas(must)
    return TargetPods(names, ready, scaled.pod_name_pattern, places, least, grouped)


def _least(scaled: ScaledResource, must: Collection[Pod]) -> int | None:
    """Count the pods that have to answer where a replica may have several; None: all. A rollout's surge is not one."""
    kind, several = scaled.target.partition(" ")[0], len(must) > (scaled.replicas or len(must))
    annotated = any(_says_yes(pod) for pod in must)
    return scaled.replicas if several and kind not in ONE_POD_EACH and not annotated else None


def _replicas(pods: Collection[Pod]) -> tuple[frozenset[str], ...]:
    """Sort pods by the replica that they are of; nothing where one does not say it."""
    found: dict[str, set[str]] = {}
    for pod in pods:
        found.setdefault(pod.replica, set()).add(pod.name)
    if "" in found:
        return ()
    return tuple(frozenset(found[replica]) for replica in sorted(found))


def _says_no(pod: Pod) -> bool:
    return dict(pod.prometheus_annotations).get("scrape", "").lower() in FALSE_WORDS


def _says_yes(pod: Pod) -> bool:
    said = dict(pod.prometheus_annotations)
    return said.get("scrape", "").lower() in TRUE_WORDS or "port" in said


def gpu_reading(query: CapacityQuery, target: TargetView) -> Measurement:
    """Return a count of GPUs as a measurement: what is not known is an error, never 0."""
    if target.available is None:
        return Failure("what GPUs there were is not known", 0.0)
    count = GPU_COUNTS[query.count][0](target.available)
    if count.value is None:
        return Failure(count.reason, 0.0)
    return Reading(float(count.value), 0.0, incomplete_reason=target.stale_reason, caveat=count.caveat)


def status(target: TargetView, known: TargetStatus) -> TargetStatus:
    """Return what Kubernetes itself says of the scale target, and where it does not, what was known anyway.

    A LeaderWorkerSet of 2 pods a replica with 4 ready and 1 starting: 2 ready, 1 starting.
    """
    scaled = target.scaled
    if scaled is None:
        return known
    if scaled.replicas is not None:
        known = replace(known, current=scaled.replicas, source="Kubernetes")
    if scaled.pods is not None:
        known = replace(
            known,
            ready=_ready(scaled),
            ever_ready=_whole(scaled, "ready", "unready"),
            starting=_begun(scaled, "starting"),
            pending=_begun(scaled, "pending"),
        )
    return replace(known, minimum=scaled.minimum, maximum=scaled.maximum, stale_reason=target.stale_reason)


def _ready(scaled: ScaledResource) -> int:
    """Count ready replicas; where one has several pods and nobody says how many, no more than there are replicas."""
    ready = _whole(scaled, "ready")
    several = _least(scaled, [pod for pod in scaled.pods or () if pod.state == "ready"])
    if several is None:
        return ready
    there = [pod for pod in scaled.pods or () if pod.state != "terminating"]
    begun = {pod.name for pod in there if pod.state != "ready"}
    least, replicas = min(ready, several), _replicas(there)
    if not replicas:
        return least
    return min(least, sum(begun.isdisjoint(pods) for pods in replicas))


def _whole(scaled: ScaledResource, *states: PodState) -> int:
    """Count the replicas all of whose pods are in these states, as far as counting pods tells."""
    return (scaled.count(*states) or 0) // (scaled.template.counted if scaled.template else 1)


def _begun(scaled: ScaledResource, *states: PodState) -> int:
    """Count the replicas some of whose pods are in these states, as far as counting pods tells."""
    return -(-(scaled.count(*states) or 0) // (scaled.template.counted if scaled.template else 1))
