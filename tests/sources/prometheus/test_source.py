"""A source and a real Prometheus that scrapes real pages: pods come, fail and go; the server dies, hangs, forgets."""

import re
import time
from dataclasses import replace

import pytest
from support.prometheus_server import series, until

from scaler.config.endpoint import Endpoint
from scaler.model.errors import ConfigError
from scaler.model.measurement import Failure, HistoryProbe, PromqlQuery, Reading, SignalQuery
from scaler.sources.prometheus.source import MAX_QUERIES, MAX_TIMES, PrometheusSource

LABELS = (("namespace", "team"), ("model", "m"))
WAITING = SignalQuery("prometheus", "vllm", "waiting", LABELS)
SUM_UP = PromqlQuery("prometheus", "sum(up)")
START = 1_790_000_000.0


def page(waiting, tokens=0):
    return (
        f'vllm:num_requests_waiting{{model_name="m",engine="0"}} {waiting}\n'
        f'vllm:generation_tokens_total{{model_name="m",engine="0"}} {tokens}\n'
    )


def job(pages, **pods):
    """A scrape job for pods, each of a namespace."""
    targets = [
        {
            "targets": [f"127.0.0.1:{pages.port}"],
            "labels": {"pod": pod, "namespace": namespace, "__metrics_path__": f"/{pod}/metrics", "instance": pod},
        }
        for pod, namespace in pods.items()
    ]
    return {"job_name": "vllm", "static_configs": targets}


@pytest.fixture(scope="module")
def scraping(start_prometheus, pages):
    pods = {"a": "team", "b": "team", "starting": "team", "slow": "other", "fast": "other"}
    return start_prometheus(jobs=[job(pages, **pods)])


@pytest.fixture(scope="module")
def live(scraping):
    source = PrometheusSource(Endpoint("prometheus", scraping.url, stale_after=30))
    yield source
    source.close()


@pytest.fixture
def server(start_prometheus):
    labels = {"namespace": "team", "model_name": "m", "pod": "a", "job": "vllm", "instance": "a"}
    lines = [*series("vllm:num_requests_waiting", labels, "3x40", START), *series("up", labels, "1x40", START)]
    server = start_prometheus(lines)
    yield server
    server.kill()


@pytest.fixture
def source(server):
    source = PrometheusSource(Endpoint("prometheus", server.url))
    yield source
    source.close()


def now(source, query):
    return source.fetch([query], [time.time()])[query][0]


def test_pods_that_fail_are_missing_and_pods_that_left_are_not(scraping, live, pages):
    pages.pages |= {"a": page(3), "b": page(4)}
    until(lambda: now(live, WAITING).answered == 2)
    whole = now(live, WAITING)  # the third is not up yet, and was never heard of: not missing
    assert (whole.value, whole.expected, whole.incomplete_reason) == (7, 2, "")
    assert whole.age < 10
    pages.pages["b"] = None
    until(lambda: now(live, WAITING).answered == 1)
    partial = now(live, WAITING)
    assert (partial.value, partial.expected, partial.incomplete_reason) == (3, 2, "1 of 2 pods cannot be scraped")
    scraping.scrape([job(pages, a="team", slow="other", fast="other")])
    until(lambda: now(live, WAITING).expected == 1)
    gone = now(live, WAITING)
    assert (gone.value, gone.answered, gone.incomplete_reason) == (3, 1, "")


def test_the_rate_of_a_pod_ends_with_the_pod(live, pages):
    labels = (("namespace", "other"), ("model", "m"))
    tokens = SignalQuery("prometheus", "vllm", "generation_tokens_per_second", labels, window=20.0)
    bare = PromqlQuery("prometheus", 'sum(rate(vllm:generation_tokens_total{namespace="other"}[20s]))')
    count = iter(range(1_000_000))

    def rate_grows():
        pages.pages |= {"slow": page(0, next(count)), "fast": page(0, 1000 * next(count))}
        return (now(live, tokens).value or 0) > 1000

    until(rate_grows)
    pages.pages["fast"] = None
    until(lambda: now(live, tokens).answered == 1)
    assert now(live, tokens).value < 1000
    assert now(live, bare).value > 1000  # which goes on for another 20 s


