"""The engine on timelines: a source is a function of the time, and ticks are called, not waited for."""

import asyncio
import logging
import threading

import pytest

from scaler.config.bind import parse_file
from scaler.config.catalog import Catalog
from scaler.config.defaults import Defaults
from scaler.engine import fold as fold_module
from scaler.engine.engine import LONGEST_REST, Engine
from scaler.engine.limits import Limits
from scaler.engine.schedule import CALM
from scaler.model.errors import ConfigError, NoAnswer, Overloaded, UnknownFormula
from scaler.model.measurement import NO_NAMESPACES, Failure, HistoryProbe, PromqlQuery, Reading, SignalQuery, TriggerRef
from scaler.model.strict_yaml import parse_yaml

START = 100_000.0
LOAD = "name: load\nmetrics: {{load: {{prometheus: 'load{{namespace=\"$namespace\"}}'}}}}\nformula: load\ntarget: {target}\nidleFor: 30s\n"


class Timeline:
    """A source whose load is a function of the time; counts what it was asked."""

    def __init__(self, load):
        self.load = load
        self.questions = []

    def fetch(self, queries, times, namespaces=NO_NAMESPACES):
        self.questions.append((set(queries), list(times)))
        return {query: [self.measure(query, at) for at in times] for query in queries}

    def measure(self, query, at):
        if isinstance(query, HistoryProbe):
            return Reading(1.0, at)
        if not isinstance(query, PromqlQuery):
            return Reading(None, at)
        value = self.load(at)
        return Failure(value, at) if isinstance(value, str) else Reading(value, at)


class Clock:
    def __init__(self, now=START):
        self.now = now

    def __call__(self):
        return self.now


def catalog(**targets):
    return Catalog({name: formula(name, target) for name, target in targets.items()})


def formula(name, target):
    return parse_file(parse_yaml(LOAD.format(target=target).replace("name: load", f"name: {name}"), name), name)


def request(name="llama", formula="load", **metadata):
    return TriggerRef("team", name, tuple(sorted({"formula": formula, **metadata}.items())))


def engine_of(load=lambda _at: 40.0, clock=None, limits=None, sources=None, **more):
    sources = sources or {"default": Timeline(load)}
    return Engine(
        sources, catalog(load=10), Defaults(endpoints=tuple(sources), scale_down=None), clock or Clock(), limits, **more
    )


def play(scenario):
    """Run a scenario that takes no time."""
    asyncio.run(asyncio.wait_for(scenario, 30))


async def first(engine, asked=None):
    """The first decision of a request: its read waits while ticks are made."""
    reading = asyncio.ensure_future(engine.read(asked or request()))
    await asyncio.sleep(0)
    await engine.tick(engine._clock())
    while not reading.done():  # others may be asked about first
        await asyncio.sleep(0.001)
        await engine.tick(engine._clock())
    return await reading


def test_a_first_question_waits_for_its_first_decision_and_later_ones_only_read():
    async def scenario():
        engine = engine_of()
        decision = await first(engine)
        assert (decision.replicas, decision.active, decision.at) == (4, True, START)
        assert await engine.read(request()) is decision
        assert engine.find("team", "llama") == engine.decisions() == [decision]
        assert engine.find("team", "other") == []
        await engine.close()

    play(scenario())


def test_the_history_of_a_new_workload_is_folded_so_that_it_knows_the_past_at_once():
    async def scenario():
        engine = engine_of(lambda _at: 0.0)
        assert (await first(engine)).active is False  # 30 s of quiet are in the history
        [(_, times)] = engine._collector._sources["default"].questions
        assert times == [START - Limits().evaluation_delay - 30 + step * 5 for step in range(7)]
        await engine.close()

    play(scenario())


def test_a_history_that_cannot_be_had_is_not_an_outage_that_was_seen():
    async def scenario():
        engine = engine_of(lambda at: 40.0 if at >= START - 1 else "no history")
        decision = await first(engine)
        assert (decision.certainty, decision.replicas) == ("certain", 4)
        await engine.close()

    play(scenario())


