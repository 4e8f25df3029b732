"""The pods behind a signal, from the series on pages that were read directly. Pure.

What is on one page adds up, whatever labels tell it apart, unless they are known to repeat one thing (`repeatedBy`);
pages of one pod add up, each at an address of its own; the same address again is the same page. A pod is called after
its label `pod`, or else its page's address. Of a metric's names, the newest that a page has counts, and no other.

    http://a:1/  vllm:num_requests_waiting{model_name="m",engine="0"} 3      pod a of the workload (demo, m):
                 vllm:num_requests_waiting{model_name="m",engine="1"} 5      parts 3 and 5, which are added up

What Prometheus knows from its scrape and a page does not is the namespace. A page whose list says none, and that says
none itself, belongs to whoever asks.
"""

import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product

from scaler.config.endpoint import Page
from scaler.config.naming import Naming
from scaler.config.signals import InfoJoin, Metric, Pairs, find
from scaler.model.errors import ConfigError
from scaler.model.measurement import SignalQuery
from scaler.sources.pages.counters import PROCESS
from scaler.sources.pages.exposition import Sample
from scaler.sources.pages.names import is_of, plain, suffixed

LabelValues = tuple[str, ...]  # values of the labels of a workload
Rates = Mapping[str, float]  # per second, by key of the series

_BRANCHING = 3  # repeats and groups in the expression for pods; each multiplies the time that a name can take


@dataclass(frozen=True, slots=True, eq=False)
class PageResult:
    """One page as it is known now."""

    page: Page
    samples: Mapping[str, Sequence[Sample]]  # by name; of the last time that it answered
    rates: Callable[[float], Rates]  # by window in seconds
    problem: str = ""  # why it did not answer just now; empty: it did
    known: bool = True  # whether it ever answered
    read_at: float | None = None  # when it answered last; None: just now
    names: frozenset[str] = frozenset()  # of metrics on it, where somebody missed one
    jumping: Collection[str] = ()  # keys of counters, and of the time a process began, that fell again and again
    lost: Mapping[str, Sequence[Sample]] = field(default_factory=dict)  # by name: what it had, and has nothing of now
    lost_before: Collection[str] = ()  # names of these that a process had which has ended since
    unclear: str = ""  # why it is not known whether it is another page, or one that is read already

    @property
    def takes_turns(self) -> bool:
        """Tell whether several processes answer in turn behind one port or Service: each reading meets another."""
        return any(key.partition("{")[0] == PROCESS for key in self.jumping)

    def label(self, sample: Sample, name: str) -> str:
        """Return a label of a series, as Prometheus would have it with honor_labels false; empty when absent."""
        return self.page.labels.get(name) or sample.labels.get(name, "")

    def pod(self, sample: Sample, name: str) -> str:
        """Return the pod of a series; `name` is what its label is called."""
        return self.label(sample, name) or self.page.address


@dataclass(slots=True)
class PodShare:
    """One pod, or one object, behind a signal."""

    # what adds up within it: page, series, bound of a bucket
    parts: dict[LabelValues, float] = field(default_factory=dict)
    whole: bool = True  # False: a rate of it is not known yet, or it says NaN
    oldest: float = math.inf  # time of its oldest sample, where the page says so
    jumping: bool = False  # whether its counters fell again and again, or its process changes to and fro
    below: bool = False  # whether a load of it is said to be less than 0
    odd: bool = False  # whether it says NaN
    # by part: its page, and the labels by which the engine tells its ranks there apart
    engines: dict[LabelValues, tuple[str, Pairs]] = field(default_factory=dict)


Pods = dict[LabelValues, dict[str, PodShare]]


@lru_cache(maxsize=1024)
def pods_matcher(pattern: str | None) -> Callable[[str], object]:
    """Compile an expression for pods, which comes from a trigger: it must not be able to take long.

    Raises:
        ConfigError: it repeats a group, or has too many repeats and groups; RE2 could take that, Python cannot.
    """
    if pattern is None:
        return bool
    bare = re.sub(r"\\.", "", pattern)  # without what is escaped
    branching = re.findall(r"\((?:\?:)?|[*+?{]", bare)
    if len(branching) > _BRANCHING or re.search(r"\)[*+?{]", bare):
        problem = f"{pattern!r} repeats a group, or has more than {_BRANCHING} repeats and groups"
        raise ConfigError("trigger", "pods", problem, "a simpler expression, where pages are read directly")
    return re.compile(pattern).fullmatch


