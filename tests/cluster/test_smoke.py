"""The laboratory itself works: KEDA asks, the HPA scales, Karpenter launches, Prometheus scrapes.

The external scaler here is the smallest there can be, so that what fails is the laboratory.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import grpc
import pytest
from cluster.fleet import Load
from cluster.lab import Lab
from cluster.objects import model, node_pool, scaled_object

from scaler.pb import externalscaler_pb2 as pb
from scaler.pb import externalscaler_pb2_grpc as pb_grpc


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


def test_from_zero_to_six_replicas_on_nodes_that_karpenter_launches(lab: Lab, constant):
    scaler, address = constant
    lab.apply([*node_pool(gpus=8), model("llama", lab.fleet.port, load="3s", replicas=0)])
    lab.apply(scaled_object("llama", address))
    lab.wait(lambda: "IsActive" in scaler.calls, 30, "KEDA polls the scaler")
    assert scaler.calls[:3] == ["GetMetricSpec", "GetMetrics", "IsActive"] or scaler.calls[0] == "GetMetricSpec"
    assert lab.replicas("llama") == 0

    scaler.replicas = 6
    lab.wait(lambda: lab.replicas("llama") >= 1, 20, "KEDA takes it from 0 to 1")
    lab.wait(lambda: lab.replicas("llama") == 6, 60, "the HPA takes it to 6")
    lab.wait(lambda: lab.ready("llama") == 6, 90, "Karpenter's nodes hold 6 pods and the models load")
    claims = lab.api.items("NodeClaim")
    assert claims
    assert all(claim["status"]["capacity"]["nvidia.com/gpu"] for claim in claims)
    assert lab.events("llama", "KEDAScaleTargetActivated")

    first, *rest = lab.pods("llama")
    lab.fleet.loads[first["status"]["podIP"]] = Load(waiting=7)
    seen = lab.wait(
        lambda: _all(lab.query('vllm:num_requests_waiting{app="llama"}'), 7.0), 30, "Prometheus has every pod"
    )
    assert seen == {first["metadata"]["name"]: 7} | {pod["metadata"]["name"]: 0 for pod in rest}

    lab.fleet.queued = 3
    lab.wait(
        lambda: lab.query("llm_d_epp_flow_control_queue_size") == {"": 3}, 30, "Prometheus has the gateway's queue"
    )

    scaler.replicas = 0
    lab.wait(lambda: lab.replicas("llama") == 0, 40, "KEDA takes it to 0 after the cooldown")
    lab.api.delete("ScaledObject", "llama")
    lab.api.delete("Deployment", "llama")


def _all(seen: dict[str, float], highest: float) -> dict[str, float] | None:
    return seen if len(seen) == 6 and max(seen.values()) == highest else None


def test_a_pod_beyond_the_pool_s_gpus_stays_pending(lab: Lab):
    lab.apply([*node_pool("small", gpus=1), model("big", lab.fleet.port, gpus=8, replicas=1)])
    pod = lab.wait(lambda: lab.pods("big"), 20, "the pod exists")[0]
    events = lab.wait(lambda: lab.events(pod["metadata"]["name"], "FailedScheduling"), 30, "the scheduler says why")
    assert "nvidia.com/gpu" in events[0]
    lab.api.delete("Deployment", "big")


@pytest.mark.parametrize("part", ["prometheus"])
def test_a_part_that_is_frozen_killed_and_emptied_comes_back(lab: Lab, part):
    lab.wait(lambda: lab.query("up"), 20, "Prometheus has data")
    lab.pause(part)
    lab.resume(part)
    lab.kill(part)
    lab.start(part, empty=True)
    assert lab.query("count_over_time(up[1m])") == {}
