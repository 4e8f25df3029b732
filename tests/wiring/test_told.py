"""What `doctor` says, word by word: of every set-up of the corpus, and of set-ups at the edge of a rule.

The words are kept in told.txt; `RECORD=1 pytest tests/wiring/test_told.py` writes it anew, to be read before it is kept.
"""

from pathlib import Path

import pytest
from support.told import kept
from wiring.setups import Setup, ago, condition, decisions, meta
from wiring.test_corpus import EMPTY, SPOILT

from scaler.model.measurement import Reading, TargetStatus
from scaler.wiring.picture import Picture
from scaler.wiring.report import as_text, not_looked_at
from scaler.wiring.scaled_object import Wanted, written
from scaler.wiring.targets import kind_of

TOLD = Path(__file__).with_name("told.txt")
EDGES = {}  # what is at the edge -> (the rule that has to come first, or None where all is sound, how)


def edge(rule):
    def keep(function):
        EDGES[function.__name__.replace("_", " ")] = (rule, function)
        return function

    return keep


def examined(change):
    setup = Setup()
    change(setup)
    return setup.findings()


def in_words(name, findings):
    """The culprit whole, and of what follows from it the rules alone."""
    if not findings:
        return f"{name}\n    nothing\n"
    first, *others = findings
    lines = [f"{first.severity} {first.rule}: {first.what}", f"  because {first.evidence}", f"  repair  {first.repair}"]
    if others:
        lines.append(f"  and then {', '.join(one.rule for one in others)}")
    return "\n".join([name, *(f"    {line}" for line in lines)]) + "\n"


def all_in_words():
    setups = {name: change for name, (_, change) in (SPOILT | EDGES).items()}
    found = [in_words(name, examined(change)) for name, change in setups.items()]
    return "\n".join([*found, *(f"{name}\n\n{written(wanted)}" for name, wanted in WANTED.items())])


WANTED = {  # what `scaledobject` writes
    "a deployment that may sleep": Wanted(
        kind_of("deployment"), "llama", "demo", {"formula": "queue-depth", "model": "llama-3-8b", "note": 'größer "x"'},
        minimum=0, startup=301.0, why={"model": "as its arguments say"},
    ),
    "a statefulset with a policy, polled, by TLS": Wanted(
        kind_of("sts"), "llama", "demo", {"formula": "kpa"}, minimum=2, maximum=4000, push=False, with_policy=True,
        authentication="llm-scaler",
    ),
    "one that sleeps and is polled": Wanted(kind_of("lws"), "llama", "demo", {"expression": "queued"}, minimum=0, push=False),
    "one that is polled and never sleeps": Wanted(kind_of("deploy"), "llama", "demo", {"expression": "running"}, push=False),
    "an inference service that may sleep": Wanted(
        kind_of("llmisvc"), "llama", "demo", {"formula": "queue-depth"}, minimum=0, role="prefill", startup=30.0
    ),
    "an inference service that is always there": Wanted(kind_of("llmisvc"), "llama", "demo", {"formula": "queue-depth"}, minimum=3),
}  # fmt: skip


def test_what_is_told_is_what_was_read_and_kept():
    told = all_in_words()
    assert told == kept(told, TOLD)


def test_a_finding_is_at_its_edge_and_not_before_it():
    found = {name: next(iter(examined(change)), None) for name, (_, change) in EDGES.items()}
    assert {name: one.rule if one else None for name, one in found.items()} == {
        name: rule for name, (rule, _) in EDGES.items()
    }


