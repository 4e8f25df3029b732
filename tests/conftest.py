"""Fixtures that several rooms share."""

from collections.abc import Iterable

import pytest
from prometheus_server import Pages, Prometheus, openmetrics


@pytest.fixture(scope="session")
def start_prometheus(tmp_path_factory):
    """Start a real Prometheus over samples of the past (`series` lines); it ends with the session."""
    servers = []

    def start(lines: Iterable[str] = ()) -> Prometheus:
        server = Prometheus(tmp_path_factory.mktemp("prometheus"))
        servers.append(server)
        written = list(lines)
        if written:
            server.load(openmetrics(written))
        return server.start()

    yield start
    for server in servers:
        server.kill()


@pytest.fixture
def pages():
    served = Pages()
    yield served
    served.close()
