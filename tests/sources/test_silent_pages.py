"""Pages that had series and have none now, though somebody still scrapes them: through a real Prometheus, and directly.

Every world has a label `world` on all its series and targets, by which an endpoint of its own sees it alone.
"""

from dataclasses import dataclass, replace
from ipaddress import ip_network

import pytest
from sources.web import Web
from support.prometheus_server import series

from scaler.config.endpoint import Endpoint, Page, PodPages
from scaler.config.signals import find
from scaler.model.measurement import PodAddress, SignalQuery, TargetPods
from scaler.sources.pages.counters import PROCESS
from scaler.sources.pages.source import ScrapeSource
from scaler.sources.prometheus.source import PrometheusSource

START = 1_790_000_000.0
AT = START + 3600  # 241 samples, one each 15 s
ALWAYS = "x240"
WAITING = "vllm:num_requests_waiting"
QUEUED = "llm_d_epp_flow_control_queue_size"


@dataclass(frozen=True)
class Target:
    """One target, and what is kept of it in promtool's notation."""

    up: str
    said: tuple[tuple[str, str, dict[str, str]], ...]  # metric, values, labels
    pod: str = "llm-0"
    port: int = 8000
    job: str = "llm"
    namespace: str = "demo"

    @property
    def labels(self):
        where = {"job": self.job, "instance": f"{self.pod}:{self.port}", "namespace": self.namespace, "pod": self.pod}
        return {label: value for label, value in where.items() if value}


@dataclass(frozen=True)
class World:
    name: str
    targets: tuple[Target, ...]
    value: float | None
    doubt: str = ""
    known: str | None = None  # the doubt where Kubernetes names the pods; None: the same
    signal: str = "vllm/waiting"
    pods: tuple[str, ...] = ("llm-0", "llm-1")  # that are ready


def rank(values, up=f"1{ALWAYS}", **more):
    return Target(up, ((WAITING, values, {"model_name": "m"}),), **more)


def silent(port=8001, pod="llm-0", job="llm"):
    where = f'a page of {pod}, instance="{pod}:{port}" of job="{job}"'
    return f"{where}, is still scraped and does not answer: what it holds is not known"


def emptied(port=8001, pod="llm-0"):
    where = f'a page of {pod}, instance="{pod}:{port}" of job="llm"'
    return f"{where}, answers without a series that it had: what it holds is not known"


def tgi(queue, up=f"1{ALWAYS}", began="", pod="llm-0"):
    said = [("tgi_queue_size", queue, {}), ("tgi_batch_next_size", f"1{ALWAYS}", {})]
    return Target(up, (*said, *([(PROCESS, began, {})] if began else [])), pod=pod)


def idle_engine(waiting, *, restarted):
    """An engine whose series come with its first request."""
    began = f"{START:.0f}x140 {START + 2100:.0f}x98" if restarted else f"{START - 60:.0f}{ALWAYS}"
    return tgi(waiting, began=began, pod="llm-1")


