"""Kthena's AutoscalingPolicy, alone (new form) or with its AutoscalingPolicyBinding (old) -> policy kthena."""

from collections.abc import Sequence

from scaler.convert.plan import Line, Plan, Target, Term, Tree, term_lines
from scaler.convert.words import bounds, engine_of, mapping, name_of, number, requests_that_wait, sequence, term, text

KINDS = {"AutoscalingPolicy", "AutoscalingPolicyBinding"}
DIRECTIONS = {"instances", "percent", "period", "selectPolicy", "stabilizationWindow"}


def reads(tree: Tree) -> bool:
    """Tell whether it is a policy or a binding."""
    return text(tree, "kind") in KINDS


def read(trees: list[Tree]) -> list[Plan]:
    """Read every policy, with each of its bindings."""
    policies = {text(tree, "metadata", "name"): tree for tree in trees if text(tree, "kind") == "AutoscalingPolicy"}
    bindings = [tree for tree in trees if text(tree, "kind") == "AutoscalingPolicyBinding"]
    plans = [
        plan for tree in bindings for plan in _plans(tree, policies.get(text(tree, "spec", "policyRef", "name"), {}))
    ]
    bound = {text(tree, "spec", "policyRef", "name") for tree in bindings}
    return plans + [plan for name, tree in policies.items() if name not in bound for plan in _plans(tree, tree)]


def _plans(tree: Tree, policy: Tree) -> list[Plan]:
    """Make one plan for a homogeneous target, one for each variant or role of the others."""
    name, namespace = name_of(tree, text(tree, "kind"))
    spec, settings = mapping(tree, "spec"), mapping(policy, "spec")
    where = f"Kthena {text(tree, 'kind')} {name}"
    simple = mapping(spec, "homogeneousTarget") or mapping(spec, "scalingConfiguration")
    if simple:
        return [_plan(where, name, namespace, simple, settings)]
    variants = sequence(spec, "heterogeneousTarget", "params") or sequence(spec, "heterogeneousTarget", "targets")
    if variants:
        by_cost = (
            "heterogeneousTarget fills its variants by cost: each ScaledObject here follows the load of its own "
            "variant; `variants` of one formula file weigh cost (docs/groups.md), given what a replica of each carries"
        )
        return [
            _plan(where, f"{name}-{count}", namespace, one, settings).leaving(by_cost)
            for count, one in enumerate(variants, 1)
        ]
    roles = sequence(spec, "disaggregatedTarget", "roles")
    if roles:
        shared = mapping(spec, "disaggregatedTarget")
        lost = _ratio(shared, roles, where)
        plans = []
        for count, one in enumerate(roles, 1):
            role = _role_name(one)
            target = {**shared, **one, "subTargets": {"kind": "Role", "name": role}}
            plans.append(_plan(where, f"{name}-{role or count}", namespace, target, settings).leaving(*lost))
        return plans
    return [_plan(where, name, namespace, {}, settings).leaving("it names no target: set scaleTargetRef")]


def _role_name(role: Tree) -> str:
    return text(role, "name") or text(role, "roleName")


def _ratio(shared: Tree, roles: Sequence[Tree], where: str) -> list[str]:
    """Say how the ratio between two roles is kept here; nothing where there is none."""
    ratio = mapping(shared, "ratioRange") or mapping(shared, "ratio")
    if not ratio or len(roles) != 2:
        return []
    least = number(ratio.get("minRatio", ratio.get("min", 0)), where, "minRatio")
    most = number(ratio.get("maxRatio", ratio.get("max", 1)), where, "maxRatio")
    first, second = (_role_name(role) for role in roles)
    band = f"{first}: {{ratios: {{{second}: {{least: {least:g}, most: {most:g}}}}}}}"
    return [f"its ratio is kept by one formula file with both as `outputs` (docs/groups.md): {band}"]


