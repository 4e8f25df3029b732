"""Knative's policy, by vectors of its own tests (knative.dev/serving 98e5ef9)."""

import pytest

from scaler.model.errors import ConfigError
from scaler.model.fields import Fields
from scaler.policy import kpa
from scaler.policy.outcome import ANY, PolicyInput

RATES = {"max-scale-up-rate": 10, "max-scale-down-rate": 10}


def spec(**changed):
    fields = Fields("f.yaml", changed, "policy")
    read = kpa.parse(fields)
    fields.close()
    return read


def step(settings, stable, panic, ready, target=10.0):
    """One tick whose stable window has this mean and whose panic window that one."""
    before = max(2 * stable - panic, 0.0)  # the mean of it and the newest is `stable`
    samples = ((0.0, before / target),) if before != panic else ()
    return kpa.step(settings, kpa.KpaState(samples, begun=True), PolicyInput(panic / target, panic, ready=ready), 59.0)


@pytest.mark.parametrize(
    ("target", "stable", "panic", "ready", "replicas", "panics"),
    [
        (10, 50, 50, 1, 5, True),
        (10, 50, 100, 1, 10, True),
        (10, 1000, 1001, 1, 10, True),
        (10, 1000, 1001, 10, 100, True),
        (10, 1, 1, 100, 10, False),
        (10, 1, 1, 10, 1, False),
        (70, 70, 70, 1, 1, False),
        (70, 71, 71, 1, 2, True),
        (10, 1000, 888, 0, 10, True),
    ],
)
def test_the_windows_and_the_rates(target, stable, panic, ready, replicas, panics):
    state, outcome = step(spec(**RATES), stable, panic, ready, target)
    assert (outcome.replicas, state.panic_since is not None) == (replicas, panics)


def test_the_rate_up_is_rounded_up():
    assert step(spec(**{"max-scale-up-rate": 1.1}), 3, 3.1, 2, 1)[1].replicas == 3


@pytest.mark.parametrize(("stable", "panic", "replicas"), [(0, 0, 0), (1, 1, 2), (1, 0, 2)])
def test_the_activation_scale_is_what_a_first_replica_comes_with(stable, panic, replicas):
    assert step(spec(**{"activation-scale": 2}), stable, panic, 0)[1].replicas == replicas


def test_with_its_defaults_one_request_more_than_the_target_is_a_panic():
    assert [step(spec(), load, load, 1, 70)[1].replicas for load in (70, 71)] == [1, 2]
    assert step(spec(), 71, 71, 1, 70)[0].panic_since is not None


def test_in_a_panic_the_stable_window_counts_where_it_wants_more():
    state = kpa.KpaState(((0.0, 70.0),), panic_since=0.0, panic_seen=59.0, most=5, begun=True)
    _, outcome = kpa.step(spec(**RATES), state, PolicyInput(30.0, 30, ready=5), 59.0)
    assert outcome.replicas == 50, "a stable window of 50, and a panic window of 30"


def play(settings, *loads, ready=1):
    state, answers = kpa.KpaState(begun=True), []
    for at, load in loads:
        state, outcome = kpa.step(settings, state, PolicyInput(load, load, ready=ready), at)
        answers.append((outcome.replicas, state.panic_since))
    return answers


def test_in_a_panic_nothing_is_lowered_until_a_stable_window_after_it():
    quiet = [(float(at), 0.0) for at in range(4, 70, 2)]
    answers = play(spec(), (0.0, 1.0), (2.0, 10.0), *quiet)
    assert answers[1][0] == 6, "the panic window holds 1 and 10"
    panicking = [replicas for replicas, since in answers[1:] if since is not None]
    assert panicking == sorted(panicking)
    assert answers[-1] == (0, None)


def test_a_fresh_process_begins_in_a_panic_and_lowers_nothing_for_a_stable_window():
    state, outcome = kpa.step(spec(), kpa.INITIAL, PolicyInput(1.0, 1.0, ready=7), 0.0)
    assert outcome.replicas == 7
    for at in range(2, 61, 2):
        state, outcome = kpa.step(spec(), state, PolicyInput(1.0, 1.0, ready=7), float(at))
        assert outcome.replicas == 7
    state, outcome = kpa.step(spec(), state, PolicyInput(1.0, 1.0, ready=7), 62.0)
    assert outcome.replicas == 3, "7 / 2, rounded down, is the least in one step"


