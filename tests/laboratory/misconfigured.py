"""Workloads that are set up wrong, each in one way, and workloads that are sound; all of them side by side in one cluster.

What is wrong was taken from what people ask in public about KEDA and the HPA; the number in brackets is of an issue of kedacore/keda.
"""

import copy
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from laboratory.objects import Object, model

MODEL = "llama"  # what the pods of the laboratory serve unless they are told otherwise
QUEUED = ("--expression", "queued", "target=1", "holdFor=5s", "idleFor=5s")
NAMESPACES: dict[str, dict[str, str]] = {  # their labels
    "elsewhere": {},
    "counted": {},
    "full": {},
    "small": {},
    "strict": {"pod-security.kubernetes.io/enforce": "restricted"},
}
POLICY_OF_ONE = {"type": "Pods", "value": 1, "periodSeconds": 900}


@dataclass(frozen=True)
class Case:
    """One workload.

    Attributes:
        name: of the ScaledObject, and of its Deployment.
        finding: the one that has to come first; empty: nothing may be found.
        scaled: the ScaledObject.
        beside: the Deployment and whatever else is put in, before it.
    """

    name: str
    finding: str
    scaled: Object
    beside: list[Object] = field(default_factory=list)

    @property
    def namespace(self) -> str:
        """Where it is."""
        return str(self.scaled["metadata"]["namespace"])


class Written:
    """What `llm-scaler scaledobject` writes, once for each set of words: a case begins as a copy of it.

    Args:
        address: of llm-scaler.
        port: at which every pod serves its page.
    """

    def __init__(self, address: str, port: int) -> None:
        self.address, self._port = address, port
        self._texts: dict[tuple[str, ...], str] = {}

    def case(self, name: str, finding: str, *words: str, namespace: str = "default", **deployment: Any) -> Case:
        """A workload as it is written, and its Deployment; the caller spoils it.

        Args:
            name: of both.
            finding: that has to come first.
            words: of the command; the queue of MODEL unless they are given.
            namespace: of both.
            deployment: over what `model` makes: gpus, replicas, load.
        """
        chosen = words or QUEUED
        if chosen not in self._texts:
            self._texts[chosen] = self._ask(chosen)
        scaled = copy.deepcopy(yaml.safe_load(self._texts[chosen]))
        scaled["metadata"] = {"name": name, "namespace": namespace}
        scaled["spec"]["scaleTargetRef"]["name"] = name
        made = model(name, self._port, **{"gpus": 0, "replicas": 1, **deployment})
        made["metadata"]["namespace"] = namespace
        return Case(name, finding, scaled, [made])

    def _ask(self, words: tuple[str, ...]) -> str:
        """As a person would, who then writes more into it."""
        command = ["scaledobject", "deployment/any", "--offline", "--model", MODEL, "--scaler-address", self.address]
        return subprocess.run(
            [sys.executable, "-m", "scaler", *command, *words], capture_output=True, text=True, check=True
        ).stdout


def spoilt(written: Written, silent: str, admin: str) -> Iterator[Case]:
    """Workloads that are set up wrong.

    Args:
        written: makes them.
        silent: an address at which nobody listens.
        admin: the address of llm-scaler's admin pages, without a scheme.
    """
    yield from _triggers(written)
    yield from _addresses(written, silent, admin)
    for part in (_targets, _owners, _pauses, _bounds, _rooms, _pods, _decisions, _habits):
        yield from part(written)


def _trigger(case: Case) -> Object:
    return dict_of(case.scaled["spec"]["triggers"][0])


def _metadata(case: Case) -> Object:
    return dict_of(_trigger(case)["metadata"])


