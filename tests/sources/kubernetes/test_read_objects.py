"""Objects of Kubernetes, read for the few fields that are kept, and put together."""

import pytest
from support.kubernetes_objects import (
    NOON,
    deployment,
    endpoint_slice,
    hpa,
    job,
    meta,
    pod,
    scaled_job,
    scaled_object,
    stamp,
)

from scaler.cluster.node_fit import selector_matches
from scaler.model.behavior import SCALE_UP, Behavior, RatePolicy, Rules
from scaler.model.nodes import Toleration
from scaler.model.objects import Condition, Job, Pod
from scaler.sources.kubernetes.join import Tables, join
from scaler.sources.kubernetes.read_objects import (
    ObjectReader,
    Scale,
    hpa_of,
    read_hpa,
    read_job,
    read_scale,
    read_slice,
)
from scaler.sources.kubernetes.store import PodTable, key_of

EXTERNAL = {"type": "external", "metadata": {"scalerAddress": "llm-scaler.keda:6000", "formula": "load"}}
ADDRESSED = "dns:///llm-scaler.keda.svc.cluster.local:6000"


def read(raw, services=()):
    return ObjectReader(services).scaled(raw)


def state(**status):
    return ObjectReader().pod(pod("a", **status)).pod


def cluster(*scaled, pods=(), jobs=(), hpas=(), deployments=(), replicated=None, scales=None, ended=None):
    """A Cluster of raw objects."""
    reader = ObjectReader()
    groups = {}
    for record in map(reader.pod, pods):
        groups.setdefault(record.owner, []).append(record)
    kinds = {"Deployment": deployments, "StatefulSet": (), **(replicated or {})}
    known = {kind: {key_of(raw): reader.replicated(raw) for raw in raws} for kind, raws in kinds.items()}
    tables = Tables(
        scaled=[reader.scaled(raw) for raw in scaled],
        listed=frozenset({"ScaledObject"}),
        hpas={hpa_of(raw): read_hpa(raw) for raw in hpas},
        replicated=known,
        jobs=[record for record in map(read_job, jobs) if record],
        pods=groups,
        scales=scales or {},
        ended=ended or {},
    )
    return join(tables)


def only(made):
    [scaled] = made
    return scaled


# ---- who asks us -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, ""),
        ({"formula": "a + b", "target": "2"}, "a + b"),
        ({"formula": "a", "metricType": "AverageValue"}, "a"),
        (
            {"formula": "a", "metricType": "Value"},
            "a (metricType: Value, so the HPA multiplies it by the ready replicas)",
        ),
    ],
)
def test_what_scaling_modifiers_make_of_our_answer_is_told(given, told):
    assert read(scaled_object(advanced={"scalingModifiers": given})).scaled.modifiers == told


def test_a_scaled_object_says_who_it_is_and_what_it_allows():
    raw = scaled_object(
        minReplicaCount=1,
        maxReplicaCount=8,
        idleReplicaCount=0,
        fallback={"replicas": 2, "failureThreshold": 3, "behavior": "currentReplicasIfHigher"},
        triggers=[{"type": "cron", "metadata": {}}, EXTERNAL],
        status={"conditions": [{"type": "Ready", "status": "True", "reason": "ScaledObjectReady"}]},
    )
    scaled = read(raw).scaled
    assert (scaled.kind, scaled.namespace, scaled.name, scaled.uid) == ("ScaledObject", "team", "llama", "uid-of-llama")
    assert (scaled.generation, scaled.minimum, scaled.maximum, scaled.idle_replicas) == (3, 1, 8, 0)
    assert scaled.triggers == ((("formula", "load"), ("scalerAddress", "llm-scaler.keda:6000")),)
    assert scaled.other_trigger_types == ("cron",)
    assert scaled.target == "Deployment llama"
    assert scaled.fallback == "currentReplicasIfHigher: 2 replicas after 3 failures"
    assert scaled.conditions == (Condition("Ready", "True", "ScaledObjectReady"),)


def test_what_a_scaled_object_leaves_out_is_kedas_default():
    scaled = read(scaled_object()).scaled
    assert (scaled.minimum, scaled.maximum, scaled.idle_replicas, scaled.fallback, scaled.paused) == (
        0,
        100,
        None,
        "",
        "",
    )


