"""`llm-scaler backtest`: what can be said on the command line, and the parts wired together."""

import argparse
import contextlib
import json
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from scaler.cli.arguments import namespace_and_name, pair, read_file, real, whole
from scaler.cli.backtest import collect, prices
from scaler.cli.backtest.page import page
from scaler.cli.backtest.table import NAMES, as_tree, lead, names, table
from scaler.config.catalog import load
from scaler.config.settings import KEYS, Settings, read_settings, variable
from scaler.config.workload import WorkloadSpec
from scaler.formula import Program, parse
from scaler.model.errors import ConfigError, EvaluationError, FormulaSyntaxError, ScalerError, UnknownFormula
from scaler.model.fields import duration
from scaler.model.measurement import HistoryProbe, Query, TriggerRef
from scaler.model.strict_yaml import parse_yaml
from scaler.sim import trace as traces
from scaler.sim.backtest import record as records
from scaler.sim.backtest.arrivals import COUNTED, arrivals
from scaler.sim.backtest.candidates import edited, suggested
from scaler.sim.backtest.compare import BacktestPlan, Candidate, Comparison, best, compare, in_phase
from scaler.sim.backtest.fleet import FleetWorld, recorded
from scaler.sim.backtest.judge import Prices, learnt_startup
from scaler.sim.backtest.record import Record
from scaler.sim.backtest.replay import Timing
from scaler.sim.backtest.scalers import of_target
from scaler.sim.backtest.subject import Context, Subject, read_subject
from scaler.sim.fleet import FleetSpec
from scaler.sim.hardware import hardware
from scaler.sim.score import SloTarget
from scaler.sources.kubernetes.api import ApiServer

STEPS = (5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0)  # seconds; the first that keeps a record within MAX_TICKS
MAX_TICKS = 20_160  # two weeks of minutes
HERE = "http://127.0.0.1:9090"  # Prometheus' own address, where nobody says another
STARTUP = 180.0  # seconds, where neither the record nor the command line says it
SPREAD = 2  # scrapes over which requests are spread, since the pods are not scraped at the same time
SCRAPES = 2.5  # within the window of a rate, so that there are two in it
DASK_PATIENCE = 10.0  # seconds for which a scheduler is tried
AS_IT_IS = "as it is, replayed"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("workload", metavar="NAMESPACE/NAME", help="of the ScaledObject or HPA")
    source = parser.add_argument_group("where the past is read")
    source.add_argument(
        "--from", dest="start", default="-1d", metavar="TIME", help="such as -14d, or 2026-11-15T08:00Z"
    )
    source.add_argument("--to", dest="end", default="now", metavar="TIME", help="the same; now if not given")
    source.add_argument(
        "--step", metavar="SPAN", help="between two ticks; as often as it decides, or what is fit to read"
    )
    source.add_argument(
        "--prometheus", metavar="URL", help="of the endpoint `default`, where there is no settings file"
    )
    source.add_argument("--settings", metavar="FILE", help="the settings file of the service")
    source.add_argument("--formulas", metavar="DIR", help="folder of own formula files")
    source.add_argument("--kubeconfig", metavar="FILE", help="of the cluster that the object is read from")
    source.add_argument("--file", type=Path, metavar="FILE", help="YAML that holds the object, instead of the cluster")
    source.add_argument(
        "--read", type=Path, metavar="FILE", help="a record, or a trace of requests as CSV, as the past"
    )
    source.add_argument("--record", type=Path, metavar="FILE", help="keep what was read, for --read; .gz packs it")
    source.add_argument(
        "--query", action="append", default=[], metavar="NAME=PROMQL", help="value of a trigger or metric"
    )
    source.add_argument("--engine", help="of the model; of the trigger if not given")
    source.add_argument("--model", help="the served model's name; of the trigger if not given")
    tried = parser.add_argument_group("what is tried")
    tried.add_argument("--formula", action="append", default=[], metavar="'[NAME] KEY=VALUE ...'", help="a candidate")
    tried.add_argument(
        "--candidate", action="append", type=Path, default=[], metavar="FILE", help="YAML of a candidate"
    )
    tried.add_argument("--suggest", action="store_true", help="search goals, cooldowns and scale-down windows")
    tried.add_argument("--jobs", type=whole, default=os.cpu_count() or 1, metavar="N", help="processes for that search")
    tried.add_argument("--dask", metavar="ADDRESS", help="a Dask scheduler to search on, such as tcp://10.0.0.1:8786")
    world = parser.add_argument_group("what it runs on")
    world.add_argument("--hardware", metavar="ROW", help="play requests on a simulated fleet: a100-8b-bf16, ...")
    world.add_argument("--startup", metavar="SPAN", help="from order to ready; as the record shows it, or 3m")
    world.add_argument("--ttft", default="1s", metavar="SPAN", help="the SLO's first token")
    world.add_argument("--tpot", default="50ms", metavar="SPAN", help="the SLO's further tokens, each")
    world.add_argument("--gpus", type=real, metavar="N", help="of one replica; of the hardware, or 1")
    world.add_argument(
        "--price", type=real, metavar="MONEY", help="of one GPU for an hour; by the NodeClaims, or of the hardware"
    )
    world.add_argument(
        "--node-price", action="append", default=[], metavar="TYPE=MONEY", help="of a machine of that type for an hour"
    )
    world.add_argument("--replicas", type=whole, metavar="N", help="at the start of a trace; minReplicaCount")
    world.add_argument("--hpa-sync", default="15s", metavar="SPAN", help="between two looks of the HPA")
    world.add_argument("--scrape", default="15s", metavar="SPAN", help="between two scrapes of Prometheus")
    world.add_argument(
        "--warmup", metavar="SPAN", help="at the start that is not judged; as long as anything remembers"
    )
    world.add_argument("--seed", type=whole, default=0, metavar="N", help="of what is not known: lengths, cold starts")
    said = parser.add_argument_group("what is said")
    said.add_argument("-o", "--output", choices=("text", "json"), default="text")
    said.add_argument("--html", type=Path, metavar="FILE", help="write a page with plots")
    said.add_argument("--anyway", action="store_true", help="show candidates though the replay does not agree")
    condition = f"exit 1 if it is true of any object: {', '.join(NAMES)}"
    said.add_argument("--fail-if", action="append", default=[], metavar="CONDITION", help=condition)


