"""How long a backtest of a week takes: `python tests/benchmarks/bench_backtest.py`.

A week of minutes (10,080 ticks; the HPA looks every 15 s, KEDA every 30 s) of the shipped queue-depth, with a load that goes
up and down each day and jumps; the same of KEDA's prometheus trigger, and a file written and read. CPU seconds, best of three.
"""

import math
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.backtests import ours, prometheus, subject

from scaler.model.measurement import Reading
from scaler.sim.backtest import record as records
from scaler.sim.backtest.record import Record
from scaler.sim.backtest.replay import Timing, replay

WEEK, MINUTE = 10_080, 60.0
START = 1_800_000_000.0


def load(tick, chance):
    day = 40 + 35 * math.sin(2 * math.pi * tick / 1440)
    return max(day * (3 if chance.random() < 0.01 else 1) + chance.gauss(0, 4), 0.0)


def past(spec):
    chance = random.Random(1)
    running = [load(tick, chance) for tick in range(WEEK)]
    series = {}
    for query in spec.queries:
        busy = getattr(query, "signal", "running") == "running"
        series[query] = [Reading(running[tick] if busy else 0.0, START + tick * MINUTE) for tick in range(WEEK)]
    return Record("demo", "llama", START, MINUTE, WEEK, {}, [5] * WEEK, [5] * WEEK, series)


def best(play, turns=3):
    spent = []
    for _ in range(turns):
        began = time.process_time()
        play()
        spent.append(time.process_time() - began)
    return min(spent)


def main():
    for name, trigger in (("queue-depth", ours()), ("KEDA's prometheus", prometheus("load", "8"))):
        spec = subject(trigger, maxReplicaCount=40)
        record = past(spec)
        run = replay(spec, record, Timing())
        took = best(lambda spec=spec, record=record: replay(spec, record, Timing()))
        print(f"{name:18} {took:5.1f} s CPU for a week of minutes, {len(run.events):,} scale events")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "past.json.gz"
        wrote = best(lambda: records.write(record, path), 1)
        read = best(lambda: records.read(path), 1)
        print(f"{'record':18} {wrote:5.1f} s to write, {read:.1f} s to read, {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
