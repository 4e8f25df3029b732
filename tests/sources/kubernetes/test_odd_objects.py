"""Objects of every kind that are not as they should be, beside sound ones, on a real wire: no part ends, nobody else
is touched, and what is left out is said."""

import copy
import random
import threading

import pytest
from support.cluster import node, spec
from support.kubernetes_objects import (
    controlled,
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
from support.kubernetes_server import Server
from support.prometheus_server import until

from scaler.config.bind import parse_file
from scaler.config.catalog import Catalog
from scaler.config.defaults import Defaults
from scaler.engine.engine import Engine
from scaler.model.measurement import NO_NAMESPACES, Reading, TriggerRef
from scaler.model.nodes import ResourceQuota
from scaler.sources.kubernetes.cache import ClusterCache
from scaler.sources.kubernetes.reflector import Backoff
from scaler.sources.kubernetes.resources import SCALES, SLICES, WATCHED
from scaler.sources.kubernetes.well_formed import Malformed, check

QUICK = Backoff(rests=(0.02,), silence=2.0, believed=60.0, scales=0.02)
MUTANTS = 120  # of each kind of object
ODD = [
    None, True, False, 0, -1, 1.5, 10**400, -(10**400), 1e300, float("inf"), float("nan"), "", "x", "1e999999999", "-1",
    "9" * 400, "0001-01-01T00:00:00", "9999-12-31T23:59:59Z", "yesterday", "\ud800", [], ["x"], [None], [[]], {},
    {"x": "y"}, {"x": None}, {"": []},
]  # fmt: skip
ROOMY = {"cpu": "4", "memory": "8Gi", "nvidia.com/gpu": "1"}
TEMPLATE = {
    "metadata": {"labels": {"app": "x"}},
    "spec": spec(
        affinity={
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}]
                }
            },
            "podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [
                    {"labelSelector": {"matchLabels": {"app": "x"}}, "topologyKey": "kubernetes.io/hostname"}
                ]
            },
        },
        tolerations=[{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
        initContainers=[{"name": "i", "restartPolicy": "Always", "resources": {"requests": ROOMY}}],
        priority=5,
    ),
}
GROUPS = [{"flavors": [{"name": "f", "resources": [{"name": "cpu", "nominalQuota": "2", "borrowingLimit": "1"}]}]}]
CONDITIONS = [{"type": "Ready", "status": "True", "reason": "r", "message": "m", "lastTransitionTime": stamp(1)}]


