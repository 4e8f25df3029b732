"""Records: what is written is read again, and what is no record is refused."""

import gzip
import json

import pytest
from support.backtests import START, ours, record, subject

from scaler.model.errors import ConfigError
from scaler.model.measurement import Failure, HistoryProbe, Reading, SignalQuery
from scaler.sim.backtest import record as records
from scaler.sim.backtest.record import Record

SIGNAL = SignalQuery("default", "vllm", "waiting", (("namespace", "demo"), ("model", "llama")), pods="a.*")


def full():
    values = [
        Reading(1.5, START, answered=2, expected=3, incomplete_reason="1 of 3 did not answer"),
        Reading(None, START + 5, incomplete_reason="1 of 3 did not answer"),
        Failure("cannot be reached", START + 10),
        Failure("cannot be reached", START + 15),
    ]
    whole = [Reading(1.0, START + 5 * tick) for tick in range(4)]
    series = {SIGNAL: values, HistoryProbe("default", 120.0): whole}
    return Record("demo", "llama", START, 5.0, 4, {"kind": "ScaledObject"}, [2, None, 3, 3], [2, 2, 2, 3], series)


@pytest.mark.parametrize("name", ["kept.json", "kept.json.gz"])
def test_what_is_written_is_read_again(tmp_path, name):
    path = tmp_path / name
    records.write(full(), path)
    assert records.is_record(path)
    assert records.read(path) == full()
    assert (path.read_bytes()[:2] == b"\x1f\x8b") is name.endswith("gz")


def test_every_ask_of_a_formula_can_be_kept(tmp_path):
    queries = subject(ours(formula="token-latency", target="")).queries
    kept = Record("demo", "llama", START, 5.0, 1, {}, [1], [1], {query: [Reading(1.0, START)] for query in queries})
    records.write(kept, tmp_path / "a.json")
    assert set(records.read(tmp_path / "a.json").series) == set(queries)


def test_a_problem_is_written_once_for_its_run():
    [tree] = [one for one in records.as_tree(full())["series"] if one["of"]["kind"] == "signal"]
    assert tree["failed"] == [[2, 3, "cannot be reached"]]
    assert tree["partial"] == [[0, 1, "1 of 3 did not answer"]]
    assert tree["values"] == [1.5, None, None, None]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda tree: {**tree, "format": "other 1"},
        lambda tree: {**tree, "ticks": 5},
        lambda tree: {**tree, "ticks": 10**9},
        lambda tree: {**tree, "step": 0},
        lambda tree: {**tree, "replicas": [1]},
        lambda tree: {**tree, "series": [{"of": {"kind": "song"}, "values": [1, 2, 3, 4]}]},
        lambda tree: {**tree, "series": [{"of": {"kind": "query", "endpoint": "a", "text": "b"}, "values": ["x"] * 4}]},
        lambda tree: {key: value for key, value in tree.items() if key != "series"},
        lambda tree: [],
    ],
)
def test_what_is_no_record_is_refused_by_its_file(tmp_path, spoil):
    path = tmp_path / "spoilt.json"
    path.write_text(json.dumps(spoil(records.as_tree(full()))))
    with pytest.raises(ConfigError, match=r"spoilt.json: .*is not a record") as error:
        records.read(path)
    assert "--record FILE" in error.value.allowed


def test_a_packed_file_that_ends_early_is_refused(tmp_path):
    path = tmp_path / "short.json.gz"
    path.write_bytes(gzip.compress(json.dumps(records.as_tree(full())).encode())[:60])
    with pytest.raises(ConfigError, match="cannot be unpacked"):
        records.read(path)


def test_a_trace_is_told_from_a_record(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("arrival_s,prompt_tokens,output_tokens\n0.0,1,1\n")
    assert not records.is_record(path)
    assert record([1.0]).at(0) == START
