"""KEDA and its HPA as timelines. The rules are those of KEDA 2.21.0; see scaler/cluster/keda.py for the files."""

import math
from dataclasses import replace

import pytest

from scaler.cluster.hpa import HpaRule
from scaler.cluster.keda import (
    Fallback,
    KedaState,
    KedaTrigger,
    Modifiers,
    Refusal,
    ScaledObject,
    ScalerAnswer,
    poll,
    polls_ask,
    push,
    reads,
    sync,
    wire,
)
from scaler.model.behavior import HpaState, TimedReplicas

NEW = KedaState(created=0.0)
SEEN = KedaState(created=0.0, last_active=1000.0)
BROKEN = Refusal("GetMetrics", "no Prometheus")
UNREACHABLE = Refusal("GetMetricSpec", "connection refused")
QUIET = ScalerAnswer(0, active=False)
BUSY = ScalerAnswer(7, active=True)


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
        (ScaledObject(), NEW, ScalerAnswer(0, active=True), 0, 9, (1, "KEDA")),
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
    _, _, event = sync(spec, replace(state, hpa=HpaState((TimedReplicas(0, -999),))), BROKEN, replicas, 15.0)
    assert (event.after if event else replicas) == wanted


def test_polls_and_syncs_count_failures_together_and_a_success_forgets_them():
    spec = ScaledObject(fallback=Fallback(4, failure_threshold=3))
    state = NEW
    for step in (poll, sync, poll):
        state, *_ = step(spec, state, BROKEN, 2, 0.0)
    assert state.failures == (3,)
    assert sync(spec, state, BROKEN, 2, 0.0)[1] == 4
    assert poll(spec, state, BUSY, 2, 0.0)[0].failures == (0,)


def test_a_failing_get_metric_spec_never_falls_back():
    spec, state = ScaledObject(fallback=Fallback(4, failure_threshold=0)), NEW
    for _ in range(9):
        state, replicas, _ = poll(spec, state, UNREACHABLE, 0, 0.0)
        assert (replicas, state.failures) == (0, (0,))


def test_falling_back_is_active_so_it_wakes_from_zero():
    _, replicas, event = poll(ScaledObject(fallback=Fallback(4, failure_threshold=0)), NEW, BROKEN, 0, 9.0)
    assert (replicas, event.why) == (1, "the trigger falls back")


def test_fallback_of_type_value_needs_a_ready_pod():
    spec = ScaledObject(metric_type="Value", target=2, fallback=Fallback(6, failure_threshold=0))
    state = replace(NEW, hpa=HpaState((TimedReplicas(0, -999),)))
    assert sync(spec, state, BROKEN, 3, 0.0, ready=3)[1] == 6
    assert sync(spec, state, BROKEN, 4, 0.0, ready=0)[1] == 4
    assert poll(spec, state, BROKEN, 0, 0.0)[1] == 0


def test_sync_follows_the_hpa_and_says_why():
    state, replicas, event = sync(ScaledObject(), NEW, ScalerAnswer(7, active=True), 1, 15.0)
    assert (replicas, event.by, event.before, event.after) == (4, "HPA", 1, 4)
    assert [reason.rule for reason in event.reasons] == [HpaRule.PROPOSED, HpaRule.LIMITED]
    assert state.hpa.recommendations == (TimedReplicas(1, 15.0), TimedReplicas(7, 15.0))


def test_inactive_does_not_stop_the_hpa():
    assert sync(ScaledObject(), NEW, ScalerAnswer(3, active=False), 1, 0.0)[1] == 3


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
    state = replace(NEW, hpa=HpaState((TimedReplicas(9, 0),)))
    assert sync(ScaledObject(paused=True), state, None, 3, 1.0)[0].hpa == HpaState()


@pytest.mark.parametrize(
    ("said", "arrives"),
    [(2.0, 2.0), (0.33349, 0.333), (-3.0, 0.0), (math.nan, 0.0), (math.inf, 0.0), (0.0004, 0.0)],
)
def test_what_reaches_the_hpa(said, arrives):
    assert wire(said) == arrives


# ---- 2.21: the HPA alone asks, several triggers, scalingModifiers ------------------------------------------------------

ALONE = ScaledObject(min_replica_count=1)


@pytest.mark.parametrize(
    ("spec", "alone"),
    [
        (ALONE, True),
        (ScaledObject(min_replica_count=0), False),
        (ScaledObject(min_replica_count=2, idle_replica_count=0), False),
        (ScaledObject(min_replica_count=2, triggers=(KedaTrigger("a"), KedaTrigger("b", cached=True))), False),
        (ScaledObject(min_replica_count=2, modifiers=Modifiers(lambda values: values["s0"], 1.0)), False),
    ],
)
def test_with_a_minimum_the_hpa_alone_asks(spec, alone):
    state, *_ = sync(spec, NEW, [BUSY] * len(spec.each), 2, 0.0)
    assert polls_ask(spec, state) is not alone
    assert polls_ask(spec, NEW), "nothing was observed yet"


def test_a_poll_that_does_not_ask_counts_no_failure_and_takes_what_the_hpa_was_told():
    spec = replace(ALONE, fallback=Fallback(4, failure_threshold=3))
    state, *_ = sync(spec, NEW, BUSY, 2, 0.0)
    state, *_ = poll(spec, state, BROKEN, 2, 5.0)
    assert (state.failures, state.last_active) == ((0,), 5.0)


def test_one_that_may_go_to_zero_is_asked_again_whatever_the_hpa_was_told():
    spec = ScaledObject(min_replica_count=0)
    state, *_ = sync(spec, NEW, QUIET, 1, 0.0)
    assert after(poll(spec, state, BUSY, 0, 5.0))[0] == 1


