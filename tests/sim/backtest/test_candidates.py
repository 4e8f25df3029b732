"""Candidates: few words, a whole object."""

import copy

import pytest
from support.backtests import binding, cron, ours, prometheus, scaled_object

from scaler.model.errors import ConfigError
from scaler.sim.backtest.candidates import edited, suggested
from scaler.sim.backtest.subject import read_subject

OBJECT = scaled_object(ours(), prometheus())


def metadata(tree, place=0):
    return tree["spec"]["triggers"][place]["metadata"]


def test_keys_go_where_they_belong_and_the_object_stays_as_it_is():
    before = copy.deepcopy(OBJECT)
    new = edited(OBJECT, ["target=4", "threshold=9", "cooldownPeriod=60", "idleFor=2m"])
    assert metadata(new)["target"] == "4"
    assert metadata(new)["idleFor"] == "2m", "a key that nobody has is for llm-scaler"
    assert metadata(new, 1)["threshold"] == "9"
    assert new["spec"]["cooldownPeriod"] == 60
    assert before == OBJECT


def test_another_formula_takes_the_place_of_all_triggers_and_keeps_the_model():
    new = edited(OBJECT, ["token-latency", "ttft=2"])
    [trigger] = new["spec"]["triggers"]
    assert trigger["metadata"] == {
        "scalerAddress": "llm-scaler.keda:6000",
        "model": "llama",
        "formula": "token-latency",
        "ttft": "2",
    }


def test_an_object_that_did_not_ask_us_can():
    [trigger] = edited(scaled_object(prometheus()), ["queue-depth", "model=llama"])["spec"]["triggers"]
    assert (trigger["type"], trigger["metadata"]["formula"]) == ("external", "queue-depth")


@pytest.mark.parametrize(
    ("tree", "words", "problem"),
    [
        (OBJECT, ["a", "b"], "names two formulas, a and b"),
        (
            scaled_object(cron()),
            ["target=4"],
            "target is a key of no trigger; allowed: cooldownPeriod, desiredReplicas",
        ),
        ({"kind": "HorizontalPodAutoscaler", "spec": {}}, ["queue-depth"], "is for a ScaledObject"),
    ],
)
def test_what_has_no_place_is_refused(tree, words, problem):
    with pytest.raises(ConfigError, match=problem):
        edited(tree, words)


def test_an_hpa_s_bounds_have_its_own_names():
    hpa = {"kind": "HorizontalPodAutoscaler", "spec": {"minReplicas": 1}}
    assert edited(hpa, ["minReplicaCount=2"])["spec"] == {"minReplicas": 2}


def test_suggestions_can_all_be_played_and_differ():
    found = list(suggested(scaled_object(ours(), minReplicaCount=0)))
    assert len(found) == 7 * 3 * 3
    assert len({str(tree) for _, tree in found}) == len(found)
    for name, tree in found:
        read = read_subject(tree, binding())
        assert f"target={read.triggers[0].spec.target:g} " in name
        assert f"window={read.scaled.behavior.down.window:g}s" in name
    assert len(list(suggested(scaled_object(ours(), minReplicaCount=1)))) == 7 * 3, "nothing cools down to zero"
