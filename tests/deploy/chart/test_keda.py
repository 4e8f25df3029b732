"""The real KEDA through the installed release: what the chart rendered, with its account's token; the README's own path to a model
that scales; the next version over it.
"""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from chart.helm import CHART, ROOT
from chart.installed import NAMESPACE, Container, Release
from laboratory.fleet import Load
from laboratory.front import Front
from laboratory.lab import Lab
from laboratory.listener import Listener
from laboratory.objects import model
from laboratory.watch import Watch
from laboratory.workloads import QUEUED, queued

FALLBACK = {"failureThreshold": 3, "replicas": 1, "behavior": "currentReplicasIfHigher"}
TRIGGERS = {"llama": {**QUEUED, "model": "llama"}, "gemma": {**QUEUED, "model": "gemma"}}
QUEUES = {"llama": 3, "gemma": 5}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(hpa_sync=5, scrape=2) as running:
        yield running


def values(lab: Lab, **settings: Any) -> dict[str, Any]:
    """Everything decides soon, and clients move on soon; a Service in front is reached under `localhost`."""
    usual = {
        "endpoints": {"default": {"url": lab.prometheus_url}},
        "defaults": {"interval": "1s", "holdFor": "30s", "idleFor": "10s"},
        "grpc": {"maxConnectionAge": "10s", "grace": "20s"},
    }
    return {"scalerAddresses": ["localhost"], "settings": {**usual, **settings}}


@pytest.fixture
def installed(lab: Lab) -> Iterator[Any]:
    """Install a release, which is taken away whatever happens."""
    made: list[Release] = []
    yield lambda *arguments: made.append(Release(lab, *arguments))
    for release in made:
        release.uninstall()


def test_the_path_of_the_readme_leads_to_a_model_that_scales(lab: Lab, folder: Path, installed: Any):
    """Its Helm line, its ScaledObject, its question, and doctor's. Only the addresses are this machine's: there is no DNS here."""
    readme = (ROOT / "README.md").read_text()
    line = re.findall(r"^helm install (.*)$", readme, re.MULTILINE)[0]
    words = shlex.split(line.replace("http://prometheus.monitoring:9090", lab.prometheus_url))
    installed({"scalerAddresses": ["localhost"]}, words)
    pod = Container(lab, folder, "of-the-readme")
    pod.start()
    text = re.findall(r"^```yaml\n# ScaledObject\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)[0]
    scaled = yaml.safe_load(text.replace("llm-scaler.keda:6000", pod.address))
    name, namespace = scaled["metadata"]["name"], scaled["metadata"]["namespace"]
    (trigger,) = scaled["spec"]["triggers"]
    served = trigger["metadata"]["model"]
    lab.fleet.load = Load(model=served)
    deployment = model(name, lab.fleet.port, gpus=0, replicas=1)
    deployment["metadata"]["namespace"] = namespace
    lab.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    lab.apply([deployment, scaled])
    lab.wait(lambda: lab.ready(name, namespace) == 1, 60, "its first replica is ready")
    (first,) = lab.pods(name, namespace)
    lab.fleet.loads[first["status"]["podIP"]] = Load(model=served, running=24)
    lab.wait(lambda: lab.ready(name, namespace) == 3, 180, "24 requests are 3 replicas at 8 each")
    asked = f"{namespace}/{name}"
    assert re.findall(r"-- llm-scaler (explain \S+)$", readme, re.MULTILINE) == [f"explain {asked}"]
    explained = command("explain", asked, "--server", pod.admin)
    assert explained.returncode == 0
    assert "3 replicas" in explained.stdout.splitlines()[0], explained.stdout
    lab.wait(lambda: certainty(pod, asked) == "certain", 240, "Prometheus is old enough to tell that nothing is queued")
    examined = command("doctor", asked, "--server", pod.admin, "--kubeconfig", str(lab.kubeconfig))
    assert examined.stdout.startswith(f"{asked}  nothing wrong was found"), examined.stdout
    for kind in ("ScaledObject", "Deployment"):
        lab.api.delete(kind, name, namespace)
    pod.stop()
    lab.fleet.reset()


def certainty(pod: Container, asked: str) -> str:
    """How certain the newest decision about NAMESPACE/NAME is."""
    told = requests.get(f"{pod.admin}/api/v1/explain/{asked}", timeout=5).json()
    return str(told["decisions"][0]["certainty"])


def command(*words: str) -> "subprocess.CompletedProcess[str]":
    """Run llm-scaler as a person does."""
    return subprocess.run(
        [sys.executable, "-m", "scaler", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )


def next_version(folder: Path) -> tuple[str, Path]:
    """The version after this one, and the chart of it."""
    copy = Path(shutil.copytree(CHART, folder / "next"))
    description = yaml.safe_load((copy / "Chart.yaml").read_text())
    major, minor, patch = map(int, description["version"].split("."))
    version = f"{major}.{minor}.{patch + 1}"
    description |= {"version": version, "appVersion": version}
    (copy / "Chart.yaml").write_text(yaml.safe_dump(description))
    return version, copy


def test_keda_scales_through_the_release_and_its_next_version_comes_without_a_step_in_any_answer(
    lab: Lab, folder: Path
):
    version, chart = next_version(folder)
    release = Release(lab, values(lab))
    before = Container(lab, folder / "before", "before")
    before.start()
    with Front(before.address) as service, Watch(lab, *QUEUES) as watch:
        for name, waiting in QUEUES.items():
            queued(lab, service.address, name, waiting, fallback=FALLBACK)
        lab.wait(
            lambda: {name: lab.ready(name) for name in QUEUES} == QUEUES,
            120,
            "each has a replica for each that is queued",
        )
        lab.wait(lambda: all(watch.came_to(name, count) for name, count in QUEUES.items()), 60, "that is seen, too")
        assert {before.explain(name)["certainty"] for name in QUEUES} == {"certain"}
        assert "may not" not in before.warnings()
        began = {name: len(changes) for name, changes in watch.changes.items()}
        with Listener(service.address, TRIGGERS) as listener:
            watch.hold(5)
            # Another image, and a setting that makes other pods.
            release.upgrade({**values(lab, evaluationDelay="1s"), "replicaCount": 3}, chart)
            after = Container(lab, folder / "after", "after")
            after.start()
            service.behind = after.address  # it is ready: new connections go to it
            before.stop()
            watch.hold(10)
        deployment = lab.get("Deployment", "llm-scaler", NAMESPACE)
        assert deployment
        assert deployment["metadata"]["labels"]["helm.sh/chart"].endswith(version)
        assert {name: after.explain(name)["answeredReplicas"] for name in QUEUES} == QUEUES
        assert {name: watch.seen(name)[began[name] :] for name in QUEUES} == {name: [] for name in QUEUES}
    told = {name: (one.seen(), one.errors) for name, one in listener.answers.items()}
    print(f"upgraded under load: {listener.rounds()} answers about each of {len(QUEUES)}, all the same")
    assert told == {name: ([(float(count), True)], []) for name, count in QUEUES.items()}
    release.uninstall()
