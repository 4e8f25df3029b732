"""What a formula measures: the `metrics` of a formula file -> what is asked of which source.

A signal is looked up in the engine catalogue and narrowed to the workload by its labels. What the target's pods have
waiting and running is asked for whether or not the formula reads it, since it keeps them awake: the activity signals.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from scaler.config import pod_pattern, promql, signals
from scaler.config.defaults import Defaults
from scaler.model.availability import GPU_COUNTS
from scaler.model.errors import ConfigError
from scaler.model.fields import Fields, boolean, choice, duration, matching, number, schema_of, show, takes, text
from scaler.model.measurement import CapacityQuery, PromqlQuery, Query, SignalQuery, WorkloadKey

NAME = r"[A-Za-z_][A-Za-z0-9_]{0,62}"  # of a metric or parameter: also a name in formulas
FORMULA_NAME = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
SOURCES = ("signal", "prometheus", "gpus")  # of a metric
TARGET_NAMES = ("replicas", "ready", "starting", "min", "max")  # of the scale target, as names in formulas
FUNCTIONS_TOO = ("min", "max")  # of these: `max` is maxReplicaCount, `max(a, b)` the larger of two
GUARDS = ("waiting", "running")  # signals that keep a workload active whatever its formula looks at
PROGRESS = "generation_tokens_per_second"  # the same, where the engine does not say what runs
IN_FLIGHT_SIGNALS = frozenset({"running", "in_flight", "cpu_usage"})  # signals of what is in progress
REDUCTIONS: Mapping[str, Callable[[Collection[float]], float]] = {
    "mean": lambda values: sum(values) / len(values),
    "max": max,
    "min": min,
}

OnMissing = Literal["error", "zero", "last"] | float
Scalar = str | float | bool


@dataclass(frozen=True, slots=True)
class Input:
    """One number that is measured every tick."""

    name: str
    query: Query | CapacityQuery
    on_missing: OnMissing = "error"
    over: float = 0.0  # seconds of grid samples to reduce; 0: the newest alone
    reduce: str = "mean"
    unit: str = ""
    value_at_zero_replicas: float | None = (
        None  # its value when the target is known to have no replica; None: nothing is known then
    )
    of_target: bool = False  # measured on the target's own pods
    is_backlog: bool = True  # it may grow for no other reason than that replicas are not ready yet
    optional: bool = False  # taken as far as it is measured, and nil otherwise: no answer is less certain for it


@dataclass(frozen=True, slots=True)
class MetricContext:
    """The values that the metrics of one workload have in common."""

    key: WorkloadKey
    values: Mapping[str, Scalar]
    defaults: Defaults
    endpoint: str


def read_metric(where: str, name: str, tree: object, scope: MetricContext) -> Input | None:
    """Read one metric of a formula file; None for an optional one that the pods' engine does not tell.

    Args:
        where: the file, for messages.
        name: what formulas call it.
        tree: the YAML as read, parameters filled in.
        scope: whose metric it is.

    Raises:
        ConfigError: a key, a value or a signal that there is not.
    """
    path = f"metrics.{name}"
    if name in TARGET_NAMES:
        problem = f"{show(name)} is the scale target's own number, and cannot name a metric"
        raise ConfigError(where, path, problem, f"a name other than {', '.join(TARGET_NAMES)}")
    if not re.fullmatch(NAME, name):
        read = "a.b is b of a" if "." in name else "a-b is a minus b"
        problem = f"{show(name)} cannot name a metric: a formula would read it as something else ({read})"
        raise ConfigError(where, path, problem, "letters, digits and underscores, beginning with a letter")
    fields = Fields(where, tree, path)
    if sum(fields.has(source) for source in SOURCES) != 1:
        raise ConfigError(where, path, "needs exactly one source", ", ".join(SOURCES))
    reduces = fields.has("reduce")
    optional = fields.take("optional", boolean, False)
    if optional and not fields.has("signal"):
        raise fields.error("optional", "is for signals", "beside signal")
    if optional and isinstance(tree, Mapping) and _lacking(tree, scope):
        return None
    item = read_input(fields, name, scope)
    fields.close()
    if optional:
        item = replace(item, optional=True)
    if reduces and not item.over and not (isinstance(item.query, SignalQuery) and item.query.reduce):
        raise fields.error("reduce", "has nothing to reduce", "beside over, or beside the window of a gauge")
    return item


def read_input(fields: Fields, name: str, scope: MetricContext) -> Input:
    """Read what is measured and how, but for `optional`."""
    over = fields.take("over", duration(0, 6 * 3600), 0.0)
    reduce = fields.take("reduce", choice(*REDUCTIONS), "mean")
    if fields.has("gpus"):
        count = fields.take("gpus", choice(*GPU_COUNTS))
        return Input(name, CapacityQuery(count), "error", over, reduce, GPU_COUNTS[count][1], is_backlog=False)
    on_missing = fields.take("onMissing", _on_missing, _ERROR)
    given = fields.take("endpoint", endpoint_name(scope.defaults), None)
    if fields.has("prometheus"):
        own = _own_query(given or scope.endpoint, fields.take("prometheus", text), scope)
        return Input(name, own, on_missing, over, reduce, fields.take("unit", text, ""))
    signal, query, of_target = _signal(fields, scope, given, reduce)
    return Input(
        name, query, on_missing, over, reduce, signal.unit, signal.value_at_zero_replicas, of_target, signal.is_backlog
    )


def _own_query(endpoint: str, written: str, scope: MetricContext) -> PromqlQuery:
    """Read a query that a formula file writes; where the endpoint asks for it, of the trigger's namespace alone."""
    label = scope.defaults.enforced.get(endpoint)
    return PromqlQuery(endpoint, promql.enforce(written, {label: scope.key.namespace}) if label else written)


