"""Formula files and trigger metadata -> the frozen values that `decide` understands.

A formula file is a template: `$name` stands for a parameter of the trigger. `bind` fills the template for one trigger
and reads the result, so that a value is checked in the same way whether it was written in the file or in the trigger.
Everything here is pure; a file or trigger that is wrong is one ConfigError that names file, key, value and what is
allowed.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal

from scaler.config import promql, signals
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
from scaler.config.metrics import (
    FORMULA_NAME,
    FUNCTIONS_TOO,
    NAME,
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
from scaler.config.outputs import GROUP, MEMBER_KEYS, Member, Output, read_member, read_outputs
from scaler.config.schedule import Window, placed
from scaler.config.trigger import NOT_YET_KEYS, TRIGGER, Trigger
from scaler.config.workload import WorkloadSpec
from scaler.formula import Program, parse
from scaler.model.errors import ConfigError, FormulaSyntaxError, UnsupportedError, nearest
from scaler.model.fields import Fields, boolean, choice, duration, listed, matching, number, show, text
from scaler.model.measurement import CapacityQuery, WorkloadKey
from scaler.policy import POLICIES
from scaler.policy.outcome import ANY, EACH, TOTALS, PolicySpec

OVERRIDES = tuple(key.path for key in WORKLOAD_KEYS)
OF_A_GROUP = tuple(key.path for key in MEMBER_KEYS)
SIGNAL_PARAMETERS = (
    "engine",
    "gateway",
    "model",
    "route",
    "pods",
)  # say whose signals are meant; parameters of every formula
RESERVED_KEYS = frozenset(
    {*OVERRIDES, *NOT_YET_KEYS, *OF_A_GROUP, *SIGNAL_PARAMETERS, "formula", "expression", "kind", "id"}
)
METRIC_TYPE, METRIC_KIND = choice("AverageValue", "Value"), choice(*sorted(ANY))
REFERENCE = re.compile(rf"\$({NAME})")  # to a parameter, in the template


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a formula file."""

    name: str
    type: str  # text | number | duration | boolean
    default: Scalar | None  # None: the trigger must give it
    example: Scalar | None  # stands in for it where a file is checked without a trigger
    unit: str
    description: str


@dataclass(frozen=True, slots=True)
class FormulaFile:
    """A formula file that was read and, with placeholders for what only a trigger knows, found valid."""

    name: str
    where: str
    description: str
    parameters: tuple[Parameter, ...]
    body: Mapping[str, object]  # the template: every key but name, description, parameters, tests
    tests: tuple[object, ...]  # as written; `check` reads them
    outputs: Mapping[str, "FormulaFile"] = field(default_factory=dict)  # one for each of `outputs`, without tests
    output: Output | None = None  # which of these it is; None: a whole file

    @property
    def parts(self) -> tuple["FormulaFile", ...]:
        """Its outputs, each as a file of its own; the file itself where it has none."""
        return tuple(self.outputs.values()) or (self,)


# ---- formula files -----------------------------------------------------------------------------------------------


def parse_file(tree: object, where: str, stem: str | None = None) -> FormulaFile:
    """Read a formula file.

    Args:
        tree: the YAML as read.
        where: the file's path, for messages.
        stem: the file's name without its ending, which `name` must equal; None to allow any.

    Raises:
        ConfigError: anything that could be known to be wrong without a trigger.
    """
    fields = Fields(where, tree)
    name = fields.take("name", matching(FORMULA_NAME, "lower-case letters, digits and '-', at most 63"))
    if stem is not None and name != stem:
        raise fields.error("name", f"{show(name)} is not the file's own name", stem)
    description = fields.take("description", text, "")
    declared = fields.inside("parameters")
    parameters = tuple(_parameter(where, key, raw) for key, raw in declared.rest().items())
    no_tests: tuple[object, ...] = ()
    tests = fields.take("tests", listed(lambda raw: raw), no_tests)
    file = _parted(FormulaFile(name, where, description, parameters, fields.rest(), tests))
    for part in file.parts:
        bind_example(part, {}, Defaults(endpoints=()))
    return file


def _parted(file: FormulaFile) -> FormulaFile:
    """Give a file with `outputs` one file for each of them."""
    parts = read_outputs(file.where, file.body)
    of_each = {name: replace(file, body=body, tests=(), output=output) for name, (output, body) in parts.items()}
    return replace(file, outputs=of_each)


