"""The keys of a formula file, once a trigger's parameters are put in -> the frozen workload that `decide` understands.

So that a value is checked in the same way whether it was written in the file or in the trigger. Pure.

    formula: waiting + running, target: $target   with target 8 ->  Program(waiting + running), target 8.0
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Literal

from scaler.config.defaults import (
    ACTIVATION,
    ACTIVATION_TARGET,
    CAPACITY,
    HOLD_FOR,
    IDLE_FOR,
    INTERVAL,
    SCALE_DOWN_KEY,
    SCHEDULE,
    STARTUP,
    TARGET,
    WORKLOAD_KEYS,
    Defaults,
)
from scaler.config.formula_file import FormulaFile
from scaler.config.metrics import (
    FUNCTIONS_TOO,
    TARGET_NAMES,
    Input,
    MetricContext,
    Scalar,
    activity_signals,
    endpoint_name,
    progress,
    read_metric,
    replica_queries,
)
from scaler.config.parameters import fill
from scaler.config.schedule import Window, placed
from scaler.config.workload import WorkloadSpec
from scaler.formula import Program, parse
from scaler.model.errors import ConfigError, FormulaSyntaxError, UnsupportedError, nearest
from scaler.model.fields import Fields, choice, show, text
from scaler.model.measurement import CapacityQuery, WorkloadKey
from scaler.policy import POLICIES
from scaler.policy.outcome import ANY, EACH, TOTALS, PolicySpec

METRIC_TYPE, METRIC_KIND = choice("AverageValue", "Value"), choice(*sorted(ANY))
_OWN_KEYS = ("metrics", "formula", "policy", "metricType", "metricKind")
_KEYS = frozenset({*_OWN_KEYS, *(key.path for key in WORKLOAD_KEYS)})  # of a file, beside those of formula_file.py
_INSTEAD = {"activation": "activationTarget", "activationTarget": "activation"}  # the trigger's word for the file's


def read_workload(
    file: FormulaFile,
    key: WorkloadKey,
    values: Mapping[str, Scalar],
    defaults: Defaults,
    declared: frozenset[str],
    overrides: Mapping[str, str],
) -> WorkloadSpec:
    """Fill a file's template and read it.

    Args:
        file: the formula file.
        key: of the workload.
        values: of the parameters, those of signals with them.
        defaults: what the settings say.
        declared: the names of the file's parameters.
        overrides: the keys of a workload that the trigger gives, as it writes them.

    Raises:
        ConfigError: an unknown key, a missing or wrong value, a formula that cannot be read.
    """
    fields = Fields(file.where, _filled(file, key, values, overrides))
    if file.body.get("mode") is not None:
        raise UnsupportedError(file.where, "mode")
    fields.refuse_others(_KEYS)  # a metric whose key is misspelled is not blamed on who reads it
    endpoint = fields.take("endpoint", endpoint_name(defaults), defaults.endpoint)
    scope = MetricContext(key, values, defaults, endpoint)
    metrics = fields.inside("metrics").rest()
    read = [read_metric(file.where, name, raw, scope) for name, raw in metrics.items()]
    inputs = tuple(item for item in read if item is not None)
    parameters = {name: float(value) for name, value in values.items() if name in declared and isinstance(value, float)}
    names = _names(file.where, frozenset(metrics), frozenset(parameters))
    program = program_of(fields.take("formula", text), names, "number", file.where, "formula")
    _can_do_without(file.where, metrics, program)
    policy_kind, policy, policy_programs = _policy(fields, names)
    starts_jobs = policy_kind is not None and POLICIES[policy_kind].jobs
    scope = replace(scope, key=replace(key, kind="ScaledJob")) if starts_jobs else scope
    watched = activity_signals(inputs, scope)
    spec = WorkloadSpec(
        key=scope.key,
        formula=file.name,
        where=file.where,
        program=program,
        target=_target(fields, policy_kind),
        activation=_activation(fields, names),
        metric_type=_metric_type(fields, policy_kind, policy),
        inputs=inputs,
        activity_signals=watched,
        progress=progress(watched, inputs),
        replicas=replica_queries(scope),
        parameters=parameters,
        policy_kind=policy_kind,
        policy=policy,
        policy_programs=policy_programs,
        interval=_interval(fields, inputs, defaults),
        hold_for=HOLD_FOR.take(fields, defaults.hold_for),
        idle_for=IDLE_FOR.take(fields, defaults.idle_for),
        capacity=CAPACITY.take(fields, defaults.capacity),
        startup=STARTUP.take(fields, defaults.startup),
        scale_down=SCALE_DOWN_KEY.take(fields, None if policy else defaults.scale_down),
        schedule=_schedule(fields, scope.key),
    )
    fields.close()
    return spec


def _filled(
    file: FormulaFile, key: WorkloadKey, values: Mapping[str, Scalar], overrides: Mapping[str, str]
) -> dict[str, object]:
    """Put the parameters into the template, and what the trigger says in place of a key of the file."""
    place = {**values, "namespace": key.namespace, "name": key.name}
    body = {name: fill(file.where, name, value, place) for name, value in file.body.items()}
    for name, other in _INSTEAD.items():
        if name in overrides:
            body.pop(other, None)
    return {**body, **overrides}


def _schedule(fields: Fields, key: WorkloadKey) -> tuple[Window, ...]:
    """Read the windows of time; none for what starts Jobs, of which a floor would start as many at every look."""
    try:
        windows = SCHEDULE.take(fields, SCHEDULE.default)
    except ConfigError as error:
        raise error if error.where == fields.where else placed(error, fields.where) from None
    if windows and key.kind == "ScaledJob":
        problem = "bounds replicas, and a ScaledJob starts Jobs: a floor would start as many at every look"
        raise fields.error("schedule", problem, "leave it out, or KEDA's minReplicaCount and maxReplicaCount")
    return windows


def _interval(fields: Fields, inputs: Iterable[Input], defaults: Defaults) -> float:
    """Read the seconds between two ticks; what reads pages alone may look more often."""
    endpoints = {item.query.endpoint for item in inputs if not isinstance(item.query, CapacityQuery)}
    usual = defaults.direct_interval if endpoints and endpoints <= defaults.direct else defaults.interval
    interval = INTERVAL.take(fields, usual)
    if interval != round(interval):
        raise fields.error("interval", f"{interval:g} is not a whole number of seconds", "1s to 10m")
    return interval


def _names(where: str, measured: frozenset[str], parameters: frozenset[str]) -> frozenset[str]:
    """Return the names that a formula may use; none of them means two things."""
    twice = measured & parameters
    if twice:
        raise ConfigError(where, f"metrics.{min(twice)}", "is also a parameter", "two different names")
    return measured | parameters | frozenset(TARGET_NAMES)


def _can_do_without(where: str, metrics: Mapping[str, object], program: Program) -> None:
    """Refuse an optional metric that the formula reads as if it was always there."""
    optional = {name for name, raw in metrics.items() if isinstance(raw, Mapping) and raw.get("optional") is True}
    needed = (optional & program.names) - program.nilable
    if needed:
        name = min(needed)
        raise ConfigError(where, f"metrics.{name}.optional", "the formula reads it without ??", f"{name} ?? 0")


def _activation(fields: Fields, names: frozenset[str]) -> Program | float:
    if fields.has("activation"):
        if fields.has("activationTarget"):
            raise fields.error("activation", "activation and activationTarget are both given", "one of them")
        return program_of(ACTIVATION.take(fields, ACTIVATION.default), names, "boolean", fields.where, "activation")
    return ACTIVATION_TARGET.take(fields, ACTIVATION_TARGET.default)


def _policy(fields: Fields, names: frozenset[str]) -> tuple[str | None, PolicySpec | None, dict[str, Program]]:
    if not fields.has("policy"):
        return None, None, {}
    inner = fields.inside("policy")
    kind = inner.take("kind", text)
    if kind not in POLICIES:
        raise inner.error("kind", f"{show(kind)} is not a policy{nearest(kind, POLICIES)}", ", ".join(POLICIES))
    spec = POLICIES[kind].parse(inner)
    inner.close()
    return (
        kind,
        spec,
        {text: program_of(text, names, "number", fields.where, "policy") for text in sorted(spec.metrics)},
    )


def _target(fields: Fields, policy_kind: str | None) -> float:
    """Read `target`; a policy with thresholds of its own has no use for it."""
    algorithm = POLICIES[policy_kind] if policy_kind else None
    if algorithm is None or algorithm.targets:
        return TARGET.take(fields, TARGET.default)
    if not algorithm.jobs and fields.has("target"):
        raise fields.error("target", f"has no meaning with policy {policy_kind}", "the policy's own thresholds")
    return 1.0


def _metric_type(fields: Fields, policy_kind: str | None, policy: PolicySpec | None) -> str:
    """Read how the value becomes replicas: by `metricType`, or by `metricKind`, which says what the value is.

    Raises:
        ConfigError: the two contradict each other, or the policy needs another kind, or to be told.
    """
    given = fields.take("metricType", METRIC_TYPE, None)
    kind = fields.take("metricKind", METRIC_KIND, None)
    implied = None if kind is None else "AverageValue" if kind in TOTALS else "Value"
    if given and implied and given != implied:
        raise fields.error("metricType", f"{given} is not for a {kind}", f"{implied}, or leave it out")
    if policy_kind is None or policy is None:
        return implied or given or "AverageValue"
    allowed = ", ".join(sorted(policy.kinds))
    if kind is None and POLICIES[policy_kind].declared:
        problem = f"is missing: policy {policy_kind} needs to be told what the formula's value is"
        raise fields.error("metricKind", problem, allowed)
    metric_type = implied or given or "AverageValue"
    if not policy.kinds & ({kind} if kind else TOTALS if metric_type == "AverageValue" else EACH):
        what = f"{kind} is not what" if kind else f"metricType {metric_type} is not what"
        raise fields.error("metricKind", f"{what} policy {policy_kind} reads as it is set", allowed)
    return metric_type


@lru_cache(maxsize=4096)
def _parsed(formula: str, names: frozenset[str], kind: Literal["number", "boolean"]) -> Program:
    return parse(formula, names, kind=kind, shared=FUNCTIONS_TOO)


def program_of(
    formula: str, names: frozenset[str], kind: Literal["number", "boolean"], where: str, key: str
) -> Program:
    """Read a formula.

    Raises:
        FormulaSyntaxError: with the place where it is written.
    """
    try:
        return _parsed(formula, names, kind)
    except FormulaSyntaxError as error:
        raise error.placed(where, key) from None
