"""The chart in a real API server: Helm installs it, Pod Security and the policy are enforced, and llm-scaler runs with the
token, the settings and the certificates that the release has there.
"""

import base64
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chart.conftest import Server
from chart.helm import Object, Values, render
from chart.installed import NAMESPACE, Container, Release
from chart.triggers import GOOD, REFUSED, TAKEN
from laboratory.process import LabError

from scaler.cli.ask import ClientTls, ask

FALLBACK = {"failureThreshold": 3, "replicas": 1, "behavior": "currentReplicasIfHigher"}
OWN = "name: own\nparameters: {model: {}}\nmetrics: {queued: {signal: queued}}\nformula: queued\ntarget: 6\n"
SETTINGS = {"endpoints": {"default": {"url": "http://127.0.0.1:1"}}}


@pytest.fixture
def installed(server: Server) -> Iterator[Any]:
    """Install the chart with some values; it is taken away afterwards."""
    made = []

    def install(**values: Any) -> Release:
        made.append(Release(server, {"settings": SETTINGS, "scalerAddresses": ["localhost"], **values}))
        return made[-1]

    yield install
    for release in made:
        release.uninstall()


@pytest.fixture
def container(server: Server, folder: Path) -> Iterator[Any]:
    """Run the container of what is installed."""
    started = []

    def start() -> Container:
        started.append(Container(server, folder))
        started[-1].start()
        return started[-1]

    yield start
    for one in started:
        one.kill()


def create(server: Server, item: Object, namespace: str) -> str:
    """What the API server says to an object that nobody will see, strictly; empty if it takes it."""
    group = "/api" if item["apiVersion"] == "v1" else "/apis"
    path = f"{group}/{item['apiVersion']}/namespaces/{namespace}/{item['kind'].lower()}s"
    try:
        server.api.request("POST", path, item, params={"dryRun": "All", "fieldValidation": "Strict"})
    except LabError as error:
        return str(error)
    return ""


def pods_of(objects: list[Object]) -> list[Object]:
    """The pods that the controllers would make of Deployments and Jobs."""
    templates = [item["spec"]["template"] for item in objects if item["kind"] in {"Deployment", "Job"}]
    return [
        {"apiVersion": "v1", "kind": "Pod", **each, "metadata": {**each["metadata"], "generateName": "p-"}}
        for each in templates
    ]


def test_pod_security_restricted_takes_its_pods(server: Server):
    server.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "strict", "labels": RESTRICTED}})
    bare: Object = {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "p-"}}
    bare["spec"] = {"containers": [{"name": "c", "image": "c"}]}
    assert "violates PodSecurity" in create(server, bare, "strict"), "it is enforced"
    everything: Values = {
        "certificates": {"secretName": "server", "clientSecretName": "client"},
        "formulas": {"files": {"own.yaml": OWN}},
    }
    openshift: Values = {"securityContext": {"runAsUser": None, "runAsGroup": None}}
    for values in ({}, everything, openshift):
        pods = pods_of(render(values))
        assert len(pods) == 2
        assert [create(server, pod, "strict") for pod in pods] == ["", ""]


RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


def test_its_token_reads_all_that_llm_scaler_reads_and_nothing_else(server: Server, installed: Any, container: Any):
    installed()
    scaler = container()
    server.apply(scaled_object("seen", {"model": "llama", "formula": "queue-depth"}))
    server.wait(lambda: scaler.explain("seen"), 30, "the ScaledObject is known before KEDA has asked")
    assert "403" not in scaler.warnings()
    assert "cannot list" not in scaler.warnings(), "a right is missing"
    for verb, group, resource in (
        ("get", "", "secrets"),
        ("list", "", "configmaps"),
        ("create", "", "pods"),
        ("patch", "apps", "deployments"),
    ):
        assert not may(server, verb, group, resource), f"{verb} {resource}"
    assert may(server, "list", "", "pods")
    server.api.delete("ScaledObject", "seen")


def test_a_right_that_is_taken_away_is_named(installed: Any, server: Server, container: Any):
    installed(permissions={"gpus": False})
    scaler = container()
    server.wait(lambda: "nodes" in scaler.warnings(), 30, "it says what it does not know")
    assert "which machines there are" in scaler.warnings()
    assert "list and watch pods" not in scaler.warnings()


def may(server: Server, verb: str, group: str, resource: str) -> bool:
    """Whether the release's account may do something, by the API server's own word."""
    user = f"system:serviceaccount:{NAMESPACE}:llm-scaler"
    attributes = {"verb": verb, "group": group, "resource": resource, "namespace": "default"}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview"}
    body["spec"] = {"user": user, "resourceAttributes": attributes}
    answer = server.api.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body)
    return bool(answer and answer["status"]["allowed"])


def test_an_edit_of_a_formula_is_served_without_a_new_pod(server: Server, installed: Any, container: Any):
    release = installed(formulas={"files": {"own.yaml": OWN}})
    scaler = container()
    server.apply(scaled_object("edited", {"model": "llama", "formula": "own"}))
    server.wait(lambda: scaler.explain("edited").get("target") == 6, 30, "its own formula is served")
    before = server.get("Deployment", "llm-scaler", NAMESPACE)
    release.upgrade(
        {
            "settings": SETTINGS,
            "scalerAddresses": ["localhost"],
            "formulas": {"files": {"own.yaml": OWN.replace("6", "3")}},
        }
    )
    scaler.mount()
    server.wait(lambda: scaler.explain("edited").get("target") == 3, 30, "the edit is served")
    after = server.get("Deployment", "llm-scaler", NAMESPACE)
    assert before
    assert after
    assert before["spec"]["template"] == after["spec"]["template"]
    server.api.delete("ScaledObject", "edited")