def test_a_person_reads_what_is_wrong_then_why_then_the_repair_and_what_was_not_looked_at():
    setup = Setup()
    setup.spec["maxReplicaCount"], setup.decisions = 0, None
    del setup.spec["fallback"]
    setup.objects.pop("events")
    setup.unread["events"] = "403: events is forbidden"
    assert as_text(setup.picture(), setup.findings()) == (
        "demo/llama  does not scale as it should: maxReplicaCount is below minReplicaCount: KEDA refuses it\n"
        "\n"
        "  error    maxReplicaCount is below minReplicaCount: KEDA refuses it  [bounds]\n"
        "           because  minReplicaCount 0, maxReplicaCount 0\n"
        "           repair   kubectl -n demo patch scaledobject llama --type merge -p "
        '\'{"spec":{"maxReplicaCount":2}}\'\n'
        "\n"
        "  warning  it has no fallback: at 0 replicas an outage of the metrics wakes nobody  [fallback]\n"
        "           because  spec.fallback is not set\n"
        "           repair   fallback: {failureThreshold: 3, replicas: 1, behavior: currentReplicasIfHigher}\n"
        "\n"
        "  not looked at\n"
        "    what KEDA and the scheduler said: 403: events is forbidden\n"
        "    what llm-scaler decides: it was not asked\n"
    )
    assert as_text(Setup().picture(), []) == "demo/llama  nothing wrong was found\n"


@pytest.mark.parametrize(
    ("unread", "told"),
    [
        ({"scaletarget": "404: not found"}, {}),  # that is a finding
        ({"scaletarget": "403: forbidden"}, {"whether the target is there": "403: forbidden"}),
        ({"apiservices": "404: not found"}, {"whether the HPA reaches KEDA": "404: not found"}),
        ({"namespaces": "403: forbidden"}, {}),  # nobody misses it
    ],
)
def test_what_was_not_looked_at_is_told_where_it_is_missed(unread, told):
    assert not_looked_at(Picture("demo", "llama", 0.0, unread=unread, decisions=())) == told


@pytest.mark.parametrize(
    ("address", "service"),
    [
        ("llm-scaler:6000", ("llm-scaler", "", 6000)),
        ("llm-scaler.keda:6000", ("llm-scaler", "keda", 6000)),
        ("llm-scaler.keda.svc:6000", ("llm-scaler", "keda", 6000)),
        ("llm-scaler.keda.svc.cluster.local:6000", ("llm-scaler", "keda", 6000)),
        ("scaler.example.com:6000", None),
        ("a.b.c.svc:6000", None),
        ("localhost:6000", None),
        ("10.1.2.3:6000", None),
        ("dns:///llm-scaler:6000", None),
        ("llm-scaler:grpc", None),
        (":6000", None),
    ],
)
def test_an_address_in_the_cluster_names_a_service(address, service):
    setup = Setup()
    setup.metadata["scalerAddress"] = address
    assert setup.picture().service == service


def test_of_several_triggers_the_first_that_names_a_service_counts():
    setup = Setup()
    other = {**setup.trigger, "metadata": {**setup.metadata, "scalerAddress": "dns:///elsewhere:6000"}}
    setup.spec["triggers"].insert(0, other)
    assert setup.picture().service == ("llm-scaler", "keda", 6000)


def test_events_of_an_hour_count_the_newest_first():
    setup = Setup()
    for seconds in (30, 3599, 3600, 10):
        setup.event("ReplicaSet", "llama", "FailedCreate", str(seconds), seconds)
    assert [one["message"] for one in setup.picture().recent("FailedCreate")] == ["10", "30", "3599"]
    assert setup.picture().recent("Other") == []


def test_a_picture_of_nothing_has_nothing_wrong():
    """`check` looks at a manifest alone, at whatever time."""
    assert Picture("demo", "llama", 0.0).scaled == {}


# ---- KEDA --------------------------------------------------------------------------------------------------------------


def others(count, namespace="demo", name="other"):
    return [{"metadata": meta(f"{name}-{number:02}", namespace)} for number in range(count)]


@edge("no-scaled-object")
def eleven_have_other_names(s):
    s.name, s.decisions = "zephyr", None
    s.objects["scaledobjects"] += others(11)


