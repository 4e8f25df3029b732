"""Where our errors become gRPC's: one interceptor around every call of ours, for status, metrics and the log.

An error of the tree carries its status and a sentence for the user. Anything else is a fault of ours: the log gets the
traceback, the wire gets "internal error".
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc

from scaler.errors import ScalerError

logger = logging.getLogger(__name__)

SERVICE = "externalscaler.ExternalScaler"
MAX_DETAIL_BYTES = 2000  # gRPC drops a call whose trailers, percent-encoded, go over 8 KB

Behaviour = Callable[[Any, Any], Awaitable[Any]]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class Boundary(grpc.aio.ServerInterceptor):
    """Answers with a status whatever a handler raises, and reports every call that ended.

    Args:
        clock: seconds, for spans.
        observe: called with method, name of the status and seconds.
    """

    def __init__(self, clock: Callable[[], float], observe: Callable[[str, str, float], None]) -> None:
        self.calls = 0  # that have come, streams not counted
        self._clock = clock
        self._observe = observe
        self._guarded: dict[str, Handler] = {}  # a handful: only methods that exist

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """Return the handler, guarded if it is ours."""
        path = handler_call_details.method
        if path in self._guarded:
            return self._guarded[path]
        handler = await continuation(handler_call_details)
        service, _, method = path.lstrip("/").partition("/")
        if handler is None or service != SERVICE:
            return handler
        return self._guarded.setdefault(path, self._guard(method, handler))

    def _guard(self, method: str, handler: Any) -> Any:
        kind = "unary_stream" if handler.response_streaming else "unary_unary"
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        guarded = self._answer(method, getattr(handler, kind), 0 if handler.response_streaming else 1)
        return make(guarded, handler.request_deserializer, handler.response_serializer)

    def _answer(self, method: str, behaviour: Behaviour, counts: int) -> Behaviour:
        clock, observe = self._clock, self._observe

        async def answer(request: Any, context: Any) -> Any:
            self.calls += counts
            started = clock()
            code = "CANCELLED"  # unless something else ends it first
            try:
                reply = await behaviour(request, context)
                code = "OK"
                return reply
            except ScalerError as error:
                code = error.code
                await context.abort(grpc.StatusCode[code], _detail(error))
            except Exception:
                code = "INTERNAL"
                logger.exception("a call failed", extra={"method": method})
                await context.abort(grpc.StatusCode.INTERNAL, "internal error")
            finally:
                observe(method, code, clock() - started)

        return answer


def _detail(error: ScalerError) -> str:
    """The error's text, cut to what a trailer holds."""
    return str(error).encode()[:MAX_DETAIL_BYTES].decode(errors="ignore")