def _behavior(case: Case) -> Object:
    return dict_of(case.scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"])


def dict_of(part: Any) -> Object:
    """A part of an object, to be written into."""
    assert isinstance(part, dict)
    return part


def _triggers(written: Written) -> Iterator[Case]:
    case = written.case("mistyped", "refused")
    _metadata(case)["modle"] = _metadata(case).pop("model")
    yield case
    case = written.case("unformed", "refused")
    _trigger(case)["metadata"] = {"scalerAddress": written.address, "formula": "queue-dept", "model": MODEL}
    yield case
    case = written.case("aimless", "refused")
    del _metadata(case)["target"]
    yield case
    case = written.case("worded", "refused")
    _metadata(case)["target"] = "eight"
    yield case
    case = written.case("spoken", "refused")
    _metadata(case)["holdFor"] = "two minutes"
    yield case
    case = written.case("unknown-source", "refused")
    _metadata(case)["endpoint"] = "mimir"
    yield case
    case = written.case("both", "refused")
    _metadata(case)["formula"] = "queue-depth"
    yield case
    case = written.case("a-query", "refused")  # as KEDA's own prometheus trigger has it (6959)
    _metadata(case)["query"] = "sum(vllm:num_requests_waiting)"
    yield case
    case = written.case("of-prometheus", "not-ours")  # the right words, in a trigger of KEDA's own
    case.scaled["spec"]["triggers"] = [
        {"type": "prometheus", "metadata": {"serverAddress": "http://localhost:1", "query": "x", "threshold": "1"}}
    ]
    yield case
    case = written.case("multiplied", "metric-type")  # 3855
    _trigger(case)["metricType"] = "Value"
    yield case
    case = written.case("repeated", "same-trigger")
    case.scaled["spec"]["triggers"] *= 2
    yield case


def _addresses(written: Written, silent: str, admin: str) -> Iterator[Case]:
    for name, finding, address in (
        ("silent", "unreachable", silent),  # 7729: the scaler is not there when the ScaledObject is made
        ("to-the-pages", "unreachable", admin),
        ("url", "address", f"http://{written.address}"),
        ("portless", "address", "localhost"),
        ("nowhere", "service-missing", "llm-scaler.keda-of-others:6000"),
        ("another-port", "port", "sleepers.keda:9090"),
        ("nobody-behind", "no-endpoints", "sleepers.keda:6000"),  # "produced zero addresses"
    ):
        case = written.case(name, finding)
        _metadata(case)["scalerAddress"] = address
        yield case
    case = written.case("unauthenticated", "authentication")
    _trigger(case)["authenticationRef"] = {"name": "nobody"}
    yield case
    case = written.case("another-key", "authentication")
    _trigger(case)["authenticationRef"] = {"name": "another-key"}
    refs = [{"parameter": "caCert", "name": "another-key", "key": "ca.crt"}]
    case.beside.append(_object("v1", "Secret", "another-key", stringData={"ca.pem": "x"}))
    case.beside.append(
        _object("keda.sh/v1alpha1", "TriggerAuthentication", "another-key", spec={"secretTargetRef": refs})
    )
    yield case


def _targets(written: Written) -> Iterator[Case]:
    case = written.case("lost", "target-missing")
    case.scaled["spec"]["scaleTargetRef"]["name"] = "nobody"
    yield case
    case = written.case("of-a-kind", "target-missing")
    case.scaled["spec"]["scaleTargetRef"]["kind"] = "StatefulSet"
    yield case
    case = written.case("small-letters", "target-missing")
    case.scaled["spec"]["scaleTargetRef"]["kind"] = "deployment"
    yield case
    case = written.case("another-namespace", "target-missing")  # 6155: it "must be in the same namespace"
    case.scaled["metadata"]["namespace"] = "elsewhere"
    yield case
    case = written.case("everywhere", "target-without-scale")
    case.scaled["spec"]["scaleTargetRef"]["kind"] = "DaemonSet"
    daemon = copy.deepcopy(case.beside[0])
    daemon["kind"] = "DaemonSet"
    del daemon["spec"]["replicas"]
    case.beside[0] = daemon
    yield case


def _owners(written: Written) -> Iterator[Case]:
    case = written.case("twice", "two-owners")  # 3087
    ref = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "twice"}
    usage = {"type": "Utilization", "averageUtilization": 80}
    metrics = [{"type": "Resource", "resource": {"name": "cpu", "target": usage}}]
    spec = {"scaleTargetRef": ref, "maxReplicas": 3, "metrics": metrics}
    case.beside.append(_object("autoscaling/v2", "HorizontalPodAutoscaler", "twice", spec=spec))
    yield case
    case = written.case("up-and-down", "two-owners")  # 3755: one object to grow, another to shrink
    other = copy.deepcopy(case.scaled)
    other["metadata"]["name"] = "up-and-down-2"
    case.beside.append(other)
    yield case


def _pauses(written: Written) -> Iterator[Case]:
    for name, annotation, value in (
        ("halted", "paused", "true"),
        ("halted-at-one", "paused-replicas", "1"),  # 4253, 6982
        ("never-down", "paused-scale-in", "true"),
    ):
        case = written.case(name, "paused")
        case.scaled["metadata"]["annotations"] = {f"autoscaling.keda.sh/{annotation}": value}
        yield case


