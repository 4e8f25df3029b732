"""Injected misconfigurations and healthy set-ups: the culprit is named first, and nothing is said of what is sound."""

import json
from pathlib import Path

import pytest
from wiring.setups import KPA, PAGE, Setup, ago, condition, decisions, meta, pod

from scaler.model.behavior import SCALE_DOWN, SCALE_UP, Behavior, RatePolicy, Rules
from scaler.model.measurement import Reading, TargetStatus
from scaler.model.objects import HpaStatus, ScaledResource
from scaler.wiring.picture import Picture
from scaler.wiring.rules import RULES, examine

SPOILT = {}  # what was done -> (the rule that has to come first, how)
SOUND = {}


def spoilt(rule):
    def keep(function):
        SPOILT[function.__name__.strip("_").replace("_", " ")] = (rule, function)
        return function

    return keep


def sound(function):
    SOUND[function.__name__.strip("_").replace("_", " ")] = function
    return function


@pytest.mark.parametrize("name", SPOILT)
def test_the_culprit_is_named_first(name):
    rule, spoil = SPOILT[name]
    setup = Setup()
    spoil(setup)
    found = setup.findings()
    assert found, name
    assert found[0].rule == rule, [(one.rule, one.what, one.evidence) for one in found]
    assert all(one.what and one.evidence and one.repair for one in found)


@pytest.mark.parametrize("name", SOUND)
def test_nothing_is_said_of_what_is_sound(name):
    setup = Setup()
    SOUND[name](setup)
    assert setup.findings() == []


def test_the_corpus_is_as_large_as_it_is_said_to_be():
    assert len(SPOILT) >= 40
    assert len(SOUND) >= 20


# ---- KEDA ------------------------------------------------------------------------------------------------------------


@spoilt("keda-missing")
def keda_is_not_installed(s):
    s.objects = {}
    s.unread["scaledobjects"] = "404: the server could not find the requested resource"
    s.decisions, s.refused = [], "no decision for demo/llama; there are: none yet"


@spoilt("no-scaled-object")
def the_name_is_mistyped(s):
    s.name = "lama"
    s.decisions, s.refused = [], "no decision for demo/lama"


@spoilt("not-ours")
def its_trigger_is_prometheus_own(s):
    s.spec["triggers"] = [{"type": "prometheus", "metadata": {"query": "sum(x)", "threshold": "5"}}]
    s.decisions, s.refused = [], "no decision for demo/llama; there are: none yet"


@spoilt("paused")
def it_was_paused_and_forgotten(s):
    s.scaled["metadata"]["annotations"] = {"autoscaling.keda.sh/paused": "true"}
    s.set("Paused", "True", "ScaledObjectPaused", "ScaledObject is paused")
    s.objects["horizontalpodautoscalers"] = []


@spoilt("paused")
def only_its_shrinking_is_paused(s):
    s.scaled["metadata"]["annotations"] = {"autoscaling.keda.sh/paused-scale-in": "true"}


@spoilt("keda-operator")
def the_operator_crashes(s):
    s.operator["status"].pop("readyReplicas")
    s.event("ScaledObject", "llama", "KEDAScalerFailed", "got empty metric spec", 2000)


@spoilt("keda-version")
def keda_is_of_2022(s):
    s.operator["spec"]["template"]["spec"]["containers"][0]["image"] = "ghcr.io/kedacore/keda:2.9.3"


