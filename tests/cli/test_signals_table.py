"""The catalogue as people see it."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from scaler.cli import signals_table
from scaler.cli.main import main
from scaler.config import signals
from scaler.model.errors import ConfigError

PAGE = Path(__file__).parents[2] / "formulas" / "SIGNALS.md"


def test_the_page_is_up_to_date():
    assert PAGE.read_text() == signals_table.as_markdown(), "write it with `make signals`"


def test_every_name_is_on_the_page_and_in_the_table():
    page, lines = signals_table.as_markdown(), signals_table.as_lines(signals_table.chosen(None))
    for engine, offered in signals.engines().items():
        for signal in offered.values():
            for metric in (one for one in (*signal.metrics, *signal.divided_by) if not one.respelled):
                assert f"`{metric.name}" in page
                assert any(engine in line and signal.name in line and metric.name in line for line in lines)


def test_the_plain_table_has_a_line_for_each_name(capsys):
    assert main(["signals", "triton-trtllm"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["engine", "signal", "unit", "measured", "as", "name", "versions"]
    assert [line.split()[:2] for line in lines] == [
        ["triton-trtllm", signal] for signal in ("waiting", "running", "kv_cache_usage", "kv_cache_usage")
    ]
    assert lines[-1].split()[-4:] == [
        "sums",
        "/",
        'nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="max"}',
        ">=23.12",
    ]


def test_a_terminal_shows_the_same():
    console = Console(file=io.StringIO(), width=200)
    signals_table.show(signals_table.chosen("vllm"), console)
    shown = console.file.getvalue()
    assert "quantile 0.95 over 5m" in shown
    assert shown.count("kv_cache_usage ") == 1, "said once, with both names"
    assert "vllm:gpu_cache_usage_perc" in shown


def test_json_has_the_whole_entry(capsys):
    assert main(["signals", "sglang", "-o", "json"]) == 0
    [hit_rate] = [one for one in json.loads(capsys.readouterr().out) if one["name"] == "prefix_cache_hit_rate"]
    assert hit_rate["labels"] == {"namespace": "namespace", "model": "model_name"}
    assert [metric["name"] for metric in hit_rate["dividedBy"]] == ["sglang:prompt_tokens_total"]
    assert (hit_rate["window"], hit_rate["max"], hit_rate["sumWithinPodBy"]) == (300, 1, None)


def test_what_a_metric_calls_the_workload_is_shown(capsys):
    assert main(["signals", "kubernetes"]) == 0
    assert 'kube_statefulset_replicas{statefulset="$workload"}' in capsys.readouterr().out
    assert "is asked to have. Of the object that `workload` names. |" in signals_table.as_markdown()
    [spec] = [
        one for one in signals_table.as_data(signals_table.chosen("kubernetes")) if one["name"] == "spec_replicas"
    ]
    assert [metric["labels"]["workload"] for metric in spec["metrics"]] == [
        "deployment", "statefulset", "scaletargetref_name",
    ]  # fmt: skip


def test_an_engine_that_is_not_there_is_refused(capsys):
    assert main(["signals", "vlm"]) == 1
    assert "'vlm' is not in the catalogue, did you mean vllm?" in capsys.readouterr().err
    with pytest.raises(ConfigError):
        signals_table.chosen("vlm")
