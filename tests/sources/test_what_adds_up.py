"""Which series of a pod add up, and which are the same thing again: through a real Prometheus, and on pages themselves.

Every world has a label `world` on all its series and targets, by which an endpoint of its own sees it alone.
"""

import re
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from itertools import starmap

import pytest
from sources.web import Web
from support.prometheus_server import series

from scaler.config.endpoint import Endpoint, Page
from scaler.config.signals import find
from scaler.model.measurement import SignalQuery, TargetPods
from scaler.sources.pages.aggregate import measure
from scaler.sources.pages.counters import JUMPS_WITHIN, PROCESS, Counters
from scaler.sources.pages.exposition import scan
from scaler.sources.pages.pods import PageResult
from scaler.sources.pages.source import ScrapeSource
from scaler.sources.prometheus.source import PrometheusSource

START = 1_790_000_000.0
AT = START + 600  # 41 samples, one each 15 s


@dataclass(frozen=True)
class Scrape:
    """One page of one pod as one scrape reads it: what its lines say stays so; of a counter it is what a second adds."""

    lines: tuple[str, ...]
    pod: str = "pod-0"
    port: int = 8000
    job: str = "engines"
    labels: dict[str, str] = field(default_factory=dict)  # more of the target's
    renamed: dict[str, str] = field(default_factory=dict)  # the engine's label -> what the scrape makes of it
    dropped: str = ""  # a label of the target's that its series do not get (metric_relabel_configs)
    honored: bool = False  # whether the engine's labels stand where the target has them too (honor_labels)

    @property
    def target(self):
        where = {"job": self.job, "instance": f"{self.pod}:{self.port}", "namespace": "demo", "pod": self.pod}
        return {label: value for label, value in {**where, **self.labels}.items() if value}


@dataclass(frozen=True)
class World:
    """What is scraped, and the reading that it makes."""

    name: str
    signal: str
    scrapes: tuple[Scrape, ...]
    value: float
    doubt: str = ""
    settings: dict[str, object] = field(default_factory=dict)
    known: bool = True  # whether it is the same where Kubernetes names the pods
    answered: int | None = None  # how many pods there are, where that is not as many as are named
    directly: bool = True  # whether the pages themselves are read too; not where the scrape is what matters


def both(waiting, **labels):
    told = "".join(f',{label}="{value}"' for label, value in labels.items())
    return f'vllm:num_requests_waiting{{model_name="m"{told}}} {waiting}'


def sglang(waiting, **labels):
    return both(waiting, **labels).replace("vllm:num_requests_waiting", "sglang:num_queue_reqs")


def frontend(rate, route):
    return f'dynamo_frontend_requests_total{{endpoint="{route}",model="m",status="success"}} {rate}'


def kv(share, rank):
    return f'vllm:kv_cache_usage_perc{{model_name="m",engine="{rank}"}} {share}'


PAIR = [{"prometheus_replica": name} for name in ("prometheus-a", "prometheus-b")]
REPLICA = [{"replica": name} for name in ("a", "b")]
FLOWS = tuple(
    f'llm_d_epp_flow_control_queue_size{{fairness_id="{name}",target_model_name="m"}} {size}'
    for name, size in (("x", 5), ("y", 1))
)
OLDER = ('inference_extension_flow_control_queue_size{fairness_id="x",target_model_name="m"} 4',)
TWO_JOBS = (
    'pod-0 is scraped at instance="pod-0:8000" of job="engines" and instance="pod-0:8001" of job="others": '
    "one engine twice, or several? Say podPages: same or podPages: sum for this endpoint"
)


def at_two_ports(job):
    return (Scrape((both(10),)), Scrape((both(7),), port=8001, job=job))


def twins(label, *, port=False):
    """The same pod with 9 or with 6, as two copies of Prometheus or two clusters have it."""
    lines = (both(9),) if label != "twin" else FLOWS
    return tuple(Scrape(lines, port=8000 + port * ord(name), labels={label: name}) for name in "ab")