@edge("no-scaled-object")
def one_of_that_name_is_in_each_of_six_namespaces(s):
    s.name, s.decisions = "zephyr", None
    s.objects["scaledobjects"] = [{"metadata": meta("zephyr", f"team-{number}")} for number in range(6)]


@edge("not-ours")
def it_has_no_trigger(s):
    s.spec["triggers"], s.decisions = [], None


@edge("keda-operator")
def the_operator_has_another_name_and_says_why_it_is_down(s):
    s.operator["metadata"].update({"name": "my-operator", "labels": {"app": "keda-operator"}})
    s.operator["status"].update({"readyReplicas": 0, "conditions": [condition("Available", "False", "", "no node")]})


@edge("keda-version")
def the_oldest_keda_that_is_tried_cuts_the_answers_of_others(s):
    s.operator["spec"]["template"]["spec"]["containers"][0]["image"] = "ghcr.io/kedacore/keda:2.15.1"


@edge("keda-version")
def a_keda_that_is_named_by_its_digest_has_a_label(s):
    s.operator["spec"]["template"]["spec"]["containers"][0]["image"] = "keda@sha256:ab"
    s.operator["metadata"]["labels"]["app.kubernetes.io/version"] = "2.14.0"


@edge(None)
def keda_2_17_reads_all_numbers(s):
    s.operator["spec"]["template"]["spec"]["containers"][0]["image"] = "ghcr.io/kedacore/keda:2.17.0"


@edge("hpa-missing")
def an_error_comes_before_a_warning_that_is_nearer_to_the_cause(s):
    s.operator["spec"]["template"]["spec"]["containers"][0]["image"] = "ghcr.io/kedacore/keda:2.16.0"
    s.objects["horizontalpodautoscalers"] = []


@edge(None)
def keda_watches_this_namespace_among_others(s):
    s.operator["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] = "team-a, demo ,"


@edge("metrics-api")
def whether_the_metrics_api_answers_is_unknown_to_the_api_server(s):
    s.objects["apiservices"][0]["status"]["conditions"] = [condition("Available", "Unknown", "Timeout", "no answer")]


@edge(None)
def keda_gave_its_hpa_another_name(s):
    s.scaled["status"]["hpaName"] = s.hpa["metadata"]["name"] = "mine"


@edge("hpa-missing")
def the_hpa_of_another_name_is_gone(s):
    s.scaled["status"]["hpaName"] = "mine"


@edge(None)
def keda_failed_for_another_object_and_another_kind_of_that_name(s):
    s.decisions = None
    refusal = "code = InvalidArgument desc = trigger: x: y"
    s.event("ScaledObject", "mistral", "KEDAScalerFailed", refusal)
    s.event("ScaledJob", "llama", "KEDAScalerFailed", refusal)


# ---- the ScaledObject --------------------------------------------------------------------------------------------------


@edge("paused")
def it_is_held_at_two_replicas(s):
    s.scaled["metadata"]["annotations"] = {"autoscaling.keda.sh/paused": "False"}
    s.scaled["metadata"]["annotations"]["autoscaling.keda.sh/paused-replicas"] = "2"


@edge(None)
def it_was_paused_once(s):
    s.scaled["metadata"]["annotations"] = {"autoscaling.keda.sh/paused": "false"}


@edge("target-missing")
def nothing_of_that_kind_is_there(s):
    s.objects["scaletarget"] = []


@edge("target-missing")
def eleven_deployments_have_other_names(s):
    s.objects["scaletarget"] = others(11)


@edge("two-owners")
def an_hpa_for_the_same_statefulset(s):
    s.spec["scaleTargetRef"] = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "llama"}
    ref = {"apiVersion": "apps/v1beta2", "kind": "StatefulSet", "name": "llama"}
    s.objects["horizontalpodautoscalers"].append({"metadata": meta("old"), "spec": {"scaleTargetRef": ref}})


