"""Which requests are late, and for which load."""

import pytest

from scaler.policy.lateness import NO_FAULT, Fault, share_late

BEFORE = Fault(0.0, 2.0)  # a replica had twice its edge until now


@pytest.mark.parametrize(("now", "load"), [(0.0, 2.0), (60.0, 1.0), (120.0, 0.5), (180.0, 0.4), (3600.0, 0.4)])
def test_what_misses_counts_for_the_load_that_made_requests_queue_as_the_worked_example_has_it(now, load):
    told, _ = BEFORE.or_now(0.4, now, 0.0)
    assert told == pytest.approx(load)


def test_a_load_of_long_answers_is_told_of_until_they_have_ended():
    assert BEFORE.or_now(0.4, 180.0, 180.0)[0] == 2.0
    assert BEFORE.or_now(0.4, 240.0, 180.0)[0] == 1.0


def test_the_fault_stays_that_of_the_highest_load_and_a_higher_one_takes_its_place():
    assert BEFORE.or_now(0.4, 60.0, 0.0)[1] == BEFORE
    assert BEFORE.or_now(3.0, 60.0, 0.0) == (3.0, Fault(60.0, 3.0))
    assert BEFORE.or_now(1.0, 60.0, 0.0) == (1.0, Fault(60.0, 1.0))  # as high as what is left: it is there again
    assert NO_FAULT.or_now(0.4, 60.0, 0.0) == (0.4, Fault(60.0, 0.4))


def test_a_third_that_was_late_per_token_is_as_the_worked_example_has_it():
    assert share_late(0.95, 0.67, 10.0, 0.05) == pytest.approx(0.32, abs=0.005)


@pytest.mark.parametrize(
    ("first", "further", "stay", "late"),
    [
        (-1.0, -1.0, 10.0, None),
        (0.9, -1.0, 10.0, 0.1),
        (0.0, -1.0, 10.0, 1.0),
        (-1.0, 0.0, 1e9, 1.0),
        (-1.0, 0.9, 1e9, 0.1),
        (-1.0, 0.9, 0.0, 0.0),  # an answer of no time has no 32 tokens
        (1.0, 1.0, 10.0, 0.0),
        (0.0, 1.0, 10.0, 1.0),
        (0.9, 0.8, 1e9, 0.28),
    ],
)
def test_either_histogram_alone_is_enough(first, further, stay, late):
    assert share_late(first, further, stay, 0.05) == (None if late is None else pytest.approx(late))