def _bounds(written: Written) -> Iterator[Case]:
    for name, bounds in (
        ("stuck-at-three", {"minReplicaCount": 3, "maxReplicaCount": 3}),
        ("idle-above", {"idleReplicaCount": 2, "minReplicaCount": 2}),
    ):
        case = written.case(name, "bounds")
        case.scaled["spec"] |= bounds
        yield case


def _rooms(written: Written) -> Iterator[Case]:
    """The API server takes no pod more; nothing is pending then, so that nobody buys a machine either."""
    pods = ("--expression", "waiting + running", "target=1")  # what their own namespace has
    two = ("--min", "2", *pods)
    case = written.case("no-room", "cannot-be-created", *two, namespace="full", replicas=2)
    case.beside.insert(0, _object("v1", "ResourceQuota", "pods", "full", spec={"hard": {"pods": "1"}}))
    yield case
    case = written.case("insecure", "cannot-be-created", *two, namespace="strict", replicas=2)
    yield case
    case = written.case("too-large", "cannot-be-created", *two, namespace="small", replicas=2)
    limits = [{"type": "Container", "max": {"cpu": "1"}}]
    case.beside.insert(0, _object("v1", "LimitRange", "cpu", "small", spec={"limits": limits}))
    case.beside[1]["spec"]["template"]["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "2"}}
    yield case
    case = written.case("classless", "cannot-be-created")
    case.beside[0]["spec"]["template"]["spec"]["priorityClassName"] = "nobody"
    yield case
    case = written.case("counted", "quota", *pods, namespace="counted")
    case.beside.insert(0, _object("v1", "ResourceQuota", "pods", "counted", spec={"hard": {"pods": "3"}}))
    yield case


def _pods(written: Written) -> Iterator[Case]:
    case = written.case("gpu-less", "unschedulable", gpus=1)
    yield case
    case = written.case("choosy", "unschedulable")
    case.beside[0]["spec"]["template"]["spec"]["nodeSelector"] = {"nvidia.com/gpu.product": "H100"}
    yield case
    case = written.case("volumeless", "unschedulable")
    volume = {"name": "weights", "persistentVolumeClaim": {"claimName": "nobody"}}
    case.beside[0]["spec"]["template"]["spec"]["volumes"] = [volume]
    yield case
    case = written.case("hermit", "unschedulable", "--min", "2", *QUEUED, replicas=2)
    alone = {"labelSelector": {"matchLabels": {"app": "hermit"}}, "topologyKey": "kubernetes.io/hostname"}
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [alone]}}
    case.beside[0]["spec"]["template"]["spec"]["affinity"] = affinity
    yield case


def _decisions(written: Written) -> Iterator[Case]:
    case = written.case("unmeasured", "no-series")
    _trigger(case)["metadata"] = {
        "scalerAddress": written.address,
        "expression": "waiting",
        "target": "1",
        "holdFor": "5s",
        "model": "another",
    }
    yield case
    case = written.case("another-engine", "no-series")
    _trigger(case)["metadata"] = {
        "scalerAddress": written.address,
        "formula": "queue-depth",
        "engine": "sglang",
        "holdFor": "5s",
        "model": MODEL,
    }
    yield case
    case = written.case("asleep", "cannot-wake", "--min", "0", "--expression", "running", "target=1", replicas=0)
    yield case
    case = written.case("overrun", "at-maximum", "--max", "3", *QUEUED)
    _metadata(case)["target"] = "0.1"
    yield case
    case = written.case("still", "behavior-forbids")
    _behavior(case)["scaleUp"] = {"selectPolicy": "Disabled"}
    yield case


