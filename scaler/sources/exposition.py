"""Prometheus' text format, as far as it is wanted: the samples of some names, and nothing of the rest of a page.

A line is told by its name before anything of it is read, so a page of a thousand lines costs little more than its
wanted ones. What is read is read as prometheus_client reads it (0.26, parser.py), but for two things: a name stays as
it is written, whatever TYPE says; and what follows a `#` behind the value, an exemplar, is passed over. Format:
prometheus.io/docs/instrumenting/exposition_formats, text format 0.0.4. Pure.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

MILLISECONDS = 0.001  # the unit of a time in the text format; OpenMetrics writes seconds

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_REST = re.compile(rf"[ \t]*(\{{(?:[^\"{{}}]|{_QUOTED})*\}})?[ \t]*([^ \t#]+)(?:[ \t]+([^ \t#]+))?[ \t]*(?:#.*)?")
_LABEL = re.compile(rf"[ \t]*([a-zA-Z_][a-zA-Z0-9_]*)[ \t]*=[ \t]*({_QUOTED})[ \t]*(,|$)")
_ESCAPE = re.compile(r'\\([\\n"])')


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of a page."""

    name: str
    labels: Mapping[str, str]
    value: float
    at: float | None  # seconds since the epoch, where the page says so
    key: str  # name and labels as they are written: the same series has the same key in the next page


def scan(page: bytes, wanted: Collection[str], unit: float = MILLISECONDS) -> list[Sample]:
    """Return the samples whose name is in `wanted`, in the order of the page.

    Args:
        page: the text.
        wanted: full names of samples, such as x_bucket, x_count; best a set.
        unit: seconds in one unit of a written time.

    Raises:
        ValueError: a wanted line cannot be read; the text names it.
    """
    found = []
    for number, line in enumerate(page.decode("utf-8", "replace").split("\n"), start=1):
        stripped = line.strip()
        name = _NAME.match(stripped)
        if name and name[0] in wanted:
            try:
                found.append(_sample(stripped, name[0], unit))
            except ValueError:
                raise ValueError(f"line {number} cannot be read ({name[0]})") from None
    return found


def _sample(line: str, name: str, unit: float) -> Sample:
    rest = _REST.fullmatch(line, len(name))
    if rest is None or (rest[1] is None and line[len(name)] not in " \t"):
        raise ValueError
    labels, value, at = rest.groups()
    written = labels or ""
    time = None if at is None else _number(at) * unit
    return Sample(name, _labels(written[1:-1].strip()), _number(value), time, name + written)


@lru_cache(maxsize=100_000)
def _labels(written: str) -> Mapping[str, str]:
    """Read what stands between the braces; the same text comes again with every page."""
    labels: dict[str, str] = {}
    place = 0
    while place < len(written):
        label = _LABEL.match(written, place)
        if label is None or label[1] in labels:
            raise ValueError
        labels[label[1]] = _ESCAPE.sub(_unescape, label[2][1:-1])
        place = label.end()
    return MappingProxyType(labels)


def _unescape(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]


def _number(written: str) -> float:
    if "_" in written:  # Python allows it within digits
        raise ValueError
    return float(written)
