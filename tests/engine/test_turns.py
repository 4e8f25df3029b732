"""Turns: one of each owner after the other, so many in a round, whatever is cancelled meanwhile."""

import asyncio
import random

import pytest

from scaler.engine.turns import Turns


def served(owners, give_up=(), turns=None, ahead=()):
    """In which order these owners get their turn, who all come at once."""
    order = []

    async def scenario():
        gate = turns or Turns(1)

        async def come(owner):
            await gate.of(owner, ahead=owner in ahead)
            order.append(owner)

        coming = [asyncio.ensure_future(come(owner)) for owner in owners]
        await asyncio.sleep(0)
        for number in give_up:
            coming[number].cancel()
        await asyncio.gather(*coming, return_exceptions=True)
        assert gate.waiting() == 0
        await asyncio.wait_for(come("afterwards"), 5)

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
        leaving = {number for number in range(1, len(owners)) if chance.random() < 0.4}
        kept = sorted(owner for number, owner in enumerate(owners) if number not in leaving)
        assert sorted(served(owners, leaving)) == kept


def test_those_that_are_ahead_have_three_turns_for_each_one_of_the_others():
    assert served("xxxx" + "a" * 8, ahead="a") == "xaaaxaaaxaax"


def test_nobody_waits_while_there_are_turns_and_a_crowd_has_more_of_them():
    async def scenario():
        gate, rounds = Turns(3, crowd=4), []

        async def come():
            await gate.of("a")
            rounds[-1] += 1

        coming = [asyncio.ensure_future(come()) for _ in range(43)]
        while not all(one.done() for one in coming):
            rounds.append(0)
            await asyncio.sleep(0)
        assert [count for count in rounds if count][:4] == [3, 10, 7, 5]

    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_who_has_a_turn_goes_on_until_it_is_over_and_the_loop_goes_round_before_the_next():
    async def scenario():
        gate, order = Turns(1, length=60.0), []

        async def work(owner):
            for _ in range(3):
                await gate.of(owner)
                order.append(owner)

        async def loop_goes_round():
            while len(order) < 6:
                order.append(".")
                await asyncio.sleep(0)

        await asyncio.gather(work("a"), work("b"), loop_goes_round())
        text = "".join(order)
        assert text.replace(".", "") == "aaabbb"
        assert "a.b" in text.replace("..", ".")

    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_the_others_rest_after_a_turn_and_nobody_who_is_ahead_waits_for_them():
    async def scenario():
        gate, loop, order = Turns(1, rest=lambda: 0.05), asyncio.get_running_loop(), []

        async def come(owner, ahead):
            await gate.of(owner, ahead=ahead)
            order.append((owner, loop.time()))

        others = [asyncio.ensure_future(come("x", ahead=False)) for _ in range(3)]
        await asyncio.sleep(0)
        await asyncio.gather(*(come("a", ahead=True) for _ in range(5)))
        await asyncio.gather(*others)
        assert "".join(owner for owner, _ in order) == "xaaaaaxx"
        times = [at for owner, at in order if owner == "x"]
        assert times[1] - times[0] >= 0.049
        assert times[2] - times[1] >= 0.049

    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_those_that_wait_are_counted_by_owner():
    async def scenario():
        gate = Turns(1, rest=lambda: 60.0)
        await gate.of("a")
        coming = [asyncio.ensure_future(gate.of(owner)) for owner in "aab"]
        await asyncio.sleep(0)
        assert (gate.waiting(), gate.waiting("a"), gate.waiting("b"), gate.waiting("c")) == (3, 2, 1, 0)
        for one in coming:
            one.cancel()
        await asyncio.gather(*coming, return_exceptions=True)
        assert gate.waiting() == 0

    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_more_calls_are_answered_once_no_more_come_or_after_a_few_looks():
    async def scenario():
        gate, answered = Turns(2, quiet=0.01), []

        async def call(number):
            await gate.of("a", ahead=True)
            answered.append(number)

        calls = [asyncio.ensure_future(call(number)) for number in range(3)]
        await asyncio.sleep(0)
        assert answered == [0, 1], "so few at a time do not wait"
        while len(answered) < 3:  # more and more come
            calls.append(asyncio.ensure_future(call(len(calls))))
            await asyncio.sleep(0.001)
        await asyncio.gather(*calls)
        assert answered == list(range(len(calls)))

    asyncio.run(asyncio.wait_for(scenario(), 20))
