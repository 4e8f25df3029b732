import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaler.formula import values
from scaler.formula.values import add, divide, equal, modulo, multiply, negate, power, show, subtract, to_int
from scaler.model.errors import EvaluationError

INT_MAX, INT_MIN = 2**63 - 1, -(2**63)

integers = st.integers(INT_MIN, INT_MAX)
floats = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | integers | floats
anything = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=6)


@pytest.mark.parametrize(
    ("operation", "left", "right", "result"),
    [
        (add, 1, 2, 3),
        (add, 1, 2.0, 3.0),
        (subtract, 1, 2, -1),
        (multiply, 2.0, 3, 6.0),
        (divide, 5, 2, 2.5),
        (divide, 4, 2, 2.0),
        (modulo, 7, 3, 1),
        (modulo, -7, 3, -1),
        (modulo, 7, -3, 1),
        (modulo, INT_MIN, -1, 0),
        (power, 2, 3, 8.0),
        (power, 4, 0.5, 2.0),
        (values.less, 1, 1.5, True),
        (values.more_or_equal, 2, 2.0, True),
        (values.more, INT_MAX, float(INT_MAX), False),
    ],
)
def test_integers_stay_integers_until_they_meet_a_float(operation, left, right, result):
    found = operation(left, right)
    assert (found, type(found)) == (result, type(result))


@pytest.mark.parametrize(
    ("operation", "arguments", "problem"),
    [
        (divide, (1, 0), "division by zero"),
        (divide, (0.0, -0.0), "division by zero"),
        (divide, (1e308, 1e-308), "overflow"),
        (modulo, (1, 0), "division by zero"),
        (modulo, (1.0, 2), "1 % 2: both must be integers"),
        (power, (0, -1), "division by zero"),
        (power, (-8, 1 / 3), "not a number"),
        (power, (10, 400), "overflow"),
        (add, (INT_MAX, 1), "integer overflow"),
        (multiply, (INT_MIN, -1), "integer overflow"),
        (negate, (INT_MIN,), "integer overflow"),
        (multiply, (1e200, 1e200), "overflow"),
        (add, (True, 1), "true + 1: both must be numbers"),
        (add, (None, 0.1), "nil + 0.1: both must be numbers"),
        (values.less, ((), 1), "an array < 1: both must be numbers"),
        (negate, (False,), "the value is false, not a number"),
        (to_int, (1e19,), "integer overflow"),
        (values.finite, (math.nan,), "not a number"),
        (values.finite, (-math.inf,), "overflow"),
        (values.boolean, (1,), "1 is not a boolean"),
        (values.invert, (None,), "nil is not a boolean"),
        (values.array, (1,), "1 is not an array"),
        (values.contains, (1, 2), "2 is not an array"),
    ],
)
def test_what_is_no_number_is_an_error(operation, arguments, problem):
    with pytest.raises(EvaluationError) as caught:
        operation(*arguments)
    assert str(caught.value) == problem


@pytest.mark.parametrize(
    ("left", "right", "result"),
    [
        (1, 1.0, True),
        (1, True, False),
        (None, None, True),
        (None, 0, False),
        ((1, 2), (1.0, 2), True),
        ((1, (True,)), (1, (1,)), False),
        ((), None, False),
    ],
)
def test_equality_is_expr_s(left, right, result):
    assert equal(left, right) is result
    assert values.unequal(left, right) is not result


def test_membership_is_by_equality():
    assert values.contains(1.0, (3, 1))
    assert not values.contains(True, (3, 1))
    assert not values.contains(None, None)


@given(anything, anything)
def test_equality_is_symmetric(left, right):
    assert equal(left, left)
    assert equal(left, right) == equal(right, left)


@given(st.sampled_from([add, subtract, multiply, divide, modulo, power]), anything, anything)
def test_arithmetic_gives_a_number_that_go_could_hold_or_an_error(operation, left, right):
    try:
        result = operation(left, right)
    except EvaluationError:
        return
    assert math.isfinite(result)
    assert isinstance(result, float) or INT_MIN <= result <= INT_MAX


@given(integers, integers.filter(bool))
def test_the_rest_has_the_sign_of_what_is_divided(left, right):
    rest = modulo(left, right)
    assert abs(rest) < abs(right)
    assert rest == 0 or (rest < 0) == (left < 0)


@given(anything)
def test_any_value_can_be_shown(value):
    assert show(value)


@pytest.mark.parametrize(
    ("value", "held"), [(INT_MIN, True), (INT_MIN - 1, False), (INT_MAX, True), (INT_MAX + 1, False)]
)
def test_integers_have_64_bits(value, held):
    if held:
        assert values.whole(value) == value
    else:
        with pytest.raises(EvaluationError, match="integer overflow"):
            values.whole(value)


def test_zero_has_no_sign_of_its_own():
    assert [repr(values.absolute(value)) for value in (0.0, 0, -2.5, -3)] == ["0.0", "0", "2.5", "3"]
