"""A record: all that was measured for one object over a time, and the replicas that there were.

A record can be written to a file and read again, so that a replay needs neither Prometheus nor the cluster. The file is
JSON; a series is written by its runs of one problem, and a value that was not there is null.
"""

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from scaler.model.errors import ConfigError
from scaler.model.measurement import Failure, HistoryProbe, Measurement, PromqlQuery, Query, Reading, SignalQuery

FORMAT = "llm-scaler record 1"
MAX_TICKS = 1_000_000
MAX_BYTES = 512 * 1024 * 1024  # of a file, unpacked

CountsByTick = Sequence[int | None]  # by tick; None: not known


@dataclass(frozen=True, slots=True)
class Record:
    """A record, tick by tick: the i-th entry of every series is of the time `start` + i x `step`."""

    namespace: str
    name: str
    start: float  # seconds since the epoch
    step: float  # seconds
    ticks: int
    manifest: Mapping[str, Any]  # the object as it is written
    replicas: CountsByTick = ()  # asked of the scale target
    ready: CountsByTick = ()
    series: Mapping[Query, Sequence[Measurement]] = field(default_factory=dict)

    def at(self, tick: int) -> float:
        """Return the time of a tick."""
        return self.start + tick * self.step

    @property
    def times(self) -> Sequence[float]:
        """The times of all ticks."""
        return [self.at(tick) for tick in range(self.ticks)]

    @property
    def span(self) -> float:
        """Seconds that it covers."""
        return self.ticks * self.step


def write(record: Record, path: Path) -> None:
    """Write a record; packed where the name ends in .gz."""
    text = json.dumps(as_tree(record), separators=(",", ":"), allow_nan=False)
    if path.suffix == ".gz":
        with gzip.open(path, "wt", encoding="utf-8") as file:
            file.write(text)
    else:
        path.write_text(text + "\n", encoding="utf-8")


def is_record(path: Path) -> bool:
    """Tell whether a file looks like a record, packed or not, and not like a trace."""
    return _head(path).lstrip()[:1] == b"{"


def _head(path: Path) -> bytes:
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path, "rb") if packed else path.open("rb") as file:
            return file.read(64)
    except (OSError, EOFError):
        return b""


def read(path: Path) -> Record:
    """Read a record.

    Raises:
        ConfigError: it is none, or is not whole.
        OSError: it cannot be opened.
    """
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path, "rb") if packed else path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (gzip.BadGzipFile, EOFError) as error:
        raise ConfigError(path.name, "", f"cannot be unpacked: {error}") from error
    if len(content) > MAX_BYTES:
        raise ConfigError(path.name, "", "is too large", f"at most {MAX_BYTES // 1024 // 1024} MiB")
    try:
        return from_tree(json.loads(content))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        problem = f"is not a record ({type(error).__name__}: {error})"[:200]
        raise ConfigError(
            path.name, "", problem, "a file that `llm-scaler backtest --record FILE` has written"
        ) from error


# ---- as it is written ------------------------------------------------------------------------------------------------


def as_tree(record: Record) -> dict[str, Any]:
    """Return a record as JSON has it."""
    return {
        "format": FORMAT,
        "namespace": record.namespace,
        "name": record.name,
        "start": record.start,
        "step": record.step,
        "ticks": record.ticks,
        "object": dict(record.manifest),
        "replicas": list(record.replicas),
        "ready": list(record.ready),
        "series": [{"of": _query_tree(query), **_series_tree(measured)} for query, measured in record.series.items()],
    }


def from_tree(tree: Mapping[str, Any]) -> Record:
    """Read a record as it was written; raises what reading a wrong tree raises."""
    if tree["format"] != FORMAT:
        raise ValueError(f"its format is {str(tree['format'])[:40]!r}, not {FORMAT!r}")
    start, step, ticks = float(tree["start"]), float(tree["step"]), int(tree["ticks"])
    if not (0 < ticks <= MAX_TICKS and 0 < step <= 3600):
        raise ValueError(f"{ticks} ticks of {step:g} s")
    times = [start + tick * step for tick in range(ticks)]
    series = {_query(one["of"]): _measured(one, times) for one in tree["series"]}
    counts = {name: _counts(tree[name]) for name in ("replicas", "ready")}
    for name, values in counts.items():
        if len(values) not in {0, ticks}:
            raise ValueError(f"{name} has {len(values)} values, not {ticks}")
    return Record(
        namespace=str(tree["namespace"]),
        name=str(tree["name"]),
        start=start,
        step=step,
        ticks=ticks,
        manifest=dict(tree["object"]),
        replicas=counts["replicas"],
        ready=counts["ready"],
        series=series,
    )


_KINDS: Mapping[str, type[SignalQuery | PromqlQuery | HistoryProbe]] = {
    "signal": SignalQuery,
    "query": PromqlQuery,
    "history": HistoryProbe,
}


def _counts(values: Iterable[float | None]) -> list[int | None]:
    return [None if count is None else int(count) for count in values]


def _query_tree(query: Query) -> dict[str, Any]:
    kind = next(name for name, type_ in _KINDS.items() if isinstance(query, type_))
    return {"kind": kind, **{key: value for key, value in asdict(query).items() if value is not None}}


def _query(tree: Mapping[str, Any]) -> Query:
    given = {key: value for key, value in tree.items() if key not in {"kind", "target_pods"}}
    if "labels" in given:
        given["labels"] = tuple((str(label), str(value)) for label, value in given["labels"])
    query: Query = _KINDS[tree["kind"]](**given)
    return query


def _series_tree(measured: Sequence[Measurement]) -> dict[str, Any]:
    """Return values by tick; why one failed or may be too low is said once for each run of ticks."""
    tree: dict[str, Any] = {"values": [one.value if isinstance(one, Reading) else None for one in measured]}
    for name in ("answered", "expected"):
        counts = [getattr(one, name, None) for one in measured]
        if any(count is not None for count in counts):
            tree[name] = counts
    for name, words in (("failed", [getattr(one, "reason", "") for one in measured]),
                        ("partial", [getattr(one, "incomplete_reason", "") for one in measured])):  # fmt: skip
        runs = list(_runs(words))
        if runs:
            tree[name] = runs
    return tree


def _runs(words: Sequence[str]) -> Iterator[list[Any]]:
    """Yield [first, last, word] of every run of equal words that are not empty."""
    for word, run in groupby(enumerate(words), key=lambda pair: pair[1]):
        places = [place for place, _ in run]
        if word:
            yield [places[0], places[-1], word]


def _measured(tree: Mapping[str, Any], times: Sequence[float]) -> list[Measurement]:
    values, none = tree["values"], [None] * len(times)
    if len(values) != len(times):
        raise ValueError(f"a series has {len(values)} values, not {len(times)}")
    answered, expected = tree.get("answered", none), tree.get("expected", none)
    failed, partial = _by_tick(tree.get("failed", ())), _by_tick(tree.get("partial", ()))
    return [
        Failure(failed[tick], at)
        if tick in failed
        else Reading(
            None if values[tick] is None else float(values[tick]),
            at,
            answered=answered[tick],
            expected=expected[tick],
            incomplete_reason=partial.get(tick, ""),
        )
        for tick, at in enumerate(times)
    ]


def _by_tick(runs: Sequence[Sequence[Any]]) -> dict[int, str]:
    return {tick: str(word) for first, last, word in runs for tick in range(int(first), int(last) + 1)}
