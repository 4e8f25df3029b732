"""What pages that were read directly say about signals: the same answers that batch_query.py's queries give. Pure.

As there, what must be right is made right per pod (pods.py): the newest name of a metric and no other, and the same
rule for what adds up. Over pods a load is added up, a share of a cache is averaged, and a quantile is read of the
buckets of all together (histogram.py).

    pod a says 3 + 5 waiting, pod b 2; pod c is ready and its page did not answer: 10, and 1 of 3 pods did not answer

A page that is listed and did not answer is missing for the workloads that it had series of when it last answered; one
that never did is missing for all whose labels it does not contradict. One that answers without what it had is missing
for the workloads that it had series of, unless it has some of another model; one of a new process that makes its
series when they are needed is idle.
"""

import logging
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from scaler.config.endpoint import Page
from scaler.config.metrics import BY_POD
from scaler.config.naming import Naming, check
from scaler.config.signals import Signal, find
from scaler.model.errors import ConfigError
from scaler.model.fields import seconds
from scaler.model.measurement import MAX_VALUE, Failure, Measurement, Reading, SignalQuery, engine_name
from scaler.sources.hints import emptied, of_engines
from scaler.sources.pages.counters import JUMPING, JUMPS_WITHIN
from scaler.sources.pages.histogram import Buckets, histogram_quantile, in_common, largest, share_of, unlike_ends
from scaler.sources.pages.names import is_of, plain, suffixed
from scaler.sources.pages.pods import PageResult, PodReader, Pods, PodShare, merge, pods_matcher

PodKey = tuple[str, str]  # namespace and name of a pod

logger = logging.getLogger(__name__)

