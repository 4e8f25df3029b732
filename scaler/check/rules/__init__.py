"""The mistakes that users make in formulas: what is looked for, how bad it is, and a counter-example for each.

`RULES` is the whole list. A rule looks at the probes of one formula (scaler.check.probe) and yields what it found. What
it has not found is not proved absent: it was not there at any of several hundred moments. An error is a formula that
cannot do its work, and makes `check` fail. A warning is likely a mistake, or one that only the engine's settings can
decide. A note is worth knowing.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from scaler.check.evidence import Evidence, MessagesFound
from scaler.check.rules import activation, direction, kind, numbers, query, reach, threshold, unused, windows

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake in one formula file."""

    file: str
    rule: str  # a key of RULES
    severity: Severity
    message: str
    example: str  # a moment that shows it; empty where none is needed


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of mistake."""

    severity: Severity
    meaning: str
    find: Callable[[Evidence], MessagesFound]


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "never-active": Rule("error", "the activation is true at no load", activation.never_active),
        "falls-with-load": Rule("error", "more load gives fewer replicas", direction.falls_with_load),
        "fails-when-idle": Rule("error", "no answer while nothing is there to do", numbers.fails_when_idle),
        "fails": Rule("error", "no answer at some load: division by zero, a negative value", numbers.fails),
        "bounded": Rule("error", "made of ratios that end before more replicas are asked for", reach.bounded),
        "target-out-of-reach": Rule("error", "no load is worth more than one replica", reach.target_out_of_reach),
        "running-ignored": Rule("error", "inactive while requests run", activation.running_ignored),
        "not-promql": Rule("error", "a query that Prometheus does not take", query.not_promql),
        "floor-above-ceiling": Rule(
            "error", "two windows of the schedule that contradict each other", windows.floor_above_ceiling
        ),
        "perhaps-not-promql": Rule("warning", "a query that cannot be read here", query.perhaps_not_promql),
        "batch-limit": Rule("warning", "running requests end before more replicas are asked for", reach.batch_limit),
        "ends-with-load": Rule("warning", "no replicas above some value of a query", direction.ends_with_load),
        "hard-threshold": Rule("warning", "replicas jump at a line, and flap along it", threshold.hard_threshold),
        "wrong-kind": Rule(
            "warning", "one replica's own value taken for a total, or the other way round", kind.wrong_kind
        ),
        "divides-twice": Rule("warning", "more replicas under the same load ask for fewer", direction.divides_twice),
        "cancels-itself": Rule("warning", "asks for replicas that take what it waits for", direction.cancels_itself),
        "lost-decimals": Rule("warning", "too small for KEDA's three decimals", numbers.lost_decimals),
        "unused-metric": Rule("warning", "measured, and read by nothing", unused.unused_metric),
        "unused-parameter": Rule("warning", "declared, and read by nothing", unused.unused_parameter),
        "running-guarded": Rule("note", "only llm-scaler's own watch prevents the same", activation.running_guarded),
        "saturates": Rule("note", "reads only what stops growing when the replicas are full", reach.saturates),
        "known-signal": Rule("note", "a query names what the engine catalogue knows", query.known_signal),
        "one-replica": Rule("note", "one replica or none", reach.switch),
    }
)


def findings(evidence: Evidence) -> Iterator[Finding]:
    """Apply every rule."""
    for name, rule in RULES.items():
        for message, example in rule.find(evidence):
            yield Finding(evidence.file.where, name, rule.severity, message, example)
