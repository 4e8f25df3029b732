"""`llm-scaler backtest` as a user types it."""

import gzip
import json
import re

import pytest
import yaml
from support.backtests import cron, ours, prometheus, scaled_object

from scaler.cli.main import main
from scaler.sim import trace as traces

QUEUE = "sum(vllm:num_requests_waiting) + sum(vllm:num_requests_running)"
FLEET = ("--hardware", "a100-8b-bf16", "--startup", "30s", "--warmup", "60s")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """An object, a candidate that is KEDA's own, and some minutes of requests."""
    tmp_path = tmp_path_factory.mktemp("backtest")
    (tmp_path / "llama.yaml").write_text(yaml.safe_dump(scaled_object(ours(target="20"))))
    (tmp_path / "keda.yaml").write_text(yaml.safe_dump(scaled_object(prometheus(QUEUE, "20"))))
    rows = traces.ramp(0, 240, first=3, last=12, prompt=600, output=150, seed=1)
    lines = "".join(f"{one.at:.3f},{one.prompt},{one.output}\n" for one in rows)
    (tmp_path / "trace.csv").write_text(",".join(traces.COLUMNS) + "\n" + lines)
    return tmp_path


def backtest(capsys, *words):
    code = main(["backtest", *map(str, words)])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture(scope="module")
def kept(files):
    """A record of that trace on a fleet, with what the candidate asks."""
    path = files / "past.json.gz"
    words = ("backtest", "demo/llama", "--file", files / "llama.yaml", "--read", files / "trace.csv", *FLEET)
    more = ("--record", path, "--candidate", files / "keda.yaml", "--replicas", "1")
    assert main([str(word) for word in (*words, *more)]) == 0
    return path


def test_a_trace_on_a_fleet(files, capsys):
    words = ("demo/llama", "--file", files / "llama.yaml", "--read", files / "trace.csv", *FLEET)
    code, out, _ = backtest(capsys, *words, "--formula", "target=10", "--candidate", files / "keda.yaml")
    assert code == 0
    assert "nothing here was compared with the past" in out
    assert re.search(r"as it is, replayed +\d+\.\d%", out)
    assert re.search(r"target=10 +\d", out)
    assert re.search(r"keda +\d", out)


def test_a_record_is_replayed_and_candidates_are_compared(files, kept, capsys):
    code, out, _ = backtest(
        capsys, "demo/llama", "--read", kept, "--formula", "target=10", "--gpus", "2", "--price", "3"
    )
    assert code == 0
    assert "the same replicas after 100.0% of" in out
    assert "It agrees" in out
    assert "With --hardware the requests are played on a simulated fleet" in out
    assert re.search(r"what was +- +\d+\.\d +\d+\.\d\d", out)


def test_json_says_the_same(kept, capsys):
    code, out, _ = backtest(capsys, "demo/llama", "--read", kept, "--formula", "target=10", "-o", "json")
    told = json.loads(out)
    assert code == 0
    assert told["advises"] is True
    assert told["agreement"]["equal"] == 1.0
    assert [one["name"] for one in told["results"]] == ["as it is, replayed", "target=10"]
    own, other = told["results"]
    assert other["gpuHours"] > own["gpuHours"] == told["whatWas"]["gpuHours"]


def test_the_fleet_is_calibrated_against_what_was(files, kept, capsys):
    code, out, _ = backtest(
        capsys, "demo/llama", "--read", kept, *FLEET, "--candidate", files / "keda.yaml", "-o", "json"
    )
    told = json.loads(out)
    assert code == 0
    assert abs(told["onFleet"]["error"]) < 0.1
    assert told["results"][1]["sloMisses"] is not None


def test_where_it_does_not_agree_nothing_is_advised(files, kept, capsys):
    with gzip.open(kept, "rt") as file:
        tree = json.load(file)
    tree["replicas"] = [9] * tree["ticks"]
    moved = files / "moved.json"
    moved.write_text(json.dumps(tree))
    code, out, _ = backtest(capsys, "demo/llama", "--read", moved, "--formula", "target=10", "--warmup", "60s")
    assert code == 1
    assert "It does not agree well enough to advise anything" in out
    assert "target=10" not in out
    code, out, _ = backtest(
        capsys, "demo/llama", "--read", moved, "--formula", "target=10", "--warmup", "60s", "--anyway"
    )
    assert "target=10" in out


