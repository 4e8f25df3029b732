"""A fleet of replicas behind a gateway, event by event, in virtual time.

A request goes to the ready replica with the fewest requests; while none takes it, it waits at the gateway, first come
first served. A replica that is ordered is ready after its cold start, log-normal around `FleetSpec.startup`. Scaling
down removes starting replicas first, then the newest ready ones; one with work drains: it takes nothing new, costs on,
and leaves when it is done. A replica that dies is replaced by a new one, as a Deployment does. Its requests without a
token yet return to the head of the gateway's queue; those that had begun to answer are lost, since a proxy cannot
retry a response that has begun (Envoy's retry policies end with the response headers). A request that no replica's KV
cache could ever hold is refused.

The laws, held by tests/sim/test_fleet.py: arrived = queued + waiting + running + finished + lost; every generated token
belongs to a request; nothing happens without a ready replica; equal seeds and calls give equal fleets; how often a
fleet is looked at or advanced changes nothing.
"""

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from scaler.sim.hardware import Hardware
from scaler.sim.replica import VLLM, EngineArgs, FinishedRequest, InFlightRequest, Replica, ReplicaFacts
from scaler.sim.trace import Arrival

MAX_FLEET = 10_000


@dataclass(frozen=True, slots=True)
class FleetSpec:
    """The hardware and the settings of a fleet."""

    hardware: Hardware
    limits: EngineArgs = VLLM
    startup: float = 180.0  # s from order to ready, the median
    startup_variation: float = 0.1  # sigma of its logarithm
    takes: int | None = None  # a gateway with flow control sends nothing to a replica with so many waiting


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that can be seen of a fleet at one time."""

    at: float
    desired: int  # replicas ordered and not told to go
    replicas: tuple[ReplicaFacts, ...]  # by serial, draining ones too
    queued: int  # requests at the gateway
    oldest: float  # seconds that the first of them has waited; 0 without any
    arrived: int
    finished: int
    lost: int
    prompt_tokens: int  # of all replicas that ever were
    generation_tokens: int
    replica_seconds: float  # from order to death, draining included

    @property
    def ready(self) -> int:
        """Replicas that take requests."""
        return sum(replica.phase == "ready" for replica in self.replicas)

    @property
    def starting(self) -> int:
        """Replicas that are on their way."""
        return sum(replica.phase == "starting" for replica in self.replicas)

    @property
    def draining(self) -> int:
        """Replicas that finish their work and go."""
        return sum(replica.phase == "draining" for replica in self.replicas)

    @property
    def waiting(self) -> int:
        """Requests that wait inside replicas."""
        return sum(replica.waiting for replica in self.replicas)

    @property
    def running(self) -> int:
        """Requests being worked on."""
        return sum(replica.running for replica in self.replicas)


class Fleet:
    """A fleet; time only moves by `advance` and `arrive`, and never back.

    Args:
        spec: what it is made of.
        seed: of the cold starts. The n-th replica's is the same whenever it is ordered.
        ready: replicas that are ready at time 0.
    """

    def __init__(self, spec: FleetSpec, seed: int = 0, ready: int = 0) -> None:
        self.spec = spec
        self.now = 0.0
        self._seed = seed
        self._serials = itertools.count()
        self._replicas: dict[int, Replica] = {}  # by serial, ascending
        self._due: list[tuple[float, int]] = []  # heap of (time, serial); stale when the replica is due at another time
        self._queue: deque[Arrival] = deque()
        self._done: list[FinishedRequest] = []
        self._arrived = self._finished = self._lost = 0
        self._buried_seconds = 0.0
        self._buried_prompt = self._buried_generation = 0
        for _ in range(ready):
            self._order(cold=False).turn()

    @property
    def desired(self) -> int:
        """Replicas ordered and not told to go."""
        return sum(replica.phase != "draining" for replica in self._replicas.values())

    @property
    def ready(self) -> int:
        """Replicas that take requests."""
        return sum(replica.phase == "ready" for replica in self._replicas.values())

    def advance(self, to: float) -> None:
        """Let everything happen that is due up to and at `to` seconds."""
        if to < self.now:
            raise ValueError(f"a fleet at {self.now:g} s cannot go back to {to:g} s")
        while self._due and self._due[0][0] <= to:
            at, serial = heapq.heappop(self._due)
            replica = self._replicas.get(serial)
            if replica is None or replica.due != at:
                continue
            self.now = at
            for done in replica.turn():
                self._finished += 1
                self._done.append(done)
            if replica.phase == "draining" and not replica.load:
                self._bury(replica)
            else:
                self._watch(replica)
            if self._queue:
                self._dispatch()
        self.now = to

    def arrive(self, arrival: Arrival) -> None:
        """Let a request reach the gateway, at its own time, which may not be before now."""
        self.advance(arrival.at)
        self._arrived += 1
        if arrival.prompt + arrival.output > self.spec.hardware.kv_tokens:
            self._lose([FinishedRequest(arrival, None, self.now, 0, lost="longer than the KV cache")])
            return
        self._queue.append(arrival)
        self._dispatch()

    def play(self, arrivals: Iterable[Arrival]) -> None:
        """Let many requests arrive, in the order of time."""
        for arrival in arrivals:
            self.arrive(arrival)

    def scale(self, replicas: int) -> None:
        """Order more, or let some go."""
        if not 0 <= replicas <= MAX_FLEET:
            raise ValueError(f"{replicas} replicas is not between 0 and {MAX_FLEET}")
        kept = [replica for replica in self._replicas.values() if replica.phase != "draining"]
        for _ in range(replicas - len(kept)):
            self._order()
        leaving = sorted(kept, key=lambda replica: (replica.phase == "starting", replica.serial), reverse=True)
        for replica in leaving[: max(len(kept) - replicas, 0)]:
            if replica.phase == "starting" or not replica.load:
                self._bury(replica)
            else:
                replica.phase = "draining"

    def kill(self, serial: int) -> None:
        """Kill a replica; a new one is ordered in its place unless it was draining."""
        if serial not in self._replicas:
            raise ValueError(f"there is no replica {serial}; there are {sorted(self._replicas)}")
        replica = self._replicas[serial]
        fresh, broken = replica.abandon(self.now)
        self._lose(broken)
        self._queue.extendleft(reversed(fresh))
        self._bury(replica)
        if replica.phase != "draining":
            self._order()
        self._dispatch()

    def collect(self) -> tuple[FinishedRequest, ...]:
        """Return the requests that left since the last call, in the order in which they did."""
        done, self._done = tuple(self._done), []
        return done

    def snapshot(self) -> Snapshot:
        """Return everything that can be seen now."""
        replicas = tuple(replica.facts(self.now) for replica in self._replicas.values())
        return Snapshot(
            at=self.now,
            desired=self.desired,
            replicas=replicas,
            queued=len(self._queue),
            oldest=self.now - self._queue[0].at if self._queue else 0.0,
            arrived=self._arrived,
            finished=self._finished,
            lost=self._lost,
            prompt_tokens=self._buried_prompt + sum(replica.prompt_tokens for replica in replicas),
            generation_tokens=self._buried_generation + sum(replica.generation_tokens for replica in replicas),
            replica_seconds=self._buried_seconds + sum(self.now - replica.ordered for replica in replicas),
        )

    def _order(self, *, cold: bool = True) -> Replica:
        serial = next(self._serials)
        ready = self.now + (self._cold_start(serial) if cold else 0.0)
        replica = Replica(self.spec.hardware, self.spec.limits, serial, self.now, ready)
        self._replicas[serial] = replica
        self._watch(replica)
        return replica

    def _cold_start(self, serial: int) -> float:
        chance = random.Random(f"{self._seed}/{serial}")
        return chance.lognormvariate(math.log(self.spec.startup), self.spec.startup_variation)

    def _watch(self, replica: Replica) -> None:
        if replica.due < math.inf:
            heapq.heappush(self._due, (replica.due, replica.serial))

    def _dispatch(self) -> None:
        """Send what waits at the gateway to the replicas that take it."""
        while self._queue and (replica := self._least_loaded()) is not None:
            before = replica.due
            replica.receive(InFlightRequest(self._queue.popleft()), self.now)
            if replica.due != before:
                self._watch(replica)

    def _least_loaded(self) -> Replica | None:
        """Find the ready replica with the fewest requests, the oldest of equals; None when no ready one takes any."""
        takes = math.inf if self.spec.takes is None else self.spec.takes
        best, least = None, math.inf
        for replica in self._replicas.values():
            if replica.phase == "ready" and replica.load < least and len(replica.waiting) < takes:
                best, least = replica, float(replica.load)
        return best

    def _lose(self, broken: list[FinishedRequest]) -> None:
        self._lost += len(broken)
        self._done.extend(broken)

    def _bury(self, replica: Replica) -> None:
        del self._replicas[replica.serial]
        self._buried_seconds += self.now - replica.ordered
        self._buried_prompt += replica.prompt_tokens
        self._buried_generation += replica.generation_tokens