def hpa_of(s, kind, name):
    """An HPA for the same target, which has such an owner."""
    owners = [{"kind": kind, "name": name, "controller": True}]
    ref = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llama"}
    hpa = {"metadata": meta("other", ownerReferences=owners), "spec": {"scaleTargetRef": ref}}
    s.objects["horizontalpodautoscalers"].append(hpa)


@edge("two-owners")
def an_hpa_that_another_scaledobject_owns(s):
    hpa_of(s, "ScaledObject", "mistral")


@edge("two-owners")
def an_hpa_that_something_else_of_that_name_owns(s):
    hpa_of(s, "InferenceService", "llama")


@edge(None)
def an_hpa_for_a_statefulset_of_the_same_name(s):
    ref = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "llama"}
    s.objects["horizontalpodautoscalers"].append({"metadata": meta("old"), "spec": {"scaleTargetRef": ref}})


@edge("not-ready")
def of_three_events_the_newest_two_are_told(s):
    s.set("Ready", "False", "ScaledObjectCheckFailed", "no")
    for seconds in (30, 20, 10):
        s.event("ScaledObject", "llama", "ScaledObjectCheckFailed", f"seen {seconds} s ago", seconds)


# ---- the way -----------------------------------------------------------------------------------------------------------


@edge("address")
def there_is_no_address(s):
    del s.metadata["scalerAddress"]
    s.decisions, s.reached = None, None


@edge("address")
def a_url_ends_with_a_slash(s):
    s.metadata["scalerAddress"] = "grpc://llm-scaler.keda:6000/"


@edge("address")
def a_port_alone_is_no_address(s):
    s.metadata["scalerAddress"] = ":6000"


@edge("address")
def a_port_has_a_number(s):
    s.metadata["scalerAddress"] = "llm-scaler.keda:grpc"


@edge("service-missing")
def a_bare_host_is_looked_for_in_kedas_namespace(s):
    s.metadata["scalerAddress"] = "llm-scalr:6000"
    s.objects["services"] += others(11, "keda", "service")


@edge("service-missing")
def services_of_that_name_are_in_four_namespaces(s):
    s.metadata["scalerAddress"] = "llm-scaler.default:6000"
    s.objects["services"] += [{"metadata": meta("llm-scaler", f"team-{number}")} for number in range(3)]


@edge("port")
def the_service_names_no_port_for_grpc(s):
    s.metadata["scalerAddress"] = "llm-scaler.keda:9090"
    s.objects["services"][1]["spec"]["ports"] = [{"port": 6000}, {"name": "metrics", "port": 9090}]


@edge(None)
def grpc_is_at_a_port_of_its_own_choice(s):
    s.metadata["scalerAddress"] = "llm-scaler.keda:7000"
    s.objects["services"][1]["spec"]["ports"] = [{"name": "grpc", "port": 7000}]


@edge("no-endpoints")
def a_service_without_a_selector_has_no_endpoints(s):
    del s.objects["services"][1]["spec"]["selector"]
    s.objects["endpointslices"] = []


@edge("no-endpoints")
def its_pods_are_not_ready_by_two_labels(s):
    s.objects["services"][1]["spec"]["selector"] = {"app": "llm-scaler", "tier": "one"}
    for endpoint in s.objects["endpointslices"][0]["endpoints"]:
        endpoint["conditions"]["ready"] = False


@edge(None)
def one_of_its_pods_is_ready(s):
    s.objects["endpointslices"][0]["endpoints"][0]["conditions"]["ready"] = False


@edge(None)
def an_external_name_has_no_endpoints(s):
    s.objects["services"][1]["spec"]["type"] = "ExternalName"
    s.objects["endpointslices"] = []


@edge("authentication")
def no_authentication_of_its_namespace_is_there(s):
    s.trigger["authenticationRef"] = {"name": "tls"}
    s.objects["triggerauthentications"] = others(1, "elsewhere", "tls")


