"""The simulated fleet (scaler/sim/fleet.py) on real time and real pods.

Kubernetes decides which pods there are and when they are ready; the simulation decides what each of them is doing. A pod that
becomes ready joins the simulated fleet at once, since its cold start was kwok's; one that is gone leaves with what it was working on.
"""

import math
import random
import threading
import time
from collections import deque
from dataclasses import replace
from types import TracebackType
from typing import Self

import requests
from laboratory.api import Object
from laboratory.fleet import Load
from laboratory.lab import Lab, condition
from laboratory.process import LabError

from scaler.sim.fleet import Fleet, FleetSpec, Snapshot
from scaler.sim.replica import FinishedRequest, ReplicaFacts
from scaler.sim.trace import Arrival, Trace

TICK = 0.25  # seconds between two looks at the pods


class Simulation:
    """What the pods labelled app=`app` do, from entering the block until leaving it.

    Args:
        spec: what one replica is; its cold start is not used.
        model: the served model's name on the pages; `app` unless given.
        seed: of the requests' times and lengths.
    """

    def __init__(self, lab: Lab, app: str, spec: FleetSpec, *, model: str = "", seed: int = 0) -> None:
        self._lab = lab
        self._app = app
        self._model = model or app
        self._fleet = Fleet(replace(spec, startup=1e-6, startup_variation=0.0))
        self._chance = random.Random(seed)
        self.joined = 0  # pods that ever became ready
        self._rate = 0.0  # requests per second
        self._prompt = self._output = 1  # tokens, mean
        self._next = math.inf  # when the next request arrives
        self._coming: deque[Arrival] = deque()  # of a trace, at their times
        self._serials: dict[str, int] = {}  # by the UID of a ready pod
        self._addresses: dict[str, str] = {}  # of every running pod, by UID
        self._began = time.monotonic()
        self._error: Exception | None = None
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"simulation-{app}", daemon=True)

    def __enter__(self) -> Self:
        self._lab.fleet.load = None  # a pod that we do not know yet is not up
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def send(self, rate: float, prompt: int = 500, output: int = 200) -> None:
        """From now on `rate` requests per second arrive (Poisson), with exponential lengths of these means in tokens.

        Raises:
            ValueError: the rate is negative, or beyond what one core can simulate on the side.
        """
        if not 0 <= rate <= 1000:
            raise ValueError(f"{rate} requests per second is not between 0 and 1000")
        with self._lock:
            self._rate, self._prompt, self._output = rate, prompt, output
            self._next = self._after(self._now())

    def request(self, prompt: int, output: int) -> None:
        """One request arrives now."""
        with self._lock:
            self._fleet.arrive(Arrival(self._now(), prompt, output))

    def play(self, trace: Trace) -> None:
        """From now on the requests of a trace arrive, at their times."""
        with self._lock:
            now = self._now()
            self._coming.extend(replace(arrival, at=now + arrival.at) for arrival in trace)

    def done(self) -> tuple[FinishedRequest, ...]:
        """The requests that have left since the last call."""
        with self._lock:
            self._advance()
            return self._fleet.collect()

    def snapshot(self) -> Snapshot:
        """Return all that can be seen of the fleet now.

        Raises:
            LabError: the simulation has ended by an error.
        """
        if self._error:
            raise LabError("the simulation has ended by an error") from self._error
        with self._lock:
            self._advance()
            return self._fleet.snapshot()

    def _run(self) -> None:
        try:
            while not self._over.wait(TICK):
                try:
                    pods = self._lab.pods(self._app)
                except (requests.RequestException, LabError):
                    pods = None  # without the API server the last known pods go on
                with self._lock:
                    self._advance()
                    if pods is not None:
                        self._follow(pods)
                    self._publish()
        except Exception as error:  # noqa: BLE001 - whatever it is, snapshot() raises it
            self._error = error

    def _now(self) -> float:
        return max(time.monotonic() - self._began, self._fleet.now)

    def _after(self, now: float) -> float:
        return now + self._chance.expovariate(self._rate) if self._rate else math.inf

    def _advance(self) -> None:
        """Let requests arrive and be worked on up to now."""
        now = self._now()
        while self._coming and self._coming[0].at <= now:
            arrival = self._coming.popleft()
            self._fleet.arrive(replace(arrival, at=max(arrival.at, self._fleet.now)))
        while self._next <= now:
            prompt, output = (math.ceil(self._chance.expovariate(1 / mean)) for mean in (self._prompt, self._output))
            self._fleet.arrive(Arrival(max(self._next, self._fleet.now), max(prompt, 1), max(output, 1)))
            self._next = self._after(self._next)
        self._fleet.advance(now)

    def _follow(self, pods: list[Object]) -> None:
        """Let replicas join for pods that became ready, and leave for those that are gone."""
        running = {pod["metadata"]["uid"]: pod for pod in pods if pod["status"].get("podIP")}
        for uid in self._addresses.keys() - running.keys():
            self._lab.fleet.loads.pop(self._addresses.pop(uid), None)
            if uid in self._serials:
                # A Deployment's successor is another pod: the replacement that the simulation orders is not wanted.
                self._fleet.kill(self._serials.pop(uid))
                self._fleet.scale(self._fleet.desired - 1)
        for uid, pod in running.items():
            self._addresses[uid] = pod["status"]["podIP"]
            if uid not in self._serials and condition(pod, "Ready"):
                self._fleet.scale(self._fleet.desired + 1)
                self._serials[uid] = max(facts.serial for facts in self._fleet.snapshot().replicas)
                self.joined += 1

    def _publish(self) -> None:
        """Write every pod's page and the gateway's queue."""
        seen = self._fleet.snapshot()
        facts = {replica.serial: replica for replica in seen.replicas}
        for uid, address in self._addresses.items():
            serial = self._serials.get(uid)
            self._lab.fleet.loads[address] = None if serial is None else _load(facts[serial], self._model)
        self._lab.fleet.queued[self._model] = seen.queued


def _load(replica: ReplicaFacts, model: str) -> Load:
    return Load(
        model=model,
        waiting=replica.waiting,
        running=replica.running,
        kv_usage=replica.kv_usage,
        prompt_tokens=replica.prompt_tokens,
        generation_tokens=replica.generation_tokens,
        finished=replica.finished,
        preemptions=replica.preemptions,
        ttft=replica.ttft,
        itl=replica.itl,
        tpot=replica.tpot,
    )
