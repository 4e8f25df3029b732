"""Say the SLO, get the replicas: what a replica carries is learnt, and so is the margin; no target is set.

    load      tokens a second, of answers and of prompts: what is worked off and what piles up
    edge      the load of a replica at which a request has just the speed that was promised (speed.py), foretold from
              the speed that requests have now; loads are counted in replicas at their edge
    level     the mean load over 5 minutes, or that of 15, 30, 60 or 120 s where it is another by two standard errors
    curve     the share that misses, by the load of a replica (curve.py): learnt from the engine's histograms
    margin    what came one start-up after a load like this one, in the last hours
    need      the fewest replicas with which no more than `1 - share` is expected to miss, over curve and margin

    the level 5.2 replicas at their edge, a replica carries 0.8 of that at this SLO, 0.65 with the margin: 8 replicas

What waits beyond two requests a replica adds the replicas that clear it in half a start-up (at least 2 minutes), less
those that have room. A replica is never tried with more than twice the highest load that it was seen to carry well, so
that an edge that is foretold wrongly is found in steps. More replicas than twice as many as there were requests in
flight are not asked for, since they would stand idle. Down it goes no lower than the greatest need of one start-up
(decision/pace.py).

What the last hours left of `1 - share` may miss now (allowance.py), and at least half of that, since what misses at any
load is no reason for replicas. While requests queue, what misses is the fault of the load that made them queue, not of
the load now: it counts for that one, of which a minute forgets the half, since a queue that stays is one of too few
replicas. Where answers take longer than a minute, those that end now ran under the load of the time before: it is that
load which they tell of, the late ones of the highest since the first was late.
An answer of few tokens is late per token by one slow step, which nobody notices. So the time per token is taken over 32
tokens at least: of those late by the engine's histogram, the share counts whose answers take longer than 32 such times.

Before anything is known of a replica, it begins with what the engine's configuration tells (prior.py).

Each kind of replica, by the revision of its template and by its accelerator where Kubernetes tells them, has a curve of
its own; a new kind begins with a fiftieth of what was seen of the last one.

The curve's evidence is a minute's: its load beside the share of its requests that were in time, so both have to be
read over the same minute. A new process learns all this from two hours of history, in steps of a minute; how many
replicas were ready then is known from kube-state-metrics, and without it the curve is learnt anew. Where the engine
lacks a signal, the formula's own value decides, as in queue-depth, and the reason says which signal it is. What was
measured once and is not any more lowers nothing.

In tests/benchmarks/decisions it is compared with its peers and with an oracle.
"""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scaler.model.fields import Fields, duration, number, seconds
from scaler.policy import speed
from scaler.policy.allowance import Spent, allowed, spent
from scaler.policy.outcome import TOTALS, PolicyInput, PolicyResult, PolicySpec
from scaler.policy.prior import FIRST, Seats, seats
from scaler.policy.recall import Past, Recall
from scaler.policy.speed import Flow, Speed

if TYPE_CHECKING:
    from scaler.policy.curve import Counts, Curve, Vector
    from scaler.policy.season import Rise, Season

