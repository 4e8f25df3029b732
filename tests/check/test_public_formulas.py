"""Formulas as people publish them: what is right is not called wrong."""

import pytest
from support.formula_files import read

from scaler.check import check_file
from scaler.config.defaults import Defaults

GATED = """
name: mine
metrics:
  readiness_gate: {prometheus: min(readiness_gate)}
  vllm_num_requests_waiting: {prometheus: avg(vllm_num_requests_waiting)}
formula: >-
  (readiness_gate == 1 && vllm_num_requests_waiting > 10) ? 2.0 :
  ((vllm_num_requests_waiting < 1) ? 0.5 : 1.0)
target: "1"
metricType: Value
"""
MORE_THAN_NONE = """
name: mine
metrics: {inflight: {prometheus: sum(inflight)}}
formula: inflight
target: "20"
activationTarget: "0.5"
"""


def errors(text):
    report = check_file(read(text), Defaults())
    return [*report.problems, *(found.message for found in report.findings if found.severity == "error")]


@pytest.mark.parametrize("text", [GATED, GATED.replace("readiness_gate == 1", "1 == readiness_gate"), MORE_THAN_NONE])
def test_what_is_right_is_no_error(text):
    assert errors(text) == []


def test_a_fraction_of_requests_is_still_tried_where_the_query_makes_fractions():
    assert "inactive while requests are running" in str(
        errors(MORE_THAN_NONE.replace("sum(inflight)", "avg(inflight)"))
    )


def test_a_gate_that_is_also_counted_with_is_no_gate():
    falling = GATED.replace("0.5 : 1.0", "0.5 : 1 / (readiness_gate + 1)")
    assert "they fall while readiness_gate rises" in str(errors(falling))
