"""Answers of the query API, and the readings that are made of them. Pure."""

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from scaler.config.metrics import BY_POD
from scaler.model.errors import ConfigError
from scaler.model.fields import seconds
from scaler.model.measurement import (
    MAX_VALUE,
    Failure,
    Measurement,
    Query,
    Reading,
    SignalQuery,
    TargetPods,
    engine_name,
)
from scaler.sources.pages.aggregate import BELOW_ZERO, whose_turn, why_impossible
from scaler.sources.pages.histogram import UNLIKE, unlike_ends
from scaler.sources.pages.pods import pods_matcher
from scaler.sources.prometheus import impostors
from scaler.sources.prometheus.batch_query import BatchQuery
from scaler.sources.prometheus.bucket_bounds import BOUND
from scaler.sources.prometheus.capabilities import WHERE
from scaler.sources.prometheus.federation import THROUGH
from scaler.sources.prometheus.signal_promql import WHICH
from scaler.sources.prometheus.signal_series import PLACE

_UNLIKE = {  # what `unlike` says, by whether it is of counters
    False: "have native histograms alone, which are not in it",
    True: "changed from one kind of histogram to the other within its window, so not all that was counted is in it",
}


_ADVICE = (
    "copies of one Prometheus, or several clusters? Say scrapeLabels: [{0}], or matchers with one {0}, for this "
    "endpoint"
)
_CONTRARY = (
    "its series have {0} {1}, where their target has another: whoever scrapes lets the engine's labels stand, so which "
    "are the same thing again is not known. Scrape without honor_labels, or give that label of the targets another name"
)
_CLUSTERS = (
    "its series are of {0} {1}: of several clusters in one Prometheus? Say matchers with one {0} for this endpoint"
)
_FOREIGN = (
    "its series come through another Prometheus that is scraped without honor_labels, and their namespace or pod is "
    "its own: scrape its /federate with honor_labels, or say labels: {namespace: exported_namespace, pod: "
    "exported_pod} for this endpoint"
)
_NUMBER = r"[-+]?([0-9]+\.?[0-9]*(e[-+]?[0-9]+)?|Inf)"
_YOUNG = "were not scraped twice within its window, so their rate is not known; scrape oftener, or set a longer window"
_QUIET = {  # what a page does that had series and has none now
    "silent": "is still scraped and does not answer: what it holds is not known",
    "emptied": "answers without a series that it had: what it holds is not known",
}
_NAMELESS = {  # by whether it is of a gateway
    False: (
        "of its targets have no label for their pod and are not counted: is it called otherwise there? Relabel it, or "
        "name the workload's pods by `pods` in its trigger"
    ),
    True: (
        "of its targets have no label for their pod, beside others that have one: the same gateway twice? Let all "
        "scrapes set it, or leave one of them out"
    ),
}
_LABELS = {"contrary": (1, _CONTRARY), "clusters": (2, _CLUSTERS)}  # values that make a doubt, and its words


