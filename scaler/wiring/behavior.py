"""What an HPA's behavior has to be for our answers.

Without a policy the answer itself falls at a pace, and the HPA's own 300 s of stabilization do no harm. With a policy
the timing is the policy's: the HPA has to do what it is told at once, so that nothing is waited for twice.

    HPA, by default    100 % or 4 pods in 15 s up, 300 s of stabilization down, 10 % of tolerance
    beside a policy    as many as asked for within 15 s, no stabilization, no tolerance
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scaler.wiring.picture import Manifest, at, mapping, sequence, whole

MAX_PERIOD = 1800  # seconds; the API server takes no longer one
WIDE = 100_000  # pods in one step: more than any maxReplicaCount

Block = dict[str, Any]


def behavior_for(*, with_policy: bool) -> Block:
    """The `behavior` of a ScaledObject's horizontalPodAutoscalerConfig.

    A tolerance of 0 in both: the HPA's own 10 % would swallow a step of one replica from ten replicas on.
    """
    if not with_policy:
        return {"scaleUp": {"tolerance": "0"}, "scaleDown": {"tolerance": "0"}}
    at_once: Mapping[str, Any] = {
        "stabilizationWindowSeconds": 0,
        "tolerance": "0",
        "policies": [{"type": "Pods", "value": WIDE, "periodSeconds": 15}],
    }
    return {"scaleUp": dict(at_once), "scaleDown": dict(at_once)}


def in_the_way_of_a_policy(behavior: Manifest) -> Iterator[str]:
    """Say what in a behavior delays or cuts what a policy asks for."""
    for direction, window in (("scaleUp", 0), ("scaleDown", 300)):
        rules = mapping(behavior, direction)
        waited = whole(rules.get("stabilizationWindowSeconds"), window)
        if waited:
            yield f"{direction}.stabilizationWindowSeconds is {waited}"
        if tolerance(rules) != 0:
            shown = "10 % unless it is set" if rules.get("tolerance") is None else str(rules["tolerance"])
            yield f"{direction}.tolerance is {shown}"


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
    parts = [
        f"{policy.get('value')} {'%' if policy.get('type') == 'Percent' else 'pods'} in {policy.get('periodSeconds')} s"
        for policy in policies
    ]
    return f"at most {' or '.join(parts)}"


def tolerance(rules: Manifest) -> float:
    """The tolerance of one direction, as a share; the cluster's default where it says none."""
    given = rules.get("tolerance")
    if given is None:
        return 0.1
    text = str(given)
    try:
        return float(text[:-1]) / 1000 if text.endswith("m") else float(text)
    except ValueError:
        return 0.1


def behavior_of(spec: Manifest) -> Manifest:
    """The behavior that a ScaledObject's spec asks for; empty where it has none."""
    found = at(spec, "advanced", "horizontalPodAutoscalerConfig", "behavior")
    return found if isinstance(found, Mapping) else {}
