"""The service: the rooms wired together, and nothing decided here.

    settings -> catalogue, sources -> engine -> gRPC server and admin pages

Used by `llm-scaler serve`, and by the demo, which brings a world of its own.
"""

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from resource import RLIMIT_NOFILE, getrlimit, setrlimit

import yaml
from aiohttp.web import AppRunner

from scaler.cli.arguments import read_file
from scaler.cli.memory import give_back, keep_few_arenas
from scaler.config.catalog import Catalog, load
from scaler.config.endpoint import Endpoint
from scaler.config.settings import KEYS, Settings, as_tree, flag, read_settings, variable
from scaler.engine.engine import Engine
from scaler.engine.limits import Limits
from scaler.model.errors import ConfigError, SourceError
from scaler.model.objects import Cluster
from scaler.model.strict_yaml import parse_yaml
from scaler.server import admin, logs, metrics
from scaler.server.access import Access
from scaler.server.listen import GrpcServer, ServerOptions
from scaler.server.tls import TlsFiles
from scaler.sources.kubernetes.cache import ClusterCache, reachable
from scaler.sources.kubernetes.reviews import AccessReviews
from scaler.sources.pages.discovery import Addresses
from scaler.sources.pages.source import ScrapeSource
from scaler.sources.prometheus.source import PrometheusSource

logger = logging.getLogger(__name__)

CATALOG_INTERVAL = 2.0  # seconds between two looks at the folder of formulas
CLUSTER_INTERVAL = 1.0  # seconds between two pictures of the cluster
ACCESS_INTERVAL = 30.0  # seconds between two tries to reach Kubernetes at all
ENDPOINT_INTERVAL = 30.0  # seconds between two tries of the endpoints
SWITCH_INTERVAL = 0.0005  # seconds after which a thread that reads answers lets the event loop go on
GARBAGE_INTERVAL = 600.0  # seconds between two looks through all of the memory for what nothing needs any more
NEVER = 1_000_000_000  # younger collections, before Python looks through all of the memory by itself
CLUSTER_PATIENCE = 5.0  # seconds for which decisions wait for the first one

ServicePart = Callable[[], Awaitable[None]]