def run(arguments: argparse.Namespace) -> int:
    """Replay, compare, and say it; 1 where the replay does not agree, or a --fail-if is true."""
    conditions = [_condition(text) for text in arguments.fail_if]
    task = _Task(arguments, time.time())
    comparison = task.compare()
    title = arguments.workload
    words = lead(comparison, task.plan, title)
    shown = comparison.advises or arguments.anyway
    if arguments.html:
        _write(
            arguments.html, lambda path: path.write_text(page(comparison, task.plan, title, words), encoding="utf-8")
        )
    if arguments.output == "json":
        print(json.dumps(as_tree(comparison, task.plan, title), indent=2))
    else:
        console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 140)
        print("\n".join((*words, *task.notes)))
        console.print(table(comparison, candidates=shown))
    failed = list(_failed(conditions, comparison))
    for line in failed:
        print(f"llm-scaler: {line}", file=sys.stderr)
    return 1 if failed or not shown else 0


class _Task:
    """One call of the command: the objects, and what they are played on."""

    def __init__(self, arguments: argparse.Namespace, now: float) -> None:
        self._arguments = arguments
        self._now = now
        self._settings = _settings(arguments)
        self._catalog = load(self._settings.formulas)
        self._given_queries = dict(pair(word, str) for word in arguments.query)
        namespace, name = namespace_and_name(arguments.workload)
        given = _read(arguments.read)
        self._manifest = self._object(namespace, name, given)
        where = str(arguments.file or arguments.read or "cluster")
        self.subject = self._subject(self._manifest, where)
        self._priced = self._price() if arguments.price is None and given is None and not arguments.file else None
        self._candidates = [Candidate(AS_IT_IS, self.subject, self._manifest), *self._tried()]
        self.plan = self._plan(given)

    def compare(self) -> Comparison:
        """Play everything, and with --suggest what is worth trying too."""
        tried = self._suggestions() if self._arguments.suggest else []
        if not tried:
            return compare(self.plan, self._candidates)
        with _executor(self._arguments) as executor:
            searched = compare(self.plan, [*self._candidates, *tried], executor)
        count = len(self._candidates)
        own = searched.results[0].figures
        chosen = best(searched.results[count:], None if own is None else own.slo_misses)
        return replace(searched, results=(*searched.results[:count], *chosen))

    # ---- the objects ----

    def _object(self, namespace: str, name: str, given: Record | traces.Trace | None) -> dict[str, Any]:
        arguments = self._arguments
        if arguments.file:
            return collect.object_in_file(arguments.file, namespace, name)
        if isinstance(given, Record):
            if (given.namespace, given.name) != (namespace, name):
                problem = f"is of {given.namespace}/{given.name}, not of {namespace}/{name}"
                raise ConfigError(str(arguments.read), "", problem)
            return dict(given.manifest)
        if given is not None:
            raise ConfigError("argument", "--read", "is a trace, which does not say what was scaled", "--file FILE too")
        return collect.object_in_cluster(self._kubeconfig, namespace, name)

    def _price(self) -> prices.Priced | None:
        """Return the price of a GPU by the NodeClaims of the cluster that the object was read from."""
        said = prices.given(self._arguments.node_price)
        endpoint = self._settings.endpoints.get(self._settings.defaults.endpoint)
        known = endpoint if endpoint is not None and not endpoint.direct else None
        api = ApiServer(self._kubeconfig)
        try:
            return prices.read(api, self.subject.namespace, self.subject.pods, known, said, self._now)
        finally:
            api.close()

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes: what is played otherwise than it is written, and where the price comes from."""
        return (*self.subject.notes, *([str(self._priced)] if self._priced else ()))

    @property
    def _kubeconfig(self) -> Path | None:
        written = self._arguments.kubeconfig or self._settings.kubernetes.kubeconfig
        return Path(written) if written else None

    def _subject(self, manifest: Mapping[str, Any], where: str) -> Subject:
        endpoint = self._settings.defaults.endpoint
        return read_subject(manifest, Context(where, self._bind, endpoint, self._given_queries))

    def _bind(self, request: TriggerRef) -> WorkloadSpec:
        try:
            return self._catalog.bind(request, self._settings.defaults).spec
        except UnknownFormula as error:
            raise ConfigError("trigger", "formula", str(error)) from error

    def _tried(self) -> Iterator[Candidate]:
        for written in self._arguments.formula:
            manifest = edited(self._manifest, shlex.split(written))
            yield Candidate(written, self._subject(manifest, f"--formula {written!r}"), manifest)
        for path in self._arguments.candidate:
            tree = parse_yaml(read_file(path), str(path))
            if not isinstance(tree, dict):
                raise ConfigError(str(path), "", "is not an object", "a ScaledObject or an HPA")
            meta = {**self._manifest["metadata"], **(tree.get("metadata") or {})}
            manifest = {**tree, "metadata": meta}
            yield Candidate(path.stem, self._subject(manifest, str(path)), manifest)

    def _suggestions(self) -> list[Candidate]:
        found = []
        for name, manifest in suggested(self._manifest):
            found.append(Candidate(name, self._subject(manifest, f"suggestion {name!r}"), manifest))
        return found

    # ---- what they are played on ----

    def _plan(self, given: Record | traces.Trace | None) -> BacktestPlan:
        arguments = self._arguments
        row = hardware(arguments.hardware) if arguments.hardware else None
        price = arguments.price
        if price is None and self._priced is not None:
            price = self._priced.gpu_hour
        elif price is None and row is not None:
            price = row.price
        costs = Prices(arguments.gpus or (row.gpus if row else 1.0), price)
        record = given if isinstance(given, Record) else self._recorded() if given is None else None
        shown = learnt_startup(record) if record else None
        startup = _span(arguments.startup, "--startup") if arguments.startup else shown or STARTUP
        warmup = _span(arguments.warmup, "--warmup") if arguments.warmup else None
        timing = Timing(sync=_span(arguments.hpa_sync, "--hpa-sync"), startup=startup, warmup=warmup)
        slo = SloTarget(_span(arguments.ttft, "--ttft"), _span(arguments.tpot, "--tpot"))
        world = None
        if row is not None:
            fleet = FleetSpec(row, startup=startup)
            world = FleetWorld((), fleet, slo, scrape=_span(arguments.scrape, "--scrape"), seed=arguments.seed)
        if record is None:
            if world is None:
                raise ConfigError(
                    "argument", "--read", "is a trace, which needs a fleet to be played on", "--hardware ROW"
                )
            least = self.subject.scaled.min_replica_count
            world = replace(
                world,
                trace=given if isinstance(given, tuple) else (),
                replicas=least if arguments.replicas is None else arguments.replicas,
                step=self.subject.interval,
            )
            if arguments.record:
                self._keep(recorded(self.subject, world, timing, self._queries(world.step)))
            return BacktestPlan(None, world, timing, costs)
        served = collect.as_recorded({**self._load(record.step), **self._latencies(record.step)}, record)
        self._check_record(record)
        if world is not None:
            world = self._world(world, record)
        timing = in_phase(self.subject, record, timing, _span(arguments.scrape, "--scrape"))
        return BacktestPlan(record, world, timing, costs, served)

    def _world(self, world: FleetWorld, record: Record) -> FleetWorld:
        """Make the world of a fleet under the requests that the record shows."""
        queries = collect.as_recorded(self._load(record.step), record)
        if not all(name in queries for name in COUNTED):
            problem = "needs the requests that came, and nothing says of which model"
            raise ConfigError(
                "argument", "--hardware", problem, "--model NAME (and --engine NAME) when the past is read"
            )
        first = next((count for count in record.replicas if count is not None), 0)
        return replace(
            world,
            trace=arrivals(record, queries, world.seed, spread=SPREAD * world.scrape),
            start=record.start,
            span=record.span,
            step=record.step,
            replicas=first,
            held=record.replicas,
        )

    def _load(self, step: float) -> dict[str, Query]:
        arguments = self._arguments
        window = max(step, SCRAPES * _span(arguments.scrape, "--scrape"))
        return collect.load_queries(self.subject, self._settings.defaults, arguments.engine, arguments.model, window)

    def _latencies(self, step: float) -> dict[str, Query]:
        arguments = self._arguments
        ttft, tpot = _span(arguments.ttft, "--ttft"), _span(arguments.tpot, "--tpot")
        return collect.latency_queries(self._load(step), ttft, tpot, step)

    def _recorded(self) -> Record:
        """Read the past, and keep it where that is wanted."""
        start, end = _time(self._arguments.start, "--from", self._now), _time(self._arguments.end, "--to", self._now)
        if end <= start:
            raise ConfigError("argument", "--to", "is not after --from")
        step = _step(self._arguments.step, self.subject.interval, end - start)
        first = start - start % step
        times = [first + step * tick for tick in range(max(int((end - first) // step), 2))]
        load = [*self._load(step).values(), *self._latencies(step).values()]
        record = collect.collect(self._settings, self.subject, self._queries(step), load, times)
        if self._arguments.record:
            self._keep(record)
        return replace(record, manifest=self._manifest)

    def _keep(self, record: Record) -> None:
        whole = replace(record, manifest=self._manifest)
        _write(self._arguments.record, lambda path: records.write(whole, path))

    def _queries(self, step: float) -> set[Query]:
        """List the queries of all that the objects measure and of the requests; the replicas are kept apart."""
        queries = {*self._load(step).values(), *self._latencies(step).values()}
        for candidate in self._candidates:
            queries |= {
                query
                for query in candidate.subject.queries
                if not isinstance(query, HistoryProbe) and not of_target(query)
            }
        return queries

    def _check_record(self, record: Record) -> None:
        """Refuse a candidate that asks for what the record does not hold, while that can still be mended."""
        for candidate in self._candidates:
            for query in candidate.subject.queries:
                known = isinstance(query, HistoryProbe) or of_target(query) or query in record.series
                if not known and not self._arguments.hardware:
                    what = getattr(query, "signal", None) or getattr(query, "text", "")
                    problem = f"asks for {what}, which the record does not hold"
                    raise ConfigError(
                        candidate.name, "", problem, "a record made with the same candidates, or --hardware ROW"
                    )


# ---- words of the command line ---------------------------------------------------------------------------------------


def _settings(arguments: argparse.Namespace) -> Settings:
    """Read the service's settings from its file and its environment; without any, Prometheus is on this machine."""
    where = arguments.settings or "settings"
    tree = (parse_yaml(read_file(Path(where)), where) or {}) if arguments.settings else {}
    said = arguments.settings or variable("prometheus") in os.environ
    given = {"prometheus": arguments.prometheus or (None if said else HERE), "formulas": arguments.formulas}
    return read_settings(tree, where, os.environ, dict.fromkeys((key.path for key in KEYS), None) | given)