def test_conditions_fail_a_pipeline(kept, capsys):
    words = ("demo/llama", "--read", kept, "--formula", "target=10")
    assert backtest(capsys, *words, "--fail-if", "agreement < 0.99")[0] == 0
    code, _, error = backtest(capsys, *words, "--fail-if", "gpu_hours > 0.4 and wrong_scale_downs >= 0")
    assert code == 1
    assert error == "llm-scaler: target=10: gpu_hours > 0.4 and wrong_scale_downs >= 0\n"
    code, _, error = backtest(capsys, *words, "--fail-if", "slo_misses > 0.01")
    assert code == 2
    assert "slo_misses" in error


def test_suggestions_are_searched_over_processes(kept, capsys):
    code, out, _ = backtest(capsys, "demo/llama", "--read", kept, "--suggest", "--jobs", "2", "-o", "json")
    results = json.loads(out)["results"]
    assert code == 0
    assert len(results) == 6
    assert all(re.match(r"target=\S+ window=", one["name"]) for one in results[1:])
    hours = [one["gpuHours"] for one in results[1:]]
    assert hours == sorted(hours)


def test_a_page_holds_everything_and_fetches_nothing(files, kept, capsys):
    page = files / "page.html"
    assert backtest(capsys, "demo/llama", "--read", kept, "--formula", "target=10", "--html", page)[0] == 0
    text = page.read_text()
    assert text.count("<svg") == 3
    assert "target=10" in text
    assert not re.search(r"<script|https?://|src=|NaN|nan", text)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("llama",), "is not NAMESPACE/NAME"),
        (("demo/llama", "--read", "{past}", "--from", "yesterday"), ""),
        (("demo/llama", "--read", "{past}", "--formula", "nobody"), "no formula 'nobody'"),
        (("demo/llama", "--read", "{past}", "--formula", "target=x"), "target"),
        (("demo/llama", "--read", "{past}", "--formula", "cpu"), "asks for cpu_usage, which the record does not hold"),
        (("demo/other", "--read", "{past}"), "is of demo/llama, not of demo/other"),
        (("demo/llama", "--read", "{trace}"), "which does not say what was scaled; allowed: --file FILE too"),
        (("demo/llama", "--read", "{trace}", "--file", "{object}"), "needs a fleet to be played on; allowed: --hardware ROW"),
        (("demo/llama", "--read", "{trace}", "--file", "{object}", "--hardware", "abacus"), "'abacus' is not known"),
        (("demo/other", "--read", "{trace}", "--file", "{object}"), "holds no ScaledObject or HPA called other; allowed: llama"),
        (("demo/llama", "--read", "nowhere.csv"), "nowhere.csv: cannot be read (No such file or directory)"),
        (("demo/llama", "--read", "{past}", "--startup", "soon"), "--startup: 'soon' is not allowed"),
        (("demo/llama", "--read", "{past}", "--fail-if", "costs > 1"), "costs"),
        (("demo/llama", "--file", "{object}", "--from", "soon"), "--from: 'soon' is no time"),
        (("demo/llama", "--file", "{object}", "--from=-1h", "--to=-2h"), "--to: is not after --from"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_a_sentence(files, kept, capsys, words, problem):
    places = {"past": kept, "trace": files / "trace.csv", "object": files / "llama.yaml"}
    code, _, error = backtest(capsys, *(word.format(**places) for word in words))
    if problem:
        assert code == 1
        assert problem in error
        assert "Traceback" not in error
    else:
        assert code == 0


def test_a_prometheus_that_is_not_there_is_no_answer(files, capsys):
    words = ("demo/llama", "--file", files / "llama.yaml", "--prometheus", "http://127.0.0.1:9", "--from", "-10m")
    code, _, error = backtest(capsys, *words)
    assert code == 2
    assert "nothing could be measured" in error
    assert "cannot be reached" in error


def test_a_cron_object_needs_no_measurement_of_its_own(files, capsys):
    (files / "night.yaml").write_text(yaml.safe_dump(scaled_object(cron())))
    words = ("demo/llama", "--file", files / "night.yaml", "--read", files / "trace.csv", *FLEET)
    assert backtest(capsys, *words)[0] == 0
