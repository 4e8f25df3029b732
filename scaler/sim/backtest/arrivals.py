"""The requests that came, from what engines and the gateway counted.

What arrived between two ticks is what was finished, and by how much more is in the system:

    8 finished, 5 were queued, waiting or running before and 7 are now     10 arrived

Within a tick requests come at random, and their lengths are exponential around the mean that the engine counted then:
neither is known any better from counters. A seed makes it the same each time.
"""

import math
import random
from collections.abc import Mapping, Sequence

from scaler.model.measurement import Measurement, Query, Reading
from scaler.sim.backtest.record import Record
from scaler.sim.trace import Arrival, Trace, ordered

COUNTED = ("requests_per_second", "prompt_tokens_per_second", "generation_tokens_per_second")
WITHIN = ("queued", "waiting", "running")  # of the system
SMOOTH = 300.0  # seconds over which the mean lengths are taken


def arrivals(record: Record, queries: Mapping[str, Query], seed: int = 0, spread: float = 0.0) -> Trace:
    """Make a trace of a record; its times begin at the record's start.

    Args:
        record: it holds the signals of COUNTED and WITHIN; what a gateway does not say counts as 0.
        queries: how these signals were asked for, by their names.
        seed: of times and lengths.
        spread: seconds over which what came is spread at least. Ticks that lie closer together than scrapes see nothing
            and then all of it at once, which would be a burst that never was.
    """
    finished, prompt, output = (_values(record.series[queries[name]]) for name in COUNTED)
    inside = _inside(record, queries)
    chance = random.Random(seed)
    window = max(round(SMOOTH / record.step), 1)
    found: list[Arrival] = []
    owed = 0.0
    stride = max(math.ceil(spread / record.step), 1)
    for tick in range(stride, record.ticks, stride):
        owed += sum(finished[tick - stride + 1 : tick + 1]) * record.step + inside[tick] - inside[tick - stride]
        count = max(math.floor(owed), 0)
        owed -= count
        if not count:
            continue
        around = slice(max(tick - window, 0), tick + window + 1)
        served = sum(finished[around]) or math.inf
        means = [sum(series[around]) / served for series in (prompt, output)]
        for _ in range(count):
            at = (tick - stride * chance.random()) * record.step
            tokens = [max(math.ceil(chance.expovariate(1 / mean)), 1) if mean > 0 else 1 for mean in means]
            found.append(Arrival(at, *tokens))
    return ordered(found)


def _inside(record: Record, queries: Mapping[str, Query]) -> list[float]:
    """List the requests in the system at every tick."""
    series = [_values(record.series[queries[name]]) for name in WITHIN if queries.get(name) in record.series]
    if not series:
        return [0.0] * record.ticks
    return [sum(values) for values in zip(*series, strict=True)]


def _values(measured: Sequence[Measurement]) -> list[float]:
    """List the values; where one could not be had, the last one stands, and where nothing was there, 0."""
    found: list[float] = []
    for one in measured:
        if isinstance(one, Reading):
            found.append(one.value or 0.0)
        else:
            found.append(found[-1] if found else 0.0)
    return found
