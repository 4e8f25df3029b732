"""KEDA and its HPA as timelines. The rules are those of KEDA 2.20.2; see scaler/cluster/keda.py for the files."""

import math
from dataclasses import replace

import pytest

from scaler.cluster.hpa import HpaState, Rule, Sample
from scaler.cluster.keda import Answer, Fallback, KedaState, Refusal, ScaledObject, poll, push, reads, sync, wire

NEW = KedaState(created=0.0)
SEEN = KedaState(created=0.0, last_active=1000.0)
BROKEN = Refusal("GetMetrics", "no Prometheus")
UNREACHABLE = Refusal("GetMetricSpec", "connection refused")
QUIET = Answer(0, active=False)
BUSY = Answer(7, active=True)


def after(step):
    """The replicas of a step, and who changed them."""
    _, replicas, event = step
    return replicas, event and event.by


@pytest.mark.parametrize(
    ("spec", "state", "answer", "replicas", "now", "result"),
    [
        # from zero: to max(minReplicaCount, 1), whatever the value is
        (ScaledObject(), NEW, BUSY, 0, 9, (1, "KEDA")),
        (ScaledObject(min_replica_count=3), NEW, BUSY, 0, 9, (3, "KEDA")),
        (ScaledObject(), NEW, Answer(0, active=True), 0, 9, (1, "KEDA")),
        (ScaledObject(), NEW, QUIET, 0, 9, (0, None)),
        # active and already there: the HPA's business
        (ScaledObject(), NEW, BUSY, 2, 9, (2, None)),
        # to zero in one step, after the cooldown and not at its end
        (ScaledObject(), SEEN, QUIET, 5, 1300, (5, None)),
        (ScaledObject(), SEEN, QUIET, 5, 1301, (0, "KEDA")),
        (ScaledObject(cooldown_period=10), SEEN, QUIET, 5, 1011, (0, "KEDA")),
        # never active: only the initial cooldown counts, and it is zero
        (ScaledObject(), NEW, QUIET, 5, 1, (0, "KEDA")),
        (ScaledObject(initial_cooldown_period=60), NEW, QUIET, 5, 60, (5, None)),
        (ScaledObject(initial_cooldown_period=60), NEW, QUIET, 5, 61, (0, "KEDA")),
        # with a minimum KEDA does not lower, and repairs what is below it
        (ScaledObject(min_replica_count=2), SEEN, QUIET, 5, 9999, (5, None)),
        (ScaledObject(min_replica_count=2), SEEN, QUIET, 1, 1001, (2, "KEDA")),
        # idleReplicaCount: from idle to the minimum, and back
        (ScaledObject(min_replica_count=3, idle_replica_count=0), SEEN, BUSY, 1, 1001, (3, "KEDA")),
        (ScaledObject(min_replica_count=3, idle_replica_count=0), SEEN, BUSY, 3, 1001, (3, None)),
        (ScaledObject(min_replica_count=3, idle_replica_count=0), SEEN, QUIET, 5, 1301, (0, "KEDA")),
        (ScaledObject(min_replica_count=3, idle_replica_count=0), SEEN, QUIET, 0, 9999, (0, None)),
        # an error holds, at any time and any size
        (ScaledObject(), SEEN, BROKEN, 5, 9999, (5, None)),
        (ScaledObject(), NEW, BROKEN, 0, 9999, (0, None)),
        (ScaledObject(), SEEN, UNREACHABLE, 5, 9999, (5, None)),
        (ScaledObject(fallback=Fallback(4)), SEEN, BROKEN, 5, 9999, (5, None)),
        # but with fallback.replicas 0 it does not
        (ScaledObject(fallback=Fallback(0)), SEEN, BROKEN, 5, 9999, (0, "KEDA")),
        # paused, it does nothing at all
        (ScaledObject(paused=True), SEEN, QUIET, 5, 9999, (5, None)),
        (ScaledObject(paused=True), SEEN, BUSY, 0, 9999, (0, None)),
    ],
)
def test_poll(spec, state, answer, replicas, now, result):
    assert after(poll(spec, state, answer, replicas, now)) == result


def test_only_activity_moves_the_start_of_the_cooldown():
    for answer, last in ((BUSY, 40.0), (QUIET, 1000.0), (BROKEN, 1000.0)):
        state, *_ = poll(ScaledObject(), SEEN, answer, 3, 40.0)
        assert state.last_active == last


def test_push_wakes_from_zero_and_otherwise_only_counts_as_activity():
    state, replicas, event = push(ScaledObject(), NEW, 0, 7.0)
    assert (state.last_active, replicas, event.why) == (7.0, 1, "the trigger pushed")
    assert after(push(ScaledObject(), NEW, 4, 7.0)) == (4, None)
    assert push(ScaledObject(paused=True), NEW, 0, 7.0) == (NEW, 0, None)


