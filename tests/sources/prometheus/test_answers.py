import math

import pytest

from scaler.config.naming import Naming
from scaler.model.measurement import Reading, SignalQuery, TargetPods
from scaler.sources.prometheus.answers import QueryResult, ResultSeries, read_grouped
from scaler.sources.prometheus.batch_query import BatchQuery, group

LABELS = (("namespace", "demo"),)
OWN = TargetPods(frozenset({"a", "b"}), frozenset({"a", "b"}))


def rows(**values):
    """A value of each pod, each of which answered."""
    stats = [(pod, stat, number) for pod, one in values.items() for stat, number in (("value", one), ("answered", 1.0))]
    return [ResultSeries({"namespace": "demo", "pod": pod, "stat": stat}, {0: number}) for pod, stat, number in stats]


@pytest.mark.parametrize("own", [OWN, None])
@pytest.mark.parametrize(("plain", "partial"), [(True, "a series says NaN"), (False, "")])
def test_a_gauge_that_says_nan_makes_a_reading_partial(own, plain, partial):
    query = SignalQuery("default", "vllm", "waiting", LABELS, target_pods=own)
    grouped = BatchQuery("", ("namespace",), {query: ("demo",)}, counted=True, pod="pod" if own else "", plain=plain)
    given = rows(a=math.nan, b=3.0) if own else [ResultSeries({"namespace": "demo", "stat": "value"}, {0: math.nan})]
    [reading] = read_grouped(grouped, QueryResult(given, [1000.0], "default"), stale_after=60.0)[query]
    assert reading.value == (3.0 if own else None)
    assert reading.incomplete_reason == partial


@pytest.mark.parametrize(("said", "possible"), [(1.0, True), (37.5, False)])
def test_a_share_of_more_than_all_is_no_share(said, possible):
    query = SignalQuery("default", "vllm", "kv_cache_usage", LABELS)
    (grouped,) = group([query], Naming())
    given = [ResultSeries({"namespace": "demo", "stat": "value"}, {0: said})]
    [reading] = read_grouped(grouped, QueryResult(given, [1000.0], "default"), stale_after=60.0)[query]
    assert isinstance(reading, Reading) == possible
    assert possible or "1 is the most that it can be: is it in percent" in reading.reason


@pytest.mark.parametrize(
    ("least", "failing", "partial"),
    [
        (None, (), "2 of its 3 pods do not answer: b, c"),
        (1, (), ""),
        (1, ("c",), "1 of its 2 pods do not answer: c"),
        (2, (), "2 of its 3 pods do not answer: b, c"),
    ],
    ids=["every pod is a replica", "one of a replica's three", "that reported before", "too few of two replicas"],
)
def test_of_a_replica_of_several_pods_one_has_to_answer_and_those_that_did_before(least, failing, partial):
    own = TargetPods(frozenset("abc"), frozenset("abc"), min_answering=least)
    query = SignalQuery("default", "vllm", "waiting", LABELS, target_pods=own)
    grouped = BatchQuery("", ("namespace",), {query: ("demo",)}, counted=True, pod="pod")
    stats = [("a", "value", 3.0), ("a", "answered", 1.0), *((name, "missing", 1.0) for name in failing)]
    given = [ResultSeries({"namespace": "demo", "pod": name, "stat": stat}, {0: value}) for name, stat, value in stats]
    (reading,) = read_grouped(grouped, QueryResult(given, [100.0], "default"), stale_after=90.0)[query]
    assert (reading.value, reading.incomplete_reason) == (3.0, partial)
    assert reading.by_pod == (("a", 3.0),)


@pytest.mark.parametrize(
    ("answered", "partial"),
    [
        ("ac", ""),
        ("abcd", ""),
        ("ab", "2 of its 4 pods do not answer: c, d"),
        ("d", "2 of its 3 pods do not answer: a, b"),
    ],
)
def test_of_each_replica_whose_pods_are_known_one_has_to_answer(answered, partial):
    replicas = (frozenset("ab"), frozenset("cd"))
    own = TargetPods(frozenset("abcd"), frozenset("abcd"), min_answering=2, replicas=replicas)
    query = SignalQuery("default", "vllm", "waiting", LABELS, target_pods=own)
    grouped = BatchQuery("", ("namespace",), {query: ("demo",)}, counted=True, pod="pod")
    stats = [(name, stat, value) for name in answered for stat, value in (("value", 3.0), ("answered", 1.0))]
    given = [ResultSeries({"namespace": "demo", "pod": name, "stat": stat}, {0: value}) for name, stat, value in stats]
    (reading,) = read_grouped(grouped, QueryResult(given, [100.0], "default"), stale_after=90.0)[query]
    assert (reading.value, reading.incomplete_reason) == (3.0 * len(answered), partial)
