"""What a function takes and what type it gives.

A signature is a function of the types of the arguments; a closure counts as the type of its body. What cannot be known
before the evaluation passes, as in expr-lang/expr v1.17.8 builtin/builtin.go and builtin/validation.go.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from scaler.formula.tree import ANY, ANYTHINGS, Kind, Type, array_of

Signature = Callable[[Sequence[Type]], Type]  # or a Mismatch


class SignatureMismatch(Exception):
    """An argument, by its place, or the number of arguments, is not what a function takes."""

    def __init__(self, problem: str, argument: int | None = None) -> None:
        self.argument = argument
        super().__init__(problem)


class Want(NamedTuple):
    """The type that an argument must have."""

    words: str
    fits: Callable[[Type], bool]


NUMBER = Want("a number", lambda type_: type_.number or type_.unknown)
INTEGER = Want("an integer", lambda type_: type_.kind is Kind.INT or type_.unknown)
ARRAY = Want("an array", lambda type_: type_.array or type_.unknown)
SORT_ORDER = Want('the order "asc" or "desc"', lambda type_: type_.kind is Kind.ORDER)
ANYTHING = Want("anything", lambda _type: True)


def takes(*wants: Want, gives: Type | Signature, optional: int = 0) -> Signature:
    """Declare a function of these arguments, the last `optional` of which may be left out."""

    def signature(types: Sequence[Type]) -> Type:
        if not len(wants) - optional <= len(types) <= len(wants):
            allowed = f"{len(wants) - optional} to {len(wants)}" if optional else str(len(wants))
            noun = "argument" if allowed == "1" else "arguments"
            raise SignatureMismatch(f"takes {allowed} {noun}, not {len(types)}")
        for place, (want, type_) in enumerate(zip(wants, types, strict=False)):
            if not want.fits(type_):
                raise SignatureMismatch(f"takes {want.words} here, not {type_}", place)
        return gives if isinstance(gives, Type) else gives(types)

    return signature


def numbers_or_arrays(types: Sequence[Type]) -> Type:
    """Return the type of max and its kin; expr stops looking at the first array."""
    _at_least_one(types)
    for place, type_ in enumerate(types):
        if ARRAY.fits(type_):
            return ANY
        if not type_.number:
            raise SignatureMismatch(f"takes numbers and arrays, not {type_}", place)
    return types[0]


def some_arrays(types: Sequence[Type]) -> Type:
    """Return the type of concat."""
    _at_least_one(types)
    for place, type_ in enumerate(types):
        if not ARRAY.fits(type_):
            raise SignatureMismatch(f"takes arrays, not {type_}", place)
    return ANYTHINGS


def _at_least_one(types: Sequence[Type]) -> None:
    if not types:
        raise SignatureMismatch("takes at least 1 argument, not 0")


def the_same(types: Sequence[Type]) -> Type:
    """Return the type of the first argument."""
    return types[0]


def the_same_erased(types: Sequence[Type]) -> Type:
    """Return the type of the first argument, as far as Go sees it."""
    return types[0].erased()


def an_item(types: Sequence[Type]) -> Type:
    """Return the type of what is in the first argument."""
    return types[0].of()


def some_items(types: Sequence[Type]) -> Type:
    """Return an array of what is in the first argument."""
    return array_of(types[0].of()) if types[0].array else ANYTHINGS


def what_the_closure_gives(types: Sequence[Type]) -> Type:
    """Return the type that the closure gives."""
    return types[1]


def an_array_of_what_the_closure_gives(types: Sequence[Type]) -> Type:
    """Return an array of what the closure gives."""
    return array_of(types[1])


def a_sum(types: Sequence[Type]) -> Type:
    """Return the type that the closure gives, as far as Go sees it; without one, that of the first argument's items."""
    return types[1].erased() if len(types) > 1 else types[0].of()