@edge("authentication")
def eleven_authentications_have_other_names(s):
    s.trigger["authenticationRef"] = {"name": "zephyr"}
    s.objects["triggerauthentications"] = others(11)


@edge("authentication")
def its_secret_is_in_another_namespace(s):
    s.trigger["authenticationRef"] = {"name": "tls"}
    ref = {"parameter": "caCert", "name": "certificates", "key": "ca.crt"}
    s.objects["triggerauthentications"] = [{"metadata": meta("tls"), "spec": {"secretTargetRef": [ref]}}]
    s.objects["secrets"] = [{"metadata": meta("certificates", "keda"), "data": {"ca.crt": ""}}]


@edge(None)
def its_secret_is_where_it_has_to_be(s):
    its_secret_is_in_another_namespace(s)
    s.objects["secrets"] = [{"metadata": meta("certificates"), "data": {"ca.crt": ""}}]


@edge("network-policy")
def a_policy_without_types_closes_too(s):
    s.objects["networkpolicies"][0]["spec"] = {"podSelector": {}}


@edge("network-policy")
def a_policy_for_pods_of_its_own_namespace_lets_no_other_in(s):
    s.objects["networkpolicies"][0]["spec"]["ingress"][0]["from"] = [{"podSelector": {}}]
    s.objects["networkpolicies"][0]["metadata"]["namespace"] = "keda"
    s.objects["kedapods"][0]["metadata"]["namespace"] = "keda-system"


@edge(None)
def a_policy_lets_pods_of_its_own_namespace_in(s):
    s.objects["networkpolicies"][0]["spec"]["ingress"][0]["from"] = [{"podSelector": {}}]


@edge(None)
def one_of_two_policies_lets_one_of_two_operators_in(s):
    closed = {"metadata": meta("closed", "keda"), "spec": {"podSelector": {}}}
    other = {"kind": "Pod", "metadata": meta("keda-operator-2", "keda", labels={"app": "other"})}
    s.objects["networkpolicies"].insert(0, closed)
    s.objects["kedapods"].insert(0, other)


@edge(None)
def where_no_operator_is_seen_no_policy_is_blamed(s):
    s.objects["networkpolicies"][0]["spec"] = {"podSelector": {}}
    s.objects["kedapods"] = []


@edge(None)
def a_policy_of_what_goes_out_closes_nothing(s):
    s.objects["networkpolicies"][0]["spec"] = {"podSelector": {}, "policyTypes": ["Egress"]}


@edge(None)
def a_policy_for_other_pods_closes_nothing(s):
    s.objects["networkpolicies"][0]["spec"] = {"podSelector": {"matchLabels": {"app": "other"}}}


@edge(None)
def a_policy_that_names_addresses_may_take_the_operator(s):
    s.objects["networkpolicies"][0]["spec"]["ingress"] = [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]


@edge(None)
def a_policy_that_takes_all_takes_the_operator(s):
    s.objects["networkpolicies"][0]["spec"]["ingress"] = [{"from": [{"podSelector": {"matchLabels": {"x": "y"}}}]}, {}]


@edge(None)
def a_namespace_is_chosen_by_a_label_of_its_own(s):
    rule = s.objects["networkpolicies"][0]["spec"]["ingress"][0]["from"][0]
    rule["namespaceSelector"] = {"matchExpressions": [{"key": "team", "operator": "In", "values": ["platform"]}]}
    for one in s.objects["namespaces"]:
        one["metadata"]["labels"]["team"] = "platform" if one["metadata"]["name"] == "keda" else "x"


@edge("unreachable")
def keda_told_of_a_failure_a_quarter_of_an_hour_ago_but_a_second(s):
    s.reached = None
    s.set("Ready", "False", "TriggerError", "")
    s.event("ScaledObject", "llama", "KEDAScalerFailed", EMPTY, 899)


