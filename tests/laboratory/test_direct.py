"""Without Prometheus: pods and gateway are read directly, by the addresses that the real API server tells.

The need: a team that has no Prometheus, or for whom its scrape interval is too long.
"""

from collections.abc import Callable
from pathlib import Path

import yaml
from laboratory.fleet import Load
from laboratory.lab import Lab
from laboratory.llm_scaler import LlmScaler
from laboratory.objects import model, scaled_object, trigger
from laboratory.watch import Watch

QUEUE = {"formula": "queue-depth", "target": "4", "holdFor": "20s", "idleFor": "10s", "endpoint": "pods"}
NOBODY = "http://127.0.0.1:1"


def settings(lab: Lab) -> Path:
    """The laboratory's pods live on loopback, which has to be said; the gateway is no Service here."""
    pods = {
        "pods": {"port": lab.fleet.port},
        "pages": [{"url": f"http://{lab.fleet.gateway}/metrics", "namespace": "default"}],
        "networks": ["127.64.0.0/16"],
    }
    file = lab.home / "direct.yaml"
    file.write_text(yaml.safe_dump({"endpoints": {"pods": pods}}))
    return file


def test_the_first_request_wakes_it_in_seconds_and_its_own_pods_decide_what_follows(lab: Lab):
    # Ticks are 5 s apart, as by default: what is sooner is so because there is no replica.
    scaler = LlmScaler(lab, "--settings", str(settings(lab)), "--prometheus", NOBODY, "--defaults-interval", "5s")
    scaler.start()
    lab.fleet.queued["direct"] = 0
    lab.fleet.load = Load(model="direct")
    lab.apply(model("direct", lab.fleet.port, gpus=0, replicas=0))
    lab.apply(model("other", lab.fleet.port, gpus=0, replicas=2))  # the same model, somebody else's pods
    push = trigger(scaler.address, push=True, **QUEUE, model="direct")
    lab.apply(scaled_object("direct", "", triggers=[push], pollingInterval=30, cooldownPeriod=5))
    answered: Callable[[], list[int]] = lambda: [  # noqa: E731
        fact["answered"] for fact in scaler.explain("direct").get("inputs", ()) if fact["name"] == "waiting"
    ]
    with Watch(lab, "direct") as watch:
        lab.wait(
            lambda: scaler.explain("direct").get("active") is False,
            60,
            "llm-scaler is sure that nothing is there",
        )
        # Its first poll got no answer yet, which ended KEDA's streams; with the next poll they are back.
        lab.wait(lambda: scaler.metric("llm_scaler_streams") == lab.streams, 90, "KEDA listens for pushes")
        began = watch.now()
        lab.fleet.queued["direct"] = 3
        lab.wait(lambda: watch.came_to("direct", 1), 60, "the first request wakes it")
        woken = watch.at("direct", 1) - began
        lab.wait(lambda: answered() == [1], 60, "its own pod is read, and no other's")
        lab.fleet.queued["direct"], lab.fleet.load = 0, Load(model="direct", running=4, waiting=6)
        lab.wait(lambda: lab.replicas("direct") >= 3, 90, "what waits on its own pod brings more")
        lab.fleet.load = Load(model="direct", running=4)
        lab.wait(lambda: answered() == [lab.replicas("direct")], 60, "every one of its pods is read")
        before = lab.replicas("direct")
        silent = lab.pods("direct")[0]["status"]["podIP"]
        lab.fleet.loads[silent] = None
        lab.wait(lambda: "did not answer" in scaler.reason("direct"), 60, "one pod does not answer")
        told = scaler.reason("direct")
        lab.wait(lambda: "no certain answer for" in scaler.reason("direct"), 60, "holdFor is over")
        assert lab.replicas("direct") >= before
        assert not watch.falls(["direct"]).get("direct")
    lab.say(f"direct: 0 -> 1 {woken:.1f} s after the first request; {told}")
