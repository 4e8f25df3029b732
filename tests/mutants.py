"""Mutation testing of the pure rooms, run by hand: does any test notice when the code says something else?

usage: python tests/mutants.py [--count N] [--seed N] [MODULE ...]      `make mutants` takes 12 of every module

Each mutant is one change in a copy of scaler/: another comparison, `and` for `or`, plus for minus, a number one larger,
a `not` left out. It is killed by a test that fails: first the module's own tests are run, then all tests of its room. What lives is
named with its line, to be killed by a test or explained; the target is that 95 % die.
"""

import argparse
import ast
import contextlib
import importlib
import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LONGEST = 1200  # seconds for the tests of one mutant; one that runs for ever is killed by that
TESTS = {  # module -> the tests that hold it
    "decision/decide.py": "test_decide test_held test_missing test_starting",
    "decision/capacity.py": "test_capacity",
    "decision/groups.py": "test_groups",
    "decision/pace.py": "test_pace",
    "decision/schedule.py": "test_schedule",
    "decision/stalled.py": "test_stalled",
    "decision/starting.py": "test_starting",
    "decision/together.py": "test_together test_groups",
    "decision/wake.py": "test_wake",
    "cluster/admission.py": "test_admission test_gpu",
    "cluster/availability.py": "test_gpu test_exact test_admission",
    "cluster/dra.py": "test_devices",
    "cluster/hpa.py": "test_hpa",
    "cluster/karpenter.py": "test_karpenter test_gpu",
    "cluster/keda.py": "test_keda",
    "cluster/node_fit.py": "test_placement test_gpu",
    "policy/apa.py": "test_apa",
    "policy/group.py": "test_group",
    "policy/hpa.py": "test_hpa",
    "policy/hysteresis.py": "test_hysteresis",
    "policy/kpa.py": "test_kpa",
    "policy/kthena.py": "test_kthena",
    "policy/latch.py": "test_latch",
    "policy/ray.py": "test_ray",
    "policy/step.py": "test_step",
    "policy/wallaroo.py": "test_wallaroo",
    "formula/arrays.py": "test_arrays test_cases",
    "formula/check.py": "test_check test_cases",
    "formula/parser.py": "test_parser test_cases",
    "formula/values.py": "test_values test_cases",
    "sources/pages/aggregate.py": "pages/test_aggregate pages/test_source",
    "engine/turns.py": "test_turns",
    "config/pod_pattern.py": "test_pod_pattern",
}
QUIET = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of a library that was read before pytest began
LIBRARIES = "aiohttp grpc hypothesis kubernetes numpy prometheus_api_client pytest simpleeval yaml"  # read once, before any mutant
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


def room_of(module: str) -> Path:
    return ROOT / "tests" / module.split("/", maxsplit=1)[0]


def lives(copy: Path, module: str) -> bool:
    """Whether all tests pass on a copy: the module's own, then those of its room."""
    own = [str(room_of(module) / f"{name}.py") for name in TESTS[module].split()]
    return passes(copy, own) and passes(copy, [str(room_of(module))])


def passes(copy: Path, tests: list[str]) -> bool:
    """Run tests on a copy in a child of this process, which has the libraries already, and has imported nothing of ours."""
    child = os.fork()
    if child == 0:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        os.setsid()
        signal.alarm(LONGEST)
        sys.path.insert(0, str(copy))
        os.environ["PYTHONPATH"] = str(copy)
        options = ["-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", *QUIET, "-m", "not real", "--timeout", "300"]
        os._exit(pytest.main([*options, *tests]))
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what its tests may have left behind
    return os.waitstatus_to_exitcode(status) == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="such as decision/decide.py; all if none is named")
    parser.add_argument("--count", type=int, default=12, help="mutants of each module")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    os.chdir(ROOT)
    sys.dont_write_bytecode = True
    for library in LIBRARIES.split():
        importlib.import_module(library)
    chance, tried, alive = random.Random(given.seed), 0, []
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "scaler", Path(folder) / "scaler")
        (Path(folder) / "formulas").symlink_to(ROOT / "formulas")
        for module in given.modules or TESTS:
            file = Path(folder) / "scaler" / module
            text = file.read_text(encoding="utf-8")
            if not lives(Path(folder), module):
                print(f"{module}: its tests fail without any change")
                return 2
            file.write_text("raise RuntimeError", encoding="utf-8")
            if lives(Path(folder), module):
                print(f"{module}: its tests do not import it from the copy")
                return 2
            print(f"{module} ...", flush=True)
            total = len(list(places(ast.parse(text))))
            for number in sorted(chance.sample(range(total), min(given.count, total))):
                mutant, line = changed(text, number)
                file.write_text(mutant, encoding="utf-8")
                tried += 1
                if lives(Path(folder), module):
                    alive.append(f"{module}:{line}: {text.splitlines()[line - 1].strip()}")
                    print("lives:", alive[-1], flush=True)
            file.write_text(text, encoding="utf-8")
    print(f"{tried - len(alive)} of {tried} killed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
