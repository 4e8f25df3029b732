"""Metrics pages that are read directly, for those who have no Prometheus or want seconds.

Pages that the settings list are read at every tick of anybody's. What is the target's own is read on its own pods where
the endpoint says `pods`: their addresses come with the question, from Kubernetes, so that nobody can name another's.
Each page has a time-out of its own, and ticks that come together share one reading of it.

Gauges are what the pages say now; rates and quantiles are over what was read before, within their window. The past is
not kept beyond that: a time before now is a failure, so a workload that is new here may at first only rise.

A listed page, and a ready pod, must answer; `own_pods` in `cluster/view.py` says which pods are meant. What is not
listed any more is gone: a file of pages, which is read again whenever it changes, says which replicas there are.

Pages are read by coroutines in an event loop of their own, where all that is remembered of them is kept too: nothing of
it needs a lock. What they said is measured in the thread that asks, so that nobody's reading waits for that; and a page
of more than `QUICK` bytes is parsed in a thread, so that one which was made to be long takes no time from others'.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

from scaler.config.endpoint import Endpoint, Page
from scaler.config.signals import Signal, find, offered
from scaler.model.errors import SourceError
from scaler.model.fields import seconds
from scaler.model.measurement import (
    NO_NAMESPACES,
    Failure,
    HistoryProbe,
    Measurement,
    PodAddress,
    PromqlQuery,
    Query,
    Reading,
    SignalQuery,
    TargetPods,
)
from scaler.sources.credentials import authorization
from scaler.sources.fair_share import share_text, shared
from scaler.sources.http import OPEN_METRICS, QUICK, PageClient, tls_context
from scaler.sources.loop import LoopThread
from scaler.sources.names import Names
from scaler.sources.pages.aggregate import measure
from scaler.sources.pages.counters import PROCESS, SAME_START, Counters, process_start
from scaler.sources.pages.discovery import Addresses, Lists
from scaler.sources.pages.exposition import MILLISECONDS, Sample, metric_names, other_format, scan
from scaler.sources.pages.names import counted, counted_from_birth, is_of, wanted
from scaler.sources.pages.other_ports import with_other_ports
from scaler.sources.pages.pods import PageResult
from scaler.sources.pages.targets import other_pages, pod_pages

READERS = 16  # pages that are read at once
SLOW_READERS = 8  # likewise, of those that were not there in time when they were read last
LONG = 4.0  # seconds; where pages may take longer, a tick does not wait for all of them
PATIENCE = 2.0  # seconds that it waits then; what comes later serves a later tick
UNASKED = 30.0  # seconds for which a page is left alone that need not be there and never was
FORGOTTEN = 3600.0  # seconds after which nobody asks for a signal any more; the longest interval is ten minutes
LEFT = 660.0  # seconds after which a pod that nobody asks about is gone; likewise
SHARED = 0.4  # seconds for which a reading serves other ticks too; the shortest interval is a second
MAX_WINDOWS = 16  # of different length, of all workloads together; shared among their namespaces
MAX_PODS = 5_000  # pages of pods that are kept at a time; likewise

_GRACE = 1.1  # the pages' own time-outs know more than ours, so they come first


class ScrapeSource:
    """One endpoint of pages; see `model.Source`. `fetch` may be called from several threads.

    Args:
        endpoint: with pages of some kind.
        clock: seconds since the epoch.
        addresses: the ready addresses behind a Service; see `ClusterCache.addresses`.
        steady: seconds since whenever, which nobody sets; None: those of `clock`. Rates are told by it.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        clock: Callable[[], float],
        addresses: Addresses | None = None,
        steady: Callable[[], float] | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._clock, self._steady = clock, steady or clock
        self._loop = LoopThread(f"pages-{endpoint.name}")
        self._names = Names(endpoint.name)
        self._lists = Lists(endpoint, addresses or _no_cluster, self._names)
        self._client: PageClient | None = None  # from the first page on
        self._turns, self._slow_turns = asyncio.Semaphore(READERS), asyncio.Semaphore(SLOW_READERS)
        self._listed: dict[Page, _Reader] = {}
        self._pods: dict[Page, _Reader] = {}
        self._pages_of = lru_cache(2 * MAX_PODS)(partial(pod_pages, endpoint=endpoint))
        self._interest = _Interest(apart=endpoint.pods is not None)
        self._began: float | None = None  # by the steady clock, since when there is nothing to read that was never read

    def fetch(
        self, queries: Collection[Query], times: Sequence[float], namespaces: Mapping[Query, str] = NO_NAMESPACES
    ) -> Mapping[Query, Sequence[Measurement]]:
        """Measure every query now, for the newest of the times; see `model.Source.fetch`."""
        signals = [query for query in queries if isinstance(query, SignalQuery) and query.reduce is None]
        at, name = times[-1], self._endpoint.name
        look = self._loop.run(self._look(signals, namespaces))
        measured = self._signals(signals, look, at)
        for query in queries:
            if isinstance(query, PromqlQuery):
                problem = "reads metrics pages, which know no PromQL; use a signal, or an endpoint with a Prometheus"
                measured[query] = Failure(f"endpoint `{name}` {problem}", at, config_error=True, source=name)
            elif isinstance(query, SignalQuery) and query.reduce:
                problem = "reads metrics pages, which know a gauge as it is now; use `over` instead of `window`"
                measured[query] = Failure(
                    f"endpoint `{name}` {problem}, or an endpoint with a Prometheus", at, True, name
                )
            elif isinstance(query, HistoryProbe):
                old = look.known_for is not None and look.known_for >= query.seconds
                measured[query] = Reading(1.0 if old else None, at, source=name)
        past = f"endpoint `{name}` reads metrics pages, which know nothing of the past"
        before = [Failure(past, time, source=name) for time in times[:-1]]
        return {query: [*before, one] for query, one in measured.items()}

    def trouble(self, now: float) -> str:
        """Return why pages cannot be read as the settings want it; empty when they can, as far as files tell.

        Pages are asked when a workload needs them: until then it is not known which these are.
        """
        try:
            authorization(self._endpoint)
            tls_context(self._endpoint, known=True)
            self._loop.run(self._lists.pages(now))
        except SourceError as error:
            return f"endpoint `{self._endpoint.name}`: {error}"
        return ""

    def close(self) -> None:
        """Release threads and connections."""
        self._names.close()
        self._loop.close(self._end())

    async def _end(self) -> None:
        for reader in (*self._listed.values(), *self._pods.values()):
            reader.close()
        if self._client:
            await self._client.close()

    # ---- what was read, to signals ----

    def _signals(self, queries: Collection[SignalQuery], look: "_Look", at: float) -> dict[Query, Measurement]:
        name, dialect = self._endpoint.name, self._endpoint.dialect
        own: list[SignalQuery] = []
        others: list[SignalQuery] = []
        for query in queries:
            (own if self._on_pods(query) else others).append(query)
        measured: dict[Query, Measurement] = {}
        measured.update(measure(others, look.listed, dialect, at, look.at, name).items())
        if look.doubt:
            measured = {query: _doubted(one, look.doubt) for query, one in measured.items()}
        measured.update(
            measure([query for query in own if query.target_pods], look.pods, dialect, at, look.at, name).items()
        )
        unknown = "Kubernetes has not said which these are; or it is another's model"
        nobody = Failure(f"endpoint `{name}` reads the target's own pods, and {unknown}", at, source=name)
        measured.update((query, nobody) for query in own if not query.target_pods)
        of_each = share_text(look.windows)
        limit = f"endpoint `{name}` keeps no more than {MAX_WINDOWS} windows of different length, {of_each}"
        full = Failure(limit, at, source=name)
        measured.update((query, full) for query in queries if query.window and query.window not in look.windows)
        return measured

    def _on_pods(self, query: SignalQuery) -> bool:
        """Tell whether it is measured on the target's own pods, and not on what is listed."""
        signal = _signal(query)
        return self._endpoint.pods is not None and signal is not None and signal.scope == "target"

    # ---- pages ----

    async def _look(self, queries: Sequence[SignalQuery], namespaces: Mapping[Query, str]) -> "_Look":
        """Read all that is listed, and the own pods that are asked about, as far as that was not done just now."""
        now, steady = self._clock(), self._steady()
        listed = await self._lists.pages(now)
        own = [query for query in queries if query.target_pods and self._on_pods(query)]
        self._interest.note(queries, namespaces, now)
        pages, problems = self._own_pages(own)
        on_list, on_pods = self._keep(listed.pages, pages, now)
        self._require(on_pods, own)
        await self._read([*on_list, *on_pods], now)
        if self._began is None and (not (on_list or on_pods) or any(one.good for one in (*on_list, *on_pods))):
            self._began = steady
        return _Look(
            at=now,
            known_for=None if self._began is None else steady - self._began,
            windows=self._interest.windows,
            listed=[*(reader.visit() for reader in on_list), *(_unread(page, why) for page, why in listed.unsure)],
            pods=[*_of_pods(on_pods), *problems],
            doubt=listed.incomplete_reason,
        )

    def _own_pages(self, queries: Iterable[SignalQuery]) -> tuple[list[Page], list[PageResult]]:
        """List the pages of the pods that are asked about, and what is wrong with the others."""
        wishes: list[tuple[str, Page]] = []
        problems: list[PageResult] = []
        places = {
            (place, find(query.engine, query.signal).default_metrics_endpoint)
            for query in queries
            if query.target_pods
            for place in query.target_pods.addresses
        }
        for place, usual in sorted(places, key=lambda pair: (pair[0].namespace, pair[0].name)):
            pages, problem = self._pages_of(place, usual)
            if problem:
                problems += [_unread(page, problem) for page in pages]
            else:
                wishes += [(place.namespace, page) for page in (*pages, *other_pages(place, pages, self._endpoint))]
        granted = shared(wishes, MAX_PODS)
        limit = f"endpoint `{self._endpoint.name}` reads no more than {MAX_PODS} pages of pods, {share_text(granted)}"
        problems += [_unread(page, limit) for _, page in wishes if page not in granted]
        return list(granted), problems

    def _keep(
        self, listed: Sequence[Page], pods: Sequence[Page], now: float
    ) -> tuple[list["_Reader"], list["_Reader"]]:
        """Keep readers of these pages; those of others are let go, of pods after nobody has asked for long."""
        for page in self._listed.keys() - set(listed):
            self._listed.pop(page).close()
        for page in pods:
            self._pods.setdefault(page, _Reader(page, self._endpoint)).wanted_at = now
        left = [page for page, reader in self._pods.items() if not 0 <= now - reader.wanted_at <= LEFT]
        kept = sorted(self._pods.keys() - set(left), key=lambda page: self._pods[page].wanted_at)
        for page in (*left, *kept[:-MAX_PODS]):
            self._pods.pop(page).close()
        on_list = [self._listed.setdefault(page, _Reader(page, self._endpoint)) for page in listed]
        return on_list, [self._pods[page] for page in dict.fromkeys(pods)]

    def _require(self, readers: Iterable["_Reader"], queries: Iterable[SignalQuery]) -> None:
        """Note which of the pods' pages have to be there."""
        namespace, pod = (self._endpoint.dialect.name(label) for label in ("namespace", "pod"))
        must = {
            (place.namespace, place.name)
            for query in queries
            if query.target_pods
            for place in _ready(query.target_pods)
        }
        for reader in readers:
            ready = (reader.page.labels[namespace], reader.page.labels[pod]) in must
            reader.required = ready and not reader.page.tried

    async def _read(self, readers: Sequence["_Reader"], now: float) -> None:
        """Read what is due, some at a time and what was slow apart; what is not there in time is cut off.

        Where a page may take longer than a tick waits, it is read on meanwhile, and not asked again before it answers.
        """
        try:
            headers: dict[str, str] | str = {**self._endpoint.headers, **authorization(self._endpoint)}
        except SourceError as error:
            headers = str(error)
        due = {reader: self._interest.pods if reader.page.of_pod else self._interest.listed for reader in readers}
        for reader, sought in sorted(due.items(), key=lambda pair: pair[0].slow):
            if reader.due(sought, now):
                reader.begun, reader.had_turn = (now, sought), False
                reader.under_way = asyncio.create_task(self._visit(reader, sought, headers, now))
        awaited = {reader.under_way: reader for reader in readers if reader.under_way and not reader.in_vain}
        if not awaited:
            return
        patience = PATIENCE if self._endpoint.timeout > LONG else self._endpoint.timeout
        done, late = await asyncio.wait(awaited, timeout=patience * _GRACE)
        for task in late:
            awaited[task].slow |= awaited[task].had_turn
        cut = [task for task in late if not self._may_take_longer(awaited[task])]
        for task in cut:
            task.cancel()
        await asyncio.gather(*cut, return_exceptions=True)
        for task in done:
            if not task.cancelled():
                task.result()

    def _may_take_longer(self, reader: "_Reader") -> bool:
        """Tell whether a page has time beyond this tick."""
        ran = self._clock() - (reader.begun[0] if reader.begun else 0.0)
        return self._endpoint.timeout > LONG and 0 <= ran < self._endpoint.timeout * _GRACE

    async def _visit(self, reader: "_Reader", wanted: "_Wanted", headers: dict[str, str] | str, now: float) -> None:
        """Read one page when it is its turn."""
        async with self._slow_turns if reader.slow else self._turns:
            self._client = self._client or PageClient(
                self._endpoint, self._names, at_once=READERS + SLOW_READERS, per_host=READERS
            )
            reader.had_turn, turn = True, self._steady()
            try:
                found = await reader.read(self._client, wanted.names, headers)
            except asyncio.CancelledError:
                reader.take(reader.late, wanted, now, turn)
                raise
        reader.take(found, wanted, now, turn)
        failed_again = reader.slow and isinstance(found, str)
        reader.slow = failed_again or found == reader.late or self._steady() - turn > PATIENCE


