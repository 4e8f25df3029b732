"""An application for Ray Serve that answers as a model server does: one token after the other, 8 requests at a time.

Run by Ray's own program (`serve run ray_app:application`), in an environment that has nothing of ours.
"""

import asyncio
import json
from collections.abc import AsyncIterator

from ray import serve
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

BATCH = 8
TOKEN = 0.01  # seconds that one takes


@serve.deployment(max_ongoing_requests=BATCH)
class Model:
    """The one deployment."""

    async def __call__(self, request: Request) -> Response:
        """Answer /v1/completions; anything else is a probe."""
        if request.method != "POST":
            return Response()
        asked = await request.json()
        return StreamingResponse(_tokens(asked["max_tokens"]), media_type="text/event-stream")


async def _tokens(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        await asyncio.sleep(TOKEN)
        yield _event({"choices": [{"index": 0, "text": " w1"}]})
    yield _event({"choices": [], "usage": {"completion_tokens": count}})
    yield b"data: [DONE]\n\n"


def _event(content: object) -> bytes:
    return b"data: " + json.dumps(content).encode() + b"\n\n"


application = Model.bind()
