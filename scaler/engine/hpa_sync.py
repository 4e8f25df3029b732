"""When a workload's ticks fall: just before the HPA looks.

The HPA looks every 15 seconds and is told the newest decision, which on a grid that knows nothing of the HPA is half an
interval old. But looks come back at the same second of every interval that divides the 15, so a workload's grid is
shifted until its ticks end just before them:

    ticks every 5 s      |      |      |      |      |      |      |
    looks                       .     x                    .     x
    shifted by 3 s          |      |      |      |      |      |

Nothing is asked more often for that. Shifts are of half seconds, so that many workloads still share a tick, and with it
the questions to a source. Polls of KEDA, which come more rarely, shift nothing.
"""

import math
from dataclasses import dataclass, replace

from scaler.cluster.hpa import SYNC_PERIOD

JITTER = 1.0  # seconds by which a look may be early or late
SPARE = 0.25  # seconds between the end of a tick and the look that it is for
STEP = 0.5  # seconds; what shifts are multiples of
DRIFT = STEP + 0.25  # seconds that looks may drift away from their ticks before the grid follows: an HPA drifts slowly


@dataclass(frozen=True, slots=True)
class HpaSync:
    """The grid of one workload.

    Args:
        phase: seconds by which the grid is shifted.
        look: the newest of the looks that the grid follows, or the one that may turn out to be the first of them.
    """

    phase: float = 0.0
    sync: float = -math.inf

    def grid(self, now: float, interval: float) -> float:
        """Return the newest grid time."""
        return math.floor((now - self.phase) / interval) * interval + self.phase

    def synced(self, now: float, interval: float, took: float) -> "HpaSync":
        """Return the cadence after a call at `now`, where a tick takes so many seconds."""
        since = now - self.sync
        if 0 <= since < SYNC_PERIOD - JITTER:
            return self  # of the same look, or of a poll
        if not 0 <= since <= SYNC_PERIOD + JITTER or SYNC_PERIOD % interval:
            return replace(self, sync=now)
        lead = SPARE + took
        early = (now - self.phase) % interval
        kept = lead <= early < lead + DRIFT
        return HpaSync(self.phase if kept else math.floor((now - lead) / STEP) * STEP % interval, now)
