"""The series of a signal: selectors, labels of a pod and a page, and names of several releases."""

from dataclasses import replace

import promql_parser
import pytest

from scaler.config.naming import SCRAPE_LABELS, Naming
from scaler.config.signals import find
from scaler.model.measurement import SignalQuery, TargetPods
from scaler.sources.prometheus.signal_series import SignalSeries, adds_up

QUERY = SignalQuery("p", "vllm", "waiting", (("namespace", "demo"), ("model", "a")))
NAMED = {"namespace": ("demo",), "model_name": ("a", "b")}


def series(naming=None, query=QUERY, named=NAMED, **more):
    return SignalSeries(
        find(query.engine, query.signal), query, ("namespace", "model_name"), named, naming or Naming(), **more
    )


def test_a_selector_is_as_the_worked_example_has_it():
    [metric] = find("vllm", "waiting").metrics
    assert series().select(metric) == 'vllm:num_requests_waiting{namespace="demo",model_name=~"a|b",pod!="",server=""}'


def test_the_endpoints_own_matchers_and_names_are_in_every_selector():
    [metric] = find("vllm", "waiting").metrics
    named = {"ns": ("demo",)}
    text = series(Naming(labels={"pod": "kubernetes_pod"}, matchers={"cluster": "x"}), named=named).select(metric)
    assert text == 'vllm:num_requests_waiting{ns="demo",kubernetes_pod!="",server="",cluster="x"}'


@pytest.mark.parametrize(
    ("naming", "page", "scrape"),
    [
        (Naming(), ("instance",), SCRAPE_LABELS),
        (Naming(pod_pages="same"), (), (*SCRAPE_LABELS, "instance")),
    ],
)
def test_what_tells_pods_pages_and_scrapes_apart(naming, page, scrape):
    found = series(naming)
    assert found.pod == ("namespace", "model_name", "pod")
    assert found.page == (*found.pod, *page)
    assert found.scrape == scrape


def test_of_a_page_the_first_name_that_it_has_is_read():
    query = replace(QUERY, signal="kv_cache_usage")
    metrics = find("vllm", "kv_cache_usage").metrics
    assert len(metrics) > 1
    found = series(query=query)
    text = found.newest(metrics, found.select)
    places = [text.index(metric.name) for metric in metrics]
    assert places == sorted(places)
    assert text.count(" or on (namespace, model_name, pod, instance) ") == len(metrics) - 1
    promql_parser.parse(text)


def test_own_pods_stand_in_a_query_that_cannot_be_added_up_and_in_no_other():
    own = TargetPods(frozenset({"llama-0", "llama-1"}), frozenset())
    median = replace(QUERY, signal="time_to_first_token", window=60.0, quantile=0.5, target_pods=own)
    assert (adds_up(median), series(query=median).pods) == (False, ('!=""', '=~"llama-0|llama-1"'))
    waiting = replace(QUERY, target_pods=own, pods="llama-.*")
    assert (adds_up(waiting), series(query=waiting).pods) == (True, ('!=""', '=~"llama-.*"'))
