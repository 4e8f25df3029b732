"""Load that stands still while its engine counts nothing either: doubted out loud, never lowered by itself. Pure.

Gauges may keep what they said last when all requests are cancelled at once, or when an engine hangs. Then what is read
is whole, fresh and wrong. Work shows itself in tokens: what runs makes some at every step. So a load that has not
changed, of an engine that has counted none for longer than any request goes without, is in doubt. Such an answer is not
certain: it may rise, and does not fall. Whether the load is there only somebody who looks can say.

    minute 0 to 5   running 106, waiting 15, no token: certain
    minute 5        the same: 16 replicas, in doubt
    minute 9        one token: certain again

Each pod is followed by itself where the source tells them apart, so that one that hangs is not hidden by others that
work; and so is each engine of a pod that has several, at a page of its own or as a rank on one page. Where the
counters are not told by rank, those of its page, or of its pod, stand for it. Where it does not, the workload is
followed as a whole: then the name of the pod is empty. What a gateway says is followed beside them, since it may lose
count of its requests too: 3 in flight for minutes, and no engine makes a token.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scaler.config.metrics import is_gateway_gauge
from scaler.config.signals import offered
from scaler.config.workload import WorkloadSpec
from scaler.decision.decision import InputValue
from scaler.model.fields import seconds
from scaler.model.measurement import AT, RANK, Measurement, Reading, SignalQuery

SUSPICIOUS = 60.0  # seconds without a change after which the engine's counters are asked for too
TOO_LONG = 300.0  # seconds without a token, of an engine that counts them at every step
MUCH_TOO_LONG = 1800.0  # the same, of one that counts them when a request ends
NAMED = 3  # pods that are named

# What waits and runs, by pod, or by engine where a pod has several; of the whole workload under no name.
Loads = Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Still:
    """A load that stands still, of one pod or of all together."""

    load: tuple[float, ...]  # what waits and runs
    since: float  # it has not changed
    silent_since: float | None = None  # since when the counters were seen to stand still; None: they were not

    def doubted(self, spec: WorkloadSpec, now: float) -> bool:
        """Tell whether no request takes as long as this."""
        if self.silent_since is None:
            return False
        limit, seen = patience(spec), now - self.silent_since
        return now - self.since >= limit and seen >= limit - SUSPICIOUS - 2 * spec.interval


@dataclass(frozen=True, slots=True)
class Standing:
    """The loads that stand still."""

    pods: Mapping[str, Still]
    gateway: Still | None = None

    def suspicious(self, now: float) -> bool:
        """Tell whether an engine's counters have to be looked at."""
        return any(now - still.since >= SUSPICIOUS for still in (*self.pods.values(), self.gateway) if still)


def follow(
    before: Standing | None,
    activity_signals: tuple[InputValue, ...],
    watched: Mapping[str, Measurement],
    counted: Mapping[str, Measurement],
    at_gateway: tuple[InputValue, ...],
    now: float,
) -> Standing | None:
    """Go on from the last tick.

    Args:
        before: what the last tick left.
        activity_signals: what waits and runs.
        watched: what was read of that, by name, where it may be told by pods.
        counted: what was read of the engine's counters, by name; empty while nobody has asked.
        at_gateway: what a gateway says.
        now: the tick's time.

    Returns:
        None where nothing runs, or something is not known.
    """
    known = before.pods if before else {}
    loads = _by_pod(activity_signals, watched) or _of_all(activity_signals)
    pods = {pod: _still(known.get(pod), load, _counts(counted, pod), now) for pod, load in loads.items() if any(load)}
    queue = _of_all(at_gateway).get("", ())
    gateway = _still(before.gateway if before else None, queue, _counts(counted, ""), now) if any(queue) else None
    return Standing(pods, gateway) if pods or gateway else None


def at_gateway(spec: WorkloadSpec, facts: tuple[InputValue, ...]) -> tuple[InputValue, ...]:
    """Return those of a workload's inputs that are a gateway's count of requests, each once."""
    found: dict[object, InputValue] = {}
    for item, fact in zip(spec.inputs, facts, strict=True):
        if is_gateway_gauge(item):
            found.setdefault(item.query, fact)
    return tuple(found.values())


def _of_all(activity_signals: tuple[InputValue, ...]) -> Loads:
    """Return the load of the whole workload; nothing where a part of it is not known."""
    load = tuple(fact.newest for fact in activity_signals if fact.newest is not None)
    if len(load) < len(activity_signals) or any(fact.problem for fact in activity_signals):
        return {}
    return {"": load}


