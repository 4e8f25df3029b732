"""Counters that a histogram keeps, where a real Prometheus 3 stores that natively, and names all of dots.

Run by `make test-oracles ORACLES=natively`. Needs Go where the laboratory's programs are not built.
"""

import time
from types import SimpleNamespace

import pytest
from oracles.otlp import Receiver, classic, gauge, moments, native

from scaler.config import signals
from scaler.config.settings import read_settings
from scaler.model.measurement import PromqlQuery, SignalQuery, TargetPods
from scaler.sources.prometheus.source import PrometheusSource

pytestmark = pytest.mark.timeout(1200)  # the first run builds

TOKENS = "tgi_request_generated_tokens"
BOUNDS = [0.1, 0.2, 1.0]
STRATEGIES = {  # how a pipeline translates names -> whether dots stay, and whether units are written
    "UnderscoreEscapingWithSuffixes": (False, True),
    "UnderscoreEscapingWithoutSuffixes": (False, False),
    "NoUTF8EscapingWithSuffixes": (True, True),
    "NoTranslation": (True, False),
}


def each(name, count, at, kind, **labels):
    """A histogram whose count grows by `count` from one time to the next, and its sum by as much (or by 1)."""
    if kind == "native":
        return native(name, 0, count, at, **labels)
    return classic(name, BOUNDS, [0, count, 0, 0], at, **labels)


@pytest.fixture(scope="module", params=STRATEGIES)
def world(request, tmp_path_factory):
    """A server with metrics of several namespaces in it, and a source that reads it."""
    dots, units = STRATEGIES[request.param]
    receiver = Receiver(tmp_path_factory.mktemp("prometheus3"), request.param)
    receiver.start()
    at, before, after = moments(21), moments(12, until=75), moments(5)
    there = gauge("tgi_queue_size", 1.0, at)
    receiver.send("native", "a", [there, each(TOKENS, 150, at, "native")])
    receiver.send("native", "b", [there, each(TOKENS, 150, at, "native")])
    receiver.send("both", "a", [there, each(TOKENS, 15, at, "native"), each(TOKENS, 15, at, "classic")])
    receiver.send("mixed", "a", [there, each(TOKENS, 150, at, "native")])
    receiver.send("mixed", "b", [there, each(TOKENS, 15, at, "classic")])
    receiver.send("changing", "a", [each(TOKENS, 15, before, "classic")])
    receiver.send("changing", "a", [gauge("tgi_queue_size", 1.0, after), each(TOKENS, 150, after, "native")])
    receiver.send("fresh", "a", [there])
    for kind in ("native", "classic"):
        usage = [each("gen_ai.client.token.usage", 30, at, kind, **used(word)) for word in ("input", "output")]
        took = each("gen_ai.client.operation.duration", 15, at, kind, **used("input")) | {"unit": "s"}
        receiver.send(f"gateway-{kind}", "g", [*usage, took])
    receiver.send("knative", "activator", [gauge("kn.revision.request.queued", 4.0, at, **{"kn.revision.name": "r-1"})])
    labels = {"namespace": "k8s.namespace.name", "pod": "k8s.pod.name"} if dots else {}
    labels = labels or {"namespace": "k8s_namespace_name", "pod": "k8s_pod_name"}
    settings = {"endpoints": {"default": {"url": receiver.url, "timeout": "4s", "labels": labels}}}
    source = PrometheusSource(read_settings(settings, "s.yaml", {}, {}).endpoints["default"])
    unit = "_seconds" if units else ""
    yield SimpleNamespace(source=source, dots=dots, unit=unit, namespace=labels["namespace"])
    source.close()
    receiver.kill()


def used(kind):
    return {"gen_ai.request.model": "m", "gen_ai.token.type": kind}


def query(engine, signal, namespace, pods=(), **labels):
    found = signals.find(engine, signal)
    own = TargetPods(frozenset(pods), frozenset(pods)) if pods else None
    pairs = (("namespace", namespace), *labels.items())
    return SignalQuery("default", engine, signal, pairs, window=found.window, quantile=found.quantile, target_pods=own)


def reading(world, asked):
    return world.source.fetch([asked], [time.time()])[asked][0]


