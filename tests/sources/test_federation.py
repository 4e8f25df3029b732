"""Series that came through another Prometheus, scraped without honor_labels: through a real Prometheus.

Every world has a label `world` on all its series and targets, by which an endpoint of its own sees it alone.
"""

import re
from dataclasses import dataclass, field, replace

import pytest
from support.prometheus_server import series

from scaler.config.endpoint import Endpoint
from scaler.config.signals import find
from scaler.model.measurement import SignalQuery, TargetPods
from scaler.sources.prometheus.source import PrometheusSource

START = 1_790_000_000.0
AT = START + 600  # 41 samples, one each 15 s
MAPPED = {"labels": {"namespace": "exported_namespace", "pod": "exported_pod"}}
ALL_MAPPED = {"labels": {**MAPPED["labels"], "job": "exported_job", "instance": "exported_instance"}}
FOREIGN = (
    "its series come through another Prometheus that is scraped without honor_labels, and their namespace or pod is "
    "its own: scrape its /federate with honor_labels, or say labels: {namespace: exported_namespace, pod: exported_pod} "
    "for this endpoint"
)


@dataclass(frozen=True)
class Through:
    """What one Prometheus gives of one page of a pod; of a counter what a second adds."""

    value: float
    prometheus: int | None = 0  # None: it is scraped without one between
    pod: str = "pod-0"
    port: int = 8000
    job: str = "llm"
    labels: dict[str, str] = field(default_factory=dict)
    until: int = 40
    up: str = ""  # of the engine's target, as far as that is federated

    @property
    def asked(self):
        return {"job": "federate", "instance": f"prometheus-{self.prometheus}:9090"}

    @property
    def own(self):
        return {"job": self.job, "instance": f"{self.pod}:{self.port}"}

    @property
    def where(self):
        if self.prometheus is None:
            return self.own
        return {**self.asked, **{f"exported_{label}": value for label, value in self.own.items()}}

    @property
    def full(self):
        return {"namespace": "demo", "pod": self.pod, "model_name": "m", **self.where, **self.labels}


@dataclass(frozen=True)
class World:
    name: str
    series: tuple[Through, ...]
    value: float | None
    doubt: str = ""
    signal: str = "vllm/waiting"
    settings: dict[str, object] = field(default_factory=dict)
    down: tuple[int, ...] = ()  # Prometheus that cannot be scraped now


def pair(value, **more):
    return tuple(Through(value, number, **more) for number in (0, 1))


def by_operator(value, number, **more):
    """The same where the Prometheus that is asked is a pod with a namespace of its own."""
    namespace = more.pop("namespace", "monitoring")
    labels = {
        "namespace": namespace,
        "pod": f"prometheus-{number}",
        "exported_namespace": "demo",
        "exported_pod": "pod-0",
    }
    return Through(value, number, labels=labels, **more)


def forked(label, first, second):
    return (
        f'pod-0 comes through several Prometheus with {label} "{first}" and "{second}": copies of one Prometheus, or '
        f"several clusters? Say scrapeLabels: [{label}], or matchers with one {label}, for this endpoint"
    )


