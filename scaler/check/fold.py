"""Folding a test: the same `decide` that serves, over what the test says is measured."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from scaler.check.timeline import WORDS, Expectation, FormulaTimeline
from scaler.decision.decide import decide
from scaler.decision.decision import Decision
from scaler.decision.pace import LONGEST, PacePast
from scaler.decision.state import State


@dataclass(frozen=True, slots=True)
class Difference:
    """One expected thing that came out otherwise."""

    word: str  # a key of WORDS
    wanted: Any
    actual: Any


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One moment of a test that did not show what was expected."""

    test: str  # the test's label
    at: float  # seconds after the first tick
    differences: tuple[Difference, ...]
    decision: Decision  # with everything it came from


def fold(timeline: FormulaTimeline) -> Iterator[tuple[Expectation, Decision]]:
    """Yield for every expectation the newest decision at its time."""
    spec, waiting = timeline.spec, list(timeline.expect)
    since = timeline.start - max(spec.memory, LONGEST)
    state = State(complete_since=since, pace=PacePast(since=-math.inf, located=True))
    for tick in range(timeline.ticks):
        now = tick * spec.interval
        state, decision = decide(spec, state, timeline.inputs(now), timeline.start + now)
        while waiting and waiting[0].at < now + spec.interval:
            yield waiting.pop(0), decision


def mismatches(timeline: FormulaTimeline) -> Iterator[Mismatch]:
    """Fold a test and yield every moment that differs from what is expected."""
    for expectation, decision in fold(timeline):
        differences = tuple(_differences(expectation, decision))
        if differences:
            yield Mismatch(timeline.label, expectation.at, differences, decision)


def _differences(expectation: Expectation, decision: Decision) -> Iterator[Difference]:
    for name, wanted in expectation.wanted.items():
        came = WORDS[name].actual(decision)
        if not WORDS[name].fits(wanted, came):
            yield Difference(name, wanted, came)
