"""What `scaledobject` prints: KEDA's own schema takes it, `check` and the server take its trigger, and `doctor` finds it sound."""

import json
import os
from pathlib import Path

import jsonschema
import pytest
import yaml
from support.manifest_server import ManifestServer
from wiring.setups import Setup

from scaler.cli.main import main
from scaler.config.catalog import load
from scaler.config.defaults import Defaults
from scaler.wiring.behavior import behavior_for
from scaler.wiring.manifest import check_manifest, scaled_in
from scaler.wiring.scaled_object import cooldown_for
from scaler.wiring.targets import KINDS, engine_and_model

SCHEMA = json.loads((Path(__file__).parent / "keda-2.21.0-scaledobject.json").read_text())
SCALED = sorted(word for word, kind in KINDS.items() if not kind.refused)


@pytest.fixture
def write(capsys, tmp_path, monkeypatch):
    """Runs the command; returns exit code, the text, and what was said besides."""
    for variable in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(variable, raising=False)

    def run(*words):
        code = main(["scaledobject", *words])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def sound(text):
    """The ScaledObject in it, which KEDA's schema, the server and doctor take."""
    scaled = scaled_in(yaml.safe_load(text))
    jsonschema.validate({key: value for key, value in scaled["spec"].items() if value is not None}, SCHEMA)
    checked = check_manifest(scaled, load(), Defaults(endpoints=()))
    assert (checked.problems, checked.findings, checked.triggers) == ((), (), 1)
    return scaled


@pytest.mark.parametrize("least", ["0", "1", "3"])
@pytest.mark.parametrize("kind", SCALED)
def test_every_kind_is_taken_by_keda_the_server_and_doctor(kind, least, write, tmp_path, capsys):
    code, text, _ = write(f"{kind}/llama", "--offline", "--model", "llama-3-8b", "--min", least, "-n", "demo")
    assert code == 0
    sound(text)
    (tmp_path / "scaled.yaml").write_text(text)
    assert main(["check", str(tmp_path / "scaled.yaml")]) == 0
    assert "ScaledObject demo/llama: 1 trigger of llm-scaler" in capsys.readouterr().out


@pytest.mark.parametrize("word", ["rayservice", "rayclusters", "rayservice.ray.io"])
def test_what_cannot_be_scaled_is_refused_with_what_can(word, write):
    code, _, said = write(f"{word}/llama", "--offline", "--model", "m")
    assert code == 1
    assert "has no scale sub-resource, so KEDA cannot scale it" in said
    assert "rayclusterfleet/NAME" in said


def test_a_kind_that_is_not_known_is_told_with_those_that_are(write):
    code, _, said = write("daemonset/llama", "--offline", "--model", "m")
    assert code == 1
    known = "Deployment, DynamoGraphDeploymentScalingAdapter, LLMInferenceService, LeaderWorkerSet, ModelServing"
    assert f"is no kind that is known; allowed: {known}, RayClusterFleet, StatefulSet, StormService" in said


def test_every_line_that_is_a_choice_says_why(write):
    _, text, _ = write("deployment/llama", "--offline", "--model", "llama-3-8b", "--min", "0", "--startup", "7m")
    silent = {
        "apiVersion",
        "kind",
        "metadata",
        "spec",
        "advanced",
        "horizontalPodAutoscalerConfig",
        "behavior",
        "triggers",
    }
    for line in text.splitlines():
        key = line.strip().removeprefix("- ").partition(":")[0]
        assert ("  # " in line) is (key not in silent), line


def test_from_zero_it_is_pushed_and_goes_back_not_before_a_start(write):
    _, text, _ = write("deployment/llama", "--offline", "--model", "m", "--min", "0", "--startup", "7m")
    spec = sound(text)["spec"]
    assert spec["triggers"][0]["type"] == "external-push"
    assert (spec["cooldownPeriod"], spec["initialCooldownPeriod"]) == (420, 420)
    assert [cooldown_for(None), cooldown_for(90.0), cooldown_for(421.0)] == [300, 300, 480]
    _, text, _ = write("deployment/llama", "--offline", "--model", "m", "--min", "0", "--poll")
    spec = sound(text)["spec"]
    assert (spec["triggers"][0]["type"], spec["pollingInterval"]) == ("external", 5)


def test_an_outage_takes_nothing_away(write):
    _, text, _ = write("deployment/llama", "--offline", "--model", "m", "--min", "3")
    assert sound(text)["spec"]["fallback"] == {
        "failureThreshold": 3,
        "replicas": 3,
        "behavior": "currentReplicasIfHigher",
    }


def test_beside_a_policy_the_hpa_stands_aside(write, tmp_path):
    formula = "name: mine\nparameters: {model: {description: the model}}\nmetrics: {running: {signal: running}}\n"
    formula += "formula: running\ntarget: 8\nactivation: running > 0\npolicy: {kind: kpa}\n"
    (tmp_path / "mine.yaml").write_text(formula)
    words = (
        "deployment/llama",
        "--offline",
        "--model",
        "m",
        "--formula",
        "mine",
        "--formulas",
        str(tmp_path),
        "--max",
        "2000",
    )
    _, text, _ = write(*words)
    scaled = yaml.safe_load(text)
    behavior = scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior == behavior_for(with_policy=True, most=2000)
    assert behavior["scaleUp"]["policies"] == [{"type": "Pods", "value": 2000, "periodSeconds": 15}]
    jsonschema.validate(scaled["spec"], SCHEMA)
    _, text, _ = write("deployment/llama", "--offline", "--model", "m")
    assert sound(text)["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == behavior_for(
        with_policy=False, most=10
    )


