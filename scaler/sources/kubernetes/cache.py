"""Kubernetes: every resource of RESOURCES is listed and watched in a thread of its own, and nothing is ever written.

    list (pages of 500) ──▶ table ◀── watch (events, bookmarks; ends itself every 20 s and goes on where it was)

What fails keeps what it had: a lost connection goes on from the last version, 410 Gone lists anew, and until then the
old table stands, with its age. Only a server that goes on refusing (401, 403, 404) makes a table unknown, and the
reason names verb and resource. An object that cannot be read is left out, and said (`left_out`): it hides no other.
"""

import logging
import os
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, is_dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaler.cluster import karpenter
from scaler.cluster.node_fit import joined
from scaler.cluster.pending import line_up
from scaler.model.errors import SourceError
from scaler.model.nodes import Devices, Hardware, Node, Owner
from scaler.model.objects import Cluster, Scaled
from scaler.sources.kubernetes import read_dra, read_objects, read_pods
from scaler.sources.kubernetes import read_karpenter as orders
from scaler.sources.kubernetes.read_objects import Key, Raw, Scale, ScaledRecord, Tables
from scaler.sources.kubernetes.store import PodTable, Table, by_namespace, by_target, filling, key_of
from scaler.sources.kubernetes.well_formed import Malformed, check
from scaler.sources.late import IMPORTING

if TYPE_CHECKING:
    from scaler.sources.kubernetes.api import ApiServer

logger = logging.getLogger(__name__)

PAGE = 500  # objects of one answer to a list
WATCH = 20  # seconds after which the server ends a watch, so that quiet is told from a dead connection
MOST_SCALES = 500  # scale sub-resources that are looked at
_SHOWN = 200  # characters of what a stranger has written that are shown
TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Pace:
    """How long is waited, in seconds."""

    rests: tuple[float, ...] = (1.0, 2.0, 5.0, 10.0, 30.0)  # between tries, after so many failures in a row
    silence: float = 30.0  # after which a watch counts as dead
    believed: float = 60.0  # for which a refusal is taken for a server that is only starting
    scales: float = 5.0  # between two looks at scale sub-resources, which cannot be watched


