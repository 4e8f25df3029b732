"""A forecast of the load from the days before: it may only raise, and only while it beats "it stays as it is".

    by day      what the last three days did from this time of day on, over as long as a start-up takes: the median
    by week     what the same hours did a week ago

    09:00 brings three times the load of 08:55 on each day; at 08:56 a replica takes 4 minutes
    -> the load is expected to be 3 times as high, and replicas are ordered before it is

The load is kept in pieces of five minutes for two weeks. What was forecast is held against what came, for all pieces
of the last week, as if it had been made then: of what lay before a piece, and of nothing else. A forecast is used where
its mean error, over the pieces for which it said that much of a rise or more, is less than four fifths of the error of
saying that the load stays; how much of a rise is the smallest of RISES for which that holds. So a noise that is the
same at no hour raises nothing, and what does not repeat any more is forgotten within days. Errors are differences of
logarithms, so that three times too much is as wrong as a third.

It knows no time zone: the days are 86,400 s long, so that after a change of the clock the jumps of three days are
foreseen an hour off. Pure: time is an argument. It needs numpy, as curve.py does.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
import numpy.typing as npt

from scaler.model.fields import seconds
from scaler.policy.recall import DAY, DAYS, PIECE

Vector = npt.NDArray[np.float64]

KEPT = DAYS * DAY  # pieces
CHECKED = 7 * DAY  # pieces whose forecasts are checked
WAYS = {"day": (DAY, 2 * DAY, 3 * DAY), "week": (7 * DAY,)}  # how many pieces before it is looked
RISES = (1.1, 1.25, 1.5, 2.0)  # times as much
BETTER = 0.8  # of the error of saying that it stays
FEWEST = 3  # forecasts of such a rise that were checked
MOST = 4.0  # times as much, beyond which no forecast is believed
LEAST = 0.02  # of the mean load: what is less counts as so much, since a ratio to nothing says nothing


@dataclass(frozen=True, slots=True)
class Use:
    """A forecast that is made use of, and why."""

    way: str  # "day" or "week"
    rise: float  # from which on it is believed, times as much
    off: float  # by how much it was off, as a logarithm in the mean
    naive: float  # and how much "it stays as it is" was, for the same pieces


@dataclass(frozen=True, slots=True, eq=False)
class Season:
    """The mean load of each piece of the days before, and the sum of the one that is under way."""

    newest: int  # number of the newest whole piece since 1970
    loads: Vector  # of KEPT pieces up to that one; NaN: not known
    total: float  # of the piece under way, the one after the newest
    ticks: int
    use: Use | None = None
    least: float = 0.0  # load; what is less counts as so much


@dataclass(frozen=True, slots=True)
class Rise:
    """The rise that is expected one start-up from now."""

    factor: float  # times the load of now
    use: Use

    def says(self, lead: float) -> str:
        """Say which rise is expected, and how good such forecasts were."""
        days = "on the last 3 days" if self.use.way == "day" else "a week ago"
        off, naive = (math.expm1(error) for error in (self.use.off, self.use.naive))
        return (
            f"{self.factor:.2f} times as much is expected in {seconds(round(lead))}, as it came at this hour {days}: "
            f"such forecasts were off by {off:.0%} in the mean of the last week, where 'it stays as it is' was off by "
            f"{naive:.0%}"
        )


def ticked(before: Season | None, load: float, lead: float, now: float) -> Season:
    """Add the load of one tick; where a piece has ended, look which forecast is worth using.

    Args:
        before: what is remembered; None: nothing is.
        load: now.
        lead: seconds that a forecast has to look ahead.
        now: seconds since 1970.
    """
    whole = math.floor(now / PIECE) - 1
    if before is None:
        return Season(whole, np.full(KEPT, np.nan), load, 1)
    if whole <= before.newest:  # this piece is under way still
        return Season(before.newest, before.loads, before.total + load, before.ticks + 1, before.use, before.least)
    loads = _shifted(before.loads, whole - before.newest)
    place = KEPT - (whole - before.newest)  # of the piece that was under way
    if before.ticks and place >= 0:
        loads[place] = before.total / before.ticks
    return _judged(Season(whole, loads, load, 1), lead)


def recalled(before: Season | None, past: Iterable[tuple[float, float]], lead: float, now: float) -> Season:
    """Fill in what is not known yet.

    Args:
        before: what is remembered; None: nothing is.
        past: ends of pieces, and the mean load of each.
        lead: seconds that a forecast has to look ahead.
        now: seconds since 1970.
    """
    known = before or Season(math.floor(now / PIECE) - 1, np.full(KEPT, np.nan), 0.0, 0)
    loads = known.loads.copy()
    for end, load in past:
        place = KEPT - 1 - (known.newest - (round(end / PIECE) - 1))
        if 0 <= place < KEPT and math.isnan(loads[place]):
            loads[place] = load
    return _judged(replace(known, loads=loads), lead)


def rise(known: Season, lead: float, now: float) -> Rise | None:
    """Forecast the rise `lead` seconds from now; None where it is no rise, or no forecast is worth using."""
    use = known.use
    if use is None:
        return None
    here, then = math.floor(now / PIECE), math.floor((now + lead) / PIECE)
    pairs = [(_log(known, here - back), _log(known, then - back)) for back in WAYS[use.way]]
    steps = [after - before for before, after in pairs if before is not None and after is not None]
    factor = min(math.exp(median(steps)), MOST) if steps else 1.0
    return Rise(factor, use) if factor >= use.rise else None


def _log(known: Season, number: int) -> float | None:
    """Return the logarithm of one piece's load; None where it is not known."""
    place = number - known.newest + KEPT - 1
    load = float(known.loads[place]) if 0 <= place < KEPT else math.nan
    return None if math.isnan(load) else math.log(max(load, known.least))


