"""What a metric stands for, as far as a linter can know: what it does when load rises, and which values it takes.

The engine catalogue says it of signals. Of a PromQL query only its name and unit speak, so what is concluded from them
is a guess, and weaker findings are drawn from it.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from scaler.config import signals
from scaler.config.metrics import Input
from scaler.model.measurement import CapacityQuery, PromqlQuery, SignalQuery

# demand      rises with load and wants more replicas: what waits, runs, is late or full
# throughput  work that gets done: rises with load, until the replicas are full
# room        what is free for new replicas
# size        what is there: pods, nodes
MetricRole = Literal["demand", "throughput", "room", "size"]

BATCH_LIMIT = 256.0  # requests a replica runs at once: vLLM's default --max-num-seqs

_WORDS: tuple[tuple[MetricRole, str], ...] = (  # the first row of which a word is in the name or the unit
    ("room", "free available schedulable spare headroom"),
    ("demand", "waiting running pending queue queued backlog lag inflight concurrency drift usage utilization"),
    ("demand", "latency seconds duration time ttft tpot itl"),
    ("throughput", "token tokens rate throughput rps qps tps"),
    ("size", "pod pods replica replicas node nodes gpu gpus capacity limit"),
)
_COUNTED = frozenset("waiting running pending queue queued backlog inflight concurrency requests".split())
_FRACTIONS = re.compile(r"\b(rate|irate|increase|deriv|delta|avg|quantile|stddev|histogram_quantile|\w+_over_time)\b|/")
_GONE = frozenset({"pod", "pods", "replica", "replicas"})  # there are none of these without replicas
_GRIDS: dict[str, tuple[float, ...]] = {
    "requests": (0, 1, 3, 10, 40, 200, 1_000, 10_000),
    "seconds": (0, 0.001, 0.01, 0.05, 0.2, 1, 5, 30),
    "ratio": (0, 0.1, 0.3, 0.5, 0.8, 0.95, 1),
    "tokens/s": (0, 1, 30, 300, 2_000, 10_000, 100_000),
}
_ROLE_GRIDS: dict[MetricRole, tuple[float, ...]] = {
    "demand": (0, 0.01, 0.1, 0.5, 1, 3, 10, 100, 1_000, 10_000, 100_000),
    "throughput": (0, 0.1, 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000),
    "room": (0, 1, 2, 4, 16, 100),
    "size": (1, 2, 4, 16, 100),
}


@dataclass(frozen=True, slots=True)
class Meaning:
    """The meaning of one metric."""

    role: MetricRole
    known: bool  # the catalogue says so, of this workload; otherwise it is a guess
    grid: tuple[float, ...]  # values worth trying, ascending
    idle: float | None  # its value when there is nothing to do; None: there is no series then
    empty: float | None  # its value when there is nothing to do and no replica
    bound: float | None  # the largest possible value
    bounded_by: str  # what bounds it, in words

    @property
    def load(self) -> bool:
        """Tell whether it rises with load."""
        return self.role in ("demand", "throughput")

    @property
    def endless(self) -> bool:
        """Tell whether it goes on growing when the replicas are full."""
        return self.role == "demand" and self.bound is None and not self.bounded_by

    def within(self, value: float) -> float:
        """Return the value, or the largest possible one."""
        return value if self.bound is None else min(value, self.bound)


def _gpus(role: MetricRole, idle: float, empty: float) -> Meaning:
    return Meaning(role, True, (0, 1, 2, 4, 16, 100), idle, empty, None, "")


_COUNTS: dict[str, Meaning] = {  # of GPUs
    "schedulable_replicas": _gpus("room", 0.0, 0.0),
    "free": _gpus("room", 0.0, 0.0),
    "provisionable": _gpus("room", 0.0, 0.0),
    "own": _gpus("size", 1.0, 0.0),
    "pending": _gpus("size", 0.0, 1.0),  # others' pods do not end with ours
}


def meaning_of(item: Input) -> Meaning:
    """Say what a metric stands for."""
    if isinstance(item.query, CapacityQuery):
        return _COUNTS[item.query.count]
    if isinstance(item.query, SignalQuery):
        return _of_signal(item, signals.find(item.query.engine, item.query.signal))
    words = set(re.split(r"[^a-z]+", f"{item.name} {item.unit}".lower()))
    role: MetricRole = next((role for role, row in _WORDS if words & set(row.split())), "demand")
    idle = 1.0 if role == "size" else 0.0
    unit = item.unit or ("requests" if _counts_requests(item, words) else "")
    return Meaning(
        role=role,
        known=False,
        grid=_GRIDS.get(unit, _ROLE_GRIDS[role]),
        idle=idle,
        empty=0.0 if words & _GONE else idle,
        bound=None,
        bounded_by="",
    )


def _counts_requests(item: Input, words: Collection[str]) -> bool:
    """Tell whether a query is named like a count of requests, and nothing in it makes fractions of whole numbers."""
    text = item.query.text if isinstance(item.query, PromqlQuery) else ""
    return bool(_COUNTED.intersection(words)) and not _FRACTIONS.search(text) and not item.over


def gate(values: Collection[float]) -> Meaning:
    """Return the meaning of a metric that a formula only compares for equality: one of these values, or none."""
    grid = tuple(sorted({0.0, *values}))
    return Meaning("size", False, grid if len(grid) > 1 else (0.0, 1.0), grid[0], grid[0], None, "")


def _of_signal(item: Input, signal: signals.Signal) -> Meaning:
    done = signal.unit == "tokens/s" or (item.optional and signal.unit == "requests/s")
    role: MetricRole = "size" if signal.scope == "object" else "throughput" if done else "demand"
    # A quantile of no requests is no number; a gateway may show no queue before anything was ever queued.
    idle = None if signal.takes_quantile or signal.scope == "gateway" else 0.0
    return Meaning(
        role=role,
        known=item.of_target or signal.scope == "gateway",
        grid=_GRIDS.get(signal.unit, _ROLE_GRIDS[role]),
        idle=1.0 if role == "size" else idle,
        empty=None if item.of_target else idle,
        bound=signal.max,
        bounded_by=signal.max_reason,
    )
