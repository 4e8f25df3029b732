"""What machines have and what pods ask of them, as nouns: all that a scheduler looks at, and nothing else.

Amounts are whole numbers: `cpu` in thousandths of a core, memory and storage in bytes, everything else in pieces. A pod
is one piece of the resource `pods`, as on a node. What is not known is None, which is never zero.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Amounts = tuple[tuple[str, int], ...]  # of resources, sorted by name; none is 0
Labels = tuple[tuple[str, str], ...]  # sorted by key
Owner = tuple[str, str, str]  # namespace, kind and name of what a pod belongs to

HOST = "kubernetes.io/hostname"
ANY = ""  # namespace that stands for all
QUEUE = "kueue.x-k8s.io/queue-name"  # Kueue's label on what its quota admits
POOL = "karpenter.sh/nodepool"  # the label of a node that a NodePool of Karpenter made


@dataclass(frozen=True, slots=True)
class Taint:
    """A taint: it keeps pods off a node."""

    key: str
    value: str
    effect: str  # NoSchedule | NoExecute | PreferNoSchedule


@dataclass(frozen=True, slots=True)
class Toleration:
    """A toleration: it lets a pod pass a taint; an empty key, or effect, stands for all."""

    key: str = ""
    operator: str = "Equal"  # or Exists
    value: str = ""
    effect: str = ""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One expression about a node's label, or about its name where `key` is metadata.name and `field` is set."""

    key: str
    operator: str  # In | NotIn | Exists | DoesNotExist | Gt | Lt
    values: tuple[str, ...] = ()
    field: bool = False


Term = tuple[Requirement, ...]  # all of them hold; an empty one takes no node, but every pod

Reach = Literal["named", "all", "some"]  # namespaces: those that are named, all, or such as cannot be told


@dataclass(frozen=True, slots=True)
class AntiAffinityTerm:
    """Pods that a pod shares no place with, such as a node or a zone (required pod anti-affinity)."""

    term: Term  # of their labels
    topology_key: str  # label of nodes, whose value is the place
    namespaces: tuple[str, ...] = ()  # namespaces; empty: its own
    namespace_scope: Reach = "named"

    @property
    def same_namespace_by_host(self) -> bool:
        """Tell whether it means pods of its own namespace, on the same node."""
        return self.topology_key == HOST and not self.namespaces and self.namespace_scope == "named"


@dataclass(frozen=True, slots=True)
class PodRequirements:
    """The requirements of a pod to a node. Pods of one template share one."""

    requests: Amounts  # of the whole pod, `pods` among them
    selector: Labels = ()
    affinity: tuple[Term, ...] | None = None  # required: one of them holds
    tolerations: tuple[Toleration, ...] = ()
    host_ports: tuple[tuple[str, str, int], ...] = ()  # on the host: protocol, address (empty: all), number
    claim_templates: tuple[str, ...] = ()  # names of the ResourceClaimTemplates that it has devices from
    anti_affinity: tuple[AntiAffinityTerm, ...] = ()
    excludes_itself: bool = False  # it stays apart from its like by host, so that no node takes two
    priority: int | None = None  # None: of a template, not known
    priority_class: str = ""  # that a template names; empty: the cluster's default
    preempts: bool = True  # pods of a lower priority may have to give way to it
    runtime_class: str = ""  # the RuntimeClass whose additions are not in here yet
    scheduler: str = ""  # who places it, where that is not the default scheduler
    caveats: tuple[str, ...] = ()  # what else it asks for, that can only take places away: "topology spread"

    def requested(self, resource: str) -> int:
        """Return how much of a resource it asks for."""
        return dict(self.requests).get(resource, 0)


@dataclass(frozen=True, slots=True)
class Container:
    """The requests of one container; one that asks for 0 says so."""

    requests: Amounts
    kind: Literal["main", "sidecar", "init"]
    name: str = ""
    image: str = ""  # which tells one revision of a template from another
    limits: Amounts = ()


@dataclass(frozen=True, slots=True)
class PodResources:
    """The parts that the requests of a pod are made of."""

    containers: tuple[Container, ...]  # initial ones in their order
    whole: Amounts = ()  # what the pod says for all of them together
    overhead: Amounts = ()


@dataclass(frozen=True, slots=True)
class LimitRule:
    """The limits that a LimitRange sets."""

    name: str  # of the LimitRange
    per: str  # Container | Pod
    least: Mapping[str, int] = field(default_factory=dict)
    most: Mapping[str, int] = field(default_factory=dict)
    ratio: Mapping[str, int] = field(default_factory=dict)  # of limit to request, in thousandths


@dataclass(frozen=True, slots=True)
class LimitRange:
    """A LimitRange."""

    requests: Mapping[str, int]  # of containers that do not say
    limits: Mapping[str, int] = field(default_factory=dict)  # of containers that do not say
    rules: tuple[LimitRule, ...] = ()


