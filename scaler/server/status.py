"""Where our errors become gRPC's: one guard around every call, for status, metrics and the log.

An error of the tree carries its status and a sentence for the user. Anything else is a fault of ours: the log gets the
traceback, and the user is told to look there. It is put around the methods and not into gRPC as an interceptor, which
costs some 10 us more for each call.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from scaler.model.errors import ConfigError, NoAnswer, ScalerError
from scaler.server.pb import externalscaler_pb2 as pb

logger = logging.getLogger(__name__)

SERVICE = pb.DESCRIPTOR.services_by_name["ExternalScaler"]
MAX_DETAIL_BYTES = 2000  # gRPC drops a call whose trailers, percent-encoded, go over 8 KB

LEAVING = "this server is leaving; the next call reaches another, or this one once it is there again"
FAULT = "llm-scaler failed while it answered this call; its log says where, and that is worth a bug report"

Behaviour = Callable[[Any, Any], Awaitable[Any]]


class Unreadable:
    """A message that is not what the call takes."""


def register(guarded: SimpleNamespace, server: grpc.aio.Server) -> None:
    """Let a gRPC server answer by the guarded service.

    A message that cannot be read is refused by the guard: from gRPC itself its sender would get Python's words, and the
    log a traceback.
    """
    handlers = {}
    for method in SERVICE.methods:
        kind = grpc.unary_stream_rpc_method_handler if method.server_streaming else grpc.unary_unary_rpc_method_handler
        answer = getattr(pb, method.output_type.name)
        read = partial(_read, getattr(pb, method.input_type.name))
        handlers[method.name] = kind(getattr(guarded, method.name), read, answer.SerializeToString)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE.full_name, handlers)])
    server.add_registered_method_handlers(SERVICE.full_name, handlers)  # so that no method's calls wait for another's


def _read(message: Any, sent: bytes) -> Any:
    try:
        return message.FromString(sent)
    except DecodeError:
        return Unreadable()


class ErrorHandler:
    """Answers with a status whatever a method raises, and reports every call that ended.

    Args:
        clock: seconds, for spans.
        observe: called with method, name of the status and seconds.
    """

    def __init__(self, clock: Callable[[], float], observe: Callable[[str, str, float], None]) -> None:
        self.calls = 0  # that have come, streams not counted
        self.under_way = 0
        self.leaving = False  # nobody is answered any more
        self._clock = clock
        self._observe = observe

    def wrap(self, servicer: object) -> SimpleNamespace:
        """Return the service with all its methods guarded."""
        return SimpleNamespace(
            **{
                method.name: self._guarded(method.name, getattr(servicer, method.name), not method.server_streaming)
                for method in SERVICE.methods
            }
        )

    def _guarded(self, method: str, behaviour: Behaviour, counts: bool) -> Behaviour:
        clock, observe = self._clock, self._observe

        async def answer(request: Any, context: Any) -> Any:
            self.calls += counts
            self.under_way += 1
            started = clock()
            code = "CANCELLED"  # unless something else ends it first
            try:
                if self.leaving:
                    raise NoAnswer(LEAVING)
                if isinstance(request, Unreadable):
                    raise ConfigError("call", "", "is not a message of this service", "protobuf, with texts in UTF-8")
                reply = await behaviour(request, context)
                code = "OK"
                return reply
            except ScalerError as error:
                code = error.code
                await _abort(context, code, _detail(error))
            except grpc.aio.InternalError:  # from the connection, when a word cannot be sent any more
                raise asyncio.CancelledError from None
            except Exception:
                code = "INTERNAL"
                logger.exception("a call failed", extra={"method": method})
                await _abort(context, code, FAULT)
            finally:
                self.under_way -= 1
                observe(method, code, max(clock() - started, 0.0))

        return answer


async def _abort(context: Any, code: str, detail: str) -> None:
    try:
        await context.abort(grpc.StatusCode[code], detail)
    except grpc.aio.InternalError:  # its client is gone already
        raise asyncio.CancelledError from None


def _detail(error: ScalerError) -> str:
    """Return the error's text, cut to what a trailer holds."""
    return str(error).encode()[:MAX_DETAIL_BYTES].decode(errors="ignore")
