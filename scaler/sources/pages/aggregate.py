"""What pages that were read directly say about signals: the same answers that batch_query.py's queries give. Pure.

As there, what must be right is made right per page: the newest name of a metric and no other, and the same rule for
what adds up. What is on one page adds up, whatever labels tell it apart, unless they are known to repeat one thing
(`repeatedBy`); pages of one pod add up, each at an address of its own; the same address again is the same page. A pod
is called after its label `pod`, or else its page's address.

What Prometheus knows from its scrape and a page does not is the namespace. A page whose list says none, and that says
none itself, belongs to whoever asks.

A page that is listed and did not answer is missing for the workloads that it had series of when it last answered; one
that never did is missing for all whose labels it does not contradict.
"""

import logging
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product

from scaler.config.endpoint import Page
from scaler.config.metrics import BY_POD
from scaler.config.naming import Naming, check
from scaler.config.signals import InfoJoin, Metric, Pairs, Signal, find, plain_name
from scaler.model.errors import ConfigError
from scaler.model.fields import seconds
from scaler.model.measurement import MAX_VALUE, Failure, Measurement, Reading, SignalQuery
from scaler.sources.hints import emptied, of_engines
from scaler.sources.pages.counters import JUMPING, JUMPS_WITHIN
from scaler.sources.pages.exposition import Sample

Key = tuple[str, ...]  # values of the labels of a workload
Place = tuple[str, str]  # namespace and name of a pod
Rates = Mapping[str, float]  # per second, by key of the series

logger = logging.getLogger(__name__)

BELOW_ZERO = "say less than 0, which no load can be"
_SHOWN = 300  # characters of what went wrong that are shown
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
    jumping: Collection[str] = ()  # keys of counters that fell again and again
    unclear: str = ""  # why it is not known whether it is another page, or one that is read already

    def label(self, sample: Sample, name: str) -> str:
        """A label of a series, as Prometheus would have it with honor_labels false; empty when absent."""
        return self.page.labels.get(name) or sample.labels.get(name, "")

    def pod(self, sample: Sample, name: str) -> str:
        """The pod of a series; `name` is what its label is called."""
        return self.label(sample, name) or self.page.address


@dataclass(slots=True)
class _Pod:
    """One pod, or one object, behind a signal."""

    parts: dict[Key, float] = field(default_factory=dict)  # what adds up within it: page, series, bound of a bucket
    whole: bool = True  # False: a rate of it is not known yet, or it says NaN
    oldest: float = math.inf  # time of its oldest sample, where the page says so
    jumping: bool = False  # whether its counters fell again and again
    below: bool = False  # whether a load of it is said to be less than 0


Pods = dict[Key, dict[str, _Pod]]


def wanted(signals: Iterable[Signal]) -> frozenset[str]:
    """The names of all samples that the signals are measured by."""
    return frozenset(name for signal in signals for name in _names(signal))


def counted(signals: Iterable[Signal]) -> frozenset[str]:
    """Those of them that are counters: what a rate is taken of."""
    flows = [signal for signal in signals if signal.takes_window]
    return frozenset(_suffixed(signal, metric) for signal in flows for metric in _metrics(signal))


def _metrics(signal: Signal) -> tuple[Metric, ...]:
    """The metrics of a signal under the names that a page is read with: a dot is an underscore there."""
    return _plain((*signal.metrics, *signal.plus, *signal.per))


@lru_cache(maxsize=4096)
def _plain(metrics: tuple[Metric, ...]) -> tuple[Metric, ...]:
    return tuple(dict.fromkeys(metric.plain() for metric in metrics))


def _names(signal: Signal) -> Iterator[str]:
    yield from map(plain_name, signal.watched_family)
    for metric in _metrics(signal):
        yield _suffixed(signal, metric)
        if metric.info_join:
            yield metric.info_join.info


def _is_of(name: str, member: str) -> bool:
    """Whether a name is of a family: the same, or with the beginning that stands before a `*`."""
    member = plain_name(member)
    return name.startswith(member[:-1]) if member.endswith("*") else name == member


def _suffixed(signal: Signal, metric: Metric) -> str:
    return metric.name + ("_bucket" if signal.takes_quantile else "")


