import pytest

from scaler.model.errors import ConfigError
from scaler.sim.hardware import _row, _rows, hardware


def test_units_are_seconds():
    a100 = hardware("a100-8b-bf16")
    assert (a100.overhead, a100.weights) == pytest.approx((3.12e-3, 10.55e-3))
    assert (a100.token, a100.kv, a100.prefill) == pytest.approx((59.1e-6, 84.7e-9, 3471e-12))
    assert a100.price_per_second == pytest.approx(2.0 / 3600)
    assert hardware("h100-70b-fp8-tp4").price_per_second == pytest.approx(4 * 3.5 / 3600)


def test_every_row_is_read_and_none_is_slower_for_less_work():
    assert len(_rows()) == 10
    for row in _rows().values():
        assert row.floor(1, 1) < row.floor(2048, 1) < row.floor(2048, 256)


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean a100-8b-bf16"):
        hardware("a100-8b-bf15")


def test_a_row_with_an_unknown_key_is_refused():
    tree = dict.fromkeys("title gpus price overhead weights token kv prefill kv_tokens error".split(), 1)
    with pytest.raises(ConfigError, match=r"gpus.yaml: x.watts: unknown key"):
        _row("x", tree | {"watts": 400})
