"""Turns: one of each owner after the other, so many at a time, whatever is cancelled meanwhile."""

import asyncio
import random

import pytest

from scaler.engine.turns import Turns


def served(owners, give_up=()):
    """In which order these owners get their turn, who all come at once."""
    order = []

    async def scenario():
        turns, at_work = Turns(1), []

        async def come(number, owner):
            async with turns.of(owner):
                at_work.append(number)
                assert at_work == [number], "two at a time"
                try:
                    await asyncio.sleep(0)
                    order.append(owner)
                finally:
                    at_work.remove(number)

        coming = [asyncio.ensure_future(come(number, owner)) for number, owner in enumerate(owners)]
        await asyncio.sleep(0)
        for number in give_up:
            coming[number].cancel()
        await asyncio.gather(*coming, return_exceptions=True)
        await asyncio.wait_for(come(-1, "afterwards"), 5)

    asyncio.run(asyncio.wait_for(scenario(), 20))
    return "".join(order).removesuffix("afterwards")


@pytest.mark.parametrize(
    ("owners", "order"), [("", ""), ("a", "a"), ("aaaab", "abaaa"), ("aaabbbc", "abacbab"), ("abcabc", "abcabc")]
)
def test_one_of_each_owner_in_turn(owners, order):
    assert served(owners) == order


def test_who_gives_up_loses_nobody_a_turn():
    chance = random.Random(12)
    for _ in range(50):
        owners = [chance.choice("abc") for _ in range(chance.randrange(1, 20))]
        leaving = {number for number in range(len(owners)) if chance.random() < 0.4}
        kept = sorted(owner for number, owner in enumerate(owners) if number not in leaving)
        assert sorted(served(owners, leaving)) == kept


def test_so_many_at_a_time_as_may_be():
    async def scenario():
        turns, at_work, most = Turns(3), set(), []

        async def come(number):
            async with turns.of("a"):
                at_work.add(number)
                most.append(len(at_work))
                await asyncio.sleep(0)
                at_work.discard(number)

        for _ in range(3):  # and no more of them afterwards
            await asyncio.gather(*(come(number) for number in range(20)))
        assert max(most) == 3
        assert len(most) == 60

    asyncio.run(asyncio.wait_for(scenario(), 20))
