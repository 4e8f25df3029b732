"""One cluster for all scenarios, since it takes seconds to start; each scenario finds it empty and whole.

What is seen is printed in whole lines, as it is seen, so that several clusters can share a terminal.
"""

import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from laboratory import build
from laboratory.lab import Lab
from laboratory.llm_scaler import LlmScaler


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Lab]:
    plugins = request.config.pluginmanager
    reporter, capture = plugins.get_plugin("terminalreporter"), plugins.get_plugin("capturemanager")

    def say(line: str) -> None:  # what was seen is part of the report, also when the scenario passes
        with capture.global_and_fixture_disabled():
            reporter.ensure_newline()
            reporter.write_line(line, flush=True)

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # killed, it cleans up as after Ctrl-C
    with Lab(hpa_sync=5, scrape=2, say=say) as running:
        yield running


@pytest.fixture
def lab(cluster: Lab, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The cluster, for one scenario."""
    began = time.monotonic()
    yield cluster
    cluster.say(f"  {time.monotonic() - began:.0f} s for {request.node.name}")
    cluster.reset()


@pytest.fixture
def scaler(lab: Lab) -> LlmScaler:
    """llm-scaler, running, with the settings that most scenarios share."""
    process = LlmScaler(lab)
    process.start()
    return process


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder below the laboratory's own, instead of pytest's elsewhere; gone afterwards."""
    build.CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=build.CACHE, prefix="test-") as folder:
        yield Path(folder)


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """No dot for a passed scenario: lines say more, and dots of several clusters would run into them."""
    return ("passed", "", "PASSED") if report.passed and report.when == "call" else None
