"""A pod of real vLLM in each of its shapes, read through Prometheus and directly, while clients hang up and an engine dies.

The need: an engine's gauges after aborts, its counters after a restart, two engines in one pod, and the ranks of one engine
are where load is lost or counted twice. Both sources read the same pod at the same time; both must say what is in flight.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from engines.client import Clients, Request, tokens_per_second
from engines.lab.kubelet import Kubelet
from engines.lab.ledger import Ledger
from engines.lab.objects import PORT, START, engine, gateway
from engines.servers import BATCH, MODEL
from laboratory.lab import Lab
from laboratory.llm_scaler import LlmScaler
from laboratory.objects import scaled_object, trigger

SCRAPE = 2.0  # seconds; see laboratory.conftest
SOURCES = {"prometheus": "default", "pods": "pods"}  # a trigger's id -> its endpoint
IN_FLIGHT = 30  # requests, more than any shape works on at a time
TOKENS = "generation_tokens_per_second"
SPANS = (20, 40, 60, 90, 120)  # seconds over which a source may have counted tokens; it has two minutes


@dataclass(frozen=True, slots=True)
class Shape:
    """What one pod is.

    Args:
        name: of the Deployment.
        ports: of its engines.
        flags: of each.
        ranks: of each.
    """

    name: str
    ports: Sequence[int] = (PORT,)
    flags: tuple[str, ...] = ()
    ranks: int = 1

    @property
    def batch(self) -> int:
        """Requests that it works on at a time."""
        return BATCH * self.ranks * len(self.ports)

    @property
    def limit(self) -> int:
        """Requests that an engine gets at a time; some of them wait in its own queue."""
        return BATCH * self.ranks + 3


SHAPES = (
    Shape("two-engines", ports=(PORT, PORT + 1)),
    Shape("two-ranks", flags=("--data-parallel-size", "2"), ranks=2),
)


@dataclass(slots=True)
class World:
    """The pod, its gateway, and who reads it."""

    lab: Lab
    shape: Shape
    kubelet: Kubelet
    clients: Clients
    ledgers: dict[str, Ledger]  # of the load, by source
    tokens: dict[str, Ledger]  # generated per second, by source

    def working(self) -> bool:
        """Keep the clients' requests in flight; is the pod ready?"""
        self.kubelet.check()
        self.clients.send(IN_FLIGHT - self.clients.in_flight(), 200)
        return self.lab.ready(self.shape.name) == 1

    def work(self, seconds: float) -> None:
        """Work for so long."""
        began = time.monotonic()
        self.lab.wait(lambda: self.working() and time.monotonic() - began > seconds, seconds + 120, "it works")

    def kill(self) -> list[Request]:
        """Kill the first engine with all its processes, as a lack of memory does; return what was in flight then."""
        name = min(name for name in self.kubelet.processes() if name.startswith(self.shape.name))
        in_flight = [request for request in self.clients.requests if request.ended is None]
        os.killpg(self.kubelet.processes()[name], signal.SIGKILL)
        return in_flight

    def restarts(self) -> int:
        """Return how often containers of the pod were started again."""
        (pod,) = self.lab.pods(self.shape.name)
        return sum(int(status["restartCount"]) for status in pod["status"]["containerStatuses"])

    def both_read(self, what: Callable[[float], bool], told: str) -> None:
        """Wait until the newest decision of both sources is certain and reads a sum that is so."""

        def so() -> bool:
            newest = [ledger.certain()[-1:] for ledger in self.ledgers.values()]
            now = time.monotonic()
            return all(
                entries and now - entries[0].seen < 3 and what(sum(value or 0.0 for value in entries[0].read.values()))
                for entries in newest
            )

        self.lab.wait(so, 60, told)


