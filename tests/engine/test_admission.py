"""Admission: which part of the event loop is whose."""

import asyncio
import contextlib
import time
from itertools import pairwise

import pytest

from scaler.engine import admission
from scaler.engine.admission import CROWD, FEW, REST, SLICE, Admission
from scaler.model.errors import NoAnswer, Overloaded


def play(scenario):
    asyncio.run(asyncio.wait_for(scenario, 20))


def _established(budget):
    """One that somebody was served by for a minute."""
    gate = Admission(budget)
    for now in (1000.0, 1030.0, 1060.0):
        gate.served(now)
    return gate


def _work():
    """Take a slice of the loop."""
    until = time.monotonic() + SLICE
    while time.monotonic() < until:
        pass


def test_a_call_of_another_namespace_is_answered_before_the_rest_of_a_flood():
    async def scenario():
        gate, answered = Admission(2.0), []

        async def call(namespace):
            await gate.call(namespace)
            answered.append(namespace)

        flood = [asyncio.ensure_future(call("red")) for _ in range(400)]
        await asyncio.sleep(0)
        await asyncio.wait_for(call("blue"), 5)
        assert answered.count("red") <= 400 // CROWD + 2 * CROWD
        await asyncio.gather(*flood)

    play(scenario())


def test_a_flood_of_one_namespace_is_refused_above_a_limit_and_no_other_namespace_is(monkeypatch):
    monkeypatch.setattr(admission, "MAX_CALLS", 10)
    monkeypatch.setattr(admission, "MAX_WAITING", 10)

    async def scenario():
        gate = Admission(2.0)
        for come in (gate.call, lambda namespace: gate.newcomer(namespace, 2.0)):
            await gate.work("red", known=False)  # and the round is full
            flood = [asyncio.ensure_future(come("red")) for _ in range(20)]
            await asyncio.sleep(0)
            with pytest.raises(Overloaded, match=r"10 .*namespace red wait already; ask again later"):
                await come("red")
            await come("blue")
            await asyncio.gather(*flood, return_exceptions=True)

    play(scenario())


def test_what_is_new_has_all_of_the_loop_until_somebody_was_served_for_a_minute_and_then_a_quarter():
    async def shares(gate):
        """How long ten new workloads take, each of which has a slice of work."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for _ in range(10):
            await gate.work("red", known=False)
            _work()
        return loop.time() - began

    async def scenario():
        least = 9 * (1 + REST) * SLICE
        gate = Admission(2.0)
        gate.served(1000.0)
        assert gate._work._rest() == 0.0
        for now in (1030.0, 1060.0):
            gate.served(now)
        assert await shares(gate) >= least
        gate.served(2000.0)  # nobody was, for long: it has just taken over, and everybody is new
        assert gate._work._rest() == 0.0
        gate.served(1990.0)  # the clock was set
        assert gate._work._rest() == 0.0

    play(scenario())


def test_known_workloads_are_worked_on_while_new_ones_rest():
    async def scenario():
        gate = _established(2.0)
        done = []

        async def work(namespace, known):
            await gate.work(namespace, known=known)
            done.append(namespace)

        new = [asyncio.ensure_future(work(f"red-{number}", known=False)) for number in range(50)]
        await asyncio.sleep(0)
        await asyncio.wait_for(work("blue", known=True), 5)
        assert len(done) <= 3
        for one in new:
            one.cancel()
        await asyncio.gather(*new, return_exceptions=True)

    play(scenario())


def test_a_new_workload_that_has_no_turn_within_a_call_is_told_so():
    async def scenario():
        gate = _established(0.05)

        async def come():
            await gate.newcomer("red", 0.05)
            _work()

        told = await asyncio.gather(*(come() for _ in range(100)), return_exceptions=True)
        refused = [str(error) for error in told if isinstance(error, NoAnswer)]
        assert 50 < len(refused) < 100
        assert refused[-1].startswith(
            "no decision yet: it is new, and so are 98 others of namespace red that came before it"
        )

    play(scenario())


def test_callers_who_come_together_to_what_is_new_are_told_one_after_the_other():
    gate = _established(2.0)
    with contextlib.ExitStack() as waiting:
        patience = [waiting.enter_context(gate.patience()) for _ in range(FEW + 100)]
    assert patience[:FEW] == [2.0] * FEW  # a few may wait for all of their time
    told = sorted(patience[FEW:])
    assert told[0] >= 1.0
    assert told[-1] < 2.0
    gaps = [later - earlier for earlier, later in pairwise(told)]
    assert max(gaps) < 3 * 1.0 / 100
    with gate.patience() as alone:
        assert alone == 2.0


def test_after_a_start_everybody_may_wait_for_all_of_a_calls_time():
    gate = Admission(2.0)
    with contextlib.ExitStack() as waiting:
        assert {waiting.enter_context(gate.patience()) for _ in range(100)} == {2.0}
