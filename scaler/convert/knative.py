"""A Knative Service, or a KServe InferenceService, by its autoscaling annotations -> policy kpa."""

from collections.abc import Mapping

from scaler.convert.hpa import ONLY_RESOURCES, resource_trigger
from scaler.convert.plan import Line, Plan, Target, Tree, load_lines, term_lines
from scaler.convert.words import mapping, name_of, number, requests_that_wait, text
from scaler.model.fields import duration

PREFIX = "autoscaling.knative.dev/"
OLD = {
    "minScale": "min-scale",
    "maxScale": "max-scale",
    "initialScale": "initial-scale",
    "activationScale": "activation-scale",
}
WINDOWS = ("panic-window-percentage", "panic-threshold-percentage", "scale-down-delay", "activation-scale")
KNATIVE_MODE = (
    "Knative's own controllers set the replicas of its Deployments: run the same container as a Deployment, with a "
    "gateway that holds requests while there is no replica"
)
KSERVE_MODE = (
    "KServe sets the replicas itself: use its Standard (RawDeployment) mode with the annotation "
    "serving.kserve.io/autoscalerClass: external"
)
LEFT: Mapping[str, str] = {
    "initial-scale": "a new workload begins with the replicas of its Deployment",
    "target-burst-capacity": "there is no activator in the path of requests that could hold a burst",
    "class": "the policy below is that of the KPA",
}


KSERVE: Mapping[str, str] = {  # fields of a predictor, as the annotations that KServe makes of them
    "minReplicas": "min-scale",
    "maxReplicas": "max-scale",
    "scaleTarget": "target",
    "scaleMetric": "metric",
}


def reads(tree: Tree) -> bool:
    """Tell whether it is a Knative Service or Revision, or KServe's InferenceService."""
    return text(tree, "apiVersion").startswith("serving.knative.dev/") or _of_kserve(tree)


def _of_kserve(tree: Tree) -> bool:
    return text(tree, "kind") == "InferenceService" and text(tree, "apiVersion").startswith("serving.kserve.io/")


def read(trees: list[Tree]) -> list[Plan]:
    """Read every Service."""
    return [_plan(tree) for tree in trees if reads(tree)]


def _plan(tree: Tree) -> Plan:
    name, namespace = name_of(tree, "Knative Service")
    template = mapping(tree, "spec", "template")
    given = _annotations(mapping(tree, "metadata", "annotations"))
    given |= _annotations(mapping(template, "metadata", "annotations"))
    kserve, pods = _of_kserve(tree), mapping(template, "spec")
    where = f"KServe InferenceService {name}" if kserve else f"Knative Service {name}"
    if kserve:
        pods = mapping(tree, "spec", "predictor")
        fields = {word: text(pods, key) for key, word in KSERVE.items() if text(pods, key)}
        given = {"min-scale": "1"} | fields | given
    hard = number(pods.get("containerConcurrency") or 0, where, "containerConcurrency")
    least, most = given.pop("min-scale", "0"), given.pop("max-scale", "0")
    minimum = Line("minReplicaCount", int(number(least, where, "min-scale")), "min-scale")
    endless = number(most, where, "max-scale") == 0
    maximum = Line("maxReplicaCount", 100 if endless else int(number(most, where, "max-scale")), "max-scale")
    left = ["max-scale 0 is no maximum there; 100 is KEDA's own: set what your GPUs allow"] if endless else []
    metric = given.pop("metric", "")
    by_hpa = given.get("class", "").startswith("hpa.") or metric in {"cpu", "memory"}
    rps = metric == "rps"
    beside = (_resource(given, metric or "cpu"),) if by_hpa else ()
    formula, policy = _formula(given, where, hard, rps=rps, by_hpa=by_hpa)
    if by_hpa:
        given.pop("class", "")
        left.append(ONLY_RESOURCES)
    spec: tuple[Line, ...] = ()
    if "scale-to-zero-pod-retention-period" in given:
        seconds = int(duration()(given.pop("scale-to-zero-pod-retention-period")))
        spec = (Line("cooldownPeriod", seconds, "scale-to-zero-pod-retention-period"),)
    if given.get("class", "").startswith("kpa."):
        given.pop("class")
    left += [f"{key}: {LEFT.get(key, 'is not read by llm-scaler')}" for key in given]
    left.append(KSERVE_MODE if kserve else KNATIVE_MODE)
    target = Target(name, why="the same container as a Deployment")
    if kserve:
        target = Target(f"{name}-predictor", why="the Deployment that KServe makes in its Standard mode")
    return Plan(
        source=where,
        name=name,
        namespace=namespace,
        target=target,
        minimum=minimum,
        maximum=maximum,
        formula=(*formula, *policy),
        beside=beside,
        spec=spec,
        left=tuple(left),
    )


