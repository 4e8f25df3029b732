"""Pages read directly, over real HTTP; beside a real Prometheus that scrapes the same ones."""

import contextlib
import math
import os
import socket
import threading
import time
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest
import yaml
from sources.web import Web, send, zipped
from support.prometheus_server import until

from scaler.config.endpoint import DiscoveredPages, Endpoint, Page, PodPages
from scaler.model.measurement import Failure, HistoryProbe, PodAddress, PromqlQuery, Reading, SignalQuery, TargetPods
from scaler.sources.pages.source import MAX_WINDOWS, READERS, SHARED, ScrapeSource
from scaler.sources.prometheus.source import PrometheusSource

LOOPBACK = (ip_network("127.0.0.0/8"),)
LABELS = (("namespace", "demo"), ("model", "m"))
HPA = (("namespace", "demo"), ("hpa", "keda-hpa-llama"))
WAITING = SignalQuery("pages", "vllm", "waiting", LABELS)
RUNNING = SignalQuery("pages", "vllm", "running", LABELS)
CACHE = SignalQuery("pages", "vllm", "kv_cache_usage", LABELS)
TOKENS = SignalQuery("pages", "vllm", "generation_tokens_per_second", LABELS, window=60.0)
TTFT = SignalQuery("pages", "vllm", "time_to_first_token", LABELS, window=60.0, quantile=0.5)
QUEUED = SignalQuery("pages", "llm-d", "queued", LABELS)
READY = SignalQuery("pages", "kubernetes", "ready_replicas", HPA)
CURRENT = SignalQuery("pages", "kubernetes", "current_replicas", HPA)
LARGE = replace(READY, labels=(("namespace", "demo"), ("hpa", "keda-hpa-large")))
SPEC = {
    SignalQuery("pages", "kubernetes", "spec_replicas", (("namespace", "demo"), ("workload", name))): replicas
    for name, replicas in {"router": 4.0, "large": 6.0, "llama": 3.0}.items()  # of the last only its HPA speaks
}

KUBERNETES = """
kube_horizontalpodautoscaler_info{namespace="demo",horizontalpodautoscaler="keda-hpa-llama",scaletargetref_kind="Deployment",scaletargetref_name="llama"} 1
kube_horizontalpodautoscaler_info{namespace="other",horizontalpodautoscaler="keda-hpa-llama",scaletargetref_kind="Deployment",scaletargetref_name="llama"} 1
kube_horizontalpodautoscaler_status_current_replicas{namespace="demo",horizontalpodautoscaler="keda-hpa-llama"} 3
kube_deployment_status_replicas_ready{namespace="demo",deployment="llama"} 2
kube_deployment_status_replicas_ready{namespace="other",deployment="llama"} 9
kube_deployment_spec_replicas{namespace="demo",deployment="router"} 4
kube_horizontalpodautoscaler_info{namespace="demo",horizontalpodautoscaler="keda-hpa-large",scaletargetref_kind="StatefulSet",scaletargetref_name="large"} 1
kube_statefulset_replicas{namespace="demo",statefulset="large"} 6
kube_statefulset_status_replicas_ready{namespace="demo",statefulset="large"} 5
"""
GATEWAY = """
llm_d_epp_flow_control_queue_size{fairness_id="a",priority="0",target_model_name="m"} 3
llm_d_epp_flow_control_queue_size{fairness_id="b",priority="0",target_model_name="m"} 4
inference_extension_flow_control_queue_size{fairness_id="a",target_model_name="m"} 3
"""


def vllm(waiting=0, running=0, tokens=0, slow=0, model="m", cache="vllm:kv_cache_usage_perc"):
    """A page of two data-parallel ranks; `slow` requests had their first token after 0.4 s, as many after 0.05 s."""
    ranks = (
        f"""
vllm:num_requests_waiting{{model_name="{model}",engine="{rank}"}} {waiting}
vllm:num_requests_waiting{{model_name="{model}",engine="{rank}",server="router"}} 1000
vllm:num_requests_running{{model_name="{model}",engine="{rank}"}} {running}
{cache}{{model_name="{model}",engine="{rank}"}} 0.{rank + 1}
vllm:generation_tokens_total{{model_name="{model}",engine="{rank}"}} {tokens}
vllm:time_to_first_token_seconds_bucket{{le="0.1",model_name="{model}",engine="{rank}"}} {slow}
vllm:time_to_first_token_seconds_bucket{{le="0.5",model_name="{model}",engine="{rank}"}} {2 * slow}
vllm:time_to_first_token_seconds_bucket{{le="+Inf",model_name="{model}",engine="{rank}"}} {2 * slow}
vllm:time_to_first_token_seconds_count{{model_name="{model}",engine="{rank}"}} {2 * slow}
"""
        for rank in (0, 1)
    )
    return "".join(ranks)


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def web():
    server = Web()
    yield server
    server.close()


