"""The formula as a tree: frozen nodes, and the static types that expr's checker gives them.

Every node knows its place in the text, `text[offset:end]`, brackets around it not included. The parser builds the
tree untyped; `scaler.formula.check` returns it with `type` filled in.

Source of the types: expr-lang/expr v1.17.8 checker/nature/nature.go.
"""

from dataclasses import dataclass, field
from enum import Enum


class Kind(Enum):
    """The kind of a static type; the value is the word used in errors."""

    INT = "an integer"
    FLOAT = "a number"
    BOOL = "a boolean"
    NIL = "nil"
    ARRAY = "an array"
    ORDER = "a sort order"
    ANY = "a value of unknown type"  # Go's `any`
    UNKNOWN = "a value of an unknown type"  # expr's empty nature: as ANY, but not assignable


@dataclass(frozen=True, slots=True)
class Type:
    """A static type; `element` is set for arrays alone."""

    kind: Kind
    element: "Type | None" = None

    def __str__(self) -> str:
        return self.kind.value

    @property
    def unknown(self) -> bool:
        """Tell whether only the evaluation will show the type."""
        return self.kind in (Kind.ANY, Kind.UNKNOWN)

    @property
    def number(self) -> bool:
        """Tell whether it is surely an integer or a float."""
        return self.kind in (Kind.INT, Kind.FLOAT)

    @property
    def array(self) -> bool:
        """Tell whether it is surely an array."""
        return self.kind is Kind.ARRAY

    def of(self) -> "Type":
        """Return the type of an array's elements; unknown for what is no array."""
        return self.element or UNKNOWN

    def erased(self) -> "Type":
        """Return the type as Go's reflection shows it: an array forgets what it holds."""
        if self.unknown:
            return ANY
        return ANYTHINGS if self.array else self

    def assignable(self, other: "Type") -> bool:
        """Tell whether expr lets a value of this type stand where `other` is declared."""
        if self.kind is Kind.NIL:
            return other.kind in (Kind.ANY, Kind.ARRAY)
        if Kind.UNKNOWN in (self.kind, other.kind):
            return False
        return other.kind in (self.kind, Kind.ANY)

    def comparable(self, other: "Type") -> bool:
        """Tell whether expr lets the two stand on the sides of `==`."""
        return (
            self.unknown
            or other.unknown
            or Kind.NIL in (self.kind, other.kind)
            or (self.number and other.number)
            or (self.array and other.array)
            or self.assignable(other)
        )


INT, FLOAT, BOOL, NIL = Type(Kind.INT), Type(Kind.FLOAT), Type(Kind.BOOL), Type(Kind.NIL)
ANY, UNKNOWN, ORDER = Type(Kind.ANY), Type(Kind.UNKNOWN), Type(Kind.ORDER)
ANYTHINGS = Type(Kind.ARRAY, ANY)


def array_of(element: Type) -> Type:
    """Return the type of an array that holds `element`."""
    return Type(Kind.ARRAY, element)


@dataclass(frozen=True, slots=True)
class AstNode:
    """Any part of a formula."""

    offset: int  # characters from the start of the text
    end: int
    type: Type = field(default=UNKNOWN, kw_only=True)


@dataclass(frozen=True, slots=True)
class Literal(AstNode):
    """`3`, `0.5`, `0x1F`, `true`, `nil`."""

    value: int | float | bool | None


@dataclass(frozen=True, slots=True)
class Order(AstNode):
    """`"asc"` or `"desc"`: the only strings, and only as the last argument of sort and sortBy."""

    value: str


@dataclass(frozen=True, slots=True)
class Name(AstNode):
    """A variable, free or bound by `let`."""

    name: str


@dataclass(frozen=True, slots=True)
class Pointer(AstNode):
    """`#`, `#index`, `#acc`; the name is what follows the sharp."""

    name: str


@dataclass(frozen=True, slots=True)
class Unary(AstNode):
    """`-x`, `+x`, `!x`; `not` is spelled `!` here."""

    operator: str
    operand: AstNode


@dataclass(frozen=True, slots=True)
class Binary(AstNode):
    """`x + y` and its kin; `and`, `or`, `^` are spelled `&&`, `||`, `**` here."""

    operator: str
    left: AstNode
    right: AstNode


@dataclass(frozen=True, slots=True)
class Conditional(AstNode):
    """`x ? y : z` and `if x { y } else { z }`."""

    test: AstNode
    then: AstNode
    otherwise: AstNode


@dataclass(frozen=True, slots=True)
class Let(AstNode):
    """`let name = value; body`."""

    name: str
    value: AstNode
    body: AstNode


@dataclass(frozen=True, slots=True)
class Sequence(AstNode):
    """`x; y; z`: the value is the last one's."""

    items: tuple[AstNode, ...]


@dataclass(frozen=True, slots=True)
class Array(AstNode):
    """`[x, y, z]`."""

    items: tuple[AstNode, ...]


@dataclass(frozen=True, slots=True)
class Index(AstNode):
    """`array[index]`."""

    array: AstNode
    index: AstNode


@dataclass(frozen=True, slots=True)
class Slice(AstNode):
    """`array[start:stop]`."""

    array: AstNode
    start: AstNode | None
    stop: AstNode | None


@dataclass(frozen=True, slots=True)
class Closure(AstNode):
    """The second argument of `count`, `map` and their kin, evaluated for each element."""

    body: AstNode


@dataclass(frozen=True, slots=True)
class Call(AstNode):
    """`name(arguments)`, or `first | name(rest)`."""

    name: str
    arguments: tuple[AstNode, ...]
