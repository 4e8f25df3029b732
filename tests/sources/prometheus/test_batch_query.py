"""Every query of the catalogue on a real Prometheus, over series whose right answer is known."""

import re
from dataclasses import dataclass, field, replace

import promql_parser
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.prometheus_server import series, values_of

from scaler.config import signals
from scaler.config.endpoint import Endpoint
from scaler.config.naming import Naming, check
from scaler.model.errors import ConfigError
from scaler.model.measurement import SignalQuery, TargetPods
from scaler.sources.prometheus.batch_query import LONGEST, group
from scaler.sources.prometheus.source import PrometheusSource

START = 1_790_000_000.0
AT = START + 600  # 41 samples, one each 15 s; rates below are per second
STEADY = "x40"


@dataclass(frozen=True)
class Case:
    """Series in a namespace of their own, which has the case's name, and the reading they make."""

    name: str
    engine: str
    signal: str
    series: list[tuple[str, str, str, dict[str, str]]]  # metric, pod, values, labels
    value: float | None
    answered: int | None
    age: float | None = 0.0
    partial: str = ""
    pods: str | None = None
    quantile: float = 0.5
    at_most: float | None = None  # of a histogram, instead of the quantile
    window: float | None = None  # of a gauge, for which it is reduced
    reduce: str | None = None
    about: float = 1e-6  # relative error allowed
    labels: dict[str, str] = field(default_factory=dict)  # of the query, besides the namespace


def case(name, engine, signal, given, value, answered, **more):
    given = [(*one, {}) if len(one) == 3 else one for one in given]
    return Case(name, engine, signal, given, value, answered, **more)


def gauge(metric, **values):
    return [(metric, pod, f"{value}{STEADY}") for pod, value in values.items()]


def histogram(metric, pod, counts, **labels):
    """A histogram whose buckets grow by `counts` each 15 s."""
    buckets = [(f"{metric}_bucket", pod, f"0+{count}{STEADY}", {"le": le, **labels}) for le, count in counts.items()]
    return [*buckets, (f"{metric}_count", pod, f"0+{counts['+Inf']}{STEADY}", labels)]


DEPLOYMENT = ("kube_deployment_spec_replicas", "ksm")
STATEFULSET = ("kube_statefulset_replicas", "ksm")
OTHERS = [(*DEPLOYMENT, "9x40", {"deployment": "other"}), (*STATEFULSET, "9x40", {"statefulset": "other"})]


def scaled_by_hpa(kind, replicas):
    """An HPA of another name than its target."""
    target = {"scaletargetref_kind": kind, "scaletargetref_name": "llm"}
    return [
        ("kube_horizontalpodautoscaler_info", "ksm", "1x40", {"horizontalpodautoscaler": "h", **target}),
        ("kube_horizontalpodautoscaler_status_current_replicas", "ksm", replicas, {"horizontalpodautoscaler": "h"}),
    ]


FAST = {"0.1": 10, "0.2": 10, "+Inf": 10}  # all below 0.1 s
SLOW = {"0.1": 0, "0.2": 10, "+Inf": 10}  # all in 0.1 to 0.2 s

