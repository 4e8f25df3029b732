"""Who comes next when many want the event loop: one of each owner in turn, and a bounded part of its time.

Nothing on an event loop is interrupted, so whoever calls waits for what runs. What may come in a flood therefore runs
in small pieces, each after a turn: so many turns are given in a round, and between two rounds the loop looks after
everybody else. Who has a turn may go on for a while without another.

    a a a a b      come as      a b a a a      one of each owner after the other

Those that are ahead have three turns for each one of the others; the others then rest, and so have only a part of the
loop, however many they are.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable

AHEAD = 3  # turns of those that are ahead for each one of the others
LOOKS = 3  # after which those that wait have their turns, though more and more come


class Turns:
    """Used on one event loop.

    Args:
        width: turns in a round.
        crowd: where more wait, one of so many of them has a turn in a round; 0: never more than `width`.
        length: seconds for which who has the newest turn may go on without another.
        quiet: seconds in which nobody came, before the next round begins.
        rest: seconds for which none of the others has a turn after one of them had one.
    """

    def __init__(
        self,
        width: int,
        *,
        crowd: int = 0,
        length: float = 0.0,
        quiet: float = 0.0,
        rest: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._width, self._crowd, self._length, self._quiet, self._rest = width, crowd, length, quiet, rest
        self._left = width  # of this round
        self._owner: Hashable = None  # who has the newest turn
        self._until = 0.0  # when it is over
        self._ahead, self._others = _Queue(), _Queue()
        self._given = 0  # turns in a row to those that are ahead
        self._rested = 0.0  # when one of the others may have a turn again
        self._next: asyncio.Handle | None = None  # the next round, or the next look whether it may begin
        self._next_at = 0.0
        self._came = False  # somebody, since the last look
        self._looks = 0  # whether the next round may begin

    def waiting(self, owner: Hashable = None) -> int:
        """Return how many wait: those of one owner, or all that are not ahead."""
        return len(self._others) if owner is None else self._others.count(owner) + self._ahead.count(owner)

    async def of(self, owner: Hashable, *, ahead: bool = False) -> None:
        """Wait for a turn, which lasts until the next `await`."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._came = True
        if owner == self._owner and now < self._until:
            return
        queue = self._ahead if ahead else self._others
        if not queue and self._left and (ahead or now >= self._rested):
            queue.last = owner
            self._begin(owner, now, ahead=ahead)
            return
        turn = loop.create_future()
        queue.put(owner, turn)
        self._await_round(loop, now if ahead else max(now, self._rested))
        try:
            await turn
        finally:
            if turn.cancelled():
                queue.drop(owner, turn)

    def _begin(self, owner: Hashable, now: float, *, ahead: bool) -> None:
        self._left -= 1
        self._owner, self._until = owner, now + self._length
        self._given = self._given + 1 if ahead else 0
        rest = 0.0 if ahead else self._rest()
        if rest:
            self._rested = self._until + rest

    def _await_round(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        """Let the next round begin at a time, or earlier if it does so already."""
        if self._next is not None and self._next_at <= at:
            return
        if self._next is not None:
            self._next.cancel()
        wait, self._next_at = at - loop.time(), at
        self._next = loop.call_later(wait, self._look, loop) if wait > 0 else loop.call_soon(self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin a round, unless somebody has come just now: then more may be on their way."""
        self._looks += 1
        if self._quiet and self._came and self._looks < LOOKS:
            self._came = False
            self._next = loop.call_later(self._quiet, self._look, loop)
            return
        self._next, self._looks = None, 0
        self._round(loop)

    def _round(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give the turns of a round; who gets one runs before the next."""
        now, waiting = loop.time(), len(self._ahead) + len(self._others)
        crowd = waiting // self._crowd if self._crowd else 0
        self._left, self._owner = max(self._width, crowd), None
        while self._left:
            others = bool(self._others) and now >= self._rested
            if self._ahead and not (others and self._given >= AHEAD):
                queue, ahead = self._ahead, True
            elif others:
                queue, ahead = self._others, False
            else:
                break
            owner, turn = queue.take()
            if not turn.done():
                turn.set_result(None)
                self._begin(owner, now, ahead=ahead)
        if self._ahead:
            self._await_round(loop, now)
        elif self._others:
            self._await_round(loop, max(now, self._rested))


class _Queue:
    """The queue of those who wait, by owner; the owner that was served longest ago comes first."""

    def __init__(self) -> None:
        self._by_owner: dict[Hashable, deque[asyncio.Future[None]]] = {}
        self.last: Hashable = None  # who was served last
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def count(self, owner: Hashable) -> int:
        return len(self._by_owner.get(owner, ()))

    def put(self, owner: Hashable, turn: "asyncio.Future[None]") -> None:
        self._by_owner.setdefault(owner, deque()).append(turn)
        self._size += 1

    def take(self) -> "tuple[Hashable, asyncio.Future[None]]":
        owner = next((one for one in self._by_owner if one != self.last), self.last)
        queue = self._by_owner.pop(owner)
        turn = queue.popleft()
        if queue:
            self._by_owner[owner] = queue  # behind all others
        self.last, self._size = owner, self._size - 1
        return owner, turn

    def drop(self, owner: Hashable, turn: "asyncio.Future[None]") -> None:
        """Forget who has given up, unless it was taken already."""
        queue = self._by_owner.get(owner)
        if queue is None or turn not in queue:
            return
        queue.remove(turn)
        self._size -= 1
        if not queue:
            del self._by_owner[owner]
