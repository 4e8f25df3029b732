"""The kubelet whose pods are real processes: readiness, restarts, and the end of a pod; on a socket that answers as Kubernetes does."""

import sys
from pathlib import Path

import pytest
import requests
from engines.api_server import Cluster
from engines.lab.kubelet import Kubelet
from support.prometheus_server import until

# A server that is ready when a file is there; when it is asked to end it finishes what it has, unless it is stubborn.
SERVER = """
import http.server, os, signal, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/crash":
            os._exit(3)
        self.send_response(200 if os.path.exists(sys.argv[2]) else 503)
        self.end_headers()
        self.wfile.write(str(os.getpid()).encode())
    def log_message(self, *_):
        pass
def end(*_):
    print("asked to end", flush=True)
    if sys.argv[3] != "stubborn":
        time.sleep(0.5)
        os._exit(0)
signal.signal(signal.SIGTERM, end)
http.server.HTTPServer((sys.argv[1], 8000), Handler).serve_forever()
"""


@pytest.fixture
def world(tmp_path):
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.close()


def pod(world, name="one", kind="kind", node="engine-0"):
    command = [sys.executable, "-c", SERVER, "$(POD_IP)", str(world.home / "ready"), kind]
    probe = {"httpGet": {"path": "/health", "port": 8000}}
    container = {"name": "server", "image": "none", "command": command, "readinessProbe": probe}
    return {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"nodeName": node, "containers": [container]},
    }


def status(world, name="one"):
    return (world.pod(name) or {}).get("status", {})


def ready(world, name="one"):
    return {"type": "Ready", "status": "True"}.items() <= next(
        (dict(one) for one in status(world, name).get("conditions", []) if one["type"] == "Ready"), {}
    ).items()


def test_a_bound_pod_runs_on_an_address_of_its_own_and_is_ready_when_its_probe_says_so(world):
    with Kubelet(world) as kubelet:
        world.apply(pod(world))
        world.apply(pod(world, "two"))
        world.apply(pod(world, "elsewhere", node="engine-1"))
        until(lambda: status(world, "two").get("podIP"))
        assert status(world)["podIP"] != status(world, "two")["podIP"]
        assert status(world)["phase"] == "Running"
        assert not ready(world)
        assert status(world, "elsewhere") == {}
        (world.home / "ready").touch()
        until(lambda: ready(world) and ready(world, "two"))
        assert sorted(kubelet.processes()) == ["one/server", "two/server"]
        pids = list(kubelet.processes().values())
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert world.objects.keys() == {("pods", "elsewhere")}


def test_a_process_that_ends_is_started_again_and_the_pod_is_not_ready_meanwhile(world):
    (world.home / "ready").touch()
    with Kubelet(world) as kubelet:
        world.apply(pod(world))
        until(lambda: ready(world))
        first = kubelet.processes()["one/server"]
        with pytest.raises(requests.ConnectionError):
            requests.get(f"http://{status(world)['podIP']}:8000/crash", timeout=5)
        until(lambda: status(world)["containerStatuses"][0]["restartCount"] == 1)
        until(lambda: ready(world))
        assert kubelet.processes()["one/server"] != first


@pytest.mark.parametrize(("kind", "grace", "ended"), [("kind", 60, "by itself"), ("stubborn", 1, "by force")])
def test_a_deleted_pod_is_asked_to_end_and_is_there_until_it_has_or_its_grace_is_over(world, kind, grace, ended):
    (world.home / "ready").touch()
    with Kubelet(world) as kubelet:
        world.apply(pod(world, kind=kind))
        until(lambda: ready(world))
        world.delete_pod("one", grace)
        until(lambda: "asked to end" in kubelet.log("one"))
        until(lambda: world.pod("one") is None)
        assert kubelet.processes() == {}, ended
        kubelet.check()
