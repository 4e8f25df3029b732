"""Keys of configuration, each declared once: its name, its reader, its default, and a sentence.

A section of the settings is a frozen dataclass, and each of its fields that a user may write is such a key:

    class Grpc:                                                      grpc:
        first_decision_timeout: float = setting(READ, 2.0, "...")      firstDecisionTimeout: 2s

So who reads a setting reads a typed field, and the file, the environment, the flags, the reference and the schema for
editors all come from the same line.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, is_dataclass, replace
from typing import Any, Generic, TypeVar

from scaler.model.fields import Fields, camel_case

T = TypeVar("T")
D = TypeVar("D")

_KEY = "key"  # in the metadata of a field


@dataclass(frozen=True, slots=True)
class Key(Generic[T]):
    """One key of configuration."""

    path: str
    read: Callable[[object], T]
    default: T
    meaning: str

    def take(self, given: Fields, default: T) -> T:
        """Take the key, or another default than its own."""
        return given.take(self.path, self.read, default)

    def inside(self, section: str) -> "Key[T]":
        """Return the same key in a section; an empty one is the top of the file."""
        return replace(self, path=f"{section}.{self.path}" if section else self.path)


def setting(read: Callable[[object], T], default: D, meaning: str, name: str = "") -> T | D:
    """Declare a field as a key of its section.

    Args:
        read: what is written -> the value; a ValueError says what is allowed.
        default: where nothing is written.
        meaning: a sentence for people.
        name: of the key, where it is not the field's in camelCase.
    """
    return declared(Key(name, read, default, meaning), default)


def declared(key: Key[Any], default: T) -> T:
    """Declare a field as a key; `default` is the field's own, where nobody has read any settings."""
    made: T = field(default=default, metadata={_KEY: key})
    return made


def keys_of(section: type, path: str = "") -> Iterator[Key[Any]]:
    """Give every key of a section and of those in it, by its whole path, in the order of the file."""
    for one, inner in _parts(section):
        if inner:
            yield from keys_of(inner, _join(path, one.name))
        elif _KEY in one.metadata:
            key: Key[Any] = one.metadata[_KEY]
            yield replace(key, path=_join(path, key.path or camel_case(one.name)))


def made(section: type[T], values: Mapping[str, Any], path: str = "", **more: object) -> T:
    """Make a section of the values of its keys.

    Args:
        section: the dataclass.
        values: by the whole path of their keys.
        path: of the section.
        more: values of fields that are no keys.
    """
    given: dict[str, object] = dict(more)
    for one, inner in _parts(section):
        if one.name in more:
            continue
        if inner:
            given[one.name] = made(inner, values, _join(path, one.name))
        elif _KEY in one.metadata:
            name = one.metadata[_KEY].path or camel_case(one.name)
            given[one.name] = values[_join(path, name)]
    return section(**given)


def written(section: object) -> dict[str, Any]:
    """Return a section as a tree of its keys and their values, as a file has them."""
    tree: dict[str, Any] = {}
    for one, inner in _parts(type(section)):
        value = getattr(section, one.name)
        if inner:
            tree[one.name] = written(value)
        elif _KEY in one.metadata:
            tree[one.metadata[_KEY].path or camel_case(one.name)] = value
    return tree


def _parts(section: type) -> Iterator[tuple[Field[Any], type | None]]:
    """Yield the fields of a section, and of those that are sections themselves their types."""
    for one in fields(section):
        inner: object = one.default_factory
        yield one, inner if isinstance(inner, type) and is_dataclass(inner) else None


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
