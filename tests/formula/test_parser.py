import dataclasses

import pytest

from scaler.formula.limits import MAX_LENGTH, MAX_NESTING, MAX_NODES
from scaler.formula.parser import parse_tree
from scaler.formula.tree import Array, AstNode, Binary, Call, Closure, Literal, Name, Order, Pointer, Unary
from scaler.model.errors import FormulaSyntaxError


def children(node):
    """The nodes that a node is made of, in the order of its fields."""
    parts = [getattr(node, field.name) for field in dataclasses.fields(node)]
    flat = [item for part in parts for item in (part if isinstance(part, tuple) else (part,))]
    return [item for item in flat if isinstance(item, AstNode)]


def shape(node):
    """The tree as nested tuples, without places."""
    match node:
        case Literal(value=value) | Order(value=value):
            return value
        case Name(name=name):
            return name
        case Pointer(name=name):
            return f"#{name}"
        case Unary(operator=operator) | Binary(operator=operator):
            return (operator, *map(shape, children(node)))
        case Call(name=name):
            return (name, *map(shape, children(node)))
        case Closure(body=body):
            return {"closure": shape(body)}
        case Array():
            return [shape(item) for item in children(node)]
    return (type(node).__name__, *map(shape, children(node)))


def parsed(text):
    return shape(parse_tree(text, None))


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a + b * c", ("+", "a", ("*", "b", "c"))),
        ("a - b - c", ("-", ("-", "a", "b"), "c")),
        ("a ** b ^ c", ("**", "a", ("**", "b", "c"))),
        ("-a ** b", ("-", ("**", "a", "b"))),
        ("a or b and not c", ("||", "a", ("&&", "b", ("!", "c")))),
        ("a not in [b]", ("!", ("in", "a", ["b"]))),
        ("a < b <= c", ("&&", ("<", "a", "b"), ("<=", "b", "c"))),
        ("a + b ?? c", ("+", "a", ("??", "b", "c"))),
        ("a ?? b ?? c", ("??", ("??", "a", "b"), "c")),
        ("a ?? b | max(c)", ("max", ("??", "a", "b"), "c")),
        ("a ? b : c ? d : e", ("Conditional", "a", "b", ("Conditional", "c", "d", "e"))),
        ("a ?: b", ("Conditional", "a", "a", "b")),
        ("let x = a; x; b", ("Let", "a", ("Sequence", "x", "b"))),
        ("count([a], {# > 1})", ("count", ["a"], {"closure": (">", "#", 1)})),
        ("[a] | count(# > 1)", ("count", ["a"], {"closure": (">", "#", 1)})),
        ("reduce([a], #acc, 0,)", ("reduce", ["a"], {"closure": "#acc"}, 0)),
        ("sort(a, 'asc')", ("sort", "a", "asc")),
        ("-a[0]", ("-", ("Index", "a", 0))),
        ("a[1:][:b]", ("Slice", ("Slice", "a", 1), "b")),
        ("::max(a)", ("max", "a")),
    ],
)
def test_operators_bind_as_in_expr(text, tree):
    assert parsed(text) == tree


def places(node: AstNode, text: str) -> list[str]:
    return [text[node.offset : node.end], *(place for part in children(node) for place in places(part, text))]


def test_every_node_knows_its_place_and_brackets_belong_to_what_is_outside():
    text = "(a + b) * max(c, -d)[0] < 3 < e"
    assert places(parse_tree(text, None), text) == [
        text,
        "(a + b) * max(c, -d)[0] < 3",
        "(a + b) * max(c, -d)[0]",
        *("a + b", "a", "b", "max(c, -d)[0]", "max(c, -d)", "c", "-d", "d", "0", "3"),
        *("3 < e", "3", "e"),
    ]


@pytest.mark.parametrize(
    ("text", "offset", "problem"),
    [
        ("a +", 3, "unexpected end of the formula"),
        ("a b", 2, "unexpected name 'b'"),
        ("(a", 2, "unexpected end of the formula, expected ')'"),
        ("max(a b)", 6, "unexpected name 'b', expected ','"),
        ("a ? b", 5, "unexpected end of the formula, expected ':'"),
        ("let 1 = a; a", 4, "unexpected number '1', expected a name"),
        ("a not b", 6, "unexpected name 'b' after not, expected 'in'"),
        ("a ?? b + c", 7, "+ cannot follow ??: put brackets around one of them"),
        ("if a { b }", 10, "unexpected end of the formula, expected 'else'"),
        ("a; b", 1, "unexpected operator ';'"),
        ("1e + 2", 0, "bad number '1e'"),
        ("9223372036854775808", 0, "the number 9223372036854775808 is too large"),
        ("1e999", 0, "the number 1e999 is too large"),
        ("# > 1", 0, "unexpected operator '#'"),
        ("count([a], #.x > 1)", 12, "expr has members, llm-scaler does not"),
        ("count([a], .x > 1)", 11, "expr has members, llm-scaler does not"),
        ("a.b", 1, "expr has members, llm-scaler does not"),
        ("a?.b", 1, "expr has members, llm-scaler does not"),
        ("{a: 1}", 0, "expr has maps, llm-scaler does not"),
        ("'asc'", 0, "expr has strings, llm-scaler does not"),
        ("a matches b", 2, "expr has matches, for strings, llm-scaler does not"),
        ("a not contains b", 6, "expr has contains, for strings, llm-scaler does not"),
        ("now()", 0, "expr has now, llm-scaler does not"),
        ("a | bitand(1)", 4, "expr has bitand, llm-scaler does not"),
        ("maxx(a, b)", 0, "unknown function maxx, did you mean max?"),
        ("zzz(a)", 0, "unknown function zzz"),
        ("a" + " " * MAX_LENGTH, MAX_LENGTH, f"the formula has {MAX_LENGTH + 1} characters, at most {MAX_LENGTH}"),
    ],
)
def test_a_fault_is_told_with_its_place(text, offset, problem):
    with pytest.raises(FormulaSyntaxError) as caught:
        parse_tree(text, None)
    assert (caught.value.offset, caught.value.problem) == (offset, problem)


def test_the_message_points_at_the_fault():
    with pytest.raises(FormulaSyntaxError) as caught:
        parse_tree("a +\n b c", None)
    assert str(caught.value) == "formula: unexpected name 'c' (at 2:4)\n   b c\n     ^"


def test_a_variable_hides_the_function_of_its_name():
    assert parsed("count([a])") == ("count", ["a"])
    with pytest.raises(FormulaSyntaxError, match="count is a variable here, not a function"):
        parse_tree("count([a])", {"a", "count"})
    assert shape(parse_tree("::count([count])", {"count"})) == ("count", ["count"])


@pytest.mark.parametrize("opening", ["(", "[", "-", "a ? ", "1 ** ", "max(", "if a { ", "map(a, ", "not "])
def test_nesting_is_bounded(opening):
    with pytest.raises(FormulaSyntaxError, match=f"nests deeper than {MAX_NESTING} levels"):
        parse_tree(opening * (MAX_NESTING + 1), None)


def test_size_is_bounded_and_a_long_sum_is_not_nesting():
    terms = MAX_NODES // 2
    assert parse_tree(" + ".join("a" * terms), None).end == 4 * terms - 3
    with pytest.raises(FormulaSyntaxError, match=f"more than {MAX_NODES} parts"):
        parse_tree(" + ".join("a" * (terms + 1)), None)