def test_a_server_that_is_killed_and_comes_back_empty(server, source):
    at = START + 600
    history = HistoryProbe("prometheus", 120)
    queries = [WAITING, SUM_UP, history]
    assert [source.fetch(queries, [at])[query][0].value for query in queries] == [3, 1, 1]
    server.kill()
    assert {one.reason for (one,) in source.fetch(queries, [at]).values()} == {
        f"endpoint `prometheus` ({server.url}) cannot be reached: Connection refused"
    }
    server.restart_empty()
    empty = source.fetch(queries, [at])
    assert [empty[query][0].value for query in queries] == [None, None, None]
    assert (empty[WAITING][0].answered, empty[WAITING][0].expected, empty[WAITING][0].incomplete_reason) == (0, 0, "")


def test_a_server_that_hangs_costs_one_time_out_and_is_asked_again(server, pages):
    source = PrometheusSource(Endpoint("prometheus", server.url, timeout=0.5))
    queries = [PromqlQuery("prometheus", f"vector({at})") for at in range(12)]  # more than there are connections
    assert isinstance(source.fetch(queries, [time.time()])[queries[3]][0], Reading)
    server.pause()
    failed = source.fetch(queries, [time.time()])
    server.resume()
    assert {one.reason for query in queries for one in failed[query]} == {
        f"endpoint `prometheus` ({server.url}) gives no answer within 500ms"
    }
    until(lambda: all(isinstance(one[0], Reading) for one in source.fetch(queries, [time.time()]).values()))
    source.close()


def test_a_query_that_is_wrong_fails_alone_and_for_good(source):
    queries = {
        "up[": r"query: bad_data: .*parse error",
        "up[5m]": r"query: gives a matrix; allowed: a vector or a scalar",
        '"text"': r"query: gives a string; allowed",
        "vector(1) or label_replace(vector(2), 'a', 'b', '', '')": "gave 2 series; aggregate them to one",
        "vector(1) / 0": "the value is inf, which no load can be",
        "vector(-1e16)": "the value is -1e\\+16, which no load can be",
    }
    right = PromqlQuery("prometheus", "scalar(vector(5))")
    found = source.fetch([right, *(PromqlQuery("prometheus", text) for text in queries)], [1000.0])
    assert found[right] == [Reading(5.0, 1000.0, source="prometheus: scalar(vector(5))")]
    for text, reason in queries.items():
        (failure,) = found[PromqlQuery("prometheus", text)]
        assert isinstance(failure, Failure)
        assert failure.config_error == ("value" not in reason)
        assert failure.source == f"prometheus: {text}"
        assert re.search(reason, failure.reason)


def test_no_number_is_no_value(source):
    nan = PromqlQuery("prometheus", "vector(0) / 0")
    nothing = PromqlQuery("prometheus", "absent(vector(1))")
    found = source.fetch([nan, nothing], [1000.0])
    assert [found[query][0].value for query in (nan, nothing)] == [None, None]


def test_several_times_are_answered_each_for_itself(source):
    clock = PromqlQuery("prometheus", "time()")
    sometimes = PromqlQuery("prometheus", "vector(time()) > 1005")
    several = PromqlQuery(
        "prometheus", "vector(1) or label_replace(vector(2) and vector(time()) < 1004, 'a', 'b', '', '')"
    )
    times = [1000.25, 1003.25, 1006.25]
    found = source.fetch([clock, sometimes, several], times)
    assert [one.value for one in found[clock]] == times
    assert [one.at for one in found[clock]] == times
    assert [one.value for one in found[sometimes]] == [None, None, 1006.25]
    assert [isinstance(one, Failure) for one in found[several]] == [True, True, False]


def test_more_times_than_one_query_may_have(source):
    clock = PromqlQuery("prometheus", "time()")
    times = [1000.0 + at for at in range(MAX_TIMES + 5)]
    assert [one.value for one in source.fetch([clock], times)[clock]] == times


