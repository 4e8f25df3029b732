"""What a group makes of what its members came to by themselves: the laws, over many seeded moments."""

import random
from dataclasses import replace
from functools import cache

from support.timelines import fold, workload

from scaler.config.bind import bind, parse_file
from scaler.config.defaults import Defaults
from scaler.config.schedule import Window
from scaler.config.trigger import parse_trigger
from scaler.decision.decision import Answer
from scaler.decision.groups import decide_groups
from scaler.decision.schedule import Held, Scheduled
from scaler.model.measurement import TargetStatus, TriggerRef

NAMES = ("encode", "prefill", "decode")
TREE = {
    "name": "three",
    "metrics": {"load": {"prometheus": "load"}},
    "outputs": {
        "encode": {"formula": "load", "target": 1},
        "prefill": {"formula": "load", "target": 1, "ratios": {"encode": {"least": 1, "most": 4}}},
        "decode": {"formula": "load", "target": 1, "ratios": {"prefill": {"least": 0.5, "most": 2}}},
    },
}


def requests():
    return {name: TriggerRef("team", name, (("formula", "three"), ("output", name))) for name in NAMES}


def moment(rows, bounds=(0, 1000)):
    """The members' decisions: by name (certainty, replicas and active that it said or None, replicas that it has)."""
    decided = {}
    plain, specs = prepared()
    for name, (certainty, said, has) in rows.items():
        known = TargetStatus(has, has, 0, *bounds)
        answer = None if said is None else Answer(*said, plain.at)
        decided[requests()[name]] = replace(
            plain, spec=specs[name], certainty=certainty, answer=answer, minimum_answer=has, target_status=known
        )
    return decided


@cache
def prepared():
    """A decision to begin with, and the spec of each member."""
    file = parse_file(TREE, "three.yaml")
    _, [plain] = fold(workload("name: mine\nmetrics: {load: {prometheus: load}}\nformula: load\ntarget: 1\n"),
                      [{"load": 1}])  # fmt: skip
    specs = {name: bind(file, parse_trigger(request), Defaults()) for name, request in requests().items()}
    return plain, specs


def told(rows, **more):
    return {request.name: decision for request, decision in decide_groups(moment(rows, **more)).items()}


def drawn(chance):
    rows = {}
    for name in NAMES:
        has = chance.choice([0, 0, 1, 3, 9])
        certainty = chance.choice(["certain", "certain", "raising", "held", "unknown"])
        if certainty == "unknown":
            rows[name] = certainty, None, has
            continue
        replicas = chance.randrange(12) if certainty == "certain" else has + chance.randrange(3)
        rows[name] = certainty, (replicas, chance.random() < 0.5), has
    return rows


def test_whatever_the_members_came_to_the_laws_hold():
    chance = random.Random(17)
    for _ in range(2000):
        rows = drawn(chance)
        decided = told(rows)
        for name, (certainty, said, has) in rows.items():
            one = decided[name]
            assert (one.answer is None) == (said is None), "nobody gets or loses an answer"
            if said is None:
                continue
            if certainty != "certain":
                assert one.replicas >= max(said[0], has), "what is not certain is not lowered"
            working = any(other[1] and other[1][1] for other in rows.values())
            unknown = any(other[1] is None for other in rows.values())
            if working:
                assert one.active
            elif not unknown:
                assert not one.active
            elif has:
                assert one.active, "the word of one is not known, and replicas may hold its requests"
        if all(certainty == "certain" for certainty, _, _ in rows.values()):
            replicas = {name: one.replicas for name, one in decided.items()}
            bands = decided["decode"].spec.member.bands
            assert all(band.holds(replicas) for band in bands)
            assert all(replicas[name] >= said[0] for name, (_, said, _) in rows.items()), "and load is met"


def test_nothing_of_a_group_that_is_as_it_should_be_is_said():
    rows = dict.fromkeys(NAMES, ("certain", (2, True), 2))
    before = moment(rows)
    for request, decision in decide_groups(before).items():
        assert (decision.answer, decision.reason) == (before[request].answer, before[request].reason)


