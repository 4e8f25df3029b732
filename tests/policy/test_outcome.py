"""What a policy is told of a tick."""

from scaler.policy.outcome import PolicyInput


def test_replicas_that_nobody_knows_are_the_last_answer_and_before_it_none():
    assert PolicyInput(1.0, 1.0, current=3).replicas(7) == 3
    assert PolicyInput(1.0, 1.0, current=0).replicas(7) == 0
    assert PolicyInput(1.0, 1.0).replicas(7) == 7
    assert PolicyInput(1.0, 1.0).replicas(None) == 0


def test_a_total_is_shared_among_all_replicas_and_a_value_of_each_among_the_ready():
    assert PolicyInput(8.0, 80, ready=2).ratio(4) == 2.0
    assert PolicyInput(8.0, 80, ready=2, each=True).ratio(4) == 4.0
    assert PolicyInput(8.0, 80, ready=0, each=True).ratio(4) == 2.0, "none is ready yet"
    assert PolicyInput(8.0, 80).ratio(0) == 8.0