def twins_doubt(label):
    return (
        f'pod-0 has targets in job="engines" with {label} "a" and "b": copies of one Prometheus, or several clusters? '
        f"Say scrapeLabels: [{label}], or matchers with one {label}, for this endpoint"
    )


def portless(*lines, job="engines"):
    """Two engines of a pod at two ports, whose instance is the pod's name."""
    first, second = ({"instance": "pod-0", "endpoint": name} for name in ("engine-0", "engine-1"))
    return Scrape(lines[:1], labels=first), Scrape(lines[1:], labels=second, job=job)


def clusters(lines, pods="ab", label="cluster"):
    """A pod in each of two clusters, of one namespace and model."""
    return tuple(Scrape(lines, pod=pod, labels={label: f"in-{at}"}) for at, pod in enumerate(pods))


def clusters_doubt(label="cluster"):
    return (
        f'its series are of {label} "in-0" and "in-1": of several clusters in one Prometheus? '
        f"Say matchers with one {label} for this endpoint"
    )


def contrary_doubt(label, *values):
    said = " and ".join(f'"{value}"' for value in values)
    return (
        f"its series have {label} {said}, where their target has another: whoever scrapes lets the engine's labels stand, "
        "so which are the same thing again is not known. Scrape without honor_labels, or give that label of the targets "
        "another name"
    )


