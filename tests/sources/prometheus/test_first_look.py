"""What is certain before it is known what the targets are: a real Prometheus behind a proxy that keeps that back."""

import http.server
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
from support.prometheus_server import series

from scaler.config.endpoint import Endpoint
from scaler.model.measurement import SignalQuery
from scaler.sources.prometheus.source import LOOK_EVERY, TARGETS_LAST, PrometheusSource

START = 1_790_000_000.0
AT = START + 600
WAITING = SignalQuery("p", "vllm", "waiting", (("namespace", "demo"), ("model", "m")))
REPLICAS = SignalQuery("p", "kubernetes", "spec_replicas", (("namespace", "demo"), ("workload", "llm")))
COPIES = (
    'pod-0 has targets in job="llm" with twin "a" and "b": copies of one Prometheus, or several clusters? Say '
    "scrapeLabels: [twin], or matchers with one twin, for this endpoint"
)
UNKNOWN = "which targets there are is not known, so nothing tells what counts once ("


def forwarded(request):
    """Give status and body of the answer."""
    try:
        with urllib.request.urlopen(request, timeout=20) as got:
            return got.status, got.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read()


class Proxy:
    """Hands on what it is asked, but for queries with one of the words in `refused`."""

    def __init__(self, url):
        self.refused: dict[str, int] = {}  # word, and the status with which its queries are answered
        self.asked = 0  # of the whole of the targets
        self.looked = threading.Event()  # the last of the questions about targets and language was answered
        self.held: threading.Event | None = None  # for which the question about their labels waits
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                query = dict(urllib.parse.parse_qsl(body.decode()))["query"]
                if query.startswith("label_replace(sum by") and proxy.held:
                    proxy.held.set()  # the signals are asked for
                    proxy.looked.wait(30)
                    time.sleep(0.2)  # until that has arrived
                proxy.asked += '"is", ' in query
                held = proxy.held if '"has", ' in query else None
                if held:
                    held.wait(30)
                status = next((status for word, status in proxy.refused.items() if word in query), 0)
                answer = b'{"status": "error", "errorType": "execution", "error": "kept back"}'
                if not status:
                    kind = {"Content-Type": "application/x-www-form-urlencoded"}
                    status, answer = forwarded(urllib.request.Request(url + self.path, body, kind))
                if '"a.b"' in query:
                    proxy.looked.set()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def server(start_prometheus):
    written = series("kube_deployment_spec_replicas", {"namespace": "demo", "deployment": "llm"}, "3x40", START)
    for twin in "ab":  # two copies of a Prometheus, whose label nobody knows
        target = {"job": "llm", "instance": "pod-0:8000", "namespace": "demo", "pod": "pod-0", "twin": twin}
        written += series("up", target, "1x40", START)
        written += series("vllm:num_requests_waiting", {**target, "model_name": "m"}, "9x40", START)
    return start_prometheus(written)


@pytest.fixture
def proxy(server):
    proxy = Proxy(server.url)
    yield proxy
    proxy.close()


@pytest.fixture
def ask(proxy):
    source = PrometheusSource(Endpoint("p", proxy.url, timeout=20))
    yield lambda at, query=WAITING: source.fetch([query], [at])[query][0]
    source.close()


@pytest.mark.real
@pytest.mark.parametrize("word", ['"has", ', '"is", '])
def test_nothing_of_pods_is_certain_before_the_targets_were_seen(word, proxy, ask):
    proxy.refused = {word: 503}
    first = ask(AT)
    assert (first.value, first.incomplete_reason[: len(UNKNOWN)]) == (18, UNKNOWN)
    assert "503" in first.incomplete_reason
    assert (ask(AT, REPLICAS).value, ask(AT, REPLICAS).incomplete_reason) == (3, "")
    proxy.refused = {}
    assert ask(AT + 1).incomplete_reason == COPIES


@pytest.mark.real
def test_what_was_seen_of_the_targets_is_believed_for_minutes(proxy, ask):
    assert ask(AT - TARGETS_LAST).incomplete_reason == COPIES
    proxy.refused = {'"has", ': 503}
    assert ask(AT).incomplete_reason == COPIES
    assert ask(AT + 1).incomplete_reason.startswith(UNKNOWN)


@pytest.mark.real
def test_the_targets_are_looked_at_now_and_then(proxy, ask):
    for at in (0, 1, LOOK_EVERY - 1, LOOK_EVERY):
        ask(AT - 60 + at)
    assert proxy.asked == 2


@pytest.mark.real
def test_a_server_that_refuses_one_question_about_targets_is_asked_the_others(proxy, ask):
    proxy.refused = {"resets(": 422}
    assert ask(AT).incomplete_reason == COPIES


@pytest.mark.real
def test_where_the_targets_are_seen_in_the_meantime_and_are_as_was_taken_the_first_reading_is_certain(server):
    """As at a restart, when the server is asked for much at once."""
    for matchers, told in (({"twin": "a"}, ""), ({}, UNKNOWN)):
        proxy = Proxy(server.url)
        proxy.held = threading.Event()
        source = PrometheusSource(Endpoint("p", proxy.url, timeout=8, matchers=matchers))
        [reading] = source.fetch([WAITING], [AT])[WAITING]
        source.close()
        proxy.close()
        assert reading.incomplete_reason[: len(UNKNOWN)] == told
