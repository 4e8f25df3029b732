"""The command: a table of commands, each in a file of its own that is imported when it runs.

So `llm-scaler eval` does not pay for gRPC. Only the files of this folder read the clock and wire the rooms together.
"""

import argparse
import errno
import importlib
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

from scaler import __version__
from scaler.model.errors import ConfigError, ScalerError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})  # of a disk, or of who may write there


@dataclass(frozen=True, slots=True)
class Command:
    """One command: the file it is in, with `configure(parser)` and `run(arguments) -> exit code`, and its help."""

    file: str
    help: str

    def load(self) -> ModuleType:
        """Import the file."""
        return importlib.import_module(f"scaler.cli.{self.file}")


COMMANDS = {
    "serve": Command("serve", "Answer KEDA."),
    "check": Command("check", "Validate formula files, run their tests, and look for mistakes."),
    "eval": Command("evaluate", "Try a formula on values."),
    "ask": Command("ask", "Call a server as KEDA would, and print its three answers."),
    "explain": Command("explain", "Why N? Everything behind the newest answer, down to the HPA."),
    "doctor": Command("doctor", "Why does it not scale? What is wrong, by what evidence, and what repairs it."),
    "scaledobject": Command("scaledobject", "The ScaledObject to paste for what is to be scaled."),
    "signals": Command("signals_table", "What each engine offers, and under which names."),
    "backtest": Command(
        "backtest.command", "Replay the past of a ScaledObject or HPA, and what other settings would have cost."
    ),
    "schema": Command("schema", "The JSON Schema of a formula file or of the settings, for editors."),
    "convert": Command("convert", "Another autoscaler's configuration as a formula file and a ScaledObject."),
    "demo": Command("demo.command", "See a simulated fleet scaled from 0 up and back, with every reason."),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 good; 1 what was given is wrong, or the answer is no; 2 no answer."""
    words = _joined(sys.argv[1:] if argv is None else list(argv))
    parser = _parser(next((word for word in words if word in COMMANDS), ""))
    arguments, rest = parser.parse_known_args(words)
    # argparse does not let positional words follow options that stand between them: `ask HOST:PORT --name a key=value`.
    if any(word.startswith("-") for word in rest) or (rest and not hasattr(arguments, "pairs")):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        arguments.pairs += rest
    try:
        code = int(arguments.run(arguments))
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except ScalerError as error:
        print(f"llm-scaler: {error}", file=sys.stderr)
        return 1 if isinstance(error, ConfigError) else 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _print_nowhere()
        return 0
    except OSError as error:
        if error.errno not in FULL or error.filename:
            raise
        print(f"llm-scaler: what is printed cannot be written: {error.strerror}", file=sys.stderr)
        _print_nowhere()
        return 2


def _print_nowhere() -> None:
    """Let what is still to be printed go: it could not be written, and at the end Python would try again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _joined(words: Sequence[str]) -> list[str]:
    """Join an option and a span of time that begins like one: `--from -14d` becomes `--from=-14d`."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1].startswith("--") and re.fullmatch(r"-[\d.]+(ms|s|m|h|d)", word):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _parser(chosen: str) -> argparse.ArgumentParser:
    """Make a parser that knows the words of every command, and the options of the chosen one."""
    parser = argparse.ArgumentParser(prog="llm-scaler", description="A KEDA external scaler for LLM inference.")
    parser.add_argument("--version", action="version", version=f"llm-scaler {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for word, command in COMMANDS.items():
        own = commands.add_parser(word, help=command.help, description=command.help)
        if word == chosen:
            file = command.load()
            file.configure(own)
            own.set_defaults(run=file.run)
    return parser