@contextmanager
def world(lab: Lab, shape: Shape) -> Iterator[World]:
    """One pod of a shape behind the gateway, and llm-scaler asked about it twice: once for each source."""
    with Kubelet(lab) as kubelet, ExitStack() as stack:
        lab.apply(gateway(lab.api, "gateway", kubelet.name, shape.name, shape.limit))
        lab.wait(lambda: lab.ready("gateway") == 1, 120, "the gateway is ready")
        address = f"{lab.pods('gateway')[0]['status']['podIP']}:{PORT}"
        scaler = LlmScaler(lab, "--settings", str(_settings(lab, address)), "--defaults-hold-for", "5s")
        scaler.start()
        deployment = engine(lab.home, shape.name, kubelet.name, *shape.flags, ports=shape.ports)
        deployment["spec"]["replicas"] = 1
        lab.apply(deployment)
        lab.apply(scaled_object(shape.name, "", triggers=_triggers(scaler), minReplicaCount=1, maxReplicaCount=1))
        clients = stack.enter_context(Clients(f"http://{address}", MODEL))
        ledgers = {source: Ledger(_reader(scaler, shape, source)) for source in SOURCES}
        tokens = {source: Ledger(_reader(scaler, shape, f"{source}-tokens"), (TOKENS,)) for source in SOURCES}
        for ledger in (*ledgers.values(), *tokens.values()):
            stack.enter_context(ledger)
        yield World(lab, shape, kubelet, clients, ledgers, tokens)


def _settings(lab: Lab, address: str) -> Path:
    pages = [{"url": f"http://{address}/metrics", "namespace": "default"}]
    pods = {"pods": {}, "pages": pages, "networks": ["127.0.0.0/8"]}
    file = lab.home / "settings.yaml"
    file.write_text(yaml.safe_dump({"endpoints": {"pods": pods}}))
    return file


def _triggers(scaler: LlmScaler) -> list[dict[str, object]]:
    """The load and the tokens through each source."""
    wanted = {"": "queued + waiting + running", "-tokens": TOKENS}
    return [
        trigger(scaler.address, id=f"{source}{suffix}", endpoint=at, expression=text, model=MODEL, target="100")
        for source, at in SOURCES.items()
        for suffix, text in wanted.items()
    ]


def _reader(scaler: LlmScaler, shape: Shape, trigger: str) -> Callable[[], dict[str, object]]:
    return lambda: scaler.explain(shape.name, trigger)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_both_sources_read_what_is_in_flight_while_clients_hang_up_and_an_engine_dies(lab: Lab, shape: Shape):
    with world(lab, shape) as play:
        lab.wait(play.working, START, "the pod is ready")
        play.work(20)
        play.both_read(lambda load: load >= shape.batch, "both read the load")
        play.clients.abort(play.clients.requests[-IN_FLIGHT // 2 :])
        play.work(5)
        play.clients.abort()
        play.both_read(lambda load: load == 0, "nothing is left of what was given up")
        hung_up = len(play.clients.requests)
        play.work(10)
        lost = play.kill()
        lab.wait(lambda: play.working() and play.restarts() == 1, START, "the engine is started again")
        lab.wait(play.working, START, "the pod is ready again")
        play.work(30)
        play.both_read(lambda load: load >= shape.batch, "both read the load again")
        worked = time.monotonic()
        lab.wait(lambda: play.clients.in_flight() == 0, 600, "all are answered")
        play.both_read(lambda load: load == 0, "both read that nothing is left")
    sent = play.clients.requests
    for source, ledger in play.ledgers.items():
        wrong = ledger.mismatches(sent, SCRAPE)
        assert not wrong, f"{source}: {len(wrong)} of {len(ledger.certain())} certain readings: {wrong[0]}"
    given_up = {id(request) for request in lost}
    problems = [request.problem for request in sent[hung_up:] if request.problem and id(request) not in given_up]
    assert not problems, f"{len(problems)} of {len(sent)} requests: {problems[0]}"
    rates = {source: _tokens(ledger, sent, worked) for source, ledger in play.tokens.items()}
    told = ", ".join(
        f"{source} {len(ledger.loaded())} with {rates[source]:.0f} tokens/s" for source, ledger in play.ledgers.items()
    )
    lab.say(f"{shape.name}: {len(sent)} requests; certain readings under load: {told}, all of them right")


def _tokens(ledger: Ledger, sent: Sequence[Request], worked: float) -> float:
    """Hold the tokens that a source counted against those that came; return what it said after the restart, per second.

    Args:
        ledger: of the tokens.
        sent: all requests.
        worked: when the work after the restart was over.
    """
    said = [(entry.at, entry.read[TOKENS] or 0.0) for entry in ledger.certain()]
    assert min(rate for _, rate in said) >= 0, "a counter that begins again is no negative rate"
    at, rate = next((at, rate) for at, rate in reversed(said) if at <= worked)
    came = [tokens_per_second(sent, at - span, at) for span in SPANS]
    assert 0.7 * min(came) <= rate <= 1.3 * max(came), f"{rate:.0f} tokens/s, while {came} came over {SPANS} seconds"
    return rate
