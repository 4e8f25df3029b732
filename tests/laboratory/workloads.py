"""Workloads that several scenarios scale."""

from collections.abc import Mapping

from laboratory.lab import Lab
from laboratory.objects import model, scaled_object, trigger

# As many replicas as requests queued.
QUEUED = {"expression": "queued", "target": "1", "holdFor": "5s", "idleFor": "5s"}


def queued(
    lab: Lab,
    address: str,
    name: str,
    requests: int,
    metadata: Mapping[str, str] | None = None,
    *,
    push: bool = False,
    labels: Mapping[str, str] | None = None,
    **spec: object,
) -> None:
    """Deploy `name`, which has as many replicas as requests are queued for it.

    Args:
        address: of llm-scaler.
        metadata: of the trigger, over QUEUED.
        push: whether llm-scaler may wake it without being polled.
        labels: of the ScaledObject.
        spec: more of the ScaledObject's spec.
    """
    lab.fleet.queued[name] = requests
    lab.apply(model(name, lab.fleet.port, gpus=0, replicas=0))
    asks = trigger(address, push=push, **QUEUED | {"model": name} | dict(metadata or {}))
    scaled = scaled_object(name, "", **{"triggers": [asks], **spec})
    scaled["metadata"]["labels"] = dict(labels or {})
    lab.apply(scaled)
