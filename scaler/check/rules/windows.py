"""Windows of a schedule that cannot do what they say."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta

from scaler.check.evidence import Evidence, MessagesFound
from scaler.config.schedule import DAYS, Window
from scaler.decision.schedule import Scheduled, scheduled, span_on

WEEKS = (date(2026, 1, 12), date(2026, 7, 13))  # Mondays of a week in winter and of one in summer, without a change


def floor_above_ceiling(evidence: Evidence) -> MessagesFound:
    """Find a window whose floor is above the ceiling of another one at the same time.

    Two windows that overlap begin to do so where one of them begins, so only beginnings are looked at.
    """
    told = set()
    for at, bounds in _beginnings(evidence.spec.schedule):
        floor, ceiling = bounds.floor, bounds.ceiling
        if floor and ceiling and (floor.window.minimum or 0) > (ceiling.window.maximum or 0):
            pair = floor.window, ceiling.window
            if pair not in told:
                told.add(pair)
                begun = datetime.fromtimestamp(at, floor.window.zone)
                when = f"{DAYS[begun.weekday()]} {begun:%H:%M} {floor.window.timezone}"
                yield (
                    f"schedule `{floor.window.name}` wants at least {floor.window.minimum}, and schedule"
                    f" `{ceiling.window.name}` at most {ceiling.window.maximum} at the same time; the floor wins",
                    when,
                )


def _beginnings(windows: tuple[Window, ...]) -> Iterator[tuple[float, Scheduled]]:
    """Yield every beginning of a window in two weeks of a year, and the bounds that hold then."""
    days = [monday + timedelta(days=ahead) for monday in WEEKS for ahead in range(7)]
    spans = (span_on(window, day) for window in windows for day in days)
    for start in sorted({span[0] for span in spans if span}):
        bounds = scheduled(windows, start)
        if bounds:
            yield start, bounds
