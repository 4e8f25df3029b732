"""Timelines for tests: a formula file as text, rows of measurements, and the decisions that come of them."""

from dataclasses import replace

from scaler.config.bind import parse_file
from scaler.config.catalog import Catalog
from scaler.config.defaults import Defaults
from scaler.decision.decide import decide
from scaler.decision.state import State
from scaler.decision.together import SharingStep
from scaler.model.measurement import Failure, Inputs, Reading, TargetStatus, TriggerRef
from scaler.model.objects import TargetView
from scaler.model.strict_yaml import parse_yaml

START = 10_000.0
FILE = """
name: mine
parameters:
  engine: {default: vllm}
  model: {description: the served model name}
  target: {type: number, default: 8}
metrics:
  waiting: {signal: waiting, over: 30s, reduce: max}
  drift: {prometheus: 'max(drift{model="$model"}) > $target', onMissing: 3}
formula: waiting + drift
target: $target
activation: waiting > 0
"""  # a formula file of every kind of line


def workload(text=None, defaults=None, **metadata):
    """The spec of a trigger; `text` is the formula file it names. It falls at once unless `scaleDown` is given."""
    formulas = {}
    if text is not None:
        file = parse_file(parse_yaml(text, "test.yaml"), "test.yaml")
        formulas[file.name] = file
        metadata["formula"] = file.name
    request = TriggerRef("team", "llama", tuple(sorted(metadata.items())))
    return Catalog(formulas).bind(request, defaults or Defaults(scale_down=None)).spec


def measured(value, at):
    if isinstance(value, (Reading, Failure)):
        return value
    return Failure(value, at) if isinstance(value, str) else Reading(value, at)


def row(at, replicas=None, young=False, guards=None, available=None, scaled=None, **readings):
    """What one tick was told: numbers, None for no series, a text for a source that failed."""
    known = replicas if isinstance(replicas, TargetStatus) else TargetStatus(current=replicas)
    return Inputs(
        readings={name: measured(value, at) for name, value in readings.items()},
        activity_signals={name: measured(value, at) for name, value in (guards or {}).items()},
        target_status=known,
        recently_started=frozenset({"default"} if young else ()),
        target=TargetView(scaled, available=available),
    )


def fold(spec, rows, state=None, start=START):
    """Fold rows a tick apart; returns the last state and every decision."""
    state, decisions = state or State(), []
    for index, given in enumerate(rows):
        now = start + index * spec.interval
        state, decision = decide(spec, state, row(now, **given), now)
        decisions.append(decision)
    return state, decisions


def said(decisions):
    """(replicas, active) of every decision."""
    return [(decision.replicas, decision.active) for decision in decisions]


def sharing(total, concerns=lambda _spec: True):
    """A step that shares so many replicas among those that it concerns, as they ask for them, rounded down."""

    def share(decided):
        asked = sum(decision.replicas for decision in decided.values())
        if asked <= total:
            return decided
        return {request: lowered(decision, decision.replicas * total // asked) for request, decision in decided.items()}

    def lowered(decision, replicas):
        reason = f"{replicas} replicas: {total} are shared"
        return replace(decision, answer=replace(decision.answer, replicas=replicas), told=reason)

    return SharingStep("sharing", concerns, share)
