"""The changes that may be made in a module, and the module written so that each can be switched on while it runs."""

import ast
import copy
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = (
    "mutant_here"  # the switch: asked at each place with its number, it tells whether that mutant is the one that runs
)
OTHER = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Add,
}  # fmt: skip
CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}
SWITCH = f"""
import os

active = int(os.environ.get("MUTANT", "-1"))
reached = set()


def {HERE}(number):
    reached.add(number)
    return number == active
"""


@dataclass(frozen=True, slots=True)
class Place:
    """One change in one module."""

    number: int  # among all changes of a run
    module: str  # below scaler/
    line: int
    text: str  # the line, and what becomes of what: by it the change is found among those that are explained


@dataclass(frozen=True, slots=True)
class _Change:
    node: ast.expr
    make: Callable[[ast.expr], ast.expr]  # of a copy of the node, the node that is there instead
    tells: str  # what becomes of what


def changes(tree: ast.AST) -> Iterator[_Change]:
    """Every change of a module: another comparison, `and` for `or`, plus for minus, a number one larger and so on."""
    left_out = set(_left_out(tree))
    around = {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}
    for node in ast.walk(tree):
        if node in left_out:
            continue
        if isinstance(node, ast.Compare):
            yield from (_Change(node, _compared(index), _symbols(op)) for index, op in enumerate(node.ops))
        elif isinstance(node, ast.BoolOp | ast.BinOp) and type(node.op) in OTHER:
            yield _Change(node, _operated, _symbols(node.op))
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield _Change(node, _without_not, "not -> ")
        elif isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
            written = _shortened(around[node])
            yield _Change(node, _counted, f"{node.value} -> {_next(node.value)} in {written}")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
            yield _Change(node, _called, f"{node.func.id} -> {CALLS[node.func.id]}")


def _left_out(tree: ast.AST) -> Iterator[ast.AST]:
    """What a mutant of says nothing: types, options of decorators and of zip(), and the values of `case`, which are no expressions."""
    for node in ast.walk(tree):
        roots = [
            getattr(node, "annotation", None),
            getattr(node, "returns", None),
            *getattr(node, "decorator_list", ()),
        ]
        if isinstance(node, ast.keyword) and node.arg == "strict":
            roots.append(node.value)
        if isinstance(node, ast.pattern):
            roots.append(node)
        yield from (inner for root in roots if root for inner in ast.walk(root))


def _compared(index: int) -> Callable[[ast.expr], ast.expr]:
    def make(node: ast.expr) -> ast.expr:
        node.ops[index] = OTHER[type(node.ops[index])]()  # type: ignore[attr-defined]
        return node

    return make


def _operated(node: ast.expr) -> ast.expr:
    node.op = OTHER[type(node.op)]()  # type: ignore[attr-defined]
    return node


def _without_not(node: ast.expr) -> ast.expr:
    """Twice is not at all, and is a bool as before."""
    node.operand = ast.UnaryOp(ast.Not(), node.operand)  # type: ignore[attr-defined]
    return node


def _counted(node: ast.expr) -> ast.expr:
    node.value = _next(node.value)  # type: ignore[attr-defined]
    return node


def _next(value: float) -> float:
    return not value if isinstance(value, bool) else value + 1


def _shortened(node: ast.AST) -> str:
    """What stands around a number, so far as it tells which number is meant."""
    written = " ".join(ast.unparse(node).split())
    return written if len(written) <= 40 else f"{written[:37]}..."


def _called(node: ast.expr) -> ast.expr:
    node.func.id = CALLS[node.func.id]  # type: ignore[attr-defined]
    return node


def _symbols(op: ast.AST) -> str:
    def written(operator: ast.AST) -> str:
        a, b = ast.Name("a"), ast.Name("b")
        if isinstance(operator, ast.boolop):
            return ast.unparse(ast.BoolOp(operator, [a, b]))[2:-2]
        if isinstance(operator, ast.cmpop):
            return ast.unparse(ast.Compare(a, [operator], [b]))[2:-2]
        return ast.unparse(ast.BinOp(a, operator, b))[2:-2]  # type: ignore[arg-type]

    return f"{written(op)} -> {written(OTHER[type(op)]())}"


def texts(source: str, tree: ast.AST) -> list[str]:
    """Every change of a module as its line and what becomes of what; of equal ones the second and the next are numbered."""
    lines, seen, told = source.splitlines(), Counter[str](), []
    for change in changes(tree):
        text = f"{lines[change.node.lineno - 1].strip()}  [{change.tells}]"
        seen[text] += 1
        told.append(text if seen[text] == 1 else f"{text} #{seen[text]}")
    return told


def sample(file: Path, module: str, count: int, chance: random.Random, first: int) -> tuple[list[Place], str]:
    """Draw changes of a module, and write the module with a switch at each of them."""
    source = file.read_text(encoding="utf-8")
    tree = ast.parse(source)
    told, every = texts(source, tree), list(changes(tree))
    drawn = sorted(chance.sample(range(len(every)), min(count, len(every))))
    places = [Place(first + at, module, every[one].node.lineno, told[one]) for at, one in enumerate(drawn)]
    switched: dict[ast.AST, list[tuple[int, ast.expr]]] = {}
    for place, one in zip(places, drawn, strict=True):
        change = every[one]
        mutant = change.make(copy.deepcopy(change.node))
        switched.setdefault(change.node, []).append((place.number, mutant))
    body = _Switched(switched).visit(tree).body
    at = next((at for at, node in enumerate(body) if not _comes_first(node)), len(body))
    body.insert(at, ast.parse(f"from mutant_switch import {HERE}").body[0])
    return places, ast.unparse(ast.fix_missing_locations(tree))


def _comes_first(node: ast.stmt) -> bool:
    of_future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
    return of_future or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


class _Switched(ast.NodeTransformer):
    """Puts `mutant if mutant_here(number) else original` where a change was drawn."""

    def __init__(self, switched: Mapping[ast.AST, list[tuple[int, ast.expr]]]) -> None:
        self._switched = switched

    def visit(self, node: ast.AST) -> ast.AST:
        mutants = self._switched.get(node, ())
        made = self.generic_visit(node)
        for number, mutant in mutants:
            asked = ast.Call(ast.Name(HERE), [ast.Constant(number)], [])
            made = ast.IfExp(asked, mutant, made)  # type: ignore[arg-type]
        return made
