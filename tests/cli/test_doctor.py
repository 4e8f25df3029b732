"""`doctor` from the command line to the sockets: an API server that shows manifests, and llm-scaler's admin behind it."""

import json

import pytest
from support.manifest_server import ManifestServer
from support.prometheus_server import free_port
from wiring.setups import PAGE, Setup, meta

from scaler.cli.main import main

ADMIN = "/api/v1/namespaces/keda/services/llm-scaler:8080/proxy"


@pytest.fixture
def setup():
    return Setup()


@pytest.fixture
def doctor(setup, tmp_path, capsys, monkeypatch):
    """Runs the command against the set-up; returns exit code and what was printed."""
    for variable in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "LLM_SCALER_SERVER"):
        monkeypatch.delenv(variable, raising=False)
    running = []

    def run(*words, kubernetes=None):
        server = kubernetes or serve(setup)
        running.append(server)
        code = main(["doctor", "--kubeconfig", server.kubeconfig(tmp_path), *words])
        printed = capsys.readouterr()
        return code, printed.out + printed.err, server

    yield run
    for server in running:
        server.close()


def serve(setup):
    server = ManifestServer(setup.objects)
    told = {"decisions": setup.decisions} if setup.decisions else {"error": setup.refused}
    server.answers[f"{ADMIN}/api/v1/explain/demo/llama"] = (200 if setup.decisions else 404), told
    server.answers[f"{ADMIN}/readyz"] = 200, "\n".join(["ready", "[+] formulas", *setup.warnings])
    server.answers["/api/v1/namespaces/demo/pods/llama-5d8f-a:8000/proxy/metrics"] = 200, PAGE
    return server


def test_a_sound_workload_is_found_sound(doctor):
    code, text, server = doctor("demo/llama")
    assert (code, text.splitlines()[0]) == (0, "demo/llama  nothing wrong was found")
    assert "not looked at" not in text
    assert {command for command, _ in server.asked} == {"GET"}


def test_all_workloads_are_looked_at_when_none_is_named(doctor):
    code, text, _ = doctor()
    assert code == 0
    assert "demo/llama  nothing wrong was found" in text


def test_the_culprit_comes_first_with_its_evidence_and_repair(doctor, setup):
    setup.metadata["scalerAddress"] = "llm-scaler.keda:8080"
    setup.in_error("got empty metric spec")
    code, text, _ = doctor("demo/llama")
    assert code == 1
    assert text.splitlines()[:5] == [
        "demo/llama  does not scale as it should: port 8080 of scalerAddress is for people and Prometheus: it speaks HTTP, not gRPC",
        "",
        "  error    port 8080 of scalerAddress is for people and Prometheus: it speaks HTTP, not gRPC  [port]",
        "           because  ports of keda/llm-scaler: grpc 6000, http 8080",
        "           repair   scalerAddress: llm-scaler.keda:6000",
    ]


def test_as_json(doctor, setup):
    del setup.spec["fallback"]
    code, text, _ = doctor("demo/llama", "-o", "json")
    [told] = json.loads(text)["workloads"]
    assert code == 0  # a warning
    assert (told["namespace"], told["name"], told["healthy"]) == ("demo", "llama", False)
    assert [(one["rule"], one["severity"]) for one in told["findings"]] == [("fallback", "warning")]


def test_the_pods_page_is_read_through_the_api_server(doctor, setup):
    setup.without_metrics(None)
    setup.metadata["model"] = "llama-3-70b"
    code, text, _ = doctor("demo/llama")
    assert code == 1
    assert "the pods serve no model 'llama-3-70b', did you mean llama-3-8b?" in text.splitlines()[0]


def test_what_may_not_be_read_is_said_and_is_no_finding(doctor, setup):
    server = serve(setup)
    denied = {"kind": "Status", "code": 403, "message": "services is forbidden: User bob cannot list resource services"}
    for path in ("/api/v1/namespaces/keda/services", "/apis/apps/v1/deployments", "/api/v1/namespaces/demo/events"):
        server.answers[path] = 403, denied
    code, text, _ = doctor("demo/llama", kubernetes=server)
    assert code == 0
    assert "where scalerAddress leads: 403: services is forbidden: User bob cannot list resource services" in text
    assert "what KEDA and the scheduler said: 403" in text


def test_a_person_of_one_namespace_lists_that_alone(doctor, setup):
    server = serve(setup)
    _, listed = server.answers["/apis/keda.sh/v1alpha1/scaledobjects"]
    server.answers["/apis/keda.sh/v1alpha1/scaledobjects"] = (
        403,
        {"kind": "Status", "code": 403, "message": "forbidden"},
    )
    server.answers["/apis/keda.sh/v1alpha1/namespaces/demo/scaledobjects"] = 200, listed
    assert doctor("demo/llama", kubernetes=server)[:2] == (0, "demo/llama  nothing wrong was found\n\n")


def test_the_values_of_secrets_are_forgotten_at_once(doctor, setup):
    ref = {"parameter": "caCert", "name": "llm-scaler-client", "key": "ca.crt"}
    auth = {"metadata": {"name": "llm-scaler"}, "spec": {"secretTargetRef": [ref]}}
    setup.objects["clustertriggerauthentications"] = [auth]
    setup.trigger["authenticationRef"] = {"name": "llm-scaler", "kind": "ClusterTriggerAuthentication"}
    server = serve(setup)
    secret = {"kind": "Secret", "metadata": meta("llm-scaler-client", "keda"), "data": {"ca.pem": "c2VjcmV0"}}
    server.answers["/api/v1/namespaces/keda/secrets/llm-scaler-client"] = 200, secret
    code, text, _ = doctor("demo/llama", kubernetes=server)
    assert code == 1
    assert "the Secret keda/llm-scaler-client has no key ca.crt" in text.splitlines()[0]
    assert "c2VjcmV0" not in text


def test_it_calls_as_keda_does(doctor):
    address = f"127.0.0.1:{free_port()}"
    code, text, _ = doctor("demo/llama", "--address", address)
    assert code == 1
    assert text.startswith(
        "demo/llama  does not scale as it should: llm-scaler does not answer at llm-scaler.keda:6000"
    )
    assert f"GetMetricSpec at {address}: UNAVAILABLE" in text
    assert doctor("demo/llama", "--address", address, "--no-call")[0] == 0


def test_long_lists_come_in_pages(doctor, setup):
    others = [{**setup.scaled, "metadata": meta(f"other-{number}", "elsewhere")} for number in range(7)]
    setup.objects["scaledobjects"] = [*others, setup.scaled]
    server = serve(setup)
    server.page = 3
    assert doctor("demo/llama", kubernetes=server)[0] == 0


def test_without_a_cluster_it_says_so(doctor, setup, tmp_path):
    server = serve(setup)
    server.close()
    code, text, _ = doctor(kubernetes=server)
    assert code == 2
    assert text.startswith("llm-scaler: the ScaledObjects cannot be listed: the API server cannot be reached")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["llama"], "argument: llama: is not NAMESPACE/NAME"),
        (["demo/llama", "--longest-generation", "soon"], "'soon' is no span"),
        (["demo/llama", "--kubeconfig", "/nowhere"], "kubeconfig /nowhere cannot be read"),
    ],
)
def test_what_is_mistyped_is_named(doctor, words, told):
    code, text, _ = doctor(*words)
    assert code in {1, 2}
    assert told in text
