"""AIBrix's PodAutoscaler, with its schedules -> policy aibrix-kpa, apa or hpa."""

from collections.abc import Mapping
from dataclasses import replace

from scaler.convert.plan import Line, Plan, Term, Tree, term_lines
from scaler.convert.words import (
    identifier,
    mapping,
    name_of,
    number,
    planned,
    requests_that_wait,
    sequence,
    term,
    text,
    unique,
)

PREFIX = "autoscaling.aibrix.ai/"
SHARED = (
    "max-scale-up-rate",
    "max-scale-down-rate",
    "scale-up-tolerance",
    "scale-down-tolerance",
    "scale-up-cooldown-window",
    "scale-down-cooldown-window",
)
POLICIES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "KPA": ("aibrix-kpa", (*SHARED, "panic-threshold")),
    "APA": ("apa", SHARED),
}
BEHAVIOR = {
    "scaleUp": {
        "stabilizationWindowSeconds": 0,
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 60}],
    },
    "scaleDown": {
        "stabilizationWindowSeconds": 300,
        "selectPolicy": "Min",
        "policies": [{"type": "Percent", "value": 50, "periodSeconds": 60}],
    },
}
DAYS = {"Sun": "0", "Mon": "1", "Tue": "2", "Wed": "3", "Thu": "4", "Fri": "5", "Sat": "6"}


def reads(tree: Tree) -> bool:
    """Whether it is a PodAutoscaler of AIBrix."""
    return text(tree, "kind") == "PodAutoscaler" and "aibrix" in text(tree, "apiVersion")


def read(trees: list[Tree]) -> list[Plan]:
    """Read every PodAutoscaler."""
    return [_plan(tree) for tree in trees if reads(tree)]


def _plan(tree: Tree) -> Plan:
    name, _ = name_of(tree, "PodAutoscaler")
    spec, where = mapping(tree, "spec"), f"AIBrix PodAutoscaler {name}"
    terms: list[Term] = []
    left: list[str] = []
    for source in sequence(spec, "metricsSources"):
        found, notes = _term(source, where, terms)
        terms.append(found)
        left += notes
    if not terms:
        left.append("it names no metric: requests that wait count, 8 for each replica")
        terms = [requests_that_wait()]
    policy, lost = _policy(spec, mapping(tree, "metadata", "annotations"))
    beside, scheduled = _schedules(spec)
    if text(spec, "subTargetSelector", "roleName"):
        left.append("subTargetSelector.roleName: a role has no /scale; run it as an object of its own")
    model = text(tree, "metadata", "labels", "model.aibrix.ai/name") or ""
    return replace(
        planned(tree, where, ("minReplicas", "maxReplicas"), (1, 10), terms),
        formula=(*term_lines(terms, declared=True), *policy),
        model=model,
        beside=tuple(beside),
        left=(*left, *lost, *scheduled),
    )


def _term(source: Tree, where: str, taken: list[Term]) -> tuple[Term, list[str]]:
    kind, metric = text(source, "metricSourceType"), text(source, "targetMetric")
    wanted = number(source.get("targetValue", 1), where, "targetValue")
    if kind == "resource":
        return _resource(metric, wanted, taken)
    if kind in {"external", "domain"}:
        name = unique(identifier(metric), [one.name for one in taken])
        tree = {"prometheus": f'sum({{__name__="{metric}",namespace="$namespace"}})'}
        place = text(source, "endpoint") or "external.metrics.k8s.io"
        note = f"{metric} came from {place}: write the query that has it in Prometheus"
        return Term(name, tree, wanted, False, "an external metric is a total"), [note]
    return term(metric, wanted, each=True, taken=taken), []


def _resource(metric: str, wanted: float, taken: list[Term]) -> tuple[Term, list[str]]:
    name = unique("cpu" if metric == "cpu" else identifier(metric), [one.name for one in taken])
    if metric == "cpu":
        why = "cores of all pods; the target there is in thousandths of a core"
        return Term(name, {"signal": "cpu_usage", "engine": "kubernetes"}, wanted / 1000, False, why), []
    query = 'sum(container_memory_working_set_bytes{namespace="$namespace",pod=~"$name-.*",container!=""})'
    return Term(name, {"prometheus": query}, wanted, False, f"{metric} of all pods"), []


def _policy(spec: Tree, annotations: Tree) -> tuple[tuple[Line, ...], list[str]]:
    """The policy of its strategy, and what of the annotations is read by nobody."""
    strategy = text(spec, "scalingStrategy") or "HPA"
    given = {key.removeprefix(PREFIX): str(value) for key, value in annotations.items() if "aibrix.ai/" in key}
    left: list[str] = []
    if strategy not in POLICIES:
        why = "AIBrix makes an HPA with this behavior"
        policy = Line("policy", (Line("kind", "hpa", why), Line("behavior", BEHAVIOR)))
        return (policy,), [f"{key}: not carried over" for key in given]
    kind, names = POLICIES[strategy]
    lines = [Line("kind", kind, f"scalingStrategy {strategy}")]
    windows = ("observeWindowSeconds", *(("panicWindowSeconds",) if strategy == "KPA" else ()))
    lines += [Line(key, spec[key], key) for key in windows if key in spec]
    for key in names:
        if key in given:
            written = given.pop(key)
            lines.append(Line(key, written if "window" in key else float(written), f"{PREFIX}{key}"))
    left += [f"annotation {key}: AIBrix does not read it either, or it has no meaning here" for key in given]
    return (Line("policy", tuple(lines)),), left


def _schedules(spec: Tree) -> tuple[list[Tree], list[str]]:
    """Scheduled minima as KEDA's cron triggers; scheduled maxima have no such thing."""
    triggers: list[Tree] = []
    left: list[str] = []
    for one in sequence(spec, "schedules"):
        name = text(one, "name")
        if "maxReplicas" in one:
            left.append(
                f"schedule {name}: maxReplicas {one['maxReplicas']} for a part of the day is not to be had with KEDA"
            )
        if "minReplicas" not in one:
            continue
        days = one.get("daysOfWeek")
        named = days if isinstance(days, list) else []
        week = ",".join(DAYS.get(str(day)[:3], str(day)) for day in named) or "*"
        metadata = {
            "timezone": text(one, "timezone") or "UTC",
            "start": _cron(text(one, "startTime"), week),
            "end": _cron(text(one, "endTime"), week),
            "desiredReplicas": str(one["minReplicas"]),
        }
        triggers.append({"type": "cron", "name": name or "schedule", "metadata": metadata})
    return triggers, left


def _cron(time: str, week: str) -> str:
    """09:30 on Mon and Tue -> 30 9 * * 1,2."""
    hour, _, minute = time.partition(":")
    return f"{int(minute or 0)} {int(hour or 0)} * * {week}"
