"""The fold, as timelines: one tick is 5 s, holdFor 60 s and idleFor 30 s unless a test says otherwise."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.timelines import START, fold, row, said, workload

from scaler.decision.decide import decide
from scaler.decision.decision import Answer
from scaler.decision.state import State
from scaler.model.errors import NoAnswer
from scaler.model.measurement import MAX_VALUE, Failure, Reading, TargetStatus
from scaler.model.objects import Job, ScaledResource

LOAD = """
name: load
metrics: {load: {prometheus: load}}
formula: load
target: 10
holdFor: 60s
idleFor: 30s
"""
PAIR = """
name: pair
metrics: {a: {prometheus: a}, b: {prometheus: b}}
formula: a + b
target: 1
holdFor: 60s
"""
WINDOW = """
name: window
metrics: {load: {prometheus: load, over: 30s, reduce: mean}}
formula: load
target: 10
holdFor: 60s
"""
DOWN = {"load": "timed out"}


def load(value, **more):
    return {"load": value, **more}


# ---- certain -------------------------------------------------------------------------------------------------------


def test_a_certain_value_is_divided_by_the_target_and_rounded_up():
    _, decisions = fold(workload(LOAD), [load(5), load(10), load(11), load(100)])
    assert said(decisions) == [(1, True), (1, True), (2, True), (10, True)]
    assert decisions[2].certainty == "certain"
    assert decisions[2].reason == "2 replicas: load = 11, at 10 a replica"
    assert decisions[2].answer_or_error() == Answer(2, True, START + 10)


def test_the_noise_of_a_division_is_not_load():
    spec = workload(LOAD.replace("target: 10", "target: 0.1"))
    assert said(fold(spec, [load(0.3)])[1]) == [(3, True)]


def test_the_ready_replicas_multiply_a_value_that_is_per_replica():
    spec = workload(LOAD + "metricType: Value\n")
    _, decisions = fold(spec, [load(15, replicas=TargetStatus(current=4, ready=3))])
    assert said(decisions) == [(5, True)]
    assert decisions[0].reason == "5 replicas: 3 ready x 15 / 10"


def test_a_load_that_no_float_holds_asks_for_nothing_where_nothing_is_ready():
    spec = workload(LOAD.replace("target: 10", "target: 1e-320") + "metricType: Value\n")
    _, decisions = fold(spec, [load(15, replicas=TargetStatus(current=2, ready=ready)) for ready in (0, 1)])
    assert [decision.desired for decision in decisions] == [0, None]
    assert "more than 1,000,000 replicas" in decisions[1].reason


def test_a_value_that_is_per_replica_is_uncertain_where_the_ready_replicas_are_not_known():
    spec = workload(LOAD + "metricType: Value\n")
    _, [decision] = fold(spec, [load(15)])
    assert decision.replicas is None
    assert decision.reason == (
        "no certain answer yet: metricType Value needs the number of ready replicas, which is not known"
    )


def test_the_names_of_the_scale_target_can_be_used():
    spec = workload(LOAD.replace("formula: load", "formula: load * (replicas + ready + starting)"))
    _, [decision] = fold(spec, [load(10, replicas=TargetStatus(current=3, ready=2, starting=1))])
    assert decision.replicas == 6


# ---- nothing measured is not zero ------------------------------------------------------------------------------------


def test_a_series_that_is_not_there_is_not_zero():
    _, decisions = fold(workload(LOAD), [load(40), load(None)])
    assert said(decisions) == [(4, True), (4, True)]
    assert decisions[1].certainty == "held"
    assert decisions[1].reason == "4 replicas, held for 5s of at most 1m: load: no series"


def test_nothing_is_said_before_anything_was_measured():
    _, [decision] = fold(workload(LOAD), [load(None)])
    assert decision.reason == "no certain answer yet: load: no series"
    with pytest.raises(NoAnswer, match="no certain answer yet: load: no series"):
        decision.answer_or_error()


@pytest.mark.parametrize(
    ("on_missing", "value", "rule"),
    [
        ("zero", 0, "no series (onMissing: zero)"),
        ("7.5", 7.5, "no series (onMissing: 7.5)"),
        ("last", 40, "no series; the last value, 5s old"),
    ],
)
def test_on_missing_says_what_an_absent_series_is(on_missing, value, rule):
    spec = workload(LOAD.replace("prometheus: load", f"prometheus: load, onMissing: {on_missing}"))
    _, decisions = fold(spec, [load(40), load(None)])
    assert decisions[1].value == value
    assert decisions[1].certainty == "certain"
    assert decisions[1].input_values[0].rule == rule


def test_the_last_value_keeps_ageing_and_is_none_before_the_first():
    spec = workload(LOAD.replace("prometheus: load", "prometheus: load, onMissing: last"))
    _, decisions = fold(spec, [load(None), load(40), load(None), load(None)])
    assert decisions[0].replicas is None
    assert decisions[3].input_values[0].rule == "no series; the last value, 10s old"


@pytest.mark.parametrize("on_missing", ["zero", "7.5", "last"])
def test_on_missing_does_not_speak_of_a_source_that_failed(on_missing):
    spec = workload(LOAD.replace("prometheus: load", f"prometheus: load, onMissing: {on_missing}"))
    _, decisions = fold(spec, [load(40), DOWN])
    assert decisions[1].certainty == "held"


@pytest.mark.parametrize(("on_missing", "told"), [("zero", "zero"), ("0", "zero"), ("-0.0", "zero"), ("7", "7")])
def test_absence_is_not_what_stands_in_for_it_on_an_endpoint_that_was_just_born(on_missing, told):
    spec = workload(LOAD.replace("prometheus: load", f"prometheus: load, onMissing: {on_missing}"))
    _, decisions = fold(spec, [load(40), load(None, young=True)])
    assert said(decisions)[1] == (4, True)
    assert f"absence is not {told} while the endpoint `default` holds no data older than 1m yet" in decisions[1].reason


@pytest.mark.parametrize("on_missing", ["zero", "7", "last"])
def test_absence_means_nothing_while_the_answer_is_partial(on_missing):
    spec = workload(LOAD.replace("prometheus: load", f"prometheus: load, onMissing: {on_missing}"))
    _, decisions = fold(spec, [load(40), load(Reading(None, START, incomplete_reason="2 of 2 pods cannot be scraped"))])
    assert said(decisions)[1] == (4, True)
    assert "absence means nothing while 2 of 2 pods cannot be scraped" in decisions[1].reason


def test_a_name_on_the_left_of_a_double_question_mark_is_nil_when_missing():
    spec = workload(LOAD.replace("formula: load", "formula: load ?? 20"))
    _, decisions = fold(spec, [load(None), DOWN])
    assert said(decisions) == [(2, True), (2, True)]
    assert [decision.certainty for decision in decisions] == ["certain", "held"]
    assert decisions[0].input_values[0].rule == "no series, which ?? stands in for"


def test_a_formula_that_comes_to_nil_is_no_answer():
    _, [decision] = fold(workload(LOAD.replace("formula: load", "formula: load ?? nil")), [load(None)])
    assert decision.reason == "no certain answer yet: the formula came to nil"


@pytest.mark.parametrize("value", [2 * MAX_VALUE, -2 * MAX_VALUE, float("inf")])
def test_a_value_that_can_be_no_load_is_not_believed(value):
    _, [decision] = fold(workload(LOAD), [load(value)])
    assert decision.replicas is None
    assert "which is no load" in decision.reason


def test_an_input_that_was_never_measured_is_a_failure():
    _, [decision] = fold(workload(LOAD), [{}])
    assert decision.problems == ("load: was not measured",)


# ---- uncertain: may rise, may not fall ---------------------------------------------------------------------------------


def test_an_outage_holds_the_answer_and_then_gives_it_up():
    _, decisions = fold(workload(LOAD), [load(40)] + [DOWN] * 14)
    assert said(decisions)[:13] == [(4, True)] * 13  # 60 s
    assert decisions[12].reason == "4 replicas, held for 1m of at most 1m: load: timed out"
    assert decisions[13].replicas is None
    assert decisions[13].reason == "no certain answer for 1m5s (holdFor is 1m): load: timed out"
    assert decisions[14].reason == "no certain answer for 1m10s (holdFor is 1m): load: timed out"


def test_after_an_outage_a_certain_answer_is_certain_again():
    _, decisions = fold(workload(LOAD), [load(40)] + [DOWN] * 30 + [load(10), DOWN])
    assert said(decisions)[-2:] == [(1, True), (1, True)]


def test_without_hold_for_the_first_failure_is_an_error_and_the_next_success_an_answer():
    spec = workload(LOAD.replace("holdFor: 60s", "holdFor: 0s"))
    assert said(fold(spec, [load(40), DOWN, load(30), load(20)])[1]) == [(4, True), (None, None), (3, True), (2, True)]


def test_incomplete_data_can_raise_and_not_lower():
    def partly(value):
        return Reading(value, START, answered=1, expected=3)

    _, decisions = fold(workload(LOAD), [load(40), load(partly(10)), load(partly(90)), load(partly(10))])
    assert said(decisions) == [(4, True), (4, True), (9, True), (9, True)]
    assert [decision.reason for decision in decisions[2:]] == [
        "9 replicas (raised by what was measured), held for 10s of at most 1m: load: 1 of 3 pods answered",
        "9 replicas (raised by what was measured before), held for 15s of at most 1m: load: 1 of 3 pods answered",
    ]


@pytest.mark.parametrize(
    ("reading", "problem"),
    [
        (Reading(5, START, incomplete_reason="the newest sample is 130 s old"), "the newest sample is 130 s old"),
        (Reading(5, START, answered=2, expected=3), "2 of 3 pods answered"),
    ],
)
def test_a_reading_that_is_not_whole_is_not_certain(reading, problem):
    _, decisions = fold(workload(LOAD), [load(40), load(reading)])
    assert said(decisions)[1] == (4, True)
    assert decisions[1].problems == (f"load: {problem}",)


def test_a_reading_from_all_expected_pods_is_certain():
    _, [decision] = fold(workload(LOAD), [load(Reading(5, START, answered=3, expected=3))])
    assert decision.certainty == "certain"


def test_an_endpoint_without_a_past_is_not_whole():
    _, decisions = fold(workload(LOAD), [load(40), load(5, young=True), load(60, young=True)])
    assert said(decisions) == [(4, True), (4, True), (6, True)]


def test_current_replicas_are_a_floor_when_the_answer_is_uncertain():
    _, decisions = fold(workload(LOAD), [load(10), {**DOWN, "replicas": 6}])
    assert said(decisions) == [(1, True), (6, True)]


def test_a_missing_count_stands_in_as_zero_where_the_rest_may_raise():
    spec = workload(expression="waiting + queued", target="1", model="m", holdFor="60s")
    _, decisions = fold(
        spec,
        [{"waiting": 2, "queued": 0}, {"waiting": "refused", "queued": 9}],
    )
    assert said(decisions) == [(2, True), (9, True)]


def test_a_formula_that_fails_holds():
    spec = workload(PAIR.replace("a + b", "a / b"))
    _, decisions = fold(spec, [{"a": 4, "b": 2}, {"a": 4, "b": 0}])
    assert said(decisions) == [(2, True), (2, True)]
    assert "zero" in decisions[1].reason


@pytest.mark.parametrize("value", [-1, -0.001])
def test_a_negative_load_is_an_error(value):
    _, decisions = fold(workload(LOAD), [load(40), load(value)])
    assert said(decisions)[1] == (4, True)
    assert "a load cannot be negative" in decisions[1].reason


def test_an_absurd_number_of_replicas_is_an_error():
    _, decisions = fold(workload(LOAD), [load(40), load(10_000_011)])
    assert said(decisions)[1] == (4, True)
    assert "asks for more than 1,000,000 replicas" in decisions[1].reason


def test_a_question_that_is_wrong_is_not_held():
    final = Failure("bad query", START, config_error=True)
    _, decisions = fold(workload(LOAD), [load(40), load(final)])
    assert decisions[1].replicas is None
    with pytest.raises(NoAnswer, match="no answer: load: bad query") as raised:
        decisions[1].answer_or_error()
    assert raised.value.code == "INVALID_ARGUMENT"


# ---- memory ------------------------------------------------------------------------------------------------------------


def test_a_window_is_reduced_over_the_grid_samples_behind_it():
    _, decisions = fold(workload(WINDOW), [load(v, replicas=0) for v in (10, 20, 30, 40, 50, 60, 70)])
    assert [decision.value for decision in decisions] == [10, 15, 20, 25, 30, 35, 45]
    assert decisions[6].input_values[0].rule == "mean of 6 samples in 30s"


@pytest.mark.parametrize(("reduce", "value"), [("max", 30), ("min", 10), ("mean", 20)])
def test_the_reductions(reduce, value):
    spec = workload(WINDOW.replace("reduce: mean", f"reduce: {reduce}"))
    assert fold(spec, [load(v) for v in (10, 20, 30)])[1][-1].value == value


def test_a_fresh_process_may_raise_and_not_lower_before_it_has_seen_the_window():
    rows = [load(20, replicas=5)] * 3 + [load(400, replicas=5)] + [load(20, replicas=5)] * 9
    _, decisions = fold(workload(WINDOW), rows)
    assert [d.certainty for d in decisions[:6]] == ["raising"] * 5 + ["certain"]
    assert [d.replicas for d in decisions[:6]] == [5, 5, 5, 12, 12, 9]
    assert decisions[0].reason == (
        "5 replicas, not lowered to 2 yet, since only 5s of the 30s it remembers were seen: load = 20, at 10 a replica"
    )


def test_a_fresh_process_that_knows_no_replicas_says_nothing_before_it_has_seen_the_window():
    _, decisions = fold(workload(WINDOW), [load(20)] * 6)
    assert said(decisions) == [(None, None)] * 5 + [(2, True)]
    assert decisions[4].reason == (
        "no certain answer yet: seen 25s of the 30s that the formula remembers, and the current replicas are not known"
    )


def test_incomplete_samples_are_not_kept_in_the_window():
    partly = Reading(1000, START, incomplete_reason="warning")
    _, decisions = fold(workload(WINDOW), [load(20)] * 6 + [load(partly), load(20)])
    assert [decision.value for decision in decisions[-2:]] == [pytest.approx(183.33, abs=0.01), 20]


def test_a_short_hole_in_a_window_is_bridged_and_a_long_one_is_not():
    spec = workload(WINDOW)
    _, short = fold(spec, [load(20)] * 8 + [DOWN] * 3 + [load(20)])
    assert short[-1].certainty == "certain"
    _, long = fold(spec, [load(20)] * 8 + [DOWN] * 20 + [load(10)] * 6)
    assert [decision.certainty for decision in long[-6:]] == ["raising"] * 5 + ["certain"]
    assert [decision.replicas for decision in long[-6:]] == [2] * 5 + [1]  # what was said before is the floor


def test_an_answer_of_another_life_is_the_floor_until_the_memory_is_full():
    state = State(certain=Answer(7, True, START - 5), minimum_answer=7)
    _, decisions = fold(workload(WINDOW), [load(20)] * 7, state)
    assert [decision.replicas for decision in decisions] == [7] * 5 + [2] * 2


def test_a_policy_state_moves_on_certain_data_alone():
    spec = workload("""
