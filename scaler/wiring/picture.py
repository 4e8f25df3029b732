"""All that was seen of one ScaledObject at one time: manifests as the API server sends them, and llm-scaler's word.

Nothing is fetched here, and a picture is never changed. What could not be read is in `unread` with the reason, and no
rule takes it for absent: `listed` says None of it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from scaler.model.objects import Manifest

Data = Mapping[str, Any]

EXTERNAL = frozenset({"external", "external-push"})  # types of triggers that may be ours
RECENT = 3600.0  # seconds for which an event counts


@dataclass(frozen=True, slots=True)
class Picture:
    """One ScaledObject, and what has to do with it.

    Attributes:
        namespace: of the ScaledObject.
        name: of the ScaledObject.
        now: when it was taken, in seconds since the epoch.
        objects: manifests by plural, such as "pods"; of one that is not here `unread` says why.
        unread: plural -> why it could not be read.
        decisions: what llm-scaler explains of each trigger; None: it could not be asked.
        refused: llm-scaler's own words for having no decision; empty where it has one.
        warnings: lines of llm-scaler's /readyz?verbose.
        not_explained: why llm-scaler could not be asked.
        reached: what came of a call as KEDA makes it: empty when it was answered; None: not tried.
        pages: name of a pod -> its metrics page.
        longest_generation: seconds that the longest request takes; None: not said.
    """

    namespace: str
    name: str
    now: float
    objects: Mapping[str, Sequence[Manifest]] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    decisions: Sequence[Data] | None = None
    refused: str = ""
    warnings: Sequence[str] = ()
    not_explained: str = ""
    reached: str | None = None
    pages: Mapping[str, str] = field(default_factory=dict)
    longest_generation: float | None = None

    def listed(self, plural: str, namespace: str | None = None) -> Sequence[Manifest] | None:
        """Return the objects of a kind, of one namespace or of all; None where they could not be read."""
        found = self.objects.get(plural)
        if found is None or namespace is None:
            return found
        return [one for one in found if at(one, "metadata", "namespace") == namespace]

    def own(self, plural: str) -> Sequence[Manifest]:
        """Return the objects of a kind in the ScaledObject's namespace; none where they could not be read."""
        return self.listed(plural, self.namespace) or ()

    def is_known(self, plural: str) -> bool:
        """Tell whether all objects of a kind are known; where the cluster has no such kind there are none."""
        return plural in self.objects or self.unread.get(plural, "").startswith("404")

    @property
    def scaled(self) -> Manifest:
        """The ScaledObject; empty if there is none of that name."""
        return named(self.own("scaledobjects"), self.name) or {}

    @property
    def spec(self) -> Manifest:
        """Its spec."""
        return mapping(self.scaled, "spec")

    @property
    def triggers(self) -> list[Manifest]:
        """Its triggers that ask us."""
        return [trigger for trigger in sequence(self.spec, "triggers") if is_ours(trigger)]

    @property
    def target(self) -> tuple[str, str, str]:
        """The apiVersion, kind and name of its scale target, with KEDA's defaults."""
        wanted = mapping(self.spec, "scaleTargetRef")
        kind = wanted.get("kind") or "Deployment"
        return wanted.get("apiVersion") or "apps/v1", kind, str(wanted.get("name", ""))

    @property
    def target_manifest(self) -> Manifest | None:
        """The scale target; None if there is none, or it is of a kind that was not read."""
        return named(self.own("scaletarget"), self.target[2])

    @property
    def hpa(self) -> Manifest | None:
        """The HPA that KEDA made of it."""
        name = at(self.scaled, "status", "hpaName") or f"keda-hpa-{self.name}"
        return named(self.own("horizontalpodautoscalers"), name)

    @property
    def pods(self) -> Sequence[Manifest]:
        """The pods of its scale target."""
        return self.own("targetpods")

    @property
    def ready_pods(self) -> list[Manifest]:
        """Those of its pods that are ready."""
        return [pod for pod in self.pods if condition(pod, "Ready").get("status") == "True"]

    @property
    def service(self) -> tuple[str, str, int] | None:
        """Name, namespace and port that the first trigger's scalerAddress means; None where it names no Service."""
        for trigger in self.triggers:
            host, _, port = scaler_address(trigger).rpartition(":")
            if "/" in host:
                continue
            words = host.split(".")
            in_cluster = len(words) == 1 or len(words) == 2 or words[2:3] == ["svc"]
            if host and port.isdigit() and in_cluster and host != "localhost" and not host[:1].isdigit():
                return words[0], words[1] if len(words) > 1 else "", int(port)
        return None

    def events(self, kind: str, name: str, *reasons: str) -> list[Manifest]:
        """List recent events about an object, newest first."""
        return [
            event
            for event in self.recent(*reasons)
            if at(event, "involvedObject", "kind") == kind and at(event, "involvedObject", "name") == name
        ]

    def recent(self, *reasons: str) -> list[Manifest]:
        """List recent events of its namespace with one of some reasons, or of any; newest first."""
        chosen = [event for event in self.own("events") if not reasons or event.get("reason") in reasons]
        return sorted((one for one in chosen if self.now - last_seen(one) < RECENT), key=last_seen, reverse=True)

    def condition(self, kind: str) -> Manifest:
        """Return a condition of the ScaledObject; empty where there is none."""
        return condition(self.scaled, kind)

    def age(self, manifest: Manifest) -> float | None:
        """Return the seconds since an object was created."""
        created = seconds_of(at(manifest, "metadata", "creationTimestamp"))
        return None if created is None else self.now - created


