"""How fast a replica answers by its load: learnt from a few minutes, it foretells the load that is too much."""

import random

import numpy as np
import pytest

from scaler.policy.speed import FEW, Flow, Speed, learnt, sure

NEW = Speed()
IDLE, OUTPUT, PROMPT = 75.0, 0.012, 0.004  # of the replica that is learnt
ITL = 0.05  # seconds a token: 20 tokens/s


def true_speed(flow):
    return IDLE - OUTPUT * flow.output - PROMPT * flow.prompt


def minutes(flows, *, known=NEW, ready=1.0, off=0.0, each=60.0):
    """Learn from minutes with these flows of a replica, which are `off` times as fast as they should be."""
    for flow in flows:
        total = flow.times(ready)
        known = learnt(known, total, total.output / (true_speed(flow) * (1 + off)), ready, each)
    return known


def test_one_minute_at_a_low_load_foretells_the_edge_about_as_the_worked_example_has_it():
    known = minutes([Flow(500.0, 2000.0)])
    edge = known.edge(ITL) / known.work(Flow(500.0, 2000.0))  # times as much as it does now
    assert edge == pytest.approx((IDLE - 20) / (OUTPUT * 500 + PROMPT * 2000), rel=0.3)


def test_loads_of_several_kinds_tell_what_each_token_takes():
    kinds = [Flow(2000.0, 500.0), Flow(300.0, 8000.0), Flow(1000.0, 4000.0), Flow(100.0, 400.0)]
    known = minutes(kinds * 400, ready=10.0)
    assert known.idle == pytest.approx(IDLE, rel=0.03)
    assert known.output == pytest.approx(OUTPUT, rel=0.15)
    assert known.prompt == pytest.approx(PROMPT, rel=0.1)
    assert known.shown(20.0, ITL) == pytest.approx(1.0, rel=0.05)
    assert known.shown(IDLE, ITL) == pytest.approx(0.0, abs=0.05)


def test_several_replicas_share_what_there_is():
    one, ten = (minutes([Flow(800.0, 3000.0)] * 20, ready=ready) for ready in (1.0, 10.0))
    assert ten.edge(ITL) == pytest.approx(one.edge(ITL), rel=0.02)


def test_a_minute_that_is_far_off_changes_little_and_many_of_them_do():
    before = minutes([Flow(800.0, 3000.0)] * 60, ready=10.0)
    once = minutes([Flow(800.0, 3000.0)], known=before, ready=10.0, off=-0.7)
    for_long = minutes([Flow(800.0, 3000.0)] * 120, known=before, ready=10.0, off=-0.7)
    assert once.edge(ITL) == pytest.approx(before.edge(ITL), rel=0.05)
    assert for_long.edge(ITL) < 0.7 * before.edge(ITL)


def test_what_it_is_faster_by_of_late_counts():
    before = minutes([Flow(800.0, 3000.0)] * 60, ready=10.0)
    after = minutes([Flow(800.0, 3000.0)] * 10, known=before, ready=10.0, off=0.15)
    assert after.edge(ITL) > before.edge(ITL) + 3


def test_few_requests_tell_less_than_many():
    before = minutes([Flow(800.0, 3000.0)] * 10, ready=10.0)
    moved = []
    for ready in (0.1, 10.0):
        after = minutes([Flow(800.0, 3000.0)] * 5, known=before, ready=ready, off=0.15)
        moved.append(after.edge(ITL) - before.edge(ITL))
    assert 0 <= moved[0] < 0.5 * moved[1]
    assert Flow(800.0, 3000.0).times(0.1).output / true_speed(Flow(800.0, 3000.0)) < FEW


def test_a_promise_that_a_lone_request_does_not_keep_leaves_an_edge_above_nothing():
    known = minutes([Flow(100.0, 400.0)])
    assert known.edge(0.001) > 0
    assert known.edge(10.0) < known.idle  # and a lax one is no reason to trust an engine that is full


def test_another_kind_of_replica_begins_with_a_little_of_it():
    old = minutes([Flow(800.0, 3000.0)] * 60, ready=10.0)
    assert old.guessed(0.02).edge(ITL) == old.edge(ITL)
    slower = minutes([Flow(800.0, 3000.0)] * 10, known=old.guessed(0.02), ready=10.0, off=-0.25)
    kept = minutes([Flow(800.0, 3000.0)] * 10, known=old, ready=10.0, off=-0.25)
    assert slower.idle < kept.idle


