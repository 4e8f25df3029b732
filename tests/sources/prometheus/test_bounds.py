"""What a flood of workloads and a server that hangs cost, in what is no time: queries, threads, open files."""

import os
import threading
import time
import tracemalloc
from pathlib import Path

import pytest

from scaler.config.endpoint import Endpoint
from scaler.config.naming import Naming
from scaler.model.measurement import Failure, Reading, SignalQuery
from scaler.sources.prometheus.batch_query import group
from scaler.sources.prometheus.source import CONNECTIONS, PrometheusSource

HONEST = SignalQuery("p", "vllm", "waiting", (("namespace", "demo"), ("model", "m")))


@pytest.mark.parametrize("namespaces", [1, 500])
def test_ten_thousand_made_up_workloads_share_the_query_of_the_honest_one(namespaces):
    flood = [
        SignalQuery("p", "vllm", "waiting", (("namespace", f"n{number % namespaces}"), ("model", f"m{number}")))
        for number in range(10_000)
    ]
    [grouped] = group([*flood, HONEST], Naming())
    assert len(grouped.queries) == 10_001
    assert len(grouped.text) < 20_000, "names that are too many are not written"


def held():
    """Threads of this process, and files that it has open."""
    return threading.active_count(), len(list(Path(f"/proc/{os.getpid()}/fd").iterdir()))


@pytest.mark.real
def test_a_server_that_hangs_for_long_leaves_nothing_behind(start_prometheus):
    """Sixty ticks, as of ten minutes: each costs its time-out, and no thread, file or memory more than the first ones."""
    server = start_prometheus()
    source = PrometheusSource(Endpoint("p", server.url, timeout=0.05))
    before = held()
    server.pause()
    tracemalloc.start()
    try:
        counts, memory = [], []
        for _ in range(60):
            [found] = source.fetch([HONEST], [time.time()])[HONEST]
            assert isinstance(found, Failure)
            counts.append(held())
            memory.append(tracemalloc.get_traced_memory()[0])
    finally:
        server.resume()
        tracemalloc.stop()
    threads, files = (max(column) for column in zip(*counts, strict=True))
    assert threads <= before[0] + CONNECTIONS
    assert files <= before[1] + 2 * CONNECTIONS, "a connection each, and one that is being replaced"
    assert min(memory[-10:]) < max(memory[20:30]) + 50_000, "bytes"
    answers = (source.fetch([HONEST], [time.time()])[HONEST][0] for _ in range(100))
    assert any(isinstance(one, Reading) for one in answers), "it is asked again as before"
    source.close()
