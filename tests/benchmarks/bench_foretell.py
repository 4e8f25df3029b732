"""What a backtest says of the past, and foretells, beside what the real KEDA and HPA do: `python tests/benchmarks/bench_foretell.py`.

In the cluster of tests/laboratory the same requests come to four models at once, each scaled by other settings: queue-depth with
two targets, and KEDA's own prometheus trigger on what runs and on what waits. Of each the past is read from Prometheus and
replayed; and from the past of one the others are foretold, with the requests that its counters show on a simulated fleet. That
makes 12 pairs. It takes 5 minutes, three times as fast as in the world: the HPA looks every 5 s, Prometheus scrapes every 2 s.

    .venv/bin/python tests/benchmarks/bench_foretell.py [SECONDS] [FOLDER]      SECONDS of requests; records and pages go to FOLDER
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import yaml
from laboratory.lab import Lab
from laboratory.llm_scaler import LlmScaler
from laboratory.objects import model, scaled_object
from laboratory.simulation import Simulation

from scaler.sim import trace as traces
from scaler.sim.fleet import FleetSpec
from scaler.sim.hardware import hardware
from scaler.sim.score import Slo

ROW = "a100-8b-bf16"
SPAN = int(sys.argv[1]) if len(sys.argv) > 1 else 150  # seconds of requests
WARMUP = 20  # seconds that are not judged: the HPA's window
SLO = Slo(ttft=1.0, tpot=0.05)
CALM = {"horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 15}}}}
BOUNDS = {"minReplicaCount": 1, "maxReplicaCount": 12, "pollingInterval": 5, "cooldownPeriod": 30, "advanced": CALM}
FIRST = traces.ramp(0, SPAN * 0.5, first=4, last=24, prompt=700, output=160, seed=1)
SECOND = traces.ramp(SPAN * 0.5, SPAN, first=24, last=4, prompt=700, output=160, seed=2)
LOAD = traces.merge(FIRST, SECOND)


def asking(scaler: LlmScaler, name: str, target: str) -> list[dict[str, Any]]:
    metadata = {"scalerAddress": scaler.address, "formula": "queue-depth", "model": name, "target": target}
    return [{"type": "external", "metadata": metadata}]


def kedas(lab: Lab, name: str, metric: str, threshold: str) -> list[dict[str, Any]]:
    query = f'sum({metric}{{model_name="{name}"}})'
    return [
        {
            "type": "prometheus",
            "metadata": {"serverAddress": lab.prometheus_url, "query": query, "threshold": threshold},
        }
    ]


def backtest(
    lab: Lab, folder: Path, name: str, span: tuple[float, float], others: Mapping[str, Path]
) -> dict[str, Any]:
    """Run the command on the past of one model, with the others' objects as candidates."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("LLM_SCALER_")}
    env |= {"LLM_SCALER_DEFAULTS_INTERVAL": "1s", "LLM_SCALER_DEFAULTS_SCALE_DOWN": "off"}
    env |= {"LLM_SCALER_DEFAULTS_HOLD_FOR": "60s", "LLM_SCALER_DEFAULTS_IDLE_FOR": "10s"}
    moments = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)) for at in span]
    words = [sys.executable, "-m", "scaler", "backtest", f"default/{name}", "--prometheus", lab.prometheus_url]
    words += ["--kubeconfig", str(lab.kubeconfig), "--from", moments[0], "--to", moments[1]]
    words += ["--step", "1s", "--hpa-sync", "5s", "--scrape", "2s", "--warmup", f"{WARMUP}s", "--hardware", ROW]
    words += ["--model", name, "--record", str(folder / f"{name}.json.gz"), "--html", str(folder / f"{name}.html")]
    words += [word for path in others.values() for word in ("--candidate", str(path))]
    done = subprocess.run(
        [*words, "--anyway", "-o", "json"], env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def main() -> None:
    with Lab(hpa_sync=5, scrape=2) as lab:
        scaler = LlmScaler(lab)
        scaler.start()
        if len(sys.argv) > 2:
            folder = Path(sys.argv[2])
            folder.mkdir(parents=True, exist_ok=True)
            foretell(lab, scaler, folder)
        else:
            with tempfile.TemporaryDirectory() as folder:
                foretell(lab, scaler, Path(folder))


def foretell(lab: Lab, scaler: LlmScaler, folder: Path) -> None:
    triggers = {
        "ours-12": asking(scaler, "ours-12", "12"),
        "ours-6": asking(scaler, "ours-6", "6"),
        "running": kedas(lab, "running", "vllm:num_requests_running", "10"),
        "waiting": kedas(lab, "waiting", "vllm:num_requests_waiting", "2"),
    }
    files: dict[str, Path] = {}
    with ExitStack() as stack:
        fleets: dict[str, Simulation] = {}
        for name, asks in triggers.items():
            lab.fleet.queued[name] = 0
            lab.apply(model(name, lab.fleet.port, gpus=0, load="4s", replicas=1))
            scaled = scaled_object(name, "", **{**BOUNDS, "triggers": asks})
            files[name] = folder / f"{name}.yaml"
            files[name].write_text(yaml.safe_dump(scaled))
            fleets[name] = stack.enter_context(Simulation(lab, name, FleetSpec(hardware(ROW))))
            lab.apply(scaled)
        lab.wait(lambda: all(fleet.joined for fleet in fleets.values()), 60, "one replica of each is ready")
        held = lambda: all(lab.get("HorizontalPodAutoscaler", f"keda-hpa-{name}") for name in triggers)  # noqa: E731
        lab.wait(held, 60, "each has its HPA")
        time.sleep(WARMUP)
        began = time.time()
        for fleet in fleets.values():
            fleet.play(LOAD)
        time.sleep(SPAN + 25)
        ended = time.time()
        served = {name: fleet.done() for name, fleet in fleets.items()}
    told = {
        name: backtest(
            lab,
            folder,
            name,
            (began - WARMUP, ended),
            {other: path for other, path in files.items() if other != name},
        )
        for name in triggers
    }
    misses = {name: 1 - sum(SLO.met(one) for one in done) / max(len(done), 1) for name, done in served.items()}
    errors = []
    for name, one in told.items():
        agreed, past = one["agreement"], one["whatWas"]
        print(
            f"backtest {name}: the same replicas at {agreed['equal']:.1%} of {agreed['ticks']} ticks, near at {agreed['near']:.1%}, "
            f"hours {agreed['error']:+.1%}, on the fleet {one['onFleet']['error']:+.1%}; {past['scaleUps']} up, {past['scaleDowns']} down"
        )
        for result in one["results"][1:]:
            real = told[result["name"]]["whatWas"]["gpuHours"]
            hours = result["gpuHours"] / real - 1
            late = result["sloMisses"] - misses[result["name"]]
            errors.append((abs(hours), abs(late)))
            print(
                f"  foretells {result['name']}: GPU-hours {hours:+.1%}, SLO misses {result['sloMisses']:.1%}, real {misses[result['name']]:.1%}"
            )
    within = sum(hours <= 0.05 and late <= 0.05 for hours, late in errors)
    print(f"  {within} of {len(errors)} pairs within 5 % of GPU-hours and 5 points of SLO misses")


if __name__ == "__main__":
    main()
