"""Whether an answer is to the question that was asked, and as of that time. Pure.

What stands between us and a server may give one question's answer to another, or an old one again: a cache, a proxy, a
gateway that mixes up its connections. Such an answer looks like any other. So a question asks besides for a row that
says its own name, and its answer must have that row:

    sum by (...) (...)
    or label_replace(vector(1), "asked", "5d41402a", "", "")
"""

import zlib
from collections.abc import Sequence
from dataclasses import replace

from scaler.model.errors import ConfigError, SourceError
from scaler.model.fields import seconds
from scaler.sources.prometheus.answers import QueryResult
from scaler.sources.prometheus.selectors import joined

LATE = 15.0  # seconds; servers may round the time that is asked about, and no sample is newer than its scrape
ANOTHER = "answers another question than it was asked: does a proxy or a cache stand before it?"
_ASKED = "asked"


class OfAnotherKind(ConfigError):
    """An answer is neither a vector nor a number: of a question that somebody wrote so, or of another than ours."""

    def __init__(self, kind: str) -> None:
        super().__init__("query", "", f"gives a {kind}", "a vector or a scalar, such as an aggregation")


def named(text: str) -> str:
    """Write a question that asks for its own name too."""
    return joined((text, f'label_replace(vector(1), "{_ASKED}", "{_name(text)}", "", "")'))


def own(text: str, answer: QueryResult) -> QueryResult:
    """Return an answer without that row.

    Args:
        text: the question, as it was before it asked for its name.
        answer: to `named(text)`.

    Raises:
        SourceError: it is the answer to something else.
    """
    names = {row.labels[_ASKED] for row in answer.rows if _ASKED in row.labels}
    if names != {_name(text)}:
        raise SourceError(ANOTHER)
    return replace(answer, rows=[row for row in answer.rows if _ASKED not in row.labels])


def check_times(told: Sequence[float], asked: float) -> None:
    """Refuse an answer as of another time.

    Args:
        told: times that rows say they are of.
        asked: the time that was asked about.

    Raises:
        SourceError: and how far off it is.
    """
    off = max((abs(at - asked) for at in told), default=0.0)
    if not off <= LATE:
        raise SourceError(f"answers as of a time {seconds(off)} off the one it was asked about: is it a cache's?")


def _name(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"
