"""What is not measured is not zero: whatever is down, replicas never fall, and the events and explanations say what is the matter.

The HPA's own caution is switched off here: a single low answer would be seen at once.
"""

from laboratory.fleet import Load
from laboratory.front import Front
from laboratory.lab import Lab, condition
from laboratory.llm_scaler import LlmScaler
from laboratory.objects import model, scaled_object
from laboratory.watch import Watch

COOLDOWN, IDLE, HOLD, PATIENCE, FAILURES = 5, 10, 10, 45, 3  # seconds, and KEDA's failureThreshold
# KEDA 2.20.2 may take an error for "inactive": the HPA's failed query closes the cache of scalers that a poll is just
# using, and the poll skips a closed cache without an error (pkg/scaling/scale_handler.go:975). Then only its cooldown
# keeps replicas up, and before the first activity the initial one. Where errors are meant to happen, both are long.
LONG = 600
FALLBACK = {"failureThreshold": FAILURES, "replicas": 1, "behavior": "currentReplicasIfHigher"}
BUSY, QUIET = Load(running=4), Load()  # of every pod: at a target of 4, as many replicas as there are, or none


def workload(
    lab: Lab, scaler: LlmScaler | Front, name: str, hold: int, cooldown: int = COOLDOWN, **formula: str
) -> None:
    """Deploy `name` with three replicas that are as busy as they should be."""
    trigger = {"model": "llama", "target": "4", "holdFor": f"{hold}s", "idleFor": f"{IDLE}s", **formula}
    lab.apply(model(name, lab.fleet.port, gpus=0, replicas=3))
    lab.wait(lambda: lab.ready(name) == 3, 30, f"{name} has three replicas")
    cooldowns = {"cooldownPeriod": cooldown, "initialCooldownPeriod": LONG}
    lab.apply(scaled_object(name, scaler.address, trigger, fallback=FALLBACK, **cooldowns))


def certain(scaler: LlmScaler, name: str, replicas: int = 3) -> bool:
    decision = scaler.explain(name)
    return decision.get("certainty") == "certain" and decision["answeredReplicas"] == replicas


def answered(scaler: LlmScaler) -> float:
    """How often it has told KEDA a number."""
    return scaler.metric('llm_scaler_calls_total{code="OK",method="GetMetrics"}')


def test_prometheus_killed_hung_and_emptied_and_a_pod_that_does_not_answer(lab: Lab, scaler: LlmScaler):
    lab.fleet.load = BUSY
    workload(lab, scaler, "patient", hold=PATIENCE, expression="waiting + running")
    workload(lab, scaler, "hasty", hold=HOLD, cooldown=LONG, expression="waiting + running")
    for pod in lab.pods("hasty"):
        lab.fleet.loads[pod["status"]["podIP"]] = BUSY  # whatever the others are told to do below
    with Watch(lab, "patient", "hasty") as watch:
        lab.wait(lambda: certain(scaler, "patient") and certain(scaler, "hasty"), 90, "both are certain of 3 replicas")

        lab.kill("prometheus")
        killed = watch.now()
        lab.fleet.load = QUIET
        lab.wait(lambda: condition(lab.get("ScaledObject", "hasty") or {}, "Fallback"), 90, "KEDA falls back")
        fell_back = watch.now() - killed
        health = (lab.get("ScaledObject", "hasty") or {})["status"]["health"]
        failures = max(one["numberOfFailures"] for one in health.values())
        assert failures > FAILURES, health
        told = lab.wait(lambda: lab.events("hasty", "KEDAScalerFailed"), 40, "an event says why")
        assert any(f"(holdFor is {HOLD}s)" in message and "Connection refused" in message for message in told), told
        lab.wait(lambda: watch.now() - killed > COOLDOWN + IDLE + HOLD, 60, "the outage lasts longer than any patience")
        assert scaler.explain("patient")["certainty"] == "held"
        assert not condition(lab.get("ScaledObject", "patient") or {}, "Fallback")
        lab.fleet.load = BUSY
        lab.start("prometheus")
        lab.wait(lambda: certain(scaler, "patient") and certain(scaler, "hasty"), 60, "they are certain again")
        assert not watch.falls()
        lab.say(
            f"Prometheus killed: 3 replicas held; KEDA's fallback after {fell_back:.0f} s and {failures} failures (holdFor {HOLD} s, failureThreshold {FAILURES})"
        )
        lab.say(f"  event: {told[-1]}")
        assert fell_back >= HOLD

        lab.pause("prometheus")
        paused = watch.now()
        lab.wait(lambda: watch.now() - paused > COOLDOWN + 5, 60, "Prometheus hangs")
        reason = scaler.reason("patient")
        assert scaler.explain("patient")["certainty"] == "held"
        assert "gives no answer within" in reason
        lab.resume("prometheus")
        lab.wait(lambda: certain(scaler, "patient"), 60, "it goes on")
        lab.say(f"Prometheus hung: {watch.seen('patient')} replicas; {reason}")

        address = lab.pods("patient")[0]["status"]["podIP"]
        lab.fleet.loads[address] = None
        lab.wait(lambda: "1 of its 3 pods do not answer" in scaler.reason("patient"), 30, "llm-scaler misses a pod")
        lab.fleet.load, missing = QUIET, watch.now()
        lab.wait(lambda: watch.now() - missing > COOLDOWN + IDLE, 60, "it stays away")
        reason = scaler.reason("patient")
        lab.fleet.load = BUSY
        running = 'sum(vllm:num_requests_running{app="patient"})'
        lab.wait(lambda: lab.query(running).get("", 0) >= 8, 30, "the other two are busy again")
        del lab.fleet.loads[address]
        lab.wait(lambda: certain(scaler, "patient"), 60, "it is back")
        lab.say(f"a pod that does not answer: {watch.seen('patient')} replicas; {reason}")

        assert not watch.falls()
        lab.kill("prometheus")
        lab.fleet.load = QUIET
        lab.fleet.loads.clear()
        killed = watch.now()
        lab.wait(lambda: watch.now() - killed > COOLDOWN + 5, 60, "an outage longer than cooldownPeriod")
        lab.start("prometheus", empty=True)
        back = watch.now()
        lab.wait(lambda: "no data older than 45s" in scaler.reason("patient"), 30, "llm-scaler finds it empty")
        reason = scaler.reason("patient")
        lab.wait(lambda: scaler.explain("hasty")["certainty"] == "certain", 60, "hasty is certain again")
        lab.api.patch("ScaledObject", "hasty", {"spec": {"cooldownPeriod": COOLDOWN}})
        lab.wait(lambda: watch.came_to("hasty", 0), 120, "it goes to 0")
        assert watch.at("hasty", 0) - back >= HOLD + IDLE - 2
        assert not watch.falls(["patient"])
        steps = ", ".join(f"{count} {at - back:+.0f} s" for at, count in watch.changes["hasty"] if at > killed)
        lab.say(f"Prometheus emptied: {watch.seen('patient')} replicas; {reason}")
        lab.say(f"  and what trusts {HOLD} s of data and {IDLE} s of quiet falls slowly after it is back: {steps}")


