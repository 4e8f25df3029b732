"""Nodes, pods and quotas as JSON -> what the scheduler looks at in them. Pure.

Source of the sums: Kubernetes 1.35.4, component-helpers/resource/helpers.go (PodRequests, AggregateContainerRequests,
determineEffectiveRequests), kubernetes/pkg/apis/core/v1/defaults.go (SetDefaults_Pod: a limit without a request is
the request; a template has not been through that yet) and plugin/pkg/admission/limitranger/admission.go.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from functools import lru_cache
from sys import intern
from typing import Literal

from scaler.cluster.node_fit import selector_matches
from scaler.cluster.pod_requests import POD_LEVEL, by_name, greatest, total
from scaler.model.nodes import (
    Amounts,
    AntiAffinityTerm,
    Container,
    Labels,
    LimitRange,
    LimitRule,
    NamespaceDefaults,
    Node,
    PodRequirements,
    PodResources,
    PriorityClass,
    Reach,
    Requirement,
    ResourceQuota,
    RuntimeClass,
    Taint,
    Term,
    Toleration,
)
from scaler.model.objects import Manifest

ContainerKind = Literal["main", "sidecar", "init"]

_LONGEST = 1000  # characters of a container's name or image that are kept
MOST = 10**24  # of anything: more than there is, and a number that can still be written

DEFAULT_SCHEDULER = "default-scheduler"

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_QUANTITY = re.compile(r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?")
_SCALE = {"n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3")} | {
    letters: Decimal(base**power)
    for power, pair in enumerate((("k", "Ki"), ("M", "Mi"), ("G", "Gi"), ("T", "Ti"), ("P", "Pi"), ("E", "Ei")), 1)
    for letters, base in zip(pair, (1000, 1024), strict=True)
}


@lru_cache(10_000)
def parse_quantity(resource: str, written: str | float) -> int:
    """Read a quantity in the units of `scaler.model.nodes`, rounded up as the scheduler does, of at most MOST.

    Raises:
        ValueError: it is none.
    """
    found = _QUANTITY.fullmatch(str(written))
    try:
        value = Decimal(found[1]) if found else None
    except InvalidOperation:
        value = None
    if found is None or value is None:
        raise ValueError(f"{written!r:.80} is no quantity")
    if not value:
        return 0
    if value.adjusted() > 24:  # strangers choose the power of ten, which is not worked out
        return MOST if value > 0 else -MOST
    scaled = value * _SCALE.get(found[2] or "", Decimal(1)) * (1000 if resource == "cpu" else 1)
    return max(-MOST, min(int(scaled.to_integral_value(ROUND_CEILING)), MOST))


def read_node(raw: Manifest) -> Node:
    """Read a node."""
    meta, spec, status = raw["metadata"], raw.get("spec", {}), raw.get("status", {})
    ready = (one.get("status") for one in status.get("conditions") or () if one["type"] == "Ready")
    return Node(
        name=meta["name"],
        labels={
            intern(key): intern(value) for key, value in (meta.get("labels") or {}).items()
        },  # most nodes share them
        taints=tuple(read_taint(one) for one in spec.get("taints") or ()),
        allocatable=amounts(status.get("allocatable")),
        ready=next(ready, "True") == "True",
        unschedulable=bool(spec.get("unschedulable")),
        provider=spec.get("providerID") or "",
    )


def read_shape(spec: Manifest, labels: Manifest, status: Manifest | None = None) -> PodRequirements:
    """Read what a pod, or a pod template, asks for.

    Args:
        spec: of the pod.
        labels: of the pod.
        status: of a pod on a node, since its resources may have been changed there.
    """
    affinity = spec.get("affinity") or {}
    required = (affinity.get("nodeAffinity") or {}).get(_REQUIRED)
    claims: Iterable[Manifest] = spec.get("resourceClaims") or ()
    apart = tuple(_apart(one) for one in _anti_affinity(spec))
    terms = tuple(_term(one) for one in (required or {}).get("nodeSelectorTerms") or ())
    return PodRequirements(
        requests=_held(spec, status) if status and _differs(spec, status) else total(read_needs(spec)),
        selector=_pairs(spec.get("nodeSelector")),
        affinity=None if required is None else terms,
        tolerations=tuple(read_toleration(one) for one in spec.get("tolerations") or ()),
        host_ports=_ports(spec),
        claim_templates=tuple(sorted(filter(None, (one.get("resourceClaimTemplateName") for one in claims)))),
        anti_affinity=apart,
        excludes_itself=any(one.same_namespace_by_host and selector_matches(one.term, labels) for one in apart),
        priority=spec.get("priority"),
        priority_class=spec.get("priorityClassName") or "",
        preempts=spec.get("preemptionPolicy") != "Never",
        runtime_class="" if "overhead" in spec or status is not None else spec.get("runtimeClassName") or "",
        scheduler="" if spec.get("schedulerName") in {None, "", DEFAULT_SCHEDULER} else str(spec["schedulerName"]),
        caveats=tuple(_bounds(spec, apart)),
    )


def read_quota(raw: Manifest) -> ResourceQuota:
    """Read a ResourceQuota."""
    spec, status = raw["spec"], raw.get("status", {})
    scoped = bool(spec.get("scopes") or spec.get("scopeSelector"))
    return ResourceQuota(raw["metadata"]["name"], amounts(status.get("hard")), amounts(status.get("used")), scoped)


def read_priority_class(raw: Manifest) -> PriorityClass:
    """Read a PriorityClass."""
    preempts = raw.get("preemptionPolicy") != "Never"
    return PriorityClass(int(raw["value"]), preempts, bool(raw.get("globalDefault")))


_SELECTORS = ("openshift.io/node-selector", "scheduler.alpha.kubernetes.io/node-selector")
_TOLERATIONS = "scheduler.alpha.kubernetes.io/defaultTolerations"


def read_namespace(raw: Manifest) -> NamespaceDefaults | None:
    """Read what a namespace has admission add to its pods; None for nothing, as for nearly all.

    Source: Kubernetes 1.37.2, plugin/pkg/admission/podnodeselector and podtolerationrestriction; OpenShift's own is on.
    """
    annotations = raw["metadata"].get("annotations") or {}
    selectors = [str(annotations[name]) for name in _SELECTORS if annotations.get(name)]
    added = str(annotations.get(_TOLERATIONS) or "").strip()
    known = NamespaceDefaults(", ".join(selectors)[:_LONGEST], "" if added == "[]" else added[:_LONGEST])
    return known if known != NamespaceDefaults() else None


def read_runtime_class(raw: Manifest) -> RuntimeClass:
    """Read a RuntimeClass."""
    scheduling = raw.get("scheduling") or {}
    return RuntimeClass(
        overhead=by_name(amounts((raw.get("overhead") or {}).get("podFixed"))),
        selector=_pairs(scheduling.get("nodeSelector")),
        tolerations=tuple(read_toleration(one) for one in scheduling.get("tolerations") or ()),
    )


def read_limit_range(raw: Manifest) -> LimitRange:
    """Read a LimitRange, with the defaults that the API server fills in.

    Source: Kubernetes 1.37.2, pkg/apis/core/v1/defaults.go (SetDefaults_LimitRangeItem).
    """
    requests: dict[str, int] = {}
    limits: dict[str, int] = {}
    rules = []
    for one in raw["spec"].get("limits") or ():
        least, most = amounts(one.get("min")), amounts(one.get("max"))
        ratio = {name: parse_quantity("cpu", value) for name, value in (one.get("maxLimitRequestRatio") or {}).items()}
        rules.append(LimitRule(str(raw["metadata"]["name"]), str(one.get("type")), least, most, ratio))
        if one.get("type") == "Container":
            own = {**most, **amounts(one.get("default"))}
            limits |= own
            requests |= {**least, **own, **amounts(one.get("defaultRequest"))}
    return LimitRange(requests, limits, tuple(rules))


def amounts(raw: Manifest | None) -> dict[str, int]:
    """Read a list of resources."""
    return {intern(name): parse_quantity(name.removeprefix("requests."), value) for name, value in (raw or {}).items()}


def read_needs(spec: Manifest) -> PodResources:
    """Read what the requests of a pod are made of, as its spec says."""
    return _needs(spec, lambda container: _asked(container.get("resources")))


def _needs(spec: Manifest, of: Callable[[Manifest], Mapping[str, int]]) -> PodResources:
    """Return what a pod is made of, where `of` says what each of its containers has."""

    def read(container: Manifest, kind: ContainerKind) -> Container:
        name, image = (intern(str(container.get(key, ""))[:_LONGEST]) for key in ("name", "image"))
        limits = by_name(amounts((container.get("resources") or {}).get("limits")))
        return Container(by_name(of(container)), kind, name, image, limits)

    main = [read(one, "main") for one in spec.get("containers") or ()]
    first = spec.get("initContainers") or ()
    initial = [read(one, "sidecar" if one.get("restartPolicy") == "Always" else "init") for one in first]
    whole = _asked(spec.get("resources"))
    return PodResources((*main, *initial), by_name(whole), by_name(amounts(spec.get("overhead"))))


def _held(spec: Manifest, status: Manifest) -> Amounts:
    """Return what a pod on a node holds: the most of what it asks for, was given and has, if it was resized there.

    A request that its node can never fulfil counts for nothing; then only what it was given and has counts.

    Source: Kubernetes 1.37.2, component-helpers/resource/helpers.go (AggregateContainerRequests, PodRequests); up to
    1.36 the most was taken of each container by itself, which is more where two are resized at once.
    """
    stuck = _infeasible(status)
    stated = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    states: dict[str, Manifest] = {one["name"]: one for one in stated}

    def given(container: Manifest) -> Mapping[str, int]:
        amount_given = states.get(container.get("name", ""), {}).get("allocatedResources")
        if amount_given is not None:
            return amounts(amount_given)
        return {} if stuck else _asked(container.get("resources"))

    def has(container: Manifest) -> Mapping[str, int]:
        known = (states.get(container.get("name", ""), {}).get("resources") or {}).get("requests")
        return given(container) if known is None else amounts(known)

    together = (status.get("resources") or {}).get("requests")
    if status.get("allocatedResources") is not None and together is not None:
        views = [amounts(status["allocatedResources"]), amounts(together)]
    else:
        views = [dict(total(replace(_needs(spec, of), whole=(), overhead=()))) for of in (given, has)]
    needs = read_needs(spec)
    found = {} if stuck else dict(total(replace(needs, whole=(), overhead=())))
    for view in views:
        found = greatest(found, view)
    found |= {name: value for name, value in _whole(spec, status, stuck).items() if name.startswith(POD_LEVEL)}
    for name, value in needs.overhead:
        found[name] = found.get(name, 0) + value
    return by_name({**{name: value for name, value in found.items() if value > 0}, "pods": 1})


def _differs(spec: Manifest, status: Manifest) -> bool:
    """Tell whether a pod has, or was given, anything else than its spec asks for; nearly all have what they ask for."""
    if status.get("resources") or status.get("allocatedResources") or _infeasible(status):
        return True
    containers = (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))
    asked = {one.get("name"): (one.get("resources") or {}).get("requests") for one in containers}
    stated = (*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ()))
    for state in stated:
        known = (state.get("allocatedResources"), (state.get("resources") or {}).get("requests"))
        if any(one is not None and one != asked.get(state.get("name")) for one in known):
            return True
    return False


def _whole(spec: Manifest, status: Manifest, stuck: bool) -> dict[str, int]:
    """Return the requests of a pod as a whole, which may have been resized while it runs."""
    asked, has = _asked(spec.get("resources")), status.get("resources")
    if not asked or has is None:
        return asked
    given = greatest(amounts(has.get("requests")), amounts(status.get("allocatedResources")))
    return given if stuck else greatest(asked, given)


def _asked(resources: Manifest | None) -> dict[str, int]:
    """Return the requests of a container; what has only a limit requests that."""
    resources = resources or {}
    return {**amounts(resources.get("limits")), **amounts(resources.get("requests"))}


def _infeasible(status: Manifest) -> bool:
    """Tell whether a resize was asked for that the node can never give."""
    pending = (one for one in status.get("conditions") or () if one["type"] == "PodResizePending")
    return next((one.get("reason") == "Infeasible" for one in pending), False)


def _ports(spec: Manifest) -> tuple[tuple[str, str, int], ...]:
    sidecars = (one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always")
    ports = (port for one in (*(spec.get("containers") or ()), *sidecars) for port in one.get("ports") or ())
    host = bool(spec.get("hostNetwork"))  # then the API server makes every port of a pod one of its host
    asked = ((port, port.get("hostPort") or (port["containerPort"] if host else 0)) for port in ports)
    taken = ((port.get("protocol") or "TCP", _address(port), number) for port, number in asked if number)
    return tuple(sorted(set(taken)))


def _address(port: Manifest) -> str:
    """Return the address of a host port; empty for all of them."""
    written = port.get("hostIP") or ""
    return "" if written == "0.0.0.0" else written  # noqa: S104


def _bounds(spec: Manifest, apart: Iterable[AntiAffinityTerm]) -> Iterable[str]:
    """List what a pod asks for that is not counted here; each can only leave fewer places."""
    if ((spec.get("affinity") or {}).get("podAffinity") or {}).get(_REQUIRED):
        yield "pod affinity is not counted"
    if not all(one.same_namespace_by_host for one in apart):
        yield "pod anti-affinity is counted only within a namespace, by host"
    if any(one.get("whenUnsatisfiable") == "DoNotSchedule" for one in spec.get("topologySpreadConstraints") or ()):
        yield "topology spread is not counted"
    if any("persistentVolumeClaim" in one or "ephemeral" in one for one in spec.get("volumes") or ()):
        yield "where its volumes can be attached is not counted"
    if any(one.get("resourceClaimName") for one in spec.get("resourceClaims") or ()):
        yield "a ResourceClaim that all its pods share is not counted"
    scheduler = spec.get("schedulerName") or DEFAULT_SCHEDULER
    if scheduler != DEFAULT_SCHEDULER:
        yield f"what else {scheduler} asks before it places pods is not counted"
    if spec.get("workloadRef") or spec.get("schedulingGroup"):
        yield "that its pods are placed with others of their group, or none of them, is not counted"
    if spec.get("schedulingGates"):
        yield "when its pods are let in to the scheduler is not counted"


def _anti_affinity(spec: Manifest) -> Iterable[Manifest]:
    """Yield the terms of a required pod anti-affinity that mean any pod at all."""
    terms = ((spec.get("affinity") or {}).get("podAntiAffinity") or {}).get(_REQUIRED) or ()
    return (term for term in terms if term.get("labelSelector") is not None)


def _apart(raw: Manifest) -> AntiAffinityTerm:
    """Read a term of it. What its matchLabelKeys come to is different for every revision of a workload."""
    among, by_key = raw.get("namespaceSelector"), raw.get("matchLabelKeys") or raw.get("mismatchLabelKeys")
    everywhere = among is not None and not any(among.values())
    reach: Reach = "some" if by_key or (among and not everywhere) else "all" if everywhere else "named"
    return AntiAffinityTerm(
        _selector(raw["labelSelector"]), raw["topologyKey"], tuple(sorted(raw.get("namespaces") or ())), reach
    )


def _selector(raw: Manifest) -> Term:
    labels = (Requirement(key, "In", (value,)) for key, value in _pairs(raw.get("matchLabels")))
    return (*labels, *(read_requirement(one) for one in raw.get("matchExpressions") or ()))


def read_taint(raw: Manifest) -> Taint:
    """Read a taint."""
    return Taint(raw["key"], raw.get("value") or "", raw["effect"])


def read_toleration(raw: Manifest) -> Toleration:
    """Read a toleration."""
    return Toleration(
        raw.get("key") or "", raw.get("operator") or "Equal", raw.get("value") or "", raw.get("effect") or ""
    )


def _term(raw: Manifest) -> Term:
    labels = (read_requirement(one) for one in raw.get("matchExpressions") or ())
    return (*labels, *(read_requirement(one, field=True) for one in raw.get("matchFields") or ()))


def read_requirement(raw: Manifest, field: bool = False) -> Requirement:
    """Read an expression about a label; with `field`, about a field of a node."""
    return Requirement(raw["key"], raw["operator"], tuple(raw.get("values") or ()), field)


def _pairs(raw: Manifest | None) -> Labels:
    return tuple(sorted((raw or {}).items()))


def parse_time(text: str | None) -> float | None:
    """Read a time as Kubernetes writes it, in seconds since the epoch; None where it is not known."""
    try:
        return datetime.fromisoformat(text).timestamp() if text else None
    except (ValueError, OverflowError):  # the first and the last year have no such number everywhere
        return None
