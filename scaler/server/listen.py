"""The gRPC server: where it listens, what it lets through, and how it leaves without losing a call.

KEDA keeps one connection per scaler address and sends no deadline, no keepalive and no retry (KEDA v2.20.2,
pkg/scalers/external_scaler.go). So connections are asked to come anew every few minutes, which is also how KEDA learns
of new servers; and a server that has to go first says so, ends its streams with OK, waits until its clients can have
moved, and answers all the while.
"""

import asyncio
import logging
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import grpc
from google.protobuf.internal import api_implementation
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha import reflection

from scaler.server.address import probe, split
from scaler.server.hang_up import hang_up
from scaler.server.servicer import EngineForCalls, ExternalScaler
from scaler.server.status import SERVICE, ErrorHandler, register
from scaler.server.streams import Streams
from scaler.server.tls import Certificates, TlsFiles

logger = logging.getLogger(__name__)

HANDSHAKE_MS = 20_000  # for which a connection may say nothing; gRPC's own default is two minutes
# Calls that gRPC has not taken in yet: as many as workloads that ask at once after a restart. By itself gRPC cancels
# some above 1,000. Each takes 25 kB with its connection, and 85 kB with all that it may send unasked: 425 MB at most.
MAX_PENDING = 5_000
LAST_ANSWERS, LOOK = 5.0, 0.02  # seconds for the calls that are under way at the end, and between looks at them
MAX_MESSAGE_BYTES = 4 * 1024 * 1024  # above what a trigger may hold, so that too much gets a sentence as its answer


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """The options of listening."""

    address: str = "0.0.0.0:6000"
    tls: TlsFiles | None = None
    max_connection_age: float = 300.0  # seconds; gRPC itself spreads it by a tenth
    drain: float = 5.0  # seconds between NOT_SERVING and the end, for clients to move on
    grace: float = 20.0  # seconds that clients may still come after that, and then that calls may take
    quiet_period: float = 1.0  # seconds without a call after which all clients count as gone; 0: at once
    reflection: bool = False
    max_streams: int = 5000

    def stream_age(self) -> float:
        """Return the seconds until a stream that opens now ends, well before its connection is cut."""
        return self.max_connection_age * random.uniform(0.6, 0.9)

    def options(self) -> list[tuple[str, int]]:
        """Return the server's options, by their names in gRPC."""
        age = round(self.max_connection_age * 1000)
        return [
            ("grpc.max_connection_age_ms", age),
            ("grpc.max_connection_age_grace_ms", age),  # longer than any stream that opened last of all
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.server.max_pending_requests", MAX_PENDING),
            ("grpc.server.max_pending_requests_hard_limit", MAX_PENDING),
            ("grpc.so_reuseport", 0),  # or a second server on the port would silently take half of the calls
            ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", 1000),
            ("grpc.http2.max_ping_strikes", 0),
        ]


class GrpcServer:
    """The gRPC server of one process; everything happens on one event loop.

    Args:
        engine: who decides.
        listen: how to listen.
        clock: seconds, for the durations of calls.
        observe: called with method, name of the status and seconds of every call that ended.
    """

    def __init__(
        self,
        engine: EngineForCalls,
        listen: ServerOptions,
        clock: Callable[[], float],
        observe: Callable[[str, str, float], None] = lambda _method, _code, _seconds: None,
    ) -> None:
        self.port = 0  # the port it listens on; 0 while it does not
        self.streams = Streams(listen.stream_age, listen.max_streams)
        self._engine = engine
        self._listen = listen
        self._boundary = ErrorHandler(clock, observe)
        self._health = health.HealthServicer()
        self._certificates = Certificates(listen.tls) if listen.tls else None
        self._draining = False
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: the address cannot be had.
        """
        _prefer_upb()
        server = grpc.aio.server(options=self._listen.options())
        scaler = ExternalScaler(self._engine, self.streams)
        register(self._boundary.wrap(scaler), server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        await self._health.set(SERVICE.full_name, health_pb2.HealthCheckResponse.SERVING)
        if self._listen.reflection:
            named = (SERVICE.full_name, "grpc.health.v1.Health", reflection.SERVICE_NAME)
            reflection.enable_server_reflection(named, server)
        port = self._bind(server)
        await server.start()
        self._server, self.port = server, port
        logger.info("listening", extra={"address": self._listen.address, "port": port, "tls": bool(self._certificates)})

    def _bind(self, server: grpc.aio.Server) -> int:
        address = self._listen.address
        split(address, "grpc.address")
        try:
            if self._certificates:
                return server.add_secure_port(address, self._certificates.credentials())
            return server.add_insecure_port(address)
        except RuntimeError as error:
            probe(address, "grpc.address")  # says why in plain words, if it can
            raise error from None

    async def stop(self) -> None:
        """Leave: no longer ready, streams end, clients get time to move on, calls under way are answered."""
        if self._server is None or self._draining:
            return
        self._draining = True
        logger.info("draining", extra={"streams": len(self.streams), "seconds": self._listen.drain})
        await self._health.enter_graceful_shutdown()
        self.streams.drain()
        await asyncio.sleep(self._listen.drain)
        if not await self._is_quiet():
            await self._hang_up()
        await self._server.stop(self._listen.grace)
        self.port = 0

    async def _is_quiet(self) -> bool:
        """Wait until no call has come for a while, and return whether that was so in time.

        gRPC's own stop cancels calls that were sent before the client heard of it (grpc/grpc#41785), so it is only for
        a server that nobody asks any more. A client leaves at the latest when its connection is too old, and that
        loses nothing: with `grace` above 1.1 x `max_connection_age` no call is lost whatever the load.
        """
        calm = self._listen.quiet_period
        if not calm:
            return True
        for _ in range(math.ceil(self._listen.grace / calm)):
            seen = self._boundary.calls
            await asyncio.sleep(calm)
            if seen == self._boundary.calls:
                return True
        return False

    async def _hang_up(self) -> None:
        """Leave clients that go on asking: what was asked is answered, and then each call is told UNAVAILABLE."""
        self._boundary.leaving = True
        for _ in range(math.ceil(LAST_ANSWERS / LOOK)):
            if not self._boundary.under_way:
                break
            await asyncio.sleep(LOOK)
        count = await asyncio.to_thread(hang_up, self.port)
        logger.warning("clients are still asking; their connections are ended", extra={"connections": count})

    def problem(self) -> str:
        """Say why it is not ready, or return an empty text."""
        if self._draining:
            return "draining"
        return "" if self.port else "not listening yet"

    async def warning(self) -> str:
        """Say what is wrong while it serves on: newer certificates that do not fit. Asking changes nothing."""
        if self._certificates is None:
            return ""
        return await asyncio.to_thread(self._certificates.problem)  # it reads files, and these may be slow

    def expirations(self) -> Mapping[str, float]:
        """Return when each of the certificates that are served ends; none without TLS."""
        return self._certificates.expirations() if self._certificates else {}


def _prefer_upb() -> None:
    """Say so when protobuf came without its C core: every call then costs 31 times the protobuf work."""
    kind = api_implementation.Type()
    if kind != "upb":
        logger.warning("protobuf does not use upb and is slow; reinstall it from a wheel", extra={"protobuf": kind})
