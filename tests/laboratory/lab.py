"""A whole cluster on this machine: real etcd, Kubernetes, KEDA, Karpenter and Prometheus; nodes and pods played by kwok and fleet.py.

    with Lab() as lab:
        lab.apply(model("llama", lab.fleet.port))
        lab.wait(lambda: lab.ready("llama") == 1, 60, "one pod is ready")

Everything listens on free ports, keeps its files below one folder, and is gone when the block is left, however it is left.
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar

import requests
import yaml
from laboratory import build, parts
from laboratory.api import Api, Object
from laboratory.certs import Authority
from laboratory.fleet import Fleet, Pods
from laboratory.objects import node
from laboratory.process import LabError, Part, Process, free_ports

T = TypeVar("T")
LOGS = build.CACHE / "logs"  # of the last runs that ended, a folder each
_KEPT = 6  # of them
_SCALED = ("ScaledObject", "ScaledJob")
_SCENERY = (  # what scenarios put in and what came of it, owners first
    *(*_SCALED, "Deployment", "StatefulSet", "ReplicaSet", "Job", "Pod"),
    *("HorizontalPodAutoscaler", "TriggerAuthentication", "Secret", "NodePool", "NodeClaim", "KWOKNodeClass"),
)


class Lab:
    """The cluster; a context manager that starts and stops it.

    Args:
        hpa_sync: seconds between two looks of the HPA (15 in the world).
        scrape: seconds between two scrapes of Prometheus.
        say: is told what is going on, a line at a time.
    """

    def __init__(self, *, hpa_sync: int = 15, scrape: int = 5, say: Callable[[str], None] = print) -> None:
        self.say = say
        self._hpa_sync = hpa_sync
        self._scrape = scrape
        self._processes: dict[str, Process] = {}
        self._scaled: set[str] = set()  # names of what earlier scenarios scaled
        self._own: frozenset[str] = frozenset()  # the cluster's parts, as against a scenario's programs
        self._pods: Pods | None = None

    def __enter__(self) -> Self:
        self.judges = build.build(self.say)
        began = time.monotonic()
        self.home, self._claim = new_home()
        try:
            self._prepare()
            self._start()
        except BaseException:
            self.close()
            raise
        self.say(f"lab: ready in {time.monotonic() - began:.1f} s")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every process and remove every file but the logs."""
        for process in self._processes.values():
            process.kill()
        if self._pods:
            self._pods.close()
        LOGS.mkdir(exist_ok=True)
        if (self.home / "logs").exists():
            (self.home / "logs").rename(LOGS / self.home.name)
        for old in sorted(LOGS.iterdir(), key=lambda path: path.stat().st_mtime)[:-_KEPT]:
            shutil.rmtree(old, ignore_errors=True)
        shutil.rmtree(self.home, ignore_errors=True)
        self._claim.close()

    @property
    def streams(self) -> int:
        """How many streams KEDA holds open for one trigger of type external-push."""
        return 2 if self.judges.version("keda") >= (2, 21) else 1  # StreamIsActive, and since 2.21 StreamMetricSpec

    # The cluster's objects.

    def apply(self, manifests: str | Object | Iterable[Object]) -> list[Object]:
        """Create or change objects, given as YAML or dicts (server-side apply), and return them as stored.

        Raises:
            LabError: a name that an earlier scenario scaled; KEDA would go on asking the scaler of that time.
        """
        stored = self.api.apply(manifests)
        again = self._scaled & {item["metadata"]["name"] for item in stored if item["kind"] in _SCALED}
        if again:
            raise LabError(f"{', '.join(again)} was scaled in an earlier scenario; KEDA and Prometheus remember it")
        return stored

    def get(self, kind: str, name: str, namespace: str = "default") -> Object | None:
        """Return one object, or None."""
        return self.api.get(kind, name, namespace)

    def events(self, name: str, reason: str = "", namespace: str = "default") -> list[str]:
        """Return the messages of the events about an object, oldest first."""
        return self.api.events(name, reason, namespace)

    def pods(self, app: str, namespace: str = "default") -> list[Object]:
        """Return the pods labelled app=`app`."""
        return self.api.items("Pod", namespace, f"app={app}")

    def ready(self, app: str, namespace: str = "default") -> int:
        """Return how many pods of `app` are ready."""
        return sum(condition(pod, "Ready") for pod in self.pods(app, namespace))

    def replicas(self, name: str, namespace: str = "default") -> int:
        """Return the replicas that a Deployment is asked for."""
        deployment = self.get("Deployment", name, namespace)
        return deployment["spec"]["replicas"] if deployment else 0

    def kubectl(self, *args: str) -> str:
        """Run kubectl as the administrator and return what it printed."""
        command = [
            self.site.program("kubectl"),
            f"--kubeconfig={self.kubeconfig}",
            f"--cache-dir={self.home}/kubectl",
        ]
        run = subprocess.run([*command, *args], capture_output=True, text=True, check=False)
        if run.returncode:
            raise LabError(f"kubectl {' '.join(args)} failed: {run.stderr.strip()}")
        return run.stdout

    def account(self, name: str, namespace: str = parts.SYSTEM) -> Path:
        """Return a kubeconfig for a service account, so that its RBAC rules hold; the account must exist."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        token = self.api.request("POST", path, {"spec": {"expirationSeconds": 86400}}) or {}
        return self._kubeconfig(f"{namespace}-{name}.kubeconfig", {"token": token["status"]["token"]})

    # Its programs.

    def kill(self, part: str) -> None:
        """End a part at once, as a lost machine would; `start` brings it back."""
        self._processes[part].kill()

    def stop(self, part: str) -> None:
        """End a part in good order; `start` brings it back."""
        self._processes[part].stop()

    def pause(self, part: str) -> None:
        """Freeze a part: connections are accepted and nothing answers; `resume` thaws it."""
        self._processes[part].pause()

    def resume(self, part: str) -> None:
        """Let a frozen part go on."""
        self._processes[part].resume()

    def start(self, part: str, *, empty: bool = False) -> None:
        """Start a stopped part again, with what it kept on disk or (`empty`) without, and wait until it is ready.

        Raises:
            LabError: it runs; a second one would take its place here, and nobody could end the first.
        """
        if self._processes[part].alive():
            raise LabError(f"{part} is already running")
        self._processes[part].start(empty)
        self._await(part)

    def run(self, part: Part) -> None:
        """Start one more program under the laboratory's eye, and wait until it is ready; it is ended if it does not become so."""
        self._launch(part)
        try:
            self._await(part.name)
        except BaseException:
            self.kill(part.name)
            raise

    def reset(self) -> None:
        """Bring back every part of the cluster and remove what a scenario put in, so that the next one starts from nothing."""
        for name, process in list(self._processes.items()):
            process.resume()
            if name not in self._own:
                process.kill()
                del self._processes[name]
            elif not process.alive():
                self.start(name)
        self.fleet.reset()
        self._scaled |= {item["metadata"]["name"] for kind in _SCALED for item in self.api.items(kind, "default")}
        for kind in _SCENERY:
            self.api.delete_all(kind)
        self.wait(lambda: not self._scenery(), 60, "what the scenario put in is gone")

    def log(self, part: str, lines: int = 20) -> str:
        """Return the end of a part's log."""
        return self._processes[part].tail(lines)

    def memory(self) -> dict[str, int]:
        """Return the resident memory of every running part, in MiB."""
        status = {
            name: Path(f"/proc/{process.pid}/status") for name, process in self._processes.items() if process.alive()
        }
        lines = {name: path.read_text().partition("VmRSS:")[2].split() for name, path in status.items()}
        return {name: int(words[0]) // 1024 for name, words in lines.items() if words}

    def cpu(self, part: str) -> float:
        """Return the seconds of CPU that a running part has used."""
        words = Path(f"/proc/{self._processes[part].pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def query(self, promql: str) -> dict[str, float]:
        """Ask Prometheus and return the value of each series by its `pod` label ('' without one)."""
        answer = requests.get(f"{self.prometheus_url}/api/v1/query", params={"query": promql}, timeout=2).json()
        return {series["metric"].get("pod", ""): float(series["value"][1]) for series in answer["data"]["result"]}

    def wait(self, predicate: Callable[[], T], timeout: float, what: str) -> T:
        """Ask until the answer is true and return it.

        Args:
            timeout: seconds.
            what: the awaited fact, for the message.
        Raises:
            LabError: it did not become true in time, or a part ended by itself meanwhile.
        """
        deadline = time.monotonic() + timeout
        while True:
            try:
                answer: T | None = predicate()
            except (requests.ConnectionError, requests.Timeout):  # whoever was asked is down, or busy
                answer = None
            if answer:
                return answer
            for process in self._processes.values():
                process.check()
            if time.monotonic() > deadline:
                raise LabError(f"not within {timeout:.0f} s: {what}")
            time.sleep(0.2)

    # How it comes about.

    def _prepare(self) -> None:
        (self.home / "logs").mkdir()
        ports = free_ports()
        self.authority = Authority(self.home / "certs")
        self.site = parts.Site(
            judges=self.judges,
            home=self.home,
            ports={name: next(ports) for name in parts.PORTS},
            authority=self.authority,
            server=self.authority.issue("localhost"),
            admin=self.authority.issue("admin", group="system:masters"),
            kubeconfig=self.home / "kubeconfig",
            hpa_sync=self._hpa_sync,
            scrape=self._scrape,
        )
        admin = self.site.admin
        self.kubeconfig = self._kubeconfig(
            "kubeconfig", {"client-certificate": str(admin.cert), "client-key": str(admin.key)}
        )
        self.prometheus_url = self.site.url("prometheus", scheme="http")
        self.fleet = Fleet(next(ports))
        self._pods = Pods(self.fleet.page, self.fleet.port)
        self.api = Api(self.site.url("apiserver"), self.authority.cert, admin.cert, admin.key)

    def _start(self) -> None:
        site = self.site
        self.run(parts.etcd(site))
        self.run(parts.apiserver(site))
        self._launch(parts.controllers(site))
        self._launch(parts.scheduler(site))
        self._launch(parts.prometheus(site, self.fleet.gateway))
        self._furnish()
        late = (parts.kwok, parts.keda_operator, parts.keda_adapter, parts.karpenter, parts.kube_state_metrics)
        for part in late:
            self._launch(part(site))
        for name in self._processes:
            self._await(name)
        self._own = frozenset(self._processes)

    def _furnish(self) -> None:
        """Put in what the parts need to find: definitions, the aggregated API, one node for what needs no GPU."""
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": parts.SYSTEM}})
        keda = self.judges.source("keda", "github.com/kedacore/keda/v2") / "config/crd"
        karpenter = self.judges.source("karpenter", "sigs.k8s.io/karpenter")
        definitions = list(yaml.load_all(self.kubectl("kustomize", str(keda)), yaml.CSafeLoader))
        for folder in ("pkg/apis/crds", "kwok/apis/crds"):
            definitions += [
                yaml.load(path.read_text(), yaml.CSafeLoader) for path in sorted((karpenter / folder).glob("*.yaml"))
            ]
        self.apply(definitions)
        names = {definition["metadata"]["name"] for definition in definitions}
        self.wait(lambda: names <= self._established(), 30, "the custom resources are established")
        service = {"name": "keda-metrics-apiserver", "namespace": parts.SYSTEM}
        self.apply(parts.aggregated(service, self.site.ports["adapter"], "external.metrics.k8s.io", "v1beta1"))
        self.apply(node("cpu-0"))

    def _established(self) -> set[str]:
        stored = self.api.items("CustomResourceDefinition")
        return {item["metadata"]["name"] for item in stored if condition(item, "Established")}

    def _scenery(self) -> list[Object]:
        return [item for kind in _SCENERY for item in self.api.items(kind, "default")]

    def _launch(self, part: Part) -> None:
        if part.name in self._processes and self._processes[part.name].alive():
            raise LabError(f"{part.name} is already running")
        process = self._processes[part.name] = Process(part, self.home, self.home / "logs")
        process.start()

    def _await(self, name: str) -> None:
        self.wait(self._processes[name].part.ready, 60, f"{name} is ready")

    def _kubeconfig(self, name: str, user: dict[str, Any]) -> Path:
        cluster = {"server": self.site.url("apiserver"), "certificate-authority": str(self.authority.cert)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": "lab", "user": user}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
            "current-context": "lab",
        }
        return self.site.write(name, yaml.safe_dump(config))


def new_home() -> tuple[Path, IO[str]]:
    """Make the folder of one run, claimed by a lock, and remove those whose run was killed before it could do so."""
    with (build.CACHE / "runs.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # or another start could take our folder for an abandoned one
        for old in build.CACHE.glob("run-*"):
            with contextlib.suppress(OSError), (old / "claim").open("w") as claim:
                fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(old)
        home = Path(tempfile.mkdtemp(prefix="run-", dir=build.CACHE))
        claim = (home / "claim").open("w")
        fcntl.flock(claim, fcntl.LOCK_EX)
    return home, claim


def condition(item: Object, kind: str) -> bool:
    conditions = item.get("status", {}).get("conditions") or []
    return any(condition["type"] == kind and condition["status"] == "True" for condition in conditions)
