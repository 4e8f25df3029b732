"""Say the SLO, get the replicas: what a replica carries is learnt, and so is the margin; no target is set.

    load      tokens a second, of answers and of prompts: what is worked off and what piles up (samples.py)
    edge      the load of a replica at which a request has just the speed that was promised (speed.py), foretold from
              the speed that requests have now; loads are counted in replicas at their edge
    level     the load that is believed: the mean over 5 minutes, or a shorter one that is surely another (samples.py)
    late      the share of requests that miss, and the load that made them late (lateness.py)
    curve     the share that misses, by the load of a replica (curve.py): learnt from the engine's histograms
    margin    what came one start-up after a load like this one, in the last hours (margin.py)
    budget    what the last hours left of `1 - share` may miss now, and at least half of that (allowance.py)
    need      the fewest replicas with which no more than the budget is expected to miss, over curve and margin

    the level 5.2 replicas at their edge, a replica carries 0.8 of that at this SLO, 0.65 with the margin: 8 replicas

What waits beyond two requests a replica adds the replicas that clear it in half a start-up (at least 2 minutes), less
those that have room. More replicas than twice as many as there were requests in flight are not asked for, since they
would stand idle. Down it goes no lower than the greatest need of one start-up (decision/pace.py).

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
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scaler.model.fields import Fields, duration, number, seconds
from scaler.policy import speed
from scaler.policy.allowance import Spent, allowed, spent
from scaler.policy.lateness import NO_FAULT, Fault, share_late
from scaler.policy.outcome import TOTALS, PolicyInput, PolicyResult, PolicySpec
from scaler.policy.prior import FIRST, Seats, seats
from scaler.policy.recall import Recall, RecalledPast
from scaler.policy.samples import (
    LONGEST_STARTUP,
    MEMORY,
    MINUTE,
    QUEUED,
    Busiest,
    LastMinute,
    Samples,
    busiest_since,
    last_minute,
    level_of,
    mean_work,
    means,
    sampled,
    since,
    with_busiest,
)
from scaler.policy.speed import Flow, Speed

if TYPE_CHECKING:
    from scaler.policy.curve import Counts, Curve
    from scaler.policy.margin import Checks, Forecast, Margin
    from scaler.policy.season import Rise, Season

HISTORY = 2 * 3600.0  # seconds of past that a new process folds
SYNC = 30.0  # seconds from a load to the order of a replica
UNKNOWN_STARTUP = 180.0  # seconds, where no pod has told it
LONGEST_CLEAR, SHORTEST_CLEAR = 450.0, 120.0  # seconds in which what waits is to be cleared
GUESSED = 0.02  # of what was seen of one kind of replica counts for another: a minute of its own says as much
FAMILIAR = 100.0  # requests that were seen, from which on it is not told any more what was guessed before
KINDS = 4  # kinds of replicas whose counts are kept: two templates on two accelerators
LEARNING = 1800.0  # seconds for which it is said that a kind is new
TRUSTED = 2.0  # times the highest load that was carried well: what the speed foretells is tried in steps
WELL = 0.95  # share in time from which a load was carried well
FORGOTTEN = 6 * 3600.0  # seconds: half-life of that highest load
REFITTED = 60.0  # seconds between two looks at the whole curve
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


@dataclass(frozen=True, slots=True)
class Slo(PolicySpec):
    """The promise: the SLO that requests have to meet."""

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


UNKNOWN = Speed()


@dataclass(frozen=True, slots=True, eq=False)
class SloState:
    """The state of slo between two ticks."""

    samples: Samples = ()  # of 5 minutes, oldest first
    checks: "Checks | None" = None  # of forecasts
    counts: "Counts | None" = None  # requests and misses, by the load of a replica
    kind: str = ""  # of the replicas that these are of: accelerator and revision of the template
    others: "tuple[tuple[str, Counts], ...]" = ()  # of the kinds before, the newest last
    changed: float = -math.inf  # since when it is this kind, unless it was the first
    fault: Fault = NO_FAULT  # the highest load of a replica since requests began to be late for it
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
    passed = now - state.samples[-1].at if state.samples else 0.0
    work = mean_work(state.work, measured, passed)
    if work is None or not seen.ready:
        told = "no replica is ready" if work else "no request has ended yet"
        return replace(state, work=work), _at_first(state, seen, measured, told, now)
    startup = UNKNOWN_STARTUP if seen.took is None else seen.took
    state = _kind(state, seen, now)
    configured = _seats(seen, measured) if now - state.fitted >= REFITTED else state.seats
    samples, minute = sampled(state.samples, work, measured, seen.ready or 0, now)
    season, expected = _season(state, measured, startup, now)
    busiest = with_busiest(state.busiest, samples[-1].in_flight, now)
    lately = last_minute(samples, measured, now)
    known = _speed(state.speed.of(work), samples, measured, lately, now)
    state = replace(state, work=work, samples=samples, season=season, busiest=busiest, speed=known, seats=configured)
    longest = means(samples, now, MEMORY)[0]
    level, window = level_of(samples, longest, state.speed, now)
    forecast = _forecast(level.times(expected.factor) if expected else level, minute, longest, state.speed, now)
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
    """Answer where the load cannot be told."""
    names = ", ".join(lacking)
    if all(signal in state.known for signal in lacking):
        return PolicyResult(seen.load, True, "", f"{names}: not measured any more, and the load was told by it")
    return _at_first(state, seen, measured, f"the engine does not tell {names}", now)


def _at_first(state: SloState, seen: PolicyInput, measured: Mapping[str, float], told: str, now: float) -> PolicyResult:
    """Ask for as many replicas as queue-depth does; in the first minutes for fewer, where each has many seats."""
    known, young = _seats(seen, measured), now - (now if state.began is None else state.began) < FIRST
    in_flight = measured["queued"] + measured["waiting"] + measured["running"]
    if known is None or not young or in_flight / known.first >= seen.load:
        return PolicyResult(seen.load, True, f"{told}: as many replicas as queue-depth asks for")
    each = f"a replica works on {known.says()}, of which {known.first:.0f} are to be taken at first"
    return PolicyResult(in_flight / known.first, True, f"{told}: {each}")


def _seats(seen: PolicyInput, measured: Mapping[str, float]) -> Seats | None:
    """Return the requests that a replica works on at once, by its configuration."""
    return seats(seen.scaled, measured["kv_cache_usage"], measured["running"], seen.ready or 0)


def _season(
    state: SloState, measured: Mapping[str, float], startup: float, now: float
) -> tuple["Season", "Rise | None"]:
    """Add what is worked off at this tick to the days before; return them, and the rise expected in one start-up."""
    from scaler.policy import season

    flow = Flow(measured["generation_tokens_per_second"], measured["prompt_tokens_per_second"])
    known = season.ticked(state.season, UNKNOWN.work(flow), startup + SYNC, now)
    return known, season.rise(known, startup + SYNC, now)


def recalled(state: SloState, past: RecalledPast, now: float) -> SloState:
    """Take in the days before, as far as they are not known."""
    from scaler.policy import season

    works = [(end, UNKNOWN.work(Flow(told["generated"], told["prompts"]))) for end, told in past]
    return replace(state, season=season.recalled(state.season, works, UNKNOWN_STARTUP + SYNC, now))


RECALL = Recall(frozenset({"prompts", "generated"}), recalled)


def _speed(known: Speed, samples: Samples, measured: Mapping[str, float], lately: LastMinute, now: float) -> Speed:
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
    kinds = Counter(f"{one.accelerator} {one.revision}".strip() for one in pods if one.ready_since is not None)
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


def _forecast(level: Flow, minute: Flow, longest: Flow, speed: Speed, now: float) -> "Forecast":
    """Put down what is to be expected, and how steeply the load rose: the last minute's over the last minutes'."""
    from scaler.policy import margin

    rose = max(speed.work(minute), 1e-3) / max(speed.work(longest), 1e-3)
    return margin.Forecast(now, level, math.log(rose))


def _checked(spec: Slo, state: SloState, forecast: "Forecast", minute: Flow, startup: float) -> SloState:
    """Hold what has come against what was to be expected one start-up ago."""
    from scaler.policy import margin

    came = state.speed.replicas(minute, spec.itl)
    checks = margin.checked(state.checks, forecast, came, startup + SYNC, state.speed, spec.itl)
    return state if checks is state.checks else replace(state, checks=checks)


def _evidence(
    spec: Slo, state: SloState, measured: Mapping[str, float], minute: Flow, lately: LastMinute, now: float
) -> SloState:
    """Learn from the last minute's requests what a replica carries."""
    from scaler.policy import curve

    sample, rate = state.samples[-1], measured["requests_per_second"]
    stay = min(lately.running / max(rate, 1e-9), MEMORY)  # a request's; by Little's law
    span = max(stay, MINUTE)
    first = since(state.samples, now - span)
    before = state.samples[-2].at if len(state.samples) > 1 else now
    passed = min(now - before, MINUTE)
    missed = _missed(spec, state, measured, stay)
    ready = (sample.ready + first.ready) / 2
    served = state.speed.replicas(minute if span == MINUTE else means(state.samples, now, span)[0], spec.itl)
    if missed is None or ready <= 0 or passed <= 0 or served <= 0 or rate <= 0:
        return state
    each = _load_shown(spec, state.speed, served / ready, lately)
    load, blamed = state.fault.or_now(each, now, stay if stay > MINUTE else 0.0)
    queued = max(sample.waits, first.waits) > QUEUED * ready
    long = stay > MINUTE and missed > 1 - spec.share
    trusted = state.trusted * 0.5 ** (passed / FORGOTTEN)
    counts = curve.counted(state.counts, load, rate, missed, passed)
    counts, known, fitted = _fitted(spec, state, counts, load, missed, now)
    return replace(
        state,
        counts=counts,
        curve=known,
        fitted=fitted,
        spent=spent(state.spent, rate, missed, passed, 1 - spec.share),
        trusted=max(trusted, each) if missed < 1 - WELL else trusted,
        fault=blamed if queued or long else NO_FAULT,
    )


