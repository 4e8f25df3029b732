"""One PromQL query that measures a signal of the catalogue for many workloads at once.

Queries that differ only in the values of their labels have one shape, and one batch query serves them all. Its answer
has a row for each workload and `stat`:

    value      the signal
    answered   pods behind it, and as many times CROWDED those that are scraped more than once
    missing    pods that reported within the last `recent` seconds and whose scrape fails now (a store that does not end
               a series with its scrape, such as one behind remote write, counts them as answered too)
    jumping    of counters: pods whose counters fell again and again, where there are any
    unlike     of histograms: pods that have native ones, where the value is of others' classic ones; of what is counted
               by one: pods that had the other kind within the window
    below      of gauges: pods that say less than 0, where there are any: that counts as 0, and nothing is certain
    copied     pods whose targets come several times in a job, apart in a label that does not say where a page is
    nameless   instances of an engine's series without a pod that no series with one has, where there are any
    oldest     time of the oldest sample behind it, by the clock of whoever made that
    shown      of a gateway's, by namespace alone: series of the signal or of the gateway's family, of whatever model

What must be right is made right inside the aggregation, since outside it is too late: of each page the newest name of a
metric is read and no other, so that a rolling upgrade counts every pod once; a rate ends with its pod, where `rate`
alone would fade out over its whole window; an engine's series without a pod are left out, since nothing would tell them
from a double scrape. A gateway's count without one too, as of one gateway: what is left out there would read as an
empty queue.

Which series of a pod add up, and which are the same thing again (`sources/pages/pods.py` has the same rule):

    page      a pod has one at each address, the `instance` of its scrapes. What is on one page adds up, whatever labels
              tell it apart, known or not: an engine that counts one thing twice says so nowhere, and too high a load is
              seen and paid for, while a lost one is not seen. Labels of which it is known otherwise are `repeatedBy`.
    scrapes   of one page are the same thing again, and the highest counts. They differ in `job`, in the replica of a
              pair of Prometheus, and in what else the settings name (`scrapeLabels`). `endpoint` and `replica` may be
              the engine's own too: they are of the scrape where every target's `up` has them, which an engine cannot
              bring about.
    copies    of a pod's targets that differ in yet another label (`up` tells) are of a copy of Prometheus, whose label
              nobody knows, or of another cluster: nothing is certain, and a query of its own names the label.
    pages     of one pod add up: engines, or ranks of one, each at a port of its own. Only if no job scrapes all of them
              it may be one engine at two ports, for two jobs; then nothing is certain, unless `podPages` says it. A
              query of its own looks at that, where pods are scraped more than once. An `instance` without a port, such
              as a pod's name, does not tell pages apart: there `job` and `endpoint` do.

    sum by (namespace, model_name) (
      max by (namespace, model_name, pod, instance) (
        sum by (namespace, model_name, pod, instance, job, prometheus_replica, __replica__) (
          vllm:num_requests_waiting{...})))

Where Kubernetes says which pods are a target's own, only these count, and rows are of a single pod (of a ratio with its
two halves, `value` and `per`), so that one query still serves all: `sources/answers.py` adds up the own ones. Quantiles
cannot be added up; there the pods stand in a query of their own.

A histogram is stored as buckets, as a native histogram, or as both, as whoever scrapes has it. Buckets are read where
there are any, since both say the same; native ones cannot be added to them. Of scrapes of one page, native ones are
averaged, since they have no highest. A share of what was at most so long is known of buckets alone.

A counter that is the sum or the count of a histogram has no series of its own where that is stored natively, and is
made of it. Where both kinds are stored they are like two scrapes of one page: the higher counts. A pod whose kind
changed within the window is not all in either, and counts among `unlike`.

    rate(x_sum[2m]) and x_sum
    or label_replace(histogram_sum(rate(x[2m]) and x), "kind", "native", "", "")

A gauge over a window is the signal as it was at times within it, which the server reduces: pods are added up before
times are, so that those that came and went do not count beside each other, and an exporter that was restarted goes on
where the one before it ended. It ends with its series, as a rate does. It cannot be added up either.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from scaler.config.naming import AMBIGUOUS_LABELS, SCRAPE_LABELS, Naming
from scaler.config.promql import enforce, insert, label_name, quote, quote_regex, series_name
from scaler.config.signals import Metric, Pairs, Signal, find, offered
from scaler.model.measurement import SignalQuery
from scaler.sources.pages.counters import JUMPING, JUMPS_WITHIN

STATS = (
    *("value", "per", "answered", "missing", "oldest", "shown", "jumping", "unlike", "below"),
    *("copied", "nameless"),
)
CROWDED = 2.0**-20  # what a pod that is scraped more than once adds to `answered`
NARROW = 1_000  # characters of one label's values in a selector; a longer list is left out: the server reads all
LONGEST = 16_000  # bytes; what is longer is asked in parts: VictoriaMetrics takes 16 KiB (-search.maxQueryLen)
WIDE = 8_000  # the same where the whole answer would be too large

STEPS = 240  # times within the window of a gauge, as far as the next line allows; whole multiples of the step
_STEP = (1.0, 60.0)  # seconds from one to the next, at least and at most

_JOIN = "\nor "
_OVER_TIME: Mapping[str, str] = {"mean": "avg_over_time", "max": "max_over_time", "min": "min_over_time"}
_WRITTEN_SHORT = 1e-4  # seconds: what is smaller has an exponent in most exporters' bounds
_ALSO = "also"  # label that tells apart the metrics that add up
_PLACE = "place_without_port"  # label that tells apart pages whose `instance` does not
WHERE = ("instance", "endpoint", "container", "port", "metrics_path")  # labels in which pages of one pod differ
_KIND = "kind_of_histogram"  # label of what is made of native histograms: where a pod has both kinds, they are the same
_AGGREGATION: Mapping[str, str] = {"sum": "sum", "mean": "avg", "max": "max", "quantile": "sum"}


@dataclass(frozen=True, slots=True)
class BatchQuery:
    """One query, and whose its rows are."""

    parts: tuple[str, ...]  # it is asked in these; each has other rows
    by: tuple[str, ...]  # labels of a row that say whose it is
    queries: Mapping[SignalQuery, tuple[str, ...]]  # the values of these labels
    counted: bool  # whether it says how many pods answered
    pod: str = ""  # label of the pod where each row is of one; empty: rows are of all pods together
    adds: str = "sum"  # how rows of single pods become one: sum, mean, max
    gateway: bool = False  # whether it says if a gateway is to be seen
    changes: bool = False  # whether pods that are `unlike` are those that changed, as of counters
    plain: bool = False  # whether NaN is somebody's fault, not a quantile over no requests or nothing by nothing
    unclear: str = ""  # a query for pods whose pages may be one engine twice, where pods are scraped more than once
    scrape: tuple[str, str, str] = ("", "", "")  # labels of its rows: pod, page, job
    copies: str = ""  # a query for the targets of pods that are `copied`

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


def joined(parts: Iterable[str]) -> str:
    """Join the parts of a question."""
    return _JOIN.join(parts)


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


def labels_of_targets(dialect: Naming) -> str:
    """Write the query that says how many targets have each label of AMBIGUOUS_LABELS, and how many have it not."""
    up = enforce(dialect.up_selector, dialect.matchers)
    rows = (
        f'label_replace(count({insert(up, [label + matcher])}), "{has}", "{label}", "", "")'
        for label in AMBIGUOUS_LABELS
        for has, matcher in (("has", '!=""'), ("lacks", '=""'))
    )
    return joined(rows)


def questions_about_the_targets(dialect: Naming) -> Mapping[str, str]:
    """Write a query for each field of a dialect that says what targets there are; it gives a row where it is true."""
    up = enforce(dialect.up_selector, dialect.matchers)
    portless = insert(up, [label_name(dialect.name("instance")) + '!~".+:.+"'])
    return {"has_portless": f"count({portless})", "has_copies": f"count({_copied_targets(dialect, up)})"}


def _copied_targets(dialect: Naming, up: str) -> str:
    """The pods of a job whose targets differ in more than where their pages are, and in who scraped them."""
    named = insert(up, [label_name(dialect.name("pod")) + '!=""'])
    known = dict.fromkeys((*map(dialect.name, (*WHERE, *SCRAPE_LABELS)), *dialect.scrape))
    apart = f"group without ({_list(label for label in known if label != dialect.name('job'))}) ({named})"
    return f"count by ({_list(_target_pod(dialect))}) ({apart}) > 1"


def _target_pod(dialect: Naming) -> tuple[str, ...]:
    """The labels of a pod's targets of one job."""
    return "namespace", dialect.name("pod"), dialect.name("job")