def _shifted(loads: Vector, by: int) -> Vector:
    """Make room for newer pieces."""
    kept, new = loads[by:], np.full(KEPT, np.nan)
    new[: len(kept)] = kept
    return new


def _judged(known: Season, lead: float) -> Season:
    """Look which forecast is better than "it stays as it is": the one with the smallest rise for which one is."""
    there = known.loads[~np.isnan(known.loads)]
    if len(there) < DAY:
        return replace(known, use=None)
    least = max(LEAST * float(there.mean()), 1e-9)
    logs, ahead = np.log(np.maximum(known.loads, least)), max(round(lead / PIECE), 1)
    came = _came(logs, 0, ahead)
    said = {way: _said(logs, backs, ahead) for way, backs in WAYS.items()}
    for rise_of in RISES:
        found = [_held(way, rise_of, forecast, came) for way, forecast in said.items()]
        good = [use for use in found if use is not None]
        if good:
            return replace(known, least=least, use=min(good, key=lambda use: use.off))
    return replace(known, least=least, use=None)


def _came(logs: Vector, back: int, ahead: int) -> Vector:
    """Return the rise that the checked pieces, or those `back` pieces before them, brought over `ahead` pieces."""
    end = KEPT - back
    then = logs[max(end - CHECKED, ahead) : end]
    rose = then - logs[end - len(then) - ahead : end - ahead]
    missing: Vector = np.full(CHECKED - len(rose), np.nan)
    return np.concatenate([missing, rose])


def _said(logs: Vector, backs: tuple[int, ...], ahead: int) -> Vector:
    """Return the rise forecast for each checked piece: the median of the days before; NaN where there was none."""
    past = np.sort([_came(logs, back, ahead) for back in backs], axis=0)  # NaN last
    known = len(backs) - np.isnan(past).sum(axis=0)
    low, high = np.maximum(known - 1, 0) // 2, known // 2
    piece = np.arange(CHECKED)
    middle: Vector = (past[low, piece] + past[high, piece]) / 2
    return middle


def _held(way: str, rise_of: float, said: Vector, came: Vector) -> Use | None:
    """Hold the forecasts of such a rise against what came."""
    of_these = ~np.isnan(said) & ~np.isnan(came)
    of_these[of_these] = said[of_these] >= math.log(rise_of)
    if of_these.sum() < FEWEST:
        return None
    off = float(np.abs(said[of_these] - came[of_these]).mean())
    naive = float(np.abs(came[of_these]).mean())
    return Use(way, rise_of, off, naive) if off < BETTER * naive else None