@pytest.fixture
def scraping(web):
    """Gives a function that makes a source of these paths; its clock is `clock`."""
    sources = []

    def start(paths=(), clock=None, addresses=None, steady=None, **changes):
        pages = tuple(Page(web.url(path), {"namespace": "demo", "pod": path.strip("/")}) for path in paths)
        endpoint = replace(Endpoint("pages", timeout=1.0, pages=pages), **changes)
        sources.append(ScrapeSource(endpoint, clock or Clock(), addresses, steady))
        return sources[-1]

    yield start
    for source in sources:
        source.close()


def one(source, query, at=1000.0):
    return source.fetch([query], [at])[query][0]


def test_gauges_count_every_rank_once_and_no_router(web, scraping):
    web.paths = {"/a": vllm(waiting=1, running=5), "/b": vllm(waiting=2, running=7, cache="vllm:gpu_cache_usage_perc")}
    source = scraping(["/a", "/b"])
    found = source.fetch([WAITING, RUNNING, CACHE], [1000.0])
    assert [found[query][0].value for query in (WAITING, RUNNING, CACHE)] == [6.0, 24.0, pytest.approx(0.15)]
    reading = found[WAITING][0]
    assert (reading.answered, reading.expected, reading.incomplete_reason, reading.age, reading.at) == (
        2,
        2,
        "",
        0.0,
        1000.0,
    )
    assert reading.source == "pages: vllm:num_requests_waiting on 2 of 2 pages"


def test_the_gateway_is_read_by_its_newest_name_and_the_target_through_its_hpa(web, scraping):
    web.paths = {"/gateway": GATEWAY, "/cluster": KUBERNETES}
    pages = (Page(web.url("/gateway"), {"namespace": "demo"}), Page(web.url("/cluster")))
    found = scraping(pages=pages).fetch([QUEUED, READY, CURRENT, WAITING, LARGE, *SPEC], [1000.0])
    assert [found[query][0].value for query in (QUEUED, READY, CURRENT, WAITING)] == [7.0, 2.0, 3.0, None]
    assert {query: found[query][0].value for query in (LARGE, *SPEC)} == {LARGE: 5.0, **SPEC}
    assert (found[READY][0].answered, found[READY][0].expected) == (None, None)
    assert (found[WAITING][0].answered, found[WAITING][0].expected) == (0, 0)


@pytest.mark.real
def test_a_real_prometheus_that_scrapes_the_same_pages_says_the_same(web, scraping, start_prometheus):
    web.paths = {
        "/a": vllm(waiting=1, running=5),
        "/b": vllm(waiting=2, running=7, cache="vllm:gpu_cache_usage_perc"),
        "/c": vllm(waiting=40, model="other"),
        "/gateway": GATEWAY,
        "/cluster": KUBERNETES,
    }
    jobs = [
        {
            "job_name": path.strip("/"),
            "metrics_path": path,
            "honor_labels": path == "/cluster",
            "static_configs": [
                {"targets": [f"127.0.0.1:{web.port}"], "labels": {"namespace": "demo", "pod": path[1:]}}
            ],
        }
        for path in web.paths
    ]
    server = start_prometheus(jobs=jobs)
    prometheus = PrometheusSource(Endpoint("pages", server.url))
    queries = [WAITING, RUNNING, CACHE, QUEUED, READY, CURRENT, LARGE, *SPEC, replace(WAITING, pods="a|c")]
    until(lambda: one(prometheus, CACHE, time.time()).answered == 2)
    until(lambda: all(one(prometheus, query, time.time()).value for query in (QUEUED, READY, CURRENT)))
    pages = [
        Page(web.url(path), {"namespace": "demo", "pod": path[1:]} if path != "/cluster" else {}) for path in web.paths
    ]
    ours = facts(scraping(pages=tuple(pages)), queries, 1000.0)
    until(lambda: facts(prometheus, queries, time.time()) == ours)  # a busy machine may need a second look
    prometheus.close()


