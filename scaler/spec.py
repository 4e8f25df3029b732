"""Formula files and trigger metadata -> frozen values that `decide` understands.

A formula file is a template: `$name` stands for a parameter of the trigger. `bind` fills the template for one trigger
and reads the result, so that a value is checked in the same way whether it was written in the file or in the trigger.
Everything here is pure; a file or trigger that is wrong is one ConfigError that names file, key, value and what is
allowed.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from scaler import promql, signals
from scaler.capacity import Mode
from scaler.cluster import Scaled
from scaler.errors import ConfigError, FormulaSyntaxError, UnsupportedError, nearest
from scaler.fields import (
    Fields,
    boolean,
    choice,
    duration,
    listed,
    matching,
    number,
    show,
    text,
)
from scaler.formula import Program, parse
from scaler.gpu import Availability, Count
from scaler.model import (
    Ask,
    Failure,
    GpuAsk,
    HistoryAsk,
    Inputs,
    Measured,
    OwnPods,
    PodPlace,
    QueryAsk,
    Reading,
    Replicas,
    SignalAsk,
    WorkloadKey,
)
from scaler.policy import PLANNED, POLICIES, Policy, PolicySpec
from scaler.trigger import NOT_YET_KEYS, TRIGGER, Trigger

OVERRIDES = (
    "target",
    "activation",
    "activationTarget",
    "endpoint",
    "interval",
    "holdFor",
    "idleFor",
    "capacity",
    "startup",
)
MEASURED = ("engine", "gateway", "model", "route", "pods")  # say whose signals are meant; parameters of every formula
RESERVED_KEYS = frozenset({*OVERRIDES, *NOT_YET_KEYS, *MEASURED, "formula", "expression", "kind", "id"})
NAME = r"[A-Za-z_][A-Za-z0-9_]{0,62}"  # of a metric or parameter: also a name in formulas
FORMULA_NAME = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
REFERENCE = re.compile(rf"\$({NAME})")  # to a parameter, in the template

SOURCES = ("signal", "prometheus", "gpus")  # of a metric
TARGET_NAMES = ("replicas", "ready", "starting")  # what is known of the scale target, as names in formulas
GUARDS = ("waiting", "running")  # signals that keep a workload active whatever its formula looks at
SEE_WORK = frozenset({"running", "in_flight", "cpu_usage"})  # signals of what is in progress
REDUCTIONS: Mapping[str, Callable[[Collection[float]], float]] = {
    "mean": lambda values: sum(values) / len(values),
    "max": max,
    "min": min,
}
GPU_COUNTS: Mapping[str, tuple[Callable[[Availability], Count], str]] = {  # what `gpus` counts, and its unit
    "schedulable_replicas": (lambda seen: seen.schedulable, "replicas"),
    "free": (lambda seen: seen.free, "GPUs"),
    "pending": (lambda seen: seen.pending, "GPUs"),
    "provisionable": (lambda seen: seen.provisionable, "replicas"),
    "own": (lambda seen: seen.own, "GPUs"),
}

OnMissing = Literal["error", "zero", "last"] | float
Scalar = str | float | bool


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the settings say for every workload that does not say it itself."""

    interval: float = 5.0  # seconds between ticks
    direct_interval: float = 3.0  # the same of who measures on pages alone, where no query has to be paid
    direct: frozenset[str] = frozenset()  # endpoints whose pages are read directly
    hold_for: float = 120.0  # seconds an answer outlives its data
    idle_for: float = 60.0  # seconds of quiet before "inactive"
    capacity: Mode = "report"
    startup: float = 900.0
    engine: str = "vllm"
    gateway: str = "llm-d"
    gateway_namespace: str | None = None  # of gateways that serve many namespaces; None: the workload's own
    endpoint: str = "default"
    gateway_endpoint: str | None = None  # of what gateways say; None: the workload's own
    endpoints: tuple[str, ...] = ("default",)  # empty: not known here, so any name is taken


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


