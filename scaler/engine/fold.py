"""From answers to a decision that nobody has been told yet.

`decide` is folded over the past of a new workload, and over one time of any other. What went wrong with one workload is
said to its own user, and stops no other.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scaler.config.workload import WorkloadSpec
from scaler.decision.decide import decide
from scaler.decision.decision import Decision
from scaler.decision.state import State
from scaler.engine.admission import Admission
from scaler.engine.workload import Answers, TickPlan, Workload, fault
from scaler.model.measurement import Failure, Reading
from scaler.model.objects import UNSEEN
from scaler.policy.recall import RecalledPast

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Folded:
    """The results of one workload's tick, by itself."""

    workload: Workload
    spec: WorkloadSpec  # that was folded: an edit may have come in between
    state: State
    decision: Decision
    at: float  # grid time
    answers: Answers
    past: bool  # its history was folded
    seen: bool  # something was measured, or there was nothing to measure
    days: int = 0  # pieces of the days before that were folded too
    first_look: bool = False  # on what there is now alone: the next tick begins with its past


class Folder:
    """Folds one tick after another, and lets others run in between: a long past is thousands of folds.

    Args:
        admission: where each fold waits for its turn.
    """

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    async def fold(self, item: Workload, answers: Answers, times: Sequence[float]) -> Folded | None:
        """Fold answers into a workload, which stays as it is.

        Args:
            item: whose plan the answers are for.
            answers: to all that the plan asks, one for each time.
            times: on the grid, ascending.

        Returns:
            What it came to; None where that failed, which the workload's `fault` says.
        """
        known = item.established and len(times) == 1
        await self._admission.work(item.request.namespace, known=known)
        decision, plan, past = item.decision, item.plan, item.days.past
        spec = plan.spec
        try:
            state = _with_days(spec, item.state, past, times[-1])
            for index, time in enumerate(times):
                if index:
                    await self._admission.work(item.request.namespace, known=known)
                measured = {query: answers[asked][index] for query, asked in plan.queries.items()}
                newest = time == times[-1]
                if not newest and all(isinstance(one, Failure) for one in measured.values()):
                    continue  # history that could not be had is not an outage that was seen
                target = plan.target if newest else UNSEEN  # of the past Kubernetes says nothing
                state, decision = decide(spec, state, spec.inputs_of(measured, target), time)
                if not newest and state.certain is None:
                    state = replace(state, started=item.state.started)  # nor time for which we gave no answer
        except Exception as error:  # one workload's fault must not stop the others
            logger.exception("a fold failed", extra={"workload": str(item.key)})
            item.fault = fault("nothing can be decided for it", error)
            return None
        item.fault = ""
        if decision is None:
            return None
        seen = _any_reading(answers, plan) or not plan.queries
        return Folded(item, spec, state, decision, times[-1], answers, len(times) > 1, seen, days=len(past))


def _with_days(spec: WorkloadSpec, state: State, past: RecalledPast, now: float) -> State:
    """Let the policy take in what has come of the days before."""
    algorithm = spec.algorithm
    if not past or algorithm is None or algorithm.recall is None:
        return state
    return replace(state, policy=algorithm.recall.fold(state.policy or algorithm.initial, past, now))


def _any_reading(answers: Answers, plan: TickPlan) -> bool:
    return any(isinstance(answers[query][-1], Reading) for query in plan.queries.values())
