"""How well the requests of a record were served, by the engine's own histograms.

A request misses the SLO by its first token or by its further ones. Histograms do not say which requests missed by both,
so the share is the larger of the two: what was is at least so bad.

    100 requests, of which 4 had a late first token and 3 were slow: at least 4 % missed
"""

from collections.abc import Mapping

from scaler.model.measurement import Query, Reading
from scaler.sim.backtest.record import Record

LATENCIES = ("time_to_first_token", "time_per_output_token")


def misses(record: Record, queries: Mapping[str, Query], first: int) -> float | None:
    """Return the least share of requests that missed the SLO.

    Args:
        record: it holds the share of observations within the SLO, and the requests a second, as far as `queries` says.
        queries: how these were asked for, by the signal's name.
        first: the first tick that is judged.

    Returns:
        The share from 0 to 1; None where nothing is known.
    """
    found = [
        _late(record, queries[name], queries.get("requests_per_second"), first) for name in LATENCIES if name in queries
    ]
    known = [share for share in found if share is not None]
    return max(known, default=None)


def _late(record: Record, within: Query, requests: Query | None, first: int) -> float | None:
    """Return the share of observations that were too late; each tick counts by its requests."""
    series, weights = record.series.get(within), record.series.get(requests) if requests else None
    late = total = 0.0
    for tick, measured in enumerate(series or ()):
        if tick < first or not isinstance(measured, Reading) or measured.value is None:
            continue
        weigh = weights[tick] if weights else None
        weight = (weigh.value or 0.0) if isinstance(weigh, Reading) else 1.0
        late += weight * (1.0 - measured.value)
        total += weight
    return late / total if total else None
