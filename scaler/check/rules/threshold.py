"""Thresholds: a line at which the replicas jump is a line along which they flap."""

from scaler.check.evidence import Evidence, MessagesFound, replicas_text
from scaler.check.probe import Probe, Sampler, moved
from scaler.decision.render import number_text

JUMP = 2.0  # times as many replicas on the other side of a line


def hard_threshold(evidence: Evidence) -> MessagesFound:
    """Find a line across which the replicas change by a factor, with nothing that remembers the side."""
    if evidence.spec.policy is not None:
        return
    prober = evidence.prober
    loads = {name for name, item in prober.read.items() if item.load}
    rises = ((sweep.moved, *pair) for sweep in evidence.sweeps if sweep.moved in loads for pair in sweep.pairs())
    cliffs = (_cliff(prober, name, one, other) for name, one, other in rises if _jumps(one, other))
    cliff = next((cliff for cliff in cliffs if cliff), None)
    if cliff:
        name, one, other = cliff
        line, there = number_text(other.point.values[name]), evidence.at(one, without=name)
        message = f"replicas jump where {name} crosses {line}, and flap while it stays near"
        remedy = "make the formula continuous, or use `policy: {kind: hysteresis}`"
        sides = f"{replicas_text(one.replicas)} below, {replicas_text(other.replicas)} above"
        yield f"{message}: {remedy}", f"{there}: {sides}"


def _jumps(one: Probe, other: Probe) -> bool:
    low, high = sorted((one.replicas, other.replicas))
    return high - low >= 2 and high >= JUMP * low


def _cliff(prober: Sampler, name: str, one: Probe, other: Probe) -> tuple[str, Probe, Probe] | None:
    """Close in on a jump: what is left of it between two values that are all but equal, unless it is a slope.

    A jump at 0 is none: that is where load begins.
    """
    low, high = one.point.values[name] or 0.0, other.point.values[name] or 0.0
    nothing = 1e-6 * high
    while high - low > 1e-6 * high:
        value = (low + high) / 2
        middle = prober.probe(moved(one.point, name, value))
        if middle.asked is None or value < nothing:
            return None
        if _jumps(one, middle):
            other, high = middle, value
        elif _jumps(middle, other):
            one, low = middle, value
        else:
            return None
    return name, one, other
