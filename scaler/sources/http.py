"""How pages are fetched: by coroutines over one aiohttp session, and nothing that a page could do to its reader.

No redirect is followed, no proxy or cookie used, a body of more than `max_bytes` is not read, packed or unpacked, a
page has its time as a whole, however it drips, and an address that `targets.refused_address` refuses gets no request:
an address is looked at before each, those of a name whenever it is looked up for a connection. A pod's page gets no
credentials. What a page answers is in no error, but where a redirect leads: errors are shown to people who may not read
that page.

An endpoint has a session of its own, so that a connection which its rules let it open serves no other's page.

A page of usual size is unpacked in the loop, which takes less than a millisecond. What is longer than `QUICK` bytes is
unpacked in a thread, so that a page which was made to be slow takes no time from those beside it; a few at a time, so
that many of them take neither all memory nor all turns of the interpreter.

Prometheus is asked through prometheus-api-client (`prometheus/api.py`) and Kubernetes through its official client
(`kubernetes/api.py`): both of them block, and have threads.
"""

import asyncio
import http
import os
import socket
import ssl
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar
from urllib.parse import SplitResult, parse_qsl, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.http_exceptions import BadStatusLine, ContentLengthError, TransferEncodingError
from yarl import URL

from scaler.config.endpoint import Endpoint, Network, Page, host_and_port
from scaler.model.errors import SourceError
from scaler.model.fields import seconds
from scaler.sources.names import Names
from scaler.sources.pages.targets import refused_address

ACCEPT = "text/plain;version=0.0.4;q=1,*/*;q=0.1"
OPEN_METRICS = "application/openmetrics-text"
QUICK = 256 * 1024  # bytes of a page that may be worked on in the loop
AT_WORK = 2  # longer pages that are worked on at once: each takes several times its length

_REMEMBERED = 10_000  # pages of which it is remembered how they are asked for
_KEPT = 75.0  # seconds for which a connection is kept open for the next request
_GZIP = zlib.MAX_WBITS | 16
_PIECE = 16 * 1024  # bytes that are unpacked at a time
_MEMBERS = 10_000  # of gzip; more of them are no page, and would be slow
_UNFINISHED = "Not enough data"  # aiohttp says this of an answer in chunks that has no last one
_PORTS = {"http": 80, "https": 443}
_PRINTABLE = frozenset(map(chr, range(0x21, 0x7F)))
_LOAD_NOTHING = "autoload=false"
_NOT_LOADED = ", and was asked to load no model for it (write autoload=true into its path to let it)"


_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Request:
    """The request for a page, and its address; the same whenever the page is read."""

    url: URL  # with the address in place of the name, where that is known
    host: str  # as the page's URL names it: for TLS
    headers: Mapping[str, str]
    secure: bool
    refused: str  # why its address is never read