def facts(source, queries, at):
    """What is measured of every query, or why it is not."""
    found = {query: measured[0] for query, measured in source.fetch(queries, [at]).items()}
    return {
        query: (one.value, one.answered, one.expected) if isinstance(one, Reading) else one.reason
        for query, one in found.items()
    }


def test_a_pod_that_says_nan_says_nothing(web, scraping):
    web.paths = {"/a": vllm(waiting=1), "/b": vllm(waiting=2, running=math.nan)}
    source = scraping(["/a", "/b"])
    assert one(source, WAITING).incomplete_reason == ""
    assert one(source, RUNNING).incomplete_reason == "1 of 2 pods say NaN"


@pytest.mark.parametrize(("said", "possible"), [("1", True), ("1.004", True), ("37.5", False)])
def test_a_share_of_more_than_all_is_no_share(web, scraping, said, possible):
    usage = SignalQuery("pages", "vllm", "kv_cache_usage", LABELS)
    web.paths = {"/a": f'vllm:kv_cache_usage_perc{{model_name="m"}} {said}\n'}
    reading = one(scraping(["/a"]), usage)
    if possible:
        assert (reading.value, reading.incomplete_reason) == (float(said), "")
    else:
        assert reading.reason == (
            "the value is 37.5, and 1 is the most that it can be: is it in percent, or another thing?"
        )


def test_a_counter_that_says_nan_has_no_rate_and_is_not_0(web, scraping):
    arrivals = SignalQuery("pages", "smg", "arrivals_per_second", (("namespace", "demo"), ("model", "m")), window=60.0)
    clock = Clock()
    source = scraping(["/a", "/b"], clock)
    for at, tokens in ((1000, 0), (1010, 100)):
        clock.now = at
        line = 'smg_router_requests_total{model="m"} '
        web.paths = {"/a": f"{line}{tokens}\n", "/b": f"{line}NaN\n"}
        reading = one(source, arrivals, at)
    assert (reading.value, reading.incomplete_reason) == (10, "1 of 2 pods say NaN")


def test_rates_and_quantiles_are_over_what_was_read_within_their_window(web, scraping):
    clock = Clock()
    source = scraping(["/a", "/b"], clock)
    for at, tokens, slow in ((1000, 0, 0), (1010, 100, 5), (1020, 200, 10)):
        clock.now = float(at)
        web.paths = {"/a": vllm(tokens=tokens, slow=slow), "/b": vllm(tokens=3 * tokens, slow=slow)}
        found = source.fetch([TOKENS, TTFT], [clock.now])
    assert found[TOKENS][0].value == pytest.approx(2 * 10 + 2 * 30)
    assert found[TTFT][0].value == pytest.approx(0.1)  # half are below the first bound
    clock.now = 1030.0  # /b restarted, /a stands still
    web.paths = {"/a": vllm(tokens=200, slow=10), "/b": vllm(tokens=60, slow=0)}
    assert one(source, TOKENS).value == pytest.approx(2 * 200 / 30 + 2 * 660 / 30)


@pytest.mark.parametrize("jump", [3600.0, 25.0, -25.0, -3600.0])
def test_a_clock_that_is_set_changes_no_rate_and_makes_no_past(web, scraping, jump):
    """Set back by 25 s, 30 s of tokens were those of 5 s; set forth, of 55 s; by an hour back, none for an hour."""
    clock, steady = Clock(), Clock()
    source = scraping(["/a"], clock, steady=steady)
    for step in range(5):
        web.paths = {"/a": vllm(tokens=100 * step)}
        found = source.fetch([TOKENS, WAITING, HistoryProbe("pages", 60.0)], [clock.now])
        reading = found[TOKENS][0]
        clock.now += 10 + (jump if step == 2 else 0)
        steady.now += 10
        if step:
            assert (reading.value, reading.incomplete_reason) == (pytest.approx(2 * 10), "")
        assert found[WAITING][0].age == 0.0
        assert found[HistoryProbe("pages", 60.0)][0].value is None, "it has known the page for less than that"


def test_a_quantile_over_no_requests_is_none(web, scraping):
    clock = Clock()
    source = scraping(["/a"], clock)
    web.paths["/a"] = vllm(slow=5)
    assert one(source, TTFT).value is None
    clock.now += 10
    assert one(source, TTFT).value is None


