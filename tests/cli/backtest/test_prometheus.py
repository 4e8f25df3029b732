"""From a real Prometheus: a fleet that was scaled in virtual time, as its pages would have been scraped, read back and replayed.

Another model server of the same name stands beside it, whose load must not count.
"""

import json
import os

import pytest
import yaml
from support.backtests import START, ours, prometheus, scaled_object, subject
from support.prometheus_server import series

from scaler.cli.main import main
from scaler.model.measurement import PromqlQuery
from scaler.sim import trace as traces
from scaler.sim.backtest import fleet
from scaler.sim.backtest.fleet import FleetWorld
from scaler.sim.backtest.replay import Timing
from scaler.sim.fleet import FleetSpec
from scaler.sim.hardware import hardware
from scaler.sim.score import SloTarget

pytestmark = pytest.mark.real

UP_ONLY = {"horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {"selectPolicy": "Disabled"}}}}
TRIGGER = ours(expression="waiting + running", target="20", interval="15s", scaleDown="off")
del TRIGGER["metadata"]["formula"]
OURS = scaled_object(TRIGGER, advanced=UP_ONLY)
TALLY = (
    'sum(vllm:num_requests_waiting{pod=~"llama-7d4b9c-.*"}) + sum(vllm:num_requests_running{pod=~"llama-7d4b9c-.*"})'
)
SPAN = 1500.0
LEAD = 5.0  # seconds that a scrape is old when llm-scaler looks
# It only grows, as do the replicas: a series that is loaded, and not scraped, has no mark where it ends, and would go on for five minutes.
LOAD = traces.ramp(0, 1500, first=3, last=24, prompt=600, output=150, seed=1)
METRICS = {
    "vllm:num_requests_waiting": lambda one: one.waiting,
    "vllm:num_requests_running": lambda one: one.running,
    "vllm:prompt_tokens_total": lambda one: one.prompt_tokens,
    "vllm:generation_tokens_total": lambda one: one.generation_tokens,
    "vllm:request_success_total": lambda one: one.finished,
}


def sample(name, labels, value, at):
    return series(name, labels, str(float(value)), at)


def scraped(player):
    """Every scrape as samples: the pods' pages, the gateway's, and what kube-state-metrics says of the Deployment."""
    lines = []
    hpa = {"namespace": "demo", "horizontalpodautoscaler": "keda-hpa-llama"}
    for seen in player._history:
        at = START + seen.at - LEAD
        for one in seen.replicas:
            if one.phase != "starting":
                pod = {
                    "namespace": "demo",
                    "pod": f"llama-7d4b9c-{one.serial:05d}",
                    "model_name": "llama",
                    "instance": f"10.0.0.{one.serial}:8000",
                    "job": "pods",
                }
                lines += [line for name, read in METRICS.items() for line in sample(name, pod, read(one), at)]
                lines += sample("up", pod, 1, at)
        stranger = {
            "namespace": "demo",
            "pod": "llama-canary-7d4b9c-abcde",
            "model_name": "llama",
            "instance": "10.0.1.1:8000",
            "job": "pods",
        }
        lines += [line for name in METRICS for line in sample(name, stranger, 500, at)]
        lines += sample("up", stranger, 1, at)  # as of whatever is scraped: a series without it is of another's target
        lines += sample(
            "llm_d_epp_flow_control_queue_size",
            {"namespace": "demo", "model_name": "llama", "target_model_name": "llama"},
            seen.queued,
            at,
        )
        deployment = {"namespace": "demo", "deployment": "llama"}
        lines += sample("kube_deployment_spec_replicas", deployment, seen.desired, at)
        lines += sample("kube_deployment_status_replicas_ready", deployment, seen.ready, at)
        lines += sample(
            "kube_horizontalpodautoscaler_info",
            {**hpa, "scaletargetref_kind": "Deployment", "scaletargetref_name": "llama"},
            1,
            at,
        )
    return lines


@pytest.fixture(scope="module")
def past(start_prometheus):
    """The fleet of OURS, and the Prometheus that scraped it."""
    kept = PromqlQuery("default", "sum(max_over_time(vllm:num_requests_waiting[3h]))")  # so that no scrape is forgotten
    spec = subject(TRIGGER, advanced=UP_ONLY)
    world = FleetWorld(
        LOAD,
        FleetSpec(hardware("a100-8b-bf16"), startup=45.0),
        SloTarget(),
        start=START,
        span=SPAN,
        step=15.0,
        replicas=1,
    )
    player = fleet._play(spec, world, Timing(), [kept])
    return player, start_prometheus(scraped(player))


def test_a_past_in_prometheus_is_read_kept_and_replayed(past, tmp_path, capsys):
    player, server = past
    (tmp_path / "llama.yaml").write_text(yaml.safe_dump(OURS))
    (tmp_path / "keda.yaml").write_text(yaml.safe_dump(scaled_object(prometheus(TALLY, "20"), advanced=UP_ONLY)))
    kept = tmp_path / "past.json.gz"
    words = ["backtest", "demo/llama", "--file", f"{tmp_path}/llama.yaml", "--prometheus", server.url, "-o", "json"]
    span = ["--from", "2027-01-15T08:00:00Z", "--to", "2027-01-15T08:24:00Z", "--step", "15s", "--warmup", "2m"]
    code = main([*words, *span, "--record", str(kept), "--candidate", f"{tmp_path}/keda.yaml"])
    told = json.loads(capsys.readouterr().out)
    assert code == 0
    assert told["agreement"]["ticks"] >= 80
    assert told["agreement"]["equal"] >= 0.99
    assert told["agreement"]["near"] == 1.0
    assert abs(told["agreement"]["error"]) < 0.02
    assert told["whatWas"]["most"] == max(player.points) >= 4

    code = main(
        [
            "backtest",
            "demo/llama",
            "--read",
            str(kept),
            "--candidate",
            f"{tmp_path}/keda.yaml",
            "-o",
            "json",
            "--warmup",
            "2m",
        ]
    )
    again = json.loads(capsys.readouterr().out)
    assert again["agreement"] == told["agreement"], "the record alone says the same"
    assert again["results"] == told["results"]

    code = main(
        ["backtest", "demo/llama", "--read", str(kept), "--hardware", "a100-8b-bf16", "-o", "json", "--warmup", "2m"]
    )
    played = json.loads(capsys.readouterr().out)
    assert code == 0
    assert abs(played["onFleet"]["error"]) < 0.1


def test_a_past_of_which_nothing_was_measured_is_no_replay(past, tmp_path, capsys):
    _, server = past
    (tmp_path / "llama.yaml").write_text(yaml.safe_dump(OURS))
    words = ["backtest", "demo/llama", "--file", f"{tmp_path}/llama.yaml", "--prometheus", server.url]
    code = main([*words, "--from", "2027-01-14T08:00:00Z", "--to", "2027-01-14T08:10:00Z"])
    printed = capsys.readouterr()
    assert (code, printed.out) == (2, "")
    assert "nothing was measured in that time, no series of any input is there: " in printed.err


def test_the_dates_of_these_tests_are_those_of_their_past():
    assert START == 1_800_000_000.0
    assert os.environ.get("LLM_SCALER_PROMETHEUS") is None
