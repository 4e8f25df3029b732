"""The records of what is watched, and what many of them come to: watches put them in, pictures take them out. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from scaler.cluster.anti_affinity import handles
from scaler.cluster.node_fit import EMPTY, with_pod, without_pod
from scaler.model.nodes import (
    ANY,
    AntiAffinityTerm,
    Handle,
    LimitRange,
    LimitRangeDefaults,
    LimitRule,
    NodeUsage,
    Owner,
    PendingPod,
    ResourceQuota,
)
from scaler.model.objects import Manifest
from scaler.sources.kubernetes.read_objects import ObjectKey, PodRecord

MOST_ENDED = 10_000  # ScaledJobs of which the last pod is kept


class Table:
    """The records of one resource."""

    def __init__(self) -> None:
        self.records: dict[ObjectKey, Any] = {}

    def put(self, key: ObjectKey, record: Any) -> bool:
        """Keep a record, or forget it if it is None; returns whether that changed anything."""
        before = self.records.get(key)
        if before == record:
            return False  # the old one stays: pictures share it, and know it by its identity
        if record is None:
            del self.records[key]
        else:
            self.records[key] = record
        return True


class PodTable(Table):
    """Pods, and what many of them come to, kept up with every change."""

    def __init__(self) -> None:
        super().__init__()
        self.groups: dict[Owner, dict[ObjectKey, PodRecord]] = {}  # by what they belong to
        self.loads: dict[str, NodeUsage] = {}  # by node
        self.waiting: dict[ObjectKey, PendingPod] = {}
        self.shy: Counter[tuple[str, AntiAffinityTerm, str, int]] = (
            Counter()
        )  # namespace, what it keeps away, node, priority
        self.ended: dict[Owner, PodRecord] = {}  # the last pod of each ScaledJob, whatever has become of it

    def put(self, key: ObjectKey, record: PodRecord | None) -> bool:
        """Put as `Table.put` does; of a pod that has ended, only that it may be the last is kept."""
        told = record is not None and self._remember(record)
        if record is not None and record.ended:
            record = None
        return self._keep(key, record) or told

    def remember(self, other: "PodTable") -> None:
        """Keep what an older table knew of pods that are gone."""
        for record in other.ended.values():
            self._remember(record)

    def _remember(self, record: PodRecord) -> bool:
        """Keep a pod of a ScaledJob if it is the last one; returns whether it is."""
        last = self.ended.get(record.owner)
        if record.owner[1] != "ScaledJob" or (last and (last.pod.since or 0.0) > (record.pod.since or 0.0)):
            return False
        if last and last.shape == record.shape and last.needs == record.needs:
            return False
        if len(self.ended) >= MOST_ENDED and record.owner not in self.ended:
            del self.ended[next(iter(self.ended))]
        self.ended[record.owner] = record
        return True

    def _keep(self, key: ObjectKey, record: PodRecord | None) -> bool:
        before: PodRecord | None = self.records.get(key)
        if before is not None:
            group = self.groups[before.owner]
            del group[key]
            if not group:
                del self.groups[before.owner]
        if record is not None:
            self.groups.setdefault(record.owner, {})[key] = record
        self._wait(key, record.waiting if record else None)
        self._carry(before, record)
        return super().put(key, record)

    def _wait(self, key: ObjectKey, waiting: PendingPod | None) -> None:
        self.waiting.pop(key, None)
        if waiting:
            self.waiting[key] = waiting

    def _carry(self, before: PodRecord | None, now: PodRecord | None) -> None:
        """Move a pod's load; a Load is replaced, never changed, since pictures share it."""
        if before and now and before.node == now.node and before.shape == now.shape:
            return
        if before and before.node:
            for one in _anti_affinity(before):
                self.shy[one] -= 1
                if not self.shy[one]:
                    del self.shy[one]
            left = without_pod(self.loads[before.node], before.shape)
            self.loads[before.node] = left
            if left == EMPTY:
                del self.loads[before.node]
        if now and now.node:
            self.shy.update(_anti_affinity(now))
            self.loads[now.node] = with_pod(self.loads.get(now.node, EMPTY), now.shape)


def _anti_affinity(record: PodRecord) -> Iterator[tuple[str, AntiAffinityTerm, str, int]]:
    return ((record.owner[0], one, record.node, record.shape.priority or 0) for one in record.shape.anti_affinity)


def by_target(
    pods: Iterable[tuple[str, AntiAffinityTerm, str, int]],
) -> dict[tuple[str, Handle], dict[AntiAffinityTerm, set[tuple[str, int]]]]:
    """Map those who exclude pods to where they are: by the namespace of the excluded, and by a label of these."""
    found: dict[tuple[str, Handle], dict[AntiAffinityTerm, set[tuple[str, int]]]] = {}
    for namespace, apart, node, rank in pods:
        spaces = (
            *apart.namespaces,
            *([ANY] if apart.namespace_scope != "named" else [] if apart.namespaces else [namespace]),
        )
        for place in ((space, handle) for space in spaces for handle in handles(apart.term)):
            found.setdefault(place, {}).setdefault(apart, set()).add((node, rank))
    return found


def key_of(raw: Manifest) -> ObjectKey:
    """Return namespace (empty for what has none) and name."""
    return raw["metadata"].get("namespace", ""), raw["metadata"]["name"]


def limit_ranges(ranges: Mapping[ObjectKey, LimitRange]) -> dict[str, LimitRangeDefaults]:
    """Return what LimitRanges let containers of each namespace ask for; of several the least: each may be the first."""
    asked: dict[str, dict[str, set[int]]] = {}
    limits: dict[str, dict[str, set[int]]] = {}
    rules: dict[str, list[LimitRule]] = {}
    for (namespace, _), own in ranges.items():
        rules.setdefault(namespace, []).extend(own.rules)
        for found, amounts in ((asked, own.requests), (limits, own.limits)):
            for name, value in amounts.items():
                found.setdefault(namespace, {}).setdefault(name, set()).add(value)
    found_in = {}
    for namespace, there in rules.items():
        least, most = asked.get(namespace, {}), limits.get(namespace, {})
        found_in[namespace] = LimitRangeDefaults(
            requests={name: min(values) for name, values in least.items()},
            unsure=tuple(sorted(name for name, values in least.items() if len(values) > 1)),
            limits={name: max(values) for name, values in most.items()},
            rules=tuple(there),
        )
    return found_in


def by_namespace(quotas: Mapping[ObjectKey, ResourceQuota]) -> dict[str, tuple[ResourceQuota, ...]]:
    """Return the quotas of each namespace."""
    found: dict[str, tuple[ResourceQuota, ...]] = {}
    for (namespace, _), quota in quotas.items():
        found[namespace] = (*found.get(namespace, ()), quota)
    return found