def test_a_pod_that_was_read_once_makes_the_rate_partial(web, scraping):
    clock = Clock()
    source = scraping(["/a", "/b"], clock)
    web.paths["/a"] = vllm(tokens=0)
    assert isinstance(one(source, TOKENS), Failure)  # /b never answered, and may be one of ours
    clock.now += 10
    web.paths |= {"/a": vllm(tokens=100), "/b": vllm(tokens=5000)}
    reading = one(source, TOKENS)
    assert (reading.value, reading.incomplete_reason) == (
        20.0,
        "1 of 2 pods were read only once, so their rate is not known",
    )


def test_a_rate_after_an_outage_longer_than_its_window_is_not_known_and_no_absence(web, scraping):
    clock = Clock()
    source = scraping(["/a"], clock)
    query = replace(TOKENS, window=30.0)
    for tokens, value in ((0, None), (100, 20.0), (5000, None), (5100, 20.0)):
        web.paths["/a"] = vllm(tokens=tokens)
        reading = one(source, query)
        assert (reading.value, "their rate is not known" in reading.incomplete_reason) == (value, value is None)
        clock.now += 90 if tokens == 100 else 10


def test_a_listed_page_that_does_not_answer_is_missing_for_its_own_workload_alone(web, scraping):
    clock = Clock()
    web.paths = {"/a": vllm(waiting=1), "/b": vllm(waiting=2), "/other": vllm(waiting=5, model="other")}
    source = scraping(["/a", "/b", "/other"], clock)
    other = replace(WAITING, labels=(("namespace", "demo"), ("model", "other")))
    assert (one(source, WAITING).value, one(source, other).value) == (6.0, 10.0)
    clock.now += 1
    web.paths["/b"] = lambda handler: send(handler, b"", 503)
    reading = one(source, WAITING)
    assert (reading.value, reading.answered, reading.expected) == (2.0, 1, 2)
    assert (
        reading.incomplete_reason
        == f"1 of 2 pods did not answer: 127.0.0.1:{web.port}/b answers 503 Service Unavailable"
    )
    assert one(source, other).incomplete_reason == ""


def test_without_any_page_there_is_a_failure_and_no_zero(web, scraping):
    clock = Clock()
    source = scraping(["/a"], clock)
    web.paths["/a"] = vllm(waiting=1)
    assert one(source, WAITING).value == 2.0
    clock.now += 1
    del web.paths["/a"]
    failure = one(source, WAITING)
    assert (failure.config_error, failure.reason) == (
        False,
        f"1 of 1 pods did not answer: 127.0.0.1:{web.port}/a answers 404 Not Found",
    )


def test_a_refused_connection_and_a_hanging_page_are_missing_and_cost_one_time_out(web, scraping):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        web.paths = {"/a": vllm(waiting=1), "/hangs": lambda handler: web.over.wait(5)}
        urls = [web.url("/a"), web.url("/hangs"), f"http://127.0.0.1:{nobody.getsockname()[1]}/metrics"]
        source = scraping(pages=tuple(Page(url) for url in urls), timeout=0.3)
        reading = one(source, WAITING)
    assert (reading.value, reading.answered, reading.expected) == (2.0, 1, 3)
    web.over.set()


def test_a_page_that_cannot_be_read_is_missing_with_its_line(web, scraping):
    web.paths = {"/a": vllm(waiting=1), "/b": 'vllm:num_requests_waiting{model_name="m"} many\n'}
    reading = one(scraping(["/a", "/b"]), WAITING)
    assert reading.value == 2.0
    assert "line 1 cannot be read" in reading.incomplete_reason


@pytest.mark.parametrize(
    ("labels", "pods", "expected"),
    [
        ({"namespace": "demo"}, None, 2.0),
        ({}, None, 2.0),  # who does not say a namespace is everybody's
        ({"namespace": "other"}, None, None),
        ({"namespace": "demo", "pod": "llama-0"}, "llama-.*", 2.0),
        ({"namespace": "demo", "pod": "llama-0"}, "llama", None),
    ],
)
def test_a_page_belongs_to_the_workload_that_its_labels_name(web, scraping, labels, pods, expected):
    web.paths["/a"] = vllm(waiting=1)
    source = scraping(pages=(Page(web.url("/a"), labels),))
    assert one(source, replace(WAITING, pods=pods)).value == expected


