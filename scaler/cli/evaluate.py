"""`llm-scaler eval`: one formula on values from the command line."""

import argparse

from scaler.cli.arguments import pairs
from scaler.config.metrics import FUNCTIONS_TOO
from scaler.decision.explain import steps_of
from scaler.decision.render import number_text, step_lines
from scaler.formula import parse
from scaler.model.errors import ConfigError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("formula", help="such as 'waiting + running > 3 ? 2 : 0'")
    parser.add_argument("pairs", nargs="*", metavar="NAME=NUMBER", help="nil leaves a name without a value")
    parser.add_argument("--steps", action="store_true", help="show every step")


def run(arguments: argparse.Namespace) -> int:
    """Print the value, and the steps to it if asked."""
    values = pairs(arguments.pairs, _number_or_nil)
    program = parse(arguments.formula, values, shared=FUNCTIONS_TOO)
    if arguments.steps:
        print("\n".join(step_lines(steps_of(program, values))))
    print(number_text(program.evaluate(values)))
    return 0


def _number_or_nil(raw: str) -> float | None:
    if raw == "nil":
        return None
    try:
        return float(raw)
    except ValueError:
        raise ConfigError("argument", raw, "is not a number", "a number or nil") from None
