"""A real Prometheus 3, and what only that stores: names as OpenTelemetry writes them, and native histograms.

Run by `make test-oracles`. Needs Go where the laboratory's programs are not built.
"""

import time

import pytest
from oracles.otlp import Receiver, classic, counter, gauge, moments, native

from scaler.config import signals
from scaler.config.settings import read_settings
from scaler.model.measurement import PromqlQuery, Reading, SignalQuery, TargetPods
from scaler.sources.prometheus.source import PrometheusSource

pytestmark = pytest.mark.timeout(1200)  # the first run builds

TTFT = "vllm.time_to_first_token_seconds"
BOUNDS = [0.1, 0.2, 1.0]
WRITTEN = {  # how a pipeline translates names -> what the settings say of the endpoint
    "NoUTF8EscapingWithSuffixes": {
        "labels": {"namespace": "k8s.namespace.name", "pod": "k8s.pod.name"},
        "metricNameColons": "dots",
    },
    "UnderscoreEscapingWithSuffixes": {
        "labels": {"namespace": "k8s_namespace_name", "pod": "k8s_pod_name"},
        "metricNameColons": False,
    },
}


@pytest.fixture(scope="module", params=WRITTEN)
def server(request, tmp_path_factory):
    """A server with the metrics of several namespaces in it, and a source that reads it."""
    receiver = Receiver(tmp_path_factory.mktemp("prometheus3"), request.param)
    receiver.start()
    at = moments(21)
    for pod, running in (("a", 3.0), ("b", 4.0)):
        load = [gauge("vllm.num_requests_running", running, at, model_name="m", engine="0")]
        receiver.send("demo", pod, [*load, counter("vllm.generation_tokens", 150.0, at, model_name="m", engine="0")])
    slow = classic(TTFT, BOUNDS, [0, 10, 0, 0], at, model_name="m")
    receiver.send("classic", "a", [slow])
    receiver.send("native", "a", [native(TTFT, 0, 10, at, model_name="m")])
    receiver.send("native", "b", [native(TTFT, 0, 10, at, model_name="m")])
    receiver.send("both", "a", [slow, native(TTFT, 0, 10, at, model_name="m")])
    receiver.send("mixed", "a", [slow])
    receiver.send("mixed", "b", [native(TTFT, 0, 10, at, model_name="m")])
    odd = [
        native(name, 0, 10, at, model_name="m") for name in ("vllm.num_requests_running", "vllm.num_requests_waiting")
    ]
    receiver.send("stranger", "x", odd)
    before, after = moments(12, until=150), moments(10)
    receiver.send("changing", "a", [classic(TTFT, BOUNDS, [0, 10, 0, 0], before, model_name="m")])
    receiver.send("changing", "a", [native(TTFT, 0, 10, after, model_name="m")])
    settings = {"endpoints": {"default": {"url": receiver.url, "timeout": "4s", **WRITTEN[request.param]}}}
    source = PrometheusSource(read_settings(settings, "s.yaml", {}, {}).endpoints["default"])
    yield source
    source.close()
    receiver.kill()


def query(signal, namespace, pods=(), model="m", **more):
    found = signals.find("vllm", signal)
    own = TargetPods(frozenset(pods), frozenset(pods)) if pods else None
    labels = (("namespace", namespace), ("model", model))
    quantile = None if "at_most" in more else found.quantile
    return SignalQuery(
        "default", "vllm", signal, labels, window=found.window, quantile=quantile, target_pods=own, **more
    )


def reading(source, asked):
    return source.fetch([asked], [time.time()])[asked][0]


@pytest.mark.parametrize("pods", [(), ("a", "b")], ids=["by labels", "by pods"])
@pytest.mark.parametrize(("signal", "value"), [("running", 7.0), ("generation_tokens_per_second", 20.0)])
def test_names_as_open_telemetry_writes_them(signal, value, pods, server):
    found = reading(server, query(signal, "demo", pods))
    assert (found.value, found.answered, found.incomplete_reason) == (pytest.approx(value, rel=0.1), 2, "")


@pytest.mark.parametrize("pods", [False, True], ids=["by labels", "by pods"])
@pytest.mark.parametrize(
    ("namespace", "names", "low", "high"),
    [("classic", "a", 0.19, 0.2), ("native", "ab", 1.0, 1.1), ("both", "a", 0.19, 0.2)],
)
def test_a_histogram_is_read_as_it_is_stored(namespace, names, low, high, pods, server):
    found = reading(server, query("time_to_first_token", namespace, names if pods else ()))
    assert low < found.value <= high
    assert (found.answered, found.incomplete_reason) == (len(names), "")


def test_where_some_pods_are_stored_so_and_some_otherwise_nothing_is_certain(server):
    found = reading(server, query("time_to_first_token", "mixed"))
    assert 0.19 < found.value <= 0.2
    assert found.incomplete_reason == "1 of 2 pods have native histograms alone, which are not in it"


def test_a_histogram_that_changes_in_the_middle_of_its_window_is_not_certain(server):
    found = reading(server, query("time_to_first_token", "changing"))
    assert isinstance(found, Reading)
    assert found.value is None or found.incomplete_reason


def test_a_share_is_not_known_of_native_histograms(server):
    assert reading(server, query("time_to_first_token", "classic", at_most=0.2)).value == pytest.approx(1.0)
    found = reading(server, query("time_to_first_token", "native", at_most=0.2))
    assert found.value is None
    assert found.incomplete_reason == "2 of 2 pods have native histograms alone, which are not in it"


def test_a_stranger_s_histogram_under_an_engine_s_name_is_the_stranger_s_affair(server):
    asked = {name: query("running", name) for name in ("demo", "stranger")}
    found = server.fetch(list(asked.values()), [time.time()])
    assert (found[asked["demo"]][0].value, found[asked["demo"]][0].incomplete_reason) == (7.0, "")
    assert found[asked["stranger"]][0].value is None
    past = server.fetch(list(asked.values()), [time.time() - 60, time.time()])
    assert [one.value for one in past[asked["demo"]]] == [7.0, 7.0]


def test_a_query_that_gives_a_histogram_is_told_so(server):
    query = PromqlQuery("default", 'sum({__name__=~"vllm.time_to_first_token_seconds",job="llm"})')
    for found in server.fetch([query], [time.time() - 15, time.time()])[query]:
        assert found.reason.startswith("the query gave a native histogram; make a number of it")
    assert server.fetch([query], [time.time()])[query][0].config_error


def test_what_is_there_instead_is_named_by_the_names_that_there_are(server):
    assert "model_name 'm', and not 'n'" in reading(server, query("running", "demo", model="n")).found_instead
