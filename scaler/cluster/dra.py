"""How many pods the devices of each node are enough for, where pods ask for devices and not for a number of them.

A device is free if no ResourceClaim has been given it. Which devices a claim takes is said in CEL; of that language
only what drivers' classes and most claims use is read: comparisons of the driver and of attributes, joined by &&. What
cannot be read takes every device, and the count is an upper bound.

A request may name several kinds of devices, the first that are to be had (firstAvailable): a node is enough for as many
pods as each kind is by itself, one after the other, unless two kinds want the same devices.

Source: Kubernetes 1.37.2, resource.k8s.io/v1; dynamic-resource-allocation/structured/internal/stable (a pool counts
once all slices of its newest generation are there; a request for all devices waits for all pools of its node).
"""

import operator
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from scaler.cluster.node_fit import toleration_matches
from scaler.model.nodes import (
    ClaimTemplate,
    Device,
    DeviceCapacity,
    DeviceClass,
    DeviceRequest,
    Devices,
    DeviceSubRequest,
    DeviceTaintRule,
    PodRequirements,
    ResourceSlice,
    Taint,
)

Id = tuple[str, str, str]  # driver, pool and name of a device
SharedCounters = tuple[tuple[str, str, int], ...]
SAME = "how many parts of one device a claim may have is not known"
MOST = 1_000_000  # claims of one device that takes any number of them

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
class DeviceFit:
    """Devices for the pods of one template, by node."""

    pods: Mapping[str, int] = field(default_factory=dict)  # that they are enough for
    free: Mapping[str, int] = field(default_factory=dict)  # of the class that is counted
    caveats: tuple[str, ...] = ()  # why there may be fewer
    unknown: str = ""  # why nothing can be said


def claimed(devices: Devices, namespace: str, shape: PodRequirements) -> list[ClaimTemplate]:
    """List what a pod asks for by each of its claims; for a claim without a template, a device that nobody has."""
    absent = (ClaimTemplate((DeviceRequest(f"of {name}", 1),)) for name in shape.claim_templates)
    return [
        devices.templates.get((namespace, name), one) for name, one in zip(shape.claim_templates, absent, strict=True)
    ]


def accelerator(requests: Iterable[DeviceRequest]) -> str:
    """Find the device class that is counted as a GPU: one that is named so, or else the first; empty for none."""
    classes = [request.device_class for request in requests if not request.admin]
    return next((name for name in classes if "gpu" in name), next(iter(classes), ""))


