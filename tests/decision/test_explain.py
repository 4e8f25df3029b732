import json
import re
from dataclasses import replace

import pytest
from support.explained import as_data, as_text
from support.timelines import START, fold, row, workload

from scaler.decision.decide import decide
from scaler.decision.render import number_text
from scaler.decision.state import State
from scaler.model.availability import Availability, BoundedCount, unknown
from scaler.model.behavior import SCALE_DOWN, SCALE_UP, Behavior, RatePolicy, Rules
from scaler.model.measurement import Reading, TargetStatus
from scaler.model.objects import Condition, HpaStatus, Job, Pod, ScaledResource, TargetView

QUEUE = """
name: queue
parameters: {model: {default: llama-3-8b}}
metrics:
  waiting: {signal: waiting}
  running: {signal: running, over: 10s, reduce: mean}
  queued: {signal: queued, onMissing: zero}
formula: queued + waiting + running
target: 8
activation: queued + waiting + running > 0
"""
GATE = """
name: gate
metrics: {load: {prometheus: load}, tokens: {prometheus: tokens}}
formula: load
target: 10
policy: {kind: hysteresis, metric: tokens, above: 100, below: 50, memory: 0s}
"""
PODS = {"age": 8.2, "answered": 5, "expected": 5, "source": "default: sum by (namespace) (x)"}


def waiting(value):
    return Reading(value, START, **PODS)


def decide_last(spec, *rows):
    return fold(spec, rows)[1][-1]


def queue_rows(count=2, **more):
    row = {
        "waiting": waiting(30),
        "running": waiting(16),
        "queued": None,
        "guards": {"waiting": waiting(30), "running": waiting(16)},
        "replicas": TargetStatus(5, 4, 1, 0, 20, "kube-state-metrics"),
    }
    return [{**row, **more}] * count


def test_the_whole_story_of_a_certain_answer():
    text = as_text(as_data(decide_last(workload(QUEUE), *queue_rows())))
    assert (
        text
        == """\
team/llama  6 replicas, active  (certain, 1970-01-01 02:46:45Z)
  6 replicas: queued + waiting + running = 46, at 8 a replica

  inputs
    waiting                        30 requests   8.2s old, from 5 of 5 pods
      vllm waiting of namespace=team, model=llama-3-8b
    running                        16 requests   mean of 2 samples in 10s, 8.2s old, from 5 of 5 pods
      vllm running of namespace=team, model=llama-3-8b
    queued                          - requests   counts as 0: no series (onMissing: zero)
      llm-d queued of namespace=team, model=llama-3-8b

  formula queue
    queued + waiting + running                                     46 with 0 for queued
      queued + waiting                                             30 with 0 for queued
        queued                                                     counts as 0
        waiting                                                    30
      running                                                      16

  replicas
    46 / 8 rounded up: 6
    scale target: 5 current, 4 ready, 1 starting, 0 minimum, 20 maximum (told by kube-state-metrics)

  active
    queued + waiting + running > 0 is true

  the HPA, given this (reckoned here)
    gets 6 against a target of 1 (AverageValue, tolerance 10%)
    current    5  desired    6   6 / 5 = 1.2
"""
    )


def test_the_very_queries_are_shown_on_request():
    data = as_data(decide_last(workload(QUEUE), *queue_rows()))
    assert "default: sum by (namespace) (x)" not in as_text(data)
    assert "default: sum by (namespace) (x)" in as_text(data, queries=True)


def test_an_uncertain_answer_says_what_is_wrong_and_how_long_it_lasts():
    last = queue_rows(1, running="timed out", waiting=waiting(33))
    text = as_text(as_data(decide_last(workload(QUEUE), *queue_rows(), *last)))
    assert "7 replicas (raised by what was measured), held for 5s of at most 2m: running: timed out" in text
    assert "      ! timed out\n" in text
    assert "    uncertain for 5s of at most 2m: may raise, not lower\n    ! running: timed out\n" in text


def test_a_series_that_is_not_there_is_said_by_its_names():
    engine = QUEUE.replace(
        "parameters: {model", "parameters: {engine: {default: llama-cpp}, pods: {default: llm-.*}, model"
    )
    text = as_text(as_data(decide_last(workload(engine), *queue_rows(1, waiting=None))))
    assert "waiting of namespace=team, pods=llm-.*\n      looked for llamacpp:requests_deferred (>=0.2.90)\n" in text
    assert text.count("looked for") == 1, "not for what is there, and not for what may be absent"


