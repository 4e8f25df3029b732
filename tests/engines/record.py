"""Record the metrics pages of released engines and gateways under a load that is known, into pages/NAME.

    PYTHONPATH=tests .venv/bin/python -m engines.record                 all of them, one after the other
    PYTHONPATH=tests .venv/bin/python -m engines.record vllm litellm    these

Real requests with streamed answers are sent, and what the clients know of them is written beside the pages: how many are
in flight, and how many were answered in between, with how many tokens and how soon. `test_pages.py` reads the pages as
llm-scaler does and holds what it reads against that. A page is taken

    fresh      before any request
    before     when some were answered, and nothing is in flight
    busy       while 12 are, of which a batch holds 8; more, where there are more batches
    after      when all were answered
    aborted    when as many clients have hung up, on requests that ran and on some that waited
"""

import argparse
import math
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path

import requests
import yaml
from engines import servers
from engines.client import Clients, Request
from engines.install import HOME, RELEASES, installed
from engines.servers import BATCH, MODEL
from laboratory.process import Part, Process, free_ports

PAGES = Path(__file__).with_name("pages")
PATIENCE = 900.0  # seconds for a server to come up, or for answers; a minute, where nobody else uses the machine
MANY = BATCH + BATCH // 2  # requests, more than one batch
SETTLE = 3.0  # seconds after which a page says what was so; the slowest exporters say it every 2 s


PROMPT, COMMON = 300, 256  # tokens of every prompt, and how many of them all prompts begin with


@dataclass(frozen=True, slots=True)
class Recording:
    """What is recorded, and how it is loaded.

    Args:
        engine: its name in the catalogue.
        releases: the environments in install.py that its servers need.
        start: the servers, in the order in which they are started, given the environments' programs, a folder and a
            port; the last one is sent to, on the port.
        page: where its metrics page is, given that port.
        many: requests in flight while it is busy: more than it works on at a time.
        busy: what it says then, as the number of each signal.
        idle: what it says of each while nothing is in flight.
        aborted: what it says some seconds after clients hung up, where that is something else.
        labels: of the workload, by the catalogue's names.
        absent: signals of the catalogue that it does not have, and why.
        uncached: whether its prompt tokens are only those that its cache did not have.
        silent: whether it says nothing of what is in flight before its first request.
    """

    engine: str
    releases: tuple[str, ...]
    start: Callable[[Mapping[str, Path], Path, int], tuple[Part, ...]]
    page: Callable[[int], str] = lambda port: f"http://127.0.0.1:{port}/metrics"
    many: int = MANY
    busy: Mapping[str, float] = field(default_factory=lambda: {"running": BATCH, "waiting": MANY - BATCH})
    idle: float = 0.0
    aborted: float | None = None
    labels: Mapping[str, str] = field(default_factory=lambda: {"model": MODEL})
    absent: Mapping[str, str] = field(default_factory=dict)
    uncached: bool = False
    silent: bool = False
    tokens: int = 1500  # of an answer while it is busy; so many that none ends before the page is taken


def _next(port: int) -> str:
    """The page that has the next port to itself."""
    return f"http://127.0.0.1:{port + 1}/metrics"


RECORDINGS: Mapping[str, Recording] = {
    "vllm": Recording("vllm", ("vllm",), partial(servers.vllm_alone, "vllm")),
    "vllm-0.12": Recording("vllm", ("vllm-0.12",), partial(servers.vllm_alone, "vllm-0.12")),
    "vllm-0.8": Recording(
        "vllm",
        ("vllm-0.8",),
        partial(servers.vllm_alone, "vllm-0.8", threads="all"),
        absent={"prefix_cache_hit_rate": "on a CPU this release runs the first engine, V0, which does not count it"},
        silent=True,
    ),
    "vllm-ranks": Recording(
        "vllm",
        ("vllm",),
        partial(servers.vllm_alone, "vllm", flags=("--data-parallel-size", "2")),
        many=2 * BATCH + 4,
        busy={"running": 2 * BATCH, "waiting": 4},
    ),
    "litellm": Recording(
        "litellm",
        ("vllm", "litellm"),
        servers.litellm,
        page=lambda port: f"http://127.0.0.1:{port}/metrics/",
        busy={"in_flight": MANY + 1},
        idle=1,  # the reading of the page itself
        aborted=MANY + 1,  # it goes on with what nobody waits for any more
    ),
    "vllm-router": Recording(
        "vllm-router",
        ("vllm", "vllm-router"),
        servers.vllm_router,
        page=_next,
        busy={"in_flight": MANY},
        labels={},
        silent=True,
    ),
    "llama-cpp": Recording(
        "llama-cpp",
        ("llama-cpp",),
        servers.llama_cpp,
        labels={},
        uncached=True,
        absent={"kv_cache_usage": "newer releases do not say it"},
    ),
    "ray-serve": Recording(
        "ray-serve",
        ("ray",),
        servers.ray_serve,
        page=_next,
        busy={"running": BATCH, "queued": MANY - BATCH},
        labels={"route": "tiny"},
    ),
}


