"""Which workloads there are: the only place that makes one, binds it to a formula, or forgets it.

A workload comes when KEDA asks for it or Kubernetes lists its object, and goes when its object is gone, or when nobody
has asked for long and Kubernetes does not list it. It is bound again when its formula file changes; a file that no
longer fits it leaves the old formula in force, with a notice. Above the limit those are forgotten first who called only
briefly, and of these one of the namespace that has most.
"""

import contextlib
import logging
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace

from scaler.config.catalog import Catalog
from scaler.config.defaults import Defaults
from scaler.config.trigger import MAX_METADATA_LENGTH, refuse_by_value, size
from scaler.config.workload import WorkloadSpec
from scaler.decision.state import State, inherited
from scaler.engine.limits import Limits
from scaler.engine.workload import TickPlan, Workload
from scaler.formula.program import Program
from scaler.model.errors import Overloaded, ScalerError
from scaler.model.measurement import TriggerRef, WorkloadKey
from scaler.model.objects import Cluster, ScaledResource, resolved

logger = logging.getLogger(__name__)

REMEMBERED_ERRORS = 512  # requests whose error is kept, so that KEDA's instant retry costs nothing
LISTED_AT_ONCE = 20  # workloads that Kubernetes lists, registered between two turns of the event loop


class Registry:
    """All workloads of one engine, by what KEDA sends for them.

    Args:
        catalog: the formulas to begin with.
        defaults: what the settings say for every workload.
        limits: bounds.
        wake: called when something is due that was not before.
    """

    def __init__(self, catalog: Catalog, defaults: Defaults, limits: Limits, wake: Callable[[], None]) -> None:
        self.catalog = catalog
        self.cluster = Cluster()
        self.workloads: dict[TriggerRef, Workload] = {}
        self.errors: dict[TriggerRef, tuple[Catalog, ScalerError]] = {}
        self.limits = limits
        self._by_name: dict[tuple[str, str], list[TriggerRef]] = {}  # triggers of one object, and edits of them
        self._steps: Counter[str] = Counter()  # namespace -> thousandths of steps a second that its formulas may take
        self._objects: Counter[str] = Counter()  # of each namespace
        self._listed: deque[TriggerRef] = deque()  # by Kubernetes, and not registered yet
        self._defaults = defaults
        self._wake = wake

    # ---- what KEDA asks ----

    def asked(self, request: TriggerRef, now: float) -> Workload:
        """Return the workload of a request, registered if it is new.

        Raises:
            ScalerError: the trigger is wrong.
        """
        workload = self.workloads.get(request)
        if workload is None:
            workload = self._register(request, now)
        workload.last_asked = now
        return workload

    def raise_known_error(self, request: TriggerRef) -> None:
        """Refuse again, at no cost, what this catalogue has refused already."""
        known = self.errors.get(request)
        if known and known[0] is self.catalog:
            raise known[1].with_traceback(None)

    def refusals(self, namespace: str, name: str) -> list[str]:
        """List why triggers of one scaled object were refused, the newest last."""
        return [
            str(error)
            for request, (_, error) in self.errors.items()
            if (request.namespace, request.name) == (namespace, name)
        ]

    def notices(self) -> dict[WorkloadKey, str]:
        """List the workloads that go on with an older formula, and why: the file is broken, or does not fit them."""
        found: dict[WorkloadKey, str] = {}
        for item in self.workloads.values():
            broken = self.catalog.problem_of(item.file.name) if item.file else ""
            notice = broken or item.notice
            if notice:
                found[item.key] = notice
        return found

    def _register(self, request: TriggerRef, now: float) -> Workload:
        self.raise_known_error(request)
        scaled = self._scaled(request)
        refuse_by_value(request, scaled)  # not remembered: it is mended in the object, not in what is asked
        try:
            bound = self.catalog.bind(request, self._defaults, scaled.kind if scaled else None)
        except ScalerError as error:
            self._remember(request, error)
            raise
        self.errors.pop(request, None)
        self._refuse_too_many(request)
        self._refuse_too_dear(request.namespace, _milli_steps(bound.spec))
        self._make_room()
        plan, state = TickPlan(bound.spec, bound.spec.queries_of(None)), self._inherited(bound.key)
        workload = Workload(request, bound.key, bound.file, bound.spec, state, now, now, plan, scaled)
        self._keep(workload)
        self._wake()
        return workload

    def _keep(self, workload: Workload) -> None:
        request = workload.request
        self.workloads[request] = workload
        self._steps[request.namespace] += _milli_steps(workload.spec)
        namesakes = self._by_name.setdefault((request.namespace, request.name), [])
        self._objects[request.namespace] += not namesakes
        namesakes.append(request)

    def _remember(self, request: TriggerRef, error: ScalerError) -> None:
        """Keep the error of a request, so that asking again is cheap and `explain` can show it."""
        self.errors.pop(request, None)
        while len(self.errors) >= REMEMBERED_ERRORS:
            self.errors.pop(next(iter(self.errors)))
        if size(request) <= MAX_METADATA_LENGTH:
            self.errors[request] = (self.catalog, error)

    def _inherited(self, key: WorkloadKey) -> State:
        """Take over from an edited trigger: what was said for its object is not lowered on little sight."""
        requests = self._by_name.get((key.namespace, key.name), ())
        others = [self.workloads[request] for request in requests]
        return inherited([item.state for item in others if item.key.kind == key.kind])

    # ---- who is forgotten ----

    def forget_the_silent(self, now: float) -> None:
        """Forget who has not called for long, and whom Kubernetes does not list."""
        silent = [
            request
            for request, item in self.workloads.items()
            if not item.listed and now - item.last_asked > self.limits.forget_after
        ]
        for request in silent:
            self._forget(request)

    def _refuse_too_many(self, request: TriggerRef) -> None:
        """Refuse one object more than a namespace may have; other triggers of an object that is known are no more."""
        limit = self.limits.objects_per_namespace
        if limit >= self.limits.workloads:
            return
        known = self._objects[request.namespace]
        if known >= limit and (request.namespace, request.name) not in self._by_name:
            raise Overloaded(
                f"namespace {request.namespace} has {known} ScaledObjects and ScaledJobs that use llm-scaler;"
                f" allowed: {limit} (limits.objectsPerNamespace of the settings)"
            )

    def _refuse_too_dear(self, namespace: str, more: int) -> None:
        """Refuse a formula with which a namespace would take more steps a second than it may."""
        taken, limit = self._steps[namespace], self.limits.formula_steps
        if more > 0 and taken + more > 1000 * limit:
            raise Overloaded(
                f"the formulas of namespace {namespace} may take {taken / 1000:,.0f} steps a second, and this one"
                f" {more / 1000:,.0f} more; allowed: {limit:,} (limits.formulaStepsPerNamespace of the settings); a"
                " longer interval or a formula without arrays takes less"
            )

    def _make_room(self) -> None:
        """Forget one above the limit: first who called only briefly, and of these the oldest of who has most."""
        if len(self.workloads) < self.limits.workloads:
            return
        held = Counter((item.rank, item.request.namespace) for item in self.workloads.values())
        least = min(rank for rank, _ in held)
        owner = max((count, namespace) for (rank, namespace), count in held.items() if rank == least)[1]
        candidates = (
            item for item in self.workloads.values() if item.rank == least and item.request.namespace == owner
        )
        self._forget(min(candidates, key=lambda item: item.last_asked).request)

    def _forget(self, request: TriggerRef) -> None:
        item = self.workloads.pop(request)
        item.changed.set()
        self._steps[request.namespace] -= _milli_steps(item.spec)
        namesakes = self._by_name[request.namespace, request.name]
        namesakes.remove(request)
        if not namesakes:
            del self._by_name[request.namespace, request.name]
            self._objects[request.namespace] -= 1
            if not self._objects[request.namespace]:
                del self._objects[request.namespace]

    # ---- what Kubernetes lists ----

    def sync(self, cluster: Cluster, now: float) -> None:
        """Take a new picture of the cluster: know every workload before KEDA asks, and which object each belongs to."""
        before, self.cluster = self.cluster, cluster
        if cluster.objects is not before.objects:
            self._sync_workloads(now)

    def _sync_workloads(self, now: float) -> None:
        """Register whom Kubernetes lists, recognize who has asked, and forget whose object is gone."""
        listed = {
            TriggerRef(scaled.namespace, scaled.name, metadata)
            for scaled in self.cluster
            for metadata in scaled.triggers
            if resolved(metadata)
        }
        self._listed = deque(sorted(listed - self.workloads.keys(), key=lambda one: (one.namespace, one.name)))
        self.register_listed(now)
        for request, item in list(self.workloads.items()):
            if item.listed and request not in listed and item.key.kind in self.cluster.synced_kinds:
                self._forget(request)
                continue
            item.last_asked = now if item.listed or request in listed else item.last_asked
            item.listed = request in listed
            self._update_target(item, self._scaled(request))

    def register_listed(self, now: float) -> bool:
        """Register the next ones of whom Kubernetes lists, and return whether there are more.

        Not all at once, which would hold up every call: 1,000 take a quarter of a second.
        """
        for _ in range(min(LISTED_AT_ONCE, len(self._listed))):
            request = self._listed.popleft()
            if request not in self.workloads and len(self.workloads) >= self.limits.workloads:
                logger.warning("more workloads than limits.workloads", extra={"left_out": len(self._listed) + 1})
                self._listed.clear()
                break
            with contextlib.suppress(ScalerError):  # KEDA is told when it asks
                item = self.workloads.get(request) or self._register(request, now)
                item.listed = True
        return bool(self._listed)

    @property
    def listed(self) -> int:
        """The number that Kubernetes lists and that are not registered yet."""
        return len(self._listed)

    def _scaled(self, request: TriggerRef) -> ScaledResource | None:
        return self.cluster.find(request.namespace, request.name, request.metadata, dict(request.metadata).get("kind"))

    def _update_target(self, item: Workload, scaled: ScaledResource | None) -> None:
        """Take what Kubernetes says of a workload's object; another object of the same name is another workload."""
        before, item.scaled = item.scaled, scaled
        if before is None and scaled is not None and item.decision is None:
            self._wake()  # it waited for this
        if item.jobs_changed:
            self._wake()
        key = item.key if scaled is None else replace(item.key, kind=scaled.kind)
        another = before is not None and scaled is not None and before.uid != scaled.uid
        if key == item.key and not another:
            return
        item.key, item.spec = key, replace(item.spec, key=key)
        item.begin_anew(State())
        item.decision = None
        self._wake()

    # ---- which formulas there are ----

    def formulas_in_use(self) -> frozenset[str]:
        """Return the names of the formula files that workloads were bound to."""
        return frozenset(item.file.name for item in self.workloads.values() if item.file)

    def update_catalog(self, catalog: Catalog, now: float) -> None:
        """Bind again whose file has changed; a formula that no longer fits leaves the old one."""
        self.catalog = catalog
        for item in self.workloads.values():
            self._rebind(item)
        self._sync_workloads(now)  # a formula that was missing may be there now
        self._wake()

    def _rebind(self, item: Workload) -> None:
        file = self.catalog.formulas.get(item.file.name) if item.file else None
        if file is None or file is item.file:
            return
        item.file = file
        try:
            spec = self.catalog.bind(item.request, self._defaults, item.key.kind).spec
            more = _milli_steps(spec) - _milli_steps(item.spec)
            self._refuse_too_dear(item.request.namespace, more)
        except ScalerError as error:
            item.notice = f"an edit of {file.where} is not in force: {error}"
            logger.warning(item.notice, extra={"workload": str(item.key)})
            return
        item.notice = ""
        if spec != item.spec:
            self._steps[item.request.namespace] += more
            item.spec = spec
            item.begin_anew(inherited([item.state]))


def _milli_steps(spec: WorkloadSpec) -> int:
    """Return the most thousandths of steps a second that a workload's formulas take, for each of its intervals."""
    programs = [spec.program, *spec.policy_programs.values()]
    if isinstance(spec.activation, Program):
        programs.append(spec.activation)
    return round(1000 * sum(program.cost for program in programs) / spec.interval)
