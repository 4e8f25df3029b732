"""The laboratory itself works: KEDA asks, the HPA scales, Karpenter launches, Prometheus scrapes.

The external scaler here is the smallest there can be, so that what fails is the laboratory.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
import requests
from laboratory import build
from laboratory.fleet import Load
from laboratory.lab import Lab, new_home
from laboratory.objects import model, node_pool, scaled_object
from laboratory.process import LabError, Part
from laboratory.simulation import Simulation
from support.prometheus_server import until

from scaler.server.pb import externalscaler_pb2 as pb
from scaler.server.pb import externalscaler_pb2_grpc as pb_grpc
from scaler.sim.fleet import FleetSpec
from scaler.sim.hardware import hardware


@dataclass
class Constant(pb_grpc.ExternalScalerServicer):
    """An external scaler that always asks for `replicas`."""

    replicas: int = 0
    calls: list[str] = field(default_factory=list)

    def GetMetricSpec(self, request, context):  # noqa: N802
        self.calls.append("GetMetricSpec")
        return pb.GetMetricSpecResponse(
            metricSpecs=[pb.MetricSpec(metricName="replicas", targetSize=1, targetSizeFloat=1)]
        )

    def GetMetrics(self, request, context):  # noqa: N802
        self.calls.append("GetMetrics")
        value = pb.MetricValue(metricName="replicas", metricValue=self.replicas, metricValueFloat=self.replicas)
        return pb.GetMetricsResponse(metricValues=[value])

    def IsActive(self, request, context):  # noqa: N802
        self.calls.append("IsActive")
        return pb.IsActiveResponse(result=self.replicas > 0)


@pytest.fixture
def constant() -> Iterator[tuple[Constant, str]]:
    scaler, server = Constant(), grpc.server(ThreadPoolExecutor(8))
    pb_grpc.add_ExternalScalerServicer_to_server(scaler, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield scaler, f"localhost:{port}"
    server.stop(None).wait()


def test_from_zero_to_six_replicas_and_back(lab: Lab, constant):
    scaler, address = constant
    lab.apply([*node_pool(gpus=8), model("constant", lab.fleet.port, load="3s", replicas=0)])
    lab.apply(scaled_object("constant", address))
    lab.wait(lambda: "IsActive" in scaler.calls, 30, "KEDA polls the scaler")
    assert list(dict.fromkeys(scaler.calls)) == ["GetMetricSpec", "GetMetrics", "IsActive"]
    assert lab.replicas("constant") == 0

    scaler.replicas, began = 6, time.monotonic()
    lab.wait(lambda: lab.replicas("constant") >= 1, 40, "KEDA takes it from 0 to 1")
    lab.say(f"0 -> 1 after {time.monotonic() - began:.0f} s")
    lab.wait(lambda: lab.replicas("constant") == 6, 60, "the HPA takes it to 6")
    lab.wait(lambda: lab.ready("constant") == 6, 60, "Karpenter's nodes hold 6 pods and their models are loaded")
    lab.say(f"6 ready after {time.monotonic() - began:.0f} s on {len(lab.api.items('NodeClaim'))} new nodes")
    assert lab.events("constant", "KEDAScaleTargetActivated")

    scaler.replicas, began = 0, time.monotonic()
    lab.wait(lambda: lab.replicas("constant") == 0, 40, "KEDA takes it to 0 after the cooldown")
    lab.say(f"6 -> 0 after {time.monotonic() - began:.0f} s")


def test_prometheus_has_every_pod_s_page_and_the_gateway_s(lab: Lab):
    lab.apply(model("llama", lab.fleet.port, gpus=0, replicas=3))
    lab.wait(lambda: lab.ready("llama") == 3, 40, "three pods are ready")
    first, *rest = lab.pods("llama")
    lab.fleet.loads[first["status"]["podIP"]] = Load(waiting=7)
    lab.fleet.queued["llama"] = 3
    expected = {first["metadata"]["name"]: 7} | {pod["metadata"]["name"]: 0 for pod in rest}
    lab.wait(lambda: lab.query('vllm:num_requests_waiting{app="llama"}') == expected, 30, "Prometheus has every pod")
    lab.wait(
        lambda: lab.query("llm_d_epp_flow_control_queue_size") == {"": 3}, 30, "Prometheus has the gateway's queue"
    )


def test_a_loading_pod_runs_but_is_not_ready_and_one_beyond_the_pool_s_gpus_is_pending(lab: Lab):
    lab.apply([*node_pool(gpus=1), model("llama", lab.fleet.port, load="4s", replicas=2)])
    lab.wait(lambda: _phases(lab, "llama") == ["Pending", "Running"], 30, "one pod has a node")
    assert lab.ready("llama") == 0
    lab.wait(lambda: lab.ready("llama") == 1, 40, "its model is loaded")
    waiting = next(pod["metadata"]["name"] for pod in lab.pods("llama") if pod["status"]["phase"] == "Pending")
    told = lambda: [text for text in lab.events(waiting, "FailedScheduling") if "exceed limits" in text]  # noqa: E731
    lab.say(lab.wait(told, 40, "Karpenter says why the other pod gets no node")[0])


def test_requests_wait_at_the_gateway_until_a_simulated_pod_takes_them(lab: Lab):
    lab.apply(model("llama", lab.fleet.port, gpus=0, load="2s", replicas=0))
    with Simulation(lab, "llama", FleetSpec(hardware("a100-8b-bf16"))) as fleet:
        fleet.send(rate=4, prompt=400, output=50)
        lab.wait(lambda: fleet.snapshot().queued >= 8, 40, "requests wait with no pod to take them")
        lab.wait(lambda: lab.query("llm_d_epp_flow_control_queue_size").get("", 0) >= 8, 40, "Prometheus knows")
        lab.kubectl("scale", "deployment/llama", "--replicas=2")
        lab.wait(lambda: fleet.snapshot().ready == 2, 40, "two simulated servers are up")
        lab.wait(lambda: fleet.snapshot().queued == 0 and fleet.snapshot().finished >= 20, 30, "they have caught up")
        tokens = 'sum(vllm:generation_tokens_total{app="llama"})'
        lab.wait(lambda: lab.query(tokens).get("", 0) >= 100, 30, "Prometheus counts the tokens they make")
        lab.kubectl("delete", "pod", lab.pods("llama")[0]["metadata"]["name"])
        lab.wait(
            lambda: fleet.joined == 3 and fleet.snapshot().ready == 2, 20, "a lost pod's successor takes its place"
        )
        seen = fleet.snapshot()
        lab.say(f"{seen.arrived} requests arrived, {seen.finished} finished, {seen.lost} were lost with their pod")
        assert seen.arrived == seen.queued + seen.waiting + seen.running + seen.finished + seen.lost


def test_prometheus_frozen_killed_and_emptied(lab: Lab):
    samples = 'sum(count_over_time(up{job="gateway"}[1h]))'
    before = lab.wait(lambda: lab.query(samples).get("", 0) >= 4 and lab.query(samples), 40, "Prometheus has a history")
    lab.pause("prometheus")
    with pytest.raises(requests.ReadTimeout):
        lab.query(samples)
    lab.resume("prometheus")
    lab.kill("prometheus")
    with pytest.raises(requests.ConnectionError):
        lab.query(samples)
    lab.start("prometheus")
    with pytest.raises(LabError, match="prometheus is already running"):
        lab.start("prometheus")
    assert lab.query(samples)[""] >= before[""]
    lab.kill("prometheus")
    lab.start("prometheus", empty=True)
    assert lab.query(samples).get("", 0) < before[""]


def test_a_program_that_ends_by_itself_is_named_with_its_last_words(lab: Lab):
    doomed = Part("doomed", ("sh", "-c", "echo no certificate; exit 3"), ready=lambda: False)
    with pytest.raises(LabError, match="doomed ended with code 3; its log ends:\nno certificate"):
        lab.run(doomed)


@pytest.mark.parametrize("missing", build.NEEDED)
def test_what_is_not_installed_is_named_before_anything_starts(missing: str, tmp_path: Path, monkeypatch):
    for name in build.NEEDED.keys() - {missing}:
        (tmp_path / name).symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(build.BuildError, match=f"^{missing} is not installed; the laboratory needs "):
        build.build()


def test_a_set_of_judges_that_there_is_not_is_named(monkeypatch):
    monkeypatch.setenv("JUDGES", "tomorrow")
    with pytest.raises(build.BuildError, match="^JUDGES is 'tomorrow'; it may be today or before$"):
        build.build()


def test_both_sets_of_judges_have_the_same_programs_of_the_versions_that_are_told():
    told = (Path(__file__).parent / "README.md").read_text()
    for judges, others in ((build.TODAY, build.BEFORE), (build.BEFORE, build.TODAY)):
        assert {part.name for part in judges.parts} == {part.name for part in others.parts}
        for part in set(judges.parts) - set(others.parts):
            other = next(one for one in others.parts if one.name == part.name)
            assert part.version != other.version
            assert f"| {part.version} |" in told
            assert set(part.programs) == set(other.programs)


SLEEPER = """
import signal, sys
from pathlib import Path
from laboratory.process import Part, Process
sleeper = Process(Part("sleeper", ("sleep", "1000"), ready=lambda: True), Path(sys.argv[1]), Path(sys.argv[1]))
sleeper.start()
print(sleeper.pid, flush=True)
signal.pause()
"""


def test_what_was_started_ends_with_the_interpreter_that_is_killed(tmp_path: Path):
    command, tests = [sys.executable, "-c", SLEEPER, str(tmp_path)], str(Path(__file__).parents[1])
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": tests}
    ) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert _lives(pid)
        parent.kill()
    until(lambda: not _lives(pid))


def test_the_folder_of_a_run_that_was_killed_is_gone_with_the_next_start(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(build, "CACHE", tmp_path)
    (abandoned, claim), (running, held) = new_home(), new_home()
    claim.close()  # as the kernel does for who is killed
    home, own = new_home()
    assert sorted(tmp_path.glob("run-*")) == sorted([running, home])
    assert not abandoned.exists()
    held.close()
    own.close()


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _phases(lab: Lab, app: str) -> list[str]:
    return sorted(pod["status"]["phase"] for pod in lab.pods(app))
