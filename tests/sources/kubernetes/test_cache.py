"""Lists and watches over a real socket, against a server that does everything that goes wrong."""

import json
import subprocess
import sys
import threading

import pytest
from support.cluster import GPU, node, on, spec
from support.kubernetes_objects import deployment, endpoint_slice, hpa, job, meta, pod, scaled_job, scaled_object
from support.kubernetes_server import Server
from support.prometheus_server import until

from scaler.model.errors import SourceError
from scaler.sources.kubernetes.api import ApiServer
from scaler.sources.kubernetes.cache import ClusterCache, reachable
from scaler.sources.kubernetes.read_objects import ObjectReader
from scaler.sources.kubernetes.reflector import Backoff, Common, Reflector
from scaler.sources.kubernetes.resources import PODS, RESOURCES, SCALES, WATCHED

QUICK = Backoff(rests=(0.02,), silence=2.0, believed=60.0, scales=0.02)
LWS = {"name": "g", "kind": "LeaderWorkerSet", "apiVersion": "leaderworkerset.x-k8s.io/v1"}
KNOWN = {"scaleTargetGVKR": {"group": "leaderworkerset.x-k8s.io", "version": "v1", "resource": "leaderworkersets"}}
SCALE = "/apis/leaderworkerset.x-k8s.io/v1/namespaces/team/leaderworkersets/g/scale"


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def server():
    made = Server()
    made.put("scaledobjects", scaled_object())
    made.put("deployments", deployment())
    made.put("pods", pod("llama-5d8f-a"), pod("llama-5d8f-b"))
    yield made
    made.close()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def start(server, tmp_path, clock):
    """Watch the server; gives the watcher, which has read everything once."""
    started = []

    def begin(namespaces=(), pace=QUICK, behind=()):
        kube = ClusterCache(server.kubeconfig(tmp_path), namespaces, (), clock, pace, behind)
        started.append(kube)
        kube.start()
        until(lambda: kube.wait_for_sync(0.0))
        return kube

    yield begin
    for kube in started:
        kube.close()


def one(kube, name="llama"):
    [scaled] = kube.cluster().objects.get(("team", name)) or [None]
    return scaled


def pods_of(kube):
    scaled = one(kube)
    return [pod.name for pod in scaled.pods] if scaled and scaled.pods is not None else None


def lists(server, plural):
    return [query for query in server.asked(plural) if "watch" not in query]


# ---- what it gives --------------------------------------------------------------------------------------------------------


def test_everything_that_is_watched_comes_together(server, start):
    server.put("horizontalpodautoscalers", hpa())
    server.put("scaledjobs", scaled_job())
    server.put("jobs", job("train-1"))
    kube = start()
    snapshot = kube.cluster()
    scaled, training = one(kube), one(kube, "train")
    assert (scaled.replicas, scaled.hpa.desired, pods_of(kube)) == (2, 3, ["llama-5d8f-a", "llama-5d8f-b"])
    assert (training.kind, training.replicas) == ("ScaledJob", 1)
    assert (snapshot.problems, snapshot.synced_kinds) == ({}, {"ScaledObject", "ScaledJob"})
    assert {query["token"] for _, query in server.requests} == {"Bearer secret"}
    assert {query.get("labelSelector") for query in server.asked("jobs")} == {"scaledjob.keda.sh/name"}


def test_changes_come_by_the_watch_and_not_by_lists(server, start):
    kube = start()
    server.put("pods", pod("llama-5d8f-c"))
    server.delete("pods", pod("llama-5d8f-a"))
    server.put("deployments", deployment(replicas=5))
    until(lambda: pods_of(kube) == ["llama-5d8f-b", "llama-5d8f-c"] and one(kube).replicas == 5)
    server.delete("scaledobjects", scaled_object())
    until(lambda: kube.cluster().objects == {})
    assert [len(lists(server, resource.plural)) for resource in WATCHED] == [1] * len(WATCHED)


def test_a_picture_is_made_anew_only_when_something_changed(server, start):
    kube = start()
    before = kube.cluster()
    server.put("pods", pod("llama-5d8f-a"))  # the same as before
    server.bookmark("pods")
    until(lambda: server.asked("pods")[-1]["resourceVersion"] == str(server.version))
    assert kube.cluster().objects is before.objects