@pytest.mark.parametrize(
    ("annotation", "value", "paused"),
    [
        ("paused", "true", "paused: true"),
        ("paused", "", "paused: "),
        ("paused", "yes", "paused: yes"),
        ("paused", "False", ""),
        ("paused", "0", ""),
        ("paused-replicas", "3", "paused-replicas: 3"),
        ("paused-scale-in", "true", "paused-scale-in: true"),
        ("paused-scale-out", "false", ""),
    ],
)
def test_pauses_are_read_as_keda_reads_them(annotation, value, paused):
    assert read(scaled_object(annotations={f"autoscaling.keda.sh/{annotation}": value})).scaled.paused == paused


@pytest.mark.parametrize(
    ("services", "address", "ours"),
    [
        ((), "anything:1", True),
        (("llm-scaler.keda",), "llm-scaler.keda:6000", True),
        (("llm-scaler.keda",), "llm-scaler.keda", True),
        (("llm-scaler.keda",), ADDRESSED, True),
        (("llm-scaler.keda",), "llm-scaler.kedax:6000", False),
        (("other", "llm-scaler"), "llm-scaler.keda:6000", True),
        (("llm-scaler",), "my-llm-scaler.keda:6000", False),
    ],
)
def test_a_trigger_is_ours_by_its_address(services, address, ours):
    raw = scaled_object(triggers=[{"type": "external-push", "metadata": {"scalerAddress": address, "formula": "load"}}])
    assert (read(raw, services) is not None) is ours


@pytest.mark.parametrize("trigger", [{"type": "prometheus", "metadata": {}}, {"type": "external"}, "odd", {}])
def test_other_triggers_are_not_ours(trigger):
    assert read(scaled_object(triggers=[trigger])) is None


@pytest.mark.parametrize(
    ("target", "known", "path", "past"),
    [
        ({"name": "llama"}, None, "", "llama-[a-z0-9]+-[a-z0-9]{5}"),
        ({"name": "a.b", "kind": "StatefulSet", "apiVersion": "apps/v1"}, None, "", r"a\.b-[0-9]+"),
        ({"name": "g", "kind": "LeaderWorkerSet", "apiVersion": "leaderworkerset.x-k8s.io/v1"}, None, "", ""),
        (
            {"name": "g", "kind": "LeaderWorkerSet", "apiVersion": "leaderworkerset.x-k8s.io/v1"},
            {"group": "leaderworkerset.x-k8s.io", "version": "v1", "resource": "leaderworkersets"},
            "/apis/leaderworkerset.x-k8s.io/v1/namespaces/team/leaderworkersets/g/scale",
            "",
        ),
        (
            {"name": "g", "kind": "Odd", "apiVersion": "odd/v1"},
            {"group": "../x", "version": "v", "resource": "r"},
            "",
            "",
        ),
        ({"name": "g", "kind": "Deployment", "apiVersion": "other/v1"}, None, "", ""),
    ],
)
def test_replicas_of_unwatched_kinds_are_asked_of_their_scale(target, known, path, past):
    record = read(scaled_object(target=target, status={"scaleTargetGVKR": known} if known else {}))
    assert (record.scale_path, record.scaled.pod_name_pattern) == (path, past)


# ---- pods --------------------------------------------------------------------------------------------------------------

LATE = {"Initialized": ("True", 1), "Ready": ("False", 300)}
EARLY = {"Initialized": ("True", 1), "Ready": ("False", 1)}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, "ready"),
        ({"conditions": EARLY}, "starting"),
        ({"conditions": LATE}, "unready"),
        ({"conditions": {}}, "starting"),
        ({"deleted": True}, "terminating"),
        ({"node": "", "conditions": {"PodScheduled": ("False", 30)}}, "pending"),
    ],
)
def test_the_state_of_a_pod(status, expected):
    assert state(**status).state == expected


def test_a_pending_pod_says_since_when_and_why():
    assert state(node="", conditions={"PodScheduled": ("False", 30)}) == Pod(
        "a", "pending", NOON + 30, "PodScheduled is False"
    )
    assert state(node="", conditions={}).since == NOON, "the scheduler has not seen it: since it was made"


def test_a_ready_pod_says_since_when_and_one_that_is_not_says_nothing():
    assert (state().since, state().ready_since) == (NOON, NOON + 60)
    assert state(conditions=LATE).ready_since is None


