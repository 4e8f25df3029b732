"""What the ScaledObject says: whom it scales, within which bounds, and what happens when nobody answers."""

from scaler.wiring.finding import Found, warn
from scaler.wiring.picture import Picture, mapping, name_of, sequence, whole

PAUSES = "autoscaling.keda.sh/"
LONG_POLL = 60  # seconds between two polls, above which the first request waits long


def paused(picture: Picture) -> Found | None:
    """An annotation pauses it."""
    annotations = mapping(picture.scaled, "metadata", "annotations")
    for key in ("paused", "paused-replicas", "paused-scale-in", "paused-scale-out"):
        value = annotations.get(PAUSES + key)
        if value is None or str(value).lower() == "false":
            continue
        return Found(
            "it is paused",
            f"annotation {PAUSES}{key}: {value!r}",
            f"kubectl -n {picture.namespace} annotate scaledobject {picture.name} {PAUSES}{key}-",
        )
    return None


def target_missing(picture: Picture) -> Found | None:
    """There is no such scale target."""
    version, kind, name = picture.target
    there = picture.listed("scaletarget")
    if not picture.scaled:
        return None
    why = picture.unread.get("scaletarget", "")
    if why.startswith("404"):
        return Found(
            f"the cluster knows no kind {kind} of {version}",
            f"scaleTargetRef: {{apiVersion: {version}, kind: {kind}, name: {name}}}; {why}",
            "name the apiVersion and kind of what is to be scaled in spec.scaleTargetRef",
        )
    if there is None or picture.target_manifest:
        return None
    known = sorted(name_of(one) for one in picture.own("scaletarget"))
    right = known[0] if known else "NAME"
    return Found(
        f"there is no {kind} {name} to scale",
        f"{kind}s in {picture.namespace}: {', '.join(known[:10]) or 'none'}",
        f"kubectl -n {picture.namespace} patch scaledobject {picture.name} --type merge -p "
        f'\'{{"spec":{{"scaleTargetRef":{{"name":"{right}"}}}}}}\'',
    )


def no_scale(picture: Picture) -> Found | None:
    """The scale target has no /scale, by which KEDA and the HPA change replicas."""
    why = picture.unread.get("scale", "")
    if not why.startswith("404") or not picture.target_manifest:
        return None
    _, kind, name = picture.target
    return Found(
        f"{kind} {name} has no /scale, so neither KEDA nor the HPA can change its replicas",
        why,
        "scale a kind that has one: a Deployment, a StatefulSet, a LeaderWorkerSet, a custom resource with a scale "
        "sub-resource",
    )


def two_owners(picture: Picture) -> Found | None:
    """Somebody else changes the replicas of the same target."""
    version, kind, name = picture.target
    wanted = (version.rpartition("/")[0], kind, name)
    for other in picture.own("scaledobjects"):
        ref = mapping(other, "spec", "scaleTargetRef")
        theirs = str(ref.get("apiVersion") or "apps/v1").rpartition("/")[0], ref.get("kind") or "Deployment"
        if name_of(other) != picture.name and (*theirs, ref.get("name")) == wanted:
            return _owners(picture, "scaledobject", name_of(other))
    for hpa in picture.own("horizontalpodautoscalers"):
        ref = mapping(hpa, "spec", "scaleTargetRef")
        theirs = str(ref.get("apiVersion") or "").rpartition("/")[0], ref.get("kind")
        if _is_kedas(hpa, picture) or (*theirs, ref.get("name")) != wanted:
            continue
        return _owners(picture, "hpa", name_of(hpa))
    return None


def _is_kedas(hpa: object, picture: Picture) -> bool:
    owners = sequence(hpa, "metadata", "ownerReferences")
    return any(owner.get("kind") == "ScaledObject" and owner.get("name") == picture.name for owner in owners)


def _owners(picture: Picture, kind: str, name: str) -> Found:
    _, target_kind, target = picture.target
    noun = "ScaledObject" if kind == "scaledobject" else "HorizontalPodAutoscaler"
    return Found(
        f"two owners of {target_kind} {target}: the {noun} {name} scales it too, and each undoes the other",
        f"{noun} {picture.namespace}/{name} names the same scaleTargetRef",
        f"kubectl -n {picture.namespace} delete {kind} {name}",
    )


