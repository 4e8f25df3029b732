"""Tokens to a tree, by precedence climbing as expr does it.

Grammar, precedences and oddities follow expr-lang/expr v1.17.8 parser/parser.go and parser/operator/operator.go: `??`
binds tightest and does not mix with other operators, `1 < x < 3` is `1 < x && x < 3`, `let` and `if` stand only where
a whole expression may. A formula that is wrapped by KEDA as `float(...)` may not be a sequence; one with `??` is
wrapped in brackets and may (keda v2.20.2 apis/keda/v1alpha1/scaledobject_webhook.go castToFloatIfNecessary).
"""

from collections.abc import Collection
from typing import TypeVar

from scaler.formula.builtins import BUILTINS, FOREIGN
from scaler.formula.lexer import Token, TokenKind, tokens
from scaler.formula.limits import MAX_LENGTH, MAX_NESTING, MAX_NODES
from scaler.formula.tree import (
    Array,
    AstNode,
    Binary,
    Call,
    Closure,
    Conditional,
    Index,
    Let,
    Literal,
    Name,
    Order,
    Pointer,
    Sequence,
    Slice,
    Unary,
)
from scaler.model.errors import FormulaSyntaxError, nearest

_N = TypeVar("_N", bound=AstNode)

_UNARY = {"not": 50, "!": 50, "-": 90, "+": 90}
_BINARY = {
    "|": 0, "or": 10, "||": 10, "and": 15, "&&": 15,
    "==": 20, "!=": 20, "<": 20, ">": 20, "<=": 20, ">=": 20, "in": 20,
    "matches": 20, "contains": 20, "startsWith": 20, "endsWith": 20,
    "..": 25, "+": 30, "-": 30, "*": 60, "/": 60, "%": 60, "**": 100, "^": 100, "??": 500,
}  # fmt: skip
_RIGHT = frozenset({"**", "^"})
_COMPARISONS = frozenset({"<", ">", "<=", ">="})
_TEXT_OPERATORS = frozenset({"matches", "contains", "startsWith", "endsWith"})
_SPELLING = {"and": "&&", "or": "||", "not": "!", "^": "**"}  # one spelling in the tree
_LITERALS = {"true": True, "false": False, "nil": None}
_BASES = {"0x": 16, "0o": 8, "0b": 2}
_MAX_INT = 2**63 - 1


def parse_tree(text: str, names: Collection[str] | None) -> AstNode:
    """Parse a whole formula.

    Args:
        text: the formula.
        names: the variables; one that is named like a function hides it. None when any name is a variable.

    Returns:
        The tree, untyped.

    Raises:
        FormulaSyntaxError: what expr cannot read, what llm-scaler leaves out of expr, or what is too large.
    """
    if len(text) > MAX_LENGTH:
        raise FormulaSyntaxError(text, MAX_LENGTH, f"the formula has {len(text)} characters, at most {MAX_LENGTH}")
    return _Parser(text, names or ()).whole()


