"""What every policy says, tick by tick, over a day in small: a rise, a burst, noise at the edge of tolerances, a fall, zero.

The words are kept in told.txt; `RECORD=1 pytest tests/policy/test_told.py` writes it anew, to be read before it is kept.
"""

from pathlib import Path

import pytest
from support.told import kept

from scaler.model.fields import Fields
from scaler.policy import POLICIES
from scaler.policy.outcome import PolicyInput

TOLD = Path(__file__).with_name("told.txt")
EVERY = 15.0  # seconds between two ticks
BOTH = {"apa", "kthena", "hpa"}  # a total and a value of each replica are not the same to them while some are not ready
LOADS = [
    *[0.0, 0.0, 1.0, 1.0, 3.0, 4.0, 4.4, 4.5, 8.0, 8.0, 20.0, 20.0, 20.0, 20.0, 12.0, 9.0, 9.9, 10.0, 11.0, 11.0],
    *[5.0, 5.0, 5.5, 4.5, 4.5, 2.0, 2.0, 1.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 6.0, 6.0, 0.0, 0.0, 0.0],
]
NARROW = {"stabilizationWindowSeconds": 30, "policies": [{"type": "Pods", "value": 2, "periodSeconds": 30}]}
SHARES = {
    "selectPolicy": "Min",
    "tolerance": 0.2,
    "policies": [
        {"type": "Pods", "value": 3, "periodSeconds": 15},
        {"type": "Percent", "value": 50, "periodSeconds": 60},
    ],
}
SETTINGS = {
    "hysteresis": [
        {"metric": "m", "above": 8, "below": 5, "overlap": "45s"},
        {"metric": "m", "above": 8, "below": 5, "overlap": 0, "serves": "below"},
    ],
    "kpa": [{"stable-window": "60s", "scale-down-delay": "30s"}, {"max-scale-up-rate": 2, "activation-scale": 3}],
    "aibrix-kpa": [
        {"observeWindowSeconds": 60, "panicWindowSeconds": 15, "scale-up-cooldown-window": 30, "scale-down-cooldown-window": 45},
    ],
    "apa": [
        {"observeWindowSeconds": 30, "scale-down-cooldown-window": 45},
        {"observeWindowSeconds": 15, "scale-up-cooldown-window": 60, "scale-down-cooldown-window": 0},
    ],
    "kthena": [
        {
            "tolerancePercent": 10,
            "behavior": {"scaleDown": {"stabilizationWindow": 45, "instances": 2, "percent": 50, "period": 30, "selectPolicy": "And"}},
        },
        {
            "tolerancePercent": 0,
            "behavior": {
                "scaleUp": {
                    "panicPolicy": {"percent": 200, "period": 15, "panicThresholdPercent": 150, "panicModeHold": 45},
                    "stablePolicy": {"stabilizationWindow": 30, "instances": 1, "percent": 100, "period": 30},
                },
                "scaleDown": {"stabilizationWindow": 0},
            },
        },
    ],
    "hpa": [{}, {"behavior": {"scaleUp": NARROW, "scaleDown": SHARES}}, {"behavior": {"scaleUp": SHARES, "scaleDown": NARROW}}],
    "ray": [
        {"look_back_period_s": 30, "upscale_delay_s": 30, "downscale_delay_s": 60, "downscale_to_zero_delay_s": 90},
        {"look_back_period_s": 15, "upscale_delay_s": 15, "downscale_delay_s": 15, "upscaling_factor": 2, "downscaling_factor": 0.3},
    ],
    "wallaroo": [
        {"scale_up_queue_depth": 2, "autoscaling_window": 60},
        {"scale_up_queue_depth": 3, "scale_down_queue_depth": 2, "autoscaling_window": 60, "proportional": True},
        {"autoscale_cpu_utilization": 5},
    ],
    "step": [{"tiers": [{"at": 100, "percent": 20}, {"at": 450, "percent": 50}, {"at": 1000, "percent": 100}], "hysteresis": 50}],
}  # fmt: skip


def timeline(kind, settings, *, each=False):
    """A row for each tick: replicas that are asked for come at the next, and are ready one later."""
    policy = POLICIES[kind]
    fields = Fields("f.yaml", settings, "policy")
    spec, state = policy.parse(fields), policy.initial
    fields.close()
    asked = [0, 0]
    for tick, load in enumerate(LOADS):
        current, ready = asked[-1], min(asked[-1], asked[-2])
        seen = PolicyInput(load, load, "", {"m": load}, current=current, ready=ready, maximum=20, each=each)
        state, outcome = policy.step(spec, state, seen, tick * EVERY)
        asked.append(round(outcome.replicas))
        yield tick * EVERY, load, ready, current, outcome


def in_words():
    for kind, several in SETTINGS.items():
        for settings in several:
            for each in (False, True) if kind in BOTH and settings is several[0] else (False,):
                yield f"{kind} {settings}{', of each replica' if each else ''}"
                for at, load, ready, current, outcome in timeline(kind, settings, each=each):
                    active = "" if outcome.active else ", inactive"
                    yield f"  {at:3.0f}s {load:4g}, {ready} of {current} ready: {outcome.replicas:g}{active}: {outcome.reason}"
                yield ""


def test_what_is_told_is_what_was_read_and_kept():
    told = "\n".join(in_words())
    assert told == kept(told, TOLD)


@pytest.mark.parametrize("kind", SETTINGS)
def test_who_wants_replicas_is_active_and_who_wants_none_is_not(kind):
    for settings in SETTINGS[kind]:
        for _, load, _, _, outcome in timeline(kind, settings):
            serves_nothing = outcome.active and load == 0  # a gate that is open has no say where there is no load
            assert outcome.active == (outcome.replicas > 0) or (kind == "hysteresis" and serves_nothing)
            assert outcome.replicas >= 0
            assert outcome.reason