def test_who_rises_on_uncertain_data_takes_the_others_along():
    decided = told({"encode": ("certain", (1, True), 1), "prefill": ("held", (8, True), 2),
                    "decode": ("certain", (4, True), 4)})  # fmt: skip
    assert [decided[name].replicas for name in NAMES] == [2, 8, 4]


def test_ratios_that_no_numbers_within_the_bounds_keep_lower_nobody_and_it_is_said():
    rows = {"encode": ("certain", (1, True), 4), "prefill": ("certain", (1, True), 2),
            "decode": ("certain", (3, True), 3)}  # fmt: skip
    decided = told(rows, bounds=(9, 8))
    assert [decided[name].replicas for name in NAMES] == [4, 2, 3]
    assert "keep its ratios" in decided["encode"].reason


def test_a_member_whose_ticks_fail_counts_as_one_that_says_nothing():
    rows = dict.fromkeys(NAMES, ("certain", (0, False), 2))
    decided = moment(rows)
    late = next(iter(decided))
    decided[late] = replace(decided[late], at=decided[late].at - 600)
    after = decide_groups(decided)
    assert [decision.active for request, decision in after.items() if request is not late] == [True, True]


def test_groups_of_different_names_do_not_know_each_other():
    rows = dict.fromkeys(NAMES, ("certain", (2, True), 2))
    decided = {
        TriggerRef("team", f"{request.name}-{group}", ()): replace(
            decision,
            spec=replace(
                decision.spec,
                key=replace(decision.spec.key, name=f"{request.name}-{group}"),
                member=replace(decision.spec.member, group=group),
            ),
        )
        for group in ("blue", "green")
        for request, decision in moment(rows).items()
    }
    assert {decision.group.name: len(decision.group.parts) for decision in decide_groups(decided).values()} == {
        "blue": 3, "green": 3,
    }  # fmt: skip


def test_a_schedule_bounds_a_member_in_its_group_too():
    def hours(minimum, maximum):
        held = Held(Window("night", frozenset(range(7)), 0, 1440, "UTC", minimum, maximum), 0.0)
        return Scheduled(held if minimum else None, held if maximum else None)

    decided = moment(dict.fromkeys(NAMES, ("certain", (8, True), 8)))
    capped, kept = requests()["prefill"], requests()["encode"]
    decided[capped] = replace(decided[capped], schedule=hours(None, 4))
    assert [one.replicas for one in decide_groups(decided).values()] == [4, 4, 8]
    decided[kept] = replace(decided[kept], schedule=hours(6, None))
    told = decide_groups(decided)
    assert "schedules" in told[kept].reason, "a floor of one above the ceiling of another is no pair in ratio"
    assert all(one.replicas == 8 for one in told.values())


# ---- one member at a time ----------------------------------------------------------------------------------------------


def changed(decided, name, **more):
    decided[requests()[name]] = replace(decided[requests()[name]], **more)
    return decided


def test_a_group_that_is_not_whole_is_held_for_as_long_as_hold_for_and_no_longer():
    rows = {"prefill": ("certain", (2, True), 2), "decode": ("certain", (4, True), 4)}
    for beyond, held in ((0.0, True), (1.0, False)):
        decided = moment(rows)
        at, hold_for = decided[requests()["prefill"]].at, decided[requests()["prefill"]].spec.hold_for
        decided = {one: replace(decision, apart_since=at - hold_for - beyond) for one, decision in decided.items()}
        decided = {one: replace(decision, activate_now=True) for one, decision in decided.items()}
        after = decide_groups(decided).values()
        assert [decision.answer is not None for decision in after] == [held, held]
        assert [decision.activate_now for decision in after] == [held, held]


def test_a_member_counts_for_three_intervals_beyond_hold_for():
    for late, word in ((-15.0, False), (-16.0, True)):
        decided = moment(dict.fromkeys(NAMES, ("certain", (0, False), 2)))
        spec = decided[requests()["encode"]].spec
        assert spec.interval == 5.0
        decided = changed(decided, "encode", at=decided[requests()["encode"]].at - spec.hold_for + late)
        assert decide_groups(decided)[requests()["decode"]].active is word, "what is not known may be work"


