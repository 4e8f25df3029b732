"""One YAML document, read as data from strangers: bounded, without aliases, without keys that stand twice.

A number keeps what was written, so that a model called 1.10 is not looked for as 1.1. What YAML 1.1 reads as another
number than most people do is refused: 010 (eight), 12:30 (seven hundred and fifty).
"""

import re
from collections.abc import Hashable
from typing import Any

import yaml
from yaml.reader import ReaderError

from scaler.model.errors import ConfigError

MAX_NODES = 20_000
MAX_DIGITS = 100  # of a number; YAML 1.1 also reads 1:30:00 as one, in a time that grows with the square of its parts

_SURROGATE = re.compile("[\ud800-\udfff]")  # a half of a character, which no file, log or query can hold
_ODD_NUMBER = re.compile(r"[-+]?0[0-9_]+|[-+]?[0-9][0-9_]*(:[0-9]+)+(\.[0-9_]*)?")
_COLON = "a colon where no key can be: a line is indented too far, or a value with a colon needs quotes"
_APART = "this does not belong to what stands above it: look at the indentation"
_NO_CHARACTER = "in double quotes an escape with \\\\U names no character: take single quotes"
_TEXT_BEGINS = "a text after | or > begins in the next line"
_IN_WORDS = (  # what the library says -> what people read; the first that fits
    (r"but found another document", "it has more than one document: a second one begins with ---"),
    (r"found character '\\t' that cannot start any token", "a tab stands where blanks must"),
    (r"found character (.*) that cannot start any token", r"a value cannot begin with \1: put it in quotes"),
    (r"found unhashable key", "a key is not a plain value"),
    (r"could not determine a constructor for (the tag '.*')", r"\1 is not allowed"),
    (r"found undefined tag handle (.*)", r"the tag \1 is not allowed"),
    (r"mapping values are not allowed here", _COLON),
    (r"could not find expected ':'", "a line is no KEY: VALUE"),
    (r"found unexpected (end of stream|document separator)", "a quote is opened and not closed"),
    (r"expected ',' or '([]}])', but got .*", r"a bracket is not closed with \1, or a comma is missing"),
    (r"expected the node content, but found .*", "a value is missing, or a bracket is not closed"),
    (r"expected <block end>, but found .*", f"{_APART}, and at quotes in the middle of a value"),
    (r"expected '<document start>', but found .*", _APART),
    (r"(block )?sequence entries are not allowed here", "a list begins with - where none can be"),
    (r"found unknown escape character (.*)", r"in double quotes \\ with \1 means nothing: take single quotes"),
    (r"expected escape sequence of .*", "in double quotes an escape with \\\\ is not whole: take single quotes"),
    (r"(chr\(\) arg not in range|Python int too large|signed integer is greater).*", _NO_CHARACTER),
    (r"expected alphabetic or numeric character, but found .*", "a value cannot begin with & or *: put it in quotes"),
    (r"expected (a comment or a line break|chomping or indentation indicators).*", _TEXT_BEGINS),
)

_DATE = "tag:yaml.org,2002:timestamp"
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


class WrittenInt(int):
    """A whole number, and how it was written."""

    written = ""


class WrittenFloat(float):
    """A number, and how it was written."""

    written = ""


class _Loader(yaml.SafeLoader):
    """YAML without aliases (they make small texts enormous, or cyclic), duplicate keys and dates, and bounded."""

    nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuse an alias, and a document of too many nodes, before it is built."""
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="aliases are not allowed", problem_mark=mark)
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise yaml.MarkedYAMLError(problem=f"more than {MAX_NODES} values", problem_mark=mark)
        node = super().compose_node(parent, index)
        if isinstance(node, yaml.ScalarNode) and node.tag in _NUMBERS and len(node.value) > MAX_DIGITS:
            raise yaml.MarkedYAMLError(problem=f"a number of {len(node.value)} characters", problem_mark=mark)
        if isinstance(node, yaml.ScalarNode) and (half := _SURROGATE.search(node.value)):
            problem = f"\\u{ord(half[0]):04x} is half a character: write the character itself"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
        if isinstance(node, yaml.ScalarNode) and node.tag in _NUMBERS and _ODD_NUMBER.fullmatch(node.value):
            problem = f"{node.value} is another number in YAML: write it without a leading 0 or a colon, or in quotes"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
        return node

    def whole_number(self, node: yaml.ScalarNode) -> WrittenInt:
        """Read a whole number, and keep how it was written."""
        number = WrittenInt(self.construct_yaml_int(node))
        number.written = node.value
        return number

    def number(self, node: yaml.ScalarNode) -> WrittenFloat:
        """Read a number, and keep how it was written."""
        number = WrittenFloat(self.construct_yaml_float(node))
        number.written = node.value
        return number

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        """Refuse a key that stands twice: one of the two would be lost."""
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                problem = "a key is not a plain value; a template's {{ ... }} has to be rendered first"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value!r} stands twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.whole_number)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.number)
yaml.SafeDumper.add_representer(WrittenInt, yaml.SafeDumper.represent_int)
yaml.SafeDumper.add_representer(WrittenFloat, yaml.SafeDumper.represent_float)


def _without_dates(resolvers: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    return [(tag, pattern) for tag, pattern in resolvers if tag != _DATE]


_Loader.yaml_implicit_resolvers = {  # a date stays the text that it is: no key of ours takes another
    first: _without_dates(resolvers) for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def in_words(error: yaml.YAMLError | ValueError | OverflowError) -> str:
    """Say what is wrong with a YAML text, as somebody who wrote it would: the library speaks of its own tokens."""
    if isinstance(error, ReaderError):
        return f"it has a character that no text has (U+{error.character:04X}, the {error.position + 1}. of the file)"
    problem = error.problem or "" if isinstance(error, yaml.MarkedYAMLError) else str(error)[:200]
    for pattern, words in _IN_WORDS:
        if re.fullmatch(pattern, problem, re.DOTALL):
            return re.sub(pattern, words, problem, flags=re.DOTALL)
    return problem


def parse_yaml(text: str, where: str) -> object:
    """Read one YAML document.

    Raises:
        ConfigError: not YAML, or cyclic, enormous, nested too deeply, or with a key that stands twice.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" (at {mark.line + 1}:{mark.column + 1})" if mark else ""
        raise ConfigError(where, "", f"is not YAML we can read: {in_words(error)}{place}") from error
    except RecursionError as error:
        raise ConfigError(where, "", "is nested too deeply") from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise ConfigError(where, "", f"is not YAML we can read: {in_words(error)}") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:  # as of `!!bool maybe`, `!!int ""`
        raise ConfigError(where, "", f"has a value that does not fit its tag ({error})") from error
