"""Which pages a target's pods have, and which of them must answer: from the pods as Kubernetes tells them to readings."""

import threading
from dataclasses import replace
from ipaddress import ip_network

import pytest
from sources.web import Web, send
from support.prometheus_server import until
from support.timelines import workload

from scaler.cluster.view import own_pods, status
from scaler.config.endpoint import Endpoint, PodPages
from scaler.decision.decide import decide
from scaler.decision.state import State
from scaler.model.measurement import Failure, PodAddress, Reading, SignalQuery, TargetPods, TargetStatus
from scaler.model.objects import Pod, ScaledResource, TargetView
from scaler.sources.pages.source import UNASKED, ScrapeSource

LOOPBACK = (ip_network("127.0.0.0/8"),)
WAITING = SignalQuery("pages", "vllm", "waiting", (("namespace", "demo"), ("model", "m")))


def page(waiting, rank=0):
    return f'vllm:num_requests_waiting{{model_name="m",engine="{rank}"}} {waiting}\n'


def pod(name, state="ready", ports=(), **scrape):
    """A pod on loopback, whose page is at a path of its own."""
    said = {"path": f"/{name}", **{key: value for key, value in scrape.items() if value is not None}}
    return Pod(name, state, ip="127.0.0.1", prometheus_annotations=tuple(sorted(said.items())), ports=ports)


def target(*pods, workers=()):
    empty = ScaledResource("ScaledObject", "demo", "llm", "u", 1, (), (), "Deployment llm", 0, 9)
    return own_pods(replace(empty, pods=pods, workers=workers))


@pytest.fixture
def web():
    server = Web()
    yield server
    server.close()


@pytest.fixture
def reading(web):
    """Gives a function that reads the pods of a target; time passes as it is told."""
    clock, sources = [1000.0], []

    def read(own, query=WAITING, passed=0.0, port=None, **changes):
        clock[0] += passed
        if not sources:
            endpoint = Endpoint("pages", pods=PodPages(port or web.port), networks=LOOPBACK, **changes)
            sources.append(ScrapeSource(endpoint, lambda: clock[0]))
        return sources[0].fetch([replace(query, target_pods=own)], [clock[0]])[replace(query, target_pods=own)][0]

    yield read
    for source in sources:
        source.close()


@pytest.fixture
def other():
    server = Web()
    yield server
    server.close()


def test_each_port_of_a_pod_has_a_page_and_they_add_up(web, other, reading):
    web.paths, other.paths = {"/a": page(2)}, {"/a": page(3)}
    found = reading(target(pod("a", port=f"{web.port},{other.port}")))
    assert (found.value, found.answered, found.expected, found.incomplete_reason) == (5, 1, 1, "")


def test_ports_may_be_named_as_the_container_names_them(web, other, reading):
    web.paths, other.paths = {"/a": page(2)}, {"/a": page(3, rank=1)}
    found = reading(target(pod("a", ports=(("first", web.port), ("second", other.port)))), port="first,second")
    assert (found.value, found.incomplete_reason) == (5, "")


def test_a_port_that_does_not_answer_is_missed_though_its_pod_answers_at_another(web, other, reading):
    web.paths, other.paths = {"/a": page(2)}, {}
    found = reading(target(pod("a", port=f"{web.port},{other.port}")))
    assert found.value == 2
    assert found.incomplete_reason == (
        f"a page of a did not answer: a at 127.0.0.1:{other.port}/a answers 404 Not Found"
    )


def test_a_pod_whose_annotation_says_no_need_not_answer_and_is_not_asked(web, reading):
    web.paths = {"/lead": page(4)}
    found = reading(target(pod("lead"), pod("other", scrape="false")))
    assert (found.value, found.answered, found.expected, found.incomplete_reason) == (4, 1, 1, "")
    assert {path for path, _ in web.asked} == {"/lead"}


@pytest.mark.parametrize("unready", ["starting", "unready"])
def test_where_all_that_are_ready_say_no_nobody_is_left_out(unready, reading):
    found = reading(target(pod("a", scrape="false"), pod("b", state=unready)))
    assert isinstance(found, Failure)
    assert "a says no in prometheus.io/scrape" in found.reason


