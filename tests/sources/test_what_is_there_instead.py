"""Where a name is not found, what is there is named: through Prometheus and read directly."""

import re
from dataclasses import replace

import pytest
from sources.web import Web
from support.prometheus_server import series
from support.timelines import workload

from scaler.config import signals
from scaler.config.endpoint import Endpoint, Page
from scaler.decision.decide import decide
from scaler.decision.state import State
from scaler.model.measurement import Inputs, SignalQuery
from scaler.sources.hints import nearest_first
from scaler.sources.pages.source import ScrapeSource
from scaler.sources.prometheus.source import HINT_FOR, MAX_HINTS, PrometheusSource

START = 1_790_000_000.0
AT = START + 300
WAITING = "vllm:num_requests_waiting"
CASES = {  # name: engine, its page, what is said
    "another model": (
        "vllm",
        [f'{WAITING}{{model_name="llama"}} 3', f'{WAITING}{{model_name="mistral"}} 3'],
        f"{WAITING}: its series have model_name 'llama', 'mistral', and not 'lama'",
    ),
    "a model under another label": (
        "vllm",
        [f'{WAITING}{{model="lama"}} 3'],
        f"{WAITING}: its series have no label model_name (they have",
    ),
    "a router that repeats it": (
        "vllm",
        [f'{WAITING}{{model_name="lama",server="http://a"}} 3'],
        "its series have server 'http://a', and what has that label is of somebody who repeats it",
    ),
    "another engine": (
        "vllm",
        ['sglang:num_queue_reqs{model_name="lama"} 3'],
        "there is nothing of vllm, but sglang:num_queue_reqs, as sglang has them",
    ),
    "another metric of the same engine": (
        "vllm",
        ['vllm:num_requests_running_lately{model_name="lama"} 3', "vllm:odd 1"],
        "of vllm there is vllm:num_requests_running_lately, vllm:odd",
    ),
    "a model that differs in letter case": (
        "vllm",
        [f'{WAITING}{{model_name="LAMA"}} 3', f'{WAITING}{{model_name="lamas"}} 3'],
        f"{WAITING}: its series have model_name 'LAMA', 'lamas', and not 'lama': 'LAMA' differs in letter case alone",
    ),
    "nothing that is known": ("vllm", ["go_goroutines 12"], ""),
}


def namespace_of(case):
    return f"case-{list(CASES).index(case)}"


def query_of(engine, namespace, model="lama"):
    known = {"namespace": namespace, "model": model}
    labels = tuple((label, known[label]) for label in signals.find(engine, "waiting").labels)
    return SignalQuery("default", engine, "waiting", labels)


def lines(namespace, page, **scrape):
    scrape = {"job": "llm", "instance": "llm-0", "pod": "llm-0", "namespace": namespace, **scrape}
    scrape = {label: value for label, value in scrape.items() if value}
    yield from series("up", scrape, "1x20", START)
    for line in page:
        exported, value = line.rsplit(" ", 1)
        name, _, inner = exported.partition("{")
        yield from series(name, {**scrape, **dict(re.findall(r'(\w+)="([^"]*)"', inner))}, f"{value}x20", START)


@pytest.fixture(scope="module")
def server(start_prometheus):
    written = [line for case in CASES for line in lines(namespace_of(case), CASES[case][1])]
    page = [f'{WAITING}{{model_name="lama"}} 3']
    written += lines("without-pods", page, pod="")
    written += lines("lower", FRONTEND)
    written += lines("monitoring", page, exported_namespace="exported")
    written += lines("", page, kubernetes_namespace="renamed")
    written += lines("named", page)
    written += lines("underscores", ['sglang_num_queue_reqs{model_name="lama"} 3'])
    return start_prometheus(written)


def through(server, query):
    source = PrometheusSource(Endpoint("default", server.url, timeout=20))
    reading = source.fetch([query], [AT])[query][0]
    source.close()
    return reading


@pytest.mark.real
@pytest.mark.parametrize("case", CASES)
def test_through_prometheus(case, server):
    engine, _, told = CASES[case]
    reading = through(server, query_of(engine, namespace_of(case)))
    assert reading.value is None
    assert told in reading.found_instead
    assert bool(told) == bool(reading.found_instead)


@pytest.mark.parametrize("case", CASES)
def test_read_directly(case):
    engine, page, told = CASES[case]
    web = Web()
    web.paths = {"/llm": "".join(f"{line}\n" for line in page)}
    listed = Page(web.url("/llm"), {"namespace": namespace_of(case), "pod": "llm-0"})
    source = ScrapeSource(Endpoint("default", pages=(listed,)), lambda: AT)
    query = query_of(engine, namespace_of(case))
    reading = source.fetch([query], [AT])[query][0]
    source.close()
    web.close()
    assert (
        told or "there is nothing of vllm, but go_goroutines"
    ) in reading.found_instead  # a page is all that is there


