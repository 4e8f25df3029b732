"""Histograms whose buckets do not end alike, as of two releases of an engine: through a real Prometheus, and directly.

Every world has a label `world` on all its series and targets, by which an endpoint of its own sees it alone.
"""

from dataclasses import dataclass, replace

import pytest
from support.prometheus_server import series

from scaler.config.endpoint import Endpoint, Page
from scaler.model.measurement import Failure, SignalQuery
from scaler.sources.pages.aggregate import measure
from scaler.sources.pages.exposition import scan
from scaler.sources.pages.pods import PageResult
from scaler.sources.prometheus.source import PrometheusSource

START = 1_790_000_000.0
AT = START + 600  # 41 samples, one each 15 s
NAME = "vllm:time_to_first_token_seconds"
UNLIKE = "its histograms have buckets that do not end alike, so they do not add up"


@dataclass(frozen=True)
class World:
    """Pages, each with what its buckets count in a second, and the quantile or share that they make."""

    name: str
    pages: tuple[tuple[str, dict[str, float]], ...]  # pod, and rates by the end of a bucket
    value: float | None
    doubt: str = ""
    quantile: float | None = 0.5
    at_most: float | None = None


OLD = {"0.1": 5, "0.5": 10, "1.0": 10, "+Inf": 10}
NEW = {"0.1": 0, "0.25": 8, "1.0": 10, "+Inf": 10}
SAME = {"0.1": 5, "0.5": 10, "1": 10, "+Inf": 10}  # as another client writes it
COARSE = {"0.5": 10, "+Inf": 10}
STRANGE = {"0.3": 5, "0.7": 10, "+Inf": 10}
LATE = {"2.5": 10, "+Inf": 10}
WORLDS = [
    World("alike", (("a", OLD), ("b", OLD)), 0.1),
    World("alike-but-for-how-it-is-written", (("a", OLD), ("b", SAME)), 0.1),
    World("two-releases", (("a", OLD), ("b", NEW)), 0.1 + 0.9 * 5 / 15, f"{UNLIKE}: a at 0.5 and b at 0.25"),
    World("one-that-is-coarser", (("a", OLD), ("b", COARSE)), 0.25, f"{UNLIKE}: a at 0.1, 1 and b at none of its own"),
    World("nothing-in-common", (("a", COARSE), ("b", STRANGE)), None, f"{UNLIKE}: b at 0.3, 0.7 and a at 0.5"),
    World("two-releases-in-a-pod", (("a", OLD), ("a", NEW)), 0.1 + 0.9 * 5 / 15, UNLIKE),
    World("a-share", (("a", OLD), ("b", NEW)), (10 + 8) / 20, quantile=None, at_most=0.5),
    World("a-share-of-alike", (("a", OLD), ("b", SAME)), 10 / 20, quantile=None, at_most=0.1),
    World("a-share-between-the-bounds", (("a", OLD), ("b", STRANGE)), (5 + 5) / 20, quantile=None, at_most=0.4),
    World("a-share-of-which-one-has-none", (("a", OLD), ("b", LATE)), 10 / 20, f"{UNLIKE}: a at 0.1, 0.5, 1 and b at 2.5", quantile=None, at_most=0.5),
    World("a-share-that-none-has", (("a", COARSE), ("b", LATE)), None, quantile=None, at_most=0.2),
]  # fmt: skip


def query_of(world):
    labels = (("namespace", "demo"), ("model", "m"))
    return SignalQuery("p", "vllm", "time_to_first_token", labels, None, 120.0, world.quantile, world.at_most)


def target_of(number, pod):
    return {"job": "llm", "instance": f"{pod}:{8000 + number}", "namespace": "demo", "pod": pod}


def stored(world):
    written = []
    for number, (pod, rates) in enumerate(world.pages):
        target = {"world": world.name, **target_of(number, pod)}
        written += series("up", target, "1x40", START)
        for le, rate in rates.items():
            written += counted(f"{NAME}_bucket", {**target, "le": le}, rate)
        written += counted(f"{NAME}_count", target, rates["+Inf"])
    return written


def counted(name, labels, rate, after=0, until=40):
    """A counter that grows by `rate` a second between two samples."""
    pause = f"_x{after} " if after else ""
    return series(name, {**labels, "model_name": "m"}, f"{pause}0+{rate * 15}x{until - after}", START)


def engine_that_was_replaced():
    """One pod whose engine has other buckets since six minutes."""
    target = {"world": "replaced", **target_of(0, "a")}
    written = series("up", target, "1x40", START)
    for le in OLD.keys() | NEW.keys():
        if le not in NEW:
            written += counted(f"{NAME}_bucket", {**target, "le": le}, OLD[le], until=15)
        elif le not in OLD:
            written += counted(f"{NAME}_bucket", {**target, "le": le}, NEW[le], after=16)
        else:
            written += counted(f"{NAME}_bucket", {**target, "le": le}, NEW[le])
    return [*written, *counted(f"{NAME}_count", target, 10)]


@pytest.fixture(scope="module")
def server(start_prometheus):
    return start_prometheus([*(line for world in WORLDS for line in stored(world)), *engine_that_was_replaced()])


def read(server, world, query):
    source = PrometheusSource(Endpoint("p", server.url, timeout=20, matchers={"world": world}))
    [reading] = source.fetch([query], [AT])[query]
    source.close()
    return reading


def told(reading):
    """The value and what is doubtful."""
    if isinstance(reading, Failure):
        return None, reading.reason
    return (None if reading.value is None else pytest.approx(reading.value)), reading.incomplete_reason


@pytest.mark.real
@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_through_prometheus(world, server):
    assert told(read(server, world.name, query_of(world))) == (world.value, world.doubt)


@pytest.mark.real
def test_an_engine_that_was_replaced_within_the_window_has_no_certain_quantile(server):
    query = replace(query_of(WORLDS[0]), window=600.0)
    assert read(server, "replaced", query).incomplete_reason == UNLIKE


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_on_the_pages_themselves(world):
    visits = []
    for number, (pod, rates) in enumerate(world.pages):
        lines = (f'{NAME}_bucket{{model_name="m",le="{le}"}} {rate}' for le, rate in rates.items())
        samples = scan("\n".join(lines).encode(), {f"{NAME}_bucket"})
        flows = {sample.key: sample.value for sample in samples}
        labels = {label: value for label, value in target_of(number, pod).items() if label in {"namespace", "pod"}}
        page = Page(f"http://10.0.0.{number}:8000/metrics", labels)
        visits.append(PageResult(page, {f"{NAME}_bucket": samples}, lambda _window, flows=flows: flows))
    query = query_of(world)
    reading = measure([query], visits, Endpoint("p").dialect, AT, AT, "p")[query]
    assert told(reading) == (world.value, world.doubt)
