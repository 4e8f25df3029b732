"""Who comes next when many wait: one of each owner in turn, and only a few at a time.

What takes a moment of the event loop, and comes in a flood from one namespace, must not keep the others waiting.
Between two turns the loop goes round, so that whoever needs no turn waits for a few at most.

    a a a a b      comes as      a b a a a
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """Used on one event loop.

    Args:
        width: how many have a turn at a time.
    """

    def __init__(self, width: int) -> None:
        self._free = width
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # by owner, who was served longest ago first
        self._last = ""  # who had the newest turn

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return sum(map(len, self._waiting.values()))

    @asynccontextmanager
    async def of(self, owner: str) -> AsyncIterator[None]:
        """Wait for a turn, and keep it for as long as the block runs."""
        if self._free:
            self._free -= 1
            self._last = owner
        else:
            await self._turn_of(owner)
        try:
            yield
        finally:
            asyncio.get_running_loop().call_soon(self._pass_on)

    async def _turn_of(self, owner: str) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._pass_on()  # it came, and nobody is there to take it
            raise

    def _pass_on(self) -> None:
        """Give a turn that is over to who comes next."""
        while self._waiting:
            owner = next((one for one in self._waiting if one != self._last), self._last)
            queue = self._waiting.pop(owner)
            turn = queue.popleft()
            if queue:
                self._waiting[owner] = queue  # behind all others
            if not turn.done():
                self._last = owner
                turn.set_result(None)
                return
        self._free += 1
