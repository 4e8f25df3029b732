import grpc
import pytest

from scaler.model import errors


def family(cls):
    yield cls
    for child in cls.__subclasses__():
        yield from family(child)


OWN = [
    cls for cls in family(errors.ScalerError) if cls.__module__ == errors.__name__
]  # rooms may have some for themselves


@pytest.mark.parametrize("cls", OWN)
def test_every_error_has_the_name_of_a_grpc_status_and_stands_in_the_tree(cls):
    assert grpc.StatusCode[cls.code]
    assert cls.__name__ in errors.__doc__
    assert cls.__doc__


def test_a_syntax_error_points_at_the_place():
    error = errors.FormulaSyntaxError("waiting\n+ runing", 10, "unknown name runing")
    assert (error.line, error.column) == (2, 3)
    assert str(error) == "formula: unknown name runing (at 2:3)\n  + runing\n    ^"
    assert str(error.placed("f.yaml", "formula")).startswith("f.yaml: formula: unknown name runing (at 2:3)\n")


@pytest.mark.parametrize(
    ("text", "offset", "line", "column", "shown"),
    [
        ("ab", 0, 1, 1, "ab"),
        ("ab", -3, 1, 1, "ab"),
        ("ab", 9, 1, 3, "ab"),
        ("\nab", 0, 1, 1, ""),
        ("\nab", 1, 2, 1, "ab"),
        ("a\nb", 0, 1, 1, "a"),
    ],
)
def test_the_place_lies_within_the_text(text, offset, line, column, shown):
    error = errors.FormulaSyntaxError(text, offset, "odd")
    assert (error.line, error.column) == (line, column)
    assert error.snippet == f"  {shown}\n  {' ' * (column - 1)}^"


def test_a_long_line_is_shown_around_the_place():
    text = "a + " * 100 + "?"
    error = errors.FormulaSyntaxError(text, len(text) - 1, "unexpected ?")
    *_, line, caret = str(error).split("\n")
    assert len(line) < 130
    assert line[caret.index("^")] == "?"
    assert (line, caret) == (f"  {'a + ' * 15}?", f"  {' ' * 60}^"), "60 characters before it"


def test_the_nearest_word_is_offered_only_when_near():
    assert errors.nearest("taget", ["target", "model"]) == ", did you mean target?"
    assert errors.nearest("zzz", ["target", "model"]) == ""
    assert errors.nearest("VLLM ", ["ollama", "vllm"]) == ", did you mean vllm?"


def test_of_a_long_line_a_hundred_and_twenty_characters_are_shown():
    assert errors.FormulaSyntaxError("a" * 130, 0, "odd").snippet == f"  {'a' * 120}\n  ^"