def test_who_is_woken_by_the_group_wakes_and_who_rests_does_not():
    rows = {"encode": ("certain", (2, True), 2), "prefill": ("certain", (0, False), 0),
            "decode": ("certain", (0, False), 0)}  # fmt: skip
    decided = decide_groups(moment(rows))
    assert [decided[requests()[name]].activate_now for name in NAMES] == [
        moment(rows)[requests()["encode"]].activate_now,
        True,
        True,
    ]
    busy = dict.fromkeys(NAMES, ("certain", (2, True), 2))
    for wake in (True, False):
        told_now = decide_groups({one: replace(decision, activate_now=wake) for one, decision in moment(busy).items()})
        assert {decision.activate_now for decision in told_now.values()} == {wake}


def test_one_replica_and_several_are_told_apart():
    rows = {"encode": ("certain", (1, True), 1), "prefill": ("certain", (0, False), 0),
            "decode": ("certain", (3, True), 3)}  # fmt: skip
    reasons = {name: decision.reason for name, decision in told(rows).items()}
    assert reasons["prefill"].startswith("2 replicas, active, for its group")
    rows["decode"] = ("certain", (1, True), 1)
    reasons = {name: decision.reason for name, decision in told(rows).items()}
    assert reasons["prefill"].startswith("1 replica, active, for its group")


def test_what_a_member_was_told_last_counts_where_its_data_is_not_certain():
    rows = {"encode": ("certain", (1, True), 1), "prefill": ("certain", (1, True), 1), "decode": ("held", (1, True), 1)}
    decided = decide_groups(changed(moment(rows), "decode", minimum_answer=6))
    assert decided[requests()["decode"]].replicas == 6


def test_who_has_nothing_and_wants_nothing_is_told_nothing():
    decided = told(dict.fromkeys(NAMES, ("held", (0, False), None)))
    assert [decided[name].replicas for name in NAMES] == [0, 0, 0]


def test_a_member_of_which_neither_word_nor_replicas_are_known_is_named():
    rows = dict.fromkeys(NAMES, ("certain", (2, True), 2))
    unknown = told({**rows, "encode": ("unknown", None, None)})["decode"].reason
    assert "it is not known how many replicas encode has" in unknown
    assert "it is not known" not in told({**rows, "encode": ("unknown", None, 2)})["decode"].reason


def test_ratios_that_what_is_held_breaks_are_named_and_no_others():
    rows = {"encode": ("held", (9, True), 9), "prefill": ("certain", (1, True), 1), "decode": ("certain", (4, True), 4)}
    reason = told(rows, bounds=(0, 8))["decode"].reason
    assert "prefill and encode are out of their ratio for that" in reason
    assert "decode and prefill" not in reason


def test_without_an_order_nobody_asks_who_is_ready():
    decided = moment(dict.fromkeys(NAMES, ("certain", (2, True), 2)))
    decided = changed(decided, "encode", target_status=TargetStatus(2, None, 0, 0, 1000))
    assert [one.group.reasons for one in decide_groups(decided).values()] == [(), (), ()]


def test_two_objects_that_are_one_output_are_named():
    decided = moment(dict.fromkeys(NAMES, ("certain", (2, True), 2)))
    decode = decided[requests()["decode"]]
    twin = replace(decode, spec=replace(decode.spec, key=replace(decode.spec.key, name="twin")))
    decided[TriggerRef("team", "twin", (("formula", "three"), ("output", "decode")))] = twin
    assert "decode and twin are each its decode" in decide_groups(decided)[requests()["prefill"]].reason


def test_in_an_order_replicas_that_are_there_count_and_not_what_was_told():
    file = parse_file({**TREE, "order": ["encode", "prefill", "decode"]}, "three.yaml")
    rows = {
        "encode": ("certain", (2, True), 2),
        "prefill": ("certain", (2, True), 0),
        "decode": ("certain", (4, True), 0),
    }
    decided = {
        request: replace(decision, spec=bind(file, parse_trigger(request), Defaults()))
        for request, decision in moment(rows).items()
    }
    decided = changed(decided, "decode", minimum_answer=9)
    told_now = {request.name: decision for request, decision in decide_groups(decided).items()}
    assert told_now["decode"].replicas == 0, "prefill is not ready yet"
    assert "decode: 0 of 4 until encode and prefill are ready" in told_now["decode"].reason


