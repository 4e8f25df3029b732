"""A trigger's metadata, sorted into what it says. It is data from strangers: bounded, and never an address or a secret.

KEDA sends the whole `metadata` of the trigger with every call, its own keys included, and a key `xFromEnv` whose value
it took from the environment of the workload.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from scaler.model.errors import ConfigError, UnsupportedError
from scaler.model.fields import show
from scaler.model.measurement import TriggerRef, WorkloadKey
from scaler.model.objects import ScaledResource, same_trigger

TRIGGER = "trigger"  # how messages name the place that is not a file
KEDA_KEYS = frozenset({"scalerAddress", "enableTLS", "unsafeSsl"})  # KEDA's own; it sends them along
NOT_YET_KEYS = ("mode",)
MAX_KEYS, MAX_VALUE_LENGTH, MAX_METADATA_LENGTH = 64, 8 * 1024, 16 * 1024

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_DNS_SUBDOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger's metadata, sorted into what it says."""

    key: WorkloadKey
    formula: str | None
    expression: str | None
    given: Mapping[str, str]  # every other key and its value, `xFromEnv` read as `x`


def metric_name(metadata: Mapping[str, str]) -> str:
    """Return the name of the one metric a trigger offers, from its own text alone; never fails.

    It is stable under every edit but that of `formula` itself, since KEDA looks the name up in an HPA that it wrote at
    the last reconcile.
    """
    named = metadata.get("formula") or metadata.get("formulaFromEnv") or ""
    return _plain(named[:60])


@lru_cache(maxsize=1024)
def _plain(named: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", named.lower())[:60].strip("-") or "llm-scaler"


def parse_trigger(request: TriggerRef) -> Trigger:
    """Sort a trigger's metadata. A key with an empty value counts as not given.

    Raises:
        ConfigError: too large, an odd name, both or neither of formula and expression.
        UnsupportedError: a key that is planned and not built yet.
    """
    _bounded(request)
    given: dict[str, str] = {}
    for key, value in request.metadata:
        plain = key.removesuffix("FromEnv") if len(key) > len("FromEnv") else key
        if plain in KEDA_KEYS or not value.strip():
            continue  # what is empty is not given
        if plain in given:
            raise ConfigError(TRIGGER, plain, f"is given twice, as {plain} and as {plain}FromEnv", "one of them")
        given[plain] = value
    for key in NOT_YET_KEYS:
        if key in given:
            raise UnsupportedError(TRIGGER, key)
    formula, expression = given.pop("formula", None), given.pop("expression", None)
    if (formula is None) == (expression is None):
        both = (
            "both formula and expression are given"
            if formula is not None
            else "neither formula nor expression is given"
        )
        raise ConfigError(TRIGGER, "formula", both, "one of them")
    kind = given.pop("kind", "ScaledObject")
    if kind not in {"ScaledObject", "ScaledJob"}:
        raise ConfigError(TRIGGER, "kind", f"{show(kind)} is not allowed", "ScaledObject, ScaledJob")
    identity = given.pop("id", None)
    if identity is not None and not re.fullmatch(r"[\w.-]{1,63}", identity):
        raise ConfigError(
            TRIGGER, "id", f"{show(identity)} is not allowed", "1 to 63 letters, digits, '.', '_' and '-'"
        )
    identity = identity or _digest(formula, expression, given)
    return Trigger(WorkloadKey(request.namespace, request.name, kind, identity), formula, expression, given)


def _bounded(request: TriggerRef) -> None:
    if not _DNS_LABEL.fullmatch(request.namespace):
        raise ConfigError(TRIGGER, "namespace", f"{show(request.namespace)} is not a namespace", "a DNS label")
    if not _DNS_SUBDOMAIN.fullmatch(request.name):
        raise ConfigError(TRIGGER, "name", f"{show(request.name)} is not the name of an object", "a DNS subdomain")
    if len(request.metadata) > MAX_KEYS:
        raise ConfigError(TRIGGER, "metadata", f"has {len(request.metadata)} keys", f"at most {MAX_KEYS}")
    for key, value in request.metadata:
        if len(key) > 128:
            raise ConfigError(TRIGGER, show(key, 40), f"a key of {len(key)} characters", "at most 128")
        if not key.isprintable():
            raise ConfigError(TRIGGER, show(key), "has characters that cannot be printed", "printable characters")
        if len(value) > MAX_VALUE_LENGTH:
            raise ConfigError(TRIGGER, key, f"a value of {len(value)} characters", f"at most {MAX_VALUE_LENGTH}")
    if size(request) > MAX_METADATA_LENGTH:
        raise ConfigError(TRIGGER, "metadata", f"has {size(request)} characters", f"at most {MAX_METADATA_LENGTH}")


def size(request: TriggerRef) -> int:
    """Count the characters of a request's metadata."""
    return sum(len(key) + len(value) for key, value in request.metadata)


def _digest(formula: str | None, expression: str | None, given: Mapping[str, str]) -> str:
    parts = [formula or "", expression or "", *(part for pair in sorted(given.items()) for part in pair)]
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=6).hexdigest()


def refuse_by_value(request: TriggerRef, scaled: ScaledResource | None) -> None:
    """Refuse a trigger whose metricType makes the HPA multiply our replicas by those that there are.

    Of a steady answer of 5 it makes 2 -> 4 -> 8 -> ... -> maxReplicaCount, since what we answer is a number of
    replicas, and `Value` takes it for a ratio.

    Raises:
        ConfigError: the ScaledObject is known, and its metricType is not AverageValue.
    """
    if scaled and any(same_trigger(own, request.metadata) for own in scaled.by_value):
        problem = "is not AverageValue, so the HPA would multiply the replicas by themselves up to maxReplicaCount"
        raise ConfigError("trigger", "metricType", problem, "AverageValue, which is the default: leave it out")
