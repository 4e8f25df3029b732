"""Nodes, pods and quotas as JSON, and the sums that the scheduler makes of them."""

import pytest

from scaler.model.nodes import PriorityClass, ResourceQuota
from scaler.sources.kubernetes.read_pods import (
    MOST,
    parse_quantity,
    read_limit_range,
    read_needs,
    read_node,
    read_priority_class,
    read_quota,
    read_shape,
    total,
)


@pytest.mark.parametrize(
    ("resource", "written", "value"),
    [
        ("cpu", "1", 1000),
        ("cpu", "100m", 100),
        ("cpu", "0.1", 100),
        ("cpu", "1.5", 1500),
        ("cpu", "100u", 1),
        ("cpu", "1n", 1),
        ("cpu", 2, 2000),
        ("memory", "1Ki", 1024),
        ("memory", "1.5Gi", 1610612736),
        ("memory", "1G", 10**9),
        ("memory", "1k", 1000),
        ("memory", "100m", 1),
        ("memory", "1e3", 1000),
        ("memory", "12E", 12 * 10**18),
        ("memory", "1E3", 1000),
        ("nvidia.com/gpu", "8", 8),
        ("nvidia.com/gpu", "-1", -1),
        ("nvidia.com/gpu", "1e999999999", MOST),
        ("nvidia.com/gpu", "9" * 5000, MOST),
        ("nvidia.com/gpu", "-1e5000", -MOST),
        ("memory", "1e20Ei", MOST),
        ("memory", "0e999999999", 0),
    ],
)
def test_quantities(resource, written, value):
    assert parse_quantity(resource, written) == value


@pytest.mark.parametrize("written", ["", "x", "1KiB", "1 Gi", "..", None, "NaN", "1e"])
def test_what_is_no_quantity(written):
    with pytest.raises(ValueError, match="is no quantity"):
        parse_quantity("cpu", written)


def container(cpu, name="c", **more):
    return {"name": name, "resources": {"requests": {"cpu": cpu}}, **more}


def cores(spec, status=None):
    return read_shape(spec, {}, status).requested("cpu")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"containers": [container("1"), container("2")]}, 3000),
        ({"containers": [container("1")], "initContainers": [container("5"), container("3")]}, 5000),
        ({"containers": [container("1")], "initContainers": [container("2", restartPolicy="Always")]}, 3000),
        (
            {
                "containers": [container("1")],
                "initContainers": [container("2", restartPolicy="Always"), container("4")],
            },
            6000,
        ),
        (
            {
                "containers": [container("1")],
                "initContainers": [container("4"), container("2", restartPolicy="Always")],
            },
            4000,
        ),
        ({"containers": [container("1")], "overhead": {"cpu": "250m"}}, 1250),
        ({"containers": [container("1")], "resources": {"requests": {"cpu": "4"}}, "overhead": {"cpu": "1"}}, 5000),
        ({"containers": [container("1")], "resources": {"limits": {"cpu": "4"}}}, 4000),
        ({"containers": [{"name": "c", "resources": {"limits": {"cpu": "2"}}}]}, 2000),
        ({"containers": [{"name": "c", "resources": {"limits": {"cpu": "2"}, "requests": {"cpu": "1"}}}]}, 1000),
        ({"containers": [{"name": "c"}]}, 0),
    ],
)
def test_what_a_pod_asks_for(spec, expected):
    assert cores(spec) == expected
    assert read_shape(spec, {}).requested("pods") == 1


def asking(**resources):
    return {"name": "c", "resources": resources}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"containers": [asking()]}, 100),
        ({"containers": [asking(), asking()]}, 200),
        ({"containers": [asking(requests={"cpu": "2"}), asking()]}, 2100),
        ({"containers": [asking(requests={"cpu": "0"}), asking(limits={"cpu": "1"})]}, 1000),
        ({"containers": [asking()], "initContainers": [asking(requests={"cpu": "50m"})]}, 100),
        ({"containers": [asking(requests={"cpu": "50m"})], "initContainers": [asking()]}, 100),
        ({"containers": [asking()], "initContainers": [{**asking(), "restartPolicy": "Always"}]}, 200),
        ({"containers": [asking()], "overhead": {"cpu": "1"}}, 1100),
        ({"containers": [asking()], "resources": {"requests": {"cpu": "3"}}}, 3000),
    ],
)
def test_containers_that_do_not_say_ask_for_what_a_limit_range_says(spec, expected):
    limits = [
        {"type": "Container", "defaultRequest": {"cpu": "100m"}, "default": {"cpu": "1"}, "max": {"cpu": "9"}},
        {"type": "Pod", "max": {"cpu": "9"}},
    ]
    known = read_limit_range({"metadata": {"name": "l"}, "spec": {"limits": limits}})
    assert (known.requests, known.limits) == ({"cpu": 100}, {"cpu": 1000})
    assert dict(total(read_needs(spec), known.requests)) == {"cpu": expected, "pods": 1}


def test_a_priority_class():
    assert read_priority_class({"value": 5}) == PriorityClass(5)
    never = {"value": -5, "preemptionPolicy": "Never", "globalDefault": True}
    assert read_priority_class(never) == PriorityClass(-5, preempts=False, default=True)


