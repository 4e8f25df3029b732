"""One page over real HTTP: what may come from it, and what it cannot do."""

import asyncio
import contextlib
import gzip
import socket
import ssl
from dataclasses import replace
from ipaddress import ip_network

import pytest
import trustme
from sources.web import Web, send, zipped

from scaler.config.endpoint import Endpoint, Page
from scaler.model.errors import SourceError
from scaler.sources.http import PageClient
from scaler.sources.names import Names

LIMITED = Endpoint("pages", timeout=0.5, max_bytes=10_000)


@pytest.fixture
def web():
    server = Web()
    yield server
    server.close()


@contextlib.asynccontextmanager
async def reading(endpoint=LIMITED):
    """Gives a client of the endpoint's."""
    names = Names(endpoint.name)
    client = PageClient(endpoint, names, at_once=4, per_host=4)
    try:
        yield client
    finally:
        await client.close()
        names.close()


def read(page, endpoint=LIMITED, **headers):
    async def once():
        async with reading(endpoint) as client:
            return await client.read(Page(page) if isinstance(page, str) else page, headers)

    return asyncio.run(once())


def drip(web):
    """A body that never ends, a byte at a time: no single read ever times out."""

    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        while not web.over.wait(0.05):
            handler.wfile.write(b"x")

    return answer


async def test_a_page_is_read_plain_and_packed_over_one_connection(web):
    web.paths = {"/plain?a=b": "x 1\n", "/packed": zipped(b"y 2\n" * 2000)}
    async with reading() as client:
        page = Page(web.url("/plain?a=b"))
        assert [(await client.read(page, {"X-Scope": "a"}))[1] for _ in range(3)] == [b"x 1\n"] * 3
        assert web.connections == 1
        assert await client.read(Page(web.url("/packed")), {}) == ("text/plain", b"y 2\n" * 2000)
    path, headers = web.asked[0]
    assert (path, headers["X-Scope"], headers["Accept-Encoding"]) == ("/plain?a=b", "a", "gzip")
    assert set(headers) == {"Host", "Accept", "Accept-Encoding", "X-Scope"}


def test_the_type_of_a_page_is_told(web):
    kind = "application/openmetrics-text; version=1.0.0"
    web.paths["/"] = lambda handler: send(handler, b"x 1\n# EOF\n", Content_Type=kind)
    assert read(web.url("/")) == ("application/openmetrics-text", b"x 1\n# EOF\n")


def test_openmetrics_without_its_end_is_a_part_whatever_length_is_told(web):
    web.paths["/"] = lambda handler: send(handler, b"x 1\n", Content_Type="application/openmetrics-text")
    with pytest.raises(SourceError, match="breaks off before its end"):
        read(web.url("/"))


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (lambda h: send(h, b"no", 503), "answers 503"),
        (lambda h: send(h, b"", 302, Location="http://127.0.0.1:1/metrics"), "answers 302"),
        (lambda h: send(h, b"x" * 10_001), "longer than 10000 bytes"),
        (zipped(b"x" * 10_000_000), "longer than 10000 bytes"),  # 10 kB on the wire
        (lambda h: send(h, b"not gzip at all", Content_Encoding="gzip"), "answers with broken gzip"),
        (lambda h: send(h, b"x 1", Content_Encoding="br"), "is packed, and not with gzip"),
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


@pytest.mark.parametrize(
    ("kind", "body", "whole"),
    [
        ("text/plain", b"x 1\nx 23\n", True),
        ("text/plain", b"x 1\nx 2", False),
        ("application/openmetrics-text", b"x 1\nx 23\n# EOF\n", True),
        ("application/openmetrics-text", b"x 1\nx 23\n", False),
    ],
)
def test_a_page_that_ends_with_its_connection_has_the_end_that_its_format_wants(web, kind, body, whole):
    """Else 23 would be read as 2 where the other side dies while it writes."""

    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", kind)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = True

    web.paths["/"] = answer
    if whole:
        assert read(web.url("/"))[1] == body
    else:
        with pytest.raises(SourceError, match="breaks off before its end"):
            read(web.url("/"))


def test_a_packed_page_that_is_not_whole_is_no_page(web):
    web.paths["/"] = lambda handler: send(handler, gzip.compress(b"x 1\n" * 500)[:-12], Content_Encoding="gzip")
    with pytest.raises(SourceError, match="breaks off before its end"):
        read(web.url("/"))


async def test_a_connection_that_was_closed_meanwhile_is_opened_again(web):
    web.paths["/"] = "x 1\n"
    async with reading() as client:
        await client.read(Page(web.url("/")), {})
        web.cut()
        assert (await client.read(Page(web.url("/")), {}))[1] == b"x 1\n"
    assert web.connections == 2


def test_a_page_that_hangs_costs_its_time_out(web):
    web.paths["/"] = lambda handler: web.over.wait(20)
    with pytest.raises(SourceError, match="gives no answer within 500ms"):
        read(web.url("/"))


def test_a_page_that_drips_is_cut(web):
    web.paths["/"] = drip(web)
    with pytest.raises(SourceError, match="gives no answer within 500ms"):
        read(web.url("/"))


