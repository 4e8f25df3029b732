"""scaler.formula beside expr-lang itself, wrapped as KEDA wraps it, on generated formulas.

Run by `make test-oracles`. Needs Go; the oracle is built below `.cache/`.

Whatever differs stands in DIFFERENCES with its reason; anything else fails the test, shrunk to a small formula.
"""

import json
import math
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from formula.cases import CASES, FAILS, REFUSED, VALUES
from formula.grammar import Grammar

from scaler.formula import parse
from scaler.model.errors import EvaluationError, FormulaSyntaxError

ROOT = Path(__file__).parents[2]
GO = shutil.which("go") or "/usr/local/go/bin/go"
FORMULAS = 30_000
LEAST = {"value": 0.3, "compile": 0.3, "run": 0.1}  # shares of all formulas: values and refusals alike

pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True)
class Case:
    """A question to both."""

    formula: str
    values: Mapping[str, float | None]
    boolean: bool = False

    def line(self) -> str:
        return json.dumps({"formula": self.formula, "values": self.values, "boolean": self.boolean})


@dataclass(frozen=True)
class Outcome:
    """What one of them made of it: a value, or an error when it was compiled or run."""

    stage: str
    value: float | bool | None = None
    error: str = ""

    def same(self, other: "Outcome") -> bool:
        if self.stage != "value" or other.stage != "value" or None in (self.value, other.value):
            return self.stage == other.stage and self.value is other.value
        return math.isclose(self.value, other.value, rel_tol=1e-9, abs_tol=1e-9)


@dataclass(frozen=True)
class Answers:
    """What all made of it."""

    ours: Outcome
    keda: Outcome
    plain: Outcome  # expr without its optimiser


@dataclass(frozen=True)
class Difference:
    """Something in which llm-scaler differs from KEDA, on purpose."""

    name: str
    reason: str
    applies: Callable[[Case, Answers], bool]
    example: str


NOT_A_NUMBER = re.compile("^(division by zero|overflow|integer overflow|not a number) in ")
LIMITS = re.compile("nests deeper|is deeper|more than|at most|nested deeper")
STATIC_CRASH = re.compile("interface conversion: interface {} is (nil|float64), not int")
ROUNDED_POWER = re.compile(r"(int|ceil|floor|round)\((.|\n)*(\*\*|\^)|(\*\*|\^)(.|\n)*([<>=]|int|ceil|floor|round)")
SLIPPED = re.compile(r"findLast|last(.|\n)*filter|filter(.|\n)*(last|\[ *-)")

DIFFERENCES = (
    Difference(
        "not a number",
        "Infinity, NaN and wrapped integers are errors where they are reached: none can become replicas",
        lambda _case, its: its.ours.stage == "run" and bool(NOT_A_NUMBER.match(its.ours.error)),
        "a / (b - b)",
    ),
    Difference(
        "left out",
        "strings, maps, members, dates and bits cannot take part in a formula over numbers",
        lambda _case, its: its.ours.stage == "compile" and its.ours.error.endswith("llm-scaler does not"),
        'len("abc")',
    ),
    Difference(
        "limits",
        "the text comes from strangers: length, size, nesting, arrays and work are bounded tighter than in expr",
        lambda _case, its: its.ours.stage != "value" and bool(LIMITS.search(its.ours.error)),
        "sum(1..2000)",
    ),
    Difference(
        "optimised away",
        "expr's optimiser drops or folds parts that would have failed, or fails early on ones that are never reached",
        lambda _case, its: its.ours.same(its.plain) and not its.plain.same(its.keda),
        "first([a]) and false ? 1 : 2",
    ),
    Difference(
        "not wrapped",
        "KEDA takes a formula that only starts with float( for wrapped, then fails on its integer or boolean",
        lambda case, its: case.formula.startswith("float(") and "run" in (its.keda.stage, its.ours.stage),
        "float(a) > 1 ? 5 : 2",
    ),
    Difference(
        "wrapped as text",
        "KEDA's bracket also closes `a) + (b`, takes the comma of `a,`, and vanishes in a last line's comment",
        lambda case, its: _changes_the_wrap(case.formula.rstrip(), its),
        "a // the load",
    ),
    Difference(
        "integers that are none",
        "where expr's checker believes in an integer, == crashes on the nil or float that came; here it compares",
        lambda _case, its: bool(STATIC_CRASH.search(its.keda.error)) and its.ours.stage == "value",
        "findIndex([a], # > 100) == 1 ? 1 : 2",
    ),
    Difference(
        "slipped stack",
        "findLast and what expr turns into it leave a boolean on its stack: to the right of anything it fails or lies",
        lambda case, _its: bool(SLIPPED.search(case.formula)),
        "1 + findLast([a, b], # > 0)",
    ),
    Difference(
        "reduce's initial value",
        "`#` in it is the outer element to expr's checker and the first inner one to its compiler: refused",
        lambda _case, its: its.ours.error.endswith("name it with let before reduce"),
        "sum([a], reduce(1..3, # + #acc, #))",
    ),
    Difference(
        "empty concat",
        "concat of empty arrays is nil to expr's ?? and ==, since Go's empty slice is; here it is an array",
        lambda case, _its: "concat" in case.formula and ("??" in case.formula or "nil" in case.formula),
        "concat([]) == nil ? 1 : 2",
    ),
    Difference(
        "last digit of a power",
        "Go computes powers itself and the C library more exactly; int(...) or a comparison can make it seen",
        lambda case, its: its.ours.stage == its.keda.stage == "value" and bool(ROUNDED_POWER.search(case.formula)),
        "int(1000000 ** 2.5) % 2",
    ),
    Difference(
        "functions as values",
        "expr lets a function's name pass where it is not called, and finds nil there; here it is no variable",
        lambda _case, its: its.ours.error.endswith("is a function, not a variable"),
        "let f = max; a",
    ),
)


