"""The frame that all policies share, on the fold itself: what is missing never lowers, nor does what was not seen yet."""

import pytest

from scaler.config.bind import bind_example, parse_file
from scaler.config.defaults import Defaults
from scaler.decision.decide import decide
from scaler.decision.state import State
from scaler.model.errors import ConfigError
from scaler.model.measurement import Failure, Inputs, Reading, TargetStatus
from scaler.model.strict_yaml import parse_yaml

TOTAL = """
name: p
metrics: {{load: {{prometheus: load}}}}
formula: load
metricKind: total
{target}
policy: {policy}
"""
POLICIES = {
    "kpa": "{kind: kpa}",
    "aibrix-kpa": "{kind: aibrix-kpa}",
    "apa": "{kind: apa}",
    "kthena": "{kind: kthena}",
    "hpa": "{kind: hpa}",
    "ray": "{kind: ray, upscale_delay_s: 0}",
    "wallaroo": "{kind: wallaroo, scale_up_queue_depth: 10}",
    "step": "{kind: step, tiers: [{at: 10, percent: 10}, {at: 1000, percent: 100}]}",
}


def workload(kind, extra=""):
    target = "" if kind == "wallaroo" else "target: 10"
    text = TOTAL.format(target=target, policy=POLICIES[kind]) + extra
    return bind_example(parse_file(parse_yaml(text, "p.yaml"), "p.yaml"), {}, Defaults(endpoints=()))


def inputs(value, replicas):
    reading = Failure("nobody answers", 0.0) if value is None else Reading(value, 0.0)
    return Inputs({"load": reading}, target_status=TargetStatus(replicas, replicas, 0, 0, 20, source="Kubernetes"))


def play(spec, *spans, replicas):
    """Fold (until, load) with every answer carried out; returns the replicas at the end of each span."""
    state, now, ends = State(), 0.0, []
    for until, value in spans:
        while now < until:
            state, decision = decide(spec, state, inputs(value, replicas), now)
            replicas = replicas if decision.replicas is None else max(decision.replicas, 1)
            now += spec.interval
        ends.append(replicas)
    return ends


@pytest.mark.parametrize("kind", POLICIES)
def test_more_load_brings_more_and_an_end_of_it_fewer(kind):
    high, low = play(workload(kind), (1200, 200.0), (4800, 2.0), replicas=3)
    assert high > 3 > low


@pytest.mark.parametrize("kind", POLICIES)
def test_a_fresh_process_lowers_nothing_before_its_memory_is_full(kind):
    spec = workload(kind)
    assert play(spec, (max(spec.memory - spec.interval, 0.0), 0.0), replicas=7) == [7]


@pytest.mark.parametrize("kind", POLICIES)
def test_what_is_missing_never_lowers(kind):
    spec = workload(kind)
    before, after = play(spec, (1200, 70.0), (1300, None), replicas=7)
    assert after >= before


@pytest.mark.parametrize("kind", POLICIES)
def test_one_silent_pod_of_four_lowers_nothing(kind):
    """AIBrix takes a failed scrape for 0, and goes from 4 to 3."""
    spec = workload(kind)
    state, now, answers = State(), 0.0, []
    while now < 1500:
        silent = now > 900
        reading = Reading(30.0 if silent else 40.0, 0.0, incomplete_reason="3 of 4 pods answered" if silent else "")
        known = Inputs({"load": reading}, target_status=TargetStatus(4, 4, 0, 0, 20))
        state, decision = decide(spec, state, known, now)
        if silent:
            answers.append(decision.replicas)
        now += spec.interval
    answered = [answer for answer in answers if answer is not None]
    assert answered
    assert min(answered) >= 4


def test_what_it_reads_is_declared_where_the_original_guesses():
    text = TOTAL.replace("metricKind: total\n", "").format(target="target: 10", policy="{kind: apa}")
    with pytest.raises(
        ConfigError, match="metricKind: is missing: policy apa needs to be told what the formula's value is"
    ):
        parse_file(parse_yaml(text, "p.yaml"), "p.yaml")


@pytest.mark.parametrize(
    ("kind", "metric_type"),
    [("total", "AverageValue"), ("rate", "AverageValue"), ("mean", "Value"), ("ratio", "Value"), ("quantile", "Value")],
)
def test_what_the_value_is_says_how_it_becomes_replicas(kind, metric_type):
    text = TOTAL.replace("metricKind: total", f"metricKind: {kind}").format(target="target: 10", policy="{kind: apa}")
    file = parse_file(parse_yaml(text, "p.yaml"), "p.yaml")
    assert bind_example(file, {}, Defaults(endpoints=())).metric_type == metric_type


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ("metricType: Value\n", "metricType: Value is not for a total; .*AverageValue"),
        ("metricKind: average\n", "metricKind: 'average' is not allowed; .*mean, quantile, rate, ratio, total"),
    ],
)
def test_what_contradicts_itself_is_refused(changed, problem):
    text = TOTAL.format(target="target: 10", policy="{kind: apa}")
    text = text.replace("metricKind: total\n", changed) if "metricKind" in changed else text + changed
    with pytest.raises(ConfigError, match=problem):
        parse_file(parse_yaml(text, "p.yaml"), "p.yaml")


@pytest.mark.parametrize("policy", ["{kind: kpa}", "{kind: ray}", "{kind: wallaroo, scale_up_queue_depth: 5}"])
def test_a_mean_is_refused_where_the_policy_reads_a_total(policy):
    target = "" if "wallaroo" in policy else "target: 10"
    text = TOTAL.replace("metricKind: total", "metricKind: mean").format(target=target, policy=policy)
    with pytest.raises(ConfigError, match=r"metricKind: mean is not what policy \w+ reads as it is set; .*rate, total"):
        parse_file(parse_yaml(text, "p.yaml"), "p.yaml")


def test_a_target_beside_thresholds_of_the_policy_s_own_is_refused():
    text = TOTAL.format(target="target: 10", policy="{kind: wallaroo, scale_up_queue_depth: 5}")
    with pytest.raises(ConfigError, match="target: has no meaning with policy wallaroo"):
        parse_file(parse_yaml(text, "p.yaml"), "p.yaml")