def test_whatever_a_trigger_says_is_text(write):
    _, text, _ = write(
        "deployment/llama", "target=4", 'model=a "quoted" name', "--offline", "--expression", "waiting + running"
    )
    metadata = sound(text)["spec"]["triggers"][0]["metadata"]
    assert metadata["target"] == "4"
    assert metadata["model"] == 'a "quoted" name'


def test_tls_and_another_address(write):
    _, text, _ = write(
        *("deployment/llama", "--offline", "--model", "m", "--tls", "llm-scaler", "--scaler-address", "scaler.ops:7000")
    )
    [trigger] = sound(text)["spec"]["triggers"]
    assert trigger["authenticationRef"] == {"name": "llm-scaler", "kind": "ClusterTriggerAuthentication"}
    assert trigger["metadata"]["scalerAddress"] == "scaler.ops:7000"


def test_prefill_of_kserve(write):
    _, text, _ = write("llmisvc/llama", "--offline", "--model", "m", "--role", "prefill", "--min", "0")
    tree = yaml.safe_load(text)
    assert tree["spec"]["prefill"]["scaling"]["keda"]["idleReplicaCount"] == 0
    assert sound(text)["spec"]["minReplicaCount"] == 1


def test_the_cluster_says_engine_model_and_start_up(write, tmp_path):
    setup = Setup()
    container = setup.target["spec"]["template"]["spec"]["containers"][0]
    container |= {"image": "lmsysorg/sglang:v0.5", "args": ["--model-path", "meta/llama", "--served-model-name=llama"]}
    server = ManifestServer(setup.objects)
    words = ("deployment/llama", "--kubeconfig", server.kubeconfig(tmp_path), "-n", "demo", "--min", "0")
    code, text, said = write(*words)
    server.close()
    assert (code, said) == (0, "")
    spec = sound(text)["spec"]
    assert (spec["triggers"][0]["metadata"]["engine"], spec["triggers"][0]["metadata"]["model"]) == ("sglang", "llama")
    assert "a replica took 100 s" in text


def test_without_a_cluster_it_asks(write, tmp_path):
    code, _, said = write("deployment/llama", "--kubeconfig", str(tmp_path / "none"))
    assert code == 1
    assert "the cluster was not looked at" in said
    assert "--model: is needed: the pods do not say which model they serve" in said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["llama"], "is not KIND/NAME"),
        (["deploymnt/llama"], "did you mean deployment?"),
        (["deployment/llama", "--offline", "--model", "m", "--min", "10"], "10 is not above --min 10"),
        (["deployment/llama", "--offline", "--model", "m", "--formula", "queue-dept"], "did you mean queue-depth?"),
        (["deployment/llama", "--offline", "--model", "m", "tarket=3"], "tarket"),
        (["deployment/llama", "--offline", "--formula", "a", "--expression", "b"], "is given beside --formula"),
    ],
)
def test_what_is_mistyped_is_named(words, told, write):
    code, text, said = write(*words)
    assert code
    assert text == ""
    assert told in said


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        ({"image": "vllm/vllm-openai:v0.12", "args": ["--model", "m/llama", "--port", "8000"]}, ("vllm", "m/llama")),
        ({"image": "x", "command": ["vllm", "serve", "m/llama", "--served-model-name", "llama"]}, ("vllm", "llama")),
        ({"image": "x", "command": ["sh", "-c"], "args": ["exec vllm serve m/llama --port 8000"]}, ("vllm", "m/llama")),
        (
            {"image": "ghcr.io/huggingface/text-generation-inference:3", "env": [{"name": "MODEL_ID", "value": "m"}]},
            ("tgi", "m"),
        ),
        ({"image": "ghcr.io/ggml-org/llama.cpp:server", "args": ["--alias", "small"]}, ("llama-cpp", "small")),
        ({"image": "nginx"}, ("", "")),
        ({"image": "vllm/vllm-openai", "args": ["--model"]}, ("vllm", "")),
        ({"image": "vllm/vllm-openai", "command": ["sh", "-c", "vllm serve 'un"]}, ("vllm", "'un")),
    ],
)
def test_what_pods_say_of_engine_and_model(container, expected):
    manifest = {"spec": {"template": {"spec": {"containers": [{"image": "istio"}, container]}}}}
    assert engine_and_model(manifest) == expected


def test_a_manifest_that_is_wrong_fails_the_check(tmp_path, capsys):
    text = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: llama}
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: llama}
spec:
  scaleTargetRef: {name: llama}
  maxReplicaCount: 5
  triggers:
  - type: external
    metricType: Value
    metadata: {scalerAddress: "llm-scaler.keda:6000", formula: queue-depth, modle: m}
"""
    (tmp_path / "wrong.yaml").write_text(text)
    assert main(["check", str(tmp_path / "wrong.yaml")]) == 1
    printed = capsys.readouterr().out
    assert "modle" in printed
    assert "[metric-type]" in printed
    assert "[fallback]" in printed
    assert os.linesep.join(printed.splitlines()[:1]).startswith("FAILED")


def test_numbers_in_metadata_are_named(tmp_path, capsys):
    (tmp_path / "n.yaml").write_text(
        "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {name: a}\nspec: {triggers: [{type: external, "
        "metadata: {scalerAddress: 'a.b:1', formula: queue-depth, target: 8}}]}\n"
    )
    assert main(["check", str(tmp_path / "n.yaml")]) == 1
    assert "target: 8 is no text, as KEDA wants it" in capsys.readouterr().out
