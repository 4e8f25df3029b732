"""What is read of the real API server: with the shipped rules and no more, over restarts, and for every kind of target."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from laboratory.api import Object
from laboratory.fleet import Load
from laboratory.lab import Lab, condition
from laboratory.llm_scaler import LlmScaler
from laboratory.objects import model, scaled_object
from laboratory.process import LabError
from laboratory.watch import Watch

from scaler.model.objects import ScaledResource
from scaler.sources.kubernetes.cache import ClusterCache
from scaler.sources.kubernetes.resources import WATCHED

RULES = Path(__file__).parents[2] / "deploy" / "rbac.yaml"
TRIGGER = {"formula": "queue-depth", "model": "llama", "holdFor": "5s"}
WORKERS, WORK = 4, 40  # replicas, and requests that each of them works on
NOWHERE = "localhost:1"  # KEDA finds no scaler there; what we read does not depend on it
Watching = Callable[[Path], ClusterCache]


@pytest.fixture
def watching(lab: Lab) -> Iterator[Watching]:
    """Start a watcher with a kubeconfig; it has read everything once, or was refused."""
    started: list[ClusterCache] = []

    def begin(kubeconfig: Path) -> ClusterCache:
        kube = ClusterCache(kubeconfig, (), (), time.time)
        started.append(kube)
        kube.start()
        lab.wait(lambda: kube.wait_for_sync(0.0), 40, "everything was read once")
        return kube

    yield begin
    for kube in started:
        kube.close()


def rules(*left_out: str) -> list[Object]:
    """The shipped rules, without some resources."""
    documents = list(yaml.safe_load_all(RULES.read_text()))
    for role in documents:
        for rule in role.get("rules", ()):
            rule["resources"] = [resource for resource in rule["resources"] if resource not in left_out]
        if "rules" in role:
            role["rules"] = [rule for rule in role["rules"] if rule["resources"]]
    return documents


def known(kube: ClusterCache, name: str) -> ScaledResource | None:
    return next((one for one in kube.cluster() if one.name == name), None)


def states(kube: ClusterCache, name: str) -> list[str]:
    scaled = known(kube, name)
    return sorted(pod.state for pod in scaled.pods or ()) if scaled else []


def test_the_shipped_rules_are_enough_and_each_that_is_missing_is_named(lab: Lab, watching: Watching):
    lab.apply(rules())
    account = lab.account("llm-scaler")
    lab.apply([model("ruled", lab.fleet.port, gpus=0, load="8s", replicas=2), scaled_object("ruled", NOWHERE, TRIGGER)])
    kube = watching(account)
    lab.wait(lambda: states(kube, "ruled") == ["starting", "starting"], 30, "both pods load")
    lab.wait(lambda: states(kube, "ruled") == ["ready", "ready"], 30, "both pods are ready")
    scaled = known(kube, "ruled")
    assert scaled is not None
    assert (scaled.replicas, scaled.minimum, scaled.maximum, scaled.target) == (2, 0, 10, "Deployment ruled")
    # Of a kind that another test has just made the API server says for a moment that it is getting ready.
    lab.wait(lambda: kube.cluster().problems == {}, 30, "all there is can be read")
    lab.apply(rules(*{resource.plural for resource in WATCHED} - {"scaledobjects"}))
    blind, hidden = watching(account), {str(resource) for resource in WATCHED} - {"scaledobjects.keda.sh"}
    lab.wait(lambda: set(blind.cluster().problems) == hidden, 40, "all that may not be read is named")
    assert known(blind, "ruled")
    lab.apply(rules("pods", "horizontalpodautoscalers"))
    poor = watching(account)
    problems = poor.cluster().problems
    lab.say(problems["pods"])
    assert set(problems) == {"pods", "horizontalpodautoscalers.autoscaling"}
    assert 'cannot list resource "pods"' in problems["pods"]
    scaled = known(poor, "ruled")
    assert scaled is not None
    assert (scaled.replicas, scaled.pods, scaled.hpa) == (2, None, None), "unknown, and not zero"


def test_the_api_server_gone_for_a_while(lab: Lab, watching: Watching):
    lab.apply([model("watched", lab.fleet.port, gpus=0, replicas=2), scaled_object("watched", NOWHERE, TRIGGER)])
    kube = watching(lab.kubeconfig)
    lab.wait(lambda: states(kube, "watched") == ["ready", "ready"], 30, "both pods are ready")
    lab.kill("apiserver")
    lab.wait(lambda: "pods" in kube.cluster().problems, 40, "the watch is lost")
    assert states(kube, "watched") == ["ready", "ready"]
    lab.start("apiserver")
    began = time.monotonic()
    lab.kubectl("scale", "deployment/watched", "--replicas=3")
    lab.wait(lambda: states(kube, "watched") == ["ready"] * 3, 90, "the third pod is known")
    lab.say(f"API server back: the new pod known {time.monotonic() - began:.0f} s after it was asked for")
    lab.wait(lambda: kube.cluster().problems == {}, 60, "nothing is the matter any more")
    lab.pause("apiserver")
    began = time.monotonic()
    lab.wait(lambda: kube.cluster().stale_reason(time.time()), 90, "its silence is noticed")
    lab.resume("apiserver")
    lab.say(f"API server frozen: doubted after {time.monotonic() - began:.0f} s")


def test_another_kind_of_target_by_its_scale_and_a_scaled_job_by_its_jobs(lab: Lab, watching: Watching):
    lab.apply(GANGS)
    gang = {"apiVersion": "lab.llm/v1", "kind": "Gang", "metadata": {"name": "gang", "namespace": "default"}}
    lab.wait(lambda: _applied(lab, {**gang, "spec": {"replicas": 2}}), 30, "the kind is served")
    lab.api.patch("Gang", "gang", {"status": {"replicas": 2, "selector": "app=leader"}}, subresource="status")
    lab.apply(model("leader", lab.fleet.port, gpus=0, replicas=1))
    target = {"apiVersion": "lab.llm/v1", "kind": "Gang", "name": "gang"}
    lab.apply(scaled_object("gang", NOWHERE, TRIGGER, scaleTargetRef=target))
    lab.apply(rules())
    kube = watching(lab.account("llm-scaler"))
    lab.wait(lambda: states(kube, "gang") == ["ready"], 60, "the pod that its selector takes is known")
    scaled = known(kube, "gang")
    assert scaled is not None
    assert (scaled.replicas, scaled.target) == (2, "Gang.lab.llm gang")
    lab.kubectl("delete", "gang", "gang")
    lab.kubectl("delete", "crd", "gangs.lab.llm")


def test_a_rollout_with_surge_does_not_ratchet_replicas_up(lab: Lab):
    """By a total, and by a ratio that counts for every ready pod, of which a rollout has more than replicas."""
    scaler = LlmScaler(lab)
    (scaler.formulas / "ratio.yaml").write_text(RATIO)
    scaler.start()
    triggers = {
        "total": {"expression": "waiting + running", "model": "llama", "target": str(WORK), "holdFor": "20s"},
        "ratio": {"formula": "ratio", "holdFor": "20s"},
    }
    lab.fleet.load = Load(kv_usage=0.8)
    for name, metadata in triggers.items():
        surging = model(name, lab.fleet.port, gpus=0, load="3s", replicas=WORKERS)
        # So that for some looks of the HPA there are more ready pods than replicas.
        surging["spec"] |= {"minReadySeconds": 10, "strategy": {"rollingUpdate": {"maxSurge": 2, "maxUnavailable": 0}}}
        lab.apply(surging)
        lab.apply(scaled_object(name, scaler.address, metadata, minReplicaCount=1, maxReplicaCount=20, advanced={}))
    working: dict[str, set[str]] = {name: set() for name in triggers}  # addresses of pods

    def told(name: str) -> dict[str, Any]:
        """The explanation; work that was lost with a pod is done by another once Prometheus has seen it gone."""
        ready = [pod["status"]["podIP"] for pod in sorted(lab.pods(name), key=created) if condition(pod, "Ready")]
        working[name] &= set(ready)
        idle = set(ready[:WORKERS]) - working[name]
        seen = lab.query(f'sum(vllm:num_requests_running{{app="{name}"}})').get("", 0)
        if seen + WORK * len(idle) <= WORK * WORKERS:
            working[name] |= idle
        busy = Load(running=WORK, kv_usage=0.8)
        lab.fleet.loads = {address: busy for those in working.values() for address in those}
        return scaler.explain(name)

    pods = lambda: [pod for name in triggers for pod in lab.pods(name)]  # noqa: E731
    sure = lambda one: (one.get("certainty"), one.get("answeredReplicas")) == ("certain", WORKERS)  # noqa: E731
    lab.wait(lambda: all(sure(told(name)) for name in triggers), 90, "4 replicas each")
    old = {pod["metadata"]["uid"] for pod in pods()}
    said: set[tuple[int, int]] = set()  # replicas, and ready pods

    def rolled() -> bool:
        """Whether every pod is a new one."""
        said.update((now["answeredReplicas"] or 0, now["scaleTarget"]["ready"]) for now in map(told, triggers))
        return not any(pod["metadata"]["uid"] in old or not condition(pod, "Ready") for pod in pods())

    with Watch(lab, *triggers) as watch:
        for name in triggers:
            lab.kubectl("rollout", "restart", f"deployment/{name}")
        lab.wait(rolled, 90, "every pod is a new one")
        began = watch.now()
        lab.wait(lambda: rolled() and watch.now() - began > 12, 40, "two more looks of the HPA")
    assert [watch.seen(name) for name in triggers] == [[WORKERS], [WORKERS]]
    assert max(replicas for replicas, _ in said) == WORKERS
    assert (WORKERS, WORKERS + 2) in said, "there was no surge"
    lab.say(f"a rollout with surge: {max(ready for _, ready in said)} ready pods of {WORKERS} replicas, which stayed")


def test_a_fresh_process_knows_a_workload_that_keda_has_never_asked_about(lab: Lab):
    lab.apply([model("unasked", lab.fleet.port, gpus=0, replicas=1), scaled_object("unasked", NOWHERE, TRIGGER)])
    scaler = LlmScaler(lab, "--log-level", "debug")
    scaler.start()
    lab.wait(lambda: scaler.explain("unasked").get("certainty") == "certain", 60, "it has decided")
    told = scaler.explain("unasked")
    assert told["scaleTarget"]["source"] == "Kubernetes"
    assert [fact["expected"] for fact in told["activitySignals"]] == [1, 1]
    lab.apply(scaled_object("unasked", scaler.address, TRIGGER))
    lab.wait(
        lambda: (scaler.explain("unasked").get("kubernetes") or {}).get("hpa"),
        90,
        "KEDA asks, and makes an HPA",
    )
    lab.wait(lambda: scaler.explain("unasked")["kubernetes"]["hpa"]["conditions"], 60, "the HPA reports")
    decisions = requests.get(f"{scaler.admin}/api/v1/decisions", timeout=5).json()["decisions"]
    assert len(decisions) == 1, "what was known before is what KEDA asks about"
    line = next(line.strip() for line in scaler.text("unasked").splitlines() if "HPA keda-hpa-unasked: " in line)
    lab.say(f"known before KEDA asked, and then with its HPA: {line}")


RATIO = """
name: ratio
parameters: {model: {default: llama}}
metrics: {usage: {signal: kv_cache_usage}}
formula: usage
target: 0.8
metricType: Value
"""

GANGS = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gangs.lab.llm}
spec:
  group: lab.llm
  names: {kind: Gang, plural: gangs, singular: gang}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas, labelSelectorPath: .status.selector}
"""


def created(pod: Object) -> tuple[str, str]:
    return pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]


def _applied(lab: Lab, item: Object) -> bool:
    try:
        lab.apply(item)
    except LabError:
        return False
    return True
