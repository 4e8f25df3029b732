from pathlib import Path

import pytest

from scaler.errors import ConfigError
from scaler.settings import KEYS, PodPages, flag, read_settings, shown, variable

FILE = {
    "grpc": {"address": "127.0.0.1:7000", "tls": {"cert": "/c", "key": "/k"}},
    "defaults": {"holdFor": "90s"},
    "endpoints": {
        "default": {"url": "http://prometheus:9090/", "timeout": "3s", "matchers": {"cluster": "eu-1"}},
        "mimir": {
            "url": "https://mimir/prometheus",
            "headers": {"X-Scope-OrgID": "team"},
            "basicAuth": {"username": "u", "passwordFile": "/p"},
        },
    },
}

PODS = {"pods": {}}
PAGES = {"pages": ["http://127.0.0.1:9101/metrics"]}


def read(tree=None, environment=None, **flags):
    return read_settings(FILE if tree is None else tree, "s.yaml", environment or {}, flags)


def test_flags_stand_over_the_environment_and_that_over_the_file():
    assert read()["grpc.address"] == "127.0.0.1:7000"
    environment = {"LLM_SCALER_GRPC_ADDRESS": "127.0.0.1:7001", "HOME": "/"}
    assert read(None, environment)["grpc.address"] == "127.0.0.1:7001"
    assert read(None, environment, **{"grpc.address": ":7002"})["grpc.address"] == ":7002"


def test_every_key_has_a_variable_and_a_flag_of_its_own():
    assert variable("grpc.maxConnectionAge") == "LLM_SCALER_GRPC_MAX_CONNECTION_AGE"
    assert flag("grpc.maxConnectionAge") == "--grpc-max-connection-age"
    assert len({variable(key.path) for key in KEYS}) == len(KEYS)


def test_endpoints_are_named_places():
    settings = read()
    assert settings.endpoints["default"].url == "http://prometheus:9090"
    assert settings.endpoints["mimir"].password_file == Path("/p")
    assert hash(settings.endpoints["mimir"])
    defaults = settings.defaults()
    assert (defaults.endpoints, defaults.hold_for) == (("default", "mimir", "pods"), 90.0)


def test_one_url_is_enough_to_start():
    assert read({}, {"LLM_SCALER_PROMETHEUS": "http://p:9090"}).endpoints["default"].url == "http://p:9090"


def test_the_variables_of_a_kubernetes_service_are_not_ours():
    service = {
        "LLM_SCALER_SERVICE_HOST": "10.0.0.1",
        "LLM_SCALER_PORT": "tcp://x",
        "LLM_SCALER_PORT_6000_TCP_ADDR": "x",
        "LLM_SCALER_SERVER": "http://x",
    }
    assert read(None, service)