HERE = rank(f"3{ALWAYS}")
OTHER = rank(f"4{ALWAYS}", pod="llm-1")
QUIET = "30x120"  # for 30 minutes
DOWN = "1x120 0x118"
WORLDS = [
    World("all-answer", (HERE, OTHER, rank(f"5{ALWAYS}", port=8001)), 12),
    World("a-rank-is-silent", (HERE, OTHER, rank(QUIET, DOWN, port=8001)), 7, silent()),
    World("a-rank-is-silent-in-a-job-of-its-own", (HERE, OTHER, rank(QUIET, DOWN, port=8001, job="r1")), 7, silent(job="r1")),
    World("the-target-of-a-rank-is-gone", (HERE, OTHER, rank(QUIET, "1x120", port=8001)), 7),
    World("a-port-that-never-had-a-page", (HERE, OTHER, Target(f"0{ALWAYS}", (), port=9000)), 7),
    World("a-page-of-something-else", (HERE, OTHER, Target(f"1{ALWAYS}", ((WAITING + "_not", f"1{ALWAYS}", {}),), port=9000)), 7),
    World("a-rank-that-came-back", (HERE, OTHER, rank("30x60 _x100 5x80", "1x60 0x100 1x78", port=8001)), 12),
    World("a-pod-is-silent", (HERE, rank(QUIET, DOWN, pod="llm-1")), 3, silent(8000, "llm-1"), "1 of its 2 pods do not answer: llm-1"),
    World("a-pod-that-need-not-answer-is-silent", (HERE, rank(QUIET, DOWN, pod="llm-1")), 3, silent(8000, "llm-1"), "", pods=("llm-0",)),
    World("a-pod-is-gone", (HERE, rank(QUIET, "1x120", pod="llm-1")), 3, "", "", pods=("llm-0",)),
    World("a-rank-is-empty", (HERE, OTHER, rank(QUIET, port=8001)), 7, emptied()),
    World("a-pod-is-empty", (HERE, rank(QUIET, pod="llm-1")), 3, emptied(8000, "llm-1"), "1 of its 2 pods do not answer: llm-1"),
    World("another-model-has-taken-its-place", (HERE, OTHER, Target(f"1{ALWAYS}", ((WAITING, QUIET, {"model_name": "m"}), (WAITING, "_x121 9x118", {"model_name": "other"})), port=8001)), 7),
    World("the-same-engine-has-no-series-any-more", (tgi(f"2{ALWAYS}"), idle_engine(QUIET, restarted=False)), 2, emptied(8000, "llm-1"), signal="tgi/waiting"),
    World("none-of-the-engines-has-series-any-more", (idle_engine(QUIET, restarted=False),), 0, emptied(8000, "llm-1"), pods=("llm-1",), signal="tgi/waiting"),
    World("a-fresh-engine-has-none-yet", (tgi(f"2{ALWAYS}"), idle_engine(QUIET, restarted=True)), 2, signal="tgi/waiting"),
    World("an-engine-that-was-down-has-none-yet", (tgi(f"2{ALWAYS}"), tgi(QUIET, "1x119 0x4 1x116", pod="llm-1")), 2, signal="tgi/waiting"),
    World("an-engine-that-was-down-before-has-none-any-more", (tgi(f"2{ALWAYS}"), tgi(f"_x20 {QUIET}", "0x19 1x220", pod="llm-1")), 2, emptied(8000, "llm-1"), signal="tgi/waiting"),
    World("a-gateway-is-silent", tuple(Target(up, ((QUEUED, values, {"target_model_name": "m"}),), pod=pod) for pod, up, values in (("epp-0", f"1{ALWAYS}", f"5{ALWAYS}"), ("epp-1", DOWN, QUIET))), 5, "1 of 2 pods cannot be scraped", signal="llm-d/queued"),
    World("others-of-the-job-have-nothing-to-do-with-it", (HERE, OTHER, *(Target(f"{number % 2}{ALWAYS}", (), pod=f"web-{number}") for number in range(150))), 7),
    World("many-pods-of-the-job-are-quiet", (HERE, OTHER, rank(QUIET, DOWN, port=8001), *(Target(f"0{ALWAYS}", (), pod=f"web-{number}") for number in range(150))), 7, silent()),
    World("a-stranger-has-a-target-of-its-job-and-instance", (HERE, OTHER, rank(QUIET, DOWN, port=8001), rank(f"9{ALWAYS}", port=8001, namespace="mallory")), 7, silent()),
]  # fmt: skip


def query_of(world, namespace="demo"):
    signal = find(*world.signal.split("/"))
    known = {"namespace": namespace, "model": "m"}
    return SignalQuery("p", signal.engine, signal.name, tuple((label, known[label]) for label in signal.labels))


def stored(world):
    written = []
    for target in world.targets:
        labels = {"world": world.name, **target.labels}
        written += series("up", labels, target.up, START)
        for name, values, own in target.said:
            written += series(name, {**own, **labels}, values, START)
    return written


@pytest.fixture(scope="module")
def server(start_prometheus):
    return start_prometheus([line for world in WORLDS for line in stored(world)])


@pytest.mark.real
@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_what_a_silent_page_makes_of_a_reading(world, server):
    source = PrometheusSource(Endpoint("p", server.url, timeout=20, matchers={"world": world.name}))
    query = query_of(world)
    own = TargetPods(frozenset({"llm-0", "llm-1"}), frozenset(world.pods))
    queries = [query, query_of(world, "mallory")]
    if find(*world.signal.split("/")).scope == "target":
        queries.append(replace(query, target_pods=own))
    found = source.fetch(queries, [AT])
    source.close()
    [reading] = found[query]
    assert (reading.value, reading.incomplete_reason) == (world.value, world.doubt)
    for one in queries[2:]:
        [reading] = found[one]
        told = world.doubt if world.known is None else world.known
        assert (reading.value, reading.incomplete_reason) == (world.value, told)


# ---- pages that are read directly ----------------------------------------------------------------------------------------

NOTHING = "# HELP nothing Nothing.\n"
OF_VLLM = SignalQuery("p", "vllm", "waiting", (("namespace", "demo"), ("model", "m")))
OF_TGI = SignalQuery("p", "tgi", "waiting", (("namespace", "demo"),))
LOOPBACK = (ip_network("127.0.0.0/8"),)


def page(waiting, model="m", began=None):
    told = "" if began is None else f"{PROCESS} {began}\n"
    return f'{told}{WAITING}{{model_name="{model}"}} {waiting}\n'


