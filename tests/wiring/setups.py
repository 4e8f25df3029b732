"""Set-ups as the API server and llm-scaler show them, for `doctor`: a healthy one, and ways to spoil or vary it.

The manifests have the fields and the words that KEDA 2.21, Kubernetes 1.37 and the Prometheus Operator write; what llm-scaler explains
is explained by its own fold.
"""

import copy
from datetime import UTC, datetime
from functools import cache

from support.explained import as_data
from support.timelines import START, fold, workload

from scaler.model.measurement import Reading, TargetStatus
from scaler.wiring.picture import Picture
from scaler.wiring.rules import examine

NOW = 1_795_000_000.0
QUEUE = """
name: queue-depth
parameters: {model: {default: llama-3-8b}}
metrics:
  waiting: {signal: waiting}
  running: {signal: running}
  queued: {signal: queued, onMissing: zero}
formula: queued + waiting + running
target: 8
activation: queued + waiting + running > 0
"""
KPA = """
name: queue-depth
parameters: {model: {default: llama-3-8b}}
metrics: {running: {signal: running}}
formula: running
target: 8
activation: running > 0
policy: {kind: kpa}
"""
PAGE = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="llama-3-8b"} 16.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="llama-3-8b"} 0.0
# TYPE python_info gauge
python_info{implementation="CPython"} 1.0
"""


def ago(seconds):
    return datetime.fromtimestamp(NOW - seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def meta(name, namespace="demo", created=7200, **more):
    return {"name": name, "namespace": namespace, "uid": f"uid-{name}", "creationTimestamp": ago(created), **more}


def condition(kind, status, reason="", message="", since=3600):
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": ago(since)}


def deployment(name, namespace, image, ready=1, labels=None, env=()):
    pod = {"containers": [{"name": name, "image": image, "env": list(env)}]}
    return {
        "kind": "Deployment",
        "metadata": meta(name, namespace, labels={"app": name, **(labels or {})}),
        "spec": {"replicas": 1, "template": {"metadata": {"labels": {"app": name}}, "spec": pod}},
        "status": {
            "replicas": 1,
            **({"readyReplicas": ready} if ready else {}),
            "conditions": [condition("Available", "True" if ready else "False", "MinimumReplicas", "")],
        },
    }


def decisions(text=QUEUE, rows=None, kind="ScaledObject", **given):
    """What llm-scaler explains, of the last of some ticks."""
    row = {
        "waiting": Reading(0, START, answered=3, expected=3, age=4.0),
        "running": Reading(24, START, answered=3, expected=3, age=4.0),
        "queued": None,
        "replicas": TargetStatus(3, 3, 0, 0, 10, "Kubernetes"),
        "guards": {"waiting": 0, "running": 24},
    }
    if text is KPA:
        row = {"running": row["running"], "replicas": row["replicas"], "guards": {"waiting": 0, "running": 24}}
    row.update(given)
    spec = workload(text)
    return [as_data(fold(spec, [row] * (rows or 60))[1][-1])]


@cache
def _usual():
    return decisions()


def pod(name, *, ready=True, labels=None, node="gpu-1", created=3600, took=100, phase="Running", scheduled=None):
    labels = {"app": "llama", "pod-template-hash": "5d8f", **(labels or {})}
    conditions = [
        scheduled or condition("PodScheduled", "True", since=created - 5),
        condition("Ready", "True" if ready else "False", since=created - 5 - took),
    ]
    states = [
        {"name": "vllm", "ready": ready, "restartCount": 0, "state": {"running": {"startedAt": ago(created - 10)}}}
    ]
    return {
        "kind": "Pod",
        "metadata": meta(name, created=created, labels=labels),
        "spec": {"nodeName": node, "containers": [container()]},
        "status": {"phase": phase, "conditions": conditions, "containerStatuses": states},
    }


def container():
    return {
        "name": "vllm",
        "image": "vllm/vllm-openai:v0.12.0",
        "ports": [{"name": "http", "containerPort": 8000, "protocol": "TCP"}],
        "resources": {"limits": {"nvidia.com/gpu": "1"}, "requests": {"nvidia.com/gpu": "1"}},
    }


class Setup:
    """A cluster with one ScaledObject; every part may be changed, and then a picture is taken."""

    def __init__(self):
        self.objects = copy.deepcopy(_healthy())
        self.unread = {}
        self.decisions = copy.deepcopy(_usual())
        self.refused = ""
        self.warnings = []
        self.reached = ""
        self.pages = {"llama-5d8f-a": PAGE}
        self.longest = None
        self.name = "llama"

    @property
    def scaled(self):
        return self.objects["scaledobjects"][0]

    @property
    def spec(self):
        return self.scaled["spec"]

    @property
    def trigger(self):
        return self.spec["triggers"][0]

    @property
    def metadata(self):
        return self.trigger["metadata"]

    @property
    def hpa(self):
        return self.objects["horizontalpodautoscalers"][0]

    @property
    def behavior(self):
        return self.spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]

    @property
    def target(self):
        return self.objects["scaletarget"][0]

    @property
    def pods(self):
        return self.objects["targetpods"]

    @property
    def operator(self):
        return self.objects["kedadeployments"][0]

    def without_metrics(self, problem="no series", **more):
        """Nothing is measured, and the HPA and KEDA have noticed."""
        self.decisions = decisions(
            waiting=problem, running=problem, guards={"waiting": problem, "running": problem}, **more
        )
        self.in_error(
            f"rpc error: code = Unavailable desc = no certain answer for 180s (holdFor is 120s): waiting: {problem}"
        )

    def in_error(self, message):
        """KEDA's events, its conditions and the HPA's, when calls fail."""
        self.event("ScaledObject", "llama", "KEDAScalerFailed", message)
        self.set("Ready", "False", "TriggerError", "Triggers defined in ScaledObject are not working correctly")
        self.hpa["status"]["conditions"][1] = condition(
            "ScalingActive",
            "False",
            "FailedGetExternalMetric",
            "the HPA was unable to compute the replica count: unable to get external metric demo/s0-queue-depth",
        )

    def event(self, kind, name, reason, message, seconds_ago=20):
        event = {
            "kind": "Event",
            "metadata": meta(f"{name}.{len(self.objects['events'])}", created=seconds_ago),
            "involvedObject": {"kind": kind, "name": name, "namespace": "demo"},
            "reason": reason,
            "message": message,
            "type": "Warning",
            "lastTimestamp": ago(seconds_ago),
            "count": 7,
        }
        self.objects["events"].append(event)

    def set(self, kind, status, reason, message=""):
        """One condition of the ScaledObject."""
        kept = [one for one in self.scaled["status"]["conditions"] if one["type"] != kind]
        self.scaled["status"]["conditions"] = [*kept, condition(kind, status, reason, message)]

    def picture(self):
        return Picture(
            "demo",
            self.name,
            NOW,
            self.objects,
            self.unread,
            self.decisions,
            self.refused,
            self.warnings,
            reached=self.reached,
            pages=self.pages,
            longest_generation=self.longest,
        )

    def findings(self):
        return examine(self.picture())


def _healthy():
    trigger = {
        "type": "external",
        "metadata": {"scalerAddress": "llm-scaler.keda:6000", "formula": "queue-depth", "model": "llama-3-8b"},
    }
    behavior = {"scaleUp": {"tolerance": "0"}, "scaleDown": {"tolerance": "0"}}
    scaled = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": meta("llama", generation=1, finalizers=["finalizer.keda.sh"]),
        "spec": {
            "scaleTargetRef": {"name": "llama"},
            "minReplicaCount": 0,
            "maxReplicaCount": 10,
            "cooldownPeriod": 300,
            "pollingInterval": 30,
            "fallback": {"failureThreshold": 3, "replicas": 1, "behavior": "currentReplicasIfHigher"},
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior}},
            "triggers": [trigger],
        },
        "status": {
            "conditions": [
                condition(
                    "Ready", "True", "ScaledObjectReady", "ScaledObject is defined correctly and is ready for scaling"
                ),
                condition("Active", "True", "ScalerActive", "Scaling is performed because triggers are active"),
                condition("Fallback", "False", "NoFallbackFound", "No fallbacks are active on this scaled object"),
                condition("Paused", "Unknown"),
            ],
            "externalMetricNames": ["s0-queue-depth"],
            "hpaName": "keda-hpa-llama",
            "lastActiveTime": ago(10),
            "scaleTargetGVKR": {"group": "apps", "kind": "Deployment", "resource": "deployments", "version": "v1"},
        },
    }
    hpa = {
        "kind": "HorizontalPodAutoscaler",
        "metadata": meta(
            "keda-hpa-llama",
            ownerReferences=[
                {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "llama", "controller": True}
            ],
        ),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llama"},
            "minReplicas": 1,
            "maxReplicas": 10,
            "behavior": behavior,
            "metrics": [
                {
                    "type": "External",
                    "external": {
                        "metric": {
                            "name": "s0-queue-depth",
                            "selector": {"matchLabels": {"scaledobject.keda.sh/name": "llama"}},
                        },
                        "target": {"type": "AverageValue", "averageValue": "1"},
                    },
                }
            ],
        },
        "status": {
            "currentReplicas": 3,
            "desiredReplicas": 3,
            "conditions": [
                condition("AbleToScale", "True", "ReadyForNewScale", "recommended size matches current size"),
                condition("ScalingActive", "True", "ValidMetricFound", "the HPA was able to successfully calculate"),
                condition("ScalingLimited", "False", "DesiredWithinRange", "the desired count is within the range"),
            ],
        },
    }
    target = {
        "kind": "Deployment",
        "metadata": meta("llama", labels={"app": "llama"}),
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "llama"}},
            "template": {
                "metadata": {"labels": {"app": "llama"}},
                "spec": {"terminationGracePeriodSeconds": 300, "containers": [container()]},
            },
        },
        "status": {
            "replicas": 3,
            "readyReplicas": 3,
            "conditions": [condition("Available", "True"), condition("Progressing", "True", "NewReplicaSetAvailable")],
        },
    }
    engine = {
        "kind": "Service",
        "metadata": meta("llama", labels={"app": "llama"}),
        "spec": {"selector": {"app": "llama"}, "ports": [{"name": "http", "port": 8000, "targetPort": 8000}]},
    }
    own = {
        "kind": "Service",
        "metadata": meta("llm-scaler", "keda"),
        "spec": {
            "type": "ClusterIP",
            "selector": {"app.kubernetes.io/name": "llm-scaler"},
            "ports": [
                {"name": "grpc", "port": 6000, "targetPort": "grpc"},
                {"name": "http", "port": 8080, "targetPort": "http"},
            ],
        },
    }
    slices = {
        "kind": "EndpointSlice",
        "metadata": meta("llm-scaler-x", "keda", labels={"kubernetes.io/service-name": "llm-scaler"}),
        "endpoints": [
            {"addresses": ["10.0.0.5"], "conditions": {"ready": True}},
            {"addresses": ["10.0.0.6"], "conditions": {"ready": True}},
        ],
    }
    policy = {
        "kind": "NetworkPolicy",
        "metadata": meta("llm-scaler", "keda"),
        "spec": {
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": "llm-scaler"}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {
                    "from": [
                        {
                            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "keda"}},
                            "podSelector": {"matchLabels": {"app": "keda-operator"}},
                        }
                    ],
                    "ports": [{"port": 6000}],
                }
            ],
        },
    }
    prometheus = {
        "kind": "Prometheus",
        "metadata": meta("k8s", "monitoring"),
        "spec": {
            "serviceMonitorSelector": {"matchLabels": {"release": "kube-prometheus-stack"}},
            "podMonitorSelector": {"matchLabels": {"release": "kube-prometheus-stack"}},
        },
    }
    monitor = {
        "kind": "ServiceMonitor",
        "metadata": meta("llama", labels={"release": "kube-prometheus-stack"}),
        "spec": {"selector": {"matchLabels": {"app": "llama"}}, "endpoints": [{"port": "http"}]},
    }
    apiservice = {
        "kind": "APIService",
        "metadata": {"name": "v1beta1.external.metrics.k8s.io", "creationTimestamp": ago(90000)},
        "spec": {
            "group": "external.metrics.k8s.io",
            "service": {"name": "keda-operator-metrics-apiserver", "namespace": "keda", "port": 443},
        },
        "status": {"conditions": [condition("Available", "True", "Passed", "all checks passed")]},
    }
    operator_pod = {"kind": "Pod", "metadata": meta("keda-operator-1", "keda", labels={"app": "keda-operator"})}
    return {
        "scaledobjects": [scaled],
        "horizontalpodautoscalers": [hpa],
        "scaletarget": [target],
        "targetpods": [pod("llama-5d8f-a"), pod("llama-5d8f-b"), pod("llama-5d8f-c")],
        "kedadeployments": [
            deployment(
                "keda-operator", "keda", "ghcr.io/kedacore/keda:2.21.0", env=[{"name": "WATCH_NAMESPACE", "value": ""}]
            ),
            deployment("keda-operator-metrics-apiserver", "keda", "ghcr.io/kedacore/keda-metrics-apiserver:2.21.0"),
        ],
        "kedapods": [operator_pod],
        "apiservices": [apiservice],
        "services": [engine, own],
        "endpointslices": [slices],
        "networkpolicies": [policy],
        "namespaces": [
            {"kind": "Namespace", "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}}}
            for name in ("demo", "keda", "monitoring")
        ],
        "triggerauthentications": [],
        "clustertriggerauthentications": [],
        "secrets": [],
        "events": [],
        "resourcequotas": [],
        "poddisruptionbudgets": [],
        "prometheuses": [prometheus],
        "servicemonitors": [monitor],
        "podmonitors": [],
        "kedalog": [],
    }
