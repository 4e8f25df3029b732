"""The functions over arrays and closures, as expr-lang/expr v1.17.8 builtin/lib.go and compiler/compiler.go have them.

A closure is called with the element, its index, and the accumulator of reduce. Nothing here recurses deeper than arrays
may nest, and the evaluator has paid for every element before a function sees it.
"""

from collections.abc import Callable, Iterator, Sequence

from scaler.formula.limits import MAX_ARRAY
from scaler.formula.values import Value, add, array, boolean, finite, identity, less, more, number, show, to_int
from scaler.model.errors import EvaluationError

CallClosure = Callable[[Value, int, Value], Value]
Items = tuple[Value, ...]


def sized(items: Sequence[Value]) -> Items:
    """Make an array of the elements, if there are not too many."""
    if len(items) > MAX_ARRAY:
        raise EvaluationError(f"an array of {len(items)} elements, at most {MAX_ARRAY}")
    return tuple(items)


def make(*items: Value) -> Items:
    """`[x, y, z]`."""
    return items


def span(first: Value, last: Value) -> Items:
    """`first..last`, both included; empty when they are the wrong way round."""
    low, high = to_int(first), to_int(last)
    if high - low >= MAX_ARRAY:
        raise EvaluationError(f"the range {low}..{high} has {high - low + 1} elements, at most {MAX_ARRAY}")
    return tuple(range(low, high + 1))


def index(items: Value, place: Value) -> Value:
    """`items[place]`; from the end when negative."""
    values, wanted = array(items), to_int(place)
    if not -len(values) <= wanted < len(values):
        raise EvaluationError(f"index {wanted} of an array of {len(values)}")
    return values[wanted]


def cut(items: Value, start: Value, stop: Value) -> Items:
    """`items[start:stop]`; bounds beyond the array mean its own."""
    values, low, high = array(items), to_int(start), to_int(stop)
    low = max(0, low + len(values) if low < 0 else low)
    high = max(0, high + len(values) if high < 0 else high)
    return values[low:high]


# without a closure


def length(items: Value) -> int:
    """`len(items)`."""
    return len(array(items))


def first(items: Value) -> Value:
    """Return the first element, or nil."""
    return items[0] if isinstance(items, tuple) and items else None


def last(items: Value) -> Value:
    """Return the last element, or nil."""
    return items[-1] if isinstance(items, tuple) and items else None


def get(items: Value, place: Value) -> Value:
    """Return the element at `place`, or nil where there is none."""
    if not isinstance(items, tuple):
        return None
    wanted = to_int(place)
    return items[wanted] if -len(items) <= wanted < len(items) else None


def take(items: Value, count: Value) -> Items:
    """Return the first `count` elements."""
    values = array(items)
    if type(count) is not int or count < 0:
        raise EvaluationError(f"take needs an integer that is not negative, not {show(count)}")
    return values[:count]


def reverse(items: Value) -> Items:
    """Return the elements, last first."""
    return array(items)[::-1]


def unique(items: Value) -> Items:
    """Return the elements without those that are equal to an earlier one."""
    found: dict[object, Value] = {}
    for item in array(items):
        found.setdefault(identity(item), item)
    return tuple(found.values())


def concat(*parts: Value) -> Items:
    """Return all elements of all arrays."""
    return sized([item for part in parts for item in array(part)])


def flatten(items: Value) -> Items:
    """Return the elements of the array and of the arrays in it."""
    return sized(list(_leaves(array(items))))


def sort(items: Value, order: str = "asc") -> Items:
    """Sort the elements; expr gives an empty array for what is no array."""
    return sort_by(items, lambda item, _index, _accumulator: item, order) if isinstance(items, tuple) else ()


def _leaves(items: Items) -> Iterator[Value]:
    for item in items:
        if isinstance(item, tuple):
            yield from _leaves(item)
        else:
            yield item


def _numbers(name: str, values: Items) -> list[int | float]:
    return [number(value, f"an element of {name}") for value in _leaves(values)]


