"""The open streams, and how each of them ends: with OK, by itself, before anything cuts it.

KEDA's wait before it opens a stream again doubles up to 60 s, and only a clean end resets it (KEDA v2.20.2,
pkg/scalers/external_scaler.go). So a stream ends before its connection is too old, and when the server drains.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from scaler.model.errors import Overloaded

T = TypeVar("T")

End = asyncio.Future[None]  # done when the stream has to end


class Streams:
    """The open streams.

    Args:
        age: seconds until a stream that opens now has to end; a new number for each, so that they do not end together.
        limit: streams that may be open; each costs some 25 KB.
    """

    def __init__(self, age: Callable[[], float], limit: int) -> None:
        self._age = age
        self._limit = limit
        self._open: set[End] = set()
        self._draining = False

    def __len__(self) -> int:
        """Count the open ones."""
        return len(self._open)

    @contextmanager
    def open(self) -> Iterator[End]:
        """Count a stream as open for as long as the block runs.

        Raises:
            Overloaded: there are too many.
        """
        if len(self._open) >= self._limit:
            raise Overloaded(f"{self._limit} streams are open, and this server carries no more")
        loop = asyncio.get_running_loop()
        end: End = loop.create_future()
        timer = loop.call_later(0.0 if self._draining else self._age(), _finish, end)
        self._open.add(end)
        try:
            yield end
        finally:
            timer.cancel()
            self._open.discard(end)

    def drain(self) -> None:
        """End all streams; one that opens from now on ends at once, so that its client comes back elsewhere."""
        self._draining = True
        for end in self._open:
            _finish(end)


def _finish(end: End) -> None:
    if not end.done():
        end.set_result(None)


async def until(end: End, awaited: Awaitable[T]) -> T | None:
    """Return what `awaited` gives, or None when the end comes first; then it is cancelled."""
    step = asyncio.ensure_future(awaited)
    try:
        await asyncio.wait((step, end), return_when=asyncio.FIRST_COMPLETED)
        return step.result() if step.done() else None
    finally:
        step.cancel()
