"""Objects as they are written: what is understood, and what is refused with a sentence."""

import pickle

import pytest
from support.backtests import binding, cron, ours, prometheus, scaled_object, subject

from scaler.cluster.keda import Fallback, KedaTrigger
from scaler.model.behavior import RatePolicy
from scaler.model.errors import ConfigError
from scaler.model.measurement import PromqlQuery
from scaler.sim.backtest.subject import CronTrigger, FormulaTrigger, QueryTrigger, read_subject, unmeasured


def test_a_scaled_object_with_everything():
    read = subject(
        ours(),
        prometheus("sum(x)", "5", "queue", activationThreshold="2", ignoreNullValues="false"),
        cron(name="office"),
        minReplicaCount=2,
        maxReplicaCount=9,
        idleReplicaCount=0,
        cooldownPeriod=60,
        pollingInterval=10,
        fallback={"replicas": 4, "failureThreshold": 2, "behavior": "currentReplicasIfHigher"},
        advanced={
            "horizontalPodAutoscalerConfig": {
                "behavior": {"scaleDown": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}}
            }
        },
    )
    scaled = read.scaled
    assert (scaled.min_replica_count, scaled.max_replica_count, scaled.idle_replica_count) == (2, 9, 0)
    assert (scaled.cooldown_period, scaled.polling_interval) == (60.0, 10.0)
    assert scaled.fallback == Fallback(4, 2, "currentReplicasIfHigher")
    assert scaled.behavior.down.policies == (RatePolicy("Pods", 1, 60),)
    assert scaled.behavior.down.window == 300, "what is left out has the default"
    assert scaled.triggers == (KedaTrigger("s0"), KedaTrigger("queue", 5.0), KedaTrigger("office"))
    formula, query, clock = read.triggers
    assert isinstance(formula, FormulaTrigger)
    assert query == QueryTrigger(PromqlQuery("default", "sum(x)"), 2.0, absent_is_zero=False)
    assert isinstance(clock, CronTrigger)
    assert read.interval == 5.0


def test_keda_s_own_defaults():
    scaled = read_subject(
        {"kind": "ScaledObject", "metadata": {"name": "a"}, "spec": {"triggers": [cron()]}}, binding()
    ).scaled
    assert (scaled.min_replica_count, scaled.max_replica_count) == (0, 100)
    assert (scaled.polling_interval, scaled.cooldown_period, scaled.behavior) == (30.0, 300.0, None)


def test_scaling_modifiers_are_evaluated_over_the_triggers_names():
    made = {"formula": "queue + office * 2", "target": "4", "activationTarget": "1"}
    modifiers = subject(
        prometheus(name="queue"), cron(name="office"), advanced={"scalingModifiers": made}
    ).scaled.modifiers
    assert modifiers.formula({"queue": 3.0, "office": 2.0}) == 7.0
    assert (modifiers.target, modifiers.activation_target, modifiers.metric_type) == (4.0, 1.0, "AverageValue")


def test_an_empty_block_of_modifiers_as_the_api_server_writes_it_is_none():
    assert subject(ours(), advanced={"scalingModifiers": {}}).scaled.modifiers is None


def test_other_triggers_take_a_query_for_their_value():
    kafka = {"type": "kafka", "name": "lag", "metadata": {"lagThreshold": "10", "topic": "t"}}
    read = subject(kafka, queries={"lag": "sum(lag)"})
    assert (read.scaled.triggers, read.triggers) == (
        (KedaTrigger("lag", 10.0),),
        (QueryTrigger(PromqlQuery("default", "sum(lag)")),),
    )
    cpu = {"type": "cpu", "metadata": {"value": "60"}}
    read = subject(ours(), cpu, queries={"s1": "utilization"})
    assert read.scaled.triggers[1] == KedaTrigger("s1", 60.0, "Value"), "a utilization is a ratio"
    assert not read.triggers[1].wakes


HPA = {
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"namespace": "demo", "name": "llama"},
    "spec": {
        "scaleTargetRef": {"kind": "Deployment", "name": "server"},
        "minReplicas": 2,
        "maxReplicas": 7,
        "metrics": [
            {
                "type": "External",
                "external": {"metric": {"name": "queue"}, "target": {"type": "AverageValue", "averageValue": "500m"}},
            },
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
            },
        ],
    },
}


def test_an_hpa_of_its_own_with_a_query_for_each_metric():
    read = read_subject(HPA, binding(queue="sum(q)", cpu="avg(c)"))
    assert (read.target, read.has_keda) == ("server", False)
    assert (read.scaled.min_replica_count, read.scaled.max_replica_count) == (2, 7)
    assert read.scaled.triggers == (KedaTrigger("queue", 0.5), KedaTrigger("cpu", 70.0, "Value"))


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"kind": "Deployment"}, "kind: 'Deployment' cannot be played again"),
        (scaled_object(), "triggers: are none"),
        (scaled_object({"type": "kafka", "metadata": {}}), "type 'kafka' is measured by nothing .* --query 's0=PROMQL'"),
        (scaled_object(prometheus(threshold="many")), r"triggers\[0\].metadata.threshold: 'many'"),
        (scaled_object({"type": "prometheus", "metadata": {"threshold": "1"}}), r"metadata.query: is missing"),
        (scaled_object(cron(zone="Moon")), "timezone: 'Moon' is no time zone"),
        (scaled_object(ours(formula="nobody")), "no formula 'nobody'"),
        (scaled_object({**ours(), "metricType": "Value"}), "metricType: is not AverageValue"),
        (scaled_object(cron(), advanced={"scalingModifiers": {"formula": "cron_trigger + 1", "target": "1"}}), "scalingModifiers.formula"),
        (scaled_object(cron(), minReplicaCount="few"), "spec.minReplicaCount: 'few' is not allowed"),
        (scaled_object(cron(), fallback={"replicas": 1}), "fallback.failureThreshold: is missing"),
        (HPA, "what 'queue' measures is known to the cluster alone; allowed: --query 'queue=PROMQL'"),
        ({**HPA, "spec": {**HPA["spec"], "minReplicas": 0}}, "minReplicas: is 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_played_is_refused_by_its_key(tree, words):
    with pytest.raises(Exception, match=words) as error:
        read_subject(tree, binding())
    assert type(error.value).__name__ in {"ConfigError", "FormulaSyntaxError", "UnknownFormula"}


def test_what_was_never_recorded_is_said_and_a_pause_is_noted():
    assert "counts GPUs" in unmeasured(subject(ours(formula="spare-gpus", target="")))
    assert unmeasured(subject(ours())) == ""
    tree = scaled_object(cron())
    tree["metadata"]["annotations"] = {"autoscaling.keda.sh/paused": "true"}
    assert "autoscaling.keda.sh/paused is left out" in read_subject(tree, binding()).notes[0]


def test_an_object_can_be_sent_to_another_process():
    made = {"formula": "s0 + s1", "target": "4"}
    read = subject(ours(), cron(), advanced={"scalingModifiers": made})
    again = pickle.loads(pickle.dumps(read))
    assert again.scaled.modifiers.formula({"s0": 1.0, "s1": 2.0}) == 3.0
    assert again.triggers[0].spec.key == read.triggers[0].spec.key


def test_an_external_trigger_that_llm_scaler_refuses_is_refused_here():
    with pytest.raises(ConfigError, match="tagret: unknown key"):
        subject(ours(tagret="4"))
