"""Our own metrics. METRICS is the whole list; the documentation is made from it, and a metric that is not in it fails.

What was decided is read from the engine when the page is asked for, so it can neither lag nor leak; only calls are
counted as they end. Label values come from what was validated (names of objects, files and endpoints), never from the
rest of a trigger's metadata, and at most so many workloads have series of their own.
"""

import platform
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

import grpc
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from scaler import __version__
from scaler.config.catalog import Catalog
from scaler.decision.decision import Decision, InputValue
from scaler.model.measurement import WorkloadKey

WORKLOAD = ("namespace", "scaled_object", "trigger", "formula")
DURATIONS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


@dataclass(frozen=True, slots=True)
class Family:
    """Declares one metric family that this server exports."""

    name: str
    type: str  # gauge | counter | histogram
    labels: tuple[str, ...]
    help: str


METRICS = (
    Family("llm_scaler_replicas", "gauge", WORKLOAD, "Replicas that KEDA is told; absent when nothing can be said."),
    Family("llm_scaler_active", "gauge", WORKLOAD, "1 when KEDA is told active; absent when nothing can be said."),
    Family(
        "llm_scaler_desired_replicas", "gauge", WORKLOAD, "Replicas that the formula asks for; absent like its value."
    ),
    Family(
        "llm_scaler_available_replicas", "gauge", WORKLOAD, "Replicas that can be had; absent when that is not known."
    ),
    Family("llm_scaler_pending_replicas", "gauge", WORKLOAD, "Replicas without a node."),
    Family("llm_scaler_value", "gauge", WORKLOAD, "What the formula came to; absent where an input was not measured."),
    Family("llm_scaler_target", "gauge", WORKLOAD, "The formula's target."),
    Family(
        "llm_scaler_certain", "gauge", WORKLOAD, "1 when the decision rests on complete measurements and full memory."
    ),
    Family("llm_scaler_cannot_wake", "gauge", WORKLOAD, "1 at 0 replicas when nothing that is read can ever wake it."),
    Family(
        "llm_scaler_silent_pods", "gauge", WORKLOAD, "Ready pods that an input was not measured at, of the worst input."
    ),
    Family("llm_scaler_load_stalled", "gauge", WORKLOAD, "1 when a load stands still and its engine counts no token."),
    Family(
        "llm_scaler_held_seconds", "gauge", WORKLOAD, "Since the last certain decision; fails at the formula's holdFor."
    ),
    Family("llm_scaler_decision_timestamp_seconds", "gauge", WORKLOAD, "When it was decided."),
    Family(
        "llm_scaler_input_value", "gauge", (*WORKLOAD, "input"), "An input as it was measured; absent where it was not."
    ),
    Family("llm_scaler_input_age_seconds", "gauge", (*WORKLOAD, "input"), "Age of an input's oldest sample."),
    Family("llm_scaler_workloads", "gauge", ("state",), "Workloads by certainty: certain, raising, held, unknown."),
    Family(
        "llm_scaler_workloads_unexported", "gauge", (), "Workloads without series of their own: admin.maxWorkloads."
    ),
    Family("llm_scaler_source_answers_total", "counter", ("endpoint", "outcome"), "Measurements: answered or failed."),
    Family("llm_scaler_source_seconds_total", "counter", ("endpoint",), "Seconds spent waiting for an endpoint."),
    Family("llm_scaler_formulas", "gauge", (), "Formulas in service."),
    Family("llm_scaler_formula_file_invalid", "gauge", ("file",), "1 for a file that is not in service as it stands."),
    Family("llm_scaler_kubernetes_objects_left_out", "gauge", (), "Kubernetes objects that cannot be read."),
    Family("llm_scaler_workloads_stale_formula", "gauge", (), "Workloads whose newest formula is not in force."),
    Family(
        "llm_scaler_certificate_invalid", "gauge", (), "1 when newer TLS files do not fit and the old ones serve on."
    ),
    Family(
        "llm_scaler_certificate_expiration_timestamp_seconds",
        "gauge",
        ("certificate",),
        "When a certificate that is served ends: server, client-ca.",
    ),
    Family("llm_scaler_streams", "gauge", (), "Open streams."),
    Family("llm_scaler_calls_total", "counter", ("method", "code"), "Calls that ended, by gRPC method and status."),
    Family("llm_scaler_call_seconds", "histogram", ("method",), "Seconds that calls took; streams not included."),
    Family("llm_scaler_build_info", "gauge", ("version", "python", "grpc"), "Always 1."),
)
_METRICS = {family.name: family for family in METRICS}