def _load_shown(spec: Slo, known: Speed, served: float, lately: LastMinute) -> float:
    """Tell the load of a replica in the last minute, by what it worked off and by how fast its requests were."""
    shown = known.shown(lately.speed, spec.itl)
    if lately.queued:
        return max(served, shown)
    return served + speed.sure(lately.running) * (shown - served) if lately.steady else served


def _fitted(
    spec: Slo, state: SloState, counts: "Counts", load: float, missed: float, now: float
) -> tuple["Counts", "Curve | None", float]:
    """Weigh the curve anew where a minute has passed; return the counts, the curve and when it was weighed."""
    from scaler.policy import curve

    if now - state.fitted < REFITTED:
        return counts, state.curve, state.fitted
    surprised = state.curve is not None and state.curve.surprised(load, missed)
    passed = 0.0 if state.fitted == -math.inf else now - state.fitted
    counts = curve.faded(counts, passed, load if surprised else None)
    return counts, curve.curve(counts, _least(spec, state)), now


def _least(spec: Slo, state: SloState) -> float:
    """Guess the load that a replica carries at least; 0: nothing is known."""
    if state.seats is None or state.work is None:
        return 0.0
    return state.seats.least(state.speed.replicas(state.work, spec.itl), state.work.output, spec.itl)