def questions_about_the_language(matchers: Mapping[str, str]) -> Mapping[str, str]:
    """Write a query for each field of a dialect that says what PromQL a server knows; one that does not refuses it.

    Functions of native histograms came with Prometheus 2.40, names in quotes with 3.0; others have them or not.
    """
    texts = {"knows_natives": "count(histogram_count(up))", "knows_dots": 'count({"up","a.b"="c"})'}
    return {what: enforce(text, matchers) for what, text in texts.items()}


def shape(query: SignalQuery) -> tuple[object, ...]:
    """Return what queries that share a batch query have in common."""
    labels = tuple(label for label, _ in query.labels)
    own = query.target_pods is not None if _adds_up(query) else query.target_pods
    signal = offered(query.engine, query.signal)
    # A series that may be anybody's, or is called otherwise: that is written into the query.
    renamed = signal is not None and any(signal.also_called(*pair) for pair in query.labels)
    alone = query.labels if renamed else None
    over_time = query.window, query.quantile, query.at_most, query.reduce
    return query.engine, query.signal, labels, query.pods, *over_time, own, alone


def _adds_up(query: SignalQuery) -> bool:
    """Whether the answer for several pods can be made of the answers for each."""
    return query.quantile is None and query.at_most is None and query.reduce is None


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
    pod = dialect.name("pod") if query.target_pods and _adds_up(query) else ""
    adds = "sum" if signal.per else signal.adds
    promql = _Promql(signal, query, (*by, pod) if pod else by, named, dialect)
    plain = signal.type == "gauge" and not signal.per
    return BatchQuery(
        parts=tuple(_packed(promql.stats())),
        by=by,
        queries=MappingProxyType(keys),
        counted=signal.scope != "object",
        pod=pod,
        adds=adds,
        gateway=signal.scope == "gateway",
        changes=signal.type == "counter",
        plain=plain,
        unclear=promql.unclear(),
        scrape=(dialect.name("pod"), dialect.name("instance"), promql.job),
        copies=promql.targets_of_copied() if promql.tells_copies else "",
    )


