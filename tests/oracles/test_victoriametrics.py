"""A real VictoriaMetrics, which speaks Prometheus' query API: the same readings, in time, at their true age.

Run by `make test-oracles`. Needs Go; the server is built below `.cache/`.

Where it differs from Prometheus on purpose: a quantile of a histogram that has no bucket without an end is a number, and
none in Prometheus. No engine writes such a one.
"""

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from sources import test_federation, test_silent_pages, test_unlike_buckets
from sources.test_same_values import AT, EXPECTED, PAGES, lines, query_of
from support.prometheus_server import REPO, Prometheus, free_port, openmetrics, until

from scaler.config import signals
from scaler.config.endpoint import Endpoint
from scaler.model.measurement import Failure, PromqlQuery, SignalQuery
from scaler.sources.prometheus.source import PrometheusSource

HERE = Path(__file__).parent / "victoriametrics"
BUILT = REPO / ".cache" / "victoriametrics" / "victoria-metrics"
PACKAGE = "github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-metrics"
WAITING = "vllm:num_requests_waiting"

pytestmark = pytest.mark.timeout(1200)  # the first run builds


class VictoriaMetrics(Prometheus):
    """The same with another program; what `load` is given is imported once it runs."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._lines: list[str] = []

    def start(self) -> "VictoriaMetrics":
        self.folder.mkdir(parents=True, exist_ok=True)
        self._configure()
        flags = [f"-storageDataPath={self.folder}/data", f"-httpListenAddr=127.0.0.1:{self.port}"]
        flags += ["-retentionPeriod=100y", f"-promscrape.config={self.folder}/prometheus.yml"]
        flags += ["-loggerLevel=WARN", "-memory.allowedBytes=256MB"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([BUILT, *flags], stdout=log, stderr=log)
        until(self.ready)
        if self._lines:
            self._post("/api/v1/import/prometheus", "\n".join(self._lines).encode())
            self._post("/internal/force_flush", b"")
        return self

    def ready(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            pytest.fail(f"VictoriaMetrics ended: {(self.folder / 'log').read_text()[-2000:]}")
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def load(self, openmetrics: str) -> None:
        """Keep samples for the start; it takes times in milliseconds."""
        written = (line.rsplit(" ", 2) for line in openmetrics.splitlines() if line and not line.startswith("#"))
        self._lines = [f"{series} {value} {round(float(at) * 1000)}" for series, value, at in written]

    def plainly(self, query: str) -> list[float]:
        """What it answers to somebody who does not know that it answers as of earlier."""
        asked = urllib.parse.urlencode({"query": query})
        with urllib.request.urlopen(f"{self.url}/api/v1/query?{asked}", timeout=5) as answer:
            return [float(row["value"][1]) for row in json.load(answer)["data"]["result"]]

    def _post(self, path: str, body: bytes) -> None:
        urllib.request.urlopen(urllib.request.Request(self.url + path, data=body, method="POST"), timeout=60).close()


@pytest.fixture(scope="module", autouse=True)
def program():
    if not BUILT.exists():
        go = shutil.which("go") or "/usr/local/go/bin/go"
        subprocess.run([go, "build", "-mod=readonly", "-o", str(BUILT), PACKAGE], cwd=HERE, check=True)


@pytest.fixture(scope="module")
def source(program, tmp_path_factory):
    server = VictoriaMetrics(tmp_path_factory.mktemp("victoriametrics"))
    server.load(
        "\n".join(line for name, page in PAGES.items() for line in lines(name, name, page["page"].splitlines()))
    )
    server.start()
    source = PrometheusSource(Endpoint("default", server.url, timeout=20))
    yield source
    source.close()
    server.kill()


@pytest.mark.parametrize("engine", PAGES)
def test_every_signal_of_an_engine_is_the_same(engine, source):
    queries = {
        query_of(signals.find(engine, name), engine): value for name_of, name, value in EXPECTED if name_of == engine
    }
    found = source.fetch(list(queries), [AT])
    for query, value in queries.items():
        reading = found[query][0]
        assert not isinstance(reading, Failure), (query.signal, reading)
        assert reading.value == pytest.approx(value), query.signal
        assert (reading.answered, reading.incomplete_reason) == (2, ""), query.signal


def test_what_is_no_query_is_refused_for_good(source):
    (refused,) = source.fetch([query := PromqlQuery("default", "sum(up")], [AT])[query]
    assert isinstance(refused, Failure)


def test_what_is_newest_is_asked_for_and_its_age_is_true(pages, tmp_path):
    def page(waiting: int) -> str:
        return f'{WAITING}{{model_name="m",engine="0"}} {waiting}\n'

    def reading():
        return source.fetch([query], [time.time()])[query][0]

    pages.pages["a"] = page(3)
    server = VictoriaMetrics(tmp_path / "victoriametrics")
    target = {"targets": [f"127.0.0.1:{pages.port}"], "labels": {"namespace": "demo", "pod": "a"}}
    server.scrape([{"job_name": "llm", "metrics_path": "/a/metrics", "static_configs": [target]}])
    server.start()
    source = PrometheusSource(Endpoint("default", server.url, timeout=5))
    query = SignalQuery("default", "vllm", "waiting", (("namespace", "demo"), ("model", "m")))
    try:
        until(lambda: reading().value == 3)
        pages.pages["a"] = page(50)
        until(lambda: (now := reading()).value == 50 and now.age < 30)
        assert server.plainly(WAITING) != [50.0], "by itself it answers as of half a minute ago"
        del pages.pages["a"]
        until(lambda: reading().incomplete_reason == "1 of 1 pods cannot be scraped")
    finally:
        source.close()
        server.kill()


# ---- what is told from the targets: the worlds that a real Prometheus is asked about ----------------------------------------

WORLDS = {
    test_silent_pages: test_silent_pages.test_what_a_silent_page_makes_of_a_reading,
    test_federation: test_federation.test_what_comes_through_another_prometheus_counts_once,
    test_unlike_buckets: test_unlike_buckets.test_through_prometheus,
}


@pytest.fixture(scope="module")
def worlds(program, tmp_path_factory):
    server = VictoriaMetrics(tmp_path_factory.mktemp("worlds"))
    written = [line for room in WORLDS for world in room.WORLDS for line in room.stored(world)]
    server.load(openmetrics(written))
    yield server.start()
    server.kill()


@pytest.mark.parametrize(
    ("holds", "world"),
    [(holds, world) for room, holds in WORLDS.items() for world in room.WORLDS],
    ids=lambda one: getattr(one, "name", ""),
)
def test_a_world_is_read_as_through_prometheus(holds, world, worlds):
    holds(world, worlds)