@dataclass(frozen=True, slots=True)
class ResultSeries:
    """One series of an answer."""

    labels: Mapping[str, str]
    values: Mapping[int, float]  # by the index of the time; NaN for what is a histogram
    histogram: bool = False  # whether it has native histograms


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The rows of one query, and what goes with them."""

    rows: Sequence[ResultSeries]
    times: Sequence[float]  # that were asked about
    source: str  # endpoint and query
    warning: str = ""  # why it may be partial


def together(answers: Sequence[QueryResult]) -> QueryResult:
    """Put the answers to the parts of one question together."""
    rows = [row for answer in answers for row in answer.rows]
    warning = next((answer.warning for answer in answers if answer.warning), "")
    return replace(answers[0], rows=rows, warning=warning)


def read_one(query: Query, answer: QueryResult) -> Mapping[Query, Sequence[Measurement]]:
    """Read the answer to a query that gives one number or nothing."""
    return {query: [_one(answer, index, at) for index, at in enumerate(answer.times)]}


def read_history(query: Query, answer: QueryResult) -> Mapping[Query, Sequence[Measurement]]:
    """Read whether there was anything at all."""
    seen = {index for row in answer.rows for index in row.values}
    return {
        query: [
            Reading(1.0 if index in seen else None, at, incomplete_reason=answer.warning, source=answer.source)
            for index, at in enumerate(answer.times)
        ]
    }


def read_labels_of_targets(answer: QueryResult, namespace: str) -> Mapping[str, frozenset[str]]:
    """Return the labels that every target of a namespace has, by namespace: "" is of the targets without one.

    Args:
        answer: to the question for them.
        namespace: the label of that.
    """
    told: dict[str, dict[str, set[str]]] = {}
    for row in answer.rows:
        of_namespace = told.setdefault(row.labels.get(namespace, ""), {"has": set(), "lacks": set()})
        for word, labels in of_namespace.items():
            labels.update([row.labels[word]] if word in row.labels else [])
    return {owner: frozenset(labels["has"] - labels["lacks"]) for owner, labels in told.items()}


def is_crowded(grouped: BatchQuery, answer: QueryResult) -> bool:
    """Say whether pods are scraped more than once, so that `grouped.unclear` has to be asked too."""
    counts = (value for row in answer.rows if row.labels.get("stat") == "answered" for value in row.values.values())
    return bool(grouped.unclear) and any(value % 1 for value in counts)


def quiet_pods(grouped: BatchQuery, answer: QueryResult) -> frozenset[str]:
    """Name the pods that `grouped.silent` has to be asked about: targets of theirs have nothing of the signal now."""
    pod, last = grouped.scrape[0], len(answer.times) - 1
    rows = (row for row in answer.rows if row.labels.get("stat") == "quiet" and last in row.values)
    return frozenset(row.labels.get(pod, "") for row in rows)


def is_federated(answer: QueryResult) -> bool:
    """Say whether series come through another Prometheus, and nobody knew when the question was written."""
    return any(row.labels.get("stat") == "federated" for row in answer.rows)


def is_forked(answer: QueryResult) -> bool:
    """Say whether several such Prometheus say different things, so that `grouped.forked` has to be asked too."""
    return any(row.labels.get("stat") == "forked" for row in answer.rows)


def has_bounds(answer: QueryResult) -> bool:
    """Say whether buckets do not end alike, so that `grouped.bounds` has to be asked too."""
    return any(row.labels.get("stat") == "bounds" for row in answer.rows)


def has_copies(answer: QueryResult) -> bool:
    """Say whether pods' targets come several times, so that `grouped.copies` has to be asked too."""
    return any(row.labels.get("stat") == "copied" for row in answer.rows)


def has_aliens(answer: QueryResult) -> bool:
    """Say whether series come from targets that are not the workload's, so that `grouped.aliens` has to be asked."""
    return any(row.labels.get("stat") == impostors.STAT for row in answer.rows)


