"""Prometheus, and whatever speaks its query API: Thanos, Mimir, VictoriaMetrics, managed ones.

One tick is one batch: every distinct query is sent once, a few at a time, all within one time-out. A query that fails
fails alone, with its reason; nothing is tried again before the next tick.

A query of the catalogue serves many namespaces, and one of them may break it for all: by a label value, by series that
do not fit together, by a million of them. So a shared query that the server refuses, or whose answer is odd, is asked
again in halves until the culprit is alone (`sources/prometheus/apart.py`): the others are measured in the same tick.
"""

import logging
import re
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from queue import LifoQueue
from typing import TYPE_CHECKING, Any

from scaler.config.endpoint import Endpoint
from scaler.config.naming import Naming, check
from scaler.config.promql import enforce, insert
from scaler.config.signals import find
from scaler.model.errors import ConfigError, QueryError, ScalerError, SlowError, SourceError
from scaler.model.fields import seconds
from scaler.model.measurement import (
    NO_NAMESPACES,
    Failure,
    HistoryProbe,
    Measurement,
    PromqlQuery,
    Query,
    Reading,
    SignalQuery,
)
from scaler.sources.fair_share import share_text, shared
from scaler.sources.late import IMPORTING
from scaler.sources.prometheus.answers import (
    QueryResult,
    has_aliens,
    has_bounds,
    has_copies,
    is_crowded,
    is_federated,
    is_forked,
    quiet_pods,
    read_grouped,
    read_history,
    read_labels_of_targets,
    read_one,
    together,
)
from scaler.sources.prometheus.apart import Apart
from scaler.sources.prometheus.batch_query import BatchQuery, group, shape
from scaler.sources.prometheus.capabilities import (
    labels_of_targets,
    question_about_the_targets,
    questions_about_the_language,
    targets_of_clusters,
    targets_of_note,
)
from scaler.sources.prometheus.identity import ANOTHER, OfAnotherKind, named, own
from scaler.sources.prometheus.missing import question_about, what_there_is
from scaler.sources.prometheus.selectors import joined
from scaler.sources.prometheus.signal_promql import STATS

if TYPE_CHECKING:
    from scaler.sources.prometheus.api import Connection

logger = logging.getLogger(__name__)

CONNECTIONS = 4  # more did not make a tick faster (1,000 queries to a server of 2 cores)
MAX_QUERIES = 2000  # of one tick: more than a time-out of 2 s ever held, and writing more would delay these; shared
MAX_HINTS = 4  # of one tick: workloads of which it is asked what there is instead of what is missing
HINT_FOR = 60.0  # seconds for which that is not asked again
MAX_HALVINGS = 64  # of one tick: where all questions fail, it is not for what a part of them says
LOOK_EVERY = 15.0  # seconds from one look at the targets to the next
TARGETS_LAST = 300.0  # seconds for which what was seen of them is believed, where they cannot be looked at
MAX_TIMES = 10_000  # of one query; Prometheus refuses more than 11,000
_ROW_BYTES = 250  # of a row in an answer, with its labels
_POINT_BYTES = 40  # of a value in it, with its time
_GRACE = 1.1  # the connections' own time-outs know more than ours, so they come first

_PUTS_TOGETHER = ("has_portless", "has_copies", "has_turns")  # of what is found of the targets: it changes what adds up
_ABOUT_DATA = "PromQL warning"  # how the server's warnings about somebody's series begin
_SHOWN = 300  # characters of what went wrong that are shown

_SENDABLE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")

Measurements = Mapping[Query, Sequence[Measurement]]


@dataclass(frozen=True, slots=True, eq=False)
class _Question:
    """One query, and how its answer is read."""

    parts: Sequence[str]  # it is asked in these, one after the other, where it is too long for some servers
    queries: Sequence[Query]
    read: Callable[[QueryResult, Sequence[Query], QueryResult | None], Measurements]  # what it says of some of them
    second: Callable[[QueryResult], str] = lambda _answer: ""  # what has to be asked too, if the answer says so

    @property
    def text(self) -> str:
        """The whole, as it is shown."""
        return joined(self.parts)

    def ask(self, connection: "Connection", text: str, times: Sequence[float], source: str) -> QueryResult:
        """Ask a part of it, or more about it, and see that the answer is to that; raises ScalerError if there is none.

        What is no query of the catalogue is asked as it was written: it may be a number, which takes no rows besides.
        """
        if not isinstance(self.queries[0], SignalQuery):
            return connection.ask(text, times, source)
        try:
            return own(text, connection.ask(named(text), times, source))
        except OfAnotherKind as error:  # ours all ask for a vector
            raise SourceError(ANOTHER) from error