def test_pods_that_the_trigger_does_not_mean_need_not_answer(web, reading):
    web.paths = {"/llm-lead": page(4)}
    own = target(pod("llm-lead"), pod("llm-other"))
    assert reading(own).incomplete_reason == (
        f"1 of 2 pods did not answer: llm-other at 127.0.0.1:{web.port}/llm-other answers 404 Not Found"
    )
    found = reading(own, query=replace(WAITING, pods=".*-lead"))
    assert (found.value, found.answered, found.expected, found.incomplete_reason) == (4, 1, 1, "")


def test_workers_of_a_group_that_serve_add_up_and_those_that_do_not_are_not_missed(web, reading):
    web.paths = {"/g-0": page(2), "/g-0-1": page(30, rank=1)}
    found = reading(target(pod("g-0"), workers=(pod("g-0-1"), pod("g-0-2"))))
    assert (found.value, found.answered, found.expected, found.incomplete_reason) == (32, 2, 2, "")


def test_a_worker_that_has_answered_once_is_missed_afterwards(web, reading):
    web.paths = {"/g-0": page(2), "/g-0-1": page(30, rank=1)}
    own = target(pod("g-0"), workers=(pod("g-0-1"),))
    assert reading(own).incomplete_reason == ""
    del web.paths["/g-0-1"]
    found = reading(own, passed=5)
    assert (found.value, found.incomplete_reason.partition(":")[0]) == (2, "1 of 2 pods did not answer")


@pytest.mark.parametrize("said", [{"scrape": "true"}, {"port": "1"}])
def test_a_worker_that_is_said_to_have_a_page_must_answer(web, reading, said):
    web.paths = {"/g-0": page(2)}
    found = reading(target(pod("g-0"), workers=(pod("g-0-1", **said),)))
    assert (found.answered, found.expected) == (1, 2)


def test_a_worker_without_a_page_is_asked_now_and_then(web, reading):
    web.paths = {"/g-0": page(2)}
    own = target(pod("g-0"), workers=(pod("g-0-1"),))
    for _ in range(4):
        reading(own, passed=UNASKED / 3)
    asked = [path for path, _ in web.asked]
    assert (asked.count("/g-0"), asked.count("/g-0-1")) == (4, 2)


def test_workers_count_through_prometheus_too_and_need_not_answer_there():
    own = target(pod("g-0"), workers=(pod("g-0-1"), pod("g-0-2", state="pending")))
    assert (own.names, own.ready) == ({"g-0", "g-0-1"}, {"g-0"})


def test_a_page_that_takes_longer_than_a_tick_waits_serves_a_later_one(web, reading):
    """It is asked once until it answers; what it said before serves meanwhile, as old as it is."""
    slow, waiting = threading.Event(), [3]

    def answer(handler):
        slow.wait(20)
        send(handler, page(waiting[0]).encode())

    web.paths = {"/a": answer}
    own = TargetPods(
        frozenset("a"), frozenset("a"), addresses=frozenset({PodAddress("demo", "a", "127.0.0.1", (("path", "/a"),))})
    )
    first = reading(own, timeout=10.0)
    assert first.reason.endswith("has not answered yet, and may take 10s")
    assert reading(own, passed=5).reason == first.reason
    assert len(web.asked) == 1
    slow.set()
    until(lambda: isinstance(reading(own), Reading))
    assert reading(own).value == 3
    slow.clear()
    waiting[0] = 9
    later = reading(own, passed=5)
    assert (later.value, later.age, later.incomplete_reason) == (3, 5.0, "")
    slow.set()
    until(lambda: reading(own, passed=0.01).value == 9)


def test_a_page_that_takes_longer_than_it_may_is_cut_off(web, reading):
    web.paths = {"/a": lambda _handler: web.over.wait(20)}
    own = target(pod("a"))
    reading(own, timeout=10.0)
    reading(own, passed=12)
    until(lambda: "gives no answer within 10s" in reading(own, passed=0.0).reason)


# ---- ports that nobody has listed --------------------------------------------------------------------------------------


def process(started):
    return f"process_start_time_seconds {started}\n"


def declared(*webs):
    return tuple(("", web.port) for web in webs)


