"""Run the tests of a room on mutants: all tests once, to see which of them reach which place, and then for each mutant only those.

Every mutant runs in a child of a process that has read everything and has run nothing. What is reached while modules are read (a
default, a table) cannot be switched on later: such a mutant gets a process of its own that reads the modules anew.
"""

import contextlib
import functools
import gc
import json
import os
import resource
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mutants.change import Place

ROOT = Path(__file__).parents[2]
LONGEST = 300  # seconds for one test of a mutant that waits for ever
ENOUGH = 15.0  # seconds of processor time for the tests of one mutant: its own first, then the quickest
LOOPS = 8  # seconds of processor time beyond four times what the tests take, after which a mutant runs in a circle
OPTIONS = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not real", "--timeout", str(LONGEST)]
QUIET = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of a library that was read before pytest began


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one mutant."""

    number: int
    killed: bool
    tests: int  # that were there to kill it


def play(copy: Path, folders: Sequence[str], places: Sequence[Place]) -> Iterator[Outcome | str]:
    """Try mutants, and tell what became of each.

    Args:
        copy: the folder that holds the changed scaler/.
        folders: whose tests are run, below tests/.
        places: the mutants.

    Yields:
        An outcome for each mutant, and a text for what goes wrong.
    """
    anew: list[int] = []
    for told in _lines(lambda tell: _room(copy, folders, places, tell)):
        if told[0] == "outcome":
            yield Outcome(*told[1:])
        elif told[0] == "anew":
            anew = told[1]
        else:
            yield told[1]
    for place in places:
        if place.number in anew:
            yield _read_anew(copy, folders, place)


def own(module: str, file: str) -> bool:
    """Whether a file of tests bears the name of a module."""
    return Path(file).name in {f"test_{Path(module).stem}.py", f"test_{Path(module).parent.name}.py"}


# ---- in the process of a room ----------------------------------------------------------------------------------------


def _room(copy: Path, folders: Sequence[str], places: Sequence[Place], tell: Callable[..., None]) -> None:
    _prepared(copy)
    room = _Room(places, tell)
    status = pytest.main([*OPTIONS, *QUIET, *(str(ROOT / "tests" / folder) for folder in folders)], plugins=[room])
    if not room.ran:
        tell("text", f"the tests of {' '.join(folders)} could not be read ({status})")


def _prepared(copy: Path, mutant: int = -1) -> None:
    """Let this process read scaler/ from the copy, and say nothing."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    os.setsid()
    sys.path.insert(0, str(copy))
    os.environ |= {"PYTHONPATH": str(copy), "MUTANT": str(mutant)}
    import hypothesis
    from hypothesis import configuration

    configuration.set_hypothesis_home_dir(str(copy / "hypothesis"))
    phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]  # a smaller example is of no use
    hypothesis.settings.register_profile("mutants", database=None, derandomize=True, phases=phases)
    hypothesis.settings.load_profile("mutants")