def test_a_pod_has_an_address_and_what_its_annotations_say_of_a_page():
    scrape = {
        "prometheus.io/port": "9000",
        "prometheus.io/path": "/" + "x" * 1000,
        "prometheus.io/other": "1",
        "a": "b",
    }
    found = state(podIP="10.0.0.7", annotations=scrape)
    assert (found.ip, [key for key, _ in found.prometheus_annotations]) == ("10.0.0.7", ["path", "port"])
    assert [len(value) for _, value in found.prometheus_annotations] == [257, 4], "bounded, and too long to be taken"
    assert (state().ip, state().prometheus_annotations) == ("", ())


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (endpoint_slice("epp", "10.0.0.1", "10.0.0.2", unready=["10.0.0.3"]), ("10.0.0.1", "10.0.0.2")),
        (endpoint_slice("epp", "fd00::1", kind="IPv6"), ("fd00::1",)),
        (endpoint_slice("epp", "example.com", kind="FQDN"), ()),
        ({**endpoint_slice("epp"), "endpoints": None}, ()),
    ],
)
def test_the_ready_addresses_of_a_slice(raw, expected):
    assert read_slice(raw) == expected


def test_odd_times_are_not_known():
    raw = pod("a")
    raw["metadata"]["creationTimestamp"] = "yesterday"
    assert ObjectReader().pod(raw).pod.since is None


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_has_ended_is_none(phase):
    assert ObjectReader().pod(pod("a", phase=phase)) is None


@pytest.mark.parametrize(
    ("owner", "labels", "expected"),
    [
        (("ReplicaSet", "llama-5d8f"), {}, ("team", "Deployment", "llama")),
        (("ReplicaSet", "llama-5d8f"), {"pod-template-hash": "other"}, ("team", "ReplicaSet", "llama-5d8f")),
        (("StatefulSet", "llama"), {}, ("team", "StatefulSet", "llama")),
        (("Job", "train-x1"), {"scaledjob.keda.sh/name": "train"}, ("team", "ScaledJob", "train")),
        (("Job", "train-x1"), {}, ("team", "Job", "train-x1")),
    ],
)
def test_a_pod_belongs_to_what_is_scaled(owner, labels, expected):
    assert ObjectReader().pod(pod("a", owner, labels)).owner == expected


def test_what_pods_share_is_kept_once_and_not_for_ever():
    reader = ObjectReader()
    first, second = (reader.pod(pod(name)) for name in "ab")
    assert first.labels is second.labels
    assert first.owner is second.owner
    assert dict(first.labels) == {"app": "llama"}, "labels that differ from pod to pod are left out"
    for number in range(100_001):
        reader._once(number)
    assert len(reader._shared) <= 100_000


# ---- together ------------------------------------------------------------------------------------------------------------


def test_a_deployment_has_the_pods_it_controls_whatever_their_labels():
    pods = [
        pod("llama-5d8f-b"),
        pod("llama-5d8f-a", conditions=EARLY),
        pod("llama-77aa-c", ("ReplicaSet", "llama-77aa")),
        pod("llama-canary-9-d", ("ReplicaSet", "llama-canary-9"), labels={"app": "llama"}),
        pod("stray", ("", "")),
    ]
    scaled = only(cluster(scaled_object(), pods=pods, deployments=[deployment(replicas=3)]))
    assert scaled.replicas == 3
    assert [one.name for one in scaled.pods] == ["llama-5d8f-a", "llama-5d8f-b", "llama-77aa-c"]
    assert (scaled.count("ready"), scaled.count("starting"), scaled.count("pending")) == (2, 1, 0)


def test_what_is_not_known_is_none_and_not_zero():
    reader, nothing = ObjectReader(), {"Deployment": None, "StatefulSet": None}
    records = [reader.scaled(scaled_object()), reader.scaled(scaled_job())]
    made = join(Tables(records, frozenset(), hpas=None, replicated=nothing, jobs=None, pods=None, scales={}))
    for scaled in made:
        assert (scaled.replicas, scaled.pods, scaled.hpa, scaled.count("ready")) == (None, None, None, None)


def test_a_scaled_job_has_its_unfinished_jobs_and_their_pods():
    jobs = [job("train-1"), job("train-2", done="Complete"), job("train-3", done="Failed"), job("x", kind="CronJob")]
    pods = [pod("train-1-p", ("Job", "train-1"), {"scaledjob.keda.sh/name": "train"})]
    scaled = only(cluster(scaled_job(), jobs=jobs, pods=pods))
    assert (scaled.kind, scaled.replicas, scaled.target, scaled.hpa) == ("ScaledJob", 1, "ScaledJob train", None)
    assert [one.name for one in scaled.pods] == ["train-1-p"]


