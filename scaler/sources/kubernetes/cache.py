"""What is known of Kubernetes now: a reflector for every resource of RESOURCES, and the Cluster that they make.

Nothing is ever written. Reading takes threads, since the official client blocks, and a lock guards the tables; putting
them together is pure (`assemble.py`).
"""

import logging
import os
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from scaler.model.nodes import Owner
from scaler.model.objects import Cluster, ScaledResource
from scaler.sources.kubernetes import read_objects
from scaler.sources.kubernetes.assemble import Store, assemble, scaled_records
from scaler.sources.kubernetes.read_objects import ObjectKey, Scale
from scaler.sources.kubernetes.reflector import Backoff, Clock, Common, Reflector, oddity
from scaler.sources.kubernetes.resources import NODES, SCALED, SCALES, SLICES, WATCHED, Purpose, Resource
from scaler.sources.kubernetes.store import Table
from scaler.sources.kubernetes.well_formed import check
from scaler.sources.late import IMPORTING

if TYPE_CHECKING:
    from scaler.sources.kubernetes.api import ApiServer

logger = logging.getLogger(__name__)

MOST_SCALES = 500  # scale sub-resources that are looked at
TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


def reachable(kubeconfig: Path | None) -> bool:
    """Tell whether there is a way to an API server: a kubeconfig, or a pod's service account."""
    return kubeconfig is not None or bool(os.environ.get("KUBECONFIG")) or TOKEN.exists()


