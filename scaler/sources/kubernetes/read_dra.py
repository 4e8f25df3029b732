"""Dynamic resource allocation as JSON (Kubernetes 1.35, resource.k8s.io/v1) -> devices, and whose they are. Pure."""

from collections.abc import Sequence

from scaler.model.nodes import (
    Allocation,
    ClaimTemplate,
    Device,
    DeviceCapacity,
    DeviceClass,
    DeviceRequest,
    DeviceSubRequest,
    DeviceTaintRule,
    ResourceSlice,
)
from scaler.model.objects import Manifest
from scaler.sources.kubernetes.read_pods import parse_quantity, parse_time, read_taint, read_toleration


def read_slice(raw: Manifest) -> ResourceSlice:
    """Read a ResourceSlice."""
    spec = raw["spec"]
    pool, devices = spec["pool"], [_flat(one) for one in spec.get("devices") or ()]
    by_itself = bool(spec.get("perDeviceNodeSelection"))
    return ResourceSlice(
        driver=spec["driver"],
        pool=pool["name"],
        generation=pool.get("generation", 0),
        count=pool.get("resourceSliceCount", 1),
        node=spec.get("nodeName") or "",
        devices=tuple(_device(one, spec["driver"]) for one in devices),
        counters=_counters(spec.get("sharedCounters"), "name"),
        conditional=by_itself or any(one.get("bindingConditions") for one in devices),
    )


def _flat(raw: Manifest) -> Manifest:
    """Flatten a device to what v1 has; in v1beta1 all but its name stands in `basic`."""
    return {**(raw.get("basic") or {}), **raw}


def _device(raw: Manifest, driver: str) -> Device:
    return Device(
        name=raw["name"],
        attributes=_attributes(raw, driver),
        capacity={name: _share(name, one) for name, one in (raw.get("capacity") or {}).items()},
        shared=bool(raw.get("allowMultipleAllocations")),
        counters=_counters(raw.get("consumesCounters"), "counterSet"),
        taints=tuple(read_taint(one) for one in raw.get("taints") or ()),
    )


def _share(name: str, raw: Manifest) -> DeviceCapacity:
    """Read a capacity and its requestPolicy: of what is not said, a claim takes the whole."""
    value, policy = parse_quantity(name, raw["value"]), raw.get("requestPolicy") or {}
    within = policy.get("validRange") or {}
    return DeviceCapacity(
        value=value,
        default=parse_quantity(name, policy["default"]) if "default" in policy else value,
        least=parse_quantity(name, within["min"]) if "min" in within else 0,
        most=parse_quantity(name, within["max"]) if "max" in within else None,
        step=parse_quantity(name, within["step"]) if "step" in within else 0,
        allowed=tuple(sorted(parse_quantity(name, one) for one in policy.get("validValues") or ())),
    )


def _counters(raw: Sequence[Manifest] | None, key: str) -> tuple[tuple[str, str, int], ...]:
    """Set, counter and amount of each counter."""
    found = []
    for one in raw or ():
        for name, counter in (one.get("counters") or {}).items():
            found.append((str(one[key]), str(name), parse_quantity(name, counter["value"])))
    return tuple(sorted(found))


def read_taint_rule(raw: Manifest) -> DeviceTaintRule | None:
    """Read a DeviceTaintRule; None for one that keeps no pod off."""
    spec = raw["spec"]
    meant, taint = spec.get("deviceSelector") or {}, read_taint(spec["taint"])
    if taint.effect not in {"NoSchedule", "NoExecute"}:
        return None
    driver, pool, device = (meant.get(part) or "" for part in ("driver", "pool", "device"))
    return DeviceTaintRule(
        taint, driver, pool, device, unsure=bool(meant.get("deviceClassName") or meant.get("selectors"))
    )


def read_class(raw: Manifest) -> DeviceClass:
    """Read a DeviceClass."""
    spec = raw.get("spec") or {}
    created = parse_time((raw.get("metadata") or {}).get("creationTimestamp"))
    return DeviceClass(_selectors(spec), spec.get("extendedResourceName") or "", created or 0.0)


def read_claim_template(raw: Manifest) -> ClaimTemplate:
    """Read a ResourceClaimTemplate."""
    devices = raw["spec"]["spec"].get("devices") or {}
    requests = devices.get("requests") or ()
    return ClaimTemplate(tuple(map(_request, requests)), bool(devices.get("constraints")))


def read_allocation(raw: Manifest) -> Allocation | None:
    """Read what a ResourceClaim has been given; None for nothing."""
    status = raw.get("status") or {}
    results = ((status.get("allocation") or {}).get("devices") or {}).get("results") or ()
    given = tuple((one["driver"], one["pool"], one["device"]) for one in results if not one.get("adminAccess"))
    consumed = []
    for one in results:
        parts = {name: parse_quantity(name, of) for name, of in (one.get("consumedCapacity") or {}).items()}
        if parts:
            consumed.append(((one["driver"], one["pool"], one["device"]), tuple(sorted(parts.items()))))
    users = tuple(one["name"] for one in status.get("reservedFor") or () if one.get("resource") == "pods")
    return Allocation(raw["metadata"]["namespace"], users, given, tuple(consumed)) if given else None


def _request(raw: Manifest) -> DeviceRequest:
    """Read a request: for the first devices of its list that are to be had, or for those that it names.

    In v1beta1 a request says itself what v1 says under `exactly`.
    """
    first, *others = [_wanted(one) for one in raw.get("firstAvailable") or ()] or [_wanted(raw.get("exactly") or raw)]
    return DeviceRequest(
        first.device_class,
        first.count,
        first.selectors,
        first.capacity,
        first.tolerations,
        first.admin,
        tuple(others),
    )


def _wanted(raw: Manifest) -> DeviceSubRequest:
    count = 0 if raw.get("allocationMode") == "All" else raw.get("count", 1)
    wanted = (raw.get("capacity") or {}).get("requests") or {}
    return DeviceSubRequest(
        device_class=raw["deviceClassName"],
        count=count,
        selectors=_selectors(raw),
        capacity=tuple(sorted((name, parse_quantity(name, of)) for name, of in wanted.items())),
        tolerations=tuple(read_toleration(one) for one in raw.get("tolerations") or ()),
        admin=bool(raw.get("adminAccess")),
    )


def _selectors(raw: Manifest) -> tuple[str, ...]:
    return tuple(str((one.get("cel") or {}).get("expression", "")) for one in raw.get("selectors") or ())


def _attributes(raw: Manifest, driver: str) -> dict[tuple[str, str], str | int | bool]:
    """Map domain and name to values; a name without a domain is of its driver's. Versions are left out."""
    found = {}
    for name, value in (raw.get("attributes") or {}).items():
        domain, _, short = name.rpartition("/")
        for kind in value.keys() & {"string", "int", "bool"}:
            found[domain or driver, short] = value[kind]
    return found
