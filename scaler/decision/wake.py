"""Whether anything that a workload reads can wake it from 0 replicas. Pure.

Its own pods say nothing while there are none, so that only a gateway can, or what somebody else exports. A gateway that
has no series of a model may have nothing that waits, which is 0; or it never has any, since it holds no requests, and
then that 0 would be believed for ever. Which of the two it is, other series of it tell.

    onMissing: zero, 0 replicas     series of another model, or of the gateway's family     what it is
    queued of llm-d                 llm_d_epp_flow_control_queue_size of another model      0, certain
    queued of llm-d                 llm_d_epp_request_total alone: no flow control          it cannot wake: enable it
    queued of dynamo                whatever: without a worker it refuses requests          it cannot wake
"""

from dataclasses import replace

from scaler.config.metrics import Input
from scaler.config.signals import Signal, offered
from scaler.config.workload import WorkloadSpec
from scaler.decision.decision import InputValue
from scaler.model.measurement import CapacityQuery, Inputs, Measurement, Reading, SignalQuery

ITS_OWN = (
    "all that it reads is of its own pods, and there are none: read what waits at a gateway (queued, in_flight), or is "
    "refused there"
)


def cannot_wake(spec: WorkloadSpec, inputs: Inputs) -> str:
    """Say why nothing that is read can ever wake it; empty where something may, or where it is awake.

    Another trigger of the same object may wake it, and a minimum above 0 keeps it awake; with either nothing is said.
    """
    asleep = inputs.target_status.current == 0 and not spec.is_job
    scaled = inputs.target.scaled
    others = scaled is not None and (bool(scaled.other_trigger_types) or scaled.minimum > 0)
    if not asleep or others:
        return ""
    reasons: list[str] = []
    for item in spec.inputs:
        reason = _cannot(item, inputs.readings.get(item.name))
        if reason is None:
            return ""
        reasons.append(reason)
    return "; ".join(dict.fromkeys(filter(None, reasons))) or ITS_OWN


def doubted(spec: WorkloadSpec, facts: tuple[InputValue, ...], inputs: Inputs) -> tuple[InputValue, ...]:
    """Return the facts; where nothing can wake the workload, what a gateway does not say is no certain 0."""
    if not cannot_wake(spec, inputs):
        return facts
    return tuple(
        _with_reason(fact, _cannot(item, inputs.readings.get(item.name)))
        for item, fact in zip(spec.inputs, facts, strict=True)
    )


def _with_reason(fact: InputValue, reason: str | None) -> InputValue:
    if not reason:
        return fact
    return replace(fact, problem=f"{fact.problem}: {reason}" if fact.problem else reason)


def _cannot(item: Input, measured: Measurement | None) -> str | None:
    """Say why one input can never wake it: None where it may, empty where it is its own pods' or a count of GPUs."""
    if item.of_target or isinstance(item.query, CapacityQuery):
        return ""
    signal = offered(item.query.engine, item.query.signal) if isinstance(item.query, SignalQuery) else None
    if signal is None or signal.scope != "gateway" or not isinstance(measured, Reading) or measured.value:
        return None
    if signal.withdrawn_at_zero:
        return f"{signal.engine} cannot wake it: {signal.withdrawn_at_zero}"
    return _unseen(signal, item) if measured.shown is False else None


def _unseen(signal: Signal, item: Input) -> str:
    seen = f"the endpoint `{item.query.endpoint}` has no series of {signal.engine} that says so of any model"
    return f"{seen}: {signal.without_family}" if signal.without_family else f"{seen}, so nothing there can wake it"
