"""What the rules look at: one formula, and what came of it at every moment that was tried."""

from collections.abc import Iterator
from dataclasses import dataclass

from scaler.check.probe import Probe, Sampler, Sweep
from scaler.config.formula_file import FormulaFile
from scaler.config.metrics import TARGET_NAMES
from scaler.config.workload import WorkloadSpec
from scaler.decision.render import number_text

MessagesFound = Iterator[tuple[str, str]]  # what a rule found: a message, and a moment that shows it


@dataclass(frozen=True, slots=True)
class Evidence:
    """The moments that the rules look at."""

    file: FormulaFile
    spec: WorkloadSpec
    prober: Sampler
    idle: tuple[Probe, ...]  # nothing to do: with a replica, and without
    sweeps: tuple[Sweep, ...]

    def probes(self) -> Iterator[Probe]:
        """Yield every moment that was tried."""
        yield from self.idle
        for sweep in self.sweeps:
            yield from sweep.probes

    def pairs(self, name: str) -> Iterator[tuple[Probe, Probe]]:
        """Yield neighbours in all sweeps that move `name`."""
        for sweep in self.sweeps:
            if sweep.moved == name:
                yield from sweep.pairs()

    def at(self, probe: Probe, without: str = "") -> str:
        """Write a moment: what the formula and the activation read."""
        read = self.prober.names - {without}
        values = [f"{fact.name} {number_text(fact.value)}" for fact in probe.decision.input_values if fact.name in read]
        ready = probe.point.ready
        matters = bool(read & set(TARGET_NAMES)) or self.spec.metric_type == "Value" or not ready
        return ", ".join([*values, *([replicas_text(ready)] if matters else [])]) or "whatever is measured"

    def pair(self, one: Probe, other: Probe) -> str:
        """Write two moments and the replicas that they ask for."""
        return "; ".join(f"{self.at(probe)}: {replicas_text(probe.replicas)}" for probe in (one, other))


def gather(file: FormulaFile, spec: WorkloadSpec) -> Evidence:
    """Try a formula on everything that is worth trying."""
    prober = Sampler(spec)
    idle = tuple(prober.probe(prober.idle(replicas)) for replicas in (1, 0))
    return Evidence(file, spec, prober, idle, prober.sweeps())


def replicas_text(count: int) -> str:
    """Write a count: 1 replica, 2 replicas."""
    noun = "replica" if count == 1 else "replicas"
    return f"{count} {noun}"
