"""What a server, or what stands before it, can answer besides the right thing; on a real socket."""

import gzip
import http.server
import json
import re
import socket
import threading
import time
import urllib.parse
from pathlib import Path

import pytest

from scaler.config.endpoint import Endpoint
from scaler.model.measurement import Failure, HistoryProbe, PromqlQuery, Reading, SignalQuery
from scaler.sources.prometheus.api import clocks_differ
from scaler.sources.prometheus.source import PrometheusSource

QUERY = PromqlQuery("prom", "sum(up)")
GOOD = {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1000, "7"]}]}}


# The row by which an answer says that it is to the question that was asked.
NAMED = {"metric": {"asked": "ITS NAME"}, "value": [1000, "1"]}


def name_in(query):
    found = re.search(r'"asked", "(\w+)"', query)
    return found[1] if found else ""


class Wire:
    """A server that answers everything with one reply, in which ITS NAME is the question's, and remembers questions."""

    def __init__(self):
        self.slow_at = ""  # what a question has in it that takes long
        self.ahead = 0.0  # seconds by which its clock is ahead of ours
        self.status, self.headers, self.body, self.asked = 200, {}, json.dumps(GOOD).encode(), []
        wire = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def date_time_string(self, timestamp=None):
                return super().date_time_string((timestamp or time.time()) + wire.ahead)

            def do_POST(self):
                form = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
                wire.asked.append((self.path, form, dict(self.headers)))
                if wire.slow_at and wire.slow_at in form["query"]:
                    time.sleep(0.6)
                body = wire.body.replace(b"ITS NAME", name_in(form["query"]).encode())
                self.send_response(wire.status)
                for name, value in {"Content-Length": str(len(body)), **wire.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def says(self, body, status=200, **headers):
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.status, self.headers = status, {name.replace("_", "-"): value for name, value in headers.items()}

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def wire():
    wire = Wire()
    yield wire
    wire.close()


def fetch(url, query=QUERY, times=(1000.0,), **more):
    source = PrometheusSource(Endpoint("prom", url, **more))
    try:
        return source.fetch([query], times)[query][0]
    finally:
        source.close()


def result(kind, found):
    return {"status": "success", "data": {"resultType": kind, "result": found}}


@pytest.mark.parametrize(
    ("status", "body", "reason", "final"),
    [
        (200, b"<html>Sign in</html>", "answers 200 with text/html, not with JSON: '<html>Sign in</html>'", False),
        (502, b"<html>Bad Gateway", "answers 502 with text/html, not with JSON: '<html>Bad Gateway'", False),
        (200, b"", "answers 200 with text/html, not with JSON: ''", False),
        (200, b"[" * 100_000, "answers 200 with text/html, not with JSON: '[[[", False),
        (200, b"\xff\xfe\x00", "answers 200 with text/html, not with JSON: '", False),
        (200, b"[]", "answers 200 error: ", False),
        (200, {"status": "success"}, "answers in JSON that is not a query's result (KeyError('data'))", False),
        (200, result("vector", 5), "answers in JSON that is not a query's result (TypeError(", False),
        (
            200,
            result("vector", [{"metric": {}}]),
            "answers in JSON that is not a query's result (KeyError('value'))",
            False,
        ),
        (
            200,
            result("vector", [{"metric": {}, "value": [1000, "x"]}]),
            "answers in JSON that is not a query's result",
            False,
        ),
        (
            200,
            result("vector", [{"metric": [], "value": [1000, "1"]}]),
            "answers in JSON that is not a query's result",
            False,
        ),
        (200, {**GOOD, "infos": [5]}, "answers in JSON that is not a query's result (AttributeError(", False),
        (200, result("scalar", []), "answers in JSON that is not a query's result (IndexError(", False),
        (400, {"status": "error", "errorType": "bad_data", "error": "no"}, "query: bad_data: no", True),
        (200, {"status": "error", "errorType": "bad_data", "error": "no"}, "answers 200 bad_data: no", False),
        (422, {"status": "error", "errorType": "execution", "error": "many"}, "answers 422 execution: many", False),
        (503, {"status": "error", "errorType": "timeout", "error": "late"}, "answers 503 timeout: late", False),
        (429, {"status": "error"}, "answers 429 error: ", False),
        (500, {**GOOD}, "answers 500 error: ", False),
        (401, b"token abc is wrong", "refuses the credentials (401)", False),
        (403, b"token abc is wrong", "forbids the query with these credentials (403)", False),
        (302, b"", "answers with a redirect (302) to http://", False),
    ],
)
def test_what_is_not_an_answer_is_a_failure_that_says_why(wire, status, body, reason, final):
    wire.says(body, status, Content_Type="text/html", Location=f"{wire.url}/elsewhere")
    failure = fetch(wire.url)
    assert isinstance(failure, Failure)
    assert failure.reason.startswith(f"endpoint `prom` ({wire.url}) {reason}")
    assert (failure.config_error, failure.at, failure.source) == (final, 1000.0, "prom: sum(up)")
    assert len(failure.reason) < 500
    assert "abc" not in failure.reason
    assert len(wire.asked) == 1  # neither tried again nor followed


def test_a_question_is_asked_in_the_body_with_a_time_out_for_the_server(wire):
    assert fetch(f"{wire.url}/prefix/", timeout=1.5) == Reading(7.0, 1000.0, source="prom: sum(up)")
    (path, form, headers) = wire.asked[0]
    assert path == "/prefix/api/v1/query"
    assert form == {"query": "sum(up)", "time": "1000.000", "timeout": "1500ms", "latency_offset": "1ms"}
    assert "Authorization" not in headers
    wire.says(result("matrix", []))
    assert fetch(wire.url, times=(1000.5, 1003.0)).value is None
    (path, form, _) = wire.asked[1]
    assert path == "/api/v1/query_range"
    assert form == {
        "query": "sum(up)",
        "start": "1000.500",
        "end": "1003.000",
        "step": "2.500",
        "timeout": "2000ms",
        "latency_offset": "1ms",
    }


def test_an_answer_that_is_too_large_is_not_read_to_its_end(wire):
    wire.says(gzip.compress(b" " * 50_000_000), Content_Encoding="gzip")
    assert fetch(wire.url, max_bytes=1_000_000).reason.endswith("answers with more than 1000000 bytes")


def test_points_at_times_that_nobody_asked_about(wire):
    wire.says(result("matrix", [{"metric": {}, "values": [[1001.2, "5"], [5000, "6"]]}]))
    source = PrometheusSource(Endpoint("prom", wire.url))
    assert [one.value for one in source.fetch([QUERY], [1000.0, 1001.0])[QUERY]] == [None, 5]
    wire.says(result("matrix", [{"metric": {}, "values": [[1e400, "5"]]}]))
    assert isinstance(source.fetch([QUERY], [1000.0, 1001.0])[QUERY][1], Failure)
    source.close()


def test_an_answer_of_too_many_series_is_a_failure(wire):
    wire.says(result("vector", [{"metric": {"pod": str(at)}, "value": [1, "1"]} for at in range(11)]))
    assert fetch(wire.url, max_series=10).reason.endswith("answers with 11 series, more than 10")


@pytest.mark.parametrize(
    ("more", "partial"),
    [
        ({"warnings": ["store-2 is down"]}, "store-2 is down"),
        ({"warnings": ["a", "b"], "infos": ["c"]}, "a; b; c"),
        ({"warnings": [], "infos": ["PromQL info: metric might not be a counter"]}, ""),
        ({"warnings": ["PromQL info: metric might not be a counter"]}, ""),  # as Prometheus 2.53 has it
        ({"warnings": ["x" * 10_000]}, "x" * 300),
        ({"warnings": None}, ""),
    ],
)
def test_a_partial_answer_says_so(wire, more, partial):
    wire.says({**GOOD, **more})
    assert fetch(wire.url) == Reading(7.0, 1000.0, incomplete_reason=partial, source="prom: sum(up)")


def test_counts_that_no_server_should_give(wire):
    stats = {"value": "NaN", "answered": "NaN", "missing": "+Inf", "age": "NaN"}
    rows = [{"metric": {"namespace": ["odd"], "stat": "value"}, "value": [1000, "1"]}]
    rows += [{"metric": {"namespace": "n", "stat": stat}, "value": [1000, value]} for stat, value in stats.items()]
    wire.says(result("vector", [*rows, NAMED]))
    reading = fetch(wire.url, SignalQuery("prom", "tgi", "waiting", (("namespace", "n"),)))
    assert (reading.value, reading.answered, reading.age) == (None, 0, None)
    assert reading.incomplete_reason


WAITING = SignalQuery("prom", "tgi", "waiting", (("namespace", "n"),))


@pytest.mark.parametrize(
    "names", [[], ["00000000"], ["ITS NAME", "00000000"]], ids=["of no question", "of another", "of two"]
)
def test_the_answer_to_another_question_is_none(wire, names):
    """As of a cache that knows a question by too little, or a server without the data that says so with nothing."""
    rows = [{"metric": {"namespace": "n", "stat": stat}, "value": [1000, "7"]} for stat in ("value", "answered")]
    named = [{"metric": {"asked": name}, "value": [1000, "1"]} for name in names]
    wire.says(result("vector", [*rows, *named]))
    said = "answers another question than it was asked: does a proxy or a cache stand before it?"
    assert fetch(wire.url, WAITING).reason.endswith(said)
    wire.says(result("matrix", []))
    failure = fetch(wire.url, WAITING)
    assert failure.reason.endswith(said)
    assert not failure.config_error, "nobody wrote a wrong query"
    wire.says(result("vector", [*rows, NAMED]))
    assert fetch(wire.url, WAITING).value == 7


def test_what_takes_too_long_is_cut_off_from_the_others_and_asked_more_seldom(wire):
    """A stranger's millions of series take the server's time from all, as often as they are asked for."""
    rows = [{"metric": {"namespace": "n", "stat": stat}, "value": [1000, "7"]} for stat in ("value", "answered")]
    wire.says(result("vector", [*rows, NAMED]))
    wire.slow_at = '"evil'
    culprits = [SignalQuery("prom", "tgi", "waiting", (("namespace", f"evil-{number}"),)) for number in range(3)]
    plain = HistoryProbe("prom", 60)
    source = PrometheusSource(Endpoint("prom", wire.url, timeout=0.3, max_series=1_000_000))
    told, asked = [], []
    for second in range(12):
        before = len(wire.asked)
        told.append(source.fetch([plain, WAITING, *culprits], [1000.0 + second]))
        asked.append(sum('"evil' in form["query"] for _, form, _ in wire.asked[before:]))
    source.close()
    values = [getattr(one[WAITING][0], "value", None) for one in told]
    assert values.index(7) < 4, "it was cut off"
    assert set(values[values.index(7) :]) == {7}
    assert all(isinstance(one[culprit][0], Failure) for one in told for culprit in culprits)
    assert "what takes so long is asked more seldom" in told[-1][culprits[0]][0].reason
    assert sum(asked[-6:]) <= 2, "of three that are slow one at a time, each 5 s"


@pytest.mark.parametrize("kind", ["vector", "scalar"])
def test_an_answer_that_is_as_of_another_time_is_none(wire, kind):
    for at, good in ((1000.0, True), (1001.0, True), (700.0, False), (4600.0, False), (float("nan"), False)):
        point = [at, "7"]
        wire.says(result(kind, [{"metric": {}, "value": point}] if kind == "vector" else point))
        told = fetch(wire.url)
        assert isinstance(told, Reading) == good
        if at == 700.0:
            assert told.reason.endswith("answers as of a time 5m off the one it was asked about: is it a cache's?")


def test_doubts_about_a_signal_are_told_together(wire):
    stats = {"value": "7", "answered": "2", "missing": "1", "oldest": "799.5"}
    rows = [{"metric": {"namespace": "n", "stat": stat}, "value": [1000, value]} for stat, value in stats.items()]
    wire.says({**result("vector", [*rows, NAMED]), "warnings": ["store-2 is down"]})
    reading = fetch(wire.url, SignalQuery("prom", "tgi", "waiting", (("namespace", "n"),)))
    assert (reading.value, reading.answered, reading.expected, reading.age) == (7, 2, 3, 200.5)
    assert reading.incomplete_reason == "store-2 is down; 1 of 3 pods cannot be scraped; its oldest sample is 3m20s old"


def test_credentials_are_read_from_their_files_at_each_use(wire, tmp_path):
    token = tmp_path / "token"
    source = PrometheusSource(Endpoint("prom", wire.url, bearer_token_file=token, headers={"X-Scope-OrgID": "tenant"}))
    for secret in ("first\n", "second"):
        token.write_text(secret)
        assert isinstance(source.fetch([QUERY], [1000.0])[QUERY][0], Reading)
    assert [headers["Authorization"] for _, _, headers in wire.asked] == ["Bearer first", "Bearer second"]
    assert wire.asked[0][2]["X-Scope-OrgID"] == "tenant"
    token.unlink()
    assert source.fetch([QUERY], [1000.0])[QUERY][0].reason == (
        f"endpoint `prom` ({wire.url}) the secret in {token} cannot be read: No such file or directory"
    )
    token.write_text("two\nlines")
    assert "holds characters that no header can" in source.fetch([QUERY], [1000.0])[QUERY][0].reason
    assert len(wire.asked) == 2
    source.close()


def test_basic_authentication(wire, tmp_path):
    password = tmp_path / "password"
    password.write_text("secret")
    assert isinstance(fetch(wire.url, username="me", password_file=password), Reading)
    assert wire.asked[0][2]["Authorization"] == "Basic bWU6c2VjcmV0"


def test_the_environment_changes_nothing(wire, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    wire.says(GOOD, Set_Cookie="session=1")
    source = PrometheusSource(Endpoint("prom", wire.url))
    assert all(isinstance(source.fetch([QUERY], [1000.0])[QUERY][0], Reading) for _ in range(2))
    assert all(not {"Authorization", "Cookie"} & set(headers) for _, _, headers in wire.asked)
    source.close()


def test_a_password_in_the_url_is_not_shown():
    failure = fetch("http://me:secret@127.0.0.1:1")
    assert failure.reason == "endpoint `prom` (http://127.0.0.1:1) cannot be reached: Connection refused"
    assert "secret" not in repr(failure)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"ca_file": Path("/no/such/ca.pem")}, r"cannot be reached: .*/no/such/ca.pem"),
        (
            {"cert_file": Path("/no/such/cert.pem"), "key_file": Path("/no/such/key.pem")},
            r"cannot be reached: .*/no/such/cert.pem",
        ),
        ({}, r"cannot be reached: it does not speak HTTPS there"),
    ],
)
def test_tls_that_cannot_be_spoken(wire, more, reason):
    failure = fetch(wire.url.replace("http", "https"), **more)
    assert re.search(reason, failure.reason)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"", "cannot be reached: (Remote end closed connection without response|Connection reset by peer)"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "cannot be reached: "),
        (b"not HTTP\r\n\r\n", "cannot be reached: "),
    ],
)
def test_a_connection_that_breaks(sent, reason):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            peer, _ = listener.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(sent)

        thread = threading.Thread(target=answer)
        thread.start()
        failure = fetch(f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()
    assert re.search(reason, failure.reason)
    assert not failure.config_error


def test_an_answer_that_never_ends_is_cut_off():
    """One byte at a time keeps every read short, so only the time-out of the whole tick helps."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip():
            peer, _ = listener.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
                try:
                    while not ended.wait(0.02):
                        peer.sendall(b" ")
                except OSError:
                    ended.set()

        thread = threading.Thread(target=drip)
        thread.start()
        source = PrometheusSource(Endpoint("prom", f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=0.3))
        failure = source.fetch([QUERY], [1000.0])[QUERY][0]
        assert failure.reason.endswith("gives no answer within 300ms")
        assert ended.wait(10)  # the connection was closed, so its thread is free again
        thread.join()
        source.close()


# ---- whose clock it is -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ahead", "said"), [(0, ""), (3, ""), (-3, ""), (3600, "ahead of"), (-7200, "behind")])
def test_nothing_is_certain_that_a_server_says_of_another_time(wire, ahead, said):
    """Our clock was set back by an hour: what it says of now, as we know it, is what there was an hour ago."""
    wire.ahead = ahead
    for query, value in ((QUERY, 7.0), (HistoryProbe("prom", 60.0), 1.0)):
        source = PrometheusSource(Endpoint("prom", wire.url), time.time)
        (reading,) = source.fetch([query], (1000.0,))[query]
        source.close()
        assert reading.value == value
        assert bool(reading.incomplete_reason) == bool(said)
        assert said in reading.incomplete_reason
    source = PrometheusSource(Endpoint("prom", wire.url), time.time)
    trouble = source.trouble(1000.0)
    assert (bool(trouble), said in trouble) == (bool(said), True)
    source.close()


@pytest.mark.parametrize("date", ["", "yesterday", "Thu, 99 Foo 2026 25:00:00 GMT", "0", "-1e999"])
def test_who_tells_no_time_is_not_doubted_for_it(date):
    assert clocks_differ(date, 1000.0, 1001.0) == ""


def test_where_clocks_begin_to_differ():
    """The header has whole seconds, and is written between the question and its answer."""
    date = "Thu, 01 Jan 1970 00:16:40 GMT"  # 1000 s
    assert clocks_differ(date, 990.0, 995.0) == ""
    assert clocks_differ(date, 990.0, 994.5).startswith("the server's clock is 6s ahead of ours")
    assert clocks_differ(date, 1006.0, 1010.0) == ""
    assert clocks_differ(date, 1006.5, 1010.0).startswith("the server's clock is 6s behind ours")
