"""Variants decided together: what can be had of one is met by the others, and laws over many seeded moments."""

import random
from dataclasses import replace

import pytest
from support.timelines import fold, workload

from scaler.config.bind import bind, parse_file
from scaler.config.defaults import Defaults
from scaler.config.trigger import parse_trigger
from scaler.decision.capacity import Capacity
from scaler.decision.decision import Answer
from scaler.decision.groups import decide_groups
from scaler.decision.mix import InMix
from scaler.model.availability import Availability, BoundedCount
from scaler.model.measurement import TargetStatus, TriggerRef

NAMES = ("a10g", "a100")
TREE = {
    "name": "melange",
    "metrics": {kind: {"prometheus": kind} for kind in ("ss", "sl", "ls", "ll")},
    "demand": {kind: kind for kind in ("ss", "sl", "ls", "ll")},
    "variants": {
        "a10g": {"cost": 1.01, "carries": {"ss": 2, "sl": 1, "ls": 5, "ll": 2}},
        "a100": {"cost": 3.67, "carries": {"ss": 20, "sl": 20, "ls": 40, "ll": 20}},
    },
    "slices": 1,
}
NOTHING = Availability("", *[BoundedCount(0)] * 5)
MELANGE = {"ss": 6.0, "sl": 3.0, "ls": 15.0, "ll": 6.0}


def requests():
    return {name: TriggerRef("team", name, (("formula", "melange"), ("output", name))) for name in NAMES}


@pytest.fixture(scope="module")
def plain():
    spec = workload("name: mine\nmetrics: {load: {prometheus: load}}\nformula: load\ntarget: 1\n")
    file = parse_file(TREE, "melange.yaml")
    specs = {name: bind(file, parse_trigger(request), Defaults()) for name, request in requests().items()}
    return fold(spec, [{"load": 1}])[1][0], specs


def moment(plain, load, has=(0, 0), ready=None, had=(None, None), certainty="certain", maximum=100):
    """The decisions of both variants, by name: for this load, with so many replicas, of which so many can be had."""
    template, specs = plain
    decided = {}
    for name, count, up, limit in zip(NAMES, has, ready or has, had, strict=True):
        capacity = None
        if limit is not None:
            capacity = Capacity("report", NOTHING, count, limit, "the pool is full", limit, 0, None)
        decided[requests()[name]] = replace(
            template, spec=specs[name], certainty=certainty, answer=Answer(9, True, template.at), scope=load,
            minimum_answer=count, target_status=TargetStatus(count, up, 0, 0, maximum), capacity=capacity, pace=None,
        )  # fmt: skip
    return decided


def told(decided):
    return {request.name: one.replicas for request, one in decide_groups(decided).items()}


def test_what_cannot_be_had_of_one_is_met_by_the_others_and_it_is_said(plain):
    decided = decide_groups(moment(plain, MELANGE, had=(None, 0)))
    assert {request.name: one.replicas for request, one in decided.items()} == {"a10g": 12, "a100": 0}
    one = decided[requests()["a10g"]]
    assert one.group.mix == "12 x a10g at 12.12, the cheapest for ss 6, sl 3, ls 15, ll 6"
    assert one.group.reasons == ("a100: 0 can be had",)
    assert not decided[requests()["a100"]].active, "a variant without use is at zero"


def test_what_nobody_can_carry_is_said_and_one_more_is_asked_for_of_what_is_short(plain):
    decided = decide_groups(moment(plain, MELANGE, had=(2, 1), has=(2, 1)))
    assert {request.name: one.replicas for request, one in decided.items()} == {"a10g": 2, "a100": 2}
    assert decided[requests()["a10g"]].group.reasons == (
        "sl 3 of 3 cannot be carried with what can be had",
        "a100: 1 can be had",
        "a10g: 2, not yet 0, since not all can be carried",
    )


def test_the_probe_keeps_to_max_replica_count(plain):
    assert told(moment(plain, MELANGE, had=(2, 1), has=(2, 1), maximum=1)) == {"a10g": 2, "a100": 1}