def output_of(file: FormulaFile, given: Mapping[str, str]) -> FormulaFile:
    """Return the part of a formula file that `output` names; the file itself where it has no outputs.

    Raises:
        ConfigError: it names none of them, or one where there are none.
    """
    named = given.get("output")
    if not file.outputs:
        return file
    allowed = ", ".join(file.outputs)
    if named is None:
        raise ConfigError(TRIGGER, "output", f"is missing: {file.name} has several outputs", allowed)
    if named not in file.outputs:
        problem = f"{show(named)} is not an output of {file.name}{nearest(named, file.outputs)}"
        raise ConfigError(TRIGGER, "output", problem, allowed)
    return file.outputs[named]


def _parameter(where: str, name: str, tree: object) -> Parameter:
    path = f"parameters.{name}"
    if not re.fullmatch(NAME, name):
        raise ConfigError(
            where, path, f"{show(name)} is not a name", "letters, digits and '_', not starting with a digit"
        )
    return read_parameter(Fields(where, {} if tree is None else tree, path), name)


def read_parameter(fields: Fields, name: str) -> Parameter:
    """Read one parameter of a formula file, but for its name."""
    kind = fields.take("type", choice("text", "number", "duration", "boolean"), "text")
    default = fields.take("default", _TYPES[kind], None)
    example = fields.take("example", _TYPES[kind], None)
    unit, description = fields.take("unit", text, ""), fields.take("description", text, "")
    fields.close()
    return Parameter(name, kind, default, example, unit, description)


_TYPES: Mapping[str, Callable[[object], Scalar]] = {
    "text": text,
    "number": number(),
    "duration": duration(),
    "boolean": boolean,
}
_PLACEHOLDERS: Mapping[str, Scalar] = {"text": "placeholder", "number": 1.0, "duration": 60.0, "boolean": True}


def _stand_in(parameter: Parameter, usual: Mapping[str, Scalar]) -> Scalar:
    """A value for a parameter where there is no trigger: its default, the usual one, its example, one of its type."""
    known = (parameter.default, usual.get(parameter.name), parameter.example, _PLACEHOLDERS[parameter.type])
    return next(value for value in known if value is not None)


# ---- binding -----------------------------------------------------------------------------------------------------


def bind(file: FormulaFile | None, trigger: Trigger, defaults: Defaults) -> WorkloadSpec:
    """Fill a formula file's template with a trigger.

    Args:
        file: the formula file; None for a trigger that brings its own expression.
        trigger: what KEDA sent.
        defaults: what the settings say.

    Raises:
        ConfigError: an unknown key, a missing or wrong value, a formula that cannot be read.
    """
    if file is None:
        file = _inline(trigger, defaults)
    file = output_of(file, trigger.given)
    declared = {item.name: item for item in file.parameters}
    not_here = {*NOT_YET_KEYS, *(() if file.output else OF_A_GROUP)}
    known = (RESERVED_KEYS - not_here) | declared.keys()
    for key in trigger.given:
        if key not in known:
            raise ConfigError(TRIGGER, key, f"unknown key{nearest(key, known)}", ", ".join(sorted(known)))
    usual = _usual(defaults)
    values: dict[str, Scalar] = {}
    for item in file.parameters:
        if item.name in trigger.given:
            values[item.name] = _typed(TRIGGER, item, trigger.given[item.name])
        elif item.default is not None:
            values[item.name] = item.default
        elif item.name in usual:
            values[item.name] = usual[item.name]
        else:
            raise ConfigError(TRIGGER, item.name, f"is missing: {file.name} needs it", item.description or item.type)
    for key in SIGNAL_PARAMETERS:
        if key in trigger.given and key not in declared:
            values[key] = trigger.given[key]
    overrides = {key: trigger.given[key] for key in OVERRIDES if key in trigger.given and key not in declared}
    try:
        group = GROUP.take(Fields(TRIGGER, trigger.given), GROUP.default)
        spec = _read(file, trigger.key, values, defaults, frozenset(declared), overrides)
        if file.output:
            spec = replace(spec, member=_member(file, file.output, spec, values, group))
    except ConfigError as error:
        raise _of_trigger(error, file, trigger) from None
    _may_measure(spec, defaults)
    return spec