_ERROR: OnMissing = "error"


@takes(anyOf=[{"enum": ["error", "zero", "last"]}, schema_of(number())])
def _on_missing(raw: object) -> OnMissing:
    if raw == "error" or raw == "zero" or raw == "last":  # noqa: PLR1714 - so that the type is seen
        return raw
    try:
        return number()(raw) or "zero"  # whoever writes 0 means the same, with all that is asked of it
    except ValueError:
        raise ValueError("error, zero, last, or a number") from None


def endpoint_name(defaults: Defaults) -> Callable[[object], str]:
    """Make a reader of the name of an endpoint, which the settings have to know."""
    if not defaults.endpoints:
        return matching(FORMULA_NAME, "the name of an endpoint in the settings")
    return choice(*defaults.endpoints)


def _signal(
    fields: Fields, scope: MetricContext, endpoint: str | None, reduce: str
) -> tuple[signals.Signal, SignalQuery, bool]:
    signal = _find(fields, scope)
    own = _optional_text(scope.values.get("model"))
    model = fields.take("model", text, own)
    own_pods = fields.has("pods")
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
    at_most = fields.take("atMost", duration(0, 3600), None) if signal.takes_quantile else None
    if at_most is not None and fields.has("quantile"):
        raise fields.error("quantile", "is given beside atMost, which asks for a share instead", "one of them")
    quantile = fields.take("quantile", number(0, 1), signal.quantile) if signal.takes_quantile else None
    usual = (scope.defaults.gateway_endpoint if signal.scope == "gateway" else None) or scope.endpoint
    query = SignalQuery(
        endpoint=endpoint or usual,
        engine=signal.engine,
        signal=signal.name,
        labels=tuple((label, str(known[label])) for label in signal.labels if known.get(label) is not None),
        pods=pods if of_target else None,
        window=window,
        quantile=quantile if at_most is None else None,
        at_most=at_most,
        reduce=reduce if window and not signal.takes_window else None,
    )
    if pods is not None:
        try:
            pod_pattern.check(pods)
        except pod_pattern.TooMuch as error:
            problem = f"{show(pods)} is not a regular expression for names of pods: it {error}"
            if own_pods:
                raise fields.error("pods", problem, pod_pattern.ALLOWED) from None
            raise ConfigError(fields.where, "pods", problem, pod_pattern.ALLOWED) from None  # the trigger's
    return signal, query, of_target


def _lacking(tree: Mapping[str, object], scope: MetricContext) -> bool:
    """Tell whether the pods' engine lacks a signal, whatever a gateway says of the whole model."""
    engine = tree.get("engine", scope.values.get("engine", scope.defaults.engine))
    known = engine in signals.engines() and tree["signal"] in signals.all_signal_names()
    return known and tree["signal"] not in signals.names(str(engine))


def _find(fields: Fields, scope: MetricContext) -> signals.Signal:
    """Find the engine's signal, or the gateway's where the engine has none of that name."""
    own = {key for key in ("engine", "signal") if fields.has(key)}  # the rest is the trigger's, or the file's
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


# ---- what is asked for whatever the formula reads --------------------------------------------------------------------