def of_tgi(queue=None, began=None):
    told = "" if began is None else f"{PROCESS} {began}\n"
    return f"{told}tgi_batch_next_size 1\n" + ("" if queue is None else f"tgi_queue_size {queue}\n")


def lost(doubt, pod="b"):
    return f"{doubt}a page of {pod} answers without a series that it had: what it holds is not known"


OF_TWO = "1 of 2 pods answered, without such a series"
READ_AGAIN = {  # what page b says one reading after the other, the last of which counts; the value and the doubt
    "empty": (OF_VLLM, [page(30), NOTHING], 3, OF_TWO),
    "empty for long": (OF_VLLM, [page(30), *[NOTHING] * 9], 3, OF_TWO),
    "empty after a failure": (OF_VLLM, [page(30), None, NOTHING], 3, OF_TWO),
    "another process that says nothing": (OF_VLLM, [page(30, began=9), f"{PROCESS} 99\n"], 3, OF_TWO),
    "there again": (OF_VLLM, [page(30), NOTHING, page(4)], 7, ""),
    "never anything": (OF_VLLM, [NOTHING, NOTHING], 3, ""),
    "another model": (OF_VLLM, [page(30), page(9, "other")], 3, ""),
    "the same engine": (OF_TGI, [of_tgi(30), of_tgi()], 2, lost("")),
    "the same process": (OF_TGI, [of_tgi(30, began=9), of_tgi(began=9)], 2, lost("")),
    "the same process after a failure": (OF_TGI, [of_tgi(30, began=9), None, of_tgi(began=9)], 2, lost("")),
    "a fresh engine": (OF_TGI, [of_tgi(30, began=9), of_tgi(began=99)], 2, ""),
    "a fresh engine, again and again": (OF_TGI, [of_tgi(30, began=9), *[of_tgi(began=99)] * 3], 2, ""),
    "an engine that was down": (OF_TGI, [of_tgi(30), None, of_tgi()], 2, ""),
    "a fresh engine that says nothing at all": (OF_TGI, [of_tgi(30, began=9), f"{PROCESS} 99\n"], 2, OF_TWO),
}


@pytest.fixture
def web():
    server = Web()
    yield server
    server.close()


@pytest.mark.parametrize("name", READ_AGAIN)
@pytest.mark.parametrize("known", [False, True], ids=["listed", "of pods"])
def test_a_page_that_lost_what_it_had(name, known, web):
    query, said, value, doubt = READ_AGAIN[name]
    clock = [1000.0]
    listed = tuple(Page(web.url(f"/{pod}"), {"namespace": "demo", "pod": pod}) for pod in "ab")
    where = {"pods": PodPages(port=web.port)} if known else {"pages": listed}
    source = ScrapeSource(Endpoint("p", timeout=5, networks=LOOPBACK, **where), lambda: clock[0])
    if known:
        places = (PodAddress("demo", pod, "127.0.0.1", (("path", f"/{pod}"),)) for pod in "ab")
        query = replace(query, target_pods=TargetPods(frozenset("ab"), frozenset("ab"), addresses=frozenset(places)))
    for text in said:
        clock[0] += 15
        web.paths["/a"] = page(3) if query.engine == "vllm" else of_tgi(2)
        web.paths["/b"] = text
        if text is None:
            del web.paths["/b"]
        [reading] = source.fetch([query], clock)[query]
    source.close()
    never_had = known and name in {"never anything", "another model"}  # of a ready pod it is expected
    assert (reading.value, reading.incomplete_reason) == (value, OF_TWO if never_had else doubt)


@pytest.mark.parametrize("listed", [True, False], ids=["both ports are listed", "one is found"])
def test_a_rank_whose_page_lost_what_it_had_is_missed_though_the_other_answers(listed, web):
    other, clock = Web(), [1000.0]
    ports = (("", web.port), ("", other.port))
    port = f"{web.port},{other.port}" if listed else str(web.port)
    where = PodAddress("demo", "a", "127.0.0.1", (("port", port),), ports)
    query = replace(OF_VLLM, target_pods=TargetPods(frozenset("a"), frozenset("a"), addresses=frozenset({where})))
    source = ScrapeSource(Endpoint("p", timeout=5, networks=LOOPBACK, pods=PodPages()), lambda: clock[0])
    readings = []
    for text in (page(30, began=2), NOTHING, NOTHING):
        clock[0] += 60
        web.paths["/metrics"], other.paths["/metrics"] = page(3, began=1), text
        readings += source.fetch([query], clock)[query]
    source.close()
    other.close()
    assert [one.value for one in readings] == [33, 3, 3]
    assert [one.incomplete_reason for one in readings] == ["", lost("", "a"), lost("", "a")]
