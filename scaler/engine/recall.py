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
from scaler.model.measurement import Query, Reading, SignalQuery
from scaler.policy.recall import DAY, DAYS, PIECE

AT_ONCE = 20  # workloads of one question
RETRY = 3600.0  # seconds


@dataclass(frozen=True, slots=True)
class RecallQuestion:
    """A day of some workloads of one endpoint."""

    batch: Batch
    queries: Mapping[Workload, Mapping[str, Query]]  # by the name of the input


def next_question(items: Collection[Workload], direct: Collection[str], now: float) -> RecallQuestion | None:
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
    chosen: dict[Workload, Mapping[str, Query]] = {}
    for item in wanting:
        if item.days.asked != asked or len(chosen) == AT_ONCE:
            continue
        queries = _queries(item, direct)
        its_own = next((query.endpoint for query in queries.values()), "")
        if not its_own:
            item.days = replace(item.days, asked=DAYS)
        elif its_own == (endpoint or its_own):
            endpoint, chosen[item] = its_own, queries
    return RecallQuestion(Batch(endpoint, times), chosen) if chosen else None


def _wants_days(item: Workload, now: float) -> bool:
    recalls = item.spec.algorithm is not None and item.spec.algorithm.recall is not None
    return recalls and item.backfilled and item.days.asked < DAYS and now >= item.days.after


def _queries(item: Workload, direct: Collection[str]) -> Mapping[str, Query]:
    """Map what is asked of one workload's past, over five minutes each, at one endpoint; empty where nothing can be."""
    algorithm = item.spec.algorithm
    wanted = algorithm.recall.inputs if algorithm and algorithm.recall else frozenset()
    queries = {one.name: one.query for one in item.spec.inputs if one.name in wanted}
    own = {
        name: item.plan.queries.get(query, query) for name, query in queries.items() if isinstance(query, SignalQuery)
    }
    pieces = {name: replace(query, window=PIECE) for name, query in own.items() if isinstance(query, SignalQuery)}
    endpoints = {query.endpoint for query in pieces.values()}
    return pieces if set(pieces) == wanted and len(endpoints) == 1 and endpoints.isdisjoint(direct) else {}


def keep(question: RecallQuestion, answers: Answers, now: float) -> None:
    """Give each workload its day, to be folded with its next tick."""
    for item, queries in question.queries.items():
        day = []
        for place, end in enumerate(question.batch.times):
            told = {name: answers[query][place] for name, query in queries.items()}
            values = {
                name: one.value for name, one in told.items() if isinstance(one, Reading) and not one.incomplete_reason
            }
            known = {name: value for name, value in values.items() if value is not None}
            if len(known) == len(queries):
                day.append((end, known))
        failed = not any(isinstance(one, Reading) for query in queries.values() for one in answers[query])
        days = item.days
        item.days = replace(
            days,
            asked=days.asked if failed else days.asked + 1,
            after=now + RETRY if failed else days.after,
            past=(*days.past, *day),
        )
