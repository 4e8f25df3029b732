"""Who asks llm-scaler, and when: KEDA's loop or the HPA alone, after errors, from several operators, and beside a CPU trigger."""

import pytest
from laboratory import parts
from laboratory.fleet import Load
from laboratory.front import Front
from laboratory.lab import Lab, condition
from laboratory.llm_scaler import LlmScaler
from laboratory.objects import model, scaled_object, trigger
from laboratory.process import free_ports
from laboratory.resource_metrics import ResourceMetrics
from laboratory.watch import Watch
from laboratory.workloads import QUEUED, queued

LOOK = 5  # seconds between two looks of the HPA


def asked(scaler: LlmScaler) -> float:
    """How often it was asked for a number."""
    return scaler.metric('llm_scaler_calls_total{code="OK",method="GetMetrics"}')


def test_with_a_minimum_of_one_the_hpa_alone_asks(lab: Lab, scaler: LlmScaler):
    """At one poll a second it shows whether KEDA's loop asks, too; until 2.21 it did."""
    lab.fleet.load = Load(model="floor")
    queued(lab, scaler.address, "floor", 3, minReplicaCount=1, pollingInterval=1)
    with Watch(lab, "floor") as watch:

        def counted() -> float:
            """Calls a second."""
            before = asked(scaler)
            watch.hold(4 * LOOK)
            return (asked(scaler) - before) / (4 * LOOK)

        def observed() -> bool:
            hpa = lab.get("HorizontalPodAutoscaler", "keda-hpa-floor") or {}
            return condition(hpa, "ScalingActive") and watch.came_to("floor", 3)

        lab.wait(observed, 90, "3 queued, 3 replicas, and the HPA measures")
        watch.hold(LOOK)
        floor = counted()
        for wanted in (5, 1):
            lab.fleet.queued["floor"] = wanted
            lab.wait(lambda: watch.came_to("floor", wanted), 60, f"{wanted} queued, {wanted} replicas")  # noqa: B023
        lab.fleet.queued["floor"] = 0
        lab.wait(lambda: scaler.explain("floor").get("active") is False, 60, "nothing is queued any more")
        watch.hold(2 * LOOK)
        assert lab.replicas("floor") == 1
        lab.fleet.queued["floor"] = 3
        lab.wait(lambda: watch.came_to("floor", 3), 60, "3 queued, 3 replicas")
        lab.api.patch("ScaledObject", "floor", {"spec": {"minReplicaCount": 0}})
        watch.hold(2 * LOOK)
        zero = counted()
        lab.api.patch("ScaledObject", "floor", {"spec": {"minReplicaCount": 1}})
        watch.hold(2 * LOOK)
        lab.kill("prometheus")  # an error, and the HPA reports that it does not measure
        why = lambda: [text for text in lab.events("floor", "KEDAScalerFailed") if "holdFor" in text]  # noqa: E731
        told = lab.wait(why, 90, "an event says why")[-1]
        watch.hold(2 * LOOK)
        assert lab.replicas("floor") == 3
    lab.say(
        f"GetMetrics a second, polled every second, minReplicaCount 1: {floor:.1f}; 0: {zero:.1f}; an event: {told}"
    )
    assert zero > 1, "the loop polls, and the HPA looks"
    alone = lab.judges.version("keda") >= (2, 21)
    assert (floor < 2 / LOOK) if alone else (floor > 1), "the HPA looks, and nobody else asks"


def test_idle_at_none_and_a_minimum_of_two(lab: Lab, scaler: LlmScaler):
    lab.fleet.load = Load(model="idle")
    queued(lab, scaler.address, "idle", 0, push=True, minReplicaCount=2, idleReplicaCount=0)
    with Watch(lab, "idle") as watch:
        lab.wait(lambda: scaler.explain("idle").get("active") is False, 60, "nothing is queued")
        watch.hold(2 * LOOK)
        assert watch.seen("idle") == [0]
        lab.fleet.queued["idle"], began = 1, watch.now()
        lab.wait(lambda: lab.replicas("idle") > 0, 60, "a request wakes it")
        woken = watch.now() - began
        lab.wait(lambda: watch.came_to("idle", 2), 30, "to its minimum")
        lab.fleet.queued["idle"] = 5
        lab.wait(lambda: watch.came_to("idle", 5), 60, "5 queued, 5 replicas")
        text = scaler.text("idle")
        lab.fleet.queued["idle"], began = 0, watch.now()
        lab.wait(lambda: watch.came_to("idle", 0), 90, "it is idle again")
        quiet = watch.now() - began
    lab.say(
        f"idleReplicaCount 0, minReplicaCount 2: {watch.seen('idle')} replicas, woken after {woken:.0f} s, idle {quiet:.0f} s after"
    )
    assert watch.seen("idle") in ([0, 2, 5, 2, 0], [0, 2, 5, 0]), text
    assert quiet >= 10, "before its cooldownPeriod"


