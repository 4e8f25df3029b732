"""Quantiles and shares of a histogram's buckets, as a real Prometheus has them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaler.config.endpoint import Endpoint
from scaler.model.measurement import PromqlQuery
from scaler.sources.pages.histogram import histogram_quantile, share_of
from scaler.sources.prometheus.source import PrometheusSource

INF = math.inf
QUANTILES = [
    (0.5, {0.1: 5, 0.5: 10, INF: 10}, 0.1),
    (0.75, {0.1: 5, 0.5: 10, INF: 10}, 0.3),
    (0.25, {0.1: 5, 0.5: 10, INF: 10}, 0.05),
    (0.99, {0.1: 0, 0.5: 1, INF: 10}, 0.5),  # beyond the last finite bound
    (0.5, {0.1: 0, INF: 5}, 0.1),
    (0.5, {-1.0: 5, 0.5: 6, INF: 6}, -1.0),  # no lower bound is known there
    (0.5, {0.1: 5, 0.5: 4, 1.0: 10, INF: 10}, 0.1),  # a bucket that was read late is not lower than the one below
    (0.5, {0.1: 0, INF: 0}, None),
    (0.5, {0.1: 1, 0.5: 2}, None),  # without +Inf
    (0.5, {INF: 2}, None),
    (0.5, {}, None),
]


@pytest.mark.parametrize(("quantile", "buckets", "expected"), QUANTILES)
def test_a_quantile_is_linear_within_its_bucket(quantile, buckets, expected):
    found = histogram_quantile(quantile, buckets)
    assert found is expected if expected is None else found == pytest.approx(expected)


@pytest.mark.real
def test_a_real_prometheus_has_the_same_quantiles(start_prometheus):
    source = PrometheusSource(Endpoint("prometheus", start_prometheus().url))
    queries = {
        PromqlQuery("prometheus", f"histogram_quantile({quantile}, {promql(buckets)})"): expected
        for quantile, buckets, expected in QUANTILES
        if buckets
    }
    found = source.fetch(list(queries), [1000.0])
    source.close()
    assert {query: found[query][0].value for query in queries} == {
        query: None if expected is None else pytest.approx(expected) for query, expected in queries.items()
    }


def promql(buckets):
    """The buckets as a vector."""
    bounds = {bound: "+Inf" if bound == INF else repr(bound) for bound in buckets}
    return " or ".join(f'label_replace(vector({buckets[at]}), "le", "{le}", "", "")' for at, le in bounds.items())


@given(st.lists(st.floats(0.001, 100), min_size=1, max_size=50), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_a_quantile_lies_in_the_bucket_of_the_true_one_and_rises_with_its_rank(values, one, other):
    bounds = [0.01, 0.1, 1.0, 10.0, 100.0]
    buckets = {bound: float(sum(value <= bound for value in values)) for bound in (*bounds, INF)}
    low, high = (histogram_quantile(rank, buckets) for rank in sorted((one, other)))
    assert 0 <= low <= high <= 100.0
    true = sorted(values)[max(math.ceil(one * len(values) - 1e-9) - 1, 0)]
    holding = next(bound for bound in bounds if true <= bound)
    assert histogram_quantile(one, buckets) <= holding


@pytest.mark.parametrize(
    ("buckets", "expected"),
    [
        ({math.inf: 5.0}, None),
        ({0.1: 5.0}, None),
        ({0.1: 5.0, 0.2: 5.0}, None),
        ({0.1: 4.0, math.inf: 4.0}, 0.05),
        ({}, None),
    ],
)
def test_a_quantile_needs_a_finite_bound_and_the_infinite_one(buckets, expected):
    assert histogram_quantile(0.5, buckets) == expected


@pytest.mark.parametrize(
    ("bound", "share"), [(0.05, None), (0.1, 0.25), (0.3, 0.5), (2.5, 0.75), (100.0, 0.75), (math.inf, 1.0)]
)
def test_a_share_is_that_of_the_largest_bucket_that_ends_at_the_bound_or_below(bound, share):
    buckets = {0.1: 15.0, 0.2: 30.0, 2.5: 45.0, math.inf: 60.0, math.nan: 99.0}
    assert share_of(bound, [buckets]) == share
    assert share_of(bound, [{}]) is None
    assert share_of(bound, [dict.fromkeys(buckets, 0.0)]) is None


def test_counts_without_end_have_no_quantile():
    assert histogram_quantile(0.5, {0.1: 5, INF: INF}) is None