def test_a_workload_that_knows_too_little_says_what_it_waits_for():
    row = queue_rows(1, replicas=TargetStatus())
    text = as_text(as_data(decide_last(workload(QUEUE), *row)))
    assert text.startswith("team/llama  no answer  (unknown, ")
    assert "seen 5s of the 10s that the formula remembers: the answer may rise, and not fall" in text
    assert "scale target: replicas not known\n" in text
    assert "the HPA" not in text


def test_guards_that_the_formula_does_not_read_are_shown_apart():
    text_of = (
        QUEUE.replace("formula: queued + waiting + running", "formula: waiting")
        .replace("  running: {signal: running, over: 10s, reduce: mean}\n", "")
        .replace("activation: queued + waiting + running > 0", "activation: waiting > 99")
    )
    text = as_text(as_data(decide_last(workload(text_of), *queue_rows())))
    assert "  also read\n    running                        16 requests" in text
    assert "  active\n    waiting > 99 is false\n    kept active: waiting is 30, running is 16, 1 starting\n" in text


def test_what_does_not_see_requests_while_they_run_says_so():
    def warns(expression, least=0, guards=None, **metadata):
        spec = workload(expression=expression, target="4", model="m", **metadata)
        row = {item.name: 0 for item in spec.inputs} | {"replicas": TargetStatus(1, 1, 0, least, 20), "guards": guards}
        text = as_text(as_data(decide_last(spec, row)))
        return "nothing that is read sees a request while it runs: one that takes longer than 1m may be ended" in text

    assert warns("queued", guards={"waiting": None, "running": None}), "whatever its engine is, it is no vLLM"
    assert not warns("queued", guards={"waiting": 0, "running": 0})
    assert warns("waiting", engine="triton")
    assert not warns("queued", least=1, guards={"waiting": None, "running": None}), "it does not go to 0"
    assert not warns("in_flight", gateway="dynamo")
    assert not warns("queued + waiting"), "its pods say what runs, too"


def test_quiet_is_counted():
    quiet = {"waiting": 0, "running": 0, "guards": {"waiting": 0, "running": 0}, "replicas": TargetStatus(1, 1, 0)}
    text = as_text(as_data(decide_last(workload(QUEUE), *queue_rows(3, **quiet))))
    assert "queued + waiting + running > 0 is false\n    kept active: quiet for 10s of 1m\n" in text


def test_a_model_that_is_mistyped_is_no_load_of_0():
    """Nothing was measured, so nothing is shown as 0, and who reads "active" reads why."""
    row = {"waiting": None, "running": None, "queued": None, "guards": {"waiting": None, "running": None}}
    data = as_data(decide_last(workload(QUEUE), {**row, "replicas": TargetStatus(3, 3, 0)}))
    text = as_text(data)
    assert (data["value"], data["desiredReplicas"], data["activation"]["value"]) == (None, None, None)
    assert "3 replicas, active  (held" in text
    assert "rounded up" not in text
    assert set(re.findall(r"^ +(?:waiting|running) +(.*)$", text, re.M)) == {"- requests", "! not measured"}
    assert "queued + waiting + running > 0 is not known\n    kept active: waiting, running: no series\n" in text


def test_a_sum_without_one_of_its_terms_is_said_to_be_without_it():
    text = as_text(as_data(decide_last(workload(QUEUE), *queue_rows(1, running="timed out"))))
    assert re.search(r"queued \+ waiting \+ running +30 without running, with 0 for queued\n", text)
    assert re.search(r"queued \+ waiting +30 with 0 for queued\n", text)
    assert re.search(r"  running +! not measured\n", text)
    assert "without running, not measured: 30 / 8 rounded up: at least 4\n" in text


GATEWAY = "name: g\nmetrics: {queued: {signal: queued, onMissing: zero}}\nformula: queued\ntarget: 8\n"


def test_what_is_not_there_is_a_number_nowhere_and_its_stand_in_is_told_apart():
    spec = workload(GATEWAY, model="m")
    data = as_data(decide_last(spec, {"queued": Reading(None, START, shown=True), "replicas": TargetStatus(2, 2, 0)}))
    (queued,) = data["inputs"]
    assert (queued["value"], queued["newest"], queued["countsAs"]) == (None, None, 0)
    assert (data["value"], data["desiredReplicas"]) == (None, None)
    text = as_text(data)
    assert re.search(r"  queued +- requests   counts as 0: no series, but others of llm-d \(onMissing: zero\)\n", text)
    assert re.search(r"  queued +counts as 0\n", text)
    assert "rounded up" not in text


