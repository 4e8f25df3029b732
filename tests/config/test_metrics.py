"""What is asked of which source for a metric, and for the guards."""

import pytest
from support.timelines import FILE, workload

from scaler.config.bind import bind_example
from scaler.config.catalog import load, shipped_formulas
from scaler.config.defaults import Defaults
from scaler.model.errors import ConfigError
from scaler.model.measurement import SignalQuery


def metric(written, **given):
    return workload(f"name: w\nmetrics: {{w: {{{written}}}}}\nformula: w\ntarget: 1\n", **given)


def test_a_gateway_s_formula_may_be_held_active_by_what_runs():
    activation = "arrivals_per_second + running > 0"
    spec = workload(expression="arrivals_per_second", activation=activation, target="4", gateway="production-stack")
    assert [guard.name for guard in spec.activity_signals] == ["waiting", "running"]


def test_pods_and_engine_of_a_trigger_reach_every_signal_of_the_target():
    spec = workload(expression="waiting + (queued ?? 0)", target="4", model="m", engine="sglang", pods="llama-a-.*")
    queued, waiting = spec.inputs
    assert (waiting.query.engine, waiting.query.pods) == ("sglang", "llama-a-.*")
    assert (queued.query.engine, queued.query.pods) == ("llm-d", None)


def test_a_trigger_names_its_gateway_and_what_that_calls_it():
    spec = workload(expression="queued + waiting", target="4", model="m", gateway="knative", route="llm-00001")
    queued, waiting = spec.inputs
    assert queued.query.engine == "knative"
    assert dict(queued.query.labels) == {"namespace": spec.key.namespace, "route": "llm-00001"}
    assert waiting.query.engine == "vllm"
    [in_flight] = workload(expression="in_flight", target="4", gateway="keda-http-add-on").inputs
    assert dict(in_flight.query.labels)["route"] == spec.key.name, "as the http-add-on calls its own after its object"
    assert (in_flight.of_target, in_flight.value_at_zero_replicas) == (False, None), "it outlives the target's pods"


def test_a_signal_that_engines_have_is_never_taken_from_a_gateway():
    text = "name: t\nmetrics: {t: {signal: generation_tokens_per_second}}\nformula: t\ntarget: 1\n"
    lacks = "triton-trtllm has no signal 'generation_tokens_per_second'; allowed: waiting"
    with pytest.raises(ConfigError, match=lacks):
        workload(text, model="m", engine="triton-trtllm")
    there = workload(text.replace("second}", "second, engine: llm-d}"), model="m", engine="triton-trtllm")
    assert there.inputs[0].query.engine == "llm-d"


def test_a_gateway_that_cannot_say_it_is_named():
    text = "name: q\nmetrics: {q: {signal: queued}}\nformula: q\ntarget: 1\n"
    with pytest.raises(
        ConfigError, match="vllm has no signal 'queued'.*; nor has the gateway litellm; allowed: waiting"
    ):
        workload(text, gateway="litellm")
    with pytest.raises(ConfigError, match="'sglang' is not a gateway.*; allowed: ray-serve, llm-d"):
        workload(text, gateway="sglang")


def test_only_the_settings_say_where_a_shared_gateway_runs():
    settings = Defaults(gateway="kthena", gateway_namespace="kthena-system")
    spec = workload(None, settings, expression="queued + waiting", target="4", model="m")
    assert [dict(item.query.labels)["namespace"] for item in spec.inputs] == ["kthena-system", spec.key.namespace]
    own = workload(None, settings, expression="queued", target="4", model="m", gateway="llm-d")
    assert dict(own.inputs[0].query.labels)["namespace"] == spec.key.namespace, "a pool has its picker beside it"


def test_what_guards_a_workload_is_asked_of_the_engine_that_has_it():
    text = "name: c\nmetrics: {c: {signal: cpu_usage, engine: kubernetes}, g: {signal: waiting}}\nformula: c + g\ntarget: 1\n"
    assert [(guard.name, guard.query.engine) for guard in workload(text).activity_signals] == [
        ("waiting", "vllm"),
        ("running", "vllm"),
    ]


def test_what_guards_a_workload_that_looks_at_its_gateway_alone_is_asked_of_its_engine():
    def guards(expression, **metadata):
        spec = workload(expression=expression, target="4", model="m", **metadata)
        return [
            (one.query.engine, one.query.signal, one.query.pods, one.on_missing, one.of_target)
            for one in spec.activity_signals
        ]

    guessed = [("vllm", "waiting", "m-.*", "zero", True), ("vllm", "running", "m-.*", "zero", True)]
    assert guards("queued", pods="m-.*") == guessed, "nobody said that it is vLLM"
    assert guards("queued", engine="tgi")[1] == ("tgi", "running", None, "error", True)
    assert guards("in_flight", gateway="dynamo") == [], "a gateway that sees what runs"
    assert guards("queued", engine="knative") == [], "what is no engine has no pods that run anything"
    assert workload("name: c\nmetrics: {c: {prometheus: up}}\nformula: c\ntarget: 1\n").activity_signals == ()
    assert workload("name: c\nformula: 1 + 1\ntarget: 1\n").activity_signals == ()


def test_a_signal_of_another_model_is_not_of_this_target():
    spec = workload(
        "name: other\nmetrics: {a: {signal: waiting, model: large}}\nformula: a\ntarget: 1\nparameters: {model: {example: m}}\n",
        model="small",
    )
    assert spec.inputs[0].query.labels[1] == ("model", "large")
    assert not spec.inputs[0].of_target
    assert {dict(item.query.labels)["model"] for item in spec.activity_signals} == {"small"}, (
        "its own requests keep it awake"
    )


