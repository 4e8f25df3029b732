"""What Kubernetes says about the scaled objects that ask us, as nouns. Frozen, and read from no clock.

`sources/kubernetes/assemble.py` makes a Cluster of what is watched; it is a whole: it is replaced, never changed.
What is not known is None, which is never zero.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from scaler.model.availability import Availability
from scaler.model.behavior import Behavior
from scaler.model.nodes import Amounts, NodeSnapshot, ReplicaTemplate

Manifest = Mapping[str, Any]  # a Kubernetes object as the API server or a file has it
Metadata = tuple[tuple[str, str], ...]  # of a trigger, sorted by key
PodState = Literal["ready", "unready", "starting", "pending", "terminating"]
JobState = Literal["unfinished", "succeeded", "failed"]

_NAMED = 5  # objects left out of one resource that are named
TRUE_WORDS, FALSE_WORDS = ("1", "t", "true"), ("0", "f", "false")  # of an annotation prometheus.io/scrape
OLD = 45.0  # seconds without news after which nothing is lowered on a cluster's word; a quiet watch ends every 20 s


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod of a scale target."""

    name: str
    state: PodState  # unready: was ready once, so it may still hold load; pending: has no node
    since: float | None = None  # when it was created, or for a pending one when it began to wait for a node
    reason: str = ""  # why it is pending, in the scheduler's words
    ip: str = ""  # empty: it has none yet
    ready_since: float | None = None  # since when it is ready, if it is
    prometheus_annotations: Metadata = ()  # its annotations prometheus.io/KEY, by KEY: strangers' words
    ports: tuple[tuple[str, int], ...] = ()  # that its containers declare; a name may be empty
    revision: str = ""  # of the template that it was made of; empty: not known
    replica: str = ""  # which replica of several pods it is of, as its labels say; empty: they do not
    accelerator: str = ""  # what its node says of its GPUs, or of its machine type; empty: not known


@dataclass(frozen=True, slots=True)
class Job:
    """One Job of a ScaledJob."""

    name: str
    created: float  # by the API server's clock, in whole seconds
    state: JobState = "unfinished"  # also while it is suspended
    ended: float | None = None  # when it succeeded or failed
    has_no_ttl: bool = True  # False: Kubernetes deletes it some time after its end (ttlSecondsAfterFinished)


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition in the status of an object."""

    type: str
    status: str  # True | False | Unknown
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class HpaStatus:
    """The HPA that KEDA made for a ScaledObject, as it reports itself."""

    name: str
    current: int | None  # replicas when it looked last
    desired: int | None
    minimum: int | None
    maximum: int | None
    conditions: tuple[Condition, ...] = ()
    behavior: Behavior | None = None  # None: its manifest has none


@dataclass(frozen=True, slots=True)
class ScaledResource:
    """A ScaledObject or ScaledJob that asks us, and its scale target."""

    kind: str  # "ScaledObject" or "ScaledJob"
    namespace: str
    name: str
    uid: str
    generation: int
    triggers: tuple[Metadata, ...]  # of those that ask us
    other_trigger_types: tuple[str, ...]  # types of its other triggers
    target: str  # kind and name of what is scaled, such as "Deployment llama"
    minimum: int
    maximum: int
    idle_replicas: int | None = None  # idleReplicaCount
    by_value: tuple[Metadata, ...] = ()  # of those of `triggers` whose metricType is not AverageValue
    modifiers: str = ""  # the formula of its scalingModifiers; empty: it has none
    paused: str = ""  # the annotation that pauses it, such as "paused-replicas: 3"
    fallback: str = ""  # in KEDA's words, such as "currentReplicasIfHigher: 2 replicas after 3 failures"
    conditions: tuple[Condition, ...] = ()  # in KEDA's status
    replicas: int | None = None  # asked of the scale target (spec.replicas); for a ScaledJob, its unfinished jobs
    pods: tuple[Pod, ...] | None = None
    workers: tuple[Pod, ...] = ()  # of a LeaderWorkerSet: its pods that are no replicas of their own
    pod_name_pattern: str = ""  # RE2 for the names of all pods it ever had; empty: not known
    hpa: HpaStatus | None = None
    jobs: tuple[Job, ...] | None = None  # the newest Jobs of a ScaledJob, newest first
    failed_history_limit: int = 0  # failedJobsHistoryLimit of a ScaledJob: more failed Jobs than these KEDA deletes
    successful_history_limit: int = 0  # its successfulJobsHistoryLimit
    scaling_strategy: str = "default"  # its scalingStrategy
    gradual_rollout: bool = False  # its rollout: whether an edit leaves the Jobs alone that run
    last_active: float | None = None  # in the status of a ScaledJob: when KEDA last found a trigger active and acted
    template: ReplicaTemplate | None = None  # the pods of one replica
    requested_by_own_pods: Amounts | None = None  # by its own pods that have a node
    excluded_nodes: tuple[
        tuple[str, int], ...
    ] = ()  # nodes closed for its own pods, and the highest priority that closes each
    stale_reason: str = ""  # why nothing is lowered on what is said here

    def has_trigger(self, sent: Metadata) -> bool:
        """Tell whether KEDA sends this for one of its triggers."""
        return any(same_trigger(own, sent) for own in self.triggers)

    def count(self, *states: PodState) -> int | None:
        """Count its pods in these states, where known."""
        if self.pods is None:
            return None
        return sum(pod.state in states for pod in self.pods)


@dataclass(frozen=True, slots=True)
class TargetView:
    """The cluster's word on one scale target at one time: one value for all who want to know."""

    scaled: ScaledResource | None = None  # None: it is not known
    stale_reason: str = ""  # why that is too old to lower anything on
    available: Availability | None = None  # what can be had for it; None: nobody has looked

    @property
    def pods(self) -> tuple[Pod, ...] | None:
        """Its pods; None: not known."""
        return None if self.scaled is None else self.scaled.pods

    @property
    def replicas(self) -> int | None:
        """The replicas that are asked of it (spec.replicas); None: not known."""
        return None if self.scaled is None else self.scaled.replicas


