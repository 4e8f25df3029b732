"""Taking the pictures that `doctor` judges: what Kubernetes has of a ScaledObject, and what llm-scaler says of it.

Everything is read and nothing is changed: GETs of the API server, GETs of llm-scaler's admin pages, and the one call of
KEDA's protocol that asks for nothing but a name.
"""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlencode

import grpc

from scaler.cli import admin_pages
from scaler.cli.ask import ClientTls
from scaler.config.signals import engines
from scaler.model.errors import ScalerError, SourceError
from scaler.model.objects import Manifest
from scaler.server.pb import externalscaler_pb2 as pb
from scaler.server.pb import externalscaler_pb2_grpc as pb_grpc
from scaler.sources.kubernetes.api import ApiServer
from scaler.sources.kubernetes.look import json_of, keys_alone, look, one, proxied, text
from scaler.wiring import places
from scaler.wiring.picture import (
    Picture,
    at,
    containers,
    mapping,
    name_of,
    named,
    scaler_address,
    sequence,
)
from scaler.wiring.rules.hpa import startup_seconds

ADMIN_PORT = 8080
LOCAL = f"http://127.0.0.1:{ADMIN_PORT}"
DENIED = frozenset({401, 403, 503})  # without a good token, with one that may not, and where nobody can say
TIMEOUT = 5.0  # seconds for llm-scaler, and for the call that KEDA would make
LOG_LINES = 500  # of KEDA's operator
SHOWN = 400  # characters of a line of it


@dataclass(frozen=True, slots=True)
class Ways:
    """The ways in which llm-scaler is asked.

    Attributes:
        server: URL of its admin pages; empty: through the API server, by the Service of scalerAddress.
        address: HOST:PORT at which it is called as KEDA calls it; empty: the trigger's, where its name is known here.
        tls: files for that call.
        probe: whether that call is made at all.
        inside: whether this runs in the cluster, whose own names are known nowhere else.
        longest_generation: seconds that the longest request takes, where somebody said so.
        authorization: the header that shows to `server` who asks; empty: none.
    """

    server: str
    address: str
    tls: ClientTls
    probe: bool
    inside: bool = False
    longest_generation: float | None = None
    authorization: Mapping[str, str] = field(default_factory=dict)


def of_cluster(server: ApiServer, now: float) -> Picture:
    """Take what all pictures share: KEDA, and every ScaledObject."""
    objects, unread = look(server, {**places.FIRST, **places.of_keda()})
    return Picture("", "", now, objects, unread)


def of_one(server: ApiServer, shared: Picture, namespace: str, name: str, ways: Ways) -> Picture:
    """Take the picture of one ScaledObject."""
    picture = replace(shared, namespace=namespace, name=name, longest_generation=ways.longest_generation)
    if "scaledobjects" in picture.unread:  # a person of one namespace may list that alone
        path = places.SCALED_OBJECTS.replace("/scaledobjects", f"/namespaces/{quote(namespace)}/scaledobjects")
        picture = _with(picture, *look(server, {"scaledobjects": [path]}))
    if not picture.scaled:
        return picture
    picture = _with(picture, *look(server, places.of_workload(picture)))
    picture = _with_secrets(server, picture)
    picture = _with_target(server, picture)
    picture = _with_log(server, picture)
    picture = replace(picture, pages=_pages(server, picture))
    picture = _explained(server, picture, ways)
    return replace(picture, reached=_reached(picture, ways) if ways.probe else None)


def _with(picture: Picture, objects: dict[str, Any], unread: dict[str, str]) -> Picture:
    left = {plural: why for plural, why in picture.unread.items() if plural not in objects}
    return replace(picture, objects={**picture.objects, **objects}, unread={**left, **unread})


def _with_secrets(server: ApiServer, picture: Picture) -> Picture:
    """Add the Secrets that are named, without their values."""
    found, unread = [], {}
    for path in places.of_secrets(picture):
        secret = one(server, path)
        if isinstance(secret, str):
            if not secret.startswith("404"):
                unread["secrets"] = secret
        else:
            found.append(keys_alone(secret))
    return _with(picture, {} if unread else {"secrets": found}, unread)


