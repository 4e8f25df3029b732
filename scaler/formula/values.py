"""What the operators do with values: Python's int, float, bool, None and tuple stand for expr's int, float64, bool, nil
and array.

The rules are those of expr-lang/expr v1.17.8 vm/runtime: integers and floats meet as floats, `/` and `**` always give a
float, `%` wants integers, a boolean is no number. Where Go goes on with an infinity, a NaN or a wrapped integer, an
EvaluationError is raised instead: none of them can become a number of replicas.
"""

import math
from collections.abc import Callable

from scaler.model.errors import EvaluationError

Value = int | float | bool | None | tuple["Value", ...]
Number = int | float

_NUMBERS = (int, float)  # compared with type(), since a bool is an int to isinstance()
_INT_LIMIT = 2**63


def show(value: Value) -> str:
    """Write the value as a sentence names it."""
    if isinstance(value, tuple):
        return "an array"
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def whole(value: int) -> int:
    """Return the integer, if Go's 64 bits hold it."""
    if -_INT_LIMIT <= value < _INT_LIMIT:
        return value
    raise EvaluationError("integer overflow")


def finite(value: float) -> float:
    """Return the number, if it is one."""
    if value - value == 0:
        return value
    raise EvaluationError("overflow" if abs(value) == math.inf else "not a number")


def number(value: Value, what: str = "the value") -> Number:
    """Return the value, if it is an integer or a float."""
    if type(value) in _NUMBERS:
        return value  # type: ignore[return-value]  # narrowed by type(), which mypy does not follow
    raise EvaluationError(f"{what} is {show(value)}, not a number")


def boolean(value: Value) -> bool:
    """Return the value, if it is a boolean."""
    if isinstance(value, bool):
        return value
    raise EvaluationError(f"{show(value)} is not a boolean")


def array(value: Value) -> tuple[Value, ...]:
    """Return the value, if it is an array."""
    if isinstance(value, tuple):
        return value
    raise EvaluationError(f"{show(value)} is not an array")


def to_float(value: Value) -> float:
    """`float(x)`."""
    return float(number(value))


def to_int(value: Value) -> int:
    """`int(x)`, and what ranges and indexes do: towards zero."""
    return whole(int(number(value)))


def absolute(value: Value) -> Number:
    """`abs(x)`."""
    found = number(value)
    return negate(found) if found < 0 else found


def ceiling(value: Value) -> float:
    """`ceil(x)`."""
    return float(math.ceil(number(value)))


def floor(value: Value) -> float:
    """`floor(x)`."""
    return float(math.floor(number(value)))


def rounded(value: Value) -> float:
    """`round(x)`: halves go away from zero."""
    fraction, whole_part = math.modf(to_float(value))
    return whole_part + math.copysign(abs(fraction) >= 0.5, fraction)


def _pair(left: Value, right: Value, operator: str) -> tuple[Number, Number]:
    if type(left) in _NUMBERS and type(right) in _NUMBERS:
        return left, right  # type: ignore[return-value]  # narrowed by type()
    raise EvaluationError(f"{show(left)} {operator} {show(right)}: both must be numbers")


def _arithmetic(operator: str, apply: Callable[[Number, Number], Number]) -> Callable[[Value, Value], Number]:
    """`+`, `-` or `*`: integers stay integers."""

    def operation(left: Value, right: Value) -> Number:
        a, b = _pair(left, right, operator)
        if type(a) is int and type(b) is int:
            return whole(apply(a, b))  # type: ignore[arg-type]  # int with int is int
        return finite(apply(float(a), float(b)))

    return operation


add = _arithmetic("+", lambda a, b: a + b)
subtract = _arithmetic("-", lambda a, b: a - b)
multiply = _arithmetic("*", lambda a, b: a * b)


def divide(left: Value, right: Value) -> float:
    """`x / y`, of floats."""
    a, b = _pair(left, right, "/")
    if b == 0:
        raise EvaluationError("division by zero")
    return finite(float(a) / float(b))


def modulo(left: Value, right: Value) -> int:
    """`x % y`, of integers; the sign is that of x."""
    if type(left) is not int or type(right) is not int:
        raise EvaluationError(f"{show(left)} % {show(right)}: both must be integers")
    if right == 0:
        raise EvaluationError("division by zero")
    rest = abs(left) % abs(right)
    return -rest if left < 0 else rest


def power(left: Value, right: Value) -> float:
    """`x ** y`, of floats."""
    a, b = _pair(left, right, "**")
    try:
        return math.pow(a, b)
    except OverflowError:
        raise EvaluationError("overflow") from None
    except ValueError:
        raise EvaluationError("division by zero" if a == 0 else "not a number") from None


def negate(value: Value) -> Number:
    """`-x`."""
    negated = -number(value)
    return whole(negated) if isinstance(negated, int) else negated


def keep(value: Value) -> Value:
    """`+x`, which expr leaves alone whatever it is."""
    return value


def invert(value: Value) -> bool:
    """`!x`."""
    return not boolean(value)


def _ordering(operator: str, apply: Callable[[Number, Number], bool]) -> Callable[[Value, Value], bool]:
    """`<` and its kin: an integer meets a float as a float."""

    def operation(left: Value, right: Value) -> bool:
        a, b = _pair(left, right, operator)
        return apply(a, b) if type(a) is type(b) else apply(float(a), float(b))

    return operation


less = _ordering("<", lambda a, b: a < b)
less_or_equal = _ordering("<=", lambda a, b: a <= b)
more = _ordering(">", lambda a, b: a > b)
more_or_equal = _ordering(">=", lambda a, b: a >= b)


def identity(value: Value) -> object:
    """Return a hashable that is equal for values that expr calls equal: 1 and 1.0, but not 1 and true."""
    if isinstance(value, tuple):
        return tuple(identity(item) for item in value)
    return (value,) if isinstance(value, bool) else value


def equal(left: Value, right: Value) -> bool:
    """`x == y`: arrays by their elements; false for things of different kinds."""
    return identity(left) == identity(right)


def unequal(left: Value, right: Value) -> bool:
    """`x != y`."""
    return not equal(left, right)


def contains(needle: Value, haystack: Value) -> bool:
    """`x in array`; nothing is in nil."""
    if haystack is None:
        return False
    wanted = identity(needle)
    return any(identity(item) == wanted for item in array(haystack))
