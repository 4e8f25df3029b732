"""The series of one signal in PromQL: how they are selected, what their labels are called, what tells pods apart. Pure.

Worked example, of two models in one namespace:

    vllm:num_requests_waiting{namespace="demo",model_name=~"a|b",pod!="",server=""}

    by        namespace, model_name                   the labels of a row
    pod       namespace, model_name, pod              those of a pod
    page      namespace, model_name, pod, instance    those of a page of it
    scrape    job, prometheus_replica, ...            those by which scrapes of one page differ
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from scaler.config.naming import Naming
from scaler.config.promql import enforce, insert, label_name, quote, quote_regex, series_name
from scaler.config.signals import Metric, Pairs, Signal
from scaler.model.measurement import SignalQuery
from scaler.sources.prometheus.capabilities import targets_of_twins
from scaler.sources.prometheus.federation import (
    as_scraped_there,
    labels_of_asking,
    of_whom_was_asked,
    on_whom_was_asked,
)
from scaler.sources.prometheus.selectors import any_of_each, equal, listed, one_of, relabelled

PLACE = "place_without_port"  # label that tells apart pages whose `instance` does not


def adds_up(query: SignalQuery) -> bool:
    """Tell whether the answer for several pods can be made of the answers for each."""
    return query.quantile is None and query.at_most is None and query.reduce is None


@dataclass(frozen=True, slots=True)
class SignalSeries:
    """The series of one signal, of the pods and workloads that are asked about."""

    signal: Signal
    query: SignalQuery
    by: tuple[str, ...]  # the labels of a row
    named: Mapping[str, Sequence[str]]  # its values, of labels whose list is short enough
    dialect: Naming
    bucket: Pairs = ()  # matchers of a histogram's buckets, where not all are read
    podless: bool | None = None  # whether series without a pod are meant, or those with one; None: as it is usual
    of_several: str = "max"  # which counts where several speak of one object: max, or min
    more: Pairs = ()  # matchers of what is meant beside these
    only: tuple[str, ...] = ()  # names of the pods that are meant, where it is a few of them

    def native_of(self, metric: Metric) -> Metric | None:
        """Return the histogram that a counter is the sum or the count of, as far as that can be asked for."""
        if self.signal.type != "counter" or not self.dialect.knows_natives or not metric.histogram:
            return None
        return replace(metric, name=metric.histogram)

    def reporting(self, form: str) -> str:
        """Write a series or more of every pod that reports, each put into `form`."""
        if not self.signal.takes_quantile:
            return self.newest(self.signal.metrics, lambda one: self.either(one, form))
        return f"{self.classic(form)} or on ({listed(self.pod)}) {self.native(form)}"

    def either(self, metric: Metric, form: str) -> str:
        """Write the series of a metric, or the native histogram that keeps it."""
        own, native = form.format(self.select(metric)), self.native_of(metric)
        return f"({own} or {form.format(self.select(native))})" if native else own

    def classic(self, form: str) -> str:
        """Write a series or more of every pod that has a histogram's buckets."""
        return self.newest(self.signal.metrics, lambda one: form.format(self.select(one, "_count")))

    def native(self, form: str) -> str:
        """Write a series or more of every pod that has a native histogram."""
        return self.newest(self.signal.metrics, lambda one: form.format(self.select(one)))

    def family(self) -> str:
        """Write a selector of whatever the pods export that is the engine's."""
        named = {label: self.values(label) for label in self.named}
        return self.selector("", (*self.any_of(self.signal.family_names), *self.matchers(named, self.signal.where)))

    def newest(self, metrics: tuple[Metric, ...], series: Callable[[Metric], str]) -> str:
        """Write of each page the series of the first metric that it has: pods may have engines of several releases."""
        known = [metric for metric in metrics if self.dialect.knows_dots or not metric.is_dotted]
        return f" or on ({listed(self.page)}) ".join(self.with_labels(metric, series(metric)) for metric in known)

    def with_labels(self, metric: Metric, series: str) -> str:
        """Write the same series under the signal's labels, and those of the object that points at them."""
        through = metric.info_join
        if through:
            info = self.selector(through.info, (*self.fixed(through.where), *any_of_each(self.named_by(metric))))
            named, points = self.dialect.name(through.names), self.dialect.name(through.label)
            thing = relabelled(f"{self.of_several} by ({listed((self.by[0], named))}) ({series})", points, named)
            series = f"({info} * on ({listed((self.by[0], points))}) group_left () {thing})"
        for label, name in metric.label_names:
            series = relabelled(series, self.dialect.label_of(self.signal, label), self.dialect.name(name))
        for label, value in self.also_called:
            series = f'label_replace({series}, "{label}", {quote(self.named[label][0])}, "{label}", {quote(value)})'
        series = self.as_scraped(series)
        series = self.placed(series) if PLACE in self.page else series
        return self.but_for_twins(series) if self.drops_twins else series

    def but_for_twins(self, series: str) -> str:
        """Write the same series without those of a page that is scraped again by somebody who knows no pods."""
        twins = targets_of_twins(self.dialect, self.heartbeat)
        return f"({series} unless on ({listed((*self.target, self.dialect.name('pod')))}) ({twins}))"

    @property
    def drops_twins(self) -> bool:
        """Tell whether series without a pod may be a page's again: of engines they never count."""
        return self.dialect.has_twins and self.signal.scope == "gateway" and self.podless is None

    def as_scraped(self, series: str) -> str:
        """Write series as the scrape of the engine itself has them, where they come through another Prometheus."""
        return as_scraped_there(self.dialect, series) if self.has_federated else series

    def placed(self, series: str) -> str:
        """Write the same series; those whose instance has no port say besides where their page is."""
        instance, *others = map(self.dialect.name, ("instance", "job", "endpoint"))
        sources = ", ".join(f'"{label}"' for label in others)
        return f'label_replace(label_join({series}, "{PLACE}", "/", {sources}), "{PLACE}", "", "{instance}", ".+:.+")'

    def named_by(self, metric: Metric) -> Mapping[str, Sequence[str]]:
        """Map what a metric calls the labels to their values."""
        own = {self.dialect.label_of(self.signal, ours): self.dialect.name(name) for ours, name in metric.label_names}
        return {own.get(label, label): self.values(label) for label in self.named}

    def values(self, label: str) -> Sequence[str]:
        """List the values that a label of the workloads may have."""
        return [*self.named[label], *(value for name, value in self.also_called if name == label)]

    @property
    def also_called(self) -> Pairs:
        """The labels that are asked for, with what they may say instead; then a query is of one workload."""
        return tuple(
            (label, value)
            for ours, asked in self.query.labels
            for value in self.signal.also_called(ours, asked)
            if (label := self.dialect.label_of(self.signal, ours)) in self.named
        )

    def fixed(self, where: Pairs) -> Pairs:
        """Write the matchers of the catalogue, under the endpoint's names."""
        return equal((self.dialect.name(label), value) for label, value in where)

    def select(self, metric: Metric, suffix: str = "") -> str:
        """Write the vector selector of a metric."""
        here = {label: self.named[label] for label in self.by[:1] if label in self.named}
        named = here if metric.info_join else self.named_by(metric)
        bucket = self.bucket if suffix == "_bucket" else ()
        return self.selector(metric.name + suffix, (*self.matchers(named, metric.where), *bucket))

    def matchers(self, named: Mapping[str, Sequence[str]], where: Pairs) -> Pairs:
        """Write the matchers of the workloads, of their pods, and of the catalogue."""
        matchers = self.pods if self.signal.scope == "target" or self.podless is not None else ()
        pod = [(self.dialect.name("pod"), matcher) for matcher in matchers]
        pod += [(self.dialect.name("pod"), one_of(self.only))] if self.only else []
        return (*any_of_each(named), *pod, *self.fixed(where), *self.more)

    def any_of(self, names: Iterable[str]) -> Pairs:
        """Write the matcher of any of these names, or of what begins like them before a `*`."""
        written = (quote_regex(self.dialect.metric(name)).replace(r"\*", ".*") for name in names)
        return (("__name__", f"=~{quote('|'.join(written))}"),)

    def selector(self, name: str, matchers: Pairs) -> str:
        """Write a name with its matchers and those of the endpoint."""
        everything = (*matchers, *equal(self.dialect.matchers.items()))
        written = self.dialect.metric(name) if name else ""
        return series_name(written, [label_name(label) + matcher for label, matcher in everything])

    @property
    def tells_copies(self) -> bool:
        """Tell whether targets show that a pod is seen by several copies of Prometheus, or in several clusters."""
        return self.dialect.has_copies and self.page != self.pod

    @property
    def ambiguous(self) -> tuple[str, ...]:
        """The labels of the scrape that the engine may write too, where whoever scrapes lets its labels stand."""
        scrape = self.scrape if self.signal.scope != "object" else ()
        return tuple(label for label in self.dialect.ambiguous if label in scrape)

    @property
    def clusters(self) -> tuple[str, ...]:
        """The labels by which the series may be of several clusters: no pod of the target's own says which is meant."""
        told = () if self.query.target_pods is not None else self.dialect.clusters
        return tuple(label for label in told if label not in self.dialect.scrape)

    @property
    def misses_nameless(self) -> bool:
        """Tell whether series without a pod would be missed: neither Kubernetes nor the trigger names the pods."""
        named = self.query.target_pods is not None or self.query.pods is not None
        return self.signal.scope != "object" and self.page != self.pod and not named

    @property
    def pods(self) -> tuple[str, ...]:
        """Operators and values of the matchers of an engine's pods; a series must have one."""
        if self.podless:
            return ('=""',)
        given = ('!=""',) if self.query.pods is None else ('!=""', f"=~{quote(self.query.pods)}")  # which may take ""
        own = self.query.target_pods
        if own is None or adds_up(self.query):
            return given
        names = [quote_regex(name) for name in sorted(own.names)]
        any_of = "|".join([*names, own.name_pattern] if own.name_pattern else names)
        return *given, f"=~{quote(any_of)}"

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
        told = (instance, PLACE) if self.dialect.has_portless and self.signal.scope != "object" else (instance,)
        return self.pod if alone else tuple(dict.fromkeys((*self.pod, *told)))

    @property
    def scrape(self) -> tuple[str, ...]:
        """The labels by which scrapes of one page differ."""
        here = self.dialect.scrape_labels(self.signal)
        if self.has_federated:
            told = (*self.page, self.job)
            here = (*here, *(label for label in labels_of_asking(self.dialect) if label not in told))
        return here if self.dialect.name("instance") in self.page else (*here, self.dialect.name("instance"))

    @property
    def job(self) -> str:
        """The label of the job that scrapes a page."""
        return self.dialect.name("job")

    @property
    def repeats(self) -> tuple[str, ...]:
        """The labels whose series are the same thing again."""
        return tuple(map(self.dialect.name, self.signal.repeated_by))

    @property
    def pages_may_repeat(self) -> bool:
        """Tell whether two pages of a pod may be the same engine."""
        return self.signal.scope != "object" and self.dialect.pod_pages is None and self.page != self.pod

    def at_targets(self, series: str, selector: str, holds: Callable[[str], str]) -> str:
        """Write the series of targets for which something holds: of their own namespace, or of targets without one.

        Two namespaces may have a target of one job and instance, since whoever scrapes may call these as they like. So
        a target without a namespace speaks for no series that has a target in its own.

        Args:
            series: of pods.
            selector: of what targets have, such as `up`.
            holds: writes the condition on that, such as `up == 0`.
        """
        own_target = listed((self.namespace, *self.target))
        own = self.as_scraped(f"({holds(self.of_own_targets(selector))})")
        text = f"({series}) and on ({own_target}) {own}"
        if self.dialect.has_nobodys:
            condition = holds(self.of_targets(selector, '=""'))
            nobodys = self.as_scraped(f"({condition})")
            targetless = f"({series}) unless on ({own_target}) {self.own_targets}"
            text += f" or ({targetless}) and on ({listed(self.target)}) {nobodys}"
        if self.has_federated:
            directly = holds(insert(self.of_workloads(selector), [of_whom_was_asked(self.dialect)]))
            text += f" or {on_whom_was_asked(self.dialect, series, f'({directly})')}"
        return text

    def targets_without(self, series: str, near: Callable[[str], str]) -> str:
        """Write the `up` of the targets that have none of these series; see `at_targets`.

        Args:
            series: of pods.
            near: writes which targets are looked at, of all.
        """
        text = f"({near(self.own_targets)}) unless on ({listed((self.namespace, *self.target))}) ({series})"
        if self.dialect.has_nobodys:
            nobodys = self.as_scraped(self.of_targets(self.dialect.up_selector, '=""'))
            text += f" or (({near(nobodys)}) unless on ({listed(self.target)}) ({series}))"
        return text

    @property
    def has_federated(self) -> bool:
        """Tell whether series may have come through another Prometheus."""
        return self.dialect.has_federated and self.signal.scope != "object"

    @property
    def heartbeat(self) -> str:
        """The `up` of each target; as far as targets have a namespace, only of the workloads'."""
        return self.of_workloads(self.dialect.up_selector)

    @property
    def own_targets(self) -> str:
        """The `up` of each target that has a namespace, of the workloads', as their own scrape has it."""
        return self.as_scraped(self.of_own_targets(self.dialect.up_selector))

    @property
    def all_targets(self) -> str:
        """The `up` of each target, whosever it is."""
        return self.as_scraped(self.of_targets(self.dialect.up_selector))

    def of_workloads(self, selector: str) -> str:
        """Return what each target has; as far as targets have a namespace, only of the workloads'."""
        named = self.named.get(self.namespace)
        return self.of_targets(selector, one_of(["", *named]) if named else "")

    def of_own_targets(self, selector: str) -> str:
        """Return what each target has that has a namespace, of the workloads' as far as these are named."""
        named = self.named.get(self.namespace)
        return self.of_targets(selector, one_of(named) if named else '!=""')

    def of_targets(self, selector: str, namespace: str = "") -> str:
        """Return what each target has, such as its `up`.

        Args:
            selector: of that.
            namespace: matcher of the targets' namespace.
        """
        selector = enforce(selector, self.dialect.matchers)
        return insert(selector, [label_name(self.namespace) + namespace]) if namespace else selector

    @property
    def namespace(self) -> str:
        """The label of the namespace that a scrape puts on its targets and their series."""
        return self.dialect.name("namespace")

    @property
    def target(self) -> tuple[str, str]:
        """The labels of one scraped target, shared by its series and its heartbeat."""
        return self.job, self.dialect.name("instance")
