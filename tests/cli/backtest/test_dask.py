"""A search over a real Dask cluster gives the table that processes of one machine give."""

import json
import warnings

import pytest
import yaml
from support.backtests import prometheus, scaled_object

from scaler.cli.backtest import command
from scaler.cli.main import main
from scaler.model.measurement import PromqlQuery, Reading
from scaler.sim.backtest import record as records
from scaler.sim.backtest.record import Record

START = 1_800_000_000.0


@pytest.fixture
def kept(tmp_path):
    values = [5.0 + 10 * (tick // 20 % 3) for tick in range(200)]
    series = {PromqlQuery("default", "load"): [Reading(value, START + 15 * at) for at, value in enumerate(values)]}
    tree = scaled_object(prometheus())
    (tmp_path / "llama.yaml").write_text(yaml.safe_dump(tree))
    path = tmp_path / "past.json"
    records.write(Record("demo", "llama", START, 15.0, 200, tree, [], [], series), path)
    return path


@pytest.mark.filterwarnings("ignore")
def test_the_same_table(kept, capsys):
    distributed = pytest.importorskip("distributed")
    words = ["backtest", "demo/llama", "--read", str(kept), "--suggest", "-o", "json"]
    assert main([*words, "--jobs", "2"]) == 0
    here = json.loads(capsys.readouterr().out)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cluster = distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, protocol="tcp", host="127.0.0.1"
        )
        with cluster:
            assert main([*words, "--dask", cluster.scheduler_address]) == 0
    assert json.loads(capsys.readouterr().out) == here
    assert len(here["results"]) == 6


def test_a_scheduler_that_is_not_there(kept, capsys, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(command, "DASK_PATIENCE", 0.5)
    assert main(["backtest", "demo/llama", "--read", str(kept), "--suggest", "--dask", "tcp://127.0.0.1:9"]) == 1
    assert "tcp://127.0.0.1:9 does not answer" in capsys.readouterr().err