def measure(
    queries: Collection[SignalQuery], visits: Sequence[PageResult], dialect: Naming, at: float, now: float, source: str
) -> dict[SignalQuery, Measurement]:
    """Answer every query from the pages.

    Args:
        queries: of one endpoint.
        visits: all its pages.
        dialect: what labels are called, and for how long an old sample is believed.
        at: the time that was asked about.
        now: when the pages were read.
        source: the endpoint's name, for the explanation.
    """
    shapes: dict[object, list[SignalQuery]] = {}
    measured: dict[SignalQuery, Measurement] = {}
    for query in queries:
        try:
            check(query)
            pods_matcher(query.pods)
            shapes.setdefault(_shape(query), []).append(query)
        except ConfigError as error:
            measured[query] = Failure(str(error), at, config_error=True, source=source)
    for members in shapes.values():
        try:
            measured |= _shared(members, visits, dialect, at, now, source)
        except Exception as error:  # pages are anybody's: what they break must be theirs alone
            logger.exception("a signal cannot be measured", extra={"endpoint": source, "signal": members[0].signal})
            measured |= _alone(members, visits, dialect, at, now, source, error)
    return measured


def _shared(
    members: Sequence[SignalQuery], visits: Sequence[PageResult], dialect: Naming, at: float, now: float, source: str
) -> dict[SignalQuery, Measurement]:
    """Answer queries of one shape."""
    table = _Table(members[0], visits, dialect, at, now, source)
    return {query: table.read(query) for query in members}


def _alone(
    members: Sequence[SignalQuery],
    visits: Sequence[PageResult],
    dialect: Naming,
    at: float,
    now: float,
    source: str,
    error: Exception,
) -> dict[SignalQuery, Measurement]:
    """Answer each of them from the pages of its own namespace, and of those that do not say whose they are."""
    measured: dict[SignalQuery, Measurement] = {}
    label = dialect.name("namespace")
    for query in members:
        namespace = dict(query.labels).get("namespace", "")
        near = [visit for visit in visits if visit.page.labels.get(label, namespace) == namespace]
        try:
            measured |= _shared([query], near, dialect, at, now, source)
        except Exception:  # noqa: BLE001 - it was logged with the error of all
            told = f"{source} gives numbers that cannot be read ({type(error).__name__}: {error})"[:_SHOWN]
            measured[query] = Failure(told, at, source=source)
    return measured


def _shape(query: SignalQuery) -> object:
    """Return what queries that are measured together share: all but the values of their labels, and their pods."""
    signal = find(query.engine, query.signal)
    renamed = any(signal.also_called(*pair) for pair in query.labels)
    alone = query.labels if renamed else None
    labels = (label for label, _ in query.labels)
    return query.engine, query.signal, query.pods, query.window, query.quantile, query.at_most, alone, *labels