@pytest.mark.parametrize(
    ("state", "conditions", "expected"),
    [
        ({}, [], 2000),
        ({"resources": {"requests": {"cpu": "3"}}}, [], 3000),
        ({"resources": {"requests": {"cpu": "1"}}, "allocatedResources": {"cpu": "4"}}, [], 4000),
        ({"resources": {"requests": {"cpu": "1"}}}, [], 2000),
        ({"resources": {"requests": {"cpu": "1"}}}, [{"type": "PodResizePending", "reason": "Infeasible"}], 1000),
        ({"resources": {"requests": {"cpu": "1"}}}, [{"type": "PodResizePending", "reason": "Deferred"}], 2000),
    ],
)
def test_a_container_that_is_resized_holds_the_most_of_what_it_had_and_will_have(state, conditions, expected):
    status = {"containerStatuses": [{"name": "c", **state}], "conditions": conditions}
    assert cores({"containers": [container("2")]}, status) == expected


def test_ports_of_the_host():
    def ports(*written, **more):
        return read_shape({"containers": [{"name": "c", "ports": list(written)}], **more}, {}).host_ports

    assert ports({"containerPort": 80}) == ()
    assert ports({"containerPort": 80, "hostPort": 8080}) == (("TCP", "", 8080),)
    assert ports({"containerPort": 80, "hostPort": 80, "hostIP": "0.0.0.0", "protocol": "UDP"}) == (("UDP", "", 80),)
    assert ports({"containerPort": 80}, hostNetwork=True) == (("TCP", "", 80),)
    sidecar = {
        "name": "s",
        "restartPolicy": "Always",
        "ports": [{"containerPort": 1, "hostPort": 1, "hostIP": "10.0.0.1"}],
    }
    assert ports(initContainers=[sidecar, {**sidecar, "restartPolicy": None}]) == (("TCP", "10.0.0.1", 1),)


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        (
            {"volumes": [{"persistentVolumeClaim": {"claimName": "x"}}]},
            "where its volumes can be attached is not counted",
        ),
        ({"volumes": [{"emptyDir": {}}]}, ""),
        ({"topologySpreadConstraints": [{"whenUnsatisfiable": "ScheduleAnyway"}]}, ""),
        ({"schedulerName": "volcano"}, "what else volcano asks before it places pods is not counted"),
        ({"schedulerName": "default-scheduler"}, ""),
        ({"schedulingGates": [{"name": "q"}]}, "when its pods are let in to the scheduler is not counted"),
    ],
)
def test_what_is_not_counted_is_told(wish, told):
    assert "".join(read_shape({"containers": [container("1")], **wish}, {}).caveats) == told


def test_a_node():
    node = read_node(
        {
            "metadata": {"name": "n", "labels": {"zone": "a"}},
            "spec": {"unschedulable": True, "taints": [{"key": "k", "effect": "NoSchedule"}]},
            "status": {"allocatable": {"cpu": "3920m"}, "conditions": [{"type": "Ready", "status": "Unknown"}]},
        }
    )
    assert (node.labels, node.allocatable, node.ready, node.unschedulable) == (
        {"zone": "a"},
        {"cpu": 3920},
        False,
        True,
    )
    assert read_node({"metadata": {"name": "n"}}).ready, "a node that says nothing of itself is judged by its taints"


def test_a_quota():
    raw = {
        "metadata": {"name": "q"},
        "spec": {"scopes": ["BestEffort"]},
        "status": {"hard": {"requests.cpu": "2", "pods": "4"}, "used": {"requests.cpu": "500m"}},
    }
    assert read_quota(raw) == ResourceQuota("q", {"requests.cpu": 2000, "pods": 4}, {"requests.cpu": 500}, scoped=True)


def resized(*states, reason="", spec=None, **status):
    """The requests of a placed pod of containers a and b of 1 core each, whose statuses are these."""
    pending = [{"type": "PodResizePending", "status": "True", "reason": reason}] if reason else []
    told = {"containerStatuses": list(states), "conditions": pending, **status}
    containers = [{"name": name, "resources": {"requests": {"cpu": "1"}}} for name in ("a", "b")]
    return dict(read_shape({"containers": containers, **(spec or {})}, {}, told).requests)


def state(name, given=None, has=None):
    told = {"name": name} | ({} if given is None else {"allocatedResources": {"cpu": given}})
    return told | ({} if has is None else {"resources": {"requests": {"cpu": has}}})


@pytest.mark.parametrize(
    ("states", "reason", "cores"),
    [
        ([], "", 2),
        ([state("a", "1", "1"), state("b", "1", "1")], "", 2),
        ([state("a", "3", "1")], "", 4),
        ([state("a", "1", "3")], "Deferred", 4),
        ([state("a", "3", "1"), state("b", "1", "3")], "", 4),  # the most of the pod, not of each container: not 6
        ([state("a", "1", "1"), state("b", "1", "1")], "Infeasible", 2),
        ([state("a", "0", "0"), state("b", "0", "0")], "Infeasible", 0),  # what it asks for counts for nothing
        ([state("a", "3")], "Infeasible", 3),  # nor what nobody gave to b
    ],
)
def test_of_what_a_resized_pod_asks_for_was_given_and_has_the_most_counts(states, reason, cores):
    assert resized(*states, reason=reason).get("cpu", 0) == cores * 1000


def test_a_pod_that_is_resized_as_a_whole_says_so_itself():
    whole = {"resources": {"requests": {"cpu": "5"}}}
    told = {"resources": {"requests": {"cpu": "7"}}, "allocatedResources": {"cpu": "6"}}
    assert resized(spec=whole)["cpu"] == 5000
    assert resized(spec=whole, **told)["cpu"] == 7000
    assert resized(spec=whole, reason="Infeasible", **{**told, "resources": {"requests": {"cpu": "2"}}})["cpu"] == 6000
    assert resized(spec=whole, allocatedResources={"cpu": "9"})["cpu"] == 5000, "what it has is not known"
