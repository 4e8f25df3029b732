r"""Changing a PromQL text without changing its shape: parameters go in, constant matchers are added.

Both need to know where in a text an operand stands, and where the value of a label matcher. A scanner and a machine of
two states (an operand is wanted, or an operator) find that in one pass, without a tree; what the machine does not know
is refused, so a text is never half understood. The grammar is that of Prometheus (2.42 to 3.x,
promql/parser/{lex.go,generated_parser.y}); names that are keywords elsewhere may be metrics where an operand is wanted.
promql-parser 0.11 is no substitute: it refuses `m{a=~"x"}` written with backticks around `x\d`, `[5m*2]`, `smoothed`, a
metric called `on`, and its nodes cannot be changed.

    substitute('sum(m{model="$m"}) > $n', {"m": 'a"b', "n": 3.0})    sum(m{model="a\"b"}) > 3
    enforce('rate(m[5m]) / on (pod) n', {"c": "eu"})                 rate(m{c="eu"}[5m]) / on (pod) n{c="eu"}
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from scaler.model.errors import ConfigError, nearest
from scaler.model.fields import show

LENGTH_LIMIT = 20_000  # characters of a query; a page of PromQL has 2,000

_TOKEN = re.compile(
    r"""
    (?P<blank>  [ \t\n]+ | \#[^\n\r]*(?=\n|\Z) )
    | (?P<string> "(?:[^"\\\n]|\\[^\n])*" | '(?:[^'\\\n]|\\[^\n])*' | `[^`]*` )
    | (?P<number> (?: 0[xX][0-9a-fA-F]+ | (?:\d+(?:ms|[smhdwy]))+ | (?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)? ) (?![\w.]) )
    | (?P<name> [A-Za-z_:][\w:]* )
    | (?P<parameter> \$[A-Za-z_]\w* )
    | (?P<range> \[[\w.: \t\n$]*\] )
    | (?P<symbol> [=!]~ | [=!<>]= | [-+*/%^<>=(){},@] )
    """,
    re.VERBOSE | re.ASCII,
)
_AGGREGATIONS = frozenset(
    "sum avg count min max group stddev stdvar topk bottomk count_values quantile limitk limit_ratio".split()
)
_ARITHMETIC = frozenset("+ - * / % ^ == != < > <= >=".split())
_SET_OPERATORS = frozenset({"and", "or", "unless", "atan2"})
_MATCH = frozenset({"=", "!=", "=~", "!~"})
_PARAMETER = re.compile(r"\\.|\$([A-Za-z_]\w*)", re.ASCII | re.DOTALL)
_RAW_PARAMETER = re.compile(r"\$([A-Za-z_]\w*)", re.ASCII)
_PLAIN_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_PLAIN_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_REGEX_META = re.compile(r"[\\.+*?()|\[\]{}^$]")
# An expression whose every `[...]` is closed. No two alternatives begin alike; possessive quantifiers (`*+`) would be
# shorter, but Python before 3.11.5, so that of Debian 12, matches too much with them.
_CLASS_START = r"\[(?:\^|(?!\^))(?:\]|(?!\]))"
_IN_CLASS = r"(?:\\.|\[:\w+:\]|\[(?!:\w+:\])|[^\[\]\\])*"
_CLOSED = re.compile(rf"(?:\\.|{_CLASS_START}{_IN_CLASS}\]|[^\[\\])*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # a group of _TOKEN, or "end"
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Mark:
    """A place of the text that may be changed."""

    kind: Literal["selector", "value", "string", "number"]
    start: int
    end: int
    detail: str = ""  # selector: how matchers go in; value: the operator before it; number: the parameter's name


def quote(value: str) -> str:
    """Return `value` as a double-quoted PromQL string."""
    return f'"{_escape(value)}"'


def label_name(name: str) -> str:
    """Return a label's name as it stands in a query: in quotes where older releases do not know such names."""
    return name if _PLAIN_LABEL.fullmatch(name) else quote(name)


def series_name(name: str, matchers: Sequence[str]) -> str:
    """Return a selector of a metric and written matchers; a name that older releases do not know is in quotes.

    >>> series_name("vllm.num_requests_running", ['namespace="demo"'])
    '{"vllm.num_requests_running",namespace="demo"}'
    """
    if not name or _PLAIN_METRIC.fullmatch(name):
        return f"{name}{{{','.join(matchers)}}}"
    return f"{{{','.join([quote(name), *matchers])}}}"


