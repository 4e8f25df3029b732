from dataclasses import replace
from pathlib import Path

import pytest

from scaler.config.settings import KEYS, as_tree, flag, read_settings, variable
from scaler.model.errors import ConfigError

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


def read(tree=None, environment=None, **flags):
    return read_settings(FILE if tree is None else tree, "s.yaml", environment or {}, flags)


def test_flags_stand_over_the_environment_and_that_over_the_file():
    assert read().grpc.address == "127.0.0.1:7000"
    environment = {"LLM_SCALER_GRPC_ADDRESS": "127.0.0.1:7001", "HOME": "/"}
    assert read(None, environment).grpc.address == "127.0.0.1:7001"
    assert read(None, environment, **{"grpc.address": ":7002"}).grpc.address == ":7002"


def test_every_key_has_a_variable_and_a_flag_of_its_own():
    assert variable("grpc.maxConnectionAge") == "LLM_SCALER_GRPC_MAX_CONNECTION_AGE"
    assert flag("grpc.maxConnectionAge") == "--grpc-max-connection-age"
    assert len({variable(key.path) for key in KEYS}) == len(KEYS)


def test_a_field_is_what_was_written_under_its_key():
    """Whatever is set is found at the field of the same name, and nowhere else."""
    given = {"grpc": {"firstDecisionTimeout": "3s", "tls": {"cert": "/c", "key": "/k", "clientCA": "/ca"}}}
    given |= {"limits": {"formulaStepsPerNamespace": 7}, "defaults": {"scaleDown": "off"}, "formulas": "/f"}
    settings = read(FILE | given)
    assert settings.grpc.first_decision_timeout == 3.0
    assert (settings.grpc.tls.cert, settings.grpc.tls.client_ca) == (Path("/c"), Path("/ca"))
    assert (settings.limits.formula_steps_per_namespace, settings.defaults.scale_down) == (7, None)
    assert settings.formulas == Path("/f")
    assert read(FILE | {"formulas": ""}).formulas is None


def test_nothing_written_is_every_default():
    """The fields' own defaults are those of the keys, but for the endpoint, which hangs on what there is."""
    bare = read({"prometheus": "http://p"})
    parts = (settings for settings in (bare.grpc, bare.admin, bare.limits, bare.kubernetes, bare.log))
    assert all(part == type(part)() for part in parts)
    assert {key.path for key in KEYS if key.default is not None} >= {"grpc.address", "defaults.interval", "log.level"}


def test_endpoints_are_named_places():
    settings = read()
    assert settings.endpoints["default"].url == "http://prometheus:9090"
    assert settings.endpoints["mimir"].password_file == Path("/p")
    assert hash(settings.endpoints["mimir"])
    defaults = settings.defaults
    assert (defaults.endpoints, defaults.hold_for) == (("default", "mimir", "pods"), 90.0)
    assert defaults.direct == {"pods"}


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
        (FILE, {"LLM_SCALER_GRPC_FIRST_DECISION_TIMEOUT": "1y"}, {}, "environment: LLM_SCALER_GRPC_FIRST_DECISION_TIMEOUT: '1y' is not allowed"),
        (FILE, {}, {"grpc.firstDecisionTimeout": "x"}, "flag: --grpc-first-decision-timeout: 'x' is not allowed; allowed: a duration from 100ms to 10s"),
        ({"kubernetes": {"enabled": False}}, {}, {}, "s.yaml: defaults.endpoint: 'default' is not an endpoint; allowed: none yet"),
        (FILE, {"LLM_SCALER_PROMETHEUS": "http://p"}, {}, "prometheus: and endpoints.default are both given"),
        ({**FILE, "defaults": {"gatewayEndpoint": "epp"}}, {}, {}, "defaults.gatewayEndpoint: 'epp' is not an endpoint; allowed: default, mimir, pods"),
        ({**FILE, "defaults": {"engine": "vlm"}}, {}, {}, "s.yaml: defaults.engine: 'vlm' is not in the catalogue, did you mean vllm?; allowed: vllm,"),
        (FILE, {}, {"defaults.gateway": "epp"}, "defaults.gateway: 'epp' is not a gateway; allowed: ray-serve, llm-d,"),
        ({**FILE, "grpc": {"tls": {"cert": "/c"}}}, {}, {}, "s.yaml: grpc.tls: has only one of cert and key"),
        ({**FILE, "grpc": {"tls": {"clientCA": "/c"}}}, {}, {}, "grpc.tls.clientCA: is given without cert and key"),
        ([], {}, {}, "s.yaml: [] stands where keys and values belong"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_error(tree, environment, flags, problem):
    with pytest.raises(ConfigError) as raised:
        read(tree, environment, **flags)
    assert problem in str(raised.value)


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
    assert settings.defaults.endpoint == default
    found = settings.endpoints.get("pods")
    assert (found and found.pods is not None) is own


def test_the_settings_in_force_can_be_shown_and_read_again_without_secrets():
    tree = as_tree(read())
    assert tree["grpc"]["maxConnectionAge"] == "1m"
    assert tree["endpoints"]["mimir"]["headers"] == {"X-Scope-OrgID": "(hidden)"}
    again = read_settings(tree, "again.yaml", {}, {})
    assert replace(again, endpoints={}) == replace(read(), endpoints={})


@pytest.mark.parametrize(("given", "expected"), [(True, "true"), (False, "false"), ("auto", "auto"), (None, "auto")])
def test_kubernetes_is_switched_by_a_word_or_a_boolean(given, expected):
    assert read({**FILE, "kubernetes": {"enabled": given}}).kubernetes.enabled == expected


@pytest.mark.parametrize("given", [["team-a", "team-b"], "team-a, team-b"])
def test_names_are_a_list_or_a_text_with_commas(given):
    settings = read({**FILE, "kubernetes": {"namespaces": given}})
    assert settings.kubernetes.namespaces == ("team-a", "team-b")
    assert as_tree(settings)["kubernetes"]["namespaces"] == ["team-a", "team-b"]


@pytest.mark.parametrize("given", ["", "Team", ["a/b"], ["a"] * 101, {"a": 1}])
def test_what_names_nothing_is_refused(given):
    with pytest.raises(ConfigError, match=r"kubernetes\.scalerAddresses: .* at most 100 names, such as team-a,team-b"):
        read({**FILE, "kubernetes": {"scalerAddresses": given}})


@pytest.mark.parametrize(("given", "expected"), [("clamp", "clamp"), (False, "off"), ("off", "off"), (None, "report")])
def test_the_settings_say_what_is_made_of_replicas_that_cannot_be_had(given, expected):
    defaults = read({**FILE, "defaults": {"capacity": given, "startup": "5m"}}).defaults
    assert (defaults.capacity, defaults.startup) == (expected, 300)
