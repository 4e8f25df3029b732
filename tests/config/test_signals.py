"""The catalogue as data: what it must hold, and how a wrong entry is refused."""

import re

import pytest

from scaler.config import signals
from scaler.config.naming import SCRAPE_LABELS, Naming
from scaler.model.errors import ConfigError
from scaler.model.measurement import SignalQuery
from scaler.sources.prometheus.batch_query import group

MINIMAL = """
signals:
  busy: {{description: d, unit: requests, type: {type}, aggregation: sum, window: 60, quantile: 0.9}}
engines:
  triton:
    scope: target
    labels: {{namespace: namespace}}
    source: s
    signals:
      busy: {{metrics: [{{name: us, versions: "1"}}]{more}}}
"""


def catalogue(more="", kind="gauge"):
    text = MINIMAL.format(type=kind, more=f", {more}" if more else "")
    return text.replace(", window: 60, quantile: 0.9", "") if kind == "gauge" else text


def everything():
    return [signal for offered in signals.engines().values() for signal in offered.values()]


def test_what_every_engine_must_offer():
    """What the shipped formulas ask for; where an engine lacks it, the table in docs/engines.md has another trigger."""
    lacking = {
        engine: lacks
        for engine, offered in signals.engines().items()
        if any(one.scope == "target" for one in offered.values())
        and (lacks := {"waiting", "running", "kv_cache_usage", "generation_tokens_per_second"} - set(offered))
    }
    assert lacking == {
        "vllm-omni": {"kv_cache_usage"},
        "triton": {"running", "kv_cache_usage"},
        "triton-trtllm": {"generation_tokens_per_second"},
        "ray-serve": {"waiting", "kv_cache_usage", "generation_tokens_per_second"},
        "kubernetes": {"waiting", "running", "kv_cache_usage", "generation_tokens_per_second"},
    }


@pytest.mark.parametrize("signal", everything(), ids=lambda signal: f"{signal.engine}-{signal.name}")
def test_an_entry_is_whole(signal):
    assert signal.description.endswith(".")
    assert signal.unit
    assert re.search(r"\d", signal.source)
    assert all(metric.versions for metric in signal.metrics)
    assert signal.labels[0] == "namespace"
    assert signal.takes_window == (signal.window is not None) == (signal.type != "gauge")
    assert signal.takes_quantile == (signal.quantile is not None) == (signal.aggregation == "quantile")
    of_requests = signal.unit == "seconds" or signal.name == "prefix_cache_hit_rate"  # without any there is none
    assert (signal.value_at_zero_replicas == 0) == (signal.scope == "target" and not of_requests)
    assert not signal.shared or signal.scope == "gateway"
    assert signal.max is None or signal.max_reason


def test_what_bounds_a_signal_is_said():
    assert (signals.find("vllm", "kv_cache_usage").max, signals.find("vllm", "waiting").max_reason) == (1, "")
    for engine in ("vllm", "sglang", "tgi"):
        running = signals.find(engine, "running")
        assert running.max is None
        assert "of a replica, times replicas; past it only waiting grows" in running.max_reason


def test_the_labels_that_identify_a_workload():
    labels = {engine: dict(signals.find(engine, signals.names(engine)[-1]).label_names) for engine in signals.engines()}
    assert labels["vllm"] == {"namespace": "namespace", "model": "model_name"}
    assert {engine for engine, known in labels.items() if set(known) == {"namespace"}} == {
        "tgi",
        "llama-cpp",
        "vllm-router",
        "kubernetes",
    }
    assert {engine for engine, known in labels.items() if "route" in known} == {
        "ray-serve",
        "knative",
        "keda-http-add-on",
    }


def test_what_only_a_gateway_can_say():
    assert signals.names_at_gateway("llm-d") == ("queued", "in_flight", "tokens_waiting")
    assert signals.names_at_gateway("production-stack") == ("arrivals_per_second",)
    assert signals.names_at_gateway("envoy-ai-gateway") == ()
    with pytest.raises(
        ConfigError, match="gateway: 'vllm' is not a gateway, did you mean llm-d.; allowed: ray-serve, llm-d, inference"
    ):
        signals.names_at_gateway("vllm")


