"""Which pages an endpoint lists: in the settings, in a file, behind Services, and under DNS names.

A list that cannot be read anew leaves the last one in force, and says so: nothing measured on it is whole.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scaler.config.endpoint import DiscoveredPages, Endpoint, Page, read_pages
from scaler.model.errors import ConfigError
from scaler.model.fields import seconds
from scaler.model.strict_yaml import parse_yaml
from scaler.sources.names import Names
from scaler.sources.pages.targets import host_of, named_pages

logger = logging.getLogger(__name__)

MAX_LIST_BYTES = 4 * 1024 * 1024
RESOLVED = 5.0  # seconds for which an answer of the name service serves
LASTS = 60.0  # seconds for which it is believed when there is no newer one
MAX_ADDRESSES = 1_000  # behind one name

Pages = tuple[tuple[Page, ...], str]  # the pages, and why they may be others by now
Addresses = Callable[[str, str], tuple[frozenset[str], str]]  # namespace and name of a Service -> the same of addresses


@dataclass(frozen=True, slots=True)
class Listed:
    """The pages that are listed at one time."""

    pages: tuple[Page, ...]
    unsure: tuple[tuple[Page, str], ...] = ()  # stands for pages that nobody knows, behind a name; and why not
    incomplete_reason: str = ""  # why all of it may be others by now


class Lists:
    """All pages that an endpoint lists; for one event loop.

    Args:
        endpoint: with `pages`, `pages_file` or `named`.
        addresses: the ready addresses behind a Service; see `ClusterCache.addresses`.
        names: looks up the names of `named`.
    """

    def __init__(self, endpoint: Endpoint, addresses: Addresses, names: Names) -> None:
        self._endpoint = endpoint
        self._addresses = addresses
        self._file = _File(endpoint.pages_file) if endpoint.pages_file else None
        self._names = {named: _Name(named, names) for named in endpoint.named if named.kind == "dns"}
        self._reading = asyncio.Lock()  # of the file: it is read by one at a time

    async def pages(self, now: float) -> Listed:
        """List the pages now; waits while a name is looked up for the first time, for no longer than the time-out."""
        first = [looking for name in self._names.values() if (looking := name.look(now))]
        if first:
            await asyncio.wait(first, timeout=self._endpoint.timeout / 2)
        found, doubt = await self._in_file()
        behind = {named: self._behind(named, now) for named in self._endpoint.named}
        pages = [*self._endpoint.pages, *found, *(page for some, _ in behind.values() for page in some)]
        unsure = [(Page(named.url, named.labels), why) for named, (_, why) in behind.items() if why]
        return Listed(tuple(dict.fromkeys(pages)), tuple(unsure), doubt)

    async def _in_file(self) -> Pages:
        """List the pages in the file: to read one of 4 MB takes seconds, which the loop does not wait for."""
        if not self._file:
            return (), ""
        async with self._reading:
            return await asyncio.to_thread(self._file.pages)

    def _behind(self, named: DiscoveredPages, now: float) -> Pages:
        """List the pages behind one name."""
        if named.kind == "dns":
            addresses, doubt = self._names[named].addresses(now)
        else:
            addresses, doubt = self._addresses(*named.service)
            doubt = doubt and f"the addresses of {host_of(named)} may be others by now ({doubt})"
        pages, problem = named_pages(named, addresses, self._endpoint.networks)
        many = f"{len(pages)} addresses" if len(pages) > MAX_ADDRESSES else "" if pages else "nobody ready"
        return tuple(pages[:MAX_ADDRESSES]), doubt or problem or (many and f"{host_of(named)} has {many}")


class _Name:
    """One DNS name. Looking up has no time-out of its own, so nobody waits for it, and the last answer serves."""

    def __init__(self, named: DiscoveredPages, names: Names) -> None:
        self._host = host_of(named)
        self._service = names
        self._found: frozenset[str] = frozenset()
        self._problem = "was not looked up yet"
        self._answered: float | None = None
        self._asked: float | None = None
        self._under_way: asyncio.Task[None] | None = None

    def look(self, now: float) -> asyncio.Task[None] | None:
        """Look it up if it is time to; gives what has to be waited for, if no answer is there yet."""
        busy = self._under_way is not None and not self._under_way.done()
        if not busy and (self._asked is None or not 0 <= now - self._asked < RESOLVED):
            self._asked = now
            self._under_way = asyncio.create_task(self._resolve(now))
        return self._under_way if self._answered is None else None

    def addresses(self, now: float) -> tuple[frozenset[str], str]:
        """Return the addresses, and why they may be others by now."""
        if self._answered is not None and now - self._answered <= LASTS:
            return self._found, ""
        age = "" if self._answered is None else f" for {seconds(now - self._answered)}"
        return self._found, f"{self._host} {self._problem}{age}"

    async def _resolve(self, now: float) -> None:
        try:
            found = await self._service.look_up(self._host)
        except (OSError, UnicodeError) as error:
            self._problem = f"cannot be looked up ({getattr(error, 'strerror', None) or error})"
            return
        self._found, self._answered = frozenset(found), now
        self._problem = "was not looked up anew"


class _File:
    """A list of pages in a file, read again whenever that changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pages: tuple[Page, ...] = ()
        self._seen: tuple[int, int, int] | None = None
        self._problem = ""

    def pages(self) -> Pages:
        try:
            stat = self._path.stat()
            seen = stat.st_mtime_ns, stat.st_size, stat.st_ino
            if seen != self._seen:
                self._seen, self._problem = seen, ""
                self._pages = _read_list(self._path)
        except (OSError, UnicodeDecodeError, ConfigError) as error:
            problem = f"the list of pages cannot be read ({error})"
            if problem != self._problem:
                logger.error("the list of pages cannot be read", extra={"file": str(self._path), "problem": str(error)})
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
