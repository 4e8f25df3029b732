"""Down at a pace: an answer falls slowly, since what is let go cannot be had back at once.

A replica that is needed again has to be ordered, placed and loaded again, while its load waits. So what is answered is
the largest of three numbers:

    the need now
    the greatest need of the last `window`
    the largest answer of the last minute, less 10 % of it (rounded down, and at least 1)

`window` is the start-up that was learnt from the pods that are ready, between 2 and 15 minutes: what was needed so
lately may be needed again before it could be had again. From 64 to a need of 5: 64 for the window, then 58, 53, 48, ...
a minute apart, and 5 after 28 minutes.

Its law: it limits falls alone; growth is never slowed. What was not seen lowers nothing: before a whole window of needs
and a minute of our own answers are known (a new process, an edit, the end of an outage), the answer stays at what was
answered, or at the replicas that there are. More than maxReplicaCount never was there, so answers fall from that. At 0
replicas there is nothing to let go, and it starts anew. It says nothing about "inactive", with which KEDA goes to 0 in
one step: that has a time of its own, `idleFor`. A limit of what can be had (capacity.py) goes before it, since what is
not there cannot be kept.

Under the HPA's defaults a burst of long prompts orders 64 replicas, lets nearly all of them go five minutes later, and
orders them again: 56 % of the requests met the SLO, and 77 % with this pace (tests/benchmarks/bench_pace.py, 180 s).
"""

import math
from dataclasses import dataclass

from scaler.config.defaults import ScaleDown
from scaler.model.fields import seconds

MINUTE = 60.0  # seconds
SHORTEST, LONGEST = 120.0, 900.0  # seconds: bounds of a window that is learnt

TimedCount = tuple[float, int]  # (time, replicas)


@dataclass(frozen=True, slots=True)
class PacePast:
    """The part of the past that a tick needs: needs of the last window and answers of the last minute, oldest first.

    Of both, only those are kept that no later one reaches, since only the largest counts: the first is the largest.
    """

    needs: tuple[TimedCount, ...] = ()
    answers: tuple[TimedCount, ...] = ()
    since: float | None = None  # all answers from then on are known
    located: bool = False  # it was known how many replicas there are
    took: float | None = None  # seconds from order to ready, as learnt last


NOTHING_YET = PacePast()


@dataclass(frozen=True, slots=True)
class Pace:
    """The bound below which an answer may not fall at one tick."""

    least: int  # the least that may be answered
    window: float  # seconds
    percent: float
    took: float | None  # seconds from order to ready, where learnt
    reason: str  # what binds, in words

    def within(self, due: int | None) -> int | None:
        """Return the replicas that are needed, or the least that may be answered if that is more."""
        return None if due is None else max(due, self.least)


def pace(
    setting: ScaleDown, past: PacePast, floor: int | None, current: int | None, seen: float, now: float
) -> Pace | None:
    """Say how far the answer may fall.

    Args:
        setting: the percentage and the window.
        past: what the tick before left.
        floor: what was answered last, or the replicas that there are if that is more; None: neither is known.
        current: the replicas that there are.
        seen: seconds of needs that are known without a gap.
        now: the tick's time.

    Returns:
        The limit; None where there is nothing to let go.
    """
    if floor is None or current == 0:
        return None
    window = window_of(setting, past.took)
    minute = MINUTE if setting.percent < 100 else 0.0
    answering = 0.0 if past.since is None or _newly_located(past, current) else now - past.since
    for known, needed, what in ((seen, window, "what was needed"), (answering, minute, "what was answered")):
        if known < needed:
            so_far = seconds(round(max(known, 0.0)))
            reason = f"of {what}, {so_far} of {seconds(needed)} are known, and before that nothing is lowered"
            return Pace(floor, window, setting.percent, past.took, reason)
    at, need = next(iter(_kept(past.needs, now - window)), (now, 0))
    _, most = next(iter(_kept(past.answers, now - MINUTE)), (now, floor))
    step = max(math.floor(most * setting.percent / 100 + 1e-9), 1)
    if need >= most - step:
        asked = "1 was needed" if need == 1 else f"{need} were needed"
        reason = f"{asked} {seconds(round(now - at))} ago, within the last {seconds(round(window))}"
        return Pace(need, window, setting.percent, past.took, reason)
    share = "1 replica" if step == 1 else f"{setting.percent:g}%"
    return Pace(most - step, window, setting.percent, past.took, f"it falls by {share} a minute, from {most}")


def following(
    setting: ScaleDown, past: PacePast, need: int | None, answer: int | None, current: int | None, now: float
) -> PacePast:
    """Remember what was needed and answered at this tick; None where there was none."""
    needs = _kept(past.needs, now - window_of(setting, past.took))
    answers = _kept(past.answers, now - MINUTE)
    since = past.since
    if current == 0:
        needs, answers, since = (), (), -math.inf
    elif not answers or _newly_located(past, current):
        since = None if answer is None else now
    return PacePast(
        needs=needs if need is None else _with(needs, (now, need)),
        answers=answers if answer is None else _with(answers, (now, answer)),
        since=since,
        located=past.located or current is not None,
        took=past.took,
    )


def window_of(setting: ScaleDown, took: float | None) -> float:
    """Give the window that is set, or the start-up that was learnt within its bounds; the shortest where none was."""
    return setting.window if setting.window is not None else min(max(took or 0.0, SHORTEST), LONGEST)


def _newly_located(past: PacePast, current: int | None) -> bool:
    """Tell whether the number of replicas is known for the first time: nobody heard what was answered before."""
    return current is not None and not past.located


def _kept(samples: tuple[TimedCount, ...], start: float) -> tuple[TimedCount, ...]:
    return tuple(sample for sample in samples if sample[0] >= start)


def _with(samples: tuple[TimedCount, ...], newest: TimedCount) -> tuple[TimedCount, ...]:
    """Add the newest; those that it reaches count no more."""
    return (*(sample for sample in samples if sample[1] > newest[1]), newest)
