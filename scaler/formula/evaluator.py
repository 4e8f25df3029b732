"""The evaluator: simpleeval over trees that `scaler.formula.lower` built, with nothing in reach but our own functions.

simpleeval's walk is kept; its tables are replaced. Only the kinds of node that a formula can become are known, so there
are no attributes, subscripts, strings or assignments to reach for, and the operators and functions are those of
`values` and `builtins`. An evaluator serves one evaluation: threads share programs, never evaluators.

`MAX_WORK` bounds an evaluation: closures pay for the nodes of their body each time they run, and every array is paid
for by its elements, nested ones too, when it is made and whenever it is used.
"""

import ast
from collections.abc import Callable, Mapping
from typing import Any

from simpleeval import SimpleEval

from scaler.formula import arrays, values
from scaler.formula.builtins import BUILTINS
from scaler.formula.limits import MAX_ARRAY_NESTING, MAX_WORK
from scaler.formula.values import Value
from scaler.model.errors import EvaluationError


class ClosureExpr(ast.expr):
    """A closure in a lowered tree; the names under which it sees its arguments, and how many nodes its body has."""

    def __init__(self, item: str, index: str, accumulator: str, body: ast.expr, cost: int) -> None:
        super().__init__()
        self.item = item
        self.index = index
        self.accumulator = accumulator
        self.body = body
        self.cost = cost


class CoalesceExpr(ast.expr):
    """`left ?? right` in a lowered tree."""

    _fields = ("left", "right")
    left: ast.expr
    right: ast.expr

    def __init__(self, *parts: ast.expr, **named: Any) -> None:
        """Take its fields, and as every node none of them where it is copied or comes from another process."""
        super().__init__(*parts, **named)


OPERATORS: dict[type[ast.AST], Callable[..., Value]] = {
    ast.Add: values.add,
    ast.Sub: values.subtract,
    ast.Mult: values.multiply,
    ast.Div: values.divide,
    ast.Mod: values.modulo,
    ast.Pow: values.power,
    ast.Lt: values.less,
    ast.LtE: values.less_or_equal,
    ast.Gt: values.more,
    ast.GtE: values.more_or_equal,
    ast.USub: values.negate,
    ast.UAdd: values.keep,
    ast.Not: values.invert,
}


def _last(*results: Value) -> Value:
    return results[-1]


FUNCTIONS: dict[str, Callable[..., Value]] = {
    **{name: builtin.run for name, builtin in BUILTINS.items()},
    "==": values.equal,
    "!=": values.unequal,
    " in ": values.contains,
    "..": arrays.span,
    "[,]": arrays.make,
    "[]": arrays.index,
    "[:]": arrays.cut,
    ";": _last,
}


class Evaluator(SimpleEval):  # type: ignore[misc]  # simpleeval has no types
    """One evaluation of one program."""

    def __init__(self, names: Mapping[str, Value]) -> None:
        # Not SimpleEval's own: that makes a table of handlers we do not want, inside `warnings.catch_warnings`, which
        # is neither fast nor safe with threads.
        self.operators = OPERATORS
        self.functions = FUNCTIONS
        self.names = dict(names)
        self.work = MAX_WORK
        self.nodes = {
            ast.Constant: self._eval_constant,
            ast.Name: self._eval_name,
            ast.UnaryOp: self._eval_unaryop,
            ast.BinOp: self._eval_binop,
            ast.BoolOp: self._eval_boolop,
            ast.Compare: self._eval_compare,
            ast.IfExp: self._eval_ifexp,
            ast.NamedExpr: self._eval_named,
            ast.Call: self._eval_call,
            ClosureExpr: self._eval_closure,
            CoalesceExpr: self._eval_coalesce,
        }

    def run(self, tree: ast.expr) -> Value:
        """Evaluate a lowered tree.

        Raises:
            EvaluationError: what went wrong, without saying where.
        """
        try:
            result: Value = self.eval("", previously_parsed=tree)
        finally:
            self.nodes = {}  # the handlers refer back to this object
        return result

    def _eval(self, node: ast.AST) -> Value:
        """Evaluate one node; its result needs no check, since every value was made by our own functions."""
        result: Value = self.nodes[type(node)](node)
        return result

    @staticmethod
    def _eval_constant(node: ast.Constant) -> Any:
        return node.value

    def _eval_name(self, node: ast.Name) -> Value:
        value = self.names[node.id]
        return values.finite(value) if type(value) is float else value

    def _eval_boolop(self, node: ast.BoolOp) -> Value:
        """Evaluate `a && b` or `a || b`: expr has no truthiness, so the left side must be a boolean."""
        left, right = node.values
        decides = isinstance(node.op, ast.Or)
        return decides if values.boolean(self._eval(left)) is decides else self._eval(right)

    def _eval_ifexp(self, node: ast.IfExp) -> Value:
        return self._eval(node.body if values.boolean(self._eval(node.test)) else node.orelse)

    def _eval_coalesce(self, node: CoalesceExpr) -> Value:
        left = self._eval(node.left)
        return self._eval(node.right) if left is None else left

    def _eval_named(self, node: ast.NamedExpr) -> Value:
        value: Value = self._eval(node.value)
        self.names[node.target.id] = value
        return value

    def _eval_call(self, node: ast.Call) -> Value:
        arguments = [self._eval(argument) for argument in node.args]
        for argument in arguments:
            if type(argument) is tuple:
                self._pay_for(argument)
        result = self.functions[node.func.id](*arguments)  # type: ignore[attr-defined]  # lowered calls have names
        if type(result) is tuple:
            self._pay_for(result)
        return result

    def _eval_closure(self, node: ClosureExpr) -> Callable[[Value, int, Value], Value]:
        names = self.names

        def closure(item: Value, index: int, accumulator: Value) -> Value:
            self._pay(node.cost)
            names[node.item], names[node.index], names[node.accumulator] = item, index, accumulator
            result: Value = self._eval(node.body)
            return result

        return closure

    def _pay(self, work: int) -> None:
        self.work -= work
        if self.work < 0:
            raise EvaluationError(f"too much work, more than {MAX_WORK} steps")

    def _pay_for(self, array: tuple[Value, ...], nesting: int = 1) -> None:
        if nesting > MAX_ARRAY_NESTING:
            raise EvaluationError(f"arrays nested deeper than {MAX_ARRAY_NESTING} levels")
        self._pay(len(array))
        for item in array:
            if type(item) is tuple:
                self._pay_for(item, nesting + 1)


class Tracer(Evaluator):
    """An evaluation that remembers what every node of the formula came to."""

    def __init__(self, names: Mapping[str, Value], origins: Mapping[ast.AST, int]) -> None:
        super().__init__(names)
        self._origins = origins
        self.reached: dict[int, list[Value]] = {}  # number of the node -> values, one for each time it was evaluated
        self.failed: int | None = None  # the innermost node that failed

    def _eval(self, node: ast.AST) -> Value:
        number = self._origins.get(node)
        if number is None:
            return super()._eval(node)
        seen = self.reached.setdefault(number, [])
        try:
            result = super()._eval(node)
        except EvaluationError:
            if self.failed is None:
                self.failed = number
            raise
        seen.append(result)
        return result
