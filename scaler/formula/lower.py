"""The checked tree as a Python `ast`, made of nothing but what the evaluator knows.

    a + b, a < b, -a      BinOp, Compare, UnaryOp, with our own operators
    a && b, a ? b : c     BoolOp, IfExp
    let x = a; b          ;(x := a, b)
    a ?? b                CoalesceExpr
    count(a, {# > 1})     count(a, ClosureExpr)
    [a, b], a[b], a..b    calls

Names of variables stay as they are. What closures see is named with characters that no variable has. One node becomes
one: a tree of MAX_HEIGHT must not be too high for Python's stack.
"""

import ast
from dataclasses import dataclass

from scaler.formula.evaluator import ClosureExpr, CoalesceExpr
from scaler.formula.limits import MAX_WORK
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

_ARITHMETIC: dict[str, type[ast.operator]] = {
    "+": ast.Add,
    "-": ast.Sub,
    "*": ast.Mult,
    "/": ast.Div,
    "%": ast.Mod,
    "**": ast.Pow,
}
_COMPARISON: dict[str, type[ast.cmpop]] = {"<": ast.Lt, "<=": ast.LtE, ">": ast.Gt, ">=": ast.GtE}
_LOGIC: dict[str, type[ast.boolop]] = {"&&": ast.And, "||": ast.Or}
_UNARY: dict[str, type[ast.unaryop]] = {"-": ast.USub, "+": ast.UAdd, "!": ast.Not}
_CALLED = {"==": "==", "!=": "!=", "in": " in ", "..": ".."}
_END = 2**62  # beyond any array
_MAKES_ARRAYS = frozenset({"..", "[,]"})  # out of numbers, which is all that a formula is given


@dataclass(frozen=True, slots=True)
class TracedNode:
    """A node of the formula, as traces tell of it."""

    node: AstNode
    depth: int  # 0 for the whole
    repeated: bool  # in a closure: evaluated once for each element


@dataclass(frozen=True, slots=True)
class Lowered:
    """A formula that is ready to run."""

    code: ast.expr
    parts: tuple[TracedNode, ...]  # all nodes but literals, each before what it is made of
    origins: dict[ast.AST, int]  # lowered node -> its part
    cost: int  # steps that an evaluation takes at most: nodes visited, and elements handled


def lower(tree: AstNode) -> Lowered:
    """Turn a checked tree into a Python `ast` and remember which part came from where."""
    lowering = _Lowering()
    code = lowering.visit(tree)
    return Lowered(code, tuple(lowering.parts), lowering.origins, _cost(code))


def _cost(code: ast.expr) -> int:
    """Bound the steps of an evaluation. Only what makes an array or runs a closure takes more than one a node."""
    # Newer Pythons say of each name that it is read (ast.Load), which is no step.
    nodes = [node for node in ast.walk(code) if not isinstance(node, ast.expr_context)]
    calls = {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    greedy = calls & _MAKES_ARRAYS or any(isinstance(node, ClosureExpr) for node in nodes)
    return len(nodes) + (MAX_WORK if greedy else 0)


class _Lowering:
    """One walk over one tree."""

    def __init__(self) -> None:
        self.parts: list[TracedNode] = []
        self.origins: dict[ast.AST, int] = {}
        self._depth = 0
        self._closures = 0

    def visit(self, node: AstNode) -> ast.expr:
        if isinstance(node, Literal | Order):
            return ast.Constant(node.value)
        if isinstance(node, Closure):
            return self._closure(node)
        number = len(self.parts)
        self.parts.append(TracedNode(node, self._depth, self._closures > 0))
        self._depth += 1
        lowered = self._lower(node)
        self._depth -= 1
        self.origins[lowered] = number
        return lowered

    def _lower(self, node: AstNode) -> ast.expr:
        match node:
            case Name(name=name):
                return _name(name)
            case Pointer(name=name):
                return _name(self._pointer(name))
            case Unary(operator=operator, operand=operand):
                return ast.UnaryOp(_UNARY[operator](), self.visit(operand))
            case Binary():
                return self._binary(node)
            case Conditional(test=test, then=then, otherwise=otherwise):
                return ast.IfExp(self.visit(test), self.visit(then), self.visit(otherwise))
            case Let(name=name, value=value, body=body):
                return _call(";", ast.NamedExpr(_name(name), self.visit(value)), self.visit(body))
            case Sequence(items=items):
                return _call(";", *map(self.visit, items))
            case Array(items=items):
                return _call("[,]", *map(self.visit, items))
            case Index(array=array, index=index):
                return _call("[]", self.visit(array), self.visit(index))
            case Slice():
                return self._slice(node)
            case Call(name=name, arguments=arguments):
                return _call(name, *map(self.visit, arguments))
        raise AssertionError(node)

    def _binary(self, node: Binary) -> ast.expr:
        left, right = self.visit(node.left), self.visit(node.right)
        if node.operator in _LOGIC:
            return ast.BoolOp(_LOGIC[node.operator](), [left, right])
        if node.operator == "??":
            return CoalesceExpr(left, right)
        if node.operator in _ARITHMETIC:
            return ast.BinOp(left, _ARITHMETIC[node.operator](), right)
        if node.operator in _COMPARISON:
            return ast.Compare(left, [_COMPARISON[node.operator]()], [right])
        return _call(_CALLED[node.operator], left, right)

    def _slice(self, node: Slice) -> ast.expr:
        array = self.visit(node.array)
        start = ast.Constant(0) if node.start is None else self.visit(node.start)
        stop = ast.Constant(_END) if node.stop is None else self.visit(node.stop)
        return _call("[:]", array, start, stop)

    def _closure(self, node: Closure) -> ast.expr:
        self._closures += 1
        body = self.visit(node.body)
        names = (self._pointer(""), self._pointer("index"), self._pointer("acc"))
        self._closures -= 1
        return ClosureExpr(*names, body, cost=sum(isinstance(part, ast.expr) for part in ast.walk(body)))

    def _pointer(self, name: str) -> str:
        return f"#{self._closures}{name}"


def _name(name: str) -> ast.Name:
    return ast.Name(name)


def _call(function: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(_name(function), list(arguments), [])
