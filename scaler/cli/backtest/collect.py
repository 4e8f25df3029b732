"""From Prometheus and the cluster to a record: one object, and all that was measured for it over a time."""

import contextlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from scaler.cli.arguments import read_file
from scaler.config import signals
from scaler.config.defaults import Defaults
from scaler.config.metrics import MetricContext, read_metric
from scaler.config.settings import Settings
from scaler.config.signals import find
from scaler.model.errors import ConfigError, SourceError
from scaler.model.measurement import (
    CapacityQuery,
    Failure,
    Measurement,
    Query,
    Reading,
    SignalQuery,
    TargetPods,
    WorkloadKey,
)
from scaler.model.strict_yaml import parse_yaml
from scaler.sim.backtest.arrivals import COUNTED, WITHIN
from scaler.sim.backtest.record import Record
from scaler.sim.backtest.served import LATENCIES
from scaler.sim.backtest.subject import FormulaTrigger, Subject
from scaler.sources.kubernetes.api import ApiServer, Missing
from scaler.sources.prometheus.source import PrometheusSource

KINDS = ("ScaledObject", "HorizontalPodAutoscaler")
BATCH = 1000  # times of one range query
PATIENCE = 60.0  # seconds for one batch
LARGEST = 256 * 1024 * 1024  # bytes of one answer
SERIES = 200_000  # of one answer: all pods that there ever were
_PATHS = (
    "/apis/keda.sh/v1alpha1/namespaces/{namespace}/scaledobjects/{name}",
    "/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers/{name}",
)


def object_in_file(path: Path, namespace: str, name: str) -> dict[str, Any]:
    """Find an object in a YAML file, which may hold several documents.

    Raises:
        ConfigError: there is none of that name that can be played again.
    """
    documents = (parse_yaml(part, str(path)) for part in re.split(r"^---.*$", read_file(path), flags=re.MULTILINE))
    found = [one for one in documents if isinstance(one, dict) and one.get("kind") in KINDS]
    named = [one for one in found if (one.get("metadata") or {}).get("name") == name]
    if not named:
        there = ", ".join(str((one.get("metadata") or {}).get("name")) for one in found) or "none"
        raise ConfigError(str(path), "", f"holds no ScaledObject or HPA called {name}", there)
    chosen = named[0]
    chosen["metadata"].setdefault("namespace", namespace)
    return chosen


def object_in_cluster(kubeconfig: Path | None, namespace: str, name: str) -> dict[str, Any]:
    """Read a ScaledObject, or else an HPA, from the cluster.

    Raises:
        ConfigError: there is neither.
        SourceError: the cluster cannot be reached.
    """
    api = ApiServer(kubeconfig)
    try:
        for path in _PATHS:
            with contextlib.suppress(Missing):
                return dict(api.get(path.format(namespace=namespace, name=name)))
    finally:
        api.close()
    problem = "is neither a ScaledObject nor an HPA in the cluster"
    raise ConfigError("argument", f"{namespace}/{name}", problem, "the name of one, or --file FILE")


# ---- what is asked ---------------------------------------------------------------------------------------------------


def replica_queries(subject: Subject, endpoint: str) -> dict[str, Query]:
    """List the queries for the replicas that there were: of the scale target, and of its HPA."""
    namespace = ("namespace", subject.namespace)
    hpa = f"keda-hpa-{subject.name}" if subject.has_keda else subject.name
    return {
        "replicas": SignalQuery(endpoint, "kubernetes", "spec_replicas", (namespace, ("workload", subject.target))),
        "ready": SignalQuery(endpoint, "kubernetes", "ready_replicas", (namespace, ("hpa", hpa))),
    }