def test_a_gateway_of_which_nothing_is_to_be_seen_is_named_and_no_zero_where_nothing_else_was_measured():
    unseen = {"queued": Reading(None, START, shown=False), "replicas": TargetStatus(2, 2, 0)}
    decision = decide_last(workload(GATEWAY, model="m"), unseen)
    assert decision.problems == (
        "queued: the endpoint `default` has no series of llm-d of any model, and nothing else was measured: that is not 0",
    )
    decision = decide_last(workload(QUEUE), *queue_rows(2, queued=Reading(None, START, shown=False)))
    assert decision.certainty == "certain", "what its own pods say was measured"
    line = "counts as 0: nothing of llm-d is to be seen in the endpoint `default` (onMissing: zero)\n"
    assert line in as_text(as_data(decision))


@pytest.mark.parametrize("on_missing", ["zero", "0"])
def test_what_is_called_no_zero_is_shown_as_none(on_missing):
    spec = workload(GATEWAY.replace("zero", on_missing), model="m")
    unseen = {"queued": Reading(None, START, shown=False), "replicas": TargetStatus(2, 2, 0)}
    data = as_data(decide_last(spec, unseen))
    (queued,) = data["inputs"]
    assert (queued["value"], queued["countsAs"]) == (None, None)
    text = as_text(data)
    assert "that is not 0" in text
    assert "counts as" not in text
    assert re.search(r"  queued +! not measured\n", text)


def test_an_answer_that_was_given_up_may_do_nothing():
    held = [{"queued": 8}, *[{"queued": "timed out"}] * 25]
    decision = fold(workload(GATEWAY, model="m"), held)[1][-1]
    text = as_text(as_data(decision))
    assert "    uncertain for 2m5s, longer than holdFor (2m): no answer\n" in text
    assert "may raise" not in text


def test_a_mistyped_model_is_no_certain_zero_whatever_on_missing_says():
    text = "name: w\nmetrics: {waiting: {signal: waiting, onMissing: zero}}\nformula: waiting\ntarget: 8\n"
    spec = workload(text, model="lama")
    nothing = {"waiting": None, "guards": {"waiting": None, "running": None}}
    ready = decide_last(spec, {**nothing, "replicas": TargetStatus(3, 3, 0)})
    assert (ready.replicas, ready.certainty) == (3, "held")
    assert ready.problems == (
        "waiting: no series, and nothing else was measured, though 3 replicas are ready: that is not 0",
    )
    seen = {**nothing, "guards": {"waiting": None, "running": 0}, "replicas": TargetStatus(3, 3, 0)}
    assert decide_last(spec, seen).certainty == "certain", "its running shows that the model is right"
    assert decide_last(spec, {**nothing, "replicas": TargetStatus(0, 0, 0)}).replicas == 0


def test_free_gpus_do_not_show_that_the_model_is_right():
    metrics = "metrics: {waiting: {signal: waiting, onMissing: zero}, free: {gpus: free}}\n"
    spec = workload(f"name: w\n{metrics}formula: waiting + free * 0\ntarget: 8\n", model="lama")
    nothing = {"waiting": None, "free": 5, "guards": {"waiting": None, "running": None}}
    decision = decide_last(spec, {**nothing, "replicas": TargetStatus(3, 3, 0)})
    assert decision.certainty == "held"
    assert "nothing else was measured" in decision.problems[0]


def test_the_last_value_is_taken_where_the_file_says_so():
    spec = workload("name: w\nmetrics: {waiting: {signal: waiting, onMissing: last}}\nformula: waiting\ntarget: 8\n")
    nothing = {"waiting": None, "guards": {"waiting": None, "running": None}, "replicas": TargetStatus(3, 3, 0)}
    decision = decide_last(spec, {**nothing, "waiting": 16}, nothing)
    assert (decision.replicas, decision.certainty, decision.problems) == (2, "certain", ())


@pytest.mark.parametrize(("ready", "pods"), [(1, "1 replica is ready"), (2, "2 replicas are ready")])
def test_how_many_are_ready_though_nothing_was_measured_is_told(ready, pods):
    text = "name: w\nmetrics: {waiting: {signal: waiting, onMissing: zero}}\nformula: waiting\ntarget: 8\n"
    nothing = {"waiting": None, "guards": {"waiting": None, "running": None}}
    decision = decide_last(workload(text, model="lama"), {**nothing, "replicas": TargetStatus(ready, ready, 0)})
    assert decision.problems == (f"waiting: no series, and nothing else was measured, though {pods}: that is not 0",)


