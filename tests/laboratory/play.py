"""The laboratory to play with (`make lab`): a simulated model that llm-scaler scales, until Ctrl-C."""

import contextlib
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from laboratory.console import played
from laboratory.lab import Lab
from laboratory.llm_scaler import LlmScaler
from laboratory.objects import model, node_pool, scaled_object
from laboratory.simulation import Simulation

from scaler.sim.fleet import FleetSpec
from scaler.sim.hardware import hardware

NAME = "llama"
TRIGGER = {"formula": "queue-depth", "model": NAME, "target": "8", "idleFor": "30s"}
HELP = """\
RATE                     so many requests a second arrive from now on, such as 5 or 0.5
explain                  why so many replicas
nodes                    the machines
cordon NODE, uncordon NODE
kill PART, start PART    such as prometheus, llm-scaler, apiserver, keda-operator
pause PART, resume PART  frozen: it accepts connections and does not answer
help"""


def main() -> None:
    """Run until interrupted."""
    played(playing, HELP)


@dataclass(frozen=True, slots=True)
class Console:
    """What can be typed."""

    lab: Lab
    scaler: LlmScaler
    fleet: Simulation

    def obey(self, words: list[str]) -> str:
        """Do what is typed and return what there is to say."""
        verb, *rest = words
        one: dict[str, Callable[[str], object]] = {
            "kill": self.lab.kill,
            "start": self.lab.start,
            "pause": self.lab.pause,
            "resume": self.lab.resume,
            "cordon": lambda node: self.lab.kubectl("cordon", node),
            "uncordon": lambda node: self.lab.kubectl("uncordon", node),
        }
        none: dict[str, Callable[[], str]] = {
            "explain": lambda: self.scaler.text(NAME),
            "nodes": lambda: self.lab.kubectl("get", "nodes"),
            "help": lambda: HELP,
        }
        if verb in none and not rest:
            return none[verb]()
        if verb in one and len(rest) == 1:
            return str(one[verb](rest[0]) or f"{verb} {rest[0]}: done")
        try:
            rate = float(verb)
        except ValueError:
            raise ValueError(f"{shlex.join(words)!r} is not understood\n{HELP}") from None
        self.fleet.send(rate)
        return self.state()

    def places(self) -> dict[str, str]:
        """Where everything is: addresses, folders, and commands for another terminal."""
        lab, scaler = self.lab, self.scaler
        command = Path(sys.executable).parent / "llm-scaler"
        return {
            "kubectl": f"{lab.site.program('kubectl')} --kubeconfig={lab.kubeconfig}",
            "explain": f"{command} explain default/{NAME} --server {scaler.admin} --watch",
            "llm-scaler": f"{scaler.admin}/metrics (gRPC on {scaler.address}; its formulas, to edit: {scaler.formulas})",
            "Prometheus": lab.prometheus_url,
            "gateway": f"http://{lab.fleet.gateway}/metrics",
            "logs": f"{lab.home}/logs",
        }

    def state(self) -> str:
        """The fleet in one line."""
        seen = self.fleet.snapshot()
        return (
            f"replicas {self.lab.replicas(NAME)}, ready {seen.ready}; "
            f"requests at the gateway {seen.queued}, waiting {seen.waiting}, running {seen.running}"
        )


@contextlib.contextmanager
def playing(lab: Lab) -> Iterator[Console]:
    """Deploy what is played with: llm-scaler, a pool of machines, a model, its ScaledObject, and its simulated requests."""
    scaler = LlmScaler(lab)
    scaler.start()
    lab.fleet.queued[NAME] = 0
    lab.apply([*node_pool(), model(NAME, lab.fleet.port, load="20s", replicas=0)])
    lab.apply(scaled_object(NAME, scaler.address, TRIGGER, cooldownPeriod=30))
    with Simulation(lab, NAME, FleetSpec(hardware("a100-8b-bf16"))) as fleet:
        yield Console(lab, scaler, fleet)


if __name__ == "__main__":
    main()
