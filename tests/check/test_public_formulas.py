"""Formulas as people publish them: what is right is not called wrong."""

import re

import pytest
import yaml
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


# Shapes of formulas in public ScaledObjects, and near variants of them, with names of our own: the formula, its target,
# more keys of the file.
SHAPES = [
    ("a", "3", {"activationTarget": "1"}),
    ("a", "10", {"activationTarget": "0"}),
    ("a + b", "2", {"activationTarget": "2"}),
    ("a + b", "50", {"activationTarget": "0"}),
    ("a + b", "10", {"activationTarget": "5"}),
    ("a + b", "10", {}),
    ("a + b + c", "20", {}),
    ("(a + b)/2", "2", {"activationTarget": "2"}),
    ("(a + b) / 2", "5", {}),
    ("(a + b)/2", "15", {"metricType": "AverageValue"}),
    ("(a + b + c) / 3", "4", {}),
    ("a + (b * 10)", "25", {}),
    ("a * 2 + b * 0.1", "100", {"activationTarget": "20"}),
    ("(a * 0.7) + (b * 0.3)", "100", {"activationTarget": "20"}),
    ("0.5 * a + 0.3 * b + 0.2 * c", "1", {}),
    ("a / 100 + b / 50", "10", {"activationTarget": "1"}),
    ("a / 10.0 + b", "1", {"activationTarget": "0"}),
    ("a * 3", "30", {}),
    ("a / 60", "1", {}),
    ("max(a, b)", "1", {"activationTarget": "1"}),
    ("max(a, b)", "1.2", {"metricType": "Value"}),
    ("max(a, b/1000)", "1.2", {"metricType": "Value"}),
    ("max(a, b, c)", "80", {}),
    ("max(a, b * 10, c)", "80", {}),
    ("max([a, b, c])", "5", {}),
    ("max(1, a / 100)", "1", {"activationTarget": "0", "metricType": "Value"}),
    ("max(0, a)", "30", {"activationTarget": "5"}),
    ("max(0, ceil(a / 5))", "1", {}),
    ("max(a / 1.0, b / 16.0) + c", "1", {"activationTarget": "0"}),
    ("max(a, b) + ceil(c / 5)", "1", {}),
    ("max(a, b) + ceil((b + c) / 2)", "1", {}),
    ("min(100, a)", "10", {}),
    ("min(a, b)", "10", {}),
    ("max(min(a, 500), b)", "50", {}),
    ("min([a, b])", "5", {}),
    ("ceil(a / 10)", "1", {}),
    ("ceil(a)", "5", {}),
    ("floor(a / 2)", "5", {}),
    ("round(a)", "5", {}),
    ("abs(a)", "5", {}),
    ("sum([a, b, c])", "10", {}),
    ("mean([a, b, c])", "10", {}),
    ("median([a, b, c])", "10", {}),
    ("float(a)", "5", {}),
    ("float(a + b)", "5", {}),
    ("int(a)", "5", {}),
    ("a ** 2", "100", {}),
    ("a ?? b", "2", {}),
    ("a ?? b ?? 8", "2", {}),
    ("(a ?? 0) + (b ?? 0)", "5", {}),
    ("a > 2 ? a + b : 1", "2", {}),
    ("a > b ? a : b", "10", {"activationTarget": "1"}),
    ("a > 0 ? a : b", "5", {}),
    ("a >= 100 && b >= 60 ? max(a/100, b/60) : 0", "1", {"activationTarget": "0"}),
    ("a > 0 && b > 0 ? a : 0", "5", {}),
    ("a > 0 || b > 0 ? a + b : 0", "5", {}),
    ("a > 0 and b > 0 ? a + b : 0", "5", {}),
    ("a > 0 or b > 0 ? a + b : 0", "5", {}),
    ("not (a < 5) ? a : 0", "5", {}),
    ("a < 10 ? 1 : a < 100 ? 5 : 10", "1", {}),
    ("a > 100 ? 10 : (a > 50 ? 5 : 1)", "1", {}),
    ("count([a,b,c],{#>1}) > 1 ? 5 : 0", "2", {"activationTarget": "2"}),
    ("count([a, b], {# > 1}) > 1 ? 5 : 0", "2", {}),
    ("any([a, b], # > 5) ? 10 : 1", "1", {}),
    ("all([a, b], {# > 5}) ? 10 : 1", "1", {}),
    ("len(filter([a, b], # > 5)) * 3", "1", {}),
    ("let both = a + b; both / 2", "5", {}),
    ("a == 1 ? b : 0", "5", {}),
    ("a == 0 ? 0 : b", "5", {}),
    ("a == 1 && b > 5 && c > 2 ? 2.0 : (b < 1 && c < 0.5 ? 0.5 : 1.0)", "1", {"metricType": "Value"}),
    ("if (max([a, b]) > 0) { max([a, b]) } else { c }", "1", {}),
    ("a > 0 ? min(max(a, 1), 20) : 0", "1", {}),
]  # fmt: skip
KINDS = {"a": "sum(queue_messages)", "b": "sum(rate(requests_total[1m]))", "c": "avg(pressure)"}


