"""The ScaledObject to paste for a scale target, with a reason for each line.

KServe's LLMInferenceService is scaled by KServe itself, which makes a ScaledObject of `spec.scaling`: for it the same
values are written there.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from scaler.wiring.behavior import behavior_for
from scaler.wiring.targets import TargetKind

SHORTEST_COOLDOWN = 300  # seconds; KEDA's own
POLL = {True: 30, False: 5}  # seconds between two polls: where others ask or push too, and where nobody does
COLUMN = 64  # where comments begin, if the line is not longer
_PLAIN = re.compile(r"[A-Za-z][\w./-]*")

YamlNode = tuple[str, "object", str]  # key, value (a scalar, a mapping in one line, or nodes), and why


@dataclass(frozen=True, slots=True)
class Wanted:
    """The wishes for a ScaledObject.

    Attributes:
        kind: of the scale target.
        name: of the scale target, and of the ScaledObject.
        namespace: of both.
        metadata: of the trigger, in order: formula or expression first.
        minimum: replicas at least; 0: it may sleep.
        maximum: replicas at most.
        address: scalerAddress.
        push: whether llm-scaler may wake it without being polled.
        with_policy: whether the formula has a policy, which then owns the timing.
        startup: seconds that a replica took to start; None: not known.
        authentication: name of the ClusterTriggerAuthentication for TLS; empty: none.
        why: a reason for a key of the metadata.
        role: of an LLMInferenceService: "prefill", or empty for its main (decode) pods.
    """

    kind: TargetKind
    name: str
    namespace: str
    metadata: Mapping[str, str]
    minimum: int = 1
    maximum: int = 10
    address: str = "llm-scaler.keda:6000"
    push: bool = True
    with_policy: bool = False
    startup: float | None = None
    authentication: str = ""
    why: Mapping[str, str] = field(default_factory=dict)
    role: str = ""


def written(wanted: Wanted) -> str:
    """Return the YAML."""
    spec = _scaling(wanted) if wanted.kind.by_kserve else _spec(wanted)
    version = wanted.kind.version if wanted.kind.by_kserve else "keda.sh/v1alpha1"
    head: list[YamlNode] = [
        ("apiVersion", version, ""),
        ("kind", wanted.kind.kind if wanted.kind.by_kserve else "ScaledObject", ""),
        ("metadata", {"name": wanted.name, "namespace": wanted.namespace}, ""),
        ("spec", spec, ""),
    ]
    return "\n".join([*_preface(wanted), *_lines(head, 0)]) + "\n"


def _preface(wanted: Wanted) -> list[str]:
    if not wanted.kind.by_kserve:
        return []
    target = f"{wanted.kind.kind.lower()} {wanted.name}"
    return [
        "# KServe makes the ScaledObject of this; it replaces spec.replicas:",
        f"#   kubectl -n {wanted.namespace} patch {target} --type merge --patch-file FILE",
    ]


def _spec(wanted: Wanted) -> list[YamlNode]:
    ref = {"apiVersion": wanted.kind.version, "kind": wanted.kind.kind, "name": wanted.name}
    plain = wanted.kind.kind == "Deployment"
    least = "it may sleep; a gateway that holds requests has to wake it" if not wanted.minimum else "never fewer"
    return [
        ("scaleTargetRef", {"name": wanted.name} if plain else ref, f"one replica is {wanted.kind.replica}"),
        ("minReplicaCount", wanted.minimum, least),
        ("maxReplicaCount", wanted.maximum, "never more, whatever is asked for"),
        *_keda(wanted),
        ("advanced", [_horizontal(wanted)], ""),
        ("triggers", _trigger(wanted), ""),
    ]


def _scaling(wanted: Wanted) -> list[YamlNode]:
    """Write the scaling of an LLMInferenceService, of its main pods or of those that prefill."""
    idle: list[YamlNode] = []
    if not wanted.minimum:
        idle = [("idleReplicaCount", 0, "it may sleep; KServe wants minReplicas 1 or more, and this for zero")]
    keda: list[YamlNode] = [
        *idle,
        *_keda(wanted),
        ("advanced", [_horizontal(wanted)], ""),
        ("triggers", _trigger(wanted), "any of KEDA's"),
    ]
    scaling: list[YamlNode] = [
        ("minReplicas", max(wanted.minimum, 1), "never fewer while there is work"),
        ("maxReplicas", wanted.maximum, "never more, whatever is asked for"),
        ("keda", keda, ""),
    ]
    block: list[YamlNode] = [("scaling", scaling, "")]
    return [("prefill", block, "")] if wanted.role == "prefill" else block


def _keda(wanted: Wanted) -> Iterator[YamlNode]:
    """Yield what is KEDA's to do: polls, the way to zero, and outages."""
    asks = wanted.push or wanted.minimum > 0
    reason = "the first request waits for a poll"
    if asks:
        reason = "llm-scaler pushes: a poll only confirms" if wanted.push else "above 0 the HPA asks by itself"
    yield "pollingInterval", POLL[asks], reason
    cooldown = cooldown_for(wanted.startup)
    took = "not below the start-up of a replica" if wanted.startup is None else f"a replica took {wanted.startup:.0f} s"
    if not wanted.minimum:
        yield "cooldownPeriod", cooldown, f"to 0 only after as long a quiet; {took}"
        yield "initialCooldownPeriod", cooldown, "so also when it was never active; KEDA's own is 0"
    fallback = {"failureThreshold": 3, "replicas": max(wanted.minimum, 1), "behavior": "currentReplicasIfHigher"}
    yield "fallback", fallback, "an outage takes nothing away"


