"""The shipped formula slo on the fold: what is missing never lowers, and `explain` tells each term."""

from scaler.config.bind import bind_example, parse_file
from scaler.config.catalog import shipped_formulas
from scaler.config.defaults import Defaults
from scaler.decision.decide import decide
from scaler.decision.state import State
from scaler.model.measurement import Failure, Inputs, Reading, TargetStatus
from scaler.model.strict_yaml import parse_yaml

FILE = shipped_formulas() / "slo.yaml"
SPEC = bind_example(parse_file(parse_yaml(FILE.read_text(), "slo.yaml"), "slo.yaml"), {"interval": "15s"}, Defaults())
BUSY = {
    "waiting": 0.0,
    "running": 40.0,
    "queued": 0.0,
    "finished": 10.0,
    "prompts": 10_000.0,
    "generated": 2_000.0,
    "ttftMet": 1.0,
    "itlMet": 1.0,
}


def fold(values, ticks, state=None, start=0.0, replicas=4):
    state = state or State()
    for number in range(ticks):
        now = start + number * 15.0
        readings = {
            name: Failure("nobody answers", now) if value is None else Reading(value, now)
            for name, value in values.items()
        }
        guards = {name: readings[name] for name in ("waiting", "running")}
        known = TargetStatus(replicas, replicas, 0, 0, 20, source="Kubernetes", ever_ready=replicas)
        state, decision = decide(SPEC, state, Inputs(readings, guards, target_status=known), now)
    return state, decision


def test_an_outage_and_a_signal_that_is_gone_lower_nothing():
    state, before = fold(BUSY, 80, replicas=8)
    assert (before.certainty, before.replicas) == ("certain", 4)  # each of 8 was seen at a sixth of its edge
    for gone in (tuple(BUSY), ("finished", "prompts", "generated"), ("finished",), ("running",)):
        quiet = {name: None if name in gone else 0.0 for name in BUSY}
        _, after = fold(quiet, 6, state, start=80 * 15.0, replicas=8)
        assert after.replicas is None or after.replicas >= 4, gone
    _, later = fold({**BUSY, "prompts": None}, 20, state, start=80 * 15.0, replicas=8)
    assert later.certainty in {"held", "unknown"}
    assert "prompt_tokens_per_second: not measured any more" in "; ".join(later.problems)


def test_histograms_that_are_gone_leave_what_was_learnt():
    state, before = fold(BUSY, 80, replicas=8)
    _, after = fold({**BUSY, "ttftMet": None, "itlMet": None}, 20, state, start=80 * 15.0, replicas=8)
    assert (after.certainty, after.replicas) == ("certain", before.replicas)


def test_the_reason_that_explain_shows_tells_each_term():
    late = {**BUSY, "ttftMet": 0.97}
    _, decision = fold(late, 80, replicas=4)
    told = decision.policy
    for term in (
        "2000 generated and 10000 prompt tokens/s (the mean of 5m) are the load of",
        "a replica carries",
        "half miss at",
        "with the margin for a start-up of",
    ):
        assert term in told