def test_long_lists_come_in_pages(server, start):
    server.put("pods", *(pod(f"llama-5d8f-{number}") for number in range(1201)))
    kube = start()
    assert len(pods_of(kube)) == 1203
    pages = lists(server, "pods")
    assert [page.get("continue") for page in pages] == [None, "500", "1000"]
    assert {page["limit"] for page in pages} == {"500"}


def test_a_pod_that_ends_or_changes_its_owner_leaves_its_group(server, start):
    kube = start()
    server.put("pods", pod("llama-5d8f-a", phase="Failed"), pod("llama-5d8f-b", ("ReplicaSet", "other-1a")))
    until(lambda: pods_of(kube) == [])


def test_the_addresses_behind_a_service_follow_its_slices_and_nothing_else_is_read(server, start, clock):
    server.put(
        "endpointslices", endpoint_slice("epp", "10.0.0.1"), endpoint_slice("epp", "fd00::1", name="6", kind="IPv6")
    )
    kube = start(behind=[("team", "epp")])
    assert kube.addresses("team", "epp") == ({"10.0.0.1", "fd00::1"}, "")
    server.put("endpointslices", endpoint_slice("epp", "10.0.0.2", unready=["10.0.0.1"]))
    until(lambda: kube.addresses("team", "epp") == ({"10.0.0.2", "fd00::1"}, ""))
    assert {(query["namespace"], query["labelSelector"]) for query in server.asked("endpointslices")} == {
        ("team", "kubernetes.io/service-name=epp")
    }
    server.refused["endpointslices"] = (500, "away")
    server.drop()
    until(lambda: any("500: away" in problem for problem in kube.cluster().problems.values()))
    clock.now += 100
    assert kube.addresses("team", "epp") == ({"10.0.0.2", "fd00::1"}, "Kubernetes was last heard 100s ago")


def test_addresses_that_may_not_be_read_are_not_known_and_name_the_right(server, start):
    server.refused["endpointslices"] = (403, "forbidden")
    kube = start(behind=[("team", "epp")])
    assert kube.addresses("team", "epp") == (
        frozenset(),
        "the addresses of Services that endpoints name: list and watch endpointslices.discovery.k8s.io: 403: forbidden",
    )


def test_only_some_namespaces_can_be_watched(server, start):
    elsewhere = pod("llama-5d8f-z")
    elsewhere["metadata"]["namespace"] = "elsewhere"
    server.put("pods", elsewhere)
    kube = start(namespaces=("team", "second"))
    assert pods_of(kube) == ["llama-5d8f-a", "llama-5d8f-b"]
    assert {query["namespace"] for query in server.asked("pods")} == {"team", "second"}


def test_other_kinds_are_asked_for_their_scale(server, start):
    server.scales[SCALE] = {"spec": {"replicas": 2}, "status": {"selector": "app=g"}}
    server.put("scaledobjects", scaled_object("g", target=LWS, status=KNOWN))
    server.put("pods", pod("g-0", ("StatefulSet", "g"), {"app": "g"}))
    kube = start()
    until(lambda: one(kube, "g").replicas == 2)
    assert [pod.name for pod in one(kube, "g").pods] == ["g-0"]
    server.scales[SCALE] = {"spec": {"replicas": "odd"}}
    until(lambda: "*/scale" in kube.cluster().problems)
    assert one(kube, "g").replicas == 2, "kept"
    del server.scales[SCALE]
    until(lambda: one(kube, "g").replicas is None)
    assert kube.cluster().problems["*/scale"].endswith("scale: 404: no such scale")
    server.delete("scaledobjects", scaled_object("g", target=LWS))
    until(lambda: kube.cluster().problems == {})


def test_targets_that_are_too_many_to_look_at_are_told(server, start, monkeypatch):
    monkeypatch.setattr("scaler.sources.kubernetes.cache.MOST_SCALES", 1)
    server.scales[SCALE] = {"spec": {"replicas": 2}, "status": {"selector": "app=g"}}
    other = {**LWS, "name": "h"}
    server.put("scaledobjects", scaled_object("g", target=LWS, status=KNOWN))
    server.put("scaledobjects", scaled_object("h", target=other, status=KNOWN))
    kube = start()
    until(lambda: one(kube, "g").replicas == 2)
    assert one(kube, "h").replicas is None
    assert kube.cluster().problems == {"*/scale": f"{SCALES.purpose}: 1 of 2 are too many to look at"}


# ---- machines --------------------------------------------------------------------------------------------------------------


