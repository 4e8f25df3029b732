"""The typed explanation: its JSON has a version, keys in camelCase, and reads back to the same value."""

import json
from dataclasses import replace

import pytest
from support.timelines import FILE, fold, workload

from scaler.decision.explain import explain
from scaler.decision.explanation import VERSION, from_json, to_json
from scaler.model.fields import camel_case
from scaler.model.measurement import TargetStatus

ROW = {"waiting": 20, "drift": None, "replicas": TargetStatus(2, 2, 0, 1, 9), "guards": {"waiting": 20, "running": 4}}


@pytest.fixture
def explained():
    _, decisions = fold(workload(FILE, model="m"), [ROW] * 3)
    return explain(decisions[-1], "a notice", {"pods": "403"})


def test_it_reads_back_to_the_same_value_but_for_lists_in_place_of_tuples(explained):
    again = from_json(json.loads(json.dumps(to_json(explained))))
    assert again == explained
    assert hash(again.hpa.rows) == hash(explained.hpa.rows)


def test_the_json_has_a_version_and_names_in_camel_case(explained):
    data = to_json(explained)
    assert next(iter(data)) == "version"
    assert data["version"] == VERSION == 1
    assert data["answeredReplicas"] == explained.answered_replicas == 3
    assert [camel_case(name) for name in ("at", "scale_target", "no_in_flight_signal")] == [
        "at", "scaleTarget", "noInFlightSignal",
    ]  # fmt: skip


def test_another_version_or_something_else_is_refused(explained):
    with pytest.raises(ValueError, match="version 2, and not of 1"):
        from_json(to_json(replace(explained, version=2)))
    data = to_json(explained)
    for broken in (None, [], {}, {"version": 1}, {**data, "inputs": 3}, {**data, "hpa": {"value": 1}}):
        with pytest.raises(ValueError, match="explanation"):
            from_json(broken)


def test_a_key_that_is_new_is_no_new_version(explained):
    assert from_json({**to_json(explained), "colour": "blue"}) == explained
