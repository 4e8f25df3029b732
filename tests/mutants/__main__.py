"""Mutation testing of the pure rooms, run by hand: does any test notice when the code says something else?

usage: PYTHONPATH=tests python -m mutants [--count N] [--seed N] [MODULE ...]      `make mutants` takes 10 of every module

Each mutant is one change in a copy of scaler/: another comparison, `and` for `or`, plus for minus, a number one larger, a `not`
left out, min for max. It is killed by a test that fails: of those that reach it the module's own come first, then the quickest. What
lives is named with its line, to be killed by a test, or explained in explained.yaml where no test can tell it from the original.

The command succeeds if 95 % of what is not explained were killed, and if every explanation still explains something.
"""

import argparse
import ast
import importlib
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import yaml

from mutants.change import SWITCH, Place, sample, texts
from mutants.play import ROOT, play

TARGET = 0.95
ROOMS = {  # room -> its modules, folders whose tests hold them, and others (or files) that reach them too
    "model": ("*.py", "model docs", "config cluster decision"),
    "formula": ("*.py", "formula docs", "check"),
    "policy": ("*.py", "policy docs", "decision"),
    "cluster": ("*.py", "cluster", "decision"),
    "config": ("*.py", "config docs", "check decision"),
    "decision": ("*.py", "decision", "engine/test_groups.py engine/test_variants.py engine/test_engine.py"),
    "wiring": ("**/*.py", "wiring", ""),
    "sources": ("pages/[ahnp]*.py", "sources/pages", ""),
    "engine": ("turns.py", "engine/test_turns.py", "engine/test_engine.py"),
}
MORE = {  # modules of which more are tried
    "decision/decide.py": 4, "decision/resolve.py": 4, "decision/evaluate.py": 4, "decision/certainty.py": 4,
    "decision/state.py": 4, "decision/pace.py": 2, "decision/capacity.py": 2, "decision/starting.py": 2,
    "cluster/hpa.py": 2, "cluster/availability.py": 3, "cluster/node_fit.py": 2, "cluster/karpenter.py": 2,
}  # fmt: skip
LIBRARIES = "aiohttp grpc hypothesis kubernetes numpy prometheus_api_client pytest simpleeval yaml"  # read once, before any mutant
EXPLAINED = Path(__file__).with_name("explained.yaml")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "modules", nargs="*", metavar="MODULE", help="such as decision/decide.py, or a room; all if none is named"
    )
    parser.add_argument("--count", type=int, default=10, help="mutants of each module; of the greatest more")
    parser.add_argument(
        "--quick", action="store_true", help="only the tests of a room itself, not those that reach it too"
    )
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    os.chdir(ROOT)
    sys.dont_write_bytecode = True
    for library in LIBRARIES.split():
        importlib.import_module(library)
    explained = _explained()
    table: dict[str, list[int]] = {}
    for room, (pattern, folders, wider) in ROOMS.items():
        files = sorted((ROOT / "scaler" / room).glob(pattern))
        modules = [str(file.relative_to(ROOT / "scaler")) for file in files]
        wanted = [one for one in modules if not given.modules or one in given.modules or room in given.modules]
        if wanted:
            table |= _room(
                wanted, folders.split(), wider.split() if not given.quick else [], given.count, given.seed, explained
            )
    stale = [f"{module}: {text}" for module, known in explained.items() for text in known if text not in _known(module)]
    for one in stale:
        print(f"explained, but not there any more: {one}")
    print(f"\n{'module':32}{'tried':>7}{'killed':>8}{'lived':>7}{'explained':>11}")
    for module, (tried, killed, lived, told) in (table | {"total": _sum(table)}).items():
        print(f"{module:32}{tried:7}{killed:8}{lived:7}{told:11}")
    tried, killed, _, told = _sum(table)
    share = killed / max(tried - told, 1)
    print(f"{share:.1%} of what is not explained killed, at least {TARGET:.0%} wanted")
    return 0 if share >= TARGET and not stale else 1


def _room(
    modules: list[str],
    folders: list[str],
    wider: list[str],
    count: int,
    seed: int,
    explained: Mapping[str, Mapping[str, str]],
) -> dict[str, list[int]]:
    """Try the mutants of a room's modules: module -> tried, killed, lived, explained."""
    table: dict[str, list[int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        shutil.copytree(ROOT / "scaler", copy / "scaler", ignore=shutil.ignore_patterns("__pycache__"))
        (copy / "formulas").symlink_to(ROOT / "formulas")
        (copy / "mutant_switch.py").write_text(SWITCH, encoding="utf-8")
        places: list[Place] = []
        for module in modules:
            file = copy / "scaler" / module
            chance = random.Random(f"{seed} {module}")  # of its own, so that one module draws the same alone
            drawn, text = sample(file, module, count * MORE.get(module, 1), chance, len(places))
            file.write_text(text, encoding="utf-8")
            places += drawn
            if drawn:
                table[module] = [len(drawn), 0, 0, 0]
        print(f"{modules[0].partition('/')[0]}: {len(places)} mutants of {len(table)} modules ...", flush=True)
        lived = _lived(copy, folders, places)
        known = [place for place in lived if place.text in explained.get(place.module, {})]
        lived = [place for place in lived if place not in known]
        if wider and lived:
            lived = _lived(copy, wider, lived)
    for place in known:
        table[place.module][3] += 1
        print(
            f"  explained: {place.module}:{place.line}: {place.text}: {explained[place.module][place.text]}", flush=True
        )
    for place in lived:
        table[place.module][2] += 1
        print(f"  lives: {place.module}:{place.line}: {place.text}", flush=True)
    for row in table.values():
        row[1] = row[0] - row[2] - row[3]
    return table


def _lived(copy: Path, folders: list[str], places: list[Place]) -> list[Place]:
    """Try mutants on the tests of some folders: those that live."""
    lived, by_number = [], {place.number: place for place in places}
    for told in play(copy, folders, places):
        if isinstance(told, str):
            print(f"  {told}", flush=True)
        elif not told.killed:
            place = by_number[told.number]
            lived.append(place)
            where = f"{place.module}:{place.line}: {place.text}"
            print(f"  not killed by {told.tests} tests of {' '.join(folders)}: {where}", flush=True)
    return lived


def _explained() -> dict[str, dict[str, str]]:
    """The changes that are explained, by module: why no test can tell each from the original."""
    written = yaml.safe_load(EXPLAINED.read_text(encoding="utf-8")) or {}
    return {module: {row["change"]: row["why"] for row in rows} for module, rows in written.items()}


def _known(module: str) -> set[str]:
    file = ROOT / "scaler" / module
    source = file.read_text(encoding="utf-8") if file.exists() else ""
    return set(texts(source, ast.parse(source)))


def _sum(table: Mapping[str, list[int]]) -> list[int]:
    return [sum(row[column] for row in table.values()) for column in range(4)]


if __name__ == "__main__":
    sys.exit(main())