EVERY_SIGNAL = [
    case("vllm-waiting", "vllm", "waiting", gauge("vllm:num_requests_waiting", a=3, b=4), 7, 2),
    case("vllm-running", "vllm", "running", gauge("vllm:num_requests_running", a=3, b=4), 7, 2),
    case("vllm-kv", "vllm", "kv_cache_usage", gauge("vllm:kv_cache_usage_perc", a=0.2, b=0.6), 0.4, 2),
    case("vllm-prompt", "vllm", "prompt_tokens_per_second", [("vllm:prompt_tokens_total", "a", "0+150x40")], 10, 1),
    case("vllm-out", "vllm", "generation_tokens_per_second", [("vllm:generation_tokens_total", "a", "0+30x40")], 2, 1),
    case("vllm-ttft", "vllm", "time_to_first_token", histogram("vllm:time_to_first_token_seconds", "a", SLOW), 0.15, 1),
    case("vllm-itl", "vllm", "inter_token_latency", histogram("vllm:inter_token_latency_seconds", "a", FAST), 0.05, 1),
    *(
        case(
            f"share-{number}",
            "vllm",
            "time_to_first_token",
            histogram("vllm:time_to_first_token_seconds", "a", {"0.1": 15, "0.2": 30, "2.5": 45, "10": 50, "+Inf": 60})
            + histogram(
                "vllm:time_to_first_token_seconds", "b", {"0.1": 0, "0.2": 30, "2.5": 60, "10": 60, "+Inf": 60}
            ),
            share,
            2,
            at_most=bound,
        )
        for number, (bound, share) in enumerate({0.2: 0.5, 1.0: 0.5, 2.5: 0.875, 60.0: 110 / 120, 0.1: 0.125}.items())
    ),
    case(
        "share-of-none-so-low",
        "vllm",
        "time_to_first_token",
        histogram("vllm:time_to_first_token_seconds", "a", SLOW),
        None,
        1,
        at_most=0.05,
    ),
    case("sglang-waiting", "sglang", "waiting", gauge("sglang:num_queue_reqs", a=3, b=4), 7, 2),
    case("sglang-running", "sglang", "running", gauge("sglang:num_running_reqs", a=3, b=4), 7, 2),
    case("sglang-kv", "sglang", "kv_cache_usage", gauge("sglang:token_usage", a=0.2, b=0.6), 0.4, 2),
    case("sglang-in", "sglang", "prompt_tokens_per_second", [("sglang:prompt_tokens_total", "a", "0+150x40")], 10, 1),
    case(
        "sglang-out",
        "sglang",
        "generation_tokens_per_second",
        [("sglang:generation_tokens_total", "a", "0+30x40")],
        2,
        1,
    ),
    case(
        "sglang-ttft",
        "sglang",
        "time_to_first_token",
        histogram("sglang:time_to_first_token_seconds", "a", SLOW),
        0.15,
        1,
    ),
    case(
        "sglang-itl",
        "sglang",
        "inter_token_latency",
        histogram("sglang:inter_token_latency_seconds", "a", FAST),
        0.05,
        1,
    ),
    case("tgi-waiting", "tgi", "waiting", gauge("tgi_queue_size", a=3, b=4), 7, 2),
    case("tgi-running", "tgi", "running", gauge("tgi_batch_current_size", a=3, b=4), 7, 2),
    case(
        "tgi-kv",
        "tgi",
        "kv_cache_usage",
        [*gauge("tgi_batch_current_max_tokens", a=100, b=500), *gauge("tgi_batch_max_total_tokens", a=1000, b=1000)],
        0.3,
        2,
    ),
    case("tgi-in", "tgi", "prompt_tokens_per_second", [("tgi_request_input_length_sum", "a", "0+150x40")], 10, 1),
    case(
        "tgi-out", "tgi", "generation_tokens_per_second", [("tgi_request_generated_tokens_sum", "a", "0+30x40")], 2, 1
    ),
    case(
        "tgi-itl",
        "tgi",
        "inter_token_latency",
        histogram("tgi_request_mean_time_per_token_duration", "a", FAST),
        0.05,
        1,
    ),
    case(
        "llmd",
        "llm-d",
        "queued",
        [("llm_d_epp_flow_control_queue_size", "epp", "5x40", {"target_model_name": "m", "model_name": "alias"})],
        5,
        1,
    ),
    case(
        "ksm-current",
        "kubernetes",
        "current_replicas",
        [("kube_horizontalpodautoscaler_status_current_replicas", "ksm", "3x40", {"horizontalpodautoscaler": "h"})],
        3,
        None,
    ),
    case(
        "ksm-current-of-a-new-hpa",  # which has not looked yet
        "kubernetes",
        "current_replicas",
        [
            ("kube_horizontalpodautoscaler_status_current_replicas", "ksm", "0x40", {"horizontalpodautoscaler": "h"}),
            (
                "kube_horizontalpodautoscaler_info",
                "ksm",
                "1x40",
                {"horizontalpodautoscaler": "h", "scaletargetref_kind": "Deployment", "scaletargetref_name": "llm"},
            ),
            ("kube_deployment_spec_replicas", "ksm", "3x40", {"deployment": "llm"}),
        ],
        3,
        None,
    ),
    *(
        case(f"ksm-spec-{name}", "kubernetes", "spec_replicas", [*given, *OTHERS], value, None)
        for name, given, value in (
            ("deployment", [(*DEPLOYMENT, "3x40", {"deployment": "llm"})], 3),
            ("statefulset", [(*STATEFULSET, "4x40", {"statefulset": "llm"})], 4),
            ("both", [(*STATEFULSET, "4x40", {"statefulset": "llm"}), (*DEPLOYMENT, "3x40", {"deployment": "llm"})], 3),
            ("leaderworkerset", scaled_by_hpa("LeaderWorkerSet", "5x40"), 5),
            ("twice", [*scaled_by_hpa("Deployment", "2x40"), (*DEPLOYMENT, "3x40", {"deployment": "llm"})], 3),
        )
    ),
    case(
        "ksm-min",
        "kubernetes",
        "min_replicas",
        [("kube_horizontalpodautoscaler_spec_min_replicas", "ksm", "1x40", {"horizontalpodautoscaler": "h"})],
        1,
        None,
    ),
    case(
        "ksm-max",
        "kubernetes",
        "max_replicas",
        [("kube_horizontalpodautoscaler_spec_max_replicas", "ksm", "9x40", {"horizontalpodautoscaler": "h"})],
        9,
        None,
    ),
    *(
        case(
            f"ksm-ready-{kind.lower()}",
            "kubernetes",
            "ready_replicas",
            [
                (
                    "kube_horizontalpodautoscaler_info",
                    ksm,
                    "1x40",
                    {"horizontalpodautoscaler": "h", "scaletargetref_kind": kind, "scaletargetref_name": "llm"},
                )
                for ksm in ("ksm-0", "ksm-1")  # two exporters at once must not make a double match
            ]
            + [(metric, ksm, "2x40", {label: "llm"}) for ksm in ("ksm-0", "ksm-1")]
            + [(metric, "ksm-0", "7x40", {label: "other"})],
            value,
            None,
            age=age,
        )
        for kind, metric, label, value, age in (
            ("Deployment", "kube_deployment_status_replicas_ready", "deployment", 2, 0.0),
            ("StatefulSet", "kube_statefulset_status_replicas_ready", "statefulset", 2, 0.0),
            ("LeaderWorkerSet", "kube_statefulset_status_replicas_ready", "statefulset", None, None),
        )
    ),
]

