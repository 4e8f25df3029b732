"""Which pods without a node come before others, and what they take."""

from dataclasses import replace

import pytest

from scaler.cluster.node_fit import EMPTY, with_pod
from scaler.cluster.pending import MAX_UNTRIED, index_pending, pods_ahead, with_nominated
from scaler.model.nodes import Node, NodeSnapshot, PendingPod, PodRequirements

SMALL, LARGE = PodRequirements((("gpu", 1), ("pods", 1))), PodRequirements((("gpu", 4), ("pods", 1)))
OWNER = ("team", "Deployment", "other")


def pod(name, shape=SMALL, **more):
    return PendingPod(name, more.pop("owner", OWNER), shape, **{"unschedulable": False, **more})


def names(pods):
    return [one.name for one in pods]


def test_those_come_first_that_have_a_node_and_then_those_that_are_hardest_to_place():
    queue = index_pending(
        [
            pod("small"),
            pod("large", LARGE),
            pod("tried", LARGE, unschedulable=True),
            pod("held", LARGE, gated=True),
            pod("nominated", unschedulable=True, nominated="n"),
        ]
    )
    assert names(queue.ahead_in_queue) == ["nominated", "large", "small"]
    assert queue.shapes == {("team", SMALL): 2, ("team", LARGE): 2}
    assert names(queue.by_owner[OWNER]) == ["small", "large", "tried", "nominated"]


def test_own_pods_are_not_ahead_of_their_own_workload():
    mine = pod("same", owner=("team", "Deployment", "llama"))
    queue = index_pending([mine, pod("same"), pod("nominated", nominated="n")])
    others, untried = pods_ahead(queue, [mine], 0)
    assert ([one.owner for one in others], untried) == ([OWNER, OWNER], 1)


def test_of_a_crowd_only_so_many_are_counted_and_all_are_told():
    others, untried = pods_ahead(index_pending([pod(f"p{number}") for number in range(MAX_UNTRIED + 5)]), [], 0)
    assert (len(others), untried) == (MAX_UNTRIED, MAX_UNTRIED + 5)


@pytest.mark.parametrize(
    ("mine", "kept"), [(None, {"low", "high"}), (0, {"low", "high"}), (5, {"high"}), (9, {"high"})]
)
def test_a_node_is_not_kept_for_a_pod_of_lower_priority(mine, kept):
    ranked = {name: replace(SMALL, priority=rank) for name, rank in (("low", 0), ("high", 9))}
    queue = index_pending([pod(name, shape, nominated="n") for name, shape in ranked.items()])
    assert set(names(pods_ahead(queue, [], mine)[0])) == kept


def test_a_pod_without_a_priority_has_that_of_zero():
    queue = index_pending([pod("plain", replace(SMALL, priority=None), nominated="n")])
    assert [names(pods_ahead(queue, [], mine)[0]) for mine in (0, 1)] == [["plain"], []]


def node(name, gpus):
    return Node(name, {}, (), {"gpu": gpus, "pods": 9})


def test_they_are_put_where_they_cost_us_least():
    hardware = NodeSnapshot({one.name: one for one in (node("a", 4), node("b", 5))}, {})
    taken = with_nominated(hardware, LARGE, [pod("x")])
    assert taken == {"b": with_pod(EMPTY, SMALL)}, "a fifth GPU is of no use to us"
    assert set(with_nominated(hardware, LARGE, [pod("x"), pod("y")])) == {"a", "b"}
    alike = NodeSnapshot({one.name: one for one in (node("c", 4), node("a", 4), node("b", 4))}, {})
    assert set(with_nominated(alike, LARGE, [pod("x")])) == {"c"}, "of nodes that cost alike the first"
    assert with_nominated(hardware, LARGE, [pod("huge", PodRequirements((("gpu", 9),)))]) == {}
    assert set(with_nominated(hardware, LARGE, [pod("x", nominated="a")])) == {"a"}
    assert set(with_nominated(hardware, LARGE, [pod("x", nominated="gone")])) == {"b"}