def load_queries(
    subject: Subject, defaults: Defaults, engine: str | None, model: str | None, window: float
) -> dict[str, Query]:
    """List the queries for the requests that came, by the signal's name; none where nobody says which model it is.

    Args:
        subject: the object; a trigger of ours says engine and model.
        defaults: of the settings.
        engine: what the command line says in its place.
        model: likewise.
        window: seconds over which rates are taken.
    """
    own = [one.spec for one in subject.triggers if isinstance(one, FormulaTrigger)]
    measured = (item.query for spec in own for item in (*spec.activity_signals, *spec.inputs) if item.of_target)
    query = next((query for query in measured if isinstance(query, SignalQuery)), None)
    if query is not None:
        engine, model = engine or query.engine, model or dict(query.labels).get("model")
    if model is None:
        return {}
    engine = engine or defaults.engine
    values = {"engine": engine, "model": model}
    scope = MetricContext(
        WorkloadKey(subject.namespace, subject.name, "ScaledObject", ""), values, defaults, defaults.endpoint
    )
    queries: dict[str, Query] = {}
    for name in (*COUNTED, *WITHIN):
        known = name in signals.names(engine) or name in signals.names_at_gateway(defaults.gateway)
        if not known:
            continue
        looks_back = {"window": window} if name in COUNTED else {}
        item = read_metric("backtest", name, {"signal": name, **looks_back}, scope)
        if item is not None and not isinstance(item.query, CapacityQuery):
            queries[name] = item.query
    return queries if queries.keys() >= set(COUNTED) else {}


def as_recorded(queries: Mapping[str, Query], record: Record) -> dict[str, Query]:
    """Find the same queries in a record, whose rates may be of another window; leave out those it does not have."""
    kept = {_but_window(query): query for query in record.series}
    return {name: kept[_but_window(query)] for name, query in queries.items() if _but_window(query) in kept}


def _but_window(query: Query) -> Query:
    return replace(query, window=None) if isinstance(query, SignalQuery) else query


def latency_queries(load: Mapping[str, Query], ttft: float, tpot: float, step: float) -> dict[str, Query]:
    """List the queries for the share of requests that met the SLO, of the pods and the model that `load` is of.

    Args:
        load: how the requests are asked for.
        ttft: seconds to the first token that were promised.
        tpot: seconds for each further one.
        step: seconds between ticks.
    """
    base = load.get(COUNTED[0])
    if not isinstance(base, SignalQuery):
        return {}
    limits = zip(LATENCIES, (ttft, tpot), strict=True)
    window = max(step, 60.0)
    return {
        name: replace(base, signal=name, window=window, at_most=limit)
        for name, limit in limits
        if name in signals.names(base.engine) and find(base.engine, name).takes_quantile
    }


# ---- asking ----------------------------------------------------------------------------------------------------------


def collect(
    settings: Settings,
    subject: Subject,
    queries: Collection[Query],
    load_queries: Collection[Query],
    times: Sequence[float],
) -> Record:
    """Measure all of it at all of these times, in batches, with a bar on a terminal.

    Args:
        settings: the endpoints.
        subject: the object as it is, by whose pods the signals are told from others' of the same model.
        queries: of the object and of candidates.
        load_queries: the requests that came.
        times: two or more, evenly spaced.

    Raises:
        ConfigError: an endpoint is read page by page, and pages have no past.
        SourceError: nothing at all could be measured.
    """
    counts = replica_queries(subject, settings.defaults.endpoint)
    # What KEDA asks itself it asks as of the moment; llm-scaler waits for scrapes that are late.
    at_once = {*subject.asked_by_keda, *counts.values()}
    by_endpoint: dict[str, dict[Query, Query]] = {}  # what is asked in a query's place -> the query
    for query in {*queries, *load_queries, *counts.values()}:
        by_endpoint.setdefault(query.endpoint, {})[_of_own_pods(query, subject, load_queries)] = query
    series: dict[Query, list[Measurement]] = {query: [] for own in by_endpoint.values() for query in own.values()}
    batches = [times[first : first + BATCH] for first in range(0, len(times), BATCH)]
    lateness = {query: 0.0 if query in at_once else settings.evaluation_delay for query in series}
    with _sources(settings, by_endpoint) as sources, _bar(len(batches) * len(sources)) as step:
        for name, source in sources.items():
            for batch in batches:
                _measure(source, by_endpoint[name], batch, times[1] - times[0], lateness, series)
                step()
    _refuse_nothing(series)
    replicas, ready = (_counts(series[counts[name]]) for name in ("replicas", "ready"))
    kept = {query: measured for query, measured in series.items() if query not in counts.values()}
    return Record(
        namespace=subject.namespace,
        name=subject.name,
        start=times[0],
        step=times[1] - times[0],
        ticks=len(times),
        manifest={},
        replicas=replicas,
        ready=ready,
        series=kept,
    )


