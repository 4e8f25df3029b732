"""Direction: more load must not give fewer replicas, and replicas must not take away what they wait for."""

from collections.abc import Iterator
from dataclasses import dataclass

from scaler.check.evidence import Evidence, MessagesFound
from scaler.check.probe import LOAD, REPLICAS, Point, Probe
from scaler.model.measurement import CapacityQuery


@dataclass(frozen=True, slots=True)
class _Fall:
    """Two moments between which something rises and the replicas fall."""

    name: str  # of what rises
    before: Probe
    after: Probe
    sure: bool  # the other way round than it should be; otherwise it may be meant


def _falls(evidence: Evidence) -> tuple[_Fall, ...]:
    """List a fall for each metric of demand; one for the whole load, where no metric alone makes the replicas fall.

    A formula that goes down while a query's value goes up is wrong whatever the query measures. One that only ends
    there may be a gate, unless the value is known to be this workload's own load.
    """
    read = evidence.prober.read
    known = {name: item.known for name, item in read.items() if item.role == "demand"}
    alone = tuple(fall for name in sorted(known) for fall in _fall(evidence, name, known[name]))
    return alone or tuple(_fall(evidence, LOAD, all(item.known for item in read.values() if item.load)))


def _fall(evidence: Evidence, name: str, known: bool) -> Iterator[_Fall]:
    pairs = list(evidence.pairs(name))
    falls = [(one, other) for one, other in pairs if other.replicas < one.replicas]
    if not known:
        falls = [(one, other) for one, other in falls if not _takes_over(name, one, other)]
    slopes = [(one, other) for one, other in falls if other.asked or known]
    for pair in (slopes or falls)[:1]:
        yield _Fall(name, *pair, sure=bool(slopes))


def _takes_over(name: str, before: Probe, after: Probe) -> bool:
    """Tell whether a query counts instead of the others once it is above 0, as an override does: a > 0 ? a : b."""
    return before.point.values.get(name) == 0 and bool(after.asked)


def falls_with_load(evidence: Evidence) -> MessagesFound:
    """It goes down where it should go up."""
    for fall in _falls(evidence):
        if fall.sure:
            while_ = "" if fall.name == LOAD else f": they fall while {fall.name} rises"
            yield f"more load gives fewer replicas{while_}", evidence.pair(fall.before, fall.after)


def ends_with_load(evidence: Evidence) -> MessagesFound:
    """It asks for nothing above some value of a query: a gate, or a slip."""
    for fall in _falls(evidence):
        if not fall.sure:
            message = f"no replicas once {fall.name} has risen: wrong, unless that is the load of something else"
            yield message, evidence.pair(fall.before, fall.after)


def cancels_itself(evidence: Evidence) -> MessagesFound:
    """It asks while something is free, and the replicas it gets are what takes that away."""
    if evidence.spec.policy is not None:
        return
    room = {name for name, item in evidence.prober.read.items() if item.role == "room"}
    for name in sorted(room):
        starts = ((one, other) for one, other in evidence.pairs(name) if one.asked == 0 and other.asked)
        start = next((pair for pair in starts if not _once_held(evidence, name, *pair).asked), None)
        if start:
            message = f"it undoes itself: it asks for replicas while {name} is there, and they take {name} away"
            yield message, evidence.pair(*start)


def _once_held(evidence: Evidence, name: str, one: Probe, other: Probe) -> Probe:
    """Find the moment before, but with no headroom left, because more of its own replicas have taken it."""
    own = [item.name for item in evidence.spec.inputs if item.query == CapacityQuery("own")]
    taken = (other.point.values[name] or 0.0) - (one.point.values[name] or 0.0)
    held = {metric: (one.point.values[metric] or 0.0) + taken for metric in own}
    return evidence.prober.probe(Point({**one.point.values, **held}, one.point.ready + round(taken)))


def divides_twice(evidence: Evidence) -> MessagesFound:
    """It divides by the replicas what the target divides by them again: the more there are, the fewer it asks for."""
    if evidence.spec.metric_type == "Value":
        return
    sizes = [name for name, item in evidence.prober.counted.items() if item.role == "size" and item.empty == 0]
    for name in (REPLICAS, *sizes):
        fall = next(((one, other) for one, other in evidence.pairs(name) if other.replicas < one.replicas), None)
        if fall:
            remedy = "drop the division, or say `metricType: Value`"
            yield f"the same load asks for fewer replicas, the more there are: {remedy}", evidence.pair(*fall)
