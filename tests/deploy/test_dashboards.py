"""Every panel of the dashboards draws something: its query returns data on a real Prometheus that has our metrics."""

import importlib.util
import json
import re
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from support.prometheus_server import series

from scaler.server.metrics import METRICS

FOLDER = Path(__file__).parents[2] / "deploy" / "dashboards"


def script(name):
    """A file of the folder, which is no package."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


dashboards, draw = script("dashboards"), script("draw")

WORDS = {"outcome": "failed", "method": "GetMetrics", "code": "OK", "state": "certain"}
QUERIES = {(name, title): query for name, panels in dashboards.PANELS.items() for title, _, query, _ in panels}


@pytest.fixture(scope="module")
def prometheus(start_prometheus):
    """A Prometheus with ten minutes of every metric of llm-scaler, as two pods export them."""
    start, lines = time.time() - 600, []
    for pod in ("a", "b"):
        where = {"instance": f"{pod}:8080", "pod": pod, "job": "llm-scaler"}
        for own in METRICS:
            labels = where | {label: WORDS.get(label, label) for label in own.labels}
            if own.type == "histogram":
                for bound in ("0.1", "+Inf"):
                    lines += series(f"{own.name}_bucket", labels | {"le": bound}, "0+1x40", start)
            else:
                lines += series(own.name, labels, "0+1x40", start)
        lines += series("process_resident_memory_bytes", where, "9x40", start)
    hpa = {"namespace": "namespace", "horizontalpodautoscaler": "keda-hpa-scaled_object"}
    lines += series("kube_horizontalpodautoscaler_status_current_replicas", hpa, "3x40", start)
    for vendor in ("nvidia_com_gpu", "amd_com_gpu", "nvidia_com_mig_1g_5gb", "cpu"):
        asked = {"namespace": "namespace", "pod": vendor, "container": "engine", "resource": vendor}
        lines += series("kube_pod_container_resource_requests", asked, "2x40", start)
    return start_prometheus(lines)


def ask(prometheus, query):
    for variable, value in {"$namespace": ".*", "$scaled_object": ".*", "$__rate_interval": "5m"}.items():
        query = query.replace(variable, value)
    url = f"{prometheus.url}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    return json.load(urllib.request.urlopen(url, timeout=10))["data"]["result"]


@pytest.mark.real
@pytest.mark.parametrize("panel", QUERIES, ids=": ".join)
def test_a_panel_has_data_and_a_legend_for_each_line(prometheus, panel):
    name, title = panel
    found = ask(prometheus, QUERIES[panel])
    assert found
    (legend,) = [legend for each, _, _, legend in dashboards.PANELS[name] if each == title]
    for label in re.findall(r"{{(\w+)}}", legend):
        assert all(line["metric"].get(label) for line in found), label
    assert len({json.dumps(line["metric"], sort_keys=True) for line in found}) == len(found)


@pytest.mark.real
@pytest.mark.parametrize("name", dashboards.PANELS)
def test_every_panel_is_drawn_with_its_lines(prometheus, name):
    now = time.time()
    shown = dashboards.dashboard(name)
    page = draw.page(shown, prometheus.url, draw.Span(now - 600, now), "namespace/scaled_object")
    assert page.count("<section") == len(shown["panels"])
    assert "No data" not in page
    for panel in page.split("<section")[1:]:
        assert re.search(r'<path d="M[^"]*L[^"]*" fill="none"', panel), panel[:200]


def test_of_the_fleet_all_can_be_chosen_and_of_the_inputs_one_workload():
    def several(name):
        return [one["multi"] for one in dashboards.dashboard(name)["templating"]["list"] if one["type"] == "query"]

    assert several("fleet") == [True, True]
    assert several("workload") == [False, False]
    assert several("llm-scaler") == []


@pytest.mark.parametrize("name", dashboards.PANELS)
def test_the_files_are_what_the_code_says(name):
    assert json.loads((FOLDER / f"{name}.json").read_text()) == dashboards.dashboard(name), "run `make chart`"


@pytest.mark.parametrize("name", dashboards.PANELS)
def test_nothing_is_asked_on_import(name):
    shown = dashboards.dashboard(name)
    assert "__inputs" not in shown
    assert {json.dumps(panel["datasource"]) for panel in shown["panels"]} == {
        '{"type": "prometheus", "uid": "${datasource}"}'
    }
    assert shown["templating"]["list"][0]["type"] == "datasource"
