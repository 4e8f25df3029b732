"""The alerts fire when they should and not when they should not, on Prometheus' own word; and each has its runbook."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from support.prometheus_server import binaries

from scaler.server.metrics import METRICS

FOLDER = Path(__file__).parents[2] / "deploy" / "alerts"
RULES = [
    rule
    for group in yaml.safe_load((FOLDER / "llm-scaler.rules.yaml").read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
TESTS = yaml.safe_load((FOLDER / "llm-scaler.test.yaml").read_text())["tests"]
RUNBOOKS = (FOLDER / "RUNBOOKS.md").read_text()


@pytest.mark.real
def test_they_fire_and_do_not_fire_as_written():
    _, promtool = binaries()
    for command in (["check", "rules", "llm-scaler.rules.yaml"], ["test", "rules", "llm-scaler.test.yaml"]):
        done = subprocess.run([promtool, *command], cwd=FOLDER, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", ALERTS)
def test_each_is_seen_to_fire_and_not_to_fire(alert):
    seen = {
        bool(one.get("exp_alerts")) for test in TESTS for one in test["alert_rule_test"] if one["alertname"] == alert
    }
    assert seen == {True, False}


def test_they_name_metrics_that_there_are():
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    ours = {own.name for own in METRICS} | recorded
    for rule in RULES:
        named = set(re.findall(r"(?:\w+:)?llm_scaler\w*(?::\w+)*", rule["expr"]))
        assert named - ours == set(), rule["expr"]


@pytest.mark.parametrize("alert", ALERTS)
def test_each_has_a_runbook_that_says_what_it_means_and_what_to_do(alert):
    section = RUNBOOKS.partition(f"## {alert}\n")[2].partition("\n## ")[0]
    for word in ("Meaning", "Impact", "Diagnosis", "Mitigation"):
        assert f"**{word}** " in section
    assert ALERTS[alert]["annotations"].keys() == {"summary", "description"}
    assert ALERTS[alert]["labels"]["severity"] in {"warning", "critical"}


def test_there_is_no_runbook_without_an_alert():
    assert set(re.findall(r"^## (\w+)$", RUNBOOKS, re.MULTILINE)) == set(ALERTS)