def test_the_delay_keeps_what_was_wanted_within_it():
    settings = spec(**{"scale-down-delay": "10s", "stable-window": "6s", "panic-window-percentage": 100})
    answers = play(settings, (0.0, 1.9), (8.0, 0.9), (9.9, 0.9), (10.1, 0.9))
    assert [replicas for replicas, _ in answers] == [2, 2, 2, 1]


def test_what_is_as_old_as_the_delay_does_not_count_any_more():
    settings = spec(**{"scale-down-delay": "10s", "stable-window": "6s", "panic-window-percentage": 100})
    assert [replicas for replicas, _ in play(settings, (0.0, 1.9), (9.0, 0.9), (10.0, 0.9))] == [2, 2, 1]


def test_its_defaults_are_those_of_config_autoscaler():
    assert spec() == kpa.Kpa(
        stable_window=60.0,
        panic_window=6.0,
        panic_threshold=2.0,
        max_up=1000.0,
        max_down=2.0,
        delay=0.0,
        activation_scale=1,
    )


def test_a_panic_is_explained_in_knatives_words():
    outcome = step(spec(**RATES), 50, 100, 1)[1]
    assert outcome.reason.endswith("; panic since 00:00:59: 10 >= 2 x 1")


@pytest.mark.parametrize(
    "wrong",
    [
        {"panic-window-percentage": -1},
        {"panic-window-percentage": 202},
        {"panic-threshold-percentage": 109},
        {"stable-window": "1s"},
        {"max-scale-up-rate": 1},
        {"activation-scale": 1},
        {"target": 1},
    ],
)
def test_what_knative_refuses_is_refused(wrong):
    with pytest.raises(ConfigError, match=f"policy.{next(iter(wrong))}"):
        spec(**wrong)


@pytest.mark.parametrize(("window", "percent", "panic"), [("7s", 10, 1), ("60s", 10, 6), ("25s", 10, 3), ("6s", 1, 1)])
def test_what_knative_takes_is_taken(window, percent, panic):
    """A panic window is of whole seconds, and of one at least."""
    taken = {"panic-threshold-percentage": 210, "stable-window": window, "panic-window-percentage": percent}
    assert (spec(**taken).panic_threshold, spec(**taken).panic_window) == (2.1, panic)


def aibrix(**changed):
    fields = Fields("f.yaml", changed, "policy")
    read = kpa.parse_aibrix(fields)
    fields.close()
    return read


def test_aibrix_defaults():
    assert aibrix() == kpa.Kpa(
        stable_window=180.0,
        panic_window=60.0,
        panic_threshold=2.0,
        max_up=2.0,
        max_down=2.0,
        delay=300.0,
        activation_scale=1,
        tolerance_up=0.1,
        tolerance_down=0.1,
        delay_name="scale-down-cooldown-window",
        delay_up=0.0,
        kinds=ANY,
    )
    assert aibrix(observeWindowSeconds=30).panic_window == 30.0, (
        "a window that was set shorter is the panic window's too"
    )


def test_the_panic_window_may_be_as_long_as_the_other():
    assert aibrix(observeWindowSeconds=90, panicWindowSeconds=90).panic_window == 90.0


EXACT = {"scale-up-tolerance": 0, "scale-down-tolerance": 0, "scale-down-cooldown-window": 0}


@pytest.mark.parametrize(
    ("what", "total", "target", "current", "changed", "replicas"),
    [
        ("at the target", 20, 10, 2, {}, 2),
        ("nothing", 0, 10, 1, {}, 0),
        ("the rate", 100, 10, 2, {"max-scale-up-rate": 1.5}, 3),
        ("of both windows the rate again", 40, 10, 2, {}, 4),
    ],
)
def test_aibrix_vectors(what, total, target, current, changed, replicas):
    seen = PolicyInput(total / target, total, current=current, ready=current)
    state = kpa.KpaState(begun=True)
    assert kpa.step(aibrix(**EXACT, **changed), state, seen, 0.0)[1].replicas == replicas, what


def test_aibrix_windows_hold_the_mean_of_what_they_saw():
    settings = aibrix(observeWindowSeconds=120, panicWindowSeconds=30, **EXACT)
    state, _ = kpa.step(settings, kpa.KpaState(begun=True), PolicyInput(10, 10, ready=100), 0.0)
    _, outcome = kpa.step(settings, state, PolicyInput(70, 70, ready=100), 60.0)
    assert outcome.reason.startswith("stable 40, panic 70 replicas")