def test_a_scaled_job_has_its_jobs_the_newest_first_and_how_they_ended():
    jobs = [
        job("train-1", done="Complete", created=-60, ended=-30),
        job("train-3", created=10, suspend=True),
        job("train-2", done="Failed", ended=5, ttlSecondsAfterFinished=600),
    ]
    raw = scaled_job(failedJobsHistoryLimit=0, status={"lastActiveTime": stamp(9)})
    scaled = only(cluster(raw, jobs=jobs))
    assert scaled.jobs == (
        Job("train-3", NOON + 10),
        Job("train-2", NOON, "failed", NOON + 5, has_no_ttl=False),
        Job("train-1", NOON - 60, "succeeded", NOON - 30),
    )
    assert (scaled.failed_history_limit, scaled.last_active) == (0, NOON + 9)
    assert (scaled.successful_history_limit, scaled.scaling_strategy, scaled.gradual_rollout) == (100, "default", False)


def test_of_many_jobs_the_newest_are_looked_at():
    jobs = [job(f"train-{number}", done="Complete", created=number) for number in range(300)]
    scaled = only(cluster(scaled_job(), jobs=jobs))
    assert (len(scaled.jobs), scaled.jobs[0].name) == (250, "train-299")
    assert (scaled.failed_history_limit, scaled.last_active) == (100, None)


@pytest.mark.parametrize(
    ("spec", "kept", "strategy", "gradual"),
    [
        ({"successfulJobsHistoryLimit": 0}, 0, "default", False),
        ({"scalingStrategy": {"strategy": "eager"}}, 100, "eager", False),
        ({"scalingStrategy": {}, "rollout": {"strategy": "gradual"}}, 100, "default", True),
        ({"rolloutStrategy": "gradual"}, 100, "default", True),
        ({"rolloutStrategy": "immediate", "rollout": {"strategy": "gradual"}}, 100, "default", False),
    ],
)
def test_what_a_scaled_job_does_with_its_jobs_is_read(spec, kept, strategy, gradual):
    scaled = only(cluster(scaled_job(**spec)))
    assert (scaled.successful_history_limit, scaled.scaling_strategy, scaled.gradual_rollout) == (
        kept,
        strategy,
        gradual,
    )


def test_keda_s_last_active_time_of_a_scaled_object_is_no_news():
    """KEDA writes it at every poll, and every change makes a new picture of the cluster."""
    assert only(cluster(scaled_object(status={"lastActiveTime": stamp(9)}))).last_active is None


def test_another_kind_has_the_pods_that_its_scale_selects():
    target = {"name": "g", "kind": "LeaderWorkerSet", "apiVersion": "leaderworkerset.x-k8s.io/v1"}
    known = {"group": "leaderworkerset.x-k8s.io", "version": "v1", "resource": "leaderworkersets"}
    raw = scaled_object("g", target=target, status={"scaleTargetGVKR": known})
    lws = "leaderworkerset.sigs.k8s.io/"
    pods = [
        pod("g-0", ("StatefulSet", "g"), {f"{lws}name": "g", f"{lws}worker-index": "0"}),
        pod("g-0-1", ("StatefulSet", "g-0"), {f"{lws}name": "g", f"{lws}worker-index": "1"}),
    ]
    owner = ("team", "LeaderWorkerSet.leaderworkerset.x-k8s.io", "g")
    leaders = read_scale({"spec": {"replicas": 1}, "status": {"selector": f"{lws}name=g,{lws}worker-index=0"}})
    scaled = only(cluster(raw, pods=pods, scales={owner: leaders}))
    assert (scaled.replicas, [one.name for one in scaled.pods]) == (1, ["g-0"])
    assert [one.name for one in scaled.workers] == ["g-0-1"]
    assert only(cluster(raw, pods=pods)).pods is None, "its scale is not known yet"
    assert only(cluster(raw, pods=pods, scales={owner: Scale(1, "")})).pods is None, "a selector of nothing"


@pytest.mark.parametrize(
    ("labels", "replica"),
    [
        ({"leaderworkerset.sigs.k8s.io/name": "g", "leaderworkerset.sigs.k8s.io/group-index": "3"}, "g/3"),
        ({"grove.io/podcliquescalinggroup": "g", "grove.io/podcliquescalinggroup-replica-index": "0"}, "g/0"),
        ({"ray.io/worker-group-replica-name": "workers-x7"}, "workers-x7"),
        ({"leaderworkerset.sigs.k8s.io/name": "g"}, ""),
        ({}, ""),
    ],
)
def test_the_labels_of_a_pod_say_which_replica_of_several_pods_it_is_of(labels, replica):
    assert ObjectReader().pod(pod("g-0", ("StatefulSet", "g"), labels)).pod.replica == replica


