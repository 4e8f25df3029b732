"""A small kubelet: the pods that the scheduler binds to its node are real processes, each on a loopback address of its own.

It does what a model server meets of a kubelet: the pod's address is there before its process, readiness is what the
readinessProbe says, a process that ends is started again, and a pod that is deleted gets SIGTERM, its grace period, and
then SIGKILL; only afterwards it is gone from the API. A container's `command` is run as it stands, with `$(POD_IP)`
replaced; its image is not looked at.
"""

import contextlib
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import requests
from laboratory.api import Object
from laboratory.lab import Lab
from laboratory.process import LabError, Part, Process

TURN = 0.25  # seconds between two looks at the pods
HEARTBEAT = 60.0  # seconds between two signs of life of the node; it is given up after 10 minutes without
NETWORK = "127.66"  # of the pods' addresses; kwok's and the gateway's are others


class Kubelet:
    """One node and its pods, from entering the block until leaving it; then all its processes have ended.

    Args:
        lab: the cluster; kwok leaves the node alone.
        memory: what pods may ask for altogether, as a Kubernetes quantity: the machine is not overcommitted.
    """

    def __init__(self, lab: Lab, name: str = "engine-0", *, memory: str = "6Gi") -> None:
        self.name = name
        self._lab = lab
        self._memory = memory
        self._pods: dict[str, _Pod] = {}  # by UID
        self._claim, network = _own_network()
        self._addresses = (f"{network}.{number}" for number in range(1, 255))
        self._beaten = 0.0  # when the node last gave a sign of life
        self._error: Exception | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"kubelet-{name}", daemon=True)

    def __enter__(self) -> Self:
        self._lab.apply(_node(self.name, self._memory))
        self._beat()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        with contextlib.suppress(requests.RequestException, LabError):  # the cluster may be what has failed
            self._lab.api.delete("Node", self.name)  # first, or what its pods belong to would fill it again
        for pod in self._pods.values():
            pod.kill()
            with contextlib.suppress(requests.RequestException, LabError):
                self._remove(pod)
        self._claim.close()

    def check(self) -> None:
        """Raise what ended the kubelet, if anything did."""
        if self._error:
            raise LabError("the kubelet has ended by an error") from self._error

    def processes(self) -> dict[str, int]:
        """Return the process of every container that runs, as POD/CONTAINER: its id."""
        return {
            f"{pod.name}/{name}": process.pid
            for pod in list(self._pods.values())
            for name, process in pod.processes.items()
            if process.pid is not None
        }

    def log(self, pod: str, lines: int = 20) -> str:
        """Return the end of the logs of a pod's containers, also when it is gone."""
        logs = sorted((self._lab.home / "logs").glob(f"{pod}-*.log"))
        return "\n".join("\n".join(path.read_text(errors="replace").splitlines()[-lines:]) for path in logs)

    # ---- the loop ----

    def _run(self) -> None:
        try:
            while not self._over.wait(TURN):
                with contextlib.suppress(requests.ConnectionError, requests.Timeout):  # the API server is down
                    self._turn()
        except Exception as error:  # noqa: BLE001 - whatever it is, check() raises it
            self._error = error

    def _turn(self) -> None:
        if time.monotonic() - self._beaten > HEARTBEAT:
            self._beat()
        bound = {item["metadata"]["uid"]: item for item in self._bound()}
        for uid, item in bound.items():
            deleted = "deletionTimestamp" in item["metadata"]
            if uid not in self._pods and not deleted:
                self._pods[uid] = self._start(item)
            elif uid not in self._pods:
                self._remove(_Pod(item, "", {}))
            elif deleted:
                self._end(self._pods[uid], item)
            else:
                self._look_after(self._pods[uid])
        for uid in self._pods.keys() - bound.keys():  # removed by force
            self._pods.pop(uid).kill()

    def _bound(self) -> Iterator[Object]:
        for item in self._lab.api.items("Pod"):
            if item["spec"].get("nodeName") == self.name:
                yield item

    def _start(self, item: Object) -> "_Pod":
        address = next(self._addresses)
        processes = {
            container["name"]: Process(_part(item, container, address), self._lab.home, self._lab.home / "logs")
            for container in item["spec"]["containers"]
        }
        pod = _Pod(item, address, processes)
        for process in processes.values():
            process.start()
        self._report(pod)
        return pod

    def _look_after(self, pod: "_Pod") -> None:
        """Start again what has ended, and tell Kubernetes what is ready."""
        changed = False
        for name, process in pod.processes.items():
            if not process.alive():
                process.start()
                pod.restarts[name] = pod.restarts.get(name, 0) + 1
                changed = True
        ready = all(_probed(container, pod.address) for container in pod.item["spec"]["containers"])
        if changed or ready != pod.ready:
            pod.ready = ready
            self._report(pod)

    def _end(self, pod: "_Pod", item: Object) -> None:
        """SIGTERM at once, SIGKILL when the grace period is over, and off the list when nothing runs."""
        now = time.monotonic()
        if pod.ending is None:
            pod.ending = now + item["metadata"]["deletionGracePeriodSeconds"]
            pod.signal(signal.SIGTERM)
            pod.ready = False
            self._report(pod)
        if any(process.alive() for process in pod.processes.values()) and now < pod.ending:
            return
        pod.kill()
        self._remove(pod)
        self._pods.pop(item["metadata"]["uid"], None)

    # ---- what Kubernetes is told ----

    def _report(self, pod: "_Pod") -> None:
        always = ("PodScheduled", "Initialized")
        said = dict.fromkeys(always, "True") | dict.fromkeys(("ContainersReady", "Ready"), str(pod.ready))
        conditions = [
            {"type": kind, "status": status, "lastTransitionTime": pod.since(kind, status)}
            for kind, status in said.items()
        ]
        statuses = [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "",
                "ready": pod.ready,
                "started": True,
                "restartCount": pod.restarts.get(container["name"], 0),
                "state": {"running": {"startedAt": pod.started}},
            }
            for container in pod.item["spec"]["containers"]
        ]
        status = {
            "phase": "Running",
            "startTime": pod.started,
            "hostIP": "127.0.0.1",
            "podIP": pod.address,
            "podIPs": [{"ip": pod.address}],
            "conditions": conditions,
            "containerStatuses": statuses,
        }
        with contextlib.suppress(LabError):  # it was removed by force meanwhile
            self._lab.api.patch("Pod", pod.name, {"status": status}, pod.namespace, "status")

    def _remove(self, pod: "_Pod") -> None:
        path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}"
        same = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod.item["metadata"]["uid"]}}
        self._lab.api.request("DELETE", path, same, missing=True)

    def _beat(self) -> None:
        now = _timestamp()
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now}
        self._lab.api.patch("Node", self.name, {"status": {"conditions": [ready]}}, subresource="status")
        self._beaten = time.monotonic()


