import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaler.sim.histogram import ITL, Histogram


def test_an_observation_on_a_bound_belongs_to_it():
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 9.0):
        histogram.observe(value)
    buckets = histogram.buckets()
    assert (buckets.cumulative, buckets.count, buckets.sum) == ((2, 3), 4, 12.0)


@settings(deadline=None)
@given(st.floats(0.001, 0.5), st.floats(0, 0.01), st.integers(1, 300), st.integers(1, 9))
def test_a_line_is_as_good_as_its_points(first, slope, steps, times):
    line, points = Histogram(ITL), Histogram(ITL)
    line.observe_line(first, slope, steps, times)
    for step in range(steps):
        points.observe(first + slope * step, times)
    assert line.buckets().count == points.buckets().count
    assert line.buckets().sum == pytest.approx(points.buckets().sum)
    differences = [abs(a - b) for a, b in zip(line.buckets().cumulative, points.buckets().cumulative, strict=True)]
    assert max(differences) <= times  # a point on a bound may round to either side


def test_a_copy_is_independent():
    histogram = Histogram((1.0,))
    copy = histogram.copy()
    histogram.observe(0.5, 3)
    assert (copy.buckets().count, histogram.buckets().count) == (0, 3)
