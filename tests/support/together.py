"""Scaled objects that are decided together, whose replicas are what was answered, as an HPA would have it that never waits."""

import asyncio
from dataclasses import dataclass, field
from typing import ClassVar

from scaler.config.bind import parse_file
from scaler.config.catalog import Catalog
from scaler.config.defaults import Defaults
from scaler.engine.engine import Engine
from scaler.engine.limits import Limits
from scaler.model.measurement import NO_NAMESPACES, Failure, HistoryProbe, PromqlQuery, Reading, TriggerRef
from scaler.model.objects import Cluster, Pod, ScaledResource
from scaler.model.strict_yaml import parse_yaml

START = 100_000.0


@dataclass(kw_only=True)
class Together:
    """A world of one engine, whose only endpoint it is; `files` are the formula files, by name."""

    files: ClassVar[dict[str, str]]

    formula: str
    names: tuple
    load: dict  # by query; a text: why it failed
    replicas: dict
    starting: dict = field(default_factory=dict)  # of these, that are not ready
    minimum: int = 0
    seen: bool = True  # Kubernetes may be read
    now: float = START
    more: dict = field(default_factory=dict)  # by object: keys of its trigger

    def __post_init__(self):
        catalog = Catalog({name: parse_file(parse_yaml(text, name), name) for name, text in self.files.items()})
        self.engine = Engine({"default": self}, catalog, Defaults(), lambda: self.now, Limits(budget=0.01))

    def fetch(self, queries, times, namespaces=NO_NAMESPACES):
        return {query: [self.measure(query, at) for at in times] for query in queries}

    def measure(self, query, at):
        if isinstance(query, HistoryProbe):
            return Reading(1.0, at)
        if not isinstance(query, PromqlQuery):
            return Reading(0.0 if query.signal in {"waiting", "running"} else None, at)
        value = self.load[query.text]
        return Failure(value, at) if isinstance(value, str) else Reading(float(value), at)

    def request(self, name):
        metadata = {"scalerAddress": "s:6000", "formula": self.formula, "output": name, **self.more.get(name, {})}
        return TriggerRef("team", name, tuple(sorted(metadata.items())))

    def cluster(self):
        objects = {("team", name): (self.scaled(name),) for name in self.names}
        return Cluster(objects, last_synced=self.now, synced_kinds=frozenset({"ScaledObject", "ScaledJob"}))

    def scaled(self, name):
        count, starting = self.replicas[name], self.starting.get(name, 0)
        pods = [Pod(f"{name}-{i}", "starting" if i < starting else "ready") for i in range(count)]
        trigger = self.request(name).metadata
        bounds = {"minimum": self.minimum, "maximum": 100}
        return ScaledResource(
            "ScaledObject", "team", name, name, 1, (trigger,), (), f"Deployment {name}", replicas=count,
            pods=tuple(pods), pod_name_pattern=f"{name}-.*", **bounds,
        )  # fmt: skip

    async def at(self, seconds):
        """Tick so many seconds past the start; gives the decision of each object, and lets their replicas follow."""
        self.now = START + seconds
        if self.seen:
            self.engine.update_cluster(self.cluster())
        await self.engine.tick(self.now)
        decided = {one.key.name: one for one in self.engine.decisions()}
        for name, one in decided.items():
            if one.replicas is not None:
                self.replicas[name] = max(one.replicas, 1) if one.active else 0
        return decided

    async def until(self, start, end, step=5):
        for seconds in range(start, end, step):
            decided = await self.at(seconds)
        return decided


def play(scenario):
    asyncio.run(asyncio.wait_for(scenario(), 60))


def told(decided):
    return {name: (one.replicas, one.active) for name, one in decided.items()}
