"""Prometheus' text format, as far as it is wanted: the samples of some names, and nothing of the rest of a page.

One expression finds the lines of all wanted names in the bytes of the page, and a series that was read before, on this
page or another, is known by its text; so a page of 60 kB costs a hundredth of what reading it all would.

What is read is read as prometheus_client reads it (0.26, parser.py), but for four things: a name stays as it is
written, whatever TYPE says; a byte order mark before all is none of it, and a line may end with a carriage return;
what follows a `#` behind the value, an exemplar, is passed over; and only blanks and tabs may stand before a name.
Format: prometheus.io/docs/instrumenting/exposition_formats, text format 0.0.4. Pure.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from itertools import groupby, islice
from types import MappingProxyType
from typing import NamedTuple

MILLISECONDS = 0.001  # the unit of a time in the text format; OpenMetrics writes seconds
LATEST = 1e12  # seconds since the epoch; a later time, an infinite one and NaN are none
LONGEST_LINE = 16 * 1024  # bytes of a wanted one: whoever looks at a single label of megabytes does nothing else
MOST_LINES = 200_000  # of a page; a page of 8 MiB has half as many
LONGEST_KNOWN = 1024  # bytes of a series that is remembered; strangers write these
_GZIP = b"\x1f\x8b"  # how it begins
_SEEN = 1000  # bytes of a page that tell whether it is text
MOST_NAMED = 1000  # series of a page whose names are told

_ANY = "[a-zA-Z0-9_:]*"  # the rest of a name
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_ANY_NAME = re.compile(rb"\n[ \t]*([a-zA-Z_:][a-zA-Z0-9_:]*)")
_QUOTED = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_LABELS = rf"[ \t]*+(\{{(?:[^\"{{}}]|{_QUOTED})*\}})?[ \t]*+"  # no blank is given back: many would take their square
_REST = re.compile(rf"{_LABELS}([^ \t#]+)(?:[ \t]+([^ \t#]+))?[ \t]*(?:#.*)?")
_SERIES = re.compile(rf"({_NAME.pattern}){_LABELS}")
_LABEL = re.compile(rf"[ \t]*([a-zA-Z_][a-zA-Z0-9_]*|{_QUOTED})[ \t]*=[ \t]*({_QUOTED})[ \t]*(,|$)")
_ESCAPE = re.compile(r'\\([\\n"])')


_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ODD_LINE = re.compile(rb"\n[ \t]*[^a-zA-Z_:{#\n \t<\"\[\]}][^\n]*")  # no sample, no comment, nor HTML or JSON
_NEWLINE = b"\n"
_QUOTED_NAME = re.compile(rb'^[ \t]*\{[ \t]*"([^"\\\n]*)"[ \t]*,?([^\n]*)', re.M)
_QUOTED_LABEL = re.compile(rb'((?:^|,)[ \t]*)"([^"\\\n]*)"[ \t]*=')


class Sample(NamedTuple):
    """One line of a page."""

    name: str
    labels: Mapping[str, str]
    value: float
    at: float | None  # seconds since the epoch, where the page says so
    key: str  # name and labels, these in order: the same series has the same key, however it is written


def scan(page: bytes, wanted: Collection[str], unit: float = MILLISECONDS, most: int = 1_000_000) -> list[Sample]:
    """Return the samples whose name is in `wanted`, in the order of the page.

    Args:
        page: the text, in UTF-8.
        wanted: full names of samples, such as x_bucket, x_count; with a `*` at the end all that begin so.
        unit: seconds in one unit of a written time.
        most: samples that are read.

    Raises:
        ValueError: there are more, or too many lines, or a wanted line is too long or cannot be read; the text says
            nothing of what stands there.
    """
    find = _finder(frozenset(wanted))
    page = page.removeprefix(_BYTE_ORDER_MARK)
    if b"\r" in page:
        page = page.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if (count := page.count(_NEWLINE)) > MOST_LINES:
        raise ValueError(f"it has {count} lines, more than {MOST_LINES}")
    _refuse_odd_lines(page, wanted)
    lines = find(b"\n" + page)
    if any(line.startswith(b"{") for line in lines):
        page = _unquoted(page, wanted)
        lines = _plain(find(b"\n" + page))
    if not any(b":" in line.partition(b"{")[0] for line in lines):  # when a process began is told without one
        page = _with_colons(page, frozenset(wanted))
        lines = _plain(find(b"\n" + page))
    if len(lines) > most:
        raise ValueError(f"{len(lines)} series of it are wanted, more than {most}")
    longest = max(map(len, lines), default=0)
    if longest > LONGEST_LINE:
        raise ValueError(f"a line of it has {longest} bytes, more than {LONGEST_LINE}")
    found = []
    for line in lines:
        head, _, written = line.rpartition(b" ")
        try:
            series = _known(head) if len(head) <= LONGEST_KNOWN else None
            if series and b"_" not in written:
                found.append(Sample(series[0], series[1], float(written), None, series[2]))
                continue
        except ValueError:
            pass  # what follows says better what is wrong, or finds a value that is not the last word
        try:
            found.append(_sample(line.decode("utf-8", "replace").strip(), unit))
        except ValueError:
            number = [one.lstrip(b" \t") for one in page.split(b"\n")].index(line) + 1
            raise ValueError(f"line {number} cannot be read") from None
    return found


def _refuse_odd_lines(page: bytes, wanted: Collection[str]) -> None:
    """Refuse a page where something that belongs to no name stands before a wanted one: its line would be passed over.

    Raises:
        ValueError: there is such a line, such as one after a byte order mark within the page.
    """
    names = [name.rstrip("*").encode() for name in wanted]
    for odd in _ODD_LINE.finditer(b"\n" + page):
        if any(name in odd[0] for name in names):
            raise ValueError(f"line {page.count(_NEWLINE, 0, odd.start()) + 1} cannot be read")


def _plain(lines: Sequence[bytes]) -> list[bytes]:
    """Leave out lines whose name is quoted in a way that nobody reads."""
    return [line for line in lines if not line.startswith(b"{")]


def _with_colons(page: bytes, wanted: frozenset[str]) -> bytes:
    """Write the colons of wanted names where a proxy has put underscores, such as one that gathers engines' pages.

    vllm_num_requests_waiting{model_name="m"} 3    ->  vllm:num_requests_waiting{model_name="m"} 3
    """
    written = {name.replace(":", "_").encode(): name.encode() for name in wanted if ":" in name and "*" not in name}
    if not written or not any(name in page for name in written):
        return page
    return _ANY_NAME.sub(lambda match: match[0].replace(match[1], written.get(match[1], match[1])), b"\n" + page)[1:]


def other_format(page: bytes) -> str:
    """Say what a page is that is none of metrics: HTML, JSON, bytes; empty where it may be one."""
    if page.startswith(_GZIP):
        return "gzip that its headers do not tell of"
    if b"\0" in page[:_SEEN]:
        return "bytes that are no text, such as Prometheus' protobuf"
    begin = page.lstrip()[:1]
    if begin == b"<":
        return "HTML"
    try:
        return "JSON" if begin in (b"[", b"{") and json.loads(page) is not None else ""
    except (ValueError, RecursionError):
        return ""


def _unquoted(page: bytes, wanted: Collection[str]) -> bytes:
    """Write quoted names of metrics and labels as older releases do, with `_` for what these do not have.

    {"a.b","c.d"="x",e="y"} 1                    ->  a_b{c_d="x",e="y"} 1
    {"vllm.x","c.d"="x"} 1, if vllm:x is wanted  ->  vllm:x{c_d="x"} 1
    """
    dotted = {name.replace(":", ".").encode(): name.encode() for name in wanted if ":" in name}
    return _QUOTED_NAME.sub(lambda match: _plain_series(match, dotted), page)


def _plain_series(match: re.Match[bytes], dotted: Mapping[bytes, bytes]) -> bytes:
    labels = _QUOTED_LABEL.sub(lambda one: one[1] + _plain_name(one[2]) + b"=", match[2])
    return dotted.get(match[1], _plain_name(match[1])) + b"{" + labels


def _plain_name(name: bytes) -> bytes:
    return re.sub(rb"[^a-zA-Z0-9_:]", b"_", name)


def metric_names(page: bytes) -> frozenset[str]:
    """Return the names of the samples on a page, of its first 1,000 series."""
    found = (match[1].decode() for match in islice(_ANY_NAME.finditer(b"\n" + page), MOST_NAMED))
    return frozenset(found)


@lru_cache(maxsize=256)
def _finder(names: frozenset[str]) -> Callable[[bytes], list[bytes]]:
    """Make a finder of the lines of these names, and of those whose name is quoted, without what stands before."""
    if not names:
        return lambda _page: []
    wanted = rf"{_one_of(sorted(names))}(?![a-zA-Z0-9_:])[^\n]*"
    return re.compile(rf"\n[ \t]*({wanted}|\{{[ \t]*\"[^\n]*)".encode()).findall


def _one_of(names: list[str]) -> str:
    """Write a pattern for any of these sorted names, letter by letter, so that a line is told by as few as can be."""
    branches = []
    for first, alike in groupby(filter(None, names), _first):
        rest = [name[1:] for name in alike]
        branches.append(_ANY if first == "*" else re.escape(first) + _one_of(rest))
    pattern = f"(?:{'|'.join(branches)})" if branches else ""
    return f"{pattern}?" if branches and not names[0] else pattern


def _first(name: str) -> str:
    return name[0]


@lru_cache(maxsize=20_000)
def _known(head: bytes) -> tuple[str, Mapping[str, str], str] | None:
    """Name, labels and key of what stands before a value; None if that is not a series alone."""
    series = _SERIES.fullmatch(head.decode("utf-8", "replace"))
    if series is None:
        return None
    labels = _labels(series[2])
    return series[1], labels, _key(series[1], labels)


def _sample(line: str, unit: float) -> Sample:
    name = line[: _NAME.match(line).end()]  # type: ignore[union-attr]  # it was found by its name
    rest = _REST.fullmatch(line, len(name))
    if rest is None or (rest[1] is None and line[len(name)] not in " \t"):
        raise ValueError
    labels, value, at = rest.groups()
    time = None if at is None else _number(at) * unit
    if time is not None and not abs(time) < LATEST:
        raise ValueError
    named = _labels(labels)
    return Sample(name, named, _number(value), time, _key(name, named))


def _key(name: str, labels: Mapping[str, str]) -> str:
    written = ",".join(f"{label}={value!r}" for label, value in sorted(labels.items()))
    return f"{name}{{{written}}}" if written else name


def _labels(braced: str | None) -> Mapping[str, str]:
    """Read labels with their braces; None is none."""
    written = (braced or "")[1:-1].strip()
    labels: dict[str, str] = {}
    place = 0
    while place < len(written):
        label = _LABEL.match(written, place)
        name = re.sub(r"[^a-zA-Z0-9_]", "_", label[1].strip('"')) if label else ""
        if label is None or name in labels:
            raise ValueError
        labels[name] = _ESCAPE.sub(_unescape, label[2][1:-1])
        place = label.end()
    return MappingProxyType(labels)


def _unescape(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]


def _number(written: str) -> float:
    if "_" in written:  # Python allows it within digits
        raise ValueError
    return float(written)
