"""Who is asked about apart from the others, since what they export or write breaks a query that is shared.

Queries of one shape share a batch query. One that fails is cut into two halves, and each half again, until what fails
is a single query: the culprit. The cuts are remembered for a while, so that the next tick asks in the same parts at
once.

    root [a b c d]  fails     a, b -> "0"   c, d -> "1"
    "1"  [c d]      fails     c -> "10"     d -> "11"
    "11" [d]        fails     d is the culprit; a and b, and c, are measured

Halves are made of queries sorted by namespace, and cut between two namespaces, so that one is cut in two only once it
is alone. Used from several threads, each of which reads or replaces one entry at a time.

A culprit that is slow takes the server's time from others again and again, since it is asked until it is cut off. So of
all slow ones one is asked at a time, and not more often than each REST seconds, as long as it stays slow. None waits
longer than LONGEST_REST: it may have been for a server that was slow itself.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace

from scaler.model.measurement import Query, SignalQuery

logger = logging.getLogger(__name__)

REMEMBERED = 300.0  # seconds for which the cuts stand after the last of them
REST = 5.0  # seconds from one question to the next that was too slow when it was asked last
LONGEST_REST = 30.0  # seconds after which one that was too slow is asked in any case
MAX_PLACES = 256  # parts of all shared queries together: if more are needed, it is not for one culprit


class Apart:
    """The cuts of one endpoint's shared queries."""

    def __init__(self) -> None:
        self._places: dict[SignalQuery, str] = {}  # of a query without its pods, which come and go
        self._blamed: set[SignalQuery] = set()  # culprits
        self._until = 0.0
        self._slow: dict[SignalQuery, float] = {}  # culprits that took too long: when they were asked last

    def parts(self, queries: Sequence[SignalQuery], at: float) -> dict[str, list[SignalQuery]]:
        """Sort queries by the part that they belong to; "" is the part of all who were never cut off.

        Args:
            queries: of any shapes.
            at: the time now.
        """
        if not abs(self._until - at) <= REMEMBERED:  # past, or the clock was set
            self._places, self._blamed, self._slow = {}, set(), {}
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
        place, middle = self._places.get(ranked[0], ""), _middle(ranked)
        self._places |= {query: place + ("0" if number < middle else "1") for number, query in enumerate(ranked)}
        return True

    def blamed(self, queries: Sequence[Query]) -> bool:
        """Tell whether a question is a culprit's, which is asked last."""
        return bool(self._blamed) and any(
            isinstance(query, SignalQuery) and _plain(query) in self._blamed for query in queries
        )

    def slow(self, queries: Sequence[SignalQuery], problem: str, at: float) -> None:
        """Cut a question in two that took too long; a single query is asked more seldom from now on."""
        culprits = [_plain(query) for query in queries if self.blamed([query])]
        self._slow |= dict.fromkeys(culprits if len(queries) == 1 else (), at)
        self.halve(queries, problem, at)

    def in_time(self, queries: Sequence[Query]) -> None:
        """Forget that these were slow."""
        if not self._slow:
            return
        for query in queries:
            if isinstance(query, SignalQuery):
                self._slow.pop(_plain(query), None)

    def resting(self, queries: Sequence[SignalQuery], at: float) -> set[SignalQuery]:
        """Return those that are not asked this time, since they are slow; one that is has its turn from now on."""
        asked = ((query, self._slow.get(_plain(query))) for query in queries)
        found = {query: last for query, last in asked if last is not None and 0 <= at - last < LONGEST_REST}
        if found and not 0 <= at - max(self._slow.values()) < REST:
            next_one = min(found, key=found.__getitem__)
            self._slow[_plain(next_one)] = at
            del found[next_one]
        return set(found)

    def _blame(self, query: SignalQuery, problem: str) -> None:
        if query in self._places and query not in self._blamed:
            told = {"signal": query.signal, "labels": dict(query.labels), "problem": problem}
            logger.warning("a shared query is broken by what one workload exports or writes", extra=told)
        self._blamed.add(query)


def _plain(query: SignalQuery) -> SignalQuery:
    return query if query.target_pods is None else replace(query, target_pods=None)


def _middle(ranked: Sequence[SignalQuery]) -> int:
    """Return where to cut: between two namespaces, where there are several."""
    middle = len(ranked) // 2
    borders = [at for at in range(1, len(ranked)) if _owner(ranked[at]) != _owner(ranked[at - 1])]
    return min(borders, key=lambda at: abs(at - middle), default=middle)


def _owner(query: SignalQuery) -> str:
    return dict(query.labels).get("namespace", "")
