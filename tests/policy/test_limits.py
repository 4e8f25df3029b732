"""How much each setting of a policy may be: what is just within its bounds is taken, and what is just beyond is refused."""

import pytest

from scaler.model.errors import ConfigError
from scaler.model.fields import Fields
from scaler.policy import POLICIES

GATE = {"metric": "m", "above": 2, "below": 1}
UP = {"stablePolicy": {}}
DAY = 86_400


def behavior(direction, key):
    return lambda value: {"behavior": {direction: {key: value}}}


def policy_of(key):
    rule = {"type": "Pods", "value": 1, "periodSeconds": 1}
    return lambda value: {"behavior": {"scaleUp": {"policies": [{**rule, key: value}]}}}


def up(block, key, **more):
    return lambda value: {"behavior": {"scaleUp": {block: {**more, key: value}}}}


def key(name, **more):
    return lambda value: {**more, name: value}


LIMITS = [  # kind, how the tree is made of a value, what is too little, the least, the most, what is too much
    ("hysteresis", key("overlap", **GATE), -1, 0, 3600, 3601),
    ("hysteresis", key("memory", **GATE), -1, 0, 6 * 3600, 6 * 3600 + 1),
    ("kpa", key("stable-window"), 5.9, 6, 3600, 3601),
    ("kpa", key("panic-window-percentage"), 0.9, 1, 100, 101),
    ("kpa", key("panic-threshold-percentage"), 109, 110, 1000, 1001),
    ("kpa", key("max-scale-up-rate"), 1, 1.1, 1e6, 1e6 + 1),
    ("kpa", key("max-scale-down-rate"), 1, 1.1, 1e6, 1e6 + 1),
    ("kpa", key("scale-down-delay"), -1, 0, 3600, 3601),
    ("kpa", key("activation-scale"), 1, 2, 1e6, 1e6 + 1),
    ("aibrix-kpa", key("observeWindowSeconds"), 0, 1, 3600, 3601),
    ("aibrix-kpa", key("panicWindowSeconds", observeWindowSeconds=3600), 0, 1, 3600, 3601),
    ("aibrix-kpa", key("panic-threshold"), 1, 1.1, 1000, 1001),
    ("aibrix-kpa", key("max-scale-up-rate"), 1, 1.1, 1e6, 1e6 + 1),
    ("aibrix-kpa", key("max-scale-down-rate"), 1, 1.1, 1e6, 1e6 + 1),
    ("aibrix-kpa", key("scale-up-tolerance"), -0.1, 0, 100, 101),
    ("aibrix-kpa", key("scale-down-tolerance"), -0.1, 0, 1, 1.1),
    ("aibrix-kpa", key("scale-up-cooldown-window"), -1, 0, 3600, 3601),
    ("aibrix-kpa", key("scale-down-cooldown-window"), -1, 0, 3600, 3601),
    ("apa", key("observeWindowSeconds"), 0, 1, 3600, 3601),
    ("apa", key("max-scale-up-rate"), 1, 1.1, 1e6, 1e6 + 1),
    ("apa", key("max-scale-down-rate"), 1, 1.1, 1e6, 1e6 + 1),
    ("apa", key("scale-up-tolerance"), -0.1, 0, 100, 101),
    ("apa", key("scale-down-tolerance"), -0.1, 0, 1, 1.1),
    ("apa", key("scale-up-cooldown-window"), -1, 0, 3600, 3601),
    ("apa", key("scale-down-cooldown-window"), -1, 0, 3600, 3601),
    ("kthena", key("tolerancePercent"), -1, 0, 100, 101),
    ("kthena", behavior("scaleDown", "instances"), -1, 0, 1_000_000, 1_000_001),
    ("kthena", behavior("scaleDown", "percent"), -1, 0, 1000, 1001),
    ("kthena", behavior("scaleDown", "period"), -1, 0, 1800, 1801),
    ("kthena", behavior("scaleDown", "stabilizationWindow"), -1, 0, 1800, 1801),
    ("kthena", up("panicPolicy", "percent", period=15), -1, 0, 1000, 1001),
    ("kthena", up("panicPolicy", "period"), -1, 0, 1800, 1801),
    ("kthena", up("panicPolicy", "panicThresholdPercent", period=15), 109, 110, 1000, 1001),
    ("kthena", up("panicPolicy", "panicModeHold", period=15), -1, 0, 1800, 1801),
    ("hpa", key("tolerance"), -0.1, 0, 1, 1.1),
    ("hpa", behavior("scaleUp", "stabilizationWindowSeconds"), -1, 0, 3600, 3601),
    ("hpa", behavior("scaleDown", "tolerance"), -0.1, 0, 1, 1.1),
    ("hpa", policy_of("value"), 0, 1, 2**31 - 1, 2**31),
    ("hpa", policy_of("periodSeconds"), 0, 1, 1800, 1801),
    ("ray", key("look_back_period_s"), 0, 0.1, 3600, 3601),
    ("ray", key("upscale_delay_s"), -1, 0, 3600, 3601),
    ("ray", key("downscale_delay_s"), -1, 0, 7200, 7201),
    ("ray", key("downscale_to_zero_delay_s"), -1, 0, 7200, 7201),
    ("ray", key("upscaling_factor"), 0, 0.1, 1000, 1001),
    ("ray", key("downscaling_factor"), 0, 0.1, 1000, 1001),
    ("wallaroo", key("scale_up_queue_depth"), 0, 1, 1_000_000, 1_000_001),
    ("wallaroo", key("scale_down_queue_depth", scale_up_queue_depth=1_000_000), -1, 0, 1_000_000, 1_000_001),
    ("wallaroo", key("autoscaling_window", scale_up_queue_depth=5), 59, 60, DAY, DAY + 1),
    ("wallaroo", key("autoscale_cpu_utilization"), 0.9, 1, 100, 101),
    ("step", key("memory", tiers=[{"at": 1, "percent": 1}]), -1, 0, 6 * 3600, 6 * 3600 + 1),
    ("latch", key("retryAfter", resetBelow=1), -1, 0, 7 * DAY, 7 * DAY + 1),
    ("latch", key("maxRetries", resetBelow=1), -1, 0, 20, 21),
    ("latch", key("memory", resetBelow=1), -1, 0, 7 * DAY, 7 * DAY + 1),
    ("slo", key("ttft"), 0.0009, 0.001, 3600, 3601),
    ("slo", key("itl"), 0.0009, 0.001, 60, 61),
    ("slo", key("share"), 0.49, 0.5, 0.9999, 0.99991),
]


def parsed(kind, tree):
    fields = Fields("f.yaml", tree, "policy")
    read = POLICIES[kind].parse(fields)
    fields.close()
    return read


@pytest.mark.parametrize(("kind", "made", "little", "least", "most", "much"), LIMITS)
def test_what_is_just_within_is_taken_and_what_is_just_beyond_is_refused(kind, made, little, least, most, much):
    assert parsed(kind, made(least)) != parsed(kind, made(most))
    for beyond in (little, much):
        with pytest.raises(ConfigError, match=r"f.yaml: policy\."):
            parsed(kind, made(beyond))
