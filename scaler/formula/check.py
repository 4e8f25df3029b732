"""The types of a tree, its names, and what expr refuses before it runs.

The rules are those of expr-lang/expr v1.17.8 checker/checker.go: variables are floats, an integer stays an integer
until it meets a float, `%`, ranges and indexes want integers, and what cannot be known before the evaluation passes.
"""

import dataclasses
from collections.abc import Callable, Collection
from dataclasses import dataclass

from scaler.formula.builtins import BUILTINS, FOREIGN
from scaler.formula.limits import MAX_HEIGHT
from scaler.formula.signatures import INTEGER, SignatureMismatch
from scaler.formula.tree import (
    ANY,
    ANYTHINGS,
    BOOL,
    FLOAT,
    INT,
    NIL,
    ORDER,
    UNKNOWN,
    Array,
    AstNode,
    Binary,
    Call,
    Closure,
    Conditional,
    Index,
    Kind,
    Let,
    Literal,
    Name,
    Order,
    Pointer,
    Sequence,
    Slice,
    Type,
    Unary,
    array_of,
)
from scaler.model.errors import FormulaSyntaxError, nearest


@dataclass(frozen=True, slots=True)
class Checked:
    """A tree whose nodes carry their types, and the variables in it."""

    tree: AstNode
    names: frozenset[str]  # free variables
    nilable: frozenset[str]  # those on the left of a `??`


def check(text: str, tree: AstNode, names: Collection[str] | None) -> Checked:
    """Find the type of every node.

    Args:
        text: the formula, for errors.
        tree: as parsed.
        names: the variables, all of them floats; None when any name is one.

    Raises:
        FormulaSyntaxError: a name or type that expr would refuse when it compiles.
    """
    checker = _Checker(text, names)
    typed = checker.visit(tree)
    checker.no_shadows()
    return Checked(typed, frozenset(checker.free), frozenset(checker.nilable))


