"""One metrics page over HTTP: one connection, kept open, and nothing that a page could do to its reader.

No redirect is followed, no proxy or cookie used, a body of more than `max_bytes` is not read, packed or unpacked, and a
host whose address is link-local, as those of clouds' metadata services are, gets no request.
"""

import contextlib
import ipaddress
import socket
import ssl
import zlib
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from urllib.parse import urlsplit

from scaler.errors import SourceError
from scaler.fields import seconds
from scaler.settings import Endpoint

ACCEPT = "text/plain;version=0.0.4;q=1,*/*;q=0.1"
OPEN_METRICS = "application/openmetrics-text"

_CHUNK = 64 * 1024


class Wire:
    """For one thread at a time, but `cut` may come from another."""

    def __init__(self, url: str, endpoint: Endpoint) -> None:
        parts = urlsplit(url)
        self._endpoint = endpoint
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        host, timeout = parts.hostname or "", endpoint.timeout
        if parts.scheme == "https":
            self._http: HTTPConnection = HTTPSConnection(host, parts.port, timeout=timeout, context=_tls(endpoint))
        else:
            self._http = HTTPConnection(host, parts.port, timeout=timeout)
        self._cut = False

    def read(self, headers: dict[str, str]) -> tuple[str, str]:
        """Read the page; give its content type and text.

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
            body = self._body(response)
        except (OSError, HTTPException, zlib.error) as error:
            self._http.close()
            raise SourceError(self._why(error)) from error
        except SourceError:
            self._http.close()
            raise
        return response.headers.get_content_type(), body.decode("utf-8", "replace")

    def cut(self) -> None:
        """End what is being read, so that its thread is free again."""
        self._cut = True
        with contextlib.suppress(OSError, AttributeError):
            self._http.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Release the connection."""
        self._http.close()

    def _ask(self, headers: dict[str, str]) -> HTTPResponse:
        if self._http.sock is None:
            self._connect()
        self._http.request("GET", self._target, headers={"Accept": ACCEPT, "Accept-Encoding": "gzip", **headers})
        return self._http.getresponse()

    def _connect(self) -> None:
        self._http.connect()
        peer = ipaddress.ip_address(self._http.sock.getpeername()[0].partition("%")[0])
        if (getattr(peer, "ipv4_mapped", None) or peer).is_link_local:
            raise SourceError(f"has the link-local address {peer}, which is never read")

    def _body(self, response: HTTPResponse) -> bytes:
        """The body of a good answer, unpacked."""
        if response.status != 200:
            raise SourceError(f"answers {response.status} {response.reason}"[:80])
        packed = response.headers.get("Content-Encoding", "identity").lower()
        if packed not in {"gzip", "identity"}:
            raise SourceError(f"is packed with {packed[:40]!r}, not with gzip")
        unpack = zlib.decompressobj(zlib.MAX_WBITS | 16) if packed == "gzip" else None
        limit = self._endpoint.max_bytes
        body = bytearray()
        while chunk := response.read1(_CHUNK):
            body += unpack.decompress(chunk, limit + 1 - len(body)) if unpack else chunk
            if len(body) > limit or (unpack and unpack.unconsumed_tail):
                raise SourceError(f"is longer than {limit} bytes")
        if self._cut:
            raise TimeoutError
        if response.length or (unpack and not unpack.eof):
            raise SourceError("breaks off before its end")
        response.close()  # read1 does not see the end, and an open response would cost the connection
        return bytes(body)

    def _why(self, error: Exception) -> str:
        if self._cut or isinstance(error, TimeoutError):
            return f"gives no answer within {seconds(self._endpoint.timeout)}"
        return str(getattr(error, "strerror", None) or error or type(error).__name__)[:200]


def _tls(endpoint: Endpoint) -> ssl.SSLContext:
    """The context of an https page.

    Raises:
        SourceError: a certificate cannot be read.
    """
    try:
        context = ssl.create_default_context(cafile=endpoint.ca_file)
        if endpoint.cert_file and endpoint.key_file:
            context.load_cert_chain(endpoint.cert_file, endpoint.key_file)
    except OSError as error:
        raise SourceError(f"a certificate cannot be read: {error.strerror or error}") from error
    return context
