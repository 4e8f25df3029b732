"""Prefill and decode, scaled together by the real KEDA and HPA: every state that the API server ever showed.

The need: a prompt length that shifts by a factor of 4 moves load from one role to another. Scaled each by itself they leave
their ratio, go above the GPUs there are (ai-dynamo/dynamo#12428), and one goes to zero while the other has work.
"""

from functools import partial

from laboratory.lab import Lab
from laboratory.llm_scaler import LlmScaler
from laboratory.objects import Object, model, scaled_object, trigger
from laboratory.watch import States

COOLDOWN, POLL = 5, 5  # seconds, of each ScaledObject
LATE = 10  # seconds that KEDA may be late on a machine that others use too
LOADS = 4  # seconds that a model loads
BUDGET = 8  # GPUs
AT_ONCE = {
    "scaleUp": {"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": 100, "periodSeconds": 15}]},
    "scaleDown": {"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": 100, "periodSeconds": 15}]},
}
METRICS = """
metrics:
  prompts: {prometheus: 'max(validation_drift{model="prompts"})'}
  tokens: {prometheus: 'max(validation_drift{model="tokens"})'}
activation: prompts + tokens > 0
"""
TWO = f"""
name: two
{METRICS}
outputs:
  prefill: {{formula: prompts, target: 1}}
  decode: {{formula: tokens, target: 1, ratios: {{prefill: {{least: 1, most: 3}}}}}}
"""
THREE = f"""
name: three
{METRICS}
outputs:
  encode: {{formula: prompts, target: 4}}
  prefill: {{formula: prompts, target: 1, ratios: {{encode: {{least: 2, most: 4}}}}}}
  decode: {{formula: tokens, target: 1, ratios: {{prefill: {{least: 1, most: 3}}}}}}
"""
SHARED = f"""
name: shared
{METRICS}
budget: {{most: {BUDGET}}}
outputs:
  prefill: {{formula: prompts, target: 1}}
  decode: {{formula: tokens, target: 1}}
"""
FILES = {"two": TWO, "three": THREE, "shared": SHARED}
ROLES = {
    "two": ("prefill", "decode"),
    "three": ("encode", "prefill", "decode"),
    "shared": ("prefill", "decode"),
}


def names(group: str) -> list[str]:
    """Return the names of a group's Deployments."""
    return [f"{group}-{role}" for role in ROLES[group]]


def of_group(lab: Lab, address: str, group: str) -> list[Object]:
    """Return a Deployment and a ScaledObject for each role of a group."""
    objects = []
    for role, name in zip(ROLES[group], names(group), strict=True):
        asks = trigger(address, formula=group, output=role, idleFor="5s", holdFor="60s")
        hpa = {"horizontalPodAutoscalerConfig": {"behavior": AT_ONCE}}
        scaled = scaled_object(name, "", triggers=[asks], maxReplicaCount=40, cooldownPeriod=COOLDOWN, advanced=hpa)
        objects += [model(name, lab.fleet.port, gpus=0, load=f"{LOADS}s", replicas=0), scaled]
    return objects


def in_band(counts: dict[str, int], group: str) -> bool:
    """Whether the replicas of a group keep its ratios; zero of all does."""
    count = {role: counts[name] for role, name in zip(ROLES[group], names(group), strict=True)}
    pairs = [("prefill", "decode", 1, 3), *([("encode", "prefill", 2, 4)] if "encode" in count else [])]
    return all(least * count[of] <= count[role] <= most * count[of] for of, role, least, most in pairs)


def test_a_shift_of_prompt_length_keeps_ratios_and_budget_in_every_state_and_all_reach_zero_together(
    lab: Lab, scaler: LlmScaler
):
    for name, text in FILES.items():
        (scaler.formulas / f"{name}.yaml").write_text(text)
    lab.fleet.drift |= {"prompts": 0, "tokens": 0}
    lab.apply([item for group in FILES for item in of_group(lab, scaler.address, group)])
    every = [name for group in FILES for name in names(group)]
    lab.wait(lambda: all(scaler.explain(name).get("active") is False for name in every), 120, "all is known and quiet")

    def load(prompts: int, tokens: int, two: tuple[int, int], shared: tuple[int, int]) -> None:
        lab.fleet.drift |= {"prompts": prompts, "tokens": tokens}
        wanted = dict(zip([*names("two"), *names("shared")], [*two, *shared], strict=True))
        wanted |= {"three-prefill": two[0], "three-decode": two[1]}
        lab.wait(lambda: states.newest().items() >= wanted.items(), 120, f"{wanted} for {prompts} and {tokens}")

    with States(lab, *every) as states:
        load(2, 6, (2, 6), (2, 6))
        begun = len(states.seen)
        load(8, 6, (8, 8), (4, 4))  # prompts are four times as long: 14 GPUs would be needed
        load(2, 6, (2, 6), (2, 6))
        load(6, 2, (6, 6), (6, 2))  # and GPUs pass from decode to prefill
        ended = len(states.seen)
        lab.fleet.drift |= {"prompts": 0, "tokens": 0}
        lab.wait(lambda: not any(states.newest().values()), 120, "all are at zero")

    most = max(sum(counts[name] for name in names("shared")) for _, counts in states.seen)
    assert most <= BUDGET, "no instant above the budget"
    spells = {}
    for group in ("two", "three"):
        keeps = partial(in_band, group=group)
        assert states.beyond(names(group), keeps) == [], (
            "within the band, but for the step that the other has yet to take"
        )
        spells[group] = round(states.longest(keeps), 1)
        alone = [counts for _, counts in states.seen[begun:ended] if not all(counts[name] for name in names(group))]
        assert alone == [], "as long as one has work none is at zero"
        zero = [states.came_to(name, 0) for name in names(group)]
        assert max(zero) - min(zero) <= COOLDOWN + POLL + LATE, "to zero within one cooldown"
    lab.say(
        f"groups: {len(states.seen)} states, out of ratio for {spells} seconds at most until the other had taken its step;"
        f" {most} of {BUDGET} GPUs at most"
    )