@dataclass(frozen=True, slots=True)
class Input:
    """One number that is measured every tick."""

    name: str
    ask: Ask | GpuAsk
    on_missing: OnMissing = "error"
    over: float = 0.0  # seconds of grid samples to reduce; 0: the newest alone
    reduce: str = "mean"
    unit: str = ""
    at_zero: float | None = None  # its value when the target is known to have no replica; None: nothing is known then
    of_target: bool = False  # measured on the target's own pods
    piles_up: bool = True  # it may grow for no other reason than that replicas are not ready yet


@dataclass(frozen=True, slots=True)
class WorkloadSpec:
    """Everything `decide` needs to know of one workload."""

    key: WorkloadKey
    formula: str  # the file's name, or "expression"
    where: str
    program: Program
    target: float
    activation: Program | float  # a condition, or a number that the value must exceed
    metric_type: str  # AverageValue | Value
    inputs: tuple[Input, ...]
    guards: tuple[Input, ...]
    replicas: Mapping[str, Ask]  # current, ready, minimum, maximum of the scale target
    parameters: Mapping[str, float]
    policy_kind: str | None
    policy: PolicySpec | None
    policy_programs: Mapping[str, Program]  # the formulas that the policy reads, by their text
    interval: float
    hold_for: float
    idle_for: float
    capacity: Mode  # what is made of replicas that cannot be had
    startup: float  # seconds for which a replica that is not ready counts as on its way

    @property
    def algorithm(self) -> Policy | None:
        """The row of POLICIES, or None for ceil(value / target)."""
        return POLICIES[self.policy_kind] if self.policy_kind else None

    @property
    def for_jobs(self) -> bool:
        """Whether the answer is Jobs to start, which cannot be taken back, and not replicas to keep."""
        return self.key.kind == "ScaledJob"

    @property
    def counted(self) -> frozenset[str]:
        """Names that the formula and the policy read, as against those of the activation alone."""
        return self.program.names.union(*(program.names for program in self.policy_programs.values()))

    @property
    def window(self) -> float:
        """Seconds of past that its inputs are reduced over."""
        return max((item.over for item in self.inputs), default=0.0)

    @property
    def memory(self) -> float:
        """Seconds of past that must have been seen before an answer may lower anything."""
        return max(self.window, self.policy.memory if self.policy else 0.0)

    @property
    def endpoints(self) -> frozenset[str]:
        """Names of the endpoints it measures."""
        return frozenset(item.ask.endpoint for item in (*self.inputs, *self.guards) if not isinstance(item.ask, GpuAsk))

    @property
    def patience(self) -> float:
        """Seconds for which a replica that is not ready counts as on its way; 0 where nothing can wait for it."""
        waits = any(item.piles_up and item.name in self.program.names for item in self.inputs)
        return self.startup if waits and not self.for_jobs else 0.0

    @property
    def needs_gpus(self) -> bool:
        """Whether it matters what can be had."""
        return self.capacity != "off" or any(isinstance(item.ask, GpuAsk) for item in self.inputs)

    def why_inactive(self, scope: Mapping[str, float | None]) -> str:
        """Why the activation is not true for these values, in words."""
        if isinstance(self.activation, float):
            return f"the value is not above {self.activation:g}"
        return self.activation.why_false(scope)

    def inputs_of(
        self,
        answers: Mapping[Ask, Measured],
        scaled: Scaled | None = None,
        doubt: str = "",
        available: Availability | None = None,
    ) -> Inputs:
        """Sort one tick's measurements into what `decide` reads.

        Args:
            answers: to all of `asks`.
            scaled: what Kubernetes says of the object at this time.
            doubt: why that is too old to lower anything on.
            available: what can be had for the object at this time.
        """

        def said(ask: Ask | GpuAsk) -> Measured:
            if isinstance(ask, GpuAsk):
                return _counted(ask, available, doubt)
            return answers.get(ask, Failure("was not measured", 0.0))

        young = {endpoint for endpoint in self.endpoints if not _says(answers.get(HistoryAsk(endpoint, self.hold_for)))}
        known = _known({fact: _says(answers.get(ask)) for fact, ask in self.replicas.items()})
        return Inputs(
            readings={item.name: said(item.ask) for item in self.inputs},
            guards={item.name: said(item.ask) for item in self.guards},
            replicas=_told(known, scaled, doubt) if scaled else known,
            young=frozenset(young),
            scaled=scaled,
            available=available,
        )

    def asks(self, *, counted: bool = False) -> frozenset[Ask]:
        """All that is asked of the sources in one tick; where the replicas are `counted`, not how many there are."""
        history = {HistoryAsk(endpoint, self.hold_for) for endpoint in self.endpoints}
        measured = {item.ask for item in (*self.inputs, *self.guards) if not isinstance(item.ask, GpuAsk)}
        return frozenset(measured | (set() if counted else set(self.replicas.values())) | history)

    def asks_of(self, own: OwnPods | None, *, counted: bool = False) -> dict[Ask, Ask]:
        """Every ask, and what is asked in its place where the target's own pods are known."""
        narrow = {item.ask for item in (*self.inputs, *self.guards) if item.of_target} if own else set()
        return {
            ask: replace(ask, own=own) if ask in narrow and isinstance(ask, SignalAsk) else ask
            for ask in self.asks(counted=counted)
        }


