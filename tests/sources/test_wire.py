"""One page over real HTTP: what may come from it, and what it cannot do."""

import gzip
import socket
import threading

import pytest
from sources.web import Web, send, zipped

from scaler.errors import SourceError
from scaler.settings import Endpoint
from scaler.sources.wire import Wire

LIMITED = Endpoint("pages", timeout=0.5, max_bytes=10_000)


@pytest.fixture
def web():
    server = Web()
    yield server
    server.close()


def read(url, endpoint=LIMITED, **headers):
    wire = Wire(url, endpoint)
    try:
        return wire.read(headers)
    finally:
        wire.close()


def drip(web):
    """A body that never ends, a byte at a time: no single read ever times out."""

    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        while not web.over.wait(0.05):
            handler.wfile.write(b"x")

    return answer


def test_a_page_is_read_plain_and_packed_over_one_connection(web):
    web.paths = {"/plain?a=b": "x 1\n", "/packed": zipped(b"y 2\n" * 2000)}
    wire = Wire(web.url("/plain?a=b"), LIMITED)
    assert [wire.read({"X-Scope": "a"})[1] for _ in range(3)] == ["x 1\n"] * 3
    wire.close()
    assert web.connections == 1
    path, headers = web.asked[0]
    assert (path, headers["X-Scope"], headers["Accept-Encoding"]) == ("/plain?a=b", "a", "gzip")
    assert read(web.url("/packed")) == ("text/plain", "y 2\n" * 2000)


def test_the_type_of_a_page_is_told(web):
    web.paths["/"] = lambda handler: send(handler, b"x 1", Content_Type="application/openmetrics-text; version=1.0.0")
    assert read(web.url("/")) == ("application/openmetrics-text", "x 1")


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (lambda h: send(h, b"no", 503), "answers 503"),
        (lambda h: send(h, b"", 302, Location="http://127.0.0.1:1/metrics"), "answers 302"),
        (lambda h: send(h, b"x" * 10_001), "longer than 10000 bytes"),
        (zipped(b"x" * 10_000_000), "longer than 10000 bytes"),  # 10 kB on the wire
        (lambda h: send(h, b"not gzip at all", Content_Encoding="gzip"), "incorrect header check"),
        (lambda h: send(h, b"x 1", Content_Encoding="br"), "packed with 'br'"),
        (lambda h: h.connection.shutdown(socket.SHUT_RDWR), "closed connection without response"),
    ],
)
def test_what_is_no_good_page_is_an_error_with_its_reason(web, answer, problem):
    web.paths["/"] = answer
    with pytest.raises(SourceError, match=problem):
        read(web.url("/"))


@pytest.mark.parametrize("header", [{}, {"Content_Encoding": "gzip"}])
def test_a_page_that_breaks_off_is_no_page(web, header):
    body = b"x 1\nx 2\n"

    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.send_header("Connection", "close")
        for name, value in header.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(gzip.compress(body) if header else body)

    web.paths["/"] = answer
    with pytest.raises(SourceError, match="breaks off before its end"):
        read(web.url("/"))


def test_a_packed_page_that_is_not_whole_is_no_page(web):
    web.paths["/"] = lambda handler: send(handler, gzip.compress(b"x 1\n" * 500)[:-12], Content_Encoding="gzip")
    with pytest.raises(SourceError, match="breaks off before its end"):
        read(web.url("/"))


def test_a_connection_that_was_closed_meanwhile_is_opened_again(web):
    web.paths["/"] = "x 1\n"
    wire = Wire(web.url("/"), LIMITED)
    wire.read({})
    wire._http.sock.shutdown(socket.SHUT_RDWR)
    assert wire.read({})[1] == "x 1\n"
    wire.close()
    assert web.connections == 2


def test_a_page_that_hangs_costs_its_time_out(web):
    web.paths["/"] = lambda handler: web.over.wait(20)
    with pytest.raises(SourceError, match="gives no answer within 500ms"):
        read(web.url("/"))


def test_a_page_that_drips_is_cut(web):
    web.paths["/"] = drip(web)
    wire = Wire(web.url("/"), LIMITED)
    threading.Timer(0.3, wire.cut).start()
    with pytest.raises(SourceError, match="gives no answer within"):
        wire.read({})


def test_nobody_there_is_an_error_with_its_reason():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening
        with pytest.raises(SourceError, match="Connection refused"):
            read(f"http://127.0.0.1:{taken.getsockname()[1]}/metrics")


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1", "::ffff:169.254.169.254"])
def test_a_link_local_address_gets_no_request(web, address):
    class Link(socket.socket):
        def getpeername(self):
            return (address, 80)

    def connect(address, *_args, **_kwargs):
        sock = Link()
        sock.connect(address)
        return sock

    web.paths["/"] = "secret 1\n"
    wire = Wire(web.url("/"), LIMITED)
    wire._http._create_connection = connect  # the only place where a test cannot have the real thing
    with pytest.raises(SourceError, match="link-local"):
        wire.read({})
    assert web.asked == []
