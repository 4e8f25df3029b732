"""Where nothing of a place was measured, what stands in for it makes no certain 0. Pure.

`onMissing: zero`, and `??` in a formula, say that a series which is not there means nothing to do. That is good as
long as something else shows that the right place was asked: another signal of the same pods, or another series of the
gateway. Where nothing does, the model may be mistyped, the pods may hang, or the gateway may be gone, and a 0 would
take all replicas away. What a gateway says shows nothing of the pods.

    replicas   waiting of its own pods           queued of a gateway           what it is
    3          2                                 none, and no such gateway     2, certain
    3          none, onMissing: zero             none, and no such gateway     nothing was measured: not certain
    3          none, onMissing: zero or ?? 0     0, or of another model some   not certain: 3 replicas say nothing
    3          -                                 none, of another model some   0, certain
    0          none                              none                          `wake.py` has the rule
"""

from dataclasses import replace

from scaler.config.metrics import Input
from scaler.config.signals import find
from scaler.config.workload import WorkloadSpec
from scaler.decision.decision import InputValue
from scaler.model.measurement import CapacityQuery, Inputs, Measurement, Reading, SignalQuery, TargetStatus


def doubt_unmeasured(
    spec: WorkloadSpec, facts: tuple[InputValue, ...], activity_signals: tuple[InputValue, ...], inputs: Inputs
) -> tuple[InputValue, ...]:
    """Return the facts; those that something stands in for, though nothing of their place was measured, have a problem.

    Args:
        spec: the workload.
        facts: its inputs.
        activity_signals: what is read beside them.
        inputs: all that the tick was told.
    """
    if inputs.target_status.current == 0:
        return facts
    items = (*spec.inputs, *spec.activity_signals)
    pairs = zip(items, (*facts, *activity_signals), strict=True)
    measured = [item for item, fact in pairs if _is_measured(item, fact)]
    of_pods = any(item.of_target for item in measured)
    anything = of_pods or bool(measured)
    doubted: list[InputValue] = []
    for item, fact in zip(spec.inputs, facts, strict=True):
        place_seen = of_pods if item.of_target and not item.optional else anything
        if place_seen or not _stands_in(spec, item, fact, guarded=bool(inputs.activity_signals)):
            doubted.append(fact)
        else:
            doubted.append(
                _doubted(item, fact, inputs.readings.get(item.name), inputs.target_status, anything=anything)
            )
    return tuple(doubted)


def _is_measured(item: Input, fact: InputValue) -> bool:
    """Tell whether a source said so just now; how many GPUs are free shows nothing of a load."""
    return fact.newest is not None and not fact.substituted and not isinstance(item.query, CapacityQuery)


def _stands_in(spec: WorkloadSpec, item: Input, fact: InputValue, *, guarded: bool) -> bool:
    """Tell whether something stands in for the input: not its last value, nor where none is without requests."""
    declared = item.on_missing not in {"error", "last"} or item.optional or item.name in spec.program.nilable
    if not isinstance(item.query, SignalQuery) or not fact.substituted or fact.problem or not declared:
        return False
    signal = find(item.query.engine, item.query.signal)
    return guarded or not (signal.takes_quantile or signal.divided_by)


def _doubted(
    item: Input, fact: InputValue, measured: Measurement | None, replicas: TargetStatus, *, anything: bool
) -> InputValue:
    """Give one input a problem, where nothing shows that the right place was asked, and take its 0 away: it is none."""
    unmeasured = replace(fact, value=None, newest=None, rule="") if item.on_missing == "zero" else fact
    if item.of_target and (there := _that_may_hold_load(replicas)):
        else_ = "nothing else of its pods was measured" if anything else "nothing else was measured"
        return replace(unmeasured, problem=f"no series, and {else_}, though {there}: that is not 0")
    if (
        not anything
        and isinstance(item.query, SignalQuery)
        and isinstance(measured, Reading)
        and measured.shown is False
    ):
        gone = f"the endpoint `{item.query.endpoint}` has no series of {item.query.engine} of any model"
        return replace(unmeasured, problem=f"{gone}, and nothing else was measured: that is not 0")
    return fact


def _that_may_hold_load(replicas: TargetStatus) -> str:
    """Say which replicas there are that may hold load; empty where there are none, or nobody knows."""
    if replicas.ready:
        return "1 replica is ready" if replicas.ready == 1 else f"{replicas.ready} replicas are ready"
    if replicas.ever_ready:
        return "1 replica was ready" if replicas.ever_ready == 1 else f"{replicas.ever_ready} replicas were ready"
    if replicas.ready is None and replicas.current:
        return "there is 1 replica" if replicas.current == 1 else f"there are {replicas.current} replicas"
    return ""
