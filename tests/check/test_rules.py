"""Every rule fires on its smallest example, and is silent about the corrected twin."""

from pathlib import Path

import pytest
from support.formula_files import QUEUE, check, read, rules

from scaler.check import RULES, check_file
from scaler.check.evidence import gather
from scaler.check.probe import Sampler
from scaler.config.bind import bind_example
from scaler.config.catalog import formula_paths, read_formula, shipped_formulas
from scaler.config.defaults import Defaults
from scaler.model.errors import ConfigError

PUBLISHED = Path(__file__).parent.parent / "published"


def file(formula, target="8", *metrics, **more):
    """A formula file; each metric is `name: source`, or the name of a signal."""
    lines = [f"  {item}" if ":" in item else f"  {item}: {{signal: {item}}}" for item in metrics]
    extra = [f"{key}: {value}" for key, value in more.items()]
    return "\n".join(["name: mine", "metrics:", *lines, f"formula: '{formula}'", f"target: {target}", *extra]) + "\n"


def query(name, **more):
    inside = "".join(f", {key}: {value}" for key, value in more.items())
    return f"{name}: {{prometheus: {name}{inside}}}"


TTFT = "ttft: {signal: time_to_first_token}"
TOKENS = "tokens: {signal: generation_tokens_per_second}"
HAND_OVER = "{kind: hysteresis, metric: tokens, above: 5000, below: 4000}"
DAYTIME = "{days: Mon-Fri, hours: 08:00-18:00, timezone: Europe/Berlin, min: 4}"
CAP = "{hours: 17:00-06:00, timezone: Europe/Berlin, max: 3}"
LATE = "{days: Wed, hours: 11:00-12:00, timezone: America/New_York, max: 1}"  # 17:00 in Berlin
RETRAIN = "drift > 0.1 && free >= 2 ? 1 : 0"

