"""What is said to be had comes: places on nodes and machines of the real Karpenter, from none of them to all that its pool allows."""

import time
from collections.abc import Iterator

import pytest
from laboratory.lab import Lab
from laboratory.objects import model, node, node_pool, scaled_object

from scaler.cluster.availability import availability
from scaler.model.availability import Availability
from scaler.sources.kubernetes.cache import ClusterCache

NOWHERE = "localhost:1"  # KEDA finds no scaler there; what we read does not depend on it
GPUS = 2  # of one replica
HERE, LIMIT = 4, 16  # GPUs of a node that is there, and of all that Karpenter may buy


@pytest.fixture
def kube(lab: Lab) -> Iterator[ClusterCache]:
    """A watcher that has read everything once."""
    watcher = ClusterCache(lab.kubeconfig, (), (), time.time)
    watcher.start()
    lab.wait(lambda: watcher.wait_for_sync(0.0), 40, "everything was read once")
    yield watcher
    watcher.close()


def seen(kube: ClusterCache) -> tuple[int, int, Availability] | None:
    """Pods of the workload that have a node, all of its pods, and what more can be had."""
    cluster = kube.cluster()
    scaled = next((one for one in cluster if one.name == "placed"), None)
    if scaled is None or scaled.pods is None or scaled.template is None:
        return None
    return len(scaled.pods) - (scaled.count("pending") or 0), len(scaled.pods), availability(cluster, scaled)


def test_nodes_and_pool_together_are_what_comes_and_at_every_moment_no_less_is_said(lab: Lab, kube: ClusterCache):
    lab.apply([node("here", HERE), *node_pool(gpus=LIMIT, launch="3s")])
    lab.apply(
        [model("placed", lab.fleet.port, gpus=GPUS, replicas=0), scaled_object("placed", NOWHERE, minReplicaCount=0)]
    )
    try:
        places = lambda: (now := seen(kube)) and now[2].schedulable.value  # noqa: E731
        lab.wait(lambda: places() == HERE // GPUS, 30, "the workload is known, and the node is ready")
        before = seen(kube)
        assert before
        assert before[2].provisionable.value == LIMIT // GPUS
        lab.api.patch("Deployment", "placed", {"spec": {"replicas": (HERE + LIMIT) // GPUS + 3}})
        moments = []

        def whole() -> bool:
            now = seen(kube)
            if now and now[1]:
                moments.append((now[0], now[2].schedulable.value or 0, now[2].provisionable.value))
            return bool(now and now[0] == (HERE + LIMIT) // GPUS)

        lab.wait(whole, 120, "everything that can be had is had")
        least = min(bound + places + more for bound, places, more in moments if more is not None)
        assert least >= (HERE + LIMIT) // GPUS, moments
        ended = lab.wait(lambda: spent(kube), 60, "that nothing more can be had is certain")
        assert ended.own.value == HERE + LIMIT
        lab.say(f"gpus: {len(set(moments))} moments on the way to {HERE + LIMIT} GPUs, never less than they was said")
        lab.say(f"  then {ended.schedulable.reason}; {ended.provisionable.reason}")
    finally:
        lab.api.delete("Node", "here")


def spent(kube: ClusterCache) -> Availability | None:
    now = seen(kube)
    done = now and (now[2].schedulable.value, now[2].provisionable.value, now[2].provisionable.bound) == (0, 0, "exact")
    return now[2] if now and done else None