BELOW_ZERO = "say less than 0, which no load can be"
_ROUNDED = 1.01  # how far beyond the most a value may be, such as of a cache that counts a block twice
_SHOWN = 300  # characters of what went wrong that are shown


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
        self._reader = PodReader(query, dialect, now)
        self._metrics = plain(self._signal.metrics)
        here = [visit for visit in visits if not visit.problem and not visit.unclear]
        gone = [visit for visit in visits if visit.problem or visit.unclear]
        self._reachable = self._reader.gather(self._metrics, here)
        self._unreachable = self._reader.gather(self._metrics, gone)
        self._emptied = self._reader.gather(self._metrics, map(self._as_it_was, here), also=False)
        self._per = self._reader.gather(plain(self._signal.divided_by), here, also=False)
        self._never_answered = [visit for visit in gone if not visit.known]
        # Two namespaces may have a pod of one name.
        self._answered = {self._place(visit.page) for visit in here}
        self._why = {self._place(visit.page): visit.problem for visit in gone}
        self._unclear = {self._place(visit.page): visit.unclear for visit in gone if visit.unclear}
        self._visits = here
        names = " or ".join(suffixed(self._signal, metric) for metric in self._metrics)
        self._source = f"{source}: {names}"
        self._pages = f"{len(here)} of {len(visits)} pages"

    def read(self, query: SignalQuery) -> Measurement:
        """Answer one query."""
        pods = self._of(self._reachable, query)
        lost = self._unreachable_pods(query)
        emptied = self._emptied_pods(query)
        missing = (lost | emptied | self._must(query, pods)) - pods.keys()
        value = self._value(pods, self._of(self._per, query))
        age = max((self._now - pod.oldest for pod in pods.values()), default=0.0)
        partly = lost & pods.keys(), emptied & pods.keys()
        doubts = "; ".join(self._doubts(query, pods, missing, *partly, age))
        expected = len(pods) + len(missing)
        where = f"{len(pods)} of {expected} own pods" if query.target_pods else self._pages
        source = f"{self._source} on {where}"
        instead = self._instead(query) if value is None and not pods else ""
        if value is None and (missing or self._unlike(pods)):
            return Failure(f"{doubts}: {instead}" if instead else doubts, self._at, source=source)
        if jumping := sum(pod.jumping for pod in pods.values()):
            return Failure(
                whose_turn(jumping, len(pods), counts=self._signal.type == "counter"), self._at, source=source
            )
        if impossible := why_impossible(value, self._signal.most):
            return Failure(impossible, self._at, source=source)
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
            by_engine=_by_engine(pods) if self._signal.name in BY_POD else (),
            found_instead=instead,
            shown=self._shown(query) if self._signal.scope == "gateway" else None,
        )

    def _instead(self, query: SignalQuery) -> str:
        """Say what there is where there is no such series, on pages that may be the workload's."""
        mine = [visit for visit in self._visits if self._may_be(visit.page, query)]
        near = mine or [visit for visit in self._visits if self._is_near(visit.page, query)]
        for metric in self._metrics:
            name = suffixed(self._signal, metric)
            series = [
                {**sample.labels, **visit.page.labels} for visit in near for sample in visit.samples.get(name, ())
            ]
            if series:
                asked = [(ours, by, value) for by, (ours, value) in zip(self._reader.by, query.labels, strict=True)]
                why = emptied(self._signal, asked[1:], self._reader.pod, series, query.pods)
                return f"{name}: {why}" if why else ""
        return of_engines(self._signal, {name for visit in near for name in visit.names})

    def _shown(self, query: SignalQuery) -> bool:
        """Tell whether a page has a series of the signal or of its gateway's family, whatever model it is of."""
        scraped = dict(self._signal.label_names)["namespace"] == "namespace"
        mine = {"", dict(query.labels).get("namespace", "")} if scraped else None
        for visit in self._visits:
            for name, samples in visit.samples.items():
                if not any(is_of(name, member) for member in self._signal.shown_by):
                    continue
                if any(mine is None or visit.label(sample, self._reader.by[0]) in mine for sample in samples):
                    return True
        return False

    def _unreachable_pods(self, query: SignalQuery) -> set[str]:
        """List the pods with a page that should have answered, and did not."""
        never_answered = (visit.page for visit in self._never_answered if self._may_be(visit.page, query))
        return {
            *self._of(self._unreachable, query),
            *(page.labels.get(self._reader.pod) or page.address for page in never_answered),
        }

    def _as_it_was(self, visit: PageResult) -> PageResult:
        """Return a page with the series of the signal that it had, where the same engine has nothing of it now."""
        names = {suffixed(self._signal, metric) for metric in self._metrics}
        if self._signal.scope != "target" or not names.isdisjoint(visit.samples):
            return replace(visit, samples={})
        idle = visit.lost_before if self._signal.idles and self._reader.has_family(visit) else ()
        had = {name: samples for name, samples in visit.lost.items() if name in names and name not in idle}
        return replace(visit, samples=had)

    def _emptied_pods(self, query: SignalQuery) -> set[str]:
        """List the pods with a page that answers, and has nothing of what it had."""
        pods = set(self._of(self._emptied, query))
        return pods if query.target_pods is None else pods & query.target_pods.ready

    def _must(self, query: SignalQuery, pods: Collection[str]) -> set[str]:
        """List the pods that Kubernetes says should answer; none where pages do not say whose they are."""
        nameless = any(":" in name for name in pods)
        if query.target_pods is None or nameless:
            return set()
        ready = frozenset(filter(self._reader.is_meant, query.target_pods.ready))
        return set(replace(query.target_pods, ready=ready).lacking(pods))

    def _may_be(self, page: Page, query: SignalQuery) -> bool:
        """Tell whether a page that never answered may be one of the workload's."""
        name = page.labels.get(self._reader.pod) or page.address
        must = (
            query.target_pods is None
            or (name in query.target_pods.ready and query.target_pods.min_answering is None)
            or ":" in name
        )
        agrees = all(
            page.labels.get(name, value) == value
            for name, (_, value) in zip(self._reader.by, query.labels, strict=True)
        )
        return agrees and bool(self._reader.is_meant(name)) and must

    def _is_near(self, page: Page, query: SignalQuery) -> bool:
        """Tell whether a page is of the workload's namespace, where the trigger alone says which pods are its own."""
        here = page.labels.get(self._reader.by[0]) == dict(query.labels)["namespace"]
        return here and query.target_pods is None and query.pods is not None

    def _of(self, table: Pods, query: SignalQuery) -> dict[str, PodShare]:
        """Return a workload's own pods, and those of pages that do not say their namespace."""
        if not table:
            return {}
        unsaid = tuple("" if label == "namespace" else value for label, value in query.labels)
        keys = dict.fromkeys((tuple(value for _, value in query.labels), unsaid))
        found = [table[key] for key in keys if key in table]
        pods: Pods = {}
        for some in found:
            merge(pods, {(): {name: pod for name, pod in some.items() if _own(query, name)}})
        return pods.get((), {})

    def _value(self, pods: Mapping[str, PodShare], per: Mapping[str, PodShare]) -> float | None:
        at_most = self._shape.at_most
        if at_most is not None:
            return share_of(at_most / self._signal.scale, _buckets(pods).values())
        value = _total(self._signal, pods, self._shape.quantile)
        if value is not None and self._signal.divided_by:
            whole = _total(self._signal, per, None)
            value = value / whole if whole else None
        return None if value is None or math.isnan(value) else value * self._signal.scale

    def _unlike(self, pods: Mapping[str, PodShare]) -> str:
        """Say that the buckets of pods do not add up; empty where they do."""
        at_most = self._shape.at_most
        low = None if at_most is None else at_most / self._signal.scale
        return _unlike(pods, low) if self._signal.takes_quantile else ""

    def _place(self, page: Page) -> PodKey:
        """Return whose pod a page is of: its namespace, empty where that is not said, and its name or address."""
        return page.labels.get(self._dialect.name("namespace"), ""), page.labels.get(self._reader.pod) or page.address

    def _doubts(
        self,
        query: SignalQuery,
        pods: Mapping[str, PodShare],
        missing: Collection[str],
        partly: Collection[str],
        emptied: Collection[str],
        age: float,
    ) -> Iterator[str]:
        """Say why the value may be too low or too old."""
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
        for name in sorted(emptied)[:1]:
            yield f"a page of {name} answers without a series that it had: what it holds is not known"
        if unlike := self._unlike(pods):
            yield unlike
        latencies = pods.values() if self._signal.takes_quantile else ()
        if bare := sum(map(_without_buckets, latencies)):
            yield f"{bare} of {len(pods)} pods show a histogram without buckets, as text shows a native one"
        if age > self._dialect.recent:
            yield f"its oldest sample is {seconds(age)} old"
        below = sum(pod.below for pod in pods.values())
        if below:
            yield f"{below} of {len(pods)} pods {BELOW_ZERO}"
        odd = sum(pod.odd for pod in pods.values())
        if odd:
            yield f"{odd} of {len(pods)} pods say NaN"
        young = sum(not pod.whole and not pod.odd for pod in pods.values())
        if young:
            yield f"{young} of {len(pods)} pods were read only once, so their rate is not known"


