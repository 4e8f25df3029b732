"""What KEDA and the HPA make of the answer."""

from scaler.model.objects import Manifest
from scaler.wiring.behavior import behavior_of, slow_steps, tolerance
from scaler.wiring.finding import Found, warn
from scaler.wiring.picture import Data, Picture, at, condition, mapping, name_of, seconds_of, whole
from scaler.wiring.rules.scaled_object import may_be_zero

PATIENCE = 60.0  # seconds that KEDA may take to make an HPA


def missing(picture: Picture) -> Found | None:
    """KEDA has made no HPA."""
    age = picture.age(picture.scaled)
    if not picture.triggers or picture.listed("horizontalpodautoscalers") is None or picture.hpa:
        return None
    if age is None or age < PATIENCE:
        return None
    ready = picture.condition("Ready")
    return Found(
        "KEDA has made no HPA for it, so nothing changes replicas above 0",
        f"there is no HPA {at(picture.scaled, 'status', 'hpaName') or 'keda-hpa-' + picture.name}; "
        f"Ready: {ready.get('status')}: {ready.get('reason')}: {ready.get('message')}",
        f"kubectl -n {picture.namespace} describe scaledobject {picture.name}",
    )


def without_our_metric(picture: Picture) -> Found | None:
    """The HPA was made while llm-scaler could not be reached, and asks for something else."""
    if picture.hpa is None or not picture.triggers:
        return None
    metrics = at(picture.hpa, "spec", "metrics") or []
    if any(one.get("type") == "External" for one in metrics):
        return None
    kinds = ", ".join(str(at(one, "resource", "name") or one.get("type")) for one in metrics)
    return Found(
        "its HPA does not ask for our metric: it was made while llm-scaler could not be reached",
        f"HPA {name_of(picture.hpa)} has the metrics: {kinds or 'none'}",
        f"kubectl -n {picture.namespace} annotate scaledobject {picture.name} llm-scaler/reconcile=now --overwrite, "
        "once llm-scaler answers",
    )


def gets_no_value(picture: Picture) -> Found | None:
    """The HPA gets no value, or may not change the target."""
    if picture.hpa is None:
        return None
    for kind in ("AbleToScale", "ScalingActive"):
        state = condition(picture.hpa, kind)
        if state.get("status") == "False" and state.get("reason") != "ScalingDisabled":
            what = "the HPA gets no value" if kind == "ScalingActive" else "the HPA cannot change the scale target"
            return Found(
                what,
                f"{name_of(picture.hpa)}: {kind} is False: {state.get('reason')}: {state.get('message')}",
                f"kubectl -n {picture.namespace} describe hpa {name_of(picture.hpa)}",
            )
    return None


def fallback_in_force(picture: Picture) -> Found | None:
    """KEDA uses the fallback in place of our answer."""
    state = picture.condition("Fallback")
    if state.get("status") != "True":
        return None
    return Found(
        "fallback is in force: KEDA does not use our answer",
        f"{state.get('reason')}: {state.get('message')}",
        f"kubectl -n {picture.namespace} get events --field-selector involvedObject.name={picture.name}",
    )


def at_maximum(picture: Picture) -> Found | None:
    """More is asked for than maxReplicaCount allows."""
    most = whole(picture.spec.get("maxReplicaCount"), 100)
    for decision in picture.decisions or ():
        desired = decision["desiredReplicas"]
        if desired is not None and desired > most:
            return warn(
                f"the load needs {desired} replicas, and maxReplicaCount is {most}",
                str(decision["reason"]),
                f"maxReplicaCount: {desired}",
            )
    return None


def forbidden(picture: Picture) -> Found | None:
    """Its behavior forbids a direction."""
    behavior = behavior_of(picture.spec)
    for direction, harm in (("scaleUp", "it never grows past its first replicas"), ("scaleDown", "it never shrinks")):
        if mapping(behavior, direction).get("selectPolicy") == "Disabled":
            return Found(
                f"its behavior switches {direction} off: {harm}",
                f"behavior.{direction}.selectPolicy: Disabled",
                f"remove selectPolicy from behavior.{direction}",
            )
    return None


def swallowed(picture: Picture) -> Found | None:
    """The HPA's tolerance swallows the step that we ask for now."""
    if picture.hpa is None:
        return None
    current = at(picture.hpa, "status", "currentReplicas")
    for decision in picture.decisions or ():
        asked = decision["answeredReplicas"]
        if not current or not asked or asked == current or decision["certainty"] != "certain":
            continue
        direction = "scaleUp" if asked > current else "scaleDown"
        allowed = tolerance(mapping(picture.hpa, "spec", "behavior", direction))
        if 1 - allowed <= asked / current <= 1 + allowed:  # as the HPA compares, down to the last bit
            return Found(
                f"the HPA swallows the step from {current} to {asked} replicas: it is within its tolerance",
                f"{asked} / {current} = {asked / current:.3g}, tolerance {100 * allowed:g} %",
                f'advanced.horizontalPodAutoscalerConfig.behavior.{direction}.tolerance: "0"',
                "warning",
            )
    return None


