"""Expressions for pods that may come from anybody."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaler.config.pod_pattern import MAX_COST, MAX_LENGTH, TooMuch, _Reader, check

FEW = "abcdefghij"


@pytest.mark.parametrize(
    "pattern",
    [
        "", ".*", "llama-.*", "llama-(prefill|decode)-[a-z0-9]{8,10}-[a-z0-9]{5}", r"a\.b", "(?:a|b)+", "^llama-[0-9]+$",
        r"llama-\d+", "[^a-c]x?", "a|", "|".join(f"llama-{number:03}" for number in range(40)), "a{64}", "a{5}b{5}",
    ],
)  # fmt: skip
def test_what_names_of_pods_are_found_by_is_taken(pattern):
    check(pattern)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("a{65}", "repeats that come to 65"),
        ("a{1000}", "repeats that come to 1000"),
        ("(a{10}){10}", "repeats that come to 100"),
        ("(" + "|".join(f".{{0,9}}{letter}" for letter in FEW) + ")", "repeats that come to 90"),
        ("(?i)" + "".join(f"[{chr(0x100 + number)}-\uffff]" for number in range(99)), "no pod's name has"),
        *((odd, r"has \(\? with no colon behind it") for odd in ("(?i)llama", "(?P<name>a)", "(?=a)", "a(?<n>b)")),
        (r"(a)\1", r"cannot be read from '\\\\1' on"),
        (r"\pL", "cannot be read"),
        ("a*+", r"cannot be read from '\+' on"),
        ("a**", r"cannot be read from '\*' on"),
        ("(", "has a group that does not end"),
        (")", r"cannot be read from '\)' on"),
        ("[", r"cannot be read from '\[' on"),
        ("[b-a]", "is no regular expression"),
        ("*", r"cannot be read from '\*' on"),
        ("a{99999999999}", r"cannot be read from '\{99999999999\}' on"),
        ("a{5,3}", "is no regular expression"),
        ("(" * 30 + "a" + ")" * 30, "more than 20 deep"),
        ("a" * (MAX_LENGTH + 1), f"has {MAX_LENGTH + 1} characters"),
        ("a\nb", "not printable ASCII"),
    ],
)  # fmt: skip
def test_what_is_dear_or_cannot_be_read_is_refused_with_its_reason(pattern, said):
    with pytest.raises(TooMuch, match=said):
        check(pattern)


@given(st.text(alphabet="ab-.*+?|()[]{}0123,^$\\d:iP<>", max_size=40))
def test_whatever_is_taken_is_an_expression_and_costs_no_more_than_may_be(pattern):
    try:
        check(pattern)
    except TooMuch:
        return
    re.compile(pattern)
    assert _Reader(pattern).either()[1] <= MAX_COST


@given(st.lists(st.tuples(st.sampled_from(FEW), st.integers(0, 30)), min_size=1, max_size=8))
def test_repeats_add_up_to_what_they_stand_for(parts):
    """`a{3}b{4}` is `aaabbbb`: what it is written out to is as long as it costs, and a repeat of 0 costs one."""
    pattern = "".join(f"{letter}{{{times}}}" for letter, times in parts)
    assert _Reader(pattern).either()[1] == sum(max(times, 1) for _, times in parts)


def test_twenty_characters_tell_where_it_cannot_be_read():
    with pytest.raises(TooMuch, match=f"cannot be read from '[)]{'a' * 19}' on"):
        check("b)" + "a" * 40)


@pytest.mark.parametrize(("deep", "taken"), [(20, True), (21, False)])
def test_groups_within_groups_are_twenty_deep_at_most_and_those_beside_one_another_are_none(deep, taken):
    nested = "(" * deep + "a" + ")" * deep
    if taken:
        check(f"{nested}{nested}{'(a)' * 30}")
    else:
        with pytest.raises(TooMuch, match="more than 20 deep"):
            check(f"{'(a)' * 30}{nested}")


@pytest.mark.parametrize(
    ("pattern", "length", "cost"),
    [
        ("abc", 3, 0), ("a|bc|d", 4, 0), ("a{3}|b{4}|c", 8, 7), ("(ab|c){5}", 15, 15), ("(a{2}b){3}", 9, 9), ("[a-z]+x?", 2, 2),
        ("a{0}", 1, 1), ("(ab{4}){2,}", 10, 10), ("(a|b)*", 2, 2), ("a{2,7}?", 7, 7),
    ],
)  # fmt: skip
def test_what_a_pattern_stands_for_is_as_long_as_it_is_written_out_and_repeats_cost_that(pattern, length, cost):
    assert _Reader(pattern).either() == (length, cost)
