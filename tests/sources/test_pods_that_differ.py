"""Pods of one workload whose pages differ: what each lacks or has besides is the same for Prometheus and read directly."""

import re
from dataclasses import replace
from ipaddress import ip_network

import pytest
from sources.web import Web
from support.prometheus_server import series, values_of

from scaler.config import signals
from scaler.config.endpoint import Endpoint, PodPages
from scaler.config.metrics import BY_POD
from scaler.model.measurement import PodAddress, SignalQuery, TargetPods
from scaler.sources.pages.source import ScrapeSource
from scaler.sources.prometheus.source import PrometheusSource

START = 1_790_000_000.0
AT = START + 600
SGLANG = 'model_name="m",dp_rank="0",tp_rank="{}"'
CASES = {  # name: engine, signal, the page of each pod, the value, the pods behind it
    "a replica of TGI before its first request": (
        *("tgi", "running"),
        {
            "fresh": ["tgi_batch_max_total_tokens 16000x40"],
            "busy": ["tgi_queue_size 0x40", "tgi_batch_current_size 2x40"],
        },
        *(2, 2),
    ),
    "a fleet of TGI without traffic": (
        *("tgi", "waiting"),
        {"a": ["tgi_batch_max_total_tokens 16000x40"], "b": ["tgi_request_count 0x40"]},
        *(0, 2),
    ),
    "a rate of TGI before its first request": (
        *("tgi", "requests_per_second"),
        {"fresh": ["tgi_batch_max_total_tokens 1x40"], "busy": ["tgi_request_success 0+30x40"]},
        *(2, 2),
    ),
    "a page that is not TGI's": (
        *("tgi", "running"),
        {"tgi": ["tgi_batch_current_size 2x40"], "other": ["vllm:num_requests_running 9x40"]},
        *(2, 1),
    ),
    "a decode pool of SGLang": (
        *("sglang", "waiting"),
        {
            "decode": [
                f"sglang:num_queue_reqs{{{SGLANG.format(0)}}} 0x40",
                f"sglang:num_decode_prealloc_queue_reqs{{{SGLANG.format(0)}}} 40x40",
                f"sglang:num_decode_prealloc_queue_reqs{{{SGLANG.format(1)}}} 40x40",
                f"sglang:num_decode_transfer_queue_reqs{{{SGLANG.format(0)}}} 3x40",
            ],
            "unified": [f"sglang:num_queue_reqs{{{SGLANG.format(0)}}} 5x40"],
        },
        *(48, 2),
    ),
    "a prefill pool of SGLang, of an older release": (
        *("sglang", "waiting"),
        {
            "prefill": [
                f"sglang:num_queue_reqs{{{SGLANG.format(0)}}} 1x40",
                f"sglang:num_prefill_prealloc_queue_reqs{{{SGLANG.format(0)}}} 2x40",
                f"sglang:num_grammar_queue_reqs{{{SGLANG.format(0)}}} 4x40",
            ],
        },
        *(7, 1),
    ),
    "SGLang's tokens before its first request": (
        *("sglang", "generation_tokens_per_second"),
        {"fresh": [f"sglang:num_running_reqs{{{SGLANG.format(0)}}} 0x40"]},
        *(0, 1),
    ),
    "Triton without the vLLM backend": (
        *("triton", "generation_tokens_per_second"),
        {"onnx": ['nv_inference_pending_request_count{model="m",version="1"} 0x40']},
        *(0, 1),
    ),
    "Triton with the vLLM backend": (
        *("triton", "generation_tokens_per_second"),
        {
            "vllm": [
                'nv_inference_pending_request_count{model="m",version="1"} 0x40',
                'vllm:generation_tokens_total{model="m",version="1"} 0+450x40',
            ]
        },
        *(30, 1),
    ),
    "TensorRT-LLM that names its model, one that does not yet, and another model": (
        *("trtllm-serve", "running"),
        {
            "new": ['trtllm_num_requests_running{model_name="m"} 3x40'],
            "old": ['trtllm_num_requests_running{model_name="undefined"} 4x40'],
            "other": ['trtllm_num_requests_running{model_name="n"} 50x40'],
        },
        *(7, 2),
    ),
    "vLLM that refuses, and an older one that cannot": (
        *("vllm", "refused"),
        {
            "new": ['vllm:admission_rejections_total{model_name="m",reason="max_num_queued_reqs"} 0+30x40'],
            "old": ['vllm:num_requests_running{model_name="m"} 1x40'],
        },
        *(2, 2),
    ),
}