def test_replicas_come_and_go_with_the_file_that_lists_them(web, scraping, tmp_path):
    clock = Clock()
    web.paths = {"/a": vllm(waiting=1), "/b": vllm(waiting=2)}
    file = tmp_path / "pages.yaml"

    def listed(*paths):
        rows = [{"url": web.url(path), "namespace": "demo", "pod": path.strip("/")} for path in paths]
        new = tmp_path / "new"
        new.write_text(yaml.safe_dump(rows))
        new.replace(file)
        clock.now += 1
        reading = one(source, WAITING)
        return reading.value, reading.answered, reading.expected

    source = scraping(clock=clock, pages_file=file)
    failure = one(source, WAITING)
    assert isinstance(failure, Failure)
    assert "the list of pages cannot be read" in failure.reason
    assert listed() == (None, 0, 0)
    assert listed("/a") == (2.0, 1, 1)
    assert listed("/a", "/b") == (6.0, 2, 2)
    assert listed("/b") == (4.0, 1, 1)


@pytest.mark.parametrize(
    "written",
    ["- http://x/\n- [", "pages: 5", "- file:///etc/passwd", "- {url: http://x/, labels: {pod: a}}", "x" * 5_000_000],
)
def test_a_list_that_turns_bad_leaves_the_last_one_and_nothing_whole(web, scraping, tmp_path, written):
    clock = Clock()
    web.paths["/a"] = vllm(waiting=1)
    file = tmp_path / "pages.yaml"
    file.write_text(f"[{web.url('/a')}]")
    source = scraping(clock=clock, pages_file=file)
    assert one(source, WAITING).incomplete_reason == ""
    file.write_text(written)
    for _ in range(2):
        clock.now += 1
        reading = one(source, WAITING)
        assert reading.value == 2.0
        assert reading.incomplete_reason.startswith("the list of pages cannot be read")
    os.utime(file)
    file.write_text(f"[{web.url('/a')}]  # good again")
    clock.now += 1
    assert one(source, WAITING).incomplete_reason == ""


def test_the_past_that_was_not_seen_is_a_failure_and_history_is_how_long_it_has_read(web, scraping):
    clock = Clock()
    web.paths["/a"] = vllm()
    source = scraping(["/a"], clock)
    query = HistoryProbe("pages", 30.0)
    found = source.fetch([WAITING, query], [990.0, 995.0, 1000.0])
    assert [type(one) for one in found[WAITING]] == [type(one) for one in found[query]] == [Failure, Failure, Reading]
    assert found[query][-1].value is None
    for now, expected in ((1029.0, None), (1030.0, 1.0)):
        clock.now = now
        assert one(source, query).value == expected


def test_history_begins_with_the_first_page_that_answers(scraping, web):
    clock = Clock()
    source = scraping(["/a"], clock)
    assert one(source, HistoryProbe("pages", 0.0)).value is None
    web.paths["/a"] = vllm()
    clock.now += 1
    assert one(source, HistoryProbe("pages", 0.0)).value == 1.0


def test_questions_that_pages_cannot_answer_are_refused_for_good(web, scraping):
    web.paths["/a"] = vllm()
    queries = {
        PromqlQuery("pages", "up"): "endpoint `pages` reads metrics pages, which know no PromQL; use a signal",
        replace(WAITING, window=60.0, reduce="max"): "know a gauge as it is now; use `over` instead of `window`",
        replace(WAITING, pods="(a+)+b"): "repeats a group",
        replace(WAITING, signal="wating"): "did you mean waiting?",
    }
    found = scraping(["/a"]).fetch(list(queries), [1000.0])
    for query, reason in queries.items():
        assert found[query][0].config_error
        assert reason in found[query][0].reason


def test_ticks_that_come_together_share_one_reading(web, scraping):
    clock = Clock()
    web.paths["/a"] = vllm()
    source = scraping(["/a"], clock)
    for now in (1000.0, 1000.1, 1000.0 + SHARED + 0.01):
        clock.now = now
        one(source, WAITING)
    assert len(web.asked) == 2
    one(source, RUNNING)  # was not looked for before
    assert len(web.asked) == 3
    assert web.connections == 1


def test_windows_are_bounded(web, scraping):
    web.paths["/a"] = vllm()
    queries = [replace(TOKENS, window=60.0 + at) for at in range(MAX_WINDOWS + 1)]
    found = scraping(["/a"]).fetch(queries, [1000.0])
    (refused,) = (one[0].reason for one in found.values() if isinstance(one[0], Failure))
    assert (
        refused
        == f"endpoint `pages` keeps no more than {MAX_WINDOWS} windows of different length, one of each namespace in turn"
    )


