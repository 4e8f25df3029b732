"""The chart in a real cluster: Helm installs it, the API server enforces Pod Security and the policy, KEDA asks it with what it rendered."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chart.helm import Values
from chart.installed import NAMESPACE, Container, Release
from chart.triggers import GOOD, REFUSED, TAKEN
from cluster.lab import Lab, condition
from cluster.objects import model, scaled_object
from cluster.process import LabError

FALLBACK = {"failureThreshold": 3, "replicas": 1, "behavior": "currentReplicasIfHigher"}
OWN = "name: own\nparameters: {model: {}}\nmetrics: {queued: {signal: queued}}\nformula: queued\ntarget: 6\n"


def values(lab: Lab, **more: Any) -> Values:
    """What is set everywhere here: the laboratory's Prometheus, and localhost as a name of the Service."""
    quick = {"interval": "1s", "holdFor": "20s", "idleFor": "5s"}
    settings = {"endpoints": {"default": {"url": lab.prometheus_url}}, "defaults": quick}
    return {"settings": settings, "scalerAddresses": ["localhost"], **more}


@pytest.fixture
def restricted(lab: Lab) -> Lab:
    """The cluster, whose namespace of KEDA takes only pods that pass Pod Security "restricted"."""
    label = {"pod-security.kubernetes.io/enforce": "restricted"}
    lab.api.patch("Namespace", NAMESPACE, {"metadata": {"labels": label}})
    return lab


@pytest.fixture
def release(restricted: Lab) -> Iterator[Release]:
    made = Release(restricted, values(restricted, formulas={"files": {"own.yaml": OWN}}))
    yield made
    made.uninstall()


def scaled(lab: Lab, name: str, address: str, metadata: dict[str, str], **spec: object) -> None:
    lab.apply(model(name, lab.fleet.port, gpus=0, replicas=0))
    lab.apply(scaled_object(name, address, metadata, **{"fallback": FALLBACK, **spec}))


def test_it_is_installed_under_pod_security_and_scales_with_its_own_rights_and_settings(
    restricted: Lab, release: Release, folder: Path
):
    lab = restricted
    pods = lab.api.items("Pod", NAMESPACE, "app.kubernetes.io/name=llm-scaler")
    assert [condition(pod, "Ready") for pod in pods] == [True, True]
    with pytest.raises(LabError, match="violates PodSecurity"):
        lab.apply({**plain_pod(), "metadata": {"name": "careless", "namespace": NAMESPACE}})
    scaler = Container(lab, folder)
    scaler.start()
    lab.fleet.queued["chosen"] = 12
    scaled(lab, "chosen", scaler.address, {"formula": "own", "model": "chosen"})
    lab.wait(lambda: lab.replicas("chosen") == 2, 90, "12 queued at 6 a replica are 2 replicas")
    assert "cannot" not in scaler.warnings(), "a right is missing"
    may_not = [("get", "secrets"), ("list", "configmaps"), ("create", "pods"), ("update", "deployments/scale")]
    account = f"--as=system:serviceaccount:{NAMESPACE}:llm-scaler"
    for verb, resource in may_not:
        with pytest.raises(LabError, match="failed"):
            lab.kubectl("auth", "can-i", verb, resource, account, "--all-namespaces")
    # A formula is edited: an upgrade writes the ConfigMap, the kubelet the file, and nothing is started anew.
    before = lab.api.items("Pod", NAMESPACE, "app.kubernetes.io/name=llm-scaler")
    release.upgrade(values(lab, formulas={"files": {"own.yaml": OWN.replace("6", "3")}}))
    scaler.mount()
    lab.wait(lambda: lab.replicas("chosen") == 4, 60, "at 3 a replica they are 4")
    after = lab.api.items("Pod", NAMESPACE, "app.kubernetes.io/name=llm-scaler")
    assert {pod["metadata"]["uid"] for pod in after} == {pod["metadata"]["uid"] for pod in before}


def plain_pod() -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "c", "image": "c"}]}}


