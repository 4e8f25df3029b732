"""One laboratory for all scenarios: it takes seconds to start, and scenarios keep to objects of their own."""

from collections.abc import Iterator

import pytest
from cluster.lab import Lab


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    with Lab(say=reporter.write_line) as running:
        yield running
