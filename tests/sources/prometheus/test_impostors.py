"""Series that call themselves a workload's and are not: on a real Prometheus over samples that pages with honored labels
may leave there. None of them is wrong and certain, and whose they are is said where that can be known."""

import promql_parser
import pytest
from support.prometheus_server import series

from scaler.config import signals
from scaler.config.endpoint import Endpoint
from scaler.config.naming import Naming
from scaler.model.measurement import SignalQuery, TargetPods
from scaler.sources.prometheus.batch_query import group
from scaler.sources.prometheus.source import PrometheusSource

START = 1_790_000_000.0
NOW = START + 300
RED = {"job": "red", "instance": "10.0.9.9:8000", "namespace": "red", "pod": "r-0"}
NOBODYS = {"job": "static", "instance": "10.0.8.8:8000"}
KSM = {"job": "ksm", "instance": "10.0.5.5:8080"}
HPA = {"horizontalpodautoscaler": "keda-hpa-x", "scaletargetref_kind": "Deployment"}


def honest(namespace, pod=0):
    return {"job": "llm", "instance": f"10.0.0.{pod}:8000", "namespace": namespace, "pod": f"d-{pod}"}


def line(name, labels, value):
    values = " ".join(str(value) for _ in range(21)) if value in {"+Inf", "-Inf", "NaN"} else f"{value}x20"
    return series(name, labels, values, START)


def load(labels, value):
    """What a page says of its load, in a gauge, a counter and a histogram."""
    own = {**labels, "model_name": "m"}
    counted = f"0+{value * 15}"
    return [
        *line("vllm:num_requests_waiting", own, value),
        *line("vllm:generation_tokens_total", own, counted),
        *line("vllm:time_to_first_token_seconds_bucket", {**own, "le": "1.0"}, counted),
        *line("vllm:time_to_first_token_seconds_bucket", {**own, "le": "+Inf"}, counted),
        *line("vllm:time_to_first_token_seconds_count", own, counted),
    ]


def queue(labels, value):
    """What a page says of a gateway's queue."""
    return line("inference_extension_flow_control_queue_size", {**labels, "model_name": "m", "priority": "0"}, value)


def objects(namespace, exporter, replicas, target="x"):
    """What a page says of a Deployment and its HPA."""
    here = {**exporter, "namespace": namespace}
    pointer = {**here, **HPA, "scaletargetref_name": target}
    return [
        *line("kube_horizontalpodautoscaler_info", pointer, 1),
        *line("kube_deployment_spec_replicas", {**here, "deployment": target}, replicas),
    ]


FORGED = {  # by namespace of the neighbour: what the red page, or its target, says besides; what is said of it
    "other-pod": (lambda own: load({**RED, **own, "pod": "d-7"}, 900), 'of job="red", a target in namespace "red"'),
    "same-pod": (lambda own: load({**RED, **own, "pod": "d-0"}, 900), 'of job="red", a target in namespace "red"'),
    "own-job": (lambda own: load({**RED, **own, "pod": "d-0", "job": "llm"}, 900), "is no target of its namespace"),
    "own-place": (lambda own: load({**honest("own-place"), "pod": "d-7"}, 900), "a target of pod d-0"),
    "no-namespace": (lambda own: load({**NOBODYS, **own, "pod": "d-7"}, 900), "is no target of its namespace"),
    "no-target": (
        lambda own: load({"job": "?", "instance": "?", **own, "pod": "d-7"}, 900),
        "is no target of its name",
    ),
    "counter-alone": (lambda own: load({**RED, **own, "pod": "d-7"}, 900)[21:], 'a target in namespace "red"'),
    "less": (lambda own: load({**RED, **own, "pod": "d-7"}, 0), 'a target in namespace "red"'),
    "of-gateway": (lambda own: queue({**RED, **own}, 900), 'of job="red", a target in namespace "red"'),
}
OF_OBJECTS = {
    "other-count": lambda at: objects(at, RED, 50),
    "other-target": lambda at: objects(at, RED, 50, target="y"),
    "other-minus": lambda at: line("kube_deployment_spec_replicas", {**RED, "namespace": at, "deployment": "x"}, -50),
}
NAMESAKES = {  # what is of the neighbour's job and instance, and not its own
    "alike-down": lambda at: line("up", {**honest(at), "namespace": "red"}, 0),
    "nobodys-down": lambda at: line("up", {label: honest(at)[label] for label in ("job", "instance")}, 0),
    "nobodys-turns": lambda at: series(
        "process_start_time_seconds",
        {label: honest(at)[label] for label in ("job", "instance")},
        " ".join("1000" if number % 2 else "5000" for number in range(21)),
        START,
    ),
}