OLD_NAMES = {"namespace": "", "pod": "", "kubernetes_namespace": "demo", "kubernetes_pod_name": "pod-0"}
OLD_SETTINGS = {"labels": {"namespace": "kubernetes_namespace", "pod": "kubernetes_pod_name"}}
PORTLESS = (
    'pod-0 is scraped at instance="pod-0" of job="engines" and instance="pod-0" of job="others": '
    "one engine twice, or several? Say podPages: same or podPages: sum for this endpoint"
)
NAMELESS = (
    "1 of its targets have no label for their pod and are not counted: is it called otherwise there? Relabel it, or name "
    "the workload's pods by `pods` in its trigger"
)
GATEWAY_TWICE = (
    "1 of its targets have no label for their pod, beside others that have one: the same gateway twice? Let all scrapes "
    "set it, or leave one of them out"
)
WORLDS = [
    World("a-label-nobody-knows", "vllm/waiting", (Scrape((both(4, shard="0"), both(3, shard="1"))),), 7),
    World("equal-values-of-one-page", "vllm/waiting", (Scrape((both(4, shard="0"), both(4, shard="1"))),), 8),
    World("the-engine-s-own-replicas", "vllm/waiting", (Scrape((both(4, replica="0"), both(3, replica="1"))),), 7),
    World("requests-that-are-swapped-out", "vllm/waiting", (Scrape((both(4), 'vllm:num_requests_swapped{model_name="m"} 3')),), 7),
    World("requests-that-the-api-server-keeps", "lmdeploy/waiting", (Scrape(('lmdeploy:num_requests_waiting{model_name="m"} 4', 'lmdeploy:num_api_requests_waiting{model_name="m"} 9')),), 13),
    World("a-label-beside-none", "vllm/waiting", (Scrape((both(4), both(3, shard="1"))),), 7),
    World("two-ports", "vllm/waiting", at_two_ports("engines"), 17),
    World("two-ports-that-say-the-same", "vllm/waiting", tuple(Scrape((both(8),), port=port) for port in (1, 2)), 16),
    World(
        "ranks-at-ports",
        "vllm/waiting",
        tuple(Scrape((both(rank, engine=rank),), port=8000 + rank) for rank in range(4)),
        6,
    ),
    World("two-jobs", "vllm/waiting", at_two_ports("others"), 17, TWO_JOBS, directly=False),
    World("two-jobs-sum", "vllm/waiting", at_two_ports("others"), 17, settings={"pod_pages": "sum"}),
    World(
        "two-jobs-same", "vllm/waiting", at_two_ports("others"), 10, settings={"pod_pages": "same"}, directly=False
    ),
    World(
        "a-job-for-all-ports-and-one-more",
        "vllm/waiting",
        (*at_two_ports("engines"), Scrape((both(7),), port=8001, job="others")),
        17,
    ),
    World(
        "scraped-twice",
        "vllm/waiting",
        (Scrape((both(9),)), Scrape((both(8),), job="again", labels={"app": "llm"})),
        9,
        directly=False,
    ),
    World(
        "a-scrape-s-label-takes-the-rank-s-place",
        "vllm/waiting",
        (Scrape((both(5, engine=0), both(6, engine=1)), labels={"engine": "vllm"}, renamed={"engine": "exported_engine"}),),
        11,
        directly=False,
    ),
    World(
        "a-scrape-s-label-takes-the-place-of-a-matcher-s",
        "vllm/waiting",
        (
            Scrape((both(5), both(9, server="http://a")), labels={"server": "eu"}, renamed={"server": "exported_server"}),
        ),
        5,
        settings={"labels": {"server": "exported_server"}},
        directly=False,
    ),
    World(
        "a-scrape-s-label-takes-the-place-of-a-rank-that-repeats",
        "sglang/waiting",
        (
            Scrape(
                (sglang(5, tp_rank=0), sglang(5, tp_rank=1)),
                labels={"tp_rank": "x"},
                renamed={"tp_rank": "exported_tp_rank"},
            ),
        ),
        5,
        settings={"labels": {"tp_rank": "exported_tp_rank"}},
        directly=False,
    ),
    World("ranks-that-repeat", "sglang/waiting", (Scrape((sglang(5, tp_rank=0), sglang(5, tp_rank=1))),), 5),
    World(
        "a-total-beside-its-parts",
        "sglang/waiting",
        (Scrape((sglang(5), sglang(2, priority=1), sglang(3, priority=2))),),
        5,
    ),
    World("a-pair", "llm-d/queued", tuple(Scrape(FLOWS, labels=one) for one in PAIR), 6, directly=False),
    World("a-pair-called-replica", "llm-d/queued", tuple(Scrape(FLOWS, labels=one) for one in REPLICA), 6, directly=False),
    World(
        "a-pair-of-engines",
        "vllm/waiting",
        tuple(Scrape((both(4, shard="0"), both(3, shard="1")), labels=one) for one in REPLICA),
        7,
        directly=False,
    ),
    World(
        "a-pair-of-another-name",
        "llm-d/queued",
        tuple(Scrape(FLOWS, labels={"twin": name}) for name in "ab"),
        6,
        settings={"scrape_labels": ("twin",)},
        directly=False,
    ),
    World("mean-over-ranks", "vllm/kv_cache_usage", (Scrape((kv(0.2, 0), kv(0.6, 1))), Scrape((kv(0.4, 0),), pod="b")), 0.4),
    World(
        "routes-of-a-front",
        "dynamo/requests_per_second",
        (Scrape((frontend(6, "chat"), frontend(4, "completions"))),),
        10,
    ),
    World(
        "routes-of-a-front-beside-the-operator-s-label",
        "dynamo/requests_per_second",
        (
            Scrape(
                (frontend(6, "chat"), frontend(4, "completions")),
                labels={"endpoint": "http"},
                renamed={"endpoint": "exported_endpoint"},
            ),
        ),
        10,
        directly=False,
    ),
    World(
        "two-ports-of-a-service-to-one",
        "vllm/waiting",
        tuple(Scrape((both(4),), labels={"endpoint": name}) for name in ("http", "metrics")),
        4,
        directly=False,
    ),
    *(
        World(f"a-pair-called-{label}", "vllm/waiting", tuple(Scrape((both(9),), labels={label: x}) for x in "ab"), 9, directly=False)
        for label in ("receive_replica", "rule_replica", "thanos_replica")
    ),
    World("a-pair-whose-label-nobody-knows", "llm-d/queued", twins("twin"), 12, twins_doubt("twin"), directly=False),
    World("clusters-that-nobody-tells-apart", "vllm/waiting", twins("cluster", port=True), 18, twins_doubt("cluster"), directly=False),
    World("clusters-of-pods-that-nobody-knows", "vllm/waiting", clusters((both(9),)), 18, clusters_doubt(), known=False, directly=False),
    World("gateways-of-two-tenants", "llm-d/queued", clusters(FLOWS, label="tenant_id"), 12, clusters_doubt("tenant_id"), directly=False),
    World("replicas-of-two-clusters", "kubernetes/max_replicas", clusters(('kube_horizontalpodautoscaler_spec_max_replicas{horizontalpodautoscaler="h"} 8',)), 8, clusters_doubt(), directly=False),
    World("a-cluster-s-label-that-tells-scrapes", "llm-d/queued", clusters(FLOWS, pods=("a", "a")), 6, settings={"scrape_labels": ("cluster",)}, directly=False),
    World("a-pair-where-labels-have-other-names", "vllm/waiting", tuple(Scrape((both(9),), labels={**OLD_NAMES, "twin": name}) for name in "ab"), 18, twins_doubt("twin"), settings=OLD_SETTINGS, directly=False),
    World("replicas-that-stand-beside-the-pair-s", "vllm/waiting", (Scrape((both(4, replica=0), both(3, replica=1)), labels={"replica": "a"}, honored=True),), 4, contrary_doubt("replica", 0, 1), directly=False),
    World("routes-that-stand-beside-the-operator-s", "smg/in_flight", (Scrape(('smg_worker_requests_active{endpoint="/chat"} 6', 'smg_worker_requests_active{endpoint="/v1"} 4'), labels={"endpoint": "http"}, honored=True),), 6, contrary_doubt("endpoint", "/chat", "/v1"), directly=False),
    World("a-label-that-stands-and-is-the-target-s", "vllm/waiting", (Scrape((both(4, replica="a"),), labels={"replica": "a"}, honored=True),), 4, directly=False),
    World("a-label-that-a-scrape-drops-from-series", "vllm/waiting", (Scrape((both(4), both(3, shard=1)), labels={"endpoint": "http"}, dropped="endpoint"),), 7, directly=False),
    World("one-of-two-clusters", "vllm/waiting", twins("cluster", port=True)[:1], 9, directly=False),
    World("two-services-of-one-pod", "vllm/waiting", twins("service"), 18, twins_doubt("service"), directly=False),
    World("ports-that-instance-does-not-tell", "vllm/waiting", portless(both(10), both(7)), 17, directly=False),
    World("jobs-that-instance-does-not-tell", "vllm/waiting", portless(both(10), both(7), job="others"), 17, PORTLESS, directly=False),
    World("pods-without-a-pod", "vllm/waiting", (Scrape((both(9),)), Scrape((both(7),), pod="b", labels={"pod": "", "kubernetes_pod_name": "b"})), 9, NAMELESS, known=False, directly=False),
    World("a-page-scraped-again-without-a-pod", "vllm/waiting", (Scrape((both(9),)), Scrape((both(8),), job="again", labels={"pod": ""})), 9, directly=False),
    World("a-gateway-scraped-again-without-a-pod", "llm-d/queued", (Scrape(FLOWS), Scrape(FLOWS, job="again", labels={"pod": ""})), 6, directly=False, answered=1),
    World("a-gateway-at-its-pod-and-at-its-service", "llm-d/queued", (Scrape(FLOWS), Scrape(FLOWS, job="again", port=1, labels={"pod": ""})), 12, GATEWAY_TWICE, directly=False),
    World("counters-that-a-pipeline-named", "tgi/requests_per_second", (Scrape(("tgi_request_success_total{} 3",)), Scrape(("tgi_request_success{} 2",), pod="b")), 5),
    World("tokens-that-a-pipeline-named", "triton/generation_tokens_per_second", (Scrape(('nv_inference_request_success{model="m"} 0', 'vllm_generation_tokens_total{model="m"} 30')),), 30),
    World("a-kubelet-at-two-paths", "kubernetes/cpu_usage", tuple(Scrape((f'container_cpu_usage_seconds_total{{container="main"{more}}} 2',), labels={"metrics_path": path}) for path, more in (("/metrics/cadvisor", ',cpu="total"'), ("/metrics/resource", ""))), 2, directly=False),
    World("two-releases-in-a-pod", "llm-d/queued", (Scrape(FLOWS), Scrape(OLDER, port=8001)), 10),
    World(
        "two-releases-of-a-gateway-without-a-pod",
        "llm-d/queued",
        (Scrape(FLOWS, port=1, labels={"pod": ""}), Scrape(OLDER, port=2, labels={"pod": ""})),
        10,
    ),
    World("both-names-on-one-page", "llm-d/queued", (Scrape((*FLOWS, *OLDER)),), 6),
    World("two-gateways-without-a-pod", "llm-d/queued", tuple(Scrape(FLOWS, port=port, labels={"pod": ""}) for port in (1, 2)), 12),
]  # fmt: skip