SITUATIONS = [
    case(
        "rolling-upgrade",
        "vllm",
        "kv_cache_usage",
        [
            *gauge("vllm:kv_cache_usage_perc", new=0.5, both=0.6),
            *gauge("vllm:gpu_cache_usage_perc", old=0.1, both=0.6),
        ],
        0.4,
        3,
    ),
    case(
        "rolling-upgrade-histogram",  # each pod counts once: the median of 10 fast and 10 slow is 0.1
        "vllm",
        "inter_token_latency",
        [
            *histogram("vllm:inter_token_latency_seconds", "both", FAST),
            *histogram("vllm:time_per_output_token_seconds", "both", FAST),
            *histogram("vllm:time_per_output_token_seconds", "old", SLOW),
        ],
        0.1,
        2,
    ),
    case(
        "router",  # re-exports what the engines say, under the same names
        "vllm",
        "waiting",
        [
            *gauge("vllm:num_requests_waiting", a=3),
            ("vllm:num_requests_waiting", "router", "3x40", {"server": "http://a"}),
        ],
        3,
        1,
    ),
    case(
        "scraped-twice",
        "vllm",
        "waiting",
        [*gauge("vllm:num_requests_waiting", a=3), ("vllm:num_requests_waiting", "a", "3x40", {"job": "again"})],
        3,
        1,
    ),
    case(
        "scraped-twice-counter",
        "sglang",
        "generation_tokens_per_second",
        [
            ("sglang:generation_tokens_total", "a", "0+150x40", {"job": job, "is_streaming": streaming})
            for job in ("one", "two")
            for streaming in ("true", "false")
        ],
        20,
        1,
    ),
    case(
        "data-parallel",
        "vllm",
        "waiting",
        [("vllm:num_requests_waiting", "a", f"{rank + 1}x40", {"engine": str(rank)}) for rank in range(3)],
        6,
        1,
    ),
    case(
        "tensor-parallel",  # ranks of one engine repeat each other, data-parallel ones do not
        "sglang",
        "waiting",
        [
            ("sglang:num_queue_reqs", "a", "4x40", {"dp_rank": dp, "tp_rank": tp})
            for dp in ("0", "1")
            for tp in ("0", "1", "2", "3")
        ],
        8,
        1,
    ),
    case(
        "restarted",  # from 3000 back to 0: 40 steps of 150 but one, over the last 120 s
        "vllm",
        "generation_tokens_per_second",
        [("vllm:generation_tokens_total", "a", "0+150x35 0+150x4")],
        8.75,
        1,
        about=0.03,  # Prometheus 3 leaves the sample at the very start of the window out
    ),
    case(
        "no-requests",
        "vllm",
        "time_to_first_token",
        histogram("vllm:time_to_first_token_seconds", "a", {"0.1": 0, "+Inf": 0}),
        None,
        1,
    ),
    case(
        "old-sample",
        "vllm",
        "waiting",
        [("vllm:num_requests_waiting", "fresh", "1x40"), ("vllm:num_requests_waiting", "old", "4x32")],
        5,
        2,
        age=120.0,
        partial="its oldest sample is 2m old",
    ),
    case("too-old", "vllm", "waiting", [("vllm:num_requests_waiting", "gone", "4x10")], None, 0, age=None),
    case(
        "some-pods",
        "vllm",
        "waiting",
        gauge("vllm:num_requests_waiting", **{"llm-a-0": 1, "llm-a-1": 2, "llm-b-0": 30, "xllm-a-0": 30}),
        3,
        2,
        pods="llm-a-.*",
    ),
    case(
        "other-models",
        "vllm",
        "waiting",
        [*gauge("vllm:num_requests_waiting", a=3), ("vllm:num_requests_waiting", "b", "9x40", {"model_name": "n"})],
        3,
        1,
    ),
    case(
        "scraped-again-without-pod",
        "vllm",
        "waiting",
        [("vllm:num_requests_waiting", "a", "3x40", {"pod": ""}), *gauge("vllm:num_requests_waiting", a=2)],
        2,
        1,
    ),
    case(
        "without-pod-and-any-pods",  # an expression that takes an empty name means no series without one
        "vllm",
        "waiting",
        [("vllm:num_requests_waiting", "", "3x40", {"pod": ""}), *gauge("vllm:num_requests_waiting", a=2)],
        2,
        1,
        pods=".*",
    ),
    case(
        "without-pod",  # cannot be told from a double scrape at another address
        "vllm",
        "waiting",
        [("vllm:num_requests_waiting", "", "3x40", {"pod": ""}), *gauge("vllm:num_requests_waiting", a=2)],
        2,
        1,
        partial="1 of its targets have no label for their pod and are not counted: is it called otherwise there? Relabel "
        "it, or name the workload's pods by `pods` in its trigger",
    ),
    case(
        "flows",  # both names at once, two pickers, several flows of one model
        "llm-d",
        "queued",
        [
            (metric, epp, f"{size}x40", {"target_model_name": "m", "model_name": name, "priority": priority})
            for metric in ("llm_d_epp_flow_control_queue_size", "inference_extension_flow_control_queue_size")
            for epp in ("epp-0", "epp-1")
            for name, priority, size in (("m", "0", 1), ("m", "1", 2), ("alias", "0", 3))
        ]
        + [("inference_extension_flow_control_queue_size", "epp-old", "10x40", {"target_model_name": "m"})],
        22,
        3,
    ),
    case(
        "gateway-without-pod",  # scraped by address: not to be read as an empty queue
        "llm-d",
        "queued",
        [("llm_d_epp_flow_control_queue_size", "", "5x40", {"target_model_name": "m", "pod": ""})],
        5,
        1,
    ),
    case(
        "odd",
        "vllm",
        "waiting",
        [("vllm:num_requests_waiting", "a", "3x40", {"model_name": "meta/Llama-3.1+8B (v2)|x"})],
        3,
        1,
        labels={"model": "meta/Llama-3.1+8B (v2)|x"},
    ),
    case(
        "cpu-of-containers",  # one pod has a total of its own, of the other only the containers are left
        "kubernetes",
        "cpu_usage",
        [
            ("container_cpu_usage_seconds_total", "a", "0+30x40", {"id": "/pod"}),
            ("container_cpu_usage_seconds_total", "a", "0+29x40", {"id": "/pod/1", "container": "llm"}),
            ("container_cpu_usage_seconds_total", "b", "0+15x40", {"id": "/pod/1", "container": "llm"}),
            ("container_cpu_usage_seconds_total", "b", "0+15x40", {"id": "/pod/2", "container": "proxy"}),
        ],
        4,
        2,
    ),
    case(
        "router-beside-engines",  # the production-stack's router has the engines' counts too, and one of its own
        "production-stack",
        "arrivals_per_second",
        [
            ("vllm:num_incoming_requests_total", "router", "0+30x40", {"model": "m"}),
            ("vllm:num_requests_waiting", "router", "3x40", {"server": "http://a"}),
            *gauge("vllm:num_requests_waiting", a=3),
        ],
        2,
        1,
    ),
    case("absent", "vllm", "waiting", [], None, 0, age=None),
]