@dataclass(frozen=True, slots=True)
class Resource:
    """One thing that is read, and the verbs that takes; deploy/rbac.yaml grants exactly these."""

    group: str
    version: str
    plural: str
    gives: str  # what is not known without it
    verbs: tuple[str, ...] = ("list", "watch")
    selector: str = ""  # of labels, so that others are not even sent
    fields: str = ""  # a selector of fields
    namespaced: bool = True
    optional: bool = False  # its API need not be installed; a cluster without it has none of these
    older: tuple[str, ...] = ()  # versions that are read where this one is not served, the newest first

    def path(self, namespace: str | None) -> str:
        """Its path, for one namespace or all."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        return f"{root}/namespaces/{namespace}/{self.plural}" if namespace else f"{root}/{self.plural}"

    def __str__(self) -> str:
        """Its name as kubectl knows it."""
        return self.plural if self.group in {"", "*"} else f"{self.plural}.{self.group}"


SCALED_OBJECTS = Resource("keda.sh", "v1alpha1", "scaledobjects", "which ScaledObjects will ask")
SCALED_JOBS = Resource("keda.sh", "v1alpha1", "scaledjobs", "which ScaledJobs will ask")
HPAS = Resource("autoscaling", "v2", "horizontalpodautoscalers", "what the HPA reports")
DEPLOYMENTS = Resource("apps", "v1", "deployments", "replicas and pod templates of Deployments")
STATEFUL_SETS = Resource("apps", "v1", "statefulsets", "replicas and pod templates of StatefulSets")
JOBS = Resource("batch", "v1", "jobs", "jobs of ScaledJobs", selector=read_objects.SCALED_JOB)
PODS = Resource("", "v1", "pods", "which pods are whose")
LEADER_WORKER_SETS = Resource(
    "leaderworkerset.x-k8s.io", "v1", "leaderworkersets", "pods of one replica of LeaderWorkerSets", optional=True
)
NODES = Resource("", "v1", "nodes", "which machines there are", namespaced=False)
QUOTAS = Resource("", "v1", "resourcequotas", "what quotas leave")
LIMIT_RANGES = Resource("", "v1", "limitranges", "what containers ask for that do not say")
PRIORITY_CLASSES = Resource(
    "scheduling.k8s.io", "v1", "priorityclasses", "which pods give way to others", namespaced=False
)
RUNTIME_CLASSES = Resource("node.k8s.io", "v1", "runtimeclasses", "what RuntimeClasses add to pods", namespaced=False)
NODE_POOLS = Resource("karpenter.sh", "v1", "nodepools", "what Karpenter may buy", namespaced=False, optional=True)
NODE_CLAIMS = Resource(
    "karpenter.sh", "v1", "nodeclaims", "what Karpenter has ordered", namespaced=False, optional=True
)
NODE_OVERLAYS = Resource(
    "karpenter.sh",
    "v1alpha1",
    "nodeoverlays",
    "what Karpenter takes machines to have",
    namespaced=False,
    optional=True,
)
CAPACITY_BUFFERS = Resource(
    "autoscaling.x-k8s.io",
    "v1beta1",
    "capacitybuffers",
    "for what room is kept on machines",
    optional=True,
    older=("v1alpha1",),
)
SHORTAGES = Resource(
    "",
    "v1",
    "events",
    "which machines Karpenter could not get",
    fields="reason=InsufficientCapacityError",
    namespaced=False,
)
BETAS = ("v1beta2", "v1beta1")  # of resource.k8s.io: Kubernetes 1.33 serves these alone
RESOURCE_SLICES = Resource(
    "resource.k8s.io",
    "v1",
    "resourceslices",
    "which devices there are",
    namespaced=False,
    optional=True,
    older=BETAS,
)
DEVICE_CLASSES = Resource(
    "resource.k8s.io",
    "v1",
    "deviceclasses",
    "what a class of devices is",
    namespaced=False,
    optional=True,
    older=BETAS,
)
CLAIM_TEMPLATES = Resource(
    "resource.k8s.io", "v1", "resourceclaimtemplates", "which devices pods ask for", optional=True, older=BETAS
)
RESOURCE_CLAIMS = Resource(
    "resource.k8s.io", "v1", "resourceclaims", "which devices are taken", optional=True, older=BETAS
)
TAINT_RULES = Resource(
    "resource.k8s.io",
    "v1",
    "devicetaintrules",
    "which devices are tainted",
    namespaced=False,
    optional=True,
    older=("v1beta2", "v1alpha3"),
)
SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "the addresses of Services that endpoints name")
SCALES = Resource("*", "*", "*/scale", "replicas and pods of other scale targets", verbs=("get",))

SCALED = {"ScaledObject": SCALED_OBJECTS, "ScaledJob": SCALED_JOBS}
REPLICATED = {"Deployment": DEPLOYMENTS, "StatefulSet": STATEFUL_SETS, read_objects.GROUPS: LEADER_WORKER_SETS}
WORKLOADS = (SCALED_OBJECTS, SCALED_JOBS, HPAS, DEPLOYMENTS, STATEFUL_SETS, JOBS, PODS)
DEVICES = (RESOURCE_SLICES, DEVICE_CLASSES, CLAIM_TEMPLATES, RESOURCE_CLAIMS, TAINT_RULES)
HARDWARE = (
    LEADER_WORKER_SETS,
    NODES,
    QUOTAS,
    LIMIT_RANGES,
    PRIORITY_CLASSES,
    RUNTIME_CLASSES,
    NODE_POOLS,
    NODE_CLAIMS,
    NODE_OVERLAYS,
    CAPACITY_BUFFERS,
    SHORTAGES,
    *DEVICES,
)
WATCHED = WORKLOADS + HARDWARE
RESOURCES = (*WATCHED, SLICES, SCALES)


def reachable(kubeconfig: Path | None) -> bool:
    """Whether there is a way to an API server: a kubeconfig, or a pod's service account."""
    return kubeconfig is not None or bool(os.environ.get("KUBECONFIG")) or TOKEN.exists()