def test_calls_are_answered_while_a_long_past_is_folded():
    class Telling(Timeline):
        answered = False

        def fetch(self, queries, times, namespaces=NO_NAMESPACES):
            answers = super().fetch(queries, times, namespaces)
            self.answered = True
            return answers

    async def scenario():
        source = Telling(lambda _at: 40.0)
        engine = engine_of(sources={"default": source})
        deciding = asyncio.ensure_future(first(engine, request(interval="1s", idleFor="1h")))
        turns = 0
        while not deciding.done():
            await asyncio.sleep(0)
            turns += source.answered
        assert turns > 100, "one for each slice of work"
        await engine.close()

    play(scenario())


def test_a_past_that_could_not_be_asked_for_is_asked_for_again_at_the_next_tick():
    async def scenario():
        engine = engine_of(lambda _at: 0.0)
        source = engine._collector._sources["default"]
        measure, source.measure = source.measure, lambda _ask, at: Failure("timed out", at)
        with pytest.raises(NoAnswer, match="no certain answer yet: load: timed out"):
            await first(engine)
        await engine.tick(START + 4)
        assert len(source.questions) == 1, "not before the next tick"
        source.measure = measure
        await engine.tick(START + 5)
        assert (await engine.read(request())).active is False, "30 s of quiet were in the past"
        await engine.close()

    play(scenario())


async def arrived(engine, count):
    """So many new workloads, all of which wait for their first answer."""
    waiting = [asyncio.ensure_future(engine.read(request(f"w{number}"))) for number in range(count)]
    while len(engine.registry.workloads) < count:  # noqa: ASYNC110 - they come one after another
        await asyncio.sleep(0)
    return waiting


def test_a_burst_of_new_workloads_is_answered_at_once_and_their_past_is_asked_about_in_bounded_questions():
    async def scenario():
        engine = engine_of(limits=Limits(budget=25))
        waiting = await arrived(engine, 250)
        await engine.tick(START)
        assert [(await one).replicas for one in waiting] == [4] * 250
        for _ in range(3):
            await engine.tick(START + CALM)
        assert {decision.at for decision in engine.decisions()} == {START}
        questions = engine._collector._sources["default"].questions
        asked = [(sum(isinstance(query, SignalQuery) for query in queries), len(times)) for queries, times in questions]
        assert asked == [(1000, 1), (400, 7), (400, 7), (200, 7)], "four facts of each HPA"
        await engine.tick(START + CALM)
        assert len(questions) == 4
        await engine.close()

    play(scenario())


def test_of_long_pasts_two_are_asked_for_at_a_time_and_short_ones_do_not_wait_for_them():
    """An hour of ticks of a second, for 24 workloads of one namespace at once, took 1.3 GB."""

    async def scenario():
        engine = engine_of(limits=Limits(budget=25))
        long = [request(f"long-{number}", interval="1s", idleFor="1h") for number in range(5)]
        waiting = [asyncio.ensure_future(engine.read(one)) for one in (*long, request("short"))]
        while len(engine.registry.workloads) < 6:  # noqa: ASYNC110 - they come in turn
            await asyncio.sleep(0)
        known = []
        for _ in range(3):
            await engine.tick(START)
            known.append(sorted(decision.key.name for decision in engine.decisions()))
        assert [len(names) for names in known] == [3, 5, 6]
        assert "short" in known[0]
        assert [(await one).replicas for one in waiting] == [4] * 6
        await engine.close()

    play(scenario())


def test_a_crowd_that_comes_one_after_another_is_asked_about_in_few_questions():
    """Each question costs as much as many workloads in it, so that a restart would drown in small ones."""

    async def scenario():
        loop = asyncio.get_running_loop()
        engine = engine_of(limits=Limits(budget=25))
        began, running = loop.time(), asyncio.ensure_future(engine.run())
        waiting = await arrived(engine, 400)
        assert [(await one).replicas for one in waiting] == [4] * 400
        took, questions = loop.time() - began, engine._collector._sources["default"].questions
        new = [times for _, times in questions if len(times) == 1]
        assert len(new) <= 3 + took / LONGEST_REST
        running.cancel()
        await engine.close()

    play(scenario())


