import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaler.model.errors import ConfigError
from scaler.sim import trace
from scaler.sim.trace import Arrival

HEADER = "arrival_s,prompt_tokens,output_tokens\n"
THREE = (Arrival(0.0, 10, 1), Arrival(60.0, 20, 2), Arrival(120.0, 30, 3))


@pytest.mark.parametrize("pack", [lambda raw: raw, gzip.compress])
def test_read_plain_and_gzip(tmp_path, pack):
    path = tmp_path / "any.name"
    path.write_bytes(pack(f"{HEADER}0.5,10,20\n1.5,30,40\n".encode()))
    assert trace.read(path) == (Arrival(0.5, 10, 20), Arrival(1.5, 30, 40))


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("a,b,c\n1,2,3\n", "x.csv: line 1: is not the expected header"),
        ("", "x.csv: line 1"),
        (HEADER + "1,2\n", "line 2: '1,2' is not a request"),
        (HEADER + "1,2,3\nsoon,2,3\n", "line 3: 'soon,2,3' is not a request"),
        (HEADER + "nan,2,3\n", "line 2: 'nan,2,3' is out of range"),
        (HEADER + "inf,2,3\n", "out of range"),
        (HEADER + "-1,2,3\n", "out of range"),
        (HEADER + "1,0,3\n", "out of range"),
        (HEADER + "1,2,99999999\n", "out of range"),
        (HEADER + "2,1,1\n1,1,1\n", "line 3: 1 s is before the line above it"),
    ],
)
def test_a_bad_file_is_refused_by_line(written, sentence):
    with pytest.raises(ConfigError, match=sentence):
        trace.parse(written.splitlines(), "x.csv")


def test_a_file_that_is_no_text_and_one_that_breaks_off(tmp_path):
    path = tmp_path / "x.csv"
    for raw in (b"\xff\xfe\xfd", gzip.compress(HEADER.encode())[:-9]):
        path.write_bytes(raw)
        with pytest.raises(ConfigError, match="x.csv: is not a trace"):
            trace.read(path)


def test_the_number_of_rows_is_bounded(monkeypatch):
    monkeypatch.setattr(trace, "MAX_ROWS", 2)
    with pytest.raises(ConfigError, match="line 4: is one too many; allowed: 2 requests"):
        trace.parse([HEADER, "1,1,1\n", "2,1,1\n", "3,1,1\n"], "x.csv")


def test_the_slice_in_the_package():
    arrivals = trace.azure_slice()
    assert len(arrivals) == 785
    assert arrivals[0] == Arrival(0.0, 374, 44)
    assert arrivals[-1].at < 180
    assert Path(trace.__file__).with_name("azure23_conv_slice.csv").stat().st_size < 20_000


def test_cut():
    assert trace.cut(THREE, 60, 120) == (Arrival(0.0, 20, 2),)


@pytest.mark.parametrize(("factor", "count"), [(0, 0), (1, 600), (3, 1800)])
def test_multiply_by_whole_numbers(factor, count):
    many = trace.ramp(0, 60, first=10, last=10, seed=5)[:600]
    many = (many * 2)[:600] if len(many) < 600 else many
    assert len(trace.multiply(trace.ordered(many), factor)) == count


def test_multiply_keeps_the_shape_and_follows_the_seed():
    base = trace.ramp(0, 600, first=1, last=20, seed=1)
    more = trace.multiply(base, 2.5, seed=3)
    assert more == trace.multiply(base, 2.5, seed=3) != trace.multiply(base, 2.5, seed=4)
    assert len(more) == pytest.approx(2.5 * len(base), rel=0.03)
    assert set(base) <= set(more)  # the first copy stays where it is
    half = [sum(arrival.at < 300 for arrival in arrivals) / len(arrivals) for arrivals in (base, more)]
    assert half[0] == pytest.approx(half[1], abs=0.02)
    assert trace.multiply(base, 0.5) != base
    assert len(trace.multiply(base, 0.5)) == pytest.approx(len(base) / 2, rel=0.1)


@settings(deadline=None)
@given(st.floats(0, 4), st.integers(0, 9))
def test_multiplied_arrivals_stay_in_order_and_above_zero(factor, seed):
    times = [arrival.at for arrival in trace.multiply(THREE, factor, seed)]
    assert times == sorted(times)
    assert all(at >= 0 for at in times)


def test_merge_orders_by_time():
    assert trace.merge(THREE, (Arrival(30.0, 1, 1),))[1] == Arrival(30.0, 1, 1)


def test_a_ramp_rises_in_a_line():
    arrivals = trace.ramp(100, 1100, first=0, last=10, prompt=300, output=50, seed=2)
    assert all(100 <= arrival.at < 1100 for arrival in arrivals)
    assert len(arrivals) == pytest.approx(5000, rel=0.05)
    assert sum(arrival.at < 600 for arrival in arrivals) == pytest.approx(1250, rel=0.1)
    assert sum(arrival.prompt for arrival in arrivals) / len(arrivals) == pytest.approx(300, rel=0.1)
    assert min(arrival.output for arrival in arrivals) == 1
    assert trace.ramp(0, 100, first=0, last=0) == ()
