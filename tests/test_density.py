"""One thought a line: no comprehension inside a comprehension or a conditional expression, no condition in an f-string.

A comprehension inside another is a loop in a loop without a name; a condition inside an f-string is a sentence in a word.
Both get a named local, or a function. And what a function does is said by a verb, not by a question: "Tell whether it is
due", not "Whether it is due". Ruff holds that the verb is an imperative (D401).
"""

import ast
from pathlib import Path

import pytest

SCALER = Path(__file__).parents[1] / "scaler"
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def too_dense(source):
    """The lines of source code that hold more than one thought."""
    for node in ast.walk(ast.parse(source)):
        inner = [child for child in ast.walk(node) if child is not node]
        folded = isinstance(node, (*COMPREHENSIONS, ast.IfExp)) and any(
            isinstance(one, COMPREHENSIONS) for one in inner
        )
        unnamed = isinstance(node, ast.JoinedStr) and any(isinstance(one, ast.IfExp) for one in inner)
        if folded or unnamed:
            yield node.lineno


def files():
    return [path for path in sorted(SCALER.rglob("*.py")) if "pb" not in path.parts]


@pytest.mark.parametrize(
    ("source", "dense"),
    [
        ("[a for a in b]", False), ("a if b else c", False), ("f'{a}'", False), ("[f(b) for b in c if d]", False),
        ("[[a for a in b] for b in c]", True), ("{a: [b for b in a] for a in c}", True),
        ("[a for a in b] if b else c", True), ("f'{a if b else c}'", True), ("any(x in {y for y in z} for x in w)", True),
        ("f'{[a for a in b]}'", False),
    ],
)  # fmt: skip
def test_the_rule_itself(source, dense):
    assert bool(list(too_dense(source))) == dense


def test_no_line_holds_more_than_one_thought():
    found = [f"{path.relative_to(SCALER)}:{line}" for path in files() for line in too_dense(path.read_text())]
    assert found == [], "give the inner part a name"


def questions(source):
    """The lines of functions whose docstring begins with a question's word."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = (ast.get_docstring(node) or "").partition(" ")[0].rstrip(",:;")
            if first in {"What", "Whether", "How", "Why"}:
                yield node.lineno


@pytest.mark.parametrize(
    ("docstring", "found"),
    [("Whether it is due.", [2]), ("Why, in words.", [2]), ("Why it is due.", [2]), ("Tell whether it is due.", [])],
)
def test_the_rule_of_docstrings_itself(docstring, found):
    for kind in ("def", "async def"):
        assert list(questions(f'class C:\n    {kind} f(self):\n        """{docstring}"""')) == found


def test_no_docstring_of_a_function_begins_with_a_question():
    found = [f"{path.relative_to(SCALER)}:{line}" for path in files() for line in questions(path.read_text())]
    assert found == [], "begin with a verb: return, tell whether, say why"
