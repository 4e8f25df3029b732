"""What binding a formula file to a trigger gives, or refuses."""

import pytest
from support.timelines import FILE, workload

from scaler.config.bind import bind_example, parse_file
from scaler.config.defaults import Defaults
from scaler.model.errors import ConfigError, FormulaSyntaxError, ScalerError, UnsupportedError
from scaler.model.measurement import PromqlQuery, SignalQuery
from scaler.model.strict_yaml import parse_yaml


def read(text, stem=None):
    return parse_file(parse_yaml(text, "mine.yaml"), "mine.yaml", stem)


def test_a_trigger_fills_the_template_of_its_file():
    spec = workload(FILE, model='m"1', target="4")
    assert (spec.formula, spec.target, spec.parameters) == ("mine", 4.0, {"target": 4.0})
    waiting, drift = spec.inputs
    labels = (("namespace", "team"), ("model", 'm"1'))
    assert waiting.query == SignalQuery("default", "vllm", "waiting", labels)
    assert (waiting.over, waiting.reduce, waiting.of_target, waiting.value_at_zero_replicas) == (30, "max", True, 0)
    assert drift.query == PromqlQuery("default", 'max(drift{model="m\\"1"}) > 4')
    assert (drift.on_missing, drift.of_target) == (3.0, False)
    assert spec.memory == 30


@pytest.mark.parametrize(
    ("key", "value", "attribute", "expected"),
    [
        ("target", "3", "target", 3.0),
        ("activation", "true", "activation", True),
        ("activationTarget", "2", "activation", 2.0),
        ("interval", "10s", "interval", 10.0),
        ("holdFor", "1m", "hold_for", 60.0),
        ("idleFor", "5m", "idle_for", 300.0),
    ],
)
def test_a_trigger_may_override_what_the_file_does_not_leave_open(key, value, attribute, expected):
    text = "name: plain\nmetrics: {a: {prometheus: a}}\nformula: a\ntarget: 1\n"
    found = getattr(workload(text, **{key: value}), attribute)
    assert (found.evaluate({}) if hasattr(found, "evaluate") else found) == expected


def test_an_expression_is_a_formula_over_the_signals_of_its_engine():
    spec = workload(expression="waiting + running + (queued ?? 0)", target="4", model="m")
    assert spec.formula == "expression"
    assert [(item.name, item.query.engine) for item in spec.inputs] == [
        ("queued", "llm-d"), ("running", "vllm"), ("waiting", "vllm"),
    ]  # fmt: skip


def test_the_activation_of_an_expression_may_name_other_signals():
    spec = workload(expression="waiting", activation="waiting + requests_per_second > 0", target="4", engine="triton")
    assert [item.name for item in spec.inputs] == ["waiting", "requests_per_second"]
    assert spec.activation.evaluate({"waiting": 0.0, "requests_per_second": 0.1})
    with pytest.raises(ConfigError, match="trigger: activation: triton has no signal 'running'"):
        workload(expression="waiting", activation="waiting + running > 0", target="4", engine="triton")


def test_a_policy_reads_formulas_over_the_metrics():
    text = """
name: p
parameters: {high: {type: number, default: 100}}
metrics: {a: {prometheus: a}, b: {prometheus: b}}
formula: a
target: 1
policy: {kind: hysteresis, metric: 60 * (a + b), above: $high, below: 50, memory: 10m}
"""
    spec = workload(text)
    assert list(spec.policy_programs) == ["60 * (a + b)"]
    assert (spec.memory, spec.policy.above) == (600, 100)


def test_a_policy_that_starts_jobs_makes_it_a_scaled_job_s_and_takes_no_target():
    tree = {"name": "mine", "metrics": {"a": {"prometheus": "a"}}, "formula": "a"}
    latch = {**tree, "policy": {"kind": "latch", "resetBelow": 1}}
    spec = bind_example(parse_file(latch, "mine.yaml"), {}, Defaults())
    assert (spec.key.kind, spec.is_job, spec.replicas) == ("ScaledJob", True, {})
    with pytest.raises(ConfigError, match="mine.yaml: target: unknown key"):
        parse_file({**latch, "target": 1}, "mine.yaml")
    assert not bind_example(parse_file({**tree, "target": 1}, "mine.yaml"), {}, Defaults()).is_job


