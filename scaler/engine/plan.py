"""What one tick asks for a workload, and what the cluster says of its target at that time."""

import logging

from scaler.cluster.availability import availability
from scaler.cluster.view import own_pods
from scaler.engine.workload import TickPlan, Workload
from scaler.model.availability import Availability, unknown
from scaler.model.objects import Cluster, ScaledResource, TargetView

logger = logging.getLogger(__name__)


class ClusterView:
    """Looks at scale targets in one picture of the cluster; what can be had is reckoned once for each object.

    Args:
        cluster: the picture.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._available: dict[tuple[str, str, str], Availability] = {}  # by object

    def of(self, scaled: ScaledResource | None, now: float, *, gpus: bool) -> TargetView:
        """Look at one scale target.

        Args:
            scaled: the object, as the picture has it.
            now: seconds since the epoch; a picture grows old.
            gpus: whether anybody wants to know what can be had.
        """
        doubt = self.cluster.stale_reason(now) or (scaled.stale_reason if scaled else "")
        return TargetView(scaled, doubt, self._availability_of(scaled) if gpus else None)

    def _availability_of(self, scaled: ScaledResource | None) -> Availability:
        if scaled is None:
            return unknown(self.cluster.problems.get("kubernetes", "Kubernetes says nothing of this object"))
        key = scaled.kind, scaled.namespace, scaled.name
        if key not in self._available:
            try:
                self._available[key] = availability(self.cluster, scaled)
            except Exception as error:  # one object's oddity must not stop the others
                logger.exception("what can be had cannot be reckoned", extra={"workload": "/".join(key)})
                self._available[key] = unknown(f"it cannot be reckoned ({type(error).__name__})")
        return self._available[key]


def plan(item: Workload, cluster: ClusterView, now: float) -> TickPlan:
    """Plan a tick; what is asked is made anew only where the spec or the pods have changed.

    Args:
        item: the workload, with the plan of its last tick.
        cluster: the newest picture.
        now: seconds since the epoch.
    """
    before, pods = item.plan, own_pods(item.scaled)
    target = cluster.of(item.scaled, now, gpus=item.spec.needs_gpus)
    known = pods is not None and target.replicas is not None
    counted = known and item.backfilled  # of times gone by Kubernetes says nothing
    standing = item.state.standing
    suspicious = item.backfilled and standing is not None and standing.suspicious(now)
    queries = before.queries
    if (item.spec, pods, counted, suspicious) != (before.spec, before.pods, before.counted, before.suspicious):
        queries = item.spec.queries_of(pods, counted=counted, suspicious=suspicious)
    return TickPlan(item.spec, queries, target, pods, counted, suspicious)