MINUTE = 60.0  # seconds over which the signals are read
HISTORY = 2 * 3600.0  # seconds of past that a new process folds
MEMORY = 300.0  # seconds of the longest mean, before which nothing is lowered
WINDOWS = (15.0, 30.0, 60.0, 120.0)  # seconds
CERTAIN = 2.0  # standard errors
SCATTER = 2.5  # variance of a request's work over its mean's square, plus one
SETTLED = 300.0  # seconds: half-life of the mean work of a request
SYNC = 30.0  # seconds from a load to the order of a replica
UNKNOWN_STARTUP = 180.0  # seconds, where no pod has told it
LONGEST_CLEAR, SHORTEST_CLEAR = 450.0, 120.0  # seconds in which what waits is to be cleared
CLEARED = 60.0  # seconds: half-life of the fault of that load; who queues for longer queues for want of replicas now
GUESSED = 0.02  # of what was seen of one kind of replica counts for another: a minute of its own says as much
FAMILIAR = 100.0  # requests that were seen, from which on it is not told any more what was guessed before
KINDS = 4  # kinds of replicas whose counts are kept: two templates on two accelerators
LEARNING = 1800.0  # seconds for which it is said that a kind is new
QUEUED = 1.0  # requests waiting for each replica from which what misses is the fault of a load before
UNSTEADY, FEW_MORE = 2.0, 2.0  # times as many requests that run, and so many more, from which a minute is not steady
TRUSTED = 2.0  # times the highest load that was carried well: what the speed foretells is tried in steps
WELL = 0.95  # share in time from which a load was carried well
FORGOTTEN = 6 * 3600.0  # seconds: half-life of that highest load
SHORT = 32.0  # tokens: shorter answers are not judged by the time per token, since one slow step decides it
GROWTH = 15.0  # seconds over which what piles up is read: engines are scraped about so often
ALIKE_LEVEL = 0.04  # of a load's logarithm: one that differs by less has the same margin
MARGIN = 60.0  # seconds for which a margin holds
FALLS = 60.0  # seconds of the shortest mean that may lower the load
REFITTED = 60.0  # seconds between two looks at the whole curve
CHECKED = 30.0  # seconds between two forecasts that are checked
CHECKS = 720  # of them that are kept: six hours
LONGEST_STARTUP = 900.0  # seconds for which requests in flight are remembered
IDLE = 2.0  # times as many replicas as there were requests in flight
ASKED: Mapping[str, str] = {  # the formula that is read -> the signal behind it, in words
    "waiting": "waiting",
    "running": "running",
    "queued": "queued",
    "finished ?? -1": "requests_per_second",
    "prompts ?? -1": "prompt_tokens_per_second",
    "generated ?? -1": "generation_tokens_per_second",
    "ttftMet ?? -1": "time_to_first_token",
    "itlMet ?? -1": "time_per_output_token",
    "cached ?? -1": "kv_cache_usage",
}


Busiest = tuple[tuple[float, float], ...]  # (time, requests in flight), oldest first, each lower than the one before


@dataclass(frozen=True, slots=True)
class Slo(PolicySpec):
    """What was promised."""

    ttft: float  # seconds to the first token
    itl: float  # seconds for each further one, in a request's mean
    share: float  # of requests that have to be in time

    @property
    def memory(self) -> float:
        """The longest mean, before which it may not lower."""
        return MEMORY

    @property
    def metrics(self) -> frozenset[str]:
        """The metrics of the formula file, by these names; -1 where one is not measured."""
        return frozenset(ASKED)

    @property
    def kinds(self) -> frozenset[str]:
        """Its own formula counts requests, which are a total."""
        return TOTALS


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


@dataclass(frozen=True, slots=True)
class Lately:
    """The last minute, of all replicas."""

    running: float  # requests, in the mean
    ready: float  # replicas
    speed: float  # tokens a second of a request
    queued: bool  # at some time so many waited that what they show is the fault of a load before
    steady: bool  # about as many requests ran all the time, so that means of a minute belong together


@dataclass(frozen=True, slots=True)
class Forecast:
    """What was to be expected, to be checked one start-up later."""

    at: float
    level: Flow
    slope: float


@dataclass(frozen=True, slots=True)
class Margin:
    """What a replica may be given, with what may come in mind; it holds for a while."""

    at: float
    level: float
    carried: float  # the load as it is forecast
    alone: float  # what the curve alone would allow
    tried: bool  # it is less than that, since no more than twice the load that was carried well is tried


@dataclass(frozen=True, slots=True)
class Fault:
    """A load for which requests are late that end after it."""

    at: float  # when it was last there
    load: float  # of a replica

    def left(self, now: float, held: float) -> float:
        """What is left of it: all for the seconds `held`, in which its requests end; then a half after each CLEARED."""
        return self.load * math.exp2(-max(now - self.at - held, 0.0) / CLEARED)


NO_FAULT = Fault(0.0, 0.0)
UNKNOWN = Speed()


