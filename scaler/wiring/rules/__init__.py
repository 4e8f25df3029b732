"""The table of findings, in the order of cause: whoever stands first is the culprit, what follows may be its doing.

KEDA is there ─▶ it looks at the object ─▶ it reaches us ─▶ we take the trigger ─▶ it is measured
─▶ KEDA and the HPA act on the answer ─▶ pods come up, and end well
"""

from collections.abc import Callable, Mapping

from scaler.wiring.finding import Finding, Found
from scaler.wiring.picture import Picture
from scaler.wiring.rules import hpa, keda, metrics, pods, reach, scaled_object, trigger

Rule = Callable[[Picture], Found | None]

RULES: Mapping[str, Rule] = {
    "keda-missing": keda.missing,
    "no-scaled-object": keda.no_scaled_object,
    "not-ours": keda.not_ours,
    "paused": scaled_object.paused,
    "keda-operator": keda.operator_down,
    "keda-version": keda.old_version,
    "keda-namespaces": keda.not_watched,
    "target-missing": scaled_object.target_missing,
    "target-without-scale": scaled_object.no_scale,
    "two-owners": scaled_object.two_owners,
    "bounds": scaled_object.bounds,
    "keda-not-seen": keda.not_seen,
    "metric-type": trigger.metric_type,
    "address": reach.address,
    "service-missing": reach.service_missing,
    "port": reach.port,
    "no-endpoints": reach.no_endpoints,
    "authentication": reach.authentication,
    "network-policy": reach.network_policy,
    "tls": reach.tls,
    "unreachable": reach.unreachable,
    "same-trigger": reach.same_trigger_twice,
    "formula-file": trigger.formula_file,
    "refused": trigger.refused,
    "not-asked": trigger.not_asked,
    "keda-adapter": keda.adapter_down,
    "metrics-api": keda.metrics_api,
    "cannot-be-created": pods.cannot_be_created,
    "quota": pods.quota,
    "broken-pods": pods.broken,
    "unschedulable": pods.unschedulable,
    "endpoint": metrics.endpoint_down,
    "engine": metrics.page_of_another_engine,
    "model": metrics.wrong_model,
    "not-scraped": metrics.not_scraped,
    "monitor-port": metrics.monitor_port,
    "monitor-not-selected": metrics.monitor_not_selected,
    "cannot-wake": metrics.cannot_wake,
    "no-series": metrics.no_series,
    "not-all-pods": metrics.not_all_pods,
    "held": metrics.held,
    "hpa-missing": hpa.missing,
    "hpa-metric": hpa.without_our_metric,
    "fallback-in-force": hpa.fallback_in_force,
    "hpa-conditions": hpa.gets_no_value,
    "behavior-forbids": hpa.forbidden,
    "not-ready": scaled_object.not_ready,
    "at-maximum": hpa.at_maximum,
    "tolerance": hpa.swallowed,
    "policy-waits-twice": hpa.policy_waits_twice,
    "slow-growth": hpa.slow_growth,
    "flaps": hpa.flaps,
    "stale-formula": trigger.stale_formula,
    "stalled": metrics.stalled,
    "rights": metrics.rights,
    "fallback": scaled_object.fallback,
    "scaling-modifiers": scaled_object.scaling_modifiers,
    "cached-metrics": scaled_object.cached,
    "cooldown": hpa.short_cooldown,
    "slow-wake": scaled_object.slow_wake,
    "rollout": pods.rollout_stuck,
    "grace-period": pods.short_grace,
    "disruption-budget": pods.disruption_budget,
}


def examine(picture: Picture) -> list[Finding]:
    """Find what is wrong, the culprit first: errors before warnings, each in the order of cause."""
    found = []
    for name, rule in RULES.items():
        told = rule(picture)
        if told:
            found.append(Finding(name, told.what, told.evidence, told.repair, told.severity))
    return sorted(found, key=lambda finding: finding.severity != "error")
