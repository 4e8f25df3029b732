"""The Deployments whose pods are real programs: a model server, and the gateway before it."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engines import servers
from engines.install import installed
from engines.servers import MODEL
from laboratory.api import Api, Object

PORT = 8000  # of every pod, each on an address of its own; a second engine of a pod has the next one
GRACE = 120  # seconds in which a pod may end what it has begun
START = 1800  # seconds that vLLM may take to come up; it is a minute on a machine of its own
MEMORY = "2900Mi"  # that a replica is reckoned with; it takes about 2.5 GB


def engine(home: Path, name: str, node: str, *flags: str, ports: Sequence[int] = (PORT,)) -> Object:
    """A Deployment of vLLM, which ends what it has begun when its pod is deleted.

    Args:
        home: the folder that the model's files are written to.
        name: of the Deployment, and the label `app` of its pods.
        node: where they run.
        flags: of vLLM, over those that it needs here.
        ports: of a pod's engines, each a container of its own.
    """
    containers = [_engine(home, port, flags) for port in ports]
    return _deployment(name, node, containers, replicas=0)


def gateway(api: Api, name: str, node: str, app: str, limit: int) -> Object:
    """A Deployment of the gateway before the pods labelled app=`app`, each of which gets `limit` requests at a time."""
    command = (
        *(sys.executable, "-m", "engines.lab.gateway", "--listen", f"$(POD_IP):{PORT}", "--model", MODEL, "--app", app),
        *("--limit", str(limit), "--api", api.url, "--ca", str(api.files[0])),
        *("--cert", str(api.files[1]), "--key", str(api.files[2])),
    )
    tests = Path(__file__).resolve().parents[2]
    container = _container(command, {"PYTHONPATH": os.pathsep.join(map(str, (tests, tests.parent)))})
    ready = {"httpGet": {"path": "/health", "port": PORT}, "periodSeconds": 1}
    return _deployment(name, node, [container | {"readinessProbe": ready}], replicas=1)


def pod(deployment: Object, name: str) -> Object:
    """A pod of a Deployment, as it is when the scheduler has bound it."""
    template = deployment["spec"]["template"]
    node = template["spec"]["nodeSelector"]["kubernetes.io/hostname"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], "name": name, "namespace": deployment["metadata"]["namespace"]},
        "spec": {**template["spec"], "nodeName": node},
    }


def _engine(home: Path, port: int, flags: Sequence[str]) -> Object:
    drain = ("--shutdown-timeout", str(GRACE - 10))
    part = servers.vllm(installed("vllm"), home, "$(POD_IP)", port, *drain, *flags)
    ready = {"httpGet": {"path": "/health", "port": port}, "periodSeconds": 1, "timeoutSeconds": 2}
    room = {"resources": {"requests": {"memory": MEMORY}}}
    return _container(part.command, dict(part.env), port) | {"readinessProbe": ready} | room


def _container(command: tuple[str, ...], env: dict[str, str], port: int = PORT) -> dict[str, Any]:
    """A container; what is on the first port has the usual names, what is on others is called after its port."""
    suffix = "" if port == PORT else f"-{port}"
    return {
        "name": f"server{suffix}",
        "image": "none",
        "command": list(command),
        "env": [{"name": name, "value": value} for name, value in env.items()],
        "ports": [{"name": f"http{suffix}", "containerPort": port}],
    }


def _deployment(name: str, node: str, containers: list[dict[str, Any]], replicas: int) -> Object:
    pod = {
        "metadata": {"labels": {"app": name}},
        "spec": {
            "containers": containers,
            "nodeSelector": {"kubernetes.io/hostname": node},
            "terminationGracePeriodSeconds": GRACE,
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": pod},
    }
