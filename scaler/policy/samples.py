"""The load of the last five minutes, tick by tick: what is worked off, and what piles up meanwhile.

    10 requests/s end, and 30 more are in flight than 15 s ago: 12 requests/s arrive
    a request generates 200 tokens in the mean: a load of 2,000 + 2 x 200 = 2,400 generated tokens/s

    level     the mean load over 5 minutes, or that of 15, 30, 60 or 120 s where it is another by two standard errors
    busiest   the most requests that were in flight lately: more replicas than that would have nothing to do

Each sample has the sums of all before it, so that the mean of any window is one difference.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

from scaler.policy.speed import Flow, Speed

MINUTE = 60.0  # seconds over which the signals are read
MEMORY = 300.0  # seconds of the longest mean
WINDOWS = (15.0, 30.0, 60.0, 120.0)  # seconds
CERTAIN = 2.0  # standard errors
SCATTER = 2.5  # variance of a request's work over its mean's square, plus one
SETTLED = 300.0  # seconds: half-life of the mean work of a request
QUEUED = 1.0  # requests waiting for each replica from which what misses is the fault of a load before
UNSTEADY, FEW_MORE = 2.0, 2.0  # times as many requests that run, and so many more, from which a minute is not steady
GROWTH = 15.0  # seconds over which what piles up is read: engines are scraped about so often
FALLS = 60.0  # seconds of the shortest mean that may lower the load
LONGEST_STARTUP = 900.0  # seconds for which requests in flight are remembered

Busiest = tuple[tuple[float, float], ...]  # (time, requests in flight), oldest first, each lower than the one before


@dataclass(frozen=True, slots=True)
class Sample:
    """One tick, as it was measured."""

    at: float
    flow: Flow  # of work
    in_flight: float  # requests anywhere
    waits: float  # of these, not begun
    ready: int  # replicas
    arrivals: float  # requests per second
    flows: Flow  # the sum of all flows so far, this one with them
    arrived: float  # and of all arrivals


Samples = tuple[Sample, ...]  # of 5 minutes, oldest first


@dataclass(frozen=True, slots=True)
class LastMinute:
    """The last minute of all replicas, as a whole."""

    running: float  # requests, in the mean
    ready: float  # replicas
    speed: float  # tokens a second of a request
    queued: bool  # at some time so many waited that what they show is the fault of a load before
    steady: bool  # about as many requests ran all the time, so that means of a minute belong together


def mean_work(known: Flow | None, measured: Mapping[str, float], passed: float) -> Flow | None:
    """Return the mean tokens of a request, which change slowly; None: no request has ended yet.

    Args:
        known: the mean so far.
        measured: signals of the last minute, by name.
        passed: seconds since the last sample.
    """
    finished = measured["requests_per_second"]
    if finished * MINUTE < 1:
        return known
    prompt = measured["prompt_tokens_per_second"] / finished
    output = measured["generation_tokens_per_second"] / finished
    if known is None:
        return Flow(output, prompt)
    share = 1 - 0.5 ** (passed / SETTLED)
    return Flow(known.output + share * (output - known.output), known.prompt + share * (prompt - known.prompt))


def sampled(before: Samples, work: Flow, measured: Mapping[str, float], ready: int, now: float) -> tuple[Samples, Flow]:
    """Add this tick to those of the last minutes; and return the load of the last minute as a whole.

    Args:
        before: the samples so far.
        work: the mean tokens of a request.
        measured: signals of the last minute, by name.
        ready: replicas.
        now: seconds.
    """
    waits = measured["queued"] + measured["waiting"]
    in_flight = waits + measured["running"]
    last = before[-1] if before else None

    def load(earlier: Sample | None) -> tuple[Flow, float]:
        """Add what has piled up since a sample to the tokens and requests per second that were worked off."""
        span = now - earlier.at if earlier else 0.0
        piled = (in_flight - earlier.in_flight) / span if earlier and span > 0 else 0.0
        waiting = (waits - earlier.waits) / span if earlier and span > 0 else 0.0
        arrivals = max(measured["requests_per_second"] + piled, 0.0)
        prompts = max(measured["prompt_tokens_per_second"] + waiting * work.prompt, 0.0)
        tokens = max(measured["generation_tokens_per_second"] + piled * work.output, 0.0)
        return Flow(tokens, prompts), arrivals

    here, arrivals = load(since(before, now - GROWTH) if last else None)
    minute, _ = load(since(before, now - MINUTE) if last else None)
    sums, arrived = (last.flows, last.arrived) if last else (Flow(0.0, 0.0), 0.0)
    flows = Flow(sums.output + here.output, sums.prompt + here.prompt)
    sample = Sample(now, here, in_flight, waits, ready, arrivals, flows, arrived + arrivals)
    first = bisect_right(before, now - MEMORY, key=_at)
    return (*before[first:], sample), minute


def since(samples: Samples, start: float) -> Sample:
    """Return the newest sample that is not after `start`, or the oldest one."""
    return samples[max(bisect_right(samples, start, key=_at) - 1, 0)]


def _at(sample: Sample) -> float:
    return sample.at


def means(samples: Samples, now: float, window: float) -> tuple[Flow, float]:
    """Return the mean load and the mean arrivals of a window, at least of the newest sample."""
    start = min(bisect_right(samples, now - window, key=_at), len(samples) - 1)
    first, last, count = samples[start], samples[-1], len(samples) - start
    output = (last.flows.output - first.flows.output + first.flow.output) / count
    prompt = (last.flows.prompt - first.flows.prompt + first.flow.prompt) / count
    return Flow(output, prompt), (last.arrived - first.arrived + first.arrivals) / count


def level_of(samples: Samples, longest: Flow, speed: Speed, now: float) -> tuple[Flow, float]:
    """Choose the load that is believed: the longest mean, unless a shorter one is surely another.

    Args:
        samples: of the last minutes.
        longest: the mean load over all of them.
        speed: of a replica, which says how much work a load is.
        now: seconds.

    Returns:
        The load, and the seconds of the window that it is the mean of.
    """
    work = speed.work
    level, chosen = longest, MEMORY
    for window in WINDOWS:
        mean, arrivals = means(samples, now, window)
        error = CERTAIN * math.sqrt(SCATTER / max(arrivals * window, 1.0))
        if work(mean) * (1 - error) > work(level):
            level, chosen = mean.times(1 - error), window
        elif window >= FALLS and work(mean) * (1 + error) < work(level) and chosen > window:
            level, chosen = mean.times(1 + error), window
    return level, chosen


def last_minute(samples: Samples, measured: Mapping[str, float], now: float) -> LastMinute:
    """Put together the samples of the last minute, at least the newest one."""
    count = max(len(samples) - bisect_right(samples, now - MINUTE, key=_at), 1)
    samples = samples[-count:]
    running = [one.in_flight - one.waits for one in samples]
    return LastMinute(
        running=sum(running) / count,
        ready=sum(one.ready for one in samples) / count,
        speed=measured["generation_tokens_per_second"] * count / max(sum(running), 1e-9),
        queued=any(one.waits > QUEUED * one.ready for one in samples),
        steady=max(running) <= UNSTEADY * (min(running) + FEW_MORE),
    )


def with_busiest(before: Busiest, in_flight: float, now: float) -> Busiest:
    """Add the requests in flight now; forget those that they reach, and those of long ago."""
    end = len(before)
    while end and before[end - 1][1] <= in_flight:
        end -= 1
    return (*before[bisect_right(before, now - LONGEST_STARTUP, 0, end, key=_when) : end], (now, in_flight))


def busiest_since(busiest: Busiest, start: float) -> float:
    """Return the most requests that were in flight after `start`; infinite where nothing is known of that time."""
    first = bisect_right(busiest, start, key=_when)  # later ones are lower
    return busiest[first][1] if first < len(busiest) else math.inf


def _when(one: tuple[float, float]) -> float:
    return one[0]