def _changes_the_wrap(text: str, its: Answers) -> bool:
    if its.ours.stage == "compile":
        return text.endswith(",") or _falls_below_zero(text)
    return its.keda.stage == "compile" and "//" in text.splitlines()[-1]


def _falls_below_zero(text: str) -> bool:
    """Whether a bracket closes what the formula did not open."""
    depth = 0
    for character in re.sub(r"//.*|/\*(.|\n)*?\*/", "", text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth < 0:
            return True
    return False


class Oracle:
    """The Go program, asked line by line."""

    def __init__(self, program: Path) -> None:
        self._process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, cases: list[Case]) -> Iterator[tuple[Case, Answers]]:
        """Ask a few at a time, so that neither pipe fills up."""
        for start in range(0, len(cases), 20):
            some = cases[start : start + 20]
            self._process.stdin.write("".join(case.line() + "\n" for case in some))
            self._process.stdin.flush()
            for case in some:
                answer = json.loads(self._process.stdout.readline())
                yield case, Answers(ours(case), _outcome(answer["keda"]), _outcome(answer["plain"]))

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


def _outcome(answer: Mapping[str, str]) -> Outcome:
    if answer["stage"] != "value":
        return Outcome(answer["stage"], error=answer["error"])
    words = {"nil": None, "true": True, "false": False}
    text = answer["value"]
    return Outcome("value", words[text] if text in words else float(text))


def ours(case: Case) -> Outcome:
    try:
        program = parse(case.formula, set(case.values), kind="boolean" if case.boolean else "number")
    except FormulaSyntaxError as error:
        return Outcome("compile", error=error.problem)
    try:
        return Outcome("value", program.evaluate(case.values))
    except EvaluationError as error:
        return Outcome("run", error=str(error))


def explanation(case: Case, its: Answers) -> str:
    """ "same", the name of a row of DIFFERENCES, or "" for what nobody meant."""
    if its.ours.same(its.keda):
        return "same"
    return next((row.name for row in DIFFERENCES if row.applies(case, its)), "")


def shrunk(oracle: Oracle, case: Case) -> Case:
    """A shorter formula that nobody can explain either: ever smaller pieces are cut out while that holds."""
    piece = len(case.formula) // 2
    while piece:
        for start in range(0, len(case.formula), piece):
            text = case.formula[:start] + case.formula[start + piece :]
            shorter = Case(text, case.values, case.boolean)
            ((_, its),) = oracle.ask([shorter])
            if not explanation(shorter, its):
                case = shorter
                break
        else:
            piece //= 2
    return case


@pytest.fixture(scope="module")
def oracle():
    program = ROOT / ".cache" / "oracles" / "expr"
    program.parent.mkdir(parents=True, exist_ok=True)
    settings = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"}  # as the laboratory's, so that what it has built serves
    subprocess.run(
        [GO, "build", "-o", program, "."], cwd=Path(__file__).parent / "expr", env=os.environ | settings, check=True
    )
    oracle = Oracle(program)
    yield oracle
    oracle.close()


@pytest.mark.parametrize("seed", range(6))
def test_generated_formulas_agree_but_for_the_table(oracle, seed):
    grammar = Grammar(seed)
    cases = []
    for number in range(FORMULAS // 6):
        boolean = number % 5 == 4
        text = grammar.broken(boolean=boolean) if number % 3 == 2 else grammar.formula(boolean=boolean)
        cases.append(Case(text, grammar.values(), boolean))
    outcomes: Counter[str] = Counter()
    strange = []
    for case, its in oracle.ask(cases):
        name = explanation(case, its)
        outcomes[name, its.keda.stage] += 1
        if not name:
            strange.append(case)
    assert not strange, f"{len(strange)} unexplained, such as {shrunk(oracle, strange[0])}"
    differ = sum(number for (name, _), number in outcomes.items() if name != "same")
    assert differ <= 0.01 * len(cases), outcomes
    for stage, share in LEAST.items():
        assert outcomes["same", stage] >= share * len(cases), outcomes


@pytest.mark.parametrize("row", DIFFERENCES, ids=lambda row: row.name)
def test_every_difference_is_there(oracle, row):
    ((case, its),) = oracle.ask([Case(row.example, {"a": 3.0, "b": 2.0})])
    assert explanation(case, its) == row.name, its


def test_the_table_of_cases_is_what_expr_says(oracle):
    wrong = []
    expectations = dict(CASES)
    for case, its in oracle.ask([Case(text, VALUES) for text in expectations]):
        expected = expectations[case.formula]
        right = {REFUSED: its.keda.stage == "compile", FAILS: its.keda.stage == "run"}.get(expected)
        if right is None:
            right = its.keda.same(Outcome("value", expected))
        if not right:
            wrong.append((case.formula, expected, its.keda))
    assert not wrong
