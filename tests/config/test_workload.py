"""What a workload asks for in a tick, and how the answers are sorted into what is decided on."""

from dataclasses import replace

import pytest
from support.timelines import FILE, workload

from scaler.model.measurement import Failure, HistoryProbe, Reading, SignalQuery, TargetStatus
from scaler.model.objects import ScaledResource, TargetView


def test_a_workload_asks_for_its_inputs_its_guards_its_replicas_and_a_sign_of_life():
    spec = workload(FILE, model="m")
    assert [guard.query.signal for guard in spec.activity_signals] == ["waiting", "running"]
    assert HistoryProbe("default", 120) in spec.queries()
    assert {query.signal for query in spec.queries() if isinstance(query, SignalQuery)} == {
        "waiting", "running", "current_replicas", "ready_replicas", "min_replicas", "max_replicas",
    }  # fmt: skip
    assert (
        SignalQuery("default", "kubernetes", "current_replicas", (("namespace", "team"), ("hpa", "keda-hpa-llama")))
        in spec.queries()
    )


def test_a_scaled_job_has_no_hpa_to_ask_about():
    assert workload(FILE, model="m", kind="ScaledJob").replicas == {}


def test_the_answers_are_sorted_into_inputs():
    spec = workload(FILE, model="m")
    facts = {"current": 3.0, "ready": 2.0, "minimum": 0.0}
    answers = {spec.replicas[fact]: Reading(value, 0.0) for fact, value in facts.items()}
    answers[spec.inputs[0].query] = Reading(5.0, 0.0)
    answers[HistoryProbe("default", 120)] = Reading(1.0, 0.0)
    inputs = spec.inputs_of(answers)
    assert inputs.readings["waiting"] == inputs.activity_signals["waiting"] == Reading(5.0, 0.0)
    assert isinstance(inputs.readings["drift"], Failure)
    assert inputs.target_status == TargetStatus(3, 2, 1, 0, None, "kube-state-metrics")
    assert inputs.recently_started == frozenset()


def test_what_kubernetes_does_not_say_is_taken_from_its_metrics():
    spec = workload(FILE, model="m")
    answers = {spec.replicas[fact]: Reading(value, 0.0) for fact, value in {"current": 3.0, "ready": 2.0}.items()}
    scaled = ScaledResource("ScaledObject", "team", "llama", "uid", 1, (), (), "Deployment llama", 1, 9)
    assert spec.inputs_of(answers, TargetView(scaled, "old")).target_status == TargetStatus(
        3, 2, 1, minimum=1, maximum=9, source="kube-state-metrics", stale_reason="old"
    )
    assert spec.inputs_of(answers, TargetView(replace(scaled, replicas=5))).target_status.current == 5


@pytest.mark.parametrize(
    ("said", "starting"),
    [({"current": 3.0, "ready": 2.0}, 1), ({"current": 2.0, "ready": 3.0}, 0), ({"current": 3.0}, None), ({"ready": 2.0}, None)],
)  # fmt: skip
def test_who_starts_is_known_where_all_and_the_ready_ones_are(said, starting):
    spec = workload(FILE, model="m")
    known = spec.inputs_of({spec.replicas[fact]: Reading(value, 0.0) for fact, value in said.items()}, TargetView(None))
    assert known.target_status.starting == starting
    assert known.target_status.source == ("kube-state-metrics" if "current" in said else "")


def test_an_endpoint_that_shows_no_past_is_young():
    spec = workload(FILE, model="m")
    assert spec.inputs_of({HistoryProbe("default", 120): Reading(None, 0.0)}).recently_started == {"default"}
    assert spec.inputs_of({}).target_status == TargetStatus()


def test_what_was_not_measured_is_a_failure_of_no_time():
    spec = workload(FILE, model="m")
    assert spec.inputs_of({}).readings["waiting"] == Failure("was not measured", 0.0)


def test_of_the_counters_those_are_told_that_were_asked_for():
    spec = workload(FILE, model="m")
    assert spec.inputs_of({}).progress == {}
    item = spec.progress[0]
    assert spec.inputs_of({item.query: Reading(3.0, 0.0)}).progress == {item.name: Reading(3.0, 0.0)}


def test_what_piles_up_waits_for_replicas_and_no_job_does():
    queue = "name: q\nmetrics: {load: {signal: waiting}}\nformula: load\ntarget: 8\nstartup: 7m\n"
    assert workload(queue, model="m").startup_limit == 420.0
    assert workload(queue, model="m", kind="ScaledJob").startup_limit == 0.0
    share = queue.replace("signal: waiting", "signal: kv_cache_usage")
    assert workload(share, model="m").startup_limit == 0.0


def test_a_formula_that_measures_nothing_remembers_nothing():
    spec = workload("name: n\nformula: 3\ntarget: 1\n")
    assert (spec.inputs, spec.window, spec.memory) == ((), 0.0, 0.0)
