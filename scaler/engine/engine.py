"""The one owner of mutable state: which workloads there are, what they remember, what was decided last.

    registry ──▶ schedule ──▶ plan ──▶ collect ──▶ fold ──▶ (decision/together) ──▶ publish ──▶ read, changes
    who there is   who is due   what is asked   answers   each alone   those that share      what KEDA is told

A tick is the batch: all that is due is asked of every source at once, and each group of workloads is folded as soon as
its answers are there. A call reads the newest decision; one that comes for the first time registers its workload and
waits for a decision, and every call tells when the HPA looks. Everything but the sources runs on one event loop, so
there are no locks.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace

from scaler.config.catalog import Catalog
from scaler.config.defaults import Defaults
from scaler.config.trigger import refuse_by_value
from scaler.decision.decision import Decision
from scaler.decision.together import STEPS, SharingStep
from scaler.engine.admission import Admission
from scaler.engine.collect import Collector, FetchStats
from scaler.engine.fold import Folded, Folder
from scaler.engine.limits import Limits
from scaler.engine.plan import ClusterView, plan
from scaler.engine.publish import OnDecision, Publisher
from scaler.engine.recall import RecallQuestion, keep, next_question
from scaler.engine.registry import Registry
from scaler.engine.schedule import Batch, Schedule, nothing_new
from scaler.engine.workload import Answers, Workload, fault
from scaler.model.errors import NoAnswer
from scaler.model.fields import seconds
from scaler.model.measurement import Query, Source, TriggerRef, WorkloadKey
from scaler.model.objects import Cluster

logger = logging.getLogger(__name__)

MAX_FOR_NEW = 2  # questions for new workloads that an endpoint has at a time: meanwhile the next one grows
REST = 3.0  # so many times as long as beginning a tick took, nothing begins, so that calls have the larger part
LONGEST_REST = 0.25  # seconds; also what lies between two looks at a crowd: few large questions are sooner answered

Groups = dict[tuple[Batch, ...], list[Workload]]
Questions = dict[Batch, dict[Query, str]]  # and the namespace of who came first, who is asked about first


class Engine:
    """Keeps the decisions of all workloads fresh.

    Args:
        sources: by the name of their endpoint.
        catalog: the formulas to begin with.
        defaults: what the settings say for every workload.
        clock: seconds since the epoch.
        limits: bounds.
        on_decision: called with every decision and the one before it.
        steps: by which workloads are decided together.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        catalog: Catalog,
        defaults: Defaults,
        clock: Callable[[], float],
        limits: Limits | None = None,
        on_decision: OnDecision | None = None,
        steps: Sequence[SharingStep] = STEPS,
    ) -> None:
        self._clock = clock
        self._limits = limits or Limits()
        self._wake = asyncio.Event()
        self.registry = Registry(catalog, defaults, self._limits, self._wake.set)
        self._schedule = Schedule(self._limits.direct)
        self._view = ClusterView(self.registry.cluster)
        self._collector = Collector(sources, self._limits, clock)
        self._admission = Admission(self._limits.budget)
        self._folder = Folder(self._admission)
        self._publisher = Publisher(clock, self._wake.set, on_decision or (lambda _before, _decision: None), steps)
        self._for_new = Counter(dict.fromkeys(sources, 0))  # questions for new workloads that are not answered yet
        self._planning = 0  # ticks of which it is not said yet what they ask
        self._tasks: set[asyncio.Task[None]] = set()
        self._registering: asyncio.Task[None] | None = None
        self._recalling: asyncio.Task[None] | None = None
        self._closed = False

    # ---- what the server reads ----

    async def turn(self, namespace: str) -> None:
        """Wait until a call of a namespace may be answered: at once, unless many come at a time."""
        await self._admission.call(namespace)

    async def read(self, request: TriggerRef) -> Decision:
        """Return the newest decision, which has an answer.

        Raises:
            ScalerError: the trigger is wrong, or nothing certain can be said; the text is for the user.
        """
        workload = self.registry.workloads.get(request)
        if workload is not None and workload.decision is not None:
            self._heed(request, workload)
            self._admission.served(workload.last_asked)
        else:
            with self._admission.patience() as patience:
                workload = await self._first_decided(request, patience)
        decision = workload.decision
        if decision is None:
            raise NoAnswer("no decision yet: the server is shutting down")
        age = self._clock() - decision.at
        if age > decision.spec.hold_for + 3 * decision.spec.interval:
            why = workload.fault or "this server has stopped deciding"
            raise NoAnswer(f"the newest decision is {seconds(age)} old: {why}")
        decision.answer_or_error()
        return decision

    async def _first_decided(self, request: TriggerRef, patience: float) -> Workload:
        """Return the workload of a request once it has a decision, or the engine closes.

        Args:
            request: what is asked about.
            patience: seconds that it may wait.

        Raises:
            ScalerError: the trigger is wrong, or its time is over.
        """
        until = asyncio.get_running_loop().time() + patience
        workload = await self._arrived(request, patience)
        self._heed(request, workload)
        if workload.decision is None:
            try:
                async with asyncio.timeout_at(until):
                    await workload.changed.wait()
            except TimeoutError:
                await self.turn(request.namespace)  # calls that came together also end together
                waited = f"the first measurement took longer than {seconds(patience)}"
                raise NoAnswer(f"no decision yet: {workload.fault or waited}") from None
        return workload

    def _heed(self, request: TriggerRef, workload: Workload) -> None:
        """Take note that KEDA asks about a workload.

        Raises:
            ConfigError: its metricType is one that cannot be.
        """
        workload.last_asked = now = self._clock()
        refuse_by_value(request, workload.scaled)
        workload.cadence = workload.cadence.synced(now, workload.spec.interval, workload.took)

    async def changes(self, request: TriggerRef) -> AsyncIterator[Decision]:
        """Yield the newest decision as soon as there is one, then every later one, until the engine closes.

        Raises:
            ScalerError: the trigger is wrong.
        """
        said: Decision | None = None
        while not self._closed:
            with self._admission.patience() as patience:
                workload = await self._arrived(request, patience)
            changed = workload.changed
            if workload.decision is not None and workload.decision is not said:
                said = workload.decision
                yield said
            else:
                await changed.wait()

    async def _arrived(self, request: TriggerRef, patience: float) -> Workload:
        """Return the workload of a request; new ones come in turn, so that a flood of them holds up nobody else.

        Raises:
            ScalerError: the trigger is wrong, or too many new ones come at a time.
        """
        if request in self.registry.workloads:
            return self.registry.asked(request, self._clock())
        self.registry.raise_known_error(request)
        await self._admission.newcomer(request.namespace, patience)
        return self.registry.asked(request, self._clock())

    def decisions(self) -> list[Decision]:
        """List the newest decision of every workload that has one."""
        return [workload.decision for workload in self.registry.workloads.values() if workload.decision]

    def find(self, namespace: str, name: str) -> list[Decision]:
        """List the newest decisions of all triggers of one scaled object."""
        return [item for item in self.decisions() if (item.key.namespace, item.key.name) == (namespace, name)]

    def refusals(self, namespace: str, name: str) -> list[str]:
        """List why triggers of one scaled object were refused, the newest last."""
        return self.registry.refusals(namespace, name)

    def notices(self) -> dict[WorkloadKey, str]:
        """List the workloads that go on with an older formula, and why."""
        return self.registry.notices()

    @property
    def catalog(self) -> Catalog:
        """The formulas in force."""
        return self.registry.catalog

    @property
    def cluster(self) -> Cluster:
        """The newest picture of the cluster."""
        return self.registry.cluster

    @property
    def fetches(self) -> Mapping[str, FetchStats]:
        """The counts of how often each endpoint was asked."""
        return self._collector.stats

    # ---- what changes around it ----

    def update_cluster(self, cluster: Cluster) -> None:
        """Take a new picture of the cluster."""
        self._view = ClusterView(cluster)
        self.registry.sync(cluster, self._clock())
        self._register_more()

    def update_catalog(self, catalog: Catalog) -> None:
        """Take a new catalogue of formulas."""
        self.registry.update_catalog(catalog, self._clock())
        self._register_more()

    def _register_more(self) -> None:
        """Register in turns whom Kubernetes lists beyond the first few."""
        if self.registry.listed and not self._registering:
            self._registering = asyncio.ensure_future(self._register_listed())
            self._tasks.add(self._registering)
            self._registering.add_done_callback(self._tasks.discard)

    async def _register_listed(self) -> None:
        more = True
        while more:
            more = self.registry.register_listed(self._clock())
            await asyncio.sleep(0)  # others have a turn
        self._registering = None

    # ---- the tick ----

    async def run(self) -> None:
        """Tick until closed."""
        loop = asyncio.get_running_loop()
        while not self._closed:
            self._wake.clear()
            began, now = loop.time(), self._clock()
            self._start(now)
            items = self.registry.workloads.values()
            crowded = self._schedule.is_crowd(items, now, self._waiting)
            rest = LONGEST_REST if crowded else min(REST * (loop.time() - began), LONGEST_REST)
            await asyncio.sleep(rest)  # many may wake it, one after another
            items, now = self.registry.workloads.values(), self._clock()
            try:
                wait = self._schedule.until_next(items, self.cluster, now)
                async with asyncio.timeout(wait):  # Python 3.11's `wait_for` may forget that it was cancelled
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def tick(self, now: float) -> None:
        """Fold everything that is due at `now`, and wait for it."""
        await asyncio.gather(*self._start(now))

    async def close(self) -> None:
        """Stop ticking, and wake everybody who waits."""
        self._closed = True
        self._wake.set()
        for item in self.registry.workloads.values():
            item.changed.set()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._collector.close()

    def _start(self, now: float) -> list[asyncio.Task[None]]:
        """Begin a tick of all that are due: of those that are known, and apart from these of all others."""
        self.registry.forget_the_silent(now)
        busy = {endpoint for endpoint, count in self._for_new.items() if self._planning or count >= MAX_FOR_NEW}
        items = list(self.registry.workloads.values())
        known: list[tuple[Workload, Batch]] = []
        others: list[tuple[Workload, Batch]] = []
        for item, due in self._schedule.due_now(items, self.cluster, now, self._waiting, busy):
            item.began = now
            (known if item.established else others).append((item, due))
        self._recall_more(now)
        return [self._spawn(self._tick_of(some, now)) for some in (known, others) if some]

    def _spawn(self, part: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(part)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _tick_of(self, due: Sequence[tuple[Workload, Batch]], now: float) -> None:
        """Ask the sources about some, and decide each group of workloads once its answers are there."""
        groups, queries = await self._planned(due, now)
        fetched = {batch: self._spawn_fetch(batch, wanted, now) for batch, wanted in queries.items()}
        deciding = []
        for batches, items in groups.items():
            answers = [fetched[batch] for batch in batches if batch in fetched]
            deciding.append(self._decide(items, answers, batches[0]))
        await asyncio.gather(*deciding)

    async def _planned(self, due: Sequence[tuple[Workload, Batch]], now: float) -> tuple[Groups, Questions]:
        """Plan the ticks of some, in slices: who is decided together, and what each endpoint is asked for them."""
        groups: Groups = {}
        queries: Questions = {}
        planned = 0
        self._planning += 1
        try:
            for item, batch in due:
                await self._admission.work(item.request.namespace, known=item.established)
                planned += 1
                wanted = self._plan(item, batch, now)
                if wanted is None:
                    item.began = None
                    continue
                endpoints = sorted({query.endpoint for query in wanted})
                batches = tuple(replace(batch, endpoint=endpoint) for endpoint in endpoints)
                for one in batches:
                    together = queries.setdefault(one, {})
                    for query in wanted:
                        if query.endpoint == one.endpoint:
                            together.setdefault(query, item.request.namespace)
                groups.setdefault(batches or (batch,), []).append(item)
        finally:
            self._planning -= 1
            for item, _ in due[planned:]:
                item.began = None
        return groups, queries

    @property
    def _waiting(self) -> int:
        """The number of new ones that are not registered yet."""
        return self._admission.waiting + self.registry.listed

    def _plan(self, item: Workload, due: Batch, now: float) -> Collection[Query] | None:
        """Plan the tick of a workload, and return what is asked; None where that failed, which its `fault` says."""
        try:
            item.plan = plan(item, self._view, now)
            return self._schedule.queries(item, due)
        except Exception as error:  # one workload's fault must not stop the others
            logger.exception("a tick cannot begin", extra={"workload": str(item.key)})
            item.fault, item.folded = fault("nothing can be asked for it", error), due.times[-1]
            return None

    def _spawn_fetch(self, batch: Batch, queries: Mapping[Query, str], now: float) -> "asyncio.Task[Answers]":
        fetching = asyncio.ensure_future(self._collector.fetch(batch, queries, now))
        if batch.for_new:
            loop = asyncio.get_running_loop()
            began = loop.time()
            self._for_new[batch.endpoint] += 1

            def rest(_done: object) -> None:
                took = loop.time() - began
                loop.call_later(self._admission.rest(took), self._ask_for_more, batch.endpoint)

            fetching.add_done_callback(rest)
        return fetching

    def _ask_for_more(self, endpoint: str) -> None:
        """Let an endpoint have one more question for new workloads."""
        self._for_new[endpoint] -= 1
        self._wake.set()

    def _recall_more(self, now: float) -> None:
        """Ask for one more of the days before, where a policy looks at them and no such question is under way."""
        if self._recalling is None:
            question = next_question(self.registry.workloads.values(), self._limits.direct, now)
            if question is not None:
                self._recalling = asyncio.ensure_future(self._recall(question, now))
                self._tasks.add(self._recalling)
                self._recalling.add_done_callback(self._tasks.discard)

    async def _recall(self, question: RecallQuestion, now: float) -> None:
        queries = {
            query: item.request.namespace for item, queries in question.queries.items() for query in queries.values()
        }
        try:
            keep(question, await self._collector.fetch(question.batch, queries, now), now)
        finally:
            self._recalling = None

    async def _decide(
        self, items: Sequence[Workload], fetched: Iterable["asyncio.Task[Answers]"], batch: Batch
    ) -> None:
        """Fold the answers into every workload of a group, and publish: at once, or together with others."""
        try:
            answers: Answers = {}
            for task in fetched:
                one = await asyncio.shield(task)
                answers = {**answers, **one} if answers else one
            shared = []
            for item in items:
                folded = await self._fold(item, answers, batch)
                if folded is not None and self._publisher.is_shared(item):
                    shared.append(folded)
                elif folded is not None:
                    self._publisher.publish(folded)
            if shared:
                self._publisher.publish_together(shared, self.registry.workloads)
        finally:
            for item in items:
                item.began = None
            if batch.for_new:
                self._wake.set()  # more new workloads may wait for their turn

    async def _fold(self, item: Workload, answers: Answers, batch: Batch) -> Folded | None:
        """Fold one workload; None where it shows nothing new, or cannot be folded."""
        if batch.early:
            answers = {query: answers.get(query) or item.answers[query] for query in item.plan.queries.values()}
            if nothing_new(item, answers, batch.times[-1]):
                return None
        if len(batch.times) == 1:
            folded = await self._folder.fold(item, answers, batch.times)
            return replace(folded, first_look=batch.first_look) if folded else None
        return await self._folder.fold(item, answers, batch.times)