@dataclass(frozen=True, slots=True)
class Common:
    """What all watches share."""

    server: "ApiServer"
    lock: threading.Lock  # of all tables
    clock: Clock
    pace: Pace


class Watch:
    """One resource, of one namespace or all; `run` is its thread.

    Args:
        common: what it shares with the others.
        resource: what is watched.
        namespace: None for all.
        read: what is kept of an object; None for nothing.
        key: under which key.
    """

    def __init__(
        self,
        common: Common,
        resource: Resource,
        namespace: str | None,
        read: Callable[[Raw], Any],
        key: Callable[[Raw], Key],
    ) -> None:
        self.resource = resource
        self.table: Table | None = None  # None: not known
        self.problem = ""
        self.odd: dict[Key, str] = {}  # objects that are left out, and why
        self.heard: float | None = None
        self.changes = 0
        self.tried = threading.Event()  # set once there was a first list, or a first failure
        self._server, self._lock, self._clock, self._pace = common.server, common.lock, common.clock, common.pace
        self._read, self._key = read, key
        self.absent = False  # the cluster serves no version of it
        self._versions = [replace(resource, version=one).path(namespace) for one in (resource.version, *resource.older)]
        self._path = self._versions[0]
        narrowed = {"labelSelector": resource.selector, "fieldSelector": resource.fields}
        self._query = {name: selector for name, selector in narrowed.items() if selector}
        self._version = ""  # empty: to be listed
        self._refused: float | None = None  # since when

    def run(self, stopped: threading.Event) -> None:
        """List and watch until stopped."""
        failures = 0
        while not stopped.is_set():
            try:
                self._turn()
                failures, self.problem, self._refused = 0, "", None
            except SourceError as error:
                if self._turns_to_older(error):
                    continue
                failures += 1
                self._failed(error)
            except Exception as error:  # noqa: BLE001 - whatever an object of somebody else's looks like
                failures += 1
                self._version = ""
                self._say(f"cannot be read ({type(error).__name__}: {error})")
            self.tried.set()
            if failures:
                stopped.wait(self._pace.rests[min(failures, len(self._pace.rests)) - 1])

    def _turn(self) -> None:
        if not self._version:
            self._list()
            self.problem, self._refused = "", None
            self.tried.set()
        self._follow()

    def _list(self) -> None:
        """Read all of it, page by page; the old table stands until the new one is whole."""
        table, more = PodTable() if self.resource is PODS else Table(), ""
        odd: dict[Key, str] = {}
        while True:
            page = self._server.get(self._path, {**self._query, "limit": PAGE, **({"continue": more} if more else {})})
            for raw in page.get("items") or ():
                key, record, problem = self._understood(raw)
                table.put(key, record)
                odd |= {key: problem} if problem else {}
            more = page["metadata"].get("continue") or ""
            if not more:
                break
        version = str(page["metadata"]["resourceVersion"])  # what has none is no list
        with self._lock:
            if isinstance(table, PodTable) and isinstance(self.table, PodTable):
                table.remember(self.table)
            self.table, self.odd, self.heard, self.absent = table, odd, self._clock(), False
            self.changes += 1
        self._version = version

    def _follow(self) -> None:
        """Take in what changes, until the server ends the watch."""
        from scaler.sources.kubernetes.api import Gone  # noqa: PLC0415 - 0.2 s, spent on first use

        query = {"watch": "1", "resourceVersion": self._version, "allowWatchBookmarks": "true", "timeoutSeconds": WATCH}
        for event in self._server.events(self._path, {**self._query, **query}, self._pace.silence):
            raw = event["object"]
            if event["type"] == "ERROR":
                said = f"{raw.get('code')}: {raw.get('message')}"
                raise Gone(said) if raw.get("code") == 410 else SourceError(said)
            self._take(event["type"], raw)
            self._version = str(raw["metadata"]["resourceVersion"])
        self.heard = self._clock()

    def _take(self, kind: str, raw: Raw) -> None:
        """Take in one event."""
        if kind == "BOOKMARK":
            self.heard = self._clock()
            return
        key, record, problem = self._understood(raw)
        if kind == "DELETED":
            record, problem = None, ""
        with self._lock:
            if problem != self.odd.get(key, ""):
                self.odd = {**self.odd, key: problem} if problem else _without(self.odd, key)
                self.changes += 1
            if self.table and self.table.put(key, record):
                self.changes += 1
            self.heard = self._clock()

    def _understood(self, raw: Raw) -> tuple[Key, Any, str]:
        """The key of an object, what is kept of it, and why it is left out; an odd one must not hide the others."""
        key = _named(raw)
        try:
            own = self._key(raw)
            if not all(isinstance(part, str) for part in own):
                raise Malformed(f"its name is {own!r:.60}, which is not a text")
            key, record = own, self._read(raw)
            if is_dataclass(record) and not isinstance(record, type):
                check(record)
        except Exception as error:  # noqa: BLE001 - whatever an object of somebody else's looks like
            return key, None, _oddity(error)
        return key, record, ""

    def _turns_to_older(self, error: SourceError) -> bool:
        """Turn to an older version of the API where this one is not served; False: there is none."""
        from scaler.sources.kubernetes.api import Missing  # noqa: PLC0415

        later = self._versions.index(self._path) + 1
        if not isinstance(error, Missing) or later == len(self._versions):
            return False
        self._path, self._version = self._versions[later], ""
        return True

    def _failed(self, error: SourceError) -> None:
        """Say what is wrong, and decide what is kept."""
        from scaler.sources.kubernetes.api import Gone, Missing, Refused  # noqa: PLC0415

        if isinstance(error, Gone) and self._version:
            self._version = ""
            return
        if isinstance(error, Missing) and self.resource.optional:
            self._path = self._versions[0]
            self._none()
            return
        self._say(str(error))
        if not isinstance(error, Refused):
            self._refused = None
            return
        now, self._version = self._clock(), ""
        self._refused = now if self._refused is None else self._refused
        if now - self._refused >= self._pace.believed:
            with self._lock:
                self.table, self.heard = None, None
                self.changes += 1

    def _none(self) -> None:
        """The cluster has no such API, so it has no such objects; it may be installed later."""
        with self._lock:
            self.changes += self.table is None or bool(self.table.records) or not self.absent
            self.table, self.heard, self.absent = Table(), self._clock(), True
        self.problem, self._version, self._refused = "", "", None

    def _say(self, problem: str) -> None:
        verbs = " and ".join(self.resource.verbs)
        self.problem = f"{self.resource.gives}: {verbs} {self.resource}: {problem}"


