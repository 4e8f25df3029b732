"""What a replica is guessed to carry before it was seen to: from the configuration of its engine, as far as it tells.

    seats   requests that a replica works on at once: --max-num-seqs of its template's arguments, or as many as find
            room in its KV cache, by what those that run hold of it; the fewer of both
    first   before anything is known of the load: an eighth of the seats are to be taken
    knee    the load with which half of the requests are late is at least an eighth of the one with which all seats are
            taken and each token comes just in time

    256 seats, 50 ms a token, 800 tokens of answer, each request a second the load of a seventh of a replica (speed.py)
    256 / 0.05 = 5,120 generated tokens/s, 6.4 requests/s: 0.91 of the edge as the speed foretells it, an eighth is 0.11
    100 requests in flight: at first 100 / 32 = 3.1 replicas, where queue-depth asks for 12.5

How fast an engine is no configuration tells: with all seats taken it may be too slow for the SLO. So it is an eighth,
and less is less likely by a factor of a thousand, which no more than a few late requests say (curve.py): a wrong guess
is outvoted within a minute. It says nothing of what a replica carries at most, so that it never asks for more than
would be asked for without it.
"""

import math
from dataclasses import dataclass

from scaler.model.objects import ScaledResource

LOW = 1 / 8  # of the seats, and of the load with which they are taken, that is thought to be carried at least
DOUBT = math.log(1000.0)  # the logarithm of how much less likely it is that less is
FIRST = 300.0  # seconds for which a guess stands in where nothing is known of the load
LEAST_HELD = 0.005  # of the KV cache: where less is held, it is not known what a request holds


@dataclass(frozen=True, slots=True)
class Seats:
    """Requests that a replica works on at once."""

    count: float
    told: str  # by what that is known

    @property
    def first(self) -> float:
        """Of them, those that are taken before anything is known."""
        return LOW * self.count

    def least(self, work: float, output: float, itl: float) -> float:
        """Guess the load that a replica carries at least, in replicas at their edge.

        Args:
            work: of a request a second, in replicas at their edge.
            output: tokens of its answer.
            itl: seconds for a token, as promised.
        """
        return LOW * self.count / itl * work / max(output, 1.0)

    def says(self) -> str:
        """Say how many requests a replica works on, and how that is known."""
        return f"{self.count:.0f} requests at once ({self.told})"


def seats(scaled: ScaledResource | None, usage: float, running: float, ready: int) -> Seats | None:
    """Tell the seats of a replica; None where nothing is known of them.

    12 that run on 2 replicas and hold 3 % of the KV cache of each: 200 find room.

    Args:
        scaled: what Kubernetes says of the scale target, whose template has arguments.
        usage: of the KV cache, in the mean; below 0: not known.
        running: requests.
        ready: replicas.
    """
    template = scaled.template if scaled else None
    room = running / ready / usage if usage >= LEAST_HELD and running >= 1 and ready else None
    told = ((template.seats if template else None, "its arguments say"), (room, "its KV cache has room for"))
    known = [Seats(count, why) for count, why in told if count]
    return min(known, key=lambda one: one.count, default=None)
