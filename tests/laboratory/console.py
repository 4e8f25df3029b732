"""A laboratory that is played with at a terminal, until Ctrl-C."""

import shlex
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import requests
from laboratory.build import BuildError
from laboratory.lab import LOGS, Lab
from laboratory.process import LabError


class Console(Protocol):
    """What can be typed, and what it shows."""

    def places(self) -> Mapping[str, str]:
        """Return where everything is: addresses, folders, and commands for another terminal."""

    def obey(self, words: Sequence[str]) -> str:
        """Do what was typed, and return what to say."""

    def state(self) -> str:
        """Return what there is now."""


def played(playing: Callable[[Lab], AbstractContextManager[Console]], words: str) -> None:
    """Run a laboratory until interrupted.

    Args:
        playing: deploys what is played with.
        words: what can be typed.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # a plain kill cleans up, too; a shell's & would have ignored Ctrl-C
        signal.signal(number, signal.default_int_handler)
    try:
        with Lab() as lab, playing(lab) as console:
            lines = [f"{what:12}{where}" for what, where in console.places().items()]
            print(*lines, "", words, "Enter alone shows the fleet; Ctrl-C stops everything.", sep="\n", flush=True)
            _obey(console, lab)
    except KeyboardInterrupt:
        print(f"\nlab: stopped; the logs are in {LOGS}")
    except (BuildError, LabError) as error:
        sys.exit(f"lab: {error}")


def _obey(console: Console, lab: Lab) -> None:
    """Do what is typed; wait for the end of time when nobody can type."""
    for line in sys.stdin:
        try:
            words = shlex.split(line)
            print(console.obey(words) if words else console.state(), flush=True)
        except (LabError, ValueError) as error:
            print(error, flush=True)
        except requests.RequestException as error:
            print(f"no answer from {error.request.url if error.request else error}", flush=True)
        except KeyError as error:
            print(f"there is no part {error}; what runs: {', '.join(lab.memory())}", flush=True)
    while True:
        signal.pause()