def test_a_rank_at_a_port_that_the_annotation_does_not_name_adds_up(web, other, reading):
    web.paths, other.paths = {"/a": page(10)}, {"/a": page(15, rank=1)}
    own = target(pod("a", ports=declared(web, other), port=str(web.port)))
    assert (reading(own).value, reading(own).incomplete_reason) == (25, "")
    del other.paths["/a"]
    assert reading(own, passed=5).incomplete_reason == (
        f"a page of a did not answer: a at 127.0.0.1:{other.port}/a answers 404 Not Found"
    )


def test_another_engine_at_such_a_port_adds_up_where_its_process_is_another(web, other, reading):
    web.paths, other.paths = {"/a": page(3) + process(1.5)}, {"/a": page(4) + process(2.5)}
    found = reading(target(pod("a", ports=declared(web, other), port=str(web.port))))
    assert (found.value, found.incomplete_reason) == (7, "")


@pytest.mark.parametrize("again", [page(4) + process(1.5), page(3)], ids=["of the same process", "the same numbers"])
def test_the_same_page_at_another_port_counts_once(again, web, other, reading):
    web.paths, other.paths = {"/a": page(3) + (process(1.5) if "process" in again else "")}, {"/a": again}
    found = reading(target(pod("a", ports=declared(web, other), port=str(web.port))))
    assert (found.value, found.answered, found.incomplete_reason) == (3, 1, "")


def test_where_nobody_knows_whether_it_is_the_same_page_nothing_is_certain(web, other, reading):
    web.paths, other.paths = {"/a": page(3)}, {"/a": page(9)}
    found = reading(target(pod("a", ports=declared(web, other), port=str(web.port))))
    assert found.value == 3
    assert found.incomplete_reason == (
        f"127.0.0.1:{web.port}/a and 127.0.0.1:{other.port}/a have the same series with other numbers: one engine "
        "twice, or several? List the ports in prometheus.io/port, or set otherPorts: ignore for the pods"
    )


@pytest.mark.parametrize("there", [None, "envoy_server_live 1\n"], ids=["no page", "a page of something else"])
def test_a_port_without_the_engine_s_series_is_no_matter_and_is_seldom_asked(there, web, other, reading):
    web.paths, other.paths = {"/a": page(3)}, {} if there is None else {"/a": there}
    own = target(pod("a", ports=declared(web, other), port=str(web.port)))
    for _ in range(4):
        found = reading(own, passed=5.0)
        assert (found.value, found.incomplete_reason) == (3, "")
    assert len(other.asked) == 1
    other.paths = {"/a": page(5, rank=1)}
    until(lambda: reading(own, passed=UNASKED).value == 8)  # no tick waits for what was in vain before


def test_ports_that_are_listed_are_all_and_otherwise_the_settings_may_say_so(web, other, reading):
    web.paths, other.paths = {"/a": page(3)}, {"/a": page(9, rank=1)}
    third = Web()
    ports = declared(web, other, third)
    assert reading(target(pod("a", ports=ports, port=f"{web.port},{other.port}"))).value == 12
    assert third.asked == []
    third.close()


def test_the_settings_end_the_search_for_other_ports(web, other):
    web.paths, other.paths = {"/a": page(3)}, {"/a": page(9, rank=1)}
    pages = PodPages(web.port, other_ports="ignore")
    source = ScrapeSource(Endpoint("pods", pods=pages, networks=LOOPBACK), lambda: 1000.0)
    query = replace(WAITING, target_pods=target(pod("a", ports=declared(web, other))))
    assert source.fetch([query], [1000.0])[query][0].value == 3
    assert other.asked == []
    source.close()


# ---- replicas of several pods ------------------------------------------------------------------------------------------


def group(*pods, replicas=1, kind="RayCluster"):
    empty = ScaledResource("ScaledObject", "demo", "llm", "u", 1, (), (), f"{kind} llm", 0, 9)
    return own_pods(replace(empty, pods=pods, replicas=replicas))


def test_pods_of_a_group_that_serve_no_page_need_not_answer(web, reading):
    web.paths = {"/ldr-0": page(4)}
    found = reading(group(pod("ldr-0"), pod("wkr-0"), pod("wkr-1")))
    assert (found.value, found.answered, found.incomplete_reason) == (4, 1, "")


