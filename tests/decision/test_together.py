"""Workloads that are decided together, by a step that shares eight replicas."""

from dataclasses import replace

from support.timelines import fold, said, sharing, workload

from scaler.config.defaults import Defaults
from scaler.decision.state import State
from scaler.decision.together import STEPS, SharingStep, carried, touched
from scaler.model.measurement import TriggerRef

LOAD = "name: mine\nmetrics: {load: {prometheus: load}}\nformula: load\ntarget: 1\n"


def alone(**loads):
    """What workloads of these loads come to by themselves."""
    spec = workload(LOAD)
    return {
        TriggerRef("team", name, ()): fold(replace(spec, key=replace(spec.key, name=name)), [{"load": load}])[1][0]
        for name, load in loads.items()
    }


def decide_together(decided, steps=STEPS):
    for step in steps:
        decided = step.apply(decided)
    return decided


def told(decided):
    return {request.name: decision.replicas for request, decision in decided.items()}


def test_whoever_is_in_no_group_is_decided_alone():
    decided = alone(a=6, b=6)
    assert STEPS
    assert decide_together(decided) == decided


def test_a_step_sees_all_whom_it_concerns():
    assert told(decide_together(alone(a=6, b=6), [sharing(8)])) == {"a": 4, "b": 4}
    assert told(decide_together(alone(a=1, b=6), [sharing(8)])) == {"a": 1, "b": 6}


def test_whom_a_step_does_not_concern_it_does_not_see():
    of_a = sharing(2, lambda spec: spec.key.name == "a")
    assert told(decide_together(alone(a=6, b=6), [of_a])) == {"a": 2, "b": 6}


def test_a_step_takes_what_the_one_before_it_left():
    assert told(decide_together(alone(a=6, b=6), [sharing(8), sharing(4)])) == {"a": 2, "b": 2}


def test_whom_a_step_forgets_keeps_what_it_came_to_and_whom_it_makes_up_is_nobody():
    forgetful = SharingStep("forgetful", lambda _spec: True, lambda decided: {TriggerRef("team", "c", ()): None})
    assert told(decide_together(alone(a=6, b=6), [forgetful, sharing(8)])) == {"a": 4, "b": 4}


def test_what_was_told_is_what_uncertain_data_does_not_lower():
    spec = workload(LOAD)
    state, [decision] = fold(spec, [{"load": 6}])
    lowered = decide_together({TriggerRef("team", "a", ()): decision}, [sharing(4)])
    state = carried(state, next(iter(lowered.values())))
    assert said(fold(spec, [{"load": "gone"}], state, start=10_000.0 + spec.interval)[1]) == [(4, True)]


def test_no_answer_leaves_the_state_as_it_is():
    spec = workload(LOAD)
    _, [decision] = fold(spec, [{"load": "gone"}])
    assert carried(State(minimum_answer=3), decision) == State(minimum_answer=3)


def test_who_is_decided_anew_is_whoever_shares_with_one_who_is_new():
    spec = workload(LOAD)
    specs = {
        TriggerRef(namespace, name, ()): replace(spec, key=replace(spec.key, namespace=namespace, name=name))
        for namespace, name in ("xa", "xb", "yb", "zc")
    }
    by_namespace = SharingStep("one", lambda _spec: True, dict, lambda spec: spec.key.namespace)
    by_name = SharingStep("two", lambda _spec: True, dict, lambda spec: spec.key.name)
    new = [TriggerRef("x", "a", ())]

    def found(*steps):
        return {request.namespace + request.name for request in touched(steps, new, specs)}

    assert found(by_namespace) == {"xa", "xb"}
    assert found(by_namespace, by_name) == {"xa", "xb", "yb"}, "yb shares with xb, which shares with xa"
    assert found(sharing(8)) == {"xa", "xb", "yb", "zc"}
    assert touched([by_namespace], [], specs) == set()


def test_what_was_told_on_certain_data_is_remembered_as_that():
    spec = workload(LOAD)
    state, [decision] = fold(spec, [{"load": 6}])
    told_now = replace(decision, answer=replace(decision.answer, replicas=9))
    assert carried(state, told_now).certain == told_now.answer
    assert carried(state, replace(told_now, certainty="held")).certain == state.certain


def test_of_a_variant_the_pace_remembers_what_its_mix_needed_and_of_others_what_the_fold_did():
    spec = workload(LOAD, Defaults())
    state, [decision] = fold(spec, [{"load": 6}])
    assert carried(state, decision).pace == state.pace
    needed = carried(state, replace(decision, planned=9)).pace.needs
    assert needed[-1] == (decision.at, 9)


def test_of_a_variant_without_a_pace_nothing_is_remembered_of_one():
    spec = workload(LOAD)
    state, [decision] = fold(spec, [{"load": 6}])
    assert carried(state, replace(decision, planned=9)).pace == state.pace
