"""The demo: the real service over a simulated world, in real time.

    fleet ─ /metrics pages over HTTP ─▶ service (direct scraping, engine, gRPC) ─ gRPC ─▶ KEDA and HPA ─▶ fleet

The fleet, KEDA and the HPA are scaler/sim's; everything between them is what `llm-scaler serve` runs. The world runs
`speed` times faster than the clock, so what the service is told in seconds (holdFor, idleFor, scaleDown, `over`) is
that much shorter, and a world's second is `speed` times as much load on the wire.
"""

import asyncio
import contextlib
import json
import logging
import math
import socket
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import yaml
from rich.console import Console
from rich.live import Live as Screen

from scaler.cli.demo.baselines import compare, verdict
from scaler.cli.demo.keyboard import keyboard
from scaler.cli.demo.live import LiveWorld
from scaler.cli.demo.picture import Frame, LastDecision, line, picture, table
from scaler.cli.demo.report import LoggedDecision, page
from scaler.cli.demo.scenario import HOLD_FOR, IDLE_FOR, PACE, SHORTEST, TARGET, scenario
from scaler.cli.demo.web import Web
from scaler.cli.keda_client import CallFailed, Poller
from scaler.cli.serve import Service
from scaler.cluster.hpa import SYNC_PERIOD
from scaler.cluster.keda import Refusal, ScalerAnswer
from scaler.config.catalog import shipped_formulas
from scaler.config.settings import Settings, read_settings
from scaler.decision.decision import Decision
from scaler.model.errors import ConfigError
from scaler.model.fields import seconds
from scaler.model.strict_yaml import parse_yaml
from scaler.sim import pages
from scaler.sim.fleet import Snapshot
from scaler.sim.play import Incidents
from scaler.sim.replica import ReplicaFacts

NAMESPACE, NAME, MODEL = "demo", "llama", "llama-3.1-8b"
SPEED = 10.0  # the usual; a short demo runs faster, so that there is time for the way up and down
STEP = 0.1  # seconds between two steps of the world
LISTED = 0.1  # seconds between two looks for new replicas
OVERTIME = 5.0  # seconds that the way down to 0 may take longer on a busy machine
GATEWAY, CLUSTER = "gateway", "cluster"
KEYS = "keys: l more load   k kill a replica   m metrics away or back   q end"
FASTEST = 60.0  # world seconds per second: decisions are a second apart
AWAY = 45.0  # seconds of the world for which the key takes the metrics


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the demo. Times of incidents are in real seconds."""

    seconds: float = 120.0
    speed: float | None = None
    incidents: Incidents | None = None  # None: the usual
    report: Path | None = None

    @property
    def pace(self) -> float:
        """World seconds per second."""
        return self.speed or max(SPEED, SHORTEST / self.seconds)


def _not_writable(path: Path) -> str:
    """Say why a file cannot be written, in the operating system's words; empty where it can."""
    there = path.exists()
    try:
        with path.open("ab"):
            pass
    except OSError as error:
        return str(error.strerror)
    if not there:
        path.unlink()
    return ""


def check(options: Options) -> None:
    """Refuse what cannot be shown.

    Raises:
        ConfigError: too short for the way up and down, or the report could not be written when it is over.
    """
    for key, value in (("seconds", options.seconds), ("speed", options.speed)):
        if value is not None and not 0 < value < math.inf:
            raise ConfigError("demo", key, f"{value:g} is not allowed", "a number above 0")
    if options.report and not options.report.parent.is_dir():
        problem = f"{options.report} cannot be written, since there is no folder {options.report.parent}"
        raise ConfigError("demo", "report", problem, "a file in a folder that is there")
    if options.report and options.report.is_dir():
        raise ConfigError("demo", "report", f"{options.report} is a folder", "a file in a folder that is there")
    if options.report and (why := _not_writable(options.report)):
        raise ConfigError("demo", "report", f"{options.report} cannot be written: {why}", "a file that can be")
    own = options.incidents or Incidents()
    begins = {"load": own.bursts, "kill": own.kills, "outage": [start for start, _ in own.outages]}
    for key, times in begins.items():
        if times and max(times) >= options.seconds:
            raise ConfigError(
                "demo", key, f"{max(times):g} is after the end, at {options.seconds:g}", "a time before it"
            )
    if options.seconds * options.pace < SHORTEST:
        span = seconds(options.seconds * options.pace)
        problem = (
            f"{options.seconds:g} s at {options.pace:g} times is {span} of the world, too short for the way up and down"
        )
        raise ConfigError("demo", "seconds", problem, f"at least {seconds(SHORTEST)}")
    if options.speed is None and options.pace > FASTEST:
        problem = f"{options.seconds:g} is too short for the way up and down"
        raise ConfigError("demo", "seconds", problem, f"at least {math.ceil(SHORTEST / FASTEST)}")
    if options.pace > FASTEST:
        problem = f"{options.pace:g} is too fast for decisions every second"
        raise ConfigError("demo", "speed", problem, f"at most {FASTEST:g}")


