"""Who is asked about apart from the others, since what they export or write breaks a query that is shared.

Asks of one shape share a query. One that fails is cut into two halves, and each half again, until what fails is a
single ask: the culprit. The cuts are remembered for a while, so that the next tick asks in the same parts at once.

    root [a b c d]  fails     a, b -> "0"   c, d -> "1"
    "1"  [c d]      fails     c -> "10"     d -> "11"
    "11" [d]        fails     d is the culprit; a and b, and c, are measured

Halves are made of asks sorted by namespace, so that a namespace is cut in two only once it is alone. Used from several
threads, each of which reads or replaces one entry at a time.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace

from scaler.model.measurement import Ask, SignalAsk

logger = logging.getLogger(__name__)

REMEMBERED = 300.0  # seconds for which the cuts stand after the last of them
MAX_PLACES = 256  # parts of all shared queries together: if more are needed, it is not for one culprit


class Apart:
    """The cuts of one endpoint's shared queries."""

    def __init__(self) -> None:
        self._places: dict[SignalAsk, str] = {}  # of an ask without its pods, which come and go
        self._blamed: set[SignalAsk] = set()  # culprits
        self._until = 0.0

    def parts(self, asks: Sequence[SignalAsk], at: float) -> dict[str, list[SignalAsk]]:
        """Sort asks by the part that they belong to; "" is the part of all who were never cut off.

        Args:
            asks: of any shapes.
            at: the time now.
        """
        if not abs(self._until - at) <= REMEMBERED:  # past, or the clock was set
            self._places, self._blamed = {}, set()
        if not self._places:
            return {"": list(asks)} if asks else {}
        found: dict[str, list[SignalAsk]] = {}
        for ask in asks:
            found.setdefault(self._places.get(_plain(ask), ""), []).append(ask)
        return found

    def halve(self, asks: Sequence[SignalAsk], problem: str, at: float) -> bool:
        """Cut a question in two; a single ask is blamed.

        Args:
            asks: that shared it.
            problem: why, for the log.
            at: the time now.

        Returns:
            Whether there are two parts now.
        """
        self._until = at + REMEMBERED
        if len(asks) == 1:
            self._blame(_plain(asks[0]), problem)
        if len(asks) < 2 or len(set(self._places.values())) >= MAX_PLACES:
            return False
        ranked = sorted(map(_plain, asks), key=lambda ask: (_owner(ask), ask.labels, ask.pods or ""))
        place, middle = self._places.get(ranked[0], ""), len(ranked) // 2
        self._places |= {ask: place + ("0" if number < middle else "1") for number, ask in enumerate(ranked)}
        return True

    def blamed(self, asks: Sequence[Ask]) -> bool:
        """Whether a question is a culprit's, which is asked last."""
        return bool(self._blamed) and any(isinstance(ask, SignalAsk) and _plain(ask) in self._blamed for ask in asks)

    def _blame(self, ask: SignalAsk, problem: str) -> None:
        if ask in self._places and ask not in self._blamed:
            told = {"signal": ask.signal, "labels": dict(ask.labels), "problem": problem}
            logger.warning("a shared query is broken by what one workload exports or writes", extra=told)
        self._blamed.add(ask)


def _plain(ask: SignalAsk) -> SignalAsk:
    return ask if ask.own is None else replace(ask, own=None)


def _owner(ask: SignalAsk) -> str:
    return dict(ask.labels).get("namespace", "")