class Service:
    """One process of llm-scaler, from start to stop.

    Args:
        settings: what was set.
        clock: seconds since the epoch.
        timer: seconds that never go back, for durations.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float], timer: Callable[[], float]) -> None:
        self.settings = settings
        self._clock = clock
        self._own_formulas = settings.formulas
        self._kube = kube_of(settings, clock)
        addresses = self._kube.addresses if self._kube else None
        self._sources = {name: source_of(one, clock, addresses) for name, one in settings.endpoints.items()}
        registry = metrics.registry()
        self.engine = Engine(
            self._sources,
            load(self._own_formulas),
            settings.defaults,
            clock,
            limits(settings),
            logs.log_decision,
        )
        self.server = GrpcServer(self.engine, listen(settings), timer, metrics.Calls(registry).observe)
        self._pages = admin.AdminPages(
            self.engine, self.server, registry, settings.admin.max_workloads, access=access_of(settings, timer)
        )
        self._admin: AppRunner | None = None
        self._pictured = asyncio.Event()  # set once there was a picture of the cluster, or there can be none

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: an address cannot be had, or a certificate cannot be read.
        """
        for name, problem in self.engine.catalog.problems.items():
            logger.error("formula file not in force", extra={"file": name, "problem": problem})
        _say_what_was_read(self.engine.catalog)
        await self.server.start()
        self._admin = await admin.serve(self._pages, self.settings.admin.address)

    async def run(self, stopped: asyncio.Event) -> None:
        """Decide until told to stop, then drain: no call that was sent is lost.

        All parts are started here, and any that ends by itself is a fault that ends the process: better a restart than
        a server that answers and no longer decides.

        Raises:
            ExceptionGroup: what ended the part.
        """
        parts: list[ServicePart] = [self._decide, self._watch, self._try_endpoints, _free_what_is_old]
        if self._kube:
            parts.append(partial(self._look, self._kube))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_without_end(part)) for part in parts]
            await stopped.wait()
            await self.server.stop()  # and decide all the while
            for task in tasks:
                task.cancel()

    async def stop(self) -> None:
        """Leave, and free everything."""
        await self.server.stop()
        await self.engine.close()
        for source in self._sources.values():
            source.close()
        if self._kube:
            self._kube.close()
        if self._admin:
            await self._admin.cleanup()

    async def _decide(self) -> None:
        """Decide, from the first picture of the cluster on, so that no load of others is ever taken for ours."""
        if self._kube:
            await self._pictured.wait()
        await self.engine.run()

    async def _look(self, kube: ClusterCache) -> None:
        """Take a new picture of the cluster again and again; what is not known is said once."""
        await self._reach(kube)
        said: Mapping[str, str] = {}
        while True:
            cluster = await asyncio.to_thread(kube.cluster)
            self.engine.update_cluster(cluster)
            self._pictured.set()
            problems = {**cluster.problems, **{f"objects of {name}": said for name, said in cluster.missing().items()}}
            for resource, problem in sorted(set(problems.items()) - set(said.items())):
                logger.warning("not known from Kubernetes", extra={"resource": resource, "problem": problem})
            said = problems
            await asyncio.sleep(CLUSTER_INTERVAL)

    async def _reach(self, kube: ClusterCache) -> None:
        """Begin to watch; without access it is said, decided without, and tried again."""
        while True:
            try:
                await asyncio.to_thread(kube.start)
            except SourceError as error:
                logger.warning("no access to Kubernetes", extra={"problem": str(error)})
                self.engine.update_cluster(Cluster(problems={"kubernetes": str(error)}))
                self._pictured.set()
                await asyncio.sleep(ACCESS_INTERVAL)
            else:
                await asyncio.to_thread(kube.wait_for_sync, CLUSTER_PATIENCE)
                return

    async def _try_endpoints(self) -> None:
        """Try every endpoint at the start, before any workload needs it, and again and again; say what is new once."""
        said: Mapping[str, str] = {}
        while True:
            now = self._clock()
            tries = [asyncio.to_thread(source.trouble, now) for source in self._sources.values()]
            answers = await asyncio.gather(*tries)
            found = {name: answer for name, answer in zip(self._sources, answers, strict=True) if answer}
            for name, problem in found.items():
                if said.get(name) != problem:
                    logger.warning("endpoint cannot be read", extra={"endpoint": name, "problem": problem})
            for name in said.keys() - found.keys():
                logger.info("endpoint can be read again", extra={"endpoint": name})
            self._pages.endpoints = said = found
            await asyncio.sleep(ENDPOINT_INTERVAL)

    async def _watch(self) -> None:
        """Look at the formulas again and again; what has changed is taken over, what is bad is said once."""
        while True:
            await asyncio.sleep(CATALOG_INTERVAL)
            before = self.engine.catalog
            in_use = self.engine.registry.formulas_in_use()
            catalog = await asyncio.to_thread(load, self._own_formulas, before, in_use)
            if catalog is before:
                continue
            for name, problem in sorted(set(catalog.problems.items()) - set(before.problems.items())):
                logger.error("formula file not in force", extra={"file": name, "problem": problem})
            _say_what_was_read(catalog)
            self.engine.update_catalog(catalog)


async def _free_what_is_old() -> None:
    """Free what has lived for long and is in circles, now and then: each time nobody is answered for some 0.1 s.

    What is young, nearly all of it, Python frees all the while, in less than a millisecond. What a flood has left free
    goes back to the system.
    """
    while True:
        await asyncio.sleep(GARBAGE_INTERVAL)
        gc.collect()
        await asyncio.to_thread(give_back)


def _say_what_was_read(catalog: Catalog) -> None:
    """Log the formulas by name, and which of the shipped ones the user's own take the place of."""
    replaced = {"replaced": sorted(catalog.replaced)} if catalog.replaced else {}
    logger.info("formulas read", extra={"formulas": sorted(catalog.formulas), **replaced})


async def _without_end(part: ServicePart) -> None:
    """Run a part of the service; that it ends by itself is an error."""
    try:
        await part()
    except Exception:
        logger.exception("a part of the service has failed, and the process ends")
        raise
    raise RuntimeError("a part of the service has ended by itself")


def source_of(
    endpoint: Endpoint, clock: Callable[[], float], addresses: Addresses | None = None
) -> PrometheusSource | ScrapeSource:
    """Make the source behind an endpoint of the settings."""
    if endpoint.direct:
        return ScrapeSource(endpoint, clock, addresses, time.monotonic)
    return PrometheusSource(endpoint, clock)