class _Checker:
    """One walk over one tree."""

    def __init__(self, text: str, names: Collection[str] | None) -> None:
        self._text = text
        self._names = names
        self._height = 0
        self._lets: dict[str, Type] = {}  # in scope
        self._bound: dict[str, int] = {}  # all that were ever bound, and where
        self._scopes: list[dict[str, Type]] = []  # what `#`, `#index` and `#acc` are, innermost last
        self.free: set[str] = set()
        self.nilable: set[str] = set()

    def visit(self, node: AstNode) -> AstNode:
        self._height += 1
        if self._height > MAX_HEIGHT:
            raise self._fault(node, f"the formula is deeper than {MAX_HEIGHT} levels")
        typed: AstNode = _RULES[type(node)](self, node)
        self._height -= 1
        return typed

    def no_shadows(self) -> None:
        """Refuse `let x` where x is a variable too; with no list of names that is known only at the end."""
        for name in sorted(self.free & set(self._bound)):
            raise FormulaSyntaxError(self._text, self._bound[name], f"cannot declare {name} again, it is a variable")

    def _fault(self, node: AstNode, problem: str) -> FormulaSyntaxError:
        return FormulaSyntaxError(self._text, node.offset, problem)

    def _mismatch(self, node: AstNode, operator: str, *types: Type) -> FormulaSyntaxError:
        hint = ": int(...) makes an integer" if operator in _WHOLE else ""
        return self._fault(node, f"{operator} does not go with {' and '.join(map(str, types))}{hint}")

    # leaves

    def literal(self, node: Literal) -> AstNode:
        types = {int: INT, float: FLOAT, bool: BOOL}
        return dataclasses.replace(node, type=types.get(type(node.value), NIL))

    def order(self, node: Order) -> AstNode:
        return dataclasses.replace(node, type=ORDER)

    def name(self, node: Name) -> AstNode:
        if node.name in self._lets:
            return dataclasses.replace(node, type=self._lets[node.name])
        if node.name == "$env":
            raise self._fault(node, "expr has $env, llm-scaler does not")
        if self._names is not None and node.name not in self._names:
            if node.name in BUILTINS:
                raise self._fault(node, f"{node.name} is a function, not a variable")
            known = {*self._names, *self._lets}
            raise self._fault(node, f"unknown name {node.name}{nearest(node.name, known)}")
        self.free.add(node.name)
        return dataclasses.replace(node, type=FLOAT)

    def pointer(self, node: Pointer) -> AstNode:
        scope = self._scopes[-1]
        if node.name not in scope:
            names = ", ".join(f"#{name}" for name in scope)
            known = f"allowed: {names}" if scope else "name it with let before reduce"
            raise self._fault(node, f"#{node.name} is not known here, {known}")
        return dataclasses.replace(node, type=scope[node.name])

    # operators

    def unary(self, node: Unary) -> AstNode:
        operand = self.visit(node.operand)
        kind = operand.type
        if node.operator == "!":
            fits, result = kind.kind is Kind.BOOL or kind.unknown, BOOL
        else:
            fits, result = kind.number or kind.unknown, UNKNOWN if kind.unknown else kind
        if not fits:
            raise self._mismatch(node, node.operator, kind)
        return dataclasses.replace(node, operand=operand, type=result)

    def binary(self, node: Binary) -> AstNode:
        left, right = self.visit(node.left), self.visit(node.right)
        if node.operator == "??":
            self._note_nilable(node)
        result = _OPERATORS[node.operator](left.type, right.type)
        if result is None:
            raise self._mismatch(node, node.operator, left.type, right.type)
        return dataclasses.replace(node, left=left, right=right, type=result)

    def _note_nilable(self, node: Binary) -> None:
        """Note that the left side may be nil; of `(a ?? b) ?? c` that is a and b."""
        left = node.left.right if isinstance(node.left, Binary) and node.left.operator == "??" else node.left
        if isinstance(left, Name) and left.name in self.free:
            self.nilable.add(left.name)

    def conditional(self, node: Conditional) -> AstNode:
        test = self.visit(node.test)
        if test.type.kind is not Kind.BOOL and not test.type.unknown:
            raise self._fault(node.test, f"the condition is {test.type}, not a boolean")
        then, otherwise = self.visit(node.then), self.visit(node.otherwise)
        result = _either(then.type, otherwise.type)
        return dataclasses.replace(node, test=test, then=then, otherwise=otherwise, type=result)

    def let(self, node: Let) -> AstNode:
        if node.name in (self._names or ()) or node.name in self._lets:
            raise self._fault(node, f"cannot declare {node.name} again")
        if node.name in BUILTINS or node.name in FOREIGN:
            raise self._fault(node, f"cannot declare {node.name}, it is a function")
        value = self.visit(node.value)
        self._bound.setdefault(node.name, node.offset)
        self._lets[node.name] = value.type
        body = self.visit(node.body)
        del self._lets[node.name]
        return dataclasses.replace(node, value=value, body=body, type=body.type)

    def sequence(self, node: Sequence) -> AstNode:
        items = tuple(self.visit(item) for item in node.items)
        return dataclasses.replace(node, items=items, type=items[-1].type)

    # arrays

    def array(self, node: Array) -> AstNode:
        items = tuple(self.visit(item) for item in node.items)
        for item in items:
            if isinstance(item, Order):
                raise self._fault(item, "expr has strings, llm-scaler does not")
        kinds = {_go_kind(item.type) for item in items}
        element = ANY if len(kinds) > 1 else items[-1].type if items else UNKNOWN
        return dataclasses.replace(node, items=items, type=array_of(element))

    def index(self, node: Index) -> AstNode:
        array, index = self.visit(node.array), self.visit(node.index)
        if not (array.type.array or array.type.unknown):
            raise self._fault(node, f"{array.type} has no elements")
        if array.type.array:
            self._integer(index)
        return dataclasses.replace(node, array=array, index=index, type=array.type.of())

    def slice(self, node: Slice) -> AstNode:
        array = self.visit(node.array)
        if not (array.type.array or array.type.unknown):
            raise self._fault(node, f"{array.type} has no elements")
        start, stop = (None if part is None else self.visit(part) for part in (node.start, node.stop))
        for part in (start, stop):
            if part is not None and array.type.array:
                self._integer(part)
        return dataclasses.replace(node, array=array, start=start, stop=stop, type=array.type)

    def _integer(self, node: AstNode) -> None:
        if not INTEGER.fits(node.type):
            raise self._fault(node, f"an index must be an integer, not {node.type}: int(...) makes one")

    # calls

    def call(self, node: Call) -> AstNode:
        builtin = BUILTINS[node.name]
        arguments: list[AstNode] = []
        for argument in node.arguments:
            if isinstance(argument, Closure):
                arguments.append(self._closure(argument, arguments[0], node.name))
            elif node.name == "reduce" and arguments:
                arguments.append(self._initial(argument))
            else:
                arguments.append(self.visit(argument))
        try:
            result = builtin.signature([argument.type for argument in arguments])
        except SignatureMismatch as mismatch:
            place = node if mismatch.argument is None else arguments[mismatch.argument]
            raise self._fault(place, f"{node.name} {mismatch}") from None
        return dataclasses.replace(node, arguments=tuple(arguments), type=result)

    def _initial(self, node: AstNode) -> AstNode:
        """Check reduce's initial value; `#` in it is the outer element to expr's checker, the first to its compiler."""
        self._scopes.append({})
        typed = self.visit(node)
        self._scopes.pop()
        return typed

    def _closure(self, node: Closure, items: AstNode, function: str) -> AstNode:
        builtin = BUILTINS[function]
        self._scopes.append({"": items.type.of(), **dict(builtin.pointers)})
        body = self.visit(node.body)
        self._scopes.pop()
        if body.type == NIL:
            raise self._fault(body, f"the closure of {function} gives nothing but nil")
        if builtin.test and body.type.kind is not Kind.BOOL and not body.type.unknown:
            raise self._fault(body, f"the closure of {function} must give a boolean, not {body.type}")
        return dataclasses.replace(node, body=body, type=body.type)


