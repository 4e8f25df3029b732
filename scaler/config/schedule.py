"""The key `schedule`: windows of time, on the clock of a time zone, in which replicas have a floor or a ceiling.

    schedule:
    - {name: work days, days: Mon-Fri, hours: 08:00-18:00, timezone: Europe/Berlin, min: 4}
    - {name: nights, hours: 22:00-06:00, timezone: Europe/Berlin, max: 2}

A trigger, whose values are texts, gives the same list as one text. What follows from the windows at a time is
scaler/decision/schedule.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from scaler.model.errors import ConfigError, nearest
from scaler.model.fields import Fields, matching, schema_of, show, takes, whole
from scaler.model.strict_yaml import parse_yaml

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MAX_WINDOWS = 50
MAX_COUNT = 1_000_000
DAY = 24 * 60  # minutes

_SPAN = rf"({'|'.join(DAYS)})(-({'|'.join(DAYS)}))?"
_DAYS = rf"\s*{_SPAN}(\s*,\s*{_SPAN})*\s*"
_HOURS = r"([01]?\d|2[0-3]):[0-5]\d\s*-\s*(([01]?\d|2[0-3]):[0-5]\d|24:00)"
_ZONE = r"[A-Za-z][\w+-]*(/[\w+-]+){0,2}"
_COUNT = whole(1, MAX_COUNT)


@dataclass(frozen=True, slots=True)
class Window:
    """A time of the week on the clock of a time zone, and the bounds of replicas in it.

    It belongs to the day on which it begins: Fri 22:00-06:00 ends on Saturday.
    """

    name: str
    days: frozenset[int]  # on which it begins; 0 is Monday
    start: int  # minutes after midnight
    end: int  # the same, of the next day where it is not later than `start`; 1440 is 24:00
    timezone: str
    minimum: int | None
    maximum: int | None

    @property
    def over_midnight(self) -> bool:
        """Tell whether it ends on the day after the one on which it begins."""
        return self.end < self.start

    @property
    def zone(self) -> ZoneInfo:
        """Its time zone."""
        return zone(self.timezone)


@lru_cache(maxsize=256)
def zone(name: str) -> ZoneInfo:
    """Return a time zone by its IANA name.

    Raises:
        ValueError: there is none.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # unknown, a folder, not a name
        raise ValueError(f"an IANA time zone, such as Europe/Berlin or UTC{nearest(name, _zones())}") from None


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def days(raw: object) -> frozenset[int]:
    """Read days of the week: `Mon-Fri`, `Sat, Sun`, `Fri-Mon`; 0 is Monday."""
    written = matching(_DAYS, "days of the week, such as Mon-Fri or Sat,Sun")(raw)
    found: set[int] = set()
    for span in written.split(","):
        first, _, last = span.strip().partition("-")
        begin = DAYS.index(first)
        length = (DAYS.index(last or first) - begin) % 7
        found.update((begin + ahead) % 7 for ahead in range(length + 1))
    return frozenset(found)


def hours(raw: object) -> tuple[int, int]:
    """Read a time of day, `08:00-18:00` or, over midnight, `22:00-06:00`, as minutes after midnight."""
    written = matching(_HOURS, _HOURS_ALLOWED)(raw)
    start, end = (_minutes(part) for part in written.split("-"))
    if start == end:
        raise ValueError(f"{_HOURS_ALLOWED}; it has to end at another time than it begins (a whole day: 00:00-24:00)")
    return start, DAY if end == 0 else end


_HOURS_ALLOWED = "hours such as 08:00-18:00 or 22:00-06:00, up to 24:00"


def _minutes(clock: str) -> int:
    hour, minute = clock.strip().split(":")
    return 60 * int(hour) + int(minute)


def timezone(raw: object) -> str:
    """Read the IANA name of a time zone."""
    name = matching(_ZONE, "an IANA time zone, such as Europe/Berlin or UTC")(raw)
    zone(name)
    return name


_NAME = matching(r"[^\s`]([^\r\n\t`]{0,58}[^\s`])?", "a name of 1 to 60 characters in one line, without `")


def _or_parameter(schema: Mapping[str, object]) -> dict[str, object]:
    """Return a schema of a value that a formula file may leave to a parameter."""
    return {"anyOf": [dict(schema), {"type": "string", "pattern": r"^\$[A-Za-z_]\w*$"}]}


_KEYS: Mapping[str, Mapping[str, object]] = {
    "name": schema_of(_NAME),
    "days": {"type": "string", "pattern": rf"^(?:{_DAYS})$"},
    "hours": {"type": "string", "pattern": rf"^(?:{_HOURS})$"},
    "timezone": {"type": "string", "pattern": rf"^(?:{_ZONE})$"},
    "min": schema_of(_COUNT),
    "max": schema_of(_COUNT),
}
_WINDOW = {
    "type": "object",
    "properties": {key: _or_parameter(schema) for key, schema in _KEYS.items()},
    "additionalProperties": False,
    "required": ["timezone"],
    "anyOf": [{"required": ["min"]}, {"required": ["max"]}],
}


@takes(type=["array", "string"], items=_WINDOW, minItems=1, maxItems=MAX_WINDOWS)
def schedule(raw: object) -> tuple[Window, ...]:
    """Read the windows: a list, or the same as a text of YAML.

    Raises:
        ConfigError: a window says what is not allowed; without the file's name, as `schedule[0].hours`.
        ValueError: it is no list of windows.
    """
    read = parse_yaml(raw, "schedule") if isinstance(raw, str) else raw
    if not isinstance(read, list) or not 0 < len(read) <= MAX_WINDOWS:
        raise ValueError(
            f"a list of 1 to {MAX_WINDOWS} windows, such as"
            " [{days: Mon-Fri, hours: 08:00-18:00, timezone: Europe/Berlin, min: 4}]"
        )
    return tuple(_window(Fields("", window, f"schedule[{index}]")) for index, window in enumerate(read))


def _window(fields: Fields) -> Window:
    said = fields.take("days", lambda raw: (str(raw), days(raw)), ("", frozenset(range(7))))
    span = fields.take("hours", lambda raw: (str(raw), hours(raw)), ("", (0, DAY)))
    usual = " ".join(part.strip() for part in (said[0], span[0]) if part) or "always"
    window = Window(
        name=fields.take("name", _NAME, usual),
        days=said[1],
        start=span[1][0],
        end=span[1][1],
        timezone=fields.take("timezone", timezone),
        minimum=fields.take("min", _COUNT, None),
        maximum=fields.take("max", _COUNT, None),
    )
    fields.close()
    if window.minimum is None and window.maximum is None:
        raise fields.error("min", "is missing, and so is max: the window changes nothing", "min, max or both")
    if window.minimum is not None and window.maximum is not None and window.minimum > window.maximum:
        raise fields.error("min", f"{show(window.minimum)} is more than max", f"at most max, which is {window.maximum}")
    return window


def placed(error: ConfigError, where: str) -> ConfigError:
    """Return an error of `schedule` with the file it is about."""
    if error.where:  # of the text as YAML
        return ConfigError(where, "schedule", error.problem, error.allowed)
    return ConfigError(where, error.key, error.problem, error.allowed)
