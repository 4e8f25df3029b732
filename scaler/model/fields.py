"""Reading configuration: every key is taken once, by name and type, and what is left over is refused.

One reader serves YAML files (typed values) and KEDA's trigger metadata (text only), so both give the same errors.
"""

import difflib
import math
import re
from collections.abc import Callable, Collection, Mapping
from functools import cache, lru_cache
from typing import Any, NoReturn, TypeVar

from scaler.model.errors import ConfigError, nearest

T = TypeVar("T")
ReadT = TypeVar("ReadT", bound=Callable[[object], Any])

_PART = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)(ms|s|m|h|d)?")
_DURATION = re.compile(r"\d{1,12}(\.\d{1,6})?|(\d{1,12}(\.\d{1,6})?(ms|s|m|h|d)){1,5}")
_NUMBER = r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"  # a number as text
_NO_BOUND = 1e12  # of a number: that large is as good as any
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def takes(**schema: object) -> Callable[[ReadT], ReadT]:
    """Say of a reader, for editors, which values it takes: keywords of JSON Schema."""

    def told(read: ReadT) -> ReadT:
        read.__dict__["schema"] = schema
        return read

    return told


def schema_of(read: Callable[[object], Any]) -> dict[str, object]:
    """Return which values a reader takes, as a JSON Schema; {} where it does not say."""
    return dict(getattr(read, "schema", {}))


class _Missing:
    """The default of a key that must be there."""


REQUIRED: Any = _Missing()


class Fields:
    """The keys of one mapping; taken one by one, then closed.

    Args:
        where: the file or "trigger", for messages.
        tree: the mapping as read.
        path: the key under which the mapping stands; empty at the top.
    """

    def __init__(self, where: str, tree: object, path: str = "") -> None:
        self.where = where
        self.path = path
        if tree is None:
            raise ConfigError(where, path, "is empty", "keys and values")
        if not isinstance(tree, Mapping):
            raise ConfigError(where, path, f"{show(tree)} stands where keys and values belong", "KEY: VALUE")
        for key in tree:
            if not isinstance(key, str):
                raise ConfigError(where, path, f"the key {show(key)} is not text", "text keys")
        self._left: dict[str, object] = dict(tree)
        self._known: set[str] = set()

    def take(self, key: str, read: Callable[[object], T], default: T = REQUIRED) -> T:
        """Take one key; `read` turns its value into the wanted type or raises ValueError with what is allowed."""
        self._known.add(key)
        if key not in self._left or self._left[key] is None:
            self._left.pop(key, None)
            if default is REQUIRED:
                like = difflib.get_close_matches(key, self._left, n=1, cutoff=0.75)
                instead = f", and {like[0]!r} is not a key" if like else ""
                raise ConfigError(self.where, self._at(key), f"is missing{instead}")
            return default
        raw = self._left.pop(key)
        try:
            return read(raw)
        except ValueError as error:
            raise ConfigError(self.where, self._at(key), f"{show(raw)} is not allowed", str(error)) from error

    def inside(self, key: str) -> "Fields":
        """Take a key whose value is a mapping, empty when the key is absent."""
        self._known.add(key)
        value = self._left.pop(key, None)
        return Fields(self.where, {} if value is None else value, self._at(key))

    def has(self, key: str) -> bool:
        """Tell whether the key is there and not yet taken."""
        self._known.add(key)
        return self._left.get(key) is not None

    def rest(self) -> dict[str, object]:
        """Take all keys that are left, whatever they are called."""
        left, self._left = self._left, {}
        return left

    def refuse_others(self, known: Collection[str]) -> None:
        """Refuse what is not one of the keys that are known, before any value is read.

        Raises:
            ConfigError: naming the first unknown key and the nearest known one.
        """
        self._known.update(known)
        for key in self._left:
            if key not in self._known:
                self._refuse(key)

    def close(self) -> None:
        """Refuse what was not taken.

        Raises:
            ConfigError: naming the first unknown key and the nearest known one.
        """
        for key in self._left:
            self._refuse(key)

    def _refuse(self, key: str) -> NoReturn:
        known = ", ".join(sorted(self._known))
        raise ConfigError(self.where, self._at(key), f"unknown key{nearest(key, self._known)}", known)

    def error(self, key: str, problem: str, allowed: str = "") -> ConfigError:
        """Make a ConfigError about one key of this mapping."""
        return ConfigError(self.where, self._at(key), problem, allowed)

    def _at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key