def test_machines_and_what_pods_hold_of_them_are_in_the_picture(server, start):
    server.put("nodes", node("gpu-1", 8), node("gpu-2", 4))
    server.put("deployments", {**deployment(), "spec": {"template": {"spec": spec(2)}}})
    server.put("pods", on("other-5d8f-a", "gpu-1"), on("other-5d8f-b", ""))
    server.put(
        "resourcequotas",
        {"metadata": {"namespace": "team", "name": "q"}, "spec": {}, "status": {"hard": {"pods": "9"}}},
    )
    kube = start()
    snapshot = kube.cluster().node_snapshot
    assert (sorted(snapshot.nodes), snapshot.usage["gpu-1"].requests[GPU]) == (["gpu-1", "gpu-2"], 1)
    assert [pod.name for pod in snapshot.pending_pods.ahead_in_queue] == ["other-5d8f-b"]
    assert (one(kube).template.requested(GPU), snapshot.quotas["team"][0].hard) == (2, {"pods": 9})
    assert snapshot.last_synced is not None


def test_what_admission_adds_to_pods_that_are_not_there_yet_is_in_the_picture(server, start):
    limits = [{"type": "Container", "defaultRequest": {"cpu": "2"}}]
    server.put("limitranges", {"metadata": {"namespace": "team", "name": "l"}, "spec": {"limits": limits}})
    server.put("priorityclasses", {"metadata": {"name": "serving"}, "value": 7, "preemptionPolicy": "Never"})
    pods = {"template": {"spec": spec(2, priorityClassName="serving")}}
    server.put("deployments", {**deployment("new"), "spec": pods})
    server.put("scaledobjects", scaled_object("new"))
    kube = start()
    [(shape, _)] = one(kube, "new").template.pods
    assert (shape.requested("cpu"), shape.priority, shape.preempts) == (2000, 7, False)


def test_the_load_of_a_node_follows_its_pods(server, start):
    server.put("nodes", node("n"))
    kube = start()
    pods = [on(f"other-5d8f-{name}", "n", spec(gpus)) for name, gpus in {"a": 1, "b": 2, "c": 4}.items()]
    server.put("pods", *pods)
    until(lambda: held(kube) == 7)
    server.put("pods", {**pods[1], "status": {"phase": "Succeeded"}})
    server.delete("pods", pods[0])
    until(lambda: held(kube) == 4)
    server.delete("pods", pods[2])
    until(lambda: "n" not in kube.cluster().node_snapshot.usage)


def held(kube):
    load = kube.cluster().node_snapshot.usage.get("n")
    return load and load.requests.get(GPU)


def test_machines_that_did_not_change_are_the_same_in_the_next_picture(server, start):
    """By which the ledger of places sees what it need not count again."""
    server.put("nodes", node("a"), node("b"))
    kube = start()
    before = kube.cluster().node_snapshot
    server.put("nodes", node("a"))  # a heartbeat
    server.put("pods", on("other-5d8f-a", "b"))
    until(lambda: "b" in kube.cluster().node_snapshot.usage)
    after = kube.cluster().node_snapshot
    assert after.nodes is before.nodes
    assert after.usage.get("gpu-1") is before.usage.get("gpu-1")


def test_what_is_not_installed_is_none_and_no_problem(server, start):
    """As in clusters without Karpenter and LeaderWorkerSet."""
    absent = {"nodepools", "nodeclaims", "leaderworkersets"}
    server.refused = dict.fromkeys(absent, (404, "404 page not found"))
    kube = start()
    snapshot = kube.cluster().node_snapshot
    assert (snapshot.node_pools, snapshot.node_claims, kube.cluster().problems) == ({}, (), {})
    assert not snapshot.no_provisioner
    server.refused = {}
    server.put("nodepools", {"metadata": {"name": "gpu"}, "spec": {"template": {"spec": {}}}})
    until(lambda: list(kube.cluster().node_snapshot.node_pools) == ["gpu"])


def test_machines_that_may_not_be_read_are_not_known_and_the_verb_is_told(server, start, clock):
    server.refused = dict.fromkeys(("nodes", "nodepools", "resourcequotas"), (403, "no"))
    kube = start()
    snapshot = kube.cluster()
    assert (snapshot.node_snapshot.nodes, snapshot.node_snapshot.node_pools, snapshot.node_snapshot.quotas) == (
        None,
        None,
        None,
    )
    assert snapshot.problems["nodes"] == "which machines there are: list and watch nodes: 403: no"
    assert pods_of(kube) == ["llama-5d8f-a", "llama-5d8f-b"]
    clock.now += 100
    until(lambda: kube.cluster().stale_reason(clock.now) == "")