def test_quantiles_and_windows_have_defaults_and_can_be_set():
    text = (
        "name: q\nmetrics: {t: {signal: time_to_first_token, quantile: 0.5, window: 1m}}\nformula: t ?? 0\ntarget: 1\n"
    )
    query = workload(text, model="m").inputs[0].query
    assert (query.quantile, query.window) == (0.5, 60)
    query = workload(text.replace(", quantile: 0.5, window: 1m", ""), model="m").inputs[0].query
    assert 0 < query.quantile < 1
    assert query.window > 0


@pytest.mark.parametrize(
    ("written", "window", "reduce", "over"),
    [
        ("signal: waiting", None, None, 0),
        ("signal: waiting, window: 1d, reduce: max", 86400, "max", 0),
        ("signal: waiting, window: 1h", 3600, "mean", 0),
        ("signal: waiting, window: 1h, over: 1m, reduce: min", 3600, "min", 60),
        ("signal: waiting, over: 1m, reduce: min", None, None, 60),
        ("signal: requests_per_second, window: 1m, over: 30s, reduce: max", 60, None, 30),
    ],
)
def test_a_gauge_is_reduced_over_its_window_by_the_source(written, window, reduce, over):
    [item] = metric(written, model="m").inputs
    assert (item.query.window, item.query.reduce, item.over) == (window, reduce, over)


def test_what_guards_a_workload_is_what_waits_now():
    spec = metric("signal: waiting, window: 1h, reduce: max", model="m")
    assert [(guard.query.signal, guard.query.window, guard.query.reduce) for guard in spec.activity_signals] == [
        ("waiting", None, None), ("running", None, None),
    ]  # fmt: skip


def test_an_object_is_named_by_what_scales_or_is_the_workloads_own():
    [item] = metric("signal: spec_replicas, engine: kubernetes, workload: llama").inputs
    assert item.query.labels == (("namespace", "team"), ("workload", "llama"))
    assert not item.of_target
    [own] = metric("signal: current_replicas, engine: kubernetes, window: 1d, reduce: max").inputs
    assert own.query.labels == (("namespace", "team"), ("hpa", "keda-hpa-llama"))


def test_what_gateways_say_may_have_an_endpoint_of_its_own_unless_the_metric_names_one():
    defaults = Defaults(endpoint="eu", endpoints=("eu", "us", "epp"), gateway_endpoint="epp")
    text = "name: mine\nmetrics: {queued: {signal: queued}, waiting: {signal: waiting}}\nformula: queued + waiting\ntarget: 1\n"
    at = lambda text, **given: [item.query.endpoint for item in workload(text, defaults, **given).inputs]  # noqa: E731
    assert at(text) == ["epp", "eu"]
    assert at(text, endpoint="us") == ["epp", "us"]
    assert at(text.replace("signal: queued", "signal: queued, endpoint: eu")) == ["eu", "eu"]


def test_the_guards_are_never_those_of_another_model():
    other = "  theirs: {signal: waiting, model: other}\n  mine: {signal: waiting}\n"
    text = FILE.replace("  waiting: {signal: waiting, over: 30s, reduce: max}\n", other).replace("waiting", "mine")
    spec = workload(text.replace("signal: mine", "signal: waiting"), model="m")
    assert [dict(guard.query.labels)["model"] for guard in spec.activity_signals] == ["m", "m"]


def test_an_engine_that_does_not_say_what_runs_is_seen_to_work_by_its_tokens():
    spec = workload(expression="waiting", target="4", model="m", engine="triton")
    assert [guard.name for guard in spec.activity_signals] == ["waiting", "generation_tokens_per_second"]
    assert spec.activity_signals[-1].query.window == 120
    assert [guard.name for guard in workload(expression="waiting", target="4", model="m").activity_signals] == [
        "waiting",
        "running",
    ]


SETTINGS = Defaults(engine="sglang", gateway="kthena")
READS = "name: t\nparameters: {PARAMETERS}\nmetrics: {w: {signal: waiting}, q: {signal: queued}}\nformula: w + q\ntarget: 1\n"


@pytest.mark.parametrize(
    ("parameters", "given", "engines"),
    [
        ("{}", {}, ["sglang", "kthena"]),
        ("{engine: {description: what runs}, gateway: {}}", {}, ["sglang", "kthena"]),
        ("{engine: {default: lmdeploy}, gateway: {default: dynamo}}", {}, ["lmdeploy", "dynamo"]),
        ("{engine: {default: lmdeploy}}", {"engine": "vllm", "gateway": "llm-d"}, ["vllm", "llm-d"]),
    ],
    ids=["a file that does not speak of them", "that declares them", "that says them itself", "the trigger"],
)
def test_engine_and_gateway_are_the_trigger_s_the_file_s_or_the_settings(parameters, given, engines):
    spec = workload(READS.replace("{PARAMETERS}", parameters), SETTINGS, **given)
    assert [item.query.engine for item in spec.inputs] == engines


def test_the_settings_reach_every_shipped_formula():
    formulas = load(shipped_formulas()).formulas.values()
    queries = [
        item.query
        for file in formulas
        for item in bind_example(file, {}, Defaults(engine="sglang")).inputs
        if item.of_target
    ]
    assert {query.engine for query in queries if isinstance(query, SignalQuery)} == {"sglang", "kubernetes"}
