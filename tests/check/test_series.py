import pytest

from scaler.check.series import MAX_SAMPLES, read_series


@pytest.mark.parametrize(
    ("written", "samples"),
    [
        ("3 5 _ 7", (3, 5, None, 7)),
        ("0 0 16x4", (0, 0, 16, 16, 16, 16, 16)),
        ("1+2x3", (1, 3, 5, 7)),
        ("10-1x4", (10, 9, 8, 7, 6)),
        ("1.5+.5x2", (1.5, 2, 2.5)),
        ("-1 +2 1e2", (-1, 2, 100)),
        ("1e+2x1", (100, 100)),
        ("1-1e1x2", (1, -9, -19)),
        ("12x1", (12, 12)),
        ("_x3", (None, None, None)),
        ("_x0 4", (4,)),
        ("1 stale\n2", (1, None, 2)),
        (16, (16,)),
        (0.5, (0.5,)),
    ],
)
def test_the_notation_is_promtools(written, samples):
    assert read_series(written) == samples


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("0 16y4", "'16y4' is none of these"),
        ("16x", "'16x' is none of these"),
        ("nan", "'nan' is none of these"),
        ("{{schema:1}}", "is none of these"),
        ("", "promtool"),
        ("  ", "promtool"),
        ("_x0", "promtool"),
        (True, "promtool"),
        (None, "promtool"),
        (["0"], "promtool"),
        ("0x99999999999999999999", f"at most {MAX_SAMPLES:,} samples"),
        ("_x20001", f"at most {MAX_SAMPLES:,} samples"),
        ("0x10000 0x10000", f"at most {MAX_SAMPLES:,} samples"),
        ("1e16", "numbers up to 1e+15; '1e16' goes beyond"),
        ("1e999x2", "goes beyond"),
        ("0+1e15x2", "goes beyond"),
    ],
)
def test_what_is_not_a_series_is_refused(written, problem):
    with pytest.raises(ValueError, match=".") as raised:
        read_series(written)
    assert problem in str(raised.value)
