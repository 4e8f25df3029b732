"""The days before, for the policies that look at them: asked for one day at a time, behind everything else.

What a policy needs for its first answer it has from its history of minutes or hours (schedule.py). Days would make that
wait, so they come later: after the first answer, one question at a time, of a day of some workloads in steps of five
minutes, the newest day first. What has come is folded with the next tick. A source that does not remember that far, or
fails, is asked for no more of it for an hour; without it the days are learnt as they pass.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from scaler.engine.schedule import Batch
from scaler.engine.workload import Answers, Workload
from scaler.model.measurement import Ask, Reading, SignalAsk
from scaler.policy.recall import DAY, DAYS, PIECE

AT_ONCE = 20  # workloads of one question
RETRY = 3600.0  # seconds


@dataclass(frozen=True, slots=True)
class Question:
    """A day of some workloads of one endpoint."""

    batch: Batch
    asks: Mapping[Workload, Mapping[str, Ask]]  # by the name of the input


def next_question(items: Collection[Workload], direct: Collection[str], now: float) -> Question | None:
    """Return the next day to ask for; None: nothing is wanted.

    Args:
        items: all workloads. Those of which nothing can be asked are done with.
        direct: endpoints that remember nothing.
        now: seconds since the epoch.
    """
    wanting = [item for item in items if _wants_days(item, now)]
    if not wanting:
        return None
    asked = min(item.days.asked for item in wanting)
    last = now // PIECE * PIECE - asked * DAY * PIECE
    times = tuple(last - PIECE * step for step in range(DAY - 1, -1, -1))
    endpoint = ""
    chosen: dict[Workload, Mapping[str, Ask]] = {}
    for item in wanting:
        if item.days.asked != asked or len(chosen) == AT_ONCE:
            continue
        asks = _asks(item, direct)
        its_own = next((ask.endpoint for ask in asks.values()), "")
        if not its_own:
            item.days = replace(item.days, asked=DAYS)
        elif its_own == (endpoint or its_own):
            endpoint, chosen[item] = its_own, asks
    return Question(Batch(endpoint, times), chosen) if chosen else None


def _wants_days(item: Workload, now: float) -> bool:
    recalls = item.spec.algorithm is not None and item.spec.algorithm.recall is not None
    return recalls and item.backfilled and item.days.asked < DAYS and now >= item.days.after


def _asks(item: Workload, direct: Collection[str]) -> Mapping[str, Ask]:
    """What is asked of one workload, each over five minutes, all at one endpoint; empty where nothing can be."""
    algorithm = item.spec.algorithm
    wanted = algorithm.recall.inputs if algorithm and algorithm.recall else frozenset()
    asks = {one.name: one.ask for one in item.spec.inputs if one.name in wanted}
    own = {name: item.plan.asks.get(ask, ask) for name, ask in asks.items() if isinstance(ask, SignalAsk)}
    pieces = {name: replace(ask, window=PIECE) for name, ask in own.items() if isinstance(ask, SignalAsk)}
    endpoints = {ask.endpoint for ask in pieces.values()}
    return pieces if set(pieces) == wanted and len(endpoints) == 1 and endpoints.isdisjoint(direct) else {}


def keep(question: Question, answers: Answers, now: float) -> None:
    """Give each workload its day, to be folded with its next tick."""
    for item, asks in question.asks.items():
        day = []
        for place, end in enumerate(question.batch.times):
            told = {name: answers[ask][place] for name, ask in asks.items()}
            values = {name: one.value for name, one in told.items() if isinstance(one, Reading) and not one.partial}
            known = {name: value for name, value in values.items() if value is not None}
            if len(known) == len(asks):
                day.append((end, known))
        failed = not any(isinstance(one, Reading) for ask in asks.values() for one in answers[ask])
        days = item.days
        item.days = replace(
            days,
            asked=days.asked if failed else days.asked + 1,
            after=now + RETRY if failed else days.after,
            past=(*days.past, *day),
        )
