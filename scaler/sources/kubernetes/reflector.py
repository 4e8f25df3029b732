"""One resource of Kubernetes, listed and watched in a thread of its own.

    list (pages of 500) ──▶ table ◀── watch (events, bookmarks; ends itself every 20 s and goes on where it was;
                                       what ends within a second is no watch, and rests before it goes on)

What fails keeps what it had: a lost connection goes on from the last version, 410 Gone lists anew, and until then the
old table stands, with its age. Only a server that goes on refusing (401, 403, 404) makes a table unknown, and the
reason names verb and resource. An object that cannot be read is left out, and said (`odd`): it hides no other.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from scaler.model.errors import SourceError
from scaler.model.objects import Manifest
from scaler.sources.kubernetes.read_objects import ObjectKey, ObjectReader
from scaler.sources.kubernetes.resources import Resource
from scaler.sources.kubernetes.store import PodTable, Table
from scaler.sources.kubernetes.well_formed import Malformed, check

if TYPE_CHECKING:
    from scaler.sources.kubernetes.api import ApiServer

PAGE = 500  # objects of one answer to a list
SHORTEST = 1.0  # seconds that a watch lasts; a proxy that ends it at once would be asked hundreds of times a second
WATCH = 20  # seconds after which the server ends a watch, so that quiet is told from a dead connection
_SHOWN = 200  # characters of what a stranger has written that are shown

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Backoff:
    """The waits between two tries, in seconds."""

    rests: tuple[float, ...] = (1.0, 2.0, 5.0, 10.0, 30.0)  # between tries, after so many failures in a row
    silence: float = 30.0  # after which a watch counts as dead
    believed: float = 60.0  # for which a refusal is taken for a server that is only starting
    scales: float = 5.0  # between two looks at scale sub-resources, which cannot be watched


@dataclass(frozen=True, slots=True)
class Common:
    """The parts that all reflectors share."""

    server: "ApiServer"
    lock: threading.Lock  # of all tables
    clock: Clock
    pace: Backoff
    reader: ObjectReader


class Reflector:
    """One resource, of one namespace or all; `run` is its thread.

    Args:
        common: what it shares with the others.
        resource: what is watched.
        namespace: None for all.
    """

    def __init__(self, common: Common, resource: Resource, namespace: str | None) -> None:
        self.resource = resource
        self.table: Table | None = None  # None: not known
        self.problem = ""
        self.odd: dict[ObjectKey, str] = {}  # objects that are left out, and why
        self.heard: float | None = None
        self.changes = 0
        self.tried = threading.Event()  # set once there was a first list, or a first failure
        self._server, self._lock, self._clock, self._pace = common.server, common.lock, common.clock, common.pace
        self._reader = common.reader
        self.absent = False  # the cluster serves no version of it
        self._versions = [replace(resource, version=one).path(namespace) for one in (resource.version, *resource.older)]
        self._path = self._versions[0]
        narrowed = {"labelSelector": resource.selector, "fieldSelector": resource.fields}
        self._query = {name: selector for name, selector in narrowed.items() if selector}
        self._version = ""  # empty: to be listed
        self._refused: float | None = None  # since when

    def run(self, stopped: threading.Event) -> None:
        """List and watch until stopped."""
        failures = 0
        while not stopped.is_set():
            began, rest = self._clock(), 0.0
            try:
                self._list_and_watch()
                failures, self.problem, self._refused = 0, "", None
                rest = self._pace.rests[0] if 0 <= self._clock() - began < SHORTEST else 0.0
            except SourceError as error:
                if self._turns_to_older(error):
                    continue
                failures += 1
                self._failed(error)
            except Exception as error:  # noqa: BLE001 - whatever an object of somebody else's looks like
                failures += 1
                self._version = ""
                self._set_problem(f"cannot be read ({type(error).__name__}: {error})")
            self.tried.set()
            if failures:
                rest = self._pace.rests[min(failures, len(self._pace.rests)) - 1]
            if rest:
                stopped.wait(rest)

    def _list_and_watch(self) -> None:
        if not self._version:
            self._list()
            self.problem, self._refused = "", None
            self.tried.set()
        self._watch()

    def _list(self) -> None:
        """Read all of it, page by page; the old table stands until the new one is whole."""
        table, more = self.resource.table(), ""
        odd: dict[ObjectKey, str] = {}
        while True:
            page = self._server.get(self._path, {**self._query, "limit": PAGE, **({"continue": more} if more else {})})
            for raw in page.get("items") or ():
                key, record, problem = self._understood(raw)
                table.put(key, record)
                odd |= {key: problem} if problem else {}
            more = page["metadata"].get("continue") or ""
            if not more:
                break
        version = str(page["metadata"]["resourceVersion"])  # what has none is no list
        with self._lock:
            if isinstance(table, PodTable) and isinstance(self.table, PodTable):
                table.remember(self.table)
            self.table, self.odd, self.heard, self.absent = table, odd, self._clock(), False
            self.changes += 1
        self._version = version

    def _watch(self) -> None:
        """Take in what changes, until the server ends the watch."""
        from scaler.sources.kubernetes.api import Gone  # noqa: PLC0415 - 0.2 s, spent on first use

        query = {"watch": "1", "resourceVersion": self._version, "allowWatchBookmarks": "true", "timeoutSeconds": WATCH}
        for event in self._server.events(self._path, {**self._query, **query}, self._pace.silence):
            raw = event["object"]
            if event["type"] == "ERROR":
                said = f"{raw.get('code')}: {raw.get('message')}"
                raise Gone(said) if raw.get("code") == 410 else SourceError(said)
            self._take(event["type"], raw)
            self._version = str(raw["metadata"]["resourceVersion"])
        self.heard = self._clock()

    def _take(self, kind: str, raw: Manifest) -> None:
        """Take in one event."""
        if kind == "BOOKMARK":
            self.heard = self._clock()
            return
        key, record, problem = self._understood(raw)
        if kind == "DELETED":
            record, problem = None, ""
        with self._lock:
            if problem != self.odd.get(key, ""):
                self.odd = {**self.odd, key: problem} if problem else _without(self.odd, key)
                self.changes += 1
            if self.table and self.table.put(key, record):
                self.changes += 1
            self.heard = self._clock()

    def _understood(self, raw: Manifest) -> tuple[ObjectKey, Any, str]:
        """Return an object's key, what is kept of it, and why it is left out; an odd one must not hide the others."""
        key = _named(raw)
        try:
            own = self.resource.key(raw)
            if not all(isinstance(part, str) for part in own):
                raise Malformed(f"its name is {own!r:.60}, which is not a text")
            key, record = own, self.resource.read(self._reader, raw)
            if is_dataclass(record) and not isinstance(record, type):
                check(record)
        except Exception as error:  # noqa: BLE001 - whatever an object of somebody else's looks like
            return key, None, oddity(error)
        return key, record, ""

    def _turns_to_older(self, error: SourceError) -> bool:
        """Turn to an older version of the API where this one is not served; False: there is none."""
        from scaler.sources.kubernetes.api import Missing  # noqa: PLC0415

        later = self._versions.index(self._path) + 1
        if not isinstance(error, Missing) or later == len(self._versions):
            return False
        self._path, self._version = self._versions[later], ""
        return True

    def _failed(self, error: SourceError) -> None:
        """Say what is wrong, and decide what is kept."""
        from scaler.sources.kubernetes.api import Gone, Missing, Refused  # noqa: PLC0415

        if isinstance(error, Gone) and self._version:
            self._version = ""
            return
        if isinstance(error, Missing) and self.resource.optional:
            self._path = self._versions[0]
            self._set_absent()
            return
        self._set_problem(str(error))
        if not isinstance(error, Refused):
            self._refused = None
            return
        now, self._version = self._clock(), ""
        self._refused = now if self._refused is None else self._refused
        if now - self._refused >= self._pace.believed:
            with self._lock:
                self.table, self.heard = None, None
                self.changes += 1

    def _set_absent(self) -> None:
        """Note that the cluster has no such API, and so no such objects; it may be installed later."""
        with self._lock:
            self.changes += self.table is None or bool(self.table.records) or not self.absent
            self.table, self.heard, self.absent = Table(), self._clock(), True
        self.problem, self._version, self._refused = "", "", None

    def _set_problem(self, problem: str) -> None:
        verbs = " and ".join(self.resource.verbs)
        self.problem = f"{self.resource.purpose}: {verbs} {self.resource}: {problem}"


def _named(raw: Any) -> ObjectKey:
    """Return namespace and name of an object that may be anything."""
    meta = raw.get("metadata") if isinstance(raw, Mapping) else None
    known = meta if isinstance(meta, Mapping) else {}
    namespace, name = (ascii(known.get(part, ""))[1:-1] for part in ("namespace", "name"))
    return namespace[:_SHOWN], name[:_SHOWN] or "without a name"


def _without(odd: Mapping[ObjectKey, str], key: ObjectKey) -> dict[ObjectKey, str]:
    return {other: problem for other, problem in odd.items() if other != key}


def oddity(error: Exception) -> str:
    """Say why an object cannot be read, as a sentence about it."""
    if isinstance(error, Malformed):
        return str(error)
    return f"it has no {error.args[0]}" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"[:_SHOWN]
