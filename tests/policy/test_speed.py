"""How fast a replica answers by its load: learnt from a few minutes, it foretells the load that is too much."""

import pytest

from scaler.policy.speed import FEW, Flow, Speed, learnt

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
