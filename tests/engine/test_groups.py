"""A group in the engine: prefill and decode follow the load together, each with a ScaledObject of its own."""

from dataclasses import dataclass, field
from typing import ClassVar

from support.together import START, Together, play, told

from scaler.decision.explain import explain
from scaler.decision.render import as_text
from scaler.model.measurement import TriggerRef

LEAST, MOST = 1, 3  # replicas of decode for each of prefill
FILE = """
name: disaggregated
metrics:
  prompts: {prometheus: prompts}
  tokens: {prometheus: tokens}
outputs:
  prefill: {formula: prompts, target: 1}
  decode: {formula: tokens, target: 1, ratios: {prefill: {least: 1, most: 3}}}
idleFor: 30s
holdFor: 60s
"""
ORDERED = FILE.replace("disaggregated", "ordered") + "order: [prefill, decode]\n"


@dataclass(kw_only=True)
class World(Together):
    """Prefill and decode."""

    files: ClassVar = {"disaggregated": FILE, "ordered": ORDERED}

    formula: str = "disaggregated"
    names: tuple = ("prefill", "decode")
    load: dict = field(default_factory=dict)
    replicas: dict = field(default_factory=lambda: {"prefill": 1, "decode": 1})
    pairs: list = field(default_factory=list)  # (prefill, decode), after every tick

    async def at(self, seconds):
        decided = await super().at(seconds)
        if len(decided) == 2:
            self.pairs.append(tuple(decided[name].replicas for name in ("prefill", "decode")))
        return decided


def in_band(pair):
    prefill, decode = pair
    return LEAST * prefill <= decode <= MOST * prefill


def test_a_shift_of_prompt_length_by_four_is_followed_and_every_pair_lies_in_the_band():
    async def scenario():
        world = World(load={"prompts": 8, "tokens": 24}, more={"decode": {"interval": "10s"}})
        assert told(await world.at(0)) == {"prefill": (8, True), "decode": (24, True)}
        world.load["prompts"] = 32
        assert told(await world.at(10)) == {"prefill": (32, True), "decode": (32, True)}
        await world.until(15, 600)
        world.load["prompts"] = 8
        decided = await world.until(600, 3600)
        assert told(decided) == {"prefill": (8, True), "decode": (24, True)}
        assert all(in_band(pair) for pair in world.pairs)
        assert len(set(world.pairs)) > 5, "and it was no single step"

    play(scenario)


def test_both_go_to_zero_together_and_from_zero_together():
    async def scenario():
        world = World(load={"prompts": 2, "tokens": 6})
        await world.until(0, 60)
        world.load = {"prompts": 0, "tokens": 6}
        decided = await world.until(60, 200)
        assert [one.active for one in decided.values()] == [True, True], "prefill is quiet, and decode has work"
        assert "decode has work" in decided["prefill"].reason
        assert in_band(world.pairs[-1])
        world.load = {"prompts": 0, "tokens": 0}
        words = [{one.active for one in (await world.at(at)).values()} for at in range(200, 260, 5)]
        assert words[-1] == {False}
        assert all(len(word) == 1 for word in words), "never one alone"
        assert world.replicas == {"prefill": 0, "decode": 0}
        world.load = {"prompts": 3, "tokens": 0}
        assert told(await world.at(300)) == {"prefill": (3, True), "decode": (3, True)}

    play(scenario)


def test_a_member_whose_data_fails_holds_its_part_and_the_group_says_so():
    async def scenario():
        world = World(load={"prompts": 2, "tokens": 6})
        await world.until(0, 30)
        world.load = {"prompts": 0, "tokens": "no route to host"}
        decided = await world.until(30, 80)
        assert decided["decode"].replicas == 6
        assert decided["prefill"].replicas == 2, "since decode still has 6"
        assert "decode: its data is not certain, so it is not lowered" in decided["prefill"].reason
        assert all(one.active for one in decided.values())
        decided = await world.until(80, 200)
        assert decided["decode"].replicas is None, "after holdFor it has no answer"
        assert (decided["prefill"].replicas, decided["prefill"].active) == (2, True)
        world.load = {"prompts": 4, "tokens": "no route to host"}
        decided = await world.at(205)
        assert decided["prefill"].replicas == 4, "and the other still rises"

    play(scenario)


def test_while_a_member_was_never_asked_about_nobody_is_lowered_and_after_hold_for_nobody_has_an_answer():
    async def scenario():
        world = World(load={"prompts": 1, "tokens": 6}, names=("prefill",), replicas={"prefill": 4, "decode": 0})
        decided = await world.until(0, 65)
        assert told(decided) == {"prefill": (4, True)}
        assert "nobody is lowered: nothing is known of decode yet" in decided["prefill"].reason
        decided = await world.until(65, 400)
        assert told(decided) == {"prefill": (None, None)}
        assert decided["prefill"].reason.startswith(
            "no answer: for 6m35s, which is more than holdFor, its group has not"
        )
        assert decided["prefill"].certainty == "unknown"
        world.names = ("prefill", "decode")
        await world.until(400, 405)
        decided = await world.until(405, 410)
        assert told(decided) == {"prefill": (4, True), "decode": (6, True)}
        assert in_band(world.pairs[-1])

    play(scenario)


