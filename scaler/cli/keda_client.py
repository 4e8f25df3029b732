"""KEDA's calls for one external-push trigger, over a connection that is kept, as KEDA keeps its own."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Self

import grpc

from scaler.cluster.keda import Rpc
from scaler.server.pb import externalscaler_pb2 as pb
from scaler.server.pb import externalscaler_pb2_grpc as pb_grpc


class CallFailed(Exception):
    """A call that failed; those after it are not made."""

    def __init__(self, rpc: Rpc, reason: str) -> None:
        self.rpc: Rpc = rpc
        self.reason = reason
        super().__init__(f"{rpc}: {reason}")


class Poller:
    """One trigger of one ScaledObject, as KEDA asks about it.

    Order and reading of numbers: KEDA 2.20.2, pkg/scaling/scale_handler.go and pkg/scalers/external_scaler.go. Its one
    retry is left out, and a time-out that it has not is added.

    Args:
        address: HOST:PORT of the server.
        namespace: of the ScaledObject.
        name: of the ScaledObject.
        metadata: of its trigger.
        timeout: seconds for each call.
    """

    def __init__(
        self, address: str, namespace: str, name: str, metadata: Mapping[str, str], timeout: float = 5.0
    ) -> None:
        self._channel = grpc.aio.insecure_channel(address)
        self._stub = pb_grpc.ExternalScalerStub(self._channel)
        self._ref = pb.ScaledObjectRef(namespace=namespace, name=name, scalerMetadata=metadata)
        self._timeout = timeout

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close()

    async def pushes(self) -> AsyncIterator[bool]:
        """Yield what StreamIsActive says, until the server ends the stream; KEDA then opens it anew."""
        with contextlib.suppress(grpc.aio.AioRpcError):
            async for answer in self._stub.StreamIsActive(self._ref):
                yield answer.result

    async def poll(self) -> tuple[float, bool]:
        """Ask for the value, and whether it is active.

        Raises:
            Refused: at the first call that fails.
        """
        rpc: Rpc = "GetMetricSpec"
        try:
            [spec] = (await self._stub.GetMetricSpec(self._ref, timeout=self._timeout)).metricSpecs
            rpc = "GetMetrics"
            request = pb.GetMetricsRequest(scaledObjectRef=self._ref, metricName=spec.metricName)
            values = (await self._stub.GetMetrics(request, timeout=self._timeout)).metricValues
            rpc = "IsActive"
            active = (await self._stub.IsActive(self._ref, timeout=self._timeout)).result
        except grpc.aio.AioRpcError as error:
            raise CallFailed(rpc, f"{error.code().name}: {error.details()}") from error
        return sum(value.metricValueFloat or float(value.metricValue) for value in values), active
