"""Two threads that import for the first time at once: they wait for each other."""

import ast
from pathlib import Path

import scaler.sources

ROOM = Path(scaler.sources.__file__).parent


def imports_on_use(tree: ast.Module) -> list[tuple[ast.stmt, bool]]:
    """Every import inside a function, and whether it stands in `with IMPORTING`."""
    guarded = {
        id(one)
        for node in ast.walk(tree)
        if isinstance(node, ast.With) and "IMPORTING" in ast.dump(node.items[0])
        for one in node.body
    }
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = {id(one): one for function in functions for one in ast.walk(function)}
    return [(one, id(one) in guarded) for one in inside.values() if isinstance(one, ast.Import | ast.ImportFrom)]


def test_every_import_on_first_use_waits_for_its_turn():
    found = {
        f"{path.relative_to(ROOM)}:{statement.lineno}": guarded
        for path in ROOM.rglob("*.py")
        for statement, guarded in imports_on_use(ast.parse(path.read_text()))
    }
    assert len(found) >= 6, "there are some"
    assert [place for place, guarded in found.items() if not guarded] == []
