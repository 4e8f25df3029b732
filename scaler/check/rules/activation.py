"""Activation: the word that wakes a workload, and lets it sleep."""

import re

from scaler.check.evidence import Evidence, MessagesFound
from scaler.check.probe import Probe
from scaler.decision.render import number_text
from scaler.model.measurement import SignalQuery

_RUNNING = re.compile(r"running|in_?flight|processing|ongoing", re.IGNORECASE)


def never_active(evidence: Evidence) -> MessagesFound:
    """It sleeps whatever the load."""
    probes = [probe for probe in evidence.probes() if probe.decision.value is not None]
    if not probes or any(probe.decision.activate_now for probe in probes):
        return
    activation = evidence.spec.activation
    if isinstance(activation, float):
        most = max(probes, key=lambda probe: probe.value)
        reached = number_text(most.decision.value)
        wanted = f"the value has to be above activationTarget {activation:g}, not equal to it"
        yield f"it never becomes active: {wanted}, and {reached} is the most it was seen to be", evidence.at(most)
    else:
        condition = " ".join(activation.text.split())[:80]
        yield f"it never becomes active: `{condition}` was false at all of {len(probes)} moments", ""


def _running(evidence: Evidence) -> str | None:
    """Find the metric that counts running requests of the workload: the engine's, or a query that is named so."""
    for item in evidence.spec.inputs:
        if isinstance(item.query, SignalQuery):
            found = item.of_target and item.query.signal == "running"
        else:
            found = bool(_RUNNING.search(item.name))
        if found:
            return item.name
    return None


def _asleep(evidence: Evidence, running: str | None) -> Probe | None:
    """Find a moment at which nothing but running requests is seen, and it is not active."""
    prober = evidence.prober
    points = [prober.idle(1)]
    if running:
        points = [prober.only({running: value}) for value in prober.meanings[running].grid[1:]]
    return next((probe for probe in map(prober.probe, points) if not probe.decision.activate_now), None)


def _guarded(evidence: Evidence) -> bool:
    return any(guard.name == "running" for guard in evidence.spec.activity_signals)


def running_ignored(evidence: Evidence) -> MessagesFound:
    """It sleeps while requests run, and nothing else keeps it awake."""
    running = _running(evidence)
    asleep = _asleep(evidence, running)
    if running and asleep and not _guarded(evidence):
        message = f"it becomes inactive while requests are running, and KEDA then ends them; {running} has to count"
        yield message, evidence.at(asleep)


def running_guarded(evidence: Evidence) -> MessagesFound:
    """It would sleep while requests run, if llm-scaler did not look."""
    asleep = _asleep(evidence, _running(evidence)) if _guarded(evidence) else None
    if asleep:
        message = "the activation does not count running requests; llm-scaler does, and keeps it active"
        yield message, evidence.at(asleep)