def test_mutual_tls_from_secrets(server: Server, installed: Any, container: Any):
    for name in ("server", "client"):
        pair = server.authority.issue(f"chart-{name}")
        files = {"tls.crt": pair.cert, "tls.key": pair.key, "ca.crt": server.authority.cert}
        data = {key: base64.b64encode(path.read_bytes()).decode() for key, path in files.items()}
        head = {"name": name, "namespace": NAMESPACE}
        server.apply({"apiVersion": "v1", "kind": "Secret", "metadata": head, "data": data})
    installed(certificates={"secretName": "server", "clientSecretName": "client"})
    scaler = container()
    authentication = server.get("ClusterTriggerAuthentication", "llm-scaler")
    assert authentication
    shown = {}
    for each in authentication["spec"]["secretTargetRef"]:  # as KEDA reads it, in its own namespace
        secret = server.get("Secret", each["name"], NAMESPACE)
        assert secret
        shown[each["parameter"]] = server.site.write(
            each["parameter"], base64.b64decode(secret["data"][each["key"]]).decode()
        )
    ours = ClientTls(*(str(shown[name]) for name in ("caCert", "tlsClientCert", "tlsClientKey")))
    for tls, answered in ((ours, True), (ClientTls(ours.ca_file), False)):
        said, _ = ask(scaler.address, "default", "secret", {"model": "llama", "formula": "queue-depth"}, tls, 10.0)
        assert ("GetMetricSpec  queue-depth, target 1" in "\n".join(said)) == answered, said


def test_explain_answers_in_the_pod(server: Server, installed: Any, container: Any):
    installed()
    scaler = container()
    found = json.load(urllib.request.urlopen(f"{scaler.admin}/api/v1/decisions", timeout=5))
    assert found["decisions"] == []


# ---- the policy --------------------------------------------------------------------------------------------------------


def scaled_object(name: str, metadata: dict[str, str], address: str = "localhost:1", **spec: Any) -> Object:
    trigger = {"type": "external", "metadata": {"scalerAddress": address, **metadata}}
    whole = {"scaleTargetRef": {"name": "any"}, "fallback": FALLBACK, "triggers": [trigger], **spec}
    head = {"name": name, "namespace": "default"}
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": head,
        "spec": {key: value for key, value in whole.items() if value},
    }


def scaled_job(metadata: dict[str, str], kind: str = "external") -> Object:
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "c"}]}
    trigger = {"type": kind, "metadata": {"scalerAddress": "llm-scaler.keda:6000", **metadata}}
    spec = {"jobTargetRef": {"template": {"spec": pod}}, "triggers": [trigger]}
    return {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledJob", "metadata": {"name": "asked"}, "spec": spec}


def test_the_policy_refuses_what_llm_scaler_would_refuse_and_takes_the_rest(server: Server, installed: Any):
    def says(item: Object) -> str:
        return create(server, item, "default")

    installed()
    server.wait(lambda: says(scaled_object("asked", {})), 60, "the policy is in force")
    said = {name: says(scaled_object("asked", each, "llm-scaler.keda:6000")) for name, each in REFUSED.items()}
    assert {name: text for name, text in said.items() if "of llm-scaler" not in text} == {}
    said = {name: says(scaled_object("asked", each, "llm-scaler.keda.svc:6000")) for name, each in TAKEN.items()}
    assert said == dict.fromkeys(TAKEN, "")
    assert "default, pods" in says(scaled_object("asked", {**GOOD, "endpoint": "mimir"}))
    for fallback in (None, {"failureThreshold": 3, "replicas": 1}):
        assert "currentReplicasIfHigher" in says(scaled_object("asked", GOOD, fallback=fallback))
    # Others' triggers are not looked at, whatever they say.
    assert says(scaled_object("asked", {}, "other.keda:6000", fallback=None)) == ""
    assert says(scaled_object("asked", {}, "llm-scaler.keda-of-others:6000", fallback=None)) == ""
    assert says(scaled_job(GOOD)) == ""
    assert "takes no pushes" in says(scaled_job(GOOD, "external-push"))
    assert "formula or expression" in says(scaled_job({}))


def test_what_was_there_before_the_policy_can_still_lose_its_finalizers(server: Server, installed: Any):
    server.wait(lambda: not create(server, scaled_object("asked", {}), "default"), 60, "no policy is in force yet")
    before = scaled_object("before", {}, fallback=None)
    before["metadata"]["finalizers"] = ["finalizer.keda.sh"]
    server.apply(before)
    installed()
    server.wait(lambda: create(server, scaled_object("asked", {}), "default"), 60, "the policy is in force")
    server.api.patch("ScaledObject", "before", {"metadata": {"finalizers": None}})
    with pytest.raises(LabError, match="formula or expression"):
        server.api.patch("ScaledObject", "before", {"spec": {"maxReplicaCount": 7}})
    server.api.delete("ScaledObject", "before")
    assert server.get("ScaledObject", "before") is None