@dataclass(frozen=True, slots=True)
class LimitRangeDefaults:
    """The requests that LimitRanges give to containers of a namespace that say none, and their limits."""

    requests: Mapping[str, int]
    unsure: tuple[str, ...] = ()  # resources for which several LimitRanges say different things; the least is above
    limits: Mapping[str, int] = field(default_factory=dict)
    rules: tuple[LimitRule, ...] = ()


@dataclass(frozen=True, slots=True)
class ReplicaTemplate:
    """The pods that one replica consists of."""

    pods: tuple[tuple[PodRequirements, int], ...]  # and how many of each
    labels: Labels = ()  # of the first of them
    caveats: tuple[str, ...] = ()  # what else a replica asks for, that can only take places away
    resources: tuple[PodResources, ...] = ()  # of these pods, where they are not there yet
    assumed: tuple[str, ...] = ()  # what admission is taken to add though it cannot be read; without it there is less
    doubts: tuple[str, ...] = ()  # what is not known of it, that may take places away or give some
    counted: int = 1  # pods of a scale target that stand for one replica; of a LeaderWorkerSet its leader alone
    refused_reason: str = ""  # why its pods are refused before anybody places them; empty: they are not
    local_queue: str = ""  # the LocalQueue of Kueue that it names
    seats: int | None = None  # requests that a replica works on at once, as its arguments say; None: they do not

    @property
    def size(self) -> int:
        """Pods of one replica."""
        return sum(count for _, count in self.pods)

    def requested(self, resource: str) -> int:
        """Return how much of a resource all of them ask for."""
        return sum(shape.requested(resource) * count for shape, count in self.pods)


@dataclass(frozen=True, slots=True)
class Node:
    """A machine."""

    name: str
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    allocatable: Mapping[str, int]
    ready: bool = True
    unschedulable: bool = False
    provider: str = ""  # what the cloud calls it: spec.providerID


@dataclass(frozen=True, slots=True)
class NodeUsage:
    """The usage of a node by the pods on it, terminating ones among them."""

    requests: Mapping[str, int]
    ports: tuple[tuple[str, str, int], ...] = ()
    by_priority: Mapping[int, "NodeUsage"] = field(default_factory=dict)  # by priority: what its pods hold of all this


@dataclass(frozen=True, slots=True)
class PriorityClass:
    """A PriorityClass."""

    value: int
    preempts: bool = True  # pods of a lower priority may have to give way to its pods
    default: bool = False  # of pods that name none


@dataclass(frozen=True, slots=True)
class RuntimeClass:
    """A RuntimeClass: what admission adds to pods that run by it."""

    overhead: Amounts = ()
    selector: Labels = ()
    tolerations: tuple[Toleration, ...] = ()


@dataclass(frozen=True, slots=True)
class NamespaceDefaults:
    """The additions that a namespace's annotations ask admission to make to its pods, where it is set to."""

    selector: str = ""  # as it is written
    tolerations: str = ""  # in short


AntiAffinityIndex = Mapping[
    AntiAffinityTerm, Collection[tuple[str, int]]
]  # what some pods stay apart from: their nodes and priorities
Handle = tuple[str, str] | None  # a label that all pods of a selector have; None where it names none


@dataclass(frozen=True, slots=True)
class PendingPod:
    """A pod without a node."""

    name: str
    owner: Owner
    shape: PodRequirements
    unschedulable: bool  # the scheduler found no node for it
    gated: bool = False  # somebody holds it back from the scheduler
    nominated: str = ""  # the node that is being made free for it


@dataclass(frozen=True, slots=True)
class PendingPods:
    """All pods without a node, but those that somebody holds back from the scheduler."""

    by_owner: Mapping[Owner, Sequence[PendingPod]] = field(default_factory=dict)  # by what they belong to
    shapes: Mapping[tuple[str, PodRequirements], int] = field(
        default_factory=dict
    )  # how many of each namespace and shape
    ahead_in_queue: tuple[
        PendingPod, ...
    ] = ()  # a node is being made free for them, or the scheduler has not tried them yet


@dataclass(frozen=True, slots=True)
class ResourceQuota:
    """A ResourceQuota: what its namespace may still create."""

    name: str
    hard: Mapping[str, int]
    used: Mapping[str, int]
    scoped: bool = False  # it speaks of some pods only


@dataclass(frozen=True, slots=True)
class FlavorQuota:
    """The quota of one resource of one flavor in Kueue."""

    nominal: int = 0
    borrowing_limit: int | None = None  # at most, of its cohort; None: all that is there
    lending_limit: int | None = None  # at most, to its cohort; None: all