def test_constant_matchers_reach_every_query(server):
    source = PrometheusSource(Endpoint("prometheus", server.url, matchers={"cluster": "eu"}, up_selector="up{job='x'}"))
    queries = [SUM_UP, WAITING, HistoryProbe("prometheus", 120)]
    found = source.fetch(queries, [1000.0])
    assert found[SUM_UP][0].source == 'prometheus: sum(up{cluster="eu"})'
    assert found[queries[2]][0].source == "prometheus: count(up{cluster=\"eu\",job='x'} offset 120s)"
    waiting = found[WAITING][0].source
    assert waiting.count('cluster="eu"') == waiting.count("{")  # each selector has it
    refused = PromqlQuery("prometheus", "up {{}")
    assert source.fetch([refused], [1000.0])[refused][0].config_error
    source.close()


def test_an_ask_for_what_is_not_in_the_catalogue_fails_for_good(source):
    query = SignalQuery("prometheus", "tgi", "time_to_first_token", (("namespace", "team"),))
    assert source.fetch([query, SUM_UP], [1000.0])[query] == [
        Failure(
            "signals: signal: tgi has no signal 'time_to_first_token'; allowed: waiting, running, kv_cache_usage, "
            "prompt_tokens_per_second, generation_tokens_per_second, requests_per_second, inter_token_latency, "
            "end_to_end_latency",
            1000.0,
            config_error=True,
            source="prometheus",
        )
    ]


def test_a_pods_expression_that_the_server_refuses_is_wrong_for_good(source):
    bad = SignalQuery("prometheus", "vllm", "waiting", LABELS, pods="(a")
    found = source.fetch([bad, WAITING], [1000.0])
    assert found[bad][0].config_error
    assert isinstance(found[WAITING][0], Reading)


def test_a_heartbeat_that_is_not_promql_is_refused_at_the_start():
    with pytest.raises(ConfigError, match="is not PromQL here"):
        PrometheusSource(Endpoint("prometheus", "http://127.0.0.1:1", up_selector="up{"))


def test_a_header_that_cannot_be_sent_is_refused_without_being_shown():
    with pytest.raises(
        ConfigError, match="endpoint prometheus: headers.X-Key: holds characters no header can"
    ) as refused:
        PrometheusSource(Endpoint("prometheus", "http://127.0.0.1:1", headers={"X-Key": "s3cret\n"}))
    assert "s3cret" not in str(refused.value)


def test_who_asks_first_is_answered_whatever_comes_after(live):
    flood = [
        SignalQuery("prometheus", "vllm", "waiting", LABELS, pods=f"a-{number}") for number in range(3 * MAX_QUERIES)
    ]
    measured = live.fetch(
        [WAITING, *flood, SUM_UP, replace(WAITING, labels=(("namespace", "a"), ("model", "b")))], [time.time()]
    )
    refused = [
        query for query in measured if "more than 2000 different queries" in getattr(measured[query][0], "reason", "")
    ]
    assert isinstance(measured[WAITING][0], Reading)
    assert refused == [*flood[MAX_QUERIES - 1 :], SUM_UP]


def test_a_namespace_that_asks_much_costs_others_nothing(live):
    flood = [
        SignalQuery("prometheus", "vllm", "waiting", LABELS, pods=f"a-{number}") for number in range(2 * MAX_QUERIES)
    ]
    queries = [*flood, WAITING, SUM_UP]
    whose = dict.fromkeys(queries, "quiet") | dict.fromkeys(flood, "noisy")
    measured = live.fetch(queries, [time.time()], whose)
    assert isinstance(measured[WAITING][0], Reading)
    assert isinstance(measured[SUM_UP][0], Reading)
    refused = {measured[query][0].reason for query in flood[MAX_QUERIES - 2 :]}
    assert refused == {
        f"endpoint `prometheus` is asked no more than {MAX_QUERIES} different queries at a time, one of each namespace in turn "
        f"(noisy {MAX_QUERIES - 2}, quiet 2); workloads that share a query cost less"
    }


def test_nothing_asked_is_nothing_answered(source):
    assert source.fetch([], [1000.0]) == {}
