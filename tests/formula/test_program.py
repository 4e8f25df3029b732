from concurrent.futures import ThreadPoolExecutor

import pytest

from scaler.formula import Program, TraceStep, parse
from scaler.model.errors import EvaluationError, FormulaSyntaxError


def test_a_program_knows_its_text_names_and_kind():
    program = parse("waiting + (queued ?? 0)")
    assert isinstance(program, Program)
    assert (program.text, program.kind) == ("waiting + (queued ?? 0)", "number")
    assert (program.names, program.nilable) == ({"waiting", "queued"}, {"queued"})
    assert program == parse("waiting + (queued ?? 0)")


def test_a_number_is_a_float_and_a_missing_value_is_nil():
    assert repr(parse("1 + 2").evaluate({})) == "3.0"
    assert parse("a ?? 2").evaluate({}) == 2.0
    assert parse("a ?? b").evaluate({"b": None}) is None
    assert parse("a ?? nil").evaluate({}) is None


def test_an_activation_is_a_boolean():
    program = parse("waiting + running > 0", kind="boolean")
    assert program.evaluate({"waiting": 0, "running": 1}) is True
    assert program.evaluate({"waiting": 0, "running": 0}) is False


@pytest.mark.parametrize(
    ("text", "kind", "problem"),
    [
        ("a > 1", "number", "the formula gives a boolean, it must give a number"),
        ("[a]", "number", "the formula gives an array, it must give a number"),
        ("a", "boolean", "the formula gives a number, it must give a boolean"),
        ("nil", "boolean", "the formula gives nil, it must give a boolean"),
    ],
)
def test_a_formula_gives_what_it_is_for(text, kind, problem):
    with pytest.raises(FormulaSyntaxError) as caught:
        parse(text, kind=kind)
    assert caught.value.problem == problem


@pytest.mark.parametrize(
    ("text", "values", "message"),
    [
        ("1 / (t / p)", {"t": 9, "p": 0}, "division by zero in `t / p` with t = 9, p = 0"),
        ("1 / (t / p)", {"t": 0, "p": 1}, "division by zero in `1 / (t / p)` with t = 0, p = 1"),
        ("c + a / b * d", {"c": 2, "a": 1, "b": 0, "d": 5}, "division by zero in `a / b` with a = 1, b = 0"),
        ("a + b", {"a": 1}, "1 + nil: both must be numbers in `a + b` with a = 1, b = nil"),
        ("a * 2", {"a": float("nan")}, "not a number in `a`"),
        ("a", {}, "the result is nil, not a number in `a`"),
        ("b > 0 ? true : a", {"a": 1, "b": 1}, "the result is true, not a number in `b > 0 ? true : a` with b = 1"),
        ("let z = a - 1; 3 / z", {"a": 1}, "division by zero in `3 / z` with z = 0"),
        ("sum([1, a], {1 / #})", {"a": 0}, "division by zero in `1 / #` with # = 0"),
        ("first([a])\n and\ta > 1 ? 1 : 0", {"a": 1}, "1 is not a boolean in `first([a]) and a > 1` with a = 1"),
        ("a" * 100 + "/0", {}, f"nil / 0: both must be numbers in `{'a' * 77}...` with {'a' * 100} = nil"),
        ("reduce(1..9, [#acc], 0) | len()", {}, "arrays nested deeper than 4 levels in `[#acc]` with #acc = an array"),
    ],
)
def test_a_failure_names_the_part_and_its_values(text, values, message):
    with pytest.raises(EvaluationError) as caught:
        parse(text).evaluate(values)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "test",
    [
        "first([a])", "(a ?? true)", "(let x = first([a]); x)", "(a > 0 ? first([a]) : true)", "(a > 0 and first([a]))",
        "first(map([a], #))", "first([a]) and a > 0", "not first([a])", "a > 9 or first([a])",
    ],
)  # fmt: skip
def test_a_number_is_no_truth_whatever_it_comes_out_of(test):
    with pytest.raises(EvaluationError, match="1 is not a boolean"):
        parse(f"{test} ? 2 : 3").evaluate({"a": 1})


def test_what_is_not_reached_does_not_fail():
    program = parse("b == 0 ? a : a / b")
    assert program.evaluate({"a": 2, "b": 0}) == 2.0
    assert parse("a > 0 and 1 / b > 0 ? 1 : 0").evaluate({"a": 0, "b": 0}) == 0.0
    assert parse("a > 0 ? a : broken").evaluate({"a": 1, "broken": float("inf")}) == 1.0


