"""Triggers, of which the policy and llm-scaler must think the same."""

GOOD = {"formula": "queue-depth", "model": "llama", "target": "8"}

REFUSED = {
    "neither": {"model": "llama"},
    "both": {**GOOD, "expression": "waiting"},
    "both, one of them from the environment": {**GOOD, "expressionFromEnv": "EXPRESSION"},
    "no target": {"expression": "waiting"},
    "twice": {**GOOD, "modelFromEnv": "MODEL"},
    "an endpoint that is an address": {**GOOD, "endpoint": "http://169.254.169.254"},
    "an endpoint that there is not": {**GOOD, "endpoint": "mimir"},
    "no duration": {**GOOD, "holdFor": "two minutes"},
    "a duration without an end": {**GOOD, "idleFor": "5m30"},
    "no capacity": {**GOOD, "capacity": "all"},
    "no kind": {**GOOD, "kind": "Deployment"},
    "no id": {**GOOD, "id": "a b"},
    "too many keys": {**GOOD, **{f"key{index}": "" for index in range(64)}},
    "too long": {**GOOD, "model": "m" * 9000},
}

TAKEN = {
    "a formula": GOOD,
    "an expression": {"expression": "waiting + running", "target": "4"},
    "an endpoint": {**GOOD, "endpoint": "pods"},
    "durations": {**GOOD, "interval": "2", "holdFor": "45m30s", "idleFor": "500ms"},
    "capacity, kind and id": {**GOOD, "capacity": "clamp", "kind": "ScaledObject", "id": "a.b-c_d"},
}
