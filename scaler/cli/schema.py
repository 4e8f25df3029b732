"""`llm-scaler schema`: the JSON Schema of a formula file or of the settings, for editors."""

import argparse
import json

from scaler.config.schema import SCHEMAS


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("of", choices=tuple(SCHEMAS), help="what is written")


def run(arguments: argparse.Namespace) -> int:
    """Print the schema."""
    print(json.dumps(SCHEMAS[arguments.of](), indent=2))
    return 0
