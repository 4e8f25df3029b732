"""The scheduler's filters, one by one, and the ledger that counts only what changed."""

import dataclasses
import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaler.cluster.node_fit import (
    EMPTY,
    NOWHERE,
    ClusterFit,
    FitCache,
    filter_reason,
    fit_on_node,
    joined,
    node_term_matches,
    pods_that_fit,
    requirement_matches,
    selector_matches,
    toleration_matches,
    with_pod,
    without_pod,
    without_preemptible,
)
from scaler.model.nodes import Node, NodeUsage, PodRequirements, Requirement, Taint, Toleration

RED = Taint("team", "red", "NoSchedule")


@pytest.mark.parametrize(
    ("toleration", "passed"),
    [
        (Toleration("team", "Equal", "red", "NoSchedule"), True),
        (Toleration("team", "Equal", "red"), True),
        (Toleration("team", "", "red"), True),
        (Toleration("team", "Equal", "blue"), False),
        (Toleration("team", "Equal", "red", "NoExecute"), False),
        (Toleration("team", "Exists"), True),
        (Toleration("other", "Exists"), False),
        (Toleration("", "Exists"), True),
        (Toleration("", "Exists", "", "NoExecute"), False),
        (Toleration("", "Equal", "red"), False),
        (Toleration("team", "Gt", "1"), False),
    ],
)
def test_what_tolerates_a_taint(toleration, passed):
    assert toleration_matches(toleration, RED) is passed


@pytest.mark.parametrize(
    ("operator", "values", "accepted"),
    [
        ("In", ("5", "7"), {"5"}),
        ("NotIn", ("5",), {"80", "big", None}),
        ("Exists", (), {"5", "80", "big"}),
        ("DoesNotExist", (), {None}),
        ("Gt", ("5",), {"80"}),
        ("Lt", ("80",), {"5"}),
        ("Gte", ("5",), {"5", "80"}),
        ("Lte", ("5",), {"5"}),
        ("Gt", (), set()),
        ("Gt", ("many",), set()),
        ("Near", ("5",), set()),
    ],
)
def test_which_values_of_a_label_a_requirement_accepts(operator, values, accepted):
    requirement = Requirement("memory", operator, values)
    assert {value for value in ("5", "80", "big", None) if requirement_matches(requirement, value)} == accepted


def test_all_of_a_term_and_one_of_an_affinity_hold():
    node = Node("n", {"product": "h100", "zone": "a"}, (), {})
    h100, zone_b = Requirement("product", "In", ("h100",)), Requirement("zone", "In", ("b",))
    by_name = Requirement("metadata.name", "In", ("n",), field=True)
    assert [node_term_matches(term, node) for term in ((h100,), (h100, zone_b), (by_name,), ())] == [
        True,
        False,
        True,
        False,
    ]
    shape = PodRequirements((("pods", 1),), affinity=((zone_b,), (h100,)))
    assert filter_reason(shape, node) == ""
    assert filter_reason(PodRequirements((("pods", 1),), affinity=()), node) == "node affinity", "no term is no node"


@pytest.mark.parametrize(
    ("own", "other", "clash"),
    [
        (("TCP", "", 80), ("TCP", "", 80), True),
        (("TCP", "", 80), ("UDP", "", 80), False),
        (("TCP", "", 80), ("TCP", "", 81), False),
        (("TCP", "10.0.0.1", 80), ("TCP", "", 80), True),
        (("TCP", "", 80), ("TCP", "10.0.0.1", 80), True),
        (("TCP", "10.0.0.1", 80), ("TCP", "10.0.0.2", 80), False),
    ],
)
def test_a_port_of_the_host_is_had_once(own, other, clash):
    node = Node("n", {}, (), {"pods": 10})
    shape = PodRequirements((("pods", 1),), host_ports=(own,))
    assert pods_that_fit(shape, node, NodeUsage({}, (other,))) == (0 if clash else 1, "host ports")


def test_reasons_are_counted_by_the_nodes_they_hold_on():
    obstacles = {f"taint {number}": number + 1 for number in range(7)}
    assert ClusterFit(reasons=obstacles).why().startswith("taint 6 on 7 nodes, taint 5 on 6 nodes")
    assert ClusterFit(reasons=obstacles).why().count("taint") == 5
    assert ClusterFit(reasons={"cordoned": 1}).why() == "cordoned on 1 node"


def test_loads_known_in_parts_are_added():
    one, two = (
        {"a": NodeUsage({"cpu": 1}), "b": NodeUsage({"cpu": 2})},
        {"b": NodeUsage({"cpu": 3, "pods": 1}, (("TCP", "", 1),))},
    )
    assert joined([one, two]) == {"a": NodeUsage({"cpu": 1}), "b": NodeUsage({"cpu": 5, "pods": 1}, (("TCP", "", 1),))}
    pods = [PodRequirements((("cpu", 1), ("pods", 1)), priority=rank) for rank in (0, 0, 7)]
    whole, last = functools.reduce(with_pod, pods, EMPTY), with_pod(EMPTY, pods[-1])
    assert joined([{"n": functools.reduce(with_pod, pods[:-1], EMPTY)}, {"n": last}]) == {"n": whole}
    assert joined([]) == {}