TWINS = [
    # activation
    ("never-active", file("waiting > 3 ? 1 : 0", "1", "waiting", activationTarget=1), file("waiting > 3 ? 1 : 0", "1", "waiting", activationTarget=0)),
    ("never-active", file("waiting", "1", "waiting", activation="waiting < 0"), file("waiting", "1", "waiting", activation="waiting > 0")),
    ("running-ignored", file("depth + running", "8", query("depth"), query("running"), activation="depth > 0"), file("depth + running", "8", query("depth"), query("running"))),
    ("running-ignored", file("in_flight", "8", query("in_flight"), activationTarget=5), file("in_flight", "8", query("in_flight"))),
    ("running-guarded", file("waiting", "8", "waiting"), file("waiting + running", "8", "waiting", "running")),
    ("running-guarded", file("waiting + busy", "8", "waiting", "busy: {signal: running}", activation="waiting > 0"), file("waiting + busy", "8", "waiting", "busy: {signal: running}")),
    # direction
    ("falls-with-load", file("max(0, 500 - waiting)", "8", "waiting"), file("waiting", "8", "waiting")),
    ("falls-with-load", file("waiting < 50 ? waiting : 0", "8", "waiting"), file("min(waiting, 50)", "8", "waiting")),
    ("falls-with-load", file("drift > 0 ? 100 / (1 + drift) : 0", "8", query("drift")), file("drift", "8", query("drift"))),
    ("falls-with-load", file("1000 / (1 + tokens)", "1", TOKENS), file("tokens", "8", TOKENS)),
    ("falls-with-load", file("kv > 0 ? running / kv : 0", "8", "kv: {signal: kv_cache_usage}", "running"), file("running * (1 + kv)", "8", "kv: {signal: kv_cache_usage}", "running")),
    ("ends-with-load", file("drift > 0.1 && backlog < 100 ? 1 : 0", "1", query("drift"), query("backlog")), file("drift > 0.1 ? 1 : 0", "1", query("drift"))),
    ("ends-with-load", file("request_rate < 100 ? request_rate : 0", "10", query("request_rate")), file("request_rate", "10", query("request_rate"))),
    ("cancels-itself", file(RETRAIN, "1", query("drift"), query("free")), file(RETRAIN, "1", query("drift"), query("free"), policy="{kind: hysteresis, metric: drift, above: 0.1, below: 0.05}")),
    ("cancels-itself", file(RETRAIN, "1", query("drift"), query("free")), file("min(drift, 1 + free)", "1", query("drift"), query("free"))),
    ("cancels-itself", file(RETRAIN, "1", query("drift"), "free: {gpus: free}"), file(RETRAIN.replace("free", "free + own"), "1", query("drift"), "free: {gpus: free}", "own: {gpus: own}")),
    ("divides-twice", file("waiting / max(ready, 1)", "8", "waiting"), file("waiting / max(ready, 1)", "8", "waiting", metricType="Value")),
    ("divides-twice", file("load / max(pod_count, 1)", "8", query("load"), query("pod_count")), file("load", "8", query("load"), query("pod_count"))),
    # numbers
    ("fails-when-idle", file("waiting / running", "8", "waiting", "running"), file("waiting / max(running, 1)", "8", "waiting", "running")),
    ("fails-when-idle", file("(waiting + running) / ready", "8", "waiting", "running"), file("(waiting + running) / max(ready, 1)", "8", "waiting", "running")),
    ("fails-when-idle", file("load / pod_count", "8", query("load"), query("pod_count")), file("load / max(pod_count, 1)", "8", query("load"), query("pod_count"))),
    ("fails-when-idle", file("ttft", "0.5", TTFT, metricType="Value"), file("ttft ?? 0", "0.5", TTFT, metricType="Value")),
    ("fails-when-idle", file("ttft", "0.5", TTFT, metricType="Value"), file("ttft", "0.5", TTFT.replace("}", ", onMissing: zero}"), metricType="Value")),
    ("fails-when-idle", file("queued", "8", "queued"), file("queued", "8", "queued: {signal: queued, onMissing: zero}")),
    ("fails", file("waiting > 100 ? 1 / (waiting - 200) : waiting", "8", "waiting"), file("waiting", "8", "waiting")),
    ("fails", file("10 * running - waiting", "8", "running", "waiting"), file("10 * running + waiting", "8", "running", "waiting")),
    ("lost-decimals", file("latency", "0.001", query("latency"), metricType="Value"), file("latency * 1000", "1", query("latency"), metricType="Value")),
    ("lost-decimals", file("rate / 1e9", "0.01", query("rate")), file("rate", "10", query("rate"))),
    # reach
    ("bounded", file("kv", "0.8", "kv: {signal: kv_cache_usage}"), file("kv", "0.8", "kv: {signal: kv_cache_usage}", metricType="Value")),
    ("bounded", file("kv", "1", "kv: {signal: kv_cache_usage}", metricType="Value"), file("kv * (1 + waiting)", "1", "kv: {signal: kv_cache_usage}", "waiting", metricType="Value")),
    ("batch-limit", file("running", "300", "running"), file("running", "100", "running")),
    ("batch-limit", file("running", "256", "running"), file("running + waiting", "256", "running", "waiting")),
    ("saturates", file("tokens", "1000", TOKENS), file("tokens + 30 * waiting", "1000", TOKENS, "waiting")),
    ("saturates", file("tokens", "1000", TOKENS, "waiting", activation="waiting + tokens > 0"), file("waiting", "8", "waiting")),
    ("saturates", file("running", "8", "running"), file("running + waiting", "8", "running", "waiting")),
    ("target-out-of-reach", file("min(waiting / 100, 0.9)", "1", "waiting"), file("waiting / 100", "1", "waiting")),
    ("one-replica", file("waiting > 3 ? 1 : 0", "1", "waiting"), file("waiting > 3 ? waiting : 0", "1", "waiting")),
    # thresholds
    # windows
    ("floor-above-ceiling", file("waiting", "8", "waiting", schedule=f"[{DAYTIME}, {CAP}]"), file("waiting", "8", "waiting", schedule=f"[{DAYTIME}, {CAP.replace('17:00', '18:00')}]")),
    ("floor-above-ceiling", file("waiting", "8", "waiting", schedule=f"[{DAYTIME}, {CAP}]"), file("waiting", "8", "waiting", schedule=f"[{DAYTIME}, {CAP.replace('max: 3', 'max: 4')}]")),
    ("floor-above-ceiling", file("waiting", "8", "waiting", schedule=f"[{DAYTIME}, {LATE}]"), file("waiting", "8", "waiting", schedule=f"[{DAYTIME.replace('Mon-Fri', 'Sat')}, {LATE}]")),
    ("hard-threshold", file("waiting > 50 ? 10 : 1", "1", "waiting"), file("waiting / 5", "1", "waiting")),
    ("hard-threshold", file("tokens > 5000 ? waiting : 0", "8", TOKENS, "waiting"), file("waiting", "8", TOKENS, "waiting", policy=HAND_OVER)),
    ("hard-threshold", file("running * 2 > 100 ? 10 : 1", "1", "running"), file("tokens > 0 ? running / tokens : 0", "0.05", "running", TOKENS)),
    # query
    ("wrong-kind", file("kv", "0.5", "kv: {signal: kv_cache_usage}"), file("kv", "0.5", "kv: {signal: kv_cache_usage}", metricKind="ratio")),
    ("wrong-kind", file("w", "8", "w: {signal: waiting}", metricKind="mean"), file("w", "8", "w: {signal: waiting}", metricKind="total")),
    ("known-signal", file("n", "8", "n: {prometheus: 'sum(vllm:num_requests_waiting)'}"), file("n", "8", "n: {signal: waiting}")),
    ("known-signal", file("n", "8", 'n: {prometheus: \'sum({__name__="tgi_queue_size"})\'}'), file("n", "8", "n: {prometheus: sum(my_tgi_queue_size)}")),
    ("known-signal", file("n", "8", "n: {prometheus: 'sum(rate(vllm:time_to_first_token_seconds_bucket[1m]))'}"), file("n", "8", query("n"))),
    ("known-signal", file("n", "8", "n: {prometheus: 'sum(rate(tgi_request_input_length_sum[1m]))'}"), file("n", "8", "n: {signal: prompt_tokens_per_second, engine: tgi}")),
    ("not-promql", file("n", "8", "n: {prometheus: 'sun(m)'}"), file("n", "8", "n: {prometheus: 'sum(m)'}")),
    ("not-promql", file("n", "8", "n: {prometheus: 'sum(rate(m))'}"), file("n", "8", "n: {prometheus: 'sum(rate(m[5m]))'}")),
    ("perhaps-not-promql", file("n", "8", "n: {prometheus: 'sum(rate(m[5m*2]))'}"), file("n", "8", "n: {prometheus: 'sum(rate(m[10m]))'}")),
    # unused
    ("unused-metric", file("waiting", "8", "waiting", "running"), file("waiting", "8", "waiting", "running", activation="running > 0")),
    ("unused-metric", file("waiting", "8", "waiting", TOKENS), file("waiting", "8", "waiting", TOKENS, policy=HAND_OVER)),
    ("unused-parameter", QUEUE.replace("  model:", "  most: {type: number, default: 3}\n  model:"), QUEUE.replace("  model:", "  most: {type: number, default: 3}\n  model:").replace("formula: ", "formula: most + ")),
    ("unused-parameter", file("a", "8", query("a"), parameters="{model: {example: m}}"), file("a", "8", "a: {prometheus: 'a{model=\"$model\"}'}", parameters="{model: {example: m}}")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "broken", "right"), TWINS, ids=[f"{rule}-{at}" for at, (rule, _, _) in enumerate(TWINS)]
)
def test_a_rule_fires_on_the_mistake_and_not_on_its_twin(rule, broken, right):
    assert (RULES[rule].severity, rule) in rules(broken)
    assert rule not in {found for _, found in rules(right)}