def test_a_target_whose_worker_pods_serve_no_page_is_decided_for_certain(web, reading):
    web.paths = {"/ldr-0": page(4)}
    empty = ScaledResource(
        "ScaledObject", "demo", "llm", "u", 1, (), (), "DynamoGraphDeploymentScalingAdapter llm", 0, 9
    )
    scaled = replace(empty, pods=(pod("ldr-0"), pod("wkr-0")), replicas=1)
    spec = workload(expression="waiting", target="8", model="m")
    queries = spec.queries(counted=True)
    found = {
        query: reading(own_pods(scaled)) if isinstance(query, SignalQuery) else Reading(1.0, 1000.0)
        for query in queries
    }
    _, decision = decide(spec, State(), spec.inputs_of(found, TargetView(scaled)), 1000.0)
    assert (decision.problems, decision.replicas) == ((), 1)


def test_of_each_replica_a_pod_has_to_answer(web, reading):
    web.paths = {"/ldr-0": page(4)}
    found = reading(group(pod("ldr-0"), pod("wkr-0"), pod("ldr-1"), pod("wkr-1"), replicas=2))
    assert found.value == 4
    assert "3 of 4 pods did not answer" in found.incomplete_reason


def of(replica, *pods):
    return [replace(one, replica=replica) for one in pods]


@pytest.mark.parametrize(
    ("answering", "silent"),
    [
        ({"ldr-0", "ldr-1"}, ""),
        ({"wkr-0", "wkr-1"}, ""),
        ({"ldr-0", "wkr-0", "wkr-1"}, ""),
        ({"ldr-0", "wkr-0"}, "2 of 4 pods did not answer"),
        ({"wkr-1"}, "2 of 3 pods did not answer"),
    ],
    ids=lambda one: " ".join(sorted(one)) if isinstance(one, set) else one,
)
def test_where_labels_say_which_replica_a_pod_is_of_two_pods_of_one_do_not_stand_for_another(
    answering, silent, web, reading
):
    """Two pods answer and there are two replicas, but of one of these nothing is known."""
    web.paths = {f"/{name}": page(4, rank=number) for number, name in enumerate(sorted(answering))}
    pods = (*of("g/0", pod("ldr-0"), pod("wkr-0")), *of("g/1", pod("ldr-1"), pod("wkr-1")))
    found = reading(group(*pods, replicas=2))
    assert (found.value, found.incomplete_reason.partition(":")[0]) == (4 * len(answering), silent)


def test_a_replica_that_is_not_ready_need_not_answer(web, reading):
    web.paths = {"/ldr-0": page(4)}
    pods = (*of("g/0", pod("ldr-0"), pod("wkr-0"), pod("wkr-9")), *of("g/1", pod("ldr-1", state="starting")))
    assert (reading(group(*pods, replicas=2)).value, reading(group(*pods, replicas=2)).incomplete_reason) == (4, "")


def test_a_replica_is_ready_once_all_its_pods_are():
    empty = ScaledResource("ScaledObject", "demo", "llm", "u", 1, (), (), "RayCluster llm", 0, 9)
    whole, half = of("g/0", pod("ldr-0"), pod("wkr-0")), of("g/1", pod("ldr-1"), pod("wkr-1", state="starting"))
    scaled = replace(empty, pods=(*whole, *half), replicas=2)
    assert status(TargetView(scaled), TargetStatus()).ready == 1
    unlabelled = replace(scaled, pods=tuple(replace(one, replica="") for one in scaled.pods))
    assert status(TargetView(unlabelled), TargetStatus()).ready == 2, "as far as counting pods tells"


def test_a_pod_of_a_group_that_has_answered_once_is_missed_afterwards(web, reading):
    web.paths = {"/ldr-0": page(4), "/wkr-0": page(5, rank=1)}
    own = group(pod("ldr-0"), pod("wkr-0"))
    assert (reading(own).value, reading(own).incomplete_reason) == (9, "")
    del web.paths["/wkr-0"]
    assert "wkr-0" in reading(own, passed=5).incomplete_reason


def test_a_rollout_s_surge_is_no_group(web, reading):
    web.paths = {"/a": page(4)}
    assert "1 of 2 pods did not answer" in reading(group(pod("a"), pod("b"), kind="Deployment")).incomplete_reason