def _either(then: Type, otherwise: Type) -> Type:
    """Return the type of a value that is one or the other."""
    if NIL in (then, otherwise):
        return otherwise if then == NIL else then
    if not then.assignable(otherwise):
        return UNKNOWN
    if then.array and otherwise.array:
        one, two = then.of(), otherwise.of()
        return then if one.assignable(two) and two.assignable(one) else ANYTHINGS
    return then


def _go_kind(type_: Type) -> Kind:
    """Return what Go's reflection sees of a type in an array literal: it sees none in nil."""
    return Kind.UNKNOWN if type_.kind is Kind.NIL else type_.kind


def _maybe(left: Type, right: Type, fits: Callable[[Type], bool]) -> bool:
    """Tell whether both fit, as far as they are known."""
    return (left.unknown or fits(left)) and (right.unknown or fits(right))


def _number(type_: Type) -> bool:
    return type_.number


def _arithmetic(left: Type, right: Type) -> Type | None:
    if not _maybe(left, right, _number):
        return None
    if left.unknown or right.unknown:
        return UNKNOWN
    return FLOAT if FLOAT in (left, right) else INT


def _always(fits: Callable[[Type], bool], result: Type) -> Callable[[Type, Type], Type | None]:
    return lambda left, right: result if _maybe(left, right, fits) else None


def _equality(left: Type, right: Type) -> Type | None:
    return BOOL if left.comparable(right) else None


def _membership(left: Type, right: Type) -> Type | None:
    if right.array:
        return BOOL if left.comparable(right.of()) else None
    return BOOL if right.unknown else None


def _coalesce(left: Type, right: Type) -> Type:
    if NIL in (left, right):
        return right if left == NIL else left
    return left if right.assignable(left) else UNKNOWN


def _boolean(type_: Type) -> bool:
    return type_.kind is Kind.BOOL


def _whole(type_: Type) -> bool:
    return type_.kind is Kind.INT


_WHOLE = frozenset({"%", ".."})  # operators that want integers
_OPERATORS: dict[str, Callable[[Type, Type], Type | None]] = {
    **dict.fromkeys(("+", "-", "*"), _arithmetic),
    **dict.fromkeys(("/", "**"), _always(_number, FLOAT)),
    "%": _always(_whole, INT),
    "..": _always(_whole, array_of(INT)),
    **dict.fromkeys(("<", "<=", ">", ">="), _always(_number, BOOL)),
    **dict.fromkeys(("&&", "||"), _always(_boolean, BOOL)),
    **dict.fromkeys(("==", "!="), _equality),
    "in": _membership,
    "??": _coalesce,
}

_RULES: dict[type[AstNode], Callable[..., AstNode]] = {
    Literal: _Checker.literal,
    Order: _Checker.order,
    Name: _Checker.name,
    Pointer: _Checker.pointer,
    Unary: _Checker.unary,
    Binary: _Checker.binary,
    Conditional: _Checker.conditional,
    Let: _Checker.let,
    Sequence: _Checker.sequence,
    Array: _Checker.array,
    Index: _Checker.index,
    Slice: _Checker.slice,
    Call: _Checker.call,
}
