import pytest
from support.formula_files import QUEUE, read, with_tests

from scaler.check.fold import fold, mismatches
from scaler.check.timeline import read_timeline
from scaler.config.defaults import Defaults

GATE = QUEUE + "policy: {kind: hysteresis, metric: waiting, above: 10, below: 5, serves: above, overlap: 0s}\n"
FADING = "{interval: 5s, given: {waiting: '16x2 _x60', running: '0x60', queued: '0x60', replicas: '4x60'}, expect: ["


def differences(test, text=QUEUE):
    timeline = read_timeline(read(with_tests(test, text=text)), 0, Defaults())
    return [
        (item.at, {gap.word: (gap.wanted, gap.actual) for gap in item.differences}) for item in mismatches(timeline)
    ]


def test_a_test_that_holds_says_nothing():
    assert not differences(
        "{given: {waiting: '8 9', running: '0x1'}, expect: [{at: 0s, replicas: 1}, {at: 5s, value: 9, replicas: 2}]}"
    )


def test_what_came_stands_beside_what_was_expected():
    assert differences(
        "{given: {waiting: 9, running: 0}, expect: [{at: 0s, value: 8, replicas: 2, active: false}]}"
    ) == [(0.0, {"value": (8.0, 9.0), "active": (False, True)})]


def test_between_two_ticks_the_newest_decision_stands():
    test = "{interval: 5s, parameters: {interval: 10s}, given: {waiting: '1 2 3 4', running: '0x3'}, expect: [%s]}"
    assert not differences(test % "{at: 5s, value: 1}, {at: 9s, value: 1}, {at: 10s, value: 3}, {at: 14s, value: 3}")


def test_values_are_compared_as_numbers_not_as_bits():
    text = QUEUE.replace("formula: queued + waiting + running", "formula: (queued + waiting + running) * 0.1")
    assert not differences("{given: {waiting: 3, running: 0}, expect: [{at: 0s, value: 0.3}]}", text)


def test_the_past_counts_as_seen_so_an_answer_may_be_lower_than_the_replicas():
    text = QUEUE.replace("running: {signal: running}", "running: {signal: running, over: 10m}")
    assert not differences(
        "{given: {waiting: 0, running: 8, replicas: 5}, expect: [{at: 0s, replicas: 1, certainty: certain}]}", text
    )


def test_a_series_that_vanishes_is_held_and_then_given_up():
    held = "{at: 1m, replicas: 4, certainty: held, error: 'waiting: no series'}"
    assert not differences(FADING + held + ", {at: 5m, answer: none, certainty: unknown}]}")
    assert differences(FADING + "{at: 5m, answer: given, error: drift}]}") == [
        (300.0, {"answer": ("given", "none"), "error": ("drift", "waiting: no series")})
    ]


def test_inactive_is_said_after_idle_for():
    test = "{interval: 5s, given: {waiting: '0x30', running: '0x30', replicas: '1x30'}, expect: [%s]}"
    assert not differences(test % "{at: 55s, active: true}, {at: 1m, active: false}")


def test_the_policy_is_folded_too():
    test = "{interval: 5s, given: {waiting: '6 12 6 4', running: '0x3', replicas: '0x3'}, expect: [%s]}"
    assert not differences(
        test
        % "{at: 0s, replicas: 0}, {at: 5s, replicas: 2, policy: gate open}, {at: 10s, replicas: 1}, {at: 15s, replicas: 0}",
        GATE,
    )
    assert differences(test % "{at: 0s, policy: gate open}", GATE)[0][1]["policy"][0] == "gate open"


def test_thousands_of_ticks_are_folded_once_each():
    series = "given: {waiting: '0+1x2880', running: '0x2880'}"
    timeline = read_timeline(
        read(with_tests(f"{{interval: 5s, {series}, expect: [{{at: 4h, value: 2880}}]}}")), 0, Defaults()
    )
    assert timeline.ticks == 2881
    [(expectation, decision)] = fold(timeline)
    assert (expectation.at, decision.at, decision.value) == (14400.0, 14400.0, 2880.0)


@pytest.mark.parametrize("seconds", [0.0, 5.0, 7.0, 10.0])
def test_an_expectation_sees_the_tick_at_or_before_it(seconds):
    test = f"{{given: {{waiting: '0x2', running: '0x2'}}, expect: [{{at: {seconds}, value: 0}}]}}"
    [(_, decision)] = fold(read_timeline(read(with_tests(test)), 0, Defaults()))
    assert decision.at == seconds // 5 * 5
