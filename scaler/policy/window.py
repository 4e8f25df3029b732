"""What policies share: the loads of a while, and their mean, from which old ones fall out when they are read."""

from collections.abc import Callable, Mapping

Samples = tuple[tuple[float, float], ...]  # (seconds, load in replicas), the oldest first


def added(samples: Samples, now: float, load: float, keep: float) -> Samples:
    """Add a sample to those of the last `keep` seconds and one before; it replaces one of the same second."""
    return (*(one for one in samples if now - keep < one[0] < now), (now, load))


def within(samples: Samples, now: float, window: float) -> list[float]:
    """List the loads in (now - window, now], at least the newest."""
    return [load for at, load in samples if at > now - window] or [samples[-1][1]]


def mean(loads: list[float]) -> float:
    """Return the mean."""
    return sum(loads) / len(loads)


AGGREGATIONS: Mapping[str, Callable[[list[float]], float]] = {"mean": mean, "max": max, "min": min}
