"""What users of engines and gateways have reported in public, as small pages: read directly, and through Prometheus."""

import gzip
import time
from ipaddress import ip_network

import pytest
from sources.web import Web, send
from support.prometheus_server import series

from scaler.config.endpoint import Endpoint, Page
from scaler.model.measurement import Failure, SignalQuery
from scaler.sources.pages.source import ScrapeSource
from scaler.sources.prometheus.source import PrometheusSource

AT = 1_790_000_000.0
WAITING = "vllm:num_requests_waiting"


@pytest.fixture
def web():
    server = Web()
    yield server
    server.close()


def query(engine="vllm", signal="waiting", **labels):
    return SignalQuery("p", engine, signal, (("namespace", "demo"), *(labels or {"model": "m"}).items()))


def directly(web, page, asked):
    """Read one page of one pod."""
    web.paths["/metrics"] = page
    listed = (Page(web.url("/metrics"), {"namespace": "demo", "pod": "a"}),)
    source = ScrapeSource(Endpoint("p", pages=listed, networks=(ip_network("127.0.0.0/8"),)), time.time)
    [reading] = source.fetch([asked], [time.time()])[asked]
    source.close()
    return reading


def test_a_gauge_that_was_counted_down_too_often_lowers_nobody_s_load(web):
    """Aborts that are counted twice leave a gauge below zero; the load of the other pod of it is what it is."""
    page = f'{WAITING}{{model_name="m",engine="0"}} 5\n{WAITING}{{model_name="m",engine="1"}} -3\n'
    found = directly(web, page, query())
    assert (found.value, found.incomplete_reason) == (5.0, "1 of 1 pods say less than 0, which no load can be")


@pytest.mark.real
def test_through_prometheus_it_is_the_same(start_prometheus):
    written = []
    for pod, load in (("a", 5), ("b", -3)):
        scrape = {"namespace": "demo", "pod": pod, "instance": pod, "job": "j"}
        written += series(WAITING, {"model_name": "m", **scrape}, f"{load}x40", AT - 600)
        written += series("up", scrape, "1x40", AT - 600)
    written += series("kserve_" + WAITING, {"model_name": "n", "namespace": "kserve", "pod": "a"}, "1x40", AT - 600)
    source_url = start_prometheus(written).url
    source = PrometheusSource(Endpoint("p", source_url, timeout=20))
    [found] = source.fetch([query()], [AT])[query()]
    assert (found.value, found.incomplete_reason) == (5.0, "1 of 2 pods say less than 0, which no load can be")
    renamed = SignalQuery("p", "vllm", "waiting", (("namespace", "kserve"), ("model", "n")))
    [found] = source.fetch([renamed], [AT])[renamed]
    assert found.found_instead.startswith(
        f"there is kserve_{WAITING}: whoever scrapes it writes kserve_ before its name"
    )
    source.close()
    prefixed = PrometheusSource(Endpoint("p", source_url, timeout=20, metric_name_prefix="kserve_"))
    [found] = prefixed.fetch([renamed], [AT])[renamed]
    prefixed.close()
    assert (found.value, found.answered) == (1.0, 1)


def test_a_prefix_that_an_operator_s_monitor_adds_is_named(web):
    found = directly(web, f'kserve_{WAITING}{{model_name="m"}} 3\n', query())
    assert found.value is None
    assert found.found_instead == (
        f"there is kserve_{WAITING}: whoever scrapes it writes kserve_ before its name; keep {WAITING} too, "
        "or set metricNamePrefix: kserve_ for this endpoint"
    )


def test_another_engine_s_name_that_ends_alike_is_the_other_engine_s(web):
    found = directly(web, f'{WAITING}{{model_name="m"}} 3\n', query("nim"))
    assert "as " in found.found_instead
    assert "vllm" in found.found_instead
    assert "whoever scrapes" not in found.found_instead


def test_a_proxy_that_writes_underscores_for_colons_is_understood(web):
    page = "".join(f'sglang_num_queue_reqs{{model_name="m",worker_addr="grpc://{one}"}} {one}\n' for one in (3, 4))
    assert directly(web, page, query("sglang")).value == 7.0


def test_where_both_spellings_are_there_one_counts(web):
    page = f'{WAITING}{{model_name="m"}} 3\nvllm_num_requests_waiting{{model_name="m"}} 3\n'
    assert directly(web, page, query()).value == 3.0


def test_an_engine_that_keeps_no_statistics_is_told_from_one_that_is_idle(web):
    page = 'python_gc_objects_collected_total{generation="0"} 9178\nprocess_virtual_memory_bytes 3\n'
    found = directly(web, page, query())
    assert found.value is None
    assert "nothing of vllm" in found.found_instead
    assert "python_gc_objects_collected_total" in found.found_instead


@pytest.mark.parametrize(
    ("body", "kind"),
    [("<!doctype html><html><body>login</body></html>", "HTML"), ('[{"iter": 1, "numActiveRequests": 3}]', "JSON"), ('{"detail":"Not Found"}', "JSON"),
     ("\n\x14vllm:num_requests_waiting\x12\0", "bytes that are no text, such as Prometheus' protobuf"),
     (lambda handler: send(handler, gzip.compress(b"x 1\n")), "gzip that its headers do not tell of")],
)  # fmt: skip
def test_what_is_no_page_of_metrics_is_no_page_without_load(web, body, kind):
    found = directly(web, body, query())
    assert isinstance(found, Failure)
    assert f"answers with {kind}, which is no page of metrics: is it another port or path?" in found.reason