def why_impossible(value: float | None, most: float) -> str:
    """Say why a value cannot be, such as a share of a cache that is 37; empty where it can."""
    if value is None or abs(value) <= min(MAX_VALUE, most * _ROUNDED):
        return ""
    if abs(value) > MAX_VALUE:
        return f"the value is {value:g}, which no load can be"
    return f"the value is {value:g}, and {most:g} is the most that it can be: is it in percent, or another thing?"


def whose_turn(jumping: int, pods: int, *, counts: bool) -> str:
    """Say why what so many of these pods say is not believed, and what to do.

    Args:
        jumping: pods of which each reading meets another process.
        pods: all of them.
        counts: whether it is seen by counters, and not by when the process began.
    """
    if not counts:
        return (
            f"the process behind {jumping} of {pods} pods is another again and again: several workers seem to share "
            "one port, or several pods one address, such as a Service's, and each reading meets another; read each at "
            "a port and address of its own"
        )
    return (
        f"counters of {jumping} of {pods} pods fell {JUMPING} times or more within {seconds(JUMPS_WITHIN)}: several "
        "workers seem to share one port, and each reading meets another; give each a port of its own, or let them "
        "share what they count (such as with PROMETHEUS_MULTIPROC_DIR)"
    )


def _places(query: SignalQuery, name: str) -> set[PodKey]:
    """Return where a workload's pod of this name may be: in its namespace, or on a page that says none."""
    return {(dict(query.labels).get("namespace", ""), name), ("", name)}


