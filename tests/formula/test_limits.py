"""What strangers may send. Time is counted in visits of nodes, which is what it is made of."""

import contextlib
import inspect
import sys
import tracemalloc

import pytest

from scaler.formula import parse
from scaler.formula.evaluator import Evaluator
from scaler.formula.limits import MAX_HEIGHT, MAX_NESTING, MAX_NODES, MAX_WORK
from scaler.model.errors import EvaluationError, FormulaSyntaxError

NESTED_CLOSURES = "map(1..2, " * (MAX_NESTING - 2) + "#" + ")" * (MAX_NESTING - 2) + " | len()"
HIGH_PIPE = "a" + " | abs()" * (MAX_HEIGHT - 1)
LONG_SUM = "a" + " + a" * (MAX_HEIGHT - 2)
COALESCED = " ?? ".join(["a"] * MAX_HEIGHT)
COALESCED_DEEP = "sum([a], {" * (MAX_NESTING - 2) + " ?? ".join(["#"] * 60) + "})" * (MAX_NESTING - 2)
ALL_TRUE = "all([true], " + " && ".join(["#"] * (MAX_HEIGHT - 4)) + ") ? 1 : 2"
ALL_FALSE = "any([false], " + " || ".join(["#"] * (MAX_HEIGHT - 4)) + ") ? 1 : 2"

HIGH = (HIGH_PIPE, LONG_SUM, COALESCED, COALESCED_DEEP, ALL_TRUE, ALL_FALSE)

GREEDY = {
    "a closure over much": "sum(1..999, " + "# + " * 60 + "#)",
    "a closure over closures": "sum(map(1..70, {sum(1..70, # * 2)}))",
    "nested closures": NESTED_CLOSURES,
    "sorting again and again": "(1..1000)" + " | sort()" * 100 + " | len()",
    "many arrays": "[" + ", ".join(["1..990"] * 60) + "] | len()",
    "an array that doubles": "let x = 1..900; let y = [x, x]; let z = [y, y]; let w = [z, z]; len(w)",
    "comparing again and again": "let x = 1..900; " + " and ".join(["x == x"] * 40) + " ? 1 : 0",
    "deeper and deeper": "reduce(1..900, [#acc], 0) | len()",
    "deeper and deeper in a closure": "reduce(1..900, {let x = #acc; map(1..1, x)}, 0) | len()",
    "unique": "(1..1000)" + " | uniq()" * 50 + " | len()",
    "a range without end": "len(1..9223372036854775807)",
}

FITTING = {
    "a long sum": LONG_SUM,
    "a long pipe": HIGH_PIPE,
    "deep brackets": "(" * (MAX_NESTING - 1) + "a" + ")" * (MAX_NESTING - 1),
    "a full array": "sum(1..1000)",
    "all the work that may be": "sum(1..1000, # + #)",
    "nested calls": "max(" * (MAX_NESTING - 1) + "a" + ")" * (MAX_NESTING - 1),
    "many arguments": f"max({', '.join('a' * (MAX_NODES - 1))})",
}


class CountingEvaluator(Evaluator):
    visits = 0

    def _eval(self, node):
        self.visits += 1
        return super()._eval(node)


@pytest.mark.parametrize("text", GREEDY.values(), ids=GREEDY)
def test_a_greedy_formula_is_stopped(text):
    program = parse(text)
    with pytest.raises(EvaluationError, match="too much work|nested deeper|at most"):
        program.evaluate({})


@pytest.mark.parametrize("text", FITTING.values(), ids=FITTING)
def test_a_large_formula_is_not(text):
    assert parse(text).evaluate({"a": 1}) is not None


@pytest.mark.parametrize("text", [*GREEDY.values(), *FITTING.values()], ids=[*GREEDY, *FITTING])
def test_work_is_bounded(text):
    evaluator = CountingEvaluator({"a": 1.0})
    try:
        evaluator.run(parse(text)._lowered.code)
    except EvaluationError:
        assert evaluator.work <= MAX_WORK
    assert evaluator.visits <= 2 * MAX_WORK + 2 * MAX_NODES


@pytest.mark.parametrize("text", [*GREEDY.values(), *FITTING.values()], ids=[*GREEDY, *FITTING])
def test_what_a_formula_may_cost_is_known_before_it_is_evaluated(text):
    program = parse(text)
    evaluator = CountingEvaluator({"a": 1.0})
    with contextlib.suppress(EvaluationError):
        evaluator.run(program._lowered.code)
    outside = max(0, evaluator.visits - MAX_WORK)  # what is visited in closures is work, which was paid for
    assert max(outside, MAX_WORK - max(evaluator.work, 0)) <= program.cost  # below 0 it was stopped


@pytest.mark.parametrize(
    ("text", "greedy"),
    [
        ("a + b", False),
        ("max(a, b, 3)", False),
        ("let x = a; x > 2 ? x : b ?? 0", False),
        ("[a, b] | max()", True),
        ("len(1..3)", True),
        ("sum([a], # * 2)", True),
    ],
)
def test_only_what_has_an_array_may_cost_more_than_its_parts(text, greedy):
    assert (parse(text).cost > MAX_WORK) == greedy
    assert parse(text).cost < MAX_WORK + 20


def test_a_name_alone_is_one_step():
    assert parse("a").cost == 1


@pytest.mark.parametrize("text", [*GREEDY.values(), *FITTING.values()], ids=[*GREEDY, *FITTING])
def test_memory_is_bounded(text):
    tracemalloc.start()
    try:
        program = parse(text)
        program.trace({"a": 1})
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("text", [*HIGH, NESTED_CLOSURES, *FITTING.values()])
def test_the_stack_is_bounded(text):
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 550)
    try:
        parse(text).trace({"a": 1})
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize("text", ["(" * 4000, "a+" * 2000 + "a", "-" * 4000, "/*" * 2000, "a?" * 2000, "[" * 4096])
def test_a_text_that_is_too_large_is_refused(text):
    with pytest.raises(FormulaSyntaxError):
        parse(text)


@pytest.mark.parametrize(
    ("of", "most", "problem"),
    [
        (lambda count: "a" + " " * (count - 1), 4096, "has 4097 characters, at most 4096"),
        (lambda count: f"max({', '.join('a' * (count - 1))})", 256, "more than 256 parts"),
        (lambda count: "(" * (count - 1) + "a" + ")" * (count - 1), 32, "nests deeper than 32 levels"),
        (lambda count: "max(" * (count - 1) + "a" + ")" * (count - 1), 32, "nests deeper than 32 levels"),
        (lambda count: "a" + " | abs()" * (count - 1), 128, "deeper than 128 levels"),
        (lambda count: f"sum(1..{count})", 1000, "has 1001 elements, at most 1000"),
        (lambda count: f"len({'[' * count}a{']' * count})", 4, "nested deeper than 4 levels"),
        (lambda count: f"sum(1..{count}, # + # + #)", 714, "too much work"),
        (lambda count: f"sum(1..{count}, # + # + # + #)", 555, "too much work"),
    ],
)
def test_where_each_bound_is(of, most, problem):
    assert parse(of(most)).evaluate({"a": 1}) is not None
    with pytest.raises((FormulaSyntaxError, EvaluationError), match=problem):
        parse(of(most + 1)).evaluate({"a": 1})