async def run(options: Options, clock: Callable[[], float], timer: Callable[[], float], console: Console) -> int:
    """Run it. Returns 0 only when the fleet was really scaled from 0 up, and down again to 0.

    Args:
        options: how.
        clock: seconds since the epoch.
        timer: seconds that never go back.
        console: where it is shown.

    Raises:
        ConfigError: the options do not fit together.
    """
    check(options)
    logging.getLogger().addHandler(logging.NullHandler())  # the picture says it all; a log would break it
    demo = _Demo(options, timer, console)
    with tempfile.TemporaryDirectory(prefix="llm-scaler-demo-") as folder:
        await demo.play(Path(folder), clock)
    return await asyncio.to_thread(demo.conclude)


class _Demo:
    """One run."""

    def __init__(self, options: Options, timer: Callable[[], float], console: Console) -> None:
        self._options = options
        self._timer = timer
        self._console = console
        self._live = LiveWorld(scenario(options.seconds * options.pace, _scaled(options.incidents, options.pace)))
        self._web = Web()
        self._seen = self._live.fleet.snapshot()  # as Kubernetes knows it: the listed pages are its replicas
        self._told: list[LoggedDecision] = []
        self._began = 0.0
        self._stopped = asyncio.Event()
        self._where = ""

    # ---- the run ----

    async def play(self, folder: Path, clock: Callable[[], float]) -> None:
        """Play it to the end."""
        settings = _settings(folder, self._options.pace)
        admin = settings.admin.address
        server = "" if admin.endswith(":8080") else f" --server http://{admin}"
        self._where = f"in a second terminal: llm-scaler explain {NAMESPACE}/{NAME}{server}"
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self._web)
            await self._web.open(GATEWAY, lambda: pages.gateway({MODEL: self._live.fleet.snapshot().queued}))
            await self._web.open(CLUSTER, self._cluster_page)
            self._list(folder)
            service = Service(settings, clock, self._timer)
            stack.push_async_callback(service.stop)
            await service.start()
            deciding = asyncio.ensure_future(service.run(asyncio.Event()))  # until it is cancelled
            stack.callback(deciding.cancel)
            keda = Poller(f"127.0.0.1:{service.server.port}", NAMESPACE, NAME, _trigger(self._options.pace))
            await stack.enter_async_context(keda)
            await self._meet(keda, service)
            self._began = self._timer()
            parts = (self._world(), self._replicas(folder), self._keda(keda, service), self._show())
            await _first_to_end([deciding, *map(asyncio.ensure_future, parts)], self._stopped)

    async def _meet(self, keda: Poller, service: Service) -> None:
        """Ask until the service is certain that there is nothing to do; it must have watched for holdFor before."""
        watch = seconds(HOLD_FOR / self._options.pace)
        with self._console.status(
            f"the service starts: it watches for {watch} before it believes that nobody is there"
        ):
            for _ in range(math.ceil(3 * HOLD_FOR / self._options.pace / STEP)):
                await self._ask(keda, service)
                self._told = self._told[-1:]
                if self._told and self._told[-1].certainty == "certain":
                    return
                await asyncio.sleep(STEP)

    def _now(self) -> float:
        """Return world seconds."""
        return (self._timer() - self._began) * self._options.pace

    async def _world(self) -> None:
        """Let the world go on, until its end, or a while longer where the fleet is not back at 0."""
        longest = self._options.seconds + OVERTIME
        while True:
            self._live.advance(max(self._now(), self._live.now))
            self._web.dark = self._live.dark
            self._live.observe()
            passed = self._timer() - self._began
            if (passed >= self._options.seconds and self._live.over) or passed >= longest or self._rested():
                self._stopped.set()
                return
            await asyncio.sleep(STEP)

    def _rested(self) -> bool:
        """Tell whether the fleet has been back at 0 for two seconds."""
        changes = self._live.changes
        return self._live.over and bool(changes) and self._live.now - changes[-1].event.at > 2 * self._options.pace

    async def _replicas(self, folder: Path) -> None:
        """Open and close pages as replicas come and go, and list them."""
        while True:
            seen = self._live.fleet.snapshot()
            pods = _by_pod(seen)
            for name in self._web.names - pods.keys() - {GATEWAY, CLUSTER}:
                await self._web.close(name)
            for name in pods.keys() - self._web.names:
                await self._web.open(name, partial(self._replica_page, name))
            self._seen = seen
            self._list(folder)
            await asyncio.sleep(LISTED)

    def _list(self, folder: Path) -> None:
        """Write the list of pages that the service reads."""
        rows = [
            {"url": self._web.url(name)} | ({"namespace": NAMESPACE, "pod": name} if name != CLUSTER else {})
            for name in sorted(self._web.names)
        ]
        new = folder / "pages.new"
        new.write_text(json.dumps(rows), encoding="utf-8")
        new.replace(folder / "pages.yaml")

    def _replica_page(self, name: str) -> str:
        now = _by_pod(self._live.fleet.snapshot())
        return pages.vllm(now[name] if name in now else _by_pod(self._seen)[name], MODEL)

    def _cluster_page(self) -> str:
        return pages.kube_state(self._seen, self._live.scenario.scaled, NAMESPACE, NAME)

    async def _keda(self, keda: Poller, service: Service) -> None:
        """Let KEDA poll and the HPA sync, each at its own interval; a push wakes from 0 without waiting for a poll."""
        polling = self._live.scenario.scaled.polling_interval / self._options.pace

        async def poll() -> None:
            self._live.poll(await self._ask(keda, service))

        async def sync() -> None:
            self._live.sync(await self._ask(keda, service) if self._live.sync_reads() else None)

        async def listen() -> None:
            async for active in keda.pushes():
                if active:
                    self._live.push()

        syncing = SYNC_PERIOD / self._options.pace
        await asyncio.gather(_every(polling, poll), _every(syncing, sync), _every(1.0, listen))

    async def _ask(self, keda: Poller, service: Service) -> ScalerAnswer | Refusal:
        try:
            value, active = await keda.poll()
        except CallFailed as error:
            return Refusal(error.rpc, error.reason)
        finally:
            self._listen(service.engine.find(NAMESPACE, NAME))
        return ScalerAnswer(value, active)

    def _listen(self, decisions: list[Decision]) -> None:
        """Keep what was decided, where it has changed."""
        for decision in decisions:
            told = LoggedDecision(self._live.now, decision.replicas, decision.certainty, decision.reason)
            if not self._told or replace(self._told[-1], at=told.at) != told:
                self._told.append(told)

    # ---- what is shown ----

    async def _show(self) -> None:
        """Show how it goes: a picture at a terminal, else a line a second."""
        if not self._console.is_terminal:
            self._console.print(f"{self._head()}\n{self._where}")
            await _every(1.0, self._print_line)
        with keyboard(self._keys()) as listening, Screen(console=self._console, refresh_per_second=4) as screen:
            while True:
                screen.update(picture(self._frame(KEYS if listening else ""), self._console.width))
                await asyncio.sleep(0.25)

    async def _print_line(self) -> None:
        self._console.print(line(self._frame("")))

    def _head(self) -> str:
        pace = self._options.pace
        idle = f"so {seconds(IDLE_FOR)} of idleFor are {seconds(IDLE_FOR / pace)}"
        return f"llm-scaler demo: {self._options.seconds:g} seconds; the world runs {pace:g} times faster, {idle}"

    def _frame(self, keys: str) -> Frame:
        newest = self._told[-1] if self._told else None
        return Frame(
            views=self._live.views,
            said=LastDecision(newest.reason, newest.certainty) if newest else LastDecision(),
            events=[f"{at / self._options.pace:4.0f} s  {what}" for at, what in self._events()],
            seconds=self._timer() - self._began,
            of=self._options.seconds,
            speed=self._options.pace,
            slo=self._live.scenario.slo,
            price=self._live.scenario.fleet.hardware.price_per_second,
            keys=keys,
            where=self._where,
        )

    def _events(self) -> list[tuple[float, str]]:
        changes = [change.event for change in self._live.changes]
        told = [(one.at, f"{one.by} {one.before} -> {one.after}: {one.why}") for one in changes]
        return sorted([*told, *self._live.notes])

    def _keys(self) -> Mapping[str, Callable[[], None]]:
        live = self._live
        return {
            "l": lambda: live.add_load(live.now),
            "k": live.kill,
            "m": lambda: live.give_metrics() if live.dark else live.take_metrics(live.now + AWAY),
            "q": self._stopped.set,
        }

    # ---- the end ----

    def conclude(self) -> int:
        """Compare with the others, write the report, and say whether it went all the way."""
        rows = compare(self._live, self._options.pace)
        self._console.print(table(rows))
        self._console.print(verdict(rows), soft_wrap=not self._console.is_terminal)
        if self._options.report:
            told = page(self._live, self._told, rows, self._options.pace)
            self._options.report.write_text(told, encoding="utf-8")
            self._console.print(f"report: {self._options.report}")
        good = self._live.scaled_up_and_down
        if good:
            most = max(view.ready for view in self._live.views)
            self._console.print(f"scaled from 0 to {most} ready replicas and back to 0")
        else:
            self._console.print("the fleet was not scaled from 0 up and down again to 0")
        return 0 if good else 1


