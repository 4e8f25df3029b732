import pytest

from scaler.formula.lexer import TokenKind, tokens
from scaler.model.errors import FormulaSyntaxError


def words(text):
    return [token.text for token in tokens(text)][:-1]


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("1..3", ["1", "..", "3"]),
        ("1...3", ["1", "..", ".3"]),
        ("1.2..3", ["1.2", "..", "3"]),
        ("a?.5:b", ["a", "?.", "5", ":", "b"]),
        ("a??b?c", ["a", "??", "b", "?", "c"]),
        ("a<=b!=c**d", ["a", "<=", "b", "!=", "c", "**", "d"]),
        ("a&&b||!c", ["a", "&&", "b", "||", "!", "c"]),
        ("#index+##x", ["#", "index", "+", "##", "x"]),
        ("a//b\nc/*d\n*/e", ["a", "c", "e"]),
        ("0x1e5 1e5 1E-5 .5", ["0x1e5", "1e5", "1E-5", ".5"]),
        ("größe_1 $x", ["größe_1", "$x"]),
        ("sort(x, 'desc')", ["sort", "(", "x", ",", "desc", ")"]),
    ],
)
def test_text_is_cut_as_expr_cuts_it(text, cut):
    assert words(text) == cut


def test_tokens_know_their_place_and_end_with_an_end():
    *found, end = tokens("ab + #c")
    assert [(token.offset, token.end) for token in found] == [(0, 2), (3, 4), (5, 6), (6, 7)]
    assert (end.kind, end.offset, str(end)) == (TokenKind.END, 7, "end of the formula")


def test_words_of_the_language_are_operators_unless_they_follow_a_sharp():
    assert [token.kind for token in tokens("in #in")][:3] == [TokenKind.OPERATOR, TokenKind.OPERATOR, TokenKind.NAME]


@pytest.mark.parametrize(
    ("text", "offset", "problem"),
    [
        ("a @ b", 2, "unrecognized character '@'"),
        ("a²", 1, "unrecognized character '²'"),
        ("#a²", 2, "unrecognized character '²'"),
        ("\ud800", 0, "unrecognized character '\\ud800'"),
        ("1 + 0b12", 4, "bad number '0b12'"),
        ("3x", 0, "bad number '3x'"),
        ("a /* b", 2, "unclosed comment"),
        ("len('abc')", 4, "expr has strings, llm-scaler does not"),
        ("a" * 129, 0, "a name of 129 characters, at most 128"),
        ("1" * 129, 0, "a number of 129 characters, at most 128"),
    ],
)
def test_what_cannot_be_cut_is_told_with_its_place(text, offset, problem):
    with pytest.raises(FormulaSyntaxError) as caught:
        list(tokens(text))
    assert (caught.value.offset, caught.value.problem) == (offset, problem)