def test_pasts_wait_until_a_crowd_has_come():
    async def scenario():
        engine = engine_of(limits=Limits(budget=25))
        first = await arrived(engine, 150)
        await engine.tick(START)
        await engine.tick(START)
        second = [asyncio.ensure_future(engine.read(request(f"late{number}"))) for number in range(150)]
        while len(engine.registry.workloads) < 300:  # noqa: ASYNC110 - they come one after another
            await asyncio.sleep(0)
        await engine.tick(START)
        questions = engine._collector._sources["default"].questions
        assert [len(times) for _, times in questions] == [1, 1]
        assert [(await one).replicas for one in first + second] == [4] * 300
        await engine.close()

    play(scenario())


def test_questions_for_new_workloads_grow_while_an_endpoint_still_answers_two():
    release = threading.Event()

    class Slow(Timeline):
        def fetch(self, queries, times, namespaces=NO_NAMESPACES):
            release.wait(20)
            return super().fetch(queries, times, namespaces)

    async def scenario():
        slow = Slow(lambda _at: 40.0)
        sources = {"default": slow, "quick": Timeline(lambda _at: 40.0)}
        engine = engine_of(sources=sources, limits=Limits(budget=25, patience=25))
        waiting, ticks = [], []
        for number in range(9):
            waiting.append(asyncio.ensure_future(engine.read(request(f"w{number}"))))
            while len(engine.registry.workloads) <= number:  # noqa: ASYNC110 - it has its turn
                await asyncio.sleep(0)
            ticks.append(asyncio.ensure_future(engine.tick(START)))
            for _ in range(20):  # until its question is asked, or waits
                await asyncio.sleep(0)
        other = await first(engine, request("other", endpoint="quick"))
        assert other.replicas == 4, "and nobody else waits for it"
        release.set()
        await asyncio.gather(*ticks)
        await engine.tick(START)
        assert [(await one).replicas for one in waiting] == [4] * 9
        sizes = [sum(isinstance(query, SignalQuery) for query in queries) / 4 for queries, _ in slow.questions]
        assert sizes == [1, 1, 7]
        await engine.close()

    play(scenario())


def test_whom_a_first_look_cannot_answer_is_answered_from_its_past():
    async def scenario():
        engine = engine_of(lambda _at: 0.0, limits=Limits(budget=25))
        waiting = await arrived(engine, 150)
        for _ in range(3):
            await engine.tick(START)  # while others may still come
        assert {(await one).active for one in waiting} == {False}, "30 s of quiet were in the past"
        await engine.close()

    play(scenario())


def test_a_first_look_lowers_nothing_that_is_there():
    class Idle(Timeline):
        def measure(self, query, at):
            known = {"current_replicas": 9.0, "ready_replicas": 9.0}
            if isinstance(query, SignalQuery) and query.signal in known:
                return Reading(known[query.signal], at)
            return super().measure(query, at)

    async def scenario():
        sources = {"default": Idle(lambda _at: 20.0)}
        engine = Engine(sources, catalog(load=10), Defaults(), Clock(), Limits(budget=25))
        waiting = await arrived(engine, 101)
        await engine.tick(START)
        assert {(await one).replicas for one in waiting} == {9}
        await engine.close()

    play(scenario())


def test_a_tick_asks_every_source_once_and_a_grid_time_is_folded_once():
    async def scenario():
        engine = engine_of()
        source = engine._collector._sources["default"]
        await first(engine, request("a"))
        await first(engine, request("b"))
        source.questions.clear()
        await engine.tick(START + 3)  # still the same grid time
        assert source.questions == []
        await engine.tick(START + 5)
        [(queries, times)] = source.questions
        assert times == [START + 5 - Limits().evaluation_delay]  # the grid time less the evaluation delay
        assert sum(isinstance(query, PromqlQuery) for query in queries) == 1, "equal asks are one ask"
        await engine.close()

    play(scenario())


