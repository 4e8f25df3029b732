"""The nouns that every room shares: what is asked, what was measured, who asks. Frozen, and nearly without behaviour.

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
class Request:
    """What KEDA sends with every call: the scaled object and its trigger's metadata, nothing more."""

    namespace: str
    name: str
    metadata: tuple[tuple[str, str], ...]  # sorted, so that equal triggers are equal requests


@dataclass(frozen=True, slots=True)
class PodPlace:
    """Where a pod is, and where its annotations say that its metrics page is."""

    namespace: str
    name: str
    ip: str
    scrape: tuple[tuple[str, str], ...] = ()  # annotations prometheus.io/KEY, by KEY: strangers' words
    ports: tuple[tuple[str, int], ...] = ()  # that its containers declare, by name, which may be empty


@dataclass(frozen=True, slots=True)
class OwnPods:
    """The pods of one scale target, where Kubernetes tells them."""

    names: frozenset[str]  # that exist now
    ready: frozenset[str]  # of these, the ones that must answer, as far as the trigger's `pods` means them
    past: str = ""  # RE2 for the names of all it ever had, for times gone by; empty: not known
    places: frozenset[PodPlace] = frozenset()  # of those that may hold load
    least: int | None = None  # of those that must answer, how many have to; None: all


@dataclass(frozen=True, slots=True)
class SignalAsk:
    """A signal of the engine catalogue, for one workload.

    Asks that are equal but for the values in `labels` share one grouped query.
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
    own: OwnPods | None = None  # the pods it is measured on, and no others; None: all that the labels take


@dataclass(frozen=True, slots=True)
class QueryAsk:
    """A PromQL text of a formula file with its parameters already in place; must give one number or nothing."""

    endpoint: str
    text: str


@dataclass(frozen=True, slots=True)
class HistoryAsk:
    """Whether the endpoint holds any data that is at least `seconds` old: 1, or nothing."""

    endpoint: str
    seconds: float


@dataclass(frozen=True, slots=True)
class GpuAsk:
    """What can be had of GPUs for one scale target: reckoned from the picture of the cluster; no source is asked."""

    endpoint: ClassVar[str] = ""
    count: str  # "free", "schedulable_replicas", ...: a key of availability.GPU_COUNTS


Ask = SignalAsk | QueryAsk | HistoryAsk  # of a source


@dataclass(frozen=True, slots=True)
class Reading:
    """What a source that answered said about one ask at one time."""

    value: float | None  # None: the answer held no such series, or NaN (a quantile over no requests)
    at: float  # the time that was asked about
    age: float | None = None  # seconds between `at` and the oldest sample behind the value, where known
    answered: int | None = None  # pods behind the value, where known
    expected: int | None = None  # pods that should have answered, where known
    partial: str = ""  # why the value may be too low or too old to be believed alone; empty: it is whole
    source: str = ""  # endpoint and query, for the explanation
    by_pod: tuple[tuple[str, float], ...] = ()  # what is each pod's, where that is told of a load or its counters
    note: str = ""  # how far the value may be believed, and what binds it
    instead: str = ""  # where there is no such series: what there is
    shown: bool | None = (
        None  # of a gateway's: whether it is to be seen, if only by another model's series; None: unasked
    )


@dataclass(frozen=True, slots=True)
class Failure:
    """A source did not answer, or answered with an error."""

    reason: str
    at: float
    final: bool = False  # the question itself is wrong: asking again cannot help, so nothing is held
    source: str = ""


Measured = Reading | Failure


NOBODYS: Mapping[Ask, str] = MappingProxyType({})


class Source(Protocol):
    """One endpoint. Blocking; called in a thread."""

    def fetch(
        self, asks: Collection[Ask], times: Sequence[float], whose: Mapping[Ask, str] = NOBODYS
    ) -> Mapping[Ask, Sequence[Measured]]:
        """Measure every ask at every time.

        Args:
            asks: what is asked; they all name this endpoint.
            times: ascending, evenly spaced; one time is the ordinary tick, several are the history of a new workload.
            whose: the namespace of who asked first; what there is not enough of is shared among namespaces.

        Returns:
            For every ask one measurement per time, in the order of `times`. A source that fails is a `Failure`,
            not an exception.
        """
        ...


@dataclass(frozen=True, slots=True)
class Replicas:
    """What is known about the scale target. None is unknown, which is not zero."""

    current: int | None = None  # asked of it (spec.replicas), whether or not there are that many pods
    ready: int | None = None
    starting: int | None = None  # not ready yet; where `pending` is known, without those
    minimum: int | None = None
    maximum: int | None = None
    source: str = ""
    pending: int | None = None  # pods without a node
    serving: int | None = None  # pods that are or were ready, so that they may hold load
    doubt: str = ""  # why all this is too old to lower anything on


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that one tick of one workload was told."""

    readings: Mapping[str, Measured]  # by the name of the metric in the formula
    activity_signals: Mapping[str, Measured] = field(
        default_factory=dict
    )  # waiting and running of the target's own pods
    counted: Mapping[str, Measured] = field(default_factory=dict)  # by the engine while it works; of a still load alone
    replicas: Replicas = Replicas()
    young: frozenset[str] = frozenset()  # endpoints without any data older than holdFor: restarted empty, or new
    target: TargetView = UNSEEN  # what Kubernetes says of the scale target


def replicas_for(value: float, target: float) -> int:
    """Return how many replicas a total of `value` needs at `target` each, rounded up.

    A millionth of a replica is noise of the division, not load: 0.3 / 0.1 is 3 replicas, not 4.
    """
    return math.ceil(round(value / target, 6))