class FetchCounts(Protocol):
    """The counts of how often an endpoint was asked."""

    answered: int
    failed: int
    seconds: float


class EngineForMetrics(Protocol):
    """The part of the engine that the metrics need."""

    @property
    def catalog(self) -> Catalog:
        """The formulas in force."""
        ...

    def decisions(self) -> Sequence[Decision]:
        """Return the newest decision of every workload."""
        ...

    def notices(self) -> Mapping[WorkloadKey, str]:
        """Return the workloads that go on with an older formula."""
        ...

    @property
    def fetches(self) -> Mapping[str, FetchCounts]:
        """Counts by endpoint."""
        ...


class ServerForMetrics(Protocol):
    """The part of the gRPC server that the metrics need."""

    async def warning(self) -> str:
        """Say what is wrong with it while it serves on."""
        ...

    def expirations(self) -> Mapping[str, float]:
        """Return when each of the certificates that are served ends."""
        ...

    @property
    def streams(self) -> Sized:
        """The open streams."""
        ...


class Calls(Collector):
    """Counts calls as they end: plain numbers, since all calls end on one event loop and each must cost little.

    Args:
        registry: where they are shown.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ended: dict[tuple[str, str], int] = defaultdict(int)  # method and status -> calls
        self._spans: dict[str, list[int]] = defaultdict(lambda: [0] * (len(DURATIONS) + 1))  # method -> calls by span
        self._seconds: dict[str, float] = defaultdict(float)
        registry.register(self)

    def observe(self, method: str, code: str, seconds: float) -> None:
        """Count one call; the methods are the five of the service, and the codes are gRPC's."""
        self._ended[method, code] += 1
        if not method.startswith("Stream"):
            self._spans[method][bisect_left(DURATIONS, seconds)] += 1
            self._seconds[method] += seconds

    def collect(self) -> Iterator[Metric]:
        """Yield both metrics."""
        ended, spans = _METRICS["llm_scaler_calls_total"], _METRICS["llm_scaler_call_seconds"]
        counter = CounterMetricFamily(ended.name, ended.help, labels=ended.labels)
        for labels, calls in list(self._ended.items()):
            counter.add_metric(labels, calls)
        histogram = HistogramMetricFamily(spans.name, spans.help, labels=spans.labels)
        for method, counts in list(self._spans.items()):
            bounds = (*map(str, DURATIONS), "+Inf")
            buckets = list(zip(bounds, accumulate(counts), strict=True))
            histogram.add_metric([method], buckets, self._seconds[method])
        yield from (counter, histogram)


@dataclass(frozen=True, slots=True)
class MetricsSnapshot:
    """The content of the page, taken at one moment on the event loop, so that it can be written out in a thread."""

    decisions: Sequence[Decision]
    fetches: Mapping[str, tuple[int, int, float]]  # endpoint -> answered, failed, seconds
    catalog: Catalog
    left_out: int  # objects of Kubernetes that cannot be read
    old_formulas: int
    bad_certificate: bool
    expirations: Mapping[str, float]  # of the certificates that are served
    streams: int
    limit: int  # workloads with series of their own