class ClusterCache:
    """All that is watched, and the Cluster that it makes.

    Args:
        kubeconfig: None for the pod's service account, or else for what KUBECONFIG names.
        namespaces: empty for all.
        services: names under which triggers reach us; see `read_objects.ObjectReader`.
        clock: seconds since the epoch.
        pace: how long is waited.
        behind: namespace and name of Services whose addresses are wanted.
        fixed: whether nobody buys machines.
    """

    def __init__(
        self,
        kubeconfig: Path | None,
        namespaces: Collection[str],
        services: Collection[str],
        clock: Clock,
        pace: Backoff | None = None,
        behind: Collection[ObjectKey] = (),
        *,
        fixed: bool = False,
    ) -> None:
        self._kubeconfig, self._namespaces, self._clock, self._pace = kubeconfig, namespaces, clock, pace or Backoff()
        self._reader, self._fixed = read_objects.ObjectReader(services), fixed
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._server: ApiServer | None = None
        self._reflectors: list[Reflector] = []
        self._behind: dict[ObjectKey, Reflector | None] = dict.fromkeys(behind)  # None: not watched yet
        self._scales: dict[Owner, Scale] = {}
        self._scale_problem = ""
        self._hardware_problem = ""
        self._made: tuple[object, Cluster] | None = None

    def start(self) -> None:
        """Begin to watch; blocks while the client is imported.

        Raises:
            SourceError: there is no access.
        """
        with IMPORTING:
            from scaler.sources.kubernetes.api import ApiServer  # noqa: PLC0415 - 0.2 s, spent on first use

        server = self._server = ApiServer(self._kubeconfig)
        common = Common(server, self._lock, self._clock, self._pace, self._reader)
        for resource in WATCHED:
            for namespace in (self._namespaces if resource.namespaced else ()) or (None,):
                self._watch(Reflector(common, resource, namespace))
        for namespace, name in self._behind:
            of_service = replace(SLICES, selector=f"kubernetes.io/service-name={name}")
            reflector = Reflector(common, of_service, namespace)
            self._watch(reflector)
            self._behind[namespace, name] = reflector
        threading.Thread(target=self._look_at_scales, args=(server,), name="kube-scales", daemon=True).start()

    def _watch(self, reflector: Reflector) -> None:
        self._reflectors.append(reflector)
        name = f"kube-{reflector.resource.plural}"
        threading.Thread(target=reflector.run, args=(self._stopped,), name=name, daemon=True).start()

    def wait_for_sync(self, timeout: float) -> bool:
        """Wait until everything was read once or has failed; returns whether that came within so many seconds."""
        until = self._clock() + timeout
        return all(one.tried.wait(max(until - self._clock(), 0.0)) for one in self._reflectors)

    def close(self) -> None:
        """Stop watching."""
        self._stopped.set()
        if self._server:
            self._server.close()

    def cluster(self) -> Cluster:
        """Return what is known now; cheap while nothing changes. What cannot be put together is left out, and said."""
        with self._lock:
            state = (sum(one.changes for one in self._reflectors), self._scales)
            if self._made is None or self._made[0] != state:
                self._made = state, self._assembled()
            heard, snapshot = self._heard("objects"), self._made[1].node_snapshot
            snapshot = snapshot and replace(snapshot, last_synced=self._heard("machines", "devices"))
        return replace(self._made[1], problems=self._problems(), last_synced=heard, node_snapshot=snapshot)

    def _assembled(self) -> Cluster:
        """Put all tables together, and say which objects are left out."""
        odd = [(str(one.resource), key, problem) for one in self._reflectors for key, problem in one.odd.items()]
        problem = ""

        def failed(scaled: ScaledResource | None, error: Exception) -> None:
            nonlocal problem
            if scaled is None:
                problem = f"what hardware there is cannot be put together: {oddity(error)}"
                if not self._hardware_problem:
                    logger.error("the hardware cannot be put together", exc_info=error)
                return
            logger.error("an object cannot be put together", exc_info=error, extra={"object": scaled.target})
            odd.append((str(SCALED[scaled.kind]), (scaled.namespace, scaled.name), oddity(error)))

        cluster = assemble(self._store(), self._made[1].node_snapshot if self._made else None, failed)
        self._hardware_problem = problem
        return replace(cluster, left_out=_by_resource(odd))

    def _store(self) -> Store:
        tables: dict[Resource, list[Table | None]] = {}
        odd: dict[Resource, dict[ObjectKey, str]] = {}
        for one in self._reflectors:
            tables.setdefault(one.resource, []).append(one.table)
            odd.setdefault(one.resource, {}).update(one.odd)
        absent = frozenset(one.resource for one in self._reflectors if one.absent)
        return Store(tables, absent, odd, self._scales, tuple(self._namespaces), self._fixed)

    def _heard(self, *of: Purpose) -> float | None:
        """Return since when nothing of these is known."""
        times = (one.heard for one in self._reflectors if one.table and one.resource.of in of)
        return min((time for time in times if time is not None), default=None)

    def addresses(self, namespace: str, name: str) -> tuple[frozenset[str], str]:
        """Return the ready addresses behind a Service of `behind`, and why they may be others by now."""
        reflector = self._behind[namespace, name]
        if reflector is None:
            return frozenset(), "Kubernetes is not watched"
        with self._lock:
            slices = reflector.table.records.values() if reflector.table else ()
            found = frozenset(address for one in slices for address in one)
        if reflector.table is None or reflector.heard is None:
            return found, reflector.problem or "Kubernetes was not heard yet"
        return found, Cluster(last_synced=reflector.heard).stale_reason(self._clock())

    def _problems(self) -> dict[str, str]:
        problems = {str(one.resource): one.problem for one in self._reflectors if one.problem}
        more = {str(SCALES): self._scale_problem, str(NODES): problems.get(str(NODES)) or self._hardware_problem}
        return problems | {resource: problem for resource, problem in more.items() if problem}

    def _look_at_scales(self, server: "ApiServer") -> None:
        """Ask for the scale of every target whose kind is not watched, again and again."""
        while not self._stopped.wait(self._pace.scales):
            with self._lock:
                paths = {
                    record.target: record.scale_path for record in scaled_records(self._store()) if record.scale_path
                }
            if paths or self._scales or self._scale_problem:
                self._scales = self._read_scales(server, paths)

    def _read_scales(self, server: "ApiServer", paths: Mapping[Owner, str]) -> dict[Owner, Scale]:
        from scaler.sources.kubernetes.api import Refused  # noqa: PLC0415

        read: dict[Owner, Scale] = {}
        left_out = len(paths) - MOST_SCALES
        problem = f"{SCALES.purpose}: {left_out} of {len(paths)} are too many to look at" if left_out > 0 else ""
        for target, path in islice(paths.items(), MOST_SCALES):
            try:
                scale = read_objects.read_scale(server.get(path))
                check(scale)
                read[target] = scale
            except Exception as error:  # noqa: BLE001 - whatever somebody else's controller says
                problem = f"{SCALES.purpose}: get {target[1]}/scale: {error}"
                if target in self._scales and not isinstance(error, Refused):
                    read[target] = self._scales[target]
        self._scale_problem = problem
        return read


def _by_resource(odd: Sequence[tuple[str, ObjectKey, str]]) -> dict[str, tuple[str, ...]]:
    """Return the objects that are left out, and why."""
    found: dict[str, list[str]] = {}
    for resource, (namespace, name), problem in sorted(odd):
        found.setdefault(resource, []).append(f"{namespace}/{name}: {problem}" if namespace else f"{name}: {problem}")
    return {resource: tuple(named) for resource, named in found.items()}