def test_ticks_fall_just_before_the_looks_of_the_hpa_and_are_no_more_than_before():
    """The HPA looks every 15 s; another's polls, every 30 s, leave the grid alone."""

    async def scenario():
        clock = Clock()
        engine = engine_of(clock=clock)
        source = engine._collector._sources["default"]
        await first(engine, request("hpa"))
        await first(engine, request("polled"))
        at = {"hpa": [], "polled": []}
        for tenth in range(1, 1200):
            clock.now = START + tenth / 10
            await engine.tick(clock.now)
            for name, look, period in (("hpa", 36, 150), ("polled", 36, 300)):
                if tenth % period == look:
                    at[name].append(clock.now - (await engine.read(request(name))).at)
        assert [round(age, 1) for age in at["hpa"]] == 3 * [3.6] + 5 * [0.6]
        assert [round(age, 1) for age in at["polled"]] == 4 * [3.6]
        questions = [times[-1] for _, times in source.questions if len(times) == 1]
        assert len(questions) <= 2 * 120 / 5
        await engine.close()

    play(scenario())


def test_who_came_first_is_asked_about_first():
    class Ordered(Timeline):
        def fetch(self, queries, times, namespaces=NO_NAMESPACES):
            self.models = [dict(query.labels).get("model") for query in queries if isinstance(query, SignalQuery)]
            self.whose = set(namespaces.values())
            return super().fetch(queries, times, namespaces)

    async def scenario():
        source = Ordered(lambda _at: 40.0)
        engine = engine_of(sources={"default": source})
        models = [f"m{number}" for number in (7, 3, 9, 1, 5)]
        for model in models:
            metadata = (("expression", "waiting"), ("model", model), ("target", "1"))
            engine.registry.asked(TriggerRef(f"team-{model}", model, metadata), START)
        await engine.tick(START)
        assert source.whose == {f"team-{model}" for model in models}
        assert [model for model in dict.fromkeys(source.models) if model] == models
        await engine.close()

    play(scenario())


def test_a_wrong_trigger_is_an_error_at_once_and_no_workload():
    async def scenario():
        engine = engine_of()
        for _ in range(2):  # KEDA retries at once
            with pytest.raises(ConfigError, match="trigger: oops: unknown key"):
                await engine.read(request(oops="1"))
            with pytest.raises(UnknownFormula):
                await engine.read(request(formula="nope"))
        assert engine.registry.workloads == {}
        for number in range(2000):
            with pytest.raises(ConfigError):
                await engine.read(request(oops=str(number)))
        assert len(engine.registry.errors) <= 512
        assert engine.refusals("team", "llama")[-1].startswith("trigger: oops: unknown key")
        assert engine.refusals("team", "other") == []
        with pytest.raises(ConfigError, match="metadata: a value of 1000000 characters|oops"):
            await engine.read(request(oops="x" * 1_000_000))
        assert "x" * 100 not in str(engine.registry.errors), "what is too large is not kept"
        await engine.close()

    play(scenario())


def test_a_source_that_takes_too_long_is_no_decision_within_the_budget():
    async def scenario():
        engine = engine_of(limits=Limits(budget=0.01))
        with pytest.raises(NoAnswer, match="no decision yet: the first measurement took longer than 10ms"):
            await engine.read(request())
        await engine.close()

    play(scenario())


def test_a_client_that_gives_up_does_not_cancel_the_work():
    async def scenario():
        engine = engine_of()
        impatient, patient = (asyncio.ensure_future(engine.read(request())) for _ in range(2))
        await asyncio.sleep(0)
        impatient.cancel()
        await engine.tick(START)
        assert (await patient).replicas == 4
        await engine.close()

    play(scenario())


def test_an_uncertain_decision_without_an_answer_is_an_error_with_the_reason():
    async def scenario():
        engine = engine_of(lambda _at: "connection refused")
        with pytest.raises(NoAnswer, match="no certain answer yet: load: connection refused"):
            await first(engine)
        await engine.close()

    play(scenario())


