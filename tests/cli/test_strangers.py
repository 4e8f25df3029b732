"""The whole service with two namespaces on a real Prometheus: whatever one sends and exports, the other stays right."""

import contextlib
import json
import re
import resource
import socket
import struct
import threading
from pathlib import Path

import grpc
import pytest
import yaml
from server.http2 import call, hello
from support.process import serving
from support.prometheus_server import until

from scaler.server.pb import externalscaler_pb2 as pb
from scaler.server.pb import externalscaler_pb2_grpc as pb_grpc

VALUES = Path(__file__).parents[2] / "deploy/helm/llm-scaler/values.yaml"

FORMULA = """
name: load
parameters: {model: {example: m}, pods: {default: ".*"}}
metrics: {waiting: {signal: waiting}, running: {signal: running}}
formula: waiting + running
target: 1
interval: 1s
holdFor: 6s
idleFor: 1s
"""
PAGE = 'vllm:num_requests_waiting{{model_name="{0}"}} {1}\nvllm:num_requests_running{{model_name="{0}"}} 2\n'
HPA = 'horizontalpodautoscaler="keda-hpa-x",scaletargetref_kind="Deployment",scaletargetref_name="x"'
HOSTILE = (
    PAGE.format("mine", 1)
    + f'kube_deployment_spec_replicas{{deployment="x"}} 1\nkube_horizontalpodautoscaler_info{{{HPA}}} -Inf\n'
    + "".join(
        f'vllm:num_requests_{state}{{model_name="mine",stat="{stat}",odd="{odd}"}} {odd}\n'
        for state in ("waiting", "running")
        for stat in ("value", "age", "answered", "missing")
        for odd in ("NaN", "-Inf", "+Inf", "-1e300")
    )
    + "".join(f'vllm:num_requests_waiting{{model_name="m{number}"}} 1\n' for number in range(2000))
)
DEAR = "(" + "|".join(f".{{0,{900 + number}}}{letter}" for number, letter in enumerate("abcdefghij")) + ")"
TRIGGERS = [
    {"formula": "load", "model": "mine"},
    {"formula": "load", "model": "\ufffd"},
    {"formula": "load", "model": "x" * 1001},
    {"formula": "load", "model": "\x00\n\"'\\"},
    {"formula": "load", "model": "mine", "pods": DEAR},
    {"formula": "load", "model": "mine", "pods": "(?i)" + "[\u0100-\uffff]" * 99},
    {"expression": "waiting / 0", "target": "1", "model": "mine"},
    {"expression": "waiting", "target": "1", "model": "mine", "engine": "nobody's"},
    {"formula": "load", "model": "mine", "surprise": "y" * 8000},
    *({"formula": "load", "model": f"made-up-{number}", "id": f"i{number}"} for number in range(20)),
]


def job(pages, name, namespace):
    target = {"targets": [f"127.0.0.1:{pages.port}"], "labels": {"namespace": namespace, "pod": name}}
    return {"job_name": name, "metrics_path": f"/{name}/metrics", "static_configs": [target]}


def answer(server):
    """The replicas that the honest workload is told, or the error."""
    line = server.ask(formula="load", model="llama")[1]
    found = re.search(r"so (\d+) replicas", line)
    return int(found[1]) if found else line


def certainty(server):
    [decision] = json.loads(server.get("/api/v1/explain/demo/llama"))["decisions"]
    return decision["certainty"]


