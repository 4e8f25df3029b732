"""Dashboards for Grafana, as code: each row of PANELS is a panel. `make chart` writes DASHBOARD.json beside this file.

They are of the form that Grafana's sidecar takes: the data source is a variable, and nothing is asked on import. Every
pod of llm-scaler has the series of every workload, the standbys too, so queries take one of them with `max by`.
"""

import json
from pathlib import Path

Panel = tuple[str, str, str, str]  # title, unit of Grafana, query, legend

CHOSEN = 'namespace=~"$namespace", scaled_object=~"$scaled_object"'
OF_WORKLOAD = "{{namespace}}/{{scaled_object}}"


def _each(metric: str) -> str:
    """One series for each workload that is chosen."""
    return f"max by (namespace, scaled_object) ({metric}{{{CHOSEN}}})"


def _as_scaled_object(metric: str) -> str:
    """What kube-state-metrics says of the HPAs that KEDA made, by the names of their ScaledObjects."""
    chosen = f'{metric}{{namespace=~"$namespace", horizontalpodautoscaler=~"keda-hpa-($scaled_object)"}}'
    named = f'label_replace({chosen}, "scaled_object", "$1", "horizontalpodautoscaler", "keda-hpa-(.*)")'
    return f"max by (namespace, scaled_object) ({named})"


CURRENT = "kube_horizontalpodautoscaler_status_current_replicas"
# Of pods that run or wait; of kube-state-metrics, as whoever scrapes it has it.
GPUS = 'kube_pod_container_resource_requests{resource=~".+_com_(gpu|mig_.+)", namespace=~"$namespace"}'

PANELS: dict[str, tuple[Panel, ...]] = {
    "fleet": (
        ("Replicas that KEDA is told", "none", _each("llm_scaler_replicas"), OF_WORKLOAD),
        ("Replicas that the load needs", "none", _each("llm_scaler_desired_replicas"), OF_WORKLOAD),
        ("Replicas that can be had", "none", _each("llm_scaler_available_replicas"), OF_WORKLOAD),
        (
            "Replicas that there are",
            "none",
            _as_scaled_object(CURRENT),
            OF_WORKLOAD,
        ),
        ("Replicas without a node", "none", _each("llm_scaler_pending_replicas"), OF_WORKLOAD),
        ("Workloads by certainty", "none", "max by (state) (llm_scaler_workloads)", "{{state}}"),
        ("Held, since the last certain answer", "s", _each("llm_scaler_held_seconds"), OF_WORKLOAD),
        ("GPUs that pods ask for", "none", f"sum by (namespace) ({GPUS})", "{{namespace}}"),
        (
            "GPU-hours a day, at the pace of the last hour",
            "none",
            f"24 * avg_over_time(sum by (namespace) ({GPUS})[1h:1m])",
            "{{namespace}}",
        ),
    ),
    "workload": (
        (
            "Why N: needed, and told",
            "none",
            f'label_replace({_each("llm_scaler_desired_replicas")}, "what", "needed", "", "")'
            f' or label_replace({_each("llm_scaler_replicas")}, "what", "told", "", "")',
            "{{what}}",
        ),
        ("Value of the formula", "none", _each("llm_scaler_value"), OF_WORKLOAD),
        ("Target of the formula", "none", _each("llm_scaler_target"), OF_WORKLOAD),
        (
            "Inputs, as the formula used them",
            "none",
            f"max by (input) (llm_scaler_input_value{{{CHOSEN}}})",
            "{{input}}",
        ),
        ("Age of the inputs", "s", f"max by (input) (llm_scaler_input_age_seconds{{{CHOSEN}}})", "{{input}}"),
        ("Certain", "bool", f"min by (namespace, scaled_object) (llm_scaler_certain{{{CHOSEN}}})", OF_WORKLOAD),
        ("Active", "bool", _each("llm_scaler_active"), OF_WORKLOAD),
    ),
    "llm-scaler": (
        (
            "Calls",
            "reqps",
            "sum by (method, code) (rate(llm_scaler_calls_total[$__rate_interval]))",
            "{{method}} {{code}}",
        ),
        (
            "Duration of calls, 99th percentile",
            "s",
            "histogram_quantile(0.99, sum by (le, method) (rate(llm_scaler_call_seconds_bucket[$__rate_interval])))",
            "{{method}}",
        ),
        (
            "Measurements that failed",
            "percentunit",
            'sum by (endpoint) (rate(llm_scaler_source_answers_total{outcome="failed"}[$__rate_interval]))'
            " / sum by (endpoint) (rate(llm_scaler_source_answers_total[$__rate_interval]))",
            "{{endpoint}}",
        ),
        (
            "Waiting for endpoints",
            "s",
            "sum by (endpoint) (rate(llm_scaler_source_seconds_total[$__rate_interval]))",
            "{{endpoint}}",
        ),
        (
            "Age of the newest decision",
            "s",
            "time() - max by (pod, instance) (llm_scaler_decision_timestamp_seconds)",
            "{{instance}}",
        ),
        ("Open streams", "none", "sum by (instance) (llm_scaler_streams)", "{{instance}}"),
        ("Formulas in service", "none", "max by (instance) (llm_scaler_formulas)", "{{instance}}"),
        (
            "Workloads on an older formula",
            "none",
            "max by (instance) (llm_scaler_workloads_stale_formula)",
            "{{instance}}",
        ),
        ("Memory", "bytes", 'max by (instance) (process_resident_memory_bytes{job=~".*llm-scaler.*"})', "{{instance}}"),
        ("Versions", "none", "count by (version) (llm_scaler_build_info)", "{{version}}"),
    ),
}


