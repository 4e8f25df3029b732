"""What llm-scaler reads of real vLLM is what its clients have in flight, at every moment: while it starts, works, and ends.

Here pods come and go as the test says, without a cluster, and their pages are read directly; who scales is in test_scale.py.
"""

import json
import time
import urllib.error

import pytest
import yaml
from engines.api_server import Cluster
from engines.client import Clients
from engines.lab.kubelet import Kubelet
from engines.lab.ledger import Ledger
from engines.lab.objects import GRACE, PORT, START, engine, gateway, pod
from engines.servers import BATCH, MODEL
from support.process import serving

NAME = "vllm"
PODS = ("vllm-0", "vllm-1")
TRIGGER = {"expression": "queued + waiting + running", "model": MODEL, "target": "10"}
LIMIT = BATCH + BATCH // 2
TICK = 1.0  # seconds between two readings


@pytest.fixture
def world(tmp_path):
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.close()


def ready(world, name):
    conditions = (world.pod(name) or {}).get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def address(world, name):
    return f"http://{world.pod(name)['status']['podIP']}:{PORT}"


class Pages:
    """The file of pages: the gateway's, and those of the replicas, from when they are ready until they are gone.

    One that is asked to end is not ready any more and still works on what it has.
    """

    def __init__(self, world):
        self.file = world.home / "pages.yaml"
        self._world = world
        self._begun = set()
        self.write()

    def write(self):
        pods = ("gateway", *PODS)
        self._begun |= {name for name in pods if ready(self._world, name)}
        there = [name for name in pods if name in self._begun and self._world.pod(name)]
        urls = {name: f"{address(self._world, name)}/metrics" for name in there}
        pages = [{"url": url, "namespace": "demo", "pod": name} for name, url in urls.items()]
        written = yaml.safe_dump(pages)
        if not self.file.exists() or self.file.read_text() != written:
            (fresh := self.file.with_suffix(".new")).write_text(written)
            fresh.rename(self.file)


def test_every_certain_reading_of_real_vllm_is_what_the_clients_have_in_flight(world):
    with Kubelet(world) as kubelet:
        world.apply(pod(gateway(world.api, "gateway", kubelet.name, NAME, LIMIT), "gateway"))
        replica = engine(world.home, NAME, kubelet.name)
        world.apply(pod(replica, PODS[0]))
        world.apply(pod(replica, PODS[1]))
        wait(lambda: ready(world, "gateway"), 120, "the gateway is ready")
        pages = Pages(world)
        settings = world.home / "settings.yaml"
        settings.write_text(yaml.safe_dump({"endpoints": {"default": {"pagesFile": str(pages.file)}}}))
        flags = (
            "--settings",
            str(settings),
            "--kubernetes-enabled",
            "false",
            "--defaults-interval",
            f"{TICK:.0f}s",
            "--defaults-hold-for",
            "5s",
        )
        with serving(world.home, None, *flags) as server:
            server.ask("demo", NAME, **TRIGGER)
            with Ledger(lambda: explained(server)) as ledger, Clients(address(world, "gateway"), MODEL) as clients:
                began = time.monotonic()

                def working(replicas):
                    """Keep 30 requests in flight; are so many replicas at work?"""
                    kubelet.check()
                    pages.write()
                    clients.send(30 - clients.in_flight(), 200)
                    return sum(ready(world, name) for name in PODS) == replicas

                wait(lambda: working(2), START, "both replicas are ready")
                cold = time.monotonic() - began
                since = time.monotonic()
                wait(lambda: working(2) and time.monotonic() - since > 30, 120, "both have worked for half a minute")
                clients.send(10, 400)
                world.delete_pod(PODS[0], GRACE)
                wait(lambda: pages.write() or world.pod(PODS[0]) is None, GRACE + 30, "one replica has ended")
                wait(lambda: clients.in_flight() == 0, 600, "all are answered")
                answered = list(clients.requests)
                clients.send(20, 1500)
                wait(lambda: sum(bool(one.chunks) for one in clients.requests[-20:]) >= BATCH, 120, "they are begun")
                time.sleep(5)
                clients.abort()
                time.sleep(5)
    problems = [one.problem for one in answered if one.problem]
    assert not problems, f"{len(problems)} of {len(answered)} requests: {problems[0]}"
    wrong = ledger.mismatches(clients.requests, TICK)
    certain = ledger.certain()
    assert not wrong, f"{len(wrong)} of {len(certain)} certain readings: {'; '.join(map(str, wrong[:5]))}"
    loaded = ledger.loaded()
    assert {entry.answered for entry in loaded} >= {1, 2}, "certain readings of one replica and of two"
    assert sum(certain[-1].read.values()) == 0, "nothing is left of the requests that were given up"
    print(
        f"{cold:.0f} s to start; {len(answered)} requests answered, none cut; {len(loaded)} certain readings under load, all right"
    )


def explained(server):
    try:
        return json.loads(server.get(f"/api/v1/explain/demo/{NAME}"))["decisions"][0]
    except urllib.error.HTTPError:  # it is not known yet
        return {}


def wait(predicate, seconds, what):
    deadline = time.monotonic() + seconds
    while not predicate():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.2)
