"""What one tick asks for a workload, and what the picture of the cluster says of its target at that time."""

import logging

from scaler.cluster.availability import availability
from scaler.config.workload import own_pods
from scaler.decision.capacity import unknown
from scaler.engine.workload import TickPlan, Workload
from scaler.model.availability import Availability
from scaler.model.objects import Cluster, Scaled

logger = logging.getLogger(__name__)


class Planner:
    """Plans ticks in one picture of the cluster.

    Args:
        cluster: the picture.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._available: dict[tuple[str, str, str], Availability] = {}  # by object

    def plan(self, item: Workload, now: float) -> TickPlan:
        """Return what is asked now; made anew only where the spec or the pods have changed."""
        own, before = own_pods(item.scaled), item.plan
        known = item.scaled is not None and own is not None and item.scaled.replicas is not None
        counted = known and item.backfilled  # of times gone by Kubernetes says nothing
        standing = item.state.standing
        suspicious = item.backfilled and standing is not None and standing.suspicious(now)
        same = (item.spec, counted, suspicious) == (before.spec, before.counted, before.suspicious)
        if same and own == own_pods(before.scaled):
            asks = before.asks
        else:
            asks = dict(item.spec.asks_of(own, counted=counted, suspicious=suspicious))
        available = self._availability_of(item.scaled) if item.spec.needs_gpus else None
        doubt = self._cluster.doubt(now) or (item.scaled.doubt if item.scaled else "")
        return TickPlan(item.spec, asks, item.scaled, doubt, available, counted, suspicious)

    def _availability_of(self, scaled: Scaled | None) -> Availability:
        """Return what can be had for an object; reckoned once in each picture of the cluster."""
        if scaled is None:
            return unknown(self._cluster.problems.get("kubernetes", "Kubernetes says nothing of this object"))
        key = scaled.kind, scaled.namespace, scaled.name
        if key not in self._available:
            try:
                self._available[key] = availability(self._cluster, scaled)
            except Exception as error:  # one object's oddity must not stop the others
                logger.exception("what can be had cannot be reckoned", extra={"workload": "/".join(key)})
                self._available[key] = unknown(f"it cannot be reckoned ({type(error).__name__})")
        return self._available[key]