def _counted(ask: GpuAsk, available: Availability | None, doubt: str) -> Measured:
    """A count as a measurement: what is not known is an error, never 0. Of times gone by nothing is known."""
    if available is None:
        return Failure("what GPUs there were is not known", 0.0)
    count = GPU_COUNTS[ask.count][0](available)
    if count.value is None:
        return Failure(count.reason, 0.0)
    return Reading(float(count.value), 0.0, partial=doubt, note=count.note)


def _says(measured: Measured | None) -> float | None:
    return measured.value if isinstance(measured, Reading) else None


def _known(counts: Mapping[str, float | None]) -> Replicas:
    """What the replica signals say of the scale target."""
    known = {fact: None if count is None else round(count) for fact, count in counts.items()}
    current, ready = known.get("current"), known.get("ready")
    starting = max(current - ready, 0) if current is not None and ready is not None else None
    source = "kube-state-metrics" if current is not None else ""
    return Replicas(current, ready, starting, known.get("minimum"), known.get("maximum"), source)


def own_pods(scaled: Scaled | None) -> OwnPods | None:
    """The pods that a signal of the target is measured on, where they are known."""
    if scaled is None or scaled.pods is None:
        return None
    ready = frozenset(pod.name for pod in scaled.pods if pod.state == "ready")
    names = frozenset(pod.name for pod in scaled.pods if pod.state != "pending")
    places = frozenset(
        PodPlace(scaled.namespace, pod.name, pod.ip, pod.scrape)
        for pod in scaled.pods
        if pod.ip and pod.state not in {"pending", "starting"}
    )
    return OwnPods(names, ready, scaled.past, places)


def _told(known: Replicas, scaled: Scaled, doubt: str) -> Replicas:
    """What Kubernetes itself says of the scale target, and where it does not, what was known anyway."""
    if scaled.replicas is not None:
        known = replace(known, current=scaled.replicas, source="Kubernetes")
    if scaled.pods is not None:
        ready, starting, pending = (scaled.count(state) for state in ("ready", "starting", "pending"))
        serving = scaled.count("ready", "unready")
        known = replace(known, ready=ready, starting=starting, pending=pending, serving=serving)
    return replace(known, minimum=scaled.minimum, maximum=scaled.maximum, doubt=doubt)


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
    file = FormulaFile(name, where, description, parameters, fields.rest(), tests)
    bind_example(file, {}, Defaults(endpoints=()))
    return file