def _with_target(server: ApiServer, picture: Picture) -> Picture:
    """Add the scale target, its /scale, and its pods."""
    version, kind, name = picture.target
    group = one(server, places.of_group(version))
    if isinstance(group, str):
        return _with(picture, {}, {"scaletarget": group})
    plural = next((str(each["name"]) for each in sequence(group, "resources") if each.get("kind") == kind), "")
    plural = plural.partition("/")[0]
    if not plural:
        return _with(picture, {}, {"scaletarget": f"404: {version} has no kind {kind}"})
    place = places.of_target(picture, plural)
    picture = _with(picture, *look(server, {"scaletarget": [place]}))
    scale = one(server, f"{place}/{quote(name)}/scale")
    if isinstance(scale, str):
        picture, scale = _with(picture, {}, {"scale": scale}), {}
    selector = places.pods_selector(picture, scale)
    if not selector:
        return picture
    query = urlencode({"labelSelector": selector})
    objects, unread = look(server, {"targetpods": [f"/api/v1/namespaces/{picture.namespace}/pods?{query}"]})
    return _with(picture, objects, {"pods": unread["targetpods"]} if unread else {})


def _with_log(server: ApiServer, picture: Picture) -> Picture:
    """Add what KEDA's operator logged of errors about this object; a refused handshake stands nowhere else."""
    if picture.condition("Ready").get("status") == "True":
        return picture
    lines: list[Manifest] = []
    for pod in picture.listed("kedapods") or ():
        place = f"/api/v1/namespaces/{at(pod, 'metadata', 'namespace')}/pods/{quote(name_of(pod))}/log"
        status, log = text(server, f"{place}?tailLines={LOG_LINES}")
        written = log.splitlines() if status == 200 else []
        told = [line[:SHOWN] for line in written if _is_about(line, picture)]
        lines += [{"metadata": {"namespace": picture.namespace}, "message": line} for line in told[-3:]]
    return _with(picture, {"kedalog": lines}, {})


def _is_about(line: str, picture: Picture) -> bool:
    return "error" in line.lower() and re.search(rf'"{re.escape(picture.name)}"', line) is not None


# ---- the pods' own metrics -------------------------------------------------------------------------------------------


def _pages(server: ApiServer, picture: Picture) -> dict[str, str]:
    """Read the metrics page of one ready pod, through the API server."""
    for pod in picture.ready_pods[:1]:
        for port in _ports(pod, picture):
            status, page = text(server, proxied(picture.namespace, "pods", name_of(pod), port, "/metrics"))
            if status == 200:
                return {name_of(pod): page}
    return {}


def _ports(pod: Manifest, picture: Picture) -> Sequence[int]:
    """List where its page may be: as its annotation says, as its engine has it by default, at its containers' ports."""
    annotated = str(mapping(pod, "metadata", "annotations").get("prometheus.io/port", ""))
    named_engine = next((mapping(trigger, "metadata").get("engine") for trigger in picture.triggers), None)
    signals = engines().get(str(named_engine or "vllm"), {})
    usual = [signal.default_metrics_endpoint.port for signal in signals.values() if signal.default_metrics_endpoint][:1]
    of_containers = [
        int(port["containerPort"])
        for container in containers(mapping(pod, "spec"))
        for port in sequence(container, "ports")
        if str(port.get("containerPort", "")).isdigit()
    ]
    ports = [*([int(annotated)] if annotated.isdigit() else []), *usual, *of_containers]
    return list(dict.fromkeys(ports))[:3]


# ---- llm-scaler itself -----------------------------------------------------------------------------------------------


def _explained(server: ApiServer, picture: Picture, ways: Ways) -> Picture:
    """Add what llm-scaler explains of the object, and what it warns of."""
    place = f"/api/v1/explain/{quote(picture.namespace)}/{quote(picture.name)}"
    status, body = _admin(server, picture, ways, place)
    told = json_of(body)
    if status in DENIED and "error" in told:
        return replace(picture, not_explained=_denied(picture, ways, str(told["error"])))
    if "decisions" not in told and "error" not in told:
        why = body[:200] if status == 0 else f"its admin port answers {status}"
        return replace(picture, not_explained=f"llm-scaler's admin port could not be asked ({why}); say --server URL")
    status, verbose = _admin(server, picture, ways, "/readyz?verbose")
    if status in DENIED and "error" in json_of(verbose):
        picture = _with(picture, {}, {"warnings": str(json_of(verbose)["error"])})
    return replace(
        picture,
        decisions=sequence(told, "decisions"),
        refused=str(told.get("error", "")),
        warnings=[line for line in verbose.splitlines() if line.startswith("[!]")],
    )


