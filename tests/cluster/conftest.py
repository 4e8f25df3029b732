"""One cluster for all scenarios, since it takes seconds to start; each scenario finds it empty and whole."""

from collections.abc import Iterator

import pytest
from cluster.lab import Lab
from cluster.llm_scaler import LlmScaler


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Lab]:
    plugins = request.config.pluginmanager
    reporter, capture = plugins.get_plugin("terminalreporter"), plugins.get_plugin("capturemanager")

    def say(line: str) -> None:  # what was seen is part of the report, also when the scenario passes
        with capture.global_and_fixture_disabled():
            reporter.ensure_newline()
            reporter.write_line(line)

    with Lab(hpa_sync=5, scrape=2, say=say) as running:
        yield running


@pytest.fixture
def lab(cluster: Lab) -> Iterator[Lab]:
    """The cluster, for one scenario."""
    yield cluster
    cluster.reset()


@pytest.fixture
def scaler(lab: Lab) -> LlmScaler:
    """llm-scaler, running, with the settings that most scenarios share."""
    process = LlmScaler(lab)
    process.start()
    return process