def supply(devices: Devices, claims: Collection[ClaimTemplate], counted: str) -> DeviceFit:
    """Count what the devices of each node are enough for.

    Args:
        devices: all there are.
        claims: of one pod.
        counted: the class of which the free devices are counted.
    """
    slices = list(_complete(devices.slices))
    stock, unready = _Stock(devices, slices), _incomplete(devices.slices)
    pods: dict[str, int] | None = None
    free: Counter[str] = Counter()
    wanted: list[DeviceSubRequest] = []
    taken: Counter[Id] = Counter()  # how many requests, or alternatives of one, take a device
    for request, times in _gathered(claims).items():
        enough: Counter[str] = Counter()
        for choice in (request, *request.first_available):
            own = _each(choice)
            fitting = _fitting(devices, slices, own)
            if fitting.get(""):
                return DeviceFit(unknown=f"devices of class {own.device_class} are not each of one node")
            count = (choice.count or 1) if request.first_available else times
            enough.update(_enough(stock, own, fitting, count, unready))
            if own.device_class == counted and not own.admin:
                free.update({node: stock.allocations(there, own) for node, there in fitting.items()})
            wanted.append(own)
            taken.update((one.driver, one.pool, part.name) for there in fitting.values() for one, part in there)
        several = times if request.first_available else 1
        fits = {node: often // several for node, often in enough.items()}
        known = fits if pods is None else pods
        pods = {node: min(known.get(node, 0), often) for node, often in fits.items()}
    shared = max(taken.values(), default=0) > 1
    parts = any(one.counters for one in slices)
    contested = len(wanted) > 1 and (shared or parts)
    bounds = (*_bounds(devices, wanted, slices, contested), *stock.bounds)
    if any(claim.constrained for claim in claims):
        bounds = (*bounds, "constraints between devices are not counted")
    return DeviceFit(pods or {}, free, bounds)


def _gathered(claims: Iterable[ClaimTemplate]) -> Counter[DeviceRequest]:
    """Gather the requests of all claims: equal ones as one for more devices, or with alternatives, as so many."""
    sums = Counter[DeviceRequest]()
    for request in (request for claim in claims for request in claim.requests):
        if request.first_available:
            sums[request] += 1
        else:
            sums[replace(request, count=min(request.count, 1))] += request.count or 1
    return sums


def _each(wanted: DeviceSubRequest) -> DeviceSubRequest:
    """Return the request for one device of what is wanted; or for all, where all are."""
    return DeviceSubRequest(
        wanted.device_class,
        min(wanted.count, 1),
        wanted.selectors,
        wanted.capacity,
        wanted.tolerations,
        wanted.admin,
    )


def _fitting(
    devices: Devices, slices: Iterable[ResourceSlice], request: DeviceSubRequest
) -> dict[str, list[tuple[ResourceSlice, Device]]]:
    """List the devices that a request matches, by node, whoever has them."""
    found: dict[str, list[tuple[ResourceSlice, Device]]] = {one.node: [] for one in slices}
    for one in slices:
        found[one.node] += [(one, part) for part in one.devices if _takes(devices, request, one.driver, part)]
    return found


def _enough(
    stock: "_Stock",
    request: DeviceSubRequest,
    fitting: Mapping[str, Sequence[tuple[ResourceSlice, Device]]],
    count: int,
    unready: Collection[str],
) -> dict[str, int]:
    """Count how often the devices of each node are enough for so many of a request."""
    if request.admin:
        return {node: MOST * stock.shown(there, request, count) for node, there in fitting.items()}
    had = {node: stock.allocations(there, request) for node, there in fitting.items()}
    if count > 1 and any(device.shared for there in fitting.values() for _, device in there):
        stock.tell(SAME)
    if request.count:
        return {node: had[node] // count for node in fitting}
    return {node: int(had[node] == len(there) > 0 and node not in unready) for node, there in fitting.items()}


class _Stock:
    """The devices: what of them is taken, and how often each can still be allocated.

    A device of 80Gi that several claims may share, of which 20Gi are taken, can be given to 3 claims of 20Gi each.
    Parts of a GPU that take 1 of 7 counters each can be given 7 times, however many of them a driver lists.
    """

    def __init__(self, devices: Devices, slices: Iterable[ResourceSlice]) -> None:
        self.bounds: tuple[str, ...] = ()
        self._rules = devices.rules
        self._taken = {device for one in devices.allocations for device in one.devices}
        self._consumed: dict[Id, Counter[str]] = {}
        for one in devices.allocations:
            for own, amounts in one.consumed:
                self._consumed.setdefault(own, Counter()).update(dict(amounts))
        self._left: Counter[tuple[str, str, str, str]] = Counter()  # by driver, pool, set and counter
        for part in slices:
            for name, counter, amount in part.counters:
                self._left[part.driver, part.pool, name, counter] += amount
        for part in slices:
            for device in part.devices:
                if (part.driver, part.pool, device.name) in self._taken:
                    for name, counter, amount in device.counters:
                        self._left[part.driver, part.pool, name, counter] -= amount

    def allocations(self, fitting: Iterable[tuple[ResourceSlice, Device]], request: DeviceSubRequest) -> int:
        """Count how often a node's devices can be allocated to a request, each time to another claim."""
        total = 0
        groups: dict[tuple[str, str, SharedCounters], int] = {}  # alike in what they take of a pool's counters
        for part, device in fitting:
            times = self._times(part, device, request)
            if device.counters:
                alike = part.driver, part.pool, device.counters
                groups[alike] = groups.get(alike, 0) + times
            else:
                total += times
        sets: Counter[tuple[str, str, str]] = Counter()
        for driver, pool, counters in groups:
            sets.update({(driver, pool, one[0]) for one in counters})
        if any(count > 1 for count in sets.values()):
            self.tell("devices of several sizes share counters")
        for (driver, pool, counters), times in groups.items():
            enough = (self._left[driver, pool, name, of] // amount for name, of, amount in counters if amount)
            total += max(min(times, *enough, times), 0)
        return total

    def shown(self, fitting: Iterable[tuple[ResourceSlice, Device]], request: DeviceSubRequest, count: int) -> bool:
        """Tell whether a node has as many devices as a request with admin access wants, whoever has them."""
        return sum(self._usable(part, device, request) for part, device in fitting) >= count

    def tell(self, bound: str) -> None:
        """Say once why there may be fewer."""
        self.bounds = tuple(dict.fromkeys([*self.bounds, bound]))

    def _usable(self, part: ResourceSlice, device: Device, request: DeviceSubRequest) -> bool:
        """Tell whether a request tolerates all taints of a device."""
        rules = [rule for rule in self._rules if _meant(rule, (part.driver, part.pool, device.name))]
        if any(rule.unsure and not _tolerated(rule.taint, request) for rule in rules):
            self.tell("a DeviceTaintRule chooses devices by what is not read here")
        taints = [*device.taints, *(rule.taint for rule in rules if not rule.unsure)]
        return all(_tolerated(taint, request) for taint in taints)

    def _times(self, part: ResourceSlice, device: Device, request: DeviceSubRequest) -> int:
        """Count how often one device can be allocated."""
        own = (part.driver, part.pool, device.name)
        if not self._usable(part, device, request):
            return 0
        wanted = dict(request.capacity)
        if any(name not in device.capacity or device.capacity[name].value < of for name, of in wanted.items()):
            return 0
        if not device.shared:
            return int(own not in self._taken)
        used = self._consumed.get(own, Counter())
        parts = ((share, _part(share, wanted.get(name)), used[name]) for name, share in device.capacity.items())
        return min((max(share.value - gone, 0) // each for share, each, gone in parts if each), default=MOST)


def _part(share: DeviceCapacity, wanted: int | None) -> int:
    """Return what a claim takes of a capacity; a claim that asks for more than is allowed takes more than there is.

    Source: Kubernetes 1.37.2, resource.k8s.io/v1, CapacityRequestPolicy.
    """
    if wanted is None:
        return share.default
    if share.most is not None and wanted > share.most:
        return share.value + 1
    if share.allowed:
        return next((one for one in share.allowed if one >= wanted), share.value + 1)
    above = max(wanted - share.least, 0)
    return share.least + -(-above // share.step) * share.step if share.step else max(wanted, share.least)


def _meant(rule: DeviceTaintRule, device: Id) -> bool:
    return all(not part or part == own for part, own in zip((rule.driver, rule.pool, rule.device), device, strict=True))


def _tolerated(taint: Taint, request: DeviceSubRequest) -> bool:
    return taint.effect not in {"NoSchedule", "NoExecute"} or any(
        toleration_matches(one, taint) for one in request.tolerations
    )


def matches(expression: str, driver: str, device: Device) -> bool | None:
    """Tell whether a selector matches a device; None if that cannot be told."""
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


def _takes(devices: Devices, request: DeviceSubRequest, driver: str, device: Device) -> bool:
    known = request.device_class in devices.classes
    return known and all(matches(one, driver, device) is not False for one in _selectors(devices, request))


def _selectors(devices: Devices, request: DeviceSubRequest) -> tuple[str, ...]:
    """List the selectors that a device must match for a request, of its class and its own."""
    own = devices.classes.get(request.device_class, DeviceClass())
    return (*own.selectors, *request.selectors)


def stands_for(devices: Devices, resource: str) -> str:
    """Find the class whose devices are given for a resource that pods ask for by number; empty: there is none.

    Source: Kubernetes 1.37.2, resource.k8s.io/v1, extendedResourceName of a DeviceClass and ResourceDeviceClassPrefix.
    Of several classes the scheduler takes the youngest, of equally old ones the first by name
    (dynamic-resource-allocation/deviceclass/extendedresourcecache).
    """
    if resource.startswith(_IMPLICIT):
        name = resource.removeprefix(_IMPLICIT)
        return name if name in devices.classes else ""
    mapped = [(-one.created, name) for name, one in devices.classes.items() if one.resource == resource]
    return min(mapped)[1] if mapped else ""


def _complete(slices: Iterable[ResourceSlice]) -> Iterable[ResourceSlice]:
    """Yield the slices of the newest generation of every pool of which all slices are there."""
    pools: dict[tuple[str, str], list[ResourceSlice]] = {}
    for one in slices:
        pools.setdefault((one.driver, one.pool), []).append(one)
    for own in pools.values():
        latest = max(one.generation for one in own)
        newest = [one for one in own if one.generation == latest]
        if len(newest) == newest[0].count:
            yield from newest


def _incomplete(slices: Iterable[ResourceSlice]) -> set[str]:
    """Return the nodes of which a pool still lacks slices."""
    whole = {(one.driver, one.pool) for one in _complete(slices)}
    return {one.node for one in slices if (one.driver, one.pool) not in whole}


def _is_unclear(selector: str, drivers: Iterable[tuple[str, Device]]) -> bool:
    """Tell whether it cannot be told of every device if a selector matches it."""
    return any(matches(selector, driver, device) is None for driver, device in drivers)


def _bounds(
    devices: Devices, wanted: Iterable[DeviceSubRequest], slices: list[ResourceSlice], contested: bool
) -> tuple[str, ...]:
    """List the reasons for which fewer pods may fit than are counted."""
    selectors = {one for request in wanted for one in _selectors(devices, request)}
    drivers = [(one.driver, device) for one in slices for device in one.devices]
    reasons = {
        "several requests may want the same devices": contested,
        "devices have conditions, or choose their nodes themselves": any(one.conditional for one in slices),
    }
    unread = [one for one in sorted(selectors) if _is_unclear(one, drivers)]
    told = [f"the selector {one[:80]!r} cannot be read for every device" for one in unread]
    return (*told, *(reason for reason, holds in reasons.items() if holds))