PEAK = "2x9 7x4 3x25"  # 2 for 150 s, 7 for 75 s, then 3
WINDOWS = [  # all of 10 minutes
    *(
        case(f"replicas-{reduce}", "kubernetes", "spec_replicas", given, value, None, window=600.0, reduce=reduce)
        for reduce, value in (("max", 7), ("min", 2), ("mean", 3.25))
        for given in [[(*DEPLOYMENT, PEAK, {"deployment": "llm"})]]
    ),
    *(
        case(
            f"restarted-exporter-{reduce}",
            "kubernetes",
            "spec_replicas",
            given,
            value,
            None,
            window=600.0,
            reduce=reduce,
        )
        for reduce, value in (("max", 5), ("min", 2))
        for given in [
            [
                ("kube_deployment_spec_replicas", "ksm-0", "5x5", {"deployment": "llm"}),
                ("kube_deployment_spec_replicas", "ksm-1", "_x26 2x14", {"deployment": "llm"}),
            ]
        ]
    ),
    case(
        "object-that-is-gone",
        "kubernetes",
        "spec_replicas",
        [(*DEPLOYMENT, "5x10", {"deployment": "llm"})],
        None,
        None,
        age=None,
        window=600.0,
        reduce="max",
    ),
    case(
        "pods-that-took-turns",  # never both at once
        "vllm",
        "waiting",
        [("vllm:num_requests_waiting", "a", "10x5"), ("vllm:num_requests_waiting", "b", "_x26 10x14")],
        10,
        1,
        window=600.0,
        reduce="max",
    ),
    case(
        "pods-together",
        "vllm",
        "waiting",
        [("vllm:num_requests_waiting", "a", "10x20 0x19"), ("vllm:num_requests_waiting", "b", "5x10 20x29")],
        30,
        2,
        window=600.0,
        reduce="max",
    ),
    case(
        "ratio",
        "tgi",
        "kv_cache_usage",
        [("tgi_batch_current_max_tokens", "a", PEAK), ("tgi_batch_max_total_tokens", "a", "10x40")],
        0.7,
        1,
        window=600.0,
        reduce="max",
    ),
]
CASES = [*EVERY_SIGNAL, *SITUATIONS, *WINDOWS]