@lru_cache(maxsize=1024)
def pods_matcher(pattern: str | None) -> Callable[[str], object]:
    """Whether a pod is meant by an expression, which comes from a trigger: it must not be able to take long.

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


class _Table:
    """The pods that queries of one shape are measured on, by workload."""

    def __init__(
        self, query: SignalQuery, visits: Sequence[PageResult], dialect: Naming, at: float, now: float, source: str
    ) -> None:
        self._shape = query
        self._signal = find(query.engine, query.signal)
        self._dialect = dialect
        self._at = at
        self._now = now
        self._by = tuple(dialect.label_of(self._signal, label) for label, _ in query.labels)
        self._pod = dialect.name("pod")
        self._repeats = frozenset(map(dialect.name, self._signal.repeats))
        instead = [self._signal.also_called(*pair) for pair in query.labels]
        written = [value for _, value in query.labels]
        self._renamed = (written, instead) if any(instead) else None
        self._meant = pods_matcher(query.pods)
        here = [visit for visit in visits if not visit.problem and not visit.unclear]
        gone = [visit for visit in visits if visit.problem or visit.unclear]
        self._found = self._gather(_plain(self._signal.metrics), here)
        self._lost = self._gather(_plain(self._signal.metrics), gone)
        self._per = self._gather(_plain(self._signal.per), here, also=False)
        self._strangers = [visit for visit in gone if not visit.known]
        # Two namespaces may have a pod of one name.
        self._answered = {self._place(visit.page) for visit in here}
        self._why = {self._place(visit.page): visit.problem for visit in gone}
        self._unclear = {self._place(visit.page): visit.unclear for visit in gone if visit.unclear}
        self._visits = here
        names = " or ".join(_suffixed(self._signal, metric) for metric in _plain(self._signal.metrics))
        self._source = f"{source}: {names}"
        self._pages = f"{len(here)} of {len(visits)} pages"

    def read(self, query: SignalQuery) -> Measurement:
        """Answer one query."""
        pods = self._of(self._found, query)
        lost = self._lost_pods(query)
        missing = (lost | self._must(query, pods)) - pods.keys()
        value = self._value(pods, self._of(self._per, query))
        age = max((self._now - pod.oldest for pod in pods.values()), default=0.0)
        doubts = "; ".join(self._doubts(query, pods, missing, lost & pods.keys(), age))
        expected = len(pods) + len(missing)
        where = f"{len(pods)} of {expected} own pods" if query.target_pods else self._pages
        source = f"{self._source} on {where}"
        instead = self._instead(query) if value is None and not pods else ""
        if value is None and missing:
            return Failure(f"{doubts}: {instead}" if instead else doubts, self._at, source=source)
        if jumping := sum(pod.jumping for pod in pods.values()):
            return Failure(jumping_counters(jumping, len(pods)), self._at, source=source)
        if value is not None and abs(value) > MAX_VALUE:
            return Failure(f"the value is {value:g}, which no load can be", self._at, source=source)
        counted = self._signal.scope != "object"
        return Reading(
            value,
            self._at,
            age=max(age, 0.0) if pods else None,
            answered=len(pods) if counted else None,
            expected=expected if counted else None,
            incomplete_reason=doubts,
            source=source,
            by_pod=_by_pod(pods) if self._signal.name in BY_POD else (),
            found_instead=instead,
            shown=self._shown(query) if self._signal.scope == "gateway" else None,
        )

    def _instead(self, query: SignalQuery) -> str:
        """Say what there is where there is no such series, on pages that may be the workload's."""
        near = [visit for visit in self._visits if self._may_be(visit.page, query)]
        for metric in _plain(self._signal.metrics):
            name = _suffixed(self._signal, metric)
            series = [
                {**sample.labels, **visit.page.labels} for visit in near for sample in visit.samples.get(name, ())
            ]
            if series:
                asked = [(ours, by, value) for by, (ours, value) in zip(self._by, query.labels, strict=True)]
                why = emptied(self._signal, asked[1:], self._pod, series)
                return f"{name}: {why}" if why else ""
        return of_engines(self._signal, {name for visit in near for name in visit.names})

    def _shown(self, query: SignalQuery) -> bool:
        """Whether a page has a series of the signal or of its gateway's family, whatever model it is of."""
        scraped = dict(self._signal.label_names)["namespace"] == "namespace"
        mine = {"", dict(query.labels).get("namespace", "")} if scraped else None
        for visit in self._visits:
            for name, samples in visit.samples.items():
                if not any(_is_of(name, member) for member in self._signal.shown_by):
                    continue
                if any(mine is None or visit.label(sample, self._by[0]) in mine for sample in samples):
                    return True
        return False

    def _lost_pods(self, query: SignalQuery) -> set[str]:
        """List the pods with a page that should have answered, and did not."""
        strangers = (visit.page for visit in self._strangers if self._may_be(visit.page, query))
        return {*self._of(self._lost, query), *(page.labels.get(self._pod) or page.address for page in strangers)}

    def _must(self, query: SignalQuery, pods: Collection[str]) -> set[str]:
        """List the pods that Kubernetes says should answer; none where pages do not say whose they are."""
        nameless = any(":" in name for name in pods)
        if query.target_pods is None or nameless:
            return set()
        ready = set(filter(self._meant, query.target_pods.ready))
        enough = (
            query.target_pods.min_answering is not None and len(ready & set(pods)) >= query.target_pods.min_answering
        )
        return set() if enough else ready

    def _may_be(self, page: Page, query: SignalQuery) -> bool:
        """Whether a page that never answered may be one of the workload's."""
        agrees = all(
            page.labels.get(name, value) == value for name, (_, value) in zip(self._by, query.labels, strict=True)
        )
        name = page.labels.get(self._pod) or page.address
        must = (
            query.target_pods is None
            or (name in query.target_pods.ready and query.target_pods.min_answering is None)
            or ":" in name
        )
        return agrees and bool(self._meant(name)) and must

    # ---- series to pods ----

    def _gather(self, metrics: Sequence[Metric], visits: Iterable[PageResult], *, also: bool = True) -> Pods:
        """The pods of all workloads; of each pod the first metric that its page has."""
        table: Pods = {}
        things = self._things(metrics, visits := list(visits))
        for visit in visits:
            here: Pods = {}
            for metric in metrics:
                for key, pods in self._pods_of(visit, metric, things).items():
                    here[key] = pods | here.get(key, {})
            if also:
                self._add(here, visit, things)
            _merge(table, here)
        return table

    def _add(self, here: Pods, visit: PageResult, things: Mapping[tuple[str, Key], _Pod]) -> None:
        """What adds up with the newest metric, and pods that have nothing but the engine's family: those are idle."""
        for number, metric in enumerate(_plain(self._signal.plus), 1):
            for key, pods in self._pods_of(visit, metric, things).items():
                known = here.setdefault(key, {})
                for name, pod in pods.items():
                    more = _Pod(
                        {(*part, str(number)): value for part, value in pod.parts.items()},
                        pod.whole,
                        pod.oldest,
                        below=pod.below,
                    )
                    known[name] = _both(known[name], more) if name in known else more
        if self._signal.idles:
            for sample in self._family(visit):
                name = visit.pod(sample, self._pod)
                if self._meant(name):
                    here.setdefault(self._key(visit, sample, self._by), {}).setdefault(name, _Pod({(): 0.0}))

    def _family(self, visit: PageResult) -> Iterator[Sample]:
        """The series on a page that are the engine's, whatever they say."""
        for name, samples in visit.samples.items():
            if any(_is_of(name, member) for member in self._signal.family):
                yield from samples

    def _pods_of(self, visit: PageResult, metric: Metric, things: Mapping[tuple[str, Key], _Pod]) -> Pods:
        """The pods on one page, as one metric has them."""
        if metric.info_join:
            return self._reached(visit, metric, metric.info_join, things)
        rates = visit.rates(self._shape.window or 0.0) if self._signal.takes_window else {}
        found: Pods = {}
        by = self._called(metric)
        for sample in self._select(visit, _suffixed(self._signal, metric), metric.where):
            name = visit.pod(sample, self._pod) if self._signal.scope != "object" else ""
            if name and not self._meant(name):
                continue
            pod = found.setdefault(self._key(visit, sample, by), {}).setdefault(name, _Pod())
            pod.oldest = min(pod.oldest, self._time(visit, sample))
            pod.jumping |= self._signal.type == "counter" and sample.key in visit.jumping
            value = rates.get(sample.key) if self._signal.takes_window else sample.value
            if value is None or (math.isnan(value) and self._signal.type == "gauge"):
                pod.whole = False
                continue
            if value < 0 and self._signal.scope != "object":
                pod.below, value = True, 0.0
            part = self._part(visit, sample)
            pod.parts[part] = max(value, pod.parts.get(part, value))
        return found

    def _key(self, visit: PageResult, sample: Sample, by: Key) -> Key:
        """Whose a series is; one that the engine could not name is of whoever asks."""
        said = _values(visit, sample, by)
        if not self._renamed:
            return said
        return tuple(
            mine if value in instead else value for value, mine, instead in zip(said, *self._renamed, strict=True)
        )

    def _time(self, visit: PageResult, sample: Sample) -> float:
        """When a sample was taken: as the page says, or when it was read."""
        read_at = self._now if visit.read_at is None else visit.read_at
        return read_at if sample.at is None else sample.at

    def _part(self, visit: PageResult, sample: Sample) -> Key:
        """What tells a series from the others of its pod, without the labels that repeat one thing."""
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

    def _called(self, metric: Metric) -> Key:
        """What a metric calls the labels of a workload."""
        label_of, name_of = self._dialect.label_of, self._dialect.name
        own = {label_of(self._signal, label): name_of(name) for label, name in metric.label_names}
        return tuple(own.get(label, label) for label in self._by)

    # ---- objects that point at others ----

    def _things(self, metrics: Sequence[Metric], visits: Sequence[PageResult]) -> Mapping[tuple[str, Key], _Pod]:
        """What others point at: by metric, namespace and name."""
        things: dict[tuple[str, Key], _Pod] = {}
        name_of = self._dialect.name
        reached = [(metric, name_of(metric.info_join.names)) for metric in metrics if metric.info_join]
        for (metric, label), visit in product(reached, visits):
            for sample in self._select(visit, metric.name, metric.where):
                name = visit.label(sample, self._by[0]), visit.label(sample, label)
                things[metric.name, name] = _Pod({(): sample.value}, oldest=self._time(visit, sample))
        return things

    def _reached(
        self, visit: PageResult, metric: Metric, through: InfoJoin, things: Mapping[tuple[str, Key], _Pod]
    ) -> Pods:
        """What the objects of one page point at."""
        found: Pods = {}
        by = self._called(metric)
        for sample in self._select(visit, through.info, through.where):
            named = visit.label(sample, self._dialect.name(through.label))
            thing = things.get((metric.name, (visit.label(sample, self._by[0]), named)))
            if thing:
                found[_values(visit, sample, by)] = {"": thing}
        return found

    # ---- pods to answers ----

    def _of(self, table: Pods, query: SignalQuery) -> dict[str, _Pod]:
        """A workload's own pods, and those of pages that do not say their namespace."""
        if not table:
            return {}
        unsaid = tuple("" if label == "namespace" else value for label, value in query.labels)
        keys = dict.fromkeys((tuple(value for _, value in query.labels), unsaid))
        found = [table[key] for key in keys if key in table]
        pods: Pods = {}
        for some in found:
            _merge(pods, {(): {name: pod for name, pod in some.items() if _own(query, name)}})
        return pods.get((), {})

    def _value(self, pods: Mapping[str, _Pod], per: Mapping[str, _Pod]) -> float | None:
        at_most = self._shape.at_most
        if at_most is not None:
            return share_of(at_most / self._signal.scale, _buckets(pods))
        value = _total(self._signal, pods, self._shape.quantile)
        if value is not None and self._signal.per:
            whole = _total(self._signal, per, None)
            value = value / whole if whole else None
        return None if value is None or math.isnan(value) else value * self._signal.scale

    def _place(self, page: Page) -> Place:
        """Whose pod a page is of: its namespace, empty where that is not said, and its name or address."""
        return page.labels.get(self._dialect.name("namespace"), ""), page.labels.get(self._pod) or page.address

    def _doubts(
        self,
        query: SignalQuery,
        pods: Mapping[str, _Pod],
        missing: Collection[str],
        partly: Collection[str],
        age: float,
    ) -> Iterator[str]:
        """Why the value may be too low or too old."""
        silent, total = (
            {name for name in missing if not self._answered & _places(query, name)},
            len(pods) + len(missing),
        )
        if silent:
            why = sorted(filter(None, (_told(self._why, query, name) for name in silent)))
            reason = f": {why[0]}" if why else ""
            yield f"{len(silent)} of {total} pods did not answer{reason}"
        if len(silent) < len(missing):
            yield f"{len(missing) - len(silent)} of {total} pods answered, without such a series"
        for name in sorted(partly)[:1]:
            did_not_answer = f"a page of {name} did not answer: {_told(self._why, query, name)}"
            yield _told(self._unclear, query, name) or did_not_answer
        latencies = pods.values() if self._signal.takes_quantile else ()
        if bare := sum(map(_without_buckets, latencies)):
            yield f"{bare} of {len(pods)} pods show a histogram without buckets, as text shows a native one"
        if age > self._dialect.recent:
            yield f"its oldest sample is {seconds(age)} old"
        below = sum(pod.below for pod in pods.values())
        if below:
            yield f"{below} of {len(pods)} pods {BELOW_ZERO}"
        young = sum(not pod.whole for pod in pods.values())
        if young:
            once = "were read only once, so their rate is not known"
            why_not = once if self._signal.takes_window else "say NaN"
            yield f"{young} of {len(pods)} pods {why_not}"


