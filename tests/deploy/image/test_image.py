"""The image does what the README says of it, run as a cluster with Pod Security "restricted" runs it."""

import http.server
import importlib.metadata
import json
import random
import re
import socket
import subprocess
import threading
import time
import urllib.request
from functools import partial
from pathlib import Path

import grpc
import pytest
from image.container import ROOT, Container, Image, bases, build, until
from laboratory.front import Front

from scaler.server.pb import externalscaler_pb2 as pb
from scaler.server.pb import externalscaler_pb2_grpc as pb_grpc

ABOVE_THE_BASE = 120 * 1024 * 1024  # bytes, compressed
MACHINES = {"x86_64": 62, "aarch64": 183}  # ELF's e_machine
PAGE = b"""# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{model_name="llama"} 9
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{model_name="llama"} 15
"""
# What is absent is not believed to be zero before the page has been read for holdFor.
TRIGGER = {"expression": "waiting + running", "target": "8", "model": "llama", "holdFor": "10s"}


@pytest.fixture(scope="module")
def image():
    base, build_base = bases()
    build("llm-scaler", base, build_base, "--build-arg", "VERSION=1.2.3", "--build-arg", "REVISION=abc")
    built = Image("llm-scaler")
    yield built
    built.close()


@pytest.fixture
def container(image, tmp_path):
    """Start containers; all of them end with the test."""
    started = []

    def start(*arguments, **options):
        started.append(Container(image, tmp_path / f"c{len(started)}", *arguments, **options))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def engine():
    """The metrics page of one engine, as a URL."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            self.wfile.write(PAGE)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/metrics"
    server.shutdown()
    server.server_close()


def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Serving:
    """`serve` in a container, with the settings of a mounted folder."""

    def __init__(self, container, folder, engine, **options):
        self.port, self.admin = port(), port()
        folder.mkdir()
        (folder / "settings.yaml").write_text(
            f"endpoints: {{default: {{pages: [{{url: '{engine}', namespace: demo, pod: llama-0}}]}}}}\n"
            f"grpc: {{address: '127.0.0.1:{self.port}', maxConnectionAge: 10s, drain: 1s, grace: 15s}}\n"
            f"admin: {{address: '127.0.0.1:{self.admin}'}}\n"
            "kubernetes: {enabled: 'false'}\n"
            "defaults: {interval: 1s, directInterval: 1s}\n"
        )
        self.container = container(
            *("serve", "--settings", "/etc/llm-scaler/settings.yaml"), mounts={"/etc/llm-scaler": folder}, **options
        )
        self.container.start()

    def ready(self):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/readyz", timeout=2).status == 200
        except OSError:
            return False


def asking():
    return pb.ScaledObjectRef(name="llama", namespace="demo", scalerMetadata=TRIGGER)


def answer(stub):
    """The replicas that a call gives."""
    reply = stub.GetMetrics(pb.GetMetricsRequest(scaledObjectRef=asking(), metricName="llm-scaler"), timeout=10)
    return reply.metricValues[0].metricValueFloat


def certain(stub):
    """Whether calls are answered with a number yet."""
    try:
        return answer(stub) > 0
    except grpc.RpcError as error:
        if "holds no data older than" in error.details():
            return False
        raise


def test_check_passes_in_it(container):
    code, said = container("check").run()
    assert code == 0, said
    assert said.count("ok ") == len(list((ROOT / "formulas").glob("*.yaml")))


def test_a_call_is_answered_and_the_first_one_soon(container, tmp_path, engine, capsys):
    began = time.monotonic()
    serving = Serving(container, tmp_path / "settings", engine)
    with grpc.insecure_channel(f"127.0.0.1:{serving.port}") as channel:
        stub = pb_grpc.ExternalScalerStub(channel)
        spec = stub.GetMetricSpec(asking(), wait_for_ready=True, timeout=60)
        took, spent = time.monotonic() - began, serving.container.cpu()
        assert spec.metricSpecs[0].targetSizeFloat == 1
        until(lambda: certain(stub), serving.container)
        assert answer(stub) == 3, "24 requests, 8 a replica"
    with capsys.disabled():
        print(f"\nimage: first answer {took:.1f} s after the container's start, for {spent:.1f} s of CPU")
    assert spent < 2


@pytest.mark.parametrize("gid", [0, 65532])
def test_any_uid_may_run_it(container, tmp_path, engine, gid):
    """OpenShift gives a uid of its own, and group 0."""
    serving = Serving(container, tmp_path / "settings", engine, user=(random.randrange(10**6, 10**9), gid))
    until(serving.ready, serving.container)


def test_its_root_cannot_be_written(container):
    code, said = container("-c", "open('/opt/llm-scaler/x', 'w')", entrypoint=["python3"]).run()
    assert code == 1
    assert "Read-only file system" in said


def test_sigterm_to_one_of_two_under_load_loses_no_call(container, tmp_path, engine):
    """Behind a Service: new connections go to the other once it is no longer ready, and those that are there come of age."""
    leaving, staying = (Serving(container, tmp_path / name, engine) for name in ("first", "second"))
    for one in (leaving, staying):
        with grpc.insecure_channel(f"127.0.0.1:{one.port}") as channel:
            stub = pb_grpc.ExternalScalerStub(channel)
            stub.GetMetricSpec(asking(), wait_for_ready=True, timeout=60)
            until(partial(certain, stub), one.container)
    failed, answered, over = [], [], threading.Event()

    def load(address):
        with grpc.insecure_channel(address) as channel:
            stub = pb_grpc.ExternalScalerStub(channel)
            while not over.is_set():
                try:
                    answered.append(answer(stub))
                except grpc.RpcError as error:
                    failed.append(str(error))

    with Front(f"127.0.0.1:{leaving.port}") as service:
        clients = [threading.Thread(target=load, args=[service.address]) for _ in range(4)]
        for client in clients:
            client.start()
        until(lambda: len(answered) > 200, leaving.container)
        leaving.container.terminate()
        until(lambda: not leaving.ready(), leaving.container)
        service.behind = f"127.0.0.1:{staying.port}"
        code = leaving.container.wait()
        seen = len(answered)
        until(lambda: len(answered) > seen + 200, staying.container)
        over.set()
        for client in clients:
            client.join()
    assert failed == []
    assert code == 0, leaving.container.output()
    assert set(answered) == {3}


def test_it_is_small_and_says_what_it_is(image, capsys):
    _, own = image.layers()
    with capsys.disabled():
        print(f"\nimage: {own / 1024 / 1024:.0f} MiB above its base, compressed")
    assert own <= ABOVE_THE_BASE
    labels = image.config["config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == "1.2.3"
    assert labels["org.opencontainers.image.revision"] == "abc"
    assert re.fullmatch(r"localhost/base@sha256:[0-9a-f]{64}", labels["org.opencontainers.image.base.name"])
    assert image.config["config"]["User"] == "65532:65532"


def test_nothing_of_the_machine_that_built_it_is_in_it(image):
    assert not list((image.files / "run").glob("secrets/*"))
    assert not [name for name in image.config["config"]["Env"] if "CERT" in name or "INDEX" in name]
    assert not (image.files / "uv").exists()
    assert not list((image.files / "opt/llm-scaler").glob("pip*"))


def test_the_bill_of_materials_names_what_is_in_it(image):
    folder = image.files / "opt/llm-scaler"
    document = json.loads((folder / "sbom.spdx.json").read_text())
    named = {(package["name"], package["versionInfo"]) for package in document["packages"]}
    there = importlib.metadata.distributions(path=[str(folder)])
    assert named == {(one.name.lower().replace("_", "-"), one.version) for one in there}


def test_the_bill_of_materials_is_valid_spdx(image):
    document = image.files / "opt/llm-scaler/sbom.spdx.json"
    validate = [ROOT / ".venv/bin/uv", "tool", "run", "--quiet", "--from", "spdx-tools==0.8.3", "pyspdxtools"]
    done = subprocess.run([*validate, "--infile", document], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def machines(folder: Path):
    """The machines that the libraries of a folder are for."""
    found = set()
    for path in folder.rglob("*.so*"):
        with path.open("rb") as file:
            head = file.read(20)
        assert head.startswith(b"\x7fELF"), path
        found.add(int.from_bytes(head[18:20], "little"))
    return found


def test_the_same_is_built_for_arm_without_an_arm_machine(image):
    _, build_base = bases()
    # Later builders know BUILDPLATFORM by themselves.
    build(
        "llm-scaler-arm64",
        "scratch",
        build_base,
        *("--platform", "linux/arm64", "--build-arg", "BUILDPLATFORM=linux/amd64"),
        *("--build-arg", "PYTHON=/usr/local/bin/python3"),  # as other bases have it
    )
    arm = Image("llm-scaler-arm64")
    try:
        assert arm.config["architecture"] == "arm64"
        assert (arm.files / "opt/llm-scaler/bin/llm-scaler").read_text().startswith("#!/usr/local/bin/python3\n")
        assert machines(arm.files) == {MACHINES["aarch64"]}
        assert machines(image.files / "opt") == {MACHINES["x86_64"]}
    finally:
        arm.close()
