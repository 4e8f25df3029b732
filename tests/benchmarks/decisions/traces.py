"""The traces that decisions are judged on: public ones from files, and made-up ones, each with a seed.

A maker takes a seed and gives a trace; the load suits some 2 to 20 replicas of the fleet's hardware. Public traces are
CSV files with the columns arrival_s, prompt_tokens and output_tokens (scaler/sim/trace.py); the README says how to make
such files of the Azure and Mooncake traces.
"""

import math
import random
from pathlib import Path

from scaler.sim.trace import Trace, azure_slice, cut, merge, multiply, ramp, read

HOUR = 3600.0


def step(start, end, rate, prompt, output, seed):
    """Poisson arrivals at one rate; nothing where it is 0."""
    return ramp(start, end, first=rate, last=rate, prompt=prompt, output=output, seed=seed) if rate > 0 else ()


def jumps(seed: int) -> Trace:
    """Jumps by three that nothing announces, each for 10 to 25 minutes, after 15 to 40 minutes of calm."""
    chance = random.Random(f"jumps/{seed}")
    parts, at, high = [], 0.0, False
    while at < 2 * HOUR:
        span = 60.0 * (chance.uniform(10, 25) if high else chance.uniform(15, 40))
        rate = 24.0 if high else 8.0
        parts.append(step(at, min(at + span, 2 * HOUR), rate, 1000, 220, chance.randrange(10**6)))
        at, high = at + span, not high
    return merge(*parts)


def one_jump(seed: int) -> Trace:
    """One jump by three after an hour of calm, and calm again after half an hour."""
    rates = ((0.0, 1.0, 8.0), (1.0, 1.5, 24.0), (1.5, 2.5, 8.0))
    return merge(*(step(a * HOUR, b * HOUR, rate, 1000, 220, seed + i) for i, (a, b, rate) in enumerate(rates)))


def regimes(seed: int) -> Trace:
    """Five heavy clients of different size and kind, each at work for about 12 minutes and away for as long."""
    chance = random.Random(f"regimes/{seed}")
    kinds = ((6.0, 900, 250), (9.0, 2200, 30), (3.0, 400, 700), (12.0, 1500, 60), (4.0, 1000, 220))
    parts = [step(0.0, 2 * HOUR, 3.0, 1000, 220, chance.randrange(10**6))]
    for rate, prompt, output in kinds:
        at, on = 0.0, chance.random() < 0.5
        while at < 2 * HOUR:
            span = chance.expovariate(1 / 720.0)
            if on:
                parts.append(step(at, min(at + span, 2 * HOUR), rate, prompt, output, chance.randrange(10**6)))
            at, on = at + span, not on
    return merge(*parts)


def code(seed: int) -> Trace:
    """Like code completion: long prompts, short answers, and every few minutes a burst of a minute or two."""
    chance = random.Random(f"code/{seed}")
    parts = [step(0.0, 2 * HOUR, 5.0, 2000, 30, chance.randrange(10**6))]
    at = 200.0
    while at < 2 * HOUR:
        span = chance.uniform(30, 150)
        parts.append(step(at, at + span, chance.uniform(10, 40), 2000, 30, chance.randrange(10**6)))
        at += span + chance.expovariate(1 / 420.0)
    return cut(merge(*parts), 0.0, 2 * HOUR)


def wave(start, end, level, seed, prompt=1000, output=220):
    """Poisson arrivals whose rate follows `level` (a function of hours), minute by minute."""
    chance = random.Random(seed)
    minutes = range(int(start), int(end), 60)
    rates = [level(minute / HOUR) for minute in (*minutes, int(end))]
    pairs = zip(minutes, rates, rates[1:], strict=False)
    args = [(float(at), first, last, chance.randrange(10**6)) for at, first, last in pairs]
    return merge(*(ramp(at, at + 60.0, first=a, last=b, prompt=prompt, output=output, seed=s) for at, a, b, s in args))


