"""AIBrix's PodAutoscaler, with its schedules -> policy aibrix-kpa, apa or hpa."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from scaler.convert.hpa import ONLY_RESOURCES, resource_trigger
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
from scaler.model.errors import ConfigError

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
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
DAY = 24 * 60  # minutes


def reads(tree: Tree) -> bool:
    """Tell whether it is a PodAutoscaler of AIBrix."""
    return text(tree, "kind") == "PodAutoscaler" and "aibrix" in text(tree, "apiVersion")


def read(trees: list[Tree]) -> list[Plan]:
    """Read every PodAutoscaler."""
    return [_plan(tree) for tree in trees if reads(tree)]


def _plan(tree: Tree) -> Plan:
    name, _ = name_of(tree, "PodAutoscaler")
    spec, where = mapping(tree, "spec"), f"AIBrix PodAutoscaler {name}"
    terms: list[Term] = []
    left: list[str] = []
    beside: list[Tree] = []
    by_hpa = (text(spec, "scalingStrategy") or "HPA") not in POLICIES
    for source in sequence(spec, "metricsSources"):
        if by_hpa and text(source, "metricSourceType") == "resource":
            beside.append(_of_hpa(source, where))
            continue
        metric = text(source, "targetMetric")
        if metric.endswith("deployment_replicas"):
            left.append(f"{metric}: its gpu-optimizer has decided it; `variants` (docs/groups.md) decide that here")
            continue
        found, notes = _term(source, where, terms)
        terms.append(found)
        left += notes
    if not terms:
        left.append(ONLY_RESOURCES if beside else "it names no metric: requests that wait count, 8 for each replica")
        terms = [requests_that_wait()]
    policy, lost = _policy(spec, mapping(tree, "metadata", "annotations"))
    behavior = None
    if beside:  # the triggers for CPU and memory need the HPA's own timing, as AIBrix sets it
        policy = (Line("scaleDown", "off", "the HPA's behavior alone says how fast"),)
        behavior = Line("behavior", BEHAVIOR, "AIBrix makes an HPA with this behavior")
    if text(spec, "subTargetSelector", "roleName"):
        left.append("subTargetSelector.roleName: a role has no /scale; run it as an object of its own")
    model = text(tree, "metadata", "labels", "model.aibrix.ai/name") or ""
    common = planned(tree, where, ("minReplicas", "maxReplicas"), (1, 10), terms)
    minimum, maximum, schedule = _scheduled(spec, common.minimum, common.maximum, where)
    return replace(
        common,
        minimum=minimum,
        maximum=maximum,
        formula=(*term_lines(terms, declared=not beside), *policy, *schedule),
        model=model,
        beside=tuple(beside),
        behavior=behavior,
        left=(*left, *lost),
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


def _of_hpa(source: Tree, where: str) -> Tree:
    """Make KEDA's trigger for a resource of the HPA that AIBrix makes: CPU in percent of the request, memory in MiB."""
    metric, wanted = text(source, "targetMetric"), number(source.get("targetValue", 1), where, "targetValue")
    if metric == "cpu":
        return resource_trigger("cpu", "Utilization", str(math.ceil(wanted)))
    return resource_trigger("memory", "AverageValue", f"{math.ceil(wanted)}Mi")


def _resource(metric: str, wanted: float, taken: list[Term]) -> tuple[Term, list[str]]:
    name = unique("cpu" if metric == "cpu" else identifier(metric), [one.name for one in taken])
    if metric == "cpu":
        why = "cores of all pods; the target there is in thousandths of a core"
        return Term(name, {"signal": "cpu_usage", "engine": "kubernetes"}, wanted / 1000, False, why), []
    query = 'sum(container_memory_working_set_bytes{namespace="$namespace",pod=~"$name-.*",container!=""})'
    return Term(name, {"prometheus": query}, wanted, False, f"{metric} of all pods"), []