def quote_regex(value: str) -> str:
    """Return the RE2 expression that matches exactly `value`, not yet quoted as a string."""
    return _REGEX_META.sub(r"\\\g<0>", value)


def substitute(text: str, parameters: Mapping[str, str | float], where: str, key: str) -> str:
    """Put parameters into a PromQL text.

    `$name` may stand inside a quoted label value, where it is escaped (and taken literally in a regular expression),
    or in the place of a number. A `$` that no name follows is left alone, as in `"^a$"` and `"$1"`.

    Args:
        text: PromQL.
        parameters: by name, without the `$`.
        where: the file, for messages.
        key: the key the text stands under, for messages.

    Raises:
        ConfigError: a parameter anywhere else, one that is not known, a text where a number must stand, or a text
            that is not PromQL.
    """
    walk = _Walk(text, where, key)
    parts, done = [], 0
    for mark in walk.marks():
        written = text[mark.start : mark.end]
        if mark.kind == "number":
            written = _number(walk, mark, parameters)
        elif mark.kind == "value":
            written = _filled(walk, mark, written, parameters)
        elif mark.kind == "string" and _names(written):
            raise walk.error(mark.start, f"${_names(written)[0]} {_PLACES}")
        parts += [text[done : mark.start], written]
        done = mark.end
    return "".join(parts) + text[done:]


def enforce(text: str, matchers: Mapping[str, str]) -> str:
    """Add constant label matchers to every vector selector of a PromQL text.

    Raises:
        ConfigError: the text is not PromQL as far as it is known here; it must not be sent.
    """
    return insert(text, [f"{label_name(label)}={quote(value)}" for label, value in matchers.items()])


def insert(text: str, matchers: Sequence[str]) -> str:
    """Add matchers that are written out, such as `a=~"b|c"`, to every vector selector; raises as `enforce` does."""
    if not matchers:
        return text
    parts, done = [], 0
    for mark in _Walk(text, "query", "").marks():
        if mark.kind == "selector":
            parts += [text[done : mark.start], mark.detail.format(",".join(matchers))]
            done = mark.end
    return "".join(parts) + text[done:]


def quoted_name(text: str, at: int) -> str:
    """Say how a name with dots is written, where a text breaks off at one; else nothing.

    >>> quoted_name("sum(gen_ai.tokens)", 10)
    ': a name with dots stands in quotes and braces, {"gen_ai.tokens"}'
    """
    for found in _DOTTED.finditer(text):
        if found.start() < at < found.end():
            return f': a name with dots stands in quotes and braces, {{"{found[0]}"}}'
    return ""


_DOTTED = re.compile(r"[A-Za-z_][\w:]*(?:\.[\w:]+)+", re.ASCII)
_PLACES = "stands neither inside a quoted label value nor in the place of a number"
_FORMS = {"none": "{{{}}}", "empty": "{}", "some": "{},"}  # of a selector's braces, as str.format takes them


