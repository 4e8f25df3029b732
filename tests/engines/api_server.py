"""Pods and Nodes behind a real socket, as far as a kubelet and a gateway ask for them: for tests without a cluster.

Objects are put in as they are; a pod that is deleted stays until its grace period is set to nothing, as in Kubernetes.
"""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from laboratory.api import Api, Object

KINDS = {"nodes": "Node", "pods": "Pod"}


class Cluster:
    """What a kubelet needs of a laboratory: `api`, `apply` and `home`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        (home / "logs").mkdir(exist_ok=True)
        self.objects: dict[tuple[str, str], Object] = {}  # by plural and name
        self.lock = threading.RLock()
        cluster = self

        class Handler(_Handler):
            world = cluster

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        (unused := home / "unused").touch()  # of TLS, which there is none of
        self.api = Api(self.url, unused, unused, unused)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def apply(self, item: Object) -> None:
        """Put an object in, with an identity."""
        item = json.loads(json.dumps(item))
        item["metadata"].setdefault("uid", f"{item['metadata']['name']}-{time.monotonic_ns()}")
        with self.lock:
            self.objects[f"{item['kind'].lower()}s", item["metadata"]["name"]] = item

    def pod(self, name: str) -> Object | None:
        with self.lock:
            return self.objects.get(("pods", name))

    def delete_pod(self, name: str, grace: int) -> None:
        """Ask for a pod's end, as `kubectl delete` does."""
        with self.lock:
            meta = self.objects["pods", name]["metadata"]
            meta |= {"deletionTimestamp": "2026-11-29T00:00:00Z", "deletionGracePeriodSeconds": grace}


class _Handler(BaseHTTPRequestHandler):
    world: Cluster
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path, plural, _ = self._path()
        if path in ("/api", "/apis"):
            resources = [
                {
                    "resource": plural,
                    "responseKind": {"kind": kind},
                    "scope": "Namespaced" if kind == "Pod" else "Cluster",
                }
                for plural, kind in KINDS.items()
            ]
            group = {"metadata": {}, "versions": [{"version": "v1", "resources": resources}]}
            return self._send(200, {"items": [group] if path == "/api" else []})
        wanted = parse_qs(urlsplit(self.path).query).get("labelSelector", [""])[0]
        with self.world.lock:
            found = [
                item for (kind, _), item in self.world.objects.items() if kind == plural and _matches(item, wanted)
            ]
            return self._send(200, {"items": found})

    def do_PATCH(self) -> None:
        _, plural, name = self._path()
        change = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.world.lock:
            item = self.world.objects.get((plural, name))
            if item is None:
                return self._send(404, {})
            item.setdefault("status", {}).update(change.get("status", {}))
            return self._send(200, item)

    def do_DELETE(self) -> None:
        _, plural, name = self._path()
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.world.lock:
            gone = self.world.objects.pop((plural, name), None)
        self._send(200 if gone else 404, {})

    def _path(self) -> tuple[str, str, str]:
        """The path, the plural in it, and the name."""
        path = urlsplit(self.path).path
        words = [word for word in path.split("/") if word]
        at = next((place for place, word in enumerate(words) if word in KINDS), len(words))
        return path, *(*words[at : at + 2], "", "")[:2]

    def _send(self, status: int, tree: Any) -> None:
        body = json.dumps(tree).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _matches(item: Object, selector: str) -> bool:
    labels = item["metadata"].get("labels", {})
    pairs = [pair.split("=") for pair in selector.split(",") if pair]
    return all(labels.get(name) == value for name, value in pairs)