def _missed(spec: Slo, state: SloState, measured: Mapping[str, float], stay: float) -> float | None:
    """Return the share of the last minute's requests that were late; None where a signal that was there is missing."""
    if any(measured[signal] < 0 and signal in state.known for signal in _CURVED):
        return None
    first, further = (measured[signal] for signal in _CURVED)
    return share_late(first, further, stay, spec.itl)


def _margin(spec: Slo, state: SloState, forecast: "Forecast") -> SloState:
    """Say what a replica may be given, anew where the load is another or some time has passed."""
    from scaler.policy import margin

    now, level, known = forecast.at, state.speed.replicas(forecast.level, spec.itl), state.margin
    if state.curve is None or state.checks is None or level <= 0:
        return state
    if known is not None and state.fitted != now and known.holds(level, now):
        return state
    budget = allowed(state.spent, 1 - spec.share)
    guessed = _least(spec, state) if state.curve.seen < FAMILIAR else 0.0
    most = max(TRUSTED * state.trusted, guessed)
    return replace(state, margin=margin.margin_of(state.curve, state.checks, forecast, level, budget, most))


@dataclass(frozen=True, slots=True)
class _Need:
    """Replicas, and what they are for."""

    load: float  # for the load that is expected
    backlog: float  # to clear what waits
    most: float  # as many as may have anything to do

    @property
    def asked(self) -> float:
        """The replicas that are asked for."""
        return min(self.load + self.backlog, self.most)


