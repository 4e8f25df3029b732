"""Single keys from a terminal, while something else is shown there."""

import asyncio
import contextlib
import os
import sys
import termios
import tty
from collections.abc import Callable, Iterator, Mapping


@contextlib.contextmanager
def keyboard(actions: Mapping[str, Callable[[], None]]) -> Iterator[bool]:
    """Call the action of every key that is pressed; gives whether there is a keyboard. Needs a running event loop."""
    if not sys.stdin.isatty():
        yield False
        return
    number, loop = sys.stdin.fileno(), asyncio.get_running_loop()
    before = termios.tcgetattr(number)

    def pressed() -> None:
        for key in os.read(number, 64).decode(errors="ignore"):
            if key in actions:
                actions[key]()

    tty.setcbreak(number)
    loop.add_reader(number, pressed)
    try:
        yield True
    finally:
        loop.remove_reader(number)
        termios.tcsetattr(number, termios.TCSADRAIN, before)