class _Walk:
    """One pass over a text: where its selectors, label values, strings and number parameters are."""

    def __init__(self, text: str, where: str, key: str) -> None:
        self._text = text
        self._where = where
        self._key = key
        self._last = self._token = _Token("end", "", 0, 0)
        self._found: list[_Mark] = []
        if len(text) > LENGTH_LIMIT:
            raise ConfigError(where, key, f"the query has {len(text)} characters", f"at most {LENGTH_LIMIT}")
        self._tokens = self._scan()
        self._next()

    def marks(self) -> list[_Mark]:
        """List every place that may be changed, in order."""
        depth, operand_wanted = 0, True
        while self._token.kind != "end" or operand_wanted:
            if operand_wanted and self._is(")") and self._last.text == "(" and depth > 0:  # no arguments: time()
                depth, operand_wanted = depth - 1, False
                self._next()
            elif operand_wanted:
                depth += self._is("(")
                operand_wanted = self._operand()
            else:
                depth -= self._is(")")
                if depth < 0 or (depth == 0 and self._is(",")):
                    raise self._unexpected()
                operand_wanted = self._operator()
        if depth:
            raise self.error(len(self._text), "a parenthesis is not closed")
        return self._found

    def error(self, at: int, problem: str) -> ConfigError:
        """Make a ConfigError that shows the place."""
        near = self._text[max(0, at - 20) : at + 20].replace("\n", " ")
        return ConfigError(self._where, self._key, f"{problem} (at {at}, near {near!r})")

    def _scan(self) -> Iterator[_Token]:
        at = 0
        while at < len(self._text):
            match = _TOKEN.match(self._text, at)
            if match is None or match.lastgroup is None:
                raise self.error(at, f"{self._text[at]!r} is not PromQL here{quoted_name(self._text, at)}")
            if match.lastgroup != "blank":
                yield _Token(match.lastgroup, match[0], at, match.end())
            at = match.end()
        yield _Token("end", "", at, at)

    def _next(self) -> _Token:
        """Step to the next token; return the one that was passed."""
        self._last, self._token = self._token, next(self._tokens, self._token)
        return self._last

    def _is(self, *texts: str) -> bool:
        return self._token.kind in {"name", "symbol"} and self._token.text.lower() in texts

    def _expect(self, *texts: str) -> None:
        if not self._is(*texts):
            raise self._unexpected()
        self._next()

    def _unexpected(self) -> ConfigError:
        if self._token.kind == "parameter":
            return self.error(self._token.start, f"{self._token.text} {_PLACES}")
        shown = "the end" if self._token.kind == "end" else repr(self._token.text)
        return self.error(self._token.start, f"{shown} is not PromQL here")

    def _mark(self, kind: Literal["selector", "value", "string", "number"], token: _Token, detail: str = "") -> None:
        self._found.append(_Mark(kind, token.start, token.end, detail))

    def _operand(self) -> bool:
        """Pass what begins an operand; return whether one is still wanted after it."""
        if self._is("(", "+", "-"):
            self._next()
            return True
        if self._token.kind == "string":
            self._mark("string", self._next())
        elif self._token.kind == "parameter":
            self._mark("number", self._token, self._next().text[1:])
        elif self._token.kind == "number":
            self._next()
        elif self._is("{"):
            self._braces()
        elif self._token.kind == "name":
            return self._named()
        else:
            raise self._unexpected()
        return False

    def _named(self) -> bool:
        """Pass a function, an aggregation, a named number, or a metric with its matchers."""
        name = self._next()
        if self._is("("):
            return True
        if name.text.lower() in _AGGREGATIONS and self._is("by", "without"):
            self._next()
            self._label_list()
            if not self._is("("):
                raise self._unexpected()
            return True
        if self._is("{"):
            self._braces()
        elif name.text.lower() not in {"inf", "nan"}:
            self._found.append(_Mark("selector", name.end, name.end, _FORMS["none"]))
        return False

    def _operator(self) -> bool:
        """Pass what may follow an operand; return whether another operand is wanted after it."""
        token = self._next()
        word = token.text.lower()
        if token.text == "," or token.text in _ARITHMETIC or (token.kind == "name" and word in _SET_OPERATORS):
            if token.text != ",":
                self._matching()
            return True
        if token.kind == "range" and "$" in token.text:
            raise self.error(token.start, f"the parameter in {token.text} {_PLACES}")
        if token.text == "@" or (token.kind == "name" and word == "offset"):
            self._moment()
        elif token.kind == "name" and word in {"by", "without"}:
            self._label_list()
        elif token.kind != "range" and token.text != ")":
            self._token = token
            raise self._unexpected()
        return False

    def _matching(self) -> None:
        """Pass `bool`, `on (...)`, `ignoring (...)`, `group_left (...)` after a binary operator."""
        if self._is("bool"):
            self._next()
        if self._is("on", "ignoring"):
            self._next()
            self._label_list()
            if self._is("group_left", "group_right"):
                self._next()
                if self._is("("):
                    self._label_list()

    def _label_list(self) -> None:
        self._expect("(")
        while not self._is(")"):
            self._label()
            if not self._is(")"):
                self._expect(",")
        self._next()

    def _label(self) -> None:
        """Pass the name of a label; newer versions allow it in quotes."""
        if self._token.kind == "string":
            self._mark("string", self._token)
        elif self._token.kind != "name":
            raise self._unexpected()
        self._next()

    def _braces(self) -> None:
        """Pass `{label="value", ...}`, in newer versions also `{"metric", ...}`."""
        opened = self._next()
        form = _FORMS["empty"] if self._is("}") else _FORMS["some"]
        self._found.append(_Mark("selector", opened.end, opened.end, form))
        while not self._is("}"):
            quoted = self._token.kind == "string"
            self._label()
            if self._is(*_MATCH):
                operator = self._next().text
                if self._token.kind != "string":
                    raise self._unexpected()
                self._mark("value", self._next(), operator)
            elif not quoted:
                raise self._unexpected()
            if not self._is("}"):
                self._expect(",")
        self._next()

    def _moment(self) -> None:
        """Pass what follows `@` or `offset`: a signed number or span; `start()` or `end()`."""
        if self._is("start", "end"):
            self._next()
            self._expect("(")
            self._expect(")")
            return
        if self._is("+", "-"):
            self._next()
        if self._token.kind != "number":
            raise self._unexpected()
        self._next()