def tokens(world, namespace, pods=()):
    return reading(world, query("tgi", "generation_tokens_per_second", namespace, pods))


@pytest.mark.parametrize("by_pod", [False, True], ids=["by labels", "by pods"])
def test_a_counter_of_a_native_histogram_is_its_sum(world, by_pod):
    found = tokens(world, "native", "ab" if by_pod else ())
    assert (found.value, found.answered, found.incomplete_reason) == (pytest.approx(20.0, rel=0.1), 2, "")


@pytest.mark.parametrize("by_pod", [False, True], ids=["by labels", "by pods"])
def test_where_both_kinds_are_stored_it_counts_once(world, by_pod):
    found = tokens(world, "both", "a" if by_pod else ())
    assert (found.value, found.answered, found.incomplete_reason) == (pytest.approx(1.0, rel=0.1), 1, "")


@pytest.mark.parametrize("by_pod", [False, True], ids=["by labels", "by pods"])
def test_pods_of_either_kind_add_up(world, by_pod):
    found = tokens(world, "mixed", "ab" if by_pod else ())
    assert (found.value, found.answered, found.incomplete_reason) == (pytest.approx(10.0 + 1 / 15, rel=0.1), 2, "")


@pytest.mark.parametrize("by_pod", [False, True], ids=["by labels", "by pods"])
def test_a_change_in_the_middle_of_the_window_is_not_certain(world, by_pod):
    found = tokens(world, "changing", "a" if by_pod else ())
    told = "1 of 1 pods changed from one kind of histogram to the other within its window, so not all that was counted is in it"
    assert (found.answered, found.incomplete_reason) == (1, told)


def test_a_pod_that_made_no_histogram_yet_is_idle(world):
    found = tokens(world, "fresh")
    assert (found.value, found.answered, found.incomplete_reason) == (0.0, 1, "")


def test_several_times_are_read_likewise(world):
    asked = query("tgi", "generation_tokens_per_second", "native", "ab")
    now = time.time()
    past = world.source.fetch([asked], [now - 30, now - 15, now])[asked]
    assert [one.value for one in past] == [pytest.approx(20.0, rel=0.2)] * 3


@pytest.mark.parametrize("kind", ["native", "classic"])
@pytest.mark.parametrize(("engine", "signal", "value"), [
    ("envoy-ai-gateway", "prompt_tokens_per_second", None),
    ("gen-ai", "generation_tokens_per_second", None),
    ("gen-ai", "requests_per_second", 1.0),
])  # fmt: skip
def test_names_of_open_telemetry_are_read_as_a_pipeline_spells_them(world, kind, engine, signal, value):
    found = reading(world, query(engine, signal, f"gateway-{kind}", model="m"))
    grows = 30 / 15 if kind == "native" else 1 / 15  # of the classic one the sum grows by 1 each time
    assert found.value == pytest.approx(grows if value is None else value, rel=0.1)
    assert (found.answered, found.incomplete_reason, found.shown) == (1, "", True)


@pytest.mark.parametrize("kind", ["native", "classic"])
def test_so_are_their_quantiles(world, kind):
    found = reading(world, query("gen-ai", "end_to_end_latency", f"gateway-{kind}", model="m"))
    assert found.value == pytest.approx(1.1 if kind == "native" else 0.2, rel=0.1)


def test_a_model_that_is_not_there_is_named_beside_those_that_are(world):
    found = reading(world, query("gen-ai", "requests_per_second", "gateway-classic", model="n"))
    assert found.value is None
    assert "'m', and not 'n'" in found.found_instead


def test_the_activator_s_queue_wakes_whatever_its_names_look_like(world):
    found = reading(world, query("knative", "queued", "knative", route="r-1"))
    assert (found.value, found.shown) == (4.0, True)


def test_a_user_s_own_query_may_quote_its_names(world):
    if not world.dots:
        pytest.skip("there are none with dots")
    series = f'{{"gen_ai.client.operation.duration{world.unit}_count","{world.namespace}"="gateway-classic"}}'
    found = reading(world, PromqlQuery("default", f'sum by ("gen_ai.request.model") ({series})'))
    assert found.value == 300.0
