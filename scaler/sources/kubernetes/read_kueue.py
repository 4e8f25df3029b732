"""Objects of Kueue as JSON (0.17.0, kueue.x-k8s.io/v1beta2 and v1beta1) -> queues and their quotas. Pure."""

from scaler.model.nodes import ClusterQueue, Cohort, FlavorQuota, LocalQueue, ResourceFlavor
from scaler.model.objects import Manifest
from scaler.sources.kubernetes.read_pods import parse_quantity, read_toleration


def read_local_queue(raw: Manifest) -> LocalQueue:
    """Read a LocalQueue."""
    spec = raw["spec"]
    return LocalQueue(str(spec.get("clusterQueue") or ""), _stopped(spec))


def read_cluster_queue(raw: Manifest) -> ClusterQueue:
    """Read a ClusterQueue; what is reserved of its quota counts as used, as it does for Kueue."""
    spec, status = raw["spec"], raw.get("status") or {}
    preemption = spec.get("preemption") or {}
    ways = (preemption.get("withinClusterQueue"), preemption.get("reclaimWithinCohort"))
    used: dict[tuple[str, str], int] = {}
    for flavor in status.get("flavorsReservation") or status.get("flavorsUsage") or ():
        for one in flavor.get("resources") or ():
            used[str(flavor["name"]), str(one["name"])] = parse_quantity(one["name"], one.get("total", 0))
    return ClusterQueue(
        name=raw["metadata"]["name"],
        cohort=str(spec.get("cohortName") or spec.get("cohort") or ""),
        resource_groups=tuple(map(_group, spec.get("resourceGroups") or ())),
        quotas=_lent(spec),
        used=used,
        preempts=any(way not in {None, "", "Never"} for way in ways),
        problem=_stopped(spec) or _inactive(status),
    )


def _group(raw: Manifest) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Read the flavors of one group of resources."""
    found = []
    for flavor in raw.get("flavors") or ():
        resources = tuple(str(one["name"]) for one in flavor.get("resources") or ())
        found.append((str(flavor["name"]), resources))
    return tuple(found)


def read_cohort(raw: Manifest) -> Cohort:
    """Read a Cohort; one that only ClusterQueues name needs no object."""
    spec = raw.get("spec") or {}
    return Cohort(str(spec.get("parentName") or spec.get("parent") or ""), _lent(spec))


def read_flavor(raw: Manifest) -> ResourceFlavor:
    """Read a ResourceFlavor."""
    spec = raw.get("spec") or {}
    tolerations = tuple(read_toleration(one) for one in spec.get("tolerations") or ())
    return ResourceFlavor(tuple(sorted((spec.get("nodeLabels") or {}).items())), tolerations)


def _lent(spec: Manifest) -> dict[tuple[str, str], FlavorQuota]:
    found: dict[tuple[str, str], FlavorQuota] = {}
    for group in spec.get("resourceGroups") or ():
        for flavor in group.get("flavors") or ():
            for one in flavor.get("resources") or ():
                found[str(flavor["name"]), str(one["name"])] = _quota(one)
    return found


def _quota(raw: Manifest) -> FlavorQuota:
    name = raw["name"]
    borrows, lends = (
        None if raw.get(key) is None else parse_quantity(name, raw[key]) for key in ("borrowingLimit", "lendingLimit")
    )
    return FlavorQuota(parse_quantity(name, raw.get("nominalQuota", 0)), borrows, lends)


def _stopped(spec: Manifest) -> str:
    policy = str(spec.get("stopPolicy") or "None")
    return "" if policy == "None" else f"it is stopped (stopPolicy: {policy})"


def _inactive(status: Manifest) -> str:
    active: Manifest = next((one for one in status.get("conditions") or () if one.get("type") == "Active"), {})
    return f"it is not active: {active.get('message', '')}"[:300] if active.get("status") == "False" else ""
