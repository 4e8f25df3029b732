"""The engine where formulas read what GPUs there are: counts from the picture of the cluster, and a past without any."""

import asyncio
from dataclasses import replace

import pytest
from support.cluster import GPU, node, on, picture, spec

from scaler.config.bind import parse_file
from scaler.config.catalog import Catalog
from scaler.config.defaults import Defaults
from scaler.engine.engine import Engine
from scaler.engine.limits import Limits
from scaler.model.measurement import NO_NAMESPACES, CapacityQuery, HistoryProbe, Reading, TriggerRef
from scaler.model.nodes import ReplicaTemplate
from scaler.model.objects import Cluster
from scaler.model.strict_yaml import parse_yaml

START = 100_000.0
MINE = ("ReplicaSet", "llama-5d8f")
COUNTS = """
name: load
metrics:
  load: {prometheus: load}
  places: {gpus: schedulable_replicas}
  own: {gpus: own}
formula: min(load, 10 * (own + places))
target: 10
"""
WINDOW = COUNTS.replace("load: {prometheus: load}", "load: {prometheus: load, over: 30s, reduce: max}")
SUM = "min(load, 10 * (own + places)) = {}, at 10 a replica"
CLAMP = "name: load\nmetrics: {load: {prometheus: load}}\nformula: load\ntarget: 10\ncapacity: clamp\n"
REQUEST = TriggerRef("team", "llama", (("formula", "load"), ("scalerAddress", "llm-scaler.keda:6000")))


class World:
    """A load, as a Prometheus would have it for all times, and pictures of a cluster."""

    def __init__(self, formula):
        self.now, self.load, self.asked = START, lambda at: 80.0, set()
        catalog = Catalog({"load": parse_file(parse_yaml(formula, "load.yaml"), "load.yaml")})
        self.engine = Engine(
            {"default": self}, catalog, Defaults(scale_down=None), lambda: self.now, Limits(budget=0.01)
        )

    def fetch(self, queries, times, namespaces=NO_NAMESPACES):
        self.asked |= set(queries)
        return {
            query: [Reading(1.0 if isinstance(query, HistoryProbe) else self.value(query, at), at) for at in times]
            for query in queries
        }

    def value(self, query, at):
        return self.load(at - START) if getattr(query, "text", "") == "load" else None

    async def at(self, seconds, cluster=None):
        self.now = START + seconds
        if cluster is not None:
            self.engine.update_cluster(cluster)
        await self.engine.tick(self.now)
        return self.engine.decisions()[0]


def cluster(gpus=4, pods=2, **more):
    """A machine with so many GPUs, on which Deployment llama has pods of one GPU each."""
    own = [on(f"p{n}", "n", owner=MINE) for n in range(pods)]
    made = picture([node("n", gpus)], own, {"llama": spec()}, **more)
    return replace(made, objects={key: (replace(one, replicas=pods),) for key, (one,) in made.objects.items()})


def play(scenario):
    asyncio.run(asyncio.wait_for(scenario(), 30))


def test_an_object_that_cannot_be_reckoned_is_not_known_and_stops_nobody():
    async def scenario():
        world, odd = World(CLAMP), cluster()
        [(key, (one,))] = odd.objects.items()
        decision = await world.at(0, replace(odd, objects={key: (replace(one, template=ReplicaTemplate(())),)}))
        assert (decision.replicas, decision.capacity.replicas) == (8, None)
        assert decision.capacity.reason == "it cannot be reckoned (IndexError)"
        assert (await world.at(5, cluster(no_provisioner=True))).capacity.replicas == 4

    play(scenario)


def test_a_formula_reads_what_gpus_there_are_and_no_source_is_asked_for_them():
    async def scenario():
        world = World(COUNTS)
        decision = await world.at(0, cluster(gpus=4, pods=2))
        assert {fact.name: fact.value for fact in decision.input_values} == {"load": 80, "places": 2, "own": 2}
        assert (decision.replicas, decision.certainty) == (4, "certain")
        assert not any(isinstance(query, CapacityQuery) for query in world.asked)
        assert (await world.at(5, cluster(gpus=6, pods=2))).replicas == 6, "a new picture, a new count"

    play(scenario)


def test_a_count_says_how_far_it_may_be_believed():
    async def scenario():
        decision = await World(COUNTS).at(0, cluster(incomplete_reason="pods of other namespaces are not seen"))
        assert {fact.name: fact.rule for fact in decision.input_values}[
            "places"
        ] == "at most: pods of other namespaces are not seen"

    play(scenario)


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (cluster(usage=None), "which pods there are is not known yet"),
        (Cluster(problems={"kubernetes": "no access to Kubernetes"}), "no access to Kubernetes"),
        (Cluster(), "Kubernetes says nothing of this object"),
    ],
)
def test_what_is_not_known_is_an_error_and_not_zero(seen, reason):
    async def scenario():
        world = World(COUNTS)
        world.engine.update_cluster(seen)
        world.engine.registry.asked(REQUEST, START)
        world.now += 2
        decision = await world.at(5)
        assert decision.problems == (f"places, own: {reason}",)
        assert decision.replicas == (2 if seen.objects else None), "what is there is held"

    play(scenario)


def test_a_restart_remembers_the_load_and_waits_with_lowering_until_it_has_seen_the_gpus_as_long():
    async def scenario():
        world = World(WINDOW)
        world.load = lambda at: 30.0 if at < -10 else 10.0  # a peak before the restart, in the window
        decision = await world.at(0, cluster(gpus=8, pods=4))
        assert decision.input_values[0].value == 30, "the window is whole"
        assert (decision.certainty, decision.memory_seen) == ("raising", 5)
        assert (
            decision.reason
            == "4 replicas, not lowered to 3 yet, since only 5s of the 30s it remembers were seen: " + SUM.format(30)
        )
        assert [(await world.at(at)).replicas for at in (5, 10, 15, 20)] == [4] * 4
        decision = await world.at(25)
        assert (decision.certainty, decision.replicas) == ("certain", 1)

    play(scenario)


def test_a_restart_raises_at_once():
    async def scenario():
        world = World(WINDOW)
        world.load = lambda at: 70.0
        decision = await world.at(0, cluster(gpus=8, pods=4))
        assert (decision.certainty, decision.replicas) == ("raising", 7)

    play(scenario)


def test_growth_is_limited_by_the_machines_that_are_there():
    async def scenario():
        world = World(CLAMP)
        full = cluster(gpus=4, pods=2, pools=[pool()])
        decision = await world.at(0, full)
        assert (decision.desired, decision.capacity.replicas, decision.replicas) == (8, 4, 5)
        assert decision.reason.startswith(
            "5 replicas, not 8, since 4 can be had (2 on nodes, 2 schedulable, 0 provisionable"
        )

    play(scenario)


def pool():
    return {
        "metadata": {"name": "gpu"},
        "spec": {"limits": {GPU: "4"}, "template": {"spec": {"requirements": []}}},
        "status": {"resources": {GPU: "4"}},
    }