def _by_pod(seen: Snapshot) -> Mapping[str, ReplicaFacts]:
    """Map the pods' names to the replicas that serve a page."""
    return {f"{NAME}-{one.serial}": one for one in seen.replicas if one.phase != "starting"}


async def _every(interval: float, action: Callable[[], Awaitable[None]]) -> None:
    """Do it again and again; what took longer than the interval is not made up for."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        await action()
        due = max(due + interval, loop.time())
        await asyncio.sleep(due - loop.time())


async def _first_to_end(tasks: list["asyncio.Task[None]"], stopped: asyncio.Event) -> None:
    """Wait until it is over, or a task fails; its error is raised."""
    waiting = asyncio.ensure_future(stopped.wait())
    try:
        done, _ = await asyncio.wait([*tasks, waiting], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in (*tasks, waiting):
            task.cancel()
        await asyncio.gather(*tasks, waiting, return_exceptions=True)


# ---- what the service is told --------------------------------------------------------------------------------------


def _settings(folder: Path, speed: float) -> Settings:
    """Write the service's settings, and its formula."""
    formulas = folder / "formulas"
    formulas.mkdir()
    (formulas / "queue-depth.yaml").write_text(formula(speed), encoding="utf-8")
    tree = {
        "formulas": str(formulas),
        "grpc": {"address": "127.0.0.1:0", "drain": "0s", "grace": "0s"},
        "admin": {"address": f"127.0.0.1:{_port(8080)}"},
        "endpoints": {"pages": {"pagesFile": str(folder / "pages.yaml"), "timeout": "1s"}},
        "defaults": {"endpoint": "pages"},
        "evaluationDelay": "0s",
        "kubernetes": {"enabled": "false"},
    }
    return read_settings(tree, "demo", {}, {})


