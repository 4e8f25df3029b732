"""What `convert` prints: it passes `check`, its trigger binds, and every value of the original is where it belongs."""

from datetime import datetime
from functools import cache
from itertools import product
from pathlib import Path

import pytest
import yaml

from scaler.check import check_file
from scaler.cli.main import main
from scaler.config.bind import bind, parse_file
from scaler.config.defaults import Defaults
from scaler.config.settings import read_settings
from scaler.config.trigger import parse_trigger
from scaler.convert import READERS, of_trees, read
from scaler.convert.write import document
from scaler.decision.schedule import scheduled
from scaler.model.errors import ConfigError
from scaler.model.measurement import TriggerRef
from scaler.model.strict_yaml import parse_yaml
from scaler.wiring.behavior import behavior_for

FOLDER = Path(__file__).parent / "originals"
ORIGINALS = sorted(path.name for path in FOLDER.iterdir())


@cache
def plans(name):
    return read((FOLDER / name).read_text(), name)


def written(plan):
    """The formula file and the ScaledObject that are printed."""
    text = document(plan, behavior_for(with_policy=plan.with_policy, most=plan.maximum.value))
    _, formula, scaled = text.split("---\n")
    return parse_yaml(formula, f"{plan.name}.yaml"), yaml.safe_load(scaled)


def spec_of(plan):
    """The ScaledObject's own trigger, bound to the formula file."""
    tree, scaled = written(plan)
    file = parse_file(tree, f"{plan.name}.yaml", plan.name)
    [trigger] = [one for one in scaled["spec"]["triggers"] if one["type"] == "external"]
    assert all(isinstance(value, str) for value in trigger["metadata"].values()), "KEDA wants text"
    meta = scaled["metadata"]
    request = TriggerRef(meta["namespace"], meta["name"], tuple(sorted(trigger["metadata"].items())))
    return bind(file, parse_trigger(request), Defaults(endpoints=()))


@pytest.mark.parametrize("name", ORIGINALS)
def test_what_it_prints_passes_check_and_binds(name):
    defaults = read_settings({"prometheus": "http://p"}, "s", {}, {}).defaults
    for plan in plans(name):
        tree, scaled = written(plan)
        if plan is plans(name)[0]:
            report = check_file(parse_file(tree, f"{plan.name}.yaml", plan.name), defaults)
            assert report.good, report
        assert scaled["kind"] == "ScaledObject"
        assert scaled["spec"]["scaleTargetRef"]["name"]
        assert scaled["spec"]["maxReplicaCount"] >= scaled["spec"]["minReplicaCount"]
        assert spec_of(plan).formula == plan.name


@pytest.mark.parametrize("name", ORIGINALS)
def test_every_line_below_the_head_says_where_it_comes_from(name):
    for plan in plans(name):
        for line in plan.formula:
            assert line.why or isinstance(line.value, tuple), line


def test_every_original_has_a_sample():
    read_here = {reader.system for reader in READERS for name in ORIGINALS if any(map(reader.reads, trees(name)))}
    assert read_here | {"Wallaroo"} == {reader.system for reader in READERS}


@cache
def trees(name):
    return [] if name.endswith("txt") else list(yaml.load_all((FOLDER / name).read_text(), yaml.CSafeLoader))


def test_knative():
    [plan] = plans("knative.yaml")
    spec, (_, scaled) = spec_of(plan), written(plan)
    assert (spec.target, spec.policy_kind) == (pytest.approx(12.8), "kpa")
    assert (spec.policy.stable_window, spec.policy.panic_window) == (120, 24)
    assert (spec.policy.panic_threshold, spec.policy.delay) == (1.5, 300)
    assert (scaled["spec"]["minReplicaCount"], scaled["spec"]["maxReplicaCount"]) == (1, 8)
    assert scaled["spec"]["cooldownPeriod"] == 90
    assert any(sentence.startswith("initial-scale") for sentence in plan.left)


def test_knative_defaults_and_requests_per_second():
    written_as = "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: a}\nspec: {template: {metadata: {annotations: {%s}}}}"
    [plan] = read(written_as % "", "k.yaml")
    assert spec_of(plan).target == 70
    assert plan.maximum.value == 100
    [plan] = read(written_as % "autoscaling.knative.dev/metric: rps", "k.yaml")
    assert (spec_of(plan).target, spec_of(plan).program.text) == (140, "requests")


