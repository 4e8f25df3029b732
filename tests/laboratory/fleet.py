"""Every pod of the laboratory, played by one HTTP server that looks at the address it was called on.

kwok gives pods addresses in 127.64.0.0/16, all of which reach this machine. The gateway, where requests wait while no pod is there,
has an address of its own outside that network.
"""

import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from scaler.sim import pages
from scaler.sim.histogram import ITL, TTFT, Buckets, Histogram
from scaler.sim.replica import ReplicaFacts

GATEWAY = "127.65.0.1"
_NO_TTFT, _NO_ITL = Histogram(TTFT).buckets(), Histogram(ITL).buckets()


@dataclass(frozen=True, slots=True)
class Load:
    """What one pod's vLLM has to do, and has done; the numbers are those of the simulator's ReplicaFacts."""

    model: str = "llama"
    waiting: int = 0  # requests
    running: int = 0  # requests
    kv_usage: float = 0.0  # share of the KV cache, 0..1
    prompt_tokens: int = 0  # since it started, as all below
    generation_tokens: int = 0
    finished: int = 0  # requests
    preemptions: int = 0
    ttft: Buckets = _NO_TTFT
    itl: Buckets = _NO_ITL
    tpot: Buckets = _NO_ITL


@dataclass(slots=True)
class Fleet:
    """The numbers on the pages of pods and gateway; tests change them at will, or let a simulation do it.

    A pod has the load of its address in `loads`, or else `load`; None stands for a server that is not up (yet): 503.
    """

    port: int  # of every pod and of the gateway
    load: Load | None = Load()
    loads: dict[str, Load | None] = field(default_factory=dict)  # by pod address
    queued: dict[str, int] = field(default_factory=dict)  # requests at the gateway, by model
    gateways: dict[str, dict[str, int]] = field(default_factory=dict)  # the same of pods that are gateways, by address
    drift: dict[str, float] = field(default_factory=dict)  # of validation, by model; told on the gateway's page

    def reset(self) -> None:
        """Nothing to do, nowhere, and every server is up."""
        self.load = Load()
        self.loads.clear()
        self.queued.clear()
        self.gateways.clear()
        self.drift.clear()

    @property
    def gateway(self) -> str:
        return f"{GATEWAY}:{self.port}"

    def page(self, address: str) -> str | None:
        """Return the metrics page of whoever is at `address`, None if it is not up."""
        if address == GATEWAY:
            drift = (f'validation_drift{{model="{model}"}} {value}\n' for model, value in dict(self.drift).items())
            return pages.gateway(dict(self.queued)) + "".join(drift)
        if address in self.gateways:
            return pages.gateway(dict(self.gateways[address]))
        load = self.loads.get(address, self.load)
        return _vllm(load) if load else None


def _vllm(load: Load) -> str:
    numbers = {item.name: getattr(load, item.name) for item in fields(load) if item.name != "model"}
    return pages.vllm(ReplicaFacts(serial=0, phase="ready", ordered=0.0, **numbers), load.model)


class Pods:
    """Serves `page(address)` as /metrics of every loopback address, on one port, until closed."""

    def __init__(self, page: Callable[[str], str | None], port: int) -> None:
        class Handler(_Handler):
            pages = staticmethod(page)

        # All of 127.0.0.0/8 is wanted, which no single address but this one covers; strangers are turned away below.
        self._server = _Server(("0.0.0.0", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="pods", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # scrapers keep their connections
    request_queue_size = 128

    def verify_request(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: tuple[str, int]
    ) -> bool:
        return client_address[0].startswith("127.")

    def handle_error(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: tuple[str, int]
    ) -> None:
        """A caller that hangs up is no news."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds that an idle connection is kept
    pages: Callable[[str], str | None]

    def do_GET(self) -> None:
        page = self.pages(self.connection.getsockname()[0])
        found = self.path in ("/metrics", "/health")
        body = (page or "").encode() if self.path == "/metrics" else b""
        self.send_response((200 if page is not None else 503) if found else 404)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """A page a second from every pod is no news."""