def _named(raw: Any) -> Key:
    """Namespace and name of an object that may be anything."""
    meta = raw.get("metadata") if isinstance(raw, Mapping) else None
    known = meta if isinstance(meta, Mapping) else {}
    namespace, name = (ascii(known.get(part, ""))[1:-1] for part in ("namespace", "name"))
    return namespace[:_SHOWN], name[:_SHOWN] or "without a name"


def _without(odd: Mapping[Key, str], key: Key) -> dict[Key, str]:
    return {other: problem for other, problem in odd.items() if other != key}


def _oddity(error: Exception) -> str:
    """Why an object cannot be read, as a sentence about it."""
    if isinstance(error, Malformed):
        return str(error)
    return f"it has no {error.args[0]}" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"[:_SHOWN]


class Kube:
    """All that is watched, and the Cluster that it makes.

    Args:
        kubeconfig: None for the pod's service account, or else for what KUBECONFIG names.
        namespaces: empty for all.
        services: names under which triggers reach us; see `read_objects.Reader`.
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
        pace: Pace | None = None,
        behind: Collection[Key] = (),
        *,
        fixed: bool = False,
    ) -> None:
        self._kubeconfig, self._namespaces, self._clock, self._pace = kubeconfig, namespaces, clock, pace or Pace()
        self._reader, self._fixed = read_objects.Reader(services), fixed
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._server: ApiServer | None = None
        self._watches: list[Watch] = []
        self._behind: dict[Key, Watch | None] = dict.fromkeys(behind)  # None: not watched yet
        self._scales: dict[Owner, Scale] = {}
        self._scale_problem = ""
        self._hardware_problem = ""
        self._nodes: dict[str, Node] = {}
        self._kinds: tuple[Node, ...] = ()
        self._listed: frozenset[str] = frozenset()
        self._made: tuple[object, Cluster] | None = None

    def start(self) -> None:
        """Begin to watch; blocks while the client is imported.

        Raises:
            SourceError: there is no access.
        """
        with IMPORTING:
            from scaler.sources.kubernetes.api import ApiServer  # noqa: PLC0415 - 0.2 s, spent on first use

        server = self._server = ApiServer(self._kubeconfig)
        common = Common(server, self._lock, self._clock, self._pace)
        for resource in WATCHED:
            read, key = self._reading(resource)
            for namespace in (self._namespaces if resource.namespaced else ()) or (None,):
                self._watch(Watch(common, resource, namespace, read, key))
        for namespace, name in self._behind:
            of_service = replace(SLICES, selector=f"kubernetes.io/service-name={name}")
            watch = Watch(common, of_service, namespace, read_objects.read_slice, key_of)
            self._watch(watch)
            self._behind[namespace, name] = watch
        threading.Thread(target=self._look_at_scales, args=(server,), name="kube-scales", daemon=True).start()

    def _watch(self, watch: Watch) -> None:
        self._watches.append(watch)
        name = f"kube-{watch.resource.plural}"
        threading.Thread(target=watch.run, args=(self._stopped,), name=name, daemon=True).start()

    def settle(self, timeout: float) -> bool:
        """Wait until everything was read once or has failed; returns whether that came within so many seconds."""
        until = self._clock() + timeout
        return all(watch.tried.wait(max(until - self._clock(), 0.0)) for watch in self._watches)

    def close(self) -> None:
        """Stop watching."""
        self._stopped.set()
        if self._server:
            self._server.close()

    def snapshot(self) -> Cluster:
        """What is known now; cheap while nothing changes. What cannot be put together is left out, and said."""
        with self._lock:
            state = (sum(watch.changes for watch in self._watches), self._scales)
            if self._made is None or self._made[0] != state:
                self._made = state, self._assembled()
            heard, hardware = self._heard(WORKLOADS), self._made[1].hardware
            hardware = hardware and replace(hardware, heard=self._heard(HARDWARE))
        return replace(self._made[1], problems=self._problems(), heard=heard, hardware=hardware)

    def _assembled(self) -> Cluster:
        """All tables together, and which objects are not in it."""
        odd = [(str(watch.resource), key, problem) for watch in self._watches for key, problem in watch.odd.items()]

        def left_out(scaled: Scaled, error: Exception) -> None:
            logger.error("an object cannot be put together", exc_info=error, extra={"object": scaled.target})
            odd.append((str(SCALED[scaled.kind]), (scaled.namespace, scaled.name), _oddity(error)))

        cluster = read_objects.assemble(self._tables(), left_out)
        return replace(cluster, left_out=_by_resource(odd))

    def _heard(self, resources: Collection[Resource]) -> float | None:
        """Since when nothing of these is known."""
        times = (watch.heard for watch in self._watches if watch.table and watch.resource in resources)
        return min((time for time in times if time is not None), default=None)

    def addresses(self, namespace: str, name: str) -> tuple[frozenset[str], str]:
        """The ready addresses behind a Service of `behind`, and why they may be others by now."""
        watch = self._behind[namespace, name]
        if watch is None:
            return frozenset(), "Kubernetes is not watched"
        with self._lock:
            slices = watch.table.records.values() if watch.table else ()
            found = frozenset(address for one in slices for address in one)
        if watch.table is None or watch.heard is None:
            return found, watch.problem or "Kubernetes was not heard yet"
        return found, Cluster(heard=watch.heard).doubt(self._clock())

    def _reading(self, resource: Resource) -> tuple[Callable[[Raw], Any], Callable[[Raw], Key]]:
        readings: Mapping[Resource, tuple[Callable[[Raw], Any], Callable[[Raw], Key]]] = {
            SCALED_OBJECTS: (self._reader.scaled, key_of),
            SCALED_JOBS: (self._reader.scaled, key_of),
            HPAS: (read_objects.read_hpa, read_objects.hpa_of),
            DEPLOYMENTS: (self._reader.replicated, key_of),
            STATEFUL_SETS: (self._reader.replicated, key_of),
            LEADER_WORKER_SETS: (self._reader.group, key_of),
            JOBS: (read_objects.read_job, key_of),
            PODS: (self._reader.pod, key_of),
            NODES: (read_pods.read_node, key_of),
            QUOTAS: (read_pods.read_quota, key_of),
            LIMIT_RANGES: (read_pods.read_limit_range, key_of),
            PRIORITY_CLASSES: (read_pods.read_priority_class, key_of),
            RUNTIME_CLASSES: (read_pods.read_runtime_class, key_of),
            NODE_POOLS: (orders.read_pool, key_of),
            NODE_CLAIMS: (orders.read_claim, key_of),
            NODE_OVERLAYS: (orders.read_overlay, key_of),
            CAPACITY_BUFFERS: (orders.read_buffer, key_of),
            SHORTAGES: (orders.read_shortage, key_of),
            RESOURCE_SLICES: (read_dra.read_slice, key_of),
            DEVICE_CLASSES: (read_dra.read_class, key_of),
            CLAIM_TEMPLATES: (read_dra.read_claim_template, key_of),
            RESOURCE_CLAIMS: (read_dra.read_allocation, key_of),
            TAINT_RULES: (read_dra.read_taint_rule, key_of),
        }
        return readings[resource]

    def _tables(self) -> Tables:
        jobs, pods = self._records(JOBS), self._all(PODS)
        return Tables(
            scaled=self._scaled(),
            listed=frozenset(kind for kind, resource in SCALED.items() if self._all(resource) is not None),
            hpas=self._records(HPAS),
            replicated={kind: self._records(resource) for kind, resource in REPLICATED.items()},
            jobs=None if jobs is None else jobs.values(),
            pods=None if pods is None else {of: own.values() for table in pods for of, own in table.groups.items()},
            scales=self._scales,
            ended={owner: last for table in pods or () for owner, last in table.ended.items()},
            hardware=self._hardware_if_it_fits(),
            unread=self._unread(),
        )

    def _unread(self) -> dict[str, str]:
        """By namespace, why pods or Jobs may be missing in it."""
        odd = [(watch.resource, key) for watch in self._watches for key in watch.odd if watch.resource in (PODS, JOBS)]
        return {key[0]: f"{resource} {key[1]} cannot be read, and may be one of its own" for resource, key in odd}

    def _hardware_if_it_fits(self) -> Hardware | None:
        """The hardware; None, which is said, where it cannot be put together."""
        try:
            hardware = self._hardware()
        except Exception as error:
            if not self._hardware_problem:
                logger.exception("the hardware cannot be put together")
            self._hardware_problem = f"what hardware there is cannot be put together: {_oddity(error)}"
            return None
        self._hardware_problem = ""
        return hardware

    def _hardware(self) -> Hardware:
        nodes, pods, pools = self._records(NODES), self._all(PODS), self._records(NODE_POOLS)
        claims, shortages = self._records(NODE_CLAIMS), self._records(SHORTAGES)
        overlays, buffers = self._records(NODE_OVERLAYS), self._records(CAPACITY_BUFFERS)
        quotas, ranges = self._records(QUOTAS), self._records(LIMIT_RANGES)
        priorities, runtimes = self._records(PRIORITY_CLASSES), self._records(RUNTIME_CLASSES)
        alone = f"pods outside of {', '.join(self._namespaces)} are not seen" if self._namespaces else ""
        unread = (
            "some pods cannot be read" if any(watch.odd for watch in self._watches if watch.resource is PODS) else ""
        )
        return Hardware(
            nodes=None if nodes is None else self._same({name: node for (_, name), node in nodes.items()}),
            kinds=self._kinds,
            listed=self._listed,
            loads=None if pods is None else joined([table.loads for table in pods]),
            shy=by_target(one for table in pods or () for one in table.shy),
            fillings=None if ranges is None else filling(ranges),
            priorities=None if priorities is None else {name: one for (_, name), one in priorities.items()},
            runtimes=None if runtimes is None else {name: one for (_, name), one in runtimes.items()},
            queue=line_up(one for table in pods or () for one in table.waiting.values()),
            quotas=None if quotas is None else by_namespace(quotas),
            devices=self._devices(),
            pools=None if pools is None else {name: pool for (_, name), pool in pools.items()},
            claims=None if claims is None else tuple(claims.values()),
            shortages=None if shortages is None else tuple(shortages.values()),
            overlays=None if overlays is None else tuple(overlays.values()),
            buffers=None if buffers is None else tuple(buffers.values()),
            fixed=self._fixed,
            partial=alone or unread,
        )

    def _devices(self) -> Devices | None:
        slices, classes, templates, claims, rules = (self._records(resource) for resource in DEVICES)
        if slices is None or classes is None or templates is None or claims is None or rules is None:
            return None
        absent = any(watch.absent for watch in self._watches if watch.resource in DEVICES[:4])
        return Devices(
            slices=tuple(slices.values()),
            classes={name: one for (_, name), one in classes.items()},
            templates=templates,
            allocations=tuple(claims.values()),
            rules=tuple(rules.values()),
            served=not absent,
        )

    def _same(self, nodes: dict[str, Node]) -> dict[str, Node]:
        """The dict of before if nothing changed, so that others see by its identity that they know it."""
        if self._nodes != nodes:
            self._nodes, self._kinds = nodes, karpenter.kinds(nodes.values())
            self._listed = frozenset().union(*(node.allocatable for node in nodes.values()))
        return self._nodes

    def _all(self, resource: Resource) -> list[Any] | None:
        """The tables of a resource, of all namespaces; None if one of them is not known."""
        tables = [watch.table for watch in self._watches if watch.resource is resource]
        known = [table for table in tables if table is not None]
        return known if len(known) == len(tables) else None

    def _records(self, resource: Resource) -> dict[Key, Any] | None:
        tables = self._all(resource)
        return None if tables is None else {key: one for table in tables for key, one in table.records.items()}

    def _scaled(self) -> list[ScaledRecord]:
        tables = [watch.table for watch in self._watches if watch.resource in SCALED.values()]
        return [record for table in tables if table for record in table.records.values()]

    def _problems(self) -> dict[str, str]:
        problems = {str(watch.resource): watch.problem for watch in self._watches if watch.problem}
        more = {str(SCALES): self._scale_problem, str(NODES): problems.get(str(NODES)) or self._hardware_problem}
        return problems | {resource: problem for resource, problem in more.items() if problem}

    def _look_at_scales(self, server: "ApiServer") -> None:
        """Ask for the scale of every target whose kind is not watched, again and again."""
        while not self._stopped.wait(self._pace.scales):
            with self._lock:
                paths = {record.target: record.scale_path for record in self._scaled() if record.scale_path}
            if paths or self._scales or self._scale_problem:
                self._scales = self._read_scales(server, paths)

    def _read_scales(self, server: "ApiServer", paths: Mapping[Owner, str]) -> dict[Owner, Scale]:
        from scaler.sources.kubernetes.api import Refused  # noqa: PLC0415

        read: dict[Owner, Scale] = {}
        left_out = len(paths) - MOST_SCALES
        problem = f"{SCALES.gives}: {left_out} of {len(paths)} are too many to look at" if left_out > 0 else ""
        for target, path in islice(paths.items(), MOST_SCALES):
            try:
                scale = read_objects.read_scale(server.get(path))
                check(scale)
                read[target] = scale
            except Exception as error:  # noqa: BLE001 - whatever somebody else's controller says
                problem = f"{SCALES.gives}: get {target[1]}/scale: {error}"
                if target in self._scales and not isinstance(error, Refused):
                    read[target] = self._scales[target]
        self._scale_problem = problem
        return read


def _by_resource(odd: Sequence[tuple[str, Key, str]]) -> dict[str, tuple[str, ...]]:
    """The objects that are left out, and why."""
    found: dict[str, list[str]] = {}
    for resource, (namespace, name), problem in sorted(odd):
        found.setdefault(resource, []).append(f"{namespace}/{name}: {problem}" if namespace else f"{name}: {problem}")
    return {resource: tuple(named) for resource, named in found.items()}