def test_a_server_that_stopped_deciding_says_so():
    async def scenario():
        clock = Clock()
        engine = engine_of(clock=clock)
        await first(engine)
        clock.now += 1000
        with pytest.raises(NoAnswer, match="the newest decision is 16m40s old: this server has stopped deciding"):
            await engine.read(request())
        await engine.close()

    play(scenario())


def test_a_source_that_raises_harms_only_its_own_asks(caplog):
    class Broken:
        def fetch(self, queries, times, namespaces=NO_NAMESPACES):
            raise RuntimeError("boom")

    async def scenario():
        engine = engine_of(sources={"default": Timeline(lambda _at: 40.0), "broken": Broken()})
        with caplog.at_level(logging.CRITICAL):
            good = asyncio.ensure_future(first(engine))
            with pytest.raises(
                NoAnswer, match=r"broken gave an answer that llm-scaler cannot read \(RuntimeError: boom\)"
            ):
                await first(engine, request("other", endpoint="broken"))
        assert (await good).replicas == 4
        assert engine.fetches["default"].answered > 0
        assert engine.fetches["broken"].failed > 0
        await engine.close()

    play(scenario())


def test_a_source_that_raises_at_one_question_answers_the_others(caplog):
    class Touchy(Timeline):
        def fetch(self, queries, times, namespaces=NO_NAMESPACES):
            if any("odd" in str(query) for query in queries):
                raise OverflowError("cannot convert float infinity to integer")
            return super().fetch(queries, times, namespaces)

    async def scenario():
        engine = engine_of(sources={"default": Touchy(lambda _at: 40.0)})
        with caplog.at_level(logging.CRITICAL):
            honest = [asyncio.ensure_future(first(engine, request(f"good-{number}"))) for number in range(9)]
            with pytest.raises(
                NoAnswer, match=r"default gave an answer that llm-scaler cannot read \(OverflowError: cannot"
            ):
                await first(engine, TriggerRef("odd", "culprit", (("formula", "load"),)))
        assert [(await one).replicas for one in honest] == [4] * 9
        assert [(await one).certainty for one in honest] == ["certain"] * 9
        await engine.close()

    play(scenario())


def test_a_workload_that_cannot_be_decided_is_told_why_and_the_others_are_decided(caplog, monkeypatch):
    real = fold_module.decide

    def touchy(spec, state, inputs, now):
        if spec.key.name == "culprit":
            raise ZeroDivisionError("odd")
        return real(spec, state, inputs, now)

    async def scenario():
        monkeypatch.setattr(fold_module, "decide", touchy)
        engine = engine_of()
        with caplog.at_level(logging.CRITICAL):
            honest = asyncio.ensure_future(first(engine))
            with pytest.raises(NoAnswer, match=r"nothing can be decided for it \(ZeroDivisionError: odd\)"):
                await first(engine, request("culprit"))
        assert (await honest).replicas == 4
        await engine.close()

    play(scenario())


def test_a_source_that_hangs_delays_nobody_else_and_is_not_piled_up_on():
    release = threading.Event()

    class Hung(Timeline):
        def fetch(self, queries, times, namespaces=NO_NAMESPACES):
            self.questions.append(times)
            release.wait(20)
            return super().fetch(queries, times, namespaces)

    async def scenario():
        clock = Clock()
        hung = Hung(lambda _at: 1.0)
        sources = {"default": Timeline(lambda _at: 40.0), "hung": hung}
        engine = engine_of(sources=sources, clock=clock, limits=Limits(patience=0.05))
        slow = request("slow", endpoint="hung")
        waiting = asyncio.ensure_future(engine.read(slow))
        assert (await first(engine)).replicas == 4
        with pytest.raises(NoAnswer, match="hung did not come back within 50ms"):
            await waiting
        for _ in range(5):
            clock.now += 5
            await engine.tick(clock.now)
        assert len(hung.questions) <= 2
        assert "has not come back since an earlier question" in engine.find("team", "slow")[0].reason
        assert engine.find("team", "llama")[0].at == clock.now
        release.set()
        await engine.close()

    play(scenario())