def test_a_group_that_was_whole_in_between_is_held_for_hold_for_anew():
    async def scenario():
        world = World(load={"prompts": 2, "tokens": 6}, replicas={"prefill": 2, "decode": 6})
        for start in (0, 200):
            world.more = {}
            assert told(await world.until(start, start + 100))["prefill"] == (2, True)
            world.more = {"decode": {"group": "blue"}}
            decided = await world.until(start + 100, start + 155)
            assert decided["prefill"].replicas == 2
            assert "nothing is known of decode" in decided["prefill"].reason
        decided = await world.until(355, 400)
        assert decided["prefill"].replicas is None

    play(scenario)


def test_an_edited_trigger_beside_its_old_one_is_the_same_member():
    async def scenario():
        world = World(load={"prompts": 2, "tokens": 6}, seen=False)
        for name in ("prefill", "decode"):
            world.engine.registry.asked(world.request(name), START)
        await world.at(0)
        world.more = {"decode": {"target": "2"}}
        world.engine.registry.asked(world.request("decode"), START + 5)
        decisions = [await world.at(5) and world.engine.decisions()][0]
        assert sorted((one.key.name, one.replicas) for one in decisions) == [
            ("decode", 6), ("decode", 6), ("prefill", 2),
        ]  # fmt: skip

    play(scenario)


def test_two_objects_that_are_one_output_are_two_groups_only_where_their_triggers_say_so():
    async def scenario(more, said):
        world = World(load={"prompts": 2, "tokens": 6}, seen=False, more=more)
        for name in ("prefill", "decode"):
            world.engine.registry.asked(world.request(name), START)
        other = TriggerRef("team", "other", (("formula", "disaggregated"), ("output", "decode")))
        world.engine.registry.asked(other, START)
        decided = await world.at(0)
        assert ("decode and other are each its decode" in decided["prefill"].reason) is said
        expected = "are each its decode" if said else "nothing is known of prefill yet"
        assert expected in decided["other"].reason

    play(lambda: scenario({}, True))
    play(lambda: scenario({name: {"group": "blue"} for name in ("prefill", "decode")}, False))


def test_in_a_declared_order_decode_waits_until_prefill_is_ready():
    async def scenario():
        world = World(formula="ordered", load={"prompts": 0, "tokens": 0}, replicas={"prefill": 0, "decode": 0})
        await world.until(0, 60)
        world.load = {"prompts": 2, "tokens": 6}
        assert told(await world.at(60)) == {"prefill": (2, True), "decode": (0, False)}
        world.starting = {"prefill": 2}
        decided = await world.at(65)
        assert told(decided)["decode"] == (0, False)
        assert "decode: 0 of 6 until prefill is ready" in decided["decode"].reason
        world.starting = {"prefill": 1}
        assert told(await world.at(70))["decode"] == (3, True)
        world.starting = {}
        assert told(await world.at(75)) == {"prefill": (2, True), "decode": (6, True)}

    play(scenario)


def test_a_minimum_of_one_keeps_all_from_zero():
    async def scenario():
        world = World(load={"prompts": 0, "tokens": 0}, minimum=1)
        decided = await world.until(0, 120)
        assert told(decided) == {"prefill": (1, True), "decode": (1, True)}
        assert "minReplicaCount of prefill and decode is above 0" in decided["prefill"].reason

    play(scenario)


def test_each_member_explains_its_group():
    async def scenario():
        world = World(load={"prompts": 8, "tokens": 2})
        decided = await world.at(0)
        text = as_text(explain(decided["decode"]))
        assert "decided together with its group" in text
        assert "1 to 3 of decode for each of prefill" in text
        assert "decode (decode, this one)              8, active; by itself 2, active, certain" in text
        assert "! decode: 8 and not 2, for the ratio" in text
        assert decided["decode"].reason.startswith("8 replicas, active, for its group (decode: 8 and not 2, for the")
        assert "by itself 2 replicas: tokens = 2" in decided["decode"].reason

    play(scenario)


def test_the_same_file_in_another_namespace_is_another_group():
    async def scenario():
        world = World(load={"prompts": 2, "tokens": 6}, seen=False)
        other = TriggerRef("other", "prefill", world.request("prefill").metadata)
        for request in (world.request("prefill"), world.request("decode"), other):
            world.engine.registry.asked(request, START)
        await world.at(0)
        groups = {(one.key.namespace, one.key.name): one.group for one in world.engine.decisions()}
        assert [part.name for part in groups["other", "prefill"].parts] == ["prefill"]
        assert [part.name for part in groups["team", "decode"].parts] == ["prefill", "decode"]

    play(scenario)
