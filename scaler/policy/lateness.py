"""Which requests are late, and for which load: often not for the one at which they end.

    late     the first token came too late, or one of the answer's 32 slow steps made it late per token
    fault    the load that late requests tell of: the highest one since the first was late

    a replica had 2.0 of its edge for two minutes, and requests queued; now it has 0.4, and the queue is worked off
    at once 90 % miss, for 2.0; a minute later what misses still counts for 1.0; after three for 0.4, which it has

While requests queue, what misses is the fault of the load that made them queue: a minute forgets the half of it, since
a queue that stays is one of too few replicas. Where answers take longer than a minute, those that end now ran under the
load of the time before. An answer of few tokens is late per token by one slow step, which nobody notices: of those late
by the engine's histogram, the share counts whose answers take longer than 32 such times.
"""

import math
from dataclasses import dataclass

CLEARED = 60.0  # seconds: half-life of the fault of a load; who queues for longer queues for want of replicas now
SHORT = 32.0  # tokens: shorter answers are not judged by the time per token, since one slow step decides it


@dataclass(frozen=True, slots=True)
class Fault:
    """A load for which requests are late that end after it."""

    at: float  # when it was last there
    load: float  # of a replica

    def left(self, now: float, held: float) -> float:
        """Return what is left of it: all for the seconds `held`, in which its requests end; then ever less."""
        return self.load * math.exp2(-max(now - self.at - held, 0.0) / CLEARED)

    def or_now(self, each: float, now: float, held: float) -> tuple[float, "Fault"]:
        """Choose the load that requests are late for which end now: this one as far as it is left, or the one there is.

        Args:
            each: the load of a replica now.
            now: seconds.
            held: seconds for which its requests still end.

        Returns:
            The load, and what to remember if requests are late for it.
        """
        load = max(each, self.left(now, held))
        return load, self if load > each else Fault(now, load)


NO_FAULT = Fault(0.0, 0.0)


def share_late(first: float, further: float, stay: float, itl: float) -> float | None:
    """Return the share of the last minute's requests that were late; None where neither histogram is measured.

    0.95 had their first token in time and 0.67 were in time per token, 50 ms, with answers of 10 s: of the late third,
    exp(-32 x 0.05 / 10) = 0.85 have long enough answers, so that 1 - 0.95 x (1 - 0.33 x 0.85) = 0.32 were late.

    Args:
        first: the share whose first token came in time; below 0: not measured.
        further: the share that was in time per token; below 0: not measured.
        stay: seconds of a request, in the mean.
        itl: seconds a token, as promised.
    """
    if first < 0 and further < 0:
        return None
    judged = math.exp(-SHORT * itl / max(stay, 1e-9))
    in_time = 1 - (1 - further) * judged if further >= 0 else 1.0
    return 1 - max(first, 0.0) * in_time if first >= 0 else 1 - in_time
