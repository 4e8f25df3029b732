"""Down at a pace: an answer falls by 10 % a minute, and not below what was needed lately; growth is never slowed."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.timelines import START, fold, row, workload

from scaler.config.defaults import Defaults, ScaleDown
from scaler.decision.decide import decide
from scaler.decision.state import State, inherited
from scaler.model.errors import ConfigError
from scaler.model.measurement import Reading, TargetStatus
from scaler.model.objects import Pod, ScaledResource

LOAD = """
name: load
metrics: {load: {prometheus: load}}
formula: load
target: 1
interval: 10s
holdFor: 60s
"""
MINUTE = 6  # ticks


def paced(text=LOAD, **more):
    return workload(text, Defaults(), **more)


def needs(*counts):
    """Rows that need so many replicas, each for a minute."""
    return [{"load": count} for count in counts for _ in range(MINUTE)]


def answers(spec, rows, state=None):
    return [decision.replicas for decision in fold(spec, rows, state)[1]]


def by_the_minute(spec, rows):
    return answers(spec, rows)[MINUTE - 1 :: MINUTE]


def test_it_keeps_what_the_last_two_minutes_needed_and_then_falls_by_a_tenth_a_minute():
    said = by_the_minute(paced(), needs(*[64] * 3, *[5] * 30))
    assert said[:3] == [64] * 3
    assert said[3:12] == [64, 64, 58, 53, 48, 44, 40, 36, 33]
    assert said[-8:] == [11, 10, 9, 8, 7, 6, 5, 5]


def test_growth_is_never_slowed():
    assert answers(paced(), [{"load": load} for load in (1, 64, 64, 100)]) == [1, 64, 64, 100]


def test_a_need_that_comes_back_within_the_window_finds_its_replicas():
    assert set(by_the_minute(paced(), needs(30, 30, 30, 4, 30, 4, 30, 4))) == {30}


def test_a_small_fleet_falls_by_one_replica_a_minute():
    assert by_the_minute(paced(), needs(4, 4, 4, 1, 1, 1, 1, 1, 1))[2:] == [4, 4, 4, 3, 2, 1, 1]


def test_percentage_and_window_are_settings_of_the_formula():
    half = paced(LOAD + "scaleDown: {percent: 50, window: 0s}\n")
    assert by_the_minute(half, needs(64, 64, 1, 1, 1))[1:] == [64, 32, 16, 8]
    assert answers(paced(LOAD + "scaleDown: off\n"), [{"load": 64}, {"load": 1}]) == [64, 1]
    window = paced(LOAD + "scaleDown: {percent: 100, window: 5m}\n")
    assert by_the_minute(window, needs(*[9] * 6, *[1] * 7))[5:] == [9] * 6 + [1] * 2
    assert workload(LOAD, Defaults(), scaleDown="20% 5m").scale_down == ScaleDown(20, 300)
    assert workload(LOAD, Defaults(), scaleDown="off").scale_down is None
    assert workload(LOAD, Defaults(), scaleDown="100% 0s").scale_down == ScaleDown(100, 0)
    assert workload(LOAD, Defaults(), scaleDown="10% 1h").scale_down == ScaleDown(10, 3600)


def test_a_hundred_percent_and_no_window_keep_nothing():
    at_once = paced(LOAD + "scaleDown: {percent: 100, window: 0s}\n")
    assert answers(at_once, [{"load": 64}, {"load": 1}]) == [64, 1]


def test_a_hundred_percent_need_no_minute_of_answers_and_ten_do():
    rows = [{"load": 2, "replicas": 20}]
    at_once, slowly = (paced(LOAD + f"scaleDown: {{percent: {percent}, window: 0s}}\n") for percent in (100, 10))
    assert answers(at_once, rows) == [2]
    [decision] = fold(slowly, rows)[1]
    told = "of what was answered, 0s of 1m are known, and before that nothing is lowered"
    assert (decision.replicas, decision.pace.reason) == (20, told)


def test_a_need_that_the_pace_would_meet_too_is_what_is_told():
    rows = needs(10, 10, 10, 9)
    assert fold(paced(), rows)[1][-1].pace.reason == "10 were needed 1m ago, within the last 2m"
    one = [{"load": 1, "replicas": 1}] * 30 + [{"load": 0, "replicas": 1}]
    assert fold(paced(), one)[1][-1].pace.reason.startswith("1 was needed ")
    _, decisions = fold(paced(), needs(10, 10, 10, 9, 9, 9, 1))
    lowered = next(decision for decision in decisions if decision.replicas == 9)
    assert lowered.pace.reason.startswith("9 were needed 10s ago")


@pytest.mark.parametrize("wrong", ["0%", "10", "10% 3601s", "fast", "10% soon", "101%"])
def test_what_is_no_pace_is_refused(wrong):
    with pytest.raises(ConfigError, match="scaleDown"):
        workload(LOAD, Defaults(), scaleDown=wrong)


def test_a_policy_owns_the_timing_unless_the_file_says_otherwise():
    gate = LOAD + "policy: {kind: hysteresis, metric: load, above: 100, below: 50}\n"
    assert paced(gate).scale_down is None
    assert paced(gate + "scaleDown: {percent: 10}\n").scale_down == ScaleDown()
    jobs = paced(kind="ScaledJob")
    assert answers(jobs, [{"load": 9}, {"load": 1}]) == [9, 1]


# ---- what it has not seen ----------------------------------------------------------------------------------------------


def test_a_new_process_lowers_nothing_before_it_has_seen_the_window():
    rows = [{"load": 2, "replicas": 20}] * (4 * MINUTE)
    said = answers(paced(), rows)
    assert said[: 2 * MINUTE - 1] == [20] * (2 * MINUTE - 1)
    assert said[2 * MINUTE :: MINUTE] == [18, 17]


def test_who_has_read_a_history_has_not_answered_in_it_and_keeps_the_replicas_for_a_minute():
    history, _ = fold(paced(), [{"load": 2}] * (5 * MINUTE), start=START - 300)
    said = answers(paced(), [{"load": 2, "replicas": 20}] * (3 * MINUTE), history)
    assert said[:MINUTE] == [20] * MINUTE
    assert said[MINUTE::MINUTE] == [18, 17]


def test_an_edit_lowers_nothing_before_the_window_of_the_new_formula_was_seen():
    state, _ = fold(paced(), needs(12, 12, 12))
    said = answers(paced(LOAD.replace("target: 1", "target: 4")), needs(12, 12, 12, 12), inherited([state]))
    assert said[: 2 * MINUTE - 1] == [12] * (2 * MINUTE - 1)
    assert said[2 * MINUTE :: MINUTE] == [11, 10]


def test_after_an_outage_it_falls_from_the_replicas_that_there_are():
    rows = [{"load": 9}] * 12 + [{"load": "timed out"}] * 30 + [{"load": 1, "replicas": 30}] * (4 * MINUTE)
    said = answers(paced(), rows)[42:]
    assert said[: 2 * MINUTE - 1] == [30] * (2 * MINUTE - 1)
    assert said[-1] < 30


def test_what_partial_data_has_raised_is_let_go_at_the_pace_too():
    partly = {"load": Reading(40, START, answered=1, expected=2)}
    said = answers(paced(), [{"load": 9}] * 24 + [partly] + [{"load": 9}] * (4 * MINUTE))
    assert said[24 : 25 + 2 * MINUTE] == [40] * (2 * MINUTE + 1)
    assert said[25 + 2 * MINUTE] == 36


# ---- start-up, zero, bounds ----------------------------------------------------------------------------------------------


def with_pods(load, took, replicas=10):
    pods = tuple(Pod(f"p{i}", "ready", START - 9000, ready_since=START - 9000 + took) for i in range(replicas))
    scaled = ScaledResource(
        "ScaledObject", "team", "llama", "1", 1, ((),), (), "Deployment llama", 0, 20, replicas, pods=pods
    )
    return {"load": load, "scaled": scaled, "replicas": TargetStatus(replicas, replicas, 0, ever_ready=replicas)}


@pytest.mark.parametrize(("took", "window"), [(10, 120), (300, 300), (880, 880)])
def test_the_window_is_the_start_up_that_was_learnt_within_bounds(took, window):
    _, decisions = fold(paced(), [with_pods(10, took)] * 100 + [with_pods(2, took)] * 100)
    assert decisions[-1].pace.window == window
    lowered = next(index for index, decision in enumerate(decisions) if decision.replicas < 10)
    assert lowered == 100 + window / 10


@pytest.mark.parametrize(("startup", "took", "window"), [("5m", 300, 300), ("5m", 301, 120), ("0s", 301, 301)])
def test_a_start_up_beyond_what_the_formula_allows_is_not_learnt(startup, took, window):
    [decision] = fold(paced(LOAD + f"startup: {startup}\n"), [with_pods(10, took)])[1]
    assert decision.pace.window == window


def test_at_zero_replicas_there_is_nothing_to_let_go():
    rows = [{"load": 30, "replicas": 30}] * 20 + [{"load": 0, "replicas": 0}] * 2 + [{"load": 1, "replicas": 1}] * 3
    assert answers(paced(), rows)[-5:] == [0, 0, 1, 1, 1]


def test_it_falls_from_what_the_scaled_object_can_have():
    rows = [{"load": load, "replicas": TargetStatus(10, 10, 0, 0, 10)} for load in [200] * 20 + [2] * 20]
    said = answers(paced(), rows)
    assert said[20:32] == [10] * 12, "not below what there is, for as long as the window"
    assert said[32] == 9


def test_inactive_has_a_time_of_its_own():
    _, decisions = fold(paced(LOAD + "idleFor: 60s\n"), [{"load": 30}] * 20 + [{"load": 0}] * 8)
    assert [decision.active for decision in decisions[-2:]] == [False, False]
    assert decisions[-1].replicas == 30


def test_it_is_explained_in_plain_words():
    _, decisions = fold(paced(), needs(64, 64, 64, 5, 5, 5))
    assert decisions[20].reason == (
        "64 replicas, not 5, since 64 were needed 30s ago, within the last 2m: load = 5, at 1 a replica"
    )
    assert (
        decisions[-1].reason == "58 replicas, not 5, since it falls by 10% a minute, from 64: load = 5, at 1 a replica"
    )
    _, [_, fresh] = fold(paced(), [{"load": 2, "replicas": 20}] * 2)
    assert fresh.reason == (
        "20 replicas, not 2, since of what was needed, 20s of 2m are known, and before that nothing is lowered: "
        "load = 2, at 1 a replica"
    )


# ---- the law ---------------------------------------------------------------------------------------------------------

measurements = st.one_of(
    st.integers(1, 200),
    st.integers(1, 200).map(lambda value: Reading(value, START, incomplete_reason="partial")),
    st.just("timed out"),
    st.none(),
)
runs = st.lists(st.tuples(measurements, st.integers(1, 12)), min_size=1, max_size=12)


@given(runs, st.sampled_from([5, 10, 50]), st.booleans(), st.integers(1, 30))
@settings(max_examples=150, deadline=None)
def test_no_answer_falls_faster_and_none_is_below_what_was_needed(happened, percent, located, replicas):
    spec = paced(LOAD + f"scaleDown: {{percent: {percent}}}\n")
    spec = replace(spec, hold_for=600.0)
    state, said, needed, now = State(), [], [], START
    for measurement, ticks in happened:
        for _ in range(ticks):
            known = (said[-1][1] if said else replicas) if located else None
            state, decision = decide(spec, state, row(now, load=measurement, replicas=known or None), now)
            if decision.replicas is not None:
                said.append((now, decision.replicas))
            if isinstance(measurement, int):
                needed.append((now, measurement))
            if decision.certainty == "certain":
                assert decision.replicas >= max(need for at, need in needed if at >= now - 120), "a need of the window"
            now += spec.interval
    for (_, before), (later, after) in pairwise(said):
        lately = max([count for when, count in said if later - 60 <= when < later], default=before)
        assert after >= lately - max(math.floor(lately * percent / 100), 1), f"{lately} to {after} at {later - START}"


@given(st.lists(st.integers(1, 100), min_size=2, max_size=60))
@settings(max_examples=100, deadline=None)
def test_it_is_never_below_what_it_would_be_at_once_and_comes_down_in_the_end(loads):
    rows = [{"load": load} for load in loads]
    at_once, slow = workload(LOAD), paced()
    assert all(a >= b for a, b in zip(answers(slow, rows), answers(at_once, rows), strict=True))
    assert answers(slow, rows + [{"load": loads[-1]}] * 50 * MINUTE)[-1] == loads[-1]


def test_without_a_window_the_last_replica_is_let_go_too():
    spec = paced(LOAD + "scaleDown: {percent: 10, window: 0s}\n")
    assert answers(spec, needs(1, 1, 0))[-1] == 0


def test_where_there_are_more_than_the_maximum_it_falls_from_those_that_there_are():
    """maxReplicaCount was lowered to 10 while 15 ran: what there is may be let go at its pace."""
    rows = [{"load": load, "replicas": TargetStatus(15, 15, 0, 0, 10)} for load in [200] * 20 + [2] * 26]
    said = answers(paced(), rows)
    assert said[20:32] == [15] * 12
    assert said[32] == 14


def test_after_an_edit_the_longest_start_up_that_was_learnt_counts():
    states = [fold(paced(), [with_pods(10, took)])[0] for took in (300, 500, 400)]
    assert inherited(states).pace.took == 500
