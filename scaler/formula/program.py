"""A formula that was read and checked once, to be evaluated often."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Literal as OneOf

from scaler.formula.check import check
from scaler.formula.evaluator import Evaluator, Tracer
from scaler.formula.lower import Lowered, TracedNode, lower
from scaler.formula.parser import parse_tree
from scaler.formula.tree import AstNode, Binary, Kind, Literal, Name, Pointer, Type, Unary
from scaler.formula.values import Value, boolean, number, show
from scaler.model.errors import EvaluationError, FormulaSyntaxError

ResultKind = OneOf["number", "boolean"]

_MAX_QUOTE = 80  # characters of a sub-expression in an error
_MAX_SHOWN = 8  # values in an error


@dataclass(frozen=True, slots=True)
class TraceStep:
    """The value of one part of a formula.

    A part inside a closure is evaluated once for each element: its value is the tuple of what it came to each time.
    """

    offset: int  # characters; the part is text[offset:end]
    end: int
    depth: int  # 0 for the whole formula
    text: str
    value: Value
    error: str  # why there is no value; empty when there is one


@dataclass(frozen=True, slots=True)
class Program:
    """A checked formula. Made by `parse`; evaluated by any number of threads at once."""

    text: str
    kind: ResultKind
    names: frozenset[str]  # its variables
    nilable: frozenset[str]  # those that may be nil: they stand on the left of a `??`
    _lowered: Lowered = field(repr=False, compare=False)
    _bare: tuple[str, float | None] | None = field(default=None, repr=False, compare=False)  # see `_as_bare`

    @property
    def cost(self) -> int:
        """The steps that an evaluation takes at most."""
        return self._lowered.cost

    def evaluate(self, values: Mapping[str, float | None]) -> float | bool | None:
        """Evaluate the formula.

        Args:
            values: a number for each variable, None for nil; a variable that is missing is nil.

        Returns:
            A float, or a bool for kind "boolean"; None when a formula with `??` came to nil.

        Raises:
            EvaluationError: division by zero, overflow, nil where a number is needed, ... where it is reached.
        """
        bare = self.read(values)
        if bare is not None:
            return bare
        try:
            return self._accept(Evaluator(self._inputs(values)).run(self._lowered.code))
        except EvaluationError as error:
            raise EvaluationError(self._explain(str(error), values)) from None

    def read(self, values: Mapping[str, float | None]) -> float | None:
        """Read the value of a formula that is one name; None where it is more, or comes to no finite number."""
        if self._bare is None:
            return None
        name, stand_in = self._bare
        measured = values.get(name)
        bare = stand_in if measured is None else float(measured)
        return bare if bare is not None and isfinite(bare) else None

    def trace(self, values: Mapping[str, float | None]) -> tuple[float | bool | None, tuple[TraceStep, ...]]:
        """Evaluate the formula and tell every step; never raises.

        Returns:
            The result, None where there is none, and a step for each part that was reached, literals left out: the
            whole first, then what it is made of. The part that failed carries the error, those around it say so.
        """
        result, error, tracer = self._traced(values)
        return result, tuple(self._steps(tracer, error))

    def why_false(self, values: Mapping[str, float | None]) -> str:
        """Say what makes a condition false: of `x && y` the first that is, with the values of its names."""
        _result, _error, tracer = self._traced(values)
        if not self._lowered.parts:
            return f"`{self.text}` is false"
        place = self._false(tracer, 0)
        known = self._known(tracer, place)
        return f"{self._quote(self._lowered.parts[place].node)} is false" + (f" with {known}" if known else "")

    def _false(self, tracer: Tracer, place: int) -> int:
        """Find the innermost part of a chain of `&&` that is false."""
        parts = self._lowered.parts
        node = parts[place].node
        if isinstance(node, Binary) and node.operator == "&&":
            for inner in range(place + 1, len(parts)):
                half = parts[inner].node is node.left or parts[inner].node is node.right
                if half and tracer.reached.get(inner) == [False]:
                    return self._false(tracer, inner)
        return place

    def _inputs(self, values: Mapping[str, float | None]) -> dict[str, Value]:
        return {name: None if (value := values.get(name)) is None else float(value) for name in self.names}

    def _accept(self, value: Value) -> float | bool | None:
        """Return the result, if KEDA would take it: `float(...)` refuses nil, unless the formula has a `??`."""
        if value is None and "??" in self.text:
            return None
        return float(number(value, "the result")) if self.kind == "number" else boolean(value)

    def _traced(self, values: Mapping[str, float | None]) -> tuple[float | bool | None, str, Tracer]:
        tracer = Tracer(self._inputs(values), self._lowered.origins)
        try:
            return self._accept(tracer.run(self._lowered.code)), "", tracer
        except EvaluationError as error:
            return None, str(error), tracer

    def _steps(self, tracer: Tracer, error: str) -> Iterator[TraceStep]:
        parts = self._lowered.parts
        errors: dict[int, str] = {}
        if error:
            failed = tracer.failed or 0
            errors = dict.fromkeys(
                _around(parts, failed), f"has no value, since {self._quote(parts[failed].node)} has none"
            )
            errors[failed] = error
        for place in sorted(tracer.reached):
            part, seen = parts[place], tuple(tracer.reached[place])
            value = seen if part.repeated else seen[0] if seen else None
            source = self._source(part.node)
            yield TraceStep(part.node.offset, part.node.end, part.depth, source, value, errors.get(place, ""))

    def _explain(self, problem: str, values: Mapping[str, float | None]) -> str:
        """Say the problem with its place: the part that failed, and what the names in it stood for."""
        _result, _error, tracer = self._traced(values)
        failed = tracer.failed or 0
        known = self._known(tracer, failed)
        return f"{problem} in {self._quote(self._lowered.parts[failed].node)}" + (f" with {known}" if known else "")

    def _known(self, tracer: Tracer, place: int) -> str:
        """Say what the names in one part stood for."""
        parts, shown = self._lowered.parts, dict[str, str]()
        for inner in range(place + 1, len(parts)):
            part, seen = parts[inner], tracer.reached.get(inner)
            if part.depth <= parts[place].depth:
                break
            if isinstance(part.node, Name | Pointer) and seen:
                shown[self._source(part.node)] = show(seen[-1])
        return ", ".join(f"{name} = {value}" for name, value in list(shown.items())[:_MAX_SHOWN])

    def _source(self, node: AstNode) -> str:
        return self.text[node.offset : node.end]

    def _quote(self, node: AstNode) -> str:
        source = " ".join(self._source(node).split())
        short = source if len(source) <= _MAX_QUOTE else source[: _MAX_QUOTE - 3] + "..."
        return f"`{short}`"


def parse(
    text: str, names: Collection[str] | None = None, *, kind: ResultKind = "number", shared: Collection[str] = ()
) -> Program:
    """Read and check a formula in expr-lang's language, as KEDA 2.20 evaluates it.

    Args:
        text: the formula.
        names: its variables, all of them numbers; None when any name is one.
        kind: what it must give: "number" as KEDA's `float(...)` takes it, or "boolean", for activation.
        shared: of the names, those that do not hide the function of the same name: `max` and `max(a, b)`.

    Raises:
        FormulaSyntaxError: the fault and its place; for a wrong name also the nearest right one.
    """
    hiding = None if names is None else set(names) - set(shared)
    checked = check(text, parse_tree(text, hiding), names)
    _require(text, checked.tree.type, kind)
    bare = _as_bare(checked.tree) if kind == "number" else None
    return Program(text, kind, checked.names, checked.nilable, lower(checked.tree), bare)


def _as_bare(tree: AstNode) -> tuple[str, float | None] | None:
    """Return the name that a formula is, with the number for nil: `x` or `x ?? 0`; None: it is more than a name.

    Such a formula needs no walk over its tree, as long as it comes to a finite number.
    """
    if isinstance(tree, Name):
        return tree.name, None
    if not (isinstance(tree, Binary) and tree.operator == "??" and isinstance(tree.left, Name)):
        return None
    negative = isinstance(tree.right, Unary) and tree.right.operator == "-"
    literal = tree.right.operand if isinstance(tree.right, Unary) and negative else tree.right
    if not isinstance(literal, Literal) or type(literal.value) not in {int, float}:
        return None
    stand_in = float(literal.value or 0)
    return tree.left.name, -stand_in if negative else stand_in


def _require(text: str, type_: Type, kind: ResultKind) -> None:
    if not (type_.unknown or (type_.number if kind == "number" else type_.kind is Kind.BOOL)):
        raise FormulaSyntaxError(text, 0, f"the formula gives {type_}, it must give a {kind}")


def _around(parts: Sequence[TracedNode], inner: int) -> Iterator[int]:
    """Yield the numbers of the parts that hold part `inner`: each stands before it and is less deep."""
    depth = parts[inner].depth
    for place in range(inner - 1, -1, -1):
        if parts[place].depth < depth:
            depth = parts[place].depth
            yield place
