"""What the wire really means to KEDA and the HPA: targets, tolerance, ScaledJobs, other triggers, pauses, certificates, and many at once."""

import json
from collections.abc import Mapping

from laboratory.lab import Lab, condition
from laboratory.llm_scaler import LlmScaler
from laboratory.objects import Object, model, scaled_object, trigger
from laboratory.watch import Watch
from laboratory.workloads import QUEUED, queued


def test_a_target_edited_in_a_formula_file_and_in_a_trigger(lab: Lab, scaler: LlmScaler):
    (scaler.formulas / "team.yaml").write_text(
        "name: team\nparameters: {model: {}}\nmetrics: {queued: {signal: queued}}\nformula: queued\ntarget: 6\n"
    )
    lab.fleet.queued["edited"] = 12
    lab.apply(model("edited", lab.fleet.port, gpus=0, replicas=0))
    metadata = {"formula": "team", "model": "edited", "holdFor": "5s"}
    lab.apply(scaled_object("edited", scaler.address, metadata))
    with Watch(lab, "edited") as watch:
        lab.wait(lambda: lab.replicas("edited") == 2, 90, "12 queued at 6 a replica are 2 replicas")
        reasons = [scaler.reason("edited")]
        file = scaler.formulas / "team.yaml"
        file.write_text(file.read_text().replace("target: 6", "target: 3"))
        lab.wait(lambda: lab.replicas("edited") == 4, 60, "the file says 3 now, and KEDA was told nothing")
        reasons.append(scaler.reason("edited"))
        lab.apply(scaled_object("edited", scaler.address, metadata | {"target": "2"}))
        lab.wait(lambda: watch.came_to("edited", 6), 60, "the trigger says 2 now")
        reasons.append(scaler.reason("edited"))
        assert reasons == [f"{12 // at} replicas: queued = 12, at {at} a replica" for at in (6, 3, 2)]
        metrics = lab.get("HorizontalPodAutoscaler", "keda-hpa-edited") or {}
        assert metrics["spec"]["metrics"][0]["external"]["target"] == {"type": "AverageValue", "averageValue": "1"}
        assert not watch.falls()
    lab.say(f"targets edited: {watch.seen('edited')} replicas for 12 queued at 6, 3 (file) and 2 (trigger)")


def test_the_hpa_s_tolerance_swallows_the_eleventh_and_the_twelfth_replica(lab: Lab, scaler: LlmScaler):
    for name in ("plain", "strict"):
        queued(lab, scaler.address, name, 9, maxReplicaCount=20)
    strict = {"scaleUp": {"tolerance": "0"}, "scaleDown": {"tolerance": "0", "stabilizationWindowSeconds": 0}}
    behavior = {"advanced": {"horizontalPodAutoscalerConfig": {"behavior": strict}}}
    lab.api.patch("ScaledObject", "strict", {"spec": behavior})
    with Watch(lab, "plain", "strict") as watch:
        both = lambda: (lab.replicas("plain"), lab.replicas("strict"))  # noqa: E731
        lab.wait(lambda: both() == (9, 9), 120, "9 each")
        seen = []
        for asked, plain in ((10, 10), (11, 10), (12, 12), (11, 12), (9, 9)):
            lab.fleet.queued |= dict.fromkeys(("plain", "strict"), asked)
            lab.wait(lambda: both() == (plain, asked), 60, f"{asked} asked for give {plain} and {asked}")  # noqa: B023
            if plain != asked:
                watch.hold(7)  # at least one more look of the HPA
                assert both() == (plain, asked)
                assert "within the tolerance" in scaler.explain("plain")["hpa"]["rows"][0]["why"]
            seen.append(f"{asked}: {plain} and {asked}")
        assert scaler.explain("plain")["hpa"]["tolerance"] == {"down": 0.1, "up": 0.1}
        assert scaler.explain("strict")["hpa"]["tolerance"] == {"down": 0.0, "up": 0.0}
    lab.say(f"asked for so many, the HPA gives with a tolerance of 10 % and of 0: {', '.join(seen)}")


