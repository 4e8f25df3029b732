"""The one owner of mutable state: which workloads there are, what they remember, what was decided last.

A tick is the batch: all that is due is asked of every source at once, in threads, and folded. An RPC reads the newest
decision and does nothing else. Everything but the sources runs on one event loop, so there are no locks.
"""

import asyncio
import contextlib
import logging
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from scaler.cluster.availability import availability
from scaler.config import signals
from scaler.config.catalog import Catalog
from scaler.config.defaults import Defaults
from scaler.config.formula_file import FormulaFile, bind
from scaler.config.trigger import MAX_METADATA_LENGTH, Trigger, parse_trigger, refuse_by_value, size
from scaler.config.workload import WorkloadSpec, own_pods
from scaler.decision.capacity import unknown
from scaler.decision.decide import State, decide, inherited
from scaler.decision.decision import Decision
from scaler.engine.guarded_fetch import fetch
from scaler.engine.hpa_sync import Cadence
from scaler.engine.turns import Turns
from scaler.model.availability import Availability
from scaler.model.errors import NoAnswer, ScalerError
from scaler.model.fields import seconds
from scaler.model.measurement import Ask, Failure, Measured, Reading, Request, SignalAsk, Source, WorkloadKey
from scaler.model.objects import Cluster, Scaled, resolved

logger = logging.getLogger(__name__)

