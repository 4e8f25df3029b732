"""`llm-scaler backtest` on what the laboratory's Prometheus remembers, set as the llm-scaler that ran there."""

import json
import os
import subprocess
import sys
import time
from typing import Any

from laboratory.lab import Lab

SETTINGS = {  # those of llm_scaler.py, which have no flag here
    "LLM_SCALER_DEFAULTS_INTERVAL": "1s",
    "LLM_SCALER_DEFAULTS_SCALE_DOWN": "off",
    "LLM_SCALER_DEFAULTS_HOLD_FOR": "60s",
    "LLM_SCALER_DEFAULTS_IDLE_FOR": "10s",
}


def of(lab: Lab, span: tuple[float, float]) -> list[str]:
    """The words that say where the past is, and from when to when, in seconds since 1970."""
    begin, end = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)) for at in span)
    return ["--prometheus", lab.prometheus_url, "--kubeconfig", str(lab.kubeconfig), "--from", begin, "--to", end]


def backtest(name: str, *words: str) -> dict[str, Any]:
    """Replay the past of a ScaledObject in ticks of a second, with its candidates though it may not agree.

    Args:
        name: of the ScaledObject.
        words: of the command, besides; see `of`.

    Returns:
        What `-o json` says.
    """
    env = {key: value for key, value in os.environ.items() if not key.startswith("LLM_SCALER_")} | SETTINGS
    command = [sys.executable, "-m", "scaler", "backtest", f"default/{name}", *words, "--step", "1s"]
    done = subprocess.run(
        [*command, "--anyway", "-o", "json"], env=env, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.stdout, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told
