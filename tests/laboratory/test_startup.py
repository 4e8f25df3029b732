"""A model that loads slowly: the queue that grows meanwhile does not multiply replicas.

The need: a fleet that came to several times what the load needed, all of it at once, when the queue was nearly gone.
"""

from laboratory.lab import Lab
from laboratory.llm_scaler import LlmScaler
from laboratory.objects import model, scaled_object
from laboratory.watch import Watch

LOADS, RATE = 90, 0.5  # seconds that the model loads, and requests that come in each
QUEUED = {"expression": "queued", "target": "2", "idleFor": "5s"}


def test_a_queue_that_grows_while_the_model_loads_is_not_ordered_for_again(lab: Lab, scaler: LlmScaler):
    startup = {"calm": "15m", "rash": "0s"}
    for name, span in startup.items():
        lab.fleet.queued[name] = 0
        lab.apply(model(name, lab.fleet.port, gpus=0, load=f"{LOADS}s", replicas=0))
        lab.apply(scaled_object(name, scaler.address, QUEUED | {"model": name, "startup": span}, maxReplicaCount=50))
    lab.wait(lambda: all(scaler.explain(name).get("active") is False for name in startup), 60, "all is quiet")
    with Watch(lab, *startup) as watch:

        def waits_for(name: str) -> bool:
            for each in startup:
                lab.fleet.queued[each] = 1 + int(watch.now() * RATE)
            return lab.ready(name) > 0

        lab.wait(lambda: waits_for("calm"), LOADS + 60, "the first model is loaded")
        told = scaler.explain("calm")
        most = {name: max(watch.seen(name)) for name in startup}
    assert most["rash"] > LOADS * RATE / 2 * 0.7, "as many as the queue says, read again and again"
    assert most["calm"] < most["rash"] / 2
    assert told["desiredReplicas"] > told["answeredReplicas"] == told["limitedReplicas"]
    assert "replicas' worth of load waits for the" in told["reason"]
    lab.say(f"slow: {LOADS} s of loading, {RATE} requests/s at 2 a replica: {most} replicas; {told['reason']}")