def test_a_word_that_the_activation_does_not_explain_is_explained():
    asleep = {"waiting": 0, "running": 0, "guards": {"waiting": 0, "running": 0}, "replicas": TargetStatus(0, 0, 0)}
    rows = [*queue_rows(3, **asleep), {**asleep, "queued": "refused"}]
    text = as_text(as_data(decide_last(workload(QUEUE, idleFor="5s"), *rows)))
    assert "0 replicas, inactive  (held" in text
    assert "queued + waiting + running > 0 is not known\n    still inactive\n" in text


@pytest.mark.parametrize(
    ("known", "rows"),
    [
        (TargetStatus(10), [(10, 6, "6 / 10 = 0.6")]),
        (TargetStatus(6), [(6, 6, "6 / 6 = 1, within the tolerance: no change")]),
        (TargetStatus(2, maximum=4), [(2, 4, "6 / 2 = 3; maxReplicaCount is 4")]),
        (TargetStatus(8, minimum=7), [(8, 7, "6 / 8 = 0.75; at least 7")]),
        (TargetStatus(0, minimum=2), [(0, 2, "KEDA: active, so 2 first")]),
    ],
)  # fmt: skip
def test_the_hpas_arithmetic(known, rows):
    hpa = as_data(decide_last(workload(QUEUE), *queue_rows(replicas=known)))["hpa"]
    assert [(row["current"], row["desired"], row["why"]) for row in hpa["rows"]] == rows


@pytest.mark.parametrize(
    ("behavior", "current", "desired", "why"),
    [
        (None, 1, 4, "6 / 1 = 6; no further than 4 in one step (no behavior)"),
        (Behavior(), 1, 5, "6 / 1 = 6; no further than 5 in one step (4 pods in 15s)"),
        (Behavior(up=Rules((), 0.0, "Disabled")), 5, 5, "6 / 5 = 1.2; selectPolicy Disabled forbids this direction"),
        (Behavior(up=replace(SCALE_UP, tolerance=0.3)), 5, 5, "6 / 5 = 1.2, within the tolerance: no change"),
    ],
)  # fmt: skip
def test_the_hpas_own_behavior_is_part_of_the_arithmetic(behavior, current, desired, why):
    scaled = replace(SCALED, pods=None, hpa=replace(SCALED.hpa, behavior=behavior))
    data = told_by_kubernetes(scaled, current=current, maximum=20)
    assert data["hpa"]["rows"] == [{"current": current, "desired": desired, "why": why}]


def test_what_the_hpa_remembers_is_said():
    strict = Rules((RatePolicy("Percent", 100, 15.0),), window=60.0, tolerance=0.0)
    scaled = replace(SCALED, hpa=replace(SCALED.hpa, behavior=Behavior(down=strict)))
    text = as_text(told_by_kubernetes(scaled))
    assert "gets 6 against a target of 1 (AverageValue, tolerance 10% up and 0% down)\n" in text
    assert "    and goes down only to the highest that it was asked for in 1m\n" in text


def test_an_hpa_at_0_replicas_and_one_at_its_minimum_are_as_they_should_be():
    normal = (
        Condition("ScalingActive", "False", "ScalingDisabled", "the replica count of the target is zero"),
        Condition("ScalingLimited", "True", "TooFewReplicas", "less than the minimum"),
    )
    text = as_text(told_by_kubernetes(replace(SCALED, hpa=replace(SCALED.hpa, conditions=normal))))
    assert text.endswith("    HPA keda-hpa-llama: current 5, desired 6\n")


def test_what_keda_and_the_hpa_say_of_themselves_is_shown_where_it_is_not_as_it_should_be():
    """As KEDA 2.21 and Kubernetes 1.37 write them: tests/wiring/recorded has them from a real cluster."""
    of_keda = (
        Condition("Paused", "True", "ScaledObjectPaused", "ScaledObject is paused"),
        Condition("HPAActive", "False", "HPAMetricsUnavailable", "the HPA was unable to compute the replica count"),
    )
    of_hpa = (Condition("ScaledToZero", "True", "ScaledToZero", "the HPA controller scaled the workload to zero"),)
    shown = replace(SCALED, conditions=of_keda, hpa=replace(SCALED.hpa, conditions=of_hpa))
    text = as_text(told_by_kubernetes(shown))
    assert "! Paused is True: ScaledObjectPaused: ScaledObject is paused\n" in text
    assert "! HPAActive is False: HPAMetricsUnavailable: the HPA was unable" in text
    assert "! ScaledToZero is True: ScaledToZero: the HPA controller scaled" in text
    idle = (Condition("HPAActive", "True", "ScalingDisabled", "KEDA has scaled the target to zero"),)
    assert "HPAActive" not in as_text(told_by_kubernetes(replace(SCALED, conditions=idle)))


