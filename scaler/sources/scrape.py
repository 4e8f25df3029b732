"""Metrics pages that are read directly, for those who have no Prometheus or want seconds.

Every tick reads all pages once, some at a time and each with a time-out of its own; ticks that come together share one
reading. Gauges are what the pages say now; rates and quantiles are over what was read before, within their window. The
past is not kept beyond that: a time before now is a failure, so a workload that is new here may at first only rise.

A list of pages in the settings is what must answer. A list in a file, which is read again whenever it changes, says
besides which replicas there are: one that is not listed is gone. A list that cannot be read leaves the last one in
force, and nothing measured on it is whole.
"""

import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from scaler.document import parse_yaml
from scaler.errors import ConfigError, SourceError
from scaler.fields import seconds
from scaler.grouping import check
from scaler.model import Ask, Failure, HistoryAsk, Measured, QueryAsk, Reading, SignalAsk
from scaler.settings import Endpoint, Page, read_pages
from scaler.signals import Signal, find
from scaler.sources.counters import Counters
from scaler.sources.credentials import authorization
from scaler.sources.exposition import MILLISECONDS, Sample, scan
from scaler.sources.visits import Visit, counted, measure, wanted
from scaler.sources.wire import OPEN_METRICS, Wire

logger = logging.getLogger(__name__)

READERS = 16  # pages that are read at once
FORGOTTEN = 3600.0  # seconds after which nobody asks for a signal any more; the longest interval is ten minutes
SHARED = 0.4  # seconds for which a reading serves other ticks too; the shortest interval is a second
MAX_WINDOWS = 16  # of different length, of all workloads together
MAX_LIST_BYTES = 4 * 1024 * 1024

_GRACE = 1.1  # the pages' own time-outs know more than ours, so they come first


class _Reader:
    """One page, and what is remembered of it."""

    def __init__(self, page: Page, endpoint: Endpoint) -> None:
        self.page = page
        self.wire: Wire | None = None
        self.counters = Counters()
        self.samples: Mapping[str, Sequence[Sample]] = {}
        self.problem = ""
        self.read_at: float | None = None  # when it last answered
        self.under_way: Future[list[Sample] | str] | None = None
        self._endpoint = endpoint

    def read(self, names: Collection[str], headers: dict[str, str]) -> list[Sample] | str:
        """Read the page; an error is its text."""
        try:
            self.wire = self.wire or Wire(self.page.url, self._endpoint)
            kind, text = self.wire.read(headers)
            samples = scan(text, names, 1.0 if kind == OPEN_METRICS else MILLISECONDS)
        except SourceError as error:
            return f"{self.page.address} {error}"
        except ValueError as error:
            return f"{self.page.address}: {error}"
        if len(samples) > self._endpoint.max_series:
            return (
                f"{self.page.address} has {len(samples)} series that are wanted, more than {self._endpoint.max_series}"
            )
        return samples

    def take(self, found: list[Sample] | str, flows: Collection[str], windows: Collection[float], now: float) -> None:
        """Remember what was read."""
        self.problem = found if isinstance(found, str) else ""
        if isinstance(found, str):
            return
        named: dict[str, list[Sample]] = {}
        for sample in found:
            named.setdefault(sample.name, []).append(sample)
        self.samples, self.read_at = named, now
        self.counters.note((sample for sample in found if sample.name in flows), windows, now)

    @property
    def busy(self) -> bool:
        """Whether an earlier reading, which was given up, has not come back yet."""
        return self.under_way is not None and not self.under_way.done()

    def cut(self) -> None:
        """End what is being read."""
        if self.wire:
            self.wire.cut()

    def close(self) -> None:
        """Release the connection."""
        if self.wire and not self.busy:
            self.wire.close()

    def visit(self, now: float) -> Visit:
        """What is known of it at the time of its newest reading."""
        rates = partial(self.counters.rates, now=now)
        return Visit(self.page, self.samples, rates, self.problem, self.read_at is not None)


@dataclass(frozen=True, slots=True)
class _Reading:
    """All pages, read at one time."""

    at: float
    began: float | None  # when a page answered for the first time
    windows: frozenset[float]  # that rates are known over
    visits: tuple[Visit, ...]
    doubt: str  # why the list of pages is not believed


