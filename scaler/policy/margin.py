"""The margin: how much less a replica is given than it carries, for what may come before another is ready.

    check     a forecast of the load, held against what came one start-up later: by how much it was off
    alone     the load of a replica that the curve alone would allow
    carried   the load with which no more than the budget is expected to miss, whatever may come; carried / alone is the
              margin

    forecast 4.0 replicas at their edge, 3 minutes later it was 6.0: off by a factor of 1.5
    a replica carries 0.8 of its edge; with a hundred such checks in mind it is given less: 0.65

A replica is never tried with more than twice the highest load that it was seen to carry well, so that an edge that is
foretold wrongly is found in steps. It needs numpy, as curve.py does.
"""

import math
from dataclasses import dataclass

from scaler.policy import curve
from scaler.policy.speed import Flow, Speed

ALIKE_LEVEL = 0.04  # of a load's logarithm: one that differs by less has the same margin
HOLDS = 60.0  # seconds for which a margin holds
APART = 30.0  # seconds between two forecasts that are checked
CHECKS = 720  # of them that are kept: six hours


@dataclass(frozen=True, slots=True)
class Forecast:
    """A forecast of the load, to be checked one start-up later."""

    at: float
    level: Flow
    slope: float  # the last minute's load over the last minutes', as a logarithm


@dataclass(frozen=True, slots=True, eq=False)
class Checks:
    """Forecasts of one start-up, and those before that were checked."""

    waiting: tuple[Forecast, ...] = ()  # oldest first
    pairs: curve.Vector | None = None  # a row for each that was checked; see curve.errors


@dataclass(frozen=True, slots=True)
class Margin:
    """The load that a replica may be given, with what may come in mind; it holds for a while."""

    at: float
    level: float  # the load then, in replicas at their edge
    carried: float  # the load as it is forecast
    alone: float  # what the curve alone would allow
    tried: bool  # it is less than that, since no more than twice the load that was carried well is tried

    def holds(self, level: float, now: float) -> bool:
        """Tell whether it still holds: for a minute, while the load is about the same."""
        return now - self.at < HOLDS and abs(math.log(level / self.level)) < ALIKE_LEVEL


def checked(before: Checks | None, forecast: Forecast, came: float, lead: float, speed: Speed, itl: float) -> Checks:
    """Hold what has come against what was to be expected one start-up ago, and keep a forecast for later.

    Args:
        before: what was checked so far; None: nothing.
        forecast: of now.
        came: the load of the last minute, in replicas at their edge.
        lead: seconds that a forecast looks ahead.
        speed: of a replica, as it is known now.
        itl: seconds a token, as promised.
    """
    known = before or Checks()
    if known.waiting and forecast.at - known.waiting[-1].at < APART:
        return known
    due = [one for one in known.waiting if one.at <= forecast.at - lead]
    waiting = (*known.waiting[max(len(due) - 1, 0) :], forecast)
    foretold = speed.replicas(due[-1].level, itl) if due else 0.0
    if foretold <= 0 or came <= 0:
        return Checks(waiting, known.pairs)
    return Checks(waiting, curve.remembered(known.pairs, foretold, came, due[-1].slope, CHECKS))


def margin_of(
    known: curve.Curve, checks: Checks, forecast: Forecast, level: float, budget: float, most: float
) -> Margin:
    """Say what a replica may be given now.

    Args:
        known: the curve of a replica.
        checks: the forecasts that were checked.
        forecast: of now.
        level: the load that is expected, in replicas at their edge.
        budget: the share of requests that may miss now.
        most: a replica is not tried with more; 0: there is no such bound.
    """
    wrong = curve.errors(checks.pairs, level, forecast.slope)
    carried, alone = curve.carries(known, wrong, budget)
    bound = most or carried
    return Margin(forecast.at, level, min(carried, bound), alone, carried > bound)