def test_what_a_gauge_was_at_its_most_is_told_from_what_it_is():
    text = """
name: most
metrics:
  now: {signal: spec_replicas, engine: kubernetes, workload: llama}
  most: {signal: spec_replicas, engine: kubernetes, workload: llama, window: 1d, reduce: max}
formula: most - now
target: 1
"""
    data = as_data(decide_last(workload(text), {"now": 1, "most": 3}))
    assert [one["measures"].partition(" of ")[2] for one in data["inputs"]] == [
        "namespace=team, workload=llama",
        "namespace=team, workload=llama, max over 1d",
    ]


def test_the_hpas_arithmetic_is_a_table_where_the_current_replicas_are_not_known():
    hpa = as_data(decide_last(workload(QUEUE), *queue_rows(3, replicas=TargetStatus())))["hpa"]
    assert [(row["current"], row["desired"]) for row in hpa["rows"]] == [
        (0, 1),
        (1, 6),
        (5, 6),
        (6, 6),
        (7, 6),
        (12, 6),
    ]


def test_one_replica_more_or_less_drowns_in_the_tolerance_from_ten_on():
    many = queue_rows(3, waiting=waiting(72), replicas=TargetStatus(12))  # asks for 11
    [row] = as_data(decide_last(workload(QUEUE), *many))["hpa"]["rows"]
    assert (row["desired"], row["why"]) == (12, "11 / 12 = 0.917, within the tolerance: no change")


def test_an_inactive_workload_is_kedas_to_take_to_zero():
    idle = {"waiting": 0, "running": 0, "guards": {"waiting": 0, "running": 0}, "replicas": TargetStatus(2, 2, 0)}
    spec = workload(QUEUE, idleFor="5s")
    [row] = as_data(decide_last(spec, *queue_rows(3, **idle)))["hpa"]["rows"]
    assert row["desired"] == 1
    assert row["why"].endswith("; inactive: KEDA takes it to 0 after cooldownPeriod, unless minReplicaCount is above 0")
    gone = {**idle, "replicas": TargetStatus(0, 0, 0)}
    [row] = as_data(decide_last(spec, *queue_rows(3, **gone)))["hpa"]["rows"]
    assert (row["desired"], row["why"]) == (0, "KEDA: inactive, so it stays 0")


def test_a_policy_tells_its_own_story():
    text = as_text(as_data(decide_last(workload(GATE), {"load": 20, "tokens": 60}), "an edit is not in force"))
    assert "\n  ! an edit is not in force\n" in text
    assert (
        "policy hysteresis: gate closed: tokens is 60 (opens at 100, closes below 50), the other side serves: 0\n"
        in text
    )
    text = as_text(as_data(decide_last(workload(GATE), {"load": None, "tokens": 60})))
    assert "policy hysteresis: not reached: None" in text


def test_a_ratio_shows_the_ready_replicas_and_an_activation_target_its_rule():
    spec = workload(
        "name: r\nmetrics: {kv: {prometheus: kv}}\nformula: kv\ntarget: 0.5\nmetricType: Value\nactivationTarget: 0.2\n"
    )
    text = as_text(as_data(decide_last(spec, {"kv": 0.75, "replicas": TargetStatus(4, 4, 0)})))
    assert "    4 ready x 0.75 / 0.5 rounded up: 6\n" in text
    assert "    value > 0.2 is true\n" in text
    assert "      kv\n" in text


def test_a_formula_that_fails_shows_the_step_that_failed():
    spec = workload("name: r\nmetrics: {a: {prometheus: a}}\nformula: 1 / a\ntarget: 1\n")
    text = as_text(as_data(decide_last(spec, {"a": 0})))
    assert "    1 / a                                                          ! " in text


def test_a_scaled_job_has_no_hpa():
    assert as_data(decide_last(workload(QUEUE, kind="ScaledJob"), *queue_rows()))["hpa"] is None


def test_the_data_is_json():
    data = as_data(decide_last(workload(QUEUE), *queue_rows()))
    assert json.loads(json.dumps(data)) == data


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "nil"), (True, "true"), (1234567.0, "1.23457e+06"), ((1.0, True), "[1, true]"), (tuple(range(9)), "[0, 1, 2, 3, 4, 5, 6, 7, ...]")],
)  # fmt: skip
def test_values_are_shown_as_people_read_them(value, text):
    assert number_text(value) == text