class _Parser:
    """One pass over the tokens of one formula."""

    def __init__(self, text: str, names: Collection[str]) -> None:
        self._text = text
        self._names = names
        self._source = tokens(text)  # cut as needed: a formula that is too large is not read to its end
        self._tokens = [next(self._source)]
        self._place = 0
        self._closures = 0
        self._nesting = 0
        self._nodes = 0

    def whole(self) -> AstNode:
        node = self._sequence() if "??" in self._text else self._expression()
        if self._token.kind is not TokenKind.END:
            raise self._unexpected()
        return node

    # tokens

    @property
    def _token(self) -> Token:
        return self._tokens[self._place]

    @property
    def _end(self) -> int:
        """The end of the last token taken."""
        return self._tokens[self._place - 1].end

    def _at(self, kind: TokenKind, *texts: str) -> bool:
        return self._token.kind is kind and (not texts or self._token.text in texts)

    def _operator(self, *texts: str) -> bool:
        return self._at(TokenKind.OPERATOR, *texts)

    def _bracket(self, text: str) -> bool:
        return self._at(TokenKind.BRACKET, text)

    def _next(self) -> Token:
        """Take a token; the last one is never taken."""
        token = self._token
        self._place += 1
        if self._place == len(self._tokens):
            self._tokens.append(next(self._source))
        return token

    def _take(self, kind: TokenKind, text: str = "") -> Token:
        if self._token.kind is not kind or (text and self._token.text != text):
            raise self._unexpected(f", expected {text!r}" if text else f", expected a {kind.value}")
        return self._next()

    # faults

    def _unexpected(self, hint: str = "") -> FormulaSyntaxError:
        return self._fault(f"unexpected {self._token}{hint}")

    def _foreign(self, what: str, token: Token | None = None) -> FormulaSyntaxError:
        return self._fault(f"expr has {what}, llm-scaler does not", token)

    def _fault(self, problem: str, token: Token | None = None) -> FormulaSyntaxError:
        return FormulaSyntaxError(self._text, (token or self._token).offset, problem)

    def _made(self, node: _N) -> _N:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise FormulaSyntaxError(self._text, node.offset, f"the formula has more than {MAX_NODES} parts")
        return node

    def _binary(self, start: int, operator: str, left: AstNode, right: AstNode) -> AstNode:
        return self._made(Binary(start, self._end, _SPELLING.get(operator, operator), left, right))

    # expressions

    def _sequence(self) -> AstNode:
        start = self._token.offset
        items = [self._expression()]
        while self._operator(";"):
            self._next()
            items.append(self._expression())
        return items[0] if len(items) == 1 else self._made(Sequence(start, self._end, tuple(items)))

    def _expression(self, precedence: int = 0) -> AstNode:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise self._fault(f"the formula nests deeper than {MAX_NESTING} levels")
        if precedence == 0 and self._operator("let"):
            node = self._let()
        elif precedence == 0 and self._operator("if"):
            node = self._if()
        else:
            start = self._token.offset
            node = self._operators(start, precedence)
            if precedence == 0:
                node = self._ternary(start, node)
        self._nesting -= 1
        return node

    def _operators(self, start: int, precedence: int) -> AstNode:
        """Parse an operand and the operators after it that bind at least as tightly as `precedence`."""
        left = self._primary()
        previous = ""
        while self._token.kind is TokenKind.OPERATOR:
            place = self._place
            negated = self._negation()
            token = self._token
            if _BINARY.get(token.text, -1) < precedence:
                self._place = place
                break
            self._next()
            left = self._operation(start, left, token, previous)
            if negated:
                left = self._made(Unary(start, self._end, "!", left))
            previous = token.text
        return left

    def _negation(self) -> bool:
        """Take a `not` that stands before `in`, and tell whether there was one."""
        if not self._operator("not"):
            return False
        self._next()
        if not self._operator("in", *_TEXT_OPERATORS):
            raise self._unexpected(" after not, expected 'in'")
        return True

    def _operation(self, start: int, left: AstNode, token: Token, previous: str) -> AstNode:
        """`left`, the operator `token` that was just taken, and what follows it."""
        operator = token.text
        if operator in _TEXT_OPERATORS:
            raise self._foreign(f"{operator}, for strings", token)
        if operator == "|":
            return self._call(start, self._take(TokenKind.NAME), (left,))
        if previous == "??" and operator != "??":
            raise self._fault(f"{operator} cannot follow ??: put brackets around one of them", token)
        if operator in _COMPARISONS:
            return self._comparison(start, left, operator)
        right = self._expression(_BINARY[operator] + (operator not in _RIGHT))
        return self._binary(start, operator, left, right)

    def _comparison(self, start: int, left: AstNode, operator: str) -> AstNode:
        """Parse `a < b`, and `a < b < c`, where the middle is evaluated twice as expr does."""
        whole: AstNode | None = None
        place = start
        while True:
            middle = self._token.offset
            right = self._expression(_BINARY[operator] + 1)
            compared = self._binary(place, operator, left, right)
            whole = compared if whole is None else self._binary(start, "&&", whole, compared)
            if not self._operator(*_COMPARISONS):
                return whole
            left, place, operator = right, middle, self._next().text

    def _let(self) -> AstNode:
        start = self._next().offset
        name = self._take(TokenKind.NAME).text
        self._take(TokenKind.OPERATOR, "=")
        value = self._expression()
        self._take(TokenKind.OPERATOR, ";")
        body = self._sequence()
        return self._made(Let(start, self._end, name, value, body))

    def _if(self) -> AstNode:
        start = self._next().offset
        test = self._expression()
        then = self._block()
        self._take(TokenKind.OPERATOR, "else")
        otherwise = self._expression() if self._operator("if") else self._block()
        return self._made(Conditional(start, self._end, test, then, otherwise))

    def _block(self) -> AstNode:
        self._take(TokenKind.BRACKET, "{")
        node = self._sequence()
        self._take(TokenKind.BRACKET, "}")
        return node

    def _ternary(self, start: int, test: AstNode) -> AstNode:
        """`x ? y : z`; `x ?: z` is `x ? x : z`."""
        while self._operator("?"):
            self._next()
            then = test if self._operator(":") else self._expression()
            self._take(TokenKind.OPERATOR, ":")
            otherwise = self._expression()
            test = self._made(Conditional(start, self._end, test, then, otherwise))
        return test

    def _primary(self) -> AstNode:
        token = self._token
        start = token.offset
        if token.kind is TokenKind.OPERATOR and token.text in _UNARY:
            self._next()
            operand = self._expression(_UNARY[token.text])
            operator = _SPELLING.get(token.text, token.text)
            return self._postfix(start, self._made(Unary(start, self._end, operator, operand)))
        if self._bracket("("):
            self._next()
            inner = self._sequence()
            self._take(TokenKind.BRACKET, ")")
            return self._postfix(start, inner)
        if self._closures and self._operator("#"):
            self._next()
            name = self._next().text if self._token.kind is TokenKind.NAME else ""
            return self._postfix(start, self._made(Pointer(start, self._end, name)))
        if self._operator("::"):
            self._next()
            return self._postfix(start, self._call(start, self._take(TokenKind.NAME), (), hidden=False))
        return self._secondary()

    def _secondary(self) -> AstNode:
        token = self._token
        start = token.offset
        if token.kind is TokenKind.NUMBER:
            self._next()
            return self._made(Literal(start, token.end, self._number(token)))
        if token.kind is TokenKind.NAME:
            self._next()
            if token.text in _LITERALS:
                return self._made(Literal(start, token.end, _LITERALS[token.text]))
            if self._bracket("("):
                return self._postfix(start, self._call(start, token, ()))
            return self._postfix(start, self._made(Name(start, token.end, token.text)))
        if self._bracket("["):
            return self._postfix(start, self._array())
        raise self._strange()

    def _strange(self) -> FormulaSyntaxError:
        """Make the error for a token that starts nothing."""
        if self._bracket("{"):
            return self._foreign("maps")
        if self._closures and self._operator("."):
            return self._foreign("members")
        if self._token.kind is TokenKind.ORDER:
            return self._foreign("strings")
        return self._unexpected()

    def _number(self, token: Token) -> int | float:
        digits = token.text.replace("_", "")
        base = _BASES.get(digits[:2].lower(), 10)
        decimal = base != 16 and any(mark in digits for mark in ".eE")
        try:
            value = float(digits) if decimal else int(digits, base)
        except ValueError:
            raise self._fault(f"bad number {token.text!r}", token) from None
        if value > _MAX_INT and (isinstance(value, int) or value == float("inf")):
            raise self._fault(f"the number {token.text} is too large", token)
        return value

    def _array(self) -> AstNode:
        start = self._next().offset
        items = self._list("]")
        return self._made(Array(start, self._end, items))

    def _list(self, closing: str) -> tuple[AstNode, ...]:
        """Parse expressions between commas up to the closing bracket, one comma before it allowed."""
        items: list[AstNode] = []
        while not self._bracket(closing):
            if items:
                self._take(TokenKind.OPERATOR, ",")
                if self._bracket(closing):
                    break
            items.append(self._order() if self._token.kind is TokenKind.ORDER else self._expression())
        self._take(TokenKind.BRACKET, closing)
        return tuple(items)

    def _order(self) -> AstNode:
        token = self._next()
        return self._made(Order(token.offset, token.end, token.text))

    def _postfix(self, start: int, node: AstNode) -> AstNode:
        while True:
            if self._operator(".", "?."):
                raise self._foreign("members")
            if not self._bracket("["):
                return node
            self._next()
            node = self._subscript(start, node)

    def _subscript(self, start: int, node: AstNode) -> AstNode:
        """Parse what follows `node[`."""
        first = None
        if not self._operator(":"):
            first = self._expression()
            if self._bracket("]"):
                self._next()
                return self._made(Index(start, self._end, node, first))
        self._take(TokenKind.OPERATOR, ":")
        stop = None if self._bracket("]") else self._expression()
        self._take(TokenKind.BRACKET, "]")
        return self._made(Slice(start, self._end, node, first, stop))

    # calls

    def _call(self, start: int, name: Token, piped: tuple[AstNode, ...], *, hidden: bool = True) -> AstNode:
        """Parse the call of `name`, whose bracket is the next token; a piped value is its first argument."""
        if hidden and name.text in self._names:
            raise self._fault(f"{name.text} is a variable here, not a function", name)
        if name.text in FOREIGN:
            raise self._foreign(name.text, name)
        builtin = BUILTINS.get(name.text)
        if builtin is None:
            raise self._fault(f"unknown function {name.text}{nearest(name.text, BUILTINS)}", name)
        self._take(TokenKind.BRACKET, "(")
        arguments = self._closure_arguments(piped, builtin.shape) if builtin.shape else piped + self._list(")")
        return self._made(Call(start, self._end, name.text, arguments))

    def _closure_arguments(self, piped: tuple[AstNode, ...], shape: str) -> tuple[AstNode, ...]:
        """Parse arguments by shape: `x` an expression, `c` a closure; a capital one may be left out."""
        arguments = list(piped)
        for place, part in enumerate(shape[len(piped) :]):
            if part.isupper() and self._bracket(")"):
                break
            if place:
                self._take(TokenKind.OPERATOR, ",")
            if part in "cC":
                arguments.append(self._closure())
            else:
                arguments.append(self._order() if self._token.kind is TokenKind.ORDER else self._expression())
        if self._operator(","):
            self._next()
        self._take(TokenKind.BRACKET, ")")
        return tuple(arguments)

    def _closure(self) -> AstNode:
        start = self._token.offset
        self._closures += 1
        body = self._block() if self._bracket("{") else self._expression()
        self._closures -= 1
        return self._made(Closure(start, self._end, body))