def test_nobody_there_is_an_error_with_its_reason():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening
        with pytest.raises(SourceError, match="Connection refused"):
            read(f"http://127.0.0.1:{taken.getsockname()[1]}/metrics")


@pytest.mark.parametrize(
    ("page", "problem"),
    [
        (Page("http://gateway/metrics", ip="169.254.169.254"), "link-local"),
        (Page("http://10.0.0.7/metrics", ip="::ffff:169.254.169.254"), "link-local"),
        (Page("http://169.254.169.254/latest/meta-data"), "link-local"),
        (Page("http://[fd00:ec2::254]/latest"), "metadata service"),
        (Page("http://PORT/metrics", ip="127.0.0.1"), "is at 127.0.0.1, a loopback address"),
    ],
)
def test_an_address_that_is_never_read_gets_no_request(web, page, problem):
    page = replace(page, url=page.url.replace("PORT", f"gateway:{web.port}"))
    with pytest.raises(SourceError, match=problem):
        read(page)
    assert web.asked == []


def test_a_found_page_is_asked_for_under_its_name(web):
    web.paths["/m"] = "x 1\n"
    endpoint = replace(LIMITED, networks=(ip_network("127.0.0.0/8"),))
    assert read(Page(f"http://gateway.team:{web.port}/m", ip="127.0.0.1"), endpoint)[1] == b"x 1\n"
    assert web.asked[0][1]["Host"] == f"gateway.team:{web.port}"


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-secret\r\n",
        b"secret\r\n\r\n",
        b"HTTP/1.1 500 secret\r\nContent-Length: 6\r\n\r\nsecret",
        b"HTTP/1.1 799 secret\r\n\r\n",
        b"HTTP/9.secret 200 secret\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: secret\r\n\r\nsecret",
        b"HTTP/1.1 302 secret\r\nLocation: http://secret@elsewhere/?token=secret#secret\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nsecret\r\nsecret",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 6\r\n\r\nsecret",
        b"HTTP/1.1 200 OK\r\n" + b"secret: secret\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nsecret: " + b"secret" * 20_000 + b"\r\n\r\n",
    ],
)
def test_nothing_of_what_is_answered_is_in_the_error(web, answer):
    def write(handler):
        handler.wfile.write(answer)
        handler.close_connection = True

    web.paths["/"] = write
    with pytest.raises(SourceError) as raised:
        read(web.url("/"))
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "head", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n"]
)
def test_whatever_drips_is_cut(web, head):
    def drip(handler):
        handler.wfile.write(head)
        with contextlib.suppress(OSError):
            while not web.over.wait(0.05):
                handler.wfile.write(b"x")

    web.paths["/"] = drip
    told = "gives no answer within 500ms" if head else "answers in what is not HTTP"
    with pytest.raises(SourceError, match=told):
        read(web.url("/"))


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("https://llm.example.com/metrics", "to https://llm.example.com/metrics"),
        ("/login", "to /login"),
        ("http://me:secret@llm/metrics?token=secret", "to http://llm/metrics"),
        ("http://[", "to nowhere"),
        ("", "to nowhere"),
        ("/\u00fc" + "x" * 300, "to /" + "x" * 199),
    ],
)
def test_a_redirect_is_not_followed_and_where_it_leads_is_said(web, location, told):
    web.paths["/"] = lambda handler: send(handler, b"", 302, Location=location)
    with pytest.raises(SourceError) as raised:
        read(web.url("/"))
    assert str(raised.value) == f"answers 302 Found, a redirect {told}, which is not followed"
    assert [path for path, _ in web.asked] == ["/"]


@pytest.mark.parametrize("at_once", [True, False])
def test_gzip_of_several_members_is_put_together(web, at_once):
    parts = [b"x 1\n" * 100, b"", b"y 2\n", b"z 3\n"]
    packed = b"".join(map(gzip.compress, parts))

    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Encoding", "gzip")
        handler.send_header("Content-Length", str(len(packed)))
        handler.end_headers()
        for piece in [packed] if at_once else [packed[at : at + 1] for at in range(len(packed))]:
            handler.wfile.write(piece)

    web.paths["/"] = answer
    assert read(web.url("/"))[1] == b"".join(parts)


@pytest.mark.parametrize("cut", [1, 9, 30])
def test_a_member_that_breaks_off_is_no_page(web, cut):
    packed = (gzip.compress(b"x 1\n") + gzip.compress(b"y 2\n"))[:-cut]
    web.paths["/"] = lambda handler: send(handler, packed, Content_Encoding="gzip")
    with pytest.raises(SourceError, match="breaks off before its end|broken|incorrect|invalid"):
        read(web.url("/"))


def test_members_together_are_not_longer_than_is_allowed(web):
    packed = gzip.compress(b"x" * 9_000) * 2
    web.paths["/"] = lambda handler: send(handler, packed, Content_Encoding="gzip")
    with pytest.raises(SourceError, match="is longer than 10000 bytes"):
        read(web.url("/"))