def test_of_events_only_those_about_machines_that_could_not_be_had_are_asked_for(server, start):
    start()
    assert {query.get("fieldSelector") for query in server.asked("events")} == {"reason=InsufficientCapacityError"}


def test_machines_are_those_of_all_namespaces_and_their_pods_may_not_be(server, start):
    server.put("nodes", node("n"))
    kube = start(namespaces=("team",))
    assert list(kube.cluster().node_snapshot.nodes) == ["n"]
    assert kube.cluster().node_snapshot.incomplete_reason == "pods outside of team are not seen"


def test_a_replica_of_a_leader_worker_set_is_a_leader_and_its_workers(server, start):
    group = {"leaderTemplate": {"spec": spec(0)}, "workerTemplate": {"spec": spec(8)}, "size": 3}
    server.put("leaderworkersets", {"metadata": meta("g"), "spec": {"replicas": 2, "leaderWorkerTemplate": group}})
    server.put("scaledobjects", scaled_object("g", target=LWS))
    labels = {"leaderworkerset.sigs.k8s.io/name": "g"}
    server.put("pods", on("g-0-1", "n", spec(8), labels=labels, owner=("StatefulSet", "g-0")))
    kube = start()
    scaled = one(kube, "g")
    assert (scaled.replicas, scaled.template.size, scaled.template.requested(GPU)) == (2, 3, 16)
    assert scaled.template.caveats == ()
    alone = meta("g", annotations={"leaderworkerset.sigs.k8s.io/exclusive-topology": "rack"})
    server.put("leaderworkersets", {"metadata": alone, "spec": {"leaderWorkerTemplate": group}})
    until(lambda: one(kube, "g").template.caveats == ("that a group has its rack for itself is not counted",))


# ---- what goes wrong -------------------------------------------------------------------------------------------------------


def test_a_dropped_connection_goes_on_where_it_was(server, start):
    server.quiet = 30.0
    kube = start()
    until(lambda: any("watch" in query for query in server.asked("pods")))
    server.put("pods", pod("llama-5d8f-c"))
    until(lambda: len(pods_of(kube)) == 3)
    at = server.version
    server.drop()
    server.put("pods", pod("llama-5d8f-d"))
    until(lambda: len(pods_of(kube)) == 4)
    assert len(lists(server, "pods")) == 1
    assert str(at) in {query.get("resourceVersion") for query in server.asked("pods")}


def test_a_bookmark_moves_the_version_that_is_gone_on_from(server, start):
    start()
    server.bookmark("pods")
    marked = str(server.version)
    until(lambda: server.asked("pods")[-1].get("resourceVersion") == marked)


def test_a_version_that_is_gone_is_listed_anew_and_nothing_is_missed(server, start):
    kube = start()
    server.quiet = 0.01
    server.events["pods"] = []
    server.objects["pods"] = {}
    server.put("pods", pod("llama-5d8f-new"))
    server.events["pods"] = []  # the deletions and the new pod were never told
    server.compact()
    until(lambda: pods_of(kube) == ["llama-5d8f-new"])
    until(lambda: "pods" not in kube.cluster().problems)


def test_a_page_that_comes_too_late_is_listed_from_the_start(server, start):
    server.put("pods", *(pod(f"llama-5d8f-{number}") for number in range(600)))
    server.stale_pages = 1
    kube = start()
    until(lambda: len(pods_of(kube) or ()) == 602)
    assert [page.get("continue") for page in lists(server, "pods")] == [None, "500", None, "500"]


def test_a_list_whose_pages_always_come_too_late_is_not_known_and_says_why(server, start):
    server.put("pods", *(pod(f"llama-5d8f-{number}") for number in range(600)))
    server.stale_pages = 1_000_000
    kube = start()
    told = "which pods are whose: list and watch pods: 410: The provided continue parameter is too old"
    assert (pods_of(kube), kube.cluster().problems) == (None, {"pods": told})
    server.stale_pages = 0
    until(lambda: len(pods_of(kube) or ()) == 602)
    until(lambda: kube.cluster().problems == {})


