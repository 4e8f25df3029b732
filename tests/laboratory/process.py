"""One program of the laboratory: started, watched, logged, and gone when the laboratory is gone."""

import os
import random
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import requests

_BLOCK = 500  # ports of one interpreter
_CLAIMS: list[socket.socket] = []  # kept open


class LabError(Exception):
    """Something in the laboratory did not come about; the message says what, and how the part's log ends."""


@dataclass(frozen=True, slots=True)
class Part:
    """How one program is run."""

    name: str
    command: tuple[str, ...]
    ready: Callable[[], bool]  # cheap, asked several times a second
    env: Mapping[str, str] = field(default_factory=dict)
    data: Path | None = None  # what it keeps on disk; `empty` starts remove it


class Process:
    """A running Part. Its output goes to LOGS/NAME.log; its group is killed as one."""

    def __init__(self, part: Part, home: Path, logs: Path) -> None:
        self.part = part
        self._home = home
        self._log = logs / f"{part.name}.log"
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    def start(self, empty: bool = False) -> None:
        """Start it; with `empty`, without anything it kept on disk."""
        if self.part.data:
            if empty:
                shutil.rmtree(self.part.data, ignore_errors=True)
            self.part.data.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(
                # The kernel kills it should this interpreter die without a chance to do so.
                ["setpriv", "--pdeathsig", "KILL", "--", *self.part.command],
                env={"PATH": os.environ["PATH"], "HOME": str(self._home), **self.part.env},
                cwd=self._home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C at the terminal is ours to pass on
            )

    def alive(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def check(self) -> None:
        """Raise LabError if it was started and has ended by itself."""
        if self._child is not None and self._child.poll() is not None:
            raise LabError(f"{self.part.name} ended with code {self._child.returncode}; its log ends:\n{self.tail()}")

    def stop(self, seconds: float = 10) -> None:
        """Ask it to end, and kill it if it has not after `seconds`."""
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        try:
            if self._child:
                self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
        self.kill()

    def kill(self) -> None:
        """End it at once, as a lost machine would."""
        self._signal(signal.SIGKILL)
        if self._child:
            self._child.wait()
        self._child = None

    def pause(self) -> None:
        """Freeze it: its port accepts connections and nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def tail(self, lines: int = 20) -> str:
        """The last lines of its log."""
        text = self._log.read_text(errors="replace") if self._log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _signal(self, number: int) -> None:
        if self.alive() and self._child:
            os.killpg(self._child.pid, number)


def answers(url: str, **options: object) -> Callable[[], bool]:
    """A probe: does a GET of `url` give 200?"""

    def probe() -> bool:
        try:
            return requests.get(url, timeout=2, **options).status_code == 200  # type: ignore[arg-type]
        except requests.RequestException:
            return False

    return probe


def free_ports() -> Iterator[int]:
    """Return loopback ports that nobody listens on, one after the other, none of them twice in the life of this interpreter.

    They lie below the range from which the kernel takes outgoing connections' ports, so a part that is stopped finds its port free
    when it is started again.
    """
    return filter(_free, _own_ports())


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


@cache
def _own_ports() -> Iterator[int]:
    """The ports of a block that no other laboratory on this machine uses: two that start at once do not meet.

    Raises:
        LabError: all blocks are taken.
    """
    blocks = list(range(20_000, 32_000, _BLOCK))
    random.shuffle(blocks)
    for block in blocks:
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0llm-scaler-lab-{block}")  # a name without a file, which goes when this process does
        except OSError:
            claim.close()
            continue
        _CLAIMS.append(claim)
        return iter(range(block, block + _BLOCK))
    raise LabError(f"{len(blocks)} laboratories run on this machine already")
