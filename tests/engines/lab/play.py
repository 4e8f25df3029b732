"""The laboratory with real engines to play with (`make lab ENGINE=vllm`): vLLM that llm-scaler scales, until Ctrl-C."""

import contextlib
import shlex
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from engines.client import Clients
from engines.install import installed
from engines.lab import field_tool
from engines.lab.kubelet import Kubelet
from engines.lab.objects import PORT, engine, gateway
from engines.servers import BATCH, MODEL
from laboratory.console import played
from laboratory.lab import Lab
from laboratory.llm_scaler import LlmScaler
from laboratory.objects import scaled_object

NAME = "vllm"
TRIGGER = {"formula": "queue-depth", "model": MODEL, "target": "10", "idleFor": "30s"}
LIMIT = BATCH + BATCH // 2  # requests that a replica gets at a time; the others wait at the gateway
TOKENS = 300  # of an answer
HELP = """\
NUMBER        keep so many requests in flight from now on, such as 20; 0 for none
explain       why so many replicas
pods          the pods, and the process of each
log POD       the end of a pod's log
kill PART, start PART   such as prometheus, llm-scaler, keda-operator
help"""


def main() -> None:
    """Run until interrupted."""
    played(playing, HELP)


@dataclass(slots=True)
class Console:
    """What can be typed."""

    lab: Lab
    scaler: LlmScaler
    kubelet: Kubelet
    clients: Clients
    address: str  # of the gateway
    wanted: int = 0  # requests in flight
    over: threading.Event = field(default_factory=threading.Event)

    def obey(self, words: list[str]) -> str:
        """Do what is typed and return what there is to say."""
        verb, *rest = words
        told: dict[str, Callable[[], str]] = {
            "explain": lambda: self.scaler.text(NAME),
            "pods": lambda: self.lab.kubectl("get", "pods", "-o", "wide") + f"{self.kubelet.processes()}",
            "help": lambda: HELP,
        }
        if verb in told and not rest:
            return told[verb]()
        if verb == "log" and len(rest) == 1:
            return self.kubelet.log(rest[0])
        if verb in ("kill", "start") and len(rest) == 1:
            {"kill": self.lab.kill, "start": self.lab.start}[verb](rest[0])
            return f"{verb} {rest[0]}: done"
        if not verb.isdecimal() or int(verb) > 200:
            raise ValueError(f"{shlex.join(words)!r} is not understood\n{HELP}")
        self.wanted = int(verb)
        return self.state()

    def places(self) -> dict[str, str]:
        """Where everything is: addresses, folders, and commands for another terminal."""
        bench = field_tool.bench_serve(
            self.lab.home, f"http://{self.address}", "--num-prompts", "50", "--request-rate", "2"
        )
        explain = (
            f"{Path(sys.executable).parent}/llm-scaler explain default/{NAME} --server {self.scaler.admin} --watch"
        )
        return {
            "explain": explain,
            "load": shlex.join(bench.command),
            "gateway": f"http://{self.address}/v1/completions, and its page http://{self.address}/metrics",
            "llm-scaler": f"{self.scaler.admin}/metrics",
            "Prometheus": self.lab.prometheus_url,
            "kubectl": f"kubectl --kubeconfig={self.lab.kubeconfig}",
            "logs": f"{self.lab.home}/logs",
        }

    def state(self) -> str:
        """The fleet in one line."""
        done = sum(request.ended is not None and not request.problem for request in self.clients.requests)
        return (
            f"replicas {self.lab.replicas(NAME)}, ready {self.lab.ready(NAME)}; "
            f"requests in flight {self.clients.in_flight()} of {self.wanted} wanted, answered {done}"
        )

    def send(self) -> None:
        """Keep as many requests in flight as are wanted, until it is over."""
        while not self.over.wait(0.2):
            self.clients.send(max(self.wanted - self.clients.in_flight(), 0), TOKENS)


@contextlib.contextmanager
def playing(lab: Lab) -> Iterator[Console]:
    """Deploy what is played with: llm-scaler, the gateway, vLLM without a replica, and its ScaledObject."""
    installed("vllm")
    scaler = LlmScaler(lab)
    scaler.start()
    with Kubelet(lab) as kubelet:
        lab.apply([gateway(lab.api, "gateway", kubelet.name, NAME, LIMIT), engine(lab.home, NAME, kubelet.name)])
        lab.apply(scaled_object(NAME, scaler.address, TRIGGER, maxReplicaCount=2, cooldownPeriod=30))
        lab.wait(lambda: lab.ready("gateway") == 1, 60, "the gateway is ready")
        address = f"{lab.pods('gateway')[0]['status']['podIP']}:{PORT}"
        with Clients(f"http://{address}", MODEL) as clients:
            console = Console(lab, scaler, kubelet, clients, address)
            sending = threading.Thread(target=console.send, name="send", daemon=True)
            sending.start()
            try:
                yield console
            finally:
                console.over.set()
                sending.join()


if __name__ == "__main__":
    main()