@edge("not-ready")
def keda_told_of_a_failure_a_quarter_of_an_hour_ago(s):
    s.reached = None
    s.set("Ready", "False", "TriggerError", "")
    s.event("ScaledObject", "llama", "KEDAScalerFailed", EMPTY, 900)


# ---- the trigger -------------------------------------------------------------------------------------------------------


@edge("metric-type")
def a_utilization_is_refused_by_keda(s):
    s.trigger["metricType"] = "Utilization"


@edge(None)
def average_value_may_be_said(s):
    s.trigger["metricType"] = "AverageValue"


@edge("formula-file")
def of_the_files_that_are_not_in_service_its_own_is_named(s):
    s.warnings = [
        "[!] formula file other.yaml: other.yaml: no formula",
        "[+] formula file queue-depth.yaml: in service",
        "[!] formula file queue-depth.yml: queue-depth.yml: formula: waitin is not known",
    ]


@edge(None)
def a_file_of_others_is_not_in_service(s):
    s.warnings = ["[!] formula file other.yaml: other.yaml: no formula"]


@edge("refused")
def keda_told_of_the_refusal_a_quarter_of_an_hour_ago_but_a_second(s):
    s.decisions = None
    s.event("ScaledObject", "llama", "KEDAScalerFailed", "code = InvalidArgument desc = trigger: x: y", 899)


@edge(None)
def keda_told_of_the_refusal_a_quarter_of_an_hour_ago(s):
    s.decisions = None
    s.event("ScaledObject", "llama", "KEDAScalerFailed", "code = InvalidArgument desc = trigger: x: y", 900)


@edge(None)
def what_is_no_refusal_by_its_code_is_none(s):
    s.decisions = None
    s.event("ScaledObject", "llama", "KEDAScalerFailed", "code = Unavailable desc = trigger: x: y", 20)


@edge(None)
def words_without_a_refusal_are_none(s):
    s.decisions, s.refused = None, "no decision for demo/llama: trigger: x: y"


# ---- pods --------------------------------------------------------------------------------------------------------------


@edge("cannot-be-created")
def an_admission_policy_refuses_a_pod(s):
    s.target["spec"]["replicas"] = 4
    s.event("ReplicaSet", "web-5d8f", "FailedCreate", "exceeded quota: cpu")
    s.event("ReplicaSet", "llama-5d8f", "FailedCreate", 'admission webhook "x" denied the request')


@edge(None)
def what_was_refused_is_there_by_now(s):
    s.event("ReplicaSet", "llama-5d8f", "FailedCreate", "exceeded quota: gpus")


@edge("unschedulable")
def a_pod_waits_for_memory_and_the_limit_is_known(s):
    waits = condition("PodScheduled", "False", "Unschedulable", "3 Insufficient memory.")
    s.pods[0]["status"]["conditions"][0] = waits
    s.decisions[0]["capacity"] = {"reason": "NodePool gpu: limit memory 1Ti"}


@edge("broken-pods")
def a_secret_of_its_container_is_not_there(s):
    state = {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "hf" not found'}}
    s.pods[2]["status"]["containerStatuses"][0]["state"] = state


@edge("broken-pods")
def an_init_container_ends_again_and_again(s):
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
    s.pods[2]["status"]["initContainerStatuses"] = [{"name": "download", "state": state}]


@edge(None)
def a_container_is_being_made(s):
    s.pods[2]["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": "ContainerCreating"}}


def with_quota(s, resource, most, used, **requests):
    status = {"hard": {resource: most}, "used": {resource: used} if used else {}}
    s.objects["resourcequotas"] = [{"metadata": meta("team"), "status": status}]
    s.target["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"].update(requests)


@edge("quota")
def a_quota_of_pods_is_used_up(s):
    with_quota(s, "pods", "3", "3")
    s.decisions = decisions(running=Reading(40, 10_000), waiting=0)


