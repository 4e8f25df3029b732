"""Candidates: the object as it is with a few words changed, and the settings that `--suggest` tries.

queue-depth target=4          another formula, with its parameters
target=4 cooldownPeriod=600   the same triggers with other keys; keys of the ScaledObject itself go there
"""

import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scaler.model.errors import ConfigError

OBJECT_KEYS = ("minReplicaCount", "maxReplicaCount", "idleReplicaCount", "cooldownPeriod", "pollingInterval")
HPA_KEYS = {"minReplicaCount": "minReplicas", "maxReplicaCount": "maxReplicas"}
GOALS = ("target", "threshold", "value", "targetValue", "averageValue")  # what `--suggest` makes smaller and larger
FACTORS = (0.5, 0.7, 0.85, 1.0, 1.25, 1.6, 2.2)
COOLDOWNS = (60, 300, 900)  # seconds
WINDOWS = (60, 300, 900)  # seconds of scaleDown.stabilizationWindowSeconds
FORMULAS = frozenset({"external", "external-push"})


def edited(tree: Mapping[str, Any], words: Sequence[str], address: str = "llm-scaler.keda:6000") -> dict[str, Any]:
    """Change an object as a candidate says.

    Args:
        tree: the object.
        words: a formula's name, if any, and KEY=VALUE.
        address: of llm-scaler, for an object that did not ask it before.

    Raises:
        ConfigError: a word that is neither, or a key that has no place.
    """
    new: dict[str, Any] = copy.deepcopy(dict(tree))
    names = [word for word in words if "=" not in word]
    if len(names) > 1:
        raise ConfigError(
            "argument", "--formula", f"names two formulas, {names[0]} and {names[1]}", "NAME KEY=VALUE ..."
        )
    pairs = dict(word.split("=", 1) for word in words if "=" in word)
    spec = new.setdefault("spec", {})
    own = {key: pairs.pop(key) for key in OBJECT_KEYS if key in pairs}
    hpa = new.get("kind") == "HorizontalPodAutoscaler"
    for key, value in own.items():
        spec[HPA_KEYS.get(key, key) if hpa else key] = _number(value)
    if names and hpa:
        problem = "is for a ScaledObject, and this is an HPA"
        raise ConfigError("argument", "--formula", problem, "--candidate FILE with a ScaledObject")
    if names:
        spec["triggers"] = [_asking(spec.get("triggers") or [], names[0], pairs, address)]
        advanced = spec.get("advanced")
        if isinstance(advanced, dict):
            advanced.pop("scalingModifiers", None)
    elif pairs:
        _set_in_triggers(spec, pairs)
    return new


def _number(value: str) -> Any:
    return int(value) if value.isdigit() else value


def _asking(triggers: Sequence[Mapping[str, Any]], name: str, pairs: Mapping[str, str], address: str) -> dict[str, Any]:
    """Make a trigger that asks for a formula; it keeps what a trigger of ours said before."""
    ours = next((one for one in triggers if one.get("type") in FORMULAS), None)
    if ours is None:
        return {"type": "external", "metadata": {"scalerAddress": address, "formula": name, **pairs}}
    kept = {key: value for key, value in ours["metadata"].items() if key not in {"expression", "formula"}}
    if ours["metadata"].get("formula") != name:
        kept = {key: value for key, value in kept.items() if key in {"scalerAddress", "model", "engine", "pods"}}
    return {**ours, "metadata": {**kept, "formula": name, **pairs}}


def _set_in_triggers(spec: Mapping[str, Any], pairs: Mapping[str, str]) -> None:
    """Put keys into the trigger that has them, or into the one that asks llm-scaler."""
    triggers = [one for one in spec.get("triggers") or [] if isinstance(one.get("metadata"), dict)]
    for key, value in pairs.items():
        having = [one for one in triggers if key in one["metadata"]]
        asking = [one for one in triggers if one.get("type") in FORMULAS]
        places = having or asking
        if not places:
            keys = sorted({key for one in triggers for key in one["metadata"]} | set(OBJECT_KEYS))
            raise ConfigError("argument", "--formula", f"{key} is a key of no trigger", ", ".join(keys))
        for one in places:
            one["metadata"][key] = value


def suggested(tree: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield settings worth trying: other goals, cooldowns and scale-down windows, each as a name and an object."""
    spec = tree.get("spec") or {}
    zero = not spec.get("minReplicaCount") or spec.get("idleReplicaCount") is not None
    goals = _goals(tree)
    cooldowns = COOLDOWNS if zero and tree.get("kind") == "ScaledObject" else (None,)
    for factor, cooldown, window in itertools.product(FACTORS if goals else (1.0,), cooldowns, WINDOWS):
        words = [f"{key}={_short(value * factor)}" for key, value in goals.items()]
        words += [f"cooldownPeriod={cooldown}"] if cooldown is not None else []
        new = edited(tree, words)
        _set_window(new, window)
        yield " ".join([*words, f"window={window}s"]), new


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _goals(tree: Mapping[str, Any]) -> dict[str, float]:
    """Map the keys of its triggers to the numbers that they aim at."""
    found: dict[str, float] = {}
    for trigger in (tree.get("spec") or {}).get("triggers") or []:
        for key in GOALS:
            written = str((trigger.get("metadata") or {}).get(key, ""))
            try:
                found[key] = float(written)
            except ValueError:
                continue
    return found


def _set_window(tree: dict[str, Any], window: int) -> None:
    """Set how long the HPA looks back before it lowers."""
    place: dict[str, Any] = tree["spec"]
    path = ("behavior", "scaleDown") if tree.get("kind") == "HorizontalPodAutoscaler" else (
        "advanced", "horizontalPodAutoscalerConfig", "behavior", "scaleDown")  # fmt: skip
    for key in path:
        place[key] = dict(place.get(key) or {})
        place = place[key]
    place["stabilizationWindowSeconds"] = window