def lines(case):
    written = []
    targets = {}
    for metric, pod, values, labels in case.series:
        known = {"job": "llm", "instance": f"{pod}:8000", "pod": pod, "namespace": case.name}
        if case.engine in {"vllm", "sglang"}:
            known["model_name"] = "m"
        full = {label: value for label, value in {**known, **labels}.items() if value}
        target = {"job": full.get("job", ""), "instance": f"{full.get('instance')}", "namespace": full["namespace"]}
        samples = len(values_of(values))
        targets[tuple(target.items())] = max(samples, targets.get(tuple(target.items()), 0))
        written += series(metric, full, values, START)
    for target, samples in targets.items():  # which is gone with its series
        written += series("up", dict(target), f"1x{samples - 1}", START)
    return written


def query_of(case):
    signal = signals.find(case.engine, case.signal)
    known = {"namespace": case.name, "model": "m", "hpa": "h", "workload": "llm", **case.labels}
    return SignalQuery(
        endpoint="prometheus",
        engine=case.engine,
        signal=case.signal,
        labels=tuple((label, known[label]) for label in signal.labels),
        pods=case.pods,
        window=case.window or signal.window,
        quantile=case.quantile if signal.takes_quantile and case.at_most is None else None,
        at_most=case.at_most,
        reduce=case.reduce,
    )


@pytest.fixture(scope="module")
def server(start_prometheus):
    strange = {"job": "llm", "exported_namespace": "relabelled", "kubernetes_pod_name": "a", "model_name": "m"}
    more = series("vllm:num_requests_waiting", {**strange, "instance": "a", "namespace": "monitoring"}, "3x40", START)
    more += series("vllm:num_requests_waiting", {**strange, "instance": "b", "cluster": "us"}, "9x40", START)
    hidden = {"exported_namespace": "relabelled", "namespace": "monitoring", "deployment": "llm"}
    more += series("kube_deployment_spec_replicas", hidden, "2x20 4x19", START)
    more += series("sentinel", {"kind": "huge"}, "1e18x40", START)
    return start_prometheus([line for case in CASES for line in lines(case)] + more)


@pytest.fixture(scope="module")
def source(server):
    return PrometheusSource(Endpoint("prometheus", server.url, timeout=20))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_reading(case, source):
    reading = source.fetch([query_of(case)], [AT])[query_of(case)][0]
    assert reading.value == (None if case.value is None else pytest.approx(case.value, rel=case.about))
    assert (reading.answered, reading.expected) == (case.answered, case.answered)
    assert (reading.age, reading.incomplete_reason) == (case.age, case.partial)


def test_every_signal_of_an_object_is_executed():
    """Those of pods and gateways are in test_pages.py."""
    everything = [signal for offered in signals.engines().values() for signal in offered.values()]
    objects = {(signal.engine, signal.name) for signal in everything if signal.scope == "object"}
    assert objects <= {(case.engine, case.signal) for case in EVERY_SIGNAL}


def test_one_query_for_many_workloads_gives_what_each_alone_gives(source):
    queries = [query_of(case) for case in CASES]
    together = source.fetch(queries, [AT])
    for query in queries:
        alone = source.fetch([query], [AT])[query]
        assert [replace(one, source="") for one in together[query]] == [replace(one, source="") for one in alone]
    shapes = {
        (query.engine, query.signal, query.pods, query.quantile, query.at_most, query.reduce) for query in queries
    }
    assert len({one.source for query in queries for one in together[query]}) == len(shapes) < len(queries)


def test_history_gives_at_each_time_what_an_instant_gives(source):
    queries = [query_of(case) for case in CASES]
    times = [AT - 300 + 20 * step for step in range(16)]
    history = source.fetch(queries, times)
    for at, time in enumerate(times):
        instant = source.fetch(queries, [time])
        for query in queries:
            then = history[query][at]
            assert then.value == (None if instant[query][0].value is None else pytest.approx(instant[query][0].value))
            assert replace(then, value=0, source="") == replace(instant[query][0], value=0, source="")


