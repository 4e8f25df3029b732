"""Variants of one model in the engine: the cheapest mix of GPUs, each kind with a ScaledObject of its own."""

from dataclasses import dataclass, field
from typing import ClassVar

from support.together import Together, play, told

from scaler.decision.explain import explain
from scaler.decision.render import as_text

NAMES = ("a10g", "a100")
FILE = """
name: melange
metrics:
  ss: {prometheus: ss}
  sl: {prometheus: sl}
  ls: {prometheus: ls}
  ll: {prometheus: ll}
demand: {ss: ss, sl: sl, ls: ls, ll: ll}
variants:
  a10g: {cost: 1.01, carries: {ss: 2, sl: 1, ls: 5, ll: 2}}
  a100: {cost: 3.67, carries: {ss: 20, sl: 20, ls: 40, ll: 20}}
slices: 1
idleFor: 30s
holdFor: 60s
"""
MELANGE = {"ss": 6.0, "sl": 3.0, "ls": 15.0, "ll": 6.0}  # 30 requests a second, as in its published example


@dataclass(kw_only=True)
class World(Together):
    """One model on two GPUs."""

    files: ClassVar = {"melange": FILE}

    formula: str = "melange"
    names: tuple = NAMES
    load: dict = field(default_factory=lambda: dict(MELANGE))
    replicas: dict = field(default_factory=lambda: dict.fromkeys(NAMES, 0))


def test_melanges_published_example_comes_out_of_the_whole_path_and_says_what_it_is():
    async def scenario():
        world = World()
        decided = await world.at(0)
        assert told(decided) == {"a10g": (3, True), "a100": (1, True)}
        mix = "3 x a10g and 1 x a100 at 6.7, the cheapest for ss 6, sl 3, ls 15, ll 6"
        assert decided["a10g"].reason.startswith(f"3 replicas, active, for its group ({mix}); by itself 12 replicas")
        assert f"    {mix}\n    a10g (a10g, this one)" in as_text(explain(decided["a10g"]))

    play(scenario)


def test_a_demand_that_ends_ends_all_of_them_at_the_same_time_and_one_that_begins_starts_what_is_cheapest():
    async def scenario():
        world = World()
        await world.until(0, 60)
        world.load = dict.fromkeys(MELANGE, 0.0)
        words = [{one.active for one in (await world.at(at)).values()} for at in range(60, 120, 5)]
        assert words[-1] == {False}
        assert all(len(word) == 1 for word in words), "never one alone"
        world.load = {**world.load, "ls": 4.0}
        assert told(await world.at(120)) == {"a10g": (1, True), "a100": (0, False)}

    play(scenario)


def test_a_variant_is_let_go_only_when_the_others_are_ready_and_at_a_pace():
    async def scenario():
        world = World(load={**dict.fromkeys(MELANGE, 0.0), "ls": 15.0}, replicas={"a10g": 3, "a100": 0})
        await world.until(0, 600)
        assert world.replicas == {"a10g": 3, "a100": 0}
        world.load["sl"] = 20.0  # which one a100 carries at 3.67, and 20 a10g; it then has room for the rest
        world.load["ls"] = 0.0
        world.starting = {"a100": 1}
        decided = await world.until(600, 1200)
        assert told(decided) == {"a10g": (3, True), "a100": (1, True)}
        assert "a10g: 3, not yet 0, until 1 x a100 ready" in decided["a10g"].reason
        world.starting = {}
        counts = [(await world.at(at))["a10g"].replicas for at in range(1200, 1800, 5)]
        assert counts == sorted(counts, reverse=True)
        assert set(counts) == {3, 2, 1, 0} or set(counts) == {2, 1, 0}, "one in a minute"
        assert world.replicas == {"a10g": 0, "a100": 1}

    play(scenario)


def test_without_the_data_all_of_them_hold_and_after_hold_for_nobody_has_an_answer():
    async def scenario():
        world = World()
        await world.until(0, 30)
        world.load["ls"] = "no route to host"
        decided = await world.until(30, 80)
        assert told(decided) == {"a10g": (3, True), "a100": (1, True)}
        assert "nobody is lowered: the data of a10g is not certain" in decided["a100"].reason
        decided = await world.until(80, 200)
        assert told(decided) == {"a10g": (None, None), "a100": (None, None)}

    play(scenario)


def test_a_variant_that_was_never_asked_about_keeps_the_others_as_they_are_for_hold_for():
    async def scenario():
        world = World(names=("a10g",), replicas={"a10g": 2, "a100": 0})
        assert told(await world.at(0)) == {"a10g": (2, True)}
        decided = await world.until(5, 100)
        assert told(decided) == {"a10g": (None, None)}
        assert decided["a10g"].reason.startswith("no answer: for 1m35s, which is more than holdFor, its group has not")

    play(scenario)


def test_a_minimum_of_one_variant_counts_in_the_mix():
    async def scenario():
        world = World(load={**dict.fromkeys(MELANGE, 0.0), "sl": 3.0}, minimum=1)
        assert told(await world.at(0)) == {"a10g": (1, True), "a100": (1, True)}, (
            "one a100 has room for two of the three"
        )

    play(scenario)