def _member(file: FormulaFile, output: Output, spec: WorkloadSpec, values: Mapping[str, Scalar], group: str) -> Member:
    """Read which part of its group a workload is.

    Raises:
        ConfigError: Jobs, which start and end by themselves, or a wrong ratio or order.
    """
    if spec.for_jobs:
        raise ConfigError(file.where, "outputs", "are for ScaledObjects, and this is a ScaledJob", "a ScaledObject")
    place = {**values, "namespace": spec.key.namespace, "name": spec.key.name}
    between = output.tree | dict(output.mix.tree if output.mix else {})
    filled = {key: _fill(file.where, _place(key), raw, place) for key, raw in between.items()}
    member = read_member(file.where, output, filled, group)
    return replace(member, demand=_demand(file.where, output, member, spec))


def _place(key: str) -> str:
    """Where in a file a key stands that holds between outputs: each of them says its own ratios."""
    return "outputs" if key == "ratios" else key


def _demand(where: str, output: Output, member: Member, spec: WorkloadSpec) -> Mapping[str, Program]:
    """Read the formulas of the kinds of request that a variant carries, and so measures.

    Raises:
        ConfigError: a formula that cannot be read, or one that reads what is of each variant's own pods.
    """
    names = frozenset({*(item.name for item in spec.inputs), *spec.parameters, *TARGET_NAMES})
    if member.mix is None or output.mix is None:
        return {}
    [carries] = [offer.carries for offer in member.mix.offers if offer.name == output.name]
    written = output.mix.demand
    demand = {}
    for kind, _ in carries:
        demand[kind] = _program(written[kind], names, "number", where, f"demand.{kind}")
        own = [item.name for item in spec.inputs if item.of_target and item.name in demand[kind].names]
        if own or demand[kind].names & set(TARGET_NAMES):
            named = min([*own, *(demand[kind].names & set(TARGET_NAMES))])
            problem = f"reads {named}, which is of the pods of each variant by itself, and the demand is of all"
            raise ConfigError(where, f"demand.{kind}", problem, "what a gateway measures, or prometheus")
    return demand


def _may_measure(spec: WorkloadSpec, defaults: Defaults) -> None:
    """Refuse an endpoint that is for other namespaces, whoever named it: trigger, formula file or settings."""
    allowed = defaults.endpoints_for(spec.key.namespace)
    replicas = {query.endpoint for query in spec.replicas.values()}
    for name in sorted(spec.endpoints | replicas):
        if defaults.endpoints and name not in allowed:
            told = ", ".join(allowed) or "none: the settings have no endpoint for this namespace"
            raise ConfigError(TRIGGER, "endpoint", f"{show(name)} is not for namespace {spec.key.namespace}", told)


def _usual(defaults: Defaults) -> Mapping[str, Scalar]:
    """What the settings say for parameters that neither the trigger nor the file gives a value."""
    return {"engine": defaults.engine, "gateway": defaults.gateway}


EXAMPLE = WorkloadKey("namespace", "name", "ScaledObject", "")


def bind_example(file: FormulaFile, given: Mapping[str, str], defaults: Defaults) -> WorkloadSpec:
    """Fill a formula file's template without a trigger, as `check` does.

    A parameter that is neither in `given` nor has a default gets its example, or something of its type.

    Raises:
        ConfigError: as `bind`.
    """
    usual = _usual(defaults)
    parameters = tuple(replace(item, default=_stand_in(item, usual)) for item in file.parameters)
    return bind(replace(file, parameters=parameters), Trigger(EXAMPLE, file.name, None, given), defaults)


def _of_trigger(error: ConfigError, file: FormulaFile, trigger: Trigger) -> ConfigError:
    """The same error, said of the trigger where it was the trigger that gave the value."""
    key = _parameter_at(file.body, error.key) or error.key
    whole = key.partition("[")[0]  # schedule of schedule[0].hours
    if error.where != file.where or not {key, whole} & trigger.given.keys():
        return _of_output(error, file)
    if isinstance(error, FormulaSyntaxError):
        return error.placed(TRIGGER, key)
    return ConfigError(TRIGGER, key, error.problem, error.allowed)


def _of_output(error: ConfigError, file: FormulaFile) -> ConfigError:
    """The same error, said of the output where it was the output that said it, and not the file for all."""
    key = file.output.place(error.key) if file.output and error.where == file.where else error.key
    if key == error.key:
        return error
    if isinstance(error, FormulaSyntaxError):
        return error.placed(error.where, key)
    if isinstance(error, UnsupportedError):
        return UnsupportedError(error.where, key)
    return ConfigError(error.where, key, error.problem, error.allowed)


