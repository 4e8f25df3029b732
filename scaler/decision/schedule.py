"""A schedule: what the windows in `schedule` say of the replicas at a time.

A window holds from the first moment at which the clock of its time zone shows its beginning to the last at which the
clock comes to its end. So where the clock changes:

    02:00-04:00, Europe/Berlin    on most days          2 hours
                                  29 March 2026         1 hour: the clock goes from 02:00 to 03:00
                                  25 October 2026       3 hours: the hour from 02:00 is there twice

A time that the clock leaves out is the moment at which it does so: 02:30-04:00 holds from 03:00 on that day, and
02:00-03:00 not at all.

Where several windows hold, the largest floor and the lowest ceiling count; a floor above a ceiling wins, since what is
missing hurts more than what is too much (`check` finds such windows). Its law: a floor needs no measurement, so it
holds on uncertain data too, and keeps the workload active; a ceiling lowers only what is certain. When a floor ends,
the answer falls at its pace (pace.py); a ceiling holds at once, as maxReplicaCount would.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from scaler.config.schedule import DAY, Window


@dataclass(frozen=True, slots=True)
class Held:
    """A window that holds, and until when."""

    window: Window
    until: float  # seconds since the epoch

    @property
    def shown_until(self) -> str:
        """Its end on its own clock: `18:00 Europe/Berlin`."""
        end = datetime.fromtimestamp(self.until, self.window.zone)
        return f"{end:%H:%M} {self.window.timezone}"


@dataclass(frozen=True, slots=True)
class Scheduled:
    """The bounds that hold at a time; None: no such bound."""

    floor: Held | None
    ceiling: Held | None

    @property
    def least(self) -> int | None:
        """The fewest replicas."""
        return self.floor.window.minimum if self.floor else None

    @property
    def most(self) -> int | None:
        """The most replicas; not below the fewest."""
        most = self.ceiling.window.maximum if self.ceiling else None
        return most if most is None else max(most, self.least or 0)

    def within(self, due: int | None) -> int | None:
        """Return what is due, within the bounds."""
        if due is None:
            return None
        capped = due if self.most is None else min(due, self.most)
        return max(capped, self.least or 0)

    def replaces(self, least: int) -> bool:
        """Tell whether a bound, and not the pace, is why the answer is not lower than `least`."""
        return (self.least or 0) >= least or self.within(least) != least

    def binds(self, due: int | None) -> str:
        """Say which bound moves what is due; an empty text where none does."""
        if due is None or self.within(due) == due:
            return ""
        return self.says_floor() if self.within(due) == self.least else self.says_ceiling()

    def says_floor(self) -> str:
        """Say the floor: schedule `work days`: at least 4 until 18:00 Europe/Berlin."""
        held = self.floor
        return f"schedule `{held.window.name}`: at least {self.least} until {held.shown_until}" if held else ""

    def says_ceiling(self) -> str:
        """Say the ceiling; where a floor is above it, that the floor wins."""
        held = self.ceiling
        if held is None:
            return ""
        beaten = self.most != held.window.maximum
        less = f", which gives way to the floor of {self.least}" if beaten else ""
        return f"schedule `{held.window.name}`: at most {held.window.maximum} until {held.shown_until}{less}"


def scheduled(windows: Iterable[Window], now: float) -> Scheduled | None:
    """Say which bounds hold.

    Args:
        windows: of the workload.
        now: seconds since the epoch.

    Returns:
        The bounds; None where no window holds.
    """
    held = [Held(window, until) for window in windows if (until := holds_until(window, now)) is not None]
    floors = [one for one in held if one.window.minimum is not None]
    ceilings = [one for one in held if one.window.maximum is not None]
    if not held:
        return None
    return Scheduled(
        floor=max(floors, key=lambda one: (one.window.minimum or 0, one.until), default=None),
        ceiling=min(ceilings, key=lambda one: (one.window.maximum or 0, -one.until), default=None),
    )


def holds_until(window: Window, now: float) -> float | None:
    """Give the time until which a window holds, in seconds since the epoch; None: it does not hold now."""
    today = datetime.fromtimestamp(now, window.zone).date()
    ends = []
    for day in (today + timedelta(days=ahead) for ahead in (-1, 0, 1)):
        span = span_on(window, day)
        if span is not None and span[0] <= now < span[1]:
            ends.append(span[1])
    return max(ends, default=None)


def span_on(window: Window, day: date) -> tuple[float, float] | None:
    """Give beginning and end of the window that begins on a day; None: none does."""
    if day.weekday() not in window.days:
        return None
    end = window.end + DAY if window.over_midnight else window.end
    return moment(day, window.start, window.zone, last=False), moment(day, end, window.zone, last=True)


def moment(day: date, minutes: int, zone: ZoneInfo, *, last: bool) -> float:
    """Give the moment at which the clock shows a time, in seconds since the epoch.

    Args:
        day: the day.
        minutes: after its midnight on the clock; more than 1440 are of the next day.
        zone: whose clock it is.
        last: of a time that comes twice, whether the second is meant.

    Returns:
        The moment; of a time that the clock leaves out, the moment at which it does.
    """
    shown = datetime.combine(day, datetime.min.time()) + timedelta(minutes=minutes)
    found = shown.replace(tzinfo=zone, fold=int(last)).timestamp()
    if datetime.fromtimestamp(found, zone).replace(tzinfo=None) == shown:
        return found
    # Left out: by the offset after the change it would be before it, by the one before the change after it.
    low = shown.replace(tzinfo=zone, fold=1).timestamp()
    high = shown.replace(tzinfo=zone, fold=0).timestamp()
    while high - low > 1:
        middle = (low + high) // 2
        late = datetime.fromtimestamp(middle, zone).replace(tzinfo=None) >= shown
        low, high = (low, middle) if late else (middle, high)
    return high