def test_a_namespace_with_many_windows_takes_none_from_others(web, scraping):
    web.paths["/a"] = vllm()
    clock = Clock()
    source = scraping(["/a"], clock)
    flood = [replace(TOKENS, window=60.0 + at) for at in range(2 * MAX_WINDOWS)]
    source.fetch(flood, [1000.0], dict.fromkeys(flood, "noisy"))
    late = replace(TOKENS, window=300.0)
    for clock.now in (1001.0, 1002.0):
        found = source.fetch([late, *flood], [clock.now], dict.fromkeys(flood, "noisy") | {late: "quiet"})
    assert isinstance(found[late][0], Reading)
    refused = [query for query in flood if isinstance(found[query][0], Failure)]
    assert refused == flood[MAX_WINDOWS - 1 :], "who came late takes the newest of who has most"
    assert {found[query][0].reason for query in refused} == {
        f"endpoint `pages` keeps no more than {MAX_WINDOWS} windows of different length, one of each namespace in turn "
        f"(noisy {MAX_WINDOWS - 1}, quiet 1)"
    }


def test_credentials_go_with_every_page_and_a_secret_that_is_gone_is_said(web, scraping, tmp_path):
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    web.paths["/a"] = vllm(waiting=1)
    clock = Clock()
    source = scraping(["/a"], clock, bearer_token_file=token, headers={"X-Scope-OrgID": "team"})
    assert one(source, WAITING).value == 2.0
    headers = web.asked[0][1]
    assert (headers["Authorization"], headers["X-Scope-OrgID"]) == ("Bearer s3cret", "team")
    Path(token).unlink()
    clock.now += 1
    assert f"the secret in {token} cannot be read" in one(source, WAITING).reason


def test_an_impossible_value_is_a_failure(web, scraping):
    web.paths["/a"] = 'vllm:num_requests_waiting{model_name="m"} 1e300\n'
    assert one(scraping(["/a"]), WAITING).reason == "the value is 1e+300, which no load can be"


def test_samples_with_old_times_are_doubted(web, scraping):
    web.paths["/a"] = 'vllm:num_requests_waiting{model_name="m"} 5 880000\n'
    reading = one(scraping(["/a"]), WAITING)
    assert (reading.value, reading.age, reading.incomplete_reason) == (5.0, 120.0, "its oldest sample is 2m old")


# ---- the target's own pods ---------------------------------------------------------------------------------------------


@pytest.fixture
def pods(web, scraping):
    """Gives a source that reads pods; those of tests live on loopback, each at a path of its own."""

    def start(clock=None, **changes):
        settings = {"pods": PodPages(port=web.port), "networks": LOOPBACK, **changes}
        return scraping(clock=clock, **settings)

    return start


def own(*names, ready=None, silent=(), **annotations):
    """The pods of a target: those of `silent` do not say where they are."""
    places = [
        PodAddress("demo", name, "127.0.0.1", tuple(sorted({"path": f"/{name}", **annotations}.items())))
        for name in names
        if name not in silent
    ]
    return TargetPods(frozenset(names), frozenset(names if ready is None else ready), addresses=frozenset(places))


def counts(measured):
    return (measured.value, measured.answered, measured.expected) if isinstance(measured, Reading) else measured.reason


def test_a_target_is_measured_on_its_own_pods_and_on_no_others(web, pods):
    web.paths = {"/a": vllm(waiting=1), "/b": vllm(waiting=2), "/c": vllm(waiting=50)}
    source = pods()
    queries = {
        replace(WAITING, target_pods=own("a", "b")): (6.0, 2, 2),
        replace(WAITING, target_pods=own("c")): (100.0, 1, 1),
    }
    found = source.fetch(list(queries), [1000.0])
    assert {query: counts(one[0]) for query, one in found.items()} == queries
    assert sorted(path for path, _ in web.asked) == ["/a", "/b", "/c"]


def test_pods_that_are_too_many_to_read_are_shared_among_namespaces(web, pods, monkeypatch):
    monkeypatch.setattr("scaler.sources.pages.source.MAX_PODS", 3)
    web.paths = {f"/{name}": vllm(waiting=1) for name in "abcdz"}
    there = own("z")
    moved = replace(there, addresses=frozenset(replace(place, namespace="quiet") for place in there.addresses))
    noisy = replace(WAITING, target_pods=own(*"abcd"))
    quiet = replace(WAITING, target_pods=moved, labels=(("namespace", "quiet"), ("model", "m")))
    found = pods().fetch([noisy, quiet], [1000.0])
    assert counts(found[quiet][0]) == (2.0, 1, 1)
    assert counts(found[noisy][0]) == (4.0, 2, 4)
    limit = "endpoint `pages` reads no more than 3 pages of pods, one of each namespace in turn (demo 2, quiet 1)"
    assert limit in found[noisy][0].incomplete_reason


