"""Reach: how many replicas a formula can ask for at all, when all that are there are full."""

import math
from collections.abc import Iterator

from scaler.check.evidence import Evidence, MessagesFound, replicas_text
from scaler.check.meaning import BATCH_LIMIT, Meaning
from scaler.check.probe import FLEETS, Point, Probe, Sampler
from scaler.decision.render import number_text


def _stuck(evidence: Evidence, batch: float) -> tuple[int, Probe] | None:
    """Find the smallest fleet that asks for no more than it is although it is full, and when it asks for the most.

    Args:
        evidence: of the formula.
        batch: requests that one replica runs at once; infinite to leave that out.
    """
    for ready in FLEETS:
        most: Probe | None = None
        for probe in map(evidence.prober.probe, _overloads(evidence.prober, ready, batch)):
            if probe.broken:
                continue
            if probe.asked is None or probe.asked > ready:
                break
            most = probe if most is None or probe.asked > most.replicas else most
        else:
            return (ready, most) if most else None
    return None


def _overloads(prober: Sampler, ready: int, batch: float) -> Iterator[Point]:
    """Yield moments of a full fleet: all load at its most, or one metric of it and the others anywhere."""

    def most(item: Meaning) -> float:
        return min(item.within(item.grid[-1] * 100), ready * batch if item.bounded_by else math.inf)

    full = {name: most(item) for name, item in prober.counted.items() if item.load}
    for start in prober.moments():
        within = {name: min(start.values[name] or 0.0, limit) for name, limit in full.items()}
        yield Point({**start.values, **full}, ready)
        for name, value in full.items():
            yield Point({**start.values, **within, name: value}, ready)


def _bounds(evidence: Evidence) -> str:
    limits = [(name, item) for name, item in evidence.prober.counted.items() if item.bound is not None]
    return ", ".join(f"{name} is at most {item.bound:g} ({item.bounded_by})" for name, item in limits)


def bounded(evidence: Evidence) -> MessagesFound:
    """The signal that it reads ends before it asks for more replicas."""
    stuck, bounds = _stuck(evidence, math.inf), _bounds(evidence)
    if stuck and bounds:
        target = f"the target is {evidence.spec.target:g}"
        most = replicas_text(stuck[1].replicas)
        yield f"it asks for at most {most}, however large the load: {bounds}, and {target}", evidence.at(stuck[1])


def _one_replica(evidence: Evidence, *, switch: bool) -> Probe | None:
    """Find the moment that asks for the most, where nothing ever asks for more than one replica."""
    stuck = _stuck(evidence, math.inf)
    if stuck is None or stuck[0] > 1 or _bounds(evidence):
        return None
    if any(probe.value > evidence.spec.target for probe in evidence.probes()):
        return None
    return stuck[1] if (stuck[1].decision.value == evidence.spec.target) == switch else None


def target_out_of_reach(evidence: Evidence) -> MessagesFound:
    """No load is worth a second replica."""
    most = _one_replica(evidence, switch=False)
    if most:
        reached = f"{number_text(most.decision.value)} is the most it was seen to be"
        yield f"the value never exceeds its target {evidence.spec.target:g}: {reached}", evidence.at(most)


def switch(evidence: Evidence) -> MessagesFound:
    """It is made to ask for one replica or none."""
    if _one_replica(evidence, switch=True):
        yield "it asks for one replica or none: right for a job, too little for a service", ""


def batch_limit(evidence: Evidence) -> MessagesFound:
    """Judge as `bounded` does, by a limit that the engine's settings decide."""
    stuck = _stuck(evidence, BATCH_LIMIT)
    if stuck is None or _stuck(evidence, math.inf):
        return
    limits = [f"{name} stops at {item.bounded_by}" for name, item in evidence.prober.counted.items() if item.bounded_by]
    message = f"full replicas ask for no more replicas, at {BATCH_LIMIT:g} running on each: {'; '.join(limits)}"
    there = f"{evidence.at(stuck[1])} on {replicas_text(stuck[0])}"
    yield message, f"{there}: {replicas_text(stuck[1].replicas)}"


def saturates(evidence: Evidence) -> MessagesFound:
    """It grows with the fleet and no further, unless the target is below what a full replica shows."""
    read = {name: item for name, item in evidence.prober.counted.items() if item.load}
    if not read or any(item.endless for item in read.values()) or _stuck(evidence, BATCH_LIMIT):
        return
    target = f"the target {evidence.spec.target:g} has to be below what a full replica shows"
    yield f"all that it reads stops growing when the replicas are full ({', '.join(read)}): {target}", ""
