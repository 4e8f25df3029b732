"""Answers of the query API, and the readings that are made of them. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scaler.fields import seconds
from scaler.grouping import Grouped
from scaler.model import MAX_VALUE, Ask, Failure, Measured, Reading


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
    table: dict[tuple[str, ...], dict[int, dict[str, float]]] = {}
    for row in answer.rows:
        stats = table.setdefault(tuple(row.labels.get(label, "") for label in grouped.by), {})
        for index, value in row.values.items():
            stats.setdefault(index, {})[row.labels.get("stat", "")] = value
    return {
        ask: [
            _reading(table.get(key, {}).get(index, {}), at, answer, stale_after, counted=grouped.counted)
            for index, at in enumerate(answer.times)
        ]
        for key, ask in grouped.asks.items()
    }


def _one(answer: Answer, index: int, at: float) -> Measured:
    values = [row.values[index] for row in answer.rows if index in row.values]
    if len(values) > 1:
        problem = f"the query gave {len(values)} series; aggregate them to one, such as with sum or max"
        return Failure(problem, at, final=True, source=answer.source)
    return _checked(Reading(_number(values[0] if values else None), at, partial=answer.warning, source=answer.source))


def _reading(stats: Mapping[str, float], at: float, answer: Answer, stale_after: float, *, counted: bool) -> Measured:
    missing, answered = (int(min(_number(stats.get(stat)) or 0, MAX_VALUE)) for stat in ("missing", "answered"))
    age = _number(stats.get("age"))
    doubts = [answer.warning] if answer.warning else []
    if missing:
        doubts.append(f"{missing} of {answered + missing} pods cannot be scraped")
    if age is not None and age > stale_after:
        doubts.append(f"its oldest sample is {seconds(age)} old")
    reading = Reading(
        value=_number(stats.get("value")),
        at=at,
        age=None if age is None else max(0.0, age),
        answered=answered if counted else None,
        expected=answered + missing if counted else None,
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