PLAIN = {"name": "mine", "metrics": {"a": {"prometheus": "a"}}, "formula": "a", "target": 1}


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"name": "Mine"}, "mine.yaml: name: 'Mine' is not allowed"),
        ({"name": "other"}, "mine.yaml: name: 'other' is not the file's own name; allowed: mine"),
        ({"formula": None}, "mine.yaml: formula: is missing"),
        ({"target": None}, "mine.yaml: target: is missing"),
        ({"target": 0}, "mine.yaml: target: 0 is not allowed; allowed: a number above 0"),
        ({"taget": 1}, "mine.yaml: taget: unknown key, did you mean target?"),
        ({"metricType": "Utilization"}, "mine.yaml: metricType: 'Utilization' is not allowed; allowed: AverageValue, Value"),
        ({"formula": "a + b"}, "mine.yaml: formula: unknown name"),
        ({"formula": "a +"}, "mine.yaml: formula: "),
        ({"formula": "$a"}, "mine.yaml: formula: $a is not a parameter"),
        ({"formula": "$a + 1"}, "a numeric parameter is a plain name here: a"),
        ({"activation": "a"}, "mine.yaml: activation: "),
        ({"activation": "true", "activationTarget": 1}, "activation and activationTarget are both given"),
        ({"interval": "500ms"}, "mine.yaml: interval: '500ms' is not allowed"),
        ({"interval": "2500ms"}, "is not a whole number of seconds"),
        ({"endpoint": "http://evil"}, "mine.yaml: endpoint: 'http://evil' is not allowed; allowed: the name of an endpoint in the settings"),
        ({"metrics": {"a": {}}}, "mine.yaml: metrics.a: needs exactly one source; allowed: signal, prometheus"),
        ({"metrics": {"a": {"signal": "waiting", "prometheus": "a"}}}, "needs exactly one source"),
        ({"metrics": {"a": {"signal": "waitin"}}}, "mine.yaml: metrics.a.signal: vllm has no signal 'waitin', did you mean waiting?"),
        ({"metrics": {"a": {"signal": "waiting", "engine": "vlm"}}}, "did you mean vllm?"),
        ({"metrics": {"a": {"signal": "waiting", "pods": "("}}}, "mine.yaml: metrics.a.pods: '(' is not a regular expression"),
        ({"metrics": {"a": {"signal": "waiting", "pods": "a{99999999999}"}}}, "is not a regular expression"),
        ({"metrics": {"a": {"signal": "waiting", "pods": "(" * 4000 + ")" * 4000}}}, "is not a regular expression"),
        ({"metrics": {"a": {"signal": "waiting", "quantile": 0.5}}}, "mine.yaml: metrics.a.quantile: unknown key"),
        ({"metrics": {"a": {"signal": "waiting", "reduce": "max"}}}, "mine.yaml: metrics.a.reduce: has nothing to reduce"),
        ({"metrics": {"a": {"prometheus": "a", "window": "1m"}}}, "mine.yaml: metrics.a.window: unknown key"),
        ({"metrics": {"a": {"signal": "waiting", "workload": "b"}}}, "mine.yaml: metrics.a.workload: unknown key"),
        ({"metrics": {"a": {"signal": "spec_replicas", "engine": "kubernetes"}}}, "mine.yaml: metrics.a.workload: is missing"),
        ({"metrics": {"a": {"prometheus": "a", "over": "1x"}}}, "mine.yaml: metrics.a.over: '1x' is not allowed"),
        ({"metrics": {"a": {"prometheus": "a", "onMissing": "ignore"}}}, "allowed: error, zero, last, or a number"),
        ({"metrics": {"a": {"prometheus": "a{$x}"}}}, "mine.yaml: metrics.a.prometheus: "),
        ({"metrics": {"a": {"gpus": "schedulable"}}}, "mine.yaml: metrics.a.gpus: 'schedulable' is not allowed; allowed: schedulable_replicas, free, pending, provisionable, own"),
        ({"metrics": {"a": {"gpus": "free", "onMissing": "zero"}}}, "mine.yaml: metrics.a.onMissing: unknown key"),
        ({"capacity": "claim"}, "mine.yaml: capacity: 'claim' is not allowed; allowed: clamp, report, off"),
        ({"metrics": {"replicas": {"prometheus": "a"}}}, "metrics.replicas: 'replicas' is the scale target's own number"),
        ({"metrics": {"a-b": {"prometheus": "a"}}}, "metrics.a-b: 'a-b' cannot name a metric: a formula would read it as something else"),
        ({"metrics": ["a"]}, "mine.yaml: metrics: ['a'] stands where keys and values belong"),
        ({"parameters": {"a": {"type": "number", "default": 1}}}, "mine.yaml: metrics.a: is also a parameter"),
        ({"parameters": {"x": {"type": "float"}}}, "mine.yaml: parameters.x.type: 'float' is not allowed"),
        ({"parameters": {"x": {"type": "number", "default": "much"}}}, "mine.yaml: parameters.x.default: 'much' is not allowed"),
        ({"parameters": {"1x": {}}}, "mine.yaml: parameters.1x: '1x' is not a name"),
        ({"policy": {"kind": "hysterese"}}, "mine.yaml: policy.kind: 'hysterese' is not a policy, did you mean hysteresis?"),
        ({"policy": {"kind": "hysteresis", "metric": "b", "above": 2, "below": 1}}, "mine.yaml: policy: unknown name"),
        ({"tests": "none"}, "mine.yaml: tests: 'none' is not allowed; allowed: a list"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_one_error_that_names_file_key_value_and_what_is_allowed(changed, problem):
    tree = {key: value for key, value in {**PLAIN, **changed}.items() if value is not None}
    with pytest.raises(ConfigError) as raised:
        parse_file(tree, "mine.yaml", "mine")
    assert problem in str(raised.value)


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"mode": "shadow"}, "mode"),
    ],
)
def test_what_is_planned_is_refused_by_name(changed, key):
    with pytest.raises(UnsupportedError, match="is not supported yet") as raised:
        parse_file({**PLAIN, **changed}, "mine.yaml")
    assert raised.value.key == key


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        ({}, "trigger: model: is missing: mine needs it; allowed: the served model name"),
        ({"model": "m", "targt": "3"}, "trigger: targt: unknown key, did you mean target?"),
        ({"modle": "m"}, "trigger: modle: unknown key, did you mean model?"),
        ({"model": "m", "target": "-1"}, "trigger: target: -1.0 is not allowed"),
        ({"model": "m", "holdFor": "2d"}, "trigger: holdFor: '2d' is not allowed"),
        ({"model": "m", "target": "many"}, "trigger: target: 'many' is not allowed; allowed: a number"),
        ({"model": "m", "engine": "vlm"}, "trigger: engine: 'vlm' is not in the catalogue, did you mean vllm?"),
        ({"model": "m", "gateway": "vllm"}, "trigger: gateway: 'vllm' is not a gateway"),
        ({"model": "m", "endpoint": "10.0.0.1"}, "endpoint: '10.0.0.1' is not allowed; allowed: default"),
        ({"model": "m", "serverAddress": "http://169.254.169.254"}, "trigger: serverAddress: unknown key"),
    ],
)
def test_a_wrong_trigger_is_one_error(metadata, problem):
    with pytest.raises(ConfigError) as raised:
        workload(FILE, **metadata)
    assert problem in str(raised.value)


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        ({"expression": "waitng", "target": "1"}, "trigger: expression: unknown name"),
        (
            {"expression": "waiting + arrivals_per_second", "target": "1"},
            "vllm has no signal 'arrivals_per_second', nor has the gateway llm-d; allowed",
        ),
        ({"expression": "waiting +", "target": "1"}, "trigger: expression: "),
        ({"expression": "waiting"}, "trigger: target: is missing"),
        ({"expression": "waiting", "target": "1", "engine": "x"}, "trigger: engine: 'x' is not in the catalogue"),
        ({"expression": "waiting", "target": "1", "x": "2"}, "trigger: x: unknown key"),
    ],
)
def test_a_wrong_expression_is_one_error(metadata, problem):
    with pytest.raises(ScalerError) as raised:
        workload(**metadata)
    assert problem in str(raised.value)