@dataclass(frozen=True, slots=True, eq=False)
class SloState:
    """What it remembers."""

    samples: tuple[Sample, ...] = ()  # of 5 minutes, oldest first
    forecasts: tuple[Forecast, ...] = ()  # of one start-up
    counts: "Counts | None" = None  # requests and misses, by the load of a replica
    kind: str = ""  # of the replicas that these are of: accelerator and revision of the template
    others: "tuple[tuple[str, Counts], ...]" = ()  # of the kinds before, the newest last
    changed: float = -math.inf  # since when it is this kind, unless it was the first
    fault: Fault = NO_FAULT  # the highest load of a replica since requests began to be late for it
    pairs: "Vector | None" = None  # forecasts that were checked
    margin: "Margin | None" = None
    began: float | None = None  # the first tick
    seats: Seats | None = None  # of a replica, by its configuration
    curve: "Curve | None" = None
    fitted: float = -math.inf  # when the curve was last looked at
    speed: Speed = UNKNOWN  # of a replica
    spent: Spent | None = None  # of what may miss
    trusted: float = 0.0  # the highest load of a replica that was carried well
    season: "Season | None" = None  # the load of the days before
    work: Flow | None = None  # tokens of a request, in the mean
    busiest: Busiest = ()  # requests in flight that no later tick reaches, of one window
    known: frozenset[str] = frozenset()  # signals that were measured once


INITIAL = SloState()


def parse(fields: Fields) -> Slo:
    """Read `policy: {kind: slo, ttft: 1s, itl: 50ms, share: 0.99}`.

    Raises:
        ConfigError: an unknown key, or a value out of its range.
    """
    return Slo(
        ttft=fields.take("ttft", duration(0.001, 3600), 1.0),
        itl=fields.take("itl", duration(0.001, 60), 0.05),
        share=fields.take("share", number(0.5, 0.9999), 0.99),
    )


def step(spec: Slo, state: SloState, seen: PolicyInput, now: float) -> tuple[SloState, PolicyResult]:
    """Decide one tick.

    Args:
        spec: what was promised.
        state: after the last tick.
        seen: the formula's value over its target, which decides where the rest is not known; the metrics; the replicas.
        now: seconds.
    """
    measured = {signal: seen.metrics[text] for text, signal in ASKED.items()}
    there = {signal for signal, value in measured.items() if value >= 0}
    if not there <= state.known or state.began is None:
        state = replace(state, known=state.known | there, began=now if state.began is None else state.began)
    lacking = [signal for signal in _NEEDED if signal not in there]
    if lacking:
        return state, _without(lacking, state, seen, measured, now)
    work = _mean_work(state, measured, now)
    if work is None or not seen.ready:
        told = "no replica is ready" if work else "no request has ended yet"
        return replace(state, work=work), _at_first(state, seen, measured, told, now)
    startup = UNKNOWN_STARTUP if seen.took is None else seen.took
    state = _kind(state, seen, now)
    configured = _seats(seen, measured) if now - state.fitted >= REFITTED else state.seats
    samples, minute = _sampled(state, work, measured, seen, now)
    season, expected = _season(state, measured, startup, now)
    busiest = _busiest(state.busiest, samples[-1].in_flight, now)
    lately = _lately(samples, measured, now)
    known = _speed(state.speed.of(work), samples, measured, lately, now)
    state = replace(state, work=work, samples=samples, season=season, busiest=busiest, speed=known, seats=configured)
    load = state.speed.work
    longest = _means(samples, now, MEMORY)[0]
    level, window = _level(state, longest, now)
    slope = math.log(max(load(minute), 1e-3) / max(load(longest), 1e-3))
    forecast = Forecast(now, level.times(expected.factor) if expected else level, slope)
    state = _checked(spec, state, forecast, minute, startup)
    state = _evidence(spec, state, measured, minute, lately, now)
    state = _margin(spec, state, forecast)
    told = _load(spec, state, level, window, expected, startup)
    return state, _outcome(spec, state, seen, forecast, told, startup)


_NEEDED = ("requests_per_second", "prompt_tokens_per_second", "generation_tokens_per_second")
_CURVED = ("time_to_first_token", "time_per_output_token")


def _without(
    lacking: list[str], state: SloState, seen: PolicyInput, measured: Mapping[str, float], now: float
) -> PolicyResult:
    """What is answered where the load cannot be told."""
    names = ", ".join(lacking)
    if all(signal in state.known for signal in lacking):
        return PolicyResult(seen.load, True, "", f"{names}: not measured any more, and the load was told by it")
    return _at_first(state, seen, measured, f"the engine does not tell {names}", now)


def _at_first(state: SloState, seen: PolicyInput, measured: Mapping[str, float], told: str, now: float) -> PolicyResult:
    """As many replicas as queue-depth asks for; in the first minutes fewer, where each has many seats."""
    known, young = _seats(seen, measured), now - (now if state.began is None else state.began) < FIRST
    in_flight = measured["queued"] + measured["waiting"] + measured["running"]
    if known is None or not young or in_flight / known.first >= seen.load:
        return PolicyResult(seen.load, True, f"{told}: as many replicas as queue-depth asks for")
    each = f"a replica works on {known.says()}, of which {known.first:.0f} are to be taken at first"
    return PolicyResult(in_flight / known.first, True, f"{told}: {each}")


