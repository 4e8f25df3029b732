"""KEDA as it calls an external scaler: its order, its one retry, its reading of numbers.

After KEDA v2.20.2: pkg/scaling/scale_handler.go getScalerState (the order), pkg/scaling/cache/scalers_cache.go
(GetMetricSpecForScaling, GetMetricsAndActivityForScaler: one instant retry), pkg/scalers/external_scaler.go (the rest).
"""

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
from server.world import client

from scaler.server.pb import externalscaler_pb2 as pb

ROUND_ROBIN = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})


@dataclass
class Trigger:
    """What one poll of a trigger came to."""

    name: str = ""
    target: float = 0.0
    value: float | None = None  # None: the poll failed
    active: bool | None = None
    error: str = ""  # the text in the event KEDAScalerFailed


@dataclass
class Keda:
    """One operator with one connection per address."""

    stub: object
    floats: bool = True  # False: KEDA up to 2.16, whose messages have no float fields
    calls: list[str] = field(default_factory=list)

    async def poll(self, ref):
        """Poll one trigger."""
        try:
            specs = (await self._twice(self._spec, ref)).metricSpecs
        except grpc.aio.AioRpcError:
            specs = []
        if not specs:
            return Trigger(error="got empty metric spec")
        (spec,) = specs
        seen = Trigger(spec.metricName, self._number(spec.targetSizeFloat, spec.targetSize))
        try:
            values, seen.active = await self._twice(self._metrics_and_activity, ref, spec.metricName)
        except grpc.aio.AioRpcError as error:
            seen.error = f"rpc error: code = {error.code().name} desc = {error.details()}"
            return seen
        seen.value = sum(self._number(value.metricValueFloat, value.metricValue) for value in values)
        return seen

    async def _twice(self, call, *arguments):
        try:
            return await call(*arguments)
        except grpc.aio.AioRpcError:
            return await call(*arguments)

    async def _spec(self, ref):
        self.calls.append("GetMetricSpec")
        return await self.stub.GetMetricSpec(ref)

    async def _metrics_and_activity(self, ref, name):
        self.calls.append("GetMetrics")
        values = await self.stub.GetMetrics(pb.GetMetricsRequest(scaledObjectRef=ref, metricName=name))
        self.calls.append("IsActive")
        activity = await self.stub.IsActive(ref)
        return values.metricValues, activity.result

    def _number(self, floating, whole):
        return floating if self.floats and floating > 0 else float(whole)


@asynccontextmanager
async def keda(*ports, floats=True, credentials=None):
    """KEDA with one name behind which these servers are, round robin."""
    target = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)
    options = [("grpc.service_config", ROUND_ROBIN), ("grpc.default_authority", "localhost")]
    async with client(target, credentials, options) as stub:
        yield Keda(stub, floats)
