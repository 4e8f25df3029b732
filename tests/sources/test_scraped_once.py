"""A page that was scraped once has no rate yet: what it counts is not 0, through Prometheus as on the pages themselves."""

from dataclasses import replace

import pytest
from support.prometheus_server import series

from scaler.config.endpoint import Endpoint
from scaler.config.signals import find
from scaler.model.measurement import SignalQuery, TargetPods
from scaler.sources.prometheus.source import PrometheusSource

START = 1_790_000_000.0
AT = START + 600
OWN = TargetPods(frozenset("ab"), frozenset("ab"))
ONCE = (
    "{} of {} pods were not scraped twice within its window, so their rate is not known; scrape oftener, or set a longer "
    "window"
)


def asked(engine, signal, **labels):
    found = find(engine, signal)
    told = (("namespace", "demo"), *labels.items())
    return SignalQuery("p", engine, signal, told, window=found.window, quantile=found.quantile)


def scraped(world, pod, name, values, interval=15.0, up=None, **labels):
    target = {"world": world, "job": "j", "instance": f"{pod}:1", "namespace": "demo", "pod": pod}
    return [
        *series("up", target, up or f"1x{600 / interval:.0f}", START, interval),
        *series(name, {**target, **labels}, values, START, interval),
    ]


TOKENS, ARRIVALS = (
    asked("vllm", "generation_tokens_per_second", model="m"),
    asked("smg", "arrivals_per_second", model="m"),
)
LATENCY = asked("vllm", "time_to_first_token", model="m")
NAME, COUNT = "vllm:generation_tokens_total", "vllm:time_to_first_token_seconds_count"
SERVED = {"model_name": "m", "engine": "0"}
WORLDS = {  # what is asked, what is stored, the value, and how many pods of how many were scraped once
    "a-new-pod": (
        TOKENS,
        [*scraped("a-new-pod", "a", NAME, "0+150x40", **SERVED), *scraped("a-new-pod", "b", NAME, "_x40 9000", **SERVED)],
        10,
        (1, 2),
    ),
    "a-scrape-of-five-minutes": (
        TOKENS,
        scraped("a-scrape-of-five-minutes", "a", NAME, "0+3000x2", 300, **SERVED),
        None,
        (1, 1),
    ),
    "a-scrape-of-five-minutes-long-ago": (
        ARRIVALS,
        scraped("a-scrape-of-five-minutes-long-ago", "a", "smg_router_requests_total", "0+3000x1 _", 300, model="m"),
        None,
        (1, 1),
    ),
    "a-scrape-of-a-minute": (TOKENS, scraped("a-scrape-of-a-minute", "a", NAME, "0+600x10", 60, **SERVED), 10, None),
    "refusals-at-a-scrape-of-a-minute": (
        asked("smg", "refused"),
        scraped("refusals-at-a-scrape-of-a-minute", "a", "smg_router_requests_total", "0+60x9 _", 60, model="other"),
        1,
        None,
    ),
    "a-new-gateway": (
        ARRIVALS,
        scraped("a-new-gateway", "a", "smg_router_requests_total", "_x40 50", up="_x40 1", model="m"),
        None,
        (1, 1),
    ),
    "a-series-that-is-new-on-a-page-that-is-not": (
        ARRIVALS,
        [
            *scraped("a-series-that-is-new-on-a-page-that-is-not", "a", "smg_router_requests_total", "0+15x40", model="m"),
            *scraped("a-series-that-is-new-on-a-page-that-is-not", "a", "smg_router_requests_total", "_x40 1", model="m", code="2"),
        ],
        1 + 1 / 60,
        None,
    ),
    "a-latency": (LATENCY, scraped("a-latency", "a", COUNT, "_x40 9", **SERVED), None, (1, 1)),
}  # fmt: skip


@pytest.fixture(scope="module")
def server(start_prometheus):
    return start_prometheus([line for _, stored, *_ in WORLDS.values() for line in dict.fromkeys(stored)])


@pytest.mark.real
@pytest.mark.parametrize("known", [False, True], ids=["", "own-pods"])
@pytest.mark.parametrize("world", WORLDS)
def test_what_was_scraped_once_is_not_certain(world, known, server):
    query, _, value, once = WORLDS[world]
    if known and find(query.engine, query.signal).scope == "target":
        names = OWN if world == "a-new-pod" else TargetPods(frozenset("a"), frozenset("a"))
        query = replace(query, target_pods=names)
    source = PrometheusSource(Endpoint("p", server.url, timeout=20, matchers={"world": world}, stale_after=400))
    [reading] = source.fetch([query], [AT])[query]
    source.close()
    assert (reading.value, reading.incomplete_reason) == (
        value and pytest.approx(value),
        ONCE.format(*once) if once else "",
    )


@pytest.mark.real
@pytest.mark.parametrize("known", [False, True], ids=["", "own-pods"])
def test_a_counter_that_says_nan_has_no_rate_and_is_not_0(known, start_prometheus):
    stored = [*scraped("w", "a", NAME, "0+150x40", **SERVED), *scraped("w", "b", NAME, "nanx40", **SERVED)]
    query = replace(TOKENS, target_pods=OWN) if known else TOKENS
    source = PrometheusSource(Endpoint("p", start_prometheus(stored).url, timeout=20))
    [reading] = source.fetch([query], [AT])[query]
    source.close()
    assert (reading.value, reading.incomplete_reason) == (10 if known else None, "a series says NaN")
