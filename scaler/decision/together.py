"""Workloads that are decided together: the place for a step between the fold of each and what is published.

A step is pure: from what every workload that it concerns came to by itself to what each is told. It sees the newest
fold of all of them, whichever was due, and begins anew from these each time, so that nothing is limited twice.

    a: 6, b: 6, by themselves      -- a step that shares 8 -->      a: 4, b: 4
    a: 1, b: 6, at the next tick                                    a: 1, b: 6

STEPS is the table; each step takes what the one before it left. Whom a step does not give back keeps what it came to
by itself, so a step can forget nobody. Two triggers of one object are two workloads, also while one of them is an
edit of the other: `decision.key` says whose they are.
"""

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

from scaler.config.workload import WorkloadSpec
from scaler.decision.decide import at_most
from scaler.decision.decision import Answer, Decision
from scaler.decision.groups import Decided, decide_groups, group_of
from scaler.decision.pace import PacePast, following
from scaler.decision.state import State
from scaler.model.measurement import TriggerRef


@dataclass(frozen=True, slots=True)
class SharingStep:
    """One rule by which workloads are decided together.

    Args:
        name: for messages.
        concerns: whether a workload is one of them; the others are published without waiting.
        decide: from what each came to by itself to what each is told.
        circle: with whom a workload is decided: those of the same circle; others need not be decided anew for it.
    """

    name: str
    concerns: Callable[[WorkloadSpec], bool]
    decide: Callable[[Decided], Decided]
    circle: Callable[[WorkloadSpec], Hashable] = lambda _spec: None

    def apply(self, decided: Decided) -> Decided:
        """Return what each workload is told, for the same workloads."""
        concerned = {request: decision for request, decision in decided.items() if self.concerns(decision.spec)}
        told = self.decide(concerned)
        return {
            request: told[request] if request in concerned and request in told else decision
            for request, decision in decided.items()
        }


def in_a_group(spec: WorkloadSpec) -> bool:
    """Tell whether a workload is one of several outputs; Jobs start and end by themselves."""
    return spec.member is not None and not spec.is_job


STEPS: tuple[SharingStep, ...] = (SharingStep("groups", in_a_group, decide_groups, group_of),)


def _circles(steps: Sequence[SharingStep], spec: WorkloadSpec) -> set[tuple[str, Hashable]]:
    """Return whom a workload shares with: the circle that each step that concerns it has for it."""
    return {(step.name, step.circle(spec)) for step in steps if step.concerns(spec)}


def touched(
    steps: Sequence[SharingStep], new: Collection[TriggerRef], specs: Mapping[TriggerRef, WorkloadSpec]
) -> set[TriggerRef]:
    """Return who has to be decided anew: the new ones, and whoever shares a circle with one who has to be.

    Args:
        steps: the rules.
        new: who was folded just now.
        specs: of all whom a step concerns.
    """
    circles = {request: _circles(steps, spec) for request, spec in specs.items()}
    found = set(new) & circles.keys()
    while True:
        theirs = set().union(*(circles[request] for request in found))
        more = {request for request, own in circles.items() if own & theirs}
        if more == found:
            return found
        found = more


def carried(state: State, decision: Decision) -> State:
    """Return the state that the next tick begins with, where something else was told than the fold came to.

    What was told is what uncertain data may not lower. Where a group was not whole for so long that nothing was told,
    what was told before stands for that, and of what was answered since then nobody heard.
    """
    said, apart = decision.answer, decision.group.apart_since if decision.group else None
    if said is None and apart is None:
        return replace(state, apart_since=None)
    if said is None:
        return replace(
            state, minimum_answer=decision.minimum_answer, apart_since=apart, pace=PacePast(took=state.pace.took)
        )
    certain = said if decision.certainty == "certain" else state.certain
    return replace(
        state,
        minimum_answer=said.replicas,
        active=said.active,
        certain=certain,
        apart_since=apart,
        pace=_paced(state, decision, said),
    )


def _paced(state: State, decision: Decision, said: Answer) -> PacePast:
    """Remember what a variant was needed for in its mix, and was told; of others the fold remembered it itself."""
    setting, known = decision.spec.scale_down, decision.target_status
    if decision.planned is None or setting is None:
        return state.pace
    planned, told = at_most(decision.planned, known), at_most(said.replicas, known)
    return following(setting, state.pace, planned, told, known.current, decision.at)
