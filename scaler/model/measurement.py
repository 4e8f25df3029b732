"""The nouns that every room shares: queries, measurements, triggers. Frozen, and nearly without behaviour.

Times are seconds since the epoch, spans are seconds, both floats; they are handed in, never read from a clock.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar, Protocol

from scaler.model.objects import UNSEEN, TargetView

MAX_VALUE = 1e15  # larger numbers are sentinels ("blank" in DCGM) or faults, never loads


@dataclass(frozen=True, slots=True, order=True)
class WorkloadKey:
    """One trigger of one scaled object, as far as KEDA's request tells them apart."""

    namespace: str
    name: str
    kind: str  # "ScaledObject" or "ScaledJob"
    trigger: str  # the trigger's `id`, or a hash of its metadata: KEDA sends neither index nor name

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class TriggerRef:
    """Names a trigger as KEDA does with every call: by the scaled object and the trigger's metadata, nothing more."""

    namespace: str
    name: str
    metadata: tuple[tuple[str, str], ...]  # sorted, so that equal triggers are equal requests


@dataclass(frozen=True, slots=True)
class PodAddress:
    """Says where a pod is, and where its annotations say that its metrics page is."""

    namespace: str
    name: str
    ip: str
    prometheus_annotations: tuple[tuple[str, str], ...] = ()  # annotations prometheus.io/KEY, by KEY: strangers' words
    ports: tuple[tuple[str, int], ...] = ()  # that its containers declare, by name, which may be empty


@dataclass(frozen=True, slots=True)
class TargetPods:
    """Names the pods of one scale target, where Kubernetes tells them."""

    names: frozenset[str]  # that exist now
    ready: frozenset[str]  # of these, the ones that must answer, as far as the trigger's `pods` means them
    name_pattern: str = ""  # RE2 for the names of all it ever had, for times gone by; empty: not known
    addresses: frozenset[PodAddress] = frozenset()  # of those that may hold load
    min_answering: int | None = None  # of those that must answer, how many have to; None: all
    replicas: tuple[frozenset[str], ...] = ()  # the pods of each replica that has several, where that is known

    def lacking(self, answered: Collection[str]) -> frozenset[str]:
        """Name the pods that should have answered and did not, where these did.

        Of each replica one has to, where its pods are known; else as many as there are replicas, or all.
        """
        silent = self.ready.difference(answered)
        if self.replicas:
            whole = [pods for pods in self.replicas if pods.intersection(answered)]
            return silent.difference(*whole)
        enough = self.min_answering is not None and len(self.ready) - len(silent) >= self.min_answering
        return frozenset() if enough else silent


@dataclass(frozen=True, slots=True)
class SignalQuery:
    """Asks for a signal of the engine catalogue, for one workload.

    Queries that are equal but for the values in `labels` share one batch query.
    """

    endpoint: str  # a name in the settings, never an address
    engine: str
    signal: str
    labels: tuple[tuple[str, str], ...]  # the catalogue's name of the label ("namespace", "model"), value; in its order
    pods: str | None = None  # RE2, anchored at both ends: only these pods are the workload's
    window: float | None = None  # seconds that the source looks back: a rate, a quantile, or what `reduce` says
    quantile: float | None = None  # in (0, 1)
    at_most: float | None = None  # of a histogram, instead of a quantile: the share of observations up to this
    reduce: str | None = None  # of a gauge over `window`: mean, max or min; None: as it is now, or no gauge
    target_pods: TargetPods | None = None  # the pods it is measured on, and no others; None: all that the labels take


@dataclass(frozen=True, slots=True)
class PromqlQuery:
    """Asks for a PromQL text of a formula file, its parameters in place; it must give one number or nothing."""

    endpoint: str
    text: str


@dataclass(frozen=True, slots=True)
class HistoryProbe:
    """Asks whether the endpoint holds any data that is at least `seconds` old: the answer is 1, or nothing."""

    endpoint: str
    seconds: float


@dataclass(frozen=True, slots=True)
class CapacityQuery:
    """Asks what GPUs one scale target can have: computed from the cluster's objects; no source is asked."""

    endpoint: ClassVar[str] = ""
    count: str  # "free", "schedulable_replicas", ...: a key of availability.GPU_COUNTS


