"""Trying a formula on many loads: a tick of `decide`, without policy and activity signals, on values worth trying.

A sweep moves one metric over its grid and leaves the others where they are, or moves everything that load raises, all
by the same factor. Sweeps start from moments of a day (idle to overload, few replicas and many) and from random ones,
seeded, so that a finding today is a finding tomorrow.
"""

import random
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice, pairwise

from scaler.check.meaning import gate, meaning_of
from scaler.config.metrics import TARGET_NAMES
from scaler.config.workload import WorkloadSpec
from scaler.decision.decide import decide
from scaler.decision.decision import Decision
from scaler.decision.evaluate import MAX_REPLICAS
from scaler.decision.state import State
from scaler.model.measurement import Inputs, Reading, TargetStatus

LOAD = "the load"  # what moves in a sweep of everything that load raises
REPLICAS = "the replicas"  # what moves in a sweep of the fleet, under the same load
MAX_SWEEPS = 160  # of one formula; fewer where it measures a lot
MOMENTS = (0.0, 0.3, 0.6, 0.9)  # how far up its grid every metric stands
RANDOM_MOMENTS = 10
FACTORS = (1.0, 1.3, 2.0, 5.0, 20.0)
FLEETS = (1, 2, 4, 10)
KEDA_MAXIMUM = 100  # what maxReplicaCount is where nobody says it

_CONSTANT = re.compile(r"(?<![\w.])(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")


@dataclass(frozen=True, slots=True)
class Point:
    """One moment to try."""

    values: Mapping[str, float | None]  # by metric; None: no series
    ready: int  # replicas, all of them ready


@dataclass(frozen=True, slots=True)
class Probe:
    """One moment, and what was said of it."""

    point: Point
    decision: Decision

    @property
    def asked(self) -> int | None:
        """Replicas that the formula asks for; None where it has no value."""
        return self.decision.desired

    @property
    def replicas(self) -> int:
        """The same, 0 where it has no value."""
        return self.asked or 0

    @property
    def value(self) -> float:
        """The formula's value, 0 where it has none."""
        return self.decision.value or 0.0

    @property
    def broken(self) -> str:
        """Say why there is no value, or return an empty text. A million replicas are not broken, only large."""
        spec = self.decision.spec
        replicas = self.value / spec.target * (self.point.ready if spec.metric_type == "Value" else 1)
        return "" if replicas > MAX_REPLICAS else "; ".join(self.decision.problems)


@dataclass(frozen=True, slots=True)
class Sweep:
    """Probes in the order of what moves in them."""

    moved: str  # a metric, LOAD or REPLICAS
    probes: tuple[Probe, ...]

    def pairs(self) -> Iterator[tuple[Probe, Probe]]:
        """Yield neighbours that both ask for a number of replicas."""
        asking = [probe for probe in self.probes if probe.asked is not None]
        yield from pairwise(asking)