@pytest.mark.real
def test_what_only_a_scrape_can_lack_is_said(server):
    assert "its series have no label pod (they have" in through(server, query_of("vllm", "without-pods")).found_instead
    exported = through(server, query_of("vllm", "exported")).found_instead
    assert "its series have this namespace as exported_namespace: scrape with honorLabels" in exported
    underscores = through(server, query_of("sglang", "underscores")).found_instead
    assert "writes _ for the colon; set metricNameColons: false" in underscores
    renamed = through(server, query_of("vllm", "renamed")).found_instead
    assert "its series have this namespace as kubernetes_namespace: say in the settings labels" in renamed


NOT_MEANT = f"{WAITING}: its series are of the pods 'llm-0', and the trigger's pods 'other-.*' takes none of them"


@pytest.mark.real
def test_pods_that_the_trigger_does_not_mean_are_named(server):
    query = replace(query_of("vllm", "named", "lama"), pods="other-.*")
    assert through(server, query).found_instead == NOT_MEANT
    web = Web()
    web.paths = {"/llm": f'{WAITING}{{model_name="lama"}} 3\n'}
    page = Page(web.url("/llm"), {"namespace": "named", "pod": "llm-0"})
    source = ScrapeSource(Endpoint("default", pages=(page,)), lambda: AT)
    reading = source.fetch([query], [AT])[query][0]
    source.close()
    web.close()
    assert reading.found_instead == NOT_MEANT


@pytest.mark.real
def test_nothing_of_another_namespace_is_told(server):
    assert through(server, query_of("vllm", "elsewhere")).found_instead == ""


@pytest.mark.real
def test_a_few_are_asked_about_at_a_time_and_what_was_said_stays_for_a_minute(server):
    source = PrometheusSource(Endpoint("default", server.url, timeout=20))
    queries = [query_of("vllm", namespace_of("another model"), f"lama-{number}") for number in range(3 * MAX_HINTS)]
    later = HINT_FOR + 20.0
    for after, told in ((0.0, MAX_HINTS), (5.0, 2 * MAX_HINTS), (10.0, 3 * MAX_HINTS), (later, MAX_HINTS)):
        readings = source.fetch(queries, [AT + after])
        assert sum(bool(readings[query][0].found_instead) for query in queries) == told
    source.close()


@pytest.mark.real
def test_the_answer_says_it(server):
    spec = workload(expression="waiting", target="8", model="lama")
    reading = through(server, query_of("vllm", namespace_of("another model")))
    _, decision = decide(spec, State(), Inputs({"waiting": reading}), AT)
    assert "waiting: no series: vllm:num_requests_waiting: its series have model_name 'llama'" in decision.reason


def test_the_nearest_comes_first_and_never_many():
    assert nearest_first("lama", ["mistral", "llama", "qwen"])[0] == "llama"
    many = nearest_first("x", [f"model-{number}" for number in range(100)])
    assert (len(many), many[-1]) == (6, "95 more")
    assert all(len(name) < 100 for name in nearest_first("x", ["y" * 5000]))


# ---- gateways that write models in lower case --------------------------------------------------------------------------

FRONTEND = [
    'dynamo_frontend_queued_requests{model="qwen/qwen3-0.6b"} 3',
    'dynamo_frontend_queued_requests{model="qwen/qwen3-0.8b"} 50',
]
MODELS = [("Qwen/Qwen3-0.6B", 3.0), ("qwen/qwen3-0.6b", 3.0), ("Qwen/Qwen3-0.8B", 50.0), ("Qwen/Qwen3", None)]


def queued(model):
    return SignalQuery("default", "dynamo", "queued", (("namespace", "lower"), ("model", model)))


@pytest.mark.real
def test_a_gateway_s_lower_case_is_read_through_prometheus(server):
    source = PrometheusSource(Endpoint("default", server.url, timeout=20))
    found = source.fetch([queued(model) for model, _ in MODELS], [AT])
    source.close()
    assert [(model, found[queued(model)][0].value) for model, _ in MODELS] == MODELS


def test_a_gateway_s_lower_case_is_read_directly():
    web = Web()
    web.paths = {"/metrics": "\n".join(FRONTEND) + "\n"}
    page = Page(web.url("/metrics"), {"namespace": "lower"})
    source = ScrapeSource(Endpoint("default", pages=(page,)), lambda: START)
    found = source.fetch([queued(model) for model, _ in MODELS], [START])
    source.close()
    web.close()
    assert [(model, found[queued(model)][0].value) for model, _ in MODELS] == MODELS
