"""Numbers: that there is a value at all, and that it is not too small to be carried."""

from scaler.check.evidence import Evidence, MessagesFound
from scaler.check.probe import LOAD, MOMENTS
from scaler.decision.render import number_text

SMALLEST = 0.0005  # below it KEDA's three decimals read 0.000
COARSE = 0.005  # a target below it is a few steps of KEDA's three decimals


def fails_when_idle(evidence: Evidence) -> MessagesFound:
    """There is no value when there is nothing to do: the usual division by zero."""
    probe = next((probe for probe in evidence.idle if probe.broken), None)
    if probe:
        where = "with nothing to do" if probe.point.ready else "without replicas"
        hint = "; say what its absence means: onMissing, or ??" if "no series" in probe.broken else ""
        yield f"no answer {where}: {probe.broken}{hint}", evidence.at(probe)


def fails(evidence: Evidence) -> MessagesFound:
    """There is no value at some load."""
    if any(probe.broken for probe in evidence.idle):
        return
    probe = next((probe for probe in evidence.probes() if probe.broken), None)
    if probe:
        yield f"no answer: {probe.broken}", evidence.at(probe)


def lost_decimals(evidence: Evidence) -> MessagesFound:
    """The value or its target is a few steps of what KEDA carries."""
    rising = [sweep for sweep in evidence.sweeps if sweep.moved == LOAD][: 2 * len(MOMENTS)]
    loads = [probe for sweep in rising for probe in sweep.probes if probe.value > 0]
    tiny = [probe for probe in loads if probe.value < SMALLEST]
    carried = "KEDA carries three decimals (llm-scaler sends replicas and loses nothing; scalingModifiers would)"
    example = f"{evidence.at(tiny[0])}: {number_text(tiny[0].value)}" if tiny else ""
    if evidence.spec.target < COARSE:
        yield f"a target of {evidence.spec.target:g} is hardly a number: {carried}", example
    elif len(tiny) * 2 > len(loads):
        yield f"the value is below {SMALLEST:g} at {len(tiny)} of {len(loads)} moments: {carried}", example