def _parameter(where: str, name: str, tree: object) -> Parameter:
    path = f"parameters.{name}"
    if not re.fullmatch(NAME, name):
        raise ConfigError(
            where, path, f"{show(name)} is not a name", "letters, digits and '_', not starting with a digit"
        )
    fields = Fields(where, {} if tree is None else tree, path)
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


def _stand_in(parameter: Parameter) -> Scalar:
    """A value for a parameter where there is no trigger: its default, its example, or something of its type."""
    known = (parameter.default, parameter.example, _PLACEHOLDERS[parameter.type])
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
    declared = {item.name: item for item in file.parameters}
    known = {*declared, *RESERVED_KEYS} - set(NOT_YET_KEYS)
    for key in trigger.given:
        if key not in known:
            raise ConfigError(TRIGGER, key, f"unknown key{nearest(key, known)}", ", ".join(sorted(known)))
    values: dict[str, Scalar] = {}
    for item in file.parameters:
        if item.name in trigger.given:
            values[item.name] = _typed(TRIGGER, item, trigger.given[item.name])
        elif item.default is not None:
            values[item.name] = item.default
        else:
            raise ConfigError(TRIGGER, item.name, f"is missing: {file.name} needs it", item.description or item.type)
    for key in MEASURED:
        if key in trigger.given and key not in declared:
            values[key] = trigger.given[key]
    overrides = {key: trigger.given[key] for key in OVERRIDES if key in trigger.given and key not in declared}
    try:
        return _read(file, trigger.key, values, defaults, frozenset(declared), overrides)
    except ConfigError as error:
        raise _of_trigger(error, file, trigger) from None


EXAMPLE = WorkloadKey("namespace", "name", "ScaledObject", "")


def bind_example(file: FormulaFile, given: Mapping[str, str], defaults: Defaults) -> WorkloadSpec:
    """Fill a formula file's template without a trigger, as `check` does.

    A parameter that is neither in `given` nor has a default gets its example, or something of its type.

    Raises:
        ConfigError: as `bind`.
    """
    parameters = tuple(replace(item, default=_stand_in(item)) for item in file.parameters)
    return bind(replace(file, parameters=parameters), Trigger(EXAMPLE, file.name, None, given), defaults)


def _of_trigger(error: ConfigError, file: FormulaFile, trigger: Trigger) -> ConfigError:
    """The same error, said of the trigger where it was the trigger that gave the value."""
    if error.where != file.where or error.key not in trigger.given:
        return error
    if isinstance(error, FormulaSyntaxError):
        return error.placed(TRIGGER, error.key)
    return ConfigError(TRIGGER, error.key, error.problem, error.allowed)


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
    names = frozenset(known | signals.everything() | set(TARGET_NAMES))
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


