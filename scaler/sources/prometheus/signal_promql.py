"""The PromQL that adds up one signal: over the series of a page, the scrapes of it, the pages of a pod, and pods. Pure.

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
    clusters  or tenants of one store: their targets differ in a label that is known for that. Where Kubernetes does not
              name the target's own pods, series of two are not certain.
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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from scaler.config.metrics import BY_POD
from scaler.config.promql import label_name, quote
from scaler.config.signals import Metric
from scaler.sources.pages.counters import JUMPING, JUMPS_WITHIN, PROCESS
from scaler.sources.prometheus import impostors
from scaler.sources.prometheus.capabilities import copied_targets, taking_turns, target_pod
from scaler.sources.prometheus.federation import forked, from_federation, whose_is_exported
from scaler.sources.prometheus.selectors import any_of_each, joined, listed, numbers_up_to, of_stat, span
from scaler.sources.prometheus.signal_series import SignalSeries

STATS = (
    *("value", "per", "answered", "missing", "oldest", "shown", "jumping", "unlike", "below"),
    *("copied", "nameless", "young", "contrary", "clusters", "quiet", "federated", "foreign", "forked", "alien"),
    *("bounds", "engine"),
)
CROWDED = 2.0**-20  # what a pod that is scraped more than once adds to `answered`
OF_GATEWAYS = 3_600.0  # seconds for which a gateway that is scraped in vain is missed: its queue is nowhere else
STEPS = 240  # times within the window of a gauge, as far as the next line allows; whole multiples of the step
_STEP = (1.0, 60.0)  # seconds from one to the next, at least and at most

_OVER_TIME: Mapping[str, str] = {"mean": "avg_over_time", "max": "max_over_time", "min": "min_over_time"}
WHICH = "which"  # label of a row that names the label it is about, whose value it has too
_ALSO = "also"  # label that tells apart the metrics that add up
_KIND = "kind_of_histogram"  # label of what is made of native histograms: where a pod has both kinds, they are the same
_AGGREGATION: Mapping[str, str] = {"sum": "sum", "mean": "avg", "max": "max", "quantile": "sum"}


@dataclass(frozen=True, slots=True)
class SignalPromql(SignalSeries):
    """The text of a batch query, from the whole to its parts."""

    def stats(self) -> Iterator[str]:
        """Write each stat, which its rows have as the label `stat`."""
        stats = {"value": self.value(), "oldest": f"min by ({listed(self.by)}) ({self.reporting('timestamp({})')})"}
        if self.numerator_and_denominator:
            stats["per"] = self.total(self.signal.divided_by)
        if self.signal.scope != "object":
            past = max(self.dialect.recent, OF_GATEWAYS if self.signal.scope == "gateway" else 0.0)
            recently = f"last_over_time({{}}[{span(past)}])"
            present, lately = self.reporting("{}"), self.reporting(recently)
            if self.signal.idles:
                present += f" or on ({listed(self.pod)}) {self.family()}"
                lately += f" or on ({listed(self.pod)}) {recently.format(self.family())}"
            stats["answered"] = self.count_scraped(present)
            stats["missing"] = self.count_pods(self.at_targets(lately, self.dialect.up_selector, "{} == 0".format))
            stats |= self.doubts()
            stats |= self.through_others()
            stats[impostors.STAT] = impostors.count(self)
        else:
            lowest = replace(self, of_several="min")
            stats[impostors.STAT] = f"{self.total(self.signal.metrics)} != {lowest.total(self.signal.metrics)}"
        if self.ambiguous:
            stats["contrary"] = joined(map(self.contrary, self.ambiguous))
        if self.tells_engines:
            stats["engine"] = self.engines()
        if self.clusters:
            stats["clusters"] = joined(self.values_of(label, self.reporting("{}")) for label in self.clusters)
        if self.signal.scope == "gateway":
            stats["shown"] = self.shown()
        for stat in STATS:
            if stat in stats:
                yield of_stat(stat, stats[stat])

    @property
    def tells_engines(self) -> bool:
        """Tell whether what is each engine's of a pod is asked for, so that one that hangs is seen."""
        return self.signal.name in BY_POD and self.signal.scope == "target" and self.dialect.name("pod") in self.by

    @property
    def ranks(self) -> tuple[str, ...]:
        """The labels by which the engine is known to tell its ranks on one page apart."""
        own = map(self.dialect.name, self.signal.sum_within_pod_by or ())
        return tuple(label for label in own if label not in self.page)

    def engines(self) -> str:
        """Write what is each engine's, of pods that have several: at pages of their own, or as ranks on one page."""
        engine = listed(dict.fromkeys((*self.page, *self.ranks)))
        several = f"count by ({listed(self.pod)}) (group by ({engine}) ({self.reporting('{}')})) > 1"
        return f"{self.once(self.series(self.signal.metrics), self.ranks)} and on ({listed(self.pod)}) ({several})"

    def doubts(self) -> Mapping[str, str]:
        """Write the stats of what makes a reading doubtful, beside pods that are missing."""
        stats = {}
        if self.signal.type == "counter":
            stats["jumping"] = self.count_jumping()
        elif self.dialect.has_turns:
            stats["jumping"] = self.count_pods(self.at_targets(self.reporting("{}"), PROCESS, taking_turns))
        if self.signal.type == "gauge":
            stats["below"] = self.count_pods(self.reporting("({} < 0)"))
        if self.signal.takes_window:
            stats["young"] = self.count_young()
        if self.signal.takes_quantile:
            stats["unlike"] = self.count_unlike()
        elif any(self.native_of(metric) for metric in self.signal.metrics):
            stats["unlike"] = self.count_changed()
        if self.tells_copies:
            stats["copied"] = self.count_pods(self.copied())
        if self.misses_nameless:
            stats["nameless"] = self.count_nameless()
        return stats

    def through_others(self) -> Mapping[str, str]:
        """Write the stats of series that came through another Prometheus."""
        if not self.has_federated:
            return {"federated": self.count_pods(replace(self, more=from_federation(self.dialect)).reporting("{}"))}
        stats = {"forked": self.count_pods(self.forked())}
        foreign = [replace(self, more=more).reporting("{}") for more in whose_is_exported(self.dialect)]
        return stats | ({"foreign": self.count_pods(" or ".join(foreign))} if foreign else {})

    def forked(self) -> str:
        """Write the series of pages of which several Prometheus say different things."""
        through_others = replace(self, more=from_federation(self.dialect)).reporting("{}")
        return forked(listed(self.page), listed(self.scrape), through_others)

    def value(self) -> str:
        """Write the signal itself, or what it comes to over a window."""
        if self.query.reduce is None:
            return self.now()
        window = self.query.window or 0.0
        step = min(max(math.ceil(window / STEPS), _STEP[0]), _STEP[1])
        past = f"{_OVER_TIME[self.query.reduce]}(({self.now()})[{span(window)}:{span(step)}])"
        return f"{past} and {self.now()}"

    def now(self) -> str:
        """Write the signal at one time."""
        if self.query.at_most is not None:
            return self.share(self.query.at_most / self.signal.scale)
        text = self.total(self.signal.metrics)
        if self.signal.takes_quantile:
            of_buckets = f"histogram_quantile({self.query.quantile!r}, {text})"
            text = f"({of_buckets} or histogram_quantile({self.query.quantile!r}, {self.native_total()}))"
        if self.signal.divided_by and not self.numerator_and_denominator:
            text = f"{text} / {self.total(self.signal.divided_by)}"
        return text if self.signal.scale == 1 else f"{text} * {self.signal.scale!r}"

    def share(self, bound: float) -> str:
        """Write the share of observations in each page's largest bucket that ends at a bound or below.

        Buckets are cumulative, and those of two releases of an engine do not end alike.
        """
        by, page = listed(self.by), listed(self.page)
        of_pages = (
            promql.once(promql.newest(self.signal.metrics, promql.rate_or_gauge), ("le",))
            for promql in (self.low(bound), self)
        )
        within, all_of_them = (f"sum by ({by}) (max by ({page}) ({series}))" for series in of_pages)
        return f"{within} / {all_of_them}"

    def low(self, bound: float) -> "SignalPromql":
        """Return the same of the buckets alone that end at a bound or below."""
        return replace(self, bucket=(("le", f"=~{quote(numbers_up_to(bound))}"),))

    def total(self, metrics: tuple[Metric, ...]) -> str:
        """Write the aggregation over all pods; of a histogram, its buckets."""
        le = ("le",) if self.signal.takes_quantile else ()
        series = self.series(metrics)
        if self.signal.scope == "object":
            return f"{self.of_several} by ({listed(self.by)}) ({series})"
        if metrics is self.signal.metrics:
            series += f" or on ({listed(self.pod)}) ({self.idle()})" if self.signal.idles else ""
        aggregation = "sum" if self.signal.divided_by else _AGGREGATION[self.signal.aggregation]
        if aggregation == "sum":
            once = self.once(series, le)
        else:  # each series counts as one
            once = f"max without ({listed((*self.scrape, *self.repeats))}) ({series})"
        return f"{aggregation} by ({listed((*self.by, *le))}) ({once})"

    def series(self, metrics: tuple[Metric, ...]) -> str:
        """Write the series that add up: of each page the newest name, and what adds up with that."""
        series = self.newest(metrics, self.rate_or_gauge)
        plus = self.signal.plus if metrics is self.signal.metrics and self.signal.scope != "object" else ()
        return series + "".join(self.added(number, metric) for number, metric in enumerate(plus, 1))

    def native_total(self) -> str:
        """Write the native histograms of all pods, added up."""
        window, same = span(self.query.window or 0), listed(dict.fromkeys((*self.pod, *self.target)))
        rates = self.newest(
            self.signal.metrics, lambda one: f"(rate({self.select(one)}[{window}]) and on ({same}) {self.select(one)})"
        )
        scraped = f"sum by ({listed(dict.fromkeys((*self.page, *self.scrape)))}) ({rates})"
        return f"sum by ({listed(self.by)}) (avg by ({listed(self.page)}) ({scraped}))"

    def once(self, series: str, le: tuple[str, ...]) -> str:
        """Write what each page says, however often it is scraped, and whatever kinds of histograms are stored of it."""
        labels = [label for label in self.repeats if label not in self.page]
        series = f"max without ({listed(labels)}) ({series})" if labels else series
        kind = (
            (_KIND,)
            if any(map(self.native_of, (*self.signal.metrics, *self.signal.plus, *self.signal.divided_by)))
            else ()
        )
        scraped = f"sum by ({listed(dict.fromkeys((*self.page, *self.scrape, *le, *kind)))}) ({series})"
        return f"max by ({listed((*self.page, *le))}) ({scraped})"

    def rate_or_gauge(self, metric: Metric) -> str:
        """Write the series of one metric as they are added up: a gauge, or the rate of a counter that is there."""
        if self.signal.type == "gauge":
            return f"clamp_min({self.select(metric)}, 0)"
        window = span(self.query.window or 0)
        if self.signal.type == "counter":
            counted = f"(rate({self.select(metric)}[{window}]) and {self.select(metric)})"
            counted = f"({self.born(metric)} or {counted})" if self.signal.counts_from_birth else counted
            return f"({counted} or {self.counted_natively(metric)})" if self.native_of(metric) else counted
        same = listed(dict.fromkeys((*self.pod, *self.target)))
        return f"(rate({self.select(metric, '_bucket')}[{window}]) and on ({same}) {self.select(metric, '_count')})"

    def born(self, metric: Metric) -> str:
        """Write the rate of series that were not there before the window, though their target was: they began at 0.

        What comes and goes, as where several processes answer in turn, did not begin within the window. `rate` knows of
        a series' increase from its first sample on, so that the first request of its kind is none. A target that has
        other labels since is a new one, of which it is not known what its counters said before.
        """
        seconds = self.query.window or 0.0
        series, ago = self.select(metric), f"offset {span(seconds)}"
        stayed = f"({self.heartbeat} == 1 and {self.heartbeat} {ago} == 1)"
        before = f"last_over_time({series}[{span(OF_GATEWAYS)}] {ago})"
        return f"(({series} unless {before}) / {seconds!r} and on ({listed(self.target)}) {stayed})"

    def counted_natively(self, metric: Metric) -> str:
        """Write the rate of a counter, made of the native histogram that keeps it."""
        histogram = self.select(replace(metric, name=metric.histogram))
        function = "histogram_sum" if metric.name.endswith("_sum") else "histogram_count"
        rate = f"{function}(rate({histogram}[{span(self.query.window or 0)}]) and {histogram})"
        return f'label_replace({rate}, "{_KIND}", "native", "", "")'

    def added(self, number: int, metric: Metric) -> str:
        """Write one of the metrics that add up with the newest, told apart from it and from the others."""
        return (
            f' or label_replace({self.with_labels(metric, self.rate_or_gauge(metric))}, "{_ALSO}", "{number}", "", "")'
        )

    def idle(self) -> str:
        """Write 0 for each pod that has the engine's family, and nothing of the signal yet."""
        begun = self.reporting("{}")
        return f"0 * (group by ({listed(self.pod)}) ({self.family()}) unless on ({listed(self.pod)}) ({begun}))"

    def shown(self) -> str:
        """Count the series that a gateway has of the signal or of its family; by namespace where its scrape has it."""
        by = self.by[:1] if dict(self.signal.label_names)["namespace"] == "namespace" else ()
        named = {label: self.named[label] for label in by if label in self.named}
        return (
            f"count by ({listed(by)}) ({self.selector('', (*self.any_of(self.signal.shown_by), *any_of_each(named)))})"
        )

    def count_pods(self, series: str) -> str:
        """Count the pods of `series`."""
        return f"count by ({listed(self.by)}) (group by ({listed(self.pod)}) ({series}))"

    def count_jumping(self) -> str:
        """Count the pods whose counters fell again and again; nothing where there are none."""
        falls = f"resets({{}}[{span(JUMPS_WITHIN)}])"
        most = f"max by ({listed(self.pod)}) ({self.reporting(falls)})"
        return f"count by ({listed(self.by)}) ({most} >= {JUMPING})"

    def count_young(self) -> str:
        """Count the pods with a page that was not scraped twice within the window: it is there, and has no rate."""
        scraped = self.reporting(f"count_over_time({{}}[{span(self.query.window or 0)}])")
        page = listed(self.page)
        once = f"({self.reporting('{}')}) unless on ({page}) (max by ({page}) ({scraped}) >= 2)"
        if self.signal.counts_from_birth:
            once = f"({once}) unless on ({page}) ({self.newest(self.signal.metrics, self.born)})"
        return self.count_pods(once)

    def contrary(self, label: str) -> str:
        """Write the values that series have of a label, where their target has another; what was dropped is none."""
        told = replace(self, more=(*self.more, (label, '!=""')))
        series, target = told.reporting("{}"), listed(self.target)
        of_targets = f"(({series}) and on ({target}) {self.heartbeat})"
        return self.values_of(label, f"{of_targets} unless on ({target}, {label_name(label)}) {self.heartbeat}")

    def values_of(self, label: str, series: str) -> str:
        """Write a row for each value of a label among the series."""
        rows = f"count by ({listed((*self.by, label))}) ({series})"
        return f'label_replace({rows}, "{WHICH}", "{label}", "", "")'

    def count_unlike(self) -> str:
        """Count the pods with native histograms alone, where the value is of others; nothing where there are none."""
        alone = self.count_pods(f"({self.native('{}')}) unless on ({listed(self.pod)}) ({self.classic('{}')})")
        if self.query.at_most is not None:
            return alone
        return f"({alone} and on ({listed(self.by)}) group by ({listed(self.by)}) ({self.classic('{}')}))"

    def count_changed(self) -> str:
        """Count the pods that have a counter's histogram as one kind, and had it as the other within the window.

        A store that does not end a series with its scrape has both for a while, but not as of one time.
        """
        on, window = f"on ({listed(self.pod)})", span(self.query.window or 0)
        before = f"present_over_time({{}}[{window}])"
        classic, native = self.kept_classic("{}"), self.kept_natively("{}")
        changed = f"({native} unless {on} {classic}) and {on} {self.kept_classic(before)}"
        back = f"({classic} unless {on} {native}) and {on} {self.kept_natively(before)}"
        target = listed(dict.fromkeys((*self.pod, *self.target)))
        classic_at, native_at = self.kept_classic("timestamp({})"), self.kept_natively("timestamp({})")
        apart = f"max by ({target}) {classic_at} != max by ({target}) {native_at}"
        return self.count_pods(f"({changed}) or ({back}) or ({apart})")

    def kept_classic(self, form: str) -> str:
        """Write the series of a counter that a classic histogram keeps, each put into `form`."""
        return f"({self.newest(self.signal.metrics, lambda one: form.format(self.select(one)))})"

    def kept_natively(self, form: str) -> str:
        """Write the native histograms that keep a counter, each put into `form`."""
        natives = tuple(native for metric in self.signal.metrics if (native := self.native_of(metric)))
        return f"({self.newest(natives, lambda one: form.format(self.select(one)))})"

    def count_scraped(self, series: str) -> str:
        """Count the pods of `series`, and a little more for those that are scraped more than once."""
        if not self.pages_may_repeat:
            return self.count_pods(series)
        scrapes = f"count by ({listed(self.pod)}) (group by ({listed((*self.page, self.job))}) ({series}))"
        return f"sum by ({listed(self.by)}) (1 + ({scrapes} > bool 1) * {CROWDED!r})"

    def unclear(self) -> str:
        """Write a query for the pages of pods that no job scrapes all pages of, and their jobs."""
        if not self.pages_may_repeat:
            return ""
        series = self.reporting("{}")
        scrapes = f"group by ({listed((*self.page, self.job))}) ({series})"
        pages = f"count by ({listed(self.pod)}) (group by ({listed(self.page)}) ({series}))"
        of_a_job = f"count by ({listed((*self.pod, self.job))}) ({scrapes})"
        return f"{scrapes} and on ({listed(self.pod)}) ({pages} > max by ({listed(self.pod)}) ({of_a_job}))"

    def copied(self) -> str:
        """Write the series of pods whose targets come several times."""
        return f"({self.reporting('{}')}) and on ({listed(target_pod(self.dialect))}) ({self.copied_targets()})"

    def copied_targets(self) -> str:
        """Write the pods, of the workloads' namespaces, whose targets come several times."""
        return copied_targets(self.dialect, self.heartbeat)

    def targets_of_copied(self) -> str:
        """Write the targets of these pods, with all their labels."""
        pods = f"({self.copied_targets()}) and on ({listed(target_pod(self.dialect))}) ({self.reporting('{}')})"
        return f"{self.heartbeat} and on ({listed(target_pod(self.dialect))}) ({pods})"

    def count_nameless(self) -> str:
        """Count the instances that have series without a pod, and none with one; nothing where there are none.

        A gateway may have no pod at all; then there are none with one, and it is counted.
        """
        instance = listed(dict.fromkeys((*self.by, self.dialect.name("instance"))))
        named, nameless = (replace(self, podless=without).reporting("{}") for without in (False, True))
        others = f"group by ({instance}) ({nameless}) unless on ({instance}) ({named})"
        if self.signal.scope == "gateway":
            others = f"({others}) and on ({listed(self.by)}) ({named})"
        return f"count by ({listed(self.by)}) ({others})"

    @property
    def numerator_and_denominator(self) -> bool:
        """Tell whether it is a ratio whose halves are added up by the reader."""
        return bool(self.signal.divided_by) and self.dialect.name("pod") in self.by
