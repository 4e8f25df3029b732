"""KEDA itself: is it there, does it run, and does it look at this object?"""

import re
from collections.abc import Mapping

from scaler.model.errors import nearest
from scaler.model.objects import Manifest
from scaler.wiring.finding import Found, warn
from scaler.wiring.picture import Picture, at, condition, containers, labels_of, mapping, name_of, sequence

OLDEST = (2, 15)  # of KEDA, that is tested
WHOLE_NUMBERS = (2, 17)  # before it KEDA reads whole numbers alone
PATIENCE = 60.0  # seconds that KEDA may take for a new object
OPERATORS, ADAPTERS = ("keda-operator",), ("keda-operator-metrics-apiserver", "keda-metrics-apiserver")


def missing(picture: Picture) -> Found | None:
    """KEDA is not installed."""
    if not picture.unread.get("scaledobjects", "").startswith("404"):
        return None
    return Found(
        "KEDA is not installed: the cluster knows no ScaledObjects",
        picture.unread["scaledobjects"],
        "helm install keda kedacore/keda --namespace keda --create-namespace",
    )


def no_scaled_object(picture: Picture) -> Found | None:
    """There is no ScaledObject of that name."""
    there = picture.listed("scaledobjects")
    if there is None or picture.scaled:
        return None
    here = sorted(name_of(one) for one in picture.own("scaledobjects"))
    elsewhere = sorted(str(at(one, "metadata", "namespace")) for one in there if name_of(one) == picture.name)
    found = f"in {picture.namespace}: {', '.join(here[:10]) or 'none'}"
    if elsewhere:
        found = f"one of that name is in {', '.join(elsewhere[:5])}"
    return Found(
        f"there is no ScaledObject {picture.name}{nearest(picture.name, here)}",
        found,
        f"llm-scaler scaledobject deployment/{picture.name} --namespace {picture.namespace} | kubectl apply -f -",
    )


def not_ours(picture: Picture) -> Found | None:
    """None of its triggers asks llm-scaler."""
    if not picture.scaled or picture.triggers:
        return None
    types = ", ".join(str(trigger.get("type")) for trigger in sequence(picture.spec, "triggers"))
    return Found(
        "none of its triggers asks llm-scaler",
        f"its triggers: {types or 'none'}; one of llm-scaler has type external or external-push, and formula or "
        "expression in its metadata",
        "llm-scaler scaledobject KIND/NAME writes one",
    )


def operator_down(picture: Picture) -> Found | None:
    """KEDA's operator has no pod that runs."""
    return _down(picture, OPERATORS, "nothing is polled, and no HPA gets a value")


def adapter_down(picture: Picture) -> Found | None:
    """KEDA's metrics adapter has no pod that runs."""
    return _down(picture, ADAPTERS, "the HPA gets no value, so that replicas stay as they are above 0")


def _down(picture: Picture, names: tuple[str, ...], harm: str) -> Found | None:
    for deployment in _deployments(picture, names):
        ready = at(deployment, "status", "readyReplicas") or 0
        if ready:
            continue
        namespace, name = at(deployment, "metadata", "namespace"), name_of(deployment)
        why = condition(deployment, "Available").get("message") or "no pod is ready"
        return Found(
            f"{name} of KEDA does not run: {harm}",
            f"deployment {namespace}/{name}: 0 of {at(deployment, 'spec', 'replicas')} ready ({why})",
            f"kubectl -n {namespace} describe pods -l app={labels_of(deployment).get('app', name)}",
        )
    return None


