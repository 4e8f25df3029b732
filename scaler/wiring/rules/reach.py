"""The way from KEDA to llm-scaler: address, Service, pods behind it, network, TLS."""

from scaler.model.errors import nearest
from scaler.model.objects import Manifest
from scaler.wiring.finding import Found
from scaler.wiring.picture import (
    Picture,
    at,
    is_ours,
    labels_of,
    last_seen,
    mapping,
    name_of,
    named,
    scaler_address,
    sequence,
    takes,
)

ADMIN_PORT = 8080
FRESH = 900.0  # seconds for which KEDA's word of a failure counts; it repeats itself more rarely than it polls
TLS_WORDS = {
    "WRONG_VERSION_NUMBER": "it does not speak TLS there, and the trigger does",
    "first record does not look like a TLS handshake": "it does not speak TLS there, and the trigger does",
    "error reading server preface": "it asks for TLS there, or for a client's certificate, and the trigger has none",
    "certificate signed by unknown authority": "its certificate is not signed by the CA that the trigger names",
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not signed by the CA that was given",
    "certificate required": "it asks for a client's certificate, and the trigger has none",
    "certificate has expired": "its certificate has expired",
    "certificate is valid for": "its certificate is for another name than scalerAddress",
}


def address(picture: Picture) -> Found | None:
    """The scalerAddress is no address of gRPC."""
    for trigger in picture.triggers:
        text = scaler_address(trigger)
        host, colon, port = text.rpartition(":")
        if "://" in text:
            what = f"scalerAddress {text!r} is a URL; it is HOST:PORT"
            return Found(what, f"scalerAddress: {text}", f"scalerAddress: {text.partition('://')[2].strip('/')}")
        if not colon or not host or not port.isdigit():
            return Found(
                f"scalerAddress {text!r} is not HOST:PORT",
                f"scalerAddress: {text or 'not given'}",
                "scalerAddress: llm-scaler.keda:6000",
            )
    return None


def service_missing(picture: Picture) -> Found | None:
    """There is no Service of the name that scalerAddress has."""
    wanted, services = picture.service, picture.listed("services")
    if wanted is None or services is None:
        return None
    name, namespace, _ = wanted
    namespace = namespace or _of_keda(picture)
    if named(_in(services, namespace), name):
        return None
    known = sorted(name_of(one) for one in _in(services, namespace))
    elsewhere = sorted(str(at(one, "metadata", "namespace")) for one in services if name_of(one) == name)
    there = f"; one of that name is in {', '.join(elsewhere[:3])}" if elsewhere else ""
    right = f"{name}.{elsewhere[0]}" if elsewhere else "llm-scaler.keda"
    bare = "" if wanted[1] else " (a host without a namespace is looked for in KEDA's)"
    return Found(
        f"scalerAddress names the Service {namespace}/{name}{bare}, which is not there{nearest(name, known)}",
        f"Services in {namespace}: {', '.join(known[:10]) or 'none'}{there}",
        f"scalerAddress: {right}:6000",
    )


def port(picture: Picture) -> Found | None:
    """The Service has no such port, or it is the admin port."""
    service = _service(picture)
    wanted = picture.service
    if service is None or wanted is None:
        return None
    ports = {one.get("port"): one for one in sequence(service, "spec", "ports")}
    shown = ", ".join(f"{one.get('name', '')} {number}".strip() for number, one in ports.items())
    given = ports.get(wanted[2])
    if given is not None and wanted[2] != ADMIN_PORT and given.get("name") not in {"http", "metrics"}:
        return None
    grpc = next((number for number, one in ports.items() if one.get("name") == "grpc"), 6000)
    means = "is for people and Prometheus: it speaks HTTP, not gRPC" if given else "is no port of the Service"
    return Found(
        f"port {wanted[2]} of scalerAddress {means}",
        f"ports of {_shown(service)}: {shown}",
        f"scalerAddress: {name_of(service)}.{at(service, 'metadata', 'namespace')}:{grpc}",
    )