def _best(name: str, better: Callable[[Value, Value], bool]) -> Callable[..., Value]:
    """`max` or `min`: nil of nothing; the first of equals; a lone argument that is no array comes back as it is."""

    def best(*values: Value) -> Value:
        if len(values) == 1 and not isinstance(values[0], tuple):
            return values[0]
        found: Value = None
        for value in _numbers(name, values):
            if found is None or better(value, found):
                found = value
        return found

    return best


maximum = _best("max", more)
minimum = _best("min", less)


def mean(*values: Value) -> float:
    """Return the mean of all numbers in the arguments; 0 of none."""
    numbers = _numbers("mean", values)
    result = 0.0
    for value in numbers:  # one after the other, as Go adds; Python's sum() corrects for rounding
        result += value
    return finite(result) / len(numbers) if numbers else 0.0


def median(*values: Value) -> float:
    """Return the median of all numbers in the arguments; 0 of none."""
    numbers = sorted(map(float, _numbers("median", values)))
    if not numbers:
        return 0.0
    middle = len(numbers) // 2
    return numbers[middle] if len(numbers) % 2 else finite(numbers[middle - 1] + numbers[middle]) / 2


# with a closure


def _item(item: Value, _index: int, _accumulator: Value) -> Value:
    return item


def _hits(items: Value, test: CallClosure) -> Iterator[tuple[int, Value]]:
    for place, item in enumerate(array(items)):
        if boolean(test(item, place, None)):
            yield place, item


def every(items: Value, test: CallClosure) -> bool:
    """`all`."""
    return all(boolean(test(item, place, None)) for place, item in enumerate(array(items)))


def none(items: Value, test: CallClosure) -> bool:
    """`none`."""
    return not some(items, test)


def some(items: Value, test: CallClosure) -> bool:
    """`any`."""
    return next(_hits(items, test), None) is not None


def one(items: Value, test: CallClosure) -> bool:
    """Tell whether exactly one element passes."""
    return count(items, test) == 1


def count(items: Value, test: CallClosure = _item) -> int:
    """Count the elements that pass; without a test, those that are true."""
    return sum(1 for _hit in _hits(items, test))


def keep_if(items: Value, test: CallClosure) -> Items:
    """`filter`."""
    return tuple(item for _place, item in _hits(items, test))


def apply(items: Value, make_item: CallClosure) -> Items:
    """`map`."""
    return tuple(make_item(item, place, None) for place, item in enumerate(array(items)))


def total(items: Value, weigh: CallClosure = _item) -> Value:
    """`sum`; the integer 0 of nothing."""
    result: Value = 0
    for place, item in enumerate(array(items)):
        result = add(weigh(item, place, None), result)
    return result


def find(items: Value, test: CallClosure) -> Value:
    """Find the first element that passes, or nil."""
    return next((item for _place, item in _hits(items, test)), None)


def find_index(items: Value, test: CallClosure) -> int | None:
    """Find the place of the first element that passes, or nil."""
    return next((place for place, _item in _hits(items, test)), None)


def find_last(items: Value, test: CallClosure) -> Value:
    """Find the last element that passes, or nil; asked from the end."""
    return find(array(items)[::-1], test)


def find_last_index(items: Value, test: CallClosure) -> int | None:
    """Find the place of the last element that passes, or nil; asked from the end."""
    place = find_index(array(items)[::-1], test)
    return None if place is None else len(array(items)) - 1 - place


def sort_by(items: Value, key: CallClosure, order: str = "asc") -> Items:
    """Sort the elements by their keys; `order` is "asc" or "desc"."""
    values = array(items)
    keys = [key(item, place, None) for place, item in enumerate(values)]
    if len(values) < 2:
        return values
    ranks = [float(number(value, "what is sorted by")) for value in keys]
    descending = order == "desc"
    places = sorted(range(len(values)), key=ranks.__getitem__, reverse=descending)
    return tuple(values[place] for place in places)


def reduce(items: Value, fold: CallClosure, *initial: Value) -> Value:
    """Fold the elements into `#acc`, which starts as the initial value or else as the first element."""
    values = array(items)
    start = 0 if initial else 1
    if start > len(values):
        raise EvaluationError("reduce of an empty array with no initial value")
    accumulator = initial[0] if initial else values[0]
    for place, item in enumerate(values[start:], start):
        accumulator = fold(item, place, accumulator)
    return accumulator
