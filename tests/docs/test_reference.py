"""The pages of docs/reference are what the code says now."""

import importlib.util
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "reference"
SPEC = importlib.util.spec_from_file_location("generate", FOLDER / "generate.py")
generate = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(generate)


@pytest.mark.parametrize("name", generate.PAGES)
def test_a_page_is_up_to_date(name):
    assert (FOLDER / name).read_text() == generate.PAGES[name](), "run `make docs`"


def test_no_other_page_is_there():
    assert {path.name for path in (*FOLDER.glob("*.md"), *FOLDER.glob("*.json"))} == set(generate.PAGES)


def test_every_function_of_the_language_has_a_row_and_no_other():
    assert set(generate.FUNCTIONS) == set(generate.BUILTINS)
