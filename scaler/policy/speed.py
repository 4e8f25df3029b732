"""How fast a replica answers, by its load; and from that the load at which it is too slow.

    speed = idle - output x context x generated - prompt x prompted

`speed` is that of one request, in tokens a second: all that are generated over the requests that run (Little's law).
`generated` and `prompted` are a replica's tokens a second of the two kinds; `context` tells how much a generated one
has to read, which is all that came before it: 1 with 1,000 tokens, 3.7 with 5,000. A batch of an engine takes longer by
a bit for each token in it, so that both terms slow down every request, and about as much at any load. The edge is where
a request has just the speed that was promised: it is known from how much is left of it, long before anybody is late.

    idle 75, 1,000 generated and 4,000 prompted tokens a second slow down by 0.012 and 0.004 each: 47 tokens/s
    promised 20: a replica is at 28 of 55, so at 0.51 of its edge

The three are learnt by least squares. Until loads of several kinds were seen, the slopes are about what they are on
any accelerator that computes in a batch: it computes some 300 prompt tokens in the time in which it reads its weights.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

PROMPT, PROMPT_WIDTH = 1 / 300, 1 / 1000  # tokens/s of speed that a prompt token a second takes; standard deviation
OUTPUT, OUTPUT_WIDTH = 0.009, 0.003  # and a generated one with 1,000 tokens before it
READS, AT_LEAST = 1000.0, 500.0  # tokens that it reads then; and so many more are what the rest of it takes
LEAST = 0.3  # of both: less is taken for noise
NOISE = 0.15  # of the idle speed: how far that of a minute lies off in the mean
OUTLIER = 1.5  # times as far off it is believed the less
FEW = 20.0  # requests that run, of which half so much is to be learnt as of many
HALF_LIFE = 3600.0  # seconds: of what was seen
HALF_LIFE_DRIFT = 300.0  # seconds: of how the speed differs of late
SATURATED = 0.2  # of the idle speed: slower than that an engine hardly does more when it is given more


class Flow(NamedTuple):
    """Tokens a second."""

    output: float
    prompt: float

    def times(self, factor: float) -> "Flow":
        """Multiply both rates by a factor."""
        return Flow(self.output * factor, self.prompt * factor)


Sums = tuple[float, ...]  # of weights, and of products of output, prompt and speed with them
NOTHING: Sums = (0.0,) * 9


@dataclass(frozen=True, slots=True)
class Speed:
    """The speed of one kind of replica, as far as it is known."""

    sums: Sums = NOTHING
    idle: float = 0.0  # tokens a second of a lone request; 0: nothing is known
    output: float = OUTPUT
    prompt: float = PROMPT
    drift: float = 0.0  # by how much it is faster of late
    context: float = 1.0  # times what a generated token takes that has 1,000 before it

    def work(self, flow: Flow) -> float:
        """Return how much a flow on one replica slows down each request; on several, the sum over them."""
        return self.output * self.context * flow.output + self.prompt * flow.prompt

    def of(self, request: Flow) -> "Speed":
        """Take requests of so many tokens in the mean; most are generated in long answers, at their end."""
        return replace(self, context=(AT_LEAST + request.prompt + request.output) / (AT_LEAST + READS))

    def edge(self, itl: float) -> float:
        """Return the work of one replica at which a token takes just `itl` seconds."""
        idle = self.idle + self.drift
        return max(idle - max(1 / itl, SATURATED * idle), LEAST * idle)

    def replicas(self, flow: Flow, itl: float) -> float:
        """Count the replicas at their edge that work off a flow; 0 where nothing is known of one."""
        return self.work(flow) / self.edge(itl) if self.idle else 0.0

    def shown(self, speed: float, itl: float) -> float:
        """Return the share of its edge at which a replica works, by the speed that its requests have."""
        return (self.idle - speed) / self.edge(itl)

    def guessed(self, share: float) -> "Speed":
        """Keep only so small a share of what was seen, for another kind of replica."""
        return replace(self, sums=tuple(share * one for one in self.sums))


def sure(running: float) -> float:
    """Return how sure the speed of a minute is in which so many requests ran: 0 to 1."""
    return running / (running + FEW)


def learnt(before: Speed, flow: Flow, running: float, ready: float, passed: float) -> Speed:
    """Add a minute.

    Args:
        before: what was known.
        flow: tokens of all replicas, as they were worked off.
        running: requests, in the mean.
        ready: replicas.
        passed: seconds since the last time.
    """
    speed, each = flow.output / running, flow.times(1 / ready)
    off = speed - (before.idle - before.work(each)) if before.idle else 0.0
    noise = NOISE * (before.idle or speed)
    believed = min(1.0, (OUTLIER * noise / off) ** 2) if off else 1.0
    known = sure(running) * believed
    weight = passed / 60 * known / noise**2
    kept = 0.5 ** (passed / HALF_LIFE)
    made, read = each.output * before.context, each.prompt
    products = (1.0, made, read, speed, made**2, made * read, read**2)
    terms = (*products, made * speed, read * speed)
    sums = tuple(kept * old + weight * new for old, new in zip(before.sums, terms, strict=True))
    idle, output, prompt = _solved(sums)
    off = speed - (idle - output * made - prompt * read)
    share = (1 - 0.5 ** (passed / HALF_LIFE_DRIFT)) * known
    return Speed(sums, idle, output, prompt, before.drift + share * (off - before.drift), before.context)


def _solved(sums: Sums) -> tuple[float, float, float]:
    """Return the idle speed and the two slopes by least squares, with the usual slopes as so much evidence."""
    weight, *others = sums
    output, prompt, speed, oo, op, pp, os, ps = (one / weight for one in others)
    stiff_o, stiff_p = OUTPUT_WIDTH**-2 / weight, PROMPT_WIDTH**-2 / weight
    a, b, d = oo - output**2 + stiff_o, op - output * prompt, pp - prompt**2 + stiff_p
    right_o = stiff_o * OUTPUT - (os - output * speed)
    right_p = stiff_p * PROMPT - (ps - prompt * speed)
    det = a * d - b * b
    per_output = max((right_o * d - right_p * b) / det, LEAST * OUTPUT)
    per_prompt = max((right_p * a - right_o * b) / det, LEAST * PROMPT)
    return speed + per_output * output + per_prompt * prompt, per_output, per_prompt
