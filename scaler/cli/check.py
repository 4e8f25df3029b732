"""`llm-scaler check`: formula files before they are served, and ScaledObjects before they are applied."""

import argparse
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from scaler.check import check_paths
from scaler.check.report import Report, render
from scaler.cli.arguments import pair, read_file, standard_input
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
    parser.add_argument(
        "--formulas",
        metavar="FOLDER",
        help="of your own formula files: for ScaledObjects, and what is checked if no FILE is given",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print what is wrong with each file; 1 when anything is."""
    words = [*arguments.files, *arguments.pairs]
    if "" in words:
        raise ConfigError("argument", "FILE", "is empty", "a file, a folder, or KEY=VALUE")
    pairs = [word for word in words if "=" in word and not Path(word).exists()]
    paths = [Path(word) for word in words if word not in pairs]
    own = Path(arguments.formulas) if arguments.formulas else shipped_formulas()
    manifests, formulas, unreadable = _sorted(paths or [own])
    for one in unreadable:
        print(render(one))
    sound = _check_manifests(manifests, arguments.formulas) and not unreadable
    if formulas or not (manifests or unreadable):
        text, good = check_paths(formulas, dict(pair(word, str) for word in pairs))
        print(text, end="")
        sound &= good
    return 0 if sound else 1


def _sorted(paths: Iterable[Path]) -> tuple[dict[Path, list[Manifest]], list[Path], list[Report]]:
    """Sort files: those with ScaledObjects, with these; formula files and empty folders; and what can be neither."""
    manifests: dict[Path, list[Manifest]] = {}
    formulas, unreadable = [], []
    for path in paths:
        for file in (formula_paths(path) or [path]) if path.is_dir() else [path]:
            try:
                found = _scaled_in(file)
            except ConfigError as error:
                unreadable.append(Report(str(file), 0, (str(error),)))
                continue
            if found is None:
                formulas.append(file)
            else:
                manifests[file] = found
    return manifests, formulas, unreadable


def _scaled_in(file: Path) -> list[Manifest] | None:
    """Return what is scaled in a file of Kubernetes manifests; None where it is a formula file, or cannot be read.

    Raises:
        ConfigError: a manifest is no YAML, or what comes through a pipe is no manifest.
    """
    piped = str(file) == "-" or file.is_fifo()  # it can be read but once
    try:
        text = standard_input() if str(file) == "-" else read_file(file)
    except ConfigError:
        if piped:
            raise
        return None  # the check of formula files says why
    if not re.search(r"^apiVersion:", text, re.MULTILINE):
        if piped:
            raise ConfigError(str(file), "", "holds no manifest", "one; a formula is checked by its file")
        return None
    scaled = [scaled_in(parse_yaml(part, str(file))) for part in _documents(text)]
    return [one for one in scaled if one]


def _documents(text: str) -> Iterator[str]:
    """Yield each document of a YAML stream, with an empty line for each that stands above it: errors name the line."""
    above = 0
    for part in re.split(r"^---.*$", text, flags=re.MULTILINE):
        yield "\n" * above + part
        above += part.count("\n")


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
