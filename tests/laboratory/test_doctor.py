"""`llm-scaler doctor` on a real cluster: workloads that were set up wrong, each in its own way, beside others that are sound.

What it looked at can be kept as a picture for tests/wiring: RECORD=1 writes them anew.
"""

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from laboratory.lab import Lab
from laboratory.llm_scaler import LlmScaler
from laboratory.misconfigured import MODEL, NAMESPACES, Case, Written, scenery, sound, spoilt
from laboratory.process import free_ports

from scaler.cli import take_picture
from scaler.cli.ask import ClientTls
from scaler.cli.take_picture import Ways
from scaler.sources.kubernetes.api import ApiServer
from scaler.wiring.picture import Picture, seconds_of
from scaler.wiring.rules import examine
from scaler.wiring.rules.pods import PENDING

RECORDED = Path(__file__).resolve().parents[1] / "wiring" / "recorded"
KEPT = {"sound-a": "sound", "mistyped": "", "silent": "", "twice": "", "unmeasured": ""}  # as pictures, and their files
NAMED_FIRST = 0.95  # of what is set up wrong


@pytest.mark.timeout(1200)  # seventy workloads at once
def test_the_culprit_is_named_first_and_nothing_is_said_of_what_is_sound(lab: Lab, scaler: LlmScaler):
    written = Written(scaler.address, lab.fleet.port)
    wrong = list(spoilt(written, f"localhost:{next(free_ports())}", scaler.admin.removeprefix("http://")))
    right = list(sound(written))
    assert len(wrong) >= 40
    assert len(right) >= 20
    lab.fleet.queued[MODEL] = 2
    lab.apply(scenery())
    try:
        for case in (*wrong, *right):
            lab.apply([*case.beside, case.scaled])
        settle(lab, scaler, right)
        found = findings(lab, scaler, [*wrong, *right])
        said = doctor(lab, scaler, "mistyped")["findings"]
        if os.environ.get("RECORD"):
            record(lab, scaler, {case.name: case.finding for case in (*wrong, *right) if case.name in KEPT})
    finally:
        for namespace in (*NAMESPACES, "default"):
            for kind in (
                "ScaledObject",
                "Deployment",
                "DaemonSet",
                "ResourceQuota",
                "LimitRange",
                "PodDisruptionBudget",
            ):
                lab.api.delete_all(kind, namespace)
        lab.wait(lambda: not lab.api.items("ScaledObject", None), 300, "KEDA has let all of them go")
    missed = {case.name: (case.finding, found[case.name]) for case in wrong if found[case.name][:1] != [case.finding]}
    alarms = {case.name: found[case.name] for case in right if found[case.name]}
    for name, (rule, told) in missed.items():
        lab.say(f"doctor: {name}: {rule} is not first of {', '.join(told) or 'nothing'}")
    lab.say(
        f"doctor: {len(wrong) - len(missed)} of {len(wrong)} culprits first; {len(alarms)} alarms on {len(right)} sound ones"
    )
    assert [finding["rule"] for finding in said] == found["mistyped"], "the command says the same"
    assert alarms == {}
    assert len(missed) <= (1 - NAMED_FIRST) * len(wrong), missed


def settle(lab: Lab, scaler: LlmScaler, right: list[Case]) -> None:
    """Wait until all that is sound scales, and KEDA has said what fails of the rest."""
    names = {case.name for case in right}
    lab.wait(lambda: all(scaler.explain(name).get("certainty") == "certain" for name in names), 240, "all is measured")
    lab.wait(lambda: {replicas(lab, case) for case in right} == {2}, 240, "all that is sound scales")
    lab.wait(lambda: lab.events("mistyped", "KEDAScalerFailed"), 60, "KEDA has said what fails")
    lab.wait(lambda: "no series" in scaler.reason("unmeasured"), 60, "what is not measured is missed")
    lab.wait(lambda: lab.replicas("overrun") == 3, 120, "what is overrun has all that it may have")

    waiting = ("gpu-less", "choosy", "volumeless", "hermit")
    lab.wait(
        lambda: all(waited(lab, name) > PENDING for name in waiting), 240, "pods have waited long enough for a node"
    )


def waited(lab: Lab, app: str) -> float:
    """Seconds for which a pod of `app` has been without a node."""
    pods = [pod for pod in lab.pods(app) if not pod["spec"].get("nodeName")]
    ages = [time.time() - (seconds_of(pod["metadata"]["creationTimestamp"]) or 0.0) for pod in pods]
    return max(ages, default=0.0)


def replicas(lab: Lab, case: Case) -> int:
    """The replicas that its scale target is asked for."""
    kind = case.scaled["spec"]["scaleTargetRef"].get("kind", "Deployment")
    target = lab.get(kind, case.name, case.namespace)
    return target["spec"]["replicas"] if target else 0


def findings(lab: Lab, scaler: LlmScaler, cases: list[Case]) -> dict[str, list[str]]:
    """The rules that find something on each workload, looked at as the command looks at all of them."""
    server = ApiServer(lab.kubeconfig)
    shared = take_picture.of_cluster(server, time.time())
    ways = Ways(scaler.admin, "", ClientTls(), probe=True)
    found = {}
    for case in cases:
        picture = take_picture.of_one(server, shared, case.namespace, case.name, ways)
        found[case.name] = [finding.rule for finding in examine(picture)]
    return found


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
    ways = Ways(scaler.admin, "", ClientTls(), probe=True)
    RECORDED.mkdir(exist_ok=True)
    shared = take_picture.of_cluster(server, time.time())
    for name, rule in expected.items():
        picture = take_picture.of_one(server, shared, "default", name, ways)
        kept = {"expected": rule, "picture": dataclasses.asdict(_about(picture, name))}
        (RECORDED / f"{KEPT[name] or name}.json").write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")


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