def signal_of(world):
    return find(*world.signal.split("/"))


def query_of(world):
    signal = signal_of(world)
    known = {"namespace": "demo", "model": "m", "hpa": "h"}
    return SignalQuery(
        "p", signal.engine, signal.name, tuple((label, known[label]) for label in signal.labels), window=signal.window
    )


def stored(world):
    """What a Prometheus keeps of a world."""
    written = []
    for scrape in world.scrapes:
        target = {"world": world.name, **scrape.target}
        written += series("up", target, "1x40", START)
        for line in scrape.lines:
            name, labels, value = re.fullmatch(r"([\w:]+)\{(.*)\} (\S+)", line).groups()
            own = {scrape.renamed.get(label, label): text for label, text in re.findall(r'(\w+)="([^"]*)"', labels)}
            values = f"{value}x40" if signal_of(world).type == "gauge" else f"0+{float(value) * 15}x40"
            labels = {**target, **own} if scrape.honored else {**own, **target}
            labels.pop(scrape.dropped, None)
            written += series(name, labels, values, START)
    return written


@pytest.fixture(scope="module")
def server(start_prometheus):
    return start_prometheus([line for world in WORLDS for line in stored(world)])


def source_of(world, server):
    return PrometheusSource(Endpoint("p", server.url, timeout=20, matchers={"world": world.name}, **world.settings))