@spoilt("keda-namespaces")
def keda_watches_another_namespace(s):
    s.operator["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] = "team-a,team-b"
    s.scaled["status"] = {}
    s.objects["horizontalpodautoscalers"] = []


@spoilt("keda-not-seen")
def nobody_reconciles_it(s):
    s.scaled["status"] = {}
    s.objects["horizontalpodautoscalers"] = []
    s.objects["kedadeployments"] = []


@spoilt("keda-adapter")
def the_adapter_is_down(s):
    s.objects["kedadeployments"][1]["status"].pop("readyReplicas")
    s.objects["apiservices"][0]["status"]["conditions"] = [
        condition(
            "Available",
            "False",
            "MissingEndpoints",
            "endpoints for service/keda-operator-metrics-apiserver have no addresses",
        )
    ]
    _hpa_fails(s)


@spoilt("metrics-api")
def another_adapter_took_the_metrics_api(s):
    s.objects["apiservices"][0]["spec"]["service"] = {"name": "prometheus-adapter", "namespace": "monitoring"}
    _hpa_fails(s)


@spoilt("metrics-api")
def the_metrics_api_is_not_registered(s):
    s.objects["apiservices"] = []
    _hpa_fails(s)


def _hpa_fails(s):
    s.hpa["status"]["conditions"][1] = condition(
        "ScalingActive", "False", "FailedGetExternalMetric", "unable to fetch metrics from external metrics API"
    )


# ---- the ScaledObject ------------------------------------------------------------------------------------------------


@spoilt("target-missing")
def the_target_is_mistyped(s):
    s.spec["scaleTargetRef"]["name"] = "llama-8b"
    s.set("Ready", "False", "ScaledObjectCheckFailed", "ScaledObject doesn't have correct scaleTargetRef specification")
    s.objects["horizontalpodautoscalers"] = []
    s.objects["targetpods"] = []


@spoilt("target-missing")
def the_kind_is_unknown(s):
    s.spec["scaleTargetRef"] = {"apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet", "name": "llama"}
    del s.objects["scaletarget"]
    s.unread["scaletarget"] = "404: the server could not find the requested resource"
    s.set("Ready", "False", "ScaledObjectCheckFailed", "no matches for kind LeaderWorkerSet")
    s.objects["horizontalpodautoscalers"] = []
    s.objects["targetpods"] = []


@spoilt("target-without-scale")
def the_target_has_no_scale(s):
    s.spec["scaleTargetRef"]["kind"] = "DaemonSet"
    s.unread["scale"] = "404: the server could not find the requested resource"
    s.set("Ready", "False", "ScaledObjectCheckFailed", "no scale")
    s.objects["horizontalpodautoscalers"] = []


@spoilt("two-owners")
def an_hpa_was_there_before(s):
    s.objects["horizontalpodautoscalers"].append(
        {
            "kind": "HorizontalPodAutoscaler",
            "metadata": meta("llama"),
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llama"},
                "maxReplicas": 3,
            },
        }
    )
    s.hpa["status"]["conditions"][1] = condition("ScalingActive", "False", "AmbiguousSelector", "multiple HPAs")


@spoilt("two-owners")
def a_second_scaledobject_scales_the_same(s):
    other = {**s.scaled, "metadata": meta("llama-cpu")}
    s.objects["scaledobjects"].append(other)


@spoilt("bounds")
def the_maximum_equals_the_minimum(s):
    s.spec["minReplicaCount"] = s.spec["maxReplicaCount"] = 3


@spoilt("bounds")
def the_idle_count_is_not_below_the_minimum(s):
    s.spec["idleReplicaCount"] = 2
    s.spec["minReplicaCount"] = 2
    s.set("Ready", "False", "ScaledObjectCheckFailed", "IdleReplicaCount=2 must be less than MinReplicaCount=2")


@spoilt("fallback")
def an_outage_takes_it_to_one(s):
    s.spec["fallback"] = {"failureThreshold": 3, "replicas": 1}


@spoilt("fallback")
def no_fallback(s):
    del s.spec["fallback"]


@spoilt("scaling-modifiers")
def scaling_modifiers_halve_our_answer(s):
    s.spec["advanced"]["scalingModifiers"] = {"formula": "ours / 2", "target": "1"}


@spoilt("cached-metrics")
def cached_metrics(s):
    s.trigger["useCachedMetrics"] = True


@spoilt("slow-wake")
def polled_every_five_minutes(s):
    s.spec["pollingInterval"] = 300


# ---- the way to llm-scaler -------------------------------------------------------------------------------------------

EMPTY = "got empty metric spec"


@spoilt("address")
def the_address_is_a_url(s):
    s.metadata["scalerAddress"] = "http://llm-scaler.keda:6000"
    s.reached = None
    s.in_error(EMPTY)
    s.decisions, s.refused = [], "no decision for demo/llama; there are: none yet"


@spoilt("address")
def the_address_has_no_port(s):
    s.metadata["scalerAddress"] = "llm-scaler.keda"
    s.reached = None
    s.in_error(EMPTY)


