"""The notation in which tests write a series: that of promtool's unit tests, for plain numbers.

    3 5 _ 7      samples, one an interval; `_` is a sample that is absent, and so is `stale`
    16x4         16, and 16 four more times
    1+2x3        1 3 5 7
    10-1x4       10 9 8 7 6
    _x3          absent three times

Source of the notation: Prometheus 3, promql/parser (series descriptions) and docs/configuration/unit_testing_rules.md.
"""

import re

from scaler.model.measurement import MAX_VALUE

GivenSeries = tuple[float | None, ...]  # None: the sample is absent

MAX_SAMPLES = 20_000  # of one series; at 15 s that is three days
NOTATION = "samples in promtool's notation, such as '0 3.5 _ 16x4 1+2x3'"

_DIGITS = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_ITEM = re.compile(
    rf"(?P<absent>_|stale) | _x(?P<gap>\d+) | (?P<first>[+-]?{_DIGITS}) (?:(?P<step>[+-]{_DIGITS})?x(?P<more>\d+))?",
    re.VERBOSE,
)


def read_series(raw: object) -> GivenSeries:
    """Read a series; a bare number is one sample.

    Raises:
        ValueError: what is allowed, and the first item that is not.
    """
    if isinstance(raw, bool) or not isinstance(raw, (str, int, float)):
        raise ValueError(NOTATION)
    samples: list[float | None] = []
    for item in str(raw).split():
        samples += _read_item(item)
        if len(samples) > MAX_SAMPLES:
            raise ValueError(f"at most {MAX_SAMPLES:,} samples")
    if not samples:
        raise ValueError(NOTATION)
    return tuple(samples)


def _read_item(item: str) -> list[float | None]:
    match = _ITEM.fullmatch(item)
    if match is None:
        raise ValueError(f"{NOTATION}; {item[:40]!r} is none of these")
    if match["absent"]:
        return [None]
    count = int((match["gap"] or match["more"] or "0")[:9])
    if count > MAX_SAMPLES:
        raise ValueError(f"at most {MAX_SAMPLES:,} samples")
    if match["gap"]:
        return [None] * count
    first, step = float(match["first"]), float(match["step"] or 0)
    if not abs(first) + abs(step) * count <= MAX_VALUE:
        raise ValueError(f"numbers up to {MAX_VALUE:g}; {item[:40]!r} goes beyond")
    return [first + step * index for index in range(count + 1)]
