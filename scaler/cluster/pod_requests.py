"""What a pod asks of a node, from what its containers ask for.

Source: Kubernetes 1.35.4, component-helpers/resource/helpers.go (PodRequests, AggregateContainerRequests).

    containers 4 cores, a sidecar 1 core, then an init container 8 cores: max(4 + 1, 1 + 8) = 9 cores
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from scaler.model.nodes import Amounts, Container, PodResources

NONE: Mapping[str, int] = MappingProxyType({})
POD_LEVEL = ("cpu", "memory", "hugepages-")  # what spec.resources of a pod may speak of


def total(needs: PodResources, filling: Mapping[str, int] = NONE) -> Amounts:
    """Add up what a pod takes from a node: its containers and sidecars together, or an init container that takes more.

    Args:
        needs: of the pod.
        filling: what containers ask for that do not say.
    """
    together: Counter[str] = Counter()
    sidecars: Counter[str] = Counter()
    peak: dict[str, int] = {}
    for container in needs.containers:
        own = {**filling, **dict(container.requests)}
        if container.kind != "init":
            together.update(own)
        if container.kind == "sidecar":
            sidecars.update(own)
        if container.kind != "main":
            peak = greatest(peak, sidecars if container.kind == "sidecar" else sidecars + Counter(own))
    whole = greatest(together, peak)
    whole |= {name: value for name, value in needs.whole if name.startswith(POD_LEVEL)}
    for name, value in needs.overhead:
        whole[name] = whole.get(name, 0) + value
    return by_name({**{name: value for name, value in whole.items() if value > 0}, "pods": 1})


def completed(template: PodResources, pod: PodResources) -> PodResources:
    """Return the needs of the next pod of a template, as admission completed a pod that was made of it.

    What the template states is what the next pod gets: where the pod has something else, it was resized in place. What
    the template does not state, and containers that it does not have, came by admission (defaults, injected sidecars).
    """
    stated = {container.name: container for container in template.containers}

    def next_one(container: Container) -> Container:
        own = stated.get(container.name)
        return (
            container if own is None else replace(own, requests=by_name(dict(container.requests) | dict(own.requests)))
        )

    whole = by_name(dict(pod.whole) | dict(template.whole))
    return PodResources(tuple(next_one(one) for one in pod.containers), whole, pod.overhead or template.overhead)


def greatest(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """Return the greater of each amount."""
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in {*one, *other}}


def by_name(amounts: Mapping[str, int]) -> Amounts:
    """Return amounts as they are kept."""
    return tuple(sorted(amounts.items()))