@contextlib.contextmanager
def few_files(soft):
    """Let a process that is started here begin with few files, as many systems do."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("said", [b"", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /metrics HTTP/1.1\r\nX: "])
def test_many_connections_that_say_little_take_no_file_from_the_service(tmp_path, said):
    """More of them than the process has files at its start; then it must still answer and still read its formulas."""
    with contextlib.ExitStack() as stack:
        with few_files(200):
            server = stack.enter_context(serving(tmp_path, "http://127.0.0.1:1"))
        port = (server.admin if said.startswith(b"GET") else server.grpc).rpartition(":")[2]
        for _ in range(300):
            held = stack.enter_context(socket.create_connection(("127.0.0.1", int(port)), timeout=10))
            held.sendall(said)
        assert "no certain answer yet" in server.ask(formula="queue-depth", model="m")[1]
        assert server.get("/readyz").startswith("ready")
        assert "Too many open files" not in server.log.read_text()


def test_calls_of_connections_that_are_cut_leave_the_service_far_below_the_chart_s_memory(tmp_path):
    """More calls than it can take in, again and again: gRPC keeps each, with its connection, until it is taken."""
    asked = pb.ScaledObjectRef(namespace="n", name="x", scalerMetadata={"formula": "queue-depth", "model": "m"})
    calls = hello() + b"".join(call("IsActive", asked, stream) for stream in range(1, 21, 2))
    assert yaml.safe_load(VALUES.read_text())["resources"]["limits"] == {"memory": "1Gi"}
    held = []
    with serving(tmp_path, "http://127.0.0.1:1") as server:
        port = int(server.grpc.rpartition(":")[2])
        for _ in range(3):
            for _ in range(2000):
                with socket.create_connection(("127.0.0.1", port), timeout=20) as stranger:
                    stranger.sendall(calls)
                    stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # ends in a RST
            until(lambda: "no certain answer yet" in server.ask(formula="queue-depth", model="m")[1])
            held.append(memory(server.process.pid))
    assert held[-1] < 400, held


def memory(pid):
    """The megabytes that a process has."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() >> 20


def test_a_service_that_is_ended_under_load_answers_every_call_or_says_unavailable(tmp_path):
    """The callers go on asking, each on a connection of its own, until there is nobody any more."""
    seen, over = [], threading.Event()

    def ask_on(address, number):
        with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            stub = pb_grpc.ExternalScalerStub(channel)
            trigger = {"formula": "queue-depth", "model": "m"}
            ref = pb.ScaledObjectRef(namespace=f"n{number}", name="x", scalerMetadata=trigger)
            while not over.wait(0.01):
                for call in (stub.GetMetricSpec, stub.IsActive):
                    try:
                        call(ref, timeout=20)
                        seen.append("OK")
                    except grpc.RpcError as error:
                        seen.append(error.code().name)

    with serving(tmp_path, "http://127.0.0.1:1", "--grpc-grace", "1s") as server:
        callers = [threading.Thread(target=ask_on, args=(server.grpc, number)) for number in range(8)]
        for one in callers:
            one.start()
        try:
            until(lambda: seen.count("OK") > 30)
            assert server.stop() == 0
        finally:
            over.set()
            for one in callers:
                one.join()
        assert set(seen) == {"OK", "UNAVAILABLE"}
        assert "Traceback" not in server.log.read_text()


@pytest.mark.real
@pytest.mark.timeout(180)
def test_whatever_one_namespace_sends_and_exports_the_other_is_told_the_right_number(tmp_path, start_prometheus, pages):
    (tmp_path / "formulas").mkdir()
    (tmp_path / "formulas" / "load.yaml").write_text(FORMULA)
    pages.pages |= {"llm-0": PAGE.format("llama", 3), "e-0": PAGE.format("mine", 1)}
    prometheus = start_prometheus(jobs=[job(pages, "llm-0", "demo"), job(pages, "e-0", "evil")])
    with serving(tmp_path, prometheus.url, "--formulas", str(tmp_path / "formulas")) as server:
        until(lambda: answer(server) == 5)
        said, over = [], threading.Event()

        def attack():
            while not over.is_set():
                said.extend(server.ask("evil", "x", **trigger)[1] for trigger in TRIGGERS)

        attacking = threading.Thread(target=attack)
        attacking.start()
        try:
            until(lambda: len(said) > len(TRIGGERS))
            pages.pages["e-0"] = HOSTILE
            answers = []
            until(lambda: answers.append(answer(server)) or len(answers) > 60, pause=0.2)
            assert set(answers) == {5}, "held for a moment at most, never an error and never another number"
            until(lambda: certainty(server) == "certain")
        finally:
            over.set()
            attacking.join()
        assert not [text for text in said if "internal error" in text or "INTERNAL" in text]
        assert any(
            "is not a regular expression for names of pods: it has repeats that come to" in text for text in said
        )
        assert server.stop() == 0
        assert "Traceback" not in server.log.read_text()
