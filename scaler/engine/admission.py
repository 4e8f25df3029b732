"""What part of the event loop is whose, so that no namespace's calls and new workloads delay the answers of another.

    calls               are taken in first, and then answered a few at a time, one of each namespace in turn; where only
                        a few come at a time they do not wait at all
    known workloads     are planned and folded in slices, ahead of all that is new
    what is new         is registered, measured and folded in slices, one of each namespace in turn, in a quarter of the
                        time; in all of it after a start, when everybody is new and nobody else is served

A gRPC server takes calls in the order in which they come, whosever they are, and can be asked by many at a time. So
calls that come faster than they are answered have to wait here, where it is known whose they are, and not there.
"""

import asyncio
import contextlib
from collections.abc import Iterator

from scaler.engine.turns import Turns
from scaler.engine.workload import ESTABLISHED
from scaler.model.errors import NoAnswer, Overloaded
from scaler.model.fields import seconds

CALLS, CROWD = 4, 16  # calls that are answered in a round, or one in so many that wait; each costs some 0.3 ms
QUIET = 0.001  # seconds without a new call before more of those that wait are answered
MAX_CALLS = 2000  # of one namespace that wait
SLICE = 0.002  # seconds of work in a round
REST = 3.0  # times as long as its slice is, what is new waits for its next one
MAX_WAITING = 2000  # new workloads of one namespace that wait to be registered
FEW = 8  # calls that wait for what is new: where there are more, they are many
GOLDEN = 0.618  # of the part that differs, from one call to the next: so they spread evenly


class Admission:
    """Used on one event loop.

    Args:
        budget: seconds that a call may wait in all.
    """

    def __init__(self, budget: float) -> None:
        self._budget = budget
        self._calls = Turns(CALLS, crowd=CROWD, quiet=QUIET)
        self._work = Turns(1, length=SLICE, rest=lambda: 0.0 if self._fresh else REST * SLICE)
        self._patient = self._come = 0  # calls that wait for what is new, and those that ever did
        self._fresh = True  # it is not long that anybody is served
        self._since = self._newest = float("-inf")  # when a workload that has an answer was first asked about, and last

    @property
    def waiting(self) -> int:
        """The cost of what is new and waits."""
        return self._work.waiting()

    def served(self, now: float) -> None:
        """Take note that a workload was asked about that has an answer."""
        if not 0 <= now - self._newest < ESTABLISHED:
            self._since = now
        self._newest = now
        self._fresh = now - self._since < ESTABLISHED

    async def call(self, namespace: str) -> None:
        """Wait until a call of a namespace may be answered.

        Raises:
            Overloaded: too many of its namespace wait already.
        """
        waiting = self._calls.waiting(namespace)
        if waiting >= MAX_CALLS:
            raise Overloaded(f"{waiting} calls of namespace {namespace} wait already; ask again later")
        await self._calls.of(namespace, ahead=True)

    @property
    def _crowded(self) -> bool:
        """Many calls wait for what is new, and others are served."""
        return self._patient >= FEW and not self._fresh

    @contextlib.contextmanager
    def patience(self) -> Iterator[float]:
        """Count a call that waits for what is new, and say for how many seconds it may.

        Callers who are told at the same time ask again at the same time, and whoever calls then waits for all of them.
        So where many wait, each is told after another part of the second half of its time; but after a start, when
        everybody is new, each may wait for all of it.
        """
        self._come += 1
        part = self._come * GOLDEN % 1
        patience = self._budget * (1 + part) / 2 if self._crowded else self._budget
        self._patient += 1
        try:
            yield patience
        finally:
            self._patient -= 1

    def rest(self, took: float) -> float:
        """Return the seconds between two questions for what is new: none, but where many calls wait for it.

        Args:
            took: seconds that the question took which has been answered.
        """
        return REST * took if self._crowded else 0.0

    async def newcomer(self, namespace: str, patience: float) -> None:
        """Wait until a new workload may be registered.

        Args:
            namespace: whose it is.
            patience: seconds that it may wait.

        Raises:
            Overloaded: too many of its namespace wait already.
            NoAnswer: it has waited for so long.
        """
        owner = namespace, "calls"
        before = self._work.waiting(owner)
        if before >= MAX_WAITING:
            raise Overloaded(f"{before} new workloads of namespace {namespace} wait already; ask again later")
        try:
            async with asyncio.timeout(patience):
                await self._work.of(owner)
        except TimeoutError:
            await self.call(namespace)  # those that came together also end together
            crowd = f"{before} others of namespace {namespace}" if before else "others"
            raise NoAnswer(
                f"no decision yet: it is new, and so are {crowd} that came before it; none was reached within"
                f" {seconds(patience)}, and when KEDA asks again it has another turn"
            ) from None

    async def work(self, namespace: str, *, known: bool) -> None:
        """Wait until a workload may be worked on until the next `await`; all that are known wait together."""
        await self._work.of("" if known else (namespace, "work"), ahead=known)
