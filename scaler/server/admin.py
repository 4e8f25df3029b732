"""HTTP for people, probes and Prometheus. It shows what was decided, and can change nothing.

    GET /healthz                              the process turns
    GET /readyz[?verbose]                     it can be asked: formulas are read, the gRPC port listens
    GET /metrics                              own metrics
    GET /api/v1/decisions                     every workload in one line of JSON each
    GET /api/v1/explain/NAMESPACE/NAME        why, for every trigger of one object; [?format=text[&queries]]

With `admin.authorization: kubernetes` whoever asks shows a token of the cluster, and sees what they may (access.py).

Readiness does not depend on Prometheus: taking every server out of service would only turn an answer with a reason into
none.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from aiohttp import web
from aiohttp.http import HttpProcessingError
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from scaler.decision.decision import Decision
from scaler.decision.explain import explain
from scaler.decision.explanation import to_json
from scaler.decision.render import as_text
from scaler.model.errors import nearest
from scaler.model.objects import Cluster
from scaler.server import metrics
from scaler.server.access import EVERYWHERE, Access, Denied
from scaler.server.address import listen_error, split

HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
NAMED = 20  # objects that an answer names when it knows no such object
IDLE = 75.0  # seconds that a connection may take until its next request is whole; longer than Prometheus' usual minute


class EngineForPages(metrics.EngineForMetrics, Protocol):
    """The part of the engine that the pages need."""

    @property
    def cluster(self) -> Cluster:
        """The newest picture of the cluster."""
        ...

    def find(self, namespace: str, name: str) -> Sequence[Decision]:
        """Return the newest decisions of all triggers of one scaled object."""
        ...

    def refusals(self, namespace: str, name: str) -> Sequence[str]:
        """Say why triggers of one scaled object were refused."""
        ...


class ServerForPages(metrics.ServerForMetrics, Protocol):
    """The part of the gRPC server that the pages need."""

    def problem(self) -> str:
        """Say why it is not ready, or return an empty text."""
        ...


@dataclass(slots=True)
class AdminPages:
    """The parts that the pages are made of."""

    engine: EngineForPages
    server: ServerForPages
    counted: CollectorRegistry
    max_workloads: int = 1000  # workloads with metrics of their own
    endpoints: Mapping[str, str] = field(default_factory=dict)  # name -> why it cannot be read
    access: Access | None = None  # who may see what; None: whoever reaches the port

    def checks(self) -> Mapping[str, str]:
        """Return what must be right before KEDA may ask: name -> problem, or an empty text."""
        empty = "no formula could be read" if not self.engine.catalog.formulas else ""
        return {"formulas": empty, "grpc": self.server.problem()}

    async def warnings(self) -> Mapping[str, str]:
        """Return what is wrong and does not stop the service."""
        files = {f"formula file {file}": problem for file, problem in sorted(self.engine.catalog.problems.items())}
        workloads = {f"workload {key}": notice for key, notice in self.engine.notices().items()}
        certificates = await self.server.warning()
        cluster = {f"kubernetes {name}": problem for name, problem in sorted(self.engine.cluster.problems.items())}
        endpoints = {f"endpoint {name}": problem for name, problem in sorted(self.endpoints.items())}
        odd = {f"kubernetes objects {name}": said for name, said in self.engine.cluster.missing().items()}
        return files | workloads | endpoints | cluster | odd | ({"certificates": certificates} if certificates else {})

    async def metrics(self, request: web.Request) -> web.Response:
        """Write our own metrics in the form that is asked for; in a thread, since it may be many."""
        seen = metrics.MetricsSnapshot(
            decisions=tuple(self.engine.decisions()),
            fetches={name: (of.answered, of.failed, of.seconds) for name, of in self.engine.fetches.items()},
            catalog=self.engine.catalog,
            left_out=sum(map(len, self.engine.cluster.left_out.values())),
            old_formulas=len(self.engine.notices()),
            bad_certificate=bool(await self.server.warning()),
            expirations=self.server.expirations(),
            streams=len(self.server.streams),
            limit=self.max_workloads,
        )
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        body = await asyncio.to_thread(encode, metrics.SnapshotCollector(seen, self.counted))
        response = web.Response(body=body, headers={**HEADERS, "Content-Type": content_type})
        response.enable_compression()
        return response

    async def healthz(self, _request: web.Request) -> web.Response:
        """Answer, which shows that the event loop turns."""
        return web.Response(text="ok\n", headers=HEADERS)

    async def readyz(self, request: web.Request) -> web.Response:
        """Tell whether it can be asked; `?verbose` says what was looked at, and what else is wrong."""
        if self.access and "verbose" in request.query:
            await self.access.require(request, EVERYWHERE)
        checks = self.checks()
        ready = not any(checks.values())
        lines = ["ready" if ready else "not ready"]
        if "verbose" in request.query or not ready:
            lines += [f"[-] {name}: {problem}" if problem else f"[+] {name}" for name, problem in checks.items()]
        if "verbose" in request.query:
            warnings = await self.warnings()
            lines += [f"[!] {name}: {problem}" for name, problem in warnings.items()]
        return web.Response(text="\n".join(lines) + "\n", status=200 if ready else 503, headers=HEADERS)

    async def decisions(self, request: web.Request) -> web.Response:
        """Show the newest decision of every workload that may be seen, in short."""
        decisions = list(self.engine.decisions())
        if self.access:
            seen = await self.access.visible(request, {decision.key.namespace for decision in decisions})
            decisions = [decision for decision in decisions if decision.key.namespace in seen]
        rows = [_row(decision) for decision in decisions]
        return web.json_response({"decisions": rows}, headers=HEADERS)

    async def explain(self, request: web.Request) -> web.Response:
        """Explain every trigger of one scaled object."""
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        if self.access:
            await self.access.require(request, namespace)
        found = self.engine.find(namespace, name)
        if not found:
            refused = "; ".join(self.engine.refusals(namespace, name))
            error = f"{namespace}/{name} was refused: {refused}" if refused else self._unknown(f"{namespace}/{name}")
            return web.json_response({"error": error}, status=404, headers=HEADERS)
        notices, unknown = self.engine.notices(), self.engine.cluster.problems
        explained = [explain(decision, notices.get(decision.key, ""), unknown) for decision in found]
        if request.query.get("format") == "text":
            queries = "queries" in request.query
            return web.Response(text="\n".join(as_text(one, queries=queries) for one in explained), headers=HEADERS)
        return web.json_response({"decisions": [to_json(one) for one in explained]}, headers=HEADERS)

    def _unknown(self, asked: str) -> str:
        own = asked.partition("/")[0] if self.access else None  # names of others are not for everybody
        known = sorted({str(one.key) for one in self.engine.decisions() if own in {None, one.key.namespace}})
        named = ", ".join(known[:NAMED]) or "none yet; a workload is known from KEDA's first call on"
        return f"no decision for {asked}{nearest(asked, known)}; there are: {named}"


def _row(decision: Decision) -> Mapping[str, object]:
    key = decision.key
    return {
        "namespace": key.namespace,
        "name": key.name,
        "kind": key.kind,
        "trigger": key.trigger,
        "formula": decision.spec.formula,
        "at": decision.at,
        "certainty": decision.certainty,
        "replicas": decision.replicas,
        "active": decision.active,
        "reason": decision.reason,
    }


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def _denied(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Say who may not see it, and why."""
    try:
        return await handler(request)
    except Denied as error:
        headers = {**HEADERS, "WWW-Authenticate": "Bearer"} if error.status == 401 else HEADERS
        return web.json_response({"error": str(error)}, status=error.status, headers=headers)