def test_a_fold_that_fails_leaves_the_old_decision_to_age(caplog):
    async def scenario():
        engine = engine_of()
        decision = await first(engine)
        engine._collector._sources["default"].measure = lambda _ask, _at: object()
        with caplog.at_level(logging.CRITICAL):
            await engine.tick(START + 5)
        assert engine.decisions() == [decision]
        await engine.close()

    play(scenario())


# ---- which workloads there are ----------------------------------------------------------------------------------------------


def test_ten_thousand_made_up_workloads_do_not_drive_out_the_real_ones():
    async def scenario():
        clock = Clock()
        engine = engine_of(clock=clock, limits=Limits(workloads=100))
        await first(engine)
        clock.now += 70
        await engine.tick(clock.now)
        assert await engine.read(request())
        for number in range(10_000):
            engine.registry.asked(request(f"made-up-{number}"), clock.now)
        assert len(engine.registry.workloads) == 100
        assert request() in engine.registry.workloads
        await engine.close()

    play(scenario())


def test_a_flood_of_newcomers_keeps_nobody_waiting_who_is_known_and_comes_in_turn():
    async def scenario():
        engine = engine_of(limits=Limits(budget=0.5))
        await first(engine)
        flood = [TriggerRef("evil", f"made-up-{number}", (("formula", "load"),)) for number in range(200)]
        coming = [asyncio.ensure_future(engine.read(one)) for one in flood]
        honest = asyncio.ensure_future(engine.read(request()))
        newcomer = asyncio.ensure_future(engine.read(request("newcomer")))
        assert (await honest).replicas == 4
        assert len(engine.registry.workloads) < 30, "the known one waited for a moment of the flood, not for all of it"
        while request("newcomer") not in engine.registry.workloads:  # noqa: ASYNC110 - it comes in its turn
            await asyncio.sleep(0)
        assert len(engine.registry.workloads) < 100, "and one of another namespace comes before the rest of the flood"
        for one in (*coming, newcomer):
            one.cancel()
        await asyncio.gather(*coming, newcomer, return_exceptions=True)
        assert (await engine.read(request())).replicas == 4
        await engine.close()

    play(scenario())


def test_a_flood_above_the_limit_forgets_its_own():
    async def scenario():
        clock = Clock()
        engine = engine_of(clock=clock, limits=Limits(workloads=20))
        names = [f"calm-{number}" for number in range(5)]
        for name in names:
            await first(engine, request(name))
        for number in range(100):
            clock.now += 1
            engine.registry.asked(TriggerRef("evil", f"made-up-{number}", (("formula", "load"),)), clock.now)
        assert {request(name) for name in names} <= engine.registry.workloads.keys()
        assert len(engine.registry.workloads) == 20
        await engine.close()

    play(scenario())


def test_one_object_more_than_a_namespace_may_have_is_refused_and_no_other_namespace_feels_it():
    async def scenario():
        engine = engine_of(limits=Limits(objects_per_namespace=2))
        for name in ("one", "two"):
            await first(engine, TriggerRef("greedy", name, (("formula", "load"),)))
        with pytest.raises(Overloaded, match=r"allowed: 2 \(limits.objectsPerNamespace"):
            await engine.read(TriggerRef("greedy", "three", (("formula", "load"),)))
        await first(
            engine, TriggerRef("greedy", "two", (("formula", "load"), ("target", "7")))
        )  # an edit is no object more
        await first(engine, request("calm"))
        engine.registry._forget(TriggerRef("greedy", "one", (("formula", "load"),)))
        await first(engine, TriggerRef("greedy", "three", (("formula", "load"),)))  # there is room again
        await engine.close()

    play(scenario())


def dear(target=10):
    """The formula file `load` with an array in it: 5,000 steps and some at every interval of 5 s."""
    text = LOAD.format(target=target).replace("formula: load", "formula: 'sum([load], # * 1)'")
    return Catalog({"load": parse_file(parse_yaml(text, "load.yaml"), "load.yaml")})