@dataclass(frozen=True, slots=True)
class _Scope:
    """What the metrics of one workload have in common."""

    key: WorkloadKey
    values: Mapping[str, Scalar]
    defaults: Defaults
    endpoint: str


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
    body.update(overrides or {})
    fields = Fields(file.where, body)
    for name in ("outputs", "mode"):
        if fields.has(name):
            raise UnsupportedError(file.where, name)
    endpoint = fields.take("endpoint", _endpoint(defaults), defaults.endpoint)
    scope = _Scope(key, values, defaults, endpoint)
    inputs = tuple(_metric(file.where, name, raw, scope) for name, raw in fields.inside("metrics").rest().items())
    parameters = {name: float(value) for name, value in values.items() if name in declared and isinstance(value, float)}
    measured = frozenset(item.name for item in inputs)
    _distinct(file.where, measured, frozenset(parameters))
    names = measured | frozenset(parameters) | frozenset(TARGET_NAMES)
    program = _program(fields.take("formula", text), names, "number", file.where, "formula")
    policy_kind, policy, policy_programs = _policy(fields, names)
    starts_jobs = policy_kind is not None and POLICIES[policy_kind].jobs
    scope = replace(scope, key=replace(key, kind="ScaledJob")) if starts_jobs else scope
    spec = WorkloadSpec(
        key=scope.key,
        formula=file.name,
        where=file.where,
        program=program,
        target=1.0 if starts_jobs else fields.take("target", number(0, above=True)),
        activation=_activation(fields, names),
        metric_type=fields.take("metricType", choice("AverageValue", "Value"), "AverageValue"),
        inputs=inputs,
        guards=_guards(inputs, scope),
        replicas=_replica_asks(scope),
        parameters=parameters,
        policy_kind=policy_kind,
        policy=policy,
        policy_programs=policy_programs,
        interval=fields.take("interval", duration(1, 600), _usual_interval(inputs, defaults)),
        hold_for=fields.take("holdFor", duration(0, 3600), defaults.hold_for),
        idle_for=fields.take("idleFor", duration(0, 3600), defaults.idle_for),
        capacity=fields.take("capacity", capacity_mode, defaults.capacity),
        startup=fields.take("startup", duration(0, 7200), defaults.startup),
    )
    if spec.interval != round(spec.interval):
        raise fields.error("interval", f"{spec.interval:g} is not a whole number of seconds", "1s to 10m")
    fields.close()
    return spec


def _usual_interval(inputs: Iterable[Input], defaults: Defaults) -> float:
    """Seconds between the ticks of a workload that does not say it."""
    endpoints = {item.ask.endpoint for item in inputs if not isinstance(item.ask, GpuAsk)}
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


def _endpoint(defaults: Defaults) -> Callable[[object], str]:
    if not defaults.endpoints:
        return matching(FORMULA_NAME, "the name of an endpoint in the settings")
    return choice(*defaults.endpoints)


def _metric(where: str, name: str, tree: object, scope: _Scope) -> Input:
    path = f"metrics.{name}"
    if not re.fullmatch(NAME, name) or name in TARGET_NAMES:
        raise ConfigError(
            where, path, f"{show(name)} cannot name a metric", f"a name other than {', '.join(TARGET_NAMES)}"
        )
    fields = Fields(where, tree, path)
    if sum(fields.has(source) for source in SOURCES) != 1:
        raise ConfigError(where, path, "needs exactly one source", ", ".join(SOURCES))
    reduces = fields.has("reduce")
    item = _input(fields, name, scope)
    fields.close()
    if reduces and not item.over and not (isinstance(item.ask, SignalAsk) and item.ask.reduce):
        raise fields.error("reduce", "has nothing to reduce", "beside over, or beside the window of a gauge")
    return item


def _input(fields: Fields, name: str, scope: _Scope) -> Input:
    over = fields.take("over", duration(0, 6 * 3600), 0.0)
    reduce = fields.take("reduce", choice(*REDUCTIONS), "mean")
    if fields.has("gpus"):
        count = fields.take("gpus", choice(*GPU_COUNTS))
        return Input(name, GpuAsk(count), "error", over, reduce, GPU_COUNTS[count][1], piles_up=False)
    on_missing = fields.take("onMissing", _on_missing, _ERROR)
    given = fields.take("endpoint", _endpoint(scope.defaults), None)
    if fields.has("prometheus"):
        query = QueryAsk(given or scope.endpoint, fields.take("prometheus", text))
        return Input(name, query, on_missing, over, reduce, fields.take("unit", text, ""))
    signal, ask, of_target = _signal(fields, scope, given, reduce)
    return Input(name, ask, on_missing, over, reduce, signal.unit, signal.at_zero, of_target, signal.piles_up)


_ERROR: OnMissing = "error"


def capacity_mode(raw: object) -> Mode:
    """A mode of capacity; YAML reads a bare `off` as a boolean."""
    if raw is False:
        return "off"
    if raw == "clamp" or raw == "report" or raw == "off":  # noqa: PLR1714 - so that the type is seen
        return raw
    raise ValueError("clamp, report, off")


