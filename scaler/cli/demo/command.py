"""`llm-scaler demo`: what can be said on the command line."""

import argparse
import asyncio
import math
import os
import sys
import time
from pathlib import Path

from rich.console import Console

from scaler.cli.arguments import real
from scaler.sim.play import Incidents


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--seconds", type=real, default=120.0, metavar="SECONDS", help="how long; 120 if not given")
    parser.add_argument("--speed", type=real, metavar="TIMES", help="how much faster the world runs; 10, or as needed")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write plots of the run to one HTML page")
    for what, meaning in (("--load", "more load comes then; may be given again"), ("--kill", "a replica dies then")):
        parser.add_argument(what, action="append", type=_second, default=[], metavar="SECOND", help=meaning)
    parser.add_argument("--outage", action="append", type=_span, default=[], metavar="FROM-TO", help="no metrics then")
    parser.add_argument("--calm", action="store_true", help="nothing goes wrong by itself")


def run(arguments: argparse.Namespace) -> int:
    """Show it; 0 only when the fleet was really scaled up from 0 and down again."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # else it tells of every connection that ends, into the picture
    from scaler.cli.demo.run import Options, run  # gRPC reads the line above when it is imported

    own = Incidents(tuple(arguments.kill), tuple(arguments.outage), tuple(arguments.load))
    usual = own == Incidents() and not arguments.calm
    options = Options(arguments.seconds, arguments.speed, None if usual else own, arguments.report)
    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=1000)
    return asyncio.run(run(options, time.time, time.monotonic, console))


def _second(raw: str) -> float:
    try:
        second = float(raw)
    except ValueError:
        second = math.nan
    if not 0 <= second < math.inf:
        raise argparse.ArgumentTypeError(f"{raw!r} is not allowed; allowed: a number of seconds, 0 or more")
    return second


def _span(raw: str) -> tuple[float, float]:
    start, _, end = raw.partition("-")
    try:
        begins, ends = float(start), float(end)
    except ValueError:
        begins, ends = math.nan, math.nan
    if not 0 <= begins < ends < math.inf:
        raise argparse.ArgumentTypeError(f"{raw!r} is not allowed; allowed: FROM-TO in seconds, such as 40-60")
    return begins, ends
