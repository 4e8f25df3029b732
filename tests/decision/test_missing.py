"""The laws of missing data, over every shipped formula and every policy: it is no zero, and it lowers nothing."""

import re
from dataclasses import replace
from functools import cache
from types import MappingProxyType

import pytest
from decision.test_policies import POLICIES as ON_A_TOTAL
from decision.test_policies import workload as on_a_total
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from support.explained import as_data
from support.timelines import START

from scaler.config.bind import bind_example, parse_file
from scaler.config.catalog import Catalog, shipped_formulas
from scaler.config.defaults import Defaults
from scaler.decision.decide import decide
from scaler.decision.state import State
from scaler.model.measurement import Failure, Inputs, Reading, SignalQuery, TargetStatus
from scaler.model.strict_yaml import parse_yaml
from scaler.policy import POLICIES
from scaler.server.metrics import MetricsSnapshot, SnapshotCollector

FORMULAS = sorted(path.stem for path in shipped_formulas().glob("*.yaml"))


@cache
def spec_of(name):
    """A shipped formula, or a plain total with a policy; what falls may fall at once."""
    if name in ON_A_TOTAL:
        return replace(on_a_total(name), scale_down=None, hold_for=600.0)
    path = shipped_formulas() / f"{name}.yaml"
    file = parse_file(parse_yaml(path.read_text(), path.name), path.name, path.stem)
    return replace(bind_example(file, {}, Defaults(scale_down=None)), hold_for=600.0)


EVERY = [*FORMULAS, *ON_A_TOTAL]


def test_every_policy_is_among_them():
    assert {spec_of(name).policy_kind for name in EVERY} - {None} == set(POLICIES)


# ---- made-up ticks ---------------------------------------------------------------------------------------------------

SHARES = {"kv_cache_usage", "prefix_cache_hit_rate"}
WAYS = ("failed", "no series of silent pods", "some pods are silent")  # in which something is missing


def whole(item, number):
    """What is measured of an input: up to 300 requests, tokens or GPUs, up to 1 of what is a share."""
    query = item.query
    share = isinstance(query, SignalQuery) and (
        query.signal in SHARES or query.at_most is not None or query.quantile is not None
    )
    return Reading(number / 300 if share else float(number), START)


def missing(reading, way):
    """The same, where something is missing of it."""
    if way == "failed":
        return Failure("nobody answers", START)
    value = None if way.startswith("no series") else reading.value / 2
    return replace(reading, value=value, incomplete_reason="1 of 2 pods did not answer")


def inputs(spec, numbers, lacking=MappingProxyType({}), replicas=None):
    """One tick: the inputs' numbers in order, and by index in which way one is missing."""
    measured = [
        whole(item, number) for item, number in zip((*spec.inputs, *spec.activity_signals), numbers, strict=False)
    ]
    told = [missing(one, lacking[at]) if at in lacking else one for at, one in enumerate(measured)]
    own, guards = told[: len(spec.inputs)], told[len(spec.inputs) :]
    return Inputs(
        {item.name: one for item, one in zip(spec.inputs, own, strict=True)},
        {item.name: one for item, one in zip(spec.activity_signals, guards, strict=True)},
        target_status=TargetStatus(replicas, replicas, 0 if replicas is not None else None, 0, 200),
    )


rows = st.lists(st.integers(0, 300) | st.just(0), min_size=12, max_size=12)
holes = st.dictionaries(st.integers(0, 11), st.sampled_from(WAYS), max_size=12)


# ---- it lowers nothing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
@given(
    st.lists(st.tuples(rows, st.integers(1, 40)), max_size=4), st.lists(st.tuples(rows, holes), min_size=1, max_size=6)
)
@settings(max_examples=8)
def test_missing_data_never_lowers(name, spans, after):
    """The least is what was answered before, or what whole data would have made of it: never less than both.

    Of an input that is `optional` this holds for as long as it was there lately (test_optional.py): here it always was.
    """
    spec = spec_of(name)
    state, now, replicas, active = State(), START, 3, True
    ticks = [([1] * 12, {}), *((row, {}) for row, times in spans for _ in range(times)), *after]
    for row, lacking in ticks:
        there = {at: way for at, way in lacking.items() if at < len(spec.inputs)}
        _, complete = decide(spec, state, inputs(spec, row, {}, replicas), now)
        state, decision = decide(spec, state, inputs(spec, row, there, replicas), now)
        if there and decision.replicas is not None:
            least = 0 if spec.is_job else min(replicas, replicas if complete.replicas is None else complete.replicas)
            assert decision.replicas >= least, f"{replicas} -> {decision.replicas}: {decision.reason}"
            assert decision.active or not active or complete.active is False, decision.reason
            if spec.is_job and decision.problems:
                assert not decision.active, "no Job is started on it"
        if decision.replicas is not None:
            replicas, active = decision.replicas, decision.active
        now += spec.interval


# ---- it is no zero ---------------------------------------------------------------------------------------------------


def exported(decision):
    """What our own metrics page has of a decision: (name, input) -> value."""
    seen = MetricsSnapshot([decision], {}, Catalog({}), 0, 0, False, {}, 0, limit=1)
    samples = (sample for family in SnapshotCollector(seen, CollectorRegistry()).collect() for sample in family.samples)
    return {(sample.name, sample.labels.get("input", "")): sample.value for sample in samples}


def unmarked(step, lacking):
    """Whether a step shows a number that rests on missing inputs, and does not say so; `??` says so itself."""
    names = set(re.findall(r"\w+", step["text"])) & lacking
    said = {*step["without"], *(step["countsAs"] or {})}
    return bool(names - said) and step["value"] is not None and "??" not in step["text"]


@pytest.mark.parametrize("name", EVERY)
@given(rows, st.dictionaries(st.integers(0, 11), st.sampled_from(WAYS[:2]), min_size=1), st.none() | st.integers(1, 5))
@settings(max_examples=8)
def test_what_was_not_measured_is_shown_and_exported_nowhere_as_a_number(name, row, lacking, replicas):
    spec = spec_of(name)
    state, _ = decide(spec, State(), inputs(spec, [0] * 12, {}, replicas), START)  # zeros that are remembered
    there = {at: way for at, way in lacking.items() if at < len(spec.inputs)}
    for before in (State(), state):
        _, decision = decide(spec, before, inputs(spec, row, there, replicas), START + spec.interval)
        data, samples = as_data(decision), exported(decision)
        names = {spec.inputs[at].name for at in there}
        for shown in data["inputs"]:
            if shown["name"] in names:
                assert (shown["value"], shown["newest"]) == (None, None)
                assert shown["rule"] or shown["problem"], "why it is not there"
                assert ("llm_scaler_input_value", shown["name"]) not in samples
                assert ("llm_scaler_input_age_seconds", shown["name"]) not in samples
        steps = [*data["steps"], *data["activation"]["steps"]]
        assert not [step for step in steps if unmarked(step, names)]
        if names & spec.formula_names & {shown["name"] for shown in data["inputs"] if shown["problem"]}:
            assert (data["value"], data["desiredReplicas"]) == (None, None)
            assert not {("llm_scaler_value", ""), ("llm_scaler_desired_replicas", "")} & samples.keys()
    _, blind = decide(spec, State(), inputs(spec, row, dict.fromkeys(range(12), "failed"), None), START)
    assert blind.answer is None or all(item.optional for item in spec.inputs)
    assert ("llm_scaler_replicas", "") not in exported(blind)
