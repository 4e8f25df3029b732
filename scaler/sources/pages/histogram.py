"""The buckets of a histogram, read as PromQL reads them. Pure.

Worked example: of 10 observations 5 took 0.1 s or less and 10 took 0.5 s or less, {0.1: 5, 0.5: 10, inf: 10}. The
median is 0.1 s, three quarters took 0.3 s or less, and half are known to have taken 0.2 s or less: those of the largest
bucket that ends there or below.
"""

import math
from collections.abc import Mapping


def share_of(bound: float, buckets: Mapping[float, float]) -> float | None:
    """Return the share of observations in the largest bucket that ends at `bound` or below it.

    Args:
        bound: in the unit of the buckets.
        buckets: cumulative counts or rates, by upper bound.

    Returns:
        From 0 to 1; None over nothing, or where no bucket ends so low.
    """
    within = [rate for end, rate in buckets.items() if end <= bound]
    everything = max((rate for end, rate in buckets.items() if not math.isnan(end)), default=0.0)
    return max(within) / everything if within and 0 < everything < math.inf else None


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