def application(pages: AdminPages) -> web.Application:
    """Make the routes."""
    routes: Mapping[str, Handler] = {
        "/healthz": pages.healthz,
        "/readyz": pages.readyz,
        "/metrics": pages.metrics,
        "/api/v1/decisions": pages.decisions,
        "/api/v1/explain/{namespace}/{name}": pages.explain,
    }
    app = web.Application(middlewares=[_denied])
    app.add_routes([web.get(path, handler) for path, handler in routes.items()])
    return app


def _is_ours(record: logging.LogRecord) -> bool:
    """Tell whether aiohttp logs a fault of ours; what is no HTTP, such as gRPC at this port, is its sender's."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError | ConnectionError)


async def serve(pages: AdminPages, address: str, idle: float = IDLE) -> web.AppRunner:
    """Listen, until the runner that is returned is cleaned up.

    Args:
        pages: what is served.
        address: where to listen.
        idle: seconds after which a connection is closed that says nothing, or whose request is not whole by then.

    Raises:
        ConfigError: the address cannot be had.
    """
    host, port = split(address, "admin.address")
    logger = logging.getLogger(f"{__name__}.http")
    logger.addFilter(_is_ours)
    # aiohttp reckons this from the connection's first moment, and headers that come slowly do not move it.
    runner = web.AppRunner(application(pages), access_log=None, keepalive_timeout=idle, logger=logger)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        raise listen_error(address, "admin.address", error) from error
    return runner