def formula(speed: float) -> str:
    """Write the shipped formula queue-depth, with its 30 s of looking back as short as everything else."""
    file = shipped_formulas() / "queue-depth.yaml"
    tree = parse_yaml(file.read_text(encoding="utf-8"), str(file))
    if not isinstance(tree, dict):
        raise ConfigError(str(file), "", "is not a formula")
    del tree["tests"]
    for metric in tree["metrics"].values():
        if "over" in metric:
            metric["over"] = f"{max(30 / speed, 1.0):.3g}s"
    return yaml.safe_dump(tree, sort_keys=False)


def _trigger(speed: float) -> Mapping[str, str]:
    return {
        "scalerAddress": "llm-scaler.keda:6000",
        "formula": "queue-depth",
        "model": MODEL,
        "target": f"{TARGET:g}",
        "interval": "1s",
        "holdFor": f"{HOLD_FOR / speed:.3g}s",
        "idleFor": f"{IDLE_FOR / speed:.3g}s",
        "scaleDown": f"100% {PACE / speed:.3g}s",  # a share is of a real minute, in which ten of the world go by
    }


def _port(wanted: int) -> int:
    """Return the wanted port of loopback, or any other where it is taken."""
    for port in (wanted, 0):
        with socket.socket() as probing, contextlib.suppress(OSError):
            probing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probing.bind(("127.0.0.1", port))
            return int(probing.getsockname()[1])
    raise ConfigError("demo", "admin", "no port of 127.0.0.1 is free")


def _scaled(incidents: Incidents | None, speed: float) -> Incidents | None:
    """Return the incidents in world seconds."""
    if incidents is None:
        return None
    return Incidents(
        kills=tuple(at * speed for at in incidents.kills),
        outages=tuple((start * speed, end * speed) for start, end in incidents.outages),
        bursts=tuple(at * speed for at in incidents.bursts),
    )
