import pytest

from scaler.formula.check import check
from scaler.formula.limits import MAX_HEIGHT
from scaler.formula.parser import parse_tree
from scaler.formula.tree import (
    ANY,
    ANYTHINGS,
    BOOL,
    FLOAT,
    INT,
    NIL,
    ORDER,
    UNKNOWN,
    Type,
    array_of,
)
from scaler.model.errors import FormulaSyntaxError

NAMES = {"a", "b", "waiting"}


def checked(text, names=NAMES):
    return check(text, parse_tree(text, names), names)


@pytest.mark.parametrize(
    ("text", "type_"),
    [
        ("1 + 2", INT),
        ("1 + a", FLOAT),
        ("1 / 2", FLOAT),
        ("2 ** 2", FLOAT),
        ("7 % 2", INT),
        ("-1", INT),
        ("!true", BOOL),
        ("a == nil", BOOL),
        ("nil", NIL),
        ("nil ?? 1", INT),
        ("a ?? nil", FLOAT),
        ("a ?? 1", UNKNOWN),
        ("a > 1 ? 1 : 2", INT),
        ("a > 1 ? 1 : a", UNKNOWN),
        ("a > 1 ? nil : a", FLOAT),
        ("a > 1 ? a : nil", FLOAT),
        ("a > 1 ? nil : nil", NIL),
        ("a > 1 ? 1 : first([a])", INT),
        ("a > 1 ? [1] : [2]", array_of(INT)),
        ("a > 1 ? [1] : [a]", ANYTHINGS),
        ("a > 1 ? [nil] : [1]", ANYTHINGS),
        ("a > 1 ? (a ?? 1) : 1", UNKNOWN),
        ("a > 1 ? first([a]) : first([a])", ANY),
        ("1..2", array_of(INT)),
        ("[]", array_of(UNKNOWN)),
        ("[1, 2]", array_of(INT)),
        ("[1, a]", ANYTHINGS),
        ("[nil, nil]", array_of(NIL)),
        ("[a][0]", FLOAT),
        ("first([a])", ANY),
        ("first([a])[0]", UNKNOWN),
        ("first([a])[0:1]", ANY),
        ("first([a]) + 1", UNKNOWN),
        ("-first([a])", UNKNOWN),
        ("max(1, a)", INT),
        ("max([1])", ANY),
        ("abs(1)", INT),
        ("round(1)", FLOAT),
        ("take([1], 1)", ANYTHINGS),
        ("get([1], 0)", INT),
        ("filter([1], true)", array_of(INT)),
        ("filter(first([a]), true)", ANYTHINGS),
        ("map([1], [#])", array_of(array_of(INT))),
        ("sum([1], [#])", ANYTHINGS),
        ("sum([1], first([#]))", ANY),
        ("sum([a])", FLOAT),
        ("reduce([1], #acc)", UNKNOWN),
        ("map([1], #index)", array_of(INT)),
        ("sortBy([1], #)", array_of(INT)),
        ("let x = 1; x", INT),
        ("1; a ?? b", FLOAT),
    ],
)
def test_types_are_those_of_exprs_checker(text, type_):
    assert checked(text + " /* ?? */").tree.type == type_


def test_an_order_has_its_type_and_a_type_its_words():
    assert checked("sort([a], 'asc')").tree.arguments[1].type == ORDER
    assert [str(type_) for type_ in (INT, FLOAT, NIL, Type(ANY.kind))] == [
        "an integer",
        "a number",
        "nil",
        "a value of unknown type",
    ]


