"""Fixtures that several rooms share."""

import asyncio
import inspect
from collections.abc import Iterable, Mapping

import pytest
from hypothesis import settings
from support.prometheus_server import Pages, Prometheus, openmetrics

settings.register_profile("tests", deadline=None)  # a busy machine is not a fault
settings.load_profile("tests")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Run a test that is a coroutine function on an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.function):
        return None
    wanted = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.function).parameters}
    asyncio.run(pyfuncitem.function(**wanted))
    return True


@pytest.fixture(scope="session")
def start_prometheus(tmp_path_factory):
    """Start a real Prometheus over samples of the past (`series` lines), with scrape jobs; it ends with the session."""
    servers = []

    def start(
        lines: Iterable[str] = (), jobs: Iterable[Mapping[str, object]] = (), flags: Iterable[str] = ()
    ) -> Prometheus:
        server = Prometheus(tmp_path_factory.mktemp("prometheus"), flags)
        server.scrape(jobs)
        servers.append(server)
        written = list(lines)
        if written:
            server.load(openmetrics(written))
        return server.start()

    yield start
    for server in servers:
        server.kill()


@pytest.fixture(scope="module")
def pages():
    served = Pages()
    yield served
    served.close()