def test_labels_that_a_cluster_calls_otherwise(server):
    endpoint = Endpoint(
        "prometheus",
        server.url,
        timeout=20,
        labels={"namespace": "exported_namespace", "pod": "kubernetes_pod_name"},
        matchers={"cluster": ""},
    )
    query = SignalQuery("prometheus", "vllm", "waiting", (("namespace", "relabelled"), ("model", "m")))
    replicas = SignalQuery(
        "prometheus", "kubernetes", "spec_replicas", (("namespace", "relabelled"), ("workload", "llm"))
    )
    least = replace(replicas, window=600.0, reduce="min")
    found = PrometheusSource(endpoint).fetch([query, replicas, least], [AT])
    assert (found[query][0].value, found[query][0].answered) == (3, 1)
    assert (found[replicas][0].value, found[least][0].value) == (4, 2)


def test_names_without_colons_are_those_of_a_pipeline_that_has_none(start_prometheus):
    scrape = {"job": "llm", "instance": "a", "pod": "a", "namespace": "n", "model_name": "m"}
    written = [*series("vllm_num_requests_waiting", scrape, "3x40", START), *series("up", scrape, "1x40", START)]
    endpoint = Endpoint("p", start_prometheus(written).url, timeout=20, metric_name_colons=False)
    query = SignalQuery("p", "vllm", "waiting", (("namespace", "n"), ("model", "m")))
    assert PrometheusSource(endpoint).fetch([query], [AT])[query][0].value == 3


def test_a_namespace_that_a_gateway_writes_itself_is_not_the_one_of_its_scrape():
    query = SignalQuery("p", "keda-http-add-on", "in_flight", (("namespace", "team"), ("route", "llm")))
    (grouped,) = group([query], Naming(labels={"namespace": "exported_namespace", "route": "exported_route"}))
    assert grouped.by == ("route_namespace", "exported_route")
    assert 'interceptor_request_concurrency{route_namespace="team",exported_route="llm"}' in grouped.text


def test_an_ask_without_a_model_takes_all_models(source):
    query = SignalQuery("prometheus", "vllm", "waiting", (("namespace", "other-models"),))
    assert source.fetch([query], [AT])[query][0].value == 12


def test_a_long_list_of_workloads_is_left_out_of_the_query():
    queries = [
        SignalQuery("p", "vllm", "waiting", (("namespace", "ns"), ("model", f"model-{at}"))) for at in range(300)
    ]
    (instant,) = group(queries, Naming())
    assert 'namespace="ns"' in instant.text
    assert "model-7" not in instant.text
    (single,) = group(queries[:1], Naming())
    assert len(instant.text) < len(single.text), "it names nobody"
    (history,) = group(queries, Naming(), exact=True)
    assert "model-7" in history.text
    assert [len(part.queries) for part in group(queries, Naming(), 200)] == [200, 100]


def test_no_question_is_longer_than_servers_take():
    queries = [SignalQuery("p", "gen-ai", "requests_per_second", (("namespace", "ns"), ("model", "m")), window=120.0)]
    (grouped,) = group(queries, Naming(knows_natives=True, knows_dots=True))
    assert len(grouped.text) > LONGEST
    assert len(grouped.parts) > 1
    assert max(map(len, grouped.parts)) <= LONGEST
    for part in grouped.parts:
        promql_parser.parse(part)


def test_in_parts_it_reads_the_same(source, monkeypatch):
    labels = (("namespace", "vllm-waiting"), ("model", "m"))
    queries = [SignalQuery("prometheus", "vllm", name, labels) for name in ("waiting", "running")]
    whole = source.fetch(queries, [AT])
    assert whole[queries[0]][0].value == 7
    monkeypatch.setattr("scaler.sources.prometheus.batch_query.LONGEST", 1)
    assert len(group(queries[:1], Naming())[0].parts) > 3
    assert source.fetch(queries, [AT]) == whole


NASTY = st.text(st.sampled_from("\"'`\\{}[]()$#\n\t\r,=~|.*+?^-x é"), min_size=1, max_size=12)


@given(st.lists(NASTY, min_size=1, max_size=3, unique=True))
def test_a_model_is_compared_with_itself_whatever_it_is_called(models):
    """What a trigger names goes into the query of a signal; promql_parser is the judge of what that makes."""
    queries = [SignalQuery("p", "vllm", "waiting", (("namespace", "team"), ("model", model))) for model in models]
    (grouped,) = group(queries, Naming(), exact=True)
    found = [
        {(one.name, str(one.op)): one.value for one in selector.matchers.matchers}
        for selector in _selectors(promql_parser.parse(grouped.text))
    ]
    of_models = [each for each in found if any(label == "model_name" for label, _ in each)]
    assert of_models
    for each in of_models:
        assert each["namespace", "MatchOp.Equal"] == "team"
        if len(models) == 1:
            assert each["model_name", "MatchOp.Equal"] == models[0]
        else:
            assert all(re.fullmatch(each["model_name", "MatchOp.Re"], model) for model in models)
            assert not re.fullmatch(each["model_name", "MatchOp.Re"], "another")


