"""A ScaledObject or an HPA as it is written -> what it makes of its triggers.

Of a ScaledObject: triggers that ask llm-scaler, KEDA's own `prometheus` and `cron`, and any other whose value a query
can give; scalingModifiers, fallback, behavior, cooldownPeriod, idleReplicaCount and the bounds. Of an HPA: metrics
whose values queries give. What is not understood is refused, never left out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from scaler.cluster.hpa import TargetType
from scaler.cluster.keda import Fallback, KedaTrigger, Modifiers, ScaledObject
from scaler.config.workload import WorkloadSpec
from scaler.formula import parse
from scaler.model.errors import ConfigError, FormulaSyntaxError
from scaler.model.fields import Fields, boolean, choice, listed, number, show, text, whole
from scaler.model.measurement import CapacityQuery, PromqlQuery, Query, TriggerRef
from scaler.sim.backtest.schedule import CronWindow
from scaler.sources.kubernetes.read_objects import names_of_pods, read_behavior

TARGET_KEYS = ("threshold", "value", "targetValue", "targetQueryValue", "queueLength", "lagThreshold", "listLength")
ACTIVATION_KEYS = ("activationThreshold", "activationValue", "activationTargetValue", "activationQueueLength")
RESOURCES = ("cpu", "memory")  # triggers that wake nothing
_ABOUT_HPA = "an HPA of autoscaling/v2, or a ScaledObject of keda.sh/v1alpha1"


@dataclass(frozen=True, slots=True)
class Context:
    """The context that an object alone does not tell."""

    where: str  # the file or the cluster, for messages
    bind: Callable[[TriggerRef], WorkloadSpec]  # what a trigger that asks llm-scaler comes to; raises ScalerError
    endpoint: str = "default"  # where queries are asked
    queries: Mapping[str, str] = field(default_factory=dict)  # PromQL for values that no trigger of ours or KEDA's says


@dataclass(frozen=True, slots=True)
class FormulaTrigger:
    """A trigger that asks llm-scaler."""

    spec: WorkloadSpec
    push: bool = False


@dataclass(frozen=True, slots=True)
class QueryTrigger:
    """A trigger whose value is a query: KEDA's `prometheus`, or any other of which a query is known."""

    query: PromqlQuery
    activation: float = 0.0  # active above it
    absent_is_zero: bool = True  # ignoreNullValues
    wakes: bool = True


@dataclass(frozen=True, slots=True)
class CronTrigger:
    """KEDA's `cron`."""

    window: CronWindow
    replicas: float


Asking = FormulaTrigger | QueryTrigger | CronTrigger


@dataclass(frozen=True, slots=True)
class Subject:
    """The object that is played again."""

    namespace: str
    name: str
    target: str  # the name of what is scaled
    scaled: ScaledObject
    triggers: tuple[Asking, ...]  # in the order of `scaled.triggers`
    pods: str = ""  # RE2 for the names of all pods it ever had; empty: not known
    has_keda: bool = True  # False: an HPA of its own
    notes: tuple[str, ...] = ()  # what is played otherwise than it is written

    @property
    def queries(self) -> frozenset[Query]:
        """All that its triggers measure."""
        queries: set[Query] = set()
        for trigger in self.triggers:
            if isinstance(trigger, FormulaTrigger):
                queries |= trigger.spec.queries()
            elif isinstance(trigger, QueryTrigger):
                queries.add(trigger.query)
        return frozenset(queries)

    @property
    def asked_by_keda(self) -> frozenset[Query]:
        """Of these, what KEDA asks itself, and so as of the very moment."""
        return frozenset(one.query for one in self.triggers if isinstance(one, QueryTrigger)) - {
            query for one in self.triggers if isinstance(one, FormulaTrigger) for query in one.spec.queries()
        }

    @property
    def own_queries(self) -> frozenset[Query]:
        """Of these, what is measured on the target's own pods."""
        specs = [one.spec for one in self.triggers if isinstance(one, FormulaTrigger)]
        items = (item for spec in specs for item in (*spec.inputs, *spec.activity_signals) if item.of_target)
        return frozenset(item.query for item in items if not isinstance(item.query, CapacityQuery))

    @property
    def interval(self) -> float:
        """Seconds between the decisions of its triggers."""
        own = [one.spec.interval for one in self.triggers if isinstance(one, FormulaTrigger)]
        return min(own, default=self.scaled.polling_interval)


def read_subject(tree: Mapping[str, Any], context: Context) -> Subject:
    """Read an object, as YAML or the API server has it.

    Raises:
        ConfigError: what it says cannot be played, naming the key.
    """
    kind = tree.get("kind")
    if kind == "ScaledObject":
        return _scaled_object(tree, context)
    if kind == "HorizontalPodAutoscaler":
        return _hpa(tree, context)
    raise ConfigError(context.where, "kind", f"{show(kind)} cannot be played again", _ABOUT_HPA)


