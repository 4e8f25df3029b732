"""What stands in for a series that is not there is no certain 0 while replicas that may hold load say nothing."""

import pytest
from support.timelines import START, fold, workload

from scaler.model.measurement import Reading, TargetStatus

NIL = "(waiting ?? 0) + (running ?? 0)"
ZERO = "name: w\nmetrics: {waiting: {signal: waiting, onMissing: zero}}\nformula: waiting\ntarget: 8\n"
BESIDE = (
    "name: w\nmetrics: {waiting: {signal: waiting, onMissing: zero}, queued: {signal: queued, onMissing: zero}}\n"
    "formula: waiting + queued\ntarget: 8\n"
)
SILENT = {"waiting": None, "running": None, "guards": {"waiting": None, "running": None}}
LONG = 30  # ticks: more than holdFor and idleFor together


def after_long(spec, **row):
    return fold(spec, [{**SILENT, **row}] * LONG)[1][-1]


@pytest.mark.parametrize(
    ("replicas", "though"),
    [
        (TargetStatus(3, 3, 0), "3 replicas are ready"),
        (TargetStatus(1, 1, 0), "1 replica is ready"),
        (TargetStatus(3, 0, 0, ever_ready=3), "3 replicas were ready"),
        (TargetStatus(1, 0, 0, ever_ready=1), "1 replica was ready"),
        (TargetStatus(3), "there are 3 replicas"),
        (TargetStatus(1), "there is 1 replica"),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "spec", [workload(expression=NIL, target="8"), workload(ZERO)], ids=["?? in the formula", "onMissing: zero"]
)
def test_pods_that_say_nothing_have_no_load_of_0(spec, replicas, though):
    """A mistyped model, an overloaded engine whose page hangs: neither a lower number, nor inactive."""
    decision = after_long(spec, replicas=replicas)
    assert (decision.replicas, decision.active, decision.certainty) == (None, None, "unknown")
    assert decision.problems[0].endswith(f"no series, and nothing else was measured, though {though}: that is not 0")


@pytest.mark.parametrize(
    "replicas", [TargetStatus(0, 0, 0), TargetStatus(2, 0, 2, ever_ready=0), TargetStatus(2, 0, 2)], ids=str
)
def test_where_no_replica_can_hold_load_it_is_0(replicas):
    decision = after_long(workload(expression=NIL, target="8"), replicas=replicas)
    assert (decision.value, decision.certainty) == (0.0, "certain")


def test_what_a_gateway_says_shows_nothing_of_the_pods():
    decision = after_long(workload(BESIDE), queued=Reading(0, START, shown=True), replicas=TargetStatus(3, 3, 0))
    assert decision.certainty == "unknown"
    assert decision.problems == (
        "waiting: no series, and nothing else of its pods was measured, though 3 replicas are ready: that is not 0",
    )


def test_another_signal_of_the_same_pods_shows_that_the_place_is_right():
    decision = after_long(workload(expression=NIL, target="8"), running=16, replicas=TargetStatus(3, 3, 0))
    assert (decision.replicas, decision.certainty) == (2, "certain")


def test_a_formula_that_does_without_what_is_optional_needs_something_else_that_was_measured():
    text = (
        "name: w\nmetrics: {waiting: {signal: waiting, optional: true}, queued: {signal: queued, onMissing: zero}}\n"
        "formula: (waiting ?? 0) + queued\ntarget: 8\n"
    )
    seen = after_long(workload(text), queued=Reading(8, START, shown=True), replicas=TargetStatus(3, 3, 0))
    assert (seen.replicas, seen.certainty) == (1, "certain")
    unseen = after_long(workload(text), queued=Reading(None, START, shown=True), replicas=TargetStatus(3, 3, 0))
    assert unseen.certainty == "unknown"