class SnapshotCollector(Collector):
    """The metrics of one moment, and the calls counted so far."""

    def __init__(self, seen: MetricsSnapshot, counted: CollectorRegistry) -> None:
        self._seen = seen
        self._counted = counted

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, each once."""
        yield from self._counted.collect()
        yield from _families(_samples(self._seen))


def registry() -> CollectorRegistry:
    """Make a registry for what is counted as it happens, and for the process itself."""
    own = CollectorRegistry()
    ProcessCollector(registry=own)
    return own


MetricSample = tuple[str, tuple[str, ...], float]  # metric, label values, value


def _families(samples: Iterable[MetricSample]) -> Iterator[Metric]:
    """Group samples under the heads that METRICS gives them."""
    make = {"gauge": GaugeMetricFamily, "counter": CounterMetricFamily}
    families = {one.name: make[one.type](one.name, one.help, labels=one.labels) for one in METRICS if one.type in make}
    for name, labels, value in samples:
        families[name].add_metric(labels, value)
    return (family for family in families.values() if family.samples)


def _samples(seen: MetricsSnapshot) -> Iterator[MetricSample]:
    exported = seen.decisions[: seen.limit]
    for decision in exported:
        yield from _of_workload(decision)
    for state in ("certain", "raising", "held", "unknown"):
        yield "llm_scaler_workloads", (state,), sum(item.certainty == state for item in seen.decisions)
    yield "llm_scaler_workloads_unexported", (), len(seen.decisions) - len(exported)
    for endpoint, (answered, failed, seconds) in seen.fetches.items():
        yield "llm_scaler_source_answers_total", (endpoint, "answered"), answered
        yield "llm_scaler_source_answers_total", (endpoint, "failed"), failed
        yield "llm_scaler_source_seconds_total", (endpoint,), seconds
    yield "llm_scaler_formulas", (), len(seen.catalog.formulas)
    for file in seen.catalog.problems:
        yield "llm_scaler_formula_file_invalid", (file,), 1
    yield "llm_scaler_kubernetes_objects_left_out", (), seen.left_out
    yield "llm_scaler_workloads_stale_formula", (), seen.old_formulas
    yield "llm_scaler_certificate_invalid", (), seen.bad_certificate
    for certificate, ends in seen.expirations.items():
        yield "llm_scaler_certificate_expiration_timestamp_seconds", (certificate,), ends
    yield "llm_scaler_streams", (), seen.streams
    yield "llm_scaler_build_info", (__version__, platform.python_version(), grpc.__version__), 1


def _of_workload(decision: Decision) -> Iterator[MetricSample]:
    key = decision.key
    labels = (key.namespace, key.name, key.trigger, decision.spec.formula)
    numbers: tuple[tuple[str, float | None], ...] = (
        ("llm_scaler_replicas", decision.replicas),
        ("llm_scaler_active", decision.active),
        ("llm_scaler_desired_replicas", None if decision.rests_on_nothing else decision.desired),
        ("llm_scaler_available_replicas", decision.capacity.replicas if decision.capacity else None),
        ("llm_scaler_pending_replicas", decision.target_status.pending),
        ("llm_scaler_value", None if decision.rests_on_nothing else decision.value),
        ("llm_scaler_target", decision.target),
        ("llm_scaler_certain", decision.certainty == "certain"),
        ("llm_scaler_cannot_wake", bool(decision.cannot_wake)),
        ("llm_scaler_silent_pods", silent_pods(decision)),
        ("llm_scaler_load_stalled", bool(decision.stalled)),
        ("llm_scaler_held_seconds", decision.uncertain_for),
        ("llm_scaler_decision_timestamp_seconds", decision.at),
    )
    yield from ((name, labels, value) for name, value in numbers if value is not None)
    for fact in decision.input_values:
        yield from _of_input(labels, fact)


def silent_pods(decision: Decision) -> int | None:
    """Count the ready pods that an input was not measured at, of the input that misses most; None: nothing is counted.

    An input without any series misses all; one whose source fails is the source's fault, and counts for nothing. What
    the formula can do without counts only as far as it was measured.
    """
    inputs = zip(decision.input_values, decision.spec.inputs, strict=True)
    counts = [_silent(fact, decision.target_status.ready) for fact, item in inputs if item.of_target]
    return max((count for count in counts if count is not None), default=None)


def _silent(fact: InputValue, ready: int | None) -> int | None:
    expected = max((count for count in (fact.expected, ready) if count is not None), default=None)
    answered = 0 if fact.substituted and fact.problem.startswith("no series") else fact.answered
    return None if expected is None or answered is None else max(expected - answered, 0)


def _of_input(labels: tuple[str, ...], fact: InputValue) -> Iterator[MetricSample]:
    if fact.measured is not None:
        yield "llm_scaler_input_value", (*labels, fact.name), fact.measured
    if fact.age is not None:
        yield "llm_scaler_input_age_seconds", (*labels, fact.name), fact.age