def test_it_asks_itself_while_the_hpa_reads_no_metric():
    state, *_ = sync(ALONE, NEW, BROKEN, 2, 0.0)
    assert polls_ask(ALONE, state)


def test_below_its_minimum_it_is_repaired_whoever_asks():
    state, *_ = sync(ScaledObject(min_replica_count=3), NEW, QUIET, 3, 0.0)
    assert after(poll(ScaledObject(min_replica_count=3), state, None, 1, 5.0)) == (3, "KEDA")


TWO = ScaledObject(triggers=(KedaTrigger("queue", 5.0), KedaTrigger("office", 1.0)), max_replica_count=20)


def test_of_several_triggers_the_largest_counts_and_any_activity_wakes():
    assert after(poll(TWO, NEW, [QUIET, ScalerAnswer(1, active=True)], 0, 9.0)) == (1, "KEDA")
    assert after(sync(TWO, SETTLED, [ScalerAnswer(10, active=True), ScalerAnswer(3, active=True)], 2, 300.0)) == (
        3,
        "HPA",
    )
    assert after(sync(TWO, SETTLED, [ScalerAnswer(35, active=True), ScalerAnswer(3, active=True)], 4, 300.0)) == (
        7,
        "HPA",
    )


def test_one_failing_trigger_holds_falls_and_lets_rises_through():
    assert after(sync(TWO, SETTLED, [BROKEN, ScalerAnswer(1, active=True)], 4, 300.0)) == (4, None)
    assert after(sync(TWO, SETTLED, [BROKEN, ScalerAnswer(6, active=True)], 4, 300.0)) == (6, "HPA")


def test_activity_beside_a_failing_trigger_wakes_but_does_not_renew_the_cooldown():
    state, *_ = poll(TWO, SEEN, [BROKEN, ScalerAnswer(1, active=True)], 3, 2000.0)
    assert state.last_active == SEEN.last_active
    assert after(poll(TWO, SEEN, [BROKEN, ScalerAnswer(1, active=True)], 0, 2000.0)) == (1, "KEDA")


def test_failures_are_counted_by_trigger():
    spec = replace(TWO, fallback=Fallback(6, failure_threshold=1))
    state, *_ = sync(spec, SETTLED, [BROKEN, ScalerAnswer(1, active=True)], 4, 300.0)
    assert state.failures == (1, 0)
    _, replicas, _ = sync(spec, state, [BROKEN, ScalerAnswer(1, active=True)], 4, 315.0)
    assert replicas == 6, "5 x 6 of the first trigger against 1 of the second"


SETTLED = replace(NEW, hpa=HpaState((TimedReplicas(0, -999),)))
SUM = Modifiers(lambda values: values["queue"] + values["office"], target=2.0, activation_target=3.0)
MADE = replace(TWO, modifiers=SUM)


def test_scaling_modifiers_give_one_metric_and_their_own_activation():
    assert after(sync(MADE, SETTLED, [ScalerAnswer(7, active=False), ScalerAnswer(3, active=False)], 3, 300.0)) == (
        5,
        "HPA",
    )
    assert after(poll(MADE, SEEN, [ScalerAnswer(2, active=True), ScalerAnswer(1, active=True)], 5, 9999.0)) == (
        0,
        "KEDA",
    )
    assert after(poll(MADE, SEEN, [ScalerAnswer(3, active=False), ScalerAnswer(1, active=False)], 0, 9999.0)) == (
        1,
        "KEDA",
    )


def test_scaling_modifiers_give_thousandths_and_cut_off_the_rest():
    """A sum of 4.9999 over 2 is 2.4995, and 7.0 over 2 is 3.5; both are rounded up by the HPA, and so is 6.0001 / 2 not."""
    for queue, replicas in ((4.9999, 3), (7.0, 4), (6.0001, 3)):
        seen = [ScalerAnswer(queue, active=True), ScalerAnswer(0, active=True)]
        assert after(sync(MADE, SETTLED, seen, 3, 300.0))[0] == replicas


def test_scaling_modifiers_with_an_error_hold_and_with_a_fallback_are_that():
    assert after(sync(MADE, SETTLED, [BROKEN, ScalerAnswer(30, active=True)], 3, 300.0)) == (3, None)
    spec = replace(MADE, fallback=Fallback(6, failure_threshold=0))
    assert after(sync(spec, SETTLED, [BROKEN, ScalerAnswer(30, active=True)], 4, 300.0)) == (6, "HPA")


def test_the_fallback_scaling_modifiers_gives_the_formula_nil():
    either = Modifiers(lambda values: values["queue"] if values["queue"] is not None else values["office"], target=1.0)
    spec = replace(TWO, modifiers=either, fallback=Fallback(9, failure_threshold=0, behavior="scalingModifiers"))
    assert after(sync(spec, SETTLED, [BROKEN, ScalerAnswer(5, active=True)], 3, 300.0)) == (5, "HPA")
    nil = replace(spec, modifiers=Modifiers(lambda values: None, target=2.0))
    assert after(sync(nil, SETTLED, [BROKEN, BROKEN], 5, 300.0)) == (9, "HPA")


@pytest.mark.parametrize(("push", "threshold", "comes_to"), [(True, 0, 6), (True, 1, 4), (False, 0, 4)])
def test_a_scaler_that_is_gone_falls_back_only_where_its_spec_was_streamed_and_no_error_came_first(
    push, threshold, comes_to
):
    spec = ScaledObject(min_replica_count=1, push=push, fallback=Fallback(6, failure_threshold=threshold))
    state, replicas, _ = sync(spec, SETTLED, ScalerAnswer(4, active=True), 4, 300.0)
    for turn in range(1, 9):
        state, replicas, _ = sync(spec, state, UNREACHABLE, replicas, 300.0 + 15.0 * turn)
    assert replicas == comes_to