def _lookup(walk: _Walk, mark: _Mark, parameters: Mapping[str, str | float], name: str) -> str | float:
    if name not in parameters:
        raise walk.error(mark.start, f"${name} is not a parameter{nearest(name, parameters)}")
    return parameters[name]


def _number(walk: _Walk, mark: _Mark, parameters: Mapping[str, str | float]) -> str:
    name = mark.detail
    value = _lookup(walk, mark, parameters, name)
    if isinstance(value, str):
        problem = f"${name} is the text {show(value)} where a number must stand; declare it with type: number"
        raise walk.error(mark.start, problem)
    if not math.isfinite(value):
        raise walk.error(mark.start, f"${name} is {value}, not a finite number")
    written = _written(value)
    return f"({written})" if written.startswith("-") else written  # -2 ^ 2 would be -4


def _written(value: float) -> str:
    """Write the shortest text that reads as the same float, in Go as in Python."""
    return repr(float(value)).removesuffix(".0")


def _filled(walk: _Walk, mark: _Mark, token: str, parameters: Mapping[str, str | float]) -> str:
    """Fill parameters into a quoted label value; backticks, which know no escapes, become double quotes."""
    names = _names(token)
    if not names:
        return token
    raw, inner = token[0] == "`", token[1:-1]
    delimiter = '"' if raw else token[0]
    pattern = _RAW_PARAMETER if raw else _PARAMETER
    parts, done = [], 0
    for match in pattern.finditer(inner):
        if match[1] is None:
            continue
        before = inner[done : match.start()]
        value = _lookup(walk, mark, parameters, match[1])
        text = value if isinstance(value, str) else _written(value)
        if mark.detail in {"=~", "!~"}:
            if not _is_literal_place(inner[: match.start()], raw=raw):
                raise walk.error(mark.start, f"{match[0]} stands inside [...] or behind a backslash of an expression")
            text = quote_regex(text)
            if inner[match.end() : match.end() + 1] in {"*", "+", "?", "{"}:
                text = f"(?:{text})"
        parts += [_escape(before) if raw else before, _escape(text, delimiter)]
        done = match.end()
    rest = inner[done:]
    return delimiter + "".join(parts) + (_escape(rest) if raw else rest) + delimiter


def _is_literal_place(before: str, *, raw: bool) -> bool:
    """Tell whether a quoted text stands for itself here: neither in `[...]` nor behind a backslash."""
    return _CLOSED.fullmatch(before if raw else re.sub(r"\\(.)", r"\1", before)) is not None


def _names(token: str) -> list[str]:
    pattern = _RAW_PARAMETER if token[0] == "`" else _PARAMETER
    return [match[1] for match in pattern.finditer(token[1:-1]) if match[1] is not None]


def _escape(value: str, delimiter: str = '"') -> str:
    """Escape for the inside of a string; a lone surrogate, which no label can hold, becomes `?`."""
    safe = value.encode("utf-8", "replace").decode()
    return "".join(_escaped(mark, delimiter) for mark in safe)


def _escaped(mark: str, delimiter: str) -> str:
    if mark in {"\\", delimiter}:
        return f"\\{mark}"
    if mark == "\ufffd":  # Go reads this as what is no UTF-8, and refuses the query
        return r"\ufffd"
    return f"\\x{ord(mark):02x}" if mark < " " or mark == "\x7f" else mark
