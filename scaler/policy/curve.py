"""What a replica carries: the share of requests that miss an SLO, as a curve over the load of a replica, learnt.

    miss(x) = floor + (1 - floor) / (1 + (knee / x) ^ steepness)

`knee` is the load at which half of the requests miss, `floor` the share that misses at any load. Loads are in replicas
at their edge, as the speed of the requests foretells it (speed.py); so the knee is likely near 1, and the rise to it
gentle or steep, before anything was seen. All curves of a grid are weighed by how likely they make what was seen. What
is seen at one load alone may be a floor or a steep rise, and the rise is taken for more likely, so that more replicas
are tried before it is said that they do not help.

What was seen is kept as counts, requests and those that missed, by the logarithm of the load (`Counts`): adding to it
is cheap, and the curves are weighed once a minute. A count halves after an hour.

The same logarithmic steps serve for `errors`, what may come one start-up later, so that both are put together by one
correlation. It is of three parts: the load goes on, about as well foretold as after loads like this one; or something
new begins, as often as it did, and then any load of the last hours may come; or, until hours have shown that there is
none, a client comes who brings the load of up to two replicas. It needs numpy, and is imported with the first step of a
policy slo; nobody else pays for it.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from scaler.policy.prior import DOUBT

Vector = npt.NDArray[np.float64]

WIDTH = 0.05  # of a step, in the logarithm: 5 %
LOWEST = math.log(0.02)  # the load of step 0
STEPS = 100  # up to a load of 3
FIRST, KNEES = 48, 46  # the step of the first knee, at 0.22, and knees, one a step up to 2.1
FORETOLD = 0.15  # how far the knee is from 1, which the speed foretells: a logarithm's standard deviation
ASTRAY = 0.1  # how likely it is that the speed foretells nothing
STEEPNESS = (6.0, 12.0, 24.0)  # from requests of all lengths, of which long ones miss early, to requests all alike
STEEP = (0.3, 0.4, 0.3)  # how likely they are
FLOORS = (0.0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.6)
FLOOR_SCALE = 0.05  # a floor higher by so much is less likely by a factor e, until other loads have shown it
BELIEVED = 0.4  # of the curves, by how likely they are, say that a replica carries less than is tried
HALF_LIFE = 3600.0  # seconds
HALF_LIFE_SURPRISED = 120.0  # seconds, while more miss than was believed
SURPRISE = 0.3  # by so large a share of requests
ALIKE = 4.0  # requests of a minute are alike: a quarter of them count
MOST = 60.0  # and no more than so many, since no minute tells more than how it was itself
SPAN = 50  # steps by which a forecast may be wrong either way: a factor of twelve
BREAK = 0.4  # by how much a load has to be another, as a logarithm, to be a new one and not the old one that goes on
CLIENT, UNSEEN = 2.0, 100.0  # of so many forecasts, how many a new client upset, before anything is known
USUAL = 0.15  # how wrong a forecast is before anything is known: a logarithm's standard deviation
USUAL_WEIGHT = 10.0  # as much as so many forecasts that were seen in a load like this one
NEAR, NEAR_SLOPE = 0.25, 0.3  # loads and slopes that are alike, as logarithms' standard deviations

_OFF: Vector = WIDTH * np.arange(-SPAN, SPAN + 1, dtype=np.float64)  # logarithms of how far a forecast may be off
_USUAL: Vector = np.exp(-0.5 * (_OFF / USUAL) ** 2)
_USUAL /= _USUAL.sum()
_INVERSE_STEEPNESS: Vector = np.tile(1 / np.array(STEEPNESS), KNEES)  # knee x steepness

Counts = Vector  # 2 x step: requests, and those of them that missed


@dataclass(frozen=True)
class _Grid:
    """All curves that there may be: knee x steepness x floor."""

    missing: Vector  # (knee x steepness) x step: the share that misses besides the floor
    log_miss: Vector  # step x curve: the logarithm of how likely a request misses
    log_meet: Vector  # and that it does not
    prior: Vector  # (knee x steepness) x floor: the logarithm of how likely each is before anything was seen
    knees: Vector  # knee x steepness: the logarithm of the knee


@cache
def _grid() -> _Grid:
    loads = LOWEST + WIDTH * np.arange(STEPS, dtype=np.float64)
    knees = LOWEST + WIDTH * (FIRST + np.arange(KNEES, dtype=np.float64))
    knee, steep = (axis.ravel() for axis in np.meshgrid(knees, STEEPNESS, indexing="ij"))
    missing: Vector = 1 / (1 + np.exp(-steep[:, None] * (loads[None, :] - knee[:, None])))
    floors = np.array(FLOORS)
    chance = floors[None, :, None] + (1 - floors[None, :, None]) * missing[:, None, :]
    chance = np.clip(chance, 1e-4, 1 - 1e-4).reshape(-1, STEPS)
    log_miss, log_meet = (np.ascontiguousarray(np.log(one).T) for one in (chance, 1 - chance))
    near = np.exp(-0.5 * (knees / FORETOLD) ** 2)
    likely = (1 - ASTRAY) * near / near.sum() + ASTRAY / KNEES
    shapes = np.log(np.outer(likely, STEEP)).reshape(-1, 1)
    return _Grid(missing, log_miss, log_meet, shapes - floors / FLOOR_SCALE, knee)


def step_of(load: float) -> int:
    """Return the step of the grid that a load lies in."""
    return min(max(round((math.log(max(load, 1e-9)) - LOWEST) / WIDTH), 0), STEPS - 1)


def counted(before: Counts | None, load: float, rate: float, missed: float, passed: float) -> Counts:
    """Add what was seen.

    Args:
        before: what was seen before; None: nothing.
        load: of a replica.
        rate: so many requests ended per second.
        missed: the share of them that missed the SLO.
        passed: seconds since the last time.
    """
    after = np.zeros((2, STEPS)) if before is None else before.copy()
    minute = rate * 60.0
    requests = minute / (ALIKE + minute / MOST) * passed / 60.0
    place = step_of(load)
    after[0, place] += requests
    after[1, place] += requests * missed
    return after


def faded(counts: Counts, passed: float, surprise: float | None = None) -> Counts:
    """Forget what is long ago; and within minutes what was seen from a load on at which more miss than was believed."""
    halves = np.full(STEPS, passed / HALF_LIFE)
    if surprise is not None:
        halves[step_of(surprise) :] = passed / HALF_LIFE_SURPRISED
    return np.asarray(counts * 0.5**halves)


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """The curve of one kind of replica, as far as it is known."""

    misses: Vector  # by step: the share that is expected to miss besides the floor
    floor: float  # the share that misses at any load
    low: float  # of the knee: one in twenty curves has it below
    high: float  # and one in twenty above
    seen: float  # requests, as far as they are not forgotten
    shapes: Vector  # how likely each knee and steepness is

    def surprised(self, load: float, missed: float) -> bool:
        """Tell whether so many more miss than the curve expects that the replica must have changed."""
        return missed > self.floor + float(self.misses[step_of(load)]) + SURPRISE


def curve(counts: Counts, least: float = 0.0) -> Curve:
    """Weigh all curves by what was seen.

    Args:
        counts: requests and misses by the load.
        least: a load that a replica carries at least, as it is guessed before anything is seen (prior.py).
    """
    grid = _grid()
    (used,) = np.nonzero(counts[0])
    seen = slice(int(used[0]), int(used[-1]) + 1)
    missed = counts[1, seen]
    likely = missed @ grid.log_miss[seen] + (counts[0, seen] - missed) @ grid.log_meet[seen]
    likely = likely.reshape(-1, len(FLOORS)) + grid.prior
    if least > 0:
        likely[grid.knees < math.log(least)] -= DOUBT
    weight = np.exp(likely - likely.max())
    weight /= weight.sum()
    shapes = weight.sum(axis=1)
    by_knee = np.cumsum(shapes.reshape(KNEES, -1).sum(axis=1))
    low, high = (_knee(int(np.searchsorted(by_knee, share))) for share in (0.05, 0.95))
    floor = float(weight.sum(axis=0) @ np.array(FLOORS))
    return Curve(shapes @ grid.missing, floor, low, high, float(counts[0].sum()), shapes)


def _knee(place: int) -> float:
    """Return the load of a knee by its place in the grid."""
    return math.exp(LOWEST + WIDTH * (FIRST + place))


def errors(pairs: Vector | None, level: float, slope: float) -> Vector:
    """Return how likely it is that `level` turns out to be so many steps off, one start-up later.

    Args:
        pairs: a row for each forecast that was checked: logarithms of the level it was made of, of what came over that
            level, and of the slope then; None: none was.
        level: of the load now.
        slope: the last minute's load over the last minutes', as a logarithm.

    Returns:
        Weights of the steps from -SPAN to SPAN.
    """
    here = math.log(level)
    client = np.zeros(2 * SPAN + 1)
    client[SPAN + round(math.log1p(2 * min(1.0, 1 / level)) / WIDTH)] = CLIENT
    if pairs is None:
        return np.asarray(_USUAL + client / UNSEEN)
    apart = ((pairs[:, 0] - here) / NEAR) ** 2 + ((pairs[:, 2] - slope) / NEAR_SLOPE) ** 2
    broke = np.abs(pairs[:, 1]) > BREAK
    goes_on = USUAL_WEIGHT * _USUAL + np.bincount(
        _place(pairs[:, 1]), np.where(broke, 0.0, np.exp(-0.5 * apart)), 2 * SPAN + 1
    )
    begins = np.bincount(_place(pairs[:, 0] + pairs[:, 1] - here), minlength=2 * SPAN + 1) / len(pairs)
    begins = np.convolve(begins, _USUAL, "same")
    all_seen = len(pairs) + UNSEEN
    chance = broke.sum() / all_seen
    return np.asarray((1 - chance) * goes_on / goes_on.sum() + chance * begins + client / all_seen)


def _place(off: Vector) -> npt.NDArray[np.intp]:
    """Return the steps by which loads are off, from 0 for the lowest."""
    steps = np.minimum(np.maximum(np.rint(off / WIDTH), -SPAN), SPAN)  # np.clip takes as long as all the rest
    return np.asarray(steps.astype(np.intp) + SPAN)


def remembered(pairs: Vector | None, level: float, came: float, slope: float, most: int) -> Vector:
    """Add a forecast that was checked, and forget the oldest beyond `most`."""
    row = np.array([[math.log(level), math.log(came / level), slope]])
    return row if pairs is None else np.vstack([pairs[1 - most :], row])


def carries(known: Curve, wrong: Vector, budget: float) -> tuple[float, float]:
    """Find the largest load of a replica at which no more than `budget` of the requests are expected to miss.

    Args:
        known: what is known of a replica.
        wrong: by how much the load may turn out to be another, from `errors`.
        budget: share of requests that may miss besides the floor.

    Returns:
        The load as it is forecast, and the load that the curve alone would allow: their ratio is the margin.
    """
    weight = wrong * np.exp(_OFF)  # a load three times as high has three times as many requests
    padded = np.concatenate([np.full(SPAN, known.misses[0]), known.misses, np.full(SPAN, known.misses[-1])])
    expected = np.correlate(padded, weight / weight.sum(), "valid")
    alone = _last_within(known.misses, budget)
    typical = _typical(known.shapes, budget)
    return _last_within(expected, budget) * typical / alone, typical


def _typical(shapes: Vector, budget: float) -> float:
    """Find the load at which `BELIEVED` of the curves, by their likelihood, have reached the budget."""
    reach = _grid().knees + math.log(budget / (1 - budget)) * _INVERSE_STEEPNESS
    order = np.argsort(reach)
    place = int(np.searchsorted(np.cumsum(shapes[order]), BELIEVED))
    return math.exp(reach[order[min(place, len(order) - 1)]])


def _last_within(misses: Vector, budget: float) -> float:
    """Find the load at which a rising share of misses reaches the budget, by a straight line between two steps."""
    over = np.flatnonzero(misses > budget)
    place = int(over[0]) if len(over) else STEPS - 1
    if place == 0:
        return math.exp(LOWEST)
    before, after = float(misses[place - 1]), float(misses[place])
    part = (budget - before) / max(after - before, 1e-12)
    return math.exp(LOWEST + WIDTH * (place - 1 + min(max(part, 0.0), 1.0)))
