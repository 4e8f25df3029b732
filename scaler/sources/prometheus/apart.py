"""Who is asked about apart from the others, since what they export or write breaks a query that is shared.

Queries of one shape share a batch query. One that fails is cut into two halves, and each half again, until what fails
is a single query: the culprit. The cuts are remembered for a while, so that the next tick asks in the same parts at
once.

    root [a b c d]  fails     a, b -> "0"   c, d -> "1"
    "1"  [c d]      fails     c -> "10"     d -> "11"
    "11" [d]        fails     d is the culprit; a and b, and c, are measured

Halves are made of queries sorted by namespace, so that a namespace is cut in two only once it is alone. Used from
several threads, each of which reads or replaces one entry at a time.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace

from scaler.model.measurement import Query, SignalQuery

logger = logging.getLogger(__name__)

REMEMBERED = 300.0  # seconds for which the cuts stand after the last of them
MAX_PLACES = 256  # parts of all shared queries together: if more are needed, it is not for one culprit


class Apart:
    """The cuts of one endpoint's shared queries."""

    def __init__(self) -> None:
        self._places: dict[SignalQuery, str] = {}  # of a query without its pods, which come and go
        self._blamed: set[SignalQuery] = set()  # culprits
        self._until = 0.0

    def parts(self, queries: Sequence[SignalQuery], at: float) -> dict[str, list[SignalQuery]]:
        """Sort queries by the part that they belong to; "" is the part of all who were never cut off.

        Args:
            queries: of any shapes.
            at: the time now.
        """
        if not abs(self._until - at) <= REMEMBERED:  # past, or the clock was set
            self._places, self._blamed = {}, set()
        if not self._places:
            return {"": list(queries)} if queries else {}
        found: dict[str, list[SignalQuery]] = {}
        for query in queries:
            found.setdefault(self._places.get(_plain(query), ""), []).append(query)
        return found

    def halve(self, queries: Sequence[SignalQuery], problem: str, at: float) -> bool:
        """Cut a question in two; a single query is blamed.

        Args:
            queries: that shared it.
            problem: why, for the log.
            at: the time now.

        Returns:
            Whether there are two parts now.
        """
        self._until = at + REMEMBERED
        if len(queries) == 1:
            self._blame(_plain(queries[0]), problem)
        if len(queries) < 2 or len(set(self._places.values())) >= MAX_PLACES:
            return False
        ranked = sorted(map(_plain, queries), key=lambda query: (_owner(query), query.labels, query.pods or ""))
        place, middle = self._places.get(ranked[0], ""), len(ranked) // 2
        self._places |= {query: place + ("0" if number < middle else "1") for number, query in enumerate(ranked)}
        return True

    def blamed(self, queries: Sequence[Query]) -> bool:
        """Tell whether a question is a culprit's, which is asked last."""
        return bool(self._blamed) and any(
            isinstance(query, SignalQuery) and _plain(query) in self._blamed for query in queries
        )

    def _blame(self, query: SignalQuery, problem: str) -> None:
        if query in self._places and query not in self._blamed:
            told = {"signal": query.signal, "labels": dict(query.labels), "problem": problem}
            logger.warning("a shared query is broken by what one workload exports or writes", extra=told)
        self._blamed.add(query)


def _plain(query: SignalQuery) -> SignalQuery:
    return query if query.target_pods is None else replace(query, target_pods=None)


def _owner(query: SignalQuery) -> str:
    return dict(query.labels).get("namespace", "")
