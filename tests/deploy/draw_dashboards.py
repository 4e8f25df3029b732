"""Draw the dashboards of a small fleet in a real browser, to look at them: by hand, some minutes.

    PYTHONPATH=tests python tests/deploy/draw_dashboards.py .cache/dashboards --minutes 6

A real Prometheus scrapes a real llm-scaler, which measures three models there; KEDA's calls are made, and replicas follow its answers
after a start-up. One model's pods are silent for a while. The page is written to the folder, and as a picture where Chromium is.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from laboratory.listener import Listener
from support.prometheus_server import Pages, Prometheus, free_port

ROOT = Path(__file__).resolve().parents[2]
STARTUP = 15.0  # seconds of a replica
PERIOD = 150.0  # seconds of a day of this world
WIDTH, HEAD, ROW = 1400, 100, 300  # pixels


@dataclass
class Model:
    """A model whose load goes up and down."""

    name: str
    busiest: float  # requests at once
    gpus: int  # of a replica
    silent: tuple[float, float] = (0.0, 0.0)  # when its pods answer nothing, in seconds from the start
    ready: list[float] = field(default_factory=lambda: [0.0])  # of each replica: when it is

    def load(self, at: float) -> float:
        """The requests that are under way."""
        return self.busiest * (0.5 - 0.45 * math.cos(2 * math.pi * at / PERIOD))

    def order(self, replicas: int, at: float) -> None:
        """As KEDA and the HPA do: more begin to start, the youngest go first."""
        self.ready = self.ready[:replicas] + [at + STARTUP] * (replicas - len(self.ready))

    def pages(self, at: float) -> dict[str, str]:
        """The pages of its ready pods."""
        if self.silent[0] <= at < self.silent[1]:
            return {}
        pods = [place for place, since in enumerate(self.ready) if since <= at]
        share = self.load(at) / max(1, len(pods))
        running, waiting = min(share, 12), max(0, share - 12)
        labels = f'model_name="{self.name}",engine="0"'
        page = f"vllm:num_requests_running{{{labels}}} {running:.0f}\nvllm:num_requests_waiting{{{labels}}} {waiting:.0f}\n"
        return {f"{self.name}-{place}": page for place in pods}

    def told(self) -> str:
        """What kube-state-metrics says of it."""
        hpa = f'namespace="default",horizontalpodautoscaler="keda-hpa-{self.name}"'
        lines = [f"kube_horizontalpodautoscaler_status_current_replicas{{{hpa}}} {len(self.ready)}"]
        for place in range(len(self.ready)):
            pod = f'namespace="default",pod="{self.name}-{place}",container="engine",resource="nvidia_com_gpu"'
            lines.append(f"kube_pod_container_resource_requests{{{pod}}} {self.gpus}")
        return "\n".join(lines) + "\n"


def run(folder: Path, minutes: float) -> None:
    """Let the fleet live for a while, and draw what the dashboards show of it."""
    models = [
        Model("llama", 60, 1),
        Model("qwen", 25, 2),
        Model("gemma", 12, 1, (60 * minutes * 0.5, 60 * minutes * 0.7)),
    ]
    triggers = {
        one.name: {"formula": "queue-depth", "model": one.name, "target": "8", "holdFor": "20s"} for one in models
    }
    pages, grpc, admin = Pages(), free_port(), free_port()
    with tempfile.TemporaryDirectory(dir=folder) as place:
        prometheus = Prometheus(Path(place))
        jobs = [_job("llm-scaler", f"127.0.0.1:{admin}", "/metrics", honor=True, pod="llm-scaler-0")]
        jobs.append(_job("kube-state-metrics", f"127.0.0.1:{pages.port}", "/objects/metrics", honor=True))
        found = Path(place).resolve() / "pods.json"
        found.write_text("[]")
        jobs.append({"job_name": "pods", "file_sd_configs": [{"files": [str(found)], "refresh_interval": "1s"}]})
        prometheus.scrape(jobs)
        prometheus.start()
        command = [
            sys.executable,
            "-m",
            "scaler",
            "serve",
            "--prometheus",
            prometheus.url,
            "--kubernetes-enabled",
            "false",
        ]
        command += [
            "--grpc-address",
            f"127.0.0.1:{grpc}",
            "--admin-address",
            f"127.0.0.1:{admin}",
            "--grpc-drain",
            "0s",
        ]
        command += ["--defaults-interval", "2s", "--defaults-scale-down", "off"]
        serving = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            _await(f"http://127.0.0.1:{admin}/readyz")
            with Listener(f"127.0.0.1:{grpc}", triggers) as listener:
                _live(models, listener, pages, found, 60 * minutes)
                draw = (ROOT / "deploy/dashboards/draw.py", prometheus.url, folder)
                _call(sys.executable, *draw, "--minutes", minutes, "--workload", "default/llama")
        finally:
            serving.terminate()
            serving.wait()
            prometheus.kill()
            pages.close()
    for page in sorted(folder.glob("*.html")):
        _photograph(page)


def _job(name: str, target: str, path: str, *, honor: bool = False, **labels: str) -> dict[str, object]:
    static = [{"targets": [target], "labels": labels}]
    return {"job_name": name, "metrics_path": path, "honor_labels": honor, "static_configs": static}


def _live(models: list[Model], listener: Listener, pages: Pages, found: Path, seconds: float) -> None:
    """Let loads, answers and replicas follow each other; Prometheus finds the pods in a file."""
    began, known = time.monotonic(), list[str]()
    while (at := time.monotonic() - began) < seconds:
        for one in models:
            answers = listener.answers[one.name].values
            if answers:
                one.order(max(1, round(answers[-1][0])), at)
        now = {name: page for one in models for name, page in one.pages(at).items()}
        pods = [f"{one.name}-{place}" for one in models for place, since in enumerate(one.ready) if since <= at]
        if pods != known:
            known = pods
            targets = [{"targets": [f"127.0.0.1:{pages.port}"], "labels": _pod(name)} for name in pods]
            found.with_suffix(".new").write_text(json.dumps(targets))
            found.with_suffix(".new").rename(found)
        now["objects"] = "".join(one.told() for one in models)
        for gone in set(pages.pages) - set(now):
            del pages.pages[gone]
        pages.pages.update(now)
        time.sleep(0.5)


def _pod(name: str) -> dict[str, str]:
    return {"__metrics_path__": f"/{name}/metrics", "namespace": "default", "pod": name}


def _await(url: str) -> None:
    for _ in range(3000):
        try:
            urllib.request.urlopen(url, timeout=2)
            return
        except OSError:
            time.sleep(0.2)
    raise SystemExit(f"{url} did not answer")


def _photograph(page: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser:
        print(f"{page}: no Chromium is installed, so there is no picture")
        return
    rows = math.ceil(page.read_text().count("<section") / 2)
    size = f"--window-size={WIDTH},{HEAD + rows * ROW}"
    picture = page.with_suffix(".png")
    _call(
        browser,
        "--headless",
        "--hide-scrollbars",
        "--no-sandbox",
        "--disable-gpu",
        size,
        f"--screenshot={picture}",
        page.resolve().as_uri(),
    )
    print(picture)


def _call(*words: object) -> None:
    environment = {**os.environ, "HOME": tempfile.gettempdir()}
    subprocess.run([str(word) for word in words], check=True, env=environment, capture_output=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=6.0)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    run(options.folder, options.minutes)