def query_of(engine, signal, namespace, pods=()):
    found = signals.find(engine, signal)
    known = {"namespace": namespace, "model": "m"}
    labels = tuple((label, known[label]) for label in found.labels)
    own = TargetPods(frozenset(pods), frozenset(), addresses=frozenset(places(namespace, pods))) if pods else None
    return SignalQuery("default", engine, signal, labels, window=found.window, target_pods=own)


def places(namespace, pods):
    return [PodAddress(namespace, pod, "127.0.0.1", (("path", f"/{namespace}/{pod}"),)) for pod in pods]


def namespace_of(case):
    return f"case-{list(CASES).index(case)}"


def lines(case):
    for pod, page in CASES[case][2].items():
        scrape = {"job": "llm", "instance": pod, "pod": pod, "namespace": namespace_of(case)}
        yield from series("up", scrape, "1x40", START)
        for line in page:
            exported, values = line.rsplit(" ", 1)
            name, _, inner = exported.partition("{")
            yield from series(name, {**scrape, **dict(re.findall(r'(\w+)="([^"]*)"', inner))}, values, START)


@pytest.fixture(scope="module")
def prometheus(start_prometheus):
    server = start_prometheus([line for case in CASES for line in lines(case)])
    return PrometheusSource(Endpoint("default", server.url, timeout=20))


@pytest.mark.real
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("known", [False, True], ids=["by labels", "by pods"])
def test_through_prometheus(case, known, prometheus):
    engine, signal, pages, value, answered = CASES[case]
    query = query_of(engine, signal, namespace_of(case), pages if known else ())
    reading = prometheus.fetch([query], [AT])[query][0]
    assert (reading.value, reading.answered, reading.incomplete_reason) == (pytest.approx(value), answered, "")
    assert whole(reading) == (pytest.approx(value) if known and signal in BY_POD else None)


@pytest.mark.parametrize("case", CASES)
def test_read_directly(case):
    engine, signal, pages, value, answered = CASES[case]
    query, web, now = query_of(engine, signal, namespace_of(case), pages), Web(), [0.0]
    source = ScrapeSource(
        Endpoint("default", pods=PodPages(web.port), networks=(ip_network("127.0.0.0/8"),)), lambda: now[0]
    )
    for step in range(20, 41, 4):
        now[0] = START + 15.0 * step
        for place in query.target_pods.addresses:
            web.paths[f"/{namespace_of(case)}/{place.name}"] = page_at(pages[place.name], step)
        reading = source.fetch([query], now)[query][0]
    source.close()
    web.close()
    assert (reading.value, reading.answered, reading.incomplete_reason) == (pytest.approx(value), answered, "")
    assert whole(reading) == (pytest.approx(value) if signal in BY_POD else None)


def whole(reading):
    """What all pods say together, where the reading tells them apart."""
    return sum(value for _, value in reading.by_pod) if reading.by_pod else None


def page_at(page, step):
    return "".join(
        f"{exported} {values_of(values)[step]}\n" for exported, values in (line.rsplit(" ", 1) for line in page)
    )


def test_a_replica_that_is_idle_is_one_that_answered():
    """Otherwise a fresh replica would forbid every fall until it has had a request."""
    engine, signal, pages, *_ = CASES["a replica of TGI before its first request"]
    query = query_of(engine, signal, "team", pages)
    query = replace(query, target_pods=replace(query.target_pods, ready=frozenset(pages)))
    web = Web()
    web.paths = {f"/team/{pod}": page_at(page, 0) for pod, page in pages.items()}
    source = ScrapeSource(
        Endpoint("default", pods=PodPages(web.port), networks=(ip_network("127.0.0.0/8"),)), lambda: START
    )
    reading = source.fetch([query], [START])[query][0]
    source.close()
    web.close()
    assert (reading.value, reading.answered, reading.expected, reading.incomplete_reason) == (2.0, 2, 2, "")