@pytest.mark.parametrize(
    ("text", "offset", "problem"),
    [
        ("a + wating", 4, "unknown name wating, did you mean waiting?"),
        ("let total = a; totl", 15, "unknown name totl, did you mean total?"),
        ("max + 1", 0, "max is a function, not a variable"),
        ("$env", 0, "expr has $env, llm-scaler does not"),
        ("a + true", 0, "+ does not go with a number and a boolean"),
        ("a and true", 0, "&& does not go with a number and a boolean"),
        ("a % 2", 0, "% does not go with a number and an integer: int(...) makes an integer"),
        ("1..a", 0, ".. does not go with an integer and a number: int(...) makes an integer"),
        ("1 in a", 0, "in does not go with an integer and a number"),
        ("true == 1", 0, "== does not go with a boolean and an integer"),
        ("!a", 0, "! does not go with a number"),
        ("-true", 0, "- does not go with a boolean"),
        ("a ? 1 : 2", 0, "the condition is a number, not a boolean"),
        ("let a = 1; a", 0, "cannot declare a again"),
        ("let max = 1; 2", 0, "cannot declare max, it is a function"),
        ("let now = 1; 2", 0, "cannot declare now, it is a function"),
        ("['asc']", 1, "expr has strings, llm-scaler does not"),
        ("a[0]", 0, "a number has no elements"),
        ("a[0:1]", 0, "a number has no elements"),
        ("[a][b]", 4, "an index must be an integer, not a number: int(...) makes one"),
        ("[a][b:]", 4, "an index must be an integer, not a number: int(...) makes one"),
        ("abs(a, b)", 0, "abs takes 1 argument, not 2"),
        ("sort()", 0, "sort takes 1 to 2 arguments, not 0"),
        ("get([a])", 0, "get takes 2 arguments, not 1"),
        ("abs(true)", 4, "abs takes a number here, not a boolean"),
        ("get([a], a)", 9, "get takes an integer here, not a number"),
        ("len(a)", 4, "len takes an array here, not a number"),
        ("sort([a], 1)", 10, 'sort takes the order "asc" or "desc" here, not an integer'),
        ("max(a, true)", 7, "max takes numbers and arrays, not a boolean"),
        ("max()", 0, "max takes at least 1 argument, not 0"),
        ("concat()", 0, "concat takes at least 1 argument, not 0"),
        ("concat([a], a)", 12, "concat takes arrays, not a number"),
        ("map(a, #)", 4, "map takes an array here, not a number"),
        ("map([a], nil)", 9, "the closure of map gives nothing but nil"),
        ("count([a], #)", 11, "the closure of count must give a boolean, not a number"),
        ("count([a], #index > 1)", 11, "#index is not known here, allowed: #"),
        ("map([a], #acc)", 9, "#acc is not known here, allowed: #, #index"),
        ("map([a], reduce([b], #, #))", 24, "# is not known here, name it with let before reduce"),
    ],
)
def test_what_expr_refuses_is_told_with_its_place(text, offset, problem):
    with pytest.raises(FormulaSyntaxError) as caught:
        checked(text)
    assert (caught.value.offset, caught.value.problem) == (offset, problem)


def test_without_a_list_of_names_any_name_is_a_variable():
    assert checked("max + duration + let_me", None).names == {"max", "duration", "let_me"}


def test_without_a_list_of_names_a_name_is_a_variable_or_declared_but_not_both():
    with pytest.raises(FormulaSyntaxError, match="cannot declare x again, it is a variable") as caught:
        checked("(let x = 1; x) + x", None)
    assert caught.value.offset == 1


@pytest.mark.parametrize(
    ("text", "names", "nilable"),
    [
        ("a + b", {"a", "b"}, set()),
        ("a ?? b", {"a", "b"}, {"a"}),
        ("a ?? b ?? 8", {"a", "b"}, {"a", "b"}),
        ("(a + 1) ?? b", {"a", "b"}, set()),
        ("(a ?? 0) + a", {"a"}, {"a"}),
        ("let x = a; x ?? b", {"a", "b"}, set()),
        ("nil ?? 1", set(), set()),
    ],
)
def test_names_are_the_free_variables_and_nilable_stand_on_the_left_of_coalesce(text, names, nilable):
    result = checked(text)
    assert (result.names, result.nilable) == (names, nilable)


def test_the_height_of_a_tree_is_bounded():
    with pytest.raises(FormulaSyntaxError, match=f"deeper than {MAX_HEIGHT} levels"):
        checked("a" + " | abs()" * MAX_HEIGHT)


def test_which_types_stand_for_one_another():
    assert INT.assignable(INT)
    assert not INT.assignable(FLOAT)
    assert INT.assignable(ANY)
    assert NIL.assignable(ANYTHINGS)
    assert not UNKNOWN.assignable(INT)
    assert not INT.assignable(UNKNOWN)


def test_which_types_may_be_compared():
    assert INT.comparable(FLOAT)
    assert INT.comparable(UNKNOWN)
    assert NIL.comparable(BOOL)
    assert array_of(INT).comparable(array_of(BOOL))
    assert not array_of(INT).comparable(INT)
    assert not INT.comparable(array_of(INT))
    assert not BOOL.comparable(INT)