@spoilt("service-missing")
def the_service_is_in_another_namespace(s):
    s.metadata["scalerAddress"] = "llm-scaler.default:6000"
    s.reached = None
    s.in_error(EMPTY)
    s.decisions, s.refused = [], "no decision for demo/llama; there are: none yet"


@spoilt("port")
def the_port_is_the_admin_port(s):
    s.metadata["scalerAddress"] = "llm-scaler.keda:8080"
    s.reached = "GetMetricSpec at llm-scaler.keda:8080: UNAVAILABLE: Trying to connect an http1.x server"
    s.in_error(EMPTY)


@spoilt("port")
def the_port_is_no_port_of_the_service(s):
    s.metadata["scalerAddress"] = "llm-scaler.keda:50051"
    s.reached = None
    s.in_error(EMPTY)


@spoilt("no-endpoints")
def llm_scaler_is_not_ready(s):
    for endpoint in s.objects["endpointslices"][0]["endpoints"]:
        endpoint["conditions"]["ready"] = False
    s.in_error(EMPTY)
    s.decisions, s.reached = None, None


@spoilt("no-endpoints")
def the_service_selects_nothing(s):
    s.objects["endpointslices"] = []
    s.in_error(EMPTY)
    s.decisions, s.reached = None, None


@spoilt("network-policy")
def keda_runs_in_a_namespace_that_the_policy_does_not_know(s):
    rule = s.objects["networkpolicies"][0]["spec"]["ingress"][0]["from"][0]
    rule["namespaceSelector"] = {"matchLabels": {"kubernetes.io/metadata.name": "keda-system"}}
    s.reached = None
    s.in_error(EMPTY)


@spoilt("network-policy")
def everything_is_denied(s):
    s.objects["networkpolicies"][0]["spec"] = {"podSelector": {}, "policyTypes": ["Ingress"]}
    s.reached = None
    s.in_error(EMPTY)


@spoilt("authentication")
def the_triggerauthentication_is_not_there(s):
    s.trigger["authenticationRef"] = {"name": "llm-scalar", "kind": "ClusterTriggerAuthentication"}
    s.objects["clustertriggerauthentications"] = [_authentication()]
    s.reached = None
    s.set("Ready", "False", "ScaledObjectCheckFailed", "error getting scaler")


@spoilt("authentication")
def its_secret_has_another_key(s):
    s.trigger["authenticationRef"] = {"name": "llm-scaler", "kind": "ClusterTriggerAuthentication"}
    s.objects["clustertriggerauthentications"] = [_authentication()]
    s.objects["secrets"] = [{"metadata": meta("llm-scaler-client", "keda"), "data": {"ca.pem": "", "tls.crt": ""}}]
    s.reached = None
    s.in_error(EMPTY)


def _authentication():
    ref = {"parameter": "caCert", "name": "llm-scaler-client", "key": "ca.crt"}
    return {
        "kind": "ClusterTriggerAuthentication",
        "metadata": {"name": "llm-scaler"},
        "spec": {"secretTargetRef": [ref]},
    }


@spoilt("tls")
def llm_scaler_has_tls_and_the_trigger_has_none(s):
    s.reached = None
    s.in_error(EMPTY)
    s.objects["kedalog"] = [
        {
            "metadata": {"namespace": "demo"},
            "message": 'ERROR external_scaler error calling GetMetricSpec {"scaledObject.Name":"llama", "error": "rpc error: '
            'code = Unavailable desc = connection error: desc = \\"error reading server preface: EOF\\""}',
        }
    ]


@spoilt("tls")
def the_trigger_has_tls_and_llm_scaler_has_none(s):
    s.metadata["enableTLS"] = "true"
    s.reached = None
    s.in_error(EMPTY)
    s.objects["kedalog"] = [
        {
            "metadata": {"namespace": "demo"},
            "message": "transport: tls: first record does not look like a TLS handshake",
        }
    ]


@spoilt("tls")
def the_certificate_has_expired(s):
    s.reached = "GetMetricSpec at llm-scaler.keda:6000: UNAVAILABLE: certificate has expired"
    s.in_error(EMPTY)


