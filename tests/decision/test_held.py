"""The law of the held answer: what was answered is a floor until there is certain data again or holdFor has passed.

First the timelines that the law is about, then the law itself, over everything that can happen to a workload under an
HPA that acts at once (stabilizationWindowSeconds: 0): whole, partial, failed and missing measurements, ticks that are
lost, processes that start anew with and without history, edits, and standbys that take over with another view.
"""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.timelines import START, fold, row, said, workload

from scaler.decision.decide import decide
from scaler.decision.state import State, inherited
from scaler.model.measurement import Reading

LOAD = """
name: load
metrics: {load: {prometheus: load}}
formula: load
target: 10
holdFor: 60s
idleFor: 30s
"""
WINDOW = LOAD.replace("prometheus: load}", "prometheus: load, over: 20s, reduce: max}")
PAIR = """
name: pair
metrics: {waiting: {signal: waiting}, running: {signal: running}, queued: {signal: queued, onMissing: zero}}
formula: queued + waiting + running
target: 8
activation: queued + waiting + running > 0
holdFor: 60s
idleFor: 30s
"""
DOWN = {"load": "timed out"}


def partly(value):
    return {"load": Reading(value, START, answered=1, expected=3)}


def test_what_partial_data_has_raised_stays_when_nothing_is_measured_any_more():
    _, decisions = fold(workload(LOAD), [{"load": 20}, partly(160), *[DOWN] * 10])
    assert said(decisions) == [(2, True)] + [(16, True)] * 11
    assert decisions[-1].reason == (
        "16 replicas (raised by what was measured before), held for 55s of at most 1m: load: timed out"
    )


def test_certain_data_ends_the_floor_at_once():
    assert said(fold(workload(LOAD), [{"load": 20}, partly(160), {"load": 20}])[1])[-1] == (2, True)


def test_hold_for_ends_the_floor_with_an_error_counted_from_the_last_certain_answer():
    _, decisions = fold(workload(LOAD), [{"load": 20}, *[partly(160)] * 11, *[DOWN] * 3])
    assert [decision.replicas for decision in decisions] == [2] + [16] * 12 + [None] * 2


def test_replicas_that_were_seen_on_uncertain_data_are_a_floor_when_they_are_seen_no_more():
    rows = [{"load": 20}, {**DOWN, "replicas": 6}, DOWN]
    assert said(fold(workload(LOAD), rows)[1]) == [(2, True), (6, True), (6, True)]


def test_active_on_partial_data_is_not_taken_back_by_an_outage():
    state, decisions = fold(workload(LOAD), [{"load": 0, "replicas": 0}] * 8)
    assert said(decisions)[-1] == (0, False)
    _, decisions = fold(workload(LOAD), [{**partly(30), "replicas": 0}, {**DOWN, "replicas": 0}], state, START + 40)
    assert said(decisions) == [(3, True), (3, True)]


def test_an_edit_keeps_the_floor_and_does_not_prolong_the_hold():
    state, _ = fold(workload(LOAD), [{"load": 20}, partly(160)])
    edited = workload(LOAD.replace("target: 10", "target: 20"))
    _, decisions = fold(edited, [DOWN] * 13, inherited([state]), START + 10)
    assert [decision.replicas for decision in decisions] == [16] * 11 + [None] * 2


def test_an_edit_after_the_end_of_the_hold_does_not_begin_another():
    state, decisions = fold(workload(LOAD), [{"load": 20}] + [DOWN] * 20)
    assert decisions[-1].replicas is None
    assert said(fold(workload(LOAD), [DOWN, {"load": 30}], inherited([state]), START + 105)[1]) == [
        (None, None),
        (3, True),
    ]


@pytest.mark.parametrize("step", [1, 5, 3600])
def test_a_clock_that_goes_backwards_does_not_prolong_the_hold(step):
    state, _ = fold(workload(LOAD), [{"load": 20}] + [DOWN] * 8)
    held, _ = fold(workload(LOAD), [DOWN], state, START + 40 - step)
    _, decisions = fold(workload(LOAD), [DOWN] * 6, held, START + 45 - step)
    assert [decision.replicas for decision in decisions] == [2] * 4 + [None] * 2
    assert [decision.uncertain_for for decision in decisions][:3] == [45, 50, 55]


@pytest.mark.parametrize("step", [1, 5, 3600])
def test_a_clock_that_goes_backwards_after_the_end_of_the_hold_does_not_begin_another(step):
    state, _ = fold(workload(LOAD), [{"load": 20}] + [{**DOWN, "replicas": 2}] * 20)
    back = START + 100 - step
    assert said(fold(workload(LOAD), [{**DOWN, "replicas": 2}] * 3, state, back)[1]) == [(None, None)] * 3


def test_the_largest_answer_of_several_triggers_is_inherited():
    low, _ = fold(workload(LOAD), [{"load": 20}])
    high, _ = fold(workload(LOAD), [{"load": 20}, partly(160)])
    assert said(fold(workload(LOAD), [DOWN], inherited([low, high]), START + 10)[1]) == [(16, True)]
    assert inherited([]) == State()


# ---- nothing that was not measured is a 0 ----------------------------------------------------------------------------


def test_where_nothing_was_measured_there_is_no_value():
    """A model that is mistyped: no series at all, and what `onMissing: zero` says of the queue is no measurement."""
    _, [decision] = fold(workload(PAIR, model="m"), [{"waiting": None, "running": None, "queued": None, "replicas": 3}])
    assert (decision.value, decision.desired, decision.partial, decision.activation) == (None, None, None, None)
    assert said([decision]) == [(3, True)], "the replicas that there are are held"