@dataclass(frozen=True, slots=True)
class LocalQueue:
    """A LocalQueue of Kueue."""

    queue: str  # its ClusterQueue
    problem: str = ""  # why it admits nothing


@dataclass(frozen=True, slots=True)
class ClusterQueue:
    """A ClusterQueue of Kueue."""

    name: str
    cohort: str = ""
    resource_groups: tuple[tuple[tuple[str, tuple[str, ...]], ...], ...] = ()  # of flavors, each with its resources
    quotas: Mapping[tuple[str, str], FlavorQuota] = field(default_factory=dict)  # by flavor and resource
    used: Mapping[tuple[str, str], int] = field(default_factory=dict)  # by flavor and resource
    preempts: bool = False  # others may have to give up what they use
    problem: str = ""  # why it admits nothing


@dataclass(frozen=True, slots=True)
class Cohort:
    """A Cohort of Kueue, whose queues lend one another what they do not use."""

    parent: str = ""
    quotas: Mapping[tuple[str, str], FlavorQuota] = field(default_factory=dict)  # its own, by flavor and resource


@dataclass(frozen=True, slots=True)
class ResourceFlavor:
    """A ResourceFlavor of Kueue: what it adds to pods that it admits."""

    labels: Labels = ()
    tolerations: tuple[Toleration, ...] = ()


@dataclass(frozen=True, slots=True)
class Device:
    """One device of a ResourceSlice."""

    name: str
    attributes: Mapping[tuple[str, str], str | int | bool] = field(default_factory=dict)  # by domain and name
    capacity: Mapping[str, "DeviceCapacity"] = field(default_factory=dict)  # by what it is of: memory
    shared: bool = False  # several claims may have a part of it each
    counters: tuple[tuple[str, str, int], ...] = ()  # what it takes of its pool's: set, counter, amount
    taints: tuple[Taint, ...] = ()


@dataclass(frozen=True, slots=True)
class DeviceCapacity:
    """One capacity of a device, and what a claim takes of it."""

    value: int
    default: int  # of a claim that does not say
    least: int = 0  # of a claim that says less
    most: int | None = None  # that a claim may ask for
    step: int = 0  # a claim takes a multiple of it above `least`; 0: any amount
    allowed: tuple[int, ...] = ()  # a claim takes one of these, in their order; empty: any amount


@dataclass(frozen=True, slots=True)
class ResourceSlice:
    """Some of the devices of a pool, as a driver tells of them."""

    driver: str
    pool: str
    generation: int  # an older one than another slice of the pool has no meaning any more
    count: int  # of slices that the pool consists of
    node: str  # empty: they are not of one node
    devices: tuple[Device, ...]
    counters: tuple[tuple[str, str, int], ...] = ()  # that the devices of its pool share: set, counter, amount
    conditional: bool = False  # that a device is free does not mean that it can be had: binding conditions


@dataclass(frozen=True, slots=True)
class DeviceClass:
    """A DeviceClass."""

    selectors: tuple[str, ...] = ()  # in CEL
    resource: str = ""  # the extended resource that its devices are given for as well
    created: float = 0.0  # of several classes for one resource the youngest counts


@dataclass(frozen=True, slots=True)
class DeviceSubRequest:
    """So many devices of a class."""

    device_class: str
    count: int  # 0: all that a node has
    selectors: tuple[str, ...] = ()  # in CEL
    capacity: Amounts = ()  # of each device
    tolerations: tuple[Toleration, ...] = ()
    admin: bool = False  # for administrators: it takes no device from others, and gets one that others have


@dataclass(frozen=True, slots=True)
class DeviceRequest(DeviceSubRequest):
    """Devices that a claim asks for, and what it takes where these are not to be had."""

    first_available: tuple[DeviceSubRequest, ...] = ()  # in this order


@dataclass(frozen=True, slots=True)
class ClaimTemplate:
    """The devices that a pod asks for by one claim."""

    requests: tuple[DeviceRequest, ...]
    constrained: bool = False  # its devices have to go together, which can only take some away


@dataclass(frozen=True, slots=True)
class Allocation:
    """The devices that a ResourceClaim has been given."""

    namespace: str
    pods: tuple[str, ...]  # that use it
    devices: tuple[tuple[str, str, str], ...]  # driver, pool and name
    consumed: tuple[tuple[tuple[str, str, str], Amounts], ...] = ()  # of devices that several claims may have


@dataclass(frozen=True, slots=True)
class Devices:
    """All that is known of dynamic resource allocation (resource.k8s.io)."""

    slices: tuple[ResourceSlice, ...] = ()
    classes: Mapping[str, DeviceClass] = field(default_factory=dict)  # by name
    templates: Mapping[tuple[str, str], ClaimTemplate] = field(default_factory=dict)  # by namespace and name
    allocations: tuple[Allocation, ...] = ()
    rules: tuple["DeviceTaintRule", ...] = ()
    served: bool = True  # False: the cluster serves no version of this API that is read


