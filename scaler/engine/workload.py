"""One workload as the engine keeps it: the only thing in llm-scaler that changes from tick to tick.

registry  makes it and forgets it      schedule  says when it is due, and what is asked for it
collect   brings the answers           fold      makes a decision of them, publish tells it
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from scaler.config.formula_file import FormulaFile
from scaler.config.workload import WorkloadSpec
from scaler.decision.decision import Decision
from scaler.decision.state import State
from scaler.engine.hpa_sync import HpaSync
from scaler.model.measurement import Measurement, Query, TargetPods, TriggerRef, WorkloadKey
from scaler.model.objects import UNSEEN, ScaledResource, TargetView
from scaler.policy.recall import RecalledPast

ESTABLISHED = 60.0  # seconds between the first and the newest call after which a workload counts as real
MAX_FAULT = 200  # characters of what went wrong that a user is told

Answers = Mapping[Query, Sequence[Measurement]]  # to every query, one for each time that was asked about


@dataclass(frozen=True, slots=True)
class TickPlan:
    """The queries of one workload's tick, and what the cluster says of its target at that time."""

    spec: WorkloadSpec
    queries: Mapping[Query, Query]  # of the spec -> as it is asked, of the target's own pods where these are known
    target: TargetView = UNSEEN
    pods: TargetPods | None = None  # that the queries are about; None: not known
    counted: bool = False  # Kubernetes says how many replicas there are, so no source is asked
    suspicious: bool = False  # the load stands still, so the engine's counters are asked for too


@dataclass(frozen=True, slots=True)
class Days:
    """The queries for the days before (recall.py)."""

    asked: int = 0  # days, the newest first
    after: float = 0.0  # nothing more is asked before that
    past: RecalledPast = ()  # what has come and is not folded yet


NO_DAYS = Days()


@dataclass(slots=True, eq=False)
class Workload:
    """One trigger that KEDA asks about."""

    request: TriggerRef
    key: WorkloadKey  # of the kind that Kubernetes says the object is, once it has
    file: FormulaFile | None  # what the spec was bound from
    spec: WorkloadSpec
    state: State
    first_asked: float
    last_asked: float
    plan: TickPlan
    scaled: ScaledResource | None = None  # what Kubernetes says of it, where it is known
    listed: bool = False  # known from Kubernetes, whether or not KEDA has asked
    folded: float | None = None  # grid time of the newest fold
    backfilled: bool = False  # its history was measured and folded; until then every tick asks for it again
    days: Days = NO_DAYS  # before, for a policy that looks at them
    alone: Decision | None = None  # what its newest fold came to, before it was decided together with others
    decision: Decision | None = None  # what is published
    fault: str = ""  # why its newest tick came to nothing
    notice: str = ""  # why an edit of its formula is not in force
    cadence: HpaSync = field(default_factory=HpaSync)  # when its ticks fall
    began: float | None = None  # when the tick began that is under way
    took: float = 0.0  # seconds that its newest tick took
    answers: Answers = field(default_factory=dict)  # of the newest fold, others' with them
    changed: asyncio.Event = field(default_factory=asyncio.Event)  # set, and replaced, at every decision

    @property
    def unseen(self) -> bool:
        """Tell whether it is new, and nothing was measured for it yet."""
        return self.decision is None and self.alone is None

    @property
    def established(self) -> bool:
        """Tell whether it is no passing call."""
        return self.listed or self.last_asked - self.first_asked >= ESTABLISHED

    @property
    def rank(self) -> tuple[bool, bool]:
        """The rank by which it is forgotten: lower ones first."""
        return self.listed, self.established

    @property
    def jobs_changed(self) -> bool:
        """Tell whether a Job came or ended since its policy counted Jobs: the next poll must not be told of before."""
        planned, algorithm = self.plan.target.scaled, self.spec.algorithm
        if algorithm is None or not algorithm.jobs or self.scaled is None or planned is None:
            return False
        return self.scaled.jobs != planned.jobs

    def own(self, at: float) -> bool:
        """Tell whether a time lies on the grid of its interval, and not only on the finer one of those that sleep."""
        return at == self.cadence.grid(at, self.spec.interval)

    def begin_anew(self, state: State) -> None:
        """Forget what was folded, but for a state to begin with."""
        self.state, self.folded, self.backfilled, self.alone = state, None, False, None
        self.days = NO_DAYS


def fault(what: str, error: Exception) -> str:
    """Say what went wrong with one workload, for its user; the log has more."""
    return f"{what} ({type(error).__name__}: {error})"[:MAX_FAULT] + "; the log of llm-scaler says where"