def activity_signals(inputs: tuple[Input, ...], scope: MetricContext) -> tuple[Input, ...]:
    """List waiting and running of the pods that the formula measures; if it sees no work, of the trigger's engine.

    An engine that does not say what runs is seen to work by its tokens.
    """
    measured = [(item, item.query) for item in inputs if item.of_target and isinstance(item.query, SignalQuery)]
    own = {query.signal: item for item, query in reversed(measured) if query.reduce is None}
    queries = [query for _, query in measured]
    on_missing: OnMissing = "error"
    if not queries and _sees_no_work(inputs):
        queries = _queries_of_engine(scope)
        on_missing = "error" if "engine" in scope.values else "zero"  # of one that is not named this says nothing
    silent = bool(queries) and not any("running" in signals.names(query.engine) for query in queries)
    found = []
    for name in (*GUARDS, PROGRESS) if silent else GUARDS:
        if name in own:
            found.append(replace(own[name], name=name, over=0.0))
        elif query := next((query for query in queries if name in signals.names(query.engine)), None):
            signal = signals.find(query.engine, name)
            query = replace(query, signal=name, window=signal.window, quantile=None, at_most=None, reduce=None)
            found.append(
                Input(
                    name,
                    query,
                    on_missing,
                    unit=signal.unit,
                    value_at_zero_replicas=signal.value_at_zero_replicas,
                    of_target=True,
                )
            )
    return tuple(found)


COUNTED = ("generation_tokens_per_second", "prompt_tokens_per_second")  # that move while an engine works
BY_POD = frozenset((*GUARDS, *COUNTED))  # signals that are told of each pod too, so that one that hangs is seen


def progress(activity_signals: tuple[Input, ...], inputs: tuple[Input, ...]) -> tuple[Input, ...]:
    """Give what the engine counts while it works: asked for once the load has not changed for long.

    Where only a gateway is read, it is what that counts.
    """
    running = (item for item in activity_signals if item.name == "running")
    item = next(running, None) or next((item for item in inputs if is_gateway_gauge(item)), None)
    if item is None or not isinstance(item.query, SignalQuery):
        return ()
    found = []
    for name in COUNTED:
        signal = signals.offered(item.query.engine, name)
        if signal is not None:
            query = replace(item.query, signal=name, window=signal.window)
            found.append(
                Input(
                    name,
                    query,
                    "error",
                    unit=signal.unit,
                    value_at_zero_replicas=signal.value_at_zero_replicas,
                    of_target=item.of_target,
                )
            )
    return tuple(found)


def is_gateway_gauge(item: Input) -> bool:
    """Tell whether an input is a gateway's count of requests."""
    query = item.query
    signal = signals.offered(query.engine, query.signal) if isinstance(query, SignalQuery) else None
    return signal is not None and signal.scope == "gateway" and signal.type == "gauge"


def _sees_no_work(inputs: Collection[Input]) -> bool:
    """Tell whether all inputs are signals, and none of them sees a request for as long as it runs."""
    queries = [item.query for item in inputs]
    return bool(queries) and all(
        isinstance(query, SignalQuery) and query.signal not in IN_FLIGHT_SIGNALS for query in queries
    )


def _queries_of_engine(scope: MetricContext) -> list[SignalQuery]:
    """List what may be asked of the pods of the trigger's engine."""
    engine = str(scope.values.get("engine", scope.defaults.engine))
    fields = [Fields("", {"signal": name, "engine": engine}) for name in GUARDS if name in signals.names(engine)]
    found = [_signal(one, scope, None, "mean") for one in fields]
    return [query for _, query, of_target in found if of_target]


_REPLICA_SIGNALS = {
    "current": "current_replicas",
    "ready": "ready_replicas",
    "minimum": "min_replicas",
    "maximum": "max_replicas",
}


def replica_queries(scope: MetricContext) -> dict[str, Query]:
    """Map what kube-state-metrics knows of the scale target to its queries, by way of the HPA that KEDA makes."""
    if scope.key.kind != "ScaledObject":
        return {}
    labels = (("namespace", scope.key.namespace), ("hpa", _hpa(scope.key)))
    return {
        fact: SignalQuery(scope.endpoint, "kubernetes", signal, labels) for fact, signal in _REPLICA_SIGNALS.items()
    }


def _hpa(key: WorkloadKey) -> str:
    """Name the HPA that KEDA makes for a ScaledObject."""
    return f"keda-hpa-{key.name}"