def show(value: object, limit: int = 80) -> str:
    """Return a value as it is shown in a message, cut to `limit` characters."""
    shown = repr(value)
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."


_once = lru_cache(maxsize=1024)  # the same few readers are made at every binding, with the words of their messages


@takes(type=["string", "number"])
def text(raw: object) -> str:
    """Read a text; a bare number counts as what was written."""
    if isinstance(raw, bool):
        raise ValueError("a text; YAML reads yes, no, on, off, true and false as no text, so put such a word in quotes")
    if not isinstance(raw, (str, int, float)):
        raise ValueError("a text")
    return str(getattr(raw, "written", raw))


@takes(enum=[True, False, "true", "false"])
def boolean(raw: object) -> bool:
    """Read true or false, also as text."""
    if isinstance(raw, str) and raw.lower() in {"true", "false"}:
        return raw.lower() == "true"
    if not isinstance(raw, bool):
        raise ValueError("true or false")
    return raw


@_once
def number(low: float = -1e15, high: float = 1e15, *, above: bool = False) -> Callable[[object], float]:
    """Make a reader of numbers in [low, high], or in (low, high] with `above`; also as text."""
    allowed = _range_of_numbers(low, high, above=above)
    least = {"exclusiveMinimum" if above else "minimum": low} if low > -_NO_BOUND else {}
    most = {"maximum": high} if high < _NO_BOUND else {}

    @takes(type=["number", "string"], pattern=_NUMBER, **least, **most)
    def read(raw: object) -> float:
        if isinstance(raw, bool) or not isinstance(raw, (str, int, float)):
            raise ValueError(allowed)
        try:
            value = float(raw)
        except (ValueError, OverflowError):
            raise ValueError(allowed) from None
        if not low <= value <= high or (above and value == low):
            raise ValueError(allowed)
        return value

    return read


def _range_of_numbers(low: float, high: float, *, above: bool) -> str:
    """Say which numbers are allowed: "a number from 0 to 1"; bounds that nobody reaches are not worth a word."""
    least = "" if low <= -_NO_BOUND else f"above {low:g}" if above else f"from {low:g}"
    most = "" if high >= _NO_BOUND else f"up to {high:g}" if above or not least else f"to {high:g}"
    return " ".join(word for word in ("a number", least, most) if word)


@_once
def whole(low: int, high: int) -> Callable[[object], int]:
    """Make a reader of whole numbers in [low, high]; also as text, and as a float, which numeric parameters are."""
    allowed = f"a whole number from {low} to {high}"

    @takes(type=["integer", "string"], pattern=r"^-?\d{1,18}$", minimum=low, maximum=high)
    def read(raw: object) -> int:
        raw = int(raw) if isinstance(raw, float) and raw.is_integer() else raw
        if isinstance(raw, bool) or not isinstance(raw, (str, int)) or not re.fullmatch(r"-?\d{1,18}", str(raw)):
            raise ValueError(allowed)
        if not low <= int(raw) <= high:
            raise ValueError(allowed)
        return int(raw)

    return read


@_once
def duration(low: float = 0.0, high: float = 7 * 86400.0) -> Callable[[object], float]:
    """Make a reader of durations such as 500ms, 30s, 5m, 1h30m or a bare number of seconds, into seconds."""
    allowed = f"a duration from {seconds(low)} to {seconds(high)}, such as 30s, 5m or 1h30m"

    @takes(type=["number", "string"], pattern=rf"^\s*({_DURATION.pattern})\s*$", minimum=low, maximum=high)
    def read(raw: object) -> float:
        if isinstance(raw, bool) or not isinstance(raw, (str, int, float)):
            raise ValueError(allowed)
        written = str(raw).strip()
        if not _DURATION.fullmatch(written):
            raise ValueError(allowed)
        value = sum(float(size) * _SECONDS[unit or "s"] for size, unit in _PART.findall(written))
        if not low <= value <= high:
            raise ValueError(allowed)
        return value

    return read