def kube_of(settings: Settings, clock: Callable[[], float]) -> ClusterCache | None:
    """Make what watches Kubernetes; None where that is not wanted, or not possible and not asked for.

    Raises:
        ConfigError: workloads are measured by what only Kubernetes tells.
    """
    watched = settings.kubernetes
    if watched.enabled == "false" or (watched.enabled == "auto" and not reachable(watched.kubeconfig)):
        if settings.endpoints[settings.defaults.endpoint].pods:
            problem = "pods are found through Kubernetes, to which there is no access"
            raise ConfigError("settings", "defaults.endpoint", problem, "`prometheus: URL`, or kubernetes.kubeconfig")
        return None
    return ClusterCache(
        watched.kubeconfig,
        watched.namespaces,
        watched.scaler_addresses,
        clock,
        behind={one.service for each in settings.endpoints.values() for one in each.named if one.kind == "service"},
        fixed=watched.provisioner == "none",
    )


def access_of(settings: Settings, timer: Callable[[], float]) -> Access | None:
    """Return who may see decisions on the admin pages; None where that is whoever reaches them."""
    if settings.admin.authorization == "off":
        return None
    return Access(AccessReviews(settings.kubernetes.kubeconfig), timer, asyncio.to_thread)


def limits(settings: Settings) -> Limits:
    """Return the engine's bounds; its patience is a little longer than any source's own time-out."""
    slowest = max(endpoint.timeout for endpoint in settings.endpoints.values())
    return Limits(
        budget=settings.grpc.first_decision_timeout,
        workloads=settings.limits.workloads,
        objects_per_namespace=settings.limits.objects_per_namespace,
        formula_steps=settings.limits.formula_steps_per_namespace,
        forget_after=settings.limits.forget_after,
        evaluation_delay=settings.evaluation_delay,
        direct=frozenset(name for name, endpoint in settings.endpoints.items() if endpoint.direct),
        patience=slowest + 1.0,
    )


def listen(settings: Settings) -> ServerOptions:
    """Return how the gRPC server listens."""
    grpc, tls = settings.grpc, settings.grpc.tls
    return ServerOptions(
        address=grpc.address,
        tls=TlsFiles(tls.cert, tls.key, tls.client_ca) if tls.cert and tls.key else None,
        max_connection_age=grpc.max_connection_age,
        drain=grpc.drain,
        grace=grpc.grace,
        reflection=grpc.reflection,
    )


async def serve(settings: Settings, clock: Callable[[], float], timer: Callable[[], float]) -> None:
    """Run until SIGTERM or SIGINT, then drain.

    Raises:
        ConfigError: the settings name something that is not there.
    """
    logs.configure(settings.log.level, settings.log.format)
    _allow_all_files()
    sys.setswitchinterval(SWITCH_INTERVAL)
    stop_for_no_garbage()
    keep_few_arenas()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    service = Service(settings, clock, timer)
    try:
        await service.start()
        await service.run(stopped)
    finally:
        await service.stop()


def stop_for_no_garbage() -> None:
    """Leave looking through all memory to a part of the service: Python does so just when many workloads come."""
    gc.freeze()  # what was imported is needed until the end
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, NEVER)


def _allow_all_files() -> None:
    """Open as many files as the system lets this process: each connection is one, and strangers open connections."""
    _, most = getrlimit(RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # what there is has to do
        setrlimit(RLIMIT_NOFILE, (most, most))


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options: a flag for every setting."""
    parser.add_argument("--settings", metavar="FILE", help="the settings file")
    parser.add_argument("--print-settings", action="store_true", help="print the settings in force, and stop")
    for key in KEYS:
        help_ = f"{key.meaning} [{variable(key.path)}]"
        parser.add_argument(flag(key.path), dest=key.path, metavar="VALUE", help=help_)


def run(arguments: argparse.Namespace) -> int:
    """Serve until the process is told to stop."""
    settings = settings_of(arguments)
    if arguments.print_settings:
        print(yaml.safe_dump(as_tree(settings), sort_keys=False), end="")
        return 0
    try:
        import uvloop
    except ImportError:
        asyncio.run(serve(settings, time.time, time.monotonic))
    else:
        uvloop.run(serve(settings, time.time, time.monotonic))
    return 0


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Read the settings file, the environment and the flags.

    Raises:
        ConfigError: the file cannot be read, or one of them says what is not allowed.
    """
    where = arguments.settings or "settings"
    tree = parse_yaml(read_file(Path(where)), where) or {} if arguments.settings else {}
    flags = {key.path: getattr(arguments, key.path) for key in KEYS}
    return read_settings(tree, where, os.environ, flags)