def _read(path: Path | None) -> Record | traces.Trace | None:
    if path is None:
        return None
    try:
        return records.read(path) if records.is_record(path) else traces.read(path)
    except OSError as error:
        raise ConfigError(str(path), "", f"cannot be read ({error.strerror})") from error


def _write(path: Path, write: Callable[[Path], object]) -> None:
    try:
        write(path)
    except OSError as error:
        raise ConfigError(str(path), "", f"cannot be written ({error.strerror})") from error


def _span(written: str, option: str) -> float:
    try:
        return duration(0, 30 * 86400)(written)
    except ValueError as error:
        raise ConfigError("argument", option, f"{written!r} is not allowed", str(error)) from error


def _time(written: str, option: str, now: float) -> float:
    """Read a time: now, so long ago (-14d), or a date with its time."""
    if written == "now":
        return now
    if re.fullmatch(r"-[\dsmhd.]+", written):
        return now - _span(written[1:], option)
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        allowed = "now, so long ago such as -14d, or 2026-11-15T08:00Z"
        raise ConfigError("argument", option, f"{written!r} is no time", allowed) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _step(written: str | None, interval: float, span: float) -> float:
    if written:
        return max(_span(written, "--step"), 1.0)
    return next(
        (step for step in (interval, *STEPS) if step >= interval and span / step <= MAX_TICKS), span / MAX_TICKS
    )