def _horizontal(wanted: Wanted) -> YamlNode:
    behavior = behavior_for(with_policy=wanted.with_policy, most=wanted.maximum)
    whys = {
        "scaleUp": "the HPA's 10 % would swallow 10 -> 11",
        "scaleDown": "the answer itself falls at a pace: 10 % a minute",
    }
    if wanted.with_policy:
        whys = dict.fromkeys(whys, "the policy owns the timing: the HPA stands aside")
    nodes: list[YamlNode] = [("behavior", [(key, value, whys[key]) for key, value in behavior.items()], "")]
    return "horizontalPodAutoscalerConfig", nodes, ""


def _trigger(wanted: Wanted) -> Sequence[Sequence[YamlNode]]:
    metadata: list[YamlNode] = [
        ("scalerAddress", wanted.address, wanted.why.get("scalerAddress", "Service and namespace of llm-scaler"))
    ]
    metadata += [(key, Text(value), wanted.why.get(key, "")) for key, value in wanted.metadata.items()]
    why = "wakes it at once" if wanted.push else "it is asked"
    nodes: list[YamlNode] = [
        ("type", "external-push" if wanted.push else "external", f"{why}; metricType is left out: AverageValue"),
        ("metadata", metadata, ""),
    ]
    if wanted.authentication:
        ref = {"name": wanted.authentication, "kind": "ClusterTriggerAuthentication"}
        nodes.append(("authenticationRef", ref, "certificates for TLS"))
    return [nodes]


def cooldown_for(startup: float | None) -> int:
    """Return the seconds of quiet before zero: KEDA's 300, or in whole minutes what a replica takes to start.

    >>> cooldown_for(421.0)
    480
    """
    return SHORTEST_COOLDOWN if startup is None else max(SHORTEST_COOLDOWN, 60 * math.ceil(startup / 60))


# ---- YAML ------------------------------------------------------------------------------------------------------------


class Text(str):
    """A value that KEDA wants as text, whatever it looks like."""

    __slots__ = ()


def _lines(nodes: Sequence[YamlNode], depth: int) -> Iterator[str]:
    indent = "  " * depth
    for key, value, why in nodes:
        if isinstance(value, list) and value and isinstance(value[0], tuple):
            yield _commented(f"{indent}{key}:", why)
            yield from _lines(value, depth + 1)
        elif isinstance(value, list):
            yield _commented(f"{indent}{key}:", why)
            yield from _items(value, indent, depth)
        else:
            yield _commented(f"{indent}{key}: {_scalar(value)}", why)


def _items(items: Sequence[Sequence[YamlNode]], indent: str, depth: int) -> Iterator[str]:
    """Write a list: the first line of each item has the dash."""
    for item in items:
        first, *rest = _lines(item, depth + 1)
        yield f"{indent}- {first[len(indent) + 2 :]}"
        yield from rest


def _commented(line: str, why: str) -> str:
    return f"{line:<{COLUMN}}  # {why}" if why else line


def _scalar(value: object) -> str:
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_scalar(each)}' for key, each in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_scalar, value))}]"
    if isinstance(value, str) and (isinstance(value, Text) or not _PLAIN.fullmatch(value)):
        return json.dumps(str(value), ensure_ascii=False)
    return str(value)