def metrics_api(picture: Picture) -> Found | None:
    """The external metrics API, through which the HPA asks, is not KEDA's or does not answer."""
    services = picture.listed("apiservices")
    if services is None or not picture.scaled:
        return None
    found = next((one for one in services if name_of(one).endswith(".external.metrics.k8s.io")), None)
    if found is None:
        return Found(
            "nobody serves the external metrics API, through which the HPA asks KEDA",
            "there is no APIService v1beta1.external.metrics.k8s.io",
            "helm upgrade keda kedacore/keda --namespace keda --reuse-values",
        )
    service = mapping(found, "spec", "service")
    if "keda" not in str(service.get("name", "")):
        return Found(
            "another adapter serves the external metrics API: the HPA asks it, and not KEDA",
            f"{name_of(found)} is served by {service.get('namespace')}/{service.get('name')}; a cluster has one",
            f"remove that adapter, then: kubectl delete apiservice {name_of(found)}, and let KEDA make it again",
        )
    state = condition(found, "Available")
    if state.get("status") not in {"False", "Unknown"}:
        return None
    return Found(
        "the external metrics API does not answer, so the HPA gets no value",
        f"{name_of(found)}: {state.get('reason')}: {state.get('message')}",
        f"kubectl -n {service.get('namespace')} logs deploy/keda-operator-metrics-apiserver",
    )


def old_version(picture: Picture) -> Found | None:
    """KEDA is older than what llm-scaler is tried with."""
    version = keda_version(picture)
    if version is None or version >= WHOLE_NUMBERS:
        return None
    shown = ".".join(map(str, version))
    if version < OLDEST:
        what = f"KEDA {shown} is older than any that llm-scaler is tried with ({'.'.join(map(str, OLDEST))} on)"
        return Found(what, _image(picture), "helm upgrade keda kedacore/keda --namespace keda")
    what = f"KEDA {shown} reads whole numbers alone; our answers are whole, its other scalers' are cut"
    return warn(what, _image(picture), "helm upgrade keda kedacore/keda --namespace keda")


def not_watched(picture: Picture) -> Found | None:
    """KEDA watches other namespaces than this one."""
    for deployment in _deployments(picture, OPERATORS):
        watched = _environment(deployment).get("WATCH_NAMESPACE", "")
        names = [name.strip() for name in watched.split(",") if name.strip()]
        if names and picture.namespace not in names:
            return Found(
                f"KEDA does not watch the namespace {picture.namespace}",
                f"WATCH_NAMESPACE of {name_of(deployment)} is {watched!r}",
                f"helm upgrade keda kedacore/keda -n keda --reuse-values --set watchNamespace={picture.namespace}",
            )
    return None


def not_seen(picture: Picture) -> Found | None:
    """KEDA has not looked at the object at all."""
    age = picture.age(picture.scaled)
    if not picture.scaled or sequence(picture.scaled, "status", "conditions") or age is None or age < PATIENCE:
        return None
    return Found(
        "KEDA has not looked at it yet",
        f"it was made {age:.0f} s ago and has no conditions: an operator that is down, or that watches another "
        "namespace or label",
        "kubectl -n keda logs deploy/keda-operator --tail=50",
    )


def keda_version(picture: Picture) -> tuple[int, ...] | None:
    """Return major and minor of KEDA's operator, by its image or its label."""
    for deployment in _deployments(picture, OPERATORS):
        text = f"{_image_of(deployment)} v{labels_of(deployment).get('app.kubernetes.io/version', '')}"
        found = re.search(r"[:v](\d+)\.(\d+)", text)
        if found:
            return int(found[1]), int(found[2])
    return None


def _image(picture: Picture) -> str:
    return "; ".join(f"{name_of(one)} runs {_image_of(one)}" for one in _deployments(picture, OPERATORS))


def _image_of(deployment: Manifest) -> str:
    return next((str(one.get("image")) for one in _containers(deployment)), "")


def _deployments(picture: Picture, names: tuple[str, ...]) -> list[Manifest]:
    """Return KEDA's own Deployments, by name or by its chart's label; none where they could not be read."""
    found = picture.listed("kedadeployments") or ()
    return [one for one in found if name_of(one) in names or labels_of(one).get("app") in names]


def _containers(deployment: Manifest) -> list[Manifest]:
    return list(containers(mapping(deployment, "spec", "template", "spec")))


def _environment(deployment: Manifest) -> Mapping[str, str]:
    pairs = [pair for container in _containers(deployment) for pair in sequence(container, "env")]
    return {str(pair.get("name")): str(pair.get("value") or "") for pair in pairs}