def test_a_syntax_error_says_where_it_stands():
    with pytest.raises(FormulaSyntaxError) as raised:
        read("name: mine\nmetrics: {a: {prometheus: a}}\nformula: a + * 2\ntarget: 1\n")
    assert raised.value.key == "formula"
    assert "^" in str(raised.value)


def test_a_condition_of_a_trigger_that_cannot_be_read_is_the_triggers_fault():
    text = "name: plain\nmetrics: {a: {prometheus: a}}\nformula: a\ntarget: 1\n"
    with pytest.raises(FormulaSyntaxError, match="trigger: activation: "):
        workload(text, activation="a >")


def test_a_scaling_modifiers_block_pastes_in_unchanged():
    file = read("""
name: mine
metrics: {queue: {prometheus: queue}, hits: {prometheus: hits}}
formula: "queue > 1 ? hits : queue"
target: "5"
activationTarget: "2"
metricType: "AverageValue"
""")
    assert file.name == "mine"


def test_values_of_every_type_reach_the_template():
    text = """
name: mine
parameters:
  wait: {type: duration, default: 20s}
  yes_no: {type: boolean, default: true}
  words: {default: a.b}
metrics: {a: {prometheus: 'sum(x{on="$yes_no",job=~"$words|z",ns="$namespace",so="$name"})', over: $wait}}
formula: a
target: 1
"""
    spec = workload(text)
    assert spec.inputs[0].over == 20
    assert spec.inputs[0].query.text == 'sum(x{on="true",job=~"a\\\\.b|z",ns="team",so="llama"})'


