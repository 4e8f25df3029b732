"""One replica as vLLM runs it: continuous batching with chunked prefill, a KV cache, preemption of the youngest.

A step computes one token for each decoding sequence and fills the rest of its token budget with prompts, first come
first served. Steps with prompts are taken one by one. Between them the batch is constant, so a *run* of steps is one
event: step i of a run takes first + i x slope, since every sequence grows by one token a step, and the time of any
step in it is known in closed form. Nothing is approximated, and looking at a replica does not change it.

Source of the model: vLLM's V1 scheduler (vllm/v1/core/sched/scheduler.py); the coefficients are in gpus.yaml.
"""

import heapq
import math
from collections import deque
from dataclasses import dataclass
from typing import Literal

from scaler.model.errors import ConfigError
from scaler.sim.hardware import Hardware
from scaler.sim.histogram import ITL, TPOT, TTFT, Buckets, Histogram
from scaler.sim.trace import Arrival

Phase = Literal["starting", "ready", "draining"]


@dataclass(frozen=True, slots=True)
class EngineArgs:
    """vLLM's own settings."""

    max_num_seqs: int = 256
    max_num_batched_tokens: int = 2048

    def __post_init__(self) -> None:
        """Refuse, as vLLM does, a step without room for every sequence."""
        if not 1 <= self.max_num_seqs <= self.max_num_batched_tokens:
            problem = f"{self.max_num_seqs} is not between 1 and max_num_batched_tokens, {self.max_num_batched_tokens}"
            raise ConfigError("simulation", "max_num_seqs", problem)


VLLM = EngineArgs()


@dataclass(frozen=True, slots=True)
class FinishedRequest:
    """A request that left: served, or lost with the reason."""

    arrival: Arrival
    first: float | None  # time of the first token; None: there was none
    end: float
    tokens: int  # generated
    lost: str = ""

    @property
    def ttft(self) -> float:
        """Seconds from the arrival at the gateway to the first token; infinite when there was none."""
        return math.inf if self.first is None else self.first - self.arrival.at


@dataclass(frozen=True, slots=True)
class ReplicaFacts:
    """The numbers that a replica's metrics page would show at one time."""

    serial: int
    phase: Phase
    ordered: float  # time at which it was ordered
    waiting: int
    running: int
    kv_usage: float  # share of the KV cache, 0 to 1
    prompt_tokens: int
    generation_tokens: int
    finished: int
    preemptions: int
    ttft: Buckets
    itl: Buckets
    tpot: Buckets  # of finished requests: the mean time per token after the first


class InFlightRequest:
    """One request inside a replica. Tokens held in the KV cache: prompt + generated - 1 while it decodes."""

    __slots__ = ("arrival", "first", "generated", "last", "left", "needs", "received", "since")

    def __init__(self, arrival: Arrival) -> None:
        self.arrival = arrival
        self.received = arrival.at  # by this replica
        self.first: float | None = None  # time of its first token
        self.last = 0.0  # time of its last token before a preemption
        self.generated = 0  # tokens when it began to decode; with the steps since then, now
        self.since = 0  # step at which it began to decode
        self.needs = arrival.prompt  # tokens to prefill; after a preemption those generated too
        self.left = arrival.prompt  # of them, not yet done


