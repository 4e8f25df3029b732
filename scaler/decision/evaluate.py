"""The formula of a tick, its activation and its policy: from the inputs' numbers to the replicas that are desired.

    waiting 12, running 20, target 8: value 32, desired 4

Pure and total: what fails is a problem in words, and no exception.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from scaler.config.metrics import TARGET_NAMES
from scaler.config.workload import WorkloadSpec
from scaler.decision.decision import InputValue
from scaler.decision.nothing_seen import doubt_unmeasured
from scaler.decision.pace import LONGEST, PacePast
from scaler.decision.resolve import resolve_input
from scaler.decision.stalled import Standing, at_gateway, follow
from scaler.decision.starting import learnt
from scaler.decision.state import Tick
from scaler.decision.wake import doubted
from scaler.formula import Program
from scaler.model.errors import EvaluationError
from scaler.model.measurement import TargetStatus, replicas_for
from scaler.policy.outcome import PolicyInput, PolicyResult

MAX_REPLICAS = 1_000_000  # more is a fault of the formula, not a wish


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The inputs as they were measured, and what the formula and the policy make of them."""

    input_values: tuple[InputValue, ...]
    activity_signals: tuple[InputValue, ...]
    standing: Standing | None  # a load that stands still
    scope: Mapping[str, float | None]
    left_out: tuple[str, ...]  # inputs that were not measured, and that the value does without
    value: float | None
    activation: bool | None  # None: not known
    policy: object  # its next state
    outcome: PolicyResult | None
    desired: int | None
    problems: tuple[str, ...]


def evaluate(tick: Tick, took: float | None) -> Evaluation:
    """Evaluate readings up to the desired replicas; `took`: seconds of a start-up, where learnt."""
    spec, state, inputs, now = tick.spec, tick.state, tick.inputs, tick.now
    facts = tuple(resolve_input(tick, item, inputs.readings.get(item.name)) for item in spec.inputs)
    activity_signals = tuple(
        resolve_input(tick, item, inputs.activity_signals.get(item.name)) for item in spec.activity_signals
    )
    standing = follow(
        state.standing, activity_signals, inputs.activity_signals, inputs.progress, at_gateway(spec, facts), now
    )
    facts = doubt_unmeasured(spec, doubted(spec, facts, inputs), activity_signals, inputs)
    stand_ins = _stand_ins(spec, facts)
    scope = {**_scope(spec, facts, inputs.target_status), **stand_ins}
    problems = problems_of(spec, facts)
    value = _evaluate(spec.program, scope, problems)
    counted = spec.formula_names
    # What stands in for an input that was not measured now is no measurement.
    doubtful = [fact for fact in facts if fact.problem and fact.name in counted]
    unmeasured = tuple(fact.name for fact in doubtful if fact.newest is None)
    left_out = () if value is None else unmeasured
    activation = _activation(spec, value, facts, scope, problems)
    seen = _seen(tick, value, activation, scope, problems, took)
    policy, outcome = _policy(tick, seen, problems)
    desired = _desired(spec, value, outcome, problems)
    policy = state.policy if doubtful else policy
    return Evaluation(
        facts, activity_signals, standing, scope, left_out, value, activation, policy, outcome, desired, tuple(problems)
    )


def problems_of(spec: WorkloadSpec, facts: tuple[InputValue, ...]) -> list[str]:
    """List what is wrong with the inputs; one outage is told once, however many inputs it concerns.

    waiting, running: endpoint `default` (http://prometheus:9090) cannot be reached: Connection refused
    """
    concerned: dict[str, dict[object, str]] = {}  # problem -> what is asked for -> the input's name
    for item, fact in zip(spec.inputs, facts, strict=True):
        if fact.problem:
            concerned.setdefault(fact.problem, {}).setdefault(item.query, fact.name)
    return [f"{', '.join(names.values())}: {problem}" for problem, names in concerned.items()]


def _scope(spec: WorkloadSpec, facts: tuple[InputValue, ...], known: TargetStatus) -> Mapping[str, float | None]:
    """Map every name that a formula may use to its value."""
    counts = (known.current, known.ready, known.starting, known.minimum, known.maximum)
    target = {name: None if count is None else float(count) for name, count in zip(TARGET_NAMES, counts, strict=True)}
    return {**target, **spec.parameters, **{fact.name: fact.value for fact in facts}}


def _stand_ins(spec: WorkloadSpec, facts: tuple[InputValue, ...]) -> Mapping[str, float]:
    """Map the counts that could not be measured to 0, where something else was measured.

    What the rest alone asks for may raise an uncertain answer, and cannot lower it. Where nothing was measured there is
    no rest: then nothing is reckoned, shown or exported.
    """
    missing = [
        (item, fact) for item, fact in zip(spec.inputs, facts, strict=True) if fact.problem and fact.value is None
    ]
    if not missing or not any(fact.newest is not None and not fact.substituted for fact in facts):
        return {}
    zeros = {item.name: 0.0 if item.on_missing == "zero" else item.value_at_zero_replicas for item, _ in missing}
    return {name: zero for name, zero in zeros.items() if zero is not None}


