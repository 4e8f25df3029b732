"""llm-scaler is gone: what KEDA's `fallback` makes of it, by kind of trigger, failureThreshold and minReplicaCount.

KEDA counts a failure where a metric could not be read, not where it could not be told which metrics there are
(GetMetricSpec). What StreamMetricSpec brought it keeps until the first error that it reports to the HPA
(KEDA 2.21.0, pkg/scaling/cache/scalers_cache.go and scale_handler.go). So of all of them only a pushed trigger whose very
first failure is one too many falls back.
"""

from laboratory.lab import Lab, condition
from laboratory.llm_scaler import LlmScaler
from laboratory.watch import Watch
from laboratory.workloads import queued

LONG = 600  # seconds: as in test_outages, an error must not read as "inactive"
BEFORE, INSTEAD = 2, 4  # replicas: asked for, and of the fallback
THRESHOLDS = (0, 3)
AWAY = 45  # seconds: nine looks of the HPA, and as many polls


def test_llm_scaler_gone_with_a_fallback_for_external_and_for_external_push(lab: Lab, scaler: LlmScaler):
    names = {
        (kind, threshold, minimum): f"{kind}-{threshold}-{minimum}"
        for kind in ("external", "external-push")
        for threshold in THRESHOLDS
        for minimum in (0, 1)
    }
    for (kind, threshold, minimum), name in names.items():
        cooldowns = {"cooldownPeriod": LONG, "initialCooldownPeriod": LONG, "minReplicaCount": minimum}
        fallback = {"failureThreshold": threshold, "replicas": INSTEAD}
        queued(lab, scaler.address, name, BEFORE, push=kind == "external-push", fallback=fallback, **cooldowns)
    streams = len(names) // 2 * lab.streams
    with Watch(lab, *names.values()) as watch:
        lab.wait(lambda: all(watch.came_to(name, BEFORE) for name in names.values()), 90, "all have two replicas")
        lab.wait(lambda: scaler.metric("llm_scaler_streams") == streams, 30, "KEDA holds its streams")
        watch.hold(6)  # so that each has been measured well by poll and by HPA
        scaler.kill()
        watch.hold(AWAY)
        assert not watch.falls(), "an outage is no reason to lower"
        rose = {key for key, name in names.items() if watch.came_to(name, INSTEAD)}
        fell_back = {key for key, name in names.items() if condition(lab.get("ScaledObject", name) or {}, "Fallback")}
        told = lab.events(names["external", 0, 0], "KEDAScalerFailed")[-1]
        scaler.start()
        back = watch.now()
        lab.wait(lambda: all(watch.came_to(name, BEFORE) for name in names.values()), 120, "all have two again")
        took = watch.now() - back
    fires = {("external-push", 0, minimum) for minimum in (0, 1)} if lab.judges.version("keda") >= (2, 21) else set()
    lab.say(
        f"llm-scaler gone for {AWAY} s: fallback of {sorted(fell_back) or 'none'}, to {INSTEAD} replicas of {sorted(rose)}"
    )
    lab.say(f"  an event of the others: {told}; all as before {took:.0f} s after it is back")
    assert (fell_back, rose) == (fires, fires)