def _measure(
    source: PrometheusSource,
    own: Mapping[Query, Query],
    batch: Sequence[float],
    step: float,
    lateness: Mapping[Query, float],
    series: Mapping[Query, list[Measurement]],
) -> None:
    """Measure at the times of one batch, each query as late as it is asked, and add that to the series.

    At its last time a source goes by the pods that there are now, so one more is asked and left out.
    """
    asked = [*batch, batch[-1] + step]
    for late in sorted(set(lateness.values())):
        these = [stands for stands, query in own.items() if lateness[query] == late]
        if not these:
            continue
        times = [at - late for at in asked]
        for stands, told in source.fetch(these, times).items():
            series[own[stands]] += told[:-1]


def _of_own_pods(query: Query, subject: Subject, load: Collection[Query]) -> Query:
    """Narrow a query to the pods that the target ever had, where these are known by their names."""
    own = query in subject.own_queries or query in load
    if (
        not own
        or not subject.pods
        or not isinstance(query, SignalQuery)
        or find(query.engine, query.signal).scope != "target"
    ):
        return query
    return replace(query, target_pods=TargetPods(frozenset(), frozenset(), subject.pods))


def _counts(measured: Sequence[Measurement]) -> list[int | None]:
    values = (one.value if isinstance(one, Reading) else None for one in measured)
    return [None if value is None else round(value) for value in values]


def _refuse_nothing(series: Mapping[Query, Sequence[Measurement]]) -> None:
    """Say why nothing could be measured, where that is so."""
    newest = [measured[-1] for measured in series.values()]
    reasons = [one.reason for one in newest if isinstance(one, Failure)]
    if reasons and len(reasons) == len(newest):
        raise SourceError(f"nothing could be measured: {reasons[0]}")
    readings = [one for one in chain.from_iterable(series.values()) if isinstance(one, Reading)]
    if series and all(one.value is None for one in readings):
        hint = next((one.found_instead for one in readings if one.found_instead), "")
        why = hint or "look at the model, the namespace, the endpoint and the time"
        raise SourceError(f"nothing was measured in that time, no series of any input is there: {why}")


@contextlib.contextmanager
def _sources(settings: Settings, names: Collection[str]) -> Iterator[dict[str, PrometheusSource]]:
    sources: dict[str, PrometheusSource] = {}
    try:
        for name in names:
            endpoint = settings.endpoints.get(name)
            if endpoint is None or endpoint.direct:
                problem = "is read page by page, and pages have no past" if endpoint else "is not an endpoint"
                raise ConfigError("settings", f"endpoints.{name}", problem, "--prometheus URL")
            slow = replace(endpoint, timeout=PATIENCE, max_bytes=max(endpoint.max_bytes, LARGEST), max_series=SERIES)
            sources[name] = PrometheusSource(slow)
        yield sources
    finally:
        for source in sources.values():
            source.close()


@contextlib.contextmanager
def _bar(total: int) -> Iterator[Callable[[], None]]:
    """Show a progress bar on standard error, where that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("reading Prometheus"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total)
        yield lambda: progress.advance(task)
