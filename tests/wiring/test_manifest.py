"""The ScaledObject that a manifest is, or that KServe makes of one."""

from scaler.wiring.manifest import scaled_in


def inference_service(**scaling):
    return {
        "kind": "LLMInferenceService",
        "metadata": {"name": "llama", "namespace": "team"},
        "spec": {"scaling": scaling},
    }


def test_what_kserve_makes_has_one_replica_at_least_unless_said():
    keda = {"pollingInterval": 5, "cooldownPeriod": None}
    made = scaled_in(inference_service(keda=keda, maxReplicas=4))
    assert made["kind"] == "ScaledObject"
    assert made["spec"] == {
        "pollingInterval": 5,
        "scaleTargetRef": {"name": "llama-kserve"},
        "minReplicaCount": 1,
        "maxReplicaCount": 4,
    }
    assert scaled_in(inference_service(keda=keda, minReplicas=3))["spec"]["minReplicaCount"] == 3
    assert scaled_in(inference_service(maxReplicas=4)) is None, "it is scaled by another"


def test_what_is_no_manifest_is_none():
    assert scaled_in(None) is None
    assert scaled_in({"kind": "Deployment"}) is None
    assert scaled_in({"kind": "ScaledObject", "apiVersion": "other/v1"}) is None
