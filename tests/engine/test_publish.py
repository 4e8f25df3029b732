"""Workloads that share: each is folded in a tick of its own, and told what a step makes of all of them."""

import asyncio

from support.timelines import sharing

from scaler.config.bind import parse_file
from scaler.config.catalog import Catalog
from scaler.config.defaults import Defaults
from scaler.decision.together import SharingStep
from scaler.engine.engine import Engine
from scaler.engine.publish import Publisher
from scaler.model.measurement import NO_NAMESPACES, HistoryProbe, PromqlQuery, Reading, TriggerRef
from scaler.model.strict_yaml import parse_yaml

START = 100_000.0
LOAD = "name: load\nmetrics: {load: {prometheus: 'load{namespace=\"$namespace\"}'}}\nformula: load\ntarget: 1\n"
A, B, OTHER = (TriggerRef(name, "llama", (("formula", "load"), ("interval", "5s"))) for name in ("a", "b", "other"))
SLOW = TriggerRef("b", "llama", (("formula", "load"), ("interval", "10s")))


class Loads:
    """A source: one load for each namespace."""

    def __init__(self, **loads):
        self.loads = loads

    def fetch(self, queries, times, namespaces=NO_NAMESPACES):
        return {query: [Reading(self.measure(query), at) for at in times] for query in queries}

    def measure(self, query):
        if isinstance(query, HistoryProbe):
            return 1.0
        return next(
            (self.loads[name] for name in self.loads if isinstance(query, PromqlQuery) and f'"{name}"' in query.text),
            None,
        )


def played(scenario, loads, *before):
    """Run a scenario with an engine whose step shares 8 replicas among `a` and `b`."""

    async def run():
        source, heard = Loads(**loads), []
        catalog = Catalog({"load": parse_file(parse_yaml(LOAD, "load"), "load")})
        step = sharing(8, lambda spec: spec.key.namespace in {"a", "b"})
        engine = Engine(
            {"default": source},
            catalog,
            Defaults(scale_down=None),
            lambda: START,
            steps=[*before, step],
            on_decision=lambda _before, decision: heard.append((decision.key.namespace, decision.replicas)),
        )
        try:
            await scenario(engine, source, heard)
        finally:
            await engine.close()

    asyncio.run(asyncio.wait_for(run(), 30))


def told(engine):
    return {decision.key.namespace: decision.replicas for decision in engine.decisions()}


def test_workloads_of_one_tick_are_told_what_they_share_and_others_what_they_ask_for():
    async def scenario(engine, _source, heard):
        for request in (A, B, OTHER):
            engine.registry.asked(request, START)
        await engine.tick(START)
        assert told(engine) == {"a": 4, "b": 4, "other": 6}
        assert sorted(heard) == [("a", 4), ("b", 4), ("other", 6)], "and nobody is told twice"

    played(scenario, {"a": 6, "b": 6, "other": 6})


def test_who_was_not_due_is_told_at_once_what_another_one_gave_back():
    async def scenario(engine, source, heard):
        for request in (A, SLOW):
            engine.registry.asked(request, START)
        await engine.tick(START)
        waiting = asyncio.ensure_future(engine.registry.workloads[SLOW].changed.wait())
        await asyncio.sleep(0)
        source.loads["a"] = 1
        heard.clear()
        await engine.tick(START + 5)
        assert engine.registry.workloads[SLOW].folded == START
        assert sorted(heard) == [("a", 1), ("b", 6)]
        assert await waiting, "and streams are woken"
        heard.clear()
        await engine.tick(START + 15)
        assert sorted(heard) == [("a", 1), ("b", 6)]

    played(scenario, {"a": 6, "b": 6})


def test_nothing_is_limited_twice_and_what_was_told_is_not_lowered_on_uncertain_data():
    async def scenario(engine, source, _heard):
        for request in (A, B):
            engine.registry.asked(request, START)
        for tick in range(4):
            await engine.tick(START + 5 * tick)
            assert told(engine) == {"a": 4, "b": 4}
        source.loads = {}
        await engine.tick(START + 20)
        assert told(engine) == {"a": 4, "b": 4}
        assert {decision.certainty for decision in engine.decisions()} == {"held"}

    played(scenario, {"a": 6, "b": 6})


def test_without_steps_nobody_is_decided_together():
    engine_has_none = Publisher(lambda: START, lambda: None, lambda _before, _decision: None, [])
    assert not engine_has_none.is_shared(None)


def test_a_step_that_fails_is_left_out_and_said(caplog):
    async def scenario(engine, _source, _heard):
        for request in (A, B):
            engine.registry.asked(request, START)
        await engine.tick(START)
        assert told(engine) == {"a": 4, "b": 4}
        assert caplog.records[-1].step == "broken"

    played(scenario, {"a": 6, "b": 6}, SharingStep("broken", lambda _spec: True, lambda _decided: 1 / 0))