def test_a_wake_just_after_errors_alone_on_an_address_and_beside_another(lab: Lab, scaler: LlmScaler):
    """After an error KEDA 2.21 closes the connection if nobody else uses the address, and with it the stream of pushes."""
    poll, hold = 30, 2
    names = ("alone", "beside")
    with Front(scaler.address) as alone, Front(scaler.address) as shared, Watch(lab, *names) as watch:
        lab.fleet.queued["llama"] = 0  # one model, whose requests wake all of them
        for name, front, held in (("alone", alone, hold), ("beside", shared, hold), ("steady", shared, 600)):
            queued(
                lab, front.address, name, 0, {"model": "llama", "holdFor": f"{held}s"}, push=True, pollingInterval=poll
            )
        quiet = lambda: all(scaler.explain(name).get("active") is False for name in names)  # noqa: E731
        lab.wait(quiet, 60, "nothing is queued")
        watch.hold(LOOK)  # what it could not say at first is over
        lab.wait(lambda: scaler.metric("llm_scaler_streams") == 3 * lab.streams, 90, "KEDA listens for pushes")

        def woken() -> dict[str, float]:
            """Seconds from when llm-scaler knows of a request to the first replica."""
            lab.fleet.queued["llama"] = 1
            lab.wait(lambda: all(scaler.explain(name).get("active") for name in names), 30, "it knows of a request")
            knows = watch.now()
            lab.wait(lambda: all(watch.came_to(name, 1) for name in names), 2 * poll, "both are woken")
            return {name: max(watch.at(name, 1) - knows, 0.0) for name in names}

        before = woken()
        lab.fleet.queued["llama"] = 0
        lab.wait(lambda: all(watch.came_to(name, 0) for name in names), 120, "both are at zero again")
        connections = alone.connections
        errors = lambda: scaler.metric('llm_scaler_calls_total{code="UNAVAILABLE",method="GetMetrics"}')  # noqa: E731
        before_errors = errors()
        lab.kill("prometheus")
        # Two polls of each, and KEDA repeats each at once.
        lab.wait(lambda: errors() - before_errors >= 2 * 2 * len(names), 4 * poll, "polls fail")
        lab.start("prometheus")
        after = woken()
        lab.say(
            f"a wake by a push, seconds after llm-scaler knows: {_told(before)}; just after 2 polls that failed: {_told(after)}"
        )
        lab.say(f"  connections of who is alone: {connections} before the errors, {alone.connections} after")
        assert max(before.values()) < 5
        assert after["beside"] < 5, "another keeps the connection"
        assert after["alone"] < poll + 5, "its next poll wakes it at the latest"


def test_two_operators_each_with_objects_of_its_own_ask_one_llm_scaler(lab: Lab, scaler: LlmScaler):
    if lab.judges.version("keda") < (2, 21):
        pytest.skip("operators choose objects by their labels since KEDA 2.21")
    lab.kill("keda-operator")
    ports = dict(zip(parts.KEDA_PORTS, free_ports(), strict=False))
    lab.run(parts.keda_operator(lab.site, "shard-a", "shard=a"))  # where KEDA's adapter asks
    lab.run(parts.keda_operator(lab.site, "shard-b", "shard=b", ports))
    with Front(scaler.address) as front, Watch(lab, "in-a", "in-b") as watch:
        for name in ("a", "b"):
            queued(lab, front.address, f"in-{name}", 3, push=True, labels={"shard": name})
        lab.wait(
            lambda: all(scaler.explain(name).get("answeredReplicas") == 3 for name in ("in-a", "in-b")), 60, "both ask"
        )
        lab.wait(lambda: watch.came_to("in-a", 3), 90, "the first operator's object gets what it asks for")
        lab.wait(lambda: lab.replicas("in-b") >= 1, 60, "the other's is woken by its own operator")
        lab.wait(lambda: scaler.metric("llm_scaler_streams") == 2 * lab.streams, 30, "each listens")
        watch.hold(4 * LOOK)
        other = watch.seen("in-b")
        hpa = lab.get("HorizontalPodAutoscaler", "keda-hpa-in-b") or {}
        [why] = [one["message"] for one in hpa["status"]["conditions"] if one["type"] == "ScalingActive"]
        decisions = [scaler.explain(name)["answeredReplicas"] for name in ("in-a", "in-b")]
        assert decisions == [3, 3]
        assert front.connections >= 2, "each operator has a connection of its own"
    lab.say(
        f"two operators on one llm-scaler: {watch.seen('in-a')} and {other} replicas of 3 asked for; the other's HPA: {why}"
    )


def test_a_cpu_trigger_beside_ours(lab: Lab, scaler: LlmScaler):
    cpu = {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "50"}}
    lab.fleet.load = Load(model="warm")
    lab.fleet.queued["warm"] = 2
    warm = model("warm", lab.fleet.port, gpus=0, replicas=0)
    [container] = warm["spec"]["template"]["spec"]["containers"]
    container["resources"] = {"requests": {"cpu": "1"}}
    lab.apply(warm)
    with ResourceMetrics(lab) as usage, Watch(lab, "warm") as watch:
        usage.cores = 0.5
        ours = trigger(scaler.address, **QUEUED, model="warm")
        lab.apply(scaled_object("warm", "", triggers=[ours, cpu]))
        lab.wait(lambda: watch.came_to("warm", 2), 90, "2 queued, and the processor is as busy as it should be")
        watch.hold(2 * LOOK)
        usage.cores = 1.0
        lab.wait(lambda: watch.came_to("warm", 4), 60, "twice as busy: 4 replicas")
        usage.cores = 0.5
        lab.fleet.queued["warm"] = 6
        lab.wait(lambda: watch.came_to("warm", 6), 60, "6 queued")
        text = scaler.text("warm")
        scaler.kill()
        usage.cores = 0.1
        watch.hold(3 * LOOK)
        assert watch.came_to("warm", 6), "one of two triggers fails, so that nothing is lowered"
        scaler.start()
        lab.fleet.queued["warm"] = 1
        lab.wait(lambda: watch.came_to("warm", 2), 60, "1 queued, and a fifth as busy as it should be: 6 * 0.1 / 0.5")
        usage.cores = 0.5
        lab.fleet.queued["warm"] = 0
        lab.wait(
            lambda: watch.came_to("warm", 0), 90, "nothing is queued: a processor that is busy keeps nothing awake"
        )
    lab.say(f"a CPU trigger beside ours: {watch.seen('warm')} replicas")
    assert "also triggered by cpu" in text


def _told(seconds: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())