def _parameter_at(body: object, path: str) -> str:
    """Return the parameter whose value stands at a path of the template as a whole; empty if none does."""
    for key in path.split("."):
        body = body.get(key) if isinstance(body, Mapping) else None
    reference = REFERENCE.fullmatch(body) if isinstance(body, str) else None
    return reference[1] if reference else ""


def _typed(where: str, parameter: Parameter, raw: str) -> Scalar:
    try:
        return _TYPES[parameter.type](raw)
    except ValueError as error:
        raise ConfigError(where, parameter.name, f"{show(raw)} is not allowed", str(error)) from error


_INLINE: Mapping[str, Literal["number", "boolean"]] = {"expression": "number", "activation": "boolean"}


def _inline(trigger: Trigger, defaults: Defaults) -> FormulaFile:
    """The formula file that a trigger with an expression stands for: every name is a signal of its engine."""
    expression = trigger.expression or ""
    engine, gateway = trigger.given.get("engine", defaults.engine), trigger.given.get("gateway", defaults.gateway)
    try:
        known = {*signals.names(engine), *signals.names_at_gateway(gateway)}
    except ConfigError as error:
        raise ConfigError(TRIGGER, error.key, error.problem, error.allowed) from error
    names = frozenset(known | signals.all_signal_names() | set(TARGET_NAMES))
    metrics: dict[str, object] = {}
    for key, kind in _INLINE.items():
        written = expression if key == "expression" else trigger.given.get(key)
        used = _program(written, names, kind, TRIGGER, key).names - set(TARGET_NAMES) if written else frozenset()
        lacking = min(used - known, default=None)
        if lacking:
            problem = f"{engine} has no signal {show(lacking)}, nor has the gateway {gateway}"
            raise ConfigError(TRIGGER, key, problem, ", ".join(sorted(known)))
        metrics |= {name: {"signal": name} for name in sorted(used)}
    return FormulaFile("expression", TRIGGER, "", (), {"metrics": metrics, "formula": expression}, ())


_INSTEAD = {"activation": "activationTarget", "activationTarget": "activation"}  # the trigger's word for the file's


def _read(
    file: FormulaFile,
    key: WorkloadKey,
    values: Mapping[str, Scalar],
    defaults: Defaults,
    declared: frozenset[str],
    overrides: Mapping[str, str] | None = None,
) -> WorkloadSpec:
    """Fill the template and read it."""
    place = {**values, "namespace": key.namespace, "name": key.name}
    body = {name: _fill(file.where, name, value, place) for name, value in file.body.items()}
    for name, other in _INSTEAD.items():
        if name in (overrides or {}):
            body.pop(other, None)
    body.update(overrides or {})
    fields = Fields(file.where, body)
    if fields.has("mode"):
        raise UnsupportedError(file.where, "mode")
    endpoint = fields.take("endpoint", endpoint_name(defaults), defaults.endpoint)
    scope = MetricContext(key, values, defaults, endpoint)
    metrics = fields.inside("metrics").rest()
    read = [read_metric(file.where, name, raw, scope) for name, raw in metrics.items()]
    inputs = tuple(item for item in read if item is not None)
    parameters = {name: float(value) for name, value in values.items() if name in declared and isinstance(value, float)}
    measured = frozenset(metrics)
    _distinct(file.where, measured, frozenset(parameters))
    names = measured | frozenset(parameters) | frozenset(TARGET_NAMES)
    program = _program(fields.take("formula", text), names, "number", file.where, "formula")
    _can_do_without(file.where, metrics, program)
    policy_kind, policy, policy_programs = _policy(fields, names)
    starts_jobs = policy_kind is not None and POLICIES[policy_kind].jobs
    scope = replace(scope, key=replace(key, kind="ScaledJob")) if starts_jobs else scope
    spec = WorkloadSpec(
        key=scope.key,
        formula=file.name,
        where=file.where,
        program=program,
        target=_target(fields, policy_kind),
        activation=_activation(fields, names),
        metric_type=_metric_type(fields, policy_kind, policy),
        inputs=inputs,
        activity_signals=(watched := activity_signals(inputs, scope)),
        progress=progress(watched, inputs),
        replicas=replica_queries(scope),
        parameters=parameters,
        policy_kind=policy_kind,
        policy=policy,
        policy_programs=policy_programs,
        interval=INTERVAL.take(fields, _usual_interval(inputs, defaults)),
        hold_for=HOLD_FOR.take(fields, defaults.hold_for),
        idle_for=IDLE_FOR.take(fields, defaults.idle_for),
        capacity=CAPACITY.take(fields, defaults.capacity),
        startup=STARTUP.take(fields, defaults.startup),
        scale_down=SCALE_DOWN_KEY.take(fields, None if policy else defaults.scale_down),
        schedule=_schedule(fields, scope.key),
    )
    if spec.interval != round(spec.interval):
        raise fields.error("interval", f"{spec.interval:g} is not a whole number of seconds", "1s to 10m")
    fields.close()
    return spec


