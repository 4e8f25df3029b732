"""An optional signal: a formula does without it where it never was there, and it lowers nothing where it was."""

import pytest
from support.timelines import START, fold, workload

from scaler.model.errors import ConfigError
from scaler.model.measurement import Reading

TEXT = """
name: sum
parameters: {model: {default: m}, engine: {default: vllm}}
metrics:
  waiting: {signal: waiting}
  finished: {signal: requests_per_second, optional: true}
formula: waiting + (finished ?? 100)
target: 1
holdFor: 60s
"""


def told(*finished, text=TEXT, **metadata):
    rows = [{"waiting": 5, "finished": one} for one in finished]
    return fold(workload(text, **metadata), rows)[1]


def test_it_is_used_where_it_is_measured():
    [decision] = told(7)
    assert (decision.value, decision.certainty) == (12, "certain")


@pytest.mark.parametrize(
    "missing", ["timed out", None, Reading(None, START, incomplete_reason="no pod has made two samples")]
)
def test_while_it_is_not_measured_it_is_nil_and_nothing_is_less_certain(missing):
    [decision] = told(missing)
    assert (decision.value, decision.certainty, decision.problems) == (105, "certain", ())
    assert decision.input_values[1].rule == "not measured, and the formula can do without"
    assert not decision.config_error


def test_for_hold_for_its_last_value_stands_in_and_the_answer_is_held():
    """At 5 s each: 60 s after its last value it is one that is not there, and the rest is certain without a gap."""
    decisions = told(7, *["timed out"] * 13)
    assert [decision.replicas for decision in decisions] == [12] * 12 + [105] * 2
    assert [decision.certainty for decision in decisions] == ["certain", *["held"] * 11, *["certain"] * 2]
    assert decisions[1].input_values[1].problem == "timed out; the last value, 5s old, stands in"


def test_where_the_source_says_that_there_is_none_nothing_failed():
    decisions = told(7, *[None] * 13)
    assert [decision.value for decision in decisions] == [12] * 12 + [105] * 2
    assert {decision.certainty for decision in decisions} == {"certain"}


LOWER = TEXT.replace("(finished ?? 100)", "(finished ?? 0)")


@pytest.mark.parametrize("missing", ["timed out", None, Reading(0, START, answered=2, expected=3)])
def test_what_was_there_and_is_not_lowers_nothing(missing):
    decisions = told(7, *[missing] * 11, text=LOWER)
    assert {decision.replicas for decision in decisions} == {12}


def test_a_process_that_does_not_know_what_was_before_lowers_nothing_either():
    rows = [{"waiting": 5, "finished": "timed out", "replicas": 12}] * 14
    decisions = fold(workload(LOWER), rows)[1]
    assert {decision.replicas for decision in decisions[:11]} == {12}
    assert decisions[-1].certainty == "certain"


def test_a_part_of_it_counts_as_it_is():
    [decision] = told(Reading(7, START, answered=2, expected=3))
    assert (decision.value, decision.certainty) == (12, "certain")
    assert decision.input_values[1].rule == "2 of 3 pods answered"


def test_an_engine_that_has_none_does_without():
    spec = workload(TEXT, engine="llama-cpp")
    assert [item.name for item in spec.inputs] == ["waiting"]
    [decision] = fold(spec, [{"waiting": 5}])[1]
    assert (decision.value, decision.certainty) == (105, "certain")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("(finished ?? 100)", "finished", "metrics.finished.optional: the formula reads it without"),
        ("{signal: requests_per_second, ", "{prometheus: x, ", "metrics.finished.optional: is for signals"),
        ("requests_per_second", "requests_a_second", "requests_a_second"),
    ],
)
def test_what_cannot_be_done_without_is_not_optional(old, new, problem):
    with pytest.raises(ConfigError, match=problem.replace("?", r"\?")):
        workload(TEXT.replace(old, new))


def test_a_process_that_knows_no_past_holds_for_as_long_as_hold_for_less_a_tick():
    """At 5 s each the ticks 0 to 11 are held, where replicas run: what was there a minute ago is not known before."""
    rows = [{"waiting": 5, "finished": "timed out", "replicas": 3}] * 14
    assert [one.certainty for one in fold(workload(TEXT), rows)[1]] == ["held"] * 12 + ["certain"] * 2
