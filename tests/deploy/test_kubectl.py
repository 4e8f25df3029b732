"""The kubectl plugin: kubectl finds it by its name, and it says what is to be run where."""

import os
import subprocess
from pathlib import Path

PLUGIN = Path(__file__).resolve().parents[2] / "deploy/kubectl/kubectl-llm_scaler"


def test_it_runs_the_command_in_the_pod(tmp_path):
    kubectl = tmp_path / "kubectl"
    kubectl.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    kubectl.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    for given, place in (
        ({}, ("keda", "deploy/llm-scaler")),
        ({"LLM_SCALER_NAMESPACE": "scaling", "LLM_SCALER_RELEASE": "own"}, ("scaling", "deploy/own")),
    ):
        done = subprocess.run(
            [PLUGIN, "eval", "a b > 1", "a=2"], env=environment | given, capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines() == [
            "--namespace",
            place[0],
            "exec",
            place[1],
            "--",
            "llm-scaler",
            "eval",
            "a b > 1",
            "a=2",
        ]


def test_its_name_is_what_kubectl_looks_for():
    """`kubectl llm-scaler`: a dash in a plugin's command is an underscore in its file's name."""
    assert PLUGIN.name == "kubectl-llm_scaler"
    assert os.access(PLUGIN, os.X_OK)