def _sources(target: Tree, metrics: Sequence[Tree]) -> list[Tree]:
    """List metrics with where the target says they are measured: under the name that a page has, or by a query."""
    places = mapping(target, "metricSources") or mapping(target, "target", "metricSources")
    found: list[Tree] = []
    for metric in metrics:
        place = mapping(places, text(metric, "metricName") or text(metric, "name"))
        if not places or place:
            name = text(place, "pod", "name")
            query = {"query": text(place, "prometheus", "query")} if mapping(place, "prometheus") else {}
            found.append({**metric, **({"metricName": name} if name else {}), **query})
    return found


def _plan(where: str, name: str, namespace: str, target: Tree, settings: Tree) -> Plan:
    reference = mapping(target, "target", "targetRef") or mapping(target, "targetRef")
    terms: list[Term] = []
    left = []
    for metric in _sources(target, sequence(target, "metrics") or sequence(settings, "metrics")):
        found, notes = _term(metric, where, terms)
        terms.append(found)
        left += notes
    if not terms:
        left.append("no metric is named: requests that wait count, 8 for each replica")
        terms = [requests_that_wait()]
    role = text(target, "subTargets", "name") or text(target, "target", "subTargets", "name")
    if role:
        problem = "a role has no /scale of its own: run it as an object of its own, and name that in scaleTargetRef"
        left.append(f"role {role}: {problem}")
    lines = [Line("kind", "kthena", "Kthena's algorithm")]
    if "tolerancePercent" in settings:
        lines.append(Line("tolerancePercent", settings["tolerancePercent"], "tolerancePercent"))
    behavior, lost = _behavior(mapping(settings, "behavior"))
    if behavior:
        lines.append(Line("behavior", behavior, "behavior; what it leaves out has Kthena's defaults"))
    minimum, maximum = bounds(target, where, ("minReplicas", "maxReplicas"), (1, 10))
    return Plan(
        source=where,
        engine=engine_of(terms),
        name=name.lower(),
        namespace=namespace,
        target=Target(
            text(reference, "name") or name,
            text(reference, "kind") or "ModelServing",
            text(reference, "apiVersion") or "workload.serving.volcano.sh/v1alpha1",
            "targetRef; replicas are ServingGroups",
        ),
        minimum=minimum,
        maximum=maximum,
        formula=(*term_lines(terms, declared=True), Line("policy", tuple(lines))),
        left=(*left, *lost),
    )


def _term(metric: Tree, where: str, taken: list[Term]) -> tuple[Term, list[str]]:
    """Read a metric: of pods it is one instance's own there; from Prometheus it is a total."""
    name = text(metric, "metricName") or text(metric, "name")
    wanted = number(metric.get("targetValue", 1), where, "targetValue")
    query = (
        text(metric, "prometheus", "query")
        or text(metric, "metricSource", "prometheus", "query")
        or text(metric, "query")
    )
    if query:
        plain = term(name or "external", wanted, each=False, taken=taken).name
        found = Term(plain, {"prometheus": query}, wanted, False, f"{name}: a query, which Kthena takes for a total")
        left = [f"{name}: if its query is a mean or a share, say metricKind: ratio; Kthena would take it for a total"]
        return found, left
    found = term(name, wanted, each=True, taken=taken)
    if name.endswith("_total"):
        return found, [
            f"{name} is a counter, which Kthena compares as it stands: the target has to be in units a second"
        ]
    return found, []


def _behavior(given: Tree) -> tuple[dict[str, object], list[str]]:
    """Return what of a behavior the policy knows, and what it does not."""
    kept: dict[str, object] = {}
    left: list[str] = []
    up = mapping(given, "scaleUp")
    if "scaleUp" in given:
        kept["scaleUp"] = {key: dict(mapping(up, key)) for key in ("stablePolicy", "panicPolicy") if key in up}
        panic = mapping(up, "panicPolicy")
        if panic and "period" not in panic:
            kept["scaleUp"] = {**mapping(kept, "scaleUp"), "panicPolicy": {**panic, "period": "15s"}}
            left.append("panicPolicy.period is missing, which Kthena requires: 15s here")
    if "scaleDown" in given:
        down = mapping(given, "scaleDown")
        kept["scaleDown"] = {key: value for key, value in down.items() if key in DIRECTIONS}
        left += [f"behavior.scaleDown.{key}: is not read by llm-scaler" for key in down if key not in DIRECTIONS]
    return kept, left
