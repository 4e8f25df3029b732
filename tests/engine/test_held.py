"""The law of the held answer on the engine: its floor and its end outlive restarts, edits, take-overs and outages.

tests/decision/test_held.py says it of the fold. Here the engine folds, with its backfill, two processes, several
triggers of one object, and an HPA that does at once what it is told.
"""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st
from support.together import START, Together

from scaler.config.bind import parse_file
from scaler.config.catalog import Catalog
from scaler.config.defaults import Defaults
from scaler.engine.engine import Engine
from scaler.engine.limits import Limits
from scaler.model.errors import ScalerError
from scaler.model.measurement import NO_NAMESPACES, Failure, HistoryProbe, PromqlQuery, Reading, TriggerRef
from scaler.model.objects import Cluster, Pod, ScaledResource
from scaler.model.strict_yaml import parse_yaml

HOLD_FOR = 30.0
LOAD = """
name: load
metrics: {load: {prometheus: load}}
formula: load
target: 10
holdFor: 30s
idleFor: 20s
scaleDown: off
"""
FORMULAS = {
    "load": LOAD,
    "window": LOAD.replace("name: load", "name: window").replace("load}", "load, over: 20s, reduce: max}", 1),
    "kpa": LOAD.replace("name: load", "name: kpa") + "metricKind: total\npolicy: {kind: kpa}\n",
}


class FromTheStart(Together):
    """A world of one object with one trigger, which is not decided together with others."""

    files = {"load": LOAD}  # noqa: RUF012 - as in the class above

    def request(self, name):
        return TriggerRef("team", name, (("formula", "load"), ("scalerAddress", "s:6000")))

    def measure(self, query, at):
        return Failure("timed out", at) if self.load["load"] == "timed out" else super().measure(query, at)


def test_a_process_that_begins_in_an_outage_gives_up_after_hold_for():
    async def scenario():
        world = FromTheStart(formula="load", names=("a",), load={"load": "timed out"}, replicas={"a": 3})
        answers = [(await world.at(seconds))["a"].replicas for seconds in range(0, 60, 5)]
        assert answers == [3] * 7 + [None] * 5
        world.load["load"] = 20
        assert (await world.at(60))["a"].replicas == 2, "its past was asked for as soon as it could be had"

    asyncio.run(scenario())


def test_replicas_that_a_process_saw_in_an_outage_are_a_floor_when_they_are_seen_no_more():
    async def scenario():
        world = FromTheStart(formula="load", names=("a",), load={"load": "timed out"}, replicas={"a": 6})
        assert (await world.at(0))["a"].replicas == 6
        world.seen = False
        world.engine.update_cluster(Cluster())
        assert (await world.at(5))["a"].replicas == 6

    asyncio.run(scenario())


# ---- whatever happens ------------------------------------------------------------------------------------------------

loads = st.tuples(st.sampled_from(["certain", "certain", "partial", "failed", "missing", "down"]), st.integers(0, 300))
events = st.sampled_from(["tick"] * 8 + ["lost", "restart", "take over", "edit file", "edit trigger"])
steps = st.lists(st.tuples(events, loads), min_size=3, max_size=20)


def catalog(target):
    texts = {name: text.replace("target: 10", f"target: {target}") for name, text in FORMULAS.items()}
    return Catalog({name: parse_file(parse_yaml(text, name), name) for name, text in texts.items()})


class Measured:
    """What one process measures: the load of the time that it asks about; while all is down nothing, nor any past."""

    def __init__(self, past):
        self.past, self.newest = past, "missing"

    def fetch(self, queries, times, namespaces=NO_NAMESPACES):
        kind = self.past[-1][1][0]
        self.newest = self.load(times[-1])[0] if kind != "down" else kind
        return {query: [self.measure(query, at, down=kind == "down") for at in times] for query in queries}

    def load(self, at):
        return next((load for since, load in reversed(self.past) if since <= at), ("missing", 0))

    def measure(self, query, at, *, down):
        if down:
            return Failure("timed out", at)
        if isinstance(query, HistoryProbe):
            return Reading(1.0, at)
        kind, value = self.load(at)
        if kind in {"missing", "down"} or not isinstance(query, PromqlQuery):
            return Reading(None, at)
        if kind == "failed":
            return Failure("too many samples", at)
        return Reading(float(value), at, incomplete_reason="a page broke off" if kind == "partial" else "")


