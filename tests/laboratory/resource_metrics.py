"""The resource metrics API (metrics.k8s.io), which the HPA asks for CPU: every pod uses as much as a test says."""

import json
import ssl
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from laboratory import parts
from laboratory.lab import Lab

GROUP, VERSION = "metrics.k8s.io", "v1beta1"
SERVICE = {"name": "resource-metrics", "namespace": parts.SYSTEM}


class ResourceMetrics:
    """Serves the API for as long as the block runs; one for a cluster.

    Its `cores`, which every pod uses, may be changed at any time.
    """

    def __init__(self, lab: Lab) -> None:
        self.cores = 0.0
        self._lab = lab
        page = self._page

        class Handler(_Handler):
            pages = staticmethod(page)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(lab.site.server.cert, lab.site.server.key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, name="resource-metrics", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._lab.apply(parts.aggregated(SERVICE, self._server.server_port, GROUP, VERSION))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lab.api.delete("APIService", f"{VERSION}.{GROUP}")
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _page(self, path: str) -> dict[str, Any] | None:
        """Return what is at `path`, None if there is nothing."""
        url = urllib.parse.urlsplit(path)
        root = f"/apis/{GROUP}/{VERSION}"
        if url.path == root:
            verbs = {"name": "pods", "singularName": "pod", "namespaced": True, "kind": "PodMetrics", "verbs": ["list"]}
            return {
                "kind": "APIResourceList",
                "apiVersion": "v1",
                "groupVersion": f"{GROUP}/{VERSION}",
                "resources": [verbs],
            }
        if url.path != f"{root}/namespaces/default/pods":
            return None
        [selector] = urllib.parse.parse_qs(url.query).get("labelSelector", [""])
        pods = self._lab.api.items("Pod", "default", selector)
        running = [pod for pod in pods if pod["status"].get("podIP")]
        return {
            "kind": "PodMetricsList",
            "apiVersion": f"{GROUP}/{VERSION}",
            "metadata": {},
            "items": [self._usage(pod) for pod in running],
        }

    def _usage(self, pod: dict[str, Any]) -> dict[str, Any]:
        names = [container["name"] for container in pod["spec"]["containers"]]
        used = {"cpu": f"{self.cores * 1000:.0f}m", "memory": "1Gi"}
        return {
            "metadata": {key: pod["metadata"][key] for key in ("name", "namespace", "labels")},
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "window": "1s",  # of a pod that became ready less than this ago the HPA does not believe it
            "containers": [{"name": name, "usage": used} for name in names],
        }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    pages: Any

    def do_GET(self) -> None:
        page = self.pages(self.path)
        body = json.dumps(page or {}).encode()
        self.send_response(404 if page is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """What the HPA asks every few seconds is no news."""
