"""Replicas on their way: what has piled up because they are not ready yet is no reason to ask for still more.

While a model loads, its queue grows, and a queue that is shared among replicas asks for more of them every time it is
read: all for the same load, and all of them come at once, when nobody waits any longer. So what waits for a replica on
its way is left out of the account:

    answer = max(current, asked - sum over replicas on their way of age / DRAIN_SECONDS)        where asked > current

since in that time it would have worked off its target's worth so many times. What is beyond that is ordered at once, so
a burst is not held back, nor is a second one that comes while the first is waited for. When they have come, their queue
is still there: what was left out fades over half of the time that it had to grow.

Its law: it limits growth alone, never below the replicas there are. A replica that takes twice as long as the ready
ones took (and 5 minutes), or longer than the limit, is not believed to come: what waits for it counts again. Nothing is
left out while more is asked for than can be had, where that is known: who waits in vain is not on the way. Pods that
replace others, as in a rollout, have nobody waiting for them. All ages are Kubernetes' own, so that a restart changes
little. Where the pods are not known, nothing is left out.

The problem, and a simpler remedy, asked - pending, are in llm-d's guides to KEDA (2026). In scaler/sim, 6 requests/s
from zero on a model that loads for 5 minutes: 144 replicas at most, 75 with that, 17 with this; the SLO as often met.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from statistics import median

from scaler.decision.capacity import Capacity
from scaler.model.fields import seconds
from scaler.model.measurement import Inputs
from scaler.model.objects import Pod

DRAIN_SECONDS = 30.0  # seconds in which a replica works off what it is meant to hold; requests of a chat take less
OVERDUE_FACTOR = 2.0  # times as long as others took
OVERDUE_MIN = (
    300.0  # seconds for which one is believed to come, however soon others came: it may need a new machine first
)
DECAY = 0.5  # of the time that a queue had to grow


@dataclass(frozen=True, slots=True)
class StartingState:
    """The starting replicas that the next tick needs to know of. Loads are in replicas."""

    at: float
    waiting: float = 0.0  # for replicas on their way
    oldest: float = 0.0  # seconds that one of them has been on its way
    fading: float = 0.0  # has waited for those that have come, as of `at`
    span: float = 0.0  # seconds until nothing is left of that
    since: float = -math.inf  # more was asked for than could be had, then for the last time

    def left(self, now: float) -> float:
        """Return the part that has not faded."""
        return self.fading * max(1 - (now - self.at) / self.span, 0.0) if self.span else 0.0


@dataclass(frozen=True, slots=True)
class StartingReplicas:
    """Replicas on their way, and what waits for them."""

    replicas: int
    oldest: float  # seconds
    late: int  # that are not believed to come
    took: float | None  # seconds from order to ready, the median of those that are ready; None: none is known
    limit: float  # seconds for which one is believed to come
    owed: float  # replicas' worth of load
    current: int

    def within(self, asked: int | None) -> int | None:
        """Return the desired replicas, less the load that waits for starting ones."""
        if asked is None:
            return None
        return max(min(asked, self.current), math.ceil(round(asked - self.owed, 6)))

    def says(self) -> str:
        """Say how much load is left out, and which replicas it waits for."""
        load = f"{self.owed:.1f} replicas' worth of load"
        if not self.replicas:
            return f"{load} has waited for those that have just come"
        return f"{load} waits for the {self.replicas} on the way for {seconds(round(self.oldest))}"


def starting_credit(
    limit: float, before: StartingState | None, inputs: Inputs, room: Capacity | None, now: float
) -> tuple[StartingState | None, StartingReplicas | None]:
    """Reckon what waits for replicas on their way.

    Args:
        limit: seconds after which none is believed to come; 0 leaves nothing out.
        before: what the last tick returned.
        inputs: what is known of the pods.
        room: what can be had, where that was reckoned.
        now: the tick's time.

    Returns:
        What the next tick needs, and the account; None where the pods are not known.
    """
    known, pods = inputs.target_status, inputs.target.pods
    if not limit or pods is None or known.current is None or known.stale_reason:
        return None, None
    took = learnt(pods, limit)
    most = limit if took is None else min(limit, max(OVERDUE_FACTOR * took, OVERDUE_MIN))
    if room and room.replicas is not None and known.current > room.replicas:
        return StartingState(now, since=now), StartingReplicas(0, 0.0, 0, took, most, 0.0, known.current)
    before = before or StartingState(now)
    missing = max(known.current - (known.ever_ready or 0), 0)  # the others replace pods that still serve
    made = [pod.since for pod in pods if pod.state in {"starting", "pending"} and pod.since is not None]
    ages = sorted(max(now - max(since, before.since), 0.0) for since in made)[:missing]
    young = [age for age in ages if age <= most]
    waiting, oldest, late = sum(young) / DRAIN_SECONDS, max(young, default=0.0), len(ages) - len(young)
    after = _faded(before, waiting, now) if not late else StartingState(now, since=before.since)
    after = replace(after, waiting=waiting, oldest=oldest)
    return after, StartingReplicas(len(young), oldest, late, took, most, waiting + after.left(now), known.current)


def learnt(pods: Iterable[Pod], limit: float) -> float | None:
    """Give the seconds from order to ready: the median of those that took no longer than `limit`; None: unknown."""
    spans = [pod.ready_since - pod.since for pod in pods if pod.ready_since is not None and pod.since is not None]
    believed = [span for span in spans if 0 <= span <= limit]
    return median(believed) if believed else None


def _faded(before: StartingState, waiting: float, now: float) -> StartingState:
    """Fade what was there before, with what has waited for replicas that are ready since."""
    came = before.waiting - waiting
    if came <= 0:
        return before
    return StartingState(now, fading=before.left(now) + came, span=DECAY * before.oldest, since=before.since)