def of_kind(plural):
    """A sound object of a stranger, with everything in it that is read."""
    named = meta("odd", "evil")
    known = {
        "scaledobjects": scaled_object(
            "odd",
            status={"conditions": CONDITIONS, "scaleTargetGVKR": {"group": "g.dev", "version": "v1", "resource": "gs"}},
            annotations={"autoscaling.keda.sh/paused-replicas": "1"},
            fallback={"failureThreshold": 3, "replicas": 2},
            minReplicaCount=1,
            maxReplicaCount=5,
        ),
        "scaledjobs": scaled_job("odd", jobTargetRef={"parallelism": 2, "completions": 2, "template": TEMPLATE}),
        "horizontalpodautoscalers": hpa("odd", conditions=CONDITIONS)
        | {"spec": {"minReplicas": 1, "maxReplicas": 4, "behavior": {"scaleUp": {
            "stabilizationWindowSeconds": 3, "tolerance": "0.1",
            "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}]}}}},
        "deployments": {"metadata": named, "spec": {"replicas": 2, "template": TEMPLATE}},
        "statefulsets": {"metadata": named, "spec": {"replicas": 2, "template": TEMPLATE, "volumeClaimTemplates": [1]}},
        "jobs": job("odd", "llama", done="Complete", parallelism=1),
        "pods": pod("odd", annotations={"prometheus.io/port": "8000"}) | {"spec": {**TEMPLATE["spec"], "nodeName": "n"}},
        "leaderworkersets": {
            "metadata": named,
            "spec": {"replicas": 2, "leaderWorkerTemplate": {"size": 2, "workerTemplate": TEMPLATE}},
        },
        "nodes": node("odd", taints=[{"key": "a", "value": "b", "effect": "NoSchedule"}]),
        "resourcequotas": {"metadata": named, "spec": {}, "status": {"hard": ROOMY, "used": ROOMY}},
        "limitranges": {"metadata": named, "spec": {"limits": [{"type": "Container", "defaultRequest": ROOMY}]}},
        "priorityclasses": {"metadata": {"name": "odd"}, "value": 100, "preemptionPolicy": "Never"},
        "runtimeclasses": {
            "metadata": {"name": "odd"},
            "overhead": {"podFixed": ROOMY},
            "scheduling": {"nodeSelector": {"a": "b"}, "tolerations": [{"key": "a", "operator": "Exists"}]},
        },
        "nodepools": {
            "metadata": {"name": "odd"},
            "spec": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": {
                "requirements": [{"key": "a", "operator": "In", "values": ["b"]}],
                "taints": [{"key": "a", "effect": "NoSchedule"}]}}, "limits": ROOMY},
            "status": {"resources": ROOMY, "conditions": CONDITIONS},
        },
        "nodeclaims": {
            "metadata": {"name": "odd", "labels": {"karpenter.sh/nodepool": "p"}},
            "spec": {"requirements": [{"key": "a", "operator": "In", "values": ["b"]}], "resources": {"requests": ROOMY}},
            "status": {"capacity": ROOMY, "allocatable": ROOMY, "nodeName": "n", "providerID": "p",
                       "conditions": [{**CONDITIONS[0], "type": "Launched"}]},
        },
        "nodeoverlays": {
            "metadata": {"name": "odd"},
            "spec": {"requirements": [{"key": "a", "operator": "In", "values": ["b"]}], "capacity": {"a.dev/x": "2"}},
            "status": {"conditions": [{**CONDITIONS[0], "type": "ValidationSucceeded"}]},
        },
        "capacitybuffers": {"metadata": named, "spec": {}, "status": {"replicas": 2}},
        "events": {"metadata": named, "involvedObject": {"kind": "NodeClaim", "name": "p-1"}, "message": "none",
                   "lastTimestamp": stamp(1), "series": {"lastObservedTime": stamp(2)}},
        "resourceslices": {
            "metadata": {"name": "odd"},
            "spec": {"driver": "gpu", "nodeName": "n", "pool": {"name": "n", "generation": 1, "resourceSliceCount": 1},
                     "devices": [{"name": "g", "attributes": {"type": {"string": "gpu"}}}]},
        },
        "deviceclasses": {"metadata": {"name": "odd"}, "spec": {"selectors": [{"cel": {"expression": "true"}}]}},
        "resourceclaimtemplates": {"metadata": named, "spec": {"spec": {"devices": {"requests": [
            {"exactly": {"deviceClassName": "gpu", "count": 1, "selectors": [{"cel": {"expression": "true"}}]}}]}}}},
        "resourceclaims": {"metadata": named, "status": {
            "allocation": {"devices": {"results": [{"driver": "gpu", "pool": "n", "device": "g"}]}},
            "reservedFor": [{"resource": "pods", "name": "a"}]}},
        "namespaces": {"metadata": {"name": "odd", "annotations": {"openshift.io/node-selector": "a=b"}}},
        "localqueues": {"metadata": named, "spec": {"clusterQueue": "q"}},
        "clusterqueues": {
            "metadata": {"name": "odd"},
            "spec": {"cohortName": "c", "resourceGroups": GROUPS, "preemption": {"withinClusterQueue": "Never"}},
            "status": {"flavorsReservation": [{"name": "f", "resources": [{"name": "cpu", "total": "1"}]}],
                       "conditions": [{**CONDITIONS[0], "type": "Active"}]},
        },
        "cohorts": {"metadata": {"name": "odd"}, "spec": {"parentName": "c", "resourceGroups": GROUPS}},
        "resourceflavors": {"metadata": {"name": "odd"}, "spec": {
            "nodeLabels": {"a": "b"}, "tolerations": [{"key": "a", "operator": "Exists"}]}},
        "devicetaintrules": {
            "metadata": {"name": "odd"},
            "spec": {"deviceSelector": {"pool": "n"}, "taint": {"key": "a", "effect": "NoSchedule"}}},
    }  # fmt: skip
    return copy.deepcopy(known[plural])


def sound(plural, name):
    """A sound object of a stranger, of this name."""
    raw = of_kind(plural)
    raw["metadata"] = {**raw["metadata"], "name": name, "resourceVersion": "7"}
    if "namespace" in raw["metadata"]:
        raw["metadata"]["namespace"] = "evil"
    return raw


def paths(tree, here=()):
    """Every place in an object."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in pairs:
        yield (*here, key)
        yield from paths(value, (*here, key))


def spoilt(plural, count=MUTANTS, seed=12):
    """So many spoilt copies of an object: a key that is missing, or a value that nobody expects."""
    chance = random.Random(f"{plural} {seed}")
    kept = {("metadata",), ("metadata", "name"), ("metadata", "namespace"), ("metadata", "resourceVersion")}
    places = [path for path in paths(of_kind(plural)) if path not in kept]
    for number in range(count):
        raw = sound(plural, f"odd-{number}")
        *way, last = chance.choice(places)
        parent = raw
        for key in way:
            parent = parent[key]
        if chance.random() < 0.2:
            del parent[last]
        else:
            parent[last] = copy.deepcopy(chance.choice(ODD))
        yield raw


@pytest.fixture
def server():
    made = Server()
    made.put("scaledobjects", scaled_object())
    made.put("deployments", deployment())
    made.put("horizontalpodautoscalers", hpa())
    made.put("pods", pod("llama-5d8f-a"), pod("llama-5d8f-b"))
    yield made
    made.close()


class Clock:
    now = 1_800_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def kube(server, tmp_path):
    made = ClusterCache(server.kubeconfig(tmp_path), (), (), Clock(), QUICK, behind=[("team", "front")])
    yield made
    made.close()


def known(cluster):
    """What is known of the sound workload, but for what depends on machines that everybody shares."""
    [scaled] = cluster.objects["team", "llama"]
    pods = [(one.name, one.state) for one in scaled.pods]
    return scaled.replicas, pods, scaled.hpa, scaled.stale_reason, scaled.triggers


def sound_threads(kube):
    """Every part that watches, by name."""
    own = {f"kube-{resource.plural}" for resource in (*WATCHED, SLICES)} | {"kube-scales"}
    return own <= {thread.name for thread in threading.enumerate() if thread.is_alive()}


@pytest.mark.parametrize("resource", WATCHED, ids=str)
@pytest.mark.parametrize("way", ["listed", "as events"])
def test_odd_objects_touch_nobody_else_and_end_no_part(server, kube, resource, way):
    plural = resource.plural
    mutants = list(spoilt(plural))
    if way == "listed":
        server.objects.setdefault(plural, {}).update({server._key(raw): raw for raw in mutants})
    kube.start()
    until(lambda: kube.wait_for_sync(0.0))
    if way == "as events":
        server.put(plural, *mutants)
    last = sound(plural, "z")
    server.put(plural, last)
    watch = next(one for one in kube._reflectors if one.resource is resource)
    seen = resource.key(last)
    until(lambda: watch.table is not None and seen in watch.table.records)
    cluster = kube.cluster()
    assert known(cluster) == (2, [("llama-5d8f-a", "ready"), ("llama-5d8f-b", "ready")], *known(cluster)[2:])
    assert known(cluster)[2].desired == 3
    assert known(cluster)[3] == ""
    assert set(cluster.left_out) == {str(resource)}, "something was odd, and it is said"
    assert cluster.problems == {}
    assert sound_threads(kube)


async def test_a_decision_beside_all_odd_objects_is_what_it_was(server, kube):
    for resource in WATCHED:
        raws = {server._key(raw): raw for raw in spoilt(resource.plural, 30)}
        server.objects.setdefault(resource.plural, {}).update(raws)
    kube.start()
    until(lambda: kube.wait_for_sync(0.0))

    class Numbers:
        def fetch(self, queries, times, namespaces=NO_NAMESPACES):
            return {query: [Reading(4.0, time) for time in times] for query in queries}

    clock = Clock()
    metrics = {"waiting": {"signal": "waiting"}, "places": {"gpus": "schedulable_replicas"}}
    file = parse_file({"name": "load", "metrics": metrics, "formula": "waiting", "target": 2}, "load.yaml")
    engine = Engine({"default": Numbers()}, Catalog({"load": file}), Defaults(scale_down=None), clock)
    engine.update_cluster(kube.cluster())
    for _ in range(3):
        await engine.tick(clock.now)
        clock.now += 5
    honest = TriggerRef("team", "llama", engine.cluster.objects["team", "llama"][0].triggers[0])
    decision = await engine.read(honest)
    assert (decision.replicas, decision.active) == (2, True)
    assert decision.target_status.current == 2
    assert len(engine.decisions()) > 5, "those of the strangers that can be read are decided too"
    await engine.close()


def test_an_odd_scale_is_said_and_asked_for_again(server, kube):
    path = "/apis/odd.dev/v1/namespaces/team/odds/g/scale"
    target = {"name": "g", "kind": "Odd", "apiVersion": "odd.dev/v1"}
    status = {"scaleTargetGVKR": {"group": "odd.dev", "version": "v1", "resource": "odds"}}
    server.put("scaledobjects", scaled_object("g", target=target, status=status))
    kube.start()
    for odd in ({"spec": {"replicas": 10**400}}, {"spec": []}, {"spec": {"replicas": float("nan")}}, {"status": 1}):
        server.scales[path] = odd
        until(lambda: "get Odd.odd.dev/scale" in kube.cluster().problems.get(str(SCALES), ""))
        server.scales[path] = {"spec": {"replicas": 3}, "status": {"selector": "app=g"}}
        until(lambda: str(SCALES) not in kube.cluster().problems)
    assert kube.cluster().objects["team", "g"][0].replicas == 3


def test_odd_addresses_of_a_service_are_left_out(server, kube):
    odd = endpoint_slice("front", "10.0.0.1", name="front-odd")
    odd["endpoints"] = [{"addresses": []}]
    server.put("endpointslices", odd, endpoint_slice("front", "10.0.0.2", name="front-good"))
    kube.start()
    until(lambda: kube.wait_for_sync(0.0))
    assert kube.addresses("team", "front")[0] == {"10.0.0.2"}
    [odd] = kube.cluster().left_out[str(SLICES)]
    assert odd.startswith("team/front-odd: ")


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (ResourceQuota("q", {"cpu": "many"}, {}), "hard.cpu is 'many', which is not a number"),
        (ResourceQuota(7, {}, {}), "name is 7, which is not a text"),
        (ResourceQuota("\ud800", {}, {}), r"name is '\\ud800', which is not a text of whole characters"),
        (ResourceQuota("q", {"cpu": 1.5}, {}), "hard.cpu is 1.5, which is not a whole number"),
        (ResourceQuota("q", {"cpu": float("nan")}, {}), "hard.cpu is nan, which is not a number in reach"),
        (ResourceQuota("q", {}, {}, scoped="no"), "scoped is 'no', which is not true or false"),
        (ResourceQuota("q", [], {}), r"hard is \[\], which is not a mapping"),
    ],
)  # fmt: skip
def test_a_record_that_differs_from_its_class_is_named(record, said):
    with pytest.raises(Malformed, match=said):
        check(record)


def test_a_sound_record_passes():
    check(ResourceQuota("q", {"cpu": 3, "memory": 4.0}, {}, scoped=True))
    assert controlled("Job", "j")[0]["controller"]