def test_llm_scaler_killed_replaced_and_with_a_bad_formula_and_without_the_api_server(lab: Lab, scaler: LlmScaler):
    standby = LlmScaler(lab, name="standby", formulas=scaler.formulas)
    standby.start()
    lab.fleet.load = BUSY
    with Front(scaler.address) as front, Watch(lab, "steady") as watch:
        workload(lab, front, "steady", hold=20, cooldown=LONG, formula="queue-depth")
        lab.wait(lambda: certain(scaler, "steady"), 90, "it is certain of 3 replicas")

        scaler.kill()
        killed = watch.now()
        lab.wait(lambda: watch.now() - killed > COOLDOWN + IDLE, 60, "llm-scaler is away")
        scaler.start()
        lab.wait(lambda: certain(scaler, "steady"), 90, "it has come back, and is certain again")
        lab.say(f"llm-scaler killed: {watch.seen('steady')} replicas, certain after {watch.now() - killed:.0f} s")

        assert not answered(standby), "nobody has asked it"
        front.behind = standby.address
        scaler.kill()
        killed = watch.now()
        lab.wait(lambda: answered(standby) >= 2, 90, "KEDA asks the standby")
        assert certain(standby, "steady")
        lab.say(f"a standby takes over: {watch.seen('steady')} replicas, certain after {watch.now() - killed:.0f} s")

        file = scaler.formulas / "queue-depth.yaml"
        good = file.read_text()
        bad = good.replace("running + waits", "runing + waits")
        assert bad != good
        file.write_text(bad)
        lab.wait(lambda: "runing" in standby.warnings(), 30, "the bad formula is noticed")
        told = next(line for line in standby.warnings().splitlines() if "runing" in line)
        lab.wait(lambda: certain(standby, "steady"), 40, "the last good one serves")
        scaler.start()  # a rollout that meets only the bad file
        front.behind = scaler.address
        standby.kill()
        why = lambda: [text for text in lab.events("steady", "KEDAScalerFailed") if "queue-depth" in text]  # noqa: E731
        event = lab.wait(why, 60, "an event says so")[-1]
        file.write_text(good)
        lab.wait(lambda: certain(scaler, "steady"), 60, "the file is mended")
        lab.say(f"a bad formula file: {watch.seen('steady')} replicas; {told.strip()}")
        lab.say(f"  event where only the bad one is there: {event}")

        lab.kill("apiserver")
        killed = watch.now()
        lab.wait(lambda: watch.now() - killed > COOLDOWN + 5, 60, "the API server is away")
        assert certain(scaler, "steady")
        lab.start("apiserver")
        lab.kill("controllers")  # a real one has lost its lease by now and starts anew
        lab.start("controllers")
        polls = answered(scaler)
        lab.wait(lambda: answered(scaler) > polls + 3, 90, "KEDA and the HPA go on")
        lab.say(f"the API server killed and restarted: {watch.seen('steady')} replicas")
        assert not watch.falls()