def _on_missing(raw: object) -> OnMissing:
    if raw == "error" or raw == "zero" or raw == "last":  # noqa: PLR1714 - so that the type is seen
        return raw
    try:
        return number()(raw)
    except ValueError:
        raise ValueError("error, zero, last, or a number") from None


def _signal(fields: Fields, scope: _Scope, endpoint: str | None, reduce: str) -> tuple[signals.Signal, SignalAsk, bool]:
    signal = _find(fields, scope)
    own = _optional_text(scope.values.get("model"))
    model = fields.take("model", text, own)
    pods = fields.take("pods", text, _optional_text(scope.values.get("pods")))
    of_target = signal.scope == "target" and model == own
    route = fields.take("route", text, str(scope.values.get("route", scope.key.name)))
    elsewhere = scope.defaults.gateway_namespace if signal.shared else None
    workload = fields.take("workload", text) if "workload" in signal.labels else None
    known = {
        "namespace": elsewhere or scope.key.namespace,
        "model": model,
        "route": route,
        "hpa": _hpa(scope.key),
        "workload": workload,
    }
    window = fields.take("window", duration(1, 86400), signal.window)
    usual = (scope.defaults.gateway_endpoint if signal.scope == "gateway" else None) or scope.endpoint
    ask = SignalAsk(
        endpoint=endpoint or usual,
        engine=signal.engine,
        signal=signal.name,
        labels=tuple((label, str(known[label])) for label in signal.labels if known.get(label) is not None),
        pods=pods if of_target else None,
        window=window,
        quantile=fields.take("quantile", number(0, 1), signal.quantile) if signal.takes_quantile else None,
        reduce=reduce if window and not signal.takes_window else None,
    )
    if pods is not None and not _regular(pods):
        raise fields.error("pods", f"{show(pods)} is not a regular expression", "an RE2 expression for pod names")
    return signal, ask, of_target


def _find(fields: Fields, scope: _Scope) -> signals.Signal:
    """The engine's signal, or the gateway's where the engine has none of that name."""
    own = {
        key for key in ("engine", "signal") if fields.has(key)
    }  # the rest is the trigger's, or the file's parameters
    engine = fields.take("engine", text, str(scope.values.get("engine", scope.defaults.engine)))
    gateway = str(scope.values.get("gateway", scope.defaults.gateway))
    name = fields.take("signal", text)
    try:
        if name in signals.names_at_gateway(gateway) and name not in signals.names(engine):
            engine = gateway
        return signals.find(engine, name)
    except ConfigError as error:
        nor = f"; nor has the gateway {gateway}" if name in signals.gateway_signals() else ""
        if error.key not in own:
            raise ConfigError(fields.where, error.key, error.problem, error.allowed) from error
        raise fields.error(error.key, error.problem + nor, error.allowed) from error


def _optional_text(value: Scalar | None) -> str | None:
    return None if value is None else str(value)


def _regular(pattern: str) -> bool:
    try:
        return len(pattern) <= 500 and re.compile(pattern) is not None
    except (re.error, OverflowError, RecursionError):
        return False


def _distinct(where: str, measured: frozenset[str], parameters: frozenset[str]) -> None:
    twice = measured & parameters
    if twice:
        raise ConfigError(where, f"metrics.{min(twice)}", "is also a parameter", "two different names")


def _activation(fields: Fields, names: frozenset[str]) -> Program | float:
    if fields.has("activation"):
        if fields.has("activationTarget"):
            raise fields.error("activation", "activation and activationTarget are both given", "one of them")
        return _program(fields.take("activation", _written), names, "boolean", fields.where, "activation")
    return fields.take("activationTarget", number(), 0.0)


def _written(raw: object) -> str:
    """A condition as text; YAML reads a bare `true` as a boolean."""
    return str(raw).lower() if isinstance(raw, bool) else text(raw)