@pytest.mark.real
def test_clusters_are_no_matter_where_kubernetes_names_the_pods(server):
    world = next(one for one in WORLDS if one.name == "clusters-of-pods-that-nobody-knows")
    query, source = (
        replace(query_of(world), target_pods=TargetPods(frozenset("b"), frozenset("b"))),
        source_of(world, server),
    )
    [reading] = source.fetch([query], [AT])[query]
    source.close()
    assert (reading.value, reading.answered, reading.incomplete_reason) == (9, 1, "")


@pytest.mark.real
@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_through_prometheus(world, server):
    query, source = query_of(world), source_of(world, server)
    own = TargetPods(frozenset({"pod-0", "b"}), frozenset())
    of_engine = signal_of(world).scope == "target"
    queries = [query, replace(query, target_pods=own)] if of_engine and world.known else [query]
    pod_label = Endpoint("p", "http://p", **world.settings).dialect.name("pod")
    found = source.fetch(queries, [AT])
    source.close()
    for one in queries:
        [reading] = found[one]
        assert (reading.value, reading.incomplete_reason) == (pytest.approx(world.value), world.doubt)
        pods = {scrape.target.get(pod_label, "") for scrape in world.scrapes}
        counted = world.answered or len(pods - {""} if of_engine else pods)
        assert reading.answered == (None if signal_of(world).scope == "object" else counted)


@pytest.mark.real
@pytest.mark.parametrize("world", [world for world in WORLDS if world.doubt], ids=lambda world: world.name)
def test_a_doubt_about_one_pod_is_none_of_another_workload(world, server):
    """The query for pages that may be one engine twice is asked for all, and told to those concerned."""
    source = source_of(world, server)
    others = replace(query_of(world), target_pods=TargetPods(frozenset({"pod-9"}), frozenset()))
    assert source.fetch([query_of(world), others], [AT])[others][0].incomplete_reason == ""
    source.close()


def visit(scrape, signal):
    """A page as it was read."""
    names = {metric.name for metric in (*signal.metrics, *signal.plus)}
    samples = {}
    for sample in scan("\n".join(scrape.lines).encode(), names):
        samples.setdefault(sample.name, []).append(sample)
    rates = {sample.key: sample.value for some in samples.values() for sample in some}
    labels = {label: value for label, value in scrape.target.items() if label in {"namespace", "pod"}}
    return PageResult(Page(f"http://10.0.0.7:{scrape.port}/metrics", labels), samples, lambda _window: rates)


