"""`llm-scaler check`: formula files before they are served, and ScaledObjects before they are applied."""

import argparse
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from scaler.check import check_paths
from scaler.cli.arguments import pair, read_file
from scaler.config.catalog import formula_paths, load, shipped_formulas
from scaler.config.defaults import Defaults
from scaler.model.errors import ConfigError
from scaler.model.objects import Manifest
from scaler.model.strict_yaml import parse_yaml
from scaler.wiring.manifest import check_manifest, scaled_in, shown


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="formula files, ScaledObjects, or folders of them; the shipped formulas if none",
    )
    parser.add_argument(
        "pairs", nargs="*", metavar="KEY=VALUE", help="what a trigger says, such as engine=sglang target=4"
    )
    parser.add_argument("--formulas", metavar="FOLDER", help="of your own formula files, for ScaledObjects")


def run(arguments: argparse.Namespace) -> int:
    """Print what is wrong with each file; 1 when anything is."""
    words = [*arguments.files, *arguments.pairs]
    pairs = [word for word in words if "=" in word and not Path(word).exists()]
    paths = [Path(word) for word in words if word not in pairs]
    manifests, formulas = _sorted(paths or [shipped_formulas()])
    sound = _check_manifests(manifests, arguments.formulas)
    if formulas or not manifests:
        text, good = check_paths(formulas, dict(pair(word, str) for word in pairs))
        print(text, end="")
        sound &= good
    return 0 if sound else 1


def _sorted(paths: Iterable[Path]) -> tuple[dict[Path, list[Manifest]], list[Path]]:
    """Sort files: those with ScaledObjects, with these; and formula files."""
    manifests: dict[Path, list[Manifest]] = {}
    formulas = []
    for path in paths:
        for file in formula_paths(path) if path.is_dir() else [path]:
            found = _scaled_in(file)
            if found is None:
                formulas.append(file)
            else:
                manifests[file] = found
    return manifests, formulas


def _scaled_in(file: Path) -> list[Manifest] | None:
    """Return what is scaled in a file of Kubernetes manifests; None where it is a formula file, or cannot be read."""
    try:
        text = read_file(file)
    except ConfigError:
        return None  # the check of formula files says why
    if not re.search(r"^apiVersion:", text, re.MULTILINE):
        return None
    documents = [parse_yaml(part, str(file)) for part in re.split(r"^---.*$", text, flags=re.MULTILINE)]
    return [scaled for scaled in map(scaled_in, documents) if scaled]


def _check_manifests(manifests: Mapping[Path, list[Manifest]], formulas: str | None) -> bool:
    if not manifests:
        return True
    catalog = load(Path(formulas) if formulas else None)
    sound = True
    for file, objects in manifests.items():
        if not objects:
            print(f"ok      {file}: nothing in it is scaled")
        for one in objects:
            checked = check_manifest(one, catalog, Defaults(endpoints=()))
            print(shown(checked, str(file)), end="")
            sound &= checked.good
    return sound
