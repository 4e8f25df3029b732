"""The first refusal, or the first arrival, is counted: at 0 replicas it may be the only one that ever wakes anything."""

import pytest
from sources.web import Web
from support.prometheus_server import series

from scaler.config.endpoint import Endpoint, Page
from scaler.config.signals import engines, find
from scaler.model.measurement import SignalQuery
from scaler.sources.pages.source import ScrapeSource
from scaler.sources.prometheus.source import PrometheusSource

START = 1_790_000_000.0
AT = START + 600
SIGNALS = [
    (engine, name) for engine, own in engines().items() for name, signal in own.items() if signal.counts_from_birth
]


def asked(engine, name):
    known = {"namespace": "demo", "model": "m", "route": "r"}
    signal = find(engine, name)
    return SignalQuery("p", engine, name, tuple((one, known[one]) for one in signal.labels), window=60.0)


def labels_of(engine, name):
    """What the first series of a signal has, beside what its scrape adds."""
    signal = find(engine, name)
    metric = signal.metrics[0]
    said = {**dict(signal.label_names), **dict(metric.label_names)}
    known = {"model": "m", "route": "r"}
    return {**{label: known[ours] for ours, label in said.items() if ours in known}, **dict(metric.where)}


def world(engine, name, kind):
    """A target that was scraped all the time, or not, and its first refusal half a minute ago; `kind` says what differs."""
    target = {"world": f"{engine}-{name}-{kind}", "job": "j", "instance": "a:1", "namespace": "demo", "pod": "a"}
    up = {"of-a-new-target": "_x38 1x2", "of-one-that-was-down": "0x37 1x2", "of-new-labels": "1x15"}
    lines = series("up", target, up.get(kind, "1x40"), START)
    if kind == "of-new-labels":
        target |= {"zone": "b"}
        lines += series("up", target, "_x38 1x2", START)
    values = {"of-long-ago": "3x40", "of-what-comes-and-goes": "3x5 _x32 3x2"}.get(kind, "_x38 3x2")
    return lines + series(find(engine, name).metrics[0].name, target | labels_of(engine, name), values, START)


KINDS = {
    "of-a-target": 3 / 60,
    "of-a-new-target": 0,
    "of-one-that-was-down": 0,
    "of-new-labels": 0,
    "of-long-ago": 0,
    "of-what-comes-and-goes": 0,
}


@pytest.fixture(scope="module")
def server(start_prometheus):
    return start_prometheus([line for one in SIGNALS for kind in KINDS for line in world(*one, kind)])


@pytest.mark.real
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("signal", SIGNALS, ids="-".join)
def test_a_new_series_counts_through_prometheus_where_its_target_is_none(signal, kind, server):
    query = asked(*signal)
    source = PrometheusSource(Endpoint("p", server.url, timeout=20, matchers={"world": f"{'-'.join(signal)}-{kind}"}))
    [reading] = source.fetch([query], [AT])[query]
    source.close()
    assert (reading.value, reading.incomplete_reason) == (pytest.approx(KINDS[kind]), "")


@pytest.mark.parametrize("signal", SIGNALS, ids="-".join)
def test_a_new_series_counts_on_a_page_that_was_read_before(signal):
    metric = find(*signal).metrics[0]
    written = ",".join(f'{label}="{value}"' for label, value in labels_of(*signal).items())
    line = f"{metric.name}{{{written}}} 3\n"
    web, clock = Web(), [1000.0]
    source = ScrapeSource(
        Endpoint("p", pages=(Page(web.url("/a"), {"namespace": "demo", "pod": "a"}),)), lambda: clock[0]
    )
    rates = []
    for page in ("other 1\n", "other 1\n", line, line):
        web.paths["/a"] = page
        clock[0] += 10
        rates.append(source.fetch([asked(*signal)], [clock[0]])[asked(*signal)][0].value)
    source.close()
    web.close()
    assert rates[2:] == [pytest.approx(3 / 20), pytest.approx(3 / 30)]


def test_a_page_that_is_read_for_the_first_time_says_nothing_of_what_came_before():
    web, clock = Web(), [1000.0]
    source = ScrapeSource(
        Endpoint("p", pages=(Page(web.url("/a"), {"namespace": "demo", "pod": "a"}),)), lambda: clock[0]
    )
    web.paths["/a"] = 'smg_router_requests_total{model="other"} 3\n'
    query, rates = asked("smg", "refused"), []
    for _ in range(2):
        clock[0] += 10
        rates.append(source.fetch([query], [clock[0]])[query][0].value)
    source.close()
    web.close()
    assert rates == [None, 0]