class TwoProcesses:
    """One object with several triggers; KEDA asks the first process."""

    def __init__(self, formulas):
        self.triggers = [{"formula": name, "id": f"{number}", "target": "10"} for number, name in enumerate(formulas)]
        self.past, self.now, self.target, self.replicas = [], START, 10, 1
        self.processes = [self.process(), self.process()]

    def process(self):
        source = Measured(self.past)
        limits = Limits(budget=0.01)
        return Engine({"default": source}, catalog(self.target), Defaults(), lambda: self.now, limits), source

    def requests(self):
        return [TriggerRef("team", "llama", tuple(sorted(one.items()))) for one in self.triggers]

    def cluster(self):
        pods = tuple(Pod(f"llama-{number}", "ready") for number in range(self.replicas))
        triggers = tuple(request.metadata for request in self.requests())
        scaled = ScaledResource(
            "ScaledObject", "team", "llama", "u", 1, triggers, (), "Deployment llama", replicas=self.replicas, pods=pods,
            pod_name_pattern="llama-.*", minimum=0, maximum=100,
        )  # fmt: skip
        both = frozenset({"ScaledObject", "ScaledJob"})
        return Cluster({("team", "llama"): (scaled,)}, last_synced=self.now, synced_kinds=both)

    async def happens(self, event):
        if event == "restart":
            await self.processes[0][0].close()
            self.processes[0] = self.process()
        if event == "take over":
            self.processes.reverse()
        if event == "edit file":
            self.target = 35 - self.target
            for engine, _ in self.processes:
                engine.update_catalog(catalog(self.target))
        if event == "edit trigger":
            self.triggers[0]["target"] = "40" if self.triggers[0]["target"] == "10" else "10"

    async def step(self, event, load):
        """Give what each trigger is answered, and of which kind its load was; the replicas follow."""
        self.now += 20 if event == "lost" else 5
        self.past.append((self.now, load))
        await self.happens(event)
        for engine, _ in self.processes:
            engine.update_cluster(self.cluster())
            await engine.tick(self.now)
        engine, source = self.processes[0]
        answers = [await self.answer(engine, request) for request in self.requests()]
        said = [one for one in answers if one is not None]
        if said:
            wanted = max(one.replicas for one in said) if any(one.active for one in said) else 0
            self.replicas = wanted if len(said) == len(answers) else max(wanted, self.replicas)
        return answers, source.newest

    async def answer(self, engine, request):
        try:
            return await engine.read(request)
        except ScalerError:
            return None


@given(steps, st.lists(st.sampled_from(sorted(FORMULAS)), min_size=1, max_size=3))
@settings(max_examples=25, deadline=None)
def test_no_answer_of_the_engine_falls_but_on_certain_data_whatever_happens(happened, formulas):
    async def scenario():
        world = TwoProcesses(formulas)
        before = [None] * len(formulas)  # what each trigger was answered last
        for event, load in happened:
            answers, kind = await world.step(event, load)
            for last, said in zip(before, answers, strict=True):
                if said is None or kind == "certain":
                    continue
                assert said.certainty != "certain", f"certain on data that are {kind}: {said.reason}"
                assert said.uncertain_for <= HOLD_FOR, said.reason
                if last is not None:
                    assert said.replicas >= last.replicas, f"fell from {last.replicas}: {said.reason}"
                    assert said.active or not last.active, f"inactive on uncertain data: {said.reason}"
            before = answers
        for engine, _ in world.processes:
            await engine.close()

    asyncio.run(asyncio.wait_for(scenario(), 60))
