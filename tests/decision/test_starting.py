"""Replicas on their way, in timelines and in a world of arrivals; see scaler/decision/starting.py for the law."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.timelines import START, fold, row, said, workload

from scaler.decision.capacity import capacity
from scaler.decision.decide import decide
from scaler.decision.starting import DRAIN_SECONDS, learnt, starting_credit
from scaler.decision.state import State
from scaler.model.availability import Availability, BoundedCount
from scaler.model.measurement import TargetStatus
from scaler.model.objects import Pod, ScaledResource

LOAD = "name: load\nmetrics: {load: {prometheus: load}}\nformula: load\ntarget: 10\n"
OLD = START - 36_000  # a pod that was there for long


def pods(ready=0, starting=(), pending=(), took=60.0):
    """Pods; `starting` and `pending` hold how old each is."""
    own = [Pod(f"r{n}", "ready", OLD, ready_since=OLD + took) for n in range(ready)]
    own += [Pod(f"s{n}", "starting", START - age) for n, age in enumerate(starting)]
    return (*own, *(Pod(f"p{n}", "pending", START - age) for n, age in enumerate(pending)))


def told(own, current=None, doubt=""):
    count = lambda *states: sum(pod.state in states for pod in own)  # noqa: E731
    known = TargetStatus(
        current=len(own) if current is None else current,
        ready=count("ready"),
        starting=count("starting"),
        pending=count("pending"),
        ever_ready=count("ready", "unready"),
        stale_reason=doubt,
    )
    scaled = ScaledResource(
        "ScaledObject", "team", "llama", "1", 1, (), (), "Deployment llama", 0, 999, pods=tuple(own)
    )
    return {"replicas": known, "scaled": scaled}


def decided(load, own, text=LOAD, **more):
    return fold(workload(text), [{"load": load, **told(own, **more)}])[1][-1]


def test_what_waits_for_replicas_on_their_way_is_not_ordered_again():
    decision = decided(200, pods(ready=2, starting=[60, 90], took=300))
    assert (decision.desired, decision.replicas) == (20, 15)
    assert decision.reason == (
        "15 replicas, not 20, since 5.0 replicas' worth of load waits for the 2 on the way for 1m30s: load = 200, at 10 a replica"
    )


@pytest.mark.parametrize(
    ("own", "replicas"),
    [
        (pods(ready=4), 20),  # nothing is on its way
        (pods(ready=2, starting=[-30, -30]), 20),  # by a clock that is ahead of ours
        (pods(ready=2, starting=[0, 0]), 20),  # it has only just been ordered: so far nobody waits for it
        (pods(ready=2, starting=[60], pending=[60]), 16),  # without a node, and on its way
        (pods(starting=[400]), 20 - 13),  # nobody is ready, so nobody knows how long it takes
        (pods(starting=[901]), 20),  # longer than the limit
        (pods(ready=1, starting=[399], took=200), 20 - 13),
        (pods(ready=1, starting=[401], took=200), 20),  # more than twice as long as the other one took
        (pods(ready=1, starting=[299], took=10), 20 - 9),  # that one needed no new machine, perhaps
        (pods(ready=1, starting=[301], took=10), 20),
        (pods(ready=2, starting=[110] * 9), 11),  # never fewer than there are
        (pods(starting=[300] * 30), 20),  # less is asked for than there is
    ],
)
def test_a_replica_counts_for_as_long_as_it_is_believed_to_come(own, replicas):
    assert decided(200, own).replicas == replicas


def test_pods_that_replace_others_have_nobody_waiting_for_them():
    assert decided(200, pods(ready=10, starting=[50, 50]), current=10).replicas == 20, "a rollout with surge"
    assert decided(200, pods(ready=9, starting=[50, 50]), current=10).replicas == 19, "one is missing"


def test_one_that_never_comes_is_said():
    decision = decided(200, pods(ready=1, starting=[500], took=200))
    assert (decision.starting.late, decision.starting.took, decision.starting.limit) == (1, 200, 400)


@pytest.mark.parametrize(
    "more",
    [{"doubt": "Kubernetes was last heard 50s ago"}, {"text": LOAD + "startup: 0s\n"}],
)
def test_where_it_is_not_known_or_not_wanted_nothing_is_left_out(more):
    decision = decided(200, pods(ready=2, starting=[60, 60]), **more)
    assert (decision.replicas, decision.starting) == (20, None)


def test_pods_that_are_not_known_leave_nothing_out():
    assert fold(workload(LOAD), [{"load": 200, "replicas": TargetStatus(4, 2, 2)}])[1][0].replicas == 20


@pytest.mark.parametrize(
    ("expression", "waits"),
    [
        ("waiting", True),
        ("time_to_first_token", True),
        ("running", False),
        ("kv_cache_usage", False),
        ("generation_tokens_per_second", False),
        ("generation_tokens_per_second + queued", True),
    ],
)
def test_where_nothing_piles_up_nothing_waits_for_them(expression, waits):
    assert workload(expression=expression, target="1", model="m").startup_limit == (900 if waits else 0)


def test_a_trigger_says_how_long_it_is_waited_for():
    assert (workload(LOAD).startup, workload(LOAD, startup="20m").startup) == (900, 1200)


def test_what_was_left_out_fades_when_they_have_come():
    """Two replicas that took 60 s: nothing is left of what waited for them after 30 s."""
    loading = told(pods(ready=2, starting=[60, 60]))
    came = told((*pods(ready=2), *(Pod(name, "ready", START - 60, ready_since=START + 5) for name in "ab")))
    _, decisions = fold(workload(LOAD), [{"load": 200, **loading}] + [{"load": 200, **came}] * 7)
    assert [decision.replicas for decision in decisions] == [16, 16, 17, 18, 18, 19, 20, 20]
    assert "4.0 replicas' worth of load has waited for those that have just come" in decisions[1].reason


def test_one_that_is_given_up_does_not_fade():
    rows = [{"load": 200, **told(pods(ready=2, starting=[295]))}] * 3
    assert said(fold(workload(LOAD), rows)[1]) == [(11, True), (10, True), (20, True)]


def test_who_waits_for_a_machine_in_vain_is_not_on_the_way():
    """A pool that was out of stock is back: all that is asked for is ordered at once."""
    none = BoundedCount(None)
    has = lambda places: Availability("1 gpu", BoundedCount(places), none, none, BoundedCount(0), none)  # noqa: E731
    of = told(pods(ready=2, pending=[500]))
    rows = [{"load": 200, "available": has(places), **of} for places in (0, 0, 30, 30)]
    _, decisions = fold(workload(LOAD + "capacity: clamp\n"), rows)
    assert [decision.replicas for decision in decisions] == [3, 3, 20, 20]
    assert decisions[3].starting.owed == pytest.approx(10 / DRAIN_SECONDS), "it is on its way since then"


# ---- a world ---------------------------------------------------------------------------------------------------------


def world(rate, loads_for, startup, *, rates=None, each=3.0, span=1800.0):
    """Requests come, so many a second, to replicas that end `each` a second; what is asked for is ordered at once.

    Returns the most replicas, and the second at which nobody waits any more.
    """
    spec, state = workload(LOAD + f"startup: {startup}\n"), State()
    born, queue, most, drained = [], 0.0, 0, None
    for step in range(int(span / 5)):
        at = step * 5.0
        ready = [since for since in born if at - since >= loads_for]
        queue = max(queue + 5 * (rate if rates is None else rates(at)) - 5 * each * len(ready), 0.0)
        own = [
            Pod(str(n), "ready", START + since, ready_since=START + since + loads_for)
            if since in ready
            else Pod(str(n), "starting", START + since)
            for n, since in enumerate(born)
        ]
        state, decision = decide(spec, state, row(START + at, load=queue, **told(own)), START + at)
        born += [at] * max((decision.replicas or 0) - len(born), 0)
        most = max(most, len(born))
        drained = at if ready and not queue and drained is None else drained
    return most, drained


def test_a_slow_model_load_does_not_multiply_replicas():
    naive, soonest = world(6.0, 300.0, "0s")
    most, drained = world(6.0, 300.0, "15m")
    assert naive > 150, "6 requests/s for 5 minutes, at 10 a replica"
    assert most < 25, "and 3 replicas would carry them"
    assert drained < soonest + 120


def test_a_second_burst_while_the_first_is_waited_for_is_ordered_then():
    most, _ = world(0.0, 300.0, "15m", rates=lambda at: 3.0 if at < 60 else 60.0)
    assert most >= 60 / 3.0


def test_replicas_that_load_within_a_tick_change_nothing():
    assert world(6.0, 5.0, "15m") == world(6.0, 5.0, "0s")


# ---- the law ---------------------------------------------------------------------------------------------------------

ages = st.lists(st.floats(0, 2000), max_size=8)


@given(
    asked=st.integers(0, 300),
    ready=st.integers(0, 8),
    starting=ages,
    pending=ages,
    took=st.floats(1, 1000),
    limit=st.floats(1, 1500),
    current=st.integers(0, 20),
)
def test_growth_alone_is_limited_and_by_no_more_than_what_can_have_waited(
    asked, ready, starting, pending, took, limit, current
):
    inputs = row(START, **told(pods(ready, starting, pending, took), current=current))
    _, account = starting_credit(limit, None, inputs, None, START)
    answer = account.within(asked)
    assert min(asked, current) <= answer <= asked, "never below what is there, never above what is asked for"
    assert answer >= asked - account.replicas * account.limit / DRAIN_SECONDS
    assert account.replicas <= max(current - ready, 0)
    if not account.replicas:
        assert answer == asked
    assert account.within(asked + 1) >= answer, "more load never asks for less"


@given(load=st.lists(st.integers(0, 300), min_size=2, max_size=30), starting=ages, ready=st.integers(0, 5))
def test_it_falls_as_it_would_without(load, starting, ready):
    of = told(pods(ready, starting))
    rows = [{"load": value, **of} for value in load]
    _, limited = fold(workload(LOAD), rows)
    for value, decision in zip(load, limited, strict=True):
        asked = math.ceil(value / 10)
        assert decision.replicas <= asked
        if asked <= of["replicas"].current:
            assert decision.replicas == asked


def test_with_nothing_reckoned_of_machines_all_count():
    inputs = row(START, **told(pods(ready=1, pending=[100])))
    assert starting_credit(900, None, inputs, capacity("off", inputs, START), START)[1].replicas == 1


@pytest.mark.parametrize(
    ("spans", "took"), [([0], 0), ([900], 900), ([901], None), ([-1], None), ([10, 20, 2000], 15), ([], None)]
)
def test_a_start_up_that_takes_no_longer_than_is_waited_for_is_learnt(spans, took):
    assert learnt([Pod(str(span), "ready", START, ready_since=START + span) for span in spans], 900) == took


def test_of_those_that_have_only_just_been_ordered_nothing_waits_and_of_none_nothing_is_old():
    ahead = decided(200, pods(ready=2, starting=[-30, 0])).starting
    assert (ahead.replicas, ahead.owed, ahead.oldest) == (2, 0.0, 0.0)
    nobody = decided(200, pods(ready=2)).starting
    assert (nobody.replicas, nobody.owed, nobody.oldest) == (0, 0.0, 0.0)