def read_grouped(
    grouped: BatchQuery, answer: QueryResult, unclear: QueryResult | None = None, *, stale_after: float
) -> Mapping[Query, Sequence[Measurement]]:
    """Read the answer to a grouped query: for each workload its stats at each time.

    Args:
        grouped: the query.
        answer: its answer.
        unclear: the answers to what had to be asked too, such as `grouped.unclear` and `grouped.silent`.
        stale_after: seconds; a sample that is older makes a reading doubtful.
    """
    table: dict[tuple[str, ...], dict[str, dict[int, dict[str, float]]]] = {}
    labels = _labels_told(grouped, answer.rows)
    for row in answer.rows:
        pods = table.setdefault(_key(row, grouped), {})
        stats = pods.setdefault(row.labels.get(grouped.pod, ""), {})
        for index, value in row.values.items():
            stats.setdefault(index, {})[row.labels.get("stat", "")] = value
    more = unclear.rows if unclear else ()
    silent = _silent(grouped, [row for row in more if row.labels.get("stat") in _QUIET])
    branches = _forked(grouped, [row for row in more if row.labels.get("stat") == "forked"])
    engines = _engines(grouped, answer)
    bounds = _bounds(grouped, [row for row in more if row.labels.get("stat") == "bounds"])
    common = _common(grouped, unclear)
    several = _several(grouped, [row for row in more if not {"__name__", "stat"} & row.labels.keys()])
    targets = [row for row in more if "__name__" in row.labels and "stat" not in row.labels]
    copies = _copies(grouped, targets)
    aliens = impostors.told([row.labels for row in more], grouped.by, grouped.of_target, objects=not grouped.counted)
    read: dict[Query, Sequence[Measurement]] = {}
    for query, key in grouped.queries.items():
        pods = table.get(key, {})
        quiet = _first_doubt(silent.get(key, {}), query.target_pods, asked=True)
        copied = _first_doubt(copies.get(key[:1], {}), query.target_pods)
        alien = _first_doubt(aliens.get(key) or aliens.get(key[:1], {}), query.target_pods)
        why = {"copied": copied, "alien": alien, "quiet": quiet}
        # A pod with targets in several clusters is told of by name.
        about = ("contrary",) if copied else ("contrary", "clusters")
        told = (several.get(key, {}), branches.get(key, {}), *(labels.get((key, stat), {}) for stat in about))
        doubts = [_first_doubt(by_pod, query.target_pods) for by_pod in told]
        if query.target_pods and grouped.pod:
            own = _meant(query.target_pods, query.pods)
            readings = _own_readings(own, pods, grouped, answer, stale_after, *doubts, why=why)
            if query.signal in BY_POD:
                readings = _told_by_pod(readings, pods, query, engines.get(key, {}))
            read[query] = readings
        else:
            shown = _shown(table, key) if grouped.gateway else {}
            rows = [{**pods.get("", {}).get(index, {}), **shown.get(index, {})} for index in range(len(answer.times))]
            odd = [_no_number(grouped, [stats]) for stats in rows]
            read[query] = [
                _reading(stats, at, answer, stale_after, grouped, said, *doubts, why=why)
                for stats, said, at in zip(rows, odd, answer.times, strict=True)
            ]
            if grouped.bounds:
                judged = zip(rows, read[query], strict=True)
                unlike, instead = bounds.get(key, UNLIKE), common.get(key, {})
                read[query] = [
                    _of_unlike_buckets(one, unlike, instead) if stats.get("bounds") else one for stats, one in judged
                ]
    return read


def _meant(own: TargetPods, pattern: str | None) -> TargetPods:
    """Return the same pods; those must answer that the trigger's `pods` means, and all if it takes too long."""
    if pattern is None:
        return own
    try:
        return replace(own, ready=frozenset(filter(pods_matcher(pattern), own.ready)))
    except ConfigError:
        return own


def _key(row: ResultSeries, grouped: BatchQuery) -> tuple[str, ...]:
    return tuple(row.labels.get(label, "") for label in grouped.by)


def _labels_told(
    grouped: BatchQuery, rows: Iterable[ResultSeries]
) -> Mapping[tuple[tuple[str, ...], str], Mapping[str, str]]:
    """Say which values of a label make doubtful what is added up: by workload and stat, and by pod, in words."""
    values: dict[tuple[tuple[str, ...], str], dict[str, dict[str, set[str]]]] = {}
    for row in rows:
        stat = row.labels.get("stat", "")
        if stat in _LABELS:
            pods = values.setdefault((_key(row, grouped), stat), {})
            which = row.labels.get(WHICH, "")
            of_pod = pods.setdefault(row.labels.get(grouped.pod, ""), {})
            of_pod.setdefault(which, set()).add(row.labels.get(which, ""))
    return {place: _doubts_about_labels(place[1], pods) for place, pods in values.items()}