def test_ray_service():
    [plan] = plans("ray.yaml")
    spec = spec_of(plan)
    assert (plan.name, spec.target, spec.policy_kind) == ("llmdeployment", 24, "ray")
    assert (spec.policy.look_back_period_s, spec.policy.upscale_delay_s, spec.policy.downscale_delay_s) == (20, 10, 300)
    assert spec.policy.downscaling_factor == 0.5
    assert any(sentence.startswith("metrics_interval_s") for sentence in plan.left)


def test_ray_llm_config_with_older_names():
    [plan] = plans("ray-llm.yaml")
    spec = spec_of(plan)
    assert (plan.model, spec.target, plan.minimum.value) == ("meta-llama/Llama-3-8b", 8, 0)
    assert (spec.policy.upscaling_factor, spec.policy.downscaling_factor) == (0.5, 0.5)


def test_an_autoscaling_config_alone():
    [plan] = read("{min_replicas: 1, max_replicas: 3, target_ongoing_requests: 5}", "config.yaml")
    assert (spec_of(plan).target, plan.maximum.value) == (5, 3)


def test_aibrix_with_schedules():
    [plan] = plans("aibrix.yaml")
    spec, (_, scaled) = spec_of(plan), written(plan)
    assert spec.program.text == "max(ready * kv_cache_usage / 0.5, waiting / 10)"
    assert (spec.policy.stable_window, spec.policy.panic_window, spec.policy.panic_threshold) == (120, 30, 2.5)
    assert (spec.policy.max_up, spec.policy.delay) == (3, 600)
    assert (scaled["spec"]["minReplicaCount"], scaled["spec"]["maxReplicaCount"]) == (1, 12)
    assert [one["type"] for one in scaled["spec"]["triggers"]] == ["external"]
    assert any("kpa.autoscaling.aibrix.ai/scale-down-delay" in sentence for sentence in plan.left)


@pytest.mark.parametrize(
    ("instant", "least", "most"),
    [
        ("2026-08-03T02:00:00+00:00", 3, 12),
        ("2026-08-03T10:00:00+00:00", 1, 10),
        ("2026-08-03T00:59:59+00:00", 1, 10),
        ("2026-08-03T01:00:00+00:00", 3, 12),
        ("2026-08-05T09:59:59+00:00", 3, 12),
        ("2026-08-06T02:00:00+00:00", 1, 10),  # a Thursday
    ],
)
def test_aibrix_schedules_hold_at_the_instants_of_its_own_tests(instant, least, most):
    [plan] = plans("aibrix.yaml")
    spec, (_, scaled) = spec_of(plan), written(plan)
    bounds = scheduled(spec.schedule, datetime.fromisoformat(instant).timestamp())
    floor = bounds.least if bounds else None
    ceiling = bounds.most if bounds else None
    usual = scaled["spec"]["minReplicaCount"], scaled["spec"]["maxReplicaCount"]
    assert (max(usual[0], floor or 0), min(usual[1], ceiling or usual[1])) == (least, most)


def test_aibrix_schedules_of_one_bound_inherit_the_other():
    original = yaml.safe_load((FOLDER / "aibrix.yaml").read_text())
    night = {"name": "night", "startTime": "00:00", "endTime": "06:00", "maxReplicas": 2}
    noon = {"name": "noon", "startTime": "12:00", "endTime": "13:00", "minReplicas": 5, "daysOfWeek": ["Sun"]}
    original["spec"]["schedules"] = [night, noon]
    [plan] = of_trees([original])
    windows = [
        (one.name, len(one.days), one.start, one.end, one.minimum, one.maximum) for one in spec_of(plan).schedule
    ]
    assert windows == [("night", 7, 0, 360, None, 2), ("noon", 1, 720, 780, 5, None)]
    original["spec"]["schedules"] = [{**noon, "startTime": "noon"}]
    with pytest.raises(ConfigError, match="schedules: 'noon' is no time of a day; allowed: HH:MM"):
        of_trees([original])


def test_aibrix_strategies():
    apa, hpa = plans("aibrix-apa.yaml")
    assert (spec_of(apa).policy_kind, spec_of(apa).metric_type, spec_of(apa).target) == ("apa", "Value", 0.5)
    assert triggers_beside(hpa) == [("cpu", "500")]
    assert hpa.behavior.value["scaleDown"]["stabilizationWindowSeconds"] == 300


def test_kthena_binding():
    [plan] = plans("kthena.yaml")
    spec = spec_of(plan)
    assert (plan.name, spec.target, spec.policy_kind, plan.minimum.value) == ("llama", 10, "kthena", 2)
    assert (spec.policy.up.instances, spec.policy.up.period, spec.policy.up.window) == (2, 30, 60)
    assert (spec.policy.down.either, spec.policy.panic.threshold, spec.policy.panic.hold) == (False, 150, 300)
    assert any(sentence.startswith("panicPolicy.period") for sentence in plan.left)


