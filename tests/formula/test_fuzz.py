import math

from formula.grammar import FRAGMENTS, NAMES, Grammar
from hypothesis import given, settings
from hypothesis import strategies as st

from scaler.formula import parse
from scaler.model.errors import EvaluationError, FormulaSyntaxError

texts = st.text(max_size=60) | st.lists(st.sampled_from(FRAGMENTS), max_size=20).map("".join)
kinds = st.sampled_from(["number", "boolean"])
values = st.fixed_dictionaries(dict.fromkeys(NAMES, st.none() | st.floats()))


def evaluated(program, given):
    try:
        return program.evaluate(given)
    except EvaluationError as error:
        return error


def examine(text, names, kind, given):
    """Parse and evaluate whatever it is, and hold it to what the API says."""
    try:
        program = parse(text, names, kind=kind)
    except FormulaSyntaxError:
        return
    assert program.nilable <= program.names
    result = evaluated(program, given)
    traced, steps = program.trace(given)
    if isinstance(result, EvaluationError):
        assert traced is None
        assert any(step.error for step in steps)
        return
    assert traced == result
    assert result is None or (isinstance(result, bool) if kind == "boolean" else math.isfinite(result))
    assert not any(step.error for step in steps)
    assert all(step.text == text[step.offset : step.end] for step in steps)


@given(texts, st.none() | st.just(NAMES), kinds, values)
@settings(max_examples=500, deadline=None)
def test_any_text_is_refused_or_evaluated(text, names, kind, given):
    examine(text, names, kind, given)


@given(st.integers(0), st.booleans(), kinds, values)
@settings(max_examples=500, deadline=None)
def test_any_formula_is_evaluated_or_fails_with_a_reason(seed, broken, kind, given):
    grammar = Grammar(seed)
    text = (grammar.broken if broken else grammar.formula)(boolean=kind == "boolean")
    examine(text, NAMES, kind, given)


@given(st.integers(0), values)
@settings(max_examples=200, deadline=None)
def test_brackets_and_comments_change_nothing(seed, given):
    text = Grammar(seed).formula()
    try:
        plain = evaluated(parse(text, NAMES), given)
    except FormulaSyntaxError:
        return
    wrapped = evaluated(parse(f"/* ? */ ({text}) // :", NAMES), given)
    assert wrapped == plain or (isinstance(plain, EvaluationError) and str(wrapped) == str(plain))