@dataclass
class _Room:
    """Stands in for pytest's own loop over the tests."""

    places: Sequence[Place]
    tell: Callable[..., None]
    ran: bool = False
    failed: bool = False
    before: set[int] = field(default_factory=set)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        import mutant_switch  # type: ignore[import-not-found]

        import scaler

        assert Path(scaler.__file__).parent.parent == Path(mutant_switch.__file__).parent, "not read from the copy"
        self.ran, self.switch = True, mutant_switch
        early = set(mutant_switch.reached)
        gc.freeze()
        reach: dict[int, set[int]] = defaultdict(set)
        seconds: dict[int, float] = {}
        for told in _lines(lambda tell: self._look(session.items, tell)):
            if told[0] == "failed":
                self.tell("text", f"{session.items[told[1]].nodeid} fails without any change, and is left out")
            else:
                _, test, seconds[test], reached = told
                for number in reached:
                    reach[number].add(test)
        if len(seconds) < len(session.items) / 2:
            self.tell("text", "most tests fail without any change")
        for place in self.places:
            if place.number not in early:
                tests = self._chosen(session.items, place, reach[place.number] & seconds.keys(), seconds)
                took = sum(seconds[test] for test in tests)
                chosen = [session.items[test] for test in tests]
                status = _child(lambda place=place, chosen=chosen: self._try(place, chosen), 4 * took)
                self.tell("outcome", place.number, status != 0, len(tests))
        self.tell("anew", sorted(early))
        return True

    def _chosen(
        self, items: Sequence[pytest.Item], place: Place, reached: set[int], seconds: dict[int, float]
    ) -> list[int]:
        """The tests that reach a place, by their numbers: its module's own first, then the quickest."""
        order = sorted(reached, key=lambda test: (not own(place.module, str(items[test].path)), seconds[test]))
        chosen, left = [], ENOUGH
        for test in order:
            left -= seconds[test]
            if left > 0 or not chosen:
                chosen.append(test)
        return chosen

    def _try(self, place: Place, tests: Sequence[pytest.Item]) -> None:
        self.switch.active = place.number
        os.environ["MUTANT"] = str(place.number)
        for test, after in zip(tests, [*tests[1:], None], strict=True):
            if not self._passes(test, after):
                os._exit(1)

    def _look(self, items: Sequence[pytest.Item], tell: Callable[..., None]) -> None:
        """Run every test once, and tell its time and the places it reaches; nothing that another test read is kept."""
        caches = [one for one in gc.get_objects() if isinstance(one, functools._lru_cache_wrapper)]
        ours = [one for one in caches if (one.__module__ or "").startswith("scaler")]
        shared: dict[str, set[int]] = defaultdict(set)  # file -> what its fixtures reach, which are made but once
        for number, (item, after) in enumerate(zip(items, [*items[1:], None], strict=True)):
            for cache in ours:
                cache.cache_clear()
            self.switch.reached.clear()
            self.before = set()
            began = time.process_time()
            passes = self._passes(item, after)
            shared[str(item.path)] |= self.before
            if passes:
                reached = sorted(self.switch.reached | shared[str(item.path)])
                tell("passed", number, time.process_time() - began, reached)
            else:
                tell("failed", number)

    def _passes(self, item: pytest.Item, after: pytest.Item | None) -> bool:
        self.failed = False
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
        return not self.failed

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self) -> None:
        self.before = set(self.switch.reached)

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.failed = self.failed or report.failed


# ---- a mutant that is read anew --------------------------------------------------------------------------------------


def _read_anew(copy: Path, folders: Sequence[str], place: Place) -> Outcome:
    """Try a mutant of what is reached while modules are read: on the tests that bear its name, then on those of its room."""
    paths = [ROOT / "tests" / folder for folder in folders]
    files = sorted(str(file) for path in paths for file in ([path] if path.is_file() else path.rglob("test_*.py")))
    first = [file for file in files if own(place.module, file)]
    last = [file for file in files if file not in first]

    def tried() -> None:
        _prepared(copy, place.number)
        for some in filter(None, (first, last)):
            if pytest.main(["-x", *OPTIONS, *QUIET, *some]):
                os._exit(1)

    return Outcome(place.number, _child(tried, 4 * ENOUGH) != 0, len(files))


# ---- children --------------------------------------------------------------------------------------------------------


def _child(work: Callable[[], None], seconds: float) -> int:
    """Do something in a child of this process that may use so much processor time, and return its status."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            with contextlib.suppress(OSError):
                os.setsid()
            limit = int(seconds) + LOOPS
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
            work()
            os._exit(0)
        os._exit(3)
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what its tests may have left behind
    return os.waitstatus_to_exitcode(status)


def _lines(work: Callable[[Callable[..., None]], None]) -> Iterator[list[Any]]:
    """Do something in a child of this process, and yield what it tells while it does."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(out)

        def tell(*told: object) -> None:
            os.write(into, json.dumps(told).encode() + b"\n")

        try:
            work(tell)
        except BaseException as error:  # noqa: BLE001 - nothing of the child may run on as its parent
            tell("text", f"{type(error).__name__}: {error}")
        os._exit(0)
    os.close(into)
    with os.fdopen(out, encoding="utf-8") as lines:
        yield from map(json.loads, lines)
    os.waitpid(child, 0)
