"""A policy over a trace: what a run shows, and that it goes as KEDA and the HPA would have it."""

import pytest

from scaler.cluster.keda import Refusal, ScaledObject, ScalerAnswer
from scaler.sim import trace
from scaler.sim.fleet import FleetSpec
from scaler.sim.hardware import hardware
from scaler.sim.loop import Latest, World, fixed, queue_length, run
from scaler.sim.trace import Arrival

FLEET = FleetSpec(hardware("a100-8b-bf16"), startup=30.0)
QUIET_THEN_BUSY = trace.merge(trace.ramp(0, 60, first=0.1, last=0.1), trace.ramp(60, 240, first=2, last=40, seed=1))


class Script:
    """A policy that says what is written for a time; remembers when it was asked, and the age of what it had seen."""

    def __init__(self, say):
        self.say, self.asked, self.ages, self.seen = say, [], [], None

    def observe(self, snapshot):
        self.seen = snapshot

    def answer(self, now):
        self.asked.append(now)
        self.ages.append(now - self.seen.at if self.seen else None)
        return self.say(now)


def test_a_fixed_fleet_is_never_scaled():
    world = World(FLEET, ScaledObject(min_replica_count=3, max_replica_count=3), ready=3)
    seen = run(world, QUIET_THEN_BUSY, Latest(fixed(3)))
    assert seen.changes == ()
    assert {point.desired for point in seen.points} == {3}
    assert seen.replica_seconds == pytest.approx(3 * seen.end)
    assert len(seen.done) == len(QUIET_THEN_BUSY)


def test_keda_wakes_the_hpa_raises_and_keda_puts_to_sleep():
    def say(now):
        return ScalerAnswer(3, active=True) if 100 <= now < 400 else ScalerAnswer(0, active=False)

    seen = run(World(FLEET, ScaledObject(cooldown_period=60), drain=900), (Arrival(1.0, 10, 10),), Script(say))
    events = [(change.event.at, change.event.by, change.event.before, change.event.after) for change in seen.changes]
    assert events == [(120.0, "KEDA", 0, 1), (120.0, "HPA", 1, 3), (480.0, "KEDA", 3, 0)]
    assert seen.changes[0].waiting == 1  # the request waits at the gateway until somebody wakes
    assert seen.done[0].ttft == pytest.approx(120 - 1 + 30, abs=8)


def test_a_sample_is_some_seconds_old_and_nobody_asks_the_hpa_at_zero():
    policy = Script(lambda _: ScalerAnswer(0, active=False))
    run(World(FLEET, ScaledObject(), drain=90), (), policy)
    assert policy.asked == [0, 30, 60, 90]
    assert policy.ages == [None, 5, 5, 5]


def test_the_queue_rule_follows_the_load_up_and_down():
    world = World(FLEET, ScaledObject(min_replica_count=1, target=5), ready=1, drain=900)
    seen = run(world, QUIET_THEN_BUSY, Latest(queue_length))
    assert max(point.desired for point in seen.points) > 3
    assert seen.points[-1].desired == 1
    assert max(point.waiting for point in seen.points) > 5
    assert max(wanted for _, wanted in seen.answers) > 3


def test_nothing_measured_is_a_refusal_and_holds():
    assert Latest(queue_length).answer(0.0) == Refusal("GetMetrics", "nothing was measured by 0 s")
    seen = run(World(FLEET, ScaledObject(), ready=2), (), Script(lambda _: Refusal("GetMetrics", "no")))
    assert (seen.changes, seen.answers) == ((), ())
    assert {(point.desired, point.wanted) for point in seen.points} == {(2, None)}


def test_a_value_means_ready_replicas_times_the_ratio():
    world = World(FLEET, ScaledObject(metric_type="Value", target=10), ready=2, drain=30)
    seen = run(world, (), Script(lambda _: ScalerAnswer(20, active=True)))
    assert seen.answers[0] == (0.0, 4)
    assert [(change.event.before, change.event.after) for change in seen.changes] == [(2, 4)]


def test_arrivals_after_the_last_tick_are_played_too():
    world = World(FLEET, ScaledObject(min_replica_count=1), ready=1, drain=2)
    seen = run(world, (Arrival(1.0, 10, 2), Arrival(17.0, 10, 2)), Latest(fixed(1)))
    assert (len(seen.done), seen.end) == (2, 19.0)


def test_equal_runs_are_equal():
    world = World(FLEET, ScaledObject(min_replica_count=1, target=5), ready=1, seed=7)
    first, second = (run(world, QUIET_THEN_BUSY, Latest(queue_length)) for _ in range(2))
    assert first == second