def _policy(spec: Tree, annotations: Tree) -> tuple[tuple[Line, ...], list[str]]:
    """Return the policy of its strategy, and what of the annotations is read by nobody."""
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


@dataclass(frozen=True, slots=True)
class _Hours:
    """One of its schedules: bounds for some minutes of some days."""

    name: str
    timezone: str
    days: tuple[str, ...]
    start: int  # minutes since midnight
    end: int
    minimum: int
    maximum: int


def _scheduled(spec: Tree, minimum: Line, maximum: Line, where: str) -> tuple[Line, Line, tuple[Line, ...]]:
    """Return the bounds of its schedules as `schedule`, and the widest of all as those of the ScaledObject.

    1 to 10, and 3 to 12 on Mon from 9 to 18:  1 to 12; on Mon from 9 to 18 at least 3; at any other time at most 10.
    """
    if not isinstance(minimum.value, int) or not isinstance(maximum.value, int):
        return minimum, maximum, ()
    usual = minimum.value, maximum.value
    hours = [_hours(one, usual, where) for one in sequence(spec, "schedules")]
    if not hours:
        return minimum, maximum, ()
    least = min(usual[0], *(one.minimum for one in hours))
    most = max(usual[1], *(one.maximum for one in hours))
    others = [_Hours("at any other time", hours[0].timezone, *gap, *usual) for gap in _gaps(hours)]
    windows = [window for one in (*hours, *others) if (window := _window(one, least, most))]
    schedule = (Line("schedule", windows, "schedules, and what holds at any other time"),) if windows else ()
    return (
        Line(minimum.key, least, "the least that minReplicas and schedules allow"),
        Line(maximum.key, most, "the most that maxReplicas and schedules allow"),
        schedule,
    )


def _hours(one: Tree, usual: tuple[int, int], where: str) -> _Hours:
    written = one.get("daysOfWeek")
    named = written if isinstance(written, list) else DAYS
    days = {str(day)[:3] for day in named}
    return _Hours(
        name=text(one, "name") or "schedule",
        timezone=text(one, "timezone") or "UTC",
        days=tuple(day for day in DAYS if day in days),
        start=_minutes(text(one, "startTime"), where),
        end=_minutes(text(one, "endTime"), where),
        minimum=int(number(one.get("minReplicas", usual[0]), where, "minReplicas")),
        maximum=int(number(one.get("maxReplicas", usual[1]), where, "maxReplicas")),
    )


def _gaps(hours: Sequence[_Hours]) -> list[tuple[tuple[str, ...], int, int]]:
    """List when no schedule holds: days, from and to, in minutes since midnight."""
    found: dict[tuple[int, int], list[str]] = {}
    for day in DAYS:
        taken = sorted((one.start, one.end) for one in hours if day in one.days)
        begun = 0
        for start, end in (*taken, (DAY, DAY)):
            if start > begun:
                found.setdefault((begun, start), []).append(day)
            begun = max(begun, end)
    return [(tuple(days), start, end) for (start, end), days in found.items()]


def _window(one: _Hours, least: int, most: int) -> Tree | None:
    """Make one window of `schedule`; None where it bounds nothing that the ScaledObject does not."""
    bounds: dict[str, object] = {}
    if one.minimum > least:
        bounds["min"] = one.minimum
    if one.maximum < most:
        bounds["max"] = one.maximum
    if not bounds:
        return None
    hours = f"{_clock(one.start)}-{_clock(one.end)}"
    days = {} if len(one.days) == len(DAYS) else {"days": ", ".join(one.days)}
    return {"name": one.name, **days, "hours": hours, "timezone": one.timezone, **bounds}


def _minutes(time: str, where: str) -> int:
    hour, _, minute = time.partition(":")
    if not (hour.isdigit() and minute.isdigit()):
        raise ConfigError(where, "schedules", f"{time!r} is no time of a day", "HH:MM")
    return int(hour) * 60 + int(minute)


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
