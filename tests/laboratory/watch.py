"""What happened to replicas over time: a thread that looks at Deployments again and again, also while parts are down."""

import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self

import requests
from laboratory.lab import Lab
from laboratory.process import LabError

PAUSE = 0.25  # seconds between two looks; the HPA, the only one to lower, looks every 5


class Watch:
    """The replicas asked for of some Deployments, from entering the block until leaving it."""

    def __init__(self, lab: Lab, *names: str) -> None:
        # Seconds since the start, and replicas.
        self.changes: dict[str, list[tuple[float, int]]] = {name: [] for name in names}
        self._lab = lab
        self._began = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def seen(self, name: str) -> list[int]:
        """Return the replicas in the order in which they were seen, without repetitions."""
        return [count for _, count in self.changes[name]]

    def came_to(self, name: str, replicas: int) -> bool:
        """Return whether that is what a Deployment has now."""
        return self.seen(name)[-1:] == [replicas]

    def falls(self, names: Iterable[str] = ()) -> dict[str, list[int]]:
        """Return what was seen of every Deployment that had fewer replicas at some time than before."""
        seen = {name: self.seen(name) for name in names or self.changes}
        return {name: counts for name, counts in seen.items() if counts != sorted(counts)}

    def at(self, name: str, replicas: int) -> float:
        """Return when a Deployment last came to so many replicas, in seconds since the start."""
        return next(at for at, count in reversed(self.changes[name]) if count == replicas)

    def now(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self._began

    def hold(self, seconds: float) -> None:
        """Let time go by, in which nothing is to happen."""
        began = self.now()
        self._lab.wait(lambda: self.now() - began > seconds, seconds + 30, "time goes by")

    def _run(self) -> None:
        while not self._over.wait(PAUSE):
            self._look()
        self._look()  # what the block has just waited for is part of it

    def _look(self) -> None:
        try:
            found = {item["metadata"]["name"]: item for item in self._lab.api.items("Deployment", "default")}
        except (requests.RequestException, LabError):
            return  # the API server is down; a scenario may want it so
        for name, changes in self.changes.items():
            count = found[name]["spec"]["replicas"] if name in found else 0
            if not changes or changes[-1][1] != count:
                changes.append((self.now(), count))
