"""What happened to replicas over time: a thread that looks at Deployments again and again, also while parts are down.

`States` watches them in place of that, so it misses no state, and needs an API server that is there.
"""

import time
from collections.abc import Callable, Iterable
from itertools import pairwise, product
from typing import Self

import requests
from laboratory.lab import Lab
from laboratory.process import LabError
from support.sampler import Recorder, Sampler

PAUSE = 0.25  # seconds between two looks; the HPA, the only one to lower, looks every 5


class Watch(Sampler):
    """The replicas asked for of some Deployments, from entering the block until leaving it."""

    def __init__(self, lab: Lab, *names: str) -> None:
        super().__init__(PAUSE)
        # Seconds since the start, and replicas.
        self.changes: dict[str, list[tuple[float, int]]] = {name: [] for name in names}
        self._lab = lab
        self._began = time.monotonic()

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

    def look(self) -> None:
        """Note what has changed."""
        try:
            found = {item["metadata"]["name"]: item for item in self._lab.api.items("Deployment", "default")}
        except (requests.RequestException, LabError):
            return  # the API server is down; a scenario may want it so
        for name, changes in self.changes.items():
            count = found[name]["spec"]["replicas"] if name in found else 0
            if not changes or changes[-1][1] != count:
                changes.append((self.now(), count))


Counts = dict[str, int]  # replicas asked for, by Deployment


class States(Recorder):
    """Every state of some Deployments that the API server ever showed, from entering the block until leaving it.

    They have to be there when it is entered.
    """

    def __init__(self, lab: Lab, *names: str) -> None:
        super().__init__()
        self.seen: list[tuple[float, Counts]] = []  # seconds since the start, and what it was from then on
        self._lab = lab
        self._names = names
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        super().__enter__()
        self._lab.wait(lambda: len(self.newest()) == len(self._names), 30, "the first state of all")
        return self

    def wake(self) -> None:
        """Make an event more, for the watch to end by."""
        last = {"metadata": {"annotations": {"lab/watched": "until here"}}}
        self._lab.api.patch("Deployment", self._names[0], last)

    def record(self) -> None:
        """Note every state that the watch shows."""
        counts: Counts = {}
        for item in self._lab.api.watch("Deployment", "default"):
            if self._over.is_set():
                return
            name = item["metadata"]["name"]
            if name not in self._names or counts.get(name) == item["spec"]["replicas"]:
                continue
            counts = {**counts, name: item["spec"]["replicas"]}
            if len(counts) == len(self._names):
                self.seen.append((time.monotonic() - self._began, counts))

    def newest(self) -> Counts:
        """Return what there is now."""
        return self.seen[-1][1] if self.seen else {}

    def beyond(self, names: Iterable[str], holds: Callable[[Counts], bool]) -> list[Counts]:
        """Return the states of these in which something does not hold that held a step of each before or after.

        Two objects cannot be changed at the same instant: each is taken as it is, as it was before its own last change,
        or as it is after its own next one.
        """
        steps = {name: self._steps(name) for name in names}
        found = []
        for place, (_, counts) in enumerate(self.seen):
            near = [self._near(steps[name], place) for name in steps]
            if not any(holds(dict(zip(steps, choice, strict=True))) for choice in product(*near)):
                found.append({name: counts[name] for name in steps})
        return found

    def longest(self, holds: Callable[[Counts], bool]) -> float:
        """Return for how many seconds something did not hold at most."""
        spells, began = [0.0], None
        for at, counts in self.seen:
            if began is not None and holds(counts):
                spells.append(at - began)
                began = None
            elif began is None and not holds(counts):
                began = at
        return max(spells)

    def came_to(self, name: str, replicas: int) -> float:
        """Return when a Deployment last came to so many replicas, in seconds since the start."""
        counts = [(at, state[name]) for at, state in self.seen]
        changes = [at for (_, before), (at, after) in pairwise(counts) if before != after == replicas]
        return changes[-1]

    def _steps(self, name: str) -> list[tuple[int, int]]:
        """The first place of every count of a Deployment, with the count."""
        steps: list[tuple[int, int]] = []
        for place, (_, counts) in enumerate(self.seen):
            if not steps or steps[-1][1] != counts[name]:
                steps.append((place, counts[name]))
        return steps

    @staticmethod
    def _near(steps: list[tuple[int, int]], place: int) -> set[int]:
        now = max(index for index, (since, _) in enumerate(steps) if since <= place)
        return {count for _, count in steps[max(now - 1, 0) : now + 2]}