def _told(told: Mapping[PodKey, str], query: SignalQuery, name: str) -> str:
    """Return what is told of a workload's pod; an empty text if nothing is."""
    return next((told[place] for place in sorted(_places(query, name)) if told.get(place)), "")


def _own(query: SignalQuery, name: str) -> bool:
    """Tell whether a pod is the target's own; a page that is known by its address alone can be told by nobody."""
    return query.target_pods is None or name in query.target_pods.names or ":" in name


def _total(signal: Signal, pods: Mapping[str, PodShare], quantile: float | None) -> float | None:
    """Aggregate over pods; None over nothing."""
    if quantile is not None:
        return histogram_quantile(quantile, in_common(_alike(pods).values()))
    values = [value for pod in pods.values() for value in pod.parts.values()]
    if not values:
        return None
    if signal.aggregation == "max" and not signal.divided_by:
        return max(values)
    total = sum(values)  # of what pages say: fsum would raise where that is infinite
    return total / len(values) if signal.aggregation == "mean" and not signal.divided_by else total


def _buckets(pods: Mapping[str, PodShare]) -> Mapping[tuple[str, str], Buckets]:
    """Add up the rates of each page's buckets: by pod and page."""
    found: dict[tuple[str, str], dict[float, float]] = {}
    for name, pod in pods.items():
        for part, rate in pod.parts.items():
            buckets, bound = found.setdefault((name, part[0]), {}), _bound(part[-1])
            buckets[bound] = buckets.get(bound, 0.0) + rate
    return found


def _alike(pods: Mapping[str, PodShare]) -> Mapping[tuple[str, str], Buckets]:
    """Return the buckets of each page that has more than the one without an end."""
    pages = _buckets(pods)
    return {page: buckets for page, buckets in pages.items() if buckets.keys() - {math.inf}} or pages


def _unlike(pods: Mapping[str, PodShare], at_most: float | None) -> str:
    """Say where buckets of two pods do not end alike; of a share, where one has none that ends low enough."""
    pages = _alike(pods)
    if at_most is not None and len({largest(at_most, buckets) is None for buckets in pages.values()}) < 2:
        return ""
    ends: dict[str, set[float]] = {}
    for (name, _), buckets in pages.items():
        ends.setdefault(name, set()).update(buckets)
    if len(pages) > 1 and len(set(map(frozenset, pages.values()))) > 1:
        return unlike_ends(ends)
    return ""


def _without_buckets(pod: PodShare) -> bool:
    """Tell whether a histogram counted something and has no bucket that ends."""
    bounds = {_bound(part[-1]) for part in pod.parts}
    return bounds == {math.inf} and any(pod.parts.values())


def _by_pod(pods: Mapping[str, PodShare]) -> tuple[tuple[str, float], ...]:
    """Return what each pod says of a load or of a counter, where it says all of it."""
    return tuple((name, sum(pod.parts.values())) for name, pod in sorted(pods.items()) if pod.parts and pod.whole)


def _by_engine(pods: Mapping[str, PodShare]) -> tuple[tuple[str, float], ...]:
    """Return what each engine says, of pods that have several: at pages of their own, or as ranks on one page."""
    told: dict[str, float] = {}
    for name, pod in pods.items():
        if pod.whole and len(set(pod.engines.values())) > 1:
            for part, (page, ranks) in pod.engines.items():
                engine = engine_name(name, page, ranks)
                told[engine] = told.get(engine, 0.0) + pod.parts[part]
    return tuple(sorted(told.items()))


def _bound(written: str) -> float:
    try:
        return float(written)
    except ValueError:
        return math.nan