@spoilt("unreachable")
def nobody_listens_at_an_address_outside(s):
    s.metadata["scalerAddress"] = "10.1.2.3:6000"
    s.reached = "GetMetricSpec at 10.1.2.3:6000: UNAVAILABLE: failed to connect: Connection refused"
    s.in_error(EMPTY)
    s.decisions, s.refused = None, ""


@spoilt("unreachable")
def only_keda_knows_that_it_fails(s):
    s.reached, s.decisions = None, None
    s.in_error(EMPTY)
    s.unread["services"] = "403: services is forbidden"
    del s.objects["services"]


# ---- the trigger -----------------------------------------------------------------------------------------------------


def _refuse(s, message, code="InvalidArgument"):
    s.decisions, s.refused = [], f"demo/llama was refused: {message}"
    s.in_error(f"rpc error: code = {code} desc = {message}")


@spoilt("refused")
def a_key_is_mistyped(s):
    s.metadata["modle"] = s.metadata.pop("model")
    _refuse(s, "trigger: modle: is not known, did you mean 'model'?; allowed: activation, model, ...")


@spoilt("refused")
def the_formula_is_mistyped(s):
    s.metadata["formula"] = "queue-dept"
    _refuse(s, "no formula 'queue-dept', did you mean 'queue-depth'?; there are: kv-cache, queue-depth", "NotFound")


@spoilt("refused")
def only_keda_s_event_tells_of_the_refusal(s):
    s.decisions = None
    s.in_error("rpc error: code = InvalidArgument desc = trigger: target: 'eight' is not a number")


@spoilt("formula-file")
def the_formula_file_is_broken(s):
    s.warnings = ["[!] formula file queue-depth.yaml: queue-depth.yaml: formula: waitin is not known"]
    _refuse(s, "formula 'queue-depth' could not be read: queue-depth.yaml: formula: waitin is not known", "NotFound")


@spoilt("metric-type")
def the_hpa_multiplies(s):
    s.trigger["metricType"] = "Value"
    _refuse(s, "trigger: metricType: is not AverageValue, so the HPA would multiply the replicas")


@spoilt("same-trigger")
def two_triggers_are_the_same(s):
    s.spec["triggers"].append(dict(s.trigger))


@spoilt("not-asked")
def another_llm_scaler_is_asked(s):
    s.metadata["scalerAddress"] = "other-scaler.keda:6000"
    s.objects["services"][1]["metadata"]["name"] = "other-scaler"
    s.objects["endpointslices"][0]["metadata"]["labels"] = {"kubernetes.io/service-name": "other-scaler"}
    s.decisions, s.refused = (
        [],
        "no decision for demo/llama; there are: none yet; a workload is known from KEDA's first call on",
    )


# ---- what is measured ------------------------------------------------------------------------------------------------


@spoilt("endpoint")
def prometheus_is_not_there(s):
    s.without_metrics("endpoint `default` (http://prometheus:9090) cannot be reached: Name or service not known")


@spoilt("endpoint")
def prometheus_wants_a_token(s):
    s.without_metrics("endpoint `default` (http://prometheus:9090) answers 401: it wants credentials")


@spoilt("engine")
def the_pods_run_another_engine(s):
    s.pages = {
        "llama-5d8f-a": PAGE.replace("vllm:num_requests", "sglang:num_queue_reqs")
        .replace("_running", "")
        .replace("_waiting", "")
    }
    s.without_metrics(None)


@spoilt("engine")
def the_engine_s_metrics_are_off(s):
    s.pages = {"llama-5d8f-a": "# TYPE my_app_requests counter\nmy_app_requests 1\n"}
    s.without_metrics(None)


@spoilt("model")
def the_model_is_mistyped(s):
    s.metadata["model"] = "llama-3-8B"
    s.without_metrics(None)


@spoilt("not-scraped")
def nobody_scrapes_the_pods(s):
    s.objects["servicemonitors"] = []
    s.without_metrics(None)


@spoilt("not-scraped")
def the_monitor_selects_other_labels(s):
    s.objects["servicemonitors"][0]["spec"]["selector"] = {"matchLabels": {"app.kubernetes.io/name": "llama"}}
    s.without_metrics(None)