def _selectors(node):
    """Every vector selector below a node of the syntax tree."""
    if isinstance(node, promql_parser.VectorSelector):
        return [node]
    children = [getattr(node, name, None) for name in ("lhs", "rhs", "expr", "vector_selector")]
    children += getattr(node, "args", None) or []
    return [found for child in children if child is not None for found in _selectors(child)]


def test_what_differs_in_more_than_label_values_is_asked_apart():
    query = SignalQuery("p", "vllm", "time_to_first_token", (("namespace", "a"),), None, 300.0, 0.9)
    others = [
        replace(query, window=60.0),
        replace(query, quantile=0.5),
        replace(query, reduce="max"),
        replace(query, pods="x.*"),
        replace(query, labels=(("namespace", "a"), ("model", "m"))),
        replace(query, signal="inter_token_latency"),
    ]
    assert len(group([query, *others], Naming())) == 7
    assert len(group([query, replace(query, labels=(("namespace", "b"),))], Naming())) == 1


def test_an_ask_for_what_no_engine_has_is_refused():
    with pytest.raises(ConfigError, match="tgi has no label 'model'; allowed: namespace"):
        check(SignalQuery("p", "tgi", "waiting", (("namespace", "a"), ("model", "m"))))


# ---- a target's own pods ---------------------------------------------------------------------------------------------------


def owning(query, *names, ready=None, past=""):
    """The same ask of these pods alone."""
    return replace(query, target_pods=TargetPods(frozenset(names), frozenset(names if ready is None else ready), past))


def on_target(case):
    return signals.find(case.engine, case.signal).scope == "target" and case.pods is None


@pytest.mark.parametrize("case", [case for case in CASES if on_target(case)], ids=lambda case: case.name)
def test_own_pods_that_are_all_pods_change_no_reading(case, source):
    """Added up here or by the server, of one pod or many, it is the same number."""
    query = query_of(case)
    names = {pod for _, pod, _, labels in case.series for pod in [labels.get("pod", pod)] if pod}
    own = owning(query, *names, ready=())
    times = [AT - 40, AT - 20, AT]
    together, apart = source.fetch([query], times)[query], source.fetch([own], times)[own]
    for whole, added in zip(together, apart, strict=True):
        assert added.value == (None if whole.value is None else pytest.approx(whole.value))
        assert (added.answered, added.age) == (whole.answered, whole.age)


VARIANTS = {  # two targets that serve one model in one namespace
    "llama": ("llama-5d8f-aaaaa", "llama-5d8f-bbbbb"),
    "canary": ("llama-canary-77cc-ccccc",),
}
PAST = "llama-[a-z0-9]+-[a-z0-9]{5}"


@pytest.fixture(scope="module")
def variants(start_prometheus):
    written = []
    for target, pods in VARIANTS.items():
        slow = target == "canary"
        for number, pod in enumerate(pods):
            known = {"job": "llm", "instance": pod, "pod": pod, "namespace": "two", "model_name": "m"}
            for metric, values in {
                "vllm:num_requests_waiting": "100x40" if slow else f"{number + 1}x40",
                "vllm:kv_cache_usage_perc": "0.9x40" if slow else f"0.{number + 1}x40",
                "vllm:generation_tokens_total": "0+1500x40" if slow else "0+15x40",
            }.items():
                written += series(metric, known, values, START)
            for metric, pod_, values, labels in histogram(
                "vllm:time_to_first_token_seconds", pod, SLOW if slow else FAST
            ):
                written += series(metric, {**known, **labels, "pod": pod_}, values, START)
            written += series("up", {"job": "llm", "instance": pod, "namespace": "two"}, "1x40", START)
    gone = {"job": "llm", "instance": "g", "pod": "llama-5d8f-ggggg", "namespace": "two", "model_name": "m"}
    written += series("vllm:num_requests_waiting", gone, "50x16", START)
    written += series("up", {"job": "llm", "instance": "g", "namespace": "two"}, "1x16", START)
    for pod, up in (("fine", "1x40"), ("stuck", "1x38 0x1")):  # no scrape since a restart: the last sample stays
        known = {"job": "llm", "instance": pod, "pod": pod, "namespace": "restarted", "model_name": "m"}
        written += series("vllm:num_requests_waiting", known, "2x40", START)
        written += series("up", {"job": "llm", "instance": pod, "namespace": "restarted"}, up, START)
    return PrometheusSource(Endpoint("prometheus", start_prometheus(written).url, timeout=20))


