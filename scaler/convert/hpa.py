"""A HorizontalPodAutoscaler -> a formula without a policy; what `behavior` says stays with the HPA that KEDA makes."""

import re
from dataclasses import replace

from scaler.convert.plan import Line, Plan, Term, Tree, term_lines
from scaler.convert.words import (
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

LABELS = re.compile(r"^(metric|resource)\.labels\.")  # before the names of labels, as Google's adapter has them
ONLY_RESOURCES = (
    "it reads CPU or memory alone, which says little of a GPU: those triggers stay, and the formula adds the "
    "requests at 8 for each replica; set its target"
)


def reads(tree: Tree) -> bool:
    """Tell whether it is an HPA."""
    return text(tree, "kind") == "HorizontalPodAutoscaler"


def read(trees: list[Tree]) -> list[Plan]:
    """Read every HPA."""
    return [_plan(tree) for tree in trees if reads(tree)]


def _plan(tree: Tree) -> Plan:
    name, _ = name_of(tree, "HorizontalPodAutoscaler")
    spec = mapping(tree, "spec")
    where, left = f"HorizontalPodAutoscaler {name}", []
    terms: list[Term] = []
    beside: list[Tree] = []
    for metric in sequence(spec, "metrics"):
        kind = text(metric, "type")
        if kind in {"Resource", "ContainerResource"}:
            beside.append(_resource(metric, kind))
            continue
        found, notes = _term(metric, kind, where, terms)
        terms += [found] if found else []
        left += notes
    percent = spec.get("targetCPUUtilizationPercentage")
    if percent is not None:
        beside.append(resource_trigger("cpu", "Utilization", str(percent)))
    if not terms:
        left.append(ONLY_RESOURCES)
        terms = [requests_that_wait("not in the HPA: what waits at the engines")]
    behavior = spec.get("behavior")
    return replace(
        planned(tree, where, ("minReplicas", "maxReplicas"), (1, 100), terms),
        formula=(
            *term_lines(terms, declared=False),
            Line("scaleDown", "off", "the HPA's behavior alone says how fast"),
        ),
        beside=tuple(beside),
        behavior=Line("behavior", behavior or {}, "as in the HPA" if behavior else "none, as in the HPA"),
        left=(*left, "delete the HPA before the ScaledObject is made: KEDA makes one of its own for the same target"),
    )


def _term(metric: Tree, kind: str, where: str, taken: list[Term]) -> tuple[Term | None, list[str]]:
    """Read a metric of pods, of another object or from outside."""
    place = {"Pods": "pods", "Object": "object", "External": "external"}.get(kind)
    if place is None:
        return None, [f"a metric of type {kind} is not read by llm-scaler"]
    inner = mapping(metric, place)
    name, target = plain_name(text(inner, "metric", "name")), mapping(inner, "target")
    each = text(target, "type") == "Value"
    wanted = number(target.get("value") if each else target.get("averageValue", target.get("value", 1)), where, name)
    labels = mapping(inner, "metric", "selector", "matchLabels")
    if kind == "Pods" or not labels:
        found = term(name, wanted, each=each, taken=taken)
    else:
        matchers = ",".join(f'{LABELS.sub("", key)}="{value}"' for key, value in labels.items())
        how = "avg" if each else "sum"
        query = f'{how}({{__name__="{name}",{matchers}}})'
        plain = unique("external", [one.name for one in taken])
        found = Term(plain, {"prometheus": query}, wanted, each, f"{name}, of type {kind}")
    if "signal" in found.tree:
        return found, []
    if name in {"wva_desired_replicas", "wva_desired_ratio"}:
        return found, [f"{name} is what llm-d's WVA has decided: convert its VariantAutoscaling in place of this HPA"]
    return found, [
        f"{name} came from a metrics adapter: look in its configuration whether its name in Prometheus is the same"
    ]


def plain_name(name: str) -> str:
    """Return the name in Prometheus of a metric that Google's adapter renames.

    >>> plain_name("prometheus.googleapis.com|vllm:num_requests_waiting|gauge")
    'vllm:num_requests_waiting'
    """
    parts = name.split("|")
    return parts[1] if parts[0] == "prometheus.googleapis.com" and len(parts) > 1 else name


def _resource(metric: Tree, kind: str) -> Tree:
    inner = mapping(metric, "resource" if kind == "Resource" else "containerResource")
    target = mapping(inner, "target")
    wanted = target.get("averageUtilization", target.get("averageValue", target.get("value", "")))
    kind = text(target, "type") or "Utilization"
    return resource_trigger(text(inner, "name"), kind, str(wanted), text(inner, "container"))


def resource_trigger(kind: str, metric_type: str, value: str, container: str = "") -> Tree:
    """Make KEDA's own trigger for CPU or memory."""
    metadata = {"value": value, **({"containerName": container} if container else {})}
    return {"type": kind, "metricType": metric_type, "metadata": metadata}
