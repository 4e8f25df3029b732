"""Replays as timelines: the triggers' rules, the HPA's and KEDA's together, over what was measured."""

from dataclasses import replace

from support.backtests import START, cron, ours, prometheus, record, subject

from scaler.model.measurement import Failure, PromqlQuery, Reading
from scaler.sim.backtest.record import Record
from scaler.sim.backtest.replay import SHORTEST_WARMUP, ReplayTarget, Timing, replay, warmup_of

AT_ONCE = {"horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}}}
NOW = Timing(warmup=0.0)


def played(values, *triggers, replicas=None, timing=NOW, step=15.0, **spec):
    spec.setdefault("advanced", AT_ONCE)
    read = subject(*(triggers or (prometheus(),)), **spec)
    was = replicas if replicas is not None else [1] * len(values)
    return replay(read, record(values, replicas=was, step=step), timing)


def test_keda_s_prometheus_trigger_through_the_hpa():
    run = played([5, 5, 18, 18, 4, 4])
    assert run.replicas == (1, 1, 1, 4, 4, 1), "18 / 5 are 4 replicas, one look of the HPA later"
    assert [(event.by, event.before, event.after) for event in run.events] == [("HPA", 1, 4), ("HPA", 4, 1)]


def test_what_is_absent_is_zero_unless_the_trigger_says_otherwise():
    assert played([20, 20, None, None, None]).replicas[-1] == 1
    assert played([20, 20, None, None, None], prometheus(ignoreNullValues="false")).replicas[-1] == 4


def test_a_failing_query_holds():
    broken = [Failure("cannot be reached", START)] * 20
    assert set(played([20, 20, *broken]).replicas[2:]) == {4}


def test_from_zero_by_keda_and_back_after_the_cooldown():
    run = played(
        [0, 0, 9, 9, 0, 0, 0, 0, 0, 0], replicas=[0] * 10, minReplicaCount=0, cooldownPeriod=60, pollingInterval=15
    )
    assert [(event.by, event.before, event.after) for event in run.events] == [
        ("KEDA", 0, 1),
        ("HPA", 1, 2),
        ("HPA", 2, 1),
        ("KEDA", 1, 0),
    ]
    [woken, *_, slept] = run.events
    assert (woken.at, slept.at) == (START + 30, START + 120), "the last activity was 45 s after the start"


def test_an_idle_count_is_left_for_the_minimum():
    run = played(
        [0, 9, 0, 0], replicas=[0] * 4, minReplicaCount=3, idleReplicaCount=0, cooldownPeriod=0, pollingInterval=15
    )
    assert [event.after for event in run.events] == [3, 0]


def test_a_cron_trigger_beside_another():
    """The record begins at 08:00 UTC."""
    values = [5.0] * 61
    run = played(values, prometheus(), cron(start="5 8 * * *", end="10 8 * * *", replicas="4"))
    assert run.replicas[20] == 1
    assert run.replicas[21] == 4
    assert run.replicas[41] == 1


def test_scaling_modifiers_make_one_metric():
    made = {"scalingModifiers": {"formula": "queue / 10", "target": "1"}, **AT_ONCE}
    assert played([40] * 4, prometheus(name="queue"), advanced=made).replicas[-1] == 4


def test_behavior_limits_the_way_up():
    slow = {
        "horizontalPodAutoscalerConfig": {
            "behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}}
        }
    }
    run = played([50] * 10, advanced=slow)
    assert run.replicas == (1, 2, 2, 2, 2, 3, 3, 3, 3, 4), "one pod a minute"


def test_during_the_warm_up_there_are_the_replicas_that_there_were():
    run = played([5.0] * 8, replicas=[3, 3, 4, 4, 9, 9, 9, 9], timing=Timing(warmup=45.0))
    assert run.replicas == (3, 3, 4, 4, 1, 1, 1, 1)
    assert run.judged == 3


def test_the_warm_up_is_as_long_as_anything_remembers():
    assert warmup_of(subject(prometheus(), minReplicaCount=1)) == SHORTEST_WARMUP
    assert warmup_of(subject(prometheus(), minReplicaCount=0, cooldownPeriod=900)) == 900
    assert warmup_of(subject(prometheus(), advanced=AT_ONCE)) == 0
    assert warmup_of(subject(ours(formula="token-latency", target=""), advanced=AT_ONCE)) >= 60


def test_our_trigger_is_the_fold_that_serves():
    """What runs is taken over 30 s, so a jump shows in the answer bit by bit."""
    read = subject(ours(scaleDown="off"), advanced=AT_ONCE)
    times = [START + 5.0 * tick for tick in range(24)]
    series = {}
    for query in read.queries:
        name = getattr(query, "signal", "")
        load = [0.0 if at < START + 30 else 32.0 for at in times]
        zero = [Reading(0.0, at) for at in times]
        series[query] = (
            [Reading(value, at) for value, at in zip(load, times, strict=True)] if name == "running" else zero
        )
    past = Record("demo", "llama", START, 5.0, 24, {}, [1] * 24, [], series)
    run = replay(read, past, replace(NOW, startup=0.0))
    assert run.replicas[0] == 1
    assert run.replicas[-1] == 4, "32 running at 8 each"
    assert sorted(run.replicas) == list(run.replicas)


def test_what_the_record_does_not_hold_is_no_zero():
    read = subject(prometheus("other"), advanced=AT_ONCE)
    assert set(replay(read, record([0.0] * 30, replicas=[4] * 30), NOW).replicas) == {4}


def test_how_many_pods_answered_is_of_the_pods_that_there_were():
    """One pod answered of the one that there was; of the three that the replay has, two would be missing for ever."""
    read = subject(ours(scaleDown="off"), advanced=AT_ONCE)
    times = [START + 5.0 * tick for tick in range(60)]
    load = [24.0 if tick < 20 else 0.0 for tick in range(60)]
    series = {
        query: [
            Reading(value if getattr(query, "signal", "") == "running" else 0.0, at, answered=1)
            for at, value in zip(times, load, strict=True)
        ]
        for query in read.queries
    }
    run = replay(read, Record("demo", "llama", START, 5.0, 60, {}, [1] * 60, [], series), replace(NOW, startup=0.0))
    assert max(run.replicas) == 3
    assert run.replicas[-1] == 1


def test_replicas_are_ready_after_their_start_up_and_the_newest_goes_first():
    target = ReplayTarget(startup=60.0)
    target.scale(1, 0.0, at_once=True)
    target.scale(3, 100.0)
    assert [target.ready(at) for at in (100.0, 159.0, 160.0)] == [1, 1, 3]
    target.scale(2, 200.0)
    assert target.pods == [(0.0, 0.0), (100.0, 160.0)]
    assert PromqlQuery("default", "load") in record([1.0]).series