def test_a_server_that_is_gone_leaves_the_last_picture_and_its_age(server, start, clock):
    kube = start()
    heard = kube.cluster().last_synced
    server.close()  # which cuts what is being read, too
    away = lambda: [one for one in kube.cluster().problems.values() if "cannot be reach" in one]  # noqa: E731
    until(lambda: len(away()) == len(WATCHED))
    clock.now += 300
    snapshot = kube.cluster()
    assert (snapshot.last_synced, snapshot.stale_reason(clock.now)) == (heard, "Kubernetes was last heard 300s ago")
    assert pods_of(kube) == ["llama-5d8f-a", "llama-5d8f-b"]
    assert snapshot.problems["pods"].startswith(
        "which pods are whose: list and watch pods: the API server cannot be reach"
    )


class Rested(threading.Event):
    """Ends a reflector at its third rest, and remembers how long each was to be."""

    def __init__(self, clock):
        super().__init__()
        self.clock, self.rests = clock, []

    def wait(self, timeout=None):
        self.rests.append(timeout)
        self.clock.now += timeout
        if len(self.rests) == 3:
            self.set()
        return self.is_set()


def test_a_server_that_ends_every_watch_at_once_is_not_asked_without_rest(server, tmp_path, clock):
    """As a proxy does that knows no streams: it was asked 600 times a second."""
    server.quiet = 0.0
    common = Common(ApiServer(server.kubeconfig(tmp_path)), threading.Lock(), clock, Backoff(), ObjectReader(()))
    reflector, stopped = Reflector(common, PODS, None), Rested(clock)
    reflector.run(stopped)
    assert stopped.rests == [1.0, 1.0, 1.0]
    assert len(lists(server, "pods")) == 1
    assert len(server.asked("pods")) == 1 + 3
    assert len(reflector.table.records) == 2
    assert reflector.problem == ""


def test_quiet_is_no_silence(server, start, clock):
    kube = start()
    clock.now += 20
    until(lambda: kube.cluster().last_synced == clock.now)


def test_a_silent_server_is_found_out(server, start):
    server.quiet = 1000.0
    kube = start(pace=Backoff(rests=(0.02,), silence=0.3))
    until(lambda: len(server.asked("pods")) > 3)
    assert pods_of(kube) == ["llama-5d8f-a", "llama-5d8f-b"]


@pytest.mark.parametrize("resource", WATCHED, ids=str)
def test_each_resource_that_is_refused_is_named_with_what_is_not_known_for_it(server, start, resource):
    server.refused[resource.plural] = (403, "no")
    told = f"{resource.purpose}: list and watch {resource}: 403: no"
    assert start().cluster().problems == {str(resource): told}


def test_what_is_refused_from_the_start_is_unknown_and_never_zero(server, start):
    forbidden = 'pods is forbidden: User "u" cannot list resource "pods" in API group "" at the cluster scope'
    server.refused = {"pods": (403, forbidden), "deployments": (403, "no"), "scaledjobs": (404, "page not found")}
    kube = start()
    scaled, snapshot = one(kube), kube.cluster()
    assert (scaled.pods, scaled.replicas) == (None, None)
    assert snapshot.problems["pods"] == f"which pods are whose: list and watch pods: 403: {forbidden}"
    assert snapshot.problems["scaledjobs.keda.sh"].endswith("list and watch scaledjobs.keda.sh: 404: page not found")
    assert snapshot.synced_kinds == {"ScaledObject"}
    server.refused = {}
    until(lambda: pods_of(kube) == ["llama-5d8f-a", "llama-5d8f-b"])
    until(lambda: kube.cluster().problems == {})


def test_a_refusal_is_believed_only_after_a_while(server, start, clock):
    kube = start()
    server.refused["pods"] = (403, "RBAC: not ready yet")
    until(lambda: "pods" in kube.cluster().problems)
    assert pods_of(kube) == ["llama-5d8f-a", "llama-5d8f-b"]
    clock.now += 61
    until(lambda: pods_of(kube) is None)
    assert one(kube).replicas == 2, "what is not refused is still known"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"<html>", "the API server sends what is not JSON: '<html>'"),
        (b"[]", "the API server sends list, not an object"),
        (b'{"metadata": {}, "items": []}', "cannot be read (KeyError: 'resourceVersion')"),
    ],
)
def test_an_answer_that_cannot_be_read_is_said_and_tried_again(server, start, body, problem):
    server.raw["pods"] = body
    kube = start()
    assert kube.cluster().problems["pods"].endswith(problem)
    assert pods_of(kube) is None
    server.raw = {}
    until(lambda: pods_of(kube) == ["llama-5d8f-a", "llama-5d8f-b"])


