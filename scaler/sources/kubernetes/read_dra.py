"""Dynamic resource allocation as JSON (Kubernetes 1.35, resource.k8s.io/v1) -> devices, and whose they are. Pure."""

from collections.abc import Mapping
from typing import Any

from scaler.model.nodes import Allocation, ClaimTemplate, Device, DeviceClass, DeviceRequest, Slice

Raw = Mapping[str, Any]


def read_slice(raw: Raw) -> Slice:
    """A ResourceSlice."""
    spec = raw["spec"]
    pool, devices = spec["pool"], spec.get("devices") or ()
    odd = ("consumesCounters", "taints", "allowMultipleAllocations", "bindingConditions")
    return Slice(
        driver=spec["driver"],
        pool=pool["name"],
        generation=pool.get("generation", 0),
        count=pool.get("resourceSliceCount", 1),
        node=spec.get("nodeName") or "",
        devices=tuple(Device(one["name"], _attributes(one, spec["driver"])) for one in devices),
        entangled=any(one.get(name) for one in devices for name in odd),
    )


def read_class(raw: Raw) -> DeviceClass:
    """A DeviceClass."""
    spec = raw.get("spec") or {}
    return DeviceClass(_selectors(spec), spec.get("extendedResourceName") or "")


def read_claim_template(raw: Raw) -> ClaimTemplate:
    """A ResourceClaimTemplate."""
    devices = raw["spec"]["spec"].get("devices") or {}
    requests = devices.get("requests") or ()
    exact = (one["exactly"] for one in requests if "exactly" in one)
    return ClaimTemplate(
        requests=tuple(_request(one) for one in exact if not one.get("adminAccess")),
        constrained=bool(devices.get("constraints")),
        alternatives=any("firstAvailable" in one for one in requests),
    )


def read_allocation(raw: Raw) -> Allocation | None:
    """What a ResourceClaim has been given; None for nothing."""
    status = raw.get("status") or {}
    results = ((status.get("allocation") or {}).get("devices") or {}).get("results") or ()
    given = tuple((one["driver"], one["pool"], one["device"]) for one in results if not one.get("adminAccess"))
    users = tuple(one["name"] for one in status.get("reservedFor") or () if one.get("resource") == "pods")
    return Allocation(raw["metadata"]["namespace"], users, given) if given else None


def _request(raw: Raw) -> DeviceRequest:
    count = 0 if raw.get("allocationMode") == "All" else raw.get("count", 1)
    return DeviceRequest(raw["deviceClassName"], count, _selectors(raw))


def _selectors(raw: Raw) -> tuple[str, ...]:
    return tuple(str((one.get("cel") or {}).get("expression", "")) for one in raw.get("selectors") or ())


def _attributes(raw: Raw, driver: str) -> dict[tuple[str, str], str | int | bool]:
    """By domain and name; a name without a domain is of its driver's. Without versions, which nothing here compares."""
    found = {}
    for name, value in (raw.get("attributes") or {}).items():
        domain, _, short = name.rpartition("/")
        for kind in value.keys() & {"string", "int", "bool"}:
            found[domain or driver, short] = value[kind]
    return found
