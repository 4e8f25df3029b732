"""From a fold to what everybody reads: the only place that changes a workload's decision.

Most workloads are decided alone, and published as they are folded. Those that a step of decision/together.py concerns
wait for their batch; then all who share with one of it, with the newest that each came to by itself, are decided
together, and published where that changed what is said. What was published is also what the next tick begins with.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from scaler.decision.decision import Decision
from scaler.decision.groups import Decided
from scaler.decision.state import inherited
from scaler.decision.together import SharingStep, carried, touched
from scaler.engine.fold import Folded
from scaler.engine.workload import Workload
from scaler.model.measurement import TriggerRef

logger = logging.getLogger(__name__)

OnDecision = Callable[[Decision | None, Decision], None]


class Publisher:
    """Publishes decisions.

    Args:
        clock: seconds since the epoch.
        wake: called when a workload was edited while its tick was under way, so that another is due.
        on_decision: called with every decision, and the one before it.
        steps: by which workloads are decided together.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        wake: Callable[[], None],
        on_decision: OnDecision,
        steps: Sequence[SharingStep],
    ) -> None:
        self._clock = clock
        self._wake = wake
        self._on_decision = on_decision
        self._steps = steps

    def is_shared(self, item: Workload) -> bool:
        """Tell whether a workload is decided together with others."""
        return any(step.concerns(item.spec) for step in self._steps)

    def publish(self, folded: Folded) -> None:
        """Publish what a workload came to by itself."""
        if self._keep(folded):
            self._tell(folded.workload, folded.decision)

    def publish_together(self, group: Collection[Folded], workloads: Mapping[TriggerRef, Workload]) -> None:
        """Decide who was folded together with all who share with them, and publish that with whoever is told otherwise.

        Args:
            group: what was folded just now.
            workloads: all that there are.
        """
        new = {folded.workload.request for folded in group if self._keep(folded)}
        specs = {request: item.spec for request, item in workloads.items() if self.is_shared(item)}
        anew = touched(self._steps, new, specs)
        shared = {request: workloads[request] for request in specs if request in anew}
        alone = {request: item.alone for request, item in shared.items() if item.alone is not None}
        for request, decision in self._decide_together(alone).items():
            item = shared[request]
            if request in new or not _says_the_same(item.decision, decision):
                item.state = carried(item.state, decision)
                self._tell(item, decision)

    def _decide_together(self, alone: Decided) -> Decided:
        """Take every step in turn; one that fails is left out, so that a rule's fault silences nobody."""
        decided = alone
        for step in self._steps:
            try:
                decided = step.apply(decided)
            except Exception:
                logger.exception("workloads cannot be decided together", extra={"step": step.name})
        return decided

    def _keep(self, folded: Folded) -> bool:
        """Let the next tick begin where this one ended; not where an edit came in between: its own fold follows."""
        item = folded.workload
        if item.spec is not folded.spec:
            self._wake()
            return False
        item.alone = folded.decision
        item.took = 0.0 if item.began is None else self._clock() - item.began
        if folded.first_look:
            return folded.decision.answer is not None  # otherwise its past may hold an answer
        item.folded = folded.at
        if item.backfilled or folded.seen:
            item.state, item.backfilled = folded.state, True
            item.days = replace(item.days, past=item.days.past[folded.days :])
        else:  # its past is asked for again at the next tick, but holdFor runs and what was answered is a floor
            item.state = inherited([folded.state])
        item.answers = {} if folded.past else folded.answers
        return True

    def _tell(self, item: Workload, decision: Decision) -> None:
        """Make a decision the one that is read, and wake who waits for it."""
        before, item.decision = item.decision, decision
        item.changed.set()
        item.changed = asyncio.Event()
        self._on_decision(before, decision)


def _says_the_same(before: Decision | None, after: Decision) -> bool:
    return before is not None and (before.answer, before.reason) == (after.answer, after.reason)