def test_one_odd_object_does_not_hide_the_others_and_is_said(server, start):
    odd = scaled_object("odd", fallback=["no", "mapping"])
    server.put("scaledobjects", odd)
    kube = start()
    seen = kube.cluster()
    assert list(seen.objects) == [("team", "llama")]
    assert seen.left_out == {
        "scaledobjects.keda.sh": ("team/odd: AttributeError: 'list' object has no attribute 'get'",)
    }
    assert seen.problems == {}
    server.put("scaledobjects", scaled_object("odd"))
    until(lambda: kube.cluster().left_out == {})
    assert one(kube, "odd") is not None


def test_an_odd_pod_is_a_doubt_in_its_own_namespace_alone(server, start):
    other = scaled_object()
    other["metadata"] = meta("llama", "other")
    odd = pod("llama-5d8f-odd")
    odd["spec"]["priority"] = "high"
    server.put("scaledobjects", other)
    server.put("pods", odd)
    kube = start()
    assert one(kube).stale_reason == "pods llama-5d8f-odd cannot be read, and may be one of its own"
    assert pods_of(kube) == ["llama-5d8f-a", "llama-5d8f-b"]
    assert kube.cluster().objects["other", "llama"][0].stale_reason == ""
    server.delete("pods", odd)
    until(lambda: one(kube).stale_reason == "")


@pytest.mark.parametrize(
    "line",
    [
        b"oops\n",
        json.dumps({"type": "ERROR", "object": {"code": 500, "message": "etcd"}}).encode() + b"\n",
        json.dumps({"type": "ADDED", "object": {}}).encode() + b"\n",
        b"x" * 200_000,
    ],
)
def test_an_event_that_cannot_be_read_harms_nothing(server, start, line, monkeypatch):
    monkeypatch.setattr("scaler.sources.kubernetes.api.LONGEST_EVENT", 100_000)
    server.odd = [line] * len(WATCHED)
    kube = start()
    server.put("pods", pod("llama-5d8f-c"))
    until(lambda: len(pods_of(kube) or ()) == 3)
    until(lambda: kube.cluster().problems == {})


def test_a_page_without_end_is_not_read(server, start, monkeypatch):
    monkeypatch.setattr("scaler.sources.kubernetes.api.LONGEST_PAGE", 1000)
    server.put("pods", *(pod(f"llama-5d8f-{number}") for number in range(20)))
    kube = start()
    assert kube.cluster().problems["pods"].endswith("the API server sends a page of more than 1000 bytes")


def test_errors_of_the_server_are_told_in_its_words(server, start):
    server.refused["pods"] = (503, "etcdserver: leader changed")
    assert start().cluster().problems["pods"].endswith("503: etcdserver: leader changed")


# ---- access ----------------------------------------------------------------------------------------------------------------


def test_without_access_it_says_so_at_the_start(tmp_path, monkeypatch, clock):
    monkeypatch.delenv("KUBECONFIG", raising=False)
    for kubeconfig in (tmp_path / "nothing", None):
        with pytest.raises(SourceError, match="no access to Kubernetes"):
            ClusterCache(kubeconfig, (), (), clock).start()


def test_what_makes_it_reachable(tmp_path, monkeypatch):
    monkeypatch.delenv("KUBECONFIG", raising=False)
    assert not reachable(None)
    assert reachable(tmp_path)
    monkeypatch.setenv("KUBECONFIG", "somewhere")
    assert reachable(None)


def test_a_kubeconfig_named_by_the_environment_is_used(server, tmp_path, clock):
    """In a process of its own, since the client reads the variable when it is imported."""
    program = (
        "import sys, time; from scaler.sources.kubernetes.cache import ClusterCache\n"
        "assert 'kubernetes' not in sys.modules, 'imported before it is used'\n"
        "kube = ClusterCache(None, (), (), time.time); kube.cluster(); kube.start(); kube.wait_for_sync(20)\n"
        "print(len(list(kube.cluster()))); kube.close()"
    )
    environment = {"KUBECONFIG": str(server.kubeconfig(tmp_path)), "PATH": ""}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert run.stdout == "1\n", run.stderr


def test_paths_and_names_of_resources():
    assert PODS.path(None) == "/api/v1/pods"
    assert PODS.path("team") == "/api/v1/namespaces/team/pods"
    assert {str(resource) for resource in RESOURCES} >= {"pods", "deployments.apps", "scaledobjects.keda.sh"}
