"""Simulated pages are read by the real source under the catalogue's names."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from scaler.cluster.keda import ScaledObject
from scaler.config.endpoint import Endpoint, Page
from scaler.config.signals import engines
from scaler.model.measurement import SignalQuery
from scaler.sim import pages
from scaler.sim.fleet import Fleet, FleetSpec
from scaler.sim.hardware import hardware
from scaler.sim.trace import ramp
from scaler.sources.pages.aggregate import measure
from scaler.sources.pages.exposition import scan
from scaler.sources.pages.names import wanted
from scaler.sources.pages.pods import PageResult

SCALED = ScaledObject(min_replica_count=0, max_replica_count=7)
MODEL = (("namespace", "demo"), ("model", "llama"))
OBJECT = (("namespace", "demo"), ("hpa", "keda-hpa-llama"))


@pytest.fixture(scope="module")
def seen():
    fleet = Fleet(FleetSpec(hardware("a100-8b-bf16"), startup=1000.0), ready=2)
    fleet.scale(3)
    fleet.play(ramp(0.0, 60.0, first=10.0, last=10.0))
    return fleet.snapshot()


@pytest.fixture(scope="module")
def texts(seen):
    replicas = [pages.vllm(one, "llama") for one in seen.replicas if one.phase == "ready"]
    return [*replicas, pages.gateway({"llama": 5}), pages.kube_state(seen, SCALED, "demo", "llama")]


def test_a_real_parser_reads_them(texts):
    for text in texts:
        assert all(family.type in {"gauge", "counter", "histogram"} for family in text_string_to_metric_families(text))


def test_every_gauge_of_the_catalogue_says_what_the_fleet_says(seen, texts):
    queries = {
        ("vllm", "waiting"): seen.waiting,
        ("vllm", "running"): seen.running,
        ("vllm", "kv_cache_usage"): pytest.approx(sum(one.kv_usage for one in seen.replicas) / 2),
        ("llm-d", "queued"): 5,
        ("kubernetes", "current_replicas"): 3,
        ("kubernetes", "ready_replicas"): 2,
        ("kubernetes", "min_replicas"): 1,
        ("kubernetes", "max_replicas"): 7,
    }
    names = wanted(engines()[engine][signal] for engine, signal in queries)
    visits = []
    for place, text in enumerate(texts):
        samples = {}
        for sample in scan(text.encode(), names):
            samples.setdefault(sample.name, []).append(sample)
        visits.append(PageResult(Page(f"http://127.0.0.1:{place}/metrics"), samples, lambda _window: {}))
    for (engine, signal), expected in queries.items():
        query = SignalQuery("pages", engine, signal, OBJECT if engine == "kubernetes" else MODEL)
        found = measure([query], visits, Endpoint("pages").dialect, 0.0, 0.0, "pages")
        assert found[query].value == expected, signal
    assert seen.running > 0


def test_histograms_count_every_request_that_began(seen, texts):
    counts = [
        sample.value for text in texts for sample in scan(text.encode(), {"vllm:time_to_first_token_seconds_count"})
    ]
    buckets = [
        sample.value
        for text in texts
        for sample in scan(text.encode(), {"vllm:time_to_first_token_seconds_bucket"})
        if sample.labels["le"] == "+Inf"
    ]
    assert counts == buckets
    assert sum(counts) == sum(one.ttft.count for one in seen.replicas) > 0
