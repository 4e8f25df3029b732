"""The table of resources, and the picture that their records make."""

from dataclasses import fields, replace

import pytest
from support.cluster import node, on, spec, store
from support.kubernetes_objects import scaled_object

from scaler.model.nodes import Devices, NodeSnapshot
from scaler.sources.kubernetes.assemble import assemble
from scaler.sources.kubernetes.resources import (
    DEVICES,
    MACHINES,
    NODES,
    PODS,
    RESOURCES,
    SCALED_OBJECTS,
    WATCHED,
    named,
)

NOTHING = dict.fromkeys(WATCHED, ())


@pytest.mark.parametrize(("rows", "whole"), [(MACHINES, NodeSnapshot), (DEVICES, Devices)])
def test_each_row_is_a_part_of_its_whole_and_none_is_twice(rows, whole):
    parts = [row.part for row in rows]
    assert len(parts) == len(set(parts))
    assert set(parts) <= {field.name for field in fields(whole)}


def test_each_resource_stands_in_the_table_once():
    names = [(row.group, row.plural) for row in RESOURCES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("row", MACHINES, ids=str)
def test_a_table_that_is_not_known_is_none_and_one_without_objects_is_empty(row):
    missing, empty = (assemble(store({**NOTHING, row: objects})).node_snapshot for objects in (None, ()))
    assert getattr(missing, row.part) is None
    assert getattr(empty, row.part) is not None
    assert len(getattr(empty, row.part)) == 0


@pytest.mark.parametrize("row", DEVICES, ids=str)
def test_devices_are_known_whole_or_not_at_all(row):
    assert assemble(store(NOTHING)).node_snapshot.devices == Devices()
    assert assemble(store({**NOTHING, row: None})).node_snapshot.devices is None


@pytest.mark.parametrize("row", DEVICES, ids=str)
def test_devices_of_an_api_that_is_not_served_are_said_to_be_so(row):
    made = assemble(store(NOTHING, absent=frozenset({row})))
    assert made.node_snapshot.devices.served == (row == named("devicetaintrules"))


def test_nodes_that_did_not_change_stay_the_same_object():
    first = assemble(store({**NOTHING, NODES: [node("a"), node("b")]})).node_snapshot
    again = assemble(store({**NOTHING, NODES: [node("a"), node("b")]}), first).node_snapshot
    other = assemble(store({**NOTHING, NODES: [node("a"), node("b", 4)]}), first).node_snapshot
    assert (again.nodes is first.nodes, other.nodes is first.nodes) == (True, False)
    assert other.nodes["b"].allocatable["nvidia.com/gpu"] == 4


def test_pods_that_are_not_seen_are_said():
    pods = {**NOTHING, PODS: [on("p", "a", spec())], NODES: [node("a")]}
    assert assemble(store(pods)).node_snapshot.incomplete_reason == ""
    assert (
        assemble(store(pods, namespaces=("team",))).node_snapshot.incomplete_reason
        == "pods outside of team are not seen"
    )
    assert (
        assemble(store(pods, odd={PODS: {("x", "y"): "odd"}})).node_snapshot.incomplete_reason
        == "some pods cannot be read"
    )


def test_what_cannot_be_put_together_is_left_out_and_said():
    made, told = store({**NOTHING, SCALED_OBJECTS: [scaled_object("llama"), scaled_object("qwen")]}), []
    [nodes], [objects] = made.tables[NODES], made.tables[SCALED_OBJECTS]
    nodes.records["", "a"] = object()
    objects.records["team", "llama"] = replace(objects.records["team", "llama"], target=None)
    cluster = assemble(made, failed=lambda scaled, _error: told.append(scaled and scaled.name))
    assert (told, cluster.node_snapshot) == ([None, "llama"], None)
    assert [one.name for one in cluster] == ["qwen"]
