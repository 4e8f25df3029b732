"""KEDA's five calls: protobuf -> Request -> engine -> protobuf. No I/O, no formula, no opinion.

What goes over the wire is a number of replicas against a constant target of 1. GetMetricSpec therefore depends on the
trigger's own text alone: it cannot fail, and everything that is wrong is said by GetMetrics, whose text reaches the
events of the ScaledObject and whose failure KEDA's fallback counts.
"""

import asyncio
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import Any, Protocol

from scaler.config.trigger import MAX_KEYS, MAX_METADATA_LENGTH, metric_name
from scaler.decision.decision import Decision
from scaler.model.errors import ConfigError, ScalerError, UnknownMetric
from scaler.model.fields import show
from scaler.model.measurement import TriggerRef
from scaler.server.activity import PushState, next_push
from scaler.server.pb import externalscaler_pb2 as pb
from scaler.server.streams import End, Streams, until

TARGET = 1  # the value is a number of replicas already
MAX_BYTES = 4 * MAX_METADATA_LENGTH + 4096  # of a question: more is surely too much, and is not taken apart
REMEMBERED_BYTES = 2048  # of a question; larger ones are taken apart each time
ASK_AGAIN = 5.0  # seconds after which a stream looks whether its trigger is still wrong


class EngineForCalls(Protocol):
    """The part of the engine that the wire needs."""

    async def turn(self, namespace: str) -> None:
        """Wait until a call of a namespace may be answered."""
        ...

    async def read(self, request: TriggerRef) -> Decision:
        """Return the newest decision, waiting a bounded time for the first one; raises ScalerError."""
        ...

    def changes(self, request: TriggerRef) -> AsyncIterator[Decision]:
        """Yield the newest decision, then every later one, until the engine closes; raises ScalerError."""
        ...


class ExternalScaler:
    """The service of proto/externalscaler.proto.

    Args:
        engine: who decides.
        streams: where open streams are counted and ended.
    """

    def __init__(self, engine: EngineForCalls, streams: Streams) -> None:
        self._engine = engine
        self._streams = streams

    async def GetMetricSpec(self, ref: Any, _context: object) -> Any:  # noqa: N802 - KEDA's name, as all below
        """Answer with the one metric of a trigger."""
        await self._engine.turn(ref.namespace)
        return _spec(metric_name(ref.scalerMetadata))

    async def StreamMetricSpec(self, ref: Any, context: Any) -> None:  # noqa: N802
        """Answer the same; it never changes while the stream is open, since a change of the trigger opens a new one."""
        await self._engine.turn(ref.namespace)
        with self._streams.open() as end:
            await context.write(_spec(metric_name(ref.scalerMetadata)))
            await end

    async def GetMetrics(self, request: Any, _context: object) -> Any:  # noqa: N802
        """Answer with the replicas of a workload, as integer and as float: KEDA up to 2.16 reads only the first.

        An empty name is unknown too. KEDA always sends one, and gives what it gets the name it asked for, so an answer
        to no question could only be added to the wrong sum.
        """
        await self._engine.turn(request.scaledObjectRef.namespace)
        asked, name = _asked(request.scaledObjectRef)
        if request.metricName != name:
            raise UnknownMetric(f"no metric {show(request.metricName)}: this trigger offers {name}")
        decision = await self._engine.read(asked)
        return _value(name, decision.answer_or_error().replicas)

    async def IsActive(self, ref: Any, _context: object) -> Any:  # noqa: N802
        """Answer whether the workload is active."""
        await self._engine.turn(ref.namespace)
        decision = await self._engine.read(_asked(ref)[0])
        return _ACTIVITY[decision.answer_or_error().active]

    async def StreamIsActive(self, ref: Any, context: Any) -> None:  # noqa: N802
        """Stream the activity of a workload, as `activity.speak` words it."""
        said = PushState()
        await self._engine.turn(ref.namespace)
        with self._streams.open() as end:
            async for decision in self._decisions(_asked(ref)[0], end):
                said, word = next_push(said, decision)
                if word is not None:
                    await context.write(_ACTIVITY[word])

    async def _decisions(self, request: TriggerRef, end: End) -> AsyncIterator[Decision]:
        """Yield decisions until the end; a wrong trigger is waited out, since an error would slow KEDA's return."""
        while not end.done():
            changes = self._engine.changes(request)
            try:
                while (decision := await until(end, anext(changes, None))) is not None:
                    yield decision
                return
            except ScalerError:
                await until(end, asyncio.sleep(ASK_AGAIN))


def _asked(ref: Any) -> tuple[TriggerRef, str]:
    """Return what is asked about, and the name of its metric.

    The same few questions come again and again, and Go sends the keys of a map in any order: their deterministic
    encoding, which costs next to nothing, is what they are remembered by.

    Raises:
        ConfigError: it is larger than any trigger may be.
    """
    if ref.ByteSize() > MAX_BYTES:
        raise _too_large(ref)
    encoded = ref.SerializeToString(deterministic=True)
    return _remembered(encoded) if len(encoded) <= REMEMBERED_BYTES else _decoded(encoded)


def _too_large(ref: Any) -> ConfigError:
    metadata, allowed = ref.scalerMetadata, f"at most {MAX_KEYS} keys and {MAX_METADATA_LENGTH} characters"
    problem = f"has {len(metadata)} keys and {ref.ByteSize()} bytes"
    if 0 < len(metadata) <= MAX_KEYS:
        problem += f", most of them in {show(max(metadata, key=lambda key: len(metadata[key])))}"
    return ConfigError("trigger", "metadata", problem, allowed)


def _decoded(encoded: bytes) -> tuple[TriggerRef, str]:
    ref = pb.ScaledObjectRef.FromString(encoded)
    metadata = dict(ref.scalerMetadata)
    return TriggerRef(ref.namespace, ref.name, tuple(sorted(metadata.items()))), metric_name(metadata)


_remembered = lru_cache(maxsize=4096)(_decoded)


# Answers are few, and never changed once they are made: making them anew is a quarter of what GetMetrics takes.

_ACTIVITY = {active: pb.IsActiveResponse(result=active) for active in (True, False)}


@lru_cache(maxsize=4096)
def _spec(name: str) -> Any:
    spec = pb.MetricSpec(metricName=name, targetSize=TARGET, targetSizeFloat=TARGET)
    return pb.GetMetricSpecResponse(metricSpecs=[spec])


@lru_cache(maxsize=4096)
def _value(name: str, replicas: int) -> Any:
    value = pb.MetricValue(metricName=name, metricValue=replicas, metricValueFloat=replicas)
    return pb.GetMetricsResponse(metricValues=[value])
