"""What is declared and read by nothing: mostly a slip of the pen."""

from collections.abc import Iterator

from scaler.check.evidence import Evidence, MessagesFound
from scaler.config.metrics import GUARDS
from scaler.config.parameters import REFERENCE
from scaler.config.workload import WorkloadSpec
from scaler.formula import Program
from scaler.model.measurement import SignalQuery


def _programs(spec: WorkloadSpec) -> Iterator[Program]:
    yield spec.program
    if not isinstance(spec.activation, float):
        yield spec.activation
    yield from spec.policy_programs.values()


def _names(spec: WorkloadSpec) -> frozenset[str]:
    return frozenset().union(*(program.names for program in _programs(spec)))


def unused_metric(evidence: Evidence) -> MessagesFound:
    """Find what is measured every tick and used in no formula."""
    for item in evidence.spec.inputs:
        if item.name not in _names(evidence.spec):
            guard = " (running and waiting are watched without it)" if item.name in GUARDS else ""
            yield f"{item.name} is measured, and nothing reads it{guard}", ""


def unused_parameter(evidence: Evidence) -> MessagesFound:
    """Find parameters that can be set and have no effect."""
    written = f"{evidence.file.body} {evidence.file.output}"  # the ratios of an output may read it too
    used = _names(evidence.spec) | set(REFERENCE.findall(written))
    if any(isinstance(item.query, SignalQuery) for item in evidence.spec.inputs):
        used |= {"engine", "model", "pods"}
    for parameter in evidence.file.parameters:
        if parameter.name not in used:
            yield f"the parameter {parameter.name} changes nothing: it is read nowhere", ""
