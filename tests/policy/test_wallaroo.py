"""Wallaroo's policy, by the vectors of its documentation."""

import pytest

from scaler.model.errors import ConfigError
from scaler.model.fields import Fields
from scaler.policy import wallaroo
from scaler.policy.outcome import EACH, TOTALS, PolicyInput

UP = {"scale_up_queue_depth": 5}


def spec(**changed):
    fields = Fields("f.yaml", changed, "policy")
    read = wallaroo.parse(fields)
    fields.close()
    return read


def play(settings, current, load, until, every=20.0, follow=True):
    """Fold a load that stays; returns when the answer changed, and to what."""
    state, changes, last = wallaroo.INITIAL, [], current
    for tick in range(int(until / every) + 1):
        now = tick * every
        state, outcome = wallaroo.step(settings, state, PolicyInput(load, load, current=current), now)
        if outcome.replicas != last:
            last = outcome.replicas
            changes.append((now, last))
        current = last if follow else current
    return changes


@pytest.mark.parametrize(
    ("replicas", "queued", "in_flight", "answer"),
    [(2, 10, 1, 3), (2, 9, 1, 2), (2, 0, 2, 2), (2, 0, 1, 1), (1, 0, 0, 0)],
)
def test_queue_depth_over_a_window(replicas, queued, in_flight, answer):
    changes = play(spec(**UP), replicas, queued + in_flight, 300)
    assert changes == ([] if answer == replicas else [(300.0, answer)])


@pytest.mark.parametrize(("queued", "answer"), [(0, 0), (1, 1), (100, 1)])
def test_the_first_request_brings_a_replica_at_once(queued, answer):
    _, outcome = wallaroo.step(spec(**UP), wallaroo.INITIAL, PolicyInput(queued, queued, current=0), 0.0)
    assert (outcome.replicas, outcome.active) == (answer, bool(answer))


def test_one_more_after_every_window():
    changes = play(spec(**UP), 1, 40, 2400)
    assert changes == [(300.0 * (count - 1), count) for count in range(2, 9)]


def test_a_proportional_step_goes_there_at_once():
    assert play(spec(**UP, proportional=True), 1, 40, 2400) == [(300.0, 8)]


def test_what_maximum_and_hpa_do_not_carry_out_is_not_counted_on():
    settings = spec(**UP, autoscaling_window=60)
    state, answers = wallaroo.INITIAL, []
    for tick in range(200):
        load = 100.0 if tick < 150 else 0.0
        state, outcome = wallaroo.step(settings, state, PolicyInput(load, load, current=3), tick * 5.0)
        answers.append(outcome.replicas)
    assert max(answers) == 4, "one more than there are, however long it waits"
    assert answers[-1] == 2


def test_replicas_that_somebody_else_brought_are_where_it_goes_on():
    settings = spec(**UP, autoscaling_window=60)
    state, _ = wallaroo.step(settings, wallaroo.INITIAL, PolicyInput(10.0, 10.0, current=3), 0.0)
    _, outcome = wallaroo.step(settings, state, PolicyInput(10.0, 10.0, current=6), 5.0)
    assert outcome.replicas == 6


def test_replicas_on_their_way_are_capacity():
    settings = spec(**UP, autoscaling_window=60)
    state, answers = wallaroo.INITIAL, []
    for tick in range(30):
        state, outcome = wallaroo.step(settings, state, PolicyInput(10.0, 10.0, current=2, ready=1), tick * 5.0)
        answers.append(outcome.replicas)
    assert set(answers) == {2}, "10 requests are 5 for each of the two, of which one is still loading"


@pytest.mark.parametrize(("percent", "answer"), [(54, 4), (56, 5), (100, 8), (46, 4), (40, 4), (25, 2), (0, 0)])
def test_by_cpu_as_an_hpa_does(percent, answer):
    settings = spec(autoscale_cpu_utilization=50)
    seen = PolicyInput(4.0 * percent, percent, current=4, ready=4, each=True)
    answer = answer if percent != 40 else 4  # 3.2, rounded up
    assert wallaroo.step(settings, wallaroo.INITIAL, seen, 0.0)[1].replicas == answer


@pytest.mark.parametrize(("percent", "active"), [(0, False), (10, True)])
def test_by_cpu_it_is_active_while_it_wants_a_replica(percent, active):
    seen = PolicyInput(percent, percent, current=1, ready=1, each=True)
    assert wallaroo.step(spec(autoscale_cpu_utilization=50), wallaroo.INITIAL, seen, 0.0)[1].active is active


def test_it_says_what_the_value_has_to_be():
    assert spec(**UP).kinds == TOTALS
    assert spec(autoscale_cpu_utilization=50).kinds == EACH
    assert spec(**UP).memory == 300


def test_its_defaults_are_those_of_wallaroo():
    read = spec(**UP)
    told = (read.scale_down_queue_depth, read.autoscaling_window, read.autoscale_cpu_utilization, read.proportional)
    assert told == (1, 300.0, None, False)
    assert spec(autoscale_cpu_utilization=50).memory == 0.0, "by CPU there is no window"


def test_both_depths_may_be_the_same():
    assert spec(**UP, scale_down_queue_depth=5).scale_down_queue_depth == 5


def test_it_explains_itself_in_its_own_words():
    _, outcome = wallaroo.step(spec(**UP), wallaroo.INITIAL, PolicyInput(11.0, 11.0, current=2), 0.0)
    assert outcome.reason == "mean queue depth 5.5 in 5m, up above 5, down below 1; 5m of the window are left"


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("scale_up_queue_depth", {"scale_up_queue_depth": 0}),
        ("scale_up_queue_depth", {"scale_up_queue_depth": 1.5}),
        ("scale_up_queue_depth", {}),
        ("scale_down_queue_depth", {"scale_down_queue_depth": 1}),
        ("scale_down_queue_depth", {**UP, "scale_down_queue_depth": 6}),
        ("autoscaling_window", {**UP, "autoscaling_window": 59}),
        ("autoscale_cpu_utilization", {"autoscale_cpu_utilization": 101}),
        ("queue_depth", {**UP, "queue_depth": 1}),
    ],
)
def test_what_wallaroo_refuses_is_refused(key, wrong):
    with pytest.raises(ConfigError, match=rf"policy\.{key}"):
        spec(**wrong)


def test_a_wrong_value_names_the_range():
    with pytest.raises(ConfigError, match="from 60"):
        spec(**UP, autoscaling_window=59)
