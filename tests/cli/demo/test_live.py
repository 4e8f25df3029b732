"""The live world: the same as loop.py's, driven from outside."""

from dataclasses import replace

import pytest
from support.fleets import by_load, drive

from scaler.cli.demo.baselines import THRESHOLD, compare, verdict
from scaler.cli.demo.live import LiveWorld
from scaler.cli.demo.scenario import SHORTEST, scenario
from scaler.cluster.keda import Refusal, ScalerAnswer
from scaler.sim.play import Incidents
from scaler.sim.score import score


@pytest.fixture(scope="module")
def played():
    return drive(LiveWorld(scenario(SHORTEST)), by_load)


def test_it_goes_from_0_up_and_back(played):
    assert played.over
    assert played.scaled_up_and_down
    assert played.changes[0].event.by == "KEDA"
    assert played.changes[-1].event.after == 0
    assert max(view.ready for view in played.views) >= 4


def test_every_request_is_somewhere_at_every_time(played):
    for view in played.views:
        arrived = sum(one.at <= view.at for one in played.trace)
        assert arrived == view.queued + view.waiting + view.running + view.finished + view.lost


def test_what_happened_is_a_timeline_that_can_be_scored(played):
    timeline, plan = played.timeline(), played.scenario
    found = score(timeline, plan.fleet, plan.slo)
    assert found.requests == len(plan.trace)
    assert found.unfinished == 0
    assert found.cost == pytest.approx(played.views[-1].cost)
    assert timeline.answers


def test_the_others_are_played_on_the_same_requests(played):
    ours, slo, fixed, queue = compare(played)
    assert ours.score.requests == slo.score.requests == fixed.score.requests == queue.score.requests
    assert fixed.score.replica_hours == pytest.approx(ours.score.replica_hours, rel=0.35)  # whole replicas
    assert (fixed.score.scale_ups, fixed.score.scale_downs) == (0, 0)
    assert queue.name.endswith(f"{THRESHOLD:g}")


def test_slo_is_played_beside_it_from_0_up_and_back_through_the_same_incidents(played):
    _, slo, *_ = compare(played)
    sizes = [change.event.after for change in slo.timeline.changes]
    assert max(sizes) > 1
    assert sizes[-1] == 0
    assert slo.score.unfinished == 0
    assert slo.score.attainment > 0.9
    ((start, end),) = played.happened.outages
    falls = [one.event for one in slo.timeline.changes if one.event.after < one.event.before]
    assert not [fall for fall in falls if start < fall.at < end]
    assert slo.timeline.changes[0].event.why == "the trigger pushed"


def test_the_words_say_which_of_the_two_served_more_and_cost_less(played):
    ours, slo, *others = compare(played)
    score = replace(ours.score, attainment=0.95, cost=5.0)
    words = []
    for share, cost in ((0.99, 4.0), (0.95, 6.0), (0.9, 5.1)):
        beside = replace(slo, score=replace(score, attainment=share, cost=cost))
        words.append(verdict((replace(ours, score=score), beside, *others)))
    assert "more requests in time (99.0% and 95.0%) for less ($4.00 and $5.00)" in words[0]
    assert "as many requests in time (95.0%) for more ($6.00 and $5.00)" in words[1]
    assert "fewer requests in time (90.0% and 95.0%) for more ($5.10 and $5.00)" in words[2]


def test_a_fleet_that_never_grew_was_not_scaled():
    live = drive(LiveWorld(scenario(SHORTEST)), lambda _view: ScalerAnswer(0.0, active=False), until=120)
    assert not live.scaled_up_and_down
    assert not live.over  # requests wait at the gateway


def test_a_push_wakes_from_0_between_two_polls():
    live = LiveWorld(scenario(SHORTEST))
    live.advance(7.0)
    live.push()
    assert (live.fleet.desired, live.changes[0].event.why) == (1, "the trigger pushed")


def test_a_refusal_leaves_everything_as_it_is():
    live = drive(LiveWorld(scenario(SHORTEST)), by_load, until=150)
    replicas = live.fleet.desired
    live.poll(Refusal("GetMetrics", "UNAVAILABLE"))
    assert live.observe().wanted is None
    assert live.fleet.desired == replicas > 0


def test_incidents_come_at_their_time():
    incidents = Incidents(kills=(150.0,), outages=((160.0, 170.0),), bursts=(100.0,))
    live = drive(LiveWorld(scenario(SHORTEST, incidents)), by_load, until=200)
    assert [(round(at), what.split()[0]) for at, what in live.notes] == [(100, "more"), (150, "replica"), (160, "the")]
    assert [view.at for view in live.views if view.metrics_down] == [float(at) for at in range(160, 170)]
    assert len(live.trace) > 1000 + len(scenario(SHORTEST).trace)


def test_the_metrics_can_be_given_back():
    live = LiveWorld(scenario(SHORTEST))
    live.take_metrics(50.0)
    assert live.dark
    live.give_metrics()
    assert not live.dark


def test_nobody_there_cannot_be_killed():
    live = LiveWorld(scenario(SHORTEST))
    live.kill()
    assert live.notes == []


def test_a_wrong_scale_down_is_counted():
    plan = replace(scenario(SHORTEST, Incidents()), incidents=Incidents())
    live = drive(LiveWorld(plan), lambda view: replace(by_load(view), value=4.0 if view.at % 120 < 90 else 1.0))
    assert score(live.timeline(), plan.fleet, plan.slo).wrong_scale_downs > 0
