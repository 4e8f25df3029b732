"""Where the bounds of the fold lie: what is just within each of them, and what is just beyond."""

from dataclasses import replace

import pytest
from support.timelines import START, fold, row, workload

from scaler.decision.decide import decide
from scaler.decision.resolve import no_serving_pods
from scaler.decision.state import MAX_MISSED_TICKS, State, expire, inherited
from scaler.model.measurement import MAX_VALUE, Failure, Reading, TargetStatus

LOAD = "name: load\nmetrics: {load: {prometheus: load}}\nformula: load\ntarget: 1\nholdFor: 60s\n"


def decided(text=LOAD, **row):
    return fold(workload(text), [row])[1][0]


@pytest.mark.parametrize(
    ("load", "replicas", "problem"),
    [
        (0, 0, ""),
        (-0.001, None, "the formula came to -0.001, and a load cannot be negative"),
        (1_000_000, 1_000_000, ""),
        (1_000_001, None, "asks for more than 1,000,000 replicas"),
    ],
)
def test_how_many_replicas_a_load_may_ask_for(load, replicas, problem):
    decision = decided(load=load, replicas=0)
    assert decision.desired == replicas
    assert problem in "; ".join(decision.problems)
    assert bool(decision.problems) is bool(problem)


def test_the_largest_value_that_counts():
    text = LOAD.replace("target: 1\n", f"target: {MAX_VALUE / 10:.0f}\n")
    assert decided(text, load=MAX_VALUE).replicas == 10
    assert "which is no load" in decided(text, load=MAX_VALUE * 1.001).problems[0]
    assert "which is no load" in decided(text, load=float("nan")).problems[0]


@pytest.mark.parametrize(("answered", "certainty"), [(2, "certain"), (3, "certain"), (1, "held")])
def test_as_many_pods_have_to_answer_as_there_are(answered, certainty):
    reading = Reading(4.0, START, answered=answered, expected=2)
    assert decided(load=reading, replicas=1).certainty == certainty


def test_an_answer_is_held_for_hold_for_and_no_longer():
    _, decisions = fold(workload(LOAD), [{"load": 5}, *[{"load": "refused"}] * 13])
    assert [decision.replicas for decision in decisions] == [5] * 13 + [None]
    assert [decision.uncertain_for for decision in decisions[:3]] == [0.0, 5.0, 10.0], "from the last certain answer on"
    assert decisions[12].uncertain_for == 60.0


def test_a_sample_leaves_its_window_as_soon_as_it_is_as_old():
    text = LOAD.replace("{prometheus: load}", "{prometheus: load, over: 30s, reduce: max}")
    _, decisions = fold(workload(text), [{"load": 9}, *[{"load": 1}] * 7])
    assert [decision.value for decision in decisions] == [9, 9, 9, 9, 9, 9, 1, 1]
    state, _ = fold(workload(text), [{"load": 9}, *[{"load": 1}] * 7])
    assert len(state.windows["load"]) == 6, "and is not kept any longer"


def test_no_series_that_counts_as_zero_is_a_zero_in_its_window():
    text = LOAD.replace("{prometheus: load}", "{prometheus: load, over: 30s, reduce: max, onMissing: zero}")
    assert [decision.value for decision in fold(workload(text), [{"load": None}] * 3)[1]] == [0, 0, 0]


def test_before_anything_was_certain_nothing_of_its_memory_was_seen():
    text = LOAD.replace("{prometheus: load}", "{prometheus: load, over: 30s, reduce: max}")
    assert decided(text, load="refused").memory_seen == 0.0


def test_it_may_lower_as_soon_as_all_that_it_remembers_was_seen():
    text = LOAD.replace("{prometheus: load}", "{prometheus: load, over: 30s, reduce: max}")
    _, decisions = fold(workload(text), [{"load": 2, "replicas": 20}] * 7)
    assert [decision.replicas for decision in decisions] == [20] * 5 + [2, 2]


def test_it_is_inactive_as_soon_as_it_was_quiet_for_idle_for():
    text = LOAD + "activation: load > 0\nidleFor: 30s\n"
    _, decisions = fold(workload(text), [{"load": 3}, *[{"load": 0}] * 8])
    assert [decision.active for decision in decisions] == [True] * 7 + [False] * 2


@pytest.mark.parametrize(("gap", "kept"), [(0.0, True), (0.5, False)])
def test_so_many_ticks_may_be_missed_and_quiet_goes_on(gap, kept):
    spec = workload(LOAD)
    state = State(started=START, at=START, idle_since=START)
    after = expire(spec, state, START + MAX_MISSED_TICKS * spec.interval + gap)
    assert (after.idle_since is not None) is kept


@pytest.mark.parametrize(("gap", "kept"), [(60.0, True), (60.5, False)])
def test_what_was_certain_is_believed_for_hold_for(gap, kept):
    spec = workload(LOAD)
    state, _ = fold(spec, [{"load": 5}])
    after = expire(spec, state, START + gap)
    assert (after.certain is not None, after.complete_since is not None) == (kept, kept)
    assert after.started == START


