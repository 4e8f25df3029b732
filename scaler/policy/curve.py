"""What a replica carries: the share of requests that miss an SLO, as a curve over the load of a replica, learnt.

    miss(x) = floor + (1 - floor) / (1 + (knee / x) ^ steepness)

`knee` is the load at which half of the requests miss, `floor` the share that misses at any load. All curves of a grid
are weighed by how likely they make what was seen; what counts is their weighted mean, so that where nothing was seen
yet it says so by expecting misses. What was seen counts half after an hour, and only a quarter from the start, since
requests of one minute are alike. The unit of x does not matter: the grid is logarithmic and wide.

The same logarithmic steps serve for `errors`, what came after a load like this one, so that both are put together by
one correlation. It needs numpy, and is imported with the first step of a policy slo; nobody else pays for it.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]

WIDTH = 0.08  # of a step, in the logarithm: 8 %
LOWEST = math.log(0.1)  # the load of step 0
STEPS = 200  # up to a load of 800,000
KNEES = 120
STEEPNESS = (2.0, 4.0, 8.0, 16.0)
FLOORS = (0.0, 0.01, 0.05, 0.2)
HALF_LIFE = 3600.0  # seconds
HALF_LIFE_SURPRISED = 120.0  # seconds, while more miss than was believed
SURPRISE = 0.3  # by so large a share of requests
ALIKE = 4.0  # requests of a minute count as a quarter of as many
SPAN = 20  # steps by which a forecast may be wrong either way: a factor of five
USUAL = 0.25  # how wrong a forecast is before anything is known: a logarithm's standard deviation
USUAL_WEIGHT = 10.0  # as much as so many forecasts that were seen in a load like this one
NEAR, NEAR_SLOPE = 0.25, 0.3  # loads and slopes that are alike, as logarithms' standard deviations


@dataclass(frozen=True)
class _Grid:
    """All curves that there may be."""

    loads: Vector  # logarithms, one a step
    floors: Vector  # one a curve
    missing: Vector  # curve x step: the share that misses besides the floor
    log_miss: Vector  # step x curve: the logarithm of how likely a request misses
    log_meet: Vector  # and that it does not


@cache
def _grid() -> _Grid:
    loads: Vector = LOWEST + WIDTH * np.arange(STEPS, dtype=np.float64)
    knees = LOWEST + WIDTH * STEPS * np.arange(KNEES) / KNEES
    knee, steep, floor = (axis.ravel() for axis in np.meshgrid(knees, STEEPNESS, FLOORS, indexing="ij"))
    exponent = np.clip(steep[:, None] * (loads[None, :] - knee[:, None]), -40, 40)
    missing = 1 / (1 + np.exp(-exponent))
    chance = np.clip(floor[:, None] + (1 - floor[:, None]) * missing, 1e-5, 1 - 1e-5)
    log_miss, log_meet = (np.ascontiguousarray(np.log(one).T) for one in (chance, 1 - chance))
    return _Grid(loads, floor, missing, log_miss, log_meet)


def step_of(load: float) -> int:
    """The step that a load lies in."""
    return min(max(round((math.log(max(load, 1e-9)) - LOWEST) / WIDTH), 0), STEPS - 1)


def learnt(
    before: Vector | None, load: float, requests: float, met: float, passed: float, *, known: "Curve | None" = None
) -> Vector:
    """Add what was seen to how likely each curve is.

    Args:
        before: logarithms of the likelihoods; None: nothing was seen yet.
        load: of a replica.
        requests: so many ended.
        met: the share of them that met the SLO.
        passed: seconds since the last time.
        known: what was believed so far. Where far more miss than that, the replica is another one than it was, and what
            was learnt of it is forgotten within minutes.
    """
    grid, place, weight = _grid(), step_of(load), requests / ALIKE
    seen: Vector = weight * ((1 - met) * grid.log_miss[place] + met * grid.log_meet[place])
    if before is None:
        return seen
    surprised = known is not None and 1 - met > known.floor + float(known.misses[place]) + SURPRISE
    kept: Vector = before * 0.5 ** (passed / (HALF_LIFE_SURPRISED if surprised else HALF_LIFE))
    return kept + seen


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """What is known of a replica."""

    misses: Vector  # by step: the share that is expected to miss besides the floor
    floor: float  # the share that misses at any load
    low: float  # of the knee: one in twenty curves has it below
    high: float  # and one in twenty above


def curve(*likelihoods: Vector | None) -> Curve | None:
    """Put together what is known of each promise; a request has to meet them all. None: nothing is known."""
    known = [one for one in likelihoods if one is not None]
    if not known:
        return None
    grid = _grid()
    meets, kept, knees = np.ones(STEPS), 1.0, []
    for one in known:
        weight = np.exp(one - one.max())
        weight /= weight.sum()
        misses = weight @ grid.missing
        meets = meets * (1 - misses)
        kept *= 1 - float(weight @ grid.floors)
        by_knee = np.cumsum(weight.reshape(KNEES, -1).sum(axis=1))
        knees.append(tuple(_knee(int(np.searchsorted(by_knee, share))) for share in (0.05, 0.95)))
    low, high = min(knees)
    return Curve(1 - meets, 1 - kept, low, high)


def _knee(place: int) -> float:
    """The load of a knee by its place in the grid."""
    return math.exp(LOWEST + WIDTH * STEPS / KNEES * place)


def errors(pairs: Vector | None, level: float, slope: float) -> Vector:
    """How likely it is that `level` turns out to be so many steps off, one start-up later.

    Args:
        pairs: a row for each forecast that was checked: logarithms of the level it was made of, of what came over that
            level, and of the slope then; None: none was.
        level: of the load now.
        slope: the last minute's load over the last minutes', as a logarithm.

    Returns:
        Weights of the steps from -SPAN to SPAN, of which those of loads like this one count most.
    """
    off = WIDTH * np.arange(-SPAN, SPAN + 1)
    weights: Vector = np.exp(-0.5 * (off / USUAL) ** 2)
    weights *= USUAL_WEIGHT / weights.sum()
    if pairs is not None:
        apart = ((pairs[:, 0] - math.log(level)) / NEAR) ** 2 + ((pairs[:, 2] - slope) / NEAR_SLOPE) ** 2
        place = np.clip(np.rint(pairs[:, 1] / WIDTH), -SPAN, SPAN).astype(np.intp) + SPAN
        weights += np.bincount(place, np.exp(-0.5 * apart), 2 * SPAN + 1)
    return weights


def remembered(pairs: Vector | None, level: float, came: float, slope: float, most: int) -> Vector:
    """Add a forecast that was checked, and forget the oldest beyond `most`."""
    row = np.array([[math.log(level), math.log(came / level), slope]])
    return row if pairs is None else np.vstack([pairs[1 - most :], row])


def carries(known: Curve, wrong: Vector, budget: float) -> tuple[float, float]:
    """The largest load of a replica at which no more than `budget` of the requests are expected to miss.

    Args:
        known: what is known of a replica.
        wrong: by how much the load may turn out to be another, from `errors`.
        budget: share of requests that may miss besides the floor.

    Returns:
        The load as it is forecast, and the load that the curve alone would allow: their ratio is the margin.
    """
    factor = np.exp(WIDTH * np.arange(-SPAN, SPAN + 1))
    weight = wrong * factor  # a load three times as high has three times as many requests
    padded = np.concatenate([np.full(SPAN, known.misses[0]), known.misses, np.full(SPAN, known.misses[-1])])
    expected = np.correlate(padded, weight / weight.sum(), "valid")
    return _last_within(expected, budget), _last_within(known.misses, budget)


def _last_within(misses: Vector, budget: float) -> float:
    """The load at which a rising share of misses reaches the budget, between two steps in a line."""
    over = np.flatnonzero(misses > budget)
    place = int(over[0]) if len(over) else STEPS - 1
    if place == 0:
        return math.exp(LOWEST)
    before, after = float(misses[place - 1]), float(misses[place])
    part = (budget - before) / max(after - before, 1e-12)
    return math.exp(LOWEST + WIDTH * (place - 1 + min(max(part, 0.0), 1.0)))
