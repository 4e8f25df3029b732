"""A real engine, fed by numbers of a timeline instead of a Prometheus, behind real servers on loopback."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import grpc
from prometheus_client import CollectorRegistry

from scaler.config.bind import parse_file
from scaler.config.catalog import Catalog
from scaler.config.defaults import Defaults
from scaler.engine.engine import Engine
from scaler.engine.limits import Limits
from scaler.model.measurement import NO_NAMESPACES, Failure, HistoryProbe, Reading
from scaler.server import metrics
from scaler.server.listen import GrpcServer, ServerOptions
from scaler.server.pb import externalscaler_pb2 as pb
from scaler.server.pb import externalscaler_pb2_grpc as pb_grpc

NOON = 1_800_000_000.0  # on every grid
FORMULA = {
    "name": "queue",
    "parameters": {"model": {"default": "m"}, "target": {"type": "number", "default": 2}},
    "metrics": {"waiting": {"signal": "waiting"}, "running": {"signal": "running"}},
    "formula": "waiting + running",
    "target": "$target",
    "activation": "waiting + running > 0",
}
LOOPBACK = ServerOptions(address="127.0.0.1:0", drain=0.0, quiet_period=0.0, grace=5.0)
TRIGGER = {"scalerAddress": "llm-scaler.keda:6000", "formula": "queue", "model": "llama"}


class Clock:
    """A clock that is set, not read."""

    def __init__(self, now=NOON):
        self.now = now

    def __call__(self):
        return self.now


@dataclass
class Timeline:
    """A source: signal -> value now, for every workload alike; None is "no such series", absent is "no answer"."""

    values: Mapping[str, float | None] = field(default_factory=dict)
    fetches: int = 0

    def fetch(self, queries, times, namespaces=NO_NAMESPACES):
        self.fetches += 1
        return {query: [self._measure(query, time) for time in times] for query in queries}

    def _measure(self, query, time):
        if isinstance(query, HistoryProbe):
            return Reading(1.0, time)
        if query.signal not in self.values:
            return Failure(f"{query.signal} could not be had", time)
        return Reading(self.values[query.signal], time, source="timeline")


@dataclass
class World:
    """One engine, its source, its clock and its servers."""

    engine: Engine
    source: Timeline
    clock: Clock
    servers: list[GrpcServer]
    counted: CollectorRegistry | None = None  # where calls are counted, if they are

    async def at(self, seconds, **values):
        """Measure these numbers at so many seconds past noon, and decide; absent ones keep their value."""
        self.source.values = {**self.source.values, **values}
        self.clock.now = NOON + seconds
        await self.engine.tick(self.clock.now)

    @property
    def address(self):
        return f"127.0.0.1:{self.servers[0].port}"


def formula(**changes):
    tree = {**FORMULA, **changes}
    return parse_file(tree, f"{tree['name']}.yaml")


def catalog(*files):
    return Catalog({file.name: file for file in files or (formula(),)})


@asynccontextmanager
async def world(
    values: Mapping[str, float | None] | None = None,
    listen: ServerOptions = LOOPBACK,
    *,
    servers: int = 1,
    formulas: Catalog | None = None,
    limits: Limits | None = None,
    observe=lambda *_: None,
    observed: bool = False,
    on_decision=None,
) -> AsyncIterator[World]:
    """A served world. Its clock stands still, so after a workload's first decision only `World.at` makes new ones."""
    known = {"waiting": 0.0, "running": 0.0, "current_replicas": None, "ready_replicas": None}
    source = Timeline({**known, "min_replicas": None, "max_replicas": None, **(values or {})})
    clock = Clock()
    engine = Engine({"default": source}, formulas or catalog(), Defaults(scale_down=None), clock, limits, on_decision)
    ticking = asyncio.create_task(engine.run())
    durations = itertools.count()
    counted = metrics.registry() if observed else None
    if counted:
        observe = metrics.Calls(counted).observe
    listening = [GrpcServer(engine, listen, lambda: float(next(durations)), observe) for _ in range(servers)]
    for server in listening:
        await server.start()
    try:
        yield World(engine, source, clock, listening, counted)
    finally:
        for server in listening:
            await server.stop()
        await engine.close()
        await ticking


def ref(name="chat", namespace="models", **metadata):
    """What KEDA sends for a trigger; `None` leaves a key out."""
    given = {key: value for key, value in {**TRIGGER, **metadata}.items() if value is not None}
    return pb.ScaledObjectRef(name=name, namespace=namespace, scalerMetadata=given)


def asking(metric="queue", **trigger):
    return pb.GetMetricsRequest(scaledObjectRef=ref(**trigger), metricName=metric)


@asynccontextmanager
async def client(address, credentials=None, options=()):
    """A stub over one channel."""
    make = grpc.aio.secure_channel if credentials else grpc.aio.insecure_channel
    arguments = (address, credentials) if credentials else (address,)
    async with make(*arguments, options=options) as channel:
        yield pb_grpc.ExternalScalerStub(channel)


async def refused(call):
    """The status and text of a call that must fail."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return error.code().name, error.details()
    raise AssertionError(f"was answered: {answer}")


def with_tls(files, **changes):
    return replace(LOOPBACK, tls=files, **changes)
