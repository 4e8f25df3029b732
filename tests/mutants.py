"""Mutation testing of the pure rooms, run by hand: does any test notice when the code says something else?

usage: python tests/mutants.py [--count N] [--seed N] [MODULE ...]      `make mutants` takes 12 of every module

Each mutant is one change in a copy of scaler/: another comparison, `and` for `or`, plus for minus, a number one larger,
a `not` left out. It is killed by a test of the module that fails. What lives is named with its line, to be killed by a
test or explained; the target is that 95 % die.
"""

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
LONGEST = 300  # seconds for the tests of one mutant; one that runs for ever is killed by that
TESTS = {  # module -> the tests that hold it
    "decision/decide.py": ["decision/test_decide.py", "decision/test_starting.py"],
    "decision/capacity.py": ["decision/test_capacity.py"],
    "cluster/karpenter.py": ["test_karpenter.py", "test_gpu.py"],
    "cluster/node_fit.py": ["test_placement.py", "test_gpu.py"],
    "cluster/hpa.py": ["test_hpa.py"],
    "policy/latch.py": ["policy/test_latch.py"],
    "policy/hysteresis.py": ["policy/test_hysteresis.py"],
    "sources/pages/aggregate.py": ["sources/pages/test_aggregate.py", "sources/pages/test_source.py"],
    "sources/prometheus/apart.py": ["sources/prometheus/test_strangers.py"],
    "engine/turns.py": ["engine/test_turns.py"],
    "config/pod_pattern.py": ["config/test_pod_pattern.py"],
}
OTHER = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Add,
}  # fmt: skip


def places(tree: ast.AST) -> Iterator[tuple[ast.AST, str, int]]:
    """Every node that can be changed: itself, in which field, at which index (-1: the field is no list)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            yield from ((node, "ops", index) for index, _ in enumerate(node.ops))
        elif isinstance(node, ast.BoolOp | ast.BinOp) and type(node.op) in OTHER:
            yield node, "op", -1
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield node, "not", -1
        elif isinstance(node, ast.Constant) and type(node.value) in {int, float}:
            yield node, "value", -1


def changed(text: str, number: int) -> tuple[str, int]:
    """The module with its `number`th place changed, and the line of it."""
    tree = ast.parse(text)
    node, field, index = list(places(tree))[number]
    if field == "ops":
        node.ops[index] = OTHER[type(node.ops[index])]()  # type: ignore[attr-defined]
    elif field == "op":
        node.op = OTHER[type(node.op)]()  # type: ignore[attr-defined]
    elif field == "value":
        node.value += 1  # type: ignore[attr-defined]
    else:
        node.operand = ast.UnaryOp(ast.Not(), node.operand)  # type: ignore[attr-defined]  # twice is not at all
    return ast.unparse(ast.fix_missing_locations(tree)), node.lineno  # type: ignore[attr-defined]


def lives(copy: Path, tests: list[str]) -> bool:
    """Whether all tests pass on a copy."""
    names = [str(ROOT / "tests" / name) for name in tests]
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "not real", *names]
    where = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(command, cwd=ROOT, env=where, capture_output=True, timeout=LONGEST, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="such as decision/decide.py; all if none is named")
    parser.add_argument("--count", type=int, default=12, help="mutants of each module")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    chance, tried, alive = random.Random(given.seed), 0, []
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "scaler", Path(folder) / "scaler")
        for module in given.modules or TESTS:
            file = Path(folder) / "scaler" / module
            text = file.read_text(encoding="utf-8")
            if not lives(Path(folder), TESTS[module]):
                print(f"{module}: its tests fail without any change")
                return 2
            file.write_text("raise RuntimeError", encoding="utf-8")
            if lives(Path(folder), TESTS[module]):
                print(f"{module}: its tests do not import it from the copy")
                return 2
            total = len(list(places(ast.parse(text))))
            for number in sorted(chance.sample(range(total), min(given.count, total))):
                mutant, line = changed(text, number)
                file.write_text(mutant, encoding="utf-8")
                tried += 1
                if lives(Path(folder), TESTS[module]):
                    alive.append(f"{module}:{line}: {text.splitlines()[line - 1].strip()}")
                    print("lives:", alive[-1], flush=True)
            file.write_text(text, encoding="utf-8")
    print(f"{tried - len(alive)} of {tried} killed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