def _denied(picture: Picture, ways: Ways, said: str) -> str:
    """Say why its admin pages show nothing (`admin.authorization`), and what is missing."""
    why = f"llm-scaler shows each their own (admin.authorization): {said}"
    if ways.authorization:
        asked = f"kubectl auth can-i get scaledobjects.keda.sh --namespace {picture.namespace}"
        return f"{why}; `{asked}` has to say yes to that token's owner"
    if ways.server:
        return (
            f"{why}; your kubeconfig has no token, or {ways.server} is another machine's, to which it is not shown: "
            "say --token-file FILE (kubectl create token NAME > FILE)"
        )
    name, namespace, _ = picture.service or ("llm-scaler", "", 0)
    forward = f"kubectl --namespace {namespace or _namespace(picture)} port-forward service/{name} {ADMIN_PORT}"
    return (
        f"{why}; the API server, through which it was asked, passes no token on: `{forward}`, and then say "
        f"--server {LOCAL}, and --token-file FILE where your kubeconfig has no token"
    )


def _admin(server: ApiServer, picture: Picture, ways: Ways, place: str) -> tuple[int, str]:
    if ways.server:
        return _get(f"{ways.server.rstrip('/')}{place}", ways.authorization)
    service = picture.service
    if service is None:
        return 0, "scalerAddress names no Service"
    name, namespace, _ = service
    return text(server, proxied(namespace or _namespace(picture), "services", name, ADMIN_PORT, place))


def _namespace(picture: Picture) -> str:
    """Return where KEDA is, to which a name without a namespace belongs."""
    return next((str(at(each, "metadata", "namespace")) for each in picture.listed("kedadeployments") or ()), "keda")


def _get(url: str, headers: Mapping[str, str]) -> tuple[int, str]:
    try:
        answer = admin_pages.get(url, headers, TIMEOUT)
    except ScalerError as error:
        return 0, str(error)
    return answer.status_code, answer.text


def _reached(picture: Picture, ways: Ways) -> str | None:
    """Call as KEDA does: the reason of the failure, empty if it was answered, None if it cannot be tried from here."""
    for trigger in picture.triggers[:1]:
        address = ways.address or scaler_address(trigger)
        if not ways.address and picture.service and not ways.inside:
            return None  # only the cluster knows the Service's name
        secured = bool(trigger.get("authenticationRef")) or mapping(trigger, "metadata").get("enableTLS") == "true"
        if secured and not (ways.tls.ca_file or ways.tls.cert_file):
            return None  # the certificates are KEDA's; without them a refusal would mean nothing
        metadata = {str(key): str(value) for key, value in mapping(trigger, "metadata").items()}
        ref = pb.ScaledObjectRef(namespace=picture.namespace, name=picture.name, scalerMetadata=metadata)
        with ways.tls.channel(address) as channel:
            try:
                pb_grpc.ExternalScalerStub(channel).GetMetricSpec(ref, timeout=TIMEOUT)
            except grpc.RpcError as error:
                return f"GetMetricSpec at {address}: {error.code().name}: {str(error.details())[:SHOWN]}"
        return ""
    return None


def find_all(shared: Picture) -> list[tuple[str, str]]:
    """List namespace and name of every ScaledObject that asks us.

    Raises:
        SourceError: they cannot be listed.
    """
    there = shared.listed("scaledobjects")
    if there is None:
        raise SourceError(f"the ScaledObjects cannot be listed: {shared.unread['scaledobjects']}")
    keys = [(str(at(each, "metadata", "namespace")), name_of(each)) for each in there]
    return [key for key in keys if _asks_us(shared, *key)]


def _asks_us(shared: Picture, namespace: str, name: str) -> bool:
    picture = replace(shared, namespace=namespace, name=name)
    return named(picture.own("scaledobjects"), name) is not None and bool(picture.triggers)


@dataclass(frozen=True, slots=True)
class TargetLook:
    """The cluster's word on something that is to be scaled.

    Attributes:
        manifest: of it; empty where it could not be read.
        version: its apiVersion in this cluster; empty where that is not known.
        startup: seconds that the slowest of its ready pods took to start; None where there is none.
        problem: why not all of it is known, or an empty text.
    """

    manifest: Manifest
    version: str = ""
    startup: float | None = None
    problem: str = ""


def of_target(server: ApiServer, namespace: str, kind: str, version: str, name: str) -> TargetLook:
    """Look at something that is to be scaled."""
    ref = {"apiVersion": version, "kind": kind, "name": name}
    wanted = {"metadata": {"namespace": namespace, "name": name}, "spec": {"scaleTargetRef": ref}}
    picture = _with_target(server, Picture(namespace, name, time.time(), {"scaledobjects": [wanted]}))
    if picture.target_manifest is None:
        why = picture.unread.get("scaletarget") or f"there is no {kind} {name} in {namespace}"
        return TargetLook({}, problem=why)
    return TargetLook(picture.target_manifest, version, startup_seconds(picture))