name: gate
metrics: {load: {prometheus: load}, tokens: {prometheus: tokens}}
formula: load
target: 10
policy: {kind: hysteresis, metric: tokens, above: 100, below: 50, overlap: 0s, memory: 0s}
""")
    rows = [
        {"load": 20, "tokens": 200},
        {"load": 20, "tokens": Reading(10, START, incomplete_reason="warning")},
        {"load": 20, "tokens": 80},
        {"load": 20, "tokens": None},
    ]
    _, decisions = fold(spec, rows)
    assert [decision.replicas for decision in decisions] == [2, 2, 2, 2]
    assert "gate open: tokens is 80" in decisions[2].reason
    assert decisions[3].desired is None


def test_a_policy_can_say_that_nothing_is_wanted_whatever_the_activation_says():
    spec = workload("""
name: gate
metrics: {load: {prometheus: load}}
formula: load
target: 10
idleFor: 0s
policy: {kind: hysteresis, metric: load, above: 100, below: 50, overlap: 0s, memory: 0s}
""")
    assert said(fold(spec, [load(60), load(100), load(60), load(40)])[1]) == [
        (0, False),
        (10, True),
        (6, True),
        (0, False),
    ]


# ---- Jobs ------------------------------------------------------------------------------------------------------------------

LATCH = """
name: retrain
metrics: {drift: {prometheus: drift}, free: {prometheus: free}}
formula: drift
activation: drift > 0.3 && free >= 2
holdFor: 60s
policy: {kind: latch, resetBelow: 0.2}
"""
TRAIN = ScaledResource("ScaledJob", "team", "llama", "uid", 1, ((),), (), "ScaledJob llama", 0, 1, jobs=())


def drift(value, free=4, scaled=TRAIN):
    return {"drift": value, "free": free, "scaled": scaled}


def test_jobs_are_started_on_certain_data_alone():
    """A queue of which some is unread may bring replicas; a Job that was started cannot be taken back."""
    spec = workload(LOAD, kind="ScaledJob")
    _, decisions = fold(
        spec, [DOWN, load(40), load(Reading(80, START, incomplete_reason="warning")), DOWN, load(0), load(5)]
    )
    assert said(decisions) == [(None, None), (4, True), (0, False), (0, False), (0, False), (1, True)]
    assert decisions[2].reason == (
        "0 jobs, since nothing is started on uncertain data, for 5s of at most 1m: load: warning"
    )
    assert [decision.activate_now for decision in decisions] == [False, True, False, False, False, True]


def test_without_certain_data_for_long_a_scaled_job_gets_an_error():
    _, decisions = fold(workload(LOAD, kind="ScaledJob"), [load(40)] + [DOWN] * 13)
    assert [decision.replicas for decision in decisions] == [4] + [0] * 12 + [None]
    assert decisions[-1].reason == "no certain answer for 1m5s (holdFor is 1m): load: timed out"


def test_jobs_may_be_fewer_at_once_whatever_was_said():
    assert said(fold(workload(LOAD, kind="ScaledJob"), [load(100), load(0)], State(minimum_answer=9))[1]) == [
        (10, True),
        (0, False),
    ]


def test_no_job_is_started_before_the_windows_of_its_inputs_were_seen():
    _, decisions = fold(workload(WINDOW, kind="ScaledJob"), [load(20)] * 6)
    assert said(decisions) == [(0, False)] * 5 + [(2, True)]
    assert (
        decisions[0].reason
        == "0 jobs, not raised to 2 yet, since only 5s of the 30s it remembers were seen: load = 20, at 10 a job"
    )
    assert [decision.certainty for decision in decisions] == ["held"] * 5 + ["certain"]


def test_a_latch_asks_for_one_job_and_says_why():
    running = replace(TRAIN, jobs=(Job("llama-x", START + 5),))
    rows = [drift(0.1), drift(0.4), drift(0.4, free=0, scaled=running), drift(0.4, free=1)]
    _, decisions = fold(workload(LATCH), rows)
    assert said(decisions) == [(0, False), (1, True), (0, False), (0, False)]
    assert [decision.reason for decision in decisions] == [
        "0 jobs: drift = 0.1, below 0.2, ready for the next rise",
        "1 job: drift = 0.4, no job was ever started",
        "0 jobs: drift = 0.4, job llama-x started 5s ago and has not ended",
        "0 jobs: drift = 0.4, no job was ever started; not yet, since `free >= 2` is false with free = 1",
    ]


def test_a_job_that_no_activation_asks_for_is_not_started():
    spec = workload(LOAD + "activationTarget: 5\n", kind="ScaledJob")
    [decision] = fold(spec, [load(5)])[1]
    assert (decision.replicas, decision.active) == (1, False)
    assert decision.reason == "1 job: load = 5, at 10 a job, inactive: the value is not above 5"


def test_a_latch_remembers_the_value_also_while_something_else_is_not_known():
    """As in history, where neither GPUs nor Jobs can be asked for."""
    ended = replace(TRAIN, jobs=(Job("llama-x", START - 3600, "succeeded", START - 3000),))
    rows = [drift(0.1, "no history", None), drift(0.4, "no history", None), drift(0.4, scaled=ended)]
    _, decisions = fold(workload(LATCH), rows)
    assert said(decisions) == [(None, None), (None, None), (1, True)]
    assert decisions[2].policy == "risen since job llama-x started 1h ago: was below 0.2 10s ago"


def test_a_latch_starts_nothing_while_its_data_or_the_jobs_are_not_known():
    spec = workload(LATCH)
    rows = [drift(0.1), drift("timed out"), drift(0.4, "timed out"), drift(0.4, scaled=None), drift(0.4)]
    assert said(fold(spec, rows)[1]) == [(0, False)] * 4 + [(1, True)]


# ---- active --------------------------------------------------------------------------------------------------------------


def test_active_follows_kedas_rule_value_above_activation_target():
    spec = workload(LOAD.replace("idleFor: 30s", "idleFor: 0s\nactivationTarget: 5"))
    assert said(fold(spec, [load(5), load(5.1)])[1]) == [(1, False), (1, True)]


def test_an_activation_condition_replaces_the_number():
    spec = workload(LOAD.replace("idleFor: 30s", "idleFor: 0s\nactivation: load > 20 and load < 30"))
    assert [active for _, active in said(fold(spec, [load(20), load(25), load(30)])[1])] == [False, True, False]


def test_an_activation_that_fails_is_a_problem():
    spec = workload(PAIR + "activation: a / b > 1\n")
    _, decisions = fold(spec, [{"a": 4, "b": 2}, {"a": 0, "b": 0}])
    assert said(decisions)[1] == (6, True)
    assert decisions[1].problems[0].startswith("activation: ")


def test_inactive_is_said_only_after_a_quiet_time_without_a_gap():
    _, decisions = fold(workload(LOAD), [load(40)] + [load(0)] * 8)
    assert said(decisions) == [(4, True)] + [(0, True)] * 6 + [(0, False)] * 2
    assert decisions[2].reason == "0 replicas: load = 0, at 10 a replica, kept active: quiet for 5s of 30s"
    assert decisions[7].reason == "0 replicas: load = 0, at 10 a replica, inactive"


@pytest.mark.parametrize("gap", [DOWN, load(None), load(Reading(0, START, incomplete_reason="warning")), load(1)])
def test_a_gap_or_a_breath_of_load_restarts_the_clock(gap):
    _, decisions = fold(workload(LOAD), [load(40)] + [load(0)] * 5 + [gap] + [load(0)] * 7)
    assert [active for _, active in said(decisions)] == [True] * 13 + [False]


def test_ticks_that_were_missed_restart_the_clock():
    spec = workload(LOAD)
    state, _ = fold(spec, [load(40)] + [load(0)] * 5)
    _, late = fold(spec, [load(0)] * 7, state, START + 25 + 20)
    assert [active for _, active in said(late)] == [True] * 6 + [False]


def test_an_outage_longer_than_everything_never_says_inactive():
    _, decisions = fold(workload(LOAD), [load(40)] + [DOWN] * 100)
    assert not any(decision.active is False for decision in decisions)


def test_once_inactive_a_short_gap_does_not_wake_it():
    _, decisions = fold(workload(LOAD), [load(40)] + [load(0)] * 8 + [DOWN, load(0), load(0)])
    assert [active for _, active in said(decisions)[-3:]] == [False, False, False]


def test_once_inactive_a_gap_with_replicas_running_keeps_them():
    _, decisions = fold(workload(LOAD), [load(40)] + [load(0)] * 8 + [DOWN, load(0, replicas=1)])
    assert [active for _, active in said(decisions)[-2:]] == [False, True]


def test_a_fresh_process_at_zero_replicas_does_not_wake_them():
    _, decisions = fold(workload(LOAD), [load(0, replicas=0), load(30, replicas=0)])
    assert said(decisions) == [(0, False), (3, True)]


def test_a_fresh_process_that_knows_no_replicas_waits_for_the_quiet_time():
    _, decisions = fold(workload(LOAD), [load(0)] * 7)
    assert said(decisions) == [(None, None)] * 6 + [(0, False)]
    assert decisions[1].reason == "no certain answer yet: quiet for 5s of 30s, and the current replicas are not known"


def test_a_fresh_process_with_replicas_keeps_them_for_the_quiet_time():
    _, decisions = fold(workload(LOAD), [load(0, replicas=2)] * 7)
    assert [active for _, active in said(decisions)] == [True] * 6 + [False]


ENGINE = """
name: engine
parameters: {model: {default: m}}
metrics: {waiting: {signal: waiting}}
formula: waiting
target: 1
idleFor: 10s
"""


def test_work_that_the_formula_does_not_look_at_keeps_a_workload_active():
    rows = [{"waiting": 0, "guards": {"waiting": 0, "running": running}} for running in (1, 1, 1, 1, 0, 0, 0)]
    _, decisions = fold(workload(ENGINE), rows)
    assert [active for _, active in said(decisions)] == [True] * 6 + [False]
    assert decisions[3].reason == "0 replicas: waiting = 0, at 1 a replica, kept active: running is 1"


def test_what_is_wrong_with_one_source_is_said_once():
    text = "name: q\nmetrics: {now: {signal: waiting}, mean: {signal: waiting, over: 30s}, run: {signal: running}}\n"
    spec = workload(text + "formula: max(now, mean) + run\ntarget: 4\n", model="m")
    _, [decision] = fold(spec, [{"now": "refused", "mean": "refused", "run": "refused"}])
    assert decision.problems == ("now, run: refused",)


def test_a_long_generation_is_not_ended_where_the_formula_looks_at_the_gateway_alone():
    spec, there = workload(expression="queued", target="4", model="m"), TargetStatus(1, 1, 0)
    long = [{"queued": 0, "replicas": there, "guards": {"waiting": 0, "running": 1}}] * 340  # 28 minutes
    _, decisions = fold(spec, [{**long[0], "queued": 3}, *long])
    assert {decision.active for decision in decisions} == {True}
    _, decisions = fold(spec, [{**one, "guards": {"waiting": None, "running": None}} for one in long])
    assert decisions[-1].active is False, "it is no vLLM, and no other engine was named"


@pytest.mark.parametrize("unread", ["refused", None])
def test_a_guard_that_cannot_be_read_stands_against_inactive(unread):
    rows = [{"waiting": 1, "guards": {"waiting": 1, "running": 1}}]
    rows += [{"waiting": 0, "guards": {"waiting": 0, "running": unread}}] * 20
    _, decisions = fold(workload(ENGINE), rows)
    assert all(decision.active for decision in decisions)
    assert "kept active: running: " in decisions[-1].reason


def test_replicas_that_start_stand_against_inactive():
    known = TargetStatus(current=2, ready=1, starting=1)
    rows = [{"waiting": 0, "guards": {"waiting": 0, "running": 0}, "replicas": known}] * 5
    _, decisions = fold(workload(ENGINE), rows)
    assert all(decision.active for decision in decisions)
    assert "kept active: 1 starting" in decisions[-1].reason


def test_at_zero_replicas_the_engines_series_are_zero_and_not_missing():
    rows = [{"waiting": None, "guards": {"waiting": None, "running": None}, "replicas": 0}] * 4
    _, decisions = fold(workload(ENGINE), rows)
    assert said(decisions) == [(0, False)] * 4
    assert decisions[0].input_values[0].rule == "0 replicas, so nothing is there to measure"


@pytest.mark.parametrize(
    "known",
    [
        TargetStatus(current=0, stale_reason="Kubernetes was last heard 50s ago"),
        TargetStatus(current=0, ready=0, ever_ready=1),
        TargetStatus(current=0, ready=0, ever_ready=1, stale_reason="Kubernetes was last heard 50s ago"),
    ],
)
def test_no_replicas_on_an_old_word_or_beside_a_pod_that_may_hold_load_are_no_zero(known):
    rows = [{"waiting": None, "guards": {"waiting": None, "running": None}, "replicas": known}]
    _, decisions = fold(workload(ENGINE), rows)
    assert decisions[0].certainty != "certain"
    assert decisions[0].input_values[0].value is None


def test_pods_that_are_ready_and_did_not_answer_are_missed():
    reading = Reading(5, START, answered=2)
    _, decisions = fold(
        workload(ENGINE), [{"waiting": reading, "guards": {}, "replicas": TargetStatus(current=3, ready=3)}]
    )
    assert decisions[0].problems == ("waiting: 2 of 3 pods answered",)
    _, decisions = fold(
        workload(ENGINE), [{"waiting": reading, "guards": {}, "replicas": TargetStatus(current=2, ready=2)}]
    )
    assert decisions[0].problems == ()


def test_an_activation_seen_on_partial_data_can_wake():
    spec = workload(PAIR + "activation: b > 0\n")
    _, [decision] = fold(spec, [{"a": "refused", "b": 3}])
    assert decision.replicas is None
    assert decision.activate_now


# ---- time ---------------------------------------------------------------------------------------------------------------


def test_a_clock_that_goes_backwards_is_a_gap_and_keeps_the_answer():
    spec = workload(LOAD)
    state, _ = fold(spec, [load(40)] + [load(0)] * 5)
    state, [back] = fold(spec, [load(0)], state, START - 1000)
    assert said([back]) == [(0, True)]
    _, after = fold(spec, [DOWN] * 3, state, START - 995)
    assert said(after) == [(0, True)] * 3


def test_a_clock_that_goes_backwards_before_any_answer_is_harmless():
    spec = workload(LOAD)
    state, _ = fold(spec, [DOWN])
    assert said(fold(spec, [load(10)], state, START - 50)[1]) == [(1, True)]


# ---- laws ---------------------------------------------------------------------------------------------------------------

measurements = st.one_of(
    st.floats(0, 1000),
    st.none(),
    st.just("down"),
    st.floats(0, 1000).map(lambda value: Reading(value, START, incomplete_reason="partial")),
)
rows = st.lists(
    st.fixed_dictionaries({"load": measurements, "replicas": st.one_of(st.none(), st.integers(0, 20))}), max_size=40
)


@given(rows, st.sampled_from([LOAD, WINDOW, LOAD + "metricType: Value\n"]))
def test_laws_of_the_fold(given_rows, text):
    spec = workload(text)
    state, quiet = State(), 0
    for index, given_row in enumerate(given_rows):
        now = START + index * spec.interval
        inputs = row(now, **given_row)
        following, decision = decide(spec, state, inputs, now)
        assert decide(spec, state, inputs, now) == (following, decision), "the same question has the same answer"
        assert (decision.replicas is None) == (decision.active is None), "both words or neither"
        assert decision.reason
        quiet = quiet + 1 if given_row["load"] == 0 else 0
        if decision.replicas is not None and decision.certainty != "certain" and state.certain is not None:
            assert decision.replicas >= state.certain.replicas, "an uncertain answer never falls"
        if decision.active is False and given_row["replicas"]:
            assert quiet > spec.idle_for / spec.interval, "inactive takes a quiet time without a gap"
        state = following


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30), st.floats(0, 1e5))
def test_more_load_never_asks_for_fewer_replicas(loads, more):
    spec = workload(WINDOW)
    _, less = fold(spec, [load(value, replicas=1) for value in loads])
    _, greater = fold(spec, [load(value + more, replicas=1) for value in loads])
    assert all(a.replicas <= b.replicas for a, b in zip(less, greater, strict=True))


def test_the_fold_does_not_change_what_it_was_given():
    spec = workload(WINDOW)
    state, _ = fold(spec, [load(20)] * 3)
    copy = replace(state)
    decide(spec, state, row(START + 15, load=5), START + 15)
    assert state == copy


def test_the_epoch_is_a_time_like_any_other():
    state, spec = State(), workload(LOAD, holdFor="10s")
    for now in (0.0, 5.0, 10.0, 15.0):
        state, decision = decide(spec, state, row(now, load=None, replicas=3), now)
    assert (decision.uncertain_for, decision.replicas) == (15.0, None)


def test_what_no_replica_can_say_is_left_to_on_missing():
    text = "name: slo\nmetrics: {ttft: {signal: time_to_first_token}}\nformula: ttft\ntarget: 1\nmetricType: Value\n"
    row = {"ttft": None, "guards": {"waiting": None, "running": None}, "replicas": TargetStatus(0, 0, 0)}
    _, [decision] = fold(workload(text), [row])
    assert decision.problems == ("ttft: no series",)
    text = text.replace("token}", "token, onMissing: zero}")
    _, [decision] = fold(workload(text), [row])
    assert (decision.certainty, decision.replicas) == ("certain", 0)


# ---- min and max -----------------------------------------------------------------------------------------------------


def test_min_and_max_are_the_bounds_of_the_scaled_object_and_functions_too():
    spec = workload(LOAD.replace("formula: load", "formula: 'max(10 * min, load > 50 ? 10 * max : min(load, 40))'"))
    known = TargetStatus(1, 1, 0, 2, 12)
    _, decisions = fold(spec, [load(value, replicas=known) for value in (0, 45, 51)])
    assert [decision.replicas for decision in decisions] == [2, 4, 12]


def test_bounds_that_are_not_known_are_nil():
    spec = workload(LOAD.replace("formula: load", "formula: 'load > 50 ? 10 * (max ?? 20) : load'"))
    assert [decision.replicas for decision in fold(spec, [load(5), load(60)])[1]] == [1, 20]
    spec = workload(LOAD.replace("formula: load", "formula: 'load > 50 ? 10 * max : load'"))
    [decision] = fold(spec, [load(60, replicas=3)])[1]
    assert (decision.replicas, decision.certainty) == (3, "held")


def test_a_parameter_named_like_a_bound_is_the_parameter():
    text = LOAD + "parameters: {max: {type: number, default: 7}}\n"
    spec = workload(text.replace("formula: load", "formula: 10 * max(load, max)"))
    assert fold(spec, [load(1, replicas=TargetStatus(1, 1, 0, 0, 100))])[1][0].replicas == 7