def test_a_trace_tells_every_part_that_was_reached():
    text = "a > 1 ? (a + b) * 2 : c"
    result, steps = parse(text).trace({"a": 3, "b": 4, "c": 5})
    assert result == 14.0
    assert steps == (
        TraceStep(0, 23, 0, text, 14.0, ""),
        TraceStep(0, 5, 1, "a > 1", True, ""),
        TraceStep(0, 1, 2, "a", 3.0, ""),
        TraceStep(8, 19, 1, "(a + b) * 2", 14.0, ""),
        TraceStep(9, 14, 2, "a + b", 7.0, ""),
        TraceStep(9, 10, 3, "a", 3.0, ""),
        TraceStep(13, 14, 3, "b", 4.0, ""),
    )


def test_a_trace_never_raises_and_marks_the_part_that_failed():
    result, steps = parse("b + a / b").trace({"a": 3, "b": 0})
    assert result is None
    assert [(step.text, step.value, step.error) for step in steps] == [
        ("b + a / b", None, "has no value, since `a / b` has none"),
        ("b", 0.0, ""),
        ("a / b", None, "division by zero"),
        ("a", 3.0, ""),
        ("b", 0.0, ""),
    ]


def test_a_trace_of_a_result_that_is_not_wanted_marks_the_whole():
    result, steps = parse("a").trace({"a": None})
    assert result is None
    assert steps == (TraceStep(0, 1, 0, "a", None, "the result is nil, not a number"),)


def test_a_trace_tells_what_a_closure_gave_for_each_element():
    _result, steps = parse("count([a, b], {# > 1})").trace({"a": 3, "b": 0})
    assert {step.text: step.value for step in steps} == {
        "count([a, b], {# > 1})": 1,
        "[a, b]": (3.0, 0.0),
        "a": 3.0,
        "b": 0.0,
        "# > 1": (True, False),
        "#": (3.0, 0.0),
    }


@pytest.mark.parametrize(
    ("text", "values", "why"),
    [
        ("a > 1 && b > 1 && c > 1", {"a": 2, "b": 2, "c": 0}, "`c > 1` is false with c = 0"),
        ("a > 1 && b > 1 && c > 1", {"a": 2, "b": 0, "c": 0}, "`b > 1` is false with b = 0"),
        ("a > 1 and (b > 1 and a > b)", {"a": 2, "b": 3}, "`a > b` is false with a = 2, b = 3"),
        ("a > 1 || b > 1", {"a": 0, "b": 1}, "`a > 1 || b > 1` is false with a = 0, b = 1"),
        ("a > 1 && false", {"a": 2}, "`a > 1 && false` is false with a = 2"),
        ("1 < a < 3", {"a": 4}, "`a < 3` is false with a = 4"),
        ("not (a > 1 && b > 1)", {"a": 2, "b": 2}, "`not (a > 1 && b > 1)` is false with a = 2, b = 2"),
        ("false", {}, "`false` is false"),
    ],
)
def test_a_condition_says_which_part_of_it_is_false(text, values, why):
    assert parse(text, kind="boolean").why_false(values) == why


def test_a_literal_has_no_steps():
    assert parse("3").trace({}) == (3.0, ())


def test_one_program_serves_many_threads():
    program = parse("let x = a; sum(1..20, {let y = # * x; y})")
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda a: program.evaluate({"a": a}), range(400)))
    assert results == [210.0 * a for a in range(400)]


@pytest.mark.parametrize("text", ["a", "a ?? -1", "a ?? 2", "a ?? -0.5", "(a) ?? b"])
@pytest.mark.parametrize("a", [None, 0.0, 3.0, -2.0])
def test_a_formula_that_is_one_name_comes_to_what_a_walk_over_its_tree_gives(text, a):
    program = parse(text)
    values = {"a": a, "b": 7.0}
    walked, steps = program.trace(values)
    if walked is None and steps[0].error:
        with pytest.raises(EvaluationError):
            program.evaluate(values)
    else:
        assert program.evaluate(values) == walked


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_name_that_stands_for_no_number_fails_with_its_name(value):
    with pytest.raises(EvaluationError, match="`a"):
        parse("a ?? 1").evaluate({"a": value})


@pytest.mark.parametrize(("place", "value"), [(-4, 9), (-3, 1), (-1, 3), (0, 1), (2, 3), (3, 9)])
def test_places_count_from_either_end_and_beyond_them_there_is_nothing(place, value):
    assert parse(f"get([a, b, c], {place}) ?? 9").evaluate({"a": 1, "b": 2, "c": 3}) == value


@pytest.mark.parametrize("text", ["#", "sum([a], {#}) + #", "sum([a], {sum([a], {#})}) + #", "sum([a], #) + #"])
def test_the_element_is_there_in_a_closure_alone(text):
    with pytest.raises(FormulaSyntaxError):
        parse(text)