@pytest.mark.parametrize(
    ("tree", "environment", "flags", "problem"),
    [
        ({"grcp": {}}, {}, {}, "s.yaml: grcp: unknown key, did you mean grpc?"),
        ({"grpc": {"adress": "x"}}, {}, {}, "s.yaml: grpc.adress: unknown key, did you mean address?"),
        ({"grpc": {"address": "x"}}, {}, {}, "s.yaml: grpc.address: 'x' is not allowed; allowed: HOST:PORT"),
        ({"log": {"level": "loud"}}, {}, {}, "s.yaml: log.level: 'loud' is not allowed; allowed: debug, info, warning, error"),
        (FILE, {"LLM_SCALER_LOG_LEVL": "info"}, {}, "environment: LLM_SCALER_LOG_LEVL: unknown variable"),
        (FILE, {"LLM_SCALER_GRPC_BUDGET": "1y"}, {}, "environment: LLM_SCALER_GRPC_BUDGET: '1y' is not allowed"),
        (FILE, {}, {"grpc.budget": "x"}, "flag: --grpc-budget: 'x' is not allowed; allowed: a duration from 100ms to 10s"),
        ({"kubernetes": {"enabled": False}}, {}, {}, "s.yaml: defaults.endpoint: 'default' is not an endpoint; allowed: none yet"),
        (FILE, {"LLM_SCALER_PROMETHEUS": "http://p"}, {}, "prometheus: and endpoints.default are both given"),
        ({**FILE, "defaults": {"gatewayEndpoint": "epp"}}, {}, {}, "defaults.gatewayEndpoint: 'epp' is not an endpoint; allowed: default, mimir, pods"),
        ({**FILE, "grpc": {"tls": {"cert": "/c"}}}, {}, {}, "s.yaml: grpc.tls: has only one of cert and key"),
        ({**FILE, "grpc": {"tls": {"clientCA": "/c"}}}, {}, {}, "grpc.tls.clientCA: is given without cert and key"),
        ({"endpoints": {"A B": {"url": "http://p"}}}, {}, {}, "'A B' cannot name an endpoint"),
        ({"endpoints": {"a": {}}}, {}, {}, "s.yaml: endpoints.a.url: is missing"),
        ({"endpoints": {"a": {"url": "http://u:p@h"}}}, {}, {}, "endpoints.a.url: 'http://u:p@h' is not allowed"),
        ({"endpoints": {"a": {"url": "file:///etc/passwd"}}}, {}, {}, "allowed: an http or https URL"),
        ({"endpoints": {"a": {"url": "http://h:99999"}}}, {}, {}, "'http://h:99999' is not allowed; allowed: an http or https"),
        ({"endpoints": {"a": {"url": "http://[::1"}}}, {}, {}, "'http://[::1' is not allowed; allowed: an http or https"),
        ({"endpoints": {"a": {"url": "http://p", "basicAuth": {"username": "u"}}}}, {}, {}, "has only one of username"),
        ({"endpoints": {"a": {"url": "http://p", "matchers": {"a-b": "x"}}}}, {}, {}, "endpoints.a.matchers.a-b"),
        ([], {}, {}, "s.yaml: [] is not a mapping"),
        (PAGES | {"url": "http://p"}, {}, {}, "s.yaml: endpoints.a: has more than one of url, pages, pagesFile"),
        (PAGES | {"matchers": {"a": "b"}}, {}, {}, "endpoints.a.matchers: is for a Prometheus, not for pages"),
        ({"pages": "http://p"}, {}, {}, "endpoints.a.pages: 'http://p' is not a list"),
        ({"pages": ["http://p", {"url": "http://p"}]}, {}, {}, "endpoints.a.pages: http://p is listed twice"),
        ({"pages": ["ftp://p"]}, {}, {}, "endpoints.a.pages[0].url: 'ftp://p' is not allowed"),
        ({"pages": [{"pod": "p"}]}, {}, {}, "endpoints.a.pages[0].url: is missing"),
        ({"pages": [{"url": "http://p", "a-b": "c"}]}, {}, {}, "endpoints.a.pages[0].a-b: 'a-b' is not a label's name"),
        (PODS | {"url": "http://p"}, {}, {}, "endpoints.a.pods: stands beside url"),
        (PODS | {"matchers": {"a": "b"}}, {}, {}, "endpoints.a.matchers: is for a Prometheus, not for pages"),
        ({"pods": {"port": 0}}, {}, {}, "endpoints.a.pods.port: 0 is not allowed; allowed: a whole number from 1 to 65535"),
        ({"pods": {"path": "//p/"}}, {}, {}, "endpoints.a.pods.path: '//p/' is not allowed; allowed: a path"),
        ({"pods": {"prot": 1}}, {}, {}, "endpoints.a.pods.prot: unknown key, did you mean port?"),
        ({"pods": {}, "networks": ["10.0.0.0/33"]}, {}, {}, "endpoints.a.networks: ['10.0.0.0/33'] is not allowed"),
        ({"pages": [{"service": "http://p:9090/metrics"}]}, {}, {}, "names no Service; allowed: http://NAME.NAMESPACE:PORT/PATH"),
        ({"pages": [{"service": "http://10.0.0.1/metrics"}]}, {}, {}, "names no Service"),
        ({"pages": [{"dns": "p:9090"}]}, {}, {}, "endpoints.a.pages[0].dns: 'p:9090' is not allowed"),
        ({"pages": [{"dns": f"http://p{at}"} for at in range(51)]}, {}, {}, "lists 51 services and DNS names; allowed: at most 50"),
        ({"pages": [{"dns": "http://p"}, "http://p"]}, {}, {}, "endpoints.a.pages: http://p is listed twice"),
        ({"pages": [f"http://p/{at}" for at in range(2001)]}, {}, {}, "endpoints.a.pages: lists 2001 pages"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_error(tree, environment, flags, problem):
    if tree and tree.keys() & {"pages", "pods"}:
        tree = {"endpoints": {"a": tree}}
    with pytest.raises(ConfigError) as raised:
        read(tree, environment, **flags)
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
    assert shown(settings)["endpoints"]["default"] == {"pages": pages, "timeout": "2s", "staleAfter": "1m30s"}
    assert read_settings(shown(settings), "again.yaml", {}, {}).endpoints == settings.endpoints


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
    assert read_settings(shown(settings), "again.yaml", {}, {}).endpoints["a"] == endpoint


@pytest.mark.parametrize(
    ("tree", "default", "own"),
    [
        ({}, "pods", True),  # with nothing but Kubernetes
        ({"prometheus": "http://p"}, "default", True),
        ({"endpoints": {"default": {"url": "http://p"}}}, "default", True),
        ({"endpoints": {"pods": {"url": "http://p"}}}, "pods", False),
        ({"prometheus": "http://p", "kubernetes": {"enabled": False}}, "default", None),
        ({"prometheus": "http://p", "defaults": {"endpoint": "pods"}}, "pods", True),
    ],
)
def test_the_target_s_pods_are_an_endpoint_wherever_kubernetes_is(tree, default, own):
    settings = read(tree)
    assert settings["defaults.endpoint"] == default
    found = settings.endpoints.get("pods")
    assert (found and found.pods is not None) is own


def test_the_settings_in_force_can_be_shown_and_read_again_without_secrets():
    tree = shown(read())
    assert tree["grpc"]["maxConnectionAge"] == "1m"
    assert tree["endpoints"]["mimir"]["headers"] == {"X-Scope-OrgID": "(hidden)"}
    again = read_settings(tree, "again.yaml", {}, {})
    assert again.values == read().values


@pytest.mark.parametrize(("given", "expected"), [(True, "true"), (False, "false"), ("auto", "auto"), (None, "auto")])
def test_kubernetes_is_switched_by_a_word_or_a_boolean(given, expected):
    assert read({**FILE, "kubernetes": {"enabled": given}})["kubernetes.enabled"] == expected


@pytest.mark.parametrize("given", [["team-a", "team-b"], "team-a, team-b"])
def test_names_are_a_list_or_a_text_with_commas(given):
    settings = read({**FILE, "kubernetes": {"namespaces": given}})
    assert settings["kubernetes.namespaces"] == ("team-a", "team-b")
    assert shown(settings)["kubernetes"]["namespaces"] == ["team-a", "team-b"]


@pytest.mark.parametrize("given", ["", "Team", ["a/b"], ["a"] * 101, {"a": 1}])
def test_what_names_nothing_is_refused(given):
    with pytest.raises(ConfigError, match=r"kubernetes\.serviceNames: .* at most 100 names, such as team-a,team-b"):
        read({**FILE, "kubernetes": {"serviceNames": given}})
