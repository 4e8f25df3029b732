"""llm-scaler itself in the laboratory: `llm-scaler serve` as a process of its own, and what it says about itself."""

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests
from laboratory.lab import Lab
from laboratory.process import Part, answers, free_ports

from scaler.config.catalog import shipped_formulas

Data = dict[str, Any]
RBAC = Path(__file__).resolve().parents[2] / "deploy" / "rbac.yaml"


class LlmScaler:
    """One process of llm-scaler, with the laboratory's Prometheus as its source.

    Args:
        lab: where it runs; it is ended when the scenario is over.
        flags: of `llm-scaler serve`, over those below.
        name: tells it from other processes of the laboratory.
        formulas: the folder of formula files; a copy of the shipped ones, for the scenario to edit, unless given.
        kubernetes: whether it may watch the cluster; without, it knows what kube-state-metrics says.
        source: a folder with the source of another revision, to run that; this one unless given.
    """

    def __init__(
        self,
        lab: Lab,
        *flags: str,
        name: str = "llm-scaler",
        formulas: Path | None = None,
        kubernetes: bool = True,
        source: Path | None = None,
    ) -> None:
        ports = free_ports()
        self.name = name
        self.address = f"localhost:{next(ports)}"  # what a trigger names
        self.admin = f"http://127.0.0.1:{next(ports)}"
        self.formulas = formulas or _copied(lab.home / "formulas")
        self._lab = lab
        watched = ("--kubernetes-kubeconfig", str(_account(lab))) if kubernetes else ("--kubernetes-enabled", "false")
        env = {"PYTHONPATH": str(source)} if source else {}
        settings = (
            *("--prometheus", lab.prometheus_url, "--formulas", str(self.formulas)),
            *("--grpc-address", self.address.replace("localhost", "127.0.0.1")),
            *("--admin-address", self.admin.removeprefix("http://"), "--grpc-drain", "1s", "--log-format", "text"),
            *("--defaults-interval", "1s", "--defaults-hold-for", "60s", "--defaults-idle-for", "10s"),
            *("--defaults-scale-down", "off"),  # what is certain is seen at once
            *watched,
            *flags,
        )
        command = (sys.executable, "-m", "scaler", "serve")
        self._part = Part(
            name,
            (*command, *(_known(settings, command, source) if source else settings)),
            ready=answers(f"{self.admin}/readyz"),
            env=env,
        )

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        self._lab.run(self._part)

    def kill(self) -> None:
        """End it at once, as a lost machine would."""
        self._lab.kill(self.name)

    def stop(self) -> None:
        """End it in good order, as a rollout does."""
        self._lab.stop(self.name)

    def explain(self, name: str, trigger: str = "") -> Data:
        """Return the newest decision for a scaled object of the namespace `default`; empty if there is none.

        Args:
            name: of the scaled object.
            trigger: the `id` of one of its triggers; the only one, or any, unless given.
        """
        found = requests.get(f"{self.admin}/api/v1/explain/default/{name}", timeout=5)
        decisions = found.json()["decisions"] if found.ok else []
        meant = (decision for decision in decisions if trigger in ("", decision["workload"]["trigger"]))
        return dict(next(meant, {}))

    def reason(self, name: str) -> str:
        """Return the one sentence of the newest decision."""
        return str(self.explain(name).get("reason", ""))

    def text(self, name: str) -> str:
        """Return what `llm-scaler explain` shows."""
        return requests.get(f"{self.admin}/api/v1/explain/default/{name}?format=text", timeout=5).text

    def warnings(self) -> str:
        """Return what /readyz?verbose says."""
        return requests.get(f"{self.admin}/readyz?verbose", timeout=5).text

    def cpu(self) -> float:
        """Return the seconds of CPU that it has used."""
        return self._lab.cpu(self.name)

    def metric(self, name: str) -> float:
        """Return the sum of the series of one of its own metrics, given as NAME or NAME{LABELS}; 0 if there are none."""
        page = requests.get(f"{self.admin}/metrics", headers={"Accept": "text/plain"}, timeout=5).text
        lines = [line for line in page.splitlines() if line.startswith((f"{name} ", f"{name.rstrip('}')}"))]
        return sum(float(line.rpartition(" ")[2]) for line in lines)


def _account(lab: Lab) -> Path:
    """A kubeconfig with exactly the rights that users are told to give."""
    lab.apply(RBAC.read_text())
    return lab.account("llm-scaler")


def _known(settings: Sequence[str], command: Sequence[str], source: Path) -> list[str]:
    """Return the flags, each with its value, that the llm-scaler of another revision has."""
    run = subprocess.run([*command, "--help"], cwd=source, capture_output=True, text=True, check=True)
    flags = set(re.findall(r"--[a-z-]+", run.stdout))
    pairs = zip(settings[::2], settings[1::2], strict=True)
    return [word for flag, value in pairs if flag in flags for word in (flag, value)]


def _copied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return Path(shutil.copytree(shipped_formulas(), folder))