def jumping_counters(jumping: int, pods: int) -> str:
    """Say why counters of so many of these pods are not believed, and what to do."""
    return (
        f"counters of {jumping} of {pods} pods fell {JUMPING} times or more within {seconds(JUMPS_WITHIN)}: several "
        "workers seem to share one port, and each reading meets another; give each a port of its own, or let them "
        "share what they count (such as with PROMETHEUS_MULTIPROC_DIR)"
    )


def _values(visit: PageResult, sample: Sample, labels: Iterable[str]) -> Key:
    return tuple(visit.label(sample, label) for label in labels)


def _places(query: SignalQuery, name: str) -> set[Place]:
    """Where a workload's pod of this name may be: in its namespace, or on a page that says none."""
    return {(dict(query.labels).get("namespace", ""), name), ("", name)}


def _told(told: Mapping[Place, str], query: SignalQuery, name: str) -> str:
    """What is told of a workload's pod; an empty text if nothing is."""
    return next((told[place] for place in sorted(_places(query, name)) if told.get(place)), "")


def _own(query: SignalQuery, name: str) -> bool:
    """Whether a pod is the target's own; a page that is known by its address alone can be told by nobody."""
    return query.target_pods is None or name in query.target_pods.names or ":" in name


def _merge(table: Pods, found: Pods) -> None:
    """Add the pods of a page; what a pod has on another page is something else, but for the same page again."""
    for key, pods in found.items():
        known = table.setdefault(key, {})
        for name, pod in pods.items():
            known[name] = _both(known[name], pod) if name in known else pod


