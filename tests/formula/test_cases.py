import pytest
from formula.cases import CASES, FAILS, KEDA_EXAMPLES, PUBLISHED, REFUSED, VALUES

from scaler.formula import parse
from scaler.model.errors import EvaluationError, FormulaSyntaxError


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_what_expr_makes_of_it(text, expected):
    if expected == REFUSED:
        with pytest.raises(FormulaSyntaxError):
            parse(text, set(VALUES))
    elif expected == FAILS:
        program = parse(text, set(VALUES))
        with pytest.raises(EvaluationError):
            program.evaluate(VALUES)
    else:
        assert parse(text, set(VALUES)).evaluate(VALUES) == expected


@pytest.mark.parametrize(("text", "values", "expected"), KEDA_EXAMPLES + PUBLISHED)
def test_published_formulas_paste_in_unchanged(text, values, expected):
    program = parse(text, set(values))
    assert program.names == set(values)
    assert program.evaluate(values) == pytest.approx(expected)
