"""AIBrix's own policy, by the vectors of its tests, and by those where it is wrong."""

import pytest

from scaler.model.errors import ConfigError
from scaler.model.fields import Fields
from scaler.policy import apa
from scaler.policy.outcome import PolicyInput


def spec(**changed):
    fields = Fields(
        "f.yaml", {key.replace("_", "-") if "_" in key else key: item for key, item in changed.items()}, "policy"
    )
    read = apa.parse(fields)
    fields.close()
    return read


def mean_of(value, target, current, ready=None):
    """A tick in which each ready replica has `value`."""
    ready = current if ready is None else ready
    return PolicyInput(value / target * ready, value, current=current, ready=ready, each=True)


@pytest.mark.parametrize(
    ("current", "use", "up", "answer"),
    [(2, 45, 2, 3), (2, 90, 2, 4), (2, 90, 2.5, 5), (2, 33, 2, 2), (6, 20, 2, 4), (6, 10, 2, 3), (2, 27, 2, 2)],
)
def test_the_ratio_its_tolerances_and_its_rates(current, use, up, answer):
    settings = spec(max_scale_up_rate=up, scale_down_cooldown_window=0)
    assert apa.step(settings, apa.INITIAL, mean_of(use, 30, current), 0.0)[1].replicas == answer


def test_a_mean_of_70_at_a_target_of_50_wants_two():
    assert apa.step(spec(max_scale_up_rate=4), apa.INITIAL, mean_of(70, 50, 1), 0.0)[1].replicas == 2


def test_of_a_total_replicas_that_load_carry_their_part():
    """2.2 replicas' load on two, of which one loads: 1.1 of the target, which is within the tolerance."""
    assert apa.step(spec(), apa.INITIAL, PolicyInput(2.2, 22, current=2, ready=1), 0.0)[1].replicas == 2


@pytest.mark.parametrize(("use", "answer"), [(60, 4), (15, 3)])
def test_a_rate_that_is_met_exactly_limits_nothing(use, answer):
    settings = spec(scale_down_cooldown_window=0)
    outcome = apa.step(settings, apa.INITIAL, mean_of(use, 30, 2 if use > 30 else 6), 0.0)[1]
    assert outcome.replicas == answer
    assert "lets" not in outcome.reason


def test_its_defaults_are_those_of_aibrix():
    assert spec() == apa.Apa(
        window=180.0,
        max_up=2.0,
        max_down=2.0,
        tolerance_up=0.1,
        tolerance_down=0.1,
        cooldown_up=0.0,
        cooldown_down=300.0,
    )


def test_a_step_is_acted_on_once_the_window_holds_enough_of_it():
    state, answers = apa.INITIAL, {}
    for at in range(-180, 100, 10):
        state, outcome = apa.step(spec(), state, mean_of(2.0 if at > 0 else 0.5, 1.0, 10), float(at))
        answers[at] = outcome.replicas
    assert next(at for at in answers if answers[at] > 10) == 80


def test_replicas_that_load_are_capacity():
    """Theirs doubles every 10 s while the first pod is loading: 1, 2, 4, 8."""
    state, answers = apa.INITIAL, []
    current = 1
    for tick in range(20):
        state, outcome = apa.step(spec(), state, mean_of(1.0, 0.5, current, ready=1), tick * 10.0)
        current = outcome.replicas
        answers.append(current)
    assert answers == [2] * 20


def test_a_total_is_not_multiplied_by_the_replicas():
    """Theirs runs to the maximum: 2, 4, 8, 10."""
    state, answers, current = apa.INITIAL, [], 1
    for tick in range(5):
        state, outcome = apa.step(
            spec(), state, PolicyInput(100 / 40, 100, current=current, ready=current), tick * 10.0
        )
        current = outcome.replicas
        answers.append(current)
    assert answers == [2, 3, 3, 3, 3]


def test_a_cooldown_damps():
    """Theirs answers 9, 4, 8, 4, 9, 4 to these recommendations."""
    past, current, answers = (), 10, []
    for tick, proposal in enumerate([9, 4, 8, 7, 9, 8]):
        now = tick * 10.0
        answer, _ = apa.cooled(0, 300, past, proposal, current, now)
        past = (*past, (now, proposal))
        answers.append(answer)
        current = answer
    assert answers == [9, 9, 9, 9, 9, 9]


def test_a_cooldown_upwards_takes_the_least():
    past = ((0.0, 3), (10.0, 6))
    assert apa.cooled(30, 300, past, 8, 2, 20.0) == (3, "; scale-up-cooldown-window holds 3")
    assert apa.cooled(30, 300, past, 8, 2, 40.0) == (8, "")


def test_from_zero_to_one():
    assert apa.step(spec(), apa.INITIAL, PolicyInput(7.0, 7.0, current=0, ready=0), 0.0)[1].replicas == 1
    assert apa.step(spec(), apa.INITIAL, PolicyInput(0.0, 0.0, current=0, ready=0), 0.0)[1].replicas == 0


def test_what_left_the_window_does_not_count():
    state, _ = apa.step(spec(), apa.INITIAL, mean_of(100, 1, 1), 0.0)
    _, outcome = apa.step(spec(), state, mean_of(1, 1, 1), 180.0)
    assert outcome.replicas == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("observeWindowSeconds", 0),
        ("observeWindowSeconds", 3601),
        ("max-scale-up-rate", 1),
        ("max-scale-down-rate", 0),
        ("scale-down-tolerance", 1.1),
        ("scale-down-cooldown-window", "soon"),
        ("panic-threshold", 2),
        ("window", "60s"),
    ],
)
def test_what_is_wrong_or_not_read_there_is_refused(key, value):
    fields = Fields("f.yaml", {key: value}, "policy")

    def read():
        apa.parse(fields)
        fields.close()

    with pytest.raises(ConfigError, match=rf"policy\.{key}"):
        read()


def test_it_explains_itself():
    _, outcome = apa.step(spec(), apa.INITIAL, mean_of(90, 30, 2), 0.0)
    assert outcome.reason == "mean over 3m: 6 replicas wanted, 3 of the target; max-scale-up-rate lets 4"
