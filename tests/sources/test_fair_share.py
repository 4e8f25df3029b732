"""Who gets what there is not enough of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaler.sources.fair_share import share_text, shared


@pytest.mark.parametrize(
    ("wishes", "most", "granted"),
    [
        ("", 2, {}),
        ("A1 A2 A3", 2, {"1": "A", "2": "A"}),
        ("A1 A2 A3 B4", 2, {"1": "A", "4": "B"}),
        ("A1 A2 A3 B4 B5 C6", 4, {"1": "A", "4": "B", "6": "C", "2": "A"}),
        ("A1 A1 A2 B1 B2", 2, {"1": "A", "2": "A"}),
        ("A1 A2 A3 B3", 2, {"1": "A", "3": "B"}),
    ],
)
def test_each_has_one_in_turn_the_oldest_first(wishes, most, granted):
    found = shared([(word[0], word[1]) for word in wishes.split()], most)
    assert list(found.items()) == list(granted.items())


def test_who_has_most_is_named_first():
    granted = dict(enumerate("AABBBCD"))
    assert share_text(granted) == "one of each namespace in turn (B 3, A 2, C 1)"
    assert share_text({1: ""}) == share_text({}) == "one of each namespace in turn"


@given(st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 9))), st.integers(1, 12))
def test_nobody_is_refused_while_another_has_more(wishes, most):
    granted = shared(wishes, most)
    assert len(granted) == min(most, len({wish for _, wish in wishes}))
    wanted = {owner: {wish for who, wish in wishes if who == owner} for owner in "ABC"}
    for mine in wanted.values():
        has = len(mine & granted.keys())
        if has < len(mine):
            assert all(has + 1 >= sum(who == other for who in granted.values()) for other in "ABC")