def shaped(formula, target, more):
    used = [name for name in KINDS if name in re.findall(r"\b[abc]\b", formula)]
    metrics = {name: {"prometheus": KINDS[name]} for name in used}
    return yaml.safe_dump({"name": "mine", "metrics": metrics, "formula": formula, "target": target, **more})


@pytest.mark.parametrize(("formula", "target", "more"), SHAPES)
def test_no_shape_that_people_publish_is_called_wrong(formula, target, more):
    assert errors(shaped(formula, target, more)) == []


# Formulas as they stand in public repositories and issues, with the names of their triggers: where it was read, the
# formula, its target, more keys of the file, and the queries whose kind matters (a count, a rate, a share).
# "a public file": a search through public repositories showed the file, and not whose it is.
PUBLISHED = [
    ("kedacore/keda-docs, scaling-deployments", "(trig_one + trig_two)/2", "2", {"activationTarget": "2"}),
    ("kedacore/keda-docs, scaling-deployments", "trig_one > 2 ? trig_one + trig_two : 1", "2", {}),
    ("kedacore/keda-docs, rabbitmq-queue", "max(p2d_ratio, qlen/1000)", "1.2", {"metricType": "Value"}),
    ("kedacore/keda-docs, ibmmq", "(ibmmq + kafka)/2", "15", {}),
    ("kedacore/keda, tests/internals/scaling_modifiers", "metrics_api + kw_trig", "2", {"activationTarget": "2"}),
    ("kedacore/keda, tests/internals/scaling_modifiers", "count([kw_trig,metrics_api],{#>1}) > 1 ? 5 : 0", "2",
     {"activationTarget": "2"}),
    ("kedacore/keda, tests/internals (cron)", "if (max([cron_trigger_morning, cron_trigger_afternoon, "
     "cron_trigger_evening]) > 0) {\n  max([cron_trigger_morning, cron_trigger_afternoon, cron_trigger_evening])\n"
     "} else {\n  metrics_api_trigger\n}\n", "1", {}),
    ("kedacore/keda, tests/internals (fallback)", "primary ?? secondary ?? 8", "2", {}),
    ("kedacore/keda, tests/internals (triggerScoped)", "primary ?? secondary ?? 5", "1", {}),
    ("kedacore/keda, scaledobject_webhook_test", "workload_trig + cron_trig", "2", {}),
    ("kedacore/keda, scaledobject_webhook_test", "workload_trig_1 + workload_trig_2", "2", {"metricType": "Value"}),
    ("kedacore/keda#6938", "external_override > 0 ? external_override : cpu_metric", "1", {}),
    ("kedacore/keda#7195", "if (max([cron_trigger, cron_trigger_morning, cron_trigger_morning1]) > 0) {\n"
     "  max([cron_trigger, cron_trigger_morning, cron_trigger_morning1])\n} else {\n  prometheus_trigger\n}\n", "1", {}),
    ("kaito-project/keda-kaito-scaler, README", "(readiness_gate == 1 && vllm_num_requests_waiting > 10) ? 2.0 :\n"
     "((vllm_num_requests_waiting < 1) ? 0.5 : 1.0)", "1", {"metricType": "Value"}),
    ("kaito-project/keda-kaito-scaler, docs", "(readiness_gate == 1 && vllm_num_requests_waiting > 5 && "
     "vllm_request_queue_time_seconds > 2) ? 2.0 :\n((vllm_num_requests_waiting < 1 && "
     "vllm_request_queue_time_seconds < 0.5) ? 0.5 : 1.0)", "1", {"metricType": "Value"}),
    ("llm-d, proposal of a warm pool", "max(epp_queue_size / 1.0, epp_running_requests / 16.0) + warm_desired", "1",
     {"activationTarget": "0"}),
    ("llm-d, design of a warm pool", "demand_rps / 10.0 + warm_desired", "1", {"activationTarget": "0"}),
    ("modelplaneai/modelplane, tests", "queue", "3", {"activationTarget": "1"}),
    ("kedify, examples", "(0.7 * measured) + (0.3 * predicted)", "400", {"metricType": "AverageValue"}),
    ("a public file (GPU bursts)", "max(gpu_util, queue_depth * 10, predicted_load)", "80", {}),
    ("a public file (game servers)", "takenCnt + 1", "1", {}),
    ("a public file (game servers)", "takenCnt + 10", "1", {}),
    ("a public file (two conditions)", "s0 > 0 && s1 > 500 ? s0 : 0", "2", {}),
    ("a public file (two conditions)", "req >= 100 && cpu >= 60 ? max(req/100, cpu/60) : 0", "1", {"activationTarget": "0"}),
    ("a public file (nginx)", "new_connections * 2 + concurrent_connections * 0.1", "100", {"activationTarget": "20"}),
    ("a public file (orders)", "queue_depth > lag_pressure ? queue_depth : lag_pressure", "10", {"activationTarget": "1"}),
    ("a public file (orders)", "max(0, externalMetricValue1)", "30", {"activationTarget": "5"}),
    ("a public file (orders)", "queue_depth / 10", "1", {}),
    ("a public file (payments)", "payment_qps_scaler + burst_scaler", "10", {"activationTarget": "5"}),
    ("a public file (two queues)", "(metric1 + metric2) / 2", "5", {"metricType": "AverageValue"}),
    ("a public file (two queues)", "(trigger1 + trigger2)/2", "1", {}),
    ("a public file (two queues)", "(trigger1 + trigger2) / 2", "5", {}),
    ("a public file (rates)", "(custom_rate + another_rate) / 2", "1", {}),
    ("a public file (rates)", "(rps + latency_ms) / 2", "30", {"activationTarget": "10"}),
    ("a public file (rates)", "(rps * 0.7) + (cpu_pressure * 0.3)", "100", {"activationTarget": "20"}),
    ("a public file (rates)", "max(rps_per_pod, p95_latency)", "1", {"activationTarget": "1"}),
    ("a public file (forecast and carbon)", "(previsao + carbono) / 2", "1", {}),
    ("a public file (a cap)", "min(100, x)", "10", {}),
    ("a public file (a floor)", "max(1, trigger_1 / 100)", "1", {"activationTarget": "0", "metricType": "Value"}),
    ("a public chart (streams)", "max(prom, cron) + ceil((lag_one + lag_two) / 5)", "1", {}),
    ("onyx and others, one trigger", "ceil(depth / 5)", "1", {}),
]  # fmt: skip
_WORDS = {"max", "min", "ceil", "count", "if", "else"}


