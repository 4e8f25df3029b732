"""Every block of the README is executed: shell in one session, YAML as what its first line says it is."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from support.prometheus_server import free_port

from scaler.check import check_file
from scaler.config.endpoint import PodPages
from scaler.config.formula_file import RESERVED_KEYS, bind, parse_file
from scaler.config.settings import KEYS, read_settings
from scaler.config.trigger import NOT_YET_KEYS, parse_trigger
from scaler.model.measurement import Request
from scaler.model.strict_yaml import parse_yaml
from scaler.server.metrics import METRICS

REPO = Path(__file__).parents[1]
README = (REPO / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def blocks(language):
    return [body for kind, body in BLOCKS if kind == language]


def of_kind(kind):
    [body] = [body for body in blocks("yaml") if body.startswith(f"# {kind}\n")]
    return yaml.safe_load(body), body


def test_every_block_says_what_it_is():
    assert {kind for kind, _ in BLOCKS} <= {"sh", "yaml", "text"}
    kinds = r"# (ScaledObject|ScaledJob|formula|settings|settings without Prometheus)\n"
    assert all(re.match(kinds, body) for body in blocks("yaml"))


def bound(kind):
    """The spec of the trigger of the README's ScaledObject or ScaledJob."""
    tree, _ = of_kind(kind)
    [trigger] = tree["spec"]["triggers"]
    assert all(isinstance(value, str) for value in trigger["metadata"].values()), "KEDA wants text"
    request = Request(
        tree["metadata"]["namespace"], tree["metadata"]["name"], tuple(sorted(trigger["metadata"].items()))
    )
    path = REPO / "formulas" / f"{trigger['metadata']['formula']}.yaml"
    file = parse_file(parse_yaml(path.read_text(), path.name), path.name, path.stem)
    settings = read_settings({"prometheus": "http://p"}, "s", {}, {})
    return bind(file, parse_trigger(request), settings.defaults())


def test_the_scaled_object_names_a_formula_that_takes_its_trigger():
    assert bound("ScaledObject").target == 8


def test_the_scaled_job_names_a_formula_that_takes_its_trigger():
    spec = bound("ScaledJob")
    assert (spec.for_jobs, spec.policy_kind, spec.parameters["gpus"]) == (True, "latch", 2)


def test_the_formula_file_passes_its_own_tests():
    _, body = of_kind("formula")
    file = parse_file(parse_yaml(body, "README.md"), "README.md")
    settings = read_settings({"prometheus": "http://p"}, "s", {}, {})
    report = check_file(file, settings.defaults())
    assert report.good, report


def test_the_settings_are_read():
    tree, _ = of_kind("settings")
    assert set(read_settings(tree, "README.md", {}, {}).endpoints) == {"default", "mimir", "cluster", "pods"}


def test_the_settings_without_prometheus_are_read_and_their_trigger_too():
    tree, _ = of_kind("settings without Prometheus")
    settings = read_settings(tree, "README.md", {}, {})
    endpoint = settings.endpoints["pods"]
    assert (endpoint.pods, [one.kind for one in endpoint.named], len(endpoint.pages)) == (
        PodPages(),
        ["service", "dns"],
        2,
    )
    assert read_settings({}, "README.md", {}, {})["defaults.endpoint"] == "pods"
    trigger = parse_trigger(
        Request("demo", "llama", (("endpoint", "pods"), ("expression", "queued + waiting"), ("target", "8")))
    )
    assert bind(None, trigger, settings.defaults()).endpoints == {"pods"}


def test_the_table_of_trigger_keys_is_whole():
    documented = set(
        re.findall(r"`(\w+)[:`]", README.split("Keys that every trigger may have:")[1].split("The wire always")[0])
    )
    assert RESERVED_KEYS - set(NOT_YET_KEYS) <= documented


def test_the_keys_that_the_readme_names_are_settings():
    named = re.findall(r"`((?:grpc|admin|defaults|limits|log)\.[\w.]+)`", README)
    assert named
    assert set(named) <= {key.path for key in KEYS}


def test_the_table_of_metrics_is_whole():
    for own in METRICS:
        labels = ", ".join(own.labels).replace("namespace, scaled_object, trigger, formula", "*w*")
        assert f"| `{own.name}` | {labels} | {own.help} |" in README
    assert set(re.findall(r"llm_scaler_\w+", README)) <= {own.name for own in METRICS}


def test_links_point_at_something():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (REPO / target).exists(), target


@pytest.mark.timeout(300)
def test_the_commands_run(tmp_path):
    """`make` is not called again from inside its own test; that its targets are there is looked up."""
    makefile = (REPO / "Makefile").read_text()
    grpc, admin = free_port(), free_port()
    lines = ["set -e", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"]
    for body in blocks("sh"):
        for line in body.splitlines():
            words = line.split("#")[0].split()
            if words[:1] == ["make"]:
                assert f"\n{words[1]}:" in makefile
                continue
            if words[:1] in (["helm"], ["kubectl"]):  # what they need is in tests/deploy/chart
                continue
            command = line.replace("127.0.0.1:6000", f"127.0.0.1:{grpc}")
            if "llm-scaler ask" in command or "llm-scaler explain" in command:
                lines.append(f"{command} > {tmp_path}/out || true; cat {tmp_path}/out; test -s {tmp_path}/out")
            else:
                lines.append(command)
                if command.endswith("&"):
                    lines.append(
                        f"for i in $(seq 200); do (exec 3<>/dev/tcp/127.0.0.1/{admin}) 2>/dev/null && break; sleep 0.2; done"
                    )
    environment = {
        **os.environ,
        "PROMETHEUS": f"http://127.0.0.1:{free_port()}",
        "LLM_SCALER_GRPC_ADDRESS": f"127.0.0.1:{grpc}",
        "LLM_SCALER_ADMIN_ADDRESS": f"127.0.0.1:{admin}",
        "LLM_SCALER_SERVER": f"http://127.0.0.1:{admin}",
        "LLM_SCALER_GRPC_DRAIN": "0s",
    }
    script = "\n".join(lines).replace(".venv/bin/llm-scaler", "llm-scaler")
    environment["PATH"] = f"{Path(os.sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script], check=False, cwd=REPO, env=environment, capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "GetMetricSpec  queue-depth, target 1" in done.stdout
    assert "demo/llama  no answer" in done.stdout, "its Prometheus is not there, and it says so"