@dataclass(slots=True)
class _Tick:
    """One fetch while it is under way; its questions are asked from several threads."""

    times: Sequence[float]
    measured: dict[Query, Sequence[Measurement]] = field(default_factory=dict)
    running: dict[_Question, "Connection"] = field(default_factory=dict)
    halvings: int = 0  # questions that were asked again in halves
    answered: bool = False  # whether the server has said anything
    slow: list[list[SignalQuery]] = field(default_factory=list)  # that shared a question which took too long
    over: bool = False  # time is up


class PrometheusSource:
    """One endpoint; see `model.Source`. `fetch` may be called from several threads."""

    def __init__(self, endpoint: Endpoint, clock: Callable[[], float] | None = None) -> None:
        """Take an endpoint; nothing is opened yet.

        Args:
            endpoint: that is asked.
            clock: seconds since the epoch, with which the server's clock is compared; None: it is not.

        Raises:
            ConfigError: its heartbeat is not PromQL, or a header cannot be sent.
        """
        insert(endpoint.up_selector, ['job=""'])
        for header, value in endpoint.headers.items():
            if not _SENDABLE.fullmatch(value):
                raise ConfigError(f"endpoint {endpoint.name}", f"headers.{header}", "holds characters no header can")
        self._endpoint = endpoint
        self._clock = clock
        self._pool = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix=f"prometheus-{endpoint.name}")
        self._idle: LifoQueue[Connection] = LifoQueue()  # the last one used is the likeliest to be still open
        self._opened = False
        self._apart = Apart()
        self._hints: dict[SignalQuery, tuple[float, str]] = {}  # when it was asked what there is, and what was said
        self._target_labels: Mapping[str, frozenset[str]] = {}  # of AMBIGUOUS_LABELS, that all of a namespace's have
        self._found: dict[str, Any] = {}  # fields of Naming: what server and targets were found to be
        self._looked_at: float | None = None  # when that was asked
        self._seen_at: float | None = None  # when it was known last
        self._unseen = "the server has not answered yet"  # why it is not known

    def fetch(
        self, queries: Collection[Query], times: Sequence[float], namespaces: Mapping[Query, str] = NO_NAMESPACES
    ) -> Measurements:
        """Measure every query at every time; see `model.Source.fetch`."""
        if len(times) > MAX_TIMES:
            parts = [
                self.fetch(queries, times[at : at + MAX_TIMES], namespaces) for at in range(0, len(times), MAX_TIMES)
            ]
            whole: dict[Query, Sequence[Measurement]] = {}
            for query in queries:
                whole[query] = [one for part in parts for one in part[query]]
            return whole
        # Whatever is not of the catalogue is a shape of its own.
        shapes = {query: shape(query) if isinstance(query, SignalQuery) else query for query in queries}
        granted = shared(((namespaces.get(query, ""), shape_) for query, shape_ in shapes.items()), MAX_QUERIES)
        measured = self._refused([query for query, shape_ in shapes.items() if shape_ not in granted], granted, times)
        questions: list[_Question] = []
        for query in [query for query in shapes if query not in measured]:
            try:
                if isinstance(query, SignalQuery):
                    check(query)
                else:
                    questions.append(self._single(query))
            except ConfigError as error:
                measured[query] = [
                    Failure(str(error), at, config_error=True, source=self._endpoint.name) for at in times
                ]
        signals = [query for query in shapes if isinstance(query, SignalQuery) and query not in measured]
        if signals:
            self._look_at_targets(times[-1])
        unseen, asked_with = self._what_is_not_known(times[-1]) if signals else "", self._what_adds_up()
        measured |= self._resting(signals, times)
        questions += self._grouped([query for query in signals if query not in measured], times)
        turns = {shape_: turn for turn, shape_ in enumerate(granted)}  # time may be too short for the last ones
        questions.sort(key=lambda one: (self._apart.blamed(one.queries), turns[shapes[one.queries[0]]]))
        # The cheapest comes first, so that a server that answers nothing is told from questions that take long.
        first = next((one for one in questions if isinstance(one.queries[0], HistoryProbe)), None)
        questions.sort(key=lambda one: one is not first)
        measured |= self._answers(questions, times)
        seen_since = not self._what_is_not_known(times[-1]) and self._what_adds_up() == asked_with
        if unseen and not seen_since:
            for query in signals:
                measured[query] = [_doubted(one, unseen) for one in measured[query]]
        return measured if len(times) > 1 else measured | self._with_hints(measured, times[0])

    def _with_hints(
        self, measured: Mapping[Query, Sequence[Measurement]], at: float
    ) -> dict[Query, Sequence[Measurement]]:
        """Say of what is missing what there is instead; a few are asked about at a time, and not again for a while."""
        missing = [
            query for query, told in measured.items() if isinstance(query, SignalQuery) and _is_missing(query, told[0])
        ]
        keys = {query: replace(query, target_pods=None) for query in missing}
        self._hints = {key: hint for key, hint in self._hints.items() if 0 <= at - hint[0] < HINT_FOR}
        new = [key for key in dict.fromkeys(keys.values()) if key not in self._hints][:MAX_HINTS]
        self._hints.update((key, (at, "")) for key in new)  # whatever comes of it
        wait([self._pool.submit(self._hint, key, at) for key in new], timeout=self._endpoint.timeout / 2)
        hinted: dict[Query, Sequence[Measurement]] = {}
        for query, key in keys.items():
            reading, (_, hint) = measured[query][0], self._hints.get(key, (at, ""))
            if hint and isinstance(reading, Reading):
                hinted[query] = [replace(reading, found_instead=hint)]
        return hinted

    def _hint(self, query: SignalQuery, at: float) -> None:
        """Ask what there is, in a thread; a failure is no matter."""
        connection = self._idle.get()
        try:
            found = connection.ask(question_about(query, self._endpoint.dialect), [at], self._endpoint.name)
            self._hints[query] = at, what_there_is(query, self._endpoint.dialect, [row.labels for row in found.rows])
        except ScalerError:
            logger.debug("what there is instead cannot be asked for", extra={"endpoint": self._endpoint.name})
        finally:
            self._idle.put(connection)

    def trouble(self, now: float) -> str:
        """Ask for a number, and return why there is none, such as a wrong port, or why none can be believed.

        Empty when all is well.
        """
        query = PromqlQuery(self._endpoint.name, "vector(1)")
        (measured,) = self.fetch([query], [now])[query]
        if isinstance(measured, Failure):
            return measured.reason
        doubt = measured.incomplete_reason
        return f"endpoint `{self._endpoint.name}` ({self._endpoint.address}): {doubt}" if doubt else ""

    def close(self) -> None:
        """Release threads and connections."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        while not self._idle.empty():
            self._idle.get().close()

    def _refused(
        self, queries: Collection[Query], granted: Mapping[Any, str], times: Sequence[float]
    ) -> dict[Query, Sequence[Measurement]]:
        """Say of these that they were too many."""
        limit = f"endpoint `{self._endpoint.name}` is asked no more than {MAX_QUERIES} different queries at a time"
        told = f"{limit}, {share_text(granted)}; workloads that share a query cost less" if queries else ""
        failures = [Failure(told, at) for at in times]
        return dict.fromkeys(queries, failures)

    def _resting(self, queries: Sequence[SignalQuery], times: Sequence[float]) -> dict[Query, Sequence[Measurement]]:
        """Say of the queries that were too slow, and have no turn yet, that they are asked more seldom."""
        told = f"gave no answer within {seconds(self._endpoint.timeout)}, and what takes so long is asked more seldom"
        reason = f"endpoint `{self._endpoint.name}` ({self._endpoint.address}) {told}"
        failures = [Failure(reason, at, source=self._endpoint.name) for at in times]
        return dict.fromkeys(self._apart.resting(queries, times[-1]), failures)

    def _single(self, query: PromqlQuery | HistoryProbe) -> _Question:
        """Write the PromQL of one query; raises ConfigError where it cannot be read."""
        read: Callable[[Any, QueryResult], Measurements]
        if isinstance(query, PromqlQuery):
            text, read = query.text, read_one
        else:
            text, read = f"count({self._endpoint.up_selector} offset {query.seconds:.0f}s)", read_history
        text = enforce(text, self._endpoint.matchers)
        return _Question((text,), (query,), lambda answer, _queries, _more: read(query, answer))

    def _grouped(self, queries: Sequence[SignalQuery], times: Sequence[float]) -> Iterator[_Question]:
        """Yield the queries of all signals, each small enough to be answered within half of what is allowed."""
        query_bytes = len(STATS) * (_ROW_BYTES + _POINT_BYTES * len(times))
        size = max(1, min(self._endpoint.max_bytes // (2 * query_bytes), self._endpoint.max_series // (2 * len(STATS))))
        for place, some in self._apart.parts(queries, times[-1]).items():
            # Once somebody was found to break a query, all are named in it, so that nobody else's series are read.
            exact = len(times) > 1 or bool(place)
            for dialect, alike in self._by_dialect(some):
                for grouped in group(alike, dialect, size, exact=exact):
                    yield self._question(grouped)

    def _by_dialect(self, queries: Sequence[SignalQuery]) -> Iterator[tuple[Naming, list[SignalQuery]]]:
        """Yield queries by what the targets of their namespace have: a stranger's target says nothing of others."""
        everywhere = frozenset.intersection(*self._target_labels.values()) if self._target_labels else frozenset()
        found: dict[frozenset[str], list[SignalQuery]] = {}
        for query in queries:
            namespace = dict(query.labels).get("namespace", "")
            own = self._target_labels.get(namespace, self._target_labels.get("", everywhere))
            is_of_scrape = dict(find(query.engine, query.signal).label_names).get("namespace") == "namespace"
            found.setdefault(own if is_of_scrape else everywhere, []).append(query)
        for labels, some in found.items():
            yield self._dialect(labels), some

    def _dialect(self, labels: Collection[str]) -> Naming:
        """Return what the endpoint calls things, where all targets have these labels of AMBIGUOUS_LABELS."""
        dialect, ambiguous = self._endpoint.dialect, tuple(sorted(labels))
        return replace(dialect, scrape=(*dialect.scrape, *ambiguous), ambiguous=ambiguous, **self._found)

    def _question(self, grouped: BatchQuery) -> _Question:
        def read(answer: QueryResult, queries: Sequence[Query], second: QueryResult | None) -> Measurements:
            some = {query: key for query, key in grouped.queries.items() if query in queries}
            return read_grouped(replace(grouped, queries=some), answer, second, stale_after=self._endpoint.stale_after)

        def second(answer: QueryResult) -> str:
            quiet = quiet_pods(grouped, answer)
            more = (
                grouped.unclear if is_crowded(grouped, answer) else "",
                grouped.copies if has_copies(answer) else "",
                grouped.aliens if has_aliens(answer) else "",
                grouped.bounds if has_bounds(answer) else "",
                grouped.forked if is_forked(answer) else "",
                grouped.silent(quiet) if grouped.silent and quiet else "",
            )
            return joined(filter(None, more))

        return _Question(grouped.parts, tuple(grouped.queries), read, second)

    def _look_at_targets(self, now: float) -> None:
        """Ask now and then which labels all targets have, and what PromQL the server knows.

        As long as there is no answer, it is what it was before; for that to be certain it must have been seen of late.
        """
        if self._looked_at is not None and 0 <= now - self._looked_at < LOOK_EVERY:
            return
        self._looked_at = now
        self._open()
        wait([self._pool.submit(self._read_target_labels, now)], timeout=self._endpoint.timeout / 4)

    def _what_is_not_known(self, now: float) -> str:
        """Say why it is not known what the targets are: what pages, scrapes and copies of them are to each other."""
        if self._seen_at is not None and abs(now - self._seen_at) <= TARGETS_LAST:
            return ""
        return f"which targets there are is not known, so nothing tells what counts once ({self._unseen})"

    def _what_adds_up(self) -> object:
        """Return what is known of the targets that changes how series are put together, and no more than is known."""
        labels = {namespace: found for namespace, found in self._target_labels.items() if found}
        return labels, {what for what in _PUTS_TOGETHER if self._found.get(what)}, self._found.get("clusters") or ()

    def _read_target_labels(self, now: float) -> None:
        connection = self._idle.get()
        try:
            answer = connection.ask(labels_of_targets(self._endpoint.dialect), [now], "")
            self._target_labels = read_labels_of_targets(answer, self._endpoint.dialect.name("namespace"))
            self._look_at_all_targets(connection, now)
            for what, text in questions_about_the_language(self._endpoint.matchers).items():
                self._found[what] = _is_understood(connection, text, now)
            self._seen_at = now
        except ScalerError as error:
            self._unseen = str(error)
            self._looked_at = None if self._looked_at == now else self._looked_at
        finally:
            self._idle.put(connection)

    def _look_at_all_targets(self, connection: "Connection", now: float) -> None:
        """Ask what is true of any target, all in one; and each by itself, where the server refuses one of them.

        Raises:
            SourceError: there is no answer.
        """
        dialect = self._endpoint.dialect
        about, clusters = targets_of_note(dialect), targets_of_clusters(dialect)
        true = self._true_of_targets(connection, {**about, **clusters}, now)
        self._found |= {what: what in true for what in about}
        self._found["clusters"] = tuple(label for label in clusters if label in true)

    def _true_of_targets(self, connection: "Connection", about: Mapping[str, str], now: float) -> set[str]:
        """Name what there is a target for; what the server refuses to tell is taken for what no target is."""
        try:
            answer = connection.ask(question_about_the_targets(about), [now], "")
        except (ConfigError, QueryError) as error:
            if len(about) > 1:
                one_by_one = (self._true_of_targets(connection, {what: text}, now) for what, text in about.items())
                return set().union(*one_by_one)
            told = {"endpoint": self._endpoint.name, "question": ", ".join(about), "problem": str(error)}
            logger.debug("the server does not tell what its targets are", extra=told)
            return set()
        return {row.labels.get("is", "") for row in answer.rows}

    def _answers(self, questions: Sequence[_Question], times: Sequence[float]) -> dict[Query, Sequence[Measurement]]:
        """Ask all at once; what is not there in time is cut off."""
        self._open()
        tick = _Tick(times)
        asked: dict[Future[None], _Question] = {
            self._pool.submit(self._begin, question, tick): question for question in questions
        }
        _, late = wait(asked, timeout=self._endpoint.timeout * _GRACE)
        tick.over = True
        slow = [asked[future] for future in late if not future.cancel()]
        for connection in list(tick.running.values()):
            connection.cancel()
        measured = dict(tick.measured)
        told = f"gives no answer within {seconds(self._endpoint.timeout)}"
        for question in (asked[future] for future in late):
            missing = [query for query in question.queries if query not in measured]
            measured |= self._failed(question, told, times, queries=missing)
        if tick.answered:  # so it is the question that takes long, and not the server
            for question in slow:
                self._apart.slow(_shared(question, but=tick.measured), told, times[-1])
            for queries in tick.slow:
                self._apart.slow(queries, told, times[-1])
        return measured

    def _begin(self, question: _Question, tick: _Tick) -> None:
        """Ask a question on a connection of its own, and put what was measured into `tick`."""
        connection = tick.running[question] = self._idle.get()
        try:
            waiting = deque([question])
            while waiting and not (tick.over and waiting[0] is not question):
                waiting.extend(self._ask(waiting.popleft(), tick, connection))  # the halves after what is as large
        finally:
            del tick.running[question]
            self._idle.put(connection)

    def _ask(self, question: _Question, tick: _Tick, connection: "Connection") -> list[_Question]:
        """Ask; what the server has something against may be about a part of it, so its halves are to be asked then."""
        source = f"{self._endpoint.name}: {question.text}"
        try:
            answer = together([question.ask(connection, part, tick.times, source) for part in question.parts])
            more = question.second(answer)
            second = question.ask(connection, more, tick.times[-1:], source) if more else None
        except ScalerError as error:
            tick.answered |= isinstance(error, ConfigError | QueryError)
            parts = self._halves(question, tick, str(error)) if isinstance(error, ConfigError | QueryError) else []
            if not parts:
                final = isinstance(error, ConfigError) and len(question.queries) == 1  # of several it may be another's
                tick.measured |= self._failed(question, str(error), tick.times, final=final)
            if isinstance(error, SlowError):
                tick.slow.append(_shared(question))
        else:
            tick.answered = True
            self._apart.in_time(question.queries)
            parts = self._halves(question, tick, answer.warning) if answer.warning.startswith(_ABOUT_DATA) else []
            if is_federated(answer):  # nobody knew that: from now on it is known
                self._found |= {"has_federated": True}
                parts = parts or list(self._grouped(_shared(question), tick.times))
            if not parts:
                tick.measured |= self._read(question, answer, second)
        return parts

    def _halves(self, question: _Question, tick: _Tick, problem: str) -> list[_Question]:
        """Cut a question in two, each of which names whom it is about; none where it cannot be cut any further."""
        queries = _shared(question)
        if tick.over or tick.halvings >= MAX_HALVINGS or not self._apart.halve(queries, problem, tick.times[-1]):
            return []
        tick.halvings += 1
        return list(self._grouped(queries, tick.times))

    def _read(self, question: _Question, answer: QueryResult, second: QueryResult | None) -> Measurements:
        """Read an answer; what is odd in it fails for those whom it is about."""
        try:
            return question.read(answer, question.queries, second)
        except Exception as error:
            logger.warning("an answer is odd", exc_info=error, extra={"endpoint": self._endpoint.name})
        measured: dict[Query, Sequence[Measurement]] = {}
        for query in question.queries:
            try:
                measured |= question.read(answer, (query,), second)
            except Exception as error:  # noqa: BLE001 - numbers and labels of strangers may be anything
                told = f"answers with series that cannot be read ({type(error).__name__}: {error})"[:_SHOWN]
                measured |= self._failed(question, told, answer.times, queries=(query,))
        return measured

    def _failed(
        self,
        question: _Question,
        reason: str,
        times: Sequence[float],
        *,
        final: bool = False,
        queries: Sequence[Query] | None = None,
    ) -> dict[Query, Sequence[Measurement]]:
        told = f"endpoint `{self._endpoint.name}` ({self._endpoint.address}) {reason}"
        failures = [Failure(told, at, final, f"{self._endpoint.name}: {question.text}") for at in times]
        return dict.fromkeys(question.queries if queries is None else queries, failures)

    def _open(self) -> None:
        with IMPORTING:
            from scaler.sources.prometheus.api import Connection  # noqa: PLC0415 - 150 ms, spent on first use

            if not self._opened:
                self._opened = True
                for _ in range(CONNECTIONS):
                    self._idle.put(Connection(self._endpoint, self._clock))


def _is_understood(connection: "Connection", text: str, now: float) -> bool:
    """Say whether a server takes a query; raises SourceError where it says nothing of that."""
    try:
        connection.ask(text, [now], "")
    except (ConfigError, QueryError):
        return False
    return True


def _doubted(measured: Measurement, doubt: str) -> Measurement:
    """Doubt what was measured without knowing what the targets are."""
    if isinstance(measured, Failure) or measured.answered is None:  # that of an object is told by no pod
        return measured
    return replace(measured, incomplete_reason="; ".join(filter(None, (doubt, measured.incomplete_reason))))


def _is_missing(query: SignalQuery, reading: Measurement) -> bool:
    """Tell whether there is no such series, and it would help to know what there is instead."""
    nobody = query.target_pods is not None and not query.target_pods.ready
    absent = isinstance(reading, Reading) and reading.value is None and not reading.answered
    return absent and not nobody and find(query.engine, query.signal).scope != "object"


def _shared(question: _Question, but: Collection[Query] = ()) -> list[SignalQuery]:
    """List the queries of the catalogue that share a question."""
    return [query for query in question.queries if isinstance(query, SignalQuery) and query not in but]