@pytest.mark.parametrize(
    ("behavior", "replicas", "wanted"),
    [
        ("static", 2, 4),
        ("static", 9, 4),
        ("currentReplicas", 9, 9),
        ("currentReplicasIfHigher", 2, 4),
        ("currentReplicasIfHigher", 9, 9),
        ("currentReplicasIfLower", 2, 2),
        ("currentReplicasIfLower", 9, 4),
    ],
)
@pytest.mark.parametrize("target", [1, 5, 0.3])
def test_fallback_after_more_failures_than_the_threshold(behavior, replicas, wanted, target):
    spec = ScaledObject(target=target, fallback=Fallback(4, failure_threshold=1, behavior=behavior))
    state, held, event = sync(spec, NEW, BROKEN, replicas, 0.0)
    assert (held, event) == (replicas, None)
    _, _, event = sync(spec, replace(state, hpa=HpaState((Sample(0, -999),))), BROKEN, replicas, 15.0)
    assert (event.after if event else replicas) == wanted


def test_polls_and_syncs_count_failures_together_and_a_success_forgets_them():
    spec = ScaledObject(fallback=Fallback(4, failure_threshold=3))
    state = NEW
    for step in (poll, sync, poll):
        state, *_ = step(spec, state, BROKEN, 2, 0.0)
    assert state.failures == 3
    assert sync(spec, state, BROKEN, 2, 0.0)[1] == 4
    assert poll(spec, state, BUSY, 2, 0.0)[0].failures == 0


def test_a_failing_get_metric_spec_never_falls_back():
    spec, state = ScaledObject(fallback=Fallback(4, failure_threshold=0)), NEW
    for _ in range(9):
        state, replicas, _ = poll(spec, state, UNREACHABLE, 0, 0.0)
        assert (replicas, state.failures) == (0, 0)


def test_falling_back_is_active_so_it_wakes_from_zero():
    _, replicas, event = poll(ScaledObject(fallback=Fallback(4, failure_threshold=0)), NEW, BROKEN, 0, 9.0)
    assert (replicas, event.why) == (1, "the trigger falls back")


def test_fallback_of_type_value_needs_a_ready_pod():
    spec = ScaledObject(metric_type="Value", target=2, fallback=Fallback(6, failure_threshold=0))
    state = replace(NEW, hpa=HpaState((Sample(0, -999),)))
    assert sync(spec, state, BROKEN, 3, 0.0, ready=3)[1] == 6
    assert sync(spec, state, BROKEN, 4, 0.0, ready=0)[1] == 4
    assert poll(spec, state, BROKEN, 0, 0.0)[1] == 0


def test_sync_follows_the_hpa_and_says_why():
    state, replicas, event = sync(ScaledObject(), NEW, Answer(7, active=True), 1, 15.0)
    assert (replicas, event.by, event.before, event.after) == (4, "HPA", 1, 4)
    assert [reason.rule for reason in event.reasons] == [Rule.PROPOSED, Rule.LIMITED]
    assert state.hpa.recommendations == (Sample(1, 15.0), Sample(7, 15.0))


def test_inactive_does_not_stop_the_hpa():
    assert sync(ScaledObject(), NEW, Answer(3, active=False), 1, 0.0)[1] == 3


def test_an_error_holds_the_hpa():
    assert after(sync(ScaledObject(), NEW, BROKEN, 3, 0.0)) == (3, None)


@pytest.mark.parametrize(
    ("spec", "replicas", "asked", "size"),
    [
        (ScaledObject(), 0, False, 0),
        (ScaledObject(max_replica_count=4), 6, False, 4),
        (ScaledObject(min_replica_count=2), 1, False, 2),
        (ScaledObject(), 3, True, None),
        (ScaledObject(paused=True), 3, False, 3),
    ],
)
def test_the_hpa_asks_only_within_its_bounds(spec, replicas, asked, size):
    assert reads(spec, replicas) is asked
    if not asked:
        assert sync(spec, NEW, None, replicas, 0.0)[1] == size


def test_an_hpa_after_a_pause_remembers_nothing():
    state = replace(NEW, hpa=HpaState((Sample(9, 0),)))
    assert sync(ScaledObject(paused=True), state, None, 3, 1.0)[0].hpa == HpaState()


@pytest.mark.parametrize(
    ("said", "arrives"),
    [(2.0, 2.0), (0.33349, 0.333), (-3.0, 0.0), (math.nan, 0.0), (math.inf, 0.0), (0.0004, 0.0)],
)
def test_what_reaches_the_hpa(said, arrives):
    assert wire(said) == arrives