SETTLED = 60.0  # seconds between the first and the newest call after which a workload counts as real
REMEMBERED_ERRORS = 512  # requests whose error is kept, so that KEDA's instant retry costs nothing
MAX_STUCK = 2  # threads are few: above this, nothing more is asked of an endpoint that hangs
FOLDS_A_SLICE = 100  # folds between two turns of the event loop
NEWCOMERS = 10  # that are registered between two turns of the event loop; each takes some milliseconds
SLICE = 0.005  # seconds of folds between two turns, if these come first
REST = 3.0  # so many times as long as beginning a tick took, nothing begins, so that calls have the larger part
LONGEST_REST = 0.25  # seconds
ARRIVAL = 1.5  # seconds that a new workload waits for Kubernetes to know its object; less than a call's budget
WAKING = 1.0  # seconds between ticks of a workload without replicas: what waits at a gateway must not wait for us too
MAX_FAULT = 200  # characters of what went wrong that a user is told
HISTORIES = 100  # workloads whose past is fetched at a time: a burst of new ones must not make one question too large


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds the engine."""

    budget: float = 2.0  # seconds an RPC waits for a first decision
    workloads: int = 5000
    forget_after: float = 7200.0  # seconds without a call
    evaluation_delay: float = 0.5  # seconds that sources are asked about the past, so that late samples are in
    patience: float = 5.0  # seconds after which a source that has not come back counts as failed


@dataclass(slots=True)
class Fetches:
    """How often an endpoint was asked, for the metrics."""

    answered: int = 0
    failed: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class View:
    """What one tick asks for a workload, and what Kubernetes says of it at that time."""

    spec: WorkloadSpec
    asks: Mapping[Ask, Ask]  # of the spec -> as it is asked, of the target's own pods where these are known
    scaled: Scaled | None = None
    doubt: str = ""
    available: Availability | None = None  # what can be had; None: nobody wants to know
    counted: bool = False  # Kubernetes says how many replicas there are, so no source is asked
    suspicious: bool = False  # the load stands still, so the engine's counters are asked for too

    @property
    def told(self) -> tuple[Scaled | None, str, Availability | None]:
        """What Kubernetes says."""
        return self.scaled, self.doubt, self.available


@dataclass(slots=True, eq=False)
class Workload:
    """One trigger that KEDA asks about."""

    request: Request
    trigger: Trigger
    file: FormulaFile | None  # what the spec was bound from
    spec: WorkloadSpec
    state: State
    first_asked: float
    last_asked: float
    view: View
    scaled: Scaled | None = None  # what Kubernetes says of it, where it is known
    listed: bool = False  # known from Kubernetes, whether or not KEDA has asked
    folded: float | None = None  # grid time of the newest fold
    knows_past: bool = False  # its history was measured and folded; until then every tick asks for it again
    decision: Decision | None = None
    fault: str = ""  # why its newest tick came to nothing
    notice: str = ""  # why an edit of its formula is not in force
    cadence: Cadence = field(default_factory=Cadence)  # when its ticks fall
    began: float | None = None  # when the tick began that is under way
    took: float = 0.0  # seconds that its newest tick took
    answers: Mapping[Ask, Sequence[Measured]] = field(default_factory=dict)  # of the newest fold, others' with them
    changed: asyncio.Event = field(default_factory=asyncio.Event)  # set, and replaced, at every decision

    @property
    def settled(self) -> bool:
        """Whether it is no passing call."""
        return self.listed or self.last_asked - self.first_asked >= SETTLED

    @property
    def rank(self) -> tuple[bool, bool]:
        """How hard it is to be forgotten."""
        return self.listed, self.settled

    def own(self, at: float) -> bool:
        """Whether a time lies on the grid of its interval, and not only on the finer one of those that sleep."""
        return at == self.cadence.grid(at, self.spec.interval)


Batch = tuple[str, tuple[float, ...], bool]  # endpoint, grid times, and whether it is for those that may have to wake
Answers = Mapping[Ask, Sequence[Measured]]


class Engine:
    """Keeps the decisions of all workloads fresh.

    Args:
        sources: by the name of their endpoint.
        catalog: the formulas to begin with.
        defaults: what the settings say for every workload.
        clock: seconds since the epoch.
        limits: bounds.
        on_decision: called with every decision and the one before it.
        direct: endpoints that are read directly, which may be done every second.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        catalog: Catalog,
        defaults: Defaults,
        clock: Callable[[], float],
        limits: Limits | None = None,
        on_decision: Callable[[Decision | None, Decision], None] | None = None,
        direct: Collection[str] = (),
    ) -> None:
        self.catalog = catalog
        self.cluster = Cluster()
        self.fetches = {name: Fetches() for name in sources}
        self._sources = sources
        self._direct = frozenset(direct)
        self._defaults = defaults
        self._clock = clock
        self._limits = limits or Limits()
        self._on_decision = on_decision or (lambda _old, _new: None)
        self._workloads: dict[Request, Workload] = {}
        self._available: dict[tuple[str, str, str], Availability] = {}  # by object, in this picture of the cluster
        self._errors: dict[Request, tuple[Catalog, ScalerError]] = {}
        self._threads = ThreadPoolExecutor(max_workers=max(4, 2 * len(sources)), thread_name_prefix="source")
        self._stuck = dict.fromkeys(sources, 0)  # threads of an endpoint that have not come back
        self._newcomers = Turns(NEWCOMERS)
        self._histories = Turns(1)
        self._folds = 0
        self._slice = 0.0  # when the event loop last had a turn between folds
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._closed = False

    # ---- what the server reads ----

    async def read(self, request: Request) -> Decision:
        """Return the newest decision, which has an answer.

        Raises:
            ScalerError: the trigger is wrong, or nothing certain can be said; the text is for the user.
        """
        workload = await self._arrived(request)
        now = self._clock()
        refuse_by_value(request, workload.scaled)
        workload.cadence = workload.cadence.looked(now, workload.spec.interval, workload.took)
        if workload.decision is None:
            try:
                await asyncio.wait_for(workload.changed.wait(), self._limits.budget)
            except TimeoutError:
                waited = f"the first measurement took longer than {seconds(self._limits.budget)}"
                raise NoAnswer(f"no decision yet: {workload.fault or waited}") from None
        decision = workload.decision
        if decision is None:
            raise NoAnswer("no decision yet: the server is shutting down")
        age = now - decision.at
        if age > decision.spec.hold_for + 3 * decision.spec.interval:
            why = workload.fault or "this server has stopped deciding"
            raise NoAnswer(f"the newest decision is {seconds(age)} old: {why}")
        decision.answer()
        return decision

    async def changes(self, request: Request) -> AsyncIterator[Decision]:
        """Yield the newest decision as soon as there is one, then every later one, until the engine closes.

        Raises:
            ScalerError: the trigger is wrong.
        """
        said: Decision | None = None
        while not self._closed:
            workload = await self._arrived(request)
            changed = workload.changed
            if workload.decision is not None and workload.decision is not said:
                said = workload.decision
                yield said
            else:
                await changed.wait()

    def decisions(self) -> list[Decision]:
        """The newest decision of every workload that has one."""
        return [workload.decision for workload in self._workloads.values() if workload.decision]

    def find(self, namespace: str, name: str) -> list[Decision]:
        """The newest decisions of all triggers of one scaled object."""
        return [item for item in self.decisions() if (item.key.namespace, item.key.name) == (namespace, name)]

    def refusals(self, namespace: str, name: str) -> list[str]:
        """Why triggers of one scaled object were refused, the newest last."""
        return [
            str(error)
            for request, (_, error) in self._errors.items()
            if (request.namespace, request.name) == (namespace, name)
        ]

    def notices(self) -> dict[WorkloadKey, str]:
        """Workloads that go on with an older formula, and why."""
        return {item.trigger.key: item.notice for item in self._workloads.values() if item.notice}

    # ---- which workloads there are ----

    async def _arrived(self, request: Request) -> Workload:
        """The workload of a request; new ones come in turn, so that a flood of them holds up nobody else."""
        if request in self._workloads:
            return self._asked(request, self._clock())
        self._raise_known_error(request)
        async with self._newcomers.of(request.namespace):
            return self._asked(request, self._clock())

    def _asked(self, request: Request, now: float) -> Workload:
        """The workload of a request, registered if it is new."""
        workload = self._workloads.get(request)
        if workload is None:
            workload = self._register(request, now)
        workload.last_asked = now
        return workload

    def _raise_known_error(self, request: Request) -> None:
        known = self._errors.get(request)
        if known and known[0] is self.catalog:
            raise known[1].with_traceback(None)

    def _register(self, request: Request, now: float) -> Workload:
        self._raise_known_error(request)
        scaled = self._scaled(request)
        refuse_by_value(request, scaled)  # not remembered: it is mended in the object, not in what is asked
        try:
            trigger = _of_kind(parse_trigger(request), scaled)
            file = self.catalog.find(trigger.formula) if trigger.formula is not None else None
            spec = bind(file, trigger, self._defaults)
        except ScalerError as error:
            self._remember(request, error)
            raise
        self._errors.pop(request, None)
        self._make_room()
        view = View(spec, spec.asks_of(None))
        workload = Workload(request, trigger, file, spec, self._inherited(trigger.key), now, now, view, scaled)
        self._workloads[request] = workload
        self._wake.set()
        return workload

    def _remember(self, request: Request, error: ScalerError) -> None:
        """Keep the error of a request, so that asking again is cheap and `explain` can show it."""
        self._errors.pop(request, None)
        while len(self._errors) >= REMEMBERED_ERRORS:
            self._errors.pop(next(iter(self._errors)))
        if size(request) <= MAX_METADATA_LENGTH:
            self._errors[request] = (self.catalog, error)

    def _inherited(self, key: WorkloadKey) -> State:
        """An edited trigger is a new workload: what was said for its object before is not lowered on little sight."""
        return inherited(
            [
                item.state
                for item in self._workloads.values()
                if (item.trigger.key.namespace, item.trigger.key.name, item.trigger.key.kind)
                == (key.namespace, key.name, key.kind)
            ]
        )

    def _forget_the_silent(self, now: float) -> None:
        """Forget who has not called for long, and whom Kubernetes does not list."""
        silent = [
            request
            for request, item in self._workloads.items()
            if not item.listed and now - item.last_asked > self._limits.forget_after
        ]
        for request in silent:
            self._forget(request)

    def _make_room(self) -> None:
        """Above the limit one is forgotten: first who called only briefly, and of these the oldest of who has most."""
        if len(self._workloads) < self._limits.workloads:
            return
        held = Counter((item.rank, item.request.namespace) for item in self._workloads.values())
        least = min(rank for rank, _ in held)
        owner = max((count, namespace) for (rank, namespace), count in held.items() if rank == least)[1]
        candidates = (
            item for item in self._workloads.values() if item.rank == least and item.request.namespace == owner
        )
        self._forget(min(candidates, key=lambda item: item.last_asked).request)

    def _forget(self, request: Request) -> None:
        self._workloads.pop(request).changed.set()

    def see(self, cluster: Cluster) -> None:
        """Take a new picture of the cluster: know every workload before KEDA asks, and which object each belongs to."""
        before, self.cluster = self.cluster, cluster
        self._available = {}
        if cluster.objects is not before.objects:
            self._take_in(self._clock())

    def _take_in(self, now: float) -> None:
        """Register whom Kubernetes lists, recognize who has asked, and forget whose object is gone."""
        listed = {
            Request(scaled.namespace, scaled.name, metadata)
            for scaled in self.cluster
            for metadata in scaled.triggers
            if resolved(metadata)
        }
        for request in sorted(listed - self._workloads.keys(), key=lambda one: (one.namespace, one.name)):
            if len(self._workloads) >= self._limits.workloads:
                logger.warning("more workloads than limits.workloads", extra={"listed": len(listed)})
                break
            with contextlib.suppress(ScalerError):  # KEDA is told when it asks
                self._register(request, now)
        for request, item in list(self._workloads.items()):
            if item.listed and request not in listed and item.trigger.key.kind in self.cluster.listed:
                self._forget(request)
                continue
            item.last_asked = now if item.listed or request in listed else item.last_asked
            item.listed = request in listed
            self._recognize(item, self._scaled(request))

    def _scaled(self, request: Request) -> Scaled | None:
        return self.cluster.find(request.namespace, request.name, request.metadata, dict(request.metadata).get("kind"))

    def _recognize(self, item: Workload, scaled: Scaled | None) -> None:
        """Take what Kubernetes says of a workload's object; another object of the same name is another workload."""
        before, item.scaled = item.scaled, scaled
        if before is None and scaled is not None and item.decision is None:
            self._wake.set()  # it waited for this
        if _outdated(item):
            self._wake.set()
        trigger = _of_kind(item.trigger, scaled)
        another = before is not None and scaled is not None and before.uid != scaled.uid
        if trigger == item.trigger and not another:
            return
        item.trigger, item.spec = trigger, replace(item.spec, key=trigger.key)
        item.state, item.decision, item.folded, item.knows_past = State(), None, None, False
        self._wake.set()

    def formulas_in_use(self) -> frozenset[str]:
        """Return the names of the formula files that workloads were bound to."""
        return frozenset(item.trigger.formula for item in self._workloads.values() if item.trigger.formula)

    def use(self, catalog: Catalog) -> None:
        """Take a new catalogue: bind again whose file has changed; a formula that no longer fits leaves the old one."""
        self.catalog = catalog
        for item in self._workloads.values():
            name = item.trigger.formula
            file = catalog.formulas.get(name) if name is not None else None
            if file is None or file is item.file:
                continue
            item.file = file
            try:
                spec = bind(file, item.trigger, self._defaults)
            except ScalerError as error:
                item.notice = f"an edit of {file.where} is not in force: {error}"
                logger.warning(item.notice, extra={"workload": str(item.trigger.key)})
                continue
            item.notice = ""
            if spec != item.spec:
                item.spec, item.folded, item.knows_past = spec, None, False
                item.state = inherited([item.state])
        self._take_in(self._clock())  # a formula that was missing may be there now
        self._wake.set()

    # ---- the tick ----

    async def run(self) -> None:
        """Tick until closed."""
        loop = asyncio.get_running_loop()
        while not self._closed:
            self._wake.clear()
            began = loop.time()
            self._start(self._clock())
            await asyncio.sleep(min(REST * (loop.time() - began), LONGEST_REST))  # many may wake it, one after another
            try:
                await asyncio.wait_for(self._wake.wait(), self._until_next(self._clock()))
            except TimeoutError:
                continue

    async def tick(self, now: float) -> None:
        """Fold everything that is due at `now`, and wait for it."""
        await asyncio.gather(*self._start(now))

    async def close(self) -> None:
        """Stop ticking, and wake everybody who waits."""
        self._closed = True
        self._wake.set()
        for item in self._workloads.values():
            item.changed.set()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _until_next(self, now: float) -> float:
        items = self._workloads.values()
        grids = {(item.cadence.phase, self._pace(item)) for item in items} or {(0.0, 1.0)}
        ends = [item.first_asked + ARRIVAL for item in items if self._unheard(item, now)]
        ticks = [Cadence(phase).grid(now, pace) + pace for phase, pace in grids]
        return max(min(ends + ticks) - now, 0.01)

    def _pace(self, item: Workload) -> float:
        """Seconds between its ticks: fewer while it has no replica, if anything says early what waits for one."""
        early = self._asleep(item) and any(map(self._early, item.view.asks.values()))
        return WAKING if early else item.spec.interval

    def _early(self, ask: Ask) -> bool:
        """Whether it is asked every second of who sleeps: pages, and a gateway's one query for all."""
        at_gateway = isinstance(ask, SignalAsk) and signals.find(ask.engine, ask.signal).scope == "gateway"
        return at_gateway or ask.endpoint in self._direct

    def _asleep(self, item: Workload) -> bool:
        """Whether it is known to have no replica."""
        replicas = item.scaled.replicas if item.scaled else None
        if replicas is None and item.decision:
            replicas = item.decision.known.current
        return replicas == 0

    def _unheard(self, item: Workload, now: float) -> bool:
        """Whether Kubernetes is about to say whose pods are its own: KEDA may ask before our watch has heard of it."""
        foreign = bool(self.cluster.listed) and item.scaled is None
        return foreign and item.decision is None and now - item.first_asked < ARRIVAL

    def _start(self, now: float) -> list[asyncio.Task[None]]:
        """Ask the sources about all that is due, and fold each group of workloads as soon as its answers are there."""
        self._forget_the_silent(now)
        groups: dict[tuple[Batch, ...], list[Workload]] = {}
        asks: dict[Batch, dict[Ask, str]] = {}  # and the namespace of who came first, who is asked about first
        new = sum(item.began is not None and not item.knows_past for item in self._workloads.values())
        for item in self._workloads.values():
            pace = self._pace(item)
            at = _time(item, now, pace)
            crowded = not item.knows_past and new >= HISTORIES
            done = at == item.folded and not _outdated(item)
            if item.began is not None or done or crowded or self._unheard(item, now):
                continue
            new += not item.knows_past
            times = (at,) if item.knows_past else _history(item.spec, at)
            waking = pace < item.spec.interval  # in a batch of their own: others' pods that hang must not delay them
            try:
                item.view = self._view(item, now)
                wanted = self._asked_now(item, at) if waking else item.view.asks.values()
            except Exception as error:  # one workload's fault must not stop the others
                logger.exception("a tick cannot begin", extra={"workload": str(item.trigger.key)})
                item.fault, item.folded = _fault("nothing can be asked for it", error), at
                continue
            batches = tuple((endpoint, times, waking) for endpoint in sorted({ask.endpoint for ask in wanted}))
            for ask in wanted:
                asks.setdefault((ask.endpoint, times, waking), {}).setdefault(ask, item.request.namespace)
            groups.setdefault(batches or (("", times, waking),), []).append(item)
            item.began = now
        fetched = {batch: self._spawn_fetch(batch, wanted, now) for batch, wanted in asks.items()}
        tasks = [
            asyncio.ensure_future(self._fold(items, [fetched[b] for b in batches if b in fetched], batches[0]))
            for batches, items in groups.items()
        ]
        self._tasks.update(tasks)
        for task in tasks:
            task.add_done_callback(self._tasks.discard)
        return tasks

    def _asked_now(self, item: Workload, at: float) -> list[Ask]:
        """What is asked for one that sleeps: little between its own ticks; of the rest the last answers stay."""
        asks = item.view.asks.values()
        if item.own(at):
            return list(asks)
        return [ask for ask in asks if self._early(ask) or ask not in item.answers]

    def _view(self, item: Workload, now: float) -> View:
        """What is asked now; made anew only where the spec or the pods have changed."""
        own, asks, before = own_pods(item.scaled), item.view.asks, item.view
        known = item.scaled is not None and own is not None and item.scaled.replicas is not None
        counted = known and item.knows_past  # of times gone by Kubernetes says nothing
        standing = item.state.standing
        suspicious = item.knows_past and standing is not None and standing.suspicious(now)
        same = (item.spec, counted, suspicious) == (before.spec, before.counted, before.suspicious)
        if not same or own != own_pods(before.scaled):
            asks = item.spec.asks_of(own, counted=counted, suspicious=suspicious)
        available = self._reckoned(item.scaled) if item.spec.needs_gpus else None
        doubt = self.cluster.doubt(now) or (item.scaled.doubt if item.scaled else "")
        return View(item.spec, asks, item.scaled, doubt, available, counted, suspicious)

    def _reckoned(self, scaled: Scaled | None) -> Availability:
        """What can be had for an object; reckoned once in each picture of the cluster."""
        if scaled is None:
            return unknown(self.cluster.problems.get("kubernetes", "Kubernetes says nothing of this object"))
        key = scaled.kind, scaled.namespace, scaled.name
        if key not in self._available:
            try:
                self._available[key] = availability(self.cluster, scaled)
            except Exception as error:  # one object's oddity must not stop the others
                logger.exception("what can be had cannot be reckoned", extra={"workload": "/".join(key)})
                self._available[key] = unknown(f"it cannot be reckoned ({type(error).__name__})")
        return self._available[key]

    def _spawn_fetch(self, batch: Batch, asks: Mapping[Ask, str], now: float) -> "asyncio.Task[Answers]":
        return asyncio.ensure_future(self._fetch(batch, asks, now))

    async def _fetch(self, batch: Batch, asks: Mapping[Ask, str], now: float) -> Answers:
        """Ask one endpoint in a thread; whatever goes wrong there becomes failures of these asks alone."""
        endpoint, grid_times, _ = batch
        times = [time - self._limits.evaluation_delay for time in grid_times]
        if self._stuck[endpoint] >= MAX_STUCK:
            return _failed(asks, times, f"{endpoint} has not come back since an earlier question")
        loop = asyncio.get_running_loop()
        source, closed = self._sources[endpoint], lambda: self._closed
        future = loop.run_in_executor(self._threads, fetch, source, endpoint, asks, times, closed)
        counts = self.fetches[endpoint]
        try:
            answers = await asyncio.wait_for(asyncio.shield(future), self._limits.patience)
        except TimeoutError:
            self._stuck[endpoint] += 1
            future.add_done_callback(lambda _done: self._unstick(endpoint))
            answers = _failed(asks, times, f"{endpoint} did not come back within {seconds(self._limits.patience)}")
        except Exception as error:  # no measurements at all
            logger.exception("a source raised", extra={"endpoint": endpoint})
            answers = _failed(asks, times, _fault(f"{endpoint} gave no answer that can be read", error))
        counts.seconds += max(self._clock() - now, 0.0)
        failed = sum(isinstance(measured[-1], Failure) for measured in answers.values())
        counts.failed += failed
        counts.answered += len(answers) - failed
        return answers

    def _unstick(self, endpoint: str) -> None:
        self._stuck[endpoint] -= 1

    async def _fold(self, items: Sequence[Workload], fetched: Iterable["asyncio.Task[Answers]"], batch: Batch) -> None:
        """Fold the answers into every workload of a group."""
        _, times, waking = batch
        try:
            answers: dict[Ask, Sequence[Measured]] = {}
            for task in fetched:
                answers.update(await asyncio.shield(task))
            for item in items:
                own = answers
                if waking:
                    own = {ask: answers.get(ask) or item.answers[ask] for ask in item.view.asks.values()}
                    if _nothing_new(item, own, times[-1]):
                        continue
                if len(times) == 1:
                    await self._fold_one(item, own, times)
                    continue
                async with self._histories.of(item.request.namespace):
                    await self._fold_one(item, own, times)
        finally:
            for item in items:
                item.began = None
            if len(times) > 1:
                self._wake.set()  # more new workloads may wait for their turn

    async def _fold_one(self, item: Workload, answers: Answers, times: Sequence[float]) -> None:
        state, decision, view = item.state, item.decision, item.view
        spec = view.spec
        try:
            for index, time in enumerate(times):
                measured = {ask: answers[asked][index] for ask, asked in view.asks.items()}
                if time != times[-1] and all(isinstance(one, Failure) for one in measured.values()):
                    continue  # history that could not be had is not an outage that was seen
                told = view.told if time == times[-1] else ()  # of the past Kubernetes says nothing
                state, decision = decide(spec, state, spec.inputs_of(measured, *told), time)
                if time != times[-1] and state.certain is None:
                    state = replace(state, started=item.state.started)  # nor time for which we gave no answer
                await self._breathe()
        except Exception as error:  # one workload's fault must not stop the others
            logger.exception("a fold failed", extra={"workload": str(item.trigger.key)})
            item.fault = _fault("nothing can be decided for it", error)
            return
        item.fault = ""
        if item.spec is not spec or decision is None:
            self._wake.set()
            return  # an edit came in between: its own fold follows
        before, item.decision, item.folded = item.decision, decision, times[-1]
        if item.knows_past or _any_reading(answers, view) or not view.asks:
            item.state, item.knows_past = state, True
        item.answers = answers if len(times) == 1 else {}
        item.took = 0.0 if item.began is None else self._clock() - item.began
        item.changed.set()
        item.changed = asyncio.Event()
        self._on_decision(before, decision)

    async def _breathe(self) -> None:
        """Let others run after so long: a long past is thousands of folds."""
        loop = asyncio.get_running_loop()
        self._folds += 1
        if self._folds % FOLDS_A_SLICE == 0 or loop.time() - self._slice > SLICE:
            await asyncio.sleep(0)
            self._slice = loop.time()