class PageClient:
    """Reads the pages of one endpoint; made and used in one event loop.

    Args:
        endpoint: whose limits, networks and certificates hold.
        names: of the endpoint.
        at_once: connections in all.
        per_host: of these, to one host and port.
    """

    def __init__(self, endpoint: Endpoint, names: Names, at_once: int, per_host: int) -> None:
        self._endpoint = endpoint
        self._request = lru_cache(_REMEMBERED)(self._prepare)
        self._at_work = asyncio.Semaphore(AT_WORK)
        self._contexts: dict[bool, tuple[object, ssl.SSLContext]] = {}
        connector = aiohttp.TCPConnector(
            resolver=_Resolver(names, endpoint.networks),
            use_dns_cache=False,
            limit=at_once,
            limit_per_host=per_host,
            keepalive_timeout=_KEPT,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(),
            skip_auto_headers=("User-Agent",),
            auto_decompress=False,
        )

    async def read(self, page: Page, headers: Mapping[str, str]) -> tuple[str, bytes]:
        """Read a page; give its content type and body.

        Raises:
            SourceError: why it could not be read.
        """
        try:
            async with asyncio.timeout(self._endpoint.timeout):
                return await self._get(page, headers)
        except TimeoutError as error:
            raise SourceError(f"gives no answer within {seconds(self._endpoint.timeout)}") from error
        except (aiohttp.ClientError, OSError, zlib.error) as error:
            raise SourceError(_why(error)) from error

    async def in_thread(self, work: Callable[[], _T]) -> _T:
        """Do what is to be done with a long page, in a thread and in its turn."""
        async with self._at_work:
            return await asyncio.to_thread(work)

    async def close(self) -> None:
        """Release the connections."""
        await self._session.close()

    async def _get(self, page: Page, headers: Mapping[str, str]) -> tuple[str, bytes]:
        request = self._request(page)
        if request.refused:
            raise SourceError(request.refused)
        async with self._session.get(
            request.url,
            headers={**request.headers, **headers},
            allow_redirects=False,
            ssl=self._context(known=not page.of_pod) if request.secure else True,
            server_hostname=request.host,
        ) as response:
            packed = _refuse_unless_good(response)
            body = await self._body(response)
        kind, text = _content_type(response), await self._unpacked(body) if packed else body
        if _may_be_cut(response, kind, text):
            raise SourceError("breaks off before its end")
        return kind, text

    def _prepare(self, page: Page) -> _Request:
        """Say how a page is asked for.

        Raises:
            SourceError: its URL has characters that cannot be sent.
        """
        parts = urlsplit(page.url)
        host = parts.hostname or ""
        address = page.ip or host
        refused = refused_address(address, self._endpoint.networks, written=not page.ip) if _is_address(address) else ""
        port = parts.port if parts.port != _PORTS[parts.scheme] else None
        headers = {"Host": host_and_port(host, port), "Accept": ACCEPT, "Accept-Encoding": "gzip"}
        return _Request(_url(parts, address), host, headers, parts.scheme == "https", refused)

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        """Return the body as it was sent."""
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            self._refuse_if_long(len(body))
        return bytes(body)

    async def _unpacked(self, packed: bytes) -> bytes:
        most = self._endpoint.max_bytes + 1
        body = unpack(packed, min(most, QUICK)) if len(packed) <= QUICK else None
        if body is None or len(body) >= QUICK:
            body = await self.in_thread(lambda: unpack(packed, most))
        self._refuse_if_long(len(body))
        return body

    def _refuse_if_long(self, length: int) -> None:
        limit = self._endpoint.max_bytes
        if length > limit:
            raise SourceError(f"is longer than {limit} bytes")

    def _context(self, *, known: bool) -> ssl.SSLContext:
        """Return the context of an https page, made anew when one of its files has changed."""
        endpoint = self._endpoint
        files = tuple(_signature(path) for path in (endpoint.ca_file, endpoint.cert_file, endpoint.key_file))
        if known not in self._contexts or self._contexts[known][0] != files:
            self._contexts[known] = files, tls_context(endpoint, known=known)
        return self._contexts[known][1]


class _Resolver(AbstractResolver):
    """Gives the addresses of a name that may be read."""

    def __init__(self, names: Names, networks: tuple[Network, ...]) -> None:
        self._names = names
        self._networks = networks

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - of whatever family it has one
    ) -> list[ResolveResult]:
        """Look a name up.

        Raises:
            OSError: the name service has no address.
            SourceError: it has, and none of them is ever read.
        """
        found: list[ResolveResult] = []
        reasons: list[str] = []
        for address in await self._names.look_up(host):
            if reason := refused_address(address, self._networks, written=host == "localhost"):
                reasons.append(reason)
            else:
                found.append(_resolved(host, address, port))
        if not found:
            raise SourceError(reasons[0] if reasons else "has no IP address")
        return found

    async def close(self) -> None:
        """Do nothing: nothing is held here."""


def _resolved(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=flags)


def _url(parts: SplitResult, address: str) -> URL:
    """Make the URL of a page at an address; the rest as it is written, and that nothing is to be loaded for it.

    llama.cpp's router loads a model when its page is asked for. A path that has an `autoload` of its own stays so.

    Raises:
        SourceError: it has characters that cannot be sent.
    """
    query = f"{parts.query}&{_LOAD_NOTHING}" if _may_load(parts) else parts.query
    target = (parts.path or "/") + (f"?{query}" if query else "")
    if not _PRINTABLE.issuperset(target):
        raise SourceError("has characters in its path that no URL can have")
    return URL(f"{parts.scheme}://{host_and_port(address, parts.port)}{target}", encoded=True)


def _may_load(parts: SplitResult) -> bool:
    """Tell whether a page is one of a model that may be loaded for it."""
    keys = {key for key, _ in parse_qsl(parts.query, keep_blank_values=True)}
    return "model" in keys and "autoload" not in keys


def _refuse_unless_good(response: aiohttp.ClientResponse) -> bool:
    """Say whether a good answer is packed.

    Raises:
        SourceError: it is no good one.
    """
    if 300 <= response.status < 400:
        place = redirect_place(response.headers.get("Location", ""))
        raise SourceError(f"answers {_status(response.status)}, a redirect {place}, which is not followed")
    asked_to_load_nothing = response.url.raw_query_string.endswith(_LOAD_NOTHING)
    if response.status != 200:
        why = _NOT_LOADED if asked_to_load_nothing else ""
        raise SourceError(f"answers {_status(response.status)}{why}")
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    if encoding not in {"gzip", "identity"}:
        raise SourceError("is packed, and not with gzip")
    return encoding == "gzip"