Query = SignalQuery | PromqlQuery | HistoryProbe  # of a source


@dataclass(frozen=True, slots=True)
class Reading:
    """Holds what a source that answered said about one query at one time."""

    value: float | None  # None: the answer held no such series, or NaN (a quantile over no requests)
    at: float  # the time that was asked about
    age: float | None = None  # seconds between `at` and the oldest sample behind the value, where known
    answered: int | None = None  # pods behind the value, where known
    expected: int | None = None  # pods that should have answered, where known
    incomplete_reason: str = ""  # why the value may be too low or too old to be believed alone; empty: it is whole
    source: str = ""  # endpoint and query, for the explanation
    by_pod: tuple[tuple[str, float], ...] = ()  # what is each pod's, where that is told of a load or its counters
    # the same of each engine of a pod that has several, by a name such as `llm-0 at 10.0.0.7:8001, engine 1`
    by_engine: tuple[tuple[str, float], ...] = ()
    caveat: str = ""  # how far the value may be believed, and what binds it
    found_instead: str = ""  # where there is no such series: what there is
    shown: bool | None = None  # of a gateway: whether it has any series, if only another model's; None: not asked


AT, RANK = " at ", ", "  # between the parts of an engine's name: pod, page, ranks


def engine_name(pod: str, page: str, ranks: Sequence[tuple[str, str]]) -> str:
    """Name an engine: by its pod, its page, and the labels of its rank where a page has several."""
    return RANK.join((f"{pod}{AT}{page}", *(f"{label} {value}" for label, value in ranks if value)))


@dataclass(frozen=True, slots=True)
class Failure:
    """Says why a source did not answer, or answered with an error."""

    reason: str
    at: float
    config_error: bool = False  # the question itself is wrong: asking again cannot help, so nothing is held
    source: str = ""


Measurement = Reading | Failure

NO_NAMESPACES: Mapping[Query, str] = MappingProxyType({})


class Source(Protocol):
    """One endpoint. Blocking; called in a thread."""

    def fetch(
        self, queries: Collection[Query], times: Sequence[float], namespaces: Mapping[Query, str] = NO_NAMESPACES
    ) -> Mapping[Query, Sequence[Measurement]]:
        """Measure every query at every time.

        Args:
            queries: what is asked; they all name this endpoint.
            times: ascending, evenly spaced; one time is the ordinary tick, several are the history of a new workload.
            namespaces: the namespace of who asked first; what there is not enough of is shared among namespaces.

        Returns:
            For every query one measurement per time, in the order of `times`. A source that fails is a `Failure`,
            not an exception.
        """
        ...


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """Counts the replicas of the scale target. None is unknown, which is not zero."""

    current: int | None = None  # asked of it (spec.replicas), whether or not there are that many pods
    ready: int | None = None
    starting: int | None = None  # not ready yet; where `pending` is known, without those
    minimum: int | None = None
    maximum: int | None = None
    source: str = ""
    pending: int | None = None  # pods without a node
    ever_ready: int | None = None  # pods that are or were ready, so that they may hold load
    stale_reason: str = ""  # why all this is too old to lower anything on


@dataclass(frozen=True, slots=True)
class Inputs:
    """Holds all that one tick of one workload was told."""

    readings: Mapping[str, Measurement]  # by the name of the metric in the formula
    # waiting and running of the target's own pods
    activity_signals: Mapping[str, Measurement] = field(default_factory=dict)
    # by the engine while it works; read of a load alone that stands still
    progress: Mapping[str, Measurement] = field(default_factory=dict)
    target_status: TargetStatus = TargetStatus()
    recently_started: frozenset[str] = frozenset()  # endpoints without data older than holdFor: restarted empty, or new
    target: TargetView = UNSEEN  # what Kubernetes says of the scale target


def replicas_for(value: float, target: float) -> int:
    """Return how many replicas a total of `value` needs at `target` each, rounded up.

    A millionth of a replica is noise of the division, not load: 0.3 / 0.1 is 3 replicas, not 4.
    """
    return math.ceil(round(value / target, 6))