def test_the_tcp_ports_that_containers_declare_are_known():
    raw = pod("llama-5d8f-a")
    named = [{"name": "first", "containerPort": 8000}, {"containerPort": 9}, {"name": "second", "containerPort": 8001}]
    named.append({"name": "gossip", "containerPort": 7946, "protocol": "UDP"})
    raw["spec"] |= {
        "containers": [{"ports": named}, {}],
        "initContainers": [{"ports": [{"name": "s", "containerPort": 1}]}],
    }
    [found] = only(cluster(scaled_object(), pods=[raw])).pods
    assert found.ports == (("s", 1), ("first", 8000), ("", 9), ("second", 8001))


def test_the_hpa_of_a_scaled_object_is_the_one_it_controls():
    limited = {"type": "ScalingLimited", "status": "True", "reason": "TooManyReplicas", "message": "m"}
    made = cluster(scaled_object(), hpas=[hpa(conditions=[limited], name="any-name")])
    found = only(made).hpa
    assert (found.name, found.current, found.desired, found.minimum, found.maximum) == ("any-name", 2, 3, 1, 10)
    assert found.conditions == (Condition("ScalingLimited", "True", "TooManyReplicas", "m"),)
    assert read_hpa(hpa(kind="Rollout")) is None
    at_zero, new = hpa(desiredReplicas=0), hpa()
    del at_zero["status"]["currentReplicas"]
    new["status"] = {}
    assert (read_hpa(at_zero).current, read_hpa(new).current) == (0, None)


def test_the_behavior_of_an_hpa_as_the_api_server_fills_it_in():
    down = {
        "stabilizationWindowSeconds": 0,
        "selectPolicy": "Min",
        "policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}],
        "tolerance": "50m",
    }
    raw = hpa()
    assert read_hpa(raw).behavior is None
    raw["spec"]["behavior"] = {"scaleDown": down}
    assert read_hpa(raw).behavior == Behavior(
        up=SCALE_UP, down=Rules((RatePolicy("Pods", 2, 60),), window=0, select="Min", tolerance=0.05)
    )


def test_namesakes_of_both_kinds_stand_side_by_side():
    made = cluster(scaled_object("x"), scaled_job("x"))
    assert [scaled.kind for scaled in made.objects["team", "x"]] == ["ScaledObject", "ScaledJob"]
    assert made.synced_kinds == {"ScaledObject"}


# ---- what its pods ask for ---------------------------------------------------------------------------------------------------

GPU = "nvidia.com/gpu"


def asking(gpus, cpu="1", **more):
    asked = {"limits": {GPU: str(gpus)}, "requests": {"cpu": cpu}}
    return {"containers": [{"name": "engine", "resources": asked}], **more}


def with_template(raw, spec, labels=None):
    template = {"metadata": {"labels": labels or {}}, "spec": spec}
    return {**raw, "spec": {**raw["spec"], "template": template}}


def asks(scaled):
    return {name: scaled.template.requested(name) for name in (GPU, "cpu")}


def made(name, spec, *, at=0, node="gpu-1", owner=("ReplicaSet", "llama-5d8f"), labels=None):
    raw = pod(name, owner, labels, node=node)
    raw["metadata"]["creationTimestamp"] = f"2026-11-21T12:00:{at:02}Z"
    return {**raw, "spec": {**raw["spec"], **spec}}


def test_a_template_tells_its_seats_before_and_after_there_are_pods():
    spec = asking(1)
    spec["containers"][0]["args"] = ["--max-num-seqs", "64"]
    written = [with_template(deployment(), spec)]
    assert only(cluster(scaled_object(), deployments=written)).template.seats == 64
    assert only(cluster(scaled_object(), pods=[made("llama-0", spec)], deployments=written)).template.seats == 64
    assert only(cluster(scaled_object(), deployments=[with_template(deployment(), asking(1))])).template.seats is None


def test_a_template_is_what_its_deployment_says_until_there_are_pods():
    assert asks(only(cluster(scaled_object(), deployments=[with_template(deployment(), asking(2))]))) == {
        GPU: 2,
        "cpu": 1000,
    }
    assert only(cluster(scaled_object())).template is None


def test_what_admission_adds_to_pods_is_asked_for_by_the_next_as_well():
    """A sidecar of a service mesh, or the toleration that GKE gives to every pod with a GPU."""
    tolerations = [{"key": GPU, "operator": "Exists"}]
    written = [with_template(deployment(), asking(2))]
    injected = asking(2, tolerations=tolerations)
    injected["containers"].append({"name": "mesh", "resources": {"requests": {"cpu": "2"}}})
    pods = [made("old", asking(2, "9"), at=1), made("new", injected, at=2)]
    [(shape, _)] = only(cluster(scaled_object(), pods=pods, deployments=written)).template.pods
    assert (shape.requested("cpu"), [one.key for one in shape.tolerations]) == (3000, [GPU])


