"""Series that call themselves a workload's, and come from a target that is not of its namespace. Pure.

A scrape with `honor_labels` lets a page say whose pod it is, so a stranger's page may say that it is a neighbour's.
What it cannot choose is the `up` of its own target. So where a workload has pages whose target is its namespace's and
pod's, pages without such a target are doubted: a row of the stat `alien` counts them, and a second query names them.

    vllm:num_requests_waiting{namespace="demo", pod="d-0", job="llm", instance="10.0.0.1:8000"}
    vllm:num_requests_waiting{namespace="demo", pod="d-7", job="red", instance="10.0.9.9:8000"}    alien
    up{namespace="demo", pod="d-0", job="llm", instance="10.0.0.1:8000"}
    up{namespace="red", pod="r-0", job="red", instance="10.0.9.9:8000"}

Where a workload has no target of its own, such as behind a federation or a collector, nothing is known of that, but for
one thing: where the endpoint's namespace is the one that Prometheus renamed (`exported_namespace`), the target's stands
beside it, and two of these tell different stories of one workload. Of an object whoever exports it speaks, and nothing
but that all say the same is known: `alien` has a row where they do not.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from scaler.sources.prometheus.federation import directly_scraped
from scaler.sources.prometheus.selectors import any_of_each, joined, listed, of_stat
from scaler.sources.prometheus.signal_series import SignalSeries

STAT = "alien"
TARGET = "target_of_alien"  # stat of the rows that are targets
_SHOWN = 3  # pages of a workload that are named
_HOW = "whoever scrapes that lets a page say whose it is (honor_labels)"
_SEVERAL = "its series come from targets in the namespaces {}, each of which may say whose they are"
_RENAMED = "exported_namespace"  # what Prometheus makes of a page's own namespace, beside that of its target
_SCRAPED = "namespace"


@dataclass(frozen=True, slots=True)
class TargetLabels:
    """Names the labels that a target gives to its series, as the endpoint calls them."""

    namespace: str
    pod: str
    page: str
    job: str


def count(series: SignalSeries) -> str:
    """Count the pages of each workload that has such; nothing of the others."""
    if series.namespace == _RENAMED:
        return f"count by ({listed(_workload(series))}) ({_origins(series)}) > 1"
    workload = listed(_workload(series))
    pages = f"group by ({listed(dict.fromkeys((*series.by, *_target(series))))}) ({_all(series)})"
    own = f"({pages}) and on ({listed(_target(series))}) ({series.own_targets})"
    return f"count by ({workload}) ({pages}) != count by ({workload}) ({own})"


def named(series: SignalSeries) -> str:
    """Write a query for where they come from: a few pages of a workload, and the targets of their job and instance."""
    if series.signal.scope == "object":
        return of_stat(STAT, _speakers(series))
    if series.namespace == _RENAMED:
        return of_stat(STAT, _origins(series))
    pages, target = _pages(series), listed(series.target)
    labels = listed(dict.fromkeys((*_target(series), *series.target)))
    targets = f"group by ({labels}) ({series.all_targets} and on ({target}) ({pages}))"
    some = f"topk by ({listed(_workload(series))}) ({_SHOWN}, {pages})"
    return joined((of_stat(STAT, some), of_stat(TARGET, targets)))


def told(
    rows: Iterable[Mapping[str, str]], by: Sequence[str], labels: TargetLabels, *, objects: bool
) -> Mapping[tuple[str, ...], Mapping[str, str]]:
    """Say where such series come from: by workload, or namespace of an object, and pod.

    Args:
        rows: labels of rows, those of the query that names them among them.
        by: the labels that tell workloads apart.
        labels: what the endpoint calls a target's labels.
        objects: whether they are of objects.
    """
    ordered = sorted((row for row in rows if row.get("stat") in {STAT, TARGET}), key=lambda row: sorted(row.items()))
    pages = [row for row in ordered if row["stat"] == STAT]
    if objects:
        return _joined_by(pages, by[:1], lambda row: _place(row, labels), "{} say different things of it")
    if labels.namespace == _RENAMED:
        return _joined_by(pages, by, lambda row: f'"{row.get(_SCRAPED, "")}"', _SEVERAL)
    targets = [row for row in ordered if row["stat"] == TARGET]
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for row in pages:
        pod, place = row.get(labels.pod, ""), _place(row, labels)
        whose = _whose([target for target in targets if _place(target, labels) == place], row, labels)
        key = tuple(row.get(label, "") for label in by)
        found.setdefault(key, {})[pod] = f"series of {pod or 'no pod'} come from {place}, {whose}: {_HOW}"
    return found


def _joined_by(
    rows: Iterable[Mapping[str, str]], by: Sequence[str], said: Callable[[Mapping[str, str]], str], sentence: str
) -> Mapping[tuple[str, ...], Mapping[str, str]]:
    """Say one sentence of all rows of a workload."""
    found: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        found.setdefault(tuple(row.get(label, "") for label in by), []).append(said(row))
    return {key: {"": sentence.format(" and ".join(some[:_SHOWN]))} for key, some in found.items()}


def _place(row: Mapping[str, str], labels: TargetLabels) -> str:
    return f'{labels.page}="{row.get(labels.page, "")}" of {labels.job}="{row.get(labels.job, "")}"'


def _whose(targets: Sequence[Mapping[str, str]], page: Mapping[str, str], labels: TargetLabels) -> str:
    """Say whose the targets are that have the job and instance of a page: of several, its own namespace's first."""
    owned = {target[labels.namespace]: target for target in targets if target.get(labels.namespace)}
    own = owned.get(page.get(labels.namespace, ""))
    if own:
        return f"a target of pod {own.get(labels.pod, '')}"
    return f'a target in namespace "{min(owned)}"' if owned else "which is no target of its namespace"