RIGHTLY = [  # what is told of these is so
    (
        "vLLM, kedify-otel",
        "running + (waiting * 10)",
        "25",
        {"activationTarget": "5"},
        "inactive while requests are running",
    ),
    (
        "llama.cpp, kedify-otel",
        "running + (deferred * 10)",
        "25",
        {"activationTarget": "5"},
        "inactive while requests are",
    ),
    ("patients", "q - 1", "5", {}, "a load cannot be negative"),
]


def written(formula, target, more):
    names = dict.fromkeys(name for name in re.findall(r"[A-Za-z_]\w*", formula) if name not in _WORDS)
    metrics = {name: {"prometheus": f"sum({name}_total)"} for name in names}
    return yaml.safe_dump({"name": "mine", "metrics": metrics, "formula": formula, "target": target, **more})


@pytest.mark.parametrize(("source", "formula", "target", "more"), PUBLISHED)
def test_no_formula_that_was_read_in_public_is_called_wrong(source, formula, target, more):
    assert errors(written(formula, target, more)) == [], source


@pytest.mark.parametrize(("source", "formula", "target", "more", "told"), RIGHTLY)
def test_what_is_wrong_with_a_formula_that_was_read_in_public_is_told(source, formula, target, more, told):
    assert told in str(errors(written(formula, target, more))), source
