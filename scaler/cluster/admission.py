"""What the API server's admission adds to the pods of a template, before there is a pod to look at.

    template ─▶ PriorityClass ─▶ LimitRange ─▶ RuntimeClass ─▶ tolerations of scarce resources ─▶ next pod

A class that is not there, a node selector that contradicts a RuntimeClass's, or amounts that a LimitRange does not
allow make the API server refuse the pods, so that there is no place for them at all. What is known to be added is
added. What is usual but cannot be read (ExtendedResourceToleration is on in EKS and GKE) is added where it would
matter, and told, so that no count that rests on it is called exact.

What a namespace's annotations ask for (PodNodeSelector, PodTolerationRestriction, OpenShift's node selector) is told:
it counts only where admission is set to, and pods that are there show it.

Sources: Kubernetes 1.37.2, plugin/pkg/admission/priority/admission.go (of several defaults the lowest is taken),
limitranger/admission.go, runtimeclass/admission.go (scheduling is merged, overhead is set),
extendedresourcetoleration/admission.go (a toleration `key: RESOURCE, operator: Exists` for every extended resource).

A pod asks for nvidia.com/gpu, and all 8 nodes with GPUs carry the taint nvidia.com/gpu: 8 nodes count, "at most", since
admission has to add the toleration.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from scaler.cluster.node_fit import tolerates
from scaler.cluster.pod_requests import total
from scaler.model.amounts import as_written
from scaler.model.nodes import (
    Container,
    LimitRangeDefaults,
    LimitRule,
    NamespaceDefaults,
    NodeSnapshot,
    PodRequirements,
    PodResources,
    PriorityClass,
    ReplicaTemplate,
    RuntimeClass,
    Taint,
    Toleration,
)

UNFILLED = "what LimitRanges let its containers ask for is not known"
_USUAL = frozenset({"cpu", "memory"})
DEVICES = "deviceclass.resource.kubernetes.io/"  # before the name of a class whose devices are asked for by number
_OWN_DOMAIN = "kubernetes.io/"  # of what Kubernetes itself counts, which is no extended resource
_SYSTEM = frozenset({"", "system-node-critical", "system-cluster-critical"})  # always there, or none is named


def completed(
    template: ReplicaTemplate, namespace: str, snapshot: NodeSnapshot | None, taints: Collection[Taint]
) -> ReplicaTemplate:
    """Complete a template as admission completes its pods, as far as objects tell; `taints` are those of its nodes."""
    ranked = _ranked(template, snapshot.priorities if snapshot else None)
    filled = _filled(ranked, namespace, snapshot)
    running = _with_runtime(filled, snapshot.runtime_classes if snapshot else None)
    habit = ((snapshot.namespace_defaults if snapshot else None) or {}).get(namespace)
    return tolerating(_by_habit(running, habit, taints) if habit else running, taints)


def _by_habit(template: ReplicaTemplate, habit: NamespaceDefaults, taints: Collection[Taint]) -> ReplicaTemplate:
    """Note what admission may add for the namespace's sake; nothing tells whether it is set up to."""
    fewer = f"its namespace has the node selector {habit.selector}, which admission may add" if habit.selector else ""
    more = "its namespace has tolerations of its own, which admission may add" if habit.tolerations and taints else ""
    bounds, doubts = (*template.caveats, *filter(None, [fewer])), (*template.doubts, *filter(None, [more]))
    return replace(template, caveats=bounds, doubts=doubts)


def is_extended(resource: str) -> bool:
    """Tell whether a resource is an extended one: a vendor's own, counted in pieces."""
    own = _OWN_DOMAIN in resource and not resource.startswith(DEVICES)
    return "/" in resource and not own and not resource.startswith("requests.")


def taints_of(snapshot: NodeSnapshot | None) -> frozenset[Taint]:
    """Return the taints of all nodes; they are gathered once for all templates."""
    nodes = (snapshot.nodes or {}) if snapshot else {}
    return frozenset(taint for node in nodes.values() for taint in node.taints)