def _names(tree: Mapping[str, Any], where: str) -> tuple[str, str]:
    meta = Fields(where, tree.get("metadata"), "metadata")
    return meta.take("namespace", text, "default"), meta.take("name", text)


# ---- a ScaledObject --------------------------------------------------------------------------------------------------


def _scaled_object(tree: Mapping[str, Any], context: Context) -> Subject:
    where = context.where
    namespace, name = _names(tree, where)
    spec = Fields(where, tree.get("spec"), "spec")
    advanced = spec.inside("advanced")
    config = advanced.inside("horizontalPodAutoscalerConfig")
    count = whole(0, 1_000_000)
    nobody: list[object] = []
    raws = spec.take("triggers", listed(lambda raw: raw), tuple(nobody))
    if not raws:
        raise spec.error("triggers", "are none", "one trigger at least")
    owner = namespace, name
    read = [_trigger(Fields(where, raw, f"spec.triggers[{at}]"), at, owner, context) for at, raw in enumerate(raws)]
    triggers, asking = tuple(trigger for trigger, _ in read), tuple(how for _, how in read)
    names = tuple(trigger.name for trigger in triggers)
    scaled = ScaledObject(
        min_replica_count=spec.take("minReplicaCount", count, 0),
        max_replica_count=spec.take("maxReplicaCount", count, 100),
        idle_replica_count=spec.take("idleReplicaCount", count, None),
        polling_interval=spec.take("pollingInterval", number(1, 86400), 30.0),
        cooldown_period=spec.take("cooldownPeriod", number(0, 30 * 86400), 300.0),
        initial_cooldown_period=spec.take("initialCooldownPeriod", number(0, 30 * 86400), 0.0),
        fallback=_fallback(spec.inside("fallback")) if spec.has("fallback") else None,
        behavior=_behavior(config, where),
        triggers=triggers,
        modifiers=_modifiers(advanced.inside("scalingModifiers"), names) if advanced.has("scalingModifiers") else None,
        push=any(isinstance(how, FormulaTrigger) and how.push for how in asking),
    )
    target, pods = _target(spec.inside("scaleTargetRef"), namespace, name)
    notes = tuple(
        f"the annotation {key} is left out: it is played as if it was not there"
        for key in sorted((tree.get("metadata") or {}).get("annotations") or {})
        if str(key).startswith("autoscaling.keda.sh/paused")
    )
    return Subject(namespace, name, target, scaled, asking, pods, notes=notes)


def _target(fields: Fields, namespace: str, name: str) -> tuple[str, str]:
    """Return the name of the scale target, and the pattern of its pods' names."""
    kind, target = fields.take("kind", text, "Deployment"), fields.take("name", text, name)
    return target, names_of_pods((namespace, kind, target))


def _trigger(fields: Fields, place: int, owner: tuple[str, str], context: Context) -> tuple[KedaTrigger, Asking]:
    kind = fields.take("type", text)
    name = fields.take("name", text, f"s{place}")
    metadata = {str(key): str(value) for key, value in fields.inside("metadata").rest().items()}
    inner = Fields(fields.where, metadata, f"{fields.path}.metadata")
    cached = fields.take("useCachedMetrics", boolean, False)
    allowed: tuple[str, ...] = (
        ("AverageValue", "Value", "Utilization") if kind in RESOURCES else ("AverageValue", "Value")
    )
    written = fields.take("metricType", choice(*allowed), "Utilization" if kind in RESOURCES else "AverageValue")
    # a utilization is a ratio for each pod
    metric: TargetType = "AverageValue" if written == "AverageValue" else "Value"
    how: Asking
    if kind in {"external", "external-push"}:
        spec = context.bind(TriggerRef(*owner, tuple(sorted(metadata.items()))))
        if metric != "AverageValue":
            raise fields.error(
                "metricType", "is not AverageValue, and llm-scaler refuses such a trigger", "AverageValue"
            )
        return KedaTrigger(name, 1.0, metric, cached), FormulaTrigger(spec, kind == "external-push")
    if kind == "cron":
        window = CronWindow(inner.take("start", text), inner.take("end", text), inner.take("timezone", text))
        window.check(fields.where, inner.path)
        return KedaTrigger(name, 1.0, metric, cached), CronTrigger(
            window, inner.take("desiredReplicas", number(0, 1e6))
        )
    if kind == "prometheus":
        query = context.queries.get(name) or inner.take("query", text)
        how = QueryTrigger(
            PromqlQuery(context.endpoint, query),
            inner.take("activationThreshold", number(), 0.0),
            inner.take("ignoreNullValues", boolean, True),
        )
        return KedaTrigger(name, inner.take("threshold", number(0, above=True)), metric, cached), how
    if name not in context.queries:
        problem = f"a trigger of type {show(kind)} is measured by nothing that is known here"
        needed = f"--query '{name}=PROMQL', a query for its value"
        raise ConfigError(fields.where, fields.path, problem, needed)
    key = next((key for key in TARGET_KEYS if key in metadata), TARGET_KEYS[0])
    activation = next((key for key in ACTIVATION_KEYS if key in metadata), ACTIVATION_KEYS[0])
    how = QueryTrigger(
        PromqlQuery(context.endpoint, context.queries[name]),
        inner.take(activation, number(), 0.0),
        wakes=kind not in RESOURCES,
    )
    return KedaTrigger(name, inner.take(key, number(0, above=True)), metric, cached), how


