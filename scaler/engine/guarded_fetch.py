"""A fetch that never raises: what a source cannot answer fails for those who asked it, and for nobody else.

A source should return a `Failure` and not raise. What strangers export or write may still bring it to, so a fetch that
raises is made again with either half of the queries, sorted by namespace, until the one that it is about is alone.

    fetch [a b c d]  raises     [a b] is measured     [c d] raises     [c] is measured     [d] raises: d fails
"""

import logging
from collections.abc import Callable, Mapping, Sequence

from scaler.engine.workload import Answers
from scaler.model.measurement import Failure, Measurement, Query, Source

logger = logging.getLogger(__name__)

MOST = 64  # fetches made in place of one: a source that raises whatever it is asked is broken, and not a question
SHOWN = 200  # characters of an exception that are shown


def fetch(
    source: Source, endpoint: str, queries: Mapping[Query, str], times: Sequence[float], closed: Callable[[], bool]
) -> Answers:
    """Measure every query at every time; blocking.

    Args:
        source: what is asked.
        endpoint: its name, for messages.
        queries: and the namespace of who asked first.
        times: as `model.Source.fetch` takes them.
        closed: whether nobody wants to know any more.
    """
    return _Fetch(source, endpoint, times, closed).of(queries)


class _Fetch:
    """One fetch, with what was tried so far."""

    def __init__(self, source: Source, endpoint: str, times: Sequence[float], closed: Callable[[], bool]) -> None:
        self._source, self._endpoint, self._times, self._closed = source, endpoint, times, closed
        self._left = MOST

    def of(self, queries: Mapping[Query, str]) -> dict[Query, Sequence[Measurement]]:
        """Ask, and ask again in halves where that raises."""
        self._left -= 1
        try:
            found = self._source.fetch(queries, self._times, queries)
        except Exception as error:
            if len(queries) == 1 or self._left < 2 or self._closed():
                logger.exception("a source cannot answer", extra={"endpoint": self._endpoint, "queries": len(queries)})
                return self._failed(queries, f"{type(error).__name__}: {error}"[:SHOWN])
        else:
            return {query: self._whole(query, found.get(query, ())) for query in queries}
        ranked = sorted(queries.items(), key=lambda pair: (pair[1], repr(pair[0])))
        middle = len(ranked) // 2
        return self.of(dict(ranked[:middle])) | self.of(dict(ranked[middle:]))

    def _whole(self, query: Query, measured: Sequence[Measurement]) -> Sequence[Measurement]:
        if len(measured) == len(self._times):
            return measured
        return self._failed({query: ""}, f"{len(measured)} answers for {len(self._times)} times")[query]

    def _failed(self, queries: Mapping[Query, str], problem: str) -> dict[Query, Sequence[Measurement]]:
        told = f"{self._endpoint} gave an answer that llm-scaler cannot read ({problem}); its log says where"
        failures = [Failure(told, time) for time in self._times]
        return dict.fromkeys(queries, failures)