def _seats(seen: PolicyInput, measured: Mapping[str, float]) -> Seats | None:
    """Requests that a replica works on at once, by its configuration."""
    return seats(seen.scaled, measured["kv_cache_usage"], measured["running"], seen.ready or 0)


def _mean_work(state: SloState, measured: Mapping[str, float], now: float) -> Flow | None:
    """The mean tokens of a request, which change slowly; None: no request has ended yet."""
    finished, known = measured["requests_per_second"], state.work
    if finished * MINUTE < 1:
        return known
    prompt = measured["prompt_tokens_per_second"] / finished
    output = measured["generation_tokens_per_second"] / finished
    if known is None:
        return Flow(output, prompt)
    passed = now - state.samples[-1].at if state.samples else 0.0
    share = 1 - 0.5 ** (passed / SETTLED)
    return Flow(known.output + share * (output - known.output), known.prompt + share * (prompt - known.prompt))


def _sampled(
    state: SloState, work: Flow, measured: Mapping[str, float], seen: PolicyInput, now: float
) -> tuple[tuple[Sample, ...], Flow]:
    """The ticks of the last minutes with this one; and the flow of the last minute as a whole."""
    waits = measured["queued"] + measured["waiting"]
    in_flight = waits + measured["running"]
    last = state.samples[-1] if state.samples else None

    def flow(since: Sample | None) -> tuple[Flow, float]:
        """Tokens of work and requests per second: what was worked off, and what has piled up meanwhile."""
        span = now - since.at if since else 0.0
        piled = (in_flight - since.in_flight) / span if since and span > 0 else 0.0
        waiting = (waits - since.waits) / span if since and span > 0 else 0.0
        arrivals = max(measured["requests_per_second"] + piled, 0.0)
        prompts = max(measured["prompt_tokens_per_second"] + waiting * work.prompt, 0.0)
        tokens = max(measured["generation_tokens_per_second"] + piled * work.output, 0.0)
        return Flow(tokens, prompts), arrivals

    here, arrivals = flow(_since(state.samples, now - GROWTH) if last else None)
    minute, _ = flow(_since(state.samples, now - MINUTE) if last else None)
    before, arrived = (last.flows, last.arrived) if last else (Flow(0.0, 0.0), 0.0)
    flows = Flow(before.output + here.output, before.prompt + here.prompt)
    sample = Sample(now, here, in_flight, waits, seen.ready or 0, arrivals, flows, arrived + arrivals)
    first = bisect_right(state.samples, now - MEMORY, key=_at)
    return (*state.samples[first:], sample), minute


def _busiest(before: Busiest, in_flight: float, now: float) -> Busiest:
    """Add the requests in flight; those that they reach count no more, nor do those of long ago."""
    end = len(before)
    while end and before[end - 1][1] <= in_flight:
        end -= 1
    return (*before[bisect_right(before, now - LONGEST_STARTUP, 0, end, key=_when) : end], (now, in_flight))


def _when(one: tuple[float, float]) -> float:
    return one[0]


def _since(samples: tuple[Sample, ...], start: float) -> Sample:
    """The newest sample that is not after `start`, or the oldest one."""
    return samples[max(bisect_right(samples, start, key=_at) - 1, 0)]


def _count(samples: tuple[Sample, ...], now: float) -> int:
    """The number of samples of the last minute, at least the newest."""
    return max(len(samples) - bisect_right(samples, now - MINUTE, key=_at), 1)


def _at(sample: Sample) -> float:
    return sample.at


def _means(samples: tuple[Sample, ...], now: float, window: float) -> tuple[Flow, float]:
    """The mean flow and the mean arrivals of a window, at least of the newest sample."""
    start = min(bisect_right(samples, now - window, key=_at), len(samples) - 1)
    first, last, count = samples[start], samples[-1], len(samples) - start
    output = (last.flows.output - first.flows.output + first.flow.output) / count
    prompt = (last.flows.prompt - first.flows.prompt + first.flow.prompt) / count
    return Flow(output, prompt), (last.arrived - first.arrived + first.arrivals) / count