def slow_growth(picture: Picture) -> Found | None:
    """Its behavior lets replicas grow by so few that a load outruns them."""
    rules = mapping(behavior_of(picture.spec), "scaleUp")
    window = whole(rules.get("stabilizationWindowSeconds"), 0)
    if window > 60:
        what = f"the HPA waits {window} s before it adds a replica"
        line = "behavior.scaleUp.stabilizationWindowSeconds: 0"
        return warn(what, f"behavior.scaleUp.stabilizationWindowSeconds: {window}", line)
    slow = slow_steps(rules)
    if not slow:
        return None
    return warn(
        f"its behavior lets it grow by {slow}: a load outruns it",
        f"behavior.scaleUp.policies: {slow}",
        "leave behavior.scaleUp.policies out: the HPA then doubles, or adds 4, in 15 s",
    )


def policy_waits_twice(picture: Picture) -> Found | None:
    """The formula's policy owns the timing, and the HPA waits once more."""
    for decision in picture.decisions or ():
        policy = decision["policy"]
        if policy and policy["cautions"]:
            return warn(
                f"policy {policy['kind']} decides when replicas change, and the HPA waits once more",
                "; ".join(policy["cautions"]),
                "llm-scaler scaledobject KIND/NAME --formula NAME writes the behavior that stands aside",
            )
    return None


def flaps(picture: Picture) -> Found | None:
    """Nothing slows a scale-down: neither the answer nor the HPA."""
    window = mapping(behavior_of(picture.spec), "scaleDown").get("stabilizationWindowSeconds")
    if window != 0:
        return None
    what = "nothing slows a scale-down, neither the answer nor the HPA: replicas flap with the load"
    hpa = "behavior.scaleDown.stabilizationWindowSeconds: 0"
    for trigger in picture.triggers:
        if str(mapping(trigger, "metadata").get("scaleDown", "")).strip() == "off":
            repair = "leave scaleDown out of the trigger's metadata: an answer then falls by 10 % a minute"
            return warn(what, f"scaleDown: off in the trigger, {hpa}", repair)
    if any(_falls_at_once(decision) for decision in _decisions(picture)) and picture.ready_pods:
        repair = "leave that line out, or defaults.scaleDown out of the settings: an answer then falls by 10 % a minute"
        return warn(what, f"{hpa}; of a certain answer llm-scaler tells no pace", repair)
    return None


def _falls_at_once(decision: Data) -> bool:
    """Tell whether a certain answer has no pace, though there are replicas to remove and no policy owns the timing."""
    certain = decision.get("certainty") == "certain" and bool(decision.get("answeredReplicas"))
    return certain and decision.get("policy") is None and decision.get("scaleDown", ()) is None


def short_cooldown(picture: Picture) -> Found | None:
    """It goes to zero sooner than a replica takes to start."""
    if not picture.triggers or not may_be_zero(picture):
        return None
    cooldown, took = whole(picture.spec.get("cooldownPeriod"), 300), startup_seconds(picture)
    if took is None or cooldown >= took:
        return None
    return warn(
        f"cooldownPeriod is {cooldown} s, and a replica takes {took:.0f} s to start: what has just come up is ended",
        f"cooldownPeriod: {cooldown}; measured start-up {took:.0f} s",
        f"cooldownPeriod: {60 * -(-int(took) // 60)}",
    )


def startup_seconds(picture: Picture) -> float | None:
    """Return the seconds in which a replica became ready: as llm-scaler saw it, or of the slowest of the ready pods."""
    told = [mapping(one, "starting").get("startupSeconds") for one in _decisions(picture)]
    seen = [float(took) for took in told if isinstance(took, (int, float))]
    return max(seen) if seen else max(filter(None, map(_took, picture.ready_pods)), default=None)


def _took(pod: Manifest) -> float | None:
    """Return the seconds from when a pod had a node until it was ready; after a restart, those of its last start."""
    ready = seconds_of(condition(pod, "Ready").get("lastTransitionTime"))
    placed = seconds_of(condition(pod, "PodScheduled").get("lastTransitionTime"))
    restarted = any(one.get("restartCount") for one in at(pod, "status", "containerStatuses") or ())
    return None if ready is None or placed is None or restarted else ready - placed


def _decisions(picture: Picture) -> list[Data]:
    return list(picture.decisions or ())