class Sampler:
    """Tries one formula.

    Args:
        spec: the workload; its activity signals, policy, pace and schedule are left out, to look at the formula alone.

    Attributes:
        names: all that the formula or the activation reads.
        meanings: of every metric.
        read: of those that the formula or the activation reads.
        counted: of those that the formula reads.
    """

    def __init__(self, spec: WorkloadSpec) -> None:
        bare = replace(spec, activity_signals=(), policy_kind=None, policy=None, policy_programs={})
        self.spec = replace(bare, scale_down=None, schedule=())
        self.names = spec.program.names | (frozenset() if isinstance(spec.activation, float) else spec.activation.names)
        gates = {item.name: _compared(item.name, self._texts()) for item in spec.inputs}
        self.meanings = {
            item.name: gate(gates[item.name]) if gates[item.name] else meaning_of(item) for item in spec.inputs
        }
        self.read = {name: meaning for name, meaning in self.meanings.items() if name in self.names}
        self.counted = {name: meaning for name, meaning in self.read.items() if name in spec.program.names}

    def probe(self, point: Point) -> Probe:
        """Say what comes of one moment."""
        return Probe(point, decide(self.spec, self._past(), _inputs(point), 0.0)[1])

    def _past(self) -> State:
        """Make the state of a workload that was there for long: its memory is full, and all was measured once."""
        last = {name: (-1.0, meaning.grid[-2]) for name, meaning in self.meanings.items()}
        return State(complete_since=-self.spec.memory, last=last)

    # ---- moments ----

    def idle(self, replicas: int) -> Point:
        """Make a moment with nothing to do."""
        values = {name: item.idle if replicas else item.empty for name, item in self.meanings.items()}
        return Point(values, replicas)

    def only(self, values: Mapping[str, float]) -> Point:
        """Make a moment with nothing but these values, on one replica."""
        return Point({**{name: item.grid[0] for name, item in self.meanings.items()}, **values}, 1)

    def moments(self) -> Iterator[Point]:
        """Yield the moments where sweeps start."""
        for height in MOMENTS:
            for ready in (1, 8):
                yield Point(
                    {name: item.grid[int(height * len(item.grid))] for name, item in self.meanings.items()}, ready
                )
        chance = random.Random(0)
        for _ in range(RANDOM_MOMENTS):
            values = {name: chance.choice(item.grid) for name, item in self.meanings.items()}
            yield Point(values, chance.choice((1, 2, 8, 50)))

    # ---- sweeps ----

    def sweeps(self) -> tuple[Sweep, ...]:
        """Move everything that the formula reads, as often as is affordable."""
        limit = max(10, MAX_SWEEPS * 10 // max(10, len(self.meanings)))
        return tuple(islice(self._sweeps(), limit))

    def _sweeps(self) -> Iterator[Sweep]:
        constants = self._constants()
        for start in self.moments():
            yield Sweep(LOAD, tuple(self.probe(self._scaled(start, factor)) for factor in FACTORS))
            if self.spec.program.names & set(TARGET_NAMES):
                yield Sweep(REPLICAS, tuple(self.probe(Point(start.values, ready)) for ready in FLEETS))
            for name, meaning in self.read.items():
                grid = sorted({*meaning.grid, *(meaning.within(constant) for constant in constants)})
                yield Sweep(name, tuple(self.probe(moved(start, name, value)) for value in grid))

    def _scaled(self, start: Point, factor: float) -> Point:
        values = {
            name: self.meanings[name].within(value * factor) if value and self.meanings[name].load else value
            for name, value in start.values.items()
        }
        return Point(values, start.ready)

    def _texts(self) -> list[str]:
        activation = self.spec.activation
        return [self.spec.program.text, "" if isinstance(activation, float) else activation.text]

    def _constants(self) -> tuple[float, ...]:
        """Collect the numbers in the formula, and a bit above each: something may change there between two points."""
        written = [float(number) for text in self._texts() for number in _CONSTANT.findall(text)]
        used = [value for name, value in self.spec.parameters.items() if name in self.names]
        positive = sorted({value for value in (*written, *used) if 0 < value <= 1e9})[:8]
        return tuple(
            near for value in positive for near in (value, value + 1 if value == round(value) else value * 1.01)
        )


def _compared(name: str, texts: Collection[str]) -> tuple[float, ...]:
    """Collect the numbers that a metric is compared with for equality, where nothing else is done with it.

    `readiness_gate == 1 && waiting > 10` compares readiness_gate with 1; waiting with nothing.
    """
    word, number = rf"(?<![\w.]){re.escape(name)}(?!\w)", r"(-?\d+(?:\.\d+)?)"
    sides = re.compile(rf"{word}\s*[!=]=\s*{number}|{number}\s*[!=]=\s*{word}")
    text = "\n".join(texts)
    found = [float(left or right) for left, right in sides.findall(text)]
    return tuple(found) if found and len(found) == len(re.findall(word, text)) else ()


def moved(point: Point, name: str, value: float) -> Point:
    """Move one metric of a moment elsewhere."""
    return Point({**point.values, name: value}, point.ready)


def _inputs(point: Point) -> Inputs:
    readings = {name: Reading(value, 0.0) for name, value in point.values.items()}
    return Inputs(readings, target_status=TargetStatus(point.ready, point.ready, 0, 0, KEDA_MAXIMUM))