def test_gzip_of_very_many_members_is_no_page(web):
    packed = gzip.compress(b"") * 10_001
    web.paths["/"] = lambda handler: send(handler, packed, Content_Encoding="gzip")
    with pytest.raises(SourceError, match="is packed in more than 10000 parts"):
        read(web.url("/"), replace(LIMITED, timeout=10.0, max_bytes=1_000_000))


@pytest.mark.parametrize("packed", [True, False])
def test_a_long_page_is_read_whole(web, packed):
    body = b"x 1\n" * 250_000
    web.paths["/"] = zipped(body) if packed else lambda handler: send(handler, body)
    long = replace(LIMITED, timeout=10.0, max_bytes=len(body))
    assert read(web.url("/"), long)[1] == body
    with pytest.raises(SourceError, match=f"is longer than {len(body) - 1} bytes"):
        read(web.url("/"), replace(long, max_bytes=len(body) - 1))


@pytest.fixture
def zone(monkeypatch):
    """The name service: addresses by host."""
    known: dict[str, list[str]] = {}

    def look(host, *_args, **_kwargs):
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in known[host]]

    monkeypatch.setattr(socket, "getaddrinfo", look)
    return known


NEAR = replace(LIMITED, networks=(ip_network("127.0.0.0/8"),))


async def test_a_name_is_looked_up_for_each_connection_and_what_it_has_become_is_refused(web, zone):
    """A name that led to an engine leads to the metadata service later: no request is sent there."""
    web.paths["/"] = "x 1\n"
    page = Page(f"http://gateway.team:{web.port}/")
    zone["gateway.team"] = ["127.0.0.1"]
    async with reading(NEAR) as client:
        assert (await client.read(page, {}))[1] == b"x 1\n"
        web.cut()
        zone["gateway.team"] = ["169.254.169.254"]
        with pytest.raises(SourceError, match="is at 169.254.169.254, a link-local address, which is never read"):
            await client.read(page, {})
        zone["gateway.team"] = ["10.0.0.7"]
        with pytest.raises(SourceError, match="is at 10.0.0.7, in none of the endpoint's networks"):
            await client.read(page, {})
        zone["gateway.team"] = ["169.254.169.254", "127.0.0.1"]
        assert (await client.read(page, {}))[1] == b"x 1\n", "another of its addresses may be read"
    assert web.asked[0][1]["Host"] == f"gateway.team:{web.port}"


def test_a_name_that_leads_to_this_machine_is_refused_where_nobody_wrote_that(web, zone):
    zone["gateway.team"] = ["127.0.0.1"]
    with pytest.raises(SourceError, match="a loopback address, which the endpoint's networks do not name"):
        read(f"http://gateway.team:{web.port}/")
    assert web.asked == []


def test_a_name_that_nobody_knows_is_an_error_with_its_reason(zone):
    with pytest.raises(SourceError, match=r"^Name or service not known$"):
        read("http://nowhere.team:9090/metrics", NEAR)


async def test_a_certificate_that_was_renewed_is_taken(tmp_path):
    """The files of certificates may be rotated, as all secrets may."""
    first, second = trustme.CA(), trustme.CA()
    file = tmp_path / "ca.pem"
    first.cert_pem.write_to_path(str(file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    second.issue_cert("gateway.team").configure_cert(context)

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nx 1\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    page = Page(f"https://gateway.team:{server.sockets[0].getsockname()[1]}/", ip="127.0.0.1")
    async with server, reading(replace(NEAR, timeout=5.0, ca_file=file)) as client:
        with pytest.raises(SourceError, match="certificate verify failed"):
            await client.read(page, {})
        second.cert_pem.write_to_path(str(file))
        assert await client.read(page, {}) == ("text/plain", b"x 1\n")


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/metrics?model=qwen", "/metrics?model=qwen&autoload=false"),
        ("/metrics?x=1&model=a%2Fb:c", "/metrics?x=1&model=a%2Fb:c&autoload=false"),
        ("/metrics?model=qwen&autoload=true", "/metrics?model=qwen&autoload=true"),
        ("/metrics?autoload=&model=qwen", "/metrics?autoload=&model=qwen"),
        ("/metrics?models=qwen", "/metrics?models=qwen"),
        ("/metrics", "/metrics"),
    ],
)
def test_no_model_is_loaded_for_its_page_unless_the_path_says_so(path, asked, web):
    """A router of llama.cpp loads what is asked for, and unloads another for it."""
    web.paths = {asked: "x 1\n"}
    assert read(web.url(path))[1] == b"x 1\n"
    assert [path for path, _ in web.asked] == [asked]


def test_a_model_that_is_not_loaded_is_not_measured_and_the_sentence_says_why(web):
    web.paths = {"/metrics?model=qwen&autoload=false": lambda handler: send(handler, b"no", status=400)}
    with pytest.raises(SourceError) as told:
        read(web.url("/metrics?model=qwen"))
    assert str(told.value) == (
        "answers 400 Bad Request, and was asked to load no model for it (write autoload=true into its path to let it)"
    )
