"""The buckets of a histogram, read as PromQL reads them. Pure.

Worked example: of 10 observations 5 took 0.1 s or less and 10 took 0.5 s or less, {0.1: 5, 0.5: 10, inf: 10}. The
median is 0.1 s, three quarters took 0.3 s or less, and half are known to have taken 0.2 s or less: those of the largest
bucket that ends there or below.

Of several pages, such as those of two releases of an engine, the buckets may not end alike; then they do not add up:

    page a   0.1: 5, 0.5: 10, inf: 10       a quantile is read of the buckets alone that both have, inf: 20
    page b   0.25: 9, inf: 10               a share up to 0.5 s is of each page's own largest bucket: (10 + 9) / 20
"""

import math
from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter

UNLIKE = "its histograms have buckets that do not end alike, so they do not add up"
SHOWN = 3  # bounds of a pod that are told
Buckets = Mapping[float, float]  # cumulative counts or rates, by upper bound


def share_of(bound: float, pages: Collection[Buckets]) -> float | None:
    """Return the share of observations in each page's largest bucket that ends at `bound` or below it.

    Args:
        bound: in the unit of the buckets.
        pages: the buckets of each.

    Returns:
        From 0 to 1; None over nothing, or where no bucket ends so low.
    """
    within = [low for buckets in pages if (low := largest(bound, buckets)) is not None]
    everything = sum(largest(math.inf, buckets) or 0.0 for buckets in pages)
    return sum(within) / everything if within and 0 < everything < math.inf else None


def largest(bound: float, buckets: Buckets) -> float | None:
    """Return what is in the largest bucket that ends at `bound` or below it; None where there is none."""
    return max((rate for end, rate in buckets.items() if end <= bound), default=None)


def unlike_ends(pods: Mapping[str, Collection[float]]) -> str:
    """Say where buckets of one pod end and those of another do not.

    Args:
        pods: the upper bounds of each.
    """
    first, *others = sorted(pods, key=lambda pod: (-len(pods[pod]), pod))
    other = next((pod for pod in others if set(pods[pod]) != set(pods[first])), "")
    if not other:
        return UNLIKE
    more, less = (sorted(set(pods[pod]) - set(pods[than])) for pod, than in ((first, other), (other, first)))
    return f"{UNLIKE}: {first} at {_told(more)} and {other} at {_told(less)}"


def _told(ends: Sequence[float]) -> str:
    """Write some of the bounds that only one of two pods has."""
    return ", ".join(f"{end:g}" for end in ends[:SHOWN]) or "none of its own"


def in_common(pages: Collection[Buckets]) -> Buckets:
    """Add up the buckets that all pages have."""
    ends = set.intersection(*map(set, pages)) if pages else set()
    return {end: sum(map(itemgetter(end), pages)) for end in ends}


def histogram_quantile(quantile: float, buckets: Mapping[float, float]) -> float | None:
    """Return the quantile of a histogram as PromQL does (prometheus/promql/quantile.go, BucketQuantile).

    Args:
        quantile: in (0, 1).
        buckets: cumulative counts or rates, by upper bound.

    Returns:
        Linear within the bucket; beyond the last finite bound that bound; None over nothing or without +Inf.
    """
    bounds = sorted(bound for bound in buckets if not math.isnan(bound))
    if len(bounds) < 2 or bounds[-1] != math.inf:
        return None
    counts: list[float] = []
    for bound in bounds:
        counts.append(max(buckets[bound], counts[-1] if counts else 0.0))  # a bucket read late may be lower
    if not 0 < counts[-1] < math.inf:
        return None
    rank = quantile * counts[-1]
    place = next(at for at, count in enumerate(counts) if count >= rank)
    if bounds[place] == math.inf:
        return bounds[-2]
    if place == 0 and bounds[0] <= 0:
        return bounds[0]
    start, before = (bounds[place - 1], counts[place - 1]) if place else (0.0, 0.0)
    return start + (bounds[place] - start) * (rank - before) / (counts[place] - before)
