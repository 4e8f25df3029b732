"""Whether a gateway is to be seen where it has no series of a model: the same through Prometheus and read directly."""

import re

import pytest
from sources.web import Web
from support.prometheus_server import series

from scaler.config import signals
from scaler.config.endpoint import Endpoint, Page
from scaler.model.measurement import SignalQuery
from scaler.sources.pages.source import ScrapeSource
from scaler.sources.prometheus.source import PrometheusSource

START = 1_790_000_000.0
AT = START + 300
CASES = {  # name: gateway, signal, its page, the value, whether it is seen
    "an endpoint picker without flow control": (
        *("llm-d", "queued"),
        [
            'llm_d_epp_request_running{model_name="m",target_model_name="m"} 0',
            'llm_d_epp_request_error_total{model_name="m",target_model_name="m"} 12',
            'llm_d_epp_ready_endpoints{name="p"} 0',
        ],
        *(None, False),
    ),
    "one with it, for another model": (
        *("llm-d", "queued"),
        ['llm_d_epp_flow_control_queue_size{model_name="n",target_model_name="n"} 5'],
        *(None, True),
    ),
    "one with it, that nothing has waited in": (
        "llm-d",
        "queued",
        ["llm_d_epp_flow_control_pool_saturation 0"],
        None,
        True,
    ),
    "one without it that says how many run": (
        *("llm-d", "in_flight"),
        ['llm_d_epp_request_running{model_name="m",target_model_name="m"} 0'],
        *(0, False),
    ),
    "a queue of the model": (
        *("llm-d", "queued"),
        ['llm_d_epp_flow_control_queue_size{model_name="m",target_model_name="m"} 5'],
        *(5, True),
    ),
    "a picker that tells of its whole pool": (
        *("inference-extension", "queued"),
        ['inference_extension_flow_control_queue_size{inference_pool="p"} 4'],
        *(4, True),
    ),
    "the same picker, called llm-d": (
        *("llm-d", "queued"),
        ['inference_extension_flow_control_queue_size{inference_pool="p"} 4'],
        *(None, False),
    ),
    "a picker of the extension that tells models apart, called llm-d": (
        *("llm-d", "queued"),
        ['inference_extension_flow_control_queue_bytes{inference_pool="p",target_model_name="n"} 4'],
        *(None, True),
    ),
    "requests on their way, which the extension has by another name": (
        *("llm-d", "in_flight"),
        ['inference_extension_flow_control_queue_bytes{inference_pool="p",target_model_name="n"} 4'],
        *(None, False),
    ),
    "the queue of session boost": (
        "kthena",
        "queued",
        ['kthena_router_session_boost_queue_size{model="m"} 2'],
        2,
        True,
    ),
    "a frontend whose model is gone": (
        *("dynamo", "queued"),
        ['dynamo_frontend_inflight_requests{model="unknown_model"} 3'],
        *(None, True),
    ),
    "a page of something else": ("kthena", "queued", ["go_goroutines 12"], None, False),
    "a router before its first request": ("kthena", "in_flight", ["kthena_router_active_requests 0"], None, True),
    "an activator, which writes the namespace itself": (
        *("knative", "queued"),
        ['kn_revision_request_queued{k8s_namespace_name="another",kn_revision_name="r"} 1'],
        *(None, True),
    ),
}


def down_beside_another():
    """Two pickers of a namespace: the one of model n answers, that of m has been silent for four minutes."""
    for model, up, queue in (("n", "1x20", "0x20"), ("m", "1x3 0x16", "7x3")):
        scrape = {"job": "gateway", "instance": model, "pod": model, "namespace": "down"}
        yield from series("up", scrape, up, START)
        yield from series(
            "llm_d_epp_flow_control_queue_size", {**scrape, "target_model_name": model}, queue, START - 240
        )


def namespace_of(case):
    return f"case-{list(CASES).index(case)}"


def query_of(case):
    gateway, signal, *_ = CASES[case]
    known = {"namespace": namespace_of(case), "model": "m", "route": "mine"}
    found = signals.find(gateway, signal)
    return SignalQuery("default", gateway, signal, tuple((label, known[label]) for label in found.labels))


def lines(case):
    scrape = {"job": "gateway", "instance": "fe", "pod": "fe", "namespace": namespace_of(case)}
    yield from series("up", scrape, "1x20", START)
    for line in CASES[case][2]:
        exported, value = line.rsplit(" ", 1)
        name, _, inner = exported.partition("{")
        yield from series(name, {**scrape, **dict(re.findall(r'(\w+)="([^"]*)"', inner))}, f"{value}x20", START)


@pytest.fixture(scope="module")
def prometheus(start_prometheus):
    server = start_prometheus([line for case in CASES for line in lines(case)] + list(down_beside_another()))
    return PrometheusSource(Endpoint("default", server.url, timeout=20))


@pytest.mark.real
@pytest.mark.parametrize("case", CASES)
def test_through_prometheus(case, prometheus):
    reading = prometheus.fetch([query_of(case)], [AT])[query_of(case)][0]
    assert (reading.value, reading.shown) == CASES[case][3:]


@pytest.mark.parametrize("case", CASES)
def test_read_directly(case):
    web = Web()
    web.paths = {"/fe": "".join(f"{line}\n" for line in CASES[case][2])}
    page = Page(web.url("/fe"), {"namespace": namespace_of(case), "pod": "fe"})
    source = ScrapeSource(Endpoint("default", pages=(page,)), lambda: AT)
    reading = source.fetch([query_of(case)], [AT])[query_of(case)][0]
    source.close()
    web.close()
    assert (reading.value, reading.shown) == CASES[case][3:]


@pytest.mark.real
def test_a_gateway_of_another_namespace_is_not_this_one(prometheus):
    query = SignalQuery("default", "llm-d", "queued", (("namespace", "elsewhere"), ("model", "m")))
    assert prometheus.fetch([query], [AT])[query][0].shown is False


@pytest.mark.real
def test_a_gateway_that_is_silent_for_long_has_no_empty_queue_because_another_is_seen(prometheus):
    query = SignalQuery("default", "llm-d", "queued", (("namespace", "down"), ("model", "m")))
    [reading] = prometheus.fetch([query], [AT])[query]
    assert (reading.value, reading.shown, reading.incomplete_reason) == (None, True, "1 of 1 pods cannot be scraped")