def _habits(written: Written) -> Iterator[Case]:
    """It scales today; one day it will not as it should."""
    case = written.case("no-fallback", "fallback")
    del case.scaled["spec"]["fallback"]
    yield case
    case = written.case("falls-to-one", "fallback")
    case.scaled["spec"]["fallback"] = {"failureThreshold": 3, "replicas": 1}
    yield case
    case = written.case("halved", "scaling-modifiers")
    _trigger(case)["name"] = "ours"
    case.scaled["spec"]["advanced"]["scalingModifiers"] = {"formula": "ours / 2", "target": "1"}
    yield case
    case = written.case("cached", "cached-metrics")
    _trigger(case)["useCachedMetrics"] = True
    yield case
    case = written.case("slow", "slow-growth")  # 4811, 3272
    _behavior(case)["scaleUp"] = {"tolerance": "0", "policies": [POLICY_OF_ONE]}
    yield case
    case = written.case("flapping", "flaps")
    _behavior(case)["scaleDown"] = {"stabilizationWindowSeconds": 0}
    yield case
    case = written.case("drowsy", "slow-wake", "--min", "0", *QUEUED)
    _trigger(case)["type"] = "external"
    case.scaled["spec"]["pollingInterval"] = 300
    yield case
    case = written.case("impatient", "cooldown", "--min", "0", *QUEUED, load="20s")
    case.scaled["spec"]["cooldownPeriod"] = 5
    yield case
    case = written.case("immovable", "disruption-budget")
    spec = {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "immovable"}}}
    case.beside.append(_object("policy/v1", "PodDisruptionBudget", "immovable", spec=spec))
    yield case


def scenery() -> list[Object]:
    """What cases share: namespaces, and a Service behind which nobody is."""
    spaces = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        for name, labels in NAMESPACES.items()
    ]
    spec = {"selector": {"app": "sleepers"}, "ports": [{"name": "grpc", "port": 6000}]}
    return [*spaces, _object("v1", "Service", "sleepers", "keda", spec=spec)]


# ---- what is sound ---------------------------------------------------------------------------------------------------


def sound(written: Written) -> Iterator[Case]:
    """Workloads that are set up as people do, each in its own way, and of which nothing may be said."""
    plain = {f"sound-{place}": QUEUED for place in ("a", "b", "c")}
    words = {
        **plain,
        "sound-formula": ("--formula", "queue-depth", "target=1"),
        "sound-signals": ("--expression", "waiting + running + queued", "target=1"),
        "sound-many": ("--max", "80", *QUEUED),
        "sound-asleep": ("--min", "0", *QUEUED),
        "sound-polled": ("--poll", *QUEUED),
        "sound-at-two": ("--min", "2", *QUEUED),
        "sound-holding": ("--expression", "queued", "target=1", "holdFor=1m", "idleFor=1m"),
    }
    for name, chosen in words.items():
        yield written.case(name, "", *chosen)
    yield from _varied(written)


def _varied(written: Written) -> Iterator[Case]:
    case = written.case("sound-windows", "")
    _behavior(case)["scaleDown"] = {"stabilizationWindowSeconds": 600, "tolerance": "0"}
    yield case
    case = written.case("sound-percents", "")
    _behavior(case)["scaleUp"] = {
        "tolerance": "0",
        "policies": [
            {"type": "Percent", "value": 100, "periodSeconds": 60},
            {"type": "Pods", "value": 4, "periodSeconds": 60},
        ],
    }
    yield case
    case = written.case("sound-unpaused", "")
    case.scaled["metadata"]["annotations"] = {"autoscaling.keda.sh/paused": "false"}
    yield case
    case = written.case("sound-named", "")
    case.scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["name"] = "its-own-name"
    yield case
    case = written.case("sound-original", "")
    case.scaled["spec"]["advanced"]["restoreToOriginalReplicaCount"] = True
    yield case
    case = written.case("sound-two", "")
    case.scaled["spec"]["triggers"].append(copy.deepcopy(_trigger(case)))
    _metadata(case)["target"] = "2"
    yield case
    case = written.case("sound-by-the-clock", "")
    clock = {"timezone": "Etc/UTC", "start": "0 8 * * *", "end": "0 18 * * *", "desiredReplicas": "2"}
    case.scaled["spec"]["triggers"].append({"type": "cron", "metadata": clock})
    yield case
    case = written.case("sound-budget", "")
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "sound-budget"}}}
    case.beside.append(_object("policy/v1", "PodDisruptionBudget", "sound-budget", spec=spec))
    yield case
    case = written.case("sound-slow-start", "", load="3s")
    yield case
    case = written.case("sound-set", "")
    served = copy.deepcopy(case.beside[0])
    served["kind"] = "StatefulSet"
    served["spec"]["serviceName"] = "sound-set"
    case.beside[0] = served
    case.scaled["spec"]["scaleTargetRef"] |= {"apiVersion": "apps/v1", "kind": "StatefulSet"}
    yield case


def _object(version: str, kind: str, name: str, namespace: str = "default", **more: Any) -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, **more}
