"""What llm-scaler said it read, moment by moment, against what the clients had in flight then."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engines.client import Request, between
from support.sampler import Sampler

SIGNALS = ("queued", "waiting", "running")
LOOK = 0.25  # seconds between two looks; llm-scaler decides once a second
_LEEWAY = 1.5  # seconds: it asks half a second back, a scrape takes its time, an engine tells of its last step


@dataclass(frozen=True, slots=True)
class Entry:
    """One decision."""

    at: float  # for which time it was made; of the machine's monotonic clock, as below
    seen: float  # when it was told: no page was read later
    certain: bool
    answered: int | None  # pods whose page it has
    read: Mapping[str, float | None]
    age: float  # of the oldest sample, in seconds


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A certain reading that cannot have been so at any moment when it may have been taken."""

    entry: Entry
    least: int
    most: int

    def __str__(self) -> str:
        read = ", ".join(f"{name} {value:g}" for name, value in self.entry.read.items() if value is not None)
        return f"at {self.entry.at:.1f}: {read}, while clients had {self.least} to {self.most} in flight"


class Ledger(Sampler):
    """Writes down every decision about a scaled object, from entering the block until leaving it."""

    def __init__(self, explain: Callable[[], Mapping[str, Any]], signals: Sequence[str] = SIGNALS) -> None:
        """Take where decisions come from: a function that returns the newest one as JSON, empty if there is none.

        Args:
            explain: that function.
            signals: the inputs that are read; the last one is the pods' own.
        """
        super().__init__(LOOK)
        self.entries: list[Entry] = []
        self._explain = explain
        self._signals = signals
        self._behind = time.time() - time.monotonic()

    def certain(self) -> list[Entry]:
        """Return the decisions that were called certain, and had all their readings."""
        return [entry for entry in self.entries if entry.certain and None not in entry.read.values()]

    def loaded(self) -> list[Entry]:
        """Return those of them that read some load."""
        return [entry for entry in self.certain() if sum(value or 0.0 for value in entry.read.values()) > 0]

    def mismatches(self, requests: Collection[Request], scrape: float) -> list[Mismatch]:
        """Hold every certain reading against what clients had in flight.

        Args:
            requests: all that were sent, when they have ended.
            scrape: seconds between two scrapes, which is how late a sample may be.
        """
        wrong = []
        for entry in self.certain():
            late = max(scrape, entry.age) + _LEEWAY
            true = between(requests, entry.at - late, entry.seen)
            if not true.least <= sum(value or 0.0 for value in entry.read.values()) <= true.most:
                wrong.append(Mismatch(entry, true.least, true.most))
        return wrong

    def look(self) -> None:
        """Write the newest decision down, if it is another one."""
        try:
            told = self._explain()
        except OSError:
            return
        if not told or (self.entries and self.entries[-1].at == told["at"] - self._behind):
            return
        facts = {fact["name"]: fact for fact in told["inputs"] if fact["name"] in self._signals}
        self.entries.append(
            Entry(
                at=told["at"] - self._behind,
                seen=time.monotonic(),
                certain=told["certainty"] == "certain",
                answered=facts[self._signals[-1]]["answered"],
                read={name: fact["newest"] for name, fact in facts.items()},
                age=max((fact["age"] or 0.0 for fact in facts.values()), default=0.0),
            )
        )
