"""A client that asks llm-scaler for numbers as KEDA does, several times a second, and keeps every answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType

import grpc
from support.sampler import Sampler

from scaler.server.pb import externalscaler_pb2 as pb
from scaler.server.pb import externalscaler_pb2_grpc as pb_grpc

PAUSE = 0.1  # seconds between two rounds
PATIENCE = 10  # seconds for an answer


@dataclass(slots=True)
class Answers:
    """What was answered about one workload."""

    values: list[tuple[float, bool]] = field(default_factory=list)  # the number, and whether it is active
    repeated: list[str] = field(default_factory=list)  # why it was asked once more
    errors: list[str] = field(default_factory=list)  # also then

    def seen(self) -> list[tuple[float, bool]]:
        """Return the answers in the order in which they came, without repetitions."""
        return [one for before, one in zip([None, *self.values], self.values, strict=False) if one != before]


class Listener(Sampler):
    """Asks at `address` about workloads of the namespace `default`, from entering the block until leaving it.

    It keeps one connection, and repeats what failed once and at once, as KEDA does (pkg/scaling/cache/scalers_cache.go).

    Args:
        triggers: the metadata of each workload's trigger, by the ScaledObject's name.
    """

    def __init__(self, address: str, triggers: Mapping[str, Mapping[str, str]]) -> None:
        super().__init__(PAUSE)
        self.answers = {name: Answers() for name in triggers}
        self._references = {
            name: pb.ScaledObjectRef(
                name=name, namespace="default", scalerMetadata={"scalerAddress": address, **metadata}
            )
            for name, metadata in triggers.items()
        }
        self._channel = grpc.insecure_channel(address)
        self._stub = pb_grpc.ExternalScalerStub(self._channel)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._channel:
            super().__exit__(kind, error, trace)

    def rounds(self) -> int:
        """Return how often all were asked about."""
        return min(len(one.values) + len(one.errors) for one in self.answers.values())

    def look(self) -> None:
        """Ask about all."""
        for name, reference in self._references.items():
            self._ask(name, reference)

    def _ask(self, name: str, reference: pb.ScaledObjectRef) -> None:
        answers = self.answers[name]
        for failed in (answers.repeated, answers.errors):
            try:
                answers.values.append(_value(self._stub, reference))
                return
            except grpc.RpcError as error:
                failed.append(str(error))


def _value(stub: pb_grpc.ExternalScalerStub, reference: pb.ScaledObjectRef) -> tuple[float, bool]:
    """Return the number for a workload, and whether it is active."""
    [spec] = stub.GetMetricSpec(reference, timeout=PATIENCE).metricSpecs
    request = pb.GetMetricsRequest(scaledObjectRef=reference, metricName=spec.metricName)
    [value] = stub.GetMetrics(request, timeout=PATIENCE).metricValues
    return value.metricValueFloat, stub.IsActive(reference, timeout=PATIENCE).result