def test_work_without_a_measured_demand_keeps_one_replica_of_the_cheapest(plain):
    assert told(moment(plain, dict.fromkeys(MELANGE, 0.0))) == {"a10g": 1, "a100": 0}


def test_on_data_that_is_not_certain_it_may_rise_and_nobody_is_lowered(plain):
    assert told(moment(plain, MELANGE, has=(1, 3), certainty="held")) == {"a10g": 1, "a100": 3}
    assert told(moment(plain, MELANGE, has=(0, 1), certainty="raising")) == {"a10g": 3, "a100": 1}
    assert told(moment(plain, {**MELANGE, "sl": None}, has=(1, 3), certainty="held")) == {"a10g": 1, "a100": 3}


def test_first_up_then_down(plain):
    load = {**dict.fromkeys(MELANGE, 0.0), "sl": 20.0}
    assert told(moment(plain, load, has=(4, 1), ready=(4, 0))) == {"a10g": 4, "a100": 1}
    assert told(moment(plain, load, has=(4, 1))) == {"a10g": 0, "a100": 1}


def test_whatever_the_moment_demand_is_met_bounds_are_kept_and_nobody_uncertain_is_lowered(plain):
    chance = random.Random(17)
    for _ in range(60):
        load = {kind: chance.choice([0.0, 0.5, 3.0, 11.0]) for kind in MELANGE}
        has = chance.choice([0, 1, 4]), chance.choice([0, 1, 3])
        had = chance.choice([None, 0, 3, 9]), chance.choice([None, 0, 1, 5])
        certainty = chance.choice(["certain", "certain", "held"])
        answers = told(moment(plain, load, has=has, had=had, certainty=certainty))
        for name, count, limit in zip(NAMES, has, had, strict=True):
            assert limit is None or answers[name] <= max(limit, count) + 1, "one more than can be had"
            assert certainty == "certain" or answers[name] >= count
        if had == (None, None):
            assert answers["a10g"] + 20 * answers["a100"] >= load["sl"], "the hardest kind alone"
            assert any(answers.values()), "there is work"


def test_replicas_that_are_there_can_be_had_whatever_the_pool_says(plain):
    assert told(moment(plain, MELANGE, had=(None, 0), has=(3, 1))) == {"a10g": 3, "a100": 1}


def test_without_a_demand_and_without_work_nobody_begins(plain):
    decided = moment(plain, {**MELANGE, "sl": None})
    assert sorted(told(decided).values()) == [1, 1], "each begins with one"
    assert told(moment(plain, {**MELANGE, "sl": None}, has=(1, 0))) == {"a10g": 1, "a100": 0}, "one is there"
    idle = {request: replace(one, answer=Answer(0, False, one.at)) for request, one in decided.items()}
    assert told(idle) == {"a10g": 0, "a100": 0}


def test_of_several_whose_data_is_not_certain_the_first_is_named(plain):
    decided = decide_groups(moment(plain, MELANGE, has=(3, 1), certainty="held"))
    reasons = decided[requests()["a10g"]].group.reasons
    assert reasons == ("nobody is lowered: the data of a10g is not certain",)


def test_without_a_mix_there_is_nothing_to_say_of_it():
    assert InMix({}, "no mix was found", dict(MELANGE), {}, None).mix == ""
    assert InMix({}, "no mix was found", None, {}, None).mix == ""


def test_a_kind_that_a_variant_does_not_name_is_none_that_it_carries(plain):
    without = {"cost": 1.01, "carries": {"ss": 2, "sl": 1, "ls": 5}}
    file = parse_file({**TREE, "variants": {**TREE["variants"], "a10g": without}}, "melange.yaml")
    specs = {name: bind(file, parse_trigger(request), Defaults()) for name, request in requests().items()}
    long_ones = {**dict.fromkeys(MELANGE, 0.0), "ll": 1.0}
    assert told(moment((plain[0], specs), long_ones)) == {"a10g": 0, "a100": 1}
    assert told(moment(plain, long_ones)) == {"a10g": 1, "a100": 0}
