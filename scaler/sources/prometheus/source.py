"""Prometheus, and whatever speaks its query API: Thanos, Mimir, VictoriaMetrics, managed ones.

One tick is one batch: every distinct query is sent once, a few at a time, all within one time-out. A query that fails
fails alone, with its reason; nothing is tried again before the next tick.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from queue import LifoQueue
from typing import TYPE_CHECKING, Any

from scaler.config.endpoint import Endpoint
from scaler.config.naming import check
from scaler.config.promql import enforce, insert
from scaler.model.errors import ConfigError, ScalerError
from scaler.model.fields import seconds
from scaler.model.measurement import NOBODYS, Ask, Failure, HistoryAsk, Measured, QueryAsk, SignalAsk
from scaler.sources.fair_share import held, shared
from scaler.sources.prometheus.answers import Answer, read_grouped, read_history, read_one
from scaler.sources.prometheus.batch_query import STATS, group, shape

if TYPE_CHECKING:
    from scaler.sources.prometheus.api import Connection

CONNECTIONS = 4  # more did not make a tick faster (1,000 queries to a server of 2 cores)
MAX_QUERIES = 2000  # of one tick: more than a time-out of 2 s ever held, and writing more would delay these; shared
MAX_TIMES = 10_000  # of one query; Prometheus refuses more than 11,000
_ROW_BYTES = 250  # of a row in an answer, with its labels
_POINT_BYTES = 40  # of a value in it, with its time
_GRACE = 1.1  # the connections' own time-outs know more than ours, so they come first

_SENDABLE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")

Measurements = Mapping[Ask, Sequence[Measured]]


@dataclass(frozen=True, slots=True, eq=False)
class _Question:
    """One query, and how its answer is read."""

    text: str
    asks: Collection[Ask]
    read: Callable[[Answer], Measurements]


class PrometheusSource:
    """One endpoint; see `model.Source`. `fetch` may be called from several threads."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Take an endpoint; nothing is opened yet.

        Raises:
            ConfigError: its heartbeat is not PromQL, or a header cannot be sent.
        """
        insert(endpoint.up_selector, ['job=""'])
        for header, value in endpoint.headers.items():
            if not _SENDABLE.fullmatch(value):
                raise ConfigError(f"endpoint {endpoint.name}", f"headers.{header}", "holds characters no header can")
        self._endpoint = endpoint
        self._pool = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix=f"prometheus-{endpoint.name}")
        self._idle: LifoQueue[Connection] = LifoQueue()  # the last one used is the likeliest to be still open
        self._opened = False

    def fetch(self, asks: Collection[Ask], times: Sequence[float], whose: Mapping[Ask, str] = NOBODYS) -> Measurements:
        """Measure every ask at every time; see `model.Source.fetch`."""
        if len(times) > MAX_TIMES:
            parts = [self.fetch(asks, times[at : at + MAX_TIMES], whose) for at in range(0, len(times), MAX_TIMES)]
            return {ask: [one for part in parts for one in part[ask]] for ask in asks}
        queries = {ask: shape(ask) if isinstance(ask, SignalAsk) else ask for ask in asks}  # a shape is one
        granted = shared(((whose.get(ask, ""), query) for ask, query in queries.items()), MAX_QUERIES)
        measured = self._refused([ask for ask, query in queries.items() if query not in granted], granted, times)
        questions: list[_Question] = []
        for ask in [ask for ask in queries if ask not in measured]:
            try:
                if isinstance(ask, SignalAsk):
                    check(ask)
                else:
                    questions.append(self._single(ask))
            except ConfigError as error:
                measured[ask] = [Failure(str(error), at, final=True, source=self._endpoint.name) for at in times]
        questions += self._grouped(
            [ask for ask in queries if isinstance(ask, SignalAsk) and ask not in measured], times
        )
        turns = {query: turn for turn, query in enumerate(granted)}  # time may be too short for the last ones
        questions.sort(key=lambda question: turns[queries[next(iter(question.asks))]])
        return measured | self._answers(questions, times)

    def trouble(self, now: float) -> str:
        """Ask for a number, and return why there is none, such as a wrong port; empty when all is well."""
        ask = QueryAsk(self._endpoint.name, "vector(1)")
        (measured,) = self.fetch([ask], [now])[ask]
        return measured.reason if isinstance(measured, Failure) else ""

    def close(self) -> None:
        """Release threads and connections."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        while not self._idle.empty():
            self._idle.get().close()

    def _refused(
        self, asks: Collection[Ask], granted: Mapping[Any, str], times: Sequence[float]
    ) -> dict[Ask, Sequence[Measured]]:
        """Say of these that they were too many."""
        limit = f"{self._endpoint.name} is asked no more than {MAX_QUERIES} different queries at a time"
        told = f"{limit}, {held(granted)}; workloads that share a query cost less" if asks else ""
        return {ask: [Failure(told, at) for at in times] for ask in asks}

    def _single(self, ask: QueryAsk | HistoryAsk) -> _Question:
        """The query of one ask; raises ConfigError where it cannot be read."""
        if isinstance(ask, QueryAsk):
            text, read = ask.text, read_one
        else:
            text, read = f"count({self._endpoint.up_selector} offset {ask.seconds:.0f}s)", read_history
        return _Question(enforce(text, self._endpoint.matchers), (ask,), partial(read, ask))

    def _grouped(self, asks: Sequence[SignalAsk], times: Sequence[float]) -> Iterator[_Question]:
        """The queries of all signals, each small enough to be answered within half of what is allowed."""
        ask_bytes = len(STATS) * (_ROW_BYTES + _POINT_BYTES * len(times))
        size = max(1, min(self._endpoint.max_bytes // (2 * ask_bytes), self._endpoint.max_series // (2 * len(STATS))))
        for grouped in group(asks, self._endpoint.dialect, size, exact=len(times) > 1):
            read = partial(read_grouped, grouped, stale_after=self._endpoint.stale_after)
            yield _Question(grouped.text, tuple(grouped.asks), read)

    def _answers(self, questions: Sequence[_Question], times: Sequence[float]) -> dict[Ask, Sequence[Measured]]:
        """Ask all at once; what is not there in time is cut off."""
        self._open()
        running: dict[_Question, Connection] = {}
        asked: dict[Future[Measurements], _Question] = {
            self._pool.submit(self._ask, question, times, running): question for question in questions
        }
        done, late = wait(asked, timeout=self._endpoint.timeout * _GRACE)
        for future in late:
            future.cancel()
        for connection in list(running.values()):
            connection.cut()
        measured = {ask: found for future in done for ask, found in future.result().items()}
        for future in late:
            measured |= self._failed(asked[future], f"gives no answer within {seconds(self._endpoint.timeout)}", times)
        return measured

    def _ask(self, question: _Question, times: Sequence[float], running: dict[_Question, "Connection"]) -> Measurements:
        connection = running[question] = self._idle.get()
        try:
            return question.read(connection.ask(question.text, times, f"{self._endpoint.name}: {question.text}"))
        except ScalerError as error:
            return self._failed(question, str(error), times, final=isinstance(error, ConfigError))
        finally:
            del running[question]
            self._idle.put(connection)

    def _failed(
        self, question: _Question, reason: str, times: Sequence[float], *, final: bool = False
    ) -> dict[Ask, Sequence[Measured]]:
        told = f"{self._endpoint.name} ({self._endpoint.address}) {reason}"
        failures = [Failure(told, at, final, f"{self._endpoint.name}: {question.text}") for at in times]
        return dict.fromkeys(question.asks, failures)

    def _open(self) -> None:
        from scaler.sources.prometheus.api import Connection  # noqa: PLC0415 - 150 ms, spent on first use

        if not self._opened:
            self._opened = True
            for _ in range(CONNECTIONS):
                self._idle.put(Connection(self._endpoint))