TWINS = tuple(Through(9, number, labels={"twin": name}) for number, name in enumerate("ab"))
TTFT = "vllm/generation_tokens_per_second"
WORLDS = [
    World("one-prometheus", (Through(9), Through(4, pod="pod-1")), 13),
    World("a-pair", (*pair(9), *pair(4, pod="pod-1")), 13),
    World("a-pair-of-which-one-is-late", (Through(9, 0), Through(8, 1)), 9),
    World("a-pair-of-rates", pair(30), 30, signal=TTFT),
    World("a-pair-of-shares", (*pair(0.2), *pair(0.6, pod="pod-1")), 0.4, signal="vllm/kv_cache_usage"),
    World("a-pair-with-replica-labels", tuple(Through(9, n, labels={"prometheus_replica": f"p-{n}"}) for n in (0, 1)), 9),
    World("two-ranks-through-a-pair", (*pair(9), *pair(6, port=8001)), 15),
    World("ranks-of-one-page-through-a-pair", (*pair(9, labels={"engine": "0"}), *pair(6, labels={"engine": "1"})), 15),
    World("shards-that-have-each-a-part", (Through(9, 0), Through(6, 1, pod="pod-1"), Through(5, 1, port=8001)), 20),
    World("two-jobs-of-one-page-through-a-pair", (*pair(9), *pair(9, job="again")), 9),
    World("two-jobs-at-two-ports", (*pair(9), *pair(9, job="other", port=8001)), 18, 'pod-0 is scraped at instance="pod-0:8000" of job="llm" and instance="pod-0:8001" of job="other": one engine twice, or several? Say podPages: same or podPages: sum for this endpoint'),
    World("beside-what-is-scraped-directly", (Through(9, None), Through(9, 0)), 9),
    World("a-pair-that-a-label-tells-apart", TWINS, 9, forked("twin", "a", "b")),
    World("a-pair-of-which-one-has-a-label", (Through(9, 0), Through(9, 1, labels={"twin": "b"})), 9, forked("twin", "", "b")),
    World("a-pair-whose-label-is-known", TWINS, 9, settings={"scrape_labels": ("twin",)}),
    World("instances-of-the-engine-s-own", tuple(Through(value, None, port=port, labels={"exported_instance": "0"}) for value, port in ((9, 1), (6, 2))), 15),
    World("namespace-and-pod-of-the-other", tuple(by_operator(9, n, namespace="demo") for n in (0, 1)), 18, FOREIGN),
    World("namespace-and-pod-mapped", tuple(by_operator(9, n) for n in (0, 1)), 9, settings=MAPPED),
    World("all-of-it-mapped", tuple(by_operator(9, n) for n in (0, 1)), 9, settings=ALL_MAPPED),
    World("one-of-the-pair-is-down", (Through(9, 0, until=37), Through(9, 1)), 9, "1 of 2 pods cannot be scraped", down=(0,)),
    World("a-page-is-down-and-its-up-is-federated", (*pair(9), *pair(5, pod="pod-1", until=37, up="1x37 0x2")), 14, "1 of 3 pods cannot be scraped"),
]  # fmt: skip


def query_of(world):
    signal = find(*world.signal.split("/"))
    known = {"namespace": "demo", "model": "m"}
    labels = tuple((label, known[label]) for label in signal.labels)
    return SignalQuery("p", signal.engine, signal.name, labels, window=signal.window)


def stored(world):
    signal = find(*world.signal.split("/"))
    name = signal.metrics[0].name
    written, targets = [], {}
    for one in world.series:
        values = f"{one.value}x{one.until}" if signal.type == "gauge" else f"0+{one.value * 15}x{one.until}"
        written += series(name, {**one.full, "world": world.name}, values, START)
        targets[tuple(one.asked.items() if one.prometheus is not None else one.own.items())] = one.prometheus
        if one.up:
            target = {label: value for label, value in one.full.items() if label != "model_name"}
            written += series("up", {**target, "world": world.name}, one.up, START)
    for target, prometheus in targets.items():
        up = "1x37 0x2" if prometheus in world.down else "1x40"
        written += series("up", {**dict(target), "world": world.name}, up, START)
    return written


@pytest.fixture(scope="module")
def server(start_prometheus):
    return start_prometheus([line for world in WORLDS for line in stored(world)])


@pytest.mark.real
@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_what_comes_through_another_prometheus_counts_once(world, server):
    """Also at the first question, when nobody knows yet that there is another Prometheus between."""
    source = PrometheusSource(Endpoint("p", server.url, timeout=20, matchers={"world": world.name}, **world.settings))
    query = query_of(world)
    own = replace(query, target_pods=TargetPods(frozenset({"pod-0", "pod-1"}), frozenset()))
    first, again = (source.fetch([query, own], [at]) for at in (AT, AT + 1))
    source.close()
    for found in (first, again):
        [reading], [known] = found[query], found[own]
        assert reading.value == pytest.approx(world.value)
        doubt = re.sub(r"^1 of . pods cannot be scraped", "1 pod cannot be scraped", reading.incomplete_reason)
        assert doubt == re.sub(r"^1 of . pods cannot be scraped", "1 pod cannot be scraped", world.doubt)
        if world.doubt not in {FOREIGN} and "cannot be scraped" not in world.doubt:
            assert (known.value, known.incomplete_reason) == (pytest.approx(world.value), world.doubt)
