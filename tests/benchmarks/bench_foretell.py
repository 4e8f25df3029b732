"""What a backtest says of the past, and foretells, beside what the real KEDA and HPA do: `python tests/benchmarks/bench_foretell.py`.

In the cluster of tests/laboratory the same requests come to five models at once, each scaled by other settings: queue-depth with
two targets; KEDA's own prometheus trigger on what runs; the same with more replicas by KEDA's cron for some minutes; and prometheus
on the requests of a second. Of each the past is read from Prometheus and replayed; and from the past of one the others are
foretold, with the requests that its counters show on a simulated fleet. That makes 20 pairs. KEDA, the HPA (a look every 15 s) and Prometheus
(a scrape every 5 s) run as fast as in the world; replicas start in 20 s.

    .venv/bin/python tests/benchmarks/bench_foretell.py [SECONDS] [FOLDER]      SECONDS of requests, 720 unless given; records and pages go to FOLDER
    .venv/bin/python tests/benchmarks/bench_foretell.py --again FOLDER          judge what lies in FOLDER once more, without a cluster
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import yaml
from laboratory import replay
from laboratory.lab import Lab
from laboratory.llm_scaler import LlmScaler
from laboratory.objects import model, scaled_object
from laboratory.simulation import Simulation

from scaler.sim import trace as traces
from scaler.sim.fleet import FleetSpec
from scaler.sim.hardware import hardware
from scaler.sim.score import SloTarget
from scaler.sim.trace import Trace

ROW = "a100-8b-bf16"
SYNC, SCRAPE, LOAD_TIME = 15, 5, 20  # seconds
WARMUP = 75  # seconds that are not judged: the HPA's window, and a look
REST = 90  # seconds after the last request
SLO = SloTarget(ttft=1.0, tpot=0.05)
CALM = {"horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}}}}
BOUNDS = {"minReplicaCount": 1, "maxReplicaCount": 12, "pollingInterval": 15, "cooldownPeriod": 30, "advanced": CALM}


def load(span: float) -> Trace:
    """Two hills of requests, the second one steeper."""
    points = ((0.0, 4.0), (0.3, 22.0), (0.5, 6.0), (0.65, 26.0), (1.0, 4.0))  # share of the time, requests a second
    parts = [
        traces.ramp(span * start, span * end, first=low, last=high, prompt=700, output=160, seed=place)
        for place, ((start, low), (end, high)) in enumerate(pairwise(points))
    ]
    return traces.merge(*parts)


def asking(scaler: LlmScaler, name: str, target: str) -> list[dict[str, Any]]:
    metadata = {"scalerAddress": scaler.address, "formula": "queue-depth", "model": name, "target": target}
    return [{"type": "external", "metadata": metadata}]


def kedas(lab: Lab, query: str, threshold: str) -> dict[str, Any]:
    """KEDA's own trigger on a query."""
    metadata = {"serverAddress": lab.prometheus_url, "query": query, "threshold": threshold}
    return {"type": "prometheus", "metadata": metadata}


def for_some_minutes(span: float, replicas: int) -> dict[str, Any]:
    """KEDA's own trigger on the clock: so many replicas in the middle third of what is to come."""
    start, end = (time.gmtime(time.time() + WARMUP + span * share) for share in (1 / 3, 2 / 3))
    points = {name: f"{at.tm_min} {at.tm_hour} * * *" for name, at in (("start", start), ("end", end))}
    return {"type": "cron", "metadata": {**points, "timezone": "UTC", "desiredReplicas": str(replicas)}}


def backtest(
    lab: Lab | None, folder: Path, name: str, span: tuple[float, float], others: Mapping[str, Path]
) -> dict[str, Any]:
    """Run the command on the past of one model, with the others' objects as candidates; without a cluster on its record."""
    kept = str(folder / f"{name}.json.gz")
    where = [*replay.of(lab, span), "--record", kept] if lab else ["--read", kept]
    looked = ["--hpa-sync", f"{SYNC}s", "--scrape", f"{SCRAPE}s", "--warmup", f"{WARMUP}s", "--hardware", ROW]
    candidates = [word for path in others.values() for word in ("--candidate", str(path))]
    return replay.backtest(name, *where, *looked, "--model", name, "--html", str(folder / f"{name}.html"), *candidates)