@pytest.mark.parametrize(
    ("what", "value", "target", "current", "replicas"),
    [("theirs goes to 2", 0.9, 0.5, 4, 8), ("theirs goes to 3", 25, 10, 6, 12)],
)
def test_a_mean_of_one_replica_is_not_taken_for_the_total(what, value, target, current, replicas):
    seen = PolicyInput(value / target * current, value, current=current, ready=current, each=True)
    assert kpa.step(aibrix(), kpa.KpaState(begun=True), seen, 0.0)[1].replicas == replicas, what


def test_a_rise_waits_for_the_least_that_was_wanted_within_the_cooldown():
    windows = {"observeWindowSeconds": 1, "panicWindowSeconds": 1}
    settings = aibrix(**EXACT | windows | {"scale-up-cooldown-window": 10, "scale-down-cooldown-window": 5})
    answers = play(settings, (0.0, 1.0), (6.0, 2.0), (9.0, 2.0), (10.0, 2.0))
    assert [replicas for replicas, _ in answers] == [1, 1, 1, 2], "1 was wanted at 0 s, which is forgotten at 10 s"


@pytest.mark.parametrize("surge", [2, 3, 4, 4.1])
def test_a_panic_begins_at_twice_what_there_is(surge):
    """Theirs compares the two windows, of which one lies in the other, and so panics from 4.1 times on."""
    settings, state = aibrix(), kpa.KpaState(begun=True)
    for at in range(0, 180, 10):
        state, _ = kpa.step(settings, state, PolicyInput(4.0, 40, ready=4), float(at))
    for at in range(180, 240, 10):
        state, _ = kpa.step(settings, state, PolicyInput(4.0 * surge, 40 * surge, ready=4), float(at))
    assert state.panic_since is not None


@pytest.mark.parametrize(("load", "replicas"), [(6.1, 7), (6.0, 6), (5.9, 4), (2.1, 4), (2.0, 2), (1.9, 2)])
def test_a_load_at_the_edge_of_a_tolerance_is_beyond_it(load, replicas):
    """Of four replicas, by half of them: what wants six is taken as it is, and so is what wants two."""
    half = aibrix(**{**EXACT, "scale-up-tolerance": 0.5, "scale-down-tolerance": 0.5})
    assert step(half, load, load, 4, 1)[1].replicas == replicas


def test_a_load_within_the_tolerance_changes_nothing():
    state = kpa.KpaState(begun=True)
    for load, replicas in ((4.3, 4), (4.5, 5), (3.7, 4)):
        assert (
            kpa.step(aibrix(**{"scale-down-cooldown-window": 0}), state, PolicyInput(load, load, ready=4), 0.0)[
                1
            ].replicas
            == replicas
        )


def test_where_nobody_tells_of_the_replicas_its_own_answer_counts():
    state = kpa.KpaState(begun=True)
    answers = []
    for tick in range(4):
        state, outcome = kpa.step(aibrix(), state, PolicyInput(8.0, 80), tick * 5.0)
        answers.append(outcome.replicas)
    assert answers == [2, 4, 8, 8]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("observeWindowSeconds", 0),
        ("panicWindowSeconds", 181),
        ("max-scale-down-rate", 0),
        ("panic-threshold", "high"),
        ("stable-window", "60s"),
        ("target-burst-capacity", 2),
    ],
)
def test_what_aibrix_does_not_read_is_refused(key, value):
    with pytest.raises(ConfigError, match=rf"policy\.{key}"):
        aibrix(**{key: value})


def test_aibrix_legacy_vector_in_a_panic():
    settings = aibrix(**EXACT)
    state = kpa.KpaState(samples=((0.0, 2.0),), panic_since=0.0, panic_seen=0.0, most=2, begun=True)
    _, outcome = kpa.step(settings, state, PolicyInput(4.0, 40, ready=2), 100.0)
    assert outcome.replicas == 4


def test_a_fresh_process_with_two_replicas_lowers_nothing_and_with_one_it_may():
    for ready, replicas in ((2, 2), (1, 0)):
        assert kpa.step(spec(), kpa.INITIAL, PolicyInput(0.0, 0.0, ready=ready), 0.0)[1].replicas == replicas