def test_who_says_nothing_and_has_nothing_wakes_nobody():
    rows = {"encode": ("unknown", None, 0), "prefill": ("certain", (0, False), 0), "decode": ("certain", (0, False), 0)}
    decided = told(rows)
    assert [decided[name].replicas for name in NAMES] == [None, 0, 0]


def test_who_has_nothing_takes_nothing_of_the_budget():
    outputs = {**TREE["outputs"], "decode": {**TREE["outputs"]["decode"], "gpus": 2}}
    file = parse_file({**TREE, "outputs": outputs, "budget": {"most": 6}}, "three.yaml")
    rows = {
        "encode": ("certain", (1, True), 1),
        "prefill": ("certain", (1, True), 0),
        "decode": ("certain", (2, True), 2),
    }
    decided = {
        request: replace(decision, spec=bind(file, parse_trigger(request), Defaults()))
        for request, decision in moment(rows).items()
    }
    answers = {request.name: decision.replicas for request, decision in decide_groups(decided).items()}
    assert answers == {"encode": 1, "prefill": 1, "decode": 2}, "1 + 1 + 2 x 2 GPUs are six"


def test_where_one_has_work_and_none_asks_for_a_replica_each_gets_one():
    decided = told(
        {
            "encode": ("certain", (0, True), 0),
            "prefill": ("certain", (0, False), 0),
            "decode": ("certain", (0, False), 0),
        }
    )
    assert [(decided[name].replicas, decided[name].active) for name in NAMES] == [(1, True)] * 3


def test_who_has_the_work_is_named_to_those_that_are_woken_for_it():
    rows = {
        "encode": ("certain", (1, False), 1),
        "prefill": ("certain", (1, True), 1),
        "decode": ("certain", (1, False), 1),
    }
    reasons = {name: decision.reason for name, decision in told(rows).items()}
    assert reasons["encode"].startswith("1 replica, active, for its group (prefill has work); by itself ")
    assert "has work" not in reasons["prefill"]


def in_order(rows):
    file = parse_file({**TREE, "order": ["encode", "prefill", "decode"]}, "three.yaml")
    decided = {
        request: replace(decision, spec=bind(file, parse_trigger(request), Defaults()))
        for request, decision in moment(rows).items()
    }
    told_now = {request.name: decision for request, decision in decide_groups(decided).items()}
    return [(told_now[name].replicas, told_now[name].active) for name in NAMES]


def test_in_an_order_who_waits_at_zero_rests_until_those_before_it_are_ready():
    asleep, wanted = ("certain", (2, True), 0), ("certain", (4, True), 0)
    assert in_order({"encode": asleep, "prefill": asleep, "decode": wanted}) == [(2, True), (0, False), (0, False)]
    ready = ("certain", (2, True), 2)
    assert in_order({"encode": ready, "prefill": asleep, "decode": wanted}) == [(2, True), (2, True), (0, False)]
    assert in_order({"encode": ready, "prefill": ready, "decode": wanted}) == [(2, True), (2, True), (4, True)]
    one = ("certain", (2, True), 1)
    assert in_order({"encode": one, "prefill": one, "decode": ("certain", (4, True), 1)})[2][1], "it has one, and works"


def test_one_object_that_is_two_outputs_is_named():
    decided = moment(dict.fromkeys(NAMES, ("certain", (2, True), 2)))
    key = decided[requests()["encode"]].spec.key
    decode = decided[requests()["decode"]]
    decided[requests()["decode"]] = replace(
        decode, spec=replace(decode.spec, key=replace(decode.spec.key, name=key.name))
    )
    told_now = decide_groups(decided)[requests()["prefill"]].reason
    assert "encode is more than one of its outputs: its trigger was edited, or it has two triggers" in told_now