def _origins(series: SignalSeries) -> str:
    """Write the namespaces of the targets of a workload's series, where only these themselves name the workload's."""
    return f"group by ({listed((*_workload(series), _SCRAPED))}) ({_all(series)})"


def _speakers(series: SignalSeries) -> str:
    """Write who exports what is read of objects, a few for each namespace."""
    metrics = series.signal.metrics
    names = [metric.name for metric in metrics] + [metric.info_join.info for metric in metrics if metric.info_join]
    namespace = series.by[:1]
    here = {label: series.named[label] for label in namespace if label in series.named}
    everything = series.selector("", (*series.any_of(dict.fromkeys(names)), *any_of_each(here)))
    targets = f"group by ({listed((*namespace, *series.target))}) ({everything})"
    return f"topk by ({listed(namespace)}) ({_SHOWN}, {targets})"


def _pages(series: SignalSeries) -> str:
    """Write the pages without a target of their namespace, of workloads that have pages with one."""
    target, everything = listed(_target(series)), _all(series)
    pages = f"group by ({listed(dict.fromkeys((*series.by, *_target(series))))}) ({everything})"
    own = f"({everything}) and on ({target}) ({series.own_targets})"
    return f"({pages} unless on ({target}) ({series.own_targets})) and on ({listed(_workload(series))}) ({own})"


def _all(series: SignalSeries) -> str:
    """Write all series that go into the signal; for those that come through another Prometheus that one vouches."""
    if series.has_federated:
        series = replace(series, more=directly_scraped(series.dialect))
    others = (*series.signal.plus, *series.signal.divided_by)
    more = (f" or {series.with_labels(metric, series.either(metric, '{}'))}" for metric in others)
    return series.reporting("{}") + "".join(more)


def _target(series: SignalSeries) -> tuple[str, ...]:
    """List the labels that a page's series have from its target."""
    return series.namespace, series.dialect.name("pod"), *series.target


def _workload(series: SignalSeries) -> tuple[str, ...]:
    """List the labels that tell workloads apart."""
    return tuple(label for label in series.by if label != series.dialect.name("pod"))