@pytest.mark.parametrize("world", [world for world in WORLDS if world.directly], ids=lambda world: world.name)
def test_on_the_pages_themselves(world):
    query, signal = query_of(world), signal_of(world)
    pages = dict.fromkeys((scrape.pod, scrape.port) for scrape in world.scrapes)
    first = {place: next(one for one in world.scrapes if (one.pod, one.port) == place) for place in pages}
    visits = [visit(scrape, signal) for scrape in first.values()]
    if len({scrape.pod for scrape in first.values()}) > 1:  # each at an address of its own
        visits = list(starmap(moved, enumerate(visits)))
    reading = measure([query], visits, Endpoint("p").dialect, AT, AT, "p")[query]
    assert (reading.value, reading.incomplete_reason) == (pytest.approx(world.value), "")


def moved(number, visit):
    return replace(visit, page=replace(visit.page, url=f"http://10.0.1.{number}:8000/metrics"))


def test_one_address_listed_in_two_ways_is_one_page():
    signal, query = find("vllm", "waiting"), query_of(WORLDS[0])
    listed = visit(Scrape((both(4),)), signal)
    behind_a_name = replace(listed, page=Page("http://llm.demo:8000/metrics", listed.page.labels, ip="10.0.0.7"))
    reading = measure([query], [listed, behind_a_name], Endpoint("p").dialect, AT, AT, "p")[query]
    assert reading.value == 4


@pytest.mark.real
def test_a_label_that_only_some_targets_have_is_the_engine_s(server):
    """So that nobody changes what another's series mean by a label on targets of his own."""
    worlds = {world.name: world for world in WORLDS}
    names = "a-pair-called-replica|the-engine-s-own-replicas"
    endpoint = Endpoint("p", server.url, timeout=20, up_selector=f'up{{world=~"{names}"}}')
    query = query_of(worlds["the-engine-s-own-replicas"])
    narrowed = replace(endpoint, matchers={"namespace": "demo"}, labels={"pod": "world"})
    source = PrometheusSource(narrowed)
    own = replace(query, target_pods=TargetPods(frozenset({"the-engine-s-own-replicas"}), frozenset()))
    assert source.fetch([own], [AT])[own][0].value == 7
    source.close()


# ---- counters of several processes behind one port ------------------------------------------------------------------------

TOTAL = "litellm_proxy_total_requests_metric_total"
LITELLM = SignalQuery("p", "litellm", "requests_per_second", (("namespace", "demo"), ("model", "m")), window=120.0)
COUNTS = {  # what readings find, one each 15 s
    "several-workers": [1000.0 + at if at % 2 else 40.0 + at for at in range(41)],
    "restarted-once": [*map(float, range(1000, 1030)), *map(float, range(11))],
    "counts-on": [1000.0 + at for at in range(41)],
}
JUMPS = (
    "counters of 1 of 1 pods fell 2 times or more within 5m: several workers seem to share one port, and each reading "
    "meets another; give each a port of its own, or let them share what they count (such as with "
    "PROMETHEUS_MULTIPROC_DIR)"
)


@pytest.fixture(scope="module")
def counting(start_prometheus):
    written = []
    for name, values in COUNTS.items():
        target = {"job": "gateways", "instance": "g:1", "namespace": "demo", "pod": name, "world": name}
        written += series("up", target, "1x40", START)
        written += series(TOTAL, {**target, "requested_model": "m"}, " ".join(map(str, values)), START)
    return start_prometheus(written)


def on_pages(values):
    counters, labels = Counters(), {"namespace": "demo", "pod": "g"}
    for step, value in enumerate(values):
        at = START + 15 * step
        samples = scan(f'{TOTAL}{{requested_model="m"}} {value}'.encode(), {TOTAL})
        counters.note(samples, [120.0], at)
    visit = PageResult(
        Page("http://10.0.0.7:4000/metrics", labels),
        {TOTAL: samples},
        lambda window: counters.rates(window, AT),
        jumping=counters.jumping,
    )
    return measure([LITELLM], [visit], Endpoint("p").dialect, AT, AT, "p")[LITELLM]


