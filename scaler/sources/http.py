"""One metrics page over HTTP: one connection, kept open, and nothing that a page could do to its reader.

No redirect is followed, no proxy or cookie used, a body of more than `max_bytes` is not read, packed or unpacked, and
an address that `targets.barred` refuses gets no request. A pod's page gets no credentials. What a page answers is in no
error, but where a redirect leads: errors are shown to people who may not read that page.
"""

import contextlib
import http
import socket
import ssl
import zlib
from http.client import BadStatusLine, HTTPConnection, HTTPException, HTTPResponse, RemoteDisconnected
from ipaddress import ip_address
from urllib.parse import urlsplit

from scaler.config.endpoint import Endpoint, Page
from scaler.model.errors import SourceError
from scaler.model.fields import seconds
from scaler.sources.pages.targets import barred

ACCEPT = "text/plain;version=0.0.4;q=1,*/*;q=0.1"
OPEN_METRICS = "application/openmetrics-text"

_CHUNK = 64 * 1024


class Wire:
    """For one thread at a time, but `cut` may come from another."""

    def __init__(self, page: Page, endpoint: Endpoint) -> None:
        parts = urlsplit(page.url)
        self._endpoint = endpoint
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._http = _Http(page, endpoint)
        self._cut = False

    def read(self, headers: dict[str, str]) -> tuple[str, bytes]:
        """Read the page; give its content type and body.

        Raises:
            SourceError: why it could not be read.
        """
        self._cut = False
        kept = self._http.sock is not None
        try:
            try:
                response = self._ask(headers)
            except (ConnectionError, HTTPException):
                if not kept or self._cut:  # a kept connection may have been closed while nobody looked
                    raise
                self._http.close()
                response = self._ask(headers)
            with response:  # one that ends the connection has taken the socket over
                body = self._body(response)
        except (OSError, HTTPException, zlib.error) as error:
            self._http.close()
            raise SourceError(self._why(error)) from error
        except SourceError:
            self._http.close()
            raise
        return response.headers.get_content_type(), body

    def cut(self) -> None:
        """End what is being read, so that its thread is free again."""
        self._cut = True
        with contextlib.suppress(OSError, AttributeError):
            self._http.wire.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]

    def close(self) -> None:
        """Release the connection."""
        self._http.close()

    def _ask(self, headers: dict[str, str]) -> HTTPResponse:
        self._http.request("GET", self._target, headers={"Accept": ACCEPT, "Accept-Encoding": "gzip", **headers})
        return self._http.getresponse()

    def _body(self, response: HTTPResponse) -> bytes:
        """The body of a good answer, unpacked."""
        if 300 <= response.status < 400:
            place = redirect_place(response.headers.get("Location", ""))
            raise SourceError(f"answers {_status(response.status)}, a redirect {place}, which is not followed")
        if response.status != 200:
            raise SourceError(f"answers {_status(response.status)}")
        packed = response.headers.get("Content-Encoding", "identity").lower()
        if packed not in {"gzip", "identity"}:
            raise SourceError("is packed, and not with gzip")
        unpack = _Gunzip() if packed == "gzip" else None
        limit = self._endpoint.max_bytes
        body = bytearray()
        while chunk := response.read1(_CHUNK):
            body += unpack.more(chunk, limit + 1 - len(body)) if unpack else chunk
            if len(body) > limit:
                raise SourceError(f"is longer than {limit} bytes")
        if self._cut:
            raise TimeoutError
        if response.length or (unpack and not unpack.whole):
            raise SourceError("breaks off before its end")
        return bytes(body)

    def _why(self, error: Exception) -> str:
        if self._cut or isinstance(error, TimeoutError):
            return f"gives no answer within {seconds(self._endpoint.timeout)}"
        if isinstance(error, BadStatusLine) and not isinstance(error, RemoteDisconnected):
            return "answers in what is not HTTP"  # its text is what was answered
        if isinstance(error, HTTPException) and not isinstance(error, RemoteDisconnected):
            return f"answers in broken HTTP ({type(error).__name__})"
        return str(getattr(error, "strerror", None) or error or type(error).__name__)[:200]


class _Gunzip:
    """Unpacks gzip of one member or several, one after the other (RFC 1952, 2.2)."""

    def __init__(self) -> None:
        self._member = _member()
        self._begun = False  # whether anything was given

    def more(self, chunk: bytes, most: int) -> bytes:
        """Unpack the next bytes; where that is more than `most` bytes, as many at least."""
        self._begun = True
        body = bytearray()
        while chunk and len(body) < most:
            if self._member.eof:
                self._member = _member()
            body += self._member.decompress(chunk, most - len(body))
            chunk = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
        return bytes(body)

    @property
    def whole(self) -> bool:
        """Whether the last member has ended."""
        return self._begun and self._member.eof


def _member() -> "zlib._Decompress":
    return zlib.decompressobj(zlib.MAX_WBITS | 16)


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


class _Http(HTTPConnection):
    """A connection to where a page was found, under the name that its URL has."""

    def __init__(self, page: Page, endpoint: Endpoint) -> None:
        parts = urlsplit(page.url)
        secure = parts.scheme == "https"
        self.default_port = 443 if secure else 80
        super().__init__(parts.hostname or "", parts.port or self.default_port, timeout=endpoint.timeout)
        self.wire: socket.socket | None = None  # the newest; `sock` is gone as soon as a page says `Connection: close`
        self._networks = endpoint.networks
        self._written = not page.ip and (_is_address(self.host) or self.host == "localhost")
        self._ip = page.ip or (self.host if _is_address(self.host) else "")  # empty: the name service has a say
        self._tls = tls_context(endpoint, known=not page.of_pod) if secure else None

    def connect(self) -> None:
        """Connect, unless the address is one that is never read."""
        if self._ip:
            self._refuse(self._ip)
        sock = socket.create_connection((self._ip or self.host, self.port), self.timeout)
        try:
            self._refuse(sock.getpeername()[0])
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            sock.close()
            raise
        self.sock = self.wire = sock
        if self._tls:  # the handshake comes last, where `cut` can end it
            tls = self._tls.wrap_socket(sock, server_hostname=self.host, do_handshake_on_connect=False)
            self.sock = self.wire = tls
            tls.do_handshake()

    def _refuse(self, address: str) -> None:
        if reason := barred(address, self._networks, written=self._written):
            raise SourceError(reason)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _status(status: int) -> str:
    """A status in the words of HTTP, not of the page."""
    try:
        return f"{status} {http.HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def tls_context(endpoint: Endpoint, *, known: bool) -> ssl.SSLContext:
    """The context of an https page; our own certificate is shown to one that the settings name.

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