def _timestamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(slots=True)
class _Pod:
    item: Object  # as it was bound
    address: str
    processes: dict[str, Process]  # by container
    ready: bool = False
    restarts: dict[str, int] = field(default_factory=dict)  # by container
    started: str = field(default_factory=_timestamp)
    ending: float | None = None  # when its grace period is over
    changed: dict[str, tuple[str, str]] = field(default_factory=dict)  # by condition: its status, and since when

    def since(self, condition: str, status: str) -> str:
        """Return since when a condition has a status; a kubelet moves that time only when the status changes."""
        if self.changed.get(condition, ("", ""))[0] != status:
            self.changed[condition] = (status, _timestamp())
        return self.changed[condition][1]

    @property
    def name(self) -> str:
        return str(self.item["metadata"]["name"])

    @property
    def namespace(self) -> str:
        return str(self.item["metadata"]["namespace"])

    def signal(self, number: int) -> None:
        """Send a signal to each container's first process, as a container runtime does."""
        for process in self.processes.values():
            if process.alive() and process.pid is not None:
                os.kill(process.pid, number)

    def kill(self) -> None:
        """End every process of the pod, and theirs, at once."""
        for process in self.processes.values():
            pid = process.pid
            process.kill()
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):  # nothing is left of its group
                    os.killpg(pid, signal.SIGKILL)


def _own_network() -> tuple[socket.socket, str]:
    """Return addresses that no other kubelet on this machine gives out, and what claims them until it is closed.

    Raises:
        LabError: all are taken.
    """
    for number in random.sample(range(255), 255):
        claim = socket.socket(socket.AF_UNIX)
        with contextlib.suppress(OSError):
            claim.bind(f"\0llm-scaler-kubelet-{number}")  # a name without a file, which goes when this process does
            return claim, f"{NETWORK}.{number}"
        claim.close()
    raise LabError("255 kubelets run on this machine already")


def _part(item: Object, container: Object, address: str) -> Part:
    command = tuple(word.replace("$(POD_IP)", address) for word in container["command"])
    env = {variable["name"]: variable["value"] for variable in container.get("env", ())}
    return Part(f"{item['metadata']['name']}-{container['name']}", command, ready=lambda: True, env=env)


def _probed(container: Object, address: str) -> bool:
    """Whether a container's readinessProbe says yes; one without is ready."""
    probe = container.get("readinessProbe")
    if not probe:
        return True
    wanted = probe["httpGet"]
    try:
        answer = requests.get(
            f"http://{address}:{wanted['port']}{wanted['path']}", timeout=probe.get("timeoutSeconds", 1)
        )
    except requests.RequestException:
        return False
    return answer.ok


def _node(name: str, memory: str) -> Object:
    room = {"cpu": "64", "memory": memory, "pods": "20"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}},
        "status": {"capacity": room, "allocatable": room},
    }