# ---- laws ----------------------------------------------------------------------------------------------------------------

asked = st.dictionaries(st.sampled_from(["cpu", "gpu"]), st.integers(1, 3), min_size=1)
requests = asked.map(lambda of: tuple(sorted(of.items())))
ports = st.lists(st.sampled_from([("TCP", "", 1), ("TCP", "", 2)]), max_size=2).map(tuple)
ranks = st.sampled_from([None, 0, 5, 9])
shapes = st.builds(PodRequirements, requests, host_ports=ports, priority=ranks, preempts=st.booleans())
nodes = st.builds(
    lambda room, cordoned: Node("", {}, (), room, unschedulable=cordoned),
    st.dictionaries(st.sampled_from(["cpu", "gpu"]), st.integers(0, 9)),
    st.booleans(),
)
names = st.sampled_from("abc")
held = st.lists(shapes, min_size=1, max_size=3).map(lambda pods: functools.reduce(with_pod, pods, EMPTY))
pictures = st.tuples(st.dictionaries(names, nodes), st.dictionaries(names, held))


@given(st.lists(shapes, min_size=1))
def test_a_load_is_the_pods_on_it_however_they_came_and_went(pods):
    load = EMPTY
    for pod in pods:
        load = with_pod(load, pod)
    first = with_pod(EMPTY, pods[0])
    for pod in pods[1:]:
        load = without_pod(load, pod)
    assert load == first
    assert without_pod(load, pods[0]) == EMPTY


@given(shapes, st.lists(shapes), nodes)
def test_what_fits_at_most_is_what_fits_once_all_pods_of_lower_priority_are_gone(shape, pods, node):
    stay = [
        pod for pod in pods if not (shape.preempts and (shape.priority is None or (pod.priority or 0) < shape.priority))
    ]
    there, left = (functools.reduce(with_pod, group, EMPTY) for group in (pods, stay))
    assert without_preemptible(there, shape) == dataclasses.replace(
        left, by_priority=without_preemptible(there, shape).by_priority
    )
    found = fit_on_node(shape, "gpu", node, there)
    assert found.pods_with_preemption == fit_on_node(shape, "gpu", node, left).pods >= found.pods


@given(st.lists(pictures, min_size=1, max_size=6), st.lists(shapes, min_size=1, max_size=3), st.data())
def test_the_ledger_says_what_counting_all_anew_says(timeline, wanted, data):
    ledger = FitCache(shapes=2)
    for there, loads in timeline:
        for shape in data.draw(st.lists(st.sampled_from(wanted))):
            whole = [fit_on_node(shape, "gpu", node, loads.get(name)) for name, node in there.items()]
            assert ledger.fit_on_nodes(shape, "gpu", there, loads) == ClusterFit().changed(
                (NOWHERE, one) for one in whole
            )


def test_the_ledger_sees_pods_that_come_where_the_nodes_stay_and_nodes_where_the_pods_stay():
    ledger, shape = FitCache(), PodRequirements((("gpu", 1), ("pods", 1)))
    nodes, more = ({name: Node(name, {}, (), {"gpu": 4, "pods": 9}) for name in names} for names in ("a", "ab"))
    loads = {"a": functools.reduce(with_pod, [shape], EMPTY)}
    timeline = ((nodes, {}), (nodes, loads), (more, loads), (more, loads))
    assert [ledger.fit_on_nodes(shape, "gpu", *there).pods for there in timeline] == [4, 3, 7, 7]


def test_of_two_resources_that_bind_alike_the_first_is_named():
    node = Node("n", {}, (), {"cpu": 30, "memory": 30, "pods": 100})
    assert pods_that_fit(PodRequirements((("cpu", 10), ("memory", 10), ("pods", 1))), node, NodeUsage({})) == (3, "cpu")
    assert pods_that_fit(PodRequirements((("cpu", 1), ("memory", 10), ("pods", 1))), node, NodeUsage({})) == (
        3,
        "memory",
    )
    assert pods_that_fit(PodRequirements((("cpu", 40), ("memory", 40))), node, NodeUsage({})) == (0, "cpu")


def test_a_selector_takes_pods_of_which_all_of_it_holds():
    both = (Requirement("app", "In", ("llama",)), Requirement("tier", "In", ("gpu",)))
    assert selector_matches(both, {"app": "llama", "tier": "gpu"})
    assert not selector_matches(both, {"app": "llama", "tier": "cpu"})
    assert selector_matches((), {"app": "x"})