def _level(state: SloState, longest: Flow, now: float) -> tuple[Flow, float]:
    """The load that is believed, and over which window: the longest, unless a shorter one is surely another."""
    work = state.speed.work
    level, chosen = longest, MEMORY
    for window in WINDOWS:
        mean, arrivals = _means(state.samples, now, window)
        error = CERTAIN * math.sqrt(SCATTER / max(arrivals * window, 1.0))
        if work(mean) * (1 - error) > work(level):
            level, chosen = mean.times(1 - error), window
        elif window >= FALLS and work(mean) * (1 + error) < work(level) and chosen > window:
            level, chosen = mean.times(1 + error), window
    return level, chosen


def _season(
    state: SloState, measured: Mapping[str, float], startup: float, now: float
) -> tuple["Season", "Rise | None"]:
    """The days with what is worked off at this tick; and what they let expect one start-up from now."""
    from scaler.policy import season

    flow = Flow(measured["generation_tokens_per_second"], measured["prompt_tokens_per_second"])
    known = season.ticked(state.season, UNKNOWN.work(flow), startup + SYNC, now)
    return known, season.rise(known, startup + SYNC, now)


def recalled(state: SloState, past: Past, now: float) -> SloState:
    """Take in the days before, as far as they are not known."""
    from scaler.policy import season

    works = [(end, UNKNOWN.work(Flow(told["generated"], told["prompts"]))) for end, told in past]
    return replace(state, season=season.recalled(state.season, works, UNKNOWN_STARTUP + SYNC, now))


RECALL = Recall(frozenset({"prompts", "generated"}), recalled)


def _lately(samples: tuple[Sample, ...], measured: Mapping[str, float], now: float) -> Lately:
    """The last minute as a whole."""
    samples = samples[-_count(samples, now) :]
    counts = [one.in_flight - one.waits for one in samples]
    ready = sum(one.ready for one in samples) / len(samples)
    return Lately(
        running=sum(counts) / len(counts),
        ready=ready,
        speed=measured["generation_tokens_per_second"] * len(counts) / max(sum(counts), 1e-9),
        queued=any(one.waits > QUEUED * one.ready for one in samples),
        steady=max(counts) <= UNSTEADY * (min(counts) + FEW_MORE),
    )


def _speed(
    known: Speed, samples: tuple[Sample, ...], measured: Mapping[str, float], lately: Lately, now: float
) -> Speed:
    """Learn how fast the requests of the last minute were answered, unless they queued or soon were many more."""
    flow = Flow(measured["generation_tokens_per_second"], measured["prompt_tokens_per_second"])
    told = lately.running > 0 and lately.ready > 0 and flow.output > 0 and now - samples[0].at >= MINUTE
    if not told or lately.queued or not lately.steady:
        return known
    passed = min(now - samples[-2].at, MINUTE)
    return speed.learnt(known, flow, lately.running, lately.ready, passed)


def _kind(state: SloState, seen: PolicyInput, now: float) -> SloState:
    """Take the curve of the kind that most replicas are of; a new kind begins with a little of the last one's."""
    pods = (seen.scaled.pods if seen.scaled else None) or ()
    kinds = Counter(f"{one.accelerator} {one.revision}".strip() for one in pods if one.ready is not None)
    most = max(kinds, key=kinds.__getitem__, default="")
    if not most or most == state.kind:
        return state
    if not state.kind or state.counts is None:  # the first that is known
        return replace(state, kind=most)
    before = dict(state.others)
    counts = before.pop(most, state.counts * GUESSED)
    before[state.kind] = state.counts
    others = tuple(before.items())[-KINDS:]
    guess = state.speed.guessed(GUESSED)
    return replace(
        state,
        kind=most,
        counts=counts,
        others=others,
        changed=now,
        fitted=-math.inf,
        speed=guess,
        trusted=0.0,
        margin=None,
    )


def _checked(spec: Slo, state: SloState, forecast: Forecast, minute: Flow, startup: float) -> SloState:
    """Hold what has come against what was to be expected one start-up ago."""
    from scaler.policy import curve

    now, lead = forecast.at, startup + SYNC
    if state.forecasts and now - state.forecasts[-1].at < CHECKED:
        return state
    due = [one for one in state.forecasts if one.at <= now - lead]
    kept = state.forecasts[max(len(due) - 1, 0) :]
    pairs, came = state.pairs, _loads(spec, state, minute)
    foretold = _loads(spec, state, due[-1].level) if due else 0.0
    if foretold > 0 and came > 0:
        pairs = curve.remembered(pairs, foretold, came, due[-1].slope, CHECKS)
    return replace(state, forecasts=(*kept, forecast), pairs=pairs)