def no_endpoints(picture: Picture) -> Found | None:
    """No pod behind the Service is ready."""
    service, slices = _service(picture), picture.listed("endpointslices")
    if service is None or slices is None or at(service, "spec", "type") == "ExternalName":
        return None
    own = _in(slices, str(at(service, "metadata", "namespace")))
    own = [one for one in own if labels_of(one).get("kubernetes.io/service-name") == name_of(service)]
    endpoints = [endpoint for one in own for endpoint in sequence(one, "endpoints")]
    if any(at(endpoint, "conditions", "ready") is not False for endpoint in endpoints):
        return None
    selector = mapping(service, "spec", "selector")
    picked = ",".join(f"{key}={value}" for key, value in selector.items())
    namespace = at(service, "metadata", "namespace")
    what = "its pods are not ready" if endpoints else "its selector takes no pod"
    return Found(
        f"no llm-scaler answers behind the Service {_shown(service)}: {what}",
        f"selector {picked or 'none'}; {len(endpoints)} pods, 0 of them ready",
        f"kubectl -n {namespace} describe pods" + (f" -l {picked}" if picked and endpoints else ""),
    )


def network_policy(picture: Picture) -> Found | None:
    """A NetworkPolicy lets KEDA's operator not through."""
    service, policies = _service(picture), picture.listed("networkpolicies")
    operator = picture.listed("kedapods")
    if service is None or policies is None or not operator:
        return None
    namespace = str(at(service, "metadata", "namespace"))
    labels = mapping(service, "spec", "selector")
    own = [one for one in _in(policies, namespace) if _closes(one, labels)]
    if not own or any(_admits(one, pod, picture) for one in own for pod in operator):
        return None
    names = ", ".join(name_of(one) for one in own)
    where = at(operator[0], "metadata", "namespace")
    return Found(
        f"the NetworkPolicy {names} does not let KEDA's operator through to llm-scaler",
        f"its ingress in {namespace} takes no pod of {where} with the labels {dict(labels_of(operator[0]))}",
        f"helm upgrade llm-scaler ... --set keda.namespace={where}, or add the operator to ingress.from of {names}",
    )


def authentication(picture: Picture) -> Found | None:
    """The TriggerAuthentication that a trigger names is not there, or its Secret is not."""
    for trigger in picture.triggers:
        ref = mapping(trigger, "authenticationRef")
        name, kind = ref.get("name"), ref.get("kind") or "TriggerAuthentication"
        if not name:
            continue
        cluster = kind == "ClusterTriggerAuthentication"
        known = picture.listed("clustertriggerauthentications") if cluster else _own(picture, "triggerauthentications")
        if known is None:
            continue
        found = named(known, str(name))
        if found is None:
            names = sorted(name_of(one) for one in known)
            right = names[0] if names else "llm-scaler"
            return Found(
                f"there is no {kind} {name}{nearest(str(name), names)}",
                f"authenticationRef: {{name: {name}, kind: {kind}}}; there are: {', '.join(names[:10]) or 'none'}",
                f"authenticationRef: {{name: {right}, kind: {kind}}}",
            )
        missing = _missing_secret(picture, found, cluster=cluster)
        if missing:
            return missing
    return None


def _missing_secret(picture: Picture, auth: Manifest, *, cluster: bool) -> Found | None:
    secrets = picture.listed("secrets", _of_keda(picture) if cluster else picture.namespace)
    if secrets is None:
        return None
    where = _of_keda(picture) if cluster else picture.namespace
    for ref in sequence(auth, "spec", "secretTargetRef"):
        secret = named(secrets, str(ref.get("name")))
        if secret is None:
            what = f"the Secret {where}/{ref.get('name')}, which {name_of(auth)} names, is not there"
        elif ref.get("key") not in mapping(secret, "data"):
            what = f"the Secret {where}/{ref.get('name')} has no key {ref.get('key')}"
        else:
            continue
        return Found(
            what,
            f"{name_of(auth)}: secretTargetRef {{parameter: {ref.get('parameter')}, name: {ref.get('name')}, "
            f"key: {ref.get('key')}}}",
            f"kubectl -n {where} get secret {ref.get('name')} -o yaml",
        )
    return None


def tls(picture: Picture) -> Found | None:
    """KEDA and llm-scaler do not agree on TLS."""
    for said in (picture.reached or "", *_failures(picture)):
        reason = next((plain for sign, plain in TLS_WORDS.items() if sign in said), "")
        if reason:
            return Found(
                f"KEDA and llm-scaler do not agree on TLS: {reason}",
                said,
                "authenticationRef: {name: llm-scaler, kind: ClusterTriggerAuthentication}",
            )
    return None