def _one_of(values: Sequence[str]) -> str:
    """Operator and value of the matcher that takes any of `values`."""
    if len(values) == 1:
        return f"={quote(values[0])}"
    return f"=~{quote('|'.join(map(quote_regex, values)))}"


def _equal(pairs: Iterable[tuple[str, str]]) -> Pairs:
    return tuple((label, f"={quote(value)}") for label, value in pairs)


def _any(named: Mapping[str, Sequence[str]]) -> Pairs:
    return tuple((label, _one_of(values)) for label, values in named.items())


def _relabelled(series: str, label: str, name: str) -> str:
    """The same series, which have also as `label` what they call `name`."""
    return f'label_replace({series}, "{label}", "$1", "{name}", "(.*)")'


def _list(labels: Iterable[str]) -> str:
    return ", ".join(map(label_name, labels))


def numbers_up_to(bound: float) -> str:
    """RE2 for the numbers from 0 to `bound`, as exporters write the bounds of buckets: 1, 1.0, 0.05, 5e-05.

    Digit by digit what is smaller, and the bound itself: 12.5 takes [0-9], 0[0-9], 1[0-1], 12 and 12.[0-4]...
    """
    whole, _, part = f"{bound:.9f}".rstrip("0").partition(".")
    smaller = [
        f"{whole[:at]}[0-{int(digit) - 1}]{'[0-9]' * (len(whole) - at - 1)}"
        for at, digit in enumerate(whole)
        if digit != "0"
    ]
    fewer = ["[0-9]" * length for length in range(1, len(whole))]
    less = [rf"({'|'.join([*smaller, *fewer])})(\.[0-9]+)?"] if smaller or fewer else []
    beneath = [f"{part[:at]}[0-{int(digit) - 1}][0-9]*" for at, digit in enumerate(part) if digit != "0"]
    shorter = [part[:at] for at in range(1, len(part))]
    same = rf"{whole}(\.({'|'.join([*beneath, *shorter, part + '0*'])}))?"
    tiny = [r"[0-9.]+e-[0-9]+"] if bound >= _WRITTEN_SHORT else []
    return "|".join([*less, same, *tiny])