def _content_type(response: aiohttp.ClientResponse) -> str:
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return kind if kind.count("/") == 1 else "text/plain"


def _may_be_cut(response: aiohttp.ClientResponse, kind: str, text: bytes) -> bool:
    """Tell whether a page lacks the end that its format wants; that of plain text only where HTTP tells of none either.

    A number that breaks off after its first digit is a lower number. Text ends with a line feed, OpenMetrics with EOF,
    whatever HTTP says: a proxy may have kept a part of it.
    """
    if kind == OPEN_METRICS:
        return not text.rstrip().endswith(b"# EOF")
    if "Content-Length" in response.headers or "chunked" in response.headers.get("Transfer-Encoding", "").lower():
        return False
    return not text.endswith(b"\n")


def unpack(packed: bytes, most: int) -> bytes:
    """Unpack gzip of one member or several, one after the other (RFC 1952, 2.2).

    Args:
        packed: the whole.
        most: where there is more than so many bytes, no more than these are unpacked.

    Raises:
        SourceError: the last member has no end, or there are too many.
        zlib.error: it is not gzip.
    """
    body = bytearray()
    member, members = zlib.decompressobj(_GZIP), 1
    for begin in range(0, len(packed), _PIECE):
        piece = packed[begin : begin + _PIECE]
        while piece:
            if member.eof:
                member, members = zlib.decompressobj(_GZIP), members + 1
            if members > _MEMBERS:
                raise SourceError(f"is packed in more than {_MEMBERS} parts")
            body += member.decompress(piece, most - len(body))
            if len(body) >= most:
                return bytes(body)
            piece = member.unused_data
    if not member.eof:
        raise SourceError("breaks off before its end")
    return bytes(body)


def redirect_place(location: str) -> str:
    """Say where a redirect leads, without what may be secret in it: user and query."""
    try:
        parts = urlsplit(location)
    except ValueError:
        parts = urlsplit("")
    place = parts.netloc.rpartition("@")[2] + parts.path
    place = f"{parts.scheme}://{place}" if parts.scheme and parts.netloc else place
    plain = "".join(char for char in place if char.isascii() and char.isprintable())[:200]
    return f"to {plain}" if plain else "to nowhere"


def _why(error: Exception) -> str:
    """Say what went wrong on the way, with nothing of what was answered."""
    if isinstance(error, zlib.error):
        return "answers with broken gzip"
    if isinstance(error, aiohttp.ClientResponseError | aiohttp.ClientPayloadError):
        return _why_broken(error)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "Remote end closed connection without response"
    cause: Exception = error
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
    elif isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
    if isinstance(cause, OSError) and cause.errno and not isinstance(cause, ssl.SSLError | socket.gaierror):
        return os.strerror(cause.errno)
    return str(getattr(cause, "strerror", None) or cause or type(cause).__name__)[:200]


def _why_broken(error: aiohttp.ClientError) -> str:
    """Say what is wrong with an answer by the kind of the error: its text is what was answered."""
    kind: BaseException = error
    while kind.__cause__:
        kind = kind.__cause__
    if isinstance(kind, BadStatusLine):
        return "answers in what is not HTTP"
    if isinstance(kind, ContentLengthError) or (isinstance(kind, TransferEncodingError) and _UNFINISHED in str(kind)):
        return "breaks off before its end"
    return f"answers in broken HTTP ({type(kind).__name__})"


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _status(status: int) -> str:
    """Say a status in the words of HTTP, not of the page."""
    try:
        return f"{status} {http.HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _signature(path: Path | None) -> tuple[int, int, int] | None:
    """Return what shows that a file has changed; None where it is not there."""
    try:
        stat = path.stat() if path else None
    except OSError:
        return None
    return (stat.st_mtime_ns, stat.st_size, stat.st_ino) if stat else None


def tls_context(endpoint: Endpoint, *, known: bool) -> ssl.SSLContext:
    """Make the context of an https page; our own certificate is shown to one that the settings name.

    Raises:
        SourceError: a certificate cannot be read.
    """
    files = f"caFile {endpoint.ca_file}"
    try:
        context = ssl.create_default_context(cafile=endpoint.ca_file)
        if known and endpoint.cert_file and endpoint.key_file:
            files = f"certFile {endpoint.cert_file} with keyFile {endpoint.key_file}"
            context.load_cert_chain(endpoint.cert_file, endpoint.key_file)
    except OSError as error:
        raise SourceError(f"{files} cannot be read: {error.strerror or error}") from error
    return context