def dashboard(name: str) -> dict[str, object]:
    """Return one dashboard as Grafana reads it."""
    source = {"type": "prometheus", "uid": "${datasource}"}
    panels = [_panel(index, panel, source) for index, panel in enumerate(PANELS[name])]
    return {
        "uid": f"llm-scaler-{name}",
        "title": f"llm-scaler: {name}",
        "tags": ["llm-scaler", "keda"],
        "schemaVersion": 39,
        "id": None,
        "time": {"from": "now-3h", "to": "now"},
        "refresh": "30s",
        "templating": {"list": _variables(name, source)},
        "panels": panels,
    }


def _variables(board: str, source: object) -> list[dict[str, object]]:
    """What can be chosen above a dashboard: any workloads of the fleet; one where inputs are told by name alone."""
    found: list[dict[str, object]] = [{"name": "datasource", "type": "datasource", "query": "prometheus"}]
    of = {"namespace": "llm_scaler_replicas", "scaled_object": 'llm_scaler_replicas{namespace=~"$namespace"}'}
    every = {"multi": True, "includeAll": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"}}
    one = {"multi": False, "includeAll": False}
    for name, series in of.items() if board != "llm-scaler" else ():
        query = {"query": f"label_values({series}, {name})", "refId": name}
        head = {"name": name, "type": "query", "datasource": source, "query": query, "refresh": 2}
        found.append({**head, **(every if board == "fleet" else one)})
    return found


def _panel(index: int, panel: Panel, source: object) -> dict[str, object]:
    title, unit, query, legend = panel
    return {
        "id": index + 1,
        "type": "timeseries",
        "title": title,
        "datasource": source,
        "gridPos": {"x": 12 * (index % 2), "y": 8 * (index // 2), "w": 12, "h": 8},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]}},
        "targets": [{"refId": "A", "datasource": source, "expr": query, "legendFormat": legend}],
    }


def main() -> None:
    """Write every dashboard beside this file."""
    for name in PANELS:
        text = json.dumps(dashboard(name), indent=1) + "\n"
        (Path(__file__).parent / f"{name}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
