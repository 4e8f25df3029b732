"""An optional signal: taken as far as it is measured, and no answer is less certain for it."""

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


@pytest.mark.parametrize("missing", ["timed out", None, Reading(None, START, partial="no pod has made two samples")])
def test_while_it_is_not_measured_it_is_nil_and_nothing_is_less_certain(missing):
    [decision] = told(missing)
    assert (decision.value, decision.certainty, decision.problems) == (105, "certain", ())
    assert decision.facts[1].rule == "not measured, and the formula can do without"


def test_its_last_value_stands_in_for_as_long_as_hold_for():
    decisions = told(7, *["timed out"] * 13)
    assert [decision.value for decision in decisions] == [12] * 13 + [105]
    assert decisions[1].facts[1].rule == "the last value, 5s old"


def test_a_part_of_it_counts_as_it_is():
    [decision] = told(Reading(7, START, answered=2, expected=3))
    assert (decision.value, decision.certainty) == (12, "certain")
    assert decision.facts[1].rule == "2 of 3 pods answered"


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