def asked(signal, **more):
    labels = (("namespace", "two"), ("model", "m"))
    window = signals.find("vllm", signal).window
    return SignalQuery("prometheus", "vllm", signal, labels, window=window, **more)


@pytest.mark.parametrize(
    ("signal", "of_llama", "of_canary", "of_both"),
    [
        ("waiting", 3, 100, 103),
        ("kv_cache_usage", 0.15, 0.9, 0.4),
        ("generation_tokens_per_second", 2, 100, 102),
        ("time_to_first_token", 0.05, 0.15, None),
    ],
)
def test_variants_that_share_a_model_do_not_see_each_others_load(variants, signal, of_llama, of_canary, of_both):
    both = asked(signal, quantile=0.5 if of_both is None else None)
    llama, canary = (owning(both, *pods) for pods in VARIANTS.values())
    readings = variants.fetch([both, llama, canary], [AT])
    for query, value in {llama: of_llama, canary: of_canary, both: of_both}.items():
        assert value is None or readings[query][0].value == pytest.approx(value)
    assert [readings[query][0].expected for query in (llama, canary)] == [2, 1]
    sources = {readings[query][0].source for query in (llama, canary)}
    assert len(sources) == (1 if both.quantile is None else 2), "one query for what can be added up"


def test_a_ready_pod_that_does_not_answer_makes_the_reading_partial(variants):
    query = owning(
        asked("waiting"), *VARIANTS["llama"], "llama-5d8f-new", "llama-5d8f-x", "llama-5d8f-y", "llama-5d8f-z"
    )
    [reading] = variants.fetch([query], [AT])[query]
    assert (reading.value, reading.answered) == (3, 2)
    told = "4 of its 6 pods do not answer: llama-5d8f-new, llama-5d8f-x, llama-5d8f-y, ..."
    assert reading.incomplete_reason == told


def test_a_pod_whose_scrape_fails_does_not_answer_though_its_last_sample_is_still_there(variants):
    labels = (("namespace", "restarted"), ("model", "m"))
    query = owning(SignalQuery("prometheus", "vllm", "waiting", labels), "fine", "stuck")
    [reading] = variants.fetch([query], [AT])[query]
    assert (reading.answered, reading.incomplete_reason) == (1, "1 of its 2 pods do not answer: stuck")


def test_a_pod_that_is_not_ready_need_not_answer(variants):
    query = owning(asked("waiting"), *VARIANTS["llama"], "llama-5d8f-new", ready=VARIANTS["llama"])
    [reading] = variants.fetch([query], [AT])[query]
    assert (reading.value, reading.answered, reading.expected, reading.incomplete_reason) == (3, 2, 2, "")


def test_a_target_without_pods_has_no_value(variants):
    query = owning(asked("waiting"))
    [reading] = variants.fetch([query], [AT])[query]
    assert (reading.value, reading.answered, reading.expected) == (None, 0, 0)


@pytest.mark.parametrize(("past", "then"), [(PAST, 53), ("", 3)])
def test_pods_of_the_past_are_known_by_their_names(variants, past, then):
    query = owning(asked("waiting"), *VARIANTS["llama"], past=past)
    before, now = variants.fetch([query], [AT - 400, AT])[query]
    assert (before.value, now.value) == (then, 3)
    assert now.incomplete_reason == ""


def test_the_most_of_a_window_is_asked_of_a_targets_own_pods_together(variants):
    most = replace(asked("waiting"), window=600.0, reduce="max")
    llama, canary = (owning(most, *pods, past=past) for pods, past in zip(VARIANTS.values(), (PAST, ""), strict=True))
    readings = variants.fetch([most, llama, canary], [AT])
    assert [readings[query][0].value for query in (most, llama, canary)] == [153, 53, 100], "with the pod that is gone"
    assert len({readings[query][0].source for query in (llama, canary)}) == 2


@pytest.mark.parametrize(("window", "step"), [(20.0, "1s"), (600.0, "3s"), (3600.0, "15s"), (86400.0, "60s")])
def test_a_window_is_looked_at_in_steps(window, step):
    labels = (("namespace", "n"), ("workload", "llm"))
    query = SignalQuery("p", "kubernetes", "spec_replicas", labels, window=window, reduce="max")
    [grouped] = group([query], Naming())
    assert f":{step}]) and max by (namespace, workload) (" in grouped.text


def test_own_pods_and_a_given_pattern_both_hold(variants):
    query = owning(asked("waiting", pods=".*-aaaaa"), *VARIANTS["llama"], ready=())
    assert variants.fetch([query], [AT])[query][0].value == 1


def test_rows_of_single_pods_count_against_the_size_of_a_query():
    queries = [owning(replace(asked("waiting"), endpoint=str(at)), *map(str, range(60))) for at in range(3)]
    assert [len(part.queries) for part in group(queries, Naming(), 130)] == [2, 1]
