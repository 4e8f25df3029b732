"""The whole service without a Prometheus: an API server that says where the pods and the gateway are, and their pages."""

import json
import re
import threading

import grpc
import pytest
import yaml
from sources.web import Web
from support.kubernetes_objects import deployment, endpoint_slice, pod, scaled_object
from support.kubernetes_server import Server
from support.process import serving
from support.prometheus_server import until

from scaler.server.pb import externalscaler_pb2 as pb
from scaler.server.pb import externalscaler_pb2_grpc as pb_grpc

LOAD = "queued + waiting + running"
TRIGGER = {"scalerAddress": "llm-scaler.keda:6000", "expression": LOAD, "model": "m", "target": "8"}


@pytest.fixture
def web():
    server = Web()
    yield server
    server.close()


@pytest.fixture
def kubernetes(web):
    server = Server()
    server.put("scaledobjects", scaled_object(triggers=[{"type": "external-push", "metadata": TRIGGER}]))
    server.put("deployments", deployment(replicas=2))
    server.put("endpointslices", endpoint_slice("epp", "127.0.0.1"))
    yield server
    server.close()


def there(web, name, **conditions):
    """A pod whose page is /NAME of the web."""
    scrape = {"prometheus.io/port": str(web.port), "prometheus.io/path": f"/{name}"}
    return pod(f"llama-5d8f-{name}", podIP="127.0.0.1", annotations=scrape, **conditions)


def engine(waiting, running):
    return (
        f'vllm:num_requests_waiting{{model_name="m",engine="0"}} {waiting}\n'
        f'vllm:num_requests_running{{model_name="m",engine="0"}} {running}\n'
    )


def gateway(queued):
    return f'llm_d_epp_flow_control_queue_size{{target_model_name="m"}} {queued}\n'


def settings(web, kubernetes, folder, interval="1s"):
    """What a team without Prometheus writes, and what this machine needs besides."""
    tree = {
        "endpoints": {
            "pods": {
                "pods": {},
                "pages": [{"service": f"http://epp.team:{web.port}/gateway"}],
                "networks": ["127.0.0.0/8"],
            }
        },
        "defaults": {"interval": interval, "holdFor": "4s", "idleFor": "3s", "scaleDown": "off"},
        "kubernetes": {"kubeconfig": str(kubernetes.kubeconfig(folder))},
    }
    file = folder / "settings.yaml"
    file.write_text(yaml.safe_dump(tree))
    return "--settings", str(file)


def explained(server):
    return json.loads(server.get("/api/v1/explain/team/llama"))["decisions"][0]


def decided(server):
    return json.loads(server.get("/api/v1/decisions"))["decisions"]


def facts(server):
    return {fact["name"]: (fact["value"], fact["answered"], fact["expected"]) for fact in explained(server)["inputs"]}


def replicas(server):
    found = re.search(r"so (\d+) replicas", server.ask(namespace="team", **TRIGGER)[1])
    return int(found[1]) if found else None


def test_a_target_is_scaled_by_its_own_pods_and_its_gateway(tmp_path, web, kubernetes):
    web.paths = {"/a": engine(15, 8), "/b": engine(10, 4), "/stranger": engine(500, 0), "/gateway": gateway(3)}
    kubernetes.put(
        "pods", there(web, "a"), there(web, "b"), pod("other-1-x", ("ReplicaSet", "other-1"), podIP="127.0.0.1")
    )
    with serving(tmp_path, None, *settings(web, kubernetes, tmp_path)) as server:
        until(lambda: replicas(server) == 5)
        assert facts(server) == {"waiting": (25, 2, 2), "running": (12, 2, 2), "queued": (3, 1, 1)}
        assert {path for path, _ in web.asked} == {"/a", "/b", "/gateway"}
        until(lambda: explained(server)["certainty"] == "certain")  # after holdFor

        del web.paths["/b"]  # a pod that does not answer is not one without load
        until(lambda: "1 of 2 pods did not answer" in explained(server)["reason"])
        assert replicas(server) in {5, None}
        kubernetes.delete("pods", there(web, "b"))
        kubernetes.put("deployments", deployment(replicas=1))
        until(lambda: replicas(server) == 4)
        assert facts(server)["waiting"] == (15, 1, 1)
        assert server.stop() == 0


def test_what_arrives_at_the_gateway_of_a_sleeping_target_is_pushed_within_two_looks(tmp_path, web, kubernetes):
    """It decides once a minute while there are replicas, so whatever comes sooner comes since there are none."""
    web.paths = {"/gateway": gateway(0)}
    kubernetes.put("deployments", deployment(replicas=0))
    with serving(tmp_path, None, *settings(web, kubernetes, tmp_path, interval="60s")) as server:
        until(
            lambda: decided(server) and explained(server)["certainty"] == "certain" and not explained(server)["active"],
            tries=1200,
        )
        heard = []
        woken = threading.Event()
        with grpc.insecure_channel(server.grpc) as channel:
            ref = pb.ScaledObjectRef(namespace="team", name="llama", scalerMetadata=TRIGGER)
            stream = pb_grpc.ExternalScalerStub(channel).StreamIsActive(ref)

            def listen():
                for push in stream:
                    heard.append(push.result)
                    if push.result:
                        looks.append(len(web.asked))
                        woken.set()
                        return

            looks = []
            listening = threading.Thread(target=listen)
            listening.start()
            until(lambda: heard)
            before = len(web.asked)
            web.paths["/gateway"] = gateway(1)
            assert woken.wait(30)
            listening.join()
            stream.cancel()
        assert heard == [False, True]
        assert looks[0] - before <= 2
        assert {path for path, _ in web.asked} == {"/gateway"}
        assert server.stop() == 0


def test_without_access_to_kubernetes_it_says_so_at_the_start(tmp_path):
    with (
        pytest.raises(AssertionError, match="pods are found through Kubernetes, to which there is no access"),
        serving(tmp_path, None, KUBECONFIG=""),
    ):
        pass
