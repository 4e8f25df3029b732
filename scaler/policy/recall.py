"""What a policy wants to know of the days before: the loads of pieces of five minutes, as its source remembers them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PIECE = 300.0  # seconds
DAY = round(86_400 / PIECE)  # pieces
DAYS = 14  # that are remembered, at most; a Prometheus keeps 15 by default

RecalledPast = Sequence[tuple[float, Mapping[str, float]]]  # end of a piece, and what was measured over it, by name


@dataclass(frozen=True, slots=True)
class Recall:
    """The way in which a policy takes in the days before."""

    inputs: frozenset[str]  # names of metrics of the formula file; a piece in which one is not known is left out
    fold: Callable[[Any, RecalledPast, float], Any]  # (state, past, now) -> state
