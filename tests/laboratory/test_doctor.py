"""`llm-scaler doctor` on a real cluster: one workload that is sound, and others that were set up wrong, each in its own way.

What it looked at can be kept as a picture for tests/wiring: RECORD=1 writes them anew.
"""

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import yaml
from laboratory.lab import Lab
from laboratory.llm_scaler import LlmScaler
from laboratory.objects import model
from laboratory.process import free_ports

from scaler.cli import take_picture
from scaler.cli.ask import Tls
from scaler.cli.take_picture import Ways
from scaler.sources.kubernetes.api import ApiServer
from scaler.wiring.picture import Picture

RECORDED = Path(__file__).resolve().parents[1] / "wiring" / "recorded"
MODEL = "llama"  # what the pods of the laboratory serve unless they are told otherwise
KEPT = ("sound", "mistyped", "silent", "twice", "unmeasured")  # as pictures
QUEUED = ("--expression", "queued", "target=1", "holdFor=5s", "idleFor=5s")


def written(address: str, name: str, *words: str) -> dict:
    """What `llm-scaler scaledobject` writes for the Deployment of that name."""
    command = ["scaledobject", f"deployment/{name}", "--offline", "--model", MODEL, "--scaler-address", address]
    run = subprocess.run(
        [sys.executable, "-m", "scaler", *command, *(words or QUEUED)], capture_output=True, text=True, check=True
    )
    return yaml.safe_load(run.stdout)


def spoil(lab: Lab, address: str) -> dict[str, tuple[str, dict]]:
    """Objects that are set up wrong -> the finding that has to come first, and the ScaledObject."""
    found: dict[str, tuple[str, dict]] = {}

    def add(name: str, rule: str) -> dict:
        scaled = written(address, name)
        found[name] = (rule, scaled)
        return scaled["spec"]

    trigger = add("mistyped", "refused")["triggers"][0]["metadata"]
    trigger["modle"] = trigger.pop("model")
    add("silent", "unreachable")["triggers"][0]["metadata"]["scalerAddress"] = f"localhost:{next(free_ports())}"
    add("multiplied", "metric-type")["triggers"][0]["metricType"] = "Value"
    add("lost", "target-missing")["scaleTargetRef"]["name"] = "nobody"
    add("still", "behavior-forbids")["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleUp"] = {
        "selectPolicy": "Disabled"
    }
    add("twice", "two-owners")
    add("unformed", "refused")["triggers"][0]["metadata"] = {
        "scalerAddress": address,
        "formula": "queue-dept",
        "model": MODEL,
    }
    add("unmeasured", "no-series")["triggers"][0]["metadata"] = {
        "scalerAddress": address,
        "expression": "waiting",
        "target": "1",
        "holdFor": "5s",
        "model": "another",
    }
    add("url", "address")["triggers"][0]["metadata"]["scalerAddress"] = f"http://{address}"
    found["halted"] = ("paused", written(address, "halted"))
    found["halted"][1]["metadata"]["annotations"] = {"autoscaling.keda.sh/paused": "true"}
    return found


def test_the_culprit_is_named_first_and_nothing_is_said_of_what_is_sound(lab: Lab, scaler: LlmScaler):
    spoilt = spoil(lab, scaler.address)
    lab.fleet.queued[MODEL] = 2
    for name in ("sound", *spoilt):
        if name != "lost":
            lab.apply(model(name, lab.fleet.port, gpus=0, replicas=1))
    lab.apply(_own_hpa("twice"))
    lab.apply(written(scaler.address, "sound"))
    for _, scaled in spoilt.values():
        lab.apply(scaled)
    lab.wait(lambda: lab.replicas("sound") == 2, 60, "the sound one scales")
    lab.wait(lambda: lab.events("mistyped", "KEDAScalerFailed"), 60, "KEDA has said what fails")
    lab.wait(lambda: "no series" in scaler.reason("unmeasured"), 60, "what is not measured is missed")
    lab.wait(lambda: scaler.explain("sound")["certainty"] == "certain", 60, "Prometheus has the pages of the sound one")

    first = {}
    for name in ("sound", *spoilt):
        told = doctor(lab, scaler, name)
        first[name] = [finding["rule"] for finding in told["findings"]]
        lab.say(f"{name}: {', '.join(first[name]) or 'nothing wrong'}")
    if os.environ.get("RECORD"):
        record(lab, scaler, {name: spoilt[name][0] if name in spoilt else "" for name in KEPT})
    assert first["sound"] == []
    assert {name: rules[:1] for name, rules in first.items() if name != "sound"} == {
        name: [rule] for name, (rule, _) in spoilt.items()
    }


def doctor(lab: Lab, scaler: LlmScaler, name: str) -> dict:
    """What the command says of one ScaledObject."""
    command = ["doctor", f"default/{name}", "-o", "json", "--kubeconfig", str(lab.kubeconfig), "--server", scaler.admin]
    run = subprocess.run([sys.executable, "-m", "scaler", *command], capture_output=True, text=True, check=False)
    assert run.stdout, run.stderr
    [told] = json.loads(run.stdout)["workloads"]
    return told


def record(lab: Lab, scaler: LlmScaler, expected: dict[str, str]) -> None:
    """Keep what was looked at, less what is of no object here."""
    server = ApiServer(lab.kubeconfig)
    ways = Ways(scaler.admin, "", Tls(), probe=True)
    RECORDED.mkdir(exist_ok=True)
    shared = take_picture.of_cluster(server, time.time())
    for name, rule in expected.items():
        picture = take_picture.of_one(server, shared, "default", name, ways)
        kept = {"expected": rule, "picture": dataclasses.asdict(_about(picture, name))}
        (RECORDED / f"{name}.json").write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")


def _about(picture: Picture, name: str) -> Picture:
    """The picture with those objects alone that name the workload, or the API through which the HPA asks."""
    words = (name, "external.metrics.k8s.io")
    objects = {
        plural: [_plain(one) for one in found if any(word in json.dumps(one) for word in words)]
        for plural, found in picture.objects.items()
    }
    return dataclasses.replace(picture, objects=objects)


def _plain(manifest: dict) -> dict:
    meta = {key: value for key, value in manifest.get("metadata", {}).items() if key != "managedFields"}
    return {**manifest, "metadata": meta}


def _own_hpa(name: str) -> dict:
    metric = {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
    }
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "maxReplicas": 3,
            "metrics": [metric],
        },
    }
