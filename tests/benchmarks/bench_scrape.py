"""What it costs to read engines' pages directly: the parser against prometheus_client's, and a sweep of many pods.

    .venv/bin/python tests/benchmarks/bench_scrape.py [PODS] [SWEEPS]

Every pod has a page of 60 kB and a connection of its own; a process of its own serves them all, packed with gzip and
plain. Each workload has ten of them and asks for four signals, among them a quantile over a histogram. Both parsers give
equal values. Last, 1,000 workloads without replicas look at their gateway's page every second.
"""

import asyncio
import gzip
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from engine_page import engine_page
from prometheus_client.parser import text_string_to_metric_families
from sources.web import Web

from scaler.config.catalog import load, shipped_formulas
from scaler.config.defaults import Defaults
from scaler.config.endpoint import Endpoint, Page, PodPages
from scaler.config.signals import find
from scaler.engine.engine import Engine
from scaler.engine.limits import Limits
from scaler.model.measurement import PodAddress, Reading, SignalQuery, TargetPods
from scaler.model.objects import Cluster, ScaledResource
from scaler.sources.pages.exposition import scan
from scaler.sources.pages.names import wanted
from scaler.sources.pages.source import ScrapeSource

PODS, SWEEPS = (int(given) for given in (*sys.argv[1:], *("1000", "8")[len(sys.argv) - 1 :]))
SIGNALS = ("waiting", "running", "kv_cache_usage", "time_to_first_token")
MODEL = "meta-llama/Llama-3.1-8B-Instruct"
EACH = 10  # pods of a workload


# ---- the parser ---------------------------------------------------------------------------------------------------------


def cpu(work: Callable[[], object], times: int) -> float:
    """CPU microseconds of one call."""
    begun = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - begun) / times * 1e6


def parsers() -> None:
    """Ours against theirs, in turns."""
    for names, label in (
        (wanted([find("vllm", name) for name in SIGNALS[:2]]), "2 gauges"),
        (wanted([find("vllm", name) for name in SIGNALS]), "3 gauges and a histogram"),
    ):
        page = engine_page()
        text = page.decode()

        def theirs(text=text, names=names):
            families = text_string_to_metric_families(text)
            return [one for family in families for one in family.samples if one.name in names]

        def ours(page=page, names=names):
            return scan(page, names)

        assert [(one.name, dict(one.labels), one.value) for one in ours()] == [
            (one.name, dict(one.labels), one.value) for one in theirs()
        ]
        rounds = [(cpu(ours, 300), cpu(theirs, 5)) for _ in range(15)]
        ratio = statistics.median(slow / quick for quick, slow in rounds)
        quick, slow = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"{len(page) / 1000:.0f} kB, {label}: {quick:.0f} against {slow:.0f} us of CPU: {ratio:.0f}x")


# ---- the sweep ----------------------------------------------------------------------------------------------------------


class Served(asyncio.Protocol):
    """Answers every request with the same bytes."""

    def __init__(self, answer: bytes) -> None:
        self.answer, self.rest = answer, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        *requests, self.rest = (self.rest + data).split(b"\r\n\r\n")
        self.transport.write(self.answer * len(requests))


