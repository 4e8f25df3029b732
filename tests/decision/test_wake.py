"""What can wake a workload that has no replica: a gateway that is to be seen, or nothing, and then that is said."""

from dataclasses import replace

import pytest
from support.explained import as_data, as_text
from support.timelines import START, row, workload

from scaler.decision.decide import decide
from scaler.decision.state import State
from scaler.model.errors import NoAnswer
from scaler.model.measurement import Failure, Reading
from scaler.model.objects import ScaledResource

OF_OWN = {"waiting": Reading(None, START), "running": Reading(None, START)}
ASLEEP = ScaledResource("ScaledObject", "team", "llama", "1", 1, ((),), (), "Deployment llama", 0, 5)
FLOW_CONTROL = "this gateway exports no flow control"


def tick(gateway, value, shown, replicas=0, expression="queued + waiting + running", scaled=None, **trigger):
    spec = workload(expression=expression, target="8", model="m", gateway=gateway, **trigger)
    names = {item.name for item in spec.inputs}
    gateways = dict.fromkeys(names - OF_OWN.keys(), Reading(value, START, shown=shown))
    readings = {name: reading for name, reading in OF_OWN.items() if name in names} | gateways
    given = row(START, replicas=replicas, guards=OF_OWN, scaled=scaled, **readings)
    return decide(spec, State(), given, START)[1]


@pytest.mark.parametrize(
    ("gateway", "shown", "says"),
    [
        (
            "llm-d",
            False,
            f"queued: no series: the endpoint `default` has no series of llm-d that says so of any model: {FLOW_CONTROL}",
        ),
        ("inference-extension", False, FLOW_CONTROL),
        (
            "knative",
            False,
            "the endpoint `default` has no series of knative that says so of any model, so nothing there can wake it",
        ),
        ("kthena", False, "kthena cannot wake it: without a pod the router refuses requests"),
        ("kthena", True, "kthena cannot wake it: without a pod the router refuses requests"),
        ("dynamo", False, "dynamo cannot wake it: without a worker the frontend withdraws the model and refuses"),
        ("dynamo", True, "dynamo cannot wake it: without a worker"),
        ("smg", True, "smg cannot wake it: without a worker the gateway does not know the model"),
    ],
)
@pytest.mark.parametrize("missing", ["error", "zero"])
def test_a_gateway_that_can_never_wake_it_is_no_certain_zero(gateway, shown, says, missing):
    text = "name: q\nmetrics: {queued: {signal: queued, onMissing: MISSING}, waiting: {signal: waiting}}\n"
    text = f"{text.replace('MISSING', missing)}formula: queued + waiting\ntarget: 8\n"
    spec = workload(text, model="m", gateway=gateway)
    readings = {"queued": Reading(None, START, shown=shown), "waiting": Reading(None, START)}
    _, decision = decide(spec, State(), row(START, replicas=0, guards=OF_OWN, **readings), START)
    assert says.removeprefix("queued: no series: ") in decision.cannot_wake
    assert decision.certainty != "certain"
    with pytest.raises(NoAnswer) as raised:
        decision.answer_or_error()
    assert says.removeprefix("queued: no series: ") in str(raised.value)
    assert f"! nothing can wake it: {decision.cannot_wake}" in as_text(as_data(decision))


def test_a_gateway_that_is_seen_by_another_model_s_series_has_a_certain_zero():
    text = "name: q\nmetrics: {queued: {signal: queued, onMissing: zero}}\nformula: queued\ntarget: 8\n"
    spec = workload(text, model="m", gateway="llm-d")
    reading = Reading(None, START, shown=True)
    _, decision = decide(spec, State(), row(START, replicas=0, guards=OF_OWN, queued=reading), START)
    assert (decision.cannot_wake, decision.certainty, decision.replicas) == ("", "certain", 0)


@pytest.mark.parametrize("gateway", ["llm-d", "dynamo"])
def test_what_waits_wakes_it_whatever_else_is_known(gateway):
    decision = tick(gateway, 3.0, shown=True)
    assert (decision.replicas, decision.active, decision.cannot_wake) == (1, True, "")


def test_a_count_that_is_always_0_wakes_nothing():
    """Of llm-d without flow control it is there, and of a frontend whose model is gone it may be left."""
    assert FLOW_CONTROL in tick("llm-d", 0.0, shown=False, expression="in_flight").cannot_wake
    assert tick("llm-d", 0.0, shown=True, expression="in_flight").cannot_wake == ""
    assert "withdraws the model" in tick("dynamo", 0.0, shown=True, expression="in_flight").cannot_wake


def test_with_replicas_no_gateway_has_to_be_there():
    text = "name: q\nmetrics: {queued: {signal: queued, onMissing: zero}, w: {signal: waiting}}\nformula: queued + w\ntarget: 8\n"
    spec = workload(text, model="m")
    busy = {"queued": Reading(None, START, shown=False), "w": Reading(9.0, START)}
    guards = {"waiting": Reading(9.0, START), "running": Reading(0.0, START)}
    _, decision = decide(spec, State(), row(START, replicas=1, guards=guards, **busy), START)
    assert (decision.replicas, decision.certainty, decision.cannot_wake) == (2, "certain", "")


def test_a_workload_that_reads_its_own_pods_alone_says_that_nothing_can_wake_it():
    decision = tick("llm-d", None, shown=None, expression="waiting + running")
    assert (decision.replicas, decision.certainty) == (0, "certain"), "nobody runs, so nothing waits"
    assert "all that it reads is of its own pods, and there are none" in decision.cannot_wake
    assert decision.reason.endswith("inactive, and nothing can wake it: " + decision.cannot_wake)


@pytest.mark.parametrize(
    "scaled",
    [replace(ASLEEP, other_trigger_types=("cron",)), replace(ASLEEP, minimum=1)],
    ids=["another trigger may wake it", "it has a minimum"],
)
def test_nothing_is_said_where_something_else_wakes_it(scaled):
    assert tick("dynamo", None, shown=True, scaled=scaled).cannot_wake == ""


def test_it_is_said_where_kubernetes_shows_that_nothing_else_wakes_it():
    told = tick("llm-d", None, shown=None, expression="waiting + running", scaled=ASLEEP).cannot_wake
    assert "all that it reads is of its own pods" in told


def test_nothing_is_said_where_it_is_not_known():
    assert tick("dynamo", None, shown=True, replicas=None).cannot_wake == "", "how many replicas there are"
    spec = workload(expression="queued", target="8", model="m", gateway="dynamo")
    _, decision = decide(spec, State(), row(START, replicas=0, queued=Failure("timed out", START)), START)
    assert decision.cannot_wake == "", "what the gateway says"


def test_a_refusal_wakes_what_a_gateway_has_withdrawn():
    text = (
        "name: r\nparameters: {gateway: {}}\nmetrics: {refused: {signal: refused, engine: $gateway, onMissing: zero}}\n"
    )
    spec = workload(f"{text}formula: refused\nactivation: refused > 0\ntarget: 8\n", model="m", gateway="dynamo")
    for value, active in ((0.5, True), (0.0, None), (None, None)):
        reading = Reading(value, START, shown=True)
        _, decision = decide(spec, State(), row(START, replicas=0, guards=OF_OWN, refused=reading), START)
        assert decision.cannot_wake == ""
        assert decision.activate_now is bool(active)