@_once
def choice(*allowed: str) -> Callable[[object], str]:
    """Make a reader of one of a few words."""

    @takes(enum=list(allowed))
    def read(raw: object) -> str:
        if raw not in allowed:
            raise ValueError(", ".join(allowed))
        return str(raw)

    return read


@_once
def matching(pattern: str, meaning: str) -> Callable[[object], str]:
    """Make a reader of texts that match `pattern` whole."""
    compiled = re.compile(pattern)

    @takes(type=["string", "number"], pattern=rf"^(?:{pattern})$")
    def read(raw: object) -> str:
        value = text(raw)
        if not compiled.fullmatch(value):
            raise ValueError(meaning)
        return value

    return read


def listed(read: Callable[[object], T]) -> Callable[[object], tuple[T, ...]]:
    """Make a reader of lists whose items are read by `read`."""

    @takes(type="array", items=schema_of(read))
    def read_all(raw: object) -> tuple[T, ...]:
        if not isinstance(raw, list):
            raise ValueError("a list")
        return tuple(read(item) for item in raw)

    return read_all


@cache
def camel_case(name: str) -> str:
    """Return a field's name as JSON and YAML have it: answered_replicas is answeredReplicas."""
    return re.sub(r"_([a-z])", lambda found: found[1].upper(), name)


def seconds(span: float) -> str:
    """Show a span of seconds as a person writes it: 90 -> 1m30s, 0.5 -> 500ms, 7.25 -> 7.2s."""
    if not math.isfinite(span):
        return "an endless time"
    if 0 < span < 1:
        return f"{span * 1000:.0f}ms"
    if span < 10:
        return f"{span:.1f}".removesuffix(".0") + "s"
    left, parts = round(span), ""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if left >= size:
            parts += f"{left // size}{unit}"
            left %= size
    return parts


class KeyRecorder(Fields):
    """Stands for any mapping that could be written, and remembers which keys are taken of it, and by which readers.

    So the code that reads a mapping is the one place that says which keys there are.

    Args:
        given: keys that count as written, since other keys hang on them.
        curious: whether every other key counts as written too, as far as `has` asks for it.
    """

    def __init__(self, given: Mapping[str, object], *, curious: bool = False) -> None:
        super().__init__("schema", given)
        self.curious = curious
        self.open = False
        self.readers: dict[str, Callable[[object], Any]] = {}
        self.sections: dict[str, KeyRecorder] = {}
        self.required: set[str] = set()

    def take(self, key: str, read: Callable[[object], T], default: T = REQUIRED) -> T:
        """Remember the key; what is given is read, and for the rest the default stands."""
        self.readers[key] = read
        if default is REQUIRED:
            self.required.add(key)
            if key not in self._left:
                return _example(read)
        return super().take(key, read, default)

    def inside(self, key: str) -> "Fields":
        """Remember the section, and what is taken of it."""
        self._left.pop(key, None)
        return self.sections.setdefault(key, KeyRecorder({}, curious=self.curious))

    def rest(self) -> dict[str, object]:
        """Remember that other keys are taken too, whatever they are called."""
        self.open = True
        return super().rest()

    def has(self, key: str) -> bool:
        """Tell whether the key counts as written."""
        return self.curious or super().has(key)


def _example(read: Callable[[object], T]) -> T:
    """Return a value that a reader gives for one of the simplest that it takes."""
    words = schema_of(read).get("enum", ())
    for raw in (*(words if isinstance(words, list) else ()), "1", "http://example", []):
        try:
            return read(raw)
        except ValueError:
            continue
    raise ValueError("a reader that takes nothing simple")
