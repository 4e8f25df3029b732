"""What can be had, beside what is asked for: a replica without a machine is nothing but a pod that waits.

    can be had = own pods on machines + places on the machines that are there + replicas on machines still to be bought

Its law: it limits growth alone. It never asks for fewer replicas than there are, and always for at least one more than
can be had, the probe: a pool that was out of stock is only tried again when somebody waits for it, and a limit that
was reckoned too low is seen through. What is not known limits nothing, and neither does what is only known to be at
least so much: there may be more. What is known to be at most so much does limit, since more than that cannot be had
anyway; if it is too high, some replicas wait that need not. So what counts of a number is the most that there can be:
where pods of a lower priority may give way, that they all do.
"""

import math
from dataclasses import dataclass

from scaler.cluster.hpa import MAX_REPLICAS, HpaSpec, replicas_for_average_value
from scaler.config.defaults import Mode
from scaler.model.availability import WORDS, Availability, BoundedCount
from scaler.model.fields import seconds
from scaler.model.measurement import Inputs
from scaler.model.objects import ScaledResource

SHOWN = 200  # characters of what binds, in a sentence; explain shows all


@dataclass(frozen=True, slots=True)
class Capacity:
    """The replicas that can be had for one scale target, and the limit that this sets to an answer."""

    mode: Mode
    available: Availability
    bound: int | None  # own replicas that have a node, or one for each of their pods
    replicas: int | None  # that can be had; None: not known
    reason: str  # why that is not known, or what binds it
    most: int | None  # what a clamp lets through; None: any number
    pending: int | None  # own pods without a node
    pending_for: float | None  # seconds, of the one that waits longest

    @property
    def limit(self) -> int | None:
        """The largest answer; None: any."""
        return self.most if self.mode == "clamp" else None

    def within(self, asked: int | None) -> int | None:
        """Return the desired replicas, or the limit if that is less."""
        return asked if asked is None or self.limit is None else min(asked, self.limit)

    def says(self, asked: int) -> str:
        """Say why so many replicas cannot be had; empty when they can, or when that is not known."""
        if self.replicas is None or asked <= self.replicas:
            return ""
        terms = ((self.bound, "on nodes"), (self.available.schedulable.most, "schedulable"))
        parts = [f"{count} {name}" for count, name in (*terms, (self.available.provisionable.most, "provisionable"))]
        why = self.reason if len(self.reason) <= SHOWN else self.reason[: SHOWN - 3] + "..."
        terms_and_reason = "; ".join(filter(None, (", ".join(parts), why)))
        waiting = f", {self.waiting()}" if self.pending else ""
        return f"{self.replicas} can be had ({terms_and_reason}){waiting}"

    def waiting(self) -> str:
        """Say how many replicas wait for a node, and for how long."""
        since = "" if self.pending_for is None else f" for {seconds(round(self.pending_for))}"
        return f"{self.pending} pending{since}"


def capacity(mode: Mode, inputs: Inputs, now: float) -> Capacity | None:
    """Reckon what can be had; None where nobody wants to know, or nobody has looked."""
    available, known = inputs.target.available, inputs.target_status
    if mode == "off" or available is None:
        return None
    scaled = inputs.target.scaled
    bound = _placed(scaled) if scaled else None
    terms = (available.schedulable, available.provisionable, BoundedCount(bound, reason="its own pods are not known"))
    doubt = known.stale_reason or next((_doubt(count) for count in terms if _doubt(count)), "")
    total = sum(count.most or 0 for count in terms)
    replicas = None if doubt else total
    since = [pod.since for pod in (scaled.pods if scaled else None) or () if pod.state == "pending" and pod.since]
    return Capacity(
        mode=mode,
        available=available,
        bound=bound,
        replicas=replicas,
        reason=doubt or "; ".join(count.reason for count in terms[:2] if count.reason),
        most=None if replicas is None or known.current is None else _most(replicas, known.current, _tolerance(scaled)),
        pending=known.pending,
        pending_for=max(now - min(since), 0.0) if since else None,
    )


def _placed(scaled: ScaledResource) -> int | None:
    """Count the replicas on nodes: pods, or a LeaderWorkerSet's leaders; one of several pods is whole or not there."""
    pods, template = scaled.count("ready", "unready", "starting"), scaled.template
    size = 1 if template is None else template.size if scaled.kind == "ScaledJob" else template.counted
    return None if pods is None else pods // size


def _doubt(count: BoundedCount) -> str:
    """Say why a count limits nothing, or return an empty text."""
    if count.value is None:
        return count.reason or "not known"
    return f"{WORDS[count.bound]} {count.value}: {count.reason}" if count.most is None else ""


def _tolerance(scaled: ScaledResource | None) -> float:
    """Return the share by which an answer must be above the replicas before the HPA acts; a ScaledJob has none."""
    if scaled and scaled.kind == "ScaledJob":
        return 0.0
    return HpaSpec(behavior=scaled.hpa.behavior if scaled and scaled.hpa else None).tolerances[1]


def _most(replicas: int, current: int, tolerance: float) -> int:
    """Return the largest answer: one more than can be had, or the next that the HPA's tolerance does not swallow.

    Where more is asked of the scale target already than can be had, that is the probe.
    """
    if current > replicas:
        return current
    least = math.floor(min(current * (1 + tolerance), MAX_REPLICAS)) + 1  # that the HPA acts on, but for rounding
    most = max(replicas + 1, least)
    return most + replicas_for_average_value(float(most), 1.0, current, tolerance)[1]
