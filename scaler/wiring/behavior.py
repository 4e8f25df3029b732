"""What an HPA's behavior has to be for our answers.

Without a policy the answer itself falls at a pace, and the HPA's own 300 s of stabilization do no harm. With a policy
the timing is the policy's: the HPA has to do what it is told at once, so that nothing is waited for twice.

    HPA, by default    100 % or 4 pods in 15 s up, 300 s of stabilization down, 10 % of tolerance
    beside a policy    as many as asked for within 15 s, no stabilization, no tolerance
"""

from collections.abc import Mapping, Sequence
from typing import Any

from scaler.model.objects import Manifest
from scaler.wiring.picture import at, sequence, whole

WIDE = 1000  # pods in one step, where maxReplicaCount is no more

Block = dict[str, Any]


def behavior_for(*, with_policy: bool, most: int) -> Block:
    """Return the `behavior` of a ScaledObject's horizontalPodAutoscalerConfig.

    A tolerance of 0 in both: the HPA's own 10 % would swallow a step of one replica from ten replicas on.

    Args:
        with_policy: whether the formula has a policy.
        most: maxReplicaCount.
    """
    if not with_policy:
        return {"scaleUp": {"tolerance": "0"}, "scaleDown": {"tolerance": "0"}}
    aside = {"stabilizationWindowSeconds": 0, "tolerance": "0"}
    up = {"type": "Pods", "value": max(most, WIDE), "periodSeconds": 15}
    down = {"type": "Percent", "value": 100, "periodSeconds": 15}
    return {"scaleUp": {**aside, "policies": [up]}, "scaleDown": {**aside, "policies": [down]}}


def slow_steps(rules: Manifest) -> str:
    """Say how few pods one direction may add in five minutes; empty where it may double, or add four in a minute.

    >>> slow_steps({"policies": [{"type": "Pods", "value": 1, "periodSeconds": 300}]})
    'at most 1 pods in 300 s'
    """
    policies = sequence(rules, "policies")
    if not policies or any(_quick(policy) for policy in policies):
        return ""
    return _shown(policies)


def _quick(policy: Manifest) -> bool:
    value, period = whole(policy.get("value"), 0), whole(policy.get("periodSeconds"), 15)
    return value * 60 >= (50 if policy.get("type") == "Percent" else 2) * period


def _shown(policies: Sequence[Manifest]) -> str:
    parts = []
    for policy in policies:
        unit = "%" if policy.get("type") == "Percent" else "pods"
        parts.append(f"{policy.get('value')} {unit} in {policy.get('periodSeconds')} s")
    return f"at most {' or '.join(parts)}"


def tolerance(rules: Manifest) -> float:
    """Return the tolerance of one direction, as a share; the cluster's default where it says none."""
    given = rules.get("tolerance")
    if given is None:
        return 0.1
    text = str(given)
    try:
        return float(text[:-1]) / 1000 if text.endswith("m") else float(text)
    except ValueError:
        return 0.1


def behavior_of(spec: Manifest) -> Manifest:
    """Return the behavior that a ScaledObject's spec asks for; empty where it has none."""
    found = at(spec, "advanced", "horizontalPodAutoscalerConfig", "behavior")
    return found if isinstance(found, Mapping) else {}
