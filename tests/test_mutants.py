"""The command `make mutants` changes what it says, one place at a time, and nothing else."""

import random
import sys
from types import SimpleNamespace

import pytest
from mutants.change import sample

MODULE = '''"""A module."""

from __future__ import annotations

from functools import cache

LEAST = 2


@cache
def chosen(a: int, b: int, names: tuple[str, ...] = ()) -> object:
    """Choose."""
    if a < b and not names:
        return min(a, b) + LEAST
    match a:
        case 3:
            return [pair for pair in zip((a,), (b,), strict=True)]
    return f"{a * 2:>4} {all(names)}"
'''
WHAT_IS_SAID = [(1, 2), (2, 2), (3, 2), (5, 2), (1, 2, ("x",)), (5, 2, ("", "x"))]


@pytest.fixture
def switched(tmp_path, monkeypatch):
    """The module with a switch at every place, and what it says with one of them on."""
    file = tmp_path / "module.py"
    file.write_text(MODULE)
    places, text = sample(file, "module.py", 1000, random.Random(1), first=7)

    def said(on):
        switch = SimpleNamespace(mutant_here=lambda number: number == on)
        monkeypatch.setitem(sys.modules, "mutant_switch", switch)
        names = {}
        exec(compile(text, "module.py", "exec", dont_inherit=True), names)
        return [names["chosen"](*given) for given in WHAT_IS_SAID]

    return places, said


def test_each_place_is_changed_by_its_own_switch_alone(switched):
    places, said = switched
    original = said(None)
    assert original == [3, "   4 True", [(3, 2)], "  10 True", "   2 True", "  10 False"]
    assert [place.number for place in places] == list(range(7, 7 + len(places)))
    assert {place.text.rpartition("[")[2] for place in places} == {
        "2 -> 3 in LEAST = 2]", "< -> <=]", "and -> or]", "not -> ]", "min -> max]", "+ -> -]", "* -> +]",
        "2 -> 3 in a * 2]", "all -> any]",
    }  # fmt: skip
    assert all(said(place.number) != original for place in places)


def test_the_line_tells_where_it_is(switched):
    places, _ = switched
    lines = MODULE.splitlines()
    assert all(place.text.partition("  [")[0] == lines[place.line - 1].strip() for place in places)