def test_mutual_tls_from_secrets_by_the_cluster_trigger_authentication(restricted: Lab, folder: Path):
    lab = restricted
    for name in ("server", "client"):
        pair = lab.authority.issue(f"chart-{name}")
        files = {"tls.crt": pair.cert, "tls.key": pair.key, "ca.crt": lab.authority.cert}
        data = {key: base64.b64encode(path.read_bytes()).decode() for key, path in files.items()}
        lab.apply(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": NAMESPACE}, "data": data}
        )
    release = Release(lab, values(lab, certificates={"secretName": "server", "clientSecretName": "client"}))
    try:
        scaler = Container(lab, folder)
        scaler.start()
        lab.fleet.queued["secret"] = 12
        metadata = {"formula": "queue-depth", "model": "secret", "target": "6", "enableTLS": "true"}
        for name, reference in (("secret", True), ("open", False)):
            lab.apply(model(name, lab.fleet.port, gpus=0, replicas=0))
            item = scaled_object(name, scaler.address, metadata, fallback=FALLBACK)
            if reference:
                kind = {"kind": "ClusterTriggerAuthentication", "name": "llm-scaler"}
                item["spec"]["triggers"][0]["authenticationRef"] = kind
            lab.apply(item)
        lab.wait(lambda: lab.replicas("secret") == 2, 90, "KEDA is answered with the certificate that the chart names")
        assert lab.replicas("open") == 0
    finally:
        release.uninstall()


def asked(lab: Lab, kind: str, spec: dict[str, Any]) -> str:
    """What the API server says to an object that nobody will see; empty if it takes it."""
    head = {"apiVersion": "keda.sh/v1alpha1", "kind": kind, "metadata": {"name": "asked", "namespace": "default"}}
    path = f"/apis/keda.sh/v1alpha1/namespaces/default/{kind.lower()}s"
    try:
        lab.api.request("POST", path, {**head, "spec": spec}, params={"dryRun": "All"})
    except LabError as error:
        return str(error)
    return ""


def triggers(metadata: dict[str, str], kind: str = "external", address: str = "llm-scaler.keda:6000") -> dict[str, Any]:
    return {"triggers": [{"type": kind, "metadata": {"scalerAddress": address, **metadata}}]}


def test_the_api_server_refuses_what_llm_scaler_would_refuse_and_takes_the_rest(restricted: Lab, release: Release):
    lab = restricted
    target = {"scaleTargetRef": {"name": "any"}, "fallback": FALLBACK}
    lab.wait(lambda: asked(lab, "ScaledObject", {**target, **triggers({})}), 30, "the policy is in force")
    said = {name: asked(lab, "ScaledObject", {**target, **triggers(each)}) for name, each in REFUSED.items()}
    assert {name for name, text in said.items() if "of llm-scaler" not in text} == set()
    said = {name: asked(lab, "ScaledObject", {**target, **triggers(each)}) for name, each in TAKEN.items()}
    assert said == dict.fromkeys(TAKEN, "")
    for fallback in ({}, {"fallback": {"failureThreshold": 3, "replicas": 1}}):
        without = {"scaleTargetRef": {"name": "any"}, **fallback, **triggers(GOOD)}
        assert "currentReplicasIfHigher" in asked(lab, "ScaledObject", without)
    # Others' triggers are not looked at, whatever they say.
    strangers = {"scaleTargetRef": {"name": "any"}, **triggers({}, address="other.keda:6000")}
    assert asked(lab, "ScaledObject", strangers) == ""
    jobs = {
        "jobTargetRef": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "c"}]}}}
    }
    assert asked(lab, "ScaledJob", {**jobs, **triggers(GOOD)}) == ""
    assert "takes no pushes" in asked(lab, "ScaledJob", {**jobs, **triggers(GOOD, "external-push")})
    assert "formula or expression" in asked(lab, "ScaledJob", {**jobs, **triggers({})})


def test_what_was_there_before_the_policy_can_be_deleted(restricted: Lab):
    lab = restricted
    lab.apply(model("before", lab.fleet.port, gpus=0, replicas=0))
    lab.apply(scaled_object("before", "localhost:1", {}, fallback=None))
    lab.wait(lambda: (lab.get("ScaledObject", "before") or {})["metadata"].get("finalizers"), 60, "KEDA has taken it")
    release = Release(lab, values(lab))
    try:
        lab.wait(
            lambda: asked(lab, "ScaledObject", {"scaleTargetRef": {"name": "any"}, **triggers({})}),
            30,
            "it is in force",
        )
        lab.kubectl("delete", "scaledobject", "before", "--wait=false")
        lab.wait(lambda: lab.get("ScaledObject", "before") is None, 60, "its finalizer could go")
    finally:
        release.uninstall()
