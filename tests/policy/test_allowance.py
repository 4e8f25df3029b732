"""What may miss now: what the last hours left over of what was promised."""

import pytest

from scaler.policy.allowance import BEGINNING, HALF_LIFE, LEAST, allowed, spent

PROMISED = 0.01


def hours(shares, *, known=None, rate=10.0):
    """Add an hour for each share that missed in it, minute by minute."""
    for share in shares:
        for _ in range(60):
            known = spent(known, rate, share, 60.0, PROMISED)
    return known


def test_before_anything_was_seen_it_is_what_was_promised():
    assert allowed(None, PROMISED) == PROMISED
    assert allowed(spent(None, 10.0, PROMISED, 60.0, PROMISED), PROMISED) == pytest.approx(PROMISED)


def test_what_was_left_over_may_be_used_up_and_no_more_than_that():
    assert allowed(hours([0.002] * 8), PROMISED) == pytest.approx(0.018, rel=0.01)
    assert allowed(hours([0.0] * 20), PROMISED) == pytest.approx(0.02, rel=0.01)


def test_where_more_missed_less_is_allowed_but_never_nothing():
    assert PROMISED * LEAST < allowed(hours([0.013] * 8), PROMISED) < PROMISED
    assert allowed(hours([0.6] * 3), PROMISED) == PROMISED * LEAST


def test_it_is_believed_by_and_by_and_forgotten_so():
    assert BEGINNING < HALF_LIFE
    first, second = (allowed(hours([0.0] * count), PROMISED) for count in (1, 3))
    assert PROMISED < first < second
    bad = hours([0.0] * 3 + [0.1])
    assert allowed(hours([0.0] * 12, known=bad), PROMISED) == pytest.approx(0.02, rel=0.02)


def test_requests_count_and_not_minutes():
    """A minute of a burst in which all miss, after an hour with a tenth of its requests."""
    calm = hours([0.0], rate=1.0)
    assert spent(calm, 10.0, 1.0, 60.0, PROMISED).share > 8 * spent(calm, 1.0, 1.0, 60.0, PROMISED).share / 2