def _span(seconds: float) -> str:
    return f"{seconds:.0f}s" if seconds == round(seconds) else f"{seconds * 1000:.0f}ms"


@dataclass(frozen=True, slots=True)
class _Promql:
    """The text, from the whole to its parts."""

    signal: Signal
    query: SignalQuery
    by: tuple[str, ...]  # the labels of a row
    named: Mapping[str, Sequence[str]]  # its values, of labels whose list is short enough
    dialect: Naming
    bucket: Pairs = ()  # matchers of a histogram's buckets, where not all are read
    podless: bool = False  # whether series without a pod are meant, and no others

    def stats(self) -> Iterator[str]:
        """Write each stat, which its rows have as the label `stat`."""
        stats = {"value": self.value(), "oldest": f"min by ({_list(self.by)}) ({self.reporting('timestamp({})')})"}
        if self.numerator_and_denominator:
            stats["per"] = self.total(self.signal.per)
        if self.signal.scope != "object":
            recently = f"last_over_time({{}}[{_span(self.dialect.recent)}])"
            present, lately = self.reporting("{}"), self.reporting(recently)
            if self.signal.idles:
                present += f" or on ({_list(self.pod)}) {self.family()}"
                lately += f" or on ({_list(self.pod)}) {recently.format(self.family())}"
            stats["answered"] = self.count_scraped(present)
            stats["missing"] = self.count_pods(f"({lately}) and on ({_list(self.target)}) {self.dead}")
            stats |= self.doubts()
        if self.signal.scope == "gateway":
            stats["shown"] = self.shown()
        for stat in STATS:
            if stat in stats:
                yield f'label_replace({stats[stat]}, "stat", "{stat}", "", "")'

    def doubts(self) -> Mapping[str, str]:
        """Write the stats of what makes a reading doubtful, beside pods that are missing."""
        stats = {}
        if self.signal.type == "counter":
            stats["jumping"] = self.count_jumping()
        if self.signal.type == "gauge":
            stats["below"] = self.count_pods(self.reporting("({} < 0)"))
        if self.signal.takes_quantile:
            stats["unlike"] = self.count_unlike()
        elif any(self.native_of(metric) for metric in self.signal.metrics):
            stats["unlike"] = self.count_changed()
        if self.tells_copies:
            stats["copied"] = self.count_pods(self.copied())
        if self.misses_nameless:
            stats["nameless"] = self.count_nameless()
        return stats

    def value(self) -> str:
        """The signal itself, or what it comes to over a window."""
        if self.query.reduce is None:
            return self.now()
        window = self.query.window or 0.0
        step = min(max(math.ceil(window / STEPS), _STEP[0]), _STEP[1])
        past = f"{_OVER_TIME[self.query.reduce]}(({self.now()})[{_span(window)}:{_span(step)}])"
        return f"{past} and {self.now()}"

    def now(self) -> str:
        """The signal at one time."""
        if self.query.at_most is not None:
            return self.share(self.query.at_most / self.signal.scale)
        text = self.total(self.signal.metrics)
        if self.signal.takes_quantile:
            of_buckets = f"histogram_quantile({self.query.quantile!r}, {text})"
            text = f"({of_buckets} or histogram_quantile({self.query.quantile!r}, {self.native_total()}))"
        if self.signal.per and not self.numerator_and_denominator:
            text = f"{text} / {self.total(self.signal.per)}"
        return text if self.signal.scale == 1 else f"{text} * {self.signal.scale!r}"

    def share(self, bound: float) -> str:
        """The share of observations in the largest bucket that ends at a bound or below it; buckets are cumulative."""
        some = replace(self, bucket=(("le", f"=~{quote(numbers_up_to(bound))}"),))
        within, all_of_them = (promql.total(self.signal.metrics) for promql in (some, self))
        by = _list(self.by)
        return f"max by ({by}) ({within}) / max by ({by}) ({all_of_them})"

    def total(self, metrics: tuple[Metric, ...]) -> str:
        """The aggregation over all pods; of a histogram, its buckets."""
        le = ("le",) if self.signal.takes_quantile else ()
        series = self.newest(metrics, self.rate_or_gauge)
        if self.signal.scope == "object":
            return f"max by ({_list(self.by)}) ({series})"
        if metrics is self.signal.metrics:
            series += "".join(self.added(number, metric) for number, metric in enumerate(self.signal.plus, 1))
            series += f" or on ({_list(self.pod)}) ({self.idle()})" if self.signal.idles else ""
        aggregation = "sum" if self.signal.per else _AGGREGATION[self.signal.adds]
        if aggregation == "sum":
            once = self.once(series, le)
        else:  # each series counts as one
            once = f"max without ({_list((*self.scrape, *self.repeats))}) ({series})"
        return f"{aggregation} by ({_list((*self.by, *le))}) ({once})"

    def native_total(self) -> str:
        """The native histograms of all pods, added up."""
        window, same = _span(self.query.window or 0), _list(dict.fromkeys((*self.pod, *self.target)))
        rates = self.newest(
            self.signal.metrics, lambda one: f"(rate({self.select(one)}[{window}]) and on ({same}) {self.select(one)})"
        )
        scraped = f"sum by ({_list(dict.fromkeys((*self.page, *self.scrape)))}) ({rates})"
        return f"sum by ({_list(self.by)}) (avg by ({_list(self.page)}) ({scraped}))"

    def once(self, series: str, le: tuple[str, ...]) -> str:
        """What each page says, however often that is scraped, and whatever kinds of histograms are stored of it."""
        labels = [label for label in self.repeats if label not in self.page]
        series = f"max without ({_list(labels)}) ({series})" if labels else series
        kind = (_KIND,) if any(map(self.native_of, (*self.signal.metrics, *self.signal.plus, *self.signal.per))) else ()
        scraped = f"sum by ({_list(dict.fromkeys((*self.page, *self.scrape, *le, *kind)))}) ({series})"
        return f"max by ({_list((*self.page, *le))}) ({scraped})"

    def rate_or_gauge(self, metric: Metric) -> str:
        """The series of one metric as they are added up: a gauge, or the rate of a counter that is there."""
        if self.signal.type == "gauge":
            return f"clamp_min({self.select(metric)}, 0)"
        window = _span(self.query.window or 0)
        if self.signal.type == "counter":
            counted = f"(rate({self.select(metric)}[{window}]) and {self.select(metric)})"
            return f"({counted} or {self.counted_natively(metric)})" if self.native_of(metric) else counted
        same = _list(dict.fromkeys((*self.pod, *self.target)))
        return f"(rate({self.select(metric, '_bucket')}[{window}]) and on ({same}) {self.select(metric, '_count')})"

    def native_of(self, metric: Metric) -> Metric | None:
        """The histogram that a counter is the sum or the count of, as far as that can be asked for."""
        if self.signal.type != "counter" or not self.dialect.knows_natives or not metric.histogram:
            return None
        return replace(metric, name=metric.histogram)

    def counted_natively(self, metric: Metric) -> str:
        """The rate of a counter, made of the native histogram that keeps it."""
        histogram = self.select(replace(metric, name=metric.histogram))
        function = "histogram_sum" if metric.name.endswith("_sum") else "histogram_count"
        rate = f"{function}(rate({histogram}[{_span(self.query.window or 0)}]) and {histogram})"
        return f'label_replace({rate}, "{_KIND}", "native", "", "")'

    def reporting(self, form: str) -> str:
        """A series or more of every pod that reports, each put into `form`."""
        if not self.signal.takes_quantile:
            return self.newest(self.signal.metrics, lambda one: self.either(one, form))
        return f"{self.classic(form)} or on ({_list(self.pod)}) {self.native(form)}"

    def either(self, metric: Metric, form: str) -> str:
        """The series of a metric, or the native histogram that keeps it."""
        own, native = form.format(self.select(metric)), self.native_of(metric)
        return f"({own} or {form.format(self.select(native))})" if native else own

    def classic(self, form: str) -> str:
        """A series or more of every pod that has a histogram's buckets."""
        return self.newest(self.signal.metrics, lambda one: form.format(self.select(one, "_count")))

    def native(self, form: str) -> str:
        """A series or more of every pod that has a native histogram."""
        return self.newest(self.signal.metrics, lambda one: form.format(self.select(one)))

    def added(self, number: int, metric: Metric) -> str:
        """One of the metrics that add up with the newest, told apart from it and from the others."""
        return (
            f' or label_replace({self.with_labels(metric, self.rate_or_gauge(metric))}, "{_ALSO}", "{number}", "", "")'
        )

    def idle(self) -> str:
        """0 for each pod that has the engine's family, and nothing of the signal yet."""
        begun = self.reporting("{}")
        return f"0 * (group by ({_list(self.pod)}) ({self.family()}) unless on ({_list(self.pod)}) ({begun}))"

    def family(self) -> str:
        """Whatever the pods export that is the engine's."""
        named = {label: self.values(label) for label in self.named}
        return self.selector("", (*self.any_of(self.signal.family), *self.matchers(named, self.signal.where)))

    def shown(self) -> str:
        """How many series a gateway has of the signal or of its family; where its scrape has the namespace, by that."""
        by = self.by[:1] if dict(self.signal.label_names)["namespace"] == "namespace" else ()
        named = {label: self.named[label] for label in by if label in self.named}
        return f"count by ({_list(by)}) ({self.selector('', (*self.any_of(self.signal.shown_by), *_any(named)))})"

    def newest(self, metrics: tuple[Metric, ...], series: Callable[[Metric], str]) -> str:
        """Of each page, the series of the first metric that it has: a pod may have engines of several releases."""
        known = [metric for metric in metrics if self.dialect.knows_dots or not metric.is_dotted]
        return f" or on ({_list(self.page)}) ".join(self.with_labels(metric, series(metric)) for metric in known)

    def with_labels(self, metric: Metric, series: str) -> str:
        """The same series under the signal's labels, and those of the object that points at them."""
        through = metric.info_join
        if through:
            info = self.selector(through.info, (*self.fixed(through.where), *_any(self.named_by(metric))))
            named, points = self.dialect.name(through.names), self.dialect.name(through.label)
            thing = _relabelled(f"max by ({_list((self.by[0], named))}) ({series})", points, named)
            series = f"({info} * on ({_list((self.by[0], points))}) group_left () {thing})"
        for label, name in metric.label_names:
            series = _relabelled(series, self.dialect.label_of(self.signal, label), self.dialect.name(name))
        for label, value in self.also_called:
            series = f'label_replace({series}, "{label}", {quote(self.named[label][0])}, "{label}", {quote(value)})'
        return self.placed(series) if _PLACE in self.page else series

    def placed(self, series: str) -> str:
        """The same series; those whose instance has no port say besides where their page is."""
        instance, *others = map(self.dialect.name, ("instance", "job", "endpoint"))
        sources = ", ".join(f'"{label}"' for label in others)
        return f'label_replace(label_join({series}, "{_PLACE}", "/", {sources}), "{_PLACE}", "", "{instance}", ".+:.+")'

    def named_by(self, metric: Metric) -> Mapping[str, Sequence[str]]:
        """The values of labels, by what the metric calls these."""
        own = {self.dialect.label_of(self.signal, ours): self.dialect.name(name) for ours, name in metric.label_names}
        return {own.get(label, label): self.values(label) for label in self.named}

    def values(self, label: str) -> Sequence[str]:
        """The values that a label of the workloads may have."""
        return [*self.named[label], *(value for name, value in self.also_called if name == label)]

    @property
    def also_called(self) -> Pairs:
        """What labels that are asked for say instead; then a query is of one workload."""
        return tuple(
            (label, value)
            for ours, asked in self.query.labels
            for value in self.signal.also_called(ours, asked)
            if (label := self.dialect.label_of(self.signal, ours)) in self.named
        )

    def fixed(self, where: Pairs) -> Pairs:
        """The matchers of the catalogue, under the endpoint's names."""
        return _equal((self.dialect.name(label), value) for label, value in where)

    def select(self, metric: Metric, suffix: str = "") -> str:
        """The vector selector of a metric."""
        here = {label: self.named[label] for label in self.by[:1] if label in self.named}
        named = here if metric.info_join else self.named_by(metric)
        bucket = self.bucket if suffix == "_bucket" else ()
        return self.selector(metric.name + suffix, (*self.matchers(named, metric.where), *bucket))

    def matchers(self, named: Mapping[str, Sequence[str]], where: Pairs) -> Pairs:
        """Of the workloads, their pods, and what the catalogue says."""
        matchers = self.pods if self.signal.scope == "target" else ()
        pod = [(self.dialect.name("pod"), matcher) for matcher in matchers]
        return (*_any(named), *pod, *self.fixed(where))

    def any_of(self, names: Iterable[str]) -> Pairs:
        """The matcher of any of these names, or of what begins like them before a `*`."""
        written = (quote_regex(self.dialect.metric(name)).replace(r"\*", ".*") for name in names)
        return (("__name__", f"=~{quote('|'.join(written))}"),)

    def selector(self, name: str, matchers: Pairs) -> str:
        """A name with its matchers and those of the endpoint."""
        everything = (*matchers, *_equal(self.dialect.matchers.items()))
        written = self.dialect.metric(name) if name else ""
        return series_name(written, [label_name(label) + matcher for label, matcher in everything])

    def count_pods(self, series: str) -> str:
        """How many pods `series` has."""
        return f"count by ({_list(self.by)}) (group by ({_list(self.pod)}) ({series}))"

    def count_jumping(self) -> str:
        """How many pods have counters that fell again and again; nothing where there are none."""
        falls = f"resets({{}}[{_span(JUMPS_WITHIN)}])"
        most = f"max by ({_list(self.pod)}) ({self.reporting(falls)})"
        return f"count by ({_list(self.by)}) ({most} >= {JUMPING})"

    def count_unlike(self) -> str:
        """How many pods have native histograms alone, where the value is not of these; nothing where there are none."""
        alone = self.count_pods(f"({self.native('{}')}) unless on ({_list(self.pod)}) ({self.classic('{}')})")
        if self.query.at_most is not None:
            return alone
        return f"({alone} and on ({_list(self.by)}) group by ({_list(self.by)}) ({self.classic('{}')}))"

    def count_changed(self) -> str:
        """How many pods have a counter's histogram as one kind, and had it as the other within the window.

        A store that does not end a series with its scrape has both for a while, but not as of one time.
        """
        on, window = f"on ({_list(self.pod)})", _span(self.query.window or 0)
        before = f"present_over_time({{}}[{window}])"
        classic, native = self.kept_classic("{}"), self.kept_natively("{}")
        changed = f"({native} unless {on} {classic}) and {on} {self.kept_classic(before)}"
        back = f"({classic} unless {on} {native}) and {on} {self.kept_natively(before)}"
        target = _list(dict.fromkeys((*self.pod, *self.target)))
        classic_at, native_at = self.kept_classic("timestamp({})"), self.kept_natively("timestamp({})")
        apart = f"max by ({target}) {classic_at} != max by ({target}) {native_at}"
        return self.count_pods(f"({changed}) or ({back}) or ({apart})")

    def kept_classic(self, form: str) -> str:
        """The series of a counter that a classic histogram keeps, each put into `form`."""
        return f"({self.newest(self.signal.metrics, lambda one: form.format(self.select(one)))})"

    def kept_natively(self, form: str) -> str:
        """The native histograms that keep a counter, each put into `form`."""
        natives = tuple(native for metric in self.signal.metrics if (native := self.native_of(metric)))
        return f"({self.newest(natives, lambda one: form.format(self.select(one)))})"

    def count_scraped(self, series: str) -> str:
        """How many pods `series` has, and a little more for those that are scraped more than once."""
        if not self.pages_may_repeat:
            return self.count_pods(series)
        scrapes = f"count by ({_list(self.pod)}) (group by ({_list((*self.page, self.job))}) ({series}))"
        return f"sum by ({_list(self.by)}) (1 + ({scrapes} > bool 1) * {CROWDED!r})"

    def unclear(self) -> str:
        """The pages of pods that no job scrapes all pages of, and their jobs."""
        if not self.pages_may_repeat:
            return ""
        series = self.reporting("{}")
        scrapes = f"group by ({_list((*self.page, self.job))}) ({series})"
        pages = f"count by ({_list(self.pod)}) (group by ({_list(self.page)}) ({series}))"
        of_a_job = f"count by ({_list((*self.pod, self.job))}) ({scrapes})"
        return f"{scrapes} and on ({_list(self.pod)}) ({pages} > max by ({_list(self.pod)}) ({of_a_job}))"

    @property
    def tells_copies(self) -> bool:
        """Whether targets tell that a pod is seen by several copies of Prometheus, or in several clusters."""
        return self.dialect.has_copies and "namespace" not in self.dialect.labels and self.page != self.pod

    def copied(self) -> str:
        """The series of pods whose targets come several times."""
        return f"({self.reporting('{}')}) and on ({_list(_target_pod(self.dialect))}) ({self.copied_targets()})"

    def copied_targets(self) -> str:
        """The pods, of the workloads' namespaces, whose targets come several times."""
        return _copied_targets(self.dialect, self.heartbeat)

    def targets_of_copied(self) -> str:
        """The targets of these pods, with all their labels."""
        pods = f"({self.copied_targets()}) and on ({_list(_target_pod(self.dialect))}) ({self.reporting('{}')})"
        return f"{self.heartbeat} and on ({_list(_target_pod(self.dialect))}) ({pods})"

    @property
    def misses_nameless(self) -> bool:
        """Whether series without a pod would be missed: where neither Kubernetes nor the trigger names the pods."""
        named = self.query.target_pods is not None or self.query.pods is not None
        return self.signal.scope == "target" and self.page != self.pod and not named

    def count_nameless(self) -> str:
        """How many instances have series without a pod, and none with one; nothing where there are none."""
        instance = _list(dict.fromkeys((*self.by, self.dialect.name("instance"))))
        named, nameless = self.reporting("{}"), replace(self, podless=True).reporting("{}")
        others = f"group by ({instance}) ({nameless}) unless on ({instance}) ({named})"
        return f"count by ({_list(self.by)}) ({others})"

    @property
    def numerator_and_denominator(self) -> bool:
        """Whether it is a ratio whose halves are added up by the reader."""
        return bool(self.signal.per) and self.dialect.name("pod") in self.by

    @property
    def pods(self) -> tuple[str, ...]:
        """Operators and values of the matchers of an engine's pods; a series must have one."""
        if self.podless:
            return ('=""',)
        given = '!=""' if self.query.pods is None else f"=~{quote(self.query.pods)}"
        own = self.query.target_pods
        if own is None or _adds_up(self.query):
            return (given,)
        names = [quote_regex(name) for name in sorted(own.names)]
        any_of = "|".join([*names, own.name_pattern] if own.name_pattern else names)
        return given, f"=~{quote(any_of)}"

    @property
    def pod(self) -> tuple[str, ...]:
        """The labels of one pod, or of one object."""
        if self.signal.scope == "object":
            return self.by
        return tuple(dict.fromkeys((*self.by, self.dialect.name("pod"))))

    @property
    def page(self) -> tuple[str, ...]:
        """The labels of one page."""
        instance = self.dialect.name("instance")
        alone = instance in self.repeats or self.dialect.pod_pages == "same"
        told = (instance, _PLACE) if self.dialect.has_portless and self.signal.scope != "object" else (instance,)
        return self.pod if alone else tuple(dict.fromkeys((*self.pod, *told)))

    @property
    def scrape(self) -> tuple[str, ...]:
        """The labels by which scrapes of one page differ."""
        here = self.dialect.scrape_labels(self.signal)
        return here if self.dialect.name("instance") in self.page else (*here, self.dialect.name("instance"))

    @property
    def job(self) -> str:
        """The label of the job that scrapes a page."""
        return self.dialect.name("job")

    @property
    def repeats(self) -> tuple[str, ...]:
        """The labels whose series are the same thing again."""
        return tuple(map(self.dialect.name, self.signal.repeats))

    @property
    def pages_may_repeat(self) -> bool:
        """Whether two pages of a pod may be the same engine."""
        return self.signal.scope != "object" and self.dialect.pod_pages is None and self.page != self.pod

    @property
    def dead(self) -> str:
        """The targets whose scrape fails."""
        return f"({self.heartbeat} == 0)"

    @property
    def heartbeat(self) -> str:
        """Whether each target could be scraped; as far as targets have a namespace, only those of the workloads'."""
        heartbeat = enforce(self.dialect.up_selector, self.dialect.matchers)
        if "namespace" in self.dialect.labels or "namespace" not in self.named:
            return heartbeat
        return insert(heartbeat, [f"namespace{_one_of(['', *self.named['namespace']])}"])

    @property
    def target(self) -> tuple[str, str]:
        """The labels of one scraped target, shared by its series and its heartbeat."""
        return self.job, self.dialect.name("instance")