# ---- what Kubernetes reports -------------------------------------------------------------------------------------------------

LIMITED = Condition("ScalingLimited", "True", "TooManyReplicas", "the desired replica count is more than the maximum")
SCALED = ScaledResource(
    kind="ScaledObject",
    namespace="team",
    name="llama",
    uid="1-2-3",
    generation=4,
    triggers=(),
    other_trigger_types=("cron",),
    target="Deployment llama",
    minimum=0,
    maximum=6,
    paused="paused-scale-in: true",
    fallback="currentReplicasIfHigher: 2 replicas after 3 failures",
    conditions=(Condition("Ready", "True"), Condition("Fallback", "True", "FallbackExists", "1 trigger fell back")),
    replicas=6,
    pods=(
        Pod("a", "ready"),
        Pod("b", "pending", START - 95, "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."),
        Pod("c", "pending"),
        *(Pod(name, "pending", START) for name in "defg"),
    ),
    hpa=HpaStatus("keda-hpa-llama", 5, 6, 1, 6, (Condition("AbleToScale", "True"), LIMITED)),
)


def told_by_kubernetes(scaled=SCALED, unknown=None, **more):
    spec = workload(QUEUE)
    known = replace(TargetStatus(6, 1, 0, 0, 6, "Kubernetes"), **more)
    inputs = replace(row(START, **queue_rows(1)[0]), target=TargetView(scaled), target_status=known)
    return as_data(decide(spec, State(), inputs, START)[1], unknown=unknown)


def test_the_hpas_own_status_stands_beside_our_arithmetic():
    data = told_by_kubernetes(pending=6)
    assert (data["kubernetes"]["uid"], data["kubernetes"]["hpa"]["desired"]) == ("1-2-3", 6)
    assert json.loads(json.dumps(data)) == data
    text = as_text(data)
    assert "scale target: 6 current, 1 ready, 0 starting, 6 pending, 0 minimum, 6 maximum (told by Kubernetes)" in text
    assert (
        text.partition("  Kubernetes reports\n")[2]
        == """\
    Deployment llama: 0 to 6 replicas
    ! paused by the annotation paused-scale-in: true
    also triggered by cron: the largest answer of all counts
    fallback: currentReplicasIfHigher: 2 replicas after 3 failures
    ! b is pending for 1m35s: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu.
    ! c is pending
    ! d is pending for 0s
    ! and 3 more are pending
    ! Fallback is True: FallbackExists: 1 trigger fell back
    HPA keda-hpa-llama: current 5, desired 6
    ! ScalingLimited is True: TooManyReplicas: the desired replica count is more than the maximum
"""
    )


def test_what_kubernetes_does_not_tell_is_said():
    bare = replace(SCALED, pods=None, hpa=None, other_trigger_types=(), fallback="", paused="", conditions=())
    text = as_text(told_by_kubernetes(bare, {"pods": "which pods are whose: list and watch pods: 403: forbidden"}))
    assert "    Deployment llama: 0 to 6 replicas\n\n  not known\n    pods: which pods are whose: list and" in text


def test_the_story_of_a_scaled_job_names_its_jobs_and_what_it_waits_for():
    spec = workload("""
name: retrain
metrics: {drift: {prometheus: drift}}
formula: drift
activation: drift > 0.3
policy: {kind: latch, resetBelow: 0.2}
""")
    jobs = (Job("train-b", START - 600, "failed", START - 300), Job("train-a", START - 7200, "succeeded", START - 3600))
    train = ScaledResource(
        "ScaledJob", "team", "train", "u", 1, ((),), (), "ScaledJob train", 0, 1, jobs=jobs, failed_history_limit=100
    )
    data = as_data(decide_last(spec, {"drift": 0.4, "scaled": train}))
    text = as_text(data)
    assert "team/llama  0 jobs, inactive  (certain" in text
    assert (
        "policy latch: job train-b failed 5m ago: retry 1 of 2 in 25m: 0\n    ! successfulJobsHistoryLimit is 0: "
        in text
    )
    assert len(data["policy"]["cautions"]) == 2
    assert "  active\n    drift > 0.3 is true\n" in text
    assert "may raise" not in text
    assert "    ScaledJob train: 0 to 1 replicas\n    job train-b started 10m ago: failed, 5m ago\n" in text
    assert json.loads(json.dumps(data))["kubernetes"]["jobs"][1] == {
        "name": "train-a",
        "state": "succeeded",
        "started": 7200.0,
        "ended": 3600.0,
    }
    low = as_text(as_data(decide_last(spec, {"drift": 0.1, "scaled": train})))
    assert re.search(r"  active\n    drift > 0.3 is false\n      drift +0.1\n", low)
    unread = as_text(as_data(decide_last(spec, {"drift": 0.4, "scaled": train}, {"drift": "timed out"})))
    assert "uncertain for 5s of at most 2m: start nothing" in unread


