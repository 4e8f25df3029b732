"""Every resource of Kubernetes that is read: what it is called, who reads its objects, and what they become. Pure.

A new resource is one row of RESOURCES: how an object is read, and of which part of `Hardware` or `Devices` it is. The
right to read it stands in deploy/helm/llm-scaler/templates/rbac.yaml, which the tests compare with this table.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from scaler.model.objects import Manifest
from scaler.sources.kubernetes import read_dra, read_karpenter, read_kueue, read_objects, read_pods
from scaler.sources.kubernetes.read_objects import ObjectKey, ObjectReader
from scaler.sources.kubernetes.store import PodTable, Table, by_namespace, key_of, limit_ranges

Records = dict[ObjectKey, Any]
Purpose = Literal["objects", "machines", "devices", "addresses"]


def by_name(records: Records) -> Mapping[str, Any]:
    """Return records of what has no namespace."""
    return {name: one for (_, name), one in records.items()}


def values(records: Records) -> tuple[Any, ...]:
    """Return records without their names."""
    return tuple(records.values())


def by_key(records: Records) -> Mapping[ObjectKey, Any]:
    """Return records by namespace and name."""
    return records


def alone(read: Callable[[Manifest], Any]) -> Callable[[ObjectReader, Manifest], Any]:
    """Make a reader of one object, which shares nothing with others."""
    return lambda _reader, raw: read(raw)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One thing that is read, and the verbs that takes; deploy/rbac.yaml grants exactly these."""

    group: str = ""
    version: str = "v1"
    plural: str
    purpose: str  # what is not known without it
    verbs: tuple[str, ...] = ("list", "watch")
    selector: str = ""  # of labels, so that others are not even sent
    fields: str = ""  # a selector of fields
    namespaced: bool = True
    optional: bool = False  # its API need not be installed; a cluster without it has none of these
    older: tuple[str, ...] = ()  # versions that are read where this one is not served, the newest first
    read: Callable[[ObjectReader, Manifest], Any]  # what is kept of an object; None for nothing
    key: Callable[[Manifest], ObjectKey] = key_of  # under which key
    table: type[Table] = Table
    of: Purpose = "machines"  # what gets old when it is not heard of
    part: str = ""  # the field of `Hardware`, or of `Devices` for devices, that its records are; empty: not one alone
    into: Callable[[Records], Any] = values  # the records in the form of that field

    def path(self, namespace: str | None) -> str:
        """Return its path, for one namespace or all."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        return f"{root}/namespaces/{namespace}/{self.plural}" if namespace else f"{root}/{self.plural}"

    def __str__(self) -> str:
        """Return its name as kubectl knows it."""
        return self.plural if self.group in {"", "*"} else f"{self.plural}.{self.group}"


SCALED_OBJECTS = Resource(
    group="keda.sh",
    version="v1alpha1",
    plural="scaledobjects",
    purpose="which ScaledObjects will ask",
    read=ObjectReader.scaled,
    of="objects",
)
SCALED_JOBS = Resource(
    group="keda.sh",
    version="v1alpha1",
    plural="scaledjobs",
    purpose="which ScaledJobs will ask",
    read=ObjectReader.scaled,
    of="objects",
)
HPAS = Resource(
    group="autoscaling",
    version="v2",
    plural="horizontalpodautoscalers",
    purpose="what the HPA reports",
    read=alone(read_objects.read_hpa),
    key=read_objects.hpa_of,
    of="objects",
)
DEPLOYMENTS = Resource(
    group="apps",
    plural="deployments",
    purpose="replicas and pod templates of Deployments",
    read=ObjectReader.replicated,
    of="objects",
)
STATEFUL_SETS = Resource(
    group="apps",
    plural="statefulsets",
    purpose="replicas and pod templates of StatefulSets",
    read=ObjectReader.replicated,
    of="objects",
)
LEADER_WORKER_SETS = Resource(
    group="leaderworkerset.x-k8s.io",
    plural="leaderworkersets",
    purpose="pods of one replica of LeaderWorkerSets",
    optional=True,
    read=ObjectReader.group,
)
JOBS = Resource(
    group="batch",
    plural="jobs",
    purpose="jobs of ScaledJobs",
    selector=read_objects.SCALED_JOB,
    read=alone(read_objects.read_job),
    of="objects",
)
PODS = Resource(plural="pods", purpose="which pods are whose", read=ObjectReader.pod, table=PodTable, of="objects")
NODES = Resource(
    plural="nodes",
    purpose="which machines there are",
    namespaced=False,
    read=alone(read_pods.read_node),
    part="nodes",
    into=by_name,
)
SLICES = Resource(
    group="discovery.k8s.io",
    plural="endpointslices",
    purpose="the addresses of Services that endpoints name",
    read=alone(read_objects.read_slice),
    of="addresses",
)
SCALES = Resource(
    group="*",
    version="*",
    plural="*/scale",
    purpose="replicas and pods of other scale targets",
    verbs=("get",),
    read=alone(read_objects.read_scale),
    of="objects",
)
_BETAS = ("v1beta2", "v1beta1")  # of resource.k8s.io: Kubernetes 1.33 serves these alone

RESOURCES = (
    SCALED_OBJECTS,
    SCALED_JOBS,
    HPAS,
    DEPLOYMENTS,
    STATEFUL_SETS,
    JOBS,
    PODS,
    LEADER_WORKER_SETS,
    NODES,
    Resource(
        plural="namespaces",
        purpose="what namespaces have admission add to pods",
        namespaced=False,
        read=alone(read_pods.read_namespace),
        part="namespace_defaults",
        into=by_name,
    ),
    Resource(
        plural="resourcequotas",
        purpose="what quotas leave",
        read=alone(read_pods.read_quota),
        part="quotas",
        into=by_namespace,
    ),
    Resource(
        plural="limitranges",
        purpose="what containers ask for that do not say",
        read=alone(read_pods.read_limit_range),
        part="limit_ranges",
        into=limit_ranges,
    ),
    Resource(
        group="scheduling.k8s.io",
        plural="priorityclasses",
        purpose="which pods give way to others",
        namespaced=False,
        read=alone(read_pods.read_priority_class),
        part="priorities",
        into=by_name,
    ),
    Resource(
        group="node.k8s.io",
        plural="runtimeclasses",
        purpose="what RuntimeClasses add to pods",
        namespaced=False,
        read=alone(read_pods.read_runtime_class),
        part="runtime_classes",
        into=by_name,
    ),
    Resource(
        group="karpenter.sh",
        plural="nodepools",
        purpose="what Karpenter may buy",
        namespaced=False,
        optional=True,
        read=alone(read_karpenter.read_pool),
        part="node_pools",
        into=by_name,
    ),
    Resource(
        group="karpenter.sh",
        plural="nodeclaims",
        purpose="what Karpenter has ordered",
        namespaced=False,
        optional=True,
        read=alone(read_karpenter.read_claim),
        part="node_claims",
    ),
    Resource(
        group="karpenter.sh",
        version="v1alpha1",
        plural="nodeoverlays",
        purpose="what Karpenter takes machines to have",
        namespaced=False,
        optional=True,
        read=alone(read_karpenter.read_overlay),
        part="node_overlays",
    ),
    Resource(
        group="autoscaling.x-k8s.io",
        version="v1beta1",
        plural="capacitybuffers",
        purpose="for what room is kept on machines",
        optional=True,
        older=("v1alpha1",),
        read=alone(read_karpenter.read_buffer),
        part="capacity_buffers",
    ),
    Resource(
        plural="events",
        purpose="which machines Karpenter could not get",
        fields="reason=InsufficientCapacityError",
        namespaced=False,
        read=alone(read_karpenter.read_shortage),
        part="shortages",
    ),
    Resource(
        group="resource.k8s.io",
        plural="resourceslices",
        purpose="which devices there are",
        namespaced=False,
        optional=True,
        older=_BETAS,
        read=alone(read_dra.read_slice),
        of="devices",
        part="slices",
    ),
    Resource(
        group="resource.k8s.io",
        plural="deviceclasses",
        purpose="what a class of devices is",
        namespaced=False,
        optional=True,
        older=_BETAS,
        read=alone(read_dra.read_class),
        of="devices",
        part="classes",
        into=by_name,
    ),
    Resource(
        group="resource.k8s.io",
        plural="resourceclaimtemplates",
        purpose="which devices pods ask for",
        optional=True,
        older=_BETAS,
        read=alone(read_dra.read_claim_template),
        of="devices",
        part="templates",
        into=by_key,
    ),
    Resource(
        group="resource.k8s.io",
        plural="resourceclaims",
        purpose="which devices are taken",
        optional=True,
        older=_BETAS,
        read=alone(read_dra.read_allocation),
        of="devices",
        part="allocations",
    ),
    Resource(
        group="resource.k8s.io",
        plural="devicetaintrules",
        purpose="which devices are tainted",
        namespaced=False,
        optional=True,
        older=("v1beta2", "v1alpha3"),
        read=alone(read_dra.read_taint_rule),
        of="devices",
        part="rules",
    ),
    Resource(
        group="kueue.x-k8s.io",
        version="v1beta2",
        plural="localqueues",
        purpose="which queues of Kueue a namespace has",
        optional=True,
        older=("v1beta1",),
        read=alone(read_kueue.read_local_queue),
        part="local_queues",
        into=by_key,
    ),
    Resource(
        group="kueue.x-k8s.io",
        version="v1beta2",
        plural="clusterqueues",
        purpose="what the queues of Kueue leave",
        namespaced=False,
        optional=True,
        older=("v1beta1",),
        read=alone(read_kueue.read_cluster_queue),
        part="cluster_queues",
        into=by_name,
    ),
    Resource(
        group="kueue.x-k8s.io",
        version="v1beta2",
        plural="cohorts",
        purpose="what the queues of Kueue may borrow",
        namespaced=False,
        optional=True,
        older=("v1beta1",),
        read=alone(read_kueue.read_cohort),
        part="cohorts",
        into=by_name,
    ),
    Resource(
        group="kueue.x-k8s.io",
        version="v1beta2",
        plural="resourceflavors",
        purpose="what Kueue adds to pods",
        namespaced=False,
        optional=True,
        older=("v1beta1",),
        read=alone(read_kueue.read_flavor),
        part="flavors",
        into=by_name,
    ),
    SLICES,
    SCALES,
)

WATCHED = tuple(one for one in RESOURCES if one not in {SLICES, SCALES})  # all of it; Services only where one is named
DEVICES = tuple(one for one in WATCHED if one.of == "devices")
MACHINES = tuple(one for one in WATCHED if one.of == "machines" and one.part)
SCALED = {"ScaledObject": SCALED_OBJECTS, "ScaledJob": SCALED_JOBS}
REPLICATED = {"Deployment": DEPLOYMENTS, "StatefulSet": STATEFUL_SETS, read_objects.GROUPS: LEADER_WORKER_SETS}


def named(plural: str) -> Resource:
    """Return the row of a resource.

    >>> named("nodepools").path(None)
    '/apis/karpenter.sh/v1/nodepools'
    """
    return next(one for one in RESOURCES if one.plural == plural)
