"""Where nothing at all was measured, `onMissing` makes no certain 0 of it. Pure.

`onMissing: zero` says that a series which is not there means nothing to do. That is good as long as something else
shows that the right place was asked: another input of the workload, or another series of the gateway. Where nothing
does, the model may be mistyped, or the gateway gone, and a 0 would take all replicas away.

    replicas   waiting of its own pods   queued of a gateway           what it is
    3          2                         none, and no such gateway     2, certain
    3          none, onMissing: zero     none, and no such gateway     nothing was measured: not certain
    3          -                         none, of another model some   0, certain
    0          none                      none                          `wake.py` has the rule
"""

from dataclasses import replace

from scaler.config.metrics import Input
from scaler.config.signals import find
from scaler.config.workload import WorkloadSpec
from scaler.decision.decision import InputValue
from scaler.model.measurement import GpuAsk, Inputs, Measured, Reading, SignalAsk


def doubt_unmeasured(
    spec: WorkloadSpec, facts: tuple[InputValue, ...], activity_signals: tuple[InputValue, ...], inputs: Inputs
) -> tuple[InputValue, ...]:
    """Return the facts; where nothing at all was measured, those that `onMissing` makes a number of have a problem.

    Args:
        spec: the workload.
        facts: its inputs.
        activity_signals: what is read beside them.
        inputs: all that the tick was told.
    """
    loads = [fact for item, fact in zip(spec.inputs, facts, strict=True) if not isinstance(item.ask, GpuAsk)]
    measured = any(fact.newest is not None and not fact.substituted for fact in (*loads, *activity_signals))
    if measured or inputs.replicas.current == 0:
        return facts
    return tuple(
        _doubted(item, fact, inputs.readings.get(item.name), inputs.replicas.ready)
        if _stands_in(item, fact, guarded=bool(inputs.activity_signals))
        else fact
        for item, fact in zip(spec.inputs, facts, strict=True)
    )


def _stands_in(item: Input, fact: InputValue, *, guarded: bool) -> bool:
    """Whether `onMissing` gave the value: not the last one, and not one that is none where there are no requests."""
    if (
        not isinstance(item.ask, SignalAsk)
        or not fact.substituted
        or fact.problem
        or item.on_missing in {"error", "last"}
    ):
        return False
    signal = find(item.ask.engine, item.ask.signal)
    return guarded or not (signal.takes_quantile or signal.per)


def _doubted(item: Input, fact: InputValue, measured: Measured | None, ready: int | None) -> InputValue:
    """Give one input a problem, where nothing shows that the right place was asked."""
    if item.of_target and ready:
        pods = "1 replica is ready" if ready == 1 else f"{ready} replicas are ready"
        return replace(fact, problem=f"no series, and nothing else was measured, though {pods}: that is not 0")
    if isinstance(item.ask, SignalAsk) and isinstance(measured, Reading) and measured.shown is False:
        gone = f"{item.ask.endpoint} has no series of {item.ask.engine} of any model, and nothing else was measured"
        return replace(fact, problem=f"{gone}: that is not 0")
    return fact