def test_kthena_new_form_with_roles():
    prefill, decode = plans("kthena-new.yaml")
    assert [plan.name for plan in (prefill, decode)] == ["llama-pd-prefill", "llama-pd-decode"]
    assert (spec_of(prefill).target, spec_of(prefill).metric_type) == (4, "AverageValue")
    assert (prefill.engine, decode.engine) == ("sglang", "vllm")
    assert {item.query.engine for item in spec_of(prefill).inputs if item.of_target} == {"sglang"}
    assert (spec_of(decode).target, spec_of(decode).metric_type) == (pytest.approx(0.8), "Value")


def test_wallaroo_from_python():
    gpu, cpu = plans("wallaroo.py.txt")
    assert (gpu.name, gpu.minimum.value, gpu.maximum.value) == ("deployment-with-gpu", 0, 5)
    assert (spec_of(gpu).policy.scale_up_queue_depth, spec_of(gpu).policy.autoscaling_window) == (5, 600)
    assert spec_of(cpu).policy.autoscale_cpu_utilization == 75


def test_wallaroo_from_json():
    [plan] = plans("wallaroo.json")
    assert (plan.maximum.value, spec_of(plan).policy.scale_down_queue_depth) == (5, 1)


def test_keda_triggers():
    [plan] = plans("keda.yaml")
    spec, (_, scaled) = spec_of(plan), written(plan)
    assert spec.program.text == "max(value / 5, value_2 / 100)"
    assert spec.activation.text == "value > 1 || value_2 > 0"
    assert (spec.scale_down, [item.on_missing for item in spec.inputs]) == (None, ["zero", "error"])
    assert scaled["spec"]["fallback"] == {"failureThreshold": 3, "replicas": 2}
    assert scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == {
        "scaleDown": {"stabilizationWindowSeconds": 120}
    }
    assert [one["type"] for one in scaled["spec"]["triggers"]] == ["external", "cron"]


def test_keda_modifiers():
    [plan] = plans("keda-modifiers.yaml")
    spec, (_, scaled) = spec_of(plan), written(plan)
    assert (spec.program.text, spec.target, spec.activation) == ("tokens_per_min >= 5000 ? request_rate : 0", 100, 1)
    assert scaled["spec"]["scaleTargetRef"]["kind"] == "StatefulSet"


def test_hpa():
    [plan] = plans("hpa.yaml")
    spec, (_, scaled) = spec_of(plan), written(plan)
    assert spec.program.text == "max(waiting / 4, external / 0.5)"
    assert (spec.policy, spec.scale_down) == (None, None)
    assert scaled["spec"]["triggers"][1] == {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "70"}}
    assert scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"] == {
        "stabilizationWindowSeconds": 600
    }


