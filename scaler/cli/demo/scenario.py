"""The world of the demo: a day in small, from nobody to nobody, and what goes wrong in it. Times are world seconds.

The load is the packaged slice of the Azure trace over and over, thinned to a wave: a quiet morning, a peak that is a
dozen times the slice, a quiet evening. What the wave does not reach is left for the way down to 0.
"""

import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scaler.cluster.keda import Fallback, ScaledObject
from scaler.model.behavior import Behavior, RatePolicy, Rules
from scaler.sim import trace as traces
from scaler.sim.fleet import FleetSpec
from scaler.sim.hardware import hardware
from scaler.sim.play import Incidents
from scaler.sim.score import SloTarget
from scaler.sim.trace import Trace

WAVE = ((0.0, 0.2), (0.2, 1.0), (0.35, 2.0), (0.5, 12.0), (0.6, 12.0), (0.7, 3.0), (0.85, 1.0), (1.0, 0.2))
SLICE = 180.0  # seconds of the packaged trace
DAY = 1200.0  # seconds of a whole one; a shorter one has a flatter wave, and replicas that start faster
SHORTEST = 400.0  # seconds in which there is time for all of it
LEAD_IN = 20.0  # seconds before the first request
OUTAGE = 45.0  # seconds without metrics; shorter than holdFor
TARGET = 12.0  # requests per replica
HOLD_FOR, IDLE_FOR = 60.0, 60.0  # the usual ones are 120 and 60
PACE = 120.0  # needs of so long ago still hold an answer up: the least that is learnt
SLO = SloTarget()


@dataclass(frozen=True, slots=True)
class Scenario:
    """All that is known before a run."""

    trace: Trace
    end: float
    incidents: Incidents
    fleet: FleetSpec
    scaled: ScaledObject
    slo: SloTarget = SLO


def scenario(span: float, incidents: Incidents | None = None) -> Scenario:
    """Make a world of `span` seconds, at least SHORTEST.

    Args:
        span: from its first to its last second.
        incidents: what goes wrong; None for the usual: a replica dies at the peak, and the metrics are away while the
            load falls, when a scaler that takes silence for zero would let everything go.
    """
    size = min(span / DAY, 1.0)
    way_down = 135.0 + 165.0 * size  # the last requests, idleFor, the cooldown, a poll, and room to spare
    busy = span - LEAD_IN - way_down
    falling = LEAD_IN + 0.64 * busy
    usual = Incidents(kills=(LEAD_IN + 0.57 * busy,), outages=((falling, falling + OUTAGE),))
    return Scenario(
        trace=tuple(replace(arrival, at=arrival.at + LEAD_IN) for arrival in wave(busy, 0.25 + 0.75 * size)),
        end=span,
        incidents=usual if incidents is None else incidents,
        fleet=FleetSpec(hardware("a100-8b-bf16"), startup=max(30.0 * size, 15.0)),
        scaled=ScaledObject(
            min_replica_count=0,
            max_replica_count=16,
            polling_interval=30.0,
            cooldown_period=60.0 * size,
            fallback=Fallback(replicas=1, behavior="currentReplicasIfHigher"),
            behavior=Behavior(down=Rules((RatePolicy("Percent", 100, 15.0),), window=60.0 * size)),
        ),
    )


def wave(span: float, steepness: float, seed: int = 1) -> Trace:
    """Make the load, over `span` seconds.

    Args:
        span: from the first to the last request.
        steepness: 1 is the wave as it stands above, 0 would be no wave at all.
        seed: of what is thinned out.
    """
    chance = random.Random(seed)
    heights = [(share, height**steepness) for share, height in WAVE]
    top = max(height for _, height in heights)
    slice_ = traces.azure_slice()
    rounds = (replace(one, at=one.at + SLICE * turn) for turn in range(int(span / SLICE) + 1) for one in slice_)
    full = traces.multiply(tuple(rounds), top, seed=seed)
    return tuple(one for one in full if one.at < span and chance.random() * top < _height(heights, one.at / span))


def _height(wave: Sequence[tuple[float, float]], share: float) -> float:
    """Return a wave's height at a share of its time."""
    place = min(bisect_right(wave, share, key=lambda point: point[0]), len(wave) - 1)
    (start, low), (end, high) = wave[place - 1], wave[place]
    return low + (high - low) * (share - start) / (end - start)
