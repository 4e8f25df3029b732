"""What one page's counters have done within the last so many seconds.

A counter that has fallen was reset, and counts on from where it was, as PromQL's `rate` takes it
(prometheus/promql/functions.go, extrapolatedRate). But nothing is extrapolated: the rate is the increase between two
readings that were made, divided by the time between them, and the readings lie at most a STEPS-th of the window apart
from its edge. A series that is new on a page which was read before begins where it is; of some counters, whose first
count matters, it is known to have begun at 0. Time is an argument.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial

from scaler.sources.pages.exposition import Sample

STEPS = 15  # readings that a window keeps
PROCESS = "process_start_time_seconds"  # of whoever answers: a restart raises it, and nothing lowers it
SAME_START = 2.0  # seconds by which that may fall though the process is the same, where the clock is set
JUMPING = 2  # falls within JUMPS_WITHIN that no restart explains: each reading meets another process
JUMPS_WITHIN = 300.0  # seconds

Totals = Mapping[str, float]  # by key of the series: increase since it was first seen


class Counters:
    """The counters of one page. A series that is not on the page any more is forgotten."""

    def __init__(self) -> None:
        self._raw: dict[str, float] = {}
        self._sought: Collection[str] = ()  # names that were looked for in the newest reading
        self._totals: Totals = {}
        self._windows: dict[float, deque[tuple[float, Totals]]] = {}
        self._falls: dict[str, deque[float]] = {}  # when a series fell, by its key

    def note(
        self, samples: Iterable[Sample], windows: Iterable[float], now: float, from_birth: Collection[str] = ()
    ) -> None:
        """Take a new reading.

        Args:
            samples: the counters of the page.
            windows: the windows, in seconds, that are asked about; others are forgotten.
            now: when it was read.
            from_birth: names that were looked for, of counters whose new series began at 0.
        """
        raw = {sample.key: sample.value for sample in samples}
        self._note_falls(raw, now)
        self._totals = {key: self._total(key, value) for key, value in raw.items()}
        self._raw, self._sought = raw, from_birth
        self._windows = {window: self._windows.get(window, deque()) for window in windows}
        for window, readings in self._windows.items():
            while readings and readings[0][0] < now - window:
                readings.popleft()
            if not readings or readings[-1][0] <= now - window / STEPS:
                readings.append((now, self._totals))

    def rates(self, window: float, now: float) -> Mapping[str, float]:
        """Increase per second of every series, over what was read within `window`; empty after a single reading.

        Args:
            window: in seconds; one that was given to `note`.
            now: the time of the newest reading.
        """
        return self.seen(now)(window)

    def seen(self, now: float) -> Callable[[float], Mapping[str, float]]:
        """Give `rates` as they are now; what is read later changes nothing of them."""
        oldest = {window: readings[0] for window, readings in self._windows.items() if readings}
        return partial(_rates, oldest, self._totals, now)

    @property
    def jumping(self) -> frozenset[str]:
        """The keys of series that fell again and again: what they say is no count of one process."""
        return frozenset(key for key, falls in self._falls.items() if len(falls) >= JUMPING)

    def _note_falls(self, raw: Totals, now: float) -> None:
        for key, value in raw.items():
            slack = SAME_START if key.partition("{")[0] == PROCESS else 0.0
            if value + slack < self._raw.get(key, value):
                self._falls.setdefault(key, deque()).append(now)
        for falls in self._falls.values():
            while falls and now - falls[0] > JUMPS_WITHIN:
                falls.popleft()
        self._falls = {key: falls for key, falls in self._falls.items() if falls and key in raw}

    def _total(self, key: str, value: float) -> float:
        before = self._raw.get(key)
        if before is None:  # new, or back again: it counts on from where a window still knows it
            known = (totals[key] for readings in self._windows.values() for _, totals in readings if key in totals)
            return max(known, default=value if key.partition("{")[0] in self._sought else 0.0)
        return self._totals[key] + (value - before if value >= before else value)


def process_start(samples: Mapping[str, Sequence[Sample]]) -> float | None:
    """Return when the process behind a page began, where the page says so once."""
    found = {sample.value for sample in samples.get(PROCESS, ())}
    return found.pop() if len(found) == 1 else None


def _rates(
    oldest: Mapping[float, tuple[float, Totals]], totals: Totals, now: float, window: float
) -> Mapping[str, float]:
    """Return the rates over a window: the increase since its oldest reading."""
    begun, before = oldest.get(window, (now, totals))
    if begun >= now:
        return {}
    return {key: (total - before.get(key, 0.0)) / (now - begun) for key, total in totals.items()}