def _condition(text: str) -> Program:
    try:
        return parse(text, frozenset(NAMES), kind="boolean")
    except FormulaSyntaxError as error:
        raise error.placed("argument", "--fail-if") from None


def _failed(conditions: Sequence[Program], comparison: Comparison) -> Iterator[str]:
    """Say why it fails: the conditions that are true, and of which object."""
    for condition in conditions:
        for result in comparison.results:
            try:
                holds = condition.evaluate(names(result.figures, comparison))
            except EvaluationError as error:
                raise ScalerError(f"--fail-if {condition.text!r} of {result.name}: {error}") from error
            if holds:
                yield f"{result.name}: {condition.text}"


@contextlib.contextmanager
def _executor(arguments: argparse.Namespace) -> Iterator[Executor]:
    """Open what plays a search: processes here, or a Dask cluster.

    Raises:
        ConfigError: Dask is asked for and not installed, or does not answer.
    """
    if not arguments.dask:
        with ProcessPoolExecutor(max(arguments.jobs, 1)) as pool:
            yield pool
        return
    try:
        import distributed
    except ImportError as error:
        allowed = "pip install 'keda-llm-scaler[dask]'"
        raise ConfigError(
            "argument", "--dask", "needs the package distributed, which is not installed", allowed
        ) from error
    try:
        client: Any = distributed.Client(arguments.dask, timeout=DASK_PATIENCE)  # type: ignore[no-untyped-call]
    except OSError as error:
        raise ConfigError("argument", "--dask", f"{arguments.dask} does not answer") from error
    with client:
        yield client.get_executor()