def test_every_rule_has_a_pair_of_twins():
    assert {rule for rule, _, _ in TWINS} == set(RULES)


def test_a_sound_formula_has_no_findings():
    assert not rules(QUEUE)


@pytest.mark.parametrize("path", formula_paths(shipped_formulas()), ids=lambda path: path.stem)
def test_the_shipped_formulas_pass_their_tests_and_every_rule(path):
    report = check_file(read_formula(path), Defaults())
    assert (report.problems, report.failures, report.findings) == ((), (), ())
    assert report.tests


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("retraining", {("error", "never-active"), ("warning", "ends-with-load"), ("warning", "cancels-itself"), ("note", "one-replica")}),
        ("tokens", {("error", "falls-with-load"), ("error", "fails-when-idle"), ("warning", "lost-decimals")}),
        ("rebalancing", {("warning", "hard-threshold"), ("note", "saturates")}),
    ],
)  # fmt: skip
def test_the_published_formulas_are_caught(name, expected):
    report = check_file(read_formula(PUBLISHED / f"{name}.yaml"), Defaults())
    assert {(finding.severity, finding.rule) for finding in report.findings} == expected


def test_the_first_published_formula_had_no_target():
    with pytest.raises(ConfigError, match="mine.yaml: target: is missing"):
        read((PUBLISHED / "retraining.yaml").read_text().replace("target: 1\n", ""))