def _doubts_about_labels(stat: str, pods: Mapping[str, Mapping[str, Collection[str]]]) -> Mapping[str, str]:
    """Say which label it is, and two of its values: by pod, in words."""
    least, words = _LABELS[stat]
    told: dict[str, str] = {}
    for pod, labels in pods.items():
        for label, found in sorted(labels.items()):
            if len(found) >= least:
                told.setdefault(pod, words.format(label, _two(sorted(found))))
    return told


def _two(values: Sequence[str]) -> str:
    return " and ".join(f'"{value}"' for value in values[:2])


def _several(grouped: BatchQuery, rows: Iterable[ResultSeries]) -> Mapping[tuple[str, ...], Mapping[str, str]]:
    """Say of which pods it is not known what their pages are to each other: by workload and pod, in words."""
    pod_label, page_label, job_label = grouped.scrape
    places: dict[tuple[str, ...], dict[str, list[str]]] = {}
    for row in rows:
        place = f'{page_label}="{row.labels.get(page_label, "")}" of {job_label}="{row.labels.get(job_label, "")}"'
        places.setdefault(_key(row, grouped), {}).setdefault(row.labels.get(pod_label, ""), []).append(place)
    advice = "one engine twice, or several? Say podPages: same or podPages: sum for this endpoint"
    told: dict[tuple[str, ...], dict[str, str]] = {}
    for key, pods in places.items():
        for pod, found in pods.items():
            several = " and ".join(sorted(found)[:3])
            told.setdefault(key, {})[pod] = f"{pod} is scraped at {several}: {advice}"
    return told


def _silent(grouped: BatchQuery, rows: Iterable[ResultSeries]) -> Mapping[tuple[str, ...], Mapping[str, str]]:
    """Say of which pods a page had series, and has none now though it is scraped: by workload and pod, in words."""
    pod_label, page_label, job_label = grouped.scrape
    told: dict[tuple[str, ...], dict[str, str]] = {}
    for row in sorted(rows, key=lambda row: row.labels.get(page_label, "")):
        pod, page, job = (row.labels.get(label, "") for label in (pod_label, page_label, job_label))
        whose = f"a page of {pod}" if pod else "a page"
        what = _QUIET[row.labels["stat"]]
        sentence = f'{whose}, {page_label}="{page}" of {job_label}="{job}", {what}'
        told.setdefault(_key(row, grouped), {}).setdefault(pod, sentence)
    return told


def _bounds(grouped: BatchQuery, rows: Iterable[ResultSeries]) -> Mapping[tuple[str, ...], str]:
    """Say where some pods have buckets that end and others have not: by workload, in words."""
    found: dict[tuple[str, ...], dict[str, set[float]]] = {}
    for row in rows:
        pods = found.setdefault(_key(row, grouped), {})
        ends = pods.setdefault(row.labels.get(grouped.scrape[0], ""), set())
        if re.fullmatch(_NUMBER, row.labels.get(BOUND, "")):
            ends.add(float(row.labels[BOUND]))
    return {key: unlike_ends(pods) for key, pods in found.items()}


def _common(grouped: BatchQuery, more: QueryResult | None) -> Mapping[tuple[str, ...], Mapping[float, float]]:
    """Return what is read of the buckets that all pods have: by workload and time."""
    found: dict[tuple[str, ...], Mapping[float, float]] = {}
    if more is None:
        return found
    for row in more.rows:
        if row.labels.get("stat") == "common":
            found[_key(row, grouped)] = {more.times[index]: value for index, value in row.values.items()}
    return found


def _of_unlike_buckets(measured: Measurement, doubt: str, common: Mapping[float, float]) -> Measurement:
    """Give the value of the buckets alone that all pods have, in doubt.

    Args:
        measured: what was read of buckets that do not end alike.
        doubt: the words for that.
        common: the value without the others, by the time that was asked about.
    """
    if isinstance(measured, Failure):
        return measured
    doubts = "; ".join(filter(None, (doubt, measured.incomplete_reason)))
    value = _number(common.get(measured.at))
    return (
        Failure(doubts, measured.at, source=measured.source)
        if value is None
        else replace(measured, value=value, incomplete_reason=doubts)
    )