@dataclass(frozen=True, slots=True)
class DeviceTaintRule:
    """A DeviceTaintRule: a taint on the devices that it means; an empty part means any."""

    taint: Taint
    driver: str = ""
    pool: str = ""
    device: str = ""
    unsure: bool = False  # it also chooses devices by what is not read here


@dataclass(frozen=True, slots=True)
class NodePool:
    """A NodePool: what Karpenter may buy."""

    name: str
    requirements: tuple[Requirement, ...] = ()  # of its machines, labels of its template among them
    taints: tuple[Taint, ...] = ()  # that stay; those of the start-up are left out
    limits: Mapping[str, int] = field(default_factory=dict)  # of all its machines together, `nodes` among them
    used: Mapping[str, int] = field(default_factory=dict)  # capacity of its machines, ordered ones among them
    replicas: int | None = None  # machines that it keeps, whatever pods wait; None: as many as pods need
    provider: str = ""  # the API group of its NodeClass, whose labels its machines may have: karpenter.k8s.aws
    problem: str = ""  # why it cannot buy anything, in its own words


@dataclass(frozen=True, slots=True)
class NodeOverlay:
    """A NodeOverlay: what Karpenter takes machines to have beside what the cloud says of them."""

    requirements: tuple[Requirement, ...] = ()  # of the machines that it means
    capacity: Mapping[str, int] = field(default_factory=dict)
    valid: bool | None = None  # None: Karpenter has not said


@dataclass(frozen=True, slots=True)
class CapacityBuffer:
    """A CapacityBuffer: room on machines that is kept for pods to come, and holds no pods itself."""

    namespace: str
    name: str
    pods: int  # for which it keeps room


@dataclass(frozen=True, slots=True)
class NodeClaim:
    """A machine that Karpenter has ordered."""

    name: str
    pool: str
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    capacity: Mapping[str, int]  # empty until it is known which type it will be
    allocatable: Mapping[str, int]  # until then: what the pods need that it was ordered for
    node: str = ""  # once it has joined and Karpenter has written that down
    provider: str = ""  # what the cloud calls the machine, as its node does: status.providerID
    launched: float | None = None  # when it was to be had
    initialized: bool = False  # its node has all that it promised
    problem: str = ""  # why it cannot be had
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class InsufficientCapacity:
    """A machine that could not be had."""

    pool: str
    time: float
    message: str


@dataclass(frozen=True, slots=True)
class NodeSnapshot:
    """All machines, and all pods on them; each part may be unknown."""

    nodes: Mapping[str, Node] | None = None
    usage: Mapping[str, NodeUsage] | None = None  # by node; a node without pods is left out
    pending_pods: PendingPods = field(default_factory=PendingPods)
    # By the namespace (ANY: of all) of those who are not wanted, and a label of theirs.
    anti_affinity: Mapping[tuple[str, Handle], AntiAffinityIndex] = field(default_factory=dict)
    priorities: Mapping[str, PriorityClass] | None = None  # by name
    runtime_classes: Mapping[str, RuntimeClass] | None = None  # by name
    limit_ranges: Mapping[str, LimitRangeDefaults] | None = None  # by namespace; one without is left out
    namespace_defaults: Mapping[str, NamespaceDefaults] | None = None  # by namespace; one without is left out
    quotas: Mapping[str, tuple[ResourceQuota, ...]] | None = None  # by namespace
    devices: Devices | None = None
    node_pools: Mapping[str, NodePool] | None = None  # empty: there is no Karpenter, or it has none
    node_claims: tuple[NodeClaim, ...] | None = None
    instance_types: tuple[Node, ...] = ()  # one machine of each pool and type
    listed_resources: frozenset[str] | None = None  # resources that some node lists; None: look at the nodes
    shortages: tuple[InsufficientCapacity, ...] | None = None
    node_overlays: tuple[NodeOverlay, ...] | None = ()
    capacity_buffers: tuple[CapacityBuffer, ...] | None = ()
    local_queues: Mapping[tuple[str, str], LocalQueue] | None = field(default_factory=dict)  # by namespace and name
    cluster_queues: Mapping[str, ClusterQueue] | None = field(default_factory=dict)  # by name
    cohorts: Mapping[str, Cohort] | None = field(default_factory=dict)  # by name
    flavors: Mapping[str, ResourceFlavor] | None = field(default_factory=dict)  # by name
    no_provisioner: bool = False  # nobody buys machines: those that are there are all
    incomplete_reason: str = ""  # why there are pods that are not seen
    last_synced: float | None = None  # all of it was true at this time