def test_a_job_ahead_of_our_clock_started_and_ended_now():
    spec = workload("name: j\nmetrics: {drift: {prometheus: drift}}\nformula: drift\n"
                    "policy: {kind: latch, resetBelow: 0.2}\n")  # fmt: skip
    jobs = (Job("train-a", START + 5, "succeeded", START + 9),)
    train = ScaledResource(
        "ScaledJob", "team", "train", "u", 1, ((),), (), "ScaledJob train", 0, 1, jobs=jobs, failed_history_limit=100
    )
    told = as_data(decide_last(spec, {"drift": 0.1, "scaled": train}))["kubernetes"]["jobs"]
    assert told == [{"name": "train-a", "state": "succeeded", "started": 0.0, "ended": 0.0}]


# ---- what can be had ---------------------------------------------------------------------------------------------------

LOAD = "name: load\nmetrics: {load: {prometheus: load}}\nformula: load\ntarget: 10\n"


def had(mode, schedulable, provisionable):
    pods = (Pod("a", "ready"), Pod("b", "starting"), Pod("c", "pending", START - 90))
    told = ScaledResource("ScaledObject", "team", "llama", "1", 1, (), (), "Deployment llama", 0, 20, pods=pods)
    available = Availability(
        "2 nvidia.com/gpu", schedulable, BoundedCount(3), BoundedCount(4), provisionable, BoundedCount(4)
    )
    row = {"load": 90, "replicas": TargetStatus(3, 1, 1, pending=1), "scaled": told, "available": available}
    return as_data(decide_last(workload(LOAD, capacity=mode, startup="0s"), row))


def test_what_can_be_had_is_counted_and_what_binds_is_named():
    text = as_text(
        had("clamp", BoundedCount(0, "upper", "topology spread"), BoundedCount(1, reason="NodePool gpu: limits"))
    )
    assert (
        """
  what can be had
    replicas, each with 2 nvidia.com/gpu
    on nodes                        2
    schedulable                     0   at most: topology spread
    provisionable                   1   NodePool gpu: limits
    GPUs free                       3
    GPUs others wait for            4
    GPUs of its own                 4
    together 3: the answer is at most 4 (capacity: clamp)
    ! 1 pending for 1m30s
"""
        in text
    )
    assert "  4 replicas, not 9, since 3 can be had (2 on nodes, 0 schedulable, 1 provisionable; " in text


def test_a_report_limits_nothing_and_what_is_not_known_is_said():
    text = as_text(had("report", BoundedCount(0), BoundedCount(None, reason="no Karpenter")))
    assert "    provisionable           not known   no Karpenter\n" in text
    assert "    together not known, so nothing is limited: no Karpenter\n" in text
    unknown = as_text(had("report", BoundedCount(None, reason="list and watch nodes: 403"), BoundedCount(None)))
    assert "  what can be had\n    not known: list and watch nodes: 403\n" in unknown


@pytest.mark.parametrize(("mode", "said"), [("report", False), ("clamp", True)])
def test_where_kubernetes_says_nothing_only_those_are_told_who_want_a_limit(mode, said):
    missing = unknown("Kubernetes is not watched")
    text = as_text(as_data(decide_last(workload(LOAD, capacity=mode), {"load": 90, "available": missing})))
    assert ("what can be had\n    not known: Kubernetes is not watched\n" in text) == said


def test_what_can_be_had_is_in_the_data():
    data = json.loads(
        json.dumps(had("clamp", BoundedCount(0, "upper", "topology spread"), BoundedCount(1))["capacity"])
    )
    assert data["replicas"]["schedulable"] == {"value": 0, "bound": "upper", "most": 0, "reason": "topology spread"}
    assert (data["scheduledReplicas"], data["availableReplicas"], data["limit"]) == (2, 3, 4)
    assert data["pending"] == {"replicas": 1, "seconds": 90}