def _forked(grouped: BatchQuery, rows: Iterable[ResultSeries]) -> Mapping[tuple[str, ...], Mapping[str, str]]:
    """Say in which label the same page differs that came through several Prometheus: by workload and pod, in words."""
    found: dict[tuple[tuple[str, ...], str], list[Mapping[str, str]]] = {}
    for row in rows:
        found.setdefault((_key(row, grouped), row.labels.get(grouped.scrape[0], "")), []).append(row.labels)
    told: dict[tuple[str, ...], dict[str, str]] = {}
    for (key, pod), series in found.items():
        names = sorted({name for one in series for name in one} - {"__name__", "stat", *grouped.again, *WHERE})
        label = next((name for name in names if _differs_by(THROUGH, name, series)), "")
        what = f"with {label} {_two(_values_of(label, series))}" if label else "with different series"
        told.setdefault(key, {})[pod] = f"{pod} comes through several Prometheus {what}: {_ADVICE.format(label)}"
    return told


def _differs_by(place: str, name: str, series: Iterable[Mapping[str, str]]) -> bool:
    """Tell whether a label has other values at one place than at another."""
    values: dict[str, set[str]] = {}
    for one in series:
        values.setdefault(one.get(place, ""), set()).add(one.get(name, ""))
    return len(set(map(frozenset, values.values()))) > 1


def _copies(grouped: BatchQuery, targets: Iterable[ResultSeries]) -> Mapping[tuple[str, ...], Mapping[str, str]]:
    """Say in which label several targets of one pod and job differ: by namespace and pod, in words."""
    pod_label, page_label, job_label = grouped.scrape
    known = {"__name__", grouped.namespace, pod_label, page_label, job_label, *WHERE}
    found: dict[tuple[str, str, str], list[Mapping[str, str]]] = {}
    for row in targets:
        place = tuple(row.labels.get(label, "") for label in (grouped.namespace, pod_label, job_label))
        found.setdefault((place[0], place[1], place[2]), []).append(row.labels)
    told: dict[tuple[str, ...], dict[str, str]] = {}
    for (namespace, pod, job), labels in sorted(found.items()):
        names = sorted({label for one in labels for label in one} - known)
        values = {name: _values_of(name, labels) for name in names}
        apart = next((name for name in names if len(values[name]) > 1), "")
        if apart:
            told.setdefault((namespace,), {})[pod] = (
                f'{pod} has targets in {job_label}="{job}" with {apart} {_two(values[apart])}: {_ADVICE.format(apart)}'
            )
    return told


def _values_of(name: str, labels: Iterable[Mapping[str, str]]) -> list[str]:
    """List the values that a label has, and an empty one where it is not there."""
    return sorted({one.get(name, "") for one in labels})


def _first_doubt(doubts: Mapping[str, str], own: TargetPods | None, *, asked: bool = False) -> str:
    """Return the doubt about the first pod of a workload; `asked`: of those that must answer."""
    mine = None if own is None else own.ready if asked else own.names
    return next((doubts[pod] for pod in sorted(doubts) if mine is None or pod in mine), "")


StatTable = Mapping[tuple[str, ...], Mapping[str, Mapping[int, Mapping[str, float]]]]  # labels, pod, time, stat


def _shown(table: StatTable, key: tuple[str, ...]) -> Mapping[int, Mapping[str, float]]:
    """Return what is said of a gateway, whose rows have the namespace of a key at most."""
    found: dict[int, Mapping[str, float]] = {}
    for labels in ((*key[:1], *("" for _ in key[1:])), tuple("" for _ in key)):
        for index, stats in table.get(labels, {}).get("", {}).items():
            if "shown" in stats:
                found[index] = {"shown": stats["shown"]}
    return found


