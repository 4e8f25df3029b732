"""Request traces: when requests arrive, with how many tokens; read, cut, stretched, multiplied, and made up.

A trace is a tuple of arrivals in the order of time. All functions are pure; chance comes from a seed.
"""

import csv
import gzip
import itertools
import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from scaler.model.errors import ConfigError

COLUMNS = ("arrival_s", "prompt_tokens", "output_tokens")
MAX_TOKENS = 10_000_000  # of one request
MAX_ROWS = 5_000_000


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request."""

    at: float  # seconds since the start of the trace
    prompt: int  # tokens
    output: int  # tokens it will generate, at least 1


Trace = tuple[Arrival, ...]


def read(path: Path) -> Trace:
    """Read a CSV file, plain or gzip by its content, with the columns arrival_s, prompt_tokens and output_tokens.

    Raises:
        ConfigError: naming the line that cannot be read, or that goes back in time.
        OSError: the file cannot be opened.
    """
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    with gzip.open(path, "rt", encoding="utf-8") if packed else path.open(encoding="utf-8") as lines:
        try:
            return parse(lines, path.name)
        except (UnicodeDecodeError, EOFError, csv.Error) as error:
            raise ConfigError(path.name, "", f"is not a trace: {error}") from error


def azure_slice() -> Trace:
    """Return a few minutes of the Azure 2023 conversation trace, which is part of the package (credit in NOTICE)."""
    name = "azure23_conv_slice.csv"
    with resources.files("scaler.sim").joinpath(name).open(encoding="utf-8") as lines:
        return parse(lines, name)


def parse(lines: Iterable[str], where: str) -> Trace:
    """Read the lines of a CSV file; `where` names it in errors."""
    rows = csv.reader(lines)
    if tuple(next(rows, ())) != COLUMNS:
        raise ConfigError(where, "line 1", "is not the expected header", ",".join(COLUMNS))
    trace: list[Arrival] = []
    for line, row in enumerate(rows, start=2):
        if len(trace) == MAX_ROWS:
            raise ConfigError(where, f"line {line}", "is one too many", f"{MAX_ROWS:,} requests")
        arrival = _arrival(row, where, line)
        if trace and arrival.at < trace[-1].at:
            raise ConfigError(where, f"line {line}", f"{arrival.at:g} s is before the line above it")
        trace.append(arrival)
    return tuple(trace)


def _arrival(row: Sequence[str], where: str, line: int) -> Arrival:
    allowed = f"seconds, and two counts of tokens up to {MAX_TOKENS:,}"
    try:
        at, prompt, output = float(row[0]), int(row[1]), int(row[2])
    except (ValueError, IndexError):
        raise ConfigError(where, f"line {line}", f"{','.join(row)[:80]!r} is not a request", allowed) from None
    if not (0 <= at < math.inf and 1 <= prompt <= MAX_TOKENS and 1 <= output <= MAX_TOKENS):
        raise ConfigError(where, f"line {line}", f"{','.join(row)[:80]!r} is out of range", allowed)
    return Arrival(at, prompt, output)


def cut(trace: Trace, start: float, end: float) -> Trace:
    """Cut out the arrivals in [start, end), with `start` as the new zero."""
    return tuple(replace(arrival, at=arrival.at - start) for arrival in trace if start <= arrival.at < end)


def multiply(trace: Trace, factor: float, seed: int = 0, jitter: float = 30.0) -> Trace:
    """`factor` times the load with the shape of the trace: copies laid over each other, each arrival moved a little.

    Args:
        trace: what is multiplied.
        factor: at least 0; the part after the point keeps each request of the last copy with that chance, so 0.5 thins.
        seed: of the jitter and of the thinning.
        jitter: seconds; each arrival of a further copy moves by up to half of it either way, never below zero.
    """
    chance = random.Random(seed)
    copies: list[Arrival] = []
    for turn in range(math.ceil(factor)):
        keep, width = min(1.0, factor - turn), jitter if turn else 0.0
        copies.extend(
            replace(arrival, at=max(0.0, arrival.at + (chance.random() - 0.5) * width))
            for arrival in trace
            if chance.random() < keep
        )
    return ordered(copies)


def ordered(arrivals: Iterable[Arrival]) -> Trace:
    """Make a trace of any arrivals."""
    return tuple(sorted(arrivals, key=lambda arrival: arrival.at))


def merge(*traces: Trace) -> Trace:
    """Merge several traces."""
    return ordered(itertools.chain(*traces))


def ramp(
    start: float, end: float, *, first: float, last: float, prompt: int = 500, output: int = 200, seed: int = 0
) -> Trace:
    """Make Poisson arrivals in [start, end) whose rate goes in a line from `first` to `last` requests per second.

    Tokens are exponential around `prompt` and `output`, at least 1. A step is a ramp with equal rates.
    """
    chance = random.Random(seed)
    most = max(first, last)
    arrivals: list[Arrival] = []
    at = start
    while most > 0:
        at += chance.expovariate(most)
        if at >= end:
            break
        rate = first + (last - first) * (at - start) / (end - start)
        if chance.random() * most < rate:  # thinning: keep each point of the fastest process by its chance
            tokens = (math.ceil(chance.expovariate(1 / mean)) or 1 for mean in (prompt, output))
            arrivals.append(Arrival(at, *tokens))
    return tuple(arrivals)