def _both(one: _Pod, other: _Pod) -> _Pod:
    parts = dict(one.parts)
    for part, value in other.parts.items():
        parts[part] = max(value, parts.get(part, value))
    whole, jumping = one.whole and other.whole, one.jumping or other.jumping
    return _Pod(parts, whole, min(one.oldest, other.oldest), jumping, one.below or other.below)


def _total(signal: Signal, pods: Mapping[str, _Pod], quantile: float | None) -> float | None:
    """The aggregation over pods; None over nothing."""
    if quantile is not None:
        return histogram_quantile(quantile, _buckets(pods))
    values = [value for pod in pods.values() for value in pod.parts.values()]
    if not values:
        return None
    if signal.adds == "max" and not signal.per:
        return max(values)
    total = sum(values)  # of what pages say: fsum would raise where that is infinite
    return total / len(values) if signal.adds == "mean" and not signal.per else total


def _buckets(pods: Mapping[str, _Pod]) -> Mapping[float, float]:
    """The rates of all pods' buckets together, by upper bound."""
    buckets: dict[float, float] = {}
    for pod in pods.values():
        for part, rate in pod.parts.items():
            bound = _bound(part[-1])
            buckets[bound] = buckets.get(bound, 0.0) + rate
    return buckets


def _without_buckets(pod: _Pod) -> bool:
    """Whether a histogram counted something and has no bucket that ends."""
    bounds = {_bound(part[-1]) for part in pod.parts}
    return bounds == {math.inf} and any(pod.parts.values())