@pytest.mark.parametrize(
    ("engine", "signal", "problem"),
    [
        (
            "vlm",
            "waiting",
            "engine: 'vlm' is not in the catalogue, did you mean vllm?; allowed: vllm, vllm-omni, sglang, ray-sglang, tgi, triton",
        ),
        (
            "vllm",
            "waitng",
            "signal: vllm has no signal 'waitng', did you mean waiting?; allowed: waiting, running, kv_",
        ),
        ("tgi", "time_to_first_token", "signal: tgi has no signal 'time_to_first_token'; allowed: waiting, running"),
        ("llm-d", "waiting", "signal: llm-d has no signal 'waiting', did you mean tokens_waiting?; allowed: queued"),
    ],
)
def test_what_an_engine_does_not_have_is_said(engine, signal, problem):
    with pytest.raises(ConfigError, match=re.escape(problem)):
        signals.find(engine, signal)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("signals: [", "is not YAML we can read"),
        ("engine: {}", "unknown key, did you mean engines?"),
        ("engines: {vllm: {signals: {x: 5}}}", "engines.vllm.signals.x: 5 stands where keys and values belong"),
        (catalogue("metric: []"), "busy.metric: unknown key, did you mean metrics?"),
        (catalogue("type: meter"), "busy.type: 'meter' is not allowed; allowed: gauge, counter, histogram"),
        (catalogue("scope: pod"), "busy.scope: 'pod' is not allowed; allowed: target, gateway, object"),
        (catalogue("sumWithinPodBy: [a-b]"), "busy.sumWithinPodBy: ['a-b'] is not allowed; allowed: a label's name"),
        (
            catalogue("dividedBy: [{name: a b, versions: '1'}]"),
            "busy.dividedBy[0].name: 'a b' is not allowed; allowed: a metric's name",
        ),
        (catalogue("dividedBy: [{name: a}]"), "busy.dividedBy[0].versions: is missing"),
        (catalogue("dividedBy: [{name: a, versions: '1', x: 1}]"), "busy.dividedBy[0].x: unknown key"),
        (
            catalogue("dividedBy: [{name: a, versions: '1', infoJoin: {infoMetric: b}}]"),
            "busy.dividedBy[0].infoJoin.infoLabel: is missing",
        ),
        (catalogue("window: 60"), "busy.window: unknown key"),
        (catalogue(kind="counter"), "busy.quantile: unknown key"),
        (catalogue().replace('[{name: us, versions: "1"}]', "[]"), "busy.metrics: is missing"),
        (catalogue().replace("d, unit: requests, ", "d, "), "busy.unit: is missing"),
    ],
)
def test_a_wrong_entry_is_refused(text, problem):
    with pytest.raises(ConfigError, match=re.escape(f"{problem}")) as refused:
        signals.read(text)
    assert str(refused.value).startswith("engines.yaml: ")


def test_a_new_engine_is_data_alone(monkeypatch):
    more = 'type: counter, window: 60, scale: 0.001, sumWithinPodBy: [gpu], dividedBy: [{name: all, versions: "1", where: {kind: "a\\"b"}}]'
    monkeypatch.setattr(signals, "engines", lambda: signals.read(catalogue(more)))
    query = SignalQuery("p", "triton", "busy", (("namespace", "n"),), window=7.5)
    (grouped,) = group([query], Naming(recent=45))
    value, answered, missing, oldest, _jumping, nameless, young, _, alien, *_ = grouped.text.split("\nor ")
    scrape = f"namespace, pod, instance, {', '.join(SCRAPE_LABELS)}"
    once = f"sum by (namespace) (max by (namespace, pod, instance) (sum by ({scrape}) (%s)))"
    us = '(rate(us{namespace="n",pod!=""}[7500ms]) and us{namespace="n",pod!=""})'
    all_ = '(rate(all{namespace="n",pod!="",kind="a\\"b"}[7500ms]) and all{namespace="n",pod!="",kind="a\\"b"})'
    assert value == f'label_replace({once % us} / {once % all_} * 0.001, "stat", "value", "", "")'
    scrapes = 'count by (namespace, pod) (group by (namespace, pod, instance, job) (us{namespace="n",pod!=""}))'
    assert f"sum by (namespace) (1 + ({scrapes} > bool 1) * {2.0**-20})" in answered
    gone = '(last_over_time(us{namespace="n",pod!=""}[45s])) and on (namespace, job, instance) (up{namespace="n"} == 0)'
    assert gone in missing
    assert 'min by (namespace) (timestamp(us{namespace="n",pod!=""}))' in oldest
    assert 'group by (namespace, instance) (us{namespace="n",pod=""}) unless on (namespace, instance)' in nameless
    assert 'max by (namespace, pod, instance) (count_over_time(us{namespace="n",pod!=""}[7500ms])) >= 2' in young
    assert ' or all{namespace="n",pod!="",kind="a\\"b"}' in alien