def revised(image, *, requests="1", **more):
    """A pod of one container with this image."""
    written = asking(1, requests, **more)
    return {**written, "containers": [{**written["containers"][0], "image": image}]}


def next_of(written, *pods, replicas=2, kind="Deployment", **more):
    raw = with_template(deployment(replicas=replicas), written)
    raw = {**raw, "spec": {**raw["spec"], **more.pop("spec", {})}, **more}
    target = {"name": "llama", "kind": kind, "apiVersion": "apps/v1"}
    return only(cluster(scaled_object(target=target), pods=pods, replicated={kind: [raw]})).template


OLD, NEW = ("ReplicaSet", "llama-1111"), ("ReplicaSet", "llama-2222")


def test_after_a_return_to_an_older_template_its_pods_show_the_next():
    """The revision that is left has the youngest pods, and a selector that the template no longer has."""
    left = revised("engine:2", nodeSelector={"zone": "b"})
    pods = [made("a", revised("engine:1"), at=1, owner=OLD), made("b", left, at=9, owner=NEW)]
    [(shape, _)] = next_of(revised("engine:1"), *pods).pods
    assert shape.selector == ()


def test_a_pod_that_was_resized_is_of_the_newest_revision_still():
    resized = revised("engine:2", requests="9", tolerations=[{"key": "x", "operator": "Exists"}])
    pods = [made("a", revised("engine:1"), at=1, owner=OLD), made("b", resized, at=9, owner=NEW)]
    [(shape, _)] = next_of(revised("engine:2"), *pods).pods
    assert (shape.requested("cpu"), [one.key for one in shape.tolerations]) == (1000, ["x"])


def test_a_paused_rollout_adds_pods_of_all_its_templates():
    pods = [made("a", asking(1), at=1, owner=OLD), made("b", asking(2), at=9, owner=NEW)]
    assert next_of(asking(2), *pods).doubts == ()
    told = "its rollout is paused, and 1 of its 2 pods are of another template, as new ones may be"
    assert next_of(asking(2), *pods, spec={"paused": True}).doubts == (told,)
    alike = [made("a", asking(2), at=1, owner=OLD), pods[1]]
    assert next_of(asking(2), *alike, spec={"paused": True}).doubts == ()


