"""Whether a record that was read from somebody's object is what its class says it is.

JSON may hold anything: a text where a number belongs reads well, and breaks what is reckoned with it much later, for
everybody. So every record is held against the types of its class when it is read, and one that differs is left out.

    check(Quota("q", {"cpu": "many"}, {}))  raises  Malformed: hard.cpu is 'many', which is not a number
"""

import math
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from scaler.model.nodes import PodRequirements

LARGEST = 10**30  # above any sum of quantities (`read_pods.MOST`), and far below what arithmetic cannot hold
REMEMBERED = 10_000  # shared objects that were found sound
SHOWN = 60  # characters of a value in a message

_SHARED = (PodRequirements,)  # one object for all pods of a workload

Check = Callable[[Any, str], None]  # a value, and where it stands


class Malformed(ValueError):
    """A record that is not what its class says; the text says where."""


def check(record: Any) -> None:
    """Hold a record, a frozen dataclass, against the types of its class.

    Raises:
        Malformed: it differs.
    """
    kind: Any = type(record)
    _of_class(kind)(record, "")


@lru_cache(256)
def _of_class(kind: Any) -> Check:
    hints = get_type_hints(kind)
    checks = [(field.name, _of_type(hints[field.name])) for field in fields(kind)]

    def of_class(value: Any, where: str) -> None:
        if type(value) is not kind:
            raise _differs(value, where, kind.__name__)
        for name, held in checks:
            held(getattr(value, name), f"{where}.{name}" if where else name)

    return _once(of_class) if kind in _SHARED else of_class


def _once(held: Check) -> Check:
    """Return the same check, made once of each object; for those that many records share."""
    sound: dict[int, Any] = {}

    def once(value: Any, where: str) -> None:
        if sound.get(id(value)) is value:
            return
        held(value, where)
        if len(sound) >= REMEMBERED:
            sound.clear()
        sound[id(value)] = value

    return once


def _of_type(hint: Any) -> Check:
    """Return how a value of a type is checked."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {Union, types.UnionType}:
        return _any_of([_of_type(one) for one in arguments])
    if origin is Literal:
        return _one_of(arguments)
    if origin is tuple:
        return _many(_of_type(arguments[0])) if arguments[1:] == (...,) else _each(list(map(_of_type, arguments)))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(*map(_of_type, arguments))
    return _PLAIN[hint] if hint in _PLAIN else _of_class(hint)


def _text(value: Any, where: str) -> None:
    if type(value) is not str:
        raise _differs(value, where, "a text")
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise _differs(value, where, "a text of whole characters")


def _whole(value: Any, where: str) -> None:
    """Check an integer, also one that is written as 3.0."""
    _number(value, where)
    if value != int(value):
        raise _differs(value, where, "a whole number")


def _number(value: Any, where: str) -> None:
    if not isinstance(value, int | float):
        raise _differs(value, where, "a number")
    if not math.isfinite(value) or abs(value) >= LARGEST:
        raise _differs(value, where, "a number in reach")


def _flag(value: Any, where: str) -> None:
    if type(value) is not bool:
        raise _differs(value, where, "true or false")


def _nothing(value: Any, where: str) -> None:
    if value is not None:
        raise _differs(value, where, "nothing")


_PLAIN: Mapping[Any, Check] = {
    str: _text,
    int: _whole,
    float: _number,
    bool: _flag,
    type(None): _nothing,
}


def _any_of(checks: list[Check]) -> Check:
    def any_of(value: Any, where: str) -> None:
        problem: Malformed | None = None
        for one in checks:
            try:
                one(value, where)
            except Malformed as error:
                problem = problem or error
            else:
                return
        raise problem or _differs(value, where, "anything")

    return any_of


def _one_of(known: Iterable[Any]) -> Check:
    words = frozenset(known)

    def one_of(value: Any, where: str) -> None:
        if type(value) is not str or value not in words:
            raise _differs(value, where, f"one of {', '.join(sorted(words))}")

    return one_of


def _many(item: Check) -> Check:
    def many(value: Any, where: str) -> None:
        if type(value) is not tuple:
            raise _differs(value, where, "a list")
        for one in value:
            item(one, where)

    return many


def _each(items: list[Check]) -> Check:
    def each(value: Any, where: str) -> None:
        if type(value) is not tuple or len(value) != len(items):
            raise _differs(value, where, f"a list of {len(items)}")
        for one, held in zip(value, items, strict=True):
            held(one, where)

    return each


def _mapping(key: Check, item: Check) -> Check:
    def mapping(value: Any, where: str) -> None:
        if not isinstance(value, Mapping):
            raise _differs(value, where, "a mapping")
        for name, one in value.items():
            key(name, where)
            item(one, f"{where}.{name}")

    return mapping


def _differs(value: Any, where: str, wanted: str) -> Malformed:
    return Malformed(f"{where} is {ascii(value)[:SHOWN]}, which is not {wanted}")
