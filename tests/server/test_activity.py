"""What an open StreamIsActive says when: timelines of decisions five seconds apart, and the words they give."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import timelines

from scaler.decision.decision import Answer
from scaler.model.measurement import TargetStatus
from scaler.server.activity import PATIENCE, REPEAT, PushState, next_push

BASE = timelines.fold(timelines.workload(expression="waiting", target="1"), [{"waiting": 0.0}])[1][0]
ON, OFF, UNKNOWN, WAKE = (True, True), (False, False), (None, False), (None, True)  # (active, wake)
KEPT = (True, False)  # quiet, and not yet for long enough


def words(states, replicas, interval=5.0):
    said, sent = PushState(), []
    for index, (active, wake) in enumerate(states):
        known = replicas[index] if isinstance(replicas, list) else replicas
        at = 1000.0 + index * interval
        answer = None if active is None else Answer(1, active, at)
        said, word = next_push(
            said, replace(BASE, at=at, answer=answer, activate_now=wake, target_status=TargetStatus(current=known))
        )
        sent.append(word)
    return sent


@pytest.mark.parametrize(("state", "word"), [(ON, True), (OFF, False), (KEPT, True), (WAKE, True), (UNKNOWN, None)])
def test_the_state_is_said_on_open_once_there_is_one(state, word):
    assert words([state], 1) == [word]


def test_only_the_edge_to_active_is_said():
    assert words([OFF, OFF, ON, ON, OFF, ON], 1) == [False, None, True, None, None, True]


def test_an_uncertain_decision_wakes_and_uncertainty_alone_says_nothing():
    assert words([OFF, UNKNOWN, WAKE, WAKE], 1) == [False, None, True, None]


def test_active_then_unknown_then_active_is_no_new_edge():
    assert words([ON, UNKNOWN, ON], 1) == [True, None, None]


def test_active_is_said_again_until_there_is_a_replica():
    assert words([ON] * 5, [0, 0, 0, 1, 1]) == [True, True, True, None, None]


def test_a_workload_that_loses_its_last_replica_while_active_is_woken_again():
    assert words([ON] * 4, [1, 1, 0, 0]) == [True, None, True, True]


def test_where_replicas_are_not_known_it_is_said_again_for_a_minute():
    sent = words([ON] * 20, None)
    assert sent == [True] * round(PATIENCE / REPEAT) + [None] * 8


def test_each_edge_starts_the_minute_anew():
    sent = words([ON] * 13 + [OFF] + [ON] * 2, None)
    assert sent[-4:] == [None, None, True, True]


def test_it_is_not_said_more_often_than_the_repeat_allows():
    assert words([ON] * 9, 0, interval=2.0) == [True, None, None, True, None, None, True, None, None]


def test_a_clock_that_goes_backwards_does_not_silence_it():
    assert words([ON] * 3, 0, interval=-600.0) == [True, True, True]


@given(st.lists(st.tuples(st.sampled_from([ON, OFF, KEPT, WAKE, UNKNOWN]), st.sampled_from([None, 0, 1, 7]))))
def test_whatever_comes_false_is_said_at_most_once_and_first(timeline):
    sent = [
        word for word in words([state for state, _ in timeline], [known for _, known in timeline]) if word is not None
    ]
    assert False not in sent[1:]


@given(st.lists(st.sampled_from([ON, OFF, KEPT, WAKE, UNKNOWN]), min_size=1))
def test_an_awake_workload_hears_active_once_for_each_edge(states):
    known = [True if wake else active for active, wake in states if wake or active is not None]
    edges = sum(now and not before for before, now in zip([False, *known], known, strict=False))
    assert words(states, 1).count(True) == edges