def unreachable(picture: Picture) -> Found | None:
    """KEDA, or we as KEDA would, get no answer from the address."""
    if not picture.triggers:
        return None
    where = ", ".join(sorted({scaler_address(trigger) for trigger in picture.triggers}))
    host = where.partition(":")[0]
    repair = f"llm-scaler ask {where} from a pod in KEDA's namespace says why; is {host} the right host?"
    if picture.reached:
        return Found(f"llm-scaler does not answer at {where}", picture.reached, repair)
    if picture.condition("Ready").get("status") == "True":
        return None
    said = next((text for text in _failures(picture) if _is_of_the_way(text)), None)
    if said is None:
        return None
    return Found(f"KEDA gets no answer from llm-scaler at {where}", said, repair)


def _is_of_the_way(text: str) -> bool:
    words = ("got empty metric spec", "connection refused", "no such host", "name resolver error", "connection error")
    return any(word in text for word in (*words, "deadline exceeded", "produced zero addresses"))


def _failures(picture: Picture) -> list[str]:
    """List what KEDA said of failed calls lately: its events, and its log where that could be read."""
    events = picture.events("ScaledObject", picture.name, "KEDAScalerFailed", "KEDAMetricSourceFailed")
    fresh = [str(event.get("message")) for event in events if picture.now - last_seen(event) < FRESH]
    log = picture.own("kedalog")
    return [*fresh, *(str(line.get("message")) for line in log)]


def same_trigger_twice(picture: Picture) -> Found | None:
    """Two triggers are the same to KEDA's protocol, which sends metadata alone."""
    seen: list[Manifest] = []
    for trigger in picture.triggers:
        if mapping(trigger, "metadata") in seen:
            return Found(
                "two triggers have the same metadata, and are one workload to llm-scaler",
                f"triggers[].metadata: {dict(mapping(trigger, 'metadata'))}",
                'remove one of them, or give each an id of its own in its metadata, such as id: "b"',
            )
        if is_ours(trigger):
            seen.append(mapping(trigger, "metadata"))
    return None


def _service(picture: Picture) -> Manifest | None:
    wanted, services = picture.service, picture.listed("services")
    if wanted is None or services is None:
        return None
    return named(_in(services, wanted[1] or _of_keda(picture)), wanted[0])


def _of_keda(picture: Picture) -> str:
    """Return the namespace that KEDA runs in."""
    found = picture.listed("kedadeployments") or ()
    return next((str(at(one, "metadata", "namespace")) for one in found), "keda")


def _own(picture: Picture, plural: str) -> list[Manifest] | None:
    found = picture.listed(plural, picture.namespace)
    return None if found is None else list(found)


def _in(manifests: "list[Manifest] | tuple[Manifest, ...] | object", namespace: str) -> list[Manifest]:
    listed = manifests if isinstance(manifests, (list, tuple)) else []
    return [one for one in listed if at(one, "metadata", "namespace") == namespace]


def _shown(manifest: Manifest) -> str:
    return f"{at(manifest, 'metadata', 'namespace')}/{name_of(manifest)}"


def _closes(policy: Manifest, labels: Manifest) -> bool:
    types = at(policy, "spec", "policyTypes") or ["Ingress"]
    return "Ingress" in types and takes(mapping(policy, "spec", "podSelector"), labels)


def _admits(policy: Manifest, pod: Manifest, picture: Picture) -> bool:
    """Tell whether an ingress rule admits a pod; one that names addresses may, so it counts as one that does."""
    for rule in sequence(policy, "spec", "ingress"):
        peers = sequence(rule, "from")
        if not peers or any(_is_peer(peer, pod, policy, picture) for peer in peers):
            return True
    return False


def _is_peer(peer: Manifest, pod: Manifest, policy: Manifest, picture: Picture) -> bool:
    if "ipBlock" in peer:
        return True
    namespace = str(at(pod, "metadata", "namespace"))
    selector = peer.get("namespaceSelector")
    if selector is None:
        if namespace != at(policy, "metadata", "namespace"):
            return False
    else:
        found = named(picture.listed("namespaces") or (), namespace)
        labels = labels_of(found) if found else {}
        if not takes(selector, {"kubernetes.io/metadata.name": namespace, **labels}):
            return False
    return takes(peer.get("podSelector") or {}, labels_of(pod))
