"""What in a ScaledObject's HPA is in the way of a policy that owns the timing.

A policy has waited and limited already when its answer reaches the HPA. Whatever the HPA waits and limits besides comes
on top: 300 s of Knative's delay and 300 s of the HPA's are ten minutes. So the HPA has to stand aside: tolerance 0,
windows 0, and no policy that is narrower than what the policy asks for.
"""

from collections.abc import Sequence

from scaler.model.behavior import NO_BEHAVIOR_WINDOW, Rules
from scaler.model.fields import seconds
from scaler.model.objects import ScaledResource

ADVICE = "tolerance 0, stabilizationWindowSeconds 0 and wide policies in the behavior of the ScaledObject"


def in_the_way(_spec: object, scaled: ScaledResource) -> Sequence[str]:
    """Say what of the HPA delays or limits the policy's answers; empty where it stands aside, or is not known.

    Args:
        _spec: of the policy; the HPA is in the way of each in the same manner.
        scaled: the ScaledObject, with its HPA.
    """
    if scaled.kind != "ScaledObject" or scaled.hpa is None:
        return ()
    if scaled.hpa.behavior is None:
        window = seconds(NO_BEHAVIOR_WINDOW)
        return (f"the HPA has no behavior: it adds {window} before it goes down, and a tolerance; set {ADVICE}",)
    up, down = scaled.hpa.behavior.up, scaled.hpa.behavior.down
    found = [
        *_direction("scaleUp", up, wide=_reach(up, most=True) >= scaled.maximum),
        *_direction("scaleDown", down, wide=_reach(down, most=False) >= scaled.maximum),
    ]
    return tuple(f"the HPA's {one}" for one in found)


def _direction(name: str, rules: Rules, *, wide: bool) -> list[str]:
    """List the settings of one direction that are in the policy's way."""
    found = []
    if rules.window:
        found.append(f"{name}.stabilizationWindowSeconds of {rules.window:g} adds to the policy's own time: set 0")
    if rules.tolerance is None or rules.tolerance > 0:
        share = "cluster's, usually 0.1" if rules.tolerance is None else f"{rules.tolerance:g}"
        found.append(f'{name}.tolerance ({share}) swallows small changes of the answer: set "0"')
    if rules.select == "Disabled":
        found.append(f"{name}.selectPolicy Disabled forbids that direction")
    elif not wide:
        found.append(f"{name}.policies are narrower than the policy's answers may be: set 100 percent or all pods")
    return found


def _reach(rules: Rules, *, most: bool) -> float:
    """Return the most replicas that one period may add to one replica, or remove of all."""
    endless = float("inf")
    reaches = [
        float(policy.value) if policy.kind == "Pods" else endless if not most and policy.value >= 100 else 0.0
        for policy in rules.policies
    ]
    return (max if rules.select == "Max" else min)(reaches, default=endless)