def _policy(fields: Fields, names: frozenset[str]) -> tuple[str | None, PolicySpec | None, dict[str, Program]]:
    if not fields.has("policy"):
        return None, None, {}
    inner = fields.inside("policy")
    kind = inner.take("kind", text)
    if kind in PLANNED:
        raise UnsupportedError(fields.where, f"policy.kind.{kind}")
    if kind not in POLICIES:
        raise inner.error("kind", f"{show(kind)} is not a policy{nearest(kind, POLICIES)}", ", ".join(POLICIES))
    spec = POLICIES[kind].parse(inner)
    inner.close()
    return kind, spec, {text: _program(text, names, "number", fields.where, "policy") for text in sorted(spec.metrics)}


def _guards(inputs: tuple[Input, ...], scope: _Scope) -> tuple[Input, ...]:
    """Waiting and running of the same pods that the formula measures; if it sees no work, of the trigger's engine."""
    if inputs and all(
        isinstance(item.ask, SignalAsk) and not item.of_target and item.ask.signal not in SEE_WORK for item in inputs
    ):
        return _guards_of_engine(scope)
    own = {
        item.ask.signal: item
        for item in reversed(inputs)
        if item.of_target and isinstance(item.ask, SignalAsk) and item.ask.reduce is None
    }
    asks = [item.ask for item in inputs if item.of_target and isinstance(item.ask, SignalAsk)]
    guards = []
    for name in GUARDS if asks else ():
        if name in own:
            guards.append(replace(own[name], name=name, over=0.0))
        elif ask := next((ask for ask in asks if name in signals.names(ask.engine)), None):
            signal = signals.find(ask.engine, name)
            ask = replace(ask, signal=name, window=None, quantile=None, reduce=None)
            guards.append(Input(name, ask, unit=signal.unit, at_zero=signal.at_zero, of_target=True))
    return tuple(guards)


def _guards_of_engine(scope: _Scope) -> tuple[Input, ...]:
    """Waiting and running of the engine behind a gateway; where it is not named, what is not there is no problem."""
    named = "engine" in scope.values
    engine = str(scope.values.get("engine", scope.defaults.engine))
    guards = []
    for name in GUARDS:
        if name in signals.names(engine) and signals.find(engine, name).scope == "target":
            signal, ask, of_target = _signal(Fields("", {"signal": name, "engine": engine}), scope, None, "mean")
            on_missing: OnMissing = "error" if named else "zero"
            guards.append(Input(name, ask, on_missing, unit=signal.unit, at_zero=signal.at_zero, of_target=of_target))
    return tuple(guards)


_REPLICA_SIGNALS = {
    "current": "current_replicas",
    "ready": "ready_replicas",
    "minimum": "min_replicas",
    "maximum": "max_replicas",
}


def _hpa(key: WorkloadKey) -> str:
    """What KEDA calls the HPA that it makes for a ScaledObject."""
    return f"keda-hpa-{key.name}"


def _replica_asks(scope: _Scope) -> dict[str, Ask]:
    """What kube-state-metrics knows of the scale target, by way of the HPA that KEDA makes for a ScaledObject."""
    if scope.key.kind != "ScaledObject":
        return {}
    labels = (("namespace", scope.key.namespace), ("hpa", _hpa(scope.key)))
    return {fact: SignalAsk(scope.endpoint, "kubernetes", signal, labels) for fact, signal in _REPLICA_SIGNALS.items()}


@lru_cache(maxsize=4096)
def _parsed(formula: str, names: frozenset[str], kind: Literal["number", "boolean"]) -> Program:
    return parse(formula, names, kind=kind)


def _program(formula: str, names: frozenset[str], kind: Literal["number", "boolean"], where: str, key: str) -> Program:
    try:
        return _parsed(formula, names, kind)
    except FormulaSyntaxError as error:
        raise error.placed(where, key) from None
