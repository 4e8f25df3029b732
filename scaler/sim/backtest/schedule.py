"""KEDA's cron trigger: whether a time lies between two points of a schedule.

KEDA asks for the next start and the next end: it is inside where the end comes first. Source: KEDA 2.21.0,
pkg/scalers/cron_scaler.go.

    start "0 8 * * 1-5", end "0 18 * * 1-5", Europe/Berlin     Monday 07:59: outside, 08:00: inside, 18:00: outside
"""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from scaler.model.errors import ConfigError
from scaler.model.fields import show

FIELDS = "five fields: minute, hour, day of the month, month, day of the week, such as 0 8 * * 1-5"


@dataclass(frozen=True, slots=True)
class CronWindow:
    """From one schedule's times to another's, in a time zone."""

    start: str
    end: str
    zone: str

    def check(self, where: str, path: str) -> None:
        """Refuse what KEDA could not read either.

        Raises:
            ConfigError: naming the key.
        """
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError):
            allowed = "a name of the time zone database, such as Europe/Berlin"
            raise ConfigError(where, f"{path}.timezone", f"{show(self.zone)} is no time zone", allowed) from None
        for key, written in (("start", self.start), ("end", self.end)):
            try:
                CronSim(_plain(written), datetime(2026, 1, 1, tzinfo=ZoneInfo(self.zone)))
            except CronSimError:
                raise ConfigError(where, f"{path}.{key}", f"{show(written)} is no schedule", FIELDS) from None
        if self.start == self.end:
            raise ConfigError(where, f"{path}.end", "is the same as start", "another time")

    def holds(self, now: float) -> bool:
        """Tell whether a time, in seconds since the epoch, lies inside."""
        minute = int(now // 60)
        return _next(self.end, self.zone, minute) <= _next(self.start, self.zone, minute)


@lru_cache(maxsize=65536)
def _next(written: str, zone: str, minute: int) -> float:
    """Return the first time of a schedule after a minute has begun."""
    now = datetime.fromtimestamp(minute * 60, ZoneInfo(zone))
    return next(CronSim(_plain(written), now)).timestamp()


def _plain(written: str) -> str:
    """Write the schedule without `?`, which in KEDA's cron stands for `*`."""
    return written.replace("?", "*")
