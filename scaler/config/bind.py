"""Formula file + trigger + settings -> workload: the parameters that a trigger gives, or must, put into the template.

    bind          what KEDA sent, and the file that it names
    bind_example  a file alone, with examples for what only a trigger knows, as `check` reads it
    parse_file    a file as it is loaded: read, and bound to its examples, so that what is wrong in it is known at once

Everything here is pure; a file or trigger that is wrong is one ConfigError that names file, key, value and what is
allowed: said of the trigger where the trigger gave the value, and of the output where the output did.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from scaler.config import signals
from scaler.config.defaults import WORKLOAD_KEYS, Defaults
from scaler.config.formula_file import FormulaFile, output_of, read_file
from scaler.config.metrics import TARGET_NAMES, Scalar
from scaler.config.outputs import GROUP, MEMBER_KEYS, Member, Output, read_member
from scaler.config.parameters import fill, parameter_at, stand_in, typed
from scaler.config.read_workload import program_of, read_workload
from scaler.config.trigger import NOT_YET_KEYS, TRIGGER, Trigger
from scaler.config.workload import WorkloadSpec
from scaler.formula import Program
from scaler.model.errors import ConfigError, FormulaSyntaxError, UnsupportedError, nearest
from scaler.model.fields import Fields, show
from scaler.model.measurement import WorkloadKey

OVERRIDES = tuple(key.path for key in WORKLOAD_KEYS)
OF_A_GROUP = tuple(key.path for key in MEMBER_KEYS)
SIGNAL_PARAMETERS = ("engine", "gateway", "model", "route", "pods")  # whose signals are meant; of every formula
RESERVED_KEYS = frozenset(
    {*OVERRIDES, *NOT_YET_KEYS, *OF_A_GROUP, *SIGNAL_PARAMETERS, "formula", "expression", "kind", "id"}
)
EXAMPLE = WorkloadKey("namespace", "name", "ScaledObject", "")
_INLINE: Mapping[str, Literal["number", "boolean"]] = {"expression": "number", "activation": "boolean"}


def parse_file(tree: object, where: str, stem: str | None = None) -> FormulaFile:
    """Read a formula file, and bind each of its parts to its examples.

    Args:
        tree: the YAML as read.
        where: the file's path, for messages.
        stem: the file's name without its ending, which `name` must equal; None to allow any.

    Raises:
        ConfigError: anything that could be known to be wrong without a trigger.
    """
    file = read_file(tree, where, stem)
    for part in file.parts:
        bind_example(part, {}, Defaults(endpoints=()))
    return file


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
    declared = frozenset(item.name for item in file.parameters)
    _refuse_unknown(file, trigger, declared)
    values = _values(file, trigger, defaults)
    overrides = {key: trigger.given[key] for key in OVERRIDES if key in trigger.given and key not in declared}
    try:
        group = GROUP.take(Fields(TRIGGER, trigger.given), GROUP.default)
        spec = read_workload(file, trigger.key, values, defaults, declared, overrides)
        if file.output:
            spec = replace(spec, member=_member(file, file.output, spec, values, group))
    except ConfigError as error:
        raise _of_trigger(error, file, trigger) from None
    _may_measure(spec, defaults)
    return spec


def _refuse_unknown(file: FormulaFile, trigger: Trigger, declared: frozenset[str]) -> None:
    """Refuse a key of the trigger that is neither ours nor a parameter of the file."""
    not_here = {*NOT_YET_KEYS, *(() if file.output else OF_A_GROUP)}
    known = (RESERVED_KEYS - not_here) | declared
    for key in trigger.given:
        if key not in known:
            raise ConfigError(TRIGGER, key, f"unknown key{nearest(key, known)}", ", ".join(sorted(known)))


def _values(file: FormulaFile, trigger: Trigger, defaults: Defaults) -> dict[str, Scalar]:
    """Return the parameters' values: as the trigger, the file or the settings say; and whose signals are meant.

    Raises:
        ConfigError: one that nobody says, or that is not of its type.
    """
    usual = _usual(defaults)
    values: dict[str, Scalar] = {}
    for item in file.parameters:
        if item.name in trigger.given:
            values[item.name] = typed(TRIGGER, item, trigger.given[item.name])
        elif item.default is not None:
            values[item.name] = item.default
        elif item.name in usual:
            values[item.name] = usual[item.name]
        else:
            raise ConfigError(TRIGGER, item.name, f"is missing: {file.name} needs it", item.description or item.type)
    undeclared = {key: trigger.given[key] for key in SIGNAL_PARAMETERS if key in trigger.given and key not in values}
    return values | undeclared


def _member(file: FormulaFile, output: Output, spec: WorkloadSpec, values: Mapping[str, Scalar], group: str) -> Member:
    """Read which part of its group a workload is.

    Raises:
        ConfigError: Jobs, which start and end by themselves, or a wrong ratio or order.
    """
    if spec.is_job:
        raise ConfigError(file.where, "outputs", "are for ScaledObjects, and this is a ScaledJob", "a ScaledObject")
    place = {**values, "namespace": spec.key.namespace, "name": spec.key.name}
    between = output.tree | dict(output.mix.tree if output.mix else {})
    filled = {key: fill(file.where, _place(key), raw, place) for key, raw in between.items()}
    member = read_member(file.where, output, filled, group)
    return replace(member, demand=_demand(file.where, output, member, spec))


def _place(key: str) -> str:
    """Return where in a file a key stands that holds between outputs: each of them says its own ratios."""
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
        demand[kind] = program_of(written[kind], names, "number", where, f"demand.{kind}")
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
    """Return what the settings say for parameters that neither the trigger nor the file gives a value."""
    return {"engine": defaults.engine, "gateway": defaults.gateway}


def bind_example(file: FormulaFile, given: Mapping[str, str], defaults: Defaults) -> WorkloadSpec:
    """Fill a formula file's template without a trigger, as `check` does.

    A parameter that is neither in `given` nor has a default gets its example, or something of its type.

    Raises:
        ConfigError: as `bind`.
    """
    usual = _usual(defaults)
    parameters = tuple(replace(item, default=stand_in(item, usual)) for item in file.parameters)
    return bind(replace(file, parameters=parameters), Trigger(EXAMPLE, file.name, None, given), defaults)


def _of_trigger(error: ConfigError, file: FormulaFile, trigger: Trigger) -> ConfigError:
    """Say the same error of the trigger where it was the trigger that gave the value."""
    key = parameter_at(file.body, error.key) or error.key
    whole = key.partition("[")[0]  # schedule of schedule[0].hours
    if error.where != file.where or not {key, whole} & trigger.given.keys():
        return _of_output(error, file)
    if isinstance(error, FormulaSyntaxError):
        return error.placed(TRIGGER, key)
    return ConfigError(TRIGGER, key, error.problem, error.allowed)


def _of_output(error: ConfigError, file: FormulaFile) -> ConfigError:
    """Say the same error of the output where it was the output that said it, and not the file for all."""
    key = file.output.place(error.key) if file.output and error.where == file.where else error.key
    if key == error.key:
        return error
    if isinstance(error, FormulaSyntaxError):
        return error.placed(error.where, key)
    if isinstance(error, UnsupportedError):
        return UnsupportedError(error.where, key)
    return ConfigError(error.where, key, error.problem, error.allowed)


def _inline(trigger: Trigger, defaults: Defaults) -> FormulaFile:
    """Make the formula file that a trigger with an expression stands for: every name is a signal of its engine."""
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
        used = program_of(written, names, kind, TRIGGER, key).names - set(TARGET_NAMES) if written else frozenset()
        lacking = min(used - known, default=None)
        if lacking:
            problem = f"{engine} has no signal {show(lacking)}, nor has the gateway {gateway}"
            raise ConfigError(TRIGGER, key, problem, ", ".join(sorted(known)))
        metrics |= {name: {"signal": name} for name in sorted(used)}
    return FormulaFile("expression", TRIGGER, "", (), {"metrics": metrics, "formula": expression}, ())