@spoilt("not-scraped")
def the_monitor_is_for_another_namespace(s):
    s.objects["servicemonitors"][0]["metadata"]["namespace"] = "monitoring"
    s.without_metrics(None)


@spoilt("monitor-port")
def the_monitor_names_another_port(s):
    s.objects["servicemonitors"][0]["spec"]["endpoints"] = [{"port": "metrics"}]
    s.without_metrics(None)


@spoilt("monitor-not-selected")
def the_monitor_lacks_the_release_label(s):
    s.objects["servicemonitors"][0]["metadata"]["labels"] = {"team": "demo"}
    s.without_metrics(None)


@spoilt("no-series")
def a_label_differs_from_what_is_asked_for(s):
    s.pages = {}
    s.without_metrics(None)


@spoilt("not-all-pods")
def one_pod_is_not_scraped(s):
    s.decisions = decisions(running=Reading(16, 10_000, answered=2, expected=3, age=4.0))


@spoilt("cannot-wake")
def it_sleeps_and_nothing_can_wake_it(s):
    s.target["spec"]["replicas"] = 0
    s.objects["targetpods"], s.pages = [], {}
    text = "name: queue-depth\nmetrics: {running: {signal: running}}\nformula: running\ntarget: 8\n"
    zero = TargetStatus(0, 0, 0, 0, 10, "Kubernetes")
    s.decisions = decisions(text, running=0, replicas=zero, guards={}, waiting=0, queued=0)


# ---- KEDA and the HPA ------------------------------------------------------------------------------------------------


@spoilt("hpa-missing")
def there_is_no_hpa(s):
    s.objects["horizontalpodautoscalers"] = []


@spoilt("hpa-metric")
def the_hpa_is_of_a_time_without_llm_scaler(s):
    s.hpa["spec"]["metrics"] = [{"type": "Resource", "resource": {"name": "cpu"}}]


@spoilt("fallback-in-force")
def keda_falls_back(s):
    s.set("Fallback", "True", "FallbackExists", "At least one trigger is falling back on this scaled object")


@spoilt("behavior-forbids")
def growing_is_switched_off(s):
    s.behavior["scaleUp"] = {"selectPolicy": "Disabled"}


@spoilt("at-maximum")
def the_load_is_above_the_maximum(s):
    s.decisions = decisions(running=Reading(120, 10_000, answered=3, expected=3, age=4.0))


@spoilt("tolerance")
def the_hpa_swallows_a_step(s):
    s.spec["maxReplicaCount"] = 20
    s.hpa["spec"]["behavior"] = {}
    s.hpa["status"]["currentReplicas"] = 10
    s.decisions = decisions(
        running=Reading(88, 10_000), waiting=0, replicas=TargetStatus(10, 10, 0, 0, 20, "Kubernetes")
    )


@spoilt("policy-waits-twice")
def the_hpa_waits_after_a_policy(s):
    s.decisions = decisions(KPA, scaled=_known_with(Behavior(SCALE_UP, SCALE_DOWN)))


def _known_with(behavior):
    """What llm-scaler knows of the ScaledObject: an HPA with this behavior."""
    hpa = HpaStatus("keda-hpa-llama", 3, 3, 1, 10, (), behavior)
    return ScaledResource("ScaledObject", "demo", "llama", "u", 1, ((),), (), "Deployment llama", 0, 10, hpa=hpa)


@spoilt("slow-growth")
def one_replica_in_five_minutes(s):
    s.behavior["scaleUp"] = {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 300}]}


@spoilt("flaps")
def nothing_slows_a_scale_down(s):
    s.metadata["scaleDown"] = "off"
    s.behavior["scaleDown"] = {"stabilizationWindowSeconds": 0}


@spoilt("cooldown")
def the_cooldown_is_shorter_than_a_start(s):
    s.spec["cooldownPeriod"] = 60


# ---- pods ------------------------------------------------------------------------------------------------------------


@spoilt("cannot-be-created")
def a_quota_is_used_up(s):
    s.target["spec"]["replicas"] = 5
    message = (
        'Error creating: pods "llama-5d8f-x" is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=1'
    )
    s.event("ReplicaSet", "llama-5d8f", "FailedCreate", message)
    s.decisions = decisions(running=Reading(40, 10_000))


