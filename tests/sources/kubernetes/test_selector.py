"""Selectors of scale sub-resources."""

import pytest

from scaler.sources.kubernetes.selector import selects

LABELS = (("app", "llama"), ("role/x", "leader"))


@pytest.mark.parametrize(
    ("selector", "taken"),
    [
        ("app=llama", True),
        ("app==llama", True),
        ("app=other", False),
        ("app!=other", True),
        ("app!=llama", False),
        ("zone!=a", True),
        ("app in (llama,other)", True),
        ("app in (other)", False),
        ("app notin (other)", True),
        ("zone notin (a,b)", True),
        ("role/x", True),
        ("!role/x", False),
        ("!zone", True),
        ("app=llama,role/x in (leader,worker),!zone", True),
        ("app=llama,role/x in (worker)", False),
        ("app=", False),
    ],
)
def test_requirements(selector, taken):
    assert selects(selector)(LABELS) is taken


@pytest.mark.parametrize("selector", ["", "app=llama,", "app in llama", "!app=llama", "a b", "app>1"])
def test_what_cannot_be_read_is_not_known(selector):
    assert selects(selector) is None