def _outcome(
    spec: Slo, state: SloState, seen: PolicyInput, forecast: "Forecast", load: str, startup: float
) -> PolicyResult:
    """Ask for the replicas, and account for them; as queue-depth does where nothing is known of a replica."""
    if state.curve is None or not state.speed.idle:
        signals = " and ".join(_CURVED)
        told = f"nothing is known yet of what a replica carries ({signals}): as many replicas as queue-depth asks for"
        return PolicyResult(max(seen.load, 0.0), True, told)
    carried = state.margin.carried if state.margin else 1.0
    level = state.speed.replicas(forecast.level, spec.itl)
    enough = level / carried if state.margin else 0.0
    backlog = _backlog(spec, state, seen, enough, carried, startup)
    need = _Need(enough, backlog, _busy(state, forecast.at, startup))
    return PolicyResult(need.asked, True, "; ".join([load, *_account(spec, state, state.curve, need, startup)]))


def _account(spec: Slo, state: SloState, known: "Curve", need: _Need, startup: float) -> Iterator[str]:
    """Say what the replicas are for, term by term."""
    sample, margin = state.samples[-1], state.margin
    if margin:
        yield _tried(margin) if margin.tried else _carries(spec, known, margin, startup)
    if state.spent:
        yield f"{state.spent.share:.2%} missed in the last hours"
    yield f"{need.load:.2f} replicas"
    if need.backlog > 0:
        yield f"{sample.waits:.0f} that wait add {need.backlog:.2f}"
    if need.asked < need.load + need.backlog:
        yield f"not more than {need.asked:.0f}, twice the requests that were in flight"
    if state.seats and known.seen < FAMILIAR:
        yield f"little is seen of it yet, and it works on {state.seats.says()}"
    if sample.at - state.changed < LEARNING:
        ago = seconds(round(sample.at - state.changed))
        yield f"most replicas are another kind since {ago} ({state.kind}), and its own curve is learnt"
    if known.floor > 1 - spec.share:
        yield f"{known.floor:.1%} miss at any load, and more replicas do not help them"


def _load(spec: Slo, state: SloState, level: Flow, window: float, expected: "Rise | None", startup: float) -> str:
    """Say the load, and what is expected of it."""
    flow = f"{level.output:.0f} generated and {level.prompt:.0f} prompt tokens/s (the mean of {seconds(window)})"
    load = (
        f"{flow} are the load of {state.speed.replicas(level, spec.itl):.2f} replicas with {seconds(spec.itl)} a token"
    )
    return load if expected is None else f"{load}; {expected.says(startup + SYNC)}"


def _tried(margin: "Margin") -> str:
    """Say how far beyond what was seen a replica is tried."""
    return f"a replica is tried with {margin.carried:.2f} of that, {TRUSTED:g} times what it was seen to carry"


def _carries(spec: Slo, known: "Curve", margin: "Margin", startup: float) -> str:
    """Say what a replica carries."""
    within = f"{spec.share:.4g} within {seconds(spec.ttft)} and {seconds(spec.itl)} a token"
    wide = f"half miss at {known.low:.2f} to {known.high:.2f}"
    reserve = f"{margin.carried:.2f} with the margin for a start-up of {seconds(round(startup))}"
    return f"a replica carries {margin.alone:.2f} of that with {within} ({wide}), {reserve}"


def _backlog(spec: Slo, state: SloState, seen: PolicyInput, need: float, carried: float, startup: float) -> float:
    """Return the replicas that clear what waits, less those that have room for it or are on their way."""
    ready, sample = seen.ready or 0, state.samples[-1]
    if sample.waits <= 2 * ready or carried <= 0:
        return 0.0
    work = state.speed.replicas(state.work, spec.itl) if state.work else 0.0
    within = min(max(startup / 2, SHORTEST_CLEAR), LONGEST_CLEAR)
    room = max(max(seen.current or 0, ready) - need, 0.0)
    return max(sample.waits * work / (carried * within) - room, 0.0)


def _busy(state: SloState, now: float, startup: float) -> float:
    """Count the replicas that may have had anything to do: twice the requests in flight, over as long as a start-up."""
    window = min(max(startup, MEMORY), LONGEST_STARTUP)
    return max(IDLE * busiest_since(state.busiest, now - window), 1.0)
