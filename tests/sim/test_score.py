"""The judge, on runs that are written down by hand."""

import pytest

from scaler.cluster.keda import Event
from scaler.sim.fleet import FleetSpec
from scaler.sim.hardware import hardware
from scaler.sim.play import FleetMoment, ScaleEvent, Timeline
from scaler.sim.replica import FinishedRequest
from scaler.sim.score import SloTarget, is_wrong, score
from scaler.sim.trace import Arrival

FLEET = FleetSpec(hardware("h100-70b-fp8-tp2"), startup=60.0)
SLO = SloTarget()


def served(at, *, wait=0.5, per_token=0.02, tokens=101, prompt=100):
    first = at + wait
    return FinishedRequest(Arrival(at, prompt, tokens), first, first + per_token * (tokens - 1), tokens)


def point(at, replica_seconds):
    return FleetMoment(at, None, 1, 1, 0, 0, 0, 0, 0, replica_seconds)


def run(done, *, changes=(), answers=(), points=(), unfinished=(), replica_seconds=7200.0):
    trace = tuple(sorted([request.arrival for request in done] + list(unfinished), key=lambda arrival: arrival.at))
    return Timeline(trace, tuple(points), tuple(changes), tuple(answers), tuple(done), 1000.0, replica_seconds)


def change(at, before, after, waiting=0):
    return ScaleEvent(Event(at, "HPA", before, after, ""), waiting)


@pytest.mark.parametrize(
    ("done", "met"),
    [
        (served(0.0), True),
        (served(0.0, wait=1.0), True),
        (served(0.0, wait=1.01), False),
        (served(0.0, per_token=0.051), False),
        (served(0.0, per_token=0.3, tokens=3), True),  # 0.6 s over 32 tokens
        (served(0.0, per_token=1.7, tokens=2), False),
        (FinishedRequest(Arrival(0.0, 1, 9), None, 0.0, 0, lost="refused"), False),
        (FinishedRequest(Arrival(0.0, 1, 9), 0.1, 0.2, 3, lost="its replica died"), False),
        (FinishedRequest(Arrival(0.0, 1, 9), None, 0.2, 0), False),
    ],
)
def test_the_promise(done, met):
    assert SLO.met(done) is met


def test_attainment_counts_the_lost_and_the_unfinished_as_missed():
    lost = FinishedRequest(Arrival(4.0, 1, 9), None, 5.0, 0, lost="refused")
    result = score(run([served(1.0), served(2.0, wait=9), lost], unfinished=[Arrival(3.0, 1, 9)]), FLEET, SLO)
    assert (result.requests, result.attainment, result.lost, result.unfinished) == (4, 0.25, 1, 1)


def test_the_worst_window():
    early = [served(float(at)) for at in range(0, 300, 10)]
    late = [served(float(at), wait=2.0 if at < 360 else 0.1) for at in range(300, 600, 20)]
    result = score(run(early + late), FLEET, SLO)
    assert result.worst_window == pytest.approx(12 / 15)
    assert result.attainment == pytest.approx(42 / 45)


def test_long_prompts_are_not_judged():
    assert score(run([served(0.0, prompt=8193, wait=60)]), FLEET, SLO).requests == 0


def test_nothing_to_judge_is_no_miss():
    result = score(run([]), FLEET, SLO)
    assert (result.attainment, result.worst_window) == (1.0, 1.0)


def test_the_warm_up_does_not_count():
    timeline = run(
        [served(10.0, wait=9), served(100.0)],
        changes=[change(20.0, 1, 2), change(200.0, 2, 1)],
        points=[point(40.0, 3600.0), point(70.0, 5400.0)],
    )
    result = score(timeline, FLEET, SLO, warmup=60.0)
    assert (result.requests, result.attainment) == (1, 1.0)
    assert (result.scale_ups, result.scale_downs) == (0, 1)
    assert result.replica_hours == 0.5
    assert score(timeline, FLEET, SLO, warmup=900.0).replica_hours == 0.0


def test_cost_is_replicas_times_gpus_times_price():
    result = score(run([]), FLEET, SLO)
    assert (result.replica_hours, result.gpu_hours) == (2.0, 4.0)
    assert result.cost == pytest.approx(4 * 3.5)


@pytest.mark.parametrize(
    ("waiting", "answers", "wrong"),
    [
        (0, [], False),
        (1, [], True),  # somebody waited
        (0, [(100.0, 5), (115.0, 4)], False),  # what was said at the time or before does not count
        (0, [(115.0, 4), (145.0, 5)], True),  # back at the former count within one cold start
        (0, [(160.0, 6)], True),
        (0, [(161.0, 6)], False),
    ],
)
def test_a_wrong_scale_down(waiting, answers, wrong):
    assert is_wrong(change(100.0, 5, 4, waiting), tuple(answers), startup=60.0) is wrong


def test_only_scale_downs_can_be_wrong_ones():
    timeline = run([], changes=[change(10.0, 1, 4, waiting=9), change(50.0, 4, 2, waiting=1), change(90.0, 2, 1)])
    result = score(timeline, FLEET, SLO)
    assert (result.scale_ups, result.scale_downs, result.wrong_scale_downs) == (1, 2, 1)