def _own_readings(
    own: TargetPods,
    pods: Mapping[str, Mapping[int, Mapping[str, float]]],
    grouped: BatchQuery,
    answer: QueryResult,
    stale_after: float,
    *said: str,
    why: Mapping[str, str],
) -> Sequence[Measurement]:
    """Add up the rows of a target's own pods; at the last time these are known by name, before it by their past."""
    past = re.compile(own.name_pattern) if own.name_pattern else None
    ever = {name for name in pods if name in own.names or (past and past.fullmatch(name))}
    readings: list[Measurement] = []
    for index, at in enumerate(answer.times):
        present = index == len(answer.times) - 1
        names = own.names & pods.keys() if present else ever
        rows = {name: pods[name][index] for name in names if index in pods[name]}
        # Where Prometheus was restarted meanwhile, a pod whose scrape fails keeps its last sample for minutes.
        failing = {name for name, row in rows.items() if row.get("missing")}
        answered = {name for name, row in rows.items() if row.get("answered")} - failing
        silent = own.lacking(answered) | (own.ready & failing) if present else failing
        doubt = f"{len(silent)} of its {len(answered | silent)} pods do not answer: {_some(silent)}" if silent else ""
        stats = {"answered": float(len(answered)), **_together(list(rows.values()), grouped.aggregation)}
        stats |= {
            stat: sum(_numbers(rows.values(), stat))
            for stat in ("jumping", "unlike", "below", "copied", "young", "foreign")
        }
        doubts = (doubt, _no_number(grouped, rows.values()), *said)
        # Of its pods it is known by name whose pages are alien, of the past only that somebody's are.
        stats["alien"] = float(bool(why["alien"])) if present else pods.get("", {}).get(index, {}).get("alien", 0.0)
        told = {**why, "quiet": ""} if silent else why
        readings.append(_reading(stats, at, answer, stale_after, grouped, *doubts, why=told))
    return readings


def _told_by_pod(
    readings: Sequence[Measurement],
    pods: Mapping[str, Mapping[int, Mapping[str, float]]],
    query: SignalQuery,
    engines: Mapping[str, Sequence[tuple[str, float]]],
) -> Sequence[Measurement]:
    """Add to the newest reading what of it is each pod's, and each engine's of pods that have several."""
    newest, at = readings[-1], len(readings) - 1
    if not isinstance(newest, Reading) or query.target_pods is None:
        return readings
    values = (
        (name, _number(pods[name].get(at, {}).get("value"))) for name in sorted(query.target_pods.names & pods.keys())
    )
    told = tuple((name, value) for name, value in values if value is not None)
    of_engines = (engines[name] for name in sorted(query.target_pods.names & engines.keys()))
    return [*readings[:-1], replace(newest, by_pod=told, by_engine=tuple(chain.from_iterable(of_engines)))]


def _engines(
    grouped: BatchQuery, answer: QueryResult
) -> Mapping[tuple[str, ...], Mapping[str, Sequence[tuple[str, float]]]]:
    """Return what is each engine's at the last time: by workload and pod."""
    pod_label, page_label, _ = grouped.scrape
    found: dict[tuple[str, ...], dict[str, list[tuple[str, float]]]] = {}
    for row in answer.rows:
        value = _number(row.values.get(len(answer.times) - 1))
        if row.labels.get("stat") != "engine" or value is None:
            continue
        pod, page = row.labels.get(pod_label, ""), row.labels.get(PLACE) or row.labels.get(page_label, "")
        ranks = [(label, row.labels.get(label, "")) for label in grouped.ranks]
        found.setdefault(_key(row, grouped), {}).setdefault(pod, []).append((engine_name(pod, page, ranks), value))
    for pods in found.values():
        for told in pods.values():
            told.sort()
    return found


def _together(rows: Collection[Mapping[str, float]], adds: str) -> dict[str, float]:
    """Add up value and age of several pods; of a ratio the halves are added up first."""
    values, per, oldest = (_numbers(rows, stat) for stat in ("value", "per", "oldest"))
    stats = {"oldest": min(oldest)} if oldest else {}
    if values and (sum(per) or not any("per" in row for row in rows)):
        total = max(values) if adds == "max" else sum(values)
        stats["value"] = total / (sum(per) if per else len(values) if adds == "mean" else 1)
    return stats


