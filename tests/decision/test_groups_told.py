"""What members of a group are told, word by word, in drawn moments: by ratios, in an order, with a budget, as variants.

The words are kept in groups_told.txt; `RECORD=1 pytest tests/decision/test_groups_told.py` writes it anew, to be read
before it is kept.
"""

import random
from dataclasses import replace
from pathlib import Path

from support.timelines import fold, workload
from support.told import kept

from scaler.config.bind import bind, parse_file
from scaler.config.defaults import Defaults
from scaler.config.schedule import Window
from scaler.config.trigger import parse_trigger
from scaler.decision.capacity import Capacity
from scaler.decision.decision import Answer
from scaler.decision.groups import decide_groups
from scaler.decision.pace import Pace
from scaler.decision.schedule import Held, Scheduled
from scaler.model.availability import Availability, BoundedCount
from scaler.model.measurement import TargetStatus, TriggerRef

TOLD = Path(__file__).with_name("groups_told.txt")
LOAD = {"metrics": {"load": {"prometheus": "load"}}}
EACH = {"formula": "load", "target": 1}
ROLES = {
    "prefill": {**EACH, "gpus": 2},
    "decode": {**EACH, "ratios": {"prefill": {"least": 1, "most": 3}}},
    "encode": {**EACH, "ratios": {"prefill": {"least": 0.5, "most": 2}}},
}
KINDS = ("short", "long")
FILES = {
    "by ratios": {"name": "ratios", **LOAD, "outputs": ROLES},
    "in an order": {"name": "ordered", **LOAD, "outputs": ROLES, "order": ["prefill", "decode"]},
    "with a budget": {"name": "budget", **LOAD, "outputs": ROLES, "budget": {"least": 6, "most": 14}},
    "as variants": {
        "name": "mix",
        "metrics": {kind: {"prometheus": kind} for kind in KINDS},
        "demand": {kind: kind for kind in KINDS},
        "variants": {
            "l4": {"cost": 1, "carries": {"short": 2, "long": 0.5}},
            "a100": {"cost": 4, "carries": {"short": 10, "long": 6}},
            "h100": {"cost": 9, "carries": {"long": 20}},
        },
        "slices": 4,
        "switching": 0.1,
    },
}
ANYTHING = Availability("", *[BoundedCount(0)] * 5)


def hours(minimum=None, maximum=None):
    held = Held(Window("night", frozenset(range(7)), 0, 1440, "UTC", minimum, maximum), 0.0)
    return Scheduled(held if minimum else None, held if maximum else None)


def moment(plain, file, chance):
    """The members' own decisions, by trigger, and a line of words for each."""
    names = [*file.get("outputs", file.get("variants"))]
    parsed = parse_file(file, "group.yaml")
    load = {kind: chance.choice([0.0, 1.0, 3.0, 12.0, 40.0]) for kind in KINDS}
    if chance.random() < 0.1:
        load["long"] = None
    decided, words = {}, []
    for name in names:
        trigger = TriggerRef("team", name, (("formula", file["name"]), ("output", name)))
        has = chance.choice([0, 0, 1, 2, 4])
        certainty = chance.choice(["certain"] * 4 + ["raising", "held", "unknown"])
        wanted = chance.choice([0, 1, 2, 5, 9]) if certainty == "certain" else has + chance.choice([0, 1])
        said = None if certainty == "unknown" else Answer(wanted, wanted > 0, plain.at)
        ready = chance.choice([has, has, max(has - 1, 0), None])
        known = TargetStatus(has, ready, 0, chance.choice([0, 0, 0, 1]), chance.choice([20, 20, 6]))
        schedule = chance.choice([None, None, None, hours(3), hours(None, 2), hours(2, 4)])
        had = chance.choice([None, None, None, 0, 2, 5])
        room = None if had is None else Capacity("report", ANYTHING, has, had, "the pool is full", had, 0, None)
        pace = chance.choice([None, None, Pace(has, 120.0, 10.0, None, "it falls slowly")])
        decided[trigger] = replace(
            plain, spec=bind(parsed, parse_trigger(trigger), Defaults()), certainty=certainty, answer=said, scope=load,
            minimum_answer=chance.choice([has, has, has + 1]), target_status=known, schedule=schedule, capacity=room, pace=pace,
        )  # fmt: skip
        bounds = f"{known.minimum} to {known.maximum}"
        more = [f"schedule {schedule.least} to {schedule.most}"] if schedule else []
        more += [f"{had} can be had"] if had is not None else []
        own = "says nothing" if said is None else f"wants {wanted}"
        words.append(f"{name} {certainty}, {own}, has {has} ({ready} ready), {', '.join([bounds, *more])}")
    return decided, words, load


def in_words():
    spec = workload("name: mine\nmetrics: {load: {prometheus: load}}\nformula: load\ntarget: 1\n")
    plain = fold(spec, [{"load": 1}])[1][0]
    for title, file in FILES.items():
        for seed in range(16):
            decided, words, load = moment(plain, file, random.Random(f"{title} {seed}"))
            demand = ", ".join(f"{kind} {rate}" for kind, rate in load.items()) if "variants" in file else ""
            yield f"{title} {seed}{': ' if demand else ''}{demand}"
            after = decide_groups(decided)
            for trigger, word in zip(decided, words, strict=True):
                one = after[trigger]
                told = "nothing" if one.answer is None else f"{one.replicas}{'' if one.active else ', inactive'}"
                at_once = ", at once" if one.activate_now else ""
                planned = "" if one.planned is None else f" (planned {one.planned})"
                yield f"  {word}"
                why = one.told.partition("; by itself ")[0] or "as it says itself"
                yield f"    -> {told}{at_once}{planned}: {why}"
            yield ""


def test_what_is_told_is_what_was_read_and_kept():
    told = "\n".join(in_words())
    assert told == kept(told, TOLD)