def test_what_is_measured_of_a_sum_may_raise_and_is_not_shown_as_the_sum():
    _, [decision] = fold(
        workload(PAIR, model="m"), [{"waiting": 20, "running": "timed out", "queued": 0, "replicas": 1}]
    )
    assert (decision.value, decision.desired, decision.replicas) == (None, None, 3)
    assert (decision.partial.value, decision.partial.replicas, decision.partial.without) == (20, 3, ("running",))
    assert decision.activation is True, "more cannot make it false"


@pytest.mark.parametrize(("waiting", "condition"), [(0, None), (1, True)])
def test_an_activation_that_reads_what_was_not_measured_is_not_false(waiting, condition):
    _, [decision] = fold(workload(PAIR, model="m"), [{"waiting": waiting, "running": None, "queued": 0}])
    assert decision.activation is condition


# ---- the law ---------------------------------------------------------------------------------------------------------

kinds = st.sampled_from(["certain", "partial", "failed", "missing"])
measurements = st.tuples(kinds, st.integers(0, 300))
events = st.sampled_from(
    ["tick"] * 12 + ["lost", "restart", "restart with history", "edit file", "edit trigger", "take over"]
)
steps = st.lists(st.tuples(events, measurements, measurements), min_size=1, max_size=40)


def taken(measurement):
    kind, value = measurement
    return {
        "certain": value,
        "partial": Reading(value, START, answered=1, expected=3),
        "failed": "timed out",
        "missing": None,
    }[kind]


class Cluster:
    """Two processes of ours, of which KEDA asks one, and an HPA that does at once what it is told."""

    def __init__(self, text, replicas_known):
        self.specs = [workload(text), workload(text.replace("target: 10", "target: 25"))]
        self.spec = self.specs[0]
        self.known = replicas_known
        self.states = [State(), State()]  # of who is asked, and of the standby
        self.seen = []  # what a history would show
        self.replicas, self.active = 1, True

    def step(self, event, measurements, now):
        """Play one tick: what stood before, what is answered, and whether on certain data; None where it is lost."""
        if event == "lost":
            return None
        if event == "restart":
            self.states[0] = State()
        if event == "restart with history":
            self.states[0] = self.history(now)
        if event == "take over":
            self.states.reverse()
        if event in {"edit file", "edit trigger"}:
            self.spec = self.specs[1 - self.specs.index(self.spec)]
            self.states = [inherited([state]) for state in self.states]
        decisions = [self.fold(index, measurement, now) for index, measurement in enumerate(measurements)]
        self.seen.append((now, measurements[0]))
        answer, before = decisions[0], (self.replicas, self.active)
        if answer.replicas is not None:
            self.replicas, self.active = answer.replicas, answer.active
        return before, answer, measurements[0][0] == "certain"

    def fold(self, index, measurement, now):
        """What one process makes of what it has measured itself."""
        given = row(now, load=taken(measurement), replicas=self.replicas if self.known else None)
        self.states[index], decision = decide(self.spec, self.states[index], given, now)
        return decision

    def history(self, now):
        """The state of a process that has read the last minute of history, in which no replicas are known."""
        state = State()
        for at, measurement in self.seen:
            if now - 60 <= at:
                state, _ = decide(self.spec, state, row(at, load=taken(measurement)), at)
                state = state if state.certain else replace(state, started=None)
        return state


@given(steps, st.sampled_from([LOAD, WINDOW, LOAD + "metricType: Value\n"]))
@settings(max_examples=150, deadline=None)
def test_no_answer_falls_but_on_certain_data_whatever_happens(happened, text):
    cluster = Cluster(text, replicas_known=True)
    for index, (event, mine, standby) in enumerate(happened):
        played = cluster.step(event, (mine, standby), START + index * 5)
        if played is None:
            continue
        (replicas, active), decision, certain = played
        if decision.replicas is not None and not certain:
            assert decision.replicas >= replicas, f"fell from {replicas} to {decision.replicas}: {decision.reason}"
            assert decision.active or not active, f"inactive on uncertain data: {decision.reason}"
        assert decision.uncertain_for <= cluster.spec.hold_for or decision.replicas is None, "holdFor has passed"


@given(steps, st.sampled_from([LOAD, WINDOW]), st.sampled_from(["edit", "restart with history"]))
@settings(max_examples=150, deadline=None)
def test_where_the_replicas_are_not_known_who_knows_nothing_of_before_says_nothing(happened, text, left_out):
    """A process without a past has no floor then, and gives no answer rather than a lower one.

    What a history shows does not tell that there was an edit, so of these two only one happens at a time.
    """
    cluster = Cluster(text, replicas_known=False)
    certain_data = False  # since the last answer: a history may show it where the process before could say nothing yet
    for index, (event, mine, _) in enumerate(happened):
        same_view = (mine, mine)  # a standby that sees something else, and no replicas, cannot know better
        played = cluster.step("tick" if event.startswith(left_out) else event, same_view, START + index * 5)
        if played is None:
            continue
        (replicas, active), decision, certain = played
        certain_data = certain_data or certain
        if decision.replicas is not None and not certain_data:
            assert decision.replicas >= replicas, f"fell from {replicas} to {decision.replicas}: {decision.reason}"
            assert decision.active or not active, f"inactive on uncertain data: {decision.reason}"
        certain_data = certain_data and decision.replicas is None
