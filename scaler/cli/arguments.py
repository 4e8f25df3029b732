"""Words of the command line that several commands share."""

import argparse
import math
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from scaler.model.errors import ConfigError, unreadable
from scaler.model.fields import duration

T = TypeVar("T")


def pair(word: str, read: Callable[[str], T]) -> tuple[str, T]:
    """Split NAME=VALUE; `read` turns the value into what it stands for.

    Raises:
        ConfigError: there is no name, or no equals sign.
    """
    name, equals, value = word.partition("=")
    if not equals or not name:
        raise ConfigError("argument", word, "is not NAME=VALUE")
    return name, read(value)


def real(written: str) -> float:
    """Read a number, for argparse.

    Raises:
        ArgumentTypeError: it is none.
    """
    return _written(float, written, "a number")


def whole(written: str) -> int:
    """Read a whole number, for argparse.

    Raises:
        ArgumentTypeError: it is none.
    """
    return _written(int, written, "a whole number")


def _written(read: Callable[[str], T], written: str, allowed: str) -> T:
    try:
        return read(written)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{written!r} is not allowed; allowed: {allowed}") from None


def positive(written: str) -> float:
    """Read a number of seconds, for argparse.

    Raises:
        ArgumentTypeError: it is no number, infinite, or not above 0.
    """
    try:
        number = float(written)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{written!r} is not allowed; allowed: a number of seconds above 0")
    return number


def pairs(words: Iterable[str], read: Callable[[str], T]) -> dict[str, T]:
    """Split every NAME=VALUE, as `pair` does.

    Raises:
        ConfigError: one of them is not that, or a name stands twice.
    """
    found: dict[str, T] = {}
    for word in words:
        name, value = pair(word, read)
        if name in found:
            raise ConfigError("argument", word, f"gives {name} a second time", "each name once")
        found[name] = value
    return found


def read_file(path: Path) -> str:
    """Read a text file that the user named.

    Raises:
        ConfigError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(str(path), "", f"cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), "", f"is {unreadable(error)}") from error


def standard_input() -> str:
    """Read what comes through the standard input.

    Raises:
        ConfigError: nothing can come, or it is not UTF-8.
    """
    if sys.stdin is None:
        raise ConfigError("standard input", "", "is closed", "a text through a pipe")
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError("standard input", "", f"is {unreadable(error)}") from error


def namespace_and_name(written: str) -> tuple[str, str]:
    """Read the name of an object and of its namespace.

    Raises:
        ConfigError: it is not NAMESPACE/NAME.
    """
    namespace, _, name = written.partition("/")
    if not namespace or not name or "/" in name:
        raise ConfigError("argument", written, "is not NAMESPACE/NAME", "such as demo/llama")
    return namespace, name


def span_or_none(written: str | None, option: str) -> float | None:
    """Read the seconds of a span such as 5m, of at most a day; None: the option was not given.

    Raises:
        ConfigError: it is no span.
    """
    if written is None:
        return None
    try:
        return float(duration(0, 86400)(written))
    except ValueError as error:
        raise ConfigError("argument", option, f"{written!r} is no span", str(error)) from error
