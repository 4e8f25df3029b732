"""A KEDA ScaledObject with prometheus triggers or scalingModifiers -> the same queries and formula, answered by us."""

from dataclasses import replace

from scaler.convert.plan import Line, Plan, Term, Tree
from scaler.convert.words import (
    identifier,
    mapping,
    name_of,
    number,
    planned,
    requests_that_wait,
    sequence,
    text,
    unique,
)

KEPT = ("pollingInterval", "cooldownPeriod", "initialCooldownPeriod", "idleReplicaCount", "fallback")


def reads(tree: Tree) -> bool:
    """Tell whether it is a ScaledObject."""
    return text(tree, "kind") == "ScaledObject"


def read(trees: list[Tree]) -> list[Plan]:
    """Read every ScaledObject."""
    return [_plan(tree) for tree in trees if reads(tree)]


def _plan(tree: Tree) -> Plan:
    name, _ = name_of(tree, "ScaledObject")
    spec = mapping(tree, "spec")
    where, left = f"ScaledObject {name}", []
    modifiers = mapping(spec, "advanced", "scalingModifiers")
    terms: list[Term] = []
    thresholds: list[tuple[str, float]] = []
    beside: list[Tree] = []
    for trigger in sequence(spec, "triggers"):
        if text(trigger, "type") != "prometheus":
            beside.append(trigger)
            continue
        term, activation, notes = _term(trigger, where, terms, named=bool(modifiers))
        terms.append(term)
        thresholds.append((term.name, activation))
        left += notes
    for trigger in beside if modifiers else ():
        kind, named = text(trigger, "type"), text(trigger, "name") or identifier(text(trigger, "type"))
        query = f'sum({named}{{namespace="$namespace"}})'
        terms.append(Term(named, {"prometheus": query}, 1.0, False, f"a trigger of type {kind}: write its query"))
        left.append(f"{named} is a trigger of type {kind}: write the query that has it in Prometheus")
    if not terms:
        left.append("it has no prometheus trigger: its triggers stay, and the formula adds the requests that wait")
        terms = [requests_that_wait("what waits at the engines, 8 for each replica")]
        thresholds = [("waiting", 0.0)]
    behavior = mapping(spec, "advanced", "horizontalPodAutoscalerConfig", "behavior")
    if mapping(spec, "advanced").get("restoreToOriginalReplicaCount"):
        left.append("restoreToOriginalReplicaCount: set it in the new ScaledObject if you want it")
    return replace(
        planned(tree, where, ("minReplicaCount", "maxReplicaCount"), (0, 100)),
        formula=(
            *(_by_modifiers(terms, modifiers, where) if modifiers else _largest(terms, thresholds)),
            Line("scaleDown", "off", "the HPA's behavior alone says how fast, as before"),
        ),
        beside=() if modifiers else tuple(beside),
        spec=tuple(Line(key, spec[key], "as it was") for key in KEPT if key in spec),
        behavior=Line("behavior", behavior, "as it was"),
        left=tuple(left),
    )


def _term(trigger: Tree, where: str, taken: list[Term], *, named: bool) -> tuple[Term, float, list[str]]:
    """Read one prometheus trigger: what it measures, its activationThreshold, and what is different."""
    metadata = mapping(trigger, "metadata")
    given = text(trigger, "name") or text(metadata, "metricName") or "value"
    others = [one.name for one in taken]
    name = given if named else unique(identifier(given), others)
    missing = "zero" if text(metadata, "ignoreNullValues").lower() != "false" else "error"
    each = text(trigger, "metricType") == "Value"
    tree: dict[str, object] = {"prometheus": " ".join(text(metadata, "query").split())}
    if missing == "zero":
        tree["onMissing"] = "zero"
    left = []
    if text(metadata, "serverAddress"):
        left.append(f"serverAddress {text(metadata, 'serverAddress')}: it is an endpoint of llm-scaler's settings")
    if "authModes" in metadata or mapping(trigger, "authenticationRef"):
        left.append(f"{name}: its authentication is set at the endpoint, in llm-scaler's settings")
    if missing == "zero":
        left.append(f"{name}: KEDA takes no series, NaN and Inf for 0; here only no series is 0, the others are errors")
    wanted = number(metadata.get("threshold", 1), where, "threshold")
    activation = number(metadata.get("activationThreshold", 0), where, "activationThreshold")
    return Term(name, tree, wanted, each, "its query"), activation, left


def _largest(terms: list[Term], thresholds: list[tuple[str, float]]) -> tuple[Line, ...]:
    """Combine several triggers as KEDA and the HPA do: the one that wants most counts, and any one activates."""
    metrics = tuple(Line(term.name, term.tree, term.why) for term in terms)
    activation = " || ".join(f"{name} > {threshold:g}" for name, threshold in thresholds)
    if len(terms) == 1:
        [term] = terms
        formula = (Line("formula", term.name, "the one trigger"), Line("target", term.target, "threshold"))
        kind = (Line("metricType", "Value", "as in the trigger"),) if term.each else ()
        return (Line("metrics", metrics), *formula, *kind, Line("activation", activation, "activationThreshold"))
    parts = [term.in_replicas for term in terms]
    return (
        Line("metrics", metrics),
        Line("formula", f"max({', '.join(parts)})", "replicas; the trigger that wants most counts"),
        Line("target", 1, "the formula is in replicas already"),
        Line("activation", activation, "any of the triggers"),
    )


def _by_modifiers(terms: list[Term], modifiers: Tree, where: str) -> tuple[Line, ...]:
    metrics = tuple(Line(term.name, term.tree, term.why) for term in terms)
    kind = text(modifiers, "metricType") or "AverageValue"
    wakes = number(modifiers.get("activationTarget", 0), where, "activationTarget")
    return (
        Line("metrics", metrics),
        Line("formula", text(modifiers, "formula"), "scalingModifiers.formula, as it was"),
        Line("target", number(modifiers.get("target", 1), where, "target"), "scalingModifiers.target"),
        Line("metricType", kind, "scalingModifiers.metricType"),
        Line("activationTarget", wakes, "scalingModifiers.activationTarget"),
    )
