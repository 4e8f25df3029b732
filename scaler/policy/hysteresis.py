"""A gate with two thresholds: which of two sides serves, without flapping over a noisy line.

The gate opens when `metric` reaches `above` and closes when it falls below `below`; between the two it stays as it is.
The side with `serves: above` serves while the gate is open, the side with `serves: below` while it is closed; both read
the same metric and fold the same gate, so that two scaled objects (the large model and the cheaper one) hand over to
each other. A side whose turn has ended goes on serving for `overlap` seconds, so that the other can start first.

    above 5000, below 4000:   4800 closed   5100 open   4500 open   3900 closed   4500 closed

Source of the need: the third formula of "Use KEDA Scaling Modifiers to Manage AI Infrastructure" (2024), which switches
at one hard threshold; a Schmitt trigger is the classical remedy.
"""

from dataclasses import dataclass

from scaler.model.fields import Fields, choice, duration, number, seconds, text
from scaler.policy.outcome import PolicyInput, PolicyResult, PolicySpec


@dataclass(frozen=True, slots=True)
class Hysteresis(PolicySpec):
    """Options of one side of the hand-over."""

    metric: str  # a formula; often just the name of a metric
    above: float  # the gate opens at this value, in the metric's unit
    below: float  # and closes under this one
    serves: str  # "above": this side serves while the gate is open; "below": while it is closed
    overlap: float  # seconds it goes on serving after its turn
    memory: float  # seconds of past from which a fresh process learns the state of the gate

    @property
    def metrics(self) -> frozenset[str]:
        """The one formula the gate looks at."""
        return frozenset({self.metric})


@dataclass(frozen=True, slots=True)
class Gate:
    """The gate, and when this side's turn last ended."""

    open: bool = False
    turned: float | None = None  # when the gate last changed; None: not seen to change


INITIAL = Gate()


def parse(fields: Fields) -> Hysteresis:
    """Read `policy: {kind: hysteresis, ...}`.

    Raises:
        ConfigError: an unknown key, or `below` that is not less than `above`.
    """
    spec = Hysteresis(
        metric=fields.take("metric", text),
        above=fields.take("above", number()),
        below=fields.take("below", number()),
        serves=fields.take("serves", choice("above", "below"), "above"),
        overlap=fields.take("overlap", duration(0, 3600), 300.0),
        memory=fields.take("memory", duration(0, 6 * 3600), 600.0),
    )
    if spec.below >= spec.above:
        raise fields.error("below", f"{spec.below:g} is not less than above ({spec.above:g})", f"below {spec.above:g}")
    return spec


def step(spec: Hysteresis, gate: Gate, seen: PolicyInput, now: float) -> tuple[Gate, PolicyResult]:
    """Move the gate by one tick and answer for this side.

    Args:
        spec: what the side was set to.
        gate: the gate after the last tick.
        seen: the load, and the value of `spec.metric`.
        now: seconds.

    Returns:
        The gate, and the load in replicas while this side serves, 0 otherwise.
    """
    value = seen.metrics[spec.metric]
    opened = value >= spec.above if not gate.open else value >= spec.below
    turned = now if opened != gate.open else gate.turned
    mine = opened == (spec.serves == "above")
    state = "open" if opened else "closed"
    thresholds = f"opens at {spec.above:g}, closes below {spec.below:g}"
    at = f"gate {state}: {' '.join(spec.metric.split())} is {value:g} ({thresholds})"
    gate = Gate(opened, turned)
    if mine:
        return gate, PolicyResult(seen.load, True, f"{at}, this side serves")
    if turned is not None and now - turned < spec.overlap:
        left = seconds(spec.overlap - (now - turned))
        return gate, PolicyResult(seen.load, True, f"{at}, this side serves for another {left} while the other starts")
    return gate, PolicyResult(0.0, False, f"{at}, the other side serves")