def _loads(spec: Slo, state: SloState, flow: Flow) -> float:
    """So many replicas at their edge work off a flow; 0 where nothing is known of one."""
    return state.speed.work(flow) / state.speed.edge(spec.itl) if state.speed.idle else 0.0


def _evidence(
    spec: Slo, state: SloState, measured: Mapping[str, float], minute: Flow, lately: Lately, now: float
) -> SloState:
    """Learn from the last minute's requests what a replica carries."""
    from scaler.policy import curve

    sample = state.samples[-1]
    stay = min(lately.running / max(measured["requests_per_second"], 1e-9), MEMORY)  # a request's; by Little's law
    span = max(stay, MINUTE)
    first = _since(state.samples, now - span)
    before = state.samples[-2].at if len(state.samples) > 1 else now
    passed = min(now - before, MINUTE)
    missed = _missed(spec, state, measured, stay)
    ready = (sample.ready + first.ready) / 2
    served = _loads(spec, state, minute if span == MINUTE else _means(state.samples, now, span)[0])
    if missed is None or ready <= 0 or passed <= 0 or served <= 0 or measured["requests_per_second"] <= 0:
        return state
    held = state.fault.left(now, stay if stay > MINUTE else 0.0)
    each, shown = served / ready, state.speed.shown(lately.speed, spec.itl)
    if lately.queued:
        each = max(each, shown)
    elif lately.steady:
        each += speed.sure(lately.running) * (shown - each)
    load = max(each, held)
    blamed = state.fault if load > each else Fault(now, load)
    queued = max(sample.waits, first.waits) > QUEUED * ready
    long = stay > MINUTE and missed > 1 - spec.share
    surprised = state.curve is not None and state.curve.surprised(load, missed)
    counts = curve.counted(state.counts, load, measured["requests_per_second"], missed, passed)
    trusted = state.trusted * 0.5 ** (passed / FORGOTTEN)
    if missed < 1 - WELL:
        trusted = max(trusted, each)
    used = spent(state.spent, measured["requests_per_second"], missed, passed, 1 - spec.share)
    fault, known, fitted = blamed if queued or long else NO_FAULT, state.curve, state.fitted
    if now - fitted >= REFITTED:
        since = 0.0 if fitted == -math.inf else now - fitted
        counts = curve.faded(counts, since, load if surprised else None)
        known, fitted = curve.curve(counts, _least(spec, state)), now
    return replace(state, counts=counts, spent=used, trusted=trusted, fault=fault, curve=known, fitted=fitted)


def _least(spec: Slo, state: SloState) -> float:
    """What a replica is guessed to carry at least; 0: nothing is known."""
    if state.seats is None or state.work is None:
        return 0.0
    return state.seats.least(_loads(spec, state, state.work), state.work.output, spec.itl)


def _missed(spec: Slo, state: SloState, measured: Mapping[str, float], stay: float) -> float | None:
    """The share of the last minute's requests that were late; None where a signal that was there is missing."""
    if any(measured[signal] < 0 and signal in state.known for signal in _CURVED):
        return None
    first, further = (measured[signal] for signal in _CURVED)
    if first < 0 and further < 0:
        return None
    judged = math.exp(-SHORT * spec.itl / max(stay, 1e-9))
    late = 1 - (1 - further) * judged if further >= 0 else 1.0
    return 1 - max(first, 0.0) * late if first >= 0 else 1 - late


