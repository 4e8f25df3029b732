import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaler.formula import arrays
from scaler.formula.limits import MAX_ARRAY
from scaler.model.errors import EvaluationError

numbers = st.lists(st.integers(-100, 100) | st.floats(-100, 100), max_size=8).map(tuple)


def positive(item, _index, _accumulator):
    return item > 0


@pytest.mark.parametrize(
    ("function", "arguments", "problem"),
    [
        (arrays.span, (1, MAX_ARRAY + 1), f"the range 1..{MAX_ARRAY + 1} has {MAX_ARRAY + 1} elements"),
        (arrays.concat, ((0,) * MAX_ARRAY, (1,)), f"an array of {MAX_ARRAY + 1} elements, at most {MAX_ARRAY}"),
        (arrays.flatten, (((0,) * MAX_ARRAY, 1),), f"an array of {MAX_ARRAY + 1} elements, at most {MAX_ARRAY}"),
        (arrays.index, ((1, 2), 2), "index 2 of an array of 2"),
        (arrays.index, ((), -1), "index -1 of an array of 0"),
        (arrays.cut, ((1,), None, 1), "the value is nil, not a number"),
        (arrays.take, ((1,), -1), "take needs an integer that is not negative, not -1"),
        (arrays.take, ((1,), 0.5), "take needs an integer that is not negative, not 0.5"),
        (arrays.sort, ((1, None),), "what is sorted by is nil, not a number"),
        (arrays.maximum, (1, None), "an element of max is nil, not a number"),
        (arrays.mean, ((1, True),), "an element of mean is true, not a number"),
        (arrays.mean, ((1e308, 1e308),), "overflow"),
        (arrays.median, ((1e308, 1e308),), "overflow"),
        (arrays.count, ((1,),), "1 is not a boolean"),
        (arrays.reduce, ((), positive), "reduce of an empty array with no initial value"),
        (arrays.apply, (None, positive), "nil is not an array"),
    ],
)
def test_what_cannot_be_done_is_told(function, arguments, problem):
    with pytest.raises(EvaluationError, match=f"^{problem}"):
        function(*arguments)


def test_a_range_and_an_array_may_be_as_long_as_the_limit():
    assert len(arrays.span(1, MAX_ARRAY)) == MAX_ARRAY
    assert len(arrays.concat((0,) * MAX_ARRAY)) == MAX_ARRAY


@pytest.mark.parametrize("items", [5, None, True])
def test_what_is_no_array_has_no_elements_to_get(items):
    assert (arrays.first(items), arrays.last(items), arrays.get(items, 0)) == (None, None, None)
    assert arrays.sort(items) == ()


def test_a_lone_argument_that_is_no_array_comes_back():
    assert (arrays.maximum(None), arrays.minimum(True)) == (None, True)
    assert arrays.maximum(1, 1.0) is not arrays.maximum(1.0, 1)


@given(numbers)
def test_aggregates_agree_with_pythons(items):
    assert arrays.maximum(items) == max(items, default=None)
    assert arrays.minimum(items) == min(items, default=None)
    assert arrays.median(items) == pytest.approx(statistics.median(map(float, items)) if items else 0)
    assert arrays.mean(items) == pytest.approx(statistics.fmean(items) if items else 0)
    assert arrays.total(items) == pytest.approx(sum(items))


@given(numbers, st.integers(-10, 10), st.integers(-10, 10))
def test_a_slice_is_pythons_where_both_bounds_are_in_order(items, start, stop):
    assert arrays.cut(items, start, stop) == items[start:stop]


@given(numbers)
def test_tests_over_elements_agree_with_each_other(items):
    kept = arrays.keep_if(items, positive)
    assert arrays.count(items, positive) == len(kept)
    assert arrays.some(items, positive) == bool(kept)
    assert arrays.none(items, positive) == (not kept)
    assert arrays.every(items, positive) == (len(kept) == len(items))
    assert arrays.one(items, positive) == (len(kept) == 1)
    assert arrays.find(items, positive) == (kept[0] if kept else None)
    assert arrays.find_last(items, positive) == (kept[-1] if kept else None)
    places = [place for place, item in enumerate(items) if item > 0]
    assert arrays.find_index(items, positive) == (places[0] if places else None)
    assert arrays.find_last_index(items, positive) == (places[-1] if places else None)


@given(numbers)
def test_sorting_and_turning_round(items):
    assert arrays.sort(items) == tuple(sorted(items))
    assert arrays.sort(items, "desc") == tuple(sorted(items, reverse=True))
    assert arrays.reverse(arrays.reverse(items)) == items
    assert list(arrays.unique(items)) == list(dict.fromkeys(items))
