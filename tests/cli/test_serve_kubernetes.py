"""The whole service beside an API server: what it knows before anybody asks, and what it says it does not know."""

import json

import pytest
from support.cluster import node
from support.kubernetes_objects import deployment, pod, scaled_object
from support.kubernetes_server import Server
from support.process import serving
from support.prometheus_server import until

FORMULA = "name: load\nmetrics: {waiting: {signal: waiting}, running: {signal: running}}\nformula: waiting + running\ntarget: 8\n"
NOBODY = "http://127.0.0.1:1"  # no Prometheus: what is known of the pods is what Kubernetes says


@pytest.fixture
def kubernetes():
    server = Server()
    server.put("scaledobjects", scaled_object())
    server.put("deployments", deployment(replicas=2))
    server.put("pods", pod("llama-5d8f-a"))
    yield server
    server.close()


def flags(tmp_path, kubernetes):
    (tmp_path / "formulas").mkdir()
    (tmp_path / "formulas" / "load.yaml").write_text(FORMULA)
    return "--formulas", str(tmp_path / "formulas"), "--kubernetes-kubeconfig", str(kubernetes.kubeconfig(tmp_path))


def test_a_workload_is_known_before_keda_asks_and_follows_the_cluster(tmp_path, kubernetes):
    with serving(tmp_path, NOBODY, *flags(tmp_path, kubernetes)) as server:
        until(lambda: json.loads(server.get("/api/v1/decisions"))["decisions"])
        explained = lambda: json.loads(server.get("/api/v1/explain/team/llama"))["decisions"][0]  # noqa: E731
        assert explained()["scaleTarget"]["current"] == 2
        assert explained()["kubernetes"]["pods"] == {"llama-5d8f-a": "ready"}
        kubernetes.put("deployments", deployment(replicas=7))
        until(lambda: explained()["scaleTarget"]["current"] == 7)
        assert "[!] kubernetes" not in server.get("/readyz?verbose")
        assert server.stop() == 0


def test_what_is_refused_is_a_warning_that_names_verb_and_resource(tmp_path, kubernetes):
    kubernetes.refused["pods"] = (403, 'pods is forbidden: User "u" cannot list resource "pods"')
    with serving(tmp_path, NOBODY, *flags(tmp_path, kubernetes)) as server:
        until(lambda: json.loads(server.get("/api/v1/decisions"))["decisions"])
        ready = server.get("/readyz?verbose")
        told = 'pods: which pods are whose: list and watch pods: 403: pods is forbidden: User "u" cannot list resource "pods"'
        assert ready.startswith("ready\n")
        assert f"[!] kubernetes {told}" in ready
        assert "not known\n" in server.get("/api/v1/explain/team/llama?format=text")
        assert '"event": "not known from Kubernetes"' in server.log.read_text()


def test_a_count_of_gpus_that_is_refused_is_an_error_that_names_the_verb(tmp_path, kubernetes):
    kubernetes.refused["nodes"] = (
        403,
        'nodes is forbidden: User "u" cannot list resource "nodes" at the cluster scope',
    )
    given = flags(tmp_path, kubernetes)
    metrics = "{places: {gpus: schedulable_replicas}}"
    (tmp_path / "formulas" / "load.yaml").write_text(f"name: load\nmetrics: {metrics}\nformula: places\ntarget: 1\n")
    with serving(tmp_path, NOBODY, *given) as server:
        until(lambda: json.loads(server.get("/api/v1/decisions"))["decisions"])
        told = lambda: server.get("/api/v1/explain/team/llama?format=text")  # noqa: E731
        until(lambda: "list and watch nodes: 403: nodes is forbidden" in told())
        assert "held for" in told().splitlines()[1] or "no certain answer" in told().splitlines()[1]
        data = json.loads(server.get("/api/v1/explain/team/llama"))["decisions"][0]
        assert data["inputs"][0]["value"] is None
        assert "list and watch nodes: 403" in data["inputs"][0]["problem"]
        assert data["capacity"]["availableReplicas"] is None
        assert "list and watch nodes: 403" in data["capacity"]["reason"]
        assert server.stop() == 0


def test_the_settings_say_that_nobody_buys_machines(tmp_path, kubernetes):
    kubernetes.put("nodes", node("gpu-1", gpus=4))
    given = flags(tmp_path, kubernetes)
    with serving(tmp_path, NOBODY, *given, "--kubernetes-provisioner", "none") as server:
        until(lambda: json.loads(server.get("/api/v1/decisions"))["decisions"])
        told = lambda: json.loads(server.get("/api/v1/explain/team/llama"))["decisions"][0]["capacity"]  # noqa: E731
        until(lambda: told()["replicas"]["provisionable"]["value"] == 0)
        assert "kubernetes.provisioner: none" in told()["replicas"]["provisionable"]["reason"]
        assert server.stop() == 0


@pytest.mark.parametrize("given", ["no-such-file", "odd", None])
def test_without_access_everything_else_works_and_it_is_said(tmp_path, given):
    (tmp_path / "odd").write_bytes(b"\xff\xfe")
    wanted = ["--kubernetes-kubeconfig", str(tmp_path / given)] if given else ["--kubernetes-enabled", "true"]
    with serving(tmp_path, NOBODY, *wanted, KUBECONFIG="") as server:
        until(lambda: "[!] kubernetes kubernetes: no access to Kubernetes: " in server.get("/readyz?verbose"))
        assert "no certain answer yet" in server.ask(formula="queue-depth", model="m")[1]
        assert server.stop() == 0


def test_it_can_be_switched_off(tmp_path, kubernetes):
    with serving(tmp_path, NOBODY, *flags(tmp_path, kubernetes), "--kubernetes-enabled", "false") as server:
        server.ask(name="llama", formula="load")
        assert kubernetes.requests == []
        assert server.stop() == 0