@pytest.fixture(scope="module")
def source(start_prometheus):
    written = [*line("up", RED, 1), *line("up", NOBODYS, 1), *line("up", {**KSM, "namespace": "monitoring"}, 1)]
    for namespace in ("calm", *FORGED, *OF_OBJECTS, *NAMESAKES):
        for pod, value in ((0, 3), (1, 4)):
            written += [*line("up", honest(namespace, pod), 1), *load(honest(namespace, pod), value)]
        gateway = {**honest(namespace, 2), "pod": "g-0"}
        written += [*line("up", gateway, 1), *queue(gateway, 5), *objects(namespace, KSM, 2)]
    for namespace, (says, _) in FORGED.items():
        written += says({"namespace": namespace})
    for namespace, says in (OF_OBJECTS | NAMESAKES).items():
        written += says(namespace)
    made = PrometheusSource(Endpoint("default", start_prometheus(written).url, timeout=30))
    yield made
    made.close()


def queries(namespace):
    labels = (("namespace", namespace), ("model", "m"))
    own = TargetPods(frozenset({"d-0", "d-1"}), frozenset({"d-0", "d-1"}))
    return {
        "waiting": SignalQuery("default", "vllm", "waiting", labels),
        "own waiting": SignalQuery("default", "vllm", "waiting", labels, target_pods=own),
        "tokens": SignalQuery("default", "vllm", "generation_tokens_per_second", labels, window=120.0),
        "latency": SignalQuery("default", "vllm", "time_to_first_token", labels, window=120.0, quantile=0.5),
        "queued": SignalQuery("default", "inference-extension", "queued", labels),
        "replicas": SignalQuery(
            "default", "kubernetes", "current_replicas", (("namespace", namespace), ("hpa", "keda-hpa-x"))
        ),
    }


def ask(source, namespace, others=("red", "calm")):
    """Measure it beside others that share its queries, the stranger's own among them."""
    asked, beside = queries(namespace), [query for other in others for query in queries(other).values()]
    measured = source.fetch([*beside, *asked.values()], [NOW])
    return {what: measured[query][0] for what, query in asked.items()}


def whole(told):
    return {what: one.value for what, one in told.items() if not one.incomplete_reason}


CALM = {"waiting": 7.0, "own waiting": 7.0, "tokens": 7.0, "latency": 0.5, "queued": 5.0, "replicas": 2.0}


@pytest.mark.real
def test_without_an_impostor_all_is_certain(source):
    assert whole(ask(source, "calm")) == pytest.approx(CALM)


@pytest.mark.real
@pytest.mark.parametrize("namespace", FORGED)
def test_what_calls_itself_a_neighbours_is_never_certain_and_wrong_and_is_named(source, namespace):
    told = ask(source, namespace)
    certain = whole(told)
    assert certain == pytest.approx({what: CALM[what] for what in certain})
    assert certain["replicas"] == 2.0
    _, said = FORGED[namespace]
    doubted = [one for what, one in told.items() if what not in certain]
    assert doubted
    assert all(said in one.incomplete_reason for one in doubted)
    if namespace not in {"same-pod", "own-job", "of-gateway"}:
        assert certain["own waiting"] == 7.0, "of its own pods it is known that this is none"