@pytest.mark.real
@pytest.mark.parametrize("name", COUNTS)
def test_a_counter_that_falls_again_and_again_is_not_believed(name, counting):
    source = PrometheusSource(Endpoint("p", counting.url, timeout=20, matchers={"world": name}))
    through, directly = source.fetch([LITELLM], [AT])[LITELLM][0], on_pages(COUNTS[name])
    source.close()
    if name == "several-workers":
        assert (through.reason, directly.reason) == (JUMPS, JUMPS)
    else:
        assert (through.incomplete_reason, directly.incomplete_reason) == ("", "")
        assert through.value == pytest.approx(directly.value, rel=0.2)


def test_falls_are_forgotten():
    counters = Counters()
    for at, value in [(0, 9), (1, 1), (2, 9), (3, 1), (4, 2)]:
        counters.note(scan(f"x {value}".encode(), {"x"}), [60.0], float(at))
    assert counters.jumping == {"x"}
    counters.note(scan(b"x 3", {"x"}), [60.0], 4 + JUMPS_WITHIN)
    assert counters.jumping == frozenset()


# ---- gauges of several processes behind one address ----------------------------------------------------------------------

WAITING = SignalQuery("p", "vllm", "waiting", (("namespace", "demo"), ("model", "m")))
BEGAN = {  # when the process began that each reading meets
    "pods-behind-a-service": [1000.0 if at % 2 else 5000.0 for at in range(41)],
    "restarted-twice": [1000.0] * 20 + [5000.0] * 10 + [6000.0] * 11,
    "a-clock-that-is-set": [1000.0 if at % 2 else 1001.0 for at in range(41)],
    "always-the-same": [1000.0] * 41,
}
TURNS = (
    "the process behind 1 of 1 pods is another again and again: several workers seem to share one port, or several pods "
    "one address, such as a Service's, and each reading meets another; read each at a port and address of its own"
)


@pytest.fixture(scope="module")
def beginning(start_prometheus):
    written = []
    for name, values in BEGAN.items():
        target = {"job": "llm", "instance": f"{name}:1", "namespace": "demo", "pod": name, "world": name}
        written += series("up", target, "1x40", START)
        written += series(PROCESS, target, " ".join(map(str, values)), START)
        written += series("vllm:num_requests_waiting", {**target, "model_name": "m"}, "7x40", START)
    return start_prometheus(written)


def read_again_and_again(began):
    """Read a page of a listed address directly, 15 s apart."""
    web, now = Web(), [0.0]
    listed = (Page(web.url("/metrics"), {"namespace": "demo", "pod": "llm"}),)
    source = ScrapeSource(Endpoint("p", pages=listed, networks=(ip_network("127.0.0.0/8"),)), lambda: now[0])
    for step, value in enumerate(began):
        now[0] = START + 15.0 * step
        web.paths["/metrics"] = f'{PROCESS} {value}\nvllm:num_requests_waiting{{model_name="m"}} 7\n'
        [reading] = source.fetch([WAITING], now)[WAITING]
    source.close()
    web.close()
    return reading


@pytest.mark.real
@pytest.mark.parametrize("name", BEGAN)
def test_a_gauge_of_which_each_reading_meets_another_process_is_not_believed(name, beginning):
    """Two pods behind one Service that somebody listed as a page: each says its own load, and half of it is lost."""
    source = PrometheusSource(Endpoint("p", beginning.url, timeout=20, matchers={"world": name}))
    through, directly = source.fetch([WAITING], [AT])[WAITING][0], read_again_and_again(BEGAN[name])
    source.close()
    if name == "pods-behind-a-service":
        assert (through.reason, directly.reason) == (TURNS, TURNS)
    else:
        assert (through.value, through.incomplete_reason) == (7.0, "")
        assert (directly.value, directly.incomplete_reason) == (7.0, "")