def test_the_worked_example():
    """Idle 75, 47 tokens/s under 1,000 generated and 4,000 prompted tokens a second: at 20 it is at 28 of 55."""
    known = Speed(idle=75.0, output=0.012, prompt=0.004)
    assert known.work(Flow(1000.0, 4000.0)) == pytest.approx(28.0)
    assert known.edge(ITL) == pytest.approx(55.0)
    assert known.shown(47.0, ITL) == pytest.approx(28 / 55)
    assert known.edge(0.1) == pytest.approx(60.0), "slower than a fifth of 75, 15, it hardly does more"
    assert known.edge(0.01) == pytest.approx(22.5), "100 tokens/s are more than one gets: three tenths of 75 are left"


def test_a_generated_token_takes_the_more_the_more_came_before_it():
    known = Speed(idle=75.0, output=0.012, prompt=0.004)
    assert known.of(Flow(200.0, 800.0)).context == pytest.approx(1.0)
    assert known.of(Flow(1000.0, 4000.0)).context == pytest.approx(5500 / 1500)
    long = known.of(Flow(1000.0, 4000.0))
    assert long.work(Flow(300.0, 0.0)) == pytest.approx(0.012 * 300 * 5500 / 1500)
    assert long.work(Flow(0.0, 300.0)) == known.work(Flow(0.0, 300.0)), "a prompt's tokens are all computed at once"


def test_the_speed_of_few_requests_tells_half_as_much_with_twenty():
    assert (sure(0.0), sure(20.0), sure(60.0)) == (0.0, 0.5, 0.75)


def fitted(minutes_seen, context):
    """Idle speed and slopes by least squares over all minutes at once: a row each, and one for each usual slope.

    Where a slope comes to less than three tenths of the usual it is that, and the idle speed is the best one with it.
    """
    rows, weights = [], []
    known = NEW.of(context)
    for flow, running, ready, passed in minutes_seen:
        weights = [weight * 0.5 ** (passed / 3600) for weight in weights]
        speed, made, read = flow.output / running, flow.output / ready * known.context, flow.prompt / ready
        noise = 0.15 * (known.idle or speed)
        off = speed - (known.idle - known.output * made - known.prompt * read) if known.idle else 0.0
        believed = min(1.0, (1.5 * noise / off) ** 2) if off else 1.0
        rows.append((1.0, -made, -read, speed))
        weights.append(passed / 60 * running / (running + 20) * believed / noise**2)
        usual = [(0.0, 1.0, 0.0, 0.009), (0.0, 0.0, 1.0, 1 / 300)]
        table = np.array(rows + usual)
        scale = np.sqrt([*weights, 0.003**-2, 0.001**-2])[:, None]
        _, output, prompt = np.linalg.lstsq(table[:, :3] * scale, table[:, 3] * scale[:, 0], rcond=None)[0]
        output, prompt = max(float(output), 0.3 * 0.009), max(float(prompt), 0.3 / 300)
        idle = np.average([speed - output * made - prompt * read for _, made, read, speed in rows], weights=weights)
        known = Speed(idle=float(idle), output=output, prompt=prompt, context=known.context)
    return known


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("times", [1.0, 0.05])
def test_what_is_learnt_is_the_least_squares_over_all_minutes(seed, times):
    """Also of a slow engine, whose requests get two tokens a second."""
    chance, seen, known = random.Random(seed), [], NEW.of(Flow(200.0, 900.0))
    for _ in range(12):
        flow, ready = Flow(chance.uniform(200, 2000), chance.uniform(500, 6000)), chance.choice([1.0, 3.0])
        speed = times * true_speed(flow) * chance.choice([1.0, 1.0, 1.3, 0.8])
        total, passed = flow.times(ready), chance.choice([60.0, 600.0])
        seen.append((total, total.output / speed, ready, passed))
        known = learnt(known, *seen[-1])
    expected = fitted(seen, Flow(200.0, 900.0))
    assert (known.idle, known.output, known.prompt) == pytest.approx(
        (expected.idle, expected.output, expected.prompt), rel=1e-6
    )


def test_how_it_differs_of_late_is_learnt_by_half_in_five_minutes():
    before = minutes([Flow(800.0, 3000.0)] * 600, ready=1000.0)
    after = minutes([Flow(800.0, 3000.0)], known=before, ready=1000.0, off=0.1, each=300.0)
    left = true_speed(Flow(800.0, 3000.0)) * 1.1 - (after.idle - after.work(Flow(800.0, 3000.0)))
    assert after.drift - before.drift == pytest.approx(0.5 * (left - before.drift), rel=0.02)


def test_no_slope_is_taken_for_less_than_three_tenths_of_the_usual():
    """Faster with more load, as a machine is that other tenants leave alone: that is no law of an engine."""
    known = NEW
    for load in (500.0, 1000.0, 2000.0) * 400:
        flow = Flow(load, 4 * load)
        known = learnt(known, flow.times(50.0), flow.times(50.0).output / (40 + load / 200), 50.0, 60.0)
    assert (known.output, known.prompt) == pytest.approx((0.0027, 0.001))
