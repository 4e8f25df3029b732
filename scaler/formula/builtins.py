"""The functions of the language, one row each: what it does, what it takes and gives, what its closure sees.

Names and meanings are those of expr-lang/expr v1.17.8 builtin/builtin.go. `FOREIGN` names what expr has and a formula
over numbers cannot need.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from scaler.formula import arrays, values
from scaler.formula.signatures import (
    ANYTHING,
    ARRAY,
    INTEGER,
    NUMBER,
    SORT_ORDER,
    Signature,
    a_sum,
    an_array_of_what_the_closure_gives,
    an_item,
    numbers_or_arrays,
    some_arrays,
    some_items,
    takes,
    the_same,
    the_same_erased,
    what_the_closure_gives,
)
from scaler.formula.tree import ANY, ANYTHINGS, BOOL, FLOAT, INT, UNKNOWN, Type
from scaler.formula.values import Value


@dataclass(frozen=True, slots=True)
class Builtin:
    """A function of the language."""

    run: Callable[..., Value]
    signature: Signature
    shape: str = ""  # of one with a closure: x an expression, c the closure; a capital may be left out
    test: bool = False  # the closure must give a boolean
    pointers: tuple[tuple[str, Type], ...] = ()  # what the closure sees besides `#`


def _test(run: Callable[..., Value], gives: Type | Signature) -> Builtin:
    """Declare a function whose closure tests an element."""
    return Builtin(run, takes(ARRAY, ANYTHING, gives=gives), "xc", test=True)


_TO_FLOAT = takes(NUMBER, gives=FLOAT)
_REARRANGED = takes(ARRAY, gives=ANYTHINGS)
_INDEX = ("index", INT)
_ACC = ("acc", UNKNOWN)

BUILTINS: Mapping[str, Builtin] = {
    # numbers
    "abs": Builtin(values.absolute, takes(NUMBER, gives=the_same_erased)),
    "ceil": Builtin(values.ceiling, _TO_FLOAT),
    "floor": Builtin(values.floor, _TO_FLOAT),
    "round": Builtin(values.rounded, _TO_FLOAT),
    "int": Builtin(values.to_int, takes(NUMBER, gives=INT)),
    "float": Builtin(values.to_float, _TO_FLOAT),
    # numbers and arrays of them
    "max": Builtin(arrays.maximum, numbers_or_arrays),
    "min": Builtin(arrays.minimum, numbers_or_arrays),
    "mean": Builtin(arrays.mean, numbers_or_arrays),
    "median": Builtin(arrays.median, numbers_or_arrays),
    # arrays
    "len": Builtin(arrays.length, takes(ARRAY, gives=INT)),
    "first": Builtin(arrays.first, takes(ARRAY, gives=ANY)),
    "last": Builtin(arrays.last, takes(ARRAY, gives=ANY)),
    "get": Builtin(arrays.get, takes(ARRAY, INTEGER, gives=an_item)),
    "take": Builtin(arrays.take, takes(ARRAY, INTEGER, gives=the_same_erased)),
    "reverse": Builtin(arrays.reverse, _REARRANGED),
    "uniq": Builtin(arrays.unique, _REARRANGED),
    "flatten": Builtin(arrays.flatten, _REARRANGED),
    "concat": Builtin(arrays.concat, some_arrays),
    "sort": Builtin(arrays.sort, takes(ARRAY, SORT_ORDER, gives=ANYTHINGS, optional=1)),
    # arrays and a test of their elements
    "all": _test(arrays.every, BOOL),
    "any": _test(arrays.some, BOOL),
    "none": _test(arrays.none, BOOL),
    "one": _test(arrays.one, BOOL),
    "filter": _test(arrays.keep_if, some_items),
    "find": _test(arrays.find, an_item),
    "findIndex": _test(arrays.find_index, INT),
    "findLast": _test(arrays.find_last, an_item),
    "findLastIndex": _test(arrays.find_last_index, INT),
    "count": Builtin(arrays.count, takes(ARRAY, ANYTHING, gives=INT, optional=1), "xC", test=True),
    # arrays and a closure
    "map": Builtin(
        arrays.apply, takes(ARRAY, ANYTHING, gives=an_array_of_what_the_closure_gives), "xc", pointers=(_INDEX,)
    ),
    "sum": Builtin(arrays.total, takes(ARRAY, ANYTHING, gives=a_sum, optional=1), "xC"),
    "sortBy": Builtin(arrays.sort_by, takes(ARRAY, ANYTHING, SORT_ORDER, gives=the_same, optional=1), "xcX"),
    "reduce": Builtin(
        arrays.reduce,
        takes(ARRAY, ANYTHING, ANYTHING, gives=what_the_closure_gives, optional=1),
        "xcX",
        pointers=(_INDEX, _ACC),
    ),
}

FOREIGN = frozenset({
    "bitand", "bitnand", "bitnot", "bitor", "bitshl", "bitshr", "bitushr", "bitxor", "date", "duration",
    "fromBase64", "fromJSON", "fromPairs", "groupBy", "hasPrefix", "hasSuffix", "indexOf", "join", "keys",
    "lastIndexOf", "lower", "now", "repeat", "replace", "split", "splitAfter", "string", "timezone", "toBase64",
    "toJSON", "toPairs", "trim", "trimPrefix", "trimSuffix", "type", "upper", "values",
})  # fmt: skip
