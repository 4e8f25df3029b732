"""Where in the Kubernetes API the parts of a picture are: paths, by plural. Pure.

Nothing of the cluster is listed that one workload does not need: its namespace, that of llm-scaler's Service, KEDA.
"""

from collections.abc import Mapping, Sequence

from scaler.model.objects import Manifest
from scaler.wiring.picture import Picture, at, mapping, name_of, sequence

Paths = Mapping[str, Sequence[str]]

SCALED_OBJECTS = "/apis/keda.sh/v1alpha1/scaledobjects"
_KEDA = "app in (keda-operator,keda-operator-metrics-apiserver,keda-metrics-apiserver)"
_MONITORING = "/apis/monitoring.coreos.com/v1"

FIRST: Paths = {"scaledobjects": [SCALED_OBJECTS]}


def of_keda() -> Paths:
    """List the paths of what is KEDA's own, and the cluster's."""
    return {
        "kedadeployments": [f"/apis/apps/v1/deployments?labelSelector={_KEDA}"],
        "kedapods": ["/api/v1/pods?labelSelector=app=keda-operator"],
        "apiservices": ["/apis/apiregistration.k8s.io/v1/apiservices"],
        "namespaces": ["/api/v1/namespaces"],
        "clustertriggerauthentications": ["/apis/keda.sh/v1alpha1/clustertriggerauthentications"],
        "prometheuses": [f"{_MONITORING}/prometheuses"],
        "servicemonitors": [f"{_MONITORING}/servicemonitors"],
        "podmonitors": [f"{_MONITORING}/podmonitors"],
    }


def of_workload(picture: Picture) -> Paths:
    """List the paths of the workload's namespace, and of the one whose Service its scalerAddress names."""
    own = picture.namespace
    service = picture.service
    keda = next((str(at(one, "metadata", "namespace")) for one in picture.listed("kedadeployments") or ()), "keda")
    scaler = (service[1] or keda) if service else own
    both = sorted({own, scaler})
    return {
        "horizontalpodautoscalers": [f"/apis/autoscaling/v2/namespaces/{own}/horizontalpodautoscalers"],
        "events": [f"/api/v1/namespaces/{own}/events"],
        "services": [f"/api/v1/namespaces/{one}/services" for one in both],
        "endpointslices": [f"/apis/discovery.k8s.io/v1/namespaces/{scaler}/endpointslices"],
        "networkpolicies": [f"/apis/networking.k8s.io/v1/namespaces/{scaler}/networkpolicies"],
        "triggerauthentications": [f"/apis/keda.sh/v1alpha1/namespaces/{own}/triggerauthentications"],
        "resourcequotas": [f"/api/v1/namespaces/{own}/resourcequotas"],
        "poddisruptionbudgets": [f"/apis/policy/v1/namespaces/{own}/poddisruptionbudgets"],
    }


def of_secrets(picture: Picture) -> Sequence[str]:
    """List the Secrets that the triggers' TriggerAuthentications name; each alone, since no other concerns anybody."""
    keda = next((str(at(one, "metadata", "namespace")) for one in picture.listed("kedadeployments") or ()), "keda")
    paths = []
    for trigger in picture.triggers:
        ref = mapping(trigger, "authenticationRef")
        cluster = ref.get("kind") == "ClusterTriggerAuthentication"
        known = picture.listed("clustertriggerauthentications") if cluster else picture.own("triggerauthentications")
        where = keda if cluster else picture.namespace
        for auth in known or ():
            if name_of(auth) == ref.get("name"):
                secrets = sequence(auth, "spec", "secretTargetRef")
                paths += [f"/api/v1/namespaces/{where}/secrets/{one.get('name')}" for one in secrets]
    return sorted(set(paths))


def of_group(version: str) -> str:
    """Return the path under which the kinds of an apiVersion are listed."""
    return f"/apis/{version}" if "/" in version else f"/api/{version}"


def of_target(picture: Picture, plural: str) -> str:
    """Return the path of the objects of the scale target's kind."""
    return f"{of_group(picture.target[0])}/namespaces/{picture.namespace}/{plural}"


def pods_selector(picture: Picture, scale: Manifest) -> str:
    """Return the label selector of the target's pods: its scale's, by which the HPA goes, or its own matchLabels."""
    given = at(scale, "status", "selector")
    if given:
        return str(given)
    labels = mapping(picture.target_manifest, "spec", "selector", "matchLabels")
    return ",".join(f"{key}={value}" for key, value in labels.items())
