"""What a backtest foretells of real vLLM, beside what came: one pair of settings, one after the other, on the same requests.

    PYTHONPATH=tests .venv/bin/python -m engines.lab.bench_pair [FOLDER]      15 minutes; what was recorded goes to FOLDER

Real KEDA and HPA scale real vLLM between one and two replicas, first with a target of 4 requests a replica, then of 8. So
many clients as LOAD says send a request as soon as their last one is answered. From what Prometheus has of the first
run the replicas of both are foretold, and held against those that there were.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from engines.client import Clients
from engines.install import installed
from engines.lab.kubelet import Kubelet
from engines.lab.objects import PORT, START, engine, gateway
from engines.servers import MODEL
from laboratory import replay
from laboratory.api import Object
from laboratory.lab import Lab
from laboratory.llm_scaler import LlmScaler
from laboratory.objects import scaled_object

NAME, LIMIT, TOKENS = "vllm", 12, 300
TARGETS = {"before": "4", "after": "8"}
LOAD = ((60.0, 3), (150.0, 7), (150.0, 3))  # seconds, clients at a time; 8 are a batch
SYNC, SCRAPE, WARMUP = 15, 5, 60  # seconds
CALM = {"horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 30}}}}
BOUNDS = {"minReplicaCount": 1, "maxReplicaCount": 2, "pollingInterval": 15, "cooldownPeriod": 30, "advanced": CALM}


def main() -> None:
    installed("vllm")
    with tempfile.TemporaryDirectory() as spare, Lab(hpa_sync=SYNC, scrape=SCRAPE) as lab, Kubelet(lab) as kubelet:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else spare)
        folder.mkdir(parents=True, exist_ok=True)
        scaler = LlmScaler(lab)
        scaler.start()
        lab.apply(gateway(lab.api, "gateway", kubelet.name, NAME, LIMIT))
        lab.apply(engine(lab.home, NAME, kubelet.name))
        spans = {}
        for name, target in TARGETS.items():
            trigger = {"formula": "queue-depth", "model": MODEL, "target": target}
            scaled = scaled_object(NAME, scaler.address, trigger, **BOUNDS)
            (folder / f"{name}.yaml").write_text(yaml.safe_dump(scaled))
            spans[name] = run(lab, scaled, kubelet)
        told = {name: backtest(lab, folder, name, span) for name, span in spans.items()}
        (folder / "told.json").write_text(json.dumps(told))
        report(told)


def run(lab: Lab, scaled: Object, kubelet: Kubelet) -> tuple[float, float]:
    """Let the requests come under one setting; returns from when to when they came, in seconds since 1970."""
    lab.apply(scaled)
    lab.wait(lambda: lab.ready(NAME) == 1 == lab.replicas(NAME), START, "one replica is ready")
    address = f"http://{lab.pods('gateway')[0]['status']['podIP']}:{PORT}"
    with Clients(address, MODEL) as clients:
        began = time.time()
        for seconds, wanted in LOAD:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                kubelet.check()
                clients.send(max(wanted - clients.in_flight(), 0), TOKENS)
                time.sleep(0.1)
        ended = time.time()
        lab.wait(lambda: clients.in_flight() == 0, 300, "all are answered")
    problems = [request.problem for request in clients.requests if request.problem]
    assert not problems, problems[0]
    lab.api.delete("ScaledObject", NAME)
    lab.wait(lambda: not lab.get("HorizontalPodAutoscaler", f"keda-hpa-{NAME}"), 60, "its HPA is gone")
    print(f"{len(clients.requests)} requests, all answered, with {scaled['spec']['triggers']}", flush=True)
    return began, ended


def backtest(lab: Lab, folder: Path, name: str, span: tuple[float, float]) -> dict[str, Any]:
    """Run the command on the past under one setting, with the other one as the candidate."""
    (other,) = set(TARGETS) - {name}
    return replay.backtest(
        NAME,
        *(*replay.of(lab, span), "--record", str(folder / f"{name}.json.gz")),
        *("--file", str(folder / f"{name}.yaml"), "--candidate", str(folder / f"{other}.yaml")),
        *("--hpa-sync", f"{SYNC}s", "--scrape", f"{SCRAPE}s", "--warmup", f"{WARMUP}s"),
        *("--html", str(folder / f"{name}.html")),
    )


def report(told: Mapping[str, Any]) -> None:
    """Print how well each past is replayed, and what was foretold from it beside what was."""
    for name, one in told.items():
        (other,) = set(told) - {name}
        agreed, foretold, was = one["agreement"], one["results"][1], told[other]["whatWas"]
        print(
            f"{name}: the same replicas after {agreed['equalLooks']:.1%} of {agreed['looks']} looks, at {agreed['equal']:.1%} of "
            f"{agreed['ticks']} ticks; hours {agreed['error']:+.1%}; foretells of {other} {foretold['gpuHours']:.4f} GPU-hours "
            f"where {was['gpuHours']:.4f} were ({foretold['gpuHours'] / was['gpuHours'] - 1:+.1%})"
        )
    print(f"load average of 15 minutes {os.getloadavg()[2]:.0f}")


if __name__ == "__main__":
    main()
