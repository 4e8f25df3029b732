"""A thread that looks at something again and again, from entering a block until leaving it."""

import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Sampler(ABC):
    """Looks every `pause` seconds while a block runs, and once more at its end: what it waited for is part of it.

    What a look raises ends the looking, and is raised again at the end of the block: a record that broke off is none.

    Args:
        pause: seconds between two looks.
    """

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._over = threading.Event()
        self._broken: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=type(self).__name__.lower(), daemon=True)

    @abstractmethod
    def look(self) -> None:
        """Look once."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        if self._broken is not None and error is None:
            raise self._broken

    def _run(self) -> None:
        try:
            while not self._over.wait(self._pause):
                self.look()
            self.look()
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever runs the block
            self._broken = error
