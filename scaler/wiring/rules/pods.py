"""What becomes of the replicas that were ordered: quotas, nodes, images, and the end of a pod's life."""

import re

from scaler.model.objects import Manifest
from scaler.wiring.finding import Found, warn
from scaler.wiring.picture import (
    Picture,
    at,
    condition,
    containers,
    labels_of,
    mapping,
    name_of,
    sequence,
    takes,
)

GRACE = 30  # terminationGracePeriodSeconds that Kubernetes gives a pod which says none
PENDING = 60.0  # seconds after which a pod without a node is worth a word
BROKEN = {
    "CrashLoopBackOff": "its containers end again and again",
    "ImagePullBackOff": "its image cannot be pulled",
    "ErrImagePull": "its image cannot be pulled",
    "InvalidImageName": "its image has no name that can be read",
    "CreateContainerConfigError": "its container names a Secret or ConfigMap that is not there",
    "CreateContainerError": "its container cannot be made",
    "RunContainerError": "its container cannot be started",
}
RAN = frozenset({"CrashLoopBackOff"})  # of these there is a log; of the others only the pod's events say why


def cannot_be_created(picture: Picture) -> Found | None:
    """The API server refuses new pods: a quota, an admission policy, a LimitRange."""
    if _has_all(picture):
        return None
    for event in picture.recent("FailedCreate"):
        if not _is_of_target(str(at(event, "involvedObject", "name")), picture):
            continue
        message = str(event.get("message"))
        quota = "exceeded quota" in message
        return Found(
            "a quota does not allow another pod" if quota else "the API server refuses new pods of it",
            message,
            f"kubectl -n {picture.namespace} edit resourcequota" if quota else "the message says who refuses, and why",
        )
    return None


def _is_of_target(name: str, picture: Picture) -> bool:
    """Tell whether it is the target, or of its making: llama-5d8f of llama, and not llama-cpu-5d8f."""
    return re.fullmatch(rf"{re.escape(picture.target[2])}(-[a-z0-9]+)?", name) is not None


def _has_all(picture: Picture) -> bool:
    """Tell whether the target has as many pods as it is asked for, so that what was refused is long mended."""
    asked = at(picture.target_manifest, "spec", "replicas")
    return isinstance(asked, int) and len(picture.pods) >= asked


def unschedulable(picture: Picture) -> Found | None:
    """Pods wait for a node."""
    waiting = [pod for pod in picture.pods if _waits(pod, picture)]
    if not waiting:
        return None
    state = condition(waiting[0], "PodScheduled")
    gpus = "nvidia.com/gpu" in str(state.get("message")) or "amd.com/gpu" in str(state.get("message"))
    limit = next((_limit(decision) for decision in picture.decisions or () if _limit(decision)), "")
    count = "1 pod waits" if len(waiting) == 1 else f"{len(waiting)} pods wait"
    return Found(
        f"{count} for a node" + (" with a free GPU" if gpus else ""),
        f"{name_of(waiting[0])}: {state.get('message')}" + (f"; {limit}" if limit else ""),
        "raise the limit that is named, or free GPUs; with capacity: clamp in the trigger, what cannot be had "
        "is not asked for",
    )


def _waits(pod: Manifest, picture: Picture) -> bool:
    state = condition(pod, "PodScheduled")
    age = picture.age(pod)
    return state.get("status") == "False" and state.get("reason") == "Unschedulable" and (age or 0.0) > PENDING


def _limit(decision: object) -> str:
    return str(mapping(decision, "capacity").get("reason") or "")


def broken(picture: Picture) -> Found | None:
    """Pods have a node and do not run."""
    for pod in picture.pods:
        states = (*sequence(pod, "status", "initContainerStatuses"), *sequence(pod, "status", "containerStatuses"))
        for state in states:
            reason = str(at(state, "state", "waiting", "reason") or "")
            if reason in BROKEN:
                last = at(state, "lastState", "terminated", "reason")
                ended = f"; it ended with {last}" if last else ""
                return Found(
                    f"a pod does not run: {BROKEN[reason]}",
                    f"{name_of(pod)}: {reason}: {at(state, 'state', 'waiting', 'message')}{ended}",
                    _look_at(pod, state, reason),
                )
    return None


def _look_at(pod: Manifest, container: Manifest, reason: str) -> str:
    """Say what shows why a container does not run: the log of how it ended, or the events of one that never began."""
    kubectl, ended = f"kubectl -n {at(pod, 'metadata', 'namespace')}", at(container, "lastState", "terminated")
    if reason in RAN or ended:
        named = f" -c {container['name']}" if container.get("name") else ""
        return f"{kubectl} logs {name_of(pod)}{named} --previous"
    return f"{kubectl} describe pod {name_of(pod)}"


