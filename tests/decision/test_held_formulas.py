"""The law of the held answer over every formula that is shipped, with what its triggers may say.

Whatever is measured, partly measured, missing or fails, at whatever interval and under whatever clock: an answer that is
called certain rests on inputs of which none failed; one that is not certain is no less than what was answered before; and
what was not measured is neither exported nor shown, and so is no sum of it.
"""

from hypothesis import given, settings
from hypothesis import strategies as st
from support.timelines import START

from scaler.config.catalog import load
from scaler.config.defaults import Defaults
from scaler.decision.decide import decide
from scaler.decision.explain import explain
from scaler.decision.explanation import to_json
from scaler.decision.state import State, inherited
from scaler.model.measurement import Failure, Inputs, Reading, TargetStatus, TriggerRef
from scaler.server.metrics import MetricsSnapshot, SnapshotCollector, registry

CATALOG = load(None)
MORE = {"wake-on-refusal": {"gateway": "llm-d"}}  # that a formula asks for besides its examples
FORMULAS = sorted(name for name in CATALOG.formulas if name != "retraining")  # of Jobs the dangerous side is the other
KINDS = ["certain", "certain", "partial", "broken off", "failed", "missing", "NaN"]
UNSURE = {"partial", "broken off", "failed", "NaN"}
UNMEASURED = {"failed", "missing", "NaN"}

triggers = st.fixed_dictionaries(
    {
        "interval": st.sampled_from(["1s", "5s", "1m", "10m"]),
        "holdFor": st.sampled_from(["0s", "5s", "2m", "1h"]),
        "idleFor": st.sampled_from(["0s", "30s", "1h"]),
        "scaleDown": st.sampled_from(["off", "10% startup", "50% 2m"]),
    }
)
events = st.sampled_from(["tick"] * 8 + ["lost", "restart", "edit", "take over", "an hour back", "a day on"])
ticks = st.lists(
    st.tuples(events, st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from([0, 0.5, 3, 40])), min_size=9, max_size=9)),
    min_size=1,
    max_size=12,
)  # fmt: skip
JUMPS = {"lost": 2, "an hour back": -3600, "a day on": 86_400}  # seconds, or intervals where positive and small


def measured(kind, value, at, replicas):
    match kind:
        case "failed":
            return Failure("timed out", at)
        case "missing":
            return Reading(None, at)
        case "partial":
            return Reading(value, at, answered=max(replicas - 1, 0), expected=max(replicas, 1))
        case "broken off":
            return Reading(value, at, incomplete_reason="a page broke off")
    return Reading(float("nan") if kind == "NaN" else value, at)


def bound(formula, keys):
    file = CATALOG.formulas[formula]
    examples = {item.name: str(item.example) for item in file.parameters if item.default is None and item.example}
    metadata = {"formula": formula, **examples, **MORE.get(formula, {}), **keys}
    return CATALOG.bind(TriggerRef("team", "llama", tuple(sorted(metadata.items()))), Defaults()).spec


def exported(decision):
    """What the page of metrics says of one decision, by metric and, of inputs, by name."""
    seen = MetricsSnapshot([decision], {}, CATALOG, 0, 0, False, {}, 0, 1)
    samples = [sample for family in SnapshotCollector(seen, registry()).collect() for sample in family.samples]
    return {(sample.name, sample.labels.get("input", "")) for sample in samples if "scaled_object" in sample.labels}


@given(st.sampled_from(FORMULAS), triggers, ticks)
@settings(max_examples=80, deadline=None)
def test_whatever_is_shipped_holds_what_it_answered_and_shows_nothing_that_it_did_not_measure(formula, keys, happened):
    spec = bound(formula, keys)
    state, standby, now, replicas = State(), State(), START, 1
    said = None  # the newest answer
    for event, drawn in happened:
        now += JUMPS[event] if abs(JUMPS.get(event, 0)) > 2 else spec.interval * JUMPS.get(event, 1)
        if event == "restart":
            state = State()
        if event == "take over":
            state, standby = standby, state
        if event == "edit":
            state, standby = inherited([state]), inherited([standby])
        kinds, inputs = {}, {}
        for item, (kind, value) in zip((*spec.inputs, *spec.activity_signals), (*drawn, *drawn), strict=False):
            known = next((other for other in spec.inputs if other.name in kinds and other.query == item.query), None)
            kinds[item.name] = kinds[known.name] if known else kind
            inputs[item.name] = inputs[known.name] if known else measured(kind, value, now, replicas)
        status = TargetStatus(replicas, replicas, 0, 0, 1000, "Kubernetes", ever_ready=replicas)
        readings = {item.name: inputs[item.name] for item in spec.inputs}
        beside = {item.name: inputs[item.name] for item in spec.activity_signals}
        tick = Inputs(readings, beside, target_status=status)
        (state, decision), (standby, _) = decide(spec, state, tick, now), decide(spec, standby, tick, now)
        unsure = [item.name for item in spec.inputs if not item.optional and kinds[item.name] in UNSURE]
        if unsure:
            assert decision.certainty != "certain", f"certain, though of {unsure} not all is known"
            assert decision.uncertain_for <= spec.hold_for or decision.answer is None
            if decision.answer and said and event not in {"restart", "take over"}:
                assert decision.replicas >= said.replicas, f"fell from {said.replicas}: {decision.reason}"
                assert decision.active or not said.active, f"inactive on uncertain data: {decision.reason}"
        unmeasured = {item.name for item in spec.inputs if kinds[item.name] in UNMEASURED}
        shown = exported(decision)
        assert not {name for metric, name in shown if metric == "llm_scaler_input_value"} & unmeasured
        failed = {name for name in unsure if kinds[name] in UNMEASURED} & spec.formula_names
        by_window = {item.name for item in spec.inputs if item.over}
        if failed - by_window:
            assert not {("llm_scaler_value", ""), ("llm_scaler_desired_replicas", "")} & shown, failed
        told = to_json(explain(decision))
        assert all(one["value"] is None for one in told["inputs"] if one["name"] in unmeasured - by_window)
        said = decision.answer
        if said:
            replicas = min(max(said.replicas, 1), 1000) if said.active else 0