@edge("quota")
def a_quota_is_exceeded_since_it_was_lowered(s):
    with_quota(s, "pods", "2", "3")
    s.decisions = decisions(running=Reading(24, 10_000), waiting=0)


@edge("quota")
def a_quota_of_limits_of_which_nothing_is_used_yet(s):
    with_quota(s, "limits.nvidia.com/gpu", "6", "")


@edge("quota")
def no_maximum_is_a_hundred(s):
    with_quota(s, "pods", "99", "3")
    del s.spec["maxReplicaCount"]


@edge(None)
def a_quota_that_holds_just_as_many(s):
    with_quota(s, "pods", "10", "3")


@edge(None)
def a_quota_of_what_its_pods_do_not_ask_for(s):
    with_quota(s, "requests.amd.com/gpu", "0", "0")


@edge(None)
def a_quota_of_bytes_is_not_counted(s):
    with_quota(s, "requests.memory", "100Gi", "90Gi", memory="20Gi")


@edge("grace-period")
def a_statefulset_has_the_usual_grace(s):
    s.spec["scaleTargetRef"] = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "llama"}
    del s.target["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    s.longest = 30.5


@edge("disruption-budget")
def a_budget_for_pods_that_are_not_there_yet(s):
    asleep = TargetStatus(0, 0, 0, 0, 10, "Kubernetes")
    nothing = {"waiting": None, "running": None}
    s.decisions = decisions(waiting=None, running=None, queued=0, replicas=asleep, guards=nothing)
    s.objects["targetpods"], s.target["spec"]["replicas"] = [], 0
    budget = {"minAvailable": "100%", "selector": {"matchLabels": {"app": "llama"}}}
    s.objects["poddisruptionbudgets"] = [{"metadata": meta("llama"), "spec": budget}]


@edge("rollout")
def a_rollout_of_a_statefulset_hangs(s):
    s.spec["scaleTargetRef"] = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "llama"}
    s.target["status"]["conditions"] = [condition("Progressing", "False", "Timeout", "five minutes")]


# ---- what is measured --------------------------------------------------------------------------------------------------


@edge("engine")
def the_pods_run_what_two_engines_may_be(s):
    page = "# TYPE sglang:num_running_reqs gauge\nsglang:num_running_reqs 1\n"
    s.pages = {"llama-5d8f-a": page, "llama-5d8f-b": page}
    s.without_metrics(None)


@edge("engine")
def of_many_metrics_of_no_engine_three_are_shown(s):
    s.pages = {"llama-5d8f-a": "".join(f"# TYPE app_{letter} counter\n" for letter in "dcba")}
    s.without_metrics(None)


@edge("no-series")
def a_line_of_a_page_without_a_type_tells_no_metric(s):
    s.pages = {"llama-5d8f-a": "# TYPE app_total\napp_total 1\n"}
    s.without_metrics(None)


@edge("model")
def six_models_are_served_and_none_is_asked_for(s):
    s.pages = {"a": "", "b": PAGE_OF_MODELS}
    s.without_metrics(None)


PAGE_OF_MODELS = "# TYPE vllm:num_requests_running gauge\n" + "".join(
    f'vllm:num_requests_running{{model_name="m{number}"}} 1\n' for number in (5, 4, 3, 2, 1, 0)
)


@edge("no-series")
def pods_that_say_themselves_that_they_are_scraped_need_no_monitor(s):
    s.objects["servicemonitors"] = []
    for one in s.pods:
        one["metadata"]["annotations"] = {"prometheus.io/scrape": "true"}
    s.without_metrics(None)


@edge("no-series")
def a_monitor_of_another_namespace_that_names_this_one(s):
    monitor = s.objects["servicemonitors"][0]
    monitor["metadata"]["namespace"] = "monitoring"
    monitor["spec"]["namespaceSelector"] = {"matchNames": ["other", "demo"]}
    s.without_metrics(None)