def test_what_waits_for_replicas_on_their_way_is_shown_and_who_is_late():
    pods = (
        Pod("a", "ready", START - 999, ready_since=START - 799),
        Pod("b", "starting", START - 60),
        Pod("c", "starting", START - 500),
    )
    told = ScaledResource("ScaledObject", "team", "llama", "1", 1, (), (), "Deployment llama", 0, 20, pods=pods)
    row = {"load": 90, "replicas": TargetStatus(3, 1, 2, pending=0, ever_ready=1), "scaled": told}
    data = as_data(decide_last(workload(LOAD), row))
    assert (data["answeredReplicas"], data["desiredReplicas"], data["limitedReplicas"]) == (7, 9, 7)
    assert data["starting"] | {"message": ""} == {
        "replicas": 1,
        "oldest": 60,
        "overdue": 1,
        "startupSeconds": 200,
        "limit": 400,
        "creditedLoad": 2,
        "message": "",
    }
    text = as_text(data)
    assert "    not ordered again: 2.0 replicas' worth of load waits for the 1 on the way for 1m\n" in text
    assert "    ! 1 not ready after 6m40s, and not counted on; ready ones took 3m20s\n" in text


def test_a_surge_of_a_rollout_is_what_the_hpa_counts_and_keeps():
    """20 replicas asked for, one pod more: 20 / 21 is within 10 %, so the HPA asks for 21."""
    running = tuple(Pod(f"llama-{number}", "ready") for number in range(21))
    spec = workload(QUEUE)

    def told(behavior):
        scaled = replace(
            SCALED, replicas=20, pods=running, maximum=40, hpa=replace(SCALED.hpa, maximum=40, behavior=behavior)
        )
        known = TargetStatus(20, 21, 0, 0, 40, "Kubernetes", ever_ready=21)
        rows = queue_rows(1, waiting=waiting(144))
        return as_data(
            decide(
                spec, State(), replace(row(START, **rows[0]), target=TargetView(scaled), target_status=known), START
            )[1]
        )

    data = told(None)
    assert (data["answeredReplicas"], data["hpa"]["surge"]) == (20, 1)
    assert [(one["current"], one["desired"]) for one in data["hpa"]["rows"]] == [(21, 21)]
    assert "! a rollout has 1 pods more, which the HPA counts" in as_text(data)
    strict = told(Behavior(up=replace(SCALE_UP, tolerance=0.0), down=replace(SCALE_DOWN, tolerance=0.0, window=0.0)))
    assert [(one["current"], one["desired"]) for one in strict["hpa"]["rows"]] == [(21, 20)]
    assert "a rollout has" not in as_text(strict)


def test_what_scaling_modifiers_make_of_an_answer_is_said_not_reckoned():
    data = told_by_kubernetes(replace(SCALED, modifiers="llama * 2"))
    assert "! scalingModifiers make of our answer: llama * 2; that is not reckoned here" in as_text(data)


# ---- what is long ------------------------------------------------------------------------------------------------------


def test_lines_of_others_words_are_cut_at_two_hundred_characters():
    long = "x" * 300
    text = as_text(had("report", BoundedCount(0, "upper", long), BoundedCount(None, reason=long)))
    cut = [line for line in text.splitlines() if "xxx" in line and not line.startswith("  9 replicas")]
    assert {line.split()[0] for line in cut} == {"schedulable", "provisionable", "together"}
    assert {len(line) for line in cut} == {4 + 200}
    scaled = replace(SCALED, conditions=(Condition("Ready", "False", "Broken", long),))
    [line] = [line for line in as_text(told_by_kubernetes(scaled)).splitlines() if "Ready is False" in line]
    assert len(line) == 4 + 200


@pytest.mark.parametrize("formula", ["load" + " + 0" * 29, "load" + " + 0" * 29 + "0", "load" + " + 0" * 49])
def test_a_long_formula_is_cut_in_the_sentence_at_120_characters(formula):
    reason = decide_last(workload(LOAD.replace("formula: load", f"formula: {formula}")), {"load": 90}).reason
    told = reason.removeprefix("9 replicas: ").partition(" = 90, at 10 a replica")[0]
    assert told == (formula if len(formula) == 120 else formula[:117] + "...")


def test_the_sentence_names_three_problems_and_explain_all():
    names = ("a", "b", "c", "d")
    metrics = ", ".join(f"{name}: {{prometheus: {name}}}" for name in names)
    spec = workload(f"name: many\nmetrics: {{{metrics}}}\nformula: {' + '.join(names)}\ntarget: 1\n")
    decision = decide_last(spec, dict.fromkeys(names, 1), {name: f"{name} refused" for name in names})
    assert len(decision.problems) == 4
    assert [name for name in names if f"{name}: {name} refused" in decision.reason] == ["a", "b", "c"]
