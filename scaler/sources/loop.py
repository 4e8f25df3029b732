"""An event loop in a thread of its own, for coroutines that are waited for by threads.

Pages are read here and not in the loop that answers KEDA: what a stranger's page costs, such as to unpack it, delays no
call of KEDA's. The loop of uvloop where that is there.
"""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_LAST = 1.0  # seconds for what is done at the end


class LoopThread:
    """Runs coroutines for any thread; the loop begins with the first one, and ends with `close`.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._lock = threading.Lock()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end, and return what it gives; blocking.

        Raises:
            RuntimeError: the loop is closed.
        """
        try:
            loop = self._begin()
        except RuntimeError:
            coroutine.close()
            raise
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result()

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Run one more coroutine, for about a second at most, and end; what is under way is cancelled."""
        with self._lock:
            loop, self._closed = self._loop, True
        if loop is None or loop.is_closed():
            last.close()
            return
        ended = asyncio.run_coroutine_threadsafe(asyncio.wait_for(last, _LAST), loop)
        ended.add_done_callback(lambda _ended: loop.call_soon_threadsafe(loop.stop))

    def _begin(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._closed:
                raise RuntimeError(f"{self._name} is closed")
            if self._loop is None:
                self._loop = _new_loop()
                threading.Thread(target=_live, args=(self._loop,), name=self._name, daemon=True).start()
            return self._loop


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 - it is not there on every system
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def _live(loop: asyncio.AbstractEventLoop) -> None:
    """Run until the loop is stopped, and leave nothing behind."""
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.get_loop().run_forever()
