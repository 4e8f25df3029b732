"""CPU of one tick of the engine against the number of workloads: it must grow linearly from 100 to 5,000.

    .venv/bin/python tests/benchmarks/bench_ticks.py

The source answers at once from memory, so that what is measured is ours: who is due, what is asked, the folds and the
publishing. Each number of workloads has a process of its own; the median of its ticks counts, and 1.00x is what one of
100 workloads costs. Besides: the CPU from the first call of a fresh engine, which all make at once, to the last first
answer, and to the end of all pasts.
"""

import asyncio
import statistics
import subprocess
import sys
import time

from scaler.config.catalog import load
from scaler.config.defaults import Defaults
from scaler.engine.engine import Engine
from scaler.engine.limits import Limits
from scaler.model.measurement import NO_NAMESPACES, HistoryProbe, Reading, TriggerRef

SIZES, TICKS, INTERVAL = (100, 500, 1000, 5000), 11, 5.0


class Memory:
    """A source that has every number at hand; its load moves, so that every tick folds something new."""

    def fetch(self, queries, times, namespaces=NO_NAMESPACES):
        return {query: [Reading(self.value(query, at), at, source="memory") for at in times] for query in queries}

    def value(self, query, at):
        return 1.0 if isinstance(query, HistoryProbe) else 5.0 + at % 7


class Fleet:
    """One engine with so many workloads."""

    def __init__(self, size):
        self.size, self.now, self.cpu = size, 1e9, []
        limits = Limits(budget=600.0, workloads=size)
        self.engine = Engine({"default": Memory()}, load(), Defaults(), lambda: self.now, limits)

    async def restart(self):
        """Ask for all of them at once; CPU seconds to the last first answer, and to the end of all pasts."""
        began = time.process_time()
        running = asyncio.create_task(self.engine.run())
        await asyncio.gather(*(self.engine.read(request(number)) for number in range(self.size)))
        answered = time.process_time() - began
        self.now += INTERVAL  # the clock stands still otherwise, and pasts wait until no more come
        workloads = self.engine.registry.workloads.values()
        while not all(item.backfilled for item in workloads):  # noqa: ASYNC110 - pasts are folded one after another
            await asyncio.sleep(0.01)
        running.cancel()
        return answered, time.process_time() - began

    async def tick(self):
        self.now += INTERVAL
        began = time.process_time()
        await self.engine.tick(self.now)
        self.cpu.append(time.process_time() - began)
        assert all(item.folded == self.now for item in self.engine.registry.workloads.values())


def request(number):
    metadata = {"formula": "queue-depth", "model": f"m{number}", "target": "8", "scalerAddress": "llm-scaler.keda:6000"}
    return TriggerRef(f"team-{number // 1000}", f"w{number}", tuple(sorted(metadata.items())))


async def measure(size):
    fleet = Fleet(size)
    first, whole = await fleet.restart()
    for _ in range(TICKS):
        await fleet.tick()
    await fleet.engine.close()
    print(first, whole, statistics.median(fleet.cpu))


def main():
    each = {}
    for size in SIZES:
        command = [sys.executable, __file__, str(size)]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        first, whole, tick = map(float, told.split())
        each[size] = tick / size
        restart = f"at once {first:.2f} s to the last first answer, {whole:.2f} s with all pasts"
        share = each[size] / each[SIZES[0]]
        print(
            f"{size:>5} workloads: {tick * 1000:7.1f} ms a tick, {each[size] * 1e6:4.0f} us each, {share:.2f}x; {restart}"
        )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(measure(int(sys.argv[1])))
    else:
        main()
