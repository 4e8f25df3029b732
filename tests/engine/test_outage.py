"""Ten minutes without a source: every tick fails, nothing is left behind, and afterwards all is as before."""

import asyncio
import gc
import threading
import tracemalloc

from scaler.config.bind import parse_file
from scaler.config.catalog import Catalog
from scaler.config.defaults import Defaults
from scaler.engine.engine import Engine
from scaler.engine.limits import Limits
from scaler.model.errors import NoAnswer
from scaler.model.measurement import NO_NAMESPACES, Failure, Reading, TriggerRef
from scaler.model.strict_yaml import parse_yaml

START, TICK, TICKS = 100_000.0, 5.0, 120
FORMULA = "name: load\nmetrics: {load: {prometheus: load}}\nformula: load\ntarget: 10\nidleFor: 30s\n"
WORKLOADS = [TriggerRef("team", f"w{number}", (("formula", "load"),)) for number in range(3)]
MORE = 50_000  # bytes that may come and go
BEGUN = 8  # threads that a pool may begin late; one left behind by each tick would be many more


class Source:
    """What answers 40, or nothing."""

    hangs = False

    def fetch(self, queries, times, namespaces=NO_NAMESPACES):
        told = "gives no answer within 2s"
        return {query: [Failure(told, at) if self.hangs else Reading(40.0, at) for at in times] for query in queries}


def held():
    """Bytes of Python's, threads, and tasks."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0], threading.active_count(), len(asyncio.all_tasks())


def test_an_outage_of_ten_minutes_leaves_no_memory_thread_or_task_behind():
    async def scenario():
        source, now = Source(), START
        formulas = Catalog({"load": parse_file(parse_yaml(FORMULA, "load.yaml"), "load.yaml")})
        engine = Engine({"default": source}, formulas, Defaults(scale_down=None), lambda: now, Limits(budget=20))

        async def ticks(count):
            nonlocal now
            said = []
            for _ in range(count):
                now += TICK
                await engine.tick(now)
                said.append(await asyncio.gather(*map(engine.read, WORKLOADS), return_exceptions=True))
            return said

        asked = [asyncio.ensure_future(engine.read(one)) for one in WORKLOADS]
        while len(engine.registry.workloads) < len(WORKLOADS):  # noqa: ASYNC110 - they come one after another
            await asyncio.sleep(0)
        await engine.tick(now)
        await asyncio.gather(*asked)
        await ticks(30)
        source.hangs = True
        said = await ticks(30)
        assert all(one.replicas == 4 for one in said[0]), "held"
        assert all(isinstance(one, NoAnswer) for one in said[-1])
        before = held()
        await ticks(TICKS - 30)
        after = held()
        assert after[0] < before[0] + MORE
        assert after[1] <= before[1] + BEGUN, "threads"
        assert after[2] == before[2], "tasks"
        source.hangs = False
        said = await ticks(2)
        assert {(one.certainty, one.replicas) for one in said[-1]} == {("certain", 4)}
        await engine.close()

    tracemalloc.start()
    try:
        asyncio.run(asyncio.wait_for(scenario(), 60))
    finally:
        tracemalloc.stop()