def rollout_stuck(picture: Picture) -> Found | None:
    """A rollout of the target does not come to its end."""
    state = condition(picture.target_manifest or {}, "Progressing")
    if state.get("status") != "False":
        return None
    return Found(
        "a rollout of the scale target does not come to its end",
        f"{state.get('reason')}: {state.get('message')}",
        f"kubectl -n {picture.namespace} rollout status {picture.target[1].lower()}/{picture.target[2]}",
        "warning",
    )


def quota(picture: Picture) -> Found | None:
    """A quota holds fewer replicas than maxReplicaCount."""
    if not picture.scaled or picture.listed("targetpods") is None:
        return None
    for one in picture.own("resourcequotas"):
        for resource, most in mapping(one, "status", "hard").items():
            used = mapping(one, "status", "used").get(resource, "0")
            each = _of_a_pod(resource, picture)
            if not (_is_count(most) and _is_count(used)) or each == 0:
                continue
            repair = f"kubectl -n {picture.namespace} edit resourcequota {name_of(one)}"
            evidence = f"{resource}: {used} used of {most}"
            left = _count(most) - _count(used)
            if left <= 0 and _wishes(picture):
                return Found(f"the quota {name_of(one)} is used up: {resource}", evidence, repair)
            pods, most_pods = len(picture.pods) + max(0, left) // (each or 1), picture.spec.get("maxReplicaCount", 100)
            if each is not None and _is_count(most_pods) and pods < _count(most_pods):
                return warn(
                    f"the quota {name_of(one)} holds {pods} pods of it, and maxReplicaCount is {most_pods}",
                    evidence,
                    f"{repair}, or maxReplicaCount: {pods}",
                )
    return None


def _wishes(picture: Picture) -> bool:
    """Tell whether more replicas are asked for than there are pods."""
    answers = [decision["answeredReplicas"] for decision in picture.decisions or ()]
    return any(isinstance(asked, int) and asked > len(picture.pods) for asked in answers)


def _of_a_pod(resource: str, picture: Picture) -> int | None:
    """Return how much of a quota's resource one pod takes: 0 for none; None where that is no whole number."""
    if resource == "pods":
        return 1
    plain = resource.removeprefix("requests.").removeprefix("limits.")
    spec = mapping(picture.target_manifest, "spec", "template", "spec")
    taken = 0
    for container in containers(spec):
        limits, requests = (mapping(container, "resources", kind) for kind in ("limits", "requests"))
        amount = requests.get(plain, limits.get(plain, 0))
        if not _is_count(amount):
            return None
        taken += _count(amount)
    return taken


def _is_count(amount: object) -> bool:
    return str(amount).isdigit()


def _count(amount: object) -> int:
    return int(str(amount))


def short_grace(picture: Picture) -> Found | None:
    """A pod that is removed is killed before its longest request has ended."""
    spec = mapping(picture.target_manifest, "spec", "template", "spec")
    longest = picture.longest_generation
    if not spec or longest is None:
        return None
    grace = at(spec, "terminationGracePeriodSeconds")
    given = grace if isinstance(grace, int) else GRACE
    if given >= longest:
        return None
    line = f'{{"spec":{{"template":{{"spec":{{"terminationGracePeriodSeconds":{int(longest) + 30}}}}}}}}}'
    return warn(
        f"a replica that is removed has {given} s to end its requests, and the longest takes {longest:.0f} s",
        f"terminationGracePeriodSeconds: {given}; longest generation {longest:.0f} s",
        f"kubectl -n {picture.namespace} patch {picture.target[1].lower()} {picture.target[2]} -p '{line}'",
    )


def disruption_budget(picture: Picture) -> Found | None:
    """A PodDisruptionBudget that never allows anything keeps nodes from being drained, and GPUs from others."""
    labels = (
        labels_of(picture.pods[0])
        if picture.pods
        else mapping(picture.target_manifest, "spec", "template", "metadata", "labels")
    )
    for one in picture.own("poddisruptionbudgets"):
        spec = mapping(one, "spec")
        if not labels or not takes(mapping(spec, "selector"), labels):
            continue
        most, least = spec.get("maxUnavailable"), spec.get("minAvailable")
        if most in {0, "0%"} or least == "100%":
            shown = f"maxUnavailable: {most}" if most is not None else f"minAvailable: {least}"
            return warn(
                f"the PodDisruptionBudget {name_of(one)} never lets a pod go: nodes cannot be drained or consolidated",
                shown,
                f"kubectl -n {picture.namespace} patch pdb {name_of(one)} --type merge -p "
                '\'{"spec":{"minAvailable":null,"maxUnavailable":1}}\'',
            )
    return None