def _formula(
    given: dict[str, str], where: str, hard: float, *, rps: bool, by_hpa: bool
) -> tuple[tuple[Line, ...], tuple[Line, ...]]:
    """Write the formula and the policy; with an HPA for its class, the requests that wait and no policy."""
    if by_hpa:
        waiting = requests_that_wait("not read there: what waits at the engines")
        off = Line("scaleDown", "off", "the HPA alone says how fast")
        return (*term_lines([waiting], declared=False), off), ()
    target = _target(given, where, hard, rps=rps)
    return _by_rate(target) if rps else load_lines(target), (_policy(given),)


def _resource(given: dict[str, str], metric: str) -> Tree:
    """Make KEDA's trigger for what the class hpa scales on: CPU in percent, or memory in MiB."""
    if metric == "memory":
        return resource_trigger("memory", "AverageValue", f"{given.pop('target', '80')}Mi")
    return resource_trigger("cpu", "Utilization", given.pop("target", "80"))


def _annotations(tree: Tree) -> dict[str, str]:
    found = {key.removeprefix(PREFIX): str(value) for key, value in tree.items() if key.startswith(PREFIX)}
    return {OLD.get(key, key): value for key, value in found.items()}


def _target(given: dict[str, str], where: str, hard: float, *, rps: bool) -> Line:
    """Return the share of a replica's limit that is aimed at."""
    older = given.pop("target-utilization", "70")
    share = number(given.pop("target-utilization-percentage", older), where, "target-utilization-percentage")
    if "target" in given:
        limit, why = number(given.pop("target"), where, "target"), "target"
        if not rps and hard:
            limit, why = min(limit, hard), "the smaller of target and containerConcurrency"
    elif hard and not rps:
        limit, why = hard, "containerConcurrency"
    else:
        limit, why = (200.0, "Knative's default for rps") if rps else (100.0, "Knative's default for concurrency")
    return Line("target", round(limit * share / 100, 6), f"{why} ({limit:g}) x {share:g} %")


def _by_rate(target: Line) -> tuple[Line, ...]:
    metrics = (
        Line("requests", {"signal": "requests_per_second"}, "metric: rps"),
        Line("waiting", {"signal": "waiting"}),
        Line("running", {"signal": "running"}),
        Line("queued", {"signal": "queued", "onMissing": "zero"}),
    )
    return (
        Line("metrics", metrics),
        Line("formula", "requests", "finished in a second"),
        target,
        Line("metricKind", "rate", "shared among the replicas"),
        Line("activation", "queued + waiting + running > 0", "what wakes it from 0, and keeps it awake"),
    )


def _policy(given: dict[str, str]) -> Line:
    lines = [Line("kind", "kpa", "Knative's algorithm")]
    if "window" in given:
        lines.append(Line("stable-window", given.pop("window"), "window"))
    for key in WINDOWS:
        if key in given:
            written = given.pop(key)
            plain = float(written) if key != "scale-down-delay" else written
            lines.append(Line(key, plain, key))
    return Line("policy", tuple(lines))
