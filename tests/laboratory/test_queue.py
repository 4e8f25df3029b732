"""Requests queued, waiting and running decide (formula queue-depth): from zero, up with the queue, and back only when all is quiet.

The need: a user whose long generations were killed by an empty queue.
"""

from laboratory.front import Front
from laboratory.lab import Lab
from laboratory.llm_scaler import LlmScaler
from laboratory.objects import model, scaled_object, trigger
from laboratory.simulation import Simulation
from laboratory.watch import Watch

from scaler.sim.fleet import FleetSpec
from scaler.sim.hardware import hardware

COOLDOWN, IDLE = 5, 10  # seconds: KEDA's cooldownPeriod, llm-scaler's idleFor
OVER = 30  # seconds over which the formula takes the mean of what runs
QUEUE = {"formula": "queue-depth", "target": "4", "holdFor": "20s", "idleFor": f"{IDLE}s"}


def test_the_first_request_wakes_it_more_bring_more_and_no_generation_is_killed(lab: Lab, scaler: LlmScaler):
    lab.fleet.queued["woken"] = 0
    lab.apply(model("woken", lab.fleet.port, gpus=0, load="2s", replicas=0))
    # The HPA's own caution is left as it is, so that only the word "inactive" can take a replica away.
    lab.apply(scaled_object("woken", scaler.address, QUEUE | {"model": "woken"}, cooldownPeriod=COOLDOWN, advanced={}))
    with Watch(lab, "woken") as watch, Simulation(lab, "woken", FleetSpec(hardware("a100-8b-bf16"))) as fleet:
        lab.wait(
            lambda: scaler.explain("woken").get("active") is False,
            60,
            "llm-scaler is sure that nothing is there",
        )
        assert lab.replicas("woken") == 0

        began = watch.now()
        fleet.request(prompt=200, output=4000)
        lab.wait(lambda: lab.replicas("woken") == 1, 30, "the first request wakes it")
        woken = watch.now() - began
        lab.wait(lambda: fleet.snapshot().running == 1, 30, "the request is worked on")
        began = watch.now()
        lab.wait(lambda: watch.now() - began > 3 * IDLE, 60, "time goes by with an empty queue")
        assert fleet.snapshot().running == 1, "the generation was to last longer than cooldownPeriod and idleFor"
        assert watch.seen("woken") == [0, 1]
        told = scaler.explain("woken")
        assert (told["answeredReplicas"], told["active"], told["idle"]["blockedBy"]) == (1, True, ["running is 1"]), (
            told
        )
        lab.say(
            f"queue: a generation longer than {3 * IDLE} s (idleFor {IDLE} s, cooldownPeriod {COOLDOWN} s): {told['reason']}"
        )

        for _ in range(60):
            fleet.request(prompt=200, output=1500)
        many = lambda: ((told := scaler.explain("woken")).get("answeredReplicas") or 0) >= 5 and told  # noqa: E731
        told = lab.wait(many, 60, "llm-scaler asks for more")
        lab.wait(lambda: lab.replicas("woken") >= 5, 60, "a long queue brings more replicas")
        lab.say(f"  60 more: {told['reason']}")
        lab.wait(lambda: fleet.snapshot().finished == 61, 120, "all is done")
        done, most = watch.now(), max(watch.seen("woken"))
        quietly = lambda: scaler.explain("woken").get("active") is False and scaler.explain("woken")  # noqa: E731
        told = lab.wait(quietly, 90, "llm-scaler says that it is inactive")
        assert told["idle"]["seconds"] >= told["idle"]["needed"] == IDLE
        lab.wait(lambda: watch.came_to("woken", 0), 60, "it goes back to 0")
    quiet = watch.at("woken", 0) - done
    lab.say(
        f"  0 -> 1 {woken:.0f} s after the first request (polled every 5 s); 60 more brought {most} replicas; "
        f"0 again {quiet:.0f} s after the last token (idleFor {IDLE} s); {fleet.snapshot().lost} requests lost"
    )
    assert quiet >= OVER + IDLE - 3  # Prometheus' last scrape with a running request may be as old as 2 s
    assert fleet.snapshot().lost == 0


def test_a_push_wakes_it_long_before_a_poll_also_after_many_reconnects(lab: Lab):
    scaler = LlmScaler(lab, "--grpc-max-connection-age", "10s")
    scaler.start()
    lab.fleet.queued["pushed"] = 0
    lab.apply(model("pushed", lab.fleet.port, gpus=0, replicas=0))
    # An error closes KEDA's connection and ends its stream until the next poll. So the first answer has to be sound, and Prometheus
    # to hold what that takes: a past as long as holdFor, before which no engine is not zero, and a queue that was there
    # a moment ago, since a tick asks for the last whole second.
    lab.wait(lambda: lab.query("count(up offset 25s)"), 60, "Prometheus has a past")
    queue = 'count({__name__=~".+_queue_size", target_model_name="pushed"} offset 4s)'
    lab.wait(lambda: lab.query(queue), 30, "it has the queue")
    with Front(scaler.address) as front, Watch(lab, "pushed") as watch:
        push = trigger(front.address, push=True, **QUEUE, model="pushed")
        lab.apply(scaled_object("pushed", "", triggers=[push], pollingInterval=300))
        listens = lambda: scaler.metric("llm_scaler_streams") == lab.streams  # noqa: E731
        lab.wait(listens, 30, "KEDA listens for pushes")
        lab.wait(lambda: front.connections >= 4, 120, "the connection has come of age three times")
        scaler.stop()  # as in a rollout
        scaler.start()
        lab.wait(listens, 60, "KEDA listens again")
        for _ in range(2):
            seen = front.connections
            front.cut()
            lab.wait(lambda: front.connections > seen and listens(), 60, "KEDA listens again")  # noqa: B023
        lab.wait(
            lambda: scaler.explain("pushed").get("active") is False,
            60,
            "llm-scaler is sure that nothing is there",
        )
        assert watch.seen("pushed") == [0]
        lab.fleet.queued["pushed"], began = 1, watch.now()
        lab.wait(lambda: lab.replicas("pushed") == 1, 60, "a push wakes it")
        woken = watch.now() - began
        lab.say(f"push: 0 -> 1 after {woken:.0f} s (polled every 300 s), on connection {front.connections}")
        assert woken < 15, "no poll comes so soon"
        told = scaler.explain("pushed")
        assert (told["answeredReplicas"], told["active"]) == (1, True), told["reason"]