def _by_pod(pods: Mapping[str, _Pod]) -> tuple[tuple[str, float], ...]:
    """What each pod says of a load or of a counter, where it says all of it."""
    return tuple((name, sum(pod.parts.values())) for name, pod in sorted(pods.items()) if pod.parts and pod.whole)


def _bound(written: str) -> float:
    try:
        return float(written)
    except ValueError:
        return math.nan


def share_of(bound: float, buckets: Mapping[float, float]) -> float | None:
    """The share of observations in the largest bucket that ends at `bound` or below it.

    Args:
        bound: in the unit of the buckets.
        buckets: cumulative counts or rates, by upper bound.

    Returns:
        From 0 to 1; None over nothing, or where no bucket ends so low.
    """
    within = [rate for end, rate in buckets.items() if end <= bound]
    everything = max((rate for end, rate in buckets.items() if not math.isnan(end)), default=0.0)
    return max(within) / everything if within and 0 < everything < math.inf else None


def histogram_quantile(quantile: float, buckets: Mapping[float, float]) -> float | None:
    """The quantile of a histogram as PromQL has it (prometheus/promql/quantile.go, BucketQuantile).

    Args:
        quantile: in (0, 1).
        buckets: cumulative counts or rates, by upper bound.

    Returns:
        Linear within the bucket; beyond the last finite bound that bound; None over nothing or without +Inf.
    """
    bounds = sorted(bound for bound in buckets if not math.isnan(bound))
    if len(bounds) < 2 or bounds[-1] != math.inf:
        return None
    counts: list[float] = []
    for bound in bounds:
        counts.append(max(buckets[bound], counts[-1] if counts else 0.0))  # a bucket read late may be lower
    if not 0 < counts[-1] < math.inf:
        return None
    rank = quantile * counts[-1]
    place = next(at for at, count in enumerate(counts) if count >= rank)
    if bounds[place] == math.inf:
        return bounds[-2]
    if place == 0 and bounds[0] <= 0:
        return bounds[0]
    start, before = (bounds[place - 1], counts[place - 1]) if place else (0.0, 0.0)
    return start + (bounds[place] - start) * (rank - before) / (counts[place] - before)
