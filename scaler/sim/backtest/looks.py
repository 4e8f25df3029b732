"""When KEDA and the HPA looked, as the changes of a record show it.

No metric says when the HPA looked, and looks do not lie on a grid: the next one comes a period after the last one has
ended, so they drift. But every change of replicas was made at a look, and was seen by the first scrape after it. So
the changes say when looks were, and between two of them there were as many as whole periods fit. A scrape comes sooner
or later after a look, so what lies close together is evened out.

    changes seen at   13        44                  105      a period of 15 s, seen 3 s after it in the mean
    looks             10.2 25.5 40.8 56.2 71.5 86.8 102.2   numbers 0, 2 and 6: a line between 13, 14 and 15 s

Scrapes lie on a grid, which the changes show too: all of them are seen at the same second of the scrape interval.
"""

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from scaler.sim.backtest.record import Record

REACH = 60  # looks before and after one, over whose changes its time is evened out
ASIDE = 12  # of these changes on either side at most
ENOUGH = 0.8  # share of the changes that are seen at the same second of the scrape interval, where it is the right one
LAGS = 8  # that are tried, up to a third more than a scrape
HEARD = 0.5  # seconds for a change to reach kube-state-metrics, and for a scrape to be over
_FEW = 3  # changes that are too few to tell how scrapes lie


@dataclass(frozen=True, slots=True)
class Scrapes:
    """The times at which Prometheus saw how many replicas there were."""

    interval: float  # seconds
    phase: float  # of the first, in seconds after the start of the record
    late: float  # seconds by which what a scrape shows is older than the first tick that shows it

    def shown(self, at: float) -> float:
        """Return the time as of which a tick at `at` shows the replicas, both in seconds after the start."""
        return math.floor((at - self.phase) / self.interval + 1e-9) * self.interval + self.phase - self.late


def changes(record: Record, *, of_keda: bool) -> list[float]:
    """List when replicas were seen to have changed, in seconds after the start.

    Args:
        record: it holds the replicas.
        of_keda: the changes from and to 0, which are KEDA's; else those between other numbers, which are the HPA's.
    """
    found = []
    for tick, (before, after) in enumerate(pairwise(record.replicas), start=1):
        if before is None or after is None or before == after:
            continue
        if (before == 0 or after == 0) is of_keda:
            found.append(tick * record.step)
    return found


def scrapes(seen: Sequence[float], interval: float, step: float) -> Scrapes | None:
    """Find how scrapes of that interval lie, where changes were seen so; None: they were not, or were too few.

    Args:
        seen: when changes were seen, in seconds after the start.
        interval: seconds between two scrapes.
        step: seconds between two ticks: a scrape lies anywhere between the first tick that shows it and the one before.
    """
    if len(seen) < _FEW:
        return None
    places = Counter(round(at % interval, 6) for at in seen)
    place, count = places.most_common(1)[0]
    return Scrapes(interval, place, HEARD + step / 2) if count >= ENOUGH * len(seen) else None


def lags(scrape: float) -> list[float]:
    """List the mean seconds from a look to its change being seen that are worth trying."""
    return [scrape * turn / (LAGS - 2) for turn in range(1, LAGS + 1)]


def looks(seen: Sequence[float], period: float, lag: float, span: float) -> tuple[float, ...]:
    """Place the looks of a record.

    Args:
        seen: when changes were seen, in seconds after the start, ascending.
        period: seconds from a look to the next.
        lag: seconds from a look to its change being seen, in the mean.
        span: seconds that the record covers.

    Returns:
        The looks, in seconds after the start; none where there was no change.
    """
    anchors = _evened(_numbered(seen, period))
    if not anchors:
        return ()
    first, last = -math.ceil(span / period) - 1, math.ceil(2 * span / period) + 1
    placed = (number * period + offset - lag for number, offset in _between(anchors, first, last))
    return tuple(at for at in placed if 0 <= at < span)


def _numbered(seen: Sequence[float], period: float) -> list[tuple[int, float]]:
    """Give the looks numbers: pairs of one and how far its change lies behind a grid of whole periods."""
    found: list[tuple[int, float]] = []
    number, offset = 0, 0.0
    for at in seen:
        number = round((at - offset) / period) if found else 0
        if found and number == found[-1][0]:
            continue  # no HPA looks twice within half a period: the other change was somebody else's
        offset = at - number * period
        found.append((number, offset))
    return found


def _evened(anchors: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Draw a line through the offsets around each: scrapes see a change sooner or later, and looks drift slowly."""
    found = []
    for place, (number, offset) in enumerate(anchors):
        around = anchors[max(place - ASIDE, 0) : place + ASIDE + 1]
        near = [one for one in around if abs(one[0] - number) <= REACH]
        slope, start = _line(near) if len(near) >= _FEW else (0.0, offset)
        found.append((number, start + slope * number))
    return found


def _line(points: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """Fit the line whose greatest distance to any point is the least: its slope, and its value at 0.

    A change is seen up to one scrape after its look, as likely soon as late, so the looks lie within a strip below the
    points. The middle of the narrowest strip says more than a mean: where looks pass a scrape, they are just there.
    """

    def strip(slope: float) -> tuple[float, float, float]:
        levels = [offset - slope * number for number, offset in points]
        return max(levels) - min(levels), slope, (max(levels) + min(levels)) / 2

    pairs = itertools.combinations(points, 2)  # one side of the narrowest strip goes through two points
    slopes = {(later - earlier) / (end - start) for (start, earlier), (end, later) in pairs}
    _, slope, middle = min(strip(one) for one in slopes)
    return slope, middle


def _between(anchors: Sequence[tuple[int, float]], first: int, last: int) -> Iterator[tuple[int, float]]:
    """Yield every number with its offset: in a line between two anchors, and as the nearest one outside all."""
    ends = [(first, anchors[0][1]), *anchors, (last, anchors[-1][1])]
    for (start, low), (end, high) in pairwise(ends):
        for number in range(start, end):
            yield number, low + (high - low) * (number - start) / (end - start)