def tolerating(template: ReplicaTemplate, taints: Collection[Taint]) -> ReplicaTemplate:
    """Add the tolerations that ExtendedResourceToleration adds, where nodes carry such taints."""
    changed: list[tuple[PodRequirements, int]] = []
    assumed: list[str] = []
    for shape, count in template.pods:
        asked = [resource for resource, _ in shape.requests if is_extended(resource)]
        missing = [resource for resource in asked if _in_the_way(shape, resource, taints)]
        assumed += missing
        added = tuple(Toleration(resource, "Exists") for resource in missing)
        changed.append((replace(shape, tolerations=(*shape.tolerations, *added)), count))
    told = tuple(
        f"that admission lets pods which ask for {resource} pass its taint is assumed"
        for resource in dict.fromkeys(assumed)
    )
    return replace(template, pods=tuple(changed), assumed=told) if assumed else template


def _in_the_way(shape: PodRequirements, resource: str, taints: Iterable[Taint]) -> bool:
    """Tell whether a taint that is named like a resource keeps off pods that ask for it."""
    own = (taint for taint in taints if taint.key == resource and taint.effect != "PreferNoSchedule")
    return any(not tolerates(shape, taint) for taint in own)


def _ranked(template: ReplicaTemplate, classes: Mapping[str, PriorityClass] | None) -> ReplicaTemplate:
    """Set the priority that admission gives the pods, as far as that is known."""
    if all(shape.priority is not None for shape, _ in template.pods):
        return template
    if classes is None:
        named = sorted({shape.priority_class for shape, _ in template.pods if shape.priority is None} - _SYSTEM)
        doubts = tuple(f"whether there is a PriorityClass {name} is not known" for name in named)
        return replace(template, caveats=(*template.caveats, *doubts))
    default = min((one for one in classes.values() if one.default), key=lambda one: one.value, default=PriorityClass(0))

    def ranked(shape: PodRequirements) -> PodRequirements:
        found = classes.get(shape.priority_class) if shape.priority_class else default
        if shape.priority is not None or found is None:
            return shape
        return replace(shape, priority=found.value, preempts=shape.preempts and found.preempts)

    absent = sorted({shape.priority_class for shape, _ in template.pods} - classes.keys() - {""})
    told = [f"there is no PriorityClass {name}, so its pods are refused" for name in absent]
    pods = tuple((ranked(shape), count) for shape, count in template.pods)
    return _refused(replace(template, pods=pods), told)


def _refused(template: ReplicaTemplate, told: Iterable[str]) -> ReplicaTemplate:
    """Note what makes the API server refuse the pods."""
    return replace(template, refused_reason="; ".join(dict.fromkeys([*filter(None, [template.refused_reason]), *told])))


def _filled(template: ReplicaTemplate, namespace: str, snapshot: NodeSnapshot | None) -> ReplicaTemplate:
    """Fill in the requests and limits that LimitRanges give to containers that do not say them."""
    fillings = snapshot.limit_ranges if snapshot else None
    if not template.resources:
        return template
    if fillings is None:
        silent = any(_USUAL - dict(one.requests).keys() for needs in template.resources for one in needs.containers)
        return replace(template, caveats=(*template.caveats, UNFILLED)) if silent else template
    found = fillings.get(namespace)
    if found is None:
        return template
    pairs = zip(template.pods, template.resources, strict=True)
    differ = (f"LimitRanges differ in {name}, and the least is counted" for name in found.unsure)
    filled = replace(
        template,
        pods=tuple((replace(shape, requests=total(needs, found.requests)), count) for (shape, count), needs in pairs),
        caveats=(*template.caveats, *differ),
    )
    return _refused(filled, (told for needs in template.resources for told in _beyond(needs, found)))


