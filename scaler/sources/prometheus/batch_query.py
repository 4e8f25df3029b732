"""One PromQL query that measures a signal of the catalogue for many workloads at once.

Queries that differ only in the values of their labels have one shape, and one batch query serves them all. Its answer
has a row for each workload and `stat`:

    value      the signal
    answered   pods behind it, and as many times CROWDED those that are scraped more than once
    missing    pods that reported within the last `recent` seconds, a gateway within an hour, and whose scrape fails now
               (a store that does not end a series with its scrape, such as one behind remote write, counts them as
               answered too)
    jumping    pods whose counters fell again and again, or whose process is another each time, where there are any
    unlike     of histograms: pods that have native ones, where the value is of others' classic ones; of what is counted
               by one: pods that had the other kind within the window
    below      of gauges: pods that say less than 0, where there are any: that counts as 0, and nothing is certain
    copied     pods whose targets come several times in a job, apart in a label that does not say where a page is
    young      of what is counted: pods with a page that was not scraped twice within the window, so that it has no rate
    contrary   values of a label of scrapes that series have otherwise than their target: the engine wrote them itself
    clusters   values of a label of clusters, where targets are of several and the target's own pods are not known
    alien      pages whose target is not of the workload's namespace, where others' is; of an object, there where those
               who speak of it do not say the same (impostors.py)
    nameless   instances of series without a pod that no series with one has, where there are any; of a gateway only
               beside series that have a pod
    federated  pods whose series come through another Prometheus: then the question is asked anew, knowing that
    foreign    pods of such series that are called otherwise there
    forked     pods of which several such Prometheus say different things
    bounds     of histograms: bounds of buckets that not all pages have, where there are any
    engine     what is each engine's of a pod that has several, of loads and what is counted while an engine works
    quiet      of single pods, without labels of a workload: a target has nothing of it, and others near it have
    oldest     time of the oldest sample behind it, by the clock of whoever made that
    shown      of a gateway's, by namespace alone: series of the signal or of the gateway's family, of whatever model

Which series these are, and how they are added up, is told in signal_series.py and signal_promql.py.
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

from scaler.config.naming import Naming
from scaler.config.signals import find, offered
from scaler.model.measurement import SignalQuery
from scaler.sources.prometheus import impostors
from scaler.sources.prometheus.bucket_bounds import count_bounds, what_differs
from scaler.sources.prometheus.impostors import TargetLabels
from scaler.sources.prometheus.selectors import joined, of_stat
from scaler.sources.prometheus.signal_promql import SignalPromql
from scaler.sources.prometheus.signal_series import adds_up
from scaler.sources.prometheus.silent_pages import pods_with_quiet_targets, silent_pages

NARROW = 1_000  # characters of one label's values in a selector; a longer list is left out: the server reads all
LONGEST = 16_000  # bytes; what is longer is asked in parts: VictoriaMetrics takes 16 KiB (-search.maxQueryLen)
WIDE = 8_000  # the same where the whole answer would be too large


@dataclass(frozen=True, slots=True)
class BatchQuery:
    """One query, and whose its rows are."""

    parts: tuple[str, ...]  # it is asked in these; each has other rows
    by: tuple[str, ...]  # labels of a row that say whose it is
    queries: Mapping[SignalQuery, tuple[str, ...]]  # the values of these labels
    counted: bool  # whether it says how many pods answered
    pod: str = ""  # label of the pod where each row is of one; empty: rows are of all pods together
    aggregation: str = "sum"  # how rows of single pods become one: sum, mean, max
    gateway: bool = False  # whether it says if a gateway is to be seen
    changes: bool = False  # whether pods that are `unlike` are those that changed, as of counters
    plain: bool = False  # whether NaN is somebody's fault, not a quantile over no requests or nothing by nothing
    most: float = math.inf  # the most that a value can be
    unclear: str = ""  # a query for pods whose pages may be one engine twice, where pods are scraped more than once
    scrape: tuple[str, str, str] = ("", "", "")  # labels of its rows: pod, page, job
    namespace: str = "namespace"  # label of the targets
    copies: str = ""  # a query for the targets of pods that are `copied`
    aliens: str = ""  # a query for pages that are `alien`
    forked: str = ""  # a query for the series of pods that are `forked`
    bounds: str = ""  # a query for what differs, where `bounds` do
    ranks: tuple[str, ...] = ()  # labels of the rows that are of an `engine`, beside its page
    again: tuple[str, ...] = ()  # labels by which the same thing, seen again, differs
    silent: Callable[[Collection[str]], str] | None = None  # a query for pages that say nothing now, of `quiet` pods

    @property
    def of_target(self) -> TargetLabels:
        """The labels of its rows that a target gives to its series."""
        return TargetLabels(self.namespace, *self.scrape)

    @property
    def text(self) -> str:
        """The whole, as somebody would ask it by hand."""
        return joined(self.parts)


def group(
    queries: Iterable[SignalQuery], dialect: Naming, size: int = 100_000, *, exact: bool = False
) -> list[BatchQuery]:
    """Write one batch query for each shape among the queries.

    Args:
        queries: of one endpoint; each was checked.
        dialect: what the endpoint calls things.
        size: how many queries, or own pods of theirs, share a batch query at most.
        exact: name the workloads in the query also where that is long; for answers that hold many times.
    """
    shapes: dict[tuple[object, ...], list[SignalQuery]] = {}
    for query in queries:
        shapes.setdefault(shape(query), []).append(query)
    limit = WIDE if exact else NARROW
    return [_grouped(part, dialect, limit) for members in shapes.values() for part in _parts(members, size)]


def _parts(members: list[SignalQuery], size: int) -> Iterator[list[SignalQuery]]:
    """Cut where the rows of an answer would be more than `size`."""
    part: list[SignalQuery] = []
    rows = 0
    for query in members:
        more = max(len(query.target_pods.names), 1) if query.target_pods else 1
        if part and rows + more > size:
            yield part
            part, rows = [], 0
        part.append(query)
        rows += more
    yield part


def _packed(texts: Iterable[str]) -> Iterator[str]:
    """Join texts into as few questions as are no longer than LONGEST."""
    part = ""
    for text in texts:
        longer = joined([part, text]) if part else text
        if part and len(longer.encode()) > LONGEST:
            yield part
            longer = text
        part = longer
    yield part


def shape(query: SignalQuery) -> tuple[object, ...]:
    """Return what queries that share a batch query have in common."""
    labels = tuple(label for label, _ in query.labels)
    own = query.target_pods is not None if adds_up(query) else query.target_pods
    signal = offered(query.engine, query.signal)
    # A series that may be anybody's, or is called otherwise: that is written into the query.
    renamed = signal is not None and any(signal.also_called(*pair) for pair in query.labels)
    alone = query.labels if renamed else None
    over_time = query.window, query.quantile, query.at_most, query.reduce
    return query.engine, query.signal, labels, query.pods, *over_time, own, alone


def _values(query: SignalQuery) -> tuple[str, ...]:
    return tuple(value for _, value in query.labels)


def _grouped(members: list[SignalQuery], dialect: Naming, limit: int) -> BatchQuery:
    query = members[0]
    signal = find(query.engine, query.signal)
    if signal.scope == "object":  # what the cluster's exporters say is renamed by nobody
        dialect = replace(dialect, prefix="")
    by = tuple(dialect.label_of(signal, label) for label, _ in query.labels)
    keys = {member: _values(member) for member in members}
    columns = zip(by, (sorted(set(column)) for column in zip(*keys.values(), strict=True)), strict=True)
    named = {label: values for label, values in columns if sum(map(len, values)) <= limit}
    pod = dialect.name("pod") if query.target_pods and adds_up(query) else ""
    adds = "sum" if signal.divided_by else signal.aggregation
    promql = SignalPromql(signal, query, (*by, pod) if pod else by, named, dialect)
    stats = list(promql.stats())
    watched = signal.scope != "object"
    if watched:
        stats.append(of_stat("quiet", pods_with_quiet_targets(promql)))
    if signal.takes_quantile:
        stats.append(of_stat("bounds", count_bounds(promql)))
    plain = not signal.takes_quantile and not signal.divided_by
    return BatchQuery(
        parts=tuple(_packed(stats)),
        by=by,
        queries=MappingProxyType(keys),
        counted=signal.scope != "object",
        pod=pod,
        aggregation=adds,
        gateway=signal.scope == "gateway",
        changes=signal.type == "counter",
        plain=plain,
        most=signal.most,
        unclear=promql.unclear(),
        scrape=(dialect.name("pod"), dialect.name("instance"), promql.job),
        namespace=dialect.name("namespace"),
        copies=promql.targets_of_copied() if promql.tells_copies else "",
        aliens=impostors.named(promql),
        forked=of_stat("forked", promql.forked()) if promql.has_federated else "",
        bounds=what_differs(promql) if signal.takes_quantile else "",
        ranks=promql.ranks,
        again=promql.scrape,
        silent=partial(silent_pages, promql) if watched else None,
    )