@dataclass(frozen=True, slots=True)
class _Look:
    """The pages at one look, and what they said."""

    at: float
    known_for: float | None  # seconds since there is nothing to read that was never read
    windows: Mapping[float, str]  # that rates are known over, and whose each is
    listed: Sequence[PageResult]
    pods: Sequence[PageResult]
    doubt: str  # why the list of pages is not believed


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The names that are looked for on a page."""

    names: frozenset[str] = frozenset()
    flows: frozenset[str] = frozenset()  # of these, the counters
    windows: frozenset[float] = frozenset()  # over which their rates are kept
    from_birth: frozenset[str] = frozenset()  # of these counters, those whose new series began at 0


class _Reader:
    """One page, and what is remembered of it."""

    def __init__(self, page: Page, endpoint: Endpoint) -> None:
        self.page = page
        self.begun: tuple[float, _Wanted] | None = None  # the newest reading
        self.under_way: asyncio.Task[None] | None = None  # the same
        self.had_turn = False  # whether it was more than waited for
        self.slow = False  # whether it was not there in time, though it had its turn
        self.required = True  # whether it has to be there
        self.wanted_at = 0.0
        pod = page.labels.get(endpoint.dialect.name("pod")) if page.of_pod else None
        self._who = f"{pod} at {page.address}" if pod else page.address
        self._endpoint = endpoint
        self._counters = Counters()
        self._samples: Mapping[str, Sequence[Sample]] = {}
        self._lost: Mapping[str, Sequence[Sample]] = {}  # what it had, of names that it has nothing of now
        self._lost_before: frozenset[str] = frozenset()  # of these, the names that a process had which has ended since
        self._failed = False  # since it answered last
        self._names: frozenset[str] = frozenset()  # of what is on it, where nothing of what is wanted is
        self._ended: float | None = None  # the newest reading that did
        self._problem = ""  # of that one
        self._read_at: float | None = None  # when it answered
        self._counted_at = 0.0  # the same, by a clock that nobody sets

    def due(self, wanted: _Wanted, now: float) -> bool:
        """Tell whether it has to be read: nobody is reading it, and nobody just has, looking for the same."""
        if self.under_way and not self.under_way.done():
            return False
        seen = self.useful if self.page.tried else self._read_at is not None
        if not self.required and not seen and self.begun and 0 <= now - self.begun[0] < UNASKED:
            return False
        return self.begun is None or self.begun[1] != wanted or not 0 <= now - self.begun[0] < SHARED

    async def read(
        self, client: PageClient, names: Collection[str], headers: dict[str, str] | str
    ) -> list[Sample] | str:
        """Read the page; an error is its text.

        Args:
            client: that reads it.
            names: of the samples to look for.
            headers: with the endpoint's credentials, which pods do not get; or why there are none.
        """
        if isinstance(headers, str) and not self.page.of_pod:
            return headers
        try:
            sent = {} if self.page.of_pod or isinstance(headers, str) else headers
            kind, body = await client.read(self.page, sent)
            parsed = partial(self._parse, kind, body, names)
            return await client.in_thread(parsed) if len(body) > QUICK else parsed()
        except SourceError as error:
            return f"{self._who} {error}"
        except ValueError as error:
            return f"{self._who}: {error}"

    def _parse(self, kind: str, body: bytes, names: Collection[str]) -> list[Sample] | str:
        """Read the samples of a page; or say why it is none."""
        found: list[Sample] | str
        try:
            found = scan(body, names, 1.0 if kind == OPEN_METRICS else MILLISECONDS, self._endpoint.max_series)
        except ValueError as error:
            found = f"{self._who}: {error}"
        told = not isinstance(found, str) and any(sample.name != PROCESS for sample in found)
        self._names = metric_names(body) if names and not told else frozenset()
        if not told and (other := other_format(body)):
            return f"{self._who} answers with {other}, which is no page of metrics: is it another port or path?"
        return found

    @property
    def late(self) -> str:
        """The words for it when it is not there in time."""
        return f"{self._who} gives no answer within {seconds(self._endpoint.timeout)}"

    def take(self, found: list[Sample] | str, wanted: _Wanted, now: float, steady: float) -> None:
        """Remember what was read.

        Args:
            found: the samples, or why there are none.
            wanted: what was looked for.
            now: of the tick that it was read for; seconds since the epoch.
            steady: when it was read, by a clock that nobody sets.
        """
        self._ended, self._problem = now, found if isinstance(found, str) else ""
        self._failed |= isinstance(found, str)
        if isinstance(found, str):
            return
        named: dict[str, list[Sample]] = {}
        for sample in found:
            named.setdefault(sample.name, []).append(sample)
        self._note_lost(named, wanted)
        self._samples, self._read_at, self._counted_at, self._failed = named, now, steady, False
        flows = (sample for sample in found if sample.name in wanted.flows)
        self._counters.note(flows, wanted.windows, steady, wanted.from_birth)

    def _note_lost(self, named: Mapping[str, Sequence[Sample]], wanted: "_Wanted") -> None:
        """Note of which names there was something, and is nothing now; what nobody looks for is not missed."""
        had = {**self._lost, **self._samples}
        self._lost = {name: had[name] for name in had.keys() - named.keys() if _is_wanted(name, wanted)}
        before, after = process_start(self._samples), process_start(named)
        began = self._failed if before is None or after is None else after > before + SAME_START
        self._lost_before = self._lost_before & self._lost.keys() if not began else frozenset(self._lost)

    @property
    def useful(self) -> bool:
        """Tell whether it ever had anything that was wanted."""
        return any(name != PROCESS for name in self._samples)

    @property
    def was_useful(self) -> bool:
        """Tell whether it is useful, or has lost what it had."""
        return self.useful or bool(self._lost)

    @property
    def in_vain(self) -> bool:
        """Tell whether it was tried before and had nothing: no tick waits for it."""
        return self.page.tried and self._ended is not None and not self.useful

    @property
    def good(self) -> bool:
        """Tell whether the newest reading is there."""
        return self.begun is not None and self._read_at == self.begun[0]

    def visit(self) -> PageResult:
        """Return what is known of it after its newest reading."""
        ended = self.begun is not None and self._ended == self.begun[0]
        known, long = self._read_at is not None, self._endpoint.timeout > LONG
        slow = self.late
        if long and self.under_way and not self.under_way.done():  # it has time yet, and what it said last serves
            slow = (
                self._problem
                if known
                else f"{self._who} has not answered yet, and may take {seconds(self._endpoint.timeout)}"
            )
        rates = self._counters.seen(self._counted_at)
        return PageResult(
            page=self.page,
            samples=self._samples,
            rates=rates,
            problem=self._problem if ended else slow,
            known=known,
            read_at=self._read_at,
            names=self._names,
            lost=self._lost,
            lost_before=self._lost_before,
            jumping=self._counters.jumping,
        )

    def close(self) -> None:
        """End what is being read."""
        if self.under_way:
            self.under_way.cancel()


def _is_wanted(name: str, wanted: _Wanted) -> bool:
    return name in wanted.names or any(member.endswith("*") and is_of(name, member) for member in wanted.names)


def _wanted(signals: Collection[Signal], windows: frozenset[float]) -> _Wanted:
    """Say what is looked for; beside the signals themselves, who it is that answers."""
    return _Wanted(wanted(signals) | {PROCESS}, counted(signals) | {PROCESS}, windows, counted_from_birth(signals))


class _Interest:
    """The queries of late.

    Args:
        apart: the target's own pods are read for what is theirs, and listed pages for the rest.
    """

    def __init__(self, *, apart: bool) -> None:
        self.listed = self.pods = _Wanted()
        self.windows: Mapping[float, str] = {}  # that are kept, and whose each is
        self._apart = apart
        self._asked: dict[tuple[Signal, float | None, str], float] = {}  # the oldest first

    def note(self, queries: Collection[SignalQuery], namespaces: Mapping[Query, str], now: float) -> None:
        """Note what is asked for, and by whom."""
        fresh = {
            (signal, query.window, namespaces.get(query, "")): now for query in queries if (signal := _signal(query))
        }
        self._asked = {what: at for what, at in self._asked.items() if now - at < FORGOTTEN} | fresh
        self.windows = shared(((owner, window) for _, window, owner in self._asked if window), MAX_WINDOWS)
        kept = frozenset(self.windows)
        own: list[Signal] = []
        rest: list[Signal] = []
        for signal in dict.fromkeys(signal for signal, _, _ in self._asked):
            (own if self._apart and signal.scope == "target" else rest).append(signal)
        self.listed = _wanted(rest, kept)
        self.pods = _wanted(own, kept)


def _of_pods(readers: Sequence[_Reader]) -> list[PageResult]:
    """List what the pages of pods say, and what is more of the same at other ports of theirs."""
    listed = [reader.visit() for reader in readers if not reader.page.tried]
    others = [reader.visit() for reader in readers if reader.page.tried and reader.was_useful]
    return with_other_ports(listed, others)


def _ready(own: TargetPods) -> list[PodAddress]:
    """List where the pods are that must answer."""
    return [place for place in own.addresses if place.name in own.ready]


def _signal(query: SignalQuery) -> Signal | None:
    """Return the signal that is asked for, if there is one; `measure` says why not."""
    return offered(query.engine, query.signal)


def _no_cluster(_namespace: str, _name: str) -> tuple[frozenset[str], str]:
    return frozenset(), "Kubernetes is not watched"


def _unread(page: Page, problem: str) -> PageResult:
    """Make a page that cannot be read, and may belong to all whom its labels do not contradict."""
    return PageResult(page, {}, lambda _window: {}, problem, known=False)


def _doubted(measured: Measurement, doubt: str) -> Measurement:
    """Doubt what was measured on a list of pages that may be another by now."""
    if not doubt or isinstance(measured, Failure):
        return measured
    if measured.value is None:
        return Failure(doubt, measured.at, source=measured.source)
    return replace(measured, incomplete_reason="; ".join(filter(None, (doubt, measured.incomplete_reason))))
