"""The query behind one workload's input, out of the query that it shared: what names others is left out.

default: sum by (namespace) (x{namespace=~"blue|red",model=~"a|b"})      shared by red with a, and blue with b
default: sum by (namespace) (x{namespace="red",model="a"})               as red is told
"""

import re

from scaler.config.promql import quote, quote_regex
from scaler.model.measurement import CapacityQuery, Query, SignalQuery

_LIST = re.compile(r'([a-zA-Z_]\w*)=~"((?:[^"\\]|\\.)*)"', re.DOTALL)
_TOKEN = re.compile(r"\\\\(?:\\.|.)|\\.|.", re.DOTALL)  # of an expression in quotes: an escaped letter, or a letter


def own_query(source: str, query: Query | CapacityQuery) -> str:
    """Return an endpoint and query as far as they are about one query; in Prometheus it gives this one's rows alone."""
    if not isinstance(query, SignalQuery):
        return source
    own = {quote(quote_regex(value))[1:-1]: value for _, value in query.labels}

    def narrowed(matcher: re.Match[str]) -> str:
        label, listed = matcher[1], _alternatives(matcher[2])
        kept = [one for one in listed if one in own or not one]
        if not any(kept) or len(kept) == len(listed):
            return matcher[0]
        return f"{label}={quote(own[kept[0]])}" if len(kept) == 1 else f'{label}=~"{"|".join(kept)}"'

    return _LIST.sub(narrowed, source)


def _alternatives(listed: str) -> list[str]:
    """List the values of a list as they are written in it; a `|` within a value is escaped."""
    parts = [""]
    for letter in _TOKEN.findall(listed):
        if letter == "|":
            parts.append("")
        else:
            parts[-1] += letter
    return parts
