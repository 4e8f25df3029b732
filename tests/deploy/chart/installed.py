"""The chart, installed by Helm into the laboratory's API server; and what the kubelet would do there: the stored Deployment's
container as a process, its ConfigMaps and Secrets as files, and its ServiceAccount's token.
"""

import base64
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from chart.helm import CHART, ROOT, HelmError, Object, Values, tool, written
from laboratory.lab import Lab
from laboratory.llm_scaler import LlmScaler
from laboratory.process import Part, answers, free_ports

NAMESPACE = "keda"
MOUNTED = "/etc/llm-scaler"  # where the chart mounts everything


class Release:
    """The release llm-scaler in KEDA's namespace. Its hooks are left out: nobody here would run them.

    Args:
        lab: where it is installed.
        values: of the chart; what `words` set goes before them.
        words: that `helm install` is given: the release, the chart, and more.
    """

    def __init__(self, lab: Lab, values: Values, words: Sequence[str] = ("llm-scaler", str(CHART))) -> None:
        self._lab = lab
        with written(values) as file:
            self._helm("install", *words, "--values", file, "--no-hooks")

    def upgrade(self, values: Values, chart: Path = CHART) -> None:
        """Install other values over it, and another version of the chart."""
        with written(values) as file:
            self._helm("upgrade", "llm-scaler", str(chart), "--values", file, "--no-hooks")

    def uninstall(self) -> None:
        """Take it away."""
        self._helm("uninstall", "llm-scaler")

    def _helm(self, *arguments: str) -> None:
        command = [tool("helm"), *arguments, "--namespace", NAMESPACE, "--kubeconfig", self._lab.kubeconfig]
        home = {"HOME": str(self._lab.home)}  # for what Helm keeps
        done = subprocess.run(command, cwd=ROOT, env=home, capture_output=True, text=True, check=False)
        if done.returncode:
            raise HelmError(f"helm {arguments[0]}: {done.stderr[-3000:]}")


class Container(LlmScaler):
    """The container of the release's Deployment, run here.

    Args:
        lab: where the release is.
        folder: what is mounted is written below it.
        name: tells it from another pod of the release.
    """

    def __init__(self, lab: Lab, folder: Path, name: str = "llm-scaler") -> None:
        self.name, self._lab, self._folder = name, lab, folder
        ports = free_ports()
        self.address, self.admin = f"localhost:{next(ports)}", f"http://127.0.0.1:{next(ports)}"
        self._pod = self._stored("Deployment", "llm-scaler")["spec"]["template"]["spec"]
        (container,) = self._pod["containers"]
        self.mount()
        token = lab.account(self._pod["serviceAccountName"])
        self._part = Part(
            self.name,
            (
                *(sys.executable, "-m", "scaler"),
                *(word.replace(MOUNTED, str(folder)) for word in container["args"]),
                # What differs here: there is one machine, and the token is in a kubeconfig.
                *("--grpc-address", self.address.replace("localhost", "127.0.0.1")),
                *("--admin-address", self.admin.removeprefix("http://"), "--grpc-drain", "0s", "--log-format", "text"),
                *("--kubernetes-kubeconfig", str(token)),
            ),
            ready=answers(f"{self.admin}/readyz"),
        )

    def mount(self) -> None:
        """Write what the pod mounts, as it is now."""
        (container,) = self._pod["containers"]
        volumes = {volume["name"]: volume for volume in self._pod["volumes"]}
        for mount in container["volumeMounts"]:
            place = self._folder / mount["mountPath"].removeprefix(MOUNTED).lstrip("/")
            place.mkdir(parents=True, exist_ok=True)
            for name, content in self._content(volumes[mount["name"]]).items():
                (place / name).write_bytes(content.replace(MOUNTED.encode(), str(self._folder).encode()))

    def _content(self, volume: Object) -> Mapping[str, bytes]:
        if "configMap" in volume:
            data = self._stored("ConfigMap", volume["configMap"]["name"])["data"]
            return {name: text.encode() for name, text in data.items()}
        data = self._stored("Secret", volume["secret"]["secretName"])["data"]
        return {name: base64.b64decode(text) for name, text in data.items()}

    def _stored(self, kind: str, name: str) -> Object:
        found = self._lab.get(kind, name, NAMESPACE)
        assert found, f"there is no {kind} {name}"
        return found