def _numbers(rows: Iterable[Mapping[str, float]], stat: str) -> list[float]:
    return [value for row in rows if (value := _number(row.get(stat))) is not None]


def _one(answer: QueryResult, index: int, at: float) -> Measurement:
    values = [row.values[index] for row in answer.rows if index in row.values]
    if len(values) > 1:
        problem = f"the query gave {len(values)} series; aggregate them to one, such as with sum or max"
        return Failure(problem, at, config_error=True, source=answer.source)
    if any(row.histogram and index in row.values for row in answer.rows):
        problem = "the query gave a native histogram; make a number of it, such as with histogram_quantile"
        return Failure(problem, at, config_error=True, source=answer.source)
    return _checked(
        Reading(_number(values[0] if values else None), at, incomplete_reason=answer.warning, source=answer.source)
    )


def _some(names: Collection[str]) -> str:
    first = sorted(names)
    return ", ".join(first[:3]) + (", ..." if len(first) > 3 else "")


def _no_number(grouped: BatchQuery, rows: Iterable[Mapping[str, float]]) -> str:
    """Say that somebody exports NaN where only a number makes sense, or return an empty text."""
    odd = any(math.isnan(row.get("value", 0.0)) for row in rows)
    return "a series says NaN" if grouped.plain and odd else ""


def _reading(
    stats: Mapping[str, float],
    at: float,
    answer: QueryResult,
    stale_after: float,
    grouped: BatchQuery,
    *said: str,
    why: Mapping[str, str],
) -> Measurement:
    missing, answered = (int(min(_number(stats.get(stat)) or 0, MAX_VALUE)) for stat in ("missing", "answered"))
    if stats.get("jumping"):
        told = whose_turn(int(stats["jumping"]), answered, counts=grouped.changes)
        return Failure(told, at, source=answer.source)
    oldest = _number(stats.get("oldest"))
    age = None if oldest is None else at - oldest
    doubts = [one for one in (answer.warning, *said) if one]
    if missing:
        doubts.append(f"{missing} of {answered + missing} pods cannot be scraped")
    elif why["quiet"]:
        doubts.append(why["quiet"])
    if age is not None and age > stale_after:
        doubts.append(f"its oldest sample is {seconds(age)} old")
    if stats.get("below"):
        doubts.append(f"{int(stats['below'])} of {answered} pods {BELOW_ZERO}")
    if stats.get("young"):
        doubts.append(f"{int(stats['young'])} of {answered} pods {_YOUNG}")
    if stats.get("foreign"):
        doubts.append(_FOREIGN)
    if stats.get("unlike"):
        doubts.append(f"{int(stats['unlike'])} of {answered} pods {_UNLIKE[grouped.changes]}")
    if stats.get("copied"):
        doubts.append(why["copied"] or f"{int(stats['copied'])} of {answered} pods have several targets in one job")
    if stats.get("alien"):
        doubts.append(why["alien"] or "some of its series come from a target that is not of its namespace")
    if stats.get("nameless"):
        doubts.append(f"{int(stats['nameless'])} {_NAMELESS[grouped.gateway]}")
    reading = Reading(
        value=_number(stats.get("value")),
        at=at,
        age=None if age is None else max(0.0, age),
        answered=answered if grouped.counted else None,
        expected=answered + missing if grouped.counted else None,
        incomplete_reason="; ".join(doubts),
        source=answer.source,
        shown="shown" in stats if grouped.gateway else None,
    )
    return _checked(reading, grouped.most)


def _number(value: float | None) -> float | None:
    """Return the number; NaN is none: a quantile over no requests, a ratio of nothing to nothing."""
    return None if value is None or math.isnan(value) else value


def _checked(reading: Reading, most: float = math.inf) -> Measurement:
    impossible = why_impossible(reading.value, most)
    return Failure(impossible, reading.at, source=reading.source) if impossible else reading
