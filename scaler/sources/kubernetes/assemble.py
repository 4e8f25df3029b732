"""All that is watched, as tables, becomes the one picture of the cluster. Pure.

    Store: the records of every resource of `resources.py` ──▶ Hardware: nodes, pods on them, quotas, devices, pools
                                                          └──▶ join.py: every scaled object with its pods and its HPA

A table that is not known makes its part None, and never empty: nobody takes an outage for a cluster without nodes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scaler.cluster import karpenter
from scaler.cluster.node_fit import joined
from scaler.cluster.pending import index_pending
from scaler.model.nodes import Devices, Node, NodeSnapshot, Owner
from scaler.model.objects import Cluster, ScaledResource
from scaler.sources.kubernetes import resources
from scaler.sources.kubernetes.join import Tables, join
from scaler.sources.kubernetes.read_objects import ObjectKey, Scale, ScaledRecord
from scaler.sources.kubernetes.resources import JOBS, NODES, PODS, REPLICATED, SCALED, Resource
from scaler.sources.kubernetes.store import Table, by_target

Failed = Callable[[ScaledResource | None, Exception], None]  # what cannot be put together (None: the machines), and why


@dataclass(frozen=True, slots=True)
class Store:
    """All records, by what they are of."""

    tables: Mapping[Resource, Sequence[Table | None]]  # of each namespace that is watched; None: not known
    absent: frozenset[Resource] = frozenset()  # the cluster has no such API
    odd: Mapping[Resource, Mapping[ObjectKey, str]] = field(default_factory=dict)  # objects that are left out, and why
    scales: Mapping[Owner, Scale] = field(default_factory=dict)
    namespaces: Sequence[str] = ()  # that are watched; empty: all
    fixed: bool = False  # nobody buys machines

    def known(self, resource: Resource) -> Sequence[Any] | None:
        """Return the tables of a resource, of all namespaces; None if one of them is not known."""
        tables = self.tables.get(resource, (None,))
        known = [table for table in tables if table is not None]
        return known if len(known) == len(tables) else None

    def records(self, resource: Resource) -> dict[ObjectKey, Any] | None:
        """Return all records of a resource; None if some of them are not known."""
        tables = self.known(resource)
        if tables is None:
            return None
        return {key: one for table in tables for key, one in table.records.items()}


def assemble(store: Store, before: NodeSnapshot | None = None, failed: Failed | None = None) -> Cluster:
    """Put together what is known.

    Args:
        store: all records.
        before: the nodes of the last picture: what did not change stays the same object, since others know it by
            its identity.
        failed: called with what cannot be put together; it is left out. Without it the error is raised.
    """
    snapshot = None
    try:
        snapshot = node_snapshot_of(store, before)
    except Exception as error:
        if failed is None:
            raise
        failed(None, error)
    return join(tables_of(store, snapshot), failed)


def tables_of(store: Store, snapshot: NodeSnapshot | None) -> Tables:
    """Gather what is joined of every scaled object."""
    jobs, pods = store.records(JOBS), store.known(PODS)
    of_owners = {of: own.values() for table in pods or () for of, own in table.groups.items()}
    return Tables(
        scaled=scaled_records(store),
        listed=frozenset(kind for kind, resource in SCALED.items() if store.known(resource) is not None),
        hpas=store.records(resources.HPAS),
        replicated={kind: store.records(resource) for kind, resource in REPLICATED.items()},
        jobs=None if jobs is None else jobs.values(),
        pods=None if pods is None else of_owners,
        scales=store.scales,
        ended={owner: last for table in pods or () for owner, last in table.ended.items()},
        node_snapshot=snapshot,
        unread=_unread(store),
    )


def node_snapshot_of(store: Store, before: NodeSnapshot | None = None) -> NodeSnapshot:
    """Gather all nodes, the pods on them, and what is said about these."""
    parts = {one.part: _part(store, one) for one in resources.MACHINES}
    nodes, kinds, listed = _same(parts.pop(NODES.part), before)
    pods = store.known(PODS)
    loads = [table.loads for table in pods or ()]
    return NodeSnapshot(
        **parts,
        nodes=nodes,
        instance_types=kinds,
        listed_resources=listed,
        usage=None if pods is None else joined(loads),
        anti_affinity=by_target(one for table in pods or () for one in table.shy),
        pending_pods=index_pending(one for table in pods or () for one in table.waiting.values()),
        devices=_devices(store),
        no_provisioner=store.fixed,
        incomplete_reason=_partial(store),
    )


def _part(store: Store, resource: Resource) -> Any:
    """Return the records of a resource in the form that its part of the picture has; None: not known."""
    records = store.records(resource)
    return None if records is None else resource.into(records)


def _devices(store: Store) -> Devices | None:
    """Gather devices and claims; None where one of their tables is not known."""
    parts = {one.part: _part(store, one) for one in resources.DEVICES}
    if any(part is None for part in parts.values()):
        return None
    needed = {one for one in resources.DEVICES if one.part != "rules"}  # these came later
    return Devices(**parts, served=not needed & store.absent)


def _same(
    nodes: Mapping[str, Node] | None, before: NodeSnapshot | None
) -> tuple[Mapping[str, Node] | None, tuple[Node, ...], frozenset[str]]:
    """Return nodes, one of each pool and type, and the resources that they list; the old ones if nothing changed."""
    if before and before.nodes is not None and (nodes is None or nodes == before.nodes):
        kept = None if nodes is None else before.nodes
        return kept, before.instance_types, before.listed_resources or frozenset()
    known = (nodes or {}).values()
    listed: frozenset[str] = frozenset().union(*(node.allocatable for node in known))
    return nodes, karpenter.instance_types(known), listed


def _partial(store: Store) -> str:
    """Say why there are pods that are not seen; empty: there are none."""
    if store.namespaces:
        return f"pods outside of {', '.join(store.namespaces)} are not seen"
    return "some pods cannot be read" if store.odd.get(PODS) else ""


def _unread(store: Store) -> dict[str, str]:
    """Say, by namespace, why pods or Jobs may be missing in it."""
    odd = [(resource, key) for resource in (PODS, JOBS) for key in store.odd.get(resource, ())]
    return {key[0]: f"{resource} {key[1]} cannot be read, and may be one of its own" for resource, key in odd}


def scaled_records(store: Store) -> list[ScaledRecord]:
    """List whoever asks us, as far as it is known."""
    tables = [table for resource in SCALED.values() for table in store.tables.get(resource, ())]
    return [record for table in tables if table for record in table.records.values()]
