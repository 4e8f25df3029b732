"""The functions of the language: what they take, what type they give, what they do. One row per function.

Names, arguments and types are those of expr-lang/expr v1.17.8 builtin/builtin.go, with expr's own generosity: what it
cannot know before the evaluation (`ANY`, `UNKNOWN`) passes. `FOREIGN` names what expr has and a formula over numbers
cannot need.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from scaler.formula import arrays, values
from scaler.formula.tree import ANY, ANYTHINGS, BOOL, FLOAT, INT, UNKNOWN, Kind, Type, array_of
from scaler.formula.values import Value


class Mismatch(Exception):
    """An argument, by its place, or the number of arguments, is not what a function takes."""

    def __init__(self, problem: str, argument: int | None = None) -> None:
        self.argument = argument
        super().__init__(problem)


Check = Callable[[Sequence[Type]], Type]  # types of the arguments -> type of the result, or Mismatch


@dataclass(frozen=True, slots=True)
class Builtin:
    """A function. One with a `shape` takes a closure: `x` an expression, `c` a closure; a capital may be left out."""

    run: Callable[..., Value]
    check: Check  # a closure counts as the type of its body
    shape: str = ""
    pointers: dict[str, Type] = field(default_factory=dict)  # besides `#`
    boolean: bool = False  # the closure is a test


def _number(type_: Type) -> bool:
    return type_.number or type_.unknown


def _integer(type_: Type) -> bool:
    return type_.kind is Kind.INT or type_.unknown


def _array(type_: Type) -> bool:
    return type_.array or type_.unknown


def _order(type_: Type) -> bool:
    return type_.kind is Kind.ORDER


def _takes(give: Check, *tests: tuple[Callable[[Type], bool], str], optional: int = 0) -> Check:
    """A function whose arguments pass `tests`, each with the words for what it wants."""

    def check(types: Sequence[Type]) -> Type:
        if not len(tests) - optional <= len(types) <= len(tests):
            wanted = f"{len(tests) - optional} to {len(tests)}" if optional else str(len(tests))
            raise Mismatch(f"takes {wanted} argument{'' if wanted == '1' else 's'}, not {len(types)}")
        for place, ((test, words), type_) in enumerate(zip(tests, types, strict=False)):
            if not test(type_):
                raise Mismatch(f"takes {words} here, not {type_}", place)
        return give(types)

    return check


_NUMBER, _INTEGER, _ARRAY, _ORDER = (
    (_number, "a number"),
    (_integer, "an integer"),
    (_array, "an array"),
    (_order, 'the order "asc" or "desc"'),
)


def _give(type_: Type) -> Check:
    return lambda _types: type_


def _aggregate(types: Sequence[Type]) -> Type:
    """Numbers or arrays of numbers; expr stops looking at the first array."""
    if not types:
        raise Mismatch("takes at least 1 argument, not 0")
    for place, type_ in enumerate(types):
        if _array(type_):
            return ANY
        if not type_.number:
            raise Mismatch(f"takes numbers and arrays, not {type_}", place)
    return types[0]


def _concat(types: Sequence[Type]) -> Type:
    if not types:
        raise Mismatch("takes at least 1 argument, not 0")
    for place, type_ in enumerate(types):
        if not _array(type_):
            raise Mismatch(f"takes arrays, not {type_}", place)
    return ANYTHINGS


def _items(types: Sequence[Type]) -> Type:
    """The type of what is in the first argument."""
    return types[0].of()


def _same(types: Sequence[Type]) -> Type:
    return types[0].erased()


def _first(_types: Sequence[Type]) -> Type:
    return ANY


def _body(types: Sequence[Type]) -> Type:
    return types[1]


_ROUND = _takes(_give(FLOAT), _NUMBER)
_REARRANGE = _takes(_give(ANYTHINGS), _ARRAY)


def _round(value: Value) -> float:
    """To the nearest whole number, halves away from zero."""
    number = values.to_float(value)
    rest = math.modf(abs(number))[0]
    return math.copysign(math.floor(abs(number)) + (rest >= 0.5), number)


def _plain(run: Callable[..., Value], check: Check) -> Builtin:
    return Builtin(run, check)


def _anything(_type: Type) -> bool:
    return True


_BODY = (_anything, "")


def _test(run: Callable[..., Value], give: Check, shape: str = "xc") -> Builtin:
    """A function whose closure is a test."""
    return Builtin(run, _takes(give, _ARRAY, _BODY, optional=int(shape[1].isupper())), shape, boolean=True)


BUILTINS: dict[str, Builtin] = {
    "abs": _plain(lambda x: values.negate(x) if values.number(x) < 0 else x, _takes(_same, _NUMBER)),
    "ceil": _plain(lambda x: float(math.ceil(values.number(x))), _ROUND),
    "floor": _plain(lambda x: float(math.floor(values.number(x))), _ROUND),
    "round": _plain(_round, _ROUND),
    "int": _plain(values.to_int, _takes(_give(INT), _NUMBER)),
    "float": _plain(values.to_float, _takes(_give(FLOAT), _NUMBER)),
    "max": _plain(arrays.maximum, _aggregate),
    "min": _plain(arrays.minimum, _aggregate),
    "mean": _plain(arrays.mean, _aggregate),
    "median": _plain(arrays.median, _aggregate),
    "len": _plain(arrays.length, _takes(_give(INT), _ARRAY)),
    "first": _plain(arrays.first, _takes(_first, _ARRAY)),
    "last": _plain(arrays.last, _takes(_first, _ARRAY)),
    "get": _plain(arrays.get, _takes(_items, _ARRAY, _INTEGER)),
    "take": _plain(arrays.take, _takes(_same, _ARRAY, _INTEGER)),
    "reverse": _plain(arrays.reverse, _REARRANGE),
    "uniq": _plain(arrays.unique, _REARRANGE),
    "flatten": _plain(arrays.flatten, _REARRANGE),
    "concat": _plain(arrays.concat, _concat),
    "sort": _plain(arrays.sort, _takes(_give(ANYTHINGS), _ARRAY, _ORDER, optional=1)),
    "all": _test(arrays.every, _give(BOOL)),
    "any": _test(arrays.some, _give(BOOL)),
    "none": _test(arrays.none, _give(BOOL)),
    "one": _test(arrays.one, _give(BOOL)),
    "filter": _test(arrays.keep_if, lambda types: array_of(types[0].of() if types[0].array else ANY)),
    "find": _test(arrays.find, _items),
    "findIndex": _test(arrays.find_index, _give(INT)),
    "findLast": _test(arrays.find_last, _items),
    "findLastIndex": _test(arrays.find_last_index, _give(INT)),
    "count": _test(arrays.count, _give(INT), "xC"),
    "map": Builtin(arrays.apply, _takes(lambda types: array_of(types[1]), _ARRAY, _BODY), "xc", {"index": INT}),
    "sum": Builtin(
        arrays.total,
        _takes(lambda types: types[1].erased() if len(types) > 1 else types[0].of(), _ARRAY, _BODY, optional=1),
        "xC",
    ),
    "sortBy": Builtin(arrays.sort_by, _takes(lambda types: types[0], _ARRAY, _BODY, _ORDER, optional=1), "xcX"),
    "reduce": Builtin(
        arrays.reduce,
        _takes(_body, _ARRAY, _BODY, _BODY, optional=1),
        "xcX",
        {"index": INT, "acc": UNKNOWN},
    ),
}

FOREIGN = frozenset({
    "bitand", "bitnand", "bitnot", "bitor", "bitshl", "bitshr", "bitushr", "bitxor", "date", "duration",
    "fromBase64", "fromJSON", "fromPairs", "groupBy", "hasPrefix", "hasSuffix", "indexOf", "join", "keys",
    "lastIndexOf", "lower", "now", "repeat", "replace", "split", "splitAfter", "string", "timezone", "toBase64",
    "toJSON", "toPairs", "trim", "trimPrefix", "trimSuffix", "type", "upper", "values",
})  # fmt: skip