@pytest.mark.parametrize(("gap", "kept"), [(25.0, True), (25.5, False)])
def test_what_was_certain_outlives_the_ticks_that_may_be_missed_however_short_hold_for_is(gap, kept):
    spec = workload(LOAD.replace("holdFor: 60s", "interval: 10s\nholdFor: 10s"))
    state, _ = fold(spec, [{"load": 5}])
    after = expire(spec, state, START + gap)
    assert (after.certain is not None, after.complete_since is not None) == (kept, kept)


def test_a_clock_that_goes_backwards_leaves_the_answer_and_no_span():
    spec = workload(LOAD)
    state, _ = fold(spec, [{"load": 5}] * 3)
    assert expire(spec, state, state.at).complete_since == START
    back = expire(spec, state, START - 100)
    assert (back.started, back.at, back.complete_since) == (START - 110, START - 100, None), (
        "started 10 s ago, as before"
    )
    assert (back.certain.replicas, back.certain.at, back.minimum_answer) == (5, START - 100, 5)
    assert back.last == {"load": (START - 100, 5)}


def test_of_several_the_newest_word_and_the_largest_answer_are_inherited():
    spec = workload(LOAD)
    one, other = fold(spec, [{"load": 5}])[0], fold(spec, [{"load": 3}], start=START + 50)[0]
    both = inherited([one, replace(other, active=False)])
    assert (both.certain.replicas, both.minimum_answer, both.active, both.started) == (3, 5, True, START + 50)
    assert inherited([replace(one, active=False), replace(other, active=False)]).active is False
    assert inherited([]) == State()


def test_of_each_replica_the_load_is_shared_and_no_surge_pod_raises_it():
    text = LOAD + "metricType: Value\n"

    def asked(load, current, ready):
        return decided(text, load=load, replicas=TargetStatus(current, ready, 0)).desired

    assert asked(2.0, 3, 3) == 6
    assert asked(1.0, 3, 4) == 3, "at its target, with a pod more for a rollout"
    assert asked(1.5, 3, 4) == 6
    assert asked(0.5, 0, 1) == 1


@pytest.mark.parametrize(("load", "active"), [(2.0, False), (2.1, True)])
def test_a_number_for_an_activation_has_to_be_exceeded(load, active):
    spec = workload(LOAD, activationTarget="2")
    assert fold(spec, [{"load": load, "replicas": 0}])[1][0].active is active


def test_a_second_tick_of_the_same_time_takes_the_place_of_the_first():
    spec = workload(LOAD.replace("{prometheus: load}", "{prometheus: load, over: 30s, reduce: max}"))
    state, _ = fold(spec, [{"load": 9}])
    state, decision = decide(spec, state, row(START, load=4), START)
    assert (decision.value, state.windows["load"]) == (4, ((START, 4),))


# ---- what is not known -------------------------------------------------------------------------------------------------

TWO = "name: two\nmetrics: {a: {prometheus: a}, b: {prometheus: b, onMissing: zero}}\nformula: a + b\ntarget: 1\n"


def test_what_fails_and_would_count_as_zero_is_left_out_so_that_the_rest_may_raise():
    _, decisions = fold(workload(TWO), [{"a": 2, "b": 1}, {"a": 7, "b": "refused"}])
    assert [(decision.replicas, decision.certainty) for decision in decisions] == [(3, "certain"), (7, "held")]
    assert decisions[1].partial.without == ("b",)
    strict = TWO.replace(", onMissing: zero", "")
    assert fold(workload(strict), [{"a": 2, "b": 1}, {"a": 7, "b": "refused"}])[1][1].replicas == 3


def test_of_the_scale_target_what_is_not_known_is_named():
    text = LOAD.replace("formula: load", "formula: load * replicas / ready")
    [problem] = decided(text, load=4, replicas=TargetStatus(3, None, 0)).problems
    assert problem == "`ready` not known: that needs access to Kubernetes, or kube-state-metrics in the endpoint"


def test_a_policy_is_told_that_a_value_is_of_each_replica():
    tiers = "policy: {kind: step, tiers: [{at: 10, percent: 50}, {at: 100, percent: 100}]}\n"
    known = TargetStatus(6, 6, 0, maximum=10)
    assert decided(LOAD + tiers + "metricType: Value\n", load=0.5, replicas=known).desired == 5
    assert decided(LOAD + tiers, load=3, replicas=known).desired == 10


def test_one_input_whose_question_is_wrong_is_enough_that_nothing_is_held():
    wrong = Failure("the query cannot be read", START, config_error=True)
    _, decisions = fold(workload(TWO), [{"a": 2, "b": 1}, {"a": wrong, "b": 1}])
    assert (decisions[1].config_error, decisions[1].replicas) == (True, None)


def test_who_is_busy_was_not_quiet_for_any_time():
    text = LOAD + "activation: load > 0\n"
    _, decisions = fold(workload(text), [{"load": 3}, {"load": 0}, {"load": 0}, {"load": 3}])
    assert [decision.idle.seen for decision in decisions] == [0.0, 0.0, 5.0, 0.0]


@pytest.mark.parametrize(
    ("current", "ever_ready", "told"),
    [(0, 0, "0 replicas"), (2, 0, "no pod is ready yet"), (2, None, ""), (2, 1, "")],
)
def test_what_no_pod_can_hold_is_nothing_and_it_is_said_why(current, ever_ready, told):
    assert no_serving_pods(TargetStatus(current, ever_ready=ever_ready)) == told
