"""A held answer never falls: what partial data has raised stays under an outage, a restart and a take-over by a standby.

The HPA lowers at once here (stabilizationWindowSeconds: 0), so a single lower answer would be seen.
"""

from laboratory.fleet import Load
from laboratory.front import Front
from laboratory.lab import Lab
from laboratory.llm_scaler import LlmScaler
from laboratory.objects import model, scaled_object
from laboratory.watch import Watch

LONG = 600  # seconds; see test_outages.py
HOLD = 120
BUSY, BUSIER, QUIET = Load(running=4), Load(running=8), Load()
TRIGGER = {"expression": "waiting + running", "model": "llama", "target": "4", "holdFor": f"{HOLD}s"}


def test_what_partial_data_has_raised_stays_under_an_outage_a_restart_and_a_standby(lab: Lab, scaler: LlmScaler):
    standby = LlmScaler(lab, name="standby", formulas=scaler.formulas)
    standby.start()
    lab.fleet.load = BUSY
    lab.apply(model("held", lab.fleet.port, gpus=0, replicas=3))
    lab.wait(lambda: lab.ready("held") == 3, 30, "it has three replicas")
    silent, *others = [pod["status"]["podIP"] for pod in lab.pods("held")]
    with Front(scaler.address) as front, Watch(lab, "held") as watch:
        cooldowns = {"cooldownPeriod": LONG, "initialCooldownPeriod": LONG}
        lab.apply(scaled_object("held", front.address, TRIGGER, **cooldowns))
        lab.wait(lambda: scaler.explain("held").get("certainty") == "certain", 180, "it is certain of 3 replicas")
        assert scaler.explain("held")["answeredReplicas"] == 3

        lab.fleet.load = QUIET  # of pods that come
        lab.fleet.loads.update({silent: None} | dict.fromkeys(others, BUSY))
        lab.wait(lambda: "1 of its 3 pods do not answer" in scaler.reason("held"), 30, "llm-scaler misses a pod")
        lab.fleet.loads.update(dict.fromkeys(others, BUSIER))
        lab.wait(lambda: watch.came_to("held", 4), 60, "two of three pods, twice as busy, ask for 4 replicas")
        reason = scaler.reason("held")
        assert scaler.explain("held")["certainty"] == "held"
        lab.say(f"partial data: {watch.seen('held')} replicas; {reason}")

        lab.pause("prometheus")
        lab.wait(lambda: "gives no answer within" in scaler.reason("held"), 30, "nothing is measured any more")
        watch.hold(20)
        assert scaler.explain("held")["answeredReplicas"] == 4
        lab.say(f"then none: {watch.seen('held')} replicas; {scaler.reason('held')}")

        front.behind = standby.address
        scaler.kill()
        watch.hold(20)
        assert standby.explain("held")["answeredReplicas"] == 4
        lab.say(f"a standby takes over: {watch.seen('held')} replicas; {standby.reason('held')}")

        scaler.start()
        front.behind = scaler.address
        watch.hold(20)
        assert scaler.explain("held")["answeredReplicas"] == 4
        lab.say(f"a new process: {watch.seen('held')} replicas; {scaler.reason('held')}")
        assert not watch.falls()

        lab.fleet.loads.clear()  # all pods answer again, and have nothing to do
        lab.resume("prometheus")
        lab.wait(lambda: watch.came_to("held", 1), 90, "certain data lowers")
        lab.say(f"certain again: {watch.seen('held')} replicas")