def _unknown_target(program: Program, scope: Mapping[str, float | None]) -> str:
    """Say which numbers of the scale target a formula needs that are not known, and who could tell them."""
    names = [name for name in TARGET_NAMES if name in program.names and scope.get(name) is None]
    needed = f"`{'` and `'.join(names)}` not known"
    return f"{needed}: that needs access to Kubernetes, or kube-state-metrics in the endpoint" if names else ""


def _evaluate(program: Program, scope: Mapping[str, float | None], problems: list[str]) -> float | None:
    """Return the formula's value; a failure is a problem, unless an input's own problem says it already."""
    try:
        value = program.evaluate(scope)
    except EvaluationError as error:
        if not problems:
            problems.append(_unknown_target(program, scope) or str(error))
        return None
    if value is None:
        problems.append("the formula came to nil")
        return None
    return float(value)


def _seen(
    tick: Tick,
    value: float | None,
    activation: bool | None,
    scope: Mapping[str, float | None],
    problems: list[str],
    took: float | None,
) -> PolicyInput | None:
    """Put together what the policy is told of this tick; None where some of it is not known, which is a problem."""
    spec, known, algorithm = tick.spec, tick.inputs.target_status, tick.spec.algorithm
    if value is None:
        return None
    if value < 0 and not (algorithm and algorithm.jobs):
        problems.append(f"the formula came to {value:g}, and a load cannot be negative")
        return None
    load = value / spec.target
    if spec.metric_type == "Value":
        if known.ready is None:
            problems.append("metricType Value needs the number of ready replicas, which is not known")
            return None
        load = load * known.ready if known.ready else 0.0  # the load may be too large for a float, and 0 x inf is NaN
        if value <= spec.target and known.current:  # the surge pods of a rollout are no reason for more replicas
            load = min(load, float(known.current))
    metrics = {}
    for text, program in spec.policy_programs.items():
        bare = program.read(scope)
        metric = _evaluate(program, scope, problems) if bare is None else bare
        if metric is None:
            return None
        metrics[text] = metric
    inactive = "" if activation else spec.why_inactive(scope)
    return PolicyInput(
        load=load,
        value=value,
        inactive=inactive,
        metrics=metrics,
        scaled=tick.inputs.target.scaled,
        doubt=known.stale_reason,
        current=known.current,
        ready=known.ready,
        maximum=known.maximum,
        each=spec.metric_type == "Value",
        took=took,
    )


def _policy(tick: Tick, seen: PolicyInput | None, problems: list[str]) -> tuple[object, PolicyResult | None]:
    """Return the replicas before rounding, by the policy or by plain division."""
    algorithm = tick.spec.algorithm
    if seen is None or algorithm is None:
        return tick.state.policy, None if seen is None else PolicyResult(seen.load, True, "")
    policy, outcome = algorithm.step(tick.spec.policy, tick.state.policy or algorithm.initial, seen, tick.now)
    if outcome.problem:
        problems.append(outcome.problem)
    return policy, outcome


def _desired(spec: WorkloadSpec, value: float | None, outcome: PolicyResult | None, problems: list[str]) -> int | None:
    """Round up to whole replicas; too many are a problem."""
    if outcome is None:
        return None
    if outcome.replicas > MAX_REPLICAS:
        problems.append(f"{value:g} / {spec.target:g} asks for more than {MAX_REPLICAS:,} replicas")
        return None
    return replicas_for(outcome.replicas, 1.0)


def past_of(tick: Tick) -> PacePast:
    """Return what was needed and answered lately, with the start-up time that the pods show now."""
    took = learnt(tick.inputs.target.pods or (), tick.spec.startup or LONGEST)
    return tick.state.pace if took is None else replace(tick.state.pace, took=took)


def _activation(
    spec: WorkloadSpec,
    value: float | None,
    facts: tuple[InputValue, ...],
    scope: Mapping[str, float | None],
    problems: list[str],
) -> bool | None:
    """Evaluate the activation; None where it is not known, since what was not measured may make it true."""
    if isinstance(spec.activation, float):
        read, holds = spec.program.names, None if value is None else value > spec.activation
    else:
        read = spec.activation.names
        try:
            holds = bool(spec.activation.evaluate(scope))
        except EvaluationError as error:
            holds = None
            if value is not None:
                problems.append(f"activation: {error}")
    doubtful = holds is False and any(fact.problem and fact.name in read for fact in facts)
    return None if doubtful else holds