def test_the_settings_fill_what_nobody_says():
    defaults = Defaults(interval=2.0, hold_for=30.0, idle_for=10.0, endpoint="eu", endpoints=("eu", "us"))
    spec = workload(FILE, defaults, model="m")
    assert (spec.interval, spec.hold_for, spec.idle_for, spec.endpoints) == (2, 30, 10, {"eu"})
    assert workload(FILE, defaults, model="m", endpoint="us").endpoints == {"us"}


@pytest.mark.parametrize(
    ("metrics", "trigger", "seconds"),
    [
        ("{a: {signal: waiting}, b: {signal: queued}}", {}, 3),
        ("{a: {signal: waiting}, b: {signal: queued, endpoint: eu}}", {}, 5),
        ("{a: {signal: waiting}, b: {signal: queued}}", {"endpoint": "eu"}, 5),
        ("{a: {signal: waiting}, b: {signal: queued}}", {"interval": "10s"}, 10),
        ("{a: {signal: waiting}, b: {gpus: free}}", {}, 3),
        ("{a: {gpus: own}, b: {gpus: free}}", {}, 5),
    ],
)
def test_who_measures_on_pages_alone_decides_more_often(metrics, trigger, seconds):
    defaults = Defaults(endpoint="pods", endpoints=("eu", "pods"), direct=frozenset({"pods"}))
    text = f"name: mine\nparameters: {{model: {{}}}}\nmetrics: {metrics}\nformula: a + b\ntarget: 1\n"
    assert workload(text, defaults, model="m", **trigger).interval == seconds


def test_a_file_may_name_an_endpoint_that_only_the_settings_know():
    file = read(FILE + "endpoint: thanos\n")
    defaults = Defaults(endpoints=("default", "thanos"))
    assert bind_example(file, {}, defaults).endpoints == {"thanos"}
    with pytest.raises(ConfigError, match="endpoint: 'thanos' is not allowed; allowed: default"):
        bind_example(file, {}, Defaults())


def test_a_file_is_bound_without_a_trigger_by_defaults_examples_and_something_of_the_type():
    text = FILE.replace("model: {", "n: {type: number, example: 3}\n  d: {type: duration}\n  model: {")
    spec = bind_example(read(text), {"target": "2"}, Defaults())
    assert spec.parameters == {"target": 2.0, "n": 3.0, "d": 60.0}
    assert spec.inputs[0].query.labels == (("namespace", "namespace"), ("model", "placeholder"))


TWO_WORDS = "name: mine\nmetrics: {w: {signal: waiting}}\nformula: w\ntarget: 1\n"


@pytest.mark.parametrize(
    ("in_file", "given", "activation"),
    [
        ("activation: w > 5", {"activationTarget": "3"}, 3.0),
        ("activationTarget: 5", {"activation": "w > 3"}, "w > 3"),
        ("activation: w > 5", {"activation": "w > 3"}, "w > 3"),
        ("activationTarget: 5", {"activationTarget": "3"}, 3.0),
        ("activation: w > 5", {"activationTarget": ""}, "w > 5"),
    ],
)
def test_the_trigger_s_word_on_what_is_active_wins(in_file, given, activation):
    said = workload(f"{TWO_WORDS}{in_file}\n", **given).activation
    assert getattr(said, "text", said) == activation


def test_a_trigger_may_not_say_both():
    with pytest.raises(ConfigError, match="activation and activationTarget are both given"):
        workload(TWO_WORDS, activation="w > 1", activationTarget="1")


@pytest.mark.parametrize(
    "metric",
    ["{signal: waiting}", "{signal: waiting, pods: $pods}"],
    ids=["that reaches every signal", "that the file puts in"],
)
def test_a_wrong_expression_for_pods_is_said_of_the_trigger_that_gave_it(metric):
    parameters = "parameters: {pods: {}}\n" if "$" in metric else ""
    text = TWO_WORDS.replace("{signal: waiting}", metric).replace("metrics:", f"{parameters}metrics:")
    with pytest.raises(ConfigError, match=r"^trigger: pods: '\(' is not a regular expression"):
        workload(text, pods="(")


@pytest.mark.parametrize("key", ["model", "pods", "engine", "endpoint", "holdFor", "activation"])
@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_value_counts_as_not_given(key, empty):
    assert workload(TWO_WORDS, **{key: empty}) == workload(TWO_WORDS)