# ---- reading manifests, which strangers may have written -------------------------------------------------------------


def at(manifest: object, *path: str) -> Any:
    """Return the value below some keys, or None.

    >>> at({"spec": {"replicas": 2}}, "spec", "replicas")
    2
    """
    for key in path:
        if not isinstance(manifest, Mapping):
            return None
        manifest = manifest.get(key)
    return manifest


def mapping(manifest: object, *path: str) -> Manifest:
    """Return the mapping below some keys; empty where there is none."""
    found = at(manifest, *path)
    return found if isinstance(found, Mapping) else {}


def sequence(manifest: object, *path: str) -> list[Manifest]:
    """Return the mappings in the list below some keys."""
    found = at(manifest, *path)
    if not isinstance(found, list):
        return []
    return [item for item in found if isinstance(item, Mapping)]


def named(manifests: Iterable[Manifest], name: str) -> Manifest | None:
    """Return the first manifest of that name."""
    return next((one for one in manifests if name_of(one) == name), None)


def name_of(manifest: Manifest) -> str:
    """Return the name of an object."""
    return str(at(manifest, "metadata", "name") or "")


def condition(manifest: Manifest, kind: str) -> Manifest:
    """Return a condition in the status of an object; empty where there is none."""
    found = sequence(manifest, "status", "conditions")
    return next((one for one in found if one.get("type") == kind), {})


def is_ours(trigger: Manifest) -> bool:
    """Tell whether a trigger asks us: it is external, and names a formula or an expression."""
    keys = {key.removesuffix("FromEnv") for key in mapping(trigger, "metadata")}
    return trigger.get("type") in EXTERNAL and bool(keys & {"formula", "expression"})


def scaler_address(trigger: Manifest) -> str:
    """Return the address of its scaler that a trigger names."""
    return str(at(trigger, "metadata", "scalerAddress") or "")


def containers(pod_spec: Manifest) -> Iterator[Manifest]:
    """Yield the containers of a pod's spec, without those that run before."""
    yield from sequence(pod_spec, "containers")


def takes(selector: object, labels: Manifest) -> bool:
    """Tell whether a label selector (matchLabels, matchExpressions) matches an object's labels; an empty one does."""
    if not all(labels.get(key) == value for key, value in mapping(selector, "matchLabels").items()):
        return False
    return all(_meets(one, labels) for one in sequence(selector, "matchExpressions"))


def _meets(requirement: Manifest, labels: Manifest) -> bool:
    key, values = str(requirement.get("key")), requirement.get("values") or ()
    match requirement.get("operator"):
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case _:
            return key not in labels


def labels_of(manifest: Manifest) -> Manifest:
    """Return the labels of an object."""
    return mapping(manifest, "metadata", "labels")


def seconds_of(text: object) -> float | None:
    """Read a time as Kubernetes writes it, in seconds since the epoch; None for anything else."""
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return None


def last_seen(event: Manifest) -> float:
    """Return when an event happened last; 0 where it does not say."""
    series = at(event, "series", "lastObservedTime")
    when = series or event.get("lastTimestamp") or event.get("eventTime") or at(event, "metadata", "creationTimestamp")
    return seconds_of(when) or 0.0


def whole(value: object, default: int) -> int:
    """Return a number that is to be whole, or the default where it is not given."""
    return value if isinstance(value, int) and not isinstance(value, bool) else default
