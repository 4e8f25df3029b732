"""How many pods the devices of each node are enough for, where pods ask for devices and not for a number of them.

A device is free if no ResourceClaim has been given it. Which devices a claim takes is said in CEL; of that language
only what drivers' classes and most claims use is read: comparisons of the driver and of attributes, joined by &&. What
cannot be read takes every device, and the count is an upper bound.

Source: Kubernetes 1.35.4, resource.k8s.io/v1; dynamic-resource-allocation/structured/internal/stable (a pool counts
once all slices of its newest generation are there).
"""

import operator
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from scaler.model.nodes import ClaimTemplate, Device, DeviceClass, DeviceRequest, Devices, Shape, Slice

_IMPLICIT = "deviceclass.resource.kubernetes.io/"  # before the name of a class
_TERMS = re.compile(r"""&&|(?:[^"'&]|"[^"]*"|'[^']*'|&(?!&))+""")
_COMPARISON = re.compile(
    r"""device\.(?:(?P<driver>driver)|attributes\[(?P<domain>"[^"]+"|'[^']+')\]\.(?P<name>\w+))"""
    r"""(?:\s*(?P<sign>==|!=|>=|<=|>|<)\s*(?P<value>"[^"]*"|'[^']*'|-?\d+|true|false))?"""
)
_SIGNS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


@dataclass(frozen=True, slots=True)
class Supply:
    """Devices for the pods of one template, by node."""

    pods: Mapping[str, int] = field(default_factory=dict)  # that they are enough for
    free: Mapping[str, int] = field(default_factory=dict)  # of the class that is counted
    bounds: tuple[str, ...] = ()  # why there may be fewer
    unknown: str = ""  # why nothing can be said


def claimed(devices: Devices, namespace: str, shape: Shape) -> list[ClaimTemplate]:
    """What a pod asks for by each of its claims; for a claim without a template a device that nobody has."""
    absent = (ClaimTemplate((DeviceRequest(f"of {name}", 1),)) for name in shape.claims)
    return [devices.templates.get((namespace, name), one) for name, one in zip(shape.claims, absent, strict=True)]


def accelerator(requests: Iterable[DeviceRequest]) -> str:
    """The class of device that is counted as a GPU: one that is called so, or else the first; empty for none."""
    classes = [request.device_class for request in requests]
    return next((name for name in classes if "gpu" in name), next(iter(classes), ""))


def supply(devices: Devices, claims: Collection[ClaimTemplate], counted: str) -> Supply:
    """What the devices of each node are enough for.

    Args:
        devices: all there are.
        claims: of one pod.
        counted: the class of which the free devices are counted.
    """
    if any(claim.alternatives for claim in claims):
        return Supply(unknown="devices that have alternatives are not counted")
    sums = Counter[DeviceRequest]()
    for request in (request for claim in claims for request in claim.requests):
        sums[replace(request, count=min(request.count, 1))] += request.count or 1
    taken = {device for one in devices.allocations for device in one.devices}
    slices = list(_complete(devices.slices))
    pods: dict[str, int] = {}
    free: Counter[str] = Counter()
    for request, count in sums.items():
        had, whole = Counter[str](), Counter[str]()
        for one in slices:
            fitting = [device for device in one.devices if _takes(devices, request, one.driver, device)]
            whole[one.node] += len(fitting)
            had[one.node] += sum((one.driver, one.pool, device.name) not in taken for device in fitting)
        if whole[""]:
            return Supply(unknown=f"devices of class {request.device_class} are not each of one node")
        enough = {node: had[node] // count if request.count else int(had[node] == whole[node] > 0) for node in whole}
        pods = {node: min(pods.get(node, 0), fits) for node, fits in enough.items()} if pods else enough
        free.update(had if request.device_class == counted else {})
    bounds = _bounds(devices, sums, slices)
    if any(claim.constrained for claim in claims):
        bounds = (*bounds, "constraints between devices are not counted")
    return Supply(pods, free, bounds)


def matches(expression: str, driver: str, device: Device) -> bool | None:
    """Whether a selector takes a device; None if that cannot be told."""
    parts = _TERMS.findall(expression)
    if "".join(parts) != expression or parts[1::2] != ["&&"] * (len(parts) // 2):
        return None
    verdicts = [_holds(term.strip(), driver, device) for term in parts[::2]]
    return False if False in verdicts else None if None in verdicts or not verdicts else True


def _holds(term: str, driver: str, device: Device) -> bool | None:
    found = _COMPARISON.fullmatch(term)
    if not found:
        return None
    name = (found["domain"] or "").strip("\"'"), found["name"]
    own: Any = driver if found["driver"] else device.attributes.get(name)
    if not found["sign"]:
        return own if isinstance(own, bool) else None
    value, sign = _literal(found["value"]), found["sign"]
    if type(own) is type(value):
        return _SIGNS[sign](own, value)
    # Of different types, values are only ever unequal. What is not there is an error, after which no device is taken.
    return None if own is None or sign not in {"==", "!="} else sign == "!="


def _literal(text: str) -> str | int | bool:
    if text in {"true", "false"}:
        return text == "true"
    return text[1:-1] if text[0] in "\"'" else int(text)


def _takes(devices: Devices, request: DeviceRequest, driver: str, device: Device) -> bool:
    known = request.device_class in devices.classes
    return known and all(matches(one, driver, device) is not False for one in _selectors(devices, request))


def _selectors(devices: Devices, request: DeviceRequest) -> tuple[str, ...]:
    """What a device must be for a request, by its class and by itself."""
    own = devices.classes.get(request.device_class, DeviceClass())
    return (*own.selectors, *request.selectors)


def stand_in(devices: Devices, shape: Shape) -> str:
    """The resource that a pod asks for by number and that devices may be given for; empty: there is none.

    Source: Kubernetes 1.35, resource.k8s.io/v1, extendedResourceName of a DeviceClass and ResourceDeviceClassPrefix.
    """
    given = {one.resource for one in devices.classes.values() if one.resource}
    return next((name for name, _ in shape.requests if name in given or name.startswith(_IMPLICIT)), "")


def _complete(slices: Iterable[Slice]) -> Iterable[Slice]:
    """Slices of the newest generation of every pool of which all slices are there."""
    pools: dict[tuple[str, str], list[Slice]] = {}
    for one in slices:
        pools.setdefault((one.driver, one.pool), []).append(one)
    for own in pools.values():
        newest = [one for one in own if one.generation == max(other.generation for other in own)]
        if len(newest) == newest[0].count:
            yield from newest


def _bounds(devices: Devices, wanted: Mapping[DeviceRequest, int], slices: list[Slice]) -> tuple[str, ...]:
    """Why fewer pods may fit than are counted."""
    selectors = {one for request in wanted for one in _selectors(devices, request)}
    drivers = [(one.driver, device) for one in slices for device in one.devices]
    reasons = {
        "several requests may want the same devices": len(wanted) > 1,
        "devices share counters, or have taints": any(one.entangled for one in slices),
    }
    unread = [one for one in sorted(selectors) if any(matches(one, *device) is None for device in drivers)]
    told = [f"the selector {one[:80]!r} cannot be read for every device" for one in unread]
    return (*told, *(reason for reason, holds in reasons.items() if holds))