def serve(ports: "multiprocessing.Queue[tuple[int, int]]") -> None:
    """Serve the page plain on one port, packed on another."""
    page = engine_page()
    heads = (("", page), ("Content-Encoding: gzip\r\n", gzip.compress(page, 6)))
    answers = [f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{head}\r\n".encode() + body for head, body in heads]

    async def run() -> None:
        loop = asyncio.get_running_loop()
        servers = [
            await loop.create_server(lambda answer=answer: Served(answer), "127.0.0.1", 0, backlog=4096)
            for answer in answers
        ]
        ports.put(tuple(server.sockets[0].getsockname()[1] for server in servers))
        await asyncio.Event().wait()

    asyncio.run(run())


def queries() -> list[SignalQuery]:
    """Four signals of every workload."""
    made = []
    for first in range(0, PODS, EACH):
        names = [f"pod-{number}" for number in range(first, min(first + EACH, PODS))]
        places = frozenset(PodAddress("demo", name, "127.0.0.1", (("path", f"/{name}"),)) for name in names)
        own = TargetPods(frozenset(names), frozenset(names), addresses=places)
        for name in SIGNALS:
            signal = find("vllm", name)
            labels = (("namespace", "demo"), ("model", MODEL))
            query = SignalQuery("pods", "vllm", name, labels, window=signal.window, quantile=signal.quantile)
            made.append(replace(query, target_pods=own))
    return made


def sweep(port: int, label: str) -> None:
    """Read every pod, again and again."""
    endpoint = Endpoint("pods", timeout=4.0, pods=PodPages(port), networks=(ip_network("127.0.0.0/8"),))
    source = ScrapeSource(endpoint, time.time)
    wall, spent, answered = [], [], []
    for _ in range(SWEEPS):
        begun, before = time.perf_counter(), time.process_time()
        found = source.fetch(queries(), [time.time()])
        wall.append(time.perf_counter() - begun)
        spent.append(time.process_time() - before)
        answered.append(
            sum(one[0].answered or 0 for one in found.values() if isinstance(one[0], Reading)) // len(SIGNALS)
        )
        time.sleep(0.5)
    source.close()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{label}: {PODS} pods, {min(answered)} to {max(answered)} answered; first sweep {wall[0]:.2f} s, "
        f"later {statistics.median(wall[1:]):.2f} s (at most {max(wall[1:]):.2f}), "
        f"{statistics.median(spent[1:]) / PODS * 1e6:.0f} us of CPU a pod; {memory:.0f} MB at most"
    )


# ---- those that sleep ---------------------------------------------------------------------------------------------------


def sleeping(count: int = 1000, seconds: int = 20) -> None:
    """Workloads without replicas that look every second at one gateway; each second is played as soon as it can be."""
    page = "".join(f'llm_d_epp_flow_control_queue_size{{target_model_name="m{number}"}} 0\n' for number in range(count))
    web = Web()
    web.paths["/gateway"] = page
    gateway = Page(web.url("/gateway"), {"namespace": "demo"})
    now = [time.time()]
    source = ScrapeSource(Endpoint("pods", pods=PodPages(), pages=(gateway,)), lambda: now[0])
    defaults = Defaults(endpoint="pods", endpoints=("pods",))
    engine = Engine(
        {"pods": source}, load(shipped_formulas()), defaults, lambda: now[0], Limits(direct=frozenset({"pods"}))
    )
    objects = {}
    for number in range(count):
        trigger = tuple(sorted({"formula": "queue-depth", "model": f"m{number}"}.items()))
        target = f"Deployment w{number}"
        one = ScaledResource(
            "ScaledObject", "demo", f"w{number}", f"{number}", 1, (trigger,), (), target, 0, 9, replicas=0, pods=()
        )
        objects["demo", one.name] = (one,)

    async def play() -> None:
        engine.update_cluster(Cluster(objects, last_synced=now[0] + 100, synced_kinds=frozenset({"ScaledObject"})))
        for second in range(15 + seconds):
            if second == 15:  # all have their past behind them
                begun.extend((time.process_time(), len(web.asked)))
            now[0] += 1
            await engine.tick(now[0])

    begun: list[float] = []
    asyncio.run(play())
    spent, reads = (time.process_time() - begun[0]) / seconds, (len(web.asked) - begun[1]) / seconds
    assert len(engine.decisions()) == count
    print(f"{count} without replicas: {reads:g} reads of the gateway and {spent:.3f} s of CPU a second")
    source.close()
    web.close()


def main() -> None:
    """All three."""
    parsers()
    ports: multiprocessing.Queue[tuple[int, int]] = multiprocessing.Queue()
    server = multiprocessing.Process(target=serve, args=(ports,), daemon=True)
    server.start()
    plain, packed = ports.get()
    sweep(plain, "plain")
    sweep(packed, "gzip")
    server.terminate()
    sleeping()


if __name__ == "__main__":
    main()