def _outcome(
    spec: Slo, state: SloState, seen: PolicyInput, forecast: Forecast, load: str, startup: float
) -> PolicyResult:
    """The replicas, and the account of them in words."""
    if state.curve is None or not state.speed.idle:
        signals = " and ".join(_CURVED)
        told = f"nothing is known yet of what a replica carries ({signals}): as many replicas as queue-depth asks for"
        return PolicyResult(max(seen.load, 0.0), True, told)
    sample, level = state.samples[-1], _loads(spec, state, forecast.level)
    may_miss = 1 - spec.share
    margin = state.margin
    need = level / margin.carried if margin else 0.0
    terms = [load]
    if margin:
        terms.append(_tried(margin) if margin.tried else _carries(spec, state.curve, margin, startup))
    if state.spent:
        terms.append(f"{state.spent.share:.2%} missed in the last hours")
    terms.append(f"{need:.2f} replicas")
    more = _backlog(spec, state, seen, need, margin.carried if margin else 1.0, startup)
    if more > 0:
        terms.append(f"{sample.waits:.0f} that wait add {more:.2f}")
    most = _busy(state, sample.at, startup)
    asked = min(need + more, most)
    if asked < need + more:
        terms.append(f"not more than {asked:.0f}, twice the requests that were in flight")
    if state.seats and state.curve.seen < FAMILIAR:
        terms.append(f"little is seen of it yet, and it works on {state.seats.says()}")
    if sample.at - state.changed < LEARNING:
        ago = seconds(round(sample.at - state.changed))
        terms.append(f"most replicas are another kind since {ago} ({state.kind}), and its own curve is learnt")
    if state.curve.floor > may_miss:
        terms.append(f"{state.curve.floor:.1%} miss at any load, and more replicas do not help them")
    return PolicyResult(asked, True, "; ".join(terms))


def _margin(spec: Slo, state: SloState, forecast: Forecast) -> SloState:
    """Say what a replica may be given, anew where the load is another or some time has passed."""
    from scaler.policy import curve

    now, level, known = forecast.at, _loads(spec, state, forecast.level), state.margin
    if state.curve is None or level <= 0:
        return state
    old = known is None or state.fitted == now or now - known.at >= MARGIN
    if known is not None and not old and abs(math.log(level / known.level)) < ALIKE_LEVEL:
        return state
    budget = allowed(state.spent, 1 - spec.share)
    wrong = curve.errors(state.pairs, level, forecast.slope)
    carried, alone = curve.carries(state.curve, wrong, budget)
    guessed = _least(spec, state) if state.curve.seen < FAMILIAR else 0.0
    most = max(TRUSTED * state.trusted, guessed) or carried
    return replace(state, margin=Margin(now, level, min(carried, most), alone, carried > most))


def _load(spec: Slo, state: SloState, level: Flow, window: float, expected: "Rise | None", startup: float) -> str:
    """The load, and what is expected of it, in words."""
    flow = f"{level.output:.0f} generated and {level.prompt:.0f} prompt tokens/s (the mean of {seconds(window)})"
    load = f"{flow} are the load of {_loads(spec, state, level):.2f} replicas with {seconds(spec.itl)} a token"
    return load if expected is None else f"{load}; {expected.says(startup + SYNC)}"


def _tried(margin: Margin) -> str:
    """How far it dares to go beyond what was seen, in words."""
    return f"a replica is tried with {margin.carried:.2f} of that, {TRUSTED:g} times what it was seen to carry"


def _carries(spec: Slo, known: "Curve", margin: Margin, startup: float) -> str:
    """What a replica carries, in words."""
    within = f"{spec.share:.4g} within {seconds(spec.ttft)} and {seconds(spec.itl)} a token"
    wide = f"half miss at {known.low:.2f} to {known.high:.2f}"
    reserve = f"{margin.carried:.2f} with the margin for a start-up of {seconds(round(startup))}"
    return f"a replica carries {margin.alone:.2f} of that with {within} ({wide}), {reserve}"


def _backlog(spec: Slo, state: SloState, seen: PolicyInput, need: float, carried: float, startup: float) -> float:
    """Replicas that clear what waits, besides those that have room for it or come."""
    ready, sample = seen.ready or 0, state.samples[-1]
    if sample.waits <= 2 * ready or carried <= 0:
        return 0.0
    work = _loads(spec, state, state.work) if state.work else 0.0
    within = min(max(startup / 2, SHORTEST_CLEAR), LONGEST_CLEAR)
    room = max(max(seen.current or 0, ready) - need, 0.0)
    return max(sample.waits * work / (carried * within) - room, 0.0)


def _busy(state: SloState, now: float, startup: float) -> float:
    """As many replicas as may have had anything to do."""
    window = min(max(startup, MEMORY), LONGEST_STARTUP)
    first = bisect_right(state.busiest, now - window, key=_when)  # later ones are lower
    greatest = state.busiest[first][1] if first < len(state.busiest) else math.inf
    return max(IDLE * greatest, 1.0)
