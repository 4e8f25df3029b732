"""The thread that watches while a test's block runs."""

import queue
import threading

import pytest
from support.sampler import Recorder, Sampler


class Counting(Sampler):
    def __init__(self, breaks_at=0):
        super().__init__(0.001)
        self.looks, self.breaks_at, self.enough = 0, breaks_at, threading.Event()

    def look(self):
        self.looks += 1
        if self.looks == 3:
            self.enough.set()
        if self.looks == self.breaks_at:
            raise LookupError("nothing there")


def test_it_looks_while_the_block_runs_and_once_more_at_its_end():
    with Counting() as counting:
        assert counting.enough.wait(30)
        counting._pause = 3600
    seen = counting.looks
    assert seen > 3
    assert not counting._thread.is_alive()
    assert counting.looks == seen


def test_a_block_of_no_time_was_looked_at_once():
    with Counting() as counting:
        counting._over.set()
    assert counting.looks >= 1


def test_a_look_that_fails_fails_the_block_and_does_not_hide_what_failed_there():
    with pytest.raises(LookupError, match="nothing there"), Counting(breaks_at=3) as counting:
        assert counting.enough.wait(30)
    with pytest.raises(ZeroDivisionError), Counting(breaks_at=3) as counting:
        1 / (not counting.enough.wait(30))


class Listening(Recorder):
    """Notes what comes, and waits for nothing else."""

    def __init__(self):
        super().__init__()
        self.heard, self.comes = [], queue.Queue()

    def wake(self):
        self.comes.put("the end")

    def record(self):
        while not self._over.is_set():
            self.heard.append(self.comes.get(timeout=30))


def test_one_that_waits_for_something_else_is_woken_at_the_end_of_the_block():
    with Listening() as listening:
        listening.comes.put("a word")
    assert listening.heard[0] == "a word"
    assert not listening._thread.is_alive()