class PodReader:
    """Finds the pods behind the signal of queries of one shape."""

    def __init__(self, query: SignalQuery, dialect: Naming, now: float) -> None:
        """Read for one query, and for all that differ from it in nothing but whose they are.

        Args:
            query: one of them.
            dialect: what labels are called.
            now: when the pages were read.
        """
        self._query = query
        self._signal = find(query.engine, query.signal)
        self._dialect = dialect
        self._now = now
        self.by = tuple(dialect.label_of(self._signal, label) for label, _ in query.labels)
        self.pod = dialect.name("pod")
        self.is_meant = pods_matcher(query.pods)
        self._ranks = tuple(map(dialect.name, self._signal.sum_within_pod_by or ()))
        self._repeats = frozenset(map(dialect.name, self._signal.repeated_by))
        instead = [self._signal.also_called(*pair) for pair in query.labels]
        written = [value for _, value in query.labels]
        self._renamed = (written, instead) if any(instead) else None

    def gather(self, metrics: Sequence[Metric], visits: Iterable[PageResult], *, also: bool = True) -> Pods:
        """Collect the pods of all workloads; of each pod the first metric that its page has."""
        table: Pods = {}
        objects = self._joined_objects(metrics, visits := list(visits))
        for visit in visits:
            here: Pods = {}
            for metric in metrics:
                for key, pods in self._pods_of(visit, metric, objects).items():
                    here[key] = pods | here.get(key, {})
            if also:
                self._add(here, visit, objects)
            merge(table, here)
        return table

    def _add(self, here: Pods, visit: PageResult, objects: Mapping[tuple[str, LabelValues], PodShare]) -> None:
        """Add what adds up with the newest metric, and idle pods, which have nothing but the engine's family."""
        for number, metric in enumerate(plain(self._signal.plus), 1):
            for key, pods in self._pods_of(visit, metric, objects).items():
                known = here.setdefault(key, {})
                for name, pod in pods.items():
                    parts = {(*part, str(number)): value for part, value in pod.parts.items()}
                    engines = {(*part, str(number)): engine for part, engine in pod.engines.items()}
                    more = PodShare(parts, pod.whole, pod.oldest, below=pod.below, odd=pod.odd, engines=engines)
                    known[name] = _both(known[name], more) if name in known else more
        if self._signal.idles:
            for sample in self._family(visit):
                name = visit.pod(sample, self.pod)
                if self.is_meant(name):
                    here.setdefault(self._key(visit, sample, self.by), {}).setdefault(name, PodShare({(): 0.0}))

    def has_family(self, visit: PageResult) -> bool:
        """Tell whether the engine shows itself on a page."""
        return any(True for _ in self._family(visit))

    def _family(self, visit: PageResult) -> Iterator[Sample]:
        """Yield the series on a page that are the engine's, whatever they say."""
        for name, samples in visit.samples.items():
            if any(is_of(name, member) for member in self._signal.family_names):
                yield from samples

    def _pods_of(self, visit: PageResult, metric: Metric, objects: Mapping[tuple[str, LabelValues], PodShare]) -> Pods:
        """Collect the pods on one page, as one metric has them."""
        if metric.info_join:
            return self._joined(visit, metric, metric.info_join, objects)
        rates = visit.rates(self._query.window or 0.0) if self._signal.takes_window else {}
        found: Pods = {}
        by = self._called(metric)
        for sample in self._select(visit, suffixed(self._signal, metric), metric.where):
            name = visit.pod(sample, self.pod) if self._signal.scope != "object" else ""
            if name and not self.is_meant(name):
                continue
            pod = found.setdefault(self._key(visit, sample, by), {}).setdefault(name, PodShare())
            pod.oldest = min(pod.oldest, self._time(visit, sample))
            pod.jumping |= visit.takes_turns or (self._signal.type == "counter" and sample.key in visit.jumping)
            value = rates.get(sample.key) if self._signal.takes_window else sample.value
            if value is None or (math.isnan(value) and not self._signal.takes_quantile):
                pod.whole, pod.odd = False, pod.odd or value is not None
                continue
            if value < 0 and self._signal.scope != "object":
                pod.below, value = True, 0.0
            part = self._part(visit, sample)
            pod.parts[part] = max(value, pod.parts.get(part, value))
            pod.engines[part] = visit.page.address, tuple((label, visit.label(sample, label)) for label in self._ranks)
        return found

    def _key(self, visit: PageResult, sample: Sample, by: LabelValues) -> LabelValues:
        """Return whose a series is; one that the engine could not name is of whoever asks."""
        said = _values(visit, sample, by)
        if not self._renamed:
            return said
        return tuple(
            mine if value in instead else value for value, mine, instead in zip(said, *self._renamed, strict=True)
        )

    def _time(self, visit: PageResult, sample: Sample) -> float:
        """Return when a sample was taken: as the page says, or when it was read."""
        read_at = self._now if visit.read_at is None else visit.read_at
        return read_at if sample.at is None else sample.at

    def _part(self, visit: PageResult, sample: Sample) -> LabelValues:
        """Return what tells a series from the others of its pod, without the labels that repeat one thing."""
        page = "" if self._dialect.name("instance") in self._repeats else visit.page.address
        told = sample.key
        if self._repeats:
            series = (pair for pair in sorted(sample.labels.items()) if pair[0] not in self._repeats)
            told = ",".join(f"{label}={value!r}" for label, value in series)
        return page, told, sample.labels.get("le", "") if self._signal.takes_quantile else ""

    def _select(self, visit: PageResult, name: str, where: Pairs) -> Iterator[Sample]:
        fixed = [(self._dialect.name(label), value) for label, value in where]
        for sample in visit.samples.get(name, ()):
            if all(visit.label(sample, label) == value for label, value in fixed):
                yield sample

    def _called(self, metric: Metric) -> LabelValues:
        """Return what a metric calls the labels of a workload."""
        label_of, name_of = self._dialect.label_of, self._dialect.name
        own = {label_of(self._signal, label): name_of(name) for label, name in metric.label_names}
        return tuple(own.get(label, label) for label in self.by)

    def _joined_objects(
        self, metrics: Sequence[Metric], visits: Sequence[PageResult]
    ) -> Mapping[tuple[str, LabelValues], PodShare]:
        """Collect what others point at: by metric, namespace and name."""
        objects: dict[tuple[str, LabelValues], PodShare] = {}
        name_of = self._dialect.name
        reached = [(metric, name_of(metric.info_join.names)) for metric in metrics if metric.info_join]
        for (metric, label), visit in product(reached, visits):
            for sample in self._select(visit, metric.name, metric.where):
                name = visit.label(sample, self.by[0]), visit.label(sample, label)
                objects[metric.name, name] = PodShare({(): sample.value}, oldest=self._time(visit, sample))
        return objects

    def _joined(
        self, visit: PageResult, metric: Metric, through: InfoJoin, objects: Mapping[tuple[str, LabelValues], PodShare]
    ) -> Pods:
        """Collect what the objects of one page point at."""
        found: Pods = {}
        by = self._called(metric)
        for sample in self._select(visit, through.info, through.where):
            named = visit.label(sample, self._dialect.name(through.label))
            thing = objects.get((metric.name, (visit.label(sample, self.by[0]), named)))
            if thing:
                found[_values(visit, sample, by)] = {"": thing}
        return found


def _values(visit: PageResult, sample: Sample, labels: Iterable[str]) -> LabelValues:
    return tuple(visit.label(sample, label) for label in labels)


def merge(table: Pods, found: Pods) -> None:
    """Add the pods of a page: what a pod has on another page is something else, but for the same page again."""
    for key, pods in found.items():
        known = table.setdefault(key, {})
        for name, pod in pods.items():
            known[name] = _both(known[name], pod) if name in known else pod


def _both(one: PodShare, other: PodShare) -> PodShare:
    parts = dict(one.parts)
    for part, value in other.parts.items():
        parts[part] = max(value, parts.get(part, value))
    whole, jumping = one.whole and other.whole, one.jumping or other.jumping
    below, odd = one.below or other.below, one.odd or other.odd
    engines = one.engines | other.engines
    return PodShare(parts, whole, min(one.oldest, other.oldest), jumping, below, odd, engines)