@spoilt("unschedulable")
def no_gpu_is_free(s):
    for name in ("d", "e"):
        waits = condition(
            "PodScheduled", "False", "Unschedulable", "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
        )
        s.pods.append(pod(f"llama-5d8f-{name}", ready=False, node=None, created=600, phase="Pending", scheduled=waits))
    s.target["spec"]["replicas"] = 5
    s.decisions = decisions(running=Reading(40, 10_000))


@spoilt("broken-pods")
def the_image_cannot_be_pulled(s):
    for one in s.pods:
        one["status"]["containerStatuses"][0]["state"] = {
            "waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}
        }
        one["status"]["conditions"][1] = condition("Ready", "False")
    s.pages = {}
    s.without_metrics(None)


@spoilt("broken-pods")
def the_engine_runs_out_of_memory(s):
    state = s.pods[0]["status"]["containerStatuses"][0]
    state["state"] = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container"}}
    state["lastState"] = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}


@spoilt("grace-period")
def generations_are_cut_off(s):
    s.longest = 600.0


@spoilt("disruption-budget")
def a_budget_never_lets_a_pod_go(s):
    s.objects["poddisruptionbudgets"] = [
        {"metadata": meta("llama"), "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "llama"}}}}
    ]


@spoilt("rights")
def llm_scaler_may_not_read_pods(s):
    s.decisions[0]["unknown"] = {
        "pods": "403: pods is forbidden: User system:serviceaccount:keda:llm-scaler cannot list"
    }


@spoilt("stale-formula")
def the_formula_was_edited_and_does_not_fit(s):
    s.decisions[0]["notice"] = "formula queue-depth was edited: parameter model is gone"


@spoilt("hpa-conditions")
def the_hpa_may_not_read_the_target(s):
    s.hpa["status"]["conditions"][0] = condition(
        "AbleToScale", "False", "FailedGetScale", "deployments.apps is forbidden"
    )


@spoilt("quota")
def a_quota_that_no_event_tells_of(s):
    hard, used = {"requests.nvidia.com/gpu": "3"}, {"requests.nvidia.com/gpu": "3"}
    s.objects["resourcequotas"] = [{"metadata": meta("gpus"), "status": {"hard": hard, "used": used}}]
    s.decisions = decisions(running=Reading(40, 10_000), waiting=0)


@spoilt("quota")
def a_quota_that_will_hold_it_one_day(s):
    hard, used = {"requests.nvidia.com/gpu": "4", "pods": "50"}, {"requests.nvidia.com/gpu": "3", "pods": "9"}
    s.objects["resourcequotas"] = [{"metadata": meta("gpus"), "status": {"hard": hard, "used": used}}]


@spoilt("flaps")
def the_settings_let_every_answer_fall_at_once(s):
    s.behavior["scaleDown"] = {"stabilizationWindowSeconds": 0}
    for decision in s.decisions:
        decision["scaleDown"] = None


@spoilt("held")
def prometheus_was_installed_a_minute_ago(s):
    s.decisions = decisions(
        queued="no series, and absence is not zero while the endpoint `default` holds no data older than 2m yet"
    )
    young = "the endpoint `default` holds no data older than 2m yet"
    problems = [f"waiting, running: {young}", f"queued: no series, and absence is not zero while {young}"]
    s.decisions[0] |= {"certainty": "held", "problems": problems}


@spoilt("held")
def its_past_is_not_known_yet(s):
    s.decisions = decisions()
    s.decisions[0] |= {"certainty": "held", "problems": ["Kubernetes was last heard 60s ago"]}


@spoilt("not-ready")
def keda_is_not_content_for_a_reason_of_its_own(s):
    s.set("Ready", "False", "ScaledObjectCheckFailed", "ScaledObject doesn't have correct triggers specification")


@spoilt("stalled")
def a_load_stands_still(s):
    s.decisions[0]["stalled"] = "running has been 24 for 10m, and no token was counted"


@spoilt("rollout")
def a_rollout_hangs(s):
    s.target["status"]["conditions"][1] = condition("Progressing", "False", "ProgressDeadlineExceeded", "timed out")


# ---- sound ones ------------------------------------------------------------------------------------------------------


@sound
def as_it_should_be(s):
    pass


@sound
def asleep_at_zero(s):
    zero = TargetStatus(0, 0, 0, 0, 10, "Kubernetes")
    s.decisions = decisions(
        waiting=None, running=None, queued=0, replicas=zero, guards={"waiting": None, "running": None}
    )
    s.target["spec"]["replicas"] = 0
    s.objects["targetpods"], s.pages = [], {}
    s.hpa["status"] = {
        "currentReplicas": 0,
        "desiredReplicas": 0,
        "conditions": [
            condition("AbleToScale", "True", "SucceededGetScale"),
            condition(
                "ScalingActive",
                "False",
                "ScalingDisabled",
                "scaling is disabled since the replica count of the target is zero",
            ),
        ],
    }
    s.set("Active", "False", "ScalerNotActive", "Scaling is not performed because triggers are not active")


@sound
def made_a_moment_ago(s):
    s.scaled["metadata"]["creationTimestamp"] = ago(5)
    s.scaled["status"] = {}
    s.objects["horizontalpodautoscalers"] = []


@sound
def the_metrics_api_is_not_allowed_to_be_read(s):
    for plural in ("apiservices", "kedadeployments", "kedapods", "namespaces", "secrets", "networkpolicies"):
        del s.objects[plural]
        s.unread[plural] = f"403: {plural} is forbidden"


@sound
def without_the_prometheus_operator(s):
    for plural in ("servicemonitors", "podmonitors", "prometheuses"):
        del s.objects[plural]
        s.unread[plural] = "404: the server could not find the requested resource"


@sound
def scraped_by_a_podmonitor(s):
    s.objects["servicemonitors"] = []
    s.objects["podmonitors"] = [
        {
            "kind": "PodMonitor",
            "metadata": meta("llama", labels={"release": "kube-prometheus-stack"}),
            "spec": {"selector": {"matchLabels": {"app": "llama"}}, "podMetricsEndpoints": [{"port": "http"}]},
        }
    ]


@sound
def measured_on_pages_alone(s):
    s.metadata["endpoint"] = "pods"
    s.objects["servicemonitors"] = []


@sound
def with_mutual_tls(s):
    s.trigger["authenticationRef"] = {"name": "llm-scaler", "kind": "ClusterTriggerAuthentication"}
    s.objects["clustertriggerauthentications"] = [_authentication()]
    s.objects["secrets"] = [
        {"metadata": meta("llm-scaler-client", "keda"), "data": {"ca.crt": "", "tls.crt": "", "tls.key": ""}}
    ]
    s.reached = None


@sound
def an_outage_that_is_over(s):
    s.event("ScaledObject", "llama", "KEDAScalerFailed", "rpc error: code = Unavailable desc = no certain answer", 400)
    s.event("ScaledObject", "llama", "KEDAScalerFailed", EMPTY, 600)


@sound
def a_refusal_that_is_mended(s):
    s.event(
        "ScaledObject",
        "llama",
        "KEDAScalerFailed",
        "rpc error: code = InvalidArgument desc = trigger: modle: is not known",
        120,
    )


@sound
def woken_by_pushes_and_polled_rarely(s):
    s.trigger["type"] = "external-push"
    s.spec["pollingInterval"] = 300


@sound
def never_at_zero(s):
    s.spec["minReplicaCount"] = 2
    s.spec["cooldownPeriod"] = 30


@sound
def idle_at_zero_with_a_minimum(s):
    s.spec["minReplicaCount"], s.spec["idleReplicaCount"] = 2, 0


@sound
def a_policy_whose_hpa_stands_aside(s):
    aside = {
        "stabilizationWindowSeconds": 0,
        "tolerance": "0",
        "policies": [{"type": "Pods", "value": 1000, "periodSeconds": 15}],
    }
    s.behavior["scaleUp"] = s.behavior["scaleDown"] = aside
    wide = Rules((RatePolicy("Pods", 1000, 15.0), RatePolicy("Percent", 100, 15.0)), window=0.0, tolerance=0.0)
    s.decisions = decisions(KPA, scaled=_known_with(Behavior(wide, wide)))


@sound
def beside_a_cpu_trigger_of_its_own(s):
    s.spec["triggers"].append({"type": "cpu", "metricType": "Utilization", "metadata": {"value": "80"}})
    s.hpa["spec"]["metrics"].append({"type": "Resource", "resource": {"name": "cpu"}})


@sound
def two_variants_that_differ_in_a_key(s):
    s.spec["triggers"].append({**s.trigger, "metadata": {**s.metadata, "model": "llama-3-8b-long"}})


@sound
def others_in_the_same_namespace(s):
    other = {**s.scaled, "metadata": meta("mistral"), "spec": {**s.spec, "scaleTargetRef": {"name": "mistral"}}}
    s.objects["scaledobjects"].append(other)
    s.objects["horizontalpodautoscalers"].append(
        {
            "kind": "HorizontalPodAutoscaler",
            "metadata": meta("web"),
            "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}},
        }
    )
    s.event("ReplicaSet", "web-1234", "FailedCreate", "exceeded quota: cpu")


@sound
def a_replica_that_loads(s):
    s.pods.append(pod("llama-5d8f-d", ready=False, created=90))
    s.target["spec"]["replicas"] = 4
    s.decisions = decisions(
        replicas=TargetStatus(4, 3, 1, 0, 10, "Kubernetes"), running=Reading(30, 10_000, answered=3, expected=3)
    )


@sound
def a_pod_that_has_just_been_ordered(s):
    waits = condition(
        "PodScheduled", "False", "Unschedulable", "0/3 nodes are available: Insufficient nvidia.com/gpu.", since=10
    )
    s.pods.append(pod("llama-5d8f-d", ready=False, node=None, created=10, phase="Pending", scheduled=waits))
    s.target["spec"]["replicas"] = 4


@sound
def a_quota_with_room(s):
    hard, used = {"requests.nvidia.com/gpu": "12", "pods": "50"}, {"requests.nvidia.com/gpu": "3", "pods": "9"}
    s.objects["resourcequotas"] = [{"metadata": meta("gpus"), "status": {"hard": hard, "used": used}}]


@sound
def a_neighbour_of_a_longer_name_whose_pods_are_refused(s):
    s.target["spec"]["replicas"] = 5
    s.event("ReplicaSet", "llama-cpu-5d8f", "FailedCreate", "exceeded quota: cpu")


@sound
def a_budget_that_lets_one_go(s):
    s.objects["poddisruptionbudgets"] = [
        {"metadata": meta("llama"), "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "llama"}}}}
    ]


@sound
def with_a_grace_period_that_is_long_enough(s):
    s.longest = 240.0


@sound
def no_networkpolicy_at_all(s):
    s.objects["networkpolicies"] = []


@sound
def one_that_is_being_lowered_step_by_step(s):
    s.hpa["status"]["currentReplicas"] = 8
    s.target["spec"]["replicas"] = 8


@sound
def an_admin_port_that_nobody_may_ask(s):
    s.decisions = None
    s.reached = None


@pytest.mark.parametrize("name", [*SPOILT, *SOUND])
def test_what_may_not_be_read_is_not_taken_for_absent(name):
    """Of whatever kind the API server shows nothing, that adds no finding."""
    setup = Setup()
    (SOUND.get(name) or SPOILT[name][1])(setup)
    known = {one.rule for one in setup.findings()}
    for plural in list(setup.objects):
        kept = setup.objects.pop(plural)
        setup.unread[plural] = f"403: {plural} is forbidden"
        assert {one.rule for one in setup.findings()} <= known, plural
        setup.objects[plural] = kept
        del setup.unread[plural]


def test_the_page_lists_every_finding_in_the_order_of_cause():
    page = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text()
    rows = [f"| `{name}` | {(rule.__doc__ or '').splitlines()[0]} |" for name, rule in RULES.items()]
    assert "\n".join(rows) in page


def test_every_finding_is_in_the_corpus():
    assert {rule for rule, _ in SPOILT.values()} == set(RULES)


# ---- recorded in the laboratory: tests/laboratory/test_doctor.py with RECORD=1 ------------------------------------------

RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.json"))


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.stem)
def test_what_was_seen_on_a_real_cluster(file):
    kept = json.loads(file.read_text())
    found = [finding.rule for finding in examine(Picture(**kept["picture"]))]
    assert found[:1] == ([kept["expected"]] if kept["expected"] else [])
