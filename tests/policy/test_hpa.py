"""The HPA's arithmetic as a policy, beside the HPA's own step (which is held against the real controller)."""

import random

import pytest

from scaler.cluster import hpa as cluster_hpa
from scaler.model.behavior import SCALE_DOWN, SCALE_UP, HpaState
from scaler.model.errors import ConfigError
from scaler.model.fields import Fields
from scaler.policy import hpa
from scaler.policy.outcome import PolicyInput


def spec(**changed):
    fields = Fields("f.yaml", changed, "policy")
    read = hpa.parse(fields)
    fields.close()
    return read


def rules(chance):
    policies = [
        {
            "type": chance.choice(["Pods", "Percent"]),
            "value": chance.choice([1, 2, 10, 50, 100]),
            "periodSeconds": chance.choice([15, 30, 60]),
        }
        for _ in range(chance.randint(1, 2))
    ]
    return {
        "policies": policies,
        "selectPolicy": chance.choice(["Max", "Min", "Disabled"]),
        "stabilizationWindowSeconds": chance.choice([0, 30, 60, 300]),
        "tolerance": chance.choice([0, 0.05, 0.2]),
    }


@pytest.mark.parametrize("seed", range(60))
def test_it_answers_as_an_hpa_does(seed):
    """The same loads, 15 s apart, each answer carried out at once, as an HPA assumes."""
    chance = random.Random(seed)
    behavior = {"scaleUp": rules(chance), "scaleDown": rules(chance)} if chance.random() < 0.8 else None
    settings = spec(**({"behavior": behavior} if behavior else {}))
    theirs = cluster_hpa.HpaSpec(minimum=1, maximum=10_000, behavior=settings.behavior)
    state, past, current, target = hpa.INITIAL, HpaState(), chance.randint(1, 20), 10.0
    for tick in range(40):
        value, now = chance.randint(1, 400) / 1.0, 15.0 * tick
        metric = cluster_hpa.ExternalMetric("m", target, value)
        past, expected = cluster_hpa.step(theirs, past, [metric], current, now)
        state, outcome = hpa.step(
            settings, state, PolicyInput(value / target, value, current=current, ready=current), now
        )
        assert max(outcome.replicas, 1) == expected.replicas, (tick, outcome.reason, expected.reasons)
        current = expected.replicas


@pytest.mark.parametrize(("total", "answer"), [(43, 4), (44, 4), (45, 5), (36, 4), (35, 4), (29, 3)])
def test_the_tolerance(total, answer):
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 0}}
    seen = PolicyInput(total / 10, total, current=4, ready=4)
    assert hpa.step(spec(behavior=behavior), hpa.INITIAL, seen, 0.0)[1].replicas == answer


def test_an_answer_that_is_not_carried_out_yet_is_no_change():
    """2 pods in 60 s: asked again every 5 s, it still allows 2 more than there are."""
    behavior = {"scaleUp": {"policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}]}}
    state, answers = hpa.INITIAL, []
    for tick in range(16):
        current = 4 if tick < 3 else 6
        state, outcome = hpa.step(
            spec(behavior=behavior), state, PolicyInput(20.0, 200, current=current, ready=current), tick * 5.0
        )
        answers.append(outcome.replicas)
    assert answers[:14] == [6] * 14
    assert answers[14] == 8, "60 s after the tick before the change was seen"


def test_more_load_is_no_reason_for_fewer_while_some_start():
    seen = PolicyInput(2.4, 12, current=4, ready=2, each=True)
    assert hpa.step(spec(), hpa.INITIAL, seen, 0.0)[1].replicas == 4


def test_a_little_more_load_is_no_reason_for_fewer_either():
    at_once = spec(behavior={"scaleDown": {"stabilizationWindowSeconds": 0}})
    seen = PolicyInput(2.4, 12, current=4, ready=2, each=True)
    assert hpa.step(at_once, hpa.INITIAL, seen, 0.0)[1].replicas == 4, "1.2 of the target, on the two that are ready"


def test_from_zero_by_the_load():
    assert hpa.step(spec(), hpa.INITIAL, PolicyInput(3.2, 32, current=0), 0.0)[1].replicas == 4


def test_defaults_are_those_of_autoscaling_v2():
    assert spec(behavior={}).behavior.up == SCALE_UP
    assert spec(behavior={}).behavior.down == SCALE_DOWN
    assert (spec().behavior, spec().memory, spec(behavior={}).memory) == (None, 300, 300)


def test_it_says_what_held_it():
    behavior = {"scaleUp": {"policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}]}}
    _, outcome = hpa.step(spec(behavior=behavior), hpa.INITIAL, PolicyInput(20.0, 200, current=4, ready=4), 0.0)
    assert outcome.reason == "5 of the target, 20 replicas; 2 pods in 1m lets 6"


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("tolerance", {"tolerance": 2}),
        (
            "behavior.scaleUp.stabilizationWindowSeconds",
            {"behavior": {"scaleUp": {"stabilizationWindowSeconds": 3601}}},
        ),
        ("behavior.scaleUp.selectPolicy", {"behavior": {"scaleUp": {"selectPolicy": "Or"}}}),
        (
            r"behavior.scaleUp.policies\[0\].type",
            {"behavior": {"scaleUp": {"policies": [{"type": "Pod", "value": 1, "periodSeconds": 1}]}}},
        ),
        (
            r"behavior.scaleUp.policies\[0\].value",
            {"behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 2**31, "periodSeconds": 1}]}}},
        ),
        (
            r"behavior.scaleUp.policies\[0\].value",
            {"behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 0, "periodSeconds": 1}]}}},
        ),
        (
            r"behavior.scaleUp.policies\[0\].periodSeconds",
            {"behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 1801}]}}},
        ),
        ("behavior.scaleUP", {"behavior": {"scaleUP": {}}}),
    ],
)
def test_what_the_api_server_refuses_is_refused(key, wrong):
    with pytest.raises(ConfigError, match=rf"policy\.{key}"):
        spec(**wrong)