class ScrapeSource:
    """One endpoint of pages; see `model.Source`. `fetch` may be called from several threads.

    Args:
        endpoint: with `pages` or `pages_file`.
        clock: seconds since the epoch.
    """

    def __init__(self, endpoint: Endpoint, clock: Callable[[], float]) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._list = _List(endpoint)
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix=f"pages-{endpoint.name}")
        self._readers: dict[Page, _Reader] = {}
        self._interest = _Interest()
        self._newest: _Reading | None = None
        self._began: float | None = None  # when a page answered for the first time
        self._lock = threading.Lock()

    def fetch(self, asks: Collection[Ask], times: Sequence[float]) -> Mapping[Ask, Sequence[Measured]]:
        """Measure every ask now, for the newest of the times; see `model.Source.fetch`."""
        with self._lock:
            reading = self._read([ask for ask in asks if isinstance(ask, SignalAsk)])
        at = times[-1]
        measured = self._signals(asks, reading, at)
        for ask in asks:
            if isinstance(ask, QueryAsk):
                problem = "reads metrics pages, which know no PromQL; use a signal, or an endpoint with a Prometheus"
                measured[ask] = Failure(f"{self._endpoint.name} {problem}", at, final=True, source=self._endpoint.name)
            elif isinstance(ask, HistoryAsk):
                old = reading.began is not None and reading.began <= reading.at - ask.seconds
                measured[ask] = Reading(1.0 if old else None, at, source=self._endpoint.name)
        past = f"{self._endpoint.name} reads metrics pages, which know nothing of the past"
        before = [Failure(past, time, source=self._endpoint.name) for time in times[:-1]]
        return {ask: [*before, one] for ask, one in measured.items()}

    def close(self) -> None:
        """Release threads and connections."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for reader in self._readers.values():
            reader.close()

    def _signals(self, asks: Collection[Ask], reading: _Reading, at: float) -> dict[Ask, Measured]:
        signals = [ask for ask in asks if isinstance(ask, SignalAsk)]
        measured = measure(signals, reading.visits, self._endpoint.dialect, at, reading.at, self._endpoint.name)
        problem = f"{self._endpoint.name} keeps no more than {MAX_WINDOWS} windows of different length"
        full = Failure(problem, at, source=self._endpoint.name)
        return {
            ask: full if ask.window and ask.window not in reading.windows else _doubted(one, reading.doubt)
            for ask, one in measured.items()
        }

    def _read(self, asks: Sequence[SignalAsk]) -> _Reading:
        """Read all pages, unless that was done just now, for these asks too."""
        now = self._clock()
        news = self._interest.note(asks, now)
        if self._newest and not news and 0 <= now - self._newest.at < SHARED:
            return self._newest
        pages, doubt = self._list.pages()
        for page in self._readers.keys() - set(pages):
            self._readers.pop(page).close()
        for page in pages:
            self._readers.setdefault(page, _Reader(page, self._endpoint))
        self._visit_all(now)
        if self._began is None and any(not reader.problem for reader in self._readers.values()):
            self._began = now
        visits = tuple(reader.visit(now) for reader in self._readers.values())
        self._newest = _Reading(now, self._began, self._interest.windows, visits, doubt)
        return self._newest

    def _visit_all(self, now: float) -> None:
        """Read every page; what is not there in time is cut off."""
        names, flows, windows = self._interest.names, self._interest.flows, self._interest.windows
        try:
            headers = authorization(self._endpoint)
        except SourceError as error:
            for reader in self._readers.values():
                reader.take(str(error), flows, windows, now)
            return
        headers = {**self._endpoint.headers, **headers}
        idle = [reader for reader in self._readers.values() if not reader.busy]
        asked = {self._pool.submit(reader.read, names, headers): reader for reader in idle}
        for future, reader in asked.items():
            reader.under_way = future
        done, late = wait(asked, timeout=self._endpoint.timeout * _GRACE)
        for future in late:
            if not future.cancel():
                asked[future].cut()
        answers = {asked[future]: future.result() for future in done}
        slow = f"gives no answer within {seconds(self._endpoint.timeout)}"
        for reader in self._readers.values():
            reader.take(answers.get(reader, f"{reader.page.address} {slow}"), flows, windows, now)


class _Interest:
    """What was asked for lately: the names to read, and the windows to keep."""

    def __init__(self) -> None:
        self.names: frozenset[str] = frozenset()
        self.flows: frozenset[str] = frozenset()  # of these, the counters
        self.windows: frozenset[float] = frozenset()
        self._asked: dict[tuple[Signal, float | None], float] = {}

    def note(self, asks: Collection[SignalAsk], now: float) -> bool:
        """Note what is asked for; whether any of it was not, before."""
        fresh = {(find(ask.engine, ask.signal), ask.window): now for ask in asks if _valid(ask)}
        news = bool(fresh.keys() - self._asked.keys())
        self._asked = {what: at for what, at in self._asked.items() if now - at < FORGOTTEN} | fresh
        signals = [signal for signal, _ in self._asked]
        self.names, self.flows = wanted(signals), counted(signals)
        windows = dict.fromkeys(window for _, window in self._asked if window)  # the oldest first
        self.windows = frozenset([*windows][:MAX_WINDOWS])
        return news


class _List:
    """The list of pages, read again whenever its file changes."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._file = endpoint.pages_file
        self._pages = endpoint.pages
        self._seen: tuple[int, int, int] | None = None
        self._problem = ""

    def pages(self) -> tuple[tuple[Page, ...], str]:
        """The pages, and why they may be others by now."""
        if self._file is None:
            return self._pages, ""
        try:
            stat = self._file.stat()
            seen = stat.st_mtime_ns, stat.st_size, stat.st_ino
            if seen != self._seen:
                self._seen, self._problem = seen, ""
                self._pages = _read_list(self._file)
        except (OSError, UnicodeDecodeError, ConfigError) as error:
            problem = f"the list of pages cannot be read ({error})"
            if problem != self._problem:
                logger.error("the list of pages cannot be read", extra={"file": str(self._file), "problem": str(error)})
            self._problem = problem
            if isinstance(error, OSError):
                self._seen = None
        return self._pages, self._problem


def _read_list(file: Path) -> tuple[Page, ...]:
    with file.open("rb") as opened:
        raw = opened.read(MAX_LIST_BYTES + 1)
    if len(raw) > MAX_LIST_BYTES:
        raise ConfigError(str(file), "", f"is longer than {MAX_LIST_BYTES} bytes")
    return read_pages(parse_yaml(raw.decode("utf-8"), str(file)) or [], str(file))


def _valid(ask: SignalAsk) -> bool:
    """Whether there is such a signal; `measure` says why not."""
    try:
        check(ask)
    except ConfigError:
        return False
    return True


def _doubted(measured: Measured, doubt: str) -> Measured:
    """What was measured on a list of pages that may be another by now."""
    if not doubt or isinstance(measured, Failure):
        return measured
    if measured.value is None:
        return Failure(doubt, measured.at, source=measured.source)
    return replace(measured, partial="; ".join(filter(None, (doubt, measured.partial))))