def _nothing_new(item: Workload, answers: Answers, at: float) -> bool:
    """Whether a look between a sleeping workload's own ticks shows just what its newest fold saw."""
    due = item.own(at) or item.folded is None or _outdated(item)
    return not due and all(
        asked in item.answers and _said(answers[asked][-1]) == _said(item.answers[asked][-1])
        for asked in item.view.asks.values()
    )


def _said(measured: Measured) -> float | str | None:
    return measured.value if isinstance(measured, Reading) else measured.reason


def _any_reading(answers: Answers, view: View) -> bool:
    return any(isinstance(answers[ask][-1], Reading) for ask in view.asks.values())


def _outdated(item: Workload) -> bool:
    """Whether a Job has come or ended since its policy counted Jobs: the next poll must not be told of before."""
    told, algorithm = item.view.scaled, item.spec.algorithm
    if algorithm is None or not algorithm.jobs or item.scaled is None or told is None:
        return False
    return item.scaled.jobs != told.jobs


def _of_kind(trigger: Trigger, scaled: Scaled | None) -> Trigger:
    """A trigger of the kind that Kubernetes says its object is."""
    return trigger if scaled is None else replace(trigger, key=replace(trigger.key, kind=scaled.kind))


def _time(item: Workload, now: float, pace: float) -> float:
    """The newest grid time; never one before the newest fold, which was on a finer grid, unless the clock went back."""
    at = item.cadence.grid(now, pace)
    return item.folded if item.folded is not None and 0 <= item.folded - at < item.spec.interval else at


def _history(spec: WorkloadSpec, at: float) -> tuple[float, ...]:
    """The grid times that a new workload folds: as far back as anything it remembers."""
    steps = math.ceil(max(spec.memory, spec.idle_for) / spec.interval)
    return tuple(at - step * spec.interval for step in range(steps, -1, -1))


def _fault(what: str, error: Exception) -> str:
    """What went wrong with one workload, for its user; the log has more."""
    return f"{what} ({type(error).__name__}: {error})"[:MAX_FAULT] + "; the log of llm-scaler says where"


def _failed(asks: Collection[Ask], times: Sequence[float], reason: str) -> Answers:
    return {ask: [Failure(reason, time) for time in times] for ask in asks}
