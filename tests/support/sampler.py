"""A thread that records something from entering a block until leaving it."""

import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Recorder(ABC):
    """Records in a thread while a block runs.

    What recording raises ends it, and is raised again at the end of the block: a record that broke off is none.
    """

    def __init__(self) -> None:
        self._over = threading.Event()  # set when the block ends
        self._broken: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=type(self).__name__.lower(), daemon=True)

    @abstractmethod
    def record(self) -> None:
        """Record until `_over` is set."""

    def wake(self) -> None:  # noqa: B027 - most wait for nothing else
        """Do what lets `record` see that `_over` is set, where it waits for something else."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread.is_alive():
            self.wake()
        self._thread.join()
        if self._broken is not None and error is None:
            raise self._broken

    def _run(self) -> None:
        try:
            self.record()
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever runs the block
            self._broken = error


class Sampler(Recorder):
    """Looks every `pause` seconds while a block runs, and once more at its end: what it waited for is part of it.

    Args:
        pause: seconds between two looks.
    """

    def __init__(self, pause: float) -> None:
        super().__init__()
        self._pause = pause

    @abstractmethod
    def look(self) -> None:
        """Look once."""

    def record(self) -> None:
        """Look again and again."""
        while not self._over.wait(self._pause):
            self.look()
        self.look()