@edge("no-series")
def a_monitor_of_all_namespaces(s):
    monitor = s.objects["servicemonitors"][0]
    monitor["metadata"]["namespace"] = "monitoring"
    monitor["spec"]["namespaceSelector"] = {"any": True}
    s.without_metrics(None)


def pod_monitor(**endpoint):
    spec = {"selector": {"matchLabels": {"app": "llama"}}, "podMetricsEndpoints": [endpoint]}
    return {"kind": "PodMonitor", "metadata": meta("llama", labels={"release": "kube-prometheus-stack"}), "spec": spec}


@edge("monitor-port")
def a_podmonitor_means_ports_of_containers_and_they_have_none(s):
    s.objects["servicemonitors"], s.objects["podmonitors"] = [], [pod_monitor(port="http")]
    for one in s.pods:
        one["spec"]["containers"][0]["ports"] = [{"containerPort": 8000}]
    s.without_metrics(None)


@edge("monitor-port")
def a_service_has_two_other_ports_and_podmonitors_may_not_be_read(s):
    s.objects["services"][0]["spec"]["ports"] = [{"name": "web", "port": 80}, {"name": "admin", "port": 81}]
    s.unread["podmonitors"] = "403: podmonitors is forbidden"
    del s.objects["podmonitors"]
    s.without_metrics(None)


@edge("not-scraped")
def a_service_without_a_selector_has_no_pods(s):
    del s.objects["services"][0]["spec"]["selector"]
    s.without_metrics(None)


@edge("no-series")
def a_podmonitor_that_names_the_number_of_a_port(s):
    s.objects["servicemonitors"], s.objects["podmonitors"] = [], [pod_monitor(targetPort=8000)]
    s.without_metrics(None)


@edge("monitor-not-selected")
def a_podmonitor_without_labels_that_no_prometheus_takes(s):
    s.objects["servicemonitors"], s.objects["podmonitors"] = [], [pod_monitor(port="http")]
    del s.objects["podmonitors"][0]["metadata"]["labels"]
    s.without_metrics(None)


@edge("no-series")
def one_of_two_prometheuses_takes_one_of_two_monitors(s):
    s.objects["prometheuses"].insert(0, {"metadata": meta("other", "monitoring"), "spec": {}})
    plain = {**s.objects["servicemonitors"][0], "metadata": meta("plain")}
    s.objects["servicemonitors"].insert(0, plain)
    s.without_metrics(None)


@edge("held")
def of_four_problems_three_are_told(s):
    problems = ["one is not known", "two is not known", "three is not known", "four is not known"]
    s.decisions[0] |= {"certainty": "unknown", "problems": problems}


@edge("held")
def all_pods_answer_and_one_of_them_not_whole(s):
    s.decisions = decisions(running=Reading(16, 10_000, answered=3, expected=3, incomplete_reason="a page is cut off"))


@edge("rights")
def of_what_may_not_be_read_the_first_is_told_with_its_reason(s):
    s.decisions[0]["unknown"] = {
        "statefulsets": "403: statefulsets is forbidden", "deployments": "403: deployments is forbidden",
        "leases": "403: leases is forbidden", "pods": "not heard of yet",
    }  # fmt: skip


@edge("hpa-metric")
def its_hpa_asks_for_nothing(s):
    s.hpa["spec"]["metrics"] = []


@edge("cooldown")
def the_slowest_of_its_pods_tells_how_long_a_start_takes(s):
    s.spec["cooldownPeriod"] = 130
    for one, seconds in zip(s.pods, (90, 150, 120), strict=True):
        one["status"]["conditions"][1]["lastTransitionTime"] = ago(3595 - seconds)


@edge("cooldown")
def a_start_up_is_rounded_up_to_whole_minutes(s):
    s.spec["cooldownPeriod"] = 30
    for one in s.pods:
        one["status"]["conditions"][1]["lastTransitionTime"] = ago(3600 - 121)
