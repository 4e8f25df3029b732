"""Answers of the query API, and the readings that are made of them. Pure."""

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from scaler.model.fields import seconds
from scaler.model.measurement import MAX_VALUE, Ask, Failure, Measured, OwnPods, Reading
from scaler.sources.prometheus.batch_query import Grouped


@dataclass(frozen=True, slots=True)
class Row:
    """One series of an answer."""

    labels: Mapping[str, str]
    values: Mapping[int, float]  # by the index of the time


@dataclass(frozen=True, slots=True)
class Answer:
    """What one query gave."""

    rows: Sequence[Row]
    times: Sequence[float]  # that were asked about
    source: str  # endpoint and query
    warning: str = ""  # why it may be partial


def read_one(ask: Ask, answer: Answer) -> Mapping[Ask, Sequence[Measured]]:
    """Read the answer to a query that gives one number or nothing."""
    return {ask: [_one(answer, index, at) for index, at in enumerate(answer.times)]}


def read_history(ask: Ask, answer: Answer) -> Mapping[Ask, Sequence[Measured]]:
    """Read whether there was anything at all."""
    seen = {index for row in answer.rows for index in row.values}
    return {
        ask: [
            Reading(1.0 if index in seen else None, at, partial=answer.warning, source=answer.source)
            for index, at in enumerate(answer.times)
        ]
    }


def read_grouped(grouped: Grouped, answer: Answer, stale_after: float) -> Mapping[Ask, Sequence[Measured]]:
    """Read the answer to a grouped query: for each workload its stats at each time."""
    table: dict[tuple[str, ...], dict[str, dict[int, dict[str, float]]]] = {}
    for row in answer.rows:
        pods = table.setdefault(tuple(row.labels.get(label, "") for label in grouped.by), {})
        stats = pods.setdefault(row.labels.get(grouped.pod, ""), {})
        for index, value in row.values.items():
            stats.setdefault(index, {})[row.labels.get("stat", "")] = value
    read: dict[Ask, Sequence[Measured]] = {}
    for ask, key in grouped.asks.items():
        pods = table.get(key, {})
        if ask.own and grouped.pod:
            read[ask] = _own_readings(ask.own, pods, grouped, answer, stale_after)
        else:
            rows = [pods.get("", {}).get(index, {}) for index in range(len(answer.times))]
            read[ask] = [
                _reading(stats, at, answer, stale_after, grouped, _no_number(grouped, [stats]))
                for stats, at in zip(rows, answer.times, strict=True)
            ]
    return read


def _own_readings(
    own: OwnPods,
    pods: Mapping[str, Mapping[int, Mapping[str, float]]],
    grouped: Grouped,
    answer: Answer,
    stale_after: float,
) -> Sequence[Measured]:
    """Add up the rows of a target's own pods; at the last time these are known by name, before it by their past."""
    past = re.compile(own.past) if own.past else None
    ever = {name for name in pods if name in own.names or (past and past.fullmatch(name))}
    readings: list[Measured] = []
    for index, at in enumerate(answer.times):
        present = index == len(answer.times) - 1
        names = own.names & pods.keys() if present else ever
        rows = {name: pods[name][index] for name in names if index in pods[name]}
        # Where Prometheus was restarted meanwhile, a pod whose scrape fails keeps its last sample for minutes.
        failing = {name for name, row in rows.items() if row.get("missing")}
        answered = {name for name, row in rows.items() if row.get("answered")} - failing
        silent = own.ready - answered if present else failing
        doubt = f"{len(silent)} of its {len(answered | silent)} pods do not answer: {_some(silent)}" if silent else ""
        stats = {"answered": float(len(answered)), **_together(list(rows.values()), grouped.adds)}
        doubts = (doubt, _no_number(grouped, rows.values()))
        readings.append(_reading(stats, at, answer, stale_after, grouped, *doubts))
    return readings


def _together(rows: Collection[Mapping[str, float]], adds: str) -> dict[str, float]:
    """Value and age of several pods as one; of a ratio the halves are added up first."""
    values, per, ages = (_numbers(rows, stat) for stat in ("value", "per", "age"))
    stats = {"age": max(ages)} if ages else {}
    if values and (sum(per) or not any("per" in row for row in rows)):
        total = max(values) if adds == "max" else sum(values)
        stats["value"] = total / (sum(per) if per else len(values) if adds == "mean" else 1)
    return stats


def _numbers(rows: Iterable[Mapping[str, float]], stat: str) -> list[float]:
    return [value for row in rows if (value := _number(row.get(stat))) is not None]


def _one(answer: Answer, index: int, at: float) -> Measured:
    values = [row.values[index] for row in answer.rows if index in row.values]
    if len(values) > 1:
        problem = f"the query gave {len(values)} series; aggregate them to one, such as with sum or max"
        return Failure(problem, at, final=True, source=answer.source)
    return _checked(Reading(_number(values[0] if values else None), at, partial=answer.warning, source=answer.source))


def _some(names: Collection[str]) -> str:
    first = sorted(names)
    return ", ".join(first[:3]) + (", ..." if len(first) > 3 else "")


def _no_number(grouped: Grouped, rows: Iterable[Mapping[str, float]]) -> str:
    """Whether somebody exports NaN where only a number makes sense: in words, or an empty text."""
    return "a series says NaN" if grouped.plain and any(math.isnan(row.get("value", 0.0)) for row in rows) else ""


def _reading(
    stats: Mapping[str, float], at: float, answer: Answer, stale_after: float, grouped: Grouped, *said: str
) -> Measured:
    missing, answered = (int(min(_number(stats.get(stat)) or 0, MAX_VALUE)) for stat in ("missing", "answered"))
    age = _number(stats.get("age"))
    doubts = [one for one in (answer.warning, *said) if one]
    if missing:
        doubts.append(f"{missing} of {answered + missing} pods cannot be scraped")
    if age is not None and age > stale_after:
        doubts.append(f"its oldest sample is {seconds(age)} old")
    reading = Reading(
        value=_number(stats.get("value")),
        at=at,
        age=None if age is None else max(0.0, age),
        answered=answered if grouped.counted else None,
        expected=answered + missing if grouped.counted else None,
        partial="; ".join(doubts),
        source=answer.source,
    )
    return _checked(reading)


def _number(value: float | None) -> float | None:
    """NaN is no number: a quantile over no requests, a ratio of nothing to nothing."""
    return None if value is None or math.isnan(value) else value


def _checked(reading: Reading) -> Measured:
    if reading.value is not None and abs(reading.value) > MAX_VALUE:
        return Failure(f"the value is {reading.value:g}, which no load can be", reading.at, source=reading.source)
    return reading