class Replica:
    """One replica. `due` is the time of its next event; the fleet calls `turn` then, and nothing happens between."""

    __slots__ = (
        "_begun",
        "_chunks",
        "_context",
        "_decoding",
        "_finishing",
        "_first",
        "_hardware",
        "_held",
        "_itl",
        "_length",
        "_limits",
        "_order",
        "_partial",
        "_running",
        "_slope",
        "_steps",
        "_tpot",
        "_ttft",
        "due",
        "finished",
        "generation_tokens",
        "ordered",
        "phase",
        "preemptions",
        "prompt_tokens",
        "serial",
        "waiting",
    )

    def __init__(self, hardware: Hardware, limits: EngineArgs, serial: int, ordered: float, ready: float) -> None:
        self.serial = serial
        self.ordered = ordered
        self.phase: Phase = "starting"
        self.due = ready
        self.waiting: deque[InFlightRequest] = deque()
        self.prompt_tokens = 0
        self.generation_tokens = 0
        self.finished = 0
        self.preemptions = 0
        self._hardware = hardware
        self._limits = limits
        self._running: dict[InFlightRequest, None] = {}  # in the order of admission
        self._partial: InFlightRequest | None = None  # the one whose prompt is partly computed; there is never a second
        self._finishing: list[
            tuple[int, int, InFlightRequest]
        ] = []  # heap of (step of the last token, order, sequence)
        self._order = 0
        self._decoding = 0
        self._held = 0  # tokens in the KV cache when the run began
        self._context = 0  # of them, of decoding sequences
        self._steps = 0  # steps done before this run
        self._begun = ready  # the run: its start, its number of steps, their durations
        self._length = 0
        self._first = 0.0
        self._slope = 0.0
        self._chunks: list[tuple[InFlightRequest, int]] = []  # prompt tokens of this step
        self._ttft = Histogram(TTFT)
        self._itl = Histogram(ITL)
        self._tpot = Histogram(TPOT)

    @property
    def load(self) -> int:
        """Requests waiting and running."""
        return len(self.waiting) + len(self._running)

    def receive(self, sequence: InFlightRequest, now: float) -> None:
        """Take a request; it is looked at when the step that is under way ends."""
        sequence.received = now
        self.waiting.append(sequence)
        if not self._length:
            self._begin(now)
        elif self._length > 1 and len(self.waiting) == 1 and self._fits(sequence):
            self._length = self._steps_until(now)
            self.due = self._time(self._length)

    def turn(self) -> list[FinishedRequest]:
        """Do what is due: become ready, or end the run and begin the next one. Returns the requests that finished."""
        now = self.due
        if self.phase == "starting":
            self.phase = "ready"
            self.due = math.inf
            return []
        done = self._end(now)
        self._begin(now)
        return done

    def abandon(self, now: float) -> tuple[list[Arrival], list[FinishedRequest]]:
        """Die at once. Returns the requests that have no token yet, in the order of service, and the broken ones."""
        self._count(self._steps_done(now))
        everything = [*self._running, *self.waiting]
        return (
            [sequence.arrival for sequence in everything if sequence.first is None],
            [
                FinishedRequest(sequence.arrival, sequence.first, now, self._tokens(sequence), lost="its replica died")
                for sequence in everything
                if sequence.first is not None
            ],
        )

    def facts(self, now: float) -> ReplicaFacts:
        """Return what its metrics page shows. `now` is not after `due`."""
        steps = self._steps_done(now)
        itl = self._itl
        if steps and self._decoding:
            itl = itl.copy()
            itl.observe_line(self._first, self._slope, steps, self._decoding)
        return ReplicaFacts(
            serial=self.serial,
            phase=self.phase,
            ordered=self.ordered,
            waiting=len(self.waiting),
            running=len(self._running),
            kv_usage=(self._held + steps * self._decoding) / self._hardware.kv_tokens,
            prompt_tokens=self.prompt_tokens,
            generation_tokens=self.generation_tokens + steps * self._decoding,
            finished=self.finished,
            preemptions=self.preemptions,
            ttft=self._ttft.buckets(),
            itl=itl.buckets(),
            tpot=self._tpot.buckets(),
        )

    # The clock of a run.

    def _time(self, steps: int) -> float:
        """Return when so many steps of this run are done."""
        return self._begun + steps * self._first + self._slope * (steps * (steps - 1) / 2)

    def _steps_done(self, now: float) -> int:
        """Count the whole steps of this run that are done at `now`."""
        if not self._length:
            return 0
        a, b = self._slope / 2, self._first - self._slope / 2
        elapsed = now - self._begun
        root = 2 * elapsed / (b + math.sqrt(b * b + 4 * a * elapsed))
        steps = min(int(root) + 1, self._length)  # one more, since the root may be rounded down
        while self._time(steps) > now:
            steps -= 1
        return steps

    def _steps_until(self, now: float) -> int:
        """Return the step of this run during which `now` is, counted from 1; a step that ends at `now` counts."""
        steps = self._steps_done(now)
        return max(steps if self._time(steps) == now else steps + 1, 1)

    # Steps.

    def _fits(self, sequence: InFlightRequest) -> bool:
        room = self._hardware.kv_tokens - self._held - self._decoding
        return sequence.needs <= room and len(self._running) < self._limits.max_num_seqs

    def _begin(self, now: float) -> None:
        """Choose the next step, or the next run of equal steps."""
        preempted = self._make_room(now)
        self._begun = now
        self._chunks, attention = self._take_prompts(admit=not preempted)
        if not self._running:
            self._length, self.due = 0, math.inf
            return
        computed = self._decoding + sum(chunk for _, chunk in self._chunks)
        hardware = self._hardware
        self._first = (
            hardware.floor(computed, self._decoding + len(self._chunks))
            + hardware.kv * self._context
            + hardware.prefill * attention
        )
        self._slope = hardware.kv * self._decoding
        self._length = 1 if self._chunks or preempted else self._longest_run()
        self.due = self._time(self._length)

    def _make_room(self, now: float) -> bool:
        """Preempt the youngest until every decoding sequence has room for its next token."""
        preempted = False
        while self._held + self._decoding > self._hardware.kv_tokens:
            sequence, _ = self._running.popitem()
            if sequence.left:
                self._held -= sequence.needs
                self._partial = None
            else:
                sequence.generated = self._tokens(sequence)
                sequence.needs = sequence.arrival.prompt + sequence.generated
                sequence.last = now
                self._held -= sequence.needs - 1
                self._context -= sequence.needs - 1
                self._decoding -= 1
            sequence.left = sequence.needs
            self.waiting.appendleft(sequence)
            self.preemptions += 1
            preempted = True
        return preempted

    def _take_prompts(self, *, admit: bool) -> tuple[list[tuple[InFlightRequest, int]], float]:
        """Fill the step's budget with prompts: the begun one, then the waiting. Returns chunks and their attention."""
        budget = self._limits.max_num_batched_tokens - self._decoding
        chunks: list[tuple[InFlightRequest, int]] = []
        attention = 0.0
        if self._partial is not None:
            budget, attention = self._take_chunk(self._partial, budget, attention, chunks)
        while admit and self.waiting and budget > 0 and self._fits(self.waiting[0]):
            sequence = self.waiting.popleft()
            self._running[sequence] = None
            self._held += sequence.needs
            budget, attention = self._take_chunk(sequence, budget, attention, chunks)
        return chunks, attention

    @staticmethod
    def _take_chunk(
        sequence: InFlightRequest, budget: int, attention: float, chunks: list[tuple[InFlightRequest, int]]
    ) -> tuple[int, float]:
        chunk = min(sequence.left, budget)
        chunks.append((sequence, chunk))
        return budget - chunk, attention + chunk * (sequence.needs - sequence.left + chunk / 2)

    def _longest_run(self) -> int:
        """Count the steps until the batch changes by itself: a sequence ends, or the KV cache is full."""
        while True:
            last_step, _, sequence = self._finishing[0]
            if sequence in self._running and last_step == self._last_step(sequence):
                break
            heapq.heappop(self._finishing)  # it was preempted since
        return min(last_step - self._steps, (self._hardware.kv_tokens - self._held) // self._decoding)

    @staticmethod
    def _last_step(sequence: InFlightRequest) -> int:
        return -1 if sequence.left else sequence.since + sequence.arrival.output - sequence.generated

    def _tokens(self, sequence: InFlightRequest) -> int:
        """Count what a sequence has generated by the last whole step that was counted."""
        return sequence.generated + (0 if sequence.left else self._steps - sequence.since)

    def _count(self, steps: int) -> None:
        """Count so many steps of this run as done: one token for each decoding sequence and step."""
        tokens = steps * self._decoding
        self._steps += steps
        self._held += tokens
        self._context += tokens
        self.generation_tokens += tokens
        if tokens:
            self._itl.observe_line(self._first, self._slope, steps, self._decoding)

    def _end(self, now: float) -> list[FinishedRequest]:
        """End the run: its tokens, its last tokens, its first tokens."""
        self._count(self._length)
        done: list[FinishedRequest] = []
        while self._finishing and self._finishing[0][0] <= self._steps:
            last_step, _, sequence = heapq.heappop(self._finishing)
            if sequence in self._running and last_step == self._last_step(sequence):
                self._decoding -= 1
                held = sequence.arrival.prompt + sequence.arrival.output - 1
                self._held -= held
                self._context -= held
                done.append(self._finish(sequence, now))
        for sequence, chunk in self._chunks:
            sequence.left -= chunk
            self._partial = sequence if sequence.left else None
            if not sequence.left:
                self._emit_first(sequence, now, done)
        return done

    def _emit_first(self, sequence: InFlightRequest, now: float, done: list[FinishedRequest]) -> None:
        """Give a token, since the prompt is computed: the first one, or the next after a preemption."""
        if sequence.first is None:
            sequence.first = now
            self.prompt_tokens += sequence.arrival.prompt
            self._ttft.observe(now - sequence.received)
        else:
            self._itl.observe(now - sequence.last)
        self.generation_tokens += 1
        sequence.generated += 1
        sequence.since = self._steps
        if sequence.generated == sequence.arrival.output:
            self._held -= sequence.needs
            done.append(self._finish(sequence, now))
            return
        self._decoding += 1
        self._context += sequence.needs
        self._order += 1
        heapq.heappush(self._finishing, (self._last_step(sequence), self._order, sequence))

    def _finish(self, sequence: InFlightRequest, now: float) -> FinishedRequest:
        del self._running[sequence]
        self.finished += 1
        self._tpot.observe((now - (sequence.first or now)) / max(sequence.arrival.output - 1, 1))
        return FinishedRequest(sequence.arrival, sequence.first, now, sequence.arrival.output)