def _fallback(fields: Fields) -> Fallback:
    behaviors = ("static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower", "scalingModifiers")
    return Fallback(
        replicas=fields.take("replicas", whole(0, 1_000_000)),
        failure_threshold=fields.take("failureThreshold", whole(0, 1_000_000)),
        behavior=fields.take("behavior", choice(*behaviors), "static"),  # type: ignore[arg-type]
    )


def _behavior(config: Fields, where: str) -> Any:
    raw: Any = config.take("behavior", lambda given: given, None)
    if raw is None:
        return None
    try:
        return read_behavior(raw)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        problem = f"cannot be read ({type(error).__name__}: {error})"
        raise ConfigError(where, "behavior", problem, "scaleUp and scaleDown as an HPA has them") from error


def _modifiers(fields: Fields, names: tuple[str, ...]) -> Modifiers | None:
    """Read the formula of scalingModifiers; None of an empty block, which the API server writes where there is none."""
    if not fields.has("formula"):
        return None
    written = fields.take("formula", text)
    metric = fields.take("metricType", choice("AverageValue", "Value"), "AverageValue")
    try:
        program = parse(written, frozenset(names), kind="number")
    except FormulaSyntaxError as error:
        raise error.placed(fields.where, f"{fields.path}.formula") from None
    return Modifiers(
        formula=program.evaluate,
        target=fields.take("target", number(0, above=True)),
        activation_target=fields.take("activationTarget", number(), 0.0),
        metric_type="Value" if metric == "Value" else "AverageValue",
    )


# ---- an HPA of its own -----------------------------------------------------------------------------------------------


def _hpa(tree: Mapping[str, Any], context: Context) -> Subject:
    """Read an HPA; of each metric a query gives the value that the metrics API would have given."""
    where = context.where
    namespace, name = _names(tree, where)
    spec = Fields(where, tree.get("spec"), "spec")
    least = spec.take("minReplicas", whole(0, 1_000_000), 1)
    if least == 0:
        raise spec.error("minReplicas", "is 0, and an HPA that scales to zero is not played", "1 or more")
    raws = spec.take("metrics", listed(lambda raw: raw))
    read = [_metric(Fields(where, raw, f"spec.metrics[{place}]"), context) for place, raw in enumerate(raws)]
    if not read:
        raise spec.error("metrics", "are none", "one metric at least")
    scaled = ScaledObject(
        min_replica_count=least,
        max_replica_count=spec.take("maxReplicas", whole(1, 1_000_000)),
        behavior=_behavior(spec, where),
        triggers=tuple(trigger for trigger, _ in read),
    )
    target, pods = _target(spec.inside("scaleTargetRef"), namespace, name)
    return Subject(namespace, name, target, scaled, tuple(how for _, how in read), pods, has_keda=False)


def _metric(fields: Fields, context: Context) -> tuple[KedaTrigger, QueryTrigger]:
    kind = fields.take("type", text)
    inner = fields.inside(kind[:1].lower() + kind[1:])
    named = inner if kind in {"Resource", "ContainerResource"} else inner.inside("metric")
    name = named.take("name", text)
    if name not in context.queries:
        needed = f"--query '{name}=PROMQL', a query for its value"
        raise ConfigError(
            fields.where, fields.path, f"what {show(name)} measures is known to the cluster alone", needed
        )
    target = inner.inside("target")
    keys = {"averageValue": "AverageValue", "value": "Value", "averageUtilization": "Value"}
    key = next((key for key in keys if target.has(key)), "averageValue")
    metric: TargetType = "AverageValue" if keys[key] == "AverageValue" else "Value"
    goal = target.take(key, _quantity)
    return KedaTrigger(name, goal, metric), QueryTrigger(
        PromqlQuery(context.endpoint, context.queries[name]), absent_is_zero=False
    )


_SUFFIXES = {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30}


def _quantity(raw: object) -> float:
    """Read a quantity such as 500m, 2 or 1Gi."""
    written = text(raw)
    suffix = next((end for end in sorted(_SUFFIXES, key=len, reverse=True) if written.endswith(end)), "")
    return number(0, above=True)(written.removesuffix(suffix)) * _SUFFIXES.get(suffix, 1.0)


def unmeasured(subject: Subject) -> str:
    """Say what of its formulas a replay cannot know: what GPUs there were; empty: nothing."""
    for trigger in subject.triggers:
        if isinstance(trigger, FormulaTrigger):
            counts = [item.name for item in trigger.spec.inputs if isinstance(item.query, CapacityQuery)]
            if counts:
                return f"`{counts[0]}` counts GPUs, and how many there were is nowhere recorded"
    return ""