@pytest.mark.parametrize(
    ("text", "message", "example"),
    [
        (
            file("waiting > 3 ? 1 : 0", "1", "waiting", activationTarget=1),
            "it never becomes active: the value has to be above activationTarget 1, not equal to it, and 1 is the most it was seen to be",
            "waiting 4",
        ),
        (
            file("n", "8", "n: {prometheus: max(kube_deployment_spec_replicas)}"),
            "n reads kube_deployment_spec_replicas; {signal: spec_replicas, engine: kubernetes} is right for every version",
            "",
        ),
        (
            file("waiting < 50 ? waiting : 0", "8", "waiting"),
            "more load gives fewer replicas: they fall while waiting rises",
            "waiting 40: 5 replicas; waiting 50: 0 replicas",
        ),
        (
            file("kv", "0.8", "kv: {signal: kv_cache_usage}"),
            "it asks for at most 2 replicas, however large the load: kv is at most 1 (the whole cache), and the target is 0.8",
            "kv 1",
        ),
        (
            file("(waiting + running) / ready", "8", "waiting", "running"),
            "no answer without replicas: division by zero in `(waiting + running) / ready` with waiting = 0, running = 0, ready = 0",
            "waiting 0, running 0, 0 replicas",
        ),
        (
            file("waiting > 50 ? 10 : 1", "1", "waiting"),
            "replicas jump where waiting crosses 50, and flap while it stays near: make the formula continuous, or use `policy: {kind: hysteresis}`",
            "whatever is measured: 1 replica below, 10 replicas above",
        ),
        (
            file("running", "300", "running"),
            "full replicas ask for no more replicas, at 256 running on each: running stops at --max-num-seqs of a replica, times replicas; past it only waiting grows",
            "running 256 on 1 replica: 1 replica",
        ),
        (file("waiting", "8", "waiting", "running"), "running is measured, and nothing reads it (running and waiting are watched without it)", ""),
    ],
)  # fmt: skip
def test_a_finding_shows_a_counter_example(text, message, example):
    assert (message, example) in {(finding.message, finding.example) for finding in check(text).findings}


def test_a_formula_that_measures_much_is_tried_less():
    many = [query(f"m{number}") for number in range(300)]
    prober = Sampler(
        bind_example(read(file(" + ".join(f"m{number}" for number in range(60)), "8", *many)), {}, Defaults())
    )
    assert len(prober.sweeps()) == 10


def test_probing_is_the_same_every_time():
    spec = bind_example(read(QUEUE), {}, Defaults())
    once, twice = (gather(read(QUEUE), spec) for _ in range(2))
    assert [probe.decision for probe in once.probes()] == [probe.decision for probe in twice.probes()]
