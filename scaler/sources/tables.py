"""The records of what is watched, and what many of them come to: watches put them in, pictures take them out. Pure."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from scaler.hardware import Load, Owner, Quota, Term, Waiting
from scaler.placement import EMPTY, with_pod, without_pod
from scaler.sources.objects import Key, PodRecord, Raw


class Table:
    """The records of one resource."""

    def __init__(self) -> None:
        self.records: dict[Key, Any] = {}

    def put(self, key: Key, record: Any) -> bool:
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
        self.groups: dict[Owner, dict[Key, PodRecord]] = {}  # by what they belong to
        self.loads: dict[str, Load] = {}  # by node
        self.waiting: dict[Key, Waiting] = {}
        self.shy: Counter[tuple[str, Term]] = Counter()  # pods on nodes, by what they share no node with

    def put(self, key: Key, record: PodRecord | None) -> bool:
        """As `Table.put`."""
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

    def _wait(self, key: Key, waiting: Waiting | None) -> None:
        self.waiting.pop(key, None)
        if waiting:
            self.waiting[key] = waiting

    def _carry(self, before: PodRecord | None, now: PodRecord | None) -> None:
        """Move a pod's load; a Load is replaced, never changed, since pictures share it."""
        if before and now and before.node == now.node and before.shape == now.shape:
            return
        if before and before.node:
            self.shy.subtract((before.owner[0], term) for term in before.shape.apart)
            left = without_pod(self.loads[before.node], before.shape)
            self.loads[before.node] = left
            if left == EMPTY:
                del self.loads[before.node]
        if now and now.node:
            self.shy.update((now.owner[0], term) for term in now.shape.apart)
            self.loads[now.node] = with_pod(self.loads.get(now.node, EMPTY), now.shape)


def key_of(raw: Raw) -> Key:
    """Namespace (empty for what has none) and name."""
    return raw["metadata"].get("namespace", ""), raw["metadata"]["name"]


def by_namespace(quotas: Mapping[Key, Quota]) -> dict[str, tuple[Quota, ...]]:
    """Quotas of each namespace."""
    found: dict[str, tuple[Quota, ...]] = {}
    for (namespace, _), quota in quotas.items():
        found[namespace] = (*found.get(namespace, ()), quota)
    return found
