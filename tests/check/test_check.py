import json

from hypothesis import given, settings
from hypothesis import strategies as st
from support.formula_files import check

from scaler.check import RULES, Report, render

NAMES = ("waiting", "running", "kv", "ttft", "tokens", "free_gpus", "pods", "load", "ready", "replicas", "most")
FILE = """
name: mine
parameters: {{most: {{type: number, default: 3}}}}
metrics:
  waiting: {{signal: waiting}}
  running: {{signal: running, over: 30s}}
  kv: {{signal: kv_cache_usage}}
  ttft: {{signal: time_to_first_token, onMissing: last}}
  tokens: {{signal: generation_tokens_per_second}}
  free_gpus: {{prometheus: free_gpus}}
  pods: {{prometheus: pods, unit: replicas}}
  load: {{prometheus: load, onMissing: 2}}
formula: {formula}
target: {target}
metricType: {kind}
tests:
- interval: 30s
  given: {{waiting: "0 1 _ 900", running: "0+7x3", kv: "0x3", ttft: "1x3", tokens: "0x3", free_gpus: "2x3", pods: "1x3"}}
  expect: [{{at: 90s, value: 3}}]
"""
ATOMS = st.sampled_from((*NAMES, "0", "1", "0.5", "100")) | st.floats(0, 1e6).map(lambda number: f"{number:g}")
FORMULAS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda parts: f"({' '.join(parts)})"),
        st.tuples(inner, inner, inner, inner).map(lambda parts: "({} > {} ? {} : {})".format(*parts)),
        st.tuples(st.sampled_from(NAMES), inner).map(lambda parts: f"({parts[0]} ?? {parts[1]})"),
        st.tuples(inner, inner).map(lambda parts: f"max({', '.join(parts)})"),
    ),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(formula=FORMULAS, target=st.floats(1e-6, 1e6), kind=st.sampled_from(("AverageValue", "Value")))
def test_whatever_the_formula_there_is_a_report(formula, target, kind):
    report = check(FILE.format(formula=json.dumps(formula), target=f"{target:.6g}", kind=kind))
    assert isinstance(report, Report)
    assert report.tests == 1
    assert {finding.rule for finding in report.findings} <= set(RULES)
    assert render(report).endswith("\n")