UNSEEN = TargetView()  # of times gone by Kubernetes says nothing


@dataclass(frozen=True, slots=True)
class Cluster:
    """All that is known at one time."""

    objects: Mapping[tuple[str, str], tuple[ScaledResource, ...]] = field(default_factory=dict)  # by namespace and name
    problems: Mapping[str, str] = field(default_factory=dict)  # resource -> why it is not known
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # resource -> odd objects, and what is odd
    last_synced: float | None = None  # all of it was true at this time; None: nothing was ever heard
    synced_kinds: frozenset[str] = frozenset()  # kinds of which all objects are here
    node_snapshot: NodeSnapshot | None = None

    def __iter__(self) -> Iterator[ScaledResource]:
        """Iterate over every scaled object."""
        return (scaled for namesakes in self.objects.values() for scaled in namesakes)

    def find(self, namespace: str, name: str, metadata: Metadata, kind: str | None = None) -> ScaledResource | None:
        """Find the object that KEDA asks for.

        KEDA sends no kind: a ScaledJob and a ScaledObject of one name are told apart by their triggers, or where these
        are alike by `kind`. An edit that reached only one of KEDA and us is still the same object.

        Args:
            namespace: of the object.
            name: of the object.
            metadata: of the trigger, as KEDA sends it.
            kind: what the trigger itself says, if it does.
        """
        namesakes = [scaled for scaled in self.objects.get((namespace, name), ()) if kind in (None, scaled.kind)]
        asking = [scaled for scaled in namesakes if scaled.has_trigger(metadata)]
        if len(asking) == 1 or len(namesakes) == 1:
            return (asking or namesakes)[0]
        return next((scaled for scaled in asking if scaled.kind == "ScaledObject"), None)

    def missing(self) -> dict[str, str]:
        """Return, by resource, a sentence about the objects that are not here since they cannot be read."""
        return {
            resource: f"{len(odd)} left out, since they cannot be read: {'; '.join(odd[:_NAMED])}"
            for resource, odd in sorted(self.left_out.items())
        }

    def stale_reason(self, now: float) -> str:
        """Say why its word is too old to lower anything on, or return an empty text."""
        age = None if self.last_synced is None else now - self.last_synced
        return f"Kubernetes was last heard {age:.0f}s ago" if age is not None and age > OLD else ""


def same_trigger(written: Metadata, sent: Metadata) -> bool:
    """Tell whether KEDA sends `sent` for the trigger that was `written`.

    KEDA puts the values of a container's environment into keys that end in FromEnv, and leaves out those it cannot
    find (2.20.2, pkg/scalers/external_scaler.go:127).
    """
    return _plain(written) == _plain(sent) and {key for key, _ in sent} <= {key for key, _ in written}


def resolved(written: Metadata) -> bool:
    """Tell whether KEDA sends these metadata just as they were written."""
    return not any(key.endswith("FromEnv") for key, _ in written)


def _plain(metadata: Metadata) -> Metadata:
    return tuple(pair for pair in metadata if not pair[0].endswith("FromEnv"))