@pytest.mark.parametrize(
    ("kv", "queue", "replicas"),
    [
        ([0.75, 0.76], [2, 2], 3),
        ([0.5, 0.5], [1, 1], 2),
        ([0.2, 0.3, 0.25], [1, 1, 1], 2),
        ([0.7, 0.7], [0, 0], 2),
        ([0.9, 0.9], [6, 6], 6),
    ],
)
def test_wva_keeps_grows_and_shrinks_where_its_saturation_scaling_does(kv, queue, replicas):
    [plan] = plans("wva.yaml")
    scope = {
        "kv": sum(kv) / len(kv),
        "waiting": float(sum(queue)),
        "queued": 0.0,
        "running": 1.0,
        "ready": float(len(kv)),
    }
    value = spec_of(plan).program.evaluate(scope)
    assert -(-round(value, 9) // 1) == replicas


def test_a_value_out_of_range_is_refused_with_the_range():
    [plan] = read("{max_replicas: 3, target_ongoing_requests: 5, upscale_delay_s: -1}", "config.yaml")
    with pytest.raises(ConfigError, match=r"policy.upscale_delay_s: -1 is not allowed; .*from 0"):
        spec_of(plan)


@pytest.mark.parametrize("source", ["", "a: 1", "[1, 2]", "kind: Deployment\nmetadata: {name: a}", "}{", "import os"])
def test_what_is_no_configuration_is_refused(source):
    with pytest.raises(ConfigError, match="f.yaml"):
        read(source, "f.yaml")


def test_odd_manifests_are_refused_or_read_and_never_a_traceback():
    for name in ORIGINALS:
        for tree in trees(name):
            spec = tree.get("spec", {})
            for key, odd in product(spec, (None, [], "x", -1, {"a": {}})):
                try:
                    made = of_trees([{**tree, "spec": {**spec, key: odd}}])
                    [document(plan, {}) for plan in made]
                except ConfigError:
                    pass


def test_the_command_prints_both(tmp_path, capsys):
    assert main(["convert", str(FOLDER / "hpa.yaml")]) == 0
    text = capsys.readouterr().out
    assert text.startswith(
        "# HorizontalPodAutoscaler llama -> formulas/llama.yaml, and the ScaledObject below it\n#\n# Not carried over:\n# - "
    )
    assert "target: 1  # the formula is in replicas already" in text
    assert main(["convert", str(tmp_path / "none.yaml")]) == 1


@pytest.mark.parametrize(
    ("content", "problem"), [(b"[" * 5000, "is nested too deeply"), (b"\xff\xfe", "is not UTF-8 (byte 0)")]
)
def test_what_cannot_be_read_is_one_sentence(content, problem, tmp_path, capsys, monkeypatch):
    (tmp_path / "odd.yaml").write_bytes(content)
    assert main(["convert", str(tmp_path / "odd.yaml")]) == 1
    assert capsys.readouterr().err == f"llm-scaler: {tmp_path}/odd.yaml: {problem}\n"
    with (tmp_path / "odd.yaml").open() as written:
        monkeypatch.setattr("sys.stdin", written)
        assert main(["convert", "-"]) == 1
    assert capsys.readouterr().err == f"llm-scaler: standard input: {problem}\n"


# ---- shapes seen in public, with names of our own --------------------------------------------------------------------


def triggers_beside(plan):
    return [(one["type"], one["metadata"]["value"]) for one in plan.beside]


@pytest.mark.parametrize(
    ("name", "target", "bounds"), [("kserve-annotations.yaml", 7, (2, 20)), ("kserve-fields.yaml", 2.8, (0, 5))]
)
def test_an_inference_service_of_kserve_is_what_knative_reads_of_it(name, target, bounds):
    [plan] = plans(name)
    assert (spec_of(plan).target, spec_of(plan).policy_kind) == (pytest.approx(target), "kpa")
    assert (plan.minimum.value, plan.maximum.value) == bounds
    assert plan.target.name == f"{plan.name}-predictor"


@pytest.mark.parametrize(("name", "percent"), [("knative-hpa.yaml", "80"), ("aibrix-cpu.yaml", "70")])
def test_percent_of_cpu_is_not_taken_for_requests_or_cores(name, percent):
    [plan] = plans(name)
    assert triggers_beside(plan) == [("cpu", percent)]
    assert (spec_of(plan).program.text, spec_of(plan).policy_kind) == ("waiting", None)


def test_what_another_optimiser_has_decided_is_said():
    [plan] = plans("aibrix-optimizer.yaml")
    assert any("`variants`" in sentence for sentence in plan.left)


def test_kthena_metrics_are_measured_where_the_target_says():
    [plan] = plans("kthena-sources.yaml")
    assert spec_of(plan).program.text == "waiting"
    prefill, decode = plans("kthena-roles.yaml")
    assert [spec_of(plan).program.text for plan in (prefill, decode)] == ["waiting", "kv"]
    assert [(plan.minimum.value, plan.maximum.value) for plan in (prefill, decode)] == [(1, 8), (2, 16)]
    assert any("prefill: {ratios: {decode: {least: 0.25, most: 1}}}" in sentence for sentence in prefill.left)


def test_a_role_is_not_taken_for_the_whole_model_in_silence():
    [plan] = plans("kthena-role.yaml")
    assert any(sentence.startswith("role decode: a role has no /scale") for sentence in plan.left)


def test_triggers_of_other_types_that_a_formula_reads_are_there_to_be_filled_in():
    [plan] = plans("keda-rabbitmq.yaml")
    assert spec_of(plan).program.text == "max(p2d_ratio, qlen/1000)"
    assert [sentence.split(":")[0] for sentence in plan.left] == [
        "p2d_ratio is a trigger of type rabbitmq", "qlen is a trigger of type rabbitmq",
    ]  # fmt: skip


def test_a_query_of_several_lines_is_one():
    [plan] = plans("keda-vllm.yaml")
    assert spec_of(plan).inputs[0].query.text == 'sum(vllm:num_requests_waiting{namespace="llm", model_name="m"})'
    assert [one["type"] for one in plan.beside] == ["cron"]


def test_googles_names_of_metrics_are_those_of_prometheus():
    [plan] = plans("hpa-google.yaml")
    assert spec_of(plan).inputs[0].query.text == 'sum({__name__="vllm:num_requests_waiting",model_name="m"})'
