"""A part of the service that ends, ends the service; what the cluster looks like ends none."""

import asyncio
import copy
import gc
import time

import pytest
from server.pages import get
from support.kubernetes_objects import deployment, pod, scaled_object
from support.kubernetes_server import Server

from scaler.cli.serve import Service, stop_for_no_garbage
from scaler.config.settings import read_settings

PATIENCE = 20.0  # seconds; a part that fails is seen at once


@pytest.fixture
def kubernetes():
    made = Server()
    made.put("scaledobjects", scaled_object())
    made.put("deployments", deployment())
    made.put("pods", pod("llama-5d8f-a"))
    yield made
    made.close()


@pytest.fixture
def service(tmp_path, kubernetes):
    tree = {
        "prometheus": "http://127.0.0.1:1",
        "grpc": {"address": "127.0.0.1:0", "drain": "0s", "grace": "1s"},
        "admin": {"address": "127.0.0.1:0"},
        "kubernetes": {"kubeconfig": str(kubernetes.kubeconfig(tmp_path))},
    }
    return Service(read_settings(tree, "settings", {}, {}), time.time, time.monotonic)


async def until(condition):
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - it comes from threads and sockets
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("part", "failing"),
    [
        ("the picture of the cluster", lambda service: (service.engine, "update_cluster")),
        ("the look at the formulas", lambda service: (service, "_watch")),
        ("the decisions", lambda service: (service.engine, "_start")),
    ],
)
async def test_a_part_that_fails_ends_the_service_whenever_it_was_started(service, monkeypatch, part, failing):
    def fail(*_):
        raise RuntimeError(f"{part} failed")

    owner, name = failing(service)
    assert hasattr(owner, name)
    await service.start()
    running = asyncio.create_task(service.run(asyncio.Event()))
    if part != "the look at the formulas":
        await until(lambda: service.engine.cluster.objects)
        assert not running.done()
    monkeypatch.setattr(owner, name, fail)
    with pytest.raises(ExceptionGroup) as failed:
        await asyncio.wait_for(running, PATIENCE)
    assert [str(error) for error in failed.value.exceptions] == [f"{part} failed"]
    await service.stop()


async def test_a_part_that_returns_ends_the_service(service):
    await service.start()
    running = asyncio.create_task(service.run(asyncio.Event()))
    await until(lambda: service.engine.cluster.objects)
    await service.engine.close()
    with pytest.raises(ExceptionGroup, match="TaskGroup") as failed:
        await asyncio.wait_for(running, PATIENCE)
    assert "ended by itself" in str(failed.value.exceptions[0])
    await service.stop()


async def test_it_decides_until_it_has_drained_and_leaves_no_task(service):
    await service.start()
    stopped, before = asyncio.Event(), asyncio.all_tasks()
    running = asyncio.create_task(service.run(stopped))
    await until(lambda: service.engine.cluster.objects)
    stopped.set()
    await asyncio.wait_for(running, PATIENCE)
    assert service.server.port == 0
    await service.stop()
    assert asyncio.all_tasks() <= before


async def test_an_odd_object_leaves_the_picture_fresh_and_the_others_in_it(service, kubernetes, caplog):
    await service.start()
    running = asyncio.create_task(service.run(stopped := asyncio.Event()))
    await until(lambda: service.engine.cluster.objects)
    odd = scaled_object("odd")
    odd["metadata"]["namespace"], odd["spec"]["minReplicaCount"] = "evil", ["many"]
    kubernetes.put("scaledobjects", copy.deepcopy(odd))
    await until(lambda: service.engine.cluster.left_out)
    kubernetes.put("deployments", deployment(replicas=5))
    await until(lambda: service.engine.cluster.objects["team", "llama"][0].replicas == 5)
    [said] = service.engine.cluster.missing().values()
    odd = "evil/odd: scaled.minimum is ['many'], which is not a number"
    assert said == f"1 left out, since they cannot be read: {odd}"
    assert said in [getattr(record, "problem", "") for record in caplog.records]
    admin = f"http://127.0.0.1:{service._admin.addresses[0][1]}"
    assert f"[!] kubernetes objects scaledobjects.keda.sh: {said}" in (await get(f"{admin}/readyz?verbose")).text
    counted = "llm_scaler_kubernetes_objects_left_out 1.0"
    assert counted in (await get(f"{admin}/metrics")).text
    stopped.set()
    await asyncio.wait_for(running, PATIENCE)
    await service.stop()


def test_while_many_workloads_come_python_does_not_stop_to_look_through_all_memory():
    before, looked = gc.get_threshold(), []

    def note(phase, about):
        looked.append((phase, about["generation"]))

    gc.callbacks.append(note)
    try:
        stop_for_no_garbage()
        kept = [[number] for number in range(500_000)]
        assert len(kept) == 500_000
    finally:
        gc.callbacks.remove(note)
        gc.set_threshold(*before)
        gc.unfreeze()
    assert ("start", 0) in looked, "what is young is looked at"
    assert ("start", 2) not in looked