def daily(seed: int) -> Trace:
    """Three days of four hours: a night at a seventh of the afternoon, and noise of a tenth that lasts minutes."""
    chance = random.Random(f"daily/{seed}")
    noise = [chance.gauss(0, 0.1) for _ in range(200)]

    def level(hour: float) -> float:
        shape = 10.0 - 7.5 * math.cos(2 * math.pi * hour / 4.0)
        return max(shape * (1 + noise[int(hour * 6)]), 0.5)

    return wave(0.0, 12 * HOUR, level, seed)


def mornings(seed: int) -> Trace:
    """An hour and a half of a day on which the load trebles at one time, for half an hour, and that within a minute."""
    parts = ((0.0, 0.75, 8.0), (0.75, 1.25, 24.0), (1.25, 1.5, 8.0))
    return merge(*(step(a * HOUR, b * HOUR, rate, 1000, 220, seed + i) for i, (a, b, rate) in enumerate(parts)))


def days_of(seed: int, level, away: float):
    """Six days before a trace as Prometheus knows them: tokens per second of pieces of five minutes.

    Args:
        seed: of their noise, a tenth from piece to piece and from day to day.
        level: requests per second, by the hour; the trace begins at 0.
        away: seconds by which a day's pattern comes sooner or later, as a standard deviation.
    """
    chance, past = random.Random(f"days/{seed}"), []
    for day in range(-6, 0):
        size, off = math.exp(chance.gauss(0, 0.1)), chance.gauss(0, away)
        for piece in range(288):
            begin = day * 24 * HOUR + piece * 300.0
            rates = [level((begin + off + second) / HOUR) for second in range(0, 300, 10)]
            rate = size * math.exp(chance.gauss(0, 0.1)) * sum(rates) / len(rates)
            past.append((begin + 300.0, {"prompts": rate * 1000, "generated": rate * 220}))
    return past


def morning_level(hour: float) -> float:
    return 24.0 if 0.75 <= hour % 24 < 1.25 else 8.0


def shuffled(seed: int) -> Trace:
    """A day whose quarters of an hour were shuffled, so that neither trend nor time of day tells anything."""
    chance = random.Random(f"shuffled/{seed}")
    blocks = [14.0 - 10.5 * math.cos(2 * math.pi * block / 12.0) for block in range(12)]
    chance.shuffle(blocks)
    return merge(
        *(step(i * 900.0, (i + 1) * 900.0, rate, 1000, 220, chance.randrange(10**6)) for i, rate in enumerate(blocks))
    )


def shape(prompt: int, output: int, most: float):
    """One of llm-d's three shapes: a rate that goes up in steps and down again."""

    def make(seed: int) -> Trace:
        stairs = (0.3, 0.6, 1.0, 1.0, 0.6, 0.3)
        return merge(
            *(
                step(i * 900.0, (i + 1) * 900.0, most * share, prompt, output, seed + i)
                for i, share in enumerate(stairs)
            )
        )

    return make


MADE = {
    "jumps": jumps,
    "one jump": one_jump,
    "regimes": regimes,
    "code": code,
    "daily": daily,
    "mornings": mornings,
    "mornings, no two days alike": mornings,
    "shuffled": shuffled,
    "prefill-heavy": shape(4000, 1000, 7.0),
    "symmetrical": shape(1000, 1000, 9.0),
    "decode-heavy": shape(1000, 4000, 2.5),
    "azure slice": lambda seed: merge(
        *(multiply(shifted(azure_slice(), 180.0 * i), 3.0 + (i % 7), seed) for i in range(20))
    ),
}
PAST = {  # of a trace -> the days before it, of a seed
    "mornings": lambda seed: days_of(seed, morning_level, 60.0),
    "mornings, no two days alike": lambda seed: days_of(seed, morning_level, 6 * HOUR),
    "daily": lambda seed: days_of(seed, lambda hour: 10.0 - 7.5 * math.cos(2 * math.pi * hour / 4.0), 300.0),
}
UNFORESEEN = ("jumps", "one jump")
LLM_D = ("prefill-heavy", "symmetrical", "decode-heavy")


def shifted(trace, by):
    """The same requests later."""
    return tuple(type(one)(one.at + by, one.prompt, one.output) for one in trace)


def from_file(path: Path, factor: float):
    """A maker of a public trace at `factor` times its load."""
    whole = read(path)
    return lambda seed: multiply(whole, factor, seed)