def test_formulas_that_cost_more_than_a_namespace_may_are_refused_and_no_other_namespace_feels_it():
    def asked(namespace, name, **metadata):
        return TriggerRef(namespace, name, tuple(sorted({"formula": "load", **metadata}.items())))

    async def scenario():
        engine = engine_of(limits=Limits(formula_steps=2500, forget_after=100.0))
        engine.update_catalog(dear())
        for name in ("one", "two"):  # about 1,000 a second each
            await first(engine, asked("greedy", name))
        with pytest.raises(
            Overloaded, match=r"of namespace greedy may take 2,\d+ steps a second, and this one 1,\d+ more"
        ):
            await engine.read(asked("greedy", "three"))
        await first(engine, asked("greedy", "rare", interval="1m"))
        await first(engine, asked("calm", "one"))
        engine._clock.now += 101  # nobody asks about what there was any more
        await engine.tick(engine._clock())
        await first(engine, asked("greedy", "three"))
        await engine.close()

    play(scenario())


def test_an_edit_that_costs_more_than_its_namespace_may_leaves_the_old_one_in_force():
    async def scenario():
        engine = engine_of(limits=Limits(formula_steps=500))
        await first(engine)
        engine.update_catalog(dear(target=5))
        await engine.tick(START + 5)
        assert (await engine.read(request())).replicas == 4
        [notice] = engine.notices().values()
        assert "this one 1,0" in notice
        engine.update_catalog(catalog(load=5))
        assert engine.notices() == {}
        await engine.tick(START + 10)
        assert (await engine.read(request())).replicas == 8
        await engine.close()

    play(scenario())


def test_a_clock_that_is_set_forth_and_back_stops_nothing_and_lowers_nothing():
    async def scenario():
        clock = Clock()
        engine = engine_of(clock=clock)
        assert (await first(engine)).replicas == 4
        for jump in (3600.0, -3600.0, 1800.0, -7000.0, 0.5, -7.0):
            clock.now += jump
            for _ in range(4):
                clock.now += 5
                await engine.tick(clock.now)
            decision = await engine.read(request())
            assert (decision.replicas, decision.active) == (4, True)
            assert abs(clock.now - decision.at) <= 5, "a decision of now, by the clock as it is now"
        await engine.close()

    play(scenario())


def test_a_workload_that_nobody_asks_about_is_forgotten():
    async def scenario():
        clock = Clock()
        engine = engine_of(clock=clock)
        await first(engine, request("old"))
        clock.now += 7300
        await first(engine, request("new"))
        assert list(engine.registry.workloads) == [request("new")]
        await engine.close()

    play(scenario())


def test_an_edited_trigger_does_not_lower_what_was_said_before_it_has_seen_enough():
    windowed = LOAD.format(target=10).replace("'load{", "'other{").replace("}'}}", "}', over: 1m}}")

    async def scenario():
        engine = engine_of(lambda at: 40.0 if at < START else 10.0)
        engine.update_catalog(
            Catalog(
                {
                    **engine.catalog.formulas,
                    "windowed": parse_file(parse_yaml(windowed.replace("name: load", "name: windowed"), "w"), "w"),
                }
            )
        )
        await first(engine)
        engine._collector._sources["default"].load = lambda at: 10.0 if at >= START - 1 else "no history"
        decision = await first(engine, request(formula="windowed"))
        assert (decision.certainty, decision.replicas, decision.desired) == ("raising", 4, 1)
        await engine.close()

    play(scenario())


# ---- edits -----------------------------------------------------------------------------------------------------------------


def test_an_edit_of_a_formula_is_in_force_at_the_next_tick():
    async def scenario():
        engine = engine_of()
        await first(engine)
        engine.update_catalog(catalog(load=5))
        await engine.tick(START + 5)
        assert (await engine.read(request())).replicas == 8
        engine.update_catalog(engine.catalog)
        assert engine.notices() == {}
        await engine.close()

    play(scenario())