def _beyond(needs: PodResources, filling: LimitRangeDefaults) -> Iterator[str]:
    """Yield the LimitRanges that do not allow what a pod asks for."""
    for rule in filling.rules:
        if rule.per == "Pod" and not needs.whole:
            named = {name for one in needs.containers for name in _limits(one, filling)}
            together = {name: _sum_of_limits(needs, filling, name) for name in named}
            yield from _broken(rule, dict(total(needs, filling.requests)), together)
        for one in needs.containers if rule.per == "Container" else ():
            yield from _broken(rule, {**filling.requests, **dict(one.requests)}, _limits(one, filling))


def _limits(container: Container, filling: LimitRangeDefaults) -> dict[str, int]:
    return {**filling.limits, **dict(container.limits)}


def _sum_of_limits(needs: PodResources, filling: LimitRangeDefaults, name: str) -> int:
    """Return the limit of a pod: the sum of its containers', or an init container's that is larger."""
    stay = sum(_limits(one, filling).get(name, 0) for one in needs.containers if one.kind != "init")
    return max([stay, *(_limits(one, filling).get(name, 0) for one in needs.containers if one.kind == "init")])


def _broken(rule: LimitRule, requests: Mapping[str, int], limits: Mapping[str, int]) -> Iterator[str]:
    """Yield what a LimitRange refuses.

    Source: Kubernetes 1.37.2, plugin/pkg/admission/limitranger/admission.go (minConstraint, maxConstraint,
    limitRequestRatioConstraint).
    """
    head = f"LimitRange {rule.name} refuses its pods:"
    for name, least in rule.least.items():
        if min(requests.get(name, 0), limits.get(name, least)) < least:
            yield f"{head} a {rule.per} asks for at least {as_written(name, least)} {name}"
    for name, most in rule.most.items():
        if name not in limits or max(requests.get(name, 0), limits[name]) > most:
            yield f"{head} a {rule.per} has a limit of at most {as_written(name, most)} {name}"
    for name, ratio in rule.ratio.items():
        if not limits.get(name) or limits[name] * 1000 > ratio * requests.get(name, 0):
            yield f"{head} a {rule.per} has a limit of at most {ratio / 1000:g} times its request of {name}"


def _with_runtime(template: ReplicaTemplate, classes: Mapping[str, RuntimeClass] | None) -> ReplicaTemplate:
    """Add what the RuntimeClass of the pods adds: overhead, a node selector, tolerations."""
    named = {shape.runtime_class for shape, _ in template.pods if shape.runtime_class}
    if not named:
        return template
    if classes is None:
        adds = tuple(f"what RuntimeClass {name} adds is not known" for name in sorted(named))
        return replace(template, doubts=(*template.doubts, *adds))
    unknown = sorted(named - classes.keys())
    told: list[str] = [f"there is no RuntimeClass {name}, so its pods are refused" for name in unknown]
    for shape, _ in template.pods:
        own, wanted = dict(shape.selector), classes.get(shape.runtime_class, RuntimeClass()).selector
        contrary = [f"{key}={value}" for key, value in wanted if own.get(key, value) != value]
        told.extend(f"RuntimeClass {shape.runtime_class} wants {label}, so its pods are refused" for label in contrary)
    pods = tuple((_running(shape, classes.get(shape.runtime_class)), count) for shape, count in template.pods)
    return _refused(replace(template, pods=pods), told)


def _running(shape: PodRequirements, found: RuntimeClass | None) -> PodRequirements:
    """Return the requirements of a pod that runs by a RuntimeClass."""
    if found is None:
        return shape
    asked = dict(shape.requests)
    for resource, amount in found.overhead:
        asked[resource] = asked.get(resource, 0) + amount
    return replace(
        shape,
        requests=tuple(sorted(asked.items())),
        selector=tuple(sorted((dict(shape.selector) | dict(found.selector)).items())),
        tolerations=(*shape.tolerations, *(one for one in found.tolerations if one not in shape.tolerations)),
    )
