"""Replicas need machines: pending pods make Karpenter launch nodes, models load, and at the pool's limit the explanation says what is missing."""

from cluster.lab import Lab
from cluster.llm_scaler import LlmScaler
from cluster.objects import model, node_pool, scaled_object
from cluster.watch import Watch

GPUS = 4


def test_karpenter_brings_nodes_up_to_the_pool_s_gpus_and_the_rest_is_said_to_be_pending(lab: Lab, scaler: LlmScaler):
    lab.fleet.queued["large"] = 0
    lab.apply([*node_pool(gpus=GPUS, launch="2s"), model("large", lab.fleet.port, load="4s", replicas=0)])
    metadata = {"expression": "queued", "model": "large", "target": "1", "holdFor": "5s", "idleFor": "5s"}
    lab.apply(scaled_object("large", scaler.address, metadata))
    with Watch(lab, "large") as watch:
        lab.wait(lambda: scaler.explain("large").get("active") is False, 60, "llm-scaler is sure that nothing is there")
        lab.fleet.queued["large"], began = GPUS + 2, watch.now()
        lab.wait(lambda: lab.ready("large") >= 1, 90, "the first model is loaded on a new node")
        first = watch.now() - began
        lab.wait(lambda: lab.ready("large") == GPUS, 90, "as many as there are GPUs")
        lab.wait(lambda: lab.replicas("large") == GPUS + 2, 60, "two more are wanted")
        pending = lambda: (scaler.explain("large").get("kubernetes") or {}).get("pending", [])  # noqa: E731
        lab.wait(lambda: len(pending()) == 2, 30, "the explanation says that two are pending")
        before = pending()[0]["seconds"]
        lab.wait(lambda: pending()[0]["seconds"] > before + 2, 30, "and for how long")
        line = next(line.strip() for line in scaler.text("large").splitlines() if "is pending for" in line)
    nodes = len(lab.api.items("NodeClaim"))
    lab.say(f"from zero to {GPUS} of {GPUS + 2} on {nodes} new nodes, the first ready after {first:.0f} s; {line}")