def main() -> None:
    words = sys.argv[1:]
    if words[:1] == ["--again"]:
        judge(Path(words[1]), json.loads((Path(words[1]) / "served.json").read_text()), None)
        return
    span = float(words[0]) if words else 720.0
    with tempfile.TemporaryDirectory() as spare, Lab(hpa_sync=SYNC, scrape=SCRAPE) as lab:
        folder = Path(words[1] if len(words) > 1 else spare)
        folder.mkdir(parents=True, exist_ok=True)
        scaler = LlmScaler(lab)
        scaler.start()
        past = play(lab, scaler, folder, span)
        judge(folder, past, lab)


def play(lab: Lab, scaler: LlmScaler, folder: Path, span: float) -> dict[str, Any]:
    """Let the requests come, and say from when to when, and which share of each model's missed the SLO."""
    running = lambda name: f'sum(vllm:num_requests_running{{model_name="{name}"}})'  # noqa: E731
    rate = 'sum(rate(vllm:request_success_total{model_name="rate"}[30s]))'
    triggers = {
        "ours-12": asking(scaler, "ours-12", "12"),
        "ours-6": asking(scaler, "ours-6", "6"),
        "running": [kedas(lab, running("running"), "10")],
        "cron": [kedas(lab, running("cron"), "14"), for_some_minutes(span, 5)],
        "rate": [kedas(lab, rate, "3")],
    }
    with ExitStack() as stack:
        fleets: dict[str, Simulation] = {}
        for name, asks in triggers.items():
            lab.fleet.queued[name] = 0
            lab.apply(model(name, lab.fleet.port, gpus=0, load=f"{LOAD_TIME}s", replicas=1))
            scaled = scaled_object(name, "", **{**BOUNDS, "triggers": asks})
            (folder / f"{name}.yaml").write_text(yaml.safe_dump(scaled))
            fleets[name] = stack.enter_context(Simulation(lab, name, FleetSpec(hardware(ROW))))
            lab.apply(scaled)
        lab.wait(lambda: all(fleet.joined for fleet in fleets.values()), 120, "one replica of each is ready")
        held = lambda: all(lab.get("HorizontalPodAutoscaler", f"keda-hpa-{name}") for name in triggers)  # noqa: E731
        lab.wait(held, 60, "each has its HPA")
        time.sleep(WARMUP)
        began = time.time()
        for fleet in fleets.values():
            fleet.play(load(span))
        time.sleep(span + REST)
        ended = time.time()
        served = {name: fleet.done() for name, fleet in fleets.items()}
    misses = {name: 1 - sum(SLO.met(one) for one in done) / max(len(done), 1) for name, done in served.items()}
    past = {"from": began - WARMUP, "to": ended, "misses": misses}
    (folder / "served.json").write_text(json.dumps(past))
    return past


def judge(folder: Path, past: Mapping[str, Any], lab: Lab | None) -> None:
    """Replay each past, foretell the others from it, and print both beside what was."""
    misses, span = past["misses"], (past["from"], past["to"])
    files = {name: folder / f"{name}.yaml" for name in misses}
    told = {}
    for name in misses:
        others = {other: path for other, path in files.items() if other != name}
        told[name] = backtest(lab, folder, name, span, others)
    errors = []
    for name, one in told.items():
        agreed, was = one["agreement"], one["whatWas"]
        print(
            f"{name}: the same replicas after {agreed['equalLooks']:.1%} of {agreed['looks']} looks, at {agreed['equal']:.1%} of "
            f"{agreed['ticks']} ticks, near at {agreed['near']:.1%}; hours {agreed['error']:+.1%}, on the fleet "
            f"{one['onFleet']['error']:+.1%}; {was['scaleUps']} up, {was['scaleDowns']} down"
        )
        for result in one["results"][1:]:
            hours = result["gpuHours"] / told[result["name"]]["whatWas"]["gpuHours"] - 1
            late = result["sloMisses"] - misses[result["name"]]
            errors.append((abs(hours), abs(late)))
            print(
                f"  foretells {result['name']}: GPU-hours {hours:+.1%}, SLO misses {result['sloMisses']:.1%}, "
                f"real {misses[result['name']]:.1%}"
            )
    within = sum(hours <= 0.05 and late <= 0.05 for hours, late in errors)
    print(
        f"{within} of {len(errors)} pairs within 5 % of GPU-hours and 5 points of SLO misses; load {os.getloadavg()[1]:.0f}"
    )


if __name__ == "__main__":
    main()