def test_every_ready_pod_must_answer_and_no_other(web, pods):
    web.paths = {"/a": vllm(waiting=1), "/b": lambda handler: send(handler, b"", 503)}
    source = pods()
    assert counts(one(source, replace(WAITING, target_pods=own("a", "b")))) == (2.0, 1, 2)
    reading = one(source, replace(WAITING, target_pods=own("a", "b")))
    assert (
        reading.incomplete_reason
        == f"1 of 2 pods did not answer: b at 127.0.0.1:{web.port}/b answers 503 Service Unavailable"
    )
    assert counts(one(source, replace(WAITING, target_pods=own("a", "b", ready=["a"])))) == (2.0, 1, 1), (
        "it was never ready"
    )
    assert counts(one(source, replace(WAITING, target_pods=own("a", "c", silent=["c"])))) == (2.0, 1, 2), (
        "it has no address"
    )


def test_a_pod_that_held_load_and_is_silent_is_missing_until_kubernetes_says_that_it_is_gone(web, pods):
    clock = Clock()
    source = pods(clock)
    web.paths = {"/a": vllm(waiting=1), "/b": vllm(waiting=2)}
    assert counts(one(source, replace(WAITING, target_pods=own("a", "b")))) == (6.0, 2, 2)
    del web.paths["/b"]
    clock.now += 5
    assert counts(one(source, replace(WAITING, target_pods=own("a", "b", ready=["a"])))) == (2.0, 1, 2)
    assert counts(one(source, replace(WAITING, target_pods=own("a")))) == (2.0, 1, 1)


def test_without_any_pod_there_is_no_value_and_nobody_is_missing(pods):
    assert counts(one(pods(), replace(WAITING, target_pods=own()))) == (None, 0, 0)


def test_pods_that_nobody_knows_are_a_failure_and_no_zero(web, pods):
    assert "Kubernetes has not said which these are" in counts(one(pods(), WAITING))


def test_an_annotation_that_is_refused_makes_the_pod_a_missing_one(web, pods):
    web.paths = {"/a": vllm(waiting=1)}
    both = own("a")
    evil = own("b", path="//evil.com/")
    query = replace(
        WAITING,
        target_pods=TargetPods(both.names | evil.names, both.ready | evil.ready, "", both.addresses | evil.addresses),
    )
    reading = one(pods(), query)
    assert counts(reading) == (2.0, 1, 2)
    told = "1 of 2 pods did not answer: b says '//evil.com/' in prometheus.io/path, where a path, such as /metrics?model=m, may stand"
    assert reading.incomplete_reason == told
    assert [path for path, _ in web.asked] == ["/a"]


def test_a_pod_on_loopback_is_not_read_unless_the_settings_name_it(web, pods):
    web.paths["/a"] = vllm(waiting=1)
    assert "is at 127.0.0.1, a loopback address" in counts(
        one(pods(networks=()), replace(WAITING, target_pods=own("a")))
    )
    assert web.asked == []


def test_pods_get_no_credentials_and_the_gateway_does(web, pods, tmp_path):
    token = tmp_path / "token"
    token.write_text("s3cret")
    web.paths = {"/a": vllm(waiting=1), "/gateway": GATEWAY}
    gateway = DiscoveredPages("service", f"http://epp.demo:{web.port}/gateway", {"namespace": "demo"})
    secret = {"bearer_token_file": token, "headers": {"X-Scope-OrgID": "team"}}
    source = pods(named=(gateway,), addresses=lambda *_: (frozenset({"127.0.0.1"}), ""), **secret)
    waiting = replace(WAITING, target_pods=own("a"))
    found = source.fetch([waiting, QUEUED], [1000.0])
    assert (found[waiting][0].value, found[QUEUED][0].value) == (2.0, 7.0)
    sent = {path: headers.get("Authorization", headers.get("X-Scope-OrgID")) for path, headers in web.asked}
    assert sent == {"/a": None, "/gateway": "Bearer s3cret"}
    assert {headers["Host"] for path, headers in web.asked if path == "/gateway"} == {f"epp.demo:{web.port}"}