def bounds(picture: Picture) -> Found | None:
    """Its bounds leave nothing to decide, or contradict each other."""
    spec = picture.spec
    if not spec:
        return None
    least, most = whole(spec.get("minReplicaCount"), 0), whole(spec.get("maxReplicaCount"), 100)
    evidence = f"minReplicaCount {least}, maxReplicaCount {most}"
    idle = spec.get("idleReplicaCount")
    if most < max(least, 1):
        return Found("maxReplicaCount is below minReplicaCount: KEDA refuses it", evidence, _raise(picture, least + 1))
    if most == least:
        what = f"minReplicaCount and maxReplicaCount are both {least}: there is nothing to decide"
        return Found(what, evidence, _raise(picture, least + 1))
    if isinstance(idle, int) and idle >= least:
        what = f"idleReplicaCount {idle} is not below minReplicaCount {least}: KEDA refuses it"
        return Found(
            what, f"{evidence}, idleReplicaCount {idle}", "leave idleReplicaCount out, or raise minReplicaCount"
        )
    if isinstance(idle, int) and idle > 0:
        what = f"idleReplicaCount is {idle}: the HPA takes it back to minReplicaCount, and both go on for ever"
        return warn(what, f"{evidence}, idleReplicaCount {idle}; KEDA supports 0 alone", "idleReplicaCount: 0")
    return None


def _raise(picture: Picture, count: int) -> str:
    return (
        f"kubectl -n {picture.namespace} patch scaledobject {picture.name} --type merge -p "
        f'\'{{"spec":{{"maxReplicaCount":{max(count, 2)}}}}}\''
    )


def scaling_modifiers(picture: Picture) -> Found | None:
    """A formula of KEDA's own makes something else of our answer."""
    modifiers = mapping(picture.spec, "advanced", "scalingModifiers")
    formula = modifiers.get("formula")
    if not formula:
        return None
    return warn(
        "scalingModifiers make another number of our answer, and an error of any trigger stops all of them",
        f"formula: {formula!r}, target: {modifiers.get('target')!r}",
        "put the formula into a formula file of llm-scaler (its language is the same), and leave scalingModifiers out",
    )


def fallback(picture: Picture) -> Found | None:
    """The fallback takes replicas away when llm-scaler does not answer, or is not set."""
    if not picture.scaled:
        return None
    given = mapping(picture.spec, "fallback")
    line = "fallback: {failureThreshold: 3, replicas: 1, behavior: currentReplicasIfHigher}"
    if not given:
        what = "it has no fallback: at 0 replicas an outage of the metrics wakes nobody"
        return warn(what, "spec.fallback is not set", line)
    behavior, replicas = given.get("behavior") or "static", whole(given.get("replicas"), 0)
    shown = f"fallback: {{replicas: {replicas}, behavior: {behavior}}}"
    if replicas == 0:
        what = "fallback.replicas is 0: an outage of the metrics takes it to 0 replicas"
        return warn(what, shown, line)
    if behavior not in {"currentReplicasIfHigher", "currentReplicas"}:
        what = f"an outage of the metrics takes it to {replicas} replicas, however many run"
        return warn(what, shown, line)
    return None


def cached(picture: Picture) -> Found | None:
    """The HPA is given what a poll saw, which is older, and hides failures from fallback."""
    triggers = [trigger for trigger in picture.triggers if trigger.get("useCachedMetrics")]
    if not triggers:
        return None
    every = whole(picture.spec.get("pollingInterval"), 30)
    what = f"useCachedMetrics: the HPA gets what a poll saw, up to {every} s ago, and fallback flaps"
    return warn(what, "triggers[].useCachedMetrics: true", "leave useCachedMetrics out: our answers cost no query")


def slow_wake(picture: Picture) -> Found | None:
    """From zero it waits for a poll, and polls are rare."""
    every = whole(picture.spec.get("pollingInterval"), 30)
    pushes = any(trigger.get("type") == "external-push" for trigger in picture.triggers)
    if not picture.triggers or pushes or every <= LONG_POLL or not may_be_zero(picture):
        return None
    what = f"at 0 replicas the first request waits for a poll, which comes every {every} s"
    return warn(what, f"pollingInterval {every}, type external", "type: external-push, and llm-scaler wakes it at once")


def may_be_zero(picture: Picture) -> bool:
    """Tell whether KEDA may take it to 0 replicas."""
    idle = picture.spec.get("idleReplicaCount")
    return idle == 0 or (idle is None and whole(picture.spec.get("minReplicaCount"), 0) == 0)


def not_ready(picture: Picture) -> Found | None:
    """KEDA itself says that it is not ready; a finding before this one says why, where the reason is known."""
    ready = picture.condition("Ready")
    if ready.get("status") != "False":
        return None
    said = picture.events("ScaledObject", picture.name, "KEDAScalerFailed", "ScaledObjectCheckFailed")
    told = [f"event {event.get('reason')}: {event.get('message')}" for event in said[:2]]
    return Found(
        "KEDA says that it is not ready",
        "; ".join([f"{ready.get('reason')}: {ready.get('message')}", *told]),
        f"kubectl -n {picture.namespace} describe scaledobject {picture.name}",
    )
