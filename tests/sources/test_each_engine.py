"""What is each engine's of a pod that has several: through a real Prometheus, and on the pages themselves."""

from dataclasses import replace

import pytest
from support.prometheus_server import series

from scaler.config.endpoint import Endpoint, Page
from scaler.config.signals import find
from scaler.model.measurement import SignalQuery, TargetPods
from scaler.sources.pages.aggregate import measure
from scaler.sources.pages.exposition import scan
from scaler.sources.pages.pods import PageResult
from scaler.sources.prometheus.source import PrometheusSource

START = 1_790_000_000.0
AT = START + 600  # 41 samples, one each 15 s
OWN = TargetPods(frozenset("abcd"), frozenset("abcd"))
RUNNING = {  # by pod and port: what each rank runs
    ("a", 8000): {"0": 3, "1": 4},
    ("b", 8000): {"0": 5},
    ("b", 8001): {"0": 6},
    ("c", 8000): {"0": 7},
    ("d", 8000): {"0": 1, "1": 0},
}
EXPECTED = (
    ("a at a:8000, engine 0", 3.0),
    ("a at a:8000, engine 1", 4.0),
    ("b at b:8000, engine 0", 5.0),
    ("b at b:8001, engine 0", 6.0),
    ("d at d:8000, engine 0", 1.0),
    ("d at d:8000, engine 1", 0.0),
)
OF_PODS = (("a", 7.0), ("b", 11.0), ("c", 7.0), ("d", 1.0))


def query(engine, signal):
    labels = (("namespace", "demo"), ("model", "m"))
    return SignalQuery("p", engine, signal, labels, window=find(engine, signal).window, target_pods=OWN)


QUERIES = {
    "vllm:num_requests_running": query("vllm", "running"),
    "vllm:generation_tokens_total": query("vllm", "generation_tokens_per_second"),
}


@pytest.fixture(scope="module")
def server(start_prometheus):
    written = []
    for (pod, port), ranks in RUNNING.items():
        for job in ("llm", "again"):  # scraped twice
            target = {"job": job, "instance": f"{pod}:{port}", "namespace": "demo", "pod": pod}
            written += series("up", target, "1x40", START)
            for rank, value in ranks.items():
                labels = {**target, "model_name": "m", "engine": rank}
                written += series("vllm:num_requests_running", labels, f"{value}x40", START)
                written += series("vllm:generation_tokens_total", labels, f"0+{value * 15}x40", START)
    return start_prometheus(written)


@pytest.mark.real
@pytest.mark.parametrize("name", QUERIES)
def test_through_prometheus(name, server):
    source = PrometheusSource(Endpoint("p", server.url, timeout=20))
    others = replace(QUERIES[name], target_pods=TargetPods(frozenset("c"), frozenset("c")))
    found = source.fetch([QUERIES[name], others], [AT])
    source.close()
    [reading], [single] = found[QUERIES[name]], found[others]
    assert [engine for engine, _ in reading.by_engine] == [engine for engine, _ in EXPECTED]
    assert dict(reading.by_engine) == pytest.approx(dict(EXPECTED))
    assert dict(reading.by_pod) == pytest.approx(dict(OF_PODS))
    assert (reading.value, reading.incomplete_reason) == (pytest.approx(26), "")
    assert (dict(single.by_pod), single.by_engine) == ({"c": pytest.approx(7)}, ())


@pytest.mark.parametrize("name", QUERIES)
def test_on_the_pages_themselves(name):
    visits = []
    for (pod, port), ranks in RUNNING.items():
        lines = (f'{name}{{model_name="m",engine="{rank}"}} {value}' for rank, value in ranks.items())
        samples = scan("\n".join(lines).encode(), {name})
        rates = {sample.key: sample.value for sample in samples}
        page = Page(f"http://{pod}:{port}/metrics", {"namespace": "demo", "pod": pod})
        visits.append(PageResult(page, {name: samples}, lambda _window, rates=rates: rates))
    reading = measure([QUERIES[name]], visits, Endpoint("p").dialect, AT, AT, "p")[QUERIES[name]]
    assert (reading.by_engine, reading.by_pod) == (EXPECTED, OF_PODS)


def test_of_an_engine_that_does_not_count_by_rank_the_page_is_told():
    name = "sglang:generation_tokens_total"
    samples = scan(
        f'{name}{{model_name="m",priority="x"}} 9\n{name}{{model_name="m",priority="y"}} 2\n'.encode(), {name}
    )
    rates = {sample.key: sample.value for sample in samples}
    visits = [
        PageResult(
            Page(f"http://a:{port}/metrics", {"namespace": "demo", "pod": "a"}), {name: samples}, lambda _w: rates
        )
        for port in (1, 2)
    ]
    asked = query("sglang", "generation_tokens_per_second")
    reading = measure([asked], visits, Endpoint("p").dialect, AT, AT, "p")[asked]
    assert reading.by_engine == (("a at a:1", 11.0), ("a at a:2", 11.0))
