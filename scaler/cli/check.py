"""`llm-scaler check`: formula files before they are served."""

import argparse
from pathlib import Path

from scaler.check import check_paths
from scaler.cli.arguments import pair
from scaler.config.catalog import shipped_formulas


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("files", nargs="*", metavar="FILE", help="formula files or folders; the shipped ones if none")
    parser.add_argument(
        "pairs", nargs="*", metavar="KEY=VALUE", help="what a trigger says, such as engine=sglang target=4"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print what is wrong with each file; 1 when anything is."""
    words = [*arguments.files, *arguments.pairs]
    pairs = [word for word in words if "=" in word and not Path(word).exists()]
    paths = [Path(word) for word in words if word not in pairs]
    text, good = check_paths(paths or [shipped_formulas()], dict(pair(word, str) for word in pairs))
    print(text, end="")
    return 0 if good else 1
