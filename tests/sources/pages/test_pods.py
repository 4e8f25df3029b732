"""The pods behind a signal: what adds up within one, which are meant, and what objects point at."""

import math

import pytest

from scaler.config.endpoint import Endpoint, Page
from scaler.config.signals import find
from scaler.model.errors import ConfigError
from scaler.model.measurement import SignalQuery
from scaler.sources.pages.exposition import scan
from scaler.sources.pages.names import plain, wanted
from scaler.sources.pages.pods import PageResult, PodReader, PodShare, merge, pods_matcher

NAMING = Endpoint("pages").dialect
NOW = 50.0
MINE = ("demo", "m")


@pytest.mark.parametrize(
    ("pattern", "name", "meant"),
    [(None, "anything", True), (None, "", False), ("a|b", "b", True), ("a|b", "ab", False), (r"a-\d+-x{5}", "a-12-xxxxx", True), ("(?:a|b)-.*", "b-1", True)],
)  # fmt: skip
def test_an_expression_for_pods_is_anchored_at_both_ends(pattern, name, meant):
    assert bool(pods_matcher(pattern)(name)) is meant


@pytest.mark.parametrize("pattern", ["(a+)+b", "(a|aa)*b", "a*a*a*a*b", "(a){3}", r"(aa|a|\\)*b", "(a|aa)" * 40])
def test_an_expression_that_may_take_long_is_refused(pattern):
    with pytest.raises(ConfigError, match="repeats a group, or has more than 3 repeats and groups"):
        pods_matcher(pattern)


def page(address, text, signal, **labels):
    names = wanted([signal])
    found = scan(text.encode(), names)
    samples = {name: [one for one in found if one.name == name] for name in names}
    return PageResult(Page(address, labels), samples, lambda _window: {one.key: one.value for one in found})


def gather(*pages, engine="vllm", name="waiting", **query):
    """The pods that pages, as (address, text, labels), have of a signal."""
    signal = find(engine, name)
    labels = tuple(zip(dict(signal.label_names), MINE, strict=False))
    query = SignalQuery("pages", engine, name, labels, window=signal.window, **query)
    results = [page(address, text, signal, **labels) for address, text, labels in pages]
    return PodReader(query, NAMING, NOW).gather(plain(signal.metrics), results)


WAITING = 'vllm:num_requests_waiting{model_name="m"%s} %s\n'
HERE = {"namespace": "demo", "pod": "a"}


def test_the_series_of_a_page_are_parts_of_one_pod_as_the_worked_example_has_it():
    text = WAITING % (',engine="0"', 3) + WAITING % (',engine="1"', 5)
    pods = gather(("http://a:1/", text, HERE))
    assert list(pods) == [MINE]
    assert sorted(pods[MINE]["a"].parts.values()) == [3.0, 5.0]


def test_two_pages_of_a_pod_add_up_and_the_same_page_again_does_not():
    one, two = ("http://a:1/", WAITING % ("", 3), HERE), ("http://a:2/", WAITING % ("", 5), HERE)
    assert sorted(gather(one, two)[MINE]["a"].parts.values()) == [3.0, 5.0]
    assert list(gather(one, one)[MINE]["a"].parts.values()) == [3.0]


def test_a_page_that_says_no_namespace_and_no_pod_is_of_whoever_asks_and_is_called_by_its_address():
    pods = gather(("http://10.0.0.1:8000/metrics", WAITING % ("", 3), {}))
    assert {key: list(of) for key, of in pods.items()} == {("", "m"): ["10.0.0.1:8000"]}


def test_a_pod_that_is_not_meant_is_not_there():
    pages = [(f"http://{pod}:1/", WAITING % ("", 3), HERE | {"pod": pod}) for pod in ("decode-0", "prefill-0")]
    assert list(gather(*pages, pods="decode-.*")[MINE]) == ["decode-0"]


def test_of_several_names_of_a_metric_the_newest_on_the_page_counts():
    names = plain(find("vllm", "kv_cache_usage").metrics)
    assert len(names) > 1
    text = "".join(f'{one.name}{{model_name="m"}} 0.{number}\n' for number, one in enumerate(names, 1))
    assert list(gather(("http://a:1/", text, HERE), name="kv_cache_usage")[MINE]["a"].parts.values()) == [0.1]
    older = text.splitlines()[-1] + "\n"
    found = gather(("http://a:1/", older, HERE), name="kv_cache_usage")[MINE]["a"]
    assert list(found.parts.values()) == [pytest.approx(len(names) / 10)]


def test_a_load_below_zero_is_none_and_remembered_and_no_number_is_not_whole():
    pods = gather(
        ("http://a:1/", WAITING % ("", -2), HERE), ("http://b:1/", WAITING % ("", "NaN"), HERE | {"pod": "b"})
    )
    assert list(pods[MINE]["a"].parts.values()) == [0.0]
    assert (pods[MINE]["a"].below, pods[MINE]["a"].whole) == (True, True)
    assert (pods[MINE]["b"].parts, pods[MINE]["b"].whole) == ({}, False)


def test_a_sample_is_as_old_as_the_page_says_or_as_the_reading():
    assert gather(("http://a:1/", WAITING % ("", "3 20000"), HERE))[MINE]["a"].oldest == 20.0
    assert gather(("http://a:1/", WAITING % ("", 3), HERE))[MINE]["a"].oldest == NOW


def test_of_a_part_that_was_read_twice_the_larger_counts_and_every_doubt_stays():
    table = {MINE: {"a": PodShare({("p", "s", ""): 3.0}, oldest=20.0, jumping=True)}}
    merge(table, {MINE: {"a": PodShare({("p", "s", ""): 2.0, ("q", "s", ""): 1.0}, whole=False, below=True)}})
    pod = table[MINE]["a"]
    assert pod.parts == {("p", "s", ""): 3.0, ("q", "s", ""): 1.0}
    assert (pod.whole, pod.oldest, pod.jumping, pod.below) == (False, 20.0, True, True)
    assert math.isinf(PodShare().oldest)
