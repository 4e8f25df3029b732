"""The inputs of a tick: from what the sources said to the numbers that the formula gets.

    measured 7, 2 of 2 pods answered                  7
    measured 7, 1 of 2 pods answered                  7, with the problem: nothing is lowered on it
    no series, onMissing: zero                        0, with the rule that gave it
    the source failed                                 nothing, with the problem

Pure.
"""

from dataclasses import replace

from scaler.config.metrics import REDUCTIONS, Input
from scaler.config.workload import WorkloadSpec
from scaler.decision.decision import InputValue
from scaler.decision.state import Tick, largest
from scaler.model.fields import seconds
from scaler.model.measurement import MAX_VALUE, Failure, Measurement, Reading, SignalQuery, TargetStatus


def resolve_input(tick: Tick, item: Input, measured: Measurement | None) -> InputValue:
    """Turn what a source said about one input into the number the formula gets."""
    if measured is None:
        measured = Failure("was not measured", tick.now)
    fact = _newest(tick, item, measured)
    if item.optional:
        fact = _as_far_as_measured(tick, item, fact, measured)
    if not item.over:
        return fact
    state, now = tick.state, tick.now
    samples = [sample for sample in state.windows.get(item.name, ()) if now - item.over < sample[0] < now]
    values = [value for _, value in samples] + ([] if fact.newest is None else [fact.newest])
    reduced = REDUCTIONS[item.reduce](values) if values else None
    rule = f"{item.reduce} of {len(values)} samples in {seconds(item.over)}" + (f"; {fact.rule}" if fact.rule else "")
    return replace(fact, value=reduced, rule=rule if values else fact.rule)


def _as_far_as_measured(tick: Tick, item: Input, fact: InputValue, measured: Measurement) -> InputValue:
    """Let the formula do without an optional input, but not so soon after it was there that it would lower an answer.

    For `holdFor` after its last whole value that value stands in, or the part of it that is measured. Where its source
    fails meanwhile, the answer is held as for any other input. So it is in the first `holdFor` of a process, which does
    not know what was before, where there are replicas. An input that was never there is left out, and says so.
    """
    if fact.newest is not None and not fact.problem:
        return fact
    spec, state, now = tick.spec, tick.state, tick.now
    # In each a tick less than holdFor, after which what was seen would be forgotten.
    at, last = state.last.get(item.name, (now, None))
    lately = last is not None and now - at + spec.interval <= spec.hold_for
    begun = now if state.started is None else state.started
    fresh = now - begun + spec.interval <= spec.hold_for
    failed = isinstance(measured, Failure)
    if lately and fact.newest is None:
        # A complete reading without a value is an answer too: there is no such series.
        unknown = isinstance(measured, Failure) or bool(measured.incomplete_reason)
        stands_in = f"the last value, {seconds(now - at)} old"
        problem = f"{fact.problem}; {stands_in}, stands in" if unknown else ""
        newest = None if unknown else last
        return replace(
            fact, value=last, newest=newest, problem=problem, rule=stands_in, substituted=True, config_error=False
        )
    if lately or (fresh and failed and not fact.config_error and tick.inputs.target_status.current):
        return fact
    if fact.newest is not None:
        return replace(fact, problem="", rule=fact.problem)
    rule = "not measured, and the formula can do without"
    return replace(fact, value=None, newest=None, problem="", rule=rule, substituted=True, config_error=False)


def _newest(tick: Tick, item: Input, measured: Measurement) -> InputValue:
    """Return what was measured just now, or why it is not certain."""
    if isinstance(measured, Failure):
        return InputValue(
            item.name,
            None,
            None,
            measured.reason,
            source=measured.source,
            unit=item.unit,
            config_error=measured.config_error,
        )
    fact = InputValue(
        item.name,
        measured.value,
        measured.value,
        rule=measured.caveat,
        age=measured.age,
        answered=measured.answered,
        expected=measured.expected,
        source=measured.source,
        unit=item.unit,
    )
    if measured.value is None:
        fact = _missing(tick, item, fact, measured)
        told = f"{fact.problem}: {measured.found_instead}" if fact.problem and measured.found_instead else fact.problem
        return replace(fact, problem=told)
    if not abs(measured.value) <= MAX_VALUE:
        return replace(fact, value=None, newest=None, problem=f"came to {measured.value:g}, which is no load")
    problem = _incomplete(tick, item, measured)
    return replace(fact, problem=problem) if problem else fact


def _incomplete(tick: Tick, item: Input, reading: Reading) -> str:
    """Say why a value may be too low or too old, or return an empty text."""
    if reading.incomplete_reason:
        return reading.incomplete_reason
    if item.of_target and tick.inputs.target_status.stale_reason:
        return tick.inputs.target_status.stale_reason
    if reading.answered is not None:
        expected = largest(reading.expected, tick.inputs.target_status.ready if item.of_target else None)
        if expected is not None and reading.answered < expected:
            return f"{reading.answered} of {expected} pods answered"
    return _young(tick.spec, item) if item.query.endpoint in tick.inputs.recently_started else ""


def _young(spec: WorkloadSpec, item: Input) -> str:
    return f"the endpoint `{item.query.endpoint}` holds no data older than {seconds(spec.hold_for)} yet"


def _missing(tick: Tick, item: Input, fact: InputValue, reading: Reading) -> InputValue:
    """Resolve an input of which a source answered that there is no such series."""
    partial = reading.incomplete_reason
    young = item.query.endpoint in tick.inputs.recently_started
    fact = replace(fact, substituted=True)
    nobody = no_serving_pods(tick.inputs.target_status) if item.of_target else ""
    if nobody and item.value_at_zero_replicas is not None:
        return replace(
            fact,
            value=item.value_at_zero_replicas,
            newest=item.value_at_zero_replicas,
            rule=f"{nobody}, so nothing is there to measure",
        )
    if partial:
        return replace(fact, problem=f"no series, and absence means nothing while {partial}")
    match item.on_missing:
        case "zero" if young:
            return replace(fact, problem=f"no series, and absence is not zero while {_young(tick.spec, item)}")
        case float() as value if young and not item.optional:
            return replace(fact, problem=f"no series, and absence is not {value:g} while {_young(tick.spec, item)}")
        case "zero":
            return replace(fact, value=0.0, newest=0.0, rule=f"{_absent(item, reading)} (onMissing: zero)")
        case "last" if item.name in tick.state.last:
            at, value = tick.state.last[item.name]
            return replace(
                fact, value=value, newest=value, rule=f"no series; the last value, {seconds(tick.now - at)} old"
            )
        case float() as value:
            return replace(fact, value=value, newest=value, rule=f"{_absent(item, reading)} (onMissing: {value:g})")
    if item.name in tick.spec.program.nilable:
        return replace(fact, rule="no series, which ?? stands in for")
    return replace(fact, problem="no series")


def _absent(item: Input, reading: Reading) -> str:
    """Say that there is no series; of a gateway's also what else of it there is."""
    if reading.shown is None or not isinstance(item.query, SignalQuery):
        return "no series"
    engine, endpoint = item.query.engine, item.query.endpoint
    return (
        f"no series, but others of {engine}"
        if reading.shown
        else f"nothing of {engine} is to be seen in the endpoint `{endpoint}`"
    )


def no_serving_pods(known: TargetStatus) -> str:
    """Say why no pod of the target can hold load, or return an empty text.

    A pod that was ready once and is not now may still hold some: what it does not say is not zero.
    """
    if known.stale_reason or known.ever_ready:
        return ""
    if known.current == 0:
        return "0 replicas"
    return "no pod is ready yet" if known.ever_ready == 0 else ""
