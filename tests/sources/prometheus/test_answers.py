import math

import pytest

from scaler.model.measurement import OwnPods, SignalAsk
from scaler.sources.prometheus.answers import Answer, Row, read_grouped
from scaler.sources.prometheus.batch_query import Grouped

LABELS = (("namespace", "demo"),)
OWN = OwnPods(frozenset({"a", "b"}), frozenset({"a", "b"}))


def rows(**values):
    """A value of each pod, each of which answered."""
    stats = [(pod, stat, number) for pod, one in values.items() for stat, number in (("value", one), ("answered", 1.0))]
    return [Row({"namespace": "demo", "pod": pod, "stat": stat}, {0: number}) for pod, stat, number in stats]


@pytest.mark.parametrize("own", [OWN, None])
@pytest.mark.parametrize(("plain", "partial"), [(True, "a series says NaN"), (False, "")])
def test_a_gauge_that_says_nan_makes_a_reading_partial(own, plain, partial):
    ask = SignalAsk("default", "vllm", "waiting", LABELS, own=own)
    grouped = Grouped("", ("namespace",), {ask: ("demo",)}, counted=True, pod="pod" if own else "", plain=plain)
    given = rows(a=math.nan, b=3.0) if own else [Row({"namespace": "demo", "stat": "value"}, {0: math.nan})]
    [reading] = read_grouped(grouped, Answer(given, [1000.0], "default"), stale_after=60.0)[ask]
    assert reading.value == (3.0 if own else None)
    assert reading.partial == partial
