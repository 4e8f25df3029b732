"""Endpoints as they are written: servers, pages, names of many pages, the target's own pods."""

from pathlib import Path

import pytest

from scaler.config.endpoint import PodPages, shown_endpoint
from scaler.config.settings import as_tree, read_settings
from scaler.model.errors import ConfigError

PODS = {"pods": {}}
PAGES = {"pages": ["http://127.0.0.1:9101/metrics"]}


def read(tree):
    return read_settings(tree, "s.yaml", {}, {})


@pytest.mark.parametrize(
    ("tree", "problem"),
    [
        ({"endpoints": {"A B": {"url": "http://p"}}}, "'A B' cannot name an endpoint"),
        ({"endpoints": {"a": {}}}, "s.yaml: endpoints.a.url: is missing"),
        ({"endpoints": {"a": {"url": "http://u:p@h"}}}, "endpoints.a.url: 'http://u:p@h' is not allowed"),
        ({"endpoints": {"a": {"url": "file:///etc/passwd"}}}, "allowed: an http or https URL"),
        ({"endpoints": {"a": {"url": "http://a b"}}}, "allowed: an http or https URL"),
        ({"endpoints": {"a": {"url": "http://prom\u00e9:9090"}}}, "allowed: an http or https URL"),
        ({"endpoints": {"a": {"url": "http://h:99999"}}}, "'http://h:99999' is not allowed; allowed: an http or https"),
        ({"endpoints": {"a": {"url": "http://[::1"}}}, "'http://[::1' is not allowed; allowed: an http or https"),
        ({"endpoints": {"a": {"url": "http://p", "basicAuth": {"username": "u"}}}}, "has only one of username"),
        ({"endpoints": {"a": {"url": "http://p", "matchers": {"a-b": "x"}}}}, "endpoints.a.matchers.a-b"),
        (PAGES | {"url": "http://p"}, "s.yaml: endpoints.a: has more than one of url, pages, pagesFile"),
        (PAGES | {"matchers": {"a": "b"}}, "endpoints.a.matchers: is for a Prometheus, not for pages"),
        (PAGES | {"metricNameColons": False}, "endpoints.a.metricNameColons: is for a Prometheus, not for pages"),
        ({"pages": "http://p"}, "endpoints.a.pages: 'http://p' is not a list"),
        ({"pages": ["http://p", {"url": "http://p"}]}, "endpoints.a.pages: http://p is listed twice"),
        ({"pages": ["ftp://p"]}, "endpoints.a.pages[0].url: 'ftp://p' is not allowed"),
        ({"pages": [{"pod": "p"}]}, "endpoints.a.pages[0].url: is missing"),
        ({"pages": [{"url": "http://p", "a-b": "c"}]}, "endpoints.a.pages[0].a-b: 'a-b' is not a label's name"),
        (PODS | {"url": "http://p"}, "endpoints.a.pods: stands beside url"),
        (PODS | {"matchers": {"a": "b"}}, "endpoints.a.matchers: is for a Prometheus, not for pages"),
        ({"pods": {"port": 0}}, "endpoints.a.pods.port: 0 is not allowed; allowed: a whole number from 1 to 65535"),
        ({"pods": {"path": "//p/"}}, "endpoints.a.pods.path: '//p/' is not allowed; allowed: a path"),
        ({"pods": {"prot": 1}}, "endpoints.a.pods.prot: unknown key, did you mean port?"),
        ({"pods": {}, "networks": ["10.0.0.0/33"]}, "endpoints.a.networks: ['10.0.0.0/33'] is not allowed"),
        ({"pages": [{"service": "http://p:9090/metrics"}]}, "names no Service; allowed: http://NAME.NAMESPACE:PORT/PATH"),
        ({"pages": [{"service": "http://10.0.0.1/metrics"}]}, "names no Service"),
        ({"pages": [{"dns": "p:9090"}]}, "endpoints.a.pages[0].dns: 'p:9090' is not allowed"),
        ({"pages": [{"dns": f"http://p{at}"} for at in range(51)]}, "lists 51 services and DNS names; allowed: at most 50"),
        ({"pages": [{"dns": "http://p"}, "http://p"]}, "endpoints.a.pages: http://p is listed twice"),
        ({"pages": [f"http://p/{at}" for at in range(2001)]}, "endpoints.a.pages: lists 2001 pages"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_error(tree, problem):
    if "endpoints" not in tree:
        tree = {"endpoints": {"a": tree}}
    with pytest.raises(ConfigError) as raised:
        read(tree)
    assert problem in str(raised.value)


def test_an_endpoint_may_be_pages_or_a_file_that_lists_them():
    pages = ["http://127.0.0.1:9101/metrics", {"url": "http://127.0.0.1:9102/", "namespace": "demo", "pod": "a"}]
    tree = {"endpoints": {"default": {"pages": pages}, "listed": {"pagesFile": "/pages.yaml", "timeout": "1s"}}}
    settings = read(tree)
    first, second = settings.endpoints["default"].pages
    assert (first.address, dict(first.labels)) == ("127.0.0.1:9101", {})
    assert (second.address, dict(second.labels)) == ("127.0.0.1:9102/", {"namespace": "demo", "pod": "a"})
    assert settings.endpoints["listed"].pages_file == Path("/pages.yaml")
    assert [one.direct for one in settings.endpoints.values()] == [True, True, True]
    assert [one.address for one in settings.endpoints.values()] == [
        "2 pages", "pages of /pages.yaml", "the target's pods",
    ]  # fmt: skip
    assert as_tree(settings)["endpoints"]["default"] == {"pages": pages, "timeout": "2s", "staleAfter": "1m30s"}
    assert read_settings(as_tree(settings), "again.yaml", {}, {}).endpoints == settings.endpoints


def test_an_endpoint_may_be_the_target_s_pods_and_pages_by_name():
    pages = [
        {"service": "http://epp.gateways:9090/metrics"},
        {"dns": "http://gateway:9090/metrics", "namespace": "team"},
        "http://10.0.0.7:8000/metrics",
    ]
    tree = {"endpoints": {"a": {"pods": {"port": 8001, "path": "/m"}, "pages": pages, "networks": ["10.0.0.0/8"]}}}
    settings = read({**tree, "defaults": {"endpoint": "a"}})
    endpoint = settings.endpoints["a"]
    assert endpoint.pods == PodPages(8001, "/m", "http")
    assert [(one.kind, dict(one.labels)) for one in endpoint.named] == [
        ("service", {"namespace": "gateways"}),
        ("dns", {"namespace": "team"}),
    ]
    assert endpoint.named[0].service == ("gateways", "epp")
    assert (endpoint.direct, endpoint.address) == (True, "the target's pods and 3 pages")
    assert read_settings(as_tree(settings), "again.yaml", {}, {}).endpoints["a"] == endpoint


def test_labels_and_metrics_may_have_the_names_that_open_telemetry_writes():
    written = {
        "url": "http://p",
        "labels": {"namespace": "k8s.namespace.name", "pod": "k8s.pod.name"},
        "matchers": {"k8s.cluster.name": "eu"},
        "metricNameColons": "dots",
    }
    endpoint = read({"endpoints": {"a": written}}).endpoints["a"]
    assert endpoint.dialect.metric("vllm:num_requests_running") == "vllm.num_requests_running"
    assert endpoint.dialect.name("pod") == "k8s.pod.name"
    as_tree = shown_endpoint(endpoint)
    assert (as_tree["metricNameColons"], as_tree["labels"]) == ("dots", written["labels"])
    with pytest.raises(ConfigError, match="labels.pod: 'a\"b' is not a label's name; allowed: such as k8s.pod.name"):
        read({"endpoints": {"a": {"url": "http://p", "labels": {"pod": 'a"b'}}}})


def test_pages_know_such_labels_as_text_without_quotes_has_them():
    tree = {"pages": ["http://p/metrics"], "labels": {"pod": "k8s.pod.name"}}
    assert read({"endpoints": {"a": tree}}).endpoints["a"].dialect.name("pod") == "k8s_pod_name"