def partitioned(number, *, observed=1, **more):
    """A StatefulSet of which pods below this number stay with the older template."""
    spec = {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": number}}, **more}
    status = {"observedGeneration": observed, "currentRevision": "llama-1111", "updateRevision": "llama-2222"}
    return {"kind": "StatefulSet", "spec": spec, "status": status, "metadata": {**meta("llama"), "generation": 1}}


def numbered(number, spec, revision):
    labels = {"controller-revision-hash": f"llama-{revision}"}
    return made(f"llama-{number}", spec, at=number, owner=("StatefulSet", "llama"), labels=labels)


def test_the_next_pod_of_a_stateful_set_is_of_the_revision_that_its_partition_says():
    pods = [numbered(0, asking(1), 1111), numbered(1, asking(1), 1111)]
    kept = next_of(asking(2), *pods, **partitioned(5))
    assert kept.requested(GPU) == 1
    told = "the next pods are made of the template of llama-1111, and later ones of another (its partition is 5)"
    assert kept.doubts == (told,)
    assert next_of(asking(2), *pods, **partitioned(2)).requested(GPU) == 2, "its next pod is number 2"
    assert next_of(asking(2), *pods, **partitioned(2, ordinals={"start": 4})).doubts == ()
    unseen = next_of(asking(2), *pods, **partitioned(5, observed=0))
    assert unseen.requested(GPU) == 2, "its controller has not seen this template, so nobody knows its revision"


def test_the_older_revision_of_a_stateful_set_may_have_no_pod_that_shows_it():
    kept = next_of(asking(2), replicas=0, **partitioned(5))
    told = "the next pods are made of an older template, which no pod shows (its partition is 5)"
    assert (kept.requested(GPU), kept.doubts) == (2, (told,))


def test_a_stateful_set_whose_revisions_ask_for_the_same_says_nothing_of_its_partition():
    pods = [numbered(0, asking(1), 1111), numbered(1, asking(1), 1111)]
    assert next_of(asking(1), *pods, **partitioned(5)).doubts == ()


def test_a_pod_of_the_revision_that_a_stateful_set_names_shows_the_next():
    """Number 2 is of the newest revision, though number 1 was made anew after it."""
    tolerant = asking(1, tolerations=[{"key": "x", "operator": "Exists"}])
    pods = [numbered(9, tolerant, 1111), numbered(2, asking(1), 2222)]
    [(shape, _)] = next_of(asking(1), *pods, **partitioned(2)).pods
    assert shape.tolerations == ()


def finished(name, spec, *, at, train="train"):
    raw = made(name, spec, at=at, owner=("Job", f"{train}-x"), labels={"scaledjob.keda.sh/name": train})
    return {**raw, "status": {"phase": "Succeeded"}}


def test_between_jobs_a_scaled_job_remembers_what_its_last_pod_was_like():
    job = scaled_job(jobTargetRef={"template": {"spec": asking(2)}})
    tolerant = asking(2, tolerations=[{"key": GPU, "operator": "Exists"}])
    table = PodTable()
    reader = ObjectReader()
    for raw in (finished("train-a", asking(2), at=1), finished("train-b", tolerant, at=2)):
        table.put(key_of(raw), reader.pod(raw))
    assert (table.records, table.loads) == ({}, {}), "it holds nothing any more"
    assert only(cluster(job, ended=table.ended)).template.pods[0][0].tolerations == (Toleration(GPU, "Exists"),)
    table.put(("team", "train-b"), None)
    anew = PodTable()
    anew.remember(table)
    assert anew.ended == table.ended, "also when it is gone, and all pods are listed anew"
    edited = scaled_job(jobTargetRef={"template": {"spec": asking(2, nodeSelector={"zone": "b"})}})
    assert only(cluster(edited, ended=table.ended)).template.pods[0][0].tolerations == ()


def test_volumes_of_a_stateful_set_bound_its_places():
    raw = with_template(deployment(), asking(1))
    raw["spec"]["volumeClaimTemplates"] = [{"metadata": {"name": "models"}}]
    template = only(cluster(scaled_object(), pods=[made("a", asking(1))], deployments=[raw])).template
    assert template.caveats == ("where its volumes can be attached is not counted",)


def test_pods_of_an_older_template_that_asked_for_less_say_nothing_of_the_next():
    scaled = only(
        cluster(scaled_object(), pods=[made("a", asking(1))], deployments=[with_template(deployment(), asking(2))])
    )
    assert asks(scaled)[GPU] == 2


def test_of_an_unknown_kind_the_newest_pod_is_the_template():
    target = {"name": "g", "kind": "Odd", "apiVersion": "odd.dev/v1"}
    known = {"group": "odd.dev", "version": "v1", "resource": "odds"}
    raw = scaled_object("g", target=target, status={"scaleTargetGVKR": known})
    scales = {("team", "Odd.odd.dev", "g"): Scale(2, "app=g")}
    pods = [made("a", asking(1), at=1, labels={"app": "g"}), made("b", asking(4), at=2, labels={"app": "g"})]
    assert asks(only(cluster(raw, pods=pods, scales=scales)))[GPU] == 4
    assert only(cluster(raw, scales=scales)).template is None


LEADER, WORKER = asking(8), asking(8, "2")


@pytest.mark.parametrize(
    ("kind", "pods", "asked", "there", "replica", "sure"),
    [
        ("DynamoGraphDeploymentScalingAdapter", [LEADER, WORKER], 1, 1, 16, False),
        ("DynamoGraphDeploymentScalingAdapter", [LEADER, WORKER], 2, 1, 16, False),
        ("PodCliqueScalingGroup", [LEADER, WORKER, WORKER] * 2, 2, 2, 24, False),
        ("PodClique", [LEADER, LEADER], 2, 2, 8, True),
        ("ModelServing", [LEADER, WORKER, asking(1)], 1, 1, 17, False),
        ("ModelServing", [LEADER, WORKER], 2, 2, 8, False),
        ("RayService", [asking(0), WORKER, WORKER], 1, None, 16, False),
        ("JobSet", [LEADER, WORKER, WORKER], 2, 2, None, False),
        ("JobSet", [WORKER] * 4, 2, 2, 16, False),
        ("InferenceSet", [WORKER], 0, 0, 8, False),
        ("InferenceSet", [WORKER], 1, 1, 8, True),
    ],
)
def test_a_replica_of_any_kind_is_as_many_pods_as_its_controller_has_for_one(kind, pods, asked, there, replica, sure):
    """Only where there is one pod for each replica, and all are alike, it is told without a doubt."""
    known = {"group": "g.dev", "version": "v1", "resource": "gs"}
    target = {"name": "g", "kind": kind, "apiVersion": "g.dev/v1"}
    raw = scaled_object("g", target=target, status={"scaleTargetGVKR": known})
    scales = {("team", f"{kind}.g.dev", "g"): Scale(asked, "app=g", there)}
    own = [made(f"p{number}", one, at=number, labels={"app": "g"}) for number, one in enumerate(pods)]
    ending = made("z", asking(8), at=50, labels={"app": "g"})
    ending["metadata"]["deletionTimestamp"] = stamp(60)
    template = only(cluster(raw, pods=[*own, ending], scales=scales)).template
    assert (template and template.requested(GPU)) == replica
    assert bool(template and template.doubts) is (replica is not None and not sure)


@pytest.mark.parametrize(
    ("job_spec", "size"),
    [
        ({}, 1),
        ({"parallelism": 3}, 3),
        ({"parallelism": 3, "completions": 2}, 2),
        ({"parallelism": 2, "completions": 8}, 2),
    ],
)
def test_a_replica_of_a_scaled_job_is_a_job_with_as_many_pods_as_run_at_a_time(job_spec, size):
    raw = scaled_job(jobTargetRef={**job_spec, "template": {"spec": asking(4)}})
    scaled = read(raw).scaled
    assert (scaled.template.size, asks(scaled)[GPU]) == (size, 4 * size)


def test_what_pods_with_a_node_hold_is_held_and_what_others_ask_for_is_not():
    pods = [made("a", asking(2)), made("b", asking(2)), made("c", asking(2), node="")]
    held = only(cluster(scaled_object(), pods=pods, deployments=[deployment()])).requested_by_own_pods
    assert dict(held) == {GPU: 4, "cpu": 2000, "pods": 2}


def test_nodes_are_barred_by_pods_that_its_own_share_no_node_with():
    term = {"labelSelector": {"matchLabels": {"app": "llama"}}, "topologyKey": "kubernetes.io/hostname"}
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    shy = [with_template(deployment(), asking(1, affinity=apart), {"app": "llama"})]
    stranger = made("x", asking(1), node="n2", owner=("ReplicaSet", "other-1a"), labels={"app": "llama"})
    far = made("y", asking(1), node="n3", owner=("ReplicaSet", "other-1a"), labels={"app": "other"})
    assert only(cluster(scaled_object(), pods=[stranger, far], deployments=shy)).excluded_nodes == (("n2", 0),)
    assert only(cluster(scaled_object(), pods=[stranger], deployments=[deployment()])).excluded_nodes == ()


def test_targets_that_stay_apart_from_their_own_are_not_compared_with_each_other(monkeypatch):
    """Of 40 targets in one namespace, each with two pods, every selector is held against its own pods alone."""
    asked = []
    monkeypatch.setattr(
        "scaler.sources.kubernetes.join.selector_matches",
        lambda *known: asked.append(known) or selector_matches(*known),
    )
    names, pods, written = [f"m{number}" for number in range(40)], [], []
    for name in names:
        term = {"labelSelector": {"matchLabels": {"app": name}}, "topologyKey": "kubernetes.io/hostname"}
        required = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
        apart = asking(1, affinity={"podAntiAffinity": required})
        written.append(with_template(deployment(name), apart, {"app": name}))
        for where in "ab":
            owner = ("ReplicaSet", f"{name}-5d8f")
            pods.append(made(f"{name}-{where}", apart, node=where, owner=owner, labels={"app": name}))
    joined = cluster(*map(scaled_object, names), pods=pods, deployments=written)
    assert {one.excluded_nodes for one in joined} == {(("a", 0), ("b", 0))}
    assert len(asked) == len(names)


def test_a_pod_that_waits_says_whether_it_was_tried_and_what_it_waits_for():
    conditions = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]
    cases = {
        (False, False, ""): {},
        (True, False, "n"): {"conditions": conditions, "nominatedNodeName": "n"},
        (False, True, ""): {"conditions": [{**conditions[0], "reason": "SchedulingGated"}]},
    }
    for expected, status in cases.items():
        waiting = ObjectReader().pod({**pod("a", node=""), "status": {"phase": "Pending", **status}}).waiting
        assert (waiting.unschedulable, waiting.gated, waiting.nominated) == expected
    assert ObjectReader().pod(pod("a", node="", deleted=True)).waiting is None, "nobody will place it"


def test_pods_of_a_daemon_set_share_a_shape_though_each_names_its_node():
    reader = ObjectReader()
    named = [
        made(
            name,
            {
                "affinity": {
                    "nodeAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": {
                            "nodeSelectorTerms": [
                                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]}
                            ]
                        }
                    }
                }
            },
            owner=("DaemonSet", "plugin"),
        )
        for name in "ab"
    ]
    first, second = map(reader.pod, named)
    assert first.shape is second.shape
