"""The loads of a while."""

from scaler.policy.window import added, within


def test_a_sample_falls_out_as_soon_as_it_is_as_old_as_the_window():
    samples = ((0.0, 5.0), (4.0, 6.0))
    assert added(samples, 10.0, 7.0, 10.0) == ((4.0, 6.0), (10.0, 7.0))
    assert within(samples, 10.0, 10.0) == [6.0]
    assert within(samples, 14.0, 10.0) == [6.0], "at least the newest"


def test_a_second_sample_of_the_same_time_takes_the_place_of_the_first():
    assert added(((0.0, 5.0), (4.0, 6.0)), 4.0, 9.0, 10.0) == ((0.0, 5.0), (4.0, 9.0))