def test_an_edit_without_effect_changes_nothing():
    async def scenario():
        engine = engine_of()
        await first(engine)
        state = engine.registry.workloads[request()].state
        engine.update_catalog(catalog(load=10))
        assert engine.registry.workloads[request()].state is state
        await engine.close()

    play(scenario())


def test_an_edit_that_no_longer_fits_the_trigger_leaves_the_old_one_in_force():
    async def scenario():
        engine = engine_of()
        await first(engine)
        demanding = LOAD.format(target=5) + "parameters: {model: {description: a model}}\n"
        engine.update_catalog(Catalog({"load": parse_file(parse_yaml(demanding, "load.yaml"), "load.yaml")}))
        await engine.tick(START + 5)
        assert (await engine.read(request())).replicas == 4
        [notice] = engine.notices().values()
        assert notice.startswith("an edit of load.yaml is not in force: trigger: model: is missing")
        engine.update_catalog(catalog(load=5))
        assert engine.notices() == {}
        await engine.close()

    play(scenario())


def test_a_new_formula_file_ends_the_error_of_those_who_asked_for_it():
    async def scenario():
        engine = engine_of()
        with pytest.raises(UnknownFormula):
            await engine.read(request(formula="new"))
        engine.update_catalog(catalog(load=10, new=20))
        assert (await first(engine, request(formula="new"))).replicas == 2
        await engine.close()

    play(scenario())


# ---- those who wait ----------------------------------------------------------------------------------------------------------


def test_changes_are_told_as_they_come_until_the_engine_closes():
    async def scenario():
        engine = engine_of()
        seen = []

        async def listen():
            async for decision in engine.changes(request()):
                seen.append(decision.at)  # noqa: PERF401 - what was seen counts also when it ends early

        listener = asyncio.ensure_future(listen())
        for now in (START, START + 5, START + 10):
            await asyncio.sleep(0)
            await engine.tick(now)
            await asyncio.sleep(0)
        await engine.close()
        await listener
        assert seen == [START, START + 5, START + 10]

    play(scenario())


def test_a_reader_that_waits_when_the_engine_closes_is_told():
    async def scenario():
        engine = engine_of()
        waiting = asyncio.ensure_future(engine.read(request()))
        await asyncio.sleep(0)
        await engine.close()
        with pytest.raises(NoAnswer, match="shutting down"):
            await waiting

    play(scenario())


def test_every_decision_is_reported_with_the_one_before():
    async def scenario():
        told = []
        engine = engine_of(on_decision=lambda before, after: told.append((before and before.at, after.at)))
        await first(engine)
        await engine.tick(START + 5)
        assert told == [(None, START), (START, START + 5)]
        await engine.close()

    play(scenario())


def test_run_ticks_by_itself_until_closed():
    async def scenario():
        clock = Clock()
        engine = engine_of(clock=clock)
        running = asyncio.ensure_future(engine.run())
        assert (await engine.read(request())).replicas == 4  # a new workload wakes the loop
        await engine.close()
        await running

    play(scenario())


def test_a_workload_that_measures_nothing_needs_no_source():
    async def scenario():
        engine = engine_of()
        engine.update_catalog(
            Catalog({"fixed": parse_file(parse_yaml("name: fixed\nformula: 3\ntarget: 1\n", "f"), "f")})
        )
        assert (await first(engine, request(formula="fixed", kind="ScaledJob"))).replicas == 3
        await engine.close()

    play(scenario())


@pytest.mark.parametrize("steps", range(6))
def test_it_ends_when_it_is_cancelled_just_as_something_wakes_it(steps):
    async def scenario():
        engine = engine_of()
        running = asyncio.ensure_future(engine.run())
        await first(engine)
        await asyncio.sleep(0.05)  # until it waits for the next tick
        engine._wake.set()
        for _ in range(steps):
            await asyncio.sleep(0)
        running.cancel()
        _, pending = await asyncio.wait([running], timeout=2)
        assert not pending
        await engine.close()

    play(scenario())