def _schedule(fields: Fields, key: WorkloadKey) -> tuple[Window, ...]:
    """The windows of time; none for what starts Jobs, of which a floor would start as many at every look."""
    try:
        windows = SCHEDULE.take(fields, SCHEDULE.default)
    except ConfigError as error:
        raise error if error.where == fields.where else placed(error, fields.where) from None
    if windows and key.kind == "ScaledJob":
        problem = "bounds replicas, and a ScaledJob starts Jobs: a floor would start as many at every look"
        raise fields.error("schedule", problem, "leave it out, or KEDA's minReplicaCount and maxReplicaCount")
    return windows


def _usual_interval(inputs: Iterable[Input], defaults: Defaults) -> float:
    """Seconds between the ticks of a workload that does not say it."""
    endpoints = {item.query.endpoint for item in inputs if not isinstance(item.query, CapacityQuery)}
    return defaults.direct_interval if endpoints and endpoints <= defaults.direct else defaults.interval


def _fill(where: str, path: str, value: object, place: Mapping[str, Scalar]) -> object:
    """Put parameters in: a whole value, or inside PromQL where it is escaped; anywhere else `$` is an error."""
    if isinstance(value, Mapping):
        return {key: _fill(where, f"{path}.{key}", item, place) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(where, f"{path}[{index}]", item, place) for index, item in enumerate(value)]
    if not isinstance(value, str) or "$" not in value:
        return value
    if path.startswith("metrics.") and path.endswith(".prometheus"):
        return promql.substitute(value, place_for_promql(place), where, path)
    whole_value = REFERENCE.fullmatch(value)
    if whole_value is None:
        name = REFERENCE.search(value)
        hint = (
            f"; a numeric parameter is a plain name here: {name[1]}"
            if name and path in {"formula", "activation"}
            else ""
        )
        raise ConfigError(where, path, f"$ inside {show(value)}{hint}", "$name as the whole value, or inside PromQL")
    if whole_value[1] not in place:
        raise ConfigError(where, path, f"{value} is not a parameter{nearest(whole_value[1], place)}", ", ".join(place))
    return place[whole_value[1]]


def place_for_promql(place: Mapping[str, Scalar]) -> dict[str, str | float]:
    """Booleans have no place in PromQL; they go in as the texts true and false."""
    return {key: str(value).lower() if isinstance(value, bool) else value for key, value in place.items()}


def _distinct(where: str, measured: frozenset[str], parameters: frozenset[str]) -> None:
    twice = measured & parameters
    if twice:
        raise ConfigError(where, f"metrics.{min(twice)}", "is also a parameter", "two different names")


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
        return _program(ACTIVATION.take(fields, ACTIVATION.default), names, "boolean", fields.where, "activation")
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
    return kind, spec, {text: _program(text, names, "number", fields.where, "policy") for text in sorted(spec.metrics)}


def _target(fields: Fields, policy_kind: str | None) -> float:
    """Read `target`; a policy with thresholds of its own has no use for it."""
    algorithm = POLICIES[policy_kind] if policy_kind else None
    if algorithm is None or algorithm.targets:
        return TARGET.take(fields, TARGET.default)
    if not algorithm.jobs and fields.has("target"):
        raise fields.error("target", f"has no meaning with policy {policy_kind}", "the policy's own thresholds")
    return 1.0


def _metric_type(fields: Fields, policy_kind: str | None, policy: PolicySpec | None) -> str:
    """How the value becomes replicas: by `metricType`, or by `metricKind`, which says what the value is.

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


def _program(formula: str, names: frozenset[str], kind: Literal["number", "boolean"], where: str, key: str) -> Program:
    try:
        return _parsed(formula, names, kind)
    except FormulaSyntaxError as error:
        raise error.placed(where, key) from None
