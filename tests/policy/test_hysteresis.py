import pytest

from scaler.model.errors import ConfigError
from scaler.model.fields import Fields
from scaler.policy import hysteresis
from scaler.policy.hysteresis import INITIAL, step
from scaler.policy.outcome import PolicyInput

TREE = {"metric": "tokens", "above": 5000, "below": 4000, "overlap": "60s"}


def spec(**changed):
    fields = Fields("f.yaml", {**TREE, **changed}, "policy")
    read = hysteresis.parse(fields)
    fields.close()
    return read


def seen(tokens, load=2.0):
    return PolicyInput(load, load, metrics={"tokens": tokens})


def play(side, tokens, every=30.0, load=2.0):
    """Fold a timeline; returns the replicas of every step."""
    gate, answers = INITIAL, []
    for index, value in enumerate(tokens):
        gate, outcome = step(side, gate, seen(value, load), index * every)
        answers.append(outcome.replicas)
    return answers


NOISE = [3000, 4900, 5100, 4900, 5100, 4100, 5100, 3900, 4100, 4900, 3900, 4100]


def test_the_gate_stays_between_the_thresholds():
    assert play(spec(overlap=0), NOISE) == [0, 0, 2, 2, 2, 2, 2, 0, 0, 0, 0, 0]


def test_the_other_side_serves_whenever_this_one_does_not():
    mine, other = play(spec(overlap=0), NOISE), play(spec(overlap=0, serves="below"), NOISE)
    assert [bool(a) != bool(b) for a, b in zip(mine, other, strict=True)] == [True] * len(NOISE)


def test_the_side_that_leaves_stays_for_the_overlap():
    assert play(spec(serves="below"), [3000, 5100, 5100, 5100, 5100]) == [2, 2, 2, 0, 0]
    assert play(spec(), [5100, 3000, 3000, 3000]) == [2, 2, 2, 0]


def test_at_every_moment_somebody_serves():
    mine, other = play(spec(), NOISE), play(spec(serves="below"), NOISE)
    assert all(a + b > 0 for a, b in zip(mine, other, strict=True))


def test_a_side_that_never_served_does_not_begin_with_an_overlap():
    assert play(spec(), [3000, 3000]) == [0, 0]


def test_the_outcome_says_why():
    gate, outcome = step(spec(), INITIAL, seen(5000), 0.0)
    assert outcome.active
    assert outcome.reason == "gate open: tokens is 5000 (opens at 5000, closes below 4000), this side serves"
    _, outcome = step(spec(), gate, seen(100), 20.0)
    assert outcome.reason.endswith("this side serves for another 1m while the other starts")


def test_who_does_not_serve_is_inactive_and_who_stays_for_the_overlap_is_not():
    gate, outcome = step(spec(), INITIAL, seen(3000), 0.0)
    assert (outcome.replicas, outcome.active) == (0.0, False)
    gate, _ = step(spec(), gate, seen(5000), 20.0)
    _, outcome = step(spec(), gate, seen(3000), 40.0)
    assert (outcome.replicas, outcome.active) == (2.0, True)


def test_it_declares_what_it_reads_and_remembers():
    assert spec().metrics == {"tokens"}
    assert spec(memory="30m").memory == 1800


def test_its_defaults():
    fields = {key: TREE[key] for key in ("metric", "above", "below")}
    read = hysteresis.parse(Fields("f.yaml", fields, "policy"))
    assert read == hysteresis.Hysteresis("tokens", 5000, 4000, serves="above", overlap=300.0, memory=600.0)


def test_the_gate_closes_below_its_threshold_and_not_at_it():
    assert play(spec(overlap=0), [4999, 5000, 4000, 3999]) == [0, 2, 2, 0]


@pytest.mark.parametrize("changed", [{"below": 5000}, {"serves": "both"}, {"above": "x"}, {"unknown": 1}])
def test_what_is_wrong_is_refused(changed):
    with pytest.raises(ConfigError, match=r"f.yaml: policy\."):
        spec(**changed)