def test_a_second_trigger_beside_ours_a_pause_and_a_scaled_job(lab: Lab, scaler: LlmScaler):
    queued(lab, scaler.address, "paused", 2)
    job = {"template": {"spec": {"containers": [{"name": "train", "image": "train"}], "restartPolicy": "Never"}}}
    other = {"serverAddress": lab.prometheus_url, "query": "vector(3)", "threshold": "1"}
    ours = trigger(scaler.address, **QUEUED, model="beside")
    lab.fleet.queued |= {"beside": 0, "jobs": 0}
    lab.apply(model("beside", lab.fleet.port, gpus=0, replicas=0))
    lab.apply(scaled_object("beside", "", triggers=[ours, {"type": "prometheus", "metadata": other}]))
    lab.apply(
        {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledJob",
            "metadata": {"name": "jobs", "namespace": "default"},
            "spec": {
                "jobTargetRef": job,
                "pollingInterval": 5,
                "maxReplicaCount": 4,
                "triggers": [trigger(scaler.address, **QUEUED, model="jobs", kind="ScaledJob")],
            },
        }
    )
    with Watch(lab, "paused", "beside") as watch:
        lab.wait(lambda: lab.replicas("beside") == 3, 90, "the other trigger asks for 3, ours for none")
        lab.wait(lambda: lab.replicas("paused") == 2, 60, "2 queued, 2 replicas")
        assert scaler.explain("jobs")["answeredReplicas"] == 0
        assert not lab.api.items("Job", "default")

        pause = {"metadata": {"annotations": {"autoscaling.keda.sh/paused": "true"}}}
        lab.api.patch("ScaledObject", "paused", pause)
        lab.wait(lambda: condition(lab.get("ScaledObject", "paused") or {}, "Paused"), 30, "KEDA pauses it")
        lab.fleet.queued |= {"paused": 5, "beside": 6, "jobs": 2}
        lab.wait(lambda: lab.replicas("beside") == 6, 60, "ours asks for 6, the other for 3")
        lab.wait(lambda: len(lab.api.items("Job", "default")) >= 2, 60, "2 queued, 2 jobs")
        assert scaler.explain("jobs")["workload"]["kind"] == "ScaledJob"
        assert lab.replicas("paused") == 2
        assert scaler.explain("paused")["answeredReplicas"] == 5
        assert "! paused by the annotation paused: true" in scaler.text("paused")
        assert "! Paused is True: " in scaler.text("paused"), "as KEDA says itself"
        assert "also triggered by prometheus: the largest answer of all counts" in scaler.text("beside")
        lab.fleet.queued["jobs"] = 0
        lab.wait(lambda: scaler.explain("jobs")["answeredReplicas"] == 0, 30, "nothing more to train")
        lab.api.patch("ScaledObject", "paused", {"metadata": {"annotations": {"autoscaling.keda.sh/paused": None}}})
        lab.wait(lambda: lab.replicas("paused") == 5, 60, "it follows again")
        made = len(lab.api.items("Job", "default"))
        watch.hold(6)  # at least one more poll
        assert len(lab.api.items("Job", "default")) == made, "nothing is queued, so no job is started"
        scaler.kill()
        watch.hold(15)
        assert lab.replicas("beside") == 6, "one of two triggers fails, and the other asks for less"
    lab.say(f"beside a trigger that asks for 3: {watch.seen('beside')} replicas, also when llm-scaler dies")
    lab.say(
        f"paused at 2 while 5 are asked for: {watch.seen('paused')} replicas; a ScaledJob with 2 queued: 2 jobs a poll"
    )


def test_mutual_tls_by_trigger_authentication(lab: Lab):
    server, client = lab.authority.issue("llm-scaler"), lab.authority.issue("keda")
    tls = ("--grpc-tls-cert", server.cert, "--grpc-tls-key", server.key, "--grpc-tls-client-ca", lab.authority.cert)
    scaler = LlmScaler(lab, *map(str, tls))
    scaler.start()
    texts = {"ca": lab.authority.cert, "cert": client.cert, "key": client.key}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tls", "namespace": "default"}}
    lab.apply(secret | {"stringData": {name: path.read_text() for name, path in texts.items()}})
    lab.apply([_authentication("with", {"caCert": "ca", "tlsClientCert": "cert", "tlsClientKey": "key"})])
    lab.apply([_authentication("without", {"caCert": "ca"})])
    for name in ("with", "without"):
        lab.fleet.queued[name] = 2
        lab.apply(model(name, lab.fleet.port, gpus=0, replicas=0))
        asks = trigger(scaler.address, **QUEUED, model=name) | {"authenticationRef": {"name": name}}
        lab.apply(scaled_object(name, "", triggers=[asks]))
    lab.wait(lambda: lab.replicas("with") == 2, 90, "a client with a certificate is answered")
    assert [scaler.explain(name)["answeredReplicas"] for name in ("with", "without")] == [2, 2], (
        "who asks does not matter"
    )

    def refused() -> list[str]:
        lines = lab.log("keda-operator", 5000).splitlines()
        return [line for line in lines if '"name":"without","error"' in line and "connection error" in line]

    told = json.loads(lab.wait(refused, 60, "KEDA logs that it is refused")[-1])["error"]
    assert lab.replicas("without") == 0
    lab.say(f"mutual TLS: 2 replicas with a certificate; without, 0, and KEDA's log says {told}")


def test_forty_at_once(lab: Lab, scaler: LlmScaler):
    names = [f"model-{number}" for number in range(40)]
    lab.fleet.queued |= dict.fromkeys(names, 2)
    lab.apply([model(name, lab.fleet.port, gpus=0, replicas=0) for name in names])
    with Watch(lab, *names) as watch:
        lab.apply([scaled_object(name, scaler.address, QUEUED | {"model": name}) for name in names])
        lab.wait(lambda: all(watch.came_to(name, 2) for name in names), 150, "40 of them have 2 replicas each")
        took = watch.now()
    calls = scaler.metric("llm_scaler_calls_total")
    told = [scaler.explain(name) for name in names]
    assert {(one["answeredReplicas"], one["certainty"], one["value"]) for one in told} == {(2, "certain", 2.0)}
    lab.say(f"40 ScaledObjects at once: all at 2 replicas after {took:.0f} s, {calls:.0f} calls")
    assert all(set(watch.seen(name)) <= {0, 1, 2} for name in names)


def _authentication(name: str, keys: Mapping[str, str]) -> Object:
    references = [{"parameter": parameter, "name": "tls", "key": key} for parameter, key in keys.items()]
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "TriggerAuthentication",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"secretTargetRef": references},
    }
