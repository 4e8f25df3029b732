"""Replicas need machines: pending pods make Karpenter launch nodes, models load, and at the pool's limit the explanation says what is missing.

With `capacity: clamp` that limit is our own, too: one replica waits there, the probe, and no more.
"""

from typing import Any

from laboratory.lab import Lab
from laboratory.llm_scaler import LlmScaler
from laboratory.objects import model, node_pool, scaled_object
from laboratory.watch import Watch

GPUS = 4
# As many replicas as requests queued.
QUEUED = {"expression": "queued", "target": "1", "holdFor": "5s", "idleFor": "5s"}


def asks_for_gpus(lab: Lab, scaler: LlmScaler, name: str, **metadata: str) -> None:
    """Deploy `name`, whose pods need a GPU each, beside a pool of GPUs and no machine."""
    lab.fleet.queued[name] = 0
    lab.apply([*node_pool(gpus=GPUS, launch="2s"), model(name, lab.fleet.port, load="4s", replicas=0)])
    lab.apply(scaled_object(name, scaler.address, QUEUED | {"model": name} | metadata))
    lab.wait(lambda: scaler.explain(name).get("active") is False, 60, "llm-scaler is sure that nothing is there")


def test_karpenter_brings_nodes_up_to_the_pool_s_gpus_and_the_rest_is_said_to_be_pending(lab: Lab, scaler: LlmScaler):
    asks_for_gpus(lab, scaler, "wide")
    with Watch(lab, "wide") as watch:
        lab.fleet.queued["wide"], began = GPUS + 2, watch.now()
        lab.wait(lambda: lab.ready("wide") >= 1, 90, "the first model is loaded on a new node")
        first = watch.now() - began
        lab.wait(lambda: lab.ready("wide") == GPUS, 90, "as many as there are GPUs")
        lab.wait(lambda: lab.replicas("wide") == GPUS + 2, 60, "two more are wanted")
        pending = lambda: (scaler.explain("wide").get("kubernetes") or {}).get("pending", [])  # noqa: E731
        lab.wait(lambda: len(pending()) == 2, 30, "the explanation says that two are pending")
        before = pending()[0]["seconds"]
        lab.wait(lambda: pending()[0]["seconds"] > before + 2, 30, "and for how long")
        line = next(line.strip() for line in scaler.text("wide").splitlines() if "is pending for" in line)
        told = lab.wait(lambda: counted(scaler, "wide", GPUS), 30, "it knows how many can be had")
        assert told["reason"].startswith(f"{GPUS + 2} replicas, though {GPUS} can be had ({GPUS} on nodes, ")
        assert "NodePool gpu: limit nvidia.com/gpu 4" in told["reason"]
        assert ", 2 pending for " in told["reason"]
    nodes = len(lab.api.items("NodeClaim"))
    lab.say(f"from zero to {GPUS} of {GPUS + 2} on {nodes} new nodes, the first ready after {first:.0f} s; {line}")
    lab.say(f"  {told['reason']}")


def test_a_clamp_ends_growth_one_replica_after_the_pool_s_gpus_and_goes_on_when_there_are_more(
    lab: Lab, scaler: LlmScaler
):
    asks_for_gpus(lab, scaler, "clamped", capacity="clamp")
    with Watch(lab, "clamped") as watch:
        lab.fleet.queued["clamped"] = 3 * GPUS
        lab.wait(lambda: lab.ready("clamped") == GPUS, 120, "as many as there are GPUs")
        told = lab.wait(lambda: counted(scaler, "clamped", GPUS), 30, "it knows how many can be had")
        long = lambda: scaler.explain("clamped")["capacity"]["pending"]["seconds"] or 0  # noqa: E731
        lab.wait(lambda: long() > 15, 60, "three more looks of the HPA, and one pod waits")
        told = scaler.explain("clamped")
        assert (told["answeredReplicas"], told["desiredReplicas"], told["capacity"]["limit"]) == (
            GPUS + 1,
            3 * GPUS,
            GPUS + 1,
        )
        assert told["capacity"]["pending"]["replicas"] == 1
        assert "NodePool gpu" in told["reason"]
        assert max(watch.seen("clamped")) == GPUS + 1
        lab.say(f"clamped: {watch.seen('clamped')} replicas; {told['reason']}")
        lab.api.patch("NodePool", "gpu", {"spec": {"limits": {"nvidia.com/gpu": str(GPUS + 2)}}}, namespace="")
        lab.wait(lambda: lab.ready("clamped") == GPUS + 2, 90, "the probe finds that there is more now")
        lab.wait(lambda: watch.came_to("clamped", GPUS + 3), 60, "and another takes its place")
    lab.say(f"  with {GPUS + 2} GPUs allowed: {watch.seen('clamped')} replicas, {lab.ready('clamped')} ready")


def counted(scaler: LlmScaler, name: str, replicas: int) -> dict[str, Any] | None:
    """The explanation, once so many replicas can be had, all of them on nodes."""
    told = scaler.explain(name)
    seen = told.get("capacity") or {}
    return told if seen.get("availableReplicas") == seen.get("scheduledReplicas") == replicas else None