def _by_pod(activity_signals: tuple[InputValue, ...], watched: Mapping[str, Measurement]) -> Loads:
    """Return the load of each pod of which all is known; nothing where pods are not told apart."""
    read = [watched.get(fact.name) for fact in activity_signals]
    said = [dict(one.by_pod) for one in read if isinstance(one, Reading) and one.by_pod]
    if not said or len(said) < len(activity_signals):
        return {}
    engines = [dict(one.by_engine) for one in read if isinstance(one, Reading) and one.by_pod]
    parts = _told_by_all(engines)
    whole = {engine.partition(AT)[0] for engine in parts}
    return {pod: load for pod, load in _told_by_all(said).items() if pod not in whole} | parts


def _told_by_all(said: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, ...]]:
    """Return the loads of which each signal tells."""
    loads: dict[str, tuple[float, ...]] = {}
    for name in sorted(set(said[0]).intersection(*said[1:])):
        loads[name] = tuple(one[name] for one in said)
    return loads


def _counts(counted: Mapping[str, Measurement], pod: str) -> tuple[float | None, ...]:
    """Return each counter of one pod, per second; None where that is not known."""
    return tuple(_count(one, pod) for one in counted.values())


def _count(measured: Measurement, pod: str) -> float | None:
    if not isinstance(measured, Reading):
        return None
    if pod:
        return _of_engine(pod, dict(measured.by_engine), dict(measured.by_pod))
    return None if measured.incomplete_reason and not measured.value else measured.value


def _of_engine(name: str, engines: Mapping[str, float], pods: Mapping[str, float]) -> float | None:
    """Return what is counted of a pod or an engine: by itself, by its ranks, by its page, or by its pod."""
    pod, _, engine = name.partition(AT)
    if not engine:
        return pods.get(pod)
    if name in engines:
        return engines[name]
    page = name.partition(RANK)[0]
    ranks = [value for other, value in engines.items() if other.startswith(page + RANK)]
    if page == name and ranks:
        return sum(ranks)
    return engines.get(page, pods.get(pod))


def _still(before: Still | None, load: tuple[float, ...], counts: tuple[float | None, ...], now: float) -> Still:
    """Add one tick to what is known of one load that has not changed."""
    if before is None or before.load != load or any(counts):
        return Still(load, now)
    if not counts or all(count is None for count in counts):
        return Still(load, before.since)
    return Still(load, before.since, now if before.silent_since is None else before.silent_since)


def doubt(
    spec: WorkloadSpec,
    standing: Standing | None,
    activity_signals: tuple[InputValue, ...],
    at_gateway: tuple[InputValue, ...],
    now: float,
) -> str:
    """Say why the load is in doubt, and of which pods; empty where it is not."""
    pods = standing.pods if standing else {}
    doubted = {pod: still for pod, still in pods.items() if still.doubted(spec, now)}
    gateway = standing.gateway if standing else None
    names = [fact.name for fact in activity_signals]
    shown = [_shown(pod, still, names) for pod, still in list(doubted.items())[:NAMED]]
    if gateway and gateway.doubted(spec, now):
        shown.append(f"{_load(gateway, [fact.name for fact in at_gateway])} at the gateway")
        doubted["at the gateway"] = gateway
    if not doubted:
        return ""
    others = len(doubted) - len(shown)
    more = f", and of {others} more pods," if others else ""
    since = max(still.since for still in doubted.values())
    still_for = f"{'; '.join(shown)}{more} have not changed for {seconds(now - since)}"
    return (
        f"in doubt, and so not lowered: {still_for}, and no token was counted there in that time; an abort may have "
        "left these numbers behind, or the engine hangs"
    )


def _shown(pod: str, still: Still, names: list[str]) -> str:
    return f"{_load(still, names)} of {pod}" if pod else _load(still, names)


def _load(still: Still, names: list[str]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in zip(names, still.load, strict=True))


def patience(spec: WorkloadSpec) -> float:
    """Return the seconds for which any request of the workload's engine may go without a counted token."""
    queries = [item.query for item in spec.progress if isinstance(item.query, SignalQuery)]
    signals = [offered(query.engine, query.signal) for query in queries]
    at_every_step = any(signal is not None and signal.counted_per_step for signal in signals)
    return TOO_LONG if at_every_step else MUCH_TOO_LONG
