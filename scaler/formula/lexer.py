"""Text to tokens, as expr's own lexer cuts it.

The cuts follow expr-lang/expr v1.17.8 parser/lexer/state.go, odd ones too: `?.5` is the operator `?.` and a 5, `1..3`
is a range, an underscore may stand anywhere after a number's first digit.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from scaler.formula.limits import MAX_WORD
from scaler.model.errors import FormulaSyntaxError


class TokenKind(Enum):
    """The kind of a token; the value is the word used in errors."""

    NUMBER = "number"
    NAME = "name"
    OPERATOR = "operator"
    BRACKET = "bracket"
    ORDER = "text"
    END = "end of the formula"


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of text, `text[offset:end]`."""

    kind: TokenKind
    text: str
    offset: int
    end: int

    def __str__(self) -> str:
        return self.kind.value if self.kind is TokenKind.END else f"{self.kind.value} {self.text!r}"


WORDS = frozenset({"not", "in", "or", "and", "matches", "contains", "startsWith", "endsWith", "let", "if", "else"})

_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"  # Go's unicode.IsSpace


def _number(digits: str) -> str:
    return rf"{digits}*(?:\.(?!\.){digits}*)?(?:[eE][+-]?{digits}*)?"


_TOKEN = re.compile(
    rf"""
      (?P<space>[{_SPACE}]+ | //[^\n]* | /\*.*?\*/)
    | (?P<unclosed>/\*)
    | (?P<number>\.?(?=[0-9])
        (?:0[xX]{_number("[0-9a-fA-F_]")} | 0[oO]{_number("[0-7_]")} | 0[bB]{_number("[01_]")} | {_number("[0-9_]")}))
    | (?P<pointer>\#\#?[\w$]*)
    | (?P<name>[\w$]+)
    | (?P<operator>\?[.?]? | \|\|? | ::? | [&!=*<>][&=*]? | \.\.? | [,;%+\-^/])
    | (?P<bracket>[()\[\]{{}}])
    | (?P<order>(?P<quote>["'`])(?:asc|desc)(?P=quote))
    | (?P<string>["'`])
    """,
    re.VERBOSE | re.DOTALL,
)


def tokens(text: str) -> Iterator[Token]:
    """Cut `text` into tokens, one after the other; the last one is the END.

    Raises:
        FormulaSyntaxError: a character or number that expr does not know, an unclosed comment, or a string.
    """
    offset = 0
    while offset < len(text):
        match = _TOKEN.match(text, offset)
        if match is None:
            raise FormulaSyntaxError(text, offset, f"unrecognized character {text[offset]!r}")
        yield from _cut(text, str(match.lastgroup), match.group(), offset)
        offset = match.end()
    yield Token(TokenKind.END, "", len(text), len(text))


def _cut(text: str, group: str, word: str, offset: int) -> Iterator[Token]:
    """Cut one match into tokens: none for a space, two for `#index`."""
    end = offset + len(word)
    if group == "unclosed":
        raise FormulaSyntaxError(text, offset, "unclosed comment")
    if group == "string":
        raise FormulaSyntaxError(text, offset, "expr has strings, llm-scaler does not")
    if group in ("name", "number", "pointer") and len(word) > MAX_WORD:
        raise FormulaSyntaxError(text, offset, f"a {group} of {len(word)} characters, at most {MAX_WORD}")
    if group == "number":
        if _alphanumeric(text[end : end + 1]):
            raise FormulaSyntaxError(text, offset, f"bad number {text[offset : end + 1]!r}")
        yield Token(TokenKind.NUMBER, word, offset, end)
    elif group == "name":
        yield Token(TokenKind.OPERATOR if word in WORDS else TokenKind.NAME, _checked(text, word, offset), offset, end)
    elif group == "pointer":
        name = word.lstrip("#")
        yield Token(TokenKind.OPERATOR, word[: len(word) - len(name)], offset, end - len(name))
        if name:
            yield Token(TokenKind.NAME, _checked(text, name, end - len(name)), end - len(name), end)
    elif group == "order":
        yield Token(TokenKind.ORDER, word[1:-1], offset, end)
    elif group != "space":
        yield Token(TokenKind.BRACKET if group == "bracket" else TokenKind.OPERATOR, word, offset, end)


def _checked(text: str, name: str, offset: int) -> str:
    """Return the name, unless a letter or digit of it is one to Python and not to expr, such as a superscript."""
    for place, character in enumerate(name, offset):
        if not _alphanumeric(character):
            raise FormulaSyntaxError(text, place, f"unrecognized character {character!r}")
    return name


def _alphanumeric(character: str) -> bool:
    """Tell whether expr takes it as part of a name: a letter or a decimal digit of any script, `_` or `$`."""
    if not character or character in "_$":
        return bool(character)
    category = unicodedata.category(character)
    return category.startswith("L") or category == "Nd"