def test_a_gateway_that_nobody_is_ready_behind_is_not_an_empty_queue(pods):
    gateway = DiscoveredPages("service", "http://epp.demo:9090/metrics", {"namespace": "demo"})
    source = pods(named=(gateway,), addresses=lambda *_: (frozenset(), ""))
    assert counts(one(source, QUEUED)) == "1 of 1 pods did not answer: epp.demo has nobody ready"
    elsewhere = replace(QUEUED, labels=(("namespace", "other"), ("model", "m")))
    assert counts(one(source, elsewhere)) == (None, 0, 0), "another namespace has another gateway"


def test_where_no_gateway_is_named_there_is_none_and_history_begins_at_once(pods):
    clock = Clock()
    source = pods(clock)
    assert one(source, QUEUED).value is None
    clock.now += 60
    assert one(source, HistoryProbe("pages", 60.0)).value == 1.0


def test_only_who_asks_has_its_pods_read(web, pods):
    clock = Clock()
    web.paths = {"/a": vllm(), "/b": vllm(), "/gateway": GATEWAY}
    source = pods(clock, pages=(Page(web.url("/gateway"), {"namespace": "demo"}),))
    source.fetch([replace(WAITING, target_pods=own("a")), replace(WAITING, target_pods=own("b"))], [1000.0])
    for _ in range(4):  # seconds of one that has no pod
        clock.now += 1
        source.fetch([QUEUED, replace(WAITING, target_pods=own())], [clock.now])
    asked = [path for path, _ in web.asked]
    assert (asked.count("/a"), asked.count("/b"), asked.count("/gateway")) == (1, 1, 5)


def test_pods_that_hang_delay_the_others_once(web, pods):
    clock = Clock()
    hanging = [f"h{number}" for number in range(READERS)]
    web.paths = {"/z": vllm(waiting=1)} | {f"/{name}": lambda handler: web.over.wait(20) for name in hanging}
    source = pods(clock, timeout=0.3)
    query = replace(WAITING, target_pods=own(*hanging, "z"))
    one(source, query)
    clock.now += 5
    assert counts(one(source, query)) == (2.0, 1, READERS + 1)
    web.over.set()


def test_so_many_pages_are_read_at_once_and_no_more(web, pods):
    here, most, together = [], [], threading.Barrier(READERS, timeout=4)

    def counted(handler):
        here.append(handler)
        most.append(len(here))
        together.wait()  # until all that may come are here
        here.remove(handler)
        send(handler, vllm(waiting=1).encode())

    names = [f"p{number}" for number in range(3 * READERS)]
    web.paths = {f"/{name}": counted for name in names}
    reading = one(pods(timeout=4.0), replace(WAITING, target_pods=own(*names)))
    assert counts(reading) == (6.0 * READERS, 3 * READERS, 3 * READERS)
    assert max(most) == READERS


def test_hostile_pages_cost_their_own_pods_alone(web, pods):
    def endless(handler):
        handler.send_response(200)
        handler.end_headers()
        with contextlib.suppress(OSError):
            while not web.over.is_set():
                handler.wfile.write(b"vllm:num_requests_waiting 1\n" * 10_000)

    def dripping(handler):
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        with contextlib.suppress(OSError):
            while not web.over.wait(0.02):
                handler.wfile.write(b"x")

    web.paths = {
        "/good": vllm(waiting=1),
        "/endless": endless,
        "/dripping": dripping,
        "/bomb": zipped(b"x" * 50_000_000),
        "/many": 'vllm:num_requests_waiting{model_name="m"} 1\n' * 10_001,
        "/elsewhere": lambda handler: send(handler, b"", 302, Location=web.url("/secret")),
        "/secret": vllm(waiting=99),
    }
    names = [path.strip("/") for path in web.paths if path != "/secret"]
    source = pods(timeout=0.5, max_series=10_000, max_bytes=1_000_000)
    assert counts(one(source, replace(WAITING, target_pods=own(*names)))) == (2.0, 1, len(names))
    assert "/secret" not in {path for path, _ in web.asked}
    patient = pods(timeout=30, max_series=10_000, max_bytes=1_000_000)  # the machine may be busy
    reasons = {}
    for name in names[1:]:
        asked = source if name == "dripping" else patient
        reasons[name] = one(asked, replace(WAITING, target_pods=own(name))).reason.partition(f"{web.port}/{name}")[2]
    assert reasons == {
        "endless": " is longer than 1000000 bytes",
        "dripping": " gives no answer within 500ms",
        "bomb": " is longer than 1000000 bytes",
        "many": ": 10001 series of it are wanted, more than 10000",
        "elsewhere": f" answers 302 Found, a redirect to {web.url('/secret')}, which is not followed",
    }
    web.over.set()
