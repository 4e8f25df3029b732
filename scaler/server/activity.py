"""When an open StreamIsActive says what.

KEDA acts on a pushed `true` only at zero replicas; otherwise it costs a status patch and nothing more (KEDA v2.20.2,
pkg/scaling/executor/scale_scaledobjects.go). So a stream says the state when it opens and then every change to active,
and says active again only while the push may have been lost: KEDA drops it for an object that it has not reconciled
yet. The grid time of the decisions is the only clock.
"""

from dataclasses import dataclass, replace

from scaler.decision.decision import Decision

REPEAT = 5.0  # seconds between two words for a workload that sleeps on
PATIENCE = 60.0  # seconds after which a workload whose replicas are not known counts as awake


@dataclass(frozen=True, slots=True)
class PushState:
    """The part that the stream has said so far."""

    active: bool | None = None  # None: nothing yet
    since: float = 0.0  # the decision that made it active
    at: float = 0.0  # the newest word


def next_push(said: PushState, decision: Decision) -> tuple[PushState, bool | None]:
    """Return what to remember, and the word to send, or None for silence.

    An activation that is seen now wakes, also where the rest of the decision is uncertain. What cannot be said changes
    nothing: active, unknown, active again is no new edge.
    """
    now = decision.at
    active = True if decision.activate_now else decision.active
    if active is None:
        return said, None
    if not active:
        return PushState(active=False), False if said.active is None else None
    if not said.active:
        return PushState(active=True, since=now, at=now), True
    if _is_inactive(said, decision) and not 0 <= now - said.at < REPEAT:
        return replace(said, at=now), True
    return said, None


def _is_inactive(said: PushState, decision: Decision) -> bool:
    if decision.known_replicas is None:
        return decision.at - said.since < PATIENCE
    return decision.known_replicas == 0
