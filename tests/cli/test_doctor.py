"""`doctor` from the command line to the sockets: an API server that shows manifests, and llm-scaler's admin behind it."""

import http.server
import json
import threading

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


NOBODY = {"error": "no token of the cluster is given; allowed: `Authorization: Bearer TOKEN`"}


def test_where_each_sees_their_own_the_way_through_the_api_server_is_closed_and_another_is_said(doctor, setup):
    """admin.authorization: the API server takes the person's token off before it asks llm-scaler."""
    server = serve(setup)
    server.answers[f"{ADMIN}/api/v1/explain/demo/llama"] = 401, NOBODY
    code, text, _ = doctor("demo/llama", kubernetes=server)
    assert code == 0
    assert "what llm-scaler decides: llm-scaler shows each their own (admin.authorization): no token of the" in text
    assert "`kubectl --namespace keda port-forward service/llm-scaler 8080`, and then say --server http://127.0" in text
    assert "never been asked" not in text


@pytest.fixture
def private(setup):
    """llm-scaler's admin pages, where the token `secret` sees its own namespace alone; and what they were shown."""
    shown = []

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            shown.append(self.headers["Authorization"])
            status, told = 200, {"decisions": setup.decisions}
            if shown[-1] is None:
                status, told = 401, NOBODY
            elif shown[-1] != "Bearer secret" or "verbose" in self.path:
                status, told = 403, {"error": "jane may not get scaledobjects.keda.sh"}
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(told).encode())

        def log_message(self, *_):
            pass

    listening = []

    def start(host):
        listening.append(http.server.ThreadingHTTPServer((host, 0), Page))
        threading.Thread(target=listening[-1].serve_forever, args=(0.01,), daemon=True).start()
        return f"http://{host}:{listening[-1].server_port}", shown

    yield start
    for one in listening:
        one.shutdown()
        one.server_close()


def test_the_token_of_the_persons_kubeconfig_is_shown_to_what_they_forward(doctor, private):
    url, shown = private("127.0.0.1")
    code, text, _ = doctor("demo/llama", "--no-call", "--server", url)
    assert (code, text.splitlines()[0]) == (0, "demo/llama  nothing wrong was found in what could be looked at")
    assert set(shown) == {"Bearer secret"}
    assert "what llm-scaler decides" not in text
    assert "what llm-scaler warns of (for whoever may get the ScaledObjects of all namespaces): jane may not" in text


def test_to_another_machine_a_token_is_shown_from_its_file_alone(doctor, private, tmp_path):
    url, shown = private("127.0.0.2")
    elsewhere = ("demo/llama", "--no-call", "--server", url)
    _, text, _ = doctor(*elsewhere)
    assert "say --token-file FILE (kubectl create token NAME > FILE)" in text
    (tmp_path / "token").write_text("other")
    _, text, _ = doctor(*elsewhere, "--token-file", str(tmp_path / "token"))
    assert (
        "`kubectl auth can-i get scaledobjects.keda.sh --namespace demo` has to say yes to that token's owner" in text
    )
    assert shown == [None, "Bearer other"]


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


def test_where_nothing_could_be_looked_at_nothing_is_said_to_be_right(doctor, setup):
    server = serve(setup)
    server.close()
    code, text, _ = doctor("demo/llama", kubernetes=server)
    assert code == 2
    why = "the API server cannot be reached: Connection refused"
    assert text == f"llm-scaler: demo/llama was not looked at, since its ScaledObject cannot be read: {why}\n"


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


@pytest.mark.parametrize("address", ["http://localhost:1", "localhost", "a b:1", "localhost:99999", "[::1", ":"])
def test_an_address_of_a_trigger_that_is_none_is_found_and_ends_nothing(doctor, setup, address):
    setup.metadata["scalerAddress"] = address
    code, text, _ = doctor("demo/llama")
    assert code == 1
    assert "does not scale as it should" in text
    assert "Traceback" not in text


def test_an_address_that_was_typed_wrong_is_refused(doctor):
    code, text, _ = doctor("demo/llama", "--address", "http://localhost:1")
    assert (code, text) == (
        1,
        "llm-scaler: argument: --address: 'http://localhost:1' is no address; allowed: such as 127.0.0.1:6000\n",
    )