@pytest.mark.real
@pytest.mark.parametrize("namespace", OF_OBJECTS)
def test_of_an_object_all_must_say_the_same(source, namespace):
    told = ask(source, namespace)
    certain = whole(told)
    assert certain == pytest.approx({what: value for what, value in CALM.items() if what != "replicas"})
    said = 'instance="10.0.5.5:8080" of job="ksm" and instance="10.0.9.9:8000" of job="red" say different things of it'
    assert told["replicas"].incomplete_reason == said


@pytest.mark.real
@pytest.mark.parametrize("namespace", NAMESAKES)
@pytest.mark.parametrize("crowd", [(), tuple(f"namespace-{number}-of-a-crowd" for number in range(60))])
def test_a_target_of_the_same_job_and_instance_speaks_for_its_own_namespace_alone(source, namespace, crowd):
    assert whole(ask(source, namespace, ("red", "calm", *crowd))) == pytest.approx(CALM)


@pytest.mark.real
def test_of_times_gone_by_an_impostor_is_known_too(source):
    for namespace, doubted in (("calm", False), ("other-pod", True)):
        query = queries(namespace)["waiting"]
        told = source.fetch([query], [NOW - 30, NOW - 15, NOW])[query]
        assert {bool(one.incomplete_reason) for one in told} == {doubted}


@pytest.mark.real
def test_where_series_alone_name_the_namespace_two_origins_are_doubted(start_prometheus):
    """As the settings say it for an exporter that speaks of other namespaces, and is scraped without honored labels."""

    def exported(at, by):
        return {**by, "exported_namespace": at}

    central = {"job": "all", "instance": "10.0.5.5:8080", "namespace": "monitoring"}
    written = []
    for at in ("calm", "forged"):
        written += load(exported(at, {**central, "pod": "d-0"}), 3)
    written += load(exported("forged", RED), 900)
    endpoint = Endpoint(
        "default", start_prometheus(written).url, timeout=30, labels={"namespace": "exported_namespace"}
    )
    source = PrometheusSource(endpoint)
    asked = {at: queries(at)["waiting"] for at in ("calm", "forged")}
    told = source.fetch(asked.values(), [NOW])
    source.close()
    assert told[asked["calm"]][0].value == 3.0
    assert not told[asked["calm"]][0].incomplete_reason
    said = told[asked["forged"]][0].incomplete_reason
    assert 'come from targets in the namespaces "monitoring" and "red", each of which may say whose they are' in said


def test_every_question_that_names_them_is_promql():
    for signal in (one for own in signals.engines().values() for one in own.values()):
        labels = tuple((label, "a") for label in signal.labels)
        query = SignalQuery(
            "default", signal.engine, signal.name, labels, window=signal.window, quantile=signal.quantile
        )
        for dialect in (Naming(), Naming(labels={"namespace": "exported_namespace"})):
            (grouped,) = group([query], dialect)
            promql_parser.parse(grouped.aliens)


@pytest.mark.real
@pytest.mark.parametrize(
    "stranger", [{"job": "z", "instance": "z:1", "namespace": "red"}, {"job": "z", "instance": "z:1"}]
)
def test_a_strangers_target_changes_no_meaning_of_a_label(start_prometheus, stranger):
    """A page that is scraped for two endpoints of a monitor counts once, whatever labels others' targets have."""
    written = line("up", stranger, 1)
    for endpoint in ("a", "b"):
        scraped = {**honest("calm"), "endpoint": endpoint}
        written += [*line("up", scraped, 1), *load(scraped, 3)]
    source = PrometheusSource(Endpoint("default", start_prometheus(written).url, timeout=30))
    query = queries("calm")["waiting"]
    told = source.fetch([query], [NOW])[query][0]
    source.close()
    assert (told.value, told.incomplete_reason) == (3.0, "")