def record(name: str) -> None:
    """Start it, load it, and write its pages and what is known of the load."""
    recording = RECORDINGS[name]
    programs = {release: installed(release) for release in recording.releases}
    with tempfile.TemporaryDirectory(dir=HOME) as folder:
        home, port = Path(folder), next(free_ports())
        running = [Process(part, home, _logs(name)) for part in recording.start(programs, home, port)]
        try:
            for process in running:
                _up(process)
            pages, known = _load(recording, f"http://127.0.0.1:{port}", recording.page(port))
        finally:
            for process in reversed(running):
                process.stop()
    target = PAGES / name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for moment, text in pages.items():
        (target / f"{moment}.txt").write_text(text)
    facts = {
        "engine": recording.engine,
        "releases": [requirement for release in recording.releases for requirement in RELEASES[release].requirements],
        "recorded": datetime.now(UTC).date().isoformat(),
        "labels": dict(recording.labels),
        "absent": dict(recording.absent),
        "uncached": recording.uncached,
        "silent": recording.silent,
        "idle": recording.idle,
        "aborted": recording.idle if recording.aborted is None else recording.aborted,
        **known,
    }
    (target / "load.yaml").write_text(yaml.safe_dump(facts, sort_keys=False, width=120))


def _logs(name: str) -> Path:
    folder = HOME / "logs" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _up(process: Process) -> None:
    process.start()
    deadline = time.monotonic() + PATIENCE
    while not process.part.ready():
        process.check()
        if time.monotonic() > deadline:
            sys.exit(f"engines: {process.part.name} was not ready within {PATIENCE:.0f} s")
        time.sleep(1)


def _load(recording: Recording, url: str, page: str) -> tuple[dict[str, str], dict[str, object]]:
    """Send the requests and take the pages."""
    pages: dict[str, str] = {}

    def take(moment: str) -> float:
        answer = requests.get(page, timeout=120)
        answer.raise_for_status()
        pages[moment] = answer.text
        return time.monotonic()

    with Clients(url, MODEL) as clients:
        send = partial(clients.send, prompt=PROMPT, common=COMMON)
        time.sleep(SETTLE)  # the probe whether it is up was a request to some
        take("fresh")
        _answered(clients, send(2, 10))
        time.sleep(SETTLE)
        began = take("before")
        sent = send(recording.many, recording.tokens)
        full = recording.busy.get("running", BATCH)
        _wait(lambda: sum(bool(request.chunks) for request in sent) >= full, "it works on as many as it can")
        time.sleep(SETTLE)
        cached = _tokens(sent)
        take("busy")
        if clients.in_flight() != recording.many:
            sys.exit("engines: requests were over before the page was taken; they need more tokens")
        _answered(clients, sent)
        for _ in range(3):
            _answered(clients, send(BATCH // 2, 40))
        time.sleep(SETTLE)
        ended = take("after")
        inside = [request for request in clients.requests if request.sent > began]
        sent = send(recording.many, recording.tokens)
        _wait(lambda: any(request.chunks for request in sent), "some are begun")
        time.sleep(SETTLE)
        clients.abort()
        time.sleep(SETTLE)
        take("aborted")
    return pages, {
        "busy": {**recording.busy, "tokens_in_cache": cached},
        "between": {"seconds": round(ended - began, 3), **_sums(inside)},
    }


def _tokens(sent: Iterable[Request]) -> list[int]:
    """Return how many tokens each request that runs has now, those of its prompt among them."""
    return [request.prompt + max(request.tokens, len(request.chunks)) for request in sent if request.chunks]


def _sums(done: Collection[Request]) -> dict[str, object]:
    """Return what the clients know of requests that were sent and answered between two pages; times in seconds."""
    gaps = sorted(late - early for request in done for early, late in pairwise(request.chunks))
    firsts = sorted(request.chunks[0] - request.sent for request in done)
    means = sorted((request.chunks[-1] - request.chunks[0]) / (request.tokens - 1) for request in done)
    whole = sorted((request.ended or 0.0) - request.sent for request in done)
    return {
        "requests": len(done),
        "prompt_tokens": sum(request.prompt for request in done),
        "prompt_tokens_seen_before": COMMON * len(done),
        "generation_tokens": sum(request.tokens for request in done),
        "time_to_first_token": round(_quantile(firsts), 4),
        "inter_token_latency": round(_quantile(gaps), 5),
        "time_per_output_token": round(_quantile(means), 5),
        "end_to_end_latency": round(_quantile(whole), 4),
    }


def _quantile(values: list[float], share: float = 0.95) -> float:
    return values[math.ceil(share * len(values)) - 1]


def _answered(clients: Clients, sent: Iterable[Request]) -> None:
    sent = list(sent)
    _wait(lambda: all(request.ended for request in sent), "all are answered")
    problems = [request.problem for request in clients.requests if request.problem]
    if problems:
        sys.exit(f"engines: {problems[0]}")


def _wait(predicate: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not predicate():
        if time.monotonic() > deadline:
            sys.exit(f"engines: not within {PATIENCE:.0f} s: {what}")
        time.sleep(0.05)


def main() -> None:
    """Record what is named, or everything."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(RECORDINGS))
    args = parser.parse_args()
    for name in args.names or RECORDINGS:
        print(f"engines: recording {name}", flush=True)
        record(name)


if __name__ == "__main__":
    main()
